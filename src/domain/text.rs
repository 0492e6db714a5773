//! Texts within bounds of bytes.

/// The longest beginning of a text that has at most so many bytes and ends behind a whole character.
pub(crate) fn cut(text: &str, bytes_max: usize) -> &str {
    let ends_a_character = |end: &usize| text.is_char_boundary(*end);
    let end = (0..=bytes_max.min(text.len())).rev().find(ends_a_character);
    // Nothing is a beginning, too.
    &text[..end.unwrap_or(0)]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_cut_behind_a_whole_character() {
        for (bytes_max, beginning) in
            [(0, ""), (1, "a"), (3, "a"), (4, "a满"), (6, "a满"), (7, "a满满"), (9, "a满满")]
        {
            assert_eq!(cut("a满满", bytes_max), beginning, "{bytes_max}");
        }
        assert_eq!(cut("", 5), "");
    }
}
