//! The writer over the memory backend: gapless positions, acknowledgements in order and never early, fail stop.

use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{self, Receiver, RecvError};
use std::thread;

use super::*;

/// A clock that the test moves.
fn manual_clock() -> (Arc<AtomicU64>, Box<dyn Fn() -> u64 + Send>) {
    let now_ms = Arc::new(AtomicU64::new(0));
    let clock = Arc::clone(&now_ms);
    (now_ms, Box::new(move || clock.load(Ordering::SeqCst)))
}

fn options(durability: Durability) -> WriterOptions {
    WriterOptions::new(durability, manual_clock().1)
}

/// A recording journal and a writer over it.
fn start(options: WriterOptions) -> (MemoryJournal, JournalHandle) {
    let journal = MemoryJournal::new(usize::MAX);
    journal.record_operations();
    let handle = JournalHandle::start(journal.clone(), options).unwrap();
    (journal, handle)
}

/// An acknowledgement to wait for: `Ok` once called, an error once dropped.
fn acknowledgement() -> (Option<Acknowledge>, Receiver<()>) {
    let (sender, receiver) = mpsc::channel();
    let acknowledge = move || {
        let _ = sender.send(());
    };
    (Some(Box::new(acknowledge)), receiver)
}

/// Appends one event and waits for its acknowledgement.
fn append_and_wait(handle: &JournalHandle, number: u64) -> Result<Position, RecvError> {
    let (acknowledge, acknowledged) = acknowledgement();
    let first = handle.append(&mut buffer_of(&[numbered(number)]), acknowledge).unwrap();
    acknowledged.recv().map(|()| first)
}

fn wait_for_durable(handle: &JournalHandle, position: Position) {
    let mut durable = handle.watch_durable();
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(durable.wait_for(|durable| *durable >= position)).unwrap();
}

#[test]
fn concurrent_appends_get_gapless_positions_and_acknowledgements_in_order() {
    const THREADS: u64 = 4;
    const APPENDS: u64 = 300;
    let (journal, handle) = start(options(Durability::Synced));
    // Every acknowledgement notes its append and what was synced when it was called.
    let acknowledged: Arc<Mutex<Vec<(u64, Position)>>> = Arc::default();
    let mut appended: Vec<(u64, Position, u32)> = thread::scope(|scope| {
        let threads: Vec<_> = (0..THREADS)
            .map(|thread| {
                let (journal, handle, acknowledged) = (&journal, &handle, &acknowledged);
                scope.spawn(move || {
                    let mut buffer = EntryBuffer::new();
                    let mut appended = Vec::new();
                    for number in 0..APPENDS {
                        let id = thread * APPENDS + number;
                        for _ in 0..=id % 3 {
                            buffer.push(&[numbered(id), numbered(id)]);
                        }
                        let count = buffer.event_count();
                        let (journal, acknowledged) = (journal.clone(), Arc::clone(acknowledged));
                        let acknowledge =
                            Box::new(move || acknowledged.lock().unwrap().push((id, journal.synced())));
                        let first = handle.append(&mut buffer, Some(acknowledge)).unwrap();
                        assert!(buffer.is_empty());
                        appended.push((id, first, count));
                    }
                    appended
                })
            })
            .collect();
        threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect()
    });
    handle.close().unwrap();

    appended.sort_unstable_by_key(|(_, first, _)| *first);
    let mut next = 1;
    let acknowledged = acknowledged.lock().unwrap();
    assert_eq!(acknowledged.len(), appended.len());
    for ((id, first, count), (acknowledged_id, synced)) in appended.iter().zip(acknowledged.iter()) {
        assert_eq!(first.0, next, "positions must be gapless");
        next += u64::from(*count);
        assert_eq!(id, acknowledged_id, "acknowledgements must follow the order of positions");
        assert!(synced.0 >= next - 1, "{id} was acknowledged before its sync");
    }

    let events = events_of(&journal.read(Position(1), usize::MAX).unwrap());
    assert_eq!(events.len() as u64, next - 1);
    for (id, first, count) in appended {
        let of_append = &events[first.0 as usize - 1..][..count as usize];
        assert!(of_append.iter().all(|(_, event)| *event == numbered(id)));
        assert_eq!(of_append[0].0, first);
    }
    assert_eq!(handle.queued_bytes(), 0);
    let stats = handle.stats();
    assert_eq!((stats.events, stats.commits), (next - 1, stats.syncs));
}

#[test]
fn each_synced_commit_is_written_then_synced() {
    let (journal, handle) = start(options(Durability::Synced));
    for number in 1..=3 {
        assert_eq!(append_and_wait(&handle, number), Ok(Position(number)));
        assert_eq!((handle.acknowledged(), handle.durable()), (Position(number), Position(number)));
    }
    handle.close().unwrap();
    let expected: Vec<Operation> = (1..=3)
        .map(Position)
        .flat_map(|last| [Operation::Write { first: last, last }, Operation::Sync { last }])
        .collect();
    assert_eq!(journal.operations(), expected);
}

#[test]
fn an_append_without_entries_is_acknowledged_after_those_before_it() {
    let (journal, handle) = start(options(Durability::Synced));
    assert_eq!(handle.append(&mut EntryBuffer::new(), None), Ok(Position(1)));
    let (acknowledge, acknowledged) = acknowledgement();
    assert_eq!(handle.append(&mut EntryBuffer::new(), acknowledge), Ok(Position(1)));
    acknowledged.recv().unwrap();

    let order: Arc<Mutex<Vec<&str>>> = Arc::default();
    let note = |what: &'static str| -> Option<Acknowledge> {
        let order = Arc::clone(&order);
        Some(Box::new(move || order.lock().unwrap().push(what)))
    };
    handle.append(&mut buffer_of_bytes(100_000), note("entries")).unwrap();
    let next = handle.append(&mut EntryBuffer::new(), note("nothing")).unwrap();
    assert_eq!(next.0, handle.appended().0 + 1);
    handle.close().unwrap();
    assert_eq!(*order.lock().unwrap(), ["entries", "nothing"]);
    assert_eq!(journal.synced(), handle.appended());
}

#[test]
fn a_large_batch_is_split_between_entries_and_acknowledged_at_its_end() {
    let (journal, handle) =
        start(WriterOptions { commit_bytes_max: 32 * 1024, ..options(Durability::Synced) });
    let mut batch = buffer_of_bytes(200_000);
    let events = u64::from(batch.event_count());
    let (probe, (sender, receiver)) = (journal.clone(), mpsc::channel());
    let acknowledge = move || sender.send(probe.synced()).unwrap();
    handle.append(&mut batch, Some(Box::new(acknowledge))).unwrap();
    assert_eq!(receiver.recv().unwrap(), Position(events), "acknowledged before its last entry");
    handle.close().unwrap();
    assert!(handle.stats().commits >= 6, "{:?}", handle.stats());
    assert_eq!(events_of(&journal.read(Position(1), usize::MAX).unwrap()).len() as u64, events);
}

#[test]
fn the_first_failed_write_poisons() {
    let (journal, handle) = start(options(Durability::Synced));
    journal.fail_write_at(2);
    assert_poisoned_after_the_first(&journal, &handle);
    assert_eq!(journal.written(), Position(1));
}

#[test]
fn the_first_failed_sync_poisons() {
    let (journal, handle) = start(options(Durability::Synced));
    journal.fail_sync_at(2);
    assert_poisoned_after_the_first(&journal, &handle);
    assert_eq!((journal.written(), journal.synced()), (Position(2), Position(1)));
    assert_eq!(journal.after_process_crash().last(), Position(2));
    assert_eq!(journal.after_power_cut().last(), Position(1));
}

/// One append succeeds, the second meets the fault, and nothing is acknowledged or tried after it.
fn assert_poisoned_after_the_first(journal: &MemoryJournal, handle: &JournalHandle) {
    assert_eq!(append_and_wait(handle, 1), Ok(Position(1)));
    assert!(append_and_wait(handle, 2).is_err(), "a failed append was acknowledged");
    // The acknowledgement was dropped after the refusal began.
    let mut third = buffer_of(&[numbered(3)]);
    let refusal = handle.append(&mut third, None).unwrap_err();
    assert!(refusal.reason.contains("injected fault"), "{refusal}");
    assert_eq!(third.event_count(), 1, "a refused buffer comes back untouched");
    assert!(handle.poisoned());
    assert!(matches!(handle.close(), Err(JournalError::Poisoned(_))));
    assert!(matches!(handle.close(), Err(JournalError::Poisoned(_))), "the result must not change");
    assert_eq!((handle.acknowledged(), handle.durable()), (Position(1), Position(1)));
    let operations = journal.operations();
    assert!(operations.iter().filter(|operation| matches!(operation, Operation::Sync { .. })).count() == 1);
    // What is durable can still be read.
    assert_eq!(handle.reader().read(Position(1), usize::MAX).unwrap().len(), 1);
}

#[test]
fn the_poison_hook_hears_the_reason_once_and_queued_acknowledgements_are_dropped() {
    let (sender, reasons) = mpsc::channel();
    let on_poison: OnPoison = Box::new(move |reason| sender.send(reason.to_owned()).unwrap());
    let (journal, handle) = start(WriterOptions { on_poison, ..options(Durability::Synced) });
    journal.fail_write_at(1);
    // The first acknowledgement's commit fails; whatever is queued behind it must be dropped too.
    let waiting: Vec<Receiver<()>> = (0..20)
        .map_while(|number| {
            let (acknowledge, acknowledged) = acknowledgement();
            handle.append(&mut buffer_of(&[numbered(number)]), acknowledge).ok().map(|_| acknowledged)
        })
        .collect();
    assert!(!waiting.is_empty());
    assert!(waiting.iter().all(|acknowledged| acknowledged.recv().is_err()));
    assert!(handle.close().is_err());
    assert!(reasons.recv().unwrap().contains("injected fault"));
    assert!(reasons.recv().is_err(), "the hook is called once");
}

#[test]
fn a_panic_on_the_writer_thread_poisons() {
    let (_, handle) = start(options(Durability::Synced));
    handle.append(&mut buffer_of(&[numbered(1)]), Some(Box::new(|| panic!("broken")))).unwrap();
    let error = handle.close().unwrap_err();
    assert!(error.to_string().contains("broken"), "{error}");
}

#[test]
fn buffered_is_acknowledged_when_written_and_synced_by_the_clock() {
    let (now_ms, monotonic_ms) = manual_clock();
    let (journal, handle) =
        start(WriterOptions::new(Durability::Buffered { interval_ms: 10_000 }, monotonic_ms));
    assert_eq!(append_and_wait(&handle, 1), Ok(Position(1)));
    assert_eq!(append_and_wait(&handle, 2), Ok(Position(2)));
    assert_eq!(
        (handle.acknowledged(), handle.durable(), journal.synced()),
        (Position(2), Position(0), Position(0))
    );
    assert_eq!(
        (journal.after_process_crash().last(), journal.after_power_cut().last()),
        (Position(2), Position(0))
    );
    assert!(
        handle.reader().read(Position(1), 1).unwrap().is_empty(),
        "R11: readers see durable positions only"
    );

    now_ms.store(10_000, Ordering::SeqCst);
    // Anything wakes the writer, so that the test need not wait for the real time.
    handle.append(&mut EntryBuffer::new(), acknowledgement().0).unwrap();
    wait_for_durable(&handle, Position(2));
    assert_eq!(journal.synced(), Position(2));

    assert_eq!(append_and_wait(&handle, 3), Ok(Position(3)));
    assert_eq!(journal.synced(), Position(2));
    handle.close().unwrap();
    assert_eq!((journal.synced(), handle.durable()), (Position(3), Position(3)));
}

#[test]
fn every_commit_and_every_sync_is_in_the_figures() {
    let now_us = Arc::new(AtomicU64::new(0));
    let timed = |durability| {
        let clock = Arc::clone(&now_us);
        let monotonic_us: MonotonicUs = Arc::new(move || clock.load(Ordering::SeqCst));
        WriterOptions { monotonic_us: Some(monotonic_us), ..options(durability) }
    };
    let (_, handle) = start(timed(Durability::Synced));
    for number in 0..20 {
        append_and_wait(&handle, number).unwrap();
    }
    let (stats, figures) = (handle.stats(), handle.figures());
    assert_eq!((stats.commits, stats.syncs), (20, 20));
    let JournalFigures { commit_events, commit_bytes, sync_us, durable_us } = figures;
    assert_eq!((commit_events.count, commit_events.sum, commit_events.counts[0]), (20, 20, 20));
    assert_eq!((commit_bytes.count, commit_bytes.sum), (20, stats.bytes));
    assert_eq!((sync_us.count, sync_us.sum, durable_us.count, durable_us.sum), (20, 0, 20, 0));

    // Synced at the end only: one sync for two commits, and the older of them has waited for it since its append.
    let (_, handle) = start(timed(Durability::Buffered { interval_ms: 10_000 }));
    append_and_wait(&handle, 1).unwrap();
    now_us.store(500, Ordering::SeqCst);
    append_and_wait(&handle, 2).unwrap();
    now_us.store(700, Ordering::SeqCst);
    handle.close().unwrap();
    let JournalFigures { commit_events, durable_us, .. } = handle.figures();
    assert_eq!((commit_events.count, durable_us.count, durable_us.sum), (2, 1, 700));
}

#[test]
fn buffered_never_leaves_more_than_the_bound_unsynced() {
    let bytes_max = 128 * 1024;
    let (journal, handle) = start(WriterOptions {
        commit_bytes_max: 64 * 1024,
        sync_bytes_max: bytes_max,
        ..options(Durability::Buffered { interval_ms: u64::MAX })
    });
    for _ in 0..40 {
        handle.append(&mut buffer_of_bytes(40_000), None).unwrap();
    }
    handle.close().unwrap();
    let frames = journal.read(Position(1), usize::MAX).unwrap();
    let bytes_up_to = |last: Position| -> usize {
        frames.iter().filter(|frame| frame.last() <= last).map(|frame| frame.bytes().len()).sum()
    };
    let mut synced = Position(0);
    for operation in journal.operations() {
        match operation {
            Operation::Write { last, .. } => {
                let unsynced = bytes_up_to(last) - bytes_up_to(synced);
                assert!(unsynced <= bytes_max + FRAME_HEADER_BYTES * 8, "{unsynced} bytes");
            }
            Operation::Sync { last } => synced = last,
            Operation::Trim { .. } => {}
        }
    }
}

#[test]
fn the_memory_level_acknowledges_at_once_and_forgets_the_oldest() {
    let journal = MemoryJournal::new(200_000);
    let handle = JournalHandle::start(journal.clone(), options(Durability::Memory)).unwrap();
    for _ in 0..10 {
        handle.append(&mut buffer_of_bytes(60_000), None).unwrap();
        assert_eq!(handle.acknowledged(), handle.appended());
        wait_for_durable(&handle, handle.appended());
    }
    handle.close().unwrap();
    let reader = handle.reader();
    assert!(reader.first() > Position(1));
    assert!(matches!(
        reader.read(Position(1), 1),
        Err(JournalError::PositionTrimmed { asked: Position(1), first }) if first == reader.first()
    ));
    let kept = reader.read(reader.first(), usize::MAX).unwrap();
    assert!(kept.iter().map(|frame| frame.bytes().len()).sum::<usize>() <= 200_000);
    assert_eq!(kept.last().unwrap().last(), handle.appended());
}

#[test]
fn close_drains_and_refuses_what_comes_after() {
    let (journal, handle) = start(options(Durability::Synced));
    let waiting: Vec<Receiver<()>> = (0..50)
        .map(|number| {
            let (acknowledge, acknowledged) = acknowledgement();
            handle.append(&mut buffer_of(&[numbered(number)]), acknowledge).unwrap();
            acknowledged
        })
        .collect();
    handle.close().unwrap();
    assert!(waiting.iter().all(|acknowledged| acknowledged.recv().is_ok()));
    assert_eq!(journal.synced(), Position(50));
    assert!(handle.append(&mut buffer_of(&[numbered(51)]), None).is_err());
    assert!(!handle.poisoned(), "closing is no failure");
    handle.close().unwrap();
}

#[test]
fn dropping_the_last_handle_drains_too() {
    let (journal, handle) = start(options(Durability::Synced));
    let (acknowledge, acknowledged) = acknowledgement();
    handle.append(&mut buffer_of(&[numbered(1)]), acknowledge).unwrap();
    drop(handle.clone());
    drop(handle);
    acknowledged.recv().unwrap();
    assert_eq!(journal.synced(), Position(1));
}

#[test]
fn trimming_keeps_what_is_asked_for_and_the_last_frame() {
    let (journal, handle) = start(options(Durability::Synced));
    for number in 1..=10 {
        append_and_wait(&handle, number).unwrap();
    }
    handle.trim(Position(4));
    append_and_wait(&handle, 11).unwrap();
    // A trim follows the commit it was taken with; the next commit is certainly behind it.
    append_and_wait(&handle, 12).unwrap();
    assert_eq!(journal.first(), Position(4));
    handle.trim(Position(1_000));
    append_and_wait(&handle, 13).unwrap();
    append_and_wait(&handle, 14).unwrap();
    handle.close().unwrap();
    assert!(journal.first() >= Position(12), "{}", journal.first());
    assert_eq!(journal.read(journal.first(), usize::MAX).unwrap().last().unwrap().last(), Position(14));
}

#[test]
fn positions_go_on_where_the_journal_ended() {
    let (journal, handle) = start(options(Durability::Synced));
    append_and_wait(&handle, 1).unwrap();
    append_and_wait(&handle, 2).unwrap();
    handle.close().unwrap();
    let handle = JournalHandle::start(journal.after_power_cut(), options(Durability::Synced)).unwrap();
    assert_eq!((handle.appended(), handle.durable()), (Position(2), Position(2)));
    assert_eq!(append_and_wait(&handle, 3), Ok(Position(3)));
}

#[test]
fn a_full_queue_shows() {
    let (_, handle) = start(WriterOptions { queue_bytes_max: 1, ..options(Durability::Synced) });
    // The acknowledgement keeps the writer busy until the test has looked.
    let (hold, held) = mpsc::channel::<()>();
    handle
        .append(
            &mut EntryBuffer::new(),
            Some(Box::new(move || {
                let _ = held.recv();
            })),
        )
        .unwrap();
    assert!(!handle.is_full());
    handle.append(&mut buffer_of(&[numbered(1)]), None).unwrap();
    assert!(handle.is_full());
    drop(hold);
    handle.close().unwrap();
    assert!(!handle.is_full());
}
