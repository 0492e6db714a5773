//! Reading rows from files, one at a time: CSV with a header, a JSON array, or JSON lines.

use std::cell::Cell;
use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::marker::PhantomData;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use clap::ValueEnum;
use serde::de::DeserializeOwned;
use stockade::ImportedOrder;

use super::json::{JsonRows, ROW_BYTES_MAX, too_long};
use super::rows::{OrderLineRow, OrderRow};

/// How a file is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum Format {
    /// One array, or objects one after the other.
    Json,
    /// One object a line.
    Jsonl,
    /// Comma-separated, with a header.
    Csv,
}

impl Format {
    /// The format that a file's name ends in.
    fn of(path: &Path) -> Option<Self> {
        match path.extension()?.to_str()?.to_ascii_lowercase().as_str() {
            "json" => Some(Self::Json),
            "jsonl" | "ndjson" => Some(Self::Jsonl),
            "csv" => Some(Self::Csv),
            _ => None,
        }
    }
}

/// A row and the line that it begins at.
pub(super) struct Located<T> {
    pub(super) line: u64,
    /// What it says, or what is wrong with it.
    pub(super) row: Result<T, String>,
}

/// A file of rows.
pub(super) trait Source<T> {
    /// The next row, good or bad; an error where the file can't be read any further.
    fn next_row(&mut self) -> io::Result<Option<Located<T>>>;
}

/// Opens a file, whose columns in CSV are among `columns`.
pub(super) fn open<T: DeserializeOwned + 'static>(
    path: &Path,
    format: Option<Format>,
    columns: &[&str],
) -> io::Result<Box<dyn Source<T>>> {
    let (file, format) = open_file(path, format)?;
    Ok(match format {
        Format::Json => Box::new(Json { rows: JsonRows::new(file), row: PhantomData }),
        Format::Jsonl => Box::new(JsonLines { file, line: 0, row: PhantomData }),
        Format::Csv => Box::new(Csv::new(file, columns)?),
    })
}

/// Opens a file of orders.
pub(super) fn open_orders(
    path: &Path,
    format: Option<Format>,
    allow_overdue: bool,
) -> io::Result<Box<dyn Source<ImportedOrder>>> {
    let (file, format) = open_file(path, format)?;
    if format == Format::Csv {
        let rows = Csv::new(file, OrderLineRow::COLUMNS)?;
        return Ok(Box::new(CsvOrders { rows, ahead: VecDeque::new(), doubtful: false, allow_overdue }));
    }
    let rows = open::<OrderRow>(path, Some(format), &[])?;
    Ok(Box::new(Map { rows, map: move |row: OrderRow| row.order(allow_overdue) }))
}

fn open_file(path: &Path, format: Option<Format>) -> io::Result<(BufReader<File>, Format)> {
    let format = format.or_else(|| Format::of(path)).ok_or_else(|| {
        let what = "its name does not say its format: name one with --format";
        io::Error::new(io::ErrorKind::InvalidInput, what)
    })?;
    Ok((BufReader::with_capacity(1 << 16, File::open(path)?), format))
}

/// Rows that become something else.
pub(super) struct Map<T, F> {
    pub(super) rows: Box<dyn Source<T>>,
    pub(super) map: F,
}

impl<T, U, F: Fn(T) -> Result<U, String>> Source<U> for Map<T, F> {
    fn next_row(&mut self) -> io::Result<Option<Located<U>>> {
        let next = self.rows.next_row()?;
        Ok(next.map(|Located { line, row }| Located { line, row: row.and_then(&self.map) }))
    }
}

struct Json<R, T> {
    rows: JsonRows<R>,
    row: PhantomData<T>,
}

impl<R: BufRead, T: DeserializeOwned> Source<T> for Json<R, T> {
    fn next_row(&mut self) -> io::Result<Option<Located<T>>> {
        let Some(cut) = self.rows.next_row()? else { return Ok(None) };
        Ok(Some(parse(cut.line, &cut.text)))
    }
}

struct JsonLines<R, T> {
    file: R,
    line: u64,
    row: PhantomData<T>,
}

impl<R: BufRead, T: DeserializeOwned> Source<T> for JsonLines<R, T> {
    fn next_row(&mut self) -> io::Result<Option<Located<T>>> {
        let mut text = Vec::new();
        loop {
            text.clear();
            self.line += 1;
            let len = (&mut self.file).take(ROW_BYTES_MAX as u64 + 1).read_until(b'\n', &mut text)?;
            if len == 0 {
                return Ok(None);
            }
            if len > ROW_BYTES_MAX {
                return Err(too_long(self.line));
            }
            let row = text.strip_prefix(b"\xef\xbb\xbf").unwrap_or(&text).trim_ascii();
            if !row.is_empty() {
                return Ok(Some(parse(self.line, row)));
            }
        }
    }
}

fn parse<T: DeserializeOwned>(line: u64, text: &[u8]) -> Located<T> {
    match serde_json::from_slice(text) {
        Ok(row) => Located { line, row: Ok(row) },
        Err(error) => {
            let line = line + (error.line() as u64).saturating_sub(1);
            // The parser's own line counts from where the row begins.
            let text = error.to_string();
            let what = text.rsplit_once(" at line ").map_or(text.as_str(), |(what, _)| what);
            Located { line, row: Err(what.to_owned()) }
        }
    }
}

/// Ends a row that doesn't end by itself, so that a missing quote doesn't take in the whole file.
struct Bounded<R> {
    inner: R,
    since_row: Rc<Cell<usize>>,
}

impl<R: Read> Read for Bounded<R> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        if self.since_row.get() > ROW_BYTES_MAX {
            return Err(io::Error::new(
                io::ErrorKind::InvalidData,
                "a row does not end: is a quote missing?",
            ));
        }
        let len = self.inner.read(out)?;
        self.since_row.set(self.since_row.get() + len);
        Ok(len)
    }
}

struct Csv<T> {
    reader: csv::Reader<Bounded<BufReader<File>>>,
    since_row: Rc<Cell<usize>>,
    header: csv::ByteRecord,
    record: csv::ByteRecord,
    row: PhantomData<T>,
}

impl<T: DeserializeOwned> Csv<T> {
    fn new(file: BufReader<File>, columns: &[&str]) -> io::Result<Self> {
        let since_row = Rc::new(Cell::new(0));
        let bounded = Bounded { inner: file, since_row: Rc::clone(&since_row) };
        let mut reader =
            csv::ReaderBuilder::new().flexible(true).trim(csv::Trim::Headers).from_reader(bounded);
        let header = reader.byte_headers()?.clone();
        for (place, name) in header.iter().enumerate() {
            let name = String::from_utf8_lossy(name);
            let is_double = header.iter().take(place).any(|other| other == name.as_bytes());
            if is_double || !columns.contains(&&*name) {
                let why = if is_double { "appears twice" } else { "is not known" };
                let what = format!("line 1: the column `{name}` {why}: there may be {}", columns.join(", "));
                return Err(io::Error::new(io::ErrorKind::InvalidData, what));
            }
        }
        Ok(Self { reader, since_row, header, record: csv::ByteRecord::new(), row: PhantomData })
    }

    /// What the last row has in a column, as far as it can be read.
    fn column(&self, name: &str) -> Option<&[u8]> {
        let place = self.header.iter().position(|column| column == name.as_bytes())?;
        self.record.get(place)
    }
}

impl<T: DeserializeOwned> Source<T> for Csv<T> {
    fn next_row(&mut self) -> io::Result<Option<Located<T>>> {
        self.since_row.set(0);
        let found = self.reader.read_byte_record(&mut self.record);
        if !found.map_err(io::Error::from)? {
            return Ok(None);
        }
        let line = self.record.position().map_or(0, csv::Position::line);
        let (fields, columns) = (self.record.len(), self.header.len());
        if fields != columns {
            return Ok(Some(Located { line, row: Err(format!("{fields} fields, expected {columns}")) }));
        }
        let row = self.record.deserialize(Some(&self.header)).map_err(|error| match error.kind() {
            csv::ErrorKind::Deserialize { err, .. } => {
                let place = err.field().and_then(|field| self.header.get(field as usize));
                let place = place.map(|name| format!("{}: ", String::from_utf8_lossy(name)));
                format!("{}{}", place.unwrap_or_default(), err.kind())
            }
            _ => error.to_string(),
        });
        Ok(Some(Located { line, row }))
    }
}

/// Orders in CSV: rows that follow each other under one external number are the lines of one order. A bad row spoils
/// the order that it belongs to, or both its neighbours where that can't be told.
struct CsvOrders {
    rows: Csv<OrderLineRow>,
    ahead: VecDeque<CsvLine>,
    /// A row before the next order might have belonged to it.
    doubtful: bool,
    allow_overdue: bool,
}

struct CsvLine {
    line: u64,
    external_no: Option<Vec<u8>>,
    row: Result<OrderLineRow, String>,
}

impl CsvOrders {
    fn take(&mut self) -> io::Result<Option<CsvLine>> {
        if let Some(ahead) = self.ahead.pop_front() {
            return Ok(Some(ahead));
        }
        let Some(Located { line, row }) = self.rows.next_row()? else { return Ok(None) };
        let external_no = self.rows.column("external_no").filter(|number| !number.is_empty());
        Ok(Some(CsvLine { line, external_no: external_no.map(<[u8]>::to_vec), row }))
    }
}

impl Source<ImportedOrder> for CsvOrders {
    fn next_row(&mut self) -> io::Result<Option<Located<ImportedOrder>>> {
        let Some(first) = self.take()? else { return Ok(None) };
        let (line, number) = (first.line, first.external_no);
        let mut problem = None;
        if std::mem::take(&mut self.doubtful) {
            problem = Some("the row before it can't be read and may belong to it".to_owned());
        }
        let mut rows = Vec::new();
        let mut take = |row: Result<OrderLineRow, String>, at: u64, problem: &mut Option<String>| match row {
            Ok(row) => rows.push(row),
            Err(what) if at == line => *problem = Some(what),
            Err(what) => *problem = Some(format!("line {at}: {what}")),
        };
        take(first.row, line, &mut problem);
        if number.is_none() {
            self.doubtful = true;
        }
        // More rows than an order may have lines are its problem, not the memory's.
        let mut rows_len = 1;
        while let (Some(number), Some(next)) = (&number, self.take()?) {
            match &next.external_no {
                Some(other) if other == number => {
                    rows_len += 1;
                    if rows_len <= stockade::domain::request::ORDER_LINES_MAX + 1 {
                        take(next.row, next.line, &mut problem);
                    }
                }
                Some(_) => {
                    self.ahead.push_back(next);
                    break;
                }
                None => {
                    problem.get_or_insert_with(|| {
                        format!("line {} can't be read and may belong to it", next.line)
                    });
                    self.ahead.push_back(next);
                    break;
                }
            }
        }
        let row = match problem {
            Some(problem) => Err(problem),
            None => OrderLineRow::order(rows, self.allow_overdue),
        };
        Ok(Some(Located { line, row }))
    }
}

/// A file that can't be read, with its name.
#[derive(Debug, thiserror::Error)]
#[error("{}: {source}", path.display())]
pub(super) struct SourceError {
    pub(super) path: PathBuf,
    pub(super) source: io::Error,
}
