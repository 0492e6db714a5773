//! The control socket: how a tool asks an engine that runs in another process.
//!
//! ```text
//! inspect        →  a line for each figure, then `ok`
//! backup PATH    →  `progress BYTES` now and then, then `ok` with the report
//! reindex        →  `progress ORDERS TOTAL` now and then, then `ok` with the same
//!                   or `error` and why, for all of them
//! ```
//!
//! One request for each connection, one line of bounded length; few connections at a time; timeouts for both
//! directions. The socket lies in the data directory and only the engine's own user may connect. Nothing here touches
//! orders. The threads keep nothing of the engine alive but for the time of an answer.

use std::fs::{self, Permissions};
use std::io::{self, BufRead, BufReader, Read, Write};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
#[cfg(feature = "search")]
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
#[cfg(feature = "search")]
use std::sync::mpsc::{self, RecvTimeoutError};
use std::sync::{Arc, PoisonError, Weak};
use std::thread;
use std::time::Duration;

use super::inspect::inspect_running;
use crate::engine::Inner;
#[cfg(feature = "search")]
use crate::engine::ReindexProgress;
use crate::engine::backup::{BackupJob, BackupReport};
#[cfg(feature = "search")]
use crate::engine::search::Reindex;
use crate::journal::layout;

/// Connections at a time.
const CONNECTIONS_MAX: usize = 4;
/// The longest line, in bytes: a path and a word.
pub(super) const LINE_BYTES_MAX: u64 = 8 << 10;
/// The longest path of a socket, in bytes, with room for the name under which it is made. The system's bound is 107.
pub(super) const PATH_BYTES_MAX: usize = 100;
const TIMEOUT: Duration = Duration::from_secs(10);
/// How long after a failed accept the next is tried.
const ACCEPT_AGAIN: Duration = Duration::from_millis(100);

/// A socket that is served. Ends by [`ControlServer::stop`].
#[derive(Debug)]
pub(crate) struct ControlServer {
    path: PathBuf,
    stopped: Arc<AtomicBool>,
}

/// Serves an engine's control socket. Where it can't be made the log says so, and the engine does without.
pub(crate) fn serve(inner: &Arc<Inner>) {
    let Some(dir) = &inner.settings.data_dir else { return };
    match ControlServer::start(dir, Arc::downgrade(inner)) {
        Ok(server) => {
            inner.control.lock().unwrap_or_else(PoisonError::into_inner).replace(server);
        }
        Err(error) => {
            let dir = dir.display();
            tracing::warn!(%dir, %error, "there is no control socket: `stockade backup` works on a stopped engine only");
        }
    }
}

impl Inner {
    /// Closes the control socket. Answers that are under way come to their end.
    pub(crate) fn stop_control(&self) {
        if let Some(server) = self.control.lock().unwrap_or_else(PoisonError::into_inner).take() {
            server.stop();
        }
    }
}

/// Whether a socket in this directory has a path that the system takes.
pub(super) fn fits(dir: &Path) -> bool {
    dir.join(layout::CONTROL_SOCKET).as_os_str().len() <= PATH_BYTES_MAX
}

impl ControlServer {
    fn start(dir: &Path, engine: Weak<Inner>) -> io::Result<Self> {
        if !fits(dir) {
            return Err(io::Error::other(format!(
                "the path of the data directory is too long for a unix socket, which has {PATH_BYTES_MAX} bytes at most"
            )));
        }
        let path = dir.join(layout::CONTROL_SOCKET);
        let new = path.with_extension("new");
        // The directory is this engine's, so whatever is there is left from an earlier one.
        let _ = fs::remove_file(&new);
        let listener = UnixListener::bind(&new)?;
        // Under its name only once nobody else may connect.
        fs::set_permissions(&new, Permissions::from_mode(0o600))?;
        fs::rename(&new, &path)?;
        let stopped = Arc::new(AtomicBool::new(false));
        let has_stopped = Arc::clone(&stopped);
        let accept = move || accept(&listener, &engine, &has_stopped);
        thread::Builder::new().name("control".to_owned()).spawn(accept)?;
        Ok(Self { path, stopped })
    }

    fn stop(self) {
        self.stopped.store(true, Ordering::Release);
        // Wakes the thread. Where somebody has removed the socket, it sleeps on and holds nothing.
        let _ = UnixStream::connect(&self.path);
        let _ = fs::remove_file(&self.path);
    }
}

/// A connection's place among the few.
struct Place(Arc<AtomicUsize>);

impl Place {
    fn take(places: &Arc<AtomicUsize>) -> Option<Self> {
        let is_free = |taken: usize| (taken < CONNECTIONS_MAX).then_some(taken + 1);
        places.fetch_update(Ordering::AcqRel, Ordering::Acquire, is_free).ok()?;
        Some(Self(Arc::clone(places)))
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::AcqRel);
    }
}

fn accept(listener: &UnixListener, engine: &Weak<Inner>, stopped: &AtomicBool) {
    let places = Arc::new(AtomicUsize::new(0));
    for stream in listener.incoming() {
        if stopped.load(Ordering::Acquire) {
            return;
        }
        let Ok(mut stream) = stream else {
            thread::sleep(ACCEPT_AGAIN);
            continue;
        };
        let timeouts = stream.set_read_timeout(Some(TIMEOUT));
        if timeouts.and_then(|()| stream.set_write_timeout(Some(TIMEOUT))).is_err() {
            continue;
        }
        let Some(place) = Place::take(&places) else {
            // Whoever is turned away may not listen.
            let _ = stream.write_all(b"error too many connections: try again later\n");
            continue;
        };
        let engine = Weak::clone(engine);
        let work = move || {
            // A peer that is gone, or too slow, has no use for an error.
            let _ = answer(&stream, &engine);
            drop(place);
        };
        if thread::Builder::new().name("control".to_owned()).spawn(work).is_err() {
            thread::sleep(ACCEPT_AGAIN);
        }
    }
}

/// Reads one request and answers it.
fn answer(stream: &UnixStream, engine: &Weak<Inner>) -> io::Result<()> {
    let mut line = Vec::new();
    BufReader::new(stream.take(LINE_BYTES_MAX)).read_until(b'\n', &mut line)?;
    let mut out = stream;
    let Some(request) = line.strip_suffix(b"\n") else {
        return out.write_all(b"error a request is one line of at most 8192 bytes\n");
    };
    let answer = match request {
        b"inspect" => inspect(engine),
        #[cfg(feature = "search")]
        b"reindex" => reindex(engine, stream),
        request => match request.strip_prefix(b"backup ") {
            Some(path) => backup(engine, path, stream),
            None => Err("an unknown request: there are `inspect`, `backup PATH` and `reindex`".to_owned()),
        },
    };
    match answer {
        Ok(lines) => out.write_all(lines.as_bytes()),
        Err(why) => writeln!(out, "error {}", why.replace(char::is_control, " ")),
    }
}

const GONE: &str = "the engine has been shut down";

fn inspect(engine: &Weak<Inner>) -> Result<String, String> {
    let inner = engine.upgrade().ok_or(GONE)?;
    let report = inspect_running(&inner).map_err(|error| error.to_string())?;
    Ok(report.to_lines() + "ok\n")
}

fn backup(engine: &Weak<Inner>, path: &[u8], stream: &UnixStream) -> Result<String, String> {
    let path = PathBuf::from(std::ffi::OsString::from_vec(path.to_vec()));
    if !path.is_absolute() || path.as_os_str().as_bytes().contains(&0) {
        return Err("the backup's path must be absolute".to_owned());
    }
    let job = {
        let inner = engine.upgrade().ok_or(GONE)?;
        BackupJob::prepare(&inner, &path).map_err(|error| error.to_string())?
    };
    let mut out = stream;
    // Whoever asked and has gone doesn't want it any more.
    let report = job.run(&mut |bytes| writeln!(out, "progress {bytes}").is_ok());
    let BackupReport { position, stored, events, bytes, elapsed_ms } =
        report.map_err(|error| error.to_string())?;
    Ok(format!("ok {position} {stored} {events} {bytes} {elapsed_ms}\n"))
}

/// How often it is told how far a rebuild is.
#[cfg(feature = "search")]
const REINDEX_REPORT_EVERY: Duration = Duration::from_millis(200);

#[cfg(feature = "search")]
fn reindex(engine: &Weak<Inner>, stream: &UnixStream) -> Result<String, String> {
    let latest = Arc::new(Mutex::new(ReindexProgress::default()));
    let (told, telling) = mpsc::channel();
    let noted = Arc::clone(&latest);
    let reindex = Reindex {
        report: Box::new(move |progress| {
            *noted.lock().unwrap_or_else(PoisonError::into_inner) = progress;
        }),
        // Whoever asked may have gone.
        done: Box::new(move |outcome| drop(told.send(outcome))),
    };
    engine.upgrade().ok_or(GONE)?.search.ask_reindex(reindex).map_err(|error| error.to_string())?;
    let mut out = stream;
    loop {
        match telling.recv_timeout(REINDEX_REPORT_EVERY) {
            Ok(Ok(ReindexProgress { orders, orders_total })) => {
                return Ok(format!("ok {orders} {orders_total}\n"));
            }
            Ok(Err(error)) => return Err(error.to_string()),
            Err(RecvTimeoutError::Disconnected) => return Err(GONE.to_owned()),
            Err(RecvTimeoutError::Timeout) => {
                let ReindexProgress { orders, orders_total } =
                    *latest.lock().unwrap_or_else(PoisonError::into_inner);
                // The index is built whether or not somebody listens.
                writeln!(out, "progress {orders} {orders_total}").map_err(|error| error.to_string())?;
            }
        }
    }
}
