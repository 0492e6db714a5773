//! The asynchronous submit: a number at once, the outcome later, and nothing that a crash could take back in between
//! but the number itself (R4's exception).

use std::collections::BTreeSet;
use std::pin::pin;

use stockade::journal::MemoryJournal;
use stockade::{
    Caller, Failure, Health, OrderNo, Page, Promise, Receipt, Reject, SUBMISSION_WAIT_MS_MAX, Slot,
    Submission, SubmitOrder,
};

use crate::store::DiskShop;
use crate::support::*;

const NOT_RECORDED: Submission = Submission::Failed(Failure::NotRecorded);

fn rejected(reject: Reject) -> Submission {
    Submission::Failed(Failure::Rejected(reject))
}

/// What becomes of a promise to a member.
async fn outcome(engine: &stockade::Engine, member: u64, order_no: OrderNo) -> Submission {
    let caller = Caller::Member(member.into());
    answered(engine.submission(caller, order_no, SUBMISSION_WAIT_MS_MAX)).await.unwrap()
}

/// Submits and waits for the receipt.
async fn placed(engine: &stockade::Engine, order: SubmitOrder) -> (Promise, Receipt) {
    let member = order.member_id.0;
    let promise = engine.submit_async(order).unwrap();
    match outcome(engine, member, promise.order_no).await {
        Submission::Created(receipt) => (promise, receipt),
        other => panic!("{other:?}"),
    }
}

/// Members of one slot, that of member 7, who comes first.
fn neighbours() -> impl Iterator<Item = u64> {
    (7..).filter(|member| Slot::of_member((*member).into()) == Slot::of_member(7.into()))
}

#[tokio::test]
async fn r4_a_promised_number_is_that_of_the_order() {
    let shop = Shop::open().await;
    shop.stock_up(1, 5).await;
    let (promise, receipt) = placed(&shop, one(7, 1, 1)).await;
    assert_eq!(receipt.order_no, promise.order_no);
    assert!(promise.poll_after_ms > 0);
    assert_eq!(shop.view(promise.order_no).await.member_id.0, 7);
    let paid = shop.pay(payment(&receipt, "tx")).await.unwrap();
    assert_eq!(paid.order_no, promise.order_no);
    assert_eq!(
        outcome(&shop, 7, promise.order_no).await,
        Submission::Created(receipt),
        "the first receipt, whatever has become of the order since"
    );
    until(|| shop.metrics().in_flight == 0).await;
    assert_eq!((shop.metrics().promises, shop.counters(1).await.available), (1, 4));
    audit(&shop.journal);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn r4_an_order_is_shown_as_created_once_it_is_durable_and_not_before() {
    let (shop, gate) = Shop::open_gated(|config| config).await;
    shop.stock_up(1, 5).await;
    gate.close();
    let before = shop.journal.written();
    let promise = shop.submit_async(one(7, 1, 1)).unwrap();
    let caller = Caller::Member(7.into());
    let mut waiting = pin!(shop.submission(caller, promise.order_no, SUBMISSION_WAIT_MS_MAX));
    assert!(poll_once(waiting.as_mut()).is_pending());
    until(|| shop.journal.written() > before).await;
    assert!(poll_once(waiting.as_mut()).is_pending(), "written is not yet durable");
    for wait_ms in [0, 2] {
        let early = shop.submission(caller, promise.order_no, wait_ms).await.unwrap();
        assert!(matches!(early, Submission::Processing { poll_after_ms } if poll_after_ms > 0), "{early:?}");
    }
    gate.open();
    let Submission::Created(receipt) = answered(waiting).await.unwrap() else { panic!("it was let in") };
    assert_eq!(receipt.order_no, promise.order_no);
    assert!(shop.view(receipt.order_no).await.timeline[0].position <= shop.journal.synced());
}

#[tokio::test]
async fn what_the_door_refuses_gets_no_number_and_what_the_actor_refuses_has_failed() {
    let shop = Shop::open().await;
    shop.stock_up_limited(1, 5, 1).await;
    let unknown = shop.submit_async(one(7, 1, 9));
    assert_eq!(unknown, Err(Reject::UnknownSku { sku: 9.into() }));
    assert_eq!(shop.metrics().promises, 0);
    placed(&shop, one(7, 2, 1)).await;
    let promise = shop.submit_async(one(7, 3, 1)).unwrap();
    let limited = Reject::LimitExceeded { sku: 1.into(), limit: 1, bought: 1 };
    assert_eq!(outcome(&shop, 7, promise.order_no).await, rejected(limited));
    assert_eq!(
        shop.order(Caller::Member(7.into()), promise.order_no).await,
        Err(Reject::OrderNotFound),
        "a number without an order"
    );
    let next = shop.submit_async(one(7, 4, 1)).unwrap();
    assert!(next.order_no > promise.order_no, "a refused order's number is not used again");
}

#[tokio::test]
async fn r8_a_retry_gets_the_first_receipt_under_a_number_of_its_own() {
    let shop = Shop::open().await;
    shop.stock_up(1, 1).await;
    let (first, receipt) = placed(&shop, one(7, 1, 1)).await;
    // The stock is gone, and the request's first answer stays.
    let (again, repeated) = placed(&shop, one(7, 1, 1)).await;
    assert_ne!(again.order_no, first.order_no);
    assert_eq!(repeated, receipt);
    assert_eq!(shop.submit(one(7, 1, 1)).await, Ok(receipt));
    let changed = shop.submit_async(basket(7, 1, &[(1, 2)])).unwrap();
    assert_eq!(outcome(&shop, 7, changed.order_no).await, rejected(Reject::RequestIdReused));
    assert_eq!(shop.count("OrderCreated"), 1);

    let shop = Shop::open().await;
    shop.stock_up(1, 1).await;
    let receipt = shop.submit(one(7, 1, 1)).await.unwrap();
    assert_eq!(placed(&shop, one(7, 1, 1)).await.1, receipt, "of an ordinary submit, too");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn r8_two_submissions_with_one_request_id_at_once_place_one_order() {
    for round in 0..20 {
        let shop = Shop::open().await;
        shop.stock_up(1, 5).await;
        let submit = |_| {
            let engine = shop.engine.clone();
            async move { placed(&engine, one(7, 1, 1)).await }
        };
        let plain = {
            let engine = shop.engine.clone();
            async move { engine.submit(one(7, 1, 1)).await.unwrap() }
        };
        let plain = (round % 2 == 0).then(|| tokio::spawn(plain));
        let told = together((0..2).map(submit).collect::<Vec<_>>()).await;
        assert_eq!(told[0].1, told[1].1);
        assert_ne!(told[0].0.order_no, told[1].0.order_no);
        let order_no = told[0].1.order_no;
        if let Some(plain) = plain {
            assert_eq!(answered(plain).await.unwrap().order_no, order_no);
        } else {
            assert!(told.iter().any(|(promise, _)| promise.order_no == order_no));
        }
        assert_eq!((shop.count("OrderCreated"), shop.counters(1).await.available), (1, 4));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn r4_after_a_crash_what_was_recorded_is_created_and_what_was_not_is_not_recorded() {
    let (shop, gate) = Shop::open_gated(|config| config).await;
    shop.stock_up(1, 5).await;
    let (early, receipt) = placed(&shop, one(7, 1, 1)).await;
    gate.close();
    let before = shop.journal.written();
    let late = shop.submit_async(one(7, 2, 1)).unwrap();
    until(|| shop.journal.written() > before).await;
    let after = |journal: MemoryJournal| shop.reopen(journal, |config| config);
    let cut = after(shop.journal.after_power_cut()).await.unwrap();
    let crash = after(shop.journal.after_process_crash()).await.unwrap();
    gate.open();
    for next in [&cut, &crash] {
        assert_eq!(outcome(next, 7, early.order_no).await, Submission::Created(receipt));
    }
    assert_eq!(outcome(&cut, 7, late.order_no).await, NOT_RECORDED);
    let Submission::Created(recorded) = outcome(&crash, 7, late.order_no).await else {
        panic!("it was written")
    };
    assert_eq!(recorded.order_no, late.order_no);
    // Sent again, the request places its order or gets the first receipt; the lost number is never given again.
    let (again, placed_again) = placed(&cut, one(7, 2, 1)).await;
    assert!(again.order_no > late.order_no);
    assert_eq!(placed_again.order_no, again.order_no);
    assert_eq!(placed(&crash, one(7, 2, 1)).await.1, recorded);
    assert_eq!(outcome(&cut, 7, late.order_no).await, NOT_RECORDED);
    audit(&cut.journal);
    audit(&crash.journal);
}

#[tokio::test]
async fn an_order_that_has_left_memory_is_still_created() {
    let dir = tempfile::tempdir().unwrap();
    let shop = DiskShop::open(dir.path()).await;
    shop.stock_up(1, 10, 0).await;
    let (promise, receipt) = placed(&shop, one(7, 1, 1)).await;
    shop.cancel(Caller::Operator, promise.order_no).await.unwrap();
    let shop = shop.reopen(dir.path(), false, |config| config).await;
    shop.checkpoint().await;
    shop.time.advance(2_000);
    shop.wait_until(|shop| shop.metrics().orders == 0).await;
    assert_eq!(outcome(&shop, 7, promise.order_no).await, Submission::Created(receipt));
    let stranger = neighbours().nth(1).unwrap();
    assert_eq!(outcome(&shop, stranger, promise.order_no).await, NOT_RECORDED, "R14");
    // The store knows its request, too.
    assert_eq!(placed(&shop, one(7, 1, 1)).await.1, receipt);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn r14_another_members_number_answers_as_one_that_nobody_has() {
    let (shop, gate) = Shop::open_gated(|config| config).await;
    shop.stock_up(1, 5).await;
    let neighbour = neighbours().nth(1).unwrap();
    let (created, _) = placed(&shop, one(7, 1, 1)).await;
    gate.close();
    let unfinished = shop.submit_async(one(7, 2, 1)).unwrap();
    let nobodys = OrderNo::compose(1, unfinished.order_no.slot(), 0);
    gate.open();
    for order_no in [created.order_no, unfinished.order_no, nobodys] {
        assert_eq!(outcome(&shop, neighbour, order_no).await, NOT_RECORDED);
        let far = (0..).find(|member| Slot::of_member((*member).into()) != order_no.slot()).unwrap();
        let answer = shop.submission(Caller::Member(far.into()), order_no, 0).await;
        assert_eq!(answer, Err(Reject::OrderNotFound));
    }
    let seen = answered(shop.submission(Caller::Operator, unfinished.order_no, 30_000)).await.unwrap();
    assert!(matches!(seen, Submission::Created(_)), "the shop sees all: {seen:?}");
}

#[tokio::test]
async fn r12_a_wait_is_bounded() {
    let shop = Shop::open().await;
    shop.stock_up(1, 5).await;
    let (promise, _) = placed(&shop, one(7, 1, 1)).await;
    let caller = Caller::Member(7.into());
    let too_long = shop.submission(caller, promise.order_no, SUBMISSION_WAIT_MS_MAX + 1).await;
    let (value, max) = (30_001, 30_000);
    assert_eq!(too_long, Err(Reject::OutOfRange { field: "wait_ms", value, min: 0, max }));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn r12_promises_are_bounded_and_finished_ones_make_room() {
    let (shop, gate) = Shop::open_gated(|config| config.promises_max(2)).await;
    shop.stock_up_limited(1, 50, 2).await;
    gate.close();
    let first: Vec<_> = (1..3).map(|request| shop.submit_async(one(7, request, 1)).unwrap()).collect();
    let refused = shop.submit_async(one(8, 1, 1)).unwrap_err();
    assert!(matches!(refused, Reject::Overloaded { bound: "promises_max", .. }), "{refused:?}");
    assert_eq!(shop.metrics().overloaded, 1);
    gate.open();
    for promise in &first {
        assert!(matches!(outcome(&shop, 7, promise.order_no).await, Submission::Created(_)));
    }
    let limited = shop.submit_async(one(7, 3, 1)).unwrap();
    let is_limited =
        |outcome| matches!(outcome, Submission::Failed(Failure::Rejected(Reject::LimitExceeded { .. })));
    assert!(is_limited(outcome(&shop, 7, limited.order_no).await));
    for member in 8..10 {
        placed(&shop, one(member, 1, 1)).await;
    }
    // Two promises are kept. Of the others, orders speak for themselves, and the refusal is forgotten.
    assert_eq!(shop.metrics().promises, 2);
    for promise in &first {
        assert!(matches!(outcome(&shop, 7, promise.order_no).await, Submission::Created(_)));
    }
    assert_eq!(outcome(&shop, 7, limited.order_no).await, NOT_RECORDED);
    until(|| shop.metrics().in_flight == 0).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn r12_no_more_than_waiters_max_wait_for_one_promise() {
    let (shop, gate) = Shop::open_gated(|config| config.waiters_max(1)).await;
    shop.stock_up(1, 5).await;
    gate.close();
    let promise = shop.submit_async(one(7, 1, 1)).unwrap();
    let caller = Caller::Member(7.into());
    let wait = || shop.submission(caller, promise.order_no, SUBMISSION_WAIT_MS_MAX);
    let mut waiting = Box::pin(wait());
    assert!(poll_once(waiting.as_mut()).is_pending());
    assert!(matches!(answered(wait()).await, Ok(Submission::Processing { .. })), "one waits already");
    // Whoever gives up makes room.
    drop(waiting);
    let mut waiting = Box::pin(wait());
    assert!(poll_once(waiting.as_mut()).is_pending());
    gate.open();
    assert!(matches!(answered(waiting).await, Ok(Submission::Created(_))));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_shutdown_finishes_what_was_promised() {
    let shop = Shop::open().await;
    shop.stock_up(1, 500).await;
    let submit = |member| (member, shop.submit_async(one(member, 1, 1)).unwrap().order_no);
    let promised: Vec<_> = (0..200).map(submit).collect();
    answered(shop.shutdown()).await.unwrap();
    assert_eq!(shop.submit_async(one(7, 2, 1)), Err(Reject::Unavailable));
    let next = shop.after_power_cut().await;
    for (member, order_no) in promised {
        let found = outcome(&next, member, order_no).await;
        assert!(matches!(found, Submission::Created(receipt) if receipt.order_no == order_no), "{found:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn r13_a_promise_of_a_failed_engine_has_an_unknown_outcome() {
    for at_sync in [true, false] {
        let shop = Shop::open().await;
        shop.stock_up(1, 5).await;
        shop.settle().await;
        let next = shop.metrics().commits + 1;
        if at_sync {
            shop.journal.fail_sync_at(next);
        } else {
            shop.journal.fail_write_at(next);
        }
        let promise = shop.submit_async(one(7, 1, 1)).unwrap();
        assert_eq!(outcome(&shop, 7, promise.order_no).await, rejected(Reject::OutcomeUnknown));
        until(|| matches!(shop.metrics().health, Health::Poisoned { .. })).await;
        assert_eq!(shop.submit_async(one(7, 2, 1)), Err(Reject::Unavailable));
        let next = shop.after_power_cut().await;
        assert_eq!(outcome(&next, 7, promise.order_no).await, NOT_RECORDED);
        assert!(placed(&next, one(7, 1, 1)).await.0.order_no > promise.order_no);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn numbers_are_unique_over_both_ways_and_over_restarts() {
    let members: Vec<u64> = neighbours().take(8).collect();
    let mut shop = Shop::open().await;
    shop.stock_up(1, 10_000).await;
    let mut numbers = BTreeSet::new();
    for life in 0..3_u64 {
        let buy = |nth: u64| {
            let (engine, member) = (shop.engine.clone(), members[nth as usize % members.len()]);
            let order = one(member, u128::from(life * 1_000 + nth), 1);
            async move {
                if nth.is_multiple_of(3) {
                    return (None, engine.submit(order).await.unwrap().order_no);
                }
                let (promise, receipt) = placed(&engine, order).await;
                (Some(promise.order_no), receipt.order_no)
            }
        };
        for (promised, order_no) in together((0..300).map(buy).collect::<Vec<_>>()).await {
            assert!(promised.is_none_or(|promised| promised == order_no));
            assert!(numbers.insert(order_no), "{order_no} is given twice");
        }
        for member in &members {
            assert_newest_first(&shop, *member, &numbers).await;
        }
        shop.settle().await;
        let hash = shop.state_hash().await.unwrap();
        assert_eq!(audit(&shop.journal).orders.pending, 300 * (life + 1));
        shop = shop.after_power_cut().await;
        assert_eq!(shop.state_hash().await.unwrap().hash, hash.hash, "R7");
        for member in &members {
            assert_newest_first(&shop, *member, &numbers).await;
        }
    }
}

/// Pages show all of a member's orders, each once, by descending number.
async fn assert_newest_first(engine: &stockade::Engine, member: u64, numbers: &BTreeSet<OrderNo>) {
    let (mut listed, mut before) = (Vec::new(), None);
    loop {
        let page = engine.orders_of(member, Page { before, len_max: 7 }).await.unwrap();
        listed.extend(page.orders.iter().map(|order| order.order_no));
        before = page.next;
        if before.is_none() {
            break;
        }
    }
    assert!(listed.is_sorted_by(|a, b| a > b), "{listed:?}");
    let mut own = 0;
    for order_no in numbers {
        own += usize::from(engine.order(Caller::Member(member.into()), *order_no).await.is_ok());
    }
    assert_eq!(listed.len(), own);
}

#[tokio::test]
async fn a_list_is_by_number_also_where_a_promise_was_numbered_first_and_from_the_store() {
    let dir = tempfile::tempdir().unwrap();
    let shop = DiskShop::open(dir.path()).await;
    shop.stock_up(1, 10, 0).await;
    let mut numbers = BTreeSet::new();
    // Time stands still, so the plain orders come after promised ones and have lower numbers.
    for request in 0..6 {
        let order = one(7, request, 1);
        let is_promised = request % 2 == 0;
        let receipt = if is_promised { placed(&shop, order).await.1 } else { shop.place(order).await };
        if request < 3 {
            shop.cancel(Caller::Operator, receipt.order_no).await.unwrap();
        }
        numbers.insert(receipt.order_no);
    }
    let (first, last) = (numbers.first().unwrap(), numbers.last().unwrap());
    assert_eq!(first.time_ms(), last.time_ms());
    assert_newest_first(&shop, 7, &numbers).await;
    let hash = shop.hash().await;
    shop.checkpoint().await;
    shop.time.advance(2_000);
    shop.wait_until(|shop| shop.metrics().orders == 3).await;
    assert_newest_first(&shop, 7, &numbers).await;
    let shop = shop.reopen(dir.path(), false, |config| config).await;
    assert_newest_first(&shop, 7, &numbers).await;
    assert_eq!(shop.hash().await, hash, "R7");
    let (promise, _) = placed(&shop, one(7, 100, 1)).await;
    let plain = shop.place(one(7, 101, 1)).await;
    assert!(promise.order_no > *numbers.last().unwrap() && plain.order_no > *numbers.last().unwrap());
}
