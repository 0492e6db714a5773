//! `stockade reindex`: builds the search index anew, whether an engine runs on the directory or not.

use std::io::{self, IsTerminal, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use stockade::runtime::clock::Clock;
use stockade::{ReindexProgress, ops};

use crate::common::{failed, span};

/// Build the search index anew from the stored orders, also while an engine runs.
///
/// A running engine does it itself, is asked through its control socket, and answers searches from the old index
/// meanwhile. Without a running engine this command does it. The new index takes the old one's place when it is
/// complete. It is seldom needed: an engine that finds its index damaged, lost or of another release builds it anew by
/// itself.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  stockade reindex --data /var/lib/stockade\n  stockade reindex --data ./shop 2>/dev/null\n\n\
                  Exit code: 0 when the new index is in use, 1 when it could not be built (the old one stays), 2 when the \
                  data can't be read."
)]
pub(crate) struct Args {
    /// The data directory.
    #[arg(long, value_name = "DIR")]
    data: PathBuf,
}

/// Characters of the bar.
const BAR_WIDTH: u64 = 30;

pub(crate) fn run(args: &Args) -> ExitCode {
    let show = io::stderr().is_terminal();
    // Wall time is of no account, so the bound of its steps isn't either.
    let clock = Clock::system(1);
    let began_ns = clock.monotonic_ns();
    let result = ops::reindex(&args.data, move |progress| {
        if show {
            // One line that rewrites itself; nothing where stderr is a file.
            eprint!("\r{}", bar(progress));
        }
    });
    if show {
        eprint!("\r{:78}\r", "");
    }
    match result {
        Ok(ReindexProgress { orders, .. }) => {
            let elapsed_ms = clock.monotonic_ns().saturating_sub(began_ns) / 1_000_000;
            // A reader that has gone (a closed pipe) doesn't unmake the index.
            drop(writeln!(io::stdout().lock(), "indexed {orders} orders in {}", span(elapsed_ms)));
            ExitCode::SUCCESS
        }
        Err(error) => failed(&error),
    }
}

/// How far it is.
fn bar(ReindexProgress { orders, orders_total }: ReindexProgress) -> String {
    let total = orders_total.max(1);
    let done = orders.min(total);
    let filled = (u128::from(done) * u128::from(BAR_WIDTH) / u128::from(total)) as usize;
    let (full, empty) = ("#".repeat(filled), "-".repeat(BAR_WIDTH as usize - filled));
    format!(
        "[{full}{empty}] {:>3} %  {orders} of {orders_total} orders",
        u128::from(done) * 100 / u128::from(total)
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bar_shows_how_far_it_is() {
        let shown = |orders, orders_total| bar(ReindexProgress { orders, orders_total });
        assert_eq!(shown(0, 0), format!("[{}]   0 %  0 of 0 orders", "-".repeat(30)));
        assert_eq!(shown(50, 100), format!("[{}{}]  50 %  50 of 100 orders", "#".repeat(15), "-".repeat(15)));
        assert_eq!(
            shown(u64::MAX, u64::MAX).split(']').next(),
            Some(format!("[{}", "#".repeat(30)).as_str())
        );
        assert!(shown(120, 100).contains("100 %"), "more were placed meanwhile");
    }
}
