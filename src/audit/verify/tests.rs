//! Entries reach the auditor, copies are made and go away, and what can't be read is told apart.

use std::collections::VecDeque;
use std::fs::{self, File};

use rustix::fs::FlockOperation;

use super::*;
use crate::journal::{EntryBuffer, pack};

struct Entries(VecDeque<(Position, Vec<Event>)>);

impl EntrySource for Entries {
    fn next_entry(&mut self) -> Result<Option<(Position, Vec<Event>)>, VerifyError> {
        match self.0.pop_front() {
            Some((_, events)) if events.is_empty() => {
                Err(VerifyError::Damaged { detail: "a frame's checksum is wrong".to_owned() })
            }
            next => Ok(next),
        }
    }
}

fn numbers(position: u64) -> (Position, Vec<Event>) {
    (Position(position), vec![Event::NumbersReserved { at_ms: 1, until_ms: position * 1_000 }])
}

#[test]
fn entries_reach_the_auditor_and_the_observer() {
    let mut seen = Vec::new();
    let mut audited = 0;
    let options = VerifyOptions::new()
        .on_entry(|first, events| seen.push((first, events.len())))
        .on_progress(|progress| match progress {
            Progress::Audited { events } => audited = events,
            Progress::Copied { .. } | Progress::Stored { .. } => unreachable!("there is no directory"),
        });
    let report = verify_entries(&mut Entries([numbers(1), numbers(2)].into()), options).unwrap();
    assert!(report.passed());
    assert_eq!((report.entries, report.last_position), (2, Position(2)));
    assert_eq!(seen, [(Position(1), 1), (Position(2), 1)]);
    assert_eq!(audited, 2);
}

#[test]
fn an_unreadable_entry_ends_the_audit_with_its_error() {
    let damaged = (Position(2), Vec::new());
    let result = verify_entries(&mut Entries([numbers(1), damaged].into()), VerifyOptions::new());
    assert!(matches!(result, Err(VerifyError::Damaged { .. })));
}

#[test]
fn a_missing_or_empty_directory_is_told_apart() {
    let dir = tempfile::tempdir().unwrap();
    let missing = verify(&dir.path().join("none"), VerifyOptions::new());
    assert!(matches!(missing, Err(VerifyError::Missing { .. })));
    let empty = verify(dir.path(), VerifyOptions::new());
    assert!(matches!(empty, Err(VerifyError::NoJournal { .. })));
}

#[test]
fn the_copy_is_complete_and_goes_away() {
    let outer = tempfile::tempdir().unwrap();
    let data = outer.path().join("data");
    fs::create_dir_all(data.join("journal/blobs")).unwrap();
    fs::write(data.join("journal/db"), b"frames").unwrap();
    fs::write(data.join("mark"), b"slots").unwrap();
    fs::write(data.join(layout::BALLAST_FILE), b"nothing").unwrap();
    let scratch = Scratch::copy_of(&data, &mut VerifyOptions::new()).unwrap();
    let copy = scratch.dir().to_owned();
    assert_eq!(copy.parent(), Some(outer.path().canonicalize().unwrap().as_path()));
    assert_eq!(fs::read(copy.join("journal/db")).unwrap(), b"frames");
    assert_eq!(fs::read(copy.join("mark")).unwrap(), b"slots");
    assert!(!copy.join(layout::BALLAST_FILE).exists());
    drop(scratch);
    assert!(!copy.exists());
    assert!(data.join("mark").exists());
}

#[test]
fn a_locked_file_means_in_use_and_leaves_no_copy() {
    let outer = tempfile::tempdir().unwrap();
    let data = outer.path().join("data");
    fs::create_dir(&data).unwrap();
    fs::write(data.join(layout::MARK_FILE), b"slots").unwrap();
    fs::write(data.join(layout::LOCK_FILE), b"").unwrap();
    let owner = File::open(data.join(layout::LOCK_FILE)).unwrap();
    rustix::fs::flock(&owner, FlockOperation::NonBlockingLockExclusive).unwrap();
    let result = verify(&data, VerifyOptions::new());
    assert!(matches!(result, Err(VerifyError::InUse { .. })));
    assert_eq!(fs::read_dir(outer.path()).unwrap().count(), 1);
}

#[test]
fn the_lock_of_a_database_that_is_being_closed_is_waited_for() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("db");
    fs::write(&path, b"frames").unwrap();
    let lock = || {
        let holder = File::open(&path).unwrap();
        rustix::fs::flock(&holder, FlockOperation::NonBlockingLockExclusive).unwrap();
        holder
    };
    let (mut held, mut waits) = (Some(lock()), 0);
    let locked = scratch::lock_shared(&path, dir.path(), || {
        waits += 1;
        if waits == 3 {
            held = None;
        }
    });
    assert!(locked.is_ok());
    assert_eq!(waits, 3);
    drop(locked);
    let _held = lock();
    let refused = scratch::lock_shared(&path, dir.path(), || waits += 1);
    assert!(matches!(refused, Err(VerifyError::InUse { .. })));
    assert!(waits > 100, "not for ever: {waits}");
}

#[test]
fn a_scratch_directory_that_does_not_exist_is_named() {
    let data = tempfile::tempdir().unwrap();
    fs::write(data.path().join(layout::MARK_FILE), b"slots").unwrap();
    let options = VerifyOptions::new().scratch(data.path().join("none"));
    let error = verify(data.path(), options).unwrap_err();
    assert!(matches!(error, VerifyError::Scratch { .. }));
    assert!(error.to_string().contains("none"));
}

/// A data directory with a journal of one entry in each of `frames` frames.
fn journal(dir: &Path, frames: u64) {
    let options = SledJournalOptions { ballast_bytes: 0, ..SledJournalOptions::default() };
    let (mut journal, _) = SledJournal::open(dir, options).unwrap();
    for position in 1..=frames {
        let mut buffer = EntryBuffer::new();
        let (first, events) = numbers(position);
        buffer.push(&events);
        journal.write(&pack(&buffer, first)).unwrap();
        journal.sync(first).unwrap();
    }
    journal.settle().unwrap();
}

#[test]
fn a_journal_is_audited_on_a_copy_and_in_place() {
    let outer = tempfile::tempdir().unwrap();
    let data = outer.path().join("data");
    journal(&data, 3);
    for in_place in [false, true] {
        let report = verify(&data, VerifyOptions::new().in_place(in_place)).unwrap();
        assert!(report.passed(), "{:?}", report.violations);
        assert_eq!((report.entries, report.last_position), (3, Position(3)));
    }
    assert_eq!(fs::read_dir(outer.path()).unwrap().count(), 1, "the copy is gone");
}

#[test]
fn a_damaged_a_newer_and_a_foreign_directory_are_told_apart() {
    let outer = tempfile::tempdir().unwrap();
    let data = outer.path().join("data");
    journal(&data, 3);
    fs::remove_file(data.join(layout::MARK_FILE)).unwrap();
    let damaged = verify(&data, VerifyOptions::new()).unwrap_err();
    assert!(matches!(damaged, VerifyError::Damaged { .. }), "{damaged}");
    assert!(damaged.to_string().contains(data.to_str().unwrap()), "{damaged}");
    fs::write(data.join(layout::FORMAT_FILE), "stockade data format 99\n").unwrap();
    let newer = verify(&data, VerifyOptions::new()).unwrap_err();
    assert!(matches!(newer, VerifyError::NewerFormat { .. }), "{newer}");
    fs::write(data.join(layout::FORMAT_FILE), "a thesis").unwrap();
    let foreign = verify(&data, VerifyOptions::new()).unwrap_err();
    assert!(matches!(foreign, VerifyError::NotADataDir { .. }), "{foreign}");
}
