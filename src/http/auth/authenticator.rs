//! From an `Authorization` header to a principal: the token's way through cache, keys and rules.

use super::cache::Cache;
use super::config::{AuthConfig, AuthConfigError};
use super::keys::Keys;
use super::principal::Principal;
use super::tokens::{self, AuthError, Rules};

/// Verifies tokens.
///
/// Stands behind an `Arc` and is replaced as a whole when the configuration is read anew: keys, rules and what was
/// remembered under them go together, so that a token of a removed key is refused from the next request on.
///
/// **Cost.** For a token's first request one HMAC and two small JSON documents to read, some fifty (EdDSA) to hundreds
/// (RS256) of times as much where the key is public; a look-up in memory for each further one.
#[derive(Debug)]
pub struct Authenticator {
    keys: Keys,
    rules: Rules,
    /// Also for shared secrets: a member asks several times, for prices, stock, the order and its result, and what an HMAC
    /// and two JSON documents cost is the dearest part of letting a request in.
    cache: Cache,
}

impl Authenticator {
    /// Reads the keys, and starts with nothing remembered. Blocks on the keys' files.
    ///
    /// # Errors
    /// [`AuthConfigError`] for a key that can't be read or is too weak, and for a bound exceeded.
    pub fn load(config: &AuthConfig) -> Result<Self, AuthConfigError> {
        Self::new(Keys::load(&config.keys)?, config)
    }

    /// Like [`Authenticator::load`], with these keys in place of those that the configuration names.
    ///
    /// # Errors
    /// [`AuthConfigError`] for a bound exceeded.
    pub fn new(keys: Keys, config: &AuthConfig) -> Result<Self, AuthConfigError> {
        config.check()?;
        let rules = Rules {
            issuer: config.issuer.clone(),
            audience: config.audience.clone(),
            leeway_ms: config.leeway_ms,
        };
        let cache = Cache::new(config.tokens_cached_max);
        Ok(Self { keys, rules, cache })
    }

    /// Who calls, by the value of the request's one `Authorization` header. `None` without a header: whether anybody
    /// is needed is the [route's](super::access) matter. `now_ms` is the engine's clock, in ms since the Unix epoch.
    ///
    /// # Errors
    /// [`AuthError`] for a header that is there and isn't good, also on a route that needs none.
    pub fn authenticate(
        &self,
        authorization: Option<&str>,
        now_ms: u64,
    ) -> Result<Option<Principal>, AuthError> {
        let Some(authorization) = authorization else { return Ok(None) };
        let token = tokens::bearer(authorization)?;
        if let Some(principal) = self.cache.find(token, now_ms, self.rules.leeway_ms)? {
            return Ok(Some(principal));
        }
        let verified = tokens::verify(token, &self.keys, &self.rules, now_ms)?;
        self.cache.insert(token, &verified.principal, verified.validity, now_ms, self.rules.leeway_ms);
        Ok(Some(verified.principal))
    }

    /// How many tokens are remembered.
    #[cfg(test)]
    pub(super) fn cached(&self) -> usize {
        self.cache.len()
    }
}
