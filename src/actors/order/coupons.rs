//! Members' coupons: issued once per request, taken by one collecting order at a time, and moved along with its status.
//!
//! A coupon is taken together with the limits, before the first hold, and given back if the collection fails; what waits
//! for it waits in the member's one queue ([`super::limits`]). It stays in memory until it has expired and no open order
//! has it; then the store has it, and nothing asks for it any more, since an expired coupon can neither be locked nor
//! returned. Whether definitions exist is looked up at the front door, and copied into the request.

use std::collections::{BTreeMap, BTreeSet};

use super::actor::{OrderActor, OrderEffects, StockEffect};
use super::collect::{Collect, Purpose};
use super::limits::LimitVerdict;
use super::records::Records;
use super::slots::SlotState;
use crate::actors::reply::{Answer, Reply};
use crate::domain::coupon::{
    COUPONS_PER_MEMBER_MAX, Coupon, CouponChange, CouponEvent, CouponState, CouponStep,
};
use crate::domain::event::Event;
use crate::domain::ids::{CouponId, CouponTermsId, MemberId, OrderNo, Position, Slot, StockKey};
use crate::domain::money::Money;
use crate::domain::order::{Line, Lines, OrderStatus, SpentCoupon};
use crate::domain::reject::Reject;

/// Most coupons that leave in one round.
const LEAVE_PER_ROUND: usize = 512;
/// How long after a look an expired coupon is looked at again that an open order has, in ms.
const LOOK_AGAIN_MS: u64 = 1_000;

/// No two events whose times are further apart, in ms, stand in the journal in the wrong order: their actors would have
/// read the clock in one round and appended so much later.
const TIMES_APART_MS: u64 = 3_600_000;

/// Whether an issue changed anything.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IssueOutcome {
    /// The member has got the coupon.
    Issued,
    /// The member had got it by this request already.
    Unchanged,
}

/// A request for a coupon, with what it needs of the definition.
#[derive(Debug)]
pub(crate) struct IssueRequest {
    /// Who gets it.
    pub(crate) member: MemberId,
    /// Its id, which follows from definition, member and request.
    pub(crate) coupon: CouponId,
    /// The first instant at which it is valid, in ms since the Unix epoch.
    pub(crate) valid_from_ms: u64,
    /// The first instant at which it is no longer valid, in ms since the Unix epoch.
    pub(crate) valid_until_ms: u64,
    /// Most coupons of this definition that a member may have; 0 for no bound.
    pub(crate) per_member_max: u32,
    /// Where the answer goes.
    pub(crate) reply: Reply<IssueOutcome>,
}

impl IssueRequest {
    /// The unit of the definition's total.
    fn lines(&self) -> Lines {
        let key = StockKey::coupons(self.coupon.terms());
        Lines::one(Line { key, quantity: 1, price: Money::ZERO, revision: 1, limit_per_member: 0 })
    }

    fn check_open(&self, now_ms: u64) -> Result<(), Reject> {
        if now_ms < self.valid_until_ms {
            return Ok(());
        }
        let terms = self.coupon.terms();
        Err(Reject::CouponTermsOver { terms, valid_until_ms: self.valid_until_ms })
    }
}

/// A coupon in memory.
#[derive(Clone, Copy, Debug)]
pub(crate) struct CouponRecord {
    /// The coupon.
    pub(crate) coupon: Coupon,
    /// Position of its last event, provisional until the append.
    pub(crate) position: Position,
    /// Whether a collection has taken it.
    is_taken: bool,
}

/// What a member has.
#[derive(Debug, Default)]
pub(crate) struct Wallet {
    /// The coupons.
    pub(crate) coupons: BTreeMap<CouponId, CouponRecord>,
    /// Definitions of which one is being issued.
    issuing: BTreeSet<CouponTermsId>,
}

impl Wallet {
    /// Coupons of a definition.
    fn count(&self, terms: CouponTermsId) -> usize {
        let (first, last) = CouponId::range_of(terms);
        self.coupons.range(first..=last).count()
    }

    fn weigh_issue(&self, request: &IssueRequest, now_ms: u64) -> LimitVerdict {
        let terms = request.coupon.terms();
        if self.coupons.contains_key(&request.coupon) {
            return LimitVerdict::AlreadyIssued;
        }
        if let Err(reject) = request.check_open(now_ms) {
            return LimitVerdict::Refused(reject);
        }
        // It may be this very request's coupon, or the one that makes the maximum full; or come to nothing.
        if self.issuing.contains(&terms) {
            return LimitVerdict::Wait;
        }
        let max = request.per_member_max;
        if max > 0 && self.count(terms) >= max as usize {
            return LimitVerdict::Refused(Reject::CouponMaximum { terms, coupons_max: max });
        }
        if self.coupons.len() + self.issuing.len() >= COUPONS_PER_MEMBER_MAX {
            let coupons_max = COUPONS_PER_MEMBER_MAX as u32;
            return LimitVerdict::Refused(Reject::CouponMaximum { terms, coupons_max });
        }
        LimitVerdict::Taken
    }

    fn weigh_coupons(&self, coupons: &[SpentCoupon], now_ms: u64) -> LimitVerdict {
        let mut verdict = LimitVerdict::Taken;
        for SpentCoupon { coupon, .. } in coupons {
            let Some(record) = self.coupons.get(coupon) else {
                return LimitVerdict::Refused(Reject::CouponNotFound { coupon: *coupon });
            };
            if let Err(reject) = record.coupon.check_lock(*coupon, now_ms) {
                return LimitVerdict::Refused(reject);
            }
            if record.is_taken {
                verdict = LimitVerdict::Wait;
            }
        }
        verdict
    }
}

/// The coupons that a collection is about.
fn wanted<'c>(collect: &'c Collect, records: &'c Records) -> &'c [SpentCoupon] {
    match &collect.purpose {
        Purpose::Submit { admitted, .. } => admitted.extra.coupons(),
        Purpose::Revive { index, .. } => records.get(*index).order.extra.coupons(),
        Purpose::Issue { .. } | Purpose::AskTeam { .. } => &[],
    }
}

/// Whether a collection is about coupons at all.
pub(super) fn is_about_coupons(collect: &Collect, records: &Records) -> bool {
    matches!(collect.purpose, Purpose::Issue { .. }) || !wanted(collect, records).is_empty()
}

/// What the member's coupons say to a collection now; changes nothing.
pub(super) fn weigh(
    state: &SlotState,
    member: MemberId,
    collect: &Collect,
    records: &Records,
    now_ms: u64,
) -> LimitVerdict {
    let nothing = Wallet::default();
    let wallet = state.wallets.get(&member).unwrap_or(&nothing);
    match &collect.purpose {
        Purpose::Issue { request, .. } => wallet.weigh_issue(request, now_ms),
        Purpose::Submit { .. } | Purpose::Revive { .. } | Purpose::AskTeam { .. } => {
            wallet.weigh_coupons(wanted(collect, records), now_ms)
        }
    }
}

/// Takes what [`weigh`] found free.
pub(super) fn take(state: &mut SlotState, member: MemberId, collect: &Collect, records: &Records) {
    if !is_about_coupons(collect, records) {
        return;
    }
    let wallet = state.wallets.entry(member).or_default();
    if let Purpose::Issue { request, .. } = &collect.purpose {
        wallet.issuing.insert(request.coupon.terms());
    }
    for SpentCoupon { coupon, .. } in wanted(collect, records) {
        if let Some(record) = wallet.coupons.get_mut(coupon) {
            record.is_taken = true;
        }
    }
}

impl OrderActor {
    /// Takes a request for a coupon.
    pub(super) fn issue_coupon(
        &mut self,
        request: Box<IssueRequest>,
        now_ms: u64,
        effects: &mut OrderEffects,
    ) {
        let lines = request.lines();
        let collect = self.collects.insert(Collect::new(Purpose::Issue { request, lines }));
        self.begin(collect, now_ms, effects);
    }

    /// A collection has lost its coupons, or has them for good.
    pub(super) fn let_go_of_coupons(&mut self, member: MemberId, coupons: &[SpentCoupon]) {
        let Some(wallet) = self.slot(Slot::of_member(member)).wallets.get_mut(&member) else { return };
        for SpentCoupon { coupon, .. } in coupons {
            if let Some(record) = wallet.coupons.get_mut(coupon) {
                record.is_taken = false;
            }
        }
    }

    /// Whether a collection that has its lines can still have its coupons: they may have expired meanwhile.
    pub(super) fn check_coupons(&self, index: u32, now_ms: u64) -> Result<(), Reject> {
        let Some(collect) = self.collects.get(index) else { return Ok(()) };
        let member = match &collect.purpose {
            Purpose::Submit { admitted, .. } => admitted.member_id,
            Purpose::Revive { index, .. } => self.records.get(*index).order.member_id,
            Purpose::Issue { request, .. } => return request.check_open(now_ms),
            Purpose::AskTeam { .. } => return Ok(()),
        };
        let wanted = wanted(collect, &self.records);
        if wanted.is_empty() {
            return Ok(());
        }
        let wallet = self.wallet(member);
        for SpentCoupon { coupon, .. } in wanted {
            let record = wallet.and_then(|wallet| wallet.coupons.get(coupon));
            let record = record.ok_or(Reject::CouponNotFound { coupon: *coupon })?;
            record.coupon.check_lock(*coupon, now_ms)?;
        }
        Ok(())
    }

    /// The unit is held: the member gets the coupon.
    pub(super) fn complete_issue(&mut self, index: u32, now_ms: u64, effects: &mut OrderEffects) {
        let Purpose::Issue { request, lines } = self.collects.remove(index).purpose else {
            unreachable!("only an issue gets here")
        };
        let IssueRequest { member, coupon, valid_from_ms, valid_until_ms, reply, .. } = *request;
        let step = CouponStep { at_ms: now_ms, coupon, member, valid_from_ms, valid_until_ms };
        let position = Position::provisional(effects.entries.event_count());
        let event = CouponEvent::Issued { step };
        effects.entries.push(&[Event::Coupon(Box::new(event))]);
        self.enter_coupon(member, coupon, event.coupon(), position);
        self.touched_coupons.push((member, coupon));
        self.end_issue(member, coupon);
        for what in [StockEffect::Settle, StockEffect::Sell] {
            effects.stock.extend(lines.iter().map(|line| (line.key, line.quantity, what)));
        }
        effects.durable_answers.push(Answer::to(reply, Ok(IssueOutcome::Issued)));
        self.wake_member(member, now_ms, effects);
    }

    /// The member has had the coupon before. Nothing of the collection was taken.
    pub(super) fn already_issued(&mut self, index: u32, effects: &mut OrderEffects) {
        let Purpose::Issue { request, .. } = self.collects.remove(index).purpose else {
            unreachable!("only an issue gets here")
        };
        // That it was issued may not be durable yet.
        effects.durable_answers.push(Answer::to(request.reply, Ok(IssueOutcome::Unchanged)));
    }

    /// No coupon is issued.
    pub(super) fn fail_issue(
        &mut self,
        request: IssueRequest,
        is_taken: bool,
        reject: Reject,
        now_ms: u64,
        effects: &mut OrderEffects,
    ) {
        let IssueRequest { member, coupon, reply, .. } = request;
        effects.answers.push(Answer::to(reply, Err(reject)));
        if is_taken {
            self.end_issue(member, coupon);
            self.wake_member(member, now_ms, effects);
        }
    }

    /// An order that is being placed, paid or not, has its coupons: adds what becomes of them to its own events.
    pub(super) fn lock_coupons(&mut self, index: u32, first: u32, events: &mut Vec<Event>) {
        let order = &self.records.get(index).order;
        let (member, at_ms, coupons) = (order.member_id, order.created_at_ms, order.extra.coupons().to_vec());
        let changes: &[_] = match order.status {
            OrderStatus::Pending => &[CouponChange::Lock],
            _ => &[CouponChange::Lock, CouponChange::Use],
        };
        self.move_coupons(index, changes, at_ms, first, events);
        self.let_go_of_coupons(member, &coupons);
    }

    /// Moves an order's coupons along with its status: applies the events, and adds them to those of the order, of which
    /// the first is the `first` of this round.
    pub(super) fn move_coupons(
        &mut self,
        index: u32,
        changes: &[CouponChange],
        at_ms: u64,
        first: u32,
        events: &mut Vec<Event>,
    ) {
        let Self { slots, records, touched_coupons, coupon_ends, .. } = self;
        let order = &records.get(index).order;
        let (member, order_no) = (order.member_id, order.order_no);
        let state = slots[order_no.slot().index()].as_deref_mut().expect("an order is its owner's");
        let Some(wallet) = state.wallets.get_mut(&member) else { return };
        for change in changes {
            for SpentCoupon { coupon, .. } in order.extra.coupons() {
                // One that has left memory has expired: it is not given back.
                let Some(record) = wallet.coupons.get_mut(coupon) else { continue };
                let Some(event) = record.coupon.change(*change, *coupon, member, order_no, at_ms) else {
                    continue;
                };
                debug_assert!(event.follows(Some(&record.coupon)), "{event:?} after {:?}", record.coupon);
                record.coupon.apply(&event);
                record.position = Position::provisional(first + events.len() as u32);
                touched_coupons.push((member, *coupon));
                coupon_ends.insert((record.coupon.valid_until_ms, member, *coupon));
                events.push(Event::Coupon(Box::new(event)));
            }
        }
    }

    /// The member's coupons that have not expired or that an open order has, ascending, and the last position that they
    /// show.
    pub(super) fn coupons_of(&self, member: MemberId, now_ms: u64) -> (Vec<(CouponId, Coupon)>, Position) {
        let mut last = Position(0);
        let mut shown = Vec::new();
        let wallet = self.wallet(member);
        for (coupon, record) in wallet.iter().flat_map(|wallet| &wallet.coupons) {
            if record.coupon.is_unexpired(now_ms) || self.is_in_open_order(&record.coupon) {
                last = last.max(record.position);
                shown.push((*coupon, record.coupon));
            }
        }
        (shown, last)
    }

    /// The positions of this round's coupon events are final.
    pub(super) fn settle_coupons(&mut self, first: Position) {
        let Self { slots, touched_coupons, .. } = self;
        for (member, coupon) in touched_coupons.drain(..) {
            let state = slots[Slot::of_member(member).index()].as_deref_mut();
            let wallet = state.and_then(|state| state.wallets.get_mut(&member));
            if let Some(record) = wallet.and_then(|wallet| wallet.coupons.get_mut(&coupon)) {
                record.position.settle(first);
            }
        }
    }

    /// Lets go of expired coupons that the store has. Gives whether there may be more.
    pub(super) fn coupons_leave(&mut self, now_ms: u64, stored: Position) -> bool {
        for _ in 0..LEAVE_PER_ROUND {
            let Some(&(due_ms, member, coupon)) = self.coupon_ends.first() else { return false };
            if now_ms < due_ms {
                return false;
            }
            self.coupon_ends.pop_first();
            let Some(record) = self.wallet(member).and_then(|wallet| wallet.coupons.get(&coupon)).copied()
            else {
                continue;
            };
            let stays = record.is_taken
                || record.position > stored
                || record.coupon.is_unexpired(now_ms)
                || self.is_in_open_order(&record.coupon);
            if stays {
                let again_ms = record.coupon.valid_until_ms.max(now_ms.saturating_add(LOOK_AGAIN_MS));
                self.coupon_ends.insert((again_ms, member, coupon));
                continue;
            }
            self.left_sum = self.left_sum.wrapping_add(record.coupon.record_hash(member, coupon));
            let wallets = &mut self.slot(Slot::of_member(member)).wallets;
            if let Some(wallet) = wallets.get_mut(&member) {
                wallet.coupons.remove(&coupon);
                if wallet.coupons.is_empty() && wallet.issuing.is_empty() {
                    wallets.remove(&member);
                }
            }
        }
        true
    }

    /// Enters a coupon as it stands after the event at `position`: one that is issued, or comes from the store.
    pub(crate) fn enter_coupon(
        &mut self,
        member: MemberId,
        id: CouponId,
        coupon: Coupon,
        position: Position,
    ) {
        let wallet = self.slot(Slot::of_member(member)).wallets.entry(member).or_default();
        wallet.coupons.insert(id, CouponRecord { coupon, position, is_taken: false });
        self.coupon_ends.insert((coupon.valid_until_ms, member, id));
    }

    /// Enters a coupon that the store has, as of its checkpoint, whose latest event is of `latest_at_ms`. One that no
    /// later event can be about only adds to the state hash.
    pub(crate) fn restore_coupon(
        &mut self,
        member: MemberId,
        id: CouponId,
        coupon: Coupon,
        latest_at_ms: u64,
    ) {
        let is_over = coupon.valid_until_ms.saturating_add(TIMES_APART_MS) <= latest_at_ms;
        if is_over && !matches!(coupon.state, CouponState::Locked(_)) {
            self.restore_left_sum(coupon.record_hash(member, id));
        } else {
            self.enter_coupon(member, id, coupon, Position(0));
        }
    }

    /// Applies a replayed event; false where it doesn't follow.
    pub(super) fn replay_coupon(&mut self, position: Position, event: &CouponEvent) -> bool {
        let CouponStep { member, coupon, .. } = *event.step();
        let before = self.wallet(member).and_then(|wallet| wallet.coupons.get(&coupon));
        let follows = event.follows(before.map(|record| &record.coupon));
        self.enter_coupon(member, coupon, event.coupon(), position);
        follows
    }

    /// The hashes of all coupons in memory.
    pub(super) fn coupons_hash(&self) -> u64 {
        let wallets = self.slots.iter().flatten().flat_map(|slot| &slot.wallets);
        wallets.fold(0, |sum, (member, wallet)| {
            let hashes = wallet.coupons.iter().map(|(id, record)| record.coupon.record_hash(*member, *id));
            hashes.fold(sum, u64::wrapping_add)
        })
    }

    fn wallet(&self, member: MemberId) -> Option<&Wallet> {
        self.slots[Slot::of_member(member).index()].as_deref()?.wallets.get(&member)
    }

    /// Whether an order has it that may yet use it or give it back. Open orders are in memory.
    fn is_in_open_order(&self, coupon: &Coupon) -> bool {
        let CouponState::Locked(order_no) = coupon.state else { return false };
        self.is_pending(order_no)
    }

    fn is_pending(&self, order_no: OrderNo) -> bool {
        self.find(order_no).is_some_and(|index| self.records.get(index).order.status == OrderStatus::Pending)
    }

    fn end_issue(&mut self, member: MemberId, coupon: CouponId) {
        if let Some(wallet) = self.slot(Slot::of_member(member)).wallets.get_mut(&member) {
            wallet.issuing.remove(&coupon.terms());
        }
    }
}
