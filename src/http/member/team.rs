//! `GET /api/team/{id}`: how far a team is. Who is in it is not told.

use axum::Json;
use axum::extract::State;
use serde::Serialize;
use utoipa::ToSchema;

use crate::http::json::{Id, Parts, instant};
use crate::http::problem::Problem;
use crate::http::state::App;
use crate::{TeamState, TeamView};

/// A team as it stands.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = Team, example = json!({"team_id": "380000000000000001", "activity_id": "9", "size": 3, "state": "forming",
    "deadline": "2026-11-12T10:00:00.000Z", "deadline_ms": 1_794_477_600_000_u64, "paid": 1, "unpaid": 1, "free": 1}))]
pub struct TeamBody {
    /// The team.
    pub team_id: Id,
    /// Its campaign.
    pub activity_id: Id,
    /// Members that make it complete.
    pub size: u32,
    /// `forming`, `formed` or `failed`.
    pub state: &'static str,
    /// The first instant at which no payment may begin any more.
    pub deadline: String,
    /// The same, in ms since the Unix epoch.
    pub deadline_ms: u64,
    /// Members who have paid, while it is forming.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub paid: Option<u32>,
    /// Members who have a seat and have not paid yet, while it is forming.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unpaid: Option<u32>,
    /// Seats that are left, while it is forming.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub free: Option<u32>,
}

impl From<TeamView> for TeamBody {
    fn from(view: TeamView) -> Self {
        let forming = |count: u32| (view.state == TeamState::Forming).then_some(count);
        Self {
            team_id: view.team.into(),
            activity_id: view.activity.into(),
            size: view.size,
            state: view.state.name(),
            deadline: instant(view.deadline_ms),
            deadline_ms: view.deadline_ms,
            paid: forming(view.paid),
            unpaid: forming(view.unpaid),
            free: forming(view.size.saturating_sub(view.paid).saturating_sub(view.unpaid)),
        }
    }
}

/// A team as it stands.
///
/// It is found by whoever was given its number, and names nobody.
#[utoipa::path(get, path = "/api/team/{id}", tag = "member",
    params(("id" = String, Path, pattern = "^[0-9]{1,20}$", example = "380000000000000001", description = "The team.")),
    responses((status = 200, description = "How far it is.", body = TeamBody)))]
pub async fn show(State(app): State<App>, Parts(id): Parts<Id>) -> Result<Json<TeamBody>, Problem> {
    Ok(Json(app.engine().team(id.into()).await?.into()))
}
