//! JSON Web Tokens: from the text of a token to who it speaks for, or to the reason why it speaks for nobody.
//!
//! The order of the checks is fixed: shape, key, signature, and only then what the claims say; nothing that isn't signed
//! decides anything but which key to try. The signatures themselves are `jsonwebtoken`'s; headers and claims are read here,
//! because its own checks read the system clock, and read each part of the token twice. Errors never repeat the token.

use std::borrow::Cow;
use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::de::{IgnoredAny, SeqAccess, Unexpected, Visitor};
use serde::{Deserialize, Deserializer, Serialize};

use super::keys::Keys;
use super::principal::{Grants, Principal};
use crate::domain::ids::MemberId;

/// Longest token, in bytes.
pub const TOKEN_BYTES_MAX: usize = 8 * 1024;
/// Longest name of a service or operator, in bytes.
pub const NAME_BYTES_MAX: usize = 64;

/// Why a token was not taken. None of them repeats a part of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
#[non_exhaustive]
pub enum AuthError {
    /// There is none.
    #[error("a token is needed: authorization: bearer …")]
    Missing,
    /// It isn't a token.
    #[error("the authorization is not a bearer token, or longer than {TOKEN_BYTES_MAX} bytes")]
    Malformed,
    /// Its time is over: another is needed.
    #[error("the token has expired")]
    Expired,
    /// Its time has not come.
    #[error("the token is not valid yet")]
    NotYetValid,
    /// No key of that id and algorithm is in force.
    #[error("the token names no key that is in force")]
    KeyUnknown,
    /// Somebody else has signed it, or it was changed.
    #[error("the token's signature is not valid")]
    SignatureInvalid,
    /// What it says is incomplete, or meant for others.
    #[error("the token's claims are incomplete or meant for others")]
    ClaimsInvalid,
}

impl AuthError {
    /// All of them, for the documentation of the interface.
    pub const ALL: [Self; 7] = [
        Self::Missing,
        Self::Malformed,
        Self::Expired,
        Self::NotYetValid,
        Self::KeyUnknown,
        Self::SignatureInvalid,
        Self::ClaimsInvalid,
    ];

    /// The stable code.
    pub const fn code(self) -> &'static str {
        match self {
            Self::Missing => "token_missing",
            Self::Malformed => "token_malformed",
            Self::Expired => "token_expired",
            Self::NotYetValid => "token_not_yet_valid",
            Self::KeyUnknown => "key_unknown",
            Self::SignatureInvalid => "signature_invalid",
            Self::ClaimsInvalid => "claims_invalid",
        }
    }
}

/// What kind of caller a token speaks for: its claim `role`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// A buyer; `sub` is their id, decimal.
    Member,
    /// A service of the shop; `sub` is its name, `scopes` says which subscriptions of the relay it may poll.
    Service,
    /// Somebody in the back office; `sub` is their name, `scopes` says what they may do.
    Admin,
}

/// What the configuration asks of every token.
#[derive(Clone, Debug, Default)]
pub(super) struct Rules {
    pub(super) issuer: Option<String>,
    pub(super) audience: Option<String>,
    pub(super) leeway_ms: u64,
}

/// The time in which a token is good, both in ms since the Unix epoch, leeway not counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Validity {
    /// The first instant.
    pub(super) from_ms: u64,
    /// The first instant at which it is good no more.
    pub(super) until_ms: u64,
}

impl Validity {
    pub(super) fn check(self, now_ms: u64, leeway_ms: u64) -> Result<(), AuthError> {
        if self.is_over(now_ms, leeway_ms) {
            Err(AuthError::Expired)
        } else if now_ms.saturating_add(leeway_ms) < self.from_ms {
            Err(AuthError::NotYetValid)
        } else {
            Ok(())
        }
    }

    pub(super) fn is_over(self, now_ms: u64, leeway_ms: u64) -> bool {
        self.until_ms.saturating_add(leeway_ms) <= now_ms
    }
}

/// A token that was verified.
#[derive(Clone, Debug)]
pub(super) struct Verified {
    pub(super) principal: Principal,
    pub(super) validity: Validity,
}

/// The token in the value of an `Authorization` header.
///
/// # Errors
/// [`AuthError::Missing`] if nothing follows the scheme, [`AuthError::Malformed`] for another scheme or a token that is
/// too long.
pub(super) fn bearer(authorization: &str) -> Result<&str, AuthError> {
    let (scheme, token) = authorization.split_once(' ').unwrap_or((authorization, ""));
    if !scheme.eq_ignore_ascii_case("bearer") {
        return Err(AuthError::Malformed);
    }
    match token.trim_matches(' ') {
        "" => Err(AuthError::Missing),
        token if token.len() > TOKEN_BYTES_MAX => Err(AuthError::Malformed),
        token => Ok(token),
    }
}

/// Verifies a token of at most [`TOKEN_BYTES_MAX`] bytes.
pub(super) fn verify(token: &str, keys: &Keys, rules: &Rules, now_ms: u64) -> Result<Verified, AuthError> {
    let (message, signature) = token.rsplit_once('.').ok_or(AuthError::Malformed)?;
    let (header, payload) = message.split_once('.').ok_or(AuthError::Malformed)?;
    // A dot more makes it an encrypted token, or none at all; base64 has none.
    let header = decode(header)?;
    let payload = decode(payload)?;
    let header: Header<'_> = serde_json::from_slice(&header).map_err(|_| AuthError::Malformed)?;
    // Extensions that a reader must understand, and we understand none (RFC 7515, 4.1.11).
    if header.crit.is_some() {
        return Err(AuthError::Malformed);
    }
    let key = keys.find(header.kid.as_deref()).filter(|key| key.is_for(&header.alg));
    let key = key.ok_or(AuthError::KeyUnknown)?;
    if !key.verifies(message.as_bytes(), signature) {
        return Err(AuthError::SignatureInvalid);
    }
    let claims: Claims<'_> = serde_json::from_slice(&payload).map_err(|_| AuthError::ClaimsInvalid)?;
    let validity = claims.validity();
    validity.check(now_ms, rules.leeway_ms)?;
    if !claims.are_for(rules) {
        return Err(AuthError::ClaimsInvalid);
    }
    let principal = claims.principal().ok_or(AuthError::ClaimsInvalid)?;
    Ok(Verified { principal, validity })
}

fn decode(part: &str) -> Result<Vec<u8>, AuthError> {
    // Strict: one text has one encoding, so that no second form of a token passes for another token.
    URL_SAFE_NO_PAD.decode(part).map_err(|_| AuthError::Malformed)
}

/// What is read of a token's first part. Not signed when it is read: it only says which key to try.
#[derive(Deserialize)]
struct Header<'a> {
    #[serde(borrow)]
    alg: Cow<'a, str>,
    #[serde(borrow, default)]
    kid: Option<Cow<'a, str>>,
    #[serde(default)]
    crit: Option<IgnoredAny>,
}

/// What is read of a token's second part.
#[derive(Deserialize)]
struct Claims<'a> {
    #[serde(borrow)]
    sub: Cow<'a, str>,
    role: Role,
    exp: NumericDate,
    #[serde(default)]
    nbf: Option<NumericDate>,
    #[serde(borrow, default)]
    iss: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    aud: Option<Audience<'a>>,
    #[serde(default)]
    scopes: Option<Grants>,
}

impl Claims<'_> {
    fn validity(&self) -> Validity {
        Validity { from_ms: self.nbf.as_ref().map_or(0, |nbf| nbf.0), until_ms: self.exp.0 }
    }

    /// Whether issuer and audience are those that are asked for.
    fn are_for(&self, rules: &Rules) -> bool {
        let issued = rules.issuer.is_none() || rules.issuer.as_deref() == self.iss.as_deref();
        let meant = match (&rules.audience, &self.aud) {
            (None, None) => true,
            (Some(ours), Some(audience)) => audience.0.iter().any(|name| name == ours),
            // A token with an audience is for nobody outside it (RFC 7519, 4.1.3).
            (None, Some(_)) | (Some(_), None) => false,
        };
        issued && meant
    }

    fn principal(self) -> Option<Principal> {
        let Grants { scopes, relays } = self.scopes.unwrap_or_default();
        match self.role {
            Role::Member => member(&self.sub).map(Principal::Member),
            Role::Service => {
                is_name(&self.sub).then(|| Principal::Service { name: (*self.sub).into(), relays })
            }
            Role::Admin => {
                is_name(&self.sub).then(|| Principal::Admin { operator: (*self.sub).into(), scopes })
            }
        }
    }
}

/// A member's id in its one decimal form, so that one member has one `sub`.
fn member(sub: &str) -> Option<MemberId> {
    let is_canonical = sub.bytes().all(|byte| byte.is_ascii_digit()) && (sub == "0" || !sub.starts_with('0'));
    if is_canonical { sub.parse().ok().map(MemberId) } else { None }
}

fn is_name(sub: &str) -> bool {
    (1..=NAME_BYTES_MAX).contains(&sub.len()) && sub.bytes().all(|byte| byte.is_ascii_graphic())
}

/// An instant: in a token as seconds since the Unix epoch, here as ms.
struct NumericDate(u64);

impl<'de> Deserialize<'de> for NumericDate {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(NumericDateVisitor)
    }
}

struct NumericDateVisitor;

impl Visitor<'_> for NumericDateVisitor {
    type Value = NumericDate;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("seconds since the Unix epoch")
    }

    fn visit_u64<E: serde::de::Error>(self, seconds: u64) -> Result<NumericDate, E> {
        let overflow = || E::invalid_value(Unexpected::Unsigned(seconds), &self);
        seconds.checked_mul(1_000).map(NumericDate).ok_or_else(overflow)
    }

    fn visit_f64<E: serde::de::Error>(self, seconds: f64) -> Result<NumericDate, E> {
        // The standard allows fractions, and some issuers write 1e9. Up to 2^43 s the product is exact enough for ms.
        if (0.0..8.8e12).contains(&seconds) {
            Ok(NumericDate((seconds * 1_000.0) as u64))
        } else {
            Err(E::invalid_value(Unexpected::Float(seconds), &self))
        }
    }
}

/// Whom a token is meant for: in a token one name or a list of them.
struct Audience<'a>(Vec<Cow<'a, str>>);

impl<'de: 'a, 'a> Deserialize<'de> for Audience<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(AudienceVisitor)
    }
}

struct AudienceVisitor;

impl<'de> Visitor<'de> for AudienceVisitor {
    type Value = Audience<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("one audience or a list of them")
    }

    fn visit_borrowed_str<E: serde::de::Error>(self, name: &'de str) -> Result<Audience<'de>, E> {
        Ok(Audience(vec![Cow::Borrowed(name)]))
    }

    fn visit_str<E: serde::de::Error>(self, name: &str) -> Result<Audience<'de>, E> {
        Ok(Audience(vec![Cow::Owned(name.to_owned())]))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut names: A) -> Result<Audience<'de>, A::Error> {
        let mut audience = Vec::new();
        while let Some(name) = names.next_element()? {
            audience.push(name);
        }
        Ok(Audience(audience))
    }
}
