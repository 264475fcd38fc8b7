//! What a person and a program get to read: tables on standard output, one JSON file. Every line of a table starts
//! with the name of its figure, one word, and its columns are separated by blanks, so that scripts can rely on them.

pub(crate) mod html;

use std::fs;
use std::io::{self, Write, stdout};
use std::path::Path;

use serde_json::{Value, json};

use crate::figures::{self, Figure};
use crate::host;
use crate::load::Mode;
use crate::measure::{Comparison, Contender, From, Row, Setting};
use crate::spread::Spread;
use crate::workload::{Case, Workload};

/// Raised whenever a field changes its meaning or goes away.
const SCHEMA_VERSION: u32 = 1;

/// Share of the time that a side may wait for its core before the table says so.
const DISTURBED_PERCENT: f64 = 3.0;

/// The workloads.
pub(crate) fn list() -> io::Result<()> {
    let mut out = stdout().lock();
    for workload in Workload::ALL {
        let list = |numbers: &[usize]| {
            let numbers: Vec<String> = numbers.iter().map(usize::to_string).collect();
            numbers.join(", ")
        };
        let (connections, bytes) = (list(workload.connections()), list(workload.bytes()));
        let (name, described) = (workload.name(), workload.describe());
        writeln!(
            out,
            "{name:<5} {described}; connections: {connections}; bytes: {bytes}"
        )?;
    }
    Ok(())
}

/// The figures of one run.
pub(crate) fn run(workload: Workload, case: Case, figures: &[Figure]) -> io::Result<()> {
    let mut out = stdout().lock();
    writeln!(out, "{} {case}", workload.name())?;
    writeln!(out, "  {:<28} {:>6} {:>14}", "figure", "unit", "value")?;
    for figure in figures {
        let (name, unit, value) = (&figure.name, figure.unit, number(figure.value));
        let main = mark(figure.main);
        writeln!(out, "  {name:<28} {unit:>6} {value:>14}{main}")?;
    }
    let values = figures
        .iter()
        .map(|figure| (figure.name.as_str(), figure.value));
    write_disturbance(&mut out, values)?;
    writeln!(out)
}

/// What pairs of runs say; `names` are what A and B stand for.
pub(crate) fn comparison(
    workload: Workload,
    names: [&str; 2],
    comparison: &Comparison,
) -> io::Result<()> {
    let mut out = stdout().lock();
    let (pairs, case) = (comparison.pairs.len(), comparison.case);
    writeln!(out, "{} {case}, {pairs} pairs", workload.name())?;
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
        let (name, unit) = (&row.name, row.unit);
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
    if most <= DISTURBED_PERCENT {
        return Ok(());
    }
    writeln!(
        out,
        "  disturbed: other programs held the measured cores for up to {most:.0} % of the time; \
         these figures are for orientation only"
    )
}

fn write_pairs(out: &mut impl Write, row: &Row, comparison: &Comparison) -> io::Result<()> {
    let value = |figures: &[Figure]| {
        let figure = figures.iter().find(|figure| figure.name == row.name);
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

/// The result file of a single run for each number of connections.
pub(crate) fn run_json(
    setting: &Setting,
    contender: &Contender,
    cases: &[(Case, Vec<Figure>)],
) -> Value {
    let cases: Vec<Value> = cases
        .iter()
        .map(|(Case { connections, bytes }, figures)| {
            json!({ "connections": connections, "bytes": bytes, "figures": figures_json(figures) })
        })
        .collect();
    json!({
        "schema_version": SCHEMA_VERSION,
        "kind": "run",
        "host": host::facts(),
        "setting": setting_json(setting),
        "contender": contender_json(contender),
        "cases": cases,
    })
}

/// The result file of pairs; `noise` is A against itself.
pub(crate) fn pair_json(
    setting: &Setting,
    [a, b]: [&Contender; 2],
    comparisons: &[Comparison],
    noise: &[Comparison],
) -> Value {
    let all = |comparisons: &[Comparison]| -> Vec<Value> {
        comparisons.iter().map(comparison_json).collect()
    };
    json!({
        "schema_version": SCHEMA_VERSION,
        "kind": "pair",
        "host": host::facts(),
        "setting": setting_json(setting),
        "a": contender_json(a),
        "b": contender_json(b),
        "cases": all(comparisons),
        "noise": all(noise),
    })
}

/// Writes a result file.
pub(crate) fn write_json(path: &Path, result: &Value) -> io::Result<()> {
    fs::write(path, format!("{result:#}\n"))
}

fn comparison_json(comparison: &Comparison) -> Value {
    let rows: Vec<Value> = comparison.rows().iter().map(row_json).collect();
    let runs: Vec<Value> = comparison
        .pairs
        .iter()
        .map(|[a, b]| json!({ "a": figures_json(a), "b": figures_json(b) }))
        .collect();
    let Case { connections, bytes } = comparison.case;
    json!({ "connections": connections, "bytes": bytes, "figures": rows, "pairs": runs })
}

fn row_json(row: &Row) -> Value {
    json!({
        "name": row.name,
        "unit": row.unit,
        "main": row.main,
        "a": spread_json(&row.a),
        "b": spread_json(&row.b),
        "ratio": row.ratio.as_ref().map(spread_json),
    })
}

fn spread_json(spread: &Spread) -> Value {
    json!({
        "median": spread.median,
        "lower_quartile": spread.lower_quartile,
        "upper_quartile": spread.upper_quartile,
        "min": spread.min,
        "max": spread.max,
    })
}

fn figures_json(figures: &[Figure]) -> Value {
    let one = |figure: &Figure| {
        let Figure {
            name,
            unit,
            value,
            main,
        } = figure;
        json!({ "name": name, "unit": unit, "value": value, "main": main })
    };
    figures.iter().map(one).collect()
}

fn setting_json(setting: &Setting) -> Value {
    json!({
        "workload": setting.workload.name(),
        "measures": setting.workload.describe(),
        "origin": setting.origin.to_string(),
        "duration_ms": setting.timing.duration.as_millis() as u64,
        "warm_up_ms": setting.timing.warm_up.as_millis() as u64,
        "rate": setting.timing.rate,
        "load_wait": format!("{:?}", setting.wait).to_lowercase(),
        "core": setting.core,
    })
}

fn contender_json(contender: &Contender) -> Value {
    let (command, pid) = match &contender.from {
        From::Command(command) => (Some(command), None),
        From::Running(pid) => (None, *pid),
    };
    let mode = match contender.mode {
        Mode::Connect => "connect",
        Mode::Tcp => "tcp",
        Mode::Forward => "forward",
    };
    let proxy = contender.proxy.to_string();
    json!({ "proxy": proxy, "mode": mode, "command": command, "pid": pid })
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
