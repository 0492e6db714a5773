//! The stock actor's logic: one stock key's counters, hold protocol and adjustments.

use hashbrown::HashMap;

use super::gauge::Gauge;
use super::{Adjust, Holder, Moves, StockItem};
use crate::actors::reply::Answer;
use crate::domain::event::Event;
use crate::domain::ids::{AdjustmentId, StockKey};
use crate::domain::reject::Reject;
use crate::domain::request::StockChange;
use crate::domain::stock::{HoldAnswer, HoldBook, StockCounters};
use crate::journal::EntryBuffer;

/// What a round of a stock actor leaves to be done.
#[derive(Default)]
pub(crate) struct StockEffects {
    /// Entries for the journal, to be appended before anything else.
    pub(crate) entries: EntryBuffer,
    /// Units on their way to other keys: their return is announced there before the append, and they follow after it.
    pub(crate) transfers: Vec<(StockKey, u64)>,
    /// Answers to holds: the holder and whether it got its units.
    pub(crate) held: Vec<(Holder, bool)>,
    /// Answers that depend on what the journal holds once `entries` is appended.
    pub(crate) durable_answers: Vec<Answer>,
    /// Answers that depend on nothing.
    pub(crate) answers: Vec<Answer>,
    /// Whether somebody suggested going to rest.
    pub(crate) rest: bool,
}

/// One stock key's owner.
pub(crate) struct StockActor {
    key: StockKey,
    book: HoldBook<Holder>,
    adjustments: HashMap<AdjustmentId, Adjusted>,
    /// Where units go that nobody needs here any more.
    drain: Option<StockKey>,
}

/// An adjustment that was applied.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Adjusted {
    /// As it was asked for.
    pub(crate) change: StockChange,
}

impl StockActor {
    /// The owner of `key`, with what recovery found.
    pub(crate) fn new(
        key: StockKey,
        counters: StockCounters,
        adjustments: HashMap<AdjustmentId, Adjusted>,
    ) -> Self {
        Self { key, book: HoldBook::new(counters), adjustments, drain: None }
    }

    /// Keeps so many available units back from sale.
    pub(crate) fn keep_back(&mut self, units: u64) {
        self.book.keep_back(units);
    }

    /// Does one round of work. `gauge` is this key's; its `returning` is read here because the answer must hold at
    /// an instant after the items have arrived.
    pub(crate) fn on_batch(
        &mut self,
        items: &mut Vec<StockItem>,
        now_ms: u64,
        gauge: &Gauge,
        effects: &mut StockEffects,
    ) {
        let returning = gauge.returning();
        let mut returned = 0;
        for item in items.drain(..) {
            match item {
                StockItem::Hold { holder, quantity } => self.hold(holder, quantity, returning, effects),
                StockItem::Holds { actor, wanted } => {
                    for (collect, quantity) in wanted {
                        self.hold(Holder { actor, collect }, quantity, returning, effects);
                    }
                }
                StockItem::Move(moves) => {
                    self.apply(moves);
                    returned += moves.release + moves.take_back;
                }
                StockItem::Adjust(adjust) => self.adjust(*adjust, now_ms, effects),
                StockItem::Receive { units } => {
                    self.book.receive(units);
                    returned += units;
                }
                StockItem::Drain { to } => self.drain = Some(to),
                StockItem::KeepBack { units } => self.book.keep_back(units),
                StockItem::Read(reply) => {
                    effects.durable_answers.push(Answer::to(reply, Ok(self.book.counters())));
                }
                StockItem::Hash(reply) => effects.answers.push(Answer::to(reply, Ok(self.state_hash()))),
                StockItem::Rest => effects.rest = true,
                #[cfg(test)]
                StockItem::Panic => panic!("asked to panic"),
            }
        }
        // The order matters to readers of the gauge: returned units first show as open, then stop being on their
        // way, and only then are parked requests weighed against what is still to come.
        self.publish(gauge);
        if returned > 0 {
            gauge.finish_return(returned);
        }
        if self.book.parked_len() > 0 {
            self.book
                .resolve_parked(gauge.returning(), |holder, granted| effects.held.push((holder, granted)));
            self.publish(gauge);
        }
        self.drain(now_ms, gauge, effects);
    }

    /// Sends what is available on its way, once the activity is over and nobody waits for it.
    fn drain(&mut self, now_ms: u64, gauge: &Gauge, effects: &mut StockEffects) {
        let Some(to) = self.drain else { return };
        let units = self.book.counters().available;
        if units == 0 || self.book.parked_len() > 0 {
            return;
        }
        self.transfer(AdjustmentId(0), to, units, now_ms, effects);
        self.publish(gauge);
    }

    fn transfer(
        &mut self,
        transfer_id: AdjustmentId,
        to: StockKey,
        units: u64,
        now_ms: u64,
        effects: &mut StockEffects,
    ) {
        let event = Event::StockTransferred { at_ms: now_ms, transfer_id, from: self.key, to, units };
        self.book.send(units);
        effects.entries.push(&[event]);
        effects.transfers.push((to, units));
    }

    /// Whether the counters are all there is, so that they can be put to rest.
    pub(crate) fn is_quiet(&self, gauge: &Gauge) -> bool {
        self.book.is_quiet() && gauge.returning() == 0
    }

    /// The counters as they stand.
    #[cfg(test)]
    pub(crate) fn counters(&self) -> StockCounters {
        self.book.counters()
    }

    /// Shows the counters at the front door.
    pub(crate) fn publish(&self, gauge: &Gauge) {
        let open = self.book.for_sale() + self.book.counters().held;
        gauge.publish(open + self.book.parked_len() as u64);
    }

    /// This key's part of the state hash.
    pub(crate) fn state_hash(&self) -> u64 {
        self.book.counters().record_hash(&self.key)
    }

    fn hold(&mut self, holder: Holder, quantity: u32, returning: u64, effects: &mut StockEffects) {
        match self.book.hold(holder, quantity, returning) {
            HoldAnswer::Granted => effects.held.push((holder, true)),
            HoldAnswer::Refused => effects.held.push((holder, false)),
            HoldAnswer::Parked => {}
        }
    }

    fn apply(&mut self, moves: Moves) {
        // Nobody can know of a team before its opening stands in the journal, so its first seat is there.
        self.book.receive(moves.open);
        self.book.seize(moves.seize);
        // Settle first: units of one order may settle and be sold, or settle and be released, in one round.
        self.book.settle(moves.settle);
        self.book.give_back(moves.give_back);
        self.book.sell(moves.sell);
        self.book.release(moves.release);
        self.book.take_back(moves.take_back);
    }

    fn adjust(&mut self, adjust: Adjust, now_ms: u64, effects: &mut StockEffects) {
        let Adjust { id, change, counted, reply } = adjust;
        let result = match self.adjustments.get(&id) {
            Some(done) if done.change == change => Ok(()),
            Some(_) => Err(Reject::AdjustmentIdReused),
            None => self.book.check_adjustment(change, counted).map(|delta| {
                self.adjustments.insert(id, Adjusted { change });
                if let StockChange::Transfer { to, units } = change {
                    return self.transfer(id, to, units, now_ms, effects);
                }
                self.book.adjust(delta);
                let key = self.key;
                let event = Event::StockAdjusted { at_ms: now_ms, key, adjustment_id: id, change, delta };
                effects.entries.push(&[event]);
            }),
        };
        let result = result.map(|()| self.book.counters());
        effects.durable_answers.push(Answer::to(reply, result));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::ids::SkuId;

    const KEY: StockKey = StockKey::normal(SkuId(1));

    fn actor(available: u64) -> StockActor {
        let counters = StockCounters { total: available, available, ..StockCounters::default() };
        StockActor::new(KEY, counters, HashMap::new())
    }

    fn hold(collect: u32, quantity: u32) -> StockItem {
        StockItem::Hold { holder: Holder { actor: 0, collect }, quantity }
    }

    fn run(actor: &mut StockActor, gauge: &Gauge, mut items: Vec<StockItem>) -> Vec<(u32, bool)> {
        let mut effects = StockEffects::default();
        actor.on_batch(&mut items, 0, gauge, &mut effects);
        effects.held.iter().map(|(holder, granted)| (holder.collect, *granted)).collect()
    }

    #[test]
    fn r3_a_request_parks_while_the_units_are_only_held() {
        let (mut actor, gauge) = (actor(1), Gauge::default());
        assert_eq!(run(&mut actor, &gauge, vec![hold(1, 1), hold(2, 1)]), [(1, true)]);
        // The first order fails elsewhere: the second gets the unit.
        let moves = Moves { give_back: 1, ..Moves::default() };
        assert_eq!(run(&mut actor, &gauge, vec![StockItem::Move(moves)]), [(2, true)]);
    }

    #[test]
    fn r3_a_parked_request_is_refused_once_the_units_are_gone_for_good() {
        let (mut actor, gauge) = (actor(1), Gauge::default());
        assert_eq!(run(&mut actor, &gauge, vec![hold(1, 1), hold(2, 1)]), [(1, true)]);
        let moves = Moves { settle: 1, ..Moves::default() };
        assert_eq!(run(&mut actor, &gauge, vec![StockItem::Move(moves)]), [(2, false)]);
        assert!(gauge.is_sold_out());
    }

    #[test]
    fn r3_a_request_that_overtakes_the_release_message_waits_for_it() {
        let (mut actor, gauge) = (actor(1), Gauge::default());
        run(&mut actor, &gauge, vec![hold(1, 1)]);
        run(&mut actor, &gauge, vec![StockItem::Move(Moves { settle: 1, ..Moves::default() })]);
        gauge.start_return(1);
        assert_eq!(run(&mut actor, &gauge, vec![hold(2, 1)]), []);
        let release = StockItem::Move(Moves { release: 1, ..Moves::default() });
        assert_eq!(run(&mut actor, &gauge, vec![release]), [(2, true)]);
        assert_eq!(gauge.returning(), 0);
    }

    #[test]
    fn r3_nobody_overtakes_a_parked_request() {
        let (mut actor, gauge) = (actor(3), Gauge::default());
        // 2 of 3 are held; the next wants 2 and parks; one for a single unit must not slip past it.
        assert_eq!(run(&mut actor, &gauge, vec![hold(1, 2), hold(2, 2), hold(3, 1)]), [(1, true)]);
        let back = StockItem::Move(Moves { give_back: 2, ..Moves::default() });
        assert_eq!(run(&mut actor, &gauge, vec![back]), [(2, true), (3, true)]);
    }

    #[test]
    fn r8_an_adjustment_applies_once_per_id() {
        let (mut actor, gauge) = (actor(0), Gauge::default());
        let mut adjust = |change| {
            let (reply, mut answer) = tokio::sync::oneshot::channel();
            let item = StockItem::Adjust(Box::new(Adjust { id: AdjustmentId(1), change, counted: 0, reply }));
            let mut effects = StockEffects::default();
            actor.on_batch(&mut vec![item], 0, &gauge, &mut effects);
            let events = effects.entries.event_count();
            effects.durable_answers.drain(..).for_each(Answer::send);
            (answer.try_recv().unwrap().map(|counters| counters.total), events)
        };
        assert_eq!(adjust(StockChange::Relative(5)), (Ok(5), 1));
        assert_eq!(adjust(StockChange::Relative(5)), (Ok(5), 0));
        assert_eq!(adjust(StockChange::Relative(6)), (Err(Reject::AdjustmentIdReused), 0));
    }
}
