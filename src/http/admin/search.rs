//! The search index: how it stands, and building it anew.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use axum::Json;
use axum::http::StatusCode;
use axum::http::header;
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use tokio::sync::oneshot;
use utoipa::ToSchema;

use super::desk::{Desk, Reason};
use crate::http::json::Body;
use crate::http::problem::Problem;
use crate::{ReindexProgress, Reject, SearchFigures, SearchMode};

/// Where [`status`] is.
const STATUS: &str = "/admin/search/status";
/// How long the answer to [`reindex`] waits for the first progress, or for a refusal.
const BEGIN_WAIT: Duration = Duration::from_secs(2);

/// Building the index anew, as this adapter has asked for it last.
#[derive(Clone, Debug, Default)]
pub struct Reindexing {
    state: Arc<Mutex<State>>,
}

#[derive(Debug, Default)]
struct State {
    is_running: bool,
    progress: Option<ReindexProgress>,
}

impl Reindexing {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes the place of the only one that runs.
    fn begin(&self) -> Option<Running> {
        let mut state = self.state();
        if state.is_running {
            return None;
        }
        *state = State { is_running: true, progress: None };
        Some(Running(self.clone()))
    }

    fn progress(&self) -> Option<ReindexProgress> {
        self.state().progress
    }
}

/// Building under way; over when it is dropped.
struct Running(Reindexing);

impl Running {
    fn note(&self, progress: ReindexProgress) {
        self.0.state().progress = Some(progress);
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.0.state().is_running = false;
    }
}

/// How order search stands.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = SearchStatus, example = json!({"mode": "fallback", "is_on": true, "position": 120000, "durable": 120010,
    "lag_ms": 180, "lag_bytes": 1400, "documents": 31000, "indexed": 90000, "caught_up": 0, "commits": 410, "disk_bytes": 4194304,
    "rebuilding": false, "rebuilds": 0, "answered": {"index": 512, "store": 3}}))]
pub struct StatusView {
    /// Where searches are answered from: `fallback`, `on` or `off`.
    pub mode: &'static str,
    /// Whether there is an index that is kept.
    pub is_on: bool,
    /// Everything up to this position of the journal is searchable.
    pub position: u64,
    /// The last durable position of the journal.
    pub durable: u64,
    /// Age of the oldest durable event that is not searchable, in ms.
    pub lag_ms: u64,
    /// Bytes of journal that are kept for the index.
    pub lag_bytes: u64,
    /// Orders in it.
    pub documents: u64,
    /// Orders taken in since the start.
    pub indexed: u64,
    /// How many of them were read from the store, because they were there before the index or it was far behind.
    pub caught_up: u64,
    /// Commits since the start.
    pub commits: u64,
    /// Its size on the disk, in bytes.
    pub disk_bytes: u64,
    /// Whether it is being built anew.
    pub rebuilding: bool,
    /// How often it was built anew since the start.
    pub rebuilds: u64,
    /// How far that is, or how far it came, where it was asked for over HTTP.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub progress: Option<ProgressView>,
    /// Searches answered since the start, by their source.
    pub answered: AnsweredView,
    /// Why it has stopped, if it has.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub failure: Option<String>,
}

/// How far building the index anew is.
#[derive(Clone, Copy, Debug, Serialize, ToSchema)]
#[schema(as = SearchProgress, example = json!({"orders": 12000, "orders_total": 31000}))]
pub struct ProgressView {
    /// Orders taken in.
    pub orders: u64,
    /// About how many there are.
    pub orders_total: u64,
}

impl From<ReindexProgress> for ProgressView {
    fn from(progress: ReindexProgress) -> Self {
        let ReindexProgress { orders, orders_total } = progress;
        Self { orders, orders_total }
    }
}

/// Numbers of searches by their source.
#[derive(Clone, Copy, Debug, Serialize, ToSchema)]
#[schema(as = SearchAnswered)]
pub struct AnsweredView {
    /// From the index.
    pub index: u64,
    /// From the store.
    pub store: u64,
}

/// Says how order search stands.
///
/// How far the index is behind, how large it is, whether it is being built anew, and why it has stopped, if it has.
#[utoipa::path(get, path = "/admin/search/status", tag = "admin",
    responses((status = 200, description = "How it stands.", body = StatusView)))]
pub async fn status(desk: Desk) -> Json<StatusView> {
    let SearchFigures {
        is_on,
        position,
        lag_ms,
        lag_bytes,
        documents,
        commits,
        indexed,
        caught_up,
        disk_bytes,
        is_rebuilding,
        rebuilds,
        answered: [index, store],
        failure,
    } = desk.engine().search_figures();
    Json(StatusView {
        mode: mode_name(desk.engine().search_mode()),
        is_on,
        position: position.0,
        durable: desk.engine().metrics().durable.0,
        lag_ms,
        lag_bytes,
        documents,
        indexed,
        caught_up,
        commits,
        disk_bytes,
        rebuilding: is_rebuilding,
        rebuilds,
        progress: desk.app.reindexing().progress().map(Into::into),
        answered: AnsweredView { index, store },
        failure,
    })
}

const fn mode_name(mode: SearchMode) -> &'static str {
    match mode {
        SearchMode::Fallback => "fallback",
        SearchMode::On => "on",
        SearchMode::Off => "off",
    }
}

/// Why the index is built anew.
#[derive(Clone, Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = SearchReindex, example = json!({"reason": "the words of a field were changed"}))]
pub struct ReindexBody {
    /// Why, for the log.
    #[serde(default)]
    pub reason: Reason,
}

/// Building the index anew has begun.
#[derive(Clone, Copy, Debug, Serialize, ToSchema)]
#[schema(as = SearchReindexing, example = json!({"rebuilding": true}))]
pub struct ReindexView {
    /// Always true.
    pub rebuilding: bool,
}

/// Builds the search index anew from the store, in the background.
///
/// The old one goes on answering meanwhile. `GET /admin/search/status` shows how far it is. One at a time.
#[utoipa::path(post, path = "/admin/search/reindex", tag = "admin", request_body = ReindexBody,
    responses((status = 202, description = "It has begun; `Location` says where its progress is told.", body = ReindexView,
        headers(("Location" = String, description = "Where its progress is told.")))))]
pub async fn reindex(desk: Desk, Body(body): Body<ReindexBody>) -> Result<Response, Problem> {
    let reason = body.reason.given()?;
    if desk.engine().search_mode() == SearchMode::Off {
        return Err(Reject::SearchOff.into());
    }
    desk.acted("search.reindex", "", reason).await?;
    let running = Arc::new(desk.app.reindexing().begin().ok_or_else(already_running)?);
    let (begin, begun) = oneshot::channel();
    let mut begin = Some(begin);
    let noted = Arc::clone(&running);
    let engine = desk.engine().clone();
    // It goes on when the caller hangs up.
    let work = tokio::spawn(async move {
        let progress = move |progress| {
            noted.note(progress);
            if let Some(begin) = begin.take() {
                // The caller may have been answered already.
                let _ = begin.send(());
            }
        };
        let result = engine.reindex(progress).await;
        match &result {
            Ok(progress) => running.note(*progress),
            Err(reject) => tracing::warn!(%reject, "the search index was not built anew"),
        }
        result
    });
    let begun = tokio::select! {
        // What is refused is refused at once.
        result = work => result.map_err(|_| failed())?.map(|_| ()),
        _ = begun => Ok(()),
        () = tokio::time::sleep(BEGIN_WAIT) => Ok(()),
    };
    begun?;
    let body = Json(ReindexView { rebuilding: true });
    Ok((StatusCode::ACCEPTED, [(header::LOCATION, STATUS)], body).into_response())
}

fn already_running() -> Problem {
    Problem::new(
        StatusCode::CONFLICT,
        "reindex_running",
        "the search index is being built anew already",
        "搜索索引正在重建",
    )
}

fn failed() -> Problem {
    Problem::new(
        StatusCode::INTERNAL_SERVER_ERROR,
        "internal",
        "the search index was not built anew: the log says why",
        "搜索索引重建失败：原因见日志",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_runs_at_a_time_and_what_it_reached_stays() {
        let reindexing = Reindexing::default();
        let first = reindexing.begin().expect("none runs");
        assert!(reindexing.begin().is_none());
        let reached = ReindexProgress { orders: 5, orders_total: 9 };
        first.note(reached);
        drop(first);
        assert_eq!(reindexing.progress(), Some(reached));
        let _second = reindexing.begin().expect("the first is over");
        assert_eq!(reindexing.progress(), None);
    }
}
