//! `/gateway/events/{name}`: events of the relay for consumers without a broker, by long poll and acknowledgement.
//!
//! At least once: what is not acknowledged comes again. A message's `position` is the key to tell a repetition by.

use std::time::Duration;

use axum::Json;
use axum::extract::State;
use axum::http::header;
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::{IntoParams, ToSchema};

use crate::http::admin::desk::forbidden;
use crate::http::auth::access;
use crate::http::context::Context;
use crate::http::json::{Body, Id, Params, Parts};
use crate::http::problem::Problem;
use crate::http::state::App;
use crate::relay::Message;
use crate::{Position, Reject};

/// Longest time that a request waits for a message, in ms.
const WAIT_MS_MAX: u64 = 30_000;
/// Most messages of an answer.
const MESSAGES_MAX: u64 = 1_000;
/// Messages of an answer unless the caller says how many.
const MESSAGES: u64 = 100;
/// Bytes of messages behind which an answer ends, whatever was asked for. There is always one message, if there is any.
const MESSAGES_BYTES: usize = 4 << 20;

/// Which messages, and for how long to wait for one.
#[derive(Clone, Copy, Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct EventParams {
    /// Only messages behind this position: `next` of the answer before. Without it, from the first that is not acknowledged.
    after: Option<Id>,
    /// Most messages, 1 to 1,000; 100 without it.
    #[param(minimum = 1, maximum = 1000)]
    max: Option<u64>,
    /// How long to wait for the first message, in ms, 0 to 30,000; 0 without it.
    #[param(minimum = 0, maximum = 30_000)]
    wait_ms: Option<u64>,
}

/// Messages of a subscription.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = RelayMessages, example = json!({"messages": [{"schema": 1, "position": 120, "event": "OrderPaid", "order_no":
    "380000000000000001", "at": "2026-11-11T04:00:00.000Z", "at_ms": 1_794_369_600_000_u64}], "next": 120}))]
pub struct EventsBody {
    /// The messages, by position, as every sink gets them; `docs/relay-message.schema.json` describes them. None where none
    /// came in time.
    pub messages: Vec<Value>,
    /// The last message's position: to be acknowledged, and to ask on behind it. Absent without a message.
    pub next: Option<u64>,
}

/// Gives the messages of a subscription that are not acknowledged, and waits for one where there is none.
///
/// At least once, in order: what is not acknowledged comes again. One caller at a time polls a subscription; a second one
/// is refused as `subscription_busy`. The subscription's sink must be `pull`.
#[utoipa::path(get, path = "/gateway/events/{name}", tag = "gateway",
    params(("name" = String, Path, min_length = 1, max_length = 64, example = "erp", description = "The subscription's name."),
        EventParams),
    responses((status = 200, description = "Messages, or none.", body = EventsBody)))]
pub async fn poll(
    State(app): State<App>,
    context: Context,
    Parts(name): Parts<String>,
    Params(params): Params<EventParams>,
) -> Result<Response, Problem> {
    let EventParams { after, max, wait_ms } = params;
    check_caller(&context, &name)?;
    let (max, wait_ms) = (max.unwrap_or(MESSAGES), wait_ms.unwrap_or(0));
    Reject::check_range("max", max, 1, MESSAGES_MAX)?;
    Reject::check_range("wait_ms", wait_ms, 0, WAIT_MS_MAX)?;
    let relay = app.engine().relay()?;
    let after = after.map(|after| Position(after.0));
    let len_max = usize::try_from(max).unwrap_or(usize::MAX);
    let messages = relay.poll(&name, after, len_max, Duration::from_millis(wait_ms)).await?;
    Ok(([(header::CONTENT_TYPE, "application/json")], written(&messages)).into_response())
}

/// Up to which message everything is done.
#[derive(Clone, Copy, Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = RelayAck, example = json!({"position": 120}))]
pub struct AckBody {
    /// The position of the last message that is done.
    pub position: Id,
}

/// How far a subscription is.
#[derive(Clone, Copy, Debug, Serialize, ToSchema)]
#[schema(as = RelayAcked, example = json!({"cursor": 121, "lag_events": 0}))]
pub struct AckedBody {
    /// Everything before this position is done with.
    pub cursor: u64,
    /// Durable events behind it.
    pub lag_events: u64,
}

/// Acknowledges the messages of a subscription up to a position: they don't come again.
///
/// Durable when it is answered. A position before the last acknowledged one changes nothing.
#[utoipa::path(post, path = "/gateway/events/{name}/ack", tag = "gateway", request_body = AckBody,
    params(("name" = String, Path, min_length = 1, max_length = 64, example = "erp", description = "The subscription's name.")),
    responses((status = 200, description = "They are done, durably.", body = AckedBody)))]
pub async fn ack(
    State(app): State<App>,
    context: Context,
    Parts(name): Parts<String>,
    Body(body): Body<AckBody>,
) -> Result<Json<AckedBody>, Problem> {
    check_caller(&context, &name)?;
    let status = app.engine().relay()?.acknowledge(&name, Position(body.position.0)).await?;
    Ok(Json(AckedBody { cursor: status.cursor.0, lag_events: status.lag_events }))
}

/// Whether the caller has a scope for the subscription, whether there is one of that name or not.
fn check_caller(context: &Context, name: &str) -> Result<(), Problem> {
    access::may_poll(context.principal.as_ref(), name).map_err(|denied| forbidden(&denied))
}

/// The answer: the messages are JSON already and stand in it byte for byte.
fn written(messages: &[Message]) -> Vec<u8> {
    let mut body =
        Vec::with_capacity(messages.iter().map(|message| message.body.len() + 1).sum::<usize>() + 64);
    body.extend_from_slice(b"{\"messages\":[");
    let mut next = None;
    for message in messages {
        if next.is_some() {
            if body.len() + message.body.len() > MESSAGES_BYTES {
                break;
            }
            body.push(b',');
        }
        body.extend_from_slice(&message.body);
        next = Some(message.position);
    }
    body.push(b']');
    if let Some(Position(next)) = next {
        body.extend_from_slice(format!(",\"next\":{next}").as_bytes());
    }
    body.push(b'}');
    body
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn message(position: u64, body: Vec<u8>) -> Message {
        let event = "OrderPaid";
        Message {
            position: Position(position),
            order_no: None,
            event,
            at_ms: 0,
            attempt: 0,
            body: body.into(),
        }
    }

    fn answer(messages: &[Message]) -> Value {
        serde_json::from_slice(&written(messages)).expect("it is JSON")
    }

    #[test]
    fn messages_stand_in_the_answer_as_they_are() {
        assert_eq!(answer(&[]), json!({"messages": []}));
        let two = [message(3, b"{\"a\":1}".to_vec()), message(7, b"{\"b\":2}".to_vec())];
        assert_eq!(answer(&two), json!({"messages": [{"a": 1}, {"b": 2}], "next": 7}));
    }

    #[test]
    fn an_answer_ends_behind_so_many_bytes_and_never_before_its_first_message() {
        let large = |bytes: usize| format!("\"{}\"", "x".repeat(bytes)).into_bytes();
        let messages = [message(1, large(MESSAGES_BYTES)), message(2, large(1))];
        assert_eq!(answer(&messages)["next"], 1);
        let messages: Vec<_> = (1..=5).map(|position| message(position, large(1 << 20))).collect();
        assert_eq!(answer(&messages)["next"], 3);
    }
}
