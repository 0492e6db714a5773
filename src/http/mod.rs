//! The HTTP adapter: a shop's front end, back office and application servers speak JSON with the engine through it.
//!
//! It parses, authenticates, limits, calls one method of [`Engine`](crate::Engine) and shows the answer; it decides nothing
//! about orders. The only place that knows axum and JSON bodies.
//!
//! | module | what it does |
//! |---|---|
//! | [`context`] | the layer around every route: who asks, whether they may, how a refusal reads |
//! | [`auth`] | tokens, roles and scopes, sale tickets |
//! | [`json`] | bodies, queries, ids |
//! | [`problem`] | refusals as RFC 9457 problem details |
//! | [`admin`] | the back office |
//! | [`export`] | orders as files |
//! | [`member`] | what a shop's front end calls |
//! | [`gateway`] | what a shop's application servers call |
//! | `search` | what lists of orders share where they are searched |
//! | [`view`] | orders and refunds as JSON |
//! | [`callback`] | notifications of payment providers |
//! | [`limits`] | how often members and addresses may ask, how much is under way |
//! | [`live`] | what is in force of the configuration, and can be replaced |
//! | [`server`] | the accept loop: connections, deadlines, the end |
//! | [`observe`] | metrics, health, recent refusals |
//! | [`router`](mod@router) | all routes, and their OpenAPI description |

pub mod admin;
pub mod auth;
pub mod callback;
pub mod caller;
pub mod config;
pub mod context;
pub mod cors;
pub mod export;
pub mod gateway;
pub mod json;
pub mod language;
pub mod limits;
pub mod live;
pub mod member;
pub mod observe;
pub mod openapi;
pub mod problem;
pub mod router;
mod search;
pub mod secret;
pub mod server;
pub mod state;
pub mod status;
pub mod view;

pub use live::Live;
pub use router::{router, routes};
pub use state::App;
