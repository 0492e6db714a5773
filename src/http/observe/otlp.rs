//! Traces of requests to an OpenTelemetry collector, by OTLP over HTTP; behind the feature `otlp`.
//!
//! A trace is the span of a request and nothing more: the engine's rounds work at many requests at once and belong to
//! none. What the span says is what the log says, so nobody's data leaves the house. Spans wait in a bounded queue, and
//! are dropped beyond it: a collector that doesn't answer costs traces, not orders. It is asked without TLS, so it belongs
//! on this machine or network.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

use bytes::Bytes;
use opentelemetry::trace::TracerProvider;
use opentelemetry_http::hyper::HyperClient;
use opentelemetry_http::{HttpClient, HttpError, Request, Response};
use opentelemetry_otlp::{ExporterBuildError, SpanExporter, WithExportConfig, WithHttpConfig};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::{Sampler, SdkTracerProvider};
use serde::{Deserialize, Serialize};
use tokio::runtime::Handle;
use tracing::Subscriber;
use tracing_subscriber::filter::filter_fn;
use tracing_subscriber::layer::Layer;
use tracing_subscriber::registry::LookupSpan;

/// Spans of these modules are traced.
const TRACED: &str = "stockade::http";
/// The name under which the collector shows them.
const SERVICE: &str = "stockade";

/// Where traces go, and how many.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct TracesConfig {
    /// The collector's address, without the path `/v1/traces`. Default: `http://127.0.0.1:4318`.
    pub endpoint: String,
    /// Requests that are traced, of a million, 0 to 1,000,000. Default: 1,000.
    pub sampled_per_million: u32,
    /// How long the collector may take to answer, in ms. Default: 5,000.
    pub timeout_ms: u64,
}

impl Default for TracesConfig {
    fn default() -> Self {
        Self { endpoint: "http://127.0.0.1:4318".into(), sampled_per_million: 1_000, timeout_ms: 5_000 }
    }
}

/// Why there are no traces.
#[derive(Debug, thiserror::Error)]
pub enum TracesError {
    /// The endpoint is no address, for one.
    #[error("the exporter of traces can't be made: {0}")]
    Exporter(#[from] ExporterBuildError),
    /// It must be started within a tokio runtime.
    #[error("traces are sent from a tokio runtime: {0}")]
    Runtime(#[from] tokio::runtime::TryCurrentError),
}

/// Sends traces, from a thread of its own, until it is finished.
#[derive(Debug)]
pub struct Traces {
    provider: SdkTracerProvider,
}

impl Traces {
    /// Starts to send. Must be called within a tokio runtime with I/O and time. Nothing is asked of the collector yet.
    ///
    /// # Errors
    /// The endpoint is none, or there is no runtime.
    pub fn start(config: &TracesConfig) -> Result<Self, TracesError> {
        let timeout = Duration::from_millis(config.timeout_ms);
        let client = HyperClient::with_default_connector(timeout, None);
        let exporter = SpanExporter::builder()
            .with_http()
            .with_http_client(OnRuntime { client: client.into(), handle: Handle::try_current()? })
            .with_endpoint(format!("{}/v1/traces", config.endpoint.trim_end_matches('/')))
            .with_timeout(timeout)
            .build()?;
        let sampler = Sampler::TraceIdRatioBased(f64::from(config.sampled_per_million) / 1e6);
        let provider = SdkTracerProvider::builder()
            .with_batch_exporter(exporter)
            .with_sampler(Sampler::ParentBased(Box::new(sampler)))
            .with_resource(Resource::builder().with_service_name(SERVICE).build())
            .build();
        Ok(Self { provider })
    }

    /// The layer for the program's subscriber. It turns on level debug for spans of requests alone.
    pub fn layer<S: Subscriber + for<'a> LookupSpan<'a>>(&self) -> impl Layer<S> + use<S> {
        let tracer = self.provider.tracer(SERVICE);
        let is_traced = filter_fn(|metadata| metadata.is_span() && metadata.target().starts_with(TRACED));
        tracing_opentelemetry::layer().with_tracer(tracer).with_location(false).with_filter(is_traced)
    }

    /// Sends what waits, for as long as the collector may take, and ends. What can't be sent is lost, with a warning.
    pub async fn finish(self) {
        // It waits for its own thread, so it must not hold up one of the runtime's.
        let ended = tokio::task::spawn_blocking(move || self.provider.shutdown()).await;
        match ended {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::warn!(%error, "the last traces were not sent"),
            Err(error) => tracing::warn!(%error, "the last traces were not sent"),
        }
    }
}

/// The exporter works in a thread without a runtime, and the client needs one.
struct OnRuntime {
    client: std::sync::Arc<HyperClient>,
    handle: Handle,
}

impl fmt::Debug for OnRuntime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OnRuntime").finish_non_exhaustive()
    }
}

type Sent<'a> = Pin<Box<dyn Future<Output = Result<Response<Bytes>, HttpError>> + Send + 'a>>;

impl HttpClient for OnRuntime {
    fn send_bytes<'a, 'b>(&'a self, request: Request<Bytes>) -> Sent<'b>
    where
        'a: 'b,
        Self: 'b,
    {
        let client = self.client.clone();
        let sent = self.handle.spawn(async move { client.send_bytes(request).await });
        Box::pin(async move { sent.await? })
    }
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;

    use axum::Router;
    use axum::extract::State;
    use axum::http::Uri;
    use tokio::net::TcpListener;
    use tokio::sync::mpsc;
    use tracing_subscriber::layer::SubscriberExt;

    use super::*;

    type Received = (String, Bytes);

    /// A collector that keeps what it is sent.
    async fn collector() -> (SocketAddr, mpsc::UnboundedReceiver<Received>) {
        let (sender, receiver) = mpsc::unbounded_channel();
        let keep = async |State(sender): State<mpsc::UnboundedSender<Received>>, uri: Uri, body: Bytes| {
            sender.send((uri.path().to_owned(), body)).unwrap();
        };
        let router = Router::new().fallback(keep).with_state(sender);
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let addr = listener.local_addr().unwrap();
        tokio::spawn(async move { axum::serve(listener, router).await });
        (addr, receiver)
    }

    fn has(bytes: &[u8], text: &str) -> bool {
        bytes.windows(text.len()).any(|window| window == text.as_bytes())
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn spans_of_requests_reach_the_collector_and_others_do_not() {
        let (addr, mut received) = collector().await;
        let endpoint = format!("http://{addr}/");
        let config = TracesConfig { endpoint, sampled_per_million: 1_000_000, ..TracesConfig::default() };
        let traces = Traces::start(&config).unwrap();
        let subscriber = tracing_subscriber::registry().with(traces.layer());
        tracing::subscriber::with_default(subscriber, || {
            drop(tracing::debug_span!("request", route = "/api/order/{order_no}"));
            drop(tracing::debug_span!(target: "elsewhere", "secret"));
        });
        traces.finish().await;
        let (path, body) = received.recv().await.unwrap();
        assert_eq!(path, "/v1/traces");
        assert!(has(&body, "request") && has(&body, "/api/order/{order_no}") && has(&body, SERVICE));
        assert!(!has(&body, "secret"));
    }

    #[tokio::test]
    async fn an_endpoint_that_is_none_is_refused() {
        let config = TracesConfig { endpoint: "http://:not an address".into(), ..TracesConfig::default() };
        assert!(matches!(Traces::start(&config), Err(TracesError::Exporter(_))));
    }
}
