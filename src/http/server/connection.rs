//! One connection: its requests go to the router, its answers back, and it is cut when its client takes too long.

use std::convert::Infallible;
use std::future::Future;
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::http::{Request, Response};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::time::Sleep;
use tower::ServiceExt;

use super::io::{AnswerBody, PacedStream, RequestBody};
use super::pace::{Cut, Pace};
use super::{Peer, ServerCounters, ServerLimits};
use crate::runtime::clock::Clock;

/// Least buffer that the HTTP implementation works with, in bytes.
const BUFFER_BYTES_MIN: usize = 8_192;
/// Most bytes that a connection buffers in each direction, unless a request's head may be longer. It bounds what a
/// client that doesn't read can hold.
const BUFFER_BYTES_MAX: usize = 64 << 10;

/// What all connections share.
#[derive(Clone)]
pub(super) struct Shared {
    pub(super) router: Router,
    pub(super) counters: Arc<ServerCounters>,
    pub(super) clock: Clock,
    /// Becomes true when the server stops.
    pub(super) stopping: watch::Receiver<bool>,
}

/// Counts a connection while it is open, however it ends.
struct Open(Arc<ServerCounters>);

impl Open {
    fn count(counters: Arc<ServerCounters>) -> Self {
        counters.open.fetch_add(1, Ordering::Relaxed);
        Self(counters)
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.0.open.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Serves a connection until one side ends it.
pub(super) async fn serve(stream: TcpStream, addr: SocketAddr, limits: ServerLimits, shared: Shared) {
    let Shared { router, counters, clock, stopping } = shared;
    let _open = Open::count(counters.clone());
    // Answers are written whole, so waiting to fill a packet only costs time. A socket that refuses has gone already.
    let _ = stream.set_nodelay(true);
    let pace = Pace::new(clock, limits);
    let peer = Peer(addr.ip());
    let service = {
        let pace = pace.clone();
        service_fn(move |request| answer(router.clone(), request, peer, pace.clone()))
    };
    let io = TokioIo::new(PacedStream { stream, pace: pace.clone() });
    let connection = http1::Builder::new()
        // The pace keeps the time of heads as of everything else.
        .header_read_timeout(None)
        .max_headers(limits.headers_max)
        .max_header_size(limits.head_bytes_max)
        .max_buf_size(limits.head_bytes_max.max(BUFFER_BYTES_MAX).max(BUFFER_BYTES_MIN))
        .serve_connection(io, service);
    let mut connection = pin!(connection);
    let mut alarm = Alarm::default();
    let mut stopping = pin!(wait_for_stop(stopping));
    let mut stopped = false;
    let cut = std::future::poll_fn(|cx| {
        if !stopped && stopping.as_mut().poll(cx).is_ready() {
            stopped = true;
            connection.as_mut().graceful_shutdown();
        }
        if connection.as_mut().poll(cx).is_ready() {
            // What goes wrong on a connection is its client's affair: it broke off, or spoke no HTTP.
            return Poll::Ready(None);
        }
        alarm.poll(&pace, cx).map(Some)
    })
    .await;
    if let Some(cut) = cut {
        counters.cuts[cut as usize].fetch_add(1, Ordering::Relaxed);
        if cut != Cut::Idle {
            tracing::debug!(peer = %addr.ip(), cause = cut.name(), "cut a slow connection");
        }
    }
}

async fn wait_for_stop(mut stopping: watch::Receiver<bool>) {
    // An error says that the server itself is gone, which is a stop as well.
    let _ = stopping.wait_for(|stop| *stop).await;
}

/// Gives a request to the router.
async fn answer(
    router: Router,
    request: Request<Incoming>,
    peer: Peer,
    pace: Pace,
) -> Result<Response<AnswerBody>, Infallible> {
    pace.has_head();
    let (mut parts, body) = request.into_parts();
    parts.extensions.insert(peer);
    parts.extensions.insert(pace.clone());
    let body = Body::new(RequestBody { body, pace: pace.clone() });
    let response = router.oneshot(Request::from_parts(parts, body)).await?;
    pace.has_answer();
    Ok(response.map(|body| AnswerBody { body, pace }))
}

/// Wakes the connection at its deadline. Deadlines mostly move away, so the timer is set anew only when it has run
/// out, or when one comes nearer.
#[derive(Default)]
struct Alarm {
    sleep: Option<(u64, Pin<Box<Sleep>>)>,
}

impl Alarm {
    /// Ready when the client has had its time.
    fn poll(&mut self, pace: &Pace, cx: &mut Context<'_>) -> Poll<Cut> {
        loop {
            let Some((at_ms, cut)) = pace.deadline() else { return Poll::Pending };
            let now_ms = pace.now_ms();
            if now_ms >= at_ms {
                return Poll::Ready(cut);
            }
            if self.sleep.as_ref().is_none_or(|(set_ms, _)| at_ms < *set_ms) {
                let sleep = tokio::time::sleep(Duration::from_millis(at_ms - now_ms));
                self.sleep = Some((at_ms, Box::pin(sleep)));
            }
            if let Some((_, sleep)) = &mut self.sleep
                && sleep.as_mut().poll(cx).is_pending()
            {
                return Poll::Pending;
            }
            self.sleep = None;
        }
    }
}
