//! What an order costs after it was placed: changes of price by the shop, and orders that cost nothing.

use super::decide::Decision;
use super::event::OrderEvent;
use super::later::ORDER_EVENTS_MAX;
use super::status::OrderStatus;
use super::{Line, Order};
use crate::domain::event::{Event, OrderCreated};
use crate::domain::ids::{OrderNo, PaymentId, TeamId};
use crate::domain::money::Money;
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
        let adjusted: i128 = self
            .terms()
            .map_or(0, |terms| terms.adjustments.iter().map(|amount| i128::from(amount.minor())).sum());
        let first = i128::from(self.pay_amount.minor()) - adjusted;
        // It was an amount once, so it fits.
        Money::from_minor(i64::try_from(first).unwrap_or_default())
    }

    /// Whether it was paid as soon as it was placed, because it cost nothing.
    pub fn was_paid_at_once(&self) -> bool {
        self.first_pay_amount() == Money::ZERO && may_be_paid_at_once(&self.lines, team_of(&self.extra))
    }

    /// The event by which an order that costs nothing is paid, as the `nth` from now.
    pub(crate) fn paid_with_nothing(&self, nth: u32, now_ms: u64) -> Event {
        self.paid(nth, PaymentId::of_nothing(self.order_no), now_ms)
    }

    /// What each line costs without what the shop has changed since, at least zero, in minor units.
    fn line_costs(&self) -> Vec<i128> {
        let discount = |index: usize| {
            let discounts = self.terms().map_or(&[][..], |terms| &terms.discounts);
            discounts.get(index).map_or(0, |amount| i128::from(amount.minor()))
        };
        let lines = self.lines.iter().enumerate();
        lines.map(|(index, line)| (line.cost() - discount(index)).max(0)).collect()
    }

    /// What was, or is to be, paid for each line, in minor units.
    pub(super) fn line_shares(&self) -> Vec<i128> {
        let lines = self.lines.iter().enumerate();
        let reduction = |index| self.terms().map_or(0, |terms| terms.reduction_of(index));
        lines.map(|(index, line)| (line.cost() - reduction(index)).max(0)).collect()
    }

    /// The shop asks for another amount: the difference is spread over the lines by what they cost, by largest
    /// remainder, and payments that were begun for the old amount are void.
    pub(super) fn decide_price(&self, pay_amount: Money, now_ms: u64) -> Result<Decision, Reject> {
        if self.status != OrderStatus::Pending {
            return Err(self.wrong_status());
        }
        if self.is_overdue(now_ms) {
            return Err(Reject::OrderOverdue { order_no: self.order_no });
        }
        if pay_amount == self.pay_amount {
            return Ok(Decision::Unchanged);
        }
        let freight = self.terms().map_or(Money::ZERO, |terms| terms.freight);
        if pay_amount < freight || pay_amount > PAY_AMOUNT_MAX {
            return Err(Reject::AmountOutOfRange { min: freight, max: PAY_AMOUNT_MAX });
        }
        let changes = self.later().map_or(0, |later| later.prices.len());
        if changes >= PRICE_CHANGES_MAX {
            let (what, len_max) = ("changes of price", PRICE_CHANGES_MAX);
            return Err(Reject::TooManyOfOneOrder { what, len_max });
        }
        let difference = i128::from(pay_amount.minor()) - i128::from(self.first_pay_amount().minor());
        let adjustments = spread(difference, &self.line_costs());
        let adjustments = adjustments
            .into_iter()
            .map(|part| i64::try_from(part).map(Money::from_minor))
            .collect::<Result<_, _>>();
        let adjustments = adjustments.map_err(|_| Reject::AmountOverflow)?;
        let what = OrderEvent::PriceChanged { pay_amount, adjustments };
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

/// The most that an order may be made to cost: sums of a few such amounts stay far from overflow.
const PAY_AMOUNT_MAX: Money = Money::from_minor(i64::MAX / 4);

impl Line {
    /// Price times quantity, in minor units.
    fn cost(&self) -> i128 {
        i128::from(self.price.minor()) * i128::from(self.quantity)
    }
}

/// Splits `total` over parts by their weights, by largest remainder; equal remainders go to the first. Where all weights
/// are zero they count as equal.
fn spread(total: i128, weights: &[i128]) -> Vec<i128> {
    let sum: i128 = weights.iter().sum();
    let equal = vec![1; weights.len()];
    let (weights, sum) = if sum == 0 { (&equal[..], weights.len() as i128) } else { (weights, sum) };
    let magnitude = total.abs();
    // At most 2^63 times 100 lines of 2^95: a weight is below 2^96, so this would overflow only beyond what an order can
    // cost; such a product is refused by then as an amount that doesn't fit.
    let product = |weight: i128| magnitude.saturating_mul(weight);
    let mut parts: Vec<i128> = weights.iter().map(|weight| product(*weight) / sum).collect();
    let left = magnitude - parts.iter().sum::<i128>();
    let mut by_remainder: Vec<usize> = (0..weights.len()).collect();
    by_remainder.sort_by_key(|index| std::cmp::Reverse(product(weights[*index]) % sum));
    for index in by_remainder.into_iter().take(usize::try_from(left).unwrap_or(0)) {
        parts[index] += 1;
    }
    parts.into_iter().map(|part| if total < 0 { -part } else { part }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::ids::Slot;

    #[test]
    fn the_payment_that_stands_for_nothing_is_frozen() {
        let order_no = OrderNo::compose(5, Slot::from_index(9).unwrap(), 3);
        assert_eq!(PaymentId::of_nothing(order_no).to_string(), "GOLDEN");
    }

    #[test]
    fn a_spread_adds_up_and_takes_no_line_below_zero() {
        for (total, weights) in
            [(10, vec![1, 1, 1]), (-7, vec![3, 0, 4]), (-6, vec![3, 0, 4]), (5, vec![0, 0])]
        {
            let parts = spread(total, &weights);
            assert_eq!(parts.iter().sum::<i128>(), total, "{weights:?}");
            let within = parts.iter().zip(&weights).all(|(part, weight)| total > 0 || weight + part >= 0);
            assert!(within, "{total} over {weights:?} gives {parts:?}");
        }
        assert_eq!(spread(10, &[1, 1, 1]), [4, 3, 3]);
    }
}
