//! The relay's wiring: where its book is, and how it asks the engine about orders.

use std::fs::{self, DirBuilder};
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::Path;
use std::sync::{Arc, OnceLock, Weak};

use crate::actors::order::{OrderItem, Query};
use crate::domain::catalogue::Sku;
use crate::domain::ids::{OrderNo, Position, SkuId};
use crate::domain::order::Order;
use crate::domain::reject::Reject;
use crate::domain::request::Caller;
use crate::engine::{Config, Inner, OpenError};
use crate::journal::{Holds, JournalHandle, layout};
use crate::projection::levels::{MemoryPages, PageStore, SledPages};
use crate::relay::message::Lookup;
use crate::relay::{Hub, Orders, Parts, RelayConfig, RelayError, SinkSpec};
use crate::runtime::clock::Clock;

/// Memory for the cache of the book's database, in bytes.
const CACHE_BYTES: u64 = 8 << 20;

/// The relay of an engine.
#[derive(Debug)]
pub(crate) struct RelayHandle {
    pub(in crate::engine) hub: Arc<Hub>,
    orders: Arc<EngineOrders>,
}

/// Checks the subscriptions of a configuration.
pub(in crate::engine) fn check(config: &Config) -> Result<(), OpenError> {
    config.relay.validate().map_err(OpenError::Relay)?;
    for (name, spec) in &config.relay.subscriptions {
        if let SinkSpec::Program { sink } = &spec.sink
            && !config.relay_sinks.0.contains_key(sink)
        {
            let field = format!("{name}.sink.sink");
            let reason = format!("the program has handed in no sink {sink}");
            return Err(OpenError::Relay(RelayError::Invalid { field, reason }));
        }
    }
    Ok(())
}

impl RelayHandle {
    /// Opens the relay; from here on the journal is kept for its subscriptions.
    ///
    /// # Errors
    /// [`OpenError::Runtime`]. What the relay itself can't do keeps no engine from opening.
    pub(in crate::engine) async fn open(
        config: &Config,
        data_dir: Option<&Path>,
        (journal, holds): (&JournalHandle, &Arc<Holds>),
        clock: &Clock,
    ) -> Result<Self, OpenError> {
        let dir = data_dir.map(|data_dir| data_dir.join(layout::RELAY_DIR));
        let has_book = dir.as_ref().is_some_and(|dir| dir.exists());
        let orders = Arc::new(EngineOrders::default());
        let parts = Parts {
            journal: journal.clone(),
            holds: Arc::clone(holds),
            clock: clock.clone(),
            orders: Arc::clone(&orders) as Arc<dyn Orders>,
            sinks: config.relay_sinks.clone(),
            open_store: Box::new(move || open_store(dir.as_deref())),
        };
        let opened = tokio::task::spawn_blocking(move || Hub::open(parts, has_book)).await;
        let hub = opened.map_err(|_ended_early| OpenError::Runtime)?;
        Ok(Self { hub: Arc::new(hub), orders })
    }

    /// Lets subscriptions work.
    pub(in crate::engine) async fn start(&self, engine: &Arc<Inner>, config: &RelayConfig) {
        // Bound once, when the engine is opened.
        let _ = self.orders.engine.set(Arc::downgrade(engine));
        self.hub.start(config).await;
    }
}

/// The book's store: on the disk beside the journal, or in memory where the journal is.
fn open_store(dir: Option<&Path>) -> Result<Box<dyn PageStore>, String> {
    let Some(dir) = dir else { return Ok(Box::new(MemoryPages::default())) };
    let io = |error: std::io::Error| format!("{}: {error}", dir.display());
    if !dir.exists() {
        DirBuilder::new().mode(0o700).create(dir).map_err(io)?;
    }
    // It holds passwords and signing keys.
    fs::set_permissions(dir, fs::Permissions::from_mode(0o700)).map_err(io)?;
    let pages = SledPages::open(dir, CACHE_BYTES).map_err(|error| error.to_string())?;
    Ok(Box::new(pages))
}

/// Asks the engine, once there is one and while there is.
#[derive(Debug, Default)]
struct EngineOrders {
    engine: OnceLock<Weak<Inner>>,
}

impl EngineOrders {
    fn engine(&self) -> Option<Arc<Inner>> {
        self.engine.get().and_then(Weak::upgrade)
    }
}

impl Orders for EngineOrders {
    fn order(&self, order_no: OrderNo) -> Lookup<'_, Option<Order>> {
        Box::pin(async move {
            let engine = self.engine().ok_or(Reject::Unavailable)?;
            let asked = engine.read(1, |engine, reply| {
                let query = Query::Order { order_no, caller: Caller::Operator, reply };
                // A closed inbox gives the question back; dropping it answers.
                drop(engine.order_inbox(order_no.slot()).push(OrderItem::Query(query)));
            });
            match asked.await {
                Ok(order) => Ok(Some(order)),
                Err(Reject::OrderNotFound) => Ok(None),
                Err(other) => Err(other),
            }
        })
    }

    fn sku(&self, sku: SkuId, revision: u32) -> Option<Arc<Sku>> {
        let engine = self.engine()?;
        let as_of = engine.catalogue.revision(sku, revision);
        as_of.or_else(|| engine.catalogue.current(sku, Position(u64::MAX)))
    }
}
