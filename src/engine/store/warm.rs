//! Filling the filters with what earlier runs have stored, beside the engine's work.

use std::sync::Weak;

use crate::domain::ids::ORDER_NO_EPOCH_MS;
use crate::engine::Inner;
use crate::projection::store::StoreReader;

/// Goes through the store's requests, payments and external numbers. Until it is done every question that memory can't
/// answer goes to the store.
pub(crate) fn warm(engine: &Weak<Inner>, store: &StoreReader, idempotency_window_ms: u64) {
    let Some(inner) = engine.upgrade() else { return };
    let now_ms = inner.clock.now_ms();
    let Some(view) = inner.shared.store.clone() else { return };
    drop(inner);
    let since_ms = now_ms.saturating_sub(idempotency_window_ms).saturating_sub(ORDER_NO_EPOCH_MS);
    let mut seen = 0_u64;
    // An engine that is gone needs no filters.
    let mut goes_on = || {
        seen += 1;
        !seen.is_multiple_of(4096) || engine.strong_count() > 0
    };
    let requests = store.scan_requests(|member, request, number| {
        if number.time_ms() >= since_ms
            && let Some(inner) = engine.upgrade()
        {
            let hash = inner.shared.hasher.request(member, request);
            inner.filter.insert(hash);
            view.add_request(hash);
        }
        goes_on()
    });
    let names = requests.and_then(|()| {
        let mut seen = 0_u64;
        let goes_on = std::cell::RefCell::new(|| {
            seen += 1;
            !seen.is_multiple_of(4096) || engine.strong_count() > 0
        });
        store.scan_names(
            |payment| {
                view.add_payment(payment);
                (goes_on.borrow_mut())()
            },
            |external| {
                view.add_external(external);
                (goes_on.borrow_mut())()
            },
        )
    });
    match names {
        Ok(()) => view.finish_warming(),
        // Slower, and right all the same.
        Err(error) => {
            tracing::error!(%error, "the store's filters can't be filled: every look-up asks the store")
        }
    }
}
