//! The overview: for each point how the contenders compare with Ringway in what the workload is for, and in words where
//! Ringway is not first.

use super::markup::Markup;
use super::{Page, letter};
use crate::report::column::{Better, Column};
use crate::report::units::{self, quantity, ratio};
use crate::report::view::{Cell, Line};
use crate::report::words::{self, Outcome};
use crate::spread::Spread;

impl Page<'_> {
    pub(super) fn write_glance(&self, out: &mut Markup) {
        let rows = self.rows();
        if rows.is_empty() {
            return;
        }
        out.element("h2", &[("id", "glance")], "At a glance");
        out.constant(
            "<p>Each number is the contender over the one in the first column, in the figure that the \
             workload is for: the median of the ratios within rounds. <span class=\"worse\">Worse</span>, \
             <span class=\"better\">better</span>, and without colour where the spread hides which.</p>\n",
        );
        let names = self.compared(&rows);
        let titles = ["point", "compared with"].into_iter();
        out.open_table(
            "numbers glance",
            titles.chain(names.iter().map(String::as_str)),
        );
        for (cell, home, main) in &rows {
            self.write_row(out, (cell, home, main), &names);
        }
        out.close_table();
        self.write_behind(out);
    }

    /// Cells with somebody to compare with, once for each file.
    fn rows(&self) -> Vec<(&Cell, &Line, &Column)> {
        let mut rows = Vec::new();
        for cell in &self.cells {
            for source in cell.sources() {
                let of_source = cell.lines.iter().filter(|line| line.source == source);
                let contenders = of_source.filter(|line| !line.is_direct());
                if contenders.count() < 2 || self.is_emulated(source) {
                    continue;
                }
                let home = self.home(cell, source);
                rows.extend(
                    home.zip(cell.main.as_ref())
                        .map(|(home, main)| (cell, home, main)),
                );
            }
        }
        rows
    }

    /// Everybody who is in some row and not the one compared with.
    fn compared(&self, rows: &[(&Cell, &Line, &Column)]) -> Vec<String> {
        let is_other = |name: &str| {
            rows.iter().any(|(cell, home, _)| {
                let mut others = cell.lines.iter().filter(|line| line.source == home.source);
                others.any(|line| line.name == name && line.contender != home.contender)
            })
        };
        let names = self.names.iter().filter(|name| is_other(name));
        names.cloned().collect()
    }

    fn write_row(
        &self,
        out: &mut Markup,
        (cell, home, main): (&Cell, &Line, &Column),
        names: &[String],
    ) {
        out.open("tr", &[]);
        out.constant("<th scope=\"row\">");
        let link = format!("#{}", self.anchor(cell));
        let file = self.file_of(cell, home);
        let text = format!("{}{file}", cell.workload);
        out.element("a", &[("href", &link)], &text);
        out.text(&format!(" {}", units::figure(&main.name)));
        out.element("small", &[], &cell.title());
        out.constant("</th>");
        let median = home.values(main).and_then(|values| values.median());
        let median = median.map_or_else(|| "–".to_owned(), |median| quantity(&main.unit, median));
        out.open("td", &[]);
        out.text(&median);
        out.element("small", &[], &format!(" {}", home.name));
        out.close("td");
        for name in names {
            let mut lines = cell.lines.iter();
            let line = lines.find(|line| line.source == home.source && line.name == *name);
            self.write_ratio(out, line, home, main);
        }
        out.close("tr");
    }

    /// The letter of the file, where there are several.
    fn file_of(&self, cell: &Cell, home: &Line) -> String {
        match cell.sources().len() {
            0 | 1 => String::new(),
            _ => format!(" · {}", letter(home.source)),
        }
    }

    fn write_ratio(&self, out: &mut Markup, line: Option<&Line>, home: &Line, main: &Column) {
        let line = line.filter(|line| line.contender != home.contender);
        let values = line
            .and_then(|line| line.values(main))
            .zip(home.values(main));
        match values.and_then(|(values, home)| values.ratio(home)) {
            Some(found) => {
                let is_direct = line.is_some_and(Line::is_direct);
                let class = if is_direct { "" } else { verdict(main, &found) };
                out.element("td", &[("class", class)], &ratio(found.median));
            }
            None => out.element("td", &[], "–"),
        }
    }

    /// All figures in which home is behind, point by point.
    fn write_behind(&self, out: &mut Markup) {
        let mut items = Vec::new();
        let mut homes: Vec<&str> = Vec::new();
        for (cell, home, _) in self.rows() {
            if !homes.contains(&home.name.as_str()) {
                homes.push(&home.name);
            }
            let standings = words::standings(cell, home.source, home.contender);
            let behind = standings
                .iter()
                .filter(|standing| standing.outcome() == Outcome::Behind);
            let behind: Vec<String> = behind.map(words::Standing::short).collect();
            if !behind.is_empty() {
                items.push((cell, self.file_of(cell, home), behind.join("; ")));
            }
        }
        let homes = homes.join(" and ");
        out.element("h3", &[], &format!("Where {homes} is not first"));
        if items.is_empty() {
            out.constant("<p>Nowhere beyond the spread.</p>\n");
            return;
        }
        out.constant("<ul>");
        for (cell, file, behind) in items {
            out.constant("<li>");
            let link = format!("#{}", self.anchor(cell));
            out.element("a", &[("href", &link)], &format!("{}{file}", cell.workload));
            out.text(&format!(" {}: {behind}", cell.title()));
            out.close("li");
        }
        out.constant("</ul>\n");
    }
}

/// Whether a ratio is better or worse than 1, by more than its spread.
pub(super) fn verdict(column: &Column, ratio: &Spread) -> &'static str {
    let (below, above) = match column.better() {
        Better::Lower => ("better", "worse"),
        Better::Higher => ("worse", "better"),
        Better::Neither => return "",
    };
    match ratio {
        ratio if ratio.upper_quartile < 1.0 => below,
        ratio if ratio.lower_quartile > 1.0 => above,
        _ => "",
    }
}
