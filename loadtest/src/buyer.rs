//! What buyers do once they have an order, and what the engine tells them.

use stockade::{Caller, Engine, OrderRef, PaymentOutcome, PaymentResult, Receipt, Reject, Shipment};

use crate::acked::Fact;
use crate::plan::{Conduct, Plan};
use crate::shop::{self, patiently};

/// Lets the n-th buyer do what they do with their order; `note` hears each acknowledgement. Safe to repeat: an order
/// that moved on since answers with a reject, which is returned.
pub(crate) async fn conclude(
    engine: &Engine,
    plan: &Plan,
    n: u64,
    conduct: Conduct,
    receipt: &Receipt,
    mut note: impl FnMut(Fact),
) -> Result<(), Reject> {
    let member = Caller::Member(plan.member(n).into());
    match conduct {
        Conduct::WalkAway => Ok(()),
        Conduct::Cancel => {
            patiently(|| engine.cancel(member, receipt.order_no)).await?;
            note(Fact::Cancelled);
            Ok(())
        }
        Conduct::StartAndPay => {
            patiently(|| engine.start_payment(member, receipt.order_no)).await?;
            note(Fact::PaymentStarted);
            pay(engine, plan, n, receipt, note).await
        }
        Conduct::Pay => pay(engine, plan, n, receipt, note).await,
    }
}

/// Ships a paid order and lets the buyer receive it.
pub(crate) async fn deliver(
    engine: &Engine,
    plan: &Plan,
    n: u64,
    receipt: &Receipt,
    mut note: impl FnMut(Fact),
) -> Result<(), Reject> {
    ship(engine, n, receipt).await?;
    note(Fact::Shipped);
    let member = Caller::Member(plan.member(n).into());
    patiently(|| engine.confirm(member, receipt.order_no)).await?;
    note(Fact::Received);
    Ok(())
}

/// Ships a paid order.
pub(crate) async fn ship(engine: &Engine, n: u64, receipt: &Receipt) -> Result<(), Reject> {
    let shipment = || Shipment { carrier: "post".into(), tracking_no: n.to_string().into() };
    patiently(|| engine.ship(receipt.order_no, shipment())).await?;
    Ok(())
}

/// The payment channel's notification; some come twice, and then have the same outcome.
async fn pay(
    engine: &Engine,
    plan: &Plan,
    n: u64,
    receipt: &Receipt,
    mut note: impl FnMut(Fact),
) -> Result<(), Reject> {
    let pay = || engine.pay(shop::payment(OrderRef::Number(receipt.order_no), n, receipt.pay_amount));
    let mut note = |outcome: PaymentOutcome| match outcome.result {
        PaymentResult::Paid => note(Fact::Paid),
        PaymentResult::RefundRequired(_) => note(Fact::RefundRequired),
    };
    if plan.pays_twice(n) {
        // Both are noted: were the outcomes different, the journal would lack one of them.
        let (first, second) = tokio::join!(patiently(pay), patiently(pay));
        note(first?);
        note(second?);
    } else {
        note(patiently(pay).await?);
    }
    Ok(())
}
