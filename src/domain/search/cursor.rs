//! Where a search's next page starts, as clients carry it from page to page.

use std::fmt;
use std::str::FromStr;

use super::{Cursor, Sort, SortKey};
use crate::domain::hash::RecordHasher;
use crate::domain::ids::OrderNo;

/// Version of the written form.
const VERSION: &str = "1";
/// What the check is a hash of, beside the cursor.
const CHECK_KIND: u64 = 0x7365_6172_6368;

/// A place in the sequence of one sort: behind the hit with this key and number. It goes on wherever it was cut off, also
/// after a restart, and also where another source answers, as long as that one knows the sort.
///
/// Written as letters, digits and dashes alone, with a check: what was mangled on its way is refused, not misread. It is no
/// secret and no permission.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct SearchCursor {
    /// The sort that it belongs to.
    pub sort: Sort,
    /// The last hit before it.
    pub place: Cursor,
}

/// A text that is no cursor of a search.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a cursor of a search: give back what the page before said")]
pub struct ParseSearchCursorError;

impl SearchCursor {
    const fn sort_name(&self) -> &'static str {
        match (self.sort.key, self.sort.descending) {
            (SortKey::Created, true) => "cd",
            (SortKey::Created, false) => "ca",
            (SortKey::Paid, true) => "pd",
            (SortKey::Paid, false) => "pa",
            (SortKey::Amount, true) => "md",
            (SortKey::Amount, false) => "ma",
        }
    }

    fn check(&self) -> u32 {
        let hash = RecordHasher::new(CHECK_KIND)
            .bytes(self.sort_name().as_bytes())
            .word(self.place.key as u64)
            .word(self.place.order_no.get())
            .finish();
        (hash >> 32) as u32
    }
}

/// `1cd-<key>-<order number>-<check>`, numbers in hexadecimal.
impl fmt::Display for SearchCursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Cursor { key, order_no } = self.place;
        write!(f, "{VERSION}{}-{key:x}-{:x}-{:08x}", self.sort_name(), order_no.get(), self.check())
    }
}

impl FromStr for SearchCursor {
    type Err = ParseSearchCursorError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let parsed = || {
            let rest = text.strip_prefix(VERSION)?;
            let mut parts = rest.split('-');
            let (sort, key, order_no) = (parts.next()?, parts.next()?, parts.next()?);
            let (key_name, direction) = sort.split_at_checked(1)?;
            let key_name = match key_name {
                "c" => SortKey::Created,
                "p" => SortKey::Paid,
                "m" => SortKey::Amount,
                _ => return None,
            };
            let sort = Sort { key: key_name, descending: direction == "d" };
            let key = u64::from_str_radix(key, 16).ok()? as i64;
            let order_no = OrderNo::from_u64(u64::from_str_radix(order_no, 16).ok()?)?;
            Some(Self { sort, place: Cursor { key, order_no } })
        };
        // What it would be written as is compared whole: signs, leading zeros and a wrong check fall out.
        parsed().filter(|cursor| cursor.to_string() == text).ok_or(ParseSearchCursorError)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn cursors() -> impl Strategy<Value = SearchCursor> {
        let keys = prop_oneof![Just(SortKey::Created), Just(SortKey::Paid), Just(SortKey::Amount)];
        (keys, any::<bool>(), any::<i64>(), 0..=u64::MAX >> 1).prop_map(|(key, descending, value, number)| {
            let order_no = OrderNo::from_u64(number).unwrap();
            SearchCursor { sort: Sort { key, descending }, place: Cursor { key: value, order_no } }
        })
    }

    proptest! {
        #[test]
        fn a_cursor_is_read_back_and_needs_no_escapes(cursor in cursors()) {
            let text = cursor.to_string();
            prop_assert_eq!(text.parse(), Ok(cursor));
            prop_assert!(text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-'));
        }

        #[test]
        fn a_cursor_with_one_character_changed_is_refused(
            cursor in cursors(), at in any::<prop::sample::Index>(), byte in "[0-9a-z-]"
        ) {
            let mut text = cursor.to_string();
            let at = at.index(text.len());
            prop_assume!(text[at..=at] != byte);
            text.replace_range(at..=at, &byte);
            prop_assert_eq!(text.parse::<SearchCursor>(), Err(ParseSearchCursorError));
        }
    }

    #[test]
    fn what_is_no_cursor_is_refused() {
        let order_no = OrderNo::from_u64(0x5a5).unwrap();
        let cursor = SearchCursor { sort: Sort::default(), place: Cursor { key: -1, order_no } };
        assert_eq!(cursor.to_string(), "1cd-ffffffffffffffff-5a5-84920f0b");
        for text in ["", "1", "1cd", "1cd--5a5-0", "2cd-1-5a5-0", "380000000000000001", "1ü-1-1-1"] {
            assert_eq!(text.parse::<SearchCursor>(), Err(ParseSearchCursorError), "{text}");
        }
    }
}
