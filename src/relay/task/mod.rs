//! A subscription at work: one task that reads ahead, hands messages to the sink, and moves the cursor.
//!
//! ```text
//! Reading ── batches ──▶ lanes ── ready ──▶ sink.deliver ── confirmed ──▶ progress ── cursor ──▶ book ──▶ journal's hold
//!                          ▲                   │ refused: retry, or a dead letter
//!                          └───────────────────┘ down: everything waits
//! ```
//!
//! The task never blocks: what blocks runs elsewhere, and the book answers when it is done. It counts on nothing but its
//! own state, so a panic in it, or in its sink, fails this subscription alone.

mod commands;
mod deliver;
mod letters;
mod supervise;
mod window;

use std::collections::BTreeSet;
use std::future::{Future, pending};
use std::hash::{BuildHasher, RandomState};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::stream::{FuturesUnordered, StreamExt};
use tokio::sync::mpsc;
use tokio::time::{Sleep, sleep};

use super::board::Board;
use super::book::{Changes, Letter, StoredState, Written};
use super::dead::{Dead, Standing};
use super::error::RelayError;
use super::lanes::{Item, Lane, Lanes, Origin, Progress};
use super::reading::{Batch, Chosen, Reading, read_events};
use super::sink::Sink;
use super::spec::{SinkSpec, SubscriptionSpec};
use super::world::{World, holder};
use crate::domain::ids::{OrderNo, Position};
use crate::domain::text;
use deliver::UnderWay;
use window::Window;

pub(super) use commands::{Answer, Command, hold_start};
pub(super) use supervise::supervise;

/// The cursor is written at most this often.
const CURSOR_EVERY: Duration = Duration::from_millis(100);
/// How often the task looks at how far it is behind.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// Looks after which a message without an answer means that the sink is down.
const UNANSWERED_LOOKS_MAX: u64 = 120;
/// How long confirmations are waited for when the subscription ends or starts anew.
const QUIET: Duration = Duration::from_secs(5);
/// Messages that wait in lanes, at least, and times `in_flight_max`.
const WAITING_MIN: usize = 4_096;
const WAITING_FACTOR: usize = 4;
/// Size of their bodies, in bytes; a batch more at most.
const WAITING_BYTES_MAX: usize = 32 << 20;
/// Answers taken in one round.
const ROUND_LEN: usize = 256;
/// Dead letters that are fetched ahead at most.
const FETCHED_MAX: usize = 256;
/// Longest reason that is kept, in bytes.
const REASON_BYTES_MAX: usize = 512;

/// Something that a task waits for beside deliveries.
enum Work {
    /// A refused message may be tried again.
    Again { lane: Lane, epoch: u64 },
    /// Letters are in the book.
    Booked { letters: Vec<(Position, Option<OrderNo>)>, bytes: usize, result: Result<(), RelayError> },
    /// A delivered letter is out of the book.
    Removed { position: Position, order_no: Option<OrderNo>, result: Result<(), RelayError> },
    /// A letter was fetched, to be delivered again.
    Fetched {
        position: Position,
        order_no: Option<OrderNo>,
        epoch: u64,
        result: Result<Option<(Letter, Vec<u8>)>, RelayError>,
    },
    /// Something was written that nobody waits for.
    Wrote(Result<(), RelayError>),
    /// When the event at a cursor happened, in ms since the Unix epoch.
    Oldest { cursor: Position, at_ms: u64 },
}

/// A subscription at work.
struct Task {
    name: String,
    world: Arc<World>,
    board: Arc<Board>,
    spec: Arc<SubscriptionSpec>,
    sink: Option<Arc<dyn Sink>>,
    reading: Option<Reading>,
    lanes: Lanes,
    progress: Progress,
    dead: Dead,
    /// Letters that are gone already, while the cursor is still before them: they don't come again. As many as there may
    /// be letters, at most.
    passed: BTreeSet<Position>,
    deliveries: FuturesUnordered<UnderWay>,
    window: Window,
    work: FuturesUnordered<Pin<Box<dyn Future<Output = Work> + Send>>>,
    /// Lanes were emptied so often: what was begun before means nothing any more.
    epoch: u64,
    /// The sink went down so often: what is heard of earlier deliveries says nothing about it now.
    wave: u64,
    /// Times that the sink was down in a row.
    failures: u32,
    /// Until the sink is tried again.
    waiting: Option<Pin<Box<Sleep>>>,
    /// One message is on its way to see whether the sink is there again.
    probing: bool,
    /// Letters on their way to the book, the size of their messages in bytes, and letters being fetched from it.
    booking: usize,
    booking_bytes: usize,
    fetching: usize,
    stored_cursor: Position,
    cursor_due: Option<Pin<Box<Sleep>>>,
    cursor_write: Option<(Position, Written)>,
    /// Position whose time was looked up last.
    looked_at: Position,
    /// Times that it was looked at how things stand.
    looks: u64,
    jitter: Jitter,
}

/// What happened next.
enum Happened {
    Command(Option<Command>),
    Delivered(Option<deliver::Delivered>),
    Worked(Option<Work>),
    Read(Option<Batch>),
    WaitedEnough,
    CursorDue,
    CursorWritten(Result<(), RelayError>),
    Look,
}

impl Task {
    /// Works until the subscription ends.
    async fn run(&mut self, commands: &mut mpsc::Receiver<Command>) {
        let mut look = Box::pin(sleep(LOOK_EVERY));
        loop {
            self.go_on();
            let reads = self.is_running() && self.has_room();
            let happened = tokio::select! {
                command = commands.recv() => Happened::Command(command),
                delivered = self.deliveries.next(), if !self.deliveries.is_empty() => {
                    Happened::Delivered(delivered)
                }
                work = self.work.next(), if !self.work.is_empty() => Happened::Worked(work),
                batch = next_batch(&mut self.reading), if reads => Happened::Read(batch),
                () = maybe(&mut self.waiting) => Happened::WaitedEnough,
                () = maybe(&mut self.cursor_due) => Happened::CursorDue,
                result = written(&mut self.cursor_write) => Happened::CursorWritten(result),
                () = &mut look => Happened::Look,
            };
            match happened {
                Happened::Command(Some(command)) => {
                    if !self.obey(command).await {
                        return;
                    }
                }
                // The engine is gone without a shutdown.
                Happened::Command(None) => return,
                Happened::Delivered(first) => {
                    let mut next = first;
                    for _ in 0..ROUND_LEN {
                        let Some(delivered) = next else { break };
                        self.delivered(delivered);
                        next = self.deliveries.next().now_or_never().flatten();
                    }
                    if let Some(last) = next {
                        self.delivered(last);
                    }
                }
                Happened::Worked(Some(work)) => self.worked(work),
                Happened::Worked(None) => {}
                Happened::Read(Some(batch)) => self.take_in(batch),
                Happened::Read(None) => {
                    // The journal is closed, or the reader has panicked.
                    self.reading = None;
                    self.fail("its reader has ended".to_owned());
                }
                Happened::WaitedEnough => self.waiting = None,
                Happened::CursorDue => {
                    self.cursor_due = None;
                    self.begin_cursor_write();
                }
                Happened::CursorWritten(result) => self.cursor_written(result),
                Happened::Look => {
                    self.look();
                    look = Box::pin(sleep(LOOK_EVERY));
                }
            }
        }
    }

    /// Begins whatever can begin, and shows how things stand.
    fn go_on(&mut self) {
        if self.is_running() {
            if self.reading.is_none() && !self.is_pulled() {
                let renderer = self.world.renderer(&self.spec);
                let chosen = Chosen::new(&self.spec.events);
                self.reading = Some(Reading::start(&self.world, renderer, chosen, self.progress.cursor()));
            }
            self.launch();
        } else if self.deliveries.is_empty() {
            self.close_sink();
            if self.lanes.len() > 0 && !self.is_paused() {
                self.reset(self.progress.cursor());
            }
        }
        let cursor = self.progress.cursor();
        if cursor != self.stored_cursor && self.cursor_due.is_none() && self.cursor_write.is_none() {
            self.cursor_due = Some(Box::pin(sleep(CURSOR_EVERY)));
        }
        self.board.set_cursor(cursor);
        match self.progress.oldest_at_ms() {
            Some(at_ms) => self.board.set_oldest_at_ms(at_ms),
            None if cursor == self.looked_at => {}
            None => self.board.set_oldest_at_ms(0),
        }
        self.board.set_in_flight(self.deliveries.len());
        self.board.set_dead_letters(self.dead.len());
    }

    fn is_running(&self) -> bool {
        let standing = self.board.standing();
        standing.stored == StoredState::Running && standing.failed.is_none()
    }

    fn is_paused(&self) -> bool {
        matches!(self.board.standing().stored, StoredState::Paused { .. })
    }

    fn is_released(&self) -> bool {
        matches!(self.board.standing().stored, StoredState::Suspended { released: true, .. })
    }

    fn is_pulled(&self) -> bool {
        matches!(self.spec.sink, SinkSpec::Pull {})
    }

    /// Whether another batch may be taken in.
    fn has_room(&self) -> bool {
        let len_max = (self.spec.in_flight_max as usize * WAITING_FACTOR).max(WAITING_MIN);
        self.lanes.len() + self.booking < len_max
            && self.lanes.bytes() + self.booking_bytes < WAITING_BYTES_MAX
    }

    /// Takes in what was read.
    fn take_in(&mut self, batch: Batch) {
        let (messages, read_to, skipped) = match batch {
            Batch::Messages { messages, read_to, skipped } => (messages, read_to, skipped),
            Batch::Trimmed { first } => {
                return self.suspend(format!("the journal begins at position {first}"), true);
            }
            Batch::Failed(reason) => {
                self.reading = None;
                return self.fail(reason);
            }
        };
        for made in messages {
            let message = Arc::new(made.message);
            let position = message.position;
            if self.passed.contains(&position) {
                continue;
            }
            match self.dead.standing(position, message.order_no) {
                Standing::Free => {
                    self.progress.read(position, message.at_ms);
                    self.lanes.push(made.lane, Item { message, origin: Origin::Journal, attempts: 0 });
                }
                Standing::Dead => {}
                Standing::Behind(first) => {
                    self.progress.read(position, message.at_ms);
                    let reason = behind(first);
                    if !self.bury(vec![letters::Grave { message, attempts: 0, reason }]) {
                        return;
                    }
                }
            }
        }
        self.progress.read_to(read_to);
        self.board.skipped.fetch_add(skipped, Ordering::Relaxed);
    }

    /// Something that was waited for is there.
    fn worked(&mut self, work: Work) {
        match work {
            Work::Again { lane, epoch } => {
                if epoch == self.epoch {
                    self.lanes.again(lane);
                }
            }
            Work::Booked { letters, bytes, result } => {
                self.booking -= letters.len();
                self.booking_bytes -= bytes;
                match result {
                    Ok(()) => {
                        for (position, order_no) in letters {
                            self.dead.booked(position, order_no);
                            self.progress.done(position);
                        }
                    }
                    Err(error) => self.fail(error.to_string()),
                }
            }
            Work::Removed { position, order_no, result } => match result {
                Ok(()) => self.gone(position, order_no),
                Err(error) => self.fail(error.to_string()),
            },
            Work::Fetched { position, order_no, epoch, result } => {
                self.fetching -= 1;
                self.fetched((position, order_no), epoch, result);
            }
            Work::Wrote(Ok(())) => {}
            Work::Wrote(Err(error)) => self.fail(error.to_string()),
            Work::Oldest { cursor, at_ms } => {
                if self.progress.oldest_at_ms().is_none() && self.progress.cursor() == cursor {
                    self.board.set_oldest_at_ms(at_ms);
                }
            }
        }
    }

    fn begin_cursor_write(&mut self) {
        let cursor = self.progress.cursor();
        let mut changes = Changes::default();
        changes.cursor(&self.name, cursor);
        let still_before = self.passed.split_off(&cursor);
        for position in std::mem::replace(&mut self.passed, still_before) {
            changes.forget_passed(&self.name, position);
        }
        self.cursor_write = Some((cursor, self.world.book.write(changes)));
    }

    fn cursor_written(&mut self, result: Result<(), RelayError>) {
        let Some((cursor, _)) = self.cursor_write.take() else { return };
        match result {
            Ok(()) => self.cursor_is_durable(cursor),
            Err(error) => {
                // Not again and again.
                self.stored_cursor = cursor;
                self.fail(error.to_string());
            }
        }
    }

    /// Only now may the journal lose what is before it.
    fn cursor_is_durable(&mut self, cursor: Position) {
        self.stored_cursor = cursor;
        if !self.is_released() {
            // What is behind the cursor was held all the time.
            let _ = self.world.holds.hold(&holder(&self.name), cursor);
        }
    }

    /// Takes a letter out of the book.
    fn take_out(&self, changes: &mut Changes, position: Position, body_bytes: usize) {
        changes.gone(&self.name, position, body_bytes);
        if position >= self.stored_cursor {
            changes.passed(&self.name, position);
        }
    }

    /// A letter is out of the book.
    fn gone(&mut self, position: Position, order_no: Option<OrderNo>) {
        self.dead.gone(position, order_no);
        if position >= self.stored_cursor {
            self.passed.insert(position);
        }
    }

    /// Looks at how far it is behind, and at whether the sink answers at all.
    fn look(&mut self) {
        if let Some(reason) = too_far_behind(&self.world, &self.board) {
            self.suspend(reason, true);
        }
        self.looks += 1;
        if self.deliveries.iter().any(|delivery| self.looks - delivery.looks() > UNANSWERED_LOOKS_MAX) {
            // Begun anew, from the cursor: what is on its way can't be told from what never went.
            self.reset(self.progress.cursor());
            self.close_sink();
            let reason = format!("no answer within {} s", LOOK_EVERY.as_secs() * UNANSWERED_LOOKS_MAX);
            self.went_down(self.wave, reason);
        }
        let cursor = self.progress.cursor();
        if self.progress.oldest_at_ms().is_none() && cursor != self.looked_at && cursor < self.world.next() {
            self.looked_at = cursor;
            let world = Arc::clone(&self.world);
            let look_up = tokio::task::spawn_blocking(move || read_events(&world, cursor));
            self.work.push(Box::pin(async move {
                let events = look_up.await.ok().and_then(Result::ok).unwrap_or_default();
                Work::Oldest { cursor, at_ms: events.first().map_or(0, |first| first.event.at_ms()) }
            }));
        }
    }

    /// Stops for good until somebody looks after it. The cursor stays; with `release` the journal does not.
    fn suspend(&mut self, reason: String, release: bool) {
        self.reading = None;
        let record = {
            let mut standing = self.board.standing();
            standing.stored = StoredState::Suspended { reason: reason.clone(), released: release };
            standing.down = None;
            standing.record()
        };
        tracing::error!(subscription = self.name, reason, "a relay subscription is suspended");
        if release {
            self.world.holds.release(&holder(&self.name));
        }
        let mut changes = Changes::default();
        changes.subscription(&self.name, &record);
        changes.cursor(&self.name, self.progress.cursor());
        let written = self.world.book.write(changes);
        self.work.push(Box::pin(async move { Work::Wrote(written.await) }));
    }

    /// It can't go on: what it keeps can't be written, or what it needs can't be read.
    fn fail(&mut self, reason: String) {
        let mut standing = self.board.standing();
        if standing.failed.is_none() {
            tracing::error!(subscription = self.name, reason, "a relay subscription has failed");
            standing.failed = Some(reason);
        }
    }

    /// Begins anew at a cursor, as if nothing had been read. Letters on their way wait for their turn again.
    fn reset(&mut self, cursor: Position) {
        self.epoch += 1;
        self.reading = None;
        self.deliveries.clear();
        self.probing = false;
        for item in self.lanes.clear() {
            self.dead.give_back(item.message.position, item.message.order_no);
        }
        self.progress = Progress::new(cursor);
    }

    /// Lets the sink go, in the background.
    fn close_sink(&mut self) {
        if let Some(sink) = self.sink.take() {
            tokio::spawn(tokio::time::timeout(QUIET, async move { sink.close().await }));
        }
    }
}

/// Why a subscription must let the journal go, if it must.
fn too_far_behind(world: &World, board: &Board) -> Option<String> {
    let (lag_bytes_max, released) = {
        let standing = board.standing();
        let released = matches!(standing.stored, StoredState::Suspended { released: true, .. });
        (standing.spec.lag_bytes_max, released)
    };
    let is_too_far = !released && board.bytes_behind(world) > lag_bytes_max;
    is_too_far.then(|| format!("it fell more than {lag_bytes_max} bytes of journal behind"))
}

fn behind(first: Position) -> String {
    format!("it stands behind the dead letter at position {first} of its order")
}

/// A reason as it is kept: sinks may repeat what others say.
fn cut(mut reason: String) -> String {
    reason.truncate(text::cut(&reason, REASON_BYTES_MAX).len());
    reason
}

async fn next_batch(reading: &mut Option<Reading>) -> Option<Batch> {
    match reading {
        Some(reading) => reading.next().await,
        None => pending().await,
    }
}

async fn maybe(sleep: &mut Option<Pin<Box<Sleep>>>) {
    match sleep {
        Some(sleep) => sleep.await,
        None => pending().await,
    }
}

async fn written(write: &mut Option<(Position, Written)>) -> Result<(), RelayError> {
    match write {
        Some((_, written)) => written.await,
        None => pending().await,
    }
}

/// Spreads retries, so that those who failed together don't come again together.
struct Jitter {
    seed: RandomState,
    drawn: u64,
}

impl Jitter {
    fn new() -> Self {
        Self { seed: RandomState::new(), drawn: 0 }
    }

    /// The wait before try number `nth`, counted from 1: it doubles up to the bound, and half of it is random.
    fn backoff(&mut self, spec: &SubscriptionSpec, nth: u32) -> Duration {
        let retry = &spec.retry;
        let doubled = retry.backoff_ms.saturating_mul(1 << nth.saturating_sub(1).min(32));
        let whole_ms = doubled.min(retry.backoff_ms_max);
        self.drawn += 1;
        let random_ms = self.seed.hash_one(self.drawn) % (whole_ms / 2 + 1);
        Duration::from_millis(whole_ms - random_ms)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_their_bound_and_are_spread() {
        let spec = r#"{"sink":{"kind":"pull"},"retry":{"backoff_ms":100,"backoff_ms_max":1000}}"#;
        let spec: SubscriptionSpec = serde_json::from_str(spec).unwrap();
        let mut jitter = Jitter::new();
        for (nth, whole_ms) in
            [(1, 100), (2, 200), (3, 400), (4, 800), (5, 1000), (60, 1000), (u32::MAX, 1000)]
        {
            for _ in 0..100 {
                let wait_ms = jitter.backoff(&spec, nth).as_millis();
                assert!((whole_ms / 2..=whole_ms).contains(&wait_ms), "try {nth}: {wait_ms} ms");
            }
        }
        let drawn: std::collections::HashSet<_> = (0..100).map(|_| jitter.backoff(&spec, 5)).collect();
        assert!(drawn.len() > 1);
    }

    #[test]
    fn reasons_are_cut_between_characters() {
        assert_eq!(cut("short".into()), "short");
        let long = cut("满".repeat(400));
        assert!(long.len() <= REASON_BYTES_MAX && long.len() > REASON_BYTES_MAX - 3);
    }
}
