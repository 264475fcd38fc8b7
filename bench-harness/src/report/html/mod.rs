//! The page: one file with everything in it, no script, no address of another place. The charts are written here
//! rather than by a plotting crate: percentiles over 1/(1-p), labels beside their lines, and colours that follow
//! light and dark are what they are for, and no crate draws these; what is left is lines and text.
//!
//! `run` is the `report` command. `head` is what was run on what, `glance` the overview, `section` one workload,
//! `curves` its charts, `overlay` two files against each other.

mod axis;
mod bars;
mod chart;
mod curves;
mod glance;
mod head;
mod markup;
mod overlay;
mod section;
#[cfg(test)]
mod tests;

use std::fs;
use std::io::stdout;
use std::path::PathBuf;

use self::chart::Style;
use self::markup::Markup;
use super::file::{self, Source};
use super::table;
use super::view::{self, Cell, Line};
use crate::args::Report;

/// Nothing may be fetched and nothing may run, even if a text should ever escape its escaping.
const POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'";

const STYLE: &str = include_str!("style.css");

const READING: &str = include_str!("reading.html");

/// What all parts of the page know.
#[derive(Debug)]
struct Page<'a> {
    sources: &'a [Source],
    cells: Vec<Cell>,
    /// Every contender's name once, those that others are compared with first: the place gives the colour.
    names: Vec<String>,
}

/// Reads the files, writes the page, and says on the terminal what its tables say.
pub(crate) fn run(typed: &Report) -> Result<(), String> {
    let sources = file::read_all(&typed.files)?;
    let out = typed.html.as_path();
    let is_input = |path: &PathBuf| match (path.canonicalize(), out.canonicalize()) {
        (Ok(path), Ok(out)) => path == out,
        _ => false,
    };
    if typed.files.iter().any(is_input) {
        let out = out.display();
        return Err(format!(
            "--html {out} is one of the result files, which it would overwrite"
        ));
    }
    let page = page(&sources);
    fs::write(out, page).map_err(|error| format!("cannot write {}: {error}", out.display()))?;
    table::write(&mut stdout().lock(), &sources).map_err(|error| error.to_string())
}

/// The whole page about `sources`.
fn page(sources: &[Source]) -> String {
    let page = Page::new(sources);
    let mut out = Markup::default();
    out.constant("<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n");
    out.lone(
        "meta",
        &[
            ("http-equiv", "Content-Security-Policy"),
            ("content", POLICY),
        ],
    );
    out.constant("\n<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n");
    out.constant("<meta name=\"color-scheme\" content=\"light dark\">\n");
    out.element("title", &[], &page.title());
    out.constant("\n<style>\n");
    out.constant(STYLE);
    out.constant("</style>\n</head>\n<body>\n<main>\n");
    page.write_head(&mut out);
    page.write_overlay(&mut out);
    page.write_glance(&mut out);
    for workload in page.workloads() {
        page.write_workload(&mut out, workload);
    }
    page.write_contenders(&mut out);
    page.write_host(&mut out);
    out.constant(READING);
    out.constant("</main>\n</body>\n</html>\n");
    out.into_html()
}

impl<'a> Page<'a> {
    fn new(sources: &'a [Source]) -> Self {
        let cells = view::cells(sources);
        let mut names: Vec<String> = Vec::new();
        let mut add = |line: &Line| {
            if !names.contains(&line.name) {
                names.push(line.name.clone());
            }
        };
        for cell in &cells {
            for source in cell.sources() {
                let home = home(sources, cell, source);
                home.into_iter().for_each(&mut add);
            }
        }
        cells.iter().flat_map(|cell| &cell.lines).for_each(&mut add);
        Self {
            sources,
            cells,
            names,
        }
    }

    fn title(&self) -> String {
        let names: Vec<&str> = self.sources.iter().map(|source| &*source.name).collect();
        format!("ringway-bench: {}", names.join(" and "))
    }

    /// The workloads in the order of the files.
    fn workloads(&self) -> Vec<&str> {
        let mut workloads: Vec<&str> = Vec::new();
        for cell in &self.cells {
            if !workloads.contains(&&*cell.workload) {
                workloads.push(&cell.workload);
            }
        }
        workloads
    }

    /// Where a cell is on the page.
    fn anchor(&self, cell: &Cell) -> String {
        let place = self
            .cells
            .iter()
            .position(|other| std::ptr::eq(other, cell));
        format!("point-{}", place.unwrap_or_default() + 1)
    }

    fn home(&self, cell: &'a Cell, source: usize) -> Option<&'a Line> {
        home(self.sources, cell, source)
    }

    /// Dashes tell files apart where there are lines of several.
    fn style(&self, cell: &Cell, line: &Line) -> Style {
        let contender = self.names.iter().position(|name| *name == line.name);
        let several = cell.sources().len() > 1;
        Style {
            contender: contender.unwrap_or_default(),
            source: if several { line.source } else { 0 },
        }
    }

    fn label(&self, cell: &Cell, line: &Line) -> String {
        match cell.sources().len() {
            0 | 1 => line.name.clone(),
            _ => format!("{} · {}", line.name, letter(line.source)),
        }
    }

    fn is_emulated(&self, source: usize) -> bool {
        let source = self.sources.get(source);
        source.is_some_and(|source| source.result.host.emulated)
    }
}

fn home<'a>(sources: &[Source], cell: &'a Cell, source: usize) -> Option<&'a Line> {
    let contenders = &sources.get(source)?.result.contenders;
    cell.line(source, cell.home(source, contenders)?)
}

/// What a file is called for short: A, B ... Z, AA.
fn letter(source: usize) -> String {
    let last = char::from(b'A' + (source % 26) as u8);
    match source / 26 {
        0 => last.to_string(),
        rest => format!("{}{last}", letter(rest - 1)),
    }
}
