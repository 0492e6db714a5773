//! A sink that can't be reached, or breaks: the subscription waits, orders go on, memory stays bounded.

use serde_json::json;
use stockade::relay::SubscriptionState;

use crate::relay_support::*;
use crate::support::*;

fn is_down(state: &SubscriptionState) -> bool {
    matches!(state, SubscriptionState::Down { .. })
}

#[tokio::test]
async fn r12_while_the_sink_is_down_orders_go_on_and_nothing_piles_up() {
    let sink = FakeSink::new(|_| Verdict::Down);
    let (shop, relay) = shop_with(&sink).await;
    shop.stock_up(1, 100_000).await;
    relay.create(NAME, spec(json!({"in_flight_max": 8}))).await.unwrap();
    let status = in_state(&relay, is_down).await;
    let SubscriptionState::Down { reason, since_ms } = status.state else { unreachable!() };
    assert_eq!((reason.as_str(), since_ms), ("nobody there", START_MS));
    let offered = sink.offered();
    for batch in 0..40 {
        let orders = (0..500).map(|n| one(1 + n, u128::from(batch * 500 + n), 1)).collect();
        assert!(shop.submit_batch(orders).await.iter().all(Result::is_ok));
    }
    // Each try is one message: it goes out to see whether somebody is there.
    reached(|| sink.offered() > offered + 5).await;
    let status = relay.subscription(NAME).unwrap();
    assert!(is_down(&status.state));
    assert!(sink.in_flight_max() <= 8 && status.in_flight <= 8, "{status:?}");
    assert_eq!((status.delivered, status.dead_letters), (0, 0));
    assert!(status.lag_events > 20_000 && status.retried > 5, "{status:?}");

    sink.judge(|_| Verdict::Take);
    let status = drained(&shop, &relay).await;
    assert_eq!(status.state, SubscriptionState::Running);
    assert_complete(&sink.taken(), &journal(&shop).await, "after the outage");
    assert!(sink.taken().iter().all(|message| message.attempt == 0), "an outage is nobody's attempt");
}

#[tokio::test]
async fn a_sink_that_panics_fails_its_subscription_alone() {
    let sink = FakeSink::new(|_| Verdict::Panic);
    let (shop, relay) = shop_with(&sink).await;
    shop.stock_up(1, 100).await;
    relay.create("other", pulled(json!({}))).await.unwrap();
    relay.create(NAME, spec(json!({}))).await.unwrap();
    let status = in_state(&relay, |state| matches!(state, SubscriptionState::Failed { .. })).await;
    assert_eq!(status.state, SubscriptionState::Failed { reason: "it has panicked".into() });
    shop.submit(one(1, 1, 1)).await.unwrap();
    assert_eq!(relay.subscription("other").unwrap().state, SubscriptionState::Running);
    assert!(!relay.poll("other", None, 10, std::time::Duration::ZERO).await.unwrap().is_empty());

    sink.judge(|_| Verdict::Take);
    relay.resume(NAME).await.unwrap();
    drained(&shop, &relay).await;
    assert_complete(&sink.taken(), &journal(&shop).await, "after the panic");
    assert_eq!(relay.subscription(NAME).unwrap().state, SubscriptionState::Running);
    shop.shutdown().await.unwrap();
}

#[tokio::test]
async fn a_paused_subscription_is_quiet_and_goes_on_where_it_was() {
    let sink = FakeSink::default();
    let (shop, relay) = shop_with(&sink).await;
    shop.stock_up(1, 100).await;
    relay.create(NAME, spec(json!({}))).await.unwrap();
    drained(&shop, &relay).await;
    let closed = sink.closed();
    assert_eq!(relay.pause(NAME).await.unwrap().state, SubscriptionState::Paused);
    reached(|| sink.closed() > closed).await;
    let taken = sink.taken_len();
    for request in 1..=20 {
        shop.submit(one(1, request, 1)).await.unwrap();
    }
    shop.settle().await;
    let status = relay.subscription(NAME).unwrap();
    assert_eq!((status.lag_events, sink.taken_len()), (20, taken));
    assert_eq!(relay.resume(NAME).await.unwrap().state, SubscriptionState::Running);
    drained(&shop, &relay).await;
    assert_complete(&sink.taken(), &journal(&shop).await, "after the pause");
}
