//! The head of the page and the facts below it: what was run, when, on what and with whom; and what a reader has to
//! know before any number.

use std::path::Path;

use super::markup::Markup;
use super::{Page, letter};
use crate::figures::DISTURBED_PERCENT;
use crate::plan::Stop;
use crate::report::file::Source;
use crate::report::units::{date, grouped, plural, ratio};
use crate::report::view::mode;
use crate::result::model::{Host, Kind, Setting, Verdict};
use crate::rival::quoted;

/// The name of a fact that is a command.
const COMMAND_LINE: &str = "command line";

/// A fact of a file, by its name.
pub(super) type Fact = (String, String);

impl Page<'_> {
    pub(super) fn write_head(&self, out: &mut Markup) {
        out.element("h1", &[], "ringway-bench report");
        out.open("ul", &[("class", "files")]);
        for (index, source) in self.sources.iter().enumerate() {
            out.open("li", &[]);
            if self.sources.len() > 1 {
                out.element("b", &[("class", "letter")], &letter(index));
                out.constant(" ");
            }
            out.element("b", &[], &source.name);
            out.text(&format!(": {}", summary(source)));
            out.close("li");
        }
        out.constant("</ul>\n");
        if self
            .sources
            .iter()
            .any(|source| source.result.host.emulated)
        {
            out.constant(
                "<p class=\"warning\"><b>Emulated.</b> The processor was a program: these figures \
                 show that everything runs, and say nothing about how fast it is. No ranking is \
                 drawn from them.</p>\n",
            );
        }
        self.write_disturbed(out);
        for source in self.sources {
            write_verdicts(out, &source.result.verdicts);
        }
    }

    fn write_disturbed(&self, out: &mut Markup) {
        let runs = || {
            let points = self.sources.iter().flat_map(|source| &source.result.points);
            points.flat_map(|point| &point.runs)
        };
        let disturbed = runs().filter(|run| run.disturbed_percent > DISTURBED_PERCENT);
        let (count, all) = (disturbed.count(), runs().count());
        if count > 0 {
            let of = plural(all, "run");
            let text = format!(
                "{count} of {of} disturbed: other programs held a measured core for more than \
                 {DISTURBED_PERCENT} % of the time. They are marked with ⚠ below and are for orientation only."
            );
            out.element("p", &[("class", "warning")], &text);
        }
    }

    /// Who was measured: version, command line, and what it does otherwise than the rest.
    pub(super) fn write_contenders(&self, out: &mut Markup) {
        out.element("h2", &[("id", "contenders")], "Contenders");
        for (index, source) in self.sources.iter().enumerate() {
            if self.sources.len() > 1 {
                let text = format!("{}: {}", letter(index), source.name);
                out.element("h3", &[], &text);
            }
            let titles = [
                "contender",
                "version",
                "spoken to by",
                "at",
                "command, notes",
            ];
            out.open_table("facts", titles);
            for (place, contender) in source.result.contenders.iter().enumerate() {
                let id = contender_anchor(index, place);
                out.open("tr", &[("id", &id)]);
                out.element("th", &[("scope", "row")], &contender.name);
                out.element("td", &[], contender.version.as_deref().unwrap_or("–"));
                out.element("td", &[], mode(contender.mode));
                out.element("td", &[], &contender.address.to_string());
                out.open("td", &[]);
                match &contender.command {
                    Some(command) => write_command(out, command),
                    None => out.constant("<i>not started by the harness</i>"),
                }
                for note in &contender.notes {
                    out.element("p", &[("class", "note")], note);
                }
                if let Some(capabilities) = &contender.capabilities {
                    out.constant("<details><summary>capabilities</summary>");
                    out.element("pre", &[], &format!("{capabilities:#}"));
                    out.constant("</details>");
                }
                out.close("td");
                out.close("tr");
            }
            out.close_table();
        }
    }

    /// The facts of all files side by side; what differs is marked.
    pub(super) fn write_host(&self, out: &mut Markup) {
        out.element("h2", &[("id", "host")], "Where it was measured");
        let all = |of: fn(&Source) -> Vec<Fact>| -> Vec<Vec<Fact>> {
            self.sources.iter().map(of).collect()
        };
        self.write_facts(out, &all(main_facts));
        out.constant("<details><summary>Mitigations</summary>");
        self.write_facts(out, &all(mitigations));
        out.constant("</details>\n<details><summary>Kernel settings</summary>");
        self.write_facts(out, &all(sysctls));
        out.constant("</details>\n");
    }

    fn write_facts(&self, out: &mut Markup, facts: &[Vec<Fact>]) {
        let titles = self.sources.iter().enumerate();
        let titles = titles.map(|(index, source)| format!("{}: {}", letter(index), source.name));
        let titles: Vec<String> = titles.filter(|_| self.sources.len() > 1).collect();
        let corner = titles.first().map(|_| "");
        out.open_table(
            "facts",
            corner.into_iter().chain(titles.iter().map(String::as_str)),
        );
        for name in names(facts) {
            let values: Vec<Option<&str>> = facts.iter().map(|facts| fact(facts, name)).collect();
            let differs = values.windows(2).any(|two| two.first() != two.last());
            out.open("tr", &[("class", if differs { "differs" } else { "" })]);
            out.element("th", &[("scope", "row")], name);
            for value in values {
                out.open("td", &[]);
                match value {
                    Some(command) if name == COMMAND_LINE => write_command(out, command),
                    value => out.text(value.unwrap_or("–")),
                }
                out.close("td");
            }
            out.close("tr");
        }
        out.close_table();
    }
}

/// A command, which breaks between its words only.
fn write_command(out: &mut Markup, command: &str) {
    out.open("code", &[]);
    for (place, word) in command.split(' ').enumerate() {
        if place > 0 {
            out.text(" ");
        }
        out.element("span", &[("class", "word")], word);
    }
    out.close("code");
}

/// Where a contender is in the table of contenders.
pub(super) fn contender_anchor(source: usize, contender: usize) -> String {
    format!("contender-{}-{}", letter(source), contender + 1)
}

/// The facts that make figures comparable, or not: all but when, which build, and what was typed.
pub(super) fn comparable_facts(source: &Source) -> Vec<Fact> {
    let own = [
        "measured",
        "commit",
        COMMAND_LINE,
        "rounds",
        "order drawn from",
    ];
    let mut facts = main_facts(source);
    facts.retain(|(name, _)| !own.contains(&name.as_str()));
    facts.extend(mitigations(source));
    facts.extend(sysctls(source));
    facts
}

/// The names in all of `facts`, each once.
pub(super) fn names(facts: &[Vec<Fact>]) -> Vec<&str> {
    let mut names: Vec<&str> = Vec::new();
    for (name, _) in facts.iter().flatten() {
        if !names.contains(&name.as_str()) {
            names.push(name);
        }
    }
    names
}

pub(super) fn fact<'a>(facts: &'a [Fact], name: &str) -> Option<&'a str> {
    let mut facts = facts.iter();
    let (_, value) = facts.find(|(fact, _)| fact == name)?;
    Some(value)
}

fn summary(source: &Source) -> String {
    let Host {
        unix_time_s,
        kernel,
        architecture,
        cpu,
        cpus,
        commit,
        emulated,
        ..
    } = &source.result.host;
    let kind = match source.result.kind {
        Kind::Run => "run",
        Kind::Compare => "compare",
        Kind::Gate => "gate",
    };
    let emulated = if *emulated { ", emulated" } else { "" };
    let commit = commit.as_deref().map(|commit| {
        let short: String = commit.chars().take(12).collect();
        let dirty = if commit.ends_with("-dirty") {
            "-dirty"
        } else {
            ""
        };
        format!(", commit {short}{dirty}")
    });
    format!(
        "{kind} of {}, Linux {kernel} on {architecture}, {} of {cpu}{emulated}{}; {} in {}",
        date(*unix_time_s),
        plural(*cpus, "CPU"),
        commit.unwrap_or_default(),
        plural(source.result.points.len(), "point"),
        plural(source.result.setting.rounds, "round"),
    )
}

fn main_facts(source: &Source) -> Vec<Fact> {
    let (host, setting): (&Host, &Setting) = (&source.result.host, &source.result.setting);
    let cores = |cores: &[usize]| {
        let cores: Vec<String> = cores.iter().map(usize::to_string).collect();
        match cores.is_empty() {
            true => "not pinned".to_owned(),
            false => cores.join(", "),
        }
    };
    let unknown = || "unknown".to_owned();
    let milliseconds = |ms: u64| format!("{} ms", grouped(ms));
    let yes = |yes: bool| if yes { "yes" } else { "no" }.to_owned();
    let mut points = source.result.points.iter();
    let timed_part = match points.all(|point| matches!(point.plan.stop, Stop::Count { .. })) {
        true => "as many operations as each point says".to_owned(),
        false => milliseconds(setting.duration_ms),
    };
    let seed = setting.seed;
    let words = host.command_line.iter();
    let command_line: Vec<String> = words.map(|word| quoted(Path::new(word))).collect();
    let facts = [
        ("measured", date(host.unix_time_s)),
        ("commit", host.commit.clone().unwrap_or_else(unknown)),
        ("rustc", host.rustc.clone().unwrap_or_else(unknown)),
        ("kernel", host.kernel.clone()),
        ("architecture", host.architecture.clone()),
        ("CPU", host.cpu.clone()),
        ("CPUs", host.cpus.to_string()),
        (
            "governor",
            host.governor
                .clone()
                .unwrap_or_else(|| "not told".to_owned()),
        ),
        ("page size", format!("{} B", grouped(host.page_size))),
        ("emulated", yes(host.emulated)),
        ("each timed part", timed_part),
        ("warm-up before it", milliseconds(setting.warm_up_ms)),
        ("rounds", setting.rounds.to_string()),
        (
            "order drawn from",
            seed.map_or_else(|| "not drawn".to_owned(), |seed| format!("seed {seed}")),
        ),
        ("the load waits by", setting.load_wait.clone()),
        ("core of the proxy", cores(setting.proxy_core.as_slice())),
        ("cores of the load", cores(&setting.load_cores)),
        ("origin", setting.origin.to_string()),
        (COMMAND_LINE, command_line.join(" ")),
    ];
    let facts = facts.into_iter();
    facts
        .map(|(name, value)| (name.to_owned(), value))
        .collect()
}

fn mitigations(source: &Source) -> Vec<Fact> {
    let mitigations = source.result.host.mitigations.clone();
    mitigations.into_iter().collect()
}

fn sysctls(source: &Source) -> Vec<Fact> {
    source.result.host.sysctls.clone().into_iter().collect()
}

/// What a gate has decided.
fn write_verdicts(out: &mut Markup, verdicts: &[Verdict]) {
    if verdicts.is_empty() {
        return;
    }
    out.constant("<h2>Gate</h2>\n");
    let titles = [
        "point",
        "figure",
        "ratio",
        "interval",
        "A against A",
        "bound",
        "verdict",
    ];
    out.open_table("numbers", titles);
    for verdict in verdicts {
        let interval = |[low, high]: [f64; 2]| format!("{}–{}", exact(low), exact(high));
        out.open("tr", &[]);
        out.element("th", &[("scope", "row")], &verdict.point);
        out.element("th", &[("scope", "row")], &verdict.figure);
        out.element("td", &[], &exact(verdict.ratio));
        out.element("td", &[], &interval(verdict.interval));
        out.element(
            "td",
            &[],
            &verdict.noise.map_or_else(|| "–".to_owned(), interval),
        );
        out.element("td", &[], &format!("+{} %", verdict.bound_percent));
        let (class, text) = match verdict.held {
            true => ("better", "held"),
            false => ("worse", "beyond the bound"),
        };
        out.element("td", &[("class", class)], text);
        out.close("tr");
    }
    out.close_table();
}

/// A ratio whose third decimal counts.
fn exact(value: f64) -> String {
    if value < 10.0 {
        format!("{value:.3}")
    } else {
        ratio(value)
    }
}
