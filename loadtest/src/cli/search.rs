//! Options of the search scenario.

use std::path::PathBuf;

use clap::Args;

use super::{DurabilityArg, EngineArgs};

/// Order search over many orders: how fast they are indexed, how soon an order is found under a steady load, how long
/// queries take while indexing goes on, how long the index takes to be built anew, and whether it is the store's after all
/// that, and after kills with SIGKILL while it commits.
#[derive(Clone, Debug, Args)]
pub(crate) struct SearchArgs {
    /// Orders that the index is filled with: a fifth still open, paid or shipped, the others completed or cancelled.
    #[arg(long, default_value_t = 2_000_000, value_name = "N", value_parser = clap::value_parser!(u64).range(100..=100_000_000))]
    pub(crate) orders: u64,

    /// SKUs that they name, each with a title of its own.
    #[arg(long, default_value_t = 2_000, value_name = "N", value_parser = clap::value_parser!(u64).range(20..=1_000_000))]
    pub(crate) skus: u64,

    /// Members who order again and again.
    #[arg(long, default_value_t = 100_000, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) members: u64,

    /// New orders a second while the lag is measured.
    #[arg(long, default_value_t = 50_000, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=10_000_000))]
    pub(crate) rate: u64,

    /// New orders a second while queries are measured.
    #[arg(long, default_value_t = 5_000, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=10_000_000))]
    pub(crate) beside: u64,

    /// How long each of the two takes.
    #[arg(long, default_value_t = 20, value_name = "SECONDS", value_parser = clap::value_parser!(u64).range(1..=86_400))]
    pub(crate) seconds: u64,

    /// Clients who search, each with one query at a time.
    #[arg(long, default_value_t = 1, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=1_000))]
    pub(crate) clients: u64,

    /// How often an engine, with an index of its own, is killed while it commits.
    #[arg(long, default_value_t = 10, value_name = "N", value_parser = clap::value_parser!(u64).range(..=10_000))]
    pub(crate) kills: u64,

    /// How often what was taken in becomes searchable, in ms.
    #[arg(long, default_value_t = 200, value_name = "MS", value_parser = clap::value_parser!(u64).range(10..=10_000))]
    pub(crate) refresh_ms: u64,

    /// Least events a second that are indexed.
    #[arg(long, value_name = "N")]
    pub(crate) expect_events_per_s: Option<u64>,

    /// Most that the 99th percentile of the lag may be, in ms.
    #[arg(long, value_name = "MS")]
    pub(crate) expect_lag_p99_ms: Option<u64>,

    /// Most that the 99th percentile of queries with at most 100,000 hits may be, in ms.
    #[arg(long, value_name = "MS")]
    pub(crate) expect_few_p99_ms: Option<u64>,

    /// Most that the 99th percentile of queries with more hits may be, in ms.
    #[arg(long, value_name = "MS")]
    pub(crate) expect_many_p99_ms: Option<u64>,

    /// Decides who buys what, how they behave, and when the engine is killed.
    #[arg(long, default_value_t = 1, value_name = "N")]
    pub(crate) seed: u64,

    #[command(flatten)]
    pub(crate) engine: EngineArgs,
}

/// The engine that `search` kills.
#[derive(Clone, Debug, Args)]
pub(crate) struct SearchChildArgs {
    #[arg(long)]
    pub(crate) data: PathBuf,
    #[arg(long, value_enum)]
    pub(crate) durability: DurabilityArg,
    #[arg(long)]
    pub(crate) seed: u64,
    /// Its first buyer.
    #[arg(long)]
    pub(crate) first: u64,
    /// Only looks at what is there, and ends in order.
    #[arg(long)]
    pub(crate) look: bool,
}
