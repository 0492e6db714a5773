//! The store of a simulation: the projector's stages one by one, the questions that wait for a reader, and the filling
//! of the filters. Between any two of them everything else may happen.

use std::collections::VecDeque;
use std::sync::Arc;

use tokio::sync::oneshot;

use super::world::World;
use crate::actors::order::OrderItem;
use crate::actors::order::cold::{Load, Loaded, StoreView, external_key};
use crate::actors::order::gather::{Gather, Gathered, Place};
use crate::domain::ids::{OrderNo, PaymentId, Position};
use crate::domain::order::{Order, OrderStatus};
use crate::engine::store::{Sums, Told, answer, by_owner};
use crate::journal::decode_record;
use crate::projection::levels::MemoryPages;
use crate::projection::store::{Checkpointer, StoreReader, Taken};

/// Most bytes that one step merges.
const MERGE_BYTES_MAX: u64 = 4_000;

/// How the store of one run behaves.
#[derive(Clone, Copy, Debug)]
pub(super) struct StoreTemper {
    /// Bits of each filter's generation.
    pub(super) filter_bits: u64,
    /// How likely a step fills the filters, of a hundred.
    pub(super) warm_percent: u64,
    /// How likely a commit of a process fails at some time, of a hundred.
    pub(super) fail_percent: u64,
    /// Most events of one checkpoint, about.
    pub(super) events_max: u64,
    /// Most orders of one question to an order actor.
    pub(super) gather_max: u64,
    /// How likely the latest question is answered first, of a hundred: the others wait for long.
    pub(super) latest_percent: u64,
}

/// How far a checkpoint has come.
enum Stage {
    /// None is under way.
    Idle,
    /// The order actors are asked, each for what is left.
    Gathering(Taken, Sums, Vec<Asked>),
    /// What they gave is not durable yet.
    Waiting(Taken, Sums),
    /// Committed: to be told.
    Committed(Position),
    /// Told: a piece of merging follows.
    Told,
}

/// What one order actor is asked.
struct Asked {
    left: VecDeque<OrderNo>,
    answer: Option<oneshot::Receiver<Gathered>>,
}

/// What earlier processes have stored, on its way into the filters.
enum Warming {
    /// Not looked for yet.
    Cold,
    /// Read.
    Read { requests: Vec<u64>, payments: Vec<PaymentId>, externals: Vec<u128> },
    /// The filters know it.
    Warm,
}

/// The store and its surroundings, in one incarnation of the process.
pub(super) struct StoreSeat {
    pub(super) pages: MemoryPages,
    pub(super) reader: StoreReader,
    pub(super) loads: Vec<Load>,
    view: Arc<StoreView>,
    /// Gone once it has failed.
    checkpointer: Option<Checkpointer>,
    stage: Stage,
    warming: Warming,
    /// Checkpoints that the journal may be trimmed to, oldest first.
    trims: VecDeque<Position>,
    /// Where this process began.
    opened_at: Position,
    checkpoints: u64,
}

impl StoreSeat {
    /// A store that has just been opened.
    pub(super) fn new(pages: MemoryPages, checkpointer: Checkpointer, view: Arc<StoreView>) -> Self {
        let opened_at = checkpointer.position();
        Self {
            pages,
            reader: checkpointer.reader(),
            loads: Vec::new(),
            view,
            checkpointer: Some(checkpointer),
            stage: Stage::Idle,
            warming: Warming::Cold,
            trims: VecDeque::from([opened_at]),
            opened_at,
            checkpoints: 0,
        }
    }

    /// Whether a checkpoint is under way.
    pub(super) fn is_amid_checkpoint(&self) -> bool {
        !matches!(self.stage, Stage::Idle)
    }

    /// Whether it has failed.
    pub(super) fn has_failed(&self) -> bool {
        self.checkpointer.is_none()
    }

    /// Whether the filters don't know yet what earlier processes have stored.
    pub(super) fn is_warming(&self) -> bool {
        self.view.is_warming()
    }

    /// Whether it has taken in and told everything up to `position`.
    pub(super) fn has_stored(&self, position: Position) -> bool {
        matches!(self.stage, Stage::Idle) && self.view.stored() >= position
    }

    /// What the head says about the closed orders is what there is.
    pub(super) fn check_sums(&self) {
        let head = self.reader.head().expect("the head can be read");
        let (mut sum, mut count) = (0_u64, 0);
        let load = self.reader.scan_closed(|order| {
            assert!(is_closed(&order) && order.last_position <= head.position, "R7: {order:?} is not closed");
            sum = sum.wrapping_add(order.record_hash());
            count += 1;
            true
        });
        load.expect("closed orders can be read");
        assert_eq!((head.closed_sum, head.closed_orders), (sum, count), "R7: up to {}", head.position);
    }
}

fn is_closed(order: &Order) -> bool {
    let is_closed = matches!(order.status, OrderStatus::Completed | OrderStatus::Cancelled);
    is_closed && order.refunds().iter().all(|refund| refund.state.is_over())
}

impl World {
    /// Moves the store by one stage, if there is one.
    pub(super) fn run_store(&mut self) {
        let Some(mut store) = self.process.store.take() else { return };
        let temper = self.temper.store.expect("a run with a store says how it behaves");
        if self.random.percent(temper.warm_percent) {
            self.warm(&mut store);
        }
        let mut checkpointer = store.checkpointer.take();
        if let Some(writer) = &mut checkpointer {
            let stage = std::mem::replace(&mut store.stage, Stage::Idle);
            match self.checkpoint(&mut store, writer, stage, temper) {
                Some(stage) => {
                    store.stage = stage;
                    store.checkpointer = checkpointer;
                }
                None => self.tally.failed_checkpoints += 1,
            }
        }
        self.process.store = Some(store);
    }

    /// One stage of a checkpoint; `None` where it failed, which ends all checkpoints.
    fn checkpoint(
        &mut self,
        store: &mut StoreSeat,
        writer: &mut Checkpointer,
        stage: Stage,
        temper: StoreTemper,
    ) -> Option<Stage> {
        let durable = self.log.acknowledged();
        Some(match stage {
            Stage::Idle if durable <= writer.position() => Stage::Idle,
            Stage::Idle => {
                let events_max = self.random.between(1, temper.events_max);
                let from = Position(writer.position().0 + 1);
                let frames = self.log.frames(&mut self.random, from, events_max);
                let taken = writer.take(&frames).expect("what is durable can be taken in");
                assert!(taken.up_to <= durable && taken.up_to > writer.position(), "R11");
                let touched = by_owner(&taken, self.process.orders.len());
                let asked = touched.into_iter().map(|left| Asked { left: left.into(), answer: None });
                Stage::Gathering(taken, Sums::default(), asked.collect())
            }
            Stage::Gathering(taken, mut sums, mut asked) => {
                self.gather(writer, &taken, &mut sums, &mut asked, temper);
                let is_done = asked.iter().all(|asked| asked.left.is_empty() && asked.answer.is_none());
                if is_done { Stage::Waiting(taken, sums) } else { Stage::Gathering(taken, sums, asked) }
            }
            Stage::Waiting(taken, sums) if sums.as_of > durable => Stage::Waiting(taken, sums),
            Stage::Waiting(taken, sums) => {
                writer.commit(&taken, sums.closed_sum, sums.closed_count).ok()?;
                Stage::Committed(taken.up_to)
            }
            Stage::Committed(up_to) => {
                store.view.publish(up_to);
                for seat in &mut self.process.orders {
                    seat.inbox.push_back(OrderItem::Tick);
                }
                store.checkpoints += 1;
                self.tally.checkpoints += 1;
                self.tally.second_checkpoints += u64::from(store.checkpoints == 2 && store.opened_at.0 > 0);
                if self.random.percent(80)
                    && let Some(position) = store.trims.pop_front()
                {
                    self.tally.trimmed += self.log.trim(Position(position.0 + 1));
                }
                store.trims.push_back(up_to);
                Stage::Told
            }
            Stage::Told => {
                let bytes_max = self.random.between(1, MERGE_BYTES_MAX);
                writer.merge(bytes_max as usize).ok()?;
                Stage::Idle
            }
        })
    }

    /// Asks one order actor for its next orders, or takes in what it gave.
    fn gather(
        &mut self,
        writer: &mut Checkpointer,
        taken: &Taken,
        sums: &mut Sums,
        asked: &mut [Asked],
        temper: StoreTemper,
    ) {
        let Some(index) = self.random.index(asked.len()) else { return };
        let Asked { left, answer } = &mut asked[index];
        match answer {
            Some(receiver) => {
                if let Ok(gathered) = receiver.try_recv() {
                    *answer = None;
                    self.check_gathered(&gathered, taken.up_to);
                    sums.stage(&gathered, writer);
                }
            }
            None if left.is_empty() => {}
            None => {
                let len = self.random.between(1, temper.gather_max).min(left.len() as u64) as usize;
                let (reply, receiver) = oneshot::channel();
                let gather = Gather { numbers: left.drain(..len).collect(), up_to: taken.up_to, reply };
                self.process.orders[index].inbox.push_back(OrderItem::Gather(gather));
                *answer = Some(receiver);
            }
        }
    }

    fn check_gathered(&mut self, gathered: &Gathered, up_to: Position) {
        let mut begin = 0;
        for given in &gathered.orders {
            let order: Order = decode_record(&gathered.bytes[begin..given.end]).expect("a record is whole");
            begin = given.end;
            assert_eq!(order.order_no, given.order_no);
            assert!(order.last_position <= gathered.as_of, "R5: {order:?} is ahead of {}", gathered.as_of);
            let is_complete = is_closed(&order) && order.last_position <= up_to;
            match given.place {
                Place::Closed { .. } => assert!(is_complete, "R7: not closed at {up_to}: {order:?}"),
                Place::Open { was_closed } => {
                    assert!(!is_complete, "R7: closed at {up_to}: {order:?}");
                    self.tally.reopened += u64::from(was_closed);
                }
            }
            self.tally.ahead += u64::from(order.last_position > up_to);
        }
    }

    /// Fills the filters, in two steps: what comes to be stored between them is entered by those who let it go.
    fn warm(&mut self, store: &mut StoreSeat) {
        match std::mem::replace(&mut store.warming, Warming::Warm) {
            Warming::Cold => {
                let (mut requests, mut payments, mut externals) = (Vec::new(), Vec::new(), Vec::new());
                let hasher = self.process.shared.hasher;
                let scan = store.reader.scan_requests(|member, request, _| {
                    requests.push(hasher.request(member, request));
                    true
                });
                scan.expect("requests can be read");
                let payment = |payment| {
                    payments.push(payment);
                    true
                };
                let external = |external| {
                    externals.push(external);
                    true
                };
                store.reader.scan_names(payment, external).expect("names can be read");
                store.warming = Warming::Read { requests, payments, externals };
            }
            Warming::Read { requests, payments, externals } => {
                for hash in requests {
                    self.process.filter.insert(hash);
                    store.view.add_request(hash);
                }
                payments.into_iter().for_each(|payment| store.view.add_payment(payment));
                externals.into_iter().for_each(|external| store.view.add_external(external));
                store.view.finish_warming();
                self.tally.warmed += 1;
            }
            Warming::Warm => {}
        }
    }

    /// Answers one of the questions that wait, any of them; false with none.
    pub(super) fn answer_load(&mut self) -> bool {
        let Some(store) = &mut self.process.store else { return false };
        let latest_percent = self.temper.store.map_or(0, |temper| temper.latest_percent);
        let Some(mut index) = self.random.index(store.loads.len()) else { return false };
        if self.random.percent(latest_percent) {
            index = store.loads.len() - 1;
        }
        let load = store.loads.remove(index);
        match &load {
            Load::ShowOrder { order_no, .. } => {
                let is_there = store.reader.any_order(*order_no).is_ok_and(|order| order.is_some());
                self.tally.shown_orders += u64::from(is_there);
            }
            Load::OrdersOf { .. } => self.tally.loaded_lists += 1,
            _ => {}
        }
        match answer(&store.reader, load, 0) {
            Told::Owner(slot, loaded) => {
                self.count_loaded(&loaded);
                self.push_order(slot, OrderItem::Loaded(Box::new(loaded)));
            }
            Told::Caller(answer) => {
                answer.send();
                self.hear();
            }
        }
        true
    }

    fn count_loaded(&mut self, loaded: &Loaded) {
        let tally = &mut self.tally;
        let count = match loaded {
            Loaded::Order { found: Ok(Some(_)), .. } => &mut tally.loaded_orders,
            Loaded::Submission { found: Ok(Some(_)), .. } => &mut tally.loaded_submissions,
            Loaded::Submission { external_taken: true, .. } => &mut tally.loaded_externals,
            Loaded::Recall { found: Ok(Some(_)), .. } => &mut tally.loaded_recalls,
            Loaded::Payment { found: Ok(Some(_)), .. } => &mut tally.loaded_payments,
            Loaded::OrdersOf { .. } => return,
            _ => &mut tally.loaded_nothing,
        };
        *count += 1;
    }

    /// The order with an external number, as the front door finds it: in memory or in the store.
    pub(super) fn find_external(&self, external_no: &str) -> Option<OrderNo> {
        let in_memory = self.process.shared.external.find(external_no);
        let found = in_memory.or_else(|| {
            let store = self.process.store.as_ref()?;
            store.reader.external(external_key(external_no)).expect("external numbers can be read")
        });
        if let Some(committed) = self.committed.external.get(external_no) {
            assert_eq!(found, Some(*committed), "R4: {external_no} is found");
        }
        found
    }
}
