//! Rows of an export: orders as cells, and cells as lines of text.

use serde::Serializer as _;

use super::cell::{Cell, MoneyUnit};
use super::columns::Column;
use crate::OrderView;
use crate::http::view::order::{OrderBody, Reveal};

/// Tells a spreadsheet that a CSV file is UTF-8; without it Chinese is not readable there.
const BYTE_ORDER_MARK: &[u8] = "\u{feff}".as_bytes();

/// What the rows of an export have.
#[derive(Clone, Debug)]
pub struct Layout {
    /// The columns.
    pub columns: Vec<Column>,
    /// The unit of money.
    pub unit: MoneyUnit,
    /// How personal data is shown.
    pub reveal: Reveal,
}

/// Which kind of text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TextFormat {
    /// Comma-separated values (RFC 4180) with a header row.
    Csv,
    /// A JSON object on each line.
    JsonLines,
}

impl Layout {
    /// The titles of the columns.
    pub fn titles(&self) -> Vec<String> {
        self.columns.iter().map(|column| column.title(self.unit)).collect()
    }

    /// The cells of an order.
    pub fn row(&self, order: OrderView) -> Vec<Cell> {
        let order = OrderBody::for_desk(order, self.reveal);
        self.columns.iter().map(|column| column.cell(&order, self.unit)).collect()
    }

    /// What stands before the first row.
    ///
    /// # Errors
    /// None that a buffer in memory can give.
    pub fn head(&self, format: TextFormat) -> std::io::Result<Vec<u8>> {
        match format {
            TextFormat::JsonLines => Ok(Vec::new()),
            TextFormat::Csv => {
                let mut csv = csv_writer(BYTE_ORDER_MARK.to_vec());
                csv.write_record(self.titles())?;
                csv.into_inner().map_err(|error| error.into_error())
            }
        }
    }

    /// The lines of a page of orders.
    ///
    /// # Errors
    /// None that a buffer in memory can give.
    pub fn lines(&self, format: TextFormat, orders: Vec<OrderView>) -> std::io::Result<Vec<u8>> {
        let rows = orders.into_iter().map(|order| self.row(order));
        match format {
            TextFormat::Csv => {
                let mut csv = csv_writer(Vec::new());
                for row in rows {
                    csv.write_record(row.iter().map(|cell| cell.csv().into_owned()))?;
                }
                csv.into_inner().map_err(|error| error.into_error())
            }
            TextFormat::JsonLines => {
                let titles = self.titles();
                let mut lines = Vec::new();
                for row in rows {
                    let mut json = serde_json::Serializer::new(&mut lines);
                    json.collect_map(titles.iter().zip(&row))?;
                    lines.push(b'\n');
                }
                Ok(lines)
            }
        }
    }
}

fn csv_writer(buffer: Vec<u8>) -> csv::Writer<Vec<u8>> {
    csv::WriterBuilder::new().terminator(csv::Terminator::CRLF).from_writer(buffer)
}
