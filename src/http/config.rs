//! The adapter's part of the configuration: every bound with its unit and default.
//!
//! Plain data, as the configuration file has it. `stockade serve` reads it; an embedding program fills it in as it
//! likes. What a value means stands where it is used; what it may be, with each field.

use std::net::SocketAddr;

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

use super::auth::{AuthConfig, TicketConfig};
use super::callback::CallbackSettings;
use super::limits::{JSON_BYTES_MAX, RateConfig, TrustedProxies};
use super::observe::ObserveConfig;
use super::server::ServerLimits;

/// `[server]`: the socket and what goes through it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ServerConfig {
    /// Address and port to listen at. Not replaceable. Default: `127.0.0.1:8080`.
    pub listen: SocketAddr,
    /// Most connections at a time, 1 to 1,000,000. Default: 10,000.
    pub connections_max: usize,
    /// How long a request's head may take to arrive, in ms, 1 to 3,600,000. Default: 10,000.
    pub header_timeout_ms: u64,
    /// How long a request's body may take to arrive, and its answer to be read, in ms, 1 to 3,600,000. Default: 30,000.
    pub request_timeout_ms: u64,
    /// How long a client may do nothing, between requests or in the middle of one, in ms, 1 to 3,600,000. Default:
    /// 60,000.
    pub idle_timeout_ms: u64,
    /// Most bytes of a request's head, 8,192 to 1,048,576. Default: 16,384.
    pub head_bytes_max: usize,
    /// Most bytes of a JSON body, 1,024 to 262,144; batches and streams have bounds of their own. Default: 65,536.
    pub body_bytes_max: usize,
    /// How long the end waits for requests in flight, in ms, 0 to 600,000. Default: 10,000.
    pub drain_ms_max: u64,
    /// Most requests in flight, 1 to 1,000,000. Default: 4,096.
    pub in_flight_max: usize,
    /// Requests in flight beyond that for callbacks, health and administration, 1 to 1,000,000. Default: 256.
    pub in_flight_reserve: usize,
    /// How long the answer waits that refuses a request because too many are in flight, or come from one member or
    /// address, in ms, 0 to 10,000: who doesn't heed `Retry-After` asks no more often than that over a connection. Default:
    /// 250.
    pub refusal_delay_ms: u64,
    /// Networks of proxies whose `X-Forwarded-For` is believed, at most 256. Default: none.
    pub trusted_proxies: Vec<IpNet>,
    /// Origins whose pages may call from a browser, as `https://shop.example`, at most 64. Default: none.
    pub cors_origins: Vec<String>,
}

impl Default for ServerConfig {
    fn default() -> Self {
        let limits = ServerLimits::default();
        Self {
            listen: SocketAddr::from(([127, 0, 0, 1], 8080)),
            connections_max: limits.connections_max,
            header_timeout_ms: limits.header_timeout_ms,
            request_timeout_ms: limits.request_timeout_ms,
            idle_timeout_ms: limits.idle_timeout_ms,
            head_bytes_max: limits.head_bytes_max,
            body_bytes_max: JSON_BYTES_MAX,
            drain_ms_max: limits.drain_ms_max,
            in_flight_max: 4_096,
            in_flight_reserve: 256,
            refusal_delay_ms: 250,
            trusted_proxies: Vec::new(),
            cors_origins: Vec::new(),
        }
    }
}

impl ServerConfig {
    /// What the accept loop takes of it.
    pub fn limits(&self) -> ServerLimits {
        ServerLimits {
            connections_max: self.connections_max,
            header_timeout_ms: self.header_timeout_ms,
            request_timeout_ms: self.request_timeout_ms,
            idle_timeout_ms: self.idle_timeout_ms,
            head_bytes_max: self.head_bytes_max,
            drain_ms_max: self.drain_ms_max,
            ..ServerLimits::default()
        }
    }
}

/// `[limits]`: how often members and addresses may ask.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct LimitsConfig {
    /// Requests of one member, per second, 0 to 1,000,000; 0 for no limit. Default: 10.
    pub per_member_per_s: u32,
    /// Requests that a member may make at once after a pause, 1 to 1,000,000. Default: 20.
    pub per_member_burst: u32,
    /// Requests from one address (an IPv6 network of 64 bits), per second, 0 to 1,000,000; 0 for no limit. Default: 200.
    pub per_address_per_s: u32,
    /// Requests that may come from an address at once after a pause, 1 to 1,000,000. Default: 400.
    pub per_address_burst: u32,
    /// Members told apart at a time, 8 to 16,777,216. Default: 131,072.
    pub members_max: usize,
    /// Addresses told apart at a time, 8 to 16,777,216. Default: 65,536.
    pub addresses_max: usize,
    /// Networks that no limit by address holds for, at most 256. Default: none.
    pub exempt_networks: Vec<IpNet>,
}

impl Default for LimitsConfig {
    fn default() -> Self {
        let rates = RateConfig::default();
        Self {
            per_member_per_s: rates.per_member_per_s,
            per_member_burst: rates.per_member_burst,
            per_address_per_s: rates.per_address_per_s,
            per_address_burst: rates.per_address_burst,
            members_max: rates.members_max,
            addresses_max: rates.addresses_max,
            exempt_networks: Vec::new(),
        }
    }
}

impl LimitsConfig {
    /// What the buckets take of it.
    pub fn rates(&self) -> RateConfig {
        RateConfig {
            per_member_per_s: self.per_member_per_s,
            per_member_burst: self.per_member_burst,
            per_address_per_s: self.per_address_per_s,
            per_address_burst: self.per_address_burst,
            members_max: self.members_max,
            addresses_max: self.addresses_max,
        }
    }
}

/// `[admin]`: the back office.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct AdminConfig {
    /// The directory that backups over HTTP are made in. Not replaceable. Default: none are made.
    pub backup_root: Option<std::path::PathBuf>,
}

/// The adapter's configuration.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct HttpConfig {
    /// The socket.
    pub server: ServerConfig,
    /// Rates.
    pub limits: LimitsConfig,
    /// How tokens are verified.
    pub auth: AuthConfig,
    /// Sale tickets.
    pub tickets: TicketConfig,
    /// The back office.
    pub admin: AdminConfig,
    /// What is kept and logged of requests.
    pub observe: ObserveConfig,
    /// Payment providers that notify.
    #[serde(skip_serializing)]
    pub callback: CallbackSettings,
}

impl HttpConfig {
    /// Networks with a role of their own.
    pub fn trusted_proxies(&self) -> TrustedProxies {
        TrustedProxies::new(self.server.trusted_proxies.clone(), self.limits.exempt_networks.clone())
    }
}
