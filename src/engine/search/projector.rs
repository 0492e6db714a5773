//! The search projection actor: keeps the index behind the store, a checkpoint at a time.
//!
//! ```text
//! store's projector ── tap: touched orders ──▶ put ─▶ commit with the position ─▶ readers
//!                            │ a gap
//! journal ── touched numbers ┴▶ store's records ──▶ put
//! ```
//!
//! It holds the journal from its committed position on. Where that would be too much, where its files are damaged or don't
//! belong to the store, it gives the index up and builds another one in the background. Whatever fails here, orders go on.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use ractor::{Actor, ActorProcessingErr, ActorRef};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use super::catch_up::{Filled, Sources, Space, Stuck};
use super::handle::SearchHandle;
use super::rebuild::{Builder, Reindex, ReindexError, Report};
use super::{ReindexProgress, SearchMode};
use crate::actors::order::cold::StoreView;
use crate::domain::ids::Position;
use crate::engine::store::{Tap, Touched};
use crate::journal::Holds;
use crate::projection::search::{Generations, Goods};
use crate::runtime::clock::Clock;
use crate::runtime::shutdown::until_gone;

/// The names that it keeps the journal under: for the index in use, and for the one in the making.
const HOLDER: &str = "search";
const HOLDER_NEW: &str = "search, being built";
/// How soon after it was begun a rebuild that failed is begun again, in ms.
const REBUILD_AGAIN_MS: u64 = 60_000;
/// How often the index's size is looked at, in ms.
const LOOK_AT_SIZE_MS: u64 = 10_000;
/// A commit is due no sooner than so many times as long as the last one took, counted from its beginning: each costs
/// threads, files and syncs, and a small segment that has to be merged, and under load these are what the index falls
/// behind by. What somebody waits for is committed at once.
const COMMIT_PAUSE: u64 = 3;
/// The longest time that counts for that, in ms: a clock that was set forward is no slow disk.
const COMMIT_TOOK_MS_MAX: u64 = 2_000;
/// How long the end of the engine waits for merges of segments.
const MERGES_WAIT_MAX: Duration = Duration::from_secs(5);

/// Looks, 1 ms apart, at whether the state of a stopped actor is gone.
const STATE_LOOKS_MAX: usize = 1_000;

/// What the actor works with.
pub(crate) struct SearchWorld {
    pub(super) handle: SearchHandle,
    pub(super) sources: Sources,
    pub(super) view: Arc<StoreView>,
    pub(super) tap: Arc<Tap>,
    pub(super) holds: Arc<Holds>,
    pub(super) clock: Clock,
    pub(super) generations: Generations,
    pub(super) goods: Arc<dyn Goods>,
    pub(super) space: Space,
    pub(super) signs: Arc<Signs>,
}

/// What the actor and the engine tell each other. It keeps nothing of journal and store alive.
#[derive(Default)]
pub(crate) struct Signs {
    closing: AtomicBool,
    /// Set while a call is on its way, so that a busy actor is not called twice.
    called: AtomicBool,
    /// The rebuild that is under way.
    rebuild: Mutex<Option<JoinHandle<()>>>,
}

/// A message to the actor.
pub(crate) enum Call {
    /// See what there is to do.
    Wake,
    /// Build it anew.
    Reindex(Reindex),
    /// A rebuild has come to its end.
    Built(Box<Built>, Option<Done>),
    /// Commit what there is, let go of the files, then answer.
    Stop(oneshot::Sender<()>),
}

/// What came of a rebuild.
type Built = Result<(Filled, ReindexProgress), Stuck>;
type Done = Box<dyn FnOnce(Result<ReindexProgress, ReindexError>) + Send>;

/// The actor as the engine holds it.
pub(crate) struct Follower {
    actor: ActorRef<Call>,
    signs: Arc<Signs>,
    holds: Arc<Holds>,
    lag_bytes_max: u64,
    /// The actor's: it must not be kept from here, because it holds on to store and journal.
    world: Weak<SearchWorld>,
}

impl Follower {
    /// Starts the actor, which begins by opening the index.
    pub(crate) async fn start(world: SearchWorld) -> Result<(), String> {
        let world = Arc::new(world);
        let handle = world.handle.clone();
        let (signs, holds) = (Arc::clone(&world.signs), Arc::clone(&world.holds));
        let (tap, gone) = (Arc::clone(&world.tap), Arc::downgrade(&world));
        // What an index may need stays from before the store's first step on.
        if handle.mode() != SearchMode::Off {
            holds.hold_all(HOLDER);
        }
        // Not under the engine's supervisor: when search fails, orders go on.
        let spawned = Actor::spawn(None, SearchProjector { world }, ()).await;
        let (actor, ended) = spawned.map_err(|error| error.to_string())?;
        let failed = handle.clone();
        tokio::spawn(async move {
            if let Err(error) = ended.await {
                tracing::error!(%error, "search has stopped");
                failed.show(None);
                failed.board().set_failure(Some(format!("its actor ended: {error}")));
            }
        });
        let (waker, waking) = (actor.clone(), Arc::clone(&signs));
        tap.connect(Box::new(move || wake(&waker, &waking.called)));
        let lag_bytes_max = handle.config().lag_bytes_max;
        handle.set_follower(Self { actor, signs, holds, lag_bytes_max, world: gone });
        if let Some(follower) = handle.follower() {
            follower.wake();
        }
        Ok(())
    }

    /// Calls the actor, unless a call is on its way.
    pub(crate) fn wake(&self) {
        wake(&self.actor, &self.signs.called);
    }

    /// Sends a message. One that is not taken any more is dropped, which its sender hears of.
    pub(crate) fn cast(&self, call: Call) {
        let _ = self.actor.cast(call);
    }

    /// Looks after the index now and then: lets go of the journal where it is too far behind, and begins what has to be
    /// begun again.
    pub(crate) fn look_after(&self) {
        for holder in [HOLDER, HOLDER_NEW] {
            let Some(from) = self.holds.of(holder) else { continue };
            let lag_bytes = self.holds.bytes_behind(Position(from.0.saturating_sub(1)));
            let bytes_max = self.lag_bytes_max;
            if lag_bytes > bytes_max {
                tracing::warn!(holder, %from, lag_bytes, bytes_max, "the search index is too far behind, and lets go of the journal");
                self.holds.release(holder);
            }
        }
        self.wake();
    }

    /// Commits what the store has taken in, and lets go of files and journal.
    pub(crate) async fn stop(&self) {
        self.signs.closing.store(true, Ordering::Release);
        let (done, stopped) = oneshot::channel();
        if self.actor.cast(Call::Stop(done)).is_ok() {
            let _ = stopped.await;
        }
        let _ = self.actor.stop_and_wait(None, None).await;
        let rebuild = self.signs.rebuild.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(rebuild) = rebuild {
            let _ = rebuild.await;
        }
        // A stopped actor's task holds on to its state, and so to store and journal, for a moment longer.
        until_gone(STATE_LOOKS_MAX, || self.world.strong_count() == 0).await;
    }

    /// Stops as a crash would.
    pub(crate) fn kill(&self) {
        self.signs.closing.store(true, Ordering::Release);
        self.actor.kill();
    }
}

fn wake(actor: &ActorRef<Call>, called: &AtomicBool) {
    if !called.swap(true, Ordering::AcqRel) {
        // An actor that is gone has failed, which the log tells.
        let _ = actor.cast(Call::Wake);
    }
}

/// The actor.
struct SearchProjector {
    world: Arc<SearchWorld>,
}

/// Its state.
struct State {
    live: Option<Filled>,
    /// Whether the index was looked for since search was switched on.
    has_opened: bool,
    /// No rebuild is begun by itself before this, in ms.
    rebuild_from_ms: u64,
    look_at_size_ms: u64,
}

/// What became of opening.
enum Opened {
    Live(Box<Filled>),
    /// None that could be used, and why.
    Nothing(String),
}

impl SearchWorld {
    /// Opens the index that there is. Blocks.
    fn open(&self) -> Opened {
        let memory_bytes = self.handle.config().memory_bytes;
        let stored = self.view.stored();
        let mut why = None;
        let mut unusable = |error: crate::projection::search::IndexError| why = Some(error.to_string());
        let opened = self.generations.open(&self.goods, memory_bytes, &mut unusable);
        let filled = match opened {
            Some((number, index)) => Filled::new(number, index),
            None if stored == Position(0) => match self.first() {
                Ok(filled) => filled,
                Err(error) => return Opened::Nothing(error.to_string()),
            },
            None => return Opened::Nothing(why.unwrap_or_else(|| "there is none yet".to_owned())),
        };
        if filled.position > stored {
            let position = filled.position;
            return Opened::Nothing(format!("it is at position {position}, ahead of the store at {stored}"));
        }
        match self.hold(HOLDER, filled.position) {
            Ok(()) => Opened::Live(Box::new(filled)),
            Err(stuck) => Opened::Nothing(stuck.to_string()),
        }
    }

    /// The first index of an empty store.
    fn first(&self) -> Result<Filled, Stuck> {
        let (number, index) = self.generations.create(&self.goods, self.handle.config().memory_bytes)?;
        let mut filled = Filled::new(number, index);
        filled.commit(self.clock.now_ms(), self.handle.board())?;
        Ok(filled)
    }

    /// Keeps the journal behind a position.
    fn hold(&self, holder: &str, position: Position) -> Result<(), Stuck> {
        let from = Position(position.0 + 1);
        self.holds.hold(holder, from).map_err(|late| Stuck::TooFarBehind(late.first))
    }

    /// Takes in what the store has taken in. Blocks.
    fn follow(&self, live: &mut Filled) -> Result<(), Stuck> {
        let board = self.handle.board();
        let is_closing = || self.signs.closing.load(Ordering::Acquire);
        loop {
            if self.holds.of(HOLDER).is_none() {
                return Err(Stuck::TooFarBehind(Position(live.committed.0 + 1)));
            }
            if self.handle.mode() == SearchMode::Off {
                return Ok(());
            }
            if board.is_broken.swap(false, Ordering::AcqRel) {
                return Err(Stuck::Source("a search of it has failed".to_owned()));
            }
            // Until there is space again it is behind.
            if let Err(full) = self.space.check() {
                board.set_failure(Some(full.to_string()));
                return Ok(());
            }
            if let Some(Touched { from, up_to, gathered }) = self.tap.pop() {
                if up_to <= live.position {
                    continue;
                }
                while live.position < from && !is_closing() {
                    live.catch_up(&self.sources, from, board)?;
                    self.commit(live, false)?;
                }
                if live.position >= from {
                    live.take(&gathered, up_to, board)?;
                }
            } else if live.position < self.view.stored() && !is_closing() {
                // Something was dropped, or was there before this began.
                live.catch_up(&self.sources, self.view.stored(), board)?;
            } else {
                return self.commit(live, is_closing());
            }
            self.commit(live, false)?;
        }
    }

    /// Commits if it is time to, or somebody waits for it.
    fn commit(&self, live: &mut Filled, is_last: bool) -> Result<(), Stuck> {
        let board = self.handle.board();
        if live.committed == live.position {
            board.commit_at_ms.store(u64::MAX, Ordering::Release);
            return Ok(());
        }
        let now_ms = self.clock.now_ms();
        let wanted = board.wanted.load(Ordering::Acquire);
        let is_wanted = live.committed.0 < wanted && live.position.0 >= wanted;
        let refresh_ms = self.handle.config().refresh_ms;
        let due_ms = live.committed_at_ms.saturating_add(pause_ms(live.commit_took_ms, refresh_ms));
        // A clock that was set back doesn't keep anything from being committed.
        let is_due = now_ms >= due_ms || now_ms < live.committed_at_ms;
        if !is_due && !is_wanted && !is_last {
            board.commit_at_ms.store(due_ms, Ordering::Release);
            return Ok(());
        }
        // What waits meanwhile is as much as this commit takes in: the cores don't keep up.
        let waiting = self.view.stored().0.saturating_sub(live.position.0);
        live.index.set_merging_waits(waiting >= live.position.0 - live.committed.0);
        live.commit(now_ms, board)?;
        live.commit_took_ms = self.clock.now_ms().saturating_sub(now_ms);
        board.commit_at_ms.store(u64::MAX, Ordering::Release);
        self.hold(HOLDER, live.committed)?;
        self.handle.publish(live.committed);
        Ok(())
    }
}

/// From the beginning of one commit to that of the next, in ms.
fn pause_ms(took_ms: u64, refresh_ms: u64) -> u64 {
    refresh_ms.max(COMMIT_PAUSE * took_ms.min(COMMIT_TOOK_MS_MAX))
}

impl SearchProjector {
    /// Whatever there is to do.
    async fn run(&self, myself: &ActorRef<Call>, state: &mut State) {
        let world = &self.world;
        if world.handle.mode() == SearchMode::Off {
            return self.switch_off(state).await;
        }
        if !state.has_opened {
            self.switch_on(state).await;
        }
        if let Some(mut live) = state.live.take() {
            let following = Arc::clone(world);
            let followed = tokio::task::spawn_blocking(move || {
                let result = following.follow(&mut live);
                (live, result)
            });
            match followed.await {
                Ok((live, Ok(()))) => {
                    if world.space.check().is_ok() {
                        world.handle.board().set_failure(None);
                    }
                    state.live = Some(live);
                }
                Ok((live, Err(stuck))) => {
                    self.give_up(Some(live), state, &stuck.to_string()).await;
                }
                Err(error) => self.give_up(None, state, &format!("its work did not end: {error}")).await,
            }
        }
        let now_ms = world.clock.now_ms();
        if state.live.is_none() && now_ms >= state.rebuild_from_ms {
            self.rebuild(myself, state, None);
        }
        if let Some(live) = &state.live
            && now_ms >= state.look_at_size_ms
        {
            state.look_at_size_ms = now_ms + LOOK_AT_SIZE_MS;
            let bytes = world.generations.bytes_on_disk(live.number);
            world.handle.board().disk_bytes.store(bytes, Ordering::Relaxed);
        }
    }

    async fn switch_on(&self, state: &mut State) {
        state.has_opened = true;
        state.rebuild_from_ms = 0;
        let world = &self.world;
        if world.holds.of(HOLDER).is_none() {
            world.holds.hold_all(HOLDER);
        }
        world.tap.set_open(true);
        let opening = Arc::clone(world);
        let opened = tokio::task::spawn_blocking(move || opening.open()).await;
        match opened.unwrap_or_else(|error| Opened::Nothing(error.to_string())) {
            Opened::Live(live) => {
                world.handle.board().set_failure(None);
                world.handle.show(Some(live.index.reader()));
                state.live = Some(*live);
            }
            Opened::Nothing(why) => self.give_up(None, state, &why).await,
        }
    }

    async fn switch_off(&self, state: &mut State) {
        let world = &self.world;
        if !state.has_opened {
            return;
        }
        state.has_opened = false;
        world.tap.set_open(false);
        world.handle.show(None);
        world.holds.release(HOLDER);
        world.handle.board().commit_at_ms.store(u64::MAX, Ordering::Release);
        if let Some(live) = state.live.take() {
            drop_index(live).await;
        }
    }

    /// Searches are answered without the index from here on, and it is built anew.
    async fn give_up(&self, live: Option<Filled>, state: &mut State, why: &str) {
        tracing::warn!(why, "the search index can't be used, and is built anew");
        let world = &self.world;
        world.handle.show(None);
        world.handle.board().set_failure(Some(why.to_owned()));
        world.handle.board().commit_at_ms.store(u64::MAX, Ordering::Release);
        world.holds.release(HOLDER);
        state.live = None;
        if let Some(live) = live {
            drop_index(live).await;
        }
    }

    /// Begins to build another index, unless one is being built.
    fn rebuild(&self, myself: &ActorRef<Call>, state: &mut State, asked: Option<Reindex>) {
        let world = &self.world;
        let board = world.handle.board();
        if world.signs.closing.load(Ordering::Acquire) || board.is_rebuilding.swap(true, Ordering::AcqRel) {
            if let Some(asked) = asked {
                (asked.done)(Err(ReindexError::Busy));
            }
            return;
        }
        state.rebuild_from_ms = world.clock.now_ms().saturating_add(REBUILD_AGAIN_MS);
        // From before the store's state is pinned.
        world.holds.hold_all(HOLDER_NEW);
        let (mut report, done): (Report, Option<Done>) = match asked {
            Some(asked) => (asked.report, Some(asked.done)),
            None => (Box::new(|_progress| {}), None),
        };
        let (building, told) = (Arc::clone(world), myself.clone());
        let has_old = state.live.is_some();
        let work = move || {
            if !has_old {
                // What can't be used takes up space that the new one needs.
                building.generations.remove_all();
            }
            tracing::info!("the search index is being built from the store");
            let built = builder(&building).build(building.handle.board(), &mut report);
            // An actor that is gone has no use for it.
            let _ = told.cast(Call::Built(Box::new(built), done));
        };
        let rebuild = tokio::task::spawn_blocking(work);
        *world.signs.rebuild.lock().unwrap_or_else(PoisonError::into_inner) = Some(rebuild);
    }

    /// Puts a new index in the place of the old one.
    async fn take_over(&self, state: &mut State, built: Built) -> Result<ReindexProgress, ReindexError> {
        let world = &self.world;
        let board = world.handle.board();
        let taken_over = match built {
            Ok((filled, progress)) => self.catch_up(filled).await.map(|filled| (filled, progress)),
            Err(stuck) => Err(stuck.to_string()),
        };
        world.holds.release(HOLDER_NEW);
        board.is_rebuilding.store(false, Ordering::Release);
        match taken_over {
            // Its generation is complete, and there for when search is switched on again.
            Ok((filled, _progress)) if world.handle.mode() == SearchMode::Off => {
                drop_index(filled).await;
                world.holds.release(HOLDER);
                Err(ReindexError::Off)
            }
            Ok((filled, progress)) => {
                tracing::info!(orders = progress.orders, position = %filled.committed, "the search index has been built");
                world.handle.show(Some(filled.index.reader()));
                board.set_failure(None);
                state.look_at_size_ms = 0;
                let number = filled.number;
                if let Some(old) = state.live.replace(filled) {
                    drop_index(old).await;
                }
                world.generations.keep_only(number);
                board.rebuilds.fetch_add(1, Ordering::Relaxed);
                Ok(progress)
            }
            Err(why) => {
                tracing::warn!(why, "the search index was not built");
                if state.live.is_none() {
                    board.set_failure(Some(why.clone()));
                }
                Err(ReindexError::Failed(why))
            }
        }
    }

    /// Brings a new index as far as the old one has come, so that nobody sees it go back.
    async fn catch_up(&self, mut filled: Filled) -> Result<Filled, String> {
        let world = Arc::clone(&self.world);
        let number = filled.number;
        let work = move || {
            // Beside the old one's hold so far, and from here on in its place.
            world.hold(HOLDER, filled.committed)?;
            let board = world.handle.board();
            let reached = world.handle.position().max(world.view.stored());
            while filled.position < reached && !world.signs.closing.load(Ordering::Acquire) {
                filled.catch_up(&world.sources, reached, board)?;
            }
            filled.commit(world.clock.now_ms(), board)?;
            world.hold(HOLDER, filled.committed)?;
            Ok::<_, Stuck>(filled)
        };
        let caught_up = match tokio::task::spawn_blocking(work).await {
            Ok(result) => result.map_err(|stuck| stuck.to_string()),
            Err(error) => Err(format!("its work did not end: {error}")),
        };
        if caught_up.is_err() {
            self.world.generations.remove(number);
        }
        caught_up
    }

    /// The end.
    async fn stop(&self, state: &mut State) {
        let world = &self.world;
        if let Some(mut live) = state.live.take() {
            let following = Arc::clone(world);
            let work = move || {
                if let Err(error) = following.follow(&mut live) {
                    tracing::warn!(%error, "the search index was not brought up to date at the end");
                }
                live.index.close()
            };
            // A merge may take long, and loses nothing.
            let _ = tokio::time::timeout(MERGES_WAIT_MAX, tokio::task::spawn_blocking(work)).await;
        }
        world.tap.set_open(false);
        world.holds.release(HOLDER);
        world.holds.release(HOLDER_NEW);
    }
}

/// Drops an index off the runtime's threads: its writer waits for its own.
async fn drop_index(live: Filled) {
    let _ = tokio::task::spawn_blocking(move || drop(live)).await;
}

/// What the next generation is made with.
fn builder(world: &Arc<SearchWorld>) -> Builder {
    let (holding, going, ticking) = (Arc::clone(world), Arc::clone(world), world.clock.clone());
    Builder {
        generations: world.generations.clone(),
        goods: Arc::clone(&world.goods),
        memory_bytes: world.handle.config().memory_bytes,
        sources: world.sources.clone(),
        space: world.space.clone(),
        hold_from: Box::new(move |from| {
            holding.holds.hold(HOLDER_NEW, from).map_err(|late| Stuck::TooFarBehind(late.first))
        }),
        go_on: Box::new(move || {
            if going.signs.closing.load(Ordering::Acquire) || going.handle.mode() == SearchMode::Off {
                return Err(Stuck::Closing);
            }
            // Let go of: what it needs will be trimmed.
            if going.holds.of(HOLDER_NEW).is_none() {
                return Err(Stuck::TooFarBehind(Position(0)));
            }
            Ok(())
        }),
        now_ms: Box::new(move || ticking.now_ms()),
    }
}

impl Actor for SearchProjector {
    type Msg = Call;
    type State = State;
    type Arguments = ();

    async fn pre_start(&self, _myself: ActorRef<Call>, (): ()) -> Result<State, ActorProcessingErr> {
        Ok(State { live: None, has_opened: false, rebuild_from_ms: 0, look_at_size_ms: 0 })
    }

    async fn handle(
        &self,
        myself: ActorRef<Call>,
        call: Call,
        state: &mut State,
    ) -> Result<(), ActorProcessingErr> {
        match call {
            Call::Wake => {
                self.world.signs.called.store(false, Ordering::Release);
                if !self.world.signs.closing.load(Ordering::Acquire) {
                    self.run(&myself, state).await;
                }
            }
            Call::Reindex(asked) if self.world.handle.mode() == SearchMode::Off => {
                (asked.done)(Err(ReindexError::Off));
            }
            Call::Reindex(asked) => self.rebuild(&myself, state, Some(asked)),
            Call::Built(built, done) => {
                let outcome = self.take_over(state, *built).await;
                if let Some(done) = done {
                    done(outcome);
                }
                if !self.world.signs.closing.load(Ordering::Acquire) {
                    self.run(&myself, state).await;
                }
            }
            Call::Stop(done) => {
                self.stop(state).await;
                // The engine waits for it.
                let _ = done.send(());
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commits_take_a_third_of_the_time_at_most() {
        let pauses = [0, 20, 150, u64::MAX].map(|took_ms| pause_ms(took_ms, 200));
        assert_eq!(pauses, [200, 200, 450, 6_000]);
    }
}
