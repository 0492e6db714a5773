//! The delay queue under many callers at once, some of whom go away in the middle: no task is handed out twice, and none
//! is swallowed.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use stockade::{AckOutcome, NewTask, PushOutcome};

use crate::support::*;

const TOPIC: &str = "races";
const TASKS: usize = 600;
const PUSHERS: usize = 3;

/// What the callers have seen.
#[derive(Default)]
struct Seen {
    /// Ids in the hands of a caller who stayed.
    done: Mutex<Vec<String>>,
    /// Calls that were given up before they had an answer.
    given_up: AtomicUsize,
    is_over: AtomicBool,
}

/// Pushes a share of the tasks, some due at once, some later, some with bodies in parts.
async fn push_share(shop: Arc<Shop>, pusher: usize) {
    for n in (pusher..TASKS).step_by(PUSHERS) {
        let body = vec![n as u8; if n % 50 == 0 { 30_000 } else { n % 100 }];
        let task = NewTask::new(format!("task-{n}"), body).delay_ms((n % 7) as u64);
        let outcome = shop.delay().push(TOPIC, task).await.unwrap();
        assert!(matches!(outcome, PushOutcome::Pushed { .. }), "{outcome:?}");
    }
}

/// Pops until it is over; every so often it loses patience after a few polls.
async fn pop_impatiently(shop: Arc<Shop>, seen: Arc<Seen>, caller: usize) {
    let mut round = caller;
    while !seen.is_over.load(Ordering::Acquire) {
        round += 1;
        let queue = shop.delay();
        let call = tokio::spawn(async move { queue.bpop(TOPIC, 3).await });
        if round.is_multiple_of(3) {
            for _ in 0..round % 17 {
                tokio::task::yield_now().await;
            }
            call.abort();
        }
        match call.await {
            // The task of a call that was aborted after it had ended has been handed over all the same.
            Ok(outcome) => {
                let tasks = outcome.unwrap().tasks();
                let ids = tasks.iter().map(|task| task.id.as_str().to_owned());
                seen.done.lock().unwrap().extend(ids);
            }
            Err(_aborted) => drop(seen.given_up.fetch_add(1, Ordering::Relaxed)),
        }
        tokio::task::yield_now().await;
    }
}

/// Reserves until it is over, and gives every third task back.
async fn reserve_and_ack(shop: Arc<Shop>, seen: Arc<Seen>) {
    let queue = shop.delay();
    let mut round = 0;
    while !seen.is_over.load(Ordering::Acquire) {
        for reserved in queue.breserve(TOPIC, 1_000_000, 3).await.unwrap().tasks() {
            round += 1;
            let id = reserved.task.id.as_str();
            if round % 3 == 0 {
                queue.nack(TOPIC, id, reserved.reservation, 2).await.unwrap();
                continue;
            }
            assert_eq!(queue.ack(TOPIC, id, reserved.reservation).await, Ok(AckOutcome::Acked));
            seen.done.lock().unwrap().push(id.to_owned());
        }
        tokio::task::yield_now().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_task_is_swallowed_or_handed_out_twice_among_callers_who_come_and_go() {
    let shop = Arc::new(Shop::open().await);
    let seen = Arc::new(Seen::default());
    let pushers: Vec<_> =
        (0..PUSHERS).map(|pusher| tokio::spawn(push_share(Arc::clone(&shop), pusher))).collect();
    let mut callers: Vec<_> = (0..6)
        .map(|caller| tokio::spawn(pop_impatiently(Arc::clone(&shop), Arc::clone(&seen), caller)))
        .collect();
    callers.push(tokio::spawn(reserve_and_ack(Arc::clone(&shop), Arc::clone(&seen))));
    answered(async {
        for pusher in pushers {
            pusher.await.unwrap();
        }
        // Nobody but the clock lets tasks become due, and callers give up.
        while seen.done.lock().unwrap().len() < TASKS {
            shop.time.advance(1);
            tokio::task::yield_now().await;
        }
        seen.is_over.store(true, Ordering::Release);
        for caller in callers {
            while !caller.is_finished() {
                shop.time.advance(1);
                tokio::task::yield_now().await;
            }
            caller.await.unwrap();
        }
    })
    .await;
    let done = std::mem::take(&mut *seen.done.lock().unwrap());
    let distinct: BTreeSet<_> = done.iter().collect();
    assert_eq!((done.len(), distinct.len()), (TASKS, TASKS), "each task once");
    assert!(seen.given_up.load(Ordering::Relaxed) > 20, "hardly anybody has gone away");
    until(|| shop.metrics().tasks == 0 && shop.metrics().task_waiters == 0).await;
    let tasks = audit(&shop.journal).tasks;
    assert_eq!((tasks.pending, tasks.reserved), (0, 0));
    assert_eq!(tasks.popped + tasks.acked, tasks.pushed, "what came back was pushed again: {tasks:?}");
}
