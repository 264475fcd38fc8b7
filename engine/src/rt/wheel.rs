//! A hierarchical timer wheel in milliseconds. Deadlines that move are left where they are: whoever is woken early looks
//! at its own deadline and sleeps again, so activity costs nothing here.

/// Names one use of one timer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TimerKey {
    index: u32,
    generation: u32,
}

const SLOT_BITS: u32 = 6;
const SLOTS: usize = 1 << SLOT_BITS;
/// Six levels of 64 slots reach 2^36 ms, more than two years; what is later waits in the last slot and is put in again.
const LEVELS: usize = 6;
const REACH_MS: u64 = 1 << (SLOT_BITS as u64 * LEVELS as u64);
const NONE: u32 = u32::MAX;

struct Timer {
    at_ms: u64,
    task: u32,
    generation: u32,
    place: u16,
    previous: u32,
    next: u32,
}

/// The timers of one core.
pub(super) struct Wheel {
    timers: slab::Slab<Timer>,
    generation: u32,
    now_ms: u64,
    /// First timer of each slot, level by level.
    heads: [u32; LEVELS * SLOTS],
    /// One bit per slot that has timers.
    occupied: [u64; LEVELS],
}

impl Wheel {
    pub(super) fn new() -> Self {
        Self {
            timers: slab::Slab::new(),
            generation: 0,
            now_ms: 0,
            heads: [NONE; LEVELS * SLOTS],
            occupied: [0; LEVELS],
        }
    }

    pub(super) fn len(&self) -> usize {
        self.timers.len()
    }

    /// Wakes `task` when the wheel reaches `at_ms`.
    pub(super) fn insert(&mut self, at_ms: u64, task: u32) -> TimerKey {
        self.generation = self.generation.wrapping_add(1);
        let generation = self.generation;
        let timer = Timer {
            at_ms,
            task,
            generation,
            place: 0,
            previous: NONE,
            next: NONE,
        };
        let index = self.timers.insert(timer) as u32;
        self.link(index);
        TimerKey { index, generation }
    }

    /// Forgets a timer; one that has fired already is no more.
    pub(super) fn remove(&mut self, key: TimerKey) {
        let live = self
            .timers
            .get(key.index as usize)
            .is_some_and(|timer| timer.generation == key.generation);
        if live {
            self.unlink(key.index);
            self.timers.remove(key.index as usize);
        }
    }

    /// When to look next: no timer fires before this. `None` without timers.
    pub(super) fn next_ms(&self) -> Option<u64> {
        let mut next: Option<u64> = None;
        for (level, &occupied) in self.occupied.iter().enumerate() {
            if occupied == 0 {
                continue;
            }
            let shift = SLOT_BITS * level as u32;
            let position = (self.now_ms >> shift) as u32 & (SLOTS as u32 - 1);
            let ahead = u64::from(occupied.rotate_right(position).trailing_zeros());
            // A slot at the present position holds what is a whole round ahead, except at the first level.
            let ahead = if ahead == 0 && level > 0 {
                SLOTS as u64
            } else {
                ahead
            };
            let at = ((self.now_ms >> shift) + ahead) << shift;
            next = Some(next.map_or(at, |other| other.min(at)));
        }
        next.map(|at| at.max(self.now_ms))
    }

    /// Moves the wheel to `now_ms` and names the tasks whose time has come.
    pub(super) fn advance(&mut self, now_ms: u64, fired: &mut Vec<u32>) {
        while let Some(at) = self.next_ms().filter(|&at| at <= now_ms) {
            self.now_ms = at;
            for level in (0..LEVELS).rev() {
                let shift = SLOT_BITS * level as u32;
                if level > 0 && at & ((1 << shift) - 1) != 0 {
                    continue;
                }
                self.empty(
                    level * SLOTS + ((at >> shift) as usize & (SLOTS - 1)),
                    fired,
                );
            }
        }
        self.now_ms = self.now_ms.max(now_ms);
    }

    /// Fires or puts in again every timer of a slot.
    fn empty(&mut self, place: usize, fired: &mut Vec<u32>) {
        let mut index = std::mem::replace(&mut self.heads[place], NONE);
        self.occupied[place / SLOTS] &= !(1 << (place % SLOTS));
        while index != NONE {
            let timer = &self.timers[index as usize];
            let (next, due) = (timer.next, timer.at_ms <= self.now_ms);
            if due {
                fired.push(self.timers.remove(index as usize).task);
            } else {
                self.link(index);
            }
            index = next;
        }
    }

    fn place(&self, at_ms: u64) -> usize {
        let at_ms = at_ms.clamp(self.now_ms, self.now_ms + REACH_MS - 1);
        let distance = at_ms ^ self.now_ms;
        let level = if distance == 0 {
            0
        } else {
            ((63 - distance.leading_zeros()) / SLOT_BITS) as usize
        };
        let level = level.min(LEVELS - 1);
        let slot = (at_ms >> (SLOT_BITS * level as u32)) as usize & (SLOTS - 1);
        level * SLOTS + slot
    }

    fn link(&mut self, index: u32) {
        let place = self.place(self.timers[index as usize].at_ms);
        let next = std::mem::replace(&mut self.heads[place], index);
        if next != NONE {
            self.timers[next as usize].previous = index;
        }
        let timer = &mut self.timers[index as usize];
        (timer.place, timer.previous, timer.next) = (place as u16, NONE, next);
        self.occupied[place / SLOTS] |= 1 << (place % SLOTS);
    }

    fn unlink(&mut self, index: u32) {
        let timer = &self.timers[index as usize];
        let (place, previous, next) = (usize::from(timer.place), timer.previous, timer.next);
        if next != NONE {
            self.timers[next as usize].previous = previous;
        }
        if previous != NONE {
            self.timers[previous as usize].next = next;
        } else {
            self.heads[place] = next;
            if next == NONE {
                self.occupied[place / SLOTS] &= !(1 << (place % SLOTS));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A small deterministic generator (xorshift64).
    fn random(state: &mut u64) -> u64 {
        *state ^= *state << 13;
        *state ^= *state >> 7;
        *state ^= *state << 17;
        *state
    }

    #[test]
    fn timers_fire_at_their_time_and_not_before() {
        for at in [
            0,
            1,
            63,
            64,
            65,
            4095,
            4096,
            4097,
            262_144,
            16_777_217,
            REACH_MS - 1,
        ] {
            let mut wheel = Wheel::new();
            let mut fired = Vec::new();
            wheel.insert(at, 9);
            if at > 0 {
                wheel.advance(at - 1, &mut fired);
                assert!(fired.is_empty(), "{at} fired early");
            }
            wheel.advance(at, &mut fired);
            assert_eq!(
                (fired.as_slice(), wheel.len(), wheel.next_ms()),
                (&[9][..], 0, None),
                "{at}"
            );
        }
    }

    #[test]
    fn against_a_sorted_list() {
        let mut seed = 0x9e37_79b9_7f4a_7c15;
        let mut wheel = Wheel::new();
        let mut expected: Vec<(u64, u32, TimerKey)> = Vec::new();
        let mut now = 0;
        for round in 0..20_000u32 {
            let span = [10, 100, 5000, 300_000, 20_000_000][random(&mut seed) as usize % 5];
            let at = now + random(&mut seed) % span;
            expected.push((at, round, wheel.insert(at, round)));
            if random(&mut seed).is_multiple_of(3) {
                let index = random(&mut seed) as usize % expected.len();
                wheel.remove(expected.swap_remove(index).2);
            }
            if random(&mut seed).is_multiple_of(2) {
                now += random(&mut seed) % span;
                let mut fired = Vec::new();
                wheel.advance(now, &mut fired);
                let mut due: Vec<u32> = expected
                    .iter()
                    .filter(|timer| timer.0 <= now)
                    .map(|timer| timer.1)
                    .collect();
                expected.retain(|timer| timer.0 > now);
                fired.sort_unstable();
                due.sort_unstable();
                assert_eq!(fired, due);
                let earliest = expected.iter().map(|timer| timer.0).min();
                assert!(wheel.next_ms().is_some() == earliest.is_some());
                assert!(wheel.next_ms() <= earliest.or(Some(u64::MAX)));
            }
            assert_eq!(wheel.len(), expected.len());
        }
    }

    #[test]
    fn a_fired_timer_cannot_be_removed_twice() {
        let mut wheel = Wheel::new();
        let mut fired = Vec::new();
        let old = wheel.insert(1, 1);
        wheel.advance(1, &mut fired);
        let new = wheel.insert(5, 2);
        wheel.remove(old);
        assert_eq!(wheel.len(), 1);
        wheel.remove(new);
        assert_eq!((wheel.len(), wheel.next_ms()), (0, None));
    }
}
