//! Kills an engine with SIGKILL, at random moments and where it hurts ([`super::crash_kills`]), and looks for everything
//! that it had acknowledged: in journal and store, and in the answers that its successor gives to the same requests, of
//! just now and of long ago. At the end one engine closes in order, and another one must find the same state.

use std::collections::HashMap;
use std::path::Path;
use std::time::{Duration, Instant};

use stockade::OrderNo;
use stockade::audit::verify::{VerifyError, VerifyOptions, verify};

use super::crash_child::backup_of;
use super::crash_kills::{self, Class, From, Kill, Settings};
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
/// How many requests of earlier rounds are repeated, and their orders looked at.
const AGAIN: u64 = 64;
/// How long the last engine, which is not killed, takes orders.
const LAST_ROUND_MS: u64 = 300;
/// Longest wait for an engine to get ready, or to end, or to give its signal.
const CHILD_MAX: Duration = Duration::from_secs(120);
/// Longest wait for a signal: an engine that makes no checkpoints, or trims nothing, is a problem.
const SIGNAL_MAX: Duration = Duration::from_secs(20);

/// The buyers of this scenario: sales of one to four lines.
pub(crate) fn plan(seed: u64) -> Plan {
    Plan { seed, skus: SKUS, baskets: Baskets::Sale }
}

pub(crate) fn run(args: &CrashArgs) -> Result<Report, Failure> {
    if args.durability == DurabilityArg::Memory {
        return Err("durability memory survives no kill: choose synced or buffered".into());
    }
    let place = Place::new(args.data.as_deref())?;
    let mut crash = Crash::new(args, place.path());
    let mut random = Random::new(args.seed, 4);
    let bar = progress::bar("kills", args.kills);
    let mut last = None;
    let mut kills = 0;
    // One more round ends in order, and the last one only looks.
    for round in 0..args.kills + 2 {
        let settings = crash_kills::settings(&mut random, round, args.kills);
        let ending = match round.checked_sub(args.kills) {
            None => Ending::Kill(crash_kills::kill(&mut random, settings)),
            Some(0) => Ending::Stop { after_ms: LAST_ROUND_MS, clients: args.clients },
            Some(_) => Ending::Stop { after_ms: 0, clients: 0 },
        };
        let again = crash.some_placed(&mut random);
        crash.round(Round { first: round * ROUND_BUYERS, settings, ending, again })?;
        if let Ending::Kill(kill) = ending {
            kills += 1;
            *crash.kills.entry(kill.class).or_default() += 1;
            bar.set_position(kills);
            if kill.class == Class::Backup {
                crash.look_at_backup(&backup_of(place.path()));
            }
        }
        // On a copy, so that the next engine finds what the kill has left, and not what the audit made of it.
        let audited = audit(place.path(), false, &mut crash.acknowledged)?;
        let failed = !audited.passed();
        crash.lost += audited.lost_acked;
        crash.compared += u64::from(audited.report.store.is_some_and(|store| store.compared_with_replay));
        crash.stored_ahead += audited.report.store.map_or(0, |store| store.orders_ahead);
        last = Some(audited);
        if failed {
            crash.problems.add(|| format!("the audit failed after {kills} kills, the last one {ending:?}"));
            break;
        }
    }
    bar.finish_and_clear();

    let mut report = Report::new("crash", args.durability.name(), place.path());
    report.set("seed", args.seed);
    report.set("kills", kills);
    for class in Class::ALL {
        report.set(class.field(), crash.kills.get(&class).copied().unwrap_or_default());
    }
    report.set("backups_complete", crash.backups_complete);
    report.set("backups_interrupted", crash.backups_interrupted);
    report.set_orders(&crash.tally, crash.serving);
    report.set("acknowledged_orders", crash.acknowledged.len());
    report.set("orders_shown_again", crash.shown);
    report.set("recovered_events", crash.recovered_events);
    report.set("recovered_events_per_s", per_second(crash.recovered_events, crash.recovery));
    report.set("starts_on_a_store", crash.starts_on_a_store);
    report.set("starts_on_a_trimmed_journal", crash.starts_trimmed);
    report.set("stores_compared_with_replay", crash.compared);
    report.set("stored_orders_ahead", crash.stored_ahead);
    if let Some(end) = crash.ends.first() {
        report.set("evicted", end.evicted);
        report.set("store_reads", end.store_reads);
        report.set("store_position", end.stored);
        report.set("journal_first", end.journal_first);
        report.set("state_hash", format!("{:016x}", end.hash));
    }
    match crash.ends.as_slice() {
        [before, after] if before.hash == after.hash => {}
        _ if !crash.problems.is_empty() => {}
        ends => {
            report.add_problem(|| format!("state hashes before and after the last start differ: {ends:x?}"))
        }
    }
    if let Some(audited) = last {
        report.set_audit(audited);
    }
    report.set("lost_acked", crash.lost);
    report.add_problems(crash.problems);
    Ok(report)
}

/// How a round ends.
#[derive(Clone, Copy, Debug)]
enum Ending {
    Kill(Kill),
    /// In order, after so many buyers at a time have been there for so long.
    Stop {
        after_ms: u64,
        clients: u64,
    },
}

/// One engine's life.
struct Round {
    /// Its first buyer.
    first: u64,
    settings: Settings,
    ending: Ending,
    /// Buyers of earlier rounds who come again.
    again: Vec<u64>,
}

/// What an engine said at its orderly end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct End {
    hash: u64,
    evicted: u64,
    store_reads: u64,
    stored: u64,
    journal_first: u64,
}

/// What is known over all rounds.
struct Crash<'a> {
    args: &'a CrashArgs,
    data: &'a Path,
    acknowledged: Acknowledged,
    /// The first answer to each request.
    answers: HashMap<u64, OrderNo>,
    /// Buyers who have an order, as they got it.
    placed: Vec<u64>,
    /// How many of them had it before the last round.
    placed_before: usize,
    /// Requests that the next engine repeats.
    retry: (u64, u64),
    tally: Tally,
    kills: HashMap<Class, u64>,
    backups_complete: u64,
    backups_interrupted: u64,
    ends: Vec<End>,
    /// Orders of long ago that were looked at.
    shown: u64,
    starts_on_a_store: u64,
    starts_trimmed: u64,
    compared: u64,
    stored_ahead: u64,
    lost: u64,
    recovered_events: u64,
    recovery: Duration,
    /// Between ready and killed.
    serving: Duration,
    problems: Problems,
}

impl<'a> Crash<'a> {
    fn new(args: &'a CrashArgs, data: &'a Path) -> Self {
        Self {
            args,
            data,
            acknowledged: Acknowledged::new(plan(args.seed)),
            answers: HashMap::new(),
            placed: Vec::new(),
            placed_before: 0,
            retry: (0, 0),
            tally: Tally::default(),
            kills: HashMap::new(),
            backups_complete: 0,
            backups_interrupted: 0,
            ends: Vec::new(),
            shown: 0,
            starts_on_a_store: 0,
            starts_trimmed: 0,
            compared: 0,
            stored_ahead: 0,
            lost: 0,
            recovered_events: 0,
            recovery: Duration::ZERO,
            serving: Duration::ZERO,
            problems: Problems::default(),
        }
    }

    /// Some buyers who had their orders before the last round: these are in the store.
    fn some_placed(&self, random: &mut Random) -> Vec<u64> {
        let old = &self.placed[..self.placed_before];
        // Drawn in any case, so that the kills that follow are the same whatever was placed.
        let drawn: Vec<u64> = (0..AGAIN).map(|_| random.below(1 << 40)).collect();
        let mut again: Vec<u64> =
            drawn.into_iter().filter_map(|at| old.get(at as usize % old.len().max(1)).copied()).collect();
        again.sort_unstable();
        again.dedup();
        again
    }

    /// A backup whose engine was killed is complete and sound, or says that it is not complete.
    fn look_at_backup(&mut self, backup: &Path) {
        let _ = std::fs::remove_dir_all(backup.with_extension("done"));
        if !backup.exists() {
            return;
        }
        match verify(backup, VerifyOptions::new().in_place(true)) {
            Ok(report) if report.passed() => self.backups_complete += 1,
            Ok(report) => {
                let first = report.violations.first();
                self.problems.add(|| format!("a backup does not pass its audit: {first:?}"));
            }
            Err(VerifyError::InterruptedBackup { .. }) => self.backups_interrupted += 1,
            Err(error) => {
                // Killed between the folder and the first file in it.
                let is_empty = std::fs::read_dir(backup).is_ok_and(|mut entries| entries.next().is_none());
                if is_empty {
                    self.backups_interrupted += 1;
                } else {
                    self.problems.add(|| format!("a backup can't be read: {error}"));
                }
            }
        }
        // Beside the data, which may be here to stay.
        let _ = std::fs::remove_dir_all(backup);
    }

    /// Runs one engine until it is killed, or to its orderly end.
    fn round(&mut self, round: Round) -> Result<(), Failure> {
        let first = round.first;
        self.placed_before = self.placed.len();
        let mut last = first;
        let mut process = start_child(self.args, self.data, &round, self.retry)?;
        let mut heard = Heard { started: Instant::now(), ready: None };
        let ended = match round.ending {
            Ending::Kill(kill) => {
                let mut lines = Vec::new();
                self.wait_for_moment(kill, &mut process, &mut heard, &mut lines)?;
                process.kill();
                // What it had said before it died counts too.
                while let Some(line) = process.line(CHILD_MAX)? {
                    lines.push(line);
                }
                for line in &lines {
                    self.take_line(line, first, &mut last, &mut heard)?;
                }
                true
            }
            Ending::Stop { .. } => {
                let mut done = false;
                while let Some(line) = process.line(CHILD_MAX)? {
                    done |= line == "done";
                    self.take_line(&line, first, &mut last, &mut heard)?;
                }
                done && process.ended_well()
            }
        };
        self.serving += heard.ready.map_or(Duration::ZERO, |ready| ready.elapsed());
        if !ended {
            self.problems.add(|| "the last engine did not end in order".to_owned());
        }
        // An engine that was not ready got no request: its successor repeats those of its predecessor.
        if heard.ready.is_some() {
            self.retry = (last.saturating_sub(RETRIES).max(first), last + 1 + self.args.clients);
        }
        Ok(())
    }

    /// Waits until the engine is to be killed.
    fn wait_for_moment(
        &mut self,
        kill: Kill,
        process: &mut Process,
        heard: &mut Heard,
        lines: &mut Vec<String>,
    ) -> Result<(), Failure> {
        let mut from = (kill.from == From::Started).then_some(heard.started);
        loop {
            let left = match from {
                Some(from) => match (from + kill.delay).checked_duration_since(Instant::now()) {
                    Some(left) => left,
                    None => return Ok(()),
                },
                None if heard.ready.is_some() => SIGNAL_MAX,
                None => CHILD_MAX,
            };
            match process.line(left) {
                Ok(Some(line)) => {
                    if line.starts_with("ready ") {
                        heard.ready = Some(Instant::now());
                        from = from.or((kill.from == From::Ready).then(Instant::now));
                    }
                    if line == "now" {
                        from = from.or_else(|| Some(Instant::now()));
                    } else {
                        lines.push(line);
                    }
                }
                Ok(None) => {
                    return Err("the engine ended before it was killed: see its message above".into());
                }
                Err(Waiting) if from.is_some() => return Ok(()),
                Err(Waiting) => {
                    self.problems.add(|| format!("the engine gives no signal for {kill:?}"));
                    return Ok(());
                }
            }
        }
    }

    /// Any line of an engine.
    fn take_line(
        &mut self,
        line: &str,
        first: u64,
        last: &mut u64,
        heard: &mut Heard,
    ) -> Result<(), Failure> {
        if line.starts_with("ready ") {
            heard.ready.get_or_insert_with(Instant::now);
            return self.take_ready(line);
        }
        match line.strip_prefix("end ") {
            Some(end) => match take_end(end) {
                Some(end) => self.ends.push(end),
                None => self.problems.add(|| format!("the engine said `{line}`")),
            },
            None => self.take(line, first, last),
        }
        Ok(())
    }

    /// `ready EVENTS MS STORED FIRST`
    fn take_ready(&mut self, line: &str) -> Result<(), Failure> {
        let numbers: Option<Vec<u64>> = line.split(' ').skip(1).map(|field| field.parse().ok()).collect();
        let Some([events, recovery_ms, stored, journal_first]) = numbers.as_deref() else {
            return Err(format!("the engine said `{line}` in place of `ready`").into());
        };
        self.recovered_events += events;
        self.recovery += Duration::from_millis(*recovery_ms);
        self.starts_on_a_store += u64::from(*stored > 0);
        self.starts_trimmed += u64::from(*journal_first > 1);
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
            (Some("done" | "now"), None, None) => {}
            (Some("V"), Some(n), Some(letters)) => {
                self.shown += 1;
                if let Some(order_no) = self.answers.get(&n) {
                    self.acknowledged.compare_shown(*order_no, letters, &mut self.problems);
                }
            }
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
            None => {
                self.placed.push(n);
                self.tally.accepted += 1;
            }
            Some(known) if known == order_no => self.tally.duplicates += 1,
            Some(known) => {
                self.problems.add(|| format!("buyer {n} had order {known} and now gets {order_no}"))
            }
        }
    }
}

/// From when on an engine's time counts.
struct Heard {
    started: Instant,
    ready: Option<Instant>,
}

/// `HASH CHECKPOINTS EVICTED READS STORED FIRST`
fn take_end(line: &str) -> Option<End> {
    let (hash, rest) = line.split_once(' ')?;
    let numbers: Option<Vec<u64>> = rest.split(' ').map(|field| field.parse().ok()).collect();
    let [_checkpoints, evicted, store_reads, stored, journal_first] = numbers?[..] else { return None };
    let hash = u64::from_str_radix(hash, 16).ok()?;
    Some(End { hash, evicted, store_reads, stored, journal_first })
}

/// An engine that serves buyers from the round's first on, after it has repeated the requests of others.
fn start_child(
    args: &CrashArgs,
    data: &Path,
    round: &Round,
    (retry_from, retry_to): (u64, u64),
) -> Result<Process, Failure> {
    let Round { first, settings, ending, again } = round;
    Process::start("crash-child", |command| {
        command.arg("--data").arg(data);
        command.args(["--durability", args.durability.name()]);
        let (stop_after_ms, clients) = match ending {
            Ending::Kill(_) => (None, args.clients),
            Ending::Stop { after_ms, clients } => (Some(after_ms), *clients),
        };
        let numbers = [
            ("--seed", args.seed),
            ("--clients", clients),
            ("--first", *first),
            ("--retry-from", retry_from),
            ("--retry-to", retry_to),
            ("--checkpoint-interval-ms", settings.checkpoint_interval_ms),
            ("--checkpoint-events-max", settings.checkpoint_events_max),
        ];
        for (name, value) in numbers {
            command.arg(name).arg(value.to_string());
        }
        if settings.keep_journal {
            command.arg("--keep-journal");
        }
        if let Ending::Kill(Kill { from: From::Signal(signal, nth), .. }) = ending {
            command.args(["--signal", signal.name(), "--signal-nth", &nth.to_string()]);
        }
        if let Some(after_ms) = stop_after_ms {
            command.arg("--stop-after-ms").arg(after_ms.to_string());
        }
        if !again.is_empty() && clients > 0 {
            let again: Vec<String> = again.iter().map(u64::to_string).collect();
            command.arg("--again").arg(again.join(","));
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn take(lines: &[&str]) -> (Tally, u64, u64) {
        let args = CrashArgs { kills: 1, clients: 1, seed: 1, durability: DurabilityArg::Synced, data: None };
        let mut crash = Crash::new(&args, Path::new(""));
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

    #[test]
    fn an_order_of_long_ago_must_show_what_was_acknowledged() {
        assert_eq!(take(&["O 1 77", "P 1 77", "V 1 OSP"]).2, 0);
        assert_eq!(take(&["O 1 77", "P 1 77", "V 1 O"]).2, 1);
    }

    #[test]
    fn the_end_is_read_whole_or_not_at_all() {
        let end = End { hash: 0xff, evicted: 2, store_reads: 3, stored: 4, journal_first: 5 };
        assert_eq!(take_end("00000000000000ff 1 2 3 4 5"), Some(end));
        assert_eq!(take_end("00000000000000ff 1 2 3 4"), None);
    }
}
