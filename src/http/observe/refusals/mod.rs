//! The latest refusals, for whoever is asked "why didn't I get it?".
//!
//! Two rings: one for callers with a valid token, a smaller one for everybody else, so that strangers can't push out
//! what members were answered. In memory alone, all of them, unsampled; a restart forgets them. What is kept is what the
//! program itself said – codes, names of fields, the engine's figures – and nothing that a caller wrote beside the names
//! of its requests.

pub mod page;
mod ring;

use std::sync::Arc;

use self::ring::Ring;
use super::requests::Route;
use crate::http::problem::Problem;
use crate::{MemberId, Reject, RequestId};

/// Smallest ring.
const KEPT_MIN: usize = 8;
/// Largest ring.
const KEPT_MAX: usize = 1 << 24;
/// The other ring is so much smaller.
const STRANGERS_SHARE: usize = 8;
/// Longest name of a field that is kept, in bytes.
const FIELD_BYTES_MAX: usize = 64;

/// A refusal on its way to its caller.
#[derive(Clone, Copy, Debug)]
pub struct Refused<'a> {
    /// The member who asked, or on whose behalf somebody did.
    pub member: Option<MemberId>,
    /// The client's name for the request, where it may be sent again.
    pub key: Option<RequestId>,
    /// The request's `X-Request-Id`.
    pub request_id: &'a Arc<str>,
    /// Where.
    pub route: Route,
    /// Whether the caller had a valid token.
    pub is_known: bool,
    /// What was said.
    pub problem: &'a Problem,
}

/// A refusal that is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// When, in ms since the Unix epoch.
    pub at_ms: u64,
    /// The member.
    pub member: Option<MemberId>,
    /// The client's name for the request.
    pub key: Option<RequestId>,
    /// The request's `X-Request-Id`.
    pub request_id: Arc<str>,
    /// Where.
    pub route: Route,
    /// The HTTP status.
    pub status: u16,
    /// The stable code.
    pub code: &'static str,
    /// The field, where its name is one of ours.
    pub field: Option<Box<str>>,
    /// The engine's words, where it was the engine that refused.
    pub reject: Option<Reject>,
}

/// Which refusals are looked for: all that are asked for must agree.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Filter {
    /// Of this member.
    pub member: Option<MemberId>,
    /// With this `X-Request-Id`, or this client's name for the request.
    pub request_id: Option<String>,
    /// With this code.
    pub code: Option<String>,
}

impl Filter {
    fn lets(&self, refusal: &Refusal, key: Option<RequestId>) -> bool {
        let is_request = |id: &String| *refusal.request_id == **id || (key.is_some() && refusal.key == key);
        self.member.is_none_or(|member| refusal.member == Some(member))
            && self.code.as_ref().is_none_or(|code| *refusal.code == **code)
            && self.request_id.as_ref().is_none_or(is_request)
    }
}

/// The latest refusals.
#[derive(Debug)]
pub struct RefusalLog {
    known: Ring<Refusal>,
    strangers: Ring<Refusal>,
}

impl RefusalLog {
    /// Keeps so many, within 8 to 16,777,216, and an eighth of that for strangers.
    pub fn new(kept: usize) -> Self {
        let kept = kept.clamp(KEPT_MIN, KEPT_MAX);
        Self { known: Ring::new(kept), strangers: Ring::new(kept / STRANGERS_SHARE) }
    }

    /// Keeps one, in the place of the oldest. Takes a place of its own, whose lock nobody else wants unless the ring goes
    /// round within that moment or somebody reads it.
    pub fn keep(&self, at_ms: u64, refused: &Refused<'_>) {
        let Refused { member, key, request_id, route, is_known, problem } = *refused;
        let ring = if is_known { &self.known } else { &self.strangers };
        ring.push(Refusal {
            at_ms,
            member,
            key,
            request_id: Arc::clone(request_id),
            route,
            status: problem.http_status().as_u16(),
            code: problem.code(),
            field: problem.about().filter(|field| is_our_name(field)).map(Into::into),
            reject: problem.reject(),
        });
    }

    /// The latest of those that a filter lets through, at most `len_max`, latest first. Looks at all that are kept.
    pub fn find(&self, filter: &Filter, len_max: usize) -> Vec<Refusal> {
        let key = filter.request_id.as_ref().map(|id| RequestId::from_key(id.as_bytes()));
        let mut found = self.known.latest(len_max, |refusal| filter.lets(refusal, key));
        // Strangers are no members.
        if filter.member.is_none() {
            found.extend(self.strangers.latest(len_max, |refusal| filter.lets(refusal, key)));
            found.sort_by_key(|refusal| std::cmp::Reverse(refusal.at_ms));
            found.truncate(len_max);
        }
        found
    }

    /// How many there were so far, kept or not.
    pub fn total(&self) -> u64 {
        self.known.total() + self.strangers.total()
    }
}

/// Whether a field's name has the form of ours: a name in a body may be anything, somebody's phone number for one.
fn is_our_name(field: &str) -> bool {
    let is_index = |index: &str| index.len() <= 3 && index.bytes().all(|byte| byte.is_ascii_digit());
    field.len() <= FIELD_BYTES_MAX
        && field.split('.').all(|part| {
            let (name, index) = match part.split_once('[') {
                Some((name, index)) => (name, index.strip_suffix(']').is_some_and(is_index)),
                None => (part, true),
            };
            index && !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_')
        })
}

#[cfg(test)]
mod tests {
    use axum::http::StatusCode;

    use super::*;

    fn refuse(log: &RefusalLog, at_ms: u64, member: Option<u64>, request: &str, problem: &Problem) {
        log.keep(
            at_ms,
            &Refused {
                member: member.map(MemberId),
                key: problem.request(),
                request_id: &request.into(),
                route: Route::of("POST", "/api/order/submit"),
                is_known: member.is_some(),
                problem,
            },
        );
    }

    fn problem(code: &'static str) -> Problem {
        Problem::new(StatusCode::CONFLICT, code, "", "")
    }

    #[test]
    fn refusals_are_found_by_whatever_is_known_of_them() {
        let log = RefusalLog::new(64);
        let named = problem("sold_out").about_request(RequestId::from_key(b"order-1"));
        refuse(&log, 1, Some(7), "a", &named);
        refuse(&log, 2, Some(8), "b", &problem("sold_out"));
        refuse(&log, 3, Some(7), "c", &problem("overloaded"));
        refuse(&log, 4, None, "d", &problem("token_missing"));
        let find = |filter: Filter, len_max| {
            log.find(&filter, len_max).iter().map(|refusal| refusal.at_ms).collect::<Vec<_>>()
        };
        assert_eq!(find(Filter::default(), 9), [4, 3, 2, 1]);
        assert_eq!(find(Filter::default(), 2), [4, 3]);
        let of_7 = Filter { member: Some(MemberId(7)), ..Filter::default() };
        assert_eq!(find(of_7.clone(), 9), [3, 1]);
        assert_eq!(find(Filter { code: Some("sold_out".into()), ..of_7 }, 9), [1]);
        for request in ["a", "order-1"] {
            assert_eq!(find(Filter { request_id: Some(request.into()), ..Filter::default() }, 9), [1]);
        }
        assert_eq!(find(Filter { request_id: Some("order-2".into()), ..Filter::default() }, 9), [0; 0]);
    }

    #[test]
    fn strangers_push_out_only_strangers() {
        let log = RefusalLog::new(16);
        refuse(&log, 1, Some(7), "a", &problem("sold_out"));
        for at_ms in 2..100 {
            refuse(&log, at_ms, None, "x", &problem("token_missing"));
        }
        let found = log.find(&Filter::default(), 100);
        assert_eq!(found.iter().map(|refusal| refusal.at_ms).collect::<Vec<_>>(), [99, 98, 1]);
        assert_eq!(log.total(), 99);
    }

    #[test]
    fn only_names_of_fields_that_look_like_ours_are_kept() {
        for ours in ["sku_id", "lines[0].sku_id", "prices.lines[12].discount"] {
            assert!(is_our_name(ours), "{ours}");
        }
        let long = "a".repeat(65);
        for foreign in [
            "",
            ".",
            "13800138000",
            "lines[13800138000]",
            "Road",
            "张三",
            "lines[0",
            "a b",
            "lines[0]x",
            &long,
        ] {
            assert!(!is_our_name(foreign), "{foreign}");
        }
    }
}
