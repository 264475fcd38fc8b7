//! Several files against each other: what differs in how they were measured, and for each point that more than one of
//! them has, the later over the first.

use super::head::{Fact, comparable_facts, fact, names};
use super::markup::Markup;
use super::{Page, letter};
use crate::report::column::{Better, Column};
use crate::report::units::{self, quantity, ratio};
use crate::report::view::{Cell, Line, QUANTILES};
use crate::spread::Spread;

impl Page<'_> {
    pub(super) fn write_overlay(&self, out: &mut Markup) {
        let is_shared = |cell: &&Cell| cell.sources().len() > 1;
        let shared: Vec<&Cell> = self.cells.iter().filter(is_shared).collect();
        if self.sources.len() < 2 {
            return;
        }
        self.write_differences(out);
        if shared.is_empty() {
            out.constant("<p>The files have no point in common; each is shown on its own.</p>\n");
            return;
        }
        out.element("h2", &[("id", "overlay")], "The files over each other");
        out.constant(
            "<p>Medians of all runs, and the later file over the earlier. The files were measured at \
             different times: the ratios are of medians, not of pairs. Coloured where the middle halves of \
             the runs do not meet.</p>\n",
        );
        let [earlier, later] = match self.sources.len() {
            2 => ["A", "B"],
            _ => ["earlier", "later"],
        };
        let over = format!("{later} over {earlier}");
        let titles = [
            "point",
            "contender",
            earlier,
            later,
            &over,
            "P50",
            "P99",
            "CPU",
        ];
        out.open_table("numbers grouped", titles);
        for cell in shared {
            self.write_shared(out, cell);
        }
        out.close_table();
    }

    /// A warning, if the files come from hosts or settings that are not the same.
    fn write_differences(&self, out: &mut Markup) {
        let facts: Vec<Vec<Fact>> = self.sources.iter().map(comparable_facts).collect();
        let differing: Vec<(&str, Vec<&str>)> = names(&facts)
            .into_iter()
            .map(|name| {
                let values = facts.iter().map(|facts| fact(facts, name).unwrap_or("–"));
                (name, values.collect::<Vec<_>>())
            })
            .filter(|(_, values)| values.windows(2).any(|two| two.first() != two.last()))
            .collect();
        if differing.is_empty() {
            return;
        }
        out.constant(
            "<div class=\"warning\"><b>Not measured alike.</b> What differs below may come from this rather \
             than from the programs:<ul>",
        );
        for (name, values) in differing {
            let values = values.iter().enumerate();
            let values = values.map(|(index, value)| format!("{} {value}", letter(index)));
            let values: Vec<String> = values.collect();
            out.element("li", &[], &format!("{name}: {}", values.join(" · ")));
        }
        out.constant("</ul>");
        out.close("div");
    }

    /// A row for each contender that both files have; the point stands before the first.
    fn write_shared(&self, out: &mut Markup, cell: &Cell) {
        let sources = cell.sources();
        let (Some(first), Some(main)) = (sources.first(), &cell.main) else {
            return;
        };
        let earlier = cell.lines.iter().filter(|line| line.source == *first);
        let pairs: Vec<[&Line; 2]> = earlier
            .flat_map(|line| {
                let later = cell.lines.iter();
                let later = later.filter(|other| other.source != *first && other.name == line.name);
                later.map(move |later| [line, later])
            })
            .collect();
        let rows = pairs.len().to_string();
        for (index, pair) in pairs.iter().enumerate() {
            let class = if index == 0 { "group" } else { "" };
            out.open("tr", &[("class", class)]);
            if index == 0 {
                out.open("th", &[("scope", "rowgroup"), ("rowspan", &rows)]);
                let link = format!("#{}", self.anchor(cell));
                out.element("a", &[("href", &link)], &cell.workload);
                out.element("small", &[], &format!(" {}", cell.title()));
                out.element("small", &[], &units::figure(&main.name));
                out.close("th");
            }
            self.write_pair(out, cell, *pair, main);
            out.close("tr");
        }
    }

    fn write_pair(&self, out: &mut Markup, cell: &Cell, [a, b]: [&Line; 2], main: &Column) {
        let who = match self.sources.len() {
            2 => a.name.clone(),
            _ => format!("{} {} → {}", a.name, letter(a.source), letter(b.source)),
        };
        out.element("th", &[("scope", "row")], &who);
        let spread = |line: &Line, column: &Column| line.values(column)?.spread();
        for line in [a, b] {
            let median = spread(line, main).map(|spread| quantity(&main.unit, spread.median));
            out.element("td", &[], median.as_deref().unwrap_or("–"));
        }
        // What a program that plays a processor took has no ratio to what a processor took.
        let comparable = self.is_emulated(a.source) == self.is_emulated(b.source);
        let write = |out: &mut Markup, a: Option<Spread>, b: Option<Spread>, better: Better| match a
            .zip(b)
            .filter(|_| comparable)
            .and_then(|(a, b)| over(a, b, better))
        {
            Some((text, class)) => out.element("td", &[("class", class)], &text),
            None => out.element("td", &[], "–"),
        };
        write(out, spread(a, main), spread(b, main), main.better());
        for (index, (name, _)) in QUANTILES.iter().enumerate() {
            if matches!(*name, "P50" | "P99") {
                let at = |line: &Line| line.quantiles.get(index)?.spread();
                write(out, at(a), at(b), Better::Lower);
            }
        }
        let cpu = cell.columns().into_iter().find(Column::is_cpu);
        let of = |line: &Line| spread(line, cpu.as_ref()?);
        write(out, of(a), of(b), Better::Lower);
    }
}

/// The median of `b` over that of `a`, and whether that is better or worse beyond their spreads.
fn over(a: Spread, b: Spread, better: Better) -> Option<(String, &'static str)> {
    if a.median <= 0.0 || b.median <= 0.0 {
        return None;
    }
    let (below, above) = match better {
        Better::Lower => ("better", "worse"),
        Better::Higher => ("worse", "better"),
        Better::Neither => ("", ""),
    };
    let class = match (a, b) {
        (a, b) if b.upper_quartile < a.lower_quartile => below,
        (a, b) if b.lower_quartile > a.upper_quartile => above,
        _ => "",
    };
    Some((ratio(b.median / a.median), class))
}
