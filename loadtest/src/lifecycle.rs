//! Many orders from their submission to their end, closed loop: submitted in batches, then each of them paid, shipped
//! and confirmed, or cancelled, or left, all of a batch at a time. Never more than so many are open.
//!
//! Nothing is kept of an order but a few samples, so that the memory of the process is the engine's.

use std::ops::Range;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use stockade::{Engine, OrderStatus, Receipt, Reject};
use tokio::task::{JoinError, JoinSet};

use crate::acked::{Fact, Problems};
use crate::plan::{Conduct, Plan};
use crate::progress::Follower;
use crate::report::Tally;
use crate::segments::Segments;
use crate::{Failure, buyer, shop};

/// How often it is looked whether more orders may be opened.
const ENTER_POLL: Duration = Duration::from_millis(1);

/// How orders end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ends {
    /// As the plan has it: some are left to time out.
    Planned,
    /// As the plan has it, but nobody waits for a timeout: who would have left cancels.
    AtOnce,
    /// Wherever they may be: as the plan has it, but a quarter of those that are paid stay so, a quarter are shipped and
    /// stay so, and nobody waits for a timeout.
    Anywhere,
    /// They stay open.
    Never,
}

impl Ends {
    /// What the n-th buyer does with their order.
    fn conduct(self, plan: &Plan, n: u64) -> Conduct {
        match (self, plan.conduct(n)) {
            (Self::Never, _) => Conduct::WalkAway,
            (Self::AtOnce, Conduct::WalkAway) => Conduct::Cancel,
            (_, conduct) => conduct,
        }
    }

    /// What the n-th buyer's order comes to.
    pub(crate) fn status(self, plan: &Plan, n: u64) -> OrderStatus {
        match self.conduct(plan, n) {
            Conduct::Pay | Conduct::StartAndPay => self.delivery(n),
            Conduct::Cancel => OrderStatus::Cancelled,
            Conduct::WalkAway if matches!(self, Self::Never | Self::Anywhere) => OrderStatus::Pending,
            Conduct::WalkAway => OrderStatus::Cancelled,
        }
    }

    /// How far the n-th buyer's order gets once it is paid.
    fn delivery(self, n: u64) -> OrderStatus {
        match (self, n % 4) {
            (Self::Anywhere, 0) => OrderStatus::Paid,
            (Self::Anywhere, 1) => OrderStatus::Shipped,
            _ => OrderStatus::Completed,
        }
    }
}

/// How the orders are driven.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Load {
    pub(crate) clients: u64,
    /// Orders that each client has under way.
    pub(crate) in_flight: u64,
    /// Most orders that are open at a time; at least `in_flight`.
    pub(crate) open_max: u64,
    pub(crate) ends: Ends,
    /// Orders of which the first receipt is kept, spread evenly.
    pub(crate) samples: u64,
}

/// An order that is remembered.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sample {
    pub(crate) n: u64,
    /// The answer to its submission.
    pub(crate) receipt: Receipt,
}

/// What became of the orders.
#[derive(Default)]
pub(crate) struct Lived {
    pub(crate) tally: Tally,
    /// Paid, shipped and received.
    pub(crate) completed: u64,
    /// Most orders that were seen open.
    pub(crate) open_seen: u64,
    pub(crate) samples: Vec<Sample>,
    pub(crate) problems: Problems,
}

impl Lived {
    fn add(&mut self, other: Self) {
        self.tally.add(other.tally);
        self.completed += other.completed;
        self.open_seen = self.open_seen.max(other.open_seen);
        self.samples.extend(other.samples);
        self.problems.append(other.problems);
    }
}

/// Takes the orders of these buyers through their lives; `segments` hears of each batch that has come to its end.
pub(crate) async fn live(
    engine: &Engine,
    plan: Plan,
    buyers: Range<u64>,
    load: Load,
    segments: &Arc<Segments>,
) -> Result<Lived, Failure> {
    let bar = Follower::start("orders", buyers.end - buyers.start, segments.done());
    let lives = Arc::new(Lives {
        engine: engine.clone(),
        plan,
        load,
        next: AtomicU64::new(buyers.start),
        end: buyers.end,
        entrance: Entrance::new(load.open_max),
        segments: Arc::clone(segments),
    });
    let mut tasks = JoinSet::new();
    for _ in 0..load.clients {
        tasks.spawn(Arc::clone(&lives).client());
    }
    let mut lived = Lived::default();
    while let Some(finished) = tasks.join_next().await {
        lived.add(finished??);
    }
    drop(bar);
    Ok(lived)
}

/// What the clients share.
struct Lives {
    engine: Engine,
    plan: Plan,
    load: Load,
    next: AtomicU64,
    end: u64,
    entrance: Entrance,
    segments: Arc<Segments>,
}

impl Lives {
    async fn client(self: Arc<Self>) -> Result<Lived, JoinError> {
        let mut lived = Lived::default();
        while let Some(batch) = self.next_batch() {
            let len = batch.end - batch.start;
            lived.open_seen = lived.open_seen.max(self.enter(len).await);
            let answers = shop::submit_batch(&self.engine, &self.plan, batch).await;
            self.entrance.entered(len);
            let mut ends = JoinSet::new();
            for (n, result) in answers {
                lived.tally.note(&result);
                match result {
                    Ok(receipt) => {
                        if is_sample(n, self.end, self.load.samples) {
                            lived.samples.push(Sample { n, receipt });
                        }
                        let conduct = self.load.ends.conduct(&self.plan, n);
                        if conduct != Conduct::WalkAway {
                            ends.spawn(Arc::clone(&self).end(n, conduct, receipt));
                        }
                    }
                    Err(reject) => lived.problems.add(|| format!("buyer {n} got no order: {reject}")),
                }
            }
            while let Some(finished) = ends.join_next().await {
                match finished? {
                    (_, Ok(OrderStatus::Completed)) => lived.completed += 1,
                    (_, Ok(_)) => {}
                    (n, Err(reject)) => lived
                        .problems
                        .add(|| format!("the order of buyer {n} did not come to its end: {reject}")),
                }
            }
            self.segments.note(len);
        }
        Ok(lived)
    }

    /// The buyers who come next.
    fn next_batch(&self) -> Option<Range<u64>> {
        let first = self.next.fetch_add(self.load.in_flight, Ordering::Relaxed);
        (first < self.end).then(|| first..self.end.min(first + self.load.in_flight))
    }

    /// Waits until so many more orders may be open; returns how many are.
    async fn enter(&self, len: u64) -> u64 {
        loop {
            if let Some(open) = self.entrance.try_enter(len, || self.engine.metrics().open_orders) {
                return open;
            }
            tokio::time::sleep(ENTER_POLL).await;
        }
    }

    /// Takes one order to its end; returns what it has come to.
    async fn end(
        self: Arc<Self>,
        n: u64,
        conduct: Conduct,
        receipt: Receipt,
    ) -> (u64, Result<OrderStatus, Reject>) {
        let mut paid = false;
        let note = |fact| paid |= fact == Fact::Paid;
        match buyer::conclude(&self.engine, &self.plan, n, conduct, &receipt, note).await {
            Ok(()) => {}
            // On a stalled machine an order may time out before its buyer gets round to cancelling it.
            Err(Reject::WrongStatus { .. }) if conduct == Conduct::Cancel => {}
            Err(reject) => return (n, Err(reject)),
        }
        if !paid {
            return (n, Ok(OrderStatus::Cancelled));
        }
        let status = self.load.ends.delivery(n);
        let delivered = match status {
            OrderStatus::Paid => Ok(()),
            OrderStatus::Shipped => buyer::ship(&self.engine, n, &receipt).await,
            _ => buyer::deliver(&self.engine, &self.plan, n, &receipt, |_fact| {}).await,
        };
        (n, delivered.map(|()| status))
    }
}

/// Keeps the number of open orders within its bound. An order that is on its way in counts as open.
struct Entrance {
    open_max: u64,
    entering: Mutex<u64>,
}

impl Entrance {
    fn new(open_max: u64) -> Self {
        Self { open_max, entering: Mutex::new(0) }
    }

    /// Lets so many orders in, if there is room. `open` says how many the engine counts: those that enter are not let
    /// go until it has counted them, so between the two none is missed. Returns that number.
    fn try_enter(&self, len: u64, open: impl FnOnce() -> u64) -> Option<u64> {
        let mut entering = self.entering.lock().unwrap_or_else(PoisonError::into_inner);
        // Within the lock: what enters meanwhile can't be missed by both counts.
        let open = open();
        if open.saturating_add(*entering).saturating_add(len) > self.open_max {
            return None;
        }
        *entering += len;
        Some(open)
    }

    /// So many orders have had their answers: the engine counts them.
    fn entered(&self, len: u64) {
        *self.entering.lock().unwrap_or_else(PoisonError::into_inner) -= len;
    }
}

/// Whether the n-th of so many orders is one of so many samples, spread evenly.
fn is_sample(n: u64, orders: u64, samples: u64) -> bool {
    u128::from(n) * u128::from(samples) % u128::from(orders.max(1)) < u128::from(samples)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::Baskets;

    #[test]
    fn samples_are_spread_evenly() {
        let samples: Vec<u64> = (0..1_000).filter(|n| is_sample(*n, 1_000, 10)).collect();
        assert_eq!(samples, (0..10).map(|index| index * 100).collect::<Vec<_>>());
        assert_eq!((0..999_983).filter(|n| is_sample(*n, 999_983, 10_000)).count(), 10_000);
        assert_eq!((0..10).filter(|n| is_sample(*n, 10, 100)).count(), 10, "no more than there are");
        assert_eq!((0..10).filter(|n| is_sample(*n, 10, 0)).count(), 0);
    }

    #[test]
    fn nobody_enters_beyond_the_bound() {
        let entrance = Entrance::new(100);
        assert_eq!(entrance.try_enter(60, || 0), Some(0));
        assert_eq!(entrance.try_enter(60, || 0), None);
        assert_eq!(entrance.try_enter(40, || 0), Some(0));
        entrance.entered(60);
        assert_eq!(entrance.try_enter(1, || 60), None);
        assert_eq!(entrance.try_enter(10, || 50), Some(50));
    }

    #[test]
    fn orders_end_as_planned_at_once_or_never() {
        let plan = Plan { seed: 1, skus: 4, baskets: Baskets::Regulars { members: 10 } };
        let left = (0..).find(|n| plan.conduct(*n) == Conduct::WalkAway).unwrap();
        let paid = (0..).find(|n| plan.conduct(*n) == Conduct::Pay).unwrap();
        assert_eq!(Ends::Planned.conduct(&plan, left), Conduct::WalkAway);
        assert_eq!(Ends::AtOnce.conduct(&plan, left), Conduct::Cancel);
        assert_eq!(Ends::Never.conduct(&plan, paid), Conduct::WalkAway);
        let status = |ends: Ends| [left, paid].map(|n| ends.status(&plan, n));
        assert_eq!(status(Ends::Planned), [OrderStatus::Cancelled, OrderStatus::Completed]);
        assert_eq!(status(Ends::AtOnce), [OrderStatus::Cancelled, OrderStatus::Completed]);
        assert_eq!(Ends::Anywhere.conduct(&plan, left), Conduct::WalkAway);
        assert_eq!(status(Ends::Anywhere)[0], OrderStatus::Pending);
        let [shipped, kept] =
            [1, 0].map(|rest| (0..).find(|n| plan.conduct(*n) == Conduct::Pay && n % 4 == rest).unwrap());
        assert_eq!(Ends::Anywhere.status(&plan, shipped), OrderStatus::Shipped);
        assert_eq!(Ends::Anywhere.status(&plan, kept), OrderStatus::Paid);
        assert_eq!(status(Ends::Never), [OrderStatus::Pending, OrderStatus::Pending]);
    }
}
