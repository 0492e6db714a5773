//! Refunds that are applied for: never more than was paid, units back on sale by choice, and the order's end.

use stockade::{
    Caller, Money, OrderRef, OrderStatus, PaymentResult, Receipt, RefundNo, RefundReceipt, RefundRequest,
    RefundState, RefundStep, Reject, Shipment, SkuId,
};

use crate::support::*;

pub(crate) async fn paid(shop: &Shop, member: u64, lines: &[(u64, u32)]) -> Receipt {
    let receipt = shop.submit(basket(member, 1, lines)).await.unwrap();
    let outcome = shop.pay(payment(&receipt, &member.to_string())).await.unwrap();
    assert_eq!(outcome.result, PaymentResult::Paid);
    receipt
}

fn units(lines: &[(u64, u32)]) -> Vec<(SkuId, u32)> {
    lines.iter().map(|(sku, quantity)| (SkuId(*sku), *quantity)).collect()
}

fn ask(request: u128, lines: &[(u64, u32)], extra: i64) -> RefundRequest {
    RefundRequest {
        request_id: request.into(),
        reason: "too bitter".into(),
        lines: units(lines),
        extra: Money::from_minor(extra),
    }
}

async fn apply(
    shop: &Shop,
    order: impl Into<OrderRef>,
    request: RefundRequest,
) -> Result<RefundReceipt, Reject> {
    shop.apply_refund(Caller::Operator, order, request).await
}

async fn finish(shop: &Shop, refund_no: RefundNo) -> RefundReceipt {
    let step = RefundStep::Finished { provider_refund_id: refund_no.to_string().into() };
    shop.report_refund(refund_no, step).await.unwrap()
}

#[tokio::test]
async fn partial_refunds_never_add_up_to_more_than_was_paid() {
    let shop = Shop::open().await;
    shop.stock_up(1, 10).await;
    shop.stock_up(2, 10).await;
    let receipt = paid(&shop, 7, &[(1, 3), (2, 1)]).await;
    let order_no = receipt.order_no;
    let first = apply(&shop, order_no, ask(1, &[(1, 2)], 0)).await.unwrap();
    assert_eq!(
        (first.refund_no.to_string(), first.amount),
        (format!("{order_no}-1"), Money::from_minor(500))
    );
    let more = apply(&shop, order_no, ask(2, &[(1, 2)], 0)).await;
    assert_eq!(more, Err(Reject::UnitsExceeded { sku: 1.into(), left: 1 }));
    let more = apply(&shop, order_no, ask(3, &[], 501)).await;
    assert_eq!(more, Err(Reject::RefundExceedsPaid { left: Money::from_minor(500) }));
    assert_eq!(
        apply(&shop, order_no, ask(3, &[(9, 1)], 0)).await,
        Err(Reject::SkuNotInOrder { sku: 9.into() })
    );
    assert_eq!(apply(&shop, order_no, ask(3, &[], 0)).await.unwrap_err().code(), "invalid_field");
    assert_eq!(apply(&shop, order_no, ask(3, &[], -1)).await.unwrap_err().code(), "invalid_field");
    // What comes to nothing leaves room again.
    shop.reject_refund(first.refund_no, "it was opened").await.unwrap();
    let all = apply(&shop, order_no, ask(4, &[(1, 3), (2, 1)], 0)).await.unwrap();
    assert_eq!(all.amount, receipt.pay_amount);
    assert_eq!(apply(&shop, order_no, ask(5, &[], 1)).await.unwrap_err().code(), "refund_exceeds_paid");
    assert_eq!(apply(&shop, order_no, ask(4, &[(1, 3), (2, 1)], 0)).await, Ok(all), "R8: sent again");
    assert_eq!(apply(&shop, order_no, ask(4, &[(1, 1)], 0)).await, Err(Reject::RequestIdReused));
    audit(&shop.journal);
}

#[tokio::test]
async fn a_refund_goes_its_way_and_restocks_what_the_shop_chose() {
    let shop = Shop::open().await;
    shop.stock_up(1, 3).await;
    let receipt = paid(&shop, 7, &[(1, 3)]).await;
    assert_eq!(shop.submit(one(8, 1, 1)).await, Err(sold_out(1)));
    let applied = apply(&shop, receipt.order_no, ask(1, &[(1, 2)], 0)).await.unwrap();
    let too_early = shop.report_refund(applied.refund_no, RefundStep::Requested).await;
    assert_eq!(too_early, Err(Reject::WrongRefundState { state: RefundState::Applied }));
    let too_many = shop.approve_refund(applied.refund_no, units(&[(1, 3)])).await;
    assert_eq!(too_many, Err(Reject::UnitsExceeded { sku: 1.into(), left: 2 }));
    let approved = shop.approve_refund(applied.refund_no, units(&[(1, 1)])).await.unwrap();
    assert_eq!(approved.state, RefundState::Required);
    assert_eq!(shop.approve_refund(applied.refund_no, units(&[(1, 1)])).await, Ok(approved), "unchanged");
    let withdrawn = shop.withdraw_refund(Caller::Operator, applied.refund_no).await;
    assert_eq!(withdrawn.unwrap_err().code(), "wrong_refund_state");
    shop.report_refund(applied.refund_no, RefundStep::Requested).await.unwrap();
    let failed = RefundStep::Failed { reason: "card closed".into() };
    shop.report_refund(applied.refund_no, failed).await.unwrap();
    assert_eq!(shop.counters(1).await.sold, 3, "nothing is back before the money is");
    let finished = finish(&shop, applied.refund_no).await;
    assert_eq!((finished.state, finished.order_status), (RefundState::Finished, Some(OrderStatus::Paid)));
    assert_eq!(finish(&shop, applied.refund_no).await, finished);
    let other = RefundStep::Finished { provider_refund_id: "another".into() };
    let other = shop.report_refund(applied.refund_no, other).await;
    assert_eq!(other, Err(Reject::RefundFinishedOtherwise));
    let counters = shop.counters(1).await;
    assert_eq!((counters.total, counters.available, counters.sold), (3, 1, 2));
    shop.submit(one(8, 2, 1)).await.unwrap();
    let view = shop.view(receipt.order_no).await;
    let refund = &view.refunds[0];
    assert_eq!(refund.provider_refund_id, Some(applied.refund_no.to_string().into()));
    assert_eq!(refund.restock, [stockade::domain::event::StockUnits { key: key(1), quantity: 1 }]);
    audit(&shop.journal);
}

#[tokio::test]
async fn a_full_refund_closes_the_order_and_gives_the_limit_back() {
    let shop = Shop::open().await;
    shop.stock_up_limited(1, 10, 2).await;
    let receipt = paid(&shop, 7, &[(1, 2)]).await;
    assert_eq!(shop.submit(one(7, 2, 1)).await.unwrap_err().code(), "limit_exceeded");
    let parts = [ask(1, &[(1, 1)], 0), ask(2, &[], 200), ask(3, &[], 50)];
    let mut last = None;
    for part in parts {
        let applied = apply(&shop, receipt.order_no, part).await.unwrap();
        shop.approve_refund(applied.refund_no, Vec::new()).await.unwrap();
        last = Some(finish(&shop, applied.refund_no).await);
    }
    assert_eq!(last.unwrap().order_status, Some(OrderStatus::Cancelled));
    let view = shop.view(receipt.order_no).await;
    assert_eq!(view.close_reason, Some(stockade::CloseReason::Refunded));
    assert_eq!(shop.counters(1).await.sold, 2, "nothing was to be restocked");
    shop.submit(one(7, 3, 1)).await.unwrap();
    let again = apply(&shop, receipt.order_no, ask(9, &[(1, 1)], 0)).await;
    assert_eq!(again.unwrap_err().code(), "wrong_status");
    let late = shop.pay(payment(&receipt, "late")).await.unwrap();
    assert_eq!(late.result, PaymentResult::RefundRequired(stockade::RefundReason::AlreadyPaid));
    shop.settle().await;
    let live = shop.state_hash().await.unwrap().hash;
    assert_eq!(shop.after_power_cut().await.state_hash().await.unwrap().hash, live);
    audit(&shop.journal);
}

#[tokio::test]
async fn an_open_refund_blocks_shipping_and_confirmation_by_time() {
    let shop = Shop::open_with(|config| config.auto_confirm_ms(1_000)).await;
    shop.stock_up(1, 10).await;
    let receipt = paid(&shop, 7, &[(1, 2)]).await;
    let member = Caller::Member(7.into());
    let applied = shop.apply_refund(member, receipt.order_no, ask(1, &[(1, 1)], 0)).await.unwrap();
    assert_eq!(shop.ship(receipt.order_no, Shipment::default()).await, Err(Reject::RefundOpen));
    let stranger = shop.withdraw_refund(Caller::Member(8.into()), applied.refund_no).await;
    assert_eq!(stranger, Err(Reject::RefundNotFound), "R14");
    let withdrawn = shop.withdraw_refund(member, applied.refund_no).await.unwrap();
    assert_eq!(withdrawn.state, RefundState::Withdrawn);
    assert_eq!(shop.withdraw_refund(member, applied.refund_no).await, Ok(withdrawn));
    shop.ship(receipt.order_no, Shipment::default()).await.unwrap();

    let second = shop.apply_refund(member, receipt.order_no, ask(2, &[], 1)).await.unwrap();
    shop.time.advance(5_000);
    shop.settle().await;
    assert_eq!(shop.status(receipt.order_no).await, OrderStatus::Shipped, "a refund is open");
    shop.reject_refund(second.refund_no, "").await.unwrap();
    shop.event(|event| event.name() == "OrderReceived").await;
    assert_eq!(shop.status(receipt.order_no).await, OrderStatus::Completed);
    audit(&shop.journal);
}

#[tokio::test]
async fn refunds_can_be_applied_for_until_the_window_is_over() {
    let shop = Shop::open_with(|config| config.after_sale_window_ms(10_000)).await;
    shop.stock_up(1, 10).await;
    let pending = shop.submit(one(8, 1, 1)).await.unwrap();
    assert_eq!(
        apply(&shop, pending.order_no, ask(1, &[(1, 1)], 0)).await.unwrap_err().code(),
        "wrong_status"
    );
    let receipt = paid(&shop, 7, &[(1, 1)]).await;
    shop.ship(receipt.order_no, Shipment::default()).await.unwrap();
    shop.confirm(Caller::Operator, receipt.order_no).await.unwrap();
    let completed_ms = shop.now_ms();
    shop.advance_to(completed_ms + 9_999);
    let applied = apply(&shop, receipt.order_no, ask(1, &[], 5)).await.unwrap();
    shop.time.advance(1);
    let late = apply(&shop, receipt.order_no, ask(2, &[], 5)).await;
    assert_eq!(late, Err(Reject::AfterSaleOver { until_ms: completed_ms + 10_000 }));
    assert_eq!(
        apply(&shop, receipt.order_no, ask(1, &[], 5)).await,
        Ok(applied),
        "R8: also after the window"
    );
    audit(&shop.journal);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn refund_against_ship_has_one_winner() {
    let shop = Shop::open().await;
    shop.stock_up(1, 100).await;
    for member in 0..40_u64 {
        let receipt = paid(&shop, member, &[(1, 1)]).await;
        let (applied, shipped) = tokio::join!(
            shop.engine.apply_refund(Caller::Operator, receipt.order_no, ask(1, &[(1, 1)], 0)),
            shop.engine.ship(receipt.order_no, Shipment::default())
        );
        let applied = applied.unwrap();
        match shipped {
            Ok(shipped) => assert_eq!(shipped.status, OrderStatus::Shipped),
            Err(reject) => assert_eq!(reject, Reject::RefundOpen),
        }
        shop.approve_refund(applied.refund_no, units(&[(1, 1)])).await.unwrap();
        let finished = finish(&shop, applied.refund_no).await;
        assert_eq!(finished.order_status, Some(OrderStatus::Cancelled), "both ways all money is back");
    }
    assert_eq!(shop.counters(1).await.available, 100);
    audit(&shop.journal);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn r3_a_restocked_unit_is_there_for_whoever_heard_of_it() {
    let shop = Shop::open().await;
    shop.stock_up(1, 1).await;
    for round in 0..30_u64 {
        let receipt = paid(&shop, round, &[(1, 1)]).await;
        let applied = apply(&shop, receipt.order_no, ask(1, &[(1, 1)], 0)).await.unwrap();
        shop.approve_refund(applied.refund_no, units(&[(1, 1)])).await.unwrap();
        finish(&shop, applied.refund_no).await;
    }
    assert_eq!(shop.metrics().sold_out, 0, "nobody who came after the refund was told that it is sold out");
    audit(&shop.journal);
}
