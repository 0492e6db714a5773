//! Notifications of payment providers: who sent them, what they say, and how they are answered.
//!
//! ```text
//! headers, body ─▶ Provider::verify ─▶ Notification ─▶ Engine::pay, Engine::report_refund ─▶ Provider::acknowledge
//!                    └── CallbackError ───────────────────────────── Reject ─────────────────▶ (Answer)
//! ```
//!
//! A notification is answered with success only after the engine has recorded it as durably as it is configured to: paid,
//! marked for refund, or known already. Whatever passes by itself is answered with 503, so that the provider sends it
//! again; what would be refused again is answered with 4xx. A notification that somebody else sends once more within the
//! replay window does no harm: money counts once for a channel, merchant and transaction id (R8), and a refund's end is
//! reported once.
//!
//! Nothing here decides about orders.

mod answer;
mod body;
mod error;
mod generic;
mod handle;
mod notification;
mod routes;
mod settings;
mod signature;
#[cfg(test)]
mod tests;
mod wechat;

pub use answer::Answer;
pub use error::{CallbackError, Failure, ProviderError};
pub use generic::{
    GenericProvider, SECRET_BYTES_MIN, SIGNATURE_HEADER, SIGNING_SECRETS_MAX, TIMESTAMP_HEADER,
};
pub use handle::{handle, take};
pub use notification::{Notification, OrderName, Outcome, PaidNotice};
pub use routes::routes;
pub use settings::{
    CallbackSettings, GenericSettings, PROVIDERS_MAX, Providers, PublicKeySettings, REPLAY_WINDOW_S_DEFAULT,
    REPLAY_WINDOW_S_MAX, WechatSettings,
};
pub use wechat::{WECHAT_KEYS_MAX, WechatProvider};

use axum::http::HeaderMap;

/// One way of being told about payments: a provider's own, or the generic one.
pub trait Provider: Send + Sync {
    /// The name by which its notifications are addressed: `/callback/payment/{name}`.
    fn name(&self) -> &str;

    /// Checks who sent a notification and when, and reads what it says. `now_ms` is the engine's time, in ms since the
    /// Unix epoch. Costs a signature check and no I/O.
    ///
    /// # Errors
    /// [`CallbackError`]; nothing was recorded.
    fn verify(&self, headers: &HeaderMap, body: &[u8], now_ms: u64) -> Result<Notification, CallbackError>;

    /// The answer in the provider's own form. A status of 2xx tells it not to send the notification again.
    fn acknowledge(&self, outcome: &Result<Outcome, Failure>) -> Answer;
}
