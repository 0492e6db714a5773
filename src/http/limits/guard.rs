//! All limits of a request together, in the order in which they are asked.
//!
//! [`context`](crate::http::context) asks them: first, before the
//! token costs a signature check, whether there is room and whether the address may; then, once it knows the member,
//! whether the member may.

use std::net::IpAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use axum::extract::Request;
use axum::http::StatusCode;

use super::in_flight::{Class, Full, InFlight, Permit};
use super::peer::{ClientAddress, TrustedProxies};
use super::rate::{RateLimits, Refused, Subject};
use crate::domain::ids::MemberId;
use crate::http::config::HttpConfig;
use crate::http::problem::Problem;
use crate::http::server::Peer;
use crate::runtime::clock::Clock;

/// Most bytes of a JSON body, for the extractor: an extension of a request.
#[derive(Clone, Copy, Debug)]
pub struct BodyBytesMax(pub usize);

/// The limits of all requests. Cheap to clone; replaced while it is used.
#[derive(Clone, Debug)]
pub struct Guard {
    rates: RateLimits,
    in_flight: InFlight,
    networks: Arc<RwLock<(TrustedProxies, BodyBytesMax)>>,
    refusal_delay_ms: Arc<AtomicU64>,
}

impl Guard {
    /// Limits as configured, by this clock's monotonic time.
    pub fn new(config: &HttpConfig, clock: Clock) -> Self {
        Self {
            rates: RateLimits::new(config.limits.rates(), clock),
            in_flight: InFlight::new(config.server.in_flight_max, config.server.in_flight_reserve),
            networks: Arc::new(RwLock::new(networks(config))),
            refusal_delay_ms: Arc::new(AtomicU64::new(config.server.refusal_delay_ms)),
        }
    }

    /// Sets other limits, for requests from now on.
    pub fn replace(&self, config: &HttpConfig) {
        self.rates.replace(config.limits.rates());
        self.in_flight.replace(config.server.in_flight_max, config.server.in_flight_reserve);
        *self.networks.write().unwrap_or_else(PoisonError::into_inner) = networks(config);
        self.refusal_delay_ms.store(config.server.refusal_delay_ms, Ordering::Relaxed);
    }

    /// How long an answer waits that refuses a request for load. A refusal costs about as much as it takes to read the
    /// request; sent at once, it is asked for again at once, and the server would be busy refusing.
    pub fn refusal_delay(&self) -> Duration {
        Duration::from_millis(self.refusal_delay_ms.load(Ordering::Relaxed))
    }

    /// Requests under way, ordinary and in the reserve.
    pub fn in_flight(&self) -> (usize, usize) {
        self.in_flight.now()
    }

    /// Lets a request begin, and notes its client's address among its extensions.
    ///
    /// Callbacks and health count towards no address: providers call from few, and none of their calls may be missed
    /// because of a neighbour.
    ///
    /// # Errors
    /// `overloaded` (503) where there is no room, `rate_limited` (429) where the address asks too often.
    pub fn enter(&self, request: &mut Request) -> Result<Permit, Problem> {
        let path = request.uri().path();
        let class = class_of(path);
        let is_free = is_free(path);
        let permit = self.in_flight.enter(class).map_err(Problem::from)?;
        let networks = self.networks.read().unwrap_or_else(PoisonError::into_inner);
        let (proxies, body_bytes_max) = &*networks;
        let peer = request.extensions().get::<Peer>().map(|Peer(peer)| *peer);
        let client = peer.map(|peer: IpAddr| proxies.client(peer, request.headers()));
        request.extensions_mut().insert(*body_bytes_max);
        if let Some(client) = client {
            request.extensions_mut().insert::<ClientAddress>(client);
            if !is_free && !proxies.is_exempt(client) {
                self.rates.check_address(client.key())?;
            }
        }
        Ok(permit)
    }

    /// Takes a token of the address of a request that has begun, unless it is exempt.
    ///
    /// # Errors
    /// `rate_limited` (429).
    pub fn check_address(&self, request: &Request) -> Result<(), Problem> {
        let Some(client) = request.extensions().get::<ClientAddress>() else { return Ok(()) };
        let networks = self.networks.read().unwrap_or_else(PoisonError::into_inner);
        if networks.0.is_exempt(*client) { Ok(()) } else { Ok(self.rates.check_address(client.key())?) }
    }

    /// Takes a token of this member.
    ///
    /// # Errors
    /// `rate_limited` (429).
    pub fn check_member(&self, member: MemberId) -> Result<(), Problem> {
        Ok(self.rates.check_member(member)?)
    }
}

fn networks(config: &HttpConfig) -> (TrustedProxies, BodyBytesMax) {
    (config.trusted_proxies(), BodyBytesMax(config.server.body_bytes_max))
}

/// Whether no limit by address holds for a path, or none before the caller is known.
fn is_free(path: &str) -> bool {
    is_vital(path) || path.starts_with("/gateway/")
}

fn is_vital(path: &str) -> bool {
    path.starts_with("/callback/") || matches!(path, "/healthz" | "/readyz" | "/metrics")
}

fn class_of(path: &str) -> Class {
    if is_vital(path) || path.starts_with("/admin/") { Class::Vital } else { Class::Ordinary }
}

impl From<Full> for Problem {
    fn from(full: Full) -> Self {
        let chinese = format!("处理中的请求已达上限 {}，请稍后再试", full.in_flight_max);
        let wait_ms = u32::try_from(Full::RETRY_AFTER_MS).unwrap_or(u32::MAX);
        Self::new(StatusCode::SERVICE_UNAVAILABLE, "overloaded", full.to_string(), chinese)
            .retry_after_ms(wait_ms)
    }
}

impl From<Refused> for Problem {
    fn from(refused: Refused) -> Self {
        let (english, chinese) = match refused.subject {
            Subject::Member => ("too many requests from this member", "该会员请求过于频繁，请稍后再试"),
            Subject::Address => ("too many requests from this address", "该地址请求过于频繁，请稍后再试"),
        };
        let wait_ms = u32::try_from(refused.retry_after_ms).unwrap_or(u32::MAX);
        Self::new(StatusCode::TOO_MANY_REQUESTS, "rate_limited", english, chinese).retry_after_ms(wait_ms)
    }
}
