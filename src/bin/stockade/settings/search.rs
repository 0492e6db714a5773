//! `[search]`: order search, as the configuration file has it.

use serde::{Deserialize, Serialize};
use stockade::{SearchConfig, SearchMode};

/// Where searches are answered from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum ModeSetting {
    Fallback,
    On,
    Off,
}

/// The settings of order search; see the table of keys for their meaning.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct SearchSettings {
    pub(crate) mode: ModeSetting,
    pub(crate) max_lag_ms: u64,
    pub(crate) refresh_ms: u64,
    pub(crate) memory_bytes: usize,
    pub(crate) lag_bytes_max: u64,
}

impl Default for SearchSettings {
    fn default() -> Self {
        let SearchConfig { mode: _, max_lag_ms, refresh_ms, memory_bytes, lag_bytes_max } =
            SearchConfig::default();
        // A server is asked for orders by people; an embedded engine perhaps by nobody.
        Self { mode: ModeSetting::Fallback, max_lag_ms, refresh_ms, memory_bytes, lag_bytes_max }
    }
}

impl SearchSettings {
    /// The mode for an engine with a store, or without one. Without a store there is nothing to fall back on, and nothing to
    /// build an index from: then `fallback` means that there is no search.
    pub(crate) fn mode(&self, has_store: bool) -> SearchMode {
        match self.mode {
            ModeSetting::Fallback if has_store => SearchMode::Fallback,
            ModeSetting::Fallback | ModeSetting::Off => SearchMode::Off,
            ModeSetting::On => SearchMode::On,
        }
    }

    /// The engine's configuration of it.
    pub(crate) fn config(&self, has_store: bool) -> SearchConfig {
        let Self { mode: _, max_lag_ms, refresh_ms, memory_bytes, lag_bytes_max } = *self;
        SearchConfig { mode: self.mode(has_store), max_lag_ms, refresh_ms, memory_bytes, lag_bytes_max }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_searches_where_it_has_a_store() {
        let settings = SearchSettings::default();
        assert_eq!(settings.mode(true), SearchMode::Fallback);
        assert_eq!(settings.mode(false), SearchMode::Off);
        let on = SearchSettings { mode: ModeSetting::On, ..settings };
        assert_eq!(on.mode(false), SearchMode::On, "what was asked for in earnest is refused, not left out");
    }

    #[test]
    fn everything_but_the_mode_has_the_engines_default() {
        let config = SearchSettings::default().config(true);
        assert_eq!(SearchConfig { mode: SearchMode::Off, ..config }, SearchConfig::default());
    }
}
