//! Packages, and what may change about an order on its way: address, the shop's own notes.

use super::Engine;
use crate::actors::order::Action;
use crate::actors::reply::Receipt;
use crate::domain::ids::SkuId;
use crate::domain::order::{FLAG_MAX, OrderCommand};
use crate::domain::reject::Reject;
use crate::domain::request::{
    Caller, ORDER_LINES_MAX, OrderRef, PERSONAL_BYTES_MAX, Personal, REMARK_BYTES_MAX, Shipment,
};

/// A package with some of an order's units.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ShipPackage {
    /// How it travels.
    pub shipment: Shipment,
    /// What is in it: SKU and units, 1 to [`ORDER_LINES_MAX`] lines. Lines of one SKU are summed.
    pub lines: Vec<(SkuId, u32)>,
}

impl Engine {
    /// A package with some of the order's units left. After the one with the last units the order is shipped, and counts
    /// as received `auto_confirm_ms` later. Units that were refunded are not to be shipped.
    ///
    /// Not once-only: a package that is sent in again is another package, as far as units are left.
    ///
    /// # Errors
    /// [`Reject::UnitsExceeded`], [`Reject::SkuNotInOrder`], [`Reject::RefundOpen`], [`Reject::TeamNotFormed`],
    /// [`Reject::WrongStatus`], [`Reject::TooManyOfOneOrder`], [`Reject::OrderNotFound`], a field out of bounds.
    ///
    /// ```
    /// # use stockade::{Config, Durability, Engine, OrderStatus, ShipPackage, Shipment};
    /// # #[tokio::main]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let engine = Engine::open(Config::new("").durability(Durability::Memory)).await?;
    /// # let order_no = stockade::examples::paid_order(&engine).await?;
    /// let shipment = Shipment { carrier: "sf".into(), tracking_no: "SF1".into() };
    /// let package = ShipPackage { shipment, lines: vec![(42.into(), 1)] };
    /// let shipped = engine.ship_package(order_no, package).await?;
    /// assert_eq!(shipped.status, OrderStatus::Shipped, "nothing is left to ship");
    /// # Ok(())
    /// # }
    /// ```
    pub async fn ship_package(
        &self,
        order: impl Into<OrderRef>,
        package: ShipPackage,
    ) -> Result<Receipt, Reject> {
        let ShipPackage { shipment, lines } = package;
        shipment.validate()?;
        check_lines(&lines)?;
        let command = OrderCommand::ShipPackage { shipment, lines };
        self.command(Caller::Operator, order.into(), Action::Later(command)).await
    }

    /// Sends the parcel elsewhere, while nothing of the order has left.
    ///
    /// # Errors
    /// [`Reject::WrongStatus`] once a package has left, [`Reject::FieldTooLong`], [`Reject::TooManyOfOneOrder`],
    /// [`Reject::OrderNotFound`].
    ///
    /// ```
    /// # use stockade::{Caller, Config, Durability, Engine, Personal, SubmitOrder};
    /// # #[tokio::main]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let engine = Engine::open(Config::new("").durability(Durability::Memory)).await?;
    /// # stockade::examples::stock_tea(&engine, 10).await?;
    /// # let order = engine.submit(SubmitOrder::one_line(7, 1001, 42, 1)).await?;
    /// let address = Personal::Plain(b"5 Tea Lane".as_slice().into());
    /// engine.change_address(Caller::Member(7.into()), order.order_no, address.clone()).await?;
    /// let view = engine.order(Caller::Operator, order.order_no).await?;
    /// assert_eq!(view.personal, Some(address));
    /// # Ok(())
    /// # }
    /// ```
    pub async fn change_address(
        &self,
        caller: Caller,
        order: impl Into<OrderRef>,
        personal: Personal,
    ) -> Result<Receipt, Reject> {
        Reject::check_len("personal", personal.len(), PERSONAL_BYTES_MAX)?;
        let command = OrderCommand::ChangeAddress { personal };
        self.command(caller, order.into(), Action::Later(command)).await
    }

    /// Notes something about an order: a remark of at most [`REMARK_BYTES_MAX`] bytes, and a flag from 0 to 9, in place
    /// of what was noted before.
    ///
    /// # Errors
    /// [`Reject::FieldTooLong`], [`Reject::OutOfRange`], [`Reject::TooManyOfOneOrder`], [`Reject::OrderNotFound`].
    ///
    /// ```
    /// # use stockade::{Caller, Config, Durability, Engine, SubmitOrder};
    /// # #[tokio::main]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let engine = Engine::open(Config::new("").durability(Durability::Memory)).await?;
    /// # stockade::examples::stock_tea(&engine, 10).await?;
    /// # let order = engine.submit(SubmitOrder::one_line(7, 1001, 42, 1)).await?;
    /// engine.remark_order(order.order_no, "wrap as a gift", 3).await?;
    /// let view = engine.order(Caller::Operator, order.order_no).await?;
    /// assert_eq!((view.seller_remark.as_deref(), view.flag), (Some("wrap as a gift"), 3));
    /// # Ok(())
    /// # }
    /// ```
    pub async fn remark_order(
        &self,
        order: impl Into<OrderRef>,
        remark: &str,
        flag: u8,
    ) -> Result<Receipt, Reject> {
        Reject::check_len("remark", remark.len(), REMARK_BYTES_MAX)?;
        if flag > FLAG_MAX {
            let (value, max) = (u64::from(flag), u64::from(FLAG_MAX));
            return Err(Reject::OutOfRange { field: "flag", value, min: 0, max });
        }
        let command = OrderCommand::Remark { remark: remark.into(), flag };
        self.command(Caller::Operator, order.into(), Action::Later(command)).await
    }
}

/// Bounds what a command says about lines; the order knows the rest.
pub(super) fn check_lines(lines: &[(SkuId, u32)]) -> Result<(), Reject> {
    if lines.len() > ORDER_LINES_MAX {
        return Err(Reject::TooManyLines { lines: lines.len(), lines_max: ORDER_LINES_MAX });
    }
    Ok(())
}
