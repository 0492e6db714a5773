//! Filling the filters with what earlier runs have stored, beside the engine's work.

use std::cell::Cell;
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
    // An engine that is gone or closing needs no filters, and must not wait for this.
    let seen = Cell::new(0_u64);
    let goes_on = || {
        seen.set(seen.get() + 1);
        !seen.get().is_multiple_of(4096) || is_needed(engine)
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
        store.scan_names(
            |payment| {
                view.add_payment(payment);
                goes_on()
            },
            |external| {
                view.add_external(external);
                goes_on()
            },
        )
    });
    match names {
        // Given up on the way, they don't know everything.
        Ok(()) if is_needed(engine) => view.finish_warming(),
        Ok(()) => {}
        // Slower, and right all the same.
        Err(error) => {
            tracing::error!(%error, "the store's filters can't be filled: every look-up asks the store")
        }
    }
}

/// Whether the engine is there and takes commands.
fn is_needed(engine: &Weak<Inner>) -> bool {
    engine.upgrade().is_some_and(|inner| inner.gate.check().is_ok())
}
