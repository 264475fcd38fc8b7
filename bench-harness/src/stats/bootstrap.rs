//! How sure the median of a few ratios is: the interval of a bootstrap, and the verdict that follows from it.
//!
//! The percentile interval, of the median. The median, because one disturbed run must not decide; the percentile
//! interval, because it is the same whether A is divided by B or B by A, and because what BCa adds does not hold for
//! a median: its acceleration comes from a jackknife, which sees only two different medians of any sample. With five
//! pairs or fewer the interval is the whole extent of the ratios, so a verdict against a candidate then needs all
//! pairs. Resampling is seeded: the same ratios have the same interval.

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

/// Resamples drawn. The ends of the interval are order statistics of so many medians.
const RESAMPLES: usize = 2_000;

/// Share of the resamples that lies outside, at each end.
const TAIL: f64 = 0.025;

const SEED: u64 = 0x5249_4e47;

/// Where the true median is likely to be: 95 of 100 such intervals hold it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Interval {
    pub(crate) low: f64,
    pub(crate) median: f64,
    pub(crate) high: f64,
}

impl Interval {
    /// Of `values`, at least one.
    pub(crate) fn of(values: &[f64]) -> Option<Self> {
        let mut sorted = values.to_vec();
        let median = median(&mut sorted)?;
        let mut random = StdRng::seed_from_u64(SEED);
        let mut drawn = vec![0.0; values.len()];
        let mut medians = Vec::with_capacity(RESAMPLES);
        for _ in 0..RESAMPLES {
            for place in &mut drawn {
                *place = values[random.random_range(0..values.len())];
            }
            medians.extend(self::median(&mut drawn));
        }
        medians.sort_by(f64::total_cmp);
        let outside = (TAIL * RESAMPLES as f64) as usize;
        Some(Self {
            low: medians[outside],
            median,
            high: medians[RESAMPLES - 1 - outside],
        })
    }

    /// Whether a ratio, cost of the candidate over cost of the other, is surely worse than `percent` more: all of the
    /// interval is beyond.
    pub(crate) fn is_beyond(&self, percent: f64) -> bool {
        self.low > 1.0 + percent / 100.0
    }
}

/// The middle of `values`, which are sorted thereby.
fn median(values: &mut [f64]) -> Option<f64> {
    values.sort_by(f64::total_cmp);
    let last = values.len().checked_sub(1)?;
    Some((values[last / 2] + values[last.div_ceil(2)]) / 2.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `count` values about `centre`, normally distributed by the sum of twelve uniform ones, with the deviation
    /// `spread`.
    fn normal(random: &mut StdRng, count: usize, centre: f64, spread: f64) -> Vec<f64> {
        let mut one = || (0..12).map(|_| random.random::<f64>()).sum::<f64>() - 6.0;
        (0..count).map(|_| centre + spread * one()).collect()
    }

    #[test]
    fn nineteen_of_twenty_intervals_hold_the_true_median() {
        let mut random = StdRng::seed_from_u64(1);
        for count in [9, 20] {
            let hits = (0..200)
                .filter(|_| {
                    let interval = Interval::of(&normal(&mut random, count, 1.03, 0.04)).unwrap();
                    (interval.low..=interval.high).contains(&1.03)
                })
                .count();
            assert!((182..=200).contains(&hits), "{hits} of 200 with {count}");
        }
    }

    #[test]
    fn more_pairs_make_it_narrower() {
        let mut random = StdRng::seed_from_u64(2);
        let mut width = |count| {
            let widths = (0..20).map(|_| {
                let interval = Interval::of(&normal(&mut random, count, 1.0, 0.05)).unwrap();
                interval.high - interval.low
            });
            widths.sum::<f64>() / 20.0
        };
        let (few, many) = (width(8), width(72));
        assert!((2.0..4.5).contains(&(few / many)), "{few} {many}");
    }

    #[test]
    fn a_few_values_give_their_whole_extent_and_an_outlier_among_many_gives_nothing() {
        let few = Interval::of(&[1.5, 0.9, 1.0, 1.1, 1.2]).unwrap();
        assert_eq!((few.low, few.median, few.high), (0.9, 1.1, 1.5));
        let mut many = vec![1.0; 14];
        many.push(40.0);
        let many = Interval::of(&many).unwrap();
        assert_eq!((many.low, many.median, many.high), (1.0, 1.0, 1.0));
        assert_eq!(Interval::of(&[2.0]).unwrap().low, 2.0);
        assert!(Interval::of(&[]).is_none());
    }

    #[test]
    fn the_interval_does_not_depend_on_who_is_divided_by_whom() {
        let mut random = StdRng::seed_from_u64(3);
        let ratios = normal(&mut random, 11, 1.0, 0.05); // an odd number has one middle
        let inverse: Vec<f64> = ratios.iter().map(|ratio| 1.0 / ratio).collect();
        let (there, back) = (
            Interval::of(&ratios).unwrap(),
            Interval::of(&inverse).unwrap(),
        );
        let sum = |value: f64, other: f64| (value * other - 1.0).abs();
        assert!(sum(there.median, back.median) < 1e-9);
        // The ends are order statistics, so one step among the values is all that may differ.
        assert!(sum(there.low, back.high) < 0.02, "{there:?} {back:?}");
        assert_eq!(Interval::of(&ratios).unwrap(), there, "seeded");
    }

    #[test]
    fn only_a_whole_interval_beyond_the_bound_is_beyond_it() {
        let interval = |low, high| Interval {
            low,
            median: (low + high) / 2.0,
            high,
        };
        assert!(interval(1.06, 1.2).is_beyond(5.0));
        assert!(!interval(1.04, 1.9).is_beyond(5.0), "may be noise");
        assert!(!interval(1.05, 1.05).is_beyond(5.0), "on the bound");
        assert!(!interval(0.5, 0.6).is_beyond(5.0), "better");
        assert!(!interval(f64::NAN, f64::NAN).is_beyond(5.0));
    }

    #[test]
    fn a_slowdown_is_found_and_noise_alone_hardly_ever() {
        let mut random = StdRng::seed_from_u64(4);
        let mut red = |centre| {
            let judged = (0..200).filter(|_| {
                let ratios = normal(&mut random, 7, centre, 0.03);
                Interval::of(&ratios).unwrap().is_beyond(5.0)
            });
            judged.count()
        };
        let (same, slower) = (red(1.0), red(1.15));
        assert_eq!(same, 0, "red without a reason");
        assert!(slower >= 190, "{slower} of 200 slowdowns found");
    }
}
