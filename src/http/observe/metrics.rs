//! `GET /metrics`: everything that is counted, in the text format of OpenMetrics, which Prometheus reads.
//!
//! A snapshot is taken when somebody asks, so between two questions nothing is done for it. Labels are routes of the
//! table, codes, classes, names of the program and of the relay's subscriptions, of which there are few: nothing else that a
//! caller sends becomes one.

use std::fmt;

use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, text};
use prometheus_client::registry::Registry;

use super::families::{Families, Shown};
use super::requests::Counted;
use super::{Connections, Observer, of_engine, of_search};
use crate::http::problem::Problem;
use crate::http::state::App;
use crate::{Metrics, SearchFigures};

/// Media type of the answer.
const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// All figures of a moment.
#[derive(Debug)]
struct Snapshot {
    engine: Metrics,
    search: SearchFigures,
    #[cfg(feature = "relay")]
    relay: super::of_relay::Figures,
    requests: Vec<Counted>,
    codes: Vec<(&'static str, u64)>,
    in_flight: u64,
    abandoned: u64,
    rate_limited: u64,
    refusals: u64,
    lines_withheld: u64,
    connections: Option<Connections>,
}

impl Observer {
    fn snapshot(&self) -> Snapshot {
        let mut codes: Vec<_> = self.codes.read().collect();
        codes.sort_unstable();
        Snapshot {
            engine: self.engine.metrics(),
            search: self.engine.search_figures(),
            #[cfg(feature = "relay")]
            relay: super::of_relay::Figures::of(&self.engine),
            requests: self.requests.read().collect(),
            codes,
            in_flight: self.requests.in_flight(),
            abandoned: self.requests.abandoned(),
            rate_limited: self.requests.rate_limited(),
            refusals: self.refusals.total(),
            lines_withheld: self.log.withheld(),
            connections: self.connections.get().map(|read| read()),
        }
    }
}

impl Collector for Snapshot {
    fn encode(&self, encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let mut out = Families(encoder);
        of_engine::write(&mut out, &self.engine)?;
        of_search::write(&mut out, &self.search, self.engine.durable)?;
        #[cfg(feature = "relay")]
        super::of_relay::write(&mut out, &self.relay)?;
        self.requests(&mut out)?;
        self.connections(&mut out)
    }
}

impl Snapshot {
    fn requests(&self, out: &mut Families<'_>) -> fmt::Result {
        let labels: Vec<_> = self
            .requests
            .iter()
            .map(|counted| {
                let route = counted.route;
                [("method", route.method()), ("route", route.path()), ("status", counted.class)]
            })
            .collect();
        let times = || labels.iter().map(|labels| &labels[..]).zip(&self.requests);
        out.counters(
            "stockade_http_requests",
            "Requests answered.",
            times().map(|(labels, counted)| (labels, counted.times.count)),
        )?;
        out.histograms(
            "stockade_http_request_seconds",
            "How long requests took until their answers began.",
            Shown::Seconds,
            times().map(|(labels, counted)| (labels, &counted.times)),
        )?;
        let codes: Vec<_> = self.codes.iter().map(|(code, count)| ([("code", *code)], *count)).collect();
        out.counters(
            "stockade_http_refusals",
            "Refusals by code; of lines of application servers, too.",
            codes.iter().map(|(labels, count)| (&labels[..], *count)),
        )?;
        out.gauge("stockade_http_in_flight", "Requests under way.", self.in_flight)?;
        out.counter(
            "stockade_http_abandoned",
            "Requests given up by their callers before they were answered.",
            self.abandoned,
        )?;
        out.counter("stockade_http_rate_limited", "Requests answered 429.", self.rate_limited)?;
        out.counter("stockade_http_refusals_kept", "Refusals put on record.", self.refusals)?;
        out.counter(
            "stockade_http_log_withheld",
            "Requests that were not logged, because there were too many in their second.",
            self.lines_withheld,
        )
    }

    fn connections(&self, out: &mut Families<'_>) -> fmt::Result {
        let Connections { open, accepted, refused, accept_errors, cuts } =
            self.connections.clone().unwrap_or_default();
        out.gauge("stockade_http_connections", "Connections open.", open)?;
        out.counters(
            "stockade_http_connection_attempts",
            "Connections by what became of them.",
            [
                (&[("outcome", "accepted")][..], accepted),
                (&[("outcome", "refused")], refused),
                (&[("outcome", "failed")], accept_errors),
            ],
        )?;
        let cuts: Vec<_> = cuts.iter().map(|(cause, count)| ([("cause", *cause)], *count)).collect();
        out.counters(
            "stockade_http_connections_cut",
            "Connections cut because their clients took too long.",
            cuts.iter().map(|(labels, count)| (&labels[..], *count)),
        )
    }
}

/// Counters and gauges of the engine and of this adapter.
#[utoipa::path(get, path = "/metrics", tag = "watching",
    responses((status = 200, description = "Metrics in the text format of OpenMetrics.", body = String,
        content_type = "application/openmetrics-text",
        example = "# TYPE stockade_orders gauge\n# EOF\n")))]
pub async fn metrics(State(app): State<App>) -> Result<Response, Problem> {
    let mut registry = Registry::default();
    registry.register_collector(Box::new(app.observer().snapshot()));
    let mut body = String::new();
    text::encode(&mut body, &registry).map_err(|_| {
        Problem::new(
            StatusCode::INTERNAL_SERVER_ERROR,
            "internal",
            "the metrics can't be written",
            "无法输出指标",
        )
    })?;
    Ok(([(header::CONTENT_TYPE, OPEN_METRICS)], body).into_response())
}
