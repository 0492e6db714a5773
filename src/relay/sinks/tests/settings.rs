//! Settings that can't be are refused by name, and no refusal repeats a secret.

use crate::relay::RelayError;
use crate::relay::sinks::{open, validate};
use crate::relay::spec::{NatsSpec, RabbitSpec, Secret, SinkSpec, WebhookSpec};

const SECRET: &str = "a-secret-of-twenty-4";

fn rabbit() -> RabbitSpec {
    RabbitSpec {
        address: "rabbit:5672".into(),
        user: "shop".into(),
        password: Secret(SECRET.into()),
        vhost: "/".into(),
        tls: false,
        tls_ca: None,
        exchange: "orders".into(),
        queue: Some("erp".into()),
        routing_key: None,
        mirror: false,
    }
}

fn nats() -> NatsSpec {
    NatsSpec {
        address: "nats:4222".into(),
        user: Some("shop".into()),
        password: Secret(SECRET.into()),
        tls: false,
        tls_ca: None,
        stream: "ORDERS".into(),
        subject: "orders.{event}".into(),
    }
}

fn webhook() -> WebhookSpec {
    WebhookSpec {
        url: "https://erp.example.com/hook?a=1".into(),
        secret: Secret(SECRET.into()),
        timeout_ms: 10_000,
        allow_private: false,
        tls_ca: None,
    }
}

/// The field that is refused, if one is.
fn refused(spec: &SinkSpec) -> Option<String> {
    match validate(spec) {
        Ok(()) => None,
        Err(RelayError::Invalid { field, reason }) => {
            assert!(!reason.contains(SECRET), "{reason}");
            Some(field)
        }
        Err(other) => panic!("{other:?}"),
    }
}

/// A setting that is spoilt, and how.
type Wrong<S> = (&'static str, fn(&mut S));

#[test]
fn rabbitmq_settings_are_checked_by_name() {
    let of = |change: fn(&mut RabbitSpec)| {
        let mut spec = rabbit();
        change(&mut spec);
        refused(&SinkSpec::Rabbitmq(spec))
    };
    assert_eq!(of(|_| ()), None);
    assert_eq!(of(|spec| spec.exchange.clear()), None, "the default exchange");
    let wrong: [Wrong<RabbitSpec>; 15] = [
        ("sink.address", |spec| spec.address = "rabbit".into()),
        ("sink.address", |spec| spec.address = format!("amqp://u:{SECRET}@rabbit:5672")),
        ("sink.user", |spec| spec.user.clear()),
        ("sink.password", |spec| spec.password.0.push('\n')),
        ("sink.vhost", |spec| spec.vhost.clear()),
        ("sink.vhost", |spec| spec.vhost = "v".repeat(256)),
        ("sink.exchange", |spec| spec.exchange = "x".repeat(256)),
        ("sink.exchange", |spec| spec.exchange = "amq.topic".into()),
        ("sink.queue", |spec| spec.queue = Some(String::new())),
        ("sink.queue", |spec| spec.queue = Some("amq.gen".into())),
        ("sink.routing_key", |spec| spec.queue = None),
        ("sink.routing_key", |spec| spec.routing_key = Some(String::new())),
        ("sink.tls_ca", |spec| spec.tls_ca = Some("/ca.pem".into())),
        ("sink.mirror", |spec| {
            (spec.queue, spec.routing_key, spec.mirror) = (None, Some("key".into()), true);
        }),
        ("sink.routing_key", |spec| {
            (spec.exchange, spec.routing_key) = (String::new(), Some("other".into()));
        }),
    ];
    for (at, (field, change)) in wrong.into_iter().enumerate() {
        assert_eq!(of(change).as_deref(), Some(field), "{at}");
    }
}

#[test]
fn nats_settings_are_checked_by_name() {
    let of = |change: fn(&mut NatsSpec)| {
        let mut spec = nats();
        change(&mut spec);
        refused(&SinkSpec::Nats(spec))
    };
    assert_eq!(of(|_| ()), None);
    assert_eq!(of(|spec| spec.subject = "orders".into()), None);
    let wrong: [Wrong<NatsSpec>; 9] = [
        ("sink.address", |spec| spec.address = "nats:0".into()),
        ("sink.user", |spec| spec.user = None),
        ("sink.stream", |spec| spec.stream = "a.b".into()),
        ("sink.stream", |spec| spec.stream.clear()),
        ("sink.subject", |spec| spec.subject.clear()),
        ("sink.subject", |spec| spec.subject = "orders.*".into()),
        ("sink.subject", |spec| spec.subject = "orders..x".into()),
        ("sink.subject", |spec| spec.subject = "{event}.{event}".into()),
        ("sink.tls_ca", |spec| spec.tls_ca = Some("/ca.pem".into())),
    ];
    for (at, (field, change)) in wrong.into_iter().enumerate() {
        assert_eq!(of(change).as_deref(), Some(field), "{at}");
    }
}

#[test]
fn webhook_settings_are_checked_by_name() {
    let of = |change: &dyn Fn(&mut WebhookSpec)| {
        let mut spec = webhook();
        change(&mut spec);
        refused(&SinkSpec::Webhook(spec))
    };
    assert_eq!(of(&|_| ()), None);
    let with_url = |url: &str, allow_private| {
        of(&|spec| (spec.url, spec.allow_private) = (url.to_owned(), allow_private))
    };
    for url in ["http://10.0.0.1/hook", "http://[::1]:8080/", "https://localhost/", "http://erp/"] {
        assert_eq!(with_url(url, true), None, "{url}");
    }
    let public_only = [
        "http://erp.example.com/",
        "https://10.0.0.1/",
        "https://127.0.0.1:8443/",
        "https://169.254.169.254/latest",
        "https://[::1]/",
        "https://[::ffff:169.254.169.254]/",
        "https://100.64.0.1/",
    ];
    for url in public_only {
        assert_eq!(with_url(url, false).as_deref(), Some("sink.url"), "{url}");
    }
    let userinfo = format!("https://user:{SECRET}@erp.example.com/");
    for url in ["", "erp", "/hook", "ftp://erp/", "https://", "https:///x", "https://a b/", &userinfo] {
        assert_eq!(with_url(url, true).as_deref(), Some("sink.url"), "{url}");
    }
    assert_eq!(of(&|spec| spec.secret.0 = "short".into()).as_deref(), Some("sink.secret"));
    assert_eq!(of(&|spec| spec.timeout_ms = 99).as_deref(), Some("sink.timeout_ms"));
    assert_eq!(of(&|spec| spec.timeout_ms = 60_001).as_deref(), Some("sink.timeout_ms"));
}

#[test]
fn a_file_that_cannot_be_read_is_refused_when_the_sink_is_made() {
    let mut rabbit = rabbit();
    (rabbit.tls, rabbit.tls_ca) = (true, Some("/there/is/no/ca.pem".into()));
    let mut nats = nats();
    (nats.tls, nats.tls_ca) = (true, Some("/there/is/no/ca.pem".into()));
    let mut webhook = webhook();
    webhook.tls_ca = Some("/there/is/no/ca.pem".into());
    for spec in [SinkSpec::Rabbitmq(rabbit), SinkSpec::Nats(nats), SinkSpec::Webhook(webhook)] {
        assert_eq!(validate(&spec), Ok(()), "checking opens no file");
        let refused = open(&spec, "erp").map(drop).unwrap_err();
        assert!(matches!(&refused, RelayError::Invalid { field, .. } if field == "sink.tls_ca"), "{refused}");
    }
    assert!(open(&SinkSpec::Pull {}, "erp").is_err());
}
