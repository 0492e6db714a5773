//! What lists of orders share where they are searched: the query's text, the sequence, the counts.
//!
//! A query may hold names and phone numbers. It goes to the engine, and nowhere else: refusals say at which character it
//! can't be read and what could stand there, and repeat nothing of it.

use crate::domain::search::{Expr, ParseContext, SearchCursor, Sort, SortKey};
use crate::domain::statement::UtcOffset;
use crate::http::problem::Problem;
use crate::{Engine, OrderStatus, OrderType, SearchCounts, SearchSource};

use super::member::list::CountsBody;

/// Sequences by their names.
const SORTS: [(&str, SortKey, bool); 6] = [
    ("newest", SortKey::Created, true),
    ("oldest", SortKey::Created, false),
    ("paid_newest", SortKey::Paid, true),
    ("paid_oldest", SortKey::Paid, false),
    ("amount_highest", SortKey::Amount, true),
    ("amount_lowest", SortKey::Amount, false),
];

/// The sequence of that name; the newest first without one.
///
/// # Errors
/// A name that there is not.
pub(super) fn sort_named(name: Option<&str>) -> Result<Sort, Problem> {
    let name = name.unwrap_or("newest");
    let sort = SORTS.iter().find(|(known, ..)| *known == name);
    sort.map(|(_, key, descending)| Sort { key: *key, descending: *descending }).ok_or_else(|| {
        Problem::invalid(
            "sort",
            "sort is newest, oldest, paid_newest, paid_oldest, amount_highest or amount_lowest",
            "sort 取值 newest、oldest、paid_newest、paid_oldest、amount_highest 或 amount_lowest",
        )
    })
}

/// The offset from UTC that a query's dates go by. Read also where there is no query, so that a wrong one is told.
///
/// # Errors
/// A text that is none.
pub(super) fn offset_of(zone: Option<&str>) -> Result<UtcOffset, Problem> {
    zone.unwrap_or("Z").parse().map_err(|_| {
        Problem::invalid(
            "zone",
            "zone is an offset from UTC such as +08:00",
            "zone 应为 +08:00 这样的时区偏移",
        )
    })
}

/// What a query's text means, by this offset from UTC; everything without a text.
///
/// # Errors
/// `search_syntax` with its place.
pub(super) fn expr_of(engine: &Engine, text: Option<&str>, offset: UtcOffset) -> Result<Expr, Problem> {
    let context = ParseContext { now_ms: engine.now_ms(), offset };
    let expr = text.map(|text| Expr::parse(text, &context)).transpose();
    Ok(expr.map_err(crate::Reject::from)?.unwrap_or(Expr::All))
}

/// The place that a page begins behind.
///
/// # Errors
/// A text that no page has given.
pub(super) fn cursor_at(
    text: Option<&str>,
    wrong: impl FnOnce() -> Problem,
) -> Result<Option<SearchCursor>, Problem> {
    text.map(str::parse).transpose().map_err(|_| wrong())
}

/// A source's name.
pub(super) const fn source_name(source: SearchSource) -> &'static str {
    match source {
        SearchSource::Index => "index",
        SearchSource::Store => "store",
    }
}

impl From<SearchCounts> for CountsBody {
    fn from(counts: SearchCounts) -> Self {
        let SearchCounts { total, by_status, by_type, complete } = counts;
        Self {
            by_status: OrderStatus::ALL.map(|status| (status.name(), by_status[status as usize])).into(),
            by_type: OrderType::ALL.map(|one| (one.name(), by_type[one as usize])).into(),
            total,
            complete,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sequences_have_names() {
        assert_eq!(sort_named(None).unwrap(), Sort::default());
        for (name, key, descending) in SORTS {
            assert_eq!(sort_named(Some(name)).unwrap(), Sort { key, descending });
        }
        assert_eq!(sort_named(Some("Newest")).unwrap_err().about(), Some("sort"));
    }

    #[test]
    fn counts_stand_under_the_names_of_their_variants() {
        let (by_status, by_type) = ([10, 11, 12, 13, 14, 15], [20, 21, 22]);
        let body = CountsBody::from(SearchCounts { total: 75, by_status, by_type, complete: true });
        assert_eq!(body.by_status.len(), OrderStatus::ALL.len());
        assert_eq!((body.by_status["pending"], body.by_status["shipped"]), (10, 12));
        assert_eq!((body.by_status["cancelled"], body.by_status["partially_shipped"]), (14, 15));
        let types = OrderType::ALL.map(|one| body.by_type[one.name()]);
        assert_eq!(types.iter().sum::<u64>(), 63);
    }
}
