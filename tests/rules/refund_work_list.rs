//! The work list of refunds: exact, oldest first, page by page, across restarts with and without a store.

use stockade::{
    Caller, Config, Engine, Money, Payment, Receipt, RefundFilter, RefundRequest, RefundState, RefundStep,
};

use super::after_sale::paid;
use crate::support::*;

async fn owe(shop: &Shop, members: std::ops::Range<u64>) -> Vec<Receipt> {
    let mut receipts = Vec::new();
    for member in members {
        let receipt = shop.submit(one(member, 1, 1)).await.unwrap();
        shop.cancel(Caller::Operator, receipt.order_no).await.unwrap();
        shop.pay(payment(&receipt, &format!("late-{member}"))).await.unwrap();
        shop.time.advance(1);
        receipts.push(receipt);
    }
    receipts
}

async fn all_pages(engine: &Engine, filter: RefundFilter) -> Vec<stockade::Refund> {
    let mut filter = filter;
    let mut found = Vec::new();
    loop {
        let page = engine.refunds(filter.clone()).await.unwrap();
        assert!(page.refunds.len() <= filter.len_max);
        found.extend(page.refunds);
        let Some(next) = page.next else { return found };
        filter.after = Some(next);
    }
}

#[tokio::test]
async fn the_list_is_oldest_first_whatever_the_page_and_the_number_of_actors() {
    let shop = Shop::open().await;
    shop.stock_up(1, 100).await;
    let receipts = owe(&shop, 0..20).await;
    let lost = Payment { order: "nobody".into(), ..payment(&receipts[0], "lost") };
    shop.pay(lost).await.unwrap();
    let bought = paid(&shop, 99, &[(1, 1)]).await;
    shop.time.advance(1);
    let request = RefundRequest { extra: Money::from_minor(1), ..RefundRequest::default() };
    shop.apply_refund(Caller::Operator, bought.order_no, request).await.unwrap();
    shop.settle().await;
    let filter = |len_max| RefundFilter { len_max, ..RefundFilter::default() };
    let list = all_pages(&shop, filter(500)).await;
    assert_eq!(list.len(), 22);
    assert!(list.is_sorted_by_key(|refund| (refund.since_ms, refund.refund_no)));
    for len_max in [1, 3, 21, 22, 23] {
        assert_eq!(all_pages(&shop, filter(len_max)).await, list, "pages of {len_max}");
    }
    let applied = RefundFilter { states: vec![RefundState::Applied], ..filter(500) };
    assert_eq!(all_pages(&shop, applied).await, list[21..]);
    for actors in [1, 3, 5] {
        let open = |config: Config| config.order_actors(actors);
        let next = shop.reopen(shop.journal.after_power_cut(), open).await.unwrap();
        assert_eq!(all_pages(&next, filter(4)).await, list, "{actors} actors");
    }
    let failed = RefundStep::Failed { reason: "no".into() };
    shop.report_refund(list[3].refund_no, failed).await.unwrap();
    let failed = RefundFilter { states: vec![RefundState::Failed], ..filter(500) };
    let failed = all_pages(&shop, failed).await;
    assert_eq!(failed.iter().map(|refund| refund.refund_no).collect::<Vec<_>>(), [list[3].refund_no]);
    pay_back(&shop).await;
    let left = all_pages(&shop, filter(500)).await;
    assert!(left.iter().all(|refund| refund.state == RefundState::Applied), "applications wait: {left:?}");
    audit(&shop.journal);
}

#[tokio::test]
async fn every_prefix_of_a_journal_with_everything_opens_and_audits() {
    let shop = Shop::open_with(|config| config.auto_confirm_ms(1_000)).await;
    shop.stock_up_limited(1, 6, 4).await;
    shop.stock_up(2, 6).await;
    // One of everything that an order may live through.
    let first = shop.submit(basket(7, 1, &[(1, 2), (2, 2)])).await.unwrap();
    shop.begin_payment(Caller::Operator, first.order_no, "wechat").await.unwrap();
    let change =
        stockade::PriceChange { pay_amount: Money::from_minor(900), freight: Money::from_minor(100) };
    shop.change_price(first.order_no, change).await.unwrap();
    shop.pay(payment(&first, "old price")).await.unwrap();
    let address = stockade::Personal::Plain(b"here".as_slice().into());
    shop.change_address(Caller::Operator, first.order_no, address).await.unwrap();
    shop.pay(Payment { amount: change.pay_amount, ..payment(&first, "new price") }).await.unwrap();
    shop.remark_order(first.order_no, "careful", 1).await.unwrap();
    let request = |request: u128, lines: Vec<_>, extra| RefundRequest {
        request_id: request.into(),
        reason: "why not".into(),
        lines,
        extra: Money::from_minor(extra),
    };
    let apply = |order_no, request| shop.engine.apply_refund(Caller::Operator, order_no, request);
    let one_unit = apply(first.order_no, request(1, vec![(1.into(), 1)], 0)).await.unwrap();
    shop.approve_refund(one_unit.refund_no, vec![(1.into(), 1)]).await.unwrap();
    shop.report_refund(one_unit.refund_no, RefundStep::Requested).await.unwrap();
    shop.report_refund(one_unit.refund_no, RefundStep::Failed { reason: "no".into() }).await.unwrap();
    let finished = |id: &str| RefundStep::Finished { provider_refund_id: id.into() };
    shop.report_refund(one_unit.refund_no, finished("a")).await.unwrap();
    let package = |lines| stockade::ShipPackage { shipment: Default::default(), lines };
    shop.ship_package(first.order_no, package(vec![(2.into(), 1)])).await.unwrap();
    shop.ship_package(first.order_no, package(vec![(1.into(), 1), (2.into(), 1)])).await.unwrap();
    let withdrawn = apply(first.order_no, request(2, vec![(2.into(), 1)], 0)).await.unwrap();
    shop.withdraw_refund(Caller::Operator, withdrawn.refund_no).await.unwrap();
    shop.time.advance(1_000);
    shop.event(|event| event.name() == "OrderReceived").await;
    let second = shop.submit(one(8, 1, 1)).await.unwrap();
    shop.begin_payment(Caller::Operator, second.order_no, "wechat").await.unwrap();
    shop.cancel(Caller::Operator, second.order_no).await.unwrap();
    shop.pay(payment(&second, "late")).await.unwrap();
    shop.pay(Payment { order: "nobody".into(), ..payment(&second, "lost") }).await.unwrap();
    let third = paid(&shop, 9, &[(2, 1)]).await;
    let all = apply(third.order_no, request(1, vec![(2.into(), 1)], 0)).await.unwrap();
    shop.approve_refund(all.refund_no, vec![(2.into(), 1)]).await.unwrap();
    shop.report_refund(all.refund_no, finished("b")).await.unwrap();
    let free = shop.submit(one(10, 1, 2)).await.unwrap();
    let nothing = stockade::PriceChange { pay_amount: Money::ZERO, freight: Money::ZERO };
    shop.change_price(free.order_no, nothing).await.unwrap();
    pay_back(&shop).await;
    for name in stockade::domain::order::ORDER_EVENT_NAMES {
        let of_teams = ["TeamJoined", "UnitsReturned"].contains(&name);
        assert!(of_teams || shop.count(name) > 0, "no {name} was written");
    }

    let entries = shop.entries();
    for len in 0..=entries.len() {
        let journal = journal_of(&entries[..len]);
        let next = shop.reopen(journal, |config| config.auto_confirm_ms(1_000)).await.unwrap();
        next.settle().await;
        let report = audit(&next.journal);
        assert_eq!(report.payments_unresolved, 0, "after {len} entries");
        let live = next.state_hash().await.unwrap().hash;
        let list = all_pages(&next, RefundFilter { len_max: 500, ..RefundFilter::default() }).await;
        let again = next.after_power_cut().await;
        assert_eq!(again.state_hash().await.unwrap().hash, live, "R7 after {len} entries");
        let same = all_pages(&again, RefundFilter { len_max: 500, ..RefundFilter::default() }).await;
        assert_eq!(same, list, "after {len} entries");
    }
}
