//! Statements of closed days, from the store of a running engine.

use std::fmt;
use std::str::FromStr;

use super::{Engine, OpenError};
use crate::domain::ids::Position;
use crate::domain::statement::{Day, Movement, Statement, UtcOffset};
use crate::projection::store::StoreReader;

/// Movements on a page at most.
pub const MOVEMENT_PAGE_LEN_MAX: usize = 1_000;

/// Why there is no statement of a day.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StatementError {
    /// The engine keeps no store, or the directory has none.
    #[error("there is no store: statements are made from it; switch it on with `Config::store`")]
    NoStore,
    /// The day is not over, or the store is not that far yet. A running engine is, about ten seconds after the day's end.
    #[error(
        "{day} is not closed: movements are stored up to {stored_ms} ms (position {position}), the day ends at {until_ms} ms; \
         ask again once the engine has run beyond it"
    )]
    NotClosed {
        /// The day.
        day: Day,
        /// When it ends, in ms since the Unix epoch.
        until_ms: u64,
        /// Everything before this time is stored, in ms since the Unix epoch.
        stored_ms: u64,
        /// Everything up to here is stored.
        position: Position,
    },
    /// The store was begun by a release that kept no movements, and its journal of that time is gone.
    #[error("{day} is not covered: movements are kept from {from_ms} ms on; the first whole day is {first}")]
    NotKept {
        /// The day.
        day: Day,
        /// From when on every movement is there, in ms since the Unix epoch.
        from_ms: u64,
        /// The first day of which every movement is there.
        first: Day,
    },
    /// The store can't be read.
    #[error(transparent)]
    Store(#[from] OpenError),
    /// The work did not end.
    #[error("the work did not end: {0}")]
    Failed(String),
}

/// Where a page of movements ends, for the next one to go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MovementCursor {
    booked_ms: u64,
    position: Position,
}

/// As text, to be handed out and read back: `booked_ms-position`.
impl fmt::Display for MovementCursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.booked_ms, self.position)
    }
}

/// A string that is no cursor.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a cursor of movements: expected two decimal integers with a dash between them")]
pub struct ParseMovementCursorError;

impl FromStr for MovementCursor {
    type Err = ParseMovementCursorError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let strict = text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'-');
        let (booked_ms, position) =
            text.split_once('-').filter(|_| strict).ok_or(ParseMovementCursorError)?;
        match (booked_ms.parse(), position.parse()) {
            (Ok(booked_ms), Ok(position)) => Ok(Self { booked_ms, position: Position(position) }),
            _ => Err(ParseMovementCursorError),
        }
    }
}

/// A page of a day's movements.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MovementPage {
    /// The movements, in the order of the journal.
    pub movements: Vec<Movement>,
    /// Where the next page begins; `None` on the last one.
    pub next: Option<MovementCursor>,
}

impl Engine {
    /// The statement of a day that is over, by an offset from UTC. Once given out it never changes: asked again at any
    /// later time, after restarts and trims, it is the same.
    ///
    /// A day is closed by the first event behind its end. An engine that runs makes one every ten seconds at least.
    ///
    /// # Errors
    /// [`StatementError`].
    ///
    /// ```
    /// # use stockade::{Config, Day, Engine, StatementError, UtcOffset};
    /// # #[tokio::main]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let dir = tempfile::tempdir()?;
    /// # let engine = Engine::open(Config::new(dir.path().join("shop")).ballast_bytes(0)).await?;
    /// let china: UtcOffset = "+08:00".parse()?;
    /// let statement = engine.statement("2025-11-11".parse()?, china).await?;
    /// assert!(statement.accounts.is_empty(), "nothing had been sold by then");
    ///
    /// let today = Day::of(engine.now_ms(), china);
    /// assert!(matches!(engine.statement(today, china).await, Err(StatementError::NotClosed { .. })));
    /// # engine.shutdown().await?;
    /// # Ok(())
    /// # }
    /// ```
    pub async fn statement(&self, day: Day, offset: UtcOffset) -> Result<Statement, StatementError> {
        let reader = self.closed_store(day, offset).await?;
        blocking(move || Ok(reader.statement(day, offset).map_err(OpenError::from)?)).await
    }

    /// The movements of a day that is over, page by page: `len_max` of them, [`MOVEMENT_PAGE_LEN_MAX`] at most, behind
    /// where an earlier page ended.
    ///
    /// # Errors
    /// [`StatementError`].
    ///
    /// ```
    /// # use stockade::{Config, Engine, UtcOffset};
    /// # #[tokio::main]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let dir = tempfile::tempdir()?;
    /// # let engine = Engine::open(Config::new(dir.path().join("shop")).ballast_bytes(0)).await?;
    /// let mut after = None;
    /// loop {
    ///     let page = engine.movements("2025-11-11".parse()?, UtcOffset::UTC, after, 100).await?;
    ///     for movement in &page.movements {
    ///         println!("{} {} {}", movement.kind.name(), movement.transaction_id, movement.amount);
    ///     }
    ///     after = page.next;
    ///     if after.is_none() {
    ///         break;
    ///     }
    /// }
    /// # engine.shutdown().await?;
    /// # Ok(())
    /// # }
    /// ```
    pub async fn movements(
        &self,
        day: Day,
        offset: UtcOffset,
        after: Option<MovementCursor>,
        len_max: usize,
    ) -> Result<MovementPage, StatementError> {
        let reader = self.closed_store(day, offset).await?;
        blocking(move || page(&reader, day, offset, after, len_max)).await
    }

    /// The store, once it has everything of a day.
    async fn closed_store(&self, day: Day, offset: UtcOffset) -> Result<StoreReader, StatementError> {
        let store = self.inner.store.as_ref().ok_or(StatementError::NoStore)?;
        match check_closed(&store.reader, day, offset) {
            Err(StatementError::NotClosed { until_ms, .. }) if self.now_ms() >= until_ms => {
                // The event that closes it may be in the journal already.
                store.advance_to(self.inner.journal.durable()).await;
                check_closed(&store.reader, day, offset)?;
            }
            checked => checked?,
        }
        Ok(store.reader.clone())
    }
}

/// Whether a store has every movement of a day, and no further one can come into it.
pub(super) fn check_closed(reader: &StoreReader, day: Day, offset: UtcOffset) -> Result<(), StatementError> {
    let (from_ms, until_ms) = day.bounds(offset);
    let head = reader.head().map_err(OpenError::from)?;
    if head.latest_at_ms < until_ms {
        let (stored_ms, position) = (head.latest_at_ms, head.position);
        return Err(StatementError::NotClosed { day, until_ms, stored_ms, position });
    }
    // A store without a word about it was not written by this release yet.
    let begin_ms = reader.ledger_begin().map_err(OpenError::from)?;
    let begin_ms = begin_ms.map_or(head.latest_at_ms.saturating_add(1), |begin| begin.complete_from_ms());
    if from_ms < begin_ms {
        let of_begin = Day::of(begin_ms, offset);
        let first = if of_begin.bounds(offset).0 < begin_ms { of_begin.next() } else { of_begin };
        return Err(StatementError::NotKept { day, from_ms: begin_ms, first });
    }
    Ok(())
}

fn page(
    reader: &StoreReader,
    day: Day,
    offset: UtcOffset,
    after: Option<MovementCursor>,
    len_max: usize,
) -> Result<MovementPage, StatementError> {
    let len_max = len_max.clamp(1, MOVEMENT_PAGE_LEN_MAX);
    let (from_ms, until_ms) = day.bounds(offset);
    let after = after.map(|cursor| (cursor.booked_ms, cursor.position));
    let mut movements = Vec::new();
    let mut has_more = false;
    let scanned = reader.movements(from_ms, until_ms, after, |movement| {
        has_more = movements.len() == len_max;
        if !has_more {
            movements.push(movement);
        }
        !has_more
    });
    scanned.map_err(OpenError::from)?;
    let next = movements.last().filter(|_| has_more);
    let next = next.map(|last| MovementCursor { booked_ms: last.booked_ms, position: last.position });
    Ok(MovementPage { movements, next })
}

/// Reads off the runtime's threads.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, StatementError> + Send + 'static,
) -> Result<T, StatementError> {
    match tokio::task::spawn_blocking(work).await {
        Ok(result) => result,
        Err(error) => Err(StatementError::Failed(error.to_string())),
    }
}
