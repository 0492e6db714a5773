//! Reads a query's text: what is typed into a search box.
//!
//! ```text
//! query    = [ either ]                             nothing means every order
//! either   = all { OR all }
//! all      = part { [ AND ] part }                  a comma between parts counts as a space
//! part     = ( "-" | NOT ) part | "(" either ")" | words | field ":" value { "," value }
//! words    = word | word "*" | "\"" phrase "\""
//! ```
//!
//! | field | value |
//! |---|---|
//! | `order` | order number |
//! | `external` | the shop's own number, whole |
//! | `member` `sku` `product` `activity` `team` | number |
//! | `status` | `pending` `paid` `partially_shipped` `shipped` `completed` `cancelled`, or 待支付 and so on |
//! | `type` | `normal` `seckill` `group_buy` |
//! | `flag` | 0 to 9 |
//! | `refund` | `open`, or `none` |
//! | `payment` | `started`: pending, and could be paid at a provider any moment |
//! | `created` `paid` | span of time; `paid:*` was ever paid |
//! | `amount` | span of amounts, in minor units |
//! | `title` `receiver` `address` `remark` `note` | words, or `(` words `)` |
//! | `phone` | the end of a phone number, at least four digits |
//!
//! A span is `a`, `a..b`, `a..`, `..b`, `>=a`, `>a`, `<=a`, `<a`, with both ends in it, or `a..<b`, without the end. An
//! instant is a date, which means its whole day, `2026-11-11T08:00:00+08:00`, `today`, `yesterday`, a day, hours or minutes
//! back (`-7d`, `-24h`, `-30m`), or ms since 1970; without an offset it is by that of [`ParseContext`].
//!
//! Several values with commas between mean any of them; words without a field are looked for in every one, all of them
//! must be found. A bare number of 16 digits and more is taken for an order's, or for one of the shop's own. A backslash
//! takes the meaning from the character behind it. Full-width punctuation, as it is typed in Chinese, counts like its
//! plain form. `AND`, `OR` and `NOT` are upper case.

use super::expected::{self, chinese};
use super::text::{KEYWORDS, Piece, is_boundary, is_order_number, plain, plain_digit};
use super::{Expr, TextField, TextKind, TextTerm, value};
use crate::domain::ids::{ActivityId, MemberId, OrderNo, ProductId, SkuId, TeamId};
use crate::domain::reject::Reject;
use crate::domain::statement::UtcOffset;
use crate::domain::text::cut;

/// Longest query, in bytes of UTF-8.
pub const QUERY_BYTES_MAX: usize = 1_024;
/// Most terms of a query: words, phrases, values.
pub const QUERY_TERMS_MAX: usize = 64;
/// How deep parentheses, negations and lists may stand in one another.
pub const QUERY_DEPTH_MAX: usize = 8;
/// Most words with a `*`.
pub const QUERY_PREFIXES_MAX: usize = 4;

/// Letters or digits that stand before a `*`, at least.
const PREFIX_CHARS_MIN: usize = 2;
/// Digits of a phone number's end.
const PHONE_DIGITS: std::ops::RangeInclusive<usize> = 4..=32;

/// What a query's text leaves open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ParseContext {
    /// What `today` and hours back go by, in ms since the Unix epoch.
    pub now_ms: u64,
    /// Where days begin, and instants without an offset stand.
    pub offset: UtcOffset,
}

/// A query that can't be read. It repeats nothing of it, as there may be names and phone numbers in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the query can't be read after {at_char} characters: expected {expected}")]
pub struct SyntaxError {
    /// Bytes before the place that is wrong.
    pub at: usize,
    /// Characters before it.
    pub at_char: usize,
    /// What could stand there.
    pub expected: &'static str,
}

impl SyntaxError {
    /// What could stand there, in Chinese.
    pub fn expected_zh(&self) -> &'static str {
        chinese(self.expected).unwrap_or(self.expected)
    }
}

impl From<SyntaxError> for Reject {
    fn from(error: SyntaxError) -> Self {
        // A query that is long has not that many characters by far; where it has, the place is beside the point.
        Self::SearchSyntax { at: u32::try_from(error.at_char).unwrap_or(u32::MAX), expected: error.expected }
    }
}

/// A place, in bytes, and what could stand there.
pub(super) struct Wrong {
    pub(super) at: usize,
    pub(super) expected: &'static str,
}

impl Expr {
    /// Reads a query's text.
    ///
    /// # Errors
    /// [`SyntaxError`], also where the query is beyond a bound: [`QUERY_BYTES_MAX`], [`QUERY_TERMS_MAX`],
    /// [`QUERY_DEPTH_MAX`], [`QUERY_PREFIXES_MAX`].
    ///
    /// ```
    /// use stockade::domain::search::{Expr, ParseContext};
    /// use stockade::domain::statement::UtcOffset;
    /// let context = ParseContext { now_ms: 1_800_000_000_000, offset: UtcOffset::UTC };
    /// let unpaid = Expr::parse("龙井 OR tea -status:paid,shipped", &context)?;
    /// assert_eq!(unpaid.to_string(), "龙井 OR (tea -(status:paid OR status:shipped))");
    ///
    /// let wrong = Expr::parse("tea status:lost", &context).unwrap_err();
    /// assert_eq!(wrong.at, 11);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn parse(text: &str, context: &ParseContext) -> Result<Self, SyntaxError> {
        let parser = Parser { text, at: 0, context, terms: 0, prefixes: 0, nesting: 0 };
        parser.query().map_err(|Wrong { at, expected }| {
            let at_char = text.get(..at).map_or(0, |before| before.chars().count());
            SyntaxError { at, at_char, expected }
        })
    }
}

/// An expression, and how deep parts stand in one another in it.
struct Part {
    expr: Expr,
    height: usize,
}

impl Part {
    const fn leaf(expr: Expr) -> Self {
        Self { expr, height: 0 }
    }
}

struct Parser<'t> {
    text: &'t str,
    /// Bytes that are read.
    at: usize,
    context: &'t ParseContext,
    terms: usize,
    prefixes: usize,
    /// Parentheses and negations that are open.
    nesting: usize,
}

/// A word as it is read.
struct Word {
    at: usize,
    text: String,
    /// Ends with a `*`.
    is_prefix: bool,
    /// A character of it stands behind a backslash.
    is_escaped: bool,
}

impl Parser<'_> {
    fn query(mut self) -> Result<Expr, Wrong> {
        if self.text.len() > QUERY_BYTES_MAX {
            let at = cut(self.text, QUERY_BYTES_MAX).len();
            return Err(Wrong { at, expected: expected::SHORTER });
        }
        self.skip_space();
        if self.peek().is_none() {
            return Ok(Expr::All);
        }
        let query = self.either(None)?;
        match self.peek() {
            None => Ok(query.expr),
            Some(_) => Err(self.wrong(expected::OPENED)),
        }
    }

    const fn wrong(&self, expected: &'static str) -> Wrong {
        Wrong { at: self.at, expected }
    }

    fn peek(&self) -> Option<char> {
        self.text[self.at..].chars().next()
    }

    /// Reads a character that has this meaning.
    fn takes(&mut self, wanted: char) -> bool {
        let next = self.peek().filter(|next| plain(*next) == wanted);
        self.at += next.map_or(0, char::len_utf8);
        next.is_some()
    }

    fn skip_space(&mut self) {
        while let Some(next) = self.peek().filter(|next| next.is_whitespace() || plain(*next) == ',') {
            self.at += next.len_utf8();
        }
    }

    fn is_keyword(&self, keyword: &str) -> bool {
        let rest = self.text[self.at..].strip_prefix(keyword);
        rest.is_some_and(|rest| rest.chars().next().is_none_or(is_boundary))
    }

    fn takes_keyword(&mut self, keyword: &str) -> bool {
        let is_next = self.is_keyword(keyword);
        self.at += if is_next { keyword.len() } else { 0 };
        is_next
    }

    /// Some parts combined; one alone is itself.
    fn combine(
        at: usize,
        mut parts: Vec<Part>,
        combined: impl FnOnce(Vec<Expr>) -> Expr,
    ) -> Result<Part, Wrong> {
        if parts.len() == 1
            && let Some(part) = parts.pop()
        {
            return Ok(part);
        }
        let height = 1 + parts.iter().map(|part| part.height).max().unwrap_or(0);
        if height > QUERY_DEPTH_MAX {
            return Err(Wrong { at, expected: expected::LESS_DEEP });
        }
        Ok(Part { expr: combined(parts.into_iter().map(|part| part.expr).collect()), height })
    }

    fn either(&mut self, scope: Option<TextField>) -> Result<Part, Wrong> {
        let at = self.at;
        let mut parts = vec![self.all(scope)?];
        while self.takes_keyword("OR") {
            parts.push(self.all(scope)?);
        }
        Self::combine(at, parts, Expr::Or)
    }

    fn all(&mut self, scope: Option<TextField>) -> Result<Part, Wrong> {
        self.skip_space();
        let at = self.at;
        let mut parts = vec![self.part(scope)?];
        loop {
            self.skip_space();
            if self.takes_keyword("AND") {
                self.skip_space();
            } else if self.peek().is_none_or(|next| plain(next) == ')') || self.is_keyword("OR") {
                return Self::combine(at, parts, Expr::And);
            }
            parts.push(self.part(scope)?);
        }
    }

    fn part(&mut self, scope: Option<TextField>) -> Result<Part, Wrong> {
        let at = self.at;
        if KEYWORDS[..2].iter().any(|keyword| self.is_keyword(keyword)) {
            return Err(self.wrong(expected::TERM));
        }
        let Some(next) = self.peek() else { return Err(self.wrong(expected::TERM)) };
        match plain(next) {
            ')' => Err(self.wrong(if self.nesting == 0 { expected::OPENED } else { expected::TERM })),
            '(' => {
                self.takes('(');
                self.nested(at, |parser| parser.group(scope))
            }
            '-' => {
                self.takes('-');
                if self.peek().is_none_or(|next| next.is_whitespace() || matches!(plain(next), ')' | ',')) {
                    return Err(Wrong { at, expected: expected::NEGATED });
                }
                self.negated(at, scope)
            }
            '"' => self.phrase(scope),
            _ if self.takes_keyword("NOT") => {
                self.skip_space();
                self.negated(at, scope)
            }
            _ => self.word_or_field(scope),
        }
    }

    /// Reads one level further in.
    fn nested(
        &mut self,
        at: usize,
        read: impl FnOnce(&mut Self) -> Result<Part, Wrong>,
    ) -> Result<Part, Wrong> {
        self.nesting += 1;
        if self.nesting > QUERY_DEPTH_MAX {
            return Err(Wrong { at, expected: expected::LESS_DEEP });
        }
        let part = read(self);
        self.nesting -= 1;
        part
    }

    fn negated(&mut self, at: usize, scope: Option<TextField>) -> Result<Part, Wrong> {
        let part = self.nested(at, |parser| parser.part(scope))?;
        let height = part.height + 1;
        if height > QUERY_DEPTH_MAX {
            return Err(Wrong { at, expected: expected::LESS_DEEP });
        }
        Ok(Part { expr: Expr::Not(Box::new(part.expr)), height })
    }

    /// What stands in parentheses, behind the opening one.
    fn group(&mut self, scope: Option<TextField>) -> Result<Part, Wrong> {
        let part = self.either(scope)?;
        if self.takes(')') { Ok(part) } else { Err(self.wrong(expected::CLOSED)) }
    }

    /// Counts a term that begins here.
    fn count(&mut self, at: usize, terms: usize) -> Result<(), Wrong> {
        self.terms += terms;
        if self.terms > QUERY_TERMS_MAX {
            return Err(Wrong { at, expected: expected::FEWER_TERMS });
        }
        Ok(())
    }

    fn phrase(&mut self, field: Option<TextField>) -> Result<Part, Wrong> {
        let at = self.at;
        let text = self.quoted()?;
        self.count(at, 1)?;
        if field == Some(TextField::Phone) {
            return self.phone(at, &text, false);
        }
        if !text.chars().any(char::is_alphanumeric) {
            return Err(Wrong { at, expected: expected::LETTERS });
        }
        Ok(Part::leaf(Expr::Text(TextTerm { field, text: text.into(), kind: TextKind::Phrase })))
    }

    /// What stands between quotes, from the opening one on.
    fn quoted(&mut self) -> Result<String, Wrong> {
        let at = self.at;
        self.takes('"');
        let mut text = String::new();
        while let Some(next) = self.peek() {
            self.at += next.len_utf8();
            match plain(next) {
                '"' => return Ok(text),
                '\\' => text.push(self.escaped()?),
                _ => text.push(next),
            }
        }
        Err(Wrong { at, expected: expected::QUOTE })
    }

    /// The character behind a backslash.
    fn escaped(&mut self) -> Result<char, Wrong> {
        let next = self.peek().ok_or(Wrong { at: self.at, expected: expected::ESCAPED })?;
        self.at += next.len_utf8();
        Ok(next)
    }

    /// Reads a word up to a boundary, or to a colon where one ends it.
    fn word(&mut self, ends_at_colon: bool) -> Result<Word, Wrong> {
        let mut word = Word { at: self.at, text: String::new(), is_prefix: false, is_escaped: false };
        while let Some(next) = self.peek() {
            let at = self.at;
            if is_boundary(next) || (ends_at_colon && plain(next) == ':') {
                break;
            }
            self.at += next.len_utf8();
            match plain(next) {
                '\\' => {
                    word.text.push(self.escaped()?);
                    word.is_escaped = true;
                }
                '*' => {
                    if word.text.is_empty() {
                        return Err(Wrong { at, expected: expected::LONGER_PREFIX });
                    }
                    if self.peek().is_some_and(|next| !is_boundary(next)) {
                        return Err(Wrong { at, expected: expected::TRAILING });
                    }
                    word.is_prefix = true;
                }
                _ => word.text.push(next),
            }
        }
        Ok(word)
    }

    fn word_or_field(&mut self, scope: Option<TextField>) -> Result<Part, Wrong> {
        let word = self.word(true)?;
        if self.peek().is_some_and(|next| plain(next) == ':') {
            return self.field(&word, scope);
        }
        if scope.is_none() && !word.is_prefix && !word.is_escaped && is_order_number(&word.text) {
            // Whoever pastes a number of this length looks for that order.
            self.count(word.at, 2)?;
            let own = word.text.parse::<OrderNo>().ok().map(Expr::OrderNo);
            let external = Some(Expr::ExternalNo(word.text.into()));
            let parts = own.into_iter().chain(external).map(Part::leaf).collect();
            return Self::combine(word.at, parts, Expr::Or);
        }
        self.words(word, scope)
    }

    /// A word that is looked for.
    fn words(&mut self, word: Word, field: Option<TextField>) -> Result<Part, Wrong> {
        let Word { at, text, is_prefix, .. } = word;
        self.count(at, 1)?;
        if field == Some(TextField::Phone) {
            return self.phone(at, &text, is_prefix);
        }
        if is_prefix {
            self.prefixes += 1;
            if self.prefixes > QUERY_PREFIXES_MAX {
                return Err(Wrong { at, expected: expected::FEWER_PREFIXES });
            }
            if text.chars().count() < PREFIX_CHARS_MIN || !text.chars().all(char::is_alphanumeric) {
                return Err(Wrong { at, expected: expected::LONGER_PREFIX });
            }
        } else if !text.chars().any(char::is_alphanumeric) {
            return Err(Wrong { at, expected: expected::LETTERS });
        }
        let kind = if is_prefix { TextKind::Prefix } else { TextKind::Words };
        Ok(Part::leaf(Expr::Text(TextTerm { field, text: text.into(), kind })))
    }

    /// The end of a phone number; spaces, dashes and a plus sign don't count.
    fn phone(&self, at: usize, text: &str, is_prefix: bool) -> Result<Part, Wrong> {
        let wrong = Wrong { at, expected: expected::PHONE };
        let chars = text.chars().map(plain_digit);
        let digits: String = chars.filter(|char| !matches!(char, ' ' | '-' | '+')).collect();
        let is_end = PHONE_DIGITS.contains(&digits.len()) && digits.bytes().all(|byte| byte.is_ascii_digit());
        if !is_end || is_prefix {
            return Err(wrong);
        }
        let (field, kind) = (Some(TextField::Phone), TextKind::Words);
        Ok(Part::leaf(Expr::Text(TextTerm { field, text: digits.into(), kind })))
    }

    /// A field's values, from the colon behind its name on.
    fn field(&mut self, name: &Word, scope: Option<TextField>) -> Result<Part, Wrong> {
        if scope.is_some() {
            return Err(Wrong { at: name.at, expected: expected::NO_FIELD });
        }
        let field = (!name.is_escaped && !name.is_prefix).then(|| Field::of(&name.text)).flatten();
        let field = field.ok_or(Wrong { at: name.at, expected: expected::FIELD })?;
        self.takes(':');
        if self.peek().is_none_or(|next| next.is_whitespace() || matches!(plain(next), ')' | ',')) {
            return Err(self.wrong(expected::VALUE));
        }
        let at = self.at;
        if let Field::Text(scope) = field
            && self.takes('(')
        {
            return self.nested(at, |parser| parser.group(Some(scope)));
        }
        let mut parts = vec![self.value(field)?];
        while self.takes(',') {
            // A space behind the comma is what people type.
            while self.takes(' ') {}
            if self.peek().is_none_or(|next| is_boundary(next) && plain(next) != '"') {
                return Err(self.wrong(expected::LISTED));
            }
            parts.push(self.value(field)?);
        }
        Self::combine(at, parts, Expr::Or)
    }

    fn value(&mut self, field: Field) -> Result<Part, Wrong> {
        let at = self.at;
        let is_quoted = self.peek().is_some_and(|next| plain(next) == '"');
        match field {
            Field::Text(field) if is_quoted => self.phrase(Some(field)),
            Field::Text(field) => {
                let word = self.word(false)?;
                self.words(word, Some(field))
            }
            Field::External => {
                let word = if is_quoted {
                    Word { at, text: self.quoted()?, is_prefix: false, is_escaped: true }
                } else {
                    self.word(false)?
                };
                self.count(at, 1)?;
                if word.is_prefix {
                    return Err(Wrong { at, expected: expected::NO_PREFIX });
                }
                if word.text.is_empty() {
                    return Err(Wrong { at, expected: expected::VALUE });
                }
                Ok(Part::leaf(Expr::ExternalNo(word.text.into())))
            }
            Field::Exact(read) => {
                let piece = self.piece();
                self.count(at, 1)?;
                read(&piece, self.context).map(Part::leaf)
            }
        }
    }

    /// A value without spaces.
    fn piece(&mut self) -> Piece {
        let mut chars = Vec::new();
        while let Some(next) = self.peek().filter(|next| !is_boundary(*next)) {
            chars.push((self.at, plain_digit(next)));
            self.at += next.len_utf8();
        }
        Piece { chars, end: self.at }
    }
}

/// Reads a value that means one thing exactly.
type Read = fn(&Piece, &ParseContext) -> Result<Expr, Wrong>;

/// What values of a field are like.
#[derive(Clone, Copy)]
enum Field {
    Text(TextField),
    External,
    Exact(Read),
}

impl Field {
    fn of(name: &str) -> Option<Self> {
        Some(match name.to_ascii_lowercase().as_str() {
            "title" => Self::Text(TextField::Title),
            "receiver" => Self::Text(TextField::Receiver),
            "phone" => Self::Text(TextField::Phone),
            "address" => Self::Text(TextField::Address),
            "remark" => Self::Text(TextField::Remark),
            "note" => Self::Text(TextField::Note),
            "external" => Self::External,
            "order" => Self::Exact(|piece, _| value::order_no(piece).map(Expr::OrderNo)),
            "member" => Self::Exact(|piece, _| value::number(piece).map(MemberId).map(Expr::Member)),
            "sku" => Self::Exact(|piece, _| value::number(piece).map(SkuId).map(Expr::Sku)),
            "product" => Self::Exact(|piece, _| value::number(piece).map(ProductId).map(Expr::Product)),
            "activity" => Self::Exact(|piece, _| value::number(piece).map(ActivityId).map(Expr::Activity)),
            "team" => Self::Exact(|piece, _| value::number(piece).map(TeamId).map(Expr::Team)),
            "status" => Self::Exact(|piece, _| value::status(piece)),
            "type" => Self::Exact(|piece, _| value::order_type(piece)),
            "flag" => Self::Exact(|piece, _| value::flag(piece)),
            "refund" => Self::Exact(|piece, _| value::refund(piece)),
            "payment" => Self::Exact(|piece, _| value::payment(piece)),
            "created" => Self::Exact(|piece, context| value::instants(piece, context).map(Expr::Created)),
            "paid" => Self::Exact(|piece, context| value::instants(piece, context).map(Expr::Paid)),
            "amount" => Self::Exact(|piece, _| value::amounts(piece).map(Expr::Amount)),
            _ => return None,
        })
    }
}
