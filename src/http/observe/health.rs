//! `GET /healthz`: the process lives. `GET /readyz`: it takes orders. And [`Opening`], which answers both, and nothing
//! else, while the engine recovers.
//!
//! The first is for whoever restarts the process, the second for whoever sends it traffic. A poisoned engine lives and is
//! not ready: a restart is for an operator to decide, who looks at the disk first. The reason why it is poisoned may name
//! files, and is in the log, not in an answer for everybody.

use std::sync::{Arc, OnceLock};

use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::{Json, Router};
use serde::Serialize;
use tower::ServiceExt;
use utoipa::ToSchema;

use crate::Health;
use crate::http::language::Language;
use crate::http::problem::Problem;
use crate::http::state::App;

/// When a probe should ask again, in ms.
const RETRY_AFTER_MS: u32 = 1_000;

/// The process lives.
#[derive(Clone, Copy, Debug, Serialize, ToSchema)]
#[schema(example = json!({"status": "alive", "version": "0.1.0"}))]
pub struct Alive {
    /// `alive`.
    #[schema(example = "alive")]
    pub status: &'static str,
    /// The release that runs.
    pub version: &'static str,
}

/// The engine takes orders.
#[derive(Clone, Copy, Debug, Serialize, ToSchema)]
#[schema(example = json!({"status": "ready"}))]
pub struct Ready {
    /// `ready`.
    #[schema(example = "ready")]
    pub status: &'static str,
}

const ALIVE: Alive = Alive { status: "alive", version: env!("CARGO_PKG_VERSION") };

/// Whether the process lives: 200 as long as it can answer.
#[utoipa::path(get, path = "/healthz", tag = "watching",
    responses((status = 200, description = "It lives.", body = Alive)))]
pub async fn healthz() -> Json<Alive> {
    Json(ALIVE)
}

/// Whether orders are taken. The code of a 503 says why not: `recovering`, `draining`, `closed`, `poisoned`.
#[utoipa::path(get, path = "/readyz", tag = "watching",
    responses((status = 200, description = "Orders are taken.", body = Ready)))]
pub async fn readyz(State(app): State<App>) -> Result<Json<Ready>, Problem> {
    match app.engine().health() {
        Health::Open => Ok(Json(Ready { status: "ready" })),
        Health::Draining => Err(not_ready(
            "draining",
            "what is under way is being finished, and nothing new is taken",
            "正在停机：不再接受新请求",
        )),
        Health::Closed => Err(not_ready("closed", "the engine is closed", "引擎已关闭")),
        Health::Poisoned { .. } => Err(not_ready(
            "poisoned",
            "the engine has failed and waits for a restart",
            "引擎发生故障，等待重启",
        )),
    }
}

fn not_ready(code: &'static str, english: &'static str, chinese: &'static str) -> Problem {
    Problem::new(StatusCode::SERVICE_UNAVAILABLE, code, english, chinese).retry_after_ms(RETRY_AFTER_MS)
}

/// What a server can serve before there is an engine: it lives, and is not ready. Once [`Opening::open`] has handed over
/// the adapter's router, that answers everything.
///
/// So a server may listen while the journal is replayed, and whoever watches it sees the difference between a start that
/// takes its time and a process that hangs.
#[derive(Clone, Debug, Default)]
pub struct Opening {
    router: Arc<OnceLock<Router>>,
}

impl Opening {
    /// The router to serve, before and after.
    pub fn router(&self) -> Router {
        Router::new().fallback(forward).with_state(self.clone())
    }

    /// Hands over the adapter's router. The first call counts.
    pub fn open(&self, router: Router) {
        // A second one would be a second engine, and there is one.
        let _ = self.router.set(router);
    }
}

async fn forward(State(opening): State<Opening>, request: Request) -> Response {
    if let Some(router) = opening.router.get() {
        return match router.clone().oneshot(request).await {
            Ok(response) => response,
            Err(never) => match never {},
        };
    }
    if request.uri().path() == "/healthz" {
        return Json(ALIVE).into_response();
    }
    let recovering = not_ready("recovering", "the journal is being replayed", "正在恢复数据：请稍后重试");
    recovering.render(Language::of(request.headers()), "-")
}
