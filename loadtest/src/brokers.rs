//! Brokers as the other system sees them: consumers that keep what comes in a [`Received`], however often the broker goes
//! away, and the commands that make it go away and come back.

pub(crate) mod control;
pub(crate) mod nats;
pub(crate) mod rabbitmq;

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::relayed::Received;

/// How long a consumer waits before it connects again.
pub(crate) const RECONNECT: Duration = Duration::from_millis(200);
/// Longest wait for a broker to answer a connection.
pub(crate) const CONNECT_MAX: Duration = Duration::from_secs(10);
/// How long a consumer waits for a message before it looks whether it is to stop.
pub(crate) const QUIET: Duration = Duration::from_millis(500);

/// What a consumer and its owner share.
#[derive(Clone, Default)]
pub(crate) struct Inbox {
    received: Arc<Mutex<Received>>,
    stop: Arc<AtomicBool>,
}

impl Inbox {
    pub(crate) fn received(&self) -> MutexGuard<'_, Received> {
        self.received.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The consumer ends at the next opportunity.
    pub(crate) fn stop(&self) {
        self.stop.store(true, Ordering::Relaxed);
    }

    fn is_stopped(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }
}

/// The RabbitMQ that the environment names, else one at its usual place on the loopback, with names for this run.
pub(crate) fn rabbitmq_of_the_environment() -> rabbitmq::Rabbit {
    let variable = |name, default: &str| setting(&None, name).unwrap_or_else(|| default.to_owned());
    rabbitmq::Rabbit {
        address: variable("STOCKADE_RABBITMQ", "127.0.0.1:5672"),
        user: variable("STOCKADE_RABBITMQ_USER", "guest"),
        password: variable("STOCKADE_RABBITMQ_PASSWORD", "guest"),
        name: unique_name(),
    }
}

/// An option, else a variable of the environment that is not empty.
pub(crate) fn setting(option: &Option<String>, variable: &str) -> Option<String> {
    option.clone().or_else(|| std::env::var(variable).ok()).filter(|value| !value.is_empty())
}

/// Whether a test has the service that it needs. Without it the test is skipped, with a line that says so, unless services
/// are required: then it fails.
#[cfg(test)]
fn has_service(service: &str, is_there: bool) -> bool {
    let is_required = std::env::var_os("STOCKADE_REQUIRE_SERVICES").is_some_and(|value| value == "1");
    assert!(is_there || !is_required, "{service} is not there, and services are required");
    if !is_there {
        println!("skipped: {service} is not there");
    }
    is_there
}

/// A name for queues, exchanges and streams that no other run has.
pub(crate) fn unique_name() -> String {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    format!("stockade-loadtest-{}-{:x}", std::process::id(), since.as_nanos())
}
