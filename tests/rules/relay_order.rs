//! R11: every event reaches the sink, in order per order number, whatever the sink does meanwhile.

use serde_json::json;
use stockade::relay::SubscriptionState;

use crate::relay_support::*;
use crate::support::*;

/// A sink that takes its time and refuses at random, but takes everything in the end.
fn moody(seed: u64) -> FakeSink {
    let mut dice = Dice::new(seed);
    FakeSink::new(move |_| match dice.roll(10) {
        0 => Verdict::Refuse,
        1 => Verdict::RefuseLater(dice.roll(3)),
        2 => Verdict::Down,
        3..=5 => Verdict::TakeLater(dice.roll(4)),
        _ => Verdict::Take,
    })
}

#[tokio::test]
async fn r11_a_moody_sink_gets_everything_once_and_in_order() {
    for seed in 1..=12 {
        let context = format!("seed {seed}");
        let mut dice = Dice::new(seed);
        let sink = moody(seed);
        let (shop, relay) = shop_with(&sink).await;
        shop.stock_up(1, 1_000).await;
        let in_flight_max = 1 + dice.roll(40);
        let retry = json!({"attempts_max": 1_000, "backoff_ms": 1, "backoff_ms_max": 2});
        let made = spec(json!({"in_flight_max": in_flight_max, "retry": retry}));
        relay.create(NAME, made).await.unwrap();
        let mut orders = Vec::new();
        for _ in 0..120 {
            act(&shop, &mut dice, &mut orders).await;
        }
        let status = drained(&shop, &relay).await;
        let journal = journal(&shop).await;
        assert_complete(&sink.taken(), &journal, &context);
        // The fake sink takes nothing that it says it has not taken.
        assert_eq!(sink.taken_len(), journal.len(), "{context}");
        assert!(sink.in_flight_max() as u64 <= in_flight_max, "{context}");
        assert_eq!((status.delivered, status.dead_letters), (journal.len() as u64, 0), "{context}");
        assert_eq!((status.lag_events, status.lag_bytes, status.lag_ms), (0, 0, 0), "{context}");
        assert!(status.retried > 0, "{context}");
        shop.shutdown().await.unwrap();
        assert!(sink.closed() > 0, "{context}");
    }
}

#[tokio::test]
async fn orders_do_not_wait_for_each_other() {
    let sink = FakeSink::default();
    let (shop, relay) = shop_with(&sink).await;
    shop.stock_up(1, 1_000).await;
    let stuck = shop.submit(one(1, 1, 1)).await.unwrap().order_no;
    sink.judge(move |message| if message.order_no == Some(stuck) { Verdict::Hang } else { Verdict::Take });
    relay.create(NAME, spec(json!({}))).await.unwrap();
    for request in 2..100 {
        shop.submit(one(2, request, 1)).await.unwrap();
    }
    let events = journal(&shop).await.len();
    reached(|| sink.taken_len() == events - 1).await;
    let status = relay.subscription(NAME).unwrap();
    let stuck_at = journal(&shop).await.into_iter().find(|(_, (_, order))| *order == Some(stuck)).unwrap().0;
    assert_eq!(status.cursor.0, stuck_at, "the cursor waits for what is not done");
    assert_eq!((status.in_flight, status.lag_events), (1, events as u64 - stuck_at + 1));
    assert_eq!(status.state, SubscriptionState::Running);
}

#[tokio::test]
async fn only_what_was_chosen_is_delivered_and_the_cursor_passes_the_rest() {
    let sink = FakeSink::default();
    let (shop, relay) = shop_with(&sink).await;
    shop.stock_up(1, 1_000).await;
    relay.create(NAME, spec(json!({"events": ["OrderPaid", "OrderClosed"]}))).await.unwrap();
    let paid = shop.submit(one(1, 1, 1)).await.unwrap();
    shop.pay(payment(&paid, "t1")).await.unwrap();
    let other = shop.submit(one(2, 2, 1)).await.unwrap();
    shop.cancel(stockade::Caller::Operator, other.order_no).await.unwrap();
    shop.submit(one(3, 3, 1)).await.unwrap();
    let status = drained(&shop, &relay).await;
    let names: Vec<_> = sink.taken().iter().map(|message| message.event).collect();
    assert_eq!(names, ["OrderPaid", "OrderClosed"]);
    assert_eq!(status.delivered + status.skipped, shop.metrics().appended.0);
}

#[tokio::test]
async fn a_new_subscription_begins_where_it_is_told() {
    let sink = FakeSink::default();
    let (shop, relay) = shop_with(&sink).await;
    shop.stock_up(1, 1_000).await;
    for request in 1..=5 {
        shop.submit(one(1, request, 1)).await.unwrap();
    }
    shop.settle().await;
    let last = shop.metrics().durable.0;
    let next = relay.create(NAME, spec(json!({"start": "next"}))).await.unwrap();
    assert_eq!((next.cursor.0, next.lag_events), (last + 1, 0));
    let at = relay.create("at", spec(json!({"start": {"at": 3}, "events": ["OrderPaid"]}))).await.unwrap();
    assert!(at.cursor.0 >= 3);
    shop.submit(one(1, 6, 1)).await.unwrap();
    drained(&shop, &relay).await;
    assert_eq!(sink.positions(), [last + 1]);
}
