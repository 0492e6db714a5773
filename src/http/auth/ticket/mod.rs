//! Sale tickets: the shop's risk service admits a member to an activity, once.
//!
//! A ticket is signed, expires, and is good for one request. It stands between authentication and the engine: whoever
//! brings none to an activity that needs one, or one that another request has used, costs the engine nothing. Who gets a
//! ticket is the risk service's decision; here is only checked that it took it.
//!
//! # Single use
//!
//! While the process lives, a table of used nonces refuses a second request. Across a restart the engine does: the
//! request id that it is given is a frozen hash of the ticket's nonce ([`Admission::request_id`]) and not the client's
//! own, and the engine answers one request id once (R8). A ticket that comes back after a restart, under whatever client
//! request id, thus finds the order that it led to, or a refusal because the body is another; never a second order.
//!
//! A full table refuses further tickets instead of forgetting used ones.

mod config;
mod format;
#[cfg(test)]
mod tests;
mod used;

use std::sync::Arc;

pub use config::{RequiredFor, TicketConfig, TicketConfigError, TicketKeyConfig};
pub use format::{NONCE_BYTES, TICKET_BYTES, Ticket, TicketKey, issue};
use used::{UseError, UsedTickets};

use crate::domain::ids::{ActivityId, MemberId, RequestId};

/// Why a member isn't admitted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
#[non_exhaustive]
pub enum TicketError {
    /// The activity needs a ticket, and there is none.
    #[error("this activity needs a ticket")]
    Required,
    /// It isn't a ticket of ours: its form, its signature, or it would be good for longer than tickets are.
    #[error("the ticket is not valid")]
    Invalid,
    /// Its time is over.
    #[error("the ticket has expired")]
    Expired,
    /// It admits another member, or to another activity.
    #[error("the ticket is for another member or activity")]
    NotYours,
    /// Another request has used it.
    #[error("the ticket was used by another request")]
    Used,
    /// As many tickets are in use as may be; some expire soon.
    #[error("too many tickets are in use, try again soon")]
    OfficeFull,
}

impl TicketError {
    /// All of them, for the documentation of the interface.
    pub const ALL: [Self; 6] =
        [Self::Required, Self::Invalid, Self::Expired, Self::NotYours, Self::Used, Self::OfficeFull];

    /// The stable code.
    pub const fn code(self) -> &'static str {
        match self {
            Self::Required => "ticket_required",
            Self::Invalid => "ticket_invalid",
            Self::Expired => "ticket_expired",
            Self::NotYours => "ticket_not_yours",
            Self::Used => "ticket_used",
            Self::OfficeFull => "ticket_office_full",
        }
    }

    /// Whether the same request may be admitted later.
    pub const fn is_retryable(self) -> bool {
        matches!(self, Self::OfficeFull)
    }
}

/// That a member is admitted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Admission {
    /// The request id that the engine is to be given in place of the client's own: see the [module](self).
    pub request_id: RequestId,
}

/// Checks tickets and remembers which were used.
///
/// Shared by all requests. **Cost.** One HMAC over 58 bytes and one short lock.
#[derive(Debug)]
pub struct TicketOffice {
    keys: Box<[TicketKey]>,
    required_for: RequiredFor,
    lifetime_ms_max: u64,
    tickets_max: usize,
    used: Arc<UsedTickets>,
}

impl TicketOffice {
    /// Reads the keys, and starts with no ticket used. Blocks on the keys' files.
    ///
    /// # Errors
    /// [`TicketConfigError`].
    pub fn load(config: &TicketConfig) -> Result<Self, TicketConfigError> {
        Self::with_keys(config.load_keys()?, config)
    }

    /// Like [`TicketOffice::load`], with these keys in place of those that the configuration names.
    ///
    /// # Errors
    /// [`TicketConfigError`] for keys or bounds that can't be.
    pub fn with_keys(keys: Vec<TicketKey>, config: &TicketConfig) -> Result<Self, TicketConfigError> {
        Self::sharing(Arc::default(), keys, config)
    }

    /// An office by another configuration that knows of the tickets used so far, for when the configuration is read
    /// anew: used tickets stay used. Both may check side by side for a while. Blocks on the keys' files.
    ///
    /// # Errors
    /// [`TicketConfigError`].
    pub fn reload(&self, config: &TicketConfig) -> Result<Self, TicketConfigError> {
        Self::sharing(Arc::clone(&self.used), config.load_keys()?, config)
    }

    fn sharing(
        used: Arc<UsedTickets>,
        keys: Vec<TicketKey>,
        config: &TicketConfig,
    ) -> Result<Self, TicketConfigError> {
        config.check(&keys)?;
        Ok(Self {
            keys: keys.into(),
            required_for: config.required_for.clone(),
            lifetime_ms_max: config.lifetime_ms_max,
            tickets_max: config.tickets_max,
            used,
        })
    }

    /// Whether orders in this activity need a ticket; those in none (0) never do.
    pub fn requires(&self, activity: ActivityId) -> bool {
        self.required_for.has(activity)
    }

    /// Admits a request to an activity: without a ticket where none is needed, else by [`TicketOffice::check`]. `None`
    /// leaves the client's request id as it is; a ticket that isn't needed is not looked at, and not used up.
    ///
    /// # Errors
    /// [`TicketError::Required`], and those of [`TicketOffice::check`].
    pub fn admit(
        &self,
        ticket: Option<&str>,
        member: MemberId,
        activity: ActivityId,
        request: RequestId,
        now_ms: u64,
    ) -> Result<Option<Admission>, TicketError> {
        if !self.requires(activity) {
            return Ok(None);
        }
        let ticket = ticket.ok_or(TicketError::Required)?;
        self.check(ticket, member, activity, request, now_ms).map(Some)
    }

    /// Admits the request with this client request id by its ticket, and uses the ticket up. A retry of the same
    /// request is admitted again, also at the same time, until the ticket expires.
    ///
    /// # Errors
    /// [`TicketError`]; of these only [`TicketError::OfficeFull`] may be another the next time.
    pub fn check(
        &self,
        ticket: &str,
        member: MemberId,
        activity: ActivityId,
        request: RequestId,
        now_ms: u64,
    ) -> Result<Admission, TicketError> {
        let ticket = Ticket::read(ticket, &self.keys).ok_or(TicketError::Invalid)?;
        if ticket.expires_ms <= now_ms {
            return Err(TicketError::Expired);
        }
        // One that is good for years would stand in the table for years.
        if ticket.expires_ms - now_ms > self.lifetime_ms_max {
            return Err(TicketError::Invalid);
        }
        if (ticket.member, ticket.activity) != (member, activity) {
            return Err(TicketError::NotYours);
        }
        self.used.enter(ticket.nonce, request, ticket.expires_ms, now_ms, self.tickets_max).map_err(
            |error| match error {
                UseError::ByAnother => TicketError::Used,
                UseError::Full => TicketError::OfficeFull,
            },
        )?;
        Ok(Admission { request_id: ticket.request_id() })
    }

    /// The request id under which the engine knows the request of this member's ticket, whether it was used and whether
    /// it has expired: for asking what became of it.
    ///
    /// # Errors
    /// [`TicketError::Invalid`], [`TicketError::NotYours`].
    pub fn request_of(&self, ticket: &str, member: MemberId) -> Result<RequestId, TicketError> {
        let ticket = Ticket::read(ticket, &self.keys).ok_or(TicketError::Invalid)?;
        if ticket.member == member { Ok(ticket.request_id()) } else { Err(TicketError::NotYours) }
    }

    /// How many used tickets are remembered, for a gauge.
    pub fn tickets_used(&self) -> usize {
        self.used.len()
    }
}
