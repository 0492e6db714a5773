//! `stockade verify`: audits a data directory offline and says so in a table or in JSON.

use std::io::{self, IsTerminal, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use stockade::audit::verify::{Progress, VerifyError, VerifyOptions, verify};
use stockade::audit::{AuditReport, StockTally};

use crate::common::with_causes;

/// Stock keys that the table shows; the JSON report has all of them.
const TABLE_KEYS_MAX: usize = 20;

/// Audit the journal of a data directory.
///
/// Reads every event from the first one and checks the rules: nothing oversold, orders whole or not at all, one
/// decision per entry, requests and payments once, deadlines kept, late money kept or returned, positions and
/// versions without a gap. Shares no counters with the engine. No engine may have the directory open.
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

    /// Print one JSON object in place of the table.
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(args: &Args) -> ExitCode {
    match audit(args) {
        Ok(report) => {
            let printed = if args.json { print_json(&report) } else { print_table(&report) };
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

fn audit(args: &Args) -> Result<AuditReport, VerifyError> {
    let show = !args.json && io::stderr().is_terminal();
    let mut options = VerifyOptions::new().in_place(args.in_place);
    if let Some(dir) = &args.scratch {
        options = options.scratch(dir);
    }
    if show {
        // One line that rewrites itself; nothing where stderr is a file.
        options = options.on_progress(|progress| match progress {
            Progress::Copied { bytes } => eprint!("\r{:>9} MiB copied ", bytes >> 20),
            Progress::Audited { events } => eprint!("\r{events:>9} events audited"),
        });
    }
    let result = verify(&args.data, options);
    if show {
        eprint!("\r{:32}\r", "");
    }
    result
}

fn print_json(report: &AuditReport) -> io::Result<()> {
    let mut json = serde_json::to_value(report)?;
    if let Some(object) = json.as_object_mut() {
        object.insert("audit".to_owned(), verdict(report).into());
        object.insert("oversold_units".to_owned(), report.oversold_units().into());
    }
    writeln!(io::stdout().lock(), "{json}")
}

fn print_table(report: &AuditReport) -> io::Result<()> {
    let mut out = io::stdout().lock();
    let orders = &report.orders;
    let rows = [
        ("entries", report.entries),
        ("events", report.events),
        ("orders", orders.total),
        ("  pending", orders.pending),
        ("  paid", orders.paid),
        ("  shipped", orders.shipped),
        ("  completed", orders.completed),
        ("  cancelled, not paid in time", orders.cancelled_timeout),
        ("  cancelled by the member", orders.cancelled_member),
        ("  cancelled by the shop", orders.cancelled_operator),
        ("orders revived by a late payment", report.orders_revived),
        ("payments received", report.payments_received),
        ("payments without outcome yet", report.payments_unresolved),
        ("refunds required", report.refunds_required),
    ];
    writeln!(out, "positions {} to {}", report.first_position, report.last_position)?;
    for (name, count) in rows {
        writeln!(out, "{name:<34} {count:>14}")?;
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

fn print_stock(out: &mut impl Write, name: &str, units: &StockTally) -> io::Result<()> {
    let StockTally { total, available, reserved, sold, oversold_units } = units;
    writeln!(out, "{name:<24} {total:>12} {available:>12} {reserved:>12} {sold:>12} {oversold_units:>12}")
}

fn verdict(report: &AuditReport) -> &'static str {
    if report.passed() { "pass" } else { "fail" }
}
