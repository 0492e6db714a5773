//! Query strings and path parts.

use axum::extract::{FromRequestParts, Path, Query};
use axum::http::StatusCode;
use axum::http::request;
use serde::de::DeserializeOwned;

use super::{Id, OrderNumber};
use crate::OrderNo;
use crate::http::problem::Problem;

/// A query string.
#[derive(Clone, Copy, Debug)]
pub struct Params<T>(pub T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequestParts<S> for Params<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut request::Parts, _state: &S) -> Result<Self, Problem> {
        match Query::<T>::try_from_uri(&parts.uri) {
            Ok(Query(params)) => Ok(Self(params)),
            Err(rejection) => {
                let text = rejection.body_text();
                let text =
                    text.strip_prefix("Failed to deserialize query string: ").unwrap_or(&text).to_owned();
                let chinese = format!("查询参数不正确：{text}");
                Err(Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "invalid_query", text, chinese))
            }
        }
    }
}

/// What a path part can be.
pub trait Part: Sized {
    /// The part, where the text is one.
    fn from_text(text: &str) -> Option<Self>;
    /// What it is expected to be, in words.
    const EXPECTED: &'static str;
}

impl Part for Id {
    fn from_text(text: &str) -> Option<Self> {
        Self::from_digits(text)
    }
    const EXPECTED: &'static str = "an id of decimal digits";
}

impl Part for OrderNumber {
    fn from_text(text: &str) -> Option<Self> {
        Id::from_digits(text).and_then(|id| OrderNo::from_u64(id.0)).map(Self)
    }
    const EXPECTED: &'static str = "an order number of decimal digits";
}

impl Part for String {
    fn from_text(text: &str) -> Option<Self> {
        Some(text.to_owned())
    }
    const EXPECTED: &'static str = "a name";
}

/// The only variable part of a path.
#[derive(Clone, Copy, Debug)]
pub struct Parts<T>(pub T);

impl<T: Part, S: Send + Sync> FromRequestParts<S> for Parts<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut request::Parts, state: &S) -> Result<Self, Problem> {
        let text = Path::<String>::from_request_parts(parts, state).await.map(|Path(text)| text);
        text.ok().as_deref().and_then(T::from_text).map(Self).ok_or_else(wrong_part::<T>)
    }
}

/// The two variable parts of a path.
#[derive(Clone, Copy, Debug)]
pub struct PartPair<A, B>(pub A, pub B);

impl<A: Part, B: Part, S: Send + Sync> FromRequestParts<S> for PartPair<A, B> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut request::Parts, state: &S) -> Result<Self, Problem> {
        let texts = Path::<(String, String)>::from_request_parts(parts, state).await;
        let (first, second) = texts.map(|Path(texts)| texts).map_err(|_| wrong_part::<A>())?;
        let first = A::from_text(&first).ok_or_else(wrong_part::<A>)?;
        Ok(Self(first, B::from_text(&second).ok_or_else(wrong_part::<B>)?))
    }
}

fn wrong_part<T: Part>() -> Problem {
    Problem::new(
        StatusCode::UNPROCESSABLE_ENTITY,
        "invalid_path",
        format!("the path names {} where something else stands", T::EXPECTED),
        "路径参数不正确",
    )
}
