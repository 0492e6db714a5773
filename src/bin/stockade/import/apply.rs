//! The import itself: batches of rows on their way into an engine, a bounded number of them at a time.

use std::collections::VecDeque;
use std::future::{Future, poll_fn};
use std::task::Poll;
use std::time::Duration;

use stockade::{
    AdjustmentId, Config, Engine, ImportId, ImportOutcome, ImportedLimit, ImportedOrder, Reject, Retry, Sku,
    StockAdjustment, StockChange, StockKey,
};
use tokio::task::JoinHandle;

use super::rows::{LimitRow, StockRow};
use super::source::{Located, SourceError};
use super::summary::{Kind, Refusal, Summary, Sums};
use super::{Args, Files, Named, with_causes};

/// Orders and limits in one batch.
const BATCH_LEN: usize = 2_000;
/// Batches of orders under way at a time. Two leave the engine waiting for the disk: 45 k orders/s against 167 k with
/// eight, on 2 cores; sixteen gain nothing.
const BATCHES: usize = 8;
/// SKUs and stock keys in one batch; one at a time, so that of two rows for one SKU the later one stays.
const SMALL_BATCH_LEN: usize = 256;
/// Times that a row is sent again while the engine is at a bound; at least 10 ms lie between two.
const TRIES_MAX: u32 = 3_000;

/// What ends an import before its time.
#[derive(Debug, thiserror::Error)]
pub(super) enum ApplyError {
    #[error("{0}")]
    Source(#[from] SourceError),
    #[error("the data directory can't be opened: {0}")]
    Open(String),
    #[error("the engine takes no more: {0}; run the import again once that is mended")]
    Engine(Reject),
    #[error("the engine could not be shut down: {0}")]
    Shutdown(String),
    #[error("a batch did not end: {0}")]
    Batch(#[from] tokio::task::JoinError),
}

/// A row that is on its way: where it stands, what it adds up to, how it went.
type Done = (u64, Sums, Result<ImportOutcome, Reject>);

/// Imports into a data directory.
pub(super) async fn run(args: &Args, files: Files, summary: &mut Summary) -> Result<(), ApplyError> {
    let opened = Engine::open(Config::new(&args.data)).await;
    let engine = opened.map_err(|error| ApplyError::Open(with_causes(&error)))?;
    let imported = all(&engine, args, files, summary).await;
    let shutdown = engine.shutdown().await;
    imported?;
    shutdown.map_err(|error| ApplyError::Shutdown(with_causes(&error)))
}

async fn all(engine: &Engine, args: &Args, files: Files, summary: &mut Summary) -> Result<(), ApplyError> {
    let import_id = ImportId::from_name(&args.import_id);
    let Files { catalogue, stock, orders, limits } = files;
    let mut import = Import { engine, summary, is_strict: args.strict };
    let small = Flow { batch_len: SMALL_BATCH_LEN, batches: 1 };
    let large = Flow { batch_len: BATCH_LEN, batches: BATCHES };
    let no_sums = |_: &Sku| Sums::default();
    import.kind(Kind::Catalogue, small, Some(catalogue), no_sums, put_skus).await?;
    let set = move |engine, rows| set_stock(engine, import_id, rows);
    import.kind(Kind::Stock, small, stock, |_| Sums::default(), set).await?;
    import.kind(Kind::Orders, large, orders, Sums::of, import_orders).await?;
    let import_all = move |engine, rows| import_limits(engine, import_id, rows);
    import.kind(Kind::Limits, Flow { batches: 1, ..large }, limits, |_| Sums::default(), import_all).await
}

/// How many rows are under way.
#[derive(Clone, Copy)]
struct Flow {
    batch_len: usize,
    batches: usize,
}

struct Import<'i> {
    engine: &'i Engine,
    summary: &'i mut Summary,
    is_strict: bool,
}

impl Import<'_> {
    /// Imports the rows of one kind.
    async fn kind<T, F>(
        &mut self,
        kind: Kind,
        flow: Flow,
        file: Option<Named<T>>,
        sums: impl Fn(&T) -> Sums,
        send: impl Fn(Engine, Vec<T>) -> F + Clone + Send + 'static,
    ) -> Result<(), ApplyError>
    where
        T: Clone + Send + 'static,
        F: Future<Output = Vec<Result<ImportOutcome, Reject>>> + Send + 'static,
    {
        let Some(mut file) = file else { return Ok(()) };
        self.summary.begin(&file.path);
        let mut under_way: VecDeque<JoinHandle<Vec<Done>>> = VecDeque::new();
        let mut ended = Ok(());
        loop {
            let mut batch = Vec::with_capacity(flow.batch_len);
            while batch.len() < flow.batch_len && !self.must_stop() {
                let next = file.rows.next_row();
                match next.map_err(|source| SourceError { path: file.path.clone(), source }) {
                    Ok(Some(Located { line, row: Ok(row) })) => batch.push((line, sums(&row), row)),
                    Ok(Some(Located { line, row: Err(what) })) => {
                        self.summary.note(kind, line, Sums::default(), Err(Refusal::Malformed(what)));
                    }
                    Ok(None) => break,
                    Err(error) => {
                        ended = Err(error.into());
                        break;
                    }
                }
            }
            let is_last = batch.len() < flow.batch_len;
            if !batch.is_empty() {
                under_way.push_back(tokio::spawn(patiently(self.engine.clone(), batch, send.clone())));
            }
            while under_way.len() >= flow.batches || is_last {
                let Some(batch) = under_way.pop_front() else { break };
                self.take(kind, batch.await?)?;
            }
            if is_last {
                return ended;
            }
        }
    }

    /// In strict mode the first bad row is the last.
    fn must_stop(&self) -> bool {
        self.is_strict && self.summary.has_problems()
    }

    fn take(&mut self, kind: Kind, done: Vec<Done>) -> Result<(), ApplyError> {
        let mut failed = None;
        for (line, sums, result) in done {
            match result {
                Ok(outcome) => self.summary.note(kind, line, sums, Ok(outcome)),
                Err(reject) if reject.retry() == Retry::Never => {
                    self.summary.note(kind, line, sums, Err(Refusal::Reject(reject)));
                }
                // It says nothing about the row.
                Err(reject) => failed = Some(reject),
            }
        }
        self.summary.progress(kind);
        failed.map_or(Ok(()), |reject| Err(ApplyError::Engine(reject)))
    }
}

/// Sends rows, and those for which there was no room again.
async fn patiently<T, F>(
    engine: Engine,
    rows: Vec<(u64, Sums, T)>,
    send: impl Fn(Engine, Vec<T>) -> F,
) -> Vec<Done>
where
    T: Clone,
    F: Future<Output = Vec<Result<ImportOutcome, Reject>>>,
{
    let mut done: Vec<Option<Result<ImportOutcome, Reject>>> = vec![None; rows.len()];
    for _ in 0..TRIES_MAX {
        let open: Vec<usize> = (0..rows.len()).filter(|index| needs_sending(&done[*index])).collect();
        if open.is_empty() {
            break;
        }
        let mut wait_ms = 0;
        let batch = open.iter().map(|index| rows[*index].2.clone()).collect();
        for (index, result) in open.into_iter().zip(send(engine.clone(), batch).await) {
            if let Err(reject) = &result
                && let Retry::After { wait_ms: least_ms } = reject.retry()
            {
                wait_ms = wait_ms.max(least_ms.max(10));
            }
            done[index] = Some(result);
        }
        if wait_ms > 0 {
            tokio::time::sleep(Duration::from_millis(wait_ms.into())).await;
        }
    }
    let unknown = Err(Reject::OutcomeUnknown);
    let done = rows.into_iter().zip(done);
    done.map(|((line, sums, _), result)| (line, sums, result.unwrap_or(unknown))).collect()
}

fn needs_sending(result: &Option<Result<ImportOutcome, Reject>>) -> bool {
    match result {
        None => true,
        Some(Err(reject)) => matches!(reject.retry(), Retry::After { .. }),
        Some(Ok(_)) => false,
    }
}

async fn import_orders(engine: Engine, orders: Vec<ImportedOrder>) -> Vec<Result<ImportOutcome, Reject>> {
    let imports = engine.import_orders(orders).await.into_iter();
    imports.map(|import| import.map(|import| import.outcome)).collect()
}

async fn import_limits(
    engine: Engine,
    import_id: ImportId,
    rows: Vec<LimitRow>,
) -> Vec<Result<ImportOutcome, Reject>> {
    let limit = |row: LimitRow| ImportedLimit {
        member_id: row.member_id.0.into(),
        key: StockKey::normal(row.sku.0.into()),
        used: row.used,
        import_id,
    };
    engine.import_limits(rows.into_iter().map(limit).collect()).await
}

async fn put_skus(engine: Engine, skus: Vec<Sku>) -> Vec<Result<ImportOutcome, Reject>> {
    let put = |sku: Sku| {
        let engine = engine.clone();
        async move {
            if engine.sku(sku.id).is_some_and(|current| *current == sku) {
                return Ok(ImportOutcome::Unchanged);
            }
            engine.put_sku(sku).await.map(|_revision| ImportOutcome::Imported)
        }
    };
    in_order(skus.into_iter().map(put)).await
}

async fn set_stock(
    engine: Engine,
    import_id: ImportId,
    rows: Vec<StockRow>,
) -> Vec<Result<ImportOutcome, Reject>> {
    let set = |row: StockRow| {
        let engine = engine.clone();
        async move {
            let key = StockKey::normal(row.sku.0.into());
            let id = AdjustmentId::of_import(import_id, &key);
            let before = engine.stock(key).await?;
            let change = StockChange::Absolute(row.total.0);
            let after = engine.adjust_stock(StockAdjustment { id, key, change }).await?;
            let is_same = before.total == after.total;
            Ok(if is_same { ImportOutcome::Unchanged } else { ImportOutcome::Imported })
        }
    };
    in_order(rows.into_iter().map(set)).await
}

/// Runs futures side by side, begun in their order, and gives their results in that order.
async fn in_order<T, F: Future<Output = T>>(futures: impl Iterator<Item = F>) -> Vec<T> {
    let mut running: Vec<_> = futures.map(|future| (Some(Box::pin(future)), None)).collect();
    poll_fn(|context| {
        let mut pending = false;
        for (future, result) in &mut running {
            let Some(polled) = future else { continue };
            match polled.as_mut().poll(context) {
                Poll::Ready(value) => (*future, *result) = (None, Some(value)),
                Poll::Pending => pending = true,
            }
        }
        if pending { Poll::Pending } else { Poll::Ready(()) }
    })
    .await;
    running.into_iter().filter_map(|(_, result)| result).collect()
}
