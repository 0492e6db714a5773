//! Sessions and campaigns: put, shown, listed, ended.

use axum::Json;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::desk::{Desk, Reason, Revision, page_len};
use crate::http::json::{Body, Id, Moment, Params, Parts, instant};
use crate::http::problem::Problem;
use crate::{Activity, ActivityId, ActivityItem, ActivityKind, Money, Reject, TeamTerms};

/// Most activities on a page.
const PAGE_LEN_MAX: usize = 100;

/// A session or campaign, to be put as a whole.
#[derive(Clone, Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"kind": "seckill", "title": "Noon session", "start": "2026-11-11T12:00:00+08:00",
    "end": "2026-11-11T14:00:00+08:00", "items": [{"sku_id": "42", "price": 9900, "limit_per_member": 1}]}))]
pub struct ActivityBody {
    /// `seckill` for a session, `group_buy` for a campaign.
    pub kind: KindBody,
    /// What buyers read; at most 512 bytes.
    #[serde(default)]
    pub title: String,
    /// The first instant at which it takes orders.
    pub start: Moment,
    /// The first instant at which it takes none any more.
    pub end: Moment,
    /// What is sold: 1 to 500 SKUs.
    #[schema(min_items = 1, max_items = 500)]
    pub items: Vec<ItemBody>,
    /// The teams of a campaign; sessions have none.
    pub team: Option<TeamTermsBody>,
    /// How long its orders may stay unpaid, in ms; without one, as long as others of their type.
    #[schema(minimum = 1)]
    pub auto_close_ms: Option<u32>,
    /// Why, for the log.
    #[serde(default)]
    pub reason: Reason,
}

/// What kind of sale.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
#[schema(as = ActivityKind)]
pub enum KindBody {
    /// A seckill session.
    Seckill,
    /// A group-buy campaign.
    GroupBuy,
}

impl From<KindBody> for ActivityKind {
    fn from(kind: KindBody) -> Self {
        match kind {
            KindBody::Seckill => Self::Seckill,
            KindBody::GroupBuy => Self::GroupBuy,
        }
    }
}

impl From<ActivityKind> for KindBody {
    fn from(kind: ActivityKind) -> Self {
        match kind {
            ActivityKind::Seckill => Self::Seckill,
            ActivityKind::GroupBuy => Self::GroupBuy,
        }
    }
}

/// A SKU of an activity.
#[derive(Clone, Copy, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = ActivityItem)]
pub struct ItemBody {
    /// The SKU.
    pub sku_id: Id,
    /// Price of one unit in this activity, in cents.
    #[schema(minimum = 0)]
    pub price: i64,
    /// Most units one member may have in this activity; 0 for no limit.
    #[serde(default)]
    pub limit_per_member: u32,
}

/// What a campaign says about its teams.
#[derive(Clone, Copy, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = TeamTerms)]
pub struct TeamTermsBody {
    /// Members that make a team.
    #[schema(minimum = 2, maximum = 100)]
    pub size: u32,
    /// How long a team has to form, in ms from its opening.
    #[schema(minimum = 1)]
    pub time_limit_ms: u64,
}

/// A session or campaign as it stands.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = Activity, example = json!({"activity_id": "9", "kind": "seckill", "title": "Noon session", "state": "upcoming", "start":
    "2026-11-11T04:00:00.000Z", "start_ms": 1_794_369_600_000_u64, "end":
    "2026-11-11T06:00:00.000Z", "end_ms": 1_794_376_800_000_u64, "items": [{"sku_id": "42",
    "price": 9900, "limit_per_member": 1}]}))]
pub struct ActivityView {
    /// Its id.
    pub activity_id: Id,
    /// What kind of sale.
    pub kind: KindBody,
    /// What buyers read.
    pub title: String,
    /// `upcoming`, `open` or `over`.
    pub state: &'static str,
    /// The first instant at which it takes orders.
    pub start: String,
    /// The same, in ms since the Unix epoch.
    pub start_ms: u64,
    /// The first instant at which it takes none any more.
    pub end: String,
    /// The same, in ms since the Unix epoch.
    pub end_ms: u64,
    /// When it was over: at its end, or before, when somebody ended it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ended_at: Option<String>,
    /// The same, in ms since the Unix epoch.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ended_at_ms: Option<u64>,
    /// What is sold, ascending by SKU.
    pub items: Vec<ItemBody>,
    /// The teams of a campaign.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub team: Option<TeamTermsBody>,
    /// How long its orders may stay unpaid, in ms, where it says so.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub auto_close_ms: Option<u32>,
}

impl ActivityBody {
    fn into_activity(self, id: ActivityId) -> Activity {
        let item = |item: ItemBody| ActivityItem {
            sku_id: item.sku_id.into(),
            price: Money::from_minor(item.price),
            limit_per_member: item.limit_per_member,
        };
        let team = |team: TeamTermsBody| TeamTerms { size: team.size, time_limit_ms: team.time_limit_ms };
        Activity {
            id,
            kind: self.kind.into(),
            title: self.title,
            start_ms: self.start.0,
            end_ms: self.end.0,
            items: self.items.into_iter().map(item).collect(),
            team: self.team.map(team),
            auto_close_ms: self.auto_close_ms,
            ended_at_ms: None,
        }
    }
}

impl ActivityView {
    /// An activity as it stands at an instant.
    pub fn new(activity: Activity, now_ms: u64) -> Self {
        let item = |item: ActivityItem| ItemBody {
            sku_id: item.sku_id.into(),
            price: item.price.minor(),
            limit_per_member: item.limit_per_member,
        };
        let team = |team: TeamTerms| TeamTermsBody { size: team.size, time_limit_ms: team.time_limit_ms };
        Self {
            activity_id: activity.id.into(),
            state: state_of(&activity, now_ms),
            kind: activity.kind.into(),
            title: activity.title,
            start: instant(activity.start_ms),
            start_ms: activity.start_ms,
            end: instant(activity.end_ms),
            end_ms: activity.end_ms,
            ended_at: activity.ended_at_ms.map(instant),
            ended_at_ms: activity.ended_at_ms,
            items: activity.items.into_iter().map(item).collect(),
            team: activity.team.map(team),
            auto_close_ms: activity.auto_close_ms,
        }
    }
}

/// Where an activity stands at an instant.
fn state_of(activity: &Activity, now_ms: u64) -> &'static str {
    match activity.check_open(now_ms) {
        Ok(()) => "open",
        Err(Reject::NotOpenYet { .. }) => "upcoming",
        Err(_over) => "over",
    }
}

/// The activity that a path names.
///
/// # Errors
/// `activity_not_found` (404).
pub(super) fn found(desk: &Desk, id: Id) -> Result<Activity, Problem> {
    desk.engine().activity(id).ok_or_else(|| not_found(id))
}

fn not_found(id: Id) -> Problem {
    let unknown = Problem::from(Reject::ActivityNotFound { activity: id.into() });
    unknown.status(axum::http::StatusCode::NOT_FOUND)
}

/// Shows a session or campaign.
///
/// With its prices, limits and window.
#[utoipa::path(get, path = "/admin/activities/{id}", tag = "admin",
    operation_id = "admin_activity",
    params(("id" = Id, Path, description = "The activity.")),
    responses((status = 200, description = "As it stands.", body = ActivityView)))]
pub async fn activity(desk: Desk, Parts(id): Parts<Id>) -> Result<Json<ActivityView>, Problem> {
    Ok(Json(ActivityView::new(found(&desk, id)?, desk.engine().now_ms())))
}

/// Puts a session or campaign.
///
/// Prices, limits and the end may change at any time; its start, its teams, and that a SKU is in it, only before it
/// starts. Its stock is transferred to it.
#[utoipa::path(put, path = "/admin/activities/{id}", tag = "admin",
    operation_id = "admin_put_activity", request_body = ActivityBody,
    params(("id" = Id, Path, description = "The activity.")),
    responses((status = 200, description = "It is put, durably.", body = Revision)))]
pub async fn put_activity(
    desk: Desk,
    Parts(id): Parts<Id>,
    Body(body): Body<ActivityBody>,
) -> Result<Json<Revision>, Problem> {
    let reason = body.reason.given()?.to_owned();
    desk.acted("activity.put", id, &reason).await?;
    let activity = body.into_activity(id.into());
    let revision = desk.engine().put_activity_as(activity, desk.origin(&reason)).await?;
    Ok(Json(Revision { revision }))
}

/// Why an activity ends.
#[derive(Clone, Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"reason": "the supplier has no more"}))]
pub struct EndBody {
    /// Why, for the log.
    #[serde(default)]
    pub reason: Reason,
}

/// Ends a session or campaign now.
///
/// It takes no orders any more, and what is left of its stock flows to the everyday stock. Ended already, it stays so.
#[utoipa::path(post, path = "/admin/activities/{id}/end", tag = "admin",
    operation_id = "admin_end_activity", request_body = EndBody,
    params(("id" = Id, Path, description = "The activity.")),
    responses((status = 200, description = "It is over, durably.", body = Revision)))]
pub async fn end_activity(
    desk: Desk,
    Parts(id): Parts<Id>,
    Body(body): Body<EndBody>,
) -> Result<Json<Revision>, Problem> {
    let reason = body.reason.given()?;
    desk.acted("activity.end", id, reason).await?;
    let ended = desk.engine().end_activity(id, desk.origin(reason)).await;
    let revision = ended.map_err(|reject| match reject {
        Reject::ActivityNotFound { .. } => not_found(id),
        other => other.into(),
    })?;
    Ok(Json(Revision { revision }))
}

/// Which activities.
#[derive(Clone, Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct ActivityParams {
    /// Only `upcoming`, `open` or `over` ones.
    #[param(pattern = "^(upcoming|open|over)$")]
    state: Option<String>,
    /// Only of this kind.
    #[param(inline)]
    kind: Option<KindBody>,
    /// Only behind this id: `next` of the page before.
    after: Option<Id>,
    /// Most activities on the page, 1 to 100; 50 without it.
    #[param(minimum = 1, maximum = 100)]
    limit: Option<usize>,
}

/// A page of activities.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(example = json!({"activities": [{"activity_id": "9", "kind": "seckill", "title": "Noon session", "state":
    "upcoming", "start": "2026-11-11T04:00:00.000Z", "start_ms": 1_794_369_600_000_u64, "end":
    "2026-11-11T06:00:00.000Z", "end_ms": 1_794_376_800_000_u64, "items": [{"sku_id": "42",
    "price": 9900, "limit_per_member": 1}]}], "next": "9"}))]
pub struct ActivityPage {
    /// The activities, ascending by id.
    pub activities: Vec<ActivityView>,
    /// Where the next page starts; absent on the last one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next: Option<Id>,
}

/// Lists sessions and campaigns, ascending by id.
///
/// By state and kind.
#[utoipa::path(get, path = "/admin/activities", tag = "admin",
    operation_id = "admin_activities", params(ActivityParams),
    responses((status = 200, description = "A page of them.", body = ActivityPage)))]
pub async fn activities(
    desk: Desk,
    Params(params): Params<ActivityParams>,
) -> Result<Json<ActivityPage>, Problem> {
    let limit = page_len(params.limit, 50, PAGE_LEN_MAX)?;
    if let Some(state) = params.state.as_deref()
        && !["upcoming", "open", "over"].contains(&state)
    {
        return Err(Problem::invalid(
            "state",
            "state is upcoming, open or over",
            "state 取值 upcoming、open 或 over",
        ));
    }
    let now_ms = desk.engine().now_ms();
    let after = params.after.map_or(ActivityId(0), ActivityId::from);
    let wanted = |activity: &Activity| {
        activity.id > after
            && params.state.as_deref().is_none_or(|state| state_of(activity, now_ms) == state)
            && params.kind.is_none_or(|kind| ActivityKind::from(kind) == activity.kind)
    };
    let mut found: Vec<_> = desk.engine().activities().into_iter().filter(wanted).take(limit + 1).collect();
    let has_more = found.len() > limit;
    found.truncate(limit);
    let next = found.last().filter(|_| has_more).map(|last| last.id.into());
    let activities = found.into_iter().map(|activity| ActivityView::new(activity, now_ms)).collect();
    Ok(Json(ActivityPage { activities, next }))
}
