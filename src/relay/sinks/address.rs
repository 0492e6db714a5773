//! Addresses of brokers: `host:port`.

use super::{check_text, invalid};
use crate::relay::error::RelayError;

/// Longest address, in bytes.
const ADDRESS_BYTES_MAX: usize = 300;

/// Where a broker is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Address {
    /// A name or an IP address, the latter without brackets.
    pub(super) host: String,
    pub(super) port: u16,
}

impl Address {
    /// Reads `host:port`, with an IPv6 address in brackets.
    pub(super) fn parse(text: &str) -> Result<Self, RelayError> {
        const FIELD: &str = "sink.address";
        check_text(FIELD, text, true, ADDRESS_BYTES_MAX)?;
        let wrong = || invalid(FIELD, "expected host:port, such as rabbit.internal:5672 or [::1]:5672");
        let (host, port) = text.rsplit_once(':').ok_or_else(wrong)?;
        let port = port.parse().ok().filter(|port| *port != 0).ok_or_else(wrong)?;
        let host = match host.strip_prefix('[').and_then(|host| host.strip_suffix(']')) {
            Some(inner) => inner.parse::<std::net::Ipv6Addr>().map_err(|_| wrong())?.to_string(),
            None => host.to_owned(),
        };
        let is_name = |host: &str| {
            !host.is_empty() && host.bytes().all(|b| b.is_ascii_alphanumeric() || b"-._".contains(&b))
        };
        let is_address =
            host.parse::<std::net::IpAddr>().is_ok() && text.starts_with('[') == host.contains(':');
        if is_name(&host) || is_address { Ok(Self { host, port }) } else { Err(wrong()) }
    }
}

impl std::fmt::Display for Address {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if self.host.contains(':') {
            write!(f, "[{}]:{}", self.host, self.port)
        } else {
            write!(f, "{}:{}", self.host, self.port)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_and_a_port_are_needed() {
        let good = ["localhost:5672", "10.0.0.1:1", "rabbit-1.shop_x:65535", "[::1]:4222"];
        for text in good {
            assert_eq!(Address::parse(text).unwrap().to_string(), text);
        }
        let wrong = [
            "",
            "localhost",
            "localhost:",
            "localhost:0",
            "localhost:65536",
            ":5672",
            "::1:5672",
            "[::1]",
            "a b:1",
        ];
        for text in wrong.into_iter().chain(["u:p@host:1", "amqp://host:1", "[x]:1", "host/v:1", "a\n:1"]) {
            assert!(Address::parse(text).is_err(), "{text}");
        }
    }
}
