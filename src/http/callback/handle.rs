//! The way of one notification: verify, record, answer.

use axum::http::HeaderMap;

use super::{Answer, Failure, Notification, OrderName, Outcome, PaidNotice, Provider};
use crate::Engine;
use crate::domain::ids::OrderNo;
use crate::domain::order::PayNo;
use crate::domain::reject::Reject;
use crate::domain::request::{Caller, OrderRef, Payment};

/// Takes a notification and answers the provider. Success is answered only after the engine has recorded it (R4, R10):
/// paid, marked for refund, or known already.
///
/// `now_ms` is [`Engine::now_ms`], which tests replace.
pub async fn handle(
    engine: &Engine,
    provider: &dyn Provider,
    headers: &HeaderMap,
    body: &[u8],
    now_ms: u64,
) -> Answer {
    provider.acknowledge(&take(engine, provider, headers, body, now_ms).await)
}

/// Takes a notification, without answering it in the provider's form: for those who count or log what came of it. The
/// order and what is to be paid for it are in no failure.
///
/// # Errors
/// [`Failure`]; nothing was recorded, except that of `outcome_unknown` nobody knows.
pub async fn take(
    engine: &Engine,
    provider: &dyn Provider,
    headers: &HeaderMap,
    body: &[u8],
    now_ms: u64,
) -> Result<Outcome, Failure> {
    match provider.verify(headers, body, now_ms)? {
        Notification::Paid(notice) => Ok(Outcome::Payment(pay(engine, notice).await?)),
        Notification::Refund { refund_no, step } => {
            Ok(Outcome::Refund(engine.report_refund(refund_no, step).await?))
        }
        Notification::Nothing => Ok(Outcome::Nothing),
    }
}

async fn pay(engine: &Engine, notice: PaidNotice) -> Result<crate::PaymentOutcome, Reject> {
    let PaidNotice { order, channel, merchant, transaction_id, amount } = notice;
    let order = resolve(engine, order).await?;
    engine.pay(Payment { order, channel, merchant, transaction_id, amount }).await
}

/// Finds out which order is meant. What is no order's name stays as it is: the money is recorded with it, and goes back.
async fn resolve(engine: &Engine, name: OrderName) -> Result<OrderRef, Reject> {
    let text = match name {
        OrderName::Number(order_no) => return Ok(OrderRef::Number(order_no)),
        OrderName::External(external_no) => return Ok(OrderRef::External(external_no)),
        OrderName::Any(text) => text,
    };
    let number = text.parse::<OrderNo>().ok().or_else(|| Some(text.parse::<PayNo>().ok()?.order_no));
    let Some(order_no) = number else { return Ok(OrderRef::External(text)) };
    match engine.order(Caller::Operator, order_no).await {
        Ok(_) => Ok(OrderRef::Number(order_no)),
        Err(Reject::OrderNotFound) => Ok(OrderRef::External(text)),
        Err(reject) => Err(reject),
    }
}
