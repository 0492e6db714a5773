//! The ractor shell of the delay queue's actor: drain, decide, append, then perform (R5), answers when durable (R4).

use std::sync::Arc;

use ractor::{Actor, ActorProcessingErr, ActorRef};

use super::DelayItem;
use super::actor::{DelayActor, DelayAnswer, DelayEffects};
use super::timer::DelayBoard;
use crate::actors::answers::append;
use crate::journal::JournalHandle;
use crate::runtime::clock::Clock;
use crate::runtime::credits::Credits;
use crate::runtime::inbox::{Bell, CloseOnPanic, Inbox};

/// Most items that one round takes. One may be a batch of thousands of tasks.
const ROUND_ITEMS_MAX: usize = 256;

/// What the actor needs around it.
pub(crate) struct DelayWorld {
    /// Its inbox.
    pub(crate) inbox: Arc<Inbox<DelayItem>>,
    /// Where it shows its next deadline.
    pub(crate) board: Arc<DelayBoard>,
    /// Where facts go.
    pub(crate) journal: JournalHandle,
    /// The engine's time.
    pub(crate) clock: Clock,
    /// Credits of the commands whose answers are sent here.
    pub(crate) credits: Arc<Credits>,
}

/// The ractor actor around a [`DelayActor`].
pub(crate) struct DelayShell {
    world: Arc<DelayWorld>,
}

/// The shell's state.
pub(crate) struct DelayShellState {
    actor: Box<DelayActor>,
    items: Vec<DelayItem>,
    effects: DelayEffects,
}

impl DelayShell {
    /// A shell in its world.
    pub(crate) fn new(world: Arc<DelayWorld>) -> Self {
        Self { world }
    }

    /// Appends, then answers. A poisoned journal drops the answers that depend on it, which tells their callers.
    fn perform(&self, effects: &mut DelayEffects) {
        let DelayWorld { inbox, journal, credits, .. } = &*self.world;
        let waiting = std::mem::take(&mut effects.credits);
        if waiting > 0 {
            credits.give_back(waiting);
        }
        let answers = (&mut effects.answers, &mut effects.durable_answers);
        if append(journal, credits, &mut effects.entries, answers, send_all).is_err() {
            let DelayEffects { answers, .. } = std::mem::take(effects);
            return send_all(answers, credits);
        }
        for item in effects.again.drain(..) {
            // Its own inbox is closed only once the engine is.
            let _ = inbox.push(item);
        }
        send_all(effects.answers.drain(..), credits);
    }
}

/// Gives the answers' credits back and sends them, in this order: who has heard an answer finds its credit free.
fn send_all(answers: impl IntoIterator<Item = DelayAnswer>, credits: &Credits) {
    for DelayAnswer { credits: count, answer } in answers {
        if count > 0 {
            credits.give_back(count);
        }
        answer.send();
    }
}

impl Actor for DelayShell {
    type Msg = Bell;
    type State = DelayShellState;
    type Arguments = Box<DelayActor>;

    async fn pre_start(
        &self,
        _myself: ActorRef<Bell>,
        actor: Box<DelayActor>,
    ) -> Result<DelayShellState, ActorProcessingErr> {
        self.world.board.publish(actor.next_deadline_ms(), actor.counts(), false);
        Ok(DelayShellState { actor, items: Vec::new(), effects: DelayEffects::default() })
    }

    async fn handle(
        &self,
        _myself: ActorRef<Bell>,
        _bell: Bell,
        state: &mut DelayShellState,
    ) -> Result<(), ActorProcessingErr> {
        let DelayShellState { actor, items, effects } = state;
        let _guard = CloseOnPanic(&*self.world.inbox);
        let drained = self.world.inbox.drain(items, ROUND_ITEMS_MAX);
        let now_ms = self.world.clock.now_ms();
        let was_woken = actor.on_batch(items, now_ms, effects);
        // Before anybody can hear of a task: who then moves a manual clock finds its deadline here.
        self.world.board.publish(actor.next_deadline_ms(), actor.counts(), was_woken);
        self.perform(effects);
        if self.world.inbox.finish(drained) {
            // A busy queue must not keep its thread from the others.
            tokio::task::yield_now().await;
        }
        Ok(())
    }
}
