//! Payments: trades begun at a provider, notifications that money has arrived, and changes of what is to be paid.

use super::Engine;
use crate::actors::order::{Action, CommandReply, OrderItem, PayRequest, PaymentOutcome};
use crate::actors::reply::{PaymentAttempt, Receipt};
use crate::domain::ids::OrderNo;
use crate::domain::order::OrderCommand;
use crate::domain::pricing::PriceChange;
use crate::domain::reject::Reject;
use crate::domain::request::{Caller, OrderRef, PAYMENT_KEY_PART_BYTES_MAX, Payment};

impl Engine {
    /// The member goes to pay through a provider: gives the trade a number of its own, which the provider is to be
    /// given. The first time the order's deadline moves, as by [`Engine::start_payment`]. Each call begins another
    /// attempt, at most [`crate::domain::order::ORDER_ATTEMPTS_MAX`] an order.
    ///
    /// When the order closes, or its price changes, before it is paid, an event `TradeCloseRequired` tells which
    /// attempts must be closed at the provider. Money that comes for them all the same goes back.
    ///
    /// # Errors
    /// [`Reject::OrderOverdue`] at or after the deadline, [`Reject::WrongStatus`], [`Reject::TooManyOfOneOrder`],
    /// [`Reject::OrderNotFound`], a channel out of bounds.
    ///
    /// ```
    /// # use stockade::{Caller, Config, Durability, Engine, SubmitOrder};
    /// # #[tokio::main]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let engine = Engine::open(Config::new("").durability(Durability::Memory)).await?;
    /// # stockade::examples::stock_tea(&engine, 10).await?;
    /// # let order = engine.submit(SubmitOrder::one_line(7, 1001, 42, 1)).await?;
    /// let attempt = engine.begin_payment(Caller::Member(7.into()), order.order_no, "wechat").await?;
    /// assert_eq!(attempt.pay_no.to_string(), format!("{}-1", order.order_no));
    /// assert_eq!(attempt.amount, order.pay_amount);
    /// # Ok(())
    /// # }
    /// ```
    pub async fn begin_payment(
        &self,
        caller: Caller,
        order: impl Into<OrderRef>,
        channel: &str,
    ) -> Result<PaymentAttempt, Reject> {
        Reject::check_present("channel", channel.len(), PAYMENT_KEY_PART_BYTES_MAX)?;
        let order_no = self.resolve(&order.into()).await?;
        let grace_ms = self.inner.settings.payment_grace_ms;
        let command = OrderCommand::BeginPayment { channel: channel.into(), grace_ms };
        self.send_command(order_no, caller, Action::Later(command), CommandReply::Attempt).await
    }

    /// Takes a provider's notification that money has arrived. Once per `(channel, merchant, transaction id)`: sent
    /// again it gives the first outcome.
    ///
    /// Money that comes at or after the deadline brings the order back if its units are still to be had, and must
    /// otherwise go back (`RefundRequired`), as must a wrong amount, a second payment, and money for an order that there
    /// is not: it is never lost (R10). What must go back is on the work list, see [`Engine::refunds`].
    ///
    /// # Errors
    /// Nothing was recorded: [`Reject::InvalidField`] for an amount below zero, [`Reject::PaymentIdReused`], a field out of
    /// bounds, or the engine's own state.
    ///
    /// ```
    /// # use stockade::{Config, Durability, Engine, Payment, PaymentResult, SubmitOrder};
    /// # #[tokio::main]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let engine = Engine::open(Config::new("").durability(Durability::Memory)).await?;
    /// # stockade::examples::stock_tea(&engine, 10).await?;
    /// # let order = engine.submit(SubmitOrder::one_line(7, 1001, 42, 1)).await?;
    /// let notification = Payment {
    ///     order: order.order_no.into(),
    ///     channel: "wechat".into(),
    ///     merchant: "shop-1".into(),
    ///     transaction_id: "4200001".into(),
    ///     amount: order.pay_amount,
    /// };
    /// let outcome = engine.pay(notification.clone()).await?;
    /// assert_eq!(outcome.result, PaymentResult::Paid);
    /// assert_eq!(engine.pay(notification).await?, outcome, "a repeated notification gets the first outcome");
    /// # Ok(())
    /// # }
    /// ```
    pub async fn pay(&self, payment: Payment) -> Result<PaymentOutcome, Reject> {
        let id = payment.id()?;
        if payment.amount.is_negative() {
            return Err(Reject::InvalidField { field: "amount", expected: "an amount from 0" });
        }
        let (order_no, is_unmatched) = match self.resolve(&payment.order).await {
            Err(Reject::OrderNotFound) => (OrderNo::default(), true),
            found => (found?, false),
        };
        self.call(|inner, reply| {
            let request = Box::new(PayRequest { id, order_no, payment, is_unmatched, reply });
            let _ = if is_unmatched {
                inner.order_inbox(id.slot()).push(OrderItem::ReceivePayment(request))
            } else {
                inner.order_inbox(order_no.slot()).push(OrderItem::Pay(request))
            };
            Ok(())
        })
        .await
    }

    /// The shop changes what is to be paid for an order that isn't paid yet, and how much of it for carriage. What goods
    /// cost in all is spread over the lines by what they cost. Payments begun for the old amount are void, see [`Engine::begin_payment`]; one that arrives all
    /// the same goes back as `wrong_amount`. An order that costs nothing from now on is paid by that.
    ///
    /// # Errors
    /// [`Reject::TotalBelowFreight`], [`Reject::InvalidField`] below zero, [`Reject::WrongStatus`], [`Reject::OrderOverdue`],
    /// [`Reject::TooManyOfOneOrder`], [`Reject::OrderNotFound`].
    ///
    /// ```
    /// # use stockade::{Config, Durability, Engine, Money, PriceChange, SubmitOrder};
    /// # #[tokio::main]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let engine = Engine::open(Config::new("").durability(Durability::Memory)).await?;
    /// # stockade::examples::stock_tea(&engine, 10).await?;
    /// # let order = engine.submit(SubmitOrder::one_line(7, 1001, 42, 1)).await?;
    /// let change = PriceChange { pay_amount: Money::from_minor(15_000), freight: Money::ZERO };
    /// let cheaper = engine.change_price(order.order_no, change).await?;
    /// assert_eq!(cheaper.pay_amount, Money::from_minor(15_000));
    /// # Ok(())
    /// # }
    /// ```
    pub async fn change_price(
        &self,
        order: impl Into<OrderRef>,
        change: PriceChange,
    ) -> Result<Receipt, Reject> {
        let command = OrderCommand::ChangePrice { change };
        self.command(Caller::Operator, order.into(), Action::Later(command)).await
    }
}
