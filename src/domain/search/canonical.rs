//! An expression as the text of a query that means the same.

use std::fmt;

use super::text::{KEYWORDS, is_order_number, is_special, plain};
use super::{Expr, Span, TextField, TextKind, TextTerm};

/// The text of a query. [`Expr::parse`] reads it back as the very same expression where it came from there, unless it has
/// become longer than a query may be: instants are ms since 1970 in it. Of an expression that a program made it means the
/// same.
impl fmt::Display for Expr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::All => Ok(()),
            Self::And(parts) | Self::Or(parts) if parts.len() == 1 => parts[0].fmt(f),
            Self::And(parts) if parts.is_empty() => Ok(()),
            other => inner(other, false, f),
        }
    }
}

fn inner(expr: &Expr, in_parentheses: bool, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    match expr {
        Expr::All => f.write_str("amount:*"),
        Expr::And(parts) if parts.is_empty() => f.write_str("amount:*"),
        Expr::Or(parts) if parts.is_empty() => f.write_str("-amount:*"),
        Expr::And(parts) | Expr::Or(parts) if parts.len() == 1 => inner(&parts[0], in_parentheses, f),
        Expr::And(parts) => joined(parts, " ", in_parentheses, f),
        Expr::Or(parts) => joined(parts, " OR ", in_parentheses, f),
        Expr::Not(part) => {
            f.write_str("-")?;
            inner(part, true, f)
        }
        Expr::Text(term) => text(term, f),
        Expr::OrderNo(order_no) => write!(f, "order:{order_no}"),
        Expr::ExternalNo(external_no) => {
            f.write_str("external:")?;
            word(external_no, f)
        }
        Expr::Member(member) => write!(f, "member:{member}"),
        Expr::Status(status) => write!(f, "status:{status}"),
        Expr::OrderType(order_type) => write!(f, "type:{}", order_type.name()),
        Expr::Sku(sku) => write!(f, "sku:{sku}"),
        Expr::Product(product) => write!(f, "product:{product}"),
        Expr::Activity(activity) => write!(f, "activity:{activity}"),
        Expr::Team(team) => write!(f, "team:{team}"),
        // Twelve digits at least, so that they are read as ms.
        Expr::Created(span) => spanned("created", span, |at_ms| format!("{at_ms:013}"), f),
        Expr::Paid(span) => spanned("paid", span, |at_ms| format!("{at_ms:013}"), f),
        Expr::Amount(span) => spanned("amount", span, i64::to_string, f),
        Expr::Flag(flag) => write!(f, "flag:{flag}"),
        Expr::OpenRefund(true) => f.write_str("refund:open"),
        Expr::OpenRefund(false) => f.write_str("refund:none"),
        Expr::PaymentStarted => f.write_str("payment:started"),
    }
}

fn joined(parts: &[Expr], between: &str, in_parentheses: bool, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    if in_parentheses {
        f.write_str("(")?;
    }
    for (index, part) in parts.iter().enumerate() {
        if index > 0 {
            f.write_str(between)?;
        }
        inner(part, true, f)?;
    }
    if in_parentheses { f.write_str(")") } else { Ok(()) }
}

fn spanned<T>(
    field: &str,
    span: &Span<T>,
    shown: impl Fn(&T) -> String,
    f: &mut fmt::Formatter<'_>,
) -> fmt::Result {
    match (&span.from, &span.until) {
        (None, None) => write!(f, "{field}:*"),
        (Some(from), None) => write!(f, "{field}:>={}", shown(from)),
        (None, Some(until)) => write!(f, "{field}:<{}", shown(until)),
        (Some(from), Some(until)) => write!(f, "{field}:{}..<{}", shown(from), shown(until)),
    }
}

fn text(term: &TextTerm, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    if let Some(field) = term.field {
        f.write_str(match field {
            TextField::Title => "title:",
            TextField::Receiver => "receiver:",
            TextField::Phone => "phone:",
            TextField::Address => "address:",
            TextField::Remark => "remark:",
            TextField::Note => "note:",
        })?;
    }
    match term.kind {
        TextKind::Phrase => {
            f.write_str("\"")?;
            for char in term.text.chars() {
                if matches!(plain(char), '"' | '\\') {
                    f.write_str("\\")?;
                }
                write!(f, "{char}")?;
            }
            f.write_str("\"")
        }
        TextKind::Words => word(&term.text, f),
        TextKind::Prefix => {
            word(&term.text, f)?;
            f.write_str("*")
        }
    }
}

/// A word that is read as nothing else.
fn word(word: &str, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    let means_more = KEYWORDS.contains(&word) || is_order_number(word);
    for (index, char) in word.chars().enumerate() {
        let begins = index == 0 && (means_more || plain(char) == '-');
        if begins || is_special(char) {
            f.write_str("\\")?;
        }
        write!(f, "{char}")?;
    }
    Ok(())
}
