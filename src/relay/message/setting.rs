//! What a setting that was put says: activities, switches, coupon terms, freight, shipping.

use serde::ser::{Serialize, SerializeMap, Serializer};

use super::form::{Minor, Stock, Text, Texts, instant, named, optional};
use crate::domain::activity::{Activity, ActivityItem, ActivityKind, TeamTerms};
use crate::domain::order_type::OrderType;
use crate::domain::pricing::{CouponBenefit, CouponScope, CouponTerms, FreightCharge, FreightTemplate};
use crate::domain::setting::{SaleControl, Setting, SkuShipping};

/// The fields of a setting, into the payload of the event that puts it.
pub(super) fn put_setting<M: SerializeMap>(map: &mut M, setting: &Setting) -> Result<(), M::Error> {
    match setting {
        Setting::Activity(activity) => put_activity(map, activity),
        Setting::Control(control) => map.serialize_entry("control", &Switch(control)),
        Setting::Coupon(terms) => put_terms(map, terms),
        Setting::Freight(template) => put_freight(map, template),
        Setting::Shipping(SkuShipping { sku_id, weight_grams, freight }) => {
            map.serialize_entry("sku_id", &Text(sku_id))?;
            map.serialize_entry("weight_grams", weight_grams)?;
            optional(map, "freight_id", freight.map(Text))
        }
    }
}

fn put_activity<M: SerializeMap>(map: &mut M, activity: &Activity) -> Result<(), M::Error> {
    map.serialize_entry("activity_id", &Text(activity.id))?;
    let kind = match activity.kind {
        ActivityKind::Seckill => "seckill",
        ActivityKind::GroupBuy => "group_buy",
    };
    map.serialize_entry("kind", kind)?;
    map.serialize_entry("title", &activity.title)?;
    instant(map, named!("start"), activity.start_ms)?;
    instant(map, named!("end"), activity.end_ms)?;
    map.serialize_entry("items", &activity.items.iter().map(Item).collect::<Vec<_>>())?;
    optional(map, "team", activity.team.map(Team))?;
    optional(map, "auto_close_ms", activity.auto_close_ms)?;
    match activity.ended_at_ms {
        Some(at_ms) => instant(map, named!("ended_at"), at_ms),
        None => Ok(()),
    }
}

struct Item<'a>(&'a ActivityItem);

impl Serialize for Item<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("sku_id", &Text(self.0.sku_id))?;
        map.serialize_entry("price", &Minor(self.0.price))?;
        map.serialize_entry("limit_per_member", &self.0.limit_per_member)?;
        map.end()
    }
}

struct Team(TeamTerms);

impl Serialize for Team {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("size", &self.0.size)?;
        map.serialize_entry("time_limit_ms", &self.0.time_limit_ms)?;
        map.end()
    }
}

/// A switch: one field that names it, with an object that says how it stands.
struct Switch<'a>(&'a SaleControl);

impl Serialize for Switch<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(1))?;
        let name = match self.0 {
            SaleControl::AllPaused { .. } => "all_paused",
            SaleControl::SkuPaused { .. } => "sku_paused",
            SaleControl::ActivityPaused { .. } => "activity_paused",
            SaleControl::MemberBlocked { .. } => "member_blocked",
            SaleControl::SafetyStock { .. } => "safety_stock",
        };
        map.serialize_entry(name, &Standing(self.0))?;
        map.end()
    }
}

struct Standing<'a>(&'a SaleControl);

impl Serialize for Standing<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        match self.0 {
            SaleControl::AllPaused { paused } => map.serialize_entry("paused", paused)?,
            SaleControl::SkuPaused { sku, paused } => {
                map.serialize_entry("sku_id", &Text(sku))?;
                map.serialize_entry("paused", paused)?;
            }
            SaleControl::ActivityPaused { activity, paused } => {
                map.serialize_entry("activity_id", &Text(activity))?;
                map.serialize_entry("paused", paused)?;
            }
            SaleControl::MemberBlocked { member, until_ms } => {
                map.serialize_entry("member_id", &Text(member))?;
                instant(&mut map, named!("until"), *until_ms)?;
            }
            SaleControl::SafetyStock { key, units } => {
                map.serialize_entry("stock", &Stock(key))?;
                map.serialize_entry("units", units)?;
            }
        }
        map.end()
    }
}

fn put_terms<M: SerializeMap>(map: &mut M, terms: &CouponTerms) -> Result<(), M::Error> {
    map.serialize_entry("terms_id", &Text(terms.id))?;
    map.serialize_entry("title", &*terms.title)?;
    map.serialize_entry("benefit", &Benefit(&terms.benefit))?;
    map.serialize_entry("threshold", &Minor(terms.threshold))?;
    match &terms.scope {
        CouponScope::All => map.serialize_entry("scope", "all")?,
        CouponScope::Products(ids) => map.serialize_entry("scope", &Scope("products", &Texts(ids)))?,
        CouponScope::Skus(ids) => map.serialize_entry("scope", &Scope("skus", &Texts(ids)))?,
    }
    instant(map, named!("valid_from"), terms.valid_from_ms)?;
    instant(map, named!("valid_until"), terms.valid_until_ms)?;
    map.serialize_entry("stackable", &terms.stackable)?;
    map.serialize_entry("issue_max", &terms.issue_max)?;
    map.serialize_entry("per_member_max", &terms.per_member_max)?;
    let types = OrderType::ALL.into_iter().filter(|order_type| terms.order_types.contains(*order_type));
    map.serialize_entry("order_types", &types.map(OrderType::name).collect::<Vec<_>>())
}

struct Scope<'a, T>(&'static str, &'a T);

impl<T: Serialize> Serialize for Scope<'_, T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(1))?;
        map.serialize_entry(self.0, self.1)?;
        map.end()
    }
}

struct Benefit<'a>(&'a CouponBenefit);

impl Serialize for Benefit<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(1))?;
        match self.0 {
            CouponBenefit::AmountOff(amount) => map.serialize_entry("amount_off", &Minor(*amount))?,
            CouponBenefit::PercentOff { percent_bp, cap } => {
                map.serialize_entry("percent_off", &Percent(*percent_bp, cap.map(Minor)))?;
            }
        }
        map.end()
    }
}

struct Percent(u16, Option<Minor>);

impl Serialize for Percent {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("percent_bp", &self.0)?;
        optional(&mut map, "cap", self.1.as_ref())?;
        map.end()
    }
}

fn put_freight<M: SerializeMap>(map: &mut M, template: &FreightTemplate) -> Result<(), M::Error> {
    map.serialize_entry("freight_id", &Text(template.id))?;
    map.serialize_entry("name", &*template.name)?;
    map.serialize_entry("charge", &Charge(&template.rule.charge))?;
    optional(map, "free_from", template.rule.free_from.map(Minor))
}

struct Charge<'a>(&'a FreightCharge);

impl Serialize for Charge<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(1))?;
        let name = match self.0 {
            FreightCharge::Flat { .. } => "flat",
            FreightCharge::WeightSteps { .. } => "weight_steps",
        };
        map.serialize_entry(name, &Fees(self.0))?;
        map.end()
    }
}

struct Fees<'a>(&'a FreightCharge);

impl Serialize for Fees<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        match self.0 {
            FreightCharge::Flat { fee } => map.serialize_entry("fee", &Minor(*fee))?,
            FreightCharge::WeightSteps { first_grams, first_fee, step_grams, step_fee } => {
                map.serialize_entry("first_grams", first_grams)?;
                map.serialize_entry("first_fee", &Minor(*first_fee))?;
                map.serialize_entry("step_grams", step_grams)?;
                map.serialize_entry("step_fee", &Minor(*step_fee))?;
            }
        }
        map.end()
    }
}
