//! The sinks: RabbitMQ, NATS JetStream, webhooks.
//!
//! Each checks its settings without connecting, connects when it is first used, and says in a word what became of every
//! message. Reconnecting is the subscription's: a sink that has lost its connection answers [`Undelivered::Down`], and
//! tries again with the next message that it is given.
//!
//! [`Undelivered::Down`]: super::sink::Undelivered::Down

mod address;
mod guard;
mod link;
mod nats;
mod rabbit;
mod tls;
mod webhook;

#[cfg(test)]
mod tests;

use std::sync::Arc;

use super::error::RelayError;
use super::sink::Sink;
use super::spec::SinkSpec;

pub use webhook::sign;

/// Checks a sink's settings. Connects to nothing and opens no file.
///
/// # Errors
/// [`RelayError::Invalid`], with the field as the configuration names it, such as `sink.address`. It repeats no secret.
pub fn validate(spec: &SinkSpec) -> Result<(), RelayError> {
    match spec {
        SinkSpec::Pull {} | SinkSpec::Program { .. } => Ok(()),
        SinkSpec::Rabbitmq(spec) => rabbit::validate(spec),
        SinkSpec::Nats(spec) => nats::validate(spec),
        SinkSpec::Webhook(spec) => webhook::validate(spec),
    }
}

/// Makes the sink of a subscription of this name. It connects when it is first used, in tokio's runtime.
///
/// # Errors
/// Those of [`validate`]; [`RelayError::Invalid`] for [`SinkSpec::Pull`] and [`SinkSpec::Program`], whose sinks aren't made
/// here, and for a file with a certificate authority that can't be read.
pub fn open(spec: &SinkSpec, name: &str) -> Result<Arc<dyn Sink>, RelayError> {
    validate(spec)?;
    match spec {
        SinkSpec::Pull {} => Err(invalid("sink", "it has no sink of its own: it is polled")),
        SinkSpec::Program { .. } => Err(invalid("sink", "the program brings it along")),
        SinkSpec::Rabbitmq(spec) => Ok(Arc::new(rabbit::open(spec, name)?)),
        SinkSpec::Nats(spec) => Ok(Arc::new(nats::open(spec, name)?)),
        SinkSpec::Webhook(spec) => Ok(Arc::new(webhook::open(spec)?)),
    }
}

fn invalid(field: &str, reason: impl Into<String>) -> RelayError {
    RelayError::Invalid { field: field.to_owned(), reason: reason.into() }
}

/// Refuses a setting that doesn't hold.
fn check(field: &str, holds: bool, reason: &str) -> Result<(), RelayError> {
    if holds { Ok(()) } else { Err(invalid(field, reason)) }
}

/// Refuses a text that is too long, has control characters, or, where it is needed, is empty.
fn check_text(field: &str, text: &str, is_needed: bool, bytes_max: usize) -> Result<(), RelayError> {
    check(field, !(is_needed && text.is_empty()), "it is missing")?;
    check(field, text.len() <= bytes_max, &format!("at most {bytes_max} bytes"))?;
    check(field, !text.contains(char::is_control), "no control characters")
}

/// What a library says went wrong, short, and without a secret that it might repeat.
fn redacted(text: impl std::fmt::Display, secret: &str) -> String {
    const CHARS_MAX: usize = 300;
    let text: String = text.to_string().chars().take(CHARS_MAX).collect();
    if secret.is_empty() { text } else { text.replace(secret, "***") }
}
