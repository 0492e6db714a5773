//! Cuts a stream of JSON into its rows: the elements of one array, or values one after the other. Each row is parsed on
//! its own, so that a bad one spoils nothing behind it, and the file may be larger than memory.

use std::io::{self, BufRead, Bytes};

/// Longest row, in bytes.
pub(super) const ROW_BYTES_MAX: usize = 1 << 20;

/// A row's text and where it begins.
pub(super) struct Cut {
    pub(super) line: u64,
    pub(super) text: Vec<u8>,
}

/// What stands between two rows.
enum Gap {
    /// A row begins with this byte.
    Row(u8),
    /// The file ends here.
    End,
}

/// The rows of a file.
pub(super) struct JsonRows<R> {
    bytes: Bytes<R>,
    next: Option<u8>,
    line: u64,
    in_array: bool,
    closed: bool,
    started: bool,
}

impl<R: BufRead> JsonRows<R> {
    pub(super) fn new(reader: R) -> Self {
        let bytes = reader.bytes();
        Self { bytes, next: None, line: 1, in_array: false, closed: false, started: false }
    }

    /// The next row, not parsed yet. A file that ends within an array is an error: it may have been cut off.
    pub(super) fn next_row(&mut self) -> io::Result<Option<Cut>> {
        let first = match self.skip_gap()? {
            Gap::Row(byte) => byte,
            Gap::End if self.in_array && !self.closed => {
                let what = format!("line {}: the array does not end: the file may be cut off", self.line);
                return Err(io::Error::new(io::ErrorKind::UnexpectedEof, what));
            }
            Gap::End => return Ok(None),
        };
        let line = self.line;
        let text = self.row(first)?;
        Ok(Some(Cut { line, text }))
    }

    fn skip_gap(&mut self) -> io::Result<Gap> {
        while let Some(byte) = self.take()? {
            match byte {
                b'\n' => self.line += 1,
                b' ' | b'\t' | b'\r' => {}
                // A mark at the beginning, of the kind that some editors write.
                0xef | 0xbb | 0xbf if !self.started => {}
                b'[' if !self.started => (self.started, self.in_array) = (true, true),
                b',' if self.in_array => {}
                b']' if self.in_array => self.closed = true,
                _ => {
                    self.started = true;
                    return Ok(Gap::Row(byte));
                }
            }
        }
        Ok(Gap::End)
    }

    /// Reads on to where a row ends: its closing brace, or for anything else the next comma or line.
    fn row(&mut self, first: u8) -> io::Result<Vec<u8>> {
        let mut text = vec![first];
        let (mut depth, mut in_string, mut escaped) = (u32::from(matches!(first, b'{' | b'[')), false, false);
        if depth == 0 {
            while let Some(byte) = self.take()? {
                if matches!(byte, b',' | b'\n' | b']') {
                    self.next = Some(byte);
                    break;
                }
                push(&mut text, byte, self.line)?;
            }
            return Ok(text);
        }
        while depth > 0 {
            let Some(byte) = self.take()? else { break };
            push(&mut text, byte, self.line)?;
            match byte {
                b'\n' => self.line += 1,
                _ if escaped => {}
                b'"' => in_string = !in_string,
                b'{' | b'[' if !in_string => depth += 1,
                b'}' | b']' if !in_string => depth -= 1,
                _ => {}
            }
            escaped = in_string && byte == b'\\' && !escaped;
        }
        Ok(text)
    }

    fn take(&mut self) -> io::Result<Option<u8>> {
        match self.next.take() {
            Some(byte) => Ok(Some(byte)),
            None => self.bytes.next().transpose(),
        }
    }
}

fn push(text: &mut Vec<u8>, byte: u8, line: u64) -> io::Result<()> {
    if text.len() >= ROW_BYTES_MAX {
        return Err(too_long(line));
    }
    text.push(byte);
    Ok(())
}

/// A row that doesn't end.
pub(super) fn too_long(line: u64) -> io::Error {
    let what =
        format!("line {line}: a row is longer than {ROW_BYTES_MAX} bytes: is a quote or a brace missing?");
    io::Error::new(io::ErrorKind::InvalidData, what)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cut(text: &str) -> Vec<(u64, String)> {
        let mut rows = JsonRows::new(text.as_bytes());
        let mut cuts = Vec::new();
        while let Some(Cut { line, text }) = rows.next_row().unwrap() {
            cuts.push((line, String::from_utf8(text).unwrap()));
        }
        cuts
    }

    #[test]
    fn an_array_and_lines_give_the_same_rows() {
        let (one, two) = (r#"{"a":[1,{"b":"]}\\"}]}"#, r#"{"a":"\"}"}"#);
        let rows = |text: &str| cut(text).into_iter().map(|(_, text)| text).collect::<Vec<_>>();
        assert_eq!(rows(&format!("[{one},\n{two}]\n")), [one, two]);
        assert_eq!(rows(&format!("{one}\n{two}")), [one, two]);
        assert_eq!(rows(" [ ] "), [""; 0]);
    }

    #[test]
    fn a_bad_row_ends_where_it_ends_and_has_its_line() {
        let rows = cut("[\n{\"a\":1},\nnonsense,\n{\n\"b\":2},{}]");
        assert_eq!(rows.iter().map(|(line, _)| *line).collect::<Vec<_>>(), [2, 3, 4, 5]);
        assert_eq!((rows[1].1.as_str(), rows[3].1.as_str()), ("nonsense", "{}"));
    }

    #[test]
    fn an_array_that_is_cut_off_is_an_error() {
        let mut rows = JsonRows::new(b"[{}".as_slice());
        assert!(rows.next_row().unwrap().is_some());
        assert!(rows.next_row().is_err());
    }
}
