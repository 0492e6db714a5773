//! `stockade backup`: copies a data directory, whether an engine runs on it or not.

use std::io::{self, IsTerminal, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use stockade::ops;

use crate::common::{failed, size, span};

/// Back up a data directory, also while an engine runs on it.
///
/// The copy is consistent at one position and holds everything that was acknowledged when the command was given. A
/// running engine makes it itself and goes on meanwhile; it is asked through its control socket. Without a running
/// engine the directory is copied by this command. To restore, open the copy, or a copy of the copy.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Exit code: 0 when the backup is complete, 1 when it could not be made, 2 when the data can't be read.\n\
                  An interrupted backup is marked as such and refused by every command; remove it."
)]
pub(crate) struct Args {
    /// The data directory.
    #[arg(long, value_name = "DIR")]
    data: PathBuf,

    /// Where the backup goes: a directory that is absent or empty, best on another disk.
    #[arg(long, value_name = "DIR")]
    to: PathBuf,
}

pub(crate) fn run(args: &Args) -> ExitCode {
    let show = io::stderr().is_terminal();
    let progress = |bytes| {
        if show {
            // One line that rewrites itself; nothing where stderr is a file.
            eprint!("\r{:>12} copied", size(bytes));
        }
    };
    let result = ops::backup(&args.data, &args.to, progress);
    if show {
        eprint!("\r{:32}\r", "");
    }
    match result {
        Ok(report) => {
            let stored = match report.stored.0 {
                0 => String::new(),
                stored => format!(" (store at {stored})"),
            };
            // A reader that has gone (a closed pipe) doesn't unmake the backup.
            drop(writeln!(
                io::stdout().lock(),
                "backed up to position {}{stored}: {} events in its journal, {} in {}",
                report.position,
                report.events,
                size(report.bytes),
                span(report.elapsed_ms),
            ));
            ExitCode::SUCCESS
        }
        Err(error) => failed(&error),
    }
}
