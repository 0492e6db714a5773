//! R12: every queue has a bound, and reaching it is a typed answer that says when to retry. Nothing leaks.

use std::pin::pin;

use stockade::{
    Caller, Config, ConfigError, Durability, Engine, OpenError, OrderType, Page, Reject, Retry, Sku,
};

use crate::support::*;

fn is_overloaded<T: std::fmt::Debug>(result: &Result<T, Reject>, expected: &str) -> bool {
    match result {
        Err(reject @ Reject::Overloaded { bound, .. }) => {
            assert!(matches!(reject.retry(), Retry::After { wait_ms } if wait_ms > 0), "{reject:?}");
            assert_eq!(*bound, expected);
            true
        }
        _ => false,
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn r12_more_commands_than_in_flight_max_are_overloaded_and_nothing_leaks() {
    let (shop, gate) = Shop::open_gated(|config| config.in_flight_max(4)).await;
    shop.stock_up(1, 100).await;
    gate.close();
    let waiting: Vec<_> = (0..4)
        .map(|member| {
            let engine = shop.engine.clone();
            tokio::spawn(async move { engine.submit(one(member, 1, 1)).await })
        })
        .collect();
    until(|| shop.metrics().in_flight == 4).await;
    let refused = shop.submit(one(9, 1, 1)).await;
    assert!(is_overloaded(&refused, "in_flight_max"), "{refused:?}");
    assert!(is_overloaded(&shop.adjust_stock(add_units(9, 1, 1)).await, "in_flight_max"));
    assert!(is_overloaded(&shop.put_sku(sku(2)).await, "in_flight_max"));
    assert!(is_overloaded(&shop.orders_of(1, Page::default()).await, "in_flight_max"));
    assert!(shop.metrics().overloaded >= 4, "{:?}", shop.metrics());
    gate.open();
    for submit in waiting {
        assert!(answered(submit).await.unwrap().is_ok());
    }
    until(|| shop.metrics().in_flight == 0).await;
    assert!(shop.submit(one(9, 1, 1)).await.is_ok(), "the refused request goes through now");
    assert!(shop.sku(2).is_none(), "a refused command did nothing");
    assert_eq!(shop.counters(1).await.total, 100);
}

#[tokio::test]
async fn r12_a_batch_larger_than_the_free_credits_is_refused_as_a_whole() {
    let shop = Shop::open_with(|config| config.in_flight_max(8)).await;
    shop.stock_up(1, 100).await;
    let batch = |len: u64| (0..len).map(|member| one(member, 1, 1)).collect::<Vec<_>>();
    let refused = shop.submit_batch(batch(9)).await;
    assert_eq!(refused.len(), 9);
    assert!(refused.iter().all(|result| is_overloaded(result, "in_flight_max")));
    assert_eq!(shop.count("OrderCreated"), 0);
    assert!(shop.submit_batch(batch(8)).await.iter().all(Result::is_ok));
    assert!(shop.submit_batch(Vec::new()).await.is_empty());
    until(|| shop.metrics().in_flight == 0).await;
}

#[tokio::test]
async fn r12_credits_come_back_from_every_kind_of_answer() {
    let shop = Shop::open_with(|config| config.in_flight_max(2)).await;
    shop.stock_up_limited(1, 4, 2).await;
    for round in 0..50 {
        let receipt = shop.submit(one(1, round, 1)).await;
        let _sold_out = shop.submit(basket(2, round, &[(1, 9)])).await;
        let _limited = shop.submit(basket(3, round, &[(1, 3)])).await;
        let _invalid = shop.submit(basket(3, round, &[])).await;
        let _batch = shop.submit_batch(vec![basket(3, round, &[]), one(1, round, 1)]).await;
        if let Ok(receipt) = receipt {
            let _reused = shop.submit(basket(1, round, &[(1, 2)])).await;
            shop.order(Caller::Operator, receipt.order_no).await.unwrap();
            let _hidden = shop.order(Caller::Member(9.into()), receipt.order_no).await;
            let _wrong = shop.confirm(Caller::Operator, receipt.order_no).await;
            let _wrong = shop.start_payment(Caller::Operator, receipt.order_no).await;
            shop.cancel(Caller::Operator, receipt.order_no).await.unwrap();
            shop.pay(payment(&receipt, &round.to_string())).await.unwrap();
            let _reused = shop
                .pay(stockade::Payment { amount: stockade::Money::from_minor(1), ..payment(&receipt, "x") })
                .await;
        }
        let _below = shop.adjust_stock(add_units(1_000 + round, 1, -99)).await;
        let _same = shop.put_sku(Sku { limit_per_member: 2, ..sku(1) }).await;
        shop.counters(1).await;
        shop.orders_of(1, Page::default()).await.unwrap();
        shop.state_hash().await.unwrap();
        until(|| shop.metrics().in_flight == 0).await;
    }
}

#[tokio::test]
async fn r12_a_dropped_submit_places_its_order_and_gives_its_credit_back() {
    let shop = Shop::open_with(|config| config.in_flight_max(4)).await;
    shop.stock_up(1, 100).await;
    for request in 0..20 {
        {
            let submit = pin!(shop.submit(one(7, request, 1)));
            assert!(poll_once(submit).is_pending());
        }
        until(|| shop.metrics().in_flight == 0).await;
    }
    let page = shop.orders_of(7, Page { before: None, len_max: 100 }).await.unwrap();
    assert_eq!(page.orders.len(), 20);
    let first = page.orders.last().unwrap();
    assert_eq!(shop.submit(one(7, 0, 1)).await.unwrap().order_no, first.order_no, "a retry finds it");
    {
        let batch = pin!(shop.submit_batch((0..3).map(|member| one(member, 1, 1)).collect()));
        assert!(poll_once(batch).is_pending());
    }
    until(|| shop.metrics().in_flight == 0).await;
    assert_eq!(shop.count("OrderCreated"), 23);
}

#[tokio::test]
async fn r12_a_submit_that_is_never_polled_does_nothing() {
    let shop = Shop::open().await;
    shop.stock_up(1, 5).await;
    drop(shop.submit(one(7, 1, 1)));
    assert_eq!(shop.metrics().in_flight, 0);
    shop.settle().await;
    assert_eq!(shop.count("OrderCreated"), 0);
}

#[tokio::test]
async fn r12_callers_that_wait_for_one_request_are_bounded() {
    let shop = Shop::open_with(|config| config.waiters_max(2)).await;
    shop.stock_up(1, 5).await;
    shop.stock_up(2, 5).await;
    let order = || shop.submit(basket(7, 1, &[(1, 1), (2, 1)]));
    // All four are in the inbox before the first has its lines.
    let (first, second, third, fourth) = tokio::join!(order(), order(), order(), order());
    assert!(first.is_ok());
    assert_eq!([second, third], [first, first]);
    assert!(is_overloaded(&fourth, "waiters_max"), "{fourth:?}");
    assert_eq!(order().await, first, "and never sticks");
}

#[tokio::test]
async fn r12_submissions_that_wait_for_a_members_limit_are_bounded() {
    let shop = Shop::open_with(|config| config.waiters_max(1)).await;
    shop.stock_up_limited(1, 5, 1).await;
    let submit = |request| shop.submit(one(7, request, 1));
    let (first, second, third) = tokio::join!(submit(1), submit(2), submit(3));
    assert!(first.is_ok());
    assert!(matches!(second, Err(Reject::LimitExceeded { .. })), "{second:?}");
    assert!(is_overloaded(&third, "waiters_max"), "{third:?}");
}

#[tokio::test]
async fn r12_callers_that_wait_for_one_payment_are_bounded() {
    let shop = Shop::open_with(|config| config.waiters_max(3)).await;
    shop.stock_up(1, 5).await;
    let receipt = shop.submit(one(7, 1, 1)).await.unwrap();
    shop.advance_to(receipt.deadline_ms);
    shop.closed(receipt.order_no).await;
    let pay = (0..50).map(|_| {
        let (engine, payment) = (shop.engine.clone(), payment(&receipt, "tx"));
        async move { engine.pay(payment).await }
    });
    let outcomes = together(pay.collect::<Vec<_>>()).await;
    let paid = outcomes.iter().filter(|outcome| outcome.is_ok()).count();
    assert!(paid >= 3, "{outcomes:?}");
    assert!(outcomes.iter().all(|outcome| outcome.is_ok() || is_overloaded(outcome, "waiters_max")));
    until(|| shop.metrics().in_flight == 0).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn r12_a_full_journal_queue_refuses_new_orders_and_lets_the_rest_go_on() {
    let (shop, gate) = Shop::open_gated(|config| config.journal_queue_bytes_max(1)).await;
    shop.stock_up(1, 100).await;
    let receipt = shop.submit(one(1, 1, 1)).await.unwrap();
    gate.close();
    let engine = shop.engine.clone();
    let waiting = tokio::spawn(async move { engine.submit(one(2, 1, 1)).await });
    until(|| shop.metrics().journal_queued_bytes > 0).await;
    let refused = shop.submit(one(3, 1, 1)).await;
    assert!(is_overloaded(&refused, "journal_queue_bytes_max"), "{refused:?}");
    let mut retry = pin!(shop.submit(one(1, 1, 1)));
    let mut pay = pin!(shop.pay(payment(&receipt, "tx")));
    assert!(poll_once(retry.as_mut()).is_pending(), "a retry is let in");
    assert!(poll_once(pay.as_mut()).is_pending(), "money is let in");
    gate.open();
    assert_eq!(answered(retry).await, Ok(receipt));
    assert!(answered(pay).await.is_ok());
    assert!(answered(waiting).await.unwrap().is_ok());
    assert!(shop.submit(one(3, 1, 1)).await.is_ok());
}

#[tokio::test]
async fn r12_payments_of_one_order_are_bounded_before_their_money_is_recorded() {
    let shop = Shop::open().await;
    shop.stock_up(1, 5).await;
    let receipt = shop.submit(one(7, 1, 1)).await.unwrap();
    let bound = stockade::domain::order::ORDER_PAYMENTS_MAX;
    for nth in 0..bound {
        shop.pay(payment(&receipt, &nth.to_string())).await.unwrap();
    }
    let refused = shop.pay(payment(&receipt, "one too many")).await;
    assert!(is_overloaded(&refused, "payments of one order"), "{refused:?}");
    assert_eq!(shop.count("PaymentReceived"), bound);
    assert!(shop.pay(payment(&receipt, "0")).await.is_ok(), "known ones still get their outcome");
}

#[tokio::test]
async fn r12_a_page_has_a_bound() {
    let shop = Shop::open().await;
    shop.stock_up(1, 200).await;
    for request in 0..120 {
        shop.submit(one(7, request, 1)).await.unwrap();
    }
    let page = shop.orders_of(7, Page { before: None, len_max: usize::MAX }).await.unwrap();
    assert_eq!(page.orders.len(), stockade::PAGE_LEN_MAX);
    let least = shop.orders_of(7, Page { before: None, len_max: 0 }).await.unwrap();
    assert_eq!(least.orders.len(), 1);
}

#[tokio::test]
async fn r12_a_setting_outside_its_bounds_is_a_typed_error_before_anything_is_opened() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("data");
    let config = || Config::new(&path);
    let wrong = [
        ("order_actors", config().order_actors(0)),
        ("order_actors", config().order_actors(stockade::ORDER_ACTORS_MAX + 1)),
        ("in_flight_max", config().in_flight_max(0)),
        ("expiry_in_flight_max", config().expiry_in_flight_max(0)),
        ("waiters_max", config().waiters_max(0)),
        ("request_filter_bits", config().request_filter_bits(3)),
        ("refusals_kept", config().refusals_kept(0)),
        ("tick_ms", config().tick_ms(1_001)),
        ("idempotency_window_ms", config().idempotency_window_ms(0)),
        ("stock_idle_ms", config().stock_idle_ms(0)),
        ("clock_step_max_ms", config().clock_step_max_ms(0)),
        ("journal_queue_bytes_max", config().journal_queue_bytes_max(0)),
        ("auto_close_ms", config().auto_close_ms(OrderType::Normal, 0)),
        ("durability.interval_ms", config().durability(Durability::Buffered { interval_ms: 0 })),
    ];
    for (name, config) in wrong {
        match Engine::open(config).await {
            Err(OpenError::Config(ConfigError { name: found, .. })) => assert_eq!(found, name),
            other => panic!("{name}: {other:?}"),
        }
    }
    assert!(!path.exists());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn r12_callers_that_wait_for_each_answer_need_one_credit_each() {
    let shop = Shop::open_with(|config| config.in_flight_max(3)).await;
    shop.stock_up(1, 10_000).await;
    let callers = (0..3_u64).map(|member| {
        let engine = shop.engine.clone();
        async move {
            for request in 0..100 {
                let receipt = engine.submit(one(member, request, 1)).await.unwrap();
                engine.put_sku(sku(member + 10)).await.unwrap();
                engine.stock(key(1)).await.unwrap();
                engine.order(Caller::Operator, receipt.order_no).await.unwrap();
                engine.pay(payment(&receipt, &format!("{member}/{request}"))).await.unwrap();
                let refused = engine.cancel(Caller::Operator, receipt.order_no).await;
                assert!(matches!(refused, Err(Reject::WrongStatus { .. })), "{refused:?}");
                let batch = engine.submit_batch(vec![basket(member, 10_000, &[(1, 99_999)])]).await;
                assert_eq!(batch, [Err(sold_out(1))]);
            }
        }
    });
    together(callers.collect::<Vec<_>>()).await;
    assert_eq!(shop.metrics().overloaded, 0);
}
