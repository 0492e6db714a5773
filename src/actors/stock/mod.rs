//! Stock actors: one per stock key, activated on first use, passivated when idle.

pub(crate) mod actor;
pub(crate) mod gauge;
pub(crate) mod registry;
pub(crate) mod shell;

use crate::actors::reply::Reply;
use crate::domain::ids::{AdjustmentId, StockKey};
use crate::domain::request::StockChange;
use crate::domain::stock::StockCounters;

/// Names the pending order that asked for units: which order actor, and which of its collecting orders.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Holder {
    /// Index of the order actor.
    pub(crate) actor: u16,
    /// Index of the order among those that the actor is collecting lines for.
    pub(crate) collect: u32,
}

/// Units that changed their state, summed over one round of one order actor.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Moves {
    /// New units: a team was opened with so many seats.
    pub(crate) open: u64,
    /// available → reserved: the order that opened a team has its seat.
    pub(crate) seize: u64,
    /// held → reserved: orders were placed.
    pub(crate) settle: u64,
    /// held → available: orders could not be placed.
    pub(crate) give_back: u64,
    /// reserved → available: orders were closed.
    pub(crate) release: u64,
    /// reserved → sold: orders were paid.
    pub(crate) sell: u64,
    /// sold → available: refunded units go back on sale.
    pub(crate) take_back: u64,
}

/// Work for a stock actor.
#[derive(Debug)]
pub(crate) enum StockItem {
    /// Asks for units.
    Hold {
        /// Who asks.
        holder: Holder,
        /// How many.
        quantity: u32,
    },
    /// Asks for units, on behalf of many orders of one order actor.
    Holds {
        /// Index of the order actor.
        actor: u16,
        /// The collecting order and how many units it wants, in order of arrival.
        wanted: Vec<(u32, u32)>,
    },
    /// Reports facts that stand in the journal, and holds that were given up.
    Move(Moves),
    /// Changes the total.
    Adjust(Box<Adjust>),
    /// Units come from another key: its transfer stands in the journal.
    Receive {
        /// How many.
        units: u64,
    },
    /// The activity that this stock is for is over: what is available here, and what comes back, goes there.
    Drain {
        /// Where to.
        to: StockKey,
    },
    /// So many available units are kept back from sale.
    KeepBack {
        /// How many.
        units: u64,
    },
    /// Asks for the counters.
    Read(Reply<StockCounters>),
    /// Asks for the key's part of the state hash.
    Hash(Reply<u64>),
    /// Suggests going to rest.
    Rest,
    /// Panics, to test what a bug would do.
    #[cfg(test)]
    Panic,
}

/// A request to change the total.
#[derive(Debug)]
pub(crate) struct Adjust {
    /// The operator's name for it.
    pub(crate) id: AdjustmentId,
    /// By how much.
    pub(crate) change: StockChange,
    /// What a [`StockChange::AvailableAt`] comes to.
    pub(crate) counted: i64,
    /// Where the counters afterwards go.
    pub(crate) reply: Reply<StockCounters>,
}
