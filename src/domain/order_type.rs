//! Order types, each a strategy: which stock a line draws on, what it costs, what the order must name.

use serde::{Deserialize, Serialize};

use std::str::FromStr;

use super::activity::Activity;
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

    /// The stable name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Normal => "normal",
            Self::Seckill => "seckill",
            Self::GroupBuy => "group_buy",
        }
    }

    /// The rules of this type.
    pub fn strategy(self) -> &'static dyn OrderTypeStrategy {
        match self {
            Self::Normal => &NormalOrder,
            Self::Seckill | Self::GroupBuy => &ActivityOrder,
        }
    }
}

/// From the stable name; anything else is [`Reject::UnknownOrderType`].
impl FromStr for OrderType {
    type Err = Reject;

    fn from_str(name: &str) -> Result<Self, Reject> {
        Self::ALL.into_iter().find(|order_type| order_type.name() == name).ok_or(Reject::UnknownOrderType)
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
    /// Checks what the order names: `wanted` is the activity it asks for, `found` that activity as it stands, if there is
    /// one of this type.
    ///
    /// # Errors
    /// A reject where the type needs an activity, takes none, or this one takes no orders now.
    fn check_activity(
        &self,
        order_type: OrderType,
        wanted: Option<ActivityId>,
        found: Option<&Activity>,
        now_ms: u64,
    ) -> Result<(), Reject>;

    /// The terms for a line of `sku`.
    ///
    /// # Errors
    /// A reject where the SKU can't be ordered this way.
    fn terms(&self, sku: &Sku, activity: Option<&Activity>) -> Result<LineTerms, Reject>;
}

/// Everyday orders: the SKU's own price, stock and limit.
struct NormalOrder;

impl OrderTypeStrategy for NormalOrder {
    fn check_activity(
        &self,
        order_type: OrderType,
        wanted: Option<ActivityId>,
        _found: Option<&Activity>,
        _now_ms: u64,
    ) -> Result<(), Reject> {
        match wanted {
            None => Ok(()),
            Some(_) => Err(Reject::UnexpectedActivity { order_type }),
        }
    }

    fn terms(&self, sku: &Sku, _activity: Option<&Activity>) -> Result<LineTerms, Reject> {
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

/// Orders of a session or campaign: its price, stock and limit, within its window. A SKU that is sold in an activity need
/// not be on everyday sale.
struct ActivityOrder;

impl OrderTypeStrategy for ActivityOrder {
    fn check_activity(
        &self,
        order_type: OrderType,
        wanted: Option<ActivityId>,
        found: Option<&Activity>,
        now_ms: u64,
    ) -> Result<(), Reject> {
        let activity = wanted.ok_or(Reject::ActivityRequired { order_type })?;
        let found = found.filter(|found| found.kind.order_type() == order_type);
        found.ok_or(Reject::ActivityNotFound { activity })?.check_open(now_ms)
    }

    fn terms(&self, sku: &Sku, activity: Option<&Activity>) -> Result<LineTerms, Reject> {
        // Checked before; without one there is nothing that sells the SKU.
        let activity = activity.ok_or(Reject::UnknownSku { sku: sku.id })?;
        let item =
            activity.item(sku.id).ok_or(Reject::SkuNotInActivity { sku: sku.id, activity: activity.id })?;
        Ok(LineTerms {
            key: activity.stock_key(sku.id),
            price: item.price,
            limit_per_member: item.limit_per_member,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_back_and_others_are_refused() {
        for order_type in OrderType::ALL {
            assert_eq!(order_type.name().parse(), Ok(order_type));
        }
        assert_eq!("auction".parse::<OrderType>(), Err(Reject::UnknownOrderType));
    }
}
