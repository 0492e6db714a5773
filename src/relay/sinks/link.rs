//! One connection that many deliveries share.
//!
//! A task owns the connection. It begins with the first delivery, takes further ones through a channel, and ends with the
//! connection: then everything that it had not settled is [`Undelivered::Down`], and the next delivery begins another. The
//! channel needs no bound of its own: the subscription has at most `in_flight_max` messages on their way.

use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;

use crate::relay::message::Message;
use crate::relay::sink::{Delivery, Undelivered};

/// How long a connection may take to be made, and everything that is declared on it.
pub(super) const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// How long nothing may be confirmed while messages are on their way.
pub(super) const STALL_TIMEOUT: Duration = Duration::from_secs(30);
/// How long closing may take.
pub(super) const CLOSE_TIMEOUT: Duration = Duration::from_secs(3);
/// Most deliveries that are taken from the channel at a time.
pub(super) const TAKEN_MAX: usize = 256;

/// What became of a delivery.
pub(super) type Outcome = Result<(), Undelivered>;

/// A delivery to be made.
pub(super) struct Job {
    pub(super) message: Arc<Message>,
    done: oneshot::Sender<Outcome>,
}

impl Job {
    /// Says what became of it.
    pub(super) fn settle(self, outcome: Outcome) {
        // Whoever asked may be gone.
        let _ = self.done.send(outcome);
    }
}

pub(super) type Jobs = mpsc::UnboundedReceiver<Job>;

/// Makes connections, each of which delivers until it ends.
pub(super) trait Connector: Clone + Send + Sync + 'static {
    /// Connects, and delivers what comes until the connection is gone or there is nobody to deliver for: then the channel
    /// ends. Answers why it ended.
    fn run(self, jobs: &mut Jobs) -> impl Future<Output = String> + Send;
}

/// The connection of a sink, made when it is needed.
pub(super) struct Link<C> {
    connector: C,
    running: Mutex<Option<Running>>,
}

struct Running {
    jobs: mpsc::UnboundedSender<Job>,
    task: JoinHandle<()>,
}

impl<C: Connector> Link<C> {
    pub(super) fn new(connector: C) -> Self {
        Self { connector, running: Mutex::new(None) }
    }

    /// Hands a message to the connection, which is begun where there is none.
    pub(super) fn deliver(&self, message: Arc<Message>) -> Delivery {
        let (done, outcome) = oneshot::channel();
        self.hand_over(Job { message, done });
        Box::pin(async move {
            let ended = |_| Err(Undelivered::Down("the connection has ended".to_owned()));
            outcome.await.unwrap_or_else(ended)
        })
    }

    fn hand_over(&self, job: Job) {
        let mut running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        let job = match running.as_ref() {
            None => job,
            Some(now) => match now.jobs.send(job) {
                Ok(()) => return,
                Err(mpsc::error::SendError(job)) => job,
            },
        };
        let Ok(runtime) = tokio::runtime::Handle::try_current() else {
            return job.settle(Err(Undelivered::Down("there is no tokio runtime here".to_owned())));
        };
        let (sender, jobs) = mpsc::unbounded_channel();
        if let Err(mpsc::error::SendError(job)) = sender.send(job) {
            return job.settle(Err(Undelivered::Down("the connection has ended".to_owned())));
        }
        let task = runtime.spawn(serve(self.connector.clone(), jobs));
        *running = Some(Running { jobs: sender, task });
    }

    /// Lets go of the connection, once what is on its way is settled, or after a while.
    pub(super) fn close(&self) -> Pin<Box<dyn Future<Output = ()> + Send>> {
        let running = self.running.lock().unwrap_or_else(PoisonError::into_inner).take();
        Box::pin(async move {
            let Some(Running { jobs, mut task }) = running else { return };
            drop(jobs);
            if tokio::time::timeout(CLOSE_TIMEOUT, &mut task).await.is_err() {
                task.abort();
            }
        })
    }
}

/// One connection, from its beginning to its end.
async fn serve<C: Connector>(connector: C, mut jobs: Jobs) {
    let reason = connector.run(&mut jobs).await;
    jobs.close();
    while let Some(job) = jobs.recv().await {
        job.settle(Err(Undelivered::Down(reason.clone())));
    }
}
