//! Teams of group-buy campaigns: what the front door makes of a member's choice, and questions about teams.

use super::{Engine, Inner};
use crate::actors::order::TeamWish;
use crate::actors::team::TeamItem;
use crate::domain::activity::{Activity, ActivityKind};
use crate::domain::ids::{ActivityId, TeamId};
use crate::domain::money::Money;
use crate::domain::order::{Line, Lines};
use crate::domain::order_type::OrderType;
use crate::domain::reject::Reject;
use crate::domain::request::{PricedOrder, SubmitOrder, TeamChoice};
use crate::domain::team::{Team, TeamState};

/// A team as it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TeamView {
    /// The team: the number of the order that opened it.
    pub team: TeamId,
    /// Its campaign.
    pub activity: ActivityId,
    /// Members that make it complete.
    pub size: u32,
    /// The first instant at which no payment may begin any more, in ms since the Unix epoch.
    pub deadline_ms: u64,
    /// How far it is.
    pub state: TeamState,
    /// Members who have paid, of a team that is forming.
    pub paid: u32,
    /// Members who have a seat and have not paid yet, of a team that is forming.
    pub unpaid: u32,
}

impl Engine {
    /// A team, once what is shown is durable.
    ///
    /// # Errors
    /// [`Reject::TeamNotFound`], or the engine's own state.
    ///
    /// ```
    /// # use stockade::{Config, Durability, Engine, Reject, TeamId};
    /// # #[tokio::main]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let engine = Engine::open(Config::new("").durability(Durability::Memory)).await?;
    /// let unknown = engine.team(TeamId(4711)).await;
    /// assert_eq!(unknown, Err(Reject::TeamNotFound { team: TeamId(4711) }));
    /// # Ok(())
    /// # }
    /// ```
    pub async fn team(&self, team: TeamId) -> Result<TeamView, Reject> {
        let shown =
            self.read(|inner, reply| drop(inner.teams.inbox.push(TeamItem::Show { team, reply }))).await?;
        let Team { record, joined, paid, .. } = shown;
        Ok(TeamView {
            team,
            activity: record.activity,
            size: record.size,
            deadline_ms: record.deadline_ms,
            state: record.state,
            paid: paid.len() as u32,
            unpaid: joined.len() as u32,
        })
    }

    pub(super) async fn teams_hash(&self) -> Result<u64, Reject> {
        self.read(|inner, reply| drop(inner.teams.inbox.push(TeamItem::Hash(reply)))).await
    }
}

/// What a member's choice comes to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Seat {
    /// The team that the order opens.
    pub(super) wish: Option<TeamWish>,
    /// The deadline of the team that it joins, in ms since the Unix epoch.
    pub(super) deadline_ms: Option<u64>,
}

impl Inner {
    /// Checks the choice of a team, and gives an order that joins one its seat among the lines.
    pub(super) fn seat(
        &self,
        order: &SubmitOrder,
        activity: Option<&Activity>,
        priced: &mut PricedOrder,
        now_ms: u64,
    ) -> Result<Seat, Reject> {
        let order_type = order.order_type;
        let invalid = |rule| Err(Reject::TeamChoiceInvalid { order_type, rule });
        let terms = activity
            .filter(|activity| activity.kind == ActivityKind::GroupBuy)
            .zip(activity.and_then(|a| a.team));
        let Some((activity, terms)) = terms.filter(|_| order_type == OrderType::GroupBuy) else {
            return match order.team {
                TeamChoice::None => Ok(Seat::default()),
                TeamChoice::Open | TeamChoice::Join(_) => invalid("take no team"),
            };
        };
        match order.team {
            TeamChoice::None => invalid("open a team or join one"),
            TeamChoice::Open => {
                let (size, time_limit_ms) = (terms.size, terms.time_limit_ms);
                let (activity, ends_at_ms) = (activity.id, activity.end_ms);
                let wish = TeamWish { activity, size, time_limit_ms, ends_at_ms };
                // The opener's seat comes into being with the team.
                pad(priced);
                Ok(Seat { wish: Some(wish), deadline_ms: None })
            }
            TeamChoice::Join(team) => {
                let record = self.shared.teams.to_join(team, activity.id, now_ms)?;
                let mut lines = priced.lines.to_vec();
                lines.push(Line::seat(activity.id, team));
                priced.lines = Lines::from_vec(lines);
                pad(priced);
                let terms = priced.terms.get_or_insert_default();
                (terms.activity_id, terms.team_id) = (activity.id, team);
                Ok(Seat { wish: None, deadline_ms: Some(record.deadline_ms) })
            }
        }
    }
}

/// A seat costs nothing, and nothing is off its price.
fn pad(priced: &mut PricedOrder) {
    if let Some(terms) = &mut priced.terms
        && !terms.discounts.is_empty()
    {
        terms.discounts.push(Money::ZERO);
    }
}
