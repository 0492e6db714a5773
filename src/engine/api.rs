//! The public methods of the engine.

use std::sync::{Arc, PoisonError};

use tokio::sync::oneshot;

use super::admission::Passed;
use super::subscription::EventStream;
use super::view::{OrderPage, OrderView, PAGE_LEN_MAX, Page, StateHash};
use super::{Engine, Health, Inner, Metrics, ShutdownError};
use crate::actors::order::shell::owner_of;
use crate::actors::order::{Action, CommandReply, CommandRequest, OrderItem, Query};
use crate::actors::reply::{BatchReply, Receipt, Reply, SubmitReply};
use crate::actors::stock::StockItem;
use crate::domain::catalogue::Sku;
use crate::domain::ids::{MemberId, OrderNo, Pool, Position, SkuId, Slot, StockKey};
use crate::domain::order::CloseReason;
use crate::domain::reject::Reject;
use crate::domain::request::{Caller, OrderRef, Shipment, StockAdjustment, StockChange, SubmitOrder};
use crate::domain::stock::{STOCK_TOTAL_MAX, StockCounters};
use crate::runtime::inbox::Inbox;
use crate::runtime::shutdown::GateState;

/// How often a state hash is tried anew when commands came in between.
const STATE_HASH_TRIES_MAX: usize = 100;

impl Engine {
    /// Puts a SKU into the catalogue, or a new revision of it. Orders placed before keep the revision they were
    /// priced from. A SKU equal to its current revision changes nothing.
    ///
    /// Returns the revision, once it is durable: 1 for a new SKU.
    ///
    /// # Errors
    /// [`Reject::FieldTooLong`], [`Reject::NegativePrice`], or the engine's own state.
    ///
    /// ```
    /// # use stockade::{Config, Durability, Engine, Money, Sku};
    /// # #[tokio::main]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let engine = Engine::open(Config::new("").durability(Durability::Memory)).await?;
    /// let sku = Sku {
    ///     id: 42.into(),
    ///     product_id: 7.into(),
    ///     code: "TEA-50".into(),
    ///     title: "Green tea, 50 g".into(),
    ///     price: Money::from_minor(19_900),
    ///     on_sale: true,
    ///     limit_per_member: 2,
    /// };
    /// assert_eq!(engine.put_sku(sku).await?, 1);
    /// # Ok(())
    /// # }
    /// ```
    pub async fn put_sku(&self, sku: Sku) -> Result<u32, Reject> {
        sku.validate()?;
        let now_ms = self.inner.clock.now_ms();
        self.call(|inner, reply| {
            let credits = Arc::clone(&inner.credits);
            let put = inner.catalogue.put(sku, now_ms, &inner.journal, |revision| {
                Box::new(move || {
                    credits.give_back(1);
                    let _ = reply.send(Ok(revision));
                })
            });
            if put.is_err() {
                inner.credits.give_back(1);
            }
            put
        })
        .await
    }

    /// The current revision of a SKU, among those that are durable.
    ///
    /// ```
    /// # use stockade::{Config, Durability, Engine};
    /// # #[tokio::main]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let engine = Engine::open(Config::new("").durability(Durability::Memory)).await?;
    /// assert!(engine.sku(42).is_none());
    /// # Ok(())
    /// # }
    /// ```
    pub fn sku(&self, sku: impl Into<SkuId>) -> Option<Arc<Sku>> {
        self.inner.catalogue.current(sku.into(), self.inner.journal.acknowledged())
    }

    /// Adds to, takes from, or sets the total of a stock key. Applied once per adjustment id and key: sent again, it
    /// answers with the counters as they are and changes nothing.
    ///
    /// Returns the counters afterwards, once the adjustment is durable.
    ///
    /// # Errors
    /// [`Reject::StockBelowZero`] where it needs more units than are available, [`Reject::StockOverflow`],
    /// [`Reject::AdjustmentIdReused`], [`Reject::UnknownSku`], or the engine's own state.
    ///
    /// ```
    /// # use stockade::{Config, Durability, Engine, Money, Sku, StockAdjustment, StockChange, StockKey};
    /// # #[tokio::main]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let engine = Engine::open(Config::new("").durability(Durability::Memory)).await?;
    /// # let sku = stockade::examples::tea();
    /// # engine.put_sku(sku).await?;
    /// let key = StockKey::normal(42.into());
    /// let delivery = StockAdjustment { id: 1.into(), key, change: StockChange::Relative(100) };
    /// assert_eq!(engine.adjust_stock(delivery).await?.available, 100);
    /// assert_eq!(engine.adjust_stock(delivery).await?.available, 100);
    /// # Ok(())
    /// # }
    /// ```
    pub async fn adjust_stock(&self, adjustment: StockAdjustment) -> Result<StockCounters, Reject> {
        let StockAdjustment { id, key, change } = adjustment;
        if !self.inner.knows_sku(key.sku) {
            return Err(Reject::UnknownSku { sku: key.sku });
        }
        if key.pool != Pool::Normal {
            // Seats and issues of coupons have their own ways; an activity that is over takes no stock.
            self.inner.check_destination(&key)?;
        }
        if let StockChange::Absolute(total) = change
            && total > STOCK_TOTAL_MAX
        {
            return Err(Reject::StockOverflow { total_max: STOCK_TOTAL_MAX });
        }
        match change {
            StockChange::Relative(_) | StockChange::Absolute(_) => self.adjust(id, key, change, 0).await,
            StockChange::AvailableAt { available, as_of } => {
                self.set_available_at(id, key, available, as_of).await
            }
            StockChange::Transfer { to, units } => self.transfer_stock(id, key, to, units).await,
        }
    }

    /// Places an order: reserves every line or none, and answers once `OrderCreated` is durable.
    ///
    /// Sent again with the same request id it gives the first answer, also while the first is still under way, after
    /// the stock is gone, and after a restart.
    ///
    /// # Errors
    /// A [`Reject`]; nothing was changed. After `outcome_unknown` send the same request again once the engine is
    /// back.
    ///
    /// ```
    /// # use stockade::{Config, Durability, Engine, OrderStatus, Reject, SubmitOrder};
    /// # #[tokio::main]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let engine = Engine::open(Config::new("").durability(Durability::Memory)).await?;
    /// # stockade::examples::stock_tea(&engine, 1).await?;
    /// let order = SubmitOrder::one_line(7, 1001, 42, 1);
    /// let receipt = engine.submit(order.clone()).await?;
    /// assert_eq!(receipt.status, OrderStatus::Pending);
    ///
    /// assert_eq!(engine.submit(order).await?, receipt, "a retry gets the first answer");
    /// let late = engine.submit(SubmitOrder::one_line(8, 1002, 42, 1)).await;
    /// assert_eq!(late, Err(Reject::SoldOut { sku: 42.into() }));
    /// # Ok(())
    /// # }
    /// ```
    pub async fn submit(&self, order: SubmitOrder) -> Result<Receipt, Reject> {
        let answer = {
            let inner = &*self.inner;
            let passed = inner.let_in(&order)?;
            let (reply, answer) = oneshot::channel();
            inner.send_submission(order, passed, SubmitReply::one(reply));
            answer
        };
        answer.await.unwrap_or(Err(Reject::OutcomeUnknown))
    }

    /// Places many orders at once, each on its own: answers come in the order of the requests, when all are decided.
    /// Cheaper per order than as many calls of [`Engine::submit`].
    ///
    /// A batch larger than the free credits is refused as `overloaded` as a whole.
    ///
    /// ```
    /// # use stockade::{Config, Durability, Engine, SubmitOrder};
    /// # #[tokio::main]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let engine = Engine::open(Config::new("").durability(Durability::Memory)).await?;
    /// # stockade::examples::stock_tea(&engine, 10).await?;
    /// let orders = (0..3).map(|n| SubmitOrder::one_line(n, 1000 + u128::from(n), 42, 1)).collect();
    /// let receipts = engine.submit_batch(orders).await;
    /// assert!(receipts.iter().all(Result::is_ok));
    /// # Ok(())
    /// # }
    /// ```
    pub async fn submit_batch(&self, orders: Vec<SubmitOrder>) -> Vec<Result<Receipt, Reject>> {
        let len = orders.len() as u32;
        let batch = {
            let inner = &*self.inner;
            let admitted = inner
                .check_open()
                .and_then(|()| inner.take_credits(u64::from(len)))
                .and_then(|()| inner.check_still_open(u64::from(len)));
            if let Err(reject) = admitted {
                return vec![Err(reject); orders.len()];
            }
            let batch = BatchReply::new(len);
            let actors = inner.orders.len();
            let mut parts: Vec<Vec<_>> = (0..actors).map(|_| Vec::new()).collect();
            let mut refused = 0;
            for (index, order) in (0..len).zip(orders) {
                let reply = SubmitReply::batch(Arc::clone(&batch), index);
                match inner.check_submission(&order) {
                    Ok(Passed::Recall(recall)) => {
                        let inbox = inner.order_inbox(Slot::of_member(recall.member_id));
                        let _ = inbox.push(OrderItem::Recall(Box::new(recall), reply));
                    }
                    Ok(Passed::Place(checked)) => {
                        inner.enter(&checked);
                        let admitted = checked.admit(order, reply);
                        let owner = owner_of(Slot::of_member(admitted.member_id), actors);
                        let part = &mut parts[owner];
                        if part.capacity() == 0 {
                            part.reserve(len as usize / actors + 1);
                        }
                        part.push(admitted);
                    }
                    Err(reject) => {
                        refused += 1;
                        reply.send(Err(reject));
                    }
                }
            }
            inner.credits.give_back(refused);
            for (part, inbox) in parts.into_iter().zip(&inner.orders) {
                if !part.is_empty() {
                    let _ = inbox.push(OrderItem::SubmitBatch(part));
                }
            }
            batch
        };
        batch.wait().await
    }

    /// The member goes to pay: moves the order's deadline by the configured grace, once. Called again it changes
    /// nothing and answers with the order as it is.
    ///
    /// # Errors
    /// [`Reject::OrderOverdue`] at or after the deadline, [`Reject::WrongStatus`], [`Reject::OrderNotFound`].
    ///
    /// ```
    /// # use stockade::{Caller, Config, Durability, Engine, SubmitOrder};
    /// # #[tokio::main]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let engine = Engine::open(Config::new("").durability(Durability::Memory)).await?;
    /// # stockade::examples::stock_tea(&engine, 10).await?;
    /// # let order = engine.submit(SubmitOrder::one_line(7, 1001, 42, 1)).await?;
    /// let paying = engine.start_payment(Caller::Member(7.into()), order.order_no).await?;
    /// assert!(paying.deadline_ms > order.deadline_ms);
    /// # Ok(())
    /// # }
    /// ```
    pub async fn start_payment(&self, caller: Caller, order: impl Into<OrderRef>) -> Result<Receipt, Reject> {
        self.command(caller, order.into(), Action::StartPayment).await
    }

    /// Cancels an unpaid order: whoever orders its units after this has answered is not told that they are sold out,
    /// unless somebody else was faster. Called again by the same side it changes nothing.
    ///
    /// # Errors
    /// [`Reject::WrongStatus`] where it is paid or closed otherwise, [`Reject::OrderNotFound`].
    ///
    /// ```
    /// # use stockade::{Caller, Config, Durability, Engine, OrderStatus, SubmitOrder};
    /// # #[tokio::main]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let engine = Engine::open(Config::new("").durability(Durability::Memory)).await?;
    /// # stockade::examples::stock_tea(&engine, 10).await?;
    /// # let order = engine.submit(SubmitOrder::one_line(7, 1001, 42, 1)).await?;
    /// let cancelled = engine.cancel(Caller::Member(7.into()), order.order_no).await?;
    /// assert_eq!(cancelled.status, OrderStatus::Cancelled);
    /// # Ok(())
    /// # }
    /// ```
    pub async fn cancel(&self, caller: Caller, order: impl Into<OrderRef>) -> Result<Receipt, Reject> {
        let reason = match caller {
            Caller::Member(_) => CloseReason::Member,
            Caller::Operator => CloseReason::Operator,
        };
        self.command(caller, order.into(), Action::Cancel(reason)).await
    }

    /// Sends a paid order on its way. Called again with the same shipment it changes nothing.
    ///
    /// # Errors
    /// [`Reject::WrongStatus`] unless it is paid, [`Reject::FieldTooLong`], [`Reject::OrderNotFound`].
    ///
    /// ```
    /// # use stockade::{Config, Durability, Engine, OrderStatus, Shipment};
    /// # #[tokio::main]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let engine = Engine::open(Config::new("").durability(Durability::Memory)).await?;
    /// # let order_no = stockade::examples::paid_order(&engine).await?;
    /// let shipment = Shipment { carrier: "SF".into(), tracking_no: "SF1234567".into() };
    /// assert_eq!(engine.ship(order_no, shipment).await?.status, OrderStatus::Shipped);
    /// # Ok(())
    /// # }
    /// ```
    pub async fn ship(&self, order: impl Into<OrderRef>, shipment: Shipment) -> Result<Receipt, Reject> {
        shipment.validate()?;
        self.command(Caller::Operator, order.into(), Action::Ship(shipment)).await
    }

    /// The buyer has the parcel: completes a shipped order. Called again it changes nothing.
    ///
    /// # Errors
    /// [`Reject::WrongStatus`] unless it is shipped, [`Reject::OrderNotFound`].
    ///
    /// ```
    /// # use stockade::{Caller, Config, Durability, Engine, OrderStatus, Shipment};
    /// # #[tokio::main]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let engine = Engine::open(Config::new("").durability(Durability::Memory)).await?;
    /// # let order_no = stockade::examples::paid_order(&engine).await?;
    /// # engine.ship(order_no, Shipment::default()).await?;
    /// let completed = engine.confirm(Caller::Member(7.into()), order_no).await?;
    /// assert_eq!(completed.status, OrderStatus::Completed);
    /// # Ok(())
    /// # }
    /// ```
    pub async fn confirm(&self, caller: Caller, order: impl Into<OrderRef>) -> Result<Receipt, Reject> {
        self.command(caller, order.into(), Action::Confirm).await
    }

    /// One order. A member sees only their own; another's answers as one that does not exist (R14).
    ///
    /// # Errors
    /// [`Reject::OrderNotFound`], or the engine's own state.
    ///
    /// ```
    /// # use stockade::{Caller, Config, Durability, Engine, Reject, SubmitOrder};
    /// # #[tokio::main]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let engine = Engine::open(Config::new("").durability(Durability::Memory)).await?;
    /// # stockade::examples::stock_tea(&engine, 10).await?;
    /// # let placed = engine.submit(SubmitOrder::one_line(7, 1001, 42, 1)).await?;
    /// let order = engine.order(Caller::Operator, placed.order_no).await?;
    /// assert_eq!(order.lines[0].title, "Green tea, 50 g");
    /// let stranger = engine.order(Caller::Member(8.into()), placed.order_no).await;
    /// assert_eq!(stranger, Err(Reject::OrderNotFound));
    /// # Ok(())
    /// # }
    /// ```
    pub async fn order(&self, caller: Caller, order: impl Into<OrderRef>) -> Result<OrderView, Reject> {
        let order_no = self.resolve(&order.into()).await?;
        let order = self.query(order_no.slot(), |reply| Query::Order { order_no, caller, reply }).await?;
        Ok(self.inner.show(order))
    }

    /// The order with this external number, as [`Engine::order`] shows it.
    ///
    /// # Errors
    /// [`Reject::OrderNotFound`], or the engine's own state.
    ///
    /// ```
    /// # use stockade::{Caller, Config, Durability, Engine, SubmitOrder};
    /// # #[tokio::main]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let engine = Engine::open(Config::new("").durability(Durability::Memory)).await?;
    /// # stockade::examples::stock_tea(&engine, 10).await?;
    /// let mut order = SubmitOrder::one_line(7, 1001, 42, 1);
    /// order.external_no = Some("WEB-2024-0001".into());
    /// let placed = engine.submit(order).await?;
    /// let found = engine.order_by_external_no(Caller::Operator, "WEB-2024-0001").await?;
    /// assert_eq!(found.order_no, placed.order_no);
    /// # Ok(())
    /// # }
    /// ```
    pub async fn order_by_external_no(&self, caller: Caller, external_no: &str) -> Result<OrderView, Reject> {
        self.order(caller, external_no).await
    }

    /// A page of a member's orders, newest first, that is by descending number.
    ///
    /// # Errors
    /// The engine's own state. A page length outside 1 to 100 is brought inside.
    ///
    /// ```
    /// # use stockade::{Config, Durability, Engine, Page, SubmitOrder};
    /// # #[tokio::main]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let engine = Engine::open(Config::new("").durability(Durability::Memory)).await?;
    /// # stockade::examples::stock_tea(&engine, 10).await?;
    /// # for request in 0..3_u128 {
    /// #     engine.submit(SubmitOrder::one_line(7, request, 42, 1)).await?;
    /// # }
    /// let first = engine.orders_of(7, Page { before: None, len_max: 2 }).await?;
    /// let rest = engine.orders_of(7, Page { before: first.next, len_max: 2 }).await?;
    /// assert_eq!((first.orders.len(), rest.orders.len(), rest.next), (2, 1, None));
    /// # Ok(())
    /// # }
    /// ```
    pub async fn orders_of(&self, member: impl Into<MemberId>, page: Page) -> Result<OrderPage, Reject> {
        let member = member.into();
        let Page { before, len_max } = page;
        let len_max = len_max.clamp(1, PAGE_LEN_MAX);
        // One more than asked for tells whether there is a next page.
        let mut orders = self
            .query(Slot::of_member(member), |reply| Query::OrdersOf {
                member,
                before,
                len_max: len_max + 1,
                reply,
            })
            .await?;
        let has_next = orders.len() > len_max;
        orders.truncate(len_max);
        let next = orders.last().filter(|_| has_next).map(|order| order.order_no);
        let orders = orders.into_iter().map(|order| self.inner.show(order));
        Ok(OrderPage { orders: orders.collect(), next })
    }

    /// The counters of a stock key; all zero for one that has never had stock.
    ///
    /// # Errors
    /// The engine's own state.
    ///
    /// ```
    /// # use stockade::{Config, Durability, Engine, StockKey};
    /// # #[tokio::main]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let engine = Engine::open(Config::new("").durability(Durability::Memory)).await?;
    /// # stockade::examples::stock_tea(&engine, 10).await?;
    /// assert_eq!(engine.stock(StockKey::normal(42.into())).await?.available, 10);
    /// # Ok(())
    /// # }
    /// ```
    pub async fn stock(&self, key: StockKey) -> Result<StockCounters, Reject> {
        let Some(cell) = self.inner.stock.get(&key) else {
            self.inner.check_readable()?;
            return Ok(StockCounters::default());
        };
        self.read(|inner, reply| inner.stock.send(&cell, StockItem::Read(reply))).await
    }

    /// A hash over everything that events have said so far about catalogue, stock, orders, limits, payments and tasks, at
    /// one position. Replaying the journal up to that position gives the same hash, whatever the number of order actors
    /// (R7). Reservations of order numbers stay out of it: every opening makes one. So does the operator log.
    ///
    /// Takes time in proportion to the number of orders, during which order actors do nothing else: a tool for
    /// audits, not for the hot path. Commands that come in between make it start anew.
    ///
    /// # Errors
    /// [`Reject::Overloaded`] where commands come in all the time; the engine's own state.
    ///
    /// ```
    /// # use stockade::{Config, Durability, Engine};
    /// # #[tokio::main]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let engine = Engine::open(Config::new("").durability(Durability::Memory)).await?;
    /// # stockade::examples::stock_tea(&engine, 10).await?;
    /// assert_eq!(engine.state_hash().await?, engine.state_hash().await?);
    /// # Ok(())
    /// # }
    /// ```
    pub async fn state_hash(&self) -> Result<StateHash, Reject> {
        for _ in 0..STATE_HASH_TRIES_MAX {
            let before = self.inner.journal.appended();
            let hash = self.hash_once().await?;
            if self.inner.journal.appended() == before {
                return Ok(StateHash { position: before, hash });
            }
        }
        Err(Reject::Overloaded { bound: "quiet moments for a state hash", retry_after_ms: 1_000 })
    }

    /// The durable events from a position on, then every further one as it becomes durable. Position 1 is the first.
    ///
    /// ```
    /// # use stockade::{Config, Durability, Engine, Event, Position};
    /// # #[tokio::main]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let engine = Engine::open(Config::new("").durability(Durability::Memory)).await?;
    /// # stockade::examples::stock_tea(&engine, 10).await?;
    /// let mut events = engine.subscribe(Position(1));
    /// while let Some(recorded) = events.next().await? {
    ///     if let Event::StockAdjusted { delta, .. } = recorded.event {
    ///         assert_eq!(delta, 10);
    ///         break;
    ///     }
    /// }
    /// # Ok(())
    /// # }
    /// ```
    pub fn subscribe(&self, from: Position) -> EventStream {
        let inner = &self.inner;
        EventStream::new(inner.journal.reader(), inner.journal.watch_durable(), inner.ended.subscribe(), from)
    }

    /// Counters and gauges of this moment.
    ///
    /// ```
    /// # use stockade::{Config, Durability, Engine, Health};
    /// # #[tokio::main]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let engine = Engine::open(Config::new("").durability(Durability::Memory)).await?;
    /// assert_eq!(engine.metrics().health, Health::Open);
    /// # Ok(())
    /// # }
    /// ```
    pub fn metrics(&self) -> Metrics {
        self.inner.metrics()
    }

    /// Whether the engine takes commands: of the [metrics](Self::metrics) the one that may be asked for at any rate.
    ///
    /// ```
    /// # use stockade::{Config, Durability, Engine, Health};
    /// # #[tokio::main]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let engine = Engine::open(Config::new("").durability(Durability::Memory)).await?;
    /// assert_eq!(engine.health(), Health::Open);
    /// engine.shutdown().await?;
    /// assert_eq!(engine.health(), Health::Closed);
    /// # Ok(())
    /// # }
    /// ```
    pub fn health(&self) -> Health {
        self.inner.health()
    }

    /// The engine's time, in ms since the Unix epoch. Never decreases.
    ///
    /// ```
    /// # use stockade::{Config, Durability, Engine};
    /// # #[tokio::main]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let engine = Engine::open(Config::new("").durability(Durability::Memory)).await?;
    /// assert!(engine.now_ms() > 1_700_000_000_000);
    /// # Ok(())
    /// # }
    /// ```
    pub fn now_ms(&self) -> u64 {
        self.inner.clock.now_ms()
    }

    /// Follows the wall clock after it has jumped by more than `clock_step_max_ms` and an operator has made sure that it
    /// is right. Engine time jumps ahead, or stands still until the wall clock has caught up.
    ///
    /// ```
    /// # use stockade::{Config, Durability, Engine};
    /// # #[tokio::main]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let engine = Engine::open(Config::new("").durability(Durability::Memory)).await?;
    /// if engine.metrics().clock_drift_ms.is_some() {
    ///     engine.adopt_wall_time();
    /// }
    /// # Ok(())
    /// # }
    /// ```
    pub fn adopt_wall_time(&self) {
        self.inner.clock.adopt_wall_time();
    }

    /// Ends the engine in order: takes nothing new, finishes what is under way, syncs, closes. Commands answer
    /// `unavailable` from here on, questions once what is under way is finished. Called again it does nothing.
    ///
    /// # Errors
    /// [`ShutdownError`] where the engine had failed before; what was acknowledged is durable all the same.
    ///
    /// ```
    /// # use stockade::{Config, Durability, Engine};
    /// # #[tokio::main]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let engine = Engine::open(Config::new("").durability(Durability::Memory)).await?;
    /// engine.shutdown().await?;
    /// # Ok(())
    /// # }
    /// ```
    pub async fn shutdown(&self) -> Result<(), ShutdownError> {
        let inner = &self.inner;
        inner.gate.begin_drain();
        inner.delay.drain();
        // Every command under way has a credit. A poisoned engine has let go of them, not answered them.
        tokio::select! {
            () = inner.credits.wait_idle() => {}
            _reason = inner.gate.wait_poisoned() => {}
        }
        #[cfg(feature = "relay")]
        inner.relay.hub.close().await;
        self.stop_store().await;
        self.stop_search().await;
        for actor in &inner.actors {
            let _ = actor.stop_and_wait(None, None).await;
        }
        let _ = inner.activity_actor.stop_and_wait(None, None).await;
        let _ = inner.team_actor.stop_and_wait(None, None).await;
        let _ = inner.delay.actor.stop_and_wait(None, None).await;
        let _ = inner.supervisor.stop_children_and_wait(None, None).await;
        let _ = inner.supervisor.stop_and_wait(None, None).await;
        // Nobody drains the inboxes any more: whoever still waits is let go.
        inner.orders.iter().for_each(|inbox| inbox.close_and_clear());
        inner.activities.inbox.close_and_clear();
        inner.teams.inbox.close_and_clear();
        inner.delay.abandon();
        inner.stock.all().iter().for_each(|cell| cell.abandon());
        let tasks = std::mem::take(&mut *inner.tasks.lock().unwrap_or_else(PoisonError::into_inner));
        for task in tasks {
            task.abort();
        }
        inner.stop_control();
        self.wait_for_holders().await;
        let journal = inner.journal.clone();
        let closed = tokio::task::spawn_blocking(move || journal.close()).await;
        inner.gate.close();
        inner.ended.send_replace(true);
        if inner.gate.state() == GateState::Poisoned {
            let reason = inner.gate.reason().unwrap_or_default().to_owned();
            return Err(ShutdownError::Poisoned { reason });
        }
        match closed {
            Ok(result) => Ok(result?),
            Err(_cancelled) => Ok(()),
        }
    }

    /// The number of the order that is meant.
    pub(super) async fn resolve(&self, order: &OrderRef) -> Result<OrderNo, Reject> {
        self.inner.check_readable()?;
        match order {
            OrderRef::Number(order_no) => Ok(*order_no),
            OrderRef::External(external_no) => self.inner.find_external(external_no).await,
        }
    }

    pub(super) async fn command(
        &self,
        caller: Caller,
        order: OrderRef,
        action: Action,
    ) -> Result<Receipt, Reject> {
        let order_no = self.resolve(&order).await?;
        self.send_command(order_no, caller, action, CommandReply::Receipt).await
    }

    /// Sends a command to an order's owner; `reply_as` says what the answer tells of.
    pub(super) async fn send_command<T>(
        &self,
        order_no: OrderNo,
        caller: Caller,
        action: Action,
        reply_as: impl FnOnce(Reply<T>) -> CommandReply,
    ) -> Result<T, Reject> {
        self.call(|inner, reply| {
            let request = Box::new(CommandRequest { order_no, caller, action, reply: reply_as(reply) });
            let _ = inner.order_inbox(order_no.slot()).push(OrderItem::Command(request));
            Ok(())
        })
        .await
    }

    pub(super) async fn query<T>(
        &self,
        slot: Slot,
        query: impl FnOnce(Reply<T>) -> Query,
    ) -> Result<T, Reject> {
        self.ask(self.inner.order_inbox(slot), query).await
    }

    pub(super) async fn ask<T>(
        &self,
        inbox: &Inbox<OrderItem>,
        query: impl FnOnce(Reply<T>) -> Query,
    ) -> Result<T, Reject> {
        // A closed inbox gives the question back; dropping it answers.
        self.read(|_inner, reply| drop(inbox.push(OrderItem::Query(query(reply))))).await
    }

    async fn hash_once(&self) -> Result<u64, Reject> {
        let inner = &*self.inner;
        // What one order actor has appended may still be on its way to another: a payment's outcome.
        for inbox in &inner.orders {
            self.ask(inbox, |reply| Query::Flush { reply }).await?;
        }
        let mut sum = inner.catalogue.state_hash().wrapping_add(inner.register.state_hash());
        sum = sum.wrapping_add(inner.delay_hash().await?);
        sum = sum.wrapping_add(self.teams_hash().await?);
        // Orders first: what they have told the stock actors is then in the stock actors' inboxes, before the
        // question.
        for inbox in &inner.orders {
            let hash = self.ask(inbox, |reply| Query::Hash { reply }).await?;
            sum = sum.wrapping_add(hash);
        }
        // A transfer may be on its way from one key to another: once the first has answered, it is in the other's inbox.
        for cell in inner.stock.all() {
            self.read(|inner, reply| inner.stock.send(&cell, StockItem::Hash(reply))).await?;
        }
        for cell in inner.stock.all() {
            let hash = self.read(|inner, reply| inner.stock.send(&cell, StockItem::Hash(reply))).await?;
            sum = sum.wrapping_add(hash);
        }
        Ok(sum)
    }
}

impl Inner {
    /// Whether questions are answered: also while draining, and after a failure for what is durable (R13).
    pub(super) fn check_readable(&self) -> Result<(), Reject> {
        match self.gate.state() {
            GateState::Open | GateState::Draining | GateState::Poisoned if !*self.ended.borrow() => Ok(()),
            _ => Err(Reject::Unavailable),
        }
    }

    /// Looks at the gate again once the credits are taken: a shutdown either sees the credits and waits for them, or is
    /// seen here.
    pub(super) fn check_still_open(&self, credits: u64) -> Result<(), Reject> {
        self.check_open().inspect_err(|_closed| self.credits.give_back(credits))
    }
}
