//! Load control: who may ask how often, and how much may be under way at a time.
//!
//! Plain parts without a router: [`ClientAddress`] says who asks, [`RateLimits`] how often each
//! member and each address may, [`InFlight`] how much runs at a time. The routes ask them before they do any work, so
//! that refusing stays cheap. The engine bounds itself once more behind them; its bounds are about memory, these about
//! fairness.

pub mod guard;
pub mod in_flight;
pub mod peer;
pub mod rate;
mod table;

pub use guard::Guard;
pub use in_flight::{Class, Full, InFlight, Permit};
pub use peer::{AddressKey, ClientAddress, TrustedProxies};
pub use rate::{RateConfig, RateLimits, Refused, Subject};

/// Most bytes of a JSON request's body, unless configured otherwise. Batches and the lines of streams have bounds of their
/// own, beside their routes.
pub const JSON_BYTES_MAX: usize = 64 << 10;
