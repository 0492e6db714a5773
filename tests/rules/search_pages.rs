//! Pages of a search: none is skipped or repeated while orders arrive and change, and while the source changes.

use std::collections::BTreeSet;

use stockade::domain::search::{Sort, SortKey};
use stockade::{OrderNo, Search, SearchMode, SearchSource};

use crate::desk::{Random, act, place};
use crate::search_filters::open;
use crate::store::DiskShop;
use crate::support::*;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pages_neither_skip_nor_repeat_while_orders_arrive_and_change_and_the_source_changes() {
    let dir = tempfile::tempdir().unwrap();
    let mut random = Random(11);
    let shop = open(dir.path()).await;
    let (mut receipts, mut teams) = (Vec::new(), Vec::new());
    for request in 1..=60 {
        receipts.push(place(&shop, &mut random, request, &mut teams).await);
    }
    let there: BTreeSet<OrderNo> = receipts.iter().map(|receipt| receipt.order_no).collect();
    for descending in [true, false] {
        let sort = Sort { key: SortKey::Created, descending };
        let mut search = Search { sort, len_max: 7, fresh: true, ..Search::default() };
        let mut seen = Vec::new();
        let mut sources = BTreeSet::new();
        for page in 0.. {
            // The index is switched off for every third page: the same cursor goes on in the store.
            let mode = if page % 3 == 2 { SearchMode::Off } else { SearchMode::On };
            shop.set_search_mode(mode);
            let is_off = mode == SearchMode::Off;
            shop.wait_for_source(if is_off { SearchSource::Store } else { SearchSource::Index }).await;
            let answer = shop.search(&search).await.unwrap();
            sources.insert(answer.source as u8);
            seen.extend(answer.orders.iter().map(|view| view.order_no));
            search.after = answer.next;
            let request = receipts.len() as u128 + 1;
            receipts.push(place(&shop, &mut random, request, &mut teams).await);
            for _ in 0..4 {
                let receipt = receipts[random.below(receipts.len() as u64) as usize];
                act(&shop, &mut random, &receipt).await;
            }
            if search.after.is_none() || seen.len() > 400 {
                break;
            }
        }
        let in_sequence = seen.is_sorted_by(|one, other| (one < other) != descending);
        assert!(in_sequence, "each comes once, in its sequence: {sort:?}");
        let distinct: BTreeSet<OrderNo> = seen.iter().copied().collect();
        assert!(distinct.is_superset(&there), "none is skipped: {sort:?}");
        assert_eq!(sources.len(), 2);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn r12_a_search_of_the_store_looks_at_boundedly_many_orders_and_says_where_to_go_on() {
    const ORDERS: u64 = 20_010;
    let dir = tempfile::tempdir().unwrap();
    let shop = DiskShop::open(dir.path()).await;
    shop.stock_up(1, 100_000, 0).await;
    let mut own = one(1, 1, 1);
    own.external_no = Some("WEB-1".into());
    let first = shop.place(own).await;
    let orders: Vec<_> = (2..=ORDERS).map(|member| one(member, 1, 1)).collect();
    for batch in orders.chunks(2_000) {
        shop.time.advance(10);
        assert!(shop.submit_batch(batch.to_vec()).await.iter().all(Result::is_ok));
    }
    shop.checkpoint().await;

    let none = Search { expr: expr("flag:1"), count: true, ..Search::default() };
    let answer = shop.search(&none).await.unwrap();
    assert!(answer.orders.is_empty() && answer.next.is_some());
    let rest = shop.search(&Search { after: answer.next, ..none }).await.unwrap();
    assert_eq!((rest.orders.len(), rest.next), (0, None));
    let counts = shop.search(&Search { count: true, len_max: 1, ..Search::default() }).await.unwrap().counts;
    let counts = counts.unwrap();
    assert_eq!((counts.total, counts.complete), (20_000, false));

    // What a filter says of where its orders are spares the rest.
    for query in [format!("order:{}", first.order_no), "external:WEB-1".to_owned(), "member:1".to_owned()] {
        let search = Search { expr: expr(&query), count: true, ..Search::default() };
        let answer = shop.search(&search).await.unwrap();
        let found: Vec<_> = answer.orders.iter().map(|view| view.order_no).collect();
        assert_eq!((found, answer.next), (vec![first.order_no], None), "{query}");
        let counts = answer.counts.unwrap();
        assert_eq!((counts.total, counts.complete), (1, true), "{query}");
    }
}
