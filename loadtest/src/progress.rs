//! A progress bar on stderr; indicatif hides it where stderr is no terminal.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};

/// How often the bar is drawn anew.
const REFRESH: Duration = Duration::from_millis(100);

/// A bar for `len` steps of something.
pub(crate) fn bar(what: &'static str, len: u64) -> ProgressBar {
    let bar = ProgressBar::new(len).with_message(what);
    let template = "{msg:<10} [{bar:40}] {human_pos}/{human_len} {per_sec} {elapsed}";
    if let Ok(style) = ProgressStyle::with_template(template) {
        bar.set_style(style.progress_chars("=> "));
    }
    bar
}

/// A bar that follows a counter, so that clients need not touch the bar itself. Stops when dropped.
pub(crate) struct Follower {
    bar: ProgressBar,
    task: tokio::task::JoinHandle<()>,
}

impl Follower {
    /// Must be called within a runtime.
    pub(crate) fn start(what: &'static str, len: u64, done: Arc<AtomicU64>) -> Self {
        let bar = bar(what, len);
        let moving = bar.clone();
        let task = tokio::spawn(async move {
            let mut ticks = tokio::time::interval(REFRESH);
            loop {
                ticks.tick().await;
                moving.set_position(done.load(Ordering::Relaxed));
            }
        });
        Self { bar, task }
    }
}

impl Drop for Follower {
    fn drop(&mut self) {
        self.task.abort();
        self.bar.finish_and_clear();
    }
}
