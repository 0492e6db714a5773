//! Counters of requests: by route, method and class of status, with how long they took.
//!
//! Every cell exists from the start, one set for each route of the table and one for everything else, so that counting
//! is three additions, and a path that somebody makes up has no cell of its own.

use std::sync::atomic::{AtomicU64, Ordering};

use axum::http::StatusCode;

use crate::Histogram;
use crate::http::auth::access::{self, ROUTES};
use crate::runtime::histogram::HistogramCells;

/// Microseconds, from a refusal at the door to a request that waited for its deadline.
const MICROSECOND_BOUNDS: &[u64] = &[
    100, 250, 500, 1_000, 2_500, 5_000, 10_000, 25_000, 50_000, 100_000, 250_000, 500_000, 1_000_000,
    2_500_000, 5_000_000, 10_000_000, 30_000_000,
];
/// 1xx to 5xx.
const CLASSES: [&str; 5] = ["1xx", "2xx", "3xx", "4xx", "5xx"];

/// A route of the table, or none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Route(u16);

impl Route {
    /// What is no route.
    pub const NONE: Self = Self(ROUTES.len() as u16);

    /// The route of this method and path, as the router has it.
    pub fn of(method: &str, matched_path: &str) -> Self {
        access::index_of(method, matched_path).map_or(Self::NONE, |index| Self(index as u16))
    }

    /// Its method; `-` for what is no route.
    pub fn method(self) -> &'static str {
        ROUTES.get(usize::from(self.0)).map_or("-", |(method, ..)| method)
    }

    /// Its path, with the names of its variable parts; `-` for what is no route.
    pub fn path(self) -> &'static str {
        ROUTES.get(usize::from(self.0)).map_or("-", |(_, path, _)| path)
    }

    /// Whether its refusals are kept: not those of probes, which say the same every second.
    pub fn is_kept(self) -> bool {
        !matches!(self.path(), "/healthz" | "/readyz")
    }
}

/// What is counted of requests.
#[derive(Debug)]
pub struct Requests {
    /// For every route its classes' times; the last one is for what is no route.
    times: Box<[[HistogramCells; CLASSES.len()]]>,
    in_flight: AtomicU64,
    abandoned: AtomicU64,
    rate_limited: AtomicU64,
}

impl Default for Requests {
    fn default() -> Self {
        let times = || std::array::from_fn(|_| HistogramCells::new(MICROSECOND_BOUNDS));
        Self {
            times: (0..=ROUTES.len()).map(|_| times()).collect(),
            in_flight: AtomicU64::new(0),
            abandoned: AtomicU64::new(0),
            rate_limited: AtomicU64::new(0),
        }
    }
}

/// What was counted of one route and class of status.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Counted {
    /// The route.
    pub route: Route,
    /// `1xx` to `5xx`.
    pub class: &'static str,
    /// How long its requests took until their answers began, in µs.
    pub times: Histogram,
}

impl Requests {
    /// One begins.
    pub fn begin(&self) {
        self.in_flight.fetch_add(1, Ordering::Relaxed);
    }

    /// One was answered.
    pub fn end(&self, route: Route, status: StatusCode, took_us: u64) {
        self.in_flight.fetch_sub(1, Ordering::Relaxed);
        let class = usize::from(status.as_u16() / 100).clamp(1, CLASSES.len()) - 1;
        self.times[usize::from(route.0)][class].record(took_us);
        if status == StatusCode::TOO_MANY_REQUESTS {
            self.rate_limited.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// One was given up by its caller before it was answered.
    pub fn abandon(&self) {
        self.in_flight.fetch_sub(1, Ordering::Relaxed);
        self.abandoned.fetch_add(1, Ordering::Relaxed);
    }

    /// Requests under way.
    pub fn in_flight(&self) -> u64 {
        self.in_flight.load(Ordering::Relaxed)
    }

    /// Requests given up by their callers.
    pub fn abandoned(&self) -> u64 {
        self.abandoned.load(Ordering::Relaxed)
    }

    /// Requests answered 429.
    pub fn rate_limited(&self) -> u64 {
        self.rate_limited.load(Ordering::Relaxed)
    }

    /// What occurred, by route and class; nothing of what did not.
    pub fn read(&self) -> impl Iterator<Item = Counted> {
        self.times.iter().zip(0..).flat_map(|(classes, route)| {
            let counted = classes.iter().zip(CLASSES).map(move |(cells, class)| Counted {
                route: Route(route),
                class,
                times: cells.read(),
            });
            counted.filter(|counted| counted.times.count > 0)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn routes_are_those_of_the_table_and_one_for_all_else() {
        for (method, path, _) in ROUTES {
            let route = Route::of(method, path);
            assert_eq!((route.method(), route.path()), (*method, *path));
        }
        for (method, path) in [("GET", "/api/order/submit"), ("POST", "/x"), ("POST", "-")] {
            assert_eq!(Route::of(method, path), Route::NONE);
        }
        assert_eq!((Route::NONE.method(), Route::NONE.path()), ("-", "-"));
    }

    #[test]
    fn requests_are_counted_by_route_and_class() {
        let requests = Requests::default();
        let route = Route::of("POST", "/api/order/submit");
        for (status, took_us) in [(201, 100), (200, 101), (409, 7), (503, 0)] {
            requests.begin();
            requests.end(route, StatusCode::from_u16(status).unwrap(), took_us);
        }
        requests.begin();
        requests.end(Route::NONE, StatusCode::from_u16(999).unwrap(), 1);
        requests.begin();
        requests.begin();
        requests.abandon();
        let read: Vec<_> = requests.read().collect();
        let of = |nth: usize| (read[nth].route, read[nth].class, read[nth].times.count, read[nth].times.sum);
        assert_eq!(
            [of(0), of(1), of(2)],
            [(route, "2xx", 2, 201), (route, "4xx", 1, 7), (route, "5xx", 1, 0)]
        );
        assert_eq!((read.len(), of(3)), (4, (Route::NONE, "5xx", 1, 1)));
        assert_eq!(read[0].times.counts[..2], [1, 2]);
        assert_eq!((requests.in_flight(), requests.abandoned(), requests.rate_limited()), (1, 1, 0));
    }
}
