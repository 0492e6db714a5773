//! Log lines of a server: to standard error, as text or JSON, with a level that can be changed while it runs.

use tracing_subscriber::filter::ParseError;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::reload;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, Registry, fmt};

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
pub(super) fn init(settings: &LogSettings) -> Result<LogLevel, ParseError> {
    let (filter, handle) = reload::Layer::new(settings.level.parse::<EnvFilter>()?);
    let registry = Registry::default().with(filter);
    let lines = fmt::layer().with_writer(std::io::stderr);
    match settings.format {
        LogFormat::Text => registry.with(lines.with_ansi(false)).init(),
        LogFormat::Json => registry.with(lines.json()).init(),
    }
    Ok(LogLevel { handle })
}
