//! `/gateway/delay/{topic}/…`: the delay queue.
//!
//! `pop` and `bpop` are at most once: an answer that is lost on its way takes its tasks with it. `reserve` with `ack` is
//! at least once.

use axum::Json;
use axum::extract::State;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::http::json::{Body, Parts};
use crate::http::problem::Problem;
use crate::http::state::App;
use crate::{
    AckOutcome, ExtendOutcome, NackOutcome, NewTask, PopOutcome, PushOutcome, Reject, RemoveOutcome,
    RescheduleOutcome, ReservationId, ReserveOutcome, Reserved, Task,
};

/// Largest body of a batch, in bytes of JSON.
const BATCH_BODY_BYTES_MAX: usize = 8 << 20;
/// Longest time that a request waits for a task, in ms.
const WAIT_MS_MAX: u64 = 30_000;
/// Most tasks that one request takes.
const TAKEN_MAX: usize = 256;

/// A task to be pushed.
#[derive(Clone, Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"id": "order-42", "body": "close it", "delay_ms": 1_800_000}))]
pub struct PushBody {
    /// Its id, unique among the live tasks of the topic, 1 to 64 bytes.
    pub id: String,
    /// What it carries, as text; at most 64 KiB.
    pub body: Option<String>,
    /// What it carries, as Base64, in place of `body`.
    pub body_base64: Option<String>,
    /// How long until it is due, in ms, at most ten years.
    #[serde(default)]
    pub delay_ms: u64,
    /// How long after it became due it expires, in ms; 0 for never.
    #[serde(default)]
    pub ready_ttl_ms: u64,
    /// How often it may be reserved before it is a dead letter; 0 for the configured default.
    #[serde(default)]
    pub attempts_max: u16,
}

/// Tasks to be pushed.
#[derive(Clone, Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"tasks": [{"id": "order-42", "body": "close it", "delay_ms": 1_800_000}]}))]
pub struct PushBatchBody {
    /// At most 4,096, with at most 4 MiB of ids and bodies.
    pub tasks: Vec<PushBody>,
}

/// How many tasks are wanted, and for how long to wait.
#[derive(Clone, Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
#[schema(example = json!({"len_max": 16}))]
pub struct TakeBody {
    /// Most tasks to be taken, 1 to 256; 1 unless said.
    #[schema(minimum = 1, maximum = 256)]
    pub len_max: Option<usize>,
    /// How long to wait for a task, in ms, at most 30,000; for `bpop`, and for `reserve` where it is given.
    #[schema(maximum = 30_000)]
    pub timeout_ms: Option<u64>,
    /// How long a reservation holds, in ms; for `reserve`. 30,000 unless said.
    pub visibility_ms: Option<u64>,
}

/// A task that is meant.
#[derive(Clone, Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"id": "order-42", "delay_ms": 0}))]
pub struct TaskIdBody {
    /// Its id.
    pub id: String,
    /// When it is due from now, in ms; for `reschedule`.
    #[serde(default)]
    pub delay_ms: u64,
}

/// A reservation that is meant.
#[derive(Clone, Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"id": "order-42", "reservation": "7-1"}))]
pub struct ReservationBody {
    /// The task's id.
    pub id: String,
    /// The reservation, as `reserve` named it.
    pub reservation: String,
    /// For `nack`: when it is due again from now, in ms.
    #[serde(default)]
    pub delay_ms: u64,
    /// For `extend`: how long the reservation holds from now, in ms.
    #[serde(default)]
    pub visibility_ms: u64,
}

/// A task that is handed out.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct TaskBody {
    /// Its id.
    pub id: String,
    /// What it carries, where that is text.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub body: Option<String>,
    /// What it carries, where that is no text.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub body_base64: Option<String>,
    /// When it was due, in ms since the Unix epoch.
    pub due_ms: u64,
    /// How often it has been reserved, this time included.
    pub attempts: u16,
    /// What to acknowledge it by, where it is reserved.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reservation: Option<String>,
    /// At and after this instant the reservation has lapsed, in ms since the Unix epoch.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub until_ms: Option<u64>,
}

/// What an operation came to. Outcomes that are no success are answers, too: `not_found`, `not_due`, `expired`,
/// `duplicate_id`, `lapsed` and the like.
#[derive(Clone, Debug, Default, Serialize, ToSchema)]
#[schema(example = json!({"outcome": "pushed", "due_ms": 1_794_400_200_000_u64}))]
pub struct OutcomeBody {
    /// Its stable code.
    pub outcome: &'static str,
    /// When the task is due, in ms since the Unix epoch.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub due_ms: Option<u64>,
    /// When the next task of the topic is due, where none is now, in ms since the Unix epoch.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next_due_ms: Option<u64>,
    /// At and after this instant the reservation has lapsed, in ms since the Unix epoch.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub until_ms: Option<u64>,
    /// The tasks that were handed out.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub tasks: Vec<TaskBody>,
}

/// What each of several operations came to, in their order.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(example = json!({"outcomes": [{"outcome": "pushed", "due_ms": 1_794_400_200_000_u64}]}))]
pub struct OutcomesBody {
    /// The outcomes.
    pub outcomes: Vec<OutcomeBody>,
}

/// What a topic has.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(example = json!({"pending": 3, "reserved": 1, "dead_letters": 0}))]
pub struct TopicBody {
    /// Tasks that wait or are due.
    pub pending: u64,
    /// Tasks that are reserved.
    pub reserved: u64,
    /// Dead letters.
    pub dead_letters: u64,
}

impl PushBody {
    fn into_task(self) -> Result<NewTask, Problem> {
        let body = match (self.body, self.body_base64) {
            (Some(_), Some(_)) => {
                return Err(Problem::invalid(
                    "body_base64",
                    "body and body_base64 exclude each other",
                    "body 与 body_base64 只能二选一",
                ));
            }
            (Some(text), None) => text.into_bytes(),
            (None, Some(text)) => BASE64.decode(text).map_err(|_| {
                Problem::invalid("body_base64", "body_base64 is no Base64", "body_base64 不是合法的 Base64")
            })?,
            (None, None) => Vec::new(),
        };
        let task = NewTask::new(self.id, body).delay_ms(self.delay_ms).ready_ttl_ms(self.ready_ttl_ms);
        Ok(task.attempts_max(self.attempts_max))
    }
}

impl From<Task> for TaskBody {
    fn from(task: Task) -> Self {
        let (body, body_base64) = match String::from_utf8(task.body.into_vec()) {
            Ok(text) => (Some(text), None),
            Err(bytes) => (None, Some(BASE64.encode(bytes.as_bytes()))),
        };
        Self {
            id: task.id.as_str().to_owned(),
            body,
            body_base64,
            due_ms: task.due_ms,
            attempts: task.attempts,
            reservation: None,
            until_ms: None,
        }
    }
}

impl From<Reserved> for TaskBody {
    fn from(reserved: Reserved) -> Self {
        let (reservation, until_ms) = (Some(reserved.reservation.to_string()), Some(reserved.until_ms));
        Self { reservation, until_ms, ..reserved.task.into() }
    }
}

impl From<PushOutcome> for OutcomeBody {
    fn from(outcome: PushOutcome) -> Self {
        let due_ms = match outcome {
            PushOutcome::Pushed { due_ms } => Some(due_ms),
            PushOutcome::DuplicateId => None,
        };
        Self { outcome: outcome.code(), due_ms, ..Self::default() }
    }
}

impl From<PopOutcome> for OutcomeBody {
    fn from(popped: PopOutcome) -> Self {
        let outcome = popped.code();
        match popped {
            PopOutcome::Popped(tasks) => {
                Self { outcome, tasks: tasks.into_iter().map(Into::into).collect(), ..Self::default() }
            }
            PopOutcome::NotDue { next_due_ms } => {
                Self { outcome, next_due_ms: Some(next_due_ms), ..Self::default() }
            }
            PopOutcome::NotFound => Self { outcome, ..Self::default() },
        }
    }
}

impl From<ReserveOutcome> for OutcomeBody {
    fn from(reserved: ReserveOutcome) -> Self {
        let outcome = reserved.code();
        match reserved {
            ReserveOutcome::Reserved(tasks) => {
                Self { outcome, tasks: tasks.into_iter().map(Into::into).collect(), ..Self::default() }
            }
            ReserveOutcome::NotDue { next_due_ms } => {
                Self { outcome, next_due_ms: Some(next_due_ms), ..Self::default() }
            }
            ReserveOutcome::NotFound => Self { outcome, ..Self::default() },
        }
    }
}

/// Pushes a task.
#[utoipa::path(post, path = "/gateway/delay/{topic}/push", tag = "gateway", request_body = PushBody,
    params(("topic" = String, Path, min_length = 1, max_length = 64, example = "mails", description = "The topic.")),
    responses((status = 200, description = "`pushed`, durably, or `duplicate_id`.", body = OutcomeBody)))]
pub async fn push(
    State(app): State<App>,
    Parts(topic): Parts<String>,
    Body(body): Body<PushBody>,
) -> Result<Json<OutcomeBody>, Problem> {
    let outcome = app.engine().delay().push(&topic, body.into_task()?).await?;
    Ok(Json(outcome.into()))
}

/// Pushes many tasks at once, each on its own.
#[utoipa::path(post, path = "/gateway/delay/{topic}/push_batch", tag = "gateway", request_body = PushBatchBody,
    params(("topic" = String, Path, min_length = 1, max_length = 64, example = "mails", description = "The topic.")),
    responses((status = 200, description = "An outcome for each.", body = OutcomesBody)))]
pub async fn push_batch(
    State(app): State<App>,
    Parts(topic): Parts<String>,
    Body(body): Body<PushBatchBody, BATCH_BODY_BYTES_MAX>,
) -> Result<Json<OutcomesBody>, Problem> {
    let tasks = body.tasks.into_iter().map(PushBody::into_task).collect::<Result<_, _>>()?;
    let outcomes = app.engine().delay().push_batch(&topic, tasks).await?;
    Ok(Json(OutcomesBody { outcomes: outcomes.into_iter().map(Into::into).collect() }))
}

/// Takes tasks that are due, for good: at most once.
#[utoipa::path(post, path = "/gateway/delay/{topic}/pop", tag = "gateway", request_body = TakeBody,
    params(("topic" = String, Path, min_length = 1, max_length = 64, example = "mails", description = "The topic.")),
    responses((status = 200, description = "`popped`, `not_due` or `not_found`.", body = OutcomeBody)))]
pub async fn pop(
    State(app): State<App>,
    Parts(topic): Parts<String>,
    Body(body): Body<TakeBody>,
) -> Result<Json<OutcomeBody>, Problem> {
    let Wanted { len_max, .. } = body.checked()?;
    let outcome = app.engine().delay().pop_batch(&topic, len_max).await?;
    Ok(Json(outcome.into()))
}

/// Takes a task for good, and waits for one: at most once.
#[utoipa::path(post, path = "/gateway/delay/{topic}/bpop", tag = "gateway", request_body = TakeBody,
    params(("topic" = String, Path, min_length = 1, max_length = 64, example = "mails", description = "The topic.")),
    responses((status = 200, description = "`popped`, `not_due` or `not_found`.", body = OutcomeBody)))]
pub async fn bpop(
    State(app): State<App>,
    Parts(topic): Parts<String>,
    Body(body): Body<TakeBody>,
) -> Result<Json<OutcomeBody>, Problem> {
    let Wanted { timeout_ms, .. } = body.checked()?;
    let outcome = app.engine().delay().bpop(&topic, timeout_ms).await?;
    Ok(Json(outcome.into()))
}

/// Reserves tasks that are due: they come back unless they are acknowledged in time. Waits for one where `timeout_ms`
/// says so.
#[utoipa::path(post, path = "/gateway/delay/{topic}/reserve", tag = "gateway", request_body = TakeBody,
    params(("topic" = String, Path, min_length = 1, max_length = 64, example = "mails", description = "The topic.")),
    responses((status = 200, description = "`reserved`, `not_due` or `not_found`.", body = OutcomeBody)))]
pub async fn reserve(
    State(app): State<App>,
    Parts(topic): Parts<String>,
    Body(body): Body<TakeBody>,
) -> Result<Json<OutcomeBody>, Problem> {
    let Wanted { len_max, timeout_ms } = body.checked()?;
    let visibility_ms = body.visibility_ms.unwrap_or(30_000);
    let delay = app.engine().delay();
    let outcome = match body.timeout_ms {
        None => delay.reserve(&topic, len_max, visibility_ms).await?,
        Some(_) => delay.breserve(&topic, visibility_ms, timeout_ms).await?,
    };
    Ok(Json(outcome.into()))
}

/// Acknowledges a reserved task: it is done and gone.
#[utoipa::path(post, path = "/gateway/delay/{topic}/ack", tag = "gateway", request_body = ReservationBody,
    params(("topic" = String, Path, min_length = 1, max_length = 64, example = "mails", description = "The topic.")),
    responses((status = 200, description = "`acked`, `lapsed` or `not_found`.", body = OutcomeBody)))]
pub async fn ack(
    State(app): State<App>,
    Parts(topic): Parts<String>,
    Body(body): Body<ReservationBody>,
) -> Result<Json<OutcomeBody>, Problem> {
    let outcome: AckOutcome = app.engine().delay().ack(&topic, &body.id, body.reservation()?).await?;
    Ok(Json(OutcomeBody { outcome: outcome.code(), ..OutcomeBody::default() }))
}

/// Gives a reserved task up: it comes back, or becomes a dead letter.
#[utoipa::path(post, path = "/gateway/delay/{topic}/nack", tag = "gateway", request_body = ReservationBody,
    params(("topic" = String, Path, min_length = 1, max_length = 64, example = "mails", description = "The topic.")),
    responses((status = 200, description = "`returned`, `dead_lettered`, `lapsed` or `not_found`.", body = OutcomeBody)))]
pub async fn nack(
    State(app): State<App>,
    Parts(topic): Parts<String>,
    Body(body): Body<ReservationBody>,
) -> Result<Json<OutcomeBody>, Problem> {
    let reservation = body.reservation()?;
    let outcome = app.engine().delay().nack(&topic, &body.id, reservation, body.delay_ms).await?;
    let due_ms = match outcome {
        NackOutcome::Returned { due_ms } => Some(due_ms),
        NackOutcome::DeadLettered | NackOutcome::Lapsed | NackOutcome::NotFound => None,
    };
    Ok(Json(OutcomeBody { outcome: outcome.code(), due_ms, ..OutcomeBody::default() }))
}

/// Makes a reservation hold longer.
#[utoipa::path(post, path = "/gateway/delay/{topic}/extend", tag = "gateway", request_body = ReservationBody,
    params(("topic" = String, Path, min_length = 1, max_length = 64, example = "mails", description = "The topic.")),
    responses((status = 200, description = "`extended`, `lapsed` or `not_found`.", body = OutcomeBody)))]
pub async fn extend(
    State(app): State<App>,
    Parts(topic): Parts<String>,
    Body(body): Body<ReservationBody>,
) -> Result<Json<OutcomeBody>, Problem> {
    let reservation = body.reservation()?;
    let outcome = app.engine().delay().extend(&topic, &body.id, reservation, body.visibility_ms).await?;
    let until_ms = match outcome {
        ExtendOutcome::Extended { until_ms } => Some(until_ms),
        ExtendOutcome::Lapsed | ExtendOutcome::NotFound => None,
    };
    Ok(Json(OutcomeBody { outcome: outcome.code(), until_ms, ..OutcomeBody::default() }))
}

/// Removes a task that is not done yet.
#[utoipa::path(post, path = "/gateway/delay/{topic}/remove", tag = "gateway", request_body = TaskIdBody,
    params(("topic" = String, Path, min_length = 1, max_length = 64, example = "mails", description = "The topic.")),
    responses((status = 200, description = "`removed`, `removed_reserved`, `expired`, `dead_letter` or `not_found`.",
        body = OutcomeBody)))]
pub async fn remove(
    State(app): State<App>,
    Parts(topic): Parts<String>,
    Body(body): Body<TaskIdBody>,
) -> Result<Json<OutcomeBody>, Problem> {
    let outcome: RemoveOutcome = app.engine().delay().remove(&topic, &body.id).await?;
    Ok(Json(OutcomeBody { outcome: outcome.code(), ..OutcomeBody::default() }))
}

/// Gives a pending task another due time.
#[utoipa::path(post, path = "/gateway/delay/{topic}/reschedule", tag = "gateway", request_body = TaskIdBody,
    params(("topic" = String, Path, min_length = 1, max_length = 64, example = "mails", description = "The topic.")),
    responses((status = 200, description = "`rescheduled`, `reserved`, `expired`, `dead_letter` or `not_found`.",
        body = OutcomeBody)))]
pub async fn reschedule(
    State(app): State<App>,
    Parts(topic): Parts<String>,
    Body(body): Body<TaskIdBody>,
) -> Result<Json<OutcomeBody>, Problem> {
    let outcome = app.engine().delay().reschedule(&topic, &body.id, body.delay_ms).await?;
    let due_ms = match outcome {
        RescheduleOutcome::Rescheduled { due_ms } => Some(due_ms),
        RescheduleOutcome::Reserved
        | RescheduleOutcome::Expired
        | RescheduleOutcome::DeadLetter
        | RescheduleOutcome::NotFound => None,
    };
    Ok(Json(OutcomeBody { outcome: outcome.code(), due_ms, ..OutcomeBody::default() }))
}

/// What a topic has.
#[utoipa::path(get, path = "/gateway/delay/{topic}/stats", tag = "gateway",
    params(("topic" = String, Path, min_length = 1, max_length = 64, example = "mails", description = "The topic.")),
    responses((status = 200, description = "Its counts.", body = TopicBody)))]
pub async fn stats(State(app): State<App>, Parts(topic): Parts<String>) -> Result<Json<TopicBody>, Problem> {
    let stats = app.engine().delay().stats(&topic).await?;
    Ok(Json(TopicBody { pending: stats.pending, reserved: stats.reserved, dead_letters: stats.dead_letters }))
}

/// What is wanted, within its bounds.
#[derive(Clone, Copy, Debug)]
struct Wanted {
    len_max: usize,
    timeout_ms: u64,
}

impl TakeBody {
    /// Checks every field, also those that the operation has no use for: what is out of bounds is meant otherwise.
    fn checked(&self) -> Result<Wanted, Reject> {
        let (len_max, timeout_ms) = (self.len_max.unwrap_or(1), self.timeout_ms.unwrap_or(0));
        Reject::check_range("len_max", len_max as u64, 1, TAKEN_MAX as u64)?;
        Reject::check_range("timeout_ms", timeout_ms, 0, WAIT_MS_MAX)?;
        Ok(Wanted { len_max, timeout_ms })
    }
}

impl ReservationBody {
    fn reservation(&self) -> Result<ReservationId, Problem> {
        self.reservation.parse().map_err(|_| {
            Problem::invalid("reservation", "this names no reservation", "reservation 不是合法的预留编号")
        })
    }
}
