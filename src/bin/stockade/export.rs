//! `stockade export`: all orders, one line each, for spreadsheets and other programs.

use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use serde_json::{Value, json};
use stockade::ops::{self, ExportFilter, OpsError};
use stockade::{CloseReason, OrderStatus, OrderType, OrderView, RefundCause, RefundState};

use crate::common::failed;
use crate::output::{safe_cell, write_out};
use stockade::domain::instant::{parse_instant, rfc3339};

/// Export orders as CSV or JSON lines.
///
/// Writes every order as it stands at the journal's end, the stored closed ones and the open ones. Order numbers are
/// text, money is in minor units, times are in UTC. Personal data is left out. No engine may have the directory open:
/// export from a backup, which `stockade backup` makes of a running engine.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Exit code: 0 when everything was written, 1 when the output could not be written, 2 when the data can't \
                  be read.\n\
                  CSV cells that a spreadsheet would take for a formula begin with an apostrophe. Order numbers are exact as \
                  text only: import their column as text."
)]
pub(crate) struct Args {
    /// The data directory, or a backup.
    #[arg(long, value_name = "DIR")]
    data: PathBuf,

    /// What is written.
    #[arg(long, value_enum)]
    format: Format,

    /// Where to; replaced if it exists, once everything is written [default: standard output].
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,

    /// Only orders of this status.
    #[arg(long, value_enum)]
    status: Option<Status>,

    /// Only orders placed at or after this instant: RFC 3339, a date (UTC), or ms since 1970.
    #[arg(long, value_name = "INSTANT", value_parser = parse_instant)]
    since: Option<u64>,

    /// Only orders placed before this instant.
    #[arg(long, value_name = "INSTANT", value_parser = parse_instant)]
    until: Option<u64>,
}

#[derive(Clone, Copy, Debug, clap::ValueEnum)]
enum Format {
    /// Comma-separated values with a header row (RFC 4180).
    Csv,
    /// A JSON object on each line.
    Jsonl,
}

#[derive(Clone, Copy, Debug, clap::ValueEnum)]
enum Status {
    /// Placed, not paid.
    Pending,
    /// Paid, not shipped.
    Paid,
    /// Shipped, not received.
    Shipped,
    /// Received.
    Completed,
    /// Closed without a sale.
    Cancelled,
}

impl From<Status> for OrderStatus {
    fn from(status: Status) -> Self {
        match status {
            Status::Pending => Self::Pending,
            Status::Paid => Self::Paid,
            Status::Shipped => Self::Shipped,
            Status::Completed => Self::Completed,
            Status::Cancelled => Self::Cancelled,
        }
    }
}

pub(crate) fn run(args: &Args) -> ExitCode {
    match export(args) {
        Ok(report) => {
            eprintln!(
                "{} of {} orders, as of position {}",
                report.orders, report.orders_seen, report.position
            );
            ExitCode::SUCCESS
        }
        // Whoever reads has enough, as `head` does.
        Err(OpsError::Output(error)) if error.kind() == io::ErrorKind::BrokenPipe => ExitCode::SUCCESS,
        Err(error) => failed(&error),
    }
}

fn export(args: &Args) -> Result<ops::ExportReport, OpsError> {
    let filter = ExportFilter {
        status: args.status.map(OrderStatus::from),
        since_ms: args.since,
        until_ms: args.until,
    };
    write_out(args.out.as_deref(), |out| write_orders(args, &filter, out))
}

fn write_orders(args: &Args, filter: &ExportFilter, out: impl Write) -> Result<ops::ExportReport, OpsError> {
    match args.format {
        Format::Csv => {
            let mut csv = csv::Writer::from_writer(out);
            // With the first order, so that data that can't be read leaves nothing behind.
            let mut header = Some(HEADER);
            let report = ops::export(&args.data, filter, |order| {
                if let Some(header) = header.take() {
                    csv.write_record(header)?;
                }
                Ok(csv.write_record(row(order))?)
            })?;
            if let Some(header) = header {
                csv.write_record(header).map_err(|error| OpsError::Output(error.into()))?;
            }
            csv.flush().map_err(OpsError::Output)?;
            Ok(report)
        }
        Format::Jsonl => {
            let mut out = out;
            let report = ops::export(&args.data, filter, |order| {
                serde_json::to_writer(&mut out, &object(order))?;
                out.write_all(b"\n")
            })?;
            out.flush().map_err(OpsError::Output)?;
            Ok(report)
        }
    }
}

const HEADER: [&str; 22] = [
    "order_no",
    "member_id",
    "order_type",
    "status",
    "close_reason",
    "pay_amount_minor",
    "created_at",
    "created_at_ms",
    "deadline_ms",
    "version",
    "units",
    "skus",
    "quantities",
    "prices_minor",
    "codes",
    "titles",
    "paid_by",
    "refund_due_minor",
    "carrier",
    "tracking_no",
    "external_no",
    "remark",
];

/// The cells of an order. What lines have of something stands in one cell, with `|` between.
fn row(order: &OrderView) -> [String; HEADER.len()] {
    let lines =
        |of: &dyn Fn(&stockade::LineView) -> String| order.lines.iter().map(of).collect::<Vec<_>>().join("|");
    let text = |text: Option<&str>| safe_cell(text.unwrap_or_default());
    let shipment = order.shipment.as_ref();
    [
        order.order_no.to_string(),
        order.member_id.0.to_string(),
        type_name(order.order_type).to_owned(),
        order.status.name().to_owned(),
        order.close_reason.map(CloseReason::name).unwrap_or_default().to_owned(),
        order.pay_amount.minor().to_string(),
        rfc3339(order.created_at_ms),
        order.created_at_ms.to_string(),
        order.deadline_ms.to_string(),
        order.version.to_string(),
        order.lines.iter().map(|line| u64::from(line.quantity)).sum::<u64>().to_string(),
        lines(&|line| line.sku_id.0.to_string()),
        lines(&|line| line.quantity.to_string()),
        lines(&|line| line.price.minor().to_string()),
        safe_cell(&lines(&|line| line.code.clone())),
        safe_cell(&lines(&|line| line.title.clone())),
        order.paid_by.map(|payment| payment.to_string()).unwrap_or_default(),
        refund_due_minor(order).to_string(),
        text(shipment.map(|shipment| &*shipment.carrier)),
        text(shipment.map(|shipment| &*shipment.tracking_no)),
        text(order.external_no.as_deref()),
        text(order.remark.as_deref()),
    ]
}

fn object(order: &OrderView) -> Value {
    let line = |line: &stockade::LineView| {
        json!({
            "sku_id": line.sku_id.0.to_string(),
            "stock_key": line.key.to_string(),
            "quantity": line.quantity,
            "price_minor": line.price.minor(),
            "code": line.code,
            "title": line.title,
        })
    };
    let refund = |refund: &stockade::Refund| {
        let reason = match &refund.cause {
            RefundCause::Obligation(reason) => reason.name(),
            RefundCause::AfterSale { .. } => "after_sale",
        };
        json!({
            "refund_no": refund.refund_no.to_string(),
            "state": refund.state.name(),
            "payment": refund.payment.to_string(),
            "amount_minor": refund.amount.minor(),
            "reason": reason,
            "provider_refund_id": refund.provider_refund_id,
        })
    };
    let happened = |entry: &stockade::TimelineEntry| json!({ "event": entry.event, "at_ms": entry.at_ms, "position": entry.position.0 });
    json!({
        "order_no": order.order_no.to_string(),
        "member_id": order.member_id.0.to_string(),
        "order_type": type_name(order.order_type),
        "status": order.status.name(),
        "close_reason": order.close_reason.map(CloseReason::name),
        "pay_amount_minor": order.pay_amount.minor(),
        "created_at": rfc3339(order.created_at_ms),
        "created_at_ms": order.created_at_ms,
        "deadline_ms": order.deadline_ms,
        "version": order.version,
        "lines": order.lines.iter().map(line).collect::<Vec<_>>(),
        "paid_by": order.paid_by.map(|payment| payment.to_string()),
        "refunds": order.refunds.iter().map(refund).collect::<Vec<_>>(),
        "shipment": order.shipment.as_ref().map(|shipment| {
            json!({ "carrier": shipment.carrier, "tracking_no": shipment.tracking_no })
        }),
        "external_no": order.external_no,
        "remark": order.remark,
        "timeline": order.timeline.iter().map(happened).collect::<Vec<_>>(),
    })
}

/// What still must go back. More than one payment of an order may have to, so the sum is wide.
fn refund_due_minor(order: &OrderView) -> i128 {
    let is_due =
        |state| matches!(state, RefundState::Required | RefundState::Requested | RefundState::Failed);
    order
        .refunds
        .iter()
        .filter(|refund| is_due(refund.state))
        .map(|refund| i128::from(refund.amount.minor()))
        .sum()
}

fn type_name(order_type: OrderType) -> &'static str {
    match order_type {
        OrderType::Normal => "normal",
        OrderType::Seckill => "seckill",
        OrderType::GroupBuy => "group_buy",
    }
}
