//! The characters of a query: which of them mean something, full-width ones included, and the pieces that they bound.

/// What a character means: full-width punctuation, as it is typed in Chinese, means what its plain form does.
pub(super) const fn plain(char: char) -> char {
    match char {
        '：' => ':',
        '（' => '(',
        '）' => ')',
        '“' | '”' | '＂' | '「' | '」' | '『' | '』' => '"',
        '，' | '、' => ',',
        '＊' => '*',
        '－' => '-',
        '＞' => '>',
        '＜' => '<',
        '＝' => '=',
        '＼' => '\\',
        other => other,
    }
}

/// The same within numbers and dates, where full-width digits count as well.
pub(super) fn plain_digit(char: char) -> char {
    match char {
        '０'..='９' => char::from_digit(char as u32 - '０' as u32, 10).unwrap_or(char),
        '．' => '.',
        other => plain(other),
    }
}

/// Whether a word or a value ends before this.
pub(super) fn is_boundary(char: char) -> bool {
    char.is_whitespace() || matches!(plain(char), '"' | '(' | ')' | ',')
}

/// Whether a character stands for itself in a word only behind a backslash.
pub(super) fn is_special(char: char) -> bool {
    is_boundary(char) || matches!(plain(char), ':' | '*' | '\\')
}

/// Words that combine others, where they stand alone.
pub(super) const KEYWORDS: [&str; 3] = ["AND", "OR", "NOT"];
/// Digits from which on a bare number is taken for an order's. No phone number has as many.
pub(super) const ORDER_NO_DIGITS_MIN: usize = 16;

/// Whether a bare word is taken for an order's number.
pub(super) fn is_order_number(word: &str) -> bool {
    (ORDER_NO_DIGITS_MIN..=19).contains(&word.len()) && word.bytes().all(|byte| byte.is_ascii_digit())
}

/// A piece of a query without spaces: its characters in their plain form, with where each stands, in bytes.
pub(super) struct Piece {
    pub(super) chars: Vec<(usize, char)>,
    /// Where it ends, in bytes.
    pub(super) end: usize,
}

impl Piece {
    /// Its text.
    pub(super) fn text(&self) -> String {
        self.chars.iter().map(|(_, char)| char).collect()
    }

    /// Where it begins, in bytes.
    pub(super) fn at(&self) -> usize {
        self.chars.first().map_or(self.end, |(at, _)| *at)
    }

    /// What stands before and behind a separator, the first one in it.
    pub(super) fn split(&self, separator: &str) -> Option<(Self, Self)> {
        let separator: Vec<char> = separator.chars().collect();
        let is_here = |from: &[(usize, char)]| from.iter().map(|(_, char)| char).eq(&separator);
        let at = self.chars.windows(separator.len()).position(is_here)?;
        let (before, behind) = (&self.chars[..at], &self.chars[at + separator.len()..]);
        let before = Self { chars: before.to_vec(), end: self.chars[at].0 };
        Some((before, Self { chars: behind.to_vec(), end: self.end }))
    }

    /// What stands behind a beginning, if it begins so.
    pub(super) fn behind(&self, beginning: &str) -> Option<Self> {
        let len = beginning.chars().count();
        let begins =
            self.chars.len() >= len && self.chars[..len].iter().map(|(_, char)| *char).eq(beginning.chars());
        begins.then(|| Self { chars: self.chars[len..].to_vec(), end: self.end })
    }
}
