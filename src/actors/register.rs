//! The register of settings: what the shop has laid down, read by many, written by one at a time.
//!
//! A change is appended and entered under one lock, so that the journal has revisions in their order; from that moment
//! the front door goes by it, and orders that rest on it stand behind it in the journal (R5). Its operator hears of it
//! once it is durable.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use dashmap::DashMap;
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

/// All settings.
#[derive(Debug, Default)]
pub(crate) struct Register {
    settings: DashMap<SettingKey, Kept, DefaultHashBuilder>,
    /// Whether there is any switch: without one the front door looks none up.
    has_controls: AtomicBool,
    /// Whether any SKU ships by a template: without one nothing costs freight.
    has_freight: AtomicBool,
    /// Held while a setting is appended and entered.
    writing: Mutex<()>,
}

impl Register {
    /// Enters a recovered setting; those of one key come in order.
    pub(crate) fn restore(&self, revision: u32, setting: Setting) {
        self.enter(Kept { revision, setting: Arc::new(setting), position: Position(0) });
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
        let _writing = self.writing.lock().unwrap_or_else(PoisonError::into_inner);
        let known = self.settings.get(&key).map(|kept| kept.clone());
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
            self.enter(Kept { revision, setting: Arc::new(setting), position });
        }
        Ok(revision)
    }

    fn enter(&self, kept: Kept) {
        if matches!(*kept.setting, Setting::Control(_)) {
            self.has_controls.store(true, Ordering::Release);
        }
        if matches!(*kept.setting, Setting::Shipping(SkuShipping { freight: Some(_), .. })) {
            self.has_freight.store(true, Ordering::Release);
        }
        self.settings.insert(kept.setting.key(), kept);
    }

    /// The activity as it stands.
    pub(crate) fn activity(&self, id: ActivityId) -> Option<Arc<Setting>> {
        self.settings.get(&SettingKey::activity(id)).map(|kept| Arc::clone(&kept.setting))
    }

    /// Whether any SKU ships by a template.
    pub(crate) fn has_freight(&self) -> bool {
        self.has_freight.load(Ordering::Acquire)
    }

    /// How a SKU ships; one that nothing was said about weighs nothing and ships free.
    pub(crate) fn shipping(&self, sku: SkuId) -> SkuShipping {
        let nothing = SkuShipping { sku_id: sku, ..SkuShipping::default() };
        let Some(kept) = self.settings.get(&SettingKey::shipping(sku)) else { return nothing };
        match &*kept.setting {
            Setting::Shipping(shipping) => *shipping,
            _ => nothing,
        }
    }

    /// What carriage costs by a template.
    pub(crate) fn freight(&self, id: FreightId) -> Option<FreightRule> {
        match &*self.settings.get(&SettingKey::freight(id))?.setting {
            Setting::Freight(template) => Some(template.rule),
            _ => None,
        }
    }

    /// A setting as it stands.
    pub(crate) fn get(&self, key: &SettingKey) -> Option<Kept> {
        self.settings.get(key).map(|kept| kept.clone())
    }

    /// All settings, ascending by key.
    pub(crate) fn all(&self) -> Vec<Kept> {
        let mut all: Vec<_> =
            self.settings.iter().map(|entry| (*entry.key(), entry.value().clone())).collect();
        all.sort_unstable_by_key(|(key, _)| *key);
        all.into_iter().map(|(_, kept)| kept).collect()
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
            .fold(0, |sum, entry| sum.wrapping_add(entry.value().setting.record_hash(entry.value().revision)))
    }

    fn is_on(&self, key: &SettingKey) -> bool {
        let Some(kept) = self.settings.get(key) else { return false };
        match &*kept.setting {
            Setting::Control(
                SaleControl::AllPaused { paused }
                | SaleControl::SkuPaused { paused, .. }
                | SaleControl::ActivityPaused { paused, .. },
            ) => *paused,
            _ => false,
        }
    }

    fn blocked_until(&self, member: MemberId) -> Option<u64> {
        let kept = self.settings.get(&SettingKey::member_blocked(member))?;
        match &*kept.setting {
            Setting::Control(SaleControl::MemberBlocked { until_ms, .. }) => Some(*until_ms),
            _ => None,
        }
    }
}
