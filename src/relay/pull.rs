//! Pulled subscriptions: a client polls for messages and acknowledges them; nothing is sent by itself.
//!
//! Nothing is kept between two polls but the place where the last one stopped, so a client that comes again after a crash
//! gets everything behind the cursor again.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::sleep;

use super::error::RelayError;
use super::hub::Subscription;
use super::message::{Message, Renderer};
use super::reading::{Chosen, read_events, some_messages};
use super::spec::SubscriptionSpec;
use super::task::Command;
use super::world::World;
use crate::domain::ids::Position;
use crate::journal::JournalError;

/// Most messages that one poll gives.
pub const POLL_LEN_MAX: usize = 1_000;
/// Longest wait of a poll, in ms.
pub const POLL_WAIT_MS_MAX: u64 = 30_000;
/// Size of the bodies that one poll gives, in bytes; one message more at most.
const POLL_BYTES_MAX: usize = 8 << 20;
/// How often a waiting poll looks at whether its subscription still runs, and asks again for what the engine did not answer.
const LOOK_EVERY: Duration = Duration::from_millis(200);
const RENDER_AGAIN: Duration = Duration::from_millis(50);

/// What is left of the poll before.
#[derive(Default)]
pub(super) struct PullState {
    /// Makes messages, and with which settings.
    renderer: Option<(Arc<SubscriptionSpec>, Renderer)>,
    /// Between these two nothing is to be delivered: the last poll has looked.
    passed: Option<(Position, Position)>,
}

/// Messages behind the cursor, and behind `after` where that is given.
pub(super) async fn poll(
    world: &Arc<World>,
    subscription: &Subscription,
    after: Option<Position>,
    (len_max, wait): (usize, Duration),
    closed: &mut watch::Receiver<bool>,
) -> Result<Vec<Message>, RelayError> {
    let name = &subscription.name;
    let busy = |_| RelayError::Busy { name: name.clone() };
    let mut state = subscription.pull.try_lock().map_err(busy)?;
    let spec = subscription.board.spec();
    if state.renderer.as_ref().is_none_or(|(made_for, _)| !Arc::ptr_eq(made_for, &spec)) {
        *state = PullState { renderer: Some((Arc::clone(&spec), world.renderer(&spec))), passed: None };
    }
    let PullState { renderer: Some((_, renderer)), passed } = &mut *state else { return Ok(Vec::new()) };
    let chosen = Chosen::new(&spec.events);
    let mut durable = world.journal.watch_durable();
    let begin = after.map_or(Position(0), |after| Position(after.0.saturating_add(1)));
    let mut from = begin.max(subscription.board.cursor());
    if let Some((low, high)) = *passed
        && (low..high).contains(&from)
    {
        from = high;
    }
    let began_at = from;
    let mut end = std::pin::pin!(sleep(wait));
    let found = loop {
        if let Some(reason) = subscription.board.stopped() {
            return Err(RelayError::Stopped { name: name.clone(), reason });
        }
        from = from.max(subscription.board.cursor());
        if *durable.borrow_and_update() < from {
            tokio::select! {
                changed = durable.changed() => if changed.is_err() { return Err(RelayError::Off) },
                _closed = closed.wait_for(|closed| *closed) => return Err(RelayError::Off),
                () = sleep(LOOK_EVERY) => {}
                () = &mut end => break Vec::new(),
            }
            continue;
        }
        let of = Arc::clone(world);
        let read = tokio::task::spawn_blocking(move || read_events(&of, from)).await;
        let events = match read {
            Ok(Ok(events)) => events,
            Ok(Err(JournalError::PositionTrimmed { asked, first })) => {
                return Err(RelayError::Trimmed { asked, first });
            }
            Ok(Err(error)) => return Err(RelayError::Storage(error.to_string())),
            Err(_ended_early) => return Err(RelayError::Off),
        };
        match some_messages(renderer, &chosen, events, (len_max, POLL_BYTES_MAX)).await {
            Ok((messages, looked_to)) => {
                if !messages.is_empty() {
                    break messages;
                }
                from = looked_to.unwrap_or(from);
            }
            Err(error) => {
                tracing::debug!(subscription = name, %error, "a message can't be made yet");
                tokio::select! {
                    () = sleep(RENDER_AGAIN) => {}
                    () = &mut end => break Vec::new(),
                }
            }
        }
    };
    // What was passed over need not be looked at again, and the journal need not keep it.
    let first = found.first().map_or(from, |message| message.position);
    if first > began_at {
        let low = passed.filter(|(_, high)| *high == began_at).map_or(began_at, |(low, _)| low);
        *passed = Some((low, first));
        subscription.board.skipped.fetch_add(first.0 - began_at.0, Ordering::Relaxed);
    }
    let cursor = subscription.board.cursor();
    if let Some((low, high)) = *passed
        && (low..high).contains(&cursor)
    {
        subscription.send(Command::Passed { from: cursor, to: high }).await?;
    }
    subscription.board.delivered.fetch_add(found.len() as u64, Ordering::Relaxed);
    Ok(found)
}
