//! Kills engines while their indexes commit; each successor compares its index with the store.

use std::path::Path;
use std::time::{Duration, Instant};

use crate::Failure;
use crate::acked::Problems;
use crate::cli::SearchArgs;
use crate::plan::Random;
use crate::process::{Process, Waiting};
use crate::progress;

/// Longest wait for an engine to say something.
const CHILD_MAX: Duration = Duration::from_secs(180);
/// An engine serves for so long at the most before it is killed; commits follow each other all the while.
const SERVES_MAX: Duration = Duration::from_millis(1_500);
/// Buyers of one engine are numbered from a multiple of this.
const ROUND_BUYERS: u64 = 1 << 32;

/// What all engines together came to.
#[derive(Debug, Default)]
pub(crate) struct Killed {
    pub(crate) kills: u64,
    /// Commits that the engines told of before they were killed.
    pub(crate) commits: u64,
    /// Documents and stored orders at the end.
    pub(crate) documents: u64,
    pub(crate) orders: u64,
    /// Times that index and store were compared.
    pub(crate) checks: u64,
    pub(crate) problems: Problems,
}

/// Blocks.
pub(crate) fn run(args: &SearchArgs, data: &Path) -> Result<Killed, Failure> {
    let mut killed = Killed::default();
    let mut random = Random::new(args.seed, 13);
    let bar = progress::bar("kills", args.kills);
    for round in 0..args.kills {
        let mut engine = start(args, data, round, false)?;
        killed.wait_for_check(&mut engine)?;
        let serves = Duration::from_micros(random.below(SERVES_MAX.as_micros() as u64));
        let mut commits = 0;
        killed.listen(&mut engine, serves, &mut commits)?;
        engine.kill();
        while let Some(line) = engine.line(CHILD_MAX)? {
            killed.take(&line, &mut commits);
        }
        killed.commits += commits;
        killed.kills += 1;
        bar.set_position(killed.kills);
    }
    let mut engine = start(args, data, args.kills, true)?;
    killed.wait_for_check(&mut engine)?;
    let mut is_done = false;
    while let Some(line) = engine.line(CHILD_MAX)? {
        is_done |= line == "done";
    }
    bar.finish_and_clear();
    if !is_done || !engine.ended_well() {
        killed.problems.add(|| "the last engine did not end in order".to_owned());
    }
    Ok(killed)
}

impl Killed {
    fn wait_for_check(&mut self, engine: &mut Process) -> Result<(), Failure> {
        let checks = self.checks;
        while self.checks == checks {
            let line = engine.line(CHILD_MAX)?;
            self.take(&line.ok_or("the engine ended before it was killed: see its message above")?, &mut 0);
        }
        Ok(())
    }

    fn listen(&mut self, engine: &mut Process, wait: Duration, commits: &mut u64) -> Result<(), Failure> {
        let until = Instant::now() + wait;
        while let Some(left) = until.checked_duration_since(Instant::now()) {
            match engine.line(left) {
                Ok(Some(line)) => self.take(&line, commits),
                Ok(None) => return Err("the engine ended before it was killed: see its message above".into()),
                Err(Waiting) => return Ok(()),
            }
        }
        Ok(())
    }

    fn take(&mut self, line: &str, commits: &mut u64) {
        let (what, rest) = line.split_once(' ').unwrap_or((line, ""));
        let numbers: Vec<u64> = rest.split(' ').filter_map(|field| field.parse().ok()).collect();
        match (what, &numbers[..]) {
            ("ready" | "at", _) => {}
            ("commits", [so_far]) => *commits = *so_far,
            ("checked", [documents, orders]) => {
                (self.documents, self.orders) = (*documents, *orders);
                self.checks += 1;
            }
            _ => self.problems.add(|| format!("after {} kills the engine said `{line}`", self.kills)),
        }
    }
}

fn start(args: &SearchArgs, data: &Path, round: u64, look: bool) -> Result<Process, Failure> {
    Process::start("search-child", |command| {
        command.arg("--data").arg(data).args(["--durability", args.engine.durability.name()]);
        command.args(["--seed", &args.seed.to_string()]);
        command.args(["--first", &(round * ROUND_BUYERS).to_string()]);
        if look {
            command.arg("--look");
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_engines_lines_are_read() {
        let mut killed = Killed::default();
        let mut commits = 0;
        for line in ["ready", "checked 10 11", "at 512", "commits 7", "commits 9"] {
            killed.take(line, &mut commits);
        }
        assert_eq!((killed.documents, killed.orders, killed.checks, commits), (10, 11, 1, 9));
        assert_eq!(killed.problems.total(), 0);
        killed.take("X order 5 is found twice", &mut commits);
        assert_eq!(killed.problems.total(), 1);
    }
}
