//! Tokens of our own making, for demonstrations, load tests and the tests of the routes.
//!
//! In a shop its identity provider issues them; nothing that serves requests calls this.

use jsonwebtoken::{Algorithm, EncodingKey, Header};
use serde::Serialize;

use super::principal::Scopes;
use super::tokens::Role;

#[derive(Serialize)]
struct Claims<'a, S> {
    sub: &'a str,
    role: Role,
    scopes: S,
    exp: u64,
}

/// A token signed with a shared secret: who (`sub`: a member's decimal id, or a name), as what, with which scopes, and
/// until when, in ms since the Unix epoch, rounded down to whole seconds.
pub fn mint_hs256(secret: &[u8], kid: &str, sub: &str, role: Role, scopes: Scopes, exp_ms: u64) -> String {
    signed(secret, kid, Claims { sub, role, scopes, exp: exp_ms / 1_000 })
}

/// The same for a service that may poll these subscriptions of the relay; `*` is all of them.
pub fn mint_service_hs256(secret: &[u8], kid: &str, sub: &str, relays: &[&str], exp_ms: u64) -> String {
    let scopes: Vec<_> = relays.iter().map(|name| format!("relay:{name}")).collect();
    signed(secret, kid, Claims { sub, role: Role::Service, scopes, exp: exp_ms / 1_000 })
}

fn signed(secret: &[u8], kid: &str, claims: Claims<'_, impl Serialize>) -> String {
    let header = Header { kid: Some(kid.to_owned()), ..Header::new(Algorithm::HS256) };
    jsonwebtoken::encode(&header, &claims, &EncodingKey::from_secret(secret))
        .expect("text and numbers can be written as json, and hmac takes a key of any length")
}
