//! The register of settings: what the shop has laid down, read by many, written by one at a time.
//!
//! A change is appended and entered under one lock, so that the journal has revisions in their order; from that moment
//! the front door goes by it, and orders that rest on it stand behind it in the journal (R5). Its operator hears of it
//! once it is durable. Until then the revision before it is kept beside it: that is the one which may be shown (R4).

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use dashmap::{DashMap, Entry};
use hashbrown::DefaultHashBuilder;

use crate::domain::activity::Activity;
use crate::domain::event::Event;
use crate::domain::ids::{ActivityId, FreightId, MemberId, Position, SkuId, StockKey};
use crate::domain::order::Line;
use crate::domain::pricing::FreightRule;
use crate::domain::reject::Reject;
use crate::domain::setting::{Origin, SaleControl, Setting, SettingKey, SkuShipping};
use crate::journal::{Acknowledge, EntryBuffer, JournalHandle};

/// A setting as it stands.
#[derive(Clone, Debug)]
pub(crate) struct Kept {
    /// 1 when it was put for the first time, then one more each time.
    pub(crate) revision: u32,
    /// The setting.
    pub(crate) setting: Arc<Setting>,
    /// Where its event stands; 0 for what was recovered.
    pub(crate) position: Position,
}

/// A setting with the revisions that a crash could bring back.
#[derive(Clone, Debug)]
struct Revisions {
    /// The one that holds.
    latest: Kept,
    /// Those before it, ascending: the last durable one and whatever was put since. As many as there are changes under
    /// way, which the credits bound; none as soon as a later change finds the latest one durable.
    earlier: Vec<Kept>,
}

impl Revisions {
    /// The latest one that stands at or before a position.
    fn shown(&self, up_to: Position) -> Option<&Kept> {
        std::iter::once(&self.latest).chain(self.earlier.iter().rev()).find(|kept| kept.position <= up_to)
    }

    /// Lets go of those before the one that is shown.
    fn forget(&mut self, up_to: Position) {
        if self.latest.position <= up_to {
            self.earlier = Vec::new();
        } else if let Some(shown) = self.earlier.iter().rposition(|kept| kept.position <= up_to) {
            self.earlier.drain(..shown);
        }
    }
}

/// All settings.
#[derive(Debug, Default)]
pub(crate) struct Register {
    settings: DashMap<SettingKey, Revisions, DefaultHashBuilder>,
    /// Whether there is any switch: without one the front door looks none up.
    has_controls: AtomicBool,
    /// Whether any SKU ships by a template: without one nothing costs freight.
    has_freight: AtomicBool,
    /// Held while a setting is appended and entered. Has the changes, in their order, that were not durable when the
    /// last one was entered: their settings keep an earlier revision.
    writing: Mutex<VecDeque<(Position, SettingKey)>>,
}

impl Register {
    /// Enters a recovered setting; those of one key come in order.
    pub(crate) fn restore(&self, revision: u32, setting: Setting) {
        // What is recovered is durable.
        self.enter(Kept { revision, setting: Arc::new(setting), position: Position(0) }, Position(0));
    }

    /// Appends a setting and makes it hold at once; gives its revision. One that is so already changes nothing.
    ///
    /// `change` makes the setting from the one that holds, under the lock.
    pub(crate) fn put(
        &self,
        key: SettingKey,
        origin: Option<Origin>,
        now_ms: u64,
        journal: &JournalHandle,
        change: impl FnOnce(Option<&Setting>) -> Result<Setting, Reject>,
        acknowledge: impl FnOnce(u32) -> Option<Acknowledge>,
    ) -> Result<u32, Reject> {
        let mut unsettled = self.writing.lock().unwrap_or_else(PoisonError::into_inner);
        let known = self.get(&key);
        let before = known.as_ref().map(|kept| kept.setting.as_ref());
        let setting = change(before)?;
        debug_assert_eq!(setting.key(), key);
        let is_unchanged = before == Some(&setting);
        if !is_unchanged {
            setting.check_change(before, now_ms)?;
        }
        let revision = known.map_or(0, |kept| kept.revision) + u32::from(!is_unchanged);
        let mut entries = EntryBuffer::default();
        if !is_unchanged {
            let event = Event::SettingPut {
                at_ms: now_ms,
                revision,
                setting: Box::new(setting.clone()),
                origin: origin.map(Box::new),
            };
            entries.push(&[event]);
        }
        let appended = journal.append(&mut entries, acknowledge(revision));
        let position = appended.map_err(|_poisoned| Reject::Unavailable)?;
        if !is_unchanged {
            let acknowledged = journal.acknowledged();
            self.forget_settled(&mut unsettled, acknowledged);
            self.enter(Kept { revision, setting: Arc::new(setting), position }, acknowledged);
            unsettled.push_back((position, key));
        }
        Ok(revision)
    }

    /// Lets go of revisions that nobody is shown any more, so that at most the last changes keep any.
    fn forget_settled(&self, unsettled: &mut VecDeque<(Position, SettingKey)>, acknowledged: Position) {
        while let Some((_, key)) = unsettled.front().filter(|(position, _)| *position <= acknowledged) {
            if let Some(mut revisions) = self.settings.get_mut(key) {
                revisions.forget(acknowledged);
            }
            unsettled.pop_front();
        }
    }

    fn enter(&self, kept: Kept, acknowledged: Position) {
        if matches!(*kept.setting, Setting::Control(_)) {
            self.has_controls.store(true, Ordering::Release);
        }
        if matches!(*kept.setting, Setting::Shipping(SkuShipping { freight: Some(_), .. })) {
            self.has_freight.store(true, Ordering::Release);
        }
        match self.settings.entry(kept.setting.key()) {
            Entry::Vacant(vacant) => {
                vacant.insert(Revisions { latest: kept, earlier: Vec::new() });
            }
            Entry::Occupied(mut known) => {
                let revisions = known.get_mut();
                let before = std::mem::replace(&mut revisions.latest, kept);
                revisions.earlier.push(before);
                revisions.forget(acknowledged);
            }
        }
    }

    /// The activity as it stands.
    pub(crate) fn activity(&self, id: ActivityId) -> Option<Arc<Setting>> {
        self.settings.get(&SettingKey::activity(id)).map(|found| Arc::clone(&found.latest.setting))
    }

    /// Whether any SKU ships by a template.
    pub(crate) fn has_freight(&self) -> bool {
        self.has_freight.load(Ordering::Acquire)
    }

    /// How a SKU ships; one that nothing was said about weighs nothing and ships free.
    pub(crate) fn shipping(&self, sku: SkuId) -> SkuShipping {
        let nothing = SkuShipping { sku_id: sku, ..SkuShipping::default() };
        let Some(found) = self.settings.get(&SettingKey::shipping(sku)) else { return nothing };
        match &*found.latest.setting {
            Setting::Shipping(shipping) => *shipping,
            _ => nothing,
        }
    }

    /// What carriage costs by a template.
    pub(crate) fn freight(&self, id: FreightId) -> Option<FreightRule> {
        match &*self.settings.get(&SettingKey::freight(id))?.latest.setting {
            Setting::Freight(template) => Some(template.rule),
            _ => None,
        }
    }

    /// A setting as it stands.
    pub(crate) fn get(&self, key: &SettingKey) -> Option<Kept> {
        self.settings.get(key).map(|found| found.latest.clone())
    }

    /// A setting as it may be shown: its latest revision that a crash can't take back (R4).
    pub(crate) fn shown(&self, key: &SettingKey, journal: &JournalHandle) -> Option<Kept> {
        let revisions = self.settings.get(key)?.clone();
        revisions.shown(journal.acknowledged()).cloned()
    }

    /// All settings as they may be shown, ascending by key.
    pub(crate) fn all_shown(&self, journal: &JournalHandle) -> Vec<Kept> {
        let all = self.ascending(Revisions::clone);
        // Only now: whatever was let go of before a setting was looked at is older than what this position shows of it.
        let acknowledged = journal.acknowledged();
        all.iter().filter_map(|revisions| revisions.shown(acknowledged).cloned()).collect()
    }

    /// All settings, ascending by key.
    fn all(&self) -> Vec<Kept> {
        self.ascending(|revisions| revisions.latest.clone())
    }

    fn ascending<T>(&self, of: impl Fn(&Revisions) -> T) -> Vec<T> {
        let mut all: Vec<_> = self.settings.iter().map(|entry| (*entry.key(), of(entry.value()))).collect();
        all.sort_unstable_by_key(|(key, _)| *key);
        all.into_iter().map(|(_, of)| of).collect()
    }

    /// All activities, ascending by id.
    pub(crate) fn activities(&self) -> Vec<Activity> {
        self.all().into_iter().filter_map(|kept| kept.setting.as_activity().cloned()).collect()
    }

    /// Units of every stock key that are kept back.
    pub(crate) fn safety_stocks(&self) -> Vec<(StockKey, u64)> {
        let safety = |kept: Kept| match &*kept.setting {
            Setting::Control(SaleControl::SafetyStock { key, units }) => Some((*key, *units)),
            _ => None,
        };
        self.all().into_iter().filter_map(safety).collect()
    }

    /// Whether any switch was ever turned.
    pub(crate) fn has_controls(&self) -> bool {
        self.has_controls.load(Ordering::Acquire)
    }

    /// Whether the shop's switches let an order through.
    ///
    /// # Errors
    /// [`Reject::SalesPaused`], [`Reject::MemberBlocked`], [`Reject::ActivityPaused`], [`Reject::SkuPaused`].
    pub(crate) fn check_controls(
        &self,
        member: MemberId,
        activity: Option<ActivityId>,
        lines: &[Line],
        now_ms: u64,
    ) -> Result<(), Reject> {
        if !self.has_controls() {
            return Ok(());
        }
        if self.is_on(&SettingKey::all_paused()) {
            return Err(Reject::SalesPaused);
        }
        if let Some(until_ms) = self.blocked_until(member).filter(|until_ms| now_ms < *until_ms) {
            return Err(Reject::MemberBlocked { until_ms });
        }
        if let Some(activity) = activity.filter(|id| self.is_on(&SettingKey::activity_paused(*id))) {
            return Err(Reject::ActivityPaused { activity });
        }
        let paused =
            lines.iter().map(|line| line.key.sku).find(|sku| self.is_on(&SettingKey::sku_paused(*sku)));
        paused.map_or(Ok(()), |sku| Err(Reject::SkuPaused { sku }))
    }

    /// The settings' part of the state hash.
    pub(crate) fn state_hash(&self) -> u64 {
        let _writing = self.writing.lock().unwrap_or_else(PoisonError::into_inner);
        self.settings
            .iter()
            .map(|entry| entry.value().latest.clone())
            .fold(0, |sum, kept| sum.wrapping_add(kept.setting.record_hash(kept.revision)))
    }

    fn is_on(&self, key: &SettingKey) -> bool {
        let Some(found) = self.settings.get(key) else { return false };
        match &*found.latest.setting {
            Setting::Control(
                SaleControl::AllPaused { paused }
                | SaleControl::SkuPaused { paused, .. }
                | SaleControl::ActivityPaused { paused, .. },
            ) => *paused,
            _ => false,
        }
    }

    fn blocked_until(&self, member: MemberId) -> Option<u64> {
        let found = self.settings.get(&SettingKey::member_blocked(member))?;
        match &*found.latest.setting {
            Setting::Control(SaleControl::MemberBlocked { until_ms, .. }) => Some(*until_ms),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kept(revision: u32) -> Kept {
        let setting = Setting::Control(SaleControl::AllPaused { paused: revision.is_multiple_of(2) });
        Kept { revision, setting: Arc::new(setting), position: Position(u64::from(revision) * 10) }
    }

    #[test]
    fn the_revision_shown_is_the_last_durable_one_and_nothing_older_is_kept() {
        let register = Register::default();
        let key = kept(1).setting.key();
        let revisions = || register.settings.get(&key).unwrap().clone();
        let shown = |up_to| revisions().shown(Position(up_to)).map(|kept| kept.revision);
        // Three changes before any is durable.
        for revision in 1..=3 {
            register.enter(kept(revision), Position(0));
        }
        assert_eq!([9, 10, 19, 20, 29, 30].map(shown), [None, Some(1), Some(1), Some(2), Some(2), Some(3)]);
        register.enter(kept(4), Position(25));
        assert_eq!([25, 30, 40].map(shown), [Some(2), Some(3), Some(4)]);
        assert_eq!(revisions().earlier.len(), 2, "the first is not shown any more");
        let mut unsettled = VecDeque::from([(Position(30), key), (Position(40), key)]);
        register.forget_settled(&mut unsettled, Position(39));
        assert_eq!((revisions().earlier.len(), unsettled.len()), (1, 1));
        register.forget_settled(&mut unsettled, Position(40));
        assert_eq!((revisions().earlier.len(), unsettled.len()), (0, 0));
        assert_eq!(register.get(&key).map(|kept| kept.revision), Some(4));
    }
}
