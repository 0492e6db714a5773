//! The store against an independent replay: while the journal still begins with the first event, everything that the
//! store adds up to must be what the events up to its checkpoint come to.

use crate::audit::Auditor;
use crate::audit::orders::OrderRecord;
use crate::audit::report::Rule;
use crate::audit::stock::StockLedger;
use crate::domain::ids::Position;

/// Compares a replay up to `at` with the state that the store comes to. What is wrong is added to the replay's findings.
pub(in crate::audit) fn compare(replayed: &mut Auditor, stored: &Auditor, at: Position) {
    let Auditor { findings, catalogue, stock, orders, limits, payments, tasks, coupons, acts, .. } = replayed;
    findings.at(at);
    let mut differs = |what: &dyn std::fmt::Display| {
        findings.add(Rule::Store, || format!("the store and a replay up to position {at} differ in {what}"));
    };
    for (order_no, order) in stored.orders.iter() {
        let same = orders.get(order_no).is_some_and(|replayed| {
            replayed.agrees_with(order) && same_lines(stock, replayed, &stored.stock, order)
        });
        if !same {
            differs(&format_args!("order {order_no}"));
        }
    }
    if orders.len() != stored.orders.len() {
        for (order_no, _) in orders.iter().filter(|(order_no, _)| stored.orders.get(*order_no).is_none()) {
            differs(&format_args!("order {order_no}, which is not stored"));
        }
    }
    for (member, request, order_no) in stored.orders.requests() {
        if orders.placed_by(member, request) != Some(order_no) {
            differs(&format_args!("what request {request} of member {member} has placed"));
        }
    }
    for key in stored.stock.keys().filter(|key| stock.counters(key) != stored.stock.counters(key)) {
        differs(&format_args!("stock {key}"));
    }
    for key in stock.keys().filter(|key| stored.stock.find(key).is_none()) {
        differs(&format_args!("stock {key}, which is not stored"));
    }
    for (key, id) in stored.stock.adjustments().filter(|(key, id)| !stock.knows_adjustment(key, *id)) {
        differs(&format_args!("adjustment {id} of stock {key}, which was not made"));
    }
    for (key, id) in stock.adjustments().filter(|(key, id)| !stored.stock.knows_adjustment(key, *id)) {
        differs(&format_args!("adjustment {id} of stock {key}, which is not stored"));
    }
    for (payment, received) in stored.payments.iter() {
        if payments.get(payment) != Some(received) {
            differs(&format_args!("payment {payment} of order {}", received.order_no));
        }
    }
    for (payment, received) in payments.iter().filter(|(id, _)| stored.payments.get(*id).is_none()) {
        differs(&format_args!("payment {payment} of order {}, which is not stored", received.order_no));
    }
    for (member, key, units) in limits.iter() {
        let key = stock.key(key);
        let found = stored.stock.find(&key).map_or(0, |index| stored.limits.units(member, index));
        if found != units {
            differs(&format_args!("the limit of member {member} on stock {key}"));
        }
    }
    tasks.compare(&stored.tasks, &mut differs);
    for (member, id, coupon) in stored.coupons.iter() {
        if coupons.get(member, id) != Some(coupon) {
            differs(&format_args!("coupon {id} of member {member}"));
        }
    }
    for (member, id, _) in coupons.iter().filter(|(member, id, _)| stored.coupons.get(*member, *id).is_none())
    {
        differs(&format_args!("coupon {id} of member {member}, which is not stored"));
    }
    for position in acts.differing(&stored.acts) {
        differs(&format_args!("the act of an operator at position {position}"));
    }
    if *catalogue != stored.catalogue {
        differs(&"the catalogue");
    }
    if orders.numbers_until_ms() != stored.orders.numbers_until_ms() {
        differs(&"the reserved order numbers");
    }
}

fn same_lines(
    stock: &StockLedger,
    own: &OrderRecord,
    other_stock: &StockLedger,
    other: &OrderRecord,
) -> bool {
    let own =
        own.lines.as_slice().iter().map(|line| (stock.key(line.key), line.quantity, line.limit_per_member));
    let other = other.lines.as_slice().iter();
    own.eq(other.map(|line| (other_stock.key(line.key), line.quantity, line.limit_per_member)))
}
