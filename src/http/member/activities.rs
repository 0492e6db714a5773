//! `GET /api/activities`: the sessions and campaigns that run or are to come, for everybody.

use axum::Json;
use axum::extract::State;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use crate::http::json::{Id, Params, instant};
use crate::http::problem::Problem;
use crate::http::state::App;
use crate::{Activity, ActivityId, ActivityItem, Engine, TeamTerms};

/// Most activities in one answer: each has up to 500 SKUs.
const PAGE_LEN_MAX: usize = 20;

/// Which page.
#[derive(Clone, Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct ActivitiesParams {
    /// `next` of the page before.
    #[param(pattern = "^[0-9]{1,20}-[0-9]{1,20}$")]
    pub cursor: Option<String>,
    /// Most activities on the page, 1 to 20, which is the default.
    #[param(minimum = 1, maximum = 20)]
    pub size: Option<usize>,
}

/// The sessions and campaigns that run or are to come.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = PublicActivities, example = json!({
    "now": "2026-11-11T09:59:58.000Z", "now_ms": 1_794_391_198_000_u64,
    "activities": [{"activity_id": "9", "kind": "seckill", "title": "Ten o'clock tea", "state": "coming",
        "starts_at": "2026-11-11T10:00:00.000Z", "starts_at_ms": 1_794_391_200_000_u64,
        "ends_at": "2026-11-11T10:10:00.000Z", "ends_at_ms": 1_794_391_800_000_u64,
        "items": [{"sku_id": "42", "code": "TEA-50", "title": "Green tea, 50 g", "price": 9900, "list_price": 19900,
            "limit_per_member": 1}]}],
}))]
pub struct ActivitiesBody {
    /// The server's time.
    pub now: String,
    /// The same, in ms since the Unix epoch.
    pub now_ms: u64,
    /// The activities, by their start.
    pub activities: Vec<ActivityBody>,
    /// Where the next page starts; absent on the last one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
}

/// A session or campaign.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = PublicActivity)]
pub struct ActivityBody {
    /// Its id.
    pub activity_id: Id,
    /// `seckill` or `group_buy`: the type of its orders.
    pub kind: &'static str,
    /// What buyers read.
    pub title: String,
    /// `coming` or `running`.
    pub state: &'static str,
    /// The first instant at which it takes orders.
    pub starts_at: String,
    /// The same, in ms since the Unix epoch.
    pub starts_at_ms: u64,
    /// The first instant at which it takes none any more.
    pub ends_at: String,
    /// The same, in ms since the Unix epoch.
    pub ends_at_ms: u64,
    /// The teams of a campaign.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub team: Option<TeamTermsBody>,
    /// What is sold.
    pub items: Vec<ActivityItemBody>,
}

/// What a campaign says about its teams.
#[derive(Clone, Copy, Debug, Serialize, ToSchema)]
#[schema(as = PublicTeamTerms)]
pub struct TeamTermsBody {
    /// Members that make a team.
    pub size: u32,
    /// How long a team has to form, in ms from its opening.
    pub time_limit_ms: u64,
}

/// One SKU of an activity.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = PublicActivityItem)]
pub struct ActivityItemBody {
    /// The SKU.
    pub sku_id: Id,
    /// Its code.
    pub code: String,
    /// Its title.
    pub title: String,
    /// Price of one unit in this activity, in cents.
    pub price: i64,
    /// Price of one unit every day, in cents.
    pub list_price: i64,
    /// Most units one member may have; 0 stands for no limit.
    pub limit_per_member: u32,
}

/// Where an activity stands in the list.
type Place = (u64, ActivityId);

fn place(activity: &Activity) -> Place {
    (activity.start_ms, activity.id)
}

fn cursor(activity: &Activity) -> String {
    format!("{}-{}", activity.start_ms, activity.id)
}

fn place_at(cursor: &str) -> Result<Place, Problem> {
    let parts = cursor.split_once('-');
    let place = parts.and_then(|(start, id)| Some((Id::from_digits(start)?.0, Id::from_digits(id)?.into())));
    place.ok_or_else(super::wrong_cursor)
}

impl ActivityBody {
    fn new(activity: Activity, now_ms: u64, engine: &Engine) -> Self {
        let team =
            activity.team.map(|TeamTerms { size, time_limit_ms }| TeamTermsBody { size, time_limit_ms });
        Self {
            activity_id: activity.id.into(),
            kind: activity.kind.order_type().name(),
            title: activity.title,
            state: if now_ms < activity.start_ms { "coming" } else { "running" },
            starts_at: instant(activity.start_ms),
            starts_at_ms: activity.start_ms,
            ends_at: instant(activity.end_ms),
            ends_at_ms: activity.end_ms,
            team,
            items: activity.items.iter().map(|item| ActivityItemBody::new(item, engine)).collect(),
        }
    }
}

impl ActivityItemBody {
    fn new(item: &ActivityItem, engine: &Engine) -> Self {
        let sku = engine.sku(item.sku_id);
        let sku = sku.as_deref();
        Self {
            sku_id: item.sku_id.into(),
            code: sku.map(|sku| sku.code.clone()).unwrap_or_default(),
            title: sku.map(|sku| sku.title.clone()).unwrap_or_default(),
            price: item.price.minor(),
            // A SKU of an activity is in the catalogue.
            list_price: sku.map_or(0, |sku| sku.price.minor()),
            limit_per_member: item.limit_per_member,
        }
    }
}

/// The sessions and campaigns that run or are to come.
///
/// By their start, with prices, windows and the server's time. What is left of them is asked for by stock.
#[utoipa::path(get, path = "/api/activities", tag = "public", params(ActivitiesParams),
    responses((status = 200, description = "A page of them.", body = ActivitiesBody)))]
pub async fn list(
    State(app): State<App>,
    Params(params): Params<ActivitiesParams>,
) -> Result<Json<ActivitiesBody>, Problem> {
    let len_max = super::page_len(params.size, PAGE_LEN_MAX, PAGE_LEN_MAX)?;
    let after = params.cursor.as_deref().map(place_at).transpose()?;
    let now_ms = app.engine().now_ms();
    let is_shown = |activity: &Activity| {
        activity.ended_at_ms.is_none()
            && now_ms < activity.end_ms
            && after.is_none_or(|after| place(activity) > after)
    };
    let mut activities: Vec<_> = app.engine().activities().into_iter().filter(is_shown).collect();
    activities.sort_by_key(place);
    let has_next = activities.len() > len_max;
    activities.truncate(len_max);
    let next = activities.last().filter(|_| has_next).map(cursor);
    let body = |activity| ActivityBody::new(activity, now_ms, app.engine());
    let activities = activities.into_iter().map(body).collect();
    Ok(Json(ActivitiesBody { now: instant(now_ms), now_ms, activities, next }))
}
