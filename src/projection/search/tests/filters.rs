//! Every filter, sort, page and count, against a look at every order.

use proptest::prelude::*;

use super::*;
use crate::domain::search::{Facts, Span, TextTerm};

/// Goods as the shelf has them; there are no words in these queries.
struct Known;

impl Facts for Known {
    fn is_of(&self, sku: SkuId, product: ProductId) -> bool {
        sku.0 % 2 == product.0
    }

    fn has_words(&self, _order: &Order, _term: &TextTerm) -> bool {
        false
    }
}

fn any_expr(random: &mut Random, depth: u64) -> Expr {
    let span = |random: &mut Random, from: u64, len: u64| Span {
        from: (random.below(2) == 0).then(|| from + random.below(len)),
        until: (random.below(2) == 0).then(|| from + random.below(len)),
    };
    match random.below(if depth == 0 { 15 } else { 20 }) {
        0 => Expr::All,
        1 => {
            let n = random.below(400);
            Expr::OrderNo(OrderNo::compose(n / 4, Slot::of_member(MemberId(random.below(5))), n))
        }
        2 => Expr::ExternalNo(format!("W-{}", random.below(300)).into()),
        3 => Expr::Member(MemberId(random.below(6))),
        4 => Expr::Status(OrderStatus::ALL[random.below(6) as usize]),
        5 => Expr::OrderType(OrderType::ALL[random.below(3) as usize]),
        6 => Expr::Sku(SkuId(random.below(5))),
        7 => Expr::Product(ProductId(random.below(3))),
        8 => Expr::Activity(ActivityId(1 + random.below(3))),
        9 => Expr::Team(TeamId(1 + random.below(3))),
        10 => Expr::Created(span(random, START_MS, 80)),
        11 => Expr::Paid(span(random, START_MS, 60)),
        12 => {
            let Span { from, until } = span(random, 0, 700);
            Expr::Amount(Span { from: from.map(|from| from as i64), until: until.map(|until| until as i64) })
        }
        13 => Expr::Flag(random.below(5) as u8),
        14 => Expr::OpenRefund(random.below(2) == 0),
        15..17 => Expr::Not(Box::new(any_expr(random, depth - 1))),
        joined => {
            let parts = (0..random.below(4)).map(|_| any_expr(random, depth - 1)).collect();
            if joined == 17 { Expr::And(parts) } else { Expr::Or(parts) }
        }
    }
}

fn any_page(random: &mut Random, orders: &Orders) -> HitsPage {
    let keys = [SortKey::Created, SortKey::Paid, SortKey::Amount];
    let sort = Sort { key: keys[random.below(3) as usize], descending: random.below(2) == 0 };
    let mut page =
        HitsPage { sort, after: None, len_max: 1 + random.below(30) as usize, count: random.below(2) == 0 };
    if random.below(2) == 0 {
        let all = naive(orders.values(), |_| true, &HitsPage { len_max: orders.len(), ..page });
        page.after = all.page.get(random.below(all.page.len() as u64 + 1) as usize).copied();
    }
    page
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 12, ..ProptestConfig::default() })]

    #[test]
    fn hits_and_counts_equal_those_of_a_look_at_every_order(seed in any::<u64>()) {
        let random = &mut Random(seed);
        let dir = tempfile::tempdir().unwrap();
        let mut index = create(dir.path());
        let mut orders = Orders::new();
        let mut position = Position(0);
        for _ in 0..6 {
            // New orders, and some of those before once more.
            let up_to = Position(position.0 + 1 + random.below(60));
            let mut batch = Orders::new();
            for n in position.0 + 1..=up_to.0 {
                let order = order(n, random);
                batch.insert(order.order_no, order);
            }
            for order in orders.values().filter(|_| random.below(4) == 0).collect::<Vec<_>>() {
                let mut order = order.clone();
                change(&mut order, random);
                batch.insert(order.order_no, order);
            }
            index.put(&batch.values().cloned().collect::<Vec<_>>(), position).unwrap();
            orders.extend(batch);
            position = up_to;
            if random.below(3) > 0 {
                index.commit(position, START_MS).unwrap();
            }
        }
        index.commit(position, START_MS).unwrap();
        let reader = index.reader();
        prop_assert_eq!(reader.documents(), orders.len() as u64);
        for _ in 0..60 {
            let expr = any_expr(random, 3);
            let page = any_page(random, &orders);
            let found = reader.find(&expr, &page).unwrap();
            let expected = naive(orders.values(), |order| expr.means(order, &Known), &page);
            prop_assert_eq!(found, Hits { as_of: position, ..expected }, "{:?} {:?}", expr, page);
        }
    }
}

#[test]
fn r12_too_many_parts_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let mut index = create(dir.path());
    index.commit(Position(0), START_MS).unwrap();
    let reader = index.reader();
    let wide = Expr::Or(vec![Expr::Flag(1); 2_000]);
    let deep = (0..1_000).fold(Expr::All, |expr, _| Expr::Not(Box::new(expr)));
    for expr in [wide, deep] {
        let error = reader.find(&expr, &EVERYTHING).unwrap_err();
        assert!(matches!(error, crate::projection::search::IndexError::TooBroad(_)), "{error}");
    }
}
