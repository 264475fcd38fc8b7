//! The tables of `report` and `compare` on a terminal: for each point a line per contender, best first, then in words
//! who cannot and where Ringway is not first. Every line of a contender begins with one word, its columns are separated
//! by blanks, and what has to be known to compare it is at its end.

use std::io::{self, Write};

use crate::report::column::Values;
use crate::report::file::Source;
use crate::report::units::{self, Format, plural};
use crate::report::view::{self, Cell, Line, QUANTILES};
use crate::report::words;
use crate::result::model::Clock;

/// Writes the points of all `sources`.
pub(crate) fn write(out: &mut impl Write, sources: &[Source]) -> io::Result<()> {
    for cell in view::cells(sources) {
        write_cell(out, sources, &cell)?;
    }
    Ok(())
}

fn write_cell(out: &mut impl Write, sources: &[Source], cell: &Cell) -> io::Result<()> {
    writeln!(out, "{} {}", cell.workload, cell.title())?;
    let clock = match cell.clock {
        Some(Clock::Planned) => "latencies in µs, from the planned send time",
        Some(Clock::Asked) => "latencies in µs, from the sending",
        None => "no latencies",
    };
    let main = cell.main.as_ref();
    let figure = main.map_or_else(String::new, |main| {
        let name = units::figure(&main.name);
        let unit = Format::of(&main.unit, []).unit;
        let ratio = ratio_title(sources, cell);
        format!("{name} in {unit}: median, quartiles{ratio}; ")
    });
    writeln!(out, "  {figure}{clock}")?;
    let names = cell.lines.iter().map(|line| (line.source, &line.name));
    let absent = cell.cannot.iter().map(|line| (line.source, &line.name));
    let widths = names
        .chain(absent)
        .map(|(source, name)| word(sources, cell, source, name).len());
    let width = widths.max().unwrap_or(0).max("contender".len());
    write!(out, "  {:<width$}", "contender")?;
    for title in ["median", "q1", "q3", "ratio"] {
        write!(out, " {title:>10}")?;
    }
    for (title, _) in QUANTILES {
        write!(out, " {title:>9}")?;
    }
    writeln!(out, "  runs  notes")?;
    for line in &cell.lines {
        write_line(out, sources, cell, line, width)?;
    }
    for cannot in cell.cannot.iter().filter(|cannot| !cannot.in_part) {
        let name = word(sources, cell, cannot.source, &cannot.name);
        let why = units::first_line(&cannot.why);
        writeln!(out, "  {name:<width$} cannot: {why}")?;
    }
    for source in cell.sources() {
        write_words(out, sources, cell, source)?;
    }
    writeln!(out)
}

/// Whom the others are compared with, where it is the same in all files.
fn ratio_title(sources: &[Source], cell: &Cell) -> String {
    let homes = cell.sources().into_iter();
    let homes = homes.map(|source| home(sources, cell, source).map(|line| line.name.as_str()));
    let mut homes: Vec<Option<&str>> = homes.collect();
    homes.dedup();
    match homes.as_slice() {
        [Some(home)] => format!(", ratio to {home}"),
        [None] => String::new(),
        _ => ", ratio within the file".to_owned(),
    }
}

fn write_line(
    out: &mut impl Write,
    sources: &[Source],
    cell: &Cell,
    line: &Line,
    width: usize,
) -> io::Result<()> {
    let name = word(sources, cell, line.source, &line.name);
    write!(out, "  {name:<width$}")?;
    let values = cell.main.as_ref().and_then(|main| line.values(main));
    let spread = values.and_then(Values::spread);
    let numbers =
        spread.map(|spread| [spread.median, spread.lower_quartile, spread.upper_quartile]);
    for place in 0..3 {
        let value = numbers.and_then(|numbers| numbers.get(place).copied());
        write!(out, " {:>10}", value.map_or_else(dash, plain))?;
    }
    let home = home(sources, cell, line.source);
    let ratio = home.and_then(|home| {
        let main = cell.main.as_ref()?;
        line.values(main)?.ratio(home.values(main)?)
    });
    let ratio = ratio.map_or_else(dash, |ratio| format!("{:.3}", ratio.median));
    write!(out, " {ratio:>10}")?;
    for (_, quantile) in QUANTILES {
        let latencies = line.latencies.as_ref();
        let value = latencies.map(|latencies| latencies.at_quantile_us(quantile));
        write!(out, " {:>9}", value.map_or_else(dash, plain))?;
    }
    write!(out, "  {:>4}", line.runs)?;
    match notes(sources, cell, line).as_slice() {
        [] => writeln!(out),
        notes => writeln!(out, "  {}", notes.join("; ")),
    }
}

/// What the contender does otherwise, then what is to be thought of its figures.
fn notes(sources: &[Source], cell: &Cell, line: &Line) -> Vec<String> {
    let contenders = sources
        .get(line.source)
        .map(|source| &source.result.contenders);
    let contender = contenders.and_then(|contenders| contenders.get(line.contender));
    let mut notes = contender.map_or_else(Vec::new, |contender| contender.notes.clone());
    let of_line = cell
        .cannot
        .iter()
        .filter(|cannot| (cannot.source, cannot.contender) == (line.source, line.contender));
    notes.extend(of_line.map(|cannot| units::first_line(&cannot.why).to_owned()));
    if line.disturbed_runs > 0 {
        let (runs, most) = (plural(line.disturbed_runs, "run"), line.disturbed_most);
        notes.push(format!("{runs} disturbed, up to {most:.0} %"));
    }
    notes
}

/// A contender as one word, with its file where there are several.
fn word(sources: &[Source], cell: &Cell, source: usize, name: &str) -> String {
    let file = file_of(sources, cell, source);
    let at = if file.is_empty() { "" } else { "@" };
    format!("{name}{at}{file}").replace(char::is_whitespace, "_")
}

fn file_of<'a>(sources: &'a [Source], cell: &Cell, source: usize) -> &'a str {
    match (cell.sources().len(), sources.get(source)) {
        (0 | 1, _) | (_, None) => "",
        (_, Some(source)) => &source.name,
    }
}

/// Nothing of an emulated processor is ranked.
fn write_words(
    out: &mut impl Write,
    sources: &[Source],
    cell: &Cell,
    source: usize,
) -> io::Result<()> {
    let is_emulated = sources
        .get(source)
        .is_some_and(|source| source.result.host.emulated);
    if is_emulated {
        return writeln!(out, "  emulated: this shows that it runs, and not how fast");
    }
    let Some(home) = home(sources, cell, source) else {
        return Ok(());
    };
    for sentence in words::sentences(&words::standings(cell, source, home.contender)) {
        let file = file_of(sources, cell, source);
        let colon = if file.is_empty() { "" } else { ": " };
        writeln!(out, "  {file}{colon}{sentence}")?;
    }
    Ok(())
}

fn home<'a>(sources: &[Source], cell: &'a Cell, source: usize) -> Option<&'a Line> {
    let contenders = &sources.get(source)?.result.contenders;
    cell.line(source, cell.home(source, contenders)?)
}

/// Four digits or more, never an exponent, no groups: for scripts.
fn plain(value: f64) -> String {
    match value.abs() {
        size if size >= 1000.0 => format!("{value:.0}"),
        size if size >= 10.0 => format!("{value:.2}"),
        _ => format!("{value:.4}"),
    }
}

fn dash() -> String {
    "-".to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::sample;
    use crate::result::model::Cannot;

    fn written(sources: &[Source]) -> String {
        let mut out = Vec::new();
        write(&mut out, sources).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn every_contender_of_every_point_has_a_line_of_as_many_words() {
        let result = sample::compare(3);
        let source = Source::of("a".to_owned(), result.clone()).unwrap();
        let text = written(&[source]);
        let mut lines = 0;
        for name in ["ringway", "haproxy", "nginx"] {
            let start = format!("  {name} ");
            let rows = text.lines().filter(|line| line.starts_with(&start));
            for row in rows.filter(|row| !row.contains("cannot:") && !row.contains(" first in ")) {
                let words: Vec<&str> = row.split_whitespace().collect();
                let note = "a reverse proxy: it is told its origin";
                let note = if name == "nginx" { note } else { "" };
                assert_eq!(words[11..].join(" "), note, "{row}");
                lines += 1;
            }
        }
        let runs: usize = result.points.iter().map(|point| point.runs.len()).sum();
        assert_eq!(lines, runs / 3, "{text}");
        assert!(text.contains("quartiles, ratio to ringway; "), "{text}");
        assert!(
            text.contains("  nginx     cannot: it has no <CONNECT>"),
            "{text}"
        );
        assert!(
            text.contains("ringway is not first in CPU per round trip: nginx has"),
            "{text}"
        );
    }

    #[test]
    fn who_failed_in_part_has_one_line_that_says_so() {
        let mut result = sample::compare(2);
        result.points.truncate(1);
        result.points[0].cannot = vec![Cannot {
            contender: 1,
            why: "1 of 4 runs void: late; its output ended with:\n  it panicked".to_owned(),
        }];
        let text = written(&[Source::of("a".to_owned(), result).unwrap()]);
        let lines = text.lines().filter(|line| line.starts_with("  haproxy "));
        let lines: Vec<&str> = lines.collect();
        assert_eq!(lines.len(), 1, "{text}");
        assert!(lines[0].ends_with("  1 of 4 runs void: late"), "{text}");
    }

    #[test]
    fn disturbed_and_emulated_runs_are_called_so() {
        let mut result = sample::compare(4);
        let source = |result: &crate::result::model::ResultFile| {
            Source::of("a".to_owned(), result.clone()).unwrap()
        };
        let text = written(&[source(&result)]);
        assert!(text.contains("  1 run disturbed, up to 8 %"), "{text}");
        result.host.emulated = true;
        let text = written(&[source(&result)]);
        assert!(
            text.contains("  emulated: this shows that it runs"),
            "{text}"
        );
        assert!(!text.contains("first in"), "{text}");
    }
}
