//! Latencies while they are measured: a histogram that knows its clock.

use std::time::{Duration, Instant};

use hdrhistogram::Histogram;

use crate::result::model::Clock;

/// What one unit of every histogram is.
pub(crate) const UNIT_NS: u64 = 1;

/// From 1 ns to 60 s, to three digits.
#[derive(Debug, Clone)]
pub(crate) struct Latencies {
    clock: Clock,
    histogram: Histogram<u64>,
}

/// When an operation began, on the clock it is measured by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Start {
    pub(crate) clock: Clock,
    pub(crate) at: Instant,
}

/// Two clocks met where only one may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct MixedClocks;

impl Latencies {
    pub(crate) fn new(clock: Clock) -> Self {
        const LONGEST_NS: u64 = 60_000_000_000;
        // The bounds are constant and right, so this cannot fail; `new` would grow in the middle of a run instead.
        let histogram = Histogram::new_with_bounds(1, LONGEST_NS, 3)
            .unwrap_or_else(|error| unreachable!("{error}"));
        Self { clock, histogram }
    }

    /// Of values and how often each was measured, as a file has them.
    pub(crate) fn of(clock: Clock, counts: impl Iterator<Item = (u64, u64)>) -> Self {
        let mut latencies = Self::new(clock);
        for (value, count) in counts {
            latencies.histogram.saturating_record_n(value, count);
        }
        latencies
    }

    pub(crate) fn clock(&self) -> Clock {
        self.clock
    }

    pub(crate) fn histogram(&self) -> &Histogram<u64> {
        &self.histogram
    }

    /// An operation that began at `start` has just ended.
    pub(crate) fn record(&mut self, start: Start) -> Result<(), MixedClocks> {
        if start.clock != self.clock {
            return Err(MixedClocks);
        }
        self.add(start.at.elapsed());
        Ok(())
    }

    fn add(&mut self, latency: Duration) {
        let latency = latency.as_nanos().try_into().unwrap_or(u64::MAX);
        self.histogram.saturating_record(latency);
    }

    /// Takes in what another thread has measured by the same clock.
    pub(crate) fn merge(&mut self, other: &Self) -> Result<(), MixedClocks> {
        if other.clock != self.clock {
            return Err(MixedClocks);
        }
        // Both have the same bounds.
        self.histogram
            .add(&other.histogram)
            .map_err(|_| MixedClocks)
    }

    /// The latency that this share of all, from 0 to 1, does not exceed.
    pub(crate) fn at_quantile_us(&self, quantile: f64) -> f64 {
        self.histogram.value_at_quantile(quantile) as f64 / 1e3
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn histograms_of_one_clock_are_merged_and_of_two_never() {
        let mut planned = Latencies::new(Clock::Planned);
        planned.add(Duration::from_millis(1));
        let mut other = Latencies::new(Clock::Planned);
        other.add(Duration::from_millis(9));
        planned.merge(&other).unwrap();
        assert_eq!(planned.histogram().len(), 2);
        assert!((8_990.0..9_010.0).contains(&planned.at_quantile_us(1.0)));
        let asked = Latencies::new(Clock::Asked);
        assert_eq!(planned.merge(&asked), Err(MixedClocks));
        let at = Instant::now();
        let clock = Clock::Asked;
        assert_eq!(planned.record(Start { clock, at }), Err(MixedClocks));
        assert_eq!(planned.histogram().len(), 2);
    }
}
