//! One cell of an export, and how it is written where a spreadsheet will open it.
//!
//! Texts that others wrote must not become formulas, and numbers of more than 15 digits must not be rounded. One sign
//! serves both: an apostrophe in front says "this is text"; whoever reads the file by program takes it away again. A cell
//! of a workbook knows by itself that it is text: there the apostrophe stands before would-be formulas only.

use std::borrow::Cow;

use serde::{Serialize, Serializer};

/// Digits that a spreadsheet keeps of a number.
const DIGITS_KEPT: usize = 15;

/// In which unit money is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum MoneyUnit {
    /// Cents, whole numbers.
    #[default]
    Cents,
    /// Yuan with two decimals.
    Yuan,
}

impl MoneyUnit {
    /// Its name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Cents => "cents",
            Self::Yuan => "yuan",
        }
    }

    /// An amount of cents as text.
    pub fn show(self, cents: i64) -> String {
        match self {
            Self::Cents => cents.to_string(),
            Self::Yuan => {
                let (sign, magnitude) = (if cents < 0 { "-" } else { "" }, cents.unsigned_abs());
                format!("{sign}{}.{:02}", magnitude / 100, magnitude % 100)
            }
        }
    }
}

/// One cell.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Cell {
    /// Nothing.
    Empty,
    /// An id: digits that are no quantity.
    Id(u64),
    /// A quantity.
    Count(i64),
    /// Money, in cents, to be written in this unit.
    Money(i64, MoneyUnit),
    /// What somebody wrote.
    Text(String),
    /// What this program wrote: names of states, instants. It begins with a letter or a digit.
    Own(Cow<'static, str>),
}

impl Cell {
    /// A text that may be absent.
    pub fn text(text: Option<String>) -> Self {
        text.filter(|text| !text.is_empty()).map_or(Self::Empty, Self::Text)
    }

    /// As a cell of a CSV file.
    pub fn csv(&self) -> Cow<'_, str> {
        match self {
            Self::Empty => Cow::Borrowed(""),
            Self::Id(id) => {
                let digits = id.to_string();
                Cow::Owned(if digits.len() > DIGITS_KEPT { format!("'{digits}") } else { digits })
            }
            Self::Count(count) => Cow::Owned(count.to_string()),
            Self::Money(cents, unit) => Cow::Owned(unit.show(*cents)),
            Self::Text(text) if changes_as_number(text) => Cow::Owned(format!("'{text}")),
            Self::Text(text) => no_formula(text),
            Self::Own(text) => Cow::Borrowed(text),
        }
    }
}

/// As a value of a JSON line.
impl Serialize for Cell {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Empty => serializer.serialize_none(),
            Self::Id(id) => serializer.collect_str(id),
            Self::Count(count) => serializer.serialize_i64(*count),
            Self::Money(cents, MoneyUnit::Cents) => serializer.serialize_i64(*cents),
            Self::Money(cents, unit) => serializer.serialize_str(&unit.show(*cents)),
            Self::Text(text) => serializer.serialize_str(text),
            Self::Own(text) => serializer.serialize_str(text),
        }
    }
}

/// A text with an apostrophe before it where a spreadsheet would take it for a formula, after blanks too; and before an
/// apostrophe, so that it can be taken away again.
pub fn no_formula(text: &str) -> Cow<'_, str> {
    let begins = |char: char| {
        matches!(
            char,
            '=' | '+' | '-' | '@' | '\t' | '\r' | '\n' | '|' | '%' | '\'' | '＝' | '＋' | '－' | '＠'
        )
    };
    let is_formula = text.starts_with(begins) || text.trim_start().starts_with(begins);
    if is_formula { Cow::Owned(format!("'{text}")) } else { Cow::Borrowed(text) }
}

/// Whether a text is a number that a spreadsheet would write differently: too many digits, or zeros in front.
fn changes_as_number(text: &str) -> bool {
    let is_number = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    is_number && (text.len() > DIGITS_KEPT || (text.len() > 1 && text.starts_with('0')))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn csv(cell: Cell) -> String {
        cell.csv().into_owned()
    }

    #[test]
    fn no_text_becomes_a_formula() {
        for formula in ["=1+1", "+1", "-1", "@SUM", "\t=1", "\r1", "  =1", "＝1", "|x", "%x", "'x"] {
            assert_eq!(csv(Cell::Text(formula.into())), format!("'{formula}"));
        }
        for plain in ["green tea", "1+1", "张三", "a=b", "13812345678"] {
            assert_eq!(csv(Cell::Text(plain.into())), plain);
        }
        assert_eq!(csv(Cell::Money(-150, MoneyUnit::Yuan)), "-1.50", "our own minus is no formula");
    }

    #[test]
    fn digits_survive_a_spreadsheet() {
        assert_eq!(csv(Cell::Id(999_999_999_999_999)), "999999999999999");
        assert_eq!(csv(Cell::Id(1_000_000_000_000_000)), "'1000000000000000");
        assert_eq!(csv(Cell::Text("380000000000000001".into())), "'380000000000000001");
        assert_eq!(csv(Cell::Text("0755".into())), "'0755");
        assert_eq!(serde_json::to_string(&Cell::Id(u64::MAX)).unwrap(), format!("\"{}\"", u64::MAX));
    }

    #[test]
    fn money_is_written_to_the_cent() {
        for (cents, yuan) in [(0, "0.00"), (5, "0.05"), (-5, "-0.05"), (19_900, "199.00"), (-100, "-1.00")] {
            assert_eq!(MoneyUnit::Yuan.show(cents), yuan);
        }
        assert_eq!(MoneyUnit::Yuan.show(i64::MIN), "-92233720368547758.08");
        assert_eq!(serde_json::to_string(&Cell::Money(7, MoneyUnit::Cents)).unwrap(), "7");
        assert_eq!(serde_json::to_string(&Cell::Money(7, MoneyUnit::Yuan)).unwrap(), "\"0.07\"");
    }
}
