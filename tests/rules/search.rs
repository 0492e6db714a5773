//! Where searches are answered from, what they refuse, and how fresh they are.

use std::collections::BTreeSet;

use stockade::domain::search::{Cursor, Expr, SearchCursor, Sort, SortKey};
use stockade::personal::Receiver;
use stockade::{Reject, Search, SearchConfig, SearchMode, SearchSource, Sku, SubmitOrder};

use crate::search_filters::open;
use crate::store::DiskShop;
use crate::support::*;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_engine_that_keeps_no_index_answers_filters_and_refuses_words_and_other_sorts() {
    let dir = tempfile::tempdir().unwrap();
    let shop = DiskShop::open(dir.path()).await;
    shop.stock_up(1, 10, 0).await;
    shop.place(one(7, 1, 1)).await;
    assert_eq!(shop.search_mode(), SearchMode::Off, "an embedded engine keeps none by itself");
    let answer = shop.search(&Search { expr: expr("sku:1"), ..Search::default() }).await.unwrap();
    assert_eq!((answer.orders.len(), answer.source), (1, SearchSource::Store));
    assert!(answer.as_of >= shop.metrics().acknowledged);
    for query in ["tea", "sku:1 OR \"green tea\"", "-te*", "sku:1 -(status:paid title:tea)"] {
        let refused = shop.search(&Search { expr: expr(query), ..Search::default() }).await;
        assert_eq!(refused.err(), Some(Reject::SearchWordsUnavailable { is_off: true }), "{query}");
    }
    for key in [SortKey::Paid, SortKey::Amount] {
        let sort = Sort { key, descending: true };
        let refused = shop.search(&Search { sort, ..Search::default() }).await;
        assert_eq!(refused.err(), Some(Reject::SearchSortUnavailable { is_off: true }), "{key:?}");
    }
    let figures = shop.search_figures();
    assert_eq!((figures.is_on, figures.answered), (false, [0, 1]));
}

#[tokio::test]
async fn an_engine_without_a_store_has_nothing_to_search() {
    let shop = Shop::open().await;
    let refused = shop.search(&Search::default()).await;
    assert_eq!(refused.err(), Some(Reject::NoStore));
    shop.shutdown().await.unwrap();
    assert_eq!(shop.search(&Search::default()).await.err(), Some(Reject::Unavailable));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_search_out_of_its_bounds_is_refused_before_anything_is_looked_at() {
    let dir = tempfile::tempdir().unwrap();
    let shop = DiskShop::open(dir.path()).await;
    shop.stock_up(1, 10, 0).await;
    let first = shop.place(one(7, 1, 1)).await;
    let wide = Expr::Or(vec![Expr::All; 5_000]);
    let refused = shop.search(&Search { expr: wide, ..Search::default() }).await;
    assert!(matches!(refused, Err(Reject::SearchTooBroad { .. })), "{refused:?}");

    let place = Cursor { key: 1, order_no: first.order_no };
    for sort in
        [Sort { key: SortKey::Created, descending: false }, Sort { key: SortKey::Amount, descending: true }]
    {
        let after = Some(SearchCursor { sort, place });
        let refused = shop.search(&Search { after, ..Search::default() }).await;
        assert!(matches!(refused, Err(Reject::InvalidField { field: "after", .. })), "{refused:?}");
    }
    for len_max in [0, usize::MAX] {
        let answer = shop.search(&Search { len_max, ..Search::default() }).await.unwrap();
        assert_eq!(answer.orders.len(), 1, "a page length is brought inside");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_acknowledged_is_in_a_fresh_answer() {
    let dir = tempfile::tempdir().unwrap();
    let shop = open(dir.path()).await;
    for (mode, source) in [(SearchMode::On, SearchSource::Index), (SearchMode::Off, SearchSource::Store)] {
        shop.set_search_mode(mode);
        shop.wait_for_source(source).await;
        for request in 1..=10 {
            let member = request as u64 + if mode == SearchMode::On { 0 } else { 100 };
            let receipt = shop.place(one(member, request, 1)).await;
            let acknowledged = shop.metrics().acknowledged;
            let answer = shop.search(&Search { fresh: true, ..Search::default() }).await.unwrap();
            assert!(answer.orders.iter().any(|view| view.order_no == receipt.order_no));
            assert!(answer.as_of >= acknowledged && answer.source == source);
        }
    }
    let figures = shop.search_figures();
    assert!(figures.answered.iter().all(|answered| *answered >= 10), "{figures:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_index_that_is_too_far_behind_is_not_used() {
    let dir = tempfile::tempdir().unwrap();
    let (clock, time) = stockade::runtime::clock::Clock::manual(START_MS);
    // It takes in what there is once an hour, and nothing before.
    let search = SearchConfig {
        mode: SearchMode::Fallback,
        max_lag_ms: 5_000,
        refresh_ms: 10_000,
        ..SearchConfig::default()
    };
    let slow = |config: stockade::Config| config.search(search).checkpoint_interval_ms(3_600_000);
    let shop = DiskShop::open_by(dir.path(), clock, time, slow).await.unwrap();
    shop.stock_up(1, 10, 0).await;
    shop.place(one(7, 1, 1)).await;
    shop.wait_for_source(SearchSource::Index).await;
    let words = Search { expr: expr("tea"), ..Search::default() };
    assert!(shop.search(&words).await.is_ok());
    shop.place(one(7, 2, 1)).await;
    shop.time.advance(6_000);
    shop.set_search_mode(SearchMode::On);
    let refused = shop.search(&Search::default()).await;
    assert!(matches!(refused, Err(Reject::SearchBehind { lag_ms: 6_000 })), "{refused:?}");
    shop.set_search_mode(SearchMode::Fallback);
    assert_eq!(shop.search(&words).await.err(), Some(Reject::SearchWordsUnavailable { is_off: false }));
    let answer = shop.search(&Search::default()).await.unwrap();
    assert_eq!((answer.source, answer.orders.len()), (SearchSource::Store, 2));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn words_find_orders_by_titles_receivers_and_remarks_in_chinese_and_english() {
    let dir = tempfile::tempdir().unwrap();
    let shop = open(dir.path()).await;
    for (id, title) in [(1, "西湖龙井绿茶 250g"), (2, "Green tea, 50 g"), (3, "普洱茶饼")] {
        shop.put_sku(Sku { title: title.into(), ..sku(id) }).await.unwrap();
    }
    let people = [
        (1, "张三", "13812345678", "科技园路 1 号", "请包装成礼物"),
        (2, "李四", "13987654321", "Nanjing Road 88", "gift wrap, please"),
        (3, "王小张", "+86 138-1111-5678", "科技大道 9 号", ""),
    ];
    let mut placed = Vec::new();
    for (sku, name, phone, address, remark) in people {
        let receiver = Receiver {
            name: name.into(),
            phone: phone.into(),
            country: None,
            province: "广东省".into(),
            city: "深圳市".into(),
            district: "南山区".into(),
            address: address.into(),
            postcode: None,
        };
        let order = SubmitOrder {
            personal: Some(receiver.to_personal().unwrap()),
            remark: Some(remark.into()).filter(|_| !remark.is_empty()),
            ..one(sku, 1, sku)
        };
        placed.push(shop.place(order).await.order_no);
    }
    shop.set_search_mode(SearchMode::On);
    shop.wait_for_source(SearchSource::Index).await;
    let cases: [(&str, &[usize]); 22] = [
        ("龙井", &[0]),
        ("绿茶", &[0]),
        ("tea", &[1]),
        ("GREEN tea", &[1]),
        ("\"green tea\"", &[1]),
        ("\"tea green\"", &[]),
        ("gre*", &[1]),
        ("张三", &[0]),
        ("receiver:张", &[0, 2]),
        ("phone:5678", &[0, 2]),
        ("phone：13812345678", &[0]),
        ("5678 -张三", &[2]),
        ("科技", &[0, 2]),
        ("address:深圳", &[0, 1, 2]),
        ("title:深圳", &[]),
        ("gift", &[1]),
        ("remark:礼物", &[0]),
        ("礼物 OR gift", &[0, 1]),
        ("title:(龙井 OR 普洱茶饼) status:pending", &[0, 2]),
        ("深圳 member:2", &[1]),
        ("NOT (tea OR 龙井)", &[2]),
        ("nothing", &[]),
    ];
    for (query, wanted) in cases {
        let answer =
            shop.search(&Search { expr: expr(query), fresh: true, ..Search::default() }).await.unwrap();
        let found: BTreeSet<_> = answer.orders.iter().map(|view| view.order_no).collect();
        assert_eq!(found, wanted.iter().map(|index| placed[*index]).collect(), "{query}");
        // Each of them is somebody's own, and found by them alone.
        for member in 1..=3_usize {
            let search = Search { expr: expr(query), fresh: true, ..Search::default() };
            let own = shop.search(&Search::of_member(member as u64, search)).await.unwrap();
            let found: Vec<_> = own.orders.iter().map(|view| view.order_no).collect();
            let wanted: Vec<_> =
                wanted.iter().filter(|index| **index + 1 == member).map(|index| placed[*index]).collect();
            assert_eq!(found, wanted, "{query} of {member}");
        }
    }
}
