//! A client that costs as little as it can: requests from templates, of answers only what tells them apart.

use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinSet;

use super::requests::Requests;
use crate::Failure;
use crate::latency::Latencies;

/// Runs before the clock: connections open, code and caches warm.
const WARM_UP: Duration = Duration::from_millis(500);

/// A kept-alive connection.
pub(crate) struct Connection {
    stream: TcpStream,
    buffer: Vec<u8>,
}

impl Connection {
    pub(crate) async fn open(addr: SocketAddr) -> io::Result<Self> {
        let stream = TcpStream::connect(addr).await?;
        stream.set_nodelay(true)?;
        Ok(Self { stream, buffer: Vec::with_capacity(4_096) })
    }

    /// Sends a request, and waits for its answer's status.
    pub(crate) async fn exchange(&mut self, request: &[u8]) -> io::Result<u16> {
        self.stream.write_all(request).await?;
        self.buffer.clear();
        loop {
            if self.stream.read_buf(&mut self.buffer).await? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            if let Some(status) = whole(&self.buffer)? {
                return Ok(status);
            }
        }
    }
}

/// The status of an answer that is there as a whole.
fn whole(bytes: &[u8]) -> io::Result<Option<u16>> {
    let Some(end) = bytes.windows(4).position(|window| window == b"\r\n\r\n") else { return Ok(None) };
    let wrong = || io::Error::new(io::ErrorKind::InvalidData, "an answer of another form");
    let head = std::str::from_utf8(&bytes[..end]).map_err(|_| wrong())?;
    let status = head.get(9..12).and_then(|status| status.parse().ok()).ok_or_else(wrong)?;
    let length = head.split("\r\n").find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("content-length").then(|| value.trim().parse::<usize>().ok())?
    });
    Ok((bytes.len() >= end + 4 + length.ok_or_else(wrong)?).then_some(status))
}

/// Clients that wait for their answers.
pub(crate) struct Load {
    connections: u64,
    lasting: Duration,
    requests: Arc<Requests>,
    number: Arc<AtomicU64>,
}

/// What came back.
pub(crate) struct Outcome {
    pub(crate) statuses: BTreeMap<u16, u64>,
    pub(crate) elapsed: Duration,
    pub(crate) latencies: Arc<Latencies>,
}

impl Outcome {
    pub(crate) fn answers(&self) -> u64 {
        self.statuses.values().sum()
    }

    pub(crate) fn of_status(&self, status: u16) -> u64 {
        self.statuses.get(&status).copied().unwrap_or_default()
    }

    pub(crate) fn per_second(&self) -> f64 {
        self.answers() as f64 / self.elapsed.as_secs_f64()
    }
}

impl Load {
    pub(crate) fn new(connections: u64, lasting: Duration, sku: u64) -> Self {
        let requests = Arc::new(Requests::new(sku));
        Self { connections, lasting, requests, number: Arc::new(AtomicU64::new(1)) }
    }

    /// The requests themselves, for other schedules.
    pub(crate) fn requests(&self) -> Arc<Requests> {
        Arc::clone(&self.requests)
    }

    /// Numbers for requests, never the same twice.
    pub(crate) fn numbers(&self) -> Arc<AtomicU64> {
        Arc::clone(&self.number)
    }

    /// Every connection asks again as soon as it is answered.
    pub(crate) async fn run(&self, addr: SocketAddr) -> Result<Outcome, Failure> {
        let latencies = Arc::new(Latencies::new());
        let begin = Instant::now() + WARM_UP;
        let end = begin + self.lasting;
        let mut tasks = JoinSet::new();
        for client in 0..self.connections {
            let (requests, number) = (self.requests(), self.numbers());
            let latencies = Arc::clone(&latencies);
            tasks.spawn(async move {
                let mut connection = Connection::open(addr).await?;
                let mut statuses = BTreeMap::<u16, u64>::new();
                let mut buffer = Vec::new();
                loop {
                    requests.write(number.fetch_add(1, Ordering::Relaxed), &mut buffer);
                    let sent = Instant::now();
                    if sent >= end {
                        return io::Result::Ok(statuses);
                    }
                    let status = connection.exchange(&buffer).await?;
                    let answered = Instant::now();
                    if sent >= begin && answered <= end {
                        *statuses.entry(status).or_default() += 1;
                        latencies.record(client, answered - sent);
                    }
                }
            });
        }
        let mut statuses = BTreeMap::new();
        while let Some(finished) = tasks.join_next().await {
            for (status, count) in finished?? {
                *statuses.entry(status).or_default() += count;
            }
        }
        Ok(Outcome { statuses, elapsed: self.lasting, latencies })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_counts_once_it_is_there_as_a_whole() {
        let answer = b"HTTP/1.1 409 Conflict\r\nContent-Length: 2\r\n\r\n{}";
        for cut in 0..answer.len() {
            assert_eq!(whole(&answer[..cut]).unwrap(), None, "{cut}");
        }
        assert_eq!(whole(answer).unwrap(), Some(409));
        assert!(whole(b"HTTP/1.1 200 OK\r\n\r\n").is_err(), "without a length nobody knows where it ends");
    }
}
