//! The check list before a session or campaign: is everything that it sells there, and is the engine fit for it.
//!
//! It looks and changes nothing, and is a look at one moment: what it found may be otherwise a second later.

use axum::Json;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::activities::found;
use super::controls::is_on;
use super::desk::Desk;
use super::stock::kept_back;
use crate::http::json::{Id, Params, Parts, instant};
use crate::http::problem::Problem;
use crate::{Activity, ActivityItem, Durability, Engine, Health, Metrics, SaleControl, SkuId};

/// A store that is further behind than this is worth a look, in ms.
const STORE_LAG_WARN_MS: u64 = 60_000;
/// A start that is nearer than this leaves little time to mend anything, in ms.
const START_NEAR_MS: u64 = 60_000;

/// How a check came out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum CheckState {
    /// As it should be.
    Ok,
    /// Worth a look.
    Warn,
    /// The sale would go wrong.
    Fail,
}

/// One check.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct Check {
    /// Its stable name.
    pub check: &'static str,
    /// The SKU that it is about.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sku_id: Option<Id>,
    /// How it came out.
    pub state: CheckState,
    /// What was found, in a sentence.
    pub message: String,
}

/// The check list.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(example = json!({"activity_id": "9", "state": "warn", "at": "2026-11-11T03:50:00.000Z",
    "at_ms": 1_794_369_000_000_u64, "checks": [{"check": "units", "sku_id": "42", "state": "warn",
    "message": "80 units are available where 100 are planned"}]}))]
pub struct PreflightView {
    /// The activity.
    pub activity_id: Id,
    /// The worst of all checks.
    pub state: CheckState,
    /// When it was looked.
    pub at: String,
    /// The same, in ms since the Unix epoch.
    pub at_ms: u64,
    /// All checks: the activity, its SKUs, the engine.
    pub checks: Vec<Check>,
}

/// What is planned.
#[derive(Clone, Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct PreflightParams {
    /// Units that are to be sold, as `sku:units` with commas between; a SKU without a plan should have some.
    #[param(example = "42:100,43:50", pattern = "^[0-9:, ]*$")]
    planned: Option<String>,
}

/// Goes through a check list for a session or campaign.
///
/// The activity, each SKU of it, and the engine: each line is `ok`, `warn` or `fail`, with a sentence.
#[utoipa::path(get, path = "/admin/activities/{id}/preflight", tag = "admin",
    operation_id = "admin_preflight",
    params(("id" = Id, Path, description = "The activity."), PreflightParams),
    responses((status = 200, description = "What was found.", body = PreflightView)))]
pub async fn preflight(
    desk: Desk,
    Parts(id): Parts<Id>,
    Params(params): Params<PreflightParams>,
) -> Result<Json<PreflightView>, Problem> {
    let activity = found(&desk, id)?;
    let planned = planned(params.planned.as_deref().unwrap_or_default())?;
    let engine = desk.engine();
    let (now_ms, controls) = (engine.now_ms(), engine.sale_controls());
    let mut checks = vec![check_window(&activity, now_ms), check_switches(&activity, &controls)];
    for item in &activity.items {
        let planned = planned.iter().find(|(sku, _)| *sku == item.sku_id).map(|(_, units)| *units);
        checks.extend(check_item(engine, &activity, item, planned, &controls).await?);
    }
    checks.extend(check_engine(&engine.metrics(), engine.durability()));
    let state = checks.iter().map(|check| check.state).max().unwrap_or(CheckState::Ok);
    Ok(Json(PreflightView { activity_id: id, state, at: instant(now_ms), at_ms: now_ms, checks }))
}

/// Reads `42:100,43:50`.
fn planned(text: &str) -> Result<Vec<(SkuId, u64)>, Problem> {
    let pair = |pair: &str| {
        let (sku, units) = pair.split_once(':')?;
        Some((Id::from_digits(sku.trim())?.into(), Id::from_digits(units.trim())?.0))
    };
    let pairs = text.split(',').filter(|part| !part.trim().is_empty()).map(pair);
    pairs.collect::<Option<_>>().ok_or_else(|| {
        Problem::invalid(
            "planned",
            "planned is sku:units, with commas between",
            "planned 格式应为 sku:units，用逗号分隔",
        )
    })
}

fn check(name: &'static str, state: CheckState, message: impl Into<String>) -> Check {
    Check { check: name, sku_id: None, state, message: message.into() }
}

fn check_window(activity: &Activity, now_ms: u64) -> Check {
    let (start_ms, end_ms) = (activity.start_ms, activity.end_ms);
    if activity.ended_at_ms.is_some() || now_ms >= end_ms {
        return check("window", CheckState::Fail, "it is over");
    }
    if now_ms >= start_ms {
        let message = format!("it is running, until {}", instant(end_ms));
        return check("window", CheckState::Ok, message);
    }
    let message = format!("it starts at {}, in {} s", instant(start_ms), (start_ms - now_ms).div_ceil(1_000));
    let state = if start_ms - now_ms < START_NEAR_MS { CheckState::Warn } else { CheckState::Ok };
    check("window", state, message)
}

fn check_switches(activity: &Activity, controls: &[SaleControl]) -> Check {
    let stops = |control: &&SaleControl| match control {
        SaleControl::AllPaused { .. } => is_on(control, 0),
        SaleControl::ActivityPaused { activity: paused, .. } => is_on(control, 0) && *paused == activity.id,
        SaleControl::SkuPaused { .. }
        | SaleControl::MemberBlocked { .. }
        | SaleControl::SafetyStock { .. } => false,
    };
    match controls.iter().find(stops) {
        Some(SaleControl::AllPaused { .. }) => check("switches", CheckState::Fail, "all sales are paused"),
        Some(_) => check("switches", CheckState::Fail, "this activity is paused"),
        None => check("switches", CheckState::Ok, "no switch stops it"),
    }
}

/// What there is to say about one SKU.
async fn check_item(
    engine: &Engine,
    activity: &Activity,
    item: &ActivityItem,
    planned: Option<u64>,
    controls: &[SaleControl],
) -> Result<Vec<Check>, Problem> {
    let key = activity.stock_key(item.sku_id);
    let counters = engine.stock(key).await?;
    let is_paused = controls.iter().any(
        |control| matches!(control, SaleControl::SkuPaused { sku, paused: true } if *sku == item.sku_id),
    );
    let mut checks = match engine.sku(item.sku_id) {
        None => vec![check("sku", CheckState::Fail, "there is no such sku")],
        Some(sku) => {
            let on_sale = match (sku.on_sale, is_paused) {
                (false, _) => check("sku", CheckState::Fail, "it is off sale"),
                (true, true) => check("sku", CheckState::Fail, "it is paused by a switch"),
                (true, false) => check("sku", CheckState::Ok, "it is on sale"),
            };
            let (price, normal) = (item.price.minor(), sku.price.minor());
            let price = if item.price < sku.price {
                let message = format!("{price} is below the normal price of {normal}");
                check("price", CheckState::Ok, message)
            } else {
                let message = format!("{price} is not below the normal price of {normal}");
                check("price", CheckState::Warn, message)
            };
            vec![on_sale, price]
        }
    };
    let sellable = counters.available.saturating_sub(kept_back(controls, key));
    checks.push(check_units(sellable, counters.reserved + counters.sold, planned));
    for check in &mut checks {
        check.sku_id = Some(item.sku_id.into());
    }
    Ok(checks)
}

fn check_units(sellable: u64, ordered: u64, planned: Option<u64>) -> Check {
    let (state, message) = match planned {
        _ if sellable == 0 && ordered == 0 => (CheckState::Fail, "no unit can be sold".to_owned()),
        Some(planned) if sellable + ordered < planned => (
            CheckState::Warn,
            format!("{sellable} units can be sold and {ordered} are ordered where {planned} are planned"),
        ),
        Some(planned) if sellable + ordered > planned => (
            CheckState::Warn,
            format!(
                "{sellable} units can be sold and {ordered} are ordered: more than the {planned} planned"
            ),
        ),
        _ => (CheckState::Ok, format!("{sellable} units can be sold, {ordered} are ordered")),
    };
    check("units", state, message)
}

/// What there is to say about the engine.
fn check_engine(metrics: &Metrics, durability: Durability) -> [Check; 5] {
    let health = match &metrics.health {
        Health::Open => check("health", CheckState::Ok, "the engine takes commands"),
        Health::Draining | Health::Closed => {
            check("health", CheckState::Fail, "the engine is being shut down")
        }
        Health::Poisoned { .. } => check("health", CheckState::Fail, "the engine has failed: restart it"),
    };
    let disk = if metrics.disk_is_low {
        check("disk", CheckState::Fail, "the disk is below its reserve: orders are refused")
    } else {
        check("disk", CheckState::Ok, "the disk is above its reserve")
    };
    let clock = match metrics.clock_drift_ms {
        Some(drift_ms) => {
            let message = format!("the wall clock is {drift_ms} ms away from the engine's");
            check("clock", CheckState::Fail, message)
        }
        None => check("clock", CheckState::Ok, "the clock is right"),
    };
    let durable = match durability {
        Durability::Synced => {
            check("durability", CheckState::Ok, "what is acknowledged survives a power cut")
        }
        Durability::Buffered { interval_ms } => check(
            "durability",
            CheckState::Warn,
            format!("a power cut may lose the last {interval_ms} ms of what is acknowledged"),
        ),
        Durability::Memory => {
            check("durability", CheckState::Warn, "nothing survives a restart: the journal is in memory")
        }
    };
    let lag_ms = metrics.store_lag_ms;
    let store = match &metrics.store_failure {
        Some(_) => check("store", CheckState::Fail, "the store has stopped"),
        None if lag_ms > STORE_LAG_WARN_MS => {
            check("store", CheckState::Warn, format!("the store is {lag_ms} ms behind"))
        }
        None => check("store", CheckState::Ok, format!("the store is {lag_ms} ms behind")),
    };
    [health, disk, clock, durable, store]
}
