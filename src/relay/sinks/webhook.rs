//! Webhooks: each message is posted, signed, and done once the answer says so.
//!
//! An answer of 2xx is done. 429, 503, and a server that can't be connected to are [`Undelivered::Down`]; everything else
//! is [`Undelivered::Refused`]: another status, a redirect, no answer in time. Redirects are never followed, and what the
//! answer says beyond its status is thrown away.

use std::fmt::Write;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use hmac::{Hmac, Mac};
use http_body_util::{BodyExt, Full};
use hyper::header::{CONTENT_TYPE, HeaderValue, RETRY_AFTER, USER_AGENT};
use hyper::{Request, Response, StatusCode, Uri};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::dns::{GaiResolver, Name};
use hyper_util::client::legacy::connect::{HttpConnector, capture_connection};
use hyper_util::rt::{TokioExecutor, TokioTimer};
use sha2::Sha256;
use tower_service::Service;

use super::guard::{GuardedResolver, PrivateAddress, is_private};
use super::{check, check_text, invalid, tls};
use crate::relay::error::RelayError;
use crate::relay::message::Message;
use crate::relay::sink::{Delivery, Sink, Undelivered};
use crate::relay::spec::WebhookSpec;
use crate::runtime::clock::{Clock, STEP_MAX_MS_DEFAULT};

/// Longest URL, in bytes.
const URL_BYTES_MAX: usize = 2_048;
/// Shortest and longest key, in bytes.
const SECRET_BYTES: std::ops::RangeInclusive<usize> = 16..=256;
/// Most bytes of an answer that are read, so that its connection can be used again.
const ANSWER_BYTES_MAX: usize = 64 << 10;
/// How long the rest of an answer is read.
const DRAIN_TIMEOUT: Duration = Duration::from_millis(500);
/// Longest time to connect, in ms; the whole of a delivery has `timeout_ms`.
const CONNECT_MS_MAX: u64 = 10_000;
/// How long an idle connection is kept.
const IDLE: Duration = Duration::from_secs(60);
/// Most idle connections that are kept.
const IDLE_CONNECTIONS_MAX: usize = 64;

/// Checks the settings.
pub(super) fn validate(spec: &WebhookSpec) -> Result<(), RelayError> {
    parse_url(spec)?;
    let len = spec.secret.0.len();
    check("sink.secret", SECRET_BYTES.contains(&len), "expected 16 to 256 bytes, best at random")?;
    check("sink.timeout_ms", (100..=60_000).contains(&spec.timeout_ms), "expected 100 to 60,000")
}

fn parse_url(spec: &WebhookSpec) -> Result<Uri, RelayError> {
    const FIELD: &str = "sink.url";
    check_text(FIELD, &spec.url, true, URL_BYTES_MAX)?;
    // What was written may have a password in it, so no reason repeats it.
    let url: Uri = spec.url.parse().map_err(|_| invalid(FIELD, "it is no URL"))?;
    let authority = url.authority().ok_or_else(|| invalid(FIELD, "expected https://host/path"))?;
    check(FIELD, !authority.as_str().contains('@'), "no user and no password: messages are signed")?;
    match url.scheme_str() {
        Some("https") => {}
        Some("http") => {
            check(FIELD, spec.allow_private, "http is for private addresses: set sink.allow_private")?
        }
        _ => return Err(invalid(FIELD, "expected https://")),
    }
    let host = authority.host();
    let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
    check(FIELD, !bare.is_empty(), "it has no host")?;
    // A literal address is connected to without asking a resolver, so it is checked here.
    if let Ok(address) = bare.parse() {
        check(FIELD, spec.allow_private || !is_private(address), "it is a private address")?;
    }
    Ok(url)
}

/// Makes the sink.
pub(super) fn open(spec: &WebhookSpec) -> Result<Webhook, RelayError> {
    open_with(spec, GaiResolver::new())
}

/// The same, with names resolved by `resolver`.
pub(super) fn open_with<R: Resolver>(spec: &WebhookSpec, resolver: R) -> Result<Webhook<R>, RelayError> {
    let url = parse_url(spec)?;
    let mut connector = HttpConnector::new_with_resolver(GuardedResolver::new(resolver, spec.allow_private));
    connector.enforce_http(false);
    connector.set_nodelay(true);
    connector.set_connect_timeout(Some(Duration::from_millis(spec.timeout_ms.min(CONNECT_MS_MAX))));
    let https = HttpsConnectorBuilder::new().with_tls_config(tls::client_config(spec.tls_ca.as_deref())?);
    let https = if spec.allow_private { https.https_or_http() } else { https.https_only() };
    let client = Client::builder(TokioExecutor::new())
        .pool_timer(TokioTimer::new())
        .pool_idle_timeout(IDLE)
        .pool_max_idle_per_host(IDLE_CONNECTIONS_MAX)
        .build(https.enable_http1().wrap_connector(connector));
    let key = spec.secret.0.clone();
    let timeout = Duration::from_millis(spec.timeout_ms);
    Ok(Webhook(Arc::new(Poster { client, url, key, timeout, clock: Clock::system(STEP_MAX_MS_DEFAULT) })))
}

/// What resolves names: the system, or a test.
pub(super) trait Resolver:
    Service<
        Name,
        Error = std::io::Error,
        Response: Iterator<Item = std::net::SocketAddr>,
        Future: Send + 'static,
    > + Clone
    + Send
    + Sync
    + 'static
{
}

impl Resolver for GaiResolver {}

/// The sink.
pub(super) struct Webhook<R = GaiResolver>(Arc<Poster<R>>);

struct Poster<R> {
    client: Client<HttpsConnector<HttpConnector<GuardedResolver<R>>>, Full<Bytes>>,
    url: Uri,
    key: String,
    timeout: Duration,
    clock: Clock,
}

impl<R: Resolver> Sink for Webhook<R> {
    fn deliver(&self, message: Arc<Message>) -> Delivery {
        let poster = self.0.clone();
        Box::pin(async move { poster.post(&message).await })
    }
}

impl<R: Resolver> Poster<R> {
    async fn post(&self, message: &Message) -> Result<(), Undelivered> {
        let mut request = self.request(message)?;
        let connection = capture_connection(&mut request);
        let response = match tokio::time::timeout(self.timeout, self.client.request(request)).await {
            Ok(answered) => answered.map_err(|error| refused_by(&error))?,
            // Whether it never connected, or took the message and did not answer, makes all the difference.
            Err(_elapsed) if connection.connection_metadata().is_some() => {
                return Err(Undelivered::Refused(format!("no answer within {:?}", self.timeout)));
            }
            Err(_elapsed) => {
                return Err(Undelivered::Down(format!("no connection within {:?}", self.timeout)));
            }
        };
        let outcome = weigh(&response);
        // The status has said everything. A body that takes long costs the connection, not the message.
        let _ = tokio::time::timeout(DRAIN_TIMEOUT, drain(response)).await;
        outcome
    }

    fn request(&self, message: &Message) -> Result<Request<Full<Bytes>>, Undelivered> {
        let timestamp = self.clock.now_ms().to_string();
        let signature = sign(self.key.as_bytes(), &timestamp, &message.body);
        let request = Request::post(self.url.clone())
            .header(CONTENT_TYPE, HeaderValue::from_static("application/json"))
            .header(USER_AGENT, HeaderValue::from_static("stockade"))
            .header("stockade-position", message.position.0)
            .header("stockade-event", HeaderValue::from_static(message.event))
            .header("stockade-timestamp", timestamp)
            .header("stockade-signature", signature)
            .body(Full::new(message.body.clone()));
        request.map_err(|error| Undelivered::Refused(format!("it can't be sent: {error}")))
    }
}

/// The signature of a message as `Stockade-Signature` has it: `v1=` and the HMAC-SHA256 of the timestamp as
/// `Stockade-Timestamp` has it, a dot, and the body, in hexadecimal digits.
///
/// ```
/// let signature = stockade::relay::sinks::sign(b"0123456789abcdef", "1794398400000", b"{}");
/// assert!(signature.starts_with("v1=") && signature.len() == 3 + 64);
/// ```
pub fn sign(key: &[u8], timestamp: &str, body: &[u8]) -> String {
    let mut text = "v1=".to_owned();
    // HMAC takes keys of any length.
    if let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(key) {
        mac.update(timestamp.as_bytes());
        mac.update(b".");
        mac.update(body);
        for byte in mac.finalize().into_bytes() {
            // Writing to a string doesn't fail.
            let _ = write!(text, "{byte:02x}");
        }
    }
    text
}

/// What a failed request means.
fn refused_by(error: &hyper_util::client::legacy::Error) -> Undelivered {
    if !error.is_connect() {
        return Undelivered::Refused(format!(
            "the connection broke before an answer came: {}",
            reason_of(error)
        ));
    }
    Undelivered::Down(reason_of(error))
}

/// The innermost cause, which says most.
fn reason_of(error: &(dyn std::error::Error + 'static)) -> String {
    let mut innermost = error;
    while let Some(source) = innermost.source() {
        innermost = source;
    }
    if let Some(io) = innermost.downcast_ref::<std::io::Error>()
        && let Some(private) = io.get_ref().and_then(|inner| inner.downcast_ref::<PrivateAddress>())
    {
        return private.to_string();
    }
    super::redacted(innermost, "")
}

/// What an answer means.
fn weigh<B>(response: &Response<B>) -> Result<(), Undelivered> {
    let status = response.status();
    if status.is_success() {
        return Ok(());
    }
    if matches!(status, StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE) {
        let after = response.headers().get(RETRY_AFTER).and_then(|value| value.to_str().ok());
        let after: String = after.map_or("", |value| value).chars().take(40).collect();
        let asked = if after.is_empty() { after } else { format!(", to be tried again after {after}") };
        return Err(Undelivered::Down(format!("answered {}{asked}", status.as_u16())));
    }
    if status.is_redirection() {
        return Err(Undelivered::Refused(format!(
            "answered {}: redirects are not followed",
            status.as_u16()
        )));
    }
    Err(Undelivered::Refused(format!("answered {}", status.as_u16())))
}

/// Reads what is left of an answer, within its bound, so that the connection can be used again. Beyond it, or where that
/// fails, the connection is dropped: the status has said everything.
async fn drain(response: Response<hyper::body::Incoming>) {
    let mut body = response.into_body();
    let mut len = 0;
    while let Some(Ok(frame)) = body.frame().await {
        len += frame.data_ref().map_or(0, Bytes::len);
        if len > ANSWER_BYTES_MAX {
            return;
        }
    }
}
