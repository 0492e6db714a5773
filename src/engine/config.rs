//! Configuration: every bound of the engine, with its unit and default.

use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};

use super::{SearchConfig, SearchMode};
use crate::domain::order_type::OrderType;
use crate::journal::Durability;
use crate::runtime::clock::Clock;

/// A day, in ms.
const DAY_MS: u64 = 24 * 3_600_000;

/// Most order actors.
pub const ORDER_ACTORS_MAX: usize = 256;

/// How an engine is set up. Made by [`Config::new`], changed field by field through the methods of the same name.
#[derive(Clone, Debug)]
pub struct Config {
    pub(crate) data_dir: PathBuf,
    pub(crate) durability: Durability,
    pub(crate) order_actors: usize,
    pub(crate) in_flight_max: usize,
    pub(crate) expiry_in_flight_max: usize,
    pub(crate) waiters_max: usize,
    pub(crate) promises_max: usize,
    pub(crate) auto_close_ms: [u32; 3],
    pub(crate) payment_grace_ms: u64,
    pub(crate) auto_confirm_ms: u64,
    pub(crate) after_sale_window_ms: u64,
    pub(crate) recovery_grace_ms: u64,
    pub(crate) idempotency_window_ms: u64,
    pub(crate) request_filter_bits: usize,
    pub(crate) refusals_kept: usize,
    pub(crate) stock_idle_ms: u64,
    pub(crate) disk_free_min_bytes: u64,
    pub(crate) ballast_bytes: u64,
    pub(crate) journal_queue_bytes_max: usize,
    pub(crate) memory_journal_bytes_max: usize,
    pub(crate) clock: Option<Clock>,
    pub(crate) clock_step_max_ms: u64,
    pub(crate) tick_ms: u64,
    pub(crate) store: bool,
    pub(crate) store_cache_bytes: u64,
    pub(crate) checkpoint_interval_ms: u64,
    pub(crate) checkpoint_events_max: usize,
    pub(crate) retain_closed_ms: u64,
    pub(crate) idempotency_hot_max: usize,
    pub(crate) payment_window_ms: u64,
    pub(crate) journal_keep_min_bytes: u64,
    pub(crate) archive_after_ms: u64,
    pub(crate) control_socket: bool,
    pub(crate) tasks_max: usize,
    pub(crate) task_topics_max: usize,
    pub(crate) task_bytes_max: u64,
    pub(crate) task_batch_max: usize,
    pub(crate) task_waiters_max: usize,
    pub(crate) task_attempts_max: u16,
    pub(crate) task_visibility_ms_max: u64,
    pub(crate) task_dead_letters_max: usize,
    pub(crate) search: SearchConfig,
    #[cfg(feature = "relay")]
    pub(crate) relay: crate::relay::RelayConfig,
    #[cfg(feature = "relay")]
    pub(crate) relay_sinks: crate::relay::ProgramSinks,
}

/// A setting outside its bounds.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{name} is {value}: it must be {bounds}")]
pub struct ConfigError {
    /// Which setting.
    pub name: &'static str,
    /// Its value.
    pub value: u64,
    /// What it may be.
    pub bounds: &'static str,
}

macro_rules! setters {
    ($($(#[$meta:meta])* $name:ident: $type:ty),* $(,)?) => {
        $(
            $(#[$meta])*
            #[must_use]
            pub fn $name(mut self, $name: $type) -> Self {
                self.$name = $name;
                self
            }
        )*
    };
}

impl Config {
    /// The defaults, with data in `data_dir`: durability `synced`, one order actor per core.
    ///
    /// ```
    /// use stockade::{Config, Durability};
    /// let config = Config::new("shop-data").durability(Durability::Synced).in_flight_max(100_000);
    /// assert!(config.validate().is_ok());
    /// ```
    pub fn new(data_dir: impl AsRef<Path>) -> Self {
        let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        Self {
            data_dir: data_dir.as_ref().to_path_buf(),
            durability: Durability::Synced,
            order_actors: cores.min(ORDER_ACTORS_MAX),
            in_flight_max: 262_144,
            expiry_in_flight_max: 2_048,
            waiters_max: 64,
            promises_max: 262_144,
            auto_close_ms: [30 * 60_000; 3],
            payment_grace_ms: 5 * 60_000,
            auto_confirm_ms: 10 * DAY_MS,
            after_sale_window_ms: 7 * DAY_MS,
            recovery_grace_ms: 60_000,
            idempotency_window_ms: 24 * 3_600_000,
            request_filter_bits: 1 << 27,
            refusals_kept: 1 << 20,
            stock_idle_ms: 60_000,
            disk_free_min_bytes: 256 << 20,
            ballast_bytes: 64 << 20,
            journal_queue_bytes_max: 256 << 20,
            memory_journal_bytes_max: 64 << 20,
            clock: None,
            clock_step_max_ms: 60_000,
            tick_ms: 5,
            store: true,
            store_cache_bytes: 128 << 20,
            checkpoint_interval_ms: 500,
            checkpoint_events_max: 1 << 17,
            retain_closed_ms: 60_000,
            idempotency_hot_max: 1_000_000,
            payment_window_ms: 180 * 24 * 3_600_000,
            journal_keep_min_bytes: 256 << 20,
            archive_after_ms: 90 * 24 * 3_600_000,
            control_socket: false,
            tasks_max: 10_000_000,
            task_topics_max: 4_096,
            task_bytes_max: 4 << 30,
            task_batch_max: 4_096,
            task_waiters_max: 1_024,
            task_attempts_max: 16,
            task_visibility_ms_max: 12 * 3_600_000,
            task_dead_letters_max: 100_000,
            search: SearchConfig::default(),
            #[cfg(feature = "relay")]
            relay: crate::relay::RelayConfig::default(),
            #[cfg(feature = "relay")]
            relay_sinks: crate::relay::ProgramSinks::default(),
        }
    }

    /// The relay's subscriptions. Default: none but those that were made while the engine ran.
    #[cfg(feature = "relay")]
    #[must_use]
    pub fn relay(mut self, relay: crate::relay::RelayConfig) -> Self {
        self.relay = relay;
        self
    }

    /// A sink of the program's own, for subscriptions with [`SinkSpec::Program`](crate::relay::SinkSpec::Program) of this
    /// name. It takes the place of an earlier one of that name.
    ///
    /// ```
    /// use std::sync::Arc;
    ///
    /// use stockade::relay::{Delivery, Message, Sink};
    ///
    /// struct Print;
    ///
    /// impl Sink for Print {
    ///     fn deliver(&self, message: Arc<Message>) -> Delivery {
    ///         Box::pin(async move {
    ///             println!("{}: {}", message.position, message.event);
    ///             Ok(())
    ///         })
    ///     }
    /// }
    ///
    /// let config = stockade::Config::new("shop-data").relay_sink("print", Arc::new(Print));
    /// # drop(config);
    /// ```
    #[cfg(feature = "relay")]
    #[must_use]
    pub fn relay_sink(mut self, name: &str, sink: std::sync::Arc<dyn crate::relay::Sink>) -> Self {
        self.relay_sinks.0.insert(name.to_owned(), sink);
        self
    }

    setters! {
        /// Order search. Default: [`SearchMode::Off`](crate::SearchMode::Off).
        search: SearchConfig,
        /// When a write is acknowledged. Default: [`Durability::Synced`].
        durability: Durability,
        /// Number of order actors, 1 to [`ORDER_ACTORS_MAX`]. Default: one per core.
        order_actors: usize,
        /// Most commands and questions under way; beyond it they are refused as `overloaded`. Default: 262,144.
        in_flight_max: usize,
        /// Most closes by timer, per order actor, that are appended and not durable yet: what bounds how
        /// long new orders wait behind a wave of expiries. Default: 2,048.
        expiry_in_flight_max: usize,
        /// Most callers waiting for one request id, one order, one payment, one member's limit or one promise. Default: 64.
        waiters_max: usize,
        /// Most asynchronous submits whose outcome is kept, some 200 bytes each: those under way, and the latest that are
        /// finished. When all of them are under way, a further one is refused as `overloaded`. 1 to 16,777,216. Default:
        /// 262,144.
        promises_max: usize,
        /// How far a started payment moves its order's deadline, once, in ms. Default: 5 minutes.
        payment_grace_ms: u64,
        /// How long after its last package an order counts as received, unless a refund of it is open, in ms. Default: 10
        /// days.
        auto_confirm_ms: u64,
        /// For how long after its completion refunds of an order may be applied for, in ms. Default: 7 days.
        after_sale_window_ms: u64,
        /// How long after a restart overdue orders wait for their payments before they are closed, in ms. Default:
        /// 60,000.
        recovery_grace_ms: u64,
        /// For how long, at least, the front door knows that a request has entered, in ms; its order actor knows it for
        /// as long as the order is in memory. Default: 24 hours.
        idempotency_window_ms: u64,
        /// Size of each of the two generations of the request filter, in bits, a power of two. Default: 2^27
        /// (16 MiB), good for about 20 M requests per window.
        request_filter_bits: usize,
        /// How many recent refusals are remembered, a power of two, 8 bytes each. Default: 1,048,576.
        refusals_kept: usize,
        /// After how long without work a stock actor goes to rest, in ms. Default: 60,000.
        stock_idle_ms: u64,
        /// Free disk space below which new orders are refused, in bytes. Default: 256 MiB.
        disk_free_min_bytes: u64,
        /// Size of the file that can be deleted to make room for a restart on a full disk, in bytes. Default: 64 MiB.
        ballast_bytes: u64,
        /// Most bytes handed to the journal and not written yet; beyond it new orders are refused as `overloaded`.
        /// Default: 256 MiB.
        journal_queue_bytes_max: usize,
        /// Most bytes of events that durability `memory` keeps for subscribers. Default: 64 MiB.
        memory_journal_bytes_max: usize,
        /// Difference between wall clock and engine clock that is not followed without a command, in ms. Default:
        /// 60,000.
        clock_step_max_ms: u64,
        /// How often timers are looked at, in ms, 1 to 1000. Default: 5.
        tick_ms: u64,
        /// Whether the engine keeps a store beside its journal: without one, every order stays in memory and the journal
        /// is never trimmed. Can't be switched off again once the journal has been trimmed. Default: yes.
        store: bool,
        /// Memory for the store's cache, in bytes. Default: 128 MiB.
        store_cache_bytes: u64,
        /// How often the store takes in what has become durable, in ms, 1 to 3,600,000. Default: 500.
        checkpoint_interval_ms: u64,
        /// Most events that one checkpoint takes in, which bounds its memory; while more are waiting, the next checkpoint
        /// follows at once. 1 to 1,048,576. Default: 131,072.
        checkpoint_events_max: usize,
        /// How long a completed or cancelled order stays in memory, in ms, at least 1,000; then it is read from the store.
        /// Default: 60,000.
        retain_closed_ms: u64,
        /// Most completed and cancelled orders, with their request ids, that stay in memory for `retain_closed_ms`, over
        /// all order actors; beyond it the oldest leave after a second. Default: 1,000,000.
        idempotency_hot_max: usize,
        /// For how long, at least, a payment id is known after its payment, in ms. Default: 180 days.
        payment_window_ms: u64,
        /// Bytes of journal that stay for inspection, although the store has taken them in. Default: 256 MiB.
        journal_keep_min_bytes: u64,
        /// How long after its last event a closed order moves to a cold file, where it is found by its number and its
        /// external number, and no longer in its member's list; in ms, 0 for never. Default: 90 days.
        archive_after_ms: u64,
        /// Whether the engine listens on a unix socket in its data directory, `control`, for `stockade inspect` and
        /// `stockade backup`. Only its own user may connect. Where the socket can't be made, for one because its path
        /// has more than 100 bytes, the log says so and the engine goes on without. Default: no.
        control_socket: bool,
        /// Most live tasks of the delay queue over all topics, dead letters included; beyond it pushes are refused as
        /// `overloaded`. 1 to 1,000,000,000. Default: 10,000,000.
        tasks_max: usize,
        /// Most topics that have tasks; beyond it pushes into new ones are refused as `overloaded`. 1 to 1,000,000.
        /// Default: 4,096.
        task_topics_max: usize,
        /// Most bytes of ids and bodies of live tasks; beyond it pushes are refused as `overloaded`. Default: 4 GiB.
        task_bytes_max: u64,
        /// Most tasks that one call pushes, pops or reserves, 1 to 65,536. Default: 4,096.
        task_batch_max: usize,
        /// Most callers waiting for a task of one topic; a further one is refused as `overloaded`. 1 to 65,536.
        /// Default: 1,024.
        task_waiters_max: usize,
        /// How often a task may be reserved that doesn't say so itself, at least once. Default: 16.
        task_attempts_max: u16,
        /// Longest time that a task may be reserved for, in ms, 1 to 31,622,400,000 (a year). Default: 12 hours.
        task_visibility_ms_max: u64,
        /// Most dead letters of one topic, 1 to 10,000,000. Tasks are no longer handed out by `reserve` while those that
        /// are reserved could make more. Default: 100,000.
        task_dead_letters_max: usize,
    }

    /// How long an order of this type may stay unpaid, in ms. Default: 30 minutes.
    #[must_use]
    pub fn auto_close_ms(mut self, order_type: OrderType, auto_close_ms: u32) -> Self {
        self.auto_close_ms[order_type as usize] = auto_close_ms;
        self
    }

    /// How long after its last package an order counts as received, in days.
    #[must_use]
    pub fn auto_confirm_days(self, days: u32) -> Self {
        self.auto_confirm_ms(u64::from(days) * DAY_MS)
    }

    /// The clock to run by, for tests; the system's by default.
    #[must_use]
    pub fn clock(mut self, clock: Clock) -> Self {
        self.clock = Some(clock);
        self
    }

    /// Checks every setting.
    ///
    /// # Errors
    /// The first setting outside its bounds.
    pub fn validate(&self) -> Result<(), ConfigError> {
        between("order_actors", self.order_actors as u64, 1..=ORDER_ACTORS_MAX as u64, "1 to 256")?;
        between("in_flight_max", self.in_flight_max as u64, 1..=1 << 24, "1 to 16,777,216")?;
        between("expiry_in_flight_max", self.expiry_in_flight_max as u64, 1..=1 << 24, "1 to 16,777,216")?;
        between("waiters_max", self.waiters_max as u64, 1..=1 << 16, "1 to 65,536")?;
        between("promises_max", self.promises_max as u64, 1..=1 << 24, "1 to 16,777,216")?;
        power("request_filter_bits", self.request_filter_bits)?;
        power("refusals_kept", self.refusals_kept)?;
        between("tick_ms", self.tick_ms, 1..=1_000, "1 to 1000")?;
        positive("auto_confirm_ms", self.auto_confirm_ms)?;
        positive("idempotency_window_ms", self.idempotency_window_ms)?;
        positive("stock_idle_ms", self.stock_idle_ms)?;
        positive("clock_step_max_ms", self.clock_step_max_ms)?;
        positive("journal_queue_bytes_max", self.journal_queue_bytes_max as u64)?;
        between("checkpoint_interval_ms", self.checkpoint_interval_ms, 1..=3_600_000, "1 to 3,600,000")?;
        between("checkpoint_events_max", self.checkpoint_events_max as u64, 1..=1 << 20, "1 to 1,048,576")?;
        between("retain_closed_ms", self.retain_closed_ms, 1_000..=u64::MAX, "at least 1,000")?;
        positive("payment_window_ms", self.payment_window_ms)?;
        // A retry within the window must find its order.
        let holds = self.archive_after_ms == 0 || self.archive_after_ms >= self.idempotency_window_ms;
        check("archive_after_ms", self.archive_after_ms, holds, "0 or at least idempotency_window_ms")?;
        for auto_close_ms in self.auto_close_ms {
            positive("auto_close_ms", u64::from(auto_close_ms))?;
        }
        self.validate_tasks()?;
        self.validate_search()?;
        if let Durability::Buffered { interval_ms } = self.durability {
            between("durability.interval_ms", interval_ms, 1..=60_000, "1 to 60,000")?;
        }
        Ok(())
    }

    /// Search's settings.
    fn validate_search(&self) -> Result<(), ConfigError> {
        let SearchConfig { mode, max_lag_ms, refresh_ms, memory_bytes, lag_bytes_max } = &self.search;
        between("search.max_lag_ms", *max_lag_ms, 1..=86_400_000, "1 to 86,400,000")?;
        between("search.refresh_ms", *refresh_ms, 10..=10_000, "10 to 10,000")?;
        let bounds = "15,728,640 to 4,293,918,720";
        between("search.memory_bytes", *memory_bytes as u64, 15 << 20..=(4 << 30) - (1 << 20), bounds)?;
        between("search.lag_bytes_max", *lag_bytes_max, 1 << 20..=u64::MAX, "at least 1,048,576")?;
        let has_store = self.store && self.durability != Durability::Memory;
        let needs_index = *mode == SearchMode::On && !cfg!(feature = "search");
        if *mode != SearchMode::Off && (!has_store || needs_index) {
            let bounds = "off without a store, and not on without the feature `search`";
            return Err(ConfigError { name: "search.mode", value: *mode as u64, bounds });
        }
        Ok(())
    }

    /// The delay queue's settings.
    fn validate_tasks(&self) -> Result<(), ConfigError> {
        between("tasks_max", self.tasks_max as u64, 1..=1_000_000_000, "1 to 1,000,000,000")?;
        between("task_topics_max", self.task_topics_max as u64, 1..=1_000_000, "1 to 1,000,000")?;
        positive("task_bytes_max", self.task_bytes_max)?;
        between("task_batch_max", self.task_batch_max as u64, 1..=1 << 16, "1 to 65,536")?;
        between("task_waiters_max", self.task_waiters_max as u64, 1..=1 << 16, "1 to 65,536")?;
        positive("task_attempts_max", self.task_attempts_max.into())?;
        let year_ms = 366 * 24 * 3_600_000;
        between("task_visibility_ms_max", self.task_visibility_ms_max, 1..=year_ms, "1 to 31,622,400,000")?;
        between("task_dead_letters_max", self.task_dead_letters_max as u64, 1..=10_000_000, "1 to 10,000,000")
    }
}

/// Checks that a setting is one of these values.
fn between(
    name: &'static str,
    value: u64,
    allowed: RangeInclusive<u64>,
    bounds: &'static str,
) -> Result<(), ConfigError> {
    check(name, value, allowed.contains(&value), bounds)
}

/// Checks a size that must be a power of two.
fn power(name: &'static str, value: usize) -> Result<(), ConfigError> {
    let holds = value.is_power_of_two() && (2_048..=1 << 36).contains(&value);
    check(name, value as u64, holds, "a power of two, at least 2,048 and at most 2^36")
}

fn positive(name: &'static str, value: u64) -> Result<(), ConfigError> {
    check(name, value, value > 0, "at least 1")
}

fn check(name: &'static str, value: u64, holds: bool, bounds: &'static str) -> Result<(), ConfigError> {
    if holds { Ok(()) } else { Err(ConfigError { name, value, bounds }) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_setting_outside_its_bounds_is_named() {
        let config = || Config::new("x");
        assert_eq!(config().validate(), Ok(()));
        let name = |config: Config| config.validate().unwrap_err().name;
        assert_eq!(name(config().order_actors(0)), "order_actors");
        assert_eq!(name(config().in_flight_max(0)), "in_flight_max");
        assert_eq!(name(config().promises_max(0)), "promises_max");
        assert_eq!(name(config().request_filter_bits(1000)), "request_filter_bits");
        assert_eq!(name(config().refusals_kept(0)), "refusals_kept");
        assert_eq!(name(config().tick_ms(0)), "tick_ms");
        assert_eq!(name(config().auto_close_ms(OrderType::Normal, 0)), "auto_close_ms");
        assert_eq!(name(config().checkpoint_interval_ms(0)), "checkpoint_interval_ms");
        assert_eq!(name(config().checkpoint_events_max(0)), "checkpoint_events_max");
        assert_eq!(name(config().retain_closed_ms(999)), "retain_closed_ms");
        assert_eq!(name(config().payment_window_ms(0)), "payment_window_ms");
        assert_eq!(name(config().archive_after_ms(1)), "archive_after_ms");
        assert_eq!(name(config().tasks_max(0)), "tasks_max");
        assert_eq!(name(config().task_topics_max(0)), "task_topics_max");
        assert_eq!(name(config().task_bytes_max(0)), "task_bytes_max");
        assert_eq!(name(config().task_batch_max(0)), "task_batch_max");
        assert_eq!(name(config().task_waiters_max(0)), "task_waiters_max");
        assert_eq!(name(config().task_attempts_max(0)), "task_attempts_max");
        assert_eq!(name(config().task_visibility_ms_max(0)), "task_visibility_ms_max");
        assert_eq!(name(config().task_dead_letters_max(0)), "task_dead_letters_max");
        let search = |change: fn(&mut SearchConfig)| {
            let mut search = SearchConfig { mode: SearchMode::Fallback, ..SearchConfig::default() };
            change(&mut search);
            config().search(search)
        };
        assert_eq!(search(|_| ()).validate(), Ok(()));
        assert_eq!(name(search(|search| search.max_lag_ms = 0)), "search.max_lag_ms");
        assert_eq!(name(search(|search| search.refresh_ms = 9)), "search.refresh_ms");
        assert_eq!(name(search(|search| search.memory_bytes = 1 << 20)), "search.memory_bytes");
        assert_eq!(name(search(|search| search.lag_bytes_max = 1)), "search.lag_bytes_max");
        assert_eq!(name(search(|_| ()).store(false)), "search.mode");
        assert_eq!(name(search(|_| ()).durability(Durability::Memory)), "search.mode");
        let buffered = Durability::Buffered { interval_ms: 0 };
        assert_eq!(name(config().durability(buffered)), "durability.interval_ms");
    }
}
