//! What a person and a program get to read: tables on standard output. Every line of a table starts
//! with the name of its figure, one word, and its columns are separated by blanks, so that scripts can rely on them.

mod column;
mod file;
pub(crate) mod html;
#[cfg(test)]
pub(crate) mod sample;
mod table;
mod units;
mod view;
mod words;

use std::io::{self, Write, stdout};

use crate::figures;
use crate::load::Mode;
use crate::measure::Measured;
use crate::pair::{Comparison, Row};
use crate::plan::Plan;
use crate::report::file::Source;
use crate::result::model::ResultFile;

/// The figures of one run.
pub(crate) fn run(workload: &str, plan: &Plan, mode: Mode, measured: &Measured) -> io::Result<()> {
    let mut out = stdout().lock();
    writeln!(out, "{workload} {plan}, {}", mode.name())?;
    for step in &measured.steps {
        let held = if step.held { "held" } else { "not held" };
        let (rate, achieved) = (step.rate, number(step.achieved));
        let (p50, bounded) = (number(step.p50_us), number(step.bounded_us));
        writeln!(
            out,
            "  step: {rate}/s planned, {achieved}/s achieved, median {p50} us, bounded percentile {bounded} us, {held}"
        )?;
    }
    let figures = &measured.figures;
    writeln!(out, "  {:<28} {:>6} {:>14}", "figure", "unit", "value")?;
    for figure in figures {
        let (name, unit, value) = (&figure.name, &figure.unit, number(figure.value));
        let main = mark(figure.main);
        writeln!(out, "  {name:<28} {unit:>6} {value:>14}{main}")?;
    }
    let values = figures
        .iter()
        .map(|figure| (figure.name.as_str(), figure.value));
    write_disturbance(&mut out, values)?;
    writeln!(out)
}

/// The points of a comparison, as a table for each.
pub(crate) fn points(result: &ResultFile) -> Result<(), String> {
    let source = Source::of(String::new(), result.clone())?;
    table::write(&mut stdout().lock(), &[source]).map_err(|error| error.to_string())
}

/// A point that was left out.
pub(crate) fn cannot(workload: &str, plan: &Plan, why: &str) -> io::Result<()> {
    let mut out = stdout().lock();
    writeln!(out, "{workload} {plan}\n  not run: {why}\n")
}

/// What pairs of runs say; `names` are what A and B stand for.
pub(crate) fn comparison(
    workload: &str,
    names: [&str; 2],
    comparison: &Comparison,
) -> io::Result<()> {
    let mut out = stdout().lock();
    let (pairs, plan) = (comparison.pairs.len(), comparison.plan);
    writeln!(out, "{workload} {plan}, {pairs} pairs")?;
    for (letter, name) in ["A", "B"].iter().zip(names) {
        writeln!(out, "  {letter}: {name}")?;
    }
    let rows = comparison.rows();
    for row in rows.iter().filter(|row| row.main) {
        write_pairs(&mut out, row, comparison)?;
    }
    write!(
        out,
        "  {:<28} {:>6} {:>14} {:>14}",
        "figure", "unit", "A", "B"
    )?;
    for title in ["A/B", "q1", "q3", "min", "max"] {
        write!(out, " {title:>8}")?;
    }
    writeln!(out)?;
    for row in &rows {
        let (a, b) = (number(row.a.median), number(row.b.median));
        let (name, unit) = (&row.name, &row.unit);
        write!(out, "  {name:<28} {unit:>6} {a:>14} {b:>14}")?;
        let points = row.ratio.map(|ratio| {
            [
                ratio.median,
                ratio.lower_quartile,
                ratio.upper_quartile,
                ratio.min,
                ratio.max,
            ]
        });
        for point in 0..5 {
            let text = points.map_or("-".to_owned(), |points| format!("{:.3}", points[point]));
            write!(out, " {text:>8}")?;
        }
        writeln!(out, "{}", mark(row.main))?;
    }
    let values = rows
        .iter()
        .map(|row| (row.name.as_str(), row.a.median.max(row.b.median)));
    write_disturbance(&mut out, values)?;
    writeln!(out)
}

/// Says so if other programs ran on the cores that were measured.
fn write_disturbance<'a>(
    out: &mut impl Write,
    figures: impl Iterator<Item = (&'a str, f64)>,
) -> io::Result<()> {
    let waited = figures.filter(|(name, _)| name.ends_with(figures::WAITED));
    let most = waited.map(|(_, share)| share).fold(0.0, f64::max);
    if most <= figures::DISTURBED_PERCENT {
        return Ok(());
    }
    writeln!(
        out,
        "  disturbed: other programs held the measured cores for up to {most:.0} % of the time; \
         these figures are for orientation only"
    )
}

fn write_pairs(out: &mut impl Write, row: &Row, comparison: &Comparison) -> io::Result<()> {
    let value = |measured: &Measured| {
        let mut figures = measured.figures.iter();
        let figure = figures.find(|figure| figure.name == row.name);
        figure.map_or(f64::NAN, |figure| figure.value)
    };
    for (index, [a, b]) in comparison.pairs.iter().enumerate() {
        let (a, b) = (value(a), value(b));
        let (name, ratio) = (&row.name, a / b);
        let (pair, a, b) = (index + 1, number(a), number(b));
        writeln!(out, "  pair {pair}: {name} A {a} B {b} A/B {ratio:.3}")?;
    }
    Ok(())
}

fn mark(main: bool) -> &'static str {
    match main {
        true => "  *",
        false => "",
    }
}

/// Four digits or more, never an exponent.
fn number(value: f64) -> String {
    match value.abs() {
        size if size >= 1000.0 => format!("{value:.0}"),
        size if size >= 10.0 => format!("{value:.2}"),
        _ => format!("{value:.4}"),
    }
}
