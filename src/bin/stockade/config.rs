//! `stockade config`: checks and prints a server's configuration.

use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use crate::settings::{Problem, Settings, Sources, print};

/// Check or print the configuration of a server.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    Check(Check),
    Print(Print),
}

/// Check a configuration file and list everything that is wrong with it.
///
/// The file alone is checked, without the environment.
#[derive(Debug, clap::Args)]
#[command(after_help = "Exit code: 0 when the file is good, 2 when it isn't.")]
struct Check {
    /// The file.
    #[arg(value_name = "FILE")]
    file: PathBuf,
}

/// Print the configuration in force as a commented file: from a file, the environment and the defaults.
///
/// Secrets are never in it: it says where they are.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  \
    stockade config print --defaults > stockade.toml\n  \
    STOCKADE__SERVER__LISTEN=0.0.0.0:80 stockade config print --config stockade.toml\n\n\
    Exit code: 0, or 2 when the configuration isn't good.")]
struct Print {
    /// The configuration file.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// The defaults alone.
    #[arg(long, conflicts_with = "config")]
    defaults: bool,
}

pub(crate) fn run(args: &Args) -> ExitCode {
    match &args.command {
        Command::Check(Check { file }) => match Settings::load(&Sources::file(file)) {
            Ok(_) => {
                // A reader that has gone has no need of it.
                let _ = writeln!(io::stdout().lock(), "{} is good", file.display());
                ExitCode::SUCCESS
            }
            Err(problems) => fail(&problems),
        },
        Command::Print(args) => print_settings(args),
    }
}

fn print_settings(args: &Print) -> ExitCode {
    let loaded = if args.defaults {
        Ok(Settings::default())
    } else {
        Settings::load(&Sources {
            file: args.config.clone(),
            environment: Sources::environment(),
            ..Sources::default()
        })
    };
    match loaded.map(|settings| print(&settings)) {
        Ok(Ok(text)) => {
            // A reader that has gone, as `head` does, has what it wanted.
            let _ = io::stdout().lock().write_all(text.as_bytes());
            ExitCode::SUCCESS
        }
        Ok(Err(error)) => {
            eprintln!("error: {error}");
            ExitCode::from(2)
        }
        Err(problems) => fail(&problems),
    }
}

/// Lists what is wrong.
pub(crate) fn fail(problems: &[Problem]) -> ExitCode {
    for problem in problems {
        eprintln!("error: {problem}");
    }
    ExitCode::from(2)
}
