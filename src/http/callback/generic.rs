//! The generic provider: for a shop's own payment service, or an adapter in front of a provider that is not built in.
//!
//! # Signature
//!
//! | header | value |
//! |---|---|
//! | `X-Stockade-Timestamp` | seconds since the Unix epoch, in decimal digits |
//! | `X-Stockade-Signature` | `v1=` and 64 lowercase hexadecimal digits: HMAC-SHA256 of the timestamp as it stands in the header, a full stop, and the body's bytes |
//!
//! Up to [`SIGNING_SECRETS_MAX`] secrets are valid at once, so that a new one can be given out before the old one is taken
//! back. All of them are tried, in constant time.
//!
//! # Body
//!
//! A JSON object; ids are strings or integers up to 2^53 − 1, unknown fields are passed over (`paid_at`, for example: what
//! counts is when the engine hears of it).
//!
//! | `kind` | fields |
//! |---|---|
//! | `paid`, or absent | one of `order_no`, `pay_no`, `external_no`; `channel`, `merchant`, `transaction_id`; `amount`, an integer in minor units |
//! | `refund_finished` | `refund_no`, `provider_refund_id` |
//! | `refund_failed` | `refund_no`, `reason` |

use axum::http::HeaderMap;
use hmac::{Hmac, Mac};
use serde_json::json;
use sha2::Sha256;

use super::body::{Fields, malformed};
use super::signature::{check_window, header, timestamp_s};
use super::{
    Answer, CallbackError, Failure, Notification, OrderName, Outcome, PaidNotice, Provider, ProviderError,
};
use crate::PaymentResult;
use crate::domain::money::Money;
use crate::domain::order::PayNo;
use crate::domain::refund::{RefundNo, RefundStep};
use crate::http::secret::Secret;

/// The header with the time of signing.
pub const TIMESTAMP_HEADER: &str = "x-stockade-timestamp";
/// The header with the signature.
pub const SIGNATURE_HEADER: &str = "x-stockade-signature";
/// Most secrets that are valid at once.
pub const SIGNING_SECRETS_MAX: usize = 4;
/// Shortest secret, in bytes.
pub const SECRET_BYTES_MIN: usize = 16;

/// Bytes of a signature.
const SIGNATURE_BYTES: usize = 32;

/// The generic provider.
#[derive(Debug)]
pub struct GenericProvider {
    name: Box<str>,
    secrets: Vec<Secret>,
    window_s: u32,
}

impl GenericProvider {
    /// A provider of this name that signs with any of these secrets, at most `window_s` seconds from now.
    ///
    /// # Errors
    /// [`ProviderError`] for no secret, more than [`SIGNING_SECRETS_MAX`], or one below [`SECRET_BYTES_MIN`] bytes.
    pub fn new(name: &str, secrets: Vec<Secret>, window_s: u32) -> Result<Self, ProviderError> {
        if !(1..=SIGNING_SECRETS_MAX).contains(&secrets.len()) {
            let expected = "1 to 4 in number";
            return Err(ProviderError::InvalidSetting { name: name.into(), what: "secrets", expected });
        }
        if secrets.iter().any(|secret| secret.expose().len() < SECRET_BYTES_MIN) {
            let expected = "at least 16 bytes long";
            return Err(ProviderError::InvalidKey { name: name.into(), what: "a secret", expected });
        }
        Ok(Self { name: name.into(), secrets, window_s })
    }

    /// Whether one of the secrets gives this signature. Tries all of them, so that the time taken doesn't tell which.
    fn is_signed(&self, timestamp: &str, body: &[u8], signature: &[u8]) -> bool {
        let mut is_signed = false;
        for secret in &self.secrets {
            is_signed |= mac(secret, timestamp, body).is_some_and(|mac| mac.verify_slice(signature).is_ok());
        }
        is_signed
    }
}

/// What a secret signs. `None` can't be: HMAC takes keys of any length.
fn mac(secret: &Secret, timestamp: &str, body: &[u8]) -> Option<Hmac<Sha256>> {
    let mac = <Hmac<Sha256> as Mac>::new_from_slice(secret.expose()).ok()?;
    Some(mac.chain_update(timestamp).chain_update(b".").chain_update(body))
}

/// The bytes in a signature header. Uppercase digits are refused: a signature has one spelling.
fn signature_of(text: &str) -> Option<[u8; SIGNATURE_BYTES]> {
    let digits = text.strip_prefix("v1=")?.as_bytes();
    let mut signature = [0; SIGNATURE_BYTES];
    if digits.len() != 2 * SIGNATURE_BYTES {
        return None;
    }
    let value = |digit: u8| match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        _ => None,
    };
    for (byte, pair) in signature.iter_mut().zip(digits.chunks_exact(2)) {
        *byte = (value(pair[0])? << 4) | value(pair[1])?;
    }
    Some(signature)
}

impl Provider for GenericProvider {
    fn name(&self) -> &str {
        &self.name
    }

    fn verify(&self, headers: &HeaderMap, body: &[u8], now_ms: u64) -> Result<Notification, CallbackError> {
        let timestamp = header(headers, TIMESTAMP_HEADER)?;
        let signed_at_s = timestamp_s(timestamp, TIMESTAMP_HEADER)?;
        let expected = "v1= and 64 lowercase hexadecimal digits";
        let signature = signature_of(header(headers, SIGNATURE_HEADER)?)
            .ok_or(CallbackError::MalformedHeader { header: SIGNATURE_HEADER, expected })?;
        if !self.is_signed(timestamp, body, &signature) {
            return Err(CallbackError::BadSignature);
        }
        check_window(signed_at_s, now_ms, self.window_s)?;
        read(Fields::parse(body)?)
    }

    fn acknowledge(&self, outcome: &Result<Outcome, Failure>) -> Answer {
        match outcome {
            Ok(Outcome::Payment(outcome)) => {
                let order_no = outcome.order_no.to_string();
                let body = match outcome.result {
                    PaymentResult::Paid => json!({ "result": "paid", "order_no": order_no }),
                    PaymentResult::RefundRequired(reason) => {
                        json!({ "result": "refund_required", "reason": reason.name(), "order_no": order_no })
                    }
                };
                Answer::json(200, None, &body)
            }
            Ok(Outcome::Refund(receipt)) => {
                let (refund_no, state) = (receipt.refund_no.to_string(), receipt.state.name());
                Answer::json(
                    200,
                    None,
                    &json!({ "result": "refund", "refund_no": refund_no, "state": state }),
                )
            }
            Ok(Outcome::Nothing) => Answer::json(200, None, &json!({ "result": "nothing" })),
            Err(failure) => {
                let body = json!({ "code": failure.code(), "message": failure.to_string() });
                Answer::json(failure.status(), failure.retry_after_s(), &body)
            }
        }
    }
}

/// What a body says.
fn read(mut fields: Fields) -> Result<Notification, CallbackError> {
    match fields.optional("kind")?.as_deref() {
        None | Some("paid") => Ok(Notification::Paid(PaidNotice {
            order: order_name(&mut fields)?,
            channel: fields.text("channel")?,
            merchant: fields.id("merchant")?,
            transaction_id: fields.id("transaction_id")?,
            amount: Money::from_minor(fields.amount("amount")?),
        })),
        Some("refund_finished") => {
            let provider_refund_id = fields.id("provider_refund_id")?;
            let step = RefundStep::Finished { provider_refund_id };
            Ok(Notification::Refund { refund_no: refund_no(&mut fields)?, step })
        }
        Some("refund_failed") => {
            let step = RefundStep::Failed { reason: fields.text("reason")? };
            Ok(Notification::Refund { refund_no: refund_no(&mut fields)?, step })
        }
        Some(_) => Err(malformed("kind", "paid, refund_finished or refund_failed")),
    }
}

/// The order, by exactly one of its names.
fn order_name(fields: &mut Fields) -> Result<OrderName, CallbackError> {
    let order_no = fields.optional_id("order_no")?;
    let pay_no = fields.optional("pay_no")?;
    let external_no = fields.optional_id("external_no")?;
    match (order_no, pay_no, external_no) {
        (Some(order_no), None, None) => {
            let order_no = order_no.parse().map_err(|_| malformed("order_no", "an order number"))?;
            Ok(OrderName::Number(order_no))
        }
        (None, Some(pay_no), None) => {
            let pay_no = pay_no.parse::<PayNo>().map_err(|_| malformed("pay_no", "a payment number"))?;
            Ok(pay_no.into())
        }
        (None, None, Some(external_no)) => Ok(OrderName::External(external_no)),
        _ => Err(malformed("order_no", "given, or else pay_no or external_no, and only one of them")),
    }
}

fn refund_no(fields: &mut Fields) -> Result<RefundNo, CallbackError> {
    fields.text("refund_no")?.parse().map_err(|_| malformed("refund_no", "a refund number"))
}

/// Signs a body as a sender does.
#[cfg(test)]
pub(super) fn sign(secret: &Secret, timestamp: &str, body: &[u8]) -> String {
    let bytes = mac(secret, timestamp, body).unwrap().finalize().into_bytes();
    let digits: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    format!("v1={digits}")
}
