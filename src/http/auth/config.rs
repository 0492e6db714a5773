//! How tokens are verified: the keys, what a token must say, and the bounds.

use serde::{Deserialize, Serialize};

use super::keys::{KeyConfig, KeyError};

/// Most that clocks may differ, in ms; more would let expired tokens live on.
pub const LEEWAY_MS_MAX: u64 = 120_000;
/// Most verified tokens that are remembered.
pub const TOKENS_CACHED_MAX: usize = 1 << 20;

/// How tokens are verified.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct AuthConfig {
    /// The keys, at most [`KEYS_MAX`](super::keys::KEYS_MAX). Two during a rotation: first the new key is added here,
    /// then it signs, then the old one goes when its last token has expired. Without a key no token is good.
    pub keys: Vec<KeyConfig>,
    /// Who must have issued a token (`iss`); anybody with a key by default.
    pub issuer: Option<String>,
    /// Whom a token must be meant for (`aud`). By default a token must be meant for nobody in particular: one with an
    /// audience is then for another application, whose key happens to be ours as well.
    pub audience: Option<String>,
    /// How far the issuer's clock may be from ours, in ms, up to [`LEEWAY_MS_MAX`].
    pub leeway_ms: u64,
    /// How many verified tokens are remembered, up to [`TOKENS_CACHED_MAX`]; 0 for none.
    pub tokens_cached_max: usize,
}

impl Default for AuthConfig {
    fn default() -> Self {
        Self { keys: Vec::new(), issuer: None, audience: None, leeway_ms: 30_000, tokens_cached_max: 8_192 }
    }
}

impl AuthConfig {
    /// Checks the bounds that stand in this file.
    pub(super) fn check(&self) -> Result<(), AuthConfigError> {
        if self.leeway_ms > LEEWAY_MS_MAX {
            return Err(AuthConfigError::Leeway { leeway_ms: self.leeway_ms });
        }
        if self.tokens_cached_max > TOKENS_CACHED_MAX {
            return Err(AuthConfigError::Cache { tokens_cached_max: self.tokens_cached_max });
        }
        Ok(())
    }
}

/// Why tokens can't be verified as configured. Changes nothing: what was loaded before stays in force.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AuthConfigError {
    /// A key is no good.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// The leeway is too long.
    #[error("leeway_ms is {leeway_ms}, at most {LEEWAY_MS_MAX} is allowed")]
    Leeway {
        /// What is configured.
        leeway_ms: u64,
    },
    /// Too many tokens are to be remembered.
    #[error("tokens_cached_max is {tokens_cached_max}, at most {TOKENS_CACHED_MAX} is allowed")]
    Cache {
        /// What is configured.
        tokens_cached_max: usize,
    },
}
