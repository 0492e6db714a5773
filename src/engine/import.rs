//! Taking over what another system has: its open orders, and what its closed ones have used up of purchase limits.
//!
//! An imported order takes the way of a submission, with terms of its own in place of the catalogue's. Catalogue and
//! stock come in by [`Engine::put_sku`] and [`Engine::adjust_stock`].

use std::sync::Arc;

use tokio::sync::oneshot;

use super::admission::Passed;
use super::{Engine, Inner};
use crate::actors::order::OrderItem;
use crate::actors::order::imports::LimitRequest;
use crate::actors::order::shell::owner_of;
use crate::actors::reply::{BatchReply, ImportOutcome, Receipt, SubmitReply};
use crate::domain::ids::{Position, SkuId, Slot};
use crate::domain::import::{ImportedLimit, ImportedOrder};
use crate::domain::reject::Reject;
use crate::domain::request::SubmitOrder;

/// The answer to an imported order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ImportReceipt {
    /// The order's receipt, the same however often it is imported.
    pub receipt: Receipt,
    /// Whether this import placed it.
    pub outcome: ImportOutcome,
}

impl Engine {
    /// Takes over an open order of another system: reserves every line or none, as [`Engine::submit`] does, and answers
    /// once `OrderCreated` is durable. A payment under its external number pays it.
    ///
    /// It keeps the prices and the deadline that were agreed there. Its SKUs must be in the catalogue, on sale or not.
    /// Its units count towards the purchase limits that its lines name, and no limit refuses it. Its request id follows
    /// from its external number: imported again it gives the first receipt and changes nothing, whatever has become of
    /// it. (One that is overdue, has left memory and is older than the idempotency window may be refused as
    /// `deadline_passed` instead, unless overdue orders are allowed.) Refusals don't stick: once the cause is gone it can
    /// be imported.
    ///
    /// # Errors
    /// [`Reject::RequestIdReused`] where the external number was imported for this member with another body,
    /// [`Reject::ExternalNoTaken`] where another order has it. [`Reject::DeadlinePassed`] unless overdue orders are
    /// allowed, [`Reject::DeadlineTooFar`], [`Reject::SoldOut`], [`Reject::UnknownSku`], what
    /// [`ImportedOrder::priced`] finds, or the engine's own state.
    ///
    /// ```
    /// # use stockade::{Config, Durability, Engine, ImportedLine, ImportedOrder, Money, OrderRef, Payment, PaymentResult};
    /// # #[tokio::main]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let engine = Engine::open(Config::new("").durability(Durability::Memory)).await?;
    /// # stockade::examples::stock_tea(&engine, 10).await?;
    /// let line = ImportedLine {
    ///     sku_id: 42.into(),
    ///     quantity: 2,
    ///     price: Money::from_minor(14_900),
    ///     limit_per_member: 0,
    /// };
    /// let order = ImportedOrder {
    ///     external_no: "OLD-1".into(),
    ///     member_id: 7.into(),
    ///     lines: vec![line],
    ///     deadline_ms: engine.now_ms() + 600_000,
    ///     ..ImportedOrder::default()
    /// };
    /// let receipt = engine.import_order(order.clone()).await?;
    /// assert_eq!(receipt.pay_amount, Money::from_minor(29_800), "the price that was agreed");
    /// assert_eq!(engine.import_order(order).await?, receipt, "imported again it changes nothing");
    ///
    /// let payment = Payment {
    ///     order: OrderRef::External("OLD-1".into()),
    ///     channel: "wechat".into(),
    ///     merchant: "shop-1".into(),
    ///     transaction_id: "4200001".into(),
    ///     amount: receipt.pay_amount,
    /// };
    /// assert_eq!(engine.pay(payment).await?.result, PaymentResult::Paid);
    /// # Ok(())
    /// # }
    /// ```
    pub async fn import_order(&self, order: ImportedOrder) -> Result<Receipt, Reject> {
        let answer = self.import_orders(vec![order]).await.pop();
        answer.unwrap_or(Err(Reject::OutcomeUnknown)).map(|import| import.receipt)
    }

    /// Takes over many open orders at once, each on its own: answers come in the order of the orders, when all are
    /// decided, and say which of them were there already. Cheaper per order than as many calls of
    /// [`Engine::import_order`]; eight batches of two thousand under way at a time keep the engine busy.
    ///
    /// A batch larger than the free credits is refused as `overloaded` as a whole.
    ///
    /// ```
    /// # use stockade::{Config, Durability, Engine, ImportOutcome, ImportedLine, ImportedOrder, Money};
    /// # #[tokio::main]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let engine = Engine::open(Config::new("").durability(Durability::Memory)).await?;
    /// # stockade::examples::stock_tea(&engine, 10).await?;
    /// # let deadline_ms = engine.now_ms() + 600_000;
    /// let order = |n: u64| ImportedOrder {
    ///     external_no: format!("OLD-{n}").into(),
    ///     member_id: n.into(),
    ///     lines: vec![ImportedLine { sku_id: 42.into(), quantity: 1, ..ImportedLine::default() }],
    ///     deadline_ms,
    ///     ..ImportedOrder::default()
    /// };
    /// let first = engine.import_orders((0..3).map(order).collect()).await;
    /// assert!(first.iter().all(|import| import.is_ok_and(|import| import.outcome == ImportOutcome::Imported)));
    /// let again = engine.import_orders((0..3).map(order).collect()).await;
    /// assert!(again.iter().all(|import| import.is_ok_and(|import| import.outcome == ImportOutcome::Unchanged)));
    /// # Ok(())
    /// # }
    /// ```
    pub async fn import_orders(&self, orders: Vec<ImportedOrder>) -> Vec<Result<ImportReceipt, Reject>> {
        let len = orders.len() as u32;
        let batch = {
            let inner = &*self.inner;
            if let Err(reject) = inner.admit_many(len) {
                return vec![Err(reject); orders.len()];
            }
            inner.send_imports(orders)
        };
        let results = batch.wait().await.into_iter().enumerate();
        let with_outcome = |(index, result): (usize, Result<Receipt, Reject>)| {
            let repeated = batch.is_repeated(index);
            let outcome = if repeated { ImportOutcome::Unchanged } else { ImportOutcome::Imported };
            result.map(|receipt| ImportReceipt { receipt, outcome })
        };
        results.map(with_outcome).collect()
    }

    /// Notes how much of a purchase limit a member has used up by orders of another system that are not imported,
    /// because they are closed there. The figure is absolute and counts beside the units of the orders that are here;
    /// it takes the place of an earlier one, so importing it twice changes nothing. Answers once it is durable.
    ///
    /// # Errors
    /// [`Reject::UnknownSku`]; [`Reject::Overloaded`] where a higher figure comes while the member is placing an order;
    /// or the engine's own state.
    ///
    /// ```
    /// # use stockade::{Config, Durability, Engine, ImportId, ImportOutcome, ImportedLimit, Reject, StockKey, SubmitOrder};
    /// # #[tokio::main]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let engine = Engine::open(Config::new("").durability(Durability::Memory)).await?;
    /// # stockade::examples::stock_tea(&engine, 10).await?;
    /// # let limited = stockade::Sku { limit_per_member: 2, ..stockade::examples::tea() };
    /// # engine.put_sku(limited).await?;
    /// let limit = ImportedLimit {
    ///     member_id: 7.into(),
    ///     key: StockKey::normal(42.into()),
    ///     used: 2,
    ///     import_id: ImportId::from_name("cut-over"),
    /// };
    /// assert_eq!(engine.import_limit(limit).await?, ImportOutcome::Imported);
    /// assert_eq!(engine.import_limit(limit).await?, ImportOutcome::Unchanged);
    /// let refused = engine.submit(SubmitOrder::one_line(7, 1001, 42, 1)).await;
    /// assert_eq!(refused, Err(Reject::LimitExceeded { sku: 42.into(), limit: 2, bought: 2 }));
    /// # Ok(())
    /// # }
    /// ```
    pub async fn import_limit(&self, limit: ImportedLimit) -> Result<ImportOutcome, Reject> {
        let answer = self.import_limits(vec![limit]).await.pop();
        answer.unwrap_or(Err(Reject::OutcomeUnknown))
    }

    /// Notes many members' use of limits at once, each as [`Engine::import_limit`] does; answers come in the order of
    /// the figures. Of two figures for one member and key the later one stays.
    ///
    /// A batch larger than the free credits is refused as `overloaded` as a whole.
    ///
    /// ```
    /// # use stockade::{Config, Durability, Engine, ImportId, ImportedLimit, StockKey};
    /// # #[tokio::main]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let engine = Engine::open(Config::new("").durability(Durability::Memory)).await?;
    /// # stockade::examples::stock_tea(&engine, 10).await?;
    /// let (key, import_id) = (StockKey::normal(42.into()), ImportId::from_name("cut-over"));
    /// let limits = (1..=3).map(|n| ImportedLimit { member_id: n.into(), key, used: 1, import_id });
    /// assert!(engine.import_limits(limits.collect()).await.iter().all(Result::is_ok));
    /// # Ok(())
    /// # }
    /// ```
    pub async fn import_limits(&self, limits: Vec<ImportedLimit>) -> Vec<Result<ImportOutcome, Reject>> {
        let answers: Vec<_> = {
            let inner = &*self.inner;
            if let Err(reject) = inner.admit_many(limits.len() as u32) {
                return vec![Err(reject); limits.len()];
            }
            limits.into_iter().map(|limit| inner.send_limit(limit)).collect()
        };
        let mut outcomes = Vec::with_capacity(answers.len());
        for answer in answers {
            outcomes.push(match answer {
                Ok(answer) => answer.await.unwrap_or(Err(Reject::OutcomeUnknown)),
                Err(reject) => Err(reject),
            });
        }
        outcomes
    }
}

/// The answer to one figure, still to come.
type LimitAnswer = oneshot::Receiver<Result<ImportOutcome, Reject>>;

impl Inner {
    /// Takes credits for so many commands, if commands are taken at all.
    fn admit_many(&self, count: u32) -> Result<(), Reject> {
        self.check_open()?;
        self.take_credits(u64::from(count))?;
        self.check_open().inspect_err(|_closed| self.credits.give_back(u64::from(count)))
    }

    /// Sends orders on their way, those of one order actor together. Each has its credit.
    fn send_imports(&self, orders: Vec<ImportedOrder>) -> Arc<BatchReply> {
        let batch = BatchReply::new(orders.len() as u32);
        let mut parts: Vec<Vec<_>> = self.orders.iter().map(|_| Vec::new()).collect();
        let mut refused = 0;
        for (index, order) in (0_u32..).zip(orders) {
            let reply = SubmitReply::batch(Arc::clone(&batch), index);
            match self.weigh_import(order) {
                Ok((Passed::Recall(recall), _)) => {
                    let inbox = self.order_inbox(Slot::of_member(recall.member_id));
                    // A closed inbox gives the item back; dropping it answers.
                    let _ = inbox.push(OrderItem::Recall(Box::new(recall), reply));
                }
                Ok((Passed::Place(checked), request)) => {
                    self.enter(&checked);
                    let admitted = checked.admit(request, reply);
                    let slot = Slot::of_member(admitted.member_id);
                    parts[owner_of(slot, self.orders.len())].push(admitted);
                }
                Err(reject) => {
                    refused += 1;
                    reply.send(Err(reject));
                }
            }
        }
        self.credits.give_back(refused);
        for (part, inbox) in parts.into_iter().zip(&self.orders) {
            if !part.is_empty() {
                let _ = inbox.push(OrderItem::SubmitBatch(part));
            }
        }
        batch
    }

    /// Checks an order at the front door. What has become wrong with it since it was imported first doesn't count: then
    /// it gets the first receipt (R8).
    fn weigh_import(&self, order: ImportedOrder) -> Result<(Passed, SubmitOrder), Reject> {
        let priced = order.priced()?;
        let unknown = priced.lines.iter().map(|line| line.key.sku).find(|sku| !self.knows_sku(*sku));
        let refusal = match unknown {
            Some(sku) => Some(Reject::UnknownSku { sku }),
            None => order.check_deadline(self.clock.now_ms()).err(),
        };
        let (body_hash, deadline_ms) = (order.body_hash(&priced), order.deadline_ms);
        let request = order.into_request();
        let passed = self.check_import(&request, priced, body_hash, deadline_ms, refusal)?;
        Ok((passed, request))
    }

    fn send_limit(&self, limit: ImportedLimit) -> Result<LimitAnswer, Reject> {
        let sku = limit.key.sku;
        if !self.knows_sku(sku) {
            self.credits.give_back(1);
            return Err(Reject::UnknownSku { sku });
        }
        let (reply, answer) = oneshot::channel();
        let item = OrderItem::ImportLimit(Box::new(LimitRequest { limit, reply }));
        let _ = self.order_inbox(Slot::of_member(limit.member_id)).push(item);
        Ok(answer)
    }

    /// Whether a SKU is in the catalogue; what is appended next stands behind it (R5).
    pub(super) fn knows_sku(&self, sku: SkuId) -> bool {
        self.catalogue.current(sku, Position(u64::MAX)).is_some()
    }
}
