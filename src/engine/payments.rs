//! Payments before the money comes: trades begun at a provider, and changes of what is to be paid.

use super::Engine;
use crate::actors::order::{Action, CommandReply};
use crate::actors::reply::{PaymentAttempt, Receipt};
use crate::domain::money::Money;
use crate::domain::order::OrderCommand;
use crate::domain::reject::Reject;
use crate::domain::request::{Caller, OrderRef, PAYMENT_KEY_PART_BYTES_MAX};

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

    /// The shop changes what is to be paid for an order that isn't paid yet, carriage included. The difference is spread
    /// over the lines. Payments begun for the old amount are void, see [`Engine::begin_payment`]; one that arrives all
    /// the same goes back as `wrong_amount`. An order that costs nothing from now on is paid by that.
    ///
    /// # Errors
    /// [`Reject::AmountOutOfRange`] below what carriage costs, [`Reject::WrongStatus`], [`Reject::OrderOverdue`],
    /// [`Reject::TooManyOfOneOrder`], [`Reject::OrderNotFound`].
    ///
    /// ```
    /// # use stockade::{Config, Durability, Engine, Money, SubmitOrder};
    /// # #[tokio::main]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let engine = Engine::open(Config::new("").durability(Durability::Memory)).await?;
    /// # stockade::examples::stock_tea(&engine, 10).await?;
    /// # let order = engine.submit(SubmitOrder::one_line(7, 1001, 42, 1)).await?;
    /// let cheaper = engine.change_price(order.order_no, Money::from_minor(15_000)).await?;
    /// assert_eq!(cheaper.pay_amount, Money::from_minor(15_000));
    /// # Ok(())
    /// # }
    /// ```
    pub async fn change_price(
        &self,
        order: impl Into<OrderRef>,
        pay_amount: Money,
    ) -> Result<Receipt, Reject> {
        let command = OrderCommand::ChangePrice { pay_amount };
        self.command(Caller::Operator, order.into(), Action::Later(command)).await
    }
}
