//! A measured figure, and the figures that every workload has in common.

use std::time::Duration;

use hdrhistogram::Histogram;

use crate::process::Cost;

/// One number with its name. Lower is better unless its unit is a rate or a share.
#[derive(Debug, Clone)]
pub(crate) struct Figure {
    /// One word, so that a line of the table can be split at its blanks.
    pub(crate) name: String,
    pub(crate) unit: &'static str,
    pub(crate) value: f64,
    /// The one figure that this workload is for.
    pub(crate) main: bool,
}

impl Figure {
    pub(crate) fn new(name: impl Into<String>, unit: &'static str, value: f64) -> Self {
        Self {
            name: name.into(),
            unit,
            value,
            main: false,
        }
    }

    pub(crate) fn main(self) -> Self {
        Self { main: true, ..self }
    }
}

/// Latencies in nanoseconds, from 1 ns to 60 s, to three digits.
pub(crate) fn latencies() -> Histogram<u64> {
    const LONGEST_NS: u64 = 60_000_000_000;
    // The bounds are constant and right, so this cannot fail; `new` would grow in the middle of a run instead.
    Histogram::new_with_bounds(1, LONGEST_NS, 3).unwrap_or_else(|error| unreachable!("{error}"))
}

pub(crate) fn record(latencies: &mut Histogram<u64>, latency: Duration) {
    latencies.saturating_record(latency.as_nanos().try_into().unwrap_or(u64::MAX));
}

/// CPU of the proxy for each of `count` operations, where its process is known.
pub(crate) fn cpu_us_per(operation: &str, count: u64, cost: &Cost) -> Option<Figure> {
    let cpu = cost.proxy_cpu?;
    let name = format!("cpu_us_per_{operation}");
    let value = cpu.as_secs_f64() * 1e6 / count as f64;
    Some(Figure::new(name, "us", value))
}

/// The percentiles of `latencies`.
pub(crate) fn percentiles(latencies: &Histogram<u64>) -> impl Iterator<Item = Figure> {
    let at = [
        ("p50_us", 0.50),
        ("p95_us", 0.95),
        ("p99_us", 0.99),
        ("p99.9_us", 0.999),
        ("max_us", 1.0),
    ];
    at.into_iter().map(|(name, quantile)| {
        let value = latencies.value_at_quantile(quantile) as f64 / 1e3;
        Figure::new(name, "us", value)
    })
}

/// End of the names of the figures that say how long a side waited for its core.
pub(crate) const WAITED: &str = "_waited";

/// How busy both sides were (a load at 100 % is what limits the rate), and how long they could not run although they
/// would have: time that other programs took from the measurement.
pub(crate) fn busy(cost: &Cost) -> impl Iterator<Item = Figure> {
    let sides = [
        ("proxy", cost.proxy_cpu, cost.proxy_waited),
        ("load", Some(cost.load_cpu), Some(cost.load_waited)),
    ];
    let wall = cost.wall.as_secs_f64();
    sides.into_iter().flat_map(move |(side, cpu, waited)| {
        let share = |name: &str, time: Duration| {
            Figure::new(
                format!("{side}{name}"),
                "%",
                100.0 * time.as_secs_f64() / wall,
            )
        };
        let busy = cpu.map(|cpu| share("_busy", cpu));
        busy.into_iter()
            .chain(waited.map(|waited| share(WAITED, waited)))
    })
}
