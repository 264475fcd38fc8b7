//! Bars: one figure of all contenders, from zero, with a whisker from the least to the most of all runs.

use super::chart::{Style, label, line, number, shortened};
use super::markup::Markup;
use crate::report::units::Format;
use crate::spread::Spread;

const WIDTH: f64 = 480.0;
const LEFT: f64 = 140.0;
/// For the number beside a bar.
const RIGHT: f64 = 96.0;
const ROW: f64 = 24.0;
const TOP: f64 = 4.0;

#[derive(Debug)]
pub(super) struct Bar {
    pub(super) style: Style,
    pub(super) label: String,
    pub(super) spread: Spread,
}

#[derive(Debug)]
pub(super) struct Bars {
    /// For those who hear the page.
    pub(super) title: String,
    pub(super) caption: String,
    pub(super) unit: String,
    pub(super) bars: Vec<Bar>,
}

impl Bars {
    pub(super) fn write(&self, out: &mut Markup) {
        out.constant("<figure class=\"bars\">");
        out.element("figcaption", &[], &self.caption);
        self.write_svg(out);
        out.constant("</figure>\n");
    }

    fn write_svg(&self, out: &mut Markup) {
        let height = TOP + self.bars.len() as f64 * ROW + 4.0;
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
        let medians = self.bars.iter().map(|bar| bar.spread.median);
        let format = Format::of(&self.unit, medians);
        let most = self.bars.iter().map(|bar| bar.spread.max);
        let most = most.fold(0.0, f64::max);
        for (index, bar) in self.bars.iter().enumerate() {
            bar.write(out, TOP + index as f64 * ROW, most, &format);
        }
        line(out, "axis", [LEFT, TOP, LEFT, height - 2.0]);
        out.close("svg");
    }
}

impl Bar {
    /// `most` is where the scale ends.
    fn write(&self, out: &mut Markup, top: f64, most: f64, format: &Format) {
        let x = |value: f64| {
            let share = if most > 0.0 { value / most } else { 0.0 };
            LEFT + share.clamp(0.0, 1.0) * (WIDTH - LEFT - RIGHT)
        };
        let Spread {
            min, median, max, ..
        } = self.spread;
        let middle = top + ROW / 2.0;
        label(
            out,
            "who end",
            [LEFT - 8.0, middle + 4.0],
            &shortened(&self.label),
        );
        let says = format!(
            "{}: median {}, {} to {}",
            self.label,
            format.quantity(median),
            format.number(min),
            format.number(max)
        );
        let class = format!("series {}", self.style.class());
        out.open("g", &[("class", &class)]);
        let (y, width) = (number(top + 4.0), number(x(median) - LEFT));
        let height = number(ROW - 8.0);
        let area = [
            ("class", "bar"),
            ("x", &number(LEFT)),
            ("y", &y),
            ("width", &width),
            ("height", &height),
        ];
        out.open("rect", &area);
        out.element("title", &[], &says);
        out.close("rect");
        out.close("g");
        if max > min {
            line(out, "whisker", [x(min), middle, x(max), middle]);
            for end in [x(min), x(max)] {
                line(out, "whisker", [end, middle - 4.0, end, middle + 4.0]);
            }
        }
        let place = [x(max.max(median)) + 7.0, middle + 4.0];
        label(out, "value", place, &format.quantity(median));
    }
}
