//! Engine time never decreases, and a wall clock that jumps moves nothing until an operator says so.

use stockade::OrderStatus;

use crate::support::*;

const HOUR_MS: u64 = 3_600_000;

#[tokio::test]
async fn a_wall_clock_that_jumps_an_hour_either_way_closes_nothing_early_and_raises_the_alarm() {
    for hour_ms in [HOUR_MS as i64, -(HOUR_MS as i64)] {
        let shop = Shop::open().await;
        shop.stock_up(1, 5).await;
        let receipt = shop.submit(one(7, 1, 1)).await.unwrap();
        let before = shop.now_ms();
        assert_eq!(shop.metrics().clock_drift_ms, None);

        shop.time.step_wall(hour_ms);
        assert_eq!(shop.now_ms(), before, "engine time neither jumps nor decreases");
        assert_eq!(shop.metrics().clock_drift_ms, Some(hour_ms));
        shop.advance_to(receipt.deadline_ms - 1);
        shop.settle().await;
        assert_eq!(shop.status(receipt.order_no).await, OrderStatus::Pending, "no early close");
        shop.time.advance(1);
        shop.closed(receipt.order_no).await;
        assert_eq!(shop.now_ms(), receipt.deadline_ms, "and no late one");

        let next = shop.submit(one(8, 1, 1)).await.unwrap();
        assert!(next.order_no.time_ms() >= receipt.order_no.time_ms());
        shop.time.step_wall(-hour_ms);
        assert_eq!(shop.metrics().clock_drift_ms, None, "the alarm ends when the clock is right again");
        audit(&shop.journal);
    }
}

#[tokio::test]
async fn adopting_a_wall_clock_that_is_ahead_makes_what_lies_between_due() {
    let shop = Shop::open().await;
    shop.stock_up(1, 5).await;
    let receipt = shop.submit(one(7, 1, 1)).await.unwrap();
    shop.time.step_wall(HOUR_MS as i64);
    shop.settle().await;
    assert_eq!(shop.status(receipt.order_no).await, OrderStatus::Pending);
    shop.adopt_wall_time();
    assert_eq!(shop.now_ms(), START_MS + HOUR_MS);
    assert_eq!(shop.metrics().clock_drift_ms, None);
    shop.closed(receipt.order_no).await;
}

#[tokio::test]
async fn adopting_a_wall_clock_that_is_behind_lets_engine_time_stand_still() {
    let shop = Shop::open().await;
    shop.stock_up(1, 5).await;
    let receipt = shop.submit(one(7, 1, 1)).await.unwrap();
    shop.time.step_wall(-(HOUR_MS as i64));
    shop.adopt_wall_time();
    assert_eq!(shop.now_ms(), START_MS);
    shop.time.advance(HOUR_MS / 2);
    assert_eq!(shop.now_ms(), START_MS, "wall time has not caught up");
    let meanwhile = shop.submit(one(8, 1, 1)).await.unwrap();
    assert!(meanwhile.deadline_ms >= receipt.deadline_ms);
    assert_ne!(meanwhile.order_no, receipt.order_no);
    shop.time.advance(HOUR_MS / 2 + u64::from(AUTO_CLOSE_MS) - 1);
    shop.settle().await;
    assert_eq!(shop.status(receipt.order_no).await, OrderStatus::Pending);
    shop.time.advance(1);
    shop.closed(receipt.order_no).await;
    audit(&shop.journal);
}

#[tokio::test]
async fn a_restart_with_a_clock_an_hour_behind_reuses_no_number_and_closes_nothing_early() {
    let shop = Shop::open().await;
    shop.stock_up(1, 50).await;
    let mut numbers = Vec::new();
    for request in 0..10 {
        numbers.push(shop.submit(one(7, request, 1)).await.unwrap().order_no);
    }
    let deadline_ms = shop.view(numbers[0]).await.deadline_ms;
    let (clock, time) = stockade::runtime::clock::Clock::manual(START_MS - HOUR_MS);
    let journal = shop.journal.after_power_cut();
    let engine = stockade::Engine::open_on(config(&clock), journal.clone()).await.unwrap();
    let next = Shop { engine, journal, clock, time };
    assert!(next.now_ms() >= START_MS, "engine time goes on from the journal's last event");
    assert_eq!(next.metrics().clock_drift_ms, Some(-(HOUR_MS as i64)));
    for request in 10..20 {
        let number = next.submit(one(7, request, 1)).await.unwrap().order_no;
        assert!(number > *numbers.last().unwrap(), "{number} after {numbers:?}");
        numbers.push(number);
    }
    next.advance_to(deadline_ms - 1);
    next.settle().await;
    assert_eq!(next.status(numbers[0]).await, OrderStatus::Pending);
    next.time.advance(1);
    next.closed(numbers[0]).await;
    audit(&next.journal);
}

#[tokio::test]
async fn order_numbers_go_on_when_the_clock_jumps_beyond_their_reserved_range() {
    let shop = Shop::open().await;
    shop.stock_up(1, 1_000).await;
    let mut last = None;
    for request in 0..300 {
        let number = shop.submit(one(7, request, 1)).await.unwrap().order_no;
        assert!(Some(number) > last);
        last = Some(number);
        shop.time.advance(request as u64 * 997);
    }
    shop.settle().await;
    audit(&shop.journal);
}
