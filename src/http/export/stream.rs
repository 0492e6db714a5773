//! From pages to a response: a task fills a short channel, and the connection empties it.
//!
//! A reader that is slow slows the task down, and through it the reading of the store: nothing piles up. One that reads
//! nothing for a minute is given up, so that it doesn't keep others from exporting.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::{Body, Bytes};
use futures_core::Stream;
use tokio::sync::mpsc;

use super::pages::Pages;
use super::rows::{Layout, TextFormat};
use crate::OrderView;

/// Chunks on their way to the connection, each a page of rows at most.
pub const CHUNKS_MAX: usize = 2;
/// How long a reader may read nothing.
const SEND_WAIT_MAX: Duration = Duration::from_secs(60);

/// What is sent: a piece of the body, or the failure that ends it before its time.
pub type Chunk = io::Result<Bytes>;

/// The receiving end of a channel as a body. A failure cuts the connection, so that nobody takes a part for the whole.
#[derive(Debug)]
struct Chunks(mpsc::Receiver<Chunk>);

impl Stream for Chunks {
    type Item = Chunk;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Chunk>> {
        self.0.poll_recv(context)
    }
}

/// A body, and where it is filled from.
pub fn channel() -> (mpsc::Sender<Chunk>, Body) {
    let (sender, receiver) = mpsc::channel(CHUNKS_MAX);
    (sender, Body::from_stream(Chunks(receiver)))
}

/// Sends a chunk; false where nobody reads any more.
pub async fn send(sender: &mpsc::Sender<Chunk>, chunk: Chunk) -> bool {
    matches!(tokio::time::timeout(SEND_WAIT_MAX, sender.send(chunk)).await, Ok(Ok(())))
}

/// Writes pages as text until they end, or nobody reads any more. `first` was read before, so that what is wrong with
/// the question could be told.
pub async fn write_text(
    mut pages: impl Pages,
    first: Option<Vec<OrderView>>,
    layout: Layout,
    format: TextFormat,
    sender: mpsc::Sender<Chunk>,
) {
    let mut chunk = layout.head(format);
    let mut page = Ok(first);
    loop {
        let orders = match page {
            Ok(Some(orders)) => orders,
            Ok(None) => break,
            Err(reject) => {
                tracing::warn!(%reject, "an export ended before its time");
                send(&sender, Err(io::Error::other(reject))).await;
                return;
            }
        };
        let lines = chunk.and_then(|mut head| {
            head.extend(layout.lines(format, orders)?);
            Ok(Bytes::from(head))
        });
        let is_broken = lines.is_err();
        // An empty chunk says nothing, and would end some bodies.
        let is_empty = matches!(&lines, Ok(bytes) if bytes.is_empty());
        if (!is_empty && !send(&sender, lines).await) || is_broken {
            return;
        }
        chunk = Ok(Vec::new());
        page = pages.next().await;
    }
    if let Ok(head) = chunk
        && !head.is_empty()
    {
        send(&sender, Ok(head.into())).await;
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use http_body_util::BodyExt;

    use super::*;
    use crate::Reject;
    use crate::http::export::cell::MoneyUnit;
    use crate::http::export::columns;
    use crate::http::view::order::Reveal;
    use crate::{
        Caller, Config, Durability, Engine, Money, Sku, StockAdjustment, StockChange, StockKey, SubmitOrder,
    };

    /// The same page again and again, counted.
    struct Repeated {
        page: Vec<OrderView>,
        left: usize,
        taken: Arc<AtomicUsize>,
        ends_badly: bool,
    }

    impl Pages for Repeated {
        async fn next(&mut self) -> Result<Option<Vec<OrderView>>, Reject> {
            if self.left == 0 {
                return if self.ends_badly { Err(Reject::Unavailable) } else { Ok(None) };
            }
            self.left -= 1;
            self.taken.fetch_add(1, Ordering::SeqCst);
            Ok(Some(self.page.clone()))
        }
    }

    async fn order() -> OrderView {
        let engine = Engine::open(Config::new("").durability(Durability::Memory)).await.unwrap();
        let sku = Sku {
            id: 42.into(),
            product_id: 7.into(),
            code: "TEA-50".into(),
            title: "Green tea, 50 g".into(),
            price: Money::from_minor(19_900),
            on_sale: true,
            limit_per_member: 0,
        };
        engine.put_sku(sku).await.unwrap();
        let (key, change) = (StockKey::normal(42.into()), StockChange::Relative(1));
        engine.adjust_stock(StockAdjustment { id: 1.into(), key, change }).await.unwrap();
        let receipt = engine.submit(SubmitOrder::one_line(7, 1, 42, 1)).await.unwrap();
        engine.order(Caller::Operator, receipt.order_no).await.unwrap()
    }

    fn layout() -> Layout {
        let columns = columns::chosen(Some(&[])).unwrap();
        Layout { columns, unit: MoneyUnit::Cents, reveal: Reveal::Masked }
    }

    #[tokio::test]
    async fn no_more_pages_are_taken_than_fit_on_their_way() {
        let taken = Arc::new(AtomicUsize::new(0));
        let pages =
            Repeated { page: vec![order().await], left: 1_000, taken: Arc::clone(&taken), ends_badly: false };
        let (sender, mut body) = channel();
        tokio::spawn(write_text(pages, Some(Vec::new()), layout(), TextFormat::Csv, sender));
        // The task runs on until it has to wait: a single thread gives it all the turns that it takes.
        for _ in 0..1_000 {
            tokio::task::yield_now().await;
        }
        // The head alone, one more chunk, and the one that waits to be sent.
        let bound = CHUNKS_MAX;
        assert_eq!(taken.load(Ordering::SeqCst), bound, "nobody reads: the store is left alone");
        for read in 1..=10 {
            body.frame().await.unwrap().unwrap();
            for _ in 0..100 {
                tokio::task::yield_now().await;
            }
            assert_eq!(taken.load(Ordering::SeqCst), bound + read, "one chunk read, one page more");
        }
        drop(body);
        for _ in 0..100 {
            tokio::task::yield_now().await;
        }
        assert!(taken.load(Ordering::SeqCst) <= bound + 11, "nobody is there any more: it ends");
    }

    #[tokio::test]
    async fn a_body_that_ends_before_its_time_is_known_as_such() {
        let taken = Arc::new(AtomicUsize::new(0));
        let mut pages = Repeated { page: vec![order().await], left: 3, taken, ends_badly: true };
        let (sender, body) = channel();
        let first = pages.next().await.unwrap();
        tokio::spawn(write_text(pages, first, layout(), TextFormat::JsonLines, sender));
        assert!(body.collect().await.is_err());
    }
}
