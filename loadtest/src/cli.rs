//! The command line.

mod relay;
mod search;

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};
use serde::Deserialize;
use stockade::Durability;

pub(crate) use relay::{OutgoingArgs, RelayArgs, RelayChildArgs, RelaySinkArg, ServiceArgs, StallArgs};
pub(crate) use search::{SearchArgs, SearchChildArgs};

/// How long durability `buffered` may leave events unsynced, in ms.
const BUFFERED_INTERVAL_MS: u64 = 10;

/// Load tests of Stockade, most of them followed by an audit of the journal.
#[derive(Debug, Parser)]
#[command(
    name = "loadtest",
    version,
    arg_required_else_help = true,
    after_help = "Exit code: 0 on success, 1 when the audit fails or an expectation is not met, 2 when the test can't run."
)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) scenario: Scenario,

    /// Print one JSON object as the last line of stdout.
    #[arg(long, global = true)]
    pub(crate) json: bool,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Scenario {
    Run(RunArgs),
    Seckill(SeckillArgs),
    Throughput(Box<ThroughputArgs>),
    Crash(CrashArgs),
    Refusals(RefusalsArgs),
    Memory(MemoryArgs),
    Wave(WaveArgs),
    Recovery(RecoveryArgs),
    Soak(SoakArgs),
    Stall(StallArgs),
    Restart(RestartArgs),
    Openloop(OpenloopArgs),
    Import(ImportArgs),
    Delay(DelayArgs),
    Http(HttpArgs),
    Relay(Box<RelayArgs>),
    Search(Box<SearchArgs>),
    #[command(hide = true)]
    RelayChild(RelayChildArgs),
    #[command(hide = true)]
    SearchChild(SearchChildArgs),
    #[command(hide = true)]
    HttpServer(HttpServerArgs),
    #[command(hide = true)]
    CrashChild(CrashChildArgs),
    #[command(hide = true)]
    RestartChild(RestartChildArgs),
}

/// When an order is acknowledged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum DurabilityArg {
    /// After fdatasync: survives a power cut.
    Synced,
    /// After the write: survives a crash of the process.
    Buffered,
    /// At once: survives nothing.
    Memory,
}

impl DurabilityArg {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Synced => "synced",
            Self::Buffered => "buffered",
            Self::Memory => "memory",
        }
    }

    /// Whether there is a journal to audit afterwards.
    pub(crate) fn leaves_a_journal(self) -> bool {
        self != Self::Memory
    }
}

impl From<DurabilityArg> for Durability {
    fn from(durability: DurabilityArg) -> Self {
        match durability {
            DurabilityArg::Synced => Self::Synced,
            DurabilityArg::Buffered => Self::Buffered { interval_ms: BUFFERED_INTERVAL_MS },
            DurabilityArg::Memory => Self::Memory,
        }
    }
}

/// How the engine is set up.
#[derive(Clone, Debug, Args)]
pub(crate) struct EngineArgs {
    /// When an order is acknowledged.
    #[arg(long, value_enum, default_value = "synced")]
    pub(crate) durability: DurabilityArg,

    /// Number of order actors [default: one per core].
    #[arg(long, value_name = "N")]
    pub(crate) order_actors: Option<usize>,

    /// Where the data goes; must be empty or absent, and stays [default: a temporary directory, removed afterwards].
    #[arg(long, value_name = "DIR")]
    pub(crate) data: Option<PathBuf>,
}

/// Whether there is a store.
#[derive(Clone, Copy, Debug, Args)]
pub(crate) struct StoreArgs {
    /// Keep a store beside the journal, as an engine does unless told otherwise; `false` is for comparison.
    #[arg(long, default_value_t = true, value_name = "BOOL", action = clap::ArgAction::Set, num_args = 0..=1, default_missing_value = "true")]
    pub(crate) store: bool,
}

/// A scenario from a file: orders of every type, payments in time and late, refunds, teams, coupons; see
/// loadtest/scenarios. Ends when everything has come to rest, then checks engine and journal against what was acknowledged.
#[derive(Clone, Debug, Args)]
pub(crate) struct RunArgs {
    /// The scenario, in TOML.
    #[arg(value_name = "FILE")]
    pub(crate) file: PathBuf,

    /// Orders, members and units in percent of what the file says.
    #[arg(long, default_value_t = 100, value_name = "PERCENT", value_parser = clap::value_parser!(u64).range(1..=100_000))]
    pub(crate) scale: u64,

    /// Decides who buys what and how they behave [default: the file's].
    #[arg(long, value_name = "N")]
    pub(crate) seed: Option<u64>,

    /// When an order is acknowledged [default: the file's].
    #[arg(long, value_enum)]
    pub(crate) durability: Option<DurabilityArg>,

    /// Where the data goes; must be empty or absent, and stays [default: a temporary directory, removed afterwards].
    #[arg(long, value_name = "DIR")]
    pub(crate) data: Option<PathBuf>,
}

/// Orders over HTTP beside a bare handler that parses the same JSON and answers the same size, the gateway's stream of
/// lines, and an overload. Servers run in processes of their own; the ratios are of medians of turns in this one run.
#[derive(Clone, Debug, Args)]
pub(crate) struct HttpArgs {
    /// Only this part [default: all].
    #[arg(long, value_enum)]
    pub(crate) part: Option<HttpPart>,

    /// Connections, each with one request at a time.
    #[arg(long, default_value_t = 256, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=20_000))]
    pub(crate) connections: u64,

    /// How long a turn lasts.
    #[arg(long, default_value_t = 5, value_name = "SECONDS", value_parser = clap::value_parser!(u64).range(1..=600))]
    pub(crate) seconds: u64,

    /// Turns of each server.
    #[arg(long, default_value_t = 3, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=100))]
    pub(crate) rounds: u64,

    /// Connections that stream orders to the gateway.
    #[arg(long, default_value_t = 8, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=1_000))]
    pub(crate) gateway_connections: u64,

    /// Orders that they stream in a turn.
    #[arg(long, default_value_t = 2_000_000, value_name = "N")]
    pub(crate) gateway_orders: u64,

    /// How long the overload lasts.
    #[arg(long, default_value_t = 30, value_name = "SECONDS", value_parser = clap::value_parser!(u64).range(1..=3_600))]
    pub(crate) overload_seconds: u64,

    #[command(flatten)]
    pub(crate) engine: EngineArgs,
}

/// A part of the HTTP scenario.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum HttpPart {
    /// Orders that are placed.
    Submit,
    /// Orders that are refused as sold out.
    SoldOut,
    /// Streams of orders.
    Gateway,
    /// Five times the capacity.
    Overload,
}

/// The server of the HTTP scenario.
#[derive(Clone, Debug, Args)]
pub(crate) struct HttpServerArgs {
    #[arg(long, value_enum)]
    pub(crate) kind: ServerKind,

    #[arg(long)]
    pub(crate) in_flight_max: usize,

    #[command(flatten)]
    pub(crate) engine: EngineArgs,
}

/// Which server.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum ServerKind {
    /// The bare handler.
    Bare,
    /// The adapter.
    Stockade,
}

/// A flash sale: many buyers, few units; some pay, some cancel, some never pay, some ask twice. Ends when every unit
/// is sold and paid, then audits.
#[derive(Clone, Debug, Args)]
pub(crate) struct SeckillArgs {
    /// Buyers, each with one request.
    #[arg(long, default_value_t = 1_000_000, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=100_000_000))]
    pub(crate) buyers: u64,

    /// Units for sale, over all SKUs.
    #[arg(long, default_value_t = 100_000, value_name = "N")]
    pub(crate) units: u64,

    /// SKUs that the units are spread over.
    #[arg(long, default_value_t = 10, value_name = "N", value_parser = clap::value_parser!(u64).range(4..=1000))]
    pub(crate) skus: u64,

    /// Buyers in the shop at a time.
    #[arg(long, default_value_t = 4096, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=100_000))]
    pub(crate) concurrency: u64,

    /// Unpaid orders close after so many ms.
    #[arg(long, default_value_t = 1500, value_name = "MS")]
    pub(crate) auto_close_ms: u32,

    /// Decides who buys what, in which order, and how they behave.
    #[arg(long, default_value_t = 1, value_name = "N")]
    pub(crate) seed: u64,

    #[command(flatten)]
    pub(crate) engine: EngineArgs,
}

/// Plain orders as fast as they go, each client waiting for its answers.
#[derive(Clone, Debug, Args)]
pub(crate) struct ThroughputArgs {
    /// Clients.
    #[arg(long, default_value_t = 64, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=1_000_000))]
    pub(crate) clients: u64,

    /// Orders that each client has under way; above 1 they go as one batch.
    #[arg(long, default_value_t = 1, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=100_000))]
    pub(crate) in_flight: u64,

    /// Orders, over all clients.
    #[arg(long, default_value_t = 1_000_000, value_name = "N")]
    pub(crate) orders: u64,

    /// SKUs that are sold.
    #[arg(long, default_value_t = 1, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=10_000_000))]
    pub(crate) skus: u64,

    /// Lines of each order; at most as many as there are SKUs.
    #[arg(long, default_value_t = 1, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=100))]
    pub(crate) lines: u64,

    /// Decides which SKUs the orders name.
    #[arg(long, default_value_t = 1, value_name = "N")]
    pub(crate) seed: u64,

    /// Audit the journal afterwards [default: yes, unless durability is memory].
    #[arg(long, value_name = "BOOL", action = clap::ArgAction::Set, num_args = 0..=1, default_missing_value = "true")]
    pub(crate) audit: Option<bool>,

    #[command(flatten)]
    pub(crate) outgoing: OutgoingArgs,

    #[command(flatten)]
    pub(crate) store: StoreArgs,

    #[command(flatten)]
    pub(crate) engine: EngineArgs,
}

/// Kills an engine again and again with SIGKILL while it takes orders (at random, right after its start, around
/// checkpoints, and while its journal is trimmed) and looks for what it had acknowledged, in memory, journal and store.
#[derive(Clone, Debug, Args)]
pub(crate) struct CrashArgs {
    /// How often.
    #[arg(long, default_value_t = 20, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=10_000))]
    pub(crate) kills: u64,

    /// Buyers in the shop at a time.
    #[arg(long, default_value_t = 64, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=4096))]
    pub(crate) clients: u64,

    /// Decides who buys what, how they behave, and when the engine is killed.
    #[arg(long, default_value_t = 1, value_name = "N")]
    pub(crate) seed: u64,

    /// When an order is acknowledged. Durability `memory` makes no sense here.
    #[arg(long, value_enum, default_value = "synced")]
    pub(crate) durability: DurabilityArg,

    /// Where the data goes; must be empty or absent, and stays [default: a temporary directory, removed afterwards].
    #[arg(long, value_name = "DIR")]
    pub(crate) data: Option<PathBuf>,
}

/// The engine that `crash` kills.
#[derive(Clone, Debug, Args)]
pub(crate) struct CrashChildArgs {
    #[arg(long)]
    pub(crate) data: PathBuf,
    #[arg(long, value_enum)]
    pub(crate) durability: DurabilityArg,
    #[arg(long)]
    pub(crate) seed: u64,
    #[arg(long)]
    pub(crate) clients: u64,
    /// Number of the first request that this child makes on its own.
    #[arg(long)]
    pub(crate) first: u64,
    /// Number of the first request that it repeats.
    #[arg(long)]
    pub(crate) retry_from: u64,
    /// Number after the last request that it repeats.
    #[arg(long)]
    pub(crate) retry_to: u64,
    /// Requests of long ago that it repeats, and whose orders it shows.
    #[arg(long, value_delimiter = ',')]
    pub(crate) again: Vec<u64>,
    #[arg(long)]
    pub(crate) checkpoint_interval_ms: u64,
    #[arg(long)]
    pub(crate) checkpoint_events_max: usize,
    /// Keeps the whole journal.
    #[arg(long)]
    pub(crate) keep_journal: bool,
    /// Says `now` when the so manieth of these has begun.
    #[arg(long, value_enum)]
    pub(crate) signal: Option<SignalArg>,
    #[arg(long, default_value_t = 1)]
    pub(crate) signal_nth: u64,
    /// Closes in order after so many ms, and is not killed.
    #[arg(long)]
    pub(crate) stop_after_ms: Option<u64>,
}

/// What the engine that `crash` kills gives a signal for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum SignalArg {
    /// A checkpoint is made, and what follows it has begun.
    Checkpoint,
    /// The journal has a new beginning, and what is before it goes.
    Trim,
    /// A backup has copied something.
    Backup,
}

impl SignalArg {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Checkpoint => "checkpoint",
            Self::Backup => "backup",
            Self::Trim => "trim",
        }
    }
}

/// How fast a sold-out SKU is refused, from one thread.
#[derive(Clone, Debug, Args)]
pub(crate) struct RefusalsArgs {
    /// Requests.
    #[arg(long, default_value_t = 10_000_000, value_name = "N")]
    pub(crate) requests: u64,

    #[command(flatten)]
    pub(crate) engine: EngineArgs,
}

/// How much memory an open one-line order takes, timer and idempotency included (resident set, Linux only).
#[derive(Clone, Debug, Args)]
pub(crate) struct MemoryArgs {
    /// Open orders.
    #[arg(long, default_value_t = 5_000_000, value_name = "N")]
    pub(crate) orders: u64,

    /// When an order is acknowledged; the journal's own memory counts too.
    #[arg(long, value_enum, default_value = "memory")]
    pub(crate) durability: DurabilityArg,

    /// Where the data goes; must be empty or absent, and stays [default: a temporary directory, removed afterwards].
    #[arg(long, value_name = "DIR")]
    pub(crate) data: Option<PathBuf>,
}

/// Many orders with one deadline close at once while new orders go on, at a steady rate.
#[derive(Clone, Debug, Args)]
pub(crate) struct WaveArgs {
    /// Orders that close.
    #[arg(long, default_value_t = 1_000_000, value_name = "N")]
    pub(crate) orders: u64,

    /// New orders a second meanwhile; their latency counts from when they were due.
    #[arg(long, default_value_t = 20_000, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=10_000_000))]
    pub(crate) rate: u64,

    #[command(flatten)]
    pub(crate) engine: EngineArgs,
}

/// How fast a journal is recovered, and whether the state is the same afterwards, also with more order actors.
#[derive(Clone, Debug, Args)]
pub(crate) struct RecoveryArgs {
    /// Orders in the journal; a quarter of them paid, an eighth cancelled.
    #[arg(long, default_value_t = 1_000_000, value_name = "N")]
    pub(crate) orders: u64,

    #[command(flatten)]
    pub(crate) engine: EngineArgs,
}

/// Takes many orders and completes them, more than memory could hold: speed and memory must stay where they are, and
/// orders of long ago must be found again.
#[derive(Clone, Debug, Args)]
pub(crate) struct SoakArgs {
    /// Orders; an eighth of them cancelled, a sixteenth left to time out, the others paid, shipped and received.
    #[arg(long, default_value_t = 10_000_000, value_name = "N", value_parser = clap::value_parser!(u64).range(10..=10_000_000_000))]
    pub(crate) orders: u64,

    /// Most orders that are neither completed nor cancelled at a time; at least as many as --in-flight.
    #[arg(long, default_value_t = 1_000_000, value_name = "N")]
    pub(crate) open_max: u64,

    /// Clients.
    #[arg(long, default_value_t = 64, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=10_000))]
    pub(crate) clients: u64,

    /// Orders that each client submits as one batch, and then takes to their ends at the same time.
    #[arg(long, default_value_t = 256, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=4096))]
    pub(crate) in_flight: u64,

    /// Members who order again and again; fewer in a short run.
    #[arg(long, default_value_t = 200_000, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) members: u64,

    /// Unpaid orders close after so many ms.
    #[arg(long, default_value_t = 5_000, value_name = "MS", value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) auto_close_ms: u32,

    /// Completed and cancelled orders leave memory after so many ms.
    #[arg(long, default_value_t = 2_000, value_name = "MS", value_parser = clap::value_parser!(u64).range(1_000..))]
    pub(crate) retain_closed_ms: u64,

    /// Orders, spread over the run, that are looked for, submitted and paid again afterwards.
    #[arg(long, default_value_t = 10_000, value_name = "N", value_parser = clap::value_parser!(u64).range(..=1_000_000))]
    pub(crate) samples: u64,

    /// Decides who buys what and how they behave.
    #[arg(long, default_value_t = 1, value_name = "N")]
    pub(crate) seed: u64,

    #[command(flatten)]
    pub(crate) engine: EngineArgs,
}

/// How soon an engine with many orders is back, and whether it comes back as it was. Writes durability buffered, opens
/// again durability synced.
#[derive(Clone, Debug, Args)]
pub(crate) struct RestartArgs {
    /// Orders that are open.
    #[arg(long, default_value_t = 5_000_000, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=100_000_000))]
    pub(crate) open: u64,

    /// Orders before them that are completed or cancelled.
    #[arg(long, default_value_t = 10_000_000, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=1_000_000_000))]
    pub(crate) stored: u64,

    /// Members who order again and again.
    #[arg(long, default_value_t = 200_000, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) members: u64,

    /// Kill an engine on this data with SIGKILL, after it has taken some more orders, before the restart.
    #[arg(long)]
    pub(crate) kill: bool,

    /// Compare the state hash before and after.
    #[arg(long, default_value_t = true, value_name = "BOOL", action = clap::ArgAction::Set, num_args = 0..=1, default_missing_value = "true")]
    pub(crate) hash: bool,

    /// Longest time that opening may take, in ms.
    #[arg(long, default_value_t = 10_000, value_name = "MS")]
    pub(crate) ready_max_ms: u64,

    /// Number of order actors [default: one per core].
    #[arg(long, value_name = "N")]
    pub(crate) order_actors: Option<usize>,

    /// Where the data goes, and stays, with a note beside it; used again if the note says that it holds the same
    /// orders, else it must be empty or absent [default: a temporary directory, removed afterwards].
    #[arg(long, value_name = "DIR")]
    pub(crate) data: Option<PathBuf>,
}

/// The engine before the restart.
#[derive(Clone, Debug, Args)]
pub(crate) struct RestartChildArgs {
    #[arg(long)]
    pub(crate) data: PathBuf,
    #[arg(long)]
    pub(crate) open: u64,
    #[arg(long)]
    pub(crate) stored: u64,
    #[arg(long)]
    pub(crate) members: u64,
    #[arg(long, action = clap::ArgAction::Set)]
    pub(crate) hash: bool,
    #[arg(long)]
    pub(crate) order_actors: Option<usize>,
    /// Makes no data: takes so many orders and waits to be killed.
    #[arg(long)]
    pub(crate) tail: Option<u64>,
}

/// Orders at a steady rate whatever the engine does; unpaid, they close by their timers meanwhile. Latencies count from
/// when an order was due.
#[derive(Clone, Debug, Args)]
pub(crate) struct OpenloopArgs {
    /// Orders a second.
    #[arg(long, default_value_t = 200_000, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=10_000_000))]
    pub(crate) rate: u64,

    /// How long, in seconds.
    #[arg(long, default_value_t = 60, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=86_400))]
    pub(crate) seconds: u64,

    /// Most orders in one batch; what falls due within a millisecond goes together.
    #[arg(long, default_value_t = 1024, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=100_000))]
    pub(crate) batch: u64,

    /// Orders close after so many ms.
    #[arg(long, default_value_t = 10_000, value_name = "MS", value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) auto_close_ms: u32,

    /// Cancelled orders leave memory after so many ms.
    #[arg(long, default_value_t = 2_000, value_name = "MS", value_parser = clap::value_parser!(u64).range(1_000..))]
    pub(crate) retain_closed_ms: u64,

    /// Most that the store may be behind at any time, in ms.
    #[arg(long, value_name = "MS")]
    pub(crate) expect_lag_ms: Option<u64>,

    /// Most that the 99th percentile of the latencies may be, in µs.
    #[arg(long, value_name = "US")]
    pub(crate) expect_p99_us: Option<u64>,

    /// Audit the journal afterwards, if it is whole [default: yes, unless durability is memory].
    #[arg(long, value_name = "BOOL", action = clap::ArgAction::Set, num_args = 0..=1, default_missing_value = "true")]
    pub(crate) audit: Option<bool>,

    #[command(flatten)]
    pub(crate) store: StoreArgs,

    #[command(flatten)]
    pub(crate) engine: EngineArgs,
}

/// Takes over the open orders of another system, twice: the second time nothing may change. Then pays some of them under
/// the numbers they had there.
#[derive(Clone, Debug, Args)]
pub(crate) struct ImportArgs {
    /// Open orders.
    #[arg(long, default_value_t = 1_000_000, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=100_000_000))]
    pub(crate) orders: u64,

    /// SKUs that they name.
    #[arg(long, default_value_t = 1_000, value_name = "N", value_parser = clap::value_parser!(u64).range(2..=10_000_000))]
    pub(crate) skus: u64,

    /// Orders in one batch.
    #[arg(long, default_value_t = 2_000, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=100_000))]
    pub(crate) batch: u64,

    /// Batches under way at a time.
    #[arg(long, default_value_t = 8, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=1_000))]
    pub(crate) batches: u64,

    /// Orders, spread over all, that are paid afterwards.
    #[arg(long, default_value_t = 10_000, value_name = "N", value_parser = clap::value_parser!(u64).range(..=1_000_000))]
    pub(crate) samples: u64,

    #[command(flatten)]
    pub(crate) engine: EngineArgs,
}

/// The delay queue: pushes tasks in batches, looks at the memory that they take, pops them all when they are due, and then
/// measures how soon a blocked pop has its task after the task's deadline.
#[derive(Clone, Debug, Args)]
pub(crate) struct DelayArgs {
    /// Tasks.
    #[arg(long, default_value_t = 1_000_000, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=100_000_000))]
    pub(crate) tasks: u64,

    /// Tasks in one batch.
    #[arg(long, default_value_t = 1_000, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=65_536))]
    pub(crate) batch: u64,

    /// Clients, each with one batch under way.
    #[arg(long, default_value_t = 8, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=10_000))]
    pub(crate) clients: u64,

    /// Size of a body, in bytes.
    #[arg(long, default_value_t = 64, value_name = "BYTES", value_parser = clap::value_parser!(u64).range(..=65_536))]
    pub(crate) body: u64,

    /// The tasks' delays are spread over so many ms.
    #[arg(long, default_value_t = 10_000, value_name = "MS", value_parser = clap::value_parser!(u64).range(1..=3_600_000))]
    pub(crate) spread_ms: u64,

    /// The tasks expire so many ms after they are due; 0 for never. Long enough that none does.
    #[arg(long, default_value_t = 0, value_name = "MS")]
    pub(crate) ready_ttl_ms: u64,

    /// Callers who block, each in a topic of their own.
    #[arg(long, default_value_t = 16, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=1_000))]
    pub(crate) waiters: u64,

    /// How often each of them is woken.
    #[arg(long, default_value_t = 100, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=100_000))]
    pub(crate) wakes: u64,

    /// Most that the 99th percentile of the wake-ups may be late, in µs.
    #[arg(long, value_name = "US")]
    pub(crate) expect_wake_p99_us: Option<u64>,

    #[command(flatten)]
    pub(crate) store: StoreArgs,

    #[command(flatten)]
    pub(crate) engine: EngineArgs,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        use clap::CommandFactory;
        Cli::command().debug_assert();
    }

    #[test]
    fn the_audit_can_be_switched_either_way() {
        let audit = |args: &[&str]| {
            let cli = Cli::try_parse_from(["loadtest", "throughput"].iter().chain(args)).unwrap();
            match cli.scenario {
                Scenario::Throughput(args) => args.audit,
                _ => None,
            }
        };
        assert_eq!(audit(&[]), None);
        assert_eq!(audit(&["--audit"]), Some(true));
        assert_eq!(audit(&["--audit", "false"]), Some(false));
    }
}
