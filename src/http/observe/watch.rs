//! One request, from its arrival to its answer: how long it took, who asked, and its line in the log.
//!
//! The log gets the request's id, its route's template, the caller's role, the answer's status and code. It gets neither
//! paths nor queries nor names nor members, since any of them may be somebody's data.

use std::sync::Arc;

use axum::extract::{MatchedPath, Request};
use axum::http::{HeaderValue, Method, StatusCode};
use tracing::Span;
use tracing::field::Empty;

use super::Observer;
use super::refusals::Refused;
use super::requests::Route;
use crate::http::auth::principal::Principal;
use crate::http::problem::Problem;
use crate::{MemberId, RequestId};

/// Carries a client's name for a request that may be sent again.
const IDEMPOTENCY_KEY: &str = "idempotency-key";
/// Longest such name, in bytes.
const KEY_BYTES_MAX: usize = 255;

/// A request under way. Dropped without an answer it counts as given up.
#[derive(Debug)]
pub struct Watch<'a> {
    observer: &'a Observer,
    route: Route,
    since_ns: u64,
    key: Option<HeaderValue>,
    role: &'static str,
    member: Option<MemberId>,
    is_known: bool,
    is_answered: bool,
    span: Span,
}

impl<'a> Watch<'a> {
    pub(super) fn new(observer: &'a Observer, request: &Request) -> Self {
        observer.requests.begin();
        // What the router matched only with its fallback has no path.
        let path = request.extensions().get::<MatchedPath>().map_or("-", MatchedPath::as_str);
        let method = if request.method() == Method::HEAD { &Method::GET } else { request.method() };
        Self {
            observer,
            route: Route::of(method.as_str(), path),
            since_ns: observer.clock.monotonic_ns(),
            key: request.headers().get(IDEMPOTENCY_KEY).cloned(),
            role: "nobody",
            member: None,
            is_known: false,
            is_answered: false,
            span: Span::none(),
        }
    }

    /// Who asks, once that is known, whether they may or not.
    pub fn asked_by(&mut self, principal: Option<&Principal>) {
        (self.role, self.member) = match principal {
            None => ("nobody", None),
            Some(Principal::Member(member)) => ("member", Some(*member)),
            Some(Principal::Service { .. }) => ("service", None),
            Some(Principal::Admin { .. }) => ("admin", None),
        };
        self.is_known = principal.is_some();
    }

    /// What is logged while the request is worked at belongs to this span, where level debug is on. It ends with the
    /// answer, and then has its status and code.
    pub fn span(&mut self, request_id: &str) -> Span {
        let (method, route, role) = (self.route.method(), self.route.path(), self.role);
        self.span =
            tracing::debug_span!("request", request_id, method, route, role, status = Empty, code = Empty);
        self.span.clone()
    }

    /// The request is answered, with a problem or without.
    pub fn finish(mut self, request_id: &Arc<str>, status: StatusCode, problem: Option<&Problem>) {
        self.is_answered = true;
        let took_us = self.observer.clock.monotonic_ns().saturating_sub(self.since_ns) / 1_000;
        self.observer.requests.end(self.route, status, took_us);
        if let Some(problem) = problem {
            let key = self.key.as_ref().map(HeaderValue::as_bytes);
            let key = key.filter(|key| (1..=KEY_BYTES_MAX).contains(&key.len())).map(RequestId::from_key);
            self.observer.refused(&Refused {
                member: self.member,
                key: problem.request().or(key),
                request_id,
                route: self.route,
                is_known: self.is_known,
                problem,
            });
        }
        let code = problem.map_or("-", Problem::code);
        self.span.record("status", status.as_u16()).record("code", code);
        self.log(request_id, status, code, took_us);
    }

    /// Failures are for somebody to look at, and mistakes of callers worth a word. What is in the nature of a sale, sold
    /// out and overloaded above all, comes by the hundred thousand: it is counted, and logged at level debug.
    fn log(&self, request_id: &str, status: StatusCode, code: &'static str, latency_us: u64) {
        let (method, route, role) = (self.route.method(), self.route.path(), self.role);
        let status_code = status.as_u16();
        macro_rules! line {
            ($level:ident) => {
                tracing::$level!(
                    request_id,
                    method,
                    route,
                    role,
                    status = status_code,
                    code,
                    latency_us,
                    "answered"
                )
            };
        }
        let is_expected = status_code < 400
            || matches!(
                status,
                StatusCode::NOT_FOUND | StatusCode::CONFLICT | StatusCode::SERVICE_UNAVAILABLE
            );
        if is_expected {
            line!(debug);
        } else if self.observer.log.take(self.observer.engine.now_ms()) {
            if status.is_server_error() {
                line!(warn);
            } else {
                line!(info);
            }
        }
    }
}

impl Drop for Watch<'_> {
    fn drop(&mut self) {
        if !self.is_answered {
            self.observer.requests.abandon();
        }
    }
}
