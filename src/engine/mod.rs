//! The engine: wires journal, actors and front door together, and hands out the public API.
//!
//! Reads top to bottom: [`open`](Engine::open) recovers, starts the journal's writer, spawns the actors, reserves
//! order numbers, resumes begun payments, looks at the disk, starts the ticker, and only then lets callers in.

mod admission;
mod after_sale;
mod api;
mod backup;
mod call;
mod catalogue;
mod closing;
mod config;
mod coupons;
mod delay;
mod desk;
mod error;
mod import;
mod member_orders;
mod metrics;
mod open;
mod operators;
pub mod ops;
mod payments;
mod pricing;
mod promise;
pub(crate) mod recovery;
#[cfg(feature = "relay")]
mod relay;
mod sales;
mod search;
mod shipping;
mod statement;
pub(crate) mod store;
mod subscription;
mod teams;
mod ticker;
mod view;

#[cfg(test)]
mod tests;

use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex, Weak};

use ractor::ActorRef;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::actors::activity::shell::ActivityWorld;
use crate::actors::order::OrderItem;
use crate::actors::order::actor::OrderShared;
use crate::actors::order::shell::{OrderBoard, OrderWorld, owner_of};
use crate::actors::promise::Promises;
use crate::actors::register::Register;
use crate::actors::stock::registry::StockRegistry;
use crate::actors::team::shell::TeamWorld;
use crate::domain::ids::Slot;
use crate::journal::{Durability, Holds, JournalHandle};
use crate::runtime::clock::Clock;
use crate::runtime::credits::Credits;
use crate::runtime::filter::RotatingFilter;
use crate::runtime::inbox::{Bell, Inbox};
use crate::runtime::shutdown::Gate;

pub use after_sale::{REFUNDS_PAGE_LEN_MAX, RefundFilter, RefundPage, RefundRequest};
pub use backup::{BackupError, BackupReport};
pub use config::{Config, ConfigError, ORDER_ACTORS_MAX};
pub use coupons::{CouponView, IssueReceipt};
pub use delay::{DEAD_LETTERS_PAGE_MAX, DelayQueue, TASK_BATCH_BYTES_MAX, TASK_WAIT_MS_MAX};
pub use desk::{DESK_PAGE_LEN_MAX, DeskAnswer, DeskPage, DeskSequence, OrderFilter};
pub use error::{OpenError, ShutdownError};
pub use import::ImportReceipt;
pub use member_orders::{MemberFilter, OrderCounts};
pub use metrics::{Health, Metrics};
pub use operators::{ACTS_PAGE_LEN_MAX, ActFilter, ActPage, ActsPage, RecordedAct};
pub use pricing::Preview;
pub use promise::{Failure, Promise, SUBMISSION_WAIT_MS_MAX, Submission};
#[cfg(feature = "relay")]
pub use relay::{Relay, RelayStream};
pub use search::{
    ReindexProgress, SEARCH_PAGE_LEN_MAX, Search, SearchAnswer, SearchConfig, SearchCounts, SearchFigures,
    SearchMode, SearchSource,
};
pub use shipping::ShipPackage;
pub use statement::{
    MOVEMENT_PAGE_LEN_MAX, MovementCursor, MovementPage, ParseMovementCursorError, StatementError,
};
pub use subscription::{EventStream, SubscribeError};
pub use teams::TeamView;
pub use view::{LineView, OrderPage, OrderView, PAGE_LEN_MAX, PackageView, Page, StateHash};

/// The order core of a shop: a cheap-to-clone handle.
///
/// All methods may be called from any task of any number of clones. A write is acknowledged when it is durable at
/// the configured level; what a read shows is durable at that level, too (R4). Dropping a future after its first poll
/// cancels nothing: the command takes its course.
///
/// An engine lives on the tokio runtime that it was opened on. End it with [`Engine::shutdown`]; an engine that is
/// merely dropped stops as after a crash: nothing acknowledged is lost, commands under way get `outcome_unknown`.
#[derive(Clone)]
pub struct Engine {
    inner: Arc<Inner>,
}

/// What the engine was told at the start and still needs.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    pub(crate) durability: Durability,
    pub(crate) auto_close_ms: [u32; 3],
    pub(crate) idempotency_window_ms: u64,
    pub(crate) payment_grace_ms: u64,
    pub(crate) after_sale_window_ms: u64,
    pub(crate) stock_idle_ms: u64,
    pub(crate) disk_free_min_bytes: u64,
    pub(crate) data_dir: Option<std::path::PathBuf>,
    pub(crate) tick_ms: u64,
    pub(crate) waiters_max: u32,
}

/// What recovery found, for the metrics.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct RecoveryReport {
    pub(crate) events: u64,
    pub(crate) elapsed_ms: u64,
}

pub(crate) struct Inner {
    pub(crate) settings: Settings,
    pub(crate) gate: Arc<Gate>,
    pub(crate) clock: Clock,
    pub(crate) credits: Arc<Credits>,
    pub(crate) promises: Promises,
    pub(crate) catalogue: Arc<catalogue::Catalogue>,
    pub(crate) register: Arc<Register>,
    pub(crate) activities: Arc<ActivityWorld>,
    pub(crate) activity_actor: ActorRef<Bell>,
    pub(crate) teams: Arc<TeamWorld>,
    pub(crate) team_actor: ActorRef<Bell>,
    pub(crate) stock: Arc<StockRegistry>,
    pub(crate) shared: Arc<OrderShared>,
    pub(crate) filter: RotatingFilter,
    pub(crate) orders: Vec<Arc<Inbox<OrderItem>>>,
    pub(crate) boards: Vec<Arc<OrderBoard>>,
    pub(crate) journal: JournalHandle,
    pub(crate) delay: delay::DelayHandle,
    pub(crate) door: admission::Door,
    pub(crate) recovery: RecoveryReport,
    /// Size of the journal on the disk when it was last looked at, in bytes.
    pub(crate) journal_disk_bytes: AtomicU64,
    /// The store, where there is one.
    pub(crate) store: Option<store::StoreHandle>,
    pub(crate) scans: store::Scans,
    /// Search: the index that answers, and the way in.
    pub(crate) search: search::SearchHandle,
    /// Who needs which part of the journal.
    pub(crate) holds: Arc<Holds>,
    pub(crate) backup: Arc<backup::BackupSlot>,
    /// The socket that commands come through, where there is one.
    pub(crate) control: Mutex<Option<ops::ControlServer>>,
    pub(crate) tasks: Mutex<Vec<JoinHandle<()>>>,
    /// True once the engine is shut down, for streams that wait for more.
    pub(crate) ended: watch::Sender<bool>,
    /// Lives as long as an order actor's shell.
    pub(crate) order_world: Weak<OrderWorld>,
    pub(crate) actors: Vec<ActorRef<Bell>>,
    pub(crate) supervisor: ActorRef<()>,
    #[cfg(feature = "relay")]
    pub(crate) relay: relay::RelayHandle,
}

impl Inner {
    /// The inbox of the order actor that owns a slot.
    pub(crate) fn order_inbox(&self, slot: Slot) -> &Inbox<OrderItem> {
        &self.orders[owner_of(slot, self.orders.len())]
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        // Without an orderly shutdown the actors would wait for messages for ever.
        self.gate.close();
        self.stop_control();
        #[cfg(feature = "relay")]
        self.relay.hub.abort();
        for task in self.tasks.get_mut().map(std::mem::take).unwrap_or_default() {
            task.abort();
        }
        for actor in &self.actors {
            actor.stop(None);
        }
        self.activity_actor.stop(None);
        self.team_actor.stop(None);
        self.delay.actor.stop(None);
        if let Some(store) = &self.store {
            // It may wait for an answer of an actor that has just been stopped, and would wait for ever, with the journal
            // in its hands.
            store.projector.kill();
        }
        #[cfg(feature = "search")]
        if let Some(follower) = self.search.follower() {
            follower.kill();
        }
        self.supervisor.stop_children(None);
        self.supervisor.stop(None);
    }
}

impl std::fmt::Debug for Engine {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Engine").field("journal", &self.inner.journal).finish_non_exhaustive()
    }
}
