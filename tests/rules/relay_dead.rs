//! Dead letters: what is refused for good is kept, with what stands behind it, and delivered again in order.

use std::sync::{Arc, Mutex};

use serde_json::json;
use stockade::relay::{RelayError, SubscriptionState};
use stockade::{Caller, Engine, OrderNo, Position, Receipt, Relay};

use crate::relay_support::*;
use crate::support::*;

/// A sink that refuses the messages of some orders.
#[derive(Clone, Default)]
struct Refusing(Arc<Mutex<Vec<OrderNo>>>);

impl Refusing {
    fn sink(&self) -> FakeSink {
        let own = self.clone();
        FakeSink::new(move |message| {
            let refused = own.0.lock().unwrap();
            if message.order_no.is_some_and(|order_no| refused.contains(&order_no)) {
                Verdict::Refuse
            } else {
                Verdict::Take
            }
        })
    }

    fn refuse(&self, orders: &[OrderNo]) {
        *self.0.lock().unwrap() = orders.to_vec();
    }
}

async fn letters(relay: &Relay) -> Vec<(u64, &'static str, u32)> {
    let page = relay.dead_letters(NAME, Position(0), 1_000).await.unwrap();
    assert_eq!(page.next, None);
    let name = |name: &str| stockade::relay::event_names().find(|known| *known == name).unwrap();
    page.letters.iter().map(|letter| (letter.position.0, name(&letter.event), letter.attempts)).collect()
}

async fn names(relay: &Relay) -> Vec<(&'static str, u32)> {
    letters(relay).await.into_iter().map(|(_, name, attempts)| (name, attempts)).collect()
}

async fn dead(relay: &Relay, len: u64) {
    reached(|| relay.subscription(NAME).unwrap().dead_letters == len).await;
}

/// An order that is placed, paid and sent: its messages are refused if they are now.
async fn through(engine: &Engine, request: u128) -> Receipt {
    let order = engine.submit(one(1, request, 1)).await.unwrap();
    engine.pay(payment(&order, &format!("t{request}"))).await.unwrap();
    engine.ship(order.order_no, stockade::Shipment::default()).await.unwrap();
    order
}

/// A shop with an order whose messages are refused from the first on.
struct Refused {
    refusing: Refusing,
    sink: FakeSink,
    shop: Shop,
    relay: Relay,
    bad: Receipt,
}

impl Refused {
    async fn open() -> Self {
        let refusing = Refusing::default();
        let sink = refusing.sink();
        let (shop, relay) = shop_with(&sink).await;
        shop.stock_up(1, 100).await;
        relay.create_paused().await;
        let bad = shop.submit(one(1, 1, 1)).await.unwrap();
        refusing.refuse(&[bad.order_no]);
        relay.resume(NAME).await.unwrap();
        Self { refusing, sink, shop, relay, bad }
    }
}

const WHOLE: [&str; 4] = ["OrderCreated", "PaymentReceived", "OrderPaid", "OrderShipped"];

#[tokio::test]
async fn r11_what_is_refused_for_good_keeps_its_order_and_comes_again_when_asked() {
    let Refused { refusing, sink, shop, relay, bad } = Refused::open().await;
    shop.pay(payment(&bad, "t1")).await.unwrap();
    let good = through(&shop, 2).await;
    let status = drained(&shop, &relay).await;
    assert_eq!(sink.of_order(good.order_no), WHOLE, "others go on");
    assert_eq!(names(&relay).await, [("OrderCreated", 3), ("PaymentReceived", 0), ("OrderPaid", 0)]);
    assert_eq!((status.dead_letters, status.state), (3, SubscriptionState::Running));
    let page = relay.dead_letters(NAME, Position(0), 2).await.unwrap();
    let (first, second) = (&page.letters[0], &page.letters[1]);
    assert_eq!((first.reason.as_str(), first.order_no), ("not today", Some(bad.order_no)));
    assert!(second.reason.contains(&format!("position {}", first.position)), "{}", second.reason);
    assert_eq!(relay.dead_letter(NAME, first.position).await.unwrap(), *first);
    let rest = relay.dead_letters(NAME, page.next.unwrap(), 2).await.unwrap();
    assert_eq!((rest.letters.len(), rest.next), (1, None));

    // Refused again, it has been tried more often, and what stands behind it has not gone before it.
    assert_eq!(relay.requeue(NAME, None).await.unwrap(), 3);
    reached(|| relay.subscription(NAME).unwrap().retried >= 4).await;
    answered(async {
        while names(&relay).await[0].1 < 6 {
            tokio::time::sleep(std::time::Duration::from_millis(1)).await;
        }
    })
    .await;
    assert_eq!(sink.of_order(bad.order_no), [""; 0]);

    refusing.refuse(&[]);
    // Still dead: nobody has asked for them. What comes now goes to the end.
    shop.ship(bad.order_no, stockade::Shipment::default()).await.unwrap();
    dead(&relay, 4).await;
    let middle = letters(&relay).await[2].0;
    assert_eq!(relay.requeue(NAME, Some(Position(middle))).await.unwrap(), 4, "an order goes as a whole");
    dead(&relay, 0).await;
    assert_eq!(sink.of_order(bad.order_no), WHOLE);
    shop.confirm(Caller::Operator, bad.order_no).await.unwrap();
    drained(&shop, &relay).await;
    assert_eq!(sink.of_order(bad.order_no).last(), Some(&"OrderReceived"), "and is alive again");
    assert_complete(&sink.taken(), &journal(&shop).await, "in the end");
}

#[tokio::test]
async fn letters_are_told_how_often_they_were_tried() {
    let Refused { refusing, sink, shop: _shop, relay, bad } = Refused::open().await;
    dead(&relay, 1).await;
    refusing.refuse(&[]);
    relay.requeue(NAME, None).await.unwrap();
    dead(&relay, 0).await;
    let taken = sink.taken().into_iter().find(|message| message.order_no == Some(bad.order_no)).unwrap();
    assert_eq!(taken.attempt, 3);
}

#[tokio::test]
async fn letters_and_what_was_asked_for_them_survive_a_crash() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path();
    let refusing = Refusing::default();
    let sink = refusing.sink();
    let shop = Disk::open(path, &sink).await;
    let relay = shop.relay().unwrap();
    shop.stock_up(1, 100).await;
    relay.create_paused().await;
    let orders = [
        shop.submit(one(1, 1, 1)).await.unwrap().order_no,
        shop.submit(one(2, 2, 1)).await.unwrap().order_no,
        shop.submit(one(3, 3, 1)).await.unwrap().order_no,
    ];
    refusing.refuse(&orders);
    relay.resume(NAME).await.unwrap();
    for order_no in orders {
        shop.cancel(Caller::Operator, order_no).await.unwrap();
    }
    dead(&relay, 6).await;
    drained(&shop, &relay).await;
    let before = letters(&relay).await;
    let bodies = relay.dead_letters(NAME, Position(0), 10).await.unwrap().letters;
    let by = shop.crash(path).await;

    let shop = Disk::open_by(path, &sink, by, |config| config).await;
    let relay = shop.relay().unwrap();
    dead(&relay, 6).await;
    assert_eq!(letters(&relay).await, before);
    assert_eq!(relay.dead_letters(NAME, Position(0), 10).await.unwrap().letters, bodies);
    let of = |nth: usize| bodies.iter().filter(move |letter| letter.order_no == Some(orders[nth]));
    let first_of = |nth| of(nth).next().unwrap().position;
    // One is thrown away with what is behind it; one is to come again, but the sink is gone just then.
    for letter in of(0) {
        assert_eq!(relay.discard(NAME, Some(letter.position)).await.unwrap(), 1);
    }
    sink.judge(|_| Verdict::Down);
    assert_eq!(relay.requeue(NAME, Some(first_of(1))).await.unwrap(), 2);
    let by = shop.crash(path).await;

    let taken = sink.taken_len();
    sink.judge(|_| Verdict::Take);
    let shop = Disk::open_by(path, &sink, by, |config| config).await;
    let relay = shop.relay().unwrap();
    reached(|| sink.of_order(orders[1]).len() == 2).await;
    dead(&relay, 2).await;
    assert_eq!(sink.of_order(orders[1]), ["OrderCreated", "OrderClosed"]);
    assert!(sink.taken_len() > taken);
    assert_eq!(sink.of_order(orders[0]), [""; 0]);
    assert_eq!(sink.of_order(orders[2]), [""; 0], "nobody has asked for it");
    assert_eq!(relay.discard(NAME, None).await.unwrap(), 2);
    assert_eq!(letters(&relay).await, []);
    let gone = relay.dead_letter(NAME, first_of(2)).await.unwrap_err();
    assert_eq!(gone, RelayError::NoDeadLetter { position: first_of(2) });
    let gone = relay.requeue(NAME, Some(first_of(2))).await.unwrap_err();
    assert_eq!(gone, RelayError::NoDeadLetter { position: first_of(2) });
    shop.shut_down(path).await;
}

#[tokio::test]
async fn r12_with_its_letters_full_a_subscription_is_suspended_and_loses_nothing() {
    let refusing = Refusing::default();
    let sink = refusing.sink();
    let (shop, relay) = shop_with(&sink).await;
    shop.stock_up(1, 100).await;
    relay.create(NAME, spec(json!({"dead_letters_max": 4}))).await.unwrap();
    relay.pause(NAME).await.unwrap();
    let mut orders = Vec::new();
    for request in 1..=20 {
        orders.push(shop.submit(one(1, request, 1)).await.unwrap().order_no);
    }
    refusing.refuse(&orders);
    relay.resume(NAME).await.unwrap();
    let status = in_state(&relay, is_suspended).await;
    assert_eq!(
        status.state,
        SubscriptionState::Suspended { reason: "it has as many dead letters as it may, 4".into() }
    );
    reached(|| relay.subscription(NAME).unwrap().in_flight == 0).await;
    let status = relay.subscription(NAME).unwrap();
    assert_eq!((status.dead_letters, status.missing.len()), (4, 0));
    assert!(status.lag_bytes > 0 || status.lag_events > 0, "the journal is kept");

    // As long as nothing has changed it can't go far.
    relay.resume(NAME).await.unwrap();
    in_state(&relay, is_suspended).await;

    refusing.refuse(&[]);
    relay.resume(NAME).await.unwrap();
    relay.requeue(NAME, None).await.unwrap();
    drained(&shop, &relay).await;
    dead(&relay, 0).await;
    assert_complete(&sink.taken(), &journal(&shop).await, "in the end");
}

#[tokio::test]
async fn events_without_an_order_are_buried_alone() {
    let sink = FakeSink::new(
        |message| {
            if message.event == "StockAdjusted" { Verdict::Refuse } else { Verdict::Take }
        },
    );
    let (shop, relay) = shop_with(&sink).await;
    relay.create(NAME, spec(json!({}))).await.unwrap();
    shop.stock_up(1, 100).await;
    shop.adjust_stock(add_units(77, 1, 5)).await.unwrap();
    drained(&shop, &relay).await;
    assert_eq!(names(&relay).await, [("StockAdjusted", 3), ("StockAdjusted", 3)]);
    sink.judge(|_| Verdict::Take);
    let second = letters(&relay).await[1].0;
    assert_eq!(relay.requeue(NAME, Some(Position(second))).await.unwrap(), 1);
    dead(&relay, 1).await;
    assert_eq!(relay.requeue(NAME, None).await.unwrap(), 1);
    dead(&relay, 0).await;
    let journal = journal(&shop).await;
    assert_eq!(sink.taken_len(), journal.len());
}

/// Makes a subscription that waits to be resumed.
trait Prepared {
    async fn create_paused(&self);
}

impl Prepared for Relay {
    async fn create_paused(&self) {
        self.create(NAME, spec(json!({}))).await.unwrap();
        self.pause(NAME).await.unwrap();
    }
}
