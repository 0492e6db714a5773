//! Verified notifications against an engine: success is answered when, and only when, the money or the refund's end is
//! recorded.

use axum::response::IntoResponse;
use serde_json::{Value, json};

use super::super::{Answer, handle};
use super::support::{
    MCHID, NOW_MS, NOW_S, SECRET, generic, order, paid, shop, signed, trade, wechat, wechat_body,
    wechat_headers,
};
use crate::{
    Caller, Config, Durability, Engine, Money, OrderStatus, Payment, RefundCause, RefundFilter, RefundReason,
    RefundStep,
};

async fn send(engine: &Engine, body: &[u8]) -> Answer {
    handle(engine, &generic(), &signed(SECRET, NOW_S, body), body, NOW_MS).await
}

async fn send_wechat(engine: &Engine, original_type: &str, resource: &Value) -> Answer {
    let body = wechat_body(original_type, resource);
    handle(engine, &wechat(), &wechat_headers(NOW_S, &body), &body, NOW_MS).await
}

fn json_of(answer: &Answer) -> Value {
    serde_json::from_str(&answer.body).unwrap()
}

/// Why money must go back, of everything on the work list.
async fn owed(engine: &Engine) -> Vec<(RefundReason, Money)> {
    let page = engine.refunds(RefundFilter::default()).await.unwrap();
    let reason = |refund: &crate::Refund| match refund.cause {
        RefundCause::Obligation(reason) => (reason, refund.amount),
        RefundCause::AfterSale { .. } => panic!("nobody applied for a refund"),
    };
    page.refunds.iter().map(reason).collect()
}

async fn status(engine: &Engine, order_no: crate::OrderNo) -> OrderStatus {
    engine.order(Caller::Operator, order_no).await.unwrap().status
}

#[tokio::test]
async fn an_order_is_paid_once_however_often_it_is_told() {
    let engine = shop().await;
    let receipt = order(&engine, None).await;
    let body = paid(&receipt.order_no.to_string(), "t1", receipt.pay_amount.minor());
    let answer = send(&engine, &body).await;
    assert_eq!(answer.status, 200);
    assert_eq!(json_of(&answer), json!({ "result": "paid", "order_no": receipt.order_no.to_string() }));
    assert_eq!(status(&engine, receipt.order_no).await, OrderStatus::Paid);
    assert_eq!(send(&engine, &body).await, answer, "a replay gets the first answer");
    assert!(owed(&engine).await.is_empty(), "and no money goes back");
}

#[tokio::test]
async fn money_that_cant_be_kept_is_recorded_and_acknowledged() {
    let engine = shop().await;
    let receipt = order(&engine, None).await;
    let answer = send(&engine, &paid(&receipt.order_no.to_string(), "t1", 1)).await;
    assert_eq!((answer.status, &json_of(&answer)["reason"]), (200, &json!("wrong_amount")));
    assert_eq!(status(&engine, receipt.order_no).await, OrderStatus::Pending);
    let answer = send(&engine, &paid("4611686018427387904", "t2", 2)).await;
    assert_eq!((answer.status, &json_of(&answer)["reason"]), (200, &json!("unknown_order")));
    let mut owed = owed(&engine).await;
    owed.sort_by_key(|(_, amount)| *amount);
    let expected = [(RefundReason::WrongAmount, 1), (RefundReason::UnknownOrder, 2)];
    assert_eq!(owed, expected.map(|(reason, minor)| (reason, Money::from_minor(minor))));
}

#[tokio::test]
async fn a_transaction_that_was_used_for_another_order_is_no_success() {
    let engine = shop().await;
    let receipt = order(&engine, None).await;
    let order_no = receipt.order_no.to_string();
    assert!(send(&engine, &paid(&order_no, "t1", receipt.pay_amount.minor())).await.is_success());
    let answer = send(&engine, &paid(&order_no, "t1", 5)).await;
    assert_eq!((answer.status, answer.retry_after_s), (409, None));
    assert_eq!(json_of(&answer)["code"], "payment_id_reused");
    let answer = send(&engine, &paid(&order_no, &"t".repeat(65), 5)).await;
    assert_eq!((answer.status, &json_of(&answer)["code"]), (422, &json!("field_too_long")));
}

#[tokio::test]
async fn wechat_pays_by_payment_order_and_external_number() {
    let engine = shop().await;
    let mut order = crate::SubmitOrder::one_line(7, 0, 42, 1);
    for (request, external_no) in [(1, None), (2, None), (3, Some("W-1")), (4, Some("20251009001"))] {
        order.request_id = request.into();
        order.external_no = external_no.map(Into::into);
        let receipt = engine.submit(order.clone()).await.unwrap();
        let name = match (request, external_no) {
            (_, Some(external_no)) => external_no.to_owned(),
            (1, None) => receipt.order_no.to_string(),
            (_, None) => {
                let operator = Caller::Operator;
                engine.begin_payment(operator, receipt.order_no, "wechat").await.unwrap().pay_no.to_string()
            }
        };
        let trade = trade(&name, &format!("42{request}"), receipt.pay_amount.minor());
        let answer = send_wechat(&engine, "transaction", &trade).await;
        assert_eq!((answer.status, &*answer.body), (204, ""), "{name}");
        assert_eq!(status(&engine, receipt.order_no).await, OrderStatus::Paid, "{name}");
        assert_eq!(send_wechat(&engine, "transaction", &trade).await, answer, "{name}");
    }
    assert!(send_wechat(&engine, "transaction", &trade("nobody's", "429", 5)).await.is_success());
    assert_eq!(owed(&engine).await, [(RefundReason::UnknownOrder, Money::from_minor(5))]);
}

#[tokio::test]
async fn a_refunds_end_is_recorded_once() {
    let engine = shop().await;
    let unknown = trade("nobody's", "429", 5);
    assert!(send_wechat(&engine, "transaction", &unknown).await.is_success());
    let refund_no = engine.refunds(RefundFilter::default()).await.unwrap().refunds[0].refund_no;
    engine.report_refund(refund_no, RefundStep::Requested).await.unwrap();
    let refund = |refund_no: &str, refund_id: &str, refund_status: &str| {
        json!({
            "mchid": MCHID, "out_refund_no": refund_no, "refund_id": refund_id, "refund_status": refund_status,
        })
    };
    let number = refund_no.to_string();
    for status in ["ABNORMAL", "SUCCESS", "SUCCESS"] {
        let answer = send_wechat(&engine, "refund", &refund(&number, "5031", status)).await;
        assert_eq!(answer.status, 204, "{status}");
    }
    let done = engine.refund(Caller::Operator, refund_no).await.unwrap();
    assert_eq!(done.provider_refund_id.as_deref(), Some("5031"));
    assert_eq!(send_wechat(&engine, "refund", &refund(&number, "5032", "SUCCESS")).await.status, 409);
    let nobodys = format!("p{}", "0".repeat(32));
    assert_eq!(send_wechat(&engine, "refund", &refund(&nobodys, "1", "SUCCESS")).await.status, 404);
    let body =
        json!({ "kind": "refund_finished", "refund_no": number, "provider_refund_id": 5031 }).to_string();
    let answer = send(&engine, body.as_bytes()).await;
    assert_eq!(json_of(&answer), json!({ "result": "refund", "refund_no": number, "state": "finished" }));
}

#[tokio::test]
async fn what_passes_by_itself_is_to_be_sent_again() {
    let config = Config::new("").durability(Durability::Memory).in_flight_max(1);
    let engine = Engine::open(config).await.unwrap();
    crate::examples::stock_tea(&engine, 10).await.unwrap();
    let receipt = order(&engine, None).await;
    let body = paid(&receipt.order_no.to_string(), "t1", receipt.pay_amount.minor());
    let before = Payment {
        order: receipt.order_no.into(),
        channel: "alipay".into(),
        merchant: "shop-1".into(),
        transaction_id: "t0".into(),
        amount: Money::from_minor(1),
    };
    // Both are polled before the engine can answer, so the first has the only place.
    let (first, answer) = tokio::join!(biased; engine.pay(before), send(&engine, &body));
    assert!(first.is_ok());
    assert_eq!(answer.status, 503);
    assert!(answer.retry_after_s.is_some_and(|seconds| seconds >= 1));
    assert_eq!(json_of(&answer)["code"], "overloaded");
    let response = answer.into_response();
    assert!(response.headers().contains_key("retry-after"));
    assert_eq!(response.status(), 503);

    assert_eq!(json_of(&send(&engine, &body).await)["result"], "paid", "it is taken when sent again");
    engine.shutdown().await.unwrap();
    let answer = send(&engine, &body).await;
    assert_eq!((answer.status, &json_of(&answer)["code"]), (503, &json!("unavailable")));
    assert!(answer.retry_after_s.is_some());
}

#[tokio::test]
async fn what_is_not_trusted_changes_nothing() {
    let engine = shop().await;
    let receipt = order(&engine, None).await;
    let body = paid(&receipt.order_no.to_string(), "t1", receipt.pay_amount.minor());
    let hash = engine.state_hash().await.unwrap();
    let forged = signed("a secret of somebody else", NOW_S, &body);
    let answer = handle(&engine, &generic(), &forged, &body, NOW_MS).await;
    assert_eq!((answer.status, &json_of(&answer)["code"]), (401, &json!("bad_signature")));
    let late = handle(&engine, &generic(), &signed(SECRET, NOW_S, &body), &body, NOW_MS + 301_000).await;
    assert_eq!((late.status, &json_of(&late)["code"]), (401, &json!("timestamp_outside_window")));
    assert_eq!(send(&engine, b"{}").await.status, 400);
    assert_eq!(engine.state_hash().await.unwrap(), hash);
}
