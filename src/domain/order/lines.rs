//! The lines of an order.

use std::fmt;
use std::ops::Deref;

use serde::de::{SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::domain::event::StockUnits;
use crate::domain::ids::{ActivityId, StockKey, TeamId};
use crate::domain::money::Money;
use crate::domain::request::ORDER_LINES_MAX;

/// One line of an order: so many units of one stock key, at the price of one catalogue revision.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Line {
    /// Which stock.
    pub key: StockKey,
    /// Units, at least one.
    pub quantity: u32,
    /// Price of one unit.
    pub price: Money,
    /// The catalogue revision that title, code and price come from.
    pub revision: u32,
    /// The purchase limit in force when the order was placed; 0 stands for none. Only limited lines are counted.
    pub limit_per_member: u32,
}

/// The revision that the line of a seat names: seats are no goods, and in no catalogue.
pub const SEAT_REVISION: u32 = u32::MAX;

impl Line {
    /// A seat in a team: it costs nothing, and a member has one of each team.
    pub const fn seat(activity: ActivityId, team: TeamId) -> Self {
        let key = StockKey::seats(activity, team);
        Self { key, quantity: 1, price: Money::ZERO, revision: SEAT_REVISION, limit_per_member: 1 }
    }

    /// Whether it is a seat in a team, and no goods.
    pub const fn is_seat(&self) -> bool {
        self.revision == SEAT_REVISION
    }
}

/// The lines of an order: one or more, distinct stock keys, ascending. One line, the commonest case, takes no
/// allocation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lines(Repr);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Repr {
    One(Line),
    Many(Box<[Line]>),
}

impl Lines {
    /// A single line.
    pub const fn one(line: Line) -> Self {
        Self(Repr::One(line))
    }

    /// Lines that are already distinct and ascending.
    pub fn from_vec(lines: Vec<Line>) -> Self {
        debug_assert!(lines.windows(2).all(|pair| pair[0].key < pair[1].key), "lines must ascend");
        match lines.as_slice() {
            [line] => Self::one(*line),
            _ => Self(Repr::Many(lines.into_boxed_slice())),
        }
    }

    /// The units that the order takes, line by line.
    pub fn units(&self) -> Vec<StockUnits> {
        self.iter().map(|line| StockUnits { key: line.key, quantity: line.quantity }).collect()
    }
}

impl Deref for Lines {
    type Target = [Line];

    fn deref(&self) -> &[Line] {
        match &self.0 {
            Repr::One(line) => std::slice::from_ref(line),
            Repr::Many(lines) => lines,
        }
    }
}

impl Serialize for Lines {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.iter())
    }
}

impl<'de> Deserialize<'de> for Lines {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct LinesVisitor;

        impl<'de> Visitor<'de> for LinesVisitor {
            type Value = Lines;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "1 to {ORDER_LINES_MAX} order lines")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Lines, A::Error> {
                let len = seq.size_hint().unwrap_or(0);
                let first = seq.next_element()?.ok_or_else(|| serde::de::Error::invalid_length(0, &self))?;
                if len <= 1 {
                    return Ok(Lines::one(first));
                }
                // A damaged length must not become a huge allocation.
                let mut lines = Vec::with_capacity(len.min(ORDER_LINES_MAX));
                lines.push(first);
                while let Some(line) = seq.next_element()? {
                    lines.push(line);
                }
                Ok(Lines::from_vec(lines))
            }
        }

        deserializer.deserialize_seq(LinesVisitor)
    }
}
