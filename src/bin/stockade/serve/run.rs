//! A server's run: open, serve, reload, end.

use std::process::ExitCode;

use stockade::Engine;
use stockade::http::admin::settings::AdminSettings;
use stockade::http::cors::allow_origins;
use stockade::http::observe::Connections;
use stockade::http::observe::health::Opening;
use stockade::http::server::{Cut, Server, ServerCounters, ServerLimitsHandle};
use stockade::http::{App, Live, router};
use tokio::runtime::Handle;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::oneshot;

use super::Args;
use super::demo::Demo;
use super::log::LogLevel;
use crate::common::with_causes;
use crate::settings::{Settings, changed};

/// Why a server didn't run. The message is all there is to say.
pub(super) struct Failure {
    message: String,
    code: u8,
}

impl Failure {
    /// Something that is not as it should be.
    pub(super) fn new(message: String) -> Self {
        Self { message, code: 1 }
    }

    fn configuration(message: String) -> Self {
        Self { message, code: 2 }
    }
}

pub(super) async fn run(args: &Args, settings: Settings, level: LogLevel, engine: &Handle) -> ExitCode {
    match serve(args, settings, level, engine).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(Failure { message, code }) => {
            eprintln!("error: {message}");
            ExitCode::from(code)
        }
    }
}

async fn serve(args: &Args, settings: Settings, level: LogLevel, threads: &Handle) -> Result<(), Failure> {
    let mut signals =
        Signals::new().map_err(|error| Failure::new(format!("can't wait for signals: {error}")))?;
    // The port is taken first: that it is in use shows before a large journal is read. Nobody can connect yet.
    let listen = settings.http.server.listen;
    let server =
        Server::bind(listen, settings.http.server.limits()).map_err(|error| in_use(listen, &error))?;
    let demo = args.demo.then(Demo::new).transpose()?;
    let keys = |error| Failure::configuration(with_causes(&error));
    let live = match &demo {
        Some(demo) => {
            Live::with_keys_and_provider(&settings.http, demo.keys()?, demo.provider()?).map_err(keys)?
        }
        None => Live::load(&settings.http).map_err(keys)?,
    };
    let data_dir = settings.engine.data_dir.clone();
    let addr = server.local_addr().unwrap_or(listen);
    let limits = server.limits();
    let counters = server.counters();
    let (stop, stopped) = oneshot::channel::<()>();
    let shutdown = async {
        // An error says that there is nobody left who could say so.
        let _ = stopped.await;
    };
    // Whoever watches this server sees it recover, and doesn't take it for dead.
    let opening = Opening::default();
    let serving = server.serve(opening.router(), shutdown);
    let serving = serving.map_err(|error| in_use(listen, &error))?;
    let mut serving = tokio::spawn(serving);
    tracing::info!(%addr, data = %data_dir.display(), "opening the data");
    let config = settings.engine_config();
    #[cfg(feature = "relay")]
    let config =
        config.relay(settings.relay.open().map_err(|error| Failure::configuration(with_causes(&error)))?);
    let mut opening_engine = threads.spawn(Engine::open(config));
    let opened = tokio::select! {
        opened = &mut opening_engine => opened,
        // Nothing is acknowledged yet: the next start recovers what this one would have.
        () = signals.next_end() => return Ok(()),
    };
    let opened = opened.map_err(|error| Failure::new(format!("opening the data ended early: {error}")))?;
    let engine = opened.map_err(|error| {
        Failure::new(format!("can't open the data in {}: {}", data_dir.display(), with_causes(&error)))
    })?;
    let mut admin = AdminSettings::default();
    admin.backup_root.clone_from(&settings.http.admin.backup_root);
    let app = App::new(engine.clone(), live.clone()).with_admin(admin).observed(settings.http.observe);
    app.observer().connections_from(Box::new(move || connections(&counters)));
    let (routes, _) = router(app);
    let routes = allow_origins(routes, &settings.http.server.cors_origins);
    if let Some(demo) = &demo {
        demo.stock(&engine).await?;
    }
    opening.open(routes);
    tracing::info!(%addr, data = %data_dir.display(), "serving");
    if let Some(demo) = &demo {
        demo.show(addr, engine.now_ms(), &data_dir);
    }

    let mut reload = Reload { args, settings, live, limits, level, engine: engine.clone(), threads };
    let signal = signals.wait_for_end(&mut reload).await;
    tracing::info!(signal, "ending: finishing what is in flight");
    // Gone only if serving has ended by itself.
    let _ = stop.send(());
    let report = tokio::select! {
        report = &mut serving => report,
        () = signals.next_end() => return Err(at_once()),
    };
    if let Ok(report) = report
        && report.aborted > 0
    {
        tracing::warn!(connections = report.aborted, "closed connections with a request in flight");
    }
    tokio::select! {
        closed = engine.shutdown() => closed.map_err(|error| Failure::new(with_causes(&error)))?,
        () = signals.next_end() => return Err(at_once()),
    }
    tracing::info!("ended: everything is on disk");
    Ok(())
}

/// A server's counters, as metrics show them.
fn connections(counters: &ServerCounters) -> Connections {
    Connections {
        open: counters.open(),
        accepted: counters.accepted(),
        refused: counters.refused(),
        accept_errors: counters.accept_errors(),
        cuts: Cut::ALL.map(|cut| (cut.name(), counters.cut(cut))).to_vec(),
    }
}

fn at_once() -> Failure {
    Failure::new(
        "ended at once by a second signal; what was acknowledged is recovered at the next start".to_owned(),
    )
}

fn in_use(listen: std::net::SocketAddr, error: &std::io::Error) -> Failure {
    let what = match error.kind() {
        std::io::ErrorKind::AddrInUse => {
            "the port is in use by another process; stop that one, or choose another with --listen".to_owned()
        }
        std::io::ErrorKind::PermissionDenied => "not permitted; ports below 1024 need a privilege".to_owned(),
        _ => error.to_string(),
    };
    Failure::new(format!("can't listen on {listen}: {what}"))
}

/// The signals that a server heeds.
struct Signals {
    terminate: Signal,
    interrupt: Signal,
    hang_up: Signal,
}

impl Signals {
    fn new() -> std::io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            hang_up: signal(SignalKind::hangup())?,
        })
    }

    /// Waits for a signal to end, and reloads until then. Gives its name.
    async fn wait_for_end(&mut self, reload: &mut Reload<'_>) -> &'static str {
        loop {
            tokio::select! {
                _ = self.terminate.recv() => return "SIGTERM",
                _ = self.interrupt.recv() => return "SIGINT",
                _ = self.hang_up.recv() => reload.reload().await,
            }
        }
    }

    async fn next_end(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}

/// Takes a changed configuration in.
struct Reload<'a> {
    args: &'a Args,
    settings: Settings,
    live: Live,
    limits: ServerLimitsHandle,
    level: LogLevel,
    engine: Engine,
    threads: &'a Handle,
}

impl Reload<'_> {
    /// Reads the configuration again. What is wrong with it is logged, and then nothing changes. Files are small and the
    /// signal is rare, so it is read on the spot.
    async fn reload(&mut self) {
        let settings = match Settings::load(&self.args.sources()) {
            Ok(settings) => settings,
            Err(problems) => {
                for problem in problems {
                    tracing::error!(%problem, "the configuration is not good; the old one stays in force");
                }
                return;
            }
        };
        #[cfg(feature = "relay")]
        let relay = match settings.relay.open() {
            Ok(relay) => relay,
            Err(error) => {
                let problem = with_causes(&error);
                tracing::error!(%problem, "the subscriptions are not good; the old configuration stays in force");
                return;
            }
        };
        // The demonstration's keys are its own.
        if self.args.demo {
            self.live.reload_limits(&settings.http);
        } else if let Err(error) = self.live.reload(&settings.http) {
            let problem = with_causes(&error);
            tracing::error!(%problem, "the keys are not good; the old configuration stays in force");
            return;
        }
        self.limits.replace(settings.http.server.limits());
        if let Err(problem) = self.level.set(&settings.log.level) {
            tracing::error!(%problem, "the log level stays as it was");
        }
        self.engine.set_search_mode(settings.search.mode(settings.has_store()));
        self.engine.set_search_max_lag_ms(settings.search.max_lag_ms);
        #[cfg(feature = "relay")]
        if let Err(problem) = self.subscribe(relay).await {
            tracing::error!(%problem, "the subscriptions stay as they were");
        }
        let changes = changed(&self.settings, &settings).unwrap_or_default();
        for entry in changes.iter().filter(|entry| !entry.is_live) {
            tracing::warn!(key = entry.path, "changed, and takes effect after a restart");
        }
        let live = changes.iter().filter(|entry| entry.is_live).count();
        tracing::info!(changed = live, "the configuration was read again");
        self.settings = settings;
    }

    /// Puts other subscriptions in force, on the engine's threads: what they start belongs there.
    #[cfg(feature = "relay")]
    async fn subscribe(&self, config: stockade::relay::RelayConfig) -> Result<(), String> {
        let relay = self.engine.relay().map_err(|error| error.to_string())?;
        let configured = self.threads.spawn(async move { relay.configure(&config).await }).await;
        configured.map_err(|error| error.to_string())?.map_err(|error| error.to_string())
    }
}
