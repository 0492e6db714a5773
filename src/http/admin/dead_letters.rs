//! Dead letters of the delay queue: tasks whose attempts have all failed, to be tried again or given up.

use axum::Json;
use base64::Engine as _;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::desk::{Desk, Reason, page_len, wrong_cursor};
use crate::http::json::{Body, Id, Params, Parts, instant};
use crate::http::problem::Problem;
use crate::{DeadCause, DeadCursor, DeadLetter, DiscardOutcome, RequeueOutcome};

/// Most dead letters on a page. Their bodies may be large.
const PAGE_LEN_MAX: usize = 100;

/// A task that was given up.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = DeadLetter)]
pub struct LetterView {
    /// The task's id.
    pub id: String,
    /// What it carries, where that is text.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub body: Option<String>,
    /// What it carries in base64, where it is no text.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub body_base64: Option<String>,
    /// When it was due.
    pub due: String,
    /// The same, in ms since the Unix epoch.
    pub due_ms: u64,
    /// How often it was reserved.
    pub attempts: u16,
    /// How its last attempt ended: `nacked` or `lapsed`.
    pub cause: &'static str,
    /// When it became a dead letter.
    pub at: String,
    /// The same, in ms since the Unix epoch.
    pub at_ms: u64,
}

impl From<DeadLetter> for LetterView {
    fn from(letter: DeadLetter) -> Self {
        let DeadLetter { task, at_ms, cause, .. } = letter;
        let (body, body_base64) = match String::from_utf8(task.body.into_vec()) {
            Ok(text) => (Some(text), None),
            Err(error) => {
                let encoded = base64::engine::general_purpose::STANDARD.encode(error.as_bytes());
                (None, Some(encoded))
            }
        };
        Self {
            id: task.id.as_str().to_owned(),
            body,
            body_base64,
            due: instant(task.due_ms),
            due_ms: task.due_ms,
            attempts: task.attempts,
            cause: match cause {
                DeadCause::Nacked => "nacked",
                DeadCause::Lapsed => "lapsed",
            },
            at: instant(at_ms),
            at_ms,
        }
    }
}

/// Which dead letters.
#[derive(Clone, Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct LetterParams {
    /// `next` of the page before.
    #[param(pattern = "^[0-9]{1,20}[.][0-9]{1,20}$")]
    after: Option<String>,
    /// Most dead letters on the page, 1 to 100; 50 without it.
    #[param(minimum = 1, maximum = 100)]
    limit: Option<usize>,
}

/// A page of a topic's dead letters.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(example = json!({"dead_letters": [{"id": "mail-7", "body": "hello", "due": "2026-11-11T04:00:00.000Z", "due_ms":
    1_794_369_600_000_u64, "attempts": 5, "cause": "nacked", "at": "2026-11-11T04:00:00.000Z",
    "at_ms": 1_794_369_600_000_u64}], "next": "1794369600000.1"}))]
pub struct LetterPage {
    /// The dead letters, in the order in which they came.
    pub dead_letters: Vec<LetterView>,
    /// Where the next page starts; absent on the last one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
}

/// Lists a topic's dead letters.
///
/// In the order in which they came.
#[utoipa::path(get, path = "/admin/delay/{topic}/dead_letters", tag = "admin",
    operation_id = "admin_dead_letters",
    params(("topic" = String, Path, min_length = 1, max_length = 64, example = "mails", description = "The topic."), LetterParams),
    responses((status = 200, description = "A page of them.", body = LetterPage)))]
pub async fn dead_letters(
    desk: Desk,
    Parts(topic): Parts<String>,
    Params(params): Params<LetterParams>,
) -> Result<Json<LetterPage>, Problem> {
    let limit = page_len(params.limit, 50, PAGE_LEN_MAX)?;
    let after = params.after.as_deref().map(|text| cursor(text).ok_or_else(|| wrong_cursor("after")));
    let mut letters = desk.engine().delay().dead_letters(&topic, after.transpose()?, limit + 1).await?;
    let has_more = letters.len() > limit;
    letters.truncate(limit);
    let next = letters.last().filter(|_| has_more).map(|last| last.cursor);
    let next = next.map(|DeadCursor { at_ms, seq }| format!("{at_ms}.{seq}"));
    Ok(Json(LetterPage { dead_letters: letters.into_iter().map(LetterView::from).collect(), next }))
}

fn cursor(text: &str) -> Option<DeadCursor> {
    let (at_ms, seq) = text.split_once('.')?;
    Some(DeadCursor { at_ms: Id::from_digits(at_ms)?.0, seq: Id::from_digits(seq)?.0 })
}

/// A dead letter that is to be tried again.
#[derive(Clone, Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"id": "mail-7", "delay_ms": 0, "reason": "the mail server is back"}))]
pub struct RequeueBody {
    /// The task's id.
    pub id: String,
    /// In how many ms it is due.
    #[serde(default)]
    pub delay_ms: u64,
    /// Why, for the log.
    #[serde(default)]
    pub reason: Reason,
}

/// When a task is due again.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(example = json!({"due": "2026-11-11T04:00:00.000Z", "due_ms": 1_794_369_600_000_u64}))]
pub struct RequeuedView {
    /// When.
    pub due: String,
    /// The same, in ms since the Unix epoch.
    pub due_ms: u64,
}

/// Makes a dead letter a pending task again, with all its attempts.
///
/// It is due after `delay_ms`.
#[utoipa::path(post, path = "/admin/delay/{topic}/dead_letters/requeue", tag = "admin",
    operation_id = "admin_dead_letter_requeue", request_body = RequeueBody,
    params(("topic" = String, Path, min_length = 1, max_length = 64, example = "mails", description = "The topic.")),
    responses((status = 200, description = "It is pending, durably.", body = RequeuedView)))]
pub async fn requeue(
    desk: Desk,
    Parts(topic): Parts<String>,
    Body(body): Body<RequeueBody>,
) -> Result<Json<RequeuedView>, Problem> {
    desk.acted("task.requeue", format!("{topic}/{}", body.id), body.reason.given()?).await?;
    match desk.engine().delay().requeue(&topic, &body.id, body.delay_ms).await? {
        RequeueOutcome::Requeued { due_ms } => Ok(Json(RequeuedView { due: instant(due_ms), due_ms })),
        RequeueOutcome::NotFound => Err(not_found()),
    }
}

/// A dead letter that is to be given up.
#[derive(Clone, Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"id": "mail-7", "reason": "the order is gone"}))]
pub struct DiscardBody {
    /// The task's id.
    pub id: String,
    /// Why, for the log.
    #[serde(default)]
    pub reason: Reason,
}

/// A dead letter that is gone.
#[derive(Clone, Copy, Debug, Serialize, ToSchema)]
#[schema(example = json!({"discarded": true}))]
pub struct DiscardedView {
    /// Always true.
    pub discarded: bool,
}

/// Gives a dead letter up for good.
///
/// Nothing is left of it.
#[utoipa::path(post, path = "/admin/delay/{topic}/dead_letters/discard", tag = "admin",
    operation_id = "admin_dead_letter_discard", request_body = DiscardBody,
    params(("topic" = String, Path, min_length = 1, max_length = 64, example = "mails", description = "The topic.")),
    responses((status = 200, description = "It is gone, durably.", body = DiscardedView)))]
pub async fn discard(
    desk: Desk,
    Parts(topic): Parts<String>,
    Body(body): Body<DiscardBody>,
) -> Result<Json<DiscardedView>, Problem> {
    desk.acted("task.discard", format!("{topic}/{}", body.id), body.reason.given()?).await?;
    match desk.engine().delay().discard(&topic, &body.id).await? {
        DiscardOutcome::Discarded => Ok(Json(DiscardedView { discarded: true })),
        DiscardOutcome::NotFound => Err(not_found()),
    }
}

fn not_found() -> Problem {
    Problem::new(
        axum::http::StatusCode::NOT_FOUND,
        "dead_letter_not_found",
        "the topic has no dead letter with this id",
        "该主题中没有此编号的死信任务",
    )
    .field("id")
}
