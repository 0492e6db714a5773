//! An engine in a process of its own, so that it can be killed, or measured in memory that nothing else has used.
//!
//! The child says lines on stdout and watches its stdin, which the parent holds for as long as it lives.

use std::io::{self, BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::time::Duration;

use crate::Failure;

/// No line came in time.
#[derive(Debug)]
pub(crate) struct Waiting;

impl std::fmt::Display for Waiting {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("the engine says nothing and does not end")
    }
}

impl std::error::Error for Waiting {}

/// A child process, which never outlives this value.
pub(crate) struct Process {
    child: Child,
    /// Open for as long as this value lives: the child watches it.
    stdin: Option<ChildStdin>,
    lines: Receiver<String>,
}

impl Process {
    /// Starts this harness once more, as the scenario `scenario` with so many options.
    pub(crate) fn start(scenario: &str, options: impl FnOnce(&mut Command)) -> Result<Self, Failure> {
        let mut command = Command::new(std::env::current_exe()?);
        command.arg(scenario);
        options(&mut command);
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
        let (stdin, stdout) = (child.stdin.take(), child.stdout.take());
        let (sender, lines) = mpsc::channel();
        let process = Self { child, stdin, lines };
        let stdout = BufReader::new(stdout.ok_or("the engine has no stdout")?);
        std::thread::spawn(move || {
            for line in whole_lines(stdout) {
                if sender.send(line).is_err() {
                    return;
                }
            }
        });
        Ok(process)
    }

    /// The next line; `None` once the process has ended and all its lines are read.
    pub(crate) fn line(&mut self, wait: Duration) -> Result<Option<String>, Waiting> {
        match self.lines.recv_timeout(wait) {
            Ok(line) => Ok(Some(line)),
            Err(RecvTimeoutError::Disconnected) => Ok(None),
            Err(RecvTimeoutError::Timeout) => Err(Waiting),
        }
    }

    /// Says one number to the child, for [`watch_parent`]. A child that has ended is noticed at its lines.
    pub(crate) fn tell(&mut self, number: u64) {
        if let Some(stdin) = &mut self.stdin {
            let _ = writeln!(stdin, "{number}");
        }
    }

    /// SIGKILL: the process gets no chance to do anything any more.
    pub(crate) fn kill(&mut self) {
        // It fails only when the process has ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// Memory of the process that is resident, in bytes, where the system tells it.
    pub(crate) fn resident_bytes(&self) -> Option<u64> {
        crate::machine::resident_bytes_of(&self.child.id().to_string())
    }

    pub(crate) fn ended_well(&mut self) -> bool {
        self.child.wait().is_ok_and(|status| status.success())
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Lines with their line feed: a kill may cut the last one off, and what was not said whole was not said.
fn whole_lines(mut reader: impl BufRead) -> impl Iterator<Item = String> {
    std::iter::from_fn(move || {
        let mut line = String::new();
        reader.read_line(&mut line).ok()?;
        line.strip_suffix('\n').map(str::to_owned)
    })
}

/// The child says one whole line, written before anybody can count on it.
pub(crate) fn say(line: &str) {
    // A parent that has gone is noticed at stdin.
    let _ = writeln!(io::stdout().lock(), "{line}");
}

/// The parent holds the other end of stdin: when it dies, however it dies, this process goes too.
pub(crate) fn die_with_parent() {
    watch_parent(|_number| {});
}

/// As [`die_with_parent`], and takes the numbers in that the parent tells.
pub(crate) fn watch_parent(told: impl Fn(u64) + Send + 'static) {
    std::thread::spawn(move || {
        whole_lines(io::stdin().lock()).filter_map(|line| line.parse().ok()).for_each(told);
        std::process::exit(3);
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_that_was_cut_off_does_not_count() {
        let lines: Vec<String> = whole_lines("O 1 77\nP 1 77\nC 2 8".as_bytes()).collect();
        assert_eq!(lines, ["O 1 77", "P 1 77"]);
    }
}
