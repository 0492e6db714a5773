//! What engine and harness must agree on when everything has come to rest: every acknowledged order with its amount, all
//! money, all units, seats, coupons. Computed from acknowledgements and from what the engine shows of each order, never
//! from the engine's own sums.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use stockade::{
    Caller, CloseReason, CouponId, Money, OrderStatus, OrderView, PaymentId, PaymentResult, RefundCause,
    RefundNo, RefundReason, RefundState, StockCounters, StockKey, TeamId, TeamState,
};
use tokio::task::JoinSet;

use super::book::{AckedOrder, AckedPayment, Book};
use super::sale::{Operation, Sale};
use super::worker;
use crate::Failure;
use crate::acked::Problems;
use crate::shop::patiently;

/// Longest wait for quiet, beyond every deadline of the scenario.
const QUIET_MAX: Duration = Duration::from_secs(60);
const QUIET_POLL: Duration = Duration::from_millis(20);
/// Tasks that look orders up.
const READERS: usize = 32;

/// What the orders come to.
#[derive(Debug, Default)]
pub(crate) struct Found {
    /// Orders by type and outcome.
    pub(crate) outcomes: BTreeMap<(&'static str, &'static str), u64>,
    /// Refunds of orders and of nobody's payments, by state.
    pub(crate) refunds: BTreeMap<&'static str, u64>,
    /// Money that paid an order and has not gone back, in minor units.
    pub(crate) kept: i64,
    pub(crate) teams: BTreeMap<&'static str, u64>,
    pub(crate) coupons_used: u64,
    sold: BTreeMap<u64, u64>,
    coupons: BTreeMap<CouponId, u64>,
    seats: BTreeMap<TeamId, u64>,
    refunded: BTreeSet<RefundNo>,
    pub(crate) problems: Problems,
}

impl Found {
    fn add(&mut self, other: Self) {
        fn merge<K: Ord>(into: &mut BTreeMap<K, u64>, from: BTreeMap<K, u64>) {
            for (key, count) in from {
                *into.entry(key).or_default() += count;
            }
        }
        merge(&mut self.outcomes, other.outcomes);
        merge(&mut self.refunds, other.refunds);
        merge(&mut self.sold, other.sold);
        merge(&mut self.coupons, other.coupons);
        merge(&mut self.seats, other.seats);
        self.kept += other.kept;
        self.refunded.extend(other.refunded);
        self.problems.append(other.problems);
    }
}

/// Waits until no unit is held or reserved, and those of activities that are over have flown back. Gives how long that
/// took, or `None` where it didn't come to that.
pub(crate) async fn wait_for_quiet(sale: &Sale) -> Result<Option<Duration>, Failure> {
    let began = Instant::now();
    loop {
        let counters = sale.counters().await?;
        if counters.iter().all(|(key, counters)| is_at_rest(sale, key, counters)) {
            return Ok(Some(began.elapsed()));
        }
        if began.elapsed() > QUIET_MAX {
            return Ok(None);
        }
        tokio::time::sleep(QUIET_POLL).await;
    }
}

fn is_at_rest(sale: &Sale, key: &StockKey, counters: &StockCounters) -> bool {
    let ended = sale.window_ms(key.activity).is_some_and(|(_, end_ms)| sale.engine.now_ms() >= end_ms);
    counters.held + counters.reserved == 0 && !(ended && counters.available > 0)
}

/// Compares everything.
pub(crate) async fn check(sale: &Arc<Sale>, book: &Book) -> Result<Found, Failure> {
    let mut found = check_orders(sale, book).await?;
    check_unmatched(sale, book, &mut found).await?;
    check_money(book, &mut found);
    check_stock(sale, &mut found).await?;
    check_teams(sale, book, &mut found).await?;
    for (coupon, orders) in &found.coupons {
        if *orders > 1 {
            found.problems.add(|| format!("coupon {} is used by {orders} orders", coupon.get()));
        }
    }
    found.coupons_used = found.coupons.len() as u64;
    for (state, count) in worker::refunds_left(sale).await? {
        let worked = sale.buyers.script.refunds.worked;
        if worked || state == RefundState::Applied.name() {
            found.problems.add(|| format!("{count} refunds are still {state}"));
        }
    }
    Ok(found)
}

async fn check_orders(sale: &Arc<Sale>, book: &Book) -> Result<Found, Failure> {
    let mut payments: BTreeMap<_, Vec<AckedPayment>> = BTreeMap::new();
    for payment in &book.payments {
        payments.entry(payment.order_no).or_default().push(*payment);
    }
    let mut readers = JoinSet::new();
    for part in book.orders.chunks(book.orders.len().div_ceil(READERS).max(1)) {
        let of = |acked: &AckedOrder| payments.get(&Some(acked.order_no)).cloned().unwrap_or_default();
        let part: Vec<_> = part.iter().map(|acked| (acked.clone(), of(acked))).collect();
        let sale = Arc::clone(sale);
        readers.spawn(async move {
            let mut found = Found::default();
            for (acked, payments) in part {
                let view = patiently(|| sale.engine.order(Caller::Operator, acked.order_no)).await;
                match view {
                    Ok(view) => check_order(&sale, &acked, &payments, &view, &mut found),
                    Err(reject) => {
                        found.problems.add(|| format!("order {} is lost: {reject}", acked.order_no))
                    }
                }
            }
            found
        });
    }
    let mut found = Found::default();
    while let Some(part) = readers.join_next().await {
        found.add(part?);
    }
    Ok(found)
}

fn check_order(
    sale: &Sale,
    acked: &AckedOrder,
    payments: &[AckedPayment],
    view: &OrderView,
    found: &mut Found,
) {
    let order_no = acked.order_no;
    let buyer = sale.buyers.buyer(acked.n);
    let outcome = view.close_reason.map_or(view.status.name(), closed_as);
    *found.outcomes.entry((view.order_type.name(), outcome)).or_default() += 1;
    let mut wrong = |is_so: bool, what: &str| {
        if !is_so {
            found
                .problems
                .add(|| format!("order {order_no} of buyer {}: {what}; {acked:?}, {view:?}", acked.n));
        }
    };
    wrong(view.member_id.0 == buyer.member && view.order_type == buyer.order_type, "it is another's");
    wrong(view.pay_amount == acked.amount, "its amount is not as acknowledged");
    let wanted = buyer.lines.iter().map(|line| (line.sku_id, line.quantity));
    wrong(
        view.lines.iter().map(|line| (line.sku_id, line.quantity)).eq(wanted),
        "its lines are not as asked for",
    );
    let coupons = view.terms.iter().flat_map(|terms| &terms.coupons).map(|spent| spent.coupon);
    wrong(coupons.eq(acked.coupon), "its coupons are not those that it was placed with");
    wrong(priced(view) == Some(view.pay_amount.minor()), "goods, coupons, changes and freight don't add up");
    wrong(
        buyer
            .activity
            .and_then(|id| sale.window_ms(id))
            .is_none_or(|(start_ms, _)| view.created_at_ms >= start_ms),
        "it came before its sale opened",
    );
    wrong(view.status != OrderStatus::Pending, "it is not closed long after its deadline");
    wrong(!acked.cancelled || view.status == OrderStatus::Cancelled, "it was cancelled");
    wrong(
        !acked.completed || matches!(view.status, OrderStatus::Completed | OrderStatus::Cancelled),
        "it was completed",
    );
    wrong(!acked.shipped || view.shipment.is_some() || !view.packages.is_empty(), "it was shipped");

    // Money: the payment that paid it, and for each other one exactly one refund.
    let paid: Vec<_> = payments.iter().filter(|payment| payment.result == PaymentResult::Paid).collect();
    wrong(
        paid.len() <= 1 && view.paid_by == paid.first().map(|payment| payment.id),
        "it is paid by something else",
    );
    wrong(paid.iter().all(|payment| payment.amount == view.pay_amount), "it is paid with another amount");
    for payment in payments {
        let owed = |reason: &RefundReason| match payment.result {
            PaymentResult::Paid => *reason == RefundReason::TeamDissolved,
            PaymentResult::RefundRequired(required) => *reason == required,
        };
        let refunds = view.refunds.iter().filter(|refund| {
            let is_owed = matches!(&refund.cause, RefundCause::Obligation(reason) if owed(reason));
            refund.payment == payment.id && is_owed && refund.amount == payment.amount
        });
        let failed = view.close_reason == Some(CloseReason::TeamFailed);
        let expected = usize::from(payment.result != PaymentResult::Paid || failed);
        wrong(refunds.count() == expected, "a payment is not refunded exactly once");
    }
    let amount = |refund: &stockade::Refund| refund.amount.minor();
    let of_paid = view.refunds.iter().filter(|refund| Some(refund.payment) == view.paid_by);
    let back: i64 = of_paid.clone().filter(|refund| refund.state.counts()).map(amount).sum();
    let gone: i64 = of_paid.filter(|refund| refund.state == RefundState::Finished).map(amount).sum();
    let paid: i64 = paid.iter().map(|payment| payment.amount.minor()).sum();
    wrong(back <= paid, "more goes back than was paid");
    found.kept += paid - gone;
    for refund in &view.refunds {
        *found.refunds.entry(refund.state.name()).or_default() += 1;
        if refund.state == RefundState::Finished {
            found.refunded.insert(refund.refund_no);
        }
    }
    note_units(view, found);
    note_closed(sale, acked, view, found);
}

/// The units that an order has for good, its coupons, its seat.
fn note_units(view: &OrderView, found: &mut Found) {
    let has_units = match view.status {
        OrderStatus::Pending => false,
        OrderStatus::Cancelled => view.close_reason == Some(CloseReason::Refunded),
        OrderStatus::Paid | OrderStatus::PartiallyShipped | OrderStatus::Shipped | OrderStatus::Completed => {
            true
        }
    };
    if !has_units {
        return;
    }
    for line in &view.lines {
        *found.sold.entry(line.sku_id.0).or_default() += u64::from(line.quantity);
    }
    let finished = view.refunds.iter().filter(|refund| refund.state == RefundState::Finished);
    for units in finished.flat_map(|refund| &refund.restock) {
        let sold = found.sold.entry(units.key.sku.0).or_default();
        *sold = sold.saturating_sub(u64::from(units.quantity));
    }
    for coupon in view.terms.iter().flat_map(|terms| &terms.coupons) {
        *found.coupons.entry(coupon.coupon).or_default() += 1;
    }
    if let Some(team) = view.team {
        *found.seats.entry(team).or_default() += 1;
    }
}

/// How late an order was closed that nobody paid.
fn note_closed(sale: &Sale, acked: &AckedOrder, view: &OrderView, found: &mut Found) {
    if view.close_reason != Some(CloseReason::Timeout) {
        return;
    }
    let Some(closed) = view.timeline.iter().rev().find(|entry| entry.event == "OrderClosed") else { return };
    match closed.at_ms.checked_sub(view.deadline_ms) {
        Some(late_ms) => sale.record(Operation::Expiry, acked.n, Duration::from_millis(late_ms)),
        None => found.problems.add(|| format!("order {} was closed before its deadline", acked.order_no)),
    }
}

/// What an order costs by its parts, in minor units.
fn priced(view: &OrderView) -> Option<i64> {
    let goods = view.lines.iter().try_fold(Money::ZERO, |sum, line| {
        line.price.checked_mul(line.quantity).and_then(|amount| sum.checked_add(amount))
    });
    let sum = |amounts: &[Money]| amounts.iter().map(|amount| amount.minor()).sum::<i64>();
    let Some(terms) = &view.terms else { return goods.map(Money::minor) };
    let coupons: i64 = terms.coupons.iter().map(|coupon| coupon.amount.minor()).sum();
    let discounts = sum(&terms.discounts);
    let parts = terms.freight.minor() - discounts + sum(&terms.adjustments);
    goods.map(|goods| goods.minor() + parts).filter(|_| coupons == discounts)
}

const fn closed_as(reason: CloseReason) -> &'static str {
    match reason {
        CloseReason::Timeout => "timed_out",
        CloseReason::Member | CloseReason::Operator => "cancelled",
        CloseReason::Refunded => "refunded",
        CloseReason::TeamFailed => "team_failed",
    }
}

/// Money that came for no order has a refund of its own.
async fn check_unmatched(sale: &Sale, book: &Book, found: &mut Found) -> Result<(), Failure> {
    for payment in book.payments.iter().filter(|payment| payment.order_no.is_none()) {
        let refund_no = RefundNo::Payment(payment.id);
        let refund = patiently(|| sale.engine.refund(Caller::Operator, refund_no)).await;
        match refund {
            Ok(refund) if refund.amount == payment.amount => {
                *found.refunds.entry(refund.state.name()).or_default() += 1;
                if refund.state == RefundState::Finished {
                    found.refunded.insert(refund_no);
                }
            }
            other => found.problems.add(|| format!("payment {} for no order has {other:?}", payment.id)),
        }
    }
    Ok(())
}

/// What the buyers paid, less what the worker was told has gone back, is what the orders come to.
fn check_money(book: &Book, found: &mut Found) {
    let mut finished = BTreeSet::new();
    for (refund_no, _) in &book.refunded {
        if !finished.insert(*refund_no) {
            found.problems.add(|| format!("refund {refund_no} was finished twice"));
        }
    }
    if finished != found.refunded {
        let (acked, shown) = (finished.len(), found.refunded.len());
        found
            .problems
            .add(|| format!("{acked} refunds were reported as finished, and the orders show {shown}"));
    }
    let came: i64 = book.payments.iter().map(|payment| payment.amount.minor()).sum();
    let went: i64 = book.refunded.iter().map(|(_, amount)| amount.minor()).sum();
    let owed: u64 = found
        .refunds
        .iter()
        .filter(|(state, _)| ["required", "requested", "failed"].contains(*state))
        .map(|(_, count)| count)
        .sum();
    let kept = found.kept;
    // With refunds under way the sums differ by these.
    if owed == 0 && came - went != kept {
        found.problems.add(|| format!("{came} came and {went} went back, and the orders keep {kept}"));
    }
    let mut payments: BTreeMap<PaymentId, u64> = BTreeMap::new();
    for payment in &book.payments {
        *payments.entry(payment.id).or_default() += 1;
    }
    if let Some((payment, count)) = payments.into_iter().find(|(_, count)| *count > 1) {
        found.problems.add(|| format!("payment {payment} was acknowledged {count} times"));
    }
}

/// For each SKU over all pools: as many units as were put in, and as many sold as the orders have.
async fn check_stock(sale: &Sale, found: &mut Found) -> Result<(), Failure> {
    let mut by_sku: BTreeMap<u64, (u64, u64)> = BTreeMap::new();
    for (key, counters) in sale.counters().await? {
        let (total, sold) = by_sku.entry(key.sku.0).or_default();
        *total += counters.total;
        *sold += counters.sold;
        if !counters.balanced() || !is_at_rest(sale, &key, &counters) {
            found.problems.add(|| format!("stock {key} is not at rest: {counters:?}"));
        }
    }
    let put_in = sale.buyers.script.shop.stock;
    for (sku, (total, sold)) in by_sku {
        let has = found.sold.get(&sku).copied().unwrap_or_default();
        if total != put_in || sold != has {
            let numbers = format!(
                "{put_in} units were put in, {total} are there; {sold} are sold, the orders have {has}"
            );
            found.problems.add(|| format!("sku {sku}: {numbers}"));
        }
    }
    Ok(())
}

/// Teams have formed with as many paid orders as they have members, or have failed with none.
async fn check_teams(sale: &Sale, book: &Book, found: &mut Found) -> Result<(), Failure> {
    let teams: BTreeSet<TeamId> = book.orders.iter().filter_map(|acked| acked.team).collect();
    for team in teams {
        let view = patiently(|| sale.engine.team(team)).await?;
        *found.teams.entry(view.state.name()).or_default() += 1;
        let paid = found.seats.get(&team).copied().unwrap_or_default();
        let seats = sale.engine.stock(StockKey::seats(view.activity, team)).await?;
        let expected = match view.state {
            TeamState::Forming => None,
            TeamState::Formed => Some(u64::from(view.size)),
            TeamState::Failed => Some(0),
        };
        if expected != Some(paid) || seats.sold > u64::from(view.size) {
            found
                .problems
                .add(|| format!("team {} has {paid} paid orders, seats {seats:?}: {view:?}", team.0));
        }
    }
    Ok(())
}
