//! A subscription's settings as JSON: what is sent, and what is shown of it.
//!
//! The fields are those of [`SubscriptionSpec`], which is made from their JSON, so that its defaults stand in one place.

use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

use crate::Position;
use crate::http::problem::Problem;
use crate::relay::{PersonalChoice, Secret, SinkSpec, Start, SubscriptionSpec};

/// A subscription's settings. What is left out has its default.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = RelaySpec)]
pub struct SpecBody {
    /// Names of the events that it wants, at most 64, as order timelines have them; all events without.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(max_items = 64, example = json!(["OrderCreated", "OrderPaid"]))]
    pub events: Option<Vec<String>>,
    /// Where it begins, when it is made; `next` unless said.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub start: Option<StartBody>,
    /// Where messages go.
    pub sink: SinkBody,
    /// How often, and how soon, a delivery is tried again.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub retry: Option<RetryBody>,
    /// Most messages on their way, 1 to 65,536; 1,024 unless said.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 1, maximum = 65_536)]
    pub in_flight_max: Option<u32>,
    /// Most bytes of journal that are kept for it, 1 MiB to 1 TiB; beyond it the subscription is suspended. 4 GiB unless said.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 1_048_576, maximum = 1_099_511_627_776_u64)]
    pub lag_bytes_max: Option<u64>,
    /// Most dead letters that it keeps, 1 to 1,000,000; beyond it the subscription is suspended. 100,000 unless said.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 1, maximum = 1_000_000)]
    pub dead_letters_max: Option<u32>,
    /// Whether messages about an order carry the order as it stands when the message is made.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub snapshot: Option<bool>,
    /// How personal data is given out: `masked` unless said, or `whole`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub personal: Option<PersonalBody>,
}

/// How personal data is given out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
#[schema(as = RelayPersonal)]
pub enum PersonalBody {
    /// As in lists.
    Masked,
    /// Whole; for the scope `security`.
    Whole,
}

/// A place to begin at, or to go on at.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
#[schema(as = RelayStart)]
pub enum StartBody {
    /// With the next event that becomes durable.
    Next,
    /// With the first that the journal still has.
    First,
    /// At this position.
    At(u64),
}

impl From<StartBody> for Start {
    fn from(start: StartBody) -> Self {
        match start {
            StartBody::Next => Self::Next,
            StartBody::First => Self::First,
            StartBody::At(position) => Self::At(Position(position)),
        }
    }
}

/// How often, and how soon, a delivery is tried again.
#[derive(Clone, Copy, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = RelayRetry)]
pub struct RetryBody {
    /// Times that a message is tried before it becomes a dead letter, 1 to 1,000; 10 unless said.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 1, maximum = 1_000)]
    pub attempts_max: Option<u32>,
    /// The first wait, in ms, 1 to 60,000; it doubles, with jitter. 100 unless said.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 1, maximum = 60_000)]
    pub backoff_ms: Option<u64>,
    /// The longest wait, in ms, up to an hour; 30,000 unless said.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 1, maximum = 3_600_000)]
    pub backoff_ms_max: Option<u64>,
}

// No variant is a type of its own: its schema, which allows no unknown fields, would rule `kind` out.
/// Where messages go.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
#[schema(as = RelaySink)]
pub enum SinkBody {
    /// Nowhere by themselves: a client polls `/gateway/events/{name}` and acknowledges.
    Pull {},
    /// To a sink that the program which embeds the engine has handed in under this name.
    Program {
        /// The name.
        sink: String,
    },
    /// To RabbitMQ.
    Rabbitmq {
        /// Where it is: `host:port`.
        address: String,
        /// User; `guest` unless said.
        #[serde(skip_serializing_if = "Option::is_none")]
        user: Option<String>,
        /// Password. Never shown.
        #[serde(skip_serializing_if = "Option::is_none")]
        #[schema(value_type = Option<String>, write_only, format = Password)]
        password: Option<Secret>,
        /// Virtual host; `/` unless said.
        #[serde(skip_serializing_if = "Option::is_none")]
        vhost: Option<String>,
        /// Whether to connect by TLS.
        #[serde(skip_serializing_if = "Option::is_none")]
        tls: Option<bool>,
        /// A file on the server with the authority that its certificate is checked against, as PEM; the usual ones without.
        #[serde(skip_serializing_if = "Option::is_none")]
        tls_ca: Option<String>,
        /// The exchange, made as a durable direct one unless it is there; empty for the default exchange.
        exchange: String,
        /// The queue, made as a durable one and bound to the exchange; none without.
        #[serde(skip_serializing_if = "Option::is_none")]
        queue: Option<String>,
        /// The routing key; the queue's name without.
        #[serde(skip_serializing_if = "Option::is_none")]
        routing_key: Option<String>,
        /// Whether the queue is a quorum queue, mirrored over the brokers of a cluster.
        #[serde(skip_serializing_if = "Option::is_none")]
        mirror: Option<bool>,
    },
    /// To NATS JetStream.
    Nats {
        /// Where it is: `host:port`.
        address: String,
        /// User.
        #[serde(skip_serializing_if = "Option::is_none")]
        user: Option<String>,
        /// Password. Never shown.
        #[serde(skip_serializing_if = "Option::is_none")]
        #[schema(value_type = Option<String>, write_only, format = Password)]
        password: Option<Secret>,
        /// Whether to connect by TLS.
        #[serde(skip_serializing_if = "Option::is_none")]
        tls: Option<bool>,
        /// A file on the server with the authority that its certificate is checked against, as PEM; the usual ones without.
        #[serde(skip_serializing_if = "Option::is_none")]
        tls_ca: Option<String>,
        /// The stream, made unless it is there.
        stream: String,
        /// The subject; `{event}` in it stands for the event's name.
        subject: String,
    },
    /// To a web server.
    Webhook {
        /// `https://…`, or `http://…` where private addresses are allowed; without user and password.
        url: String,
        /// The key that messages are signed with: HMAC-SHA256. Never shown.
        #[serde(skip_serializing_if = "Option::is_none")]
        #[schema(value_type = Option<String>, write_only, format = Password)]
        secret: Option<Secret>,
        /// How long an answer may take, in ms, 100 to 60,000; 10,000 unless said.
        #[serde(skip_serializing_if = "Option::is_none")]
        #[schema(minimum = 100, maximum = 60_000)]
        timeout_ms: Option<u64>,
        /// Whether it may be at a private, loopback or link-local address; for the scope `security`.
        #[serde(skip_serializing_if = "Option::is_none")]
        allow_private: Option<bool>,
        /// A file on the server with the authority that its certificate is checked against, as PEM; the usual ones without.
        #[serde(skip_serializing_if = "Option::is_none")]
        tls_ca: Option<String>,
    },
}

/// Fields of sinks that are secret.
const SECRETS: [&str; 2] = ["password", "secret"];
/// Fields of sinks that say where a secret is sent to, and how well it is guarded on its way.
const PLACE: [&str; 6] = ["kind", "address", "url", "user", "tls", "tls_ca"];

impl SpecBody {
    /// Settings as they are shown: all of them but what is secret.
    ///
    /// # Errors
    /// `internal` where they have no form here.
    pub fn shown(spec: &SubscriptionSpec) -> Result<Self, Problem> {
        let mut value = serde_json::to_value(spec).map_err(|_| without_form())?;
        if let Some(sink) = value.get_mut("sink").and_then(Value::as_object_mut) {
            SECRETS.iter().for_each(|name| drop(sink.remove(*name)));
        }
        // What is not set is not shown.
        without_nulls(&mut value);
        serde_json::from_value(value).map_err(|_| without_form())
    }

    /// The settings, with the secret of the old ones where none was sent and it would go to the same place.
    ///
    /// # Errors
    /// A secret that has to be sent.
    pub fn into_spec(self, old: Option<&SubscriptionSpec>) -> Result<SubscriptionSpec, Problem> {
        let secret = match &self.sink {
            SinkBody::Pull {} | SinkBody::Program { .. } => None,
            SinkBody::Rabbitmq { password, .. } | SinkBody::Nats { password, .. } => {
                Some(("password", is_given(password)))
            }
            SinkBody::Webhook { secret, .. } => Some(("secret", is_given(secret))),
        };
        let mut value = serde_json::to_value(&self).map_err(|_| without_form())?;
        let Some((name, false)) = secret else { return read(value) };
        // The defaults are in it once it is read.
        value["sink"][name] = Value::String(String::new());
        let spec = read(value)?;
        let Some(old) = old.filter(|old| has_secret(old)) else { return Ok(spec) };
        let (mut value, old) = (written(&spec)?, written(old)?);
        if PLACE.iter().any(|field| value["sink"][*field] != old["sink"][*field]) {
            let field = format!("sink.{name}");
            return Err(Problem::invalid(
                field.clone(),
                format!("{field} is needed again: messages go elsewhere than before"),
                format!("投递目标已变更，请重新提供 {field}"),
            ));
        }
        value["sink"][name] = old["sink"][name].clone();
        read(value)
    }
}

/// Whether a secret was sent. An empty one is none: it must not bring the old one to another place.
fn is_given(secret: &Option<Secret>) -> bool {
    secret.as_ref().is_some_and(|secret| !secret.0.is_empty())
}

fn written(spec: &SubscriptionSpec) -> Result<Value, Problem> {
    serde_json::to_value(spec).map_err(|_| without_form())
}

fn read(value: Value) -> Result<SubscriptionSpec, Problem> {
    serde_json::from_value(value).map_err(|_| without_form())
}

fn without_nulls(value: &mut Value) {
    if let Value::Object(fields) = value {
        fields.retain(|_, value| !value.is_null());
        fields.values_mut().for_each(without_nulls);
    }
}

/// The two forms of settings have come apart: a mistake of ours.
fn without_form() -> Problem {
    Problem::new(
        axum::http::StatusCode::INTERNAL_SERVER_ERROR,
        "internal",
        "these settings can't be read or shown",
        "无法读取或显示该设置",
    )
}

/// Whether settings have a password or key.
pub(super) fn has_secret(spec: &SubscriptionSpec) -> bool {
    match &spec.sink {
        SinkSpec::Pull {} | SinkSpec::Program { .. } => false,
        SinkSpec::Rabbitmq(sink) => !sink.password.0.is_empty(),
        SinkSpec::Nats(sink) => !sink.password.0.is_empty(),
        SinkSpec::Webhook(sink) => !sink.secret.0.is_empty(),
    }
}

/// Whether settings send personal data in full to another system, or messages into the shop's own networks.
pub(super) fn is_wide_open(spec: &SubscriptionSpec) -> bool {
    let is_private = matches!(&spec.sink, SinkSpec::Webhook(sink) if sink.allow_private);
    is_private || spec.personal == PersonalChoice::Whole
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn sinks() -> [Value; 4] {
        [
            json!({"kind": "pull"}),
            json!({"kind": "rabbitmq", "address": "a:1", "user": "u", "password": "hunter2", "vhost": "/v", "tls": true,
                "tls_ca": "/ca.pem", "exchange": "e", "queue": "q", "routing_key": "r", "mirror": true}),
            json!({"kind": "nats", "address": "a:1", "user": "u", "password": "hunter2", "tls": true, "tls_ca": "/ca.pem",
                "stream": "S", "subject": "s.{event}"}),
            json!({"kind": "webhook", "url": "https://a.example/", "secret": "hunter2", "timeout_ms": 500,
                "allow_private": true, "tls_ca": "/ca.pem"}),
        ]
    }

    fn body(value: Value) -> SpecBody {
        serde_json::from_value(value).unwrap()
    }

    #[test]
    fn every_setting_comes_back_but_for_secrets() {
        for sink in sinks() {
            let sent = json!({"events": ["OrderPaid"], "start": {"at": 7}, "sink": sink, "retry": {"attempts_max": 3,
                "backoff_ms": 4, "backoff_ms_max": 5}, "in_flight_max": 6, "lag_bytes_max": 1_048_576,
                "dead_letters_max": 8, "snapshot": true, "personal": "whole"});
            let spec = body(sent.clone()).into_spec(None).unwrap();
            let shown = serde_json::to_value(SpecBody::shown(&spec).unwrap()).unwrap();
            assert!(!shown.to_string().contains("hunter2"), "{shown}");
            assert_eq!(has_secret(&spec), sent.to_string().contains("hunter2"));
            let mut expected = sent;
            let sink = expected["sink"].as_object_mut().unwrap();
            SECRETS.iter().for_each(|name| drop(sink.remove(*name)));
            assert_eq!(shown, expected);
        }
    }

    #[test]
    fn what_is_left_out_has_the_defaults_of_the_relay() {
        let spec = body(json!({"sink": {"kind": "pull"}})).into_spec(None).unwrap();
        let read: SubscriptionSpec = serde_json::from_value(json!({"sink": {"kind": "pull"}})).unwrap();
        assert_eq!(spec, read);
    }

    #[test]
    fn a_secret_stays_where_it_would_go_to_the_same_place() {
        for sink in &sinks()[1..] {
            let old = body(json!({"sink": sink})).into_spec(None).unwrap();
            let mut without = sink.clone();
            SECRETS.iter().for_each(|name| drop(without.as_object_mut().unwrap().remove(*name)));
            let kept = body(json!({"sink": without, "in_flight_max": 5})).into_spec(Some(&old)).unwrap();
            assert_eq!((kept.in_flight_max, &kept.sink), (5, &old.sink));
            let place = if sink["kind"] == "webhook" { "url" } else { "address" };
            without[place] = json!("https://elsewhere.example/");
            let refused = body(json!({"sink": without})).into_spec(Some(&old)).unwrap_err();
            assert_eq!(refused.code(), "invalid_value");
            assert!(refused.about().unwrap().starts_with("sink."), "{refused:?}");
            without[if sink["kind"] == "webhook" { "secret" } else { "password" }] = json!("");
            assert!(body(json!({"sink": without})).into_spec(Some(&old)).is_err(), "an empty one is none");
        }
        let fresh = body(json!({"sink": {"kind": "webhook", "url": "https://a/"}})).into_spec(None).unwrap();
        assert!(!has_secret(&fresh), "whether one is needed is the sink's to say");
    }

    #[test]
    fn no_secret_is_in_any_error_or_debug_form() {
        for wrong in [json!(170_859_375), json!(true), json!(["hunter2"]), json!(1.7e9), json!(-170_859_375)]
        {
            let sink = json!({"kind": "rabbitmq", "address": "a:1", "exchange": "e", "password": wrong});
            let error = serde_json::from_value::<SpecBody>(json!({"sink": sink})).unwrap_err().to_string();
            assert!(!error.contains("170859375") && !error.contains("hunter2"), "{error}");
        }
        for sink in sinks() {
            assert!(!format!("{:?}", body(json!({"sink": sink}))).contains("hunter2"));
        }
    }
}
