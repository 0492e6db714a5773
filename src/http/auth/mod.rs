//! Who calls, and what they may do: tokens and the keys that sign them, principals, the access that each route asks for,
//! and the tickets that admit a member to a sale.
//!
//! First of all that happens to a request after its size was looked at. It knows nothing of HTTP types: it is handed a
//! header's text and a matched route, and answers with a principal or with an error that has a stable code. Time is
//! handed to it as well, by whoever has the engine's clock.

pub mod access;
mod authenticator;
mod cache;
pub mod config;
pub mod keys;
pub mod mint;
pub mod principal;
#[cfg(test)]
mod tests;
pub mod ticket;
pub mod tokens;

pub use access::{Access, Denied};
pub use authenticator::Authenticator;
pub use config::{AuthConfig, AuthConfigError};
pub use principal::{Grants, Principal, Relays, Scope, Scopes};
pub use ticket::{Admission, TicketConfig, TicketError, TicketOffice};
pub use tokens::{AuthError, Role};
