//! From a stream of lines to a stream of answers, through the engine, batch by batch.
//!
//! Two tasks: one reads lines and hands batches to the engine, the other waits for them in order and writes answers.
//! Between them stand bounded queues, so that a caller who doesn't read is, in the end, not read from; what it has sent
//! stays in the socket.

use std::future::poll_fn;
use std::pin::Pin;
use std::task::{Context as TaskContext, Poll};

use axum::body::Body;
use bytes::{Bytes, BytesMut};
use http_body::{Body as HttpBody, Frame};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use super::lines::{LINE_BYTES_MAX, Line, Lines};
use super::orders::{GatewayOrder, LineAnswer};
use crate::http::context::Context;
use crate::http::json::parse;
use crate::http::language::Language;
use crate::http::observe::orders_route;
use crate::http::observe::refusals::Refused;
use crate::http::problem::Problem;
use crate::http::state::App;
use crate::{MemberId, Receipt, Reject, RequestId, SubmitOrder};

/// Most lines handed to the engine at once.
const BATCH_LINES_MAX: usize = 512;
/// Most batches of one connection in the engine.
const BATCHES_IN_FLIGHT_MAX: usize = 4;
/// Most batches of answers waiting for the connection.
const ANSWERS_WAITING_MAX: usize = 4;
/// What an answer takes, about, in bytes.
const ANSWER_BYTES: usize = 160;

/// What a line was.
enum Asked {
    /// An order: its outcome stands in the batch's answer.
    Order(MemberId, RequestId),
    /// None.
    Wrong(Box<Problem>),
}

type Batch = (Vec<Asked>, JoinHandle<Vec<Result<Receipt, Reject>>>);

/// Starts to read; the body of the answer is what comes out.
pub(super) fn start(app: App, context: Context, body: Body) -> Answers {
    let (batches, taken) = mpsc::channel(BATCHES_IN_FLIGHT_MAX);
    let (answers, chunks) = mpsc::channel(ANSWERS_WAITING_MAX);
    tokio::spawn(read(app.clone(), body, batches));
    tokio::spawn(write(app, context, taken, answers));
    Answers(chunks)
}

/// The body of the answer.
#[derive(Debug)]
pub(super) struct Answers(mpsc::Receiver<Bytes>);

impl HttpBody for Answers {
    type Data = Bytes;
    type Error = std::convert::Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut TaskContext<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        self.0.poll_recv(cx).map(|chunk| chunk.map(|chunk| Ok(Frame::data(chunk))))
    }
}

/// Reads lines, and hands them to the engine in batches as large as what has arrived, up to a bound.
async fn read(app: App, mut body: Body, batches: mpsc::Sender<Batch>) {
    let mut lines = Lines::default();
    let mut gathered = Gathered::default();
    loop {
        let frame = if gathered.is_empty() {
            poll_fn(|cx| Pin::new(&mut body).poll_frame(cx)).await
        } else {
            // Only what is there already: lines don't wait for company.
            let ready = poll_fn(|cx| match Pin::new(&mut body).poll_frame(cx) {
                Poll::Ready(frame) => Poll::Ready(Some(frame)),
                Poll::Pending => Poll::Ready(None),
            });
            match ready.await {
                Some(frame) => frame,
                None => {
                    if gathered.hand_over(&app, &batches).await.is_err() {
                        return;
                    }
                    continue;
                }
            }
        };
        match frame {
            Some(Ok(frame)) => {
                let Ok(data) = frame.into_data() else { continue };
                lines.push(data, |line| gathered.take(line));
                while gathered.len() >= BATCH_LINES_MAX {
                    if gathered.hand_over(&app, &batches).await.is_err() {
                        return;
                    }
                }
            }
            // A connection that broke off: the line that it broke off in is no order.
            Some(Err(_)) => break,
            None => {
                lines.finish(|line| gathered.take(line));
                break;
            }
        }
    }
    while !gathered.is_empty() {
        if gathered.hand_over(&app, &batches).await.is_err() {
            return;
        }
    }
}

/// Lines that have arrived and are not with the engine yet. One frame's worth at most, beside a batch.
#[derive(Default)]
struct Gathered {
    lines: std::collections::VecDeque<Result<SubmitOrder, Box<Problem>>>,
}

impl Gathered {
    fn is_empty(&self) -> bool {
        self.lines.is_empty()
    }

    fn len(&self) -> usize {
        self.lines.len()
    }

    fn take(&mut self, line: Line) {
        let order = match line {
            Line::Whole(line) => parse::<GatewayOrder<'_>>(&line).and_then(GatewayOrder::into_order),
            Line::TooLong => Err(Problem::new(
                axum::http::StatusCode::PAYLOAD_TOO_LARGE,
                "line_too_long",
                format!("the line has more than {LINE_BYTES_MAX} bytes"),
                format!("该行超过 {LINE_BYTES_MAX} 字节"),
            )),
        };
        self.lines.push_back(order.map_err(Box::new));
    }

    /// Hands a batch to the engine; waits while too many of this connection are there.
    async fn hand_over(&mut self, app: &App, batches: &mpsc::Sender<Batch>) -> Result<(), ()> {
        let len = self.len().min(BATCH_LINES_MAX);
        // The place in the queue comes first, so that no order enters that nobody will answer.
        let place = batches.reserve().await.map_err(drop)?;
        let mut orders = Vec::with_capacity(len);
        let mut asked = Vec::with_capacity(len);
        for line in self.lines.drain(..len) {
            match line {
                Ok(order) => {
                    asked.push(Asked::Order(order.member_id, order.request_id));
                    orders.push(order);
                }
                Err(problem) => asked.push(Asked::Wrong(problem)),
            }
        }
        let engine = app.engine().clone();
        place.send((asked, tokio::spawn(async move { engine.submit_batch(orders).await })));
        Ok(())
    }
}

/// Writes the answers, batch by batch.
async fn write(app: App, context: Context, mut batches: mpsc::Receiver<Batch>, answers: mpsc::Sender<Bytes>) {
    let route = orders_route();
    let mut line = 0;
    while let Some((asked, outcomes)) = batches.recv().await {
        let outcomes = outcomes.await.unwrap_or_default();
        let mut outcomes = outcomes.into_iter();
        let mut chunk = BytesMut::with_capacity(asked.len() * ANSWER_BYTES);
        for asked in asked {
            line += 1;
            let (named, outcome) = match asked {
                Asked::Order(member, request) => {
                    let outcome = outcomes.next().unwrap_or(Err(Reject::OutcomeUnknown));
                    (Some((member, request)), outcome.map_err(|reject| Box::new(reject.into())))
                }
                Asked::Wrong(problem) => (None, Err(problem)),
            };
            let answer = match outcome {
                Ok(receipt) => LineAnswer::placed(line, &receipt),
                Err(problem) => {
                    let (member, key) = named.unzip();
                    let request_id = &context.request_id;
                    let refused =
                        Refused { member, key, request_id, route, is_known: true, problem: &problem };
                    app.observer().refused(&refused);
                    refusal(line, &problem, context.language)
                }
            };
            append(&mut chunk, &answer);
        }
        if answers.send(chunk.freeze()).await.is_err() {
            return;
        }
    }
}

fn refusal(line: u64, problem: &Problem, language: Language) -> LineAnswer<'static> {
    let (status, code) = (problem.http_status().as_u16(), problem.code());
    let (detail, field) = (problem.detail(language), problem.about().map(str::to_owned));
    let (retryable, retry_after_ms) = problem.retry();
    LineAnswer::Refused { line, status, code, detail, field, retryable, retry_after_ms }
}

/// Appends a line of JSON.
fn append(chunk: &mut BytesMut, answer: &LineAnswer<'_>) {
    use bytes::BufMut;
    // Writing into memory can't fail, and neither can these types.
    let _ = serde_json::to_writer((&mut *chunk).writer(), answer);
    chunk.put_u8(b'\n');
}
