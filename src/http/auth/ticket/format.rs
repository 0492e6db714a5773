//! What a ticket looks like: `v1.<payload>.<signature>`, both in base64url without padding.
//!
//! The payload has 41 bytes, numbers with their highest byte first: the key's id (1), member (8), activity (8), expiry in
//! ms since the Unix epoch (8), nonce (16). The signature is HMAC-SHA256 over `v1.<payload>` as it is written. The form is
//! frozen: other systems write it, and the nonce's hash is in the journal.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::{Hmac, Mac};
use sha2::Sha256;

use super::config::TicketConfigError;
use crate::domain::ids::{ActivityId, MemberId, RequestId};
use crate::http::auth::keys::SECRET_BYTES_MIN;
use crate::http::secret::Secret;

/// Length of a nonce, in bytes.
pub const NONCE_BYTES: usize = 16;
/// Length of a ticket, in bytes.
pub const TICKET_BYTES: usize = 102;

const VERSION: &str = "v1.";
const PAYLOAD_BYTES: usize = 41;
const SIGNATURE_BYTES: usize = 32;
/// Length of the part that is signed: the version, and the payload in base64url.
const SIGNED_BYTES: usize = 58;
/// What a nonce is hashed behind, so that it meets no hash of a client's own request key by accident.
const REQUEST_PREFIX: &[u8; 20] = b"stockade sale ticket";

/// A key that tickets are signed with.
#[derive(Clone)]
pub struct TicketKey {
    id: u8,
    /// With the key taken in, which is half of the work.
    mac: Hmac<Sha256>,
}

impl fmt::Debug for TicketKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TicketKey").field("id", &self.id).finish_non_exhaustive()
    }
}

impl TicketKey {
    /// The key of that id.
    ///
    /// # Errors
    /// [`TicketConfigError::SecretTooShort`] below 32 bytes.
    pub fn new(id: u8, secret: &Secret) -> Result<Self, TicketConfigError> {
        let bytes = secret.expose();
        if bytes.len() < SECRET_BYTES_MIN {
            return Err(TicketConfigError::SecretTooShort { id, bytes: bytes.len() });
        }
        let mac = Hmac::new_from_slice(bytes).expect("hmac takes a key of any length");
        Ok(Self { id, mac })
    }

    /// Its id.
    pub fn id(&self) -> u8 {
        self.id
    }
}

/// What a ticket says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ticket {
    /// Whom it admits.
    pub member: MemberId,
    /// To what.
    pub activity: ActivityId,
    /// The first instant at which it is good no more, in ms since the Unix epoch.
    pub expires_ms: u64,
    /// What makes it unique: random, and never the same for two tickets.
    pub nonce: [u8; NONCE_BYTES],
}

impl Ticket {
    /// Reads a ticket that one of these keys has signed.
    pub(super) fn read(text: &str, keys: &[TicketKey]) -> Option<Self> {
        let text = text.as_bytes();
        // The length is looked at first: nothing else is done for a text that can't be a ticket.
        if text.len() != TICKET_BYTES {
            return None;
        }
        let (signed, signature) = text.split_at(SIGNED_BYTES);
        let payload: [u8; PAYLOAD_BYTES] = decoded(signed.strip_prefix(VERSION.as_bytes())?)?;
        let signature: [u8; SIGNATURE_BYTES] = decoded(signature.strip_prefix(b".")?)?;
        let key = keys.iter().find(|key| key.id == payload[0])?;
        // Compares in constant time.
        key.mac.clone().chain_update(signed).verify_slice(&signature).ok()?;
        Some(Self::of_payload(&payload))
    }

    /// The request id that the engine is given for this ticket: a frozen hash of its nonce.
    ///
    /// The hash is not a cryptographic one and needn't be: the nonce is signed, so that no client chooses it.
    pub fn request_id(&self) -> RequestId {
        let mut key = [0; REQUEST_PREFIX.len() + NONCE_BYTES];
        key[..REQUEST_PREFIX.len()].copy_from_slice(REQUEST_PREFIX);
        key[REQUEST_PREFIX.len()..].copy_from_slice(&self.nonce);
        RequestId::from_key(&key)
    }

    fn of_payload(payload: &[u8; PAYLOAD_BYTES]) -> Self {
        let word = |at: usize| payload[at..at + 8].iter().fold(0, |word, byte| word << 8 | u64::from(*byte));
        let mut nonce = [0; NONCE_BYTES];
        nonce.copy_from_slice(&payload[25..]);
        Self { member: MemberId(word(1)), activity: ActivityId(word(9)), expires_ms: word(17), nonce }
    }

    fn payload(&self, key_id: u8) -> [u8; PAYLOAD_BYTES] {
        let mut payload = [key_id; PAYLOAD_BYTES];
        payload[1..9].copy_from_slice(&self.member.0.to_be_bytes());
        payload[9..17].copy_from_slice(&self.activity.0.to_be_bytes());
        payload[17..25].copy_from_slice(&self.expires_ms.to_be_bytes());
        payload[25..].copy_from_slice(&self.nonce);
        payload
    }
}

/// Writes and signs a ticket, as the shop's risk service does; here for demonstrations, load tests and tests.
pub fn issue(key: &TicketKey, ticket: &Ticket) -> String {
    let mut text = VERSION.to_owned();
    URL_SAFE_NO_PAD.encode_string(ticket.payload(key.id), &mut text);
    let signature = key.mac.clone().chain_update(&text).finalize().into_bytes();
    text.push('.');
    URL_SAFE_NO_PAD.encode_string(signature, &mut text);
    text
}

/// Exactly `N` bytes, from their one form in base64url.
fn decoded<const N: usize>(text: &[u8]) -> Option<[u8; N]> {
    // The decoder asks for room by a bound that may lie two bytes above what it writes.
    let mut room = [0; 64];
    let len = URL_SAFE_NO_PAD.decode_slice(text, &mut room).ok()?;
    room[..len].try_into().ok()
}
