//! The audit's own memory of teams: who has a seat, who has paid, and whether a team was complete when it formed.

use hashbrown::{HashMap, HashSet};
use serde::Serialize;

use super::report::{Findings, Rule};
use crate::domain::event::OrderCreated;
use crate::domain::ids::{OrderNo, TeamId};
use crate::domain::order::{Line, Order, OrderStatus};
use crate::domain::team::{TeamEvent, TeamRecord, TeamState};

/// Teams by how far they are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct TeamTally {
    /// Waiting for members or payments.
    pub forming: u64,
    /// Complete.
    pub formed: u64,
    /// Not complete in time.
    pub failed: u64,
}

/// One team.
#[derive(Debug, Default)]
struct TeamRow {
    size: u32,
    state: TeamState,
    paid: HashSet<OrderNo>,
}

/// All teams.
#[derive(Debug, Default)]
pub(super) struct TeamBook {
    teams: HashMap<TeamId, TeamRow>,
    team_of: HashMap<OrderNo, TeamId>,
}

impl TeamBook {
    /// Something happened to a team.
    pub(super) fn event(&mut self, event: &TeamEvent, findings: &mut Findings) {
        let team = event.team();
        match *event {
            TeamEvent::Opened { size, .. } => {
                let row = TeamRow { size, ..TeamRow::default() };
                let is_first = self.teams.insert(team, row).is_none();
                findings.check(is_first, Rule::Once, || format!("team {team} is opened a second time"));
            }
            TeamEvent::Formed { .. } | TeamEvent::Failed { .. } => {
                let Some(row) = self.teams.get_mut(&team) else {
                    return findings.add(Rule::CausalPrefix, || format!("team {team} was not opened before"));
                };
                findings.check(row.state == TeamState::Forming, Rule::Teams, || {
                    format!("team {team} is {} and becomes something else", row.state.name())
                });
                if matches!(event, TeamEvent::Formed { .. }) {
                    let (paid, size) = (row.paid.len(), row.size);
                    findings.check(paid == size as usize, Rule::Teams, || {
                        format!("team {team} forms with {paid} members who have paid, of {size}")
                    });
                    row.state = TeamState::Formed;
                } else {
                    row.state = TeamState::Failed;
                }
            }
        }
    }

    /// An order was placed: one that names a team has one of its seats, and others have none.
    pub(super) fn created(&mut self, created: &OrderCreated, findings: &mut Findings) {
        let order_no = created.order_no;
        let team = created.extra.terms.as_deref().map_or(TeamId(0), |terms| terms.team_id);
        let seats: Vec<_> = created.lines.iter().filter(|line| line.is_seat()).collect();
        if team == TeamId(0) {
            return findings.check(seats.is_empty(), Rule::Teams, || {
                format!("order {order_no} has a seat and names no team")
            });
        }
        findings.check(self.teams.contains_key(&team), Rule::CausalPrefix, || {
            format!("order {order_no} names team {team}, which was not opened before")
        });
        let is_own = seats.iter().all(|seat| seat.key.sku.0 == team.0 && seat.quantity == 1);
        findings.check(seats.len() == 1 && is_own, Rule::Teams, || {
            format!("order {order_no} names team {team} and does not have one seat of it")
        });
        self.team_of.insert(order_no, team);
    }

    /// An order was paid.
    pub(super) fn paid(&mut self, order_no: OrderNo) {
        if let Some(row) = self.row_of(order_no) {
            row.paid.insert(order_no);
        }
    }

    /// An order was closed.
    pub(super) fn left(&mut self, order_no: OrderNo) {
        if let Some(row) = self.row_of(order_no).filter(|row| row.state == TeamState::Forming) {
            row.paid.remove(&order_no);
        }
    }

    /// An order heard that its team has formed.
    pub(super) fn joined(&mut self, order_no: OrderNo, findings: &mut Findings) {
        let formed = self.row_of(order_no).is_some_and(|row| row.state == TeamState::Formed);
        findings.check(formed, Rule::Teams, || {
            format!("order {order_no} goes on as a member of a team that has not formed")
        });
    }

    /// Whether an event that the store has taken in is known.
    pub(super) fn has(&self, event: &TeamEvent) -> bool {
        let Some(row) = self.teams.get(&event.team()) else { return false };
        match event {
            TeamEvent::Opened { .. } => true,
            TeamEvent::Formed { .. } => row.state == TeamState::Formed,
            TeamEvent::Failed { .. } => row.state == TeamState::Failed,
        }
    }

    /// A team is in the store.
    pub(super) fn know(&mut self, team: TeamId, record: &TeamRecord) {
        let row = self.teams.entry(team).or_default();
        (row.size, row.state) = (record.size, record.state);
    }

    /// An order is in the store.
    pub(super) fn know_order(&mut self, order: &Order) {
        let Some(team) = order.team().filter(|_| order.lines.iter().any(Line::is_seat)) else { return };
        self.team_of.insert(order.order_no, team);
        if !matches!(order.status, OrderStatus::Pending | OrderStatus::Cancelled) {
            self.teams.entry(team).or_default().paid.insert(order.order_no);
        }
    }

    /// Teams by how far they are.
    pub(super) fn tally(&self) -> TeamTally {
        let mut tally = TeamTally::default();
        for row in self.teams.values() {
            *match row.state {
                TeamState::Forming => &mut tally.forming,
                TeamState::Formed => &mut tally.formed,
                TeamState::Failed => &mut tally.failed,
            } += 1;
        }
        tally
    }

    fn row_of(&mut self, order_no: OrderNo) -> Option<&mut TeamRow> {
        let team = self.team_of.get(&order_no)?;
        self.teams.get_mut(team)
    }
}
