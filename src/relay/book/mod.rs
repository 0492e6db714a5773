//! The book: what the relay must not forget. Subscriptions, their cursors and states, dead letters with their bodies.
//!
//! One thread writes, and makes durable together what many subscriptions ask for at a time. Whoever asks is answered when
//! it is durable. After the first failed write the book takes no more until a restart; orders go on.

mod records;

use std::collections::BTreeMap;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::thread::JoinHandle;

use tokio::sync::{mpsc, oneshot};

use super::error::RelayError;
use crate::domain::ids::Position;
use crate::projection::levels::{PageBatch, PageRead, PageStore};

pub(super) use records::{DeadRecord, Stored, StoredState, SubscriptionRecord};

/// Bytes that are written before a sync; one request more at most.
const COMMIT_BYTES_MAX: usize = 4 << 20;
/// Requests that are made durable together at most.
const COMMIT_REQUESTS_MAX: usize = 4_096;
/// Keys that a long removal takes at a time.
const REMOVE_LEN: usize = 1_000;
/// Dead letters listed at a time.
const LIST_LEN: usize = 1_000;

/// Changes that become durable together.
#[derive(Debug, Default)]
pub(super) struct Changes(Vec<(Vec<u8>, Option<Vec<u8>>)>);

impl Changes {
    fn put(&mut self, key: Vec<u8>, value: Vec<u8>) {
        self.0.push((key, Some(value)));
    }

    fn remove(&mut self, key: Vec<u8>) {
        self.0.push((key, None));
    }

    fn bytes(&self) -> usize {
        self.0.iter().map(|(key, value)| key.len() + value.as_ref().map_or(0, Vec::len)).sum()
    }

    /// A subscription, without its cursor.
    pub(super) fn subscription(&mut self, name: &str, record: &SubscriptionRecord) {
        self.put(records::subscription_key(name), records::encode_subscription(record));
    }

    /// How far a subscription is.
    pub(super) fn cursor(&mut self, name: &str, cursor: Position) {
        self.put(records::cursor_key(name), records::encode_cursor(cursor));
    }

    /// A dead letter, and whether it is to be delivered again.
    pub(super) fn letter(&mut self, name: &str, position: Position, letter: &DeadRecord, body: &[u8]) {
        self.put(records::head_key(name, position), records::encode_head(letter));
        for (nth, part) in (0..).zip(records::parts(body)) {
            self.put(records::body_key(name, position, nth), part.to_vec());
        }
    }

    /// A dead letter is to be delivered again, or no longer.
    pub(super) fn requeued(&mut self, name: &str, position: Position, is_requeued: bool) {
        let key = records::mark_key(name, position);
        self.0.push((key, is_requeued.then(|| vec![1])));
    }

    /// A letter is gone, and it must not come again although the cursor is still before it.
    pub(super) fn passed(&mut self, name: &str, position: Position) {
        self.put(records::passed_key(name, position), vec![1]);
    }

    /// The cursor is behind it now.
    pub(super) fn forget_passed(&mut self, name: &str, position: Position) {
        self.remove(records::passed_key(name, position));
    }

    /// A dead letter is gone; `body_bytes` is the size of its body.
    pub(super) fn gone(&mut self, name: &str, position: Position, body_bytes: usize) {
        self.remove(records::head_key(name, position));
        self.remove(records::mark_key(name, position));
        for nth in 0..records::parts_len(body_bytes) {
            self.remove(records::body_key(name, position, nth));
        }
    }
}

/// A dead letter as it stands in the book, without its body.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Letter {
    pub(super) position: Position,
    pub(super) record: DeadRecord,
    pub(super) requeued: bool,
}

struct Request {
    changes: Changes,
    done: oneshot::Sender<Result<(), RelayError>>,
}

/// A write that is under way.
#[derive(Debug)]
pub(super) struct Written(oneshot::Receiver<Result<(), RelayError>>);

impl Future for Written {
    type Output = Result<(), RelayError>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        // A book that is closed answers nobody.
        Pin::new(&mut self.0).poll(context).map(|answer| answer.unwrap_or(Err(RelayError::Off)))
    }
}

/// The book of one engine.
pub(crate) struct Book {
    reader: Arc<dyn PageRead>,
    requests: Mutex<Option<mpsc::UnboundedSender<Request>>>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

impl Book {
    /// Opens the book on a store, and starts its thread.
    ///
    /// # Errors
    /// [`RelayError::Storage`] where no thread can be started.
    pub(crate) fn open(store: Box<dyn PageStore>) -> Result<Self, RelayError> {
        let reader = store.reader();
        // Bounded by those who send: each subscription has one cursor, one command, and as many letters as it may have
        // messages waiting.
        let (requests, received) = mpsc::unbounded_channel();
        let thread = std::thread::Builder::new()
            .name("relay-book".to_owned())
            .spawn(move || write(store, received))
            .map_err(|error| RelayError::Storage(format!("its thread can't be started: {error}")))?;
        Ok(Self { reader, requests: Mutex::new(Some(requests)), thread: Mutex::new(Some(thread)) })
    }

    /// Begins to write. Dropping the answer cancels nothing.
    pub(super) fn write(&self, changes: Changes) -> Written {
        let (done, written) = oneshot::channel();
        let requests = self.requests.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(requests) = &*requests {
            // The thread ends only once this end is gone.
            let _ = requests.send(Request { changes, done });
        }
        Written(written)
    }

    /// Takes no more, and begins to let go of the store.
    pub(crate) fn stop(&self) {
        self.requests.lock().unwrap_or_else(PoisonError::into_inner).take();
    }

    /// Takes no more, and waits until what was asked for is written. Blocks.
    pub(crate) fn close(&self) {
        self.stop();
        let thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(thread) = thread {
            // It catches nothing and panics over nothing.
            let _ = thread.join();
        }
    }

    /// All subscriptions, by name. Blocks, as everything below.
    ///
    /// # Errors
    /// [`RelayError::Storage`], here and below.
    pub(super) fn subscriptions(&self) -> Result<Vec<(String, Stored)>, RelayError> {
        let (low, high) = records::subscription_range();
        let mut found = Vec::new();
        for (key, record) in self.reader.range(&low, &high, usize::MAX).map_err(storage)? {
            if record.as_ref().is_empty() {
                continue;
            }
            let name = records::name_of(&key)?;
            let record = records::decode_subscription(&name, record.as_ref())?;
            let cursor = self.reader.get(&records::cursor_key(&name)).map_err(storage)?;
            let cursor = cursor.ok_or_else(|| damaged(&name, "has no cursor"))?;
            let cursor = records::decode_cursor(&name, cursor.as_ref())?;
            found.push((name, Stored { record, cursor }));
        }
        Ok(found)
    }

    /// One subscription, if it is there.
    pub(super) fn subscription(&self, name: &str) -> Result<Option<Stored>, RelayError> {
        let Some(record) = self.reader.get(&records::subscription_key(name)).map_err(storage)? else {
            return Ok(None);
        };
        let record = records::decode_subscription(name, record.as_ref())?;
        let cursor = self.reader.get(&records::cursor_key(name)).map_err(storage)?;
        let cursor = cursor.ok_or_else(|| damaged(name, "has no cursor"))?;
        Ok(Some(Stored { record, cursor: records::decode_cursor(name, cursor.as_ref())? }))
    }

    /// Dead letters from a position on, at most `len_max`.
    pub(super) fn letters(
        &self,
        name: &str,
        from: Position,
        len_max: usize,
    ) -> Result<Vec<Letter>, RelayError> {
        let mut letters = Vec::new();
        let (mut low, high) = (records::head_key(name, from), records::head_key(name, Position(u64::MAX)));
        while letters.len() < len_max {
            let wanted = (len_max - letters.len()).min(LIST_LEN);
            let found = self.reader.range(&low, &high, wanted).map_err(storage)?;
            let Some((last, _)) = found.last() else { break };
            low = [&**last, &[0]].concat();
            for (key, head) in &found {
                // Empty: a crash has come in the middle of its removal, or before it was a letter at all.
                if head.as_ref().is_empty() {
                    continue;
                }
                let position = records::position_of(name, key)?;
                let record = records::decode_head(name, position, head.as_ref())?;
                let requeued =
                    self.reader.get(&records::mark_key(name, position)).map_err(storage)?.is_some();
                letters.push(Letter { position, record, requeued });
            }
        }
        Ok(letters)
    }

    /// Letters that are gone and must not come again, since the cursor was still before them.
    pub(super) fn passed(&self, name: &str) -> Result<Vec<Position>, RelayError> {
        let (low, high) =
            (records::passed_key(name, Position(0)), records::passed_key(name, Position(u64::MAX)));
        let found = self.reader.range(&low, &high, usize::MAX).map_err(storage)?;
        let is_there = |(_, mark): &(Box<[u8]>, _)| -> bool { !AsRef::<[u8]>::as_ref(mark).is_empty() };
        found.iter().filter(|found| is_there(found)).map(|(key, _)| records::position_of(name, key)).collect()
    }

    /// One dead letter with its body.
    pub(super) fn letter(
        &self,
        name: &str,
        position: Position,
    ) -> Result<Option<(Letter, Vec<u8>)>, RelayError> {
        let Some(head) = self.reader.get(&records::head_key(name, position)).map_err(storage)? else {
            return Ok(None);
        };
        let record = records::decode_head(name, position, head.as_ref())?;
        let requeued = self.reader.get(&records::mark_key(name, position)).map_err(storage)?.is_some();
        let mut body = Vec::with_capacity(record.body_bytes as usize);
        for nth in 0..records::parts_len(record.body_bytes as usize) {
            let part = self.reader.get(&records::body_key(name, position, nth)).map_err(storage)?;
            body.extend_from_slice(part.as_ref().map_or(&[], |part| part.as_ref()));
        }
        if body.len() != record.body_bytes as usize {
            // Its removal or replacement is under way at this moment, or was when a crash came.
            return Ok(None);
        }
        Ok(Some((Letter { position, record, requeued }, body)))
    }

    /// Up to [`REMOVE_LEN`] keys of a subscription's letters, to be removed; itself where there are none left.
    pub(super) fn leftovers(&self, name: &str) -> Result<(Changes, bool), RelayError> {
        let mut changes = Changes::default();
        for (low, high) in records::letter_ranges(name) {
            let left = REMOVE_LEN - changes.0.len();
            for (key, _) in self.reader.range(&low, &high, left).map_err(storage)? {
                changes.remove(key.into());
            }
        }
        let is_last = changes.0.len() < REMOVE_LEN;
        if is_last {
            changes.remove(records::subscription_key(name));
            changes.remove(records::cursor_key(name));
        }
        Ok((changes, is_last))
    }
}

impl std::fmt::Debug for Book {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Book").finish_non_exhaustive()
    }
}

/// The thread.
fn write(mut store: Box<dyn PageStore>, mut requests: mpsc::UnboundedReceiver<Request>) {
    let mut failure: Option<RelayError> = None;
    while let Some(first) = requests.blocking_recv() {
        let mut bytes = first.changes.bytes();
        let mut together = vec![first];
        while bytes < COMMIT_BYTES_MAX && together.len() < COMMIT_REQUESTS_MAX {
            let Ok(next) = requests.try_recv() else { break };
            bytes += next.changes.bytes();
            together.push(next);
        }
        if failure.is_none() {
            failure = commit(store.as_mut(), &mut together).err();
            if let Some(failure) = &failure {
                tracing::error!(%failure, "the relay has stopped; orders go on");
            }
        }
        for Request { done, .. } in together {
            // Whoever asked may have gone.
            let _ = done.send(failure.clone().map_or(Ok(()), Err));
        }
    }
}

fn commit(store: &mut dyn PageStore, requests: &mut [Request]) -> Result<(), RelayError> {
    // A key occurs once in a batch, and the last word counts. In order: a letter's head goes before its body.
    let mut changes = BTreeMap::new();
    for request in requests {
        changes.extend(request.changes.0.drain(..));
    }
    let mut batch = PageBatch::default();
    for (key, value) in changes {
        match value {
            Some(value) => batch.put(key, value),
            None => batch.remove(key),
        }
    }
    if batch.is_empty() { Ok(()) } else { store.commit(batch).map_err(storage) }
}

fn storage(error: crate::projection::levels::StoreError) -> RelayError {
    RelayError::Storage(error.to_string())
}

fn damaged(name: &str, what: &str) -> RelayError {
    RelayError::Storage(format!("subscription {name} {what}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::projection::levels::MemoryPages;
    use crate::relay::spec::SubscriptionSpec;

    fn spec() -> SubscriptionSpec {
        serde_json::from_str(r#"{"sink":{"kind":"pull"}}"#).unwrap()
    }

    fn record() -> SubscriptionRecord {
        SubscriptionRecord::new(spec(), true)
    }

    fn dead(body_bytes: usize) -> DeadRecord {
        DeadRecord {
            order_no: None,
            event: "OrderPaid".into(),
            attempts: 3,
            reason: "full".into(),
            at_ms: 5,
            event_at_ms: 4,
            body_bytes: body_bytes as u32,
        }
    }

    fn written(written: Written) -> Result<(), RelayError> {
        written.0.blocking_recv().unwrap()
    }

    #[test]
    fn what_is_written_is_found_again() {
        let store = MemoryPages::default();
        let book = Book::open(Box::new(store.clone())).unwrap();
        let body: Vec<u8> = (0..300_000_u32).map(|n| n as u8).collect();
        let mut changes = Changes::default();
        changes.subscription("a", &record());
        changes.cursor("a", Position(7));
        changes.letter("a", Position(5), &dead(body.len()), &body);
        changes.letter("a", Position(6), &dead(0), &[]);
        changes.requeued("a", Position(6), true);
        written(book.write(changes)).unwrap();
        book.close();

        let book = Book::open(Box::new(store.clone())).unwrap();
        let stored = Stored { record: record(), cursor: Position(7) };
        assert_eq!(book.subscriptions().unwrap(), [("a".to_owned(), stored.clone())]);
        assert_eq!(book.subscription("a").unwrap(), Some(stored));
        assert_eq!(book.subscription("b").unwrap(), None);
        let letters = book.letters("a", Position(0), 10).unwrap();
        let seen: Vec<_> = letters.iter().map(|letter| (letter.position.0, letter.requeued)).collect();
        assert_eq!(seen, [(5, false), (6, true)]);
        assert_eq!(book.letters("a", Position(0), 1).unwrap().len(), 1);
        assert_eq!(book.letter("a", Position(5)).unwrap().unwrap().1, body);
        assert_eq!(book.letter("a", Position(4)).unwrap(), None);
        assert_eq!(book.letters("ab", Position(0), 10).unwrap(), []);

        let mut changes = Changes::default();
        changes.gone("a", Position(5), body.len());
        written(book.write(changes)).unwrap();
        assert_eq!(book.letters("a", Position(0), 10).unwrap().len(), 1);
        let (changes, is_last) = book.leftovers("a").unwrap();
        assert!(is_last);
        written(book.write(changes)).unwrap();
        assert_eq!(store.keys().len(), 0, "nothing is left of it");
    }

    #[test]
    fn the_last_word_counts_and_requests_go_together() {
        let store = MemoryPages::default();
        let book = Book::open(Box::new(store.clone())).unwrap();
        let mut changes = Changes::default();
        changes.subscription("a", &record());
        changes.cursor("a", Position(1));
        changes.cursor("a", Position(2));
        written(book.write(changes)).unwrap();
        assert_eq!(book.subscription("a").unwrap().unwrap().cursor, Position(2));
    }

    #[test]
    fn after_a_failed_write_nothing_more_is_taken() {
        let store = MemoryPages::default();
        store.fail_commit_at(2);
        let book = Book::open(Box::new(store.clone())).unwrap();
        let at = |position| {
            let mut changes = Changes::default();
            changes.cursor("a", Position(position));
            written(book.write(changes))
        };
        at(1).unwrap();
        assert!(matches!(at(2), Err(RelayError::Storage(_))));
        assert!(matches!(at(3), Err(RelayError::Storage(_))));
        assert_eq!(store.commits(), 2);
        book.close();
        let written = book.write(Changes::default());
        assert!(written.0.blocking_recv().is_err(), "a closed book answers nobody");
    }

    #[test]
    fn what_a_crash_left_of_a_letter_is_no_letter() {
        let store = MemoryPages::default();
        let book = Book::open(Box::new(store.clone())).unwrap();
        let mut changes = Changes::default();
        changes.letter("a", Position(5), &dead(3), b"abc");
        changes.letter("a", Position(6), &dead(3), b"abc");
        written(book.write(changes)).unwrap();
        store.tamper(&records::head_key("a", Position(5)), Some(Vec::new()));
        let letters = book.letters("a", Position(0), 10).unwrap();
        assert_eq!(letters.iter().map(|letter| letter.position).collect::<Vec<_>>(), [Position(6)]);
    }
}
