//! Model checking: every interleaving of the doorbell's protocol, with loom.
//!
//! The doorbell's source is compiled here once more, beside a `sync` module that gives it loom's atomics. Loom is
//! not switched on by its `cfg`, because other dependencies react to that as well.

use std::collections::VecDeque;

use loom::sync::atomic::{AtomicBool, Ordering};
use loom::sync::{Arc, Mutex, mpsc};
use loom::thread;

use doorbell::{Announce, Doorbell};

const PREEMPTIONS_MAX: usize = 3;

#[path = "../src/runtime/doorbell.rs"]
#[allow(dead_code, unreachable_pub)]
mod doorbell;

mod sync {
    pub(super) use loom::sync::atomic::{AtomicU64, Ordering};
}

/// The inbox around the doorbell: a queue, and rings as messages.
#[derive(Clone)]
struct Inbox {
    doorbell: Arc<Doorbell>,
    queue: Arc<Mutex<VecDeque<u32>>>,
    rings: mpsc::Sender<()>,
}

impl Inbox {
    fn new() -> (Self, mpsc::Receiver<()>) {
        let (rings, rung) = mpsc::channel();
        let queue = Arc::new(Mutex::new(VecDeque::new()));
        (Self { doorbell: Arc::new(Doorbell::muted()), queue, rings }, rung)
    }

    /// Returns whether the item was accepted.
    fn push(&self, item: u32) -> bool {
        let announced = self.doorbell.announce();
        if announced == Announce::Closed {
            return false;
        }
        self.queue.lock().expect("no panic").push_back(item);
        if announced == Announce::Ring {
            self.ring();
        }
        true
    }

    /// As `push`, but who finds the inbox idle deals with the item itself, as its only consumer.
    fn push_or_serve(&self, item: u32, at_work: &AtomicBool, seen: &mut Vec<u32>) {
        match self.doorbell.announce() {
            Announce::Closed => unreachable!("nobody closes it"),
            Announce::Quiet => self.queue.lock().expect("no panic").push_back(item),
            Announce::Ring => {
                assert!(!at_work.swap(true, Ordering::Relaxed), "two consumers");
                seen.push(item);
                at_work.store(false, Ordering::Relaxed);
                if self.doorbell.finish(1) {
                    self.ring();
                }
            }
        }
    }

    fn ring(&self) {
        self.rings.send(()).expect("the receiver lives");
    }

    /// What the consumer does when it is woken: one item at most, so that a second round is needed for the second.
    fn round(&self, seen: &mut Vec<u32>) {
        let item = self.queue.lock().expect("no panic").pop_front();
        let drained = item.iter().len();
        seen.extend(item);
        if self.doorbell.finish(drained as u64) {
            if drained == 0 {
                // A producer is between announcing and pushing: let it run, as the inbox does.
                thread::yield_now();
            }
            self.ring();
        }
    }
}

/// Runs the model for every interleaving with at most three preemptions: more find nothing new in a protocol of
/// a few operations a thread, and take minutes.
fn check(model: impl Fn() + Sync + Send + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(PREEMPTIONS_MAX);
    builder.check(model);
}

/// The consumer sleeps until it is rung for. If a wake-up were lost it would sleep for ever, which loom reports as a
/// deadlock; if one were sent too many, it would be left over.
#[test]
fn no_wake_up_is_lost_with_two_producers() {
    check(|| {
        let (inbox, rung) = Inbox::new();
        assert!(!inbox.doorbell.unmute());
        let producers = [1, 2].map(|item| {
            let inbox = inbox.clone();
            thread::spawn(move || assert!(inbox.push(item)))
        });
        let mut seen = Vec::new();
        while seen.len() < 2 {
            rung.recv().expect("senders live");
            inbox.round(&mut seen);
        }
        for producer in producers {
            producer.join().expect("no panic");
        }
        assert!(seen.contains(&1) && seen.contains(&2));
        assert_eq!(inbox.doorbell.pending(), 0);
        assert!(rung.try_recv().is_err(), "one ring too many");
    });
}

/// Producers that serve what they find nobody at work for are consumers one at a time, and each item is dealt with once,
/// by one of them or by the consumer that was rung for.
#[test]
fn who_serves_an_item_is_the_only_consumer() {
    check(|| {
        let (inbox, rung) = Inbox::new();
        assert!(!inbox.doorbell.unmute());
        let at_work = Arc::new(AtomicBool::new(false));
        let producers = [[1, 2], [3, 4]].map(|items| {
            let (inbox, at_work) = (inbox.clone(), at_work.clone());
            thread::spawn(move || {
                let mut seen = Vec::new();
                items.iter().for_each(|item| inbox.push_or_serve(*item, &at_work, &mut seen));
                seen
            })
        });
        let mut seen = Vec::new();
        let consume = |seen: &mut Vec<u32>| {
            assert!(!at_work.swap(true, Ordering::Relaxed), "two consumers");
            let item = inbox.queue.lock().expect("no panic").pop_front();
            seen.extend(item);
            at_work.store(false, Ordering::Relaxed);
            if inbox.doorbell.finish(item.iter().len() as u64) {
                inbox.ring();
            }
        };
        if rung.try_recv().is_ok() {
            consume(&mut seen);
        }
        for producer in producers {
            seen.extend(producer.join().expect("no panic"));
        }
        // What nobody served was rung for, once.
        while inbox.doorbell.pending() > 0 {
            rung.recv().expect("senders live");
            consume(&mut seen);
        }
        seen.sort_unstable();
        assert_eq!(seen, [1, 2, 3, 4]);
        assert!(rung.try_recv().is_err(), "one ring too many");
    });
}

/// Items pushed while nobody listens yet are rung for, exactly once, by whoever unmutes.
#[test]
fn binding_races_a_push() {
    check(|| {
        let (inbox, rung) = Inbox::new();
        let producer = {
            let inbox = inbox.clone();
            thread::spawn(move || assert!(inbox.push(1)))
        };
        if inbox.doorbell.unmute() {
            inbox.ring();
        }
        let mut seen = Vec::new();
        while seen.is_empty() {
            rung.recv().expect("senders live");
            inbox.round(&mut seen);
        }
        producer.join().expect("no panic");
        assert_eq!(seen, [1]);
        assert!(rung.try_recv().is_err(), "one ring too many");
    });
}

/// A consumer that closes its inbox when idle either gets a racing push or has it given back.
#[test]
fn closing_races_a_push() {
    check(|| {
        let (inbox, rung) = Inbox::new();
        assert!(!inbox.doorbell.unmute());
        let producers = [1, 2].map(|item| {
            let inbox = inbox.clone();
            thread::spawn(move || inbox.push(item))
        });
        let mut seen = Vec::new();
        while !inbox.doorbell.close_if_idle() {
            rung.recv().expect("senders live");
            inbox.round(&mut seen);
        }
        let accepted = producers.map(|producer| producer.join().expect("no panic"));
        assert_eq!([seen.contains(&1), seen.contains(&2)], accepted);
        assert!(inbox.queue.lock().expect("no panic").is_empty());
    });
}

/// After a forced close, everything that was accepted is still drained by a consumer that goes on while something is
/// pending.
#[test]
fn a_forced_close_loses_nothing() {
    check(|| {
        let (inbox, _rung) = Inbox::new();
        let producers = [1, 2].map(|item| {
            let inbox = inbox.clone();
            thread::spawn(move || inbox.push(item))
        });
        inbox.doorbell.close();
        let mut seen = Vec::new();
        while inbox.doorbell.pending() > 0 {
            let item = inbox.queue.lock().expect("no panic").pop_front();
            if item.is_none() {
                thread::yield_now();
            }
            let drained = item.iter().len() as u64;
            seen.extend(item);
            let _ = inbox.doorbell.finish(drained);
        }
        let accepted = producers.map(|producer| producer.join().expect("no panic"));
        assert_eq!([seen.contains(&1), seen.contains(&2)], accepted);
    });
}
