//! What commands write: cells that are safe to open, money, and files that appear when they are complete.

use std::fs::{self, File, OpenOptions};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use stockade::ops::OpsError;

/// How amounts are written and read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Unit {
    /// Minor units (分, cents), whole numbers.
    Fen,
    /// Major units with two decimals.
    Yuan,
}

impl Unit {
    /// An amount of minor units, as text.
    pub(crate) fn show(self, minor: i128) -> String {
        match self {
            Self::Fen => minor.to_string(),
            Self::Yuan => {
                let sign = if minor < 0 { "-" } else { "" };
                let magnitude = minor.unsigned_abs();
                format!("{sign}{}.{:02}", magnitude / 100, magnitude % 100)
            }
        }
    }

    /// An amount in minor units from text: in yuan with two decimals at most.
    pub(crate) fn read(self, text: &str) -> Option<i64> {
        let (sign, digits) = match text.strip_prefix('-') {
            Some(digits) => (-1, digits),
            None => (1, text.strip_prefix('+').unwrap_or(text)),
        };
        let is_number = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        let minor: i64 = match self {
            Self::Fen => is_number(digits).then(|| digits.parse().ok())??,
            Self::Yuan => {
                let (whole, part) = digits.split_once('.').unwrap_or((digits, "0"));
                if !is_number(whole) || !is_number(part) || part.len() > 2 {
                    return None;
                }
                let part: i64 = part.parse::<i64>().ok()? * if part.len() == 1 { 10 } else { 1 };
                whole.parse::<i64>().ok()?.checked_mul(100)?.checked_add(part)?
            }
        };
        Some(sign * minor)
    }
}

/// Text that somebody else wrote, so that no spreadsheet takes it for a formula: an apostrophe goes before what begins
/// one, after blanks too, and before an apostrophe, so that it can be taken away again.
pub(crate) fn safe_cell(text: &str) -> String {
    let begins = |char: char| matches!(char, '=' | '+' | '-' | '@' | '\t' | '\r' | '\n' | '|' | '%' | '\'');
    let is_formula = text.starts_with(begins)
        || text
            .trim_start()
            .starts_with(['=', '+', '-', '@', '\u{ff1d}', '\u{ff0b}', '\u{ff0d}', '\u{ff20}']);
    if is_formula { format!("'{text}") } else { text.to_owned() }
}

/// Writes to standard output, or to a file: under its name only when it is complete, and readable for its owner only,
/// because it shows what members bought.
pub(crate) fn write_out<T>(
    path: Option<&Path>,
    write: impl FnOnce(&mut dyn Write) -> Result<T, OpsError>,
) -> Result<T, OpsError> {
    let Some(path) = path else {
        let mut out = BufWriter::new(io::stdout().lock());
        let written = write(&mut out)?;
        out.flush().map_err(OpsError::Output)?;
        return Ok(written);
    };
    let mut new = path.to_path_buf().into_os_string();
    new.push(".part");
    let new = PathBuf::from(new);
    let about = |error: io::Error| {
        OpsError::Output(io::Error::new(error.kind(), format!("{}: {error}", new.display())))
    };
    let mut file = BufWriter::new(private_file(&new).map_err(about)?);
    let written = write(&mut file).and_then(|written| {
        let synced = file.flush().and_then(|()| file.get_ref().sync_all());
        synced.and_then(|()| fs::rename(&new, path)).map_err(about)?;
        Ok(written)
    });
    if written.is_err() {
        // The error says what is wrong; a file that stays behind adds nothing.
        let _ = fs::remove_file(&new);
    }
    written
}

fn private_file(path: &Path) -> io::Result<File> {
    use std::os::unix::fs::OpenOptionsExt;
    OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_cell_begins_like_a_formula() {
        let formulas =
            ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1", "  =1", "|cmd", "%0A=1", "'=1", "\u{ff1d}1"];
        for text in formulas {
            assert_eq!(safe_cell(text), format!("'{text}"));
        }
        for text in ["", "tea", "1-2", "a=b", "深煎り=うまい"] {
            assert_eq!(safe_cell(text), text);
        }
    }

    #[test]
    fn money_is_shown_as_it_is_read() {
        for (minor, yuan) in [(0, "0.00"), (5, "0.05"), (-12_345, "-123.45"), (19_900, "199.00")] {
            assert_eq!(Unit::Yuan.show(minor), yuan);
            assert_eq!(Unit::Yuan.read(yuan).map(i128::from), Some(minor));
            assert_eq!(Unit::Fen.read(&Unit::Fen.show(minor)).map(i128::from), Some(minor));
        }
        assert_eq!((Unit::Yuan.read("+1.5"), Unit::Yuan.read("7")), (Some(150), Some(700)));
        let wrong =
            ["", "-", "1.", ".5", "1.234", "1,000.00", "¥1", "1e3", " 1", "--1", "99999999999999999999"];
        for text in wrong {
            assert_eq!((Unit::Yuan.read(text), Unit::Fen.read(text)), (None, None), "{text}");
        }
        assert_eq!(Unit::Fen.read("1.5"), None);
    }
}
