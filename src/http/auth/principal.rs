//! Who calls: a member, a service of the shop, or somebody in the back office with scopes.
//!
//! A principal comes from a verified token and from nowhere else; what it may do is [`access`](super::access)'s matter.

use std::fmt;

use serde::de::{DeserializeSeed, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::domain::ids::MemberId;

/// Who calls.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Principal {
    /// A buyer, for themselves and nobody else.
    Member(MemberId),
    /// An application server of the shop; it acts through `/gateway`, on behalf of members and topics.
    Service {
        /// Its name, 1 to 64 visible ASCII characters.
        name: Box<str>,
        /// Which subscriptions of the relay it may poll.
        relays: Relays,
    },
    /// Somebody in the back office.
    Admin {
        /// Their name, 1 to 64 visible ASCII characters, as the record of acts keeps it.
        operator: Box<str>,
        /// What they may do.
        scopes: Scopes,
    },
}

impl Principal {
    /// Whether this is the member with that id: the question before anything of a member's is shown or changed.
    pub fn is_member(&self, member: MemberId) -> bool {
        matches!(self, Self::Member(own) if *own == member)
    }

    /// What a back-office caller may do; nothing for everybody else.
    pub fn scopes(&self) -> Scopes {
        match self {
            Self::Admin { scopes, .. } => *scopes,
            Self::Member(_) | Self::Service { .. } => Scopes::NONE,
        }
    }
}

/// A field of work in the back office. The names are those of the token's claim `scopes`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Scope {
    /// Talks with members.
    Support,
    /// Packs, ships and counts stock.
    Warehouse,
    /// Runs the sales: goods, activities, coupons, switches.
    Operations,
    /// Money: refunds, statements.
    Finance,
    /// Reads, and changes nothing.
    Auditor,
    /// Sees personal data, refusals and what the back office did; blocks members.
    Security,
}

impl Scope {
    /// All of them.
    pub const ALL: [Self; 6] =
        [Self::Support, Self::Warehouse, Self::Operations, Self::Finance, Self::Auditor, Self::Security];

    /// Its name, as in a token.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Support => "support",
            Self::Warehouse => "warehouse",
            Self::Operations => "operations",
            Self::Finance => "finance",
            Self::Auditor => "auditor",
            Self::Security => "security",
        }
    }

    /// The scope of that name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|scope| scope.name() == name)
    }

    const fn bit(self) -> u8 {
        1 << self as u8
    }
}

/// A set of scopes.
///
/// Read from a list of names or from one string with spaces between them, as identity providers write either. A name
/// that isn't one of ours grants nothing and isn't an error: a provider's own scopes stand beside ours.
#[derive(Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct Scopes(u8);

impl Scopes {
    /// No scope.
    pub const NONE: Self = Self(0);
    /// Every scope.
    pub const ALL: Self = Self::of(&Scope::ALL);

    /// The set of these scopes.
    pub const fn of(scopes: &[Scope]) -> Self {
        let mut bits = 0;
        let mut at = 0;
        // Iterators can't be used in constants.
        while at < scopes.len() {
            bits |= scopes[at].bit();
            at += 1;
        }
        Self(bits)
    }

    /// Whether it has that scope.
    pub const fn has(self, scope: Scope) -> bool {
        self.0 & scope.bit() != 0
    }

    /// Whether a scope is in both.
    pub const fn meets(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }

    /// Whether there is none.
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// This set with one more scope.
    #[must_use]
    pub const fn with(self, scope: Scope) -> Self {
        Self(self.0 | scope.bit())
    }

    /// Its scopes, in the order of [`Scope::ALL`].
    pub fn iter(self) -> impl Iterator<Item = Scope> {
        Scope::ALL.into_iter().filter(move |scope| self.has(*scope))
    }

    fn add_name(&mut self, name: &str) {
        if let Some(scope) = Scope::from_name(name) {
            *self = self.with(scope);
        }
    }
}

/// Names with commas between them.
impl fmt::Display for Scopes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (nth, scope) in self.iter().enumerate() {
            f.write_str(if nth == 0 { "" } else { ", " })?;
            f.write_str(scope.name())?;
        }
        Ok(())
    }
}

impl fmt::Debug for Scopes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Scopes({self})")
    }
}

impl Serialize for Scopes {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.iter())
    }
}

impl<'de> Deserialize<'de> for Scopes {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Ok(Grants::deserialize(deserializer)?.scopes)
    }
}

/// Which subscriptions of the relay a service may poll and acknowledge: its scopes `relay:` with a subscription's name, or
/// `relay:*` for all of them. None without.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Relays {
    all: bool,
    names: Box<[Box<str>]>,
}

impl Relays {
    /// How such a scope begins.
    const PREFIX: &'static str = "relay:";

    /// Whether the subscription of that name is among them.
    pub fn has(&self, name: &str) -> bool {
        self.all || self.names.iter().any(|own| **own == *name)
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        !self.all && self.names.is_empty()
    }
}

/// What the claim `scopes` of a token grants, read as [`Scopes`] are. As long as its token allows.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Grants {
    /// Fields of work in the back office.
    pub scopes: Scopes,
    /// Subscriptions of the relay.
    pub relays: Relays,
}

impl Grants {
    fn of<'a>(names: impl Iterator<Item = &'a str>) -> Self {
        let mut found = Found::default();
        names.for_each(|name| found.add(name));
        found.into()
    }
}

/// Grants while they are gathered.
#[derive(Default)]
struct Found {
    scopes: Scopes,
    all: bool,
    relays: Vec<Box<str>>,
}

impl Found {
    fn add(&mut self, name: &str) {
        match name.strip_prefix(Relays::PREFIX) {
            Some("*") => self.all = true,
            Some(relay) if !relay.is_empty() => self.relays.push(relay.into()),
            Some(_) => {}
            None => self.scopes.add_name(name),
        }
    }
}

impl From<Found> for Grants {
    fn from(found: Found) -> Self {
        let Found { scopes, all, relays } = found;
        Self { scopes, relays: Relays { all, names: relays.into() } }
    }
}

impl<'de> Deserialize<'de> for Grants {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(GrantsVisitor)
    }
}

struct GrantsVisitor;

impl<'de> Visitor<'de> for GrantsVisitor {
    type Value = Grants;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("scopes as a list of names or as one string with spaces")
    }

    fn visit_str<E: serde::de::Error>(self, names: &str) -> Result<Grants, E> {
        Ok(Grants::of(names.split(' ')))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut names: A) -> Result<Grants, A::Error> {
        let mut found = Found::default();
        while names.next_element_seed(Name(&mut found))?.is_some() {}
        Ok(found.into())
    }
}

/// One name of a list, added without a string of its own.
struct Name<'a>(&'a mut Found);

impl<'de> DeserializeSeed<'de> for Name<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl Visitor<'_> for Name<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the name of a scope")
    }

    fn visit_str<E: serde::de::Error>(self, name: &str) -> Result<(), E> {
        self.0.add(name);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(json: &str) -> Result<Scopes, serde_json::Error> {
        serde_json::from_str(json)
    }

    #[test]
    fn scopes_are_read_from_a_list_and_from_a_string() {
        let expected = Scopes::of(&[Scope::Support, Scope::Finance]);
        assert_eq!(read(r#"["finance","support"]"#).unwrap(), expected);
        assert_eq!(read(r#""support finance""#).unwrap(), expected);
        assert_eq!(read(r#""openid  support\u0020finance profile""#).unwrap(), expected);
        assert_eq!(read(r#"["openid","supp\u006frt","finance"]"#).unwrap(), expected);
    }

    #[test]
    fn what_is_no_scope_grants_nothing() {
        for nothing in ["[]", r#""""#, r#"["Support","support "," ","all","*"]"#, r#""SUPPORT,finance""#] {
            assert_eq!(read(nothing).unwrap(), Scopes::NONE, "{nothing}");
        }
        for wrong in ["1", "null", "true", "[1]", "[[\"support\"]]", r#"{"support":true}"#] {
            assert!(read(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn the_names_are_the_same_everywhere() {
        for scope in Scope::ALL {
            assert_eq!(serde_json::to_value(scope).unwrap(), scope.name());
            assert_eq!(Scope::from_name(scope.name()), Some(scope));
            assert_eq!(Scopes::of(&[scope]).iter().collect::<Vec<_>>(), [scope]);
        }
        let written = serde_json::to_string(&Scopes::ALL).unwrap();
        assert_eq!(read(&written).unwrap(), Scopes::ALL);
        assert_eq!(Scopes::ALL.to_string(), "support, warehouse, operations, finance, auditor, security");
    }

    #[test]
    fn a_member_is_nobody_else() {
        let member = Principal::Member(MemberId(7));
        assert!(member.is_member(MemberId(7)) && !member.is_member(MemberId(8)));
        let service = Principal::Service { name: "7".into(), relays: Relays::default() };
        assert!(!service.is_member(MemberId(7)) && service.scopes().is_empty());
    }

    #[test]
    fn subscriptions_are_granted_by_name_or_all_at_once() {
        let read = |json: &str| serde_json::from_str::<Grants>(json).unwrap();
        for two in [r#"["relay:erp","finance","relay:w.m-s"]"#, r#""relay:erp finance relay:w.m-s""#] {
            let Grants { scopes, relays } = read(two);
            assert_eq!(scopes, Scopes::of(&[Scope::Finance]));
            assert!(relays.has("erp") && relays.has("w.m-s") && !relays.is_empty());
            assert!(!relays.has("er") && !relays.has("*") && !relays.has("ERP"));
        }
        assert!(read(r#"["relay:*"]"#).relays.has("anything"));
        for nothing in ["[]", r#""""#, r#"["relay:","relay","Relay:erp"," relay:erp","*"]"#] {
            assert!(read(nothing).relays.is_empty(), "{nothing}");
        }
    }
}
