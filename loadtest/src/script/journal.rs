//! The journal against the acknowledgements: the audit's rules, and that every order, payment and refund that somebody
//! was told of is there, once, with the amount that they were told.

use std::collections::HashMap;
use std::path::Path;

use stockade::audit::verify::{VerifyOptions, verify};
use stockade::audit::{AuditReport, Auditor};
use stockade::{
    Engine, Event, Money, OrderEvent, OrderNo, PaymentId, PaymentResult, Position, RefundNo, RefundStep,
};

use super::book::Book;
use crate::Failure;
use crate::acked::Problems;
use crate::progress;

/// What the journal says of what was acknowledged.
#[derive(Debug, Default)]
struct Seen {
    placed: HashMap<OrderNo, Money>,
    /// Amount and outcomes of each payment.
    payments: HashMap<PaymentId, (Money, Vec<PaymentResult>)>,
    finished: HashMap<RefundNo, u64>,
}

impl Seen {
    fn read(&mut self, events: &[Event]) {
        for event in events {
            match event {
                Event::OrderCreated(created) => {
                    self.placed.insert(created.order_no, created.pay_amount);
                }
                Event::PaymentReceived { payment, amount, .. } => {
                    self.payments.entry(*payment).or_default().0 = *amount;
                }
                Event::OrderPaid { payment, .. } => self.settle(*payment, PaymentResult::Paid),
                Event::RefundRequired { payment, reason, .. } if reason.is_outcome() => {
                    self.settle(*payment, PaymentResult::RefundRequired(*reason));
                }
                Event::PaymentUnmatched { payment, reason, .. } => {
                    self.settle(*payment, PaymentResult::RefundRequired(*reason));
                }
                Event::UnmatchedRefund { payment, what: RefundStep::Finished { .. }, .. } => {
                    *self.finished.entry(RefundNo::Payment(*payment)).or_default() += 1;
                }
                Event::Order { step, what } => {
                    if let OrderEvent::RefundFinished { refund, .. } = **what {
                        let refund_no = RefundNo::Order { order_no: step.order_no, ordinal: refund };
                        *self.finished.entry(refund_no).or_default() += 1;
                    }
                }
                _ => {}
            }
        }
    }

    fn settle(&mut self, payment: PaymentId, result: PaymentResult) {
        self.payments.entry(payment).or_default().1.push(result);
    }

    fn compare(&self, book: &Book) -> Problems {
        let mut problems = Problems::default();
        for acked in &book.orders {
            let found = self.placed.get(&acked.order_no);
            if found != Some(&acked.placed) {
                problems.add(|| {
                    format!("order {}: told {}, in the journal {found:?}", acked.order_no, acked.placed)
                });
            }
        }
        for acked in &book.payments {
            let found = self.payments.get(&acked.id);
            let is_so =
                found.is_some_and(|(amount, results)| *amount == acked.amount && **results == [acked.result]);
            if !is_so {
                problems.add(|| format!("payment {acked:?}: in the journal {found:?}"));
            }
        }
        for (refund_no, _) in &book.refunded {
            let found = self.finished.get(refund_no).copied().unwrap_or_default();
            if found != 1 {
                problems.add(|| format!("refund {refund_no} is finished {found} times in the journal"));
            }
        }
        if self.placed.len() != book.orders.len() {
            let (acked, placed) = (book.orders.len(), self.placed.len());
            problems.add(|| format!("{acked} orders were acknowledged, the journal has {placed}"));
        }
        problems
    }
}

/// Audits a data directory that no engine has open any more: journal and store.
pub(crate) fn audit_directory(data: &Path, book: &Book) -> Result<(AuditReport, Problems), Failure> {
    let bar = progress::bar("audit", 0);
    let mut seen = Seen::default();
    // Nobody else has the directory, so it needs no copy.
    let options = VerifyOptions::new().in_place(true).on_entry(|_first, events| seen.read(events));
    let report = verify(data, options)?;
    bar.finish_and_clear();
    let problems = seen.compare(book);
    Ok((report, problems))
}

/// Audits the journal of an engine that keeps it in memory.
pub(crate) async fn audit_memory(engine: &Engine, book: &Book) -> Result<(AuditReport, Problems), Failure> {
    let (mut auditor, mut seen) = (Auditor::new(), Seen::default());
    let last = engine.metrics().durable;
    let mut stream = engine.subscribe(Position(1));
    let (mut first, mut entry) = (Position(1), Vec::new());
    while stream.position() <= last {
        let Some(recorded) = stream.next().await? else { break };
        if recorded.entry != first {
            auditor.entry(first, &entry);
            seen.read(&entry);
            entry.clear();
            first = recorded.entry;
        }
        entry.push(recorded.event);
    }
    auditor.entry(first, &entry);
    seen.read(&entry);
    Ok((auditor.finish(), seen.compare(book)))
}
