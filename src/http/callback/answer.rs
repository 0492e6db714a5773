//! What a provider is answered, before it becomes an HTTP response.

use std::borrow::Cow;

use axum::body::Body;
use axum::http::{HeaderValue, Response, StatusCode, header};
use axum::response::IntoResponse;

/// An answer to a notification.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// HTTP status. 2xx: don't send it again. 503: send it again. 4xx: that would not help.
    pub status: u16,
    /// The body's type; absent where there is no body.
    pub content_type: Option<&'static str>,
    /// The body.
    pub body: Cow<'static, str>,
    /// How long to wait before sending the notification again, in seconds.
    pub retry_after_s: Option<u32>,
}

impl Answer {
    /// No content: it is recorded.
    pub(super) const fn no_content() -> Self {
        Self { status: 204, content_type: None, body: Cow::Borrowed(""), retry_after_s: None }
    }

    /// An answer in JSON.
    pub(super) fn json(status: u16, retry_after_s: Option<u32>, body: &serde_json::Value) -> Self {
        let content_type = Some("application/json");
        Self { status, content_type, body: Cow::Owned(body.to_string()), retry_after_s }
    }

    /// Whether the provider may forget the notification.
    pub const fn is_success(&self) -> bool {
        self.status >= 200 && self.status < 300
    }
}

impl IntoResponse for Answer {
    fn into_response(self) -> Response<Body> {
        let mut response = Response::new(Body::from(self.body.into_owned()));
        *response.status_mut() =
            StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let headers = response.headers_mut();
        if let Some(content_type) = self.content_type {
            headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
        }
        if let Some(seconds) = self.retry_after_s {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        response
    }
}
