//! All subscriptions of an engine: made, changed, found, ended.
//!
//! What the relay keeps is opened when it is first needed: an engine without subscriptions has no folder for them.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinHandle;

use super::board::Board;
use super::book::{Book, Changes, Stored, StoredState, SubscriptionRecord};
use super::check::SUBSCRIPTIONS_MAX;
use super::error::RelayError;
use super::message::{Message, Orders};
use super::pull::{self, POLL_LEN_MAX, POLL_WAIT_MS_MAX, PullState};
use super::spec::{RelayConfig, Secret, SinkSpec, Start, SubscriptionSpec};
use super::status::{DeadPage, DeadRelayed, SubscriptionStatus};
use super::task::{Answer, Command, hold_start, supervise};
use super::world::{ProgramSinks, World, holder};
use crate::domain::ids::Position;
use crate::journal::{Holds, JournalHandle};
use crate::projection::levels::PageStore;
use crate::runtime::clock::Clock;

/// Commands that wait for one subscription; a further one waits outside.
const COMMANDS: usize = 16;
/// Most dead letters that one page gives.
const LETTERS_LEN_MAX: usize = 1_000;
/// Size of their bodies, in bytes; one more at most.
const LETTERS_BYTES_MAX: usize = 8 << 20;
/// Looks, 1 ms apart, at whether everybody has let go of the relay's world.
const HOLDER_LOOKS_MAX: usize = 5_000;
const LOOK_EVERY: Duration = Duration::from_millis(1);
/// Who holds the journal while nobody knows what subscriptions need.
const UNKNOWN_HOLDER: &str = "relay";

/// Opens what the relay keeps its book in. Blocks.
pub(crate) type OpenStore = Box<dyn Fn() -> Result<Box<dyn PageStore>, String> + Send + Sync>;

/// What a relay works with.
pub(crate) struct Parts {
    pub(crate) journal: JournalHandle,
    pub(crate) holds: Arc<Holds>,
    pub(crate) clock: Clock,
    pub(crate) orders: Arc<dyn Orders>,
    pub(crate) sinks: ProgramSinks,
    pub(crate) open_store: OpenStore,
}

/// Where the relay is in its life.
enum Phase {
    /// There has been no subscription yet.
    Idle(Arc<Parts>),
    /// It works.
    Open(Arc<World>),
    /// What it keeps can't be read.
    Failed(RelayError),
    /// The engine is closed.
    Closed,
}

/// A subscription as others see it.
pub(super) struct Subscription {
    pub(super) name: String,
    pub(super) board: Arc<Board>,
    commands: mpsc::Sender<Command>,
    pub(super) pull: tokio::sync::Mutex<PullState>,
    task: JoinHandle<()>,
}

impl Subscription {
    pub(super) async fn send(&self, command: Command) -> Result<(), RelayError> {
        self.commands.send(command).await.map_err(|_ended| RelayError::Off)
    }

    /// Tells it to do something, and waits for its answer.
    async fn ask<T>(&self, command: impl FnOnce(Answer<T>) -> Command) -> Result<T, RelayError> {
        let (answer, answered) = oneshot::channel();
        self.send(command(answer)).await?;
        // Whoever panics over a command has not answered it.
        answered.await.unwrap_or_else(|_dropped| {
            let reason = self.board.stopped().unwrap_or_else(|| "it has ended".to_owned());
            Err(RelayError::Stopped { name: self.name.clone(), reason })
        })
    }
}

/// All subscriptions.
pub(crate) struct Hub {
    phase: Mutex<Phase>,
    subscriptions: RwLock<BTreeMap<String, Arc<Subscription>>>,
    /// Subscriptions are made, changed and ended one at a time.
    changing: tokio::sync::Mutex<()>,
    closed: watch::Sender<bool>,
    /// The engine's: whoever makes a subscription may be on another one, which others keep busy or which ends earlier.
    runtime: Handle,
}

impl Hub {
    /// The relay of an engine, with its subscriptions as they stand in the book. From here on the journal is kept for them;
    /// they begin to work with [`Hub::start`], in the runtime that this is called in. Blocks.
    ///
    /// `has_book` says whether there is a book already. A book that can't be read stops no engine: then nothing of the
    /// journal is given up, and every command is answered with the reason.
    pub(crate) fn open(parts: Parts, has_book: bool) -> Self {
        let parts = Arc::new(parts);
        let opened = has_book.then(|| Self::open_book(&parts));
        let phase = match opened {
            None => Phase::Idle(parts),
            Some(Ok(world)) => Phase::Open(Arc::new(world)),
            Some(Err(error)) => {
                parts.holds.hold_all(UNKNOWN_HOLDER);
                tracing::error!(%error, "the relay can't be opened: orders go on, and the whole journal is kept");
                Phase::Failed(error)
            }
        };
        Self {
            phase: Mutex::new(phase),
            subscriptions: RwLock::default(),
            changing: tokio::sync::Mutex::default(),
            closed: watch::Sender::new(false),
            runtime: Handle::current(),
        }
    }

    fn open_book(parts: &Parts) -> Result<World, RelayError> {
        let book = Book::open((parts.open_store)().map_err(RelayError::Storage)?)?;
        for (name, stored) in book.subscriptions()? {
            if !matches!(stored.record.state, StoredState::Suspended { released: true, .. }) {
                // Where that is too late the subscription finds out when it begins.
                let _ = parts.holds.hold(&holder(&name), stored.cursor);
            }
        }
        Ok(World {
            journal: parts.journal.clone(),
            holds: Arc::clone(&parts.holds),
            clock: parts.clock.clone(),
            orders: Arc::clone(&parts.orders),
            sinks: parts.sinks.clone(),
            book,
        })
    }

    /// Begins to work: the subscriptions of the book, then those of the configuration.
    pub(crate) async fn start(&self, config: &RelayConfig) {
        let started = async {
            if let Some(world) = self.world()? {
                let of = Arc::clone(&world);
                let stored = tokio::task::spawn_blocking(move || of.book.subscriptions());
                let stored = stored.await.map_err(|_ended_early| RelayError::Off)??;
                for (name, stored) in stored {
                    self.spawn(&world, &name, check_cursor(&world, &name, stored));
                }
            }
            self.configure(config).await
        };
        if let Err(error) = started.await {
            tracing::error!(%error, "the relay's subscriptions could not all be put in force; orders go on");
        }
    }

    fn phase(&self) -> MutexGuard<'_, Phase> {
        self.phase.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What subscriptions work with; `None` while there has been none.
    fn world(&self) -> Result<Option<Arc<World>>, RelayError> {
        match &*self.phase() {
            Phase::Idle(_) => Ok(None),
            Phase::Open(world) => Ok(Some(Arc::clone(world))),
            Phase::Failed(error) => Err(error.clone()),
            Phase::Closed => Err(RelayError::Off),
        }
    }

    /// The same, for the first subscription.
    async fn opened(&self) -> Result<Arc<World>, RelayError> {
        if let Some(world) = self.world()? {
            return Ok(world);
        }
        let parts = match &*self.phase() {
            Phase::Idle(parts) => Arc::clone(parts),
            Phase::Open(_) | Phase::Failed(_) | Phase::Closed => return Err(RelayError::Off),
        };
        let opened = tokio::task::spawn_blocking(move || Self::open_book(&parts));
        let world = Arc::new(opened.await.map_err(|_ended_early| RelayError::Off)??);
        let mut phase = self.phase();
        if matches!(*phase, Phase::Closed) {
            return Err(RelayError::Off);
        }
        *phase = Phase::Open(Arc::clone(&world));
        Ok(world)
    }

    fn find(&self, name: &str) -> Result<(Arc<World>, Arc<Subscription>), RelayError> {
        let not_found = || RelayError::NotFound { name: name.to_owned() };
        let world = self.world()?.ok_or_else(not_found)?;
        let subscriptions = self.subscriptions.read().unwrap_or_else(PoisonError::into_inner);
        Ok((world, subscriptions.get(name).cloned().ok_or_else(not_found)?))
    }

    fn spawn(&self, world: &Arc<World>, name: &str, stored: Stored) -> Arc<Subscription> {
        let board = Arc::new(Board::new(stored.record, stored.cursor));
        let (commands, received) = mpsc::channel(COMMANDS);
        let task =
            self.runtime.spawn(supervise(Arc::clone(world), name.to_owned(), Arc::clone(&board), received));
        let subscription =
            Arc::new(Subscription { name: name.to_owned(), board, commands, pull: Default::default(), task });
        let mut subscriptions = self.subscriptions.write().unwrap_or_else(PoisonError::into_inner);
        subscriptions.insert(name.to_owned(), Arc::clone(&subscription));
        subscription
    }

    /// Whether the engine is closed.
    pub(crate) fn is_closed(&self) -> bool {
        matches!(*self.phase(), Phase::Closed)
    }

    /// Why nothing works, if what the relay keeps could not be read.
    pub(crate) fn failure(&self) -> Option<RelayError> {
        match &*self.phase() {
            Phase::Failed(error) => Some(error.clone()),
            Phase::Idle(_) | Phase::Open(_) | Phase::Closed => None,
        }
    }

    /// All subscriptions, by name.
    pub(crate) fn statuses(&self) -> Vec<(String, SubscriptionStatus)> {
        let Ok(Some(world)) = self.world() else { return Vec::new() };
        let subscriptions = self.subscriptions.read().unwrap_or_else(PoisonError::into_inner);
        subscriptions.iter().map(|(name, of)| (name.clone(), of.board.status(&world))).collect()
    }

    pub(crate) fn status(&self, name: &str) -> Result<SubscriptionStatus, RelayError> {
        let (world, subscription) = self.find(name)?;
        Ok(subscription.board.status(&world))
    }

    pub(crate) async fn create(
        &self,
        name: &str,
        spec: SubscriptionSpec,
    ) -> Result<SubscriptionStatus, RelayError> {
        let _changing = self.changing.lock().await;
        if let Ok((world, known)) = self.find(name) {
            let (has, configured) = (known.board.spec(), known.board.standing().configured);
            let spec = with_secrets_of(spec, &has);
            spec.validate(name)?;
            return if *has == spec {
                Ok(known.board.status(&world))
            } else if configured {
                Err(RelayError::Configured { name: name.to_owned() })
            } else {
                Err(RelayError::Exists { name: name.to_owned() })
            };
        }
        spec.validate(name)?;
        let len = self.subscriptions.read().unwrap_or_else(PoisonError::into_inner).len();
        if len >= SUBSCRIPTIONS_MAX {
            return Err(RelayError::TooMany { max: SUBSCRIPTIONS_MAX });
        }
        let world = self.opened().await?;
        self.make(&world, name, spec, false).await?;
        self.status(name)
    }

    /// Makes a subscription, or gives one that was made at run time other settings.
    pub(crate) async fn put(
        &self,
        name: &str,
        spec: SubscriptionSpec,
    ) -> Result<SubscriptionStatus, RelayError> {
        match self.create(name, spec.clone()).await {
            Err(RelayError::Exists { .. }) => {}
            other => return other,
        }
        let _changing = self.changing.lock().await;
        // Where it was deleted meanwhile, it is not found, and can be put again.
        let (world, known) = self.find(name)?;
        if known.board.standing().configured {
            return Err(RelayError::Configured { name: name.to_owned() });
        }
        // Secrets are as they are given: one that was meant for another place must not follow to this one.
        spec.validate(name)?;
        // Files that it names are there, and so are the program's sinks.
        world.sink(name, &spec.sink)?;
        known.ask(|answer| Command::Change { spec: Box::new(spec), configured: false, answer }).await?;
        Ok(known.board.status(&world))
    }

    async fn make(
        &self,
        world: &Arc<World>,
        name: &str,
        spec: SubscriptionSpec,
        configured: bool,
    ) -> Result<(), RelayError> {
        // Files that it names are there, and so are the program's sinks.
        world.sink(name, &spec.sink)?;
        let cursor = hold_start(world, name, spec.start)?;
        let record = SubscriptionRecord::new(spec, configured);
        let mut changes = Changes::default();
        changes.subscription(name, &record);
        changes.cursor(name, cursor);
        if let Err(error) = world.book.write(changes).await {
            world.holds.release(&holder(name));
            return Err(error);
        }
        self.spawn(world, name, Stored { record, cursor });
        Ok(())
    }

    /// Puts a configuration in force.
    pub(crate) async fn configure(&self, config: &RelayConfig) -> Result<(), RelayError> {
        config.validate()?;
        let _changing = self.changing.lock().await;
        let known: Vec<_> = {
            let subscriptions = self.subscriptions.read().unwrap_or_else(PoisonError::into_inner);
            subscriptions.values().cloned().collect()
        };
        let is_new = |name: &&String| known.iter().all(|of| of.name != **name);
        let added = config.subscriptions.keys().filter(is_new).count();
        if known.len() + added > SUBSCRIPTIONS_MAX {
            return Err(RelayError::TooMany { max: SUBSCRIPTIONS_MAX });
        }
        if known.is_empty() && added == 0 {
            return Ok(());
        }
        let world = self.opened().await?;
        // One that can't be put in force keeps no other from it.
        let mut first_error = Ok(());
        for (name, spec) in &config.subscriptions {
            let result = match known.iter().find(|of| of.name == *name) {
                None => self.make(&world, name, spec.clone(), true).await,
                Some(of) => {
                    let standing = of.board.standing().clone();
                    let is_same = *standing.spec == *spec
                        && standing.configured
                        && standing.stored != StoredState::Paused { left: true };
                    if is_same {
                        Ok(())
                    } else {
                        let spec = Box::new(spec.clone());
                        of.ask(|answer| Command::Change { spec, configured: true, answer }).await
                    }
                }
            };
            if let Err(error) = &result {
                tracing::error!(subscription = name, %error, "a relay subscription can't be put in force");
            }
            first_error = first_error.and(result);
        }
        for of in known {
            let left = of.board.standing().configured && !config.subscriptions.contains_key(&of.name);
            if left {
                first_error = first_error.and(of.ask(Command::Leave).await);
            }
        }
        first_error
    }

    pub(crate) async fn pause(&self, name: &str) -> Result<SubscriptionStatus, RelayError> {
        self.command(name, Command::Pause).await
    }

    pub(crate) async fn resume(&self, name: &str) -> Result<SubscriptionStatus, RelayError> {
        self.command(name, Command::Resume).await
    }

    pub(crate) async fn seek(&self, name: &str, to: Start) -> Result<SubscriptionStatus, RelayError> {
        self.command(name, |answer| Command::Seek(to, answer)).await
    }

    async fn command(
        &self,
        name: &str,
        command: impl FnOnce(Answer<()>) -> Command,
    ) -> Result<SubscriptionStatus, RelayError> {
        let (world, subscription) = self.find(name)?;
        subscription.ask(command).await?;
        Ok(subscription.board.status(&world))
    }

    pub(crate) async fn delete(&self, name: &str) -> Result<(), RelayError> {
        let _changing = self.changing.lock().await;
        let (_, subscription) = self.find(name)?;
        if subscription.board.standing().configured {
            return Err(RelayError::Configured { name: name.to_owned() });
        }
        subscription.ask(Command::Delete).await?;
        // For those who poll it at this moment.
        subscription.board.standing().failed = Some("it was deleted".to_owned());
        self.subscriptions.write().unwrap_or_else(PoisonError::into_inner).remove(name);
        Ok(())
    }

    pub(crate) async fn poll(
        &self,
        name: &str,
        after: Option<Position>,
        len_max: usize,
        wait: Duration,
    ) -> Result<Vec<Message>, RelayError> {
        let (world, subscription) = self.find_pulled(name)?;
        between("len_max", len_max as u64, POLL_LEN_MAX as u64)?;
        let wait = wait.min(Duration::from_millis(POLL_WAIT_MS_MAX));
        let mut closed = self.closed.subscribe();
        pull::poll(&world, &subscription, after, (len_max, wait), &mut closed).await
    }

    pub(crate) async fn acknowledge(
        &self,
        name: &str,
        position: Position,
    ) -> Result<SubscriptionStatus, RelayError> {
        let (world, subscription) = self.find_pulled(name)?;
        subscription.ask(|answer| Command::Acknowledge(position, answer)).await?;
        Ok(subscription.board.status(&world))
    }

    pub(crate) fn check_pulled(&self, name: &str) -> Result<(), RelayError> {
        self.find_pulled(name).map(|_found| ())
    }

    fn find_pulled(&self, name: &str) -> Result<(Arc<World>, Arc<Subscription>), RelayError> {
        let (world, subscription) = self.find(name)?;
        match subscription.board.spec().sink {
            SinkSpec::Pull {} => Ok((world, subscription)),
            _ => Err(RelayError::NotPulled { name: name.to_owned() }),
        }
    }

    pub(crate) async fn dead_letters(
        &self,
        name: &str,
        from: Position,
        len_max: usize,
    ) -> Result<DeadPage, RelayError> {
        between("len_max", len_max as u64, LETTERS_LEN_MAX as u64)?;
        let (world, subscription) = self.find(name)?;
        blocking(move || {
            let mut page = DeadPage::default();
            let mut bytes = 0;
            // One more than asked for tells whether there is a next page.
            for letter in world.book.letters(&subscription.name, from, len_max + 1)? {
                if page.letters.len() == len_max || bytes >= LETTERS_BYTES_MAX {
                    page.next = Some(letter.position);
                    break;
                }
                // One that is delivered at this moment is none any more.
                if let Some(shown) = show(&world, &subscription.name, letter.position)? {
                    bytes += shown.body.len();
                    page.letters.push(shown);
                }
            }
            Ok(page)
        })
        .await
    }

    pub(crate) async fn dead_letter(
        &self,
        name: &str,
        position: Position,
    ) -> Result<DeadRelayed, RelayError> {
        let (world, subscription) = self.find(name)?;
        blocking(move || {
            show(&world, &subscription.name, position)?.ok_or(RelayError::NoDeadLetter { position })
        })
        .await
    }

    pub(crate) async fn requeue(&self, name: &str, position: Option<Position>) -> Result<u64, RelayError> {
        self.find(name)?.1.ask(|answer| Command::Requeue(position, answer)).await
    }

    pub(crate) async fn discard(&self, name: &str, position: Option<Position>) -> Result<u64, RelayError> {
        self.find(name)?.1.ask(|answer| Command::Discard(position, answer)).await
    }

    /// Ends in order: confirmations are waited for, for a bounded time, cursors are written, files are let go of.
    pub(crate) async fn close(&self) {
        let _changing = self.changing.lock().await;
        self.closed.send_replace(true);
        let subscriptions =
            std::mem::take(&mut *self.subscriptions.write().unwrap_or_else(PoisonError::into_inner));
        let closing = subscriptions.values().map(|subscription| async {
            if let Err(error) = subscription.ask(Command::Close).await {
                tracing::warn!(subscription = subscription.name, %error, "it has not closed in order");
            }
        });
        futures_util::future::join_all(closing).await;
        let phase = std::mem::replace(&mut *self.phase(), Phase::Closed);
        if let Phase::Open(world) = phase {
            // A reader in the middle of a step, and whoever polls, hold on to the journal for a moment longer.
            for _ in 0..HOLDER_LOOKS_MAX {
                if Arc::strong_count(&world) == 1 {
                    break;
                }
                tokio::time::sleep(LOOK_EVERY).await;
            }
            // Blocks for a commit. Where the runtime is gone, so is everybody who waits.
            let _ = tokio::task::spawn_blocking(move || world.book.close()).await;
        }
    }

    /// Ends at once, as after a crash.
    pub(crate) fn abort(&self) {
        self.closed.send_replace(true);
        let subscriptions =
            std::mem::take(&mut *self.subscriptions.write().unwrap_or_else(PoisonError::into_inner));
        for subscription in subscriptions.values() {
            subscription.task.abort();
        }
        if let Phase::Open(world) = std::mem::replace(&mut *self.phase(), Phase::Closed) {
            world.book.stop();
        }
    }
}

impl fmt::Debug for Hub {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let subscriptions = self.subscriptions.read().unwrap_or_else(PoisonError::into_inner);
        f.debug_struct("Hub").field("subscriptions", &subscriptions.keys()).finish_non_exhaustive()
    }
}

/// A subscription whose journal is gone, or that has seen more than the journal has, waits for somebody to look after it.
fn check_cursor(world: &World, name: &str, mut stored: Stored) -> Stored {
    let released = matches!(stored.record.state, StoredState::Suspended { released: true, .. });
    let reason = if released {
        return stored;
    } else if world.holds.of(&holder(name)).is_none() {
        format!("the journal begins behind its cursor, at position {}", world.journal.reader().first())
    } else if stored.cursor > world.next() {
        format!("the journal ends before its cursor, at position {}", world.journal.durable())
    } else {
        return stored;
    };
    tracing::error!(subscription = name, reason, "a relay subscription is suspended");
    world.holds.release(&holder(name));
    stored.record.state = StoredState::Suspended { reason, released: true };
    stored
}

/// Settings with the secrets that other settings have, where they bring none: secrets are never shown, so whoever sends
/// back what was shown has none.
fn with_secrets_of(mut spec: SubscriptionSpec, other: &SubscriptionSpec) -> SubscriptionSpec {
    let fill = |own: &mut Secret, other: &Secret| {
        if own.0.is_empty() {
            own.0.clone_from(&other.0);
        }
    };
    match (&mut spec.sink, &other.sink) {
        (SinkSpec::Rabbitmq(own), SinkSpec::Rabbitmq(other)) => fill(&mut own.password, &other.password),
        (SinkSpec::Nats(own), SinkSpec::Nats(other)) => fill(&mut own.password, &other.password),
        (SinkSpec::Webhook(own), SinkSpec::Webhook(other)) => fill(&mut own.secret, &other.secret),
        _ => {}
    }
    spec
}

fn show(world: &World, name: &str, position: Position) -> Result<Option<DeadRelayed>, RelayError> {
    let found = world.book.letter(name, position)?;
    Ok(found.map(|(letter, body)| DeadRelayed {
        position,
        order_no: letter.record.order_no,
        event: letter.record.event,
        attempts: letter.record.attempts,
        reason: letter.record.reason,
        at_ms: letter.record.at_ms,
        body: body.into(),
    }))
}

fn between(field: &str, value: u64, max: u64) -> Result<(), RelayError> {
    if (1..=max).contains(&value) {
        return Ok(());
    }
    let reason = format!("is {value}: it must be 1 to {max}");
    Err(RelayError::Invalid { field: field.to_owned(), reason })
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, RelayError> + Send + 'static,
) -> Result<T, RelayError> {
    tokio::task::spawn_blocking(work).await.unwrap_or(Err(RelayError::Off))
}
