//! `stockade reconcile`: a day's movements against a payment provider's bill.

mod bill;

use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use serde_json::{Value, json};
use stockade::ops::{BillOf, Books, OpsError};
use stockade::{Account, BillEntry, Day, Difference, Movement, Reconciliation, UtcOffset};

use crate::common::with_causes;
use crate::output::{Unit, safe_cell, write_out};
use crate::statement::{Format, movement_object};
use bill::{Bill, Columns};
use stockade::domain::instant::rfc3339;

/// Compare a day with a payment provider's bill.
///
/// Lists what is missing here, what is missing in the bill, what differs in its amount, and what the bill counts twice.
/// Payments are compared by the provider's number of the payment, refunds by that of the refund. The bill is CSV in UTF-8
/// with a header row; it is held in memory. No engine may have the directory open: use a backup, made after the day's end.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Example: a bill with amounts in yuan, whose refunds are rows with REFUND in the column `state`\n  \
                  stockade reconcile --data /backup/1122 --day 2026-11-21 --zone +08:00 --channel wechat --merchant 1900001 \\\n    \
                  --bill bill.csv --unit yuan --column-id transaction --column-amount amount --column-kind state \\\n    \
                  --payment-kinds SUCCESS --refund-kinds REFUND --column-refund-id refund\n\n\
                  Without --column-kind a negative amount is a refund. Blanks, tabs, a backtick and an apostrophe before a \
                  cell are taken away; rows that begin with # are passed over.\n\n\
                  Exit code: 0 when all agree, 1 when something differs, 2 when the comparison could not be made."
)]
pub(crate) struct Args {
    /// The data directory, or a backup.
    #[arg(long, value_name = "DIR")]
    data: PathBuf,

    /// Which day the bill is for.
    #[arg(long, value_name = "DATE")]
    day: Day,

    /// Where the provider's day begins: the offset from UTC.
    #[arg(long, value_name = "OFFSET", default_value = "+00:00", allow_hyphen_values = true)]
    zone: UtcOffset,

    /// The payment channel, as payments name it.
    #[arg(long)]
    channel: String,

    /// The shop's account with it, as payments name it.
    #[arg(long)]
    merchant: String,

    /// Around midnight, provider and shop may see another day: so many minutes on both sides of it, what only one of them
    /// has on this day is a note and no difference.
    #[arg(long, value_name = "MINUTES", default_value_t = 0, value_parser = clap::value_parser!(u32).range(0..=720))]
    margin: u32,

    #[command(flatten)]
    columns: Columns,

    /// What is written.
    #[arg(long, value_enum, default_value_t = Format::Csv)]
    format: Format,

    /// Where to; replaced if it exists, once everything is written [default: standard output].
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
}

pub(crate) fn run(args: &Args) -> ExitCode {
    match compare(args) {
        Ok(Reconciliation { matched, wrong, notes }) => {
            eprintln!("{matched} agree, {wrong} differ, {notes} notes");
            if wrong == 0 { ExitCode::SUCCESS } else { ExitCode::from(1) }
        }
        Err(error) => {
            eprintln!("error: {}", with_causes(&error));
            ExitCode::from(2)
        }
    }
}

fn compare(args: &Args) -> Result<Reconciliation, OpsError> {
    let bill = Bill::open(&args.columns).map_err(OpsError::Bill)?;
    let books = Books::open(&args.data)?;
    let of = BillOf {
        day: args.day,
        offset: args.zone,
        account: Account::new(&args.channel, &args.merchant),
        margin_ms: u64::from(args.margin) * 60_000,
    };
    let unit = args.columns.unit;
    write_out(args.out.as_deref(), |out| match args.format {
        Format::Csv => {
            let mut csv = csv::Writer::from_writer(out);
            csv.write_record(HEADER).map_err(|error| OpsError::Output(error.into()))?;
            let result =
                books.reconcile(&of, bill, |difference| Ok(csv.write_record(row(difference, unit))?))?;
            csv.flush().map_err(OpsError::Output)?;
            Ok(result)
        }
        Format::Json => books.reconcile(&of, bill, |difference| write_object(difference, unit, out)),
    })
}

/// The movement and the entry that a difference is about.
fn parts(difference: &Difference) -> (Option<&Movement>, Option<&BillEntry>) {
    match difference {
        Difference::MissingHere(entry) | Difference::CountedTwice { entry, .. } => (None, Some(entry)),
        Difference::MissingThere(movement)
        | Difference::OtherDay(movement)
        | Difference::NearMidnight(movement) => (Some(movement), None),
        Difference::Differs { here, there } => (Some(here), Some(there)),
    }
}

const HEADER: [&str; 12] = [
    "difference",
    "kind",
    "id",
    "amount_here",
    "amount_there",
    "bill_line",
    "booked_at",
    "position",
    "transaction_id",
    "order_no",
    "refund_no",
    "first_line",
];

fn row(difference: &Difference, unit: Unit) -> [String; HEADER.len()] {
    let (here, there) = parts(difference);
    let (kind, id) = names(here, there);
    let first_line = match difference {
        Difference::CountedTwice { first_line, .. } => first_line.to_string(),
        _ => String::new(),
    };
    let of_here = |of: &dyn Fn(&Movement) -> String| here.map(of).unwrap_or_default();
    [
        difference.name().to_owned(),
        kind.to_owned(),
        safe_cell(id),
        of_here(&|movement| unit.show(movement.amount.minor().into())),
        there.map(|entry| unit.show(entry.amount.minor().into())).unwrap_or_default(),
        there.map(|entry| entry.line.to_string()).unwrap_or_default(),
        of_here(&|movement| rfc3339(movement.booked_ms)),
        of_here(&|movement| movement.position.to_string()),
        of_here(&|movement| safe_cell(&movement.transaction_id)),
        of_here(&|movement| movement.order_no.map(|order_no| order_no.to_string()).unwrap_or_default()),
        of_here(&|movement| safe_cell(&movement.refund_no)),
        first_line,
    ]
}

/// What kind of entry it is in a bill, and by which number.
fn names<'d>(here: Option<&'d Movement>, there: Option<&'d BillEntry>) -> (&'static str, &'d str) {
    match (here, there) {
        (_, Some(entry)) => (entry.kind.name(), &entry.id),
        (Some(movement), None) if movement.kind == stockade::MovementKind::Refunded => {
            ("refund", &movement.provider_refund_id)
        }
        (Some(movement), None) => ("payment", &movement.transaction_id),
        (None, None) => ("", ""),
    }
}

fn write_object(difference: &Difference, unit: Unit, out: &mut dyn Write) -> io::Result<()> {
    let (here, there) = parts(difference);
    let (kind, id) = names(here, there);
    let entry = |entry: &BillEntry| -> Value {
        json!({ "line": entry.line, "amount": unit.show(entry.amount.minor().into()) })
    };
    let mut object = json!({
        "difference": difference.name(),
        "kind": kind,
        "id": id,
        "here": here.map(|movement| movement_object(movement, unit)),
        "there": there.map(entry),
    });
    if let Difference::CountedTwice { first_line, .. } = difference {
        object["first_line"] = json!(first_line);
    }
    writeln!(out, "{object}")
}
