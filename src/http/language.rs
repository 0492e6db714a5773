//! The two languages that messages come in.

use axum::http::{HeaderMap, header};

/// A language of messages. Codes and field names are the same in both.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Language {
    /// English, unless Chinese is asked for.
    #[default]
    English,
    /// Chinese.
    Chinese,
}

impl Language {
    /// Its tag in `Content-Language`.
    pub const fn tag(self) -> &'static str {
        match self {
            Self::English => "en",
            Self::Chinese => "zh",
        }
    }

    /// The one that `Accept-Language` prefers (RFC 9110, section 12.5.4); English where it names neither.
    pub fn of(headers: &HeaderMap) -> Self {
        let Some(accepted) = headers.get(header::ACCEPT_LANGUAGE).and_then(|value| value.to_str().ok())
        else {
            return Self::English;
        };
        let mut best = (Self::English, 0);
        for range in accepted.split(',').take(32) {
            let mut parts = range.split(';');
            let tag = parts.next().unwrap_or_default().trim();
            let primary = tag.split('-').next().unwrap_or_default();
            let language = if primary.eq_ignore_ascii_case("zh") {
                Self::Chinese
            } else if primary.eq_ignore_ascii_case("en") {
                Self::English
            } else {
                continue;
            };
            let quality = parts.find_map(|part| part.trim().strip_prefix("q=").map(thousandths));
            let quality = quality.unwrap_or(1_000);
            if quality > best.1 {
                best = (language, quality);
            }
        }
        best.0
    }
}

/// A quality value in thousandths; what is none counts as 0.
fn thousandths(quality: &str) -> u32 {
    let (whole, fraction) = quality.split_once('.').unwrap_or((quality, ""));
    let digits = fraction.bytes().chain([b'0'; 3]).take(3);
    let fraction = digits.fold(0, |sum, digit| sum * 10 + u32::from(digit.saturating_sub(b'0').min(9)));
    (whole.parse::<u32>().unwrap_or(0).min(1) * 1_000 + fraction).min(1_000)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_preferred_of_the_two_is_taken() {
        let of = |value: &'static str| {
            let mut headers = HeaderMap::new();
            headers.insert(header::ACCEPT_LANGUAGE, value.parse().unwrap());
            Language::of(&headers)
        };
        assert_eq!(of("zh-CN,zh;q=0.9,en;q=0.8"), Language::Chinese);
        assert_eq!(of("en-US, zh;q=0.5"), Language::English);
        assert_eq!(of("fr, zh;q=0.2, en;q=0.1"), Language::Chinese);
        assert_eq!(of("fr"), Language::English);
        assert_eq!(of("zh;q=0"), Language::English);
        assert_eq!(of("ZH-hant"), Language::Chinese);
        assert_eq!(Language::of(&HeaderMap::new()), Language::English);
    }
}
