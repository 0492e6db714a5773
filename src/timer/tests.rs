//! The wheel against a naive oracle, and the cases that a random search meets too seldom.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use super::{Progress, TimerId, Wheel};

/// Enough for any test here to finish in one call.
const UNBOUNDED: usize = usize::MAX;

/// A wheel beside an ordered set of what is armed; every operation is checked against it.
struct Checked {
    wheel: Wheel<u32>,
    armed: BTreeSet<(u64, u32)>,
    live: BTreeMap<u32, (u64, TimerId)>,
    /// Every id ever given out, with its payload.
    ids: Vec<(TimerId, u32)>,
    now_ms: u64,
    last_fired_ms: u64,
}

impl Checked {
    fn new(now_ms: u64) -> Self {
        Self {
            wheel: Wheel::new(now_ms),
            armed: BTreeSet::new(),
            live: BTreeMap::new(),
            ids: Vec::new(),
            now_ms,
            last_fired_ms: 0,
        }
    }

    fn arm(&mut self, deadline_ms: u64) {
        let item = self.ids.len() as u32;
        let effective_ms = deadline_ms.max(self.wheel.time_ms());
        let id = self.wheel.arm(deadline_ms, item);
        assert!(!self.live.values().any(|&(_, other)| other == id), "ids of live timers differ");
        self.armed.insert((effective_ms, item));
        self.live.insert(item, (effective_ms, id));
        self.ids.push((id, item));
    }

    fn cancel(&mut self, nth: usize) {
        let Some(&(id, item)) = self.ids.get(nth) else {
            assert_eq!(self.wheel.cancel(TimerId::NONE), None);
            return;
        };
        let expected = self.live.remove(&item).map(|(deadline_ms, _)| {
            self.armed.remove(&(deadline_ms, item));
            item
        });
        assert_eq!(self.wheel.cancel(id), expected);
    }

    fn advance(&mut self, now_ms: u64, steps_max: usize) -> Progress {
        let (work_before, time_before_ms) = (self.wheel.work(), self.wheel.time_ms());
        let mut fired = Vec::new();
        let progress = self.wheel.advance(now_ms, steps_max, &mut fired);
        self.now_ms = self.now_ms.max(now_ms);

        let work = self.wheel.work();
        let steps = work.steps() - work_before.steps();
        assert!(steps <= steps_max as u64, "{steps} steps where {steps_max} were allowed");
        assert_eq!(work.fired - work_before.fired, fired.len() as u64);
        for (deadline_ms, item) in fired {
            let earliest = self.armed.first().copied();
            assert_eq!(earliest.map(|(earliest_ms, _)| earliest_ms), Some(deadline_ms), "deadlines ascend");
            assert!(self.armed.remove(&(deadline_ms, item)), "what fires was armed with that deadline");
            self.live.remove(&item);
            assert!(deadline_ms <= self.now_ms, "never early");
            assert!(deadline_ms >= self.last_fired_ms, "ascending across calls");
            self.last_fired_ms = deadline_ms;
        }
        let earliest_ms = self.armed.first().map(|&(deadline_ms, _)| deadline_ms);
        assert!(self.wheel.time_ms() >= time_before_ms && self.wheel.time_ms() <= self.now_ms);
        match progress {
            Progress::Reached => {
                assert_eq!(self.wheel.time_ms(), self.now_ms);
                assert!(earliest_ms.is_none_or(|earliest_ms| earliest_ms > self.now_ms), "never late");
            }
            Progress::More => {
                assert_eq!(steps, steps_max as u64, "it goes on as long as it has steps");
                assert!(self.wheel.next_deadline_hint().is_none_or(|hint_ms| hint_ms <= self.now_ms));
            }
        }
        progress
    }

    fn check(&self) {
        self.wheel.assert_consistent();
        assert_eq!(self.wheel.len(), self.armed.len());
        assert_eq!(self.wheel.is_empty(), self.armed.is_empty());
        let hint_ms = self.wheel.next_deadline_hint();
        assert_eq!(hint_ms.is_none(), self.armed.is_empty());
        if let (Some(hint_ms), Some(&(earliest_ms, _))) = (hint_ms, self.armed.first()) {
            assert!(hint_ms <= earliest_ms, "the hint is a lower bound");
            assert!(hint_ms >= self.wheel.time_ms());
        }
    }

    /// Sleeps to each hint in turn until nothing is armed, and checks that nothing fires late on the way.
    fn drain_by_hints(&mut self, steps_max: usize) {
        while let Some(hint_ms) = self.wheel.next_deadline_hint() {
            if hint_ms > self.now_ms {
                let work = self.wheel.work();
                assert_eq!(self.advance(hint_ms - 1, UNBOUNDED), Progress::Reached);
                assert_eq!(self.wheel.work(), work, "there is nothing to do before the hint");
            }
            let steps_before = self.wheel.work().steps();
            while self.advance(hint_ms, steps_max) == Progress::More {}
            assert!(self.wheel.work().steps() > steps_before, "there is something to do at the hint");
            self.check();
        }
        assert!(self.armed.is_empty());
    }
}

#[derive(Clone, Debug)]
enum Op {
    /// At the caller's time plus this.
    Arm(u64),
    /// At this many ms before the caller's time.
    ArmPast(u64),
    /// This many timers at one deadline.
    Burst(u64, usize),
    ArmAt(u64),
    /// The n-th id from the newest given out, stale or not.
    Cancel(usize),
    Advance(u64, usize),
    AdvancePast(u64, usize),
    /// To the wheel's own hint plus this.
    AdvanceToHint(u64, usize),
}

/// Distances spread evenly over the levels rather than over the numbers.
fn distance_ms() -> impl Strategy<Value = u64> {
    prop_oneof![
        4 => (0_u32..64, any::<u64>()).prop_map(|(bits, random)| random & ((1 << bits) - 1)),
        4 => 0_u64..2_000,
        1 => (0_u32..6, 0_u64..5).prop_map(|(level, off)| (1_u64 << (11 * level)).saturating_add(off).saturating_sub(2)),
        1 => Just(u64::MAX),
    ]
}

fn steps() -> impl Strategy<Value = usize> {
    prop_oneof![3 => 0_usize..12, 1 => 12_usize..200, 1 => Just(UNBOUNDED)]
}

fn op() -> impl Strategy<Value = Op> {
    prop_oneof![
        6 => distance_ms().prop_map(Op::Arm),
        1 => (0_u64..10_000).prop_map(Op::ArmPast),
        1 => (distance_ms(), 1_usize..40).prop_map(|(distance_ms, count)| Op::Burst(distance_ms, count)),
        1 => prop_oneof![Just(0), Just(u64::MAX), Just(u64::MAX - 1), any::<u64>()].prop_map(Op::ArmAt),
        4 => (0_usize..60).prop_map(Op::Cancel),
        3 => (distance_ms(), steps()).prop_map(|(distance_ms, steps)| Op::Advance(distance_ms, steps)),
        3 => (0_u64..300, steps()).prop_map(|(distance_ms, steps)| Op::Advance(distance_ms, steps)),
        1 => (0_u64..10_000, steps()).prop_map(|(distance_ms, steps)| Op::AdvancePast(distance_ms, steps)),
        6 => (0_u64..3, steps()).prop_map(|(distance_ms, steps)| Op::AdvanceToHint(distance_ms, steps)),
    ]
}

fn start_ms() -> impl Strategy<Value = u64> {
    prop_oneof![
        Just(0),
        Just(2_047),
        Just((1 << 33) - 3),
        Just(1_767_225_600_000),
        1_700_000_000_000_u64..1_800_000_000_000,
        any::<u64>(),
        Just(u64::MAX - 3_000),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 128, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn it_agrees_with_an_ordered_set(start_ms in start_ms(), ops in prop::collection::vec(op(), 1..120)) {
        let mut checked = Checked::new(start_ms);
        for op in ops {
            let now_ms = checked.now_ms;
            match op {
                Op::Arm(distance_ms) => checked.arm(now_ms.saturating_add(distance_ms)),
                Op::ArmPast(distance_ms) => checked.arm(now_ms.saturating_sub(distance_ms)),
                Op::Burst(distance_ms, count) => {
                    for _ in 0..count {
                        checked.arm(now_ms.saturating_add(distance_ms));
                    }
                }
                Op::ArmAt(deadline_ms) => checked.arm(deadline_ms),
                Op::Cancel(back) => checked.cancel(checked.ids.len().wrapping_sub(1 + back)),
                Op::Advance(distance_ms, steps) => {
                    let _ = checked.advance(now_ms.saturating_add(distance_ms), steps);
                }
                Op::AdvancePast(distance_ms, steps) => {
                    let _ = checked.advance(now_ms.saturating_sub(distance_ms), steps);
                }
                Op::AdvanceToHint(distance_ms, steps) => {
                    let hint_ms = checked.wheel.next_deadline_hint().unwrap_or(now_ms);
                    let _ = checked.advance(hint_ms.saturating_add(distance_ms), steps);
                }
            }
            checked.check();
        }
        checked.drain_by_hints(7);
    }

    #[test]
    fn equal_deadlines_armed_together_fire_in_the_order_of_arming(
        start_ms in start_ms(),
        distances_ms in prop::collection::vec(distance_ms(), 1..6),
        picks in prop::collection::vec(any::<prop::sample::Index>(), 1..100),
        steps_max in 1_usize..50,
    ) {
        let mut wheel = Wheel::new(start_ms);
        let mut armed = Vec::new();
        for (item, pick) in picks.iter().enumerate() {
            let deadline_ms = start_ms.saturating_add(*pick.get(&distances_ms));
            wheel.arm(deadline_ms, item);
            armed.push((deadline_ms, item));
        }
        let mut fired = Vec::new();
        while wheel.advance(u64::MAX, steps_max, &mut fired) == Progress::More {}
        armed.sort_unstable();
        prop_assert_eq!(fired, armed);
    }
}

#[test]
fn deadlines_around_every_level_boundary_fire_on_the_millisecond() {
    let mut starts_ms = vec![0, 1, 2_046, 2_047, 2_048, 1_700_000_000_000];
    starts_ms.extend((1..6).flat_map(|level| [(1_u64 << (11 * level)) - 1, 1 << (11 * level)]));
    starts_ms.extend([u64::MAX - 2_048, u64::MAX - 1, u64::MAX]);
    for start_ms in starts_ms {
        let mut checked = Checked::new(start_ms);
        for level in 0..6 {
            let span_ms = 1_u64 << (11 * level);
            for slots in [1, 2, 1_024, 2_047, 2_048] {
                let distance_ms = span_ms.saturating_mul(slots);
                checked.arm(start_ms.saturating_add(distance_ms - 1));
                checked.arm(start_ms.saturating_add(distance_ms));
                // The same boundary of the absolute scale.
                let boundary_ms = start_ms.checked_next_multiple_of(span_ms).unwrap_or(u64::MAX);
                checked.arm(boundary_ms.saturating_sub(1));
                checked.arm(boundary_ms);
                checked.arm(boundary_ms.saturating_add(1));
            }
        }
        checked.check();
        checked.drain_by_hints(3);
    }
}

#[test]
fn the_farthest_deadline_waits_and_fires() {
    let mut checked = Checked::new(1_700_000_000_000);
    checked.arm(u64::MAX);
    checked.arm(u64::MAX);
    checked.arm(u64::MAX - 1);
    assert_eq!(checked.advance(u64::MAX / 2, UNBOUNDED), Progress::Reached);
    assert_eq!(checked.advance(u64::MAX - 2, UNBOUNDED), Progress::Reached);
    assert_eq!(checked.wheel.len(), 3);
    checked.cancel(0);
    checked.drain_by_hints(1);
    assert_eq!(checked.last_fired_ms, u64::MAX);
    // Time can't go further, and what is armed now is still due at the next advance.
    checked.arm(5);
    assert_eq!(checked.advance(0, UNBOUNDED), Progress::Reached);
    assert!(checked.wheel.is_empty());
}

#[test]
fn a_deadline_in_the_past_is_due_at_the_next_advance() {
    let mut wheel = Wheel::new(1_000);
    let mut fired = Vec::new();
    wheel.arm(1_000, 1_u32);
    wheel.arm(999, 2);
    wheel.arm(0, 3);
    assert_eq!(wheel.next_deadline_hint(), Some(1_000));
    assert_eq!(wheel.advance(1_000, UNBOUNDED, &mut fired), Progress::Reached);
    assert_eq!(fired, [(1_000, 1), (1_000, 2), (1_000, 3)]);
}

#[test]
fn overdue_timers_fire_in_their_order_when_the_wheel_starts_at_the_earliest() {
    let mut wheel = Wheel::new(10);
    let mut fired = Vec::new();
    for deadline_ms in [500_000, 10, 70_000, 300] {
        wheel.arm(deadline_ms, ());
    }
    assert_eq!(wheel.advance(1_700_000_000_000, UNBOUNDED, &mut fired), Progress::Reached);
    let deadlines_ms: Vec<u64> = fired.iter().map(|&(deadline_ms, ())| deadline_ms).collect();
    assert_eq!(deadlines_ms, [10, 300, 70_000, 500_000]);
}

#[test]
fn time_does_not_go_back() {
    let mut wheel = Wheel::new(5_000);
    let mut fired = Vec::new();
    wheel.arm(5_100, 1_u32);
    assert_eq!(wheel.advance(4_000, UNBOUNDED, &mut fired), Progress::Reached);
    assert_eq!(wheel.time_ms(), 5_000);
    assert!(fired.is_empty());
    assert_eq!(wheel.advance(5_100, 1, &mut fired), Progress::More);
    // Work that was due at the later time goes on.
    assert_eq!(wheel.advance(0, 1, &mut fired), Progress::Reached);
    assert_eq!(fired, [(5_100, 1)]);
}

#[test]
fn idle_time_costs_nothing() {
    let mut wheel = Wheel::new(0);
    let mut fired = Vec::new();
    wheel.arm(1 << 50, 1_u32);
    for year in 1..=1_000 {
        assert_eq!(wheel.advance(year * 31_536_000_000, 0, &mut fired), Progress::Reached);
    }
    assert_eq!(wheel.work().steps(), 0);
    assert!(wheel.next_deadline_hint().is_some_and(|hint_ms| hint_ms > 1_000 * 31_536_000_000));
}

#[test]
fn a_driver_wakes_at_most_five_times_before_a_timer_fires() {
    let mut wheel = Wheel::new(0);
    let mut fired = Vec::new();
    wheel.arm(u64::MAX, 1_u32);
    let mut wakes = 0;
    while let Some(hint_ms) = wheel.next_deadline_hint() {
        assert_eq!(wheel.advance(hint_ms, UNBOUNDED, &mut fired), Progress::Reached);
        wakes += 1;
    }
    assert_eq!(wakes, 6);
    assert_eq!(fired, [(u64::MAX, 1)]);
}

#[test]
fn no_steps_do_nothing() {
    let mut wheel = Wheel::new(0);
    let mut fired = Vec::new();
    wheel.arm(10, 1_u32);
    assert_eq!(wheel.advance(9, 0, &mut fired), Progress::Reached);
    assert_eq!(wheel.advance(10, 0, &mut fired), Progress::More);
    assert_eq!(wheel.advance(10, 0, &mut fired), Progress::More);
    assert_eq!((wheel.time_ms(), fired.len()), (9, 0));
}

#[test]
fn a_wave_at_one_deadline_fires_in_bounded_calls() {
    let mut checked = Checked::new(1_700_000_000_000);
    let deadline_ms = checked.now_ms + 900_000;
    let mut wheel = Wheel::new(checked.now_ms);
    for item in 0..20_000_u32 {
        wheel.arm(deadline_ms, item);
    }
    let mut fired = Vec::new();
    let mut calls = 0;
    loop {
        let (fired_before, steps_before) = (fired.len(), wheel.work().steps());
        let progress = wheel.advance(deadline_ms, 100, &mut fired);
        calls += 1;
        assert!(fired.len() - fired_before <= 100);
        assert!(wheel.work().steps() - steps_before <= 100);
        if progress == Progress::Reached {
            break;
        }
    }
    // Each timer is fired once and cascaded once; two instants.
    assert!((200..=402).contains(&calls), "{calls} calls");
    assert!(fired.iter().map(|&(_, item)| item).eq(0..20_000), "a wave fires in the order of arming");
    checked.arm(deadline_ms);
    checked.drain_by_hints(1);
}

#[test]
fn a_cascade_is_interrupted_by_arms_and_cancels_without_harm() {
    let mut checked = Checked::new(0);
    // One level-1 slot, 4096 to 6143 ms, in descending order so that the cascade has everything to sort.
    for item in 0..256 {
        checked.arm(4_096 + 255 - item);
    }
    checked.arm(6_144);
    // One step for the instant, nine to move timers.
    assert_eq!(checked.advance(4_300, 10), Progress::More);
    assert_eq!((checked.wheel.time_ms(), checked.wheel.work().cascaded), (4_096, 9));
    assert_eq!(checked.wheel.next_deadline_hint(), Some(4_096));
    // Moved already; next to be moved; in the middle; last; and one again, now stale.
    for nth in [0, 8, 9, 100, 255, 9] {
        checked.cancel(nth);
        checked.check();
    }
    // Into the slot's interval, at its start, before it, and beyond it; a whole turn ahead.
    for deadline_ms in [4_200, 4_096, 3, 6_143, 6_144, 70_000, 4_096 + 2_048 * 2_048] {
        checked.arm(deadline_ms);
        checked.check();
    }
    assert_eq!(checked.wheel.work().fired, 0);
    while checked.advance(4_300, 10) == Progress::More {
        checked.check();
    }
    assert_eq!(checked.last_fired_ms, 4_300);
    checked.drain_by_hints(10);
}

#[test]
fn slots_of_all_levels_that_start_together_are_cascaded_from_the_top() {
    let mut checked = Checked::new(0);
    // Level 3, 2, 1, 0 in turn, each armed when the boundary is near enough for that level.
    let boundary_ms = 1_u64 << 33;
    for before_ms in [boundary_ms, 1 << 30, 1 << 20, 1 << 8] {
        assert_eq!(checked.advance(boundary_ms - before_ms, UNBOUNDED), Progress::Reached);
        for offset_ms in [5_000_000, 3_000, 7, 0, 1] {
            checked.arm(boundary_ms + offset_ms);
        }
        checked.check();
    }
    while checked.advance(boundary_ms, 1) == Progress::More {
        checked.check();
    }
    assert_eq!(checked.wheel.work().fired, 4);
    checked.drain_by_hints(1);
}

#[test]
fn a_slot_emptied_by_cancels_half_way_through_its_cascade_is_left() {
    let mut checked = Checked::new(0);
    for _ in 0..8 {
        checked.arm(5_000);
    }
    assert_eq!(checked.advance(10_000, 4), Progress::More);
    for nth in 0..8 {
        checked.cancel(nth);
        checked.check();
    }
    assert_eq!(checked.wheel.next_deadline_hint(), None);
    checked.arm(5_001);
    assert_eq!(checked.advance(10_000, UNBOUNDED), Progress::Reached);
    assert_eq!(checked.last_fired_ms, 5_001);
}

#[test]
fn a_reused_entry_does_not_answer_to_its_old_ids() {
    let mut wheel = Wheel::new(0);
    let mut fired = Vec::new();
    let mut stale = vec![TimerId::NONE];
    for round in 0..100_u32 {
        let id = wheel.arm(u64::from(round) + 1, round);
        for &old in &stale {
            assert_eq!(wheel.cancel(old), None);
        }
        if round % 2 == 0 {
            assert_eq!(wheel.cancel(id), Some(round));
        } else {
            assert_eq!(wheel.advance(u64::from(round) + 1, UNBOUNDED, &mut fired), Progress::Reached);
        }
        assert!(!stale.contains(&id));
        stale.push(id);
    }
    assert_eq!(fired.len(), 50);
}

#[test]
fn memory_stays_at_the_highest_number_armed_at_once() {
    let mut wheel = Wheel::new(0);
    let mut fired = Vec::new();
    let mut bytes = Vec::new();
    for round in 1..=5_u64 {
        let ids: Vec<TimerId> = (0..10_000).map(|item: u32| wheel.arm(round * 1_000, item)).collect();
        bytes.push(wheel.memory_bytes());
        for &id in ids.iter().step_by(2) {
            assert!(wheel.cancel(id).is_some());
        }
        assert_eq!(wheel.advance(round * 1_000, UNBOUNDED, &mut fired), Progress::Reached);
        assert!(wheel.is_empty());
    }
    assert!(bytes.iter().all(|&bytes_now| bytes_now == bytes[0]));
    assert!(bytes[0] < 24 * 3 * 4_096 + 104 * 1_024);
}

#[test]
fn a_wheel_can_be_sent_to_another_thread() {
    fn assert_send<T: Send>() {}
    assert_send::<Wheel<u32>>();
}
