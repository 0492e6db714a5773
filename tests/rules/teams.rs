//! Group-buy campaigns: teams are opened and joined, form when all have paid, and fail as a whole.

use stockade::journal::MemoryJournal;
use stockade::{
    Activity, ActivityItem, ActivityKind, AdjustmentId, Caller, CloseReason, Config, Event, Money,
    OrderStatus, OrderType, PaymentResult, PriceChange, Receipt, RefundReason, Reject, Shipment, StockKey,
    SubmitOrder, TeamChoice, TeamEvent, TeamId, TeamState, TeamTerms,
};

use crate::support::*;

const SKU: u64 = 10;
const CAMPAIGN: u64 = 7;
const TEAM_PRICE: i64 = 99;
const TIME_LIMIT_MS: u64 = 20_000;
const ENDS_MS: u64 = START_MS + 100_000;

fn campaign(size: u32) -> Activity {
    Activity {
        id: CAMPAIGN.into(),
        kind: ActivityKind::GroupBuy,
        title: "Tea together".into(),
        start_ms: START_MS,
        end_ms: ENDS_MS,
        items: vec![ActivityItem {
            sku_id: SKU.into(),
            price: Money::from_minor(TEAM_PRICE),
            limit_per_member: 0,
        }],
        team: Some(TeamTerms { size, time_limit_ms: TIME_LIMIT_MS }),
        ..Activity::default()
    }
}

fn pool() -> StockKey {
    campaign(2).stock_key(SKU.into())
}

fn order(member: u64, request: u128, team: TeamChoice) -> SubmitOrder {
    SubmitOrder {
        order_type: OrderType::GroupBuy,
        activity_id: Some(CAMPAIGN.into()),
        team,
        ..one(member, request, SKU)
    }
}

async fn shop(size: u32) -> Shop {
    shop_with(size, |config| config.auto_close_ms(OrderType::GroupBuy, AUTO_CLOSE_MS)).await
}

async fn shop_with(size: u32, change: impl FnOnce(Config) -> Config) -> Shop {
    let shop = Shop::open_with(change).await;
    shop.stock_up(SKU, 100).await;
    shop.put_activity(campaign(size)).await.unwrap();
    shop.transfer_stock(AdjustmentId(1), key(SKU), pool(), 50).await.unwrap();
    shop
}

/// Member 1 opens a team.
async fn open_team(shop: &Shop) -> (Receipt, TeamId) {
    let receipt = shop.submit(order(1, 1, TeamChoice::Open)).await.unwrap();
    (receipt, TeamId(receipt.order_no.get()))
}

async fn join(shop: &Shop, member: u64, team: TeamId) -> Receipt {
    shop.submit(order(member, u128::from(member), TeamChoice::Join(team))).await.unwrap()
}

async fn state_of(shop: &Shop, team: TeamId) -> (TeamState, u32, u32) {
    let view = shop.team(team).await.unwrap();
    (view.state, view.paid, view.unpaid)
}

async fn pay(shop: &Shop, receipt: &Receipt, transaction: &str) -> PaymentResult {
    answered(shop.pay(payment(receipt, transaction))).await.unwrap().result
}

fn parcel() -> Shipment {
    Shipment { carrier: "SF".into(), tracking_no: "1".into() }
}

#[tokio::test]
async fn a_team_forms_when_all_its_members_have_paid_and_only_then_their_orders_ship() {
    let shop = shop(2).await;
    let (first, team) = open_team(&shop).await;
    assert_eq!(first.pay_amount, Money::from_minor(TEAM_PRICE));
    assert_eq!(state_of(&shop, team).await, (TeamState::Forming, 0, 1));
    let second = join(&shop, 2, team).await;
    assert_eq!(pay(&shop, &first, "t-1").await, PaymentResult::Paid);
    shop.settle().await;
    assert_eq!(state_of(&shop, team).await, (TeamState::Forming, 1, 1));
    assert_eq!(shop.ship(first.order_no, parcel()).await, Err(Reject::TeamNotFormed));
    assert_eq!(pay(&shop, &second, "t-2").await, PaymentResult::Paid);
    shop.event(|event| matches!(event, Event::Team(TeamEvent::Formed { .. }))).await;
    shop.settle().await;
    assert_eq!(state_of(&shop, team).await.0, TeamState::Formed);
    for receipt in [&first, &second] {
        assert_eq!(shop.ship(receipt.order_no, parcel()).await.unwrap().status, OrderStatus::Shipped);
    }
    assert_eq!(shop.count("TeamJoined"), 2);
    assert_no_prefix_oversells(&shop.journal);
    assert_eq!(audit(&shop.journal).teams.formed, 1);
}

#[tokio::test]
async fn a_full_team_refuses_and_a_member_is_in_a_team_once() {
    let shop = shop(2).await;
    let (_first, team) = open_team(&shop).await;
    let own = shop.submit(order(1, 9, TeamChoice::Join(team))).await;
    assert_eq!(own, Err(Reject::AlreadyInTeam { team }), "the opener has a seat");
    let second = join(&shop, 2, team).await;
    let full = Err(Reject::TeamFull { team });
    assert_eq!(shop.submit(order(3, 3, TeamChoice::Join(team))).await, full);
    shop.cancel(Caller::Member(2.into()), second.order_no).await.unwrap();
    assert!(shop.submit(order(3, 4, TeamChoice::Join(team))).await.is_ok(), "the seat is free again");
    assert_eq!(shop.submit(order(4, 5, TeamChoice::Join(team))).await, full);
    audit(&shop.journal);
}

#[tokio::test]
async fn choices_that_make_no_sense_are_refused() {
    let shop = shop(2).await;
    let invalid = |result| matches!(result, Err(Reject::TeamChoiceInvalid { .. }));
    assert!(invalid(shop.submit(order(1, 1, TeamChoice::None)).await));
    assert!(invalid(shop.submit(SubmitOrder { team: TeamChoice::Open, ..one(1, 2, SKU) }).await));
    let unknown = shop.submit(order(1, 3, TeamChoice::Join(TeamId(5)))).await;
    assert_eq!(unknown, Err(Reject::TeamNotFound { team: TeamId(5) }));
}

#[tokio::test]
async fn a_team_that_is_not_complete_in_time_fails_as_a_whole() {
    let shop = shop(3).await;
    let (first, team) = open_team(&shop).await;
    let second = join(&shop, 2, team).await;
    assert_eq!(pay(&shop, &first, "t-1").await, PaymentResult::Paid);
    let deadline_ms = shop.team(team).await.unwrap().deadline_ms;
    assert_eq!(deadline_ms, START_MS + TIME_LIMIT_MS);
    shop.advance_to(deadline_ms);
    shop.event(|event| matches!(event, Event::Team(TeamEvent::Failed { .. }))).await;
    shop.closed(first.order_no).await;
    shop.closed(second.order_no).await;
    shop.settle().await;
    assert_eq!(shop.view(first.order_no).await.close_reason, Some(CloseReason::TeamFailed));
    let refund = shop.event(|event| matches!(event, Event::RefundRequired { .. })).await;
    let Event::RefundRequired { amount, reason, .. } = refund else { unreachable!() };
    assert_eq!((amount, reason), (first.pay_amount, RefundReason::TeamDissolved));
    let pool = shop.stock(pool()).await.unwrap();
    assert_eq!((pool.available, pool.reserved, pool.sold), (50, 0, 0), "all units are back");
    let late = pay(&shop, &second, "t-2").await;
    assert!(matches!(late, PaymentResult::RefundRequired(_)), "{late:?}");
    let join = shop.submit(order(5, 5, TeamChoice::Join(team))).await;
    assert_eq!(join, Err(Reject::TeamClosed { team }));
    assert_no_prefix_oversells(&shop.journal);
    assert_eq!(audit(&shop.journal).teams.failed, 1);
}

#[tokio::test]
async fn the_end_of_a_campaign_fails_its_teams() {
    let shop = shop(2).await;
    let (first, team) = open_team(&shop).await;
    assert_eq!(pay(&shop, &first, "t-1").await, PaymentResult::Paid);
    shop.end_activity(CAMPAIGN, None).await.unwrap();
    shop.closed(first.order_no).await;
    shop.settle().await;
    assert_eq!(state_of(&shop, team).await.0, TeamState::Failed);
    assert_eq!(shop.counters(SKU).await.available, 100, "everything is everyday stock again");
    audit(&shop.journal);
}

#[tokio::test]
async fn an_order_that_costs_nothing_takes_its_seat_at_once() {
    let shop = shop(2).await;
    let mut free = campaign(2);
    free.items[0].price = Money::ZERO;
    shop.put_activity(free).await.unwrap();
    let (first, team) = open_team(&shop).await;
    let second = join(&shop, 2, team).await;
    shop.event(|event| matches!(event, Event::Team(TeamEvent::Formed { .. }))).await;
    shop.settle().await;
    assert_eq!(state_of(&shop, team).await.0, TeamState::Formed);
    for receipt in [first, second] {
        assert_eq!(shop.status(receipt.order_no).await, OrderStatus::Paid);
    }
    audit(&shop.journal);
}

/// Whatever entry a crash comes after, the engine opens, completes what was begun and comes to rest; and money and units
/// are accounted for.
async fn every_prefix_comes_to_rest(shop: &Shop) {
    let entries = shop.entries();
    for len in 1..=entries.len() {
        let journal = journal_of(&entries[..len]);
        audit(&journal);
        let again = shop.reopen(journal, |config| config).await.unwrap();
        again.settle().await;
        again.settle().await;
        let report = audit(&again.journal);
        assert_eq!(report.payments_unresolved, 0, "after {len} entries");
        let hash = again.state_hash().await.unwrap().hash;
        let replayed = again.after_power_cut().await;
        replayed.settle().await;
        assert_eq!(replayed.state_hash().await.unwrap().hash, hash, "R7 after {len} entries");
        assert_no_prefix_oversells(&again.journal);
    }
}

#[tokio::test]
async fn a_crash_at_any_point_of_a_team_that_forms_is_completed() {
    let shop = shop(2).await;
    let (first, team) = open_team(&shop).await;
    let second = join(&shop, 2, team).await;
    pay(&shop, &first, "t-1").await;
    pay(&shop, &second, "t-2").await;
    shop.settle().await;
    every_prefix_comes_to_rest(&shop).await;
    let again = shop.after_power_cut().await;
    again.settle().await;
    assert_eq!(state_of(&again, team).await.0, TeamState::Formed);
    assert_eq!(again.count("TeamJoined"), 2);
}

#[tokio::test]
async fn a_crash_at_any_point_of_a_team_that_fails_is_completed() {
    let shop = shop(3).await;
    let (first, team) = open_team(&shop).await;
    let _second = join(&shop, 2, team).await;
    pay(&shop, &first, "t-1").await;
    shop.advance_to(START_MS + TIME_LIMIT_MS);
    shop.closed(first.order_no).await;
    shop.settle().await;
    every_prefix_comes_to_rest(&shop).await;
    let again = shop.after_power_cut().await;
    again.settle().await;
    assert_eq!(again.count("RefundRequired"), 1, "exactly once");
    assert_eq!(state_of(&again, team).await.0, TeamState::Failed);
}

#[tokio::test]
async fn the_last_payment_races_the_deadline_and_money_is_accounted_for() {
    for round in 0..20_u64 {
        let shop = shop(2).await;
        let (first, team) = open_team(&shop).await;
        let second = join(&shop, 2, team).await;
        pay(&shop, &first, "t-1").await;
        shop.settle().await;
        // Both are sent before either can be dealt with.
        let deadline_ms = START_MS + TIME_LIMIT_MS;
        let (late, ()) = tokio::join!(shop.pay(payment(&second, "t-2")), async {
            for _ in 0..round {
                tokio::task::yield_now().await;
            }
            shop.advance_to(deadline_ms);
        });
        shop.settle().await;
        until(|| {
            shop.entries().iter().flat_map(|entry| &entry.events).any(|event| {
                matches!(event, Event::Team(TeamEvent::Formed { .. } | TeamEvent::Failed { .. }))
            })
        })
        .await;
        shop.settle().await;
        let formed = state_of(&shop, team).await.0 == TeamState::Formed;
        assert_eq!(formed, late.unwrap().result == PaymentResult::Paid, "one winner");
        assert_eq!(shop.status(first.order_no).await == OrderStatus::Paid, formed);
        audit(&shop.journal);
    }
}

const NOTHING: PriceChange = PriceChange { pay_amount: Money::ZERO, freight: Money::ZERO };

#[tokio::test]
async fn an_order_that_a_change_makes_cost_nothing_takes_its_seat() {
    let shop = shop(2).await;
    let (first, team) = open_team(&shop).await;
    let second = join(&shop, 2, team).await;
    shop.change_price(first.order_no, NOTHING).await.unwrap();
    shop.settle().await;
    assert_eq!(state_of(&shop, team).await, (TeamState::Forming, 1, 1));
    assert_eq!(pay(&shop, &second, "t-2").await, PaymentResult::Paid);
    shop.event(|event| matches!(event, Event::Team(TeamEvent::Formed { .. }))).await;
    shop.settle().await;
    for receipt in [first, second] {
        assert_eq!(shop.status(receipt.order_no).await, OrderStatus::Paid);
    }
    every_prefix_comes_to_rest(&shop).await;
}

/// The journal up to the change that makes the first order cost nothing: the power went before that paid it.
async fn cut_before_paid(shop: &Shop) -> (Receipt, MemoryJournal) {
    let (first, _team) = open_team(shop).await;
    shop.change_price(first.order_no, NOTHING).await.unwrap();
    let entries = shop.entries();
    let changed = entries.iter().position(|entry| entry.events[0].name() == "PriceChanged").unwrap();
    (first, journal_of(&entries[..=changed]))
}

#[tokio::test]
async fn r10_an_order_that_costs_nothing_is_paid_after_a_restart_before_its_timer_closes_it() {
    const GROUP_CLOSE_MS: u32 = 5_000;
    let change = |config: Config| config.auto_close_ms(OrderType::GroupBuy, GROUP_CLOSE_MS);
    for (late_ms, events) in [
        (0, &["OrderPaid"][..]),
        (u64::from(GROUP_CLOSE_MS), &["OrderClosed", "OrderRevived", "OrderPaid"]),
        (TIME_LIMIT_MS - 1, &["OrderClosed", "OrderRevived", "OrderPaid"]),
    ] {
        let shop = shop_with(2, change).await;
        let (first, journal) = cut_before_paid(&shop).await;
        shop.advance_to(START_MS + late_ms);
        let again = shop.reopen(journal, change).await.unwrap();
        again.event(|event| matches!(event, Event::OrderPaid { .. })).await;
        again.settle().await;
        let what: Vec<_> = again.events_of(first.order_no).into_iter().map(|(_, name)| name).collect();
        assert_eq!(what[..2], ["OrderCreated", "PriceChanged"]);
        assert_eq!(what[2..], *events, "{late_ms} ms late");
        assert_eq!(again.status(first.order_no).await, OrderStatus::Paid);
        audit(&again.journal);
    }
}

#[tokio::test]
async fn r10_what_costs_nothing_and_is_too_late_for_its_team_owes_no_refund() {
    let shop = shop(2).await;
    let (first, journal) = cut_before_paid(&shop).await;
    shop.advance_to(START_MS + TIME_LIMIT_MS);
    let again = shop.reopen(journal, |config| config).await.unwrap();
    again.closed(first.order_no).await;
    again.settle().await;
    assert_eq!(again.status(first.order_no).await, OrderStatus::Cancelled);
    assert_eq!(again.count("RefundRequired"), 0, "nothing was paid");
    assert_eq!(again.refunds(Default::default()).await.unwrap().refunds, []);
    assert_eq!(again.stock(pool()).await.unwrap().available, 50);
    let report = audit(&again.journal);
    assert_eq!((report.payments_unresolved, report.teams.failed), (0, 1));
    let hash = again.state_hash().await.unwrap().hash;
    assert_eq!(again.after_power_cut().await.state_hash().await.unwrap().hash, hash, "R7");
}
