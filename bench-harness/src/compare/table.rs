//! What a comparison says on a terminal: one table for each point, the best first, and below it in words where Ringway
//! is not the best. Percentiles come from merged histograms, ratios from the same round.

use std::fmt::Write;

use crate::compare::entrant::RINGWAY;
use crate::result::histogram;
use crate::result::latency::Latencies;
use crate::result::model::{Clock, Contender, Figure, Point, Run};
use crate::spread::Spread;

/// Share of the time that other programs may hold a measured core before a row says so.
const DISTURBED_PERCENT: f64 = 3.0;

/// One contender at one point.
struct Row<'a> {
    contender: &'a Contender,
    /// Of the main figure, by round.
    values: Vec<(usize, f64)>,
    main: Option<Spread>,
    /// Over Ringway's in the same round.
    ratio: Option<Spread>,
    latencies: Option<Latencies>,
    notes: Vec<String>,
}

impl Row<'_> {
    /// No proxy is no contender, but what is below them all.
    fn is_proxy(&self) -> bool {
        self.contender.command.is_some()
    }
}

/// The table of a point, and the words below it.
pub(crate) fn of(point: &Point, contenders: &[Contender]) -> String {
    let main = point
        .runs
        .iter()
        .flat_map(|run| &run.figures)
        .find(|figure| figure.main);
    let rows = rows(point, contenders, main);
    let rounds = point
        .runs
        .iter()
        .map(|run| run.round + 1)
        .max()
        .unwrap_or(0);
    let clock = rows
        .iter()
        .find_map(|row| Some(row.latencies.as_ref()?.clock()));
    let clock = match clock {
        Some(Clock::Planned) => ", latency from planned times",
        Some(Clock::Asked) => ", latency from the asking",
        None => "",
    };
    let rounds = match rounds {
        1 => "1 round".to_owned(),
        rounds => format!("{rounds} rounds"),
    };
    let mut text = format!("{} {}, {rounds}{clock}\n", point.workload, point.plan);
    let names = rows.iter().map(|row| label(row.contender).len());
    let absent = absent(point, contenders);
    let names = names.chain(absent.iter().map(|(contender, _)| label(contender).len()));
    let width = names.max().unwrap_or(0).max("contender".len());
    // Writing to a string cannot fail.
    let _ = write_rows(&mut text, &rows, main, width);
    for (contender, why) in absent {
        let _ = writeln!(text, "  {:<width$} cannot: {why}", label(contender));
    }
    if let Some(words) = words(point, &rows, main) {
        let _ = writeln!(text, "  {words}");
    }
    text
}

fn write_rows(
    text: &mut String,
    rows: &[Row<'_>],
    main: Option<&Figure>,
    width: usize,
) -> std::fmt::Result {
    let title = main.map_or("-", |main| main.name.as_str());
    let column = title.len().max(10);
    let unit = main.map_or("", |main| main.unit.as_str());
    writeln!(
        text,
        "  {:<width$} {title:>column$} {:>21} {:>10} {:>9} {:>9}  notes",
        "contender",
        format!("quartiles {unit}"),
        "to ringway",
        "P50 us",
        "P99 us"
    )?;
    for row in rows {
        let number = |value: Option<f64>| value.map_or("-".to_owned(), number);
        let median = number(row.main.map(|main| main.median));
        let quartiles = row.main.map_or("-".to_owned(), |main| {
            let (lower, upper) = (main.lower_quartile, main.upper_quartile);
            format!("{} - {}", self::number(lower), self::number(upper))
        });
        let ratio = row
            .ratio
            .map_or("-".to_owned(), |ratio| format!("{:.3}", ratio.median));
        let at = |quantile| {
            let latencies = row.latencies.as_ref();
            number(latencies.map(|latencies| latencies.at_quantile_us(quantile)))
        };
        let (name, notes) = (label(row.contender), row.notes.join("; "));
        let (p50, p99) = (at(0.5), at(0.99));
        let line = format!(
            "  {name:<width$} {median:>column$} {quartiles:>21} {ratio:>10} {p50:>9} {p99:>9}  {notes}"
        );
        writeln!(text, "{}", line.trim_end())?;
    }
    Ok(())
}

/// Those that have runs: the best first, and last no proxy.
fn rows<'a>(point: &Point, contenders: &'a [Contender], main: Option<&Figure>) -> Vec<Row<'a>> {
    let values = |contender: usize| -> Vec<(usize, f64)> {
        let Some(main) = main else { return Vec::new() };
        let runs = runs(point, contender).filter_map(|run| {
            let figure = run.figures.iter().find(|figure| figure.name == main.name)?;
            Some((run.round, figure.value))
        });
        runs.collect()
    };
    // The one of Ringway's contenders that runs here.
    let home = contenders
        .iter()
        .enumerate()
        .filter(|(_, contender)| contender.name == RINGWAY);
    let home = home
        .map(|(place, _)| values(place))
        .find(|values| !values.is_empty())
        .unwrap_or_default();
    let mut rows: Vec<Row<'_>> = contenders
        .iter()
        .enumerate()
        .filter(|(place, _)| runs(point, *place).next().is_some())
        .map(|(place, contender)| {
            let values = values(place);
            Row {
                contender,
                main: Spread::of(values.iter().map(|(_, value)| *value)),
                ratio: ratio(&values, &home),
                latencies: latencies(point, place),
                notes: notes(point, place, contender),
                values,
            }
        })
        .collect();
    let higher = main.is_some_and(is_higher_better);
    rows.sort_by(|a, b| {
        let rank = |row: &Row<'_>| {
            let main = row.main.filter(|_| row.is_proxy());
            main.map_or(f64::INFINITY, |main| match higher {
                true => -main.median,
                false => main.median,
            })
        };
        rank(a).total_cmp(&rank(b))
    });
    rows
}

fn runs(point: &Point, contender: usize) -> impl Iterator<Item = &Run> {
    point
        .runs
        .iter()
        .filter(move |run| run.contender == contender)
}

fn ratio(values: &[(usize, f64)], home: &[(usize, f64)]) -> Option<Spread> {
    let ratios = values.iter().filter_map(|(round, value)| {
        let (_, own) = home.iter().find(|(other, _)| other == round)?;
        Some(value / own)
    });
    Spread::of(ratios).filter(|ratio| ratio.min.is_finite() && ratio.max.is_finite())
}

fn latencies(point: &Point, contender: usize) -> Option<Latencies> {
    let mut all: Option<Latencies> = None;
    for run in runs(point, contender) {
        let one = histogram::decode(run.latency.as_ref()?).ok()?;
        match &mut all {
            None => all = Some(one),
            Some(all) => all.merge(&one).ok()?,
        }
    }
    all
}

/// What differs in what it does, then what is to be thought of its figures.
fn notes(point: &Point, place: usize, contender: &Contender) -> Vec<String> {
    let mut notes = contender.notes.clone();
    let void = point.cannot.iter().find(|cannot| cannot.contender == place);
    notes.extend(void.map(|void| first_line(&void.why).to_owned()));
    let most = runs(point, place)
        .map(|run| run.disturbed_percent)
        .fold(0.0, f64::max);
    match most {
        // Nobody else can take more than all of a core: a thread for each connection is what waits for it.
        most if most > 100.0 => notes.push("its threads wait for each other".to_owned()),
        most if most > DISTURBED_PERCENT => notes.push(format!("disturbed: {most:.0} %")),
        _ => {}
    }
    notes
}

/// Those that have no runs, and why.
fn absent<'a>(point: &'a Point, contenders: &'a [Contender]) -> Vec<(&'a Contender, &'a str)> {
    let without = point
        .cannot
        .iter()
        .filter(|cannot| runs(point, cannot.contender).next().is_none());
    without
        .filter_map(|cannot| {
            let contender = contenders.get(cannot.contender)?;
            Some((contender, first_line(&cannot.why)))
        })
        .collect()
}

/// Where Ringway stands, if it is not first.
fn words(point: &Point, rows: &[Row<'_>], main: Option<&Figure>) -> Option<String> {
    let ranked = rows
        .iter()
        .filter(|row| row.main.is_some() && row.is_proxy());
    let ranked: Vec<&Row<'_>> = ranked.collect();
    let is_home = |row: &Row<'_>| row.contender.name == RINGWAY;
    let what = format!("{} {}", point.workload, point.plan);
    let Some(place) = ranked.iter().position(|row| is_home(row)) else {
        return Some(format!("Ringway has no figure in {what}."));
    };
    let (main, first) = (main?, ranked.first().filter(|_| place > 0)?);
    let name = match first.contender.notes.first() {
        Some(note) => format!("{} ({note})", label(first.contender)),
        None => label(first.contender),
    };
    let (of, place) = (ranked.len(), ordinal(place + 1));
    let Some(ratio) = first.ratio else {
        return Some(format!(
            "Ringway is {place} of {of} in {what}; first is {name}."
        ));
    };
    let share = format!("{:.3} of its", ratio.median);
    let compared = match main.name.as_str() {
        figure if figure.contains("cpu_") => format!("needs {share} CPU"),
        figure if figure.starts_with("pss_") => format!("needs {share} memory"),
        "p50_us" => format!("has {share} median latency"),
        "total_ms" => format!("needs {share} time"),
        _ if is_higher_better(main) => format!("achieves {share} rate"),
        figure => format!("has {share} {figure}"),
    };
    let sure = match (ratio.lower_quartile, ratio.upper_quartile) {
        _ if first.values.len() < 2 => " (one round says little)".to_owned(),
        (lower, upper) if lower <= 1.0 && 1.0 <= upper => {
            format!(", which is within the spread ({lower:.3} to {upper:.3})")
        }
        _ => String::new(),
    };
    Some(format!(
        "Ringway is {place} of {of} in {what}: {name} {compared}{sure}."
    ))
}

fn is_higher_better(figure: &Figure) -> bool {
    figure.unit.ends_with("/s")
}

fn ordinal(place: usize) -> String {
    let word = match place {
        1 => "first",
        2 => "second",
        3 => "third",
        4 => "fourth",
        5 => "fifth",
        _ => return format!("{place}th"),
    };
    word.to_owned()
}

fn label(contender: &Contender) -> String {
    match &contender.version {
        Some(version) => format!("{} {version}", contender.name),
        None => contender.name.clone(),
    }
}

/// Without the output of the program, which is in the result file.
fn first_line(text: &str) -> &str {
    let line = text.lines().next().unwrap_or_default();
    line.strip_suffix("; its output ended with:")
        .unwrap_or(line)
}

/// Four digits or more, never an exponent.
fn number(value: f64) -> String {
    match value.abs() {
        size if size >= 1000.0 => format!("{value:.0}"),
        size if size >= 10.0 => format!("{value:.2}"),
        _ => format!("{value:.4}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    use crate::load::Mode;
    use crate::plan::{Pace, Plan, Scenario, Stop};
    use crate::result::model::Cannot;

    fn contender(name: &str, notes: &[&str]) -> Contender {
        Contender {
            name: name.to_owned(),
            version: (name != "direct").then(|| "1.2".to_owned()),
            command: (name != "direct").then(|| name.to_owned()),
            mode: Mode::Tcp,
            address: "127.0.0.1:3128".parse().unwrap(),
            notes: notes.iter().map(|&note| note.to_owned()).collect(),
            capabilities: None,
        }
    }

    fn run(contender: usize, round: usize, cpu: Option<f64>, slowest_us: u64) -> Run {
        let latencies = Latencies::of(Clock::Asked, (1..=slowest_us).map(|us| (us * 1_000, 1)));
        let cpu = cpu.map(|cpu| Figure::new("cpu_us_per_round_trip", "us", cpu).main());
        Run {
            contender,
            round,
            order: 0,
            figures: cpu.into_iter().collect(),
            latency: Some(histogram::encode(&latencies).unwrap()),
            steps: Vec::new(),
            disturbed_percent: 0.0,
        }
    }

    fn point(runs: Vec<Run>, cannot: Vec<Cannot>) -> Point {
        Point {
            workload: "W3".to_owned(),
            plan: Plan {
                scenario: Scenario::Get,
                pace: Pace::Closed,
                stop: Stop::After { ms: 1 },
                connections: 64,
                payload: 2,
            },
            runs,
            cannot,
        }
    }

    #[test]
    fn the_best_is_first_and_who_cannot_is_below_with_the_reason() {
        let contenders = [
            contender("squid", &["caching off"]),
            contender("ringway", &[]),
            contender("nginx", &["reverse proxy"]),
            contender("tinyproxy", &[]),
            contender("direct", &[]),
        ];
        let mut disturbed = run(0, 0, Some(60.0), 100);
        disturbed.disturbed_percent = 7.0;
        let runs = vec![
            disturbed,
            run(1, 0, Some(10.0), 100),
            run(2, 0, Some(8.0), 100),
            run(1, 1, Some(20.0), 300),
            run(2, 1, Some(16.2), 100),
            run(4, 0, Some(1.0), 50),
        ];
        let cannot = vec![
            Cannot {
                contender: 3,
                why: "it closes the connection after each request".to_owned(),
            },
            Cannot {
                contender: 0,
                why: "1 of 2 runs void: it was late; its output ended with:\n  panic".to_owned(),
            },
        ];
        let text = of(&point(runs, cannot), &contenders);
        let lines: Vec<&str> = text.lines().collect();
        let starts: Vec<&str> = lines
            .iter()
            .map(|line| line.split_whitespace().next().unwrap())
            .collect();
        assert_eq!(
            starts,
            [
                "W3",
                "contender",
                "nginx",
                "ringway",
                "squid",
                "direct",
                "tinyproxy",
                "Ringway"
            ],
            "{text}"
        );
        // The ratio is that of each round: 0.8 and 0.81, not that of medians.
        assert!(lines[2].contains(" 0.805 "), "{text}");
        assert!(lines[2].ends_with("reverse proxy"), "{text}");
        // Merged: 1 to 100 and 1 to 300 have their middle at 100; neither middle, nor the mean of both, is there.
        let middle: f64 = lines[3].split_whitespace().nth(7).unwrap().parse().unwrap();
        assert!((99.0..101.0).contains(&middle), "{text}");
        assert!(
            lines[4].ends_with("caching off; 1 of 2 runs void: it was late; disturbed: 7 %"),
            "{text}"
        );
        assert!(
            lines[6].contains("cannot: it closes the connection"),
            "{text}"
        );
        assert_eq!(
            lines[7].trim(),
            "Ringway is second of 3 in W3 GET x64, 2 B: nginx 1.2 (reverse proxy) needs 0.805 of its CPU."
        );
    }

    #[test]
    fn nothing_is_said_where_ringway_is_first_and_what_is_not_sure_is_said_so() {
        let contenders = [contender("ringway", &[]), contender("nginx", &[])];
        let text = |nginx: [f64; 2]| {
            let runs = vec![
                run(0, 0, Some(10.0), 9),
                run(1, 0, Some(nginx[0]), 9),
                run(0, 1, Some(10.0), 9),
                run(1, 1, Some(nginx[1]), 9),
            ];
            of(&point(runs, Vec::new()), &contenders)
        };
        assert!(!text([11.0, 12.0]).contains("Ringway"));
        assert!(text([11.0, 12.0]).contains("2 B, 2 rounds, latency from the asking"));
        let unsure = text([7.0, 11.0]);
        assert!(
            unsure.contains("within the spread (0.800 to 1.000)"),
            "{unsure}"
        );
    }

    #[test]
    fn a_ringway_without_figures_is_said_in_words() {
        let contenders = [contender("ringway", &[]), contender("nginx", &[])];
        let why = "2 of 2 runs void: it fell over".to_owned();
        let cannot = vec![Cannot { contender: 0, why }];
        let text = of(&point(vec![run(1, 0, Some(1.0), 9)], cannot), &contenders);
        assert!(
            text.contains("ringway 1.2 cannot: 2 of 2 runs void"),
            "{text}"
        );
        assert!(
            text.contains("Ringway has no figure in W3 GET x64, 2 B."),
            "{text}"
        );
    }
}
