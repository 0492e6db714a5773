//! What is searched for: every kind of query that the back office sends, with few hits and with many.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use stockade::domain::search::{
    Cursor, Expr, SearchCursor, Sort, SortKey, Span, TextField, TextKind, TextTerm,
};
use stockade::{Engine, OrderNo, OrderStatus, Search};

use super::check::{count, from_index, search_for};
use crate::Failure;
use crate::acked::Problems;
use crate::described::{self, THINGS};
use crate::latency::Latencies;
use crate::plan::Random;

/// A query with more hits than this is one with many.
pub(crate) const FEW_MAX: u64 = 100_000;
/// Orders on a page.
const PAGE_LEN: usize = 20;
/// Different queries of each kind.
const VARIANTS: u64 = 8;

/// Kinds of queries. Their names are those of the figures.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A word that one title has.
    Model,
    /// Words of a twentieth of the titles, in Chinese and English.
    Words,
    /// A name, which is a phrase of characters.
    Receiver,
    /// The end of a phone number.
    Phone,
    /// The beginning of a word.
    Prefix,
    /// One member's orders.
    Member,
    /// One SKU in one state.
    Filter,
    /// One state, which many are in.
    Status,
    /// Times and amounts.
    Range,
    /// By amount, the greatest first.
    Sorted,
    /// All hits counted.
    Counted,
    /// A page far down.
    Deep,
}

impl Kind {
    pub(crate) const ALL: [Self; 12] = [
        Self::Model,
        Self::Words,
        Self::Receiver,
        Self::Phone,
        Self::Prefix,
        Self::Member,
        Self::Filter,
        Self::Status,
        Self::Range,
        Self::Sorted,
        Self::Counted,
        Self::Deep,
    ];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Model => "model",
            Self::Words => "words",
            Self::Receiver => "receiver",
            Self::Phone => "phone",
            Self::Prefix => "prefix",
            Self::Member => "member",
            Self::Filter => "filter",
            Self::Status => "status",
            Self::Range => "range",
            Self::Sorted => "sorted",
            Self::Counted => "counted",
            Self::Deep => "deep",
        }
    }
}

/// What the orders are that are searched.
#[derive(Clone, Debug)]
pub(crate) struct Corpus {
    pub(crate) seed: u64,
    pub(crate) orders: u64,
    pub(crate) skus: u64,
    pub(crate) members: u64,
    /// When the first and the last of them were placed, in ms since the Unix epoch.
    pub(crate) created_ms: (u64, u64),
    /// Some of their numbers.
    pub(crate) order_nos: Vec<OrderNo>,
}

fn text(field: Option<TextField>, text: &str, kind: TextKind) -> Expr {
    Expr::Text(TextTerm { field, text: text.into(), kind })
}

/// The n-th query of a kind.
fn query(kind: Kind, n: u64, corpus: &Corpus) -> Search {
    let mut random = Random::new(corpus.seed ^ 6, n * 16 + kind as u64);
    let sku = random.below(corpus.skus) + 1;
    let buyer = random.below(corpus.orders);
    let (thing_zh, thing) = THINGS[random.below(THINGS.len() as u64) as usize];
    let (from_ms, until_ms) = corpus.created_ms;
    let expr = match kind {
        Kind::Model => text(None, &described::model(sku), TextKind::Words),
        Kind::Words if n.is_multiple_of(2) => text(Some(TextField::Title), thing_zh, TextKind::Words),
        Kind::Words => text(None, thing, TextKind::Words),
        Kind::Receiver => {
            text(Some(TextField::Receiver), &described::receiver(corpus.seed, buyer).name, TextKind::Phrase)
        }
        Kind::Phone => {
            let phone = described::receiver(corpus.seed, buyer).phone;
            text(Some(TextField::Phone), &phone[phone.len() - 6..], TextKind::Words)
        }
        Kind::Prefix => text(Some(TextField::Title), &described::model(sku)[..5], TextKind::Prefix),
        Kind::Member => Expr::Member(random.below(corpus.members).into()),
        Kind::Filter => Expr::And(vec![Expr::Sku(sku.into()), Expr::Status(OrderStatus::Completed)]),
        Kind::Status | Kind::Deep => Expr::Status(OrderStatus::Completed),
        Kind::Range => {
            let tenth = (until_ms - from_ms) / 10;
            let from = from_ms + random.below(9) * tenth;
            Expr::And(vec![
                Expr::Created(Span { from: Some(from), until: Some(from + tenth) }),
                Expr::Amount(Span { from: Some(20_000), until: Some(60_000) }),
            ])
        }
        Kind::Sorted => Expr::Or(vec![Expr::Status(OrderStatus::Completed), Expr::Status(OrderStatus::Paid)]),
        Kind::Counted => Expr::Not(Box::new(Expr::Status(OrderStatus::Cancelled))),
    };
    let key = if kind == Kind::Sorted { SortKey::Amount } else { SortKey::Created };
    let sort = Sort { key, descending: true };
    let far = corpus.order_nos.get(buyer as usize % corpus.order_nos.len().max(1));
    let after = far.filter(|_| kind == Kind::Deep).map(|order_no| {
        let place = Cursor { key: order_no.get() as i64, order_no: *order_no };
        SearchCursor { sort, place }
    });
    Search { sort, after, count: kind == Kind::Counted, ..search_for(expr, PAGE_LEN) }
}

/// A query, with what is known about it.
#[derive(Clone, Debug)]
pub(crate) struct Prepared {
    kind: Kind,
    search: Search,
    /// Hits when it was prepared.
    hits: u64,
}

/// Queries of all kinds, each with its hits.
pub(crate) async fn prepare(engine: &Engine, corpus: &Corpus) -> Result<Vec<Prepared>, Failure> {
    let mut prepared = Vec::new();
    for kind in Kind::ALL {
        for n in 0..VARIANTS {
            let search = query(kind, n, corpus);
            let (hits, _) = count(engine, search.expr.clone()).await?;
            prepared.push(Prepared { kind, search, hits });
        }
    }
    Ok(prepared)
}

/// How long queries took.
pub(crate) struct Timed {
    pub(crate) few: Latencies,
    pub(crate) many: Latencies,
    pub(crate) by_kind: Vec<(Kind, Latencies)>,
    pub(crate) stop: AtomicBool,
}

impl Timed {
    pub(crate) fn new() -> Self {
        let one = || Latencies::with_shards(1);
        Self {
            few: one(),
            many: one(),
            by_kind: Kind::ALL.map(|kind| (kind, one())).into(),
            stop: AtomicBool::new(false),
        }
    }

    /// One client: a query of each kind in turn, until it is told to stop.
    pub(crate) async fn client(
        self: Arc<Self>,
        client: u64,
        engine: Engine,
        prepared: Arc<Vec<Prepared>>,
    ) -> (u64, Problems) {
        let mut problems = Problems::default();
        let mut random = Random::new(client, 12);
        let mut asked = 0;
        while !self.stop.load(Ordering::Relaxed) {
            let Prepared { kind, search, hits } = &prepared[random.below(prepared.len() as u64) as usize];
            let started = Instant::now();
            let answer = from_index(&engine, search).await;
            let took = started.elapsed();
            asked += 1;
            if let Err(error) = answer {
                problems.add(|| format!("{}: {error}", kind.name()));
                continue;
            }
            let class = if *hits <= FEW_MAX { &self.few } else { &self.many };
            class.record(client, took);
            self.by_kind[*kind as usize].1.record(client, took);
        }
        (asked, problems)
    }
}

/// The most hits that queries of a kind have.
pub(crate) fn hits_max(prepared: &[Prepared], kind: Kind) -> u64 {
    prepared
        .iter()
        .filter(|prepared| prepared.kind == kind)
        .map(|prepared| prepared.hits)
        .max()
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn queries_follow_from_the_seed_and_stay_within_the_bounds() {
        let order_nos = vec![OrderNo::from_u64(99).unwrap()];
        let corpus =
            Corpus { seed: 1, orders: 1_000, skus: 50, members: 10, created_ms: (1_000, 9_000), order_nos };
        for kind in Kind::ALL {
            for n in 0..VARIANTS {
                let search = query(kind, n, &corpus);
                assert_eq!(search, query(kind, n, &corpus));
                assert_eq!(search.after.is_some(), kind == Kind::Deep);
                assert_eq!(search.count, kind == Kind::Counted);
            }
        }
        assert_ne!(query(Kind::Model, 0, &corpus), query(Kind::Model, 1, &corpus));
    }

    #[test]
    fn each_kind_has_its_own_figure() {
        for (index, kind) in Kind::ALL.into_iter().enumerate() {
            assert_eq!(kind as usize, index);
        }
        let names: std::collections::BTreeSet<_> = Kind::ALL.map(Kind::name).into_iter().collect();
        assert_eq!(names.len(), Kind::ALL.len());
    }
}
