//! A queue that is full and says so: messages are tried again, then become dead letters, and orders go on meanwhile. Then
//! somebody reads the queue, the dead letters are requeued, and everything must have come in sequence.
//!
//! The rate of orders is taken in turns: of an engine without a subscription, of one whose sink takes everything at once, and
//! of one whose subscription is refused. A turn begins when the relay of the one before is done.

use std::ops::Range;
use std::sync::Arc;
use std::time::{Duration, Instant};

use stockade::relay::{RelayError, RetrySpec, SinkSpec, Start, SubscriptionSpec, SubscriptionStatus};
use stockade::{Engine, Relay};

use super::child::{config, plan, stock};
use super::services::{rabbit, subscription};
use crate::Failure;
use crate::acked::Problems;
use crate::brokers::Inbox;
use crate::brokers::rabbitmq::Rabbit;
use crate::cli::RelayArgs;
use crate::lifecycle::{Ends, Load, live};
use crate::place::Place;
use crate::relayed;
use crate::report::{Report, per_second, rounded};
use crate::scenarios::outgoing::Null;
use crate::segments::Segments;
use crate::standstill::Standstill;
use crate::store;

/// The subscription.
const NAME: &str = "refused";
/// Times that a message is tried before it becomes a dead letter.
const ATTEMPTS_MAX: u32 = 2;
/// Between two of them, in ms.
const BACKOFF_MS: u64 = 5;
/// Clients who place orders.
const CLIENTS: u64 = 16;
/// Orders that each has under way.
const IN_FLIGHT: u64 = 32;
/// How often the subscription is looked at.
const POLL: Duration = Duration::from_millis(50);
/// Longest wait for it to go on.
const STALL_MAX: Duration = Duration::from_secs(60);
/// How long nothing must have come from the queue: before dead letters are requeued, and at the end.
const BETWEEN_REQUEUES: Duration = Duration::from_millis(100);
const AT_THE_END: Duration = Duration::from_secs(2);
/// Most times that all dead letters are requeued: a consumer slower than the relay has the queue full again.
const REQUEUES_MAX: u64 = 1_000;

pub(crate) async fn run(args: RelayArgs) -> Result<Report, Failure> {
    let place = Place::new(args.engine.data.as_deref())?;
    let rabbit = rabbit(&args.services);
    rabbit.make_bounded(args.queue_max).await?;
    let refused = refuse(&args, &place, &rabbit).await;
    // Also after a failure: nobody else will.
    if let Err(error) = rabbit.remove().await {
        eprintln!("warning: the queue of this run could not be deleted: {error}");
    }
    refused
}

fn spec(rabbit: &Rabbit) -> SubscriptionSpec {
    SubscriptionSpec {
        retry: RetrySpec { attempts_max: ATTEMPTS_MAX, backoff_ms: BACKOFF_MS, backoff_ms_max: BACKOFF_MS },
        ..subscription(SinkSpec::Rabbitmq(rabbit.spec_of_existing()), Start::First)
    }
}

async fn refuse(args: &RelayArgs, place: &Place, rabbit: &Rabbit) -> Result<Report, Failure> {
    let mut problems = Problems::default();
    let (engine, rates) = take_turns(args, place, rabbit, &mut problems).await?;
    let [without_per_s, relayed_per_s, refused_per_s] = rates.map(median);
    let relay = engine.relay()?;
    let before = settle(&relay, &mut problems).await?;

    // Somebody reads the queue from now on.
    let inbox = Inbox::default();
    let consumer = tokio::spawn(rabbit.clone().consume(inbox.clone()));
    let started = Instant::now();
    let (mut requeued, mut requeues) = (0, 0);
    let mut after = before.clone();
    while after.dead_letters > 0 && requeues < REQUEUES_MAX {
        wait_until_read(rabbit, &inbox, BETWEEN_REQUEUES).await;
        requeued += relay.requeue(NAME, None).await?;
        requeues += 1;
        after = settle(&relay, &mut problems).await?;
    }
    wait_until_read(rabbit, &inbox, AT_THE_END).await;
    let elapsed = started.elapsed();
    inbox.stop();
    consumer.await?;
    if store::drain(&engine).await.is_none_or(|drained| !drained.complete) {
        problems.add(|| "the store has not caught up".to_owned());
    }
    engine.shutdown().await?;
    drop((engine, relay));

    let mut report = Report::new("relay-refuse", args.engine.durability.name(), place.path());
    report.set("seed", args.seed);
    report.set("orders", args.orders);
    report.set("rounds", args.rounds);
    report.set("queue_max", args.queue_max);
    report.set("attempts_max", ATTEMPTS_MAX);
    report.set("orders_per_s_without", without_per_s);
    report.set("orders_per_s_relayed", relayed_per_s);
    report.set("orders_per_s_refused", refused_per_s);
    let percent_of = |per_s: u64| rounded(refused_per_s as f64 * 100.0 / per_s.max(1) as f64);
    let percent = percent_of(without_per_s);
    report.set("refused_percent", percent);
    report.set("refused_percent_of_relayed", percent_of(relayed_per_s));
    if args.expect_percent.is_some_and(|least| percent < least) {
        problems.add(|| format!("orders went at {percent:.0} % of their rate beside a queue that refuses"));
    }
    report.set("retried", before.retried);
    report.set("dead_letters", before.dead_letters);
    if before.retried == 0 || before.dead_letters == 0 {
        problems.add(|| "the queue has refused nothing: place more orders, or make it shorter".to_owned());
    }
    report.set("requeued", requeued);
    report.set("requeues", requeues);
    report.set("requeue_s", rounded(elapsed.as_secs_f64()));
    report.set("dead_letters_left", after.dead_letters);
    let mut received = inbox.received();
    let wanted = relayed::audit(place.path(), &[&*received])?;
    for wanted in wanted {
        report.set("events", wanted.events);
        report.set("missing", wanted.missing);
        report.set("stored_orders", wanted.orders);
        report.set("journal_first", wanted.journal_first);
        problems.append(wanted.problems);
    }
    report.set("messages", received.messages());
    report.set("duplicates", received.duplicates());
    report.set("table_orders", received.orders());
    problems.append(received.take_problems());
    report.add_problems(problems);
    report.set("audit", if report.passed() { "pass" } else { "fail" });
    Ok(report)
}

/// Places the same orders with each of three engines in turns. Answers the one whose subscription is refused, and the rates of
/// all turns.
async fn take_turns(
    args: &RelayArgs,
    place: &Place,
    rabbit: &Rabbit,
    problems: &mut Problems,
) -> Result<(Engine, [Vec<u64>; 3]), Failure> {
    let (without_place, relayed_place) = (Place::new(None)?, Place::new(None)?);
    let open = |place: &Place| config(place.path(), &args.engine);
    let without = Engine::open(open(&without_place)).await?;
    let relayed = Engine::open(open(&relayed_place).relay_sink(NAME, Arc::new(Null::default()))).await?;
    let refused = Engine::open(open(place)).await?;
    let sink = SinkSpec::Program { sink: NAME.to_owned() };
    relayed.relay()?.create(NAME, subscription(sink, Start::First)).await?;
    refused.relay()?.create(NAME, spec(rabbit)).await?;
    for engine in [&without, &relayed, &refused] {
        stock(engine).await?;
    }
    let mut rates = [Vec::new(), Vec::new(), Vec::new()];
    for round in 0..args.rounds {
        let buyers = round * args.orders / args.rounds..(round + 1) * args.orders / args.rounds;
        for (engine, rates) in [&without, &relayed, &refused].into_iter().zip(&mut rates) {
            rates.push(place_orders(engine, args.seed, buyers.clone(), problems).await?);
            let relay = engine.relay()?;
            if !relay.subscriptions().is_empty() {
                settle(&relay, problems).await?;
            }
        }
    }
    without.shutdown().await?;
    relayed.shutdown().await?;
    Ok((refused, rates))
}

/// Takes orders through their lives; answers how many went in a second.
async fn place_orders(
    engine: &Engine,
    seed: u64,
    buyers: Range<u64>,
    problems: &mut Problems,
) -> Result<u64, Failure> {
    let orders = buyers.end - buyers.start;
    let load =
        Load { clients: CLIENTS, in_flight: IN_FLIGHT, open_max: u64::MAX, ends: Ends::AtOnce, samples: 0 };
    let segments = Arc::new(Segments::start(orders));
    let mut lived = live(engine, plan(seed), buyers, load, &segments).await?;
    problems.append(std::mem::take(&mut lived.problems));
    Ok(per_second(lived.tally.accepted, segments.elapsed()))
}

/// Waits until the subscription has nothing before it: everything is delivered, or a dead letter.
async fn settle(relay: &Relay, problems: &mut Problems) -> Result<SubscriptionStatus, RelayError> {
    let mut standstill = Standstill::new();
    loop {
        let status = relay.subscription(NAME)?;
        if status.lag_events == 0 && status.in_flight == 0 {
            return Ok(status);
        }
        let seen = (status.cursor, status.delivered, status.retried, status.dead_letters);
        if standstill.see(seen) > STALL_MAX {
            problems.add(|| format!("the subscription stands still: {:?}", status.state));
            return Ok(status);
        }
        tokio::time::sleep(POLL).await;
    }
}

/// Waits until the queue is empty and what was in it is taken in.
async fn wait_until_read(rabbit: &Rabbit, inbox: &Inbox, quiet: Duration) {
    let mut standstill = Standstill::new();
    loop {
        let messages = inbox.received().messages();
        let is_quiet_for = standstill.see(messages);
        // Taken out and not acknowledged yet doesn't count as in it: so it must be quiet as well.
        let is_read = is_quiet_for > quiet && rabbit.len().await.is_ok_and(|len| len == 0);
        if is_read || is_quiet_for > STALL_MAX {
            return;
        }
        tokio::time::sleep(POLL).await;
    }
}

fn median(mut rates: Vec<u64>) -> u64 {
    rates.sort_unstable();
    rates.get(rates.len() / 2).copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_not_moved_by_one_turn() {
        assert_eq!(median(vec![900, 100, 110]), 110);
        assert_eq!(median(Vec::new()), 0);
    }
}
