//! Threads that answer the order actors' questions to the store.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread;

use crossbeam::channel::{Receiver, Sender, unbounded};

use super::answers::readable;
use super::board::StoreBoard;
use super::{Told, answer};
use crate::actors::answers::send_all;
use crate::actors::order::OrderItem;
use crate::actors::order::cold::{Load, external_key};
use crate::actors::order::shell::owner_of;
use crate::domain::ids::{ORDER_NO_EPOCH_MS, OrderNo};
use crate::domain::reject::Reject;
use crate::engine::Inner;
use crate::projection::store::StoreReader;
use crate::runtime::clock::Clock;
use crate::runtime::credits::Credits;
use crate::runtime::inbox::Inbox;

/// How many threads read. The disk's latency is what they wait for.
const THREADS: usize = 2;
/// Order numbers may be this far behind the clock, in ms.
const NUMBER_SLACK_MS: u64 = 60_000;

/// What the readers work with.
pub(crate) struct ReadersWorld {
    pub(crate) store: StoreReader,
    pub(crate) orders: Vec<Arc<Inbox<OrderItem>>>,
    pub(crate) credits: Arc<Credits>,
    pub(crate) board: Arc<StoreBoard>,
    pub(crate) clock: Clock,
    pub(crate) idempotency_window_ms: u64,
}

/// The way to the readers. They end with the last sender.
pub(crate) struct Readers;

impl Readers {
    /// A channel to readers that are started later.
    pub(crate) fn channel() -> (Sender<Load>, Receiver<Load>) {
        // Every question belongs to a command with a credit, so credits bound it.
        unbounded()
    }

    /// Starts the threads.
    ///
    /// # Errors
    /// Where no thread can be started.
    pub(crate) fn start(world: ReadersWorld, loads: &Receiver<Load>) -> std::io::Result<()> {
        let world = Arc::new(world);
        for index in 0..THREADS {
            let (world, loads) = (Arc::clone(&world), loads.clone());
            thread::Builder::new().name(format!("store-{index}")).spawn(move || {
                for load in loads {
                    world.board.reads.fetch_add(1, Ordering::Relaxed);
                    world.answer(load);
                }
            })?;
        }
        Ok(())
    }
}

impl ReadersWorld {
    fn answer(&self, load: Load) {
        let window_ms = self.idempotency_window_ms.saturating_add(NUMBER_SLACK_MS);
        let since_ms = self.clock.now_ms().saturating_sub(window_ms).saturating_sub(ORDER_NO_EPOCH_MS);
        match answer(&self.store, load, since_ms) {
            Told::Caller(answer) => send_all([answer], &self.credits),
            Told::Owner(slot, loaded) => {
                let inbox = &self.orders[owner_of(slot, self.orders.len())];
                // A closed inbox belongs to a closed engine: dropping the answer lets its callers go.
                let _ = inbox.push(OrderItem::Loaded(Box::new(loaded)));
            }
        }
    }
}

impl Inner {
    /// The number of the order with an external number, in memory or in the store.
    pub(crate) async fn find_external(&self, external_no: &str) -> Result<OrderNo, Reject> {
        if let Some(order_no) = self.shared.external.find(external_no) {
            return Ok(order_no);
        }
        let Some(store) = &self.store else { return Err(Reject::OrderNotFound) };
        let (reader, external) = (store.reader.clone(), external_key(external_no));
        let found = tokio::task::spawn_blocking(move || readable(reader.external(external))).await;
        found.unwrap_or(Err(Reject::Unavailable))?.ok_or(Reject::OrderNotFound)
    }
}
