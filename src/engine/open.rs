//! Opening: recover, wire, let callers in.

use std::hash::{BuildHasher, RandomState};
use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use ractor::{Actor, ActorCell, ActorRef};
use tokio::sync::{oneshot, watch};

use super::config::Config;
use super::recovery::{Recovered, recover};
use super::{Engine, Inner, OpenError, RecoveryReport, Settings, ticker};
use crate::actors::external::ExternalIndex;
use crate::actors::numbers::{LEASE_AHEAD_MS, NumberLease};
use crate::actors::order::actor::{OrderActor, OrderSettings, OrderShared};
use crate::actors::order::shell::{OrderBoard, OrderShell, OrderWorld, owner_of};
use crate::actors::order::slots::KeyHasher;
use crate::actors::order::{AppliedPayment, OrderItem};
use crate::actors::stock::registry::StockRegistry;
use crate::actors::stock::shell::StockWorld;
use crate::actors::supervisor::Supervisor;
use crate::journal::{
    Durability, Journal, JournalHandle, MemoryJournal, SledJournal, SledJournalOptions, WriterOptions,
};
use crate::runtime::clock::Clock;
use crate::runtime::credits::Credits;
use crate::runtime::filter::RotatingFilter;
use crate::runtime::inbox::{Bell, Inbox};
use crate::runtime::recent::RecentRefusals;
use crate::runtime::shutdown::Gate;

impl Engine {
    /// Opens the engine on its data directory, or lays out a fresh one, and recovers everything that was
    /// acknowledged.
    ///
    /// With [`Durability::Memory`] there is no data directory: the engine starts empty.
    ///
    /// # Errors
    /// [`OpenError`]: a setting outside its bounds; a directory that is in use, damaged, of a newer release, not
    /// Stockade's, or on a full disk. Nothing is repaired silently.
    ///
    /// ```
    /// use stockade::{Config, Durability, Engine};
    /// # #[tokio::main]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let dir = tempfile::tempdir()?;
    /// # let data_dir = dir.path().join("shop");
    /// let engine = Engine::open(Config::new(&data_dir)).await?;
    /// engine.shutdown().await?;
    /// # Ok(())
    /// # }
    /// ```
    pub async fn open(config: Config) -> Result<Self, OpenError> {
        config.validate()?;
        if config.durability == Durability::Memory {
            let journal = MemoryJournal::new(config.memory_journal_bytes_max);
            return Self::open_with(config, journal, None).await;
        }
        let path = config.data_dir.clone();
        let ballast_bytes = config.ballast_bytes;
        let open =
            move || SledJournal::open(&path, SledJournalOptions { ballast_bytes, ..Default::default() });
        let (journal, _report) = tokio::task::spawn_blocking(open).await.map_err(interrupted)??;
        let data_dir = Some(config.data_dir.clone());
        Self::open_with(config, journal, data_dir).await
    }

    /// Opens the engine on a journal of your own, and recovers what it holds. `config`'s data directory is not used.
    ///
    /// # Errors
    /// [`OpenError`], as for [`Engine::open`].
    ///
    /// ```
    /// use stockade::journal::MemoryJournal;
    /// use stockade::{Config, Engine};
    /// # #[tokio::main]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let journal = MemoryJournal::new(1 << 20);
    /// let engine = Engine::open_on(Config::new("unused"), journal).await?;
    /// engine.shutdown().await?;
    /// # Ok(())
    /// # }
    /// ```
    pub async fn open_on(config: Config, journal: impl Journal) -> Result<Self, OpenError> {
        config.validate()?;
        Self::open_with(config, journal, None).await
    }

    async fn open_with(
        config: Config,
        journal: impl Journal,
        data_dir: Option<PathBuf>,
    ) -> Result<Self, OpenError> {
        let clock = config.clock.clone().unwrap_or_else(|| Clock::system(config.clock_step_max_ms));
        let started_ns = clock.monotonic_ns();
        let shared = Arc::new(OrderShared {
            // Tables are seeded per process, so that nobody can aim requests at one bucket.
            hasher: KeyHasher::new(RandomState::new().hash_one(0_u64)),
            refusals: RecentRefusals::new(config.refusals_kept),
            external: ExternalIndex::default(),
            lease: NumberLease::default(),
            store: None,
        });

        let recovered = {
            let (reader, shared, now_ms) = (journal.reader(), Arc::clone(&shared), clock.now_ms());
            let (order_actors, settings) = (config.order_actors, order_settings(&config));
            let work = move || recover(&reader, order_actors, settings, &shared, now_ms);
            tokio::task::spawn_blocking(work).await.map_err(interrupted)??
        };
        clock.start_not_before(recovered.latest_at_ms);

        let gate = Arc::new(Gate::new());
        let journal = start_writer(&config, journal, &clock, &gate)?;
        let filter = RotatingFilter::new(config.request_filter_bits as u64);
        let Recovered { mut orders, stock, catalogue, numbers_until_ms, events, .. } = recovered;
        let now_ms = clock.now_ms();
        let grace_ms = config.recovery_grace_ms;
        let prepare = move || {
            std::thread::scope(|scope| {
                for actor in &mut orders {
                    let filter = &filter;
                    scope.spawn(move || {
                        actor.arm_timers(now_ms, grace_ms);
                        actor.request_hashes().for_each(|hash| filter.insert(hash));
                    });
                }
            });
            (orders, filter)
        };
        let (orders, filter) = tokio::task::spawn_blocking(prepare).await.map_err(interrupted)?;
        let unresolved: Vec<_> = orders.iter().flat_map(OrderActor::unresolved_payments).collect();
        let recovery = RecoveryReport { events, elapsed_ms: (clock.monotonic_ns() - started_ns) / 1_000_000 };

        let supervisor = spawn_supervisor(&gate).await?;
        let registry = Arc::new(StockRegistry::new(supervisor.get_cell()));
        for (key, actor) in stock {
            registry.restore(key, actor);
        }
        let credits = Arc::new(Credits::new(config.in_flight_max as u64));
        let inboxes: Vec<_> = orders.iter().map(|_| Arc::new(Inbox::new())).collect();
        registry.connect(Arc::new(StockWorld {
            orders: inboxes.clone(),
            journal: journal.clone(),
            clock: clock.clone(),
            gate: Arc::clone(&gate),
            credits: Arc::clone(&credits),
        }));
        let world = Arc::new(OrderWorld {
            orders: inboxes.clone(),
            stock: Arc::clone(&registry),
            journal: journal.clone(),
            clock: clock.clone(),
            credits: Arc::clone(&credits),
            loads: None,
        });
        let boards: Vec<_> = orders.iter().map(|_| Arc::new(OrderBoard::new())).collect();
        let actors = spawn_order_actors(orders, &world, &boards, &supervisor.get_cell()).await?;

        let inner = Arc::new(Inner {
            settings: Settings {
                auto_close_ms: config.auto_close_ms,
                idempotency_window_ms: config.idempotency_window_ms,
                stock_idle_ms: config.stock_idle_ms,
                disk_free_min_bytes: config.disk_free_min_bytes,
                data_dir,
                tick_ms: config.tick_ms,
            },
            gate,
            clock,
            credits,
            catalogue,
            stock: registry,
            shared,
            filter,
            orders: inboxes,
            boards,
            journal,
            door: Default::default(),
            recovery,
            tasks: Mutex::default(),
            ended: watch::Sender::new(false),
            order_world: Arc::downgrade(&world),
            actors,
            supervisor,
        });
        reserve_first_numbers(&inner, numbers_until_ms).await?;
        resume_payments(&inner, unresolved);
        ticker::look_at_disk(&inner);
        ticker::spawn(&inner);
        Ok(Self { inner })
    }
}

/// A blocking step that did not end. A panic in it is a bug and goes on as one.
fn interrupted(error: tokio::task::JoinError) -> OpenError {
    match error.try_into_panic() {
        Ok(panic) => std::panic::resume_unwind(panic),
        Err(_cancelled) => OpenError::Runtime,
    }
}

fn order_settings(config: &Config) -> OrderSettings {
    OrderSettings {
        payment_grace_ms: config.payment_grace_ms,
        expiry_in_flight_max: config.expiry_in_flight_max,
        waiters_max: config.waiters_max,
        retain_closed_ms: config.retain_closed_ms,
        closed_hot_max: config.idempotency_hot_max / config.order_actors,
    }
}

fn start_writer(
    config: &Config,
    journal: impl Journal,
    clock: &Clock,
    gate: &Arc<Gate>,
) -> Result<JournalHandle, OpenError> {
    let monotonic = clock.clone();
    let mut options =
        WriterOptions::new(config.durability, Box::new(move || monotonic.monotonic_ns() / 1_000_000));
    options.queue_bytes_max = config.journal_queue_bytes_max;
    let gate = Arc::clone(gate);
    options.on_poison = Box::new(move |reason| {
        gate.poison(format!("journal: {reason}"));
    });
    Ok(JournalHandle::start(journal, options)?)
}

async fn spawn_supervisor(gate: &Arc<Gate>) -> Result<ActorRef<()>, OpenError> {
    let supervisor = Supervisor::new(Arc::clone(gate));
    let spawned = Actor::spawn(None, supervisor, ()).await;
    spawned.map(|(actor, _join)| actor).map_err(|error| OpenError::Actor(error.to_string()))
}

async fn spawn_order_actors(
    orders: Vec<OrderActor>,
    world: &Arc<OrderWorld>,
    boards: &[Arc<OrderBoard>],
    supervisor: &ActorCell,
) -> Result<Vec<ActorRef<Bell>>, OpenError> {
    let mut actors = Vec::with_capacity(orders.len());
    for ((index, actor), board) in (0_u16..).zip(orders).zip(boards) {
        let shell = OrderShell::new(index, Arc::clone(world), Arc::clone(board));
        let spawned = Actor::spawn_linked(None, shell, Box::new(actor), supervisor.clone()).await;
        let (actor_ref, _join) = spawned.map_err(|error| OpenError::Actor(error.to_string()))?;
        world.orders[usize::from(index)].bind(actor_ref.clone());
        actors.push(actor_ref);
    }
    Ok(actors)
}

/// No number is given out before its range is durably reserved.
async fn reserve_first_numbers(inner: &Arc<Inner>, numbers_until_ms: u64) -> Result<(), OpenError> {
    let lease = &inner.shared.lease;
    lease.start_at(numbers_until_ms);
    let from_ms = NumberLease::number_time(inner.clock.now_ms()).max(numbers_until_ms);
    let (reserved, wait) = oneshot::channel();
    let done = Box::new(move || {
        // The opener waits for it.
        let _ = reserved.send(());
    });
    let appended = ticker::reserve_numbers(inner, from_ms + LEASE_AHEAD_MS, Some(done));
    let poisoned = || {
        let reason = inner.gate.reason().unwrap_or("the journal is closed");
        OpenError::Actor(format!("order numbers could not be reserved: {reason}"))
    };
    if !appended || wait.await.is_err() {
        return Err(poisoned());
    }
    Ok(())
}

/// Completes what was begun: payments that were recorded and not applied (R8).
fn resume_payments(inner: &Inner, unresolved: Vec<AppliedPayment>) {
    for payment in unresolved {
        let owner = owner_of(payment.order_no.slot(), inner.orders.len());
        // The inboxes are open: the engine has just been made.
        let _ = inner.orders[owner].push(OrderItem::ApplyPayment(payment));
    }
}
