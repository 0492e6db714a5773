//! An order's part of the state hash (R7).

use super::Order;
use crate::domain::hash::{RecordHasher, kinds};

impl Order {
    /// This order's part of the state hash: everything that events say, personal data excepted (R7).
    pub fn record_hash(&self) -> u64 {
        let [request_high, request_low] = self.request_id.words();
        let mut hash = RecordHasher::new(kinds::ORDER)
            .word(self.order_no.get())
            .word(self.member_id.0)
            .word(request_high)
            .word(request_low)
            .word(self.body_hash)
            .word(self.created_at_ms)
            .word(self.deadline_ms)
            .word(u64::from(self.auto_close_ms))
            .word(self.pay_amount.minor() as u64)
            .word(self.created_position.0)
            .word(self.last_position.0)
            .word(u64::from(self.version))
            .word(self.status as u64)
            .word(self.close_reason.map_or(0, |reason| 1 + reason as u64))
            .word(self.order_type as u64)
            .word(u64::from(self.payment_started));
        for line in self.lines.iter() {
            hash = line
                .key
                .fold_into(hash)
                .word(u64::from(line.quantity))
                .word(line.price.minor() as u64)
                .word(u64::from(line.revision))
                .word(u64::from(line.limit_per_member));
        }
        // Personal data counts for nothing, so its mere presence must not count either.
        if let Some(text) = self.text().filter(|text| text.has_hashed_part()) {
            hash = hash
                .optional_bytes(text.remark.as_deref().map(str::as_bytes))
                .optional_bytes(text.external_no.as_deref().map(str::as_bytes))
                .optional_bytes(text.ext.as_deref());
            for (sku, ext) in &text.line_ext {
                hash = hash.word(sku.0).bytes(ext);
            }
        }
        if let Some(terms) = self.terms() {
            hash = terms.fold_into(hash);
        }
        if let Some(history) = &self.history {
            hash = hash.word(history.paid_by.map_or(0, |payment| payment.words()[0]));
            for refund in &history.refunds {
                let [high, low] = refund.payment.words();
                hash =
                    hash.word(high).word(low).word(refund.amount.minor() as u64).word(refund.reason as u64);
            }
            if let Some(shipment) = &history.shipment {
                hash = hash.bytes(shipment.carrier.as_bytes()).bytes(shipment.tracking_no.as_bytes());
            }
            for entry in &history.timeline {
                hash = hash.bytes(entry.event.as_bytes()).word(entry.at_ms).word(entry.position.0);
            }
            // One that says nothing is not stored, so it must not count either.
            if let Some(later) = history.later.as_deref().filter(|later| !later.is_empty()) {
                hash = later.fold_into(hash);
            }
        }
        hash.finish()
    }
}
