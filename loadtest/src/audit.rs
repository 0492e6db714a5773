//! The audit after a run: journal and store against the rules, and against the harness's own log of acknowledgements.

use std::path::Path;

use stockade::StockCounters;
use stockade::StockKey;
use stockade::audit::verify::{Progress, VerifyError, VerifyOptions, verify};
use stockade::audit::{AuditReport, StockTally};

use std::cell::RefCell;

use crate::acked::{Acknowledged, Problems};
use crate::progress;

/// What an audit came to.
pub(crate) struct Audited {
    pub(crate) report: AuditReport,
    /// Acknowledgements that journal and store lack.
    pub(crate) lost_acked: u64,
    /// Broken rules, lost acknowledgements and contradictions.
    pub(crate) problems: Problems,
}

impl Audited {
    /// Whether nothing at all was found.
    pub(crate) fn passed(&self) -> bool {
        self.report.passed() && self.lost_acked == 0 && self.problems.total() == 0
    }

    /// Compares the counters that the engine showed last with the journal's.
    pub(crate) fn compare_stock(&mut self, shown: &[(StockKey, StockCounters)]) {
        for (key, counters) in shown {
            let StockTally { total, available, reserved, sold, .. } = self.report.stock_of(key);
            let journal = [total, available, reserved, sold];
            let engine = [counters.total, counters.available, counters.reserved, counters.sold];
            let same = counters.held == 0
                && journal.iter().zip(engine).all(|(journal, engine)| u64::try_from(*journal) == Ok(engine));
            if !same {
                self.problems.add(|| format!("stock {key}: the engine showed {counters:?}, the journal has total {total}, available {available}, reserved {reserved}, sold {sold}"));
            }
        }
    }
}

/// Audits a data directory that no engine has open any more.
pub(crate) fn audit(
    data: &Path,
    in_place: bool,
    acknowledged: &mut Acknowledged,
) -> Result<Audited, VerifyError> {
    let bar = progress::bar("audit", 0);
    // The store's orders come before the journal's entries, never at the same time.
    let acknowledged = RefCell::new(acknowledged);
    let options = VerifyOptions::new()
        .in_place(in_place)
        .on_progress(|progress| {
            if let Progress::Audited { events } = progress {
                bar.set_length(events);
                bar.set_position(events);
            }
        })
        .on_order(|order| acknowledged.borrow_mut().read_stored(order))
        .on_entry(|_first, events| acknowledged.borrow_mut().read(events));
    let report = verify(data, options)?;
    bar.finish_and_clear();
    let (lost_acked, mut problems) = acknowledged.into_inner().finish();
    let listed = report.violations.len() as u64;
    for violation in &report.violations {
        problems.add(|| violation.to_string());
    }
    if report.violations_total > listed {
        problems.add(|| format!("{} more violations", report.violations_total - listed));
    }
    Ok(Audited { report, lost_acked, problems })
}
