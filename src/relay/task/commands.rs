//! What a subscription is told to do. Each command is answered when what it changed is durable.

use std::sync::Arc;

use futures_util::stream::StreamExt;
use tokio::sync::oneshot;
use tokio::time::sleep;

use super::{Changes, QUIET, StoredState, Task};
use crate::domain::ids::{OrderNo, Position};
use crate::relay::board::Standing;
use crate::relay::error::RelayError;
use crate::relay::spec::{Start, SubscriptionSpec};
use crate::relay::world::{World, holder};

/// Letters that are changed together.
const LETTERS_LEN: usize = 1_000;

/// Where an answer goes.
pub(in crate::relay) type Answer<T> = oneshot::Sender<Result<T, RelayError>>;

/// What a subscription is told to do.
pub(in crate::relay) enum Command {
    Pause(Answer<()>),
    Resume(Answer<()>),
    Seek(Start, Answer<()>),
    /// Other settings are in force.
    Change {
        spec: Box<SubscriptionSpec>,
        configured: bool,
        answer: Answer<()>,
    },
    /// It is no longer in the configuration.
    Leave(Answer<()>),
    /// A pulled subscription's messages up to here are done with.
    Acknowledge(Position, Answer<()>),
    /// Somebody who pulls has found nothing to deliver in between.
    Passed {
        from: Position,
        to: Position,
    },
    Requeue(Option<Position>, Answer<u64>),
    Discard(Option<Position>, Answer<u64>),
    Delete(Answer<()>),
    /// The engine ends.
    Close(Answer<()>),
}

impl Command {
    /// Refuses it.
    pub(super) fn refuse(self, error: RelayError) {
        // Whoever asked may have gone.
        match self {
            Self::Pause(answer)
            | Self::Resume(answer)
            | Self::Seek(_, answer)
            | Self::Change { answer, .. }
            | Self::Leave(answer)
            | Self::Acknowledge(_, answer)
            | Self::Delete(answer)
            | Self::Close(answer) => drop(answer.send(Err(error))),
            Self::Requeue(_, answer) | Self::Discard(_, answer) => drop(answer.send(Err(error))),
            Self::Passed { .. } => {}
        }
    }
}

impl Task {
    /// Does as it is told. False where that was the end.
    pub(super) async fn obey(&mut self, command: Command) -> bool {
        match command {
            Command::Pause(answer) => drop(answer.send(self.pause(false).await)),
            Command::Resume(answer) => drop(answer.send(self.resume().await)),
            Command::Seek(to, answer) => drop(answer.send(self.seek(to).await)),
            Command::Change { spec, configured, answer } => {
                drop(answer.send(self.change(*spec, configured).await));
            }
            Command::Leave(answer) => drop(answer.send(self.pause(true).await)),
            Command::Acknowledge(position, answer) => drop(answer.send(self.acknowledge(position).await)),
            Command::Passed { from, to } => {
                if self.progress.cursor() == from && from < to {
                    self.progress.read_to(to);
                }
            }
            Command::Requeue(position, answer) => drop(answer.send(self.requeue(position).await)),
            Command::Discard(position, answer) => drop(answer.send(self.discard(position).await)),
            Command::Delete(answer) => {
                self.end().await;
                let erased = erase(&self.world, &self.name).await;
                let is_gone = erased.is_ok();
                if let Err(error) = &erased {
                    self.fail(error.to_string());
                }
                drop(answer.send(erased));
                return !is_gone;
            }
            Command::Close(answer) => {
                self.end().await;
                self.begin_cursor_write();
                let result = super::written(&mut self.cursor_write).await;
                self.cursor_written(result.clone());
                drop(answer.send(result));
                return false;
            }
        }
        true
    }

    /// Writes another standing, durably, and shows it only then.
    async fn store(
        &mut self,
        cursor: Option<Position>,
        change: impl FnOnce(&mut Standing),
    ) -> Result<(), RelayError> {
        let mut standing = self.board.standing().clone();
        change(&mut standing);
        let mut changes = Changes::default();
        changes.subscription(&self.name, &standing.record());
        if let Some(cursor) = cursor {
            changes.cursor(&self.name, cursor);
        }
        self.write(changes).await?;
        *self.board.standing() = standing;
        Ok(())
    }

    async fn write(&mut self, changes: Changes) -> Result<(), RelayError> {
        let result = self.world.book.write(changes).await;
        if let Err(error) = &result {
            self.fail(error.to_string());
        }
        result
    }

    /// Takes what is confirmed within a bounded time, and begins nothing new.
    async fn quiet(&mut self) {
        let mut end = std::pin::pin!(sleep(QUIET));
        while !self.deliveries.is_empty() {
            tokio::select! {
                Some(delivered) = self.deliveries.next() => self.delivered(delivered),
                () = &mut end => break,
            }
        }
    }

    /// Ends its work in order.
    async fn end(&mut self) {
        self.reading = None;
        self.quiet().await;
        self.deliveries.clear();
        if let Some(sink) = self.sink.take() {
            // Whoever doesn't close in time is left alone.
            let _ = tokio::time::timeout(QUIET, sink.close()).await;
        }
    }

    async fn pause(&mut self, left: bool) -> Result<(), RelayError> {
        self.store(None, |standing| {
            standing.configured &= !left;
            match standing.stored {
                StoredState::Running => standing.stored = StoredState::Paused { left },
                // Paused by a person, it stays so when it comes back into the configuration.
                StoredState::Paused { .. } if !left => standing.stored = StoredState::Paused { left },
                StoredState::Paused { .. } | StoredState::Suspended { .. } => {}
            }
            standing.down = None;
        })
        .await?;
        // Nothing is known of the sink any more.
        (self.failures, self.probing, self.waiting) = (0, false, None);
        self.wave += 1;
        Ok(())
    }

    async fn resume(&mut self) -> Result<(), RelayError> {
        let before = self.board.standing().clone();
        if before.failed.is_none() && before.stored == StoredState::Running {
            // Somebody knows that the sink is there again.
            self.waiting = None;
            return Ok(());
        }
        if matches!(before.stored, StoredState::Paused { .. }) && before.failed.is_none() {
            return self.store(None, |standing| standing.stored = StoredState::Running).await;
        }
        self.quiet().await;
        self.reset(self.progress.cursor());
        let cursor = self.progress.cursor();
        let (from, missing) = hold_what_is_left(&self.world, &self.name, cursor);
        let stored = self.store(Some(from), |standing| {
            standing.stored = StoredState::Running;
            (standing.failed, standing.down) = (None, None);
            if let Some((first, last)) = missing {
                standing.miss(first, last);
            }
        });
        stored.await?;
        self.stored_cursor = from;
        if let Some((first, last)) = missing {
            tracing::error!(
                subscription = self.name,
                first = first.0,
                last = last.0,
                "a relay subscription goes on, and positions are missing"
            );
        }
        self.reset(from);
        Ok(())
    }

    async fn seek(&mut self, to: Start) -> Result<(), RelayError> {
        let target = hold_start(&self.world, &self.name, to)?;
        self.quiet().await;
        self.cursor_write = None;
        // Whoever goes back wants what was there.
        let mut changes = Changes::default();
        for position in std::mem::take(&mut self.passed) {
            changes.forget_passed(&self.name, position);
        }
        self.write(changes).await?;
        self.reset(target);
        let stored = self.store(Some(target), |standing| {
            if matches!(standing.stored, StoredState::Suspended { .. }) {
                standing.stored = StoredState::Running;
            }
            standing.failed = None;
        });
        stored.await?;
        self.stored_cursor = target;
        Ok(())
    }

    async fn change(&mut self, spec: SubscriptionSpec, configured: bool) -> Result<(), RelayError> {
        self.quiet().await;
        self.reset(self.progress.cursor());
        self.close_sink();
        let spec = Arc::new(spec);
        let changed = Arc::clone(&spec);
        let stored = self.store(None, |standing| {
            standing.spec = changed;
            standing.configured = configured;
            standing.down = None;
            if standing.stored == (StoredState::Paused { left: true }) {
                standing.stored = StoredState::Running;
            }
        });
        stored.await?;
        self.spec = spec;
        (self.failures, self.probing, self.waiting) = (0, false, None);
        self.wave += 1;
        Ok(())
    }

    async fn acknowledge(&mut self, position: Position) -> Result<(), RelayError> {
        if let Some(reason) = self.board.stopped() {
            return Err(RelayError::Stopped { name: self.name.clone(), reason });
        }
        let last = self.world.journal.durable();
        if position > last {
            return Err(RelayError::Ahead { asked: position, last });
        }
        let next = Position(position.0 + 1);
        if next <= self.progress.cursor() {
            return Ok(());
        }
        let mut changes = Changes::default();
        changes.cursor(&self.name, next);
        self.write(changes).await?;
        self.progress.read_to(next);
        self.cursor_is_durable(next);
        Ok(())
    }

    /// The letters that a command is about, oldest first.
    fn letters_of(&self, position: Option<Position>) -> Result<Vec<(Position, Option<OrderNo>)>, RelayError> {
        match position {
            None => Ok(self.dead.all()),
            Some(position) => {
                let order_no = self.dead.order_of(position).ok_or(RelayError::NoDeadLetter { position })?;
                Ok(vec![(position, order_no)])
            }
        }
    }

    async fn requeue(&mut self, position: Option<Position>) -> Result<u64, RelayError> {
        let mut letters = self.letters_of(position)?;
        if let (Some(_), [(first, order_no)]) = (position, &*letters) {
            // Those of its order go with it: they wait for each other.
            let order_no = *order_no;
            let together = self.dead.together(*first, order_no);
            letters = together.into_iter().map(|position| (position, order_no)).collect();
        }
        for some in letters.chunks(LETTERS_LEN) {
            let mut changes = Changes::default();
            for (position, _) in some {
                changes.requeued(&self.name, *position, true);
            }
            self.write(changes).await?;
            for (position, order_no) in some {
                self.dead.requeue(*position, *order_no);
            }
        }
        Ok(letters.len() as u64)
    }

    async fn discard(&mut self, position: Option<Position>) -> Result<u64, RelayError> {
        let letters = self.letters_of(position)?;
        for some in letters.chunks(LETTERS_LEN) {
            let (world, name, positions) = (Arc::clone(&self.world), self.name.clone(), some.to_vec());
            let gather = tokio::task::spawn_blocking(move || {
                let size_of = |position| {
                    let found = world.book.letters(&name, position, 1)?;
                    let own = found.first().filter(|letter| letter.position == position);
                    Ok((position, own.map_or(0, |letter| letter.record.body_bytes as usize)))
                };
                positions.into_iter().map(|(position, _)| size_of(position)).collect::<Result<Vec<_>, _>>()
            });
            let sizes = gather.await.unwrap_or_else(|_| {
                Err(RelayError::Storage("reading dead letters ended early".to_owned()))
            })?;
            let mut changes = Changes::default();
            for (position, body_bytes) in sizes {
                self.take_out(&mut changes, position, body_bytes);
            }
            self.write(changes).await?;
            for (position, order_no) in some {
                self.gone(*position, *order_no);
            }
        }
        Ok(letters.len() as u64)
    }
}

/// Holds the journal for a subscription from where it begins on, and says where that is.
///
/// # Errors
/// [`RelayError::Trimmed`], [`RelayError::Ahead`]; then it is held as before.
pub(in crate::relay) fn hold_start(world: &World, name: &str, start: Start) -> Result<Position, RelayError> {
    let holder = holder(name);
    // A journal in memory forgets without asking.
    let first = world.journal.reader().first().max(Position(1));
    let target = match start {
        Start::Next => world.next(),
        Start::First => return Ok(world.holds.hold_all(&holder).max(first)),
        Start::At(position) => position.max(Position(1)),
    };
    if target < first {
        return Err(RelayError::Trimmed { asked: target, first });
    }
    if target > world.next() {
        return Err(RelayError::Ahead { asked: target, last: world.journal.durable() });
    }
    let held = world.holds.hold(&holder, target);
    held.map(|()| target).map_err(|late| RelayError::Trimmed { asked: target, first: late.first })
}

/// Holds the journal from a cursor on, or what is left of it. Gives where that begins, and what is missing before it.
fn hold_what_is_left(
    world: &World,
    name: &str,
    cursor: Position,
) -> (Position, Option<(Position, Position)>) {
    // A journal in memory forgets without asking.
    let first = world.journal.reader().first();
    // A journal that was restored may be behind.
    let wanted = cursor.min(world.next()).max(first);
    let held = world.holds.hold(&holder(name), wanted);
    let from = match held {
        Ok(()) => wanted,
        Err(_too_late) => world.holds.hold_all(&holder(name)),
    };
    let missing = (from > cursor).then(|| (cursor, Position(from.0 - 1)));
    (from, missing)
}

/// Removes everything that the book has of a subscription, and lets the journal go.
pub(super) async fn erase(world: &Arc<World>, name: &str) -> Result<(), RelayError> {
    loop {
        let (of, own_name) = (Arc::clone(world), name.to_owned());
        let gather = tokio::task::spawn_blocking(move || of.book.leftovers(&own_name));
        let (changes, is_last) = gather
            .await
            .unwrap_or_else(|_| Err(RelayError::Storage("reading leftovers ended early".to_owned())))?;
        world.book.write(changes).await?;
        if is_last {
            world.holds.release(&holder(name));
            return Ok(());
        }
    }
}
