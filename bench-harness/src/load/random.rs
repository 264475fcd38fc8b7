//! SplitMix64: numbers without a pattern that are the same in every run, so that a plan can be repeated.

/// Where it stands.
#[derive(Debug, Clone)]
pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// The time from one arrival to the next, in seconds, where `rate` a second come independently of each other.
    pub(crate) fn gap_s(&mut self, rate: f64) -> f64 {
        const STEPS: f64 = (1_u64 << 53) as f64;
        let unit = ((self.next() >> 11) + 1) as f64 / STEPS; // above 0, up to 1
        -unit.ln() / rate
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gaps_have_the_mean_and_the_spread_of_independent_arrivals() {
        let mut random = Random::new(1);
        let gaps: Vec<f64> = (0..100_000).map(|_| random.gap_s(1000.0) * 1e3).collect();
        let mean = gaps.iter().sum::<f64>() / gaps.len() as f64;
        let variance = gaps.iter().map(|gap| (gap - mean).powi(2)).sum::<f64>() / gaps.len() as f64;
        assert!((0.99..1.01).contains(&mean), "{mean}");
        assert!((0.97..1.03).contains(&variance), "{variance}");
        assert!(gaps.iter().all(|gap| *gap >= 0.0));
    }

    #[test]
    fn one_seed_is_one_sequence() {
        let take = |seed| {
            let mut random = Random::new(seed);
            [random.next(), random.next()]
        };
        assert_eq!(take(7), take(7));
        assert_ne!(take(7), take(8));
    }
}
