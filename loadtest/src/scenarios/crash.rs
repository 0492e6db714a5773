//! Kills an engine with SIGKILL at random moments and looks for everything that it had acknowledged: in the journal,
//! and in the answers that its successor gives to the same requests.

use std::collections::HashMap;
use std::path::Path;
use std::time::{Duration, Instant};

use stockade::OrderNo;

use crate::Failure;
use crate::acked::{Ack, Acknowledged, Fact, Problems};
use crate::audit::audit;
use crate::cli::{CrashArgs, DurabilityArg};
use crate::place::Place;
use crate::plan::{Baskets, Plan, Random};
use crate::process::{Process, Waiting};
use crate::progress;
use crate::report::{Report, Tally, per_second};

/// SKUs that are sold.
pub(crate) const SKUS: u64 = 10;
/// Buyers of one round are numbered from a multiple of this.
const ROUND_BUYERS: u64 = 1 << 32;
/// How many of the last requests before a kill are repeated, apart from those that had no answer.
const RETRIES: u64 = 512;
/// An engine is killed at least and at most so many ms after it said that it is ready.
const KILL_AFTER_MS: (u64, u64) = (20, 500);
/// How long the last engine, which is not killed, takes orders.
const LAST_ROUND_MS: u64 = 300;
/// Longest wait for an engine to get ready, or to end.
const CHILD_MAX: Duration = Duration::from_secs(120);

/// The buyers of this scenario: sales of one to four lines.
pub(crate) fn plan(seed: u64) -> Plan {
    Plan { seed, skus: SKUS, baskets: Baskets::Sale }
}

pub(crate) fn run(args: &CrashArgs) -> Result<Report, Failure> {
    if args.durability == DurabilityArg::Memory {
        return Err("durability memory survives no kill: choose synced or buffered".into());
    }
    let place = Place::new(args.data.as_deref())?;
    let mut crash = Crash {
        args,
        data: place.path(),
        acknowledged: Acknowledged::new(plan(args.seed)),
        answers: HashMap::new(),
        tally: Tally::default(),
        recovered_events: 0,
        recovery: Duration::ZERO,
        serving: Duration::ZERO,
        problems: Problems::default(),
    };
    let mut random = Random::new(args.seed, 4);
    let bar = progress::bar("kills", args.kills);
    let mut retry = (0, 0);
    let mut last = None;
    let mut kills = 0;
    for round in 0..=args.kills {
        let (min, max) = KILL_AFTER_MS;
        let kill_after =
            (round < args.kills).then(|| Duration::from_millis(min + random.below(max - min + 1)));
        retry = crash.round(round, retry, kill_after)?;
        // On a copy, so that the next engine finds what the kill has left, and not what the audit made of it.
        let audited = audit(place.path(), false, &mut crash.acknowledged)?;
        let failed = !audited.passed();
        last = Some(audited);
        kills += u64::from(kill_after.is_some());
        bar.set_position(kills);
        if failed {
            crash.problems.add(|| format!("the audit failed after {kills} kills"));
            break;
        }
    }
    bar.finish_and_clear();

    let mut report = Report::new("crash", args.durability.name(), place.path());
    report.set("seed", args.seed);
    report.set("kills", kills);
    report.set_orders(&crash.tally, crash.serving);
    report.set("acknowledged_orders", crash.acknowledged.len());
    report.set("recovered_events_per_s", per_second(crash.recovered_events, crash.recovery));
    if let Some(audited) = last {
        report.set_audit(audited);
    }
    report.add_problems(crash.problems);
    Ok(report)
}

/// What is known over all rounds.
struct Crash<'a> {
    args: &'a CrashArgs,
    data: &'a Path,
    acknowledged: Acknowledged,
    /// The first answer to each request.
    answers: HashMap<u64, OrderNo>,
    tally: Tally,
    recovered_events: u64,
    recovery: Duration,
    /// Between ready and killed.
    serving: Duration,
    problems: Problems,
}

impl Crash<'_> {
    /// Runs one engine until it is killed, or to its orderly end. Returns which requests the next one repeats.
    fn round(
        &mut self,
        round: u64,
        retry: (u64, u64),
        kill_after: Option<Duration>,
    ) -> Result<(u64, u64), Failure> {
        let first = round * ROUND_BUYERS;
        let mut process = start_child(self.args, self.data, first, retry, kill_after.is_none())?;
        let ready =
            process.line(CHILD_MAX)?.ok_or("the engine ended before it was ready: see its message above")?;
        self.take_ready(&ready)?;
        let started = Instant::now();
        let mut last = first;
        let ended = match kill_after {
            Some(kill_after) => {
                let until = Instant::now() + kill_after;
                let mut lines = Vec::new();
                while let Some(left) = until.checked_duration_since(Instant::now()) {
                    match process.line(left) {
                        Ok(Some(line)) => lines.push(line),
                        Ok(None) => {
                            return Err("the engine ended before it was killed: see its message above".into());
                        }
                        Err(Waiting) => break,
                    }
                }
                process.kill();
                self.serving += started.elapsed();
                // What it had said before it died counts too.
                while let Some(line) = process.line(CHILD_MAX)? {
                    lines.push(line);
                }
                lines.iter().for_each(|line| self.take(line, first, &mut last));
                true
            }
            None => {
                let mut done = false;
                while let Some(line) = process.line(CHILD_MAX)? {
                    done |= line == "done";
                    self.take(&line, first, &mut last);
                }
                self.serving += started.elapsed();
                done && process.ended_well()
            }
        };
        if !ended {
            self.problems.add(|| "the last engine did not end in order".to_owned());
        }
        Ok((last.saturating_sub(RETRIES).max(first), last + 1 + self.args.clients))
    }

    /// `ready EVENTS MS`
    fn take_ready(&mut self, line: &str) -> Result<(), Failure> {
        let mut fields = line.split(' ');
        let numbers =
            (fields.next(), fields.next().map(str::parse::<u64>), fields.next().map(str::parse::<u64>));
        let (Some("ready"), Some(Ok(events)), Some(Ok(recovery_ms))) = numbers else {
            return Err(format!("the engine said `{line}` in place of `ready`").into());
        };
        self.recovered_events += events;
        self.recovery += Duration::from_millis(recovery_ms);
        Ok(())
    }

    /// One line about one buyer.
    fn take(&mut self, line: &str, first: u64, last: &mut u64) {
        let mut fields = line.splitn(3, ' ');
        let (letter, n, rest) = (fields.next(), fields.next(), fields.next());
        let n = n.and_then(|n| n.parse::<u64>().ok());
        match (letter, n, rest) {
            (Some("E"), Some(n), Some(code)) => {
                match code {
                    "sold_out" => self.tally.sold_out += 1,
                    "limit_exceeded" => self.tally.limited += 1,
                    _ => self.tally.other_rejects += 1,
                }
                if let Some(order_no) = self.answers.get(&n) {
                    self.problems
                        .add(|| format!("buyer {n} had order {order_no} and is now refused: {code}"));
                }
            }
            (Some("done"), None, None) => {}
            (Some(letter), Some(n), Some(order_no)) => {
                let (Some(fact), Ok(order_no)) = (Fact::from_letter(letter), order_no.parse()) else {
                    return self.problems.add(|| format!("the engine said `{line}`"));
                };
                if fact == Fact::Placed {
                    self.take_placed(n, order_no);
                    if n >= first {
                        *last = (*last).max(n);
                    }
                }
                self.acknowledged.extend([Ack { order_no, n, fact }]);
            }
            _ => self.problems.add(|| format!("the engine said `{line}`")),
        }
    }

    /// A request has its order, for the first time or again.
    fn take_placed(&mut self, n: u64, order_no: OrderNo) {
        match self.answers.insert(n, order_no) {
            None => self.tally.accepted += 1,
            Some(known) if known == order_no => self.tally.duplicates += 1,
            Some(known) => {
                self.problems.add(|| format!("buyer {n} had order {known} and now gets {order_no}"))
            }
        }
    }
}

/// An engine that serves buyers from `first` on, after it has repeated the requests of others.
fn start_child(
    args: &CrashArgs,
    data: &Path,
    first: u64,
    (retry_from, retry_to): (u64, u64),
    stops: bool,
) -> Result<Process, Failure> {
    Process::start("crash-child", |command| {
        command.arg("--data").arg(data);
        command.args(["--durability", args.durability.name()]);
        let numbers = [
            ("--seed", args.seed),
            ("--clients", args.clients),
            ("--first", first),
            ("--retry-from", retry_from),
            ("--retry-to", retry_to),
        ];
        for (name, value) in numbers {
            command.arg(name).arg(value.to_string());
        }
        if stops {
            command.arg("--stop-after-ms").arg(LAST_ROUND_MS.to_string());
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn take(lines: &[&str]) -> (Tally, u64, u64) {
        let args = CrashArgs { kills: 1, clients: 1, seed: 1, durability: DurabilityArg::Synced, data: None };
        let mut crash = Crash {
            args: &args,
            data: Path::new(""),
            acknowledged: Acknowledged::new(plan(1)),
            answers: HashMap::new(),
            tally: Tally::default(),
            recovered_events: 0,
            recovery: Duration::ZERO,
            serving: Duration::ZERO,
            problems: Problems::default(),
        };
        let mut last = 0;
        lines.iter().for_each(|line| crash.take(line, 0, &mut last));
        (crash.tally, last, crash.problems.total())
    }

    #[test]
    fn a_repeated_request_must_get_its_first_answer() {
        let (tally, last, problems) = take(&["O 1 77", "P 1 77", "O 1 77", "O 2 78"]);
        assert_eq!((tally.accepted, tally.duplicates, last, problems), (2, 1, 2, 0));
        assert_eq!(take(&["O 1 77", "O 1 78"]).2, 1);
        assert_eq!(take(&["O 1 77", "E 1 sold_out"]).2, 1);
    }

    #[test]
    fn what_must_not_be_said_is_a_problem() {
        assert_eq!(take(&["X something is wrong"]).2, 1);
        assert_eq!(take(&["Z 1 77"]).2, 1);
        assert_eq!(take(&["done"]).2, 0);
    }
}
