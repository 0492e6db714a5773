//! The wheel: six levels of 2048 slots over the slab, and the bounded walk through time.
//!
//! A slot of level `L` covers 2¹¹ᴸ ms: 1 ms, 2 s, 70 min, 99 days, … A timer lies in the lowest level on which its
//! deadline is fewer than 2048 slots ahead of the wheel's time, so an order that stays unpaid for half an hour is
//! moved once, two seconds or less before it fires.
//!
//! **Invariant.** On level 0 the occupied slots are 0 to 2047 slots ahead, on the others 1 to 2047: a slot stands for
//! one interval, never for two turns of the wheel. The exception is a slot 0 ahead on a higher level. It is being
//! cascaded, its interval starts at the wheel's time exactly, and nothing is armed into it, since a deadline in its
//! interval is near enough for a lower level.
//!
//! The earliest work is the occupied slot that starts first, the higher level first where two start together:
//! what it holds may be due at that very instant. The wheel's time moves to that start, or, when it lies after the
//! caller's `now`, to `now`. It never passes the start of an occupied slot, which keeps the invariant and with it the
//! order. A call that runs out of steps therefore leaves no state behind but the wheel itself.
//!
//! Rejected, after measuring with 10 M timers: 256 slots a level moves each timer twice and in waves 32 times as
//! large. Choosing the level by the highest byte in which deadline and time differ, as tokio's wheel does, finds work in
//! the lowest level alone, but puts all timers beyond the next multiple of 4.6 hours into one slot.

use super::slab::{INDEX_END, Slab, TimerId};

/// Bits of a deadline that a level tells apart.
const LEVEL_BITS: u32 = 11;
/// Slots in a level.
const SLOTS: usize = 1 << LEVEL_BITS;
/// Levels: 66 bits, which is all of a `u64`.
const LEVELS: usize = 6;
/// Words of a level's bitmap.
const WORDS: usize = SLOTS / 64;

/// The bound on the work of one [`Wheel::advance`] to start from. With 10 M timers, each of them a cache miss, on a
/// machine loaded several times over, the longest calls took 0.5 to 0.73 ms of processor time; being descheduled
/// comes on top.
pub const STEPS_PER_ADVANCE: usize = 1024;

/// How far [`Wheel::advance`] came.
#[must_use = "after `More` there is due work left, and nothing but another `advance` will do it"]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress {
    /// Everything due at the given time has fired.
    Reached,
    /// The steps ran out first. Call again, after other work, with the same time or a later one.
    More,
}

/// What a wheel has done since it was made, in the units that [`Wheel::advance`] counts as steps.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Work {
    /// Timers fired.
    pub fired: u64,
    /// Timers moved to a lower level; each at most five times, once for a deadline within 69 minutes.
    pub cascaded: u64,
    /// Times at which there was something to fire or to move. Empty slots cost nothing.
    pub instants: u64,
}

impl Work {
    /// All steps together.
    pub const fn steps(&self) -> u64 {
        self.fired + self.cascaded + self.instants
    }
}

/// A slot's list: a ring through its timers and itself.
#[derive(Clone, Copy, Debug)]
struct Ring {
    first: u32,
    last: u32,
}

/// An occupied slot and the first millisecond that it covers.
#[derive(Clone, Copy, Debug)]
struct Due {
    slot: usize,
    start_ms: u64,
}

/// Which slots of a level are occupied.
#[derive(Clone, Copy, Debug)]
struct Occupied {
    words: [u64; WORDS],
    /// A bit for each word that isn't zero.
    summary: u32,
}

/// A hierarchical timing wheel over milliseconds with payloads `T`, usually a `u32` index.
///
/// Times are `u64` ms on the caller's scale. Memory: 98 KiB, plus 24 bytes for each timer of the highest number
/// ever armed at once (payload of 4 bytes), in pages of 4096 that are kept until the wheel is dropped. The wheel
/// sets no bound on the number of timers: whoever arms does (R12).
///
/// ```
/// use stockade::timer::{Progress, STEPS_PER_ADVANCE, Wheel};
///
/// let mut wheel = Wheel::new(1_000);
/// let unpaid = wheel.arm(901_000, 7_u32);
/// wheel.arm(901_500, 8);
/// assert_eq!(wheel.cancel(unpaid), Some(7));
/// assert_eq!(wheel.cancel(unpaid), None);
///
/// let mut fired = Vec::new();
/// assert_eq!(wheel.advance(901_499, STEPS_PER_ADVANCE, &mut fired), Progress::Reached);
/// assert!(fired.is_empty());
/// assert_eq!(wheel.advance(901_500, STEPS_PER_ADVANCE, &mut fired), Progress::Reached);
/// assert_eq!(fired, [(901_500, 8)]);
/// ```
#[derive(Debug)]
pub struct Wheel<T> {
    slab: Slab<T>,
    /// Slot `s` of level `l` is ring `l * SLOTS + s`, and is called `INDEX_END + ring` in the links of its timers.
    rings: Box<[Ring]>,
    occupied: [Occupied; LEVELS],
    /// The wheel's time: everything that was due before it has fired.
    time_ms: u64,
    /// The latest time the caller has given; ahead of `time_ms` after [`Progress::More`].
    now_ms: u64,
    work: Work,
}

impl<T: Copy> Wheel<T> {
    /// An empty wheel whose time is `now_ms`.
    ///
    /// To fire what is overdue at start in the order of its deadlines, as after a recovery, begin with the earliest
    /// of them and advance to the present: empty time costs nothing.
    pub fn new(now_ms: u64) -> Self {
        let rings = (0..LEVELS * SLOTS).map(|slot| Ring { first: ring_index(slot), last: ring_index(slot) });
        Self {
            slab: Slab::new(),
            rings: rings.collect(),
            occupied: [Occupied { words: [0; WORDS], summary: 0 }; LEVELS],
            time_ms: now_ms,
            now_ms,
            work: Work::default(),
        }
    }

    /// Arms a timer. O(1), at worst one page allocation.
    ///
    /// It fires in the first [`advance`](Self::advance) to `deadline_ms` or later. A deadline before the wheel's
    /// time counts as equal to it: it is due at the next advance, after what was armed for that instant already,
    /// and is reported with that time. That keeps the order of firing ascending over all calls.
    ///
    /// # Panics
    /// With more than 4 294 901 760 timers, which is 100 GB of them.
    pub fn arm(&mut self, deadline_ms: u64, item: T) -> TimerId {
        let deadline_ms = deadline_ms.max(self.time_ms);
        let slot = self.slot_of(deadline_ms);
        let ring = ring_index(slot);
        let last = self.rings[slot].last;
        let id = self.slab.insert(deadline_ms, last, ring, item);
        self.set_next(last, id.index());
        self.rings[slot].last = id.index();
        self.set_occupied(slot);
        id
    }

    /// Cancels a timer and gives its payload back; `None` if it has fired or was cancelled already. O(1): it
    /// touches the timer and its two neighbours, and frees the place at once.
    pub fn cancel(&mut self, id: TimerId) -> Option<T> {
        let entry = self.slab.get(id)?;
        let (prev, next, item) = (entry.prev, entry.next, entry.item);
        // A broken link is a bug. Reading both neighbours before writing to them pays in any case: the two cache
        // misses overlap, while stores that miss retire one after the other (random cancels: a quarter to a half more).
        let linked = (self.next_of(prev) == id.index()) & (self.prev_of(next) == id.index());
        assert!(linked, "the neighbours of an armed timer lead back to it");
        self.slab.remove(id.index());
        self.set_next(prev, next);
        self.set_prev(next, prev);
        if prev == next && prev >= INDEX_END {
            self.clear_occupied((prev - INDEX_END) as usize);
        }
        Some(item)
    }

    /// Moves time towards `now_ms` and appends what comes due to `fired`, as `(deadline_ms, item)`.
    ///
    /// - Never early: nothing with a deadline after `now_ms` fires. A `now_ms` smaller than an earlier one stands
    ///   for the earlier one; time doesn't go back.
    /// - Ascending: deadlines never decrease, within a call and from one call to the next. Equal deadlines fire in
    ///   the order of arming if they were armed between the same two calls; otherwise a later one may overtake,
    ///   having been near enough for a lower level.
    /// - Bounded: at most `steps_max` steps ([`Work`]: each timer fired, each moved down a level, each instant with
    ///   something to do). If they run out the call stops where it is, even inside a slot, and the wheel's time
    ///   stays there; timers may be armed and cancelled before the next call goes on. With 0 steps nothing is done.
    ///
    /// `fired` grows by `steps_max` at most; reuse it, so that it stops growing.
    pub fn advance(&mut self, now_ms: u64, steps_max: usize, fired: &mut Vec<(u64, T)>) -> Progress {
        self.now_ms = self.now_ms.max(now_ms);
        let mut steps_left = steps_max;
        while let Some(due) = self.first_due().filter(|due| due.start_ms <= self.now_ms) {
            if steps_left == 0 {
                return Progress::More;
            }
            // An instant is paid for once, when time gets to it. Otherwise single steps would never get past it.
            if due.start_ms > self.time_ms {
                self.time_ms = due.start_ms;
                self.work.instants += 1;
                steps_left -= 1;
            }
            if due.slot < SLOTS {
                self.fire(due.slot, &mut steps_left, fired);
            } else {
                self.cascade(due.slot, &mut steps_left);
            }
        }
        self.time_ms = self.now_ms;
        Progress::Reached
    }

    /// A lower bound of the next time at which [`advance`](Self::advance) has something to do, be it to move timers
    /// down a level; `None` when no timer is armed. O(1). Exact to the ms for what is due within two seconds.
    ///
    /// A driver sleeps until then, advances, and asks again: it is never late, and for a timer it wakes at most five
    /// times for nothing (once within 69 minutes).
    pub fn next_deadline_hint(&self) -> Option<u64> {
        self.first_due().map(|due| due.start_ms)
    }

    /// The wheel's time, in ms: the last `now_ms` after [`Progress::Reached`]; after [`Progress::More`] how far it
    /// came. Everything due before it has fired.
    pub const fn time_ms(&self) -> u64 {
        self.time_ms
    }

    /// Armed timers.
    pub const fn len(&self) -> usize {
        self.slab.len()
    }

    /// Whether no timer is armed.
    pub const fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Bytes allocated, the wheel itself included.
    pub fn memory_bytes(&self) -> usize {
        size_of::<Self>() + size_of_val(&*self.rings) + self.slab.memory_bytes()
    }

    /// What has been done so far.
    pub const fn work(&self) -> Work {
        self.work
    }

    /// Fires from the front of a level-0 slot until it is empty or the steps run out.
    fn fire(&mut self, slot: usize, steps_left: &mut usize, fired: &mut Vec<(u64, T)>) {
        let ring = ring_index(slot);
        let mut first = self.rings[slot].first;
        while first != ring && *steps_left > 0 {
            let entry = self.slab.entry(first);
            debug_assert!(entry.deadline_ms == self.time_ms, "a level-0 slot holds one deadline");
            fired.push((entry.deadline_ms, entry.item));
            let next = entry.next;
            self.slab.remove(first);
            first = next;
            *steps_left -= 1;
            self.work.fired += 1;
        }
        self.cut_front(slot, first);
    }

    /// Moves timers from the front of a slot to where they belong now that time has got to it, until it is empty or
    /// the steps run out.
    fn cascade(&mut self, slot: usize, steps_left: &mut usize) {
        let ring = ring_index(slot);
        let mut first = self.rings[slot].first;
        while first != ring && *steps_left > 0 {
            let entry = self.slab.entry(first);
            let next = entry.next;
            let target = self.slot_of(entry.deadline_ms);
            debug_assert!(target / SLOTS < slot / SLOTS, "a cascade goes down");
            let last = self.rings[target].last;
            let entry = self.slab.entry_mut(first);
            entry.prev = last;
            entry.next = ring_index(target);
            self.set_next(last, first);
            self.rings[target].last = first;
            self.set_occupied(target);
            first = next;
            *steps_left -= 1;
            self.work.cascaded += 1;
        }
        self.cut_front(slot, first);
    }

    /// Lets a slot's list begin with `first`, the timers before it being gone. Doing so once for each walk rather
    /// than for each timer spares the walk a second access to every one of them.
    fn cut_front(&mut self, slot: usize, first: u32) {
        let ring = ring_index(slot);
        self.rings[slot].first = first;
        self.set_prev(first, ring);
        if first == ring {
            self.clear_occupied(slot);
        }
    }

    /// Where a deadline that isn't before the wheel's time belongs.
    fn slot_of(&self, deadline_ms: u64) -> usize {
        let distance_ms = deadline_ms - self.time_ms;
        let mut level = (63 - (distance_ms | 1).leading_zeros()) / LEVEL_BITS;
        // A distance just short of the level's whole turn may end 2048 slots ahead, in the slot of the present. On the
        // top level it can't: there are only 512 slots until the end of time.
        let shift = level * LEVEL_BITS;
        if (deadline_ms >> shift) - (self.time_ms >> shift) >= SLOTS as u64 {
            level += 1;
        }
        level as usize * SLOTS + (deadline_ms >> (level * LEVEL_BITS)) as usize % SLOTS
    }

    /// The occupied slot that starts first, of those that start together the one on the highest level.
    fn first_due(&self) -> Option<Due> {
        let mut first: Option<Due> = None;
        for (level, occupied) in self.occupied.iter().enumerate() {
            if occupied.summary == 0 {
                continue;
            }
            let shift = level as u32 * LEVEL_BITS;
            let present = self.time_ms >> shift;
            let (place, ahead) = occupied.first_from(present as usize % SLOTS)?;
            let start_ms = (present + ahead as u64) << shift;
            if first.is_none_or(|first| start_ms <= first.start_ms) {
                first = Some(Due { slot: level * SLOTS + place, start_ms });
            }
        }
        first
    }

    fn set_occupied(&mut self, slot: usize) {
        let (occupied, place) = (&mut self.occupied[slot / SLOTS], slot % SLOTS);
        occupied.words[place / 64] |= 1 << (place % 64);
        occupied.summary |= 1 << (place / 64);
    }

    fn clear_occupied(&mut self, slot: usize) {
        let (occupied, place) = (&mut self.occupied[slot / SLOTS], slot % SLOTS);
        occupied.words[place / 64] &= !(1 << (place % 64));
        if occupied.words[place / 64] == 0 {
            occupied.summary &= !(1 << (place / 64));
        }
    }

    fn next_of(&self, index: u32) -> u32 {
        if index >= INDEX_END {
            self.rings[(index - INDEX_END) as usize].first
        } else {
            self.slab.entry(index).next
        }
    }

    fn prev_of(&self, index: u32) -> u32 {
        if index >= INDEX_END {
            self.rings[(index - INDEX_END) as usize].last
        } else {
            self.slab.entry(index).prev
        }
    }

    fn set_next(&mut self, index: u32, next: u32) {
        if index >= INDEX_END {
            self.rings[(index - INDEX_END) as usize].first = next;
        } else {
            self.slab.entry_mut(index).next = next;
        }
    }

    fn set_prev(&mut self, index: u32, prev: u32) {
        if index >= INDEX_END {
            self.rings[(index - INDEX_END) as usize].last = prev;
        } else {
            self.slab.entry_mut(index).prev = prev;
        }
    }

    /// Walks every list and checks the invariant of the module's documentation.
    #[cfg(test)]
    pub(super) fn assert_consistent(&self) {
        let mut count = 0;
        for slot in 0..LEVELS * SLOTS {
            let ring = ring_index(slot);
            let (mut prev, mut index) = (ring, self.rings[slot].first);
            let (level, place) = (slot / SLOTS, slot % SLOTS);
            let shift = level as u32 * LEVEL_BITS;
            while index != ring {
                let entry = self.slab.entry(index);
                assert_eq!(entry.prev, prev, "links in slot {slot} run both ways");
                assert!(entry.deadline_ms >= self.time_ms, "nothing due was passed over");
                assert_eq!((entry.deadline_ms >> shift) as usize % SLOTS, place);
                let ahead = (entry.deadline_ms >> shift) - (self.time_ms >> shift);
                assert!(ahead < SLOTS as u64, "a slot stands for one turn");
                if ahead == 0 && level > 0 {
                    assert_eq!(self.time_ms % (1 << shift), 0, "time waits for a cascade");
                }
                (prev, index) = (index, entry.next);
                count += 1;
            }
            assert_eq!(self.rings[slot].last, prev);
            let bit = self.occupied[level].words[place / 64] >> (place % 64) & 1 == 1;
            assert_eq!(bit, self.rings[slot].first != ring, "slot {slot}'s bit says whether it is empty");
        }
        for occupied in &self.occupied {
            for (word, &bits) in occupied.words.iter().enumerate() {
                assert_eq!(occupied.summary >> word & 1 == 1, bits != 0);
            }
        }
        assert_eq!(count, self.len());
    }
}

impl Occupied {
    /// The first occupied place from `from` on, going round, and how far ahead it is; `None` if there is none.
    fn first_from(&self, from: usize) -> Option<(usize, usize)> {
        let word = from / 64;
        let in_first_word = self.words[word] & u64::MAX << (from % 64);
        let place = if in_first_word != 0 {
            word * 64 + in_first_word.trailing_zeros() as usize
        } else {
            // The words after the first, or else the lowest: that may be the first again, for its lower places.
            let after = self.summary & (u32::MAX - 1) << word;
            let words = if after != 0 { after } else { self.summary };
            if words == 0 {
                return None;
            }
            let word = words.trailing_zeros() as usize;
            word * 64 + self.words[word].trailing_zeros() as usize
        };
        Some((place, place.wrapping_sub(from) % SLOTS))
    }
}

/// What a slot is called in the links of its timers.
const fn ring_index(slot: usize) -> u32 {
    INDEX_END + slot as u32
}
