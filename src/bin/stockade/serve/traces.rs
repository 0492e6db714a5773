//! Traces of requests, where the program is built with the feature `otlp`; nothing where it isn't.

use tracing::Subscriber;
use tracing_subscriber::layer::Layer;
use tracing_subscriber::registry::LookupSpan;

use super::Args;

/// Where traces go, if anywhere.
pub(super) struct Traces {
    #[cfg(feature = "otlp")]
    sent: Option<stockade::http::observe::otlp::Traces>,
}

#[cfg(feature = "otlp")]
impl Args {
    /// Starts to send traces, if asked to. Must be called within the runtime.
    pub(super) fn traces(&self) -> Result<Traces, stockade::http::observe::otlp::TracesError> {
        use stockade::http::observe::otlp;

        let Some(endpoint) = self.traces.clone() else { return Ok(Traces { sent: None }) };
        let sampled_per_million = self.traces_per_million;
        let config = otlp::TracesConfig { endpoint, sampled_per_million, ..otlp::TracesConfig::default() };
        Ok(Traces { sent: Some(otlp::Traces::start(&config)?) })
    }
}

#[cfg(not(feature = "otlp"))]
impl Args {
    /// There are none.
    #[allow(clippy::unused_self)]
    pub(super) fn traces(&self) -> Result<Traces, std::convert::Infallible> {
        Ok(Traces {})
    }
}

impl Traces {
    /// The layer for the program's subscriber.
    pub(super) fn layer<S: Subscriber + for<'a> LookupSpan<'a>>(&self) -> Option<impl Layer<S> + use<S>> {
        #[cfg(feature = "otlp")]
        return self.sent.as_ref().map(stockade::http::observe::otlp::Traces::layer);
        #[cfg(not(feature = "otlp"))]
        return None::<tracing_subscriber::layer::Identity>;
    }

    /// Sends what waits.
    pub(super) async fn finish(self) {
        #[cfg(feature = "otlp")]
        if let Some(sent) = self.sent {
            sent.finish().await;
        }
    }
}
