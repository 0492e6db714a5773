//! Tokens of our own making, for demonstrations, load tests and the tests of the routes.
//!
//! In a shop its identity provider issues them; nothing that serves requests calls this.

use jsonwebtoken::{Algorithm, EncodingKey, Header};
use serde::Serialize;

use super::principal::Scopes;
use super::tokens::Role;

#[derive(Serialize)]
struct Claims<'a> {
    sub: &'a str,
    role: Role,
    scopes: Scopes,
    exp: u64,
}

/// A token signed with a shared secret: who (`sub`: a member's decimal id, or a name), as what, with which scopes, and
/// until when, in ms since the Unix epoch, rounded down to whole seconds.
pub fn mint_hs256(secret: &[u8], kid: &str, sub: &str, role: Role, scopes: Scopes, exp_ms: u64) -> String {
    let header = Header { kid: Some(kid.to_owned()), ..Header::new(Algorithm::HS256) };
    let claims = Claims { sub, role, scopes, exp: exp_ms / 1_000 };
    jsonwebtoken::encode(&header, &claims, &EncodingKey::from_secret(secret))
        .expect("text and numbers can be written as json, and hmac takes a key of any length")
}
