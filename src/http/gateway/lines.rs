//! Lines out of a stream of bytes, of bounded length.

use bytes::{Bytes, BytesMut};

/// Longest line, in bytes, its end not counted.
pub(super) const LINE_BYTES_MAX: usize = 64 << 10;

/// A line, or what stands in its place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Line {
    /// What the line says, without its end.
    Whole(Bytes),
    /// A line that was longer than [`LINE_BYTES_MAX`]; its bytes are gone.
    TooLong,
}

/// Splits what arrives into lines. Keeps at most one line's beginning.
#[derive(Debug, Default)]
pub(super) struct Lines {
    begun: BytesMut,
    /// Whether the beginning of the line at hand was thrown away.
    cut: bool,
}

impl Lines {
    /// Takes the next bytes in, and hands every line that ends in them to `each`. Empty lines count for nothing.
    pub(super) fn push(&mut self, mut bytes: Bytes, mut each: impl FnMut(Line)) {
        while let Some(end) = bytes.iter().position(|byte| *byte == b'\n') {
            let mut line = bytes.split_to(end + 1);
            line.truncate(end);
            if self.begun.is_empty() && !self.cut && line.len() <= LINE_BYTES_MAX {
                // The commonest: a line that lies in one piece is handed on without being copied.
                give(line, &mut each);
            } else {
                self.begin(&line);
                self.end(&mut each);
            }
        }
        self.begin(&bytes);
    }

    /// The stream has ended: hands out a last line that has no end.
    pub(super) fn finish(&mut self, mut each: impl FnMut(Line)) {
        self.end(&mut each);
    }

    fn begin(&mut self, part: &[u8]) {
        if self.cut || self.begun.len() + part.len() > LINE_BYTES_MAX {
            self.cut = true;
            self.begun = BytesMut::new();
        } else {
            self.begun.extend_from_slice(part);
        }
    }

    fn end(&mut self, each: &mut impl FnMut(Line)) {
        if std::mem::take(&mut self.cut) {
            each(Line::TooLong);
        } else {
            give(self.begun.split().freeze(), each);
        }
    }
}

fn give(mut line: Bytes, each: &mut impl FnMut(Line)) {
    if line.last() == Some(&b'\r') {
        line.truncate(line.len() - 1);
    }
    if !line.is_empty() {
        each(Line::Whole(line));
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn split(parts: &[&[u8]]) -> Vec<Line> {
        let mut lines = Lines::default();
        let mut all = Vec::new();
        for part in parts {
            lines.push(Bytes::copy_from_slice(part), |line| all.push(line));
        }
        lines.finish(|line| all.push(line));
        all
    }

    #[test]
    fn lines_may_be_cut_anywhere() {
        let whole = |text: &'static [u8]| Line::Whole(Bytes::from_static(text));
        let expected = [whole(b"a"), whole(b"bc"), whole(b"d")];
        assert_eq!(split(&[b"a\nbc\r\n\nd"]), expected);
        assert_eq!(split(&[b"a", b"\nb", b"c\r", b"\n", b"\n", b"d", b"\n"]), expected);
        assert_eq!(split(&[]), []);
    }

    #[test]
    fn a_line_that_is_too_long_is_named_and_the_next_one_read() {
        let long = vec![b'x'; LINE_BYTES_MAX + 1];
        let fits = vec![b'y'; LINE_BYTES_MAX];
        for parts in [[&long[..], b"\n"], [&long[..7], &[&long[7..], b"\n"].concat()]] {
            let lines = split(&[parts[0], parts[1], &fits, b"\nz\n"]);
            assert_eq!(lines[0], Line::TooLong);
            assert_eq!(lines[1], Line::Whole(Bytes::from(fits.clone())));
            assert_eq!(lines[2], Line::Whole(Bytes::from_static(b"z")));
        }
    }

    proptest! {
        #[test]
        fn cuts_change_nothing(text in "[ab\n]{0,60}", cuts in prop::collection::vec(0_usize..60, 0..6)) {
            let bytes = text.as_bytes();
            let mut cuts: Vec<_> = cuts.into_iter().map(|cut| cut.min(bytes.len())).collect();
            cuts.extend([0, bytes.len()]);
            cuts.sort_unstable();
            let parts: Vec<&[u8]> = cuts.windows(2).map(|pair| &bytes[pair[0]..pair[1]]).collect();
            prop_assert_eq!(split(&parts), split(&[bytes]));
        }
    }
}
