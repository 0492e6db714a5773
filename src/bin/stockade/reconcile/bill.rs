//! Reading a provider's bill: tolerant about its form, strict about what it says.
//!
//! Providers put a mark before cells, so that spreadsheets keep long numbers, comments before the rows and sums behind
//! them. All of that is passed over where it is declared; a row that can't be understood ends the comparison, because a
//! bill of which a part is missing agrees with nothing.

use std::fs::File;
use std::path::PathBuf;

use csv::{ReaderBuilder, StringRecord, StringRecordsIntoIter};
use stockade::{BillEntry, BillKind, Money};

use crate::output::Unit;

/// Words that mean a payment where none are given.
const PAYMENT_KINDS: &str = "payment,PAYMENT,SUCCESS,支付,收款,交易";
/// Words that mean a refund where none are given.
const REFUND_KINDS: &str = "refund,REFUND,退款";

/// Where the bill is, and what its columns are called.
#[derive(Debug, clap::Args)]
pub(crate) struct Columns {
    /// The provider's bill: CSV in UTF-8 with a header row.
    #[arg(long, value_name = "FILE")]
    pub(crate) bill: PathBuf,

    /// The column with the provider's number of the payment.
    #[arg(long, value_name = "NAME", default_value = "transaction_id")]
    pub(crate) column_id: String,

    /// The column with the amount.
    #[arg(long, value_name = "NAME", default_value = "amount")]
    pub(crate) column_amount: String,

    /// The column that says whether a row is a payment or a refund [default: the amount's sign says it].
    #[arg(long, value_name = "NAME")]
    pub(crate) column_kind: Option<String>,

    /// The column with the provider's number of the refund [default: the payment's].
    #[arg(long, value_name = "NAME")]
    pub(crate) column_refund_id: Option<String>,

    /// The column with the amount of a refund [default: the payment's].
    #[arg(long, value_name = "NAME")]
    pub(crate) column_refund_amount: Option<String>,

    /// What stands in the column of kinds for a payment.
    #[arg(long, value_name = "WORDS", value_delimiter = ',', default_value = PAYMENT_KINDS)]
    pub(crate) payment_kinds: Vec<String>,

    /// What stands in the column of kinds for a refund.
    #[arg(long, value_name = "WORDS", value_delimiter = ',', default_value = REFUND_KINDS)]
    pub(crate) refund_kinds: Vec<String>,

    /// The rows end before the first whose first cell begins so: behind it stand the bill's sums.
    #[arg(long, value_name = "TEXT")]
    pub(crate) stop_at: Option<String>,

    /// In which unit the bill's amounts are, and those that are written.
    #[arg(long, value_enum, default_value_t = Unit::Fen)]
    pub(crate) unit: Unit,
}

/// A bill that is read row by row.
pub(crate) struct Bill<'c> {
    columns: &'c Columns,
    places: Places,
    rows: StringRecordsIntoIter<File>,
    is_over: bool,
}

/// Where the columns stand.
struct Places {
    id: usize,
    amount: usize,
    kind: Option<usize>,
    refund_id: usize,
    refund_amount: usize,
}

impl<'c> Bill<'c> {
    /// Opens the file and looks for the columns.
    pub(crate) fn open(columns: &'c Columns) -> Result<Self, String> {
        let file =
            File::open(&columns.bill).map_err(|error| format!("{}: {error}", columns.bill.display()))?;
        let mut reader = ReaderBuilder::new().flexible(true).comment(Some(b'#')).from_reader(file);
        let headers = reader.headers().map_err(|error| unreadable(&error))?;
        let place = |name: &str| {
            let mut found = headers.iter().enumerate().filter(|(_, header)| bare(header) == name);
            match (found.next(), found.next()) {
                (Some((place, _)), None) => Ok(place),
                (Some(_), Some(_)) => Err(format!("it has two columns `{name}`")),
                (None, _) => {
                    let names = headers.iter().map(bare).collect::<Vec<_>>().join(", ");
                    Err(format!("it has no column `{name}`; there are: {names}"))
                }
            }
        };
        let (id, amount) = (place(&columns.column_id)?, place(&columns.column_amount)?);
        let other = |name: &Option<String>, place_otherwise: usize| {
            name.as_deref().map_or(Ok(place_otherwise), place)
        };
        let places = Places {
            id,
            amount,
            kind: columns.column_kind.as_deref().map(place).transpose()?,
            refund_id: other(&columns.column_refund_id, id)?,
            refund_amount: other(&columns.column_refund_amount, amount)?,
        };
        Ok(Self { columns, places, rows: reader.into_records(), is_over: false })
    }

    fn entry(&self, row: &StringRecord, line: u64) -> Result<BillEntry, String> {
        let cell = |place: usize| {
            row.get(place).map(bare).ok_or_else(|| format!("line {line} has {} cells only", row.len()))
        };
        let Columns { payment_kinds, refund_kinds, unit, .. } = self.columns;
        let kind = match self.places.kind {
            None if cell(self.places.amount)?.starts_with('-') => BillKind::Refund,
            None => BillKind::Payment,
            Some(place) => {
                let word = cell(place)?;
                let is_among = |words: &[String]| words.iter().any(|known| known == word);
                match (is_among(payment_kinds), is_among(refund_kinds)) {
                    (true, false) => BillKind::Payment,
                    (false, true) => BillKind::Refund,
                    _ => {
                        return Err(format!(
                            "line {line} is of kind `{word}`: name it with --payment-kinds or --refund-kinds"
                        ));
                    }
                }
            }
        };
        let (id, amount) = match kind {
            BillKind::Payment => (self.places.id, self.places.amount),
            BillKind::Refund => (self.places.refund_id, self.places.refund_amount),
        };
        let (id, text) = (cell(id)?, cell(amount)?);
        if id.is_empty() {
            return Err(format!("line {line} has no number"));
        }
        let minor = unit.read(text).ok_or_else(|| {
            format!("line {line} has the amount `{text}`, which is none in {unit:?}: see --unit")
        })?;
        // Some bills show refunds as negative, others say it by the kind alone.
        let is_allowed = kind == BillKind::Refund || minor >= 0;
        let minor = minor.checked_abs().filter(|_| is_allowed);
        let minor = minor.ok_or_else(|| format!("line {line} is a payment of `{text}`"))?;
        Ok(BillEntry { kind, id: id.into(), amount: Money::from_minor(minor), line })
    }
}

impl Iterator for Bill<'_> {
    type Item = Result<BillEntry, String>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            if self.is_over {
                return None;
            }
            let row = match self.rows.next()? {
                Ok(row) => row,
                Err(error) => {
                    self.is_over = true;
                    return Some(Err(unreadable(&error)));
                }
            };
            let first = row.get(0).map(bare).unwrap_or_default();
            if self.columns.stop_at.as_deref().is_some_and(|text| first.starts_with(text)) {
                self.is_over = true;
                return None;
            }
            if row.iter().all(|cell| bare(cell).is_empty()) {
                continue;
            }
            let line = row.position().map_or(0, csv::Position::line);
            let entry = self.entry(&row, line);
            self.is_over = entry.is_err();
            return Some(entry);
        }
    }
}

fn unreadable(error: &csv::Error) -> String {
    match error.kind() {
        csv::ErrorKind::Utf8 { .. } => format!("{error}: convert it to UTF-8, for example with iconv"),
        _ => error.to_string(),
    }
}

/// A cell without what providers and spreadsheets put around it.
fn bare(cell: &str) -> &str {
    let mark = |char: char| char.is_whitespace() || matches!(char, '`' | '\'' | '\u{feff}');
    cell.trim_start_matches(mark).trim_end()
}
