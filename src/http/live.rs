//! What is in force of the configuration, and is replaced while the server runs: keys, providers and limits.
//!
//! A new configuration is read completely before any of it holds, so a bad one changes nothing.

use std::sync::{Arc, PoisonError, RwLock};

use axum::http::StatusCode;

use super::auth::keys::Keys;
use super::auth::ticket::{TicketConfigError, TicketError, TicketOffice};
use super::auth::{AuthConfigError, AuthError, Authenticator};
use super::callback::{Provider, ProviderError, Providers};
use super::config::HttpConfig;
use super::limits::Guard;
use super::problem::Problem;
use crate::runtime::clock::{Clock, STEP_MAX_MS_DEFAULT};

/// Why a configuration can't be put in force.
#[derive(Debug, thiserror::Error)]
pub enum LiveError {
    /// Its keys.
    #[error("[auth]")]
    Auth(#[from] AuthConfigError),
    /// Its ticket keys.
    #[error("[tickets]")]
    Tickets(#[from] TicketConfigError),
    /// Its payment providers.
    #[error("[callback]")]
    Callback(#[from] ProviderError),
}

/// Keys and providers of one configuration.
#[derive(Debug)]
pub struct InForce {
    /// Verifies tokens.
    pub authenticator: Authenticator,
    /// Checks sale tickets.
    pub tickets: TicketOffice,
    /// Takes payment notifications.
    pub providers: Providers,
}

impl InForce {
    fn load(
        config: &HttpConfig,
        keys: Option<Keys>,
        tickets: Option<&TicketOffice>,
    ) -> Result<Self, LiveError> {
        Ok(Self {
            authenticator: match keys {
                Some(keys) => Authenticator::new(keys, &config.auth)?,
                None => Authenticator::load(&config.auth)?,
            },
            // Tickets that were used stay used.
            tickets: match tickets {
                Some(office) => office.reload(&config.tickets)?,
                None => TicketOffice::load(&config.tickets)?,
            },
            providers: config.callback.open()?,
        })
    }
}

/// The adapter's configuration in force. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Live {
    in_force: Arc<RwLock<Arc<InForce>>>,
    guard: Guard,
}

impl Live {
    /// Reads the keys, and sets the limits up. Blocks on the keys' files.
    ///
    /// # Errors
    /// A key that can't be read or is too weak, a bound exceeded.
    pub fn load(config: &HttpConfig) -> Result<Self, LiveError> {
        Ok(Self::with(config, InForce::load(config, None, None)?))
    }

    /// The same, with these keys in place of those that the configuration names.
    ///
    /// # Errors
    /// A bound exceeded.
    pub fn with_keys(config: &HttpConfig, keys: Keys) -> Result<Self, LiveError> {
        Ok(Self::with(config, InForce::load(config, Some(keys), None)?))
    }

    /// The same, with one more provider.
    ///
    /// # Errors
    /// A bound exceeded, a provider of that name already.
    pub fn with_keys_and_provider(
        config: &HttpConfig,
        keys: Keys,
        provider: Box<dyn Provider>,
    ) -> Result<Self, LiveError> {
        let mut in_force = InForce::load(config, Some(keys), None)?;
        in_force.providers.add(provider)?;
        Ok(Self::with(config, in_force))
    }

    fn with(config: &HttpConfig, in_force: InForce) -> Self {
        Self {
            in_force: Arc::new(RwLock::new(Arc::new(in_force))),
            guard: Guard::new(config, Clock::system(STEP_MAX_MS_DEFAULT)),
        }
    }

    /// The same, with its limits by another clock's monotonic time.
    #[must_use]
    pub fn by_clock(mut self, config: &HttpConfig, clock: Clock) -> Self {
        self.guard = Guard::new(config, clock);
        self
    }

    /// Puts keys, providers and limits of another configuration in force, for requests from now on. Blocks on the keys'
    /// files.
    ///
    /// # Errors
    /// As [`Live::load`]; then everything stays as it was.
    pub fn reload(&self, config: &HttpConfig) -> Result<(), LiveError> {
        let in_force = InForce::load(config, None, Some(&self.now().tickets))?;
        *self.in_force.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(in_force);
        self.reload_limits(config);
        Ok(())
    }

    /// Puts the limits alone in force.
    pub fn reload_limits(&self, config: &HttpConfig) {
        self.guard.replace(config);
    }

    /// What is in force at this moment.
    pub fn now(&self) -> Arc<InForce> {
        self.in_force.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The limits.
    pub fn guard(&self) -> &Guard {
        &self.guard
    }
}

impl From<AuthError> for Problem {
    fn from(error: AuthError) -> Self {
        let chinese = match error {
            AuthError::Missing => "缺少访问令牌：请发送 authorization: Bearer …",
            AuthError::Malformed => "authorization 不是 Bearer 令牌，或者过长",
            AuthError::Expired => "令牌已过期",
            AuthError::NotYetValid => "令牌尚未生效",
            AuthError::KeyUnknown => "令牌的密钥无效",
            AuthError::SignatureInvalid => "令牌的签名无效",
            AuthError::ClaimsInvalid => "令牌的声明不完整，或者不是给本服务的",
        };
        Self::new(StatusCode::UNAUTHORIZED, error.code(), error.to_string(), chinese)
    }
}

impl From<TicketError> for Problem {
    fn from(error: TicketError) -> Self {
        let chinese = match error {
            TicketError::Required => "该活动需要入场凭证",
            TicketError::Invalid => "入场凭证无效",
            TicketError::Expired => "入场凭证已过期",
            TicketError::NotYours => "入场凭证不属于该会员或活动",
            TicketError::Used => "入场凭证已被其他请求使用",
            TicketError::OfficeFull => "使用中的入场凭证过多，请稍后再试",
        };
        if error.is_retryable() {
            let status = StatusCode::SERVICE_UNAVAILABLE;
            return Self::new(status, error.code(), error.to_string(), chinese).retry_after_ms(1_000);
        }
        Self::new(StatusCode::FORBIDDEN, error.code(), error.to_string(), chinese).field("ticket")
    }
}
