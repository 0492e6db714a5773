//! The timing wheel with ten million timers pending, and the longest single `advance` over a full run.
//!
//! Deadlines are spread evenly over half an hour. "Random" means that timers are touched in an order that has nothing
//! to do with their place in memory: each touch is a cache miss, as it is in an engine that has run for a while.

use std::hint::black_box;
use std::time::{Duration, Instant};

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use stockade::timer::{STEPS_PER_ADVANCE, TimerId, Wheel};

const START_MS: u64 = 1_767_225_600_000;
const SPREAD_MS: u64 = 1_800_000;
/// Timers of the wave at a single deadline.
const WAVE: usize = 1_000_000;

/// Ten million when measuring; few when only run as a test.
fn pending() -> usize {
    if std::env::args().any(|arg| arg == "--bench") { 10_000_000 } else { 10_000 }
}

/// splitmix64 (Steele, Lea, Flood 2014): the same deadlines in every run.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn deadline_ms(&mut self) -> u64 {
        START_MS + 1 + self.next() % SPREAD_MS
    }

    fn shuffle(&mut self, ids: &mut [TimerId]) {
        for index in (1..ids.len()).rev() {
            ids.swap(index, (self.next() % (index as u64 + 1)) as usize);
        }
    }
}

/// A wheel with `pending` timers, and their ids in the order of arming.
fn full_wheel(random: &mut Random) -> (Wheel<u32>, Vec<TimerId>) {
    let mut wheel = Wheel::new(START_MS);
    let ids = (0..pending() as u32).map(|item| wheel.arm(random.deadline_ms(), item)).collect();
    (wheel, ids)
}

/// Cancels and re-arms every timer in random order, so that neighbours in a slot are strangers in memory.
fn churn(wheel: &mut Wheel<u32>, ids: &mut [TimerId], random: &mut Random) {
    random.shuffle(ids);
    for id in ids.iter() {
        wheel.cancel(*id);
    }
    for (item, id) in ids.iter_mut().enumerate() {
        *id = wheel.arm(random.deadline_ms(), item as u32);
    }
}

/// Arms and cancels in batches of 100,000 on top of the timers pending; only one half is timed.
fn arm_and_cancel(c: &mut Criterion) {
    let mut random = Random(1);
    let (mut wheel, mut ids) = full_wheel(&mut random);
    let batch = pending() / 100;
    let mut group = c.benchmark_group("wheel");
    group.sample_size(10).warm_up_time(Duration::from_millis(500)).measurement_time(Duration::from_secs(3));
    group.throughput(Throughput::Elements(batch as u64));

    group.bench_function("arm, fresh memory", |b| {
        b.iter_custom(|iterations| {
            let mut spent = Duration::ZERO;
            let mut batch_ids = Vec::with_capacity(batch);
            for _ in 0..iterations {
                let started = Instant::now();
                for item in 0..batch as u32 {
                    batch_ids.push(wheel.arm(random.deadline_ms(), item));
                }
                spent += started.elapsed();
                for id in batch_ids.drain(..).rev() {
                    wheel.cancel(id);
                }
            }
            spent
        });
    });
    group.bench_function("cancel, arming order", |b| {
        b.iter_custom(|iterations| {
            let mut spent = Duration::ZERO;
            let mut at = 0;
            for _ in 0..iterations {
                let oldest = &mut ids[at..at + batch];
                let started = Instant::now();
                for id in oldest.iter() {
                    black_box(wheel.cancel(*id));
                }
                spent += started.elapsed();
                for (item, id) in oldest.iter_mut().rev().enumerate() {
                    *id = wheel.arm(random.deadline_ms(), item as u32);
                }
                at = (at + batch) % ids.len();
            }
            spent
        });
    });
    churn(&mut wheel, &mut ids, &mut random);
    random.shuffle(&mut ids);
    for timed_is_cancel in [true, false] {
        let name = if timed_is_cancel { "cancel, random order" } else { "arm, random memory" };
        group.bench_function(name, |b| {
            b.iter_custom(|iterations| {
                let mut spent = Duration::ZERO;
                let mut at = 0;
                for _ in 0..iterations {
                    let chosen = &mut ids[at..at + batch];
                    let started = Instant::now();
                    for id in chosen.iter() {
                        black_box(wheel.cancel(*id));
                    }
                    let cancelled = Instant::now();
                    for (item, id) in chosen.iter_mut().enumerate() {
                        *id = wheel.arm(random.deadline_ms(), item as u32);
                    }
                    spent += if timed_is_cancel { cancelled - started } else { cancelled.elapsed() };
                    at = (at + batch) % ids.len();
                }
                spent
            });
        });
    }
    group.finish();
}

/// Advances by 1 ms at a time, topping the wheel up so that it stays full.
fn advance(c: &mut Criterion) {
    let mut random = Random(2);
    let (mut wheel, mut ids) = full_wheel(&mut random);
    churn(&mut wheel, &mut ids, &mut random);
    let mut fired = Vec::with_capacity(STEPS_PER_ADVANCE);
    let mut now_ms = START_MS;
    let mut group = c.benchmark_group("wheel");
    group.sample_size(10).warm_up_time(Duration::from_millis(500)).measurement_time(Duration::from_secs(3));
    group.bench_function("advance by 1 ms, random memory", |b| {
        b.iter_custom(|iterations| {
            let mut spent = Duration::ZERO;
            for _ in 0..iterations {
                now_ms += 1;
                let started = Instant::now();
                let _ = wheel.advance(now_ms, STEPS_PER_ADVANCE, &mut fired);
                spent += started.elapsed();
                for (_, item) in fired.drain(..) {
                    wheel.arm(now_ms + 1 + random.next() % SPREAD_MS, item);
                }
            }
            spent
        });
    });
    group.finish();
}

/// Fires everything, sleeping from hint to hint, and prints the longest call.
fn longest_call(_: &mut Criterion) {
    let mut random = Random(3);
    for (name, churned, wave) in [
        ("fresh memory", false, false),
        ("random memory", true, false),
        ("random memory, wave of 1 M", true, true),
    ] {
        let (mut wheel, mut ids) = full_wheel(&mut random);
        if churned {
            churn(&mut wheel, &mut ids, &mut random);
        }
        if wave {
            // One in ten is moved to a single deadline.
            random.shuffle(&mut ids);
            for (item, id) in ids.iter().take(WAVE).enumerate() {
                wheel.cancel(*id);
                wheel.arm(START_MS + SPREAD_MS / 2, item as u32);
            }
        }
        let timers = wheel.len();
        let mut fired = Vec::with_capacity(STEPS_PER_ADVANCE);
        let mut now_ms = START_MS;
        let (mut calls, mut spent) = (0_u64, Duration::ZERO);
        let mut longest = [Duration::ZERO; 5];
        while let Some(hint_ms) = wheel.next_deadline_hint() {
            now_ms = now_ms.max(hint_ms);
            let started = Instant::now();
            let _ = wheel.advance(now_ms, STEPS_PER_ADVANCE, &mut fired);
            let took = started.elapsed();
            fired.clear();
            calls += 1;
            spent += took;
            if took > longest[0] {
                longest[0] = took;
                longest.sort_unstable();
            }
        }
        println!(
            "advance, {timers} timers, {name}: {:.1} M fired/s, {calls} calls of at most {STEPS_PER_ADVANCE} steps, \
             longest five {longest:?} (being descheduled included)",
            timers as f64 / spent.as_secs_f64() / 1e6,
        );
    }
}

criterion_group!(benches, arm_and_cancel, advance, longest_call);
criterion_main!(benches);
