//! The sled backend on real files: what was written is found again, in every way of ending.

use std::fs;
use std::path::Path;

use super::*;

pub(super) fn options() -> SledJournalOptions {
    SledJournalOptions { cache_bytes: 16 << 20, ballast_bytes: 0 }
}

pub(super) fn open(path: &Path) -> Result<(SledJournal, OpenReport), JournalError> {
    SledJournal::open(path, options())
}

/// Writes entries behind what is there, and syncs them where asked to. Returns the last position.
pub(super) fn write(
    journal: &mut SledJournal,
    from: Position,
    entries: &EntryBuffer,
    sync: bool,
) -> Position {
    journal.write(&pack(entries, from)).unwrap();
    let last = Position(from.0 + u64::from(entries.event_count()) - 1);
    if sync {
        journal.sync(last).unwrap();
    }
    last
}

/// Copies a data directory as another process would find it after this one is killed.
pub(super) fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).unwrap();
        }
    }
}

pub(super) fn scan_all(journal: &SledJournal) -> Result<Vec<Frame>, JournalError> {
    let reader = journal.reader();
    let first = reader.first();
    scan(reader, first).collect()
}

#[test]
fn what_was_written_is_found_again() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("data");
    let (mut journal, report) = open(&path).unwrap();
    assert_eq!(
        report,
        OpenReport {
            created: true,
            first: Position(1),
            last: Position(0),
            marked_last: Position(0),
            ballast_bytes: 0,
            format: layout::DATA_FORMAT,
        }
    );
    let events = one_of_each();
    let mut last = write(&mut journal, Position(1), &buffer_of(&events), true);
    last = write(&mut journal, Position(last.0 + 1), &buffer_of_bytes(300_000), true);
    journal.settle().unwrap();
    drop(journal);

    let (journal, report) = open(&path).unwrap();
    assert!(!report.created);
    assert_eq!((report.first, report.last, report.marked_last), (Position(1), last, last));
    let found = events_of(&scan_all(&journal).unwrap());
    assert_eq!(found.len() as u64, last.0);
    for (index, (position, event)) in found.iter().enumerate() {
        assert_eq!(position.0, index as u64 + 1);
        assert_eq!(event, events.get(index).unwrap_or(&created(one_line_order())));
    }
}

#[test]
fn reading_begins_inside_a_frame_and_goes_on_in_steps() {
    let dir = tempfile::tempdir().unwrap();
    let (mut journal, _) = open(dir.path()).unwrap();
    let mut last = Position(0);
    for _ in 0..6 {
        last = write(&mut journal, Position(last.0 + 1), &buffer_of(&thirteen()), true);
    }
    let reader = journal.reader();
    for from in 1..=last.0 {
        let frames = reader.read(Position(from), 1).unwrap();
        assert_eq!(frames.len(), 1);
        assert!((frames[0].first().0..=frames[0].last().0).contains(&from));
    }
    assert_eq!(reader.read(Position(14), usize::MAX).unwrap().len(), 5);
    assert!(reader.read(Position(last.0 + 1), usize::MAX).unwrap().is_empty());
    assert!(reader.read(Position(u64::MAX), usize::MAX).unwrap().is_empty());
    assert!(matches!(reader.read(Position(0), 1), Err(JournalError::PositionTrimmed { .. })));
}

#[test]
fn readers_see_synced_frames_only() {
    let dir = tempfile::tempdir().unwrap();
    let (mut journal, _) = open(dir.path()).unwrap();
    let last = write(&mut journal, Position(1), &buffer_of(&[numbered(1)]), false);
    let reader = journal.reader();
    assert!(reader.read(Position(1), 1).unwrap().is_empty());
    journal.sync(last).unwrap();
    assert_eq!(reader.read(Position(1), 1).unwrap().len(), 1);
}

#[test]
fn what_was_written_but_not_marked_is_kept_after_a_process_crash() {
    let dir = tempfile::tempdir().unwrap();
    let (live, crashed) = (dir.path().join("live"), dir.path().join("crashed"));
    let (mut journal, _) = open(&live).unwrap();
    let marked = write(&mut journal, Position(1), &buffer_of_bytes(100_000), true);
    let last = write(&mut journal, Position(marked.0 + 1), &buffer_of_bytes(100_000), false);
    copy(&live, &crashed);

    let (journal, report) = open(&crashed).unwrap();
    assert_eq!((report.last, report.marked_last), (last, marked));
    assert_eq!(events_of(&scan_all(&journal).unwrap()).len() as u64, last.0);
}

#[test]
fn the_lock_is_exclusive_and_goes_with_the_last_reader() {
    let dir = tempfile::tempdir().unwrap();
    let (journal, _) = open(dir.path()).unwrap();
    let error = open(dir.path()).unwrap_err();
    assert!(matches!(&error, JournalError::InUse { .. }), "{error}");
    let reader = journal.reader();
    drop(journal);
    assert!(matches!(open(dir.path()), Err(JournalError::InUse { .. })));
    drop(reader);
    open(dir.path()).unwrap();
}

#[test]
fn an_interrupted_creation_is_begun_again() {
    let dir = tempfile::tempdir().unwrap();
    drop(open(dir.path()).unwrap());
    fs::remove_file(dir.path().join(layout::FORMAT_FILE)).unwrap();
    fs::write(dir.path().join(layout::MARK_FILE), "cut off").unwrap();
    let (_, report) = open(dir.path()).unwrap();
    assert!(report.created);
    assert!(dir.path().join(layout::FORMAT_FILE).exists());
}

#[test]
fn a_deleted_ballast_comes_back_when_there_is_room() {
    let dir = tempfile::tempdir().unwrap();
    let options = SledJournalOptions { ballast_bytes: 1 << 20, ..options() };
    let ballast = dir.path().join(layout::BALLAST_FILE);
    assert_eq!(SledJournal::open(dir.path(), options).unwrap().1.ballast_bytes, 1 << 20);
    fs::remove_file(&ballast).unwrap();
    assert_eq!(SledJournal::open(dir.path(), options).unwrap().1.ballast_bytes, 1 << 20);
    assert_eq!(fs::metadata(&ballast).unwrap().len(), 1 << 20);
}

#[test]
fn trimming_removes_whole_frames_only_and_survives_a_reopen() {
    let dir = tempfile::tempdir().unwrap();
    let (mut journal, _) = open(dir.path()).unwrap();
    let entries = buffer_of(&thirteen());
    for frame in 0..80 {
        write(&mut journal, Position(1 + 13 * frame), &entries, true);
    }
    // Position 500 lies in the frame that begins at 13 * 38 + 1 = 495.
    let mut steps = 0;
    while journal.trim(Position(500)).unwrap().more {
        steps += 1;
    }
    assert_eq!(steps, 1, "38 frames take two steps");
    let reader = journal.reader();
    assert_eq!(reader.first(), Position(495));
    assert!(matches!(
        reader.read(Position(494), 1),
        Err(JournalError::PositionTrimmed { asked: Position(494), first: Position(495) })
    ));
    assert_eq!(reader.read(Position(500), 1).unwrap()[0].first(), Position(495));

    while journal.trim(Position(u64::MAX)).unwrap().more {}
    assert_eq!((reader.first(), reader.last()), (Position(13 * 79 + 1), Position(13 * 80)));
    drop((journal, reader));
    let (mut journal, report) = open(dir.path()).unwrap();
    assert_eq!((report.first, report.last), (Position(13 * 79 + 1), Position(13 * 80)));
    write(&mut journal, Position(13 * 80 + 1), &entries, true);
    assert_eq!(scan_all(&journal).unwrap().len(), 2);
}

/// Values that leave sled's log for files of their own would never be synced. Frames of the largest size are written
/// until leaves were split and rewritten many times over, and trimmed, which merges them.
#[test]
fn no_blobs_appear_with_the_largest_frames() {
    let dir = tempfile::tempdir().unwrap();
    let (mut journal, _) = open(dir.path()).unwrap();
    // 31 KiB a time: a stretch of 62 KiB, and then another, make 124 KiB.
    let large = created(OrderCreated {
        extra: crate::domain::order::OrderExtra::of_text(Some(Box::new(OrderText {
            ext: Some(vec![0x5a; 31 * 1024].into()),
            ..OrderText::default()
        }))),
        ..one_line_order()
    });
    let entries = buffer_of(&vec![large; 64]);
    let frames = pack(&entries, Position(1));
    assert!(frames.iter().any(|frame| frame.bytes().len() > 90 * 1024), "{:?}", frames[0].bytes().len());
    let mut last = Position(0);
    for round in 0..30 {
        last = write(&mut journal, Position(last.0 + 1), &entries, true);
        if round >= 10 {
            journal.trim(Position(last.0 - 640)).unwrap();
        }
    }
    assert_eq!(fs::read_dir(dir.path().join("journal/blobs")).unwrap().count(), 0);
    scan_all(&journal).unwrap();
    drop(journal);
    let (journal, report) = open(dir.path()).unwrap();
    assert_eq!(report.last, last);
    assert_eq!(fs::read_dir(dir.path().join("journal/blobs")).unwrap().count(), 0);
    scan_all(&journal).unwrap();
}

#[test]
fn the_writer_drives_it() {
    let dir = tempfile::tempdir().unwrap();
    let (journal, _) = open(dir.path()).unwrap();
    let handle =
        JournalHandle::start(journal, WriterOptions::new(Durability::Synced, Box::new(|| 0))).unwrap();
    let mut next = 1;
    for bytes in [10, 1_000, 100_000, 1_000_000] {
        let mut buffer = buffer_of_bytes(bytes);
        let count = u64::from(buffer.event_count());
        assert_eq!(handle.append(&mut buffer, None).unwrap(), Position(next));
        next += count;
    }
    handle.close().unwrap();
    assert_eq!(handle.durable(), Position(next - 1));
    drop(handle);
    let (journal, report) = open(dir.path()).unwrap();
    assert_eq!(report.marked_last, Position(next - 1));
    assert_eq!(events_of(&scan_all(&journal).unwrap()).len() as u64, next - 1);
}
