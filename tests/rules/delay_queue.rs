//! The delay queue: every operation with its outcomes, who waits and who has gone, what a crash leaves.

use stockade::{
    AckOutcome, DeadCause, DelayQueue, DiscardOutcome, Event, ExtendOutcome, Health, NackOutcome, NewTask,
    PopOutcome, PushOutcome, Reject, RemoveOutcome, RequeueOutcome, RescheduleOutcome, ReservationId,
    ReserveOutcome, Reserved, TASK_BODY_BYTES_MAX, TaskEvent,
};

use crate::support::*;

const TOPIC: &str = "timeouts";

/// The ids of what was popped.
fn ids(outcome: PopOutcome) -> Vec<String> {
    outcome.tasks().iter().map(|task| task.id.as_str().to_owned()).collect()
}

async fn push(queue: &DelayQueue, id: &str, delay_ms: u64) -> u64 {
    pushed(queue, NewTask::new(id, id).delay_ms(delay_ms)).await
}

async fn pushed(queue: &DelayQueue, task: NewTask) -> u64 {
    match queue.push(TOPIC, task).await.unwrap() {
        PushOutcome::Pushed { due_ms } => due_ms,
        PushOutcome::DuplicateId => panic!("its id is taken"),
    }
}

async fn reserve(queue: &DelayQueue, visibility_ms: u64) -> Reserved {
    let mut tasks = queue.reserve(TOPIC, 1, visibility_ms).await.unwrap().tasks();
    assert_eq!(tasks.len(), 1);
    tasks.remove(0)
}

/// A caller who waits, and the queue knows it.
async fn bpop(shop: &Shop, timeout_ms: u64) -> tokio::task::JoinHandle<Result<PopOutcome, Reject>> {
    let (queue, before) = (shop.delay(), shop.metrics().task_waiters);
    let waiting = tokio::spawn(async move { queue.bpop(TOPIC, timeout_ms).await });
    until(|| shop.metrics().task_waiters > before).await;
    waiting
}

fn overloaded(bound: &'static str) -> impl Fn(&Reject) -> bool {
    move |reject| matches!(reject, Reject::Overloaded { bound: found, .. } if *found == bound)
}

#[tokio::test]
async fn tasks_come_out_when_they_are_due_by_due_time_then_by_push_order() {
    let shop = Shop::open().await;
    let queue = shop.delay();
    assert_eq!(queue.pop(TOPIC).await, Ok(PopOutcome::NotFound));
    let due_ms = push(&queue, "late", 50).await;
    assert_eq!(due_ms, START_MS + 50);
    push(&queue, "first", 20).await;
    push(&queue, "second", 20).await;
    push(&queue, "at once", 0).await;
    assert_eq!(ids(queue.pop_batch(TOPIC, 10).await.unwrap()), ["at once"]);
    assert_eq!(queue.pop(TOPIC).await, Ok(PopOutcome::NotDue { next_due_ms: START_MS + 20 }));
    shop.time.advance(19);
    assert_eq!(
        queue.pop(TOPIC).await,
        Ok(PopOutcome::NotDue { next_due_ms: START_MS + 20 }),
        "R9: not early"
    );
    shop.time.advance(1);
    let first = queue.pop(TOPIC).await.unwrap().task().unwrap();
    assert_eq!((first.id.as_str(), &*first.body, first.due_ms), ("first", &b"first"[..], START_MS + 20));
    shop.time.advance(100);
    assert_eq!(ids(queue.pop_batch(TOPIC, 10).await.unwrap()), ["second", "late"]);
    assert_eq!(queue.pop(TOPIC).await, Ok(PopOutcome::NotFound));
    assert_eq!(queue.pop("another").await, Ok(PopOutcome::NotFound));
    assert_eq!((shop.count("TaskPushed"), shop.count("TaskPopped")), (4, 3));
    audit(&shop.journal);
}

#[tokio::test]
async fn r8_an_id_is_live_once_in_its_topic() {
    let shop = Shop::open().await;
    let queue = shop.delay();
    let tasks = ["a", "b", "a"].map(|id| NewTask::new(id, "first").delay_ms(5)).to_vec();
    let outcomes = queue.push_batch(TOPIC, tasks).await.unwrap();
    let pushed = PushOutcome::Pushed { due_ms: START_MS + 5 };
    assert_eq!(outcomes, [pushed, pushed, PushOutcome::DuplicateId]);
    assert_eq!(queue.push(TOPIC, NewTask::new("a", "second")).await, Ok(PushOutcome::DuplicateId));
    assert_ne!(queue.push("another", NewTask::new("a", "")).await, Ok(PushOutcome::DuplicateId));
    shop.time.advance(5);
    let first = reserve(&queue, 10).await;
    assert_eq!((first.task.id.as_str(), &*first.task.body), ("a", &b"first"[..]));
    assert_eq!(
        queue.push(TOPIC, NewTask::new("a", "")).await,
        Ok(PushOutcome::DuplicateId),
        "it is reserved"
    );
    queue.ack(TOPIC, "a", first.reservation).await.unwrap();
    assert_ne!(queue.push(TOPIC, NewTask::new("a", "third")).await, Ok(PushOutcome::DuplicateId));
    // A reservation of the task before doesn't name the one after.
    assert_eq!(queue.ack(TOPIC, "a", first.reservation).await, Ok(AckOutcome::NotFound));
    assert_eq!(audit(&shop.journal).tasks.pending, 3);
}

#[tokio::test]
async fn r9_ready_ttl_counts_from_the_moment_a_task_is_due() {
    let shop = Shop::open().await;
    let queue = shop.delay();
    for id in ["popped", "removed", "moved", "swept"] {
        pushed(&queue, NewTask::new(id, "").delay_ms(100).ready_ttl_ms(10)).await;
    }
    shop.time.advance(109);
    assert_eq!(ids(queue.pop(TOPIC).await.unwrap()), ["popped"], "it has a millisecond left");
    let moved = queue.reschedule(TOPIC, "moved", 5).await;
    assert_eq!(moved, Ok(RescheduleOutcome::Rescheduled { due_ms: START_MS + 114 }));
    shop.time.advance(1);
    // Expired by itself, unless this is faster.
    let removed = queue.remove(TOPIC, "removed").await.unwrap();
    assert!(matches!(removed, RemoveOutcome::Expired | RemoveOutcome::NotFound), "{removed:?}");
    assert_eq!(queue.pop(TOPIC).await, Ok(PopOutcome::NotDue { next_due_ms: START_MS + 114 }));
    until(|| shop.metrics().tasks == 1).await;
    shop.time.advance(13);
    assert_eq!(ids(queue.pop(TOPIC).await.unwrap()), ["moved"], "its time counts from the new due time");
    assert_eq!(audit(&shop.journal).tasks.expired, 2);
}

#[tokio::test]
async fn removing_and_rescheduling_say_what_they_found() {
    let shop = Shop::open().await;
    let queue = shop.delay();
    assert_eq!(queue.remove(TOPIC, "a").await, Ok(RemoveOutcome::NotFound));
    assert_eq!(queue.reschedule(TOPIC, "a", 0).await, Ok(RescheduleOutcome::NotFound));
    push(&queue, "a", 50).await;
    assert_eq!(queue.remove(TOPIC, "a").await, Ok(RemoveOutcome::Removed));
    assert_eq!(queue.remove(TOPIC, "a").await, Ok(RemoveOutcome::NotFound));

    pushed(&queue, NewTask::new("b", "").attempts_max(1)).await;
    let reserved = reserve(&queue, 10).await;
    assert_eq!(queue.reschedule(TOPIC, "b", 0).await, Ok(RescheduleOutcome::Reserved));
    assert_eq!(
        queue.nack(TOPIC, "b", reserved.reservation, 0).await,
        Ok(NackOutcome::DeadLettered),
        "it had one attempt"
    );
    assert_eq!(queue.reschedule(TOPIC, "b", 0).await, Ok(RescheduleOutcome::DeadLetter));
    assert_eq!(queue.remove(TOPIC, "b").await, Ok(RemoveOutcome::DeadLetter));

    push(&queue, "c", 0).await;
    let reserved = reserve(&queue, 10).await;
    assert_eq!(queue.remove(TOPIC, "c").await, Ok(RemoveOutcome::RemovedReserved));
    assert_eq!(queue.ack(TOPIC, "c", reserved.reservation).await, Ok(AckOutcome::NotFound));
    audit(&shop.journal);
}

#[tokio::test]
async fn a_reservation_holds_until_its_visibility_timeout_and_not_longer() {
    let shop = Shop::open().await;
    let queue = shop.delay();
    assert_eq!(queue.reserve(TOPIC, 1, 10).await, Ok(ReserveOutcome::NotFound));
    push(&queue, "a", 5).await;
    assert_eq!(queue.reserve(TOPIC, 1, 10).await, Ok(ReserveOutcome::NotDue { next_due_ms: START_MS + 5 }));
    shop.time.advance(5);
    let first = reserve(&queue, 10).await;
    assert_eq!((first.task.attempts, first.until_ms), (1, START_MS + 15));
    assert_eq!(queue.pop(TOPIC).await, Ok(PopOutcome::NotFound), "nobody else gets it");
    shop.time.advance(9);
    assert_eq!(queue.pop(TOPIC).await, Ok(PopOutcome::NotFound));
    shop.time.advance(1);
    // At its end it has lapsed, whether or not anything has noticed.
    assert_eq!(queue.ack(TOPIC, "a", first.reservation).await, Ok(AckOutcome::Lapsed));
    let second = reserve(&queue, 10).await;
    assert_eq!(second.task.attempts, 2);
    assert_eq!(queue.ack(TOPIC, "a", first.reservation).await, Ok(AckOutcome::Lapsed), "another has it");
    assert_eq!(queue.nack(TOPIC, "a", first.reservation, 0).await, Ok(NackOutcome::Lapsed));
    let returned = queue.nack(TOPIC, "a", second.reservation, 7).await;
    assert_eq!(returned, Ok(NackOutcome::Returned { due_ms: START_MS + 22 }));
    assert_eq!(queue.reserve(TOPIC, 1, 10).await, Ok(ReserveOutcome::NotDue { next_due_ms: START_MS + 22 }));
    shop.time.advance(7);
    let third = reserve(&queue, 10).await;
    assert_eq!(queue.ack(TOPIC, "a", third.reservation).await, Ok(AckOutcome::Acked));
    assert_eq!(queue.ack(TOPIC, "a", third.reservation).await, Ok(AckOutcome::NotFound));
    assert_eq!((shop.count("TaskLapsed"), shop.count("TaskNacked"), shop.count("TaskAcked")), (1, 1, 1));
    audit(&shop.journal);
}

#[tokio::test]
async fn a_reservation_that_is_extended_holds_for_longer_and_is_no_further_attempt() {
    let shop = Shop::open().await;
    let queue = shop.delay();
    pushed(&queue, NewTask::new("a", "").attempts_max(1)).await;
    let held = reserve(&queue, 10).await.reservation;
    shop.time.advance(9);
    let extended = queue.extend(TOPIC, "a", held, 20).await;
    assert_eq!(extended, Ok(ExtendOutcome::Extended { until_ms: START_MS + 29 }));
    shop.time.advance(19);
    assert_eq!(queue.ack(TOPIC, "a", held).await, Ok(AckOutcome::Acked));
    assert_eq!(queue.extend(TOPIC, "a", held, 20).await, Ok(ExtendOutcome::NotFound));
    push(&queue, "b", 0).await;
    let held = reserve(&queue, 10).await.reservation;
    shop.time.advance(10);
    assert_eq!(queue.extend(TOPIC, "b", held, 20).await, Ok(ExtendOutcome::Lapsed));
    audit(&shop.journal);
}

#[tokio::test]
async fn a_task_whose_attempts_have_failed_is_a_dead_letter_until_it_is_requeued_or_discarded() {
    let shop = Shop::open().await;
    let queue = shop.delay();
    for id in ["nacked", "lapsed"] {
        pushed(&queue, NewTask::new(id, id).attempts_max(2)).await;
        for attempt in 1..=2 {
            let reserved = reserve(&queue, 10).await;
            assert_eq!((reserved.task.id.as_str(), reserved.task.attempts), (id, attempt));
            if id == "nacked" {
                queue.nack(TOPIC, id, reserved.reservation, 0).await.unwrap();
            } else {
                shop.time.advance(10);
                let events = if attempt == 1 { "TaskLapsed" } else { "TaskDeadLettered" };
                shop.event(|event| event.name() == events && event.at_ms() == shop.now_ms()).await;
            }
        }
    }
    assert_eq!(queue.pop(TOPIC).await, Ok(PopOutcome::NotFound));
    let letters = queue.dead_letters(TOPIC, None, 10).await.unwrap();
    let seen: Vec<_> = letters.iter().map(|letter| (letter.task.id.as_str(), letter.cause)).collect();
    assert_eq!(seen, [("nacked", DeadCause::Nacked), ("lapsed", DeadCause::Lapsed)]);
    assert_eq!((letters[1].at_ms, letters[1].task.attempts), (START_MS + 20, 2));
    assert_eq!(queue.dead_letters(TOPIC, Some(letters[0].cursor), 10).await.unwrap(), letters[1..]);
    assert_eq!(queue.stats(TOPIC).await.unwrap().dead_letters, 2);

    assert_eq!(queue.push(TOPIC, NewTask::new("lapsed", "")).await, Ok(PushOutcome::DuplicateId));
    let requeued = queue.requeue(TOPIC, "lapsed", 5).await;
    assert_eq!(requeued, Ok(RequeueOutcome::Requeued { due_ms: START_MS + 25 }));
    assert_eq!(queue.requeue(TOPIC, "lapsed", 5).await, Ok(RequeueOutcome::NotFound), "it is none any more");
    assert_eq!(queue.discard(TOPIC, "nacked").await, Ok(DiscardOutcome::Discarded));
    assert_eq!(queue.discard(TOPIC, "nacked").await, Ok(DiscardOutcome::NotFound));
    shop.time.advance(5);
    let again = reserve(&queue, 10).await;
    assert_eq!((again.task.id.as_str(), again.task.attempts), ("lapsed", 1), "it has all its attempts again");
    audit(&shop.journal);
}

#[tokio::test]
async fn a_blocked_bpop_gets_its_task_at_the_deadline_and_those_who_wait_are_served_in_order() {
    let shop = Shop::open().await;
    let queue = shop.delay();
    let first = bpop(&shop, 1_000).await;
    let second = bpop(&shop, 1_000).await;
    assert_eq!(shop.metrics().in_flight, 0, "waiting takes no credit");
    push(&queue, "a", 30).await;
    push(&queue, "b", 31).await;
    shop.time.advance(29);
    // Whatever a tick does too early it has done by now.
    shop.settle().await;
    assert_eq!((first.is_finished(), shop.metrics().task_waiters), (false, 2));
    shop.time.advance(1);
    assert_eq!(ids(answered(first).await.unwrap().unwrap()), ["a"]);
    assert!(!second.is_finished());
    shop.time.advance(1);
    assert_eq!(ids(answered(second).await.unwrap().unwrap()), ["b"]);

    // Woken by a push, by a reschedule, by a lapse and by a requeue as well.
    let waiting = bpop(&shop, 1_000).await;
    push(&queue, "pushed", 0).await;
    assert_eq!(ids(answered(waiting).await.unwrap().unwrap()), ["pushed"]);
    push(&queue, "moved", 500).await;
    let waiting = bpop(&shop, 1_000).await;
    queue.reschedule(TOPIC, "moved", 0).await.unwrap();
    assert_eq!(ids(answered(waiting).await.unwrap().unwrap()), ["moved"]);
    push(&queue, "lapsed", 0).await;
    reserve(&queue, 20).await;
    let waiting = bpop(&shop, 1_000).await;
    shop.time.advance(20);
    assert_eq!(ids(answered(waiting).await.unwrap().unwrap()), ["lapsed"]);
    audit(&shop.journal);
}

#[tokio::test]
async fn a_blocked_bpop_gives_up_after_its_time_and_says_what_there_is() {
    let shop = Shop::open().await;
    let queue = shop.delay();
    let (short, long) = (bpop(&shop, 10).await, bpop(&shop, 20).await);
    shop.time.advance(10);
    assert_eq!(answered(short).await.unwrap(), Ok(PopOutcome::NotFound));
    push(&queue, "later", 100).await;
    shop.time.advance(10);
    assert_eq!(answered(long).await.unwrap(), Ok(PopOutcome::NotDue { next_due_ms: START_MS + 110 }));
    assert_eq!(queue.bpop(TOPIC, 0).await, Ok(PopOutcome::NotDue { next_due_ms: START_MS + 110 }));
    assert_eq!(shop.metrics().task_waiters, 0);
}

#[tokio::test]
async fn a_blocked_reserve_gets_its_task_too() {
    let shop = Shop::open().await;
    let queue = shop.delay();
    let waiting = tokio::spawn({
        let queue = queue.clone();
        async move { queue.breserve(TOPIC, 50, 1_000).await }
    });
    until(|| shop.metrics().task_waiters == 1).await;
    push(&queue, "a", 10).await;
    shop.time.advance(10);
    let reserved = answered(waiting).await.unwrap().unwrap().tasks().remove(0);
    assert_eq!(reserved.until_ms, START_MS + 60);
    assert_eq!(queue.ack(TOPIC, "a", reserved.reservation).await, Ok(AckOutcome::Acked));
}

#[tokio::test]
async fn a_caller_who_has_gone_swallows_no_task() {
    let (shop, gate) = Shop::open_gated(|config| config).await;
    let queue = shop.delay();
    // Gone before the task is due: the next one in line gets it.
    let gone = bpop(&shop, 1_000).await;
    let next = bpop(&shop, 1_000).await;
    gone.abort();
    assert!(gone.await.unwrap_err().is_cancelled());
    push(&queue, "a", 0).await;
    assert_eq!(ids(answered(next).await.unwrap().unwrap()), ["a"]);

    // Gone while the journal makes the pop durable.
    push(&queue, "b", 10).await;
    let waiting = bpop(&shop, 1_000).await;
    gate.close();
    shop.time.advance(10);
    until(|| shop.metrics().tasks == 0).await;
    waiting.abort();
    assert!(waiting.await.unwrap_err().is_cancelled());
    gate.open();
    let found = answered(queue.bpop(TOPIC, 1_000)).await.unwrap().task().unwrap();
    assert_eq!((found.id.as_str(), &*found.body, found.due_ms), ("b", &b"b"[..], START_MS + 10));

    // Gone with the answer in the channel.
    push(&queue, "c", 0).await;
    let mut asked = Box::pin(queue.pop(TOPIC));
    assert!(poll_once(asked.as_mut()).is_pending());
    until(|| shop.metrics().tasks == 0 && shop.metrics().in_flight == 0).await;
    shop.settle().await;
    drop(asked);
    let found = answered(queue.bpop(TOPIC, 1_000)).await.unwrap();
    assert_eq!(ids(found), ["c"]);
    audit(&shop.journal);
}

#[tokio::test]
async fn r4_a_task_is_not_handed_out_before_that_is_durable() {
    let (shop, gate) = Shop::open_gated(|config| config).await;
    let queue = shop.delay();
    push(&queue, "a", 0).await;
    gate.close();
    let popped = tokio::spawn({
        let queue = queue.clone();
        async move { queue.pop(TOPIC).await }
    });
    until(|| shop.metrics().tasks == 0).await;
    let asked = tokio::spawn({
        let queue = queue.clone();
        async move { queue.remove(TOPIC, "a").await }
    });
    for _ in 0..100 {
        tokio::task::yield_now().await;
    }
    assert!(!popped.is_finished() && !asked.is_finished(), "both tell of a pop that a crash could take back");
    gate.open();
    assert_eq!(ids(answered(popped).await.unwrap().unwrap()), ["a"]);
    assert_eq!(answered(asked).await.unwrap(), Ok(RemoveOutcome::NotFound));
}

#[tokio::test]
async fn r12_every_bound_has_its_answer() {
    let shop = Shop::open_with(|config| {
        config
            .task_topics_max(2)
            .tasks_max(6)
            .task_bytes_max(200)
            .task_batch_max(4)
            .task_waiters_max(2)
            .task_visibility_ms_max(100)
            .task_dead_letters_max(2)
            .task_attempts_max(1)
    })
    .await;
    let queue = shop.delay();
    let task = |id: &str| NewTask::new(id, "");
    assert_eq!(queue.push("", task("a")).await, Err(Reject::FieldEmpty { field: "topic" }));
    let long = "x".repeat(65);
    let too_long = |field| Reject::FieldTooLong { field, len: 65, len_max: 64 };
    assert_eq!(queue.push(&long, task("a")).await, Err(too_long("topic")));
    assert_eq!(queue.push(TOPIC, task(&long)).await, Err(too_long("task id")));
    assert_eq!(queue.remove(TOPIC, "").await, Err(Reject::FieldEmpty { field: "task id" }));
    let large = NewTask::new("a", vec![0; TASK_BODY_BYTES_MAX + 1]);
    let rejected = queue.push(TOPIC, large).await.unwrap_err();
    assert_eq!(rejected.code(), "field_too_long");
    let rejected = queue.push(TOPIC, task("a").delay_ms(u64::MAX)).await.unwrap_err();
    assert_eq!(rejected.code(), "out_of_range");
    for visibility_ms in [0, 101] {
        let rejected = queue.reserve(TOPIC, 1, visibility_ms).await.unwrap_err();
        assert_eq!(rejected.code(), "out_of_range");
    }
    assert_eq!(queue.pop_batch(TOPIC, 0).await.unwrap_err().code(), "out_of_range");
    let batch = |len: usize| (0..len).map(|n| task(&n.to_string())).collect::<Vec<_>>();
    let rejected = queue.push_batch(TOPIC, batch(5)).await;
    assert_eq!(rejected, Err(Reject::BatchTooLong { unit: "tasks", len: 5, len_max: 4 }));

    queue.push_batch(TOPIC, batch(4)).await.unwrap();
    let rejected = queue.push_batch(TOPIC, ["a", "b", "c"].map(task).to_vec()).await.unwrap_err();
    assert!(overloaded("tasks_max")(&rejected), "{rejected:?}");
    assert_eq!(queue.stats(TOPIC).await.unwrap().pending, 4, "nothing of the batch is there");
    let rejected = queue.push(TOPIC, NewTask::new("fat", vec![0; 200])).await.unwrap_err();
    assert!(overloaded("task_bytes_max")(&rejected), "{rejected:?}");
    queue.push("second", task("a")).await.unwrap();
    let rejected = queue.push("third", task("a")).await.unwrap_err();
    assert!(overloaded("task_topics_max")(&rejected), "{rejected:?}");
    queue.pop("second").await.unwrap();
    queue.push("third", task("a").delay_ms(1_000)).await.unwrap();

    // Reserved tasks may all become dead letters, so they count as such.
    let reserved = queue.reserve(TOPIC, 4, 100).await.unwrap().tasks();
    assert_eq!(reserved.len(), 2);
    let rejected = queue.reserve(TOPIC, 1, 100).await.unwrap_err();
    assert!(overloaded("task_dead_letters_max")(&rejected), "{rejected:?}");
    for reserved in reserved {
        queue.nack(TOPIC, reserved.task.id.as_str(), reserved.reservation, 0).await.unwrap();
    }
    assert!(queue.reserve(TOPIC, 1, 100).await.is_err());
    queue.discard(TOPIC, "0").await.unwrap();
    assert_eq!(queue.reserve(TOPIC, 4, 100).await.unwrap().tasks().len(), 1);

    queue.pop_batch(TOPIC, 4).await.unwrap();
    let (gone, _stays) = (bpop(&shop, 1_000).await, bpop(&shop, 1_000).await);
    let rejected = queue.bpop(TOPIC, 1_000).await.unwrap_err();
    assert!(overloaded("task_waiters_max")(&rejected), "{rejected:?}");
    gone.abort();
    assert!(gone.await.unwrap_err().is_cancelled());
    // One who has gone takes nobody's place.
    let third = tokio::spawn({
        let queue = queue.clone();
        async move { queue.bpop(TOPIC, 50).await }
    });
    until(|| shop.metrics().overloaded == 0 && shop.metrics().task_waiters == 2).await;
    for _ in 0..100 {
        tokio::task::yield_now().await;
    }
    assert!(!third.is_finished());
    shop.time.advance(50);
    assert_eq!(answered(third).await.unwrap(), Ok(PopOutcome::NotFound));
    assert_eq!(shop.metrics().in_flight, 0);
    audit(&shop.journal);
}

#[tokio::test]
async fn r12_large_bodies_take_more_credits_and_a_batch_beyond_them_is_overloaded() {
    let shop = Shop::open_with(|config| config.in_flight_max(8)).await;
    let queue = shop.delay();
    queue.push(TOPIC, NewTask::new("a", vec![1; 16 << 10])).await.unwrap();
    let rejected = queue.push(TOPIC, NewTask::new("b", vec![1; TASK_BODY_BYTES_MAX])).await.unwrap_err();
    assert!(overloaded("in_flight_max")(&rejected), "{rejected:?}");
    assert_eq!(shop.metrics().in_flight, 0);
}

/// A little of everything, so that every kind of event and every standing is there.
async fn live(shop: &Shop) {
    let queue = shop.delay();
    for (id, len) in [("large", TASK_BODY_BYTES_MAX), ("inline", 24 << 10), ("parts", (24 << 10) + 1)] {
        pushed(&queue, NewTask::new(id, vec![7; len]).delay_ms(500)).await;
    }
    let tasks = (0..12).map(|n| NewTask::new(format!("n{n}"), "body").attempts_max(1)).collect();
    queue.push_batch(TOPIC, tasks).await.unwrap();
    pushed(&queue, NewTask::new("expires", "").delay_ms(5).ready_ttl_ms(5)).await;
    queue.pop_batch(TOPIC, 2).await.unwrap();
    let reserved = queue.reserve(TOPIC, 6, 100).await.unwrap().tasks();
    let nack = async |at: usize, delay_ms| {
        let Reserved { task, reservation, .. } = &reserved[at];
        queue.nack(TOPIC, task.id.as_str(), *reservation, delay_ms).await.unwrap()
    };
    let Reserved { task, reservation, .. } = &reserved[4];
    queue.extend(TOPIC, task.id.as_str(), *reservation, 150).await.unwrap();
    assert_eq!(nack(0, 0).await, NackOutcome::DeadLettered);
    assert_eq!(nack(1, 0).await, NackOutcome::DeadLettered);
    assert_eq!(nack(2, 0).await, NackOutcome::DeadLettered);
    let done = &reserved[3];
    queue.ack(TOPIC, done.task.id.as_str(), done.reservation).await.unwrap();
    queue.requeue(TOPIC, reserved[0].task.id.as_str(), 30).await.unwrap();
    queue.discard(TOPIC, reserved[1].task.id.as_str()).await.unwrap();
    queue.remove(TOPIC, "n9").await.unwrap();
    queue.reschedule(TOPIC, "n10", 40).await.unwrap();
    queue.push("another", NewTask::new("n1", "elsewhere").attempts_max(3)).await.unwrap();
    let elsewhere = queue.reserve("another", 1, 20).await.unwrap().tasks().remove(0);
    queue.nack("another", "n1", elsewhere.reservation, 50).await.unwrap();
    shop.time.advance(10);
    shop.event(|event| event.name() == "TaskExpired").await;
}

/// What callers would see of everything in [`live`].
async fn seen(queue: &DelayQueue) -> String {
    let letters = queue.dead_letters(TOPIC, None, 100).await.unwrap();
    format!("{:?} {letters:?}", queue.topics().await.unwrap())
}

#[tokio::test]
async fn r7_a_restart_and_a_power_cut_bring_every_task_back() {
    let shop = Shop::open().await;
    live(&shop).await;
    shop.settle().await;
    let (hash, before) = (shop.state_hash().await.unwrap().hash, seen(&shop.delay()).await);
    for actors in [1, 3] {
        let left = shop.journal.after_power_cut();
        let next = shop.reopen(left, |config| config.order_actors(actors)).await.unwrap();
        assert_eq!(next.state_hash().await.unwrap().hash, hash, "{actors} order actors");
        assert_eq!(seen(&next.delay()).await, before);
    }
    let next = shop.after_power_cut().await;
    next.time.advance(1_000);
    next.event(|event| event.name() == "TaskDeadLettered" && event.at_ms() > START_MS + 100).await;
    let queue = next.delay();
    let popped = queue.pop_batch(TOPIC, 100).await.unwrap().tasks();
    for (id, len) in [("large", TASK_BODY_BYTES_MAX), ("inline", 24 << 10), ("parts", (24 << 10) + 1)] {
        let task = popped.iter().find(|task| task.id.as_str() == id).unwrap();
        assert!(*task.body == *vec![7; len], "{id}");
    }
    audit(&next.journal);
}

#[tokio::test]
async fn r9_what_lapsed_and_expired_while_the_engine_was_down_is_settled_by_the_next_one() {
    let shop = Shop::open().await;
    let queue = shop.delay();
    push(&queue, "lapses", 0).await;
    pushed(&queue, NewTask::new("dies", "").attempts_max(1)).await;
    pushed(&queue, NewTask::new("expires", "").delay_ms(10).ready_ttl_ms(10)).await;
    queue.reserve(TOPIC, 2, 50).await.unwrap();
    answered(shop.shutdown()).await.unwrap();
    shop.time.advance(1_000);
    let next = shop.after_power_cut().await;
    next.event(|event| event.name() == "TaskExpired").await;
    let queue = next.delay();
    let stats = queue.stats(TOPIC).await.unwrap();
    assert_eq!((stats.pending, stats.reserved, stats.dead_letters), (1, 0, 1));
    assert_eq!(ids(queue.pop_batch(TOPIC, 10).await.unwrap()), ["lapses"]);
    audit(&next.journal);
}

#[tokio::test]
async fn r5_an_engine_opens_on_every_prefix_of_a_queues_journal() {
    let shop = Shop::open().await;
    live(&shop).await;
    shop.settle().await;
    let entries = shop.entries();
    assert!(entries.len() > 20, "{} entries", entries.len());
    let mut hash = None;
    for len in 0..=entries.len() {
        let next = shop.reopen(journal_of(&entries[..len]), |config| config).await.unwrap();
        next.settle().await;
        audit(&next.journal);
        let body_part = len > 0
            && matches!(&entries[len - 1].events[0], Event::Task(event)
                if matches!(&**event, TaskEvent::BodyPart { .. }));
        let found = next.state_hash().await.unwrap().hash;
        if body_part {
            assert_eq!(Some(found), hash, "a part says nothing about any task");
            // What follows it is not mistaken for its body.
            let queue = next.delay();
            queue.push("fresh", NewTask::new("fresh", vec![9; 50_000])).await.unwrap();
            let fresh = queue.pop("fresh").await.unwrap().task().unwrap();
            assert!(*fresh.body == *vec![9; 50_000]);
            audit(&next.journal);
        }
        hash = Some(found);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn r4_nothing_acknowledged_is_missing_whichever_write_or_sync_fails() {
    for nth in 1..10 {
        for fails_at_sync in [true, false] {
            let shop = Shop::open().await;
            let at = shop.metrics().commits + nth;
            if fails_at_sync {
                shop.journal.fail_sync_at(at);
            } else {
                shop.journal.fail_write_at(at);
            }
            let queue = shop.delay();
            let (mut in_queue, mut gone) = (Vec::new(), Vec::new());
            for n in 0..6 {
                let id = format!("t{n}");
                let task = NewTask::new(&id, vec![n; 30_000]);
                if answered(queue.push(TOPIC, task)).await.is_err() {
                    break;
                }
                in_queue.push(id);
                if n % 2 == 1 {
                    match answered(queue.pop(TOPIC)).await {
                        Ok(popped) => {
                            gone.extend(ids(popped));
                            in_queue.retain(|id| !gone.contains(id));
                        }
                        // It may have been popped or not.
                        Err(_unknown) => drop(in_queue.drain(..1)),
                    }
                }
            }
            until(|| matches!(shop.metrics().health, Health::Poisoned { .. })).await;
            for left in [shop.journal.after_power_cut(), shop.journal.after_process_crash()] {
                let next = shop.reopen(left, |config| config).await.unwrap();
                let found = ids(next.delay().pop_batch(TOPIC, 100).await.unwrap());
                let (lost, back): (Vec<_>, Vec<_>) = (
                    in_queue.iter().filter(|id| !found.contains(id)).collect(),
                    gone.iter().filter(|id| found.contains(id)).collect(),
                );
                assert!(lost.is_empty() && back.is_empty(), "write {nth}: lost {lost:?}, back {back:?}");
                audit(&next.journal);
            }
        }
    }
}

#[tokio::test]
async fn r13_a_poisoned_engine_lets_go_of_those_who_wait() {
    let shop = Shop::open().await;
    let queue = shop.delay();
    push(&queue, "a", 100).await;
    let waiting = bpop(&shop, 10_000).await;
    shop.journal.fail_write_at(shop.metrics().commits + 1);
    assert_eq!(answered(queue.remove(TOPIC, "a")).await, Err(Reject::OutcomeUnknown));
    assert_eq!(answered(waiting).await.unwrap(), Err(Reject::Unavailable));
    assert_eq!(answered(queue.push(TOPIC, NewTask::new("b", ""))).await, Err(Reject::Unavailable));
    assert_eq!(answered(queue.pop(TOPIC)).await, Err(Reject::Unavailable));
    assert_eq!(
        answered(queue.ack(TOPIC, "a", "1-1".parse::<ReservationId>().unwrap())).await,
        Err(Reject::Unavailable)
    );
    assert!(answered(queue.stats(TOPIC)).await.is_err(), "its removal may be lost or not");
    let next = shop.after_power_cut().await;
    assert_eq!(next.delay().stats(TOPIC).await.unwrap().pending, 1);
}

#[tokio::test]
async fn r13_a_shutdown_waits_for_nobody_who_waits() {
    let shop = Shop::open().await;
    let queue = shop.delay();
    push(&queue, "a", 100).await;
    let waiting = bpop(&shop, 10_000).await;
    answered(shop.shutdown()).await.unwrap();
    assert_eq!(answered(waiting).await.unwrap(), Err(Reject::Unavailable));
    assert_eq!(answered(queue.pop(TOPIC)).await, Err(Reject::Unavailable));
    let next = shop.after_power_cut().await;
    assert_eq!(next.delay().stats(TOPIC).await.unwrap().pending, 1);
}
