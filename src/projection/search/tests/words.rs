//! What words find.

use std::collections::BTreeSet;

use super::*;
use crate::domain::search::{TextField, TextKind, TextTerm};
use crate::projection::search::IndexError;

fn term(field: Option<TextField>, text: &str, kind: TextKind) -> Expr {
    Expr::Text(TextTerm { field, text: text.into(), kind })
}

/// Three orders that differ in their texts; numbers 1 to 3 stand for them.
fn shop(dir: &Path) -> (Index, [u64; 3]) {
    let orders = [
        told(1, "张三丰", "138-1234-5678", "文三路 90 号东部软件园", "请放快递柜"),
        told(2, "John Smith", "+44 20 7946 0958", "灵隐寺 1 号", "Please call before delivery"),
        told(3, "王三", "13900005678", "龙井路 12 号", "不要放快递柜，打电话"),
    ];
    let mut index = create(dir);
    index.put(&orders, Position(0)).unwrap();
    index.commit(Position(3), START_MS).unwrap();
    (index, orders.map(|order| order.order_no.get()))
}

#[test]
fn words_phrases_and_beginnings_find_their_orders() {
    use TextField::{Address, Phone, Receiver, Remark, Title};
    use TextKind::{Phrase, Prefix, Words};
    let dir = tempfile::tempdir().unwrap();
    let (index, numbers) = shop(dir.path());
    let cases: &[(Option<TextField>, &str, TextKind, &[usize])] = &[
        (Some(Receiver), "张三丰", Words, &[1]),
        (Some(Receiver), "张三", Words, &[1]),
        (Some(Receiver), "三", Words, &[1, 3]),
        (Some(Receiver), "三张", Words, &[]),
        (Some(Receiver), "smith JOHN", Words, &[2]),
        (Some(Receiver), "smith john", Phrase, &[]),
        (Some(Receiver), "john smith", Phrase, &[2]),
        (Some(Receiver), "smi", Prefix, &[2]),
        (Some(Phone), "5678", Words, &[1, 3]),
        (Some(Phone), "1234 5678", Words, &[1]),
        (Some(Phone), "13812345678", Words, &[1]),
        (Some(Phone), "678", Words, &[]),
        (Some(Phone), "0958", Words, &[2]),
        (Some(Phone), "138", Prefix, &[]),
        (Some(Address), "杭州市", Words, &[1, 2, 3]),
        (Some(Address), "西湖 灵隐寺", Words, &[2]),
        (Some(Address), "软件园", Words, &[1]),
        (Some(Address), "杭州市西湖区", Phrase, &[1, 2, 3]),
        (Some(Address), "西湖区杭州市", Phrase, &[]),
        (Some(Remark), "快递", Words, &[1, 3]),
        (Some(Remark), "电话", Words, &[3]),
        (Some(Remark), "call before", Phrase, &[2]),
        (Some(Remark), "before call", Phrase, &[]),
        (Some(Remark), "deli", Prefix, &[2]),
        (Some(Remark), "call deli", Prefix, &[2]),
        (None, "5678", Words, &[1, 3]),
        (None, "快递柜", Words, &[1, 3]),
        (None, "张三 快递", Words, &[]),
        (None, "，。", Words, &[]),
        (Some(Title), "nothing like that", Words, &[]),
    ];
    for (field, text, kind, expected) in cases {
        let found = found(&index, &term(*field, text, *kind));
        let mut expected: Vec<u64> = expected.iter().map(|nth| numbers[nth - 1]).collect();
        expected.sort_unstable();
        assert_eq!(found, expected, "{field:?} {kind:?} {text}");
    }
}

#[test]
fn titles_are_found_as_each_line_names_them() {
    let dir = tempfile::tempdir().unwrap();
    let mut index = create(dir.path());
    let orders: Vec<Order> = (1..=60).map(|n| order(n, &mut Random(n))).collect();
    index.put(&orders, Position(0)).unwrap();
    index.commit(Position(60), START_MS).unwrap();
    let cases =
        [("绿茶", 0), ("龙井 50g", 0), ("green tea", 1), ("紫砂壶", 2), ("t shirt", 3), ("oolong", 3)];
    for (text, sku) in cases {
        let has_it = |order: &&Order| order.lines.iter().any(|line| line.key.sku == SkuId(sku));
        let mut expected: Vec<u64> = orders.iter().filter(has_it).map(|order| order.order_no.get()).collect();
        expected.sort_unstable();
        assert!(!expected.is_empty(), "{text}");
        assert_eq!(found(&index, &term(Some(TextField::Title), text, TextKind::Words)), expected, "{text}");
    }
}

/// Goods whose titles change.
struct Revised;

impl Goods for Revised {
    fn sku(&self, sku: SkuId, revision: u32) -> Option<Arc<Sku>> {
        let titles: &[&str] = match sku.0 {
            1 => &["Green tea", "Green tea, large"],
            2 => &["Bamboo tray"],
            _ => return None,
        };
        let title = (*titles.get(revision as usize - 1)?).to_owned();
        Shelf.sku(sku, 1).map(|any| Arc::new(Sku { title, ..(*any).clone() }))
    }

    fn current(&self, sku: SkuId) -> Option<u32> {
        (sku.0 < 3).then_some(if sku.0 == 1 { 2 } else { 1 })
    }

    fn skus_of(&self, _product: ProductId) -> Vec<SkuId> {
        Vec::new()
    }
}

/// By the titles of the revisions that it names, and so after the index is opened again.
#[test]
fn an_order_is_found_by_the_titles_that_its_lines_had() {
    use TextKind::{Phrase, Prefix, Words};
    let dir = tempfile::tempdir().unwrap();
    let lines: [&[(u64, u32)]; 5] = [&[(1, 1)], &[(1, 2)], &[(1, 1), (2, 1)], &[(1, 0)], &[(9, 1)]];
    let orders: Vec<Order> = (1..)
        .zip(lines)
        .map(|(n, lines)| {
            let mut order = order(n, &mut Random(n));
            let first = *order.lines.first().unwrap();
            let of = |&(sku, revision)| Line { key: StockKey::normal(SkuId(sku)), revision, ..first };
            order.lines = Lines::from_vec(lines.iter().map(of).collect());
            order
        })
        .collect();
    let mut index = Index::create(dir.path(), Arc::new(Revised), MEMORY_BYTES).unwrap();
    index.put(&orders, Position(0)).unwrap();
    index.commit(Position(5), START_MS).unwrap();
    let cases: &[(&str, TextKind, &[usize])] = &[
        ("green tea", Words, &[1, 2, 3, 4]),
        ("large", Words, &[2, 4]),
        // Spread over two lines.
        ("tea bamboo", Words, &[3]),
        ("tea bamboo", Phrase, &[]),
        ("bamboo tray", Phrase, &[3]),
        ("green tea large", Phrase, &[2, 4]),
        ("tea bam", Prefix, &[3]),
        ("lar", Prefix, &[2, 4]),
        ("iron", Words, &[]),
        ("tea iron", Words, &[]),
        ("，", Phrase, &[]),
    ];
    let check = |index: &Index| {
        for (text, kind, expected) in cases {
            let mut expected: Vec<u64> = expected.iter().map(|nth| orders[nth - 1].order_no.get()).collect();
            expected.sort_unstable();
            let titles = term(Some(TextField::Title), text, *kind);
            assert_eq!(found(index, &titles), expected, "{kind:?} {text}");
        }
    };
    check(&index);
    index.close().unwrap();
    check(&Index::open(dir.path(), Arc::new(Revised), MEMORY_BYTES).unwrap());
}

#[test]
fn the_shops_remark_is_found_by_itself_and_not_as_the_buyers() {
    let dir = tempfile::tempdir().unwrap();
    let mut index = create(dir.path());
    let mut noted = order(1, &mut Random(1));
    let note = SellerNote { remark: "fragile glass".into(), flag: 2 };
    noted.history.get_or_insert_default().later.get_or_insert_default().note = Some(note);
    index.put(&[noted.clone()], Position(0)).unwrap();
    index.commit(Position(1), START_MS).unwrap();
    for (field, hits) in [(Some(TextField::Note), 1), (None, 1), (Some(TextField::Remark), 0)] {
        let glass = term(field, "glass", TextKind::Words);
        assert_eq!(found(&index, &glass).len(), hits, "{field:?}");
    }
}

#[test]
fn what_is_not_wanted_is_left_out_whatever_it_is() {
    let dir = tempfile::tempdir().unwrap();
    let mut index = create(dir.path());
    let mut random = Random(5);
    let chars = ["张", "三", "丰", "王"];
    let name = |random: &mut Random| {
        (0..2 + random.below(3)).map(|_| chars[random.below(4) as usize]).collect::<String>()
    };
    for batch in 0..4_u64 {
        let orders =
            (1..=200).map(|n| told(batch * 200 + n, &name(&mut random), "13812345678", "文三路", ""));
        index.put(&orders.collect::<Vec<_>>(), Position(batch * 200)).unwrap();
        index.commit(Position(batch * 200 + 200), START_MS).unwrap();
    }
    let all: BTreeSet<u64> = found(&index, &Expr::All).into_iter().collect();
    assert_eq!(all.len(), 800);
    let numbers = |expr: &Expr| found(&index, expr).into_iter().collect::<BTreeSet<u64>>();
    let not = |expr: &Expr| Expr::Not(Box::new(expr.clone()));
    for _ in 0..60 {
        let mut words = || term(Some(TextField::Receiver), &name(&mut random), TextKind::Words);
        let (one, other) = (words(), words());
        let member = Expr::Member(MemberId(random.below(5)));
        for unwanted in [
            one.clone(),
            Expr::And(vec![one.clone(), other.clone()]),
            Expr::Or(vec![one.clone(), other.clone()]),
            Expr::And(vec![one.clone(), not(&other)]),
            Expr::Or(vec![Expr::And(vec![one.clone(), member.clone()]), not(&other)]),
        ] {
            let without = numbers(&unwanted);
            assert_eq!(numbers(&not(&unwanted)), &all - &without, "-({unwanted})");
            let wanted = Expr::And(vec![member.clone(), not(&unwanted)]);
            assert_eq!(numbers(&wanted), &numbers(&member) - &without, "{wanted}");
            let wanted = Expr::And(vec![other.clone(), not(&unwanted)]);
            assert_eq!(numbers(&wanted), &numbers(&other) - &without, "{wanted}");
        }
    }
}

#[test]
fn r12_a_beginning_that_too_many_words_have_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let mut index = create(dir.path());
    let orders: Vec<Order> =
        (1..=1_200).map(|n| told(n, "a", &format!("1{n:04}55555"), "b", &format!("code{n}"))).collect();
    index.put(&orders, Position(0)).unwrap();
    index.commit(Position(1_200), START_MS).unwrap();
    let reader = index.reader();
    let refused = |expr| matches!(reader.find(&expr, &EVERYTHING), Err(IndexError::TooBroad(_)));
    assert!(refused(term(None, "cod", TextKind::Prefix)));
    assert!(refused(term(None, "55555", TextKind::Words)), "the end of too many phone numbers");
    assert_eq!(found(&index, &term(None, "code12", TextKind::Prefix)).len(), 1 + 10 + 1);
    assert_eq!(found(&index, &term(None, "5555", TextKind::Words)).len(), 1_200);
}

#[test]
fn sealed_and_foreign_personal_data_is_not_searched() {
    use crate::domain::request::Personal;
    let dir = tempfile::tempdir().unwrap();
    let mut index = create(dir.path());
    let foreign = [
        Personal::Plain(b"Zebra 13812345678".as_slice().into()),
        Personal::Sealed { key_version: 1, ciphertext: b"Zebra".as_slice().into() },
    ];
    let orders: Vec<Order> = (1_u64..)
        .zip(foreign)
        .map(|(n, personal)| {
            let mut order = order(n, &mut Random(n));
            if let Some(text) = order.extra.text.as_mut() {
                text.personal = Some(personal);
            }
            order
        })
        .collect();
    index.put(&orders, Position(0)).unwrap();
    index.commit(Position(2), START_MS).unwrap();
    for text in ["zebra", "5678"] {
        assert_eq!(found(&index, &term(None, text, TextKind::Words)), [0_u64; 0]);
    }
    assert_eq!(found(&index, &Expr::All).len(), 2);
}
