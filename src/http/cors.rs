//! Calls from pages of other origins: which of them a browser may let through.
//!
//! Tokens travel in a header, never in a cookie, so no credentials are allowed, and an origin that isn't named merely
//! can't read answers. Stands outside everything else, because a preflight carries no token.

use std::time::Duration;

use axum::Router;
use axum::http::{HeaderName, HeaderValue, Method, header};
use tower_http::cors::{AllowOrigin, CorsLayer};

use super::context::REQUEST_ID;

/// How long a browser may remember what is allowed.
const MAX_AGE: Duration = Duration::from_secs(600);

/// The router, open to pages of these origins; without any, as it is. What is no origin is passed over: the configuration
/// was checked.
pub fn allow_origins(router: Router, origins: &[String]) -> Router {
    let origins: Vec<_> = origins.iter().filter_map(|origin| HeaderValue::from_str(origin).ok()).collect();
    if origins.is_empty() {
        return router;
    }
    let cors = CorsLayer::new()
        .allow_origin(AllowOrigin::list(origins))
        .allow_methods([Method::GET, Method::POST, Method::PUT, Method::DELETE])
        .allow_headers([
            header::AUTHORIZATION,
            header::CONTENT_TYPE,
            header::ACCEPT_LANGUAGE,
            HeaderName::from_static("idempotency-key"),
            REQUEST_ID,
        ])
        .expose_headers([REQUEST_ID, header::RETRY_AFTER])
        .max_age(MAX_AGE);
    router.layer(cors)
}

#[cfg(test)]
mod tests {
    use axum::body::Body;
    use axum::http::Request;
    use axum::routing::get;
    use tower::ServiceExt;

    use super::*;

    async fn allowed(origins: &[&str], origin: &str) -> Option<String> {
        let origins: Vec<_> = origins.iter().map(|origin| (*origin).to_owned()).collect();
        let router = allow_origins(Router::new().route("/", get(async || "a")), &origins);
        let request = Request::builder().uri("/").header(header::ORIGIN, origin).body(Body::empty()).unwrap();
        let answer = router.oneshot(request).await.unwrap();
        let value = answer.headers().get(header::ACCESS_CONTROL_ALLOW_ORIGIN)?;
        Some(value.to_str().unwrap().to_owned())
    }

    #[tokio::test]
    async fn named_origins_may_read_answers_and_no_others() {
        let shop = "https://shop.example";
        assert_eq!(allowed(&[shop], shop).await.as_deref(), Some(shop));
        assert_eq!(allowed(&[shop], "https://evil.example").await, None);
        assert_eq!(allowed(&[], shop).await, None);
    }
}
