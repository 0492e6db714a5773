//! Orders with a seat in a team: they ask the team before money pays them, and hear what became of it.

use super::actor::{OrderActor, OrderEffects, StockEffect};
use super::collect::{Collect, Purpose};
use super::records::NONE;
use super::{AppliedPayment, OrderItem, TeamWish};
use crate::actors::team::TeamItem;
use crate::domain::event::{Event, OrderCreated};
use crate::domain::ids::{OrderNo, Position, TeamId};
use crate::domain::order::{Line, Lines, Order, OrderCommand, OrderEvent, OrderStatus, RefundReason};
use crate::domain::team::{Membership, TeamEvent, TeamRecord, TeamState};

impl OrderActor {
    /// Places the order that opens a team: the team and its seats come into being with it, in one entry.
    pub(super) fn place_opener(
        &mut self,
        mut created: OrderCreated,
        wish: TeamWish,
        first: u32,
        events: &mut Vec<Event>,
        effects: &mut OrderEffects,
    ) -> Order {
        let TeamWish { activity, size, time_limit_ms, ends_at_ms } = wish;
        let (team, at_ms) = (TeamId(created.order_no.get()), created.at_ms);
        let deadline_ms = at_ms.saturating_add(time_limit_ms).min(ends_at_ms);
        let seat = Line::seat(activity, team);
        let mut lines = created.lines.to_vec();
        lines.push(seat);
        created.lines = Lines::from_vec(lines);
        let terms = created.extra.terms.get_or_insert_default();
        (terms.activity_id, terms.team_id) = (activity, team);
        // No payment may begin after the team's deadline, so the order need not stay longer.
        let left_ms = u32::try_from(deadline_ms.saturating_sub(at_ms)).unwrap_or(u32::MAX).max(1);
        created.auto_close_ms = created.auto_close_ms.min(left_ms);

        let event = TeamEvent::Opened { at_ms, team, activity, size, deadline_ms };
        let record = TeamRecord { activity, size, deadline_ms, state: TeamState::Forming };
        // Before the append: whoever hears of the order may be asked to join.
        self.shared.teams.put(team, record);
        let position = Position::provisional(first + 1);
        events.extend([Event::Team(event), Event::OrderCreated(Box::new(created.clone()))]);
        effects.teams.push(TeamItem::Opened(event));
        effects.stock.push((seat.key, size, StockEffect::Open));
        effects.stock.push((seat.key, 1, StockEffect::Seize));
        // Counted like every limited line: it is collected and placed in one step.
        let limits = &mut self.slot(created.order_no.slot()).limits;
        limits.entry((created.member_id, seat.key)).or_default().begin_collecting(1, 1);
        Order::create(created, position)
    }

    /// Reports what became of an order with a seat.
    pub(super) fn report_membership(order: &Order, before: OrderStatus, effects: &mut OrderEffects) {
        let Some(team) = order.team() else { return };
        let what = match (before, order.status) {
            (OrderStatus::Pending | OrderStatus::Cancelled, OrderStatus::Paid) => Membership::Paid,
            (OrderStatus::Pending | OrderStatus::Paid, OrderStatus::Cancelled) => Membership::Left,
            _ => return,
        };
        effects.teams.push(TeamItem::Member { team, order_no: order.order_no, what });
    }

    /// An order that has a seat and costs nothing from now on is paid by that, once its team lets it be.
    pub(super) fn pay_with_nothing(order: &Order, events: &[Event], effects: &mut OrderEffects) {
        let is_change = |event: &Event| matches!(event, Event::Order { what, .. } if matches!(**what, OrderEvent::PriceChanged { .. }));
        if order.status == OrderStatus::Pending && order.is_paid_by_nothing() && events.iter().any(is_change)
        {
            let payment = OrderItem::ApplyPayment(AppliedPayment::of_nothing(order));
            effects.routed.push((order.order_no.slot(), payment));
        }
    }

    /// Whether money for this order must ask its team first; if so it waits for the answer.
    pub(super) fn ask_team(
        &mut self,
        index: u32,
        payment: AppliedPayment,
        effects: &mut OrderEffects,
    ) -> bool {
        let order = &self.records.get(index).order;
        let Some(team) = order.team().filter(|_| !payment.has_begun) else { return false };
        if order.knows_payment(payment.payment) || !order.may_still_be_paid() {
            return false;
        }
        let lines = order.lines.clone();
        let purpose = Purpose::AskTeam { lines, waiting: Vec::new() };
        self.records.get_mut(index).reviving = self.collects.insert(Collect::new(purpose));
        effects.teams.push(TeamItem::BeginPayment { team, payment });
        true
    }

    /// The team's answer.
    pub(super) fn team_says(
        &mut self,
        payment: AppliedPayment,
        may_begin: bool,
        now_ms: u64,
        effects: &mut OrderEffects,
    ) {
        // An order that waits for its team stays in memory.
        let Some(index) = self.find(payment.order_no) else { return };
        let collect = self.collects.remove(self.records.get(index).reviving);
        let Purpose::AskTeam { waiting, .. } = collect.purpose else {
            unreachable!("an order that asked its team waits for the answer")
        };
        self.records.get_mut(index).reviving = NONE;
        if may_begin {
            self.apply_payment(AppliedPayment { has_begun: true, ..payment }, now_ms, effects);
        } else {
            // An order whose team can't form any more is closed.
            self.decide_and_record(index, &OrderCommand::FailTeam, now_ms, effects);
            self.refund(index, payment, RefundReason::TeamFailed, now_ms, effects);
        }
        match self.records.get(index).reviving {
            NONE => {
                self.end_revival(index, waiting, now_ms, effects);
                self.expire_after_answer(index, now_ms, effects);
            }
            // Its units are being reserved again: the rest waits for that.
            reviving => self.collects.get_mut(reviving).purpose.wait(waiting),
        }
    }

    /// A payment that had begun has its outcome.
    pub(super) fn end_team_payment(&self, index: u32, payment: AppliedPayment, effects: &mut OrderEffects) {
        if let Some(team) = self.records.get(index).order.team().filter(|_| payment.has_begun) {
            effects.teams.push(TeamItem::EndPayment { team });
        }
    }

    /// The team has formed or failed.
    pub(super) fn team_settled(
        &mut self,
        order_no: OrderNo,
        state: TeamState,
        now_ms: u64,
        effects: &mut OrderEffects,
    ) {
        // Not in memory, it is closed and has heard before.
        let Some(index) = self.find(order_no) else { return };
        if self.records.get(index).reviving != NONE {
            return self.wait_for_revival(index, OrderItem::TeamSettled { order_no, state }, effects);
        }
        let command = match state {
            TeamState::Forming => return,
            TeamState::Formed => OrderCommand::JoinTeam,
            TeamState::Failed => OrderCommand::FailTeam,
        };
        self.decide_and_record(index, &command, now_ms, effects);
    }

    /// Orders with a seat and what became of them, as far as they are in memory: for recovery.
    pub(crate) fn team_members(&self) -> impl Iterator<Item = (TeamId, OrderNo, Membership)> {
        self.held().filter_map(|order| {
            let what = match order.status {
                OrderStatus::Pending => Membership::Joined,
                OrderStatus::Cancelled => return None,
                _ => Membership::Paid,
            };
            Some((order.team()?, order.order_no, what))
        })
    }

    /// Orders that cost nothing and wait for their team: their payment is resumed after a restart.
    pub(crate) fn unpaid_for_nothing(&self) -> impl Iterator<Item = AppliedPayment> {
        let waits = |order: &&Order| order.status == OrderStatus::Pending && order.is_paid_by_nothing();
        self.held().filter(waits).map(AppliedPayment::of_nothing)
    }
}
