//! The store projection actor: follows the durable journal, checkpoint by checkpoint.
//!
//! A checkpoint reads frames, asks the order actors for what their events touched, waits until what the actors gave is
//! durable too, and commits it all with its position. Only then are closed orders allowed to leave memory, and the
//! journal to be trimmed, one checkpoint later. When anything fails the store stops for good: orders go on.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use ractor::{Actor, ActorProcessingErr, ActorRef};
use tokio::sync::oneshot;

use super::board::StoreBoard;
use super::tap::{Tap, Touched};
use super::{Sums, by_owner};
use crate::actors::order::OrderItem;
use crate::actors::order::cold::StoreView;
use crate::actors::order::gather::{Gather, Gathered};
use crate::domain::ids::Position;
use crate::journal::{Frame, Holds, JournalHandle, JournalRead};
use crate::projection::store::{Checkpointer, Taken};
use crate::runtime::clock::Clock;
use crate::runtime::inbox::Inbox;

/// Orders that one question to an order actor names, so that new orders don't wait long behind it: about a tenth of a
/// millisecond.
const GATHER_ORDERS_MAX: usize = 256;
/// Questions that an order actor has at a time; it answers some in each of its rounds. Under load an answer takes as long
/// as a round or two, so one at a time would make the store slow and nothing else fast.
const GATHERS_AHEAD: usize = 8;
/// Bytes of journal read at a time.
const READ_BYTES: usize = 1 << 20;
/// Frames that one checkpoint takes in, in bytes (one read more at most): tasks of the delay queue may have 64 KiB each, so
/// a number of events alone bounds no memory.
const CHECKPOINT_BYTES_MAX: usize = 64 << 20;
/// Records that one cold file takes, in bytes.
const ARCHIVE_BYTES: usize = 64 << 20;
/// Merging that one checkpoint brings with it, in bytes.
const MERGE_BYTES: usize = 8 << 20;
/// While more events wait than one checkpoint takes, merging waits too, until a level has so many runs.
const RUNS_MAX: usize = 32;

/// What the projector works with.
pub(crate) struct ProjectorWorld {
    pub(crate) journal: JournalHandle,
    pub(crate) orders: Vec<Arc<Inbox<OrderItem>>>,
    pub(crate) view: Arc<StoreView>,
    pub(crate) board: Arc<StoreBoard>,
    pub(crate) clock: Clock,
    pub(crate) events_max: usize,
    pub(crate) journal_keep_min_bytes: u64,
    pub(crate) payment_window_ms: u64,
    pub(crate) archive_after_ms: u64,
    /// Set while a call is on its way to the projector, so that a busy one is not called twice.
    pub(crate) called: AtomicBool,
    /// Who else still needs the journal.
    pub(crate) holds: Arc<Holds>,
    /// Where touched orders go once they are stored.
    pub(crate) tap: Arc<Tap>,
}

/// A message to the projector.
#[derive(Debug)]
pub(crate) enum Call {
    /// Take in what is durable.
    Advance,
    /// Take in everything up to here, then answer.
    AdvanceTo(Position, oneshot::Sender<()>),
    /// Move old orders to cold files.
    Archive,
}

/// The actor.
pub(crate) struct Projector {
    world: Arc<ProjectorWorld>,
}

/// Its state.
pub(crate) struct ProjectorState {
    /// Elsewhere while it works; gone once it has failed.
    checkpointer: Option<Checkpointer>,
    /// Checkpoints that the journal may be trimmed to, oldest first: position, and bytes written to the journal by then.
    trims: VecDeque<(Position, u64)>,
    /// The store needs nothing of the journal before this.
    trim_to: Position,
    /// The journal was last told to keep what is from here on.
    trimmed_to: Position,
    /// The last checkpoint left frames behind because of their size.
    was_cut: bool,
}

impl Projector {
    /// A projector.
    pub(crate) fn new(world: Arc<ProjectorWorld>) -> Self {
        Self { world }
    }

    /// One checkpoint. False when there was nothing to take in, or the engine is closing.
    async fn checkpoint(&self, state: &mut ProjectorState) -> Result<bool, String> {
        let world = &self.world;
        let Some(checkpointer) = state.checkpointer.take() else { return Ok(false) };
        let durable = world.journal.durable();
        if durable <= checkpointer.position() {
            // Time for the merging that had to wait.
            state.checkpointer = Some(self.merge(checkpointer).await?);
            return Ok(false);
        }
        let from = checkpointer.position();
        let (reader, events_max) = (world.journal.reader(), world.events_max);
        let (mut checkpointer, taken, was_cut) = blocking(move || {
            let mut checkpointer = checkpointer;
            let (frames, was_cut) = read_frames(
                reader.as_ref(),
                checkpointer.position(),
                durable,
                (events_max, CHECKPOINT_BYTES_MAX),
            )?;
            let taken = checkpointer.take(&frames).map_err(|error| error.to_string())?;
            Ok((checkpointer, taken, was_cut))
        })
        .await?;
        state.was_cut = was_cut;

        // Asked once: what was gathered unkept must not look as if nothing had been touched.
        let mut kept = world.tap.is_open().then(Vec::new);
        let Some(sums) = self.gather(&taken, &mut checkpointer, &mut kept).await else { return Ok(false) };
        if !self.wait_durable(sums.as_of).await {
            return Ok(false);
        }
        let (closed_sum, closed_count) = (sums.closed_sum, sums.closed_count);
        let (checkpointer, taken, report) = blocking(move || {
            let report = checkpointer.commit(&taken, closed_sum, closed_count);
            report.map(|report| (checkpointer, taken, report)).map_err(|error| error.to_string())
        })
        .await?;

        // Before anybody hears of the position: whoever sees the store ahead of the tap knows that something was dropped.
        if let Some(gathered) = kept {
            world.tap.offer(Touched { from, up_to: taken.up_to, gathered });
        }
        world.view.publish(taken.up_to);
        let board = &world.board;
        board.checkpoints.fetch_add(1, Ordering::Relaxed);
        board.written_bytes.fetch_add(report.bytes_written, Ordering::Relaxed);
        board.stored_at_ms.store(checkpointer.latest_at_ms(), Ordering::Relaxed);
        // Whoever left memory only waited for this.
        for inbox in &world.orders {
            let _ = inbox.push(OrderItem::Tick);
        }
        self.trim(state, taken.up_to);
        state.checkpointer = Some(self.merge(checkpointer).await?);
        Ok(true)
    }

    /// Asks the order actors for what was touched, and stages it; keeps it for the tap. `None` while the engine closes.
    async fn gather(
        &self,
        taken: &Taken,
        checkpointer: &mut Checkpointer,
        kept: &mut Option<Vec<Gathered>>,
    ) -> Option<Sums> {
        let mut sums = Sums::default();
        let actors = self.world.orders.len();
        let touched = by_owner(taken, actors);
        let mut rounds: Vec<_> = touched.iter().map(|numbers| numbers.chunks(GATHER_ORDERS_MAX)).collect();
        loop {
            let mut answers = Vec::with_capacity(actors * GATHERS_AHEAD);
            for (inbox, chunks) in self.world.orders.iter().zip(&mut rounds) {
                for numbers in chunks.take(GATHERS_AHEAD) {
                    let (reply, answer) = oneshot::channel();
                    let gather = Gather { numbers: numbers.to_vec(), up_to: taken.up_to, reply };
                    inbox.push(OrderItem::Gather(gather)).ok()?;
                    answers.push(answer);
                }
            }
            if answers.is_empty() {
                return Some(sums);
            }
            for answer in answers {
                let gathered = answer.await.ok()?;
                sums.stage(&gathered, checkpointer);
                if let Some(kept) = kept {
                    kept.push(gathered);
                }
            }
        }
    }

    /// Waits until a position is durable; false where that will not come.
    async fn wait_durable(&self, position: Position) -> bool {
        let mut durable = self.world.journal.watch_durable();
        durable.wait_for(|durable| *durable >= position).await.is_ok()
    }

    /// Lets go of the journal before the checkpoint before this one, except for what stays for inspection.
    fn trim(&self, state: &mut ProjectorState, stored: Position) {
        let written = self.world.journal.stats().bytes;
        let keep = self.world.journal_keep_min_bytes;
        let mut trim_to = None;
        while let Some((position, at_bytes)) = state.trims.front().copied()
            && written.saturating_sub(at_bytes) >= keep
        {
            trim_to = Some(position);
            state.trims.pop_front();
        }
        state.trims.push_back((stored, written));
        if let Some(position) = trim_to {
            // Remembered, for the time when those who hold some of it let go.
            state.trim_to = state.trim_to.max(Position(position.0 + 1));
        }
        let keep_from = self.world.holds.give_up(state.trim_to);
        if keep_from > state.trimmed_to {
            state.trimmed_to = keep_from;
            self.world.journal.trim(keep_from);
        }
    }

    /// A piece of the tables' merging, so that look-ups stay fast.
    async fn merge(&self, mut checkpointer: Checkpointer) -> Result<Checkpointer, String> {
        let waiting = self.world.journal.durable().0.saturating_sub(checkpointer.position().0);
        if waiting >= self.world.events_max as u64 && checkpointer.runs_max() < RUNS_MAX {
            self.world.board.merging_waits.store(true, Ordering::Relaxed);
            return Ok(checkpointer);
        }
        let now_ms = self.world.clock.now_ms();
        checkpointer.expire_payments_before(now_ms.saturating_sub(self.world.payment_window_ms));
        let board = Arc::clone(&self.world.board);
        blocking(move || {
            let report = checkpointer.merge(MERGE_BYTES).map_err(|error| error.to_string())?;
            board.written_bytes.fetch_add(report.bytes_written, Ordering::Relaxed);
            board.merging_waits.store(report.more, Ordering::Relaxed);
            Ok(checkpointer)
        })
        .await
    }

    /// Moves what is old enough to cold files, a bounded piece at a time.
    async fn archive(&self, state: &mut ProjectorState) {
        let world = &self.world;
        let before_ms = world.clock.now_ms().saturating_sub(world.archive_after_ms);
        loop {
            let Some(mut checkpointer) = state.checkpointer.take() else { return };
            let archived = blocking(move || {
                let archived = checkpointer.archive(before_ms, ARCHIVE_BYTES);
                archived.map(|archived| (checkpointer, archived)).map_err(|error| error.to_string())
            });
            match archived.await {
                Ok((checkpointer, archived)) => {
                    state.checkpointer = Some(checkpointer);
                    world.board.archived.fetch_add(archived.orders, Ordering::Relaxed);
                    if !archived.more {
                        return;
                    }
                }
                Err(reason) => return world.board.fail(format!("archiving: {reason}")),
            }
            // New events don't wait for old orders.
            self.advance(state, None).await;
        }
    }

    async fn advance(&self, state: &mut ProjectorState, to: Option<Position>) {
        loop {
            match self.checkpoint(state).await {
                Ok(true) => {}
                Ok(false) => break,
                Err(reason) => {
                    self.world.board.fail(reason);
                    break;
                }
            }
            // The next call takes in what came meanwhile; a full batch means that more was waiting all the time.
            let stored = self.world.view.stored();
            let waiting = self.world.journal.durable().0.saturating_sub(stored.0);
            let goes_on =
                to.is_some_and(|to| stored < to) || waiting >= self.world.events_max as u64 || state.was_cut;
            if !goes_on {
                break;
            }
        }
    }
}

impl Actor for Projector {
    type Msg = Call;
    type State = ProjectorState;
    type Arguments = Checkpointer;

    async fn pre_start(
        &self,
        _myself: ActorRef<Call>,
        checkpointer: Checkpointer,
    ) -> Result<ProjectorState, ActorProcessingErr> {
        let trims = VecDeque::from([(checkpointer.position(), 0)]);
        Ok(ProjectorState {
            checkpointer: Some(checkpointer),
            trims,
            trim_to: Position(0),
            trimmed_to: Position(0),
            was_cut: false,
        })
    }

    async fn handle(
        &self,
        _myself: ActorRef<Call>,
        call: Call,
        state: &mut ProjectorState,
    ) -> Result<(), ActorProcessingErr> {
        match call {
            Call::Advance => {
                self.world.called.store(false, Ordering::Release);
                self.advance(state, None).await;
            }
            Call::AdvanceTo(position, done) => {
                self.advance(state, Some(position)).await;
                // Whoever waited may have gone.
                let _ = done.send(());
            }
            Call::Archive => self.archive(state).await,
        }
        Ok(())
    }
}

/// The frames behind `stored`, up to about `events_max` events and `bytes_max` bytes; and whether it was for the
/// latter that there are no more.
fn read_frames(
    reader: &dyn JournalRead,
    stored: Position,
    durable: Position,
    (events_max, bytes_max): (usize, usize),
) -> Result<(Vec<Frame>, bool), String> {
    let mut frames: Vec<Frame> = Vec::new();
    let mut bytes = 0;
    let mut next = Position(stored.0 + 1);
    while next <= durable && (next.0 - stored.0) as usize <= events_max {
        let read = reader.read(next, READ_BYTES).map_err(|error| error.to_string())?;
        if read.is_empty() {
            break;
        }
        // One read may bring far more frames than the checkpoint is to take in.
        for frame in read {
            if !frames.is_empty() && frame.last().0 - stored.0 > events_max as u64 {
                return Ok((frames, false));
            }
            next = Position(frame.last().0 + 1);
            bytes += frame.bytes().len();
            frames.push(frame);
        }
        if bytes >= bytes_max {
            return Ok((frames, next <= durable));
        }
    }
    Ok((frames, false))
}

/// Runs what blocks, off the runtime's threads. A panic is told like an error: the store stops, orders go on.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, String> + Send + 'static,
) -> Result<T, String> {
    match tokio::task::spawn_blocking(work).await {
        Ok(result) => result,
        Err(error) => Err(format!("its work did not end: {error}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::event::Event;
    use crate::journal::{EntryBuffer, Journal, MemoryJournal, pack};

    #[test]
    fn r12_a_checkpoint_is_bounded_in_events_and_in_bytes() {
        let mut journal = MemoryJournal::new(1 << 30);
        let mut entries = EntryBuffer::new();
        (0..400_000).for_each(|until_ms| entries.push(&[Event::NumbersReserved { at_ms: 1, until_ms }]));
        let last = Position(400_000);
        journal.write(&pack(&entries, Position(1))).unwrap();
        journal.sync(last).unwrap();
        let reader = journal.reader();
        let read = |stored, bounds| read_frames(reader.as_ref(), Position(stored), last, bounds).unwrap();
        let end = |frames: &[Frame]| frames.last().map_or(Position(0), Frame::last);

        let (frames, was_cut) = read(0, (usize::MAX, usize::MAX));
        assert_eq!((end(&frames), was_cut), (last, false));
        let all: usize = frames.iter().map(|frame| frame.bytes().len()).sum();
        assert!(all > 3 * READ_BYTES, "{all} bytes");
        let (frames, was_cut) = read(0, (10_000, usize::MAX));
        assert!(end(&frames).0 <= 10_000 && !was_cut);
        let (frames, was_cut) = read(0, (usize::MAX, 1));
        let bytes: usize = frames.iter().map(|frame| frame.bytes().len()).sum();
        assert!(was_cut && end(&frames) < last && bytes <= 2 * READ_BYTES, "{bytes} bytes");
        let (rest, was_cut) = read(end(&frames).0, (usize::MAX, usize::MAX));
        assert_eq!((end(&rest), was_cut, rest[0].first().0), (last, false, end(&frames).0 + 1));
    }
}
