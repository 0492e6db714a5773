//! The journal's front: what actors append to and what everybody else asks for positions.
//!
//! Appending never blocks on the disk: it swaps the caller's buffer into a queue under one short lock. The queue is
//! bounded by its users, not by waiting: admission looks at [`JournalHandle::is_full`] before it lets work in.

use std::collections::VecDeque;
use std::fmt;
use std::mem;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle, ThreadId};

use tokio::sync::watch;

use crate::domain::ids::Position;

use super::entry::{Cut, EntryBuffer};
use super::figures::{Figures, JournalFigures};
use super::writer::Writer;
use super::{Journal, JournalError, JournalRead, Poisoned};

/// When an answer may leave.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Durability {
    /// Once its entry survives a power cut.
    #[default]
    Synced,
    /// Once its entry survives a crash of the process. A power cut takes back at most what the last `interval_ms`,
    /// or the last 4 MiB, brought.
    Buffered {
        /// Longest time between a write and the sync that covers it, in ms.
        interval_ms: u64,
    },
    /// At once: nothing survives. For tests and simulation.
    Memory,
}

/// Called once when everything appended with it, and before it, is acknowledgeable; dropped uncalled when the journal
/// is poisoned first. Runs on the writer thread: it must be quick and must not call [`JournalHandle::close`]. A panic
/// poisons the journal.
pub type Acknowledge = Box<dyn FnOnce() + Send>;

/// Called once, on the writer thread, with the reason when the journal is poisoned.
pub type OnPoison = Box<dyn Fn(&str) + Send>;

/// A clock that never goes back, in µs from anywhere.
pub type MonotonicUs = Arc<dyn Fn() -> u64 + Send + Sync>;

/// How the writer works.
pub struct WriterOptions {
    /// When an answer may leave.
    pub durability: Durability,
    /// Most bytes of entries that one commit takes. A larger batch is split between entries.
    pub commit_bytes_max: usize,
    /// Most bytes that are written before a sync; at least `commit_bytes_max`.
    pub sync_bytes_max: usize,
    /// From this many queued bytes on the queue counts as full.
    pub queue_bytes_max: usize,
    /// Longest time until the backend settles its bookkeeping, in ms.
    pub settle_interval_ms: u64,
    /// A clock that never goes back, in ms from anywhere. It paces syncs and settling only.
    pub monotonic_ms: Box<dyn Fn() -> u64 + Send>,
    /// The clock by which commits and syncs are timed; without one they aren't. It decides nothing. Read three times a
    /// commit, once of them by an appender.
    pub monotonic_us: Option<MonotonicUs>,
    /// Called when the journal is poisoned.
    pub on_poison: OnPoison,
}

impl WriterOptions {
    /// The defaults: commits and syncs of at most 4 MiB, a queue of 64 MiB, settled every 100 ms.
    pub fn new(durability: Durability, monotonic_ms: Box<dyn Fn() -> u64 + Send>) -> Self {
        Self {
            durability,
            commit_bytes_max: 4 << 20,
            sync_bytes_max: 4 << 20,
            queue_bytes_max: 64 << 20,
            settle_interval_ms: 100,
            monotonic_ms,
            monotonic_us: None,
            on_poison: Box::new(|_| {}),
        }
    }
}

impl fmt::Debug for WriterOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WriterOptions")
            .field("durability", &self.durability)
            .field("commit_bytes_max", &self.commit_bytes_max)
            .field("sync_bytes_max", &self.sync_bytes_max)
            .field("queue_bytes_max", &self.queue_bytes_max)
            .field("settle_interval_ms", &self.settle_interval_ms)
            .finish_non_exhaustive()
    }
}

/// What the writer has done since it was started.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct JournalStats {
    /// Commits: each one wrote one or more frames.
    pub commits: u64,
    /// Syncs; one that follows a commit and one on a timer count alike.
    pub syncs: u64,
    /// Frames written.
    pub frames: u64,
    /// Events written.
    pub events: u64,
    /// Bytes written, headers included.
    pub bytes: u64,
}

/// Entries on their way, and whom to tell.
pub(super) struct Batch {
    /// Position of the first event, or the next position where there is none.
    pub(super) first: Position,
    pub(super) entries: EntryBuffer,
    /// What is packed already.
    pub(super) done: Cut,
    pub(super) acknowledge: Option<Acknowledge>,
}

/// What producers and the writer share under the lock.
pub(super) struct Queue {
    pub(super) batches: VecDeque<Batch>,
    /// When the first of `batches` was appended, in µs, where commits are timed.
    pub(super) waiting_since_us: u64,
    /// Emptied buffers, to be handed to producers again.
    pub(super) spare: Vec<EntryBuffer>,
    pub(super) trim_to: Position,
    /// Set by the writer before it waits, cleared by whoever wakes it, so that only a sleeping writer costs a wake-up.
    pub(super) writer_asleep: bool,
    pub(super) closing: bool,
    appended: Position,
    refusal: Option<Poisoned>,
}

/// Counters behind [`JournalStats`].
#[derive(Default)]
pub(super) struct Counters {
    pub(super) commits: AtomicU64,
    pub(super) syncs: AtomicU64,
    pub(super) frames: AtomicU64,
    pub(super) events: AtomicU64,
    pub(super) bytes: AtomicU64,
}

/// The state shared by the handles and the writer.
pub(super) struct Shared {
    queue: Mutex<Queue>,
    pub(super) wake: Condvar,
    appended: AtomicU64,
    acknowledged: AtomicU64,
    durable: watch::Sender<Position>,
    durable_now: AtomicU64,
    queued_bytes: AtomicUsize,
    poisoned: AtomicBool,
    pub(super) counters: Counters,
    pub(super) figures: Figures,
    pub(super) monotonic_us: Option<MonotonicUs>,
}

impl Shared {
    /// The time for measuring, in µs; 0 where nothing is measured.
    pub(super) fn now_us(&self) -> u64 {
        self.monotonic_us.as_ref().map_or(0, |now_us| now_us())
    }

    /// Nothing that runs under the lock can leave the queue half changed, so a panic elsewhere doesn't matter here.
    pub(super) fn lock(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn publish(&self, acknowledged: Position, durable: Position) {
        self.durable_now.store(durable.0, Ordering::Release);
        self.acknowledged.store(acknowledged.0, Ordering::Release);
    }

    /// Wakes those who follow the durable position.
    pub(super) fn tell_durable(&self) {
        let last = Position(self.durable_now.load(Ordering::Acquire));
        self.durable.send_if_modified(|durable| mem::replace(durable, last) != last);
    }

    pub(super) fn taken_from_queue(&self, bytes: usize) {
        self.queued_bytes.fetch_sub(bytes, Ordering::Relaxed);
    }

    /// Refuses everything from here on and gives back what is queued, to be dropped without the lock.
    pub(super) fn stop(&self, reason: &str, poisoned: bool) -> VecDeque<Batch> {
        let mut queue = self.lock();
        queue.refusal = Some(Poisoned { reason: reason.into() });
        self.poisoned.store(poisoned, Ordering::Release);
        mem::take(&mut queue.batches)
    }

    fn update(&self, change: impl FnOnce(&mut Queue)) {
        let mut queue = self.lock();
        change(&mut queue);
        let asleep = mem::take(&mut queue.writer_asleep);
        drop(queue);
        if asleep {
            self.wake.notify_one();
        }
    }
}

/// The journal as actors see it; cheap to clone. When the last handle is dropped the writer finishes what is queued
/// and ends; [`JournalHandle::close`] also waits for it.
///
/// ```
/// use stockade::domain::event::Event;
/// use stockade::domain::ids::Position;
/// use stockade::journal::{Durability, EntryBuffer, JournalHandle, MemoryJournal, WriterOptions};
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let options = WriterOptions::new(Durability::Synced, Box::new(|| 0));
/// let journal = JournalHandle::start(MemoryJournal::new(1 << 20), options)?;
///
/// let mut entries = EntryBuffer::new();
/// entries.push(&[Event::NumbersReserved { at_ms: 1_764_000_000_000, until_ms: 60_000_000_000 }]);
/// let (answer, answered) = std::sync::mpsc::channel();
/// let first = journal.append(&mut entries, Some(Box::new(move || drop(answer.send("durable")))))?;
/// assert_eq!((first, answered.recv()?), (Position(1), "durable"));
///
/// let frames = journal.reader().read(first, 1)?;
/// assert_eq!(frames[0].entries().count(), 1);
/// journal.close()?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct JournalHandle {
    shared: Arc<Shared>,
    owner: Arc<Owner>,
    reader: Arc<dyn JournalRead>,
    durability: Durability,
    queue_bytes_max: usize,
}

/// Ends the writer with its last handle.
struct Owner {
    shared: Arc<Shared>,
    writer_id: ThreadId,
    thread: Mutex<Option<JoinHandle<()>>>,
}

impl Drop for Owner {
    fn drop(&mut self) {
        self.shared.update(|queue| queue.closing = true);
    }
}

impl JournalHandle {
    /// Starts the writer thread behind what `journal` holds already.
    ///
    /// # Errors
    /// [`JournalError::Io`] where no thread can be started.
    ///
    /// # Panics
    /// If `commit_bytes_max` is 0 or above `sync_bytes_max`.
    pub fn start(journal: impl Journal, options: WriterOptions) -> Result<Self, JournalError> {
        assert!(
            (1..=options.sync_bytes_max).contains(&options.commit_bytes_max),
            "commit_bytes_max must be at least 1 and at most sync_bytes_max: {options:?}"
        );
        let reader = journal.reader();
        let last = reader.last();
        let shared = Arc::new(Shared {
            queue: Mutex::new(Queue {
                batches: VecDeque::new(),
                waiting_since_us: 0,
                spare: Vec::new(),
                trim_to: Position(0),
                writer_asleep: false,
                closing: false,
                appended: last,
                refusal: None,
            }),
            wake: Condvar::new(),
            appended: AtomicU64::new(last.0),
            acknowledged: AtomicU64::new(last.0),
            durable: watch::Sender::new(last),
            durable_now: AtomicU64::new(last.0),
            queued_bytes: AtomicUsize::new(0),
            poisoned: AtomicBool::new(false),
            counters: Counters::default(),
            figures: Figures::default(),
            monotonic_us: options.monotonic_us.clone(),
        });
        let (durability, queue_bytes_max) = (options.durability, options.queue_bytes_max);
        let writer = Writer::new(journal, Arc::clone(&shared), options, last);
        let thread = thread::Builder::new()
            .name("journal".to_owned())
            .spawn(move || writer.run_to_end())
            .map_err(|error| JournalError::io("start the thread of", "the journal".as_ref(), error))?;
        let writer_id = thread.thread().id();
        let owner =
            Arc::new(Owner { shared: Arc::clone(&shared), writer_id, thread: Mutex::new(Some(thread)) });
        Ok(Self { shared, owner, reader, durability, queue_bytes_max })
    }

    /// Hands over entries and returns the position of their first event; the others follow without a gap, whatever
    /// other threads append. Without entries it returns the next position, and `acknowledge` is called once
    /// everything appended before is acknowledgeable.
    ///
    /// `entries` comes back empty, with memory of an earlier batch where there is some. Never waits for the disk, and
    /// allocates nothing but queue space.
    ///
    /// # Errors
    /// [`Poisoned`] after the first failure, or once closed; `entries` is untouched and `acknowledge` is dropped then.
    pub fn append(
        &self,
        entries: &mut EntryBuffer,
        acknowledge: Option<Acknowledge>,
    ) -> Result<Position, Poisoned> {
        let mut queue = self.shared.lock();
        if let Some(refusal) = &queue.refusal {
            return Err(refusal.clone());
        }
        if queue.closing {
            return Err(Poisoned { reason: "it is being closed".into() });
        }
        let first = Position(queue.appended.0 + 1);
        if entries.is_empty() && acknowledge.is_none() {
            return Ok(first);
        }
        let spare =
            if entries.is_empty() { EntryBuffer::new() } else { queue.spare.pop().unwrap_or_default() };
        let entries = mem::replace(entries, spare);
        queue.appended.0 += u64::from(entries.event_count());
        self.shared.appended.store(queue.appended.0, Ordering::Release);
        self.shared.queued_bytes.fetch_add(entries.bytes_len(), Ordering::Relaxed);
        if queue.batches.is_empty() {
            // Only whoever finds the queue empty looks at the clock: once a commit, however many append to it.
            queue.waiting_since_us = self.shared.now_us();
        }
        queue.batches.push_back(Batch { first, entries, done: Cut::default(), acknowledge });
        let asleep = mem::take(&mut queue.writer_asleep);
        drop(queue);
        if asleep {
            self.shared.wake.notify_one();
        }
        Ok(first)
    }

    /// The last position whose answers may leave: durable with [`Durability::Synced`], written with
    /// [`Durability::Buffered`], appended with [`Durability::Memory`]. Never decreases.
    pub fn acknowledged(&self) -> Position {
        let acknowledged = match self.durability {
            Durability::Synced | Durability::Buffered { .. } => &self.shared.acknowledged,
            Durability::Memory => &self.shared.appended,
        };
        Position(acknowledged.load(Ordering::Acquire))
    }

    /// The last position that survives a power cut, and that readers see. With [`Durability::Memory`] the last one
    /// that has reached the backend. Never decreases.
    pub fn durable(&self) -> Position {
        Position(self.shared.durable_now.load(Ordering::Acquire))
    }

    /// The last position given out.
    pub fn appended(&self) -> Position {
        Position(self.shared.appended.load(Ordering::Acquire))
    }

    /// Follows [`JournalHandle::durable`]; what it names can be read already.
    pub fn watch_durable(&self) -> watch::Receiver<Position> {
        self.shared.durable.subscribe()
    }

    /// Whether a failure has stopped the journal. Closing it is no failure.
    pub fn poisoned(&self) -> bool {
        self.shared.poisoned.load(Ordering::Acquire)
    }

    /// Why nothing more is accepted, if so: the first failure, or that it was closed.
    pub fn refusal(&self) -> Option<Poisoned> {
        self.shared.lock().refusal.clone()
    }

    /// Bytes of entries that are appended and not yet acknowledgeable.
    pub fn queued_bytes(&self) -> usize {
        self.shared.queued_bytes.load(Ordering::Relaxed)
    }

    /// Whether [`WriterOptions::queue_bytes_max`] is reached, so that no new work should be let in.
    pub fn is_full(&self) -> bool {
        self.queued_bytes() >= self.queue_bytes_max
    }

    /// What the writer has done so far. The figures are read one after the other, so they may be a commit apart.
    pub fn stats(&self) -> JournalStats {
        let counters = &self.shared.counters;
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        JournalStats {
            commits: read(&counters.commits),
            syncs: read(&counters.syncs),
            frames: read(&counters.frames),
            events: read(&counters.events),
            bytes: read(&counters.bytes),
        }
    }

    /// Sizes and times of the commits so far. Read beside a commit, they may lack it or have it in part.
    pub fn figures(&self) -> JournalFigures {
        self.shared.figures.read()
    }

    /// The reading side.
    pub fn reader(&self) -> Arc<dyn JournalRead> {
        Arc::clone(&self.reader)
    }

    /// Asks for the removal of frames wholly before `keep_from`, which happens step by step between commits. What
    /// isn't durable yet stays, and so does the last frame.
    pub fn trim(&self, keep_from: Position) {
        self.shared.update(|queue| queue.trim_to = queue.trim_to.max(keep_from));
    }

    /// Refuses further entries, writes, syncs and acknowledges what is queued, and waits for the writer to end. Calling
    /// it again gives the same result. From an acknowledgement it only asks for the end, since it can't wait for itself.
    ///
    /// # Errors
    /// [`JournalError::Poisoned`] if the journal was poisoned before or on the way.
    pub fn close(&self) -> Result<(), JournalError> {
        self.shared.update(|queue| queue.closing = true);
        if thread::current().id() == self.owner.writer_id {
            return Ok(());
        }
        // A second caller waits here for the first.
        let mut thread = self.owner.thread.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(writer) = thread.take() {
            // The writer catches every panic and says so by poisoning.
            let _ = writer.join();
        }
        match self.refusal() {
            Some(refusal) if self.poisoned() => Err(refusal.into()),
            _ => Ok(()),
        }
    }
}

impl fmt::Debug for JournalHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("JournalHandle")
            .field("durability", &self.durability)
            .field("appended", &self.appended())
            .field("acknowledged", &self.acknowledged())
            .field("durable", &self.durable())
            .field("poisoned", &self.poisoned())
            .finish_non_exhaustive()
    }
}
