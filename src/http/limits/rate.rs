//! Token buckets: how often each member and each address may ask.
//!
//! The arithmetic is governor's (the generic cell rate algorithm); the table behind it has a fixed size, and time comes
//! from the engine's clock.

use std::fmt;
use std::num::NonZeroU32;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use governor::clock::Clock as GovernorClock;
use governor::middleware::NoOpMiddleware;
use governor::{Quota, RateLimiter};

use super::peer::AddressKey;
use super::table::Table;
use crate::domain::ids::MemberId;
use crate::runtime::clock::Clock;

/// How often members and addresses may ask, and how many of them are told apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RateConfig {
    /// Requests of one member, per second; 0 for no limit. Default: 10.
    pub per_member_per_s: u32,
    /// Requests that a member may make at once after a pause, at least 1. Default: 20.
    pub per_member_burst: u32,
    /// Requests from one address (an IPv6 network of 64 bits), per second; 0 for no limit. Default: 200.
    pub per_address_per_s: u32,
    /// Requests that may come from an address at once after a pause, at least 1. Default: 400.
    pub per_address_burst: u32,
    /// Members told apart at a time, 8 to 16,777,216, 24 bytes each; beyond it newcomers share. Default: 131,072.
    pub members_max: usize,
    /// Addresses told apart at a time, 8 to 16,777,216, 24 bytes each; beyond it newcomers share. Default: 65,536.
    pub addresses_max: usize,
}

impl Default for RateConfig {
    fn default() -> Self {
        Self {
            per_member_per_s: 10,
            per_member_burst: 20,
            per_address_per_s: 200,
            per_address_burst: 400,
            members_max: 131_072,
            addresses_max: 65_536,
        }
    }
}

/// Whose bucket was empty.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Subject {
    /// The member's.
    Member,
    /// The address's.
    Address,
}

/// Too many requests: nothing was done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("too many requests from this {subject:?}; try again in {retry_after_ms} ms")]
pub struct Refused {
    /// Who asked too often.
    pub subject: Subject,
    /// When the next request can pass, from now, at least 1.
    pub retry_after_ms: u64,
}

/// governor's view of our clock: time since the clock was made.
#[derive(Clone, Debug)]
struct Monotonic(Clock);

impl GovernorClock for Monotonic {
    type Instant = Duration;

    fn now(&self) -> Duration {
        Duration::from_nanos(self.0.monotonic_ns())
    }
}

type Limiter = RateLimiter<u128, Table, Monotonic, NoOpMiddleware<Duration>>;

/// The buckets under one configuration.
struct Buckets {
    config: RateConfig,
    members: Option<Limiter>,
    addresses: Option<Limiter>,
}

impl Buckets {
    fn new(config: RateConfig, clock: &Clock) -> Self {
        let limiter = |per_s: u32, burst: u32, len_max: usize| {
            let quota = Quota::per_second(NonZeroU32::new(per_s)?);
            let quota = quota.allow_burst(NonZeroU32::new(burst).unwrap_or(NonZeroU32::MIN));
            Some(Limiter::new(quota, Table::new(len_max), Monotonic(clock.clone())))
        };
        Self {
            config,
            members: limiter(config.per_member_per_s, config.per_member_burst, config.members_max),
            addresses: limiter(config.per_address_per_s, config.per_address_burst, config.addresses_max),
        }
    }
}

/// Rate limits, shared by all requests.
#[derive(Clone)]
pub struct RateLimits {
    clock: Clock,
    buckets: Arc<RwLock<Arc<Buckets>>>,
}

impl fmt::Debug for RateLimits {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RateLimits").field("config", &self.config()).finish_non_exhaustive()
    }
}

impl RateLimits {
    /// Limits by this clock's monotonic time. Takes its memory at once, and no more later.
    pub fn new(config: RateConfig, clock: Clock) -> Self {
        let buckets = Arc::new(RwLock::new(Arc::new(Buckets::new(config, &clock))));
        Self { clock, buckets }
    }

    fn buckets(&self) -> Arc<Buckets> {
        self.buckets.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// What holds now.
    pub fn config(&self) -> RateConfig {
        self.buckets().config
    }

    /// Buckets of members and of addresses that there are, used or not; none where there is no limit.
    pub fn table_lens(&self) -> (usize, usize) {
        let buckets = self.buckets();
        let len = |limiter: &Option<Limiter>, len_max: usize| match limiter {
            Some(_) => Table::len_of(len_max),
            None => 0,
        };
        (
            len(&buckets.members, buckets.config.members_max),
            len(&buckets.addresses, buckets.config.addresses_max),
        )
    }

    /// Sets other limits. All buckets are full again, unless nothing has changed.
    pub fn replace(&self, config: RateConfig) {
        if self.config() == config {
            return;
        }
        let buckets = Arc::new(Buckets::new(config, &self.clock));
        *self.buckets.write().unwrap_or_else(PoisonError::into_inner) = buckets;
    }

    /// Takes a token of this member. Not to be asked for the role `service`, which speaks for many.
    ///
    /// # Errors
    /// The member's bucket is empty.
    pub fn check_member(&self, member: MemberId) -> Result<(), Refused> {
        let buckets = self.buckets();
        take(buckets.members.as_ref(), u128::from(member.0), &self.clock, Subject::Member)
    }

    /// Takes a token of this address. Not to be asked for addresses that are exempt
    /// ([`TrustedProxies::is_exempt`](super::TrustedProxies::is_exempt)).
    ///
    /// # Errors
    /// The address's bucket is empty.
    pub fn check_address(&self, address: AddressKey) -> Result<(), Refused> {
        take(self.buckets().addresses.as_ref(), address.into(), &self.clock, Subject::Address)
    }
}

fn take(limiter: Option<&Limiter>, key: u128, clock: &Clock, subject: Subject) -> Result<(), Refused> {
    let Some(limiter) = limiter else { return Ok(()) };
    limiter.check_key(&key).map_err(|refused| {
        let wait = refused.wait_time_from(Monotonic(clock.clone()).now());
        let wait_ms = u64::try_from(wait.as_nanos().div_ceil(1_000_000)).unwrap_or(u64::MAX);
        Refused { subject, retry_after_ms: wait_ms.max(1) }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config() -> RateConfig {
        RateConfig { per_member_per_s: 2, per_member_burst: 3, ..RateConfig::default() }
    }

    #[test]
    fn a_bucket_gives_its_burst_and_then_its_rate() {
        let (clock, time) = Clock::manual(0);
        let limits = RateLimits::new(config(), clock);
        let ask = |member: u64| limits.check_member(member.into());
        assert_eq!([ask(1), ask(1), ask(1)], [Ok(()); 3]);
        let refused = Refused { subject: Subject::Member, retry_after_ms: 500 };
        assert_eq!(ask(1), Err(refused));
        assert_eq!(ask(2), Ok(()), "another member has a bucket of their own");
        time.advance(499);
        assert_eq!(ask(1), Err(Refused { retry_after_ms: 1, ..refused }));
        time.advance(1);
        assert_eq!((ask(1), ask(1)), (Ok(()), Err(refused)));
        time.advance(60_000);
        assert_eq!([ask(1), ask(1), ask(1)], [Ok(()); 3]);
        assert_eq!(ask(1), Err(refused), "a pause fills a bucket, and no more");
    }

    #[test]
    fn zero_is_no_limit() {
        let (clock, _time) = Clock::manual(0);
        let limits = RateLimits::new(RateConfig { per_member_per_s: 0, ..config() }, clock);
        assert!((0..10_000).all(|_| limits.check_member(1.into()).is_ok()));
        assert_eq!(limits.table_lens().0, 0);
    }

    #[test]
    fn limits_are_replaced_while_they_are_used() {
        let (clock, _time) = Clock::manual(0);
        let limits = RateLimits::new(config(), clock);
        let other = limits.clone();
        let asked = || (0..100).filter(|_| other.check_member(1.into()).is_ok()).count();
        assert_eq!(asked(), 3);
        limits.replace(config());
        assert_eq!(asked(), 0, "the same limits keep their buckets");
        limits.replace(RateConfig { per_member_burst: 7, ..config() });
        assert_eq!(asked(), 7);
    }

    #[test]
    fn a_full_table_neither_grows_nor_lets_strangers_through() {
        let (clock, time) = Clock::manual(0);
        let few = RateConfig { per_member_burst: 1, members_max: 64, ..config() };
        let limits = RateLimits::new(few, clock);
        assert_eq!(limits.table_lens().0, 64);
        let mut stranger = 0;
        let mut pass = |asked: usize| {
            (0..asked)
                .filter(|_| {
                    stranger += 1;
                    limits.check_member(stranger.into()).is_ok()
                })
                .count()
        };
        // However many names are made up, the buckets are those of 64 members.
        let passed = pass(100_000);
        assert_eq!(passed, 64);
        time.advance(500);
        assert_eq!(pass(100_000), 64);
        assert_eq!(limits.table_lens().0, 64);
        // Once they are gone, a member is served as ever.
        time.advance(60_000);
        assert_eq!(limits.check_member(7.into()), Ok(()));
        assert!(limits.check_member(7.into()).is_err());
    }
}
