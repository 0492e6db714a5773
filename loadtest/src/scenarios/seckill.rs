//! The flash sale. Buyers come in waves, because what the first ones don't pay for is sold again to later ones; the
//! last wave and the stragglers after it all pay, so that in the end every unit is sold.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use stockade::{Engine, OrderType, Receipt, Reject};
use tokio::task::JoinSet;

use crate::acked::{Ack, AckList, Acknowledged, Fact, Problems};
use crate::cli::SeckillArgs;
use crate::latency::Latencies;
use crate::place::Place;
use crate::plan::{Baskets, Conduct, Plan, Random};
use crate::progress::Follower;
use crate::report::{Report, Tally, per_second};
use crate::{Failure, audit, buyer, shop};

/// Shares of the buyers that come in each wave, in percent. The last wave pays without exception.
const WAVES_PERCENT: [u64; 3] = [80, 15, 5];
/// Units of one SKU that a member may have.
const LIMIT_PER_MEMBER: u32 = 2;
/// Rounds of stragglers for the last units. Each takes all that is left, so a second one is rare.
const SWEEPS_MAX: usize = 20;
/// Longest wait for the last unpaid orders to close, beyond the auto-close delay.
const SETTLE_MAX: Duration = Duration::from_secs(60);
/// How often it is looked whether they have.
const SETTLE_POLL: Duration = Duration::from_millis(10);

/// What a task of buyers brings home.
#[derive(Default)]
struct Gathered {
    tally: Tally,
    acks: AckList,
    problems: Problems,
    /// Refused once, and served when asking again: only a bounded number of refusals is remembered.
    refusals_forgotten: u64,
}

impl Gathered {
    fn add(&mut self, other: Self) {
        self.tally.add(other.tally);
        self.acks.extend(other.acks);
        self.problems.append(other.problems);
        self.refusals_forgotten += other.refusals_forgotten;
    }
}

/// The sale and everybody in it.
struct Sale {
    engine: Engine,
    plan: Plan,
    latencies: Latencies,
    done: Arc<AtomicU64>,
}

/// Buyers who come in this order, to be taken by whoever is free.
struct Queue {
    buyers: Vec<u64>,
    next: AtomicUsize,
    /// Nobody cancels or walks away.
    all_pay: bool,
}

pub(crate) async fn run(args: SeckillArgs) -> Result<Report, Failure> {
    let durability = args.engine.durability;
    let place = Place::new(args.engine.data.as_deref())?;
    // A buyer has up to two commands under way.
    let config = shop::config(place.path(), &args.engine, args.concurrency * 2)
        .auto_close_ms(OrderType::Normal, args.auto_close_ms);
    let engine = Engine::open(config).await?;
    let units_of = |sku: u64| args.units / args.skus + u64::from(sku <= args.units % args.skus);
    shop::stock(&engine, args.skus, LIMIT_PER_MEMBER, units_of).await?;

    let plan = Plan { seed: args.seed, skus: args.skus, baskets: Baskets::Sale };
    let before = engine.metrics();
    let done = Arc::new(AtomicU64::new(0));
    let sale =
        Arc::new(Sale { engine: engine.clone(), plan, latencies: Latencies::new(), done: Arc::clone(&done) });
    let bar = Follower::start("buyers", args.buyers, done);
    let mut arrivals: Vec<u64> = (0..args.buyers).collect();
    Random::new(args.seed, 0).shuffle(&mut arrivals);

    let mut gathered = Gathered::default();
    let mut selling = Duration::ZERO;
    for (wave, percent) in WAVES_PERCENT.into_iter().enumerate() {
        let last = wave + 1 == WAVES_PERCENT.len();
        let len = if last { arrivals.len() } else { (args.buyers * percent / 100) as usize };
        let buyers = arrivals.drain(..len).collect();
        let started = Instant::now();
        gathered.add(sale.serve(buyers, args.concurrency, last).await?);
        selling += started.elapsed();
        sale.settle(args.skus, args.auto_close_ms).await?;
    }
    let served = selling;
    for _ in 0..SWEEPS_MAX {
        let stragglers = sale.stragglers(args.skus, &gathered).await?;
        if stragglers.is_empty() {
            break;
        }
        let started = Instant::now();
        gathered.add(sale.serve(stragglers, args.concurrency, true).await?);
        selling += started.elapsed();
        sale.settle(args.skus, args.auto_close_ms).await?;
    }
    drop(bar);

    let mut report = Report::new("seckill", durability.name(), place.path());
    report.set("seed", args.seed);
    report.set("buyers", args.buyers);
    report.set("units", args.units);
    report.set_orders(&gathered.tally, selling);
    report.set("requests_per_s", per_second(args.buyers, served));
    report.set("refusals_forgotten", gathered.refusals_forgotten);
    report.set_latency(sale.latencies.percentiles());
    let after = engine.metrics();
    report.set_journal(&before, &after);
    report.set("expired", after.expired - before.expired);

    let shown = shop::counters(&engine, args.skus).await?;
    engine.shutdown().await?;
    // The directory is in use for as long as anybody holds the engine.
    drop((engine, sale));
    let sold: u64 = shown.iter().map(|(_, counters)| counters.sold).sum();
    report.set("units_sold", sold);
    if sold != args.units {
        gathered.problems.add(|| format!("{sold} of {} units are sold", args.units));
    }
    if durability.leaves_a_journal() {
        let mut acknowledged = Acknowledged::new(plan);
        acknowledged.extend(gathered.acks);
        // Nobody else has the directory, so it needs no copy.
        let mut audited = audit::audit(place.path(), true, &mut acknowledged)?;
        audited.compare_stock(&shown);
        report.set("cancelled", audited.report.orders.cancelled_member);
        report.set("timed_out", audited.report.orders.cancelled_timeout);
        report.set("refunds_required", audited.report.refunds_required);
        report.set_audit(audited);
    }
    report.add_problems(gathered.problems);
    Ok(report)
}

impl Sale {
    /// Serves buyers in their order, so many at a time.
    async fn serve(
        self: &Arc<Self>,
        buyers: Vec<u64>,
        concurrency: u64,
        all_pay: bool,
    ) -> Result<Gathered, Failure> {
        let queue = Arc::new(Queue { buyers, next: AtomicUsize::new(0), all_pay });
        let mut tasks = JoinSet::new();
        for client in 0..concurrency {
            tasks.spawn(Arc::clone(self).checkout(client, Arc::clone(&queue)));
        }
        let mut gathered = Gathered::default();
        while let Some(finished) = tasks.join_next().await {
            gathered.add(finished?);
        }
        Ok(gathered)
    }

    /// Serves one buyer after the other until there are none left.
    async fn checkout(self: Arc<Self>, client: u64, queue: Arc<Queue>) -> Gathered {
        let mut gathered = Gathered::default();
        loop {
            // Relaxed: the list itself does not change.
            let index = queue.next.fetch_add(1, Ordering::Relaxed);
            let Some(n) = queue.buyers.get(index).copied() else { return gathered };
            let result = self.ask(client, n, &mut gathered).await;
            gathered.tally.note(&result);
            if let Ok(receipt) = result {
                self.conclude(n, &receipt, queue.all_pay, &mut gathered).await;
            }
            self.done.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Sends the n-th buyer's request, some twice.
    async fn ask(&self, client: u64, n: u64, gathered: &mut Gathered) -> Result<Receipt, Reject> {
        let once = async || {
            let asked = Instant::now();
            let result = shop::submit(&self.engine, &self.plan, n).await;
            self.latencies.record(client, asked.elapsed());
            result
        };
        let (first, second) = match self.plan.retry(n) {
            None => return once().await,
            Some(true) => tokio::join!(once(), once()),
            Some(false) => (once().await, once().await),
        };
        match (first, second) {
            (Ok(first), Ok(second)) if first == second => gathered.tally.duplicates += 1,
            (Err(first), Err(second)) if first.code() == second.code() => gathered.tally.duplicates += 1,
            (Err(_), Ok(receipt)) => {
                gathered.refusals_forgotten += 1;
                return Ok(receipt);
            }
            _ => gathered
                .problems
                .add(|| format!("buyer {n} asked twice and was told {first:?}, then {second:?}")),
        }
        first
    }

    async fn conclude(&self, n: u64, receipt: &Receipt, all_pay: bool, gathered: &mut Gathered) {
        let order_no = receipt.order_no;
        let Gathered { acks, problems, .. } = gathered;
        acks.push(Ack { order_no, n, fact: Fact::Placed });
        let conduct = if all_pay { Conduct::Pay } else { self.plan.conduct(n) };
        let note = |fact| acks.push(Ack { order_no, n, fact });
        match buyer::conclude(&self.engine, &self.plan, n, conduct, receipt, note).await {
            // On a stalled machine an order may time out before its buyer gets round to it.
            Ok(()) | Err(Reject::OrderOverdue { .. } | Reject::WrongStatus { .. }) => {}
            Err(reject) => {
                problems.add(|| format!("buyer {n} could not {conduct:?} order {order_no}: {reject}"))
            }
        }
    }

    /// Waits until every order is paid or closed.
    async fn settle(&self, skus: u64, auto_close_ms: u32) -> Result<(), Failure> {
        let until = Instant::now() + Duration::from_millis(auto_close_ms.into()) + SETTLE_MAX;
        loop {
            let counters = shop::counters(&self.engine, skus).await?;
            let open: u64 = counters.iter().map(|(_, counters)| counters.reserved + counters.held).sum();
            if open == 0 {
                return Ok(());
            }
            if Instant::now() > until {
                return Err(
                    format!("{open} units are still reserved, long after their orders' deadlines").into()
                );
            }
            tokio::time::sleep(SETTLE_POLL).await;
        }
    }

    /// A buyer for every unit that is left, who has not been there before.
    async fn stragglers(&self, skus: u64, gathered: &Gathered) -> Result<Vec<u64>, Failure> {
        let mut buyers = Vec::new();
        // Every request before had an answer, so this many numbers are used at most.
        let first = gathered.tally.accepted + gathered.tally.other_rejects;
        for (sku, (_, counters)) in (1_u64..).zip(shop::counters(&self.engine, skus).await?) {
            buyers.extend((first..first + counters.available).map(|index| Plan::sweep(sku, index)));
        }
        Ok(buyers)
    }
}
