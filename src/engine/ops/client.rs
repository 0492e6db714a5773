//! The other end of the control socket.

use std::io::{self, BufRead, BufReader, ErrorKind, Read, Write};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::control::{LINE_BYTES_MAX, PATH_BYTES_MAX, fits};
use super::{InspectReport, OpsError};
use crate::domain::ids::Position;
#[cfg(feature = "search")]
use crate::engine::ReindexProgress;
use crate::engine::backup::BackupReport;
use crate::journal::layout;

/// Lines of one answer.
const LINES_MAX: usize = 10_000;
/// Longest wait for a line of an inspection: it reads all open orders.
const INSPECT_TIMEOUT: Duration = Duration::from_secs(120);
/// Longest wait for a line of a backup: its end makes everything durable at once.
const BACKUP_TIMEOUT: Duration = Duration::from_secs(600);
/// Longest wait for a line about a new search index: they come several times a second.
#[cfg(feature = "search")]
const REINDEX_TIMEOUT: Duration = Duration::from_secs(60);

/// Asks the engine that runs on a directory for its report.
pub(super) fn inspect(dir: &Path) -> Result<InspectReport, OpsError> {
    let mut conversation = Conversation::begin(dir, b"inspect", INSPECT_TIMEOUT)?;
    let mut lines = Vec::new();
    loop {
        let line = conversation.line()?;
        if line == "ok" {
            let report = InspectReport::from_lines(&lines);
            return report.ok_or_else(|| conversation.garbled("its report doesn't make sense"));
        }
        if lines.len() == LINES_MAX {
            return Err(conversation.garbled("its report has no end"));
        }
        lines.push(line);
    }
}

/// Lets the engine that runs on a directory back it up.
pub(super) fn backup(dir: &Path, to: &Path, progress: &mut dyn FnMut(u64)) -> Result<BackupReport, OpsError> {
    let to = std::path::absolute(to).map_err(OpsError::Output)?;
    let path = to.as_os_str().as_bytes();
    if path.contains(&b'\n') {
        let error = io::Error::new(ErrorKind::InvalidInput, "the target's path has a line break");
        return Err(OpsError::Output(error));
    }
    let mut conversation = Conversation::begin(dir, &[b"backup ", path].concat(), BACKUP_TIMEOUT)?;
    loop {
        let line = conversation.line()?;
        let mut words = line.split(' ');
        let word = words.next();
        let mut number = || words.next()?.parse::<u64>().ok();
        let understood = match word {
            Some("progress") => number().map(&mut *progress),
            Some("ok") => {
                let numbers = [number(), number(), number(), number(), number()];
                if let [Some(position), Some(stored), Some(events), Some(bytes), Some(elapsed_ms)] = numbers {
                    let (position, stored) = (Position(position), Position(stored));
                    return Ok(BackupReport { position, stored, events, bytes, elapsed_ms });
                }
                None
            }
            _ => None,
        };
        understood.ok_or_else(|| conversation.garbled("it speaks another protocol"))?;
    }
}

/// Lets the engine that runs on a directory build its search index anew.
#[cfg(feature = "search")]
pub(super) fn reindex(
    dir: &Path,
    progress: &mut dyn FnMut(ReindexProgress),
) -> Result<ReindexProgress, OpsError> {
    let mut conversation = Conversation::begin(dir, b"reindex", REINDEX_TIMEOUT)?;
    loop {
        let line = conversation.line()?;
        let mut words = line.split(' ');
        let word = words.next();
        let mut number = || words.next()?.parse::<u64>().ok();
        match (word, number(), number()) {
            (Some("progress"), Some(orders), Some(orders_total)) => {
                progress(ReindexProgress { orders, orders_total });
            }
            (Some("ok"), Some(orders), Some(orders_total)) => {
                return Ok(ReindexProgress { orders, orders_total });
            }
            _ => return Err(conversation.garbled("it speaks another protocol")),
        }
    }
}

/// One request with its answer.
struct Conversation {
    dir: PathBuf,
    answer: BufReader<UnixStream>,
}

impl Conversation {
    fn begin(dir: &Path, request: &[u8], timeout: Duration) -> Result<Self, OpsError> {
        let no_socket = |why: String| OpsError::NoSocket { dir: dir.to_path_buf(), why };
        if !fits(dir) {
            return Err(no_socket(format!(
                "its path is too long for a control socket, which has {PATH_BYTES_MAX} bytes at most; stop the engine, or start \
                 it by a shorter path (a symbolic link will do)"
            )));
        }
        let mut stream = UnixStream::connect(dir.join(layout::CONTROL_SOCKET)).map_err(|error| {
            no_socket(match error.kind() {
                ErrorKind::NotFound | ErrorKind::ConnectionRefused => {
                    "it has no control socket; switch it on with `Config::control_socket`, or stop the engine"
                        .to_owned()
                }
                ErrorKind::PermissionDenied => "its control socket belongs to another user".to_owned(),
                _ => format!("its control socket fails: {error}"),
            })
        })?;
        let sent = stream
            .set_read_timeout(Some(timeout))
            .and_then(|()| stream.set_write_timeout(Some(timeout)))
            .and_then(|()| stream.write_all(&[request, b"\n"].concat()));
        let dir = dir.to_path_buf();
        // An answer may be there all the same: that there are too many connections.
        drop(sent);
        Ok(Self { dir, answer: BufReader::new(stream) })
    }

    /// The next line of the answer, unless it is an error.
    fn line(&mut self) -> Result<String, OpsError> {
        let mut line = String::new();
        let read = (&mut self.answer).take(LINE_BYTES_MAX).read_line(&mut line);
        match read {
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
                return Err(self.garbled("it takes too long"));
            }
            Err(error) => return Err(self.garbled(&error.to_string())),
            Ok(_) => {}
        }
        match line.strip_suffix('\n') {
            None => Err(self.garbled("it has ended, or closed the connection")),
            Some(line) => match line.strip_prefix("error ") {
                Some(message) => {
                    Err(OpsError::Refused { dir: self.dir.clone(), message: message.to_owned() })
                }
                None => Ok(line.to_owned()),
            },
        }
    }

    fn garbled(&self, why: &str) -> OpsError {
        OpsError::NoAnswer { dir: self.dir.clone(), why: why.to_owned() }
    }
}
