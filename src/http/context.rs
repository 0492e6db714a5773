//! The layer around every route: names the request, finds out who asks, whether they may, and writes out refusals.
//!
//! Who may do what stands in one table ([`access`]); a route that is not in it is not there.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use axum::extract::{MatchedPath, Request, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use tracing::Instrument;

use super::auth::AuthError;
use super::auth::access::{self, Access, Denied};
use super::auth::principal::Principal;
use super::language::Language;
use super::limits::Permit;
use super::observe::watch::Watch;
use super::problem::Problem;
use super::state::App;

/// Carries a request's name, in both directions.
pub const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
/// Longest name that a caller may give a request, in bytes.
const REQUEST_ID_BYTES_MAX: usize = 64;

/// What is known of a request beside its own words. Handlers find it among its extensions.
#[derive(Clone, Debug)]
pub struct Context {
    /// Its name: the caller's `X-Request-Id`, or a new one.
    pub request_id: Arc<str>,
    /// The language of its answer's messages.
    pub language: Language,
    /// Who asks.
    pub principal: Option<Principal>,
}

/// Names requests: a part of the run and a number.
#[derive(Debug)]
pub struct RequestIds {
    run: u64,
    next: AtomicU64,
}

impl RequestIds {
    /// Names for a run that began at an instant.
    pub const fn new(started_at_ms: u64) -> Self {
        Self { run: started_at_ms, next: AtomicU64::new(1) }
    }

    fn of(&self, headers: &HeaderMap) -> Arc<str> {
        let given = headers.get(REQUEST_ID).and_then(|value| value.to_str().ok());
        let is_name = |text: &&str| {
            (1..=REQUEST_ID_BYTES_MAX).contains(&text.len())
                && text.bytes().all(|byte| byte.is_ascii_graphic())
        };
        given.filter(is_name).map_or_else(
            || format!("{:x}-{:x}", self.run, self.next.fetch_add(1, Ordering::Relaxed)).into(),
            Into::into,
        )
    }
}

/// Goes around a request.
pub async fn around(State(app): State<App>, mut request: Request, next: Next) -> Response {
    let request_id = app.request_ids().of(request.headers());
    let language = Language::of(request.headers());
    let context = Context { request_id: Arc::clone(&request_id), language, principal: None };
    let mut watch = app.observer().start(&request);
    let mut response = match admit(&app, &mut request, context, &mut watch) {
        Ok((context, _permit)) => {
            request.extensions_mut().insert(context);
            next.run(request).instrument(watch.span(&request_id)).await
        }
        Err(problem) => {
            let delay = app.live().guard().refusal_delay();
            if is_for_load(&problem) && !delay.is_zero() {
                tokio::time::sleep(delay).await;
            }
            problem.into_response()
        }
    };
    let problem = response.extensions_mut().remove::<Arc<Problem>>();
    watch.finish(&request_id, response.status(), problem.as_deref());
    if let Some(problem) = problem {
        let allow = response.headers_mut().remove(header::ALLOW);
        response = problem.render(language, &request_id);
        if let Some(allow) = allow {
            response.headers_mut().insert(header::ALLOW, allow);
        }
    }
    if let Ok(value) = HeaderValue::from_str(&request_id) {
        response.headers_mut().insert(REQUEST_ID, value);
    }
    response
}

/// Whether a request is refused because there are too many, and for nothing of its own.
fn is_for_load(problem: &Problem) -> bool {
    matches!(problem.http_status(), StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE)
}

/// Lets a request in, or says why not. It is under way as long as its permit lives.
fn admit(
    app: &App,
    request: &mut Request,
    context: Context,
    watch: &mut Watch<'_>,
) -> Result<(Context, Permit), Problem> {
    let guard = app.live().guard();
    // Before the token costs anything.
    let permit = guard.enter(request)?;
    let path = request.extensions().get::<MatchedPath>().ok_or_else(no_route)?;
    // A route that answers GET answers HEAD.
    let method = if request.method() == Method::HEAD { &Method::GET } else { request.method() };
    let access = access::of(method.as_str(), path.as_str())
        .ok_or_else(|| if access::knows(path.as_str()) { method_not_allowed() } else { no_route() })?;
    if matches!(access, Access::Public | Access::Signed) {
        // Nobody is asked for; a token that has expired is no reason to refuse.
        return Ok((context, permit));
    }
    let principal = authenticate(app, request.headers());
    if matches!(access, Access::Service | Access::Relay)
        && !matches!(principal, Ok(Some(Principal::Service { .. })))
    {
        // Services are free of limits by address; who only pretends to be one is not.
        guard.check_address(request)?;
    }
    let principal = principal?;
    watch.asked_by(principal.as_ref());
    match access.allows(principal.as_ref()) {
        Ok(()) => {
            if let Some(Principal::Member(member)) = &principal {
                guard.check_member(*member)?;
            }
            Ok((Context { principal, ..context }, permit))
        }
        Err(denied) => Err(denied.into()),
    }
}

/// Who asks, by the token.
fn authenticate(app: &App, headers: &HeaderMap) -> Result<Option<Principal>, Problem> {
    let mut values = headers.get_all(header::AUTHORIZATION).iter();
    let authorization = values.next().map(|value| value.to_str().unwrap_or_default());
    if values.next().is_some() {
        return Err(AuthError::Malformed.into());
    }
    Ok(app.live().now().authenticator.authenticate(authorization, app.engine().now_ms())?)
}

impl From<Denied> for Problem {
    fn from(denied: Denied) -> Self {
        let (status, chinese) = match denied {
            Denied::Unauthenticated => {
                (StatusCode::UNAUTHORIZED, "缺少访问令牌：请发送 authorization: Bearer …")
            }
            Denied::Forbidden { .. } => (StatusCode::FORBIDDEN, "令牌的角色或权限不足"),
        };
        Self::new(status, denied.code(), denied.to_string(), chinese)
    }
}

/// The answer where there is nothing.
pub fn no_route() -> Problem {
    Problem::new(StatusCode::NOT_FOUND, "no_such_path", "there is nothing at this path", "路径不存在")
}

/// The answer to a method that the path doesn't have.
pub fn method_not_allowed() -> Problem {
    Problem::new(
        StatusCode::METHOD_NOT_ALLOWED,
        "method_not_allowed",
        "the path doesn't take this method",
        "该路径不支持此方法",
    )
}
