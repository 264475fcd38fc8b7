//! From what was counted and spent to figures with names.

use std::time::Duration;

use crate::catalogue::Entry;
use crate::plan::Plan;
use crate::process::{Held, Spent};
use crate::result::latency::Latencies;
use crate::result::model::Figure;
use crate::scenario::Tally;

/// All that one run has told.
#[derive(Debug, Default)]
pub(crate) struct Observed {
    /// Of the opening, the timed part, and the use after it.
    pub(crate) opened: Tally,
    pub(crate) timed: Tally,
    pub(crate) woken: Tally,
    /// Of the proxy in the timed part, where its process is known; and what it held before the opening, after the
    /// timed part, and in the end.
    pub(crate) spent: Option<Spent>,
    pub(crate) before: Option<Held>,
    pub(crate) after: Option<Held>,
    pub(crate) end: Option<Held>,
    /// The highest rate of a ramp.
    pub(crate) rate_at_bound: Option<u64>,
}

/// End of the names of the figures that say how long a side waited for its core.
pub(crate) const WAITED: &str = "_waited";

/// Share of the time that a side may wait so before a run is called disturbed.
pub(crate) const DISTURBED_PERCENT: f64 = 3.0;

/// The percentiles that are shown.
const PERCENTILES: [(&str, f64); 5] = [
    ("p50_us", 0.50),
    ("p95_us", 0.95),
    ("p99_us", 0.99),
    ("p99.9_us", 0.999),
    ("max_us", 1.0),
];

impl Observed {
    /// The latencies that speak for the run: a plan has them in one of its parts.
    pub(crate) fn latencies(&self) -> Option<&Latencies> {
        let parts = [&self.timed, &self.opened, &self.woken];
        parts.into_iter().find_map(|part| part.latencies.as_ref())
    }

    /// Every figure, one of them the main one.
    pub(crate) fn figures(&self, entry: &Entry, plan: &Plan) -> Vec<Figure> {
        let mut figures = Vec::new();
        if let Some(rate) = self.rate_at_bound {
            figures.push(Figure::new("rate_at_bound", "1/s", rate as f64));
        }
        match plan.scenario.is_idle() {
            true => self.idle(plan, &mut figures),
            false => self.cpu(plan, &mut figures),
        }
        if let Some(latencies) = self.latencies() {
            figures.extend(percentiles(latencies));
        }
        self.rates(plan, &mut figures);
        if !plan.scenario.is_idle() {
            self.switches(&mut figures);
            self.holdings(plan, &mut figures);
        }
        figures.extend(self.busy());
        let place = |is_it: &dyn Fn(&Figure) -> bool| figures.iter().position(is_it);
        let main = place(&|figure| entry.is_main(plan.pace, &figure.name))
            .or_else(|| place(&|figure| figure.name == "p50_us"))
            .unwrap_or(0);
        if let Some(figure) = figures.get_mut(main) {
            *figure = figure.clone().main();
        }
        figures
    }

    /// CPU of the proxy for each operation, or for each GB.
    fn cpu(&self, plan: &Plan, figures: &mut Vec<Figure>) {
        let Some(spent) = &self.spent else { return };
        let (prefix, unit, after, each) = match (plan.scenario.shape(), plan.scenario.operation()) {
            (Some(shape), _) => {
                let gb = self.timed.bytes as f64 / 1e9;
                (format!("{shape}_"), "s/GB", "s_per_gb".to_owned(), 1.0 / gb)
            }
            (None, Some(operation)) => {
                let count = self.timed.operations as f64;
                (
                    String::new(),
                    "us",
                    format!("us_per_{operation}"),
                    1e6 / count,
                )
            }
            (None, None) => return,
        };
        let cpu = spent.cpu.as_secs_f64();
        let mut push = |name: &str, seconds: f64| {
            let name = format!("{prefix}{name}_{after}");
            figures.push(Figure::new(name, unit, seconds * each));
        };
        push("cpu", cpu);
        if let Some(user) = spent.user_share() {
            push("user", cpu * user);
            push("system", cpu * (1.0 - user));
        }
    }

    /// Memory of connections that rest, and what it costs to have them.
    fn idle(&self, plan: &Plan, figures: &mut Vec<Figure>) {
        let kib_each = |bytes: f64| bytes / 1024.0 / plan.connections as f64;
        if let Some((before, after)) = self.before.zip(self.after) {
            let growth = |held: Held| kib_each(held.pss_bytes as f64 - before.pss_bytes as f64);
            figures.push(Figure::new("pss_growth_per_tunnel", "KiB", growth(after)));
            let total = kib_each(after.pss_bytes as f64);
            figures.push(Figure::new("pss_total_per_tunnel", "KiB", total));
            if let Some(end) = self.end.filter(|_| self.woken.operations > 0) {
                figures.push(Figure::new("pss_growth_after_use", "KiB", growth(end)));
            }
            let before = before.pss_bytes as f64 / 1024.0;
            figures.push(Figure::new("pss_before", "KiB", before));
        }
        self.descriptors(plan, figures);
        if let Some(spent) = &self.spent {
            let share = percent(spent.cpu, self.timed.wall);
            figures.push(Figure::new("idle_cpu", "%", share));
        }
        if let Some(opened) = self.opened.totals.iter().max() {
            figures.push(Figure::new("open_all", "ms", opened.as_secs_f64() * 1e3));
        }
    }

    fn rates(&self, plan: &Plan, figures: &mut Vec<Figure>) {
        let timed = &self.timed;
        let seconds = timed.wall.as_secs_f64();
        if !timed.totals.is_empty() {
            let mut totals = timed.totals.clone();
            totals.sort();
            let median = totals[totals.len() / 2];
            figures.push(Figure::new("total_ms", "ms", median.as_secs_f64() * 1e3));
            let all = timed.operations + timed.failures;
            let share = 100.0 * timed.failures as f64 / all as f64;
            figures.push(Figure::new("failures", "%", share));
        }
        if let Some(shape) = plan.scenario.shape() {
            let rate = timed.bytes as f64 / 1e9 / seconds;
            figures.push(Figure::new(format!("{shape}_rate"), "GB/s", rate));
        }
        if let Some(operation) = plan.scenario.operation() {
            let name = format!("{operation}s_per_s");
            figures.push(Figure::new(name, "1/s", timed.per_second()));
        }
        if plan.scenario == crate::plan::Scenario::Get {
            let count = timed.origin_connections as f64;
            figures.push(Figure::new("origin_connections", "1", count));
        }
    }

    /// Context switches for each operation, and the share of the ring's own workers.
    fn switches(&self, figures: &mut Vec<Figure>) {
        let Some(spent) = &self.spent else { return };
        let count = self.timed.operations;
        if count > 0 {
            let each = |switches: u64| switches as f64 / count as f64;
            let voluntary = each(spent.voluntary_switches);
            figures.push(Figure::new("voluntary_switches", "1/op", voluntary));
            let involuntary = each(spent.involuntary_switches);
            figures.push(Figure::new("involuntary_switches", "1/op", involuntary));
        }
        if !spent.cpu.is_zero() {
            let share = percent(spent.workers, spent.cpu);
            figures.push(Figure::new("io_wq_share", "%", share));
        }
    }

    fn holdings(&self, plan: &Plan, figures: &mut Vec<Figure>) {
        if let Some(after) = &self.after {
            figures.push(Figure::new("pss", "KiB", after.pss_bytes as f64 / 1024.0));
        }
        self.descriptors(plan, figures);
    }

    fn descriptors(&self, plan: &Plan, figures: &mut Vec<Figure>) {
        let Some((before, after)) = self.before.zip(self.after) else {
            return;
        };
        let (before, after) = (before.descriptors as f64, after.descriptors as f64);
        figures.push(Figure::new("fds", "1", after));
        if plan.scenario.is_standing() {
            let each = (after - before) / plan.connections as f64;
            figures.push(Figure::new("fds_per_connection", "1", each));
        }
    }

    /// How busy both sides were (a load at 100 % is what limits the rate), and how long they could not run although
    /// they would have: time that other programs took from the measurement.
    fn busy(&self) -> impl Iterator<Item = Figure> {
        let wall = self.timed.wall;
        let load = (self.timed.load_cpu, self.timed.load_waited);
        let proxy = self.spent.map(|spent| (spent.cpu, spent.waited));
        let sides = [("proxy", proxy), ("load", Some(load))];
        sides.into_iter().flat_map(move |(side, times)| {
            let figure = move |end: &str, time| {
                Figure::new(format!("{side}{end}"), "%", percent(time, wall))
            };
            let figures = times.map(|(cpu, waited)| [figure("_busy", cpu), figure(WAITED, waited)]);
            figures.into_iter().flatten()
        })
    }
}

fn percent(part: Duration, whole: Duration) -> f64 {
    100.0 * part.as_secs_f64() / whole.as_secs_f64()
}

fn percentiles(latencies: &Latencies) -> impl Iterator<Item = Figure> {
    PERCENTILES
        .into_iter()
        .map(|(name, quantile)| Figure::new(name, "us", latencies.at_quantile_us(quantile)))
}

/// How much the proxy adds to each percentile over no proxy at all. This is the difference of two percentiles, which is
/// not the percentile of differences: those nobody can measure.
pub(crate) fn added(figures: &[Figure], direct: &[Figure]) -> Vec<Figure> {
    let value = |figures: &[Figure], name: &str| {
        let figure = figures.iter().find(|figure| figure.name == name);
        figure.map(|figure| figure.value)
    };
    let added = PERCENTILES.iter().filter_map(|(name, _)| {
        let difference = value(figures, name)? - value(direct, name)?;
        Some(Figure::new(format!("added_{name}"), "us", difference))
    });
    added.collect()
}

/// Share of the time that a side was ready while other programs had its core, in percent.
pub(crate) fn disturbed(figures: &[Figure]) -> f64 {
    let waited = figures
        .iter()
        .filter(|figure| figure.name.ends_with(WAITED));
    waited.map(|figure| figure.value).fold(0.0, f64::max)
}

#[cfg(test)]
mod tests {
    use super::*;

    use crate::catalogue;
    use crate::plan::{Pace, Stop};

    #[test]
    fn every_workload_has_exactly_one_main_figure_with_and_without_a_process() {
        let observed = |spent| Observed {
            timed: Tally {
                operations: 10,
                bytes: 1_000,
                wall: Duration::from_secs(1),
                totals: vec![Duration::from_secs(1)],
                latencies: Some(Latencies::new(crate::result::model::Clock::Asked)),
                ..Tally::default()
            },
            spent,
            ..Observed::default()
        };
        let choice = catalogue::Choice {
            connections: None,
            payload: None,
            pace: Pace::Closed,
            stop: Stop::After { ms: 1 },
        };
        for entry in catalogue::ALL {
            for plan in entry.plans(&choice) {
                for spent in [None, Some(Spent::default())] {
                    let figures = observed(spent).figures(entry, &plan);
                    let main: Vec<_> = figures.iter().filter(|figure| figure.main).collect();
                    assert_eq!(main.len(), 1, "{} {figures:?}", entry.id);
                    assert!(figures.iter().all(|figure| !figure.name.contains(' ')));
                }
            }
        }
    }

    #[test]
    fn what_is_added_is_what_direct_has_not() {
        let of = |p50, p99| {
            vec![
                Figure::new("p50_us", "us", p50),
                Figure::new("p99_us", "us", p99),
            ]
        };
        let added = added(&of(50.0, 90.0), &of(30.0, 95.0));
        assert_eq!(added[0], Figure::new("added_p50_us", "us", 20.0));
        assert_eq!(added[1], Figure::new("added_p99_us", "us", -5.0));
        assert_eq!(added.len(), 2);
    }
}
