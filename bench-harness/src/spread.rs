//! Where the middle of some measured values is, and how far they are apart.

/// Five points of a sample.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Spread {
    pub(crate) min: f64,
    pub(crate) lower_quartile: f64,
    pub(crate) median: f64,
    pub(crate) upper_quartile: f64,
    pub(crate) max: f64,
}

impl Spread {
    /// Of `values`, at least one; quartiles lie between values by linear interpolation.
    pub(crate) fn of(values: impl IntoIterator<Item = f64>) -> Option<Self> {
        let mut sorted: Vec<f64> = values.into_iter().collect();
        sorted.sort_by(f64::total_cmp);
        let last = sorted.len().checked_sub(1)?;
        let at = |quantile: f64| {
            let place = quantile * last as f64;
            let (below, above) = (
                sorted[place.floor() as usize],
                sorted[place.ceil() as usize],
            );
            below + (above - below) * place.fract()
        };
        Some(Self {
            min: at(0.0),
            lower_quartile: at(0.25),
            median: at(0.5),
            upper_quartile: at(0.75),
            max: at(1.0),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn five_points_of_known_samples() {
        let odd = Spread::of([5.0, 1.0, 3.0, 2.0, 4.0]).unwrap();
        assert_eq!(
            (
                odd.min,
                odd.lower_quartile,
                odd.median,
                odd.upper_quartile,
                odd.max
            ),
            (1.0, 2.0, 3.0, 4.0, 5.0)
        );
        let even = Spread::of([1.0, 2.0, 3.0, 10.0]).unwrap();
        assert_eq!((even.median, even.lower_quartile), (2.5, 1.75));
        assert_eq!(Spread::of([7.0]).unwrap().upper_quartile, 7.0);
        assert!(Spread::of([]).is_none());
    }
}
