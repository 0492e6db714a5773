//! The `stockade` command line. Each subcommand is a module with its arguments and a `run`.

mod backup;
mod common;
#[cfg(feature = "http")]
mod config;
mod export;
mod import;
mod inspect;
mod output;
mod reconcile;
#[cfg(feature = "search")]
mod reindex;
#[cfg(feature = "http")]
mod serve;
#[cfg(feature = "http")]
mod settings;
mod statement;
mod verify;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Stockade, an order core for flash sales: the server, and tools for its data.
#[derive(Debug, Parser)]
#[command(name = "stockade", version, arg_required_else_help = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Import(import::Args),
    Verify(verify::Args),
    Inspect(inspect::Args),
    Backup(backup::Args),
    #[cfg(feature = "search")]
    Reindex(reindex::Args),
    Export(export::Args),
    Statement(statement::Args),
    Reconcile(reconcile::Args),
    #[cfg(feature = "http")]
    Serve(serve::Args),
    #[cfg(feature = "http")]
    Config(config::Args),
}

fn main() -> ExitCode {
    match Cli::parse().command {
        Command::Import(args) => import::run(&args),
        Command::Verify(args) => verify::run(&args),
        Command::Inspect(args) => inspect::run(&args),
        Command::Backup(args) => backup::run(&args),
        #[cfg(feature = "search")]
        Command::Reindex(args) => reindex::run(&args),
        Command::Export(args) => export::run(&args),
        Command::Statement(args) => statement::run(&args),
        Command::Reconcile(args) => reconcile::run(&args),
        #[cfg(feature = "http")]
        Command::Serve(args) => serve::run(&args),
        #[cfg(feature = "http")]
        Command::Config(args) => config::run(&args),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        use clap::CommandFactory;
        Cli::command().debug_assert();
    }
}
