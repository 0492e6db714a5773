//! What buyers do: each takes the next number of the plan, asks for an order, and goes on with it as planned.
//!
//! Whoever has to wait (for a deadline that is to pass, or for a team) does so on a task of their own, so that waiting
//! takes no place in the shop.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use stockade::{
    Caller, CouponId, Money, OrderNo, OrderRef, OrderStatus, OrderType, Payment, PaymentId, PaymentOutcome,
    PaymentResult, Personal, PriceChange, Receipt, RefundRequest, Reject, ShipPackage, Shipment, SkuId,
    SubmitOrder, TeamChoice, TeamId, TeamState,
};
use tokio::task::JoinHandle;

use super::book::{AckedOrder, AckedPayment, Book};
use super::plan::{Buyer, Ending, Shipping, Verdict, WantsBack};
use super::sale::{Operation, Sale};
use crate::plan::request_id;

/// How long after its opening a session counts as opening, in ms.
const OPENING_MS: u64 = 1_000;
/// How often it is looked whether a team has formed.
const TEAM_POLL: Duration = Duration::from_millis(20);
/// Longest wait for a team, its time limit included: beyond it something is wrong.
const TEAM_WAIT_MAX: Duration = Duration::from_secs(120);
/// How long beyond its deadline a late payment comes, in ms.
const LATE_MS: u64 = 20;
/// The payment channel and the shop's account with it.
const CHANNEL: &str = "loadtest";
/// Set in the request ids of a coupon's second order, and nowhere else.
const SECOND: u64 = 1 << 63;

/// Buyers who wait, each with what they will have been told.
pub(crate) type Waiting = Vec<JoinHandle<Book>>;

impl Sale {
    /// Serves one buyer after the other until there are none left, or until time is up.
    pub(crate) async fn client(self: Arc<Self>) -> (Book, Waiting) {
        let (mut book, mut waiting) = (Book::default(), Waiting::new());
        let run = self.buyers.script.run.clone();
        let end = (run.seconds > 0).then(|| self.began + Duration::from_secs(run.seconds));
        loop {
            // Relaxed: the plan itself does not change.
            let n = self.next.fetch_add(1, Ordering::Relaxed);
            let due = (run.rate > 0).then(|| self.began + Duration::from_nanos(n * 1_000_000_000 / run.rate));
            let starts = due.unwrap_or_else(Instant::now);
            if n >= run.orders || end.is_some_and(|end| starts >= end) {
                return (book, waiting);
            }
            if let Some(due) = due {
                tokio::time::sleep_until(due.into()).await;
            }
            let buyer = self.buyers.buyer(n);
            if let Some((acked, receipt)) = self.order(&buyer, starts, &mut book).await {
                let life = Life { sale: Arc::clone(&self), buyer, acked, book: Book::default() };
                if life.waits() {
                    waiting.push(tokio::spawn(life.live(receipt)));
                } else {
                    book.add(life.live(receipt).await);
                }
            }
            self.done.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Places the order that a buyer wants, with a coupon and a team where they want one.
    async fn order(&self, buyer: &Buyer, starts: Instant, book: &mut Book) -> Option<(AckedOrder, Receipt)> {
        let coupon = match buyer.coupon {
            Some(kind) => Some(self.get_coupon(buyer, kind, book).await?),
            None => None,
        };
        // The coupon's own time is not the order's.
        let starts = if coupon.is_some() { Instant::now() } else { starts };
        let campaign = buyer.activity.filter(|_| buyer.order_type == OrderType::GroupBuy);
        let offer = campaign.filter(|_| !buyer.opens).and_then(|campaign| self.take_offer(campaign));
        let order = SubmitOrder {
            request_id: request_id(self.buyers.script.seed, buyer.n),
            member_id: buyer.member.into(),
            order_type: buyer.order_type,
            activity_id: buyer.activity,
            lines: buyer.lines.clone(),
            coupons: coupon.into_iter().collect(),
            team: match (campaign, offer) {
                (None, _) => TeamChoice::None,
                (Some(_), None) => TeamChoice::Open,
                (Some(_), Some(team)) => TeamChoice::Join(team),
            },
            ..SubmitOrder::default()
        };
        let result = self.submit(buyer, &order, starts, book).await;
        self.note_opening(buyer, &result, book);
        let receipt = book.note("order", buyer.n, result)?;
        *book.placed.entry(buyer.order_type.name()).or_default() += 1;
        let opened = campaign.filter(|_| offer.is_none());
        if let Some(campaign) = opened {
            let part = self.buyers.activities().find(|(_, id, _)| *id == campaign);
            let size = part.map_or(0, |(_, _, part)| u64::from(part.team_size));
            // Now and then one seat too many, so that somebody finds the team full.
            let seats = size.saturating_sub(1) + u64::from(buyer.n.is_multiple_of(8));
            self.offer(campaign, TeamId(receipt.order_no.get()), seats);
        }
        if let Some(coupon) = coupon.filter(|_| buyer.n.is_multiple_of(10)) {
            self.use_again(buyer, &order, coupon, receipt.deadline_ms, book).await;
        }
        let team = campaign.map(|_| offer.unwrap_or(TeamId(receipt.order_no.get())));
        let acked = AckedOrder::new(buyer.n, &receipt, coupon, team);
        Some((acked, receipt))
    }

    /// Sends a request, perhaps twice: at once, or one after the other.
    async fn submit(
        &self,
        buyer: &Buyer,
        order: &SubmitOrder,
        starts: Instant,
        book: &mut Book,
    ) -> Result<Receipt, Reject> {
        let once = async || {
            let result = crate::shop::patiently(|| self.engine.submit(order.clone())).await;
            self.record(Operation::Submit, buyer.n, starts.elapsed());
            if self.is_opening(buyer) {
                self.record(Operation::Opening, buyer.n, starts.elapsed());
            }
            result
        };
        if !buyer.asks_twice {
            return once().await;
        }
        let (first, second) = if buyer.n.is_multiple_of(2) {
            tokio::join!(once(), once())
        } else {
            let first = once().await;
            (first, crate::shop::patiently(|| self.engine.submit(order.clone())).await)
        };
        match (first, second) {
            (Ok(first), Ok(second)) if first == second => {
                book.duplicates += 1;
                Ok(first)
            }
            // A refusal doesn't bind the engine: asked again, it may have what it hadn't.
            (Err(_), second) => second,
            (first, second) => {
                book.problems.add(|| format!("buyer {} asked twice: {first:?}, then {second:?}", buyer.n));
                first
            }
        }
    }

    fn is_opening(&self, buyer: &Buyer) -> bool {
        let window = buyer.activity.and_then(|activity| self.window_ms(activity));
        let now_ms = self.engine.now_ms();
        window.is_some_and(|(start_ms, _)| now_ms >= start_ms && now_ms < start_ms + OPENING_MS)
    }

    /// What the harness sees of a session's window: nothing is accepted before it.
    fn note_opening(&self, buyer: &Buyer, result: &Result<Receipt, Reject>, book: &mut Book) {
        let Some(activity) = buyer.activity else { return };
        let Some((start_ms, _)) = self.window_ms(activity) else { return };
        let now_ms = self.engine.now_ms();
        match result {
            Ok(receipt) if now_ms < start_ms => {
                book.problems
                    .add(|| format!("order {} came before activity {activity} opened", receipt.order_no));
            }
            Ok(_) => book.note_opening(activity.0, now_ms - start_ms, false),
            Err(Reject::SoldOut { .. }) if now_ms >= start_ms => {
                book.note_opening(activity.0, now_ms - start_ms, true);
            }
            Err(_) => {}
        }
    }

    async fn get_coupon(&self, buyer: &Buyer, kind: usize, book: &mut Book) -> Option<CouponId> {
        let request = request_id(self.buyers.script.seed, buyer.n);
        let terms = kind as u64 + 1;
        let issue = || self.engine.issue_coupon(buyer.member, terms, request);
        let issued = self.timed(Operation::Coupon, buyer.n, issue).await;
        book.note("get a coupon", buyer.n, issued).map(|receipt| receipt.coupon)
    }

    /// Names a coupon that an order has in another order, which must not get it too.
    async fn use_again(
        &self,
        buyer: &Buyer,
        order: &SubmitOrder,
        coupon: CouponId,
        deadline_ms: u64,
        book: &mut Book,
    ) {
        let request_id = request_id(self.buyers.script.seed, SECOND | buyer.n);
        let second = SubmitOrder { request_id, ..order.clone() };
        match crate::shop::patiently(|| self.engine.submit(second.clone())).await {
            // On a stalled machine the first order may have timed out, and have given its coupon back.
            Ok(receipt) => {
                let order_no = receipt.order_no;
                book.orders.push(AckedOrder::new(buyer.n, &receipt, Some(coupon), None));
                if self.engine.now_ms() < deadline_ms {
                    book.problems
                        .add(|| format!("order {order_no} got coupon {}, which another has", coupon.get()));
                }
            }
            Err(reject) => book.refuse("use a coupon again", buyer.n, &reject),
        }
    }
}

/// A buyer with an order.
struct Life {
    sale: Arc<Sale>,
    buyer: Buyer,
    acked: AckedOrder,
    book: Book,
}

impl Life {
    /// Whether the buyer will have to wait for something.
    fn waits(&self) -> bool {
        self.buyer.ending == Ending::Late || self.acked.team.is_some()
    }

    fn member(&self) -> Caller {
        Caller::Member(self.buyer.member.into())
    }

    /// Takes the order to where it goes; gives what its buyer was told.
    async fn live(mut self, receipt: Receipt) -> Book {
        self.change().await;
        if self.buyer.unmatched {
            let order = OrderRef::External(format!("nobody-{}", self.buyer.n).into());
            self.pay(None, order, "u", Money::from_minor(1_000)).await;
        }
        let paid = self.end(receipt).await;
        if paid && self.has_formed().await {
            self.aftercare().await;
        }
        self.book.orders.push(self.acked);
        self.book
    }

    /// What changes about an order before it is paid.
    async fn change(&mut self) {
        let (sale, n, order_no) = (Arc::clone(&self.sale), self.buyer.n, self.acked.order_no);
        if self.buyer.price_changes {
            let amount = self.acked.amount.minor();
            let change =
                PriceChange { pay_amount: Money::from_minor(amount - amount / 10), freight: Money::ZERO };
            let changed =
                sale.timed(Operation::Change, n, || sale.engine.change_price(order_no, change)).await;
            if let Some(receipt) = self.book.note("change a price", n, changed) {
                self.acked.amount = receipt.pay_amount;
            }
        }
        if self.buyer.address_changes {
            let personal = Personal::Plain(format!("{n} Tea Lane").into_bytes().into());
            let ask = || sale.engine.change_address(self.member(), order_no, personal.clone());
            let changed = sale.timed(Operation::Change, n, ask).await;
            self.book.note("change an address", n, changed);
        }
        if self.buyer.remarked {
            let ask = || sale.engine.remark_order(order_no, "wrap as a gift", 3);
            let remarked = sale.timed(Operation::Change, n, ask).await;
            self.book.note("remark an order", n, remarked);
        }
    }

    /// Pays, or not. Whether the order is paid.
    async fn end(&mut self, receipt: Receipt) -> bool {
        let sale = Arc::clone(&self.sale);
        let (n, order_no) = (self.buyer.n, self.acked.order_no);
        match self.buyer.ending {
            Ending::Never => false,
            Ending::Cancel => {
                let cancel = || sale.engine.cancel(self.member(), order_no);
                let cancelled = sale.timed(Operation::Cancel, n, cancel).await;
                self.acked.cancelled = self.book.note("cancel", n, cancelled).is_some();
                false
            }
            Ending::Late => {
                let wait_ms = (receipt.deadline_ms + LATE_MS).saturating_sub(sale.engine.now_ms());
                tokio::time::sleep(Duration::from_millis(wait_ms)).await;
                self.pay_own("a", 0).await
            }
            Ending::WrongAmount => self.pay_own("a", 1).await,
            Ending::Twice => {
                self.begin_payment().await;
                let first = self.pay_own("a", 0).await;
                let second = self.pay_own("b", 0).await;
                if first && second {
                    self.book.problems.add(|| format!("order {order_no} was paid twice"));
                }
                first || second
            }
            Ending::InTime => {
                self.begin_payment().await;
                self.pay_own("a", 0).await
            }
        }
    }

    async fn begin_payment(&mut self) {
        if !self.buyer.begins_payment {
            return;
        }
        let (sale, n, order_no) = (Arc::clone(&self.sale), self.buyer.n, self.acked.order_no);
        let begin = || sale.engine.begin_payment(self.member(), order_no, CHANNEL);
        let begun = sale.timed(Operation::BeginPayment, n, begin).await;
        self.book.note("begin a payment", n, begun);
    }

    async fn pay_own(&mut self, which: &str, more: i64) -> bool {
        let amount = Money::from_minor(self.acked.amount.minor() + more);
        let order_no = self.acked.order_no;
        self.pay(Some(order_no), order_no.into(), which, amount).await == Some(PaymentResult::Paid)
    }

    /// The provider's notification, perhaps twice: then both have one outcome.
    async fn pay(
        &mut self,
        order_no: Option<OrderNo>,
        order: OrderRef,
        which: &str,
        amount: Money,
    ) -> Option<PaymentResult> {
        let (sale, n) = (Arc::clone(&self.sale), self.buyer.n);
        let transaction = format!("{n}{which}");
        let notify = || {
            sale.engine.pay(Payment {
                order: order.clone(),
                channel: CHANNEL.into(),
                merchant: "shop".into(),
                transaction_id: transaction.as_str().into(),
                amount,
            })
        };
        let first = sale.timed(Operation::Pay, n, notify).await;
        if self.buyer.notified_twice {
            let second: Result<PaymentOutcome, Reject> = crate::shop::patiently(notify).await;
            if first != second {
                self.book.problems.add(|| format!("payment {transaction}: {first:?}, then {second:?}"));
            }
        }
        let result = self.book.note("pay", n, first)?.result;
        let id = PaymentId::of(CHANNEL, "shop", &transaction);
        self.book.payments.push(AckedPayment { id, order_no, amount, result });
        Some(result)
    }

    /// Waits for the order's team, if it has one. Whether nothing stands in the way of the order any more.
    async fn has_formed(&mut self) -> bool {
        let Some(team) = self.acked.team else { return true };
        let began = Instant::now();
        let mut last = None;
        while began.elapsed() < TEAM_WAIT_MAX {
            let shown = crate::shop::patiently(|| self.sale.engine.team(team)).await;
            last = self.book.note("see a team", self.buyer.n, shown).map(|team| team.state);
            match last {
                Some(TeamState::Formed) => return true,
                // The order has heard of it once it is closed: only then it is known what must go back.
                Some(TeamState::Failed) if self.is_closed().await => return false,
                Some(TeamState::Failed | TeamState::Forming) => tokio::time::sleep(TEAM_POLL).await,
                None => return false,
            }
        }
        let order_no = self.acked.order_no;
        self.book.problems.add(|| format!("order {order_no} waits for its team in vain, which is {last:?}"));
        false
    }

    async fn is_closed(&self) -> bool {
        let order = || self.sale.engine.order(Caller::Operator, self.acked.order_no);
        crate::shop::patiently(order).await.is_ok_and(|order| order.status == OrderStatus::Cancelled)
    }

    /// The later life of a paid order. Half of those who want money back do so before it is shipped.
    async fn aftercare(&mut self) {
        if self.buyer.n.is_multiple_of(2) {
            self.refund().await;
            self.ship().await;
        } else {
            self.ship().await;
            self.refund().await;
        }
    }

    fn units(&self) -> Vec<(SkuId, u32)> {
        self.buyer.lines.iter().map(|line| (line.sku_id, line.quantity)).collect()
    }

    async fn ship(&mut self) {
        let (sale, n, order_no) = (Arc::clone(&self.sale), self.buyer.n, self.acked.order_no);
        let shipment = || Shipment { carrier: "post".into(), tracking_no: n.to_string().into() };
        match self.buyer.shipping {
            Shipping::No => return,
            Shipping::Whole => {
                let shipped = sale.timed(Operation::Ship, n, || sale.engine.ship(order_no, shipment())).await;
                self.acked.shipped = self.book.note("ship", n, shipped).is_some();
            }
            Shipping::Packages => {
                for (sku, quantity) in self.units() {
                    for _ in 0..quantity {
                        let package = || ShipPackage { shipment: shipment(), lines: vec![(sku, 1)] };
                        let ask = || sale.engine.ship_package(order_no, package());
                        let shipped = sale.timed(Operation::Ship, n, ask).await;
                        let status =
                            self.book.note("ship a package", n, shipped).map(|receipt| receipt.status);
                        self.acked.shipped |= status == Some(OrderStatus::Shipped);
                    }
                }
            }
        }
        if self.acked.shipped && self.buyer.confirms {
            let confirm = || sale.engine.confirm(self.member(), order_no);
            let confirmed = sale.timed(Operation::Confirm, n, confirm).await;
            self.acked.completed = self.book.note("confirm", n, confirmed).is_some();
        }
    }

    async fn refund(&mut self) {
        let (sale, n, order_no) = (Arc::clone(&self.sale), self.buyer.n, self.acked.order_no);
        let mut lines = self.units();
        match self.buyer.wants_back {
            WantsBack::Nothing => return,
            WantsBack::OneUnit => {
                lines.truncate(1);
                lines.iter_mut().for_each(|(_, quantity)| *quantity = 1);
            }
            WantsBack::Everything => {}
        }
        let request = || RefundRequest {
            request_id: request_id(sale.buyers.script.seed, n),
            reason: "too bitter".into(),
            lines: lines.clone(),
            extra: Money::ZERO,
        };
        let apply = || sale.engine.apply_refund(self.member(), order_no, request());
        let applied = sale.timed(Operation::Refund, n, apply).await;
        let Some(applied) = self.book.note("apply for a refund", n, applied) else { return };
        let refund_no = applied.refund_no;
        let restock = if self.buyer.restocks { lines.clone() } else { Vec::new() };
        let decide = || async {
            match self.buyer.verdict {
                Verdict::Withdrawn => sale.engine.withdraw_refund(self.member(), refund_no).await,
                Verdict::Rejected => sale.engine.reject_refund(refund_no, "it was opened").await,
                Verdict::Approved => sale.engine.approve_refund(refund_no, restock.clone()).await,
            }
        };
        let decided = sale.timed(Operation::Refund, n, decide).await;
        self.book.note("decide a refund", n, decided);
    }
}
