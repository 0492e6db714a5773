//! The brokers of a run: where they are, what they are to keep, and how they go away and come back.

use stockade::relay::{EventChoice, RetrySpec, SinkSpec, Start, SubscriptionSpec};
use tokio::task::JoinHandle;

use crate::Failure;
use crate::acked::Problems;
use crate::brokers::control::{Control, OwnNats};
use crate::brokers::nats::Nats;
use crate::brokers::rabbitmq::Rabbit;
use crate::brokers::{Inbox, rabbitmq_of_the_environment, setting, unique_name};
use crate::cli::{RelayArgs, ServiceArgs};
use crate::relayed::CHOSEN;

/// Most journal that is kept for a subscription, in bytes: more than any run needs.
const LAG_BYTES_MAX: u64 = 1 << 36;

/// Most messages on their way.
pub(crate) const IN_FLIGHT_MAX: u64 = 4_096;

/// A subscription to all that is chosen, from the first event on.
pub(crate) fn subscription(sink: SinkSpec, start: Start) -> SubscriptionSpec {
    SubscriptionSpec {
        events: EventChoice(CHOSEN.map(str::to_owned).to_vec()),
        start,
        sink,
        // A broker that comes back is found soon.
        retry: RetrySpec { backoff_ms: 50, backoff_ms_max: 1_000, ..RetrySpec::default() },
        in_flight_max: IN_FLIGHT_MAX as u32,
        lag_bytes_max: LAG_BYTES_MAX,
        dead_letters_max: 1_000_000,
        snapshot: false,
        personal: Default::default(),
    }
}

/// What a broker is asked for by.
enum Kind {
    Rabbit(Rabbit),
    Nats(Nats),
}

/// One broker, with who consumes from it.
pub(crate) struct Service {
    kind: Kind,
    pub(crate) inbox: Inbox,
    consumer: JoinHandle<()>,
    control: Option<Control>,
}

impl Service {
    /// The subscription's name, which is the prefix of its figures as well.
    pub(crate) fn name(&self) -> &'static str {
        match self.kind {
            Kind::Rabbit(_) => "rabbitmq",
            Kind::Nats(_) => "nats",
        }
    }

    fn start(kind: Kind, control: Option<Control>) -> Self {
        let inbox = Inbox::default();
        let consumer = match &kind {
            Kind::Rabbit(rabbit) => tokio::spawn(rabbit.clone().consume(inbox.clone())),
            Kind::Nats(nats) => tokio::spawn(nats.clone().consume(inbox.clone())),
        };
        Self { kind, inbox, consumer, control }
    }

    /// The subscription to it.
    pub(crate) fn spec(&self, mirror: bool) -> SubscriptionSpec {
        let sink = match &self.kind {
            Kind::Rabbit(rabbit) => SinkSpec::Rabbitmq(rabbit.spec(mirror)),
            Kind::Nats(nats) => SinkSpec::Nats(nats.spec()),
        };
        subscription(sink, Start::First)
    }

    pub(crate) fn go_away(&mut self) -> Result<(), Failure> {
        self.control.as_mut().map_or(Ok(()), Control::stop)
    }

    pub(crate) fn come_back(&mut self) -> Result<(), Failure> {
        self.control.as_mut().map_or(Ok(()), Control::start)
    }

    /// Ends the consumer and deletes what the run has made.
    pub(crate) async fn end(self, problems: &mut Problems) {
        self.inbox.stop();
        if self.consumer.await.is_err() {
            problems.add(|| "the consumer has failed".to_owned());
        }
        let removed = match &self.kind {
            Kind::Rabbit(rabbit) => rabbit.remove().await,
            Kind::Nats(nats) => nats.remove().await,
        };
        if let Err(error) = removed {
            eprintln!("warning: the queue or stream of this run could not be deleted: {error}");
        }
    }
}

/// The brokers that a run asks for, with their consumers.
pub(crate) fn start(args: &RelayArgs) -> Result<Vec<Service>, Failure> {
    let mut services = Vec::new();
    if args.broker.has_rabbitmq() {
        let rabbit = rabbit(&args.services);
        let control = Control::Commands {
            stop: setting(&args.services.rabbitmq_stop, "STOCKADE_RABBITMQ_STOP")
                .unwrap_or_else(|| "rabbitmqctl stop_app".to_owned()),
            start: setting(&args.services.rabbitmq_start, "STOCKADE_RABBITMQ_START")
                .unwrap_or_else(|| "rabbitmqctl start_app".to_owned()),
            address: rabbit.address.clone(),
        };
        services.push(Service::start(Kind::Rabbit(rabbit), Some(control)));
    }
    if args.broker.has_nats() {
        let (address, control) = nats(&args.services, args.stops)?;
        services.push(Service::start(Kind::Nats(Nats { address, name: unique_name() }), control));
    }
    Ok(services)
}

/// A RabbitMQ with names for this run.
pub(crate) fn rabbit(args: &ServiceArgs) -> Rabbit {
    let rabbit = rabbitmq_of_the_environment();
    Rabbit { address: args.rabbitmq.clone().unwrap_or(rabbit.address), ..rabbit }
}

fn nats(args: &ServiceArgs, stops: u64) -> Result<(String, Option<Control>), Failure> {
    let Some(address) = setting(&args.nats, "STOCKADE_NATS") else {
        let own = OwnNats::start_new(&args.nats_server)?;
        return Ok((own.address(), Some(Control::Own(own))));
    };
    let stop = setting(&args.nats_stop, "STOCKADE_NATS_STOP");
    let start = setting(&args.nats_start, "STOCKADE_NATS_START");
    match (stop, start) {
        (Some(stop), Some(start)) => Ok((address.clone(), Some(Control::Commands { stop, start, address }))),
        _ if stops == 0 => Ok((address, None)),
        _ => Err("stopping a NATS server that is there needs --nats-stop and --nats-start".into()),
    }
}
