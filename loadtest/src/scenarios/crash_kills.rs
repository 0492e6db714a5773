//! When `crash` kills its engine, and under which settings the engine runs: all drawn from the seed.

use std::time::Duration;

use crate::cli::SignalArg;
use crate::plan::Random;

/// Milliseconds after the engine is ready, for a kill at random.
const RANDOM_MS: (u64, u64) = (20, 500);
/// Milliseconds after the process was started, for a kill right after the start: during recovery, or just behind it.
const START_MS: (u64, u64) = (1, 80);
/// Microseconds after a signal: most of a checkpoint's steps take less.
const SIGNAL_US: (u64, u64) = (0, 4_000);
/// The checkpoint, or trim, after which the engine is killed is at most the so manieth.
const SIGNAL_NTH_MAX: u64 = 24;
/// The journal stays whole over so many parts of all kills, so that stores are compared with replays as well.
const WHOLE_PART: u64 = 4;

/// At what an engine is killed. One more class takes a variant, its name, a moment, and a line that the child says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Class {
    /// Whatever it does.
    Random,
    /// While it opens, or just after.
    Start,
    /// Around the end of a checkpoint: its commit, what follows it, or the next one.
    Checkpoint,
    /// While the journal is trimmed.
    Trim,
    /// While a backup is made.
    Backup,
}

impl Class {
    pub(crate) const ALL: [Self; 5] = [Self::Random, Self::Start, Self::Checkpoint, Self::Trim, Self::Backup];

    /// The report's field.
    pub(crate) fn field(self) -> &'static str {
        match self {
            Self::Random => "kills_at_random",
            Self::Start => "kills_at_start",
            Self::Checkpoint => "kills_at_checkpoint",
            Self::Trim => "kills_at_trim",
            Self::Backup => "kills_at_backup",
        }
    }
}

/// From when a kill's delay counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum From {
    /// The process was started.
    Started,
    /// The engine is ready.
    Ready,
    /// The engine gave its signal.
    Signal(SignalArg, u64),
}

/// One kill.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Kill {
    pub(crate) class: Class,
    pub(crate) from: From,
    pub(crate) delay: Duration,
}

/// How an engine runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Settings {
    pub(crate) checkpoint_interval_ms: u64,
    pub(crate) checkpoint_events_max: u64,
    pub(crate) keep_journal: bool,
}

fn between(random: &mut Random, (min, max): (u64, u64)) -> u64 {
    min + random.below(max - min + 1)
}

/// The settings of a round, of so many with a kill.
pub(crate) fn settings(random: &mut Random, round: u64, kills: u64) -> Settings {
    Settings {
        checkpoint_interval_ms: between(random, (5, 20)),
        // From one every few events to one for all that is waiting.
        checkpoint_events_max: 16 << random.below(8),
        keep_journal: round < kills / WHOLE_PART,
    }
}

/// The kill of a round.
pub(crate) fn kill(random: &mut Random, settings: Settings) -> Kill {
    let class = match Class::ALL[random.below(Class::ALL.len() as u64) as usize] {
        // There is no trim to be hit.
        Class::Trim if settings.keep_journal => Class::Checkpoint,
        class => class,
    };
    let nth = 1 + random.below(SIGNAL_NTH_MAX);
    let signal_us = between(random, SIGNAL_US);
    let (from, delay) = match class {
        Class::Random => (From::Ready, Duration::from_millis(between(random, RANDOM_MS))),
        Class::Start => (From::Started, Duration::from_millis(between(random, START_MS))),
        Class::Checkpoint => (From::Signal(SignalArg::Checkpoint, nth), Duration::from_micros(signal_us)),
        // A trim takes less than a checkpoint.
        Class::Trim => (From::Signal(SignalArg::Trim, nth), Duration::from_micros(signal_us / 8)),
        // A backup tells its progress, and takes some ms from the first to the last.
        Class::Backup => (From::Signal(SignalArg::Backup, nth), Duration::from_micros(signal_us)),
    };
    Kill { class, from, delay }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_class_occurs_and_a_whole_journal_is_not_trimmed() {
        let mut random = Random::new(1, 4);
        let mut seen = Vec::new();
        for round in 0..200 {
            let settings = settings(&mut random, round, 200);
            let kill = kill(&mut random, settings);
            assert!(!(settings.keep_journal && kill.class == Class::Trim), "{round}");
            assert!((5..=20).contains(&settings.checkpoint_interval_ms));
            seen.push((kill.class, settings.keep_journal));
        }
        for class in Class::ALL {
            assert!(seen.iter().any(|(seen, _)| *seen == class), "{class:?}");
        }
        assert_eq!(seen.iter().filter(|(_, keep_journal)| *keep_journal).count(), 50);
    }

    #[test]
    fn a_seed_gives_the_same_kills() {
        let draw = || {
            let mut random = Random::new(9, 4);
            let round = |round| {
                let settings = settings(&mut random, round, 40);
                (settings, kill(&mut random, settings))
            };
            (0..40).map(round).collect::<Vec<_>>()
        };
        assert_eq!(draw(), draw());
    }
}
