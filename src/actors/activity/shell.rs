//! The ractor shell of the activity actor.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use ractor::{Actor, ActorProcessingErr, ActorRef};

use super::ActivityWork;
use super::actor::{ActivityActor, ActivityEffects};
use crate::actors::order::shell::NO_DEADLINE;
use crate::actors::register::Register;
use crate::actors::stock::StockItem;
use crate::actors::stock::registry::StockRegistry;
use crate::actors::team::TeamItem;
use crate::domain::activity::{Activity, ActivityKind};
use crate::domain::ids::{ActivityId, StockKey};
use crate::domain::reject::Reject;
use crate::domain::setting::{Setting, SettingKey};
use crate::journal::JournalHandle;
use crate::runtime::clock::Clock;
use crate::runtime::inbox::{Bell, CloseOnPanic, Inbox};

/// Most items that one round takes.
const ROUND_ITEMS_MAX: usize = 1024;

/// What the activity actor needs around it.
pub(crate) struct ActivityWorld {
    /// Where its work comes in.
    pub(crate) inbox: Arc<Inbox<ActivityWork>>,
    /// When the next activity ends, in ms since the Unix epoch, or [`NO_DEADLINE`].
    pub(crate) next_end_ms: AtomicU64,
    /// The activities.
    pub(crate) register: Arc<Register>,
    /// Their stock.
    pub(crate) stock: Arc<StockRegistry>,
    /// Where word of ended campaigns goes.
    pub(crate) teams: Arc<Inbox<TeamItem>>,
    /// Where facts go.
    pub(crate) journal: JournalHandle,
    /// The engine's time.
    pub(crate) clock: Clock,
}

/// The ractor actor around an [`ActivityActor`].
pub(crate) struct ActivityShell {
    world: Arc<ActivityWorld>,
}

/// The shell's state.
pub(crate) struct ActivityState {
    actor: ActivityActor,
    work: Vec<ActivityWork>,
}

impl ActivityWorld {
    /// The activity as it stands.
    fn find(&self, id: ActivityId) -> Option<Activity> {
        self.register.activity(id)?.as_activity().cloned()
    }

    /// Journals the end of an activity, unless it has been moved or made meanwhile.
    fn end(&self, id: ActivityId, now_ms: u64) {
        let end = |before: Option<&Setting>| match before {
            Some(Setting::Activity(activity))
                if activity.ended_at_ms.is_none() && activity.end_ms <= now_ms =>
            {
                Ok(Setting::Activity(Activity { ended_at_ms: Some(activity.end_ms), ..activity.clone() }))
            }
            _ => Err(Reject::ActivityOver { activity: id }),
        };
        // Refused, the end was moved or made; with a poisoned journal nothing follows.
        let _ =
            self.register.put(SettingKey::activity(id), None, now_ms, &self.journal, end, |_revision| None);
        let _ = self.inbox.push(ActivityWork::Look(id));
    }

    /// Sends what is left of an activity's stock, and what comes back to it, to the everyday stock.
    fn drain(&self, id: ActivityId) {
        let Some(activity) = self.find(id) else { return };
        if activity.kind == ActivityKind::GroupBuy {
            // Its inbox is open as long as the engine runs.
            let _ = self.teams.push(TeamItem::EndCampaign(id));
        }
        for item in &activity.items {
            if let Some(cell) = self.stock.get(&activity.stock_key(item.sku_id)) {
                self.stock.send(&cell, StockItem::Drain { to: StockKey::normal(item.sku_id) });
            }
        }
    }
}

impl ActivityShell {
    /// The shell.
    pub(crate) fn new(world: Arc<ActivityWorld>) -> Self {
        Self { world }
    }
}

impl Actor for ActivityShell {
    type Msg = Bell;
    type State = ActivityState;
    type Arguments = ();

    async fn pre_start(&self, _myself: ActorRef<Bell>, _: ()) -> Result<ActivityState, ActorProcessingErr> {
        Ok(ActivityState { actor: ActivityActor::default(), work: Vec::new() })
    }

    async fn handle(
        &self,
        _myself: ActorRef<Bell>,
        _bell: Bell,
        state: &mut ActivityState,
    ) -> Result<(), ActorProcessingErr> {
        let world = &self.world;
        let _guard = CloseOnPanic(&world.inbox);
        let drained = world.inbox.drain(&mut state.work, ROUND_ITEMS_MAX);
        let now_ms = world.clock.now_ms();
        let mut effects = ActivityEffects::default();
        state.actor.on_batch(&mut state.work, now_ms, |id| world.find(id), &mut effects);
        world.next_end_ms.store(state.actor.next_end_ms().unwrap_or(NO_DEADLINE), Ordering::Release);
        effects.to_end.iter().for_each(|id| world.end(*id, now_ms));
        effects.over.iter().for_each(|id| world.drain(*id));
        world.inbox.finish(drained);
        Ok(())
    }
}
