//! What a scenario reports: a table for people, one JSON object for programs.

use std::borrow::Cow;
use std::io::{self, Write};
use std::path::Path;
use std::time::Duration;

use serde_json::{Map, Value};
use stockade::{Metrics, Receipt, Reject};

use crate::acked::Problems;
use crate::audit::Audited;
use crate::latency::Percentiles;
use crate::machine;
use crate::store::{self, Drained};

/// Answers to submissions, by kind.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Tally {
    pub(crate) accepted: u64,
    pub(crate) sold_out: u64,
    pub(crate) limited: u64,
    /// Repeated requests that got the first answer.
    pub(crate) duplicates: u64,
    pub(crate) other_rejects: u64,
}

impl Tally {
    /// Requests that had an answer.
    pub(crate) fn answered(&self) -> u64 {
        self.accepted + self.sold_out + self.limited + self.other_rejects
    }

    /// Counts the first answer to a request.
    pub(crate) fn note(&mut self, result: &Result<Receipt, Reject>) {
        *match result {
            Ok(_) => &mut self.accepted,
            Err(Reject::SoldOut { .. }) => &mut self.sold_out,
            Err(Reject::LimitExceeded { .. }) => &mut self.limited,
            Err(_) => &mut self.other_rejects,
        } += 1;
    }

    pub(crate) fn add(&mut self, other: Self) {
        self.accepted += other.accepted;
        self.sold_out += other.sold_out;
        self.limited += other.limited;
        self.duplicates += other.duplicates;
        self.other_rejects += other.other_rejects;
    }
}

/// The result of a scenario. What doesn't apply to it stays away from the table and the JSON object.
#[derive(Default)]
pub(crate) struct Report {
    fields: Vec<(Cow<'static, str>, Value)>,
    problems: Problems,
    failed: bool,
}

impl Report {
    pub(crate) fn new(scenario: &'static str, durability: &'static str, data: &Path) -> Self {
        let mut report = Self::default();
        report.set("scenario", scenario);
        report.set("durability", durability);
        report.set("cores", machine::cores());
        report.set("cpu", machine::cpu());
        report.set("filesystem", machine::filesystem(data));
        report
    }

    /// Sets a field, in the order in which the table shows them.
    pub(crate) fn set(&mut self, name: impl Into<Cow<'static, str>>, value: impl Into<Value>) {
        let (name, value) = (name.into(), value.into());
        match self.fields.iter_mut().find(|(known, _)| *known == name) {
            Some((_, known)) => *known = value,
            None => self.fields.push((name, value)),
        }
    }

    /// Answers by kind, and accepted orders a second over the time that they took.
    pub(crate) fn set_orders(&mut self, tally: &Tally, elapsed: Duration) {
        self.set("orders_per_s", per_second(tally.accepted, elapsed));
        self.set("elapsed_s", rounded(elapsed.as_secs_f64()));
        self.set("accepted", tally.accepted);
        self.set("sold_out", tally.sold_out);
        self.set("limited", tally.limited);
        self.set("duplicates", tally.duplicates);
        self.set("other_rejects", tally.other_rejects);
    }

    pub(crate) fn set_latency(&mut self, latency: Option<Percentiles>) {
        if let Some(latency) = latency {
            self.set("latency_us", latency.json());
        }
    }

    /// The journal's own figures. Bytes an order are those of everything that its orders brought with them.
    pub(crate) fn set_journal(&mut self, before: &Metrics, after: &Metrics) {
        self.set("commits", after.commits - before.commits);
        let orders = after.accepted - before.accepted;
        if orders > 0 {
            let bytes = after.journal_bytes - before.journal_bytes;
            self.set("bytes_per_order", rounded(bytes as f64 / orders as f64));
        }
    }

    /// The store's figures, and what it leaves of the journal. A store that has stopped is a problem.
    pub(crate) fn set_store(&mut self, metrics: &Metrics) {
        self.set("store", if store::is_active(metrics) { "active" } else { "inactive" });
        self.set("checkpoints", metrics.checkpoints);
        self.set("evicted", metrics.evicted);
        self.set("store_reads", metrics.store_reads);
        self.set("store_written_bytes", metrics.store_written_bytes);
        self.set("store_disk_bytes", metrics.store_disk_bytes);
        self.set("journal_disk_bytes", metrics.journal_disk_bytes);
        self.set("journal_first", metrics.journal_first.0);
        if let Some(failure) = &metrics.store_failure {
            self.add_problem(|| format!("the store has stopped: {failure}"));
        }
    }

    /// How far the store was behind when the load ended, and how long it took to catch up. One that doesn't is a
    /// problem.
    pub(crate) fn set_drain(&mut self, lag_ms: u64, drained: Option<Drained>) {
        let Some(Drained { ms, complete }) = drained else { return };
        self.set("store_lag_ms", lag_ms);
        self.set("store_drain_ms", ms);
        if !complete {
            self.add_problem(|| format!("the store has not caught up in {ms} ms"));
        }
    }

    /// The verdict of the audit.
    pub(crate) fn set_audit(&mut self, audited: Audited) {
        self.set("oversold_units", audited.report.oversold_units());
        self.set("lost_acked", audited.lost_acked);
        self.set("audited_events", audited.report.events);
        let passed = audited.passed();
        self.set("audit", if passed { "pass" } else { "fail" });
        self.failed |= !passed;
        self.problems.append(audited.problems);
    }

    /// Events a second of the recovery that opened this engine.
    pub(crate) fn set_recovery(&mut self, metrics: &Metrics) {
        let elapsed = Duration::from_millis(metrics.recovery_ms.max(1));
        self.set("recovered_events", metrics.recovered_events);
        self.set("recovered_events_per_s", per_second(metrics.recovered_events, elapsed));
    }

    /// What was not as it must be, apart from the audit.
    pub(crate) fn add_problems(&mut self, problems: Problems) {
        self.failed |= problems.total() > 0;
        self.problems.append(problems);
    }

    /// One thing that was not as it must be.
    pub(crate) fn add_problem(&mut self, message: impl FnOnce() -> String) {
        self.failed = true;
        self.problems.add(message);
    }

    /// Whether everything was as it must be.
    pub(crate) fn passed(&self) -> bool {
        !self.failed
    }

    /// Prints the table, and the JSON object after it if asked to.
    pub(crate) fn print(&self, json: bool) {
        // A reader that has gone (a closed pipe) doesn't change the verdict.
        let _ = self.write(&mut io::stdout().lock(), json);
    }

    fn write(&self, out: &mut impl Write, json: bool) -> io::Result<()> {
        for (name, value) in &self.fields {
            match value {
                Value::Object(parts) => {
                    // JSON objects sort by name, percentiles read better by rank.
                    for part in ["p50", "p90", "p99", "p999", "max"] {
                        let value = parts.get(part).map(shown).unwrap_or_default();
                        writeln!(out, "{:<28} {value:>16}", format!("{name}.{part}"))?;
                    }
                }
                value => writeln!(out, "{name:<28} {:>16}", shown(value))?,
            }
        }
        for problem in self.problems.kept() {
            writeln!(out, "problem: {problem}")?;
        }
        let more = self.problems.total() - self.problems.kept().len() as u64;
        if more > 0 {
            writeln!(out, "problem: … and {more} more")?;
        }
        if json {
            let mut object: Map<String, Value> =
                self.fields.iter().map(|(name, value)| (name.to_string(), value.clone())).collect();
            object.insert("passed".to_owned(), self.passed().into());
            object.insert("problems".to_owned(), self.problems.total().into());
            writeln!(out, "{}", Value::Object(object))?;
        }
        Ok(())
    }
}

/// So many things a second, as a whole number.
pub(crate) fn per_second(count: u64, elapsed: Duration) -> u64 {
    (count as f64 / elapsed.as_secs_f64().max(1e-9)) as u64
}

/// With two decimals.
pub(crate) fn rounded(value: f64) -> f64 {
    (value * 100.0).round() / 100.0
}

fn shown(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Number(number) => match number.as_u64() {
            Some(number) => grouped(number),
            None => number.to_string(),
        },
        other => other.to_string(),
    }
}

/// Digits in groups of three.
fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_json_object_is_the_last_line() {
        let mut report = Report::new("test", "synced", Path::new("/"));
        report.set_orders(&Tally { accepted: 1_234_567, ..Tally::default() }, Duration::from_secs(2));
        let mut out = Vec::new();
        report.write(&mut out, true).unwrap();
        let text = String::from_utf8(out).unwrap();
        assert!(text.contains("1,234,567"), "{text}");
        let json: Value = serde_json::from_str(text.lines().last().unwrap()).unwrap();
        assert_eq!(json["orders_per_s"], 617_283);
        assert_eq!(json["durability"], "synced");
        assert_eq!(json["passed"], true);
    }

    #[test]
    fn a_problem_fails_the_scenario() {
        let mut report = Report::new("test", "synced", Path::new("/"));
        assert!(report.passed());
        let mut problems = Problems::default();
        problems.add(|| "something is wrong".to_owned());
        report.add_problems(problems);
        assert!(!report.passed());
    }

    #[test]
    fn numbers_are_grouped() {
        assert_eq!(["0", "999", "1,000", "12,345,678"], [0, 999, 1_000, 12_345_678].map(grouped).as_slice());
    }
}
