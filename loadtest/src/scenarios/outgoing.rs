//! Search and relay beside another scenario: what they add to the configuration, how far behind they are when the load
//! ends, and how long they take to catch up.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use stockade::relay::{
    Delivery, Message, RelayConfig, Sink, SinkSpec, Start, SubscriptionSpec, SubscriptionState,
};
use stockade::{Config, Engine};

use super::relay::services::{rabbit, subscription};
use super::search::{wait_until_searchable, with_search};
use crate::Failure;
use crate::brokers::rabbitmq::Rabbit;
use crate::cli::{OutgoingArgs, RelaySinkArg};
use crate::report::{Report, per_second};
use crate::standstill::Standstill;

/// The subscription, and the sink that the harness hands in.
const NAME: &str = "throughput";
/// What an engine does unless it is told otherwise, in ms.
const REFRESH_MS: u64 = 200;
/// How often it is looked how far the relay is.
const POLL: Duration = Duration::from_millis(5);
/// Longest wait for it to go on.
const STALL_MAX: Duration = Duration::from_secs(60);

/// A sink that takes everything at once and keeps nothing.
#[derive(Default)]
pub(super) struct Null {
    messages: AtomicU64,
}

impl Sink for Null {
    fn deliver(&self, _message: Arc<Message>) -> Delivery {
        self.messages.fetch_add(1, Ordering::Relaxed);
        Box::pin(std::future::ready(Ok(())))
    }
}

/// What is on beside the load.
pub(crate) struct Outgoing {
    search: bool,
    relay: Option<RelaySinkArg>,
    rabbit: Rabbit,
    null: Arc<Null>,
}

impl Outgoing {
    /// `None` where nothing was asked for.
    pub(crate) fn new(args: &OutgoingArgs) -> Option<Self> {
        let OutgoingArgs { search, relay, services } = args;
        (*search || relay.is_some()).then(|| Self {
            search: *search,
            relay: *relay,
            rabbit: rabbit(services),
            null: Arc::default(),
        })
    }

    /// The configuration of an engine that has it on.
    pub(crate) fn configure(&self, mut config: Config) -> Config {
        if self.search {
            config = with_search(config, REFRESH_MS);
        }
        match self.relay {
            None => config,
            Some(RelaySinkArg::Null) => {
                let sink: Arc<dyn Sink> = Arc::clone(&self.null) as Arc<dyn Sink>;
                let spec = everything(SinkSpec::Program { sink: NAME.to_owned() });
                config.relay_sink(NAME, sink).relay(one(spec))
            }
            Some(RelaySinkArg::Rabbitmq) => {
                config.relay(one(everything(SinkSpec::Rabbitmq(self.rabbit.spec(false)))))
            }
        }
    }

    /// Reports how far behind everything is that the load has just ended for, and waits until it has caught up.
    pub(crate) async fn drain(&self, engine: &Engine, report: &mut Report) -> Result<(), Failure> {
        let started = Instant::now();
        let subscription = self.relay.map(|_| engine.relay()).transpose()?;
        let status = subscription.as_ref().map(|relay| relay.subscription(NAME)).transpose()?;
        if self.search {
            let (figures, appended) = (engine.search_figures(), engine.metrics().appended);
            report.set("search_lag_ms", figures.lag_ms);
            report.set("search_lag_events", appended.0.saturating_sub(figures.position.0));
        }
        if let Some(status) = &status {
            report.set("relay_lag_ms", status.lag_ms);
            report.set("relay_lag_events", status.lag_events);
            report.set("relay_lag_bytes", status.lag_bytes);
        }
        let (searchable, relayed) =
            tokio::join!(self.drain_search(engine), self.drain_relay(engine, started));
        if let Some(took) = searchable? {
            report.set("search_drain_ms", took.as_millis() as u64);
        }
        if let Some(took) = relayed? {
            report.set("relay_drain_ms", took.as_millis() as u64);
            let status = engine.relay()?.subscription(NAME)?;
            report.set("relay_delivered", status.delivered);
            report.set("relay_retried", status.retried);
            if status.dead_letters > 0 {
                report.add_problem(|| format!("the subscription has {} dead letters", status.dead_letters));
            }
            if self.relay == Some(RelaySinkArg::Null) {
                let messages = self.null.messages.load(Ordering::Relaxed);
                if messages < status.delivered {
                    report
                        .add_problem(|| format!("{} messages delivered, {messages} came", status.delivered));
                }
            }
        }
        Ok(())
    }

    /// Reports how fast the relay was over all, the load's own time and the time to catch up.
    pub(crate) fn set_relay_rate(
        &self,
        report: &mut Report,
        engine: &Engine,
        elapsed: Duration,
    ) -> Result<(), Failure> {
        if self.relay.is_some() {
            let status = engine.relay()?.subscription(NAME)?;
            report.set("relay_messages_per_s", per_second(status.delivered, elapsed));
        }
        Ok(())
    }

    async fn drain_search(&self, engine: &Engine) -> Result<Option<Duration>, Failure> {
        if !self.search {
            return Ok(None);
        }
        wait_until_searchable(engine).await.map(Some)
    }

    async fn drain_relay(&self, engine: &Engine, started: Instant) -> Result<Option<Duration>, Failure> {
        if self.relay.is_none() {
            return Ok(None);
        }
        let relay = engine.relay()?;
        let mut standstill = Standstill::new();
        loop {
            let status = relay.subscription(NAME)?;
            if status.lag_events == 0 {
                return Ok(Some(started.elapsed()));
            }
            if standstill.see(status.lag_events) > STALL_MAX {
                let state = match status.state {
                    SubscriptionState::Running => "it runs".to_owned(),
                    state => format!("{state:?}"),
                };
                let lag_events = status.lag_events;
                return Err(format!("the relay stands still with {lag_events} events to go: {state}").into());
            }
            tokio::time::sleep(POLL).await;
        }
    }

    /// Deletes what the run has made elsewhere.
    pub(crate) async fn end(&self) {
        if self.relay != Some(RelaySinkArg::Rabbitmq) {
            return;
        }
        if let Err(error) = self.rabbit.remove().await {
            eprintln!("warning: the queue of this run could not be deleted: {error}");
        }
    }
}

/// A subscription to every event.
fn everything(sink: SinkSpec) -> SubscriptionSpec {
    SubscriptionSpec { events: Default::default(), ..subscription(sink, Start::First) }
}

fn one(spec: SubscriptionSpec) -> RelayConfig {
    RelayConfig { subscriptions: [(NAME.to_owned(), spec)].into() }
}
