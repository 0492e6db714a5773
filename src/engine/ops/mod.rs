//! Operations on a data directory: looking at it, backing it up, exporting its orders. What the command-line tool is
//! made of.
//!
//! | | an engine runs on it | nobody has it open |
//! |---|---|---|
//! | [`inspect`] | through its control socket | opens it |
//! | [`backup`] | through its control socket | opens it |
//! | [`reindex`] | through its control socket | opens it |
//! | [`export`] | refuses: export from a backup | opens it |
//! | [`Books`] | refuses: open a backup, or ask [`crate::Engine::statement`] | opens it |
//!
//! Opening a directory locks it, so that no engine can start on it meanwhile, and the databases write a little of their
//! own; nothing else is changed. A program that embeds the engine has [`crate::Engine::inspect`] and
//! [`crate::Engine::backup`]; the socket is switched on by [`crate::Config::control_socket`].
//!
//! All of these block: call them from a thread that may.

mod books;
mod client;
mod control;
mod error;
mod export;
mod inspect;
#[cfg(feature = "search")]
mod reindex;
mod report;
mod stopped;

pub(super) use control::{ControlServer, serve};

pub use books::{BillOf, Books};
pub use error::OpsError;
pub use export::{ExportFilter, ExportReport, export};
pub use inspect::{backup, inspect};
#[cfg(feature = "search")]
pub use reindex::reindex;
pub use report::{InspectReport, OldestOrder, ProjectionReport, TableReport};
