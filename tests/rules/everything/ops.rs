//! The operations: what a member, the shop or a provider may do at any moment, also what makes no sense.

use std::sync::{Arc, Mutex};

use stockade::{
    AdjustmentId, Caller, Engine, Failure, Money, OrderType, Payment, PriceChange, Receipt, RefundFilter,
    RefundRequest, RefundState, RefundStep, Reject, SUBMISSION_WAIT_MS_MAX, SaleControl, ShipPackage,
    Shipment, Sku, Submission, SubmitOrder, TeamChoice, TeamId,
};

use super::{Book, CAMPAIGNS, KINDS, MEMBERS, Op, SESSION, SKUS, World, pools};
use crate::support::*;

/// The book as an engine's callers keep it: what a dead engine answers is not written down.
#[derive(Clone)]
struct Pen {
    book: Arc<Mutex<Book>>,
    life: u64,
}

impl Pen {
    fn write(&self, what: impl FnOnce(&mut Book)) {
        let mut book = self.book.lock().unwrap();
        if book.life == self.life {
            what(&mut book);
        }
    }

    /// A check of an answer, unless the engine that gave it is dead.
    fn check(&self, holds: bool, what: impl FnOnce() -> String) {
        let book = self.book.lock().unwrap();
        assert!(holds || book.life != self.life, "{}", what());
    }
}

/// Nobody may be told of these while the engine runs.
fn broken(reject: &Reject) -> bool {
    matches!(reject, Reject::OutcomeUnknown)
}

/// Submits for a promise, and asks for what becomes of it.
async fn submit_async(engine: &Engine, order: SubmitOrder) -> Result<Receipt, Reject> {
    let caller = Caller::Member(order.member_id);
    let promise = engine.submit_async(order)?;
    match engine.submission(caller, promise.order_no, SUBMISSION_WAIT_MS_MAX).await? {
        Submission::Created(receipt) if receipt.order_no == promise.order_no => Ok(receipt),
        Submission::Failed(Failure::Rejected(reject)) => Err(reject),
        other => panic!("{promise:?} of a new request comes to {other:?}"),
    }
}

impl World {
    /// Some operation, where the book has something to do it with.
    pub(super) fn op(&mut self) -> Option<Op> {
        let engine = self.shop.engine.clone();
        let life = self.book.lock().unwrap().life;
        let pen = Pen { book: Arc::clone(&self.book), life };
        let id = self.id();
        match self.dice.roll(20) {
            0..=5 => Some(self.submit(engine, pen, id)),
            6..=9 => self.pay(engine, pen, id),
            10 => self.begin_or_cancel(engine),
            11 => self.change_price(engine, pen),
            12 | 13 => self.refund(engine, id),
            14 => self.deliver(engine),
            15 | 16 => Some(self.issue(engine, pen)),
            17 => Some(self.stock(engine, id)),
            18 => self.retry(engine, pen),
            _ => Some(self.settings(engine)),
        }
    }

    fn order(&mut self, id: u64) -> SubmitOrder {
        let member = 1 + self.dice.roll(MEMBERS);
        let request = u128::from(id);
        let sku = 1 + self.dice.roll(SKUS);
        let mut order = match self.dice.roll(10) {
            0..=3 => {
                let other = 1 + self.dice.roll(SKUS);
                let mut lines = vec![(sku, 1 + self.dice.roll(2) as u32)];
                if other != sku && self.dice.roll(2) == 0 {
                    lines.push((other, 1));
                }
                basket(member, request, &lines)
            }
            4 | 5 => SubmitOrder {
                order_type: OrderType::Seckill,
                activity_id: Some(SESSION.into()),
                ..one(member, request, sku.min(2))
            },
            _ => {
                let teams = self.book.lock().unwrap().teams.clone();
                let recent = &teams[teams.len().saturating_sub(4)..];
                let (campaign, team) = match self.dice.pick(recent) {
                    Some((campaign, team)) if self.dice.roll(4) > 0 => (campaign, TeamChoice::Join(team)),
                    _ => (CAMPAIGNS[self.dice.roll(2) as usize], TeamChoice::Open),
                };
                SubmitOrder {
                    order_type: OrderType::GroupBuy,
                    activity_id: Some(campaign.into()),
                    team,
                    ..one(member, request, sku.min(2))
                }
            }
        };
        let own: Vec<_> = {
            let book = self.book.lock().unwrap();
            book.coupons.iter().filter(|(owner, _)| *owner == member).map(|(_, coupon)| *coupon).collect()
        };
        for _ in 0..self.dice.roll(3) {
            order.coupons.extend(self.dice.pick(&own).filter(|coupon| !order.coupons.contains(coupon)));
        }
        order
    }

    fn submit(&mut self, engine: Engine, pen: Pen, id: u64) -> Op {
        let order = self.order(id);
        let is_async = self.dice.roll(3) == 0;
        Box::pin(async move {
            let answer = if is_async {
                submit_async(&engine, order.clone()).await
            } else {
                engine.submit(order.clone()).await
            };
            match answer {
                Ok(receipt) => pen.write(|book| {
                    book.orders.push((order.member_id.0, receipt));
                    if order.team == TeamChoice::Open && order.order_type == OrderType::GroupBuy {
                        let campaign = order.activity_id.unwrap().0;
                        book.teams.push((campaign, TeamId(receipt.order_no.get())));
                    }
                    book.placed.push((order, receipt));
                }),
                Err(reject) => pen.check(!broken(&reject), || format!("{order:?}: {reject:?}")),
            }
        })
    }

    /// The first answer again.
    fn retry(&mut self, engine: Engine, pen: Pen) -> Option<Op> {
        let placed = self.book.lock().unwrap().placed.clone();
        let (order, receipt) = self.dice.pick(&placed)?;
        Some(Box::pin(async move {
            let again = engine.submit(order.clone()).await;
            pen.check(again == Ok(receipt), || format!("R8: {order:?}: {receipt:?}, then {again:?}"));
        }))
    }

    fn some_order(&mut self) -> Option<(u64, Receipt)> {
        let orders = self.book.lock().unwrap().orders.clone();
        let recent = &orders[orders.len().saturating_sub(8)..];
        if self.dice.roll(4) == 0 { self.dice.pick(&orders) } else { self.dice.pick(recent) }
    }

    fn pay(&mut self, engine: Engine, pen: Pen, id: u64) -> Option<Op> {
        let (_, receipt) = self.some_order()?;
        let first = payment(&receipt, &format!("t-{id}"));
        let known = self.book.lock().unwrap().payments.clone();
        let payment = match self.dice.roll(12) {
            0 => Payment { amount: Money::from_minor(receipt.pay_amount.minor() + 1), ..first },
            1 => Payment { order: "nobody".into(), ..first },
            2 => self.dice.pick(&known)?.0,
            _ => first,
        };
        Some(Box::pin(async move {
            match engine.pay(payment.clone()).await {
                Ok(outcome) => pen.write(|book| {
                    let before = book.payments.iter().find(|(known, _)| *known == payment);
                    if let Some((_, first)) = before {
                        assert_eq!(first, &outcome, "R8: {payment:?}");
                    } else {
                        book.payments.push((payment, outcome));
                    }
                }),
                Err(reject) => pen.check(
                    matches!(reject, Reject::InvalidField { .. }) || payment.amount == Money::ZERO,
                    || format!("{payment:?}: {reject:?}"),
                ),
            }
        }))
    }

    fn begin_or_cancel(&mut self, engine: Engine) -> Option<Op> {
        let (member, receipt) = self.some_order()?;
        let (what, order_no) = (self.dice.roll(4), receipt.order_no);
        Some(Box::pin(async move {
            let _ = match what {
                0 => engine.begin_payment(Caller::Operator, order_no, "wechat").await.map(|_| ()),
                1 => engine.start_payment(Caller::Member(member.into()), order_no).await.map(|_| ()),
                2 => engine.cancel(Caller::Member(member.into()), order_no).await.map(|_| ()),
                _ => engine.cancel(Caller::Operator, order_no).await.map(|_| ()),
            };
        }))
    }

    fn change_price(&mut self, engine: Engine, pen: Pen) -> Option<Op> {
        let (member, receipt) = self.some_order()?;
        let pay_amount = Money::from_minor(self.dice.roll(300) as i64);
        let change = PriceChange { pay_amount, freight: Money::ZERO };
        Some(Box::pin(async move {
            if let Ok(changed) = engine.change_price(receipt.order_no, change).await {
                pen.write(|book| book.orders.push((member, changed)));
            }
        }))
    }

    fn refund(&mut self, engine: Engine, id: u64) -> Option<Op> {
        let (_, receipt) = self.some_order()?;
        let (what, lot, sku) = (self.dice.roll(8), self.dice.roll(64), 1 + self.dice.roll(SKUS));
        let extra = Money::from_minor(self.dice.roll(3) as i64 * 10);
        Some(Box::pin(async move {
            if what < 3 {
                let lines = if what < 2 { vec![(sku.into(), 1)] } else { Vec::new() };
                let request =
                    RefundRequest { request_id: u128::from(id).into(), reason: "no".into(), lines, extra };
                let _ = engine.apply_refund(Caller::Operator, receipt.order_no, request).await;
                return;
            }
            let Ok(page) = engine.refunds(RefundFilter::default()).await else { return };
            if page.refunds.is_empty() {
                return;
            }
            let refund = &page.refunds[lot as usize % page.refunds.len()];
            let refund_no = refund.refund_no;
            let _ = match (refund.state, what) {
                (RefundState::Applied, 3) => engine.reject_refund(refund_no, "no").await,
                (RefundState::Applied, 4) => engine.withdraw_refund(Caller::Operator, refund_no).await,
                (RefundState::Applied, _) => {
                    let restock = match &refund.cause {
                        stockade::RefundCause::AfterSale { lines, .. } if what > 5 => {
                            lines.iter().map(|line| (line.key.sku, line.quantity)).collect()
                        }
                        _ => Vec::new(),
                    };
                    engine.approve_refund(refund_no, restock).await
                }
                (_, 3) => engine.report_refund(refund_no, RefundStep::Requested).await,
                (_, 4) => engine.report_refund(refund_no, RefundStep::Failed { reason: "no".into() }).await,
                _ => {
                    let provider_refund_id = refund_no.to_string().into();
                    engine.report_refund(refund_no, RefundStep::Finished { provider_refund_id }).await
                }
            };
        }))
    }

    fn deliver(&mut self, engine: Engine) -> Option<Op> {
        let (_, receipt) = self.some_order()?;
        let (what, sku) = (self.dice.roll(3), 1 + self.dice.roll(SKUS));
        Some(Box::pin(async move {
            let shipment = Shipment { carrier: "sf".into(), tracking_no: "1".into() };
            let _ = match what {
                0 => engine.ship(receipt.order_no, shipment).await,
                1 => {
                    let package = ShipPackage { shipment, lines: vec![(sku.into(), 1)] };
                    engine.ship_package(receipt.order_no, package).await
                }
                _ => engine.confirm(Caller::Operator, receipt.order_no).await,
            };
        }))
    }

    fn issue(&mut self, engine: Engine, pen: Pen) -> Op {
        let member = 1 + self.dice.roll(MEMBERS);
        // Few request ids, so that some come twice.
        let (kind, request) = (KINDS[self.dice.roll(2) as usize], u128::from(self.dice.roll(4)));
        Box::pin(async move {
            if let Ok(receipt) = engine.issue_coupon(member, kind, request).await {
                pen.write(|book| {
                    if !book.coupons.contains(&(member, receipt.coupon)) {
                        book.coupons.push((member, receipt.coupon));
                    }
                });
            }
        })
    }

    fn stock(&mut self, engine: Engine, id: u64) -> Op {
        let sku = 1 + self.dice.roll(SKUS);
        if self.dice.roll(3) == 0 {
            let adjustment = add_units(u128::from(id), sku, 1 + self.dice.roll(2) as i64);
            self.book.lock().unwrap().adjustments.push(adjustment);
            return Box::pin(async move {
                let _ = engine.adjust_stock(adjustment).await;
            });
        }
        let pools = pools(sku.min(2));
        let (from, to) = (pools[self.dice.roll(4) as usize], pools[self.dice.roll(4) as usize]);
        let units = 1 + self.dice.roll(3);
        Box::pin(async move {
            let _ = engine.transfer_stock(AdjustmentId(u128::from(id)), from, to, units).await;
        })
    }

    fn settings(&mut self, engine: Engine) -> Op {
        let sku = 1 + self.dice.roll(SKUS);
        let (what, flip) = (self.dice.roll(24), self.dice.roll(2));
        let (member, now_ms) = (1 + self.dice.roll(MEMBERS), self.shop.now_ms());
        Box::pin(async move {
            let control = match what {
                0..=7 => SaleControl::SafetyStock { key: pools(sku)[0], units: flip },
                8..=12 => SaleControl::SkuPaused { sku: sku.into(), paused: what == 8 },
                13..=17 => {
                    SaleControl::MemberBlocked { member: member.into(), until_ms: now_ms + flip * 3_000 }
                }
                18..=22 => {
                    let price = Money::from_minor(PRICE + 10 * flip as i64);
                    let limit_per_member = if sku == 3 { 2 + flip as u32 } else { 0 };
                    let _ = engine.put_sku(Sku { price, limit_per_member, ..super::sku(sku) }).await;
                    return;
                }
                _ => {
                    let _ = engine.end_activity(CAMPAIGNS[flip as usize], None).await;
                    return;
                }
            };
            let _ = engine.control_sales(control, None).await;
        })
    }
}
