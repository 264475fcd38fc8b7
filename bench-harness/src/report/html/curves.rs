//! The charts of a point: latency over percentile, CPU per operation; and of a workload: latency over rate.
//! Latencies of two clocks never share an axis: a cell has one clock, and so has a chart.

use super::axis::{Axis, decades};
use super::bars::{Bar, Bars};
use super::chart::{Chart, Series, Style};
use super::markup::Markup;
use super::section::clock_words;
use super::{Page, letter};
use crate::load::Mode;
use crate::plan::{Pace, Plan, Stop};
use crate::report::column::Column;
use crate::report::units::{bytes, figure, grouped, plural, us};
use crate::report::view::{Cell, Line, planned_rate};
use crate::result::latency::Latencies;
use crate::result::model::RampStep;
use crate::spread::Spread;

/// Latencies that have to lie beyond a percentile for it to be more than chance.
const BEYOND_MIN: f64 = 10.0;
/// From one point of a line to the next, in decades of 1/(1-p).
const RESOLUTION: f64 = 0.02;
/// Contenders of two files that one chart can hold; more get a chart each.
const OVERLAID_MAX: usize = 3;
/// How far beyond the bound of a ramp its chart goes.
const BEYOND_BOUND_MAX: f64 = 5.0;
/// Line charts that leave room for bars beside them.
const BESIDE_BARS_MAX: usize = 2;

/// What points of one curve have in common.
type Family = (Plan, Option<Mode>);

impl Page<'_> {
    /// What belongs to one cell: bars beside a line chart or two, or in one grid with many.
    pub(super) fn write_charts(&self, out: &mut Markup, cell: &Cell) {
        let mut lines = self.percentiles(cell);
        lines.extend(self.ramp(cell));
        let bars: Vec<Bars> = self
            .bar_columns(cell)
            .iter()
            .map(|column| self.bars(cell, column))
            .collect();
        let are_few = (1..=BESIDE_BARS_MAX).contains(&lines.len());
        let class = if are_few { "charts of-point" } else { "charts" };
        out.open("div", &[("class", class)]);
        let split = |out: &mut Markup| {
            if are_few {
                out.constant("</div><div>\n");
            }
        };
        if are_few {
            out.constant("<div>");
        }
        for (caption, chart) in &lines {
            write_figure(out, caption, chart);
        }
        split(out);
        for bars in &bars {
            bars.write(out);
        }
        if are_few {
            out.close("div");
        }
        out.close("div");
    }

    fn percentiles(&self, cell: &Cell) -> Vec<(String, Chart)> {
        let lines: Vec<(&Line, &Latencies)> = cell
            .lines
            .iter()
            .filter_map(|line| Some((line, line.latencies.as_ref()?)))
            .collect();
        let Some(clock) = cell.clock.filter(|_| !lines.is_empty()) else {
            return Vec::new();
        };
        let series: Vec<Series> = lines
            .iter()
            .map(|(line, latencies)| {
                percentile_series(latencies, self.style(cell, line), self.label(cell, line))
            })
            .collect();
        let counts = lines
            .iter()
            .map(|(_, latencies)| latencies.histogram().len());
        let x = Axis::percentiles(counts.max().unwrap_or(0));
        let values = series.iter().flat_map(|series| &series.points);
        let y = Axis::latency("latency", values.map(|(_, y)| *y));
        let words = clock_words(clock);
        let chart = |series: Vec<Series>, of: &str| Chart {
            title: format!(
                "{} {}, {words} over percentile{of}",
                cell.workload,
                cell.title()
            ),
            x: x.clone(),
            y: y.clone(),
            series,
            guide: None,
        };
        let several = cell.sources().len() > 1;
        let mut names: Vec<&str> = lines.iter().map(|(line, _)| &*line.name).collect();
        names.sort_unstable();
        names.dedup();
        if !several || names.len() <= OVERLAID_MAX {
            return vec![(format!("Percentiles: {words}"), chart(series, ""))];
        }
        let panels = self
            .names
            .iter()
            .filter(|name| names.contains(&name.as_str()));
        let panels = panels.map(|name| {
            let own = lines.iter().zip(&series);
            let own = own.filter(|((line, _), _)| line.name == *name);
            let series = own.map(|(_, series)| series.clone()).collect();
            (
                format!("{name}: {words}"),
                chart(series, &format!(" of {name}")),
            )
        });
        panels.collect()
    }

    /// The main figure, unless the lines show it, and what an operation costs in CPU.
    fn bar_columns(&self, cell: &Cell) -> Vec<Column> {
        let is_shown = |column: &Column| {
            let is_main = cell.main.as_ref() == Some(column);
            let is_latency = cell.clock.is_some() && column.unit == "us" && !column.is_cpu();
            column.is_cpu() || (is_main && !is_latency)
        };
        let mut columns = cell.columns();
        columns.retain(is_shown);
        columns
    }

    /// Sorted by value, with one contender's bars of several files together.
    fn bars(&self, cell: &Cell, column: &Column) -> Bars {
        let lines = cell.lines.iter().filter_map(|line| {
            let spread = line.values(column)?.spread()?;
            Some((line, spread))
        });
        let mut lines: Vec<(&Line, Spread)> = lines.collect();
        let least = |name: &str| {
            let own = cell.lines.iter().filter(|line| line.name == name);
            let medians = own.filter_map(|line| line.values(column)?.median());
            medians.fold(f64::INFINITY, f64::min)
        };
        lines.sort_by(|(a, _), (b, _)| {
            let by_value = least(&a.name).total_cmp(&least(&b.name));
            by_value.then_with(|| (&a.name, a.source).cmp(&(&b.name, b.source)))
        });
        let bar = |(line, spread): (&Line, Spread)| Bar {
            style: self.style(cell, line),
            label: self.label(cell, line),
            spread,
        };
        let name = figure(&column.name);
        Bars {
            title: format!("{} {}: {name}", cell.workload, cell.title()),
            caption: format!("{name}: median, least and most of all runs"),
            unit: column.unit.clone(),
            bars: lines.into_iter().map(bar).collect(),
        }
    }

    /// The steps of a ramp, with the bound it was for.
    fn ramp(&self, cell: &Cell) -> Option<(String, Chart)> {
        let Pace::Ramp {
            bound_us,
            percentile,
            ..
        } = cell.plan.pace
        else {
            return None;
        };
        let series = cell.lines.iter().filter(|line| !line.ramps.is_empty());
        let series = series.map(|line| {
            let points = ramp_points(&line.ramps);
            rate_series(self.style(cell, line), self.label(cell, line), points)
        });
        let series: Vec<Series> = series.collect();
        if series.is_empty() {
            return None;
        }
        let name = format!("P{percentile}");
        let title = format!("{} {}: {name} over rate", cell.workload, cell.title());
        let bound = bound_us as f64;
        // Far beyond its capacity a proxy's latency says how long the step was; the axis ends before that.
        let most = bound * BEYOND_BOUND_MAX;
        let mut series = series;
        for (_, value) in series.iter_mut().flat_map(|series| &mut series.points) {
            *value = value.min(most);
        }
        let mut chart = rate_chart(title, &name, series, [bound]);
        chart.guide = Some((bound, format!("bound, {}", us(bound))));
        let caption = format!("{name} at each rate of the ramp, from the planned send time");
        Some((caption, chart))
    }

    /// Points of one workload that differ in nothing but their rate, as curves.
    pub(super) fn write_rates(&self, out: &mut Markup, workload: &str) {
        let planned = self.cells.iter();
        let planned =
            planned.filter(|cell| cell.workload == workload && planned_rate(&cell.plan).is_some());
        let mut families: Vec<(Family, Vec<&Cell>)> = Vec::new();
        for cell in planned {
            let plan = (without_rate(cell.plan), cell.mode);
            match families.iter_mut().find(|(family, _)| *family == plan) {
                Some((_, cells)) => cells.push(cell),
                None => families.push((plan, vec![cell])),
            }
        }
        for ((plan, _), cells) in families.iter().filter(|(_, cells)| cells.len() > 1) {
            let (connections, payload) =
                (plural(plan.connections, "connection"), bytes(plan.payload));
            let scenario = plan.scenario.name();
            let title = format!("Latency over rate, {scenario}: {connections}, {payload}");
            out.element("h3", &[], &title);
            out.open("div", &[("class", "charts")]);
            for (name, quantile) in [("P50", 0.5), ("P99", 0.99)] {
                let series = self.rate_lines(cells, quantile);
                if series.is_empty() {
                    continue;
                }
                let title = format!("{workload}, {title}, {name}");
                let caption = format!("{name} at each rate, from the planned send time");
                write_figure(out, &caption, &rate_chart(title, name, series, []));
            }
            out.close("div");
        }
    }

    /// A line for each contender through all rates: one for each file that has them all over again, one through all
    /// files where each point is in one of them.
    fn rate_lines(&self, cells: &[&Cell], quantile: f64) -> Vec<Series> {
        let several = cells.iter().any(|cell| cell.sources().len() > 1);
        let files: Vec<Option<usize>> = match several {
            true => (0..self.sources.len()).map(Some).collect(),
            false => vec![None],
        };
        let mut all: Vec<Series> = Vec::new();
        for source in files {
            for (contender, name) in self.names.iter().enumerate() {
                let is_own = |line: &&Line| {
                    line.name == *name && source.is_none_or(|source| line.source == source)
                };
                let points = cells.iter().filter_map(|cell| {
                    let line = cell.lines.iter().find(is_own)?;
                    let y = line.latencies.as_ref()?.at_quantile_us(quantile);
                    let achieved = line.rate().and_then(|(_, values)| values.median());
                    let planned = planned_rate(&cell.plan).map(|rate| rate as f64);
                    Some((achieved.or(planned)?, y))
                });
                let mut points: Vec<(f64, f64)> = points.collect();
                points.sort_by(|a, b| a.0.total_cmp(&b.0));
                let style = Style {
                    contender,
                    source: source.unwrap_or_default(),
                };
                let label = match source {
                    Some(source) => format!("{name} · {}", letter(source)),
                    None => name.clone(),
                };
                if !points.is_empty() {
                    all.push(rate_series(style, label, points));
                }
            }
        }
        all
    }
}

fn write_figure(out: &mut Markup, caption: &str, chart: &Chart) {
    out.constant("<figure class=\"lines\">");
    out.element("figcaption", &[], caption);
    chart.write(out);
    out.constant("</figure>\n");
}

/// The plan with no rate and no duration: what it has in common with others of its family.
fn without_rate(plan: Plan) -> Plan {
    let pace = match plan.pace {
        Pace::Fixed { .. } => Pace::Fixed { rate: 0 },
        Pace::Poisson { .. } => Pace::Poisson { rate: 0 },
        pace => pace,
    };
    let stop = match plan.stop {
        Stop::After { .. } => Stop::After { ms: 0 },
        stop => stop,
    };
    Plan { pace, stop, ..plan }
}

/// The line of one contender, as far as there are latencies for it.
fn percentile_series(latencies: &Latencies, style: Style, label: String) -> Series {
    let histogram = latencies.histogram();
    let count = histogram.len().max(1) as f64;
    let end = count.log10();
    let steps = (end.min(Axis::percentiles(u64::MAX).end()) / RESOLUTION) as usize;
    let places = (0..=steps).map(|step| step as f64 * RESOLUTION);
    let quantiles = places.clone().map(|place| 1.0 - 10_f64.powf(-place));
    let values = histogram.value_at_quantiles(quantiles);
    let mut points: Vec<(f64, f64)> = places
        .zip(values)
        .map(|(place, ns)| (place, ns as f64 / 1e3))
        .collect();
    if histogram.len() <= 1 {
        points.clear();
    }
    points.push((end, latencies.at_quantile_us(1.0)));
    let points = without_middles(&points);
    let sure = (count / BEYOND_MIN).log10();
    let pale_from = points.iter().position(|(place, _)| *place > sure);
    let marked = [0.5, 0.9, 0.99, 0.999, 0.9999, 0.99999];
    let marked = marked
        .into_iter()
        .filter(|quantile| decades(*quantile) <= end);
    let marks = marked.map(|quantile| {
        let value = latencies.at_quantile_us(quantile);
        let says = format!("{label}: P{} is {}", percent(quantile), us(value));
        (decades(quantile), value, says)
    });
    let marks: Vec<_> = match points.as_slice() {
        [(x, y)] => vec![(*x, *y, format!("{label}: a single latency, {}", us(*y)))],
        _ => marks.collect(),
    };
    Series {
        style,
        label,
        points,
        marks,
        pale_from,
    }
}

/// 99.9 for 0.999, without the noise of binary fractions.
fn percent(quantile: f64) -> String {
    let text = format!("{:.3}", quantile * 100.0);
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

/// The same line without the points that lie on a level between two others.
fn without_middles(points: &[(f64, f64)]) -> Vec<(f64, f64)> {
    let is_middle = |place: usize| {
        let before = place.checked_sub(1).and_then(|before| points.get(before));
        let (here, after) = (points.get(place), points.get(place + 1));
        let level = |point: Option<&(f64, f64)>| point.map(|(_, y)| *y);
        before.is_some() && level(before) == level(here) && level(here) == level(after)
    };
    let kept = points.iter().enumerate();
    let kept = kept.filter(|(place, _)| !is_middle(*place));
    let mut kept: Vec<(f64, f64)> = kept.map(|(_, point)| *point).collect();
    kept.dedup();
    kept
}

/// The middle of what the rounds say about each rate, in the order of rates.
/// A rate that was missed once was tried again, and only the second time counts.
fn ramp_points(ramps: &[Vec<RampStep>]) -> Vec<(f64, f64)> {
    let mut rates: Vec<u64> = ramps.iter().flatten().map(|step| step.rate).collect();
    rates.sort_unstable();
    rates.dedup();
    let point = |rate: u64| {
        let last = |ramp: &'_ [RampStep]| ramp.iter().rfind(|step| step.rate == rate).cloned();
        let steps: Vec<RampStep> = ramps.iter().filter_map(|ramp| last(ramp)).collect();
        let achieved = Spread::of(steps.iter().map(|step| step.achieved))?;
        let bounded = Spread::of(steps.iter().map(|step| step.bounded_us))?;
        Some((achieved.median, bounded.median))
    };
    rates.into_iter().filter_map(point).collect()
}

fn rate_series(style: Style, label: String, points: Vec<(f64, f64)>) -> Series {
    let marks = points.iter().map(|(rate, value)| {
        let says = format!("{label}: {} at {}/s", us(*value), grouped(*rate as u64));
        (*rate, *value, says)
    });
    Series {
        style,
        marks: marks.collect(),
        label,
        points,
        pale_from: None,
    }
}

/// `more` has to be on the axis of latency too.
fn rate_chart(
    title: String,
    name: &str,
    series: Vec<Series>,
    more: impl IntoIterator<Item = f64>,
) -> Chart {
    let points = || series.iter().flat_map(|series| &series.points);
    let x = Axis::count("operations per second", points().map(|(x, _)| *x));
    let y = Axis::latency(name, points().map(|(_, y)| *y).chain(more));
    Chart {
        title,
        x,
        y,
        series,
        guide: None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_a_rate_that_was_tried_twice_the_second_time_counts() {
        let step = |rate: u64, bounded_us: f64| RampStep {
            rate,
            achieved: rate as f64,
            held: bounded_us < 1_000.0,
            p50_us: 1.0,
            p99_us: bounded_us,
            bounded_us,
            max_us: bounded_us,
        };
        let first = vec![step(10, 5.0), step(20, 9_000.0), step(20, 7.0)];
        let second = vec![step(10, 6.0), step(20, 8.0), step(40, 2_000.0)];
        let points = ramp_points(&[first, second]);
        assert_eq!(points, [(10.0, 5.5), (20.0, 7.5), (40.0, 2_000.0)]);
    }
}
