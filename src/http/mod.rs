//! The HTTP adapter: a shop's front end, back office and application servers speak JSON with the engine through it.
//!
//! It parses, authenticates, limits, calls one method of [`Engine`](crate::Engine) and shows the answer; it decides nothing
//! about orders. The only place that knows axum and JSON bodies.

pub mod auth;
pub mod callback;
pub mod personal;
pub mod secret;
