//! Answers that say no: RFC 9457 problem details, with the stable code, the field and whether a retry may help.
//!
//! A handler returns a [`Problem`]; the outermost layer, which knows the caller's language and the request's id, writes
//! it out. So no handler has to carry either through.

use std::borrow::Cow;
use std::sync::Arc;

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use utoipa::ToSchema;

use super::language::Language;
use super::status::status_of;
use crate::domain::search;
use crate::{Reject, RequestId, Retry};

/// Media type of problem details.
pub const PROBLEM_JSON: &str = "application/problem+json";

/// Why a request was refused, not yet in anybody's language.
#[derive(Clone, Debug)]
pub struct Problem {
    status: StatusCode,
    why: Why,
    field: Option<Cow<'static, str>>,
    retry_after_ms: Option<u32>,
    retryable: bool,
    /// Boxed, so that the errors of everybody else stay small.
    request: Option<Box<RequestId>>,
}

#[derive(Clone, Debug)]
enum Why {
    /// The engine's refusal.
    Reject(Reject),
    /// The adapter's own.
    Own { code: &'static str, english: Cow<'static, str>, chinese: Cow<'static, str> },
}

/// A problem as it travels.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Problem, example = json!({
    "type": "urn:stockade:problem:sold_out", "title": "sold out", "status": 409, "detail": "sku 42 is sold out",
    "instance": "urn:stockade:request:5f0c1a", "code": "sold_out", "field": "lines.sku_id", "retryable": false,
}))]
pub struct ProblemBody {
    /// Names the kind of problem: the code as a URN.
    #[serde(rename = "type")]
    pub kind: String,
    /// The code in words.
    pub title: String,
    /// The HTTP status.
    pub status: u16,
    /// What is wrong with this request, in English or Chinese, as `Accept-Language` asks.
    pub detail: String,
    /// The request that it is about.
    pub instance: String,
    /// The stable code; programs match on it.
    pub code: &'static str,
    /// The field that is wrong, where it is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub field: Option<String>,
    /// Of a query that can't be read: the characters before the place that is wrong.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub at: Option<u32>,
    /// What could stand there.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expected: Option<&'static str>,
    /// Whether the same request may succeed later; with the same idempotency key it is never done twice.
    pub retryable: bool,
    /// How long to wait before that, in ms, where that is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub retry_after_ms: Option<u32>,
}

impl Problem {
    /// A problem of the adapter's own, in both languages.
    pub fn new(
        status: StatusCode,
        code: &'static str,
        english: impl Into<Cow<'static, str>>,
        chinese: impl Into<Cow<'static, str>>,
    ) -> Self {
        let why = Why::Own { code, english: english.into(), chinese: chinese.into() };
        Self { status, why, field: None, retry_after_ms: None, retryable: false, request: None }
    }

    /// The same, about this field.
    #[must_use]
    pub fn field(mut self, field: impl Into<Cow<'static, str>>) -> Self {
        self.field = Some(field.into());
        self
    }

    /// The same, worth another try after so many ms.
    #[must_use]
    pub fn retry_after_ms(mut self, wait_ms: u32) -> Self {
        self.retryable = true;
        self.retry_after_ms = Some(wait_ms);
        self
    }

    /// The same under another status: where a path, not a body, names what doesn't exist.
    #[must_use]
    pub fn status(mut self, status: StatusCode) -> Self {
        self.status = status;
        self
    }

    /// The same, said of the request that the client gave this name; the caller isn't told, the record of refusals is.
    #[must_use]
    pub fn about_request(mut self, request: RequestId) -> Self {
        self.request = Some(Box::new(request));
        self
    }

    /// The client's name for the request, where it is known.
    pub fn request(&self) -> Option<RequestId> {
        self.request.as_deref().copied()
    }

    /// The engine's refusal, where it was the engine that refused.
    pub const fn reject(&self) -> Option<Reject> {
        match self.why {
            Why::Reject(reject) => Some(reject),
            Why::Own { .. } => None,
        }
    }

    /// A request that is well-formed, and asks for what can't be.
    pub fn invalid(
        field: impl Into<Cow<'static, str>>,
        english: impl Into<Cow<'static, str>>,
        chinese: impl Into<Cow<'static, str>>,
    ) -> Self {
        Self::new(StatusCode::UNPROCESSABLE_ENTITY, "invalid_value", english, chinese).field(field)
    }

    /// The stable code.
    pub fn code(&self) -> &'static str {
        match &self.why {
            Why::Reject(reject) => reject.code(),
            Why::Own { code, .. } => code,
        }
    }

    /// The HTTP status.
    pub const fn http_status(&self) -> StatusCode {
        self.status
    }

    /// The field that is wrong, where it is one.
    pub fn about(&self) -> Option<&str> {
        self.field.as_deref()
    }

    /// Whether the same request may succeed later, and after how many ms, where that is known.
    pub const fn retry(&self) -> (bool, Option<u32>) {
        (self.retryable, self.retry_after_ms)
    }

    /// What is wrong, in words.
    pub fn detail(&self, language: Language) -> String {
        match (&self.why, language) {
            (Why::Reject(reject), Language::English) => reject.to_string(),
            (Why::Reject(reject), Language::Chinese) => reject.message_zh(),
            (Why::Own { english, .. }, Language::English) => english.to_string(),
            (Why::Own { chinese, .. }, Language::Chinese) => chinese.to_string(),
        }
    }

    /// The problem as it is written out for a request.
    pub fn body(&self, language: Language, request_id: &str) -> ProblemBody {
        let code = self.code();
        ProblemBody {
            kind: format!("urn:stockade:problem:{code}"),
            title: code.replace('_', " "),
            status: self.status.as_u16(),
            detail: self.detail(language),
            instance: format!("urn:stockade:request:{request_id}"),
            code,
            field: self.field.as_deref().map(str::to_owned),
            at: self.place().map(|(at, _)| at),
            expected: self.place().map(|(_, expected)| match language {
                Language::English => expected,
                Language::Chinese => search::chinese(expected).unwrap_or(expected),
            }),
            retryable: self.retryable,
            retry_after_ms: self.retry_after_ms,
        }
    }

    /// Where a query can't be read, in characters, and what could stand there, in English.
    const fn place(&self) -> Option<(u32, &'static str)> {
        match self.why {
            Why::Reject(Reject::SearchSyntax { at, expected }) => Some((at, expected)),
            _ => None,
        }
    }

    /// The response for a request.
    pub fn render(&self, language: Language, request_id: &str) -> Response {
        let body = serde_json::to_vec(&self.body(language, request_id)).unwrap_or_default();
        let mut response = (self.status, [(header::CONTENT_TYPE, PROBLEM_JSON)], body).into_response();
        let language = HeaderValue::from_static(language.tag());
        response.headers_mut().insert(header::CONTENT_LANGUAGE, language);
        if let Some(wait_ms) = self.retry_after_ms {
            // Whole seconds are all that the header knows; the body has the milliseconds.
            response.headers_mut().insert(header::RETRY_AFTER, wait_ms.div_ceil(1_000).into());
        }
        if self.status == StatusCode::UNAUTHORIZED {
            response.headers_mut().insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        response
    }
}

impl From<Reject> for Problem {
    fn from(reject: Reject) -> Self {
        let (retryable, retry_after_ms) = match reject.retry() {
            Retry::Never => (false, None),
            Retry::After { wait_ms } => (true, Some(wait_ms)),
            Retry::AfterRestart => (true, Some(1_000)),
        };
        Self {
            status: status_of(&reject),
            field: reject.field().map(Cow::Borrowed),
            why: Why::Reject(reject),
            retry_after_ms,
            retryable,
            request: None,
        }
    }
}

/// The problem travels beside an empty body; [`super::context`] writes it out.
impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let mut response = self.status.into_response();
        response.extensions_mut().insert(Arc::new(self));
        response
    }
}
