//! The batched inbox: what an actor's work travels in.
//!
//! A message of ractor's costs about 200 ns and one allocation. Here a producer pushes its item into a queue and
//! rings (one ractor message) only if nobody has rung already; the actor, woken, drains what is there, in bounded
//! rounds. Idle, latency is one message; under load one message carries hundreds of items.
//!
//! A producer that finds an inbox idle may also do its item's round itself ([`Inbox::push_or_serve`]): it is the one who
//! would ring, so it is the only consumer until it says that it is done. That spares the message and the wake-up.
//!
//! The queue itself is unbounded: the credits taken at the front door bound what can be in it (R12).

use std::fmt;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};

use crossbeam::queue::SegQueue;
use crossbeam::utils::CachePadded;
use ractor::ActorRef;

use super::doorbell::{Announce, Doorbell};

/// Looks at the queue of an inbox whose consumer is gone.
const FAREWELL_LOOKS: u32 = 64;
/// How often a drain looks again for an item that is announced and not pushed yet.
const LOOKS_MAX: u32 = 64;
/// After so many rounds in a row that found nothing, each further one yields the thread: the producer that has
/// announced its item may be waiting for this very core.
const FRUITLESS_ROUNDS_MAX: u32 = 4;

/// The message of every actor that works from an [`Inbox`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bell {
    /// There are items in the inbox.
    Ring,
}

/// The inbox is closed; gives the item back. The producer looks up the actor again and pushes there.
#[derive(Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the inbox is closed: resolve its actor again")]
pub struct Closed<T>(pub T);

impl<T> fmt::Debug for Closed<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Closed")
    }
}

/// A queue with many producers and one consumer, the actor it is bound to.
///
/// Items of one producer are drained in the order of its pushes. Each push is drained exactly once, also when it
/// races with [`Inbox::bind`] or [`Inbox::close_if_idle`]; `tests/models.rs` checks the protocol.
pub struct Inbox<T> {
    queue: SegQueue<T>,
    doorbell: CachePadded<Doorbell>,
    consumer: OnceLock<ActorRef<Bell>>,
    /// Rounds in a row that drained nothing although items are pending; written by the consumer only.
    fruitless_rounds: AtomicU32,
}

/// Held by a consumer during a round: if the round panics, the inbox is closed and emptied, so that whoever waits for
/// an answer to an item in it is let go, and nobody adds to it any more.
#[derive(Debug)]
pub struct CloseOnPanic<'i, T>(pub &'i Inbox<T>);

impl<T> Drop for CloseOnPanic<'_, T> {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            return;
        }
        self.0.close_and_clear();
    }
}

impl<T> Default for Inbox<T> {
    fn default() -> Self {
        Self::new()
    }
}

impl<T> fmt::Debug for Inbox<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Inbox").field("len", &self.len()).field("closed", &self.is_closed()).finish()
    }
}

impl<T> Inbox<T> {
    /// An open, empty inbox without a consumer. Allocates nothing before the first push.
    pub fn new() -> Self {
        Self {
            queue: SegQueue::new(),
            doorbell: CachePadded::new(Doorbell::muted()),
            consumer: OnceLock::new(),
            fruitless_rounds: AtomicU32::new(0),
        }
    }

    /// Names the actor to wake, and wakes it if items are waiting already. The first call counts, later ones do
    /// nothing.
    pub fn bind(&self, consumer: ActorRef<Bell>) {
        // The consumer is set before the doorbell is unmuted, so a producer that is told to ring finds it.
        if self.consumer.set(consumer).is_ok() && self.doorbell.unmute() {
            self.ring();
        }
    }

    /// Adds an item and wakes the consumer if nobody has done so.
    ///
    /// Costs two or three atomic read-modify-writes and, every 31 items, an allocation; plus one ractor message when
    /// the inbox was empty.
    ///
    /// # Errors
    /// [`Closed`], with the item, after the inbox was closed.
    pub fn push(&self, item: T) -> Result<(), Closed<T>> {
        if let Some(item) = self.push_or_serve(item)? {
            self.queue.push(item);
            self.ring();
        }
        Ok(())
    }

    /// Adds an item, unless the inbox is idle: then the item is given back, and the caller is the consumer for one round.
    /// It deals with the item as the consumer would, and then calls [`Inbox::finish`] for it; until then nobody else is
    /// the consumer. What is pushed meanwhile is left to the one whom `finish` rings for.
    ///
    /// # Errors
    /// [`Closed`], with the item, after the inbox was closed.
    pub fn push_or_serve(&self, item: T) -> Result<Option<T>, Closed<T>> {
        match self.doorbell.announce() {
            Announce::Quiet => {
                self.queue.push(item);
                Ok(None)
            }
            Announce::Ring => Ok(Some(item)),
            Announce::Closed => Err(Closed(item)),
        }
    }

    /// Moves up to `items_max` items to the end of `into`, oldest first, and returns how many. For the consumer only,
    /// which calls [`Inbox::finish`] once it has dealt with them.
    ///
    /// May return none although items are pending, while their producers are between announcing and pushing them.
    pub fn drain(&self, into: &mut Vec<T>, items_max: usize) -> usize {
        let mut drained = 0;
        let mut looks = 0;
        while drained < items_max {
            if let Some(item) = self.queue.pop() {
                into.push(item);
                drained += 1;
                continue;
            }
            // Waiting for a producer is worth it only if there is nothing else to do.
            if drained > 0 || looks == LOOKS_MAX || self.doorbell.pending() == 0 {
                break;
            }
            looks += 1;
            std::hint::spin_loop();
        }
        self.note_round(drained > 0 || looks == 0);
        drained
    }

    /// Tells the inbox that a round of `drained` items is done; rings again if more are pending, and returns whether
    /// that is so.
    pub fn finish(&self, drained: usize) -> bool {
        let more = self.doorbell.finish(drained as u64);
        if more {
            self.ring();
        }
        more
    }

    /// Closes the inbox if nothing is pending; returns whether it is closed now. No push is lost: it is either
    /// drained or given back.
    pub fn close_if_idle(&self) -> bool {
        self.doorbell.close_if_idle()
    }

    /// Closes the inbox, whatever is pending. What was pushed before is still to be drained.
    pub fn close(&self) {
        self.doorbell.close();
    }

    /// Closes the inbox and drops what is in it, for a consumer that will never drain it again.
    pub fn close_and_clear(&self) {
        self.close();
        // The items of an unfinished round are still counted as pending, so the count can't tell when the last
        // producer has pushed; a bounded number of looks catches those that had announced their item.
        for _ in 0..FAREWELL_LOOKS {
            while self.queue.pop().is_some() {}
            std::thread::yield_now();
        }
    }

    /// Whether it is closed.
    pub fn is_closed(&self) -> bool {
        self.doorbell.is_closed()
    }

    /// Items pushed, or about to be, and not yet finished.
    pub fn len(&self) -> usize {
        self.doorbell.pending() as usize
    }

    /// Whether nothing is pending.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn ring(&self) {
        if let Some(consumer) = self.consumer.get() {
            // An actor that has stopped can't be woken. Whoever stopped it answers what is left in its inbox.
            let _ = consumer.cast(Bell::Ring);
        }
    }

    fn note_round(&self, fruitful: bool) {
        let rounds = self.fruitless_rounds.load(Ordering::Relaxed);
        if fruitful {
            if rounds > 0 {
                self.fruitless_rounds.store(0, Ordering::Relaxed);
            }
        } else if rounds < FRUITLESS_ROUNDS_MAX {
            self.fruitless_rounds.store(rounds + 1, Ordering::Relaxed);
        } else {
            std::thread::yield_now();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use ractor::{Actor, ActorProcessingErr};
    use tokio::sync::mpsc;

    use super::*;

    /// Sends each drained item on, in rounds of 8, and closes its inbox when told so by a zero.
    struct Forwarder {
        inbox: Arc<Inbox<u64>>,
        seen: mpsc::UnboundedSender<u64>,
    }

    impl Actor for Forwarder {
        type Msg = Bell;
        type State = Vec<u64>;
        type Arguments = ();

        async fn pre_start(&self, me: ActorRef<Bell>, (): ()) -> Result<Vec<u64>, ActorProcessingErr> {
            self.inbox.bind(me);
            Ok(Vec::new())
        }

        async fn handle(
            &self,
            _: ActorRef<Bell>,
            _: Bell,
            batch: &mut Vec<u64>,
        ) -> Result<(), ActorProcessingErr> {
            let drained = self.inbox.drain(batch, 8);
            for item in batch.drain(..) {
                self.seen.send(item)?;
            }
            self.inbox.finish(drained);
            Ok(())
        }
    }

    #[test]
    fn an_unbound_inbox_can_be_drained_by_hand() {
        let inbox = Inbox::new();
        for item in 1..=5 {
            inbox.push(item).unwrap();
        }
        let mut batch = Vec::new();
        assert_eq!(inbox.drain(&mut batch, 3), 3);
        assert!(inbox.finish(3), "two are left");
        assert_eq!(inbox.len(), 2);
        assert_eq!(inbox.drain(&mut batch, 3), 2);
        assert!(!inbox.finish(2));
        assert_eq!(batch, [1, 2, 3, 4, 5]);
        assert_eq!(inbox.drain(&mut batch, 3), 0);
    }

    #[test]
    fn who_finds_an_inbox_idle_may_serve_the_item_and_is_the_only_consumer_until_it_is_done() {
        let inbox = Inbox::new();
        assert_eq!(inbox.push_or_serve(1), Ok(None), "nobody listens yet");
        let mut batch = Vec::new();
        assert_eq!(inbox.drain(&mut batch, 9), 1);
        // What binding an actor does, who has found nothing to do.
        assert!(!inbox.finish(1) && !inbox.doorbell.unmute());
        assert_eq!(inbox.push_or_serve(2), Ok(Some(2)));
        assert_eq!(inbox.push_or_serve(3), Ok(None), "somebody is at work");
        assert!(!inbox.close_if_idle());
        assert!(inbox.finish(1), "one came meanwhile");
        assert_eq!(inbox.push_or_serve(4), Ok(None), "it is rung for");
        assert_eq!(inbox.drain(&mut batch, 9), 2);
        assert!(!inbox.finish(2));
        assert_eq!(batch, [1, 3, 4]);
        assert!(inbox.close_if_idle());
        assert_eq!(inbox.push_or_serve(5), Err(Closed(5)));
    }

    #[test]
    fn closing_needs_an_empty_inbox_and_gives_later_items_back() {
        let inbox = Inbox::new();
        inbox.push(1).unwrap();
        assert!(!inbox.close_if_idle());
        let mut batch = Vec::new();
        inbox.drain(&mut batch, 9);
        assert!(!inbox.close_if_idle(), "drained and not finished is not idle");
        assert!(!inbox.finish(1));
        assert!(inbox.close_if_idle());
        assert_eq!(inbox.push(2), Err(Closed(2)));
        assert!(inbox.is_empty() && inbox.is_closed());
    }

    #[test]
    fn what_was_pushed_before_a_close_is_still_drained() {
        let inbox = Inbox::new();
        inbox.push(1).unwrap();
        inbox.close();
        assert_eq!(inbox.push(2), Err(Closed(2)));
        let mut batch = Vec::new();
        assert_eq!(inbox.drain(&mut batch, 9), 1);
        assert!(!inbox.finish(1));
        assert_eq!(batch, [1]);
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn every_item_reaches_the_actor_once_and_in_order() {
        const ITEMS: u64 = 20_000;
        let inbox = Arc::new(Inbox::new());
        // Pushed before there is an actor: binding must wake it.
        inbox.push(u64::MAX).unwrap();
        let (seen, mut seen_by_actor) = mpsc::unbounded_channel();
        let forwarder = Forwarder { inbox: inbox.clone(), seen };
        let (actor, stopped) = Actor::spawn(None, forwarder, ()).await.unwrap();
        assert_eq!(seen_by_actor.recv().await, Some(u64::MAX));

        for producer in 0..2 {
            let inbox = inbox.clone();
            tokio::spawn(async move {
                for item in 0..ITEMS {
                    inbox.push(producer * ITEMS + item).unwrap();
                    if item % 1000 == 0 {
                        tokio::task::yield_now().await;
                    }
                }
            });
        }
        let mut next = [0, ITEMS];
        for _ in 0..2 * ITEMS {
            let item = seen_by_actor.recv().await.unwrap();
            let next = &mut next[(item / ITEMS) as usize];
            assert_eq!(item, *next);
            *next += 1;
        }
        assert!(seen_by_actor.try_recv().is_err(), "an item came twice");

        actor.stop(None);
        stopped.await.unwrap();
        inbox.push(7).unwrap();
        assert_eq!(inbox.len(), 1, "pushing to a stopped actor keeps the item and doesn't panic");
    }
}
