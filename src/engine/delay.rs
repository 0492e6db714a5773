//! The delay queue's public side: a cheap handle that checks what it is given and asks the queue's actor.

use std::sync::{Arc, Weak};

use ractor::{Actor, ActorCell, ActorRef};

use super::config::Config;
use super::{Engine, Inner, OpenError};
use crate::actors::delay::actor::DelayActor;
use crate::actors::delay::handover::Handover;
use crate::actors::delay::shell::{DelayShell, DelayWorld};
use crate::actors::delay::timer::{self, DelayBoard};
use crate::actors::delay::{DelayCommand, DelayItem, DelayRequest, DelaySettings, Wait};
use crate::actors::reply::Reply;
use crate::domain::reject::Reject;
use crate::domain::task::{
    AckOutcome, DeadCursor, DeadLetter, DiscardOutcome, ExtendOutcome, NackOutcome, NewTask, PopOutcome,
    PushLimits, PushOutcome, RemoveOutcome, RequeueOutcome, RescheduleOutcome, ReservationId, ReserveOutcome,
    TASK_DELAY_MS_MAX, TASK_ID_BYTES_MAX, TaskBook, TopicName, TopicStats,
};
use crate::journal::JournalHandle;
use crate::runtime::clock::Clock;
use crate::runtime::credits::Credits;
use crate::runtime::inbox::{Bell, Inbox};

/// Largest batch, in bytes of ids and bodies.
pub const TASK_BATCH_BYTES_MAX: usize = 4 << 20;
/// Longest time that a caller may wait for a task, in ms: a day.
pub const TASK_WAIT_MS_MAX: u64 = 24 * 3_600_000;
/// Most dead letters on one page.
pub const DEAD_LETTERS_PAGE_MAX: usize = 1_000;
/// Credits that a page of dead letters takes, which may have 4 MiB of bodies.
const DEAD_LETTERS_CREDITS: u64 = (TASK_BATCH_BYTES_MAX / CREDIT_BYTES) as u64;
/// Bytes on their way that one credit stands for, so that credits bound memory also where bodies are large.
const CREDIT_BYTES: usize = 4 << 10;

/// The queue in the running engine.
pub(crate) struct DelayHandle {
    inbox: Arc<Inbox<DelayItem>>,
    pub(crate) board: Arc<DelayBoard>,
    pub(crate) actor: ActorRef<Bell>,
    /// Lives as long as the actor's shell.
    world: Weak<DelayWorld>,
    batch_max: usize,
    visibility_ms_max: u64,
}

impl DelayHandle {
    /// Starts the actor around recovered tasks.
    ///
    /// # Errors
    /// [`OpenError::Actor`].
    pub(super) async fn start(
        config: &Config,
        tasks: TaskBook,
        (journal, clock, credits): (&JournalHandle, &Clock, &Arc<Credits>),
        supervisor: ActorCell,
    ) -> Result<Self, OpenError> {
        let settings = DelaySettings {
            limits: PushLimits {
                topics_max: config.task_topics_max,
                tasks_max: config.tasks_max as u64,
                bytes_max: config.task_bytes_max,
                attempts_max: config.task_attempts_max,
            },
            waiters_max: config.task_waiters_max,
            dead_letters_max: config.task_dead_letters_max,
        };
        let inbox = Arc::new(Inbox::new());
        let board = Arc::new(DelayBoard::default());
        let world = Arc::new(DelayWorld {
            inbox: Arc::clone(&inbox),
            board: Arc::clone(&board),
            journal: journal.clone(),
            clock: clock.clone(),
            credits: Arc::clone(credits),
        });
        let actor = Box::new(DelayActor::new(tasks, settings, Arc::clone(&inbox)));
        let shell = DelayShell::new(Arc::clone(&world));
        let spawned = Actor::spawn_linked(None, shell, actor, supervisor).await;
        let (actor, _join) = spawned.map_err(|error| OpenError::Actor(error.to_string()))?;
        inbox.bind(actor.clone());
        Ok(Self {
            inbox,
            board,
            actor,
            world: Arc::downgrade(&world),
            batch_max: config.task_batch_max,
            visibility_ms_max: config.task_visibility_ms_max,
        })
    }

    /// The task that wakes the actor at its deadlines.
    pub(super) fn spawn_alarm(&self, clock: &Clock) -> tokio::task::JoinHandle<()> {
        // A manual clock's changes count from here on.
        let ticker = clock.ticker(std::time::Duration::ZERO);
        tokio::spawn(timer::watch(Arc::clone(&self.board), Arc::clone(&self.inbox), ticker))
    }

    /// Lets go of everybody who waits for a task: the engine is closing, or has failed.
    pub(super) fn drain(&self) {
        let _ = self.inbox.push(DelayItem::Drain);
    }

    /// Lets go of everything, once the actor is stopped.
    pub(super) fn abandon(&self) {
        self.inbox.close_and_clear();
    }

    /// Whether the actor's shell is gone.
    pub(super) fn has_no_shell(&self) -> bool {
        self.world.strong_count() == 0
    }

    /// Panics the actor, to test what a bug would do.
    #[cfg(test)]
    pub(super) fn panic(&self) {
        let _ = self.inbox.push(DelayItem::Panic);
    }
}

/// The delay queue: bodies under ids, by topic, handed out when they are due. Durable like everything else: what was
/// acknowledged survives, deadlines included. A cheap-to-clone handle, see [`Engine::delay`].
///
/// Tasks come out by due time, those with the same due time in the order in which they were pushed. There are two ways:
///
/// - **[`pop`](Self::pop), [`bpop`](Self::bpop)**: at most once. A popped task is gone; if the process crashes right then,
///   nobody has it.
/// - **[`reserve`](Self::reserve), [`ack`](Self::ack), [`nack`](Self::nack)**: at least once. A reserved task that is not
///   acknowledged within its visibility timeout is handed out again; after its last attempt it becomes a dead letter.
///
/// Every method answers once what it says is durable at the configured level. Times are the engine's, in ms.
///
/// # Errors
/// Of every method: [`Reject::FieldEmpty`], [`Reject::FieldTooLong`] and [`Reject::OutOfRange`] for what it is given;
/// [`Reject::Overloaded`] at a bound; [`Reject::Unavailable`] and [`Reject::OutcomeUnknown`] when the engine is closed or
/// fails.
#[derive(Clone)]
pub struct DelayQueue {
    inner: Arc<Inner>,
}

impl Engine {
    /// The delay queue.
    ///
    /// ```
    /// # use stockade::{Config, Durability, Engine, NewTask};
    /// # #[tokio::main]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let engine = Engine::open(Config::new("").durability(Durability::Memory)).await?;
    /// let queue = engine.delay();
    /// queue.push("mails", NewTask::new("welcome-7", "member 7").delay_ms(20)).await?;
    /// let task = queue.bpop("mails", 5_000).await?.task().expect("it is due after 20 ms");
    /// assert_eq!((task.id.as_str(), &*task.body), ("welcome-7", &b"member 7"[..]));
    /// # Ok(())
    /// # }
    /// ```
    pub fn delay(&self) -> DelayQueue {
        DelayQueue { inner: Arc::clone(&self.inner) }
    }
}

impl DelayQueue {
    /// Puts a task into a topic, which needs no preparation.
    ///
    /// # Errors
    /// See [`DelayQueue`]; also [`Reject::DiskReserve`].
    ///
    /// ```
    /// # use stockade::{Config, Durability, Engine, NewTask, PushOutcome};
    /// # #[tokio::main]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let engine = Engine::open(Config::new("").durability(Durability::Memory)).await?;
    /// let queue = engine.delay();
    /// let task = NewTask::new("order-42", "remind").delay_ms(60_000).ready_ttl_ms(5_000);
    /// assert!(matches!(queue.push("reminders", task.clone()).await?, PushOutcome::Pushed { .. }));
    /// assert_eq!(queue.push("reminders", task).await?, PushOutcome::DuplicateId);
    /// # Ok(())
    /// # }
    /// ```
    pub async fn push(&self, topic: &str, task: NewTask) -> Result<PushOutcome, Reject> {
        let outcomes = self.push_batch(topic, vec![task]).await?;
        outcomes.first().copied().ok_or(Reject::OutcomeUnknown)
    }

    /// Puts many tasks into a topic, each on its own: outcomes come in their order. Far cheaper per task than as many
    /// calls of [`DelayQueue::push`]. After a crash in between some of them may be there, and none was acknowledged.
    ///
    /// A bound refuses all of them: at most `task_batch_max` tasks and [`TASK_BATCH_BYTES_MAX`] bytes make a batch.
    ///
    /// # Errors
    /// As [`DelayQueue::push`], and [`Reject::BatchTooLong`].
    ///
    /// ```
    /// # use stockade::{Config, Durability, Engine, NewTask, PushOutcome};
    /// # #[tokio::main]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let engine = Engine::open(Config::new("").durability(Durability::Memory)).await?;
    /// let tasks = ["a", "b", "a"].map(|id| NewTask::new(id, "")).to_vec();
    /// let outcomes = engine.delay().push_batch("letters", tasks).await?;
    /// assert_eq!(outcomes[2], PushOutcome::DuplicateId);
    /// # Ok(())
    /// # }
    /// ```
    pub async fn push_batch(&self, topic: &str, tasks: Vec<NewTask>) -> Result<Vec<PushOutcome>, Reject> {
        let (len, len_max) = (tasks.len(), self.inner.delay.batch_max);
        if len > len_max {
            return Err(Reject::BatchTooLong { unit: "tasks", len, len_max });
        }
        let bytes = tasks.iter().map(NewTask::bytes).sum();
        if bytes > TASK_BATCH_BYTES_MAX {
            return Err(Reject::BatchTooLong { unit: "bytes", len: bytes, len_max: TASK_BATCH_BYTES_MAX });
        }
        tasks.iter().try_for_each(NewTask::validate)?;
        if let Some(bound) = self.inner.bound_reached() {
            return Err(bound);
        }
        let credits = (len + bytes / CREDIT_BYTES).max(1) as u64;
        self.command(topic, credits, |reply| DelayCommand::Push { tasks, reply }).await
    }

    /// Hands out the first due task for good, if there is one.
    ///
    /// ```
    /// # use stockade::{Config, Durability, Engine, NewTask, PopOutcome};
    /// # #[tokio::main]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let engine = Engine::open(Config::new("").durability(Durability::Memory)).await?;
    /// let queue = engine.delay();
    /// assert_eq!(queue.pop("mails").await?, PopOutcome::NotFound);
    /// queue.push("mails", NewTask::new("later", "").delay_ms(60_000)).await?;
    /// assert!(matches!(queue.pop("mails").await?, PopOutcome::NotDue { .. }));
    /// queue.push("mails", NewTask::new("now", "")).await?;
    /// assert_eq!(queue.pop("mails").await?.task().unwrap().id.as_str(), "now");
    /// # Ok(())
    /// # }
    /// ```
    pub async fn pop(&self, topic: &str) -> Result<PopOutcome, Reject> {
        self.pop_batch(topic, 1).await
    }

    /// Hands out up to `len_max` due tasks for good, about 4 MiB of bodies at most.
    ///
    /// ```
    /// # use stockade::{Config, Durability, Engine, NewTask};
    /// # #[tokio::main]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let engine = Engine::open(Config::new("").durability(Durability::Memory)).await?;
    /// let tasks = ["a", "b", "c"].map(|id| NewTask::new(id, "")).to_vec();
    /// engine.delay().push_batch("letters", tasks).await?;
    /// let popped = engine.delay().pop_batch("letters", 2).await?.tasks();
    /// assert_eq!([popped[0].id.as_str(), popped[1].id.as_str()], ["a", "b"]);
    /// # Ok(())
    /// # }
    /// ```
    pub async fn pop_batch(&self, topic: &str, len_max: usize) -> Result<PopOutcome, Reject> {
        self.seek(topic, len_max, Wait::No).await
    }

    /// Hands out the first task that is due within `timeout_ms`, and waits for it; the first who waits gets the first
    /// task. A caller who goes away, by dropping the future at any moment, leaves its task in the queue.
    ///
    /// # Errors
    /// Also [`Reject::Overloaded`] where `task_waiters_max` callers wait for this topic, and [`Reject::Unavailable`] when
    /// the engine shuts down meanwhile: then nothing was popped.
    ///
    /// ```
    /// # use stockade::{Config, Durability, Engine, NewTask, PopOutcome};
    /// # #[tokio::main]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let engine = Engine::open(Config::new("").durability(Durability::Memory)).await?;
    /// let queue = engine.delay();
    /// let (found, pushed) = tokio::join!(queue.bpop("mails", 5_000), queue.push("mails", NewTask::new("hello", "")));
    /// assert_eq!(found?.task().unwrap().id.as_str(), "hello");
    /// assert_eq!(queue.bpop("mails", 10).await?, PopOutcome::NotFound);
    /// # pushed?;
    /// # Ok(())
    /// # }
    /// ```
    pub async fn bpop(&self, topic: &str, timeout_ms: u64) -> Result<PopOutcome, Reject> {
        let wait = self.wait(timeout_ms)?;
        self.seek(topic, 1, wait).await
    }

    /// Hands out up to `len_max` due tasks, to be acknowledged within `visibility_ms`, 1 to `task_visibility_ms_max`.
    ///
    /// # Errors
    /// Also [`Reject::Overloaded`] where the topic could come to have more than `task_dead_letters_max` dead letters:
    /// work them off first.
    ///
    /// ```
    /// # use stockade::{AckOutcome, Config, Durability, Engine, NewTask};
    /// # #[tokio::main]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let engine = Engine::open(Config::new("").durability(Durability::Memory)).await?;
    /// let queue = engine.delay();
    /// queue.push("mails", NewTask::new("hello", "")).await?;
    /// let reserved = queue.reserve("mails", 1, 30_000).await?.tasks().remove(0);
    /// // … the work …
    /// assert_eq!(queue.ack("mails", "hello", reserved.reservation).await?, AckOutcome::Acked);
    /// # Ok(())
    /// # }
    /// ```
    pub async fn reserve(
        &self,
        topic: &str,
        len_max: usize,
        visibility_ms: u64,
    ) -> Result<ReserveOutcome, Reject> {
        self.seek_reserved(topic, len_max, visibility_ms, Wait::No).await
    }

    /// Reserves the first task that is due within `timeout_ms`, as [`DelayQueue::reserve`], and waits for it, as
    /// [`DelayQueue::bpop`].
    ///
    /// ```
    /// # use stockade::{Config, Durability, Engine, NewTask};
    /// # #[tokio::main]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let engine = Engine::open(Config::new("").durability(Durability::Memory)).await?;
    /// let queue = engine.delay();
    /// queue.push("mails", NewTask::new("hello", "").delay_ms(10)).await?;
    /// let reserved = queue.breserve("mails", 30_000, 5_000).await?.tasks();
    /// assert_eq!(reserved[0].task.attempts, 1);
    /// # Ok(())
    /// # }
    /// ```
    pub async fn breserve(
        &self,
        topic: &str,
        visibility_ms: u64,
        timeout_ms: u64,
    ) -> Result<ReserveOutcome, Reject> {
        let wait = self.wait(timeout_ms)?;
        self.seek_reserved(topic, 1, visibility_ms, wait).await
    }

    /// A reserved task is done, and gone for good.
    ///
    /// ```
    /// # use stockade::{AckOutcome, Config, Durability, Engine, NewTask};
    /// # #[tokio::main]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let engine = Engine::open(Config::new("").durability(Durability::Memory)).await?;
    /// # let queue = engine.delay();
    /// # queue.push("mails", NewTask::new("hello", "")).await?;
    /// let reserved = queue.reserve("mails", 1, 30_000).await?.tasks().remove(0);
    /// assert_eq!(queue.ack("mails", "hello", reserved.reservation).await?, AckOutcome::Acked);
    /// assert_eq!(queue.ack("mails", "hello", reserved.reservation).await?, AckOutcome::NotFound);
    /// # Ok(())
    /// # }
    /// ```
    pub async fn ack(&self, topic: &str, id: &str, reservation: ReservationId) -> Result<AckOutcome, Reject> {
        let id = checked(id)?;
        self.command(topic, 1, |reply| DelayCommand::Ack { id, reservation, reply }).await
    }

    /// A reservation holds until `visibility_ms` from now, 1 to `task_visibility_ms_max`: for work that takes longer than
    /// it was reserved for. That is no further attempt.
    ///
    /// ```
    /// # use stockade::{Config, Durability, Engine, ExtendOutcome, NewTask};
    /// # #[tokio::main]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let engine = Engine::open(Config::new("").durability(Durability::Memory)).await?;
    /// # let queue = engine.delay();
    /// queue.push("mails", NewTask::new("hello", "")).await?;
    /// let reserved = queue.reserve("mails", 1, 30_000).await?.tasks().remove(0);
    /// let extended = queue.extend("mails", "hello", reserved.reservation, 60_000).await?;
    /// assert!(matches!(extended, ExtendOutcome::Extended { until_ms } if until_ms > reserved.until_ms));
    /// # Ok(())
    /// # }
    /// ```
    pub async fn extend(
        &self,
        topic: &str,
        id: &str,
        reservation: ReservationId,
        visibility_ms: u64,
    ) -> Result<ExtendOutcome, Reject> {
        let id = checked(id)?;
        self.check_visibility(visibility_ms)?;
        let command = |reply| DelayCommand::Extend { id, reservation, visibility_ms, reply };
        self.command(topic, 1, command).await
    }

    /// A reserved task could not be done: it is due again `delay_ms` from now, or becomes a dead letter if this was its
    /// last attempt.
    ///
    /// ```
    /// # use stockade::{Config, Durability, Engine, NackOutcome, NewTask};
    /// # #[tokio::main]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let engine = Engine::open(Config::new("").durability(Durability::Memory)).await?;
    /// # let queue = engine.delay();
    /// queue.push("mails", NewTask::new("hello", "").attempts_max(1)).await?;
    /// let reserved = queue.reserve("mails", 1, 30_000).await?.tasks().remove(0);
    /// let outcome = queue.nack("mails", "hello", reserved.reservation, 0).await?;
    /// assert_eq!(outcome, NackOutcome::DeadLettered);
    /// # Ok(())
    /// # }
    /// ```
    pub async fn nack(
        &self,
        topic: &str,
        id: &str,
        reservation: ReservationId,
        delay_ms: u64,
    ) -> Result<NackOutcome, Reject> {
        let id = checked(id)?;
        Reject::check_range("delay_ms", delay_ms, 0, TASK_DELAY_MS_MAX)?;
        self.command(topic, 1, |reply| DelayCommand::Nack { id, reservation, delay_ms, reply }).await
    }

    /// Takes a task back, due or not, reserved or not.
    ///
    /// ```
    /// # use stockade::{Config, Durability, Engine, NewTask, RemoveOutcome};
    /// # #[tokio::main]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let engine = Engine::open(Config::new("").durability(Durability::Memory)).await?;
    /// # let queue = engine.delay();
    /// queue.push("timeouts", NewTask::new("order-42", "").delay_ms(60_000)).await?;
    /// assert_eq!(queue.remove("timeouts", "order-42").await?, RemoveOutcome::Removed);
    /// assert_eq!(queue.remove("timeouts", "order-42").await?, RemoveOutcome::NotFound);
    /// # Ok(())
    /// # }
    /// ```
    pub async fn remove(&self, topic: &str, id: &str) -> Result<RemoveOutcome, Reject> {
        let id = checked(id)?;
        self.command(topic, 1, |reply| DelayCommand::Remove { id, reply }).await
    }

    /// A pending task is due `delay_ms` from now, whether it was due already or not. Its `ready_ttl_ms` counts from there.
    ///
    /// ```
    /// # use stockade::{Config, Durability, Engine, NewTask, RescheduleOutcome};
    /// # #[tokio::main]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let engine = Engine::open(Config::new("").durability(Durability::Memory)).await?;
    /// # let queue = engine.delay();
    /// queue.push("timeouts", NewTask::new("order-42", "").delay_ms(60_000)).await?;
    /// let outcome = queue.reschedule("timeouts", "order-42", 0).await?;
    /// assert!(matches!(outcome, RescheduleOutcome::Rescheduled { .. }));
    /// assert!(queue.pop("timeouts").await?.task().is_some());
    /// # Ok(())
    /// # }
    /// ```
    pub async fn reschedule(
        &self,
        topic: &str,
        id: &str,
        delay_ms: u64,
    ) -> Result<RescheduleOutcome, Reject> {
        let id = checked(id)?;
        Reject::check_range("delay_ms", delay_ms, 0, TASK_DELAY_MS_MAX)?;
        self.command(topic, 1, |reply| DelayCommand::Reschedule { id, delay_ms, reply }).await
    }

    /// A topic's dead letters, oldest first, behind `after`: the cursor of the last one of the page before. A length
    /// outside 1 to [`DEAD_LETTERS_PAGE_MAX`] is brought inside; large bodies make a page shorter.
    ///
    /// ```
    /// # use stockade::{Config, DiscardOutcome, Durability, Engine, NewTask, RequeueOutcome};
    /// # #[tokio::main]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let engine = Engine::open(Config::new("").durability(Durability::Memory)).await?;
    /// # let queue = engine.delay();
    /// # for id in ["a", "b"] {
    /// #     queue.push("mails", NewTask::new(id, "").attempts_max(1)).await?;
    /// #     let reserved = queue.reserve("mails", 1, 30_000).await?.tasks().remove(0);
    /// #     queue.nack("mails", id, reserved.reservation, 0).await?;
    /// # }
    /// let first = queue.dead_letters("mails", None, 1).await?;
    /// let rest = queue.dead_letters("mails", Some(first[0].cursor), 10).await?;
    /// assert_eq!((first[0].task.id.as_str(), rest[0].task.id.as_str()), ("a", "b"));
    /// assert!(matches!(queue.requeue("mails", "a", 0).await?, RequeueOutcome::Requeued { .. }));
    /// assert_eq!(queue.discard("mails", "b").await?, DiscardOutcome::Discarded);
    /// # Ok(())
    /// # }
    /// ```
    pub async fn dead_letters(
        &self,
        topic: &str,
        after: Option<DeadCursor>,
        len_max: usize,
    ) -> Result<Vec<DeadLetter>, Reject> {
        let len_max = len_max.clamp(1, DEAD_LETTERS_PAGE_MAX);
        let command = |reply| DelayCommand::DeadLetters { after, len_max, reply };
        self.question(topic, DEAD_LETTERS_CREDITS, command).await
    }

    /// A dead letter becomes a pending task again, due `delay_ms` from now, with all its attempts. See
    /// [`DelayQueue::dead_letters`].
    pub async fn requeue(&self, topic: &str, id: &str, delay_ms: u64) -> Result<RequeueOutcome, Reject> {
        let id = checked(id)?;
        Reject::check_range("delay_ms", delay_ms, 0, TASK_DELAY_MS_MAX)?;
        self.command(topic, 1, |reply| DelayCommand::Requeue { id, delay_ms, reply }).await
    }

    /// A dead letter is given up for good. See [`DelayQueue::dead_letters`].
    pub async fn discard(&self, topic: &str, id: &str) -> Result<DiscardOutcome, Reject> {
        let id = checked(id)?;
        self.command(topic, 1, |reply| DelayCommand::Discard { id, reply }).await
    }

    /// Figures of a topic; all zero for one without tasks.
    ///
    /// ```
    /// # use stockade::{Config, Durability, Engine, NewTask};
    /// # #[tokio::main]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let engine = Engine::open(Config::new("").durability(Durability::Memory)).await?;
    /// # let queue = engine.delay();
    /// queue.push("mails", NewTask::new("hello", "")).await?;
    /// assert_eq!(queue.stats("mails").await?.pending, 1);
    /// assert_eq!(queue.topics().await?.len(), 1);
    /// # Ok(())
    /// # }
    /// ```
    pub async fn stats(&self, topic: &str) -> Result<TopicStats, Reject> {
        self.question(topic, 1, |reply| DelayCommand::Stats { reply }).await
    }

    /// All topics that have tasks, by name, with their figures.
    pub async fn topics(&self) -> Result<Vec<(TopicName, TopicStats)>, Reject> {
        self.inner.ask_delay(1, DelayItem::Topics).await
    }

    fn wait(&self, timeout_ms: u64) -> Result<Wait, Reject> {
        Reject::check_range("timeout_ms", timeout_ms, 0, TASK_WAIT_MS_MAX)?;
        Ok(Wait::Until(self.inner.clock.now_ms().saturating_add(timeout_ms)))
    }

    async fn seek(&self, topic: &str, len_max: usize, wait: Wait) -> Result<PopOutcome, Reject> {
        self.check_len(len_max)?;
        let answer = self.command(topic, 1, |reply| DelayCommand::Pop { len_max, wait, reply });
        // Until here a future that is dropped sends its tasks back.
        answer.await.map(Handover::take)
    }

    async fn seek_reserved(
        &self,
        topic: &str,
        len_max: usize,
        visibility_ms: u64,
        wait: Wait,
    ) -> Result<ReserveOutcome, Reject> {
        self.check_len(len_max)?;
        self.check_visibility(visibility_ms)?;
        let command = |reply| DelayCommand::Reserve { len_max, visibility_ms, wait, reply };
        self.command(topic, 1, command).await
    }

    fn check_visibility(&self, visibility_ms: u64) -> Result<(), Reject> {
        Reject::check_range("visibility_ms", visibility_ms, 1, self.inner.delay.visibility_ms_max)
    }

    fn check_len(&self, len_max: usize) -> Result<(), Reject> {
        Reject::check_range("len_max", len_max as u64, 1, self.inner.delay.batch_max as u64)
    }

    async fn command<T>(
        &self,
        topic: &str,
        credits: u64,
        command: impl FnOnce(Reply<T>) -> DelayCommand,
    ) -> Result<T, Reject> {
        let topic = TopicName::new(topic)?;
        let send = |inner: &Inner, reply| {
            let request = DelayRequest { credits, topic, command: command(reply) };
            // A closed inbox gives the item back; dropping it answers.
            let _ = inner.delay.inbox.push(DelayItem::Request(Box::new(request)));
            Ok(())
        };
        self.inner.call(credits, send).await
    }

    async fn question<T>(
        &self,
        topic: &str,
        credits: u64,
        command: impl FnOnce(Reply<T>) -> DelayCommand,
    ) -> Result<T, Reject> {
        let topic = TopicName::new(topic)?;
        let credits = credits.min(self.inner.credits.max());
        self.inner
            .ask_delay(credits, |reply| {
                let request = DelayRequest { credits, topic, command: command(reply) };
                DelayItem::Request(Box::new(request))
            })
            .await
    }
}

impl std::fmt::Debug for DelayQueue {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("DelayQueue").field("counts", &self.inner.delay.board.counts()).finish()
    }
}

impl Inner {
    /// The queue's part of the state hash.
    pub(super) async fn delay_hash(&self) -> Result<u64, Reject> {
        self.ask_delay(1, DelayItem::Hash).await
    }

    /// Asks the queue something that changes nothing. Taken while the engine drains, too.
    async fn ask_delay<T>(
        &self,
        credits: u64,
        item: impl FnOnce(Reply<T>) -> DelayItem,
    ) -> Result<T, Reject> {
        self.read(credits, |inner, reply| drop(inner.delay.inbox.push(item(reply)))).await
    }
}

fn checked(id: &str) -> Result<Box<str>, Reject> {
    Reject::check_present("task id", id.len(), TASK_ID_BYTES_MAX)?;
    Ok(id.into())
}
