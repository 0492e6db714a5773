//! Refunds: applying for one, deciding it, and the work list of money that must go back.

use super::Engine;
use super::shipping::check_lines;
use crate::actors::order::{Action, CommandReply, OrderItem, Query, RefundCursor, RefundOf, StepRequest};
use crate::actors::reply::RefundReceipt;
use crate::domain::ids::{OrderNo, RequestId, SkuId};
use crate::domain::money::Money;
use crate::domain::order::{OrderCommand, RefundCommand};
use crate::domain::refund::{
    REFUND_NOTE_BYTES_MAX, REFUND_REASON_BYTES_MAX, Refund, RefundBy, RefundNo, RefundState, RefundStep,
};
use crate::domain::reject::Reject;
use crate::domain::request::{Caller, OrderRef};

/// Most refunds on one page of the work list.
pub const REFUNDS_PAGE_LEN_MAX: usize = 500;

/// An application for a refund: for units of lines, for an amount, or for both.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RefundRequest {
    /// The client's name for it: sent again, it gives the first answer.
    pub request_id: RequestId,
    /// Why; at most [`REFUND_REASON_BYTES_MAX`] bytes.
    pub reason: Box<str>,
    /// SKU and units. They come to their share of what was paid, carriage left out.
    pub lines: Vec<(SkuId, u32)>,
    /// What is to go back beyond that: carriage, or an amount for no unit in particular; not negative.
    pub extra: Money,
}

/// Which refunds, and where the page begins.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RefundFilter {
    /// In which states, among [`RefundState::UNFINISHED`]; none stands for all of these.
    pub states: Vec<RefundState>,
    /// Only those behind this one: [`RefundPage::next`] of the page before.
    pub after: Option<RefundCursor>,
    /// Most refunds on the page, 1 to [`REFUNDS_PAGE_LEN_MAX`]; 0 stands for the most.
    pub len_max: usize,
}

/// A page of the work list, oldest first.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RefundPage {
    /// The refunds.
    pub refunds: Vec<Refund>,
    /// Where the next page starts; `None` on the last one.
    pub next: Option<RefundCursor>,
}

impl Engine {
    /// Applies for a refund of an order that is paid, at most a configured time after its completion. What all refunds
    /// come to that did not come to nothing never exceeds what was paid, nor a line's units. While it is open the order
    /// isn't shipped, and doesn't count as received by time.
    ///
    /// # Errors
    /// [`Reject::RefundExceedsPaid`], [`Reject::UnitsExceeded`], [`Reject::SkuNotInOrder`], [`Reject::AfterSaleOver`],
    /// [`Reject::InvalidField`] for an amount below zero, or of nothing for no unit; [`Reject::WrongStatus`] where
    /// nothing is paid, or everything has gone back; [`Reject::RequestIdReused`], [`Reject::TooManyOfOneOrder`],
    /// [`Reject::OrderNotFound`], a field out of bounds.
    ///
    /// ```
    /// # use stockade::{Caller, Config, Durability, Engine, RefundRequest, RefundState, RefundStep};
    /// # #[tokio::main]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let engine = Engine::open(Config::new("").durability(Durability::Memory)).await?;
    /// # let order_no = stockade::examples::paid_order(&engine).await?;
    /// let request = RefundRequest {
    ///     request_id: 1.into(),
    ///     reason: "too bitter".into(),
    ///     lines: vec![(42.into(), 1)],
    ///     ..RefundRequest::default()
    /// };
    /// let applied = engine.apply_refund(Caller::Operator, order_no, request).await?;
    /// assert_eq!(applied.state, RefundState::Applied);
    /// // The shop agrees, and the unit goes back on sale.
    /// engine.approve_refund(applied.refund_no, vec![(42.into(), 1)]).await?;
    /// let finished = RefundStep::Finished { provider_refund_id: "5030".into() };
    /// let receipt = engine.report_refund(applied.refund_no, finished).await?;
    /// assert_eq!(receipt.state, RefundState::Finished);
    /// # Ok(())
    /// # }
    /// ```
    pub async fn apply_refund(
        &self,
        caller: Caller,
        order: impl Into<OrderRef>,
        request: RefundRequest,
    ) -> Result<RefundReceipt, Reject> {
        let RefundRequest { request_id, reason, lines, extra } = request;
        Reject::check_len("reason", reason.len(), REFUND_REASON_BYTES_MAX)?;
        check_lines(&lines)?;
        let order_no = self.resolve(&order.into()).await?;
        let by = match caller {
            Caller::Member(_) => RefundBy::Member,
            Caller::Operator => RefundBy::Operator,
        };
        let window_ms = self.inner.settings.after_sale_window_ms;
        let command = RefundCommand::Apply { request_id, by, reason, lines, extra, window_ms };
        self.refund_command(order_no, caller, command, RefundOf::Request(request_id)).await
    }

    /// Takes an application back that the shop has not decided.
    ///
    /// # Errors
    /// [`Reject::WrongRefundState`] once it is decided, [`Reject::RefundNotFound`].
    ///
    /// ```
    /// # use stockade::{Caller, Config, Durability, Engine, Money, RefundRequest, RefundState};
    /// # #[tokio::main]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let engine = Engine::open(Config::new("").durability(Durability::Memory)).await?;
    /// # let order_no = stockade::examples::paid_order(&engine).await?;
    /// # let request = RefundRequest { extra: Money::from_minor(500), ..RefundRequest::default() };
    /// let applied = engine.apply_refund(Caller::Operator, order_no, request).await?;
    /// let withdrawn = engine.withdraw_refund(Caller::Operator, applied.refund_no).await?;
    /// assert_eq!(withdrawn.state, RefundState::Withdrawn);
    /// # Ok(())
    /// # }
    /// ```
    pub async fn withdraw_refund(
        &self,
        caller: Caller,
        refund_no: RefundNo,
    ) -> Result<RefundReceipt, Reject> {
        let (order_no, refund) = of_order(refund_no)?;
        let command = RefundCommand::Withdraw { refund };
        self.refund_command(order_no, caller, command, RefundOf::Ordinal(refund)).await
    }

    /// Agrees to a refund that was applied for. `restock` says which units go back on sale when the money has gone back:
    /// at most those that the refund is for, or any of the order's where it is for an amount alone.
    ///
    /// # Errors
    /// [`Reject::WrongRefundState`], [`Reject::UnitsExceeded`], [`Reject::SkuNotInOrder`], [`Reject::RefundNotFound`].
    ///
    /// See [`Engine::apply_refund`] for an example.
    ///
    /// ```
    /// # use stockade::{Caller, Config, Durability, Engine, Money, RefundRequest, RefundState};
    /// # #[tokio::main]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let engine = Engine::open(Config::new("").durability(Durability::Memory)).await?;
    /// # let order_no = stockade::examples::paid_order(&engine).await?;
    /// # let request = RefundRequest { extra: Money::from_minor(500), ..RefundRequest::default() };
    /// let applied = engine.apply_refund(Caller::Operator, order_no, request).await?;
    /// let approved = engine.approve_refund(applied.refund_no, Vec::new()).await?;
    /// assert_eq!(approved.state, RefundState::Required);
    /// # Ok(())
    /// # }
    /// ```
    pub async fn approve_refund(
        &self,
        refund_no: RefundNo,
        restock: Vec<(SkuId, u32)>,
    ) -> Result<RefundReceipt, Reject> {
        check_lines(&restock)?;
        let (order_no, refund) = of_order(refund_no)?;
        let command = RefundCommand::Approve { refund, restock };
        self.refund_command(order_no, Caller::Operator, command, RefundOf::Ordinal(refund)).await
    }

    /// Refuses a refund that was applied for, with a note of at most [`REFUND_NOTE_BYTES_MAX`] bytes.
    ///
    /// # Errors
    /// [`Reject::WrongRefundState`], [`Reject::RefundNotFound`], [`Reject::FieldTooLong`].
    ///
    /// ```
    /// # use stockade::{Caller, Config, Durability, Engine, Money, RefundRequest, RefundState};
    /// # #[tokio::main]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let engine = Engine::open(Config::new("").durability(Durability::Memory)).await?;
    /// # let order_no = stockade::examples::paid_order(&engine).await?;
    /// # let request = RefundRequest { extra: Money::from_minor(500), ..RefundRequest::default() };
    /// let applied = engine.apply_refund(Caller::Operator, order_no, request).await?;
    /// let rejected = engine.reject_refund(applied.refund_no, "it was opened").await?;
    /// assert_eq!(rejected.state, RefundState::Rejected);
    /// # Ok(())
    /// # }
    /// ```
    pub async fn reject_refund(&self, refund_no: RefundNo, note: &str) -> Result<RefundReceipt, Reject> {
        Reject::check_len("note", note.len(), REFUND_NOTE_BYTES_MAX)?;
        let (order_no, refund) = of_order(refund_no)?;
        let command = RefundCommand::Reject { refund, note: note.into() };
        self.refund_command(order_no, Caller::Operator, command, RefundOf::Ordinal(refund)).await
    }

    /// Takes what the provider's side reports about money that must go back: it was asked, it failed, it has gone back.
    /// A failed one may be asked for again. Reported again, a step changes nothing.
    ///
    /// Once all that was paid has gone back by refunds that were applied for, the order is closed.
    ///
    /// # Errors
    /// [`Reject::WrongRefundState`] where it isn't approved yet, or over; [`Reject::RefundFinishedOtherwise`] where it is
    /// finished with another id of the provider's; [`Reject::RefundNotFound`], a field out of bounds.
    ///
    /// ```
    /// # use stockade::{Config, Durability, Engine, Money, Payment, RefundState, RefundStep};
    /// # #[tokio::main]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let engine = Engine::open(Config::new("").durability(Durability::Memory)).await?;
    /// let payment = Payment {
    ///     order: "nobody's order".into(),
    ///     channel: "wechat".into(),
    ///     merchant: "shop-1".into(),
    ///     transaction_id: "4200002".into(),
    ///     amount: Money::from_minor(500),
    /// };
    /// engine.pay(payment).await?;
    /// let list = engine.refunds(Default::default()).await?;
    /// let refund_no = list.refunds[0].refund_no;
    /// engine.report_refund(refund_no, RefundStep::Requested).await?;
    /// let finished = RefundStep::Finished { provider_refund_id: "5031".into() };
    /// assert_eq!(engine.report_refund(refund_no, finished).await?.state, RefundState::Finished);
    /// assert!(engine.refunds(Default::default()).await?.refunds.is_empty());
    /// # Ok(())
    /// # }
    /// ```
    pub async fn report_refund(
        &self,
        refund_no: RefundNo,
        step: RefundStep,
    ) -> Result<RefundReceipt, Reject> {
        step.validate()?;
        match refund_no {
            RefundNo::Order { order_no, ordinal } => {
                let command = RefundCommand::Step { refund: ordinal, step };
                self.refund_command(order_no, Caller::Operator, command, RefundOf::Ordinal(ordinal)).await
            }
            RefundNo::Payment(payment) => {
                self.call(|inner, reply| {
                    let request = Box::new(StepRequest { payment, step, reply });
                    let _ = inner.order_inbox(payment.slot()).push(OrderItem::StepRefund(request));
                    Ok(())
                })
                .await
            }
        }
    }

    /// One refund.
    ///
    /// # Errors
    /// [`Reject::RefundNotFound`], or the engine's own state.
    ///
    /// ```
    /// # use stockade::{Caller, Config, Durability, Engine, Money, RefundRequest, RefundState};
    /// # #[tokio::main]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let engine = Engine::open(Config::new("").durability(Durability::Memory)).await?;
    /// # let order_no = stockade::examples::paid_order(&engine).await?;
    /// # let request = RefundRequest { extra: Money::from_minor(500), ..RefundRequest::default() };
    /// let applied = engine.apply_refund(Caller::Operator, order_no, request).await?;
    /// let refund = engine.refund(Caller::Operator, applied.refund_no).await?;
    /// assert_eq!((refund.state, refund.amount), (RefundState::Applied, Money::from_minor(500)));
    /// # Ok(())
    /// # }
    /// ```
    pub async fn refund(&self, caller: Caller, refund_no: RefundNo) -> Result<Refund, Reject> {
        match refund_no {
            RefundNo::Order { order_no, ordinal } => {
                let order =
                    self.query(order_no.slot(), |reply| Query::Order { order_no, caller, reply }).await;
                let order = order.map_err(|reject| match reject {
                    Reject::OrderNotFound => Reject::RefundNotFound,
                    other => other,
                })?;
                order.refund(ordinal).ok_or(Reject::RefundNotFound)
            }
            RefundNo::Payment(_) if caller != Caller::Operator => Err(Reject::RefundNotFound),
            RefundNo::Payment(payment) => {
                self.query(payment.slot(), |reply| Query::UnmatchedRefund { payment, reply }).await
            }
        }
    }

    /// A page of the work list: refunds that somebody has to do something about, the oldest first. Applications wait for
    /// the shop; the others are money that must go back, with what the provider's side has reported.
    ///
    /// The list is exact for everything that has happened since orders with unfinished refunds stay in memory; what
    /// changes between two pages may be missing or come twice.
    ///
    /// # Errors
    /// The engine's own state.
    ///
    /// See [`Engine::report_refund`] for an example.
    ///
    /// ```
    /// # use stockade::{Config, Durability, Engine, RefundFilter, RefundState};
    /// # #[tokio::main]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let engine = Engine::open(Config::new("").durability(Durability::Memory)).await?;
    /// let failed = RefundFilter { states: vec![RefundState::Failed], ..RefundFilter::default() };
    /// assert!(engine.refunds(failed).await?.refunds.is_empty());
    /// # Ok(())
    /// # }
    /// ```
    pub async fn refunds(&self, filter: RefundFilter) -> Result<RefundPage, Reject> {
        let RefundFilter { states, after, len_max } = filter;
        let states = if states.is_empty() { RefundState::UNFINISHED.to_vec() } else { states };
        let len_max = if len_max == 0 { REFUNDS_PAGE_LEN_MAX } else { len_max.min(REFUNDS_PAGE_LEN_MAX) };
        let mut refunds = Vec::new();
        for inbox in &self.inner.orders {
            let states = states.clone();
            // One more than asked for tells whether there is a next page.
            let query = |reply| Query::Refunds { states, after, len_max: len_max + 1, reply };
            refunds.extend(self.ask(inbox, query).await?);
        }
        refunds.sort_by_key(|refund| (refund.since_ms, refund.refund_no));
        let has_next = refunds.len() > len_max;
        refunds.truncate(len_max);
        let cursor =
            |refund: &Refund| RefundCursor { since_ms: refund.since_ms, refund_no: refund.refund_no };
        let next = refunds.last().filter(|_| has_next).map(cursor);
        Ok(RefundPage { refunds, next })
    }

    async fn refund_command(
        &self,
        order_no: OrderNo,
        caller: Caller,
        command: RefundCommand,
        of: RefundOf,
    ) -> Result<RefundReceipt, Reject> {
        let action = Action::Later(OrderCommand::AfterSale(command));
        self.send_command(order_no, caller, action, |reply| CommandReply::Refund(of, reply)).await
    }
}

/// The order and the number of a refund that can be applied for.
fn of_order(refund_no: RefundNo) -> Result<(OrderNo, u16), Reject> {
    match refund_no {
        RefundNo::Order { order_no, ordinal } => Ok((order_no, ordinal)),
        // Nobody applies for what is owed anyway.
        RefundNo::Payment(_) => Err(Reject::RefundNotFound),
    }
}
