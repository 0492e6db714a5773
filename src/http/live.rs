//! What is in force of the configuration, and is replaced while the server runs: keys and limits.
//!
//! A new configuration is read completely before any of it holds, so a bad one changes nothing.

use std::sync::{Arc, PoisonError, RwLock};

use axum::Router;
use axum::http::StatusCode;

use super::auth::keys::Keys;
use super::auth::{AuthConfigError, AuthError, Authenticator};
use super::config::HttpConfig;
use super::limits::Guard;
use super::problem::Problem;
use super::router::router;
use super::state::App;
use crate::Engine;
use crate::runtime::clock::{Clock, STEP_MAX_MS_DEFAULT};

/// The adapter's configuration in force. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Live {
    authenticator: Arc<RwLock<Arc<Authenticator>>>,
    guard: Guard,
}

impl Live {
    /// Reads the keys, and sets the limits up. Blocks on the keys' files.
    ///
    /// # Errors
    /// A key that can't be read or is too weak, a bound exceeded.
    pub fn load(config: &HttpConfig) -> Result<Self, AuthConfigError> {
        Ok(Self::with(config, Authenticator::load(&config.auth)?))
    }

    /// The same, with these keys in place of those that the configuration names.
    ///
    /// # Errors
    /// A bound exceeded.
    pub fn with_keys(config: &HttpConfig, keys: Keys) -> Result<Self, AuthConfigError> {
        Ok(Self::with(config, Authenticator::new(keys, &config.auth)?))
    }

    fn with(config: &HttpConfig, authenticator: Authenticator) -> Self {
        Self {
            authenticator: Arc::new(RwLock::new(Arc::new(authenticator))),
            guard: Guard::new(config, Clock::system(STEP_MAX_MS_DEFAULT)),
        }
    }

    /// Puts keys and limits of another configuration in force, for requests from now on. Blocks on the keys' files.
    ///
    /// # Errors
    /// As [`Live::load`]; then everything stays as it was.
    pub fn reload(&self, config: &HttpConfig) -> Result<(), AuthConfigError> {
        let authenticator = Arc::new(Authenticator::load(&config.auth)?);
        *self.authenticator.write().unwrap_or_else(PoisonError::into_inner) = authenticator;
        self.reload_limits(config);
        Ok(())
    }

    /// Puts the limits alone in force.
    pub fn reload_limits(&self, config: &HttpConfig) {
        self.guard.replace(config);
    }

    /// All routes of an engine, under these keys and limits.
    pub fn router(&self, engine: Engine) -> Router {
        let authenticator = self.authenticator.clone();
        let authenticate = move |authorization: Option<&str>, now_ms: u64| {
            let authenticator = authenticator.read().unwrap_or_else(PoisonError::into_inner).clone();
            authenticator.authenticate(authorization, now_ms).map_err(problem)
        };
        let (router, _) = router(App::new(engine, Box::new(authenticate)));
        self.guard.clone().around(router)
    }
}

fn problem(error: AuthError) -> Problem {
    let chinese = match error {
        AuthError::Missing => "缺少访问令牌：请发送 authorization: Bearer …",
        AuthError::Malformed => "authorization 不是 Bearer 令牌，或者过长",
        AuthError::Expired => "令牌已过期",
        AuthError::NotYetValid => "令牌尚未生效",
        AuthError::KeyUnknown => "令牌的密钥无效",
        AuthError::SignatureInvalid => "令牌的签名无效",
        AuthError::ClaimsInvalid => "令牌的声明不完整，或者不是给本服务的",
    };
    Problem::new(StatusCode::UNAUTHORIZED, error.code(), error.to_string(), chinese)
}
