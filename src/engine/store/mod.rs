//! The store in the running engine: who writes it, who reads it, and what is known of it.
//!
//! ```text
//! journal ── durable frames ──▶ projector ── Gather ──▶ order actors
//!                                   └ commit, publish the position, trim the journal behind it
//! order actors ── Load ──▶ readers ── Loaded ──▶ order actors
//! ```

mod answers;
mod board;
mod gathering;
mod projector;
mod readers;
mod scans;
mod tap;
#[cfg(test)]
mod tests;
mod warm;

use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use ractor::ActorRef;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use crate::domain::ids::Position;
use crate::projection::store::StoreReader;

pub(super) use answers::readable;
pub(crate) use answers::{Told, answer};
pub(super) use board::StoreBoard;
pub(crate) use gathering::{Sums, by_owner};
pub(super) use projector::{Call, Projector, ProjectorWorld};
pub(super) use readers::{Readers, ReadersWorld};
pub(crate) use scans::Scans;
#[cfg(feature = "search")]
pub(crate) use tap::{Tap, Touched};
pub(super) use warm::warm;

/// How long a list waits for the store to take in what is durable.
pub(super) const FRESH_WAIT_MAX: Duration = Duration::from_secs(2);

/// The store as the engine holds it.
pub(crate) struct StoreHandle {
    pub(super) projector: ActorRef<Call>,
    pub(super) world: Arc<ProjectorWorld>,
    pub(super) board: Arc<StoreBoard>,
    pub(super) reader: StoreReader,
    pub(super) interval_ms: u64,
    /// Fills the filters; it reads the store until it is done, or given up.
    pub(super) warming: Mutex<Option<JoinHandle<()>>>,
}

impl StoreHandle {
    /// Everything up to here is stored.
    pub(crate) fn stored(&self) -> Position {
        self.world.view.stored()
    }

    /// Calls the projector, unless a call is on its way.
    pub(crate) fn advance(&self) {
        if !self.world.called.swap(true, Ordering::AcqRel) {
            // A projector that is gone has failed, which the board tells.
            let _ = self.projector.cast(Call::Advance);
        }
    }

    /// How many durable events are not stored.
    pub(crate) fn waiting(&self) -> u64 {
        self.world.journal.durable().0.saturating_sub(self.stored().0)
    }

    /// Waits until everything up to `position` is stored, or the store has failed.
    pub(crate) async fn advance_to(&self, position: Position) {
        let (done, wait) = oneshot::channel();
        if self.projector.cast(Call::AdvanceTo(position, done)).is_ok() {
            let _ = wait.await;
        }
    }
}
