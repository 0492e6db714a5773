//! The configuration of a server: one TOML file, the environment, flags.
//!
//! **Precedence**, per key: a flag, else the environment (`STOCKADE__SERVER__LISTEN` is `server.listen`), else the file,
//! else the default. A list is taken from one of them as a whole. A key that doesn't exist is an error wherever it stands,
//! and all problems are reported at once, each with its key, its value, where it came from and what it must be.

mod engine;
mod entries;
mod print;
#[cfg(feature = "relay")]
mod relay;
mod schema;
mod search;
mod sources;

use std::fmt;

use serde::{Deserialize, Serialize};
use stockade::http::config::HttpConfig;
use stockade::{Config, Durability};
use toml::Table;

pub(crate) use engine::EngineSettings;
pub(crate) use print::{changed, print};
#[cfg(feature = "relay")]
pub(crate) use relay::RelaySettings;
pub(crate) use search::SearchSettings;
pub(crate) use sources::{Flag, Sources};

/// `[log]`: what is logged, and how.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct LogSettings {
    pub(crate) level: String,
    pub(crate) format: LogFormat,
}

impl Default for LogSettings {
    fn default() -> Self {
        Self { level: "info".to_owned(), format: LogFormat::Text }
    }
}

/// How log lines are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub(crate) enum LogFormat {
    /// For people.
    Text,
    /// One JSON object a line, for machines.
    Json,
}

/// Everything that is configured.
#[derive(Clone, Debug, Default)]
pub(crate) struct Settings {
    pub(crate) http: HttpConfig,
    pub(crate) engine: EngineSettings,
    pub(crate) search: SearchSettings,
    #[cfg(feature = "relay")]
    pub(crate) relay: RelaySettings,
    pub(crate) log: LogSettings,
}

/// The sections that are not the adapter's.
const ENGINE: &str = "engine";
const SEARCH: &str = "search";
#[cfg(feature = "relay")]
const RELAY: &str = "relay";
const LOG: &str = "log";

impl Settings {
    /// All values by section and name, as in a file.
    pub(crate) fn table(&self) -> Result<Table, toml::ser::Error> {
        let mut table = Table::try_from(&self.http)?;
        table.insert(ENGINE.to_owned(), Table::try_from(&self.engine)?.into());
        table.insert(SEARCH.to_owned(), Table::try_from(&self.search)?.into());
        #[cfg(feature = "relay")]
        table.insert(RELAY.to_owned(), Table::try_from(&self.relay)?.into());
        table.insert(LOG.to_owned(), Table::try_from(&self.log)?.into());
        Ok(table)
    }

    /// The engine's configuration, but for the relay's subscriptions: those have secrets, which are read apart.
    pub(crate) fn engine_config(&self) -> Config {
        self.engine.config().search(self.search.config(self.has_store()))
    }

    /// Whether the engine has a store to search in.
    pub(crate) fn has_store(&self) -> bool {
        self.engine.store && Durability::from(self.engine.durability) != Durability::Memory
    }

    /// Reads and checks what the sources say.
    ///
    /// # Errors
    /// All problems.
    pub(crate) fn load(sources: &Sources) -> Result<Self, Vec<Problem>> {
        let values = sources.gather()?;
        let mut table = values.table();
        let mut take = |section: &str| {
            table.remove(section).and_then(|value| match value {
                toml::Value::Table(table) => Some(table),
                _ => None,
            })
        };
        let (engine, log) = (take(ENGINE).unwrap_or_default(), take(LOG).unwrap_or_default());
        let search = take(SEARCH).unwrap_or_default();
        #[cfg(feature = "relay")]
        let relay = take(RELAY).unwrap_or_default();
        let broken = |error: toml::de::Error| vec![Problem::general(error.message())];
        let settings = Self {
            http: table.try_into().map_err(broken)?,
            engine: engine.try_into().map_err(broken)?,
            search: search.try_into().map_err(broken)?,
            #[cfg(feature = "relay")]
            relay: relay.try_into().map_err(broken)?,
            log: log.try_into().map_err(broken)?,
        };
        settings.check(&values)?;
        Ok(settings)
    }

    /// What no key can be checked for alone.
    fn check(&self, values: &sources::Values) -> Result<(), Vec<Problem>> {
        let mut problems = Vec::new();
        if let Err(error) = self.engine_config().validate() {
            // Settings of order search are named with their section.
            let is_whole = error.name.contains('.');
            let path = if is_whole { error.name.to_owned() } else { format!("engine.{}", error.name) };
            problems.push(
                values.problem(&path, format!("{path} is {}: it must be {}", error.value, error.bounds)),
            );
        }
        if self.log.level.parse::<tracing_subscriber::EnvFilter>().is_err() {
            let level = &self.log.level;
            let what =
                "a level (error, warn, info, debug, trace), or levels per module, as \"info,stockade=debug\"";
            problems
                .push(values.problem("log.level", format!("log.level is \"{level}\": it must be {what}")));
        }
        #[cfg(feature = "relay")]
        for error in self.relay.problems() {
            problems.push(values.problem("relay.subscriptions", crate::common::with_causes(&error)));
        }
        if problems.is_empty() { Ok(()) } else { Err(problems) }
    }
}

/// Something wrong with the configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Problem {
    /// Where it stands: a file and line, a variable, a flag; empty where that is not known.
    pub(crate) place: String,
    /// What is wrong.
    pub(crate) message: String,
}

impl Problem {
    fn general(message: impl Into<String>) -> Self {
        Self { place: String::new(), message: message.into() }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.place.is_empty() {
            f.write_str(&self.message)
        } else {
            write!(f, "{}: {}", self.place, self.message)
        }
    }
}
