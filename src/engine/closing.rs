//! The parts of a shutdown: the store takes in what there is, and everybody lets go of the data directory.

use std::sync::PoisonError;

use super::Engine;
use crate::runtime::shutdown::until_gone;

/// Looks, 1 ms apart, at whether stopped actors are gone.
const SHELL_LOOKS_MAX: usize = 1_000;
/// Looks, 1 ms apart, at whether a backup has noticed: it looks up after each 4 MiB.
const BACKUP_LOOKS_MAX: usize = 30_000;

impl Engine {
    /// Lets the store take in everything, so that the next start has nothing to replay, and stops it.
    pub(super) async fn stop_store(&self) {
        let inner = &self.inner;
        let Some(store) = &inner.store else { return };
        let take_in = async {
            let last = inner.journal.appended();
            if inner.journal.watch_durable().wait_for(|durable| *durable >= last).await.is_ok() {
                store.advance_to(last).await;
            }
        };
        tokio::select! {
            () = take_in => {}
            _reason = inner.gate.wait_poisoned() => {}
        }
        let _ = store.projector.stop_and_wait(None, None).await;
        // It holds on to the store's files.
        let warming = store.warming.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(warming) = warming {
            let _ = warming.await;
        }
    }

    /// Lets the index take in what the store has, and stops it.
    pub(super) async fn stop_search(&self) {
        self.inner.search.scans().close().await;
        #[cfg(feature = "search")]
        if let Some(follower) = self.inner.search.follower() {
            follower.stop().await;
        }
    }

    /// A stopped actor's task, and a backup that is given up, hold on to the journal, and so to the data directory, for
    /// a moment longer.
    pub(super) async fn wait_for_holders(&self) {
        self.inner.scans.close().await;
        let inner = &self.inner;
        until_gone(SHELL_LOOKS_MAX, || {
            inner.order_world.strong_count() == 0 && inner.stock.has_no_shells() && inner.delay.has_no_shell()
        })
        .await;
        until_gone(BACKUP_LOOKS_MAX, || !inner.backup.is_taken()).await;
    }
}
