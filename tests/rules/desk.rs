//! The order desk: every filter gives what a naive scan gives, pages neither skip nor repeat, answers are fresh.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use stockade::domain::hash::mix64;
use stockade::{
    Activity, ActivityItem, ActivityKind, AdjustmentId, Caller, DeskPage, DeskSequence, Engine, MemberFilter,
    Money, OrderFilter, OrderNo, OrderStatus, OrderType, OrderView, Page, PaymentResult, Receipt,
    RefundRequest, RefundStep, Reject, Shipment, Sku, SubmitOrder, TeamChoice, TeamId, TeamTerms,
};

use crate::store::DiskShop;
use crate::support::*;
use crate::verify_command::stockade;

pub(crate) const SKUS: u64 = 4;
pub(crate) const SESSION: u64 = 8;
pub(crate) const CAMPAIGN: u64 = 9;
pub(crate) const MEMBERS: u64 = 12;
const SEQUENCES: [DeskSequence; 3] =
    [DeskSequence::NewestFirst, DeskSequence::OldestFirst, DeskSequence::Any];

/// Random numbers of a seed.
pub(crate) struct Random(pub(crate) u64);

impl Random {
    pub(crate) fn below(&mut self, end: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        mix64(self.0) % end
    }

    pub(crate) fn one_in(&mut self, n: u64) -> bool {
        self.below(n) == 0
    }

    pub(crate) fn some<T>(&mut self, one_in: u64, value: impl FnOnce(&mut Self) -> T) -> Option<T> {
        self.one_in(one_in).then(|| value(self))
    }
}

async fn open(path: &Path) -> DiskShop {
    let shop = DiskShop::open(path).await;
    lay_out(&shop).await;
    shop
}

/// Goods, a session and a campaign.
pub(crate) async fn lay_out(shop: &DiskShop) {
    for id in 1..=SKUS {
        shop.put_sku(Sku { product_id: (id % 2 + 1).into(), ..sku(id) }).await.unwrap();
        shop.adjust_stock(set_total(u128::from(id), id, 10_000)).await.unwrap();
    }
    for (id, kind, team) in [
        (SESSION, ActivityKind::Seckill, None),
        (CAMPAIGN, ActivityKind::GroupBuy, Some(TeamTerms { size: 3, time_limit_ms: 600_000 })),
    ] {
        let items = (1..=2).map(|sku| ActivityItem {
            sku_id: sku.into(),
            price: Money::from_minor(99),
            limit_per_member: 0,
        });
        let activity = Activity {
            id: id.into(),
            kind,
            title: "Tea".into(),
            start_ms: START_MS,
            end_ms: START_MS + 3_600_000,
            items: items.collect(),
            team,
            ..Activity::default()
        };
        shop.put_activity(activity.clone()).await.unwrap();
        for sku in 1..=2_u64 {
            let id = AdjustmentId(u128::from(id * 100 + sku));
            shop.transfer_stock(id, key(sku), activity.stock_key(sku.into()), 2_000).await.unwrap();
        }
    }
}

/// Places an order of any kind.
pub(crate) async fn place(
    shop: &DiskShop,
    random: &mut Random,
    request: u128,
    teams: &mut Vec<TeamId>,
) -> Receipt {
    shop.time.advance(random.below(3_000));
    let member = 1 + random.below(MEMBERS);
    let sku = 1 + random.below(SKUS);
    let order = match random.below(6) {
        0 => SubmitOrder {
            order_type: OrderType::Seckill,
            activity_id: Some(SESSION.into()),
            ..one(member, request, 1 + sku % 2)
        },
        1 => {
            let join = random.some(2, |_| teams.last().copied()).flatten();
            let team = join.map_or(TeamChoice::Open, TeamChoice::Join);
            let order = SubmitOrder {
                order_type: OrderType::GroupBuy,
                activity_id: Some(CAMPAIGN.into()),
                team,
                ..one(member, request, 1 + sku % 2)
            };
            match shop.submit(order.clone()).await {
                Ok(receipt) => {
                    if join.is_none() {
                        teams.push(TeamId(receipt.order_no.get()));
                    }
                    return receipt;
                }
                // The team is full, or the member's own. A refusal sticks to its request.
                Err(_) => one(member, request + (1 << 64), sku),
            }
        }
        2 => basket(member, request, &[(sku, 1), (sku % SKUS + 1, 2)]),
        _ => one(member, request, sku),
    };
    let receipt = shop.place(order).await;
    if receipt.status == OrderStatus::Pending && random.one_in(3) {
        shop.begin_payment(Caller::Operator, receipt.order_no, "wechat").await.unwrap();
    }
    receipt
}

/// Does something to an order, if it is possible.
pub(crate) async fn act(shop: &DiskShop, random: &mut Random, receipt: &Receipt) {
    shop.time.advance(random.below(500));
    let order_no = receipt.order_no;
    match random.below(8) {
        0 | 1 => {
            let paid = shop.pay(payment(receipt, &order_no.to_string())).await.unwrap();
            assert!(matches!(paid.result, PaymentResult::Paid | PaymentResult::RefundRequired(_)));
        }
        2 => drop(shop.cancel(Caller::Operator, order_no).await),
        3 => drop(shop.ship(order_no, Shipment::default()).await),
        4 => drop(shop.confirm(Caller::Operator, order_no).await),
        5 => drop(shop.remark_order(order_no, "look", random.below(3) as u8).await),
        6 => {
            let view = shop.order(Caller::Operator, order_no).await.unwrap();
            let request = RefundRequest {
                request_id: u128::from(random.below(1_000)).into(),
                reason: "bitter".into(),
                lines: vec![(view.lines[0].sku_id, 1)],
                extra: Money::ZERO,
            };
            let _ = shop.apply_refund(Caller::Operator, order_no, request).await;
        }
        _ => {
            let view = shop.order(Caller::Operator, order_no).await.unwrap();
            for refund in view.refunds {
                let _ = shop.approve_refund(refund.refund_no, Vec::new()).await;
                let step = RefundStep::Finished { provider_refund_id: refund.refund_no.to_string().into() };
                let _ = shop.report_refund(refund.refund_no, step).await;
            }
        }
    }
}

/// A filter of anything.
fn any_filter(random: &mut Random, views: &[OrderView], teams: &[TeamId]) -> OrderFilter {
    let instant = |random: &mut Random| views[random.below(views.len() as u64) as usize].created_at_ms;
    OrderFilter {
        member: random.some(4, |random| (1 + random.below(MEMBERS)).into()),
        statuses: random
            .some(2, |random| OrderStatus::ALL.into_iter().filter(|_| random.one_in(2)).collect())
            .unwrap_or_default(),
        order_type: random.some(4, |random| OrderType::ALL[random.below(3) as usize]),
        activity: random.some(5, |random| [SESSION, CAMPAIGN][random.below(2) as usize].into()),
        sku: random.some(4, |random| (1 + random.below(SKUS)).into()),
        product: random.some(4, |random| (1 + random.below(3)).into()),
        team: random.some(8, |random| teams[random.below(teams.len() as u64) as usize]),
        created_from_ms: random.some(3, instant),
        created_until_ms: random.some(3, instant),
        paid_from_ms: random.some(5, instant),
        paid_until_ms: random.some(5, instant),
        flag: random.some(4, |random| random.below(3) as u8),
        has_open_refund: random.some(4, |random| random.one_in(2)),
        payment_started: random.one_in(6),
    }
}

/// Whether an order passes, by what anybody may see of it.
fn passes(filter: &OrderFilter, view: &OrderView) -> bool {
    let paid = view.timeline.iter().find(|entry| entry.event == "OrderPaid").map(|entry| entry.at_ms);
    let of_terms = view.terms.as_ref().map(|terms| terms.activity_id).filter(|activity| activity.0 != 0);
    let activities: BTreeSet<_> = view
        .lines
        .iter()
        .map(|line| line.key.activity)
        .filter(|activity| activity.0 != 0)
        .chain(of_terms)
        .collect();
    let checks = [
        filter.member.is_none_or(|member| view.member_id == member),
        filter.statuses.is_empty() || filter.statuses.contains(&view.status),
        filter.order_type.is_none_or(|order_type| view.order_type == order_type),
        filter.activity.is_none_or(|activity| activities.contains(&activity)),
        filter.sku.is_none_or(|sku| view.lines.iter().any(|line| line.sku_id == sku)),
        filter.product.is_none_or(|product| view.lines.iter().any(|line| line.sku_id.0 % 2 + 1 == product.0)),
        filter.team.is_none_or(|team| view.team == Some(team)),
        filter.created_from_ms.is_none_or(|from_ms| view.created_at_ms >= from_ms),
        filter.created_until_ms.is_none_or(|until_ms| view.created_at_ms < until_ms),
        filter.paid_from_ms.is_none_or(|from_ms| paid.is_some_and(|paid| paid >= from_ms)),
        filter.paid_until_ms.is_none_or(|until_ms| paid.is_some_and(|paid| paid < until_ms)),
        filter.flag.is_none_or(|flag| view.flag == flag),
        filter
            .has_open_refund
            .is_none_or(|open| view.refunds.iter().any(|refund| !refund.state.is_over()) == open),
        !filter.payment_started
            || (view.status == OrderStatus::Pending && view.attempts.iter().any(|attempt| !attempt.is_void)),
    ];
    checks.into_iter().all(|check| check)
}

/// All orders that a filter lets pass, page by page.
async fn all(
    engine: &Engine,
    filter: &OrderFilter,
    sequence: DeskSequence,
    len_max: usize,
) -> Vec<OrderView> {
    let mut found = Vec::new();
    let mut after = None;
    loop {
        let page = engine.find_orders(filter, DeskPage { after, sequence, len_max }).await.unwrap();
        assert!(page.orders.len() <= len_max && page.scanned <= 20_001);
        found.extend(page.orders);
        after = page.next;
        if after.is_none() {
            return found;
        }
    }
}

pub(crate) async fn views(engine: &Engine, receipts: &[Receipt]) -> Vec<OrderView> {
    let mut views = Vec::new();
    for receipt in receipts {
        views.push(engine.order(Caller::Operator, receipt.order_no).await.unwrap());
    }
    views.sort_by_key(|view| view.order_no);
    views
}

/// Compares filters of all kinds with a scan over everything.
async fn check(shop: &DiskShop, random: &mut Random, receipts: &[Receipt], teams: &[TeamId]) -> usize {
    let views = views(shop, receipts).await;
    let mut hits = 0;
    for round in 0..20 {
        let filter = if round == 0 { OrderFilter::default() } else { any_filter(random, &views, teams) };
        let wanted: Vec<_> = views.iter().filter(|view| passes(&filter, view)).cloned().collect();
        hits += usize::from(!wanted.is_empty());
        for sequence in SEQUENCES {
            let len_max = [7 + random.below(30) as usize, 200][random.below(2) as usize];
            let mut found = all(shop, &filter, sequence, len_max).await;
            match sequence {
                DeskSequence::NewestFirst => found.reverse(),
                DeskSequence::OldestFirst => {}
                DeskSequence::Any => found.sort_by_key(|view| view.order_no),
            }
            let numbers = |views: &[OrderView]| views.iter().map(|view| view.order_no).collect::<Vec<_>>();
            assert_eq!(numbers(&found), numbers(&wanted), "{filter:?} {sequence:?}");
            assert_eq!(found, wanted, "{filter:?}");
        }
    }
    check_members(shop, random, &views).await;
    hits
}

/// Compares members' filtered lists and counts with a scan over everything.
async fn check_members(shop: &DiskShop, random: &mut Random, views: &[OrderView]) {
    for member in 1..=MEMBERS {
        let own: Vec<&OrderView> = views.iter().rev().filter(|view| view.member_id.0 == member).collect();
        let counts = shop.count_orders_of(member).await.unwrap();
        assert_eq!((counts.total, counts.complete), (own.len() as u64, true));
        let mut by_status = BTreeMap::new();
        let mut by_type = BTreeMap::new();
        for view in &own {
            *by_status.entry(view.status.name()).or_insert(0) += 1;
            *by_type.entry(view.order_type.name()).or_insert(0) += 1;
        }
        let named: BTreeMap<_, _> =
            counts.by_status.iter().map(|(status, count)| (status.name(), *count)).collect();
        assert_eq!(named, by_status);
        let named: BTreeMap<_, _> =
            counts.by_type.iter().map(|(order_type, count)| (order_type.name(), *count)).collect();
        assert_eq!(named, by_type);

        let OrderFilter { statuses, order_type, created_from_ms, created_until_ms, .. } =
            any_filter(random, views, &[TeamId(1)]);
        let filter = MemberFilter { statuses, order_type, created_from_ms, created_until_ms };
        let as_desk = OrderFilter {
            statuses: filter.statuses.clone(),
            order_type,
            created_from_ms,
            created_until_ms,
            ..OrderFilter::default()
        };
        let wanted: Vec<OrderNo> =
            own.iter().filter(|view| passes(&as_desk, view)).map(|view| view.order_no).collect();
        let mut found = Vec::new();
        let mut before = None;
        loop {
            let page = shop.orders_of_filtered(member, &filter, Page { before, len_max: 3 }).await.unwrap();
            assert!(page.orders.len() <= 3);
            found.extend(page.orders.iter().map(|view| view.order_no));
            before = page.next;
            if before.is_none() {
                break;
            }
        }
        assert_eq!(found, wanted, "{filter:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_filter_gives_what_a_scan_gives_also_after_a_restart() {
    for seed in 0..2 {
        let dir = tempfile::tempdir().unwrap();
        let mut random = Random(seed);
        let mut shop = open(dir.path()).await;
        let (mut receipts, mut teams, mut hits) = (Vec::new(), Vec::new(), 0);
        for round in 0..2 {
            for _ in 0..60 {
                let request = receipts.len() as u128 + 1;
                receipts.push(place(&shop, &mut random, request, &mut teams).await);
                for _ in 0..2 {
                    let receipt = receipts[random.below(receipts.len() as u64) as usize];
                    act(&shop, &mut random, &receipt).await;
                }
            }
            hits += check(&shop, &mut random, &receipts, &teams).await;
            shop = shop.reopen(dir.path(), round == 0, |config| config).await;
            hits += check(&shop, &mut random, &receipts, &teams).await;
        }
        assert!(hits > 20, "{hits} of 80 filters let something pass");
        shop.end(dir.path(), true).await;
        let (code, stdout, stderr) = stockade(&["verify", "--data", dir.path().to_str().unwrap()]);
        assert_eq!(code, 0, "{stdout}{stderr}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pages_neither_skip_nor_repeat_while_orders_arrive_and_change() {
    let dir = tempfile::tempdir().unwrap();
    let mut random = Random(7);
    let shop = open(dir.path()).await;
    let (mut receipts, mut teams) = (Vec::new(), Vec::new());
    for request in 1..=80 {
        receipts.push(place(&shop, &mut random, request, &mut teams).await);
    }
    let there: BTreeSet<OrderNo> = receipts.iter().map(|receipt| receipt.order_no).collect();
    for sequence in SEQUENCES {
        let mut seen = Vec::new();
        let mut after = None;
        loop {
            let page = DeskPage { after, sequence, len_max: 7 };
            let answer = shop.find_orders(&OrderFilter::default(), page).await.unwrap();
            seen.extend(answer.orders.iter().map(|view| view.order_no));
            after = answer.next;
            // Orders come, and those on pages to come move from one table to another.
            let request = receipts.len() as u128 + 1;
            receipts.push(place(&shop, &mut random, request, &mut teams).await);
            for _ in 0..4 {
                let receipt = receipts[random.below(receipts.len() as u64) as usize];
                act(&shop, &mut random, &receipt).await;
            }
            if after.is_none() || seen.len() > 400 {
                break;
            }
        }
        let distinct: BTreeSet<OrderNo> = seen.iter().copied().collect();
        assert_eq!(distinct.len(), seen.len(), "none is repeated: {sequence:?}");
        assert!(distinct.is_superset(&there), "none is skipped: {sequence:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_acknowledged_is_in_the_list() {
    let dir = tempfile::tempdir().unwrap();
    let (clock, _time) = stockade::runtime::clock::Clock::manual(START_MS);
    // The store takes in nothing by itself.
    let engine = Engine::open(config_in(dir.path(), &clock).checkpoint_interval_ms(3_600_000)).await.unwrap();
    engine.put_sku(sku(1)).await.unwrap();
    engine.adjust_stock(set_total(1, 1, 100)).await.unwrap();
    for request in 1..=20 {
        let receipt = engine.submit(one(request, u128::from(request), 1)).await.unwrap();
        let acknowledged = engine.metrics().acknowledged;
        let page = DeskPage { len_max: 1, ..DeskPage::default() };
        let answer = engine.find_orders(&OrderFilter::default(), page).await.unwrap();
        assert_eq!(answer.orders.len(), 1);
        assert!(answer.as_of >= acknowledged);
        let all = all(&engine, &OrderFilter::default(), DeskSequence::Any, 200).await;
        assert!(all.iter().any(|view| view.order_no == receipt.order_no));
        engine.cancel(Caller::Operator, receipt.order_no).await.unwrap();
        let cancelled = OrderFilter { statuses: vec![OrderStatus::Cancelled], ..OrderFilter::default() };
        assert_eq!(
            self::all(&engine, &cancelled, DeskSequence::NewestFirst, 200).await.len() as u64,
            request
        );
    }
    engine.shutdown().await.unwrap();
    let closed = engine.find_orders(&OrderFilter::default(), DeskPage::default()).await;
    assert_eq!(closed.err(), Some(Reject::Unavailable));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_order_whose_number_runs_ahead_of_the_clock_is_found_by_its_time() {
    let dir = tempfile::tempdir().unwrap();
    let mut shop = DiskShop::open(dir.path()).await;
    shop.stock_up(1, 10, 0).await;
    // Each opening reserves numbers behind those of the one before, and time stands still.
    for _ in 0..6 {
        shop = shop.reopen(dir.path(), false, |config| config).await;
    }
    let receipt = shop.place(one(1, 1, 1)).await;
    let created_ms = shop.order(Caller::Operator, receipt.order_no).await.unwrap().created_at_ms;
    let number_ms = receipt.order_no.time_ms() + stockade::domain::ids::ORDER_NO_EPOCH_MS;
    assert!(number_ms > created_ms + 60_000, "the number is ahead by {} ms", number_ms - created_ms);
    let filter = OrderFilter {
        created_from_ms: Some(created_ms),
        created_until_ms: Some(created_ms + 1),
        ..OrderFilter::default()
    };
    for sequence in SEQUENCES {
        assert_eq!(all(&shop, &filter, sequence, 10).await.len(), 1);
    }
}

#[tokio::test]
async fn without_a_store_the_desk_says_so_and_members_lists_work() {
    let shop = Shop::open().await;
    shop.stock_up(1, 10).await;
    let first = shop.submit(one(7, 1, 1)).await.unwrap();
    shop.submit(one(7, 2, 1)).await.unwrap();
    let refused = shop.find_orders(&OrderFilter::default(), DeskPage::default()).await;
    assert_eq!(refused.err(), Some(Reject::NoStore));
    shop.cancel(Caller::Operator, first.order_no).await.unwrap();
    let filter = MemberFilter { statuses: vec![OrderStatus::Cancelled], ..MemberFilter::default() };
    let page = shop.orders_of_filtered(7, &filter, Page::default()).await.unwrap();
    assert_eq!(page.orders.iter().map(|view| view.order_no).collect::<Vec<_>>(), [first.order_no]);
    let counts = shop.count_orders_of(7).await.unwrap();
    assert_eq!((counts.of_status(OrderStatus::Pending), counts.of_type(OrderType::Normal)), (1, 2));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn r12_pages_look_at_boundedly_many_orders_and_say_where_to_go_on() {
    const OF_ONE: u128 = 10_005;
    const OF_ALL: u64 = 20_010;
    let dir = tempfile::tempdir().unwrap();
    let shop = DiskShop::open(dir.path()).await;
    shop.stock_up(1, 100_000, 0).await;
    let first = shop.place(one(1, 1, 1)).await;
    let mut orders: Vec<_> = (2..=OF_ONE).map(|request| one(1, request, 1)).collect();
    orders.extend((2..).map(|member| one(member, 1, 1)).take(OF_ALL as usize - OF_ONE as usize));
    for batch in orders.chunks(2_000) {
        shop.time.advance(10);
        assert!(shop.submit_batch(batch.to_vec()).await.iter().all(Result::is_ok));
    }
    shop.checkpoint().await;

    let oldest = OrderFilter {
        created_until_ms: Some(first_created(&shop, first.order_no).await + 1),
        ..OrderFilter::default()
    };
    let none = OrderFilter { flag: Some(1), ..OrderFilter::default() };
    for sequence in SEQUENCES {
        let page = DeskPage { after: None, sequence, len_max: 200 };
        let answer = shop.find_orders(&none, page).await.unwrap();
        assert!(answer.orders.is_empty() && answer.next.is_some() && answer.scanned == 20_000);
        let rest = shop.find_orders(&none, DeskPage { after: answer.next, ..page }).await.unwrap();
        assert_eq!((rest.orders.len(), rest.next, rest.scanned), (0, None, OF_ALL - 20_000));
        let found = all(&shop, &oldest, sequence, 200).await;
        assert_eq!(found.iter().map(|view| view.order_no).collect::<Vec<_>>(), [first.order_no]);
    }

    let counts = shop.count_orders_of(1).await.unwrap();
    assert_eq!((counts.total, counts.complete), (10_000, false));
    let counts = shop.count_orders_of(2).await.unwrap();
    assert_eq!((counts.total, counts.complete), (1, true));
    let filter = MemberFilter { created_until_ms: oldest.created_until_ms, ..MemberFilter::default() };
    let page = shop.orders_of_filtered(1, &filter, Page::default()).await.unwrap();
    assert!(page.orders.is_empty() && page.next.is_some());
    let rest = shop.orders_of_filtered(1, &filter, Page { before: page.next, len_max: 5 }).await.unwrap();
    assert_eq!((rest.orders.len(), rest.orders[0].order_no, rest.next), (1, first.order_no, None));
}

async fn first_created(shop: &DiskShop, order_no: OrderNo) -> u64 {
    shop.order(Caller::Operator, order_no).await.unwrap().created_at_ms
}
