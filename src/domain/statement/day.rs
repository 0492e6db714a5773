//! A calendar day, and the offset from UTC by which it begins and ends.

use std::fmt;
use std::str::FromStr;

use crate::domain::calendar::{civil, days_of, fields};

const MINUTE_MS: i64 = 60_000;
const DAY_MS: i64 = 86_400_000;
/// No place on earth is further from UTC, in minutes.
const OFFSET_MINUTES_MAX: i32 = 18 * 60;
/// The last day with a year of four digits: 9999-12-31.
const DAYS_MAX: i64 = 2_932_896;

/// A string that is no day, or no offset.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is no {what}")]
pub struct ParseDayError {
    text: String,
    what: &'static str,
}

/// A time zone's fixed distance from UTC, in whole minutes. Zones with summer time have two: say which one holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct UtcOffset(i32);

impl UtcOffset {
    /// UTC itself.
    pub const UTC: Self = Self(0);

    /// So many minutes east of UTC; `None` beyond 18 hours.
    pub const fn from_minutes(minutes: i32) -> Option<Self> {
        if minutes.unsigned_abs() <= OFFSET_MINUTES_MAX as u32 { Some(Self(minutes)) } else { None }
    }

    /// Minutes east of UTC.
    pub const fn minutes(self) -> i32 {
        self.0
    }
}

impl fmt::Display for UtcOffset {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sign = if self.0 < 0 { '-' } else { '+' };
        let minutes = self.0.unsigned_abs();
        write!(f, "{sign}{:02}:{:02}", minutes / 60, minutes % 60)
    }
}

impl FromStr for UtcOffset {
    type Err = ParseDayError;

    /// `+08:00`, `-03:30`, or `Z`.
    fn from_str(text: &str) -> Result<Self, ParseDayError> {
        let parsed = || {
            if matches!(text, "Z" | "z") {
                return Some(Self::UTC);
            }
            let (sign, rest) = text.split_at_checked(1)?;
            let [hours, minutes] = fields(rest, ':', [2, 2])?;
            let minutes = i32::try_from(hours * 60 + minutes).ok().filter(|_| minutes < 60)?;
            match sign {
                "+" => Self::from_minutes(minutes),
                "-" => Self::from_minutes(-minutes),
                _ => None,
            }
        };
        let what = "offset from UTC: expected +08:00, -03:30 or Z";
        parsed().ok_or_else(|| ParseDayError { text: text.to_owned(), what })
    }
}

/// A day of the calendar from 1970 to 9999; where it begins depends on the offset.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Day(i64);

impl Day {
    /// A date; `None` for one that does not exist or lies outside.
    pub fn from_date(year: i64, month: i64, day: i64) -> Option<Self> {
        days_of(year, month, day).filter(|days| (0..=DAYS_MAX).contains(days)).map(Self)
    }

    /// The day that an instant falls on, in ms since the Unix epoch.
    pub fn of(at_ms: u64, offset: UtcOffset) -> Self {
        let at_ms = i64::try_from(at_ms).unwrap_or(i64::MAX - DAY_MS);
        let days = (at_ms + i64::from(offset.0) * MINUTE_MS).div_euclid(DAY_MS);
        Self(days.clamp(0, DAYS_MAX))
    }

    /// The day after it; the last one is its own.
    pub fn next(self) -> Self {
        Self((self.0 + 1).min(DAYS_MAX))
    }

    /// Its first instant and the first one behind it, in ms since the Unix epoch. What would lie before 1970 is 0.
    pub fn bounds(self, offset: UtcOffset) -> (u64, u64) {
        let from_ms = self.0 * DAY_MS - i64::from(offset.0) * MINUTE_MS;
        let positive = |at_ms: i64| u64::try_from(at_ms).unwrap_or(0);
        (positive(from_ms), positive(from_ms + DAY_MS))
    }
}

impl fmt::Display for Day {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (year, month, day) = civil(self.0);
        write!(f, "{year:04}-{month:02}-{day:02}")
    }
}

impl FromStr for Day {
    type Err = ParseDayError;

    fn from_str(text: &str) -> Result<Self, ParseDayError> {
        let what = "day: expected a date like 2026-11-21";
        let date = fields(text, '-', [4, 2, 2]);
        let day = date.and_then(|[year, month, day]| Self::from_date(year, month, day));
        day.ok_or_else(|| ParseDayError { text: text.to_owned(), what })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_day_begins_at_midnight_by_its_offset() {
        let day: Day = "2026-11-21".parse().unwrap();
        let china: UtcOffset = "+08:00".parse().unwrap();
        let (from_ms, until_ms) = day.bounds(china);
        // 2026-11-20T16:00:00Z
        assert_eq!(from_ms, 1_795_190_400_000);
        assert_eq!(until_ms - from_ms, DAY_MS as u64);
        assert_eq!(Day::of(from_ms, china), day);
        assert_eq!(Day::of(until_ms - 1, china), day);
        assert_eq!(Day::of(until_ms, china), day.next());
        assert_eq!(Day::of(from_ms, UtcOffset::UTC).next(), day);
        assert_eq!(day.to_string(), "2026-11-21");
    }

    #[test]
    fn days_follow_each_other_without_a_gap() {
        for offset in ["-12:00", "-03:30", "Z", "+05:45", "+14:00"] {
            let offset: UtcOffset = offset.parse().unwrap();
            let mut day = Day::from_date(2024, 1, 1).unwrap();
            for _ in 0..800 {
                assert_eq!(day.bounds(offset).1, day.next().bounds(offset).0);
                day = day.next();
            }
            assert_eq!(day.to_string(), "2026-03-11");
        }
    }

    #[test]
    fn offsets_are_shown_as_they_are_read() {
        for text in ["+00:00", "+08:00", "-03:30", "+05:45", "-18:00"] {
            assert_eq!(text.parse::<UtcOffset>().unwrap().to_string(), text);
        }
        for wrong in ["", "8", "+8", "+08", "08:00", "+08:60", "+18:01", "+08:00x", "Asia/Shanghai", "+é1:00"]
        {
            assert!(wrong.parse::<UtcOffset>().is_err(), "{wrong}");
        }
        for wrong in ["", "2026-02-29", "2026-1-1", "1969-12-31", "2026-11-21T00:00:00Z", "20261121"] {
            assert!(wrong.parse::<Day>().is_err(), "{wrong}");
        }
    }
}
