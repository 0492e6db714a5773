//! The team actor: it owns the teams of all campaigns, lets payments of their orders begin, and says when a team has
//! formed or failed.
//!
//! An order's actor asks it before money pays an order with a seat, and reports what became of the order after the fact
//! stands in the journal. What the team comes to is journaled here, and then told to the orders, which journal it for
//! themselves. Recovery rebuilds the members from the orders, and tells those that were not told.

pub(crate) mod actor;
pub(crate) mod index;
pub(crate) mod shell;

use crate::actors::order::AppliedPayment;
use crate::actors::reply::Reply;
use crate::domain::ids::{ActivityId, OrderNo, TeamId};
use crate::domain::team::{Membership, Team, TeamEvent};

/// Work for the team actor.
#[derive(Debug)]
pub(crate) enum TeamItem {
    /// An order opened a team: its event stands in the journal.
    Opened(TeamEvent),
    /// What became of an order with a seat: its event stands in the journal.
    Member {
        /// The team.
        team: TeamId,
        /// The order.
        order_no: OrderNo,
        /// What became of it.
        what: Membership,
    },
    /// May this payment begin?
    BeginPayment {
        /// The team.
        team: TeamId,
        /// The payment.
        payment: AppliedPayment,
    },
    /// A payment that had begun has its outcome.
    EndPayment {
        /// The team.
        team: TeamId,
    },
    /// A campaign is over: the event of its end stands in the journal.
    EndCampaign(ActivityId),
    /// A question about a team.
    Show {
        /// The team.
        team: TeamId,
        /// Where the answer goes.
        reply: Reply<Team>,
    },
    /// The teams' part of the state hash.
    Hash(Reply<u64>),
    /// Time has passed.
    Tick,
}
