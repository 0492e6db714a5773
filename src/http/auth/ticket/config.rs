//! Which activities need a ticket, who signs them, and the bounds.

use std::collections::BTreeSet;
use std::fmt;

use serde::de::{self, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::format::TicketKey;
use crate::domain::ids::ActivityId;
use crate::http::auth::keys::SECRET_BYTES_MIN;
use crate::http::secret::{SecretError, SecretSource};

/// Most keys at once.
const KEYS_MAX: usize = 16;
/// Most activities in a list.
const ACTIVITIES_MAX: usize = 4_096;
/// Most used tickets that are remembered; each takes about 100 bytes.
const TICKETS_MAX: usize = 1 << 24;
/// Longest life of a ticket, in ms: a week.
const LIFETIME_MS_MAX: u64 = 7 * 86_400_000;

/// Sale tickets as they are configured. By default no activity needs one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct TicketConfig {
    /// The keys of the risk service, at most 16. Two during a rotation.
    pub keys: Vec<TicketKeyConfig>,
    /// The activities whose orders need a ticket: `"all"`, `"none"`, or a list of at most 4,096 ids.
    pub required_for: RequiredFor,
    /// Most used tickets that are remembered at once, up to 2^24; each is forgotten when it expires. More are refused.
    pub tickets_max: usize,
    /// A ticket that expires later than this from now is none of ours, in ms, up to a week: it bounds how long a used one is
    /// remembered.
    pub lifetime_ms_max: u64,
}

impl Default for TicketConfig {
    fn default() -> Self {
        Self {
            keys: Vec::new(),
            required_for: RequiredFor::None,
            tickets_max: 1_000_000,
            lifetime_ms_max: 3_600_000,
        }
    }
}

/// A key that the risk service signs with.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TicketKeyConfig {
    /// Its id, which a ticket names.
    pub id: u8,
    /// Where the secret is, of at least 32 bytes.
    pub secret: SecretSource,
}

/// Activities that need a ticket.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum RequiredFor {
    /// None.
    #[default]
    None,
    /// Every one.
    All,
    /// These.
    Activities(BTreeSet<ActivityId>),
}

impl RequiredFor {
    /// Whether this activity needs one. Orders in none (0) never do.
    pub fn has(&self, activity: ActivityId) -> bool {
        match self {
            Self::None => false,
            Self::All => activity != ActivityId(0),
            Self::Activities(activities) => activity != ActivityId(0) && activities.contains(&activity),
        }
    }
}

impl TicketConfig {
    pub(super) fn load_keys(&self) -> Result<Vec<TicketKey>, TicketConfigError> {
        if self.keys.len() > KEYS_MAX {
            return Err(TicketConfigError::TooManyKeys { count: self.keys.len() });
        }
        let load = |key: &TicketKeyConfig| {
            let unreadable = |source| TicketConfigError::Unreadable { id: key.id, source };
            TicketKey::new(key.id, &key.secret.read().map_err(unreadable)?)
        };
        self.keys.iter().map(load).collect()
    }

    /// Checks the bounds, and that these keys can be used together.
    pub(super) fn check(&self, keys: &[TicketKey]) -> Result<(), TicketConfigError> {
        if keys.len() > KEYS_MAX {
            return Err(TicketConfigError::TooManyKeys { count: keys.len() });
        }
        for (nth, key) in keys.iter().enumerate() {
            if keys[..nth].iter().any(|other| other.id() == key.id()) {
                return Err(TicketConfigError::Twice { id: key.id() });
            }
        }
        if self.required_for != RequiredFor::None && keys.is_empty() {
            return Err(TicketConfigError::NoKey);
        }
        if !(1..=TICKETS_MAX).contains(&self.tickets_max) {
            return Err(TicketConfigError::TicketsMax { tickets_max: self.tickets_max });
        }
        if !(1..=LIFETIME_MS_MAX).contains(&self.lifetime_ms_max) {
            return Err(TicketConfigError::Lifetime { lifetime_ms_max: self.lifetime_ms_max });
        }
        Ok(())
    }
}

impl Serialize for RequiredFor {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::None => serializer.serialize_str("none"),
            Self::All => serializer.serialize_str("all"),
            Self::Activities(activities) => activities.serialize(serializer),
        }
    }
}

impl<'de> Deserialize<'de> for RequiredFor {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(RequiredForVisitor)
    }
}

struct RequiredForVisitor;

impl<'de> Visitor<'de> for RequiredForVisitor {
    type Value = RequiredFor;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("\"all\", \"none\" or a list of activity ids")
    }

    fn visit_str<E: de::Error>(self, word: &str) -> Result<RequiredFor, E> {
        match word {
            "all" => Ok(RequiredFor::All),
            "none" => Ok(RequiredFor::None),
            _ => Err(E::invalid_value(de::Unexpected::Str(word), &self)),
        }
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut ids: A) -> Result<RequiredFor, A::Error> {
        let mut activities = BTreeSet::new();
        while let Some(activity) = ids.next_element()? {
            activities.insert(activity);
            if activities.len() > ACTIVITIES_MAX {
                return Err(de::Error::custom(format!("more than {ACTIVITIES_MAX} activities: say \"all\"")));
            }
        }
        Ok(RequiredFor::Activities(activities))
    }
}

/// Why tickets can't be checked as configured. Changes nothing: what was loaded before stays in force.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TicketConfigError {
    /// Two keys have one id.
    #[error("ticket key {id} is given twice")]
    Twice {
        /// The id.
        id: u8,
    },
    /// There are too many.
    #[error("{count} ticket keys, at most {KEYS_MAX} are allowed")]
    TooManyKeys {
        /// How many.
        count: usize,
    },
    /// Tickets are needed, and none could be good.
    #[error("tickets are required but no ticket key is configured")]
    NoKey,
    /// It can't be read.
    #[error("ticket key {id} can't be read")]
    Unreadable {
        /// The id.
        id: u8,
        /// Why.
        source: SecretError,
    },
    /// The secret could be guessed.
    #[error("ticket key {id}: a secret of {bytes} bytes, at least {SECRET_BYTES_MIN} are needed")]
    SecretTooShort {
        /// The id.
        id: u8,
        /// How long it is.
        bytes: usize,
    },
    /// The bound is out of bounds.
    #[error("tickets_max is {tickets_max}, from 1 to {TICKETS_MAX} is allowed")]
    TicketsMax {
        /// What is configured.
        tickets_max: usize,
    },
    /// The bound is out of bounds.
    #[error("lifetime_ms_max is {lifetime_ms_max}, from 1 to {LIFETIME_MS_MAX} is allowed")]
    Lifetime {
        /// What is configured.
        lifetime_ms_max: u64,
    },
}
