//! One workload: what it measures, and for each point a table, what it says in words, and charts.

use super::chart::write_swatch;
use super::head::contender_anchor;
use super::markup::Markup;
use super::{Page, letter};
use crate::catalogue::Entry;
use crate::report::column::{Better, Column};
use crate::report::units::{self, Format, plural};
use crate::report::view::{Cell, Line, QUANTILES, mode, planned_rate};
use crate::report::words;
use crate::result::model::Clock;
use crate::spread::Spread;

impl Page<'_> {
    pub(super) fn write_workload(&self, out: &mut Markup, workload: &str) {
        out.open("section", &[]);
        out.element("h2", &[], workload);
        let measures = Entry::named(workload).ok().map(|entry| entry.measures);
        let measures =
            measures.unwrap_or("This version of ringway-bench does not know this workload.");
        out.element("p", &[("class", "measures")], measures);
        let of_workload = |cell: &&Cell| cell.workload == workload;
        for cell in self.cells.iter().filter(of_workload) {
            self.write_cell(out, cell);
        }
        self.write_rates(out, workload);
        out.close("section");
    }

    fn write_cell(&self, out: &mut Markup, cell: &Cell) {
        out.element("h3", &[("id", &self.anchor(cell))], &cell.title());
        for source in cell.sources() {
            let Some(home) = self.home(cell, source) else {
                continue;
            };
            if self.is_emulated(source) {
                continue;
            }
            let standings = words::standings(cell, source, home.contender);
            let sentences = words::sentences(&standings);
            if !sentences.is_empty() {
                let text = match cell.sources().len() {
                    0 | 1 => sentences.join(" "),
                    _ => format!("{}: {}", letter(source), sentences.join(" ")),
                };
                out.element("p", &[], &text);
            }
        }
        self.write_table(out, cell);
        for cannot in &cell.cannot {
            out.open("p", &[("class", "cannot")]);
            let file = match self.sources.len() {
                0 | 1 => String::new(),
                _ => format!(" ({})", letter(cannot.source)),
            };
            let cannot_words = if cannot.in_part {
                ", not in every run"
            } else {
                " cannot"
            };
            out.element("b", &[], &format!("{}{file}{cannot_words}", cannot.name));
            out.text(&format!(": {}", units::first_line(&cannot.why)));
            out.close("p");
            if let Some((_, output)) = cannot.why.split_once('\n') {
                out.element("pre", &[("class", "cannot")], output);
            }
        }
        self.write_charts(out, cell);
        self.write_all_figures(out, cell);
    }

    fn write_table(&self, out: &mut Markup, cell: &Cell) {
        if cell.lines.is_empty() {
            return;
        }
        let columns = self.table_columns(cell);
        out.constant("<div class=\"wide\"><table class=\"numbers\"><thead>\n");
        write_groups(out, cell, &columns);
        out.constant("<tr><th scope=\"col\">contender</th>");
        for column in &columns {
            out.open("th", &[("scope", "col")]);
            out.text(&column.title);
            if !column.unit.is_empty() {
                out.element("small", &[], &format!(" {}", column.unit));
            }
            out.close("th");
        }
        out.constant("</tr></thead><tbody>\n");
        for (place, line) in cell.lines.iter().enumerate() {
            let home = self.home(cell, line.source);
            let is_home = home.is_some_and(|home| std::ptr::eq(home, line));
            out.open("tr", &[("class", if is_home { "home" } else { "" })]);
            self.write_who(out, cell, line);
            for column in &columns {
                let value = column.values.get(place);
                let (text, small) = value.map_or(("–", ""), |(text, small)| (text, small));
                let is_best = column.best == Some(place);
                out.open("td", &[("class", if is_best { "best" } else { "" })]);
                out.text(text);
                if !small.is_empty() {
                    out.element("small", &[], &format!(" {small}"));
                }
                out.close("td");
            }
            out.close("tr");
        }
        out.constant("</tbody></table></div>\n");
    }

    fn write_who(&self, out: &mut Markup, cell: &Cell, line: &Line) {
        let source = self.sources.get(line.source);
        let contender = source.and_then(|source| source.result.contenders.get(line.contender));
        out.open("th", &[("scope", "row")]);
        write_swatch(out, self.style(cell, line));
        out.text(&self.label(cell, line));
        if let Some(contender) = contender {
            out.element("small", &[], &format!(" {}", mode(contender.mode)));
            if !contender.notes.is_empty() {
                let link = format!("#{}", contender_anchor(line.source, line.contender));
                let notes = contender.notes.join("; ");
                out.element(
                    "a",
                    &[("class", "mark"), ("href", &link), ("title", &notes)],
                    "†",
                );
            }
        }
        if line.disturbed_runs > 0 {
            let says = format!(
                "{} of {} disturbed, up to {:.0} % of the time",
                line.disturbed_runs,
                plural(line.runs, "run"),
                line.disturbed_most
            );
            let text = format!("⚠ {}/{}", line.disturbed_runs, line.runs);
            out.element("span", &[("class", "mark"), ("title", &says)], &text);
        }
        if self.is_emulated(line.source) {
            out.element("span", &[("class", "badge")], "emulated");
        }
        out.close("th");
    }

    /// The columns with their texts, in the order they are shown.
    fn table_columns(&self, cell: &Cell) -> Vec<TableColumn> {
        let mut columns = Vec::new();
        if let Some(main) = &cell.main {
            columns.extend(self.main_columns(cell, main));
        }
        if cell.lines.iter().any(|line| line.latencies.is_some()) {
            columns.extend(self.latency_columns(cell));
        }
        let others = cell.columns().into_iter().filter(|column| {
            let is_main = cell.main.as_ref() == Some(column);
            !is_main && (column.is_cpu() || column.better() == Better::Higher)
        });
        columns.extend(others.map(|column| median_column(cell, &column)));
        let runs = cell
            .lines
            .iter()
            .map(|line| (line.runs.to_string(), String::new()));
        columns.push(TableColumn {
            group: Group::Other,
            title: "runs".to_owned(),
            unit: String::new(),
            values: runs.collect(),
            best: None,
        });
        columns
    }

    fn main_columns(&self, cell: &Cell, main: &Column) -> Vec<TableColumn> {
        let spreads = cell.lines.iter().map(|line| line.values(main)?.spread());
        let spreads: Vec<_> = spreads.collect();
        let ends = spreads
            .iter()
            .flatten()
            .flat_map(|spread| [spread.min, spread.median]);
        let format = Format::of(&main.unit, ends);
        let column = |title: &str, unit: &str, values, best| TableColumn {
            group: Group::Main,
            title: title.to_owned(),
            unit: unit.to_owned(),
            values,
            best,
        };
        let range = |low: f64, high: f64| format!("{}–{}", format.number(low), format.number(high));
        let text = |spread: Option<Spread>, words: &dyn Fn(Spread) -> (String, String)| {
            spread.map_or_else(|| (dash(), String::new()), words)
        };
        let medians = spreads
            .iter()
            .map(|spread| spread.map(|spread| spread.median));
        let best = best(cell, medians, main.better());
        let median = |spread: Spread| (format.number(spread.median), String::new());
        let ranges = |spread: Spread| {
            let quartiles = range(spread.lower_quartile, spread.upper_quartile);
            (quartiles, range(spread.min, spread.max))
        };
        let all = |words: &dyn Fn(Spread) -> (String, String)| {
            let texts = spreads.iter().map(|spread| text(*spread, words));
            texts.collect()
        };
        let mut columns = vec![column("median", &format.unit, all(&median), best)];
        if cell.lines.iter().any(|line| line.runs > 1) {
            columns.push(column("quartiles", "min–max", all(&ranges), None));
        }
        if cell.lines.len() > 1 {
            columns.push(self.ratio_column(cell, main));
        }
        columns
    }

    /// Over home of the same file, round by round.
    fn ratio_column(&self, cell: &Cell, main: &Column) -> TableColumn {
        let ratios = cell.lines.iter().map(|line| {
            let home = self.home(cell, line.source)?;
            if std::ptr::eq(home, line) {
                return Some(("1".to_owned(), String::new()));
            }
            let ratio = line.values(main)?.ratio(home.values(main)?)?;
            let (low, high) = (ratio.lower_quartile, ratio.upper_quartile);
            let quartiles = match low < high {
                true => format!("{}–{}", units::ratio(low), units::ratio(high)),
                false => String::new(),
            };
            Some((units::ratio(ratio.median), quartiles))
        });
        let values = ratios.map(|ratio| ratio.unwrap_or_else(|| (dash(), String::new())));
        let mut homes: Vec<&str> = Vec::new();
        for source in cell.sources() {
            let home = self.home(cell, source).map(|home| home.name.as_str());
            homes.extend(home.filter(|home| !homes.contains(home)));
        }
        let title = match homes.as_slice() {
            [home] => format!("over {home}"),
            _ => "ratio".to_owned(),
        };
        TableColumn {
            group: Group::Main,
            title,
            unit: String::new(),
            values: values.collect(),
            best: None,
        }
    }

    fn latency_columns(&self, cell: &Cell) -> Vec<TableColumn> {
        let column = |(title, quantile): &(&str, f64)| {
            let at = |line: &Line| {
                let latencies = line.latencies.as_ref();
                latencies.map(|latencies| latencies.at_quantile_us(*quantile))
            };
            let values: Vec<Option<f64>> = cell.lines.iter().map(at).collect();
            let format = Format::of("us", values.iter().flatten().copied());
            let texts = cell.lines.iter().zip(&values).map(|(line, value)| {
                let Some(value) = value else {
                    return (dash(), String::new());
                };
                // Further out, differences of two percentiles are mostly chance.
                let is_steady = matches!(*title, "P50" | "P95" | "P99");
                let direct = direct(cell, line).filter(|_| is_steady && says_what_is_added(cell));
                let direct = direct.and_then(at);
                let added = direct.map(|direct| {
                    let sign = if *value < direct { "−" } else { "+" };
                    format!("{sign}{}", format.number((value - direct).abs()))
                });
                (format.number(*value), added.unwrap_or_default())
            });
            TableColumn {
                group: Group::Latency,
                title: (*title).to_owned(),
                unit: format.unit.clone(),
                values: texts.collect(),
                best: best(cell, values.iter().copied(), Better::Lower),
            }
        };
        QUANTILES.iter().map(column).collect()
    }

    /// Every figure there is, folded.
    fn write_all_figures(&self, out: &mut Markup, cell: &Cell) {
        let columns = cell.columns();
        if columns.is_empty() {
            return;
        }
        out.constant("<details><summary>All figures, medians of all runs</summary>");
        let labels = cell.lines.iter().map(|line| self.label(cell, line));
        let labels: Vec<String> = labels.collect();
        let titles = ["figure"]
            .into_iter()
            .chain(labels.iter().map(String::as_str));
        out.open_table("numbers", titles);
        for column in columns {
            let column_of = median_column(cell, &column);
            out.open("tr", &[]);
            out.open("th", &[("scope", "row")]);
            out.text(&column.name);
            out.element("small", &[], &format!(" {}", column_of.unit));
            out.close("th");
            for (text, _) in &column_of.values {
                out.element("td", &[], text);
            }
            out.close("tr");
        }
        out.close_table();
        out.constant("</details>\n");
    }
}

/// What columns have in common, and a heading above them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Group {
    Main,
    Latency,
    Other,
}

#[derive(Debug)]
struct TableColumn {
    group: Group,
    title: String,
    unit: String,
    /// For each line its text, and what stands small beside it.
    values: Vec<(String, String)>,
    best: Option<usize>,
}

/// The row above the titles.
fn write_groups(out: &mut Markup, cell: &Cell, columns: &[TableColumn]) {
    out.constant("<tr><td></td>");
    for group in [Group::Main, Group::Latency, Group::Other] {
        let count = columns
            .iter()
            .filter(|column| column.group == group)
            .count();
        if count == 0 {
            continue;
        }
        let text = match (group, &cell.main, cell.clock) {
            (Group::Main, Some(main), _) => units::figure(&main.name),
            (Group::Latency, _, Some(clock)) => clock_words(clock).to_owned(),
            _ => String::new(),
        };
        let attributes = [("colspan", &*count.to_string()), ("class", "group")];
        out.element("th", &attributes, &text);
    }
    out.close("tr");
}

pub(super) fn clock_words(clock: Clock) -> &'static str {
    match clock {
        Clock::Planned => "latency from the planned send time",
        Clock::Asked => "latency from the sending (closed loop)",
    }
}

fn median_column(cell: &Cell, column: &Column) -> TableColumn {
    let medians = cell.lines.iter().map(|line| line.values(column)?.median());
    let medians: Vec<Option<f64>> = medians.collect();
    let format = Format::of(&column.unit, medians.iter().flatten().copied());
    let texts = medians.iter().map(|median| match median {
        Some(median) => (format.number(*median), String::new()),
        None => (dash(), String::new()),
    });
    let title = units::figure(&column.name);
    TableColumn {
        group: Group::Other,
        // The unit says it.
        title: title.trim_end_matches(" per second").to_owned(),
        unit: format.unit.clone(),
        values: texts.collect(),
        // A planned rate is no achievement.
        best: match (column.better(), planned_rate(&cell.plan)) {
            (Better::Higher, Some(_)) => None,
            (better, _) => best(cell, medians.iter().copied(), better),
        },
    }
}

/// The line with the best of `values`, where there is something to choose from.
fn best(cell: &Cell, values: impl Iterator<Item = Option<f64>>, better: Better) -> Option<usize> {
    let contenders = cell.lines.iter().zip(values).enumerate();
    let contenders = contenders.filter(|(_, (line, _))| !line.is_direct());
    let values: Vec<(usize, f64)> = contenders
        .filter_map(|(place, (_, value))| Some((place, value?)))
        .collect();
    let by_value = |a: &&(usize, f64), b: &&(usize, f64)| a.1.total_cmp(&b.1);
    let best = match better {
        Better::Lower => values.iter().min_by(by_value),
        Better::Higher => values.iter().max_by(by_value),
        Better::Neither => None,
    };
    best.filter(|_| values.len() > 1).map(|(place, _)| *place)
}

/// With many connections in a closed loop the load itself limits both, and a difference says little.
fn says_what_is_added(cell: &Cell) -> bool {
    cell.plan.connections == 1 || planned_rate(&cell.plan).is_some()
}

/// What `line` is above: the same without a proxy.
fn direct<'a>(cell: &'a Cell, line: &Line) -> Option<&'a Line> {
    let mut lines = cell.lines.iter();
    let direct = lines.find(|other| other.source == line.source && other.is_direct());
    direct.filter(|_| !line.is_direct())
}

fn dash() -> String {
    "–".to_owned()
}
