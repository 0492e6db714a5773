//! Refunds: the work list, the shop's decision, and what the provider's side reports.

use axum::Json;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::desk::{Desk, Reason, page_len, wrong_cursor};
use crate::http::json::{Body, Id, Params, Part, Parts};
use crate::http::problem::Problem;
use crate::http::view::refund::{RefundBody, RefundReceiptBody};
use crate::{
    Caller, REFUNDS_PAGE_LEN_MAX, RefundCause, RefundCursor, RefundFilter, RefundNo, RefundState, RefundStep,
    SkuId,
};

/// A refund's number as a path has it.
#[derive(Clone, Copy, Debug)]
pub struct Named(RefundNo);

impl Part for Named {
    fn from_text(text: &str) -> Option<Self> {
        text.parse().ok().map(Self)
    }
    const EXPECTED: &'static str = "a refund number";
}

/// Which refunds.
#[derive(Clone, Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct RefundParams {
    /// States with commas between: `applied`, `required`, `requested`, `failed`; all of these without it.
    #[param(example = "applied,failed", pattern = "^[a-z,]*$")]
    state: Option<String>,
    /// `next` of the page before.
    #[param(pattern = "^[0-9]{1,20}[.]([0-9]{1,19}-[1-9][0-9]{0,4}|p[0-9a-f]{32})$")]
    after: Option<String>,
    /// Most refunds on the page, 1 to 500; 100 without it.
    #[param(minimum = 1, maximum = 500)]
    limit: Option<usize>,
}

/// A page of the work list.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(example = json!({"refunds": [{"refund_no": "380000000000000001-1", "state": "applied", "amount": 19900, "since":
    "2026-11-12T08:00:00.000Z", "since_ms": 1_794_470_400_000_u64, "payment_id":
    "00000000000000010000000000000002", "kind": "after_sale", "applied_by": "member", "reason":
    "too bitter", "lines": [{"sku_id": "42", "quantity": 1, "amount": 19900}], "extra": 0}],
    "next": "1794470400000.380000000000000001-1"}))]
pub struct RefundList {
    /// The refunds, oldest first.
    pub refunds: Vec<RefundBody>,
    /// Where the next page starts; absent on the last one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
}

/// Lists refunds that somebody has to work on, the oldest first.
///
/// Applications wait for a decision; the others are money that must go back. Finished, withdrawn and rejected refunds stand in their orders.
#[utoipa::path(get, path = "/admin/refunds", tag = "admin",
    operation_id = "admin_refunds", params(RefundParams),
    responses((status = 200, description = "A page of the work list.", body = RefundList)))]
pub async fn refunds(desk: Desk, Params(params): Params<RefundParams>) -> Result<Json<RefundList>, Problem> {
    let len_max = page_len(params.limit, 100, REFUNDS_PAGE_LEN_MAX)?;
    let names = params.state.as_deref().unwrap_or_default().split(',').filter(|name| !name.is_empty());
    let states = names.map(state).collect::<Result<Vec<_>, _>>()?;
    let after = params.after.as_deref().map(|text| cursor(text).ok_or_else(|| wrong_cursor("after")));
    let filter = RefundFilter { states, after: after.transpose()?, len_max };
    let page = desk.engine().refunds(filter).await?;
    Ok(Json(RefundList {
        refunds: page.refunds.into_iter().map(RefundBody::from).collect(),
        next: page.next.map(|next| format!("{}.{}", next.since_ms, next.refund_no)),
    }))
}

fn state(name: &str) -> Result<RefundState, Problem> {
    RefundState::UNFINISHED.into_iter().find(|state| state.name() == name).ok_or_else(|| {
        Problem::invalid(
            "state",
            "state is applied, required, requested or failed",
            "state 取值 applied、required、requested 或 failed",
        )
    })
}

fn cursor(text: &str) -> Option<RefundCursor> {
    let (since_ms, refund_no) = text.split_once('.')?;
    Some(RefundCursor { since_ms: Id::from_digits(since_ms)?.0, refund_no: refund_no.parse().ok()? })
}

/// The shop agrees.
#[derive(Clone, Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"restock": "all", "reason": "unopened"}))]
pub struct ApproveBody {
    /// Which units go back on sale once the money has gone back.
    #[serde(default)]
    pub restock: RestockBody,
    /// Why, for the log.
    #[serde(default)]
    pub reason: Reason,
}

/// Which units go back on sale.
#[derive(Clone, Debug, Default, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
#[schema(as = Restock)]
pub enum RestockBody {
    /// None.
    #[default]
    None,
    /// All that the refund is for.
    All,
    /// These.
    Lines(Vec<RestockLine>),
}

/// Units of a SKU that go back on sale.
#[derive(Clone, Copy, Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct RestockLine {
    /// The SKU.
    pub sku_id: Id,
    /// How many.
    #[schema(minimum = 1)]
    pub quantity: u32,
}

impl RestockBody {
    async fn lines(self, desk: &Desk, refund_no: RefundNo) -> Result<Vec<(SkuId, u32)>, Problem> {
        Ok(match self {
            Self::None => Vec::new(),
            Self::Lines(lines) => lines.into_iter().map(|line| (line.sku_id.into(), line.quantity)).collect(),
            Self::All => match desk.engine().refund(Caller::Operator, refund_no).await?.cause {
                RefundCause::AfterSale { lines, .. } => {
                    lines.iter().map(|line| (line.key.sku, line.quantity)).collect()
                }
                RefundCause::Obligation(_) => Vec::new(),
            },
        })
    }
}

/// Agrees to a refund that was applied for.
///
/// The money is then due: ask the provider, and report how it went.
#[utoipa::path(post, path = "/admin/refunds/{refund_no}/approve", tag = "admin",
    operation_id = "admin_refund_approve", request_body = ApproveBody,
    params(("refund_no" = String, Path, pattern = "^([0-9]{1,19}-[1-9][0-9]{0,4}|p[0-9a-f]{32})$", example = "380000000000000001-1",
        description = "The refund.")),
    responses((status = 200, description = "It is due, durably.", body = RefundReceiptBody)))]
pub async fn approve(
    desk: Desk,
    Parts(Named(refund_no)): Parts<Named>,
    Body(body): Body<ApproveBody>,
) -> Result<Json<RefundReceiptBody>, Problem> {
    let reason = body.reason.needed()?;
    let restock = body.restock.clone().lines(&desk, refund_no).await?;
    desk.acted("refund.approve", refund_no, reason).await?;
    Ok(Json(desk.engine().approve_refund(refund_no, restock).await?.into()))
}

/// The shop refuses.
#[derive(Clone, Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"note": "the seal is broken", "reason": "photos of 11 November"}))]
pub struct RejectBody {
    /// What the member reads; at most 512 bytes.
    pub note: String,
    /// Why, for the log.
    #[serde(default)]
    pub reason: Reason,
}

/// Refuses a refund that was applied for.
///
/// Needs a reason, for the log; the note is for the member.
#[utoipa::path(post, path = "/admin/refunds/{refund_no}/reject", tag = "admin",
    operation_id = "admin_refund_reject", request_body = RejectBody,
    params(("refund_no" = String, Path, pattern = "^([0-9]{1,19}-[1-9][0-9]{0,4}|p[0-9a-f]{32})$", example = "380000000000000001-1",
        description = "The refund.")),
    responses((status = 200, description = "It is refused, durably.", body = RefundReceiptBody)))]
pub async fn reject(
    desk: Desk,
    Parts(Named(refund_no)): Parts<Named>,
    Body(body): Body<RejectBody>,
) -> Result<Json<RefundReceiptBody>, Problem> {
    desk.acted("refund.reject", refund_no, body.reason.needed()?).await?;
    Ok(Json(desk.engine().reject_refund(refund_no, &body.note).await?.into()))
}

/// The provider was asked.
#[derive(Clone, Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"reason": "second try"}))]
pub struct RequestBody {
    /// Why, for the log.
    #[serde(default)]
    pub reason: Reason,
}

/// Notes that the provider was asked to pay back.
///
/// A failed refund may be asked for again.
#[utoipa::path(post, path = "/admin/refunds/{refund_no}/request", tag = "admin",
    operation_id = "admin_refund_request", request_body = RequestBody,
    params(("refund_no" = String, Path, pattern = "^([0-9]{1,19}-[1-9][0-9]{0,4}|p[0-9a-f]{32})$", example = "380000000000000001-1",
        description = "The refund.")),
    responses((status = 200, description = "It is noted, durably.", body = RefundReceiptBody)))]
pub async fn request(
    desk: Desk,
    Parts(Named(refund_no)): Parts<Named>,
    Body(body): Body<RequestBody>,
) -> Result<Json<RefundReceiptBody>, Problem> {
    desk.acted("refund.request", refund_no, body.reason.given()?).await?;
    Ok(Json(desk.engine().report_refund(refund_no, RefundStep::Requested).await?.into()))
}

/// The money has gone back.
#[derive(Clone, Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"provider_refund_id": "50300108202611"}))]
pub struct FinishBody {
    /// The provider's name for it; 1 to 64 bytes.
    pub provider_refund_id: String,
    /// Why, for the log.
    #[serde(default)]
    pub reason: Reason,
}

/// Notes that the money has gone back.
///
/// Noted again with the same id of the provider's, it changes nothing.
#[utoipa::path(post, path = "/admin/refunds/{refund_no}/finish", tag = "admin",
    operation_id = "admin_refund_finish", request_body = FinishBody,
    params(("refund_no" = String, Path, pattern = "^([0-9]{1,19}-[1-9][0-9]{0,4}|p[0-9a-f]{32})$", example = "380000000000000001-1",
        description = "The refund.")),
    responses((status = 200, description = "It is noted, durably.", body = RefundReceiptBody)))]
pub async fn finish(
    desk: Desk,
    Parts(Named(refund_no)): Parts<Named>,
    Body(body): Body<FinishBody>,
) -> Result<Json<RefundReceiptBody>, Problem> {
    desk.acted("refund.finish", refund_no, body.reason.given()?).await?;
    let step = RefundStep::Finished { provider_refund_id: body.provider_refund_id.into() };
    Ok(Json(desk.engine().report_refund(refund_no, step).await?.into()))
}

/// The provider has refused, or could not be reached.
#[derive(Clone, Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"note": "account closed"}))]
pub struct FailBody {
    /// What the provider said; at most 512 bytes.
    pub note: String,
    /// Why, for the log.
    #[serde(default)]
    pub reason: Reason,
}

/// Notes that the provider has not paid back.
///
/// It stays on the work list, and may be asked for again.
#[utoipa::path(post, path = "/admin/refunds/{refund_no}/fail", tag = "admin",
    operation_id = "admin_refund_fail", request_body = FailBody,
    params(("refund_no" = String, Path, pattern = "^([0-9]{1,19}-[1-9][0-9]{0,4}|p[0-9a-f]{32})$", example = "380000000000000001-1",
        description = "The refund.")),
    responses((status = 200, description = "It is noted, durably.", body = RefundReceiptBody)))]
pub async fn fail(
    desk: Desk,
    Parts(Named(refund_no)): Parts<Named>,
    Body(body): Body<FailBody>,
) -> Result<Json<RefundReceiptBody>, Problem> {
    desk.acted("refund.fail", refund_no, body.reason.given()?).await?;
    let step = RefundStep::Failed { reason: body.note.into() };
    Ok(Json(desk.engine().report_refund(refund_no, step).await?.into()))
}
