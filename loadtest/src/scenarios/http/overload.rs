//! Five times what the server can do: what it still does, and how it is afterwards.

use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, interval, sleep, sleep_until};

use super::client::{Connection, Load};
use super::{IN_STOCK, Served, set_latency};
use crate::Failure;
use crate::cli::HttpArgs;
use crate::latency::Latencies;
use crate::report::{Report, rounded};

/// How many times the capacity is offered.
const TIMES: f64 = 5.0;
/// Connections that offer it.
const CONNECTIONS: u64 = 2_048;
/// Requests that the server has under way at a time; the others are refused.
const IN_FLIGHT_MAX: usize = 256;
/// How long after the overload the server has to be itself again.
const RECOVERY: Duration = Duration::from_secs(1);

/// What the clients of the overload share.
struct Offered {
    load: Load,
    addr: SocketAddr,
    begin: Instant,
    end: Instant,
    pause: Duration,
    accepted: Latencies,
    statuses: [AtomicU64; 1_000],
}

pub(super) async fn run(report: &mut Report, args: &HttpArgs) -> Result<(), Failure> {
    let served = Served::start("stockade", args, IN_FLIGHT_MAX)?;
    let load = Load::new(IN_FLIGHT_MAX as u64, Duration::from_secs(args.seconds), IN_STOCK);
    let capacity = load.run(served.addr).await?.per_second();
    let before_bytes = served.resident_bytes();

    let begin = Instant::now() + Duration::from_millis(500);
    let lasting = Duration::from_secs(args.overload_seconds);
    let offered = Arc::new(Offered {
        load,
        addr: served.addr,
        begin,
        end: begin + lasting,
        pause: Duration::from_secs_f64(CONNECTIONS as f64 / (capacity * TIMES)),
        accepted: Latencies::new(),
        statuses: [const { AtomicU64::new(0) }; 1_000],
    });
    let mut tasks = JoinSet::new();
    for client in 0..CONNECTIONS {
        tasks.spawn(Arc::clone(&offered).client(client));
    }
    let watched = async {
        let mut ticks = interval(Duration::from_secs(1));
        let mut most = 0;
        while Instant::now() < offered.end {
            ticks.tick().await;
            most = most.max(served.resident_bytes());
        }
        most
    };
    let most_bytes = watched.await;
    while let Some(finished) = tasks.join_next().await {
        finished??;
    }
    sleep(RECOVERY).await;
    let after = offered.load.run(served.addr).await?;

    let statuses = offered.statuses();
    let seconds = lasting.as_secs_f64();
    let goodput = statuses.get(&201).copied().unwrap_or_default() as f64 / seconds;
    let all: u64 = statuses.values().sum();
    report.set("overload_capacity_per_s", rounded(capacity));
    report.set("overload_wanted_per_s", rounded(capacity * TIMES));
    report.set("overload_offered_per_s", rounded(all as f64 / seconds));
    report.set("overload_goodput_per_s", rounded(goodput));
    report.set("overload_goodput_ratio", (goodput / capacity * 1_000.0).round() / 1_000.0);
    if let Some(latency) = offered.accepted.percentiles() {
        set_latency(report, "overload_accepted_latency_us", latency);
    }
    report.set("overload_resident_mib_before", before_bytes >> 20);
    report.set("overload_resident_mib_max", most_bytes >> 20);
    report.set("overload_after_per_s", rounded(after.per_second()));
    let wrong: u64 =
        statuses.iter().filter(|(status, _)| !matches!(status, 201 | 503)).map(|(_, count)| count).sum();
    if wrong > 0 {
        report.add_problem(|| format!("answers other than 201 and 503 in an overload: {statuses:?}"));
    }
    Ok(())
}

impl Offered {
    /// Sends at its own times, whatever the answers; a time that passes while it waits for one is made up for at once.
    async fn client(self: Arc<Self>, client: u64) -> io::Result<()> {
        let (requests, numbers) = (self.load.requests(), self.load.numbers());
        let mut connection = Connection::open(self.addr).await?;
        let mut buffer = Vec::new();
        sleep_until((self.begin + self.pause.mul_f64(client as f64 / CONNECTIONS as f64)).into()).await;
        let mut schedule = interval(self.pause);
        schedule.set_missed_tick_behavior(MissedTickBehavior::Burst);
        loop {
            schedule.tick().await;
            let sent = Instant::now();
            if sent >= self.end {
                return Ok(());
            }
            requests.write(numbers.fetch_add(1, Ordering::Relaxed), &mut buffer);
            let status = connection.exchange(&buffer).await?;
            if Instant::now() <= self.end {
                self.statuses[usize::from(status).min(999)].fetch_add(1, Ordering::Relaxed);
                if status == 201 {
                    self.accepted.record(client, sent.elapsed());
                }
            }
        }
    }

    fn statuses(&self) -> BTreeMap<usize, u64> {
        let counts = self.statuses.iter().map(|count| count.load(Ordering::Relaxed)).enumerate();
        counts.filter(|(_, count)| *count > 0).collect()
    }
}
