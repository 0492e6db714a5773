//! Exporting all orders of a data directory that no engine has open.

use std::io;
use std::path::Path;
use std::sync::Arc;

use super::OpsError;
use super::stopped::Stopped;
use crate::actors::external::ExternalIndex;
use crate::actors::numbers::NumberLease;
use crate::actors::order::actor::{OrderActor, OrderShared};
use crate::actors::order::cold::StoreView;
use crate::actors::order::shell::owner_of;
use crate::actors::order::slots::KeyHasher;
use crate::domain::ids::Position;
use crate::domain::order::{Order, OrderStatus};
use crate::engine::catalogue::Catalogue;
use crate::engine::open::order_settings;
use crate::engine::recovery::{Makings, Sources, recover};
use crate::engine::{Config, OpenError, OrderView};
use crate::projection::store::StoreReader;
use crate::runtime::clock::{Clock, STEP_MAX_MS_DEFAULT};
use crate::runtime::recent::RecentRefusals;

/// Filters and tables that recovery wants and an export has no use for, as small as they may be.
const TABLE_LEN_MIN: usize = 2048;

/// Which orders.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ExportFilter {
    /// Only those that stand here.
    pub status: Option<OrderStatus>,
    /// Only those placed at or after this time, in ms since the Unix epoch.
    pub since_ms: Option<u64>,
    /// Only those placed before this time, in ms since the Unix epoch.
    pub until_ms: Option<u64>,
}

impl ExportFilter {
    fn takes(&self, order: &Order) -> bool {
        self.status.is_none_or(|status| order.status == status)
            && self.since_ms.is_none_or(|since_ms| order.created_at_ms >= since_ms)
            && self.until_ms.is_none_or(|until_ms| order.created_at_ms < until_ms)
    }
}

/// What was exported.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ExportReport {
    /// Orders that the filter let through.
    pub orders: u64,
    /// All orders that there are.
    pub orders_seen: u64,
    /// The position of the journal that they are as of.
    pub position: Position,
}

/// Calls `each` with every order that the filter lets through, as it stands at the journal's end: first those that were
/// closed at the store's position, those in cold files among them, by slot and number, then all others.
///
/// Closed orders are read one by one, with one block of each cold file in memory, about 64 KiB. Open ones are recovered
/// as a start would, and take the memory that they take in an engine; so do all orders of a directory without a store.
///
/// # Errors
/// [`OpsError::InUse`], a directory that can't be opened or read, and [`OpsError::Output`] with the first error of `each`,
/// which is not called again after it.
///
/// ```
/// # use stockade::{Config, Engine, SubmitOrder, ops};
/// # #[tokio::main]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let dir = tempfile::tempdir()?;
/// # let data = dir.path().join("shop");
/// # let copy = dir.path().join("copy");
/// # let engine = Engine::open(Config::new(&data).ballast_bytes(0)).await?;
/// # stockade::examples::stock_tea(&engine, 10).await?;
/// engine.submit(SubmitOrder::one_line(7, 1001, 42, 1)).await?;
/// engine.backup(&copy).await?;
///
/// let mut members = Vec::new();
/// let report = ops::export(&copy, &ops::ExportFilter::default(), |order| {
///     members.push(order.member_id);
///     Ok(())
/// })?;
/// assert_eq!((report.orders, members), (1, vec![7.into()]));
/// # engine.shutdown().await?;
/// # Ok(())
/// # }
/// ```
pub fn export(
    dir: &Path,
    filter: &ExportFilter,
    mut each: impl FnMut(&OrderView) -> io::Result<()>,
) -> Result<ExportReport, OpsError> {
    let stopped = Stopped::open(dir)?;
    let sources = Sources { journal: Arc::clone(&stopped.journal), store: stopped.store.clone() };
    let makings = makings(dir, stopped.store.as_ref())?;
    let recovered = recover(&sources, &makings)?;
    let mut output = Output {
        filter,
        catalogue: &recovered.catalogue,
        shown: sources.journal.last(),
        each: &mut each,
        orders: 0,
        orders_seen: 0,
        failed: None,
    };
    if let Some(store) = &stopped.store {
        let scanned = store.scan_closed(|order| {
            let owner = &recovered.orders[owner_of(order.order_no.slot(), makings.order_actors)];
            // The journal's end has changed it: it is among the others.
            owner.holds(order.order_no) || output.take(order)
        });
        scanned.map_err(OpenError::from)?;
    }
    for order in recovered.orders.iter().flat_map(OrderActor::held) {
        if !output.take(order.clone()) {
            break;
        }
    }
    match output.failed {
        Some(error) => Err(OpsError::Output(error)),
        None => Ok(ExportReport {
            orders: output.orders,
            orders_seen: output.orders_seen,
            position: sources.journal.last(),
        }),
    }
}

struct Output<'o> {
    filter: &'o ExportFilter,
    catalogue: &'o Catalogue,
    shown: Position,
    each: &'o mut dyn FnMut(&OrderView) -> io::Result<()>,
    orders: u64,
    orders_seen: u64,
    failed: Option<io::Error>,
}

impl Output<'_> {
    /// Whether to go on.
    fn take(&mut self, order: Order) -> bool {
        self.orders_seen += 1;
        if self.failed.is_none() && self.filter.takes(&order) {
            self.orders += 1;
            self.failed = (self.each)(&OrderView::new(order, self.catalogue, self.shown)).err();
        }
        self.failed.is_none()
    }
}

/// Order actors that only recover.
fn makings(dir: &Path, store: Option<&StoreReader>) -> Result<Makings, OpsError> {
    let config = Config::new(dir);
    let head = store.map(StoreReader::head).transpose().map_err(OpenError::from)?;
    let view = head.map(|head| Arc::new(StoreView::new(head.position, TABLE_LEN_MIN as u64, 0)));
    let shared = OrderShared {
        hasher: KeyHasher::new(0),
        refusals: RecentRefusals::new(TABLE_LEN_MIN),
        external: ExternalIndex::default(),
        lease: NumberLease::default(),
        teams: Default::default(),
        store: view,
    };
    Ok(Makings {
        order_actors: config.order_actors,
        settings: order_settings(&config),
        shared: Arc::new(shared),
        now_ms: Clock::system(STEP_MAX_MS_DEFAULT).now_ms(),
    })
}
