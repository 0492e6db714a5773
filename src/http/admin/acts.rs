//! The operator log: who asked for what, and why.

use axum::Json;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::desk::{Desk, page_len};
use crate::domain::operator::{ACT_ACTION_BYTES_MAX, ACT_TARGET_BYTES_MAX};
use crate::domain::setting::OPERATOR_BYTES_MAX;
use crate::http::json::{Id, Moment, Params, instant};
use crate::http::problem::Problem;
use crate::{ACTS_PAGE_LEN_MAX, ActFilter, ActsPage, OperatorAct, Position, RecordedAct, Reject};

/// Which acts.
#[derive(Clone, Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct ActParams {
    /// Only of this operator.
    #[param(max_length = 64)]
    operator: Option<String>,
    /// Only this action.
    #[param(example = "order.ship", max_length = 64)]
    action: Option<String>,
    /// Only with this target.
    #[param(max_length = 128)]
    target: Option<String>,
    /// Only from this instant on.
    from: Option<Moment>,
    /// Only before this instant.
    until: Option<Moment>,
    /// `next` of the page before.
    before: Option<Id>,
    /// Most acts on the page, 1 to 100; 50 without it.
    #[param(minimum = 1, maximum = 100)]
    limit: Option<usize>,
}

/// An act: recorded before it was done.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = Act)]
pub struct ActView {
    /// Its place in the journal.
    pub position: u64,
    /// When.
    pub at: String,
    /// The same, in ms since the Unix epoch.
    pub at_ms: u64,
    /// Who.
    pub operator: String,
    /// What, such as `order.ship`.
    pub action: String,
    /// To what, such as an order number.
    pub target: String,
    /// Why; may be empty.
    pub reason: String,
    /// The request that asked for it.
    pub request_id: String,
}

impl From<RecordedAct> for ActView {
    fn from(recorded: RecordedAct) -> Self {
        let OperatorAct { at_ms, operator, reason, action, target, request } = recorded.act;
        Self {
            position: recorded.position.0,
            at: instant(at_ms),
            at_ms,
            operator: operator.into(),
            action: action.into(),
            target: target.into(),
            reason: reason.into(),
            request_id: request.into(),
        }
    }
}

/// A page of the operator log.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(example = json!({"acts": [{"position": 120, "at": "2026-11-11T04:00:00.000Z", "at_ms": 1_794_369_600_000_u64,
    "operator": "anna", "action": "order.ship", "target": "380000000000000001", "reason": "",
    "request_id": "5f0c1a"}], "next": "120", "as_of": 130}))]
pub struct ActList {
    /// The acts, newest first; perhaps none where a page has looked at as many as it may and `next` is set.
    pub acts: Vec<ActView>,
    /// Where the next page starts; absent on the last one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next: Option<Id>,
    /// Every act up to this position was looked at.
    pub as_of: u64,
}

/// Lists what operators asked for, the newest first.
///
/// An act is recorded before it is done: whether it was done, the things themselves tell.
#[utoipa::path(get, path = "/admin/acts", tag = "admin",
    operation_id = "admin_acts", params(ActParams),
    responses((status = 200, description = "A page of the log.", body = ActList)))]
pub async fn acts(desk: Desk, Params(params): Params<ActParams>) -> Result<Json<ActList>, Problem> {
    let len_max = page_len(params.limit, 50, ACTS_PAGE_LEN_MAX)?;
    for (field, text, bytes_max) in [
        ("operator", &params.operator, OPERATOR_BYTES_MAX),
        ("action", &params.action, ACT_ACTION_BYTES_MAX),
        ("target", &params.target, ACT_TARGET_BYTES_MAX),
    ] {
        Reject::check_len(field, text.as_deref().unwrap_or_default().len(), bytes_max)?;
    }
    let filter = ActFilter {
        operator: params.operator.map(Into::into),
        action: params.action.map(Into::into),
        target: params.target.map(Into::into),
        from_ms: params.from.map(|from| from.0),
        until_ms: params.until.map(|until| until.0),
    };
    let page = ActsPage { before: params.before.map(|before| Position(before.0)), len_max };
    let page = desk.engine().acts(filter, page).await?;
    Ok(Json(ActList {
        acts: page.acts.into_iter().map(ActView::from).collect(),
        next: page.next.map(|position| Id(position.0)),
        as_of: page.as_of.0,
    }))
}
