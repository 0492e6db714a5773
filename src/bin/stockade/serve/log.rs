//! Log lines of a server: to standard error, as text or JSON, with a level that can be changed while it runs.

use tracing_subscriber::filter::ParseError;
use tracing_subscriber::layer::{Layer, SubscriberExt};
use tracing_subscriber::reload;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, Registry, fmt};

use super::traces::Traces;
use crate::settings::{LogFormat, LogSettings};

/// Changes the level.
pub(super) struct LogLevel {
    handle: reload::Handle<EnvFilter, Registry>,
}

impl LogLevel {
    /// Sets another level.
    pub(super) fn set(&self, level: &str) -> Result<(), ParseError> {
        let filter = level.parse::<EnvFilter>()?;
        // The subscriber lives as long as the process.
        drop(self.handle.reload(filter));
        Ok(())
    }
}

/// Begins to log.
pub(super) fn init(settings: &LogSettings, traces: &Traces) -> Result<LogLevel, ParseError> {
    let (filter, handle) = reload::Layer::new(settings.level.parse::<EnvFilter>()?);
    let lines = fmt::layer().with_writer(std::io::stderr);
    // The level is that of the lines: traces have a filter of their own.
    let lines = match settings.format {
        LogFormat::Text => lines.with_ansi(false).with_filter(filter).boxed(),
        LogFormat::Json => lines.json().with_filter(filter).boxed(),
    };
    Registry::default().with(lines).with(traces.layer()).init();
    Ok(LogLevel { handle })
}
