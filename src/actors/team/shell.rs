//! The ractor shell of the team actor: drain, decide, append, then tell (R5).

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use ractor::{Actor, ActorProcessingErr, ActorRef};

use super::TeamItem;
use super::actor::{TeamActor, TeamEffects};
use crate::actors::answers::{append, send_all};
use crate::actors::order::OrderItem;
use crate::actors::order::shell::{NO_DEADLINE, owner_of};
use crate::journal::JournalHandle;
use crate::runtime::clock::Clock;
use crate::runtime::credits::Credits;
use crate::runtime::inbox::{Bell, CloseOnPanic, Inbox};

/// Most items that one round takes.
const ROUND_ITEMS_MAX: usize = 1024;

/// What the team actor needs around it.
pub(crate) struct TeamWorld {
    /// Where its work comes in.
    pub(crate) inbox: Arc<Inbox<TeamItem>>,
    /// When the next team is to be looked at, in ms since the Unix epoch, or [`NO_DEADLINE`].
    pub(crate) next_due_ms: AtomicU64,
    /// The order actors' inboxes, by index.
    pub(crate) orders: Vec<Arc<Inbox<OrderItem>>>,
    /// Where facts go.
    pub(crate) journal: JournalHandle,
    /// The engine's time.
    pub(crate) clock: Clock,
    /// Credits of the questions whose answers are sent here.
    pub(crate) credits: Arc<Credits>,
}

/// The ractor actor around a [`TeamActor`].
pub(crate) struct TeamShell {
    world: Arc<TeamWorld>,
}

/// The shell's state.
pub(crate) struct TeamShellState {
    actor: Box<TeamActor>,
    items: Vec<TeamItem>,
    effects: TeamEffects,
}

impl TeamShell {
    /// The shell.
    pub(crate) fn new(world: Arc<TeamWorld>) -> Self {
        Self { world }
    }

    /// Appends, then performs (R5).
    fn perform(&self, effects: &mut TeamEffects) {
        let world = &self.world;
        let answers = (&mut effects.answers, &mut effects.durable_answers);
        if append(&world.journal, &world.credits, &mut effects.entries, answers, send_all).is_err() {
            let TeamEffects { answers, .. } = std::mem::take(effects);
            return send_all(answers, &world.credits);
        }
        for (slot, item) in effects.routed.drain(..) {
            // An order actor's inbox is never closed while the engine runs.
            let _ = world.orders[owner_of(slot, world.orders.len())].push(item);
        }
        send_all(effects.answers.drain(..), &world.credits);
    }

    fn publish(&self, actor: &TeamActor) {
        let next_due_ms = actor.next_due_ms().unwrap_or(NO_DEADLINE);
        self.world.next_due_ms.store(next_due_ms, Ordering::Release);
    }
}

impl Actor for TeamShell {
    type Msg = Bell;
    type State = TeamShellState;
    type Arguments = Box<TeamActor>;

    async fn pre_start(
        &self,
        _myself: ActorRef<Bell>,
        mut actor: Box<TeamActor>,
    ) -> Result<TeamShellState, ActorProcessingErr> {
        let mut effects = TeamEffects::default();
        actor.resume(self.world.clock.now_ms(), &mut effects);
        self.publish(&actor);
        self.perform(&mut effects);
        Ok(TeamShellState { actor, items: Vec::new(), effects })
    }

    async fn handle(
        &self,
        _myself: ActorRef<Bell>,
        _bell: Bell,
        state: &mut TeamShellState,
    ) -> Result<(), ActorProcessingErr> {
        let _guard = CloseOnPanic(&self.world.inbox);
        let drained = self.world.inbox.drain(&mut state.items, ROUND_ITEMS_MAX);
        let now_ms = self.world.clock.now_ms();
        state.actor.on_batch(&mut state.items, now_ms, &mut state.effects);
        self.publish(&state.actor);
        self.perform(&mut state.effects);
        let rung_again = self.world.inbox.finish(drained);
        let more_is_due = state.actor.next_due_ms().is_some_and(|due_ms| due_ms <= now_ms);
        if !rung_again && more_is_due {
            let _ = self.world.inbox.push(TeamItem::Tick);
        }
        if rung_again || more_is_due {
            tokio::task::yield_now().await;
        }
        Ok(())
    }
}
