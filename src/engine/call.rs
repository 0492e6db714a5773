//! How a caller's command or question gets in and its answer out: the gate, the credits that it takes, the answer's way
//! back. What is sent to whom is the caller's own matter; the credits go back with the answer.

use tokio::sync::oneshot;

use super::{Engine, Inner};
use crate::actors::reply::Reply;
use crate::domain::reject::Reject;

impl Inner {
    /// Sends a question, for so many credits. Unlike a command it is taken while the engine drains.
    pub(super) async fn read<T>(
        &self,
        credits: u64,
        send: impl FnOnce(&Self, Reply<T>),
    ) -> Result<T, Reject> {
        let answer = {
            self.check_readable()?;
            self.take_credits(credits)?;
            // A shutdown that didn't see these credits may have closed the engine meanwhile.
            self.check_readable().inspect_err(|_closed| self.credits.give_back(credits))?;
            let (reply, answer) = oneshot::channel();
            send(self, reply);
            answer
        };
        // A question changes nothing, so its outcome can't be unknown; what it would show is just not to be had.
        answer.await.unwrap_or(Err(Reject::Unavailable))
    }

    /// Sends a command, for so many credits, and waits for its answer. Where `send` refuses, it has given them back.
    pub(super) async fn call<T>(
        &self,
        credits: u64,
        send: impl FnOnce(&Self, Reply<T>) -> Result<(), Reject>,
    ) -> Result<T, Reject> {
        let answer = {
            self.check_open()?;
            self.take_credits(credits)?;
            self.check_still_open(credits)?;
            let (reply, answer) = oneshot::channel();
            send(self, reply)?;
            answer
        };
        answer.await.unwrap_or(Err(Reject::OutcomeUnknown))
    }
}

impl Engine {
    /// Sends a question that takes one credit, as [`Inner::read`].
    pub(super) async fn read<T>(&self, send: impl FnOnce(&Inner, Reply<T>)) -> Result<T, Reject> {
        self.inner.read(1, send).await
    }

    /// Sends a command that takes one credit, as [`Inner::call`].
    pub(super) async fn call<T>(
        &self,
        send: impl FnOnce(&Inner, Reply<T>) -> Result<(), Reject>,
    ) -> Result<T, Reject> {
        self.inner.call(1, send).await
    }
}
