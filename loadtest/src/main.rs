//! The load-test harness of Stockade: flash sale, throughput, crashes, long runs, restarts, and the scenarios behind the figures in
//! `docs/BENCHMARKS.md`. It sees the engine as any embedding program does, and audits what the engine has written.

mod acked;
mod audit;
mod brokers;
mod buyer;
mod cli;
mod described;
mod latency;
mod lifecycle;
mod machine;
mod place;
mod plan;
mod process;
mod progress;
mod recheck;
mod relayed;
mod report;
mod sampling;
mod scenarios;
mod script;
mod segments;
mod shop;
mod standstill;
mod store;
mod stream;

use std::error::Error;
use std::process::ExitCode;

use clap::Parser;

use cli::{Cli, Scenario};
use report::Report;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// What ends a scenario without a result.
pub(crate) type Failure = Box<dyn Error + Send + Sync>;

fn main() -> ExitCode {
    let cli = Cli::parse();
    let threads = machine::cores().max(2);
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(threads).enable_all().build();
    let runtime = match runtime {
        Ok(runtime) => runtime,
        Err(error) => return fail(&error),
    };
    let result: Result<Option<Report>, Failure> = match cli.scenario {
        Scenario::Run(args) => runtime.block_on(scenarios::run::run(args)).map(Some),
        Scenario::Seckill(args) => runtime.block_on(scenarios::seckill::run(args)).map(Some),
        Scenario::Throughput(args) => runtime.block_on(scenarios::throughput::run(*args)).map(Some),
        Scenario::Refusals(args) => runtime.block_on(scenarios::refusals::run(args)).map(Some),
        Scenario::Memory(args) => runtime.block_on(scenarios::memory::run(args)).map(Some),
        Scenario::Wave(args) => runtime.block_on(scenarios::wave::run(args)).map(Some),
        Scenario::Recovery(args) => runtime.block_on(scenarios::recovery::run(args)).map(Some),
        Scenario::Soak(args) => runtime.block_on(scenarios::soak::run(args)).map(Some),
        Scenario::Stall(args) => runtime.block_on(scenarios::stall::run(args)).map(Some),
        Scenario::Openloop(args) => runtime.block_on(scenarios::openloop::run(args)).map(Some),
        Scenario::Delay(args) => runtime.block_on(scenarios::delay::run(args)).map(Some),
        Scenario::Http(args) => runtime.block_on(scenarios::http::run(args)).map(Some),
        Scenario::HttpServer(args) => runtime.block_on(scenarios::http::child::run(args)).map(|()| None),
        Scenario::Relay(args) => runtime.block_on(scenarios::relay::run(*args)).map(Some),
        Scenario::RelayChild(args) => runtime.block_on(scenarios::relay::child::run(args)).map(|()| None),
        Scenario::Search(args) => runtime.block_on(scenarios::search::run(*args)).map(Some),
        Scenario::SearchChild(args) => runtime.block_on(scenarios::search::child::run(args)).map(|()| None),
        Scenario::Import(args) => runtime.block_on(scenarios::import::run(args)).map(Some),
        Scenario::Restart(args) => runtime.block_on(scenarios::restart::run(args)).map(Some),
        Scenario::RestartChild(args) => runtime.block_on(scenarios::restart_child::run(args)).map(|()| None),
        // The parent only starts, kills and reads, so it needs no runtime.
        Scenario::Crash(args) => scenarios::crash::run(&args).map(Some),
        Scenario::CrashChild(args) => runtime.block_on(scenarios::crash_child::run(args)).map(|()| None),
    };
    match result {
        Ok(None) => ExitCode::SUCCESS,
        Ok(Some(report)) => {
            report.print(cli.json);
            if report.passed() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
        }
        Err(error) => fail(&*error),
    }
}

fn fail(error: &dyn Error) -> ExitCode {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    eprintln!("error: {text}");
    ExitCode::from(2)
}
