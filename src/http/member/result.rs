//! `GET /api/order/result`: what has become of an order that was not waited for.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::submit::ReceiptBody;
use crate::http::caller::Member;
use crate::http::context::Context;
use crate::http::json::{OrderNumber, Params};
use crate::http::problem::{Problem, ProblemBody};
use crate::http::state::App;
use crate::{Failure, Submission};

/// Which order, and how long to wait for it.
#[derive(Clone, Copy, Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct ResultParams {
    /// The number that was promised.
    pub order_no: OrderNumber,
    /// How long to wait for the outcome, in ms, at most 30,000; without it the answer comes at once.
    #[serde(default)]
    #[param(maximum = 30_000)]
    pub wait_ms: u32,
}

/// What has become of an order.
#[derive(Debug, Serialize, ToSchema)]
#[schema(example = json!({"status": "created", "order": {"order_no": "380000000000000001", "status": "pending",
    "pay_amount": 19900, "pay_before": "2026-11-11T12:30:00.000Z", "pay_before_ms": 1_794_400_200_000_u64}}))]
pub struct ResultBody {
    /// `processing`, `created` or `failed`.
    pub status: &'static str,
    /// The order's receipt, once it is created. Of a request that was sent before it is the first receipt, with the
    /// number of the first order.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub order: Option<ReceiptBody>,
    /// Why there is no order, once it has failed. `not_recorded` says that nothing is known of it: sending the same
    /// request again, under its name, is safe.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<ProblemBody>,
    /// When to ask again, in ms, while it is under way.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub poll_after_ms: Option<u32>,
}

impl ResultBody {
    fn new(submission: Submission, context: &Context) -> Self {
        let with = |status| Self { status, order: None, error: None, poll_after_ms: None };
        let failed = |problem: Problem| {
            let error = problem.body(context.language, &context.request_id);
            Self { error: Some(error), ..with("failed") }
        };
        match submission {
            Submission::Processing { poll_after_ms } => {
                Self { poll_after_ms: Some(poll_after_ms), ..with("processing") }
            }
            Submission::Created(receipt) => Self { order: Some(receipt.into()), ..with("created") },
            Submission::Failed(Failure::Rejected(reject)) => failed(reject.into()),
            Submission::Failed(Failure::NotRecorded) => failed(not_recorded()),
        }
    }
}

/// Nothing is known of it, so that the same request may be sent again at once.
fn not_recorded() -> Problem {
    Problem::new(
        StatusCode::NOT_FOUND,
        "not_recorded",
        "nothing is recorded under this number: send the same request again, under its name",
        "该编号下没有记录：请使用相同的请求标识重新发送",
    )
    .field("order_no")
    .retry_after_ms(0)
}

/// What has become of an order that was not waited for.
///
/// Failed or not, the answer is 200: it is the answer to the question. Another member's number answers as one that was
/// never promised.
#[utoipa::path(get, path = "/api/order/result", tag = "member", params(ResultParams),
    responses((status = 200, description = "How far it is.", body = ResultBody)))]
pub async fn result(
    State(app): State<App>,
    member: Member,
    context: Context,
    Params(params): Params<ResultParams>,
) -> Result<Json<ResultBody>, Problem> {
    let ResultParams { order_no, wait_ms } = params;
    let submission = app.engine().submission(member.caller(), order_no.0, wait_ms).await?;
    Ok(Json(ResultBody::new(submission, &context)))
}
