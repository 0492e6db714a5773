//! `stockade inspect`: what a data directory holds, and where it stands.

use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use stockade::ops::{self, InspectReport};

use crate::common::{failed, size, span};
use stockade::domain::instant::rfc3339;

/// Show what a data directory holds: positions, orders, sizes, lags.
///
/// Where an engine runs on it, it is asked through its control socket. Otherwise the directory is opened, which locks
/// it for a moment, and the databases write a little of their own. Counts of orders are those of the store's position.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Exit code: 0 when all is well, 1 when the running engine, or its store, has failed, 2 when the data can't \
                  be read."
)]
pub(crate) struct Args {
    /// The data directory.
    #[arg(long, value_name = "DIR")]
    data: PathBuf,

    /// Print one JSON object in place of the table.
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(args: &Args) -> ExitCode {
    match ops::inspect(&args.data) {
        Ok(report) => {
            let printed = if args.json { print_json(&report) } else { print_table(&report) };
            // A reader that has gone (a closed pipe) doesn't change the result.
            drop(printed);
            if report.needs_attention() { ExitCode::from(1) } else { ExitCode::SUCCESS }
        }
        Err(error) => failed(&error),
    }
}

fn print_json(report: &InspectReport) -> io::Result<()> {
    let json = serde_json::to_value(report)?;
    writeln!(io::stdout().lock(), "{json}")
}

fn print_table(report: &InspectReport) -> io::Result<()> {
    let mut out = io::stdout().lock();
    let mut row = |name: &str, value: String| writeln!(out, "{name:<24} {value}");
    let in_use = match (report.in_use, &report.health) {
        (true, Some(health)) => format!("yes, {health}"),
        (true, None) => "yes".to_owned(),
        (false, _) => "no".to_owned(),
    };
    let written_by = report.written_by.as_ref();
    row("in use", in_use)?;
    row(
        "format",
        match written_by {
            Some(version) => format!("{}, written by stockade {version}", report.format),
            None => report.format.to_string(),
        },
    )?;
    row("journal", format!("positions {} to {}", report.journal_first, report.journal_last))?;
    row("  durable up to", report.durable.to_string())?;
    match report.store_position {
        Some(position) => row("store", format!("up to position {position}"))?,
        None => row("store", "none: `stockade verify` counts the orders of the journal".to_owned())?,
    }
    if let Some(failure) = &report.store_failure {
        row("  has stopped", failure.clone())?;
    }
    for projection in &report.projections {
        row(&format!("  lag of {}", projection.name), format!("{} events", projection.lag_events))?;
    }
    let counts = [
        ("orders placed", report.orders_placed),
        ("  closed", report.orders_closed),
        ("  pending", report.orders_pending),
        ("  paid", report.orders_paid),
        ("  shipped", report.orders_shipped),
        ("orders in memory", report.orders_in_memory),
        ("payments pending", report.payments_pending),
    ];
    for (name, count) in counts {
        if let Some(count) = count {
            row(name, count.to_string())?;
        }
    }
    if let Some(oldest) = &report.oldest_open {
        let (at, age) = (rfc3339(oldest.created_at_ms), span(oldest.age_ms));
        row("oldest open order", format!("{}, placed at {at}, {age} ago", oldest.order_no))?;
    }
    row("journal on disk", size(report.journal_bytes))?;
    row("store on disk", size(report.store_bytes))?;
    row("ballast", size(report.ballast_bytes))?;
    row("free disk space", size(report.free_bytes))?;
    if !report.tables.is_empty() {
        writeln!(out)?;
        writeln!(out, "{:<24} {:>8} {:>10} {:>14} {:>12}", "table", "runs", "pages", "entries", "size")?;
    }
    for table in &report.tables {
        let (name, size) = (&table.name, size(table.bytes));
        writeln!(out, "{name:<24} {:>8} {:>10} {:>14} {size:>12}", table.runs, table.pages, table.entries)?;
    }
    Ok(())
}
