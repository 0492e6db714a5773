//! Order types, each a strategy: which stock a line draws on, what it costs, how long it may stay unpaid.
//!
//! Only everyday orders are sold so far; a session's or campaign's strategy plugs in at [`OrderType::strategy`].

use serde::{Deserialize, Serialize};

use super::catalogue::Sku;
use super::ids::{ActivityId, StockKey};
use super::money::Money;
use super::reject::Reject;

/// What kind of sale an order belongs to. The variants' order is persisted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum OrderType {
    /// An everyday order.
    #[default]
    Normal,
    /// An order in a seckill session.
    Seckill,
    /// An order in a group-buy campaign.
    GroupBuy,
}

impl OrderType {
    /// Every type, in the persisted order.
    pub const ALL: [Self; 3] = [Self::Normal, Self::Seckill, Self::GroupBuy];

    /// The rules of this type.
    ///
    /// # Errors
    /// [`Reject::UnsupportedOrderType`] where the engine has none.
    pub fn strategy(self) -> Result<&'static dyn OrderTypeStrategy, Reject> {
        match self {
            Self::Normal => Ok(&NormalOrder),
            Self::Seckill | Self::GroupBuy => Err(Reject::UnsupportedOrderType { order_type: self }),
        }
    }
}

/// The terms on which one line is sold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LineTerms {
    /// The stock that the line's units come from.
    pub key: StockKey,
    /// Price of one unit.
    pub price: Money,
    /// Most units one member may have of this stock key; 0 stands for no limit.
    pub limit_per_member: u32,
}

/// What distinguishes one order type from another.
pub trait OrderTypeStrategy: Sync {
    /// Checks the order's activity.
    ///
    /// # Errors
    /// A reject where the type needs an activity, takes none, or doesn't know this one.
    fn check_activity(&self, activity: Option<ActivityId>) -> Result<(), Reject>;

    /// The terms for a line of `sku`.
    ///
    /// # Errors
    /// A reject where the SKU can't be ordered this way.
    fn terms(&self, sku: &Sku, activity: Option<ActivityId>) -> Result<LineTerms, Reject>;
}

/// Everyday orders: the SKU's own price, stock and limit.
struct NormalOrder;

impl OrderTypeStrategy for NormalOrder {
    fn check_activity(&self, activity: Option<ActivityId>) -> Result<(), Reject> {
        match activity {
            None => Ok(()),
            Some(_) => Err(Reject::UnexpectedActivity { order_type: OrderType::Normal }),
        }
    }

    fn terms(&self, sku: &Sku, _activity: Option<ActivityId>) -> Result<LineTerms, Reject> {
        if !sku.on_sale {
            return Err(Reject::SkuOffSale { sku: sku.id });
        }
        Ok(LineTerms {
            key: StockKey::normal(sku.id),
            price: sku.price,
            limit_per_member: sku.limit_per_member,
        })
    }
}
