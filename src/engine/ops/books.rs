//! The books of a data directory that no engine has open: statements of closed days, and comparisons with bills.

use std::io;
use std::path::Path;

use super::OpsError;
use super::stopped::Stopped;
use crate::domain::statement::{
    Account, BillEntry, Day, Difference, Movement, Reconciler, Reconciliation, Statement, UtcOffset,
};
use crate::engine::OpenError;
use crate::engine::statement::{StatementError, check_closed};
use crate::projection::store::StoreReader;

/// The books of a directory. As long as this lives nobody else opens the directory.
///
/// ```
/// # use stockade::{Config, Engine, UtcOffset, ops};
/// # #[tokio::main]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let dir = tempfile::tempdir()?;
/// # let (data, copy) = (dir.path().join("shop"), dir.path().join("copy"));
/// # let engine = Engine::open(Config::new(&data).ballast_bytes(0)).await?;
/// engine.backup(&copy).await?;
///
/// let books = ops::Books::open(&copy)?;
/// let statement = books.statement("2025-11-11".parse()?, UtcOffset::UTC)?;
/// assert_eq!(statement.sum().1.received.count, 0);
/// # engine.shutdown().await?;
/// # Ok(())
/// # }
/// ```
pub struct Books {
    store: StoreReader,
    _open: Stopped,
}

/// Which movements a bill is compared with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BillOf {
    /// The day that the bill is for.
    pub day: Day,
    /// By which offset the provider's days begin and end.
    pub offset: UtcOffset,
    /// Whose money.
    pub account: Account,
    /// Within this time of the day's begin and end, in ms, provider and journal may see another day.
    pub margin_ms: u64,
}

impl Books {
    /// Opens a directory.
    ///
    /// # Errors
    /// [`OpsError::Missing`], [`OpsError::InUse`], [`OpsError::Open`], and [`StatementError::NoStore`].
    pub fn open(dir: &Path) -> Result<Self, OpsError> {
        let open = Stopped::open(dir)?;
        let store = open.store.clone().ok_or(StatementError::NoStore)?;
        Ok(Self { store, _open: open })
    }

    /// The statement of a closed day. See [`crate::Engine::statement`].
    ///
    /// # Errors
    /// [`OpsError::Statement`].
    pub fn statement(&self, day: Day, offset: UtcOffset) -> Result<Statement, OpsError> {
        check_closed(&self.store, day, offset)?;
        Ok(self.store.statement(day, offset).map_err(OpenError::from)?)
    }

    /// Calls `each` with every movement of a closed day, in the order of the journal.
    ///
    /// # Errors
    /// [`OpsError::Statement`], and [`OpsError::Output`] with the first error of `each`, which is not called again.
    pub fn movements(
        &self,
        day: Day,
        offset: UtcOffset,
        each: impl FnMut(Movement) -> io::Result<()>,
    ) -> Result<(), OpsError> {
        check_closed(&self.store, day, offset)?;
        let (from_ms, until_ms) = day.bounds(offset);
        self.scan(from_ms, until_ms, each)
    }

    /// Compares a bill with the movements of a closed day: `each` gets every difference, those of the bill by itself
    /// first, then by the journal's order, then what is missing here by the bill's.
    ///
    /// Keeps the bill in memory and nothing else.
    ///
    /// # Errors
    /// [`OpsError::Statement`], the first error of `bill` as [`OpsError::Bill`], and of `each` as [`OpsError::Output`].
    pub fn reconcile(
        &self,
        of: &BillOf,
        bill: impl IntoIterator<Item = Result<BillEntry, String>>,
        mut each: impl FnMut(&Difference) -> io::Result<()>,
    ) -> Result<Reconciliation, OpsError> {
        check_closed(&self.store, of.day, of.offset)?;
        let (from_ms, until_ms) = of.day.bounds(of.offset);
        let mut reconciler = Reconciler::new(from_ms, until_ms, of.margin_ms);
        for entry in bill {
            let entry = entry.map_err(OpsError::Bill)?;
            if let Some(difference) = reconciler.entry(entry) {
                each(&difference).map_err(OpsError::Output)?;
            }
        }
        let (from_ms, until_ms) = reconciler.wanted_ms();
        self.scan(from_ms, until_ms, |movement| {
            if movement.account != of.account {
                return Ok(());
            }
            reconciler.movement(movement).map_or(Ok(()), |difference| each(&difference))
        })?;
        let (missing, result) = reconciler.finish();
        missing.iter().try_for_each(each).map_err(OpsError::Output)?;
        Ok(result)
    }

    fn scan(
        &self,
        from_ms: u64,
        until_ms: u64,
        mut each: impl FnMut(Movement) -> io::Result<()>,
    ) -> Result<(), OpsError> {
        let mut failed = None;
        let scanned = self.store.movements(from_ms, until_ms, None, |movement| {
            failed = each(movement).err();
            failed.is_none()
        });
        scanned.map_err(OpenError::from)?;
        failed.map_or(Ok(()), |error| Err(OpsError::Output(error)))
    }
}
