//! Random histories of the delay queue's book against a naive one: a list of tasks that is searched from end to end.

use std::collections::BTreeMap;

use proptest::prelude::*;

use crate::domain::reject::Reject;
use crate::domain::task::*;

const START_MS: u64 = 1_800_000_000_000;
const LIMITS: PushLimits = PushLimits { topics_max: 2, tasks_max: 12, bytes_max: 400, attempts_max: 2 };
const DEAD_MAX: usize = 3;
const TOPICS: u8 = 3;
const IDS: u8 = 6;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Pending,
    Reserved { until_ms: u64 },
    Dead { at_ms: u64 },
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct NaiveTask {
    topic: u8,
    id: u8,
    seq: u64,
    body: usize,
    due_ms: u64,
    ttl_ms: u64,
    attempts: u16,
    attempts_max: u16,
    state: State,
}

impl NaiveTask {
    fn has_expired(&self, now_ms: u64) -> bool {
        self.state == State::Pending && self.ttl_ms > 0 && self.due_ms + self.ttl_ms <= now_ms
    }
}

#[derive(Debug, Default)]
struct Naive {
    tasks: Vec<NaiveTask>,
    last_seq: u64,
}

impl Naive {
    fn find(&self, topic: u8, id: u8) -> Option<usize> {
        self.tasks.iter().position(|task| (task.topic, task.id) == (topic, id))
    }

    /// The due tasks of a topic by due time, then by sequence number, those that have expired taken away.
    fn due(&mut self, topic: u8, now_ms: u64) -> Vec<u8> {
        let mut due: Vec<_> = self
            .tasks
            .iter()
            .filter(|task| task.topic == topic && task.state == State::Pending && task.due_ms <= now_ms)
            .filter(|task| !task.has_expired(now_ms))
            .collect();
        due.sort_by_key(|task| (task.due_ms, task.seq));
        due.iter().map(|task| task.id).collect()
    }

    fn next_due_ms(&self, topic: u8, now_ms: u64) -> Option<u64> {
        let pending = self.tasks.iter().filter(|task| task.topic == topic && task.state == State::Pending);
        pending.filter(|task| !task.has_expired(now_ms)).map(|task| task.due_ms).min()
    }

    fn len_of(&self, topic: u8) -> usize {
        self.tasks.iter().filter(|task| task.topic == topic).count()
    }
}

#[derive(Clone, Debug)]
enum Command {
    Push { topic: u8, tasks: Vec<(u8, usize, u64, u64, u16)> },
    Pop { topic: u8, len_max: usize },
    Reserve { topic: u8, len_max: usize, visibility_ms: u64 },
    Ack { topic: u8, id: u8, stale: bool },
    Nack { topic: u8, id: u8, stale: bool, delay_ms: u64 },
    Extend { topic: u8, id: u8, stale: bool, visibility_ms: u64 },
    Remove { topic: u8, id: u8 },
    Reschedule { topic: u8, id: u8, delay_ms: u64 },
    Requeue { topic: u8, id: u8 },
    Discard { topic: u8, id: u8 },
    Sweep { topic: u8 },
    Pass { ms: u64 },
}

fn command() -> impl Strategy<Value = Command> {
    let (topic, id) = (0..TOPICS, 0..IDS);
    let name = (topic.clone(), id.clone());
    let body = prop_oneof![8 => 0_usize..20, 1 => Just(70)];
    let task = (id.clone(), body, 0_u64..20, prop_oneof![Just(0), 1_u64..10], 0_u16..3);
    prop_oneof![
        6 => (topic.clone(), prop::collection::vec(task, 1..4))
            .prop_map(|(topic, tasks)| Command::Push { topic, tasks }),
        3 => (topic.clone(), 1_usize..4).prop_map(|(topic, len_max)| Command::Pop { topic, len_max }),
        5 => (topic.clone(), 1_usize..4, 1_u64..20).prop_map(|(topic, len_max, visibility_ms)| {
            Command::Reserve { topic, len_max, visibility_ms }
        }),
        3 => (name.clone(), any::<bool>()).prop_map(|((topic, id), stale)| Command::Ack { topic, id, stale }),
        3 => (name.clone(), prop::bool::weighted(0.2), 0_u64..10)
            .prop_map(|((topic, id), stale, delay_ms)| Command::Nack { topic, id, stale, delay_ms }),
        2 => (name.clone(), prop::bool::weighted(0.2), 1_u64..20).prop_map(
            |((topic, id), stale, visibility_ms)| Command::Extend { topic, id, stale, visibility_ms }
        ),
        1 => name.clone().prop_map(|(topic, id)| Command::Remove { topic, id }),
        2 => (name.clone(), 0_u64..20)
            .prop_map(|((topic, id), delay_ms)| Command::Reschedule { topic, id, delay_ms }),
        1 => name.clone().prop_map(|(topic, id)| Command::Requeue { topic, id }),
        1 => name.prop_map(|(topic, id)| Command::Discard { topic, id }),
        2 => topic.prop_map(|topic| Command::Sweep { topic }),
        5 => prop_oneof![4 => 0_u64..8, 1 => 20_u64..60].prop_map(|ms| Command::Pass { ms }),
    ]
}

fn topic_name(topic: u8) -> TopicName {
    TopicName::new(&format!("topic-{topic}")).unwrap()
}

fn id_name(id: u8) -> String {
    format!("task-{id}")
}

fn ids(tasks: &[Task]) -> Vec<String> {
    tasks.iter().map(|task| task.id.as_str().to_owned()).collect()
}

/// The book, the naive one, and every event that was ever applied.
struct Pair {
    book: TaskBook,
    naive: Naive,
    events: Vec<TaskEvent>,
    now_ms: u64,
    reservations: BTreeMap<(u8, u8), ReservationId>,
}

impl Pair {
    fn apply<T>(&mut self, decided: Decided<T>) -> T {
        for event in decided.events {
            assert_eq!(event.at_ms(), self.now_ms);
            self.book.apply(&event);
            self.events.push(event);
        }
        decided.outcome
    }

    /// What has expired goes wherever the book comes across it; the naive one lets it go at once, so both are told.
    fn let_expire(&mut self, topic: u8) {
        let (now_ms, name) = (self.now_ms, topic_name(topic));
        for event in self.book.decide_sweep(&name, usize::MAX, now_ms) {
            if matches!(event, TaskEvent::Expired { .. }) {
                self.apply(Decided { events: vec![event], outcome: () });
            }
        }
        self.naive.tasks.retain(|task| task.topic != topic || !task.has_expired(now_ms));
    }

    fn run(&mut self, command: &Command) {
        match command {
            Command::Push { topic, tasks } => self.push(*topic, tasks),
            Command::Pop { topic, len_max } => self.pop(*topic, *len_max),
            Command::Reserve { topic, len_max, visibility_ms } => {
                self.reserve(*topic, *len_max, *visibility_ms);
            }
            Command::Ack { topic, id, stale } => self.ack(*topic, *id, *stale),
            Command::Nack { topic, id, stale, delay_ms } => self.nack(*topic, *id, *stale, *delay_ms),
            Command::Extend { topic, id, stale, visibility_ms } => {
                self.extend(*topic, *id, *stale, *visibility_ms);
            }
            Command::Remove { topic, id } => self.remove(*topic, *id),
            Command::Reschedule { topic, id, delay_ms } => self.reschedule(*topic, *id, *delay_ms),
            Command::Requeue { topic, id } => self.requeue(*topic, *id),
            Command::Discard { topic, id } => self.discard(*topic, *id),
            Command::Sweep { topic } => self.sweep(*topic),
            Command::Pass { ms } => self.now_ms += ms,
        }
    }

    fn push(&mut self, topic: u8, tasks: &[(u8, usize, u64, u64, u16)]) {
        let new = |&(id, body, delay_ms, ttl_ms, attempts_max): &(u8, usize, u64, u64, u16)| NewTask {
            id: id_name(id),
            body: vec![id; body].into(),
            delay_ms,
            ready_ttl_ms: ttl_ms,
            attempts_max,
        };
        let tasks_new: Vec<_> = tasks.iter().map(new).collect();
        let bytes: usize = tasks_new.iter().map(|task| task.id.len() + task.body.len()).sum();
        let decided = self.book.decide_push(&LIMITS, &topic_name(topic), tasks_new, self.now_ms);

        let topics: std::collections::BTreeSet<u8> = self.naive.tasks.iter().map(|task| task.topic).collect();
        let held: usize = self.naive.tasks.iter().map(|task| id_name(task.id).len() + task.body).sum();
        let bound = if self.naive.len_of(topic) == 0 && topics.len() >= LIMITS.topics_max {
            Some("task_topics_max")
        } else if self.naive.tasks.len() + tasks.len() > LIMITS.tasks_max as usize {
            Some("tasks_max")
        } else if held + bytes > LIMITS.bytes_max as usize {
            Some("task_bytes_max")
        } else {
            None
        };
        let decided = match (decided, bound) {
            (Err(Reject::Overloaded { bound, .. }), Some(expected)) => return assert_eq!(bound, expected),
            (decided, bound) => {
                assert_eq!(bound, None);
                decided.unwrap()
            }
        };
        let outcomes = self.apply(decided);
        for (&(id, body, delay_ms, ttl_ms, attempts_max), outcome) in tasks.iter().zip(outcomes) {
            if self.naive.find(topic, id).is_some() {
                assert_eq!(outcome, PushOutcome::DuplicateId);
                continue;
            }
            let due_ms = self.now_ms + delay_ms;
            assert_eq!(outcome, PushOutcome::Pushed { due_ms });
            self.naive.last_seq += 1;
            let attempts_max = if attempts_max == 0 { LIMITS.attempts_max } else { attempts_max };
            self.naive.tasks.push(NaiveTask {
                topic,
                id,
                seq: self.naive.last_seq,
                body,
                due_ms,
                ttl_ms,
                attempts: 0,
                attempts_max,
                state: State::Pending,
            });
        }
    }

    fn pop(&mut self, topic: u8, len_max: usize) {
        let decided = self.book.decide_pop(&topic_name(topic), len_max, self.now_ms);
        let Step::Done(outcome) = self.apply(decided) else { panic!("a few tasks never take two steps") };
        let mut due = self.naive.due(topic, self.now_ms);
        due.truncate(len_max);
        match outcome {
            PopOutcome::Popped(tasks) => {
                assert_eq!(ids(&tasks), due.iter().copied().map(id_name).collect::<Vec<_>>());
                self.naive.tasks.retain(|task| task.topic != topic || !due.contains(&task.id));
            }
            PopOutcome::NotDue { next_due_ms } => {
                assert!(due.is_empty());
                assert_eq!(Some(next_due_ms), self.naive.next_due_ms(topic, self.now_ms));
            }
            PopOutcome::NotFound => {
                assert!(due.is_empty());
                assert_eq!(self.naive.next_due_ms(topic, self.now_ms), None);
            }
        }
        self.let_expire(topic);
    }

    fn reserve(&mut self, topic: u8, len_max: usize, visibility_ms: u64) {
        let name = topic_name(topic);
        let decided = self.book.decide_reserve(&name, len_max, visibility_ms, DEAD_MAX, self.now_ms);
        let mut due = self.naive.due(topic, self.now_ms);
        let busy = self
            .naive
            .tasks
            .iter()
            .filter(|task| task.topic == topic && task.state != State::Pending)
            .count();
        let room = DEAD_MAX.saturating_sub(busy);
        due.truncate(len_max.min(room));
        let decided = match decided {
            Err(reject) => {
                let bound = Reject::Overloaded { bound: "task_dead_letters_max", retry_after_ms: 1_000 };
                assert_eq!((reject, room), (bound, 0));
                assert!(!self.naive.due(topic, self.now_ms).is_empty());
                return;
            }
            Ok(decided) => decided,
        };
        let Step::Done(outcome) = self.apply(decided) else { panic!("a few tasks never take two steps") };
        let reserved = outcome.tasks();
        let until_ms = self.now_ms + visibility_ms;
        let found: Vec<_> = reserved.iter().map(|reserved| reserved.task.id.as_str().to_owned()).collect();
        assert_eq!(found, due.iter().copied().map(id_name).collect::<Vec<_>>());
        for (id, reserved) in due.into_iter().zip(reserved) {
            let place = self.naive.find(topic, id).unwrap();
            let task = &mut self.naive.tasks[place];
            task.attempts += 1;
            task.state = State::Reserved { until_ms };
            assert_eq!((reserved.task.attempts, reserved.until_ms), (task.attempts, until_ms));
            self.reservations.insert((topic, id), reserved.reservation);
        }
        self.let_expire(topic);
    }

    /// A reservation that the task once had, or one that nothing ever had; and whether it holds.
    fn reservation(&self, topic: u8, id: u8, stale: bool) -> (ReservationId, Option<bool>) {
        let mut given = self.reservations.get(&(topic, id)).copied();
        if stale {
            given = given.map(|given| ReservationId { attempt: given.attempt.wrapping_sub(1), ..given });
        }
        let given = given.unwrap_or(ReservationId { seq: u64::MAX, attempt: 1 });
        let task = self.naive.find(topic, id).map(|place| &self.naive.tasks[place]);
        let holds = task.filter(|task| task.seq == given.seq).map(|task| {
            task.attempts == given.attempt
                && matches!(task.state, State::Reserved { until_ms } if until_ms > self.now_ms)
        });
        (given, holds)
    }

    fn ack(&mut self, topic: u8, id: u8, stale: bool) {
        let (given, holds) = self.reservation(topic, id, stale);
        let decided = self.book.decide_ack(&topic_name(topic), &id_name(id), given, self.now_ms);
        let expected = match holds {
            None => AckOutcome::NotFound,
            Some(false) => AckOutcome::Lapsed,
            Some(true) => AckOutcome::Acked,
        };
        assert_eq!(self.apply(decided), expected);
        if expected == AckOutcome::Acked {
            let place = self.naive.find(topic, id).unwrap();
            self.naive.tasks.remove(place);
        }
    }

    fn nack(&mut self, topic: u8, id: u8, stale: bool, delay_ms: u64) {
        let (given, holds) = self.reservation(topic, id, stale);
        let decided = self.book.decide_nack(&topic_name(topic), &id_name(id), given, delay_ms, self.now_ms);
        let outcome = self.apply(decided);
        match holds {
            None => assert_eq!(outcome, NackOutcome::NotFound),
            Some(false) => assert_eq!(outcome, NackOutcome::Lapsed),
            Some(true) => {
                let (place, now_ms) = (self.naive.find(topic, id).unwrap(), self.now_ms);
                let task = &mut self.naive.tasks[place];
                if task.attempts >= task.attempts_max {
                    assert_eq!(outcome, NackOutcome::DeadLettered);
                    task.state = State::Dead { at_ms: now_ms };
                } else {
                    let due_ms = now_ms + delay_ms;
                    assert_eq!(outcome, NackOutcome::Returned { due_ms });
                    (task.due_ms, task.state) = (due_ms, State::Pending);
                }
            }
        }
    }

    fn extend(&mut self, topic: u8, id: u8, stale: bool, visibility_ms: u64) {
        let (given, holds) = self.reservation(topic, id, stale);
        let (name, id_text) = (topic_name(topic), id_name(id));
        let decided = self.book.decide_extend(&name, &id_text, given, visibility_ms, self.now_ms);
        let outcome = self.apply(decided);
        match holds {
            None => assert_eq!(outcome, ExtendOutcome::NotFound),
            Some(false) => assert_eq!(outcome, ExtendOutcome::Lapsed),
            Some(true) => {
                let until_ms = self.now_ms + visibility_ms;
                assert_eq!(outcome, ExtendOutcome::Extended { until_ms });
                let place = self.naive.find(topic, id).unwrap();
                self.naive.tasks[place].state = State::Reserved { until_ms };
            }
        }
    }

    fn remove(&mut self, topic: u8, id: u8) {
        let decided = self.book.decide_remove(&topic_name(topic), &id_name(id), self.now_ms);
        let outcome = self.apply(decided);
        let Some(place) = self.naive.find(topic, id) else {
            return assert_eq!(outcome, RemoveOutcome::NotFound);
        };
        let task = &self.naive.tasks[place];
        let expected = match task.state {
            _ if task.has_expired(self.now_ms) => RemoveOutcome::Expired,
            State::Pending => RemoveOutcome::Removed,
            State::Reserved { .. } => RemoveOutcome::RemovedReserved,
            State::Dead { .. } => RemoveOutcome::DeadLetter,
        };
        assert_eq!(outcome, expected);
        if expected != RemoveOutcome::DeadLetter {
            self.naive.tasks.remove(place);
        }
    }

    fn reschedule(&mut self, topic: u8, id: u8, delay_ms: u64) {
        let decided = self.book.decide_reschedule(&topic_name(topic), &id_name(id), delay_ms, self.now_ms);
        let outcome = self.apply(decided);
        let Some(place) = self.naive.find(topic, id) else {
            return assert_eq!(outcome, RescheduleOutcome::NotFound);
        };
        let (due_ms, now_ms) = (self.now_ms + delay_ms, self.now_ms);
        let task = &mut self.naive.tasks[place];
        match task.state {
            _ if task.has_expired(now_ms) => {
                assert_eq!(outcome, RescheduleOutcome::Expired);
                self.naive.tasks.remove(place);
            }
            State::Pending => {
                assert_eq!(outcome, RescheduleOutcome::Rescheduled { due_ms });
                task.due_ms = due_ms;
            }
            State::Reserved { .. } => assert_eq!(outcome, RescheduleOutcome::Reserved),
            State::Dead { .. } => assert_eq!(outcome, RescheduleOutcome::DeadLetter),
        }
    }

    fn requeue(&mut self, topic: u8, id: u8) {
        let decided = self.book.decide_requeue(&topic_name(topic), &id_name(id), 3, self.now_ms);
        let outcome = self.apply(decided);
        let due_ms = self.now_ms + 3;
        match self.naive.find(topic, id).map(|place| &mut self.naive.tasks[place]) {
            Some(task) if matches!(task.state, State::Dead { .. }) => {
                assert_eq!(outcome, RequeueOutcome::Requeued { due_ms });
                (task.state, task.due_ms, task.attempts) = (State::Pending, due_ms, 0);
            }
            _ => assert_eq!(outcome, RequeueOutcome::NotFound),
        }
    }

    fn discard(&mut self, topic: u8, id: u8) {
        let decided = self.book.decide_discard(&topic_name(topic), &id_name(id), self.now_ms);
        let outcome = self.apply(decided);
        match self.naive.find(topic, id) {
            Some(place) if matches!(self.naive.tasks[place].state, State::Dead { .. }) => {
                assert_eq!(outcome, DiscardOutcome::Discarded);
                self.naive.tasks.remove(place);
            }
            _ => assert_eq!(outcome, DiscardOutcome::NotFound),
        }
    }

    fn sweep(&mut self, topic: u8) {
        let events = self.book.decide_sweep(&topic_name(topic), usize::MAX, self.now_ms);
        self.apply(Decided { events, outcome: () });
        let now_ms = self.now_ms;
        // Expired before the sweep; a task that lapses by it is looked at by the next one.
        self.naive.tasks.retain(|task| task.topic != topic || !task.has_expired(now_ms));
        for task in self.naive.tasks.iter_mut().filter(|task| task.topic == topic) {
            if matches!(task.state, State::Reserved { until_ms } if until_ms <= now_ms) {
                let is_last = task.attempts >= task.attempts_max;
                task.state = if is_last { State::Dead { at_ms: now_ms } } else { State::Pending };
            }
        }
    }

    /// Task by task, and the indexes by what they are for.
    fn compare(&self) {
        assert_eq!(self.book.len(), self.naive.tasks.len() as u64);
        let mut bytes = 0;
        for topic in 0..TOPICS {
            let name = topic_name(topic);
            let mut expected: Vec<_> = self.naive.tasks.iter().filter(|task| task.topic == topic).collect();
            expected.sort_by_key(|task| task.seq);
            let mut found: Vec<_> = self.book.views(&name).collect();
            found.sort_by_key(|view| view.seq);
            assert_eq!(found.len(), expected.len());
            for (view, task) in found.iter().zip(&expected) {
                let state = match view.state {
                    TaskState::Pending => State::Pending,
                    TaskState::Reserved { until_ms } => State::Reserved { until_ms },
                    TaskState::Dead { at_ms, .. } => State::Dead { at_ms },
                };
                assert_eq!(view.body.0[..], vec![task.id; task.body]);
                bytes += id_name(task.id).len() + task.body;
                let seen = NaiveTask {
                    topic,
                    id: task.id,
                    seq: view.seq,
                    body: view.body.0.len(),
                    due_ms: view.due_ms,
                    ttl_ms: view.ready_ttl_ms,
                    attempts: view.attempts,
                    attempts_max: view.attempts_max,
                    state,
                };
                assert_eq!((view.id.as_str(), &seen), (id_name(task.id).as_str(), *task));
            }
            let mut dead: Vec<_> = expected
                .iter()
                .filter_map(|task| match task.state {
                    State::Dead { at_ms } => Some((at_ms, task.seq, id_name(task.id))),
                    _ => None,
                })
                .collect();
            dead.sort();
            let letters = self.book.dead_letters(&name, None, usize::MAX);
            let listed: Vec<_> = letters
                .iter()
                .map(|letter| (letter.at_ms, letter.cursor.seq, letter.task.id.as_str().to_owned()))
                .collect();
            assert_eq!(listed, dead);
            let wakes = expected.iter().filter_map(|task| match task.state {
                State::Pending if task.ttl_ms > 0 => Some(task.due_ms + task.ttl_ms),
                State::Reserved { until_ms } => Some(until_ms),
                State::Pending | State::Dead { .. } => None,
            });
            assert_eq!(self.book.next_sweep_ms(&name), wakes.min());
        }
        assert_eq!(self.book.bytes(), bytes as u64);
    }

    /// The same events give the same book, whatever its seed, and whether or not topics are replayed apart.
    fn check_replay(&self) {
        let mut whole = TaskBook::with_seed(99);
        self.events.iter().for_each(|event| whole.apply(event));
        let mut apart = TaskBook::with_seed(7);
        for topic in 0..TOPICS {
            let mut book = TaskBook::with_seed(7);
            let own = self.events.iter().filter(|event| *event.topic() == topic_name(topic));
            own.for_each(|event| book.apply(event));
            apart.absorb(book);
        }
        for book in [whole, apart] {
            assert_eq!(book.state_hash(), self.book.state_hash());
            assert_eq!(
                (book.len(), book.bytes(), book.last_seq(), book.topics_len()),
                (self.book.len(), self.book.bytes(), self.book.last_seq(), self.book.topics_len())
            );
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn r7_the_book_does_what_the_naive_one_does_and_replays_alike(
        commands in prop::collection::vec(command(), 1..120)
    ) {
        let mut pair = Pair {
            book: TaskBook::with_seed(3),
            naive: Naive::default(),
            events: Vec::new(),
            now_ms: START_MS,
            reservations: BTreeMap::new(),
        };
        for command in &commands {
            pair.run(command);
            pair.compare();
        }
        pair.check_replay();
    }
}

fn pushed(book: &mut TaskBook, topic: &TopicName, tasks: Vec<NewTask>) -> Vec<TaskEvent> {
    let limits = PushLimits { tasks_max: 1 << 30, bytes_max: 1 << 40, ..LIMITS };
    let decided = book.decide_push(&limits, topic, tasks, START_MS).unwrap();
    decided.events.iter().for_each(|event| book.apply(event));
    decided.events
}

#[test]
fn parts_of_a_body_whose_task_was_lost_are_not_taken_by_another() {
    let topic = TopicName::new("t").unwrap();
    let mut first = TaskBook::default();
    let events = pushed(&mut first, &topic, vec![NewTask::new("lost", vec![1; 50_000])]);
    assert_eq!(events.len(), 4);
    // A crash after the second part; then the next life pushes something as large.
    let mut book = TaskBook::default();
    events[..2].iter().for_each(|event| book.apply(event));
    assert_eq!((book.len(), book.state_hash()), (0, 0));
    pushed(&mut book, &topic, vec![NewTask::new("next", vec![2; 60_000])]);
    let Step::Done(outcome) = book.decide_pop(&topic, 1, START_MS).outcome else { panic!("it is due") };
    assert_eq!(*outcome.task().unwrap().body, *vec![2; 60_000]);
}

#[test]
fn a_wave_of_expired_tasks_is_cleared_away_in_steps() {
    let topic = TopicName::new("t").unwrap();
    let mut book = TaskBook::default();
    let tasks = (0..1_000).map(|n| NewTask::new(format!("{n}"), "").ready_ttl_ms(5)).collect();
    pushed(&mut book, &topic, tasks);
    pushed(&mut book, &topic, vec![NewTask::new("alive", "").delay_ms(3)]);
    let mut steps = 0;
    let outcome = loop {
        let Decided { events, outcome } = book.decide_pop(&topic, 1, START_MS + 5);
        events.iter().for_each(|event| book.apply(event));
        match outcome {
            Step::Done(outcome) => break outcome,
            Step::More => steps += 1,
        }
    };
    assert_eq!(outcome.task().unwrap().id.as_str(), "alive");
    assert_eq!((steps, book.len()), (3, 0));
}

#[test]
fn reservations_print_and_parse_strictly() {
    let reservation = ReservationId { seq: 12, attempt: 3 };
    assert_eq!(reservation.to_string().parse(), Ok(reservation));
    for text in ["", "-", "1-", "-1", "+1-2", "1-2-3", "1-70000"] {
        assert_eq!(text.parse::<ReservationId>(), Err(ParseReservationError), "{text}");
    }
}
