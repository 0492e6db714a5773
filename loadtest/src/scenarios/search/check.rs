//! Whether the index is the store's: every order is in it once, and as it stands.

use std::time::{Duration, Instant};

use stockade::domain::search::{Expr, Sort, SortKey};
use stockade::{
    DESK_PAGE_LEN_MAX, DeskPage, DeskSequence, Engine, OrderFilter, OrderNo, OrderStatus, Reject, Search,
    SearchAnswer, SearchSource,
};

use crate::Failure;
use crate::acked::Problems;
use crate::progress;
use crate::shop::patiently;
use crate::standstill::Standstill;

/// How often it is looked whether the index has caught up.
const POLL: Duration = Duration::from_millis(5);
/// Longest wait for it to go on.
const STALL_MAX: Duration = Duration::from_secs(120);

/// What was compared.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Checked {
    /// Documents that the index says it has.
    pub(crate) documents: u64,
    /// Hits over all pages.
    pub(crate) hits: u64,
    /// Orders that the store lists.
    pub(crate) orders: u64,
    /// How long the pages of hits took, and those of stored orders.
    pub(crate) hits_took: Duration,
    pub(crate) orders_took: Duration,
}

/// A search for everything that an expression is for, oldest first.
pub(crate) fn search_for(expr: Expr, len_max: usize) -> Search {
    Search {
        expr,
        sort: Sort { key: SortKey::Created, descending: false },
        after: None,
        len_max,
        count: false,
        fresh: false,
    }
}

/// Waits until everything that has been appended is searchable. Answers how long that took.
pub(crate) async fn wait_until_searchable(engine: &Engine) -> Result<Duration, Failure> {
    let target = engine.metrics().appended;
    let started = Instant::now();
    let mut standstill = Standstill::new();
    loop {
        let figures = engine.search_figures();
        if figures.is_on && figures.position >= target && !figures.is_rebuilding {
            return Ok(started.elapsed());
        }
        if let Some(failure) = figures.failure {
            return Err(format!("the index has failed: {failure}").into());
        }
        if standstill.see((figures.position, figures.indexed)) > STALL_MAX {
            return Err(
                format!("the index stands still at {}, events go up to {target}", figures.position).into()
            );
        }
        tokio::time::sleep(POLL).await;
    }
}

/// Pages through all hits and all stored orders side by side, and compares the counts by status. Nothing may change
/// meanwhile.
pub(crate) async fn check(engine: &Engine, problems: &mut Problems) -> Result<Checked, Failure> {
    wait_until_searchable(engine).await?;
    let mut hits = Hits { engine, search: Some(search_for(Expr::All, 200)) };
    let (mut merge, mut checked) = (Merge::default(), Checked::default());
    let asked = Instant::now();
    merge.orders_left = stored_orders(engine).await?.into_iter().rev().collect();
    checked.orders_took = asked.elapsed();
    let bar = progress::bar("check", engine.search_figures().documents);
    loop {
        bar.set_position(merge.orders);
        if merge.hits_left.is_empty() {
            let asked = Instant::now();
            merge.hits_left = hits.page().await?.into_iter().rev().collect();
            checked.hits_took += asked.elapsed();
        }
        if merge.hits_left.is_empty() && merge.orders_left.is_empty() {
            break;
        }
        merge.step(problems);
    }
    bar.finish_and_clear();
    check_counts(engine, &merge, problems).await?;
    let documents = engine.search_figures().documents;
    checked = Checked { documents, hits: merge.hits, orders: merge.orders, ..checked };
    if checked.documents != checked.orders {
        problems.add(|| format!("the index has {documents} documents, the store {} orders", checked.orders));
    }
    Ok(checked)
}

/// What the index counts must be what the store has: of all orders at once, and of each status on its own.
async fn check_counts(engine: &Engine, merge: &Merge, problems: &mut Problems) -> Result<(), Failure> {
    let all = count(engine, Expr::All).await?;
    if all != (merge.orders, merge.by_status) {
        problems
            .add(|| format!("the index counts {all:?}, the store has {:?}", (merge.orders, merge.by_status)));
    }
    for status in OrderStatus::ALL {
        let (total, _) = count(engine, Expr::Status(status)).await?;
        let stored = merge.by_status[status as usize];
        if total != stored {
            problems.add(|| format!("{total} hits are {status}, {stored} stored orders"));
        }
    }
    Ok(())
}

/// Hits of an expression, in all and by status.
pub(crate) async fn count(engine: &Engine, expr: Expr) -> Result<(u64, [u64; 6]), Failure> {
    let answer = from_index(engine, &Search { count: true, ..search_for(expr, 1) }).await?;
    let counts = answer.counts.ok_or("hits were to be counted")?;
    if !counts.complete {
        return Err("not all hits were counted".into());
    }
    Ok((counts.total, counts.by_status))
}

/// An answer, which must come from the index.
pub(crate) async fn from_index(engine: &Engine, search: &Search) -> Result<SearchAnswer, Failure> {
    let answer = patiently(|| engine.search(search)).await;
    let answer = answer.map_err(|reject| format!("a search is refused: {}", reject.code()))?;
    if answer.source != SearchSource::Index {
        return Err("a search was answered from the store".into());
    }
    Ok(answer)
}

/// All hits, page by page.
struct Hits<'a> {
    engine: &'a Engine,
    search: Option<Search>,
}

impl Hits<'_> {
    async fn page(&mut self) -> Result<Vec<(OrderNo, OrderStatus)>, Failure> {
        while let Some(search) = self.search.take() {
            let answer = from_index(self.engine, &search).await?;
            self.search = answer.next.map(|next| Search { after: Some(next), ..search });
            if !answer.orders.is_empty() {
                return Ok(answer.orders.iter().map(|order| (order.order_no, order.status)).collect());
            }
        }
        Ok(Vec::new())
    }
}

/// All stored orders, by number. Read in the cheapest sequence and sorted here: 16 bytes each.
async fn stored_orders(engine: &Engine) -> Result<Vec<(OrderNo, OrderStatus)>, Reject> {
    let (all, mut orders, mut next) = (OrderFilter::default(), Vec::new(), Some(None));
    while let Some(after) = next {
        let page = DeskPage { after, sequence: DeskSequence::Any, len_max: DESK_PAGE_LEN_MAX };
        let answer = patiently(|| engine.find_orders(&all, page)).await?;
        orders.extend(answer.orders.iter().map(|order| (order.order_no, order.status)));
        next = answer.next.map(Some);
    }
    orders.sort_unstable_by_key(|(order_no, _)| *order_no);
    Ok(orders)
}

/// Two sequences by order number, held against each other.
#[derive(Debug, Default)]
struct Merge {
    /// The rest of the page of hits, and of all orders, last first.
    hits_left: Vec<(OrderNo, OrderStatus)>,
    orders_left: Vec<(OrderNo, OrderStatus)>,
    last_hit: Option<OrderNo>,
    hits: u64,
    orders: u64,
    /// Of the stored orders.
    by_status: [u64; 6],
}

impl Merge {
    /// Takes the lesser one, or both if they are the same.
    fn step(&mut self, problems: &mut Problems) {
        let (hit, order) = (self.hits_left.last().copied(), self.orders_left.last().copied());
        let takes_hit = match (hit, order) {
            (Some(hit), Some(order)) => hit.0 <= order.0,
            (hit, _) => hit.is_some(),
        };
        let takes_order = match (hit, order) {
            (Some(hit), Some(order)) => order.0 <= hit.0,
            (_, order) => order.is_some(),
        };
        if let Some((order_no, status)) = hit.filter(|_| takes_hit) {
            self.hits_left.pop();
            self.hits += 1;
            if self.last_hit >= Some(order_no) {
                problems.add(|| format!("order {order_no} is found twice, or out of sequence"));
            } else if !takes_order {
                problems.add(|| format!("order {order_no}, {status}, is found and not stored"));
            }
            self.last_hit = Some(order_no);
        }
        if let Some((order_no, status)) = order.filter(|_| takes_order) {
            self.orders_left.pop();
            self.orders += 1;
            self.by_status[status as usize] += 1;
            if !takes_hit {
                problems.add(|| format!("order {order_no}, {status}, is stored and not found"));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn merged(hits: &[u64], orders: &[u64]) -> (Merge, u64) {
        let list = |numbers: &[u64]| {
            let of = |number: &u64| (OrderNo::from_u64(*number).unwrap(), OrderStatus::Paid);
            numbers.iter().rev().map(of).collect::<Vec<_>>()
        };
        let mut merge = Merge { hits_left: list(hits), orders_left: list(orders), ..Merge::default() };
        let mut problems = Problems::default();
        while !merge.hits_left.is_empty() || !merge.orders_left.is_empty() {
            merge.step(&mut problems);
        }
        (merge, problems.total())
    }

    #[test]
    fn equal_lists_pass_and_are_counted() {
        let (merge, problems) = merged(&[1, 2, 5], &[1, 2, 5]);
        assert_eq!((merge.hits, merge.orders, problems), (3, 3, 0));
        assert_eq!(merge.by_status, [0, 3, 0, 0, 0, 0]);
    }

    #[test]
    fn what_is_missing_doubled_or_too_much_is_told_once_each() {
        assert_eq!(merged(&[1, 5], &[1, 2, 5]).1, 1, "missing");
        assert_eq!(merged(&[1, 2, 2, 5], &[1, 2, 5]).1, 1, "doubled");
        assert_eq!(merged(&[1, 2, 3, 5], &[1, 2, 5]).1, 1, "too much");
        assert_eq!(merged(&[], &[1, 2]).1, 2);
        assert_eq!(merged(&[1, 2], &[]).1, 2);
    }
}
