//! When brokers are stopped and engines are killed.

/// Something that a run has to get over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Disturbance {
    /// The engine is killed.
    Kill,
    /// The brokers go away and come back.
    Stop {
        /// The engine is killed while they are gone.
        kill: bool,
    },
}

/// What happens when.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Planned {
    /// Once so many orders have been taken.
    pub(crate) at: u64,
    /// No more orders than these are taken until it has happened: a broker may take longer to go than orders take to come.
    pub(crate) allowed: u64,
    pub(crate) what: Disturbance,
}

/// What happens after how many orders: spread evenly, kills and stops in turn. Where there are several of both, every
/// second stop has a kill in it.
pub(crate) fn schedule(orders: u64, stops: u64, kills: u64) -> Vec<Planned> {
    let inside = stops.min(kills) / 2;
    let mut kills = kills - inside;
    let mut stopped = 0;
    let slots = stops + kills;
    let mut schedule = Vec::new();
    for slot in 1..=slots {
        let is_kill = stopped == stops || (kills > 0 && slot % 2 == 1);
        let what = if is_kill {
            kills -= 1;
            Disturbance::Kill
        } else {
            stopped += 1;
            Disturbance::Stop { kill: stopped % 2 == 1 && stopped / 2 < inside }
        };
        schedule.push(Planned {
            at: orders * slot / (slots + 1),
            allowed: orders * (2 * slot + 1) / (2 * (slots + 1)),
            what,
        });
    }
    schedule
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kill_and_stop_happens_in_turn() {
        use Disturbance::{Kill, Stop};
        let plan = |plan: &[(u64, u64, Disturbance)]| -> Vec<Planned> {
            plan.iter().map(|&(at, allowed, what)| Planned { at, allowed, what }).collect()
        };
        let two_and_three = plan(&[
            (200, 300, Kill),
            (400, 500, Stop { kill: true }),
            (600, 700, Kill),
            (800, 900, Stop { kill: false }),
        ]);
        assert_eq!(schedule(1_000, 2, 3), two_and_three);
        assert_eq!(schedule(90, 1, 1), plan(&[(30, 45, Kill), (60, 75, Stop { kill: false })]));
        assert_eq!(schedule(90, 0, 0), []);
        for (stops, kills) in [(0, 5), (5, 0), (7, 2), (2, 7), (10, 10), (9, 8)] {
            let schedule = schedule(100_000, stops, kills);
            let count = |is: fn(&Disturbance) -> bool| {
                schedule.iter().filter(|planned| is(&planned.what)).count() as u64
            };
            assert_eq!(count(|what| matches!(what, Stop { .. })), stops);
            assert_eq!(count(|what| matches!(what, Kill | Stop { kill: true })), kills);
            assert!(schedule.is_sorted_by_key(|planned| planned.at));
            assert!(schedule.iter().all(|planned| planned.at < planned.allowed && planned.allowed < 100_000));
        }
    }
}
