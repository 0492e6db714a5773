//! Who a handler acts for. The layer around the routes has checked that they may; these hand them over.

use axum::extract::FromRequestParts;
use axum::http::StatusCode;
use axum::http::request::Parts;

use super::auth::principal::{Principal, Scopes};
use super::context::Context;
use super::problem::Problem;
use crate::{Caller, MemberId, Origin};

/// The member who asks.
#[derive(Clone, Copy, Debug)]
pub struct Member(pub MemberId);

impl Member {
    /// As the engine knows them.
    pub const fn caller(self) -> Caller {
        Caller::Member(self.0)
    }
}

/// The operator who asks.
#[derive(Clone, Debug)]
pub struct Operator {
    /// Their name.
    pub name: Box<str>,
    /// What they may do.
    pub scopes: Scopes,
}

impl Operator {
    /// What the journal keeps of them.
    pub fn origin(&self, reason: &str) -> Origin {
        Origin { operator: self.name.clone(), reason: reason.into() }
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Context {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, Problem> {
        parts.extensions.get::<Self>().cloned().ok_or_else(unguarded)
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Member {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, Problem> {
        match parts.extensions.get::<Context>().and_then(|context| context.principal.as_ref()) {
            Some(Principal::Member(member)) => Ok(Self(*member)),
            _ => Err(unguarded()),
        }
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Operator {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, Problem> {
        match parts.extensions.get::<Context>().and_then(|context| context.principal.as_ref()) {
            Some(Principal::Admin { operator, scopes }) => {
                Ok(Self { name: operator.clone(), scopes: *scopes })
            }
            _ => Err(unguarded()),
        }
    }
}

/// A route whose entry in the table lets in others than its handler serves: a mistake of ours, and refused.
fn unguarded() -> Problem {
    Problem::new(
        StatusCode::FORBIDDEN,
        "forbidden",
        "this route is not for this role",
        "该路径不适用于此角色",
    )
}
