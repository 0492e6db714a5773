//! Asks again about orders of long ago: each must be as it was left, whether the engine has it in memory or not.

use stockade::{
    Caller, Engine, OrderNo, OrderRef, OrderStatus, PAGE_LEN_MAX, Page, PaymentOutcome, PaymentResult, Reject,
};

use crate::acked::Problems;
use crate::lifecycle::Sample;
use crate::plan::Plan;
use crate::shop::{self, patiently};

/// Looks for each sampled order; `status` says what the n-th buyer's must have come to. A repeated submission must get
/// the first receipt, a repeated payment the first outcome.
pub(crate) async fn samples(
    engine: &Engine,
    plan: &Plan,
    samples: &[Sample],
    status: impl Fn(u64) -> OrderStatus,
    problems: &mut Problems,
) {
    for Sample { n, receipt } in samples {
        let (n, order_no) = (*n, receipt.order_no);
        let member = Caller::Member(plan.member(n).into());
        let wanted = status(n);
        let found = patiently(|| engine.order(member, order_no)).await.map(|order| order.status);
        if found != Ok(wanted) {
            problems.add(|| format!("order {order_no} of buyer {n} must be {wanted} and is {found:?}"));
        }
        let again = shop::submit(engine, plan, n).await;
        if again != Ok(*receipt) {
            problems.add(|| format!("buyer {n} asked again and was told {again:?}, before {receipt:?}"));
        }
        if wanted == OrderStatus::Completed {
            let first = PaymentOutcome { order_no, result: PaymentResult::Paid };
            let payment = || shop::payment(OrderRef::Number(order_no), n, receipt.pay_amount);
            let again = patiently(|| engine.pay(payment())).await;
            if again != Ok(first) {
                problems.add(|| format!("buyer {n} paid again and was told {again:?}, before {first:?}"));
            }
        }
    }
}

/// Lists a member's orders, page by page: all of them must be there, newest first, and have come to what `status` says
/// of those of the first `orders` buyers. Returns how many there are.
pub(crate) async fn member(
    engine: &Engine,
    plan: &Plan,
    (member, members): (u64, u64),
    orders: u64,
    status: impl Fn(u64) -> OrderStatus,
    problems: &mut Problems,
) -> Result<u64, Reject> {
    let listed = listing(engine, member).await?;
    if !listed.is_sorted_by(|(newer, _), (older, _)| newer > older) {
        problems.add(|| format!("the orders of member {member} are not listed newest first, each once"));
    }
    let mut wanted: Vec<&str> = of_member(member, members, orders)
        .inspect(|n| debug_assert_eq!(plan.member(*n), member))
        .map(|n| status(n).name())
        .collect();
    let mut found: Vec<&str> = listed.iter().map(|(_, status)| status.name()).collect();
    wanted.sort_unstable();
    found.sort_unstable();
    if wanted != found {
        problems.add(|| format!("member {member} must have the orders {wanted:?} and has {found:?}"));
    }
    Ok(listed.len() as u64)
}

/// The orders of a member, from all pages.
async fn listing(engine: &Engine, member: u64) -> Result<Vec<(OrderNo, OrderStatus)>, Reject> {
    let mut listed = Vec::new();
    let mut before = None;
    loop {
        // Short pages, so that there are several.
        let page = Page { before, len_max: PAGE_LEN_MAX / 5 };
        let page = patiently(|| engine.orders_of(member, page)).await?;
        listed.extend(page.orders.iter().map(|order| (order.order_no, order.status)));
        match page.next {
            Some(next) => before = Some(next),
            None => return Ok(listed),
        }
    }
}

/// The numbers of a member's buyers, of the first so many.
fn of_member(member: u64, members: u64, orders: u64) -> impl Iterator<Item = u64> {
    (member..orders).step_by(usize::try_from(members).unwrap_or(usize::MAX))
}

/// So many members, spread evenly.
pub(crate) fn some_members(members: u64, wanted: u64) -> impl Iterator<Item = u64> {
    let wanted = wanted.min(members);
    (0..wanted).map(move |index| index * members / wanted)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::Baskets;

    #[test]
    fn the_buyers_of_a_member_are_those_of_the_plan() {
        let plan = Plan { seed: 1, skus: 4, baskets: Baskets::Regulars { members: 7 } };
        for member in 0..7 {
            let planned = (0..100).filter(|n| plan.member(*n) == member);
            assert!(of_member(member, 7, 100).eq(planned), "{member}");
        }
    }

    #[test]
    fn members_are_spread_evenly() {
        assert!(some_members(1_000, 4).eq([0, 250, 500, 750]));
        assert!(some_members(2, 4).eq([0, 1]));
    }
}
