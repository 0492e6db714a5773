//! The generic provider: what it takes, and what it refuses.

use serde_json::{Value, json};

use super::super::{
    CallbackError, GenericProvider, Notification, OrderName, PaidNotice, Provider, ProviderError,
    SIGNATURE_HEADER, TIMESTAMP_HEADER,
};
use super::support::{
    NEW_SECRET, NOW_MS, NOW_S, SECRET, WINDOW_S, flipped, flipped_header, generic, headers, paid, secret,
    signed,
};
use crate::domain::ids::{OrderNo, Slot};
use crate::{Money, RefundNo, RefundStep};

fn read(body: &Value) -> Result<Notification, CallbackError> {
    let body = body.to_string();
    generic().verify(&signed(SECRET, NOW_S, body.as_bytes()), body.as_bytes(), NOW_MS)
}

fn order_no() -> OrderNo {
    OrderNo::compose(5, Slot::from_index(9).unwrap(), 3)
}

/// As `printf '1.{}' | openssl dgst -sha256 -hmac key` gives it.
#[test]
fn the_signature_is_frozen() {
    let sent = signed("key", 1, b"{}");
    let expected = "v1=1ba6b8171186efc613e8bcc0cbdab2748f24984d7c5a84faa2637afa0e40d224";
    assert_eq!(sent[SIGNATURE_HEADER], expected);
}

#[test]
fn either_secret_signs_and_a_third_does_not() {
    let body = paid("1", "t", 1);
    for text in [SECRET, NEW_SECRET] {
        assert!(generic().verify(&signed(text, NOW_S, &body), &body, NOW_MS).is_ok());
    }
    let stranger = signed("a secret of somebody else", NOW_S, &body);
    assert_eq!(generic().verify(&stranger, &body, NOW_MS), Err(CallbackError::BadSignature));
}

#[test]
fn every_flipped_bit_is_refused() {
    let provider = generic();
    let body = paid("7", "4200001", 19_900);
    let sent = signed(SECRET, NOW_S, &body);
    assert!(provider.verify(&sent, &body, NOW_MS).is_ok());
    for tampered in flipped(&body) {
        assert_eq!(provider.verify(&sent, &tampered, NOW_MS), Err(CallbackError::BadSignature));
    }
    for name in [TIMESTAMP_HEADER, SIGNATURE_HEADER] {
        let tampered = flipped_header(&sent, name);
        assert!(tampered.len() > 60, "{} of {name}", tampered.len());
        for tampered in tampered {
            let error = provider.verify(&tampered, &body, NOW_MS).unwrap_err();
            assert_eq!(error.status(), 401, "{error}");
        }
    }
    for tampered in [&body[1..], &body[..body.len() - 1], &[], &[&body[..], b" "].concat()] {
        assert_eq!(provider.verify(&sent, tampered, NOW_MS), Err(CallbackError::BadSignature));
    }
}

#[test]
fn headers_must_be_there_once() {
    let body = paid("7", "4200001", 19_900);
    let sent = signed(SECRET, NOW_S, &body);
    for name in [TIMESTAMP_HEADER, SIGNATURE_HEADER] {
        let mut fewer = sent.clone();
        fewer.remove(name);
        let missing = CallbackError::MissingHeader { header: name };
        assert_eq!(generic().verify(&fewer, &body, NOW_MS), Err(missing));
        let mut more = sent.clone();
        more.append(name, sent[name].clone());
        let error = generic().verify(&more, &body, NOW_MS).unwrap_err();
        assert_eq!(error.code(), "malformed_header");
    }
    let upper = sent[SIGNATURE_HEADER].to_str().unwrap().to_uppercase().replace("V1", "v1");
    let upper = headers(&[(TIMESTAMP_HEADER, &NOW_S.to_string()), (SIGNATURE_HEADER, &upper)]);
    assert_eq!(generic().verify(&upper, &body, NOW_MS).unwrap_err().code(), "malformed_header");
}

#[test]
fn what_was_signed_too_long_ago_or_too_far_ahead_is_refused() {
    let body = paid("7", "4200001", 19_900);
    let window_s = u64::from(WINDOW_S);
    let verify = |at_s| generic().verify(&signed(SECRET, at_s, &body), &body, NOW_MS).map(drop);
    for at_s in [NOW_S - window_s, NOW_S + window_s] {
        assert_eq!(verify(at_s), Ok(()));
    }
    for at_s in [NOW_S - window_s - 1, NOW_S + window_s + 1] {
        assert_eq!(verify(at_s).unwrap_err().code(), "timestamp_outside_window");
    }
}

#[test]
fn an_order_is_named_in_one_of_three_ways() {
    let notice = |name: &str, value: Value| {
        let mut body =
            json!({ "channel": "alipay", "merchant": 88, "transaction_id": 4_200_001, "amount": 5 });
        body[name] = value;
        read(&body)
    };
    let expected = |order| {
        let (channel, merchant, transaction_id) = ("alipay".into(), "88".into(), "4200001".into());
        let amount = Money::from_minor(5);
        Ok(Notification::Paid(PaidNotice { order, channel, merchant, transaction_id, amount }))
    };
    let number = order_no().to_string();
    assert_eq!(notice("order_no", json!(number)), expected(OrderName::Number(order_no())));
    assert_eq!(notice("order_no", json!(order_no().get())), expected(OrderName::Number(order_no())));
    assert_eq!(notice("pay_no", json!(format!("{number}-2"))), expected(OrderName::Number(order_no())));
    assert_eq!(notice("external_no", json!("W-1")), expected(OrderName::External("W-1".into())));
}

#[test]
fn a_refunds_end_is_reported_by_its_number() {
    let refund_no = RefundNo::Order { order_no: order_no(), ordinal: 1 };
    let number = refund_no.to_string();
    let finished = json!({ "kind": "refund_finished", "refund_no": number, "provider_refund_id": "50" });
    let step = RefundStep::Finished { provider_refund_id: "50".into() };
    assert_eq!(read(&finished), Ok(Notification::Refund { refund_no, step }));
    let failed = json!({ "kind": "refund_failed", "refund_no": number, "reason": "account closed" });
    let step = RefundStep::Failed { reason: "account closed".into() };
    assert_eq!(read(&failed), Ok(Notification::Refund { refund_no, step }));
}

#[test]
fn a_malformed_body_is_refused_by_the_fields_name() {
    let good = json!({
        "order_no": "7", "channel": "alipay", "merchant": "m", "transaction_id": "t", "amount": 5,
    });
    assert!(read(&good).is_ok());
    let wrong = [
        ("amount", json!(-1)),
        ("amount", json!(1.5)),
        ("amount", json!("5")),
        ("amount", Value::Null),
        ("transaction_id", json!("")),
        ("transaction_id", json!(1_u64 << 53)),
        ("transaction_id", json!(-1)),
        ("merchant", json!([])),
        ("channel", json!(5)),
        ("order_no", json!("x")),
        ("order_no", Value::Null),
        ("kind", json!("refunded")),
    ];
    for (name, value) in wrong {
        let mut body = good.clone();
        body[name] = value;
        match read(&body) {
            Err(CallbackError::MalformedBody { field, .. }) => assert_eq!(field, name),
            other => panic!("{name}: {other:?}"),
        }
    }
    let mut both = good.clone();
    both["external_no"] = json!("W-1");
    assert_eq!(read(&both).unwrap_err().code(), "malformed_body");
    assert_eq!(read(&json!([])).unwrap_err().status(), 400);
}

#[test]
fn weak_secrets_are_refused_when_the_provider_is_set_up() {
    let short = GenericProvider::new("shop", vec![secret("123456789012345")], WINDOW_S);
    assert!(matches!(short, Err(ProviderError::InvalidKey { .. })));
    let none = GenericProvider::new("shop", Vec::new(), WINDOW_S);
    assert!(matches!(none, Err(ProviderError::InvalidSetting { .. })));
    assert!(!format!("{:?}", generic()).contains("secret of the shop"));
}
