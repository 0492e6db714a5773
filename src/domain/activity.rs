//! Activities: seckill sessions and group-buy campaigns, each with a window, prices of its own, and stock of its own.
//!
//! An activity's stock lies under keys of its own pool. Units enter and leave it by transfers; once the activity is over,
//! what is left, and what comes back from unpaid orders, flows to the everyday stock.

use serde::{Deserialize, Serialize};

use super::ids::{ActivityId, LocationId, Pool, SkuId, StockKey};
use super::money::Money;
use super::order_type::OrderType;
use super::reject::Reject;

/// Most SKUs of one activity, so that its event fits an entry.
pub const ACTIVITY_ITEMS_MAX: usize = 500;
/// Longest title of an activity, in bytes of UTF-8.
pub const ACTIVITY_TITLE_BYTES_MAX: usize = 512;
/// Largest team.
pub const TEAM_SIZE_MAX: u32 = 100;
/// Longest time that a team may have to form, in ms: 31 days.
pub const TEAM_TIME_LIMIT_MS_MAX: u64 = 31 * 24 * 3_600_000;

/// What kind of sale an activity is. The variants' order is persisted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum ActivityKind {
    /// A seckill session.
    #[default]
    Seckill,
    /// A group-buy campaign.
    GroupBuy,
}

impl ActivityKind {
    /// The type of its orders.
    pub const fn order_type(self) -> OrderType {
        match self {
            Self::Seckill => OrderType::Seckill,
            Self::GroupBuy => OrderType::GroupBuy,
        }
    }

    /// The pool of its stock.
    pub const fn pool(self) -> Pool {
        match self {
            Self::Seckill => Pool::Seckill,
            Self::GroupBuy => Pool::GroupBuy,
        }
    }
}

/// One SKU of an activity.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct ActivityItem {
    /// The SKU.
    pub sku_id: SkuId,
    /// Price of one unit in this activity; not negative.
    pub price: Money,
    /// Most units one member may have in this activity's orders that are not cancelled; 0 stands for no limit.
    pub limit_per_member: u32,
}

/// What a campaign says about its teams.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct TeamTerms {
    /// Members that make a team, 2 to [`TEAM_SIZE_MAX`].
    pub size: u32,
    /// How long a team has to form, in ms from its opening, 1 to [`TEAM_TIME_LIMIT_MS_MAX`]; the end of the campaign cuts
    /// it short.
    pub time_limit_ms: u64,
}

/// A seckill session or a group-buy campaign.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Activity {
    /// Its id, the shop's own; not 0.
    pub id: ActivityId,
    /// What kind of sale.
    pub kind: ActivityKind,
    /// What buyers read; at most [`ACTIVITY_TITLE_BYTES_MAX`] bytes.
    pub title: String,
    /// The first instant at which it takes orders, in ms since the Unix epoch.
    pub start_ms: u64,
    /// The first instant at which it takes none any more, in ms since the Unix epoch.
    pub end_ms: u64,
    /// What is sold: 1 to [`ACTIVITY_ITEMS_MAX`] distinct SKUs.
    pub items: Vec<ActivityItem>,
    /// The teams of a campaign; sessions have none.
    pub team: Option<TeamTerms>,
    /// How long its orders may stay unpaid, in ms; without one, as long as others of their type.
    pub auto_close_ms: Option<u32>,
    /// When it was over, in ms since the Unix epoch: at its end, or before, when the shop ended it. Set by the engine.
    pub ended_at_ms: Option<u64>,
}

impl Activity {
    /// Checks every field, and sorts the items by SKU.
    ///
    /// # Errors
    /// [`Reject::FieldEmpty`], [`Reject::FieldTooLong`], [`Reject::NegativePrice`], [`Reject::ActivityInvalid`].
    pub fn validate(&mut self) -> Result<(), Reject> {
        let invalid = |what| Err(Reject::ActivityInvalid { activity: self.id, what });
        if self.id == ActivityId(0) {
            return invalid("its id is 0");
        }
        Reject::check_len("activity.title", self.title.len(), ACTIVITY_TITLE_BYTES_MAX)?;
        if self.start_ms >= self.end_ms {
            return invalid("it ends before it starts");
        }
        if self.items.is_empty() {
            return Err(Reject::FieldEmpty { field: "activity.items" });
        }
        if self.items.len() > ACTIVITY_ITEMS_MAX {
            return invalid("it has more than 500 skus");
        }
        self.items.sort_unstable_by_key(|item| item.sku_id);
        if let Some(pair) = self.items.windows(2).find(|pair| pair[0].sku_id == pair[1].sku_id) {
            return Err(Reject::SkuTwice { sku: pair[0].sku_id });
        }
        if let Some(item) = self.items.iter().find(|item| item.price.is_negative()) {
            return Err(Reject::NegativePrice { sku: item.sku_id });
        }
        match (self.kind, self.team) {
            (ActivityKind::Seckill, None) => {}
            (ActivityKind::Seckill, Some(_)) => return invalid("a session has no teams"),
            (ActivityKind::GroupBuy, None) => return invalid("a campaign needs teams"),
            (ActivityKind::GroupBuy, Some(team)) => {
                if !(2..=TEAM_SIZE_MAX).contains(&team.size) {
                    return invalid("a team has 2 to 100 members");
                }
                if !(1..=TEAM_TIME_LIMIT_MS_MAX).contains(&team.time_limit_ms) {
                    return invalid("a team has 1 ms to 31 days to form");
                }
            }
        }
        if self.auto_close_ms == Some(0) {
            return invalid("its orders would close at once");
        }
        Ok(())
    }

    /// Whether it may become `next`, as of `now_ms`. Prices, limits and the end may change at any time; what its orders
    /// rest on may not, once it has started.
    ///
    /// # Errors
    /// [`Reject::ActivityOver`] once it has ended; [`Reject::ActivityInvalid`].
    pub fn check_change(&self, next: &Self, now_ms: u64) -> Result<(), Reject> {
        let invalid = |what| Err(Reject::ActivityInvalid { activity: self.id, what });
        if self.ended_at_ms.is_some() {
            return Err(Reject::ActivityOver { activity: self.id });
        }
        if self.kind != next.kind {
            return invalid("its kind can't change");
        }
        if now_ms >= self.start_ms {
            if self.start_ms != next.start_ms {
                return invalid("it has started: its start can't change");
            }
            if self.team != next.team {
                return invalid("it has started: its teams can't change");
            }
            let is_kept = |item: &ActivityItem| next.item(item.sku_id).is_some();
            if !self.items.iter().all(is_kept) {
                return invalid("it has started: its skus can't leave");
            }
        }
        Ok(())
    }

    /// What it says about a SKU.
    pub fn item(&self, sku: SkuId) -> Option<&ActivityItem> {
        let place = self.items.binary_search_by_key(&sku, |item| item.sku_id).ok()?;
        Some(&self.items[place])
    }

    /// The key of its stock of a SKU.
    pub const fn stock_key(&self, sku: SkuId) -> StockKey {
        StockKey { pool: self.kind.pool(), activity: self.id, sku, location: LocationId(0) }
    }

    /// Whether it takes orders.
    ///
    /// # Errors
    /// [`Reject::NotOpenYet`], [`Reject::ActivityOver`].
    pub fn check_open(&self, now_ms: u64) -> Result<(), Reject> {
        if self.ended_at_ms.is_some() || now_ms >= self.end_ms {
            return Err(Reject::ActivityOver { activity: self.id });
        }
        if now_ms < self.start_ms {
            return Err(Reject::NotOpenYet { activity: self.id, opens_at_ms: self.start_ms });
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn session() -> Activity {
        Activity {
            id: ActivityId(9),
            start_ms: 100,
            end_ms: 200,
            items: vec![
                ActivityItem { sku_id: SkuId(2), price: Money::from_minor(5), limit_per_member: 1 },
                ActivityItem { sku_id: SkuId(1), ..ActivityItem::default() },
            ],
            ..Activity::default()
        }
    }

    #[test]
    fn its_window_is_half_open() {
        let session = session();
        assert_eq!(
            session.check_open(99),
            Err(Reject::NotOpenYet { activity: ActivityId(9), opens_at_ms: 100 })
        );
        assert_eq!((session.check_open(100), session.check_open(199)), (Ok(()), Ok(())));
        assert_eq!(session.check_open(200), Err(Reject::ActivityOver { activity: ActivityId(9) }));
        let ended = Activity { ended_at_ms: Some(150), ..session };
        assert_eq!(ended.check_open(151), Err(Reject::ActivityOver { activity: ActivityId(9) }));
    }

    #[test]
    fn what_is_wrong_with_it_is_named() {
        let check = |change: fn(&mut Activity)| {
            let mut activity = session();
            change(&mut activity);
            activity.validate()
        };
        assert_eq!(check(|_| {}), Ok(()));
        let invalid = |what| Err(Reject::ActivityInvalid { activity: ActivityId(9), what });
        assert_eq!(check(|activity| activity.end_ms = 100), invalid("it ends before it starts"));
        assert_eq!(
            check(|activity| activity.items[0].sku_id = SkuId(1)),
            Err(Reject::SkuTwice { sku: SkuId(1) })
        );
        assert_eq!(
            check(|activity| activity.items.clear()),
            Err(Reject::FieldEmpty { field: "activity.items" })
        );
        assert_eq!(
            check(|activity| activity.team = Some(TeamTerms { size: 2, time_limit_ms: 1 })),
            invalid("a session has no teams")
        );
        assert_eq!(
            check(|activity| activity.kind = ActivityKind::GroupBuy),
            invalid("a campaign needs teams")
        );
    }

    #[test]
    fn what_orders_rest_on_stays_once_it_has_started() {
        let mut session = session();
        session.validate().unwrap();
        let earlier = Activity { start_ms: 50, ..session.clone() };
        assert_eq!(session.check_change(&earlier, 99), Ok(()));
        assert!(session.check_change(&earlier, 100).is_err());
        let longer = Activity { end_ms: 300, ..session.clone() };
        assert_eq!(session.check_change(&longer, 150), Ok(()));
        let ended = Activity { ended_at_ms: Some(150), ..session.clone() };
        assert_eq!(ended.check_change(&longer, 160), Err(Reject::ActivityOver { activity: ActivityId(9) }));
    }
}
