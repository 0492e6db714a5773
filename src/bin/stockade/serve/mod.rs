//! `stockade serve`: an engine and its HTTP adapter, from the configuration to the last answer.

mod demo;
mod log;
mod run;
mod traces;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;

use toml::Value;

use crate::config::fail;
use crate::settings::{Flag, LogFormat, Settings, Sources};

/// Serve orders over HTTP.
///
/// Takes its configuration from flags, the environment (STOCKADE__SERVER__LISTEN is server.listen), a file and the
/// defaults, in this order; `stockade config print` shows all keys. Logs go to standard error.
///
/// SIGTERM and SIGINT end it: nothing new is accepted, what is in flight is finished, everything is on disk. A second
/// signal ends it at once; what was acknowledged is on disk all the same. SIGHUP reads the configuration again: limits,
/// keys and the log level take effect, and a bad configuration changes nothing.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  \
    stockade serve --demo                              try it: goods, tokens and commands are printed\n  \
    stockade config print --defaults > stockade.toml   begin a configuration\n  \
    stockade serve --config stockade.toml\n  \
    stockade serve --config stockade.toml --listen 0.0.0.0:8080 --log-format json\n\n\
    Exit code: 0 after an ordinary end, 1 when something went wrong, 2 when the configuration isn't good.")]
pub(crate) struct Args {
    /// The configuration file.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Directory of the data: engine.data_dir.
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
    /// Address and port: server.listen.
    #[arg(long, value_name = "ADDR")]
    listen: Option<SocketAddr>,
    /// A demonstration: sample goods, tokens of a secret made up at the start; on this machine alone. Its data is in
    /// ./stockade-demo unless --data says otherwise.
    #[arg(long)]
    demo: bool,
    /// How log lines are written: log.format.
    #[arg(long, value_name = "FORMAT")]
    log_format: Option<LogFormat>,
    /// What is logged: log.level.
    #[arg(long, value_name = "LEVEL")]
    log_level: Option<String>,
    /// Send traces of requests to this OpenTelemetry collector, as http://127.0.0.1:4318 (OTLP over HTTP, without TLS).
    #[cfg(feature = "otlp")]
    #[arg(long, value_name = "URL")]
    traces: Option<String>,
    /// Requests that are traced, of a million.
    #[cfg(feature = "otlp")]
    #[arg(long, value_name = "N", default_value_t = 1_000, value_parser = clap::value_parser!(u32).range(..=1_000_000))]
    traces_per_million: u32,
}

impl Args {
    fn sources(&self) -> Sources {
        let data = self.data.clone().or_else(|| self.demo.then(|| PathBuf::from("stockade-demo")));
        let flag = |flag, path, value: Option<String>| {
            value.map(|value| Flag { flag, path, value: Value::String(value) })
        };
        let format = self.log_format.map(|format| match format {
            LogFormat::Text => "text".to_owned(),
            LogFormat::Json => "json".to_owned(),
        });
        let flags = [
            flag("--data", "engine.data_dir", data.map(|data| data.display().to_string())),
            flag("--listen", "server.listen", self.listen.map(|listen| listen.to_string())),
            flag("--log-format", "log.format", format),
            flag("--log-level", "log.level", self.log_level.clone()),
        ];
        Sources {
            file: self.config.clone(),
            environment: Sources::environment(),
            flags: flags.into_iter().flatten().collect(),
        }
    }
}

pub(crate) fn run(args: &Args) -> ExitCode {
    let settings = match Settings::load(&args.sources()) {
        Ok(settings) => settings,
        Err(problems) => return fail(&problems),
    };
    let listen = settings.http.server.listen;
    if args.demo && !listen.ip().is_loopback() {
        eprintln!(
            "error: --demo gives tokens to whoever reads its output: it listens on 127.0.0.1 or ::1, not on {listen}"
        );
        return ExitCode::from(2);
    }
    if !args.demo && settings.http.auth.keys.is_empty() {
        eprintln!(
            "error: no key is configured that tokens could be verified with: name one in auth.keys \
             (see `stockade config print --defaults`), or try `stockade serve --demo`"
        );
        return ExitCode::from(2);
    }
    // The engine has threads of its own: its actors don't stand in one queue with thousands of connections, so a flood
    // of requests that are refused doesn't slow down those that were let in.
    let threads =
        |name: &str| tokio::runtime::Builder::new_multi_thread().thread_name(name).enable_all().build();
    let (runtime, engine_runtime) = match (threads("http"), threads("engine")) {
        (Ok(runtime), Ok(engine_runtime)) => (runtime, engine_runtime),
        (Err(error), _) | (_, Err(error)) => {
            eprintln!("error: can't start threads: {error}");
            return ExitCode::FAILURE;
        }
    };
    runtime.block_on(async {
        let traces = match args.traces() {
            Ok(traces) => traces,
            Err(error) => {
                eprintln!("error: --traces: {error}");
                return ExitCode::from(2);
            }
        };
        let level = match log::init(&settings.log, &traces) {
            Ok(level) => level,
            Err(error) => {
                eprintln!("error: log.level: {error}");
                return ExitCode::from(2);
            }
        };
        let code = run::run(args, settings, level, engine_runtime.handle()).await;
        traces.finish().await;
        code
    })
}
