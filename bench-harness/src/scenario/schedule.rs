//! When operations begin: at once, or at planned times that no answer can move.
//!
//! Planned times are the whole of the open loop: an operation that is begun late, because no connection was free or
//! the load itself was held up, still counts from its plan. Several load threads share one plan: of an even one each
//! takes every n-th time, of a random one each has its own arrivals, which together are as random.

use std::time::{Duration, Instant};

use crate::load::random::Random;
use crate::plan::{Pace, Stop};
use crate::result::latency::Start;
use crate::result::model::Clock;

/// Which of all load threads this is.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Share {
    pub(crate) index: usize,
    pub(crate) of: usize,
}

impl Share {
    /// Its part of something that is counted; the parts of all add up to the whole.
    pub(crate) fn part(self, whole: u64) -> u64 {
        let (index, of) = (self.index as u64, self.of as u64);
        whole / of + u64::from(index < whole % of)
    }
}

/// What one thread begins in one round, and when.
#[derive(Debug)]
pub(crate) struct Schedule {
    begin: Instant,
    times: Times,
    share: Share,
    /// Operations begun, and at most.
    asked: u64,
    most: u64,
    /// Nothing begins any more.
    end: Option<Instant>,
}

#[derive(Debug)]
enum Times {
    AtOnce,
    Even {
        rate: f64,
    },
    Random {
        rate: f64,
        random: Random,
        next_s: f64,
    },
}

impl Schedule {
    /// The part of `share` in what is planned from `begin` on; of a ramp, its first step.
    pub(crate) fn new(pace: Pace, stop: Stop, share: Share, begin: Instant) -> Self {
        let (most, end) = match stop {
            Stop::After { ms } => (u64::MAX, Some(begin + Duration::from_millis(ms))),
            Stop::Count { operations } => (share.part(operations), None),
        };
        let mut schedule = Self {
            begin,
            times: Times::AtOnce,
            share,
            asked: 0,
            most,
            end,
        };
        match pace {
            Pace::Closed => {}
            Pace::Fixed { rate } | Pace::Ramp { start: rate, .. } => {
                schedule.times = Times::Even { rate: rate as f64 };
                if let Stop::After { ms } = stop {
                    // Counted, so that no rounding of times makes it one more or less; at least one.
                    schedule.most = share.part((ms.saturating_mul(rate) / 1000).max(1));
                    schedule.end = None;
                }
            }
            Pace::Poisson { rate } => {
                let rate = rate as f64 / share.of as f64;
                let mut random = Random::new(share.index as u64);
                let next_s = random.gap_s(rate);
                schedule.times = Times::Random {
                    rate,
                    random,
                    next_s,
                };
            }
        }
        schedule
    }

    /// The clock of its latencies.
    pub(crate) fn clock(&self) -> Clock {
        match self.times {
            Times::AtOnce => Clock::Asked,
            Times::Even { .. } | Times::Random { .. } => Clock::Planned,
        }
    }

    /// When the next operation begins; none if there is no further one.
    pub(crate) fn next(&self, now: Instant) -> Option<Start> {
        let at = match self.times {
            Times::AtOnce => now,
            Times::Even { rate } => self.begin + self.even(rate, self.asked),
            Times::Random { next_s, .. } => self.begin + Duration::from_secs_f64(next_s),
        };
        let is_over = self.asked >= self.most || self.end.is_some_and(|end| at >= end);
        let clock = self.clock();
        (!is_over).then_some(Start { clock, at })
    }

    /// One more operation is under way.
    pub(crate) fn count(&mut self) {
        self.asked += 1;
        if let Times::Random {
            rate,
            random,
            next_s,
        } = &mut self.times
        {
            *next_s += random.gap_s(*rate);
        }
    }

    /// When a closed loop is over by time.
    pub(crate) fn end(&self) -> Option<Instant> {
        self.end
    }

    /// Operations at most.
    pub(crate) fn most(&self) -> u64 {
        self.most
    }

    /// How long all that has been begun may take by its plan; none where nothing is planned.
    pub(crate) fn span(&self) -> Option<Duration> {
        match (&self.times, self.end) {
            (Times::AtOnce, _) => None,
            (Times::Even { rate }, _) => Some(self.even(*rate, self.asked)),
            (Times::Random { .. }, Some(end)) => Some(end - self.begin),
            (Times::Random { next_s, .. }, None) => Some(Duration::from_secs_f64(*next_s)),
        }
    }

    fn even(&self, rate: f64, count: u64) -> Duration {
        let place = count * self.share.of as u64 + self.share.index as u64;
        Duration::from_secs_f64(place as f64 / rate)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALONE: Share = Share { index: 0, of: 1 };

    /// All planned times, as microseconds from the begin.
    fn planned(pace: Pace, stop: Stop, share: Share) -> Vec<u128> {
        let begin = Instant::now();
        let mut schedule = Schedule::new(pace, stop, share, begin);
        let late = begin + Duration::from_secs(9);
        let mut times = Vec::new();
        while let Some(start) = schedule.next(late) {
            assert_eq!(start.clock, Clock::Planned);
            times.push((start.at - begin).as_micros());
            schedule.count();
        }
        times
    }

    #[test]
    fn an_open_loop_keeps_to_its_plan_however_late_it_is() {
        let stop = Stop::After { ms: 50 };
        let times = planned(Pace::Fixed { rate: 100 }, stop, ALONE);
        assert_eq!(times, [0, 10_000, 20_000, 30_000, 40_000]);
        let stop = Stop::Count { operations: 3 };
        let times = planned(Pace::Fixed { rate: 1000 }, stop, ALONE);
        assert_eq!(times, [0, 1_000, 2_000]);
    }

    #[test]
    fn threads_share_one_plan_without_a_gap() {
        for stop in [Stop::After { ms: 50 }, Stop::Count { operations: 5 }] {
            let of = 3;
            let parts =
                (0..of).map(|index| planned(Pace::Fixed { rate: 100 }, stop, Share { index, of }));
            let mut all: Vec<u128> = parts.flatten().collect();
            all.sort_unstable();
            assert_eq!(all, [0, 10_000, 20_000, 30_000, 40_000]);
        }
    }

    #[test]
    fn random_arrivals_are_as_many_as_planned_and_the_same_again() {
        let (pace, stop) = (Pace::Poisson { rate: 1000 }, Stop::After { ms: 10_000 });
        let times = planned(pace, stop, ALONE);
        assert!((9_700..10_300).contains(&times.len()), "{}", times.len());
        assert!(times.is_sorted() && times.last().unwrap() < &10_000_000);
        assert_eq!(times, planned(pace, stop, ALONE));
        let halves: Vec<_> = (0..2)
            .map(|index| planned(pace, stop, Share { index, of: 2 }))
            .collect();
        assert_ne!(halves[0], halves[1]);
        let both = halves[0].len() + halves[1].len();
        assert!((9_700..10_300).contains(&both), "{both}");
    }

    #[test]
    fn a_closed_loop_asks_until_its_time_or_its_count_is_over() {
        let begin = Instant::now();
        let second = Stop::After { ms: 1_000 };
        let schedule = Schedule::new(Pace::Closed, second, ALONE, begin);
        let before = begin + Duration::from_millis(999);
        let start = schedule.next(before).unwrap();
        assert_eq!((start.at, start.clock), (before, Clock::Asked));
        assert_eq!(schedule.next(begin + Duration::from_secs(1)), None);
        let two = Stop::Count { operations: 2 };
        let mut schedule = Schedule::new(Pace::Closed, two, ALONE, begin);
        schedule.count();
        assert!(schedule.next(begin).is_some());
        schedule.count();
        assert!(schedule.next(begin).is_none());
    }
}
