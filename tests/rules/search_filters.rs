//! Searches by filters: every combination gives what a naive scan gives, from the index and from the store, in every
//! sequence, on pages of every length, counts included.

use stockade::domain::search::{Cursor, Expr, SearchCursor, Sort, SortKey, Span};
use stockade::{
    Engine, OrderStatus, OrderType, OrderView, Search, SearchAnswer, SearchConfig, SearchCounts, SearchMode,
    SearchSource, TeamId,
};

use crate::desk::{CAMPAIGN, MEMBERS, Random, SESSION, SKUS, act, lay_out, place, views};
use crate::store::DiskShop;
use crate::support::*;

const SORTS: [SortKey; 3] = [SortKey::Created, SortKey::Paid, SortKey::Amount];

/// A shop that keeps an index, and answers from the store where that one can't.
pub(crate) async fn open(path: &std::path::Path) -> DiskShop {
    let (clock, time) = stockade::runtime::clock::Clock::manual(START_MS);
    let search = SearchConfig {
        mode: SearchMode::Fallback,
        // Time is turned by hand: no index is late by that.
        max_lag_ms: 86_400_000,
        refresh_ms: 10,
        ..SearchConfig::default()
    };
    let shop = DiskShop::open_by(path, clock, time, |config| config.search(search)).await.unwrap();
    lay_out(&shop).await;
    shop
}

impl DiskShop {
    /// Waits until searches are answered from here. Time stands still meanwhile: no order falls due.
    pub(crate) async fn wait_for_source(&self, source: SearchSource) {
        answered(async {
            let search = Search { len_max: 1, fresh: true, ..Search::default() };
            while !self.search(&search).await.is_ok_and(|answer| answer.source == source) {
                tokio::time::sleep(std::time::Duration::from_millis(1)).await;
            }
        })
        .await;
    }
}

/// When an order was paid.
fn paid_at_ms(view: &OrderView) -> Option<u64> {
    view.timeline.iter().find(|entry| entry.event == "OrderPaid").map(|entry| entry.at_ms)
}

/// Whether an order is meant, by what anybody may see of it.
pub(crate) fn means(expr: &Expr, view: &OrderView) -> bool {
    match expr {
        Expr::All => true,
        Expr::And(parts) => parts.iter().all(|part| means(part, view)),
        Expr::Or(parts) => parts.iter().any(|part| means(part, view)),
        Expr::Not(part) => !means(part, view),
        Expr::Text(_) => panic!("there are no words in these searches"),
        Expr::OrderNo(order_no) => view.order_no == *order_no,
        Expr::ExternalNo(external_no) => view.external_no.as_ref() == Some(external_no),
        Expr::Member(member) => view.member_id == *member,
        Expr::Status(status) => view.status == *status,
        Expr::OrderType(order_type) => view.order_type == *order_type,
        Expr::Sku(sku) => view.lines.iter().any(|line| line.sku_id == *sku),
        // As the goods are laid out.
        Expr::Product(product) => view.lines.iter().any(|line| line.sku_id.0 % 2 + 1 == product.0),
        Expr::Activity(activity) => {
            let of_terms = view.terms.as_ref().map(|terms| terms.activity_id);
            let of_lines = view.lines.iter().map(|line| line.key.activity);
            of_lines.chain(of_terms).filter(|found| found.0 != 0).any(|found| found == *activity)
        }
        Expr::Team(team) => view.team == Some(*team),
        Expr::Created(span) => is_in(span, view.created_at_ms),
        Expr::Paid(span) => paid_at_ms(view).is_some_and(|paid_at_ms| is_in(span, paid_at_ms)),
        Expr::Amount(span) => is_in(span, view.pay_amount.minor()),
        Expr::Flag(flag) => view.flag == *flag,
        Expr::OpenRefund(is_open) => view.refunds.iter().any(|refund| !refund.state.is_over()) == *is_open,
        Expr::PaymentStarted => {
            view.status == OrderStatus::Pending && view.attempts.iter().any(|attempt| !attempt.is_void)
        }
    }
}

fn is_in<T: Copy + PartialOrd>(span: &Span<T>, value: T) -> bool {
    !span.from.is_some_and(|from| value < from) && !span.until.is_some_and(|until| value >= until)
}

fn sort_key(view: &OrderView, key: SortKey) -> (i64, u64) {
    let number = view.order_no.get();
    match key {
        SortKey::Created => (number as i64, number),
        SortKey::Paid => (paid_at_ms(view).unwrap_or(0) as i64, number),
        SortKey::Amount => (view.pay_amount.minor(), number),
    }
}

/// A span around a value that some order has.
fn any_span<T>(random: &mut Random, mut value: impl FnMut(&mut Random) -> T) -> Span<T> {
    Span { from: random.some(2, &mut value), until: random.some(2, &mut value) }
}

/// One condition, of any kind.
fn any_leaf(random: &mut Random, views: &[OrderView], teams: &[TeamId]) -> Expr {
    let some = |random: &mut Random| &views[random.below(views.len() as u64) as usize];
    match random.below(16) {
        0 => Expr::Member((1 + random.below(MEMBERS)).into()),
        1..=3 => Expr::Status(OrderStatus::ALL[random.below(6) as usize]),
        4 => Expr::OrderType(OrderType::ALL[random.below(3) as usize]),
        5 => Expr::Sku((1 + random.below(SKUS)).into()),
        6 => Expr::Product((1 + random.below(3)).into()),
        7 => Expr::Activity([SESSION, CAMPAIGN][random.below(2) as usize].into()),
        8 => Expr::Team(teams.get(random.below(6) as usize).copied().unwrap_or(TeamId(1))),
        9 => Expr::Created(any_span(random, |random| some(random).created_at_ms)),
        10 => Expr::Paid(any_span(random, |random| paid_at_ms(some(random)).unwrap_or(0) + random.below(2))),
        11 => Expr::Amount(any_span(random, |random| some(random).pay_amount.minor())),
        12 => Expr::Flag(random.below(3) as u8),
        13 => Expr::OpenRefund(random.one_in(2)),
        14 => Expr::PaymentStarted,
        _ if random.one_in(2) => Expr::OrderNo(some(random).order_no),
        _ => Expr::ExternalNo(
            some(random).external_no.clone().filter(|_| !random.one_in(4)).unwrap_or_else(|| "none".into()),
        ),
    }
}

/// Conditions combined in any way.
pub(crate) fn any_expr(random: &mut Random, views: &[OrderView], teams: &[TeamId], depth: u64) -> Expr {
    let kind = if depth == 0 { 9 } else { random.below(10) };
    let parts = |random: &mut Random| {
        (0..random.below(4)).map(|_| any_expr(random, views, teams, depth - 1)).collect::<Vec<_>>()
    };
    match kind {
        0..=2 => Expr::And(parts(random)),
        3..=5 => Expr::Or(parts(random)),
        6 => Expr::Not(Box::new(any_expr(random, views, teams, depth - 1))),
        7 => Expr::All,
        _ => any_leaf(random, views, teams),
    }
}

/// All orders that a search is for, page by page, with what the pages said of all.
pub(crate) async fn all(
    engine: &Engine,
    search: &Search,
    source: SearchSource,
) -> (Vec<OrderView>, SearchAnswer) {
    let mut search = search.clone();
    let mut found = Vec::new();
    loop {
        let answer = engine.search(&search).await.unwrap();
        assert!(answer.orders.len() <= search.len_max);
        assert_eq!(answer.source, source);
        found.extend(answer.orders.iter().cloned());
        assert!(found.len() < 10_000, "pages that have no end");
        if answer.next.is_none() {
            return (found, answer);
        }
        // As a client brings it back.
        search.after = answer.next.map(|next| next.to_string().parse::<SearchCursor>().unwrap());
    }
}

/// Compares random searches with a scan over everything.
async fn check(
    shop: &DiskShop,
    random: &mut Random,
    views: &[OrderView],
    teams: &[TeamId],
    source: SearchSource,
) -> usize {
    let mut hits = 0;
    for _ in 0..25 {
        let expr = any_expr(random, views, teams, 3);
        let mut wanted: Vec<_> = views.iter().filter(|view| means(&expr, view)).cloned().collect();
        hits += usize::from(!wanted.is_empty() && wanted.len() < views.len());
        let mut counts = SearchCounts { total: wanted.len() as u64, complete: true, ..Default::default() };
        for view in &wanted {
            counts.by_status[view.status as usize] += 1;
            counts.by_type[view.order_type as usize] += 1;
        }
        for key in SORTS {
            if source == SearchSource::Store && key != SortKey::Created {
                continue;
            }
            let sort = Sort { key, descending: random.one_in(2) };
            wanted.sort_by_key(|view| sort_key(view, key));
            if sort.descending {
                wanted.reverse();
            }
            let len_max = [1 + random.below(30) as usize, 200][random.below(2) as usize];
            let search = Search { expr: expr.clone(), sort, len_max, count: true, fresh: true, after: None };
            let (found, last) = all(shop, &search, source).await;
            let numbers = |views: &[OrderView]| views.iter().map(|view| view.order_no).collect::<Vec<_>>();
            assert_eq!(numbers(&found), numbers(&wanted), "{expr} by {sort:?}");
            assert_eq!(found, wanted, "{expr}");
            assert_eq!(last.counts, Some(counts), "{expr}");
        }
    }
    hits
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_combination_of_filters_gives_what_a_scan_gives_from_either_source() {
    for seed in 0..2 {
        println!("seed {seed}");
        let dir = tempfile::tempdir().unwrap();
        let mut random = Random(seed + 100);
        let shop = open(dir.path()).await;
        let (mut receipts, mut teams, mut hits) = (Vec::new(), Vec::new(), 0);
        for round in 0..3_u64 {
            for _ in 0..40 {
                let request = receipts.len() as u128 + 1;
                receipts.push(place(&shop, &mut random, request, &mut teams).await);
                for _ in 0..2 {
                    let receipt = receipts[random.below(receipts.len() as u64) as usize];
                    act(&shop, &mut random, &receipt).await;
                }
            }
            let external = stockade::SubmitOrder {
                external_no: Some(format!("WEB-{round}").into()),
                ..one(1 + round, 1_000_000 + u128::from(round), 1)
            };
            receipts.push(shop.place(external).await);
            let views = views(&shop, &receipts).await;
            for (mode, source) in
                [(SearchMode::On, SearchSource::Index), (SearchMode::Off, SearchSource::Store)]
            {
                shop.set_search_mode(mode);
                shop.wait_for_source(source).await;
                hits += check(&shop, &mut random, &views, &teams, source).await;
            }
        }
        assert!(hits > 40, "{hits} of 150 searches meant some orders and not all of them");
        shop.shutdown().await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cursor_of_the_last_hit_ends_the_pages() {
    let dir = tempfile::tempdir().unwrap();
    let shop = open(dir.path()).await;
    let receipt = shop.place(one(1, 1, 1)).await;
    let place = Cursor { key: receipt.order_no.get() as i64, order_no: receipt.order_no };
    for mode in [SearchMode::On, SearchMode::Off] {
        shop.set_search_mode(mode);
        let source = if mode == SearchMode::On { SearchSource::Index } else { SearchSource::Store };
        shop.wait_for_source(source).await;
        for descending in [false, true] {
            let sort = Sort { key: SortKey::Created, descending };
            let after = Some(SearchCursor { sort, place });
            let search = Search { sort, after, fresh: true, count: true, ..Search::default() };
            let answer = shop.search(&search).await.unwrap();
            assert_eq!((answer.orders.len(), answer.next), (0, None));
            assert_eq!(answer.counts.map(|counts| counts.total), Some(1), "those before the page count, too");
        }
    }
}
