//! Opening: recover, wire, let callers in.

use std::hash::{BuildHasher, RandomState};
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use crossbeam::channel::Receiver;
use ractor::{Actor, ActorCell, ActorRef};
use tokio::sync::{oneshot, watch};

use super::config::Config;
use super::delay::DelayHandle;
use super::recovery::{Makings, Recovered, Sources, recover};
use super::search::SearchHandle;
#[cfg(feature = "search")]
use super::search::follow;
use super::store::{Projector, ProjectorWorld, Readers, ReadersWorld, StoreBoard, StoreHandle, warm};
use super::{Engine, Inner, OpenError, RecoveryReport, Settings, ops, ticker};
use crate::actors::activity::ActivityWork;
use crate::actors::activity::shell::{ActivityShell, ActivityWorld};
use crate::actors::external::ExternalIndex;
use crate::actors::numbers::{LEASE_AHEAD_MS, NumberLease};
use crate::actors::order::actor::{OrderActor, OrderSettings, OrderShared};
use crate::actors::order::cold::{Load, StoreView};
use crate::actors::order::shell::{NO_DEADLINE, OrderBoard, OrderShell, OrderWorld, owner_of};
use crate::actors::order::slots::KeyHasher;
use crate::actors::order::{AppliedPayment, OrderItem};
use crate::actors::promise::Promises;
use crate::actors::stock::registry::StockRegistry;
use crate::actors::stock::shell::StockWorld;
use crate::actors::supervisor::Supervisor;
use crate::actors::team::actor::TeamActor;
use crate::actors::team::index::TeamIndex;
use crate::actors::team::shell::{TeamShell, TeamWorld};
use crate::journal::{
    Durability, Holds, Journal, JournalHandle, MemoryJournal, SledJournal, SledJournalOptions, WriterOptions,
    layout,
};
use crate::projection::levels::{PageStore, SledPages};
use crate::projection::store::{Archive, Checkpointer};
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
        #[cfg(feature = "relay")]
        super::relay::check(&config)?;
        if config.durability == Durability::Memory {
            let journal = MemoryJournal::new(config.memory_journal_bytes_max);
            return Self::open_with(config, journal, None, None).await;
        }
        let path = config.data_dir.clone();
        let (ballast_bytes, cache_bytes, with_store) =
            (config.ballast_bytes, config.store_cache_bytes, config.store);
        let open = move || {
            let options = SledJournalOptions { ballast_bytes, ..Default::default() };
            let (mut journal, report) = SledJournal::open(&path, options)?;
            if !with_store {
                return Ok((journal, None));
            }
            if report.format < layout::DATA_FORMAT {
                // Before there is a store: an older release would not know that it belongs to the journal.
                tracing::info!(
                    from = report.format,
                    to = layout::DATA_FORMAT,
                    "the data directory's format is upgraded"
                );
                journal.upgrade_format()?;
            }
            let store = SledPages::open(&path.join(layout::STORE_DIR), cache_bytes)?;
            Ok::<_, OpenError>((journal, Some(Box::new(store) as Box<dyn PageStore>)))
        };
        let (journal, store) = tokio::task::spawn_blocking(open).await.map_err(interrupted)??;
        let data_dir = Some(config.data_dir.clone());
        Self::open_with(config, journal, store, data_dir).await
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
        #[cfg(feature = "relay")]
        super::relay::check(&config)?;
        Self::open_with(config, journal, None, None).await
    }

    /// Opens the engine on a journal and a store of any kind.
    pub(super) async fn open_with(
        config: Config,
        journal: impl Journal,
        store: Option<Box<dyn PageStore>>,
        data_dir: Option<PathBuf>,
    ) -> Result<Self, OpenError> {
        let clock = config.clock.clone().unwrap_or_else(|| Clock::system(config.clock_step_max_ms));
        let started_ns = clock.monotonic_ns();
        let archive_dir = data_dir.as_ref().map(|dir| dir.join(layout::ARCHIVE_DIR));
        let open_store = move || {
            let archive = archive_dir.map(|dir| Archive::open(&dir)).transpose()?.map(Arc::new);
            store.map(|pages| Checkpointer::open(pages, archive)).transpose()
        };
        let checkpointer = tokio::task::spawn_blocking(open_store).await.map_err(interrupted)??;
        let view = checkpointer.as_ref().map(|store| {
            let names_seed = RandomState::new().hash_one(1_u64);
            Arc::new(StoreView::new(store.position(), config.request_filter_bits as u64, names_seed))
        });
        let shared = Arc::new(OrderShared {
            // Tables are seeded per process, so that nobody can aim requests at one bucket.
            hasher: KeyHasher::new(RandomState::new().hash_one(0_u64)),
            refusals: RecentRefusals::new(config.refusals_kept),
            external: ExternalIndex::default(),
            lease: NumberLease::default(),
            teams: TeamIndex::default(),
            store: view.clone(),
        });

        let recovered = {
            let store = checkpointer.as_ref().map(Checkpointer::reader);
            let sources = Sources { journal: journal.reader(), store };
            let makings = Makings {
                order_actors: config.order_actors,
                settings: order_settings(&config),
                shared: Arc::clone(&shared),
                now_ms: clock.now_ms(),
            };
            let work = move || recover(&sources, &makings);
            tokio::task::spawn_blocking(work).await.map_err(interrupted)??
        };
        clock.start_not_before(recovered.latest_at_ms);

        let gate = Arc::new(Gate::new());
        let journal = start_writer(&config, journal, &clock, &gate)?;
        let filter = RotatingFilter::new(config.request_filter_bits as u64);
        let Recovered {
            mut orders,
            stock,
            catalogue,
            register,
            mut teams,
            tasks,
            numbers_until_ms,
            events,
            ..
        } = recovered;
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
        let mut unresolved: Vec<_> = orders.iter().flat_map(OrderActor::unresolved_payments).collect();
        unresolved.extend(orders.iter().flat_map(OrderActor::unpaid_for_nothing));
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
            registry: Default::default(),
        }));
        let loads = view.as_ref().map(|_| Readers::channel());
        let team_inbox = Arc::new(Inbox::new());
        let world = Arc::new(OrderWorld {
            orders: inboxes.clone(),
            stock: Arc::clone(&registry),
            journal: journal.clone(),
            clock: clock.clone(),
            credits: Arc::clone(&credits),
            loads: loads.as_ref().map(|(sender, _)| sender.clone()),
            teams: Arc::clone(&team_inbox),
        });
        // Before the actors run: money that was received is applied before any timer fires (R10).
        resume_payments(&inboxes, unresolved);
        let boards: Vec<_> = orders.iter().map(|_| Arc::new(OrderBoard::new())).collect();
        let actors = spawn_order_actors(orders, &world, &boards, &supervisor.get_cell()).await?;

        let team_world = Arc::new(TeamWorld {
            inbox: team_inbox,
            next_due_ms: AtomicU64::new(NO_DEADLINE),
            orders: inboxes.clone(),
            journal: journal.clone(),
            clock: clock.clone(),
            credits: Arc::clone(&credits),
        });
        teams.grant_grace(now_ms, grace_ms);
        let teams = TeamActor::new(teams, Arc::clone(&shared));
        let team_actor = spawn_team_actor(&team_world, teams, &supervisor.get_cell()).await?;
        let register = Arc::new(register);
        let activities = Arc::new(ActivityWorld {
            inbox: Arc::new(Inbox::new()),
            next_end_ms: AtomicU64::new(NO_DEADLINE),
            register: Arc::clone(&register),
            stock: Arc::clone(&registry),
            teams: Arc::clone(&team_world.inbox),
            journal: journal.clone(),
            clock: clock.clone(),
        });
        let activity_actor = spawn_activity_actor(&activities, &supervisor.get_cell()).await?;
        let around = (&journal, &clock, &credits);
        let delay = DelayHandle::start(&config, tasks, around, supervisor.get_cell()).await?;

        let holds = Arc::new(Holds::default());
        holds.begin_at(journal.reader().first());
        holds.note_written(journal.durable(), 0);
        // Before the store, which has the journal trimmed.
        #[cfg(feature = "relay")]
        let relay =
            super::relay::RelayHandle::open(&config, data_dir.as_deref(), (&journal, &holds), &clock).await?;
        let store = match (checkpointer, view, &loads) {
            (Some(checkpointer), Some(view), Some((_, loads))) => {
                let parts = StoreParts { checkpointer, view, loads, inboxes: &inboxes, credits: &credits };
                Some(start_store(&config, parts, (&journal, &holds), &clock).await?)
            }
            _ => None,
        };
        let control_socket = config.control_socket;
        #[cfg(feature = "relay")]
        let subscriptions = config.relay;
        let catalogue = Arc::new(catalogue);
        let search = SearchHandle::new(config.search);
        #[cfg(feature = "search")]
        if let (Some(store), Some(dir)) = (&store, &data_dir) {
            let space = (dir.as_path(), config.disk_free_min_bytes);
            follow::start(&search, store, (&journal, &holds), &catalogue, space).await?;
        }
        let inner = Arc::new(Inner {
            store,
            settings: Settings {
                durability: config.durability,
                auto_close_ms: config.auto_close_ms,
                idempotency_window_ms: config.idempotency_window_ms,
                payment_grace_ms: config.payment_grace_ms,
                after_sale_window_ms: config.after_sale_window_ms,
                stock_idle_ms: config.stock_idle_ms,
                disk_free_min_bytes: config.disk_free_min_bytes,
                data_dir,
                tick_ms: config.tick_ms,
                waiters_max: config.waiters_max as u32,
            },
            gate,
            clock,
            credits,
            promises: Promises::new(config.promises_max),
            catalogue,
            register,
            activities,
            teams: team_world,
            team_actor,
            activity_actor,
            stock: registry,
            shared,
            filter,
            orders: inboxes,
            boards,
            journal,
            delay,
            door: Default::default(),
            recovery,
            journal_disk_bytes: Default::default(),
            scans: Default::default(),
            search,
            holds,
            backup: Default::default(),
            control: Mutex::default(),
            tasks: Mutex::default(),
            ended: watch::Sender::new(false),
            order_world: Arc::downgrade(&world),
            actors,
            supervisor,
            #[cfg(feature = "relay")]
            relay,
        });
        reserve_first_numbers(&inner, numbers_until_ms).await?;
        resume_activities(&inner);
        ticker::look_at_disk(&inner);
        ticker::spawn(&inner);
        if control_socket {
            ops::serve(&inner);
        }
        if let Some(store) = &inner.store {
            let (engine, reader) = (Arc::downgrade(&inner), store.reader.clone());
            let window_ms = inner.settings.idempotency_window_ms;
            let warming = tokio::task::spawn_blocking(move || warm(&engine, &reader, window_ms));
            *store.warming.lock().unwrap_or_else(PoisonError::into_inner) = Some(warming);
        }
        #[cfg(feature = "relay")]
        inner.relay.start(&inner, &subscriptions).await;
        Ok(Self { inner })
    }
}

/// What the store's side of the engine is made of.
struct StoreParts<'p> {
    checkpointer: Checkpointer,
    view: Arc<StoreView>,
    loads: &'p Receiver<Load>,
    inboxes: &'p [Arc<Inbox<OrderItem>>],
    credits: &'p Arc<Credits>,
}

/// Starts the readers and the projector.
async fn start_store(
    config: &Config,
    parts: StoreParts<'_>,
    (journal, holds): (&JournalHandle, &Arc<Holds>),
    clock: &Clock,
) -> Result<StoreHandle, OpenError> {
    let StoreParts { checkpointer, view, loads, inboxes, credits } = parts;
    let board = Arc::new(StoreBoard::default());
    board.up_to_date_at_ms.store(clock.now_ms(), Ordering::Relaxed);
    let reader = checkpointer.reader();
    let readers = ReadersWorld {
        store: reader.clone(),
        orders: inboxes.to_vec(),
        credits: Arc::clone(credits),
        board: Arc::clone(&board),
        clock: clock.clone(),
        idempotency_window_ms: config.idempotency_window_ms,
    };
    Readers::start(readers, loads).map_err(|error| OpenError::Actor(error.to_string()))?;
    let world = Arc::new(ProjectorWorld {
        journal: journal.clone(),
        orders: inboxes.to_vec(),
        view,
        board: Arc::clone(&board),
        clock: clock.clone(),
        events_max: config.checkpoint_events_max,
        journal_keep_min_bytes: config.journal_keep_min_bytes,
        payment_window_ms: config.payment_window_ms,
        archive_after_ms: config.archive_after_ms,
        called: Default::default(),
        holds: Arc::clone(holds),
        tap: Default::default(),
    });
    // Not under the engine's supervisor: when the store fails, orders go on.
    let spawned = Actor::spawn(None, Projector::new(Arc::clone(&world)), checkpointer).await;
    let (projector, ended) = spawned.map_err(|error| OpenError::Actor(error.to_string()))?;
    let failed = Arc::clone(&board);
    tokio::spawn(async move {
        if let Err(error) = ended.await {
            failed.fail(format!("its actor ended: {error}"));
        }
    });
    Ok(StoreHandle {
        projector,
        world,
        board,
        reader,
        interval_ms: config.checkpoint_interval_ms,
        warming: Mutex::default(),
    })
}

/// A blocking step that did not end. A panic in it is a bug and goes on as one.
fn interrupted(error: tokio::task::JoinError) -> OpenError {
    match error.try_into_panic() {
        Ok(panic) => std::panic::resume_unwind(panic),
        Err(_cancelled) => OpenError::Runtime,
    }
}

pub(super) fn order_settings(config: &Config) -> OrderSettings {
    OrderSettings {
        payment_grace_ms: config.payment_grace_ms,
        expiry_in_flight_max: config.expiry_in_flight_max,
        waiters_max: config.waiters_max,
        retain_closed_ms: config.retain_closed_ms,
        closed_hot_max: config.idempotency_hot_max / config.order_actors,
        auto_confirm_ms: config.auto_confirm_ms,
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
    let measured = clock.clone();
    options.monotonic_us = Some(Arc::new(move || measured.monotonic_ns() / 1_000));
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

async fn spawn_team_actor(
    world: &Arc<TeamWorld>,
    teams: TeamActor,
    supervisor: &ActorCell,
) -> Result<ActorRef<Bell>, OpenError> {
    let shell = TeamShell::new(Arc::clone(world));
    let spawned = Actor::spawn_linked(None, shell, Box::new(teams), supervisor.clone()).await;
    let (actor, _join) = spawned.map_err(|error| OpenError::Actor(error.to_string()))?;
    world.inbox.bind(actor.clone());
    Ok(actor)
}

async fn spawn_activity_actor(
    world: &Arc<ActivityWorld>,
    supervisor: &ActorCell,
) -> Result<ActorRef<Bell>, OpenError> {
    let shell = ActivityShell::new(Arc::clone(world));
    let spawned = Actor::spawn_linked(None, shell, (), supervisor.clone()).await;
    let (actor, _join) = spawned.map_err(|error| OpenError::Actor(error.to_string()))?;
    world.inbox.bind(actor.clone());
    Ok(actor)
}

/// Arms the timers of all activities, and completes the ends of those that are over.
fn resume_activities(inner: &Inner) {
    for activity in inner.register.activities() {
        // The inbox is open: the engine has just been made.
        let _ = inner.activities.inbox.push(ActivityWork::Look(activity.id));
    }
}

/// Completes what was begun: payments that were recorded and not applied (R8).
fn resume_payments(orders: &[Arc<Inbox<OrderItem>>], unresolved: Vec<AppliedPayment>) {
    for payment in unresolved {
        let owner = owner_of(payment.order_no.slot(), orders.len());
        // The inboxes are open: the engine is just being made.
        let _ = orders[owner].push(OrderItem::ApplyPayment(payment));
    }
}
