//! One index in one directory: its single writer, and readers for any number of threads.
//!
//! What was put becomes visible and durable with a commit, together with the position that it goes up to: a crash before
//! it leaves the state of the commit before, with that one's position. So whoever goes on from the position takes in
//! every event exactly once.

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use std::thread;
use std::time::Duration;

use hashbrown::HashSet;
use tantivy::directory::MmapDirectory;
use tantivy::indexer::IndexWriterOptions;
use tantivy::query::Query;
use tantivy::{IndexWriter, ReloadPolicy, Searcher, TantivyError};

use super::compile::Compiler;
use super::find::find;
use super::merging::Merging;
use super::replaced::Replaced;
use super::schema::{Fields, SCHEMA_VERSION, SharedGoods, editions, number};
use super::titles::{Edition, Titles};
use super::{Hits, HitsPage, IndexError};
use crate::domain::ids::Position;
use crate::domain::order::Order;
use crate::domain::search::Expr;

/// Threads that write segments, and that merge them: a merge of large segments takes long, and small ones go on piling up
/// meanwhile.
const WRITING_THREADS: usize = 1;
const MERGING_THREADS: usize = 2;
/// Waiting for a writer that is just going away.
const LOCK_ATTEMPTS: usize = 200;
const LOCK_RETRY: Duration = Duration::from_millis(10);
/// What a commit's payload begins with; version, position and time follow.
const PAYLOAD: &str = "stockade";

impl From<TantivyError> for IndexError {
    fn from(error: TantivyError) -> Self {
        Self::Storage(error.to_string())
    }
}

/// What a commit says of itself.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Stand {
    position: Position,
    /// Engine time of the commit, in ms since the Unix epoch.
    at_ms: u64,
}

impl Stand {
    fn to_payload(self) -> String {
        format!("{PAYLOAD} {SCHEMA_VERSION} {} {}", self.position, self.at_ms)
    }

    /// `None` for another version's, or what is none.
    fn from_payload(payload: &str) -> Option<Self> {
        let mut parts = payload.split(' ');
        let is_ours = parts.next()? == PAYLOAD && parts.next()?.parse() == Ok(SCHEMA_VERSION);
        let (position, at_ms) = (parts.next()?.parse().ok()?, parts.next()?.parse().ok()?);
        (is_ours && parts.next().is_none()).then_some(Self { position: Position(position), at_ms })
    }
}

/// What readers see.
struct Shown {
    searcher: Searcher,
    stand: Stand,
}

struct Shared {
    fields: Fields,
    goods: SharedGoods,
    /// Of all goods that documents name, committed or not.
    titles: RwLock<Titles>,
    /// Replaced as a whole, so that hits and position belong together.
    shown: RwLock<Arc<Shown>>,
}

impl Shared {
    fn shown(&self) -> Arc<Shown> {
        Arc::clone(&self.shown.read().unwrap_or_else(PoisonError::into_inner))
    }
}

/// The reading side, for any number of threads.
#[derive(Clone)]
pub(crate) struct IndexReader {
    shared: Arc<Shared>,
}

impl IndexReader {
    /// Runs a query. Blocks.
    ///
    /// # Errors
    /// [`IndexError`].
    pub(crate) fn find(&self, expr: &Expr, page: &HitsPage) -> Result<Hits, IndexError> {
        let shown = self.shared.shown();
        let query = self.compile(&shown.searcher, expr)?;
        let hits = find(&shown.searcher, query.as_ref(), page)?;
        Ok(Hits { as_of: shown.stand.position, ..hits })
    }

    fn compile(&self, searcher: &Searcher, expr: &Expr) -> Result<Box<dyn Query>, IndexError> {
        let titles = self.shared.titles.read().unwrap_or_else(PoisonError::into_inner);
        Compiler::new(&self.shared.fields, searcher, self.shared.goods.as_ref(), &titles).compile(expr)
    }

    /// Everything up to here is searchable.
    pub(crate) fn position(&self) -> Position {
        self.shared.shown().stand.position
    }

    /// Engine time of the last commit, in ms since the Unix epoch.
    pub(crate) fn committed_at_ms(&self) -> u64 {
        self.shared.shown().stand.at_ms
    }

    /// Documents that are searchable.
    pub(crate) fn documents(&self) -> u64 {
        self.shared.shown().searcher.num_docs()
    }
}

/// The writing side; there is one.
pub(crate) struct Index {
    writer: IndexWriter,
    loaded: tantivy::IndexReader,
    merging_waits: Arc<AtomicBool>,
    shared: Arc<Shared>,
    /// Goods whose title was looked up, found or not.
    known: HashSet<Edition>,
    /// Those of one order.
    editions: Vec<Edition>,
}

impl Index {
    /// Makes a new index in a directory that is absent or empty. Until its first commit it counts as incomplete: opening
    /// it fails. `memory_bytes` bounds what is not written yet.
    ///
    /// # Errors
    /// [`IndexError::Storage`].
    pub(crate) fn create(dir: &Path, goods: SharedGoods, memory_bytes: usize) -> Result<Self, IndexError> {
        std::fs::create_dir_all(dir).map_err(|error| IndexError::Storage(error.to_string()))?;
        let (schema, fields) = Fields::new();
        let index = Fields::builder(schema).create_in_dir(dir)?;
        let writer = writer(&index, memory_bytes)?;
        Self::start(&index, writer, fields, goods, Stand::default())
    }

    /// Opens the index in a directory.
    ///
    /// # Errors
    /// [`IndexError::Storage`] where there is none, or one that is damaged, incomplete or of another version.
    pub(crate) fn open(dir: &Path, goods: SharedGoods, memory_bytes: usize) -> Result<Self, IndexError> {
        let (schema, fields) = Fields::new();
        let index = tantivy::Index::open(MmapDirectory::open(dir).map_err(TantivyError::from)?)?;
        let writer = writer(&index, memory_bytes)?;
        // Only now: whoever had the writer before may have committed until it was free.
        let payload = index.load_metas()?.payload;
        let stand = payload.as_deref().and_then(Stand::from_payload);
        let stand = stand.filter(|_| index.schema() == schema);
        let unusable = || IndexError::Storage("it is incomplete, or of another release".to_owned());
        Self::start(&index, writer, fields, goods, stand.ok_or_else(unusable)?)
    }

    fn start(
        index: &tantivy::Index,
        writer: IndexWriter,
        fields: Fields,
        goods: SharedGoods,
        stand: Stand,
    ) -> Result<Self, IndexError> {
        Fields::register(index.tokenizers());
        let merging_waits = Arc::<AtomicBool>::default();
        writer.set_merge_policy(Box::new(Merging::new(Arc::clone(&merging_waits))));
        let loaded = index.reader_builder().reload_policy(ReloadPolicy::Manual).try_into()?;
        let searcher = loaded.searcher();
        let (titles, known) = Titles::of_index(&searcher, fields.edition, goods.as_ref())?;
        let shown = RwLock::new(Arc::new(Shown { searcher, stand }));
        let shared = Arc::new(Shared { fields, goods, titles: RwLock::new(titles), shown });
        Ok(Self { writer, loaded, merging_waits, shared, known, editions: Vec::new() })
    }

    /// A reader of it.
    pub(crate) fn reader(&self) -> IndexReader {
        IndexReader { shared: Arc::clone(&self.shared) }
    }

    /// Takes orders in as they stand, each of them once. `since` is the position up to which earlier ones went: an order
    /// created behind it has no document yet.
    ///
    /// # Errors
    /// [`IndexError::Storage`]; the index must be given up then.
    pub(crate) fn put(&mut self, orders: &[Order], since: Position) -> Result<(), IndexError> {
        let Shared { fields, goods, titles, .. } = self.shared.as_ref();
        let known = orders.iter().filter(|order| order.created_position <= since);
        let known: Vec<i64> = known.map(|order| number(order.order_no)).collect();
        if !known.is_empty() {
            self.writer.delete_query(Box::new(Replaced::new(fields.order_no, known)))?;
        }
        for order in orders {
            editions(order, goods.as_ref(), &mut self.editions);
            for edition in &self.editions {
                if self.known.insert(*edition) {
                    let mut titles = titles.write().unwrap_or_else(PoisonError::into_inner);
                    titles.add_from(*edition, goods.as_ref());
                }
            }
            self.writer.add_document(fields.document(order, &self.editions))?;
        }
        Ok(())
    }

    /// Makes what was put durable and searchable, with the position that it goes up to and the time.
    ///
    /// # Errors
    /// [`IndexError::Storage`]; the index must be given up then.
    pub(crate) fn commit(&mut self, up_to: Position, at_ms: u64) -> Result<(), IndexError> {
        let stand = Stand { position: up_to, at_ms };
        let mut prepared = self.writer.prepare_commit()?;
        prepared.set_payload(&stand.to_payload());
        prepared.commit()?;
        self.loaded.reload()?;
        let shown = Arc::new(Shown { searcher: self.loaded.searcher(), stand });
        *self.shared.shown.write().unwrap_or_else(PoisonError::into_inner) = shown;
        Ok(())
    }

    /// Whether segments that could be merged stay as they are for now, as far as there are not too many. It is asked at each
    /// commit.
    pub(crate) fn set_merging_waits(&self, waits: bool) {
        self.merging_waits.store(waits, Ordering::Relaxed);
    }

    /// Ends merges that are under way, and closes it. What was put and not committed is lost.
    ///
    /// # Errors
    /// [`IndexError::Storage`].
    pub(crate) fn close(self) -> Result<(), IndexError> {
        Ok(self.writer.wait_merging_threads()?)
    }
}

/// The one writer of an index. A writer that is just going away is waited for.
fn writer(index: &tantivy::Index, memory_bytes: usize) -> Result<IndexWriter, IndexError> {
    let mut attempts = 0;
    loop {
        let options = IndexWriterOptions::builder()
            .memory_budget_per_thread(memory_bytes / WRITING_THREADS)
            .num_worker_threads(WRITING_THREADS)
            .num_merge_threads(MERGING_THREADS)
            .build();
        match index.writer_with_options(options) {
            Err(TantivyError::LockFailure(..)) if attempts < LOCK_ATTEMPTS => attempts += 1,
            opened => {
                let writer = opened?;
                // The library numbers operations from the last commit's own number on, and a merge that begins before the
                // next commit then takes a first deletion for one of that commit: in segments with deletions of that
                // commit it would be lost, and what is replaced stay beside what replaces it. This takes the number up.
                writer.run(std::iter::empty())?;
                return Ok(writer);
            }
        }
        thread::sleep(LOCK_RETRY);
    }
}
