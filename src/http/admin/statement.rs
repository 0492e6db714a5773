//! A day's money: account by account, or movement by movement.

use axum::Json;
use axum::http::StatusCode;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::desk::{Desk, page_len, wrong_cursor};
use crate::http::json::{OrderNumber, Params, instant};
use crate::http::problem::Problem;
use crate::{
    AccountStatement, Day, MOVEMENT_PAGE_LEN_MAX, Movement, MovementCursor, Standing, Statement,
    StatementError, Sum, Totals, UtcOffset,
};

/// Which day, and how much of it.
#[derive(Clone, Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct StatementParams {
    /// The day, which must be over.
    #[param(example = "2026-11-11", pattern = "^[0-9]{4}-[0-9]{2}-[0-9]{2}$")]
    day: String,
    /// Where the day begins: an offset from UTC; `Z` without it. A `+` in a query is written `%2B`.
    #[param(example = "+08:00", pattern = "^([Zz]|[+-][0-9]{2}:[0-9]{2})$")]
    zone: Option<String>,
    /// `true` lists movements in place of sums.
    #[serde(default)]
    movements: bool,
    /// Of movements: `next` of the page before.
    #[param(pattern = "^[0-9]{1,20}-[0-9]{1,20}$")]
    after: Option<String>,
    /// Of movements: most on the page, 1 to 1,000; 200 without it.
    #[param(minimum = 1, maximum = 1000)]
    limit: Option<usize>,
}

/// So many movements of so much money.
#[derive(Clone, Copy, Debug, Serialize, ToSchema)]
pub struct SumView {
    /// How many.
    pub count: i64,
    /// How much, in cents.
    #[schema(value_type = i64)]
    pub amount: i128,
}

impl From<Sum> for SumView {
    fn from(sum: Sum) -> Self {
        Self { count: sum.count, amount: sum.minor }
    }
}

/// A day's figures: `opening + received - refunded = closing`.
#[derive(Clone, Copy, Debug, Serialize, ToSchema)]
pub struct Figures {
    /// The balance when the day began, in cents.
    #[schema(value_type = i64)]
    pub opening: i128,
    /// Money that came in.
    pub received: SumView,
    /// Money that went back.
    pub refunded: SumView,
    /// The balance when the day ended, in cents.
    #[schema(value_type = i64)]
    pub closing: i128,
    /// Of what came in, what paid an order, in time or late.
    pub paid: SumView,
    /// Of it, what came late and brought its order back.
    pub paid_late: SumView,
    /// What came late, whether it brought its order back or not.
    pub late: SumView,
    /// What came late and must go back.
    pub late_to_refund: SumView,
    /// What there was no order for.
    pub unmatched: SumView,
    /// What the shop agreed to pay back.
    pub refund_agreed: SumView,
    /// What was not settled when the day ended.
    pub pending: SumView,
}

impl Figures {
    fn new(opening: &Standing, day: &Totals, closing: &Standing) -> Self {
        Self {
            opening: opening.balance_minor,
            received: day.received.into(),
            refunded: day.refunded.into(),
            closing: closing.balance_minor,
            paid: day.paid().into(),
            paid_late: day.paid_late.into(),
            late: day.late().into(),
            late_to_refund: day.late_to_refund.into(),
            unmatched: day.unmatched.into(),
            refund_agreed: day.refund_agreed.into(),
            pending: closing.pending().into(),
        }
    }
}

/// An account's day.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct AccountView {
    /// The payment channel.
    pub channel: String,
    /// The shop's account with it.
    pub merchant: String,
    /// What happened.
    #[serde(flatten)]
    pub figures: Figures,
}

impl From<&AccountStatement> for AccountView {
    fn from(statement: &AccountStatement) -> Self {
        let AccountStatement { account, opening, day, closing } = statement;
        let figures = Figures::new(opening, day, closing);
        Self { channel: account.channel.to_string(), merchant: account.merchant.to_string(), figures }
    }
}

/// A day's statement. Once given out it never changes.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = Statement)]
pub struct StatementView {
    /// The day.
    pub day: String,
    /// By which offset it begins and ends.
    pub zone: String,
    /// Its first instant.
    pub from: String,
    /// The first instant behind it.
    pub until: String,
    /// Every account that had ever moved by its end.
    pub accounts: Vec<AccountView>,
    /// All accounts together.
    pub sum: Figures,
}

impl From<Statement> for StatementView {
    fn from(statement: Statement) -> Self {
        let (opening, day, closing) = statement.sum();
        Self {
            day: statement.day.to_string(),
            zone: statement.offset.to_string(),
            from: instant(statement.from_ms),
            until: instant(statement.until_ms),
            accounts: statement.accounts.iter().map(AccountView::from).collect(),
            sum: Figures::new(&opening, &day, &closing),
        }
    }
}

/// One thing that happened to money.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = Movement)]
pub struct MovementView {
    /// Its place in the journal.
    pub position: u64,
    /// The instant that says which day it belongs to.
    pub booked_at: String,
    /// The same, in ms since the Unix epoch.
    pub booked_ms: u64,
    /// `received`, `paid`, `paid_late`, `to_refund`, `refund_agreed` or `refunded`.
    pub kind: &'static str,
    /// Why it has to go back.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<&'static str>,
    /// The payment channel.
    pub channel: String,
    /// The shop's account with it.
    pub merchant: String,
    /// The provider's number of the payment.
    pub transaction_id: String,
    /// The payment: 32 hexadecimal digits.
    pub payment_id: String,
    /// The order that it is for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub order_no: Option<OrderNumber>,
    /// How much, in cents, always positive.
    pub amount: i64,
    /// The refund's number.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub refund_no: String,
    /// The provider's number of the refund.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub provider_refund_id: String,
}

impl From<Movement> for MovementView {
    fn from(movement: Movement) -> Self {
        Self {
            position: movement.position.0,
            booked_at: instant(movement.booked_ms),
            booked_ms: movement.booked_ms,
            kind: movement.kind.name(),
            reason: movement.kind.reason().map(|reason| reason.name()),
            channel: movement.account.channel.into(),
            merchant: movement.account.merchant.into(),
            transaction_id: movement.transaction_id.into(),
            payment_id: movement.payment.to_string(),
            order_no: movement.order_no.map(OrderNumber::from),
            amount: movement.amount.minor(),
            refund_no: movement.refund_no.into(),
            provider_refund_id: movement.provider_refund_id.into(),
        }
    }
}

/// A page of a day's movements.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct MovementList {
    /// The movements, in the order of the journal.
    pub movements: Vec<MovementView>,
    /// Where the next page starts; absent on the last one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
}

/// The answer: sums, or movements.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[serde(untagged)]
#[schema(example = json!({"day": "2026-11-11", "zone": "+08:00", "from": "2026-11-10T16:00:00.000Z", "until":
    "2026-11-11T16:00:00.000Z", "accounts": [], "sum": {"opening": 0, "received": {"count": 2,
    "amount": 39800}, "refunded": {"count": 0, "amount": 0}, "closing": 39800, "paid": {"count":
    2, "amount": 39800}, "paid_late": {"count": 0, "amount": 0}, "late": {"count": 0, "amount":
    0}, "late_to_refund": {"count": 0, "amount": 0}, "unmatched": {"count": 0, "amount": 0},
    "refund_agreed": {"count": 0, "amount": 0}, "pending": {"count": 0, "amount": 0}}}))]
pub enum StatementAnswer {
    /// Sums.
    Sums(Box<StatementView>),
    /// Movements.
    Movements(MovementList),
}

/// Shows the money of a day that is over: what came in, paid orders, went back, and is left; or every movement of it.
///
/// Once given out, a statement never changes.
#[utoipa::path(get, path = "/admin/statement", tag = "admin",
    operation_id = "admin_statement", params(StatementParams),
    responses((status = 200, description = "Sums by account, or a page of movements.", body = StatementAnswer)))]
pub async fn statement(
    desk: Desk,
    Params(params): Params<StatementParams>,
) -> Result<Json<StatementAnswer>, Problem> {
    let day: Day = params.day.parse().map_err(|error: crate::domain::statement::ParseDayError| {
        Problem::invalid("day", error.to_string(), "day 应为 2026-11-11 这样的日期")
    })?;
    let zone = params.zone.as_deref().unwrap_or("Z");
    let offset: UtcOffset = zone.parse().map_err(|error: crate::domain::statement::ParseDayError| {
        Problem::invalid("zone", error.to_string(), "zone 应为 +08:00 这样的时区偏移")
    })?;
    let engine = desk.engine();
    if !params.movements {
        if params.after.is_some() || params.limit.is_some() {
            return Err(Problem::invalid(
                "movements",
                "after and limit are for movements: send movements=true",
                "after 和 limit 仅用于明细：请同时发送 movements=true",
            ));
        }
        let statement = engine.statement(day, offset).await.map_err(refused)?;
        return Ok(Json(StatementAnswer::Sums(Box::new(statement.into()))));
    }
    let limit = page_len(params.limit, 200, MOVEMENT_PAGE_LEN_MAX)?;
    let after = params.after.as_deref().map(str::parse::<MovementCursor>).transpose();
    let after = after.map_err(|_wrong| wrong_cursor("after"))?;
    let page = engine.movements(day, offset, after, limit).await.map_err(refused)?;
    let movements = page.movements.into_iter().map(MovementView::from).collect();
    let next = page.next.map(|next| next.to_string());
    Ok(Json(StatementAnswer::Movements(MovementList { movements, next })))
}

/// Why there is no statement, as a problem. What can't be read is logged here and not told.
fn refused(error: StatementError) -> Problem {
    let english = error.to_string();
    match error {
        StatementError::NoStore => crate::Reject::NoStore.into(),
        StatementError::NotClosed { day, .. } => {
            let chinese = format!("{day} 尚未结束，或其数据尚未入库");
            Problem::new(StatusCode::CONFLICT, "day_not_closed", english, chinese).field("day")
        }
        StatementError::NotKept { day, first, .. } => {
            let chinese = format!("{day} 没有完整记录，最早的完整日期是 {first}");
            Problem::new(StatusCode::CONFLICT, "day_not_kept", english, chinese).field("day")
        }
        StatementError::Store(_) | StatementError::Failed(_) => {
            tracing::error!(%english, "a statement can't be made");
            Problem::from(crate::Reject::Unavailable)
        }
    }
}
