//! Placing an order: once per request (R8), within the limits, all lines or none (R2), then `OrderCreated` (R6).

use std::num::NonZeroU8;

use super::actor::{OrderActor, OrderEffects, StockEffect};
use super::cold::Load;
use super::collect::{Collect, Purpose};
use super::limits::{LimitVerdict, limited_keys};
use super::slots::Known;
use super::{Admitted, AppliedPayment, HoldResult, OrderItem, Recall};
use crate::actors::external::Claim;
use crate::actors::reply::{Answer, Receipt, SubmitReply, SubmitResult};
use crate::actors::team::TeamItem;
use crate::domain::event::{Event, OrderCreated};
use crate::domain::ids::{MemberId, OrderNo, Position, RequestId, Slot};
use crate::domain::import;
use crate::domain::order::Line;
use crate::domain::order::{Order, OrderStatus, RefundReason};
use crate::domain::reject::Reject;
use crate::domain::team::Membership;

/// Refusal codes in the table of recent refusals: sold out at a line (its index, capped), or a limit.
const REFUSED_LIMIT: u8 = 1;
const REFUSED_SOLD_OUT: u8 = 2;
const REFUSED_LINE_MAX: usize = (u8::MAX - REFUSED_SOLD_OUT) as usize;

/// The code under which a refusal sticks; `None` for answers that may differ next time (R8). An import is repeated on
/// purpose, once what it lacked is there.
pub(crate) fn sticky_code(reject: &Reject, lines: &[crate::domain::order::Line]) -> Option<NonZeroU8> {
    if lines.iter().any(crate::domain::order::Line::is_imported) {
        return None;
    }
    let code = match reject {
        Reject::LimitExceeded { .. } => REFUSED_LIMIT,
        Reject::SoldOut { sku } => {
            let line = lines.iter().position(|line| line.key.sku == *sku).unwrap_or(0);
            REFUSED_SOLD_OUT + line.min(REFUSED_LINE_MAX) as u8
        }
        Reject::TeamFull { .. } => {
            let line = lines.iter().position(Line::is_seat).unwrap_or(0);
            REFUSED_SOLD_OUT + line.min(REFUSED_LINE_MAX) as u8
        }
        _ => return None,
    };
    NonZeroU8::new(code)
}

/// The refusal that a sticky code stands for.
pub(crate) fn sticky_reject(code: NonZeroU8, lines: &[crate::domain::order::Line]) -> Reject {
    let code = code.get();
    let first = &lines[0];
    if code == REFUSED_LIMIT {
        let limited = lines.iter().find(|line| line.limit_per_member > 0).unwrap_or(first);
        let limit = limited.limit_per_member;
        return Reject::LimitExceeded { sku: limited.key.sku, limit, bought: limit };
    }
    let line = usize::from(code.saturating_sub(REFUSED_SOLD_OUT));
    Reject::sold_out(&lines.get(line).unwrap_or(first).key)
}

/// An order that has more to say than that it was placed: coupons, or that it is paid at once, because it costs nothing.
/// Gives it with its own events, of which the first is the `first` of this round.
fn place_with_more(created: OrderCreated, first: u32, events: &mut Vec<Event>) -> Order {
    let (at_ms, is_paid) = (created.at_ms, created.is_paid_at_once());
    let mut order = Order::create(created.clone(), Position::provisional(first));
    events.push(Event::OrderCreated(Box::new(created)));
    if is_paid {
        let paid = order.paid_with_nothing(1, at_ms);
        order.apply(&paid, Position::provisional(first + 1));
        events.push(paid);
    }
    order
}

impl OrderActor {
    /// Takes one submission.
    pub(super) fn submit(&mut self, admitted: Admitted, now_ms: u64, effects: &mut OrderEffects) {
        let Admitted { member_id, request_id, request_hash, body_hash, .. } = admitted;
        if let Some(known) = self.find_request(member_id, request_id, request_hash) {
            return self.repeat(known, body_hash, admitted.reply, effects);
        }
        if !self.may_be_stored(request_hash)
            && let Some(code) = self.shared.refusals.recall(request_hash)
        {
            self.counts.duplicates += 1;
            let reject = sticky_reject(code, &admitted.lines);
            effects.answers.push(Answer::Submit(admitted.reply, Err(reject)));
            return;
        }
        if let Err(refusal) = self.claim_external(&admitted) {
            if self.may_be_stored(request_hash) {
                // It may have an order that has left memory, and then that is its answer (R8): its number looks busy
                // while somebody else asks the store for it.
                let recall = Recall { member_id, request_id, request_hash, body_hash, refusal };
                let reply = admitted.reply;
                return effects.loads.push(Load::Recall { recall: Box::new(recall), reply });
            }
            // Which order has it may not be durable yet.
            effects.durable_answers.push(Answer::Submit(admitted.reply, Err(refusal)));
            return;
        }

        let hash = admitted.request_hash;
        let purpose = Purpose::Submit { admitted, retries: Vec::new() };
        let collect = self.collects.insert(Collect::new(purpose));
        self.tables.begin_request(hash, collect);
        if !self.ask_for_submission(collect, effects) {
            self.begin(collect, now_ms, effects);
        }
    }

    /// Goes on with a submission that the store does not know: a refusal that it got before still stands.
    pub(super) fn begin_unless_refused(&mut self, collect: u32, now_ms: u64, effects: &mut OrderEffects) {
        let refused = match &self.collects.get_mut(collect).purpose {
            Purpose::Submit { admitted, .. } => {
                let code = self.shared.refusals.recall(admitted.request_hash);
                code.map(|code| sticky_reject(code, &admitted.lines))
            }
            Purpose::Revive { .. } | Purpose::AskTeam { .. } | Purpose::Issue { .. } => None,
        };
        match refused {
            Some(reject) => self.fail(collect, reject, now_ms, effects),
            None => self.begin(collect, now_ms, effects),
        }
    }

    /// Takes a submission that is refused now, and may have been placed before (R8).
    pub(super) fn recall(&mut self, recall: Recall, reply: SubmitReply, effects: &mut OrderEffects) {
        let Recall { member_id, request_id, request_hash, body_hash, refusal } = recall;
        match self.find_request(member_id, request_id, request_hash) {
            Some(known) => self.repeat(known, body_hash, reply, effects),
            None if self.may_be_stored(request_hash) => {
                let recall = Recall { member_id, request_id, request_hash, body_hash, refusal };
                effects.loads.push(Load::Recall { recall: Box::new(recall), reply });
            }
            None => effects.answers.push(Answer::Submit(reply, Err(refusal))),
        }
    }

    /// Takes the limits and asks for the first line, or waits for the member's earlier orders, or fails.
    pub(super) fn begin(&mut self, collect: u32, now_ms: u64, effects: &mut OrderEffects) {
        match self.take_limits(collect, now_ms) {
            LimitVerdict::Taken => self.hold_next(collect, effects),
            LimitVerdict::Wait => {}
            LimitVerdict::AlreadyIssued => self.already_issued(collect, effects),
            LimitVerdict::Refused(reject) => self.fail(collect, reject, now_ms, effects),
        }
    }

    /// Brings what the answers to many holds will touch into the cache.
    pub(super) fn warm_held(&mut self, results: &[HoldResult]) {
        let Self { tables, collects, .. } = self;
        for result in results {
            if let Some(Collect { purpose: Purpose::Submit { admitted, .. }, .. }) =
                collects.get(result.collect)
            {
                tables.warm(admitted.request_hash, admitted.member_id);
            }
        }
    }

    /// Takes the answer to a hold.
    pub(super) fn on_held(&mut self, result: HoldResult, now_ms: u64, effects: &mut OrderEffects) {
        let collect = self.collects.get_mut(result.collect);
        let held = collect.held as usize;
        if !result.granted {
            let reject = Reject::sold_out(&collect.lines()[held].key);
            return self.fail(result.collect, reject, now_ms, effects);
        }
        collect.held += 1;
        if held + 1 < collect.lines().len() {
            self.hold_next(result.collect, effects);
        } else {
            self.complete(result.collect, now_ms, effects);
        }
    }

    /// Asks for the next line. Lines ascend by stock key, so two collections never wait for each other (R3).
    pub(super) fn hold_next(&mut self, index: u32, effects: &mut OrderEffects) {
        let collect = self.collects.get_mut(index);
        let line = &collect.lines()[collect.held as usize];
        effects.stock.push((line.key, line.quantity, StockEffect::Hold { collect: index }));
    }

    /// All lines are held.
    fn complete(&mut self, index: u32, now_ms: u64, effects: &mut OrderEffects) {
        match &self.collects.get_mut(index).purpose {
            Purpose::Submit { admitted, .. } if admitted.extra.terms.is_none() => {}
            purpose => {
                let (revives, issues) =
                    (matches!(purpose, Purpose::Revive { .. }), matches!(purpose, Purpose::Issue { .. }));
                if let Err(reject) = self.check_coupons(index, now_ms) {
                    return self.fail(index, reject, now_ms, effects);
                }
                if revives {
                    return self.revive(index, now_ms, effects);
                }
                if issues {
                    return self.complete_issue(index, now_ms, effects);
                }
            }
        }
        if let Purpose::Submit { admitted, .. } = &self.collects.get_mut(index).purpose
            && now_ms >= admitted.ends_at_ms
        {
            let reject = Reject::ActivityOver { activity: admitted.lines[0].key.activity };
            return self.fail(index, reject, now_ms, effects);
        }
        let Some(number) = self.next_number(index, now_ms) else {
            let reject = Reject::Overloaded { bound: "order_numbers", retry_after_ms: 100 };
            return self.fail(index, reject, now_ms, effects);
        };
        let collect = self.collects.remove(index);
        let Purpose::Submit { admitted, retries } = collect.purpose else {
            unreachable!("others were told apart above")
        };
        let Admitted { member_id, request_id, request_hash, body_hash, reply, .. } = admitted;

        let auto_close_ms = match admitted.deadline_ms {
            Some(deadline_ms) => import::auto_close_ms(deadline_ms.get(), now_ms),
            None => admitted.auto_close_ms,
        };
        let created = OrderCreated {
            order_no: number,
            member_id,
            request_id,
            body_hash,
            order_type: admitted.order_type,
            at_ms: now_ms,
            auto_close_ms,
            pay_amount: admitted.pay_amount,
            lines: admitted.lines,
            extra: admitted.extra,
        };
        let opens_team = admitted.team.is_some();
        let first = effects.entries.event_count();
        // What an order brings along beside its creation is written further down, in the same entry.
        let mut events = Vec::new();
        let order = if let Some(wish) = admitted.team {
            self.place_opener(created, *wish, first, &mut events, effects)
        } else if created.is_paid_at_once() || !created.extra.coupons().is_empty() {
            place_with_more(created, first, &mut events)
        } else {
            effects.entries.push_created(&created);
            Order::create(created, Position::provisional(first))
        };
        let held = order.lines.iter().filter(|line| !(opens_team && line.is_seat()));
        effects.stock.extend(held.map(|line| (line.key, line.quantity, StockEffect::Settle)));
        if let Some(team) = order.team() {
            let what = Membership::Joined;
            effects.teams.push(TeamItem::Member { team, order_no: order.order_no, what });
            if order.is_paid_by_nothing() {
                let payment = OrderItem::ApplyPayment(AppliedPayment::of_nothing(&order));
                effects.routed.push((order.order_no.slot(), payment));
            }
        }
        let is_pending = order.status == OrderStatus::Pending;
        if !is_pending {
            effects.stock.extend(order.lines.iter().map(|line| (line.key, line.quantity, StockEffect::Sell)));
        }
        if let Some(external_no) = order.external_no() {
            self.shared.external.place(external_no, number);
        }
        let has_external_no = order.external_no().is_some();
        let deadline_ms = order.deadline_ms;

        let placed = self.enter(order);
        self.touched.push(placed);
        if !events.is_empty() {
            self.lock_coupons(placed, first, &mut events);
            effects.entries.push(&events);
        }
        if has_external_no {
            self.named.push(placed);
        }
        self.tables.place_request(request_hash, index, placed);
        if is_pending {
            self.records.get_mut(placed).timer = self.wheel.arm(deadline_ms, placed);
        }
        self.counts.accepted += 1;

        let receipt = Ok(self.first_receipt(placed));
        effects.durable_answers.push(Answer::Submit(reply, receipt));
        self.answer_retries(retries, body_hash, receipt, effects);
        if collect.limits_taken || opens_team {
            self.settle_limits(placed);
            self.wake_member(member_id, now_ms, effects);
        }
    }

    /// Ends a collection that can't have what it wants; nothing of it remains.
    pub(super) fn fail(&mut self, index: u32, reject: Reject, now_ms: u64, effects: &mut OrderEffects) {
        let collect = self.collects.remove(index);
        let held = collect.lines()[..collect.held as usize].iter();
        effects.stock.extend(held.map(|line| (line.key, line.quantity, StockEffect::GiveBack)));
        let Collect { purpose, limits_taken, .. } = collect;
        match purpose {
            Purpose::Submit { admitted, retries } => {
                self.tables.end_request(admitted.request_hash, index);
                if let Some(external_no) = admitted.extra.external_no() {
                    self.shared.external.give_back(external_no);
                }
                self.count_refusal(&reject);
                if let Some(code) = sticky_code(&reject, &admitted.lines) {
                    self.shared.refusals.remember(admitted.request_hash, code);
                }
                // Where a coupon is may not be durable yet (R4).
                let depends = reject.is_about_coupon();
                let answers = if depends { &mut effects.durable_answers } else { &mut effects.answers };
                answers.push(Answer::Submit(admitted.reply, Err(reject)));
                for (retry, _body) in retries {
                    self.counts.duplicates += 1;
                    answers.push(Answer::Submit(retry, Err(reject)));
                }
                if limits_taken {
                    self.let_go_of_coupons(admitted.member_id, admitted.extra.coupons());
                    self.give_back_limits(admitted.member_id, &admitted.lines);
                    self.wake_member(admitted.member_id, now_ms, effects);
                }
                // Those that the store was asked for, and nothing in memory needs now.
                self.let_limits_leave(admitted.member_id, limited_keys(&admitted.lines));
            }
            Purpose::AskTeam { .. } => unreachable!("who asks a team holds nothing"),
            Purpose::Revive { index: order, payment, lines, waiting } => {
                let member = self.records.get(order).order.member_id;
                if limits_taken {
                    self.give_back_limits(member, &lines);
                    let coupons = self.records.get(order).order.extra.coupons().to_vec();
                    self.let_go_of_coupons(member, &coupons);
                }
                let reason = match reject {
                    Reject::LimitExceeded { .. } | Reject::AlreadyInTeam { .. } => {
                        RefundReason::LimitExceeded
                    }
                    reject if reject.is_about_coupon() => RefundReason::CouponGone,
                    _ => RefundReason::SoldOut,
                };
                self.refund(order, payment, reason, now_ms, effects);
                self.end_revival(order, waiting, now_ms, effects);
                self.wake_member(member, now_ms, effects);
            }
            Purpose::Issue { request, .. } => {
                self.fail_issue(*request, limits_taken, reject, now_ms, effects);
            }
        }
    }

    /// The first answer, again.
    fn repeat(&mut self, known: Known, body_hash: u64, reply: SubmitReply, effects: &mut OrderEffects) {
        let index = match known {
            Known::Placed(index) => index,
            Known::Collecting(collect) => return self.wait_for_first(collect, body_hash, reply, effects),
        };
        self.counts.duplicates += 1;
        reply.mark_repeated();
        let same_body = self.records.get(index).order.body_hash == body_hash;
        let result = if same_body { Ok(self.first_receipt(index)) } else { Err(Reject::RequestIdReused) };
        effects.durable_answers.push(Answer::Submit(reply, result));
    }

    /// Waits for the answer that the first request gets (R8).
    fn wait_for_first(&mut self, index: u32, body_hash: u64, reply: SubmitReply, effects: &mut OrderEffects) {
        let waiters_max = self.settings.waiters_max;
        match &mut self.collects.get_mut(index).purpose {
            Purpose::Submit { retries, .. } if retries.len() < waiters_max => {
                retries.push((reply, body_hash));
            }
            Purpose::Submit { .. }
            | Purpose::Revive { .. }
            | Purpose::AskTeam { .. }
            | Purpose::Issue { .. } => {
                let reject = Reject::Overloaded { bound: "waiters_max", retry_after_ms: 10 };
                effects.answers.push(Answer::Submit(reply, Err(reject)));
            }
        }
    }

    fn answer_retries(
        &mut self,
        retries: Vec<(SubmitReply, u64)>,
        body_hash: u64,
        first: SubmitResult,
        effects: &mut OrderEffects,
    ) {
        for (reply, body) in retries {
            self.counts.duplicates += 1;
            reply.mark_repeated();
            let result = if body == body_hash { first } else { Err(Reject::RequestIdReused) };
            effects.durable_answers.push(Answer::Submit(reply, result));
        }
    }

    /// The receipt that the order's submission got, whatever has become of the order since.
    fn first_receipt(&self, index: u32) -> Receipt {
        Receipt::first_of(&self.records.get(index).order)
    }

    fn find_request(&self, member: MemberId, request: RequestId, hash: u64) -> Option<Known> {
        let Self { tables, records, collects, .. } = self;
        tables.find_request(hash, member, request, records, |index| {
            match collects.get(index).map(|collect| &collect.purpose) {
                Some(Purpose::Submit { admitted, .. }) => {
                    admitted.request_id == request && admitted.member_id == member
                }
                Some(Purpose::Revive { .. } | Purpose::AskTeam { .. } | Purpose::Issue { .. }) | None => {
                    false
                }
            }
        })
    }

    fn claim_external(&self, admitted: &Admitted) -> Result<(), Reject> {
        let Some(external_no) = admitted.extra.external_no() else {
            return Ok(());
        };
        match self.shared.external.claim(external_no) {
            Claim::Granted => Ok(()),
            Claim::Taken => Err(Reject::ExternalNoTaken),
            Claim::Busy => Err(Reject::ExternalNoBusy),
        }
    }

    /// The number of the order that is about to be placed: the promised one, or the next.
    fn next_number(&mut self, collect: u32, now_ms: u64) -> Option<OrderNo> {
        let Purpose::Submit { admitted, .. } = &self.collects.get_mut(collect).purpose else { return None };
        if let Some(promised) = admitted.reply.promised() {
            return Some(promised);
        }
        let slot = Slot::of_member(admitted.member_id);
        let last = self.tables.last_number(slot);
        self.shared.lease.next(slot, last, now_ms)
    }

    fn count_refusal(&mut self, reject: &Reject) {
        match reject {
            Reject::SoldOut { .. } | Reject::TeamFull { .. } => self.counts.sold_out += 1,
            Reject::LimitExceeded { .. } | Reject::AlreadyInTeam { .. } => self.counts.limited += 1,
            _ => {}
        }
    }
}
