//! Subscriptions are made, changed and ended: by command and by configuration, and over restarts.

use serde_json::json;
use stockade::relay::{RelayConfig, RelayError, Secret, SinkSpec, SubscriptionSpec, SubscriptionState};
use stockade::{Config, Engine, OpenError, Position};

use crate::relay_support::*;
use crate::support::*;

fn configured(subscriptions: &[(&str, SubscriptionSpec)]) -> RelayConfig {
    let subscriptions = subscriptions.iter().map(|(name, spec)| ((*name).to_owned(), spec.clone()));
    RelayConfig { subscriptions: subscriptions.collect() }
}

fn webhook(secret: &str) -> SubscriptionSpec {
    let sink = json!({"kind": "webhook", "url": "https://shop.example/hook", "secret": secret});
    spec(json!({"sink": sink, "start": "next"}))
}

#[tokio::test]
async fn making_the_same_again_changes_nothing_and_another_is_refused() {
    let (shop, relay) = shop_with(&FakeSink::default()).await;
    let made = relay.create(NAME, spec(json!({}))).await.unwrap();
    assert_eq!(*made.spec, spec(json!({})));
    assert!(!made.configured);
    relay.create(NAME, spec(json!({}))).await.unwrap();
    let other = relay.create(NAME, spec(json!({"in_flight_max": 1}))).await.unwrap_err();
    assert_eq!(other, RelayError::Exists { name: NAME.into() });
    let invalid = relay.create("No", spec(json!({}))).await.unwrap_err();
    assert!(matches!(&invalid, RelayError::Invalid { field, .. } if field == "name"), "{invalid}");
    let no_sink = json!({"sink": {"kind": "program", "sink": "nobody"}});
    let invalid = relay.create("b", spec(no_sink)).await.unwrap_err();
    assert!(matches!(&invalid, RelayError::Invalid { field, .. } if field == "sink.sink"), "{invalid}");
    let ahead = relay.create("b", spec(json!({"start": {"at": 1_000}}))).await.unwrap_err();
    assert!(matches!(ahead, RelayError::Ahead { asked: Position(1_000), .. }), "{ahead}");
    assert_eq!(relay.subscriptions().len(), 1, "nothing was made");
    for error in [
        relay.pause("nobody").await.unwrap_err(),
        relay.delete("nobody").await.unwrap_err(),
        relay.requeue("nobody", None).await.unwrap_err(),
        relay.subscription("nobody").unwrap_err(),
    ] {
        assert_eq!(error, RelayError::NotFound { name: "nobody".into() });
    }
    for nth in 1..64 {
        relay.create(&format!("s{nth}"), pulled(json!({}))).await.unwrap();
    }
    let many = relay.create("one-more", pulled(json!({}))).await.unwrap_err();
    assert_eq!(many, RelayError::TooMany { max: 64 });
    shop.shutdown().await.unwrap();
}

#[tokio::test]
async fn what_is_deleted_is_gone_with_its_letters() {
    let dir = tempfile::tempdir().unwrap();
    let sink = FakeSink::new(|_| Verdict::Refuse);
    let shop = Disk::open(dir.path(), &sink).await;
    shop.stock_up(1, 100).await;
    let relay = shop.relay().unwrap();
    relay.create(NAME, spec(json!({}))).await.unwrap();
    drained(&shop, &relay).await;
    assert!(relay.subscription(NAME).unwrap().dead_letters > 0);
    relay.delete(NAME).await.unwrap();
    assert_eq!(relay.subscription(NAME).unwrap_err(), RelayError::NotFound { name: NAME.into() });
    let by = shop.crash(dir.path()).await;
    let shop = Disk::open_by(dir.path(), &sink, by, |config| config).await;
    let relay = shop.relay().unwrap();
    assert_eq!(relay.subscriptions(), []);
    let again = relay.create(NAME, spec(json!({"start": "next"}))).await.unwrap();
    assert_eq!(again.dead_letters, 0);
    assert_eq!(relay.dead_letters(NAME, Position(0), 10).await.unwrap().letters, []);
    shop.shut_down(dir.path()).await;
}

#[tokio::test]
async fn states_and_settings_survive_a_crash() {
    let dir = tempfile::tempdir().unwrap();
    let sink = FakeSink::default();
    let shop = Disk::open(dir.path(), &sink).await;
    shop.stock_up(1, 100).await;
    let relay = shop.relay().unwrap();
    relay.create("running", spec(json!({"in_flight_max": 7}))).await.unwrap();
    relay.create("paused", spec(json!({"snapshot": true}))).await.unwrap();
    relay.pause("paused").await.unwrap();
    relay.create("hook", webhook("signing-key-of-one")).await.unwrap();
    let by = shop.crash(dir.path()).await;
    let shop = Disk::open_by(dir.path(), &sink, by, |config| config).await;
    let relay = shop.relay().unwrap();
    let names: Vec<_> = relay.subscriptions().into_iter().map(|(name, _)| name).collect();
    assert_eq!(names, ["hook", "paused", "running"]);
    assert_eq!(*relay.subscription("running").unwrap().spec, spec(json!({"in_flight_max": 7})));
    assert_eq!(relay.subscription("running").unwrap().state, SubscriptionState::Running);
    assert_eq!(relay.subscription("paused").unwrap().state, SubscriptionState::Paused);
    assert!(relay.subscription("paused").unwrap().spec.snapshot);
    let SinkSpec::Webhook(kept) = &relay.subscription("hook").unwrap().spec.sink.clone() else { panic!() };
    assert_eq!(kept.secret, Secret("signing-key-of-one".into()));
    shop.shut_down(dir.path()).await;
}

#[tokio::test]
async fn a_secret_is_never_shown_and_its_absence_is_no_other_setting() {
    let (_shop, relay) = shop_with(&FakeSink::default()).await;
    relay.create("hook", webhook("hidden-key-of-nobody")).await.unwrap();
    assert!(!format!("{:?} {relay:?}", relay.subscriptions()).contains("hidden-key-of-nobody"));
    relay.create("hook", webhook("")).await.unwrap();
    let other = relay.create("hook", webhook("another-key-of-nobody")).await.unwrap_err();
    assert_eq!(other, RelayError::Exists { name: "hook".into() });
    assert!(!format!("{other:?} {other}").contains("key"));
}

#[tokio::test]
async fn a_configuration_makes_changes_pauses_and_brings_back() {
    let dir = tempfile::tempdir().unwrap();
    let sink = FakeSink::default();
    let (a, b) = (spec(json!({})), spec(json!({"events": ["OrderPaid"]})));
    let both = configured(&[("a", a.clone()), ("b", b.clone())]);
    let shop = {
        let (clock, time) = stockade::runtime::clock::Clock::manual(START_MS);
        Disk::open_by(dir.path(), &sink, (clock, time), |config| config.relay(both.clone())).await
    };
    shop.stock_up(1, 100).await;
    let relay = shop.relay().unwrap();
    let of_config = RelayError::Configured { name: "a".into() };
    assert!(relay.subscription("a").unwrap().configured);
    assert_eq!(relay.delete("a").await.unwrap_err(), of_config);
    assert_eq!(relay.create("a", b.clone()).await.unwrap_err(), of_config);
    relay.create("mine", a.clone()).await.unwrap();
    reached(|| relay.subscription("a").unwrap().cursor > shop.metrics().durable).await;

    // Changed while it runs: the cursor stays.
    let cursor = relay.subscription("a").unwrap().cursor;
    let changed = spec(json!({"in_flight_max": 3}));
    relay.configure(&configured(&[("a", changed.clone())])).await.unwrap();
    let status = relay.subscription("a").unwrap();
    assert_eq!((&*status.spec, status.configured), (&changed, true));
    assert!(status.cursor >= cursor);
    let left = relay.subscription("b").unwrap();
    assert_eq!((left.state, left.configured), (SubscriptionState::Paused, false));
    assert_eq!(relay.subscription("mine").unwrap().state, SubscriptionState::Running, "it was never in it");

    // It comes back, also by a restart.
    let by = shop.crash(dir.path()).await;
    let shop = Disk::open_by(dir.path(), &sink, by, |config| config.relay(both.clone())).await;
    let relay = shop.relay().unwrap();
    let back = relay.subscription("b").unwrap();
    assert_eq!((back.state, back.configured), (SubscriptionState::Running, true));
    assert_eq!(*relay.subscription("a").unwrap().spec, a);

    // What a person has paused stays paused.
    relay.pause("b").await.unwrap();
    relay.configure(&configured(&[("a", a.clone())])).await.unwrap();
    relay.configure(&both).await.unwrap();
    assert_eq!(relay.subscription("b").unwrap().state, SubscriptionState::Paused);

    // One that has left can be deleted.
    relay.configure(&configured(&[])).await.unwrap();
    relay.delete("a").await.unwrap();
    let invalid = configured(&[("x", spec(json!({"in_flight_max": 0})))]);
    let error = relay.configure(&invalid).await.unwrap_err();
    assert_eq!(error.to_string(), "x.in_flight_max: is 0: it must be 1 to 65536");
    shop.shut_down(dir.path()).await;
}

#[tokio::test]
async fn an_engine_does_not_open_with_settings_that_cannot_be() {
    let config = |relay| Config::new("").durability(stockade::Durability::Memory).relay(relay);
    let invalid = configured(&[(NAME, spec(json!({"in_flight_max": 0})))]);
    let error = Engine::open(config(invalid)).await.unwrap_err();
    assert!(matches!(error, OpenError::Relay(RelayError::Invalid { .. })), "{error}");
    let no_sink = configured(&[(NAME, spec(json!({})))]);
    let error = Engine::open(config(no_sink)).await.unwrap_err();
    assert!(error.to_string().contains("erp.sink.sink"), "{error}");
}
