//! The activity actor's logic: which activities end when.

use std::collections::{BTreeMap, BTreeSet};

use super::ActivityWork;
use crate::domain::activity::Activity;
use crate::domain::ids::ActivityId;

/// What a round leaves to be done.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct ActivityEffects {
    /// Activities whose end has come and is not journaled yet.
    pub(crate) to_end: Vec<ActivityId>,
    /// Activities that are over: their stock flows back.
    pub(crate) over: Vec<ActivityId>,
}

/// The owner of the timers.
#[derive(Debug, Default)]
pub(crate) struct ActivityActor {
    ends: BTreeSet<(u64, ActivityId)>,
    end_of: BTreeMap<ActivityId, u64>,
}

impl ActivityActor {
    /// Does one round of work. `find` gives an activity as it stands.
    pub(crate) fn on_batch(
        &mut self,
        work: &mut Vec<ActivityWork>,
        now_ms: u64,
        find: impl Fn(ActivityId) -> Option<Activity>,
        effects: &mut ActivityEffects,
    ) {
        for work in work.drain(..) {
            let ActivityWork::Look(id) = work else { continue };
            if let Some(end_ms) = self.end_of.remove(&id) {
                self.ends.remove(&(end_ms, id));
            }
            match find(id) {
                Some(Activity { ended_at_ms: Some(_), .. }) => effects.over.push(id),
                Some(activity) => {
                    self.end_of.insert(id, activity.end_ms);
                    self.ends.insert((activity.end_ms, id));
                }
                None => {}
            }
        }
        while let Some((end_ms, id)) = self.ends.first().copied()
            && end_ms <= now_ms
        {
            self.ends.pop_first();
            self.end_of.remove(&id);
            effects.to_end.push(id);
        }
    }

    /// When the next activity ends, in ms since the Unix epoch.
    pub(crate) fn next_end_ms(&self) -> Option<u64> {
        self.ends.first().map(|(end_ms, _)| *end_ms)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn round(actor: &mut ActivityActor, work: &[ActivityWork], now_ms: u64, end_ms: u64) -> ActivityEffects {
        let mut effects = ActivityEffects::default();
        let ended_at_ms = (end_ms == 0).then_some(1);
        let find = |id| Some(Activity { id, end_ms, ended_at_ms, ..Activity::default() });
        actor.on_batch(&mut work.to_vec(), now_ms, find, &mut effects);
        effects
    }

    #[test]
    fn an_activity_ends_once_and_never_early() {
        let (mut actor, id) = (ActivityActor::default(), ActivityId(3));
        assert_eq!(round(&mut actor, &[ActivityWork::Look(id)], 10, 100), ActivityEffects::default());
        assert_eq!(actor.next_end_ms(), Some(100));
        assert_eq!(round(&mut actor, &[], 99, 100), ActivityEffects::default());
        let ends = ActivityEffects { to_end: vec![id], over: vec![] };
        assert_eq!(round(&mut actor, &[ActivityWork::Tick], 100, 100), ends);
        assert_eq!(round(&mut actor, &[ActivityWork::Tick], 101, 100), ActivityEffects::default());
    }

    #[test]
    fn an_end_that_was_moved_counts_and_one_that_was_made_is_carried_out() {
        let (mut actor, id) = (ActivityActor::default(), ActivityId(3));
        round(&mut actor, &[ActivityWork::Look(id)], 10, 100);
        assert_eq!(round(&mut actor, &[ActivityWork::Look(id)], 20, 200), ActivityEffects::default());
        assert_eq!(round(&mut actor, &[], 150, 200), ActivityEffects::default());
        let over = ActivityEffects { to_end: vec![], over: vec![id] };
        assert_eq!(round(&mut actor, &[ActivityWork::Look(id)], 160, 0), over);
        assert_eq!(actor.next_end_ms(), None);
    }
}
