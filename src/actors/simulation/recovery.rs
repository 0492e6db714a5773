//! Crashes, and what comes after them: the next process recovers from what survived.

use std::collections::BTreeSet;

use super::log::Acknowledge;
use super::seats::{OrderSeat, Process};
use super::world::World;
use crate::actors::numbers::NumberLease;
use crate::actors::order::OrderItem;
use crate::domain::catalogue::Sku;
use crate::domain::event::Event;
use crate::journal::EntryBuffer;

impl World {
    /// The process dies and another one recovers, with so many order actors.
    pub(super) fn crash(&mut self, order_actors: usize) {
        self.count_evicted();
        let uncommitted = self.log.entries().len() - self.log.committed().len();
        // Frames that were written and not synced yet may survive a crash of the process, oldest first.
        let survivors = if self.random.percent(50) { 0 } else { self.random.below(uncommitted as u64 + 1) };
        self.asks.clear();
        self.entering.clear();
        let survived = self.log.crash(survivors as usize);
        self.committed_now(survived);
        self.appended = self.committed.clone();
        // What stock actors were ever told begins anew with them.
        self.appended.stock.values_mut().for_each(|facts| facts.ever = [0; 4]);

        // The wall clock may have stepped back meanwhile, but the engine's never does behind what it recovered.
        let step_ms = self.random.below(2 * self.temper.step_ms_max);
        self.now_ms = if self.random.percent(30) {
            self.now_ms.saturating_sub(step_ms).max(self.committed.latest_at_ms)
        } else {
            self.now_ms + step_ms
        };
        self.catalogue.clear();
        for event in self.log.committed().iter().flat_map(|entry| &entry.events) {
            if let Event::SkuPut { revision, sku, .. } = event {
                self.catalogue.insert(sku.id, (*revision, Sku::clone(sku)));
            }
        }
        self.process = match self.process.store.take() {
            None => {
                self.tally.crashes += 1;
                let Self { random, temper, log, now_ms, .. } = self;
                Process::recover(log.committed(), order_actors, temper.settings, random.next(), *now_ms)
            }
            Some(store) => {
                self.tally.store_crashes += 1;
                self.tally.crashes_amid_checkpoint += u64::from(store.is_amid_checkpoint());
                let pages = store.pages.after_crash();
                drop(store);
                self.recover_from_store(pages, order_actors)
            }
        };
        self.resume();
    }

    /// What the next process does before it lets callers in.
    fn resume(&mut self) {
        let mut unresolved = Vec::new();
        for seat in &mut self.process.orders {
            seat.actor.arm_timers(self.now_ms, self.temper.recovery_grace_ms);
            unresolved.extend(seat.actor.unresolved_payments());
        }
        self.reserve_first_numbers();
        self.payments.clear();
        self.refusals.clear();
        for payment in unresolved {
            self.watch_payment(payment.payment);
            self.push_order(payment.order_no.slot(), OrderItem::ApplyPayment(payment));
        }
        assert_eq!(self.payments.len(), self.open_payments(), "R8: recovery resumes every begun payment");
    }

    fn open_payments(&self) -> usize {
        self.committed.payments.values().filter(|payment| payment.result.is_none()).count()
    }

    /// No number is given out before its range is committed.
    pub(super) fn reserve_first_numbers(&mut self) {
        let until_ms = self.committed.numbers_until_ms;
        self.process.shared.lease.start_at(until_ms);
        let from_ms = NumberLease::number_time(self.now_ms).max(until_ms);
        self.reserve_numbers(from_ms + self.temper.lease_ahead_ms);
        self.commit(usize::MAX);
    }

    /// Reserves a further range of order numbers.
    pub(super) fn reserve_numbers(&mut self, until_ms: u64) {
        let mut entries = EntryBuffer::new();
        entries.push(&[Event::NumbersReserved { at_ms: self.now_ms, until_ms }]);
        self.append(&mut entries, Some(Acknowledge::Numbers(until_ms)));
        self.process.numbers_under_way = true;
    }

    /// Notes how many orders of this process have left memory.
    pub(super) fn count_evicted(&mut self) {
        let evicted = self.process.orders.iter().map(|seat: &OrderSeat| seat.actor.counts().evicted);
        self.tally.evicted += evicted.sum::<u64>();
    }

    /// A process that recovers everything appended, with so many order actors, has the same state hash as the living
    /// one: from the whole journal, and from the store and the journal's tail. To be asked with nothing under way.
    pub(super) fn check_replay(&mut self, order_actors: usize) {
        assert!(self.process.is_quiet(), "the hash of an actor in a round means nothing");
        self.tally.replays += 1;
        let settings = self.temper.settings;
        let seed = self.random.next();
        let replayed = Process::recover(self.log.entries(), order_actors, settings, seed, self.now_ms);
        // Keys that were named and never stocked hash like keys that don't exist for a replay.
        let empty: u64 = self
            .process
            .stock
            .iter()
            .filter(|(key, _)| !replayed.stock.contains_key(key))
            .fold(0, |sum, (_, seat)| sum.wrapping_add(seat.actor.state_hash()));
        let live = self.process.state_hash().wrapping_sub(empty);
        let position = self.log.appended();
        assert_eq!(replayed.state_hash(), live, "R7: {order_actors} order actors replay up to {position}");
        let listed = |process: &Process| -> BTreeSet<_> {
            process.orders.iter().flat_map(|seat| seat.actor.listed_refunds()).collect()
        };
        let work = listed(&self.process);
        assert_eq!(listed(&replayed), work, "R7: the work list, replayed up to {position}");

        let Some(store) = &self.process.store else { return };
        self.tally.store_replays += 1;
        store.check_sums();
        let pages = store.pages.after_crash();
        let recovered = self.recover_from_store(pages, order_actors);
        assert_eq!(recovered.state_hash(), live, "R7: store and tail up to {position}");
        assert_eq!(listed(&recovered), work, "R7: the work list, from store and tail up to {position}");
    }
}
