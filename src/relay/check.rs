//! The bounds of a subscription's settings.

use super::error::RelayError;
use super::names;
use super::sinks;
use super::spec::{RelayConfig, SinkSpec, SubscriptionSpec};

/// Most subscriptions of an engine.
pub const SUBSCRIPTIONS_MAX: usize = 64;
/// Longest name of a subscription, in bytes.
pub const NAME_BYTES_MAX: usize = 64;
/// Most names of events that a subscription chooses.
const EVENTS_MAX: usize = 64;

impl RelayConfig {
    /// Checks every subscription's name and settings.
    ///
    /// # Errors
    /// [`RelayError::Invalid`] for the first that is out of bounds, its field with the subscription's name before it;
    /// [`RelayError::TooMany`].
    pub fn validate(&self) -> Result<(), RelayError> {
        if self.subscriptions.len() > SUBSCRIPTIONS_MAX {
            return Err(RelayError::TooMany { max: SUBSCRIPTIONS_MAX });
        }
        self.subscriptions.iter().try_for_each(|(name, spec)| {
            spec.validate(name).map_err(|error| match error {
                RelayError::Invalid { field, reason } => {
                    RelayError::Invalid { field: format!("{name}.{field}"), reason }
                }
                other => other,
            })
        })
    }
}

impl SubscriptionSpec {
    /// Checks the settings of a subscription of this name. Connects to nothing and opens no file.
    ///
    /// # Errors
    /// [`RelayError::Invalid`] with the field as the configuration names it, such as `retry.attempts_max`.
    pub fn validate(&self, name: &str) -> Result<(), RelayError> {
        let holds = (1..=NAME_BYTES_MAX).contains(&name.len())
            && name.bytes().all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'.' | b'_' | b'-'));
        check("name", holds, || format!("must be 1 to {NAME_BYTES_MAX} of a-z, 0-9, '.', '_' and '-'"))?;
        let events = &self.events.0;
        check("events", events.len() <= EVENTS_MAX, || format!("at most {EVENTS_MAX} names"))?;
        for (at, event) in events.iter().enumerate() {
            // What was written here may be anything, so it is cut off.
            let shown: String = event.chars().take(64).collect();
            check("events", names::known(event).is_some(), || format!("there is no event {shown:?}"))?;
            check("events", !events[..at].contains(event), || format!("{shown} stands there twice"))?;
        }
        let between = |field, value: u64, min: u64, max: u64| {
            check(field, (min..=max).contains(&value), || format!("is {value}: it must be {min} to {max}"))
        };
        let retry = &self.retry;
        between("retry.attempts_max", retry.attempts_max.into(), 1, 1_000)?;
        between("retry.backoff_ms", retry.backoff_ms, 1, 60_000)?;
        between("retry.backoff_ms_max", retry.backoff_ms_max, retry.backoff_ms, 3_600_000)?;
        between("in_flight_max", self.in_flight_max.into(), 1, 65_536)?;
        between("lag_bytes_max", self.lag_bytes_max, 1 << 20, 1 << 40)?;
        between("dead_letters_max", self.dead_letters_max.into(), 1, 1_000_000)?;
        match &self.sink {
            SinkSpec::Program { sink } => {
                check("sink.sink", (1..=NAME_BYTES_MAX).contains(&sink.len()), || {
                    format!("must have 1 to {NAME_BYTES_MAX} bytes")
                })
            }
            SinkSpec::Pull {} => Ok(()),
            other => sinks::validate(other),
        }
    }
}

fn check(field: &str, holds: bool, reason: impl FnOnce() -> String) -> Result<(), RelayError> {
    if holds { Ok(()) } else { Err(RelayError::Invalid { field: field.to_owned(), reason: reason() }) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::relay::spec::{EventChoice, RetrySpec, Start};

    fn spec() -> SubscriptionSpec {
        SubscriptionSpec {
            events: EventChoice::default(),
            start: Start::Next,
            sink: SinkSpec::Pull {},
            retry: RetrySpec::default(),
            in_flight_max: 1,
            lag_bytes_max: 1 << 20,
            dead_letters_max: 1,
            snapshot: false,
            personal: Default::default(),
        }
    }

    fn field(name: &str, change: impl FnOnce(&mut SubscriptionSpec)) -> Option<String> {
        let mut spec = spec();
        change(&mut spec);
        match spec.validate(name) {
            Err(RelayError::Invalid { field, .. }) => Some(field),
            other => other.map(|()| None).unwrap(),
        }
    }

    #[test]
    fn a_setting_outside_its_bounds_is_named() {
        let of = |change: fn(&mut SubscriptionSpec)| field("a", change);
        assert_eq!(of(|_| ()), None);
        assert_eq!(of(|spec| spec.in_flight_max = 0).as_deref(), Some("in_flight_max"));
        assert_eq!(of(|spec| spec.in_flight_max = 65_537).as_deref(), Some("in_flight_max"));
        assert_eq!(of(|spec| spec.lag_bytes_max = 1).as_deref(), Some("lag_bytes_max"));
        assert_eq!(of(|spec| spec.dead_letters_max = 0).as_deref(), Some("dead_letters_max"));
        assert_eq!(of(|spec| spec.retry.attempts_max = 0).as_deref(), Some("retry.attempts_max"));
        assert_eq!(of(|spec| spec.retry.backoff_ms = 0).as_deref(), Some("retry.backoff_ms"));
        assert_eq!(of(|spec| spec.retry.backoff_ms_max = 99).as_deref(), Some("retry.backoff_ms_max"));
        assert_eq!(of(|spec| spec.events.0 = vec!["OrderPaid".into()]), None);
        assert_eq!(of(|spec| spec.events.0 = vec!["OrderPaid".into(); 2]).as_deref(), Some("events"));
        for placeholder in ["Order", "Task", "Team", "Coupon", "SettingPut", "", "orderpaid"] {
            let named = field("a", |spec| spec.events.0 = vec![placeholder.to_owned()]);
            assert_eq!(named.as_deref(), Some("events"), "{placeholder}");
        }
    }

    #[test]
    fn a_name_is_short_and_plain() {
        for name in ["a", "erp-2.orders_x", &"n".repeat(64)] {
            assert_eq!(field(name, |_| ()), None, "{name}");
        }
        for name in ["", "A", "a b", "a/b", "ä", &"n".repeat(65)] {
            assert_eq!(field(name, |_| ()).as_deref(), Some("name"), "{name}");
        }
    }

    #[test]
    fn a_configuration_names_the_subscription_too() {
        let mut config = RelayConfig::default();
        config.subscriptions.insert("erp".into(), SubscriptionSpec { in_flight_max: 0, ..spec() });
        let error = config.validate().unwrap_err();
        assert_eq!(error.to_string(), "erp.in_flight_max: is 0: it must be 1 to 65536");
        let many = (0..65).map(|n| (format!("n{n}"), spec())).collect();
        let config = RelayConfig { subscriptions: many };
        assert_eq!(config.validate(), Err(RelayError::TooMany { max: 64 }));
    }
}
