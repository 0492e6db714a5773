//! Why a notification was not taken, and why a provider can't be set up.

use crate::domain::reject::{Reject, Retry};

use crate::http::secret::SecretError;

/// How long a provider is asked to wait where nobody knows, in seconds.
const RETRY_AFTER_S: u32 = 5;

/// A notification that doesn't come from the provider, is too old, or says nothing that makes sense. Its messages repeat
/// nothing of what was sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CallbackError {
    /// A header that the signature needs is absent.
    #[error("header {header} is missing")]
    MissingHeader {
        /// Which.
        header: &'static str,
    },
    /// A header that is given more than once or can't be read.
    #[error("header {header} is malformed: it must be given once, as {expected}")]
    MalformedHeader {
        /// Which.
        header: &'static str,
        /// What it must be.
        expected: &'static str,
    },
    /// Signed with a key that is not configured.
    #[error("the key that the notification is signed with is not configured")]
    UnknownKey,
    /// The signature is not that of the provider over these bytes.
    #[error("the signature does not match")]
    BadSignature,
    /// Signed too long ago, or too far in the future.
    #[error("the timestamp is {apart_s} s from the server's time: at most {window_s} s are allowed")]
    TimestampOutsideWindow {
        /// How far it is away, in seconds.
        apart_s: u64,
        /// The bound, in seconds.
        window_s: u32,
    },
    /// What was encrypted for the shop can't be decrypted with its key.
    #[error("the encrypted part can't be decrypted with the configured key")]
    Undecryptable,
    /// A body without a field, or with another kind of value in it.
    #[error("the body is malformed: {field} must be {expected}")]
    MalformedBody {
        /// Which field; `body` for the whole.
        field: &'static str,
        /// What it must be.
        expected: &'static str,
    },
    /// It is for another merchant than the one that is configured.
    #[error("the notification is for another merchant")]
    ForeignMerchant,
}

impl CallbackError {
    /// The stable code.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::MissingHeader { .. } => "missing_header",
            Self::MalformedHeader { .. } => "malformed_header",
            Self::UnknownKey => "unknown_key",
            Self::BadSignature => "bad_signature",
            Self::TimestampOutsideWindow { .. } => "timestamp_outside_window",
            Self::Undecryptable => "undecryptable",
            Self::MalformedBody { .. } => "malformed_body",
            Self::ForeignMerchant => "foreign_merchant",
        }
    }

    /// The HTTP status.
    pub const fn status(&self) -> u16 {
        match self {
            Self::MissingHeader { .. }
            | Self::MalformedHeader { .. }
            | Self::UnknownKey
            | Self::BadSignature
            | Self::TimestampOutsideWindow { .. } => 401,
            Self::Undecryptable | Self::MalformedBody { .. } => 400,
            Self::ForeignMerchant => 403,
        }
    }
}

/// Why a notification was not recorded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Failure {
    /// It could not be trusted or read.
    #[error(transparent)]
    Refused(#[from] CallbackError),
    /// The engine took it not.
    #[error(transparent)]
    Rejected(#[from] Reject),
}

impl Failure {
    /// The stable code, of [`CallbackError`] or [`Reject`].
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Refused(error) => error.code(),
            Self::Rejected(reject) => reject.code(),
        }
    }

    /// The HTTP status: 503 where the same notification may be taken later, 4xx where it would be refused again.
    pub const fn status(&self) -> u16 {
        match self {
            Self::Refused(error) => error.status(),
            Self::Rejected(reject) => match (reject.retry(), reject) {
                (Retry::After { .. } | Retry::AfterRestart, _) => 503,
                (Retry::Never, Reject::RefundNotFound) => 404,
                (
                    Retry::Never,
                    Reject::PaymentIdReused
                    | Reject::WrongRefundState { .. }
                    | Reject::RefundFinishedOtherwise,
                ) => 409,
                (Retry::Never, _) => 422,
            },
        }
    }

    /// How long to wait before sending the notification again, in seconds; `None` where that would not help.
    pub fn retry_after_s(&self) -> Option<u32> {
        match self {
            Self::Refused(_) => None,
            Self::Rejected(reject) => match reject.retry() {
                Retry::Never => None,
                Retry::After { wait_ms } => Some(wait_ms.div_ceil(1_000).max(1)),
                Retry::AfterRestart => Some(RETRY_AFTER_S),
            },
        }
    }
}

/// Why a provider can't be set up as it is configured.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ProviderError {
    /// A secret or key can't be read.
    #[error("{what} of provider {name} can't be read")]
    Secret {
        /// The provider.
        name: String,
        /// Which secret.
        what: &'static str,
        /// Why.
        source: SecretError,
    },
    /// A secret or key of the wrong kind.
    #[error("{what} of provider {name} must be {expected}")]
    InvalidKey {
        /// The provider.
        name: String,
        /// Which key.
        what: &'static str,
        /// What it must be.
        expected: &'static str,
    },
    /// A setting outside its bounds.
    #[error("{what} of provider {name:?} must be {expected}")]
    InvalidSetting {
        /// The provider.
        name: String,
        /// Which setting.
        what: &'static str,
        /// What it may be.
        expected: &'static str,
    },
    /// Two providers of one name.
    #[error("there are two payment providers of the name {name}")]
    NameTwice {
        /// The name.
        name: String,
    },
    /// More providers than there may be.
    #[error("there are {len} payment providers: at most {len_max} are allowed")]
    TooMany {
        /// How many there are.
        len: usize,
        /// The bound.
        len_max: usize,
    },
}
