//! Messages that a subscription could not deliver: looked at, tried again, thrown away.

use axum::Json;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::{IntoParams, ToSchema};

use super::super::desk::{Desk, Reason, page_len};
use super::relay;
use crate::Position;
use crate::http::auth::access::Shown;
use crate::http::json::{Body, Id, Params, PartPair, Parts, instant};
use crate::http::problem::Problem;
use crate::relay::DeadRelayed;

/// Most dead letters on a page.
const PAGE_LEN_MAX: usize = 1_000;

/// A message that could not be delivered.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = RelayDeadLetter, example = json!({"position": 120, "order_no": "380000000000000001", "event": "OrderPaid",
    "attempts": 10, "reason": "unroutable", "at": "2026-11-11T04:00:00.000Z", "at_ms": 1_794_369_600_000_u64}))]
pub struct DeadView {
    /// Its position.
    pub position: u64,
    /// Its order, if it has one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub order_no: Option<String>,
    /// Its event's name.
    pub event: String,
    /// Times that it was tried; 0 where it stands behind an earlier dead letter of its order.
    pub attempts: u32,
    /// Why it could not be delivered.
    pub reason: String,
    /// Since when it is a dead letter.
    pub at: String,
    /// The same, in ms since the Unix epoch.
    pub at_ms: u64,
    /// The message. In lists it is absent, and where it holds personal data that nobody asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub message: Option<Value>,
}

impl DeadView {
    fn of(letter: &DeadRelayed) -> Self {
        Self {
            position: letter.position.0,
            order_no: letter.order_no.map(|order_no| order_no.to_string()),
            event: letter.event.clone(),
            attempts: letter.attempts,
            reason: letter.reason.clone(),
            at: instant(letter.at_ms),
            at_ms: letter.at_ms,
            message: None,
        }
    }
}

/// Which dead letters.
#[derive(Clone, Copy, Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct DeadParams {
    /// The position to begin at: `next` of the page before.
    from: Option<Id>,
    /// Most dead letters on the page, 1 to 1,000; 100 without it.
    #[param(minimum = 1, maximum = 1000)]
    limit: Option<usize>,
}

/// A page of a subscription's dead letters.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = RelayDeadLetters, example = json!({"dead_letters": [{"position": 120, "order_no": "380000000000000001", "event":
    "OrderPaid", "attempts": 10, "reason": "unroutable", "at": "2026-11-11T04:00:00.000Z", "at_ms":
    1_794_369_600_000_u64}], "next": "131"}))]
pub struct DeadPageView {
    /// The dead letters, by position, without their messages.
    pub dead_letters: Vec<DeadView>,
    /// Where the next page starts; absent on the last one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next: Option<Id>,
}

/// Lists the dead letters of a subscription of the relay.
///
/// By position, without their messages.
#[utoipa::path(get, path = "/admin/relay/subscriptions/{name}/dead_letters", tag = "admin",
    params(("name" = String, Path, min_length = 1, max_length = 64, example = "erp", description = "Its name."), DeadParams),
    responses((status = 200, description = "A page of them.", body = DeadPageView)))]
pub async fn dead_letters(
    desk: Desk,
    Parts(name): Parts<String>,
    Params(params): Params<DeadParams>,
) -> Result<Json<DeadPageView>, Problem> {
    let limit = page_len(params.limit, 100, PAGE_LEN_MAX)?;
    let from = Position(params.from.map_or(0, |from| from.0));
    let page = relay(&desk)?.dead_letters(&name, from, limit).await?;
    let dead_letters = page.letters.iter().map(DeadView::of).collect();
    Ok(Json(DeadPageView { dead_letters, next: page.next.map(|position| Id(position.0)) }))
}

/// Whether to show personal data.
#[derive(Clone, Copy, Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct DeadRevealParams {
    /// `true` shows a message with personal data in full, for `support`, `warehouse` and `security`; recorded.
    #[serde(default)]
    reveal: bool,
}

/// Shows a dead letter of a subscription of the relay, with its message.
///
/// A message with personal data in full is left out unless it is asked for, which is recorded.
#[utoipa::path(get, path = "/admin/relay/subscriptions/{name}/dead_letters/{position}", tag = "admin",
    params(("name" = String, Path, min_length = 1, max_length = 64, example = "erp", description = "The subscription's name."),
        ("position" = Id, Path, example = "120", description = "The dead letter's position."), DeadRevealParams),
    responses((status = 200, description = "The dead letter.", body = DeadView)))]
pub async fn dead_letter(
    desk: Desk,
    PartPair(name, position): PartPair<String, Id>,
    Params(params): Params<DeadRevealParams>,
) -> Result<Json<DeadView>, Problem> {
    let letter = relay(&desk)?.dead_letter(&name, Position(position.0)).await?;
    desk.reveal(params.reveal, Shown::One, format!("{name}/{position}")).await?;
    let message: Option<Value> = serde_json::from_slice(&letter.body).ok();
    let message = message.filter(|message| params.reveal || is_masked(message));
    Ok(Json(DeadView { message, ..DeadView::of(&letter) }))
}

/// Whether a message says of itself that personal data is masked in it. The subscription's settings don't tell: they may
/// have been others when the message was made.
fn is_masked(message: &Value) -> bool {
    message["personal"] == "masked"
}

/// Which dead letters are meant: one, or all of them.
#[derive(Clone, Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = RelayDeadLettersMeant, example = json!({"position": 120, "reason": "the queue is bound again"}))]
pub struct MeantBody {
    /// The position of the one that is meant.
    pub position: Option<Id>,
    /// `true` for all of them, in place of `position`.
    #[serde(default)]
    pub all: bool,
    /// Why, for the log; needed to throw all of them away.
    #[serde(default)]
    pub reason: Reason,
}

impl MeantBody {
    /// The position, or `None` for all.
    fn meant(&self) -> Result<Option<Position>, Problem> {
        match (self.position, self.all) {
            (Some(position), false) => Ok(Some(Position(position.0))),
            (None, true) => Ok(None),
            (Some(_), true) | (None, false) => Err(Problem::invalid(
                "position",
                "say either position or all: true",
                "position 与 all: true 必须且只能提供一个",
            )),
        }
    }
}

/// As the log names what is meant.
fn target(name: &str, meant: Option<Position>) -> String {
    meant.map_or_else(|| format!("{name}/all"), |position| format!("{name}/{position}"))
}

/// How many it were.
#[derive(Clone, Copy, Debug, Serialize, ToSchema)]
#[schema(as = RelayDeadLettersDone, example = json!({"dead_letters": 1}))]
pub struct DoneView {
    /// Dead letters that are none any more.
    pub dead_letters: u64,
}

/// Has dead letters of a subscription of the relay delivered again: one, or all.
///
/// The oldest first, in the sequence of their orders, with all their attempts.
#[utoipa::path(post, path = "/admin/relay/subscriptions/{name}/dead_letters/requeue", tag = "admin",
    request_body = MeantBody,
    params(("name" = String, Path, min_length = 1, max_length = 64, example = "erp", description = "The subscription's name.")),
    responses((status = 200, description = "They are on their way again, durably.", body = DoneView)))]
pub async fn requeue(
    desk: Desk,
    Parts(name): Parts<String>,
    Body(body): Body<MeantBody>,
) -> Result<Json<DoneView>, Problem> {
    let (meant, reason, relay) = (body.meant()?, body.reason.given()?, relay(&desk)?);
    desk.acted("relay.requeue", target(&name, meant), reason).await?;
    Ok(Json(DoneView { dead_letters: relay.requeue(&name, meant).await? }))
}

/// Throws dead letters of a subscription of the relay away: one, or all.
///
/// The subscriber never gets them.
#[utoipa::path(post, path = "/admin/relay/subscriptions/{name}/dead_letters/discard", tag = "admin",
    request_body = MeantBody,
    params(("name" = String, Path, min_length = 1, max_length = 64, example = "erp", description = "The subscription's name.")),
    responses((status = 200, description = "They are gone, durably.", body = DoneView)))]
pub async fn discard(
    desk: Desk,
    Parts(name): Parts<String>,
    Body(body): Body<MeantBody>,
) -> Result<Json<DoneView>, Problem> {
    let meant = body.meant()?;
    let reason = if meant.is_none() { body.reason.needed()? } else { body.reason.given()? };
    let relay = relay(&desk)?;
    desk.acted("relay.discard", target(&name, meant), reason).await?;
    Ok(Json(DoneView { dead_letters: relay.discard(&name, meant).await? }))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn only_what_says_so_is_taken_for_masked() {
        assert!(is_masked(&json!({"personal": "masked"})));
        for other in [json!({"personal": "whole"}), json!({}), json!("masked"), json!({"personal": null})] {
            assert!(!is_masked(&other), "{other}");
        }
    }

    #[test]
    fn one_is_meant_or_all_and_nothing_else() {
        let meant = |body: Value| serde_json::from_value::<MeantBody>(body).unwrap().meant();
        assert_eq!(meant(json!({"position": "7"})).unwrap(), Some(Position(7)));
        assert_eq!(meant(json!({"all": true})).unwrap(), None);
        for wrong in [json!({}), json!({"all": false}), json!({"position": 7, "all": true})] {
            assert!(meant(wrong.clone()).is_err(), "{wrong}");
        }
    }
}
