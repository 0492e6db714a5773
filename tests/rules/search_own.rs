//! A member's own search finds their own orders, whatever it says, and nothing of what only the shop sees (R14).

use stockade::{Caller, Search, SearchMode, SearchSource};

use crate::search_filters::open;
use crate::support::*;

/// Searches that would see more if they could.
const HOSTILE: [&str; 10] = [
    "",
    "amount:*",
    "member:8",
    "member:7 OR member:8",
    "-member:7",
    "sku:1 OR amount:*",
    "-(member:7)",
    "NOT (member:7 OR -member:8)",
    "status:pending,paid,cancelled",
    "-order:1",
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn r14_no_query_makes_a_members_search_find_what_is_not_theirs() {
    let dir = tempfile::tempdir().unwrap();
    let shop = open(dir.path()).await;
    let mut others = Vec::new();
    for request in 1..=6 {
        shop.place(one(7, request, 1)).await;
        others.push(shop.place(one(8, request, 1)).await.order_no);
    }
    let foreign = format!("order:{} OR order:{}", others[0], others[1]);
    for (mode, source) in [(SearchMode::On, SearchSource::Index), (SearchMode::Off, SearchSource::Store)] {
        shop.set_search_mode(mode);
        shop.wait_for_source(source).await;
        let mut found = 0;
        for query in HOSTILE.into_iter().chain([foreign.as_str()]) {
            let search =
                Search { expr: expr(query), len_max: 2, count: true, fresh: true, ..Search::default() };
            let mut own = Search::of_member(7, search);
            loop {
                let answer = shop.search(&own).await.unwrap();
                assert_eq!(answer.source, source);
                assert!(answer.orders.iter().all(|view| view.member_id.0 == 7), "{query}");
                assert!(answer.counts.is_some_and(|counts| counts.total <= 6), "{query}");
                found += answer.orders.len();
                own.after = answer.next;
                if own.after.is_none() {
                    break;
                }
            }
        }
        assert_eq!(found, 6 * 6, "those that let something of their own pass find all of it");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn r14_a_member_cannot_search_by_the_shops_remark_and_mark() {
    let dir = tempfile::tempdir().unwrap();
    let shop = open(dir.path()).await;
    let order_no = shop.place(one(7, 1, 1)).await.order_no;
    shop.remark_order(order_no, "difficult customer", 3).await.unwrap();
    assert_eq!(shop.order(Caller::Operator, order_no).await.unwrap().flag, 3);
    shop.set_search_mode(SearchMode::On);
    shop.wait_for_source(SearchSource::Index).await;
    for query in
        ["flag:3", "note:difficult", "difficult", "\"difficult customer\"", "diffic*", "remark:difficult"]
    {
        let search = Search { expr: expr(query), fresh: true, ..Search::default() };
        let of_shop = shop.search(&search).await.unwrap().orders.len();
        assert_eq!(of_shop, usize::from(query != "remark:difficult"), "{query}");
        let own = shop.search(&Search::of_member(7, search)).await.unwrap();
        assert!(own.orders.is_empty(), "{query}");
    }
    // Nor is it told apart by what is left out.
    for query in ["-flag:3", "-note:difficult", "-flag:0"] {
        let search = Search { expr: expr(query), fresh: true, ..Search::default() };
        assert_eq!(shop.search(&Search::of_member(7, search)).await.unwrap().orders.len(), 1, "{query}");
    }
}
