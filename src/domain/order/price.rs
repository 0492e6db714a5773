//! What an order costs after it was placed: changes of price by the shop, and orders that cost nothing.

use super::decide::Decision;
use super::event::OrderEvent;
use super::later::ORDER_EVENTS_MAX;
use super::status::OrderStatus;
use super::{Line, Order};
use crate::domain::event::{Event, OrderCreated};
use crate::domain::ids::{OrderNo, PaymentId, TeamId};
use crate::domain::money::Money;
use crate::domain::pricing::{PriceChange, spread};
use crate::domain::reject::Reject;

/// Most changes of one order's price.
pub const PRICE_CHANGES_MAX: usize = 16;

impl PaymentId {
    /// What stands for the payment of an order that costs nothing. Frozen. No provider's transaction has it: their
    /// channels are never empty.
    pub fn of_nothing(order_no: OrderNo) -> Self {
        Self::of("", "nothing", &order_no.to_string())
    }
}

impl OrderCreated {
    /// Whether the order is paid as soon as it is placed, because it costs nothing.
    pub fn is_paid_at_once(&self) -> bool {
        self.pay_amount == Money::ZERO && may_be_paid_at_once(&self.lines, team_of(&self.extra))
    }
}

fn team_of(extra: &super::OrderExtra) -> TeamId {
    extra.terms.as_ref().map_or(TeamId(0), |terms| terms.team_id)
}

/// Whether an order is paid without a payment once it costs nothing. An imported one was not paid where it comes from;
/// one of a team takes its seat by being paid.
fn may_be_paid_at_once(lines: &[Line], team: TeamId) -> bool {
    team == TeamId(0) && !lines.iter().any(Line::is_imported)
}

impl Order {
    /// What was to be paid when it was placed.
    pub fn first_pay_amount(&self) -> Money {
        self.later().and_then(|later| later.prices.first().copied()).unwrap_or(self.pay_amount)
    }

    /// Whether it costs nothing and takes its seat in a team by being paid with nothing.
    pub(crate) fn is_paid_by_nothing(&self) -> bool {
        self.pay_amount == Money::ZERO && self.team().is_some()
    }

    /// Whether it was paid as soon as it was placed, because it cost nothing.
    pub fn was_paid_at_once(&self) -> bool {
        self.first_pay_amount() == Money::ZERO && may_be_paid_at_once(&self.lines, team_of(&self.extra))
    }

    /// The event by which an order that costs nothing is paid, as the `nth` from now.
    pub(crate) fn paid_with_nothing(&self, nth: u32, now_ms: u64) -> Event {
        self.paid(nth, PaymentId::of_nothing(self.order_no), now_ms)
    }

    /// What each line costs without what the shop has changed since.
    fn line_nets(&self) -> Result<Vec<Money>, Reject> {
        let discount = |index: usize| {
            let discounts = self.terms().map_or(&[][..], |terms| &terms.discounts);
            discounts.get(index).map_or(0, |amount| i128::from(amount.minor()))
        };
        let lines = self.lines.iter().enumerate();
        lines.map(|(index, line)| money((line.cost() - discount(index)).max(0))).collect()
    }

    /// What was, or is to be, paid for each line, in minor units.
    pub(super) fn line_shares(&self) -> Vec<i128> {
        let lines = self.lines.iter().enumerate();
        let reduction = |index| self.terms().map_or(0, |terms| terms.reduction_of(index));
        lines.map(|(index, line)| (line.cost() - reduction(index)).max(0)).collect()
    }

    /// The shop asks for another amount: what goods cost in all is spread over the lines by what they cost, by largest
    /// remainder, and payments that were begun for the old amount are void.
    pub(super) fn decide_price(&self, change: PriceChange, now_ms: u64) -> Result<Decision, Reject> {
        let PriceChange { pay_amount, freight } = change;
        if self.status != OrderStatus::Pending {
            return Err(self.wrong_status());
        }
        if self.is_overdue(now_ms) {
            return Err(Reject::OrderOverdue { order_no: self.order_no });
        }
        let before = self.terms().map_or(Money::ZERO, |terms| terms.freight);
        if (pay_amount, freight) == (self.pay_amount, before) {
            return Ok(Decision::Unchanged);
        }
        if freight.is_negative() || pay_amount.is_negative() {
            return Err(Reject::InvalidField { field: "price_change", expected: "amounts from 0" });
        }
        if pay_amount < freight {
            return Err(Reject::TotalBelowFreight { pay_amount, freight });
        }
        let changes = self.later().map_or(0, |later| later.prices.len());
        if changes >= PRICE_CHANGES_MAX {
            let (what, len_max) = ("changes of price", PRICE_CHANGES_MAX);
            return Err(Reject::TooManyOfOneOrder { what, len_max });
        }
        let goods = money(i128::from(pay_amount.minor()) - i128::from(freight.minor()))?;
        let nets = self.line_nets()?;
        let shares = spread(goods, &nets)?;
        let adjustments = shares.iter().zip(&nets);
        let adjustments =
            adjustments.map(|(share, net)| money(i128::from(share.minor()) - i128::from(net.minor())));
        let adjustments = adjustments.collect::<Result<_, _>>()?;
        let what = OrderEvent::PriceChanged { pay_amount, freight, adjustments };
        let mut events = vec![self.later_event(1, what, now_ms)];
        self.void_attempts(&mut events, now_ms);
        if pay_amount == Money::ZERO && may_be_paid_at_once(&self.lines, team_of(&self.extra)) {
            events.push(self.paid_with_nothing(events.len() as u32 + 1, now_ms));
        }
        Ok(Decision::Events(events))
    }

    /// Adds the event that closes trades at the provider, if there are any to close.
    pub(super) fn void_attempts(&self, events: &mut Vec<Event>, now_ms: u64) {
        let attempts = self.open_attempts();
        if !attempts.is_empty() {
            let what = OrderEvent::TradeCloseRequired { attempts };
            events.push(self.later_event(events.len() as u32 + 1, what, now_ms));
        }
    }

    /// Refuses what could be repeated for ever, once there is too much of it.
    pub(super) fn check_events(&self) -> Result<(), Reject> {
        if self.version >= ORDER_EVENTS_MAX {
            return Err(Reject::TooManyOfOneOrder { what: "events", len_max: ORDER_EVENTS_MAX as usize });
        }
        Ok(())
    }
}

impl Line {
    /// Price times quantity, in minor units.
    fn cost(&self) -> i128 {
        i128::from(self.price.minor()) * i128::from(self.quantity)
    }
}

/// An amount that must fit.
fn money(minor: i128) -> Result<Money, Reject> {
    i64::try_from(minor).map(Money::from_minor).map_err(|_| Reject::AmountOverflow)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::ids::{ActivityId, MemberId, Position, RequestId, Slot};
    use crate::domain::order::{Lines, OrderCommand, RefundReason};
    use crate::domain::order_type::OrderType;

    #[test]
    fn the_payment_that_stands_for_nothing_is_frozen() {
        let order_no = OrderNo::compose(5, Slot::from_index(9).unwrap(), 3);
        assert_eq!(PaymentId::of_nothing(order_no).to_string(), "66b45b2fa96ee9a0d39ea57d2241b1f4");
    }

    #[test]
    fn what_was_paid_with_nothing_never_goes_back() {
        let created = OrderCreated {
            order_no: OrderNo::compose(5, Slot::from_index(9).unwrap(), 3),
            member_id: MemberId(7),
            request_id: RequestId::new(1),
            body_hash: 3,
            order_type: OrderType::GroupBuy,
            at_ms: 5,
            auto_close_ms: 10,
            pay_amount: Money::from_minor(1),
            lines: Lines::one(Line::seat(ActivityId(1), TeamId(1))),
            extra: Default::default(),
        };
        let order = Order::create(created, Position(1));
        let (nothing, amount) = (PaymentId::of_nothing(order.order_no), Money::ZERO);
        let refund = |payment| OrderCommand::Refund { payment, amount, reason: RefundReason::TeamFailed };
        assert_eq!(order.decide(&refund(nothing), 6), Ok(Decision::Unchanged));
        // The order costs something by now.
        let apply = OrderCommand::ApplyPayment { payment: nothing, amount };
        assert_eq!(order.decide(&apply, 6), Ok(Decision::Unchanged));
        let some = PaymentId::of("wechat", "shop", "1");
        assert!(matches!(order.decide(&refund(some), 6), Ok(Decision::Events(_))));
    }
}
