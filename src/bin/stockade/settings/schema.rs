//! What a configuration key is: its place, unit, bounds and meaning. The table of all keys is in [`entries`].
//!
//! Defaults don't stand here: they come from the types that the values are read into, so that there is one of each.

use std::fmt;

use toml::Value;

use super::entries::ENTRIES;

/// What a key's value may be.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Kind {
    /// A whole number.
    Int { min: i64, max: i64 },
    /// A power of two.
    PowerOfTwo { min: i64, max: i64 },
    /// Yes or no.
    Bool,
    /// Any text.
    Text,
    /// One of these words.
    Choice(&'static [&'static str]),
    /// An address with a port.
    Address,
    /// A list of networks, as `10.0.0.0/8`.
    Networks { len_max: usize },
    /// A list of origins, as `https://shop.example`.
    Origins { len_max: usize },
    /// `"synced"`, `"memory"` or `{ buffered_ms = … }`.
    Durability,
    /// What the module that reads it checks itself: keys, lists of tables.
    Own,
}

/// A key.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Entry {
    /// Section and name, `server.listen`.
    pub(crate) path: &'static str,
    /// The unit of a number; empty for anything else.
    pub(crate) unit: &'static str,
    pub(crate) kind: Kind,
    /// What it is, in a sentence or two.
    pub(crate) doc: &'static str,
    /// Whether SIGHUP brings a new value in; others wait for a restart.
    pub(crate) is_live: bool,
}

impl Entry {
    /// A key that is not a number.
    pub(crate) const fn new(path: &'static str, kind: Kind, doc: &'static str) -> Self {
        Self { path, unit: "", kind, doc, is_live: false }
    }

    /// A whole number within bounds.
    pub(crate) const fn int(
        path: &'static str,
        unit: &'static str,
        (min, max): (i64, i64),
        doc: &'static str,
    ) -> Self {
        Self { path, unit, kind: Kind::Int { min, max }, doc, is_live: false }
    }

    /// The same, replaced on SIGHUP.
    pub(crate) const fn live(mut self) -> Self {
        self.is_live = true;
        self
    }

    pub(crate) fn section(&self) -> &'static str {
        self.path.split('.').next().unwrap_or(self.path)
    }

    pub(crate) fn name(&self) -> &'static str {
        self.path.rsplit('.').next().unwrap_or(self.path)
    }
}

/// The key of that path.
pub(crate) fn find(path: &str) -> Option<&'static Entry> {
    ENTRIES.iter().find(|entry| entry.path == path)
}

/// Whether there is a section of that name.
pub(crate) fn has_section(section: &str) -> bool {
    ENTRIES.iter().any(|entry| entry.section() == section)
}

/// The key that somebody may have meant.
pub(crate) fn suggest(path: &str) -> Option<&'static str> {
    /// How alike two paths must be, of 1.
    const LIKENESS_MIN: f64 = 0.8;
    let (section, name) = path.rsplit_once('.').unwrap_or(("", path));
    let likeness = |entry: &Entry| match (entry.section() == section, entry.name() == name) {
        (true, _) => strsim::jaro_winkler(name, entry.name()),
        // The right name in a wrong section is a likely slip, too.
        (false, true) => 0.9,
        (false, false) => strsim::jaro_winkler(path, entry.path) - 0.1,
    };
    let best = ENTRIES.iter().map(|entry| (likeness(entry), entry.path));
    let (likeness, path) = best.max_by(|(a, _), (b, _)| a.total_cmp(b))?;
    (likeness >= LIKENESS_MIN).then_some(path)
}

/// What a value of this kind must be, as it follows "it must be".
impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Int { min, max: i64::MAX } => write!(f, "a whole number, at least {}", grouped(*min)),
            Self::Int { min, max } => write!(f, "a whole number from {} to {}", grouped(*min), grouped(*max)),
            Self::PowerOfTwo { min, max } => {
                write!(f, "a power of two from {} to {}", grouped(*min), grouped(*max))
            }
            Self::Bool => f.write_str("true or false"),
            Self::Text => f.write_str("text"),
            Self::Choice(words) => {
                for (nth, word) in words.iter().enumerate() {
                    let before = if nth == 0 { "" } else { " or " };
                    write!(f, "{before}\"{word}\"")?;
                }
                Ok(())
            }
            Self::Address => f.write_str("an address with a port, as \"127.0.0.1:8080\" or \"[::1]:8080\""),
            Self::Networks { len_max } => {
                write!(f, "a list of at most {len_max} networks, as [\"10.0.0.0/8\"]")
            }
            Self::Origins { len_max } => {
                write!(f, "a list of at most {len_max} origins, as [\"https://shop.example\"]")
            }
            Self::Durability => {
                f.write_str("\"synced\", \"memory\" or { buffered_ms = N } with N from 1 to 60,000")
            }
            Self::Own => f.write_str("as its section says"),
        }
    }
}

impl Kind {
    /// Whether a value is of this kind and within its bounds.
    pub(crate) fn allows(&self, value: &Value) -> bool {
        match self {
            Self::Int { min, max } => value.as_integer().is_some_and(|int| (*min..=*max).contains(&int)),
            Self::PowerOfTwo { min, max } => value
                .as_integer()
                .is_some_and(|int| (*min..=*max).contains(&int) && int.unsigned_abs().is_power_of_two()),
            Self::Bool => value.is_bool(),
            Self::Text => value.as_str().is_some_and(|text| !text.is_empty()),
            Self::Choice(words) => value.as_str().is_some_and(|text| words.contains(&text)),
            Self::Address => is(value, |text| text.parse::<std::net::SocketAddr>().is_ok()),
            Self::Networks { len_max } => each(value, *len_max, is_network),
            Self::Origins { len_max } => each(value, *len_max, is_origin),
            Self::Durability => is_durability(value),
            Self::Own => true,
        }
    }
}

fn is(value: &Value, holds: impl Fn(&str) -> bool) -> bool {
    value.as_str().is_some_and(holds)
}

fn each(value: &Value, len_max: usize, holds: impl Fn(&str) -> bool) -> bool {
    let list = value.as_array();
    list.is_some_and(|list| list.len() <= len_max && list.iter().all(|value| is(value, &holds)))
}

fn is_network(text: &str) -> bool {
    let (address, bits) = text.split_once('/').unwrap_or((text, ""));
    let bits_max = match address.parse::<std::net::IpAddr>() {
        Ok(std::net::IpAddr::V4(_)) => 32,
        Ok(std::net::IpAddr::V6(_)) => 128,
        Err(_) => return false,
    };
    bits.parse::<u8>().is_ok_and(|bits| bits <= bits_max)
}

/// Scheme and authority without a path, as browsers send it.
fn is_origin(text: &str) -> bool {
    let rest = text.strip_prefix("https://").or_else(|| text.strip_prefix("http://"));
    rest.is_some_and(|rest| !rest.is_empty() && rest.bytes().all(|b| b.is_ascii_graphic() && b != b'/'))
}

fn is_durability(value: &Value) -> bool {
    match value {
        Value::String(name) => matches!(name.as_str(), "synced" | "memory"),
        Value::Table(table) => {
            let interval_ms = table.get("buffered_ms").and_then(Value::as_integer);
            table.len() == 1 && interval_ms.is_some_and(|ms| (1..=60_000).contains(&ms))
        }
        _ => false,
    }
}

/// A number with commas between its thousands.
pub(crate) fn grouped(number: i64) -> String {
    let digits = number.unsigned_abs().to_string();
    let mut text = String::from(if number < 0 { "-" } else { "" });
    for (nth, digit) in digits.chars().enumerate() {
        if nth > 0 && (digits.len() - nth).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slip_of_the_pen_is_understood() {
        assert_eq!(suggest("server.conections_max"), Some("server.connections_max"));
        assert_eq!(suggest("engine.listen"), Some("server.listen"));
        assert_eq!(suggest("zzz.qqq"), None);
    }

    #[test]
    fn values_are_checked_by_kind() {
        let text = |text: &str| Value::String(text.into());
        let list = |items: &[&str]| Value::Array(items.iter().map(|item| text(item)).collect());
        assert!(Kind::Int { min: 1, max: 5 }.allows(&Value::Integer(5)));
        assert!(!Kind::Int { min: 1, max: 5 }.allows(&Value::Integer(6)));
        assert!(!Kind::Int { min: 1, max: 5 }.allows(&text("5")));
        assert!(!Kind::PowerOfTwo { min: 1, max: 64 }.allows(&Value::Integer(48)));
        assert!(Kind::Address.allows(&text("[::1]:80")) && !Kind::Address.allows(&text("localhost")));
        let networks = Kind::Networks { len_max: 2 };
        assert!(networks.allows(&list(&["10.0.0.0/8", "fd00::/8"])));
        assert!(!networks.allows(&list(&["10.0.0.0/33"])) && !networks.allows(&list(&["10.0.0.1"])));
        let origins = Kind::Origins { len_max: 2 };
        assert!(origins.allows(&list(&["https://shop.example:8443"])));
        assert!(!origins.allows(&list(&["https://shop.example/"])) && !origins.allows(&list(&["*"])));
    }

    #[test]
    fn numbers_are_grouped() {
        assert_eq!([0, 999, 1_000, -1_234_567].map(grouped), ["0", "999", "1,000", "-1,234,567"]);
    }
}
