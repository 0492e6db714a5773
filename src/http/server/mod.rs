//! The accept loop: connections in, answers of the router out, until it is told to stop.
//!
//! First hop of every request. It bounds what strangers can hold: how many connections there are, how long a request may
//! take to arrive and an answer to be read. It knows neither routes nor members; what a request may do is decided behind it.

mod connection;
mod io;
mod pace;
mod refuse;

use std::future::Future;
use std::io as std_io;
use std::net::{IpAddr, SocketAddr};
use std::pin::pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use axum::Router;
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::runtime::clock::{Clock, STEP_MAX_MS_DEFAULT};

pub use pace::{Cut, Pace, stream};

/// Connections that the kernel keeps until they are accepted.
const BACKLOG: u32 = 4_096;
/// Shortest and longest pause after the machine refused to accept a connection, in ms.
const BACK_OFF_MS: (u64, u64) = (5, 1_000);

/// The address that a connection comes from: the client's, or that of the proxy before it. An extension of every request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Peer(pub IpAddr);

/// What connections may hold, and for how long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ServerLimits {
    /// Most connections at a time, at least 1. One more is answered 503 and closed. Default: 10,000.
    pub connections_max: usize,
    /// How long the head of a request may take to arrive, in ms, from its first byte, or from the beginning of the
    /// connection. Default: 10,000.
    pub header_timeout_ms: u64,
    /// How long the body of a request may take to arrive, and an answer to be read, in ms; streams are exempt (see
    /// [`Pace::stream`]). Default: 30,000.
    pub request_timeout_ms: u64,
    /// How long a connection may stay without a request, and how long a client may stop in the middle of sending a body
    /// or reading an answer, streams included, in ms. Default: 60,000.
    pub idle_timeout_ms: u64,
    /// Most bytes of a request's head; a longer one is answered 431. Default: 16,384.
    pub head_bytes_max: usize,
    /// Most headers of a request; one with more is answered 431. Default: 100.
    pub headers_max: usize,
    /// How long the server waits at its end for requests in flight, in ms. Default: 10,000.
    pub drain_ms_max: u64,
}

impl Default for ServerLimits {
    fn default() -> Self {
        Self {
            connections_max: 10_000,
            header_timeout_ms: 10_000,
            request_timeout_ms: 30_000,
            idle_timeout_ms: 60_000,
            head_bytes_max: 16_384,
            headers_max: 100,
            drain_ms_max: 10_000,
        }
    }
}

/// Counters of a server, for metrics.
#[derive(Debug, Default)]
pub struct ServerCounters {
    open: AtomicU64,
    accepted: AtomicU64,
    refused: AtomicU64,
    accept_errors: AtomicU64,
    cuts: [AtomicU64; Cut::ALL.len()],
}

impl ServerCounters {
    /// Connections that are open now.
    pub fn open(&self) -> u64 {
        self.open.load(Ordering::Relaxed)
    }

    /// Connections accepted so far, without those refused.
    pub fn accepted(&self) -> u64 {
        self.accepted.load(Ordering::Relaxed)
    }

    /// Connections refused so far because there were `connections_max` already.
    pub fn refused(&self) -> u64 {
        self.refused.load(Ordering::Relaxed)
    }

    /// How often the machine would not give a connection, for one because the process has too many open files.
    pub fn accept_errors(&self) -> u64 {
        self.accept_errors.load(Ordering::Relaxed)
    }

    /// Connections cut so far for this reason.
    pub fn cut(&self, cut: Cut) -> u64 {
        self.cuts[cut as usize].load(Ordering::Relaxed)
    }
}

/// Limits that can be replaced while the server runs: they hold for connections accepted from then on.
#[derive(Clone, Debug)]
pub struct ServerLimitsHandle {
    limits: Arc<RwLock<ServerLimits>>,
}

impl ServerLimitsHandle {
    /// The limits that hold now.
    pub fn get(&self) -> ServerLimits {
        *self.limits.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// Sets other limits.
    pub fn replace(&self, limits: ServerLimits) {
        *self.limits.write().unwrap_or_else(PoisonError::into_inner) = limits;
    }
}

/// How serving ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ServeReport {
    /// Connections that were finished, or had nothing in flight.
    pub finished: u64,
    /// Connections that still had a request in flight after `drain_ms_max`, and were closed.
    pub aborted: u64,
}

/// A bound socket, ready to serve. Nobody can connect before it does.
#[derive(Debug)]
pub struct Server {
    socket: TcpSocket,
    limits: ServerLimitsHandle,
    counters: Arc<ServerCounters>,
    clock: Clock,
}

impl Server {
    /// Takes this address; with port 0 any free port. Must be called within a tokio runtime with I/O and time.
    ///
    /// # Errors
    /// That of the machine: the port is taken (`AddrInUse`), not allowed (`PermissionDenied`), not an address of this
    /// machine (`AddrNotAvailable`).
    pub fn bind(addr: SocketAddr, limits: ServerLimits) -> std_io::Result<Self> {
        let socket = if addr.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
        // A restart must not wait for connections of the former process that linger in TIME_WAIT.
        socket.set_reuseaddr(true)?;
        socket.bind(addr)?;
        Ok(Self {
            socket,
            limits: ServerLimitsHandle { limits: Arc::new(RwLock::new(limits)) },
            counters: Arc::default(),
            clock: Clock::system(STEP_MAX_MS_DEFAULT),
        })
    }

    /// Where it listens.
    ///
    /// # Errors
    /// That of the machine.
    pub fn local_addr(&self) -> std_io::Result<SocketAddr> {
        self.socket.local_addr()
    }

    /// For replacing the limits later.
    pub fn limits(&self) -> ServerLimitsHandle {
        self.limits.clone()
    }

    /// What it counts.
    pub fn counters(&self) -> Arc<ServerCounters> {
        self.counters.clone()
    }

    /// Serves until `shutdown` is ready; then accepts nothing more, says goodbye to connections without a request,
    /// finishes what is in flight for up to `drain_ms_max`, and closes what is left.
    ///
    /// A connection beyond `connections_max` is accepted, answered 503 with `Retry-After` and closed, rather than left
    /// waiting in the kernel: the client, or the proxy before it, knows at once that it should go elsewhere. At most
    /// 256 such answers are under way; beyond that connections are closed unanswered.
    ///
    /// Listens at once; the future serves.
    ///
    /// # Errors
    /// The machine doesn't let it listen.
    pub fn serve<S: Future<Output = ()>>(
        self,
        router: Router,
        shutdown: S,
    ) -> std_io::Result<impl Future<Output = ServeReport> + use<S>> {
        let Self { socket, limits, counters, clock } = self;
        let listener = socket.listen(BACKLOG)?;
        Ok(accept(listener, limits, counters, clock, router, shutdown))
    }
}

/// The accept loop, and its end.
async fn accept(
    listener: TcpListener,
    limits: ServerLimitsHandle,
    counters: Arc<ServerCounters>,
    clock: Clock,
    router: Router,
    shutdown: impl Future<Output = ()>,
) -> ServeReport {
    let (stop, stopping) = watch::channel(false);
    let shared = connection::Shared { router, counters, clock, stopping };
    let mut connections = JoinSet::new();
    let mut refusals = JoinSet::new();
    let mut finished = 0;
    let mut pause_ms = BACK_OFF_MS.0;
    let mut shutdown = pin!(shutdown);
    loop {
        let accepted = tokio::select! {
            biased;
            () = &mut shutdown => break,
            Some(_) = connections.join_next(), if !connections.is_empty() => {
                finished += 1;
                continue;
            }
            Some(_) = refusals.join_next(), if !refusals.is_empty() => continue,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((stream, addr)) => {
                pause_ms = BACK_OFF_MS.0;
                let limits = limits.get();
                if connections.len() < limits.connections_max {
                    shared.counters.accepted.fetch_add(1, Ordering::Relaxed);
                    connections.spawn(connection::serve(stream, addr, limits, shared.clone()));
                } else {
                    refuse_one(stream, &shared.counters, &mut refusals);
                }
            }
            // A client that has gone again says nothing about the next one.
            Err(error) if is_about_one_client(&error) => {}
            Err(error) => {
                shared.counters.accept_errors.fetch_add(1, Ordering::Relaxed);
                tracing::warn!(%error, pause_ms, "can't accept connections; trying again");
                tokio::select! {
                    () = &mut shutdown => break,
                    () = tokio::time::sleep(Duration::from_millis(pause_ms)) => {}
                }
                pause_ms = (pause_ms * 2).min(BACK_OFF_MS.1);
            }
        }
    }
    // The socket goes first, so that nobody is greeted who can't be served.
    drop(listener);
    drop(refusals);
    stop.send_replace(true);
    drain(connections, finished, limits.get().drain_ms_max).await
}

/// Answers a connection that there is no room for, or closes it where too many are being answered.
fn refuse_one(stream: TcpStream, counters: &ServerCounters, refusals: &mut JoinSet<()>) {
    counters.refused.fetch_add(1, Ordering::Relaxed);
    if refusals.len() < refuse::REFUSALS_MAX {
        refusals.spawn(refuse::refuse(stream));
    }
}

/// Waits for the connections, and closes those that take too long.
async fn drain(mut connections: JoinSet<()>, mut finished: u64, drain_ms_max: u64) -> ServeReport {
    let all_finish = async {
        while connections.join_next().await.is_some() {
            finished += 1;
        }
    };
    let in_time = tokio::time::timeout(Duration::from_millis(drain_ms_max), all_finish).await.is_ok();
    let aborted = if in_time { 0 } else { connections.len() as u64 };
    connections.shutdown().await;
    ServeReport { finished, aborted }
}

fn is_about_one_client(error: &std_io::Error) -> bool {
    use std_io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset, Interrupted};
    matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset | Interrupted)
}
