//! Threads that answer the order actors' questions to the store.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread;

use crossbeam::channel::{Receiver, Sender, unbounded};

use super::board::StoreBoard;
use crate::actors::order::OrderItem;
use crate::actors::order::cold::{Load, Loaded, external_key};
use crate::actors::order::shell::owner_of;
use crate::actors::reply::Answer;
use crate::actors::stock::shell::send_all;
use crate::domain::ids::{MemberId, ORDER_NO_EPOCH_MS, OrderNo, RequestId, Slot};
use crate::domain::order::Order;
use crate::domain::reject::Reject;
use crate::engine::Inner;
use crate::projection::levels::StoreError;
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
        match load {
            Load::Order { order_no } => {
                let found = readable(self.store.order(order_no));
                self.tell(order_no.slot(), Loaded::Order { order_no, found });
            }
            Load::ShowOrder { order_no, caller, reply } => {
                let order = readable(self.store.order(order_no)).and_then(|order| {
                    // R14: another member's order answers exactly as one that does not exist.
                    order.filter(|order| caller.may_see(order.member_id)).ok_or(Reject::OrderNotFound)
                });
                send_all([Answer::to(reply, order)], &self.credits);
            }
            Load::OrdersOf { member, before, len_max, hot, reply } => {
                let orders = readable(self.store.orders_of(member, before, len_max, hot));
                self.tell(Slot::of_member(member), Loaded::OrdersOf { orders, reply });
            }
            Load::Submission { collect, member, request, external } => {
                let found = self.request(member, request);
                let (found, external_taken) = match self.owner_of_external(external) {
                    // Placed by this very request, however long ago: an import's number is its identity.
                    Ok(Some((_, Some(order))))
                        if (order.member_id, order.request_id) == (member, request) =>
                    {
                        (Ok(Some(order)), true)
                    }
                    Ok(owner) => (found, owner.is_some()),
                    Err(reject) => (Err(reject), false),
                };
                self.tell(Slot::of_member(member), Loaded::Submission { collect, found, external_taken });
            }
            Load::Recall { recall, reply } => {
                let (member, request) = (recall.member_id, recall.request_id);
                let found = self.request(member, request);
                self.tell(Slot::of_member(member), Loaded::Recall { recall, reply, found });
            }
            Load::Payment { payment } => {
                let found = readable(self.store.payment(payment));
                self.tell(payment.slot(), Loaded::Payment { payment, found });
            }
        }
    }

    /// The number of the order that has an external number, and the order itself if it is closed.
    fn owner_of_external(&self, external: Option<u128>) -> Result<Option<(OrderNo, Option<Order>)>, Reject> {
        let Some(external) = external else { return Ok(None) };
        let Some(order_no) = readable(self.store.external(external))? else { return Ok(None) };
        Ok(Some((order_no, readable(self.store.order(order_no))?)))
    }

    fn request(&self, member: MemberId, request: RequestId) -> Result<Option<Order>, Reject> {
        let window_ms = self.idempotency_window_ms.saturating_add(NUMBER_SLACK_MS);
        let since_ms = self.clock.now_ms().saturating_sub(window_ms).saturating_sub(ORDER_NO_EPOCH_MS);
        readable(self.store.request(member, request, since_ms))
    }

    fn tell(&self, slot: Slot, loaded: Loaded) {
        let inbox = &self.orders[owner_of(slot, self.orders.len())];
        // A closed inbox belongs to a closed engine: dropping the answer lets its callers go.
        let _ = inbox.push(OrderItem::Loaded(Box::new(loaded)));
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

fn readable<T>(result: Result<T, StoreError>) -> Result<T, Reject> {
    result.map_err(|error| {
        tracing::error!(%error, "the store can't be read");
        Reject::Unavailable
    })
}
