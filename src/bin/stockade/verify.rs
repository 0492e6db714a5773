//! `stockade verify`: audits a data directory offline and says so in a table or in JSON.

use std::io::{self, IsTerminal, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use stockade::audit::verify::{Progress, VerifyError, VerifyOptions, verify};
use stockade::audit::{AuditReport, StockTally, StoreTally};
use stockade::runtime::clock::Clock;

use crate::common::with_causes;

/// Stock keys that the table shows; the JSON report has all of them.
const TABLE_KEYS_MAX: usize = 20;

/// Audit the journal and the store of a data directory.
///
/// Reads every record of the store and adds it up: orders against stock, purchase limits, payments, entries by member
/// and by external number, and sums. Reads every event of the journal and checks the rules: nothing oversold, orders
/// whole or not at all, one decision per entry, requests and payments once, deadlines kept, late money kept or
/// returned, positions and versions without a gap. A whole journal is audited from its first event, and the store is
/// compared with it; a trimmed one from where the store ends. Shares no counters with the engine. No engine may have
/// the directory open.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Exit code: 0 when every rule holds, 1 when one is broken, 2 when the data can't be read."
)]
pub(crate) struct Args {
    /// The data directory.
    #[arg(long, value_name = "DIR")]
    data: PathBuf,

    /// Open the directory itself and not a copy. Faster, but opening writes to it.
    #[arg(long)]
    in_place: bool,

    /// Where to make the copy [default: beside the data directory].
    #[arg(long, value_name = "DIR", conflicts_with = "in_place")]
    scratch: Option<PathBuf>,

    /// For how long the engine keeps payments, in ms: older ones may be missing from the store [default: 180 days].
    #[arg(long, value_name = "MS", value_parser = clap::value_parser!(u64).range(1..))]
    payment_window_ms: Option<u64>,

    /// Print one JSON object in place of the table.
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(args: &Args) -> ExitCode {
    let mut pace = Pace::default();
    match audit(args, &mut pace) {
        Ok(report) => {
            let printed = if args.json { print_json(&report, &pace) } else { print_table(&report, &pace) };
            // A reader that has gone (a closed pipe) doesn't change the verdict.
            drop(printed);
            if report.passed() { ExitCode::SUCCESS } else { ExitCode::from(1) }
        }
        Err(error) => {
            eprintln!("error: {}", with_causes(&error));
            ExitCode::from(2)
        }
    }
}

/// How long the parts of an audit took, in ms since the beginning, each at its last word.
#[derive(Debug, Default)]
struct Pace {
    copied_ms: u64,
    stored_ms: u64,
    audited_ms: u64,
}

impl Pace {
    /// Records of the store a second.
    fn records_per_s(&self, report: &AuditReport) -> Option<u64> {
        let records = report.store?.records;
        Some(per_second(records, self.stored_ms.saturating_sub(self.copied_ms)))
    }

    /// Events of the journal a second.
    fn events_per_s(&self, report: &AuditReport) -> u64 {
        per_second(report.events, self.audited_ms.saturating_sub(self.stored_ms.max(self.copied_ms)))
    }
}

fn per_second(count: u64, ms: u64) -> u64 {
    count.saturating_mul(1_000) / ms.max(1)
}

fn audit(args: &Args, pace: &mut Pace) -> Result<AuditReport, VerifyError> {
    let show = !args.json && io::stderr().is_terminal();
    // Wall time is of no account, so the bound of its steps isn't either.
    let clock = Clock::system(1);
    let mut options = VerifyOptions::new().in_place(args.in_place);
    if let Some(dir) = &args.scratch {
        options = options.scratch(dir);
    }
    if let Some(payment_window_ms) = args.payment_window_ms {
        options = options.payment_window_ms(payment_window_ms);
    }
    let options = options.on_progress(|progress| {
        let at_ms = clock.monotonic_ns() / 1_000_000;
        let (last, line) = match progress {
            Progress::Copied { bytes } => (&mut pace.copied_ms, format!("{:>9} MiB copied", bytes >> 20)),
            Progress::Stored { records } => (&mut pace.stored_ms, format!("{records:>9} records added up")),
            Progress::Audited { events } => (&mut pace.audited_ms, format!("{events:>9} events audited")),
        };
        *last = at_ms;
        if show {
            // One line that rewrites itself; nothing where stderr is a file.
            eprint!("\r{line:<32}");
        }
    });
    let result = verify(&args.data, options);
    if show {
        eprint!("\r{:32}\r", "");
    }
    result
}

fn print_json(report: &AuditReport, pace: &Pace) -> io::Result<()> {
    let mut json = serde_json::to_value(report)?;
    if let Some(object) = json.as_object_mut() {
        object.insert("audit".to_owned(), verdict(report).into());
        object.insert("oversold_units".to_owned(), report.oversold_units().into());
        object.insert("events_per_s".to_owned(), pace.events_per_s(report).into());
        object.insert("records_per_s".to_owned(), pace.records_per_s(report).into());
    }
    writeln!(io::stdout().lock(), "{json}")
}

fn print_table(report: &AuditReport, pace: &Pace) -> io::Result<()> {
    let mut out = io::stdout().lock();
    let orders = &report.orders;
    let rows = [
        ("entries", report.entries),
        ("events", report.events),
        ("events a second", pace.events_per_s(report)),
        ("orders", orders.total),
        ("  pending", orders.pending),
        ("  paid", orders.paid),
        ("  partially shipped", orders.partially_shipped),
        ("  shipped", orders.shipped),
        ("  completed", orders.completed),
        ("  cancelled, not paid in time", orders.cancelled_timeout),
        ("  cancelled by the member", orders.cancelled_member),
        ("  cancelled by the shop", orders.cancelled_operator),
        ("  paid back in full", orders.cancelled_refunded),
        ("  cancelled, no team formed", orders.cancelled_team_failed),
        ("orders revived by a late payment", report.orders_revived),
        ("payments received", report.payments_received),
        ("payments without outcome yet", report.payments_unresolved),
        ("payments for no order", report.payments_unmatched),
        ("refunds required", report.refunds_required),
        ("teams forming", report.teams.forming),
        ("  formed", report.teams.formed),
        ("  failed", report.teams.failed),
        ("tasks pushed", report.tasks.pushed),
        ("  pending, in all topics", report.tasks.pending),
        ("  reserved", report.tasks.reserved),
        ("  dead letters", report.tasks.dead_letters),
        ("  popped", report.tasks.popped),
        ("  acknowledged", report.tasks.acked),
        ("  removed", report.tasks.removed),
        ("  expired", report.tasks.expired),
        ("  discarded", report.tasks.discarded),
        ("refunds applied for", report.refunds_applied),
        ("refunds finished", report.refunds_finished),
    ];
    writeln!(out, "positions {} to {}", report.first_position, report.last_position)?;
    for (name, count) in rows {
        writeln!(out, "{name:<34} {count:>14}")?;
    }

    if let Some(store) = &report.store {
        print_store(&mut out, store, pace.records_per_s(report).unwrap_or_default())?;
    }

    writeln!(out)?;
    let columns = ["total", "available", "reserved", "sold", "oversold"];
    write!(out, "{:<24}", "stock")?;
    for column in columns {
        write!(out, " {column:>12}")?;
    }
    writeln!(out)?;
    for tally in report.stock_by_key.iter().take(TABLE_KEYS_MAX) {
        print_stock(&mut out, &tally.key.to_string(), &tally.units)?;
    }
    if let Some(more) = report.stock_by_key.len().checked_sub(TABLE_KEYS_MAX)
        && more > 0
    {
        writeln!(out, "… and {more} more")?;
    }
    print_stock(&mut out, "all", &report.stock)?;

    writeln!(out)?;
    for violation in &report.violations {
        writeln!(out, "{violation}")?;
    }
    let listed = report.violations.len() as u64;
    if report.violations_total > listed {
        writeln!(out, "… and {} more violations", report.violations_total - listed)?;
    }
    writeln!(out, "audit: {} ({} violations)", verdict(report), report.violations_total)
}

fn print_store(out: &mut impl Write, store: &StoreTally, records_per_s: u64) -> io::Result<()> {
    let compared =
        if store.compared_with_replay { "compared with a replay" } else { "where the audit began" };
    writeln!(out, "\nstore up to position {}, {compared}", store.position)?;
    let rows = [
        ("records", store.records),
        ("records a second", records_per_s),
        ("MiB", store.bytes >> 20),
        ("open orders", store.open_orders),
        ("  ahead of the store's position", store.orders_ahead),
        ("closed orders", store.closed_orders),
        ("  of these in cold files", store.archived_orders),
        ("payments", store.payments),
        ("payments no longer kept", store.payments_expired),
        ("refunds of payments for no order", store.refunds_unmatched),
        ("purchase limits in use", store.limits),
        ("stock keys", store.stock_keys),
        ("tasks", store.tasks),
    ];
    for (name, count) in rows {
        writeln!(out, "{name:<34} {count:>14}")?;
    }
    Ok(())
}

fn print_stock(out: &mut impl Write, name: &str, units: &StockTally) -> io::Result<()> {
    let StockTally { total, available, reserved, sold, oversold_units } = units;
    writeln!(out, "{name:<24} {total:>12} {available:>12} {reserved:>12} {sold:>12} {oversold_units:>12}")
}

fn verdict(report: &AuditReport) -> &'static str {
    if report.passed() { "pass" } else { "fail" }
}
