//! WeChat Pay, API v3: notifications of direct merchants about payments and refunds. An example of a built-in provider.
//!
//! `Wechatpay-Signature` is SHA256-RSA2048 over timestamp, nonce and body, each with a line feed behind it, under the key
//! that `Wechatpay-Serial` names: a platform certificate's serial number, or the id of the WeChat Pay public key. What the
//! body is about stands in its `resource`, encrypted with AEAD_AES_256_GCM under the merchant's APIv3 key.
//!
//! `out_trade_no` may be a payment number (best: one trade for each attempt), an order number or an external number.
//! `out_refund_no` must be the refund's number. Service providers with sub-merchants are not supported.

use std::collections::BTreeMap;

use aes_gcm::aead::{Aead, Payload};
use aes_gcm::{Aes256Gcm, KeyInit, Nonce};
use axum::http::HeaderMap;
use base64::Engine as _;
use base64::prelude::{BASE64_STANDARD, BASE64_URL_SAFE_NO_PAD};
use jsonwebtoken::{Algorithm, DecodingKey};
use serde_json::json;

use super::body::{Fields, malformed};
use super::signature::{check_window, header, timestamp_s};
use super::{
    Answer, CallbackError, Failure, Notification, OrderName, Outcome, PaidNotice, Provider, ProviderError,
};
use crate::domain::money::Money;
use crate::domain::refund::{RefundNo, RefundStep};
use crate::http::secret::Secret;

/// Most public keys that are valid at once.
pub const WECHAT_KEYS_MAX: usize = 8;

const TIMESTAMP: &str = "wechatpay-timestamp";
const NONCE: &str = "wechatpay-nonce";
const SIGNATURE: &str = "wechatpay-signature";
const SERIAL: &str = "wechatpay-serial";

/// Bytes of the nonce of AES-GCM.
const GCM_NONCE_BYTES: usize = 12;

/// What a WeChat Pay provider consists of.
#[derive(Debug)]
pub(super) struct WechatParts {
    pub(super) name: String,
    pub(super) channel: String,
    pub(super) mchid: String,
    pub(super) api_v3_key: Secret,
    /// Public keys in PEM (`BEGIN PUBLIC KEY`), by serial.
    pub(super) public_keys: Vec<(String, Secret)>,
    pub(super) window_s: u32,
}

/// WeChat Pay for one merchant.
pub struct WechatProvider {
    name: Box<str>,
    channel: Box<str>,
    mchid: Box<str>,
    cipher: Aes256Gcm,
    public_keys: BTreeMap<Box<str>, DecodingKey>,
    window_s: u32,
}

impl WechatProvider {
    /// Puts a provider together.
    pub(super) fn new(parts: WechatParts) -> Result<Self, ProviderError> {
        let WechatParts { name, channel, mchid, api_v3_key, public_keys, window_s } = parts;
        let invalid = |what, expected| ProviderError::InvalidKey { name: name.clone(), what, expected };
        let cipher = Aes256Gcm::new_from_slice(api_v3_key.expose())
            .map_err(|_| invalid("the APIv3 key", "32 bytes long"))?;
        if !(1..=WECHAT_KEYS_MAX).contains(&public_keys.len()) {
            return Err(invalid("public_keys", "1 to 8 in number"));
        }
        let mut keys = BTreeMap::new();
        for (serial, pem) in public_keys {
            let key = DecodingKey::from_rsa_pem(pem.expose())
                .map_err(|_| invalid("a public key", "an RSA public key in PEM"))?;
            if keys.insert(serial.into(), key).is_some() {
                return Err(invalid("the serial of a public key", "used once"));
            }
        }
        let (channel, mchid) = (channel.into(), mchid.into());
        Ok(Self { name: name.into(), channel, mchid, cipher, public_keys: keys, window_s })
    }

    /// Decrypts a notification's `resource`.
    fn decrypt(&self, resource: &mut Fields) -> Result<Vec<u8>, CallbackError> {
        if &*resource.text("algorithm")? != "AEAD_AES_256_GCM" {
            return Err(malformed("algorithm", "AEAD_AES_256_GCM"));
        }
        let nonce = <[u8; GCM_NONCE_BYTES]>::try_from(resource.text("nonce")?.as_bytes());
        let nonce = Nonce::from(nonce.map_err(|_| malformed("nonce", "12 bytes long"))?);
        let ciphertext = BASE64_STANDARD.decode(resource.text("ciphertext")?.as_bytes());
        let ciphertext = ciphertext.map_err(|_| malformed("ciphertext", "base64"))?;
        let associated = resource.optional("associated_data")?.unwrap_or_default();
        let payload = Payload { msg: &ciphertext, aad: associated.as_bytes() };
        self.cipher.decrypt(&nonce, payload).map_err(|_| CallbackError::Undecryptable)
    }

    fn check_merchant(&self, resource: &mut Fields) -> Result<(), CallbackError> {
        if resource.text("mchid")? == self.mchid { Ok(()) } else { Err(CallbackError::ForeignMerchant) }
    }

    /// What a trade's notification says. Only a paid one is of interest: unpaid ones are closed by the engine itself.
    fn transaction(&self, mut trade: Fields) -> Result<Notification, CallbackError> {
        self.check_merchant(&mut trade)?;
        if &*trade.text("trade_state")? != "SUCCESS" {
            return Ok(Notification::Nothing);
        }
        let mut amount = trade.object("amount")?;
        if amount.optional("currency")?.is_some_and(|currency| &*currency != "CNY") {
            return Err(malformed("currency", "CNY"));
        }
        Ok(Notification::Paid(PaidNotice {
            order: OrderName::Any(trade.text("out_trade_no")?),
            channel: self.channel.clone(),
            merchant: self.mchid.clone(),
            transaction_id: trade.text("transaction_id")?,
            amount: Money::from_minor(amount.amount("total")?),
        }))
    }

    /// What a refund's notification says.
    fn refund(&self, mut refund: Fields) -> Result<Notification, CallbackError> {
        self.check_merchant(&mut refund)?;
        let refund_no = refund.text("out_refund_no")?.parse::<RefundNo>();
        let refund_no = refund_no.map_err(|_| malformed("out_refund_no", "a refund number"))?;
        let status = refund.text("refund_status")?;
        let step = match &*status {
            "SUCCESS" => RefundStep::Finished { provider_refund_id: refund.text("refund_id")? },
            "CLOSED" | "ABNORMAL" => RefundStep::Failed { reason: status },
            "PROCESSING" => return Ok(Notification::Nothing),
            _ => return Err(malformed("refund_status", "SUCCESS, CLOSED, ABNORMAL or PROCESSING")),
        };
        Ok(Notification::Refund { refund_no, step })
    }
}

impl Provider for WechatProvider {
    fn name(&self) -> &str {
        &self.name
    }

    fn verify(&self, headers: &HeaderMap, body: &[u8], now_ms: u64) -> Result<Notification, CallbackError> {
        let timestamp = header(headers, TIMESTAMP)?;
        let signed_at_s = timestamp_s(timestamp, TIMESTAMP)?;
        // Checked before the signature, which costs far more; both must hold.
        check_window(signed_at_s, now_ms, self.window_s)?;
        let nonce = header(headers, NONCE)?;
        let key = self.public_keys.get(header(headers, SERIAL)?).ok_or(CallbackError::UnknownKey)?;
        let signature = header(headers, SIGNATURE)?;
        if !is_signed(key, signature, &[timestamp.as_bytes(), nonce.as_bytes(), body]) {
            return Err(CallbackError::BadSignature);
        }
        let mut resource = Fields::parse(body)?.object("resource")?;
        let original_type = resource.text("original_type")?;
        let plain = Fields::parse(&self.decrypt(&mut resource)?)?;
        match &*original_type {
            "transaction" => self.transaction(plain),
            "refund" => self.refund(plain),
            _ => Err(malformed("original_type", "transaction or refund")),
        }
    }

    fn acknowledge(&self, outcome: &Result<Outcome, Failure>) -> Answer {
        match outcome {
            Ok(_) => Answer::no_content(),
            Err(failure) => {
                let body = json!({ "code": "FAIL", "message": failure.to_string() });
                Answer::json(failure.status(), failure.retry_after_s(), &body)
            }
        }
    }
}

/// Whether a signature in standard base64 is that of these lines.
fn is_signed(key: &DecodingKey, signature: &str, lines: &[&[u8]]) -> bool {
    // What checks it expects the base64 of web tokens; reading it strictly leaves a signature one spelling.
    let Ok(bytes) = BASE64_STANDARD.decode(signature) else { return false };
    let signature = BASE64_URL_SAFE_NO_PAD.encode(bytes);
    jsonwebtoken::crypto::verify(&signature, &message(lines), key, Algorithm::RS256).unwrap_or(false)
}

/// The bytes that are signed: each line with a line feed behind it.
pub(super) fn message(lines: &[&[u8]]) -> Vec<u8> {
    lines.iter().flat_map(|line| [line, &b"\n"[..]]).flatten().copied().collect()
}

impl std::fmt::Debug for WechatProvider {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let serials: Vec<_> = self.public_keys.keys().collect();
        f.debug_struct("WechatProvider")
            .field("name", &self.name)
            .field("serials", &serials)
            .finish_non_exhaustive()
    }
}
