//! How soon an engine is back that has many open orders and many more that are closed, after an orderly end or after a
//! kill, and that it comes back as it was (R7).
//!
//! The data is made by a process of its own, so that the memory of this one is the reopened engine's. It can be used
//! again: a note beside the data directory says what it holds.

use std::ops::Range;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use stockade::{Caller, Config, Engine, OrderStatus, OrderType};

use crate::acked::Problems;
use crate::cli::{DurabilityArg, EngineArgs, RestartArgs};
use crate::lifecycle::Ends;
use crate::place::Place;
use crate::plan::{Baskets, Plan};
use crate::process::Process;
use crate::report::Report;
use crate::{Failure, machine, recheck, shop};

/// SKUs that are sold.
pub(crate) const SKUS: u64 = 10;
/// Commands that are under way at a time.
pub(crate) const IN_FLIGHT_MAX: u64 = 1 << 15;
/// Open orders stay open for so long.
const AUTO_CLOSE_MS: u32 = 30 * 24 * 3_600_000;
/// Closed orders leave memory after so long.
const RETAIN_CLOSED_MS: u64 = 2_000;
/// Orders that a killed engine has taken since it was opened.
const TAIL_ORDERS: u64 = 10_000;
/// Numbers for newcomers: more than a killed engine takes in a second.
const NEWCOMERS_PER_MS: u64 = 16;
/// Longest wait for the data, and for the engine that is to be killed.
const BUILD_MAX: Duration = Duration::from_secs(12 * 3_600);
const TAIL_MAX: Duration = Duration::from_secs(600);
/// Members whose orders are listed afterwards.
const MEMBERS_LISTED: u64 = 20;
/// The last buyers of these SKUs order the first unit after the restart, and those that a killed engine has taken.
const FIRST_SKU: u64 = 1;
pub(crate) const TAIL_SKU: u64 = 2;

/// What a data directory was made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Contents {
    pub(crate) open: u64,
    pub(crate) stored: u64,
    pub(crate) members: u64,
}

impl Contents {
    /// The buyers: first those whose orders are closed.
    pub(crate) fn plan(self) -> Plan {
        Plan { seed: 1, skus: SKUS, baskets: Baskets::Regulars { members: self.members } }
    }

    /// What the n-th buyer's order has come to.
    fn status(self, n: u64) -> OrderStatus {
        let ends = if n < self.stored { Ends::AtOnce } else { Ends::Never };
        ends.status(&self.plan(), n)
    }
}

/// How an engine was left, as far as it is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Left {
    open_orders: Option<u64>,
    /// Not taken if it was not wanted.
    state_hash: Option<u64>,
}

impl Left {
    /// By an engine that did not come to its end.
    const UNKNOWN: Self = Self { open_orders: None, state_hash: None };

    /// What an engine that has come to rest shows.
    pub(crate) async fn of(engine: &Engine, with_hash: bool) -> Result<Self, Failure> {
        let state_hash = if with_hash { Some(engine.state_hash().await?.hash) } else { None };
        Ok(Self { open_orders: Some(engine.metrics().open_orders), state_hash })
    }

    /// The line that a child says.
    pub(crate) fn line(&self) -> String {
        let open_orders = self.open_orders.map_or_else(|| UNKNOWN.to_owned(), |open| open.to_string());
        format!("left {open_orders} {}", shown_hash(self.state_hash))
    }

    fn from_line(line: &str) -> Option<Self> {
        let (open_orders, hash) = line.strip_prefix("left ")?.split_once(' ')?;
        // Known and readable, or not known.
        let open_orders = if open_orders == UNKNOWN { None } else { Some(open_orders.parse().ok()?) };
        let state_hash = if hash == UNKNOWN { None } else { Some(u64::from_str_radix(hash, 16).ok()?) };
        Some(Self { open_orders, state_hash })
    }
}

/// Stands for what is not known.
const UNKNOWN: &str = "-";

fn shown_hash(hash: Option<u64>) -> String {
    hash.map_or_else(|| UNKNOWN.to_owned(), |hash| format!("{hash:016x}"))
}

/// The note beside a data directory: what it was made of, and how the last engine left it.
struct Note {
    path: PathBuf,
    contents: Contents,
}

impl Note {
    fn new(data: &Path, contents: Contents) -> Self {
        let mut name = data.file_name().unwrap_or_default().to_owned();
        name.push(".contents.json");
        Self { path: data.with_file_name(name), contents }
    }

    /// How the data was left, if it is of these contents.
    fn read(&self) -> Option<Left> {
        self.parse(&std::fs::read_to_string(&self.path).ok()?)
    }

    fn write(&self, left: &Left) -> Result<(), Failure> {
        Ok(std::fs::write(&self.path, self.text(left))?)
    }

    fn text(&self, left: &Left) -> String {
        let Contents { open, stored, members } = self.contents;
        let left = left.line();
        json!({ "open": open, "stored": stored, "members": members, "left": left }).to_string()
    }

    fn parse(&self, text: &str) -> Option<Left> {
        let note: Value = serde_json::from_str(text).ok()?;
        let number = |name: &str| note[name].as_u64();
        let contents =
            Contents { open: number("open")?, stored: number("stored")?, members: number("members")? };
        if contents != self.contents {
            return None;
        }
        Left::from_line(note["left"].as_str()?)
    }
}

/// The engine's configuration, the same for all processes but for the durability.
pub(crate) fn config(data: &Path, durability: DurabilityArg, order_actors: Option<usize>) -> Config {
    let engine_args = EngineArgs { durability, order_actors, data: None };
    shop::config(data, &engine_args, IN_FLIGHT_MAX)
        .auto_close_ms(OrderType::Normal, AUTO_CLOSE_MS)
        .retain_closed_ms(RETAIN_CLOSED_MS)
        .journal_keep_min_bytes(shop::JOURNAL_KEPT_BYTES)
}

/// Buyers who have not been there before, at this time of an engine: a run a second later has others.
pub(crate) fn newcomers(now_ms: u64, sku: u64, count: u64) -> Range<u64> {
    let first = Plan::sweep(sku, now_ms % (1 << 35) * NEWCOMERS_PER_MS);
    first..first + count
}

pub(crate) async fn run(args: RestartArgs) -> Result<Report, Failure> {
    let contents = Contents { open: args.open, stored: args.stored, members: args.members };
    let (place, note, built) = build(&args, contents)?;
    let mut left = built.left;
    let mut report = Report::new("restart", DurabilityArg::Synced.name(), place.path());
    report.set("open", args.open);
    report.set("stored", args.stored);
    report.set("is_data_reused", built.took.is_none());
    if let Some(took) = built.took {
        report.set("build_s", took.as_secs());
    }
    report.set("after", if args.kill { "kill" } else { "shutdown" });
    // If this run fails, the data can still be used again.
    note.write(&Left::UNKNOWN)?;
    if args.kill {
        let mut child = start_child(&args, place.path(), Some(TAIL_ORDERS))?;
        left = left_by(&mut child, TAIL_MAX)?;
        child.kill();
    }

    let (engine, opened) = reopen(&args, &place, &mut report).await?;
    // A state hash takes long: it comes before the first order, and its time does not count.
    compare(&mut report, &left, &Left::of(&engine, args.hash).await?);
    let plan = contents.plan();
    let first = newcomers(engine.now_ms(), FIRST_SKU, 1).start;
    let asked = Instant::now();
    let receipt = shop::submit(&engine, &plan, first).await?;
    report.set("first_order_ms", (opened + asked.elapsed()).as_millis() as u64);
    list_members(&engine, contents, &mut report).await?;

    // Cancelled, so that a data directory that is used again has as many open orders as before.
    engine.cancel(Caller::Member(plan.member(first).into()), receipt.order_no).await?;
    let left = Left::of(&engine, args.hash).await?;
    report.set_store(&engine.metrics());
    engine.shutdown().await?;
    note.write(&left)?;
    Ok(report)
}

/// Opens the engine; returns how long it took, too.
async fn reopen(
    args: &RestartArgs,
    place: &Place,
    report: &mut Report,
) -> Result<(Engine, Duration), Failure> {
    let started = Instant::now();
    let engine = Engine::open(config(place.path(), DurabilityArg::Synced, args.order_actors)).await?;
    let took = started.elapsed();
    let resident = machine::resident_bytes();
    let metrics = engine.metrics();
    let open_ms = took.as_millis() as u64;
    report.set("open_ms", open_ms);
    report.set_recovery(&metrics);
    report.set("recovery_ms", metrics.recovery_ms);
    if let Some(resident) = resident {
        report.set("resident_mib_after_open", resident >> 20);
    }
    report.set("open_orders", metrics.open_orders);
    report.set("orders_in_memory", metrics.orders);
    report.set("stored_position", metrics.stored.0);
    if open_ms > args.ready_max_ms {
        report.add_problem(|| {
            format!("it took {open_ms} ms to open, at most {} are allowed", args.ready_max_ms)
        });
    }
    Ok((engine, took))
}

/// Lists the orders of some members.
async fn list_members(engine: &Engine, contents: Contents, report: &mut Report) -> Result<(), Failure> {
    let (plan, orders) = (contents.plan(), contents.open + contents.stored);
    let status = |n| contents.status(n);
    let mut problems = Problems::default();
    let mut listed = 0;
    for member in recheck::some_members(contents.members, MEMBERS_LISTED) {
        let asked = (member, contents.members);
        listed += recheck::member(engine, &plan, asked, orders, status, &mut problems).await?;
    }
    report.set("orders_listed", listed);
    report.add_problems(problems);
    Ok(())
}

/// The data before the restart.
struct Built {
    left: Left,
    /// `None` if it was there already.
    took: Option<Duration>,
}

/// Makes the data, unless it is there.
fn build(args: &RestartArgs, contents: Contents) -> Result<(Place, Note, Built), Failure> {
    if let Some(data) = &args.data {
        let note = Note::new(data, contents);
        if let Some(left) = note.read() {
            return Ok((Place::existing(data)?, note, Built { left, took: None }));
        }
    }
    let place = Place::new(args.data.as_deref())?;
    let note = Note::new(place.path(), contents);
    let started = Instant::now();
    let mut child = start_child(args, place.path(), None)?;
    let left = left_by(&mut child, BUILD_MAX)?;
    while child.line(BUILD_MAX)?.is_some() {}
    if !child.ended_well() {
        return Err("the engine that made the data did not end in order: see its message above".into());
    }
    note.write(&left)?;
    Ok((place, note, Built { left, took: Some(started.elapsed()) }))
}

/// An engine that makes the data, or that takes so many orders and is killed.
fn start_child(args: &RestartArgs, data: &Path, tail: Option<u64>) -> Result<Process, Failure> {
    let numbers = [("--open", args.open), ("--stored", args.stored), ("--members", args.members)];
    let set = |command: &mut Command, name: &str, value: &dyn ToString| {
        command.arg(name).arg(value.to_string());
    };
    Process::start("restart-child", |command| {
        command.arg("--data").arg(data);
        for (name, value) in numbers {
            set(command, name, &value);
        }
        set(command, "--hash", &args.hash);
        if let Some(order_actors) = args.order_actors {
            set(command, "--order-actors", &order_actors);
        }
        if let Some(tail) = tail {
            set(command, "--tail", &tail);
        }
    })
}

/// What a child says of the state that it leaves.
fn left_by(child: &mut Process, wait: Duration) -> Result<Left, Failure> {
    let line = child.line(wait)?.ok_or("the engine ended before it was done: see its message above")?;
    Left::from_line(&line).ok_or_else(|| format!("the engine said `{line}` in place of `left`").into())
}

/// What was known before must be so after.
fn compare(report: &mut Report, left: &Left, found: &Left) {
    if let (Some(before), Some(after)) = (left.open_orders, found.open_orders)
        && before != after
    {
        report.add_problem(|| format!("{before} orders were open before, {after} are after"));
    }
    report.set("state_hash_before", shown_hash(left.state_hash));
    report.set("state_hash_after", shown_hash(found.state_hash));
    if let (Some(before), Some(after)) = (left.state_hash, found.state_hash)
        && before != after
    {
        report.add_problem(|| format!("the state hash was {before:016x} before and is {after:016x} after"));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CONTENTS: Contents = Contents { open: 5, stored: 10, members: 3 };

    #[test]
    fn a_childs_line_says_how_it_left_the_engine() {
        for state_hash in [None, Some(0), Some(u64::MAX)] {
            for open_orders in [None, Some(7)] {
                let left = Left { open_orders, state_hash };
                assert_eq!(Left::from_line(&left.line()), Some(left));
            }
        }
        for wrong in ["", "left", "left 7", "left x -", "left 7 xyz", "done"] {
            assert_eq!(Left::from_line(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn a_note_holds_for_its_own_contents_only() {
        let dir = tempfile::tempdir().unwrap();
        let data = dir.path().join("data");
        let note = Note::new(&data, CONTENTS);
        assert_eq!(note.read(), None);
        let left = Left { open_orders: Some(5), state_hash: Some(1) };
        note.write(&left).unwrap();
        assert_eq!(note.read(), Some(left));
        assert_eq!(Note::new(&data, Contents { open: 6, ..CONTENTS }).read(), None);
        assert!(!note.path.starts_with(&data), "it is beside the data");
        note.write(&Left::UNKNOWN).unwrap();
        assert_eq!(note.read(), Some(Left::UNKNOWN), "the contents are known all the same");
    }

    #[test]
    fn only_what_is_known_is_compared() {
        let known = Left { open_orders: Some(5), state_hash: Some(1) };
        let passes = |left: Left, found: Left| {
            let mut report = Report::default();
            compare(&mut report, &left, &found);
            report.passed()
        };
        assert!(passes(known, known) && passes(Left::UNKNOWN, known));
        assert!(passes(known, Left { state_hash: None, ..known }));
        assert!(!passes(known, Left { state_hash: Some(2), ..known }));
        assert!(!passes(known, Left { open_orders: Some(4), ..known }));
    }

    #[test]
    fn stored_orders_are_closed_and_the_others_are_open() {
        let statuses: Vec<_> = (0..15).map(|n| CONTENTS.status(n)).collect();
        assert!(statuses[..10].iter().all(|status| *status != OrderStatus::Pending), "{statuses:?}");
        assert!(statuses[10..].iter().all(|status| *status == OrderStatus::Pending), "{statuses:?}");
    }

    #[test]
    fn newcomers_are_nobody_else() {
        let plan = CONTENTS.plan();
        let (first, tail) = (newcomers(1_800_000_000_000, 1, 1), newcomers(1_800_000_000_000, 2, 10_000));
        let later = newcomers(1_800_000_001_000, 2, 10_000);
        assert!(later.start >= tail.end, "{tail:?} {later:?}");
        assert!(tail.start > first.end && plan.member(first.start) == first.start);
        assert_eq!(plan.order(tail.end - 1).lines[0].sku_id.0, 2);
    }
}
