//! The activity actor: it owns the timers of sessions and campaigns, and closes those whose end has come.
//!
//! A start needs no timer: the front door goes by the window. An end is journaled, then what is left of the activity's
//! stock flows to the everyday stock. Its state is a list of ends, rebuilt from the settings on recovery.

pub(crate) mod actor;
pub(crate) mod shell;

use crate::domain::ids::ActivityId;

/// Work for the activity actor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ActivityWork {
    /// An activity was put, or ended, or found at the start: look at it.
    Look(ActivityId),
    /// Time has passed.
    Tick,
}
