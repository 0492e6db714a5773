//! Teams of a group-buy campaign: so many members who have paid, in time, or everybody gets their money back.
//!
//! A team's seats are a stock key: an order takes one with its units, so a full team refuses, and the purchase limit of one
//! seat keeps a member from joining twice. What is left to decide is here: whether a payment may still begin, when the
//! team is complete, and when it has failed. A payment that has begun holds off the failure, so that one of the two wins.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::hash::{RecordHasher, kinds};
use super::ids::{ActivityId, OrderNo, Slot, StockKey, TeamId};

/// What happened to a team. The variants' order is persisted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum TeamEvent {
    /// An order opened it; `OrderCreated` of that order follows in the same entry.
    Opened {
        /// Engine time, in ms since the Unix epoch.
        at_ms: u64,
        /// The team: the number of the order that opened it.
        team: TeamId,
        /// Its campaign.
        activity: ActivityId,
        /// Members that make it complete, which is the number of its seats.
        size: u32,
        /// The first instant at which no payment may begin any more, in ms since the Unix epoch.
        deadline_ms: u64,
    },
    /// It is complete.
    Formed {
        /// Engine time, in ms since the Unix epoch.
        at_ms: u64,
        /// The team.
        team: TeamId,
    },
    /// It was not complete in time.
    Failed {
        /// Engine time, in ms since the Unix epoch.
        at_ms: u64,
        /// The team.
        team: TeamId,
    },
}

impl TeamEvent {
    /// The event's stable name.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Opened { .. } => "TeamOpened",
            Self::Formed { .. } => "TeamFormed",
            Self::Failed { .. } => "TeamFailed",
        }
    }

    /// When it happened, in ms since the Unix epoch.
    pub const fn at_ms(&self) -> u64 {
        match self {
            Self::Opened { at_ms, .. } | Self::Formed { at_ms, .. } | Self::Failed { at_ms, .. } => *at_ms,
        }
    }

    /// The team.
    pub const fn team(&self) -> TeamId {
        match self {
            Self::Opened { team, .. } | Self::Formed { team, .. } | Self::Failed { team, .. } => *team,
        }
    }

    /// The slot that stands for it: that of the order that opened the team.
    pub fn slot(&self) -> Slot {
        OrderNo::from_u64(self.team().0).unwrap_or_default().slot()
    }
}

/// How far a team is. The variants' order is persisted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum TeamState {
    /// It waits for members, or for their payments.
    #[default]
    Forming,
    /// It is complete.
    Formed,
    /// It was not complete in time.
    Failed,
}

impl TeamState {
    /// The stable name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Forming => "forming",
            Self::Formed => "formed",
            Self::Failed => "failed",
        }
    }
}

/// What events say about a team.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TeamRecord {
    /// Its campaign.
    pub activity: ActivityId,
    /// Members that make it complete.
    pub size: u32,
    /// The first instant at which no payment may begin any more, in ms since the Unix epoch.
    pub deadline_ms: u64,
    /// How far it is.
    pub state: TeamState,
}

impl TeamRecord {
    /// The record after an event. `None` for an event that doesn't follow from what was before.
    pub fn after(before: Option<Self>, event: &TeamEvent) -> Option<Self> {
        match (*event, before) {
            (TeamEvent::Opened { activity, size, deadline_ms, .. }, None) => {
                Some(Self { activity, size, deadline_ms, state: TeamState::Forming })
            }
            (TeamEvent::Formed { .. }, Some(team)) if team.state == TeamState::Forming => {
                Some(Self { state: TeamState::Formed, ..team })
            }
            (TeamEvent::Failed { .. }, Some(team)) if team.state == TeamState::Forming => {
                Some(Self { state: TeamState::Failed, ..team })
            }
            _ => None,
        }
    }

    /// The key of its seats.
    pub const fn seats(&self, team: TeamId) -> StockKey {
        StockKey::seats(self.activity, team)
    }

    /// Its part of the state hash.
    pub fn record_hash(&self, team: TeamId) -> u64 {
        RecordHasher::new(kinds::TEAM)
            .word(team.0)
            .word(self.activity.0)
            .word(u64::from(self.size))
            .word(self.deadline_ms)
            .word(self.state as u64)
            .finish()
    }
}

/// A team with what is known of its members.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Team {
    /// What events say.
    pub record: TeamRecord,
    /// Orders that have a seat and are not paid.
    pub joined: BTreeSet<OrderNo>,
    /// Orders that have a seat and are paid.
    pub paid: BTreeSet<OrderNo>,
    /// Payments that have begun to apply.
    paying: u32,
    /// When it is looked at, in ms since the Unix epoch.
    due_ms: u64,
}

/// What became of an order with a seat.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Membership {
    /// It was placed.
    Joined,
    /// It was closed.
    Left,
    /// It was paid.
    Paid,
}

/// What follows from something, for the actor to carry out: the event first, then word to the orders.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TeamOutcome {
    /// What happened.
    pub event: TeamEvent,
    /// The orders that hear of it.
    pub orders: Vec<OrderNo>,
}

/// All teams.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TeamBook {
    teams: BTreeMap<TeamId, Team>,
    /// Teams that are forming, by when they are looked at.
    due: BTreeSet<(u64, TeamId)>,
}

impl TeamBook {
    /// Enters what an event says. An event that doesn't follow is ignored; the auditor finds it.
    pub fn apply(&mut self, event: &TeamEvent) {
        let team = event.team();
        let before = self.teams.get(&team).map(|team| team.record);
        let Some(record) = TeamRecord::after(before, event) else { return };
        match self.teams.get_mut(&team) {
            Some(known) => known.record = record,
            None => self.restore(team, record),
        }
        if record.state != TeamState::Forming
            && let Some(known) = self.teams.get(&team)
        {
            self.due.remove(&(known.due_ms, team));
        }
    }

    /// Enters a team as it was stored.
    pub fn restore(&mut self, team: TeamId, record: TeamRecord) {
        if record.state == TeamState::Forming {
            self.due.insert((record.deadline_ms, team));
        }
        let due_ms = record.deadline_ms;
        let known = Team { record, joined: BTreeSet::new(), paid: BTreeSet::new(), paying: 0, due_ms };
        self.teams.insert(team, known);
    }

    /// Enters an order with a seat as recovery found it; nothing follows from it yet.
    pub fn restore_member(&mut self, team: TeamId, order_no: OrderNo, what: Membership) {
        let Some(team) = self.teams.get_mut(&team) else { return };
        match what {
            Membership::Joined => team.joined.insert(order_no),
            Membership::Paid => team.paid.insert(order_no),
            Membership::Left => false,
        };
    }

    /// Teams that fell due while the engine was down wait so much longer, so that payments come first. In ms.
    pub fn grant_grace(&mut self, now_ms: u64, grace_ms: u64) {
        let overdue: Vec<_> = self.due.iter().take_while(|(at_ms, _)| *at_ms <= now_ms).copied().collect();
        for (_, team) in overdue {
            self.look_at(team, now_ms.saturating_add(grace_ms));
        }
    }

    /// A team.
    pub fn get(&self, team: TeamId) -> Option<&Team> {
        self.teams.get(&team)
    }

    /// All teams, ascending.
    pub fn iter(&self) -> impl Iterator<Item = (TeamId, &Team)> {
        self.teams.iter().map(|(id, team)| (*id, team))
    }

    /// Whether a payment of one of its orders may begin; if so the team can't fail until [`TeamBook::end_payment`].
    pub fn begin_payment(&mut self, team: TeamId, now_ms: u64) -> bool {
        let Some(team) = self.teams.get_mut(&team) else { return false };
        let may_begin = match team.record.state {
            TeamState::Forming => now_ms < team.due_ms,
            // Its seats are gone, which the payment's order finds out.
            TeamState::Formed => true,
            TeamState::Failed => false,
        };
        team.paying += u32::from(may_begin);
        may_begin
    }

    /// A payment that had begun has its outcome.
    pub fn end_payment(&mut self, team: TeamId, now_ms: u64) -> Option<TeamOutcome> {
        let known = self.teams.get_mut(&team)?;
        debug_assert!(known.paying > 0, "only what has begun ends");
        known.paying = known.paying.saturating_sub(1);
        self.look(team, now_ms)
    }

    /// Notes what became of an order with a seat.
    pub fn note(
        &mut self,
        team: TeamId,
        order_no: OrderNo,
        what: Membership,
        now_ms: u64,
    ) -> Option<TeamOutcome> {
        let known = self.teams.get_mut(&team)?;
        known.joined.remove(&order_no);
        match what {
            Membership::Joined => {
                known.joined.insert(order_no);
            }
            Membership::Left => {
                known.paid.remove(&order_no);
            }
            Membership::Paid => {
                known.paid.insert(order_no);
            }
        }
        self.look(team, now_ms)
    }

    /// The campaign is over: its teams that are forming fail as soon as no payment is under way.
    pub fn end_campaign(&mut self, activity: ActivityId, now_ms: u64) -> Vec<TeamOutcome> {
        let is_of = |team: &Team| team.record.activity == activity && team.record.state == TeamState::Forming;
        let found: Vec<_> = self.teams.iter().filter(|(_, team)| is_of(team)).map(|(id, _)| *id).collect();
        let mut outcomes = Vec::new();
        for team in found {
            // Looked at once more when a payment under way ends.
            self.look_at(team, now_ms);
            outcomes.extend(self.fail(team, now_ms));
        }
        outcomes
    }

    fn look_at(&mut self, id: TeamId, at_ms: u64) {
        let Some(team) = self.teams.get_mut(&id) else { return };
        self.due.remove(&(team.due_ms, id));
        team.due_ms = at_ms;
        self.due.insert((at_ms, id));
    }

    /// Teams that have failed by now, at most so many.
    pub fn expire(&mut self, now_ms: u64, len_max: usize) -> Vec<TeamOutcome> {
        let due: Vec<_> = self
            .due
            .iter()
            .take_while(|(at_ms, _)| *at_ms <= now_ms)
            .take(len_max)
            .map(|(_, team)| *team)
            .collect();
        due.into_iter().filter_map(|team| self.fail(team, now_ms)).collect()
    }

    /// When the next team is to be looked at, in ms since the Unix epoch. Teams that only wait for a payment to end are
    /// looked at then.
    pub fn next_due_ms(&self) -> Option<u64> {
        let waits = |team: &TeamId| self.teams.get(team).is_some_and(|team| team.paying > 0);
        self.due.iter().find(|(_, team)| !waits(team)).map(|(at_ms, _)| *at_ms)
    }

    /// The teams' part of the state hash.
    pub fn state_hash(&self) -> u64 {
        self.teams.iter().fold(0, |sum, (id, team)| sum.wrapping_add(team.record.record_hash(*id)))
    }

    /// Whether the team is complete, or has failed and only waited for a payment to end.
    fn look(&mut self, id: TeamId, now_ms: u64) -> Option<TeamOutcome> {
        let team = self.teams.get(&id)?;
        if team.record.state == TeamState::Forming && team.paid.len() >= team.record.size as usize {
            let orders = team.paid.iter().copied().collect();
            let event = TeamEvent::Formed { at_ms: now_ms, team: id };
            self.apply(&event);
            return Some(TeamOutcome { event, orders });
        }
        if team.due_ms <= now_ms { self.fail(id, now_ms) } else { None }
    }

    fn fail(&mut self, id: TeamId, now_ms: u64) -> Option<TeamOutcome> {
        let team = self.teams.get(&id)?;
        if team.record.state != TeamState::Forming || team.paying > 0 {
            return None;
        }
        let orders = team.joined.iter().chain(&team.paid).copied().collect();
        let event = TeamEvent::Failed { at_ms: now_ms, team: id };
        self.apply(&event);
        Some(TeamOutcome { event, orders })
    }

    /// What the orders of a team that is not forming must have heard: for recovery.
    pub fn settled(&self) -> impl Iterator<Item = (TeamState, OrderNo)> {
        self.teams.values().filter(|team| team.record.state != TeamState::Forming).flat_map(|team| {
            team.joined.iter().chain(&team.paid).map(move |order_no| (team.record.state, *order_no))
        })
    }

    /// Teams that were complete when the engine stopped, and had not been told so.
    pub fn complete(&mut self, now_ms: u64) -> Vec<TeamOutcome> {
        let ids: Vec<_> = self.teams.keys().copied().collect();
        let full = |team: &Team| team.paid.len() >= team.record.size as usize;
        let ids = ids.into_iter().filter(|id| self.teams.get(id).is_some_and(full));
        let ids: Vec<_> = ids.collect();
        ids.into_iter().filter_map(|id| self.look(id, now_ms)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEAM: TeamId = TeamId(1 << 30);

    fn book() -> TeamBook {
        let mut book = TeamBook::default();
        let activity = ActivityId(9);
        book.apply(&TeamEvent::Opened { at_ms: 1, team: TEAM, activity, size: 2, deadline_ms: 100 });
        book
    }

    fn order(n: u64) -> OrderNo {
        OrderNo::from_u64(n).unwrap()
    }

    #[test]
    fn it_forms_when_as_many_as_its_size_have_paid() {
        let mut book = book();
        assert_eq!(book.note(TEAM, order(1), Membership::Joined, 2), None);
        assert_eq!(book.note(TEAM, order(2), Membership::Joined, 2), None);
        assert!(book.begin_payment(TEAM, 3) && book.begin_payment(TEAM, 3));
        assert_eq!(book.note(TEAM, order(1), Membership::Paid, 4), None);
        let formed = book.note(TEAM, order(2), Membership::Paid, 5).unwrap();
        assert_eq!(formed.event, TeamEvent::Formed { at_ms: 5, team: TEAM });
        assert_eq!(formed.orders, [order(1), order(2)]);
        assert_eq!((book.end_payment(TEAM, 6), book.end_payment(TEAM, 6)), (None, None));
        assert_eq!((book.expire(1_000, 9), book.next_due_ms()), (vec![], None));
    }

    #[test]
    fn the_last_payment_and_the_deadline_have_one_winner() {
        // The payment began before the deadline: the failure waits for it.
        let mut book = book();
        book.note(TEAM, order(1), Membership::Paid, 2);
        book.note(TEAM, order(2), Membership::Joined, 2);
        assert!(book.begin_payment(TEAM, 99));
        assert_eq!((book.expire(100, 9), book.next_due_ms()), (vec![], None));
        assert!(!book.begin_payment(TEAM, 100), "at the deadline none begins");
        let formed = book.note(TEAM, order(2), Membership::Paid, 101).unwrap();
        assert_eq!(formed.event.name(), "TeamFormed");
        // The payment came to nothing: the team fails when it ends.
        let mut book = self::book();
        book.note(TEAM, order(1), Membership::Paid, 2);
        assert!(book.begin_payment(TEAM, 99));
        assert_eq!(book.expire(100, 9), []);
        let failed = book.end_payment(TEAM, 102).unwrap();
        assert_eq!((failed.event.name(), failed.orders), ("TeamFailed", vec![order(1)]));
        assert_eq!(book.expire(1_000, 9), []);
    }

    #[test]
    fn the_end_of_its_campaign_fails_a_team_early_and_the_members_hear_of_it() {
        let mut book = book();
        book.note(TEAM, order(1), Membership::Paid, 2);
        book.note(TEAM, order(2), Membership::Joined, 2);
        assert_eq!(book.end_campaign(ActivityId(8), 10), []);
        let failed = book.end_campaign(ActivityId(9), 10);
        assert_eq!(failed[0].orders, [order(2), order(1)]);
        assert!(!book.begin_payment(TEAM, 11));
    }

    #[test]
    fn a_campaign_that_ends_during_a_payment_fails_the_team_after_it() {
        let mut book = book();
        book.note(TEAM, order(1), Membership::Joined, 2);
        assert!(book.begin_payment(TEAM, 9));
        assert_eq!(book.end_campaign(ActivityId(9), 10), []);
        assert_eq!(book.note(TEAM, order(1), Membership::Paid, 11), None);
        assert_eq!(book.end_payment(TEAM, 11).unwrap().event.name(), "TeamFailed");
    }
}
