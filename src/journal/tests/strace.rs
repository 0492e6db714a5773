//! The order of system calls, watched from outside: each acknowledgement follows a write of the mark, which follows
//! an fdatasync of the database, which follows the last write of its frame.
//!
//! The test runs itself again under `strace` as a process that notes each acknowledgement in a file. Where there is
//! no `strace`, or it may not trace, nothing is tested here; the fault-injecting backend covers the order of calls.

use std::collections::HashMap;
use std::env;
use std::fs::File;
use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::mpsc;

use super::on_disk::open;
use super::*;

const CHILD_DIR: &str = "STOCKADE_TEST_STRACE_DIR";
const APPENDS: usize = 20;

/// The process under trace. Does nothing in an ordinary run.
#[test]
fn traced_process() {
    let Ok(dir) = env::var(CHILD_DIR) else { return };
    let dir = Path::new(&dir);
    let (journal, _) = open(&dir.join("data")).unwrap();
    let mut notes = Some(File::create(dir.join("acknowledgements")).unwrap());
    let handle =
        JournalHandle::start(journal, WriterOptions::new(Durability::Synced, Box::new(|| 0))).unwrap();
    for number in 0..APPENDS {
        let (done, wait) = mpsc::channel();
        let mut file = notes.take().unwrap();
        let acknowledge = Box::new(move || {
            file.write_all(b"acknowledged\n").unwrap();
            done.send(file).unwrap();
        });
        handle.append(&mut buffer_of_bytes(1 + 10_000 * (number % 3)), Some(acknowledge)).unwrap();
        notes = Some(wait.recv().unwrap());
    }
    handle.close().unwrap();
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Call {
    WriteDatabase,
    SyncDatabase,
    WriteMark,
    Acknowledge,
}

/// What a line of the trace is about. Calls are named at their beginning or, where others came between, `finished`.
fn call_of(name: &str, line: &str) -> Option<Call> {
    let on = |file: &str| line.contains(&format!("{file}>"));
    match name {
        "pwrite64" if on("/journal/db") => Some(Call::WriteDatabase),
        "fdatasync" if on("/journal/db") => Some(Call::SyncDatabase),
        "pwrite64" if on("/mark") => Some(Call::WriteMark),
        "write" if on("/acknowledgements") => Some(Call::Acknowledge),
        _ => None,
    }
}

/// The calls of a trace, each with the lines at which it began and ended.
fn calls_of(trace: &str) -> Vec<(Call, usize, usize)> {
    let mut open: HashMap<&str, (Call, usize)> = HashMap::new();
    let mut calls = Vec::new();
    for (number, line) in trace.lines().enumerate() {
        let Some((process, rest)) = line.split_once(char::is_whitespace) else { continue };
        let rest = rest.trim_start();
        if rest.starts_with("<... ") {
            calls.extend(open.remove(process).map(|(call, began)| (call, began, number)));
        } else if let Some(call) = rest.split('(').next().and_then(|name| call_of(name, rest)) {
            if rest.contains("<unfinished") {
                open.insert(process, (call, number));
            } else {
                assert!(!rest.contains("= -1"), "{line}");
                calls.push((call, number, number));
            }
        }
    }
    calls.sort_by_key(|(_, began, _)| *began);
    calls
}

#[test]
fn each_acknowledgement_follows_the_mark_that_follows_the_fdatasync_that_follows_the_write() {
    let dir = tempfile::tempdir().unwrap();
    let trace_path = dir.path().join("trace");
    let status = Command::new("strace")
        .args(["-f", "-y", "-s", "16", "-e", "trace=pwrite64,fdatasync,write", "-o"])
        .arg(&trace_path)
        .arg(env::current_exe().unwrap())
        .args(["--exact", "journal::tests::strace::traced_process", "--test-threads", "1"])
        .env(CHILD_DIR, dir.path())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status();
    if !dir.path().join("data").exists() {
        eprintln!("skipped: strace can't be used here ({status:?})");
        return;
    }
    assert!(status.unwrap().success());

    let calls = calls_of(&std::fs::read_to_string(&trace_path).unwrap());
    let acknowledged: Vec<usize> = (0..calls.len()).filter(|at| calls[*at].0 == Call::Acknowledge).collect();
    assert_eq!(acknowledged.len(), APPENDS, "{calls:?}");
    let mut start = 0;
    for at in acknowledged {
        let commit = &calls[start..at];
        let last = |call| commit.iter().rfind(|(found, ..)| *found == call).copied();
        let (write, sync, mark) =
            (last(Call::WriteDatabase), last(Call::SyncDatabase), last(Call::WriteMark));
        let (Some(write), Some(sync), Some(mark)) = (write, sync, mark) else {
            panic!("something is missing before the acknowledgement: {commit:?}");
        };
        assert!(write.2 <= sync.1, "written after its sync began: {commit:?}");
        assert!(sync.2 <= mark.1, "marked before its sync ended: {commit:?}");
        assert!(mark.2 <= calls[at].1, "acknowledged before it was marked: {commit:?}");
        start = at + 1;
    }
}
