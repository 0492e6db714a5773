//! Sale controls: switches on what may be sold, safety stock, blocked members.

use std::fmt::Write;

use axum::Json;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::desk::{Desk, Reason, Revision, forbidden, page_len, wrong_cursor};
use super::stock::stock_key;
use crate::domain::setting::{SETTING_KEY_BYTES, Setting};
use crate::http::auth::access;
use crate::http::json::{Body, Id, Moment, Params, instant};
use crate::http::problem::Problem;
use crate::{ActivityId, SaleControl};

/// Most switches on a page.
const PAGE_LEN_MAX: usize = 500;

/// A switch to be turned.
#[derive(Clone, Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"control": {"sku_paused": {"sku_id": "42", "paused": true}}, "reason": "wrong price"}))]
pub struct ControlBody {
    /// Which, and how.
    pub control: SwitchBody,
    /// Why, for the log.
    #[serde(default)]
    pub reason: Reason,
}

/// A switch. Payments, questions and refunds go on whatever these say.
#[derive(Clone, Copy, Debug, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
#[schema(as = SaleControl)]
pub enum SwitchBody {
    /// No submission at all is taken.
    AllPaused {
        /// Whether it is so.
        paused: bool,
    },
    /// No order with this SKU is taken.
    SkuPaused {
        /// The SKU.
        sku_id: Id,
        /// Whether it is so.
        paused: bool,
    },
    /// No order in this activity is taken.
    ActivityPaused {
        /// The activity.
        activity_id: Id,
        /// Whether it is so.
        paused: bool,
    },
    /// No order of this member is taken.
    MemberBlocked {
        /// The member.
        member_id: Id,
        /// The first instant at which orders are taken again; 0 lifts the block.
        until: Moment,
    },
    /// So many available units are kept back from sale.
    SafetyStock {
        /// The SKU.
        sku_id: Id,
        /// The activity whose stock is meant; without one, the everyday stock.
        activity_id: Option<Id>,
        /// Units; 0 keeps back none.
        units: u64,
    },
}

/// A switch as it stands.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
#[schema(as = SaleControlState)]
pub enum SwitchView {
    /// No submission at all is taken.
    AllPaused {
        /// Whether it is so.
        paused: bool,
    },
    /// No order with this SKU is taken.
    SkuPaused {
        /// The SKU.
        sku_id: Id,
        /// Whether it is so.
        paused: bool,
    },
    /// No order in this activity is taken.
    ActivityPaused {
        /// The activity.
        activity_id: Id,
        /// Whether it is so.
        paused: bool,
    },
    /// No order of this member is taken.
    MemberBlocked {
        /// The member.
        member_id: Id,
        /// The first instant at which orders are taken again.
        until: String,
        /// The same, in ms since the Unix epoch.
        until_ms: u64,
    },
    /// So many available units are kept back from sale.
    SafetyStock {
        /// The SKU.
        sku_id: Id,
        /// The activity whose stock it is.
        #[serde(skip_serializing_if = "Option::is_none")]
        activity_id: Option<Id>,
        /// Units.
        units: u64,
    },
}

impl From<SaleControl> for SwitchView {
    fn from(control: SaleControl) -> Self {
        match control {
            SaleControl::AllPaused { paused } => Self::AllPaused { paused },
            SaleControl::SkuPaused { sku, paused } => Self::SkuPaused { sku_id: sku.into(), paused },
            SaleControl::ActivityPaused { activity, paused } => {
                Self::ActivityPaused { activity_id: activity.into(), paused }
            }
            SaleControl::MemberBlocked { member, until_ms } => {
                Self::MemberBlocked { member_id: member.into(), until: instant(until_ms), until_ms }
            }
            SaleControl::SafetyStock { key, units } => {
                let activity_id = (key.activity != ActivityId(0)).then(|| key.activity.into());
                Self::SafetyStock { sku_id: key.sku.into(), activity_id, units }
            }
        }
    }
}

impl SwitchBody {
    /// The engine's switch.
    ///
    /// # Errors
    /// An activity that there is not.
    fn into_control(self, desk: &Desk) -> Result<SaleControl, Problem> {
        Ok(match self {
            Self::AllPaused { paused } => SaleControl::AllPaused { paused },
            Self::SkuPaused { sku_id, paused } => SaleControl::SkuPaused { sku: sku_id.into(), paused },
            Self::ActivityPaused { activity_id, paused } => {
                SaleControl::ActivityPaused { activity: activity_id.into(), paused }
            }
            Self::MemberBlocked { member_id, until } => {
                SaleControl::MemberBlocked { member: member_id.into(), until_ms: until.0 }
            }
            Self::SafetyStock { sku_id, activity_id, units } => {
                let key = stock_key(desk.engine(), sku_id.into(), activity_id)?;
                SaleControl::SafetyStock { key, units }
            }
        })
    }
}

/// A switch's name and what it is about, for the log.
fn named(control: &SaleControl) -> (&'static str, String) {
    match control {
        SaleControl::AllPaused { paused } => (pause("sales.pause", "sales.resume", *paused), String::new()),
        SaleControl::SkuPaused { sku, paused } => {
            (pause("sku.pause", "sku.resume", *paused), sku.to_string())
        }
        SaleControl::ActivityPaused { activity, paused } => {
            (pause("activity.pause", "activity.resume", *paused), activity.to_string())
        }
        SaleControl::MemberBlocked { member, until_ms } => {
            (pause("member.block", "member.unblock", *until_ms > 0), member.to_string())
        }
        SaleControl::SafetyStock { key, .. } => ("stock.safety", key.to_string()),
    }
}

const fn pause(on: &'static str, off: &'static str, is_on: bool) -> &'static str {
    if is_on { on } else { off }
}

/// Turns a switch on what may be sold, or off again.
///
/// It holds at once, and survives a crash. The scope `security` blocks members and lifts their blocks; everything
/// else is for `operations`.
#[utoipa::path(post, path = "/admin/sale-controls", tag = "admin",
    operation_id = "admin_control", request_body = ControlBody,
    responses((status = 200, description = "It holds, durably.", body = Revision)))]
pub async fn control(desk: Desk, Body(body): Body<ControlBody>) -> Result<Json<Revision>, Problem> {
    let reason = body.reason.needed()?;
    let control = body.control.into_control(&desk)?;
    access::may_switch(desk.principal(), &control).map_err(|denied| forbidden(&denied))?;
    let (action, target) = named(&control);
    desk.acted(action, target, reason).await?;
    let revision = desk.engine().control_sales(control, desk.origin(reason)).await?;
    Ok(Json(Revision { revision }))
}

/// Which switches.
#[derive(Clone, Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct ControlParams {
    /// `true` shows those that are off again, and blocks that are over, too.
    #[serde(default)]
    all: bool,
    /// `next` of the page before.
    #[param(min_length = 50, max_length = 50)]
    after: Option<String>,
    /// Most switches on the page, 1 to 500; 100 without it.
    #[param(minimum = 1, maximum = 500)]
    limit: Option<usize>,
}

/// A page of switches.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(example = json!({"controls": [{"all_paused": {"paused": true}}, {"safety_stock": {"sku_id": "42", "units": 5}}]}))]
pub struct ControlPage {
    /// The switches: those for everything, for SKUs, for activities, for members, safety stock.
    pub controls: Vec<SwitchView>,
    /// Where the next page starts; absent on the last one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
}

/// Lists the switches that are on.
///
/// Switches that are off again, and blocks that are over, come with `all=true`.
#[utoipa::path(get, path = "/admin/sale-controls", tag = "admin",
    operation_id = "admin_controls", params(ControlParams),
    responses((status = 200, description = "A page of them.", body = ControlPage)))]
pub async fn controls(
    desk: Desk,
    Params(params): Params<ControlParams>,
) -> Result<Json<ControlPage>, Problem> {
    let limit = page_len(params.limit, 100, PAGE_LEN_MAX)?;
    let after = params.after.as_deref();
    if after.is_some_and(|cursor| cursor.len() != 2 * SETTING_KEY_BYTES) {
        return Err(wrong_cursor("after"));
    }
    let now_ms = desk.engine().now_ms();
    let wanted = |control: &SaleControl| {
        (params.all || is_on(control, now_ms)) && after.is_none_or(|after| *cursor_of(control) > *after)
    };
    let mut found: Vec<_> =
        desk.engine().sale_controls().into_iter().filter(wanted).take(limit + 1).collect();
    let has_more = found.len() > limit;
    found.truncate(limit);
    let next = found.last().filter(|_| has_more).map(cursor_of);
    Ok(Json(ControlPage { controls: found.into_iter().map(SwitchView::from).collect(), next }))
}

/// The key of a switch's setting, which the list is ordered by, in hexadecimal digits.
fn cursor_of(control: &SaleControl) -> String {
    let key = Setting::Control(*control).key().to_bytes();
    key.iter().fold(String::with_capacity(2 * key.len()), |mut text, byte| {
        // Writing to a string doesn't fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// Whether a switch keeps anything from being sold at an instant.
pub(super) fn is_on(control: &SaleControl, now_ms: u64) -> bool {
    match control {
        SaleControl::AllPaused { paused }
        | SaleControl::SkuPaused { paused, .. }
        | SaleControl::ActivityPaused { paused, .. } => *paused,
        SaleControl::MemberBlocked { until_ms, .. } => *until_ms > now_ms,
        SaleControl::SafetyStock { units, .. } => *units > 0,
    }
}
