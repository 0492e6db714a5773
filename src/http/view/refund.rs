//! A refund as JSON, for its member and for the back office.

use serde::Serialize;
use utoipa::ToSchema;

use super::order::UnitsBody;
use crate::http::json::{Id, instant};
use crate::{Refund, RefundBy, RefundCause, RefundLine, RefundReceipt};

/// Money on its way back.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = Refund, example = json!({
    "refund_no": "380000000000000001-1", "state": "applied", "amount": 19900, "since": "2026-11-12T08:00:00.000Z",
    "since_ms": 1_794_470_400_000_u64, "kind": "after_sale", "applied_by": "member", "reason": "too bitter",
    "lines": [{"sku_id": "42", "quantity": 1, "amount": 19900}], "extra": 0,
}))]
pub struct RefundBody {
    /// Its name: the order's number, a dash and a number from 1; or `p` and a payment's identity, for money that came
    /// for no order.
    pub refund_no: String,
    /// `applied`, `withdrawn`, `rejected`, `required`, `requested`, `failed` or `finished`.
    pub state: &'static str,
    /// How much, in cents.
    pub amount: i64,
    /// When it came about.
    pub since: String,
    /// The same, in ms since the Unix epoch.
    pub since_ms: u64,
    /// The identity of the payment whose money goes back: 32 hexadecimal digits.
    pub payment_id: String,
    /// `after_sale` where somebody applied for it, `obligation` for money that can't be kept.
    pub kind: &'static str,
    /// Who applied: `member` or `operator`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub applied_by: Option<&'static str>,
    /// Why: in the applicant's words, or the stable name of why money can't be kept.
    pub reason: String,
    /// The units that it is for; none where it is for an amount alone.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub lines: Vec<RefundLineBody>,
    /// What it comes to beyond the lines' shares, in cents.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub extra: Option<i64>,
    /// The units that go back on sale when it is finished.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub restock: Vec<UnitsBody>,
    /// Why it was rejected, or failed last.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
    /// The provider's name for it, once finished.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub provider_refund_id: Option<String>,
}

/// Units of a line that a refund is for.
#[derive(Clone, Copy, Debug, Serialize, ToSchema)]
#[schema(as = RefundLine)]
pub struct RefundLineBody {
    /// The SKU.
    pub sku_id: Id,
    /// Units.
    pub quantity: u32,
    /// Their share of what was paid, in cents.
    pub amount: i64,
}

/// The answer to a command about a refund.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = RefundReceipt, example = json!({
    "refund_no": "380000000000000001-1", "state": "applied", "amount": 19900, "order_status": "paid",
}))]
pub struct RefundReceiptBody {
    /// Its name.
    pub refund_no: String,
    /// Where it stands, as in a refund.
    pub state: &'static str,
    /// How much, in cents.
    pub amount: i64,
    /// The status of its order; absent where the money is for no order.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub order_status: Option<&'static str>,
}

impl From<Refund> for RefundBody {
    fn from(refund: Refund) -> Self {
        let (kind, applied_by, reason, lines, extra) = match refund.cause {
            RefundCause::Obligation(reason) => ("obligation", None, reason.name().into(), Vec::new(), None),
            RefundCause::AfterSale { by, reason, lines, extra } => {
                let by = match by {
                    RefundBy::Member => "member",
                    RefundBy::Operator => "operator",
                };
                let lines = lines.iter().map(RefundLineBody::from).collect();
                ("after_sale", Some(by), reason.into(), lines, Some(extra.minor()))
            }
        };
        Self {
            refund_no: refund.refund_no.to_string(),
            state: refund.state.name(),
            amount: refund.amount.minor(),
            since: instant(refund.since_ms),
            since_ms: refund.since_ms,
            payment_id: refund.payment.to_string(),
            kind,
            applied_by,
            reason,
            lines,
            extra,
            restock: refund.restock.iter().map(UnitsBody::from).collect(),
            note: refund.note.map(Into::into),
            provider_refund_id: refund.provider_refund_id.map(Into::into),
        }
    }
}

impl From<&RefundLine> for RefundLineBody {
    fn from(line: &RefundLine) -> Self {
        Self { sku_id: line.key.sku.into(), quantity: line.quantity, amount: line.amount.minor() }
    }
}

impl From<RefundReceipt> for RefundReceiptBody {
    fn from(receipt: RefundReceipt) -> Self {
        Self {
            refund_no: receipt.refund_no.to_string(),
            state: receipt.state.name(),
            amount: receipt.amount.minor(),
            order_status: receipt.order_status.map(|status| status.name()),
        }
    }
}
