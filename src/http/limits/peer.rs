//! Where a request comes from: the client's address behind proxies that are trusted to name it.
//!
//! `X-Forwarded-For` is written by whoever likes to. Each proxy appends the address that it was called from, so only the
//! right end of the list is worth something, and only as far as trusted proxies wrote it.

use std::net::{IpAddr, Ipv6Addr};

use axum::http::HeaderMap;
use ipnet::IpNet;

/// Most addresses of the list that are looked at; what is further left is not believed.
const HOPS_MAX: usize = 16;

/// The header that proxies name clients in.
const FORWARDED_FOR: &str = "x-forwarded-for";

/// Networks with a role of their own: proxies that are believed, and callers that no rate limit holds for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TrustedProxies {
    proxies: Vec<IpNet>,
    exempt: Vec<IpNet>,
}

impl TrustedProxies {
    /// Believes `proxies`, and exempts `exempt` from limits by address.
    pub fn new(proxies: Vec<IpNet>, exempt: Vec<IpNet>) -> Self {
        Self { proxies, exempt }
    }

    /// Whether this address is a proxy that is believed.
    pub fn is_trusted(&self, address: IpAddr) -> bool {
        contains(&self.proxies, address)
    }

    /// Whether no limit by address holds for this client.
    pub fn is_exempt(&self, client: ClientAddress) -> bool {
        contains(&self.exempt, client.0)
    }

    /// The client of a request that came from `peer` with these headers.
    ///
    /// From the right, hops that are trusted are passed over; the first that isn't is the client. Where something
    /// else than an address stands, or the list ends, the last trusted hop is the client: a client can't hide
    /// behind garbage. The header is not looked at when `peer` is not trusted.
    pub fn client(&self, peer: IpAddr, headers: &HeaderMap) -> ClientAddress {
        let mut client = peer.to_canonical();
        if !self.is_trusted(client) {
            return ClientAddress(client);
        }
        // Several headers of this name are one list, in their order.
        let values = headers.get_all(FORWARDED_FOR).iter().collect::<Vec<_>>();
        let hops = values.into_iter().rev().flat_map(|value| value.as_bytes().rsplit(|byte| *byte == b','));
        for hop in hops.take(HOPS_MAX) {
            let Some(address) = parse_hop(hop) else { break };
            client = address;
            if !self.is_trusted(client) {
                break;
            }
        }
        ClientAddress(client)
    }
}

fn contains(networks: &[IpNet], address: IpAddr) -> bool {
    let address = address.to_canonical();
    networks.iter().any(|network| network.contains(&address))
}

/// An address as proxies write it: bare, with a port, in brackets.
fn parse_hop(hop: &[u8]) -> Option<IpAddr> {
    let hop = std::str::from_utf8(hop).ok()?.trim();
    let address = if let Some(rest) = hop.strip_prefix('[') {
        let (address, port) = rest.split_once(']')?;
        let is_port = port.is_empty() || port.strip_prefix(':')?.parse::<u16>().is_ok();
        is_port.then_some(address)?.parse().ok().map(IpAddr::V6)?
    } else if let Some((address, port)) = hop.split_once(':').filter(|(_, port)| !port.contains(':')) {
        port.parse::<u16>().ok()?;
        IpAddr::V4(address.parse().ok()?)
    } else {
        hop.parse::<IpAddr>().ok()?
    };
    Some(address.to_canonical())
}

/// Who asks, by address: an IPv4 address mapped into IPv6 is that IPv4 address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClientAddress(IpAddr);

impl ClientAddress {
    /// The address.
    pub fn ip(self) -> IpAddr {
        self.0
    }

    /// Whose rate it counts towards.
    pub fn key(self) -> AddressKey {
        self.0.into()
    }
}

/// What addresses are told apart by: an IPv4 address, or the 64-bit network of an IPv6 address, which is what one
/// subscriber usually has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct AddressKey(u128);

impl From<IpAddr> for AddressKey {
    fn from(address: IpAddr) -> Self {
        Self(match address.to_canonical() {
            // As a mapped address, which no IPv6 network can be: its upper 64 bits are zero.
            IpAddr::V4(address) => address.to_ipv6_mapped().into(),
            IpAddr::V6(address) => u128::from(address) & (u128::MAX << 64),
        })
    }
}

impl From<AddressKey> for u128 {
    fn from(key: AddressKey) -> Self {
        key.0
    }
}

impl From<AddressKey> for IpAddr {
    /// The address, or the network's first.
    fn from(key: AddressKey) -> Self {
        Self::V6(Ipv6Addr::from(key.0)).to_canonical()
    }
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;
    use crate::http::limits::{RateConfig, RateLimits};
    use crate::runtime::clock::Clock;

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    fn trusted() -> TrustedProxies {
        let networks = ["10.0.0.0/8", "fd00::/8"].map(|network| network.parse().unwrap());
        TrustedProxies::new(networks.into(), vec!["192.0.2.0/24".parse().unwrap()])
    }

    fn client(peer: &str, lists: &[&str]) -> IpAddr {
        let mut headers = HeaderMap::new();
        for list in lists {
            headers.append(FORWARDED_FOR, HeaderValue::from_str(list).unwrap());
        }
        trusted().client(ip(peer), &headers).ip()
    }

    #[test]
    fn the_header_counts_only_from_a_trusted_proxy() {
        assert_eq!(client("203.0.113.9", &["198.51.100.1"]), ip("203.0.113.9"));
        assert_eq!(client("10.0.0.1", &["198.51.100.1"]), ip("198.51.100.1"));
        assert_eq!(client("10.0.0.1", &[]), ip("10.0.0.1"));
        assert_eq!(client("::ffff:10.0.0.1", &["198.51.100.1"]), ip("198.51.100.1"));
        assert_eq!(client("fd00::1", &["198.51.100.1"]), ip("198.51.100.1"));
    }

    #[test]
    fn the_list_is_walked_from_the_right_past_trusted_hops() {
        assert_eq!(client("10.0.0.1", &["1.1.1.1, 198.51.100.1, 10.0.0.7"]), ip("198.51.100.1"));
        assert_eq!(client("10.0.0.1", &["1.1.1.1", "198.51.100.1,10.0.0.7"]), ip("198.51.100.1"));
        // What the client wrote itself stands further left.
        assert_eq!(client("10.0.0.1", &["10.0.0.9, 127.0.0.1, 198.51.100.1"]), ip("198.51.100.1"));
        // All hops are trusted: the one that began it.
        assert_eq!(client("10.0.0.1", &["10.0.0.3,10.0.0.2"]), ip("10.0.0.3"));
    }

    #[test]
    fn garbage_ends_the_list() {
        for garbage in ["", "unknown", "1.2.3", "_hidden", "300.1.1.1", "1.2.3.4:http", "[::1", "\"1.2.3.4\""]
        {
            assert_eq!(client("10.0.0.1", &[garbage]), ip("10.0.0.1"), "{garbage}");
            let behind = format!("9.9.9.9, {garbage}, 10.0.0.5");
            assert_eq!(client("10.0.0.1", &[&behind]), ip("10.0.0.5"), "{garbage}");
        }
        let long = vec!["10.0.0.2"; 1_000].join(",");
        assert_eq!(client("10.0.0.1", &[&format!("9.9.9.9,{long}")]), ip("10.0.0.2"));
    }

    #[test]
    fn addresses_are_read_as_proxies_write_them() {
        let cases = [
            ("198.51.100.1:4711", "198.51.100.1"),
            ("2001:db8::1", "2001:db8::1"),
            ("[2001:db8::1]", "2001:db8::1"),
            ("[2001:db8::1]:443", "2001:db8::1"),
            ("::ffff:198.51.100.1", "198.51.100.1"),
        ];
        for (written, read) in cases {
            assert_eq!(client("10.0.0.1", &[written]), ip(read), "{written}");
        }
    }

    #[test]
    fn a_network_of_64_bits_counts_as_one_address() {
        let key = |text| AddressKey::from(ip(text));
        assert_eq!(key("2001:db8::1"), key("2001:db8::ffff:1:2:3"));
        assert_ne!(key("2001:db8::1"), key("2001:db8:0:1::1"));
        assert_eq!(key("::ffff:192.0.2.1"), key("192.0.2.1"));
        assert_ne!(key("192.0.2.1"), key("192.0.2.2"));
        assert_ne!(key("0.0.0.0"), key("::1"), "no IPv4 address is some IPv6 network");
        assert_eq!(IpAddr::from(key("2001:db8::9")), ip("2001:db8::"));
    }

    #[test]
    fn configured_networks_are_exempt() {
        let client = |text| ClientAddress(ip(text));
        assert!(trusted().is_exempt(client("192.0.2.7")));
        assert!(!trusted().is_exempt(client("198.51.100.1")));
        assert!(!trusted().is_exempt(client("10.0.0.1")), "a proxy is trusted, not exempt");
    }

    #[test]
    fn ten_thousand_clients_behind_one_proxy_are_not_limited_together() {
        let (clock, _time) = Clock::manual(0);
        let config = RateConfig { per_address_per_s: 1, per_address_burst: 1, ..RateConfig::default() };
        let limits = RateLimits::new(config, clock);
        let ask = |n: u32| {
            let [_, _, high, low] = n.to_be_bytes();
            let mut headers = HeaderMap::new();
            let list = format!("198.18.{high}.{low}, 10.1.1.1");
            headers.insert(FORWARDED_FOR, HeaderValue::from_str(&list).unwrap());
            limits.check_address(trusted().client(ip("10.0.0.1"), &headers).key()).is_ok()
        };
        // Some sets of the table are crowded by chance; those few inherit, the others have a bucket of their own.
        let passed = (0..10_000).filter(|n| ask(*n)).count();
        assert!(passed >= 9_990, "{passed}");
        assert_eq!((0..10_000).filter(|n| ask(*n)).count(), 0, "each has used up its own");
    }
}
