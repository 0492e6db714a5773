//! What a subscription delivers to.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use super::message::Message;

/// Why a message was not delivered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Undelivered {
    /// The other side can't be reached, or says that it can't take anything at present. Tried again without an end, and
    /// without counting as an attempt; the subscription waits.
    Down(String),
    /// The other side has refused this message. Counts as an attempt.
    Refused(String),
}

/// A delivery under way: done once the other side has taken responsibility for the message.
pub type Delivery = Pin<Box<dyn Future<Output = Result<(), Undelivered>> + Send>>;

/// Somewhere that messages go. Many are on their way at a time; those of one order come one after the other.
///
/// A sink connects by itself, when it is first used and after its connection broke.
pub trait Sink: Send + Sync + 'static {
    /// Begins to deliver a message. Must not block; dropping the delivery may or may not stop it.
    fn deliver(&self, message: Arc<Message>) -> Delivery;

    /// Lets go of connections. Called when the subscription ends, pauses or gets other settings.
    fn close(&self) -> Pin<Box<dyn Future<Output = ()> + Send>> {
        Box::pin(async {})
    }
}
