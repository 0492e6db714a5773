//! Questions that read many records: bounded in number, off the runtime's threads, and over before the engine is.
//!
//! They come from people who look at lists, not from members who buy: what they may use is kept small, so that the
//! look-ups of orders don't wait behind them.

use std::sync::Arc;

use tokio::sync::Semaphore;

use crate::domain::reject::Reject;

/// Scans that run at a time. A machine's other processors belong to the orders.
const RUNNING_MAX: u32 = 2;
/// Scans that run or wait; more are refused.
const ADMITTED_MAX: u32 = 64;
/// When a refused one may be tried again, in ms.
const RETRY_AFTER_MS: u32 = 200;

/// The way in for scans.
#[derive(Debug)]
pub(crate) struct Scans {
    /// What a refusal calls them.
    name: &'static str,
    admitted: Arc<Semaphore>,
    running: Arc<Semaphore>,
}

impl Default for Scans {
    fn default() -> Self {
        Self::new("scans of the store")
    }
}

impl Scans {
    /// A way in of its own, for what a refusal calls so.
    pub(crate) fn new(name: &'static str) -> Self {
        Self {
            name,
            admitted: Arc::new(Semaphore::new(ADMITTED_MAX as usize)),
            running: Arc::new(Semaphore::new(RUNNING_MAX as usize)),
        }
    }

    /// Waits for `ready`, then does `work` on a thread that may block.
    ///
    /// # Errors
    /// [`Reject::Overloaded`] where too many run or wait, [`Reject::Unavailable`] once closed, and what `work` answers.
    pub(crate) async fn run<T: Send + 'static>(
        &self,
        ready: impl Future<Output = ()>,
        work: impl FnOnce() -> Result<T, Reject> + Send + 'static,
    ) -> Result<T, Reject> {
        let Ok(admitted) = Arc::clone(&self.admitted).try_acquire_owned() else {
            return Err(if self.admitted.is_closed() {
                Reject::Unavailable
            } else {
                Reject::Overloaded { bound: self.name, retry_after_ms: RETRY_AFTER_MS }
            });
        };
        ready.await;
        let running =
            Arc::clone(&self.running).acquire_owned().await.map_err(|_closed| Reject::Unavailable)?;
        let done = tokio::task::spawn_blocking(move || {
            // Held until the work is over, whether or not somebody still waits for it.
            let _permits = (admitted, running);
            work()
        });
        done.await.unwrap_or(Err(Reject::Unavailable))
    }

    /// Lets nobody in any more, and waits for those that run: they hold on to the store's and the journal's files.
    pub(crate) async fn close(&self) {
        self.admitted.close();
        let over = self.running.acquire_many(RUNNING_MAX).await;
        // Whoever waits for its turn is let go before the turns are free again.
        self.running.close();
        drop(over);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn r12_scans_are_bounded_and_over_when_closed() {
        let scans = Arc::new(Scans::default());
        let (done, dones) = mpsc::channel();
        let mut gates = Vec::new();
        let mut running = Vec::new();
        for n in 0..ADMITTED_MAX {
            let (open, gate) = mpsc::channel::<()>();
            let (scans, done) = (Arc::clone(&scans), done.clone());
            gates.push(open);
            let work = move || {
                let _ = gate.recv();
                let _ = done.send(n);
                Ok(n)
            };
            running.push(tokio::spawn(async move { scans.run(async {}, work).await }));
        }
        while scans.admitted.available_permits() > 0 {
            tokio::task::yield_now().await;
        }
        let refused = scans.run(async {}, || Ok(())).await;
        assert!(matches!(refused, Err(Reject::Overloaded { .. })), "{refused:?}");

        let closing = tokio::spawn({
            let scans = Arc::clone(&scans);
            async move { scans.close().await }
        });
        drop(gates);
        closing.await.unwrap();
        drop(done);
        let finished = dones.iter().count();
        let mut answered = 0;
        for scan in running {
            answered += usize::from(scan.await.unwrap().is_ok());
        }
        assert_eq!(finished, answered, "nothing runs once it is closed");
        assert_eq!(scans.run(async {}, || Ok(())).await, Err(Reject::Unavailable));
    }
}
