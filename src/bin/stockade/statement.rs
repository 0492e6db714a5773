//! `stockade statement`: a day's money, account by account, or movement by movement.

use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use serde_json::{Value, json};
use stockade::ops::{Books, OpsError};
use stockade::{Account, AccountStatement, Day, Movement, Standing, Statement, Sum, Totals, UtcOffset};

use crate::common::failed;
use crate::output::{Unit, safe_cell, write_out};
use stockade::domain::instant::rfc3339;

/// The statement of a day: what came in, paid orders, went back, and is left.
///
/// One row for each channel and merchant, and `opening + received - refunded = closing` in each; a day opens with what the
/// day before closed with. The statement of a day that is over never changes: the same command writes the same bytes at
/// any later time. No engine may have the directory open: use a backup, which `stockade backup` makes of a running
/// engine; it has to be made after the day's end.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example: the shop's day in China, as a spreadsheet, and every movement of it\n  \
                  stockade statement --data /backup/1122 --day 2026-11-21 --zone +08:00 --unit yuan --out 1121.csv\n  \
                  stockade statement --data /backup/1122 --day 2026-11-21 --zone +08:00 --lines --out 1121-lines.csv\n\n\
                  Exit code: 0 when everything was written, 1 when the output could not be written, 2 when there is no \
                  statement of that day: it is not over, or lies before movements were kept.")]
pub(crate) struct Args {
    /// The data directory, or a backup.
    #[arg(long, value_name = "DIR")]
    data: PathBuf,

    /// Which day.
    #[arg(long, value_name = "DATE")]
    day: Day,

    /// Where the day begins: the offset from UTC. A zone with summer time has two; say which one holds on that day.
    #[arg(long, value_name = "OFFSET", default_value = "+00:00", allow_hyphen_values = true)]
    zone: UtcOffset,

    /// What is written.
    #[arg(long, value_enum, default_value_t = Format::Csv)]
    format: Format,

    /// Every movement in place of the sums.
    #[arg(long)]
    lines: bool,

    /// In which unit amounts are written.
    #[arg(long, value_enum, default_value_t = Unit::Fen)]
    unit: Unit,

    /// Where to; replaced if it exists, once everything is written [default: standard output].
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
}

#[derive(Clone, Copy, Debug, clap::ValueEnum)]
pub(crate) enum Format {
    /// Comma-separated values with a header row (RFC 4180).
    Csv,
    /// A JSON object; of movements one on each line.
    Json,
}

pub(crate) fn run(args: &Args) -> ExitCode {
    match write(args) {
        Ok(()) => ExitCode::SUCCESS,
        // Whoever reads has enough, as `head` does.
        Err(OpsError::Output(error)) if error.kind() == io::ErrorKind::BrokenPipe => ExitCode::SUCCESS,
        Err(error) => failed(&error),
    }
}

fn write(args: &Args) -> Result<(), OpsError> {
    let books = Books::open(&args.data)?;
    let statement = books.statement(args.day, args.zone)?;
    write_out(args.out.as_deref(), |out| match (args.lines, args.format) {
        (false, Format::Csv) => write_csv(&statement, args.unit, out).map_err(OpsError::Output),
        (false, Format::Json) => write_json(&statement, args.unit, out).map_err(OpsError::Output),
        (true, Format::Csv) => {
            let mut csv = csv::Writer::from_writer(out);
            csv.write_record(MOVEMENT_HEADER).map_err(|error| OpsError::Output(error.into()))?;
            books.movements(args.day, args.zone, |movement| {
                Ok(csv.write_record(movement_row(&movement, args.unit))?)
            })?;
            csv.flush().map_err(OpsError::Output)
        }
        (true, Format::Json) => books.movements(args.day, args.zone, |movement| {
            serde_json::to_writer(&mut *out, &movement_object(&movement, args.unit))?;
            out.write_all(b"\n")
        }),
    })
}

const HEADER: [&str; 24] = [
    "day",
    "zone",
    "channel",
    "merchant",
    "opening",
    "received",
    "refunded",
    "closing",
    "paid",
    "late",
    "unmatched",
    "pending",
    "received_count",
    "refunded_count",
    "paid_count",
    "late_count",
    "unmatched_count",
    "pending_count",
    "paid_late",
    "late_to_refund",
    "refund_agreed",
    "undecided",
    "refunds_open",
    "unit",
];

fn write_csv(statement: &Statement, unit: Unit, out: &mut dyn Write) -> io::Result<()> {
    let mut csv = csv::Writer::from_writer(out);
    csv.write_record(HEADER)?;
    for account in &statement.accounts {
        csv.write_record(account_row(statement, account, unit))?;
    }
    csv.flush()
}

fn account_row(statement: &Statement, account: &AccountStatement, unit: Unit) -> [String; HEADER.len()] {
    let AccountStatement { account, opening, day, closing } = account;
    let minor = |sum: Sum| unit.show(sum.minor);
    [
        statement.day.to_string(),
        // Before the sign, so that no spreadsheet takes it for a formula.
        format!("UTC{}", statement.offset),
        safe_cell(&account.channel),
        safe_cell(&account.merchant),
        unit.show(opening.balance_minor),
        minor(day.received),
        minor(day.refunded),
        unit.show(closing.balance_minor),
        minor(day.paid()),
        minor(day.late()),
        minor(day.unmatched),
        minor(closing.pending()),
        day.received.count.to_string(),
        day.refunded.count.to_string(),
        day.paid().count.to_string(),
        day.late().count.to_string(),
        day.unmatched.count.to_string(),
        closing.pending().count.to_string(),
        minor(day.paid_late),
        minor(day.late_to_refund),
        minor(day.refund_agreed),
        minor(closing.undecided),
        minor(closing.refunds_open),
        unit_name(unit).to_owned(),
    ]
}

fn write_json(statement: &Statement, unit: Unit, out: &mut dyn Write) -> io::Result<()> {
    let (opening, day, closing) = statement.sum();
    let account = |of: &AccountStatement| {
        let Account { channel, merchant } = &of.account;
        let mut object = figures(&of.opening, &of.day, &of.closing, unit);
        object["channel"] = json!(channel);
        object["merchant"] = json!(merchant);
        object
    };
    let object = json!({
        "day": statement.day.to_string(),
        "zone": statement.offset.to_string(),
        "from_ms": statement.from_ms,
        "until_ms": statement.until_ms,
        "unit": unit_name(unit),
        "accounts": statement.accounts.iter().map(account).collect::<Vec<_>>(),
        "sum": figures(&opening, &day, &closing, unit),
    });
    writeln!(out, "{object:#}")
}

/// Amounts are text: sums of all time may be wider than a JSON number is exact.
fn figures(opening: &Standing, day: &Totals, closing: &Standing, unit: Unit) -> Value {
    let sum = |sum: Sum| json!({ "count": sum.count, "amount": unit.show(sum.minor) });
    json!({
        "opening": unit.show(opening.balance_minor),
        "received": sum(day.received),
        "refunded": sum(day.refunded),
        "closing": unit.show(closing.balance_minor),
        "paid": sum(day.paid()),
        "paid_late": sum(day.paid_late),
        "late": sum(day.late()),
        "late_to_refund": sum(day.late_to_refund),
        "unmatched": sum(day.unmatched),
        "refund_agreed": sum(day.refund_agreed),
        "pending": sum(closing.pending()),
        "undecided": sum(closing.undecided),
        "refunds_open": sum(closing.refunds_open),
    })
}

const MOVEMENT_HEADER: [&str; 15] = [
    "position",
    "booked_at",
    "booked_ms",
    "at_ms",
    "kind",
    "reason",
    "channel",
    "merchant",
    "transaction_id",
    "payment",
    "order_no",
    "amount",
    "refund_no",
    "provider_refund_id",
    "unit",
];

fn movement_row(movement: &Movement, unit: Unit) -> [String; MOVEMENT_HEADER.len()] {
    [
        movement.position.to_string(),
        rfc3339(movement.booked_ms),
        movement.booked_ms.to_string(),
        movement.at_ms.to_string(),
        movement.kind.name().to_owned(),
        movement.kind.reason().map(|reason| reason.name().to_owned()).unwrap_or_default(),
        safe_cell(&movement.account.channel),
        safe_cell(&movement.account.merchant),
        safe_cell(&movement.transaction_id),
        movement.payment.to_string(),
        movement.order_no.map(|order_no| order_no.to_string()).unwrap_or_default(),
        unit.show(movement.amount.minor().into()),
        safe_cell(&movement.refund_no),
        safe_cell(&movement.provider_refund_id),
        unit_name(unit).to_owned(),
    ]
}

/// A movement as JSON.
pub(crate) fn movement_object(movement: &Movement, unit: Unit) -> Value {
    json!({
        "position": movement.position.0,
        "booked_at": rfc3339(movement.booked_ms),
        "booked_ms": movement.booked_ms,
        "at_ms": movement.at_ms,
        "kind": movement.kind.name(),
        "reason": movement.kind.reason().map(|reason| reason.name()),
        "channel": movement.account.channel,
        "merchant": movement.account.merchant,
        "transaction_id": movement.transaction_id,
        "payment": movement.payment.to_string(),
        "order_no": movement.order_no.map(|order_no| order_no.to_string()),
        "amount": unit.show(movement.amount.minor().into()),
        "refund_no": movement.refund_no,
        "provider_refund_id": movement.provider_refund_id,
        "unit": unit_name(unit),
    })
}

pub(crate) const fn unit_name(unit: Unit) -> &'static str {
    match unit {
        Unit::Fen => "fen",
        Unit::Yuan => "yuan",
    }
}
