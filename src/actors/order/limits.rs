//! Purchase limits per member and stock key: exact under concurrency, because one actor owns the member.
//!
//! A limit is taken before the first hold and given back if the order fails. A submission that only the member's own
//! undecided orders keep from its limit waits for them, in order of arrival. A limit stays in memory as long as an order
//! that it counts does; then the store has it, behind a filter. What members have used up in other systems
//! counts too.

use hashbrown::hash_map::Entry;

use super::actor::{OrderActor, OrderEffects};
use super::collect::{Collect, Purpose};
use super::coupons;
use super::records::Records;
use super::slots::{LimitUse, SlotState, limit_hash};
use crate::domain::ids::{MemberId, Slot, StockKey};
use crate::domain::order::{Line, Lines, Order, OrderStatus};
use crate::domain::reject::Reject;

/// Whether a collection may begin.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum LimitVerdict {
    /// It may: its limits are taken.
    Taken,
    /// It waits in its member's queue.
    Wait,
    /// The coupon that it is to issue has been issued.
    AlreadyIssued,
    /// It may not.
    Refused(Reject),
}

fn limited(lines: &Lines) -> impl Iterator<Item = &Line> {
    lines.iter().filter(|line| line.limit_per_member > 0)
}

/// What the limits say to these lines now; changes nothing. An exempt collection is counted and not refused, but waits
/// for those that were let in before and must still be within their limit when they are placed.
fn weigh(slot: &SlotState, member: MemberId, lines: &Lines, is_exempt: bool) -> LimitVerdict {
    let mut verdict = LimitVerdict::Taken;
    for line in limited(lines) {
        let state = slot.limits.get(&(member, line.key)).copied().unwrap_or_default();
        let collecting = u64::from(state.collecting);
        let placed = u64::from(state.used) + u64::from(line.quantity);
        let settled = placed + u64::from(state.elsewhere);
        let limit = if is_exempt { u64::MAX } else { u64::from(line.limit_per_member) };
        if settled > limit {
            let bought = state.used.saturating_add(state.elsewhere);
            return LimitVerdict::Refused(Reject::limit_exceeded(&line.key, line.limit_per_member, bought));
        }
        if placed + collecting > u64::from(u32::MAX) {
            // Counted in 32 bits, which only an exempt one could exceed.
            return LimitVerdict::Refused(Reject::QuantityOverflow { sku: line.key.sku });
        }
        // An order let in under a lower limit must still be within it when it is placed, so nobody with a higher one
        // (of another revision of the SKU) may be placed in between.
        let strictest = if state.collecting > 0 { limit.min(u64::from(state.strictest)) } else { limit };
        if settled.saturating_add(collecting) > strictest {
            verdict = LimitVerdict::Wait;
        }
    }
    verdict
}

/// What limits and coupons say to a collection now; changes nothing.
fn weigh_all(
    state: &SlotState,
    member: MemberId,
    collect: &Collect,
    records: &Records,
    now_ms: u64,
) -> LimitVerdict {
    match weigh(state, member, collect.lines(), collect.is_exempt()) {
        LimitVerdict::Refused(reject) => LimitVerdict::Refused(reject),
        limits => match coupons::weigh(state, member, collect, records, now_ms) {
            LimitVerdict::Taken => limits,
            others => others,
        },
    }
}

impl OrderActor {
    /// Takes limits and coupons of a collection, or puts it into its member's queue.
    pub(super) fn take_limits(&mut self, index: u32, now_ms: u64) -> LimitVerdict {
        let Self { slots, collects, records, settings, .. } = self;
        let collect = collects.get_mut(index);
        if limited(collect.lines()).next().is_none() && !coupons::is_about_coupons(collect, records) {
            return LimitVerdict::Taken;
        }
        let member = match &collect.purpose {
            Purpose::Submit { admitted, .. } => admitted.member_id,
            Purpose::Revive { index, .. } => records.get(*index).order.member_id,
            Purpose::Issue { request, .. } => request.member,
            Purpose::AskTeam { .. } => unreachable!("who asks a team takes no limits"),
        };
        let slot = Slot::of_member(member);
        let state = slots[slot.index()].as_deref_mut().expect("a collection is its owner's");
        let queued = state.queues.get(&member).map_or(0, |queue| queue.len());
        match weigh_all(state, member, collect, records, now_ms) {
            LimitVerdict::Refused(reject) => LimitVerdict::Refused(reject),
            LimitVerdict::AlreadyIssued => LimitVerdict::AlreadyIssued,
            // Nobody overtakes: who comes while others wait, waits behind them.
            LimitVerdict::Taken if queued == 0 => {
                take(state, member, collect.lines(), collect.is_exempt());
                coupons::take(state, member, collect, records);
                collect.limits_taken = true;
                LimitVerdict::Taken
            }
            // A late payment always finds room: money must not be refused for a full queue.
            LimitVerdict::Taken | LimitVerdict::Wait
                if queued >= settings.waiters_max && !matches!(collect.purpose, Purpose::Revive { .. }) =>
            {
                LimitVerdict::Refused(Reject::Overloaded { bound: "waiters_max", retry_after_ms: 10 })
            }
            LimitVerdict::Taken | LimitVerdict::Wait => {
                state.queues.entry(member).or_default().push_back(index);
                LimitVerdict::Wait
            }
        }
    }

    /// One of the member's collections has ended: those waiting for it may go on.
    pub(super) fn wake_member(&mut self, member: MemberId, now_ms: u64, effects: &mut OrderEffects) {
        let slot = Slot::of_member(member);
        loop {
            let Self { slots, collects, records, .. } = self;
            let state = slots[slot.index()].as_deref_mut().expect("a member is its owner's");
            let Some(queue) = state.queues.get_mut(&member) else { return };
            let Some(first) = queue.front().copied() else {
                state.queues.remove(&member);
                return;
            };
            let collect = collects.get_mut(first);
            let verdict = weigh_all(state, member, collect, records, now_ms);
            if verdict == LimitVerdict::Wait {
                return;
            }
            if let Some(queue) = state.queues.get_mut(&member) {
                queue.pop_front();
            }
            match verdict {
                LimitVerdict::Taken => {
                    take(state, member, collect.lines(), collect.is_exempt());
                    coupons::take(state, member, collect, records);
                    collect.limits_taken = true;
                    self.hold_next(first, effects);
                }
                LimitVerdict::Refused(reject) => self.fail(first, reject, now_ms, effects),
                LimitVerdict::AlreadyIssued => self.already_issued(first, effects),
                LimitVerdict::Wait => {}
            }
        }
    }

    /// The units of a placed order count as used, no longer as collecting.
    pub(super) fn settle_limits(&mut self, index: u32) {
        let Self { slots, records, .. } = self;
        let order = &records.get(index).order;
        let state = slots[order.order_no.slot().index()].as_deref_mut().expect("an order is its owner's");
        for line in limited(&order.lines) {
            let limit = state.limits.entry((order.member_id, line.key)).or_default();
            limit.end_collecting(line.quantity);
            limit.used += line.quantity;
            limit.orders += 1;
        }
    }

    /// Gives back what a failed collection had taken.
    pub(super) fn give_back_limits(&mut self, member: MemberId, lines: &Lines) {
        let slot = Slot::of_member(member);
        let state = self.slot(slot);
        for line in limited(lines) {
            if let Some(limit) = state.limits.get_mut(&(member, line.key)) {
                limit.end_collecting(line.quantity);
            }
        }
        self.let_limits_leave(member, limited_keys(lines));
    }

    /// Counts an order in memory for its limits.
    pub(super) fn hold_limits(&mut self, index: u32) {
        let Self { slots, records, .. } = self;
        let order = &records.get(index).order;
        let state = slots[order.order_no.slot().index()].as_deref_mut().expect("an order is its owner's");
        for line in limited(&order.lines) {
            state.limits.entry((order.member_id, line.key)).or_default().orders += 1;
        }
    }

    /// An order leaves memory: so do its limits that nothing else in memory needs.
    pub(super) fn release_limits(&mut self, order: &Order) {
        let state = self.slot(order.order_no.slot());
        for line in limited(&order.lines) {
            if let Some(limit) = state.limits.get_mut(&(order.member_id, line.key)) {
                limit.orders -= 1;
            }
        }
        self.let_limits_leave(order.member_id, limited_keys(&order.lines));
    }

    /// Lets go of limits that nothing in memory needs: the store has them, because it has the orders that they count.
    pub(super) fn let_limits_leave(&mut self, member: MemberId, keys: impl IntoIterator<Item = StockKey>) {
        let Self { slots, shared, left_sum, .. } = self;
        let state = slots[Slot::of_member(member).index()].as_deref_mut().expect("a member is its owner's");
        for key in keys {
            let Some(limit) = state.limits.get(&(member, key)) else { continue };
            // Submissions in the queue are weighed against what is in memory.
            if !limit.may_leave() || state.queues.get(&member).is_some_and(|queue| !queue.is_empty()) {
                continue;
            }
            if !limit.is_unknown && limit.used > 0 {
                let Some(store) = &shared.store else { continue };
                store.add_limit(member, &key);
                *left_sum = left_sum.wrapping_add(limit_hash(member, &key, limit.used));
            }
            state.limits.remove(&(member, key));
        }
    }

    /// Lets go of every limit that nothing in memory needs, after recovery has read them all.
    pub(super) fn let_all_limits_leave(&mut self) {
        let mut found: Vec<(MemberId, StockKey)> = Vec::new();
        for slot in self.slots.iter().flatten() {
            let may_leave = slot.limits.iter().filter(|(_, limit)| limit.may_leave());
            found.extend(may_leave.map(|(key, _)| *key));
        }
        for (member, key) in found {
            self.let_limits_leave(member, [key]);
        }
    }

    /// The limits of these lines that the store may know and memory does not; they are asked for from here on.
    pub(super) fn ask_for_limits(&mut self, member: MemberId, keys: Vec<StockKey>) -> Vec<StockKey> {
        let Self { slots, shared, .. } = self;
        let Some(store) = &shared.store else { return Vec::new() };
        let state = slots[Slot::of_member(member).index()].as_deref_mut().expect("a member is its owner's");
        let mut asked = keys;
        asked.retain(|key| match state.limits.entry((member, *key)) {
            Entry::Occupied(mut known) => {
                let limit = known.get_mut();
                limit.asked += u32::from(limit.is_unknown);
                limit.is_unknown
            }
            Entry::Vacant(vacant) => {
                let may_be_stored = store.may_have_limit(member, key);
                if may_be_stored {
                    vacant.insert(LimitUse { asked: 1, is_unknown: true, ..LimitUse::default() });
                }
                may_be_stored
            }
        });
        asked
    }

    /// The store's answer about limits.
    pub(super) fn limits_loaded(&mut self, member: MemberId, limits: &[(StockKey, u32)]) {
        let Self { slots, left_sum, .. } = self;
        let state = slots[Slot::of_member(member).index()].as_deref_mut().expect("a member is its owner's");
        for (key, used) in limits {
            let Some(limit) = state.limits.get_mut(&(member, *key)) else {
                debug_assert!(false, "a limit that was asked for stays");
                continue;
            };
            limit.asked -= 1;
            if std::mem::take(&mut limit.is_unknown) {
                limit.used += used;
                *left_sum = left_sum.wrapping_sub(limit_hash(member, key, *used));
            }
        }
    }

    /// The store could not answer about limits.
    pub(super) fn limits_not_loaded(&mut self, member: MemberId, keys: &[StockKey]) {
        let state = self.slot(Slot::of_member(member));
        for key in keys {
            if let Some(limit) = state.limits.get_mut(&(member, *key)) {
                limit.asked -= 1;
            }
        }
        self.let_limits_leave(member, keys.iter().copied());
    }

    /// Follows an order's change of status: cancelled units don't count.
    pub(super) fn count_limits(&mut self, index: u32, before: OrderStatus, after: OrderStatus) {
        self.count_limits_where(index, before, after, |_member, _key| true);
    }

    /// The same for those lines for which `applies` says so.
    pub(super) fn count_limits_where(
        &mut self,
        index: u32,
        before: OrderStatus,
        after: OrderStatus,
        applies: impl Fn(MemberId, StockKey) -> bool,
    ) {
        let counted = before != OrderStatus::Cancelled;
        let counts = after != OrderStatus::Cancelled;
        if counted == counts {
            return;
        }
        let Self { slots, records, .. } = self;
        let order = &records.get(index).order;
        let state = slots[order.order_no.slot().index()].as_deref_mut().expect("an order is its owner's");
        for line in limited(&order.lines).filter(|line| applies(order.member_id, line.key)) {
            let limit = state.limits.entry((order.member_id, line.key)).or_default();
            if counts {
                limit.used += line.quantity;
            } else {
                limit.used -= line.quantity;
            }
        }
    }
}

fn take(state: &mut SlotState, member: MemberId, lines: &Lines, is_exempt: bool) {
    for line in limited(lines) {
        let limit = state.limits.entry((member, line.key)).or_default();
        limit.begin_collecting(line.quantity, if is_exempt { u32::MAX } else { line.limit_per_member });
    }
}

/// The stock keys of the limited lines.
pub(super) fn limited_keys(lines: &Lines) -> Vec<StockKey> {
    limited(lines).map(|line| line.key).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::ids::SkuId;
    use crate::domain::money::Money;

    fn lines(limit_per_member: u32) -> Lines {
        let key = StockKey::normal(SkuId(1));
        Lines::one(Line { key, quantity: 1, price: Money::ZERO, revision: 1, limit_per_member })
    }

    #[test]
    fn nobody_is_placed_past_a_stricter_limit_that_was_taken_before() {
        let (mut state, member) = (SlotState::default(), MemberId(1));
        take(&mut state, member, &lines(1), false);
        // The catalogue allows three by now. Placed first, this order would leave the other one above its limit.
        assert_eq!(weigh(&state, member, &lines(3), false), LimitVerdict::Wait);
        let key = (member, StockKey::normal(SkuId(1)));
        state.limits.entry(key).or_default().end_collecting(1);
        assert_eq!(weigh(&state, member, &lines(3), false), LimitVerdict::Taken);
        take(&mut state, member, &lines(3), false);
        assert_eq!(weigh(&state, member, &lines(3), false), LimitVerdict::Taken);
        assert_eq!(weigh(&state, member, &lines(1), false), LimitVerdict::Wait);
    }

    #[test]
    fn an_exempt_order_is_counted_and_waits_only_for_those_that_are_not() {
        let (mut state, member) = (SlotState::default(), MemberId(1));
        let key = (member, StockKey::normal(SkuId(1)));
        state.limits.entry(key).or_default().elsewhere = 5;
        assert!(matches!(weigh(&state, member, &lines(5), false), LimitVerdict::Refused(_)));
        take(&mut state, member, &lines(1), true);
        assert_eq!(weigh(&state, member, &lines(1), true), LimitVerdict::Taken);
        // It may yet fail, and then there is room.
        assert_eq!(weigh(&state, member, &lines(6), false), LimitVerdict::Wait);
        assert_eq!(weigh(&state, member, &lines(7), false), LimitVerdict::Taken);
        take(&mut state, member, &lines(7), false);
        assert_eq!(
            weigh(&state, member, &lines(1), true),
            LimitVerdict::Wait,
            "the other was let in by seven"
        );
        state.limits.entry(key).or_default().end_collecting(2);
        state.limits.entry(key).or_default().used = u32::MAX;
        assert!(matches!(weigh(&state, member, &lines(1), true), LimitVerdict::Refused(_)));
    }
}
