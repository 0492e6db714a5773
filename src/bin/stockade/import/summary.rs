//! What an import comes to: counts, sums, problems, and a line of progress every second.

use std::io::{self, Write};
use std::path::{Path, PathBuf};

use serde::Serialize;
use stockade::runtime::clock::Clock;
use stockade::{ImportOutcome, ImportedOrder, Reject};

/// Problems that are kept and shown; all are counted.
const PROBLEMS_KEPT: usize = 100;
/// How often progress is shown, in ms.
const PROGRESS_EVERY_MS: u64 = 1_000;
/// The clock serves the rate and the deadlines of a dry run; no jump of it matters here.
const CLOCK_STEP_MAX_MS: u64 = 60_000;

/// What is imported, in this order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Catalogue,
    Stock,
    Orders,
    Limits,
}

impl Kind {
    const ALL: [Self; 4] = [Self::Catalogue, Self::Stock, Self::Orders, Self::Limits];

    const fn name(self) -> &'static str {
        match self {
            Self::Catalogue => "catalogue",
            Self::Stock => "stock",
            Self::Orders => "orders",
            Self::Limits => "limits",
        }
    }
}

/// Rows of one kind.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub(super) struct Counts {
    /// Rows read; orders are counted as orders, however many rows they have.
    read: u64,
    imported: u64,
    /// There already, as the row says.
    unchanged: u64,
    refused: u64,
}

/// What orders add up to.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub(super) struct Sums {
    units: u64,
    amount_minor: i64,
}

impl Sums {
    /// The sums of one order; it has been checked that they don't overflow.
    pub(super) fn of(order: &ImportedOrder) -> Self {
        let units = order.lines.iter().map(|line| u64::from(line.quantity)).sum();
        let amounts = order.lines.iter().filter_map(|line| line.price.checked_mul(line.quantity));
        Self { units, amount_minor: amounts.fold(0, |sum, amount| sum.saturating_add(amount.minor())) }
    }

    fn add(&mut self, other: Self) {
        self.units = self.units.saturating_add(other.units);
        self.amount_minor = self.amount_minor.saturating_add(other.amount_minor);
    }
}

/// A row that was refused.
#[derive(Debug, Serialize)]
struct Problem {
    file: String,
    line: u64,
    /// A reject's stable code, or `malformed`.
    code: &'static str,
    reason: String,
}

/// Why a row is refused.
pub(super) enum Refusal {
    /// It can't be read.
    Malformed(String),
    /// It can be read and is not taken.
    Reject(Reject),
}

/// What an import has come to so far.
pub(super) struct Summary {
    dry_run: bool,
    import_name: String,
    counts: [Counts; 4],
    imported: Sums,
    unchanged: Sums,
    problems: Vec<Problem>,
    problems_total: u64,
    clock: Clock,
    started_ms: u64,
    shown: (u64, u64),
    file: PathBuf,
}

impl Summary {
    pub(super) fn new(dry_run: bool, import_name: &str) -> Self {
        let clock = Clock::system(CLOCK_STEP_MAX_MS);
        Self {
            dry_run,
            import_name: import_name.to_owned(),
            counts: Default::default(),
            imported: Sums::default(),
            unchanged: Sums::default(),
            problems: Vec::new(),
            problems_total: 0,
            started_ms: monotonic_ms(&clock),
            shown: (monotonic_ms(&clock), 0),
            clock,
            file: PathBuf::new(),
        }
    }

    /// Time by the clock on the wall, in ms since the Unix epoch.
    pub(super) fn now_ms(&self) -> u64 {
        self.clock.now_ms()
    }

    /// The rows that follow are those of a file.
    pub(super) fn begin(&mut self, file: &Path) {
        self.file = file.to_owned();
        self.shown = (monotonic_ms(&self.clock), 0);
    }

    /// Counts a row.
    pub(super) fn note(&mut self, kind: Kind, line: u64, sums: Sums, result: Result<ImportOutcome, Refusal>) {
        let counts = &mut self.counts[kind as usize];
        counts.read += 1;
        let (code, reason) = match result {
            Ok(ImportOutcome::Imported) => {
                counts.imported += 1;
                return self.imported.add(sums);
            }
            Ok(ImportOutcome::Unchanged) => {
                counts.unchanged += 1;
                return self.unchanged.add(sums);
            }
            Err(Refusal::Malformed(reason)) => ("malformed", reason),
            Err(Refusal::Reject(reject)) => (reject.code(), reject.to_string()),
        };
        counts.refused += 1;
        self.problems_total += 1;
        if self.problems.len() < PROBLEMS_KEPT {
            let file = self.file.display().to_string();
            self.problems.push(Problem { file, line, code, reason });
        }
    }

    /// Whether any row was refused.
    pub(super) fn has_problems(&self) -> bool {
        self.problems_total > 0
    }

    /// Shows how far a kind has come, at most once a second.
    pub(super) fn progress(&mut self, kind: Kind) {
        let (last_ms, last_read) = self.shown;
        let (now_ms, counts) = (monotonic_ms(&self.clock), self.counts[kind as usize]);
        let elapsed_ms = now_ms.saturating_sub(last_ms);
        if elapsed_ms < PROGRESS_EVERY_MS {
            return;
        }
        let rate = (counts.read - last_read) * 1_000 / elapsed_ms;
        let Counts { read, imported, unchanged, refused } = counts;
        eprintln!(
            "{}: {read} read, {imported} imported, {unchanged} unchanged, {refused} refused, {rate}/s",
            kind.name()
        );
        self.shown = (now_ms, read);
    }

    /// Prints it; `failure` is what ended the import before its time.
    pub(super) fn print(&self, as_json: bool, failure: Option<&str>) -> io::Result<()> {
        let mut out = io::stdout().lock();
        let elapsed_ms = monotonic_ms(&self.clock).saturating_sub(self.started_ms);
        if as_json {
            let counts = |kind: Kind| serde_json::to_value(self.counts[kind as usize]);
            let mut json = serde_json::json!({
                "dry_run": self.dry_run,
                "import_id": self.import_name,
                "orders_imported": self.imported,
                "orders_unchanged": self.unchanged,
                "problems_total": self.problems_total,
                "problems": self.problems,
                "elapsed_ms": elapsed_ms,
                "failure": failure,
            });
            for kind in Kind::ALL {
                json[kind.name()] = counts(kind)?;
            }
            return writeln!(out, "{json}");
        }
        for Problem { file, line, code, reason } in &self.problems {
            writeln!(out, "{file}:{line}: {code}: {reason}")?;
        }
        let listed = self.problems.len() as u64;
        if self.problems_total > listed {
            writeln!(out, "… and {} more problems", self.problems_total - listed)?;
        }
        if self.has_problems() {
            writeln!(out)?;
        }
        let imported = if self.dry_run { "would import" } else { "imported" };
        writeln!(out, "{:<12} {:>12} {imported:>12} {:>12} {:>12}", "", "read", "unchanged", "refused")?;
        for kind in Kind::ALL {
            let Counts { read, imported, unchanged, refused } = self.counts[kind as usize];
            writeln!(out, "{:<12} {read:>12} {imported:>12} {unchanged:>12} {refused:>12}", kind.name())?;
        }
        let sums = |sums: Sums| format!("{} units, {} in minor units", sums.units, sums.amount_minor);
        writeln!(out, "\norders {imported}: {}", sums(self.imported))?;
        writeln!(out, "orders unchanged: {}", sums(self.unchanged))?;
        writeln!(out, "{}.{:03} s", elapsed_ms / 1_000, elapsed_ms % 1_000)
    }
}

fn monotonic_ms(clock: &Clock) -> u64 {
    clock.monotonic_ns() / 1_000_000
}
