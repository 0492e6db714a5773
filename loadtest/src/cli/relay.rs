//! Options of the scenarios about what leaves the engine: relay and dead sinks.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

use super::EngineArgs;

/// Relays orders to a real broker while it is stopped and started and the engine is killed with SIGKILL, and holds what
/// has come against journal and store: every event at least once, those of one order in sequence, none missing; a table
/// that is built from messages alone must be the store's. With `--refuse`: a queue that is full, dead letters, and what
/// that does to orders.
#[derive(Clone, Debug, Args)]
pub(crate) struct RelayArgs {
    /// Orders; most are paid, shipped and received, some cancelled, some left to time out.
    #[arg(long, default_value_t = 200_000, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=100_000_000))]
    pub(crate) orders: u64,

    /// Orders a second at the most.
    #[arg(long, default_value_t = 4_000, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=10_000_000))]
    pub(crate) rate: u64,

    /// Where to.
    #[arg(long, value_enum, default_value = "both")]
    pub(crate) broker: BrokerArg,

    /// How often the broker is stopped and started.
    #[arg(long, default_value_t = 2, value_name = "N", value_parser = clap::value_parser!(u64).range(..=100))]
    pub(crate) stops: u64,

    /// How long it is gone each time, in ms.
    #[arg(long, default_value_t = 3_000, value_name = "MS", value_parser = clap::value_parser!(u64).range(..=600_000))]
    pub(crate) down_ms: u64,

    /// How often the engine is killed; some of it while the broker is gone.
    #[arg(long, default_value_t = 3, value_name = "N", value_parser = clap::value_parser!(u64).range(..=1_000))]
    pub(crate) kills: u64,

    /// Let the journal be trimmed as far as neither store nor relay needs it. Then what came is held against the versions of
    /// the stored orders, and against what is left of the journal.
    #[arg(long)]
    pub(crate) trim: bool,

    /// Use a quorum queue.
    #[arg(long)]
    pub(crate) mirror: bool,

    /// A queue that refuses what is beyond its length: retries, dead letters, then room and a requeue. Places its orders in
    /// turns with and without a subscription, and compares their rates. RabbitMQ alone; nothing is stopped or killed.
    #[arg(long)]
    pub(crate) refuse: bool,

    /// Longest that the queue of `--refuse` may be.
    #[arg(long, default_value_t = 1_000, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pub(crate) queue_max: u32,

    /// Turns of `--refuse`, of each kind.
    #[arg(long, default_value_t = 3, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=100))]
    pub(crate) rounds: u64,

    /// Least that the rate of orders beside a queue that refuses may be, in percent of that without a subscription.
    #[arg(long, value_name = "PERCENT")]
    pub(crate) expect_percent: Option<f64>,

    /// Decides who buys what and how they behave.
    #[arg(long, default_value_t = 1, value_name = "N")]
    pub(crate) seed: u64,

    #[command(flatten)]
    pub(crate) services: ServiceArgs,

    #[command(flatten)]
    pub(crate) engine: EngineArgs,
}

/// Which broker.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum BrokerArg {
    /// RabbitMQ.
    Rabbitmq,
    /// NATS JetStream.
    Nats,
    /// A subscription to each.
    Both,
}

impl BrokerArg {
    pub(crate) fn has_rabbitmq(self) -> bool {
        self != Self::Nats
    }

    pub(crate) fn has_nats(self) -> bool {
        self != Self::Rabbitmq
    }
}

/// Where brokers are, and how they are stopped and started.
#[derive(Clone, Debug, Args)]
pub(crate) struct ServiceArgs {
    /// RabbitMQ [default: STOCKADE_RABBITMQ, else 127.0.0.1:5672]. User and password come from STOCKADE_RABBITMQ_USER and
    /// STOCKADE_RABBITMQ_PASSWORD, else they are guest and guest.
    #[arg(long, value_name = "HOST:PORT")]
    pub(crate) rabbitmq: Option<String>,

    /// Stops it, in a shell [default: STOCKADE_RABBITMQ_STOP, else rabbitmqctl stop_app].
    #[arg(long, value_name = "COMMAND")]
    pub(crate) rabbitmq_stop: Option<String>,

    /// Starts it [default: STOCKADE_RABBITMQ_START, else rabbitmqctl start_app].
    #[arg(long, value_name = "COMMAND")]
    pub(crate) rabbitmq_start: Option<String>,

    /// A NATS server; `--stops` needs the commands for it then [default: STOCKADE_NATS, else a server of the test's own, which
    /// is killed with SIGKILL and started again].
    #[arg(long, value_name = "HOST:PORT")]
    pub(crate) nats: Option<String>,

    /// Stops it [default: STOCKADE_NATS_STOP].
    #[arg(long, value_name = "COMMAND")]
    pub(crate) nats_stop: Option<String>,

    /// Starts it [default: STOCKADE_NATS_START].
    #[arg(long, value_name = "COMMAND")]
    pub(crate) nats_start: Option<String>,

    /// The program of the test's own NATS server.
    #[arg(long, default_value = "nats-server", value_name = "FILE")]
    pub(crate) nats_server: PathBuf,
}

/// What is on beside the load. The same orders go to an engine without it first.
#[derive(Clone, Debug, Args)]
pub(crate) struct OutgoingArgs {
    /// Keep a search index meanwhile.
    #[arg(long)]
    pub(crate) search: bool,

    /// Relay every event meanwhile.
    #[arg(long, value_enum)]
    pub(crate) relay: Option<RelaySinkArg>,

    #[command(flatten)]
    pub(crate) services: ServiceArgs,
}

/// Where events are relayed to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum RelaySinkArg {
    /// To a sink in this process that takes everything at once: what the relay itself costs.
    Null,
    /// To RabbitMQ.
    Rabbitmq,
}

/// Subscriptions to a sink that is dead, with much room and with little, and a search index that is switched off, while
/// orders are taken and completed: memory must stay where it is, the journal must be kept for the one and let go of for the
/// other, and both must go on afterwards as they should.
#[derive(Clone, Debug, Args)]
pub(crate) struct StallArgs {
    /// Orders; an eighth of them cancelled, a sixteenth as well, the others paid, shipped and received.
    #[arg(long, default_value_t = 2_000_000, value_name = "N", value_parser = clap::value_parser!(u64).range(1_000..=1_000_000_000))]
    pub(crate) orders: u64,

    /// Most journal that is kept for the subscription with little room, in MiB.
    #[arg(long, default_value_t = 32, value_name = "MIB", value_parser = clap::value_parser!(u64).range(1..=65_536))]
    pub(crate) lag_mib_max: u64,

    /// Clients.
    #[arg(long, default_value_t = 16, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=10_000))]
    pub(crate) clients: u64,

    /// Orders that each client has under way.
    #[arg(long, default_value_t = 64, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=10_000))]
    pub(crate) in_flight: u64,

    /// Decides who buys what and how they behave.
    #[arg(long, default_value_t = 1, value_name = "N")]
    pub(crate) seed: u64,

    #[command(flatten)]
    pub(crate) engine: EngineArgs,
}

/// The engine that `relay` kills.
#[derive(Clone, Debug, Args)]
pub(crate) struct RelayChildArgs {
    #[command(flatten)]
    pub(crate) engine: EngineArgs,
    #[arg(long)]
    pub(crate) seed: u64,
    #[arg(long)]
    pub(crate) rate: u64,
    /// Its first buyer.
    #[arg(long)]
    pub(crate) first: u64,
    /// The buyer after its last one.
    #[arg(long)]
    pub(crate) orders: u64,
    #[arg(long)]
    pub(crate) trim: bool,
}
