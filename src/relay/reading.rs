//! Reading ahead: durable events from a cursor on, those that the subscription chose made into messages.
//!
//! A task of its own reads, so that the next messages are made while others are on their way. What it holds is bounded: a
//! step of the journal, and the batches that wait to be taken.

use std::sync::Arc;
use std::time::Duration;

use hashbrown::HashSet;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;

use super::lanes::Lane;
use super::message::{Message, Renderer};
use super::spec::EventChoice;
use super::world::World;
use crate::domain::ids::Position;
use crate::journal::{JournalError, RecordedEvent, events_from};

/// Most bytes of journal that one step reads; a frame more at most.
const STEP_BYTES: usize = 256 << 10;
/// Messages that are handed on together at most.
const BATCH_LEN: usize = 256;
/// Their bodies, in bytes; one more at most.
const BATCH_BYTES: usize = 1 << 20;
/// Batches that wait to be taken.
const BATCHES: usize = 2;
/// Once everything is read, what comes next is gathered for so long: many commits cost one step.
const GATHER: Duration = Duration::from_millis(1);
/// How long the reader waits before it asks again for what the engine did not answer.
const RENDER_AGAIN: Duration = Duration::from_millis(50);
const RENDER_AGAIN_MAX: Duration = Duration::from_secs(5);

/// Which events a subscription gets.
#[derive(Clone, Debug, Default)]
pub(super) struct Chosen(Option<Arc<HashSet<String>>>);

impl Chosen {
    /// The choice as it is configured: no names stand for all.
    pub(super) fn new(choice: &EventChoice) -> Self {
        let names = &choice.0;
        Self((!names.is_empty()).then(|| Arc::new(names.iter().cloned().collect())))
    }

    fn includes(&self, name: &str) -> bool {
        self.0.as_ref().is_none_or(|names| names.contains(name))
    }
}

/// A message, and what it stands in line for.
#[derive(Debug)]
pub(super) struct Made {
    pub(super) message: Message,
    pub(super) lane: Lane,
}

/// What the reader hands on.
#[derive(Debug)]
pub(super) enum Batch {
    /// Everything before `read_to` was read; of it these are to be delivered.
    Messages {
        /// In order.
        messages: Vec<Made>,
        /// The first position not read.
        read_to: Position,
        /// Events that were passed over.
        skipped: u64,
    },
    /// The journal no longer has what comes next.
    Trimmed {
        /// The first position that it has.
        first: Position,
    },
    /// The journal can't be read.
    Failed(String),
}

/// A reader at work; it ends when this is dropped.
#[derive(Debug)]
pub(super) struct Reading {
    batches: mpsc::Receiver<Batch>,
    task: JoinHandle<()>,
}

impl Reading {
    /// Begins to read.
    pub(super) fn start(world: &Arc<World>, renderer: Renderer, chosen: Chosen, from: Position) -> Self {
        let (sender, batches) = mpsc::channel(BATCHES);
        let reader = Reader {
            world: Arc::clone(world),
            durable: world.journal.watch_durable(),
            renderer,
            chosen,
            next: from,
            batches: sender,
        };
        Self { batches, task: tokio::spawn(reader.run()) }
    }

    /// The next batch; `None` once the reader has ended. Cancelling loses nothing.
    pub(super) async fn next(&mut self) -> Option<Batch> {
        self.batches.recv().await
    }
}

impl Drop for Reading {
    fn drop(&mut self) {
        self.task.abort();
    }
}

struct Reader {
    world: Arc<World>,
    durable: watch::Receiver<Position>,
    renderer: Renderer,
    chosen: Chosen,
    next: Position,
    batches: mpsc::Sender<Batch>,
}

impl Reader {
    async fn run(mut self) {
        loop {
            if self.durable.wait_for(|durable| *durable >= self.next).await.is_err() {
                // The journal is closed.
                return;
            }
            let (world, from) = (Arc::clone(&self.world), self.next);
            let read = tokio::task::spawn_blocking(move || read_events(&world, from)).await;
            let events = match read {
                Ok(Ok(events)) => events,
                Ok(Err(JournalError::PositionTrimmed { first, .. })) => {
                    let _ = self.batches.send(Batch::Trimmed { first }).await;
                    return;
                }
                Ok(Err(error)) => {
                    let _ = self.batches.send(Batch::Failed(error.to_string())).await;
                    return;
                }
                Err(_cancelled_or_panicked) => {
                    let _ = self.batches.send(Batch::Failed("reading ended early".to_owned())).await;
                    return;
                }
            };
            let is_empty = events.is_empty();
            if !self.hand_on(events).await {
                return;
            }
            if is_empty || *self.durable.borrow() < self.next {
                tokio::time::sleep(GATHER).await;
            }
        }
    }

    /// Makes messages and hands them on. False where nobody takes them any more.
    async fn hand_on(&mut self, events: Vec<RecordedEvent>) -> bool {
        let mut messages = Vec::new();
        let (mut bytes, mut skipped) = (0, 0);
        let last = events.last().map_or(self.next, |recorded| Position(recorded.position.0 + 1));
        for recorded in events {
            if !self.chosen.includes(recorded.event.name()) {
                self.renderer.pass(&recorded);
                skipped += 1;
                continue;
            }
            let made = render(&mut self.renderer, &recorded).await;
            bytes += made.message.body.len();
            messages.push(made);
            if messages.len() >= BATCH_LEN || bytes >= BATCH_BYTES {
                let read_to = Position(recorded.position.0 + 1);
                let batch = Batch::Messages { messages: std::mem::take(&mut messages), read_to, skipped };
                if self.batches.send(batch).await.is_err() {
                    return false;
                }
                (bytes, skipped) = (0, 0);
            }
        }
        self.next = last;
        if messages.is_empty() && skipped == 0 {
            return true;
        }
        self.batches.send(Batch::Messages { messages, read_to: last, skipped }).await.is_ok()
    }
}

/// Makes the message of an event, however often the engine has to be asked.
async fn render(renderer: &mut Renderer, recorded: &RecordedEvent) -> Made {
    let mut wait = RENDER_AGAIN;
    loop {
        match renderer.render(recorded).await {
            Ok(message) => return made(message, recorded),
            Err(error) => {
                // An engine that is busy for a moment is no news.
                if wait == RENDER_AGAIN_MAX {
                    tracing::warn!(position = recorded.position.0, %error, "a message can't be made yet");
                }
                tokio::time::sleep(wait).await;
                wait = (wait * 2).min(RENDER_AGAIN_MAX);
            }
        }
    }
}

fn made(message: Message, recorded: &RecordedEvent) -> Made {
    let lane = message.order_no.map_or_else(|| Lane::without_order(&recorded.event), Lane::Order);
    Made { message, lane }
}

/// A step of the journal from a position on.
pub(super) fn read_events(world: &World, from: Position) -> Result<Vec<RecordedEvent>, JournalError> {
    events_from(&world.journal.reader().read(from, STEP_BYTES)?, from).collect()
}

/// A step of the journal as messages, for those who pull: as far as `len_max` messages and `bytes_max` of them allow, one
/// more at most. Gives them with the first position that was not looked at.
///
/// # Errors
/// The first [`RenderError`](super::RenderError) before there is a message; what was made before one is given.
pub(super) async fn some_messages(
    renderer: &mut Renderer,
    chosen: &Chosen,
    events: Vec<RecordedEvent>,
    (len_max, bytes_max): (usize, usize),
) -> Result<(Vec<Message>, Option<Position>), super::RenderError> {
    let mut messages = Vec::new();
    let (mut bytes, mut looked_to) = (0, None);
    for recorded in events {
        if chosen.includes(recorded.event.name()) {
            if messages.len() >= len_max || bytes >= bytes_max {
                break;
            }
            match renderer.render(&recorded).await {
                Ok(message) => {
                    bytes += message.body.len();
                    messages.push(message);
                }
                Err(error) if messages.is_empty() => return Err(error),
                Err(_later) => break,
            }
        } else {
            renderer.pass(&recorded);
        }
        looked_to = Some(Position(recorded.position.0 + 1));
    }
    Ok((messages, looked_to))
}
