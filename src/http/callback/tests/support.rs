//! An engine with one order in it, senders that sign as providers do, and the flipping of bits.

use aes_gcm::aead::{Aead, Payload};
use aes_gcm::{Aes256Gcm, KeyInit, Nonce};
use axum::http::{HeaderMap, HeaderName, HeaderValue};
use base64::Engine as _;
use base64::prelude::{BASE64_STANDARD, BASE64_URL_SAFE_NO_PAD};
use jsonwebtoken::{Algorithm, EncodingKey};
use serde_json::{Value, json};

use super::super::generic::sign;
use super::super::wechat::{WechatParts, message};
use super::super::{GenericProvider, SIGNATURE_HEADER, TIMESTAMP_HEADER, WechatProvider};
use crate::http::secret::Secret;
use crate::{Config, Durability, Engine, Receipt, SubmitOrder};

/// When everything here happens, in seconds since the Unix epoch.
pub(super) const NOW_S: u64 = 1_760_000_000;
pub(super) const NOW_MS: u64 = NOW_S * 1_000;
pub(super) const WINDOW_S: u32 = 300;
pub(super) const SECRET: &str = "an old secret of the shop";
pub(super) const NEW_SECRET: &str = "a new secret of the shop";
pub(super) const API_V3_KEY: &[u8] = b"0123456789abcdef0123456789abcdef";
pub(super) const SERIAL: &str = "5157F09EFDC096DE15EBE81A47057A72";
pub(super) const MCHID: &str = "1900000109";
/// Made for these tests, and used nowhere else.
const PRIVATE_KEY: &[u8] = include_bytes!("platform_key.pem");
pub(super) const PUBLIC_KEY: &[u8] = include_bytes!("platform_key.pub.pem");

pub(super) fn secret(value: impl Into<Vec<u8>>) -> Secret {
    Secret::new(value).unwrap()
}

/// An engine in memory with ten units of tea.
pub(super) async fn shop() -> Engine {
    let engine = Engine::open(Config::new("").durability(Durability::Memory)).await.unwrap();
    crate::examples::stock_tea(&engine, 10).await.unwrap();
    engine
}

/// An order of one unit of tea by a member, 199.00.
pub(super) async fn order(engine: &Engine, external_no: Option<&str>) -> Receipt {
    let mut order = SubmitOrder::one_line(7, 1, 42, 1);
    order.external_no = external_no.map(Into::into);
    engine.submit(order).await.unwrap()
}

/// The generic provider with two secrets.
pub(super) fn generic() -> GenericProvider {
    GenericProvider::new("shop", vec![secret(SECRET), secret(NEW_SECRET)], WINDOW_S).unwrap()
}

/// Headers of the generic provider.
pub(super) fn signed(secret_text: &str, at_s: u64, body: &[u8]) -> HeaderMap {
    let timestamp = at_s.to_string();
    let signature = sign(&secret(secret_text), &timestamp, body);
    headers(&[(TIMESTAMP_HEADER, &timestamp), (SIGNATURE_HEADER, &signature)])
}

pub(super) fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
    let pair = |(name, value): &(&'static str, &str)| {
        (HeaderName::from_static(name), HeaderValue::from_str(value).unwrap())
    };
    pairs.iter().map(pair).collect()
}

/// A generic notification that an order was paid.
pub(super) fn paid(order_no: &str, transaction_id: &str, amount: i64) -> Vec<u8> {
    let body = json!({
        "order_no": order_no, "channel": "alipay", "merchant": "shop-1", "transaction_id": transaction_id,
        "amount": amount, "paid_at": "2025-10-09T08:53:20Z",
    });
    body.to_string().into_bytes()
}

/// WeChat Pay with the key of these tests.
pub(super) fn wechat() -> WechatProvider {
    WechatProvider::new(WechatParts {
        name: "wechat".into(),
        channel: "wechat".into(),
        mchid: MCHID.into(),
        api_v3_key: secret(API_V3_KEY),
        public_keys: vec![(SERIAL.into(), secret(PUBLIC_KEY))],
        window_s: WINDOW_S,
    })
    .unwrap()
}

/// A notification's body as WeChat Pay sends it.
pub(super) fn wechat_body(original_type: &str, resource: &Value) -> Vec<u8> {
    let (nonce, associated) = ("fdasflkja484", original_type);
    let cipher = Aes256Gcm::new_from_slice(API_V3_KEY).unwrap();
    let plain = resource.to_string();
    let payload = Payload { msg: plain.as_bytes(), aad: associated.as_bytes() };
    let nonce_bytes = <[u8; 12]>::try_from(nonce.as_bytes()).unwrap();
    let ciphertext = cipher.encrypt(&Nonce::from(nonce_bytes), payload).unwrap();
    let resource = json!({
        "original_type": original_type, "algorithm": "AEAD_AES_256_GCM", "nonce": nonce,
        "associated_data": associated, "ciphertext": BASE64_STANDARD.encode(ciphertext),
    });
    json!({ "id": "EV-1", "resource_type": "encrypt-resource", "resource": resource })
        .to_string()
        .into_bytes()
}

/// A trade as WeChat Pay describes it.
pub(super) fn trade(out_trade_no: &str, transaction_id: &str, total: i64) -> Value {
    json!({
        "mchid": MCHID, "out_trade_no": out_trade_no, "transaction_id": transaction_id, "trade_state": "SUCCESS",
        "amount": { "total": total, "payer_total": total, "currency": "CNY" },
    })
}

/// Headers as WeChat Pay sends them.
pub(super) fn wechat_headers(at_s: u64, body: &[u8]) -> HeaderMap {
    let (timestamp, nonce) = (at_s.to_string(), "5K8264ILTKCH16CQ2502SI8ZNMTM67VS");
    let key = EncodingKey::from_rsa_pem(PRIVATE_KEY).unwrap();
    let message = message(&[timestamp.as_bytes(), nonce.as_bytes(), body]);
    let signature = jsonwebtoken::crypto::sign(&message, &key, Algorithm::RS256).unwrap();
    let signature = BASE64_STANDARD.encode(BASE64_URL_SAFE_NO_PAD.decode(signature).unwrap());
    headers(&[
        ("wechatpay-timestamp", &timestamp),
        ("wechatpay-nonce", nonce),
        ("wechatpay-signature", &signature),
        ("wechatpay-serial", SERIAL),
    ])
}

/// Every value that differs from this one in one bit.
pub(super) fn flipped(bytes: &[u8]) -> impl Iterator<Item = Vec<u8>> + '_ {
    (0..bytes.len() * 8).map(|bit| {
        let mut flipped = bytes.to_vec();
        flipped[bit / 8] ^= 1 << (bit % 8);
        flipped
    })
}

/// Every set of headers that differs from this one in one bit of the named header, and is one.
pub(super) fn flipped_header(headers: &HeaderMap, name: &'static str) -> Vec<HeaderMap> {
    let values = flipped(headers[name].as_bytes());
    let values = values.filter_map(|value| HeaderValue::from_bytes(&value).ok());
    let replaced = values.map(|value| {
        let mut headers = headers.clone();
        headers.insert(name, value);
        headers
    });
    replaced.collect()
}
