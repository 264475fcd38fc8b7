//! The search for the highest rate that meets a bound on a percentile of its latency: by doubling until one does not,
//! then by halving the gap. A rate that is missed is tried once more, since another program may have been to blame. What
//! a step is, and whether it was met, is the business of `measure`.

/// The search ends once the gap is below this share of the rate.
const GAP_SHARE: f64 = 0.03;

/// Rates that are tried at most: enough for a million times the first one, and for the gap.
const STEPS_MAX: usize = 40;

/// Where the search stands.
#[derive(Debug)]
pub(crate) struct Ramp {
    next: u64,
    /// The lowest rate at which a step has enough operations to speak of their percentile.
    least: u64,
    /// The one to be tried has been missed once.
    is_repeated: bool,
    /// The highest rate that has held, and the lowest that has not.
    held: Option<u64>,
    failed: Option<u64>,
    steps: usize,
}

impl Ramp {
    /// Begins at `start`, and looks at nothing below `least`.
    pub(crate) fn new(start: u64, least: u64) -> Self {
        Self {
            next: start.max(least),
            least,
            is_repeated: false,
            held: None,
            failed: None,
            steps: 0,
        }
    }

    /// The rate to try; none once it is known.
    pub(crate) fn next(&self) -> Option<u64> {
        (self.next > 0 && self.steps < STEPS_MAX).then_some(self.next)
    }

    /// What became of that rate.
    pub(crate) fn tried(&mut self, held: bool) {
        self.steps += 1;
        if !held && !self.is_repeated {
            self.is_repeated = true;
            return;
        }
        self.is_repeated = false;
        match held {
            true => self.held = self.held.max(Some(self.next)),
            false => self.failed = Some(self.failed.map_or(self.next, |rate| rate.min(self.next))),
        }
        self.next = match (self.held, self.failed) {
            (Some(held), None) => held.saturating_mul(2),
            (None, Some(failed)) if failed > self.least => (failed / 2).max(self.least),
            (Some(held), Some(failed)) if (failed - held) as f64 > held as f64 * GAP_SHARE => {
                held.midpoint(failed)
            }
            _ => 0,
        };
        if Some(self.next) == self.held || Some(self.next) == self.failed {
            self.next = 0; // the gap is one
        }
    }

    /// The highest rate that has held.
    pub(crate) fn held(&self) -> Option<u64> {
        self.held
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn search(start: u64, capacity: u64) -> (Option<u64>, usize) {
        let mut ramp = Ramp::new(start, 10);
        while let Some(rate) = ramp.next() {
            ramp.tried(rate <= capacity);
        }
        (ramp.held(), ramp.steps)
    }

    #[test]
    fn the_highest_rate_is_found_from_below_and_from_above() {
        for start in [1, 100, 4_321, 1_000_000] {
            for capacity in [57, 999, 12_345, 800_000] {
                let (held, steps) = search(start, capacity);
                let held = held.unwrap();
                assert!(held <= capacity, "{start} {capacity}");
                let gap = (capacity - held) as f64 / capacity as f64;
                assert!(
                    gap <= GAP_SHARE || capacity - held <= 1,
                    "{start} {capacity} {held}"
                );
                assert!(steps < STEPS_MAX);
            }
        }
    }

    #[test]
    fn where_nothing_holds_nothing_is_found() {
        assert_eq!(search(1_000, 0).0, None);
        assert_eq!(search(1_000, 9).0, None, "below the least nothing is tried");
        assert_eq!(search(1, 10).0, Some(10));
    }

    #[test]
    fn a_rate_that_is_missed_once_is_tried_again() {
        let mut ramp = Ramp::new(100, 1);
        ramp.tried(false);
        assert_eq!(ramp.next(), Some(100));
        ramp.tried(true);
        assert_eq!((ramp.next(), ramp.held()), (Some(200), Some(100)));
        ramp.tried(false);
        ramp.tried(false);
        assert_eq!(ramp.next(), Some(150));
    }
}
