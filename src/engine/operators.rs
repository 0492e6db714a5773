//! The operator log: acts are recorded before they are done, and found again, newest first.
//!
//! The store keeps them for good. What it has not taken in yet, or everything where there is no store, is read from the
//! journal, backwards.

use std::sync::Arc;

use super::{Engine, Inner};
use crate::domain::event::Event;
use crate::domain::ids::{Position, Slot};
use crate::domain::operator::{NewAct, OperatorAct};
use crate::domain::reject::Reject;
use crate::journal::{EntryBuffer, Frame, JournalError, JournalRead};
use crate::projection::store::{StoreError, StoreReader};

/// Most acts on one page.
pub const ACTS_PAGE_LEN_MAX: usize = 100;
/// Acts that one page looks at in the store.
const STORED_ACTS_MAX: u64 = 20_000;
/// Events that one page passes in the journal.
const JOURNAL_EVENTS_MAX: u64 = 200_000;
/// Events between two steps back in the journal.
const STEP_EVENTS: u64 = 4_096;
/// Bytes of journal read at a time.
const READ_BYTES: usize = 1 << 20;
/// How much later an act may stand in the journal than one with a later time, in ms: callers read the clock side by side.
const DISORDER_MS: u64 = 60_000;
/// How often a page begins anew because the journal was trimmed under it.
const TRIES_MAX: u32 = 3;

/// Which acts; an empty filter lets all of them pass.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ActFilter {
    /// Only of this operator.
    pub operator: Option<Box<str>>,
    /// Only this action.
    pub action: Option<Box<str>>,
    /// Only with this target.
    pub target: Option<Box<str>>,
    /// Only from this instant on, in ms since the Unix epoch.
    pub from_ms: Option<u64>,
    /// Only before this instant, in ms since the Unix epoch.
    pub until_ms: Option<u64>,
}

/// Which page of acts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ActsPage {
    /// Only acts before this position: [`ActPage::next`] of the page before.
    pub before: Option<Position>,
    /// Most acts on the page, 1 to [`ACTS_PAGE_LEN_MAX`].
    pub len_max: usize,
}

impl Default for ActsPage {
    fn default() -> Self {
        Self { before: None, len_max: 20 }
    }
}

/// An act with its place in the journal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RecordedAct {
    /// Its position.
    pub position: Position,
    /// The act.
    pub act: OperatorAct,
}

/// A page of acts, newest first.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ActPage {
    /// The acts; fewer than asked for, perhaps none, where a page has come to the end of what one call looks at.
    pub acts: Vec<RecordedAct>,
    /// Where the next page starts; `None` on the last one.
    pub next: Option<Position>,
    /// Every act up to here was looked at, from `before` downwards.
    pub as_of: Position,
}

impl Engine {
    /// Records what an operator is about to do, and answers with its position once it is durable. To be called before the
    /// command, which is issued only after the answer: the log says what was asked for, and no act is missing from it.
    /// Whether it was done, the events that follow tell. Called again it records it again.
    ///
    /// # Errors
    /// [`Reject::FieldEmpty`], [`Reject::FieldTooLong`], or the engine's own state.
    ///
    /// ```
    /// # use stockade::{ActFilter, ActsPage, Config, Durability, Engine, NewAct};
    /// # #[tokio::main]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let engine = Engine::open(Config::new("").durability(Durability::Memory)).await?;
    /// # let order_no = stockade::examples::paid_order(&engine).await?;
    /// let act = NewAct {
    ///     operator: "li".into(),
    ///     reason: "the buyer called".into(),
    ///     action: "order.ship".into(),
    ///     target: order_no.to_string().into(),
    ///     request: "7f3a".into(),
    /// };
    /// let position = engine.record_act(act).await?;
    /// engine.ship(order_no, Default::default()).await?;
    ///
    /// let page = engine.acts(ActFilter::default(), ActsPage::default()).await?;
    /// assert_eq!((page.acts[0].position, &*page.acts[0].act.operator), (position, "li"));
    /// # Ok(())
    /// # }
    /// ```
    pub async fn record_act(&self, act: NewAct) -> Result<Position, Reject> {
        act.validate()?;
        let event = Event::OperatorActed(Box::new(act.at(self.now_ms())));
        let mut position = Position(0);
        self.call(|inner, reply| {
            let credits = Arc::clone(&inner.credits);
            let mut entries = EntryBuffer::new();
            entries.push(std::slice::from_ref(&event));
            let acknowledge = Box::new(move || {
                credits.give_back(1);
                let _ = reply.send(Ok(()));
            });
            let appended = inner.journal.append(&mut entries, Some(acknowledge));
            position = appended.map_err(|_poisoned| {
                inner.credits.give_back(1);
                Reject::Unavailable
            })?;
            Ok(())
        })
        .await?;
        Ok(position)
    }

    /// A page of the operator log, newest first, with everything that was recorded before the call.
    ///
    /// A call looks at 20,000 acts in the store at most, and passes 200,000 events of the journal: at the end of that the
    /// page may be short, or empty, with [`ActPage::next`] set. An engine without a store has nothing but its journal.
    ///
    /// # Errors
    /// [`Reject::Overloaded`] where many such questions are asked at once, or the engine's own state. A page length
    /// outside 1 to 100 is brought inside.
    ///
    /// ```
    /// # use stockade::{ActFilter, ActsPage, Config, Durability, Engine, NewAct};
    /// # #[tokio::main]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let engine = Engine::open(Config::new("").durability(Durability::Memory)).await?;
    /// for operator in ["li", "wang", "li"] {
    ///     let act = NewAct { operator: operator.into(), action: "order.reveal".into(), ..NewAct::default() };
    ///     engine.record_act(act).await?;
    /// }
    /// let of_li = ActFilter { operator: Some("li".into()), ..ActFilter::default() };
    /// let first = engine.acts(of_li.clone(), ActsPage { before: None, len_max: 1 }).await?;
    /// let second = engine.acts(of_li, ActsPage { before: first.next, len_max: 1 }).await?;
    /// assert!(first.acts[0].position > second.acts[0].position);
    /// # Ok(())
    /// # }
    /// ```
    pub async fn acts(&self, filter: ActFilter, page: ActsPage) -> Result<ActPage, Reject> {
        let inner = &self.inner;
        inner.check_readable()?;
        let store = inner.store.as_ref().map(|store| store.reader.clone());
        let journal = inner.journal.reader();
        inner
            .scans
            .run(inner.taken_in(), move || read_page(store.as_ref(), journal.as_ref(), &filter, page))
            .await
    }
}

impl Inner {
    /// Waits until what was acknowledged by now is in the store, or is durable where there is none. Not for long: who
    /// asks says in the answer up to where it goes.
    pub(super) async fn taken_in(&self) {
        let last = self.journal.acknowledged();
        let taken_in = async {
            if self.journal.watch_durable().wait_for(|durable| *durable >= last).await.is_ok()
                && let Some(store) = &self.store
                && store.stored() < last
            {
                store.advance_to(last).await;
            }
        };
        // Poisoned or overtaken: there is nothing better to show than what is there.
        let _ = tokio::time::timeout(super::store::FRESH_WAIT_MAX, taken_in).await;
    }
}

/// Reads a page. Blocks.
fn read_page(
    store: Option<&StoreReader>,
    journal: &dyn JournalRead,
    filter: &ActFilter,
    page: ActsPage,
) -> Result<ActPage, Reject> {
    let mut tries = 1;
    loop {
        match Walk::new(filter, page).read(store, journal) {
            Ok(page) => return Ok(page),
            // What is trimmed is stored: another look at the store finds it there.
            Err(WalkError::Journal(JournalError::PositionTrimmed { .. }))
                if store.is_some() && tries < TRIES_MAX =>
            {
                tries += 1;
            }
            Err(error) => {
                tracing::error!(%error, "the operator log can't be read");
                return Err(Reject::Unavailable);
            }
        }
    }
}

#[derive(Debug, thiserror::Error)]
enum WalkError {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Journal(#[from] JournalError),
}

/// A walk through the log, newest first.
struct Walk<'f> {
    filter: &'f ActFilter,
    before: Position,
    len_max: usize,
    acts: Vec<RecordedAct>,
    next: Option<Position>,
}

impl<'f> Walk<'f> {
    fn new(filter: &'f ActFilter, page: ActsPage) -> Self {
        Self {
            filter,
            before: page.before.unwrap_or(Position(u64::MAX)),
            len_max: page.len_max.clamp(1, ACTS_PAGE_LEN_MAX),
            acts: Vec::new(),
            next: None,
        }
    }

    fn read(mut self, store: Option<&StoreReader>, journal: &dyn JournalRead) -> Result<ActPage, WalkError> {
        // Before the journal is read, so that what is trimmed meanwhile is in it.
        let pinned = store.map(StoreReader::pinned).transpose()?;
        let stored = pinned.as_ref().map_or(Position(0), |(_, head)| head.position);
        let as_of = journal.last().max(stored);
        let mut goes_on = self.read_journal(journal, stored, as_of)?;
        if let Some((snapshot, _)) = pinned
            && goes_on
        {
            let (before, mut left) = (self.before.min(Position(stored.0.saturating_add(1))), STORED_ACTS_MAX);
            StoreReader::acts_before(&snapshot, before, |position, act| {
                goes_on = self.take(position, act);
                left -= 1;
                if goes_on && left == 0 {
                    self.next = Some(position);
                }
                goes_on && left > 0
            })?;
        }
        Ok(ActPage { acts: self.acts, next: self.next, as_of })
    }

    /// Takes one act; false where the page is full or nothing before it can match.
    fn take(&mut self, position: Position, act: OperatorAct) -> bool {
        let from_ms = self.filter.from_ms.unwrap_or(0);
        if act.at_ms.saturating_add(DISORDER_MS) < from_ms {
            return false;
        }
        if !self.filter.lets_pass(&act) {
            return true;
        }
        if let Some(last) = self.acts.last()
            && self.acts.len() == self.len_max
        {
            self.next = Some(last.position);
            return false;
        }
        self.acts.push(RecordedAct { position, act });
        true
    }

    /// Goes through the journal behind `stored` up to `last`, step by step backwards; false where the walk is over.
    fn read_journal(
        &mut self,
        journal: &dyn JournalRead,
        stored: Position,
        last: Position,
    ) -> Result<bool, JournalError> {
        let mut high = self.before.0.min(last.0.saturating_add(1));
        let low = stored.0.saturating_add(1).max(if stored.0 == 0 { journal.first().0 } else { 0 });
        let mut left = JOURNAL_EVENTS_MAX;
        while high > low {
            if left == 0 {
                self.next = Some(Position(high));
                return Ok(false);
            }
            let from = high.saturating_sub(STEP_EVENTS.min(left)).max(low);
            for (position, act) in acts_between(journal, from, high)?.into_iter().rev() {
                if !self.take(position, act) {
                    return Ok(false);
                }
            }
            left -= high - from;
            high = from;
        }
        Ok(true)
    }
}

/// The acts from one position up to another (exclusive), oldest first.
fn acts_between(
    journal: &dyn JournalRead,
    from: u64,
    until: u64,
) -> Result<Vec<(Position, OperatorAct)>, JournalError> {
    let mut acts = Vec::new();
    let mut next = from;
    while next < until {
        let frames = journal.read(Position(next), READ_BYTES)?;
        let Some(last) = frames.last().map(Frame::last) else { break };
        for frame in frames.iter().take_while(|frame| frame.first().0 < until) {
            // Their slot tells most entries of orders apart, without decoding them.
            for entry in frame.entries().filter(|entry| entry.slot == Slot::default()) {
                for event in entry.events() {
                    let (position, event) = event?;
                    if let Event::OperatorActed(act) = event
                        && (from..until).contains(&position.0)
                    {
                        acts.push((position, *act));
                    }
                }
            }
        }
        next = last.0.saturating_add(1);
    }
    Ok(acts)
}

impl ActFilter {
    fn lets_pass(&self, act: &OperatorAct) -> bool {
        let is = |wanted: &Option<Box<str>>, found: &str| wanted.as_deref().is_none_or(|text| text == found);
        is(&self.operator, &act.operator)
            && is(&self.action, &act.action)
            && is(&self.target, &act.target)
            && self.from_ms.is_none_or(|from_ms| act.at_ms >= from_ms)
            && self.until_ms.is_none_or(|until_ms| act.at_ms < until_ms)
    }
}
