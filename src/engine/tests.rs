//! The engine's smoke tests; the rules have their own in `tests/`.

use super::*;
use crate::Durability;
use crate::actors::stock::actor::StockActor;
use crate::domain::request::SubmitOrder;

#[tokio::test]
async fn an_order_lives_from_submission_to_confirmation() {
    let engine = Engine::open(Config::new("").durability(Durability::Memory)).await.unwrap();
    let order_no = crate::examples::paid_order(&engine).await.unwrap();
    engine.ship(order_no, Default::default()).await.unwrap();
    engine.confirm(crate::Caller::Operator, order_no).await.unwrap();
    let counters = engine.stock(crate::StockKey::normal(42.into())).await.unwrap();
    assert_eq!((counters.available, counters.sold), (9, 1));
    engine.shutdown().await.unwrap();
}

#[tokio::test]
async fn a_restart_gives_the_same_state() {
    let dir = tempfile::tempdir().unwrap();
    let config = || Config::new(dir.path().join("data")).recovery_grace_ms(0);
    let engine = Engine::open(config()).await.unwrap();
    crate::examples::stock_tea(&engine, 10).await.unwrap();
    let order = SubmitOrder::one_line(7, 1, 42, 1);
    let receipt = engine.submit(order.clone()).await.unwrap();
    let before = engine.state_hash().await.unwrap();
    engine.shutdown().await.unwrap();
    drop(engine);
    let engine = Engine::open(config().order_actors(1)).await.unwrap();
    assert_eq!(engine.submit(order).await.unwrap(), receipt);
    assert_eq!(engine.state_hash().await.unwrap().hash, before.hash);
    engine.shutdown().await.unwrap();
}

/// Everybody gets an answer within this, or hangs.
const ANSWER_WITHIN: std::time::Duration = std::time::Duration::from_secs(30);

async fn answered<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(ANSWER_WITHIN, future).await.expect("an answer, not a hang")
}

/// Sends commands of every kind from many members, lets something panic in the middle, and waits for all answers.
async fn panic_amid_commands(engine: &Engine, panic: impl FnOnce(&Inner)) {
    let placed = engine.submit(SubmitOrder::one_line(7, 1, 42, 1)).await.unwrap();
    let command = |nth: u64| {
        let engine = engine.clone();
        tokio::spawn(async move {
            let order = SubmitOrder::one_line(nth, 1, 42, 1);
            match nth % 4 {
                0 => drop(engine.submit(order).await),
                1 => drop(engine.submit_batch(vec![order.clone(), order]).await),
                2 => drop(engine.cancel(crate::Caller::Operator, placed.order_no).await),
                _ => drop(engine.stock(crate::StockKey::normal(42.into())).await),
            }
        })
    };
    let mut commands: Vec<_> = (100..200).map(command).collect();
    panic(&engine.inner);
    commands.extend((200..300).map(command));
    for command in commands {
        answered(command).await.unwrap();
    }
    answered(engine.inner.gate.wait_poisoned()).await;
}

async fn stocked() -> Engine {
    let config = Config::new("").durability(Durability::Memory).order_actors(2);
    let engine = Engine::open(config).await.unwrap();
    crate::examples::stock_tea(&engine, 1_000).await.unwrap();
    engine
}

async fn is_poisoned(engine: &Engine) {
    is_poisoned_by(engine, "asked to panic").await;
}

async fn is_poisoned_by(engine: &Engine, what: &str) {
    let Health::Poisoned { reason } = engine.metrics().health else { panic!("{:?}", engine.metrics()) };
    assert!(reason.contains(what), "{reason}");
    let late = answered(engine.submit(SubmitOrder::one_line(9, 1, 42, 1))).await;
    assert_eq!(late, Err(crate::Reject::Unavailable));
    let shutdown = answered(engine.shutdown()).await;
    assert!(matches!(shutdown, Err(ShutdownError::Poisoned { .. })), "{shutdown:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn r13_an_order_actor_that_panics_poisons_the_engine_and_everybody_is_answered() {
    for index in 0..2 {
        let engine = stocked().await;
        let panic = |inner: &Inner| inner.orders[index].push(OrderItem::Panic).unwrap();
        panic_amid_commands(&engine, panic).await;
        is_poisoned(&engine).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn r13_a_delay_queue_that_panics_poisons_the_engine_and_everybody_is_answered() {
    let engine = stocked().await;
    let queue = engine.delay();
    let waiting = tokio::spawn({
        let queue = queue.clone();
        async move { queue.bpop("mails", 60_000).await }
    });
    while engine.metrics().task_waiters == 0 {
        tokio::task::yield_now().await;
    }
    panic_amid_commands(&engine, |inner| inner.delay.panic()).await;
    assert!(answered(waiting).await.unwrap().is_err());
    let push = answered(queue.push("mails", crate::NewTask::new("a", ""))).await;
    assert_eq!(push, Err(crate::Reject::Unavailable));
    is_poisoned(&engine).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn r13_a_stock_actor_that_panics_poisons_the_engine_and_everybody_is_answered() {
    let engine = stocked().await;
    let panic = |inner: &Inner| {
        let cell = inner.stock.get(&crate::StockKey::normal(42.into())).unwrap();
        inner.stock.send(&cell, crate::actors::stock::StockItem::Panic);
    };
    panic_amid_commands(&engine, panic).await;
    is_poisoned(&engine).await;
}

/// A stock actor that has nothing else to do is served by the order actor that has something for it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn r13_a_panic_over_a_ledger_that_an_order_actor_serves_poisons_the_engine_and_everybody_is_answered() {
    let engine = stocked().await;
    let placed = engine.submit(SubmitOrder::one_line(7, 1, 42, 1)).await.unwrap();
    let key = crate::StockKey::normal(42.into());
    let desk = engine.inner.stock.desk(&engine.inner.stock.get(&key).unwrap());
    // The order's unit is nowhere in this one.
    let wrong = StockActor::new(key, crate::StockCounters::default(), Default::default());
    *desk.actor() = Some(Box::new(wrong));
    let cancelled = answered(engine.cancel(crate::Caller::Operator, placed.order_no)).await;
    assert!(cancelled.is_err(), "{cancelled:?}");
    answered(engine.inner.gate.wait_poisoned()).await;
    let counters = answered(engine.stock(key)).await;
    assert_eq!(counters, Err(crate::Reject::Unavailable));
    is_poisoned_by(&engine, "R1: 1 units moved").await;
}
