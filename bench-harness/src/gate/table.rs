//! What the gate says. Lines of its tables start with the name of a figure, one word, and their columns are separated
//! by blanks.

use std::io::{self, Write, stdout};

use crate::gate::judge::Row;
use crate::gate::sides::{ALL, Sides};
use crate::gate::stored::Stored;
use crate::result::histogram;
use crate::result::latency::Latencies;
use crate::result::model::{Latency, Point};

/// The candidate beside the other, point by point.
pub(super) fn comparison(sides: &Sides, rows: &[Row]) -> io::Result<()> {
    let mut out = stdout().lock();
    let [_, other, _] = &sides.names;
    for (name, command) in sides.names.iter().zip(&sides.commands).take(2) {
        writeln!(out, "{name}: {command}")?;
    }
    writeln!(
        out,
        "ratio: candidate / {other}, median and interval (95 %) over the rounds; noise: {other} / itself, the same\n"
    )?;
    let mut point = "";
    for row in rows {
        if row.point != point {
            point = &row.point;
            writeln!(out, "{point}")?;
            let title = ["candidate", "other", "ratio", "interval", "noise", "bound"];
            write!(out, "  {:<24} {:>4}", "figure", "unit")?;
            let widths = [10, 10, 7, 13, 13, 6];
            for (title, width) in title.iter().zip(widths) {
                write!(out, " {title:>width$}")?;
            }
            writeln!(out, "  verdict")?;
        }
        write_row(&mut out, row)?;
    }
    writeln!(out)
}

fn write_row(out: &mut impl Write, row: &Row) -> io::Result<()> {
    let (figure, unit, ratio) = (&row.figure, &row.unit, row.ratio);
    let (candidate, other) = (number(row.candidate), number(row.other));
    let interval = format!("{:.3}-{:.3}", ratio.low, ratio.high);
    let noise = row.noise.map_or("-".to_owned(), |noise| {
        format!("{:.3}-{:.3}", noise.low, noise.high)
    });
    let bound = row
        .bound_percent
        .map_or("-".to_owned(), |bound| format!("{bound}%"));
    writeln!(
        out,
        "  {figure:<24} {unit:>4} {candidate:>10} {other:>10} {:>7.3} {interval:>13} {noise:>13} {bound:>6}  {}",
        ratio.median,
        row.word()
    )
}

/// The percentiles of each side, its rounds merged.
pub(super) fn latencies(sides: &Sides, points: &[Point]) -> Result<(), String> {
    let mut lines = Vec::new();
    for point in points {
        for side in ALL {
            let mut merged: Option<Latencies> = None;
            for run in &point.runs {
                // The places of a side in both modes are alike but for the mode.
                if let Some(latency) = run.latency.as_ref().filter(|_| run.contender % 3 == side) {
                    merge(&mut merged, latency)?;
                }
            }
            let Some(merged) = merged else { continue };
            let at = |quantile| number(merged.at_quantile_us(quantile));
            let name = format!("{} x{}", point.workload, point.plan.connections);
            let (p50, p95, p99) = (at(0.50), at(0.95), at(0.99));
            lines.push(format!(
                "  {name:<8} {p50:>9} {p95:>9} {p99:>9}  {}",
                sides.names[side]
            ));
        }
    }
    let title = format!(
        "  {:<8} {:>9} {:>9} {:>9}  us",
        "latency", "P50", "P95", "P99"
    );
    writeln!(stdout().lock(), "{title}\n{}\n", lines.join("\n")).map_err(|error| error.to_string())
}

fn merge(merged: &mut Option<Latencies>, latency: &Latency) -> Result<(), String> {
    let latencies = histogram::decode(latency)?;
    match merged {
        None => *merged = Some(latencies),
        Some(merged) => merged
            .merge(&latencies)
            .map_err(|_| "latencies of two clocks were measured".to_owned())?,
    }
    Ok(())
}

/// The candidate against the file of counts.
pub(super) fn stored(stored: &Stored, rows: &[Row]) -> io::Result<()> {
    let mut out = stdout().lock();
    writeln!(out, "counts against those that were written down ('other')")?;
    for fact in stored.differences() {
        writeln!(
            out,
            "  they come from elsewhere, so bounds are wide or none: {fact}"
        )?;
    }
    for row in rows {
        write!(out, "{} ", row.point)?;
        write_row(&mut out, row)?;
    }
    writeln!(out)
}

/// In words: what failed, by how much, against which bound, and what to do.
pub(super) fn verdict(rows: &[Row], notes: &[String], uncounted: Option<&str>) -> io::Result<()> {
    let mut out = stdout().lock();
    if let Some(why) = uncounted {
        writeln!(
            out,
            "NOT COUNTED: instructions and system calls have no verdict, time alone has: {why}"
        )?;
    }
    for note in notes {
        writeln!(out, "note: {note}")?;
    }
    for row in rows.iter().filter(|row| row.disturbed) {
        writeln!(
            out,
            "not judged: {} {}: others had the cores in most rounds",
            row.point, row.figure
        )?;
    }
    for row in rows.iter().filter(|row| row.failed()) {
        let percent = |ratio: f64| 100.0 * (ratio - 1.0);
        let (ratio, bound) = (row.ratio, row.bound_percent.unwrap_or_default());
        write!(
            out,
            "FAILED: {} {}: {:+.1} % (surely more than {:+.1} %), bound {bound} %",
            row.point,
            row.figure,
            percent(ratio.median),
            percent(ratio.low)
        )?;
        match row.noise_percent() {
            Some(noise) => writeln!(out, ", noise {noise:.1} %")?,
            None => writeln!(out)?,
        }
    }
    if rows.iter().any(Row::failed) {
        writeln!(
            out,
            "what to do: for instructions, look where they are spent in both builds (valgrind --tool=callgrind, then \
             callgrind_annotate); for system calls, strace -c -f; for time, run it again on a quiet machine with more \
             --rounds, then perf record. If it is meant, say so in the commit, with the numbers; stored counts are \
             renewed with --update-counts."
        )?;
    }
    let of = |word: &str| rows.iter().filter(|row| row.word() == word).count();
    let (held, failed, disturbed) = (of("held"), of("FAILED"), of("disturbed"));
    let uncounted = uncounted.map_or("", |_| "; NOT COUNTED");
    writeln!(
        out,
        "gate: {held} held, {failed} failed, {disturbed} not judged{uncounted}"
    )
}

/// Four digits, or all before the point.
fn number(value: f64) -> String {
    match value.abs() {
        size if size >= 1000.0 => format!("{value:.0}"),
        size if size >= 10.0 => format!("{value:.2}"),
        _ => format!("{value:.3}"),
    }
}
