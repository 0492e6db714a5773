//! An export as a workbook: written row by row into a file without a name, which is gone with the last who reads it.
//!
//! A workbook is known to be whole only when it is written; so it is built first and sent then. Rows go to the disk as
//! they come, and memory holds one of them and a page.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};

use axum::body::Bytes;
use rust_xlsxwriter::{Format, Workbook, Worksheet, XlsxError};
use tokio::sync::mpsc;

use super::cell::{Cell, MoneyUnit, no_formula};
use super::stream::{Chunk, send};

/// Most rows of a workbook, without the titles; a sheet ends at 1,048,576.
pub const ROWS_MAX: u32 = 1_000_000;
/// Longest text of a cell, in UTF-16 units.
const TEXT_UNITS_MAX: usize = 32_767;
/// Greatest number that a sheet keeps to the last digit.
const EXACT_MAX: u64 = 999_999_999_999_999;
/// Bytes of a file that are sent at a time.
const CHUNK_BYTES: usize = 64 << 10;

/// Why there is no workbook.
#[derive(Debug, thiserror::Error)]
pub enum WorkbookError {
    /// Rows stopped coming before the last.
    #[error("nobody wanted the workbook any more")]
    GivenUp,
    /// The file can't be written.
    #[error("the workbook can't be written: {0}")]
    Write(#[from] XlsxError),
    /// The file can't be made or read.
    #[error("the workbook's file can't be used: {0}")]
    File(#[from] io::Error),
}

/// What a workbook is written from.
#[derive(Debug)]
pub enum Part {
    /// Rows.
    Rows(Vec<Vec<Cell>>),
    /// There are no more. Without it the workbook is given up.
    End,
}

/// Writes a workbook from the parts that come. Blocks.
///
/// # Errors
/// [`WorkbookError`].
pub fn write(titles: &[String], mut parts: mpsc::Receiver<Part>) -> Result<File, WorkbookError> {
    let mut workbook = Workbook::new();
    let yuan = Format::new().set_num_format("0.00");
    let sheet = workbook.add_worksheet_with_constant_memory()?;
    sheet.set_name("orders")?;
    for (column, title) in (0_u16..).zip(titles) {
        sheet.write_string(0, column, title)?;
    }
    let mut row = 0;
    loop {
        match parts.blocking_recv() {
            None => return Err(WorkbookError::GivenUp),
            Some(Part::End) => break,
            Some(Part::Rows(rows)) => {
                for cells in rows {
                    row += 1;
                    write_row(sheet, row, &cells, &yuan)?;
                }
            }
        }
    }
    let mut file = tempfile::tempfile()?;
    workbook.save_to_writer(&mut file)?;
    file.seek(SeekFrom::Start(0))?;
    Ok(file)
}

fn write_row(sheet: &mut Worksheet, row: u32, cells: &[Cell], yuan: &Format) -> Result<(), XlsxError> {
    for (column, cell) in (0_u16..).zip(cells) {
        match cell {
            Cell::Empty => {}
            Cell::Id(id) => {
                sheet.write_string(row, column, id.to_string())?;
            }
            Cell::Count(number) | Cell::Money(number, MoneyUnit::Cents)
                if number.unsigned_abs() <= EXACT_MAX =>
            {
                sheet.write_number(row, column, *number as f64)?;
            }
            Cell::Money(cents, MoneyUnit::Yuan) if cents.unsigned_abs() <= EXACT_MAX => {
                sheet.write_number_with_format(row, column, *cents as f64 / 100.0, yuan)?;
            }
            Cell::Count(count) => {
                sheet.write_string(row, column, count.to_string())?;
            }
            Cell::Money(cents, unit) => {
                sheet.write_string(row, column, unit.show(*cents))?;
            }
            Cell::Text(text) => {
                sheet.write_string(row, column, shortened(&no_formula(text)))?;
            }
            Cell::Own(text) => {
                sheet.write_string(row, column, text.as_ref())?;
            }
        }
    }
    Ok(())
}

/// A text cut to what a cell holds.
fn shortened(text: &str) -> &str {
    let mut units = 0;
    let end = text.char_indices().find(|(_, char)| {
        units += char.len_utf16();
        units > TEXT_UNITS_MAX
    });
    end.map_or(text, |(at, _)| &text[..at])
}

/// Sends a file, piece by piece.
pub async fn send_file(file: File, sender: mpsc::Sender<Chunk>) {
    let mut file = Some(file);
    while let Some(reading) = file.take() {
        let chunk = match tokio::task::spawn_blocking(move || read_piece(reading)).await {
            Ok(Ok((_, piece))) if piece.is_empty() => return,
            Ok(Ok((reading, piece))) => {
                file = Some(reading);
                Ok(Bytes::from(piece))
            }
            Ok(Err(error)) => Err(error),
            Err(panic) => Err(io::Error::other(panic)),
        };
        if !send(&sender, chunk).await {
            return;
        }
    }
}

/// The next piece of a file, empty at its end. Blocks.
fn read_piece(mut file: File) -> io::Result<(File, Vec<u8>)> {
    let mut piece = Vec::with_capacity(CHUNK_BYTES);
    file.by_ref().take(CHUNK_BYTES as u64).read_to_end(&mut piece)?;
    Ok((file, piece))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_workbook_without_its_end_is_given_up() {
        let (sender, parts) = mpsc::channel(1);
        drop(sender);
        assert!(matches!(write(&["order_no".into()], parts), Err(WorkbookError::GivenUp)));
    }

    #[test]
    fn a_text_is_cut_to_what_a_cell_holds_and_never_within_a_character() {
        let long = "茶".repeat(40_000);
        assert_eq!(shortened(&long).chars().count(), TEXT_UNITS_MAX);
        let wide = "🍵".repeat(20_000);
        assert_eq!(shortened(&wide).chars().count(), TEXT_UNITS_MAX / 2);
        assert_eq!(shortened("tea"), "tea");
    }
}
