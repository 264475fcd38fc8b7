//! What has to hold of every page, whatever is on it; and pages about files that nobody would wish for.

use std::collections::BTreeMap;
use std::path::PathBuf;

use super::*;
use crate::load::Mode;
use crate::plan::{Pace, Plan, Scenario, Stop};
use crate::report::sample;
use crate::result::histogram;
use crate::result::latency::Latencies;
use crate::result::model::{Clock, Contender, Figure, Kind, Point, ResultFile, Run, Verdict};

fn source(name: &str, result: &ResultFile) -> Source {
    Source::of(name.to_owned(), result.clone()).unwrap()
}

/// The page about one file, looked through.
fn page_of(result: &ResultFile) -> String {
    let html = page(&[source("sample", result)]);
    assert_sound(&html);
    html
}

/// An element as it was opened: its tag and attributes.
#[derive(Debug, Default)]
struct Element {
    tag: String,
    attributes: BTreeMap<String, String>,
}

impl Element {
    fn of(inner: &str) -> Self {
        let (tag, mut rest) = inner.split_once(' ').unwrap_or((inner, ""));
        let mut attributes = BTreeMap::new();
        while let Some((name, value)) = rest.split_once("=\"") {
            let (value, after) = value.split_once('"').expect("an attribute ends");
            attributes.insert(name.trim().to_owned(), value.to_owned());
            rest = after;
        }
        assert_eq!(rest.trim(), "", "{inner}");
        Self {
            tag: tag.to_owned(),
            attributes,
        }
    }

    fn attribute(&self, name: &str) -> &str {
        self.attributes.get(name).map_or("", String::as_str)
    }

    fn number(&self, name: &str) -> f64 {
        self.attribute(name).parse().unwrap()
    }
}

/// All elements of `html`; each that is opened has to be closed, in the right order.
fn elements(html: &str) -> Vec<Element> {
    let mut all = Vec::new();
    let mut open: Vec<String> = Vec::new();
    let mut rest = html.strip_prefix("<!DOCTYPE html>").unwrap_or(html);
    while let Some((_, tail)) = rest.split_once('<') {
        let (inner, tail) = tail.split_once('>').expect("a tag ends");
        rest = tail;
        if let Some(tag) = inner.strip_prefix('/') {
            assert_eq!(open.pop().as_deref(), Some(tag));
            continue;
        }
        let (inner, is_lone) = match inner.strip_suffix('/') {
            Some(inner) => (inner, true),
            None => (inner, false),
        };
        let element = Element::of(inner.trim_end());
        if !is_lone && element.tag != "meta" {
            open.push(element.tag.clone());
        }
        all.push(element);
    }
    assert_eq!(open, [""; 0]);
    all
}

/// What every page has to be: closed elements, known tags, numbers that are numbers, links that lead somewhere, and
/// nothing that is fetched or run.
#[track_caller]
fn assert_sound(html: &str) {
    let elements = elements(html);
    for word in ["NaN", "inf ", "inf\"", "undefined"] {
        assert!(!html.contains(word), "{word}");
    }
    let all_ids = elements.iter().map(|element| element.attribute("id"));
    let mut ids: Vec<&str> = all_ids.filter(|id| !id.is_empty()).collect();
    ids.sort_unstable();
    assert!(ids.windows(2).all(|two| two[0] != two[1]), "{ids:?}");
    for element in &elements {
        let tag = element.tag.as_str();
        assert!(!["script", "link", "img", "iframe", "object", "base", "form"].contains(&tag));
        for (name, value) in &element.attributes {
            assert!(
                !name.starts_with("on") && name != "src" && name != "style",
                "{name}"
            );
            if name == "href" {
                let id = value.strip_prefix('#').expect("links stay on the page");
                assert!(ids.contains(&id), "{id}");
            }
        }
    }
    let style = html
        .split_once("<style>")
        .unwrap()
        .1
        .split_once("</style>")
        .unwrap()
        .0;
    assert!(!style.contains("url(") && !style.contains("@import"));
    for svg in charts(html) {
        assert_inside(svg);
    }
}

/// The charts, as text.
fn charts(html: &str) -> Vec<&str> {
    let starts = html.split("<svg viewBox=").skip(1);
    let bodies = starts.map(|tail| tail.split_once("</svg>").unwrap().0);
    bodies
        .filter(|svg| svg.contains("class=\"chart\""))
        .collect()
}

/// All coordinates of a chart are numbers within its frame.
fn assert_inside(svg: &str) {
    let mut sides = svg.trim_start_matches("\"0 0 ").split([' ', '"']);
    let mut side = || sides.next().unwrap().parse::<f64>().unwrap();
    let (width, height) = (side(), side());
    let body = svg.split_once('>').unwrap().1;
    for element in elements(body) {
        let coordinates = |names: [&str; 2], most: f64| {
            for name in names {
                if element.attributes.contains_key(name) {
                    let at = element.number(name);
                    assert!((0.0..=most).contains(&at), "{element:?}");
                }
            }
        };
        coordinates(["x1", "x2"], width);
        coordinates(["y1", "y2"], height);
        coordinates(["x", "width"], width);
        coordinates(["y", "height"], height);
        for (x, y) in points(&element) {
            assert!(
                (0.0..=width).contains(&x) && (0.0..=height).contains(&y),
                "{element:?}"
            );
        }
    }
}

fn points(polyline: &Element) -> Vec<(f64, f64)> {
    let pairs = polyline.attribute("points").split_whitespace();
    let pairs = pairs.map(|pair| pair.split_once(',').unwrap());
    pairs
        .map(|(x, y)| (x.parse().unwrap(), y.parse().unwrap()))
        .collect()
}

/// Figures with a line chart whose caption holds `words`.
fn line_charts<'a>(html: &'a str, words: &str) -> Vec<&'a str> {
    let figures = html.split("<figure class=\"lines\">").skip(1);
    let figures = figures.map(|tail| tail.split_once("</figure>").unwrap().0);
    figures
        .filter(|figure| {
            let caption = figure.split_once("</figcaption>").unwrap().0;
            caption.contains(words)
        })
        .collect()
}

/// What stands beside the lines of a chart.
fn line_names(figure: &str) -> Vec<&str> {
    let texts = figure.split("<text class=\"who\"").skip(1);
    let texts = texts.map(|tail| tail.split_once('>').unwrap().1);
    texts
        .map(|text| text.split_once("</text>").unwrap().0)
        .collect()
}

/// A row of a table for every contender: the texts of its cells.
fn rows<'a>(html: &'a str, heading: &str) -> Vec<Vec<&'a str>> {
    let section = html.split_once(heading).expect("the heading is there").1;
    let body = section.split_once("<tbody>").unwrap().1;
    let body = body.split_once("</tbody>").unwrap().0;
    let rows = body.split("<tr").skip(1);
    let cells = |row: &'a str| {
        let cells = row.split("<td").skip(1);
        let cells = cells.map(|cell| cell.split_once('>').unwrap().1);
        let cells = cells.map(|cell| cell.split('<').next().unwrap());
        let name = row.split("</svg>").nth(1).unwrap_or("").split('<').next();
        name.into_iter().chain(cells).collect()
    };
    rows.map(cells).collect()
}

#[test]
fn every_contender_has_a_line_in_every_percentile_chart() {
    let result = sample::compare(9);
    let html = page_of(&result);
    let charts = line_charts(&html, "Percentiles");
    let with_latency = |point: &&Point| point.runs.iter().any(|run| run.latency.is_some());
    let points: Vec<&Point> = result.points.iter().filter(with_latency).collect();
    assert_eq!(charts.len(), points.len());
    for (chart, point) in charts.iter().zip(points) {
        let mut expected: Vec<&str> = point
            .runs
            .iter()
            .map(|run| result.contenders[run.contender].name.as_str())
            .collect();
        expected.sort_unstable();
        expected.dedup();
        let mut names = line_names(chart);
        names.sort_unstable();
        assert_eq!(names, expected);
        let lines = chart.matches("<polyline class=\"line\"").count();
        assert_eq!(lines, expected.len());
    }
}

#[test]
fn latency_never_falls_with_the_percentile() {
    let html = page_of(&sample::compare(9));
    let mut count = 0;
    for chart in line_charts(&html, "Percentiles") {
        let body = chart.split_once("</figcaption>").unwrap().1;
        let lines = elements(body);
        let lines = lines
            .iter()
            .filter(|element| element.attribute("class").starts_with("line"));
        for line in lines {
            let points = points(line);
            assert!(points.len() > 1);
            for two in points.windows(2) {
                let ((x, y), (next_x, next_y)) = (two[0], two[1]);
                assert!(next_x >= x && next_y <= y, "{two:?}");
            }
            count += 1;
        }
    }
    // Six points with latencies, of nine contenders; one contender cannot one of them.
    assert!(count >= 53, "{count}");
}

#[test]
fn marks_are_at_the_percentiles_and_say_the_number_of_the_table() {
    let html = page_of(&sample::compare(1));
    let chart = line_charts(&html, "Percentiles")[0];
    for percentile in ["P50", "P90", "P99", "P99.9", "P99.99"] {
        assert!(
            chart.contains(&format!("ringway: {percentile} is ")),
            "{percentile}"
        );
    }
    let ticks = ["0", "50", "90", "99", "99.9", "99.99"];
    let texts: Vec<&str> = chart
        .split("<text class=\"tick middle\"")
        .skip(1)
        .map(|tail| tail.split_once('>').unwrap().1.split('<').next().unwrap())
        .collect();
    assert_eq!(texts, ticks);
}

#[test]
fn the_two_clocks_never_share_a_chart_or_a_table() {
    let html = page_of(&sample::compare(3));
    let (planned, asked) = (
        "from the planned send time",
        "from the sending (closed loop)",
    );
    for figure in line_charts(&html, "") {
        assert!(!(figure.contains(planned) && figure.contains(asked)));
    }
    for table in html.split("<table").skip(1) {
        let table = table.split_once("</table>").unwrap().0;
        assert!(!(table.contains(planned) && table.contains(asked)));
    }
    // At three rates and a ramp, the steps of the ramp, and two curves over the rates.
    assert_eq!(line_charts(&html, planned).len(), 7);
    assert_eq!(line_charts(&html, asked).len(), 2);
}

#[test]
fn the_same_plan_with_two_clocks_is_two_points() {
    let mut other = sample::compare(2);
    let point = &mut other.points[0];
    for run in &mut point.runs {
        let latency = run.latency.as_mut().unwrap();
        latency.clock = Clock::Planned;
    }
    let html = page(&[source("a", &sample::compare(2)), source("b", &other)]);
    assert_sound(&html);
    let title = "new connections: 1 connection, 15 KiB, closed loop</h3>";
    assert_eq!(html.matches(title).count(), 2);
    let shared = "new connections: 64 connections, 15 KiB, closed loop</h3>";
    assert_eq!(html.matches(shared).count(), 1);
}

#[test]
fn twelve_contenders_have_labels_that_do_not_touch_and_looks_of_their_own() {
    let html = page_of(&sample::compare(12));
    let chart = line_charts(&html, "Percentiles")[0];
    let body = chart.split_once("</figcaption>").unwrap().1;
    let elements = elements(body);
    let names = elements
        .iter()
        .filter(|element| element.attribute("class") == "who");
    let mut heights: Vec<f64> = names.map(|name| name.number("y")).collect();
    assert_eq!(heights.len(), 12);
    heights.sort_by(f64::total_cmp);
    assert!(
        heights.windows(2).all(|two| two[1] - two[0] > 14.8),
        "{heights:?}"
    );
    let mut looks: Vec<String> = (0..24)
        .map(|contender| Style {
            contender,
            source: 0,
        })
        .map(|style| {
            let mut out = Markup::default();
            chart::write_swatch(&mut out, style);
            out.into_html()
        })
        .collect();
    looks.sort();
    looks.dedup();
    assert_eq!(looks.len(), 24);
}

#[test]
fn contenders_are_sorted_by_the_main_figure_and_no_proxy_is_last() {
    let html = page_of(&sample::compare(12));
    let rows = rows(&html, "<h3 id=\"point-1\">");
    let names: Vec<&str> = rows.iter().map(|row| row[0]).collect();
    assert_eq!(names.len(), 12);
    assert_eq!(names.last(), Some(&"direct"));
    let medians: Vec<f64> = rows.iter().map(|row| row[1].parse().unwrap()).collect();
    assert!(
        medians[..11].windows(2).all(|two| two[0] <= two[1]),
        "{medians:?}"
    );
    let ringway = rows.iter().find(|row| row[0] == "ringway").unwrap();
    assert_eq!(ringway[3], "1");
    assert!(html.contains("<small> +"), "what the proxy adds");
}

#[test]
fn the_best_of_a_column_is_a_contender() {
    let html = page_of(&sample::compare(12));
    let point = html.split_once("<h3 id=\"point-1\">").unwrap().1;
    let table = point.split_once("</table>").unwrap().0;
    let rows: Vec<&str> = table.split("<tr").collect();
    let bests = |name: &str| {
        let row = rows
            .iter()
            .find(|row| row.contains(&format!("</svg>{name}<")));
        row.unwrap().matches("class=\"best\"").count()
    };
    assert!(bests("epoll") >= 3, "median, P50 and the rate");
    assert_eq!(bests("direct"), 0);
    assert_eq!(bests("tinyproxy"), 0);
}

#[test]
fn where_ringway_is_not_first_is_said_in_words() {
    let html = page_of(&sample::compare(3));
    assert!(html.contains("Where ringway is not first"));
    assert!(html.contains("ringway is not first in CPU per round trip: nginx has "));
    // Without nginx, which is in front, it is first.
    let html = page_of(&sample::compare(2));
    assert!(html.contains("ringway is first in CPU per round trip: "));
    assert!(html.contains("next is haproxy with "));
    assert!(!html.contains("is not first in CPU"));
}

#[test]
fn who_cannot_is_there_with_the_reason() {
    let html = page_of(&sample::compare(3));
    let cannot = "<b>nginx cannot</b>: it has no &lt;CONNECT&gt;";
    assert_eq!(html.matches(cannot).count(), 1);
    let mut result = sample::compare(3);
    result.points[0].cannot = result.points[1].cannot.clone();
    let html = page_of(&result);
    assert_eq!(html.matches(cannot).count(), 1);
    assert_eq!(
        html.matches("<b>nginx, not in every run</b>: it has no")
            .count(),
        1
    );
}

#[test]
fn the_last_words_of_a_program_stand_below_why_it_cannot() {
    let mut result = sample::compare(3);
    result.points[1].cannot[0].why = "void; its output ended with:\n  <first>\n  last".to_owned();
    let html = page_of(&result);
    assert!(html.contains("<b>nginx cannot</b>: void</p>"));
    assert!(html.contains("<pre class=\"cannot\">  &lt;first&gt;\n  last</pre>"));
}

#[test]
fn commands_break_between_words_and_can_be_typed_again() {
    let mut result = sample::compare(2);
    let words = [
        "ringway-bench",
        "run",
        "--spawn",
        "ringway serve",
        "--proxy",
        "127.0.0.1:3128",
    ];
    result.host.command_line = words.map(str::to_owned).to_vec();
    let html = page_of(&result);
    let word = |word: &str| format!("<span class=\"word\">{word}</span>");
    assert!(html.contains(&word("--spawn")));
    assert!(html.contains(&format!("{} {}", word("&#39;ringway"), word("serve&#39;"))));
    assert!(html.contains(&word("127.0.0.1:3128")));
}

#[test]
fn runs_that_end_by_a_count_have_no_duration() {
    let mut result = sample::compare(2);
    let by_count = "as many operations as each point says";
    assert!(page_of(&result).contains("3,000 ms") && !page_of(&result).contains(by_count));
    for point in &mut result.points {
        point.plan.stop = Stop::Count { operations: 70 };
    }
    assert!(!page_of(&result).contains("3,000 ms") && page_of(&result).contains(by_count));
}

#[test]
fn emulated_runs_are_labelled_and_never_ranked() {
    let mut result = sample::compare(9);
    result.host.emulated = true;
    let html = page_of(&result);
    assert!(html.contains("<b>Emulated.</b>"));
    assert!(
        html.matches("<span class=\"badge\">emulated</span>")
            .count()
            > 50
    );
    for ranking in ["At a glance", "is not first", "is first"] {
        assert!(!html.contains(ranking), "{ranking}");
    }
    assert!(!html.contains("performance"));
    let html = page(&[source("a", &result), source("b", &sample::compare(9))]);
    assert_sound(&html);
    let rows = rows(&html, "id=\"overlay\"");
    assert!(
        rows.iter().all(|row| row[row.len() - 4..] == ["–"; 4]),
        "{rows:?}"
    );
}

#[test]
fn disturbed_runs_are_marked() {
    let html = page_of(&sample::compare(4));
    assert!(html.contains("6 of 81 runs disturbed"));
    assert!(html.contains("1 of 3 runs disturbed, up to 8 % of the time"));
    assert!(!page_of(&sample::compare(3)).contains("disturbed"));
}

/// Everything that a file can hold as text.
fn poisoned(text: &str) -> ResultFile {
    let mut result = sample::compare(3);
    result.points.drain(2..6);
    let host = &mut result.host;
    for field in [&mut host.kernel, &mut host.architecture, &mut host.cpu] {
        *field = text.to_owned();
    }
    host.commit = Some(text.to_owned());
    host.rustc = Some(text.to_owned());
    host.governor = Some(text.to_owned());
    host.command_line = vec![text.to_owned(); 2];
    host.mitigations.insert(text.to_owned(), text.to_owned());
    host.sysctls.insert(text.to_owned(), text.to_owned());
    result.setting.load_wait = text.to_owned();
    for (index, contender) in result.contenders.iter_mut().enumerate() {
        contender.name = format!("{text}{index}");
        contender.version = Some(text.to_owned());
        contender.command = Some(text.to_owned());
        contender.notes = vec![text.to_owned()];
        contender.capabilities = Some(serde_json::json!({ text: text }));
    }
    for point in &mut result.points {
        point.workload = text.to_owned();
        for cannot in &mut point.cannot {
            cannot.why = text.to_owned();
        }
        for figure in point.runs.iter_mut().flat_map(|run| &mut run.figures) {
            figure.name = format!("{text}{}", figure.name);
            figure.unit = format!("{text}{}", figure.unit);
        }
    }
    result.verdicts.push(verdict(text));
    result
}

fn verdict(text: &str) -> Verdict {
    Verdict {
        point: text.to_owned(),
        figure: text.to_owned(),
        ratio: 1.2,
        interval: [1.1, 1.3],
        noise: Some([0.99, 1.01]),
        bound_percent: 5.0,
        held: false,
    }
}

#[test]
fn text_of_files_is_text_on_the_page() {
    for text in [
        "<script>alert(1)</script>",
        "\"><script>alert(1)</script>",
        "' onload='alert(1)",
        "</style></title></svg></main><b onclick=\"x\">",
        "<!-- ",
        "&lt;script&gt;",
        "]]>",
        "\u{0}\u{1b}[31m\u{202e}",
    ] {
        let result = poisoned(text);
        let html = page(&[source(text, &result), source("b", &sample::slower(3))]);
        assert_sound(&html);
        let twice = page(&[source(text, &result), source(text, &result)]);
        assert_sound(&twice);
        for forbidden in [
            "<script",
            "<b onclick",
            "onload='",
            "<!--",
            "\u{0}",
            "\u{1b}",
            "\u{202e}",
        ] {
            assert!(!html.contains(forbidden), "{text} left {forbidden}");
        }
    }
    let html = page_of(&poisoned("&lt;"));
    assert!(html.contains("&amp;lt;"));
}

#[test]
fn two_files_are_drawn_over_each_other_with_their_ratios() {
    let mut later = sample::slower(3);
    later.host.kernel = "6.1.0".to_owned();
    later.host.page_size = 65_536;
    let html = page(&[
        source("before", &sample::compare(3)),
        source("after", &later),
    ]);
    assert_sound(&html);
    assert!(html.contains("<li>kernel: A 6.18.5 · B 6.1.0</li>"));
    assert!(html.contains("<li>page size: A 4,096 B · B 65,536 B</li>"));
    let rows = rows(&html, "id=\"overlay\"");
    // Three contenders at seven points, one of which one of them cannot.
    assert_eq!(rows.len(), 20);
    for row in &rows {
        let ratio: f64 = row[row.len() - 4].parse().unwrap();
        assert!((1.05..1.35).contains(&ratio), "{row:?}");
    }
    let chart = line_charts(&html, "Percentiles")[0];
    let mut names = line_names(chart);
    names.sort_unstable();
    let expected = [
        "haproxy · A",
        "haproxy · B",
        "nginx · A",
        "nginx · B",
        "ringway · A",
        "ringway · B",
    ];
    assert_eq!(names, expected);
    let curve = line_charts(&html, "P99 at each rate, from")[0];
    for chart in [chart, curve] {
        assert!(chart.contains("series c0 d0") && chart.contains("series c0 d1"));
    }
}

#[test]
fn many_contenders_of_two_files_have_a_chart_each_to_one_scale() {
    let html = page(&[
        source("a", &sample::compare(5)),
        source("b", &sample::slower(5)),
    ]);
    assert_sound(&html);
    let all: Vec<&str> = line_charts(&html, "latency from the sending");
    let first: Vec<&&str> = all
        .iter()
        .filter(|chart| chart.contains("1 connection,"))
        .collect();
    assert_eq!(first.len(), 5);
    let ticks = |chart: &str| -> Vec<String> {
        let ticks = chart.split("<text class=\"tick end\"").skip(1);
        ticks
            .map(|tail| tail.split_once("</text>").unwrap().0.to_owned())
            .collect()
    };
    for chart in &first {
        assert_eq!(line_names(chart).len(), 2);
        assert_eq!(ticks(chart), ticks(first[0]));
    }
}

#[test]
fn equal_hosts_are_not_warned_of_and_files_without_common_points_are_not_compared() {
    let (all, mut rest) = (sample::compare(2), sample::compare(2));
    rest.points.retain(|point| point.workload == "W8");
    let mut first = all.clone();
    first.points.retain(|point| point.workload == "W1");
    let html = page(&[source("a", &all), source("b", &rest)]);
    assert_sound(&html);
    assert!(!html.contains("Not measured alike"));
    assert!(html.contains("id=\"overlay\""));
    let html = page(&[source("a", &first), source("b", &rest)]);
    assert_sound(&html);
    assert!(html.contains("The files have no point in common"));
    assert!(!html.contains("id=\"overlay\""));
}

#[test]
fn rates_become_curves_within_a_file_and_across_files() {
    let result = sample::compare(3);
    let curve = |html: &str| {
        let charts = line_charts(html, "P99 at each rate, from");
        assert_eq!(charts.len(), 1);
        let marks = charts[0].matches("/s</title>").count();
        // A mark for each contender at each of three rates.
        assert_eq!((line_names(charts[0]).len(), marks), (3, 9));
    };
    curve(&page_of(&result));
    let alone = |rate: u64| {
        let mut result = result.clone();
        let pace = Pace::Fixed { rate };
        result.points.retain(|point| point.plan.pace == pace);
        source(&rate.to_string(), &result)
    };
    let files = [5_000, 20_000, 40_000].map(alone);
    let html = page(&files);
    assert_sound(&html);
    curve(&html);
}

#[test]
fn a_ramp_shows_its_bound() {
    let html = page_of(&sample::compare(3));
    let ramps = line_charts(&html, "at each rate of the ramp");
    assert_eq!(ramps.len(), 1);
    assert!(ramps[0].contains("bound, 1 ms") && ramps[0].contains("class=\"guide\""));
    assert_eq!(line_names(ramps[0]).len(), 3);
}

#[test]
fn the_verdicts_of_a_gate_are_shown() {
    let mut result = sample::compare(2);
    result.kind = Kind::Gate;
    result.verdicts = vec![
        verdict("W1"),
        Verdict {
            held: true,
            ..verdict("W9")
        },
    ];
    let html = page_of(&result);
    let rows = rows(&html, "<h2>Gate</h2>");
    let verdicts: Vec<&str> = rows.iter().map(|row| row[row.len() - 1]).collect();
    assert_eq!(verdicts, ["beyond the bound", "held"]);
    assert!(html.contains("<td>1.100–1.300</td>"));
}

#[test]
fn one_program_spoken_to_in_two_ways_is_compared_with_its_like() {
    let mut result = sample::compare(4);
    let plan = Plan {
        scenario: Scenario::WebSocketEcho,
        ..result.points[0].plan
    };
    result.points.truncate(1);
    result.points[0].plan = plan;
    for (contender, (name, mode)) in result.contenders.iter_mut().zip([
        ("ringway", Mode::Forward),
        ("ringway", Mode::Connect),
        ("squid", Mode::Connect),
        ("direct", Mode::Tcp),
    ]) {
        contender.name = name.to_owned();
        contender.mode = mode;
    }
    let html = page_of(&result);
    let names = |heading: &str| -> Vec<String> {
        let rows = rows(&html, heading);
        rows.iter().map(|row| row[0].to_owned()).collect()
    };
    assert_eq!(
        names("WebSocket echo by Upgrade: 1 connection, 15 KiB, closed loop</h3>"),
        ["ringway", "direct"]
    );
    let inside = names("WebSocket echo inside CONNECT: 1 connection, 15 KiB, closed loop</h3>");
    assert_eq!(inside, ["squid", "ringway", "direct"]);
}

#[test]
fn a_run_without_a_proxy_does_not_choose_the_main_figure() {
    let mut result = sample::compare(12);
    result.points.truncate(1);
    let is_direct =
        |contenders: &[Contender], run: &Run| contenders[run.contender].name == "direct";
    let contenders = result.contenders.clone();
    let runs = &mut result.points[0].runs;
    runs.retain(|run| is_direct(&contenders, run) || run.contender == 0);
    runs.sort_by_key(|run| !is_direct(&contenders, run));
    for run in runs.iter_mut().filter(|run| is_direct(&contenders, run)) {
        run.figures.remove(0);
        run.figures[0].main = true;
    }
    let html = page_of(&result);
    let rows = rows(&html, "<h3 id=\"point-1\">");
    assert_eq!((rows[0][0], rows[1][0]), ("ringway", "direct"));
    assert_eq!(rows[1][1], "–", "it has no CPU of a proxy");
    assert!(!html.contains("At a glance"), "nobody to compare with");
}

/// A contender, its figures with units and values, its latencies in nanoseconds.
type OddRun<'a> = (usize, &'a [(&'a str, &'a str, f64)], Option<&'a [u64]>);

/// A result with one point, of these runs.
fn odd(runs: &[OddRun<'_>]) -> ResultFile {
    let mut result = sample::compare(2);
    let run = |(contender, figures, latencies): &OddRun<'_>| {
        let latencies = latencies.map(|latencies| {
            let counts = latencies.iter().map(|ns| (*ns, 1));
            histogram::encode(&Latencies::of(Clock::Asked, counts)).unwrap()
        });
        Run {
            contender: *contender,
            round: 0,
            order: 0,
            figures: figures
                .iter()
                .enumerate()
                .map(|(place, (name, unit, value))| Figure {
                    main: place == 0,
                    ..Figure::new(*name, unit, *value)
                })
                .collect(),
            latency: latencies,
            steps: Vec::new(),
            disturbed_percent: 0.0,
        }
    };
    result.points = vec![Point {
        workload: "W1".to_owned(),
        plan: Plan {
            scenario: Scenario::Fresh,
            pace: Pace::Closed,
            stop: Stop::Count { operations: 1 },
            connections: 1,
            payload: 0,
        },
        runs: runs.iter().map(run).collect(),
        cannot: Vec::new(),
    }];
    result
}

#[test]
fn odd_results_make_sound_pages() {
    const CPU: &str = "cpu_us_per_connection";
    let figures: [&[(&str, &str, f64)]; 6] = [
        &[],
        &[(CPU, "us", 0.0)],
        &[(CPU, "us", -3.0)],
        &[(CPU, "us", f64::MAX)],
        &[(CPU, "us", 1e-300), ("x", "", 1e18)],
        &[("p50_us", "us", 5.0), ("rate", "1/s", 0.0)],
    ];
    let latencies: [Option<&[u64]>; 5] = [
        None,
        Some(&[]),
        Some(&[0]),
        Some(&[7]),
        Some(&[1, 60_000_000_000, 60_000_000_000]),
    ];
    for first in figures {
        for second in latencies {
            page_of(&odd(&[(0, first, second)]));
            page_of(&odd(&[(0, first, second), (1, figures[1], latencies[4])]));
            page_of(&odd(&[
                (0, first, second),
                (0, first, second),
                (1, first, None),
            ]));
        }
    }
    let single = page_of(&odd(&[(0, figures[1], Some(&[7_000]))]));
    assert!(
        single.contains("ringway: a single latency, 7"),
        "{}",
        line_charts(&single, "")[0]
    );
}

#[test]
fn files_with_nothing_in_them_make_sound_pages() {
    let mut result = sample::compare(1);
    page_of(&result);
    result.points[0].runs.clear();
    page_of(&result);
    result.points.clear();
    page_of(&result);
    result.contenders.clear();
    result.host.mitigations.clear();
    result.host.sysctls.clear();
    result.setting.load_cores.clear();
    result.setting.rounds = 0;
    page_of(&result);
    assert_sound(&page(&[source("a", &result), source("b", &result)]));
}

#[test]
fn workloads_that_are_not_known_are_shown_and_called_so() {
    let mut result = sample::compare(2);
    result.points[0].workload = "W99".to_owned();
    let html = page_of(&result);
    assert!(html.contains("<h2>W99</h2>"));
    assert!(html.contains("does not know this workload"));
}

#[test]
fn files_are_lettered_beyond_the_alphabet() {
    assert_eq!(
        [0, 25, 26, 51, 52, 702].map(letter),
        ["A", "Z", "AA", "AZ", "BA", "AAA"]
    );
}

#[test]
fn the_command_writes_a_page_and_never_over_its_input() {
    let folder = std::env::temp_dir().join(format!("ringway-bench-report-{}", std::process::id()));
    fs::create_dir_all(&folder).unwrap();
    let path = |name: &str| -> PathBuf { folder.join(name) };
    let json = serde_json::to_string(&sample::compare(2)).unwrap();
    fs::write(path("a.json"), &json).unwrap();
    let typed = |files: &[&str], html: &str| Report {
        files: files.iter().map(|name| path(name)).collect(),
        html: path(html),
    };
    run(&typed(&["a.json"], "a.html")).unwrap();
    assert_sound(&fs::read_to_string(path("a.html")).unwrap());
    let error = run(&typed(&["a.json"], "./a.json")).unwrap_err();
    assert!(error.contains("would overwrite"), "{error}");
    assert_eq!(fs::read_to_string(path("a.json")).unwrap(), json);
    let error = run(&typed(&["a.json"], "nowhere/a.html")).unwrap_err();
    assert!(error.starts_with("cannot write "), "{error}");
    fs::write(path("b.json"), &json[..json.len() / 2]).unwrap();
    let error = run(&typed(&["a.json", "b.json"], "b.html")).unwrap_err();
    assert!(
        error.contains("b.json: ends within its JSON at line 1"),
        "{error}"
    );
    fs::remove_dir_all(&folder).unwrap();
}
