//! The team actor's logic.

use std::sync::Arc;

use super::TeamItem;
use crate::actors::order::OrderItem;
use crate::actors::order::actor::OrderShared;
use crate::actors::reply::Answer;
use crate::domain::event::Event;
use crate::domain::ids::{OrderNo, Slot};
use crate::domain::reject::Reject;
use crate::domain::team::{TeamBook, TeamEvent, TeamOutcome, TeamState};
use crate::journal::EntryBuffer;

/// Most teams that one round lets fail, so that payments don't wait for a wave of them.
const EXPIRY_ROUND_MAX: usize = 256;

/// What a round leaves to be done, in this order.
#[derive(Default)]
pub(crate) struct TeamEffects {
    /// Entries for the journal, to be appended before anything else.
    pub(crate) entries: EntryBuffer,
    /// Word to order actors.
    pub(crate) routed: Vec<(Slot, OrderItem)>,
    /// Answers that depend on what the journal holds once `entries` is appended.
    pub(crate) durable_answers: Vec<Answer>,
    /// Answers that depend on nothing.
    pub(crate) answers: Vec<Answer>,
}

/// The owner of all teams.
pub(crate) struct TeamActor {
    book: TeamBook,
    shared: Arc<OrderShared>,
}

impl TeamActor {
    /// The owner of recovered teams.
    pub(crate) fn new(book: TeamBook, shared: Arc<OrderShared>) -> Self {
        for (team, known) in book.iter() {
            shared.teams.put(team, known.record);
        }
        Self { book, shared }
    }

    /// Completes what was begun when the engine stopped: teams that were complete, and orders that were not told what
    /// became of their team. An order that has heard already changes nothing.
    pub(crate) fn resume(&mut self, now_ms: u64, effects: &mut TeamEffects) {
        for (state, order_no) in self.book.settled() {
            tell(state, order_no, effects);
        }
        for outcome in self.book.complete(now_ms) {
            self.carry_out(outcome, effects);
        }
    }

    /// Does one round of work.
    pub(crate) fn on_batch(&mut self, items: &mut Vec<TeamItem>, now_ms: u64, effects: &mut TeamEffects) {
        for item in items.drain(..) {
            match item {
                TeamItem::Opened(event) => self.book.apply(&event),
                TeamItem::Member { team, order_no, what } => {
                    let outcome = self.book.note(team, order_no, what, now_ms);
                    outcome.into_iter().for_each(|outcome| self.carry_out(outcome, effects));
                }
                TeamItem::BeginPayment { team, payment } => {
                    let may_begin = self.book.begin_payment(team, now_ms);
                    let says = OrderItem::TeamSays { payment, may_begin };
                    effects.routed.push((payment.order_no.slot(), says));
                }
                TeamItem::EndPayment { team } => {
                    let outcome = self.book.end_payment(team, now_ms);
                    outcome.into_iter().for_each(|outcome| self.carry_out(outcome, effects));
                }
                TeamItem::EndCampaign(activity) => {
                    for outcome in self.book.end_campaign(activity, now_ms) {
                        self.carry_out(outcome, effects);
                    }
                }
                TeamItem::Show { team, reply } => {
                    let shown = self.book.get(team).cloned().ok_or(Reject::TeamNotFound { team });
                    effects.durable_answers.push(Answer::to(reply, shown));
                }
                TeamItem::Hash(reply) => {
                    effects.answers.push(Answer::to(reply, Ok(self.book.state_hash())));
                }
                TeamItem::Tick => {}
            }
        }
        for outcome in self.book.expire(now_ms, EXPIRY_ROUND_MAX) {
            self.carry_out(outcome, effects);
        }
    }

    /// When the next team is to be looked at, in ms since the Unix epoch.
    pub(crate) fn next_due_ms(&self) -> Option<u64> {
        self.book.next_due_ms()
    }

    fn carry_out(&mut self, outcome: TeamOutcome, effects: &mut TeamEffects) {
        let TeamOutcome { event, orders } = outcome;
        if let Some(team) = self.book.get(event.team()) {
            self.shared.teams.put(event.team(), team.record);
        }
        effects.entries.push(&[Event::Team(event)]);
        let state = match event {
            TeamEvent::Opened { .. } => TeamState::Forming,
            TeamEvent::Formed { .. } => TeamState::Formed,
            TeamEvent::Failed { .. } => TeamState::Failed,
        };
        orders.into_iter().for_each(|order_no| tell(state, order_no, effects));
    }
}

fn tell(state: TeamState, order_no: OrderNo, effects: &mut TeamEffects) {
    effects.routed.push((order_no.slot(), OrderItem::TeamSettled { order_no, state }));
}
