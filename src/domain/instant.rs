//! Instants as RFC 3339 says them, in UTC, by the calendar alone.

use super::calendar::{civil, days_of, fields};

const DAY_MS: i64 = 86_400_000;

/// An instant in ms since the Unix epoch, as `2026-11-21T08:00:00.000Z`.
pub fn rfc3339(at_ms: u64) -> String {
    // Years of five digits are no RFC 3339, and no order was placed then.
    let at_ms = i64::try_from(at_ms).unwrap_or(i64::MAX);
    let (days, in_day_ms) = (at_ms.div_euclid(DAY_MS), at_ms.rem_euclid(DAY_MS));
    let (year, month, day) = civil(days);
    let (seconds, ms) = (in_day_ms / 1000, in_day_ms % 1000);
    let (hour, minute, second) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{ms:03}Z")
}

/// An instant in ms since the Unix epoch, from an RFC 3339 date-time, a date alone (its midnight in UTC), or the number
/// itself.
///
/// # Errors
/// What is wrong with the text, in words.
pub fn parse_instant(text: &str) -> Result<u64, String> {
    let wrong = || {
        format!(
            "`{text}` is no instant: expected RFC 3339 like 2026-11-21T08:00:00Z, a date, or ms since 1970"
        )
    };
    if !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()) {
        return text.parse().map_err(|_| wrong());
    }
    let at_ms = parse(text).ok_or_else(wrong)?;
    u64::try_from(at_ms).map_err(|_| format!("`{text}` lies before 1970"))
}

fn parse(text: &str) -> Option<i64> {
    let (date, time) = match text.split_at_checked(10)? {
        (date, "") => (date, "T00:00:00Z"),
        parts => parts,
    };
    let [year, month, day] = fields(date, '-', [4, 2, 2])?;
    let days = days_of(year, month, day)?;
    let time = time.strip_prefix(['T', 't', ' '])?;
    let (clock, rest) = time.split_at_checked(8)?;
    let [hour, minute, second] = fields(clock, ':', [2, 2, 2])?;
    // A leap second counts as the second after it.
    if hour > 23 || minute > 59 || second > 60 {
        return None;
    }
    let digits = rest.strip_prefix('.').map_or(0, |rest| rest.bytes().take_while(u8::is_ascii_digit).count());
    let (ms, zone) = match rest.strip_prefix('.') {
        None => (0, rest),
        Some(_) if digits == 0 => return None,
        Some(rest) => {
            let ms = rest[..digits].bytes().chain([b'0'; 3]).take(3);
            (ms.fold(0, |sum, digit| sum * 10 + i64::from(digit - b'0')), &rest[digits..])
        }
    };
    let offset_minutes = match zone {
        "Z" | "z" => 0,
        zone => {
            let (sign, offset) = zone.split_at_checked(1)?;
            let [hours, minutes] = fields(offset, ':', [2, 2])?;
            let minutes = (hours <= 23 && minutes <= 59).then_some(hours * 60 + minutes)?;
            match sign {
                "+" => minutes,
                "-" => -minutes,
                _ => return None,
            }
        }
    };
    let seconds = hour * 3600 + (minute - offset_minutes) * 60 + second;
    Some(days * DAY_MS + seconds * 1000 + ms)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn instants_are_shown_and_read_alike() {
        let known = [
            (0, "1970-01-01T00:00:00.000Z"),
            (951_782_400_000, "2000-02-29T00:00:00.000Z"),
            (1_709_164_800_000, "2024-02-29T00:00:00.000Z"),
            (1_798_761_599_999, "2026-12-31T23:59:59.999Z"),
            (4_107_542_400_000, "2100-03-01T00:00:00.000Z"),
        ];
        for (at_ms, text) in known {
            assert_eq!(rfc3339(at_ms), text);
            assert_eq!(parse_instant(text), Ok(at_ms));
            assert_eq!(parse_instant(&at_ms.to_string()), Ok(at_ms));
        }
        for day in 0..60_000 {
            let at_ms = day * DAY_MS as u64 + 1;
            assert_eq!(parse_instant(&rfc3339(at_ms)), Ok(at_ms));
        }
    }

    #[test]
    fn offsets_fractions_and_dates_are_understood() {
        let hour_ms = 3_600_000;
        assert_eq!(parse_instant("1970-01-02"), Ok(DAY_MS as u64));
        assert_eq!(parse_instant("1970-01-01T08:00:00+08:00"), Ok(0));
        assert_eq!(parse_instant("1970-01-01t00:30:00-00:30"), Ok(hour_ms));
        assert_eq!(parse_instant("1970-01-01 00:00:00.5Z"), Ok(500));
        assert_eq!(parse_instant("1970-01-01T00:00:00.123987Z"), Ok(123));
    }

    #[test]
    fn what_is_no_instant_is_refused() {
        let wrong = [
            "",
            "x",
            "-5",
            "2026-02-30",
            "2026-13-01",
            "2026-1-1",
            "2026-11-21T08:00",
            "2026-11-21T08:00:00",
            "2026-11-21T24:00:00Z",
            "2026-11-21T08:00:00.Z",
            "2026-11-21T08:00:00+8",
            "2026-11-21T08:00:00Zjunk",
            "1969-12-31",
            "äöüäöüäöü",
            "99999999999999999999",
        ];
        for text in wrong {
            assert!(parse_instant(text).is_err(), "{text}");
        }
    }
}
