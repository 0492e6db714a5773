//! Engine time. The only module that names `SystemTime` and `Instant`.
//!
//! Engine time is milliseconds since the Unix epoch. It follows the monotonic clock, so it runs on evenly when
//! somebody sets the wall clock, and it never decreases. Towards wall time it *slews*: it runs at most
//! [`SLEW_PPM_MAX`] faster or slower than the monotonic clock until the two agree. That is far too slow to fire a
//! timer early by an amount that matters, and faster than any crystal drifts.
//!
//! A difference above the configured bound is no drift but a step: a wrong clock that was set right, or a right one
//! that was set wrong, or a machine that slept. The engine can't know which, and following blindly could close
//! every open order at once. So it runs on by the monotonic clock, raises [`Clock::drift_alarm`], and adopts wall
//! time only by command.
//!
//! Tests bring their own time: [`Clock::manual`].

use std::fmt;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use crossbeam::utils::CachePadded;
use tokio::sync::watch;

/// How much faster or slower than the monotonic clock engine time runs at most, in millionths.
pub const SLEW_PPM_MAX: u64 = 500;
/// Default of [`Clock::system`]'s `step_max_ms`: a larger difference to wall time is not slewed.
pub const STEP_MAX_MS_DEFAULT: u64 = 60_000;

/// How often wall time is looked at, in ns of the monotonic clock. In one such interval slewing moves engine
/// time by 5 µs at most.
const MEASURE_INTERVAL_NS: u64 = 10_000_000;
/// A reading of wall time during which the monotonic clock moved further than this, in ns, is thrown away: the thread
/// was suspended in the middle.
const READING_NS_MAX: u64 = 1_000_000;
const NS_PER_MS: i64 = 1_000_000;
/// How long a wait for an instant sleeps at most before it looks at the clock again, in ns.
const LOOK_AGAIN_NS: u64 = 1_000_000_000;

/// The engine's clock. Clones are the same clock.
#[derive(Clone)]
pub struct Clock {
    shared: Arc<Shared>,
}

struct Shared {
    source: Source,
    step_max_ns: i64,
    hot: CachePadded<Hot>,
    /// Monotonic time of the last measurement, in ns: the elapsed time bounds how far the next one may slew.
    measured_at_ns: Mutex<u64>,
    /// Wall time minus engine time in ns, as of the last measurement, when above the bound; else 0.
    alarm_ns: AtomicI64,
}

/// What every reading of the clock touches.
struct Hot {
    /// Engine time minus monotonic time, in ns.
    offset_ns: AtomicI64,
    /// Monotonic time from which on the next measurement is due, in ns.
    measure_from_ns: AtomicU64,
    /// The latest engine time that anybody has seen, in ms.
    latest_ms: AtomicU64,
}

enum Source {
    System { started: Instant },
    Manual(Arc<ManualSource>),
}

struct ManualSource {
    monotonic_ns: AtomicU64,
    wall_ns: AtomicI64,
    changes: watch::Sender<u64>,
}

impl Source {
    fn monotonic_ns(&self) -> u64 {
        match self {
            // 2^64 ns are 584 years of uptime.
            Self::System { started } => started.elapsed().as_nanos() as u64,
            Self::Manual(manual) => manual.monotonic_ns.load(Ordering::SeqCst),
        }
    }

    /// Wall time in ns since the Unix epoch; a clock set before 1970 reads 0.
    fn wall_ns(&self) -> i64 {
        match self {
            Self::System { .. } => SystemTime::now()
                .duration_since(UNIX_EPOCH)
                .map_or(0, |since| i64::try_from(since.as_nanos()).unwrap_or(i64::MAX)),
            Self::Manual(manual) => manual.wall_ns.load(Ordering::SeqCst),
        }
    }
}

impl fmt::Debug for Clock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Clock")
            .field("now_ms", &self.now_ms())
            .field("drift_alarm_ms", &self.drift_alarm())
            .finish()
    }
}

impl Clock {
    /// The machine's clock, starting at wall time. A later difference to wall time above `step_max_ms` is not slewed.
    pub fn system(step_max_ms: u64) -> Self {
        Self::new(Source::System { started: Instant::now() }, step_max_ms)
    }

    /// A clock that moves only when told to, starting at `start_ms`, with a step bound of [`STEP_MAX_MS_DEFAULT`].
    pub fn manual(start_ms: u64) -> (Self, ManualTime) {
        let source = Arc::new(ManualSource {
            monotonic_ns: AtomicU64::new(0),
            wall_ns: AtomicI64::new(ms_to_ns(start_ms)),
            changes: watch::Sender::new(0),
        });
        let clock = Self::new(Source::Manual(source.clone()), STEP_MAX_MS_DEFAULT);
        (clock, ManualTime { source })
    }

    fn new(source: Source, step_max_ms: u64) -> Self {
        let monotonic_ns = source.monotonic_ns();
        let offset_ns = source.wall_ns().saturating_sub_unsigned(monotonic_ns);
        Self {
            shared: Arc::new(Shared {
                source,
                step_max_ns: ms_to_ns(step_max_ms),
                hot: CachePadded::new(Hot {
                    offset_ns: AtomicI64::new(offset_ns),
                    measure_from_ns: AtomicU64::new(monotonic_ns + MEASURE_INTERVAL_NS),
                    latest_ms: AtomicU64::new(0),
                }),
                measured_at_ns: Mutex::new(monotonic_ns),
                alarm_ns: AtomicI64::new(0),
            }),
        }
    }

    /// Engine time, in ms since the Unix epoch. Never decreases, over all clones and threads.
    ///
    /// Costs one reading of the monotonic clock and three loads; every 10 ms one caller also reads wall time.
    pub fn now_ms(&self) -> u64 {
        let Shared { source, hot, .. } = &*self.shared;
        let monotonic_ns = source.monotonic_ns();
        if monotonic_ns >= hot.measure_from_ns.load(Ordering::Relaxed) {
            self.measure();
        }
        let engine_ns = hot.offset_ns.load(Ordering::Relaxed).saturating_add_unsigned(monotonic_ns);
        self.not_before(ns_to_ms(engine_ns))
    }

    /// Nanoseconds since this clock was made, by the monotonic clock: for measuring durations, not for deadlines.
    pub fn monotonic_ns(&self) -> u64 {
        self.shared.source.monotonic_ns()
    }

    /// How far wall time is from engine time, in ms (positive: wall time is ahead), if that is above the bound and
    /// so is not slewed. Reads wall time.
    pub fn drift_alarm(&self) -> Option<i64> {
        self.measure();
        match self.shared.alarm_ns.load(Ordering::Relaxed) {
            0 => None,
            drift_ns => Some(drift_ns / NS_PER_MS),
        }
    }

    /// Makes wall time engine time, however far away it is; for an operator who has checked that it is right.
    ///
    /// If wall time is ahead, engine time jumps ahead, and timers in between are due at once. If it is behind, engine
    /// time can't decrease: it stands still until wall time has caught up.
    pub fn adopt_wall_time(&self) {
        {
            let mut measured_at_ns = self.lock_measurements();
            let monotonic_ns = self.shared.source.monotonic_ns();
            let offset_ns = self.shared.source.wall_ns().saturating_sub_unsigned(monotonic_ns);
            // Whoever has not looked at the clock lately must not see it go back either.
            self.not_before(ns_to_ms(self.engine_ns(monotonic_ns)));
            self.shared.hot.offset_ns.store(offset_ns, Ordering::Relaxed);
            self.shared.alarm_ns.store(0, Ordering::Relaxed);
            *measured_at_ns = monotonic_ns;
        }
        if let Source::Manual(manual) = &self.shared.source {
            manual.changed();
        }
    }

    /// Engine time is at least `floor_ms` from now on, and runs on from there. For recovery: the journal's last time
    /// stays in the past, also when the machine came back with a clock that is behind.
    ///
    /// The difference to wall time is then slewed or, above the bound, raises the alarm.
    pub fn start_not_before(&self, floor_ms: u64) {
        let _measurements = self.lock_measurements();
        let monotonic_ns = self.shared.source.monotonic_ns();
        let behind_ns = ms_to_ns(floor_ms) - self.engine_ns(monotonic_ns);
        if behind_ns > 0 {
            self.shared.hot.offset_ns.fetch_add(behind_ns, Ordering::Relaxed);
        }
        self.not_before(floor_ms);
    }

    /// How far ahead an instant of engine time is, in ns, as the monotonic clock runs; at least 1.
    fn ns_until(&self, at_ms: u64) -> u64 {
        let engine_ns = self.engine_ns(self.monotonic_ns());
        u64::try_from(ms_to_ns(at_ms).saturating_sub(engine_ns)).unwrap_or(0).max(1)
    }

    /// A ticker that lets a task look at the clock again and again.
    ///
    /// `interval` is a real duration for the machine's clock. A manual clock's ticks are its changes instead.
    pub fn ticker(&self, interval: Duration) -> Ticker {
        let changes = match &self.shared.source {
            Source::System { .. } => None,
            Source::Manual(manual) => Some(manual.changes.subscribe()),
        };
        Ticker { clock: self.clone(), interval, changes }
    }

    /// Raises the latest time seen to `ms` and returns it.
    fn not_before(&self, ms: u64) -> u64 {
        let latest_ms = &self.shared.hot.latest_ms;
        // Almost every call falls into the millisecond of the call before: no write to the shared line then.
        let latest = latest_ms.load(Ordering::Relaxed);
        if ms <= latest { latest } else { latest_ms.fetch_max(ms, Ordering::Relaxed).max(ms) }
    }

    fn engine_ns(&self, monotonic_ns: u64) -> i64 {
        self.shared.hot.offset_ns.load(Ordering::Relaxed).saturating_add_unsigned(monotonic_ns)
    }

    fn lock_measurements(&self) -> std::sync::MutexGuard<'_, u64> {
        // The number behind the lock is valid at every moment, also after a panic.
        self.shared.measured_at_ns.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Compares engine time with wall time: slews a little, or raises the alarm.
    #[cold]
    fn measure(&self) {
        let Shared { source, hot, step_max_ns, alarm_ns, .. } = &*self.shared;
        let mut measured_at_ns = match self.shared.measured_at_ns.try_lock() {
            Ok(guard) => guard,
            Err(std::sync::TryLockError::Poisoned(poisoned)) => poisoned.into_inner(),
            // Somebody else is at it.
            Err(std::sync::TryLockError::WouldBlock) => return,
        };
        let before_ns = source.monotonic_ns();
        let wall_ns = source.wall_ns();
        let reading_ns = source.monotonic_ns() - before_ns;
        hot.measure_from_ns.store(before_ns + MEASURE_INTERVAL_NS, Ordering::Relaxed);
        if reading_ns > READING_NS_MAX {
            return;
        }
        let ahead_ns = wall_ns.saturating_sub(self.engine_ns(before_ns + reading_ns / 2));
        if ahead_ns.saturating_abs() > *step_max_ns {
            alarm_ns.store(ahead_ns, Ordering::Relaxed);
        } else {
            alarm_ns.store(0, Ordering::Relaxed);
            // The bound grows with the time since the last measurement, so the rate is bounded also when nobody
            // has looked at the clock for an hour.
            let elapsed_ns = before_ns.saturating_sub(*measured_at_ns);
            let slew_ns_max = (elapsed_ns / (1_000_000 / SLEW_PPM_MAX)) as i64;
            hot.offset_ns.fetch_add(ahead_ns.clamp(-slew_ns_max, slew_ns_max), Ordering::Relaxed);
        }
        *measured_at_ns = before_ns;
    }
}

/// Measures how long something has really taken, whatever engine time does meanwhile. Nothing about orders may depend on
/// it: it is for those who ask what the machine is doing.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Stopwatch(Instant);

impl Stopwatch {
    pub(crate) fn start() -> Self {
        Self(Instant::now())
    }

    pub(crate) fn elapsed(self) -> Duration {
        self.0.elapsed()
    }
}

/// Lets a task wait for the next look at the clock, see [`Clock::ticker`].
pub struct Ticker {
    clock: Clock,
    interval: Duration,
    changes: Option<watch::Receiver<u64>>,
}

impl fmt::Debug for Ticker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ticker").field("interval", &self.interval).finish()
    }
}

impl Ticker {
    /// Waits for the next tick and returns engine time in ms.
    ///
    /// By the machine's clock that is one interval later. By a manual clock it is the next change: at once, if there was
    /// one since the last call (or since the ticker was made); never, once its [`ManualTime`] and clock are gone.
    /// Cancelling it loses nothing.
    pub async fn wait_tick(&mut self) -> u64 {
        match &mut self.changes {
            None => tokio::time::sleep(self.interval).await,
            Some(changes) => {
                if changes.changed().await.is_err() {
                    std::future::pending::<()>().await;
                }
            }
        }
        self.clock.now_ms()
    }
}

impl Ticker {
    /// Waits until engine time is at least `at_ms`, in ms since the Unix epoch, and returns it: at once if it is already.
    /// Never early; late by what the runtime's timer takes, a millisecond or two. Cancelling it loses nothing.
    pub async fn wait_until(&mut self, at_ms: u64) -> u64 {
        loop {
            let now_ms = self.clock.now_ms();
            if now_ms >= at_ms {
                return now_ms;
            }
            match &mut self.changes {
                None => {
                    // Engine time slews, and may jump by command: a long wait looks again now and then.
                    let wait_ns = self.clock.ns_until(at_ms).min(LOOK_AGAIN_NS);
                    tokio::time::sleep(Duration::from_nanos(wait_ns)).await;
                }
                Some(changes) => {
                    if changes.changed().await.is_err() {
                        std::future::pending::<()>().await;
                    }
                }
            }
        }
    }
}

/// The hand that moves a manual clock. Clones move the same clock.
#[derive(Clone)]
pub struct ManualTime {
    source: Arc<ManualSource>,
}

impl fmt::Debug for ManualTime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ManualTime").finish_non_exhaustive()
    }
}

impl ManualTime {
    /// Lets so many ms pass: monotonic and wall time move alike. Wakes every ticker of the clock.
    pub fn advance(&self, ms: u64) {
        self.source.wall_ns.fetch_add(ms_to_ns(ms), Ordering::SeqCst);
        self.source.monotonic_ns.fetch_add(ms.saturating_mul(NS_PER_MS as u64), Ordering::SeqCst);
        self.source.changed();
    }

    /// Sets wall time ahead or back by so many ms, as an operator or a time server would. Wakes nobody: engine time
    /// doesn't follow at once.
    pub fn step_wall(&self, ms: i64) {
        self.source.wall_ns.fetch_add(ms.saturating_mul(NS_PER_MS), Ordering::SeqCst);
    }
}

impl ManualSource {
    fn changed(&self) {
        self.changes.send_modify(|count| *count += 1);
    }
}

/// 2^63 ns after 1970 is the year 2262; what lies behind is cut off.
fn ms_to_ns(ms: u64) -> i64 {
    i64::try_from(ms).unwrap_or(i64::MAX).saturating_mul(NS_PER_MS)
}

fn ns_to_ms(ns: i64) -> u64 {
    (ns.max(0) / NS_PER_MS) as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    const START_MS: u64 = 1_800_000_000_000;

    #[test]
    fn a_manual_clock_moves_only_when_told_to() {
        let (clock, time) = Clock::manual(START_MS);
        assert_eq!(clock.now_ms(), START_MS);
        time.advance(1);
        assert_eq!(clock.now_ms(), START_MS + 1);
        time.advance(86_400_000);
        assert_eq!(clock.clone().now_ms(), START_MS + 86_400_001);
        assert_eq!(clock.monotonic_ns(), 86_400_001_000_000);
        assert_eq!(clock.drift_alarm(), None);
    }

    #[test]
    fn a_small_step_of_wall_time_is_slewed_at_the_bounded_rate() {
        for (step_ms, expected_ms) in [(10_000, 5), (-10_000, -5)] {
            let (clock, time) = Clock::manual(START_MS);
            time.step_wall(step_ms);
            assert_eq!(clock.now_ms(), START_MS, "nothing at once");
            for _ in 0..1000 {
                time.advance(10);
                clock.now_ms();
            }
            // 500 millionths of ten seconds.
            assert_eq!(clock.now_ms() as i64, START_MS as i64 + 10_000 + expected_ms);
            for _ in 0..20_000 {
                time.advance(1000);
                clock.now_ms();
            }
            assert_eq!(clock.now_ms() as i64, START_MS as i64 + 20_010_000 + step_ms, "the rest in time");
            assert_eq!(clock.drift_alarm(), None);
        }
    }

    #[test]
    fn the_rate_is_bounded_also_after_a_long_sleep() {
        let (clock, time) = Clock::manual(START_MS);
        time.step_wall(30_000);
        time.advance(3_600_000);
        assert_eq!(clock.now_ms(), START_MS + 3_600_000 + 1_800);
    }

    #[test]
    fn a_large_step_ahead_raises_the_alarm_and_is_adopted_by_command() {
        let (clock, time) = Clock::manual(START_MS);
        time.step_wall(60_001);
        assert_eq!(clock.drift_alarm(), Some(60_001));
        time.advance(10_000_000);
        assert_eq!(clock.now_ms(), START_MS + 10_000_000, "not slewed");
        clock.adopt_wall_time();
        assert_eq!(clock.now_ms(), START_MS + 10_060_001);
        assert_eq!(clock.drift_alarm(), None);
    }

    #[test]
    fn a_large_step_back_once_adopted_holds_the_clock_until_wall_time_catches_up() {
        let (clock, time) = Clock::manual(START_MS);
        time.advance(100);
        // Nobody looked before the step: the clock must not go back behind what it would have shown.
        time.step_wall(-70_000);
        clock.adopt_wall_time();
        assert_eq!(clock.now_ms(), START_MS + 100);
        time.advance(69_999);
        assert_eq!(clock.now_ms(), START_MS + 100);
        time.advance(2);
        assert_eq!(clock.now_ms(), START_MS + 101);
    }

    #[test]
    fn the_alarm_ends_when_wall_time_comes_back() {
        let (clock, time) = Clock::manual(START_MS);
        time.step_wall(-90_000);
        assert_eq!(clock.drift_alarm(), Some(-90_000));
        time.step_wall(90_000);
        assert_eq!(clock.drift_alarm(), None);
    }

    #[test]
    fn recovery_starts_not_before_the_journals_last_time() {
        let (clock, time) = Clock::manual(START_MS);
        clock.start_not_before(START_MS - 5);
        assert_eq!(clock.now_ms(), START_MS);
        clock.start_not_before(START_MS + 100_000);
        assert_eq!(clock.now_ms(), START_MS + 100_000);
        time.advance(7);
        assert_eq!(clock.now_ms(), START_MS + 100_007, "it runs on");
        assert_eq!(clock.drift_alarm(), Some(-100_000));
    }

    #[test]
    fn the_machines_clock_starts_at_wall_time_and_never_decreases() {
        let clock = Clock::system(STEP_MAX_MS_DEFAULT);
        let wall_ms = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis() as u64;
        assert!(clock.now_ms().abs_diff(wall_ms) < 1_000);
        let latest = AtomicU64::new(0);
        std::thread::scope(|scope| {
            for _ in 0..2 {
                scope.spawn(|| {
                    for _ in 0..100_000 {
                        let seen = latest.load(Ordering::SeqCst);
                        let now = clock.now_ms();
                        assert!(now >= seen, "{now} after {seen}");
                        latest.fetch_max(now, Ordering::SeqCst);
                    }
                });
            }
        });
    }

    #[tokio::test]
    async fn a_ticker_of_a_manual_clock_misses_no_advance() {
        let (clock, time) = Clock::manual(START_MS);
        let mut ticker = clock.ticker(Duration::from_secs(3600));
        time.advance(3);
        assert_eq!(ticker.wait_tick().await, START_MS + 3);
        let waiting = tokio::spawn(async move { ticker.wait_tick().await });
        tokio::task::yield_now().await;
        assert!(!waiting.is_finished());
        time.advance(4);
        assert_eq!(waiting.await.unwrap(), START_MS + 7);
    }

    #[tokio::test]
    async fn a_wait_for_an_instant_ends_at_that_instant_and_not_before() {
        let (clock, time) = Clock::manual(START_MS);
        let mut ticker = clock.ticker(Duration::ZERO);
        time.advance(5);
        assert_eq!(ticker.wait_until(START_MS + 5).await, START_MS + 5, "it has come already");
        let waiting = tokio::spawn(async move { ticker.wait_until(START_MS + 20).await });
        for _ in 0..14 {
            time.advance(1);
            tokio::task::yield_now().await;
            assert!(!waiting.is_finished());
        }
        time.advance(3);
        assert_eq!(waiting.await.unwrap(), START_MS + 22);
    }

    #[tokio::test]
    async fn a_ticker_of_the_machines_clock_takes_its_interval() {
        let clock = Clock::system(STEP_MAX_MS_DEFAULT);
        let before_ns = clock.monotonic_ns();
        clock.ticker(Duration::from_millis(2)).wait_tick().await;
        assert!(clock.monotonic_ns() - before_ns >= 2_000_000);
    }
}
