//! The audit's own memory of what the shop has laid down: activities, which the orders in them must agree with, and
//! switches on what may be sold.

use hashbrown::HashMap;

use super::report::{Findings, Rule};
use crate::domain::activity::{Activity, ActivityItem};
use crate::domain::event::OrderCreated;
use crate::domain::ids::{ActivityId, CouponTermsId, Pool, SkuId};
use crate::domain::order::Line;
use crate::domain::order_type::OrderType;
use crate::domain::setting::{SaleControl, Setting, SettingKey};

/// How long after a change of what may be sold orders may still follow that were let in before it, in ms.
const EFFECTIVE_WITHIN_MS: u64 = 100;

/// One activity: as it stands, as it was before, and when it changed.
#[derive(Debug)]
struct ActivityRecord {
    now: Activity,
    before: Option<Activity>,
    changed_at_ms: u64,
}

/// Everything laid down so far.
#[derive(Debug, Default)]
pub(super) struct SettingBook {
    revisions: HashMap<SettingKey, u32>,
    activities: HashMap<ActivityId, ActivityRecord>,
    /// Since when all submissions, or those of a SKU or an activity, have been paused, in ms since the Unix epoch.
    paused_since_ms: HashMap<SettingKey, u64>,
}

impl SettingBook {
    /// A setting was put.
    pub(super) fn put(&mut self, setting: &Setting, revision: u32, at_ms: u64, findings: &mut Findings) {
        let known = self.revisions.entry(setting.key()).or_default();
        let expected = *known + 1;
        findings.check(revision == expected, Rule::Catalogue, || {
            format!("{} is of revision {revision}, expected {expected}", setting.event_name())
        });
        *known = revision;
        self.enter(setting, at_ms);
    }

    /// A setting is in the store.
    pub(super) fn know(&mut self, setting: &Setting, revision: u32) {
        self.revisions.insert(setting.key(), revision);
        self.enter(setting, 0);
    }

    /// Whether a kind of coupon was put.
    pub(super) fn has_coupon(&self, terms: CouponTermsId) -> bool {
        self.revisions.contains_key(&SettingKey::coupon(terms))
    }

    /// Whether this revision, or a later one, is known.
    pub(super) fn has(&self, setting: &Setting, revision: u32) -> bool {
        self.revisions.get(&setting.key()).is_some_and(|known| *known >= revision)
    }

    fn enter(&mut self, setting: &Setting, at_ms: u64) {
        match setting {
            Setting::Activity(activity) => {
                let before = self.activities.remove(&activity.id).map(|record| record.now);
                let record = ActivityRecord { now: activity.clone(), before, changed_at_ms: at_ms };
                self.activities.insert(activity.id, record);
            }
            Setting::Control(
                SaleControl::AllPaused { paused }
                | SaleControl::SkuPaused { paused, .. }
                | SaleControl::ActivityPaused { paused, .. },
            ) => {
                if *paused {
                    self.paused_since_ms.entry(setting.key()).or_insert(at_ms);
                } else {
                    self.paused_since_ms.remove(&setting.key());
                }
            }
            Setting::Control(SaleControl::MemberBlocked { .. } | SaleControl::SafetyStock { .. })
            | Setting::Coupon(_)
            | Setting::Freight(_)
            | Setting::Shipping(_) => {}
        }
    }

    /// A line was sold: in the window and on the terms of its activity, and not while it was paused.
    pub(super) fn check_line(
        &self,
        created: &OrderCreated,
        line: &Line,
        brings_prices: bool,
        findings: &mut Findings,
    ) {
        let order_no = created.order_no;
        if !line.is_imported() {
            let keys = [SettingKey::all_paused(), SettingKey::sku_paused(line.key.sku)];
            let activity =
                (line.key.activity != ActivityId(0)).then(|| SettingKey::activity_paused(line.key.activity));
            let since_ms = keys.iter().chain(&activity).filter_map(|key| self.paused_since_ms.get(key)).min();
            findings.check(
                since_ms.is_none_or(|since_ms| created.at_ms <= since_ms + EFFECTIVE_WITHIN_MS),
                Rule::Catalogue,
                || format!("order {order_no} was placed while its sale was paused"),
            );
        }
        let expected = match created.order_type {
            OrderType::Normal => Pool::Normal,
            OrderType::Seckill => Pool::Seckill,
            OrderType::GroupBuy => Pool::GroupBuy,
        };
        if line.key.pool == Pool::Seats {
            return;
        }
        findings.check(line.key.pool == expected, Rule::Catalogue, || {
            format!("order {order_no} of type {:?} takes its units from {}", created.order_type, line.key)
        });
        if created.order_type == OrderType::Normal {
            return;
        }
        let Some(record) = self.activities.get(&line.key.activity) else {
            findings.add(Rule::CausalPrefix, || {
                format!("order {order_no} names activity {}, which is not there yet", line.key.activity)
            });
            return;
        };
        let just_changed = created.at_ms <= record.changed_at_ms + EFFECTIVE_WITHIN_MS;
        let allows = |activity: &Activity| allows(activity, line, brings_prices, created.at_ms);
        let is_fine = allows(&record.now) || (just_changed && record.before.as_ref().is_some_and(allows));
        findings.check(is_fine, Rule::Catalogue, || {
            format!("order {order_no} is outside the window or the terms of activity {}", line.key.activity)
        });
    }
}

/// Whether an activity sells this line at this time.
fn allows(activity: &Activity, line: &Line, brings_prices: bool, at_ms: u64) -> bool {
    let end_ms = activity.ended_at_ms.map_or(activity.end_ms, |ended_at_ms| ended_at_ms.min(activity.end_ms));
    let item = |sku: SkuId| activity.items.iter().find(|item| item.sku_id == sku);
    let on_terms = |item: &ActivityItem| {
        (item.price == line.price || brings_prices) && item.limit_per_member == line.limit_per_member
    };
    (activity.start_ms..end_ms).contains(&at_ms) && item(line.key.sku).is_some_and(on_terms)
}
