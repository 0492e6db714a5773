//! The index against orders that are made up from a seed, and a naive reading of the same orders.

mod crash;
mod filters;
mod words;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use super::{Goods, Hits, HitsPage, Index};
use crate::domain::catalogue::Sku;
use crate::domain::event::OrderCreated;
use crate::domain::ids::{
    ActivityId, MemberId, OrderNo, Position, ProductId, RequestId, SkuId, Slot, StockKey, TeamId,
};
use crate::domain::money::Money;
use crate::domain::order::{
    Line, Lines, Order, OrderExtra, OrderHistory, OrderStatus, OrderTerms, OrderText, RefundDue,
    RefundReason, SellerNote, TimelineEntry,
};
use crate::domain::order_type::OrderType;
use crate::domain::search::{Cursor, Expr, Sort, SortKey};
use crate::personal::Receiver;

const START_MS: u64 = 1_800_000_000_000;
const MEMORY_BYTES: usize = 15 << 20;
const TITLES: [&str; 4] = ["西湖龙井绿茶礼盒 50g", "Green tea, 50 g", "紫砂壶（手工）", "Oolong T-shirt"];

/// Four SKUs of two products.
struct Shelf;

impl Goods for Shelf {
    fn sku(&self, sku: SkuId, _revision: u32) -> Option<Arc<Sku>> {
        Some(Arc::new(Sku {
            id: sku,
            product_id: ProductId(sku.0 % 2),
            code: String::new(),
            title: TITLES[sku.0 as usize % 4].to_owned(),
            price: Money::from_minor(100),
            on_sale: true,
            limit_per_member: 0,
        }))
    }

    fn current(&self, _sku: SkuId) -> Option<u32> {
        Some(1)
    }

    fn skus_of(&self, product: ProductId) -> Vec<SkuId> {
        (0..4).map(SkuId).filter(|sku| sku.0 % 2 == product.0).collect()
    }
}

/// Numbers from a seed (SplitMix64).
struct Random(u64);

impl Random {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut word = self.0;
        word = (word ^ (word >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        word = (word ^ (word >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (word ^ (word >> 31)) % bound
    }
}

/// The n-th order, whose first event stands at position n.
fn order(n: u64, random: &mut Random) -> Order {
    let activity = ActivityId(random.below(3));
    let line = |sku| Line {
        key: StockKey { activity, ..StockKey::normal(SkuId(sku)) },
        quantity: 1,
        price: Money::from_minor(100),
        revision: 1,
        limit_per_member: 0,
    };
    let first = random.below(3);
    let lines = if random.below(3) == 0 { vec![line(first), line(first + 1)] } else { vec![line(first)] };
    let member_id = MemberId(random.below(5));
    // Many at one time, so that sorts have ties.
    let at_ms = START_MS + n / 4;
    let team_id = TeamId(random.below(3));
    let terms = OrderTerms { activity_id: activity, team_id, ..OrderTerms::default() };
    let text = OrderText { external_no: Some(format!("W-{n}").into()), ..OrderText::default() };
    let event = OrderCreated {
        order_no: OrderNo::compose(n / 4, Slot::of_member(member_id), n),
        member_id,
        request_id: RequestId::new(u128::from(n)),
        body_hash: 0,
        order_type: OrderType::ALL[random.below(3) as usize],
        at_ms,
        auto_close_ms: 1,
        pay_amount: Money::from_minor(random.below(6) as i64 * 100),
        lines: Lines::from_vec(lines),
        extra: OrderExtra { text: Some(Box::new(text)), terms: Some(Box::new(terms)) },
    };
    let mut order = Order::create(event, Position(n));
    change(&mut order, random);
    order
}

/// Something happens to an order.
fn change(order: &mut Order, random: &mut Random) {
    order.status = OrderStatus::ALL[random.below(6) as usize];
    let mut history = OrderHistory::default();
    if random.below(2) == 0 {
        let at_ms = START_MS + random.below(50);
        history.timeline.push(TimelineEntry { event: "OrderPaid", at_ms, position: order.created_position });
    }
    if random.below(4) == 0 {
        let payment = crate::domain::ids::PaymentId::of("bank", "shop", "1");
        let reason = RefundReason::OrderCancelled;
        history.refunds.push(RefundDue { payment, amount: Money::from_minor(1), reason });
    }
    if random.below(3) == 0 {
        let note = SellerNote { remark: "call first".into(), flag: random.below(4) as u8 };
        history.later.get_or_insert_default().note = Some(note);
    }
    order.history = Some(Box::new(history));
}

/// An order with texts to be found by.
fn told(n: u64, name: &str, phone: &str, address: &str, remark: &str) -> Order {
    let mut order = order(n, &mut Random(n));
    let receiver = Receiver {
        name: name.to_owned(),
        phone: phone.to_owned(),
        country: None,
        province: "浙江省".to_owned(),
        city: "杭州市".to_owned(),
        district: "西湖区".to_owned(),
        address: address.to_owned(),
        postcode: None,
    };
    if let Some(text) = order.extra.text.as_mut() {
        text.personal = Some(receiver.to_personal().unwrap());
        text.remark = Some(remark.into());
    }
    order
}

fn create(dir: &Path) -> Index {
    Index::create(dir, Arc::new(Shelf), MEMORY_BYTES).unwrap()
}

fn open(dir: &Path) -> Index {
    Index::open(dir, Arc::new(Shelf), MEMORY_BYTES).unwrap()
}

const EVERYTHING: HitsPage = HitsPage {
    sort: Sort { key: SortKey::Created, descending: false },
    after: None,
    len_max: 1_000_000,
    count: true,
};

/// The numbers of the orders that an index finds, ascending.
fn found(index: &Index, expr: &Expr) -> Vec<u64> {
    let hits = index.reader().find(expr, &EVERYTHING).unwrap();
    let mut numbers: Vec<u64> = hits.page.iter().map(|hit| hit.order_no.get()).collect();
    numbers.sort_unstable();
    numbers
}

/// What a query should find, by looking at every order.
fn naive<'o>(
    orders: impl IntoIterator<Item = &'o Order>,
    is_meant: impl Fn(&Order) -> bool,
    page: &HitsPage,
) -> Hits {
    let key = |order: &Order| match page.sort.key {
        SortKey::Created => order.order_no.get() as i64,
        SortKey::Paid => order.paid_at_ms().unwrap_or(0) as i64,
        SortKey::Amount => order.pay_amount.minor(),
    };
    let mut hits = Hits::default();
    let mut ranks = Vec::new();
    for order in orders.into_iter().filter(|order| is_meant(order)) {
        ranks.push((key(order), order.order_no));
        if page.count {
            hits.by_status[order.status as usize] += 1;
            hits.by_type[order.order_type as usize] += 1;
        }
    }
    ranks.sort_unstable();
    if page.sort.descending {
        ranks.reverse();
    }
    let is_behind = |rank: &(i64, OrderNo)| match (page.after, page.sort.descending) {
        (None, _) => true,
        (Some(after), false) => *rank > (after.key, after.order_no),
        (Some(after), true) => *rank < (after.key, after.order_no),
    };
    ranks.retain(is_behind);
    hits.more = ranks.len() > page.len_max;
    let hit = |(key, order_no): &(i64, OrderNo)| Cursor { key: *key, order_no: *order_no };
    hits.page = ranks.iter().take(page.len_max).map(hit).collect();
    hits
}

/// Orders by number.
type Orders = BTreeMap<OrderNo, Order>;
