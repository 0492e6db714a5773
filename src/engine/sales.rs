//! Running sales: activities, switches on what may be sold, units moved between the everyday stock and activities.

use std::sync::Arc;

use super::{Engine, Inner};
use crate::actors::activity::ActivityWork;
use crate::actors::stock::{Adjust, StockItem};
use crate::domain::activity::Activity;
use crate::domain::ids::{ActivityId, AdjustmentId, Pool, Position, StockKey};
use crate::domain::reject::Reject;
use crate::domain::request::StockChange;
use crate::domain::setting::{Origin, SaleControl, Setting, SettingKey};
use crate::domain::stock::StockCounters;
use crate::journal::{JournalRead, scan};
use crate::projection::store::StoreReader;

impl Engine {
    /// Puts a session or campaign, or changes it. Returns its revision, once it is durable: 1 for a new one. One that is
    /// so already changes nothing. It takes orders from its start on and not an instant before; prices, limits and the end
    /// may change at any time and hold for orders placed from then on.
    ///
    /// Its stock is put in by [`Engine::transfer_stock`] or [`Engine::adjust_stock`] under [`Activity::stock_key`]. When
    /// it is over, what is left flows to the everyday stock by itself, and so does what comes back from unpaid orders.
    ///
    /// # Errors
    /// What [`Activity::validate`] finds, [`Reject::UnknownSku`], [`Reject::ActivityOver`] for one that has ended, or what
    /// may not change any more, or the engine's own state.
    ///
    /// ```
    /// # use stockade::{Activity, ActivityItem, Config, Durability, Engine, Money, OrderType, Reject, SubmitOrder};
    /// # #[tokio::main]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let engine = Engine::open(Config::new("").durability(Durability::Memory)).await?;
    /// # stockade::examples::stock_tea(&engine, 10).await?;
    /// let opens_at_ms = engine.now_ms() + 3_600_000;
    /// let session = Activity {
    ///     id: 9.into(),
    ///     title: "Ten o'clock tea".into(),
    ///     start_ms: opens_at_ms,
    ///     end_ms: opens_at_ms + 600_000,
    ///     items: vec![ActivityItem { sku_id: 42.into(), price: Money::from_minor(9_900), limit_per_member: 1 }],
    ///     ..Activity::default()
    /// };
    /// engine.put_activity(session.clone()).await?;
    /// engine.transfer_stock(2.into(), stockade::StockKey::normal(42.into()), session.stock_key(42.into()), 5).await?;
    ///
    /// let order = SubmitOrder {
    ///     order_type: OrderType::Seckill,
    ///     activity_id: Some(session.id),
    ///     ..SubmitOrder::one_line(7, 1001, 42, 1)
    /// };
    /// let early = engine.submit(order).await;
    /// assert_eq!(early, Err(Reject::NotOpenYet { activity: session.id, opens_at_ms }));
    /// # Ok(())
    /// # }
    /// ```
    pub async fn put_activity(&self, activity: Activity) -> Result<u32, Reject> {
        self.put_activity_as(activity, None).await
    }

    /// The same, with the operator's name and reason.
    ///
    /// # Errors
    /// As [`Engine::put_activity`], and [`Reject::FieldTooLong`].
    pub async fn put_activity_as(
        &self,
        mut activity: Activity,
        origin: Option<Origin>,
    ) -> Result<u32, Reject> {
        activity.ended_at_ms = None;
        activity.validate()?;
        if let Some(item) = activity.items.iter().find(|item| !self.inner.knows_sku(item.sku_id)) {
            return Err(Reject::UnknownSku { sku: item.sku_id });
        }
        let (id, key) = (activity.id, SettingKey::activity(activity.id));
        let put = self.put_setting(key, origin, |_| Ok(Setting::Activity(activity))).await;
        let _ = self.inner.activities.inbox.push(ActivityWork::Look(id));
        put
    }

    /// Ends a session or campaign now: it takes no orders any more, and what is left of its stock flows to the everyday
    /// stock. Ended already, it stays so. Returns its revision, once that is durable.
    ///
    /// # Errors
    /// [`Reject::ActivityNotFound`], [`Reject::FieldTooLong`], or the engine's own state.
    ///
    /// ```
    /// # use stockade::{Config, Durability, Engine, Reject};
    /// # #[tokio::main]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let engine = Engine::open(Config::new("").durability(Durability::Memory)).await?;
    /// let unknown = engine.end_activity(9, None).await;
    /// assert_eq!(unknown, Err(Reject::ActivityNotFound { activity: 9.into() }));
    /// # Ok(())
    /// # }
    /// ```
    pub async fn end_activity(
        &self,
        id: impl Into<ActivityId>,
        origin: Option<Origin>,
    ) -> Result<u32, Reject> {
        let (id, now_ms) = (id.into(), self.now_ms());
        let end = move |before: Option<&Setting>| match before {
            Some(Setting::Activity(activity)) => {
                let ended_at_ms = Some(activity.ended_at_ms.unwrap_or(now_ms.min(activity.end_ms)));
                Ok(Setting::Activity(Activity { ended_at_ms, ..activity.clone() }))
            }
            _ => Err(Reject::ActivityNotFound { activity: id }),
        };
        let put = self.put_setting(SettingKey::activity(id), origin, end).await;
        let _ = self.inner.activities.inbox.push(ActivityWork::Look(id));
        put
    }

    /// A session or campaign as it stands. A change is shown once it is durable, until then what was before it.
    pub fn activity(&self, id: impl Into<ActivityId>) -> Option<Activity> {
        match self.durable_setting(SettingKey::activity(id.into()))? {
            Setting::Activity(activity) => Some(activity),
            _ => None,
        }
    }

    /// All sessions and campaigns, ascending by id. A change is shown once it is durable, until then what was before it.
    pub fn activities(&self) -> Vec<Activity> {
        let shown = self.inner.register.all_shown(&self.inner.journal);
        shown.into_iter().filter_map(|kept| kept.setting.as_activity().cloned()).collect()
    }

    /// Turns a switch on what may be sold, or off again. It holds at once for whatever is submitted from here on; payments,
    /// questions and refunds go on. Returns its revision, once it is durable: it survives a crash.
    ///
    /// # Errors
    /// [`Reject::UnknownSku`] for safety stock of what is no stock of goods, [`Reject::FieldTooLong`], or the engine's own
    /// state.
    ///
    /// ```
    /// # use stockade::{Config, Durability, Engine, Reject, SaleControl, SubmitOrder};
    /// # #[tokio::main]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let engine = Engine::open(Config::new("").durability(Durability::Memory)).await?;
    /// # stockade::examples::stock_tea(&engine, 10).await?;
    /// engine.control_sales(SaleControl::SkuPaused { sku: 42.into(), paused: true }, None).await?;
    /// let refused = engine.submit(SubmitOrder::one_line(7, 1001, 42, 1)).await;
    /// assert_eq!(refused, Err(Reject::SkuPaused { sku: 42.into() }));
    /// # Ok(())
    /// # }
    /// ```
    pub async fn control_sales(&self, control: SaleControl, origin: Option<Origin>) -> Result<u32, Reject> {
        let mut setting = Setting::Control(control);
        setting.validate()?;
        let put = self.put_setting(setting.key(), origin, |_| Ok(setting)).await;
        if let SaleControl::SafetyStock { key, .. } = control {
            self.inner.keep_back(key);
            // Its actor goes by it once it has answered.
            let _ = self.stock(key).await;
        }
        put
    }

    /// All switches that were ever turned, ascending by what they are about. A turn is shown once it is durable, until
    /// then how the switch stood before it.
    pub fn sale_controls(&self) -> Vec<SaleControl> {
        let control = |kept: crate::actors::register::Kept| match &*kept.setting {
            Setting::Control(control) => Some(*control),
            _ => None,
        };
        self.inner.register.all_shown(&self.inner.journal).into_iter().filter_map(control).collect()
    }

    /// Available units of a stock key that are kept back from sale, by [`SaleControl::SafetyStock`]: orders get what is
    /// available beyond them.
    ///
    /// ```
    /// # use stockade::{Config, Durability, Engine, SaleControl, StockKey};
    /// # #[tokio::main]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let engine = Engine::open(Config::new("").durability(Durability::Memory)).await?;
    /// # stockade::examples::stock_tea(&engine, 10).await?;
    /// let key = StockKey::normal(42.into());
    /// engine.control_sales(SaleControl::SafetyStock { key, units: 3 }, None).await?;
    /// assert_eq!(engine.kept_back(key), 3);
    /// # Ok(())
    /// # }
    /// ```
    pub fn kept_back(&self, key: StockKey) -> u64 {
        let kept = self.inner.register.get(&SettingKey::safety_stock(&key));
        match kept.as_ref().map(|kept| &*kept.setting) {
            Some(Setting::Control(SaleControl::SafetyStock { units, .. })) => *units,
            _ => 0,
        }
    }

    /// Moves available units of a SKU from one stock key to another, once per transfer id and key they come from. Returns
    /// the counters of that key, once the transfer is durable.
    ///
    /// # Errors
    /// [`Reject::TransferInvalid`], [`Reject::UnknownSku`], [`Reject::StockBelowZero`] where fewer units are available,
    /// [`Reject::ActivityNotFound`] and [`Reject::ActivityOver`] for where they go, [`Reject::AdjustmentIdReused`], or the
    /// engine's own state.
    pub async fn transfer_stock(
        &self,
        id: AdjustmentId,
        from: StockKey,
        to: StockKey,
        units: u64,
    ) -> Result<StockCounters, Reject> {
        let sku = from.sku;
        let invalid = |what| Err(Reject::TransferInvalid { sku, what });
        if id == AdjustmentId(0) {
            return invalid("its id is 0");
        }
        if from == to || from.sku != to.sku || units == 0 {
            return invalid("it goes between two keys of one sku, and moves at least one unit");
        }
        if from.pool.max(to.pool) > Pool::GroupBuy {
            return invalid("only units of goods can be moved");
        }
        if !self.inner.knows_sku(sku) {
            return Err(Reject::UnknownSku { sku });
        }
        self.inner.check_destination(&to)?;
        self.adjust(id, from, StockChange::Transfer { to, units }, 0).await
    }

    /// Sets what was available of a stock key at a position, as somebody counted it then: orders, closes and adjustments
    /// since that position stay as they are. Once per adjustment id and key. Returns the counters as they are now, once the
    /// change is durable. Reads the journal from that position on.
    ///
    /// # Errors
    /// [`Reject::PositionNotKept`] for a position that the journal has not reached or no longer keeps,
    /// [`Reject::StockBelowZero`] where more is missing than is available now, and as [`Engine::adjust_stock`].
    pub async fn set_available_at(
        &self,
        id: AdjustmentId,
        key: StockKey,
        available: u64,
        as_of: Position,
    ) -> Result<StockCounters, Reject> {
        if !self.inner.knows_sku(key.sku) {
            return Err(Reject::UnknownSku { sku: key.sku });
        }
        let store = self.inner.store.as_ref().map(|store| store.reader.clone());
        let journal = self.inner.journal.reader();
        let counting = move || available_at(store.as_ref(), journal, &key, as_of);
        let was = tokio::task::spawn_blocking(counting).await.map_err(|_panic| Reject::Unavailable)??;
        let counted = i64::try_from(available).unwrap_or(i64::MAX).saturating_sub(was);
        self.adjust(id, key, StockChange::AvailableAt { available, as_of }, counted).await
    }

    pub(super) async fn adjust(
        &self,
        id: AdjustmentId,
        key: StockKey,
        change: StockChange,
        counted: i64,
    ) -> Result<StockCounters, Reject> {
        self.call(|inner, reply| {
            let cell = inner.stock.get_or_create(key);
            inner.stock.send(&cell, StockItem::Adjust(Box::new(Adjust { id, change, counted, reply })));
            Ok(())
        })
        .await
    }

    /// Puts a setting; gives its revision once it is durable.
    pub(super) async fn put_setting(
        &self,
        key: SettingKey,
        origin: Option<Origin>,
        change: impl FnOnce(Option<&Setting>) -> Result<Setting, Reject>,
    ) -> Result<u32, Reject> {
        if let Some(origin) = &origin {
            origin.validate()?;
        }
        let now_ms = self.now_ms();
        self.call(|inner, reply| {
            let credits = Arc::clone(&inner.credits);
            let acknowledge = |revision| -> Option<crate::journal::Acknowledge> {
                Some(Box::new(move || {
                    credits.give_back(1);
                    let _ = reply.send(Ok(revision));
                }))
            };
            let put = inner.register.put(key, origin, now_ms, &inner.journal, change, acknowledge);
            if put.is_err() {
                inner.credits.give_back(1);
            }
            put.map(drop)
        })
        .await
    }
}

impl Inner {
    /// Tells a stock key how many units are kept back, as it stands by now.
    pub(super) fn keep_back(&self, key: StockKey) {
        let Some(kept) = self.register.get(&SettingKey::safety_stock(&key)) else { return };
        if let Setting::Control(SaleControl::SafetyStock { key, units }) = &*kept.setting {
            let cell = self.stock.get_or_create(*key);
            self.stock.send(&cell, StockItem::KeepBack { units: *units });
        }
    }

    /// Whether units may be moved to a key: to everyday stock, or to an activity that is not over.
    pub(super) fn check_destination(&self, to: &StockKey) -> Result<(), Reject> {
        if to.pool == Pool::Normal {
            return Ok(());
        }
        let not_found = Reject::ActivityNotFound { activity: to.activity };
        if to.pool > Pool::GroupBuy {
            return Err(Reject::UnknownSku { sku: to.sku });
        }
        let setting = self.register.activity(to.activity).ok_or(not_found)?;
        let activity = setting.as_activity().filter(|found| found.kind.pool() == to.pool).ok_or(not_found)?;
        if activity.item(to.sku).is_none() {
            return Err(Reject::SkuNotInActivity { sku: to.sku, activity: to.activity });
        }
        match activity.ended_at_ms {
            Some(_) => Err(Reject::ActivityOver { activity: to.activity }),
            None => Ok(()),
        }
    }
}

/// What was available of a key at a position: what the store has, and what the events between say. May be negative only
/// for a journal that this engine didn't write. Blocks.
fn available_at(
    store: Option<&StoreReader>,
    journal: Arc<dyn JournalRead>,
    key: &StockKey,
    as_of: Position,
) -> Result<i64, Reject> {
    let unreadable = |_error| Reject::Unavailable;
    let (stored, mut available) = match store {
        Some(store) => store.available(key).map_err(unreadable)?,
        None => (Position(0), 0),
    };
    let (first, last) = (journal.first(), journal.last());
    let (from, to) = (stored.min(as_of), stored.max(as_of));
    // Positions behind `from` up to `to` are needed.
    if as_of > last || (from < to && first.0 > from.0 + 1) {
        return Err(Reject::PositionNotKept { position: as_of.0, first: first.0, last: last.0 });
    }
    let sign = if as_of >= stored { 1 } else { -1 };
    for frame in scan(journal, Position(from.0 + 1)) {
        let frame = frame.map_err(|_error| Reject::Unavailable)?;
        for entry in frame.entries() {
            for event in entry.events() {
                let (position, event) = event.map_err(|_error| Reject::Unavailable)?;
                if position > to {
                    return Ok(available);
                }
                if position > from {
                    available += sign * event.available_change(key);
                }
            }
        }
    }
    Ok(available)
}
