//! The relay's subscriptions as metric families.

use std::fmt;

use super::families::Families;
use crate::Engine;
use crate::http::admin::relay::view::{STATES, state_name};
use crate::relay::SubscriptionStatus;

/// The relay at a moment.
#[derive(Debug, Default)]
pub(super) struct Figures {
    has_failed: bool,
    subscriptions: Vec<(String, SubscriptionStatus)>,
}

impl Figures {
    /// Those of an engine; a relay that is closed has none.
    pub(super) fn of(engine: &Engine) -> Self {
        let figures = engine.relay().map(|relay| Self {
            has_failed: relay.failure().is_some(),
            subscriptions: relay.subscriptions(),
        });
        figures.unwrap_or_default()
    }
}

/// All of them, each with the subscription's name as its label; there are at most 64.
pub(super) fn write(out: &mut Families<'_>, figures: &Figures) -> fmt::Result {
    let Figures { has_failed, subscriptions } = figures;
    out.gauge(
        "stockade_relay_failed",
        "1 where what the relay keeps could not be read: no subscription runs, and the whole journal is kept.",
        u64::from(*has_failed),
    )?;
    let states: Vec<_> = subscriptions
        .iter()
        .flat_map(|(name, status)| {
            let now = state_name(&status.state);
            STATES.map(|state| {
                ([("subscription", &**name), ("state", state)], f64::from(u8::from(state == now)))
            })
        })
        .collect();
    out.gauges(
        "stockade_relay_state",
        "How a subscription stands: 1 for the state that it is in.",
        states.iter().map(|(labels, is_it)| (&labels[..], *is_it)),
    )?;
    let labels: Vec<_> = subscriptions.iter().map(|(name, _)| [("subscription", &**name)]).collect();
    let each = |figure: fn(&SubscriptionStatus) -> u64| {
        let figures = subscriptions.iter().map(move |(_, status)| figure(status));
        labels.iter().map(|labels| &labels[..]).zip(figures)
    };
    let gauge =
        |figure: fn(&SubscriptionStatus) -> u64| each(figure).map(|(labels, figure)| (labels, figure as f64));
    out.gauges(
        "stockade_relay_lag_events",
        "Durable events behind the subscription's cursor.",
        gauge(|status| status.lag_events),
    )?;
    out.gauges(
        "stockade_relay_lag_bytes",
        "Bytes of journal that are kept for the subscription.",
        gauge(|status| status.lag_bytes),
    )?;
    out.gauges(
        "stockade_relay_lag_bytes_max",
        "Bytes of journal beyond which the subscription is suspended.",
        gauge(|status| status.spec.lag_bytes_max),
    )?;
    out.gauges(
        "stockade_relay_lag_seconds",
        "Age of the oldest event behind the subscription's cursor.",
        each(|status| status.lag_ms).map(|(labels, ms)| (labels, ms as f64 / 1e3)),
    )?;
    out.gauges(
        "stockade_relay_dead_letters",
        "Messages that could not be delivered and are kept.",
        gauge(|status| status.dead_letters),
    )?;
    out.gauges("stockade_relay_in_flight", "Messages on their way.", gauge(|status| status.in_flight))?;
    out.gauges(
        "stockade_relay_missing_ranges",
        "Ranges of positions that the subscription will never get.",
        gauge(|status| status.missing.len() as u64),
    )?;
    out.counters("stockade_relay_delivered", "Messages delivered.", each(|status| status.delivered))?;
    out.counters("stockade_relay_skipped", "Events that were not chosen.", each(|status| status.skipped))?;
    out.counters("stockade_relay_retried", "Deliveries that were tried again.", each(|status| status.retried))
}
