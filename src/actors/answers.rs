//! How a round's answers go out: those that a crash could take back once the journal has what they rest on (R4), the
//! others once the round's effects are under way. What else a round does is its shell's.

use std::sync::Arc;

use super::reply::Answer;
use crate::journal::{EntryBuffer, JournalHandle, Poisoned};
use crate::runtime::credits::Credits;

/// Appends a round's entries, and has `durable_answers` sent by `send` once everything up to there is acknowledgeable.
/// Where it all is already, and nothing is to be appended, they join `answers`.
///
/// # Errors
/// [`Poisoned`]: `durable_answers` are dropped, which tells their callers, and nothing may follow that rests on the entries.
pub(crate) fn append<A: Send + 'static>(
    journal: &JournalHandle,
    credits: &Arc<Credits>,
    entries: &mut EntryBuffer,
    (answers, durable_answers): (&mut Vec<A>, &mut Vec<A>),
    send: fn(Vec<A>, &Credits),
) -> Result<(), Poisoned> {
    if entries.is_empty() && journal.acknowledged() >= journal.appended() {
        // Everything that could be shown is acknowledgeable already.
        answers.append(durable_answers);
    }
    if entries.is_empty() && durable_answers.is_empty() {
        return Ok(());
    }
    let (waiting, credits) = (std::mem::take(durable_answers), Arc::clone(credits));
    let acknowledge = Box::new(move || send(waiting, &credits));
    journal.append(entries, Some(acknowledge)).map(drop)
}

/// Gives the answers' credits back and sends them. In this order: who has heard an answer finds its credit free, so
/// that as many callers as there are credits are never refused.
pub(crate) fn send_all(
    answers: impl IntoIterator<Item = Answer, IntoIter: ExactSizeIterator>,
    credits: &Credits,
) {
    let answers = answers.into_iter();
    if answers.len() > 0 {
        credits.give_back(answers.len() as u64);
    }
    answers.for_each(Answer::send);
}
