//! `[engine]`: the engine's settings, as the configuration file has them.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use stockade::{Config, Durability, OrderType};

/// When a write is acknowledged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged, deny_unknown_fields)]
pub(crate) enum DurabilitySetting {
    /// By its name.
    Named(DurabilityName),
    /// With an interval.
    Buffered {
        /// Most time at risk, in ms.
        buffered_ms: u64,
    },
}

/// Durabilities without a number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum DurabilityName {
    Synced,
    Memory,
}

impl From<DurabilitySetting> for Durability {
    fn from(setting: DurabilitySetting) -> Self {
        match setting {
            DurabilitySetting::Named(DurabilityName::Synced) => Self::Synced,
            DurabilitySetting::Named(DurabilityName::Memory) => Self::Memory,
            DurabilitySetting::Buffered { buffered_ms: interval_ms } => Self::Buffered { interval_ms },
        }
    }
}

/// Declares the settings that go to the engine's setter of the same name as they are.
macro_rules! engine_settings {
    ($($name:ident: $type:ty = $default:expr),* $(,)?) => {
        /// The engine's settings; see the table of keys for their meaning.
        #[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
        #[serde(deny_unknown_fields, default)]
        pub(crate) struct EngineSettings {
            pub(crate) data_dir: PathBuf,
            pub(crate) durability: DurabilitySetting,
            pub(crate) order_actors: usize,
            pub(crate) auto_close_normal_ms: u32,
            pub(crate) auto_close_seckill_ms: u32,
            pub(crate) auto_close_group_buy_ms: u32,
            $(pub(crate) $name: $type,)*
        }

        impl Default for EngineSettings {
            fn default() -> Self {
                Self {
                    data_dir: PathBuf::from("stockade-data"),
                    durability: DurabilitySetting::Named(DurabilityName::Synced),
                    order_actors: 0,
                    auto_close_normal_ms: 1_800_000,
                    auto_close_seckill_ms: 1_800_000,
                    auto_close_group_buy_ms: 1_800_000,
                    $($name: $default,)*
                }
            }
        }

        impl EngineSettings {
            /// The engine's configuration.
            pub(crate) fn config(&self) -> Config {
                let config = Config::new(&self.data_dir)
                    .durability(self.durability.into())
                    .auto_close_ms(OrderType::Normal, self.auto_close_normal_ms)
                    .auto_close_ms(OrderType::Seckill, self.auto_close_seckill_ms)
                    .auto_close_ms(OrderType::GroupBuy, self.auto_close_group_buy_ms)
                    $(.$name(self.$name))*;
                if self.order_actors == 0 { config } else { config.order_actors(self.order_actors) }
            }
        }
    };
}

const DAY_MS: u64 = 24 * 3_600_000;

engine_settings! {
    in_flight_max: usize = 262_144,
    expiry_in_flight_max: usize = 2_048,
    waiters_max: usize = 64,
    promises_max: usize = 262_144,
    payment_grace_ms: u64 = 300_000,
    auto_confirm_ms: u64 = 10 * DAY_MS,
    after_sale_window_ms: u64 = 7 * DAY_MS,
    recovery_grace_ms: u64 = 60_000,
    idempotency_window_ms: u64 = DAY_MS,
    request_filter_bits: usize = 1 << 27,
    refusals_kept: usize = 1 << 20,
    stock_idle_ms: u64 = 60_000,
    disk_free_min_bytes: u64 = 256 << 20,
    ballast_bytes: u64 = 64 << 20,
    journal_queue_bytes_max: usize = 256 << 20,
    memory_journal_bytes_max: usize = 64 << 20,
    clock_step_max_ms: u64 = 60_000,
    tick_ms: u64 = 5,
    store: bool = true,
    store_cache_bytes: u64 = 128 << 20,
    checkpoint_interval_ms: u64 = 500,
    checkpoint_events_max: usize = 1 << 17,
    retain_closed_ms: u64 = 60_000,
    idempotency_hot_max: usize = 1_000_000,
    payment_window_ms: u64 = 180 * DAY_MS,
    journal_keep_min_bytes: u64 = 256 << 20,
    archive_after_ms: u64 = 90 * DAY_MS,
    control_socket: bool = true,
    tasks_max: usize = 10_000_000,
    task_topics_max: usize = 4_096,
    task_bytes_max: u64 = 4 << 30,
    task_batch_max: usize = 4_096,
    task_waiters_max: usize = 1_024,
    task_attempts_max: u16 = 16,
    task_visibility_ms_max: u64 = 12 * 3_600_000,
    task_dead_letters_max: usize = 100_000,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_setting_of_the_engine_is_there_with_its_default() {
        // The engine's fields are private: what they are shows in its Debug output. A server has a control socket.
        let settings = EngineSettings { control_socket: false, ..EngineSettings::default() };
        let engine = Config::new("stockade-data");
        assert_eq!(format!("{:#?}", settings.config()), format!("{engine:#?}"));
        let fields = |text: &str| {
            text.lines().filter(|line| line.starts_with("    ") && !line[4..].starts_with(' ')).count()
        };
        // The clock is no setting, search and the relay have sections of their own, a program's sinks none, and the one list
        // of the engine is three numbers here. The ends of lists and structures are lines, too.
        let of_sections = 2 + if cfg!(feature = "relay") { 3 } else { 0 };
        let of_engine = fields(&format!("{engine:#?}")) - 1 - of_sections - 1 + 2;
        let of_settings = toml::Table::try_from(&settings).unwrap().len();
        assert_eq!(of_settings, of_engine, "{engine:#?}");
    }
}
