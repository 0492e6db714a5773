//! The fields of a document, and how an order becomes one.
//!
//! A document says nothing but what it is found by: hits are order numbers with their sort keys, and the orders themselves
//! come from memory and the store.

use std::sync::Arc;

use tantivy::schema::{
    FAST, Field, INDEXED, IndexRecordOption, STRING, Schema, TextFieldIndexing, TextOptions,
};
use tantivy::tokenizer::{TextAnalyzer, TokenizerManager};
use tantivy::{Index, IndexBuilder, TantivyDocument};

use super::Goods;
use super::titles::Edition;
use super::words::{Cutter, Kind, PHONE_DIGITS_MIN, phone_end};
use crate::domain::ids::OrderNo;
use crate::domain::order::{Line, Order, OrderStatus};
use crate::personal::StoredPersonal;

/// Counts up whenever documents are made otherwise, or words cut otherwise: an index of another version is built anew.
pub(super) const SCHEMA_VERSION: u32 = 3;

/// Names of the columns that sorting and counting read.
pub(super) const ORDER_NO: &str = "order_no";
pub(super) const KIND: &str = "kind";
pub(super) const CREATED: &str = "created";
pub(super) const PAID: &str = "paid";
pub(super) const AMOUNT: &str = "amount";

const PROSE: &str = "prose";
const NAME: &str = "name";

/// Order types, for what a document's kind is made of.
pub(super) const TYPES: u64 = 3;
/// Kinds: a status and a type.
pub(super) const KINDS: usize = 6 * TYPES as usize;

/// The fields.
#[derive(Clone, Copy, Debug)]
pub(super) struct Fields {
    pub(super) order_no: Field,
    pub(super) external_no: Field,
    pub(super) member: Field,
    pub(super) status: Field,
    pub(super) order_type: Field,
    /// Status and type in one column, for counting.
    pub(super) kind: Field,
    pub(super) sku: Field,
    /// SKUs in their revisions: what titles are found by.
    pub(super) edition: Field,
    pub(super) activity: Field,
    pub(super) team: Field,
    /// Only of orders with a mark.
    pub(super) flag: Field,
    /// Only of orders with an open refund.
    pub(super) open_refund: Field,
    /// Only of pending orders with a payment that could still be paid.
    pub(super) payment: Field,
    pub(super) created: Field,
    /// 0 for never.
    pub(super) paid: Field,
    pub(super) amount: Field,
    pub(super) receiver: Field,
    pub(super) phone: Field,
    pub(super) address: Field,
    /// The buyer's.
    pub(super) remark: Field,
    /// The shop's.
    pub(super) note: Field,
}

impl Fields {
    /// The schema and its fields.
    pub(super) fn new() -> (Schema, Self) {
        let mut schema = Schema::builder();
        let words = |cutter: &str| {
            let indexing = TextFieldIndexing::default()
                .set_tokenizer(cutter)
                .set_index_option(IndexRecordOption::WithFreqsAndPositions)
                .set_fieldnorms(false);
            TextOptions::default().set_indexing_options(indexing)
        };
        let fields = Self {
            order_no: schema.add_i64_field(ORDER_NO, INDEXED | FAST),
            external_no: schema.add_text_field("external_no", STRING),
            member: schema.add_u64_field("member", INDEXED),
            status: schema.add_u64_field("status", INDEXED),
            order_type: schema.add_u64_field("type", INDEXED),
            kind: schema.add_u64_field(KIND, FAST),
            sku: schema.add_u64_field("sku", INDEXED),
            edition: schema.add_bytes_field("edition", INDEXED),
            activity: schema.add_u64_field("activity", INDEXED),
            team: schema.add_u64_field("team", INDEXED),
            flag: schema.add_u64_field("flag", INDEXED),
            open_refund: schema.add_u64_field("open_refund", INDEXED),
            payment: schema.add_u64_field("payment", INDEXED),
            created: schema.add_i64_field(CREATED, FAST),
            paid: schema.add_i64_field(PAID, FAST),
            amount: schema.add_i64_field(AMOUNT, FAST),
            receiver: schema.add_text_field("receiver", words(NAME)),
            phone: schema.add_text_field("phone", STRING),
            address: schema.add_text_field("address", words(PROSE)),
            remark: schema.add_text_field("remark", words(PROSE)),
            note: schema.add_text_field("note", words(PROSE)),
        };
        (schema.build(), fields)
    }

    /// A builder of an index with these fields.
    pub(super) fn builder(schema: Schema) -> IndexBuilder {
        let settings = tantivy::IndexSettings {
            docstore_compression: tantivy::store::Compressor::None,
            docstore_compress_dedicated_thread: false,
            ..Default::default()
        };
        Index::builder().schema(schema).settings(settings)
    }

    /// The cutters, by the names that the schema gives them.
    pub(super) fn register(tokenizers: &TokenizerManager) {
        tokenizers.register(PROSE, TextAnalyzer::from(Cutter::new(Kind::Prose)));
        tokenizers.register(NAME, TextAnalyzer::from(Cutter::new(Kind::Name)));
    }

    /// What an order with these goods is found by.
    pub(super) fn document(&self, order: &Order, editions: &[Edition]) -> TantivyDocument {
        let mut document = TantivyDocument::new();
        document.add_i64(self.order_no, number(order.order_no));
        document.add_u64(self.member, order.member_id.0);
        document.add_u64(self.status, order.status as u64);
        document.add_u64(self.order_type, order.order_type as u64);
        document.add_u64(self.kind, order.status as u64 * TYPES + order.order_type as u64);
        document.add_i64(self.created, time(order.created_at_ms));
        document.add_i64(self.paid, order.paid_at_ms().map_or(0, time));
        document.add_i64(self.amount, order.pay_amount.minor());
        if let Some(activity) = order.activity() {
            document.add_u64(self.activity, activity.0);
        }
        if let Some(team) = order.team() {
            document.add_u64(self.team, team.0);
        }
        if order.flag() != 0 {
            document.add_u64(self.flag, order.flag().into());
        }
        if order.has_unfinished_refund() {
            document.add_u64(self.open_refund, 1);
        }
        if order.status == OrderStatus::Pending && !order.open_attempts().is_empty() {
            document.add_u64(self.payment, 1);
        }
        for line in lines_of_goods(order) {
            document.add_u64(self.sku, line.key.sku.0);
        }
        for edition in editions {
            document.add_bytes(self.edition, &edition.to_bytes());
        }
        if let Some(note) = order.later().and_then(|later| later.note.as_ref()) {
            add_text(&mut document, self.note, &note.remark);
        }
        if let Some(text) = &order.extra.text {
            if let Some(external_no) = &text.external_no {
                document.add_text(self.external_no, external_no);
            }
            if let Some(remark) = &text.remark {
                add_text(&mut document, self.remark, remark);
            }
            if let Some(personal) = &text.personal
                && let StoredPersonal::Receiver(receiver) = StoredPersonal::decode(personal)
            {
                add_text(&mut document, self.receiver, &receiver.name);
                let place = [&receiver.province, &receiver.city, &receiver.district, &receiver.address];
                let country = receiver.country.as_deref().unwrap_or_default();
                let address =
                    place.iter().fold(country.to_owned(), |address, part| address + " " + part.as_str());
                add_text(&mut document, self.address, &address);
                self.add_phone(&mut document, &receiver.phone);
            }
        }
        document
    }

    /// A phone number by its digits from the end, and by its last four alone: what is looked for most is one term.
    fn add_phone(&self, document: &mut TantivyDocument, phone: &str) {
        let digits = phone_end(phone);
        if let Some(end) = digits.get(..PHONE_DIGITS_MIN) {
            document.add_text(self.phone, end);
            if digits.len() > PHONE_DIGITS_MIN {
                document.add_text(self.phone, &digits);
            }
        }
    }
}

/// The goods of an order's lines, as they were when it was placed; those of imported lines as they are now.
pub(super) fn editions(order: &Order, goods: &dyn Goods, into: &mut Vec<Edition>) {
    into.clear();
    into.extend(lines_of_goods(order).filter_map(|line| {
        let sku = line.key.sku;
        let revision = if line.revision == 0 { goods.current(sku)? } else { line.revision };
        Some(Edition { sku, revision })
    }));
}

/// All but seats of teams.
fn lines_of_goods(order: &Order) -> impl Iterator<Item = &Line> {
    order.lines.iter().filter(|line| !line.is_seat())
}

fn add_text(document: &mut TantivyDocument, field: Field, text: &str) {
    if !text.is_empty() {
        document.add_text(field, text);
    }
}

/// An order number as it is indexed: as the sort key that it is, which has room for its 63 bits.
pub(super) fn number(order_no: OrderNo) -> i64 {
    order_no.get() as i64
}

/// A time in ms since the Unix epoch, as it is indexed.
pub(super) fn time(at_ms: u64) -> i64 {
    i64::try_from(at_ms).unwrap_or(i64::MAX)
}

/// What the position is committed with.
pub(super) type SharedGoods = Arc<dyn Goods>;
