//! R14: a member sees and changes their own orders; another's number answers exactly as one that does not exist.

use stockade::{Caller, OrderNo, OrderStatus, Page, Reject, SubmitOrder};

use crate::support::*;

#[tokio::test]
async fn r14_a_stranger_gets_the_answer_of_an_order_that_does_not_exist() {
    let shop = Shop::open().await;
    shop.stock_up(1, 5).await;
    let order = SubmitOrder { external_no: Some("WEB-1".into()), ..one(7, 1, 1) };
    let receipt = shop.submit(order).await.unwrap();
    let missing = OrderNo::compose(receipt.order_no.time_ms() + 1, receipt.order_no.slot(), 0);
    let stranger = Caller::Member(8.into());
    for order_no in [receipt.order_no, missing] {
        assert_eq!(shop.order(stranger, order_no).await, Err(Reject::OrderNotFound));
        assert_eq!(shop.start_payment(stranger, order_no).await, Err(Reject::OrderNotFound));
        assert_eq!(shop.cancel(stranger, order_no).await, Err(Reject::OrderNotFound));
        assert_eq!(shop.confirm(stranger, order_no).await, Err(Reject::OrderNotFound));
    }
    for external_no in ["WEB-1", "WEB-2"] {
        assert_eq!(shop.order_by_external_no(stranger, external_no).await, Err(Reject::OrderNotFound));
        assert_eq!(shop.cancel(stranger, external_no).await, Err(Reject::OrderNotFound));
    }
    let own = shop.order_by_external_no(Caller::Member(7.into()), "WEB-1").await.unwrap();
    assert_eq!((own.order_no, own.status, own.version), (receipt.order_no, OrderStatus::Pending, 1));
}

#[tokio::test]
async fn r14_a_member_lists_only_their_own_orders() {
    let shop = Shop::open().await;
    shop.stock_up(1, 100).await;
    for member in 0..10 {
        for request in 0..3 {
            shop.submit(one(member, request, 1)).await.unwrap();
        }
    }
    for member in 0..10 {
        let first = shop.orders_of(member, Page { before: None, len_max: 2 }).await.unwrap();
        let rest = shop.orders_of(member, Page { before: first.next, len_max: 2 }).await.unwrap();
        let all: Vec<_> = first.orders.iter().chain(&rest.orders).collect();
        assert_eq!((all.len(), rest.next), (3, None));
        assert!(all.iter().all(|order| order.member_id.0 == member));
        assert!(all.windows(2).all(|pair| pair[0].order_no > pair[1].order_no), "newest first");
    }
    // Another member's number as a cursor shows nothing of theirs.
    let others = shop.orders_of(0, Page::default()).await.unwrap().orders[0].order_no;
    let page = shop.orders_of(1, Page { before: Some(others), len_max: 100 }).await.unwrap();
    assert!(page.orders.iter().all(|order| order.member_id.0 == 1));
}

#[tokio::test]
async fn r14_the_same_request_id_of_two_members_makes_two_orders() {
    let shop = Shop::open().await;
    shop.stock_up(1, 5).await;
    let [first, second] =
        [shop.submit(one(1, 77, 1)).await.unwrap(), shop.submit(one(2, 77, 1)).await.unwrap()];
    assert_ne!(first.order_no, second.order_no);
    assert_eq!(shop.metrics().duplicates, 0);
}
