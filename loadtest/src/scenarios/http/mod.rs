//! The HTTP adapter beside a bare handler: the same client, the same connections, the same JSON, answers of the same
//! size, in turn.
//!
//! Both servers run in a process of their own, on the same cores as the client. The bare handler is axum's own server
//! with a route that parses the body and answers a constant: what it does, any adapter has to do.

mod bare;
pub(crate) mod child;
mod client;
mod gateway;
mod overload;
mod requests;

use std::time::Duration;

use crate::Failure;
use crate::cli::{HttpArgs, HttpPart};
use crate::latency::Percentiles;
use crate::place::Place;
use crate::process::Process;
use crate::report::{Report, rounded};
use crate::scenarios::http::client::{Load, Outcome};

/// How long a server may take to listen.
const START_WAIT: Duration = Duration::from_secs(60);
/// Signs the tokens. Only ever used against servers that this harness starts on loopback.
pub(crate) const SECRET: &[u8] = b"known to everybody: for load tests alone";
/// SKU that is in stock, and one that never was.
pub(crate) const IN_STOCK: u64 = 1;
/// The SKU that is sold out.
pub(crate) const SOLD_OUT: u64 = 2;

/// A server in a process of its own.
pub(crate) struct Served {
    process: Process,
    pub(crate) addr: std::net::SocketAddr,
    _place: Place,
}

impl Served {
    /// Starts one. `in_flight_max` bounds the requests that it has under way.
    pub(crate) fn start(kind: &str, args: &HttpArgs, in_flight_max: usize) -> Result<Self, Failure> {
        let place = Place::new(None)?;
        let mut process = Process::start("http-server", |command| {
            command.args(["--kind", kind, "--durability", args.engine.durability.name()]);
            command.arg("--data").arg(place.path());
            command.args(["--in-flight-max", &in_flight_max.to_string()]);
        })?;
        let line = process.line(START_WAIT)?.ok_or("the server has ended")?;
        let addr = line.strip_prefix("listening ").ok_or("the server says something else")?.parse()?;
        Ok(Self { process, addr, _place: place })
    }

    /// Memory of the server that is resident, in bytes.
    pub(crate) fn resident_bytes(&self) -> u64 {
        self.process.resident_bytes().unwrap_or_default()
    }
}

pub(crate) async fn run(args: HttpArgs) -> Result<Report, Failure> {
    let place = Place::new(None)?;
    let mut report = Report::new("http", args.engine.durability.name(), place.path());
    report.set("connections", args.connections);
    report.set("seconds", args.seconds);
    let wants = |part| args.part.is_none_or(|wanted| wanted == part);
    if wants(HttpPart::Submit) {
        compare(&mut report, &args, "submit", IN_STOCK, 201).await?;
    }
    if wants(HttpPart::SoldOut) {
        compare(&mut report, &args, "sold_out", SOLD_OUT, 409).await?;
    }
    if wants(HttpPart::Gateway) {
        gateway::run(&mut report, &args).await?;
    }
    if wants(HttpPart::Overload) {
        overload::run(&mut report, &args).await?;
    }
    Ok(report)
}

/// Runs both servers in turn, and reports the ratio of the medians.
async fn compare(
    report: &mut Report,
    args: &HttpArgs,
    name: &str,
    sku: u64,
    expected: u16,
) -> Result<(), Failure> {
    let load = Load::new(args.connections, Duration::from_secs(args.seconds), sku);
    let (mut ours, mut bare) = (Vec::new(), Vec::new());
    let mut latency = None;
    for _ in 0..args.rounds {
        for (kind, rates) in [("bare", &mut bare), ("stockade", &mut ours)] {
            let served = Served::start(kind, args, 1 << 20)?;
            let outcome = load.run(served.addr).await?;
            check(report, kind, &outcome, expected);
            rates.push(outcome.per_second());
            if kind == "stockade" {
                latency = outcome.latencies.percentiles();
            }
        }
    }
    let (ours, bare) = (median(&mut ours), median(&mut bare));
    report.set(format!("{name}_per_s"), rounded(ours));
    report.set(format!("{name}_bare_per_s"), rounded(bare));
    report.set(format!("{name}_ratio"), (ours / bare * 1_000.0).round() / 1_000.0);
    if let Some(latency) = latency {
        set_latency(report, &format!("{name}_latency_us"), latency);
    }
    Ok(())
}

fn set_latency(report: &mut Report, name: &str, latency: Percentiles) {
    report.set(name.to_owned(), latency.json());
}

/// Every answer has to be the one that is measured.
fn check(report: &mut Report, kind: &str, outcome: &Outcome, expected: u16) {
    let others = outcome.answers() - outcome.of_status(expected);
    if others > 0 {
        report
            .add_problem(|| format!("{kind}: {others} answers were not {expected}: {:?}", outcome.statuses));
    }
}

fn median(rates: &mut [f64]) -> f64 {
    rates.sort_by(f64::total_cmp);
    rates[rates.len() / 2]
}
