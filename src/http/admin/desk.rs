//! The operator at their desk: who acts, and the record that goes ahead of everything that they do.

use std::fmt::Display;

use axum::extract::FromRequestParts;
use axum::http::StatusCode;
use axum::http::request::Parts;
use serde::Deserialize;
use utoipa::ToSchema;

use crate::domain::operator::{ACT_REASON_BYTES_MAX, ACT_TARGET_BYTES_MAX};
use crate::domain::text;
use crate::http::auth::access::{self, Shown};
use crate::http::auth::principal::Principal;
use crate::http::caller::Operator;
use crate::http::context::Context;
use crate::http::problem::Problem;
use crate::http::state::App;
use crate::{Engine, NewAct, Origin, Reject};

/// What a handler of the back office works with.
#[derive(Clone)]
pub struct Desk {
    /// The adapter.
    pub app: App,
    /// Who acts.
    pub operator: Operator,
    /// The request.
    pub context: Context,
}

impl FromRequestParts<App> for Desk {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, Problem> {
        let operator = Operator::from_request_parts(parts, app).await?;
        let context = Context::from_request_parts(parts, app).await?;
        Ok(Self { app: app.clone(), operator, context })
    }
}

impl Desk {
    /// The engine.
    pub fn engine(&self) -> &Engine {
        self.app.engine()
    }

    /// Who asks, as access is decided by.
    pub fn principal(&self) -> Option<&Principal> {
        self.context.principal.as_ref()
    }

    /// Records what is about to be done, durably. Every write and every look at personal data goes through here first:
    /// without the record it doesn't happen.
    ///
    /// # Errors
    /// A reason out of bounds, or the engine's own state.
    pub async fn acted(&self, action: &str, target: impl Display, reason: &str) -> Result<(), Problem> {
        acted(&self.app, &self.operator, &self.context, action, &target.to_string(), reason).await
    }

    /// What a setting keeps of who put it, and why.
    pub fn origin(&self, reason: &str) -> Option<Origin> {
        Some(self.operator.origin(reason))
    }

    /// Records that personal data is about to be shown, where it is asked for.
    ///
    /// # Errors
    /// `forbidden` where the operator may not see so much of it.
    pub async fn reveal(&self, wanted: bool, shown: Shown, target: impl Display) -> Result<(), Problem> {
        if !wanted {
            return Ok(());
        }
        access::may_reveal(self.principal(), shown).map_err(|denied| forbidden(&denied))?;
        self.acted("order.reveal", target, "").await
    }
}

/// Records an act, durably, before it is done.
///
/// # Errors
/// A reason out of bounds, or the engine's own state.
pub async fn acted(
    app: &App,
    operator: &Operator,
    context: &Context,
    action: &str,
    target: &str,
    reason: &str,
) -> Result<(), Problem> {
    let act = NewAct {
        operator: operator.name.clone(),
        reason: reason.into(),
        action: action.into(),
        // Only topics with ids of tasks are longer.
        target: text::cut(target, ACT_TARGET_BYTES_MAX).into(),
        request: (&*context.request_id).into(),
    };
    app.engine().record_act(act).await?;
    Ok(())
}

/// The answer to an operator whose scopes don't do.
pub fn forbidden(denied: &access::Denied) -> Problem {
    Problem::new(StatusCode::FORBIDDEN, "forbidden", denied.to_string(), "令牌的角色或权限不足")
}

/// Why an operator acts, for the log; at most 256 bytes, and no place for personal data.
#[derive(Clone, Debug, Default, Deserialize, ToSchema)]
#[serde(transparent)]
pub struct Reason(Option<String>);

impl Reason {
    /// The reason, empty where none was given.
    ///
    /// # Errors
    /// One that is too long.
    pub fn given(&self) -> Result<&str, Problem> {
        let reason = self.0.as_deref().unwrap_or_default().trim();
        Reject::check_len("reason", reason.len(), ACT_REASON_BYTES_MAX)
            .map_err(|reject| Problem::from(reject).field("reason"))?;
        Ok(reason)
    }

    /// The reason, for acts that can't go without.
    ///
    /// # Errors
    /// `reason_missing`, or one that is too long.
    pub fn needed(&self) -> Result<&str, Problem> {
        match self.given()? {
            "" => Err(Problem::new(
                StatusCode::UNPROCESSABLE_ENTITY,
                "reason_missing",
                "say why: this act needs a reason",
                "缺少原因：此操作必须填写 reason",
            )
            .field("reason")),
            reason => Ok(reason),
        }
    }
}

/// The revision of what was put.
#[derive(Clone, Copy, Debug, serde::Serialize, ToSchema)]
#[schema(example = json!({"revision": 1}))]
pub struct Revision {
    /// Counted from 1; the same as before where nothing has changed.
    pub revision: u32,
}

/// Brings a page length from a query inside its bounds.
///
/// # Errors
/// A length outside 1 to `len_max`.
pub fn page_len(limit: Option<usize>, default: usize, len_max: usize) -> Result<usize, Problem> {
    let limit = limit.unwrap_or(default);
    if (1..=len_max).contains(&limit) {
        return Ok(limit);
    }
    Err(Problem::invalid(
        "limit",
        format!("limit is {limit}: it goes from 1 to {len_max}"),
        format!("limit 为 {limit}：取值范围 1 到 {len_max}"),
    ))
}

/// The answer to a cursor that no page has given.
pub fn wrong_cursor(field: &'static str) -> Problem {
    Problem::invalid(
        field,
        "this is no cursor: send back what a page answered as next",
        "游标不正确：请原样传回上一页的 next",
    )
}
