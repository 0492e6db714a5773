//! A round of the delay queue's actor: decide, apply, answer.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::handover::Handover;
use super::timer::DelayCounts;
use super::waiters::{WAITERS_TOTAL_MAX, Waiters, Want};
use super::{DelayCommand, DelayItem, DelayRequest, DelaySettings, Wait};
use crate::actors::reply::{Answer, Reply};
use crate::domain::event::Event;
use crate::domain::reject::Reject;
use crate::domain::task::{Decided, PopOutcome, ReserveOutcome, Step, Task, TaskBook, TaskEvent, TopicName};
use crate::journal::EntryBuffer;
use crate::runtime::inbox::Inbox;

/// Most reservations that lapse and tasks that expire by themselves in one round: what is left is due in the next one.
const SWEEP_ROUND_MAX: usize = 1_024;
/// How often one command clears expired tasks out of its way, 256 at a time, before it lets others go first.
const CLEARINGS_MAX: usize = 4;
/// When to try again where too many wait already, in ms.
const RETRY_AFTER_MS: u32 = 100;

/// An answer, and the credits that go back with it.
pub(crate) struct DelayAnswer {
    pub(crate) credits: u64,
    pub(crate) answer: Answer,
}

/// What a round leaves to be done.
#[derive(Default)]
pub(crate) struct DelayEffects {
    /// Facts, to be journaled first.
    pub(crate) entries: EntryBuffer,
    /// Answers that depend on nothing a crash could take back.
    pub(crate) answers: Vec<DelayAnswer>,
    /// Answers that wait for the journal (R4).
    pub(crate) durable_answers: Vec<DelayAnswer>,
    /// Credits of callers who began to wait: a waiting caller has none.
    pub(crate) credits: u64,
    /// Commands that go on in the next round.
    pub(crate) again: Vec<DelayItem>,
}

/// The owner of all topics.
pub(crate) struct DelayActor {
    book: TaskBook,
    waiters: Waiters,
    settings: DelaySettings,
    /// Topics by when something happens to them: a reservation lapses, a task expires, or one that somebody waits for
    /// is due, or somebody gives up waiting.
    agenda: BTreeSet<(u64, TopicName)>,
    /// Where each topic stands in the agenda.
    planned: BTreeMap<TopicName, u64>,
    home: Arc<Inbox<DelayItem>>,
    is_draining: bool,
}

impl DelayActor {
    /// An actor around recovered tasks, which listens to `home`.
    pub(crate) fn new(book: TaskBook, settings: DelaySettings, home: Arc<Inbox<DelayItem>>) -> Self {
        let topics: Vec<_> = book.topic_names().cloned().collect();
        let mut actor = Self {
            book,
            waiters: Waiters::default(),
            settings,
            agenda: BTreeSet::new(),
            planned: BTreeMap::new(),
            home,
            is_draining: false,
        };
        topics.iter().for_each(|topic| actor.plan(topic));
        actor
    }

    /// When it wants to be woken next, in ms since the Unix epoch.
    pub(crate) fn next_deadline_ms(&self) -> Option<u64> {
        self.agenda.first().map(|(at_ms, _)| *at_ms)
    }

    /// Its figures.
    pub(crate) fn counts(&self) -> DelayCounts {
        DelayCounts {
            tasks: self.book.len(),
            topics: self.book.topics_len() as u64,
            bytes: self.book.bytes(),
            waiters: self.waiters.len() as u64,
        }
    }

    /// The queue's part of the state hash.
    pub(crate) fn state_hash(&self) -> u64 {
        self.book.state_hash()
    }

    /// One round: what is due by itself, then the items. Returns whether a tick was among them.
    pub(crate) fn on_batch(
        &mut self,
        items: &mut Vec<DelayItem>,
        now_ms: u64,
        effects: &mut DelayEffects,
    ) -> bool {
        let mut was_woken = false;
        // First, so that a command finds what its instant says: a lapsed reservation's task, for one, is pending.
        self.sweep(now_ms, effects);
        for item in items.drain(..) {
            match item {
                DelayItem::Request(request) => self.request(*request, now_ms, effects),
                DelayItem::Undelivered(tasks) => self.take_back(tasks, now_ms, effects),
                DelayItem::Tick => was_woken = true,
                DelayItem::Topics(reply) => {
                    let topics = self.book.topic_names();
                    let topics = topics.map(|topic| (topic.clone(), self.book.stats(topic))).collect();
                    answer(effects, 1, reply, Ok(topics));
                }
                DelayItem::Hash(reply) => answer(effects, 1, reply, Ok(self.state_hash())),
                DelayItem::Drain => self.drain(effects),
                #[cfg(test)]
                DelayItem::Panic => panic!("the delay queue was asked to panic"),
            }
        }
        was_woken
    }

    fn request(&mut self, request: DelayRequest, now_ms: u64, effects: &mut DelayEffects) {
        let DelayRequest { credits, topic, command } = request;
        let book = &self.book;
        match command {
            DelayCommand::Push { tasks, reply } => {
                let decided = book.decide_push(&self.settings.limits, &topic, tasks, now_ms);
                self.settle(decided, credits, reply, effects);
            }
            DelayCommand::Pop { len_max, wait, reply } => {
                self.seek(topic, credits, Want::Pop { len_max, reply }, wait, now_ms, effects);
                return;
            }
            DelayCommand::Reserve { len_max, visibility_ms, wait, reply } => {
                let want = Want::Reserve { len_max, visibility_ms, reply };
                self.seek(topic, credits, want, wait, now_ms, effects);
                return;
            }
            DelayCommand::Ack { id, reservation, reply } => {
                let decided = book.decide_ack(&topic, &id, reservation, now_ms);
                self.settle(Ok(decided), credits, reply, effects);
            }
            DelayCommand::Extend { id, reservation, visibility_ms, reply } => {
                let decided = book.decide_extend(&topic, &id, reservation, visibility_ms, now_ms);
                self.settle(Ok(decided), credits, reply, effects);
            }
            DelayCommand::Nack { id, reservation, delay_ms, reply } => {
                let decided = book.decide_nack(&topic, &id, reservation, delay_ms, now_ms);
                self.settle(Ok(decided), credits, reply, effects);
            }
            DelayCommand::Remove { id, reply } => {
                let decided = book.decide_remove(&topic, &id, now_ms);
                self.settle(Ok(decided), credits, reply, effects);
            }
            DelayCommand::Reschedule { id, delay_ms, reply } => {
                let decided = book.decide_reschedule(&topic, &id, delay_ms, now_ms);
                self.settle(Ok(decided), credits, reply, effects);
            }
            DelayCommand::Requeue { id, delay_ms, reply } => {
                let decided = book.decide_requeue(&topic, &id, delay_ms, now_ms);
                self.settle(Ok(decided), credits, reply, effects);
            }
            DelayCommand::Discard { id, reply } => {
                let decided = book.decide_discard(&topic, &id, now_ms);
                self.settle(Ok(decided), credits, reply, effects);
            }
            DelayCommand::DeadLetters { after, len_max, reply } => {
                answer(effects, credits, reply, Ok(book.dead_letters(&topic, after, len_max)));
                return;
            }
            DelayCommand::Stats { reply } => {
                answer(effects, credits, reply, Ok(book.stats(&topic)));
                return;
            }
        }
        self.serve(&topic, now_ms, effects);
        self.plan(&topic);
    }

    /// What happens by itself, a bounded share of it.
    fn sweep(&mut self, now_ms: u64, effects: &mut DelayEffects) {
        let mut steps = SWEEP_ROUND_MAX;
        while steps > 0
            && let Some((at_ms, topic)) = self.agenda.first()
            && *at_ms <= now_ms
        {
            let topic = topic.clone();
            let events = self.book.decide_sweep(&topic, steps, now_ms);
            // A topic with nothing but waiters takes a step, too.
            steps = steps.saturating_sub(events.iter().map(tasks_of).sum::<usize>().max(1));
            self.record(events, effects);
            self.serve(&topic, now_ms, effects);
            self.give_up(&topic, now_ms, effects);
            self.plan(&topic);
        }
    }

    /// A caller wants a task, now or within its time.
    fn seek(
        &mut self,
        topic: TopicName,
        credits: u64,
        want: Want,
        wait: Wait,
        now_ms: u64,
        effects: &mut DelayEffects,
    ) {
        // Nobody overtakes those who wait.
        self.serve(&topic, now_ms, effects);
        let until_ms = match wait {
            Wait::Until(until_ms) if until_ms > now_ms && !self.is_draining => Some(until_ms),
            Wait::Until(_) | Wait::No => None,
        };
        match self.fill(&topic, want, credits, until_ms.is_none(), now_ms, effects) {
            Fill::Answered => {}
            Fill::Nothing(want) => {
                self.wait(&topic, credits, want, until_ms.unwrap_or(now_ms), effects);
            }
            Fill::Later(want) => {
                let command = match want {
                    Want::Pop { len_max, reply } => DelayCommand::Pop { len_max, wait, reply },
                    Want::Reserve { len_max, visibility_ms, reply } => {
                        DelayCommand::Reserve { len_max, visibility_ms, wait, reply }
                    }
                };
                let request = DelayRequest { credits, topic: topic.clone(), command };
                effects.again.push(DelayItem::Request(Box::new(request)));
            }
        }
        self.plan(&topic);
    }

    /// Gives what is due to whoever wants it. With `is_last` it is also told that nothing is.
    fn fill(
        &mut self,
        topic: &TopicName,
        mut want: Want,
        credits: u64,
        is_last: bool,
        now_ms: u64,
        effects: &mut DelayEffects,
    ) -> Fill {
        for _ in 0..CLEARINGS_MAX {
            want = match want {
                Want::Pop { len_max, reply } => {
                    let Decided { events, outcome } = self.book.decide_pop(topic, len_max, now_ms);
                    self.record(events, effects);
                    match outcome {
                        Step::Done(found) if is_last || matches!(found, PopOutcome::Popped(_)) => {
                            let handover = Handover::new(found, Arc::clone(&self.home));
                            answer(effects, credits, reply, Ok(handover));
                            return Fill::Answered;
                        }
                        Step::Done(_nothing) => return Fill::Nothing(Want::Pop { len_max, reply }),
                        Step::More => Want::Pop { len_max, reply },
                    }
                }
                Want::Reserve { len_max, visibility_ms, reply } => {
                    let dead_max = self.settings.dead_letters_max;
                    match self.book.decide_reserve(topic, len_max, visibility_ms, dead_max, now_ms) {
                        Err(full) => {
                            answer(effects, credits, reply, Err(full));
                            return Fill::Answered;
                        }
                        Ok(Decided { events, outcome }) => {
                            self.record(events, effects);
                            match outcome {
                                Step::Done(found)
                                    if is_last || matches!(found, ReserveOutcome::Reserved(_)) =>
                                {
                                    answer(effects, credits, reply, Ok(found));
                                    return Fill::Answered;
                                }
                                Step::Done(_nothing) => {
                                    return Fill::Nothing(Want::Reserve { len_max, visibility_ms, reply });
                                }
                                Step::More => Want::Reserve { len_max, visibility_ms, reply },
                            }
                        }
                    }
                }
            };
        }
        Fill::Later(want)
    }

    /// Somebody begins to wait, if there is room. Whoever waits has no credit, so that waiting hinders no command.
    fn wait(
        &mut self,
        topic: &TopicName,
        credits: u64,
        want: Want,
        until_ms: u64,
        effects: &mut DelayEffects,
    ) {
        let is_full = |waiters: &Waiters| {
            waiters.len_of(topic) >= self.settings.waiters_max || waiters.len() >= WAITERS_TOTAL_MAX
        };
        if is_full(&self.waiters) {
            self.waiters.forget_gone();
        }
        if is_full(&self.waiters) {
            let full = Reject::Overloaded { bound: "task_waiters_max", retry_after_ms: RETRY_AFTER_MS };
            effects.answers.push(DelayAnswer { credits, answer: want.refuse(full) });
            return;
        }
        effects.credits += credits;
        self.waiters.push(topic, until_ms, want);
    }

    /// Gives what is due to those who wait, in order of arrival. Who has gone away gets nothing.
    fn serve(&mut self, topic: &TopicName, now_ms: u64, effects: &mut DelayEffects) {
        while let Some((place, want)) = self.waiters.first(topic) {
            let is_gone = want.is_gone();
            if !is_gone && self.book.next_due_ms(topic).is_none_or(|due_ms| due_ms > now_ms) {
                return;
            }
            let Some((until_ms, want)) = self.waiters.take(topic, place) else { return };
            if is_gone {
                continue;
            }
            match self.fill(topic, want, 0, false, now_ms, effects) {
                Fill::Answered => {}
                Fill::Nothing(want) | Fill::Later(want) => {
                    return self.waiters.put_back(topic, place, until_ms, want);
                }
            }
        }
    }

    /// Tells those whose time is up.
    fn give_up(&mut self, topic: &TopicName, now_ms: u64, effects: &mut DelayEffects) {
        while let Some(place) = self.waiters.first_late(topic, now_ms) {
            let Some((until_ms, want)) = self.waiters.take(topic, place) else { return };
            if want.is_gone() {
                continue;
            }
            match self.fill(topic, want, 0, true, now_ms, effects) {
                Fill::Answered => {}
                Fill::Nothing(want) | Fill::Later(want) => {
                    return self.waiters.put_back(topic, place, until_ms, want);
                }
            }
        }
    }

    /// Tasks whose caller has gone are pushed again.
    fn take_back(&mut self, tasks: Vec<Task>, now_ms: u64, effects: &mut DelayEffects) {
        for task in tasks {
            let topic = task.topic.clone();
            let Decided { events, outcome: () } = self.book.decide_return(task, now_ms);
            self.record(events, effects);
            self.serve(&topic, now_ms, effects);
            self.plan(&topic);
        }
    }

    fn drain(&mut self, effects: &mut DelayEffects) {
        self.is_draining = true;
        for want in self.waiters.take_all() {
            // Nothing was done for them.
            effects.answers.push(DelayAnswer { credits: 0, answer: want.refuse(Reject::Unavailable) });
        }
        let planned: Vec<_> = self.planned.keys().cloned().collect();
        planned.iter().for_each(|topic| self.plan(topic));
    }

    fn settle<T: Send + 'static>(
        &mut self,
        decided: Result<Decided<T>, Reject>,
        credits: u64,
        reply: Reply<T>,
        effects: &mut DelayEffects,
    ) {
        let result = decided.map(|Decided { events, outcome }| {
            self.record(events, effects);
            outcome
        });
        answer(effects, credits, reply, result);
    }

    fn record(&mut self, events: Vec<TaskEvent>, effects: &mut DelayEffects) {
        for event in events {
            self.book.apply(&event);
            effects.entries.push(&[Event::Task(Box::new(event))]);
        }
    }

    /// Notes when something happens to a topic next.
    fn plan(&mut self, topic: &TopicName) {
        let mut next_ms = self.book.next_sweep_ms(topic);
        if let Some(until_ms) = self.waiters.next_until_ms(topic) {
            let due_ms = self.book.next_due_ms(topic).unwrap_or(u64::MAX);
            next_ms = Some(next_ms.unwrap_or(u64::MAX).min(until_ms).min(due_ms));
        }
        let planned = self.planned.get(topic).copied();
        if planned == next_ms {
            return;
        }
        if let Some(at_ms) = planned {
            self.agenda.remove(&(at_ms, topic.clone()));
            self.planned.remove(topic);
        }
        if let Some(at_ms) = next_ms {
            self.agenda.insert((at_ms, topic.clone()));
            self.planned.insert(topic.clone(), at_ms);
        }
    }
}

/// How a caller fared who wants a task.
enum Fill {
    /// It has its answer.
    Answered,
    /// Nothing is due.
    Nothing(Want),
    /// Expired tasks are in the way, more than one round clears away.
    Later(Want),
}

/// How many tasks an event is about.
fn tasks_of(event: &TaskEvent) -> usize {
    match event {
        TaskEvent::Expired { tasks, .. } => tasks.len(),
        _ => 1,
    }
}

fn answer<T: Send + 'static>(
    effects: &mut DelayEffects,
    credits: u64,
    reply: Reply<T>,
    result: Result<T, Reject>,
) {
    effects.durable_answers.push(DelayAnswer { credits, answer: Answer::to(reply, result) });
}
