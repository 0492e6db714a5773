//! WeChat Pay: what it takes, and what it refuses.

use serde_json::{Value, json};

use super::super::{CallbackError, Failure, Notification, OrderName, Outcome, PaidNotice, Provider};
use super::support::{
    MCHID, NOW_MS, NOW_S, WINDOW_S, flipped, flipped_header, trade, wechat, wechat_body, wechat_headers,
};
use crate::domain::ids::{OrderNo, Slot};
use crate::domain::reject::Reject;
use crate::{Money, RefundNo, RefundStep};

fn read(original_type: &str, resource: &Value) -> Result<Notification, CallbackError> {
    let body = wechat_body(original_type, resource);
    wechat().verify(&wechat_headers(NOW_S, &body), &body, NOW_MS)
}

#[test]
fn a_trade_that_succeeded_is_money() {
    let notice = PaidNotice {
        order: OrderName::Any("W-1".into()),
        channel: "wechat".into(),
        merchant: MCHID.into(),
        transaction_id: "4200001".into(),
        amount: Money::from_minor(19_900),
    };
    assert_eq!(read("transaction", &trade("W-1", "4200001", 19_900)), Ok(Notification::Paid(notice)));
    let mut closed = trade("W-1", "4200001", 19_900);
    closed["trade_state"] = json!("CLOSED");
    assert_eq!(read("transaction", &closed), Ok(Notification::Nothing));
}

#[test]
fn a_refund_ends_well_or_badly() {
    let order_no = OrderNo::compose(5, Slot::from_index(9).unwrap(), 3);
    let refund_no = RefundNo::Order { order_no, ordinal: 1 };
    let refund = |status: &str| {
        let out_refund_no = refund_no.to_string();
        let resource = json!({
            "mchid": MCHID, "out_refund_no": out_refund_no, "refund_id": "5031", "refund_status": status,
        });
        read("refund", &resource)
    };
    let finished = RefundStep::Finished { provider_refund_id: "5031".into() };
    assert_eq!(refund("SUCCESS"), Ok(Notification::Refund { refund_no, step: finished }));
    let failed = RefundStep::Failed { reason: "ABNORMAL".into() };
    assert_eq!(refund("ABNORMAL"), Ok(Notification::Refund { refund_no, step: failed }));
    assert_eq!(refund("PROCESSING"), Ok(Notification::Nothing));
    assert_eq!(refund("LOST").unwrap_err().code(), "malformed_body");
}

#[test]
fn what_is_for_another_merchant_or_in_another_currency_is_refused() {
    let mut foreign = trade("W-1", "4200001", 19_900);
    foreign["mchid"] = json!("1900000110");
    assert_eq!(read("transaction", &foreign), Err(CallbackError::ForeignMerchant));
    let mut dollars = trade("W-1", "4200001", 19_900);
    dollars["amount"]["currency"] = json!("USD");
    assert_eq!(read("transaction", &dollars).unwrap_err().code(), "malformed_body");
    assert_eq!(read("score", &trade("W-1", "1", 1)).unwrap_err().code(), "malformed_body");
}

#[test]
fn every_flipped_bit_is_refused() {
    let provider = wechat();
    // A short body, because each bit costs a check of an RSA signature.
    let body = wechat_body("transaction", &json!({ "mchid": MCHID, "trade_state": "CLOSED" }));
    let sent = wechat_headers(NOW_S, &body);
    assert_eq!(provider.verify(&sent, &body, NOW_MS), Ok(Notification::Nothing));
    for tampered in flipped(&body) {
        assert_eq!(provider.verify(&sent, &tampered, NOW_MS), Err(CallbackError::BadSignature));
    }
    let names = ["wechatpay-timestamp", "wechatpay-nonce", "wechatpay-signature", "wechatpay-serial"];
    for name in names {
        let tampered = flipped_header(&sent, name);
        assert!(tampered.len() > 40, "{} of {name}", tampered.len());
        for tampered in tampered {
            let error = provider.verify(&tampered, &body, NOW_MS).unwrap_err();
            assert_eq!(error.status(), 401, "{error}");
        }
    }
}

#[test]
fn the_encrypted_part_is_checked_by_itself() {
    let body = wechat_body("transaction", &trade("W-1", "4200001", 19_900));
    let changed = |field: &str, value: Value| {
        let mut body: Value = serde_json::from_slice(&body).unwrap();
        body["resource"][field] = value;
        let body = body.to_string();
        wechat().verify(&wechat_headers(NOW_S, body.as_bytes()), body.as_bytes(), NOW_MS).unwrap_err()
    };
    assert_eq!(changed("associated_data", json!("x")), CallbackError::Undecryptable);
    assert_eq!(changed("nonce", json!("fdasflkja485")), CallbackError::Undecryptable);
    assert_eq!(changed("nonce", json!("short")).code(), "malformed_body");
    assert_eq!(changed("ciphertext", json!("AAAA")), CallbackError::Undecryptable);
    assert_eq!(changed("ciphertext", json!("?")).code(), "malformed_body");
    assert_eq!(changed("algorithm", json!("NONE")).code(), "malformed_body");
}

#[test]
fn what_was_signed_too_long_ago_or_too_far_ahead_is_refused() {
    let body = wechat_body("transaction", &trade("W-1", "4200001", 19_900));
    let window_s = u64::from(WINDOW_S);
    for at_s in [NOW_S - window_s - 1, NOW_S + window_s + 1] {
        let error = wechat().verify(&wechat_headers(at_s, &body), &body, NOW_MS).unwrap_err();
        assert_eq!(error.code(), "timestamp_outside_window");
    }
    assert!(wechat().verify(&wechat_headers(NOW_S - window_s, &body), &body, NOW_MS).is_ok());
}

#[test]
fn answers_are_in_wechats_form() {
    let answer = wechat().acknowledge(&Ok(Outcome::Nothing));
    assert_eq!((answer.status, &*answer.body, answer.content_type), (204, "", None));
    let busy = Reject::Overloaded { bound: "in_flight_max", retry_after_ms: 1_500 };
    let answer = wechat().acknowledge(&Err(Failure::Rejected(busy)));
    assert_eq!((answer.status, answer.retry_after_s), (503, Some(2)));
    let body: Value = serde_json::from_str(&answer.body).unwrap();
    assert_eq!(body["code"], "FAIL");
    let answer = wechat().acknowledge(&Err(Failure::Refused(CallbackError::BadSignature)));
    assert_eq!((answer.status, answer.retry_after_s), (401, None));
}
