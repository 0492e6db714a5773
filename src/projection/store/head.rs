//! The head: what a checkpoint says about itself, written in the same atomic batch.

use serde::{Deserialize, Serialize};

use crate::domain::ids::{OrderNo, PaymentId, Position};
use crate::domain::money::Money;

/// A payment that is recorded and whose outcome stands behind the checkpoint's position.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct PendingPayment {
    /// Which.
    pub(crate) payment: PaymentId,
    /// The order it is for.
    pub(crate) order_no: OrderNo,
    /// How much.
    pub(crate) amount: Money,
}

/// A checkpoint's own record. Fields are only ever added in a new record version.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Head {
    /// Everything up to here is in the store.
    pub(crate) position: Position,
    /// Exclusive end of the reserved order numbers, in ms since the epoch of order numbers.
    pub(crate) numbers_until_ms: u64,
    /// Time of the latest event, in ms since the Unix epoch.
    pub(crate) latest_at_ms: u64,
    /// Sum of the state hashes of all closed orders (R7).
    pub(crate) closed_sum: u64,
    /// Number of closed orders.
    pub(crate) closed_orders: u64,
    /// Sum of the state hashes of all payments whose outcome is known, those that are no longer kept included.
    pub(crate) payments_sum: u64,
    /// Number of orders ever placed.
    pub(crate) orders: u64,
    /// Payments without an outcome.
    pub(crate) pending: Vec<PendingPayment>,
}
