//! The answer to a connection that there is no room for.

use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// Most connections that are being refused at a time.
pub(super) const REFUSALS_MAX: usize = 256;
/// How long one may take.
const REFUSE_MS_MAX: u64 = 1_000;
/// Most bytes of a request that are taken in, so that the answer isn't lost to a reset.
const READ_BYTES_MAX: usize = 64 << 10;

const BODY: &str = concat!(
    r#"{"type":"urn:stockade:problem:overloaded","title":"overloaded","status":503,"code":"overloaded","#,
    r#""detail":"the server has as many connections as it may; try again","retryable":true,"retry_after_ms":1000}"#
);

/// Answers 503 whatever is asked, and closes.
///
/// The answer is written at once. Then the socket is closed for writing and read to its end: closing it with bytes
/// unread would make the kernel send a reset, which can overtake the answer.
pub(super) async fn refuse(mut stream: TcpStream) {
    let head = format!(
        "HTTP/1.1 503 Service Unavailable\r\nContent-Type: application/problem+json\r\nContent-Length: {}\r\n\
         Retry-After: 1\r\nConnection: close\r\n\r\n",
        BODY.len()
    );
    let talk = async {
        stream.write_all(head.as_bytes()).await?;
        stream.write_all(BODY.as_bytes()).await?;
        stream.shutdown().await?;
        let mut buffer = [0; 4_096];
        let mut left = READ_BYTES_MAX;
        while left > 0 {
            match stream.read(&mut buffer).await? {
                0 => break,
                read => left = left.saturating_sub(read),
            }
        }
        std::io::Result::Ok(())
    };
    // Nothing depends on whether the client heard it.
    let _ = tokio::time::timeout(Duration::from_millis(REFUSE_MS_MAX), talk).await;
}
