//! Refunds of an order: applications and obligations under one sequence of numbers, and what may become of each.

use super::Order;
use super::decide::Decision;
use super::event::{OrderEvent, RefundClosing};
use super::later::{AfterSale, LineShare, LineUnits, ORDER_REFUNDS_MAX};
use super::status::{CloseReason, OrderStatus};
use crate::domain::event::Event;
use crate::domain::ids::{PaymentId, RequestId, SkuId};
use crate::domain::money::Money;
use crate::domain::pricing::LineRefund;
use crate::domain::refund::{
    Refund, RefundBy, RefundCause, RefundLine, RefundNo, RefundState, RefundStep, decide_step,
};
use crate::domain::reject::Reject;

/// A command about a refund of one order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RefundCommand {
    /// Somebody applies for one.
    Apply {
        /// The client's name for the application: sent again, it gives the first answer.
        request_id: RequestId,
        /// Who.
        by: RefundBy,
        /// Why.
        reason: Box<str>,
        /// For which units.
        lines: Vec<(SkuId, u32)>,
        /// What it comes to beyond the lines' shares.
        extra: Money,
        /// For how long after completion it may be applied for, in ms.
        window_ms: u64,
    },
    /// Whoever applied takes it back.
    Withdraw {
        /// Which.
        refund: u16,
    },
    /// The shop agrees.
    Approve {
        /// Which.
        refund: u16,
        /// The units that go back on sale when it is finished.
        restock: Vec<(SkuId, u32)>,
    },
    /// The shop refuses.
    Reject {
        /// Which.
        refund: u16,
        /// Why.
        note: Box<str>,
    },
    /// The provider's side reports.
    Step {
        /// Which.
        refund: u16,
        /// What.
        step: RefundStep,
    },
}

impl Order {
    /// Number of its refunds, obligations included.
    pub fn refunds_len(&self) -> usize {
        let obligations = self.history.as_ref().map_or(0, |history| history.refunds.len());
        obligations + self.later().map_or(0, |later| later.after_sale.len())
    }

    /// All its refunds, by number.
    pub fn refunds(&self) -> Vec<Refund> {
        (1..=self.refunds_len()).filter_map(|ordinal| self.refund(u16::try_from(ordinal).ok()?)).collect()
    }

    /// The refund with this number.
    pub fn refund(&self, ordinal: u16) -> Option<Refund> {
        let history = self.history.as_ref()?;
        let refund_no = RefundNo::Order { order_no: self.order_no, ordinal };
        let state = self.refund_state(ordinal)?;
        let note = self.refund_note(ordinal).map(Box::from);
        let finished = state == RefundState::Finished;
        let (note, provider_refund_id) = if finished { (None, note) } else { (note, None) };
        if let Some(refund) = self.later().and_then(|later| later.after_sale_of(ordinal)) {
            let lines = refund.lines.iter().map(|share| RefundLine {
                key: self.lines[usize::from(share.line)].key,
                quantity: share.quantity,
                amount: share.amount,
            });
            let cause = RefundCause::AfterSale {
                by: refund.by,
                reason: refund.reason.clone(),
                lines: lines.collect(),
                extra: extra_of(refund),
            };
            return Some(Refund {
                refund_no,
                state,
                amount: refund.amount,
                since_ms: refund.at_ms,
                payment: history.paid_by.unwrap_or_default(),
                cause,
                restock: self.stock_units(&refund.restock),
                note,
                provider_refund_id,
            });
        }
        let index = self.obligation_of(ordinal)?;
        let due = history.refunds.get(index)?;
        let required = history.timeline.iter().filter(|entry| entry.event == "RefundRequired").nth(index);
        Some(Refund {
            refund_no,
            state,
            amount: due.amount,
            since_ms: required.map_or(self.created_at_ms, |entry| entry.at_ms),
            payment: due.payment,
            cause: RefundCause::Obligation(due.reason),
            restock: Vec::new(),
            note,
            provider_refund_id,
        })
    }

    /// Where a refund stands; `None` for one that there is not. An obligation that was never touched is required.
    pub fn refund_state(&self, ordinal: u16) -> Option<RefundState> {
        if ordinal == 0 || usize::from(ordinal) > self.refunds_len() {
            return None;
        }
        let progress = self.later().and_then(|later| later.progress_of(ordinal));
        Some(progress.map_or(RefundState::Required, |progress| progress.state))
    }

    /// Whether a refund of either kind is neither finished nor come to nothing.
    pub fn has_unfinished_refund(&self) -> bool {
        let Some(history) = &self.history else { return false };
        if history.refunds.is_empty() && history.later.is_none() {
            return false;
        }
        let over = self
            .later()
            .map_or(0, |later| later.progress.iter().filter(|progress| progress.state.is_over()).count());
        over < self.refunds_len()
    }

    /// Whether a refund that was applied for is undecided, or not paid back yet.
    pub fn has_open_after_sale(&self) -> bool {
        self.later().is_some_and(|later| {
            let is_open = |refund: &AfterSale| {
                later.progress_of(refund.ordinal).is_some_and(|progress| !progress.state.is_over())
            };
            later.after_sale.iter().any(is_open)
        })
    }

    /// What refunds that were applied for come to, of those in a state for which `counts` says so.
    pub fn refunded(&self, counts: impl Fn(RefundState) -> bool) -> Money {
        let sum = self.counted(counts).map(|refund| refund.amount.minor()).fold(0_i64, i64::saturating_add);
        Money::from_minor(sum)
    }

    /// What a command about a refund comes to.
    pub(super) fn decide_refund(&self, command: &RefundCommand, now_ms: u64) -> Result<Decision, Reject> {
        match command {
            RefundCommand::Apply { .. } => self.decide_apply(command, now_ms),
            RefundCommand::Withdraw { refund } => {
                self.decide_closing(*refund, RefundClosing::Withdrawn, "", now_ms)
            }
            RefundCommand::Reject { refund, note } => {
                self.decide_closing(*refund, RefundClosing::Rejected, note, now_ms)
            }
            RefundCommand::Approve { refund, restock } => self.decide_approve(*refund, restock, now_ms),
            RefundCommand::Step { refund, step } => self.decide_step(*refund, step, now_ms),
        }
    }

    /// The number of the refund that a request has applied for.
    pub(crate) fn applied_as(&self, request_id: RequestId) -> Option<u16> {
        let after_sale = self.later().map_or(&[][..], |later| &later.after_sale);
        after_sale.iter().find(|refund| refund.request_id == request_id).map(|refund| refund.ordinal)
    }

    fn decide_apply(&self, command: &RefundCommand, now_ms: u64) -> Result<Decision, Reject> {
        let RefundCommand::Apply { request_id, by, reason, lines, extra, window_ms } = command else {
            return Ok(Decision::Unchanged);
        };
        if let Some(known) = self.applied_as(*request_id) {
            return self.check_repeated(known, reason, lines, *extra);
        }
        if self.status == OrderStatus::Paid && self.team().is_some() && !self.has_joined_team() {
            // Its money goes back as a whole if the team fails.
            return Err(Reject::TeamNotFormed);
        }
        match self.status {
            OrderStatus::Paid | OrderStatus::PartiallyShipped | OrderStatus::Shipped => {}
            OrderStatus::Completed => self.check_window(*window_ms, now_ms)?,
            OrderStatus::Pending | OrderStatus::Cancelled => return Err(self.wrong_status()),
        }
        let known = self.later().map_or(0, |later| later.after_sale.len());
        if known >= ORDER_REFUNDS_MAX {
            return Err(Reject::TooManyOfOneOrder { what: "refunds", len_max: ORDER_REFUNDS_MAX });
        }
        self.check_events()?;
        let left =
            i128::from(self.pay_amount.minor()) - i128::from(self.refunded(RefundState::counts).minor());
        if extra.is_negative() || (lines.is_empty() && *extra == Money::ZERO) {
            let (field, expected) = ("refund", "lines, or an amount above 0");
            return Err(Reject::InvalidField { field, expected });
        }
        let shares = if lines.is_empty() { Vec::new() } else { self.shares(self.named_units(lines)?)? };
        let amount = shares.iter().map(|share| i128::from(share.amount.minor())).sum::<i128>()
            + i128::from(extra.minor());
        if amount > left {
            return Err(Reject::RefundExceedsPaid { left: money(left) });
        }
        let lines = shares.iter().map(|share| RefundLine {
            key: self.lines[usize::from(share.line)].key,
            quantity: share.quantity,
            amount: share.amount,
        });
        let what = OrderEvent::RefundApplied {
            refund: self.refunds_len() as u16 + 1,
            request_id: *request_id,
            by: *by,
            reason: reason.clone(),
            lines: lines.collect(),
            amount: money(amount),
        };
        Ok(Decision::Events(vec![self.later_event(1, what, now_ms)]))
    }

    /// The same application again: the first answer, unless it says something else.
    fn check_repeated(
        &self,
        ordinal: u16,
        reason: &str,
        lines: &[(SkuId, u32)],
        extra: Money,
    ) -> Result<Decision, Reject> {
        let known = self.later().and_then(|later| later.after_sale_of(ordinal));
        let same = known.is_some_and(|known| {
            let units = if lines.is_empty() { Ok(Vec::new()) } else { self.named_units(lines) };
            let mut units = units.unwrap_or_default();
            units.sort_by_key(|unit| unit.line);
            let own = known.lines.iter().map(|share| (share.line, share.quantity));
            &*known.reason == reason
                && extra_of(known) == extra
                && own.eq(units.iter().map(|unit| (unit.line, unit.quantity)))
        });
        if same { Ok(Decision::Unchanged) } else { Err(Reject::RequestIdReused) }
    }

    fn check_window(&self, window_ms: u64, now_ms: u64) -> Result<(), Reject> {
        let timeline = self.history.as_ref().map_or(&[][..], |history| &history.timeline);
        let completed = timeline.iter().rfind(|entry| entry.event == "OrderReceived");
        let until_ms = completed.map_or(u64::MAX, |entry| entry.at_ms.saturating_add(window_ms));
        if now_ms >= until_ms { Err(Reject::AfterSaleOver { until_ms }) } else { Ok(()) }
    }

    /// What units of lines come to: in proportion to the line's share of what was paid, rounded down; the last units of
    /// a line take what is left of it.
    fn shares(&self, mut units: Vec<LineUnits>) -> Result<Vec<LineShare>, Reject> {
        units.sort_by_key(|unit| unit.line);
        let paid = self.line_shares();
        let share = |unit: &LineUnits| {
            let LineUnits { line, quantity } = *unit;
            let ordered = &self.lines[usize::from(line)];
            let refunded = self.counted(RefundState::counts).flat_map(|refund| &refund.lines);
            let (units_before, amount_before) = refunded.filter(|share| share.line == line).fold(
                (0_u64, 0_i128),
                |(units, amount), share| {
                    (units + u64::from(share.quantity), amount + i128::from(share.amount.minor()))
                },
            );
            let left = u64::from(ordered.quantity).saturating_sub(units_before);
            if u64::from(quantity) > left {
                let left = u32::try_from(left).unwrap_or(u32::MAX);
                return Err(Reject::UnitsExceeded { sku: ordered.key.sku, left });
            }
            let amount_left = (paid[usize::from(line)] - amount_before).max(0);
            let amount = if u64::from(quantity) == left {
                amount_left
            } else {
                let share = money(paid[usize::from(line)]);
                let refunded = ordered.quantity - u32::try_from(left).unwrap_or(u32::MAX);
                let part = LineRefund { share, quantity: ordered.quantity, refunded, units: quantity };
                // Refunds that came to nothing may have left more, or less, than the formula takes for granted.
                i128::from(part.amount()?.minor()).min(amount_left)
            };
            Ok(LineShare { line, quantity, amount: money(amount) })
        };
        units.iter().map(share).collect()
    }

    fn decide_closing(
        &self,
        ordinal: u16,
        closing: RefundClosing,
        note: &str,
        now_ms: u64,
    ) -> Result<Decision, Reject> {
        let state = self.refund_state(ordinal).ok_or(Reject::RefundNotFound)?;
        match (state, closing) {
            (RefundState::Applied, _) => {}
            (RefundState::Withdrawn, RefundClosing::Withdrawn)
            | (RefundState::Rejected, RefundClosing::Rejected) => return Ok(Decision::Unchanged),
            _ => return Err(Reject::WrongRefundState { state }),
        }
        let what = OrderEvent::RefundClosed { refund: ordinal, closing, note: note.into() };
        Ok(Decision::Events(vec![self.later_event(1, what, now_ms)]))
    }

    fn decide_approve(
        &self,
        ordinal: u16,
        restock: &[(SkuId, u32)],
        now_ms: u64,
    ) -> Result<Decision, Reject> {
        let state = self.refund_state(ordinal).ok_or(Reject::RefundNotFound)?;
        let mut units = if restock.is_empty() { Vec::new() } else { self.named_units(restock)? };
        units.sort_by_key(|unit| unit.line);
        let refund = self.later().and_then(|later| later.after_sale_of(ordinal));
        let Some(refund) = refund else { return Err(Reject::WrongRefundState { state }) };
        match state {
            RefundState::Applied => {}
            RefundState::Required if refund.restock == units => return Ok(Decision::Unchanged),
            _ => return Err(Reject::WrongRefundState { state }),
        }
        for unit in &units {
            let line = &self.lines[usize::from(unit.line)];
            let others = self.counted(RefundState::counts).flat_map(|refund| &refund.restock);
            let others: u64 =
                others.filter(|other| other.line == unit.line).map(|other| u64::from(other.quantity)).sum();
            let mut left = u64::from(line.quantity).saturating_sub(others);
            if !refund.lines.is_empty() {
                let own = refund.lines.iter().find(|share| share.line == unit.line);
                left = left.min(own.map_or(0, |share| u64::from(share.quantity)));
            }
            if u64::from(unit.quantity) > left {
                let left = u32::try_from(left).unwrap_or(u32::MAX);
                return Err(Reject::UnitsExceeded { sku: line.key.sku, left });
            }
        }
        let what = OrderEvent::RefundApproved { refund: ordinal, restock: self.stock_units(&units) };
        Ok(Decision::Events(vec![self.later_event(1, what, now_ms)]))
    }

    fn decide_step(&self, ordinal: u16, step: &RefundStep, now_ms: u64) -> Result<Decision, Reject> {
        let state = self.refund_state(ordinal).ok_or(Reject::RefundNotFound)?;
        if !decide_step(state, self.refund_note(ordinal), step)? {
            return Ok(Decision::Unchanged);
        }
        let refund = ordinal;
        let what = match step {
            RefundStep::Requested => {
                self.check_events()?;
                OrderEvent::RefundRequested { refund }
            }
            RefundStep::Failed { reason } => {
                self.check_events()?;
                OrderEvent::RefundFailed { refund, reason: reason.clone() }
            }
            RefundStep::Finished { provider_refund_id } => {
                return Ok(self.finish(ordinal, provider_refund_id, now_ms));
            }
        };
        Ok(Decision::Events(vec![self.later_event(1, what, now_ms)]))
    }

    /// The money has gone back: units return to stock, and the order is closed if all of its money has, or shipped if
    /// all that was left to ship has been refunded.
    fn finish(&self, ordinal: u16, provider_refund_id: &str, now_ms: u64) -> Decision {
        let refund = self.later().and_then(|later| later.after_sale_of(ordinal));
        let restocked = refund.map_or_else(Vec::new, |refund| self.stock_units(&refund.restock));
        let what = OrderEvent::RefundFinished {
            refund: ordinal,
            provider_refund_id: provider_refund_id.into(),
            restocked,
        };
        let mut events = vec![self.later_event(1, what, now_ms)];
        if refund.is_some() {
            let mut after = self.clone();
            after.apply(&events[0], self.last_position);
            if after.is_refunded() {
                let (reason, units) = (CloseReason::Refunded, Vec::new());
                events.push(Event::OrderClosed { step: self.step(2, now_ms), reason, units });
            } else if after.status == OrderStatus::PartiallyShipped && after.left_to_ship().is_empty() {
                let last = after.later().and_then(|later| later.packages.last());
                let shipment = last.map(|package| package.shipment.clone()).unwrap_or_default();
                events.push(self.shipped(2, &shipment, now_ms));
            }
        }
        Decision::Events(events)
    }

    /// Whether all that was paid has gone back; of an order that cost nothing, all of its units.
    fn is_refunded(&self) -> bool {
        let finished = |state| state == RefundState::Finished;
        if self.status == OrderStatus::Cancelled || self.refunded(finished) != self.pay_amount {
            return false;
        }
        let units: u64 = self
            .counted(finished)
            .flat_map(|refund| &refund.lines)
            .map(|share| u64::from(share.quantity))
            .sum();
        let goods = self.lines.iter().filter(|line| !line.is_seat());
        let ordered: u64 = goods.map(|line| u64::from(line.quantity)).sum();
        self.pay_amount != Money::ZERO || units == ordered
    }

    /// Refunds that were applied for, in a state for which `counts` says so.
    fn counted(&self, counts: impl Fn(RefundState) -> bool) -> impl Iterator<Item = &AfterSale> {
        let after_sale = self.later().map_or(&[][..], |later| &later.after_sale);
        after_sale.iter().filter(move |refund| self.refund_state(refund.ordinal).is_some_and(&counts))
    }

    fn refund_note(&self, ordinal: u16) -> Option<&str> {
        self.later()?.progress_of(ordinal)?.note.as_deref()
    }

    /// Which obligation has this number: obligations have those that no application has, in order.
    fn obligation_of(&self, ordinal: u16) -> Option<usize> {
        let after_sale = self.later().map_or(&[][..], |later| &later.after_sale);
        let before = after_sale.iter().filter(|refund| refund.ordinal < ordinal).count();
        usize::from(ordinal).checked_sub(before + 1)
    }

    /// The payment that a refund of this order pays back, for checks from outside.
    pub fn refund_payment(&self, ordinal: u16) -> Option<PaymentId> {
        self.refund(ordinal).map(|refund| refund.payment)
    }
}

/// What a refund comes to beyond its lines' shares.
fn extra_of(refund: &AfterSale) -> Money {
    let lines: i128 = refund.lines.iter().map(|share| i128::from(share.amount.minor())).sum();
    money(i128::from(refund.amount.minor()) - lines)
}

/// An amount that is a part of what was paid, and so fits.
fn money(minor: i128) -> Money {
    Money::from_minor(i64::try_from(minor).unwrap_or(i64::MAX))
}
