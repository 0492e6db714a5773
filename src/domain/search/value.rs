//! Values of fields: numbers, names, and spans of time and money.
//!
//! An instant as it is written means a piece of time: a date its whole day, anything else one millisecond. A comparison
//! goes by the piece's beginning or end, so `paid:<=2026-11-11` takes in that whole day.

use super::expected;
use super::parse::{ParseContext, Wrong};
use super::text::Piece;
use super::{Expr, Span};
use crate::domain::calendar::{civil, days_of, fields};
use crate::domain::ids::OrderNo;
use crate::domain::instant::parse_instant;
use crate::domain::order::OrderStatus;
use crate::domain::order_type::OrderType;

const DAY_MS: i64 = 86_400_000;
const MINUTE_MS: i64 = 60_000;
/// Digits from which on a bare number is ms since 1970: no year is taken for an instant of 1970.
const MS_DIGITS_MIN: usize = 12;
/// Longest time back from now, in its own unit.
const BACK_MAX: i64 = 100_000;

/// A whole number.
pub(super) fn number(piece: &Piece) -> Result<u64, Wrong> {
    let text = piece.text();
    let is_number = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    text.parse().ok().filter(|_| is_number).ok_or(Wrong { at: piece.at(), expected: expected::NUMBER })
}

pub(super) fn order_no(piece: &Piece) -> Result<OrderNo, Wrong> {
    let parsed = number(piece).ok().and_then(OrderNo::from_u64);
    parsed.ok_or(Wrong { at: piece.at(), expected: expected::ORDER_NO })
}

pub(super) fn flag(piece: &Piece) -> Result<Expr, Wrong> {
    let flag = number(piece).ok().and_then(|flag| u8::try_from(flag).ok());
    let flag = flag.filter(|flag| *flag <= crate::domain::order::FLAG_MAX);
    flag.map(Expr::Flag).ok_or(Wrong { at: piece.at(), expected: expected::FLAG })
}

/// By its stable name, or as shops call it in Chinese.
pub(super) fn status(piece: &Piece) -> Result<Expr, Wrong> {
    let status = match piece.text().to_ascii_lowercase().as_str() {
        "pending" | "待支付" | "待付款" => OrderStatus::Pending,
        "paid" | "已支付" | "已付款" => OrderStatus::Paid,
        "partially_shipped" | "已部分发货" | "部分发货" => OrderStatus::PartiallyShipped,
        "shipped" | "已发货" => OrderStatus::Shipped,
        "completed" | "已完成" => OrderStatus::Completed,
        "cancelled" | "已取消" => OrderStatus::Cancelled,
        _ => return Err(Wrong { at: piece.at(), expected: expected::STATUS }),
    };
    Ok(Expr::Status(status))
}

pub(super) fn order_type(piece: &Piece) -> Result<Expr, Wrong> {
    let order_type = match piece.text().to_ascii_lowercase().as_str() {
        "normal" | "普通" => OrderType::Normal,
        "seckill" | "秒杀" => OrderType::Seckill,
        "group_buy" | "拼团" => OrderType::GroupBuy,
        _ => return Err(Wrong { at: piece.at(), expected: expected::TYPE }),
    };
    Ok(Expr::OrderType(order_type))
}

pub(super) fn refund(piece: &Piece) -> Result<Expr, Wrong> {
    match piece.text().to_ascii_lowercase().as_str() {
        "open" => Ok(Expr::OpenRefund(true)),
        "none" => Ok(Expr::OpenRefund(false)),
        _ => Err(Wrong { at: piece.at(), expected: expected::REFUND }),
    }
}

pub(super) fn payment(piece: &Piece) -> Result<Expr, Wrong> {
    match piece.text().to_ascii_lowercase().as_str() {
        "started" => Ok(Expr::PaymentStarted),
        _ => Err(Wrong { at: piece.at(), expected: expected::PAYMENT }),
    }
}

/// A span of time.
pub(super) fn instants(piece: &Piece, context: &ParseContext) -> Result<Span<u64>, Wrong> {
    span(piece, expected::INSTANT, &|text| instant(text, context))
}

/// A span of amounts, in minor units.
pub(super) fn amounts(piece: &Piece) -> Result<Span<i64>, Wrong> {
    span(piece, expected::AMOUNT, &|text| {
        let is_number = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        let amount: i64 = text.parse().ok().filter(|_| is_number)?;
        Some((amount, amount.checked_add(1)))
    })
}

/// What one value means: from, and the first that is outside, if there is any.
type Meant<T> = (T, Option<T>);

/// `*`, `>=a`, `>a`, `<=a`, `<a`, `a..b`, `a..<b`, `a..`, `..b`, or `a`.
fn span<T: Copy + Ord>(
    piece: &Piece,
    expected: &'static str,
    meant: &dyn Fn(&str) -> Option<Meant<T>>,
) -> Result<Span<T>, Wrong> {
    let meant = |piece: &Piece| meant(&piece.text()).ok_or(Wrong { at: piece.at(), expected });
    if piece.text() == "*" {
        return Ok(Span { from: None, until: None });
    }
    // What lies beyond the last value there is: a span that holds nothing.
    let beyond = |(from, until): Meant<T>| match until {
        Some(until) => Span { from: Some(until), until: None },
        None => Span { from: Some(from), until: Some(from) },
    };
    if let Some(rest) = piece.behind(">=") {
        return Ok(Span { from: Some(meant(&rest)?.0), until: None });
    }
    if let Some(rest) = piece.behind("<=") {
        return Ok(Span { from: None, until: meant(&rest)?.1 });
    }
    if let Some(rest) = piece.behind(">") {
        return Ok(beyond(meant(&rest)?));
    }
    if let Some(rest) = piece.behind("<") {
        return Ok(Span { from: None, until: Some(meant(&rest)?.0) });
    }
    let Some((low, high)) = piece.split("..") else {
        let (from, until) = meant(piece)?;
        return Ok(Span { from: Some(from), until });
    };
    let from = if low.chars.is_empty() { None } else { Some(meant(&low)?.0) };
    if high.chars.is_empty() && from.is_some() {
        return Ok(Span { from, until: None });
    }
    let (end, until) = match high.behind("<") {
        Some(high) => meant(&high).map(|(end, _)| (end, Some(end)))?,
        None => meant(&high)?,
    };
    if from.is_some_and(|from| from > end) {
        return Err(Wrong { at: piece.at(), expected: expected::FORWARD });
    }
    Ok(Span { from, until })
}

/// The piece of time that a text means.
fn instant(text: &str, context: &ParseContext) -> Option<Meant<u64>> {
    let offset_ms = i64::from(context.offset.minutes()) * MINUTE_MS;
    let now_ms = i64::try_from(context.now_ms).ok()?;
    let today = (now_ms + offset_ms).div_euclid(DAY_MS);
    let moment = |at_ms: i64| Some((u64::try_from(at_ms).ok()?, u64::try_from(at_ms + 1).ok()));
    let day = |day: i64| {
        // Years of four digits alone.
        let from_ms = day.checked_mul(DAY_MS)?.checked_sub(offset_ms).filter(|_| civil(day).0 <= 9_999)?;
        Some((u64::try_from(from_ms).ok()?, u64::try_from(from_ms + DAY_MS).ok()))
    };
    if !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()) {
        let at_ms = text.parse().ok().filter(|_| text.len() >= MS_DIGITS_MIN)?;
        return moment(at_ms).filter(|_| at_ms < i64::MAX);
    }
    match text {
        "today" => return day(today),
        "yesterday" => return day(today - 1),
        _ => {}
    }
    if let Some(back) = text.strip_prefix('-') {
        let (count, unit) = back.split_at_checked(back.len().checked_sub(1)?)?;
        let is_number = !count.is_empty() && count.bytes().all(|byte| byte.is_ascii_digit());
        let count: i64 = count.parse().ok().filter(|count| is_number && *count <= BACK_MAX)?;
        return match unit {
            "d" => day(today - count),
            "h" => moment(now_ms - count * 60 * MINUTE_MS),
            "m" => moment(now_ms - count * MINUTE_MS),
            _ => None,
        };
    }
    let (date, time) = text.split_at_checked(10)?;
    if time.is_empty() {
        let [year, month, of_month] = fields(date, '-', [4, 2, 2])?;
        return day(days_of(year, month, of_month)?);
    }
    // Without a zone it is the caller's own; seconds may be left out.
    let clock = time.strip_prefix(['T', 't'])?;
    let has_zone = clock.contains(['Z', 'z', '+', '-']);
    let seconds = if clock.len() == 5 && !has_zone { ":00" } else { "" };
    let zone = if has_zone { "" } else { "Z" };
    let at_ms = i64::try_from(parse_instant(&format!("{text}{seconds}{zone}")).ok()?).ok()?;
    moment(if has_zone { at_ms } else { at_ms - offset_ms })
}
