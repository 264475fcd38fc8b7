//! The verdict on a figure: beyond its bound only where the whole interval is.

use crate::gate::sides::{AGAIN, CANDIDATE, OTHER};
use crate::gate::trial::Sample;
use crate::result::model::Verdict;
use crate::stats::bootstrap::Interval;

/// What is said of one figure.
#[derive(Debug)]
pub(super) struct Row {
    pub(super) point: String,
    pub(super) figure: String,
    pub(super) unit: String,
    /// Medians.
    pub(super) candidate: f64,
    pub(super) other: f64,
    /// Of the candidate over the other, round by round; where that ran twice, over the (geometric) mean of both.
    pub(super) ratio: Interval,
    /// Of the other over itself, in the same rounds.
    pub(super) noise: Option<Interval>,
    /// How much more than 1 the ratio may be; none is for information.
    pub(super) bound_percent: Option<f64>,
    pub(super) disturbed: bool,
}

impl Row {
    /// None where there is no ratio: the other's is zero.
    pub(super) fn of(sample: &Sample, bound_percent: Option<f64>) -> Option<Self> {
        let of = |side: usize| {
            sample
                .rounds
                .iter()
                .filter_map(move |round| round.get(side).copied())
        };
        let interval = |ratio: &dyn Fn(&Vec<f64>) -> Option<f64>| {
            let ratios: Vec<f64> = sample.rounds.iter().filter_map(ratio).collect();
            let finite = ratios.iter().all(|ratio| ratio.is_finite());
            Interval::of(&ratios).filter(|_| finite)
        };
        let worse = |round: &Vec<f64>| {
            let (candidate, other) = (round.get(CANDIDATE)?, round.get(OTHER)?);
            let again = round.get(AGAIN).unwrap_or(other);
            Some(candidate / (other * again).sqrt())
        };
        let chance = |round: &Vec<f64>| Some(round.get(AGAIN)? / round.get(OTHER)?);
        let median = |side| Interval::of(&of(side).collect::<Vec<_>>()).map(|of| of.median);
        Some(Self {
            point: sample.point.clone(),
            figure: sample.figure.clone(),
            unit: sample.unit.clone(),
            candidate: median(CANDIDATE)?,
            other: median(OTHER)?,
            ratio: interval(&worse)?,
            noise: interval(&chance),
            bound_percent,
            disturbed: sample.disturbed,
        })
    }

    /// Whether it is surely beyond its bound.
    pub(super) fn failed(&self) -> bool {
        let beyond = |percent: f64| self.ratio.is_beyond(percent);
        !self.disturbed && self.bound_percent.is_some_and(beyond)
    }

    /// One word.
    pub(super) fn word(&self) -> &'static str {
        match self.bound_percent {
            None => "shown",
            Some(_) if self.disturbed => "disturbed",
            Some(_) if self.failed() => "FAILED",
            Some(_) => "held",
        }
    }

    /// The largest part of a difference, in percent, that may be chance.
    pub(super) fn noise_percent(&self) -> Option<f64> {
        let noise = self.noise?;
        Some(100.0 * (noise.high - 1.0).max(1.0 - noise.low))
    }

    /// For the result file; none where there was nothing to hold.
    pub(super) fn verdict(&self) -> Option<Verdict> {
        let bound_percent = self.bound_percent?;
        Some(Verdict {
            point: self.point.clone(),
            figure: self.figure.clone(),
            ratio: self.ratio.median,
            interval: [self.ratio.low, self.ratio.high],
            noise: self.noise.map(|noise| [noise.low, noise.high]),
            bound_percent,
            held: !self.failed(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample(rounds: &[[f64; 3]]) -> Sample {
        Sample {
            point: "W3 x8".to_owned(),
            figure: "cpu".to_owned(),
            unit: "us".to_owned(),
            rounds: rounds.iter().map(|round| round.to_vec()).collect(),
            disturbed: false,
        }
    }

    const SLOWER: [[f64; 3]; 3] = [[11.5, 10.0, 10.1], [11.6, 10.1, 10.0], [11.2, 9.9, 10.0]];

    #[test]
    fn slower_in_every_round_is_red_and_in_most_is_not() {
        let row = Row::of(&sample(&SLOWER), Some(10.0)).unwrap();
        assert!(row.failed() && row.word() == "FAILED", "{row:?}");
        assert!(!row.verdict().unwrap().held);
        assert_eq!((row.candidate, row.other), (11.5, 10.0));
        let mut once_not = SLOWER;
        once_not[1][0] = 10.9;
        let row = Row::of(&sample(&once_not), Some(10.0)).unwrap();
        assert!(!row.failed() && row.word() == "held", "{row:?}");
        assert!(row.verdict().unwrap().held);
    }

    #[test]
    fn an_other_that_ran_twice_is_both_of_its_runs() {
        let row = Row::of(&sample(&[[12.0, 4.0, 9.0]]), None).unwrap();
        assert_eq!(row.ratio.median, 2.0);
        let mut once = sample(&[[12.0, 4.0, 0.0]]);
        once.rounds[0].truncate(2);
        let row = Row::of(&once, None).unwrap();
        assert_eq!(row.ratio.median, 3.0);
        assert!(row.noise.is_none());
    }

    #[test]
    fn what_has_no_bound_or_was_disturbed_never_fails() {
        let row = Row::of(&sample(&SLOWER), None).unwrap();
        assert!(!row.failed() && row.verdict().is_none());
        let mut disturbed = sample(&SLOWER);
        disturbed.disturbed = true;
        let row = Row::of(&disturbed, Some(10.0)).unwrap();
        assert!(!row.failed());
        assert_eq!(row.word(), "disturbed");
    }

    #[test]
    fn noise_is_what_the_other_is_to_itself() {
        let row = Row::of(&sample(&SLOWER), Some(10.0)).unwrap();
        let noise = row.noise_percent().unwrap();
        assert!((1.0..1.02).contains(&noise), "{noise}");
        let zero = sample(&[[1.0, 0.0, 0.0]]);
        assert!(Row::of(&zero, Some(10.0)).is_none());
    }
}
