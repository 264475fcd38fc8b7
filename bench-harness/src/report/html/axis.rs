//! Axes: where a value lies, and which values are worth a tick. Nothing here knows of pixels.

use crate::report::units;

/// More decades of percentiles than any run has latencies for.
const DECADES_MAX: f64 = 6.0;
/// A range of this factor and more is drawn to a log scale: linear, its low end would be a flat line.
const LOG_FROM: f64 = 25.0;

#[derive(Debug, Clone, PartialEq)]
pub(super) struct Axis {
    scale: Scale,
    low: f64,
    high: f64,
    pub(super) ticks: Vec<Tick>,
    pub(super) label: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Scale {
    Linear,
    Log,
}

#[derive(Debug, Clone, PartialEq)]
pub(super) struct Tick {
    pub(super) at: f64,
    /// None for a line without a number.
    pub(super) text: Option<String>,
}

impl Axis {
    /// Where `value` lies, from 0 at the low end to 1 at the high one; what is beyond lies at the end.
    pub(super) fn place(&self, value: f64) -> f64 {
        let place = match self.scale {
            Scale::Linear => (value - self.low) / (self.high - self.low),
            Scale::Log => (value / self.low).ln() / (self.high / self.low).ln(),
        };
        // The low end of a log scale is above zero, and zero lies below it.
        if place.is_nan() {
            return 0.0;
        }
        place.clamp(0.0, 1.0)
    }

    /// The highest value there is room for.
    pub(super) fn end(&self) -> f64 {
        self.high
    }

    /// Percentiles over the log of 1/(1-p), for as many latencies as there are: the abscissa is [`decades`].
    pub(super) fn percentiles(count: u64) -> Self {
        let high = (count.max(1) as f64).log10().clamp(2.0, DECADES_MAX);
        let named = [
            (0.0, "0"),
            (0.5, "50"),
            (0.9, "90"),
            (0.99, "99"),
            (0.999, "99.9"),
            (0.9999, "99.99"),
            (0.99999, "99.999"),
            (0.999_999, "99.9999"),
        ];
        let ticks = named.into_iter().map(|(quantile, text)| Tick {
            at: decades(quantile),
            text: Some(text.to_owned()),
        });
        Self {
            scale: Scale::Linear,
            low: 0.0,
            high,
            ticks: ticks.filter(|tick| tick.at <= high + 1e-9).collect(),
            label: "percentile, to the log of 1/(1−p)".to_owned(),
        }
    }

    /// Latencies in microseconds: linear from zero, or a log scale where they are far apart.
    pub(super) fn latency(label: &str, values: impl IntoIterator<Item = f64>) -> Self {
        let (low, high) = range(values);
        if low > 0.0 && high / low >= LOG_FROM {
            let mut axis = Self::log(low, high);
            axis.label = format!("{label} (log scale)");
            return axis;
        }
        let mut axis = Self::linear(high, units::us);
        axis.label = label.to_owned();
        axis
    }

    /// From zero.
    pub(super) fn count(label: &str, values: impl IntoIterator<Item = f64>) -> Self {
        let (_, high) = range(values);
        let text = |value: f64| {
            let thousands = value / 1e3;
            match value {
                value if value >= 10_000.0 && thousands.fract() == 0.0 => {
                    format!("{}k", units::grouped(thousands as u64))
                }
                value if value.fract() == 0.0 => units::grouped(value as u64),
                value => format!("{value}"),
            }
        };
        let mut axis = Self::linear(high, text);
        axis.label = label.to_owned();
        axis
    }

    fn linear(high: f64, text: impl Fn(f64) -> String) -> Self {
        let high = if high > 0.0 { high } else { 1.0 };
        let step = step(high / 5.0);
        let count = (high / step * (1.0 - 1e-9)).ceil().max(1.0);
        // Not by adding up: 0.1 + 0.1 + 0.1 is not 0.3.
        let ticks = (0..=count as usize).map(|index| index as f64 * step);
        let ticks = ticks.map(|at| Tick {
            at,
            text: Some(text(at)),
        });
        Self {
            scale: Scale::Linear,
            low: 0.0,
            high: count * step,
            ticks: ticks.collect(),
            label: String::new(),
        }
    }

    fn log(low: f64, high: f64) -> Self {
        let decades = (high / low).log10();
        let first = low.log10().floor() as i32;
        let last = high.log10().ceil() as i32;
        let mut all: Vec<(f64, bool)> = Vec::new();
        for decade in first..=last {
            for digit in 1..10 {
                let at = f64::from(digit) * 10_f64.powi(decade);
                let is_named = digit == 1 || (decades < 2.5 && matches!(digit, 2 | 5));
                all.push((at, is_named));
            }
        }
        // Ends at ticks just outside of the values.
        let below = all.iter().rev().find(|(at, _)| *at <= low * (1.0 + 1e-9));
        let above = all.iter().find(|(at, _)| *at >= high * (1.0 - 1e-9));
        let (low, high) = (
            below.map_or(low, |(at, _)| *at),
            above.map_or(high, |(at, _)| *at),
        );
        let inside = all
            .into_iter()
            .filter(|(at, _)| (low..=high).contains(at))
            .map(|(at, is_named)| Tick {
                at,
                text: is_named.then(|| units::us(at)),
            });
        Self {
            scale: Scale::Log,
            low,
            high,
            ticks: inside.collect(),
            label: String::new(),
        }
    }
}

/// Where a percentile lies on the abscissa: the log of 1/(1-p).
pub(super) fn decades(quantile: f64) -> f64 {
    // 1 - 0.999 is not 0.001, but it is less than a billionth of it off.
    let decades = -(1.0 - quantile).log10();
    (decades * 1e9).round() / 1e9
}

/// The smallest above zero and the largest; zero where there is none.
fn range(values: impl IntoIterator<Item = f64>) -> (f64, f64) {
    let values = values.into_iter();
    let above = values.filter(|value| *value > 0.0 && value.is_finite());
    let (low, high) = above.fold((f64::INFINITY, 0.0_f64), |(low, high), value| {
        (low.min(value), high.max(value))
    });
    if high > 0.0 { (low, high) } else { (0.0, 0.0) }
}

/// The next round step at or above `rough`.
fn step(rough: f64) -> f64 {
    let power = 10_f64.powi(rough.log10().floor() as i32);
    let steps = [1.0, 2.0, 2.5, 5.0, 10.0];
    let fitting = steps.into_iter().map(|step| step * power);
    let mut fitting = fitting.filter(|step| *step >= rough * (1.0 - 1e-9));
    fitting.next().unwrap_or(10.0 * power)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(axis: &Axis) -> Vec<&str> {
        let ticks = axis.ticks.iter();
        ticks.filter_map(|tick| tick.text.as_deref()).collect()
    }

    fn assert_monotone(axis: &Axis) {
        let places: Vec<f64> = axis.ticks.iter().map(|tick| axis.place(tick.at)).collect();
        assert!(places.windows(2).all(|two| two[0] < two[1]), "{axis:?}");
        let within = places.iter().all(|place| (0.0..=1.0).contains(place));
        assert!(within, "{axis:?}");
    }

    #[test]
    fn percentiles_are_a_decade_apart_and_end_where_the_count_does() {
        let axis = Axis::percentiles(300_000);
        assert_eq!(
            texts(&axis),
            ["0", "50", "90", "99", "99.9", "99.99", "99.999"]
        );
        assert_monotone(&axis);
        let gap = |low: f64, high: f64| axis.place(decades(high)) - axis.place(decades(low));
        assert!((gap(0.9, 0.99) - gap(0.999, 0.9999)).abs() < 1e-9);
        assert_eq!(axis.place(decades(1.0)), 1.0);
        for count in [0, 1, 20] {
            assert_eq!(texts(&Axis::percentiles(count)), ["0", "50", "90", "99"]);
        }
    }

    #[test]
    fn latencies_close_together_are_linear_from_zero() {
        let axis = Axis::latency("latency", [44.0, 230.0]);
        assert_eq!(
            texts(&axis),
            ["0 µs", "50 µs", "100 µs", "150 µs", "200 µs", "250 µs"]
        );
        assert_eq!(axis.place(0.0), 0.0);
        assert_eq!(axis.place(250.0), 1.0);
        assert_monotone(&axis);
    }

    #[test]
    fn latencies_far_apart_are_on_a_log_scale_that_says_so() {
        let axis = Axis::latency("latency", [44.0, 40_000.0]);
        assert!(axis.label.contains("log scale"));
        assert_eq!(texts(&axis), ["100 µs", "1 ms", "10 ms"]);
        assert_monotone(&axis);
        let axis = Axis::latency("latency", [40.0, 1_200.0]);
        assert_eq!(
            texts(&axis),
            ["50 µs", "100 µs", "200 µs", "500 µs", "1 ms", "2 ms"]
        );
        assert_monotone(&axis);
    }

    #[test]
    fn nothing_and_zero_have_an_axis_too() {
        for values in [
            vec![],
            vec![0.0],
            vec![0.0, f64::NAN, f64::INFINITY],
            vec![-1.0],
        ] {
            let axis = Axis::latency("latency", values);
            assert_monotone(&axis);
            assert_eq!(axis.place(0.0), 0.0);
            assert!(axis.place(f64::NAN).is_finite());
        }
        let log = Axis::latency("latency", [1.0, 1e9]);
        assert_eq!(log.place(0.0), 0.0);
    }

    #[test]
    fn counts_are_short() {
        let axis = Axis::count("rate", [69_000.0]);
        assert_eq!(texts(&axis), ["0", "20k", "40k", "60k", "80k"]);
        assert_monotone(&Axis::count("rate", [0.37]));
    }
}
