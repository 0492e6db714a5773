//! What signed notifications have in common: headers that must be given once, and a window against replays.

use axum::http::HeaderMap;

use super::CallbackError;

/// Most digits of a timestamp, which bounds what is signed and keeps it far from overflow.
const TIMESTAMP_DIGITS_MAX: usize = 12;

/// A header's one value.
pub(super) fn header<'a>(headers: &'a HeaderMap, name: &'static str) -> Result<&'a str, CallbackError> {
    let malformed = CallbackError::MalformedHeader { header: name, expected: "visible ASCII text" };
    let mut values = headers.get_all(name).iter();
    let value = values.next().ok_or(CallbackError::MissingHeader { header: name })?;
    // Of two values one could be signed and the other one be used.
    if values.next().is_some() {
        return Err(malformed);
    }
    value.to_str().map_err(|_| malformed)
}

/// Reads a timestamp in seconds since the Unix epoch, in decimal digits.
pub(super) fn timestamp_s(text: &str, header: &'static str) -> Result<u64, CallbackError> {
    let is_number = !text.is_empty()
        && text.len() <= TIMESTAMP_DIGITS_MAX
        && text.bytes().all(|byte| byte.is_ascii_digit());
    let malformed = CallbackError::MalformedHeader { header, expected: "seconds since the unix epoch" };
    text.parse().ok().filter(|_| is_number).ok_or(malformed)
}

/// Checks that a notification was signed no longer than the window ago, and no further ahead, since clocks differ.
pub(super) fn check_window(timestamp_s: u64, now_ms: u64, window_s: u32) -> Result<(), CallbackError> {
    let apart_ms = timestamp_s.saturating_mul(1_000).abs_diff(now_ms);
    if apart_ms > u64::from(window_s) * 1_000 {
        return Err(CallbackError::TimestampOutsideWindow { apart_s: apart_ms.div_ceil(1_000), window_s });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_window_reaches_both_ways_and_its_ends_are_in_it() {
        let now_ms = 1_000_000_000;
        for timestamp_s in [1_000_000 - 300, 1_000_000, 1_000_000 + 300] {
            assert_eq!(check_window(timestamp_s, now_ms, 300), Ok(()));
        }
        for (timestamp_s, now_ms) in [(1_000_000 - 300, now_ms + 1), (1_000_000 + 300, now_ms - 1)] {
            let outside = CallbackError::TimestampOutsideWindow { apart_s: 301, window_s: 300 };
            assert_eq!(check_window(timestamp_s, now_ms, 300), Err(outside));
        }
        assert!(check_window(u64::MAX, now_ms, 300).is_err());
    }

    #[test]
    fn a_timestamp_is_digits_and_nothing_else() {
        assert_eq!(timestamp_s("1760000000", "t"), Ok(1_760_000_000));
        for wrong in ["", "-1", "+1", " 1", "1.5", "1e3", "1234567890123", "x"] {
            assert!(timestamp_s(wrong, "t").is_err(), "{wrong}");
        }
    }
}
