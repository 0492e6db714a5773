//! Damage of every kind: the journal refuses to start, or to be read, rather than lose an acknowledged order silently.

use std::fs::{self, OpenOptions};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use super::on_disk::{copy, open, scan_all, write};
use super::*;
use crate::journal::mark::{Mark, Marked};

/// A data directory with 24 synced commits of some 40 KB, each its own bytes, and how far the database's file is in
/// use.
struct Sample {
    dir: tempfile::TempDir,
    last: Position,
    used_bytes: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ended {
    Killed,
    InOrder,
}

impl Sample {
    fn new() -> Self {
        Self::ended(Ended::Killed)
    }

    fn ended(ended: Ended) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("intact");
        let (mut journal, _) = open(&path).unwrap();
        let mut last = Position(0);
        for _ in 0..24 {
            last = write(&mut journal, Position(last.0 + 1), &buffer_of_bytes(40_000), true);
        }
        journal.settle().unwrap();
        if ended == Ended::InOrder {
            // Opening writes a snapshot of sled's tables, which may then promise what the damage has taken away.
            drop(journal);
            journal = open(&path).unwrap().0;
        }
        // As a kill leaves it: sled's own shutdown writes nothing more.
        copy(&path, &dir.path().join("copy"));
        drop(journal);
        let db = fs::read(dir.path().join("copy/journal/db")).unwrap();
        let used_bytes = db.iter().rposition(|byte| *byte != 0).unwrap() as u64 + 1;
        Self { dir, last, used_bytes }
    }

    /// A copy to be damaged.
    fn copy(&self, name: &str) -> PathBuf {
        let to = self.dir.path().join(name);
        copy(&self.dir.path().join("copy"), &to);
        to
    }
}

/// Opens and reads everything, as recovery does. `Ok` is the last position.
fn recover(path: &Path) -> Result<Position, JournalError> {
    let (journal, report) = open(path)?;
    let frames = scan_all(&journal)?;
    assert_eq!(frames.last().map_or(Position(0), Frame::last), report.last);
    Ok(report.last)
}

fn assert_refused(result: Result<Position, JournalError>, what: &str) {
    match result {
        Err(
            JournalError::Damaged { .. }
            | JournalError::Panicked { .. }
            | JournalError::Store { .. }
            | JournalError::Io { .. },
        ) => {}
        other => panic!("{what}: expected a refusal, got {other:?}"),
    }
}

#[test]
fn a_cut_tail_is_noticed_wherever_it_is_cut() {
    for ended in [Ended::Killed, Ended::InOrder] {
        let sample = Sample::ended(ended);
        assert_eq!(recover(&sample.copy("whole")).unwrap(), sample.last);
        for percent in [0, 10, 50, 90, 99] {
            let path = sample.copy(&format!("cut-{percent}"));
            let db = OpenOptions::new().write(true).open(path.join("journal/db")).unwrap();
            db.set_len(sample.used_bytes * percent / 100).unwrap();
            assert_refused(recover(&path), &format!("{ended:?}, cut to {percent} %"));
        }
    }
}

#[test]
fn a_zeroed_tail_is_noticed() {
    let sample = Sample::new();
    let path = sample.copy("zeroed");
    let db = OpenOptions::new().write(true).open(path.join("journal/db")).unwrap();
    db.write_all_at(&vec![0; 60_000], sample.used_bytes - 60_000).unwrap();
    assert_refused(recover(&path), "zeroed tail");
}

#[test]
fn a_flipped_byte_is_noticed_wherever_it_is() {
    for ended in [Ended::Killed, Ended::InOrder] {
        let sample = Sample::ended(ended);
        for percent in [20, 50, 80] {
            let path = sample.copy(&format!("flipped-{percent}"));
            let db = OpenOptions::new().read(true).write(true).open(path.join("journal/db")).unwrap();
            let at = sample.used_bytes * percent / 100;
            let mut byte = [0];
            db.read_exact_at(&mut byte, at).unwrap();
            db.write_all_at(&[byte[0] ^ 0x10], at).unwrap();
            assert_refused(recover(&path), &format!("{ended:?}, flipped at {percent} %"));
        }
    }
}

#[test]
fn a_lost_database_is_noticed() {
    let sample = Sample::new();
    let path = sample.copy("lost");
    fs::remove_dir_all(path.join("journal")).unwrap();
    let error = recover(&path).unwrap_err();
    assert!(error.to_string().contains(&format!("positions 1 to {} are missing", sample.last)), "{error}");
}

#[test]
fn a_missing_mark_is_damage() {
    let sample = Sample::new();
    let path = sample.copy("no-mark");
    fs::remove_file(path.join(layout::MARK_FILE)).unwrap();
    assert_refused(recover(&path), "missing mark");
    // Without a format either it might pass for an interrupted creation, but for its frames.
    fs::remove_file(path.join(layout::FORMAT_FILE)).unwrap();
    let error = recover(&path).unwrap_err();
    assert!(error.to_string().contains("holds frames"), "{error}");
}

#[test]
fn a_missing_format_with_a_mark_is_damage() {
    let sample = Sample::new();
    let path = sample.copy("no-format");
    fs::remove_file(path.join(layout::FORMAT_FILE)).unwrap();
    let error = recover(&path).unwrap_err();
    assert!(matches!(&error, JournalError::Damaged { .. }), "{error}");
}

#[test]
fn a_mark_ahead_of_the_frames_names_what_is_missing() {
    let sample = Sample::new();
    let path = sample.copy("mark-ahead");
    let (mut mark, marked) = Mark::open(&path.join(layout::MARK_FILE)).unwrap().unwrap();
    assert_eq!(marked, Marked { first: Position(1), last: sample.last });
    mark.write(Marked { last: Position(sample.last.0 + 7), ..marked }).unwrap();
    let error = recover(&path).unwrap_err();
    let expected = format!("positions {} to {} are missing", sample.last.0 + 1, sample.last.0 + 7);
    assert!(matches!(&error, JournalError::Damaged { what } if *what == expected), "{error}");
}

#[test]
fn a_hole_is_noticed_by_the_scan_even_behind_the_mark() {
    let dir = tempfile::tempdir().unwrap();
    let (mut journal, _) = open(dir.path()).unwrap();
    let entries = buffer_of(&thirteen());
    write(&mut journal, Position(1), &entries, true);
    // Positions 14 to 26 are never written, and nothing is marked behind 13.
    write(&mut journal, Position(27), &entries, false);
    drop(journal);
    let (journal, report) = open(dir.path()).unwrap();
    assert_eq!((report.last, report.marked_last), (Position(39), Position(13)));
    let error = scan_all(&journal).unwrap_err();
    assert!(
        matches!(&error, JournalError::Damaged { what } if what == "positions 14 to 26 are missing"),
        "{error}"
    );
}

#[test]
fn a_missing_beginning_is_noticed() {
    let dir = tempfile::tempdir().unwrap();
    let (mut journal, _) = open(dir.path()).unwrap();
    write(&mut journal, Position(14), &buffer_of(&thirteen()), true);
    drop(journal);
    assert_refused(recover(dir.path()), "missing beginning");
}

#[test]
fn a_position_is_never_overwritten() {
    let dir = tempfile::tempdir().unwrap();
    let (mut journal, _) = open(dir.path()).unwrap();
    let entries = buffer_of(&thirteen());
    write(&mut journal, Position(1), &entries, true);
    assert!(matches!(journal.write(&pack(&entries, Position(1))), Err(JournalError::Damaged { .. })));
}

/// Needs a file system of some 150 MB that it may fill, for example a tmpfs, named by `STOCKADE_TEST_SMALL_DISK`.
/// Without one nothing is tested here.
#[test]
fn a_full_disk_stops_the_journal_and_the_ballast_gets_it_going_again() {
    let Ok(disk) = std::env::var("STOCKADE_TEST_SMALL_DISK") else { return };
    let path = Path::new(&disk).join("data");
    let options = SledJournalOptions { cache_bytes: 16 << 20, ballast_bytes: 40 << 20 };
    let (journal, _) = SledJournal::open(&path, options).unwrap();
    let handle =
        JournalHandle::start(journal, WriterOptions::new(Durability::Synced, Box::new(|| 0))).unwrap();
    let filler = Path::new(&disk).join("filler");
    let mut fill = Vec::new();
    while !handle.poisoned() {
        if handle.append(&mut buffer_of_bytes(1 << 20), None).is_ok() && handle.durable() > Position(50_000) {
            fill.resize(fill.len() + (1 << 20), 0x5a);
            let _ = fs::write(&filler, &fill);
        }
        while !handle.poisoned() && handle.queued_bytes() > 0 {
            std::thread::yield_now();
        }
    }
    let durable = handle.durable();
    let reason = handle.close().unwrap_err().to_string();
    assert!(reason.contains("no space left"), "{reason}");
    drop(handle);

    let error = open(&path).map(|(_, report)| report).unwrap_err();
    eprintln!("without room: {error}");
    fs::remove_file(path.join(layout::BALLAST_FILE)).unwrap();
    let (journal, report) = open(&path).unwrap();
    assert!(report.last >= durable, "{report:?}");
    assert_eq!(scan_all(&journal).unwrap().last().unwrap().last(), report.last);
}
