//! An expression as a query of the index.

use std::collections::BTreeSet;
use std::ops::Bound;

use tantivy::query::{
    AllQuery, BooleanQuery, EmptyQuery, Occur, PhraseQuery, Query, RangeQuery, TermQuery, TermSetQuery,
};
use tantivy::schema::{Field, IndexRecordOption};
use tantivy::{Searcher, Term};

use super::schema::{Fields, number, time};
use super::titles::{Edition, Titles, TooMany, term_of};
use super::without::Without;
use super::words::{Kind, PHONE_DIGITS_MIN, Word, beginning, phone_end, words};
use super::{Goods, IndexError};
use crate::domain::order::FLAG_MAX;
use crate::domain::search::{Expr, Span, TextField, TextKind, TextTerm};

/// Words that a beginning of a word, or the end of a phone number, may stand for.
const EXPANSIONS_MAX: usize = 1_000;
const BEGINNING_TOO_BROAD: &str = "a beginning that too many words have";
/// How deep expressions may be nested, and how many parts they may have. What is parsed stays far below.
const DEPTH_MAX: usize = 32;
const PARTS_MAX: usize = 1_024;

type Compiled = Result<Box<dyn Query>, IndexError>;

/// What a query is made with.
pub(super) struct Compiler<'c> {
    fields: &'c Fields,
    searcher: &'c Searcher,
    goods: &'c dyn Goods,
    titles: &'c Titles,
    parts: usize,
}

impl<'c> Compiler<'c> {
    /// For one state of the index.
    pub(super) fn new(
        fields: &'c Fields,
        searcher: &'c Searcher,
        goods: &'c dyn Goods,
        titles: &'c Titles,
    ) -> Self {
        Self { fields, searcher, goods, titles, parts: 0 }
    }

    /// The query that finds what an expression means.
    pub(super) fn compile(mut self, expr: &Expr) -> Compiled {
        self.expr(expr, DEPTH_MAX)
    }

    fn expr(&mut self, expr: &Expr, depth: usize) -> Compiled {
        self.parts += 1;
        if depth == 0 || self.parts > PARTS_MAX {
            return Err(IndexError::TooBroad("a query with too many parts"));
        }
        let fields = self.fields;
        let exactly = |field, value| Ok(term(Term::from_field_u64(field, value)));
        match expr {
            Expr::All => Ok(Box::new(AllQuery)),
            Expr::And(all) => self.all_of(all, depth - 1),
            Expr::Or(any) => {
                let any: Result<Vec<_>, _> = any.iter().map(|expr| self.expr(expr, depth - 1)).collect();
                Ok(one_of(any?))
            }
            Expr::Not(expr) => Ok(none_of(without(expr, self.expr(expr, depth - 1)?))),
            Expr::Text(text) => self.text(text),
            Expr::OrderNo(order_no) => Ok(term(Term::from_field_i64(fields.order_no, number(*order_no)))),
            Expr::ExternalNo(external_no) => Ok(term(Term::from_field_text(fields.external_no, external_no))),
            Expr::Member(member) => exactly(fields.member, member.0),
            Expr::Status(status) => exactly(fields.status, *status as u64),
            Expr::OrderType(order_type) => exactly(fields.order_type, *order_type as u64),
            Expr::Sku(sku) => exactly(fields.sku, sku.0),
            Expr::Product(product) => {
                let skus = self.goods.skus_of(*product);
                let terms = skus.into_iter().map(|sku| Term::from_field_u64(fields.sku, sku.0));
                Ok(Box::new(TermSetQuery::new(terms)))
            }
            Expr::Activity(activity) => exactly(fields.activity, activity.0),
            Expr::Team(team) => exactly(fields.team, team.0),
            Expr::Created(span) => Ok(range(fields.created, span.from.map(time), span.until.map(time))),
            Expr::Paid(Span { from, until }) => {
                // Whoever was never paid stands at 0.
                let from = time(from.unwrap_or(0)).max(1);
                Ok(range(fields.paid, Some(from), until.map(time)))
            }
            Expr::Amount(span) => Ok(range(fields.amount, span.from, span.until)),
            Expr::Flag(0) => {
                let marks = (1..=FLAG_MAX).map(|flag| Term::from_field_u64(fields.flag, flag.into()));
                Ok(none_of(Box::new(TermSetQuery::new(marks))))
            }
            Expr::Flag(flag) => exactly(fields.flag, (*flag).into()),
            Expr::OpenRefund(true) => exactly(fields.open_refund, 1),
            Expr::PaymentStarted => exactly(fields.payment, 1),
            Expr::OpenRefund(false) => Ok(none_of(term(Term::from_field_u64(fields.open_refund, 1)))),
        }
    }

    fn all_of(&mut self, all: &[Expr], depth: usize) -> Compiled {
        let mut clauses = Vec::with_capacity(all.len() + 1);
        let mut has_must = false;
        for expr in all {
            // What is not meant is taken away from what is, and not from everything first.
            if let Expr::Not(not) = expr {
                clauses.push((Occur::MustNot, without(not, self.expr(not, depth)?)));
            } else {
                clauses.push((Occur::Must, self.expr(expr, depth)?));
                has_must = true;
            }
        }
        if !has_must {
            clauses.push((Occur::Must, Box::new(AllQuery)));
        }
        Ok(Box::new(BooleanQuery::new(clauses)))
    }

    fn text(&mut self, text: &TextTerm) -> Compiled {
        let mut any = Vec::new();
        let fields = text.field.as_ref().map_or(TextField::ALL.as_slice(), std::slice::from_ref);
        for field in fields {
            any.extend(self.text_in(*field, &text.text, text.kind)?);
        }
        Ok(one_of(any))
    }

    fn text_in(
        &mut self,
        field: TextField,
        text: &str,
        kind: TextKind,
    ) -> Result<Option<Box<dyn Query>>, IndexError> {
        let fields = self.fields;
        let (field, cutter) = match field {
            TextField::Title => return self.title(text, kind),
            TextField::Phone => return self.phone(text, kind),
            TextField::Receiver => (fields.receiver, Kind::Name),
            TextField::Address => (fields.address, Kind::Prose),
            TextField::Remark => (fields.remark, Kind::Prose),
            TextField::Note => (fields.note, Kind::Prose),
        };
        match kind {
            TextKind::Words => Ok(all_words(field, &words(text, cutter), cutter)),
            TextKind::Phrase => Ok(phrase(field, &words(text, cutter))),
            TextKind::Prefix => self.prefix(field, text, cutter),
        }
    }

    /// Goods by their titles. Words may be spread over the titles of several lines, a phrase may not.
    fn title(&self, text: &str, kind: TextKind) -> Result<Option<Box<dyn Query>>, IndexError> {
        let titles = self.titles;
        let (words, last) = match kind {
            TextKind::Words => (words(text, Kind::Prose), None),
            TextKind::Phrase => {
                let words = words(text, Kind::Prose);
                let found = (!words.is_empty()).then(|| titles.with_phrase(&words));
                return Ok(found.map(|found| self.any_of(&found)));
            }
            TextKind::Prefix => {
                let Some((before, run)) = beginning(text, Kind::Prose) else { return Ok(None) };
                let last = titles.with_beginning(&run, EXPANSIONS_MAX);
                (before, Some(last.map_err(|TooMany| IndexError::TooBroad(BEGINNING_TOO_BROAD))?))
            }
        };
        let sets = words.iter().map(|word| titles.with_word(&word.text)).chain(last);
        let mut all: Vec<Box<dyn Query>> = sets.map(|set| self.any_of(&set)).collect();
        Ok(match all.len() {
            0 | 1 => all.pop(),
            _ => Some(Box::new(BooleanQuery::intersection(all))),
        })
    }

    /// Orders that name any of these goods.
    fn any_of(&self, editions: &BTreeSet<Edition>) -> Box<dyn Query> {
        let mut terms = editions.iter().map(|edition| term_of(self.fields.edition, *edition));
        match (terms.len(), terms.next()) {
            (1, Some(only)) => term(only),
            (_, first) => Box::new(TermSetQuery::new(first.into_iter().chain(terms))),
        }
    }

    /// Phone numbers that end so.
    fn phone(&mut self, text: &str, kind: TextKind) -> Result<Option<Box<dyn Query>>, IndexError> {
        let digits = phone_end(text);
        if digits.len() < PHONE_DIGITS_MIN || kind == TextKind::Prefix {
            return Ok(None);
        }
        let field = self.fields.phone;
        if digits.len() == PHONE_DIGITS_MIN {
            return Ok(Some(term(Term::from_field_text(field, &digits))));
        }
        self.expand(field, &digits, "the end of a phone number that too many have").map(Some)
    }

    /// All words but the last, and one that begins like the last.
    fn prefix(
        &mut self,
        field: Field,
        text: &str,
        cutter: Kind,
    ) -> Result<Option<Box<dyn Query>>, IndexError> {
        let Some((before, run)) = beginning(text, cutter) else { return Ok(None) };
        let last = self.expand(field, &run, BEGINNING_TOO_BROAD)?;
        let mut all = vec![(Occur::Must, last)];
        all.extend(all_words(field, &before, cutter).map(|words| (Occur::Must, words)));
        Ok(Some(Box::new(BooleanQuery::new(all))))
    }

    /// Any word that begins so.
    fn expand(&mut self, field: Field, start: &str, too_many: &'static str) -> Compiled {
        let storage = |error: std::io::Error| IndexError::Storage(error.to_string());
        let mut found: BTreeSet<String> = BTreeSet::new();
        for segment in self.searcher.segment_readers() {
            let inverted = segment.inverted_index(field).map_err(IndexError::from)?;
            let mut words = inverted.terms().range().ge(start.as_bytes()).into_stream().map_err(storage)?;
            while words.advance() && words.key().starts_with(start.as_bytes()) {
                if let Ok(word) = std::str::from_utf8(words.key()) {
                    found.insert(word.to_owned());
                }
                if found.len() > EXPANSIONS_MAX {
                    return Err(IndexError::TooBroad(too_many));
                }
            }
        }
        let terms = found.iter().map(|word| Term::from_field_text(field, word));
        Ok(Box::new(TermSetQuery::new(terms)))
    }
}

fn term(term: Term) -> Box<dyn Query> {
    Box::new(TermQuery::new(term, IndexRecordOption::Basic))
}

fn one_of(mut any: Vec<Box<dyn Query>>) -> Box<dyn Query> {
    match any.len() {
        0 => Box::new(EmptyQuery),
        1 => any.remove(0),
        _ => Box::new(BooleanQuery::union(any)),
    }
}

/// What others are left out by.
fn without(expr: &Expr, query: Box<dyn Query>) -> Box<dyn Query> {
    match expr {
        Expr::And(_) | Expr::Or(_) | Expr::Not(_) | Expr::Text(_) => Box::new(Without(query)),
        // One term, or a range.
        _ => query,
    }
}

fn none_of(query: Box<dyn Query>) -> Box<dyn Query> {
    Box::new(BooleanQuery::new(vec![(Occur::Must, Box::new(AllQuery)), (Occur::MustNot, query)]))
}

fn range(field: Field, from: Option<i64>, until: Option<i64>) -> Box<dyn Query> {
    if from.is_none() && until.is_none() {
        return Box::new(AllQuery);
    }
    let bound = |value: i64| Term::from_field_i64(field, value);
    let from = from.map_or(Bound::Unbounded, |from| Bound::Included(bound(from)));
    let until = until.map_or(Bound::Unbounded, |until| Bound::Excluded(bound(until)));
    Box::new(RangeQuery::new(from, until))
}

/// All words of a text; of a name those that stand one after the other as they do there.
fn all_words(field: Field, words: &[Word], cutter: Kind) -> Option<Box<dyn Query>> {
    let mut all: Vec<Box<dyn Query>> = Vec::new();
    let mut rest = words;
    while let Some(first) = rest.first() {
        let is_char = |word: &Word| word.text.chars().nth(1).is_none();
        let follow = |pair: &[Word]| pair[0].position + 1 == pair[1].position && is_char(&pair[1]);
        let len = match cutter {
            Kind::Name if is_char(first) => 1 + rest.windows(2).take_while(|pair| follow(pair)).count(),
            _ => 1,
        };
        all.extend(phrase(field, &rest[..len]));
        rest = &rest[len..];
    }
    match all.len() {
        0 | 1 => all.pop(),
        _ => Some(Box::new(BooleanQuery::intersection(all))),
    }
}

/// Words that stand as they do here.
fn phrase(field: Field, words: &[Word]) -> Option<Box<dyn Query>> {
    let of = |word: &Word| Term::from_field_text(field, &word.text);
    match words {
        [] => None,
        [word] => Some(term(of(word))),
        words => {
            let terms = words.iter().map(|word| (word.position, of(word))).collect();
            Some(Box::new(PhraseQuery::new_with_offset(terms)))
        }
    }
}
