//! What the front door knows of teams: where a team belongs, and until when it may be joined.

use dashmap::DashMap;
use hashbrown::DefaultHashBuilder;

use crate::domain::ids::{ActivityId, TeamId};
use crate::domain::reject::Reject;
use crate::domain::team::{TeamRecord, TeamState};

/// Team to record.
#[derive(Debug, Default)]
pub(crate) struct TeamIndex {
    teams: DashMap<TeamId, TeamRecord, DefaultHashBuilder>,
}

impl TeamIndex {
    /// Enters a team as it stands. A new one before its append, because who hears of it may be asked to join at once.
    pub(crate) fn put(&self, team: TeamId, record: TeamRecord) {
        self.teams.insert(team, record);
    }

    /// The team, if it can be joined in this campaign now.
    ///
    /// # Errors
    /// [`Reject::TeamNotFound`], [`Reject::TeamFull`], [`Reject::TeamClosed`].
    pub(crate) fn to_join(
        &self,
        team: TeamId,
        activity: ActivityId,
        now_ms: u64,
    ) -> Result<TeamRecord, Reject> {
        let record = self.teams.get(&team).map(|record| *record).filter(|record| record.activity == activity);
        let record = record.ok_or(Reject::TeamNotFound { team })?;
        match record.state {
            TeamState::Formed => Err(Reject::TeamFull { team }),
            TeamState::Failed => Err(Reject::TeamClosed { team }),
            TeamState::Forming if now_ms >= record.deadline_ms => Err(Reject::TeamClosed { team }),
            TeamState::Forming => Ok(record),
        }
    }
}
