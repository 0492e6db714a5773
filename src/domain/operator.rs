//! The operator log: what operators asked for, and why, recorded before it is done.
//!
//! An act is a word about a command, no command: nothing is decided from it and it belongs to no owner. It is written
//! ahead ("asked", not "done"), so that no write of an operator, and no look at personal data, is without its record,
//! whatever happens in between. What became of it is told by the events that follow.

use serde::{Deserialize, Serialize};

use super::hash::RecordHasher;
use super::reject::Reject;
use super::setting::OPERATOR_BYTES_MAX;

/// Longest reason of an act, in bytes of UTF-8.
pub const ACT_REASON_BYTES_MAX: usize = 256;
/// Longest name of what is done, in bytes.
pub const ACT_ACTION_BYTES_MAX: usize = 64;
/// Longest name of what it is done to, in bytes.
pub const ACT_TARGET_BYTES_MAX: usize = 128;
/// Longest id of the request that asked for it, in bytes.
pub const ACT_REQUEST_BYTES_MAX: usize = 64;

/// What an operator is about to do. No field is a place for personal data: the log is kept for good.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NewAct {
    /// Who; 1 to [`OPERATOR_BYTES_MAX`] bytes.
    pub operator: Box<str>,
    /// Why; at most [`ACT_REASON_BYTES_MAX`] bytes.
    pub reason: Box<str>,
    /// What, such as `order.ship`; 1 to [`ACT_ACTION_BYTES_MAX`] bytes.
    pub action: Box<str>,
    /// To what, such as an order number; at most [`ACT_TARGET_BYTES_MAX`] bytes.
    pub target: Box<str>,
    /// The id of the request that asked for it; at most [`ACT_REQUEST_BYTES_MAX`] bytes.
    pub request: Box<str>,
}

impl NewAct {
    /// Checks the bounds.
    ///
    /// # Errors
    /// [`Reject::FieldEmpty`], [`Reject::FieldTooLong`].
    pub fn validate(&self) -> Result<(), Reject> {
        Reject::check_present("operator", self.operator.len(), OPERATOR_BYTES_MAX)?;
        Reject::check_len("reason", self.reason.len(), ACT_REASON_BYTES_MAX)?;
        Reject::check_present("action", self.action.len(), ACT_ACTION_BYTES_MAX)?;
        Reject::check_len("target", self.target.len(), ACT_TARGET_BYTES_MAX)?;
        Reject::check_len("request", self.request.len(), ACT_REQUEST_BYTES_MAX)
    }

    /// The act as it is recorded.
    pub(crate) fn at(self, at_ms: u64) -> OperatorAct {
        let Self { operator, reason, action, target, request } = self;
        OperatorAct { at_ms, operator, reason, action, target, request }
    }
}

/// An operator asked for something. Whether it was done, later events tell.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OperatorAct {
    /// Engine time, in ms since the Unix epoch.
    pub at_ms: u64,
    /// Who.
    pub operator: Box<str>,
    /// Why; may be empty.
    pub reason: Box<str>,
    /// What, such as `order.ship`.
    pub action: Box<str>,
    /// To what, such as an order number; may be empty.
    pub target: Box<str>,
    /// The id of the request that asked for it; may be empty.
    pub request: Box<str>,
}

impl OperatorAct {
    /// A hash of all of it, by which an audit compares.
    pub(crate) fn record_hash(&self) -> u64 {
        let Self { at_ms, operator, reason, action, target, request } = self;
        [operator, reason, action, target, request]
            .into_iter()
            .fold(RecordHasher::new(u64::from_be_bytes(*b"operator")).word(*at_ms), |hash, text| {
                hash.bytes(text.as_bytes())
            })
            .finish()
    }

    /// Whether its fields are within their bounds.
    pub(crate) fn is_in_bounds(&self) -> bool {
        let Self { operator, reason, action, target, request, .. } = self.clone();
        NewAct { operator, reason, action, target, request }.validate().is_ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn act() -> NewAct {
        NewAct { operator: "li".into(), action: "order.ship".into(), ..NewAct::default() }
    }

    #[test]
    fn every_field_has_its_bounds() {
        assert_eq!(act().validate(), Ok(()));
        type Set = fn(&mut NewAct) -> &mut Box<str>;
        let fields: [(&str, Set, usize, bool); 5] = [
            ("operator", |act| &mut act.operator, 64, true),
            ("reason", |act| &mut act.reason, 256, false),
            ("action", |act| &mut act.action, 64, true),
            ("target", |act| &mut act.target, 128, false),
            ("request", |act| &mut act.request, 64, false),
        ];
        for (field, set, len_max, is_needed) in fields {
            let with = |len: usize| {
                let mut act = act();
                *set(&mut act) = "x".repeat(len).into();
                act.validate()
            };
            assert_eq!(with(len_max), Ok(()), "{field}");
            assert_eq!(with(len_max + 1), Err(Reject::FieldTooLong { field, len: len_max + 1, len_max }));
            assert_eq!(with(0), if is_needed { Err(Reject::FieldEmpty { field }) } else { Ok(()) });
        }
    }

    #[test]
    fn every_field_counts_in_the_hash() {
        let base = act().at(1);
        let mut others = vec![OperatorAct { at_ms: 2, ..base.clone() }];
        for set in [
            |act: &mut OperatorAct| act.operator = "x".into(),
            |act: &mut OperatorAct| act.reason = "x".into(),
            |act: &mut OperatorAct| act.action = "x".into(),
            |act: &mut OperatorAct| act.target = "x".into(),
            |act: &mut OperatorAct| act.request = "x".into(),
        ] {
            let mut other = base.clone();
            set(&mut other);
            others.push(other);
        }
        for other in others {
            assert_ne!(other.record_hash(), base.record_hash(), "{other:?}");
        }
    }
}
