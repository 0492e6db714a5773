//! `POST /gateway/orders`: streams of lines, each connection writing while it reads.

use std::net::SocketAddr;
use std::time::Instant;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinSet;

use super::requests::service_token;
use super::{IN_STOCK, Served, median};
use crate::Failure;
use crate::cli::HttpArgs;
use crate::report::{Report, rounded};

/// Lines in one chunk of the request.
const CHUNK_LINES: u64 = 512;

pub(super) async fn run(report: &mut Report, args: &HttpArgs) -> Result<(), Failure> {
    let mut rates = Vec::new();
    for _ in 0..args.rounds {
        let served = Served::start("stockade", args, 1 << 20)?;
        // What is sent is made before the clock runs.
        let share = args.gateway_orders / args.gateway_connections;
        let streams: Vec<Vec<u8>> =
            (0..args.gateway_connections).map(|stream| lines(stream * share, share)).collect();
        let started = Instant::now();
        let mut tasks = JoinSet::new();
        for lines in streams {
            tasks.spawn(stream(served.addr, lines));
        }
        let mut placed = 0;
        while let Some(finished) = tasks.join_next().await {
            placed += finished??;
        }
        rates.push(placed as f64 / started.elapsed().as_secs_f64());
        let sent = share * args.gateway_connections;
        if placed != sent {
            report.add_problem(|| format!("gateway: {placed} of {sent} lines were placed"));
        }
    }
    report.set("gateway_connections", args.gateway_connections);
    report.set("gateway_orders_per_s", rounded(median(&mut rates)));
    Ok(())
}

/// So many orders, as the body of a chunked request.
fn lines(from: u64, count: u64) -> Vec<u8> {
    let mut body = Vec::new();
    let mut number = from;
    while number < from + count {
        let until = (number + CHUNK_LINES).min(from + count);
        let chunk: String = (number..until)
            .map(|number| {
                let member = number % 100_000 + 1;
                format!(
                    "{{\"member_id\":\"{member}\",\"request_id\":\"{number:016}\",\"lines\":[{{\"sku_id\":\"{IN_STOCK}\",\"quantity\":1}}]}}\n"
                )
            })
            .collect();
        body.extend_from_slice(format!("{:x}\r\n", chunk.len()).as_bytes());
        body.extend_from_slice(chunk.as_bytes());
        body.extend_from_slice(b"\r\n");
        number = until;
    }
    body.extend_from_slice(b"0\r\n\r\n");
    body
}

/// Sends a stream, and counts the orders that were placed.
async fn stream(addr: SocketAddr, body: Vec<u8>) -> Result<u64, Failure> {
    let stream = TcpStream::connect(addr).await?;
    stream.set_nodelay(true)?;
    let (mut reader, mut writer) = stream.into_split();
    let head = format!(
        "POST /gateway/orders HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer {}\r\n\
         content-type: application/x-ndjson\r\ntransfer-encoding: chunked\r\nconnection: close\r\n\r\n",
        service_token()
    );
    let writing = tokio::spawn(async move {
        writer.write_all(head.as_bytes()).await?;
        writer.write_all(&body).await?;
        std::io::Result::Ok(writer)
    });
    let mut placed = 0;
    let mut buffer = vec![0; 256 << 10];
    // The mark of a placed line may be cut in two by a read.
    let mut carried = 0;
    loop {
        let len = reader.read(&mut buffer[carried..]).await?;
        if len == 0 {
            break;
        }
        let filled = carried + len;
        placed += count(&buffer[..filled]);
        carried = (MARK.len() - 1).min(filled);
        buffer.copy_within(filled - carried..filled, 0);
    }
    writing.await??;
    Ok(placed)
}

/// What every placed line has once, and no other.
const MARK: &[u8] = b"\"status\":201,";

/// How often the mark stands in some bytes.
fn count(bytes: &[u8]) -> u64 {
    let mut found = 0;
    let mut rest = bytes;
    while let Some(at) = rest.iter().position(|byte| *byte == b'2') {
        // Found by its rarest byte but one: `"status":` stands before it.
        let before = bytes.len() - rest.len() + at;
        let from = before.saturating_sub(9);
        if bytes[from..].starts_with(MARK) {
            found += 1;
        }
        rest = &rest[at + 1..];
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn marks_are_counted_once() {
        let text = br#"{"line":2,"status":201,"order_no":"22"}{"line":3,"status":409,"code":"x"}{"line":4,"status":201,"#;
        assert_eq!(count(text), 2);
        assert_eq!(count(b""), 0);
    }
}
