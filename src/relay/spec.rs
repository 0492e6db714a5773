//! A subscription's settings.

use std::collections::BTreeMap;
use std::fmt;

use serde::de::{self, Visitor};
use serde::{Deserialize, Deserializer, Serialize};

use crate::domain::ids::Position;

/// A value that is never shown: a password, a signing key. Its `Debug` form is stars; it is stored, and never answered.
#[derive(Clone, Default, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct Secret(pub String);

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

/// Written out, because the derived form would repeat a number that stands where a text should.
impl<'de> Deserialize<'de> for Secret {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Text;

        impl Visitor<'_> for Text {
            type Value = Secret;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a secret as text")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Secret, E> {
                Ok(Secret(text.to_owned()))
            }

            fn visit_bool<E: de::Error>(self, _: bool) -> Result<Secret, E> {
                Err(no_text())
            }

            fn visit_i64<E: de::Error>(self, _: i64) -> Result<Secret, E> {
                Err(no_text())
            }

            fn visit_u64<E: de::Error>(self, _: u64) -> Result<Secret, E> {
                Err(no_text())
            }

            fn visit_f64<E: de::Error>(self, _: f64) -> Result<Secret, E> {
                Err(no_text())
            }
        }

        deserializer.deserialize_any(Text)
    }
}

/// Refuses what is no text, and repeats nothing of it.
fn no_text<E: de::Error>() -> E {
    E::custom("expected a secret as text")
}

/// The relay's settings.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RelayConfig {
    /// Subscriptions that there are to be, by name. Those that were configured before and are not here any more are
    /// paused, not deleted.
    pub subscriptions: BTreeMap<String, SubscriptionSpec>,
}

/// A subscription.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SubscriptionSpec {
    /// Which events; all of them without.
    #[serde(default)]
    pub events: EventChoice,
    /// Where it begins, when it is made. Default: with the next event.
    #[serde(default)]
    pub start: Start,
    /// Where messages go.
    pub sink: SinkSpec,
    /// How often, and how soon, a delivery is tried again.
    #[serde(default)]
    pub retry: RetrySpec,
    /// Most messages on their way, 1 to 65,536. Default: 1,024.
    #[serde(default = "in_flight_max")]
    pub in_flight_max: u32,
    /// Most bytes of journal that are kept for it; beyond it the subscription is suspended and the missing range recorded.
    /// 1 MiB to 1 TiB. Default: 4 GiB.
    #[serde(default = "lag_bytes_max")]
    pub lag_bytes_max: u64,
    /// Most dead letters that it keeps, 1 to 1,000,000; beyond it the subscription is suspended. Default: 100,000.
    #[serde(default = "dead_letters_max")]
    pub dead_letters_max: u32,
    /// Whether messages about an order carry the order as it stands when the message is made.
    #[serde(default)]
    pub snapshot: bool,
    /// How personal data is given out. Default: masked.
    #[serde(default)]
    pub personal: PersonalChoice,
}

fn in_flight_max() -> u32 {
    1_024
}

fn lag_bytes_max() -> u64 {
    4 << 30
}

fn dead_letters_max() -> u32 {
    100_000
}

/// Which events: names as [`Event::name`](crate::Event::name) gives them, at most 64.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct EventChoice(pub Vec<String>);

/// Where a new subscription begins.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Start {
    /// With the next event that becomes durable.
    #[default]
    Next,
    /// With the first that the journal still has.
    First,
    /// At this position.
    At(Position),
}

/// How personal data is given out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PersonalChoice {
    /// As in lists: the first character of a name, parts of a phone number, no street.
    #[default]
    Masked,
    /// Whole.
    Whole,
}

/// How often, and how soon, a delivery is tried again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RetrySpec {
    /// Times that a message is tried before it becomes a dead letter, 1 to 1,000. Default: 10.
    pub attempts_max: u32,
    /// The first wait, in ms, 1 to 60,000; it doubles, with jitter. Default: 100.
    pub backoff_ms: u64,
    /// The longest wait, in ms, up to an hour. Default: 30,000.
    pub backoff_ms_max: u64,
}

impl Default for RetrySpec {
    fn default() -> Self {
        Self { attempts_max: 10, backoff_ms: 100, backoff_ms_max: 30_000 }
    }
}

/// Where messages go.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum SinkSpec {
    /// Nowhere by themselves: a program, or a client over HTTP, polls and acknowledges.
    Pull {},
    /// To a sink that the program has handed in by [`Config::relay_sink`](crate::Config::relay_sink).
    Program {
        /// The name that it was handed in by, 1 to 64 bytes.
        sink: String,
    },
    /// To RabbitMQ.
    Rabbitmq(RabbitSpec),
    /// To NATS JetStream.
    Nats(NatsSpec),
    /// To a web server.
    Webhook(WebhookSpec),
}

/// RabbitMQ.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RabbitSpec {
    /// Where it is: `host:port`.
    pub address: String,
    /// User. Default: guest.
    #[serde(default = "guest")]
    pub user: String,
    /// Password.
    #[serde(default)]
    pub password: Secret,
    /// Virtual host. Default: /.
    #[serde(default = "slash")]
    pub vhost: String,
    /// Whether to connect by TLS.
    #[serde(default)]
    pub tls: bool,
    /// A file with the authority that its certificate is checked against, as PEM; the usual ones without.
    #[serde(default)]
    pub tls_ca: Option<std::path::PathBuf>,
    /// The exchange, made as a durable direct one unless it is there; empty for the default exchange.
    pub exchange: String,
    /// The queue, made as a durable one and bound to the exchange; none without.
    #[serde(default)]
    pub queue: Option<String>,
    /// The routing key; the queue's name without.
    #[serde(default)]
    pub routing_key: Option<String>,
    /// Whether the queue is a quorum queue, mirrored over the brokers of a cluster.
    #[serde(default)]
    pub mirror: bool,
}

fn guest() -> String {
    "guest".to_owned()
}

fn slash() -> String {
    "/".to_owned()
}

/// NATS JetStream.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NatsSpec {
    /// Where it is: `host:port`.
    pub address: String,
    /// User.
    #[serde(default)]
    pub user: Option<String>,
    /// Password.
    #[serde(default)]
    pub password: Secret,
    /// Whether to connect by TLS.
    #[serde(default)]
    pub tls: bool,
    /// A file with the authority that its certificate is checked against, as PEM; the usual ones without.
    #[serde(default)]
    pub tls_ca: Option<std::path::PathBuf>,
    /// The stream, made unless it is there.
    pub stream: String,
    /// The subject; `{event}` in it stands for the event's name.
    pub subject: String,
}

/// A web server.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WebhookSpec {
    /// `https://…`, or `http://…` where private addresses are allowed.
    pub url: String,
    /// The key that messages are signed with: HMAC-SHA256.
    pub secret: Secret,
    /// How long an answer may take, in ms, 100 to 60,000. Default: 10,000.
    #[serde(default = "timeout_ms")]
    pub timeout_ms: u64,
    /// Whether it may be at a private, loopback or link-local address.
    #[serde(default)]
    pub allow_private: bool,
    /// A file with the authority that its certificate is checked against, as PEM; the usual ones without.
    #[serde(default)]
    pub tls_ca: Option<std::path::PathBuf>,
}

fn timeout_ms() -> u64 {
    10_000
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_read_as_text_and_never_repeated() {
        let read = |json: &str| serde_json::from_str::<Secret>(json).map_err(|error| error.to_string());
        assert_eq!(read("\"170859375\""), Ok(Secret("170859375".to_owned())));
        for wrong in ["170859375", "-170859375", "170859375.5", "[170859375]", "true"] {
            let error = read(wrong).unwrap_err();
            assert!(error.contains("a secret as text") && !error.contains("170859375"), "{error}");
        }
        assert_eq!(format!("{:?}", Secret("170859375".to_owned())), "***");
    }
}
