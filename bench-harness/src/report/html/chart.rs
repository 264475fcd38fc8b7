//! Charts with lines: one SVG each, with grid, axes, a line for each series and a label at the end of each line.
//! Colours are classes of the style sheet, so that they follow light and dark; who a line is also shows in the
//! shape of its marks, and which file it is from in its dashes.

use super::axis::{Axis, Tick};
use super::markup::Markup;

const WIDTH: f64 = 760.0;
const LEFT: f64 = 78.0;
const RIGHT: f64 = 168.0;
const TOP: f64 = 12.0;
const BOTTOM: f64 = 46.0;
/// From one label to the next.
const LABEL_HEIGHT: f64 = 15.0;
/// Characters of a label that fit beside the plot.
const LABEL_CHARACTERS: usize = 22;

/// Colours of the style sheet.
const COLOURS: usize = 12;
const SHAPES: usize = 6;
/// Dashes of the style sheet: the first file is solid.
const DASHES: usize = 4;

/// How a series looks, everywhere on the page.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Style {
    /// Place of the contender among all names on the page.
    pub(super) contender: usize,
    /// Place of the file.
    pub(super) source: usize,
}

impl Style {
    pub(super) fn class(self) -> String {
        format!("c{} d{}", self.colour(), self.source % DASHES)
    }

    /// The first colour is for the one that others are compared with; the others are given in turn.
    fn colour(self) -> usize {
        match self.contender.checked_sub(1) {
            None => 0,
            Some(other) => 1 + other % (COLOURS - 1),
        }
    }

    /// Another shape for the same colour, where there are more contenders than colours.
    fn shape(self) -> usize {
        (self.contender + self.contender / (COLOURS - 1) * 2) % SHAPES
    }
}

#[derive(Debug, Clone)]
pub(super) struct Series {
    pub(super) style: Style,
    pub(super) label: String,
    pub(super) points: Vec<(f64, f64)>,
    /// Points with a mark, and what they say when they are pointed at.
    pub(super) marks: Vec<(f64, f64, String)>,
    /// Points from this one on are drawn pale.
    pub(super) pale_from: Option<usize>,
}

#[derive(Debug)]
pub(super) struct Chart {
    /// For those who hear the page.
    pub(super) title: String,
    pub(super) x: Axis,
    pub(super) y: Axis,
    pub(super) series: Vec<Series>,
    /// A height that means something, and what.
    pub(super) guide: Option<(f64, String)>,
}

impl Chart {
    pub(super) fn write(&self, out: &mut Markup) {
        let height = self.height();
        let view = format!("0 0 {WIDTH} {height}");
        out.open(
            "svg",
            &[
                ("viewBox", &view),
                ("role", "img"),
                ("class", "chart"),
                ("aria-label", &self.title),
            ],
        );
        out.element("title", &[], &self.title);
        self.write_axes(out);
        for series in &self.series {
            self.write_series(out, series);
        }
        self.write_labels(out);
        out.close("svg");
    }

    /// Room for all labels, however many.
    fn height(&self) -> f64 {
        let labels = self.series.len() as f64 * LABEL_HEIGHT;
        TOP + BOTTOM + labels.max(290.0)
    }

    fn x(&self, value: f64) -> f64 {
        LEFT + self.x.place(value) * (WIDTH - LEFT - RIGHT)
    }

    fn y(&self, value: f64) -> f64 {
        let bottom = self.height() - BOTTOM;
        bottom - self.y.place(value) * (bottom - TOP)
    }

    fn write_axes(&self, out: &mut Markup) {
        let (left, right) = (LEFT, WIDTH - RIGHT);
        let (top, bottom) = (TOP, self.height() - BOTTOM);
        for tick in &self.y.ticks {
            let y = self.y(tick.at);
            line(out, grid(tick), [left, y, right, y]);
            let text = tick.text.as_deref().unwrap_or_default();
            label(out, "tick end", [left - 8.0, y + 4.0], text);
        }
        for tick in &self.x.ticks {
            let x = self.x(tick.at);
            line(out, grid(tick), [x, top, x, bottom]);
            let text = tick.text.as_deref().unwrap_or_default();
            label(out, "tick middle", [x, bottom + 17.0], text);
        }
        line(out, "axis", [left, bottom, right, bottom]);
        if let Some((at, says)) = &self.guide {
            let y = self.y(*at);
            line(out, "guide", [left, y, right, y]);
            label(out, "tick", [left + 6.0, y - 5.0], says);
        }
        let below = [(left + right) / 2.0, self.height() - 8.0];
        label(out, "name middle", below, &self.x.label);
        let middle = (top + bottom) / 2.0;
        let turned = format!("translate(12 {middle:.1}) rotate(-90)");
        let attributes = [("class", "name middle"), ("transform", &*turned)];
        out.element("text", &attributes, &self.y.label);
    }

    fn write_series(&self, out: &mut Markup, series: &Series) {
        let class = format!("series {}", series.style.class());
        out.open("g", &[("class", &class)]);
        out.element("title", &[], &series.label);
        let split = series.pale_from.unwrap_or(series.points.len());
        let split = split.min(series.points.len());
        let (sure, _) = series.points.split_at(split);
        // The pale part begins where the other ends.
        let pale = series.points.get(split.saturating_sub(1)..).unwrap_or(&[]);
        for (class, points) in [("line", sure), ("line pale", pale)] {
            if points.len() > 1 {
                let points = self.polyline(points);
                out.lone("polyline", &[("class", class), ("points", &points)]);
            }
        }
        for (x, y, says) in &series.marks {
            mark(out, series.style, self.x(*x), self.y(*y), says);
        }
        out.close("g");
    }

    fn polyline(&self, points: &[(f64, f64)]) -> String {
        let points = points
            .iter()
            .map(|(x, y)| format!("{:.1},{:.1}", self.x(*x), self.y(*y)));
        points.collect::<Vec<_>>().join(" ")
    }

    /// A name beside the end of each line, moved up or down where they would lie upon each other.
    fn write_labels(&self, out: &mut Markup) {
        let ends = self.series.iter().filter_map(|series| {
            let (x, y) = series.points.last()?;
            Some((series, self.x(*x), self.y(*y)))
        });
        let mut ends: Vec<_> = ends.collect();
        ends.sort_by(|a, b| a.2.total_cmp(&b.2));
        let wanted: Vec<f64> = ends.iter().map(|(.., y)| *y).collect();
        let placed = spread_out(&wanted, TOP + 4.0, self.height() - BOTTOM);
        let start = WIDTH - RIGHT + 6.0;
        for ((series, x, y), at) in ends.into_iter().zip(placed) {
            let class = format!("series {}", series.style.class());
            out.open("g", &[("class", &class)]);
            let points = format!(
                "{x:.1},{y:.1} {start:.1},{at:.1} {:.1},{at:.1}",
                start + 6.0
            );
            out.lone("polyline", &[("class", "leader"), ("points", &points)]);
            mark(out, series.style, start + 14.0, at, &series.label);
            out.close("g");
            label(
                out,
                "who",
                [start + 26.0, at + 4.0],
                &shortened(&series.label),
            );
        }
    }
}

/// Moves `wanted`, which is sorted, as little as it takes to have a label's height between them and all within bounds.
fn spread_out(wanted: &[f64], low: f64, high: f64) -> Vec<f64> {
    let mut placed: Vec<f64> = Vec::with_capacity(wanted.len());
    for y in wanted {
        let least = placed.last().map_or(low, |last| last + LABEL_HEIGHT);
        placed.push(y.max(least));
    }
    let mut most = high;
    for y in placed.iter_mut().rev() {
        *y = y.min(most);
        most = *y - LABEL_HEIGHT;
    }
    placed
}

/// The mark of a contender on its own, to stand beside its name.
pub(super) fn write_swatch(out: &mut Markup, style: Style) {
    let class = format!("swatch series {}", style.class());
    let attributes = [
        ("class", &*class),
        ("viewBox", "-6 -6 12 12"),
        ("aria-hidden", "true"),
    ];
    out.open("svg", &attributes);
    let path = shape(style, 0.0, 0.0);
    out.lone("path", &[("class", "mark"), ("d", &path)]);
    out.close("svg");
}

/// A mark in the shape of its contender, which says something when it is pointed at.
fn mark(out: &mut Markup, style: Style, x: f64, y: f64, says: &str) {
    let path = shape(style, x, y);
    out.open("path", &[("class", "mark"), ("d", &path)]);
    out.element("title", &[], says);
    out.close("path");
}

fn shape(style: Style, x: f64, y: f64) -> String {
    match style.shape() {
        0 => format!("M{:.1} {y:.1}a4 4 0 1 0 8 0a4 4 0 1 0 -8 0z", x - 4.0),
        1 => format!("M{:.1} {:.1}h7v7h-7z", x - 3.5, y - 3.5),
        2 => format!("M{x:.1} {:.1}l4.5 8h-9z", y - 5.0),
        3 => format!("M{x:.1} {:.1}l5 5l-5 5l-5 -5z", y - 5.0),
        4 => format!("M{x:.1} {:.1}l4.5 -8h-9z", y + 5.0),
        _ => format!(
            "M{:.1} {:.1}h3v3.5h3.5v3h-3.5v3.5h-3v-3.5h-3.5v-3h3.5z",
            x - 1.5,
            y - 5.0
        ),
    }
}

fn grid(tick: &Tick) -> &'static str {
    match tick.text {
        Some(_) => "grid",
        None => "grid minor",
    }
}

pub(super) fn line(out: &mut Markup, class: &str, ends: [f64; 4]) {
    let [x1, y1, x2, y2] = ends.map(number);
    let attributes = [
        ("class", class),
        ("x1", &x1),
        ("y1", &y1),
        ("x2", &x2),
        ("y2", &y2),
    ];
    out.lone("line", &attributes);
}

pub(super) fn label(out: &mut Markup, class: &str, place: [f64; 2], text: &str) {
    if text.is_empty() {
        return;
    }
    let [x, y] = place.map(number);
    out.element("text", &[("class", class), ("x", &x), ("y", &y)], text);
}

/// A coordinate to a tenth of a pixel. The axes see to it that it is finite.
pub(super) fn number(value: f64) -> String {
    format!("{value:.1}")
}

pub(super) fn shortened(label: &str) -> String {
    if label.chars().count() <= LABEL_CHARACTERS {
        return label.to_owned();
    }
    let start = label.chars().take(LABEL_CHARACTERS - 1);
    start.chain(['…']).collect()
}
