//! The one thread that writes: group commit, and nothing acknowledged before its time.
//!
//! A commit takes what has been queued meanwhile, packs it into frames, writes them, syncs, publishes the positions
//! and only then runs the acknowledgements, in the order of the appends. So the slower the disk, the larger the
//! commits. The first error ends it (R13): what a failed sync has left on the disk is unknown, and a second one that
//! succeeds would not mean that the data of the first is there.

use std::collections::VecDeque;
use std::mem;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use crate::domain::ids::Position;

use super::entry::EntryBuffer;
use super::handle::{Acknowledge, Batch, Durability, Queue, Shared, WriterOptions};
use super::pack::Packer;
use super::{Journal, JournalError};

/// Emptied buffers that are kept for producers.
const SPARE_BUFFERS_MAX: usize = 64;
/// A buffer that grew beyond this is given back to the allocator, in bytes.
const SPARE_BUFFER_BYTES_MAX: usize = 1 << 20;

/// The writer thread's state.
pub(super) struct Writer<J> {
    journal: J,
    shared: Arc<Shared>,
    options: WriterOptions,
    /// When the first of `pending` was appended, in µs.
    pending_since_us: u64,
    /// When the oldest entry that is written and not synced was appended, in µs, if there is one.
    unsynced_since_us: Option<u64>,
    /// Taken from the queue and not completely written.
    pending: VecDeque<Batch>,
    packer: Packer,
    /// Due after the commit under way.
    acknowledgements: VecDeque<Acknowledge>,
    /// Emptied since the queue was locked last.
    emptied: Vec<EntryBuffer>,
    written: Position,
    synced: Position,
    unsynced_bytes: usize,
    /// When the written must be synced, by [`WriterOptions::monotonic_ms`].
    sync_due_ms: Option<u64>,
    /// When the backend must settle.
    settle_due_ms: Option<u64>,
    trim_to: Position,
    trim_more: bool,
}

impl<J: Journal> Writer<J> {
    pub(super) fn new(journal: J, shared: Arc<Shared>, options: WriterOptions, last: Position) -> Self {
        Self {
            journal,
            shared,
            options,
            pending_since_us: 0,
            unsynced_since_us: None,
            pending: VecDeque::new(),
            packer: Packer::default(),
            acknowledgements: VecDeque::new(),
            emptied: Vec::new(),
            written: last,
            synced: last,
            unsynced_bytes: 0,
            sync_due_ms: None,
            settle_due_ms: None,
            trim_to: Position(0),
            trim_more: false,
        }
    }

    /// The thread's body: runs until closed or poisoned.
    pub(super) fn run_to_end(mut self) {
        let outcome = catch_unwind(AssertUnwindSafe(|| self.run()))
            .unwrap_or_else(|panic| Err(JournalError::panicked("write the journal", &*panic)));
        // Refuse first, drop afterwards: whoever hears that its acknowledgement was dropped must not get in again.
        match outcome {
            Ok(()) => drop(self.shared.stop("it was closed", false)),
            Err(error) => {
                let reason = error.to_string();
                tracing::error!(%reason, "the journal is poisoned");
                let queued = self.shared.stop(&reason, true);
                // Whatever these run on being dropped must not keep the hook from being called.
                let dropped = catch_unwind(AssertUnwindSafe(|| {
                    self.acknowledgements.clear();
                    self.pending.clear();
                    drop(queued);
                }));
                (self.options.on_poison)(&reason);
                drop(dropped);
            }
        }
    }

    fn run(&mut self) -> Result<(), JournalError> {
        loop {
            let closing = self.take();
            if !self.pending.is_empty() {
                self.commit()?;
            }
            self.trim_step()?;
            self.do_due()?;
            if closing && self.pending.is_empty() {
                self.sync()?;
                self.shared.publish(self.written, self.synced);
                self.shared.tell_durable();
                return self.journal.settle();
            }
        }
    }

    /// Takes everything that is queued, waiting for it when there is nothing else to do. Returns whether this is the
    /// last there will be.
    fn take(&mut self) -> bool {
        let shared = Arc::clone(&self.shared);
        let mut queue = shared.lock();
        self.give_back(&mut queue);
        while self.pending.is_empty()
            && queue.batches.is_empty()
            && !queue.closing
            && !self.trim_more
            && queue.trim_to <= self.trim_to
        {
            let due = [self.sync_due_ms, self.settle_due_ms].into_iter().flatten().min();
            let wait_ms = due.map(|due_ms| due_ms.saturating_sub((self.options.monotonic_ms)()));
            if wait_ms == Some(0) {
                break;
            }
            queue.writer_asleep = true;
            queue = match wait_ms {
                None => shared.wake.wait(queue).unwrap_or_else(PoisonError::into_inner),
                Some(wait_ms) => {
                    let wait = Duration::from_millis(wait_ms);
                    shared.wake.wait_timeout(queue, wait).unwrap_or_else(PoisonError::into_inner).0
                }
            };
            queue.writer_asleep = false;
        }
        self.trim_more |= queue.trim_to > self.trim_to;
        self.trim_to = queue.trim_to;
        if self.pending.is_empty() {
            self.pending_since_us = queue.waiting_since_us;
            mem::swap(&mut self.pending, &mut queue.batches);
        } else {
            self.pending.append(&mut queue.batches);
        }
        queue.closing
    }

    fn give_back(&mut self, queue: &mut Queue) {
        let room = SPARE_BUFFERS_MAX.saturating_sub(queue.spare.len());
        queue.spare.extend(self.emptied.drain(..).take(room));
    }

    /// One group commit.
    fn commit(&mut self) -> Result<(), JournalError> {
        let last = self.pack();
        let bytes = self.packer.payload_bytes();
        if bytes > 0 {
            if self.unsynced_bytes + bytes > self.options.sync_bytes_max {
                self.sync()?;
            }
            self.write(last)?;
            match self.options.durability {
                Durability::Synced | Durability::Memory => self.sync()?,
                Durability::Buffered { interval_ms } if self.sync_due_ms.is_none() => {
                    self.sync_due_ms = Some((self.options.monotonic_ms)().saturating_add(interval_ms));
                }
                Durability::Buffered { .. } => {}
            }
        }
        // Positions first, so that whoever is acknowledged finds its own work among the acknowledged.
        self.shared.publish(self.written, self.synced);
        self.shared.taken_from_queue(bytes);
        // One at a time: should one panic, the others are dropped only once the journal refuses.
        while let Some(acknowledge) = self.acknowledgements.pop_front() {
            acknowledge();
        }
        self.shared.tell_durable();
        Ok(())
    }

    /// Packs as many pending entries as one commit may hold; returns the last position among them.
    fn pack(&mut self) -> Position {
        self.packer.clear();
        let mut last = self.written;
        while let Some(batch) = self.pending.front_mut() {
            let at = Position(batch.first.0 + u64::from(batch.done.events));
            let (done, complete) =
                self.packer.add(&batch.entries, batch.done, at, self.options.commit_bytes_max);
            batch.done = done;
            last = Position(batch.first.0 + u64::from(done.events) - 1);
            if !complete {
                break;
            }
            if let Some(mut batch) = self.pending.pop_front() {
                self.acknowledgements.extend(batch.acknowledge.take());
                batch.entries.clear();
                if (1..=SPARE_BUFFER_BYTES_MAX).contains(&batch.entries.capacity()) {
                    self.emptied.push(batch.entries);
                }
            }
        }
        last
    }

    fn write(&mut self, last: Position) -> Result<(), JournalError> {
        let events = self.packer.events();
        let payload_bytes = self.packer.payload_bytes();
        let frames = self.packer.finish();
        self.journal.write(frames)?;
        let counters = &self.shared.counters;
        let bytes = frames.iter().map(|frame| frame.bytes().len() as u64).sum();
        counters.commits.fetch_add(1, Ordering::Relaxed);
        counters.frames.fetch_add(frames.len() as u64, Ordering::Relaxed);
        counters.events.fetch_add(events, Ordering::Relaxed);
        counters.bytes.fetch_add(bytes, Ordering::Relaxed);
        let figures = &self.shared.figures;
        figures.commit_events.record(events);
        figures.commit_bytes.record(bytes);
        self.unsynced_since_us.get_or_insert(self.pending_since_us);
        self.written = last;
        self.unsynced_bytes += payload_bytes;
        Ok(())
    }

    /// Makes everything written power-safe; nothing to do where it is already.
    fn sync(&mut self) -> Result<(), JournalError> {
        self.sync_due_ms = None;
        if self.synced == self.written {
            return Ok(());
        }
        let started_us = self.shared.now_us();
        self.journal.sync(self.written)?;
        self.shared.counters.syncs.fetch_add(1, Ordering::Relaxed);
        self.measure_sync(started_us);
        self.synced = self.written;
        self.unsynced_bytes = 0;
        if self.settle_due_ms.is_none() {
            let now_ms = (self.options.monotonic_ms)();
            self.settle_due_ms = Some(now_ms.saturating_add(self.options.settle_interval_ms));
        }
        Ok(())
    }

    /// Notes how long a sync took that has just ended, and how long its oldest entry has waited for it.
    fn measure_sync(&mut self, started_us: u64) {
        let since_us = self.unsynced_since_us.take();
        if self.shared.monotonic_us.is_some() {
            let (figures, ended_us) = (&self.shared.figures, self.shared.now_us());
            figures.sync_us.record(ended_us.saturating_sub(started_us));
            figures.durable_us.record(ended_us.saturating_sub(since_us.unwrap_or(started_us)));
        }
    }

    /// One bounded step of trimming, so that a long trim never holds up commits.
    fn trim_step(&mut self) -> Result<(), JournalError> {
        if self.trim_more {
            let keep_from = self.trim_to.min(Position(self.synced.0 + 1));
            self.trim_more = self.journal.trim(keep_from)?.more;
        }
        Ok(())
    }

    /// What the timers ask for.
    fn do_due(&mut self) -> Result<(), JournalError> {
        if self.sync_due_ms.is_none() && self.settle_due_ms.is_none() {
            return Ok(());
        }
        let now_ms = (self.options.monotonic_ms)();
        if self.sync_due_ms.is_some_and(|due_ms| due_ms <= now_ms) {
            self.sync()?;
            self.shared.publish(self.written, self.synced);
            self.shared.tell_durable();
        }
        if self.settle_due_ms.is_some_and(|due_ms| due_ms <= now_ms) {
            self.settle_due_ms = None;
            self.journal.settle()?;
        }
        Ok(())
    }
}
