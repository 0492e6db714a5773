//! The batched inbox against ractor's own mailbox.

use std::hint::black_box;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use ractor::{Actor, ActorProcessingErr, ActorRef};
use stockade::runtime::clock::Clock;
use stockade::runtime::credits::Credits;
use stockade::runtime::filter::RotatingFilter;
use stockade::runtime::inbox::{Bell, Inbox};
use tokio::runtime::Runtime;

const BATCH: u64 = 1024;

fn queue_alone(c: &mut Criterion) {
    let mut group = c.benchmark_group("inbox");
    group.throughput(Throughput::Elements(BATCH));
    group.bench_function("push and drain, one thread", |b| {
        let inbox = Inbox::new();
        let mut batch = Vec::with_capacity(BATCH as usize);
        b.iter(|| {
            for item in 0..BATCH {
                let _ = black_box(inbox.push(item));
            }
            let drained = inbox.drain(&mut batch, BATCH as usize);
            batch.clear();
            black_box(inbox.finish(drained));
        });
    });
    group.throughput(Throughput::Elements(1));
    group.bench_function("push alone", |b| {
        b.iter_custom(|iterations| {
            let inbox = Inbox::new();
            let mut batch = Vec::with_capacity(BATCH as usize);
            let mut spent = Duration::ZERO;
            let mut left = iterations;
            while left > 0 {
                let round = left.min(BATCH);
                let start = Instant::now();
                for item in 0..round {
                    let _ = black_box(inbox.push(item));
                }
                spent += start.elapsed();
                let drained = inbox.drain(&mut batch, BATCH as usize);
                batch.clear();
                inbox.finish(drained);
                left -= round;
            }
            spent
        });
    });
    group.bench_function("push, two producers, one consumer", |b| {
        b.iter_custom(|iterations| {
            let inbox = Inbox::new();
            let start = Instant::now();
            thread::scope(|scope| {
                let inbox = &inbox;
                for _ in 0..2 {
                    scope.spawn(move || {
                        for item in 0..iterations {
                            let _ = black_box(inbox.push(item));
                        }
                    });
                }
                let mut batch = Vec::with_capacity(BATCH as usize);
                let mut seen = 0;
                while seen < 2 * iterations {
                    let drained = inbox.drain(&mut batch, BATCH as usize);
                    batch.clear();
                    inbox.finish(drained);
                    seen += drained as u64;
                }
            });
            start.elapsed() / 2
        });
    });
    group.finish();
}

/// Counts what it gets, through an inbox.
struct Batched {
    inbox: Arc<Inbox<u64>>,
    seen: Arc<AtomicU64>,
}

impl Actor for Batched {
    type Msg = Bell;
    type State = Vec<u64>;
    type Arguments = ();

    async fn pre_start(&self, me: ActorRef<Bell>, (): ()) -> Result<Vec<u64>, ActorProcessingErr> {
        self.inbox.bind(me);
        Ok(Vec::new())
    }

    async fn handle(
        &self,
        _: ActorRef<Bell>,
        _: Bell,
        batch: &mut Vec<u64>,
    ) -> Result<(), ActorProcessingErr> {
        let drained = self.inbox.drain(batch, BATCH as usize);
        for item in batch.drain(..) {
            black_box(item);
        }
        self.seen.fetch_add(drained as u64, Ordering::Release);
        self.inbox.finish(drained);
        Ok(())
    }
}

/// Counts what it gets, one message each.
struct Plain {
    seen: Arc<AtomicU64>,
}

impl Actor for Plain {
    type Msg = u64;
    type State = ();
    type Arguments = ();

    async fn pre_start(&self, _: ActorRef<u64>, (): ()) -> Result<(), ActorProcessingErr> {
        Ok(())
    }

    async fn handle(&self, _: ActorRef<u64>, item: u64, (): &mut ()) -> Result<(), ActorProcessingErr> {
        black_box(item);
        self.seen.fetch_add(1, Ordering::Release);
        Ok(())
    }
}

/// Time from the first push until the actor has seen all.
fn until_seen(seen: &AtomicU64, iterations: u64, push: impl Fn(u64)) -> Duration {
    let before = seen.load(Ordering::Acquire);
    let start = Instant::now();
    for item in 0..iterations {
        push(item);
    }
    while seen.load(Ordering::Acquire) < before + iterations {
        thread::yield_now();
    }
    start.elapsed()
}

fn through_an_actor(c: &mut Criterion) {
    let Ok(runtime) = Runtime::new() else { return };
    let mut group = c.benchmark_group("actor");
    group.throughput(Throughput::Elements(1));

    let inbox = Arc::new(Inbox::new());
    let seen = Arc::new(AtomicU64::new(0));
    let batched = Batched { inbox: inbox.clone(), seen: seen.clone() };
    if let Ok((actor, _)) = runtime.block_on(Actor::spawn(None, batched, ())) {
        group.bench_function("through the inbox", |b| {
            b.iter_custom(|iterations| {
                until_seen(&seen, iterations, |item| {
                    let _ = inbox.push(item);
                })
            });
        });
        group.bench_function("through the inbox, one at a time", |b| {
            b.iter(|| {
                until_seen(&seen, 1, |item| {
                    let _ = inbox.push(item);
                })
            });
        });
        actor.stop(None);
    }

    let seen = Arc::new(AtomicU64::new(0));
    if let Ok((actor, _)) = runtime.block_on(Actor::spawn(None, Plain { seen: seen.clone() }, ())) {
        group.bench_function("one cast each", |b| {
            b.iter_custom(|iterations| {
                until_seen(&seen, iterations, |item| {
                    let _ = actor.cast(item);
                })
            });
        });
        group.bench_function("one cast each, one at a time", |b| {
            b.iter(|| {
                until_seen(&seen, 1, |item| {
                    let _ = actor.cast(item);
                })
            });
        });
        actor.stop(None);
    }
    group.finish();
}

fn around_the_front_door(c: &mut Criterion) {
    let mut group = c.benchmark_group("front door");
    let clock = Clock::system(60_000);
    group.bench_function("now_ms", |b| b.iter(|| black_box(clock.now_ms())));
    let credits = Credits::new(1000);
    group.bench_function("take and give back a credit", |b| {
        b.iter(|| {
            if black_box(credits.try_take(1)) {
                credits.give_back(1);
            }
        });
    });
    let filter = RotatingFilter::new(RotatingFilter::BITS_DEFAULT);
    let mut hash = 0_u64;
    group.bench_function("filter insert", |b| {
        b.iter(|| {
            hash = hash.wrapping_add(0x9e37_79b9_7f4a_7c15);
            filter.insert(black_box(hash));
        });
    });
    group.bench_function("filter look-up", |b| {
        b.iter(|| {
            hash = hash.wrapping_add(0x9e37_79b9_7f4a_7c15);
            black_box(filter.contains(black_box(hash)))
        });
    });
    group.bench_function("filter rotation", |b| b.iter(|| filter.rotate()));
    group.finish();
}

criterion_group!(benches, queue_alone, through_an_actor, around_the_front_door);
criterion_main!(benches);
