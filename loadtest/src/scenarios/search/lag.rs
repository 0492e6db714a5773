//! How soon what has happened can be found.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use stockade::domain::search::Expr;
use stockade::{Engine, Position, Reject, Search};

use super::check::search_for;
use crate::Failure;
use crate::acked::Problems;
use crate::latency::Latencies;
use crate::plan::Plan;
use crate::shop;

/// How often it is looked: what a lag is off by.
const LOOK_EVERY: Duration = Duration::from_millis(10);
/// How often somebody orders and looks for the order at once.
const PROBE_EVERY: Duration = Duration::from_millis(100);

/// Positions that are not searchable yet, each with the moment when it was there.
#[derive(Debug, Default)]
struct Waiting(VecDeque<(Position, Instant)>);

impl Waiting {
    /// The journal goes up to `appended`, what can be found up to `searchable`. Answers the lags of what has come to be found.
    fn look(&mut self, appended: Position, searchable: Position, now: Instant) -> Vec<Duration> {
        if self.0.back().is_none_or(|(last, _)| *last < appended) && appended > searchable {
            self.0.push_back((appended, now));
        }
        let mut lags = Vec::new();
        while let Some((_, since)) = self.0.front().filter(|(position, _)| *position <= searchable) {
            lags.push(now.saturating_duration_since(*since));
            self.0.pop_front();
        }
        lags
    }
}

/// Measures from the moment when an event is appended until everything up to it can be found, every few ms. On a thread of
/// its own, so that a busy runtime doesn't hide a lag.
pub(crate) struct LagMeter {
    latencies: Arc<Latencies>,
    stop: Arc<AtomicBool>,
    thread: JoinHandle<()>,
}

impl LagMeter {
    pub(crate) fn start(engine: Engine) -> Self {
        let latencies = Arc::new(Latencies::with_shards(1));
        let stop = Arc::new(AtomicBool::new(false));
        let (recorded, stopped) = (Arc::clone(&latencies), Arc::clone(&stop));
        let thread = std::thread::spawn(move || {
            let mut waiting = Waiting::default();
            // Relaxed: it is looked at again and again.
            while !stopped.load(Ordering::Relaxed) || !waiting.0.is_empty() {
                let figures = engine.search_figures();
                let lags = waiting.look(engine.metrics().appended, figures.position, Instant::now());
                recorded.record_all(0, lags);
                if figures.failure.is_some() {
                    return;
                }
                std::thread::sleep(LOOK_EVERY);
            }
        });
        Self { latencies, stop, thread }
    }

    /// Ends once everything is found that has happened.
    pub(crate) fn stop(self) -> Arc<Latencies> {
        self.stop.store(true, Ordering::Relaxed);
        // It is told by the latencies that are missing.
        let _ = self.thread.join();
        self.latencies
    }
}

/// Orders now and then, and looks for the order at once by a search that waits until it has read what was written. Answers
/// how long the searches took, and how many gave up because the index was too far behind.
pub(crate) async fn probe(
    engine: Engine,
    plan: Plan,
    first: u64,
    until: Instant,
) -> Result<(Latencies, u64, Problems), Failure> {
    let (latencies, mut behind, mut problems) = (Latencies::with_shards(1), 0, Problems::default());
    let mut n = first;
    while Instant::now() < until {
        let receipt = shop::submit(&engine, &plan, n).await?;
        let search = Search { fresh: true, ..search_for(Expr::OrderNo(receipt.order_no), 2) };
        let asked = Instant::now();
        let answer = engine.search(&search).await;
        latencies.record(0, asked.elapsed());
        n += 1;
        let answer = match answer {
            // It has waited as long as it may.
            Err(Reject::SearchBehind { .. }) => {
                behind += 1;
                continue;
            }
            answer => answer?,
        };
        if answer.orders.len() != 1 {
            let found = answer.orders.len();
            problems.add(|| {
                format!("order {} is found {found} times right after it was placed", receipt.order_no)
            });
        }
        tokio::time::sleep(PROBE_EVERY).await;
    }
    Ok((latencies, behind, problems))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lag_counts_from_when_a_position_was_first_seen() {
        let zero = Instant::now();
        let at = |ms| zero + Duration::from_millis(ms);
        let mut waiting = Waiting::default();
        assert!(waiting.look(Position(10), Position(10), at(0)).is_empty(), "nothing is waiting");
        assert!(waiting.look(Position(20), Position(10), at(10)).is_empty());
        assert!(waiting.look(Position(20), Position(10), at(20)).is_empty(), "nothing new");
        assert!(waiting.look(Position(30), Position(19), at(30)).is_empty());
        assert_eq!(waiting.look(Position(40), Position(30), at(50)), [40, 20].map(Duration::from_millis));
        assert_eq!(waiting.look(Position(40), Position(40), at(60)), [Duration::from_millis(10)]);
        assert!(waiting.0.is_empty());
    }
}
