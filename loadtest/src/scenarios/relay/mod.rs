//! Orders relayed to real brokers that go away and come back, by an engine that is killed. Nothing may be missing.

pub(crate) mod child;
mod disturbances;
mod refuse;
pub(crate) mod services;

use std::path::Path;
use std::time::{Duration, Instant};

use stockade::relay::RelayConfig;

use self::disturbances::{Disturbance, Planned, schedule};
use self::services::Service;
use crate::Failure;
use crate::acked::Problems;
use crate::cli::RelayArgs;
use crate::place::Place;
use crate::process::{Process, Waiting};
use crate::progress;
use crate::relayed;
use crate::report::{Report, per_second, rounded};
use crate::standstill::Standstill;

/// The variable that the subscriptions go to the engine by: their passwords don't belong on a command line.
pub(crate) const SUBSCRIPTIONS: &str = "STOCKADE_LOADTEST_SUBSCRIPTIONS";
/// Longest wait for an engine to say something.
const CHILD_MAX: Duration = Duration::from_secs(180);
/// What has been confirmed is in the broker: nothing comes any more after it was quiet for so long.
const QUIET_MIN: Duration = Duration::from_secs(8);
/// How often it is looked.
const POLL: Duration = Duration::from_millis(100);

pub(crate) async fn run(args: RelayArgs) -> Result<Report, Failure> {
    if !args.engine.durability.leaves_a_journal() {
        return Err("durability memory survives no kill: choose synced or buffered".into());
    }
    if args.refuse {
        return refuse::run(args).await;
    }
    let place = Place::new(args.engine.data.as_deref())?;
    let mut services = services::start(&args)?;
    let config = RelayConfig {
        subscriptions: services
            .iter()
            .map(|service| (service.name().to_owned(), service.spec(args.mirror)))
            .collect(),
    };
    let mut run = Run {
        args: &args,
        data: place.path(),
        subscriptions: serde_json::to_string(&config)?,
        services: &mut services,
        done: 0,
        allowed: 0,
        lag_events_max: 0,
        ends: Vec::new(),
        kills: 0,
        problems: Problems::default(),
    };
    let started = Instant::now();
    // The engine's lines are waited for, while the consumers go on.
    tokio::task::block_in_place(|| run.drive())?;
    let elapsed = started.elapsed();
    let Run { ends, lag_events_max, kills, mut problems, .. } = run;
    wait_for_quiet(&services).await;

    let mut report = Report::new("relay", args.engine.durability.name(), place.path());
    report.set("seed", args.seed);
    report.set("orders", args.orders);
    report.set("stops", args.stops);
    report.set("kills", kills);
    report.set("elapsed_s", rounded(elapsed.as_secs_f64()));
    report.set("lag_events_max", lag_events_max);
    for end in &ends {
        report.set(format!("{}_retried", end.name), end.retried);
        report.set(format!("{}_dead_letters", end.name), end.dead_letters);
        if end.dead_letters > 0 {
            problems.add(|| format!("{} has {} dead letters", end.name, end.dead_letters));
        }
    }
    set_received(&mut report, &services, place.path(), elapsed, &mut problems)?;
    for service in services {
        service.end(&mut problems).await;
    }
    report.add_problems(problems);
    report.set("audit", if report.passed() { "pass" } else { "fail" });
    Ok(report)
}

/// Holds what has come against journal and store.
fn set_received(
    report: &mut Report,
    services: &[Service],
    data: &Path,
    elapsed: Duration,
    problems: &mut Problems,
) -> Result<(), Failure> {
    let mut guards: Vec<_> = services.iter().map(|service| service.inbox.received()).collect();
    let received: Vec<&relayed::Received> = guards.iter().map(|guard| &**guard).collect();
    let wanted = relayed::audit(data, &received)?;
    for ((service, received), wanted) in services.iter().zip(&mut guards).zip(wanted) {
        let name = service.name();
        report.set(format!("{name}_events"), wanted.events);
        report.set(format!("{name}_messages"), received.messages());
        report.set(format!("{name}_duplicates"), received.duplicates());
        report.set(format!("{name}_distinct"), received.distinct());
        report.set(format!("{name}_missing"), wanted.missing);
        report.set(format!("{name}_messages_per_s"), per_second(received.messages(), elapsed));
        report.set(format!("{name}_table_orders"), received.orders());
        report.set("stored_orders", wanted.orders);
        report.set("journal_first", wanted.journal_first);
        problems.append(wanted.problems);
        problems.append(received.take_problems());
    }
    Ok(())
}

/// Waits until nothing has come for a while.
pub(crate) async fn wait_for_quiet(services: &[Service]) {
    let count = || services.iter().map(|service| service.inbox.received().messages()).sum::<u64>();
    let mut standstill = Standstill::new();
    while standstill.see(count()) < QUIET_MIN {
        tokio::time::sleep(POLL).await;
    }
}

/// What a subscription says at the orderly end.
#[derive(Clone, Debug, PartialEq, Eq)]
struct End {
    name: String,
    retried: u64,
    dead_letters: u64,
}

/// A run over all its engines.
struct Run<'a> {
    args: &'a RelayArgs,
    data: &'a Path,
    /// As JSON.
    subscriptions: String,
    services: &'a mut Vec<Service>,
    /// Buyers before this one have done what they do.
    done: u64,
    /// So many buyers may come for now.
    allowed: u64,
    lag_events_max: u64,
    ends: Vec<End>,
    kills: u64,
    problems: Problems,
}

impl Run<'_> {
    fn drive(&mut self) -> Result<(), Failure> {
        let bar = progress::bar("orders", self.args.orders);
        let plan = schedule(self.args.orders, self.args.stops, self.args.kills);
        // Until the next disturbance has happened, and after the last one all.
        let mut bounds = plan.iter().map(|planned| planned.allowed).chain([self.args.orders]);
        self.allowed = bounds.next().unwrap_or_default();
        let mut process = self.start_engine()?;
        for (Planned { at, what, .. }, then) in plan.iter().zip(bounds) {
            while self.done < *at {
                let said = process.line(CHILD_MAX)?;
                self.take(&said.ok_or("the engine ended before it was killed: see its message above")?);
                bar.set_position(self.done);
            }
            match what {
                Disturbance::Kill => {
                    self.allowed = then;
                    process = self.kill(process)?;
                }
                Disturbance::Stop { kill } => process = self.stop(process, *kill, then)?,
            }
        }
        let mut is_done = false;
        while let Some(line) = process.line(CHILD_MAX)? {
            is_done |= line == "done";
            self.take(&line);
            bar.set_position(self.done);
        }
        bar.finish_and_clear();
        if !is_done || !process.ended_well() {
            self.problems.add(|| "the last engine did not end in order".to_owned());
        }
        Ok(())
    }

    fn kill(&mut self, mut process: Process) -> Result<Process, Failure> {
        process.kill();
        self.kills += 1;
        // What it had said before it died counts too.
        while let Some(line) = process.line(CHILD_MAX)? {
            self.take(&line);
        }
        self.start_engine()
    }

    fn stop(&mut self, mut process: Process, kill: bool, then: u64) -> Result<Process, Failure> {
        for service in self.services.iter_mut() {
            service.go_away()?;
        }
        // However long that took, there are orders left that come while they are gone.
        self.allowed = then;
        process.tell(then);
        let gone = Instant::now();
        let down = Duration::from_millis(self.args.down_ms);
        if kill {
            self.listen(&mut process, gone, down / 2)?;
            process = self.kill(process)?;
        }
        self.listen(&mut process, gone, down)?;
        for service in self.services.iter_mut() {
            service.come_back()?;
        }
        Ok(process)
    }

    /// Takes the engine's lines in for as long as `wait` since `since`.
    fn listen(&mut self, process: &mut Process, since: Instant, wait: Duration) -> Result<(), Failure> {
        while let Some(left) = wait.checked_sub(since.elapsed()) {
            match process.line(left) {
                Ok(Some(line)) => self.take(&line),
                Ok(None) => return Err("the engine ended while the broker was gone".into()),
                Err(Waiting) => return Ok(()),
            }
        }
        Ok(())
    }

    fn take(&mut self, line: &str) {
        let (what, rest) = line.split_once(' ').unwrap_or((line, ""));
        let numbers: Vec<u64> = rest.split(' ').filter_map(|field| field.parse().ok()).collect();
        match (what, &numbers[..]) {
            ("ready" | "done", _) => {}
            ("at", [at]) => self.done = self.done.max(*at),
            ("lag", [events]) => self.lag_events_max = self.lag_events_max.max(*events),
            ("end", [retried, dead_letters]) => {
                let name = rest.split(' ').next().unwrap_or_default().to_owned();
                self.ends.push(End { name, retried: *retried, dead_letters: *dead_letters });
            }
            _ => self.problems.add(|| format!("the engine said `{line}`")),
        }
    }

    fn start_engine(&self) -> Result<Process, Failure> {
        let args = self.args;
        let mut process = Process::start("relay-child", |command| {
            command.env(SUBSCRIPTIONS, &self.subscriptions);
            command.arg("--data").arg(self.data).args(["--durability", args.engine.durability.name()]);
            if let Some(order_actors) = args.engine.order_actors {
                command.args(["--order-actors", &order_actors.to_string()]);
            }
            let numbers = [
                ("--seed", args.seed),
                ("--rate", args.rate),
                ("--first", self.done),
                ("--orders", args.orders),
            ];
            if args.trim {
                command.arg("--trim");
            }
            for (name, value) in numbers {
                command.arg(name).arg(value.to_string());
            }
        })?;
        process.tell(self.allowed);
        Ok(process)
    }
}
