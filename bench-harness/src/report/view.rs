//! What the terminal table and the page both show: the points of all files side by side, one line for each contender,
//! with medians, ratios and merged percentiles. It decides nothing about looks.
//!
//! Percentiles come from merged histograms: they are never averaged.

use crate::figures::DISTURBED_PERCENT;
use crate::load::Mode;
use crate::plan::{Pace, Plan, Scenario, Stop};
use crate::report::column::{Better, Column, Values};
use crate::report::file::Source;
use crate::report::units::{bytes, grouped, plural, us};
use crate::result::latency::Latencies;
use crate::result::model::{Clock, Contender, Point, RampStep, Run};

/// The percentiles of every table, as the share that is not above.
pub(crate) const QUANTILES: [(&str, f64); 5] = [
    ("P50", 0.5),
    ("P95", 0.95),
    ("P99", 0.99),
    ("P99.9", 0.999),
    ("max", 1.0),
];

/// One point with all that was measured of it, in however many files.
#[derive(Debug)]
pub(crate) struct Cell {
    pub(crate) workload: String,
    pub(crate) plan: Plan,
    /// How proxies were spoken to, where it was in one way: what is asked of them in another is not the same.
    pub(crate) mode: Option<Mode>,
    pub(crate) clock: Option<Clock>,
    /// Sorted: by file where there are several, then the best first.
    pub(crate) lines: Vec<Line>,
    pub(crate) cannot: Vec<CannotLine>,
    /// The figure that the workload is for.
    pub(crate) main: Option<Column>,
}

/// What one contender of one file made of a point.
#[derive(Debug)]
pub(crate) struct Line {
    pub(crate) source: usize,
    pub(crate) contender: usize,
    pub(crate) name: String,
    /// In the order they were measured.
    pub(crate) figures: Vec<(Column, Values)>,
    pub(crate) latencies: Option<Latencies>,
    /// Of each run, in the order of [`QUANTILES`].
    pub(crate) quantiles: Vec<Values>,
    /// Of each run of a ramp.
    pub(crate) ramps: Vec<Vec<RampStep>>,
    /// What each run calls its main figure.
    mains: Vec<Column>,
    pub(crate) runs: usize,
    pub(crate) disturbed_runs: usize,
    pub(crate) disturbed_most: f64,
}

/// Why a contender is not among the lines.
#[derive(Debug)]
pub(crate) struct CannotLine {
    pub(crate) source: usize,
    pub(crate) contender: usize,
    pub(crate) name: String,
    /// It has a line all the same: some of its runs came to nothing.
    pub(crate) in_part: bool,
    pub(crate) why: String,
}

impl Line {
    pub(crate) fn values(&self, column: &Column) -> Option<&Values> {
        let found = self.figures.iter().find(|(name, _)| name == column);
        found.map(|(_, values)| values)
    }

    /// The rate it came to, whatever its operations are called.
    pub(crate) fn rate(&self) -> Option<(&Column, &Values)> {
        let found = self
            .figures
            .iter()
            .find(|(column, _)| column.better() == Better::Higher);
        found.map(|(column, values)| (column, values))
    }

    /// Whether there was no proxy: the floor under all others, and no contender among them.
    pub(crate) fn is_direct(&self) -> bool {
        is_direct(&self.name)
    }
}

pub(crate) fn is_direct(name: &str) -> bool {
    name.eq_ignore_ascii_case("direct")
}

/// All points of `sources`; equal ones of several files become one cell. Where one program was spoken to in two
/// ways, the point becomes two cells, and plain relays are in both.
pub(crate) fn cells(sources: &[Source]) -> Vec<Cell> {
    let mut cells: Vec<Cell> = Vec::new();
    for (index, source) in sources.iter().enumerate() {
        for (point, latencies) in source.result.points.iter().zip(&source.latencies) {
            let clock = latencies.iter().flatten().next().map(Latencies::clock);
            for mode in modes(point, &source.result.contenders) {
                let found = cells
                    .iter()
                    .position(|cell| cell.is_of(point, mode) && cell.clock == clock);
                let place = found.unwrap_or_else(|| {
                    cells.push(Cell::new(point, mode, clock));
                    cells.len() - 1
                });
                cells[place].take(index, &source.result.contenders, point, latencies);
            }
        }
    }
    for cell in &mut cells {
        cell.settle();
    }
    cells
}

/// The modes that a point has to be taken apart by; none where nobody was spoken to in two ways and not all in one.
fn modes(point: &Point, contenders: &[Contender]) -> Vec<Option<Mode>> {
    let measured = point.runs.iter().map(|run| run.contender);
    let places = measured.chain(point.cannot.iter().map(|cannot| cannot.contender));
    let mut seen: Vec<(&str, Mode)> = Vec::new();
    for contender in places.filter_map(|place| contenders.get(place)) {
        let own = (contender.name.as_str(), contender.mode);
        if contender.mode != Mode::Tcp && !seen.contains(&own) {
            seen.push(own);
        }
    }
    let mut modes: Vec<Option<Mode>> = Vec::new();
    for (_, mode) in &seen {
        if !modes.contains(&Some(*mode)) {
            modes.push(Some(*mode));
        }
    }
    let is_twice = |name: &str| seen.iter().filter(|(other, _)| *other == name).count() > 1;
    match modes.len() {
        1 => modes,
        _ if seen.iter().any(|(name, _)| is_twice(name)) => modes,
        _ => vec![None],
    }
}

impl Cell {
    fn new(point: &Point, mode: Option<Mode>, clock: Option<Clock>) -> Self {
        Self {
            workload: point.workload.clone(),
            plan: point.plan,
            mode,
            clock,
            lines: Vec::new(),
            cannot: Vec::new(),
            main: None,
        }
    }

    /// How long a run was does not make another point of it; how many operations it had does.
    fn is_of(&self, point: &Point, mode: Option<Mode>) -> bool {
        let (ours, theirs) = (&self.plan, &point.plan);
        let stop = match (ours.stop, theirs.stop) {
            (Stop::After { .. }, Stop::After { .. }) => true,
            (ours, theirs) => ours == theirs,
        };
        self.workload == point.workload
            && self.mode == mode
            && stop
            && Plan {
                stop: theirs.stop,
                ..*ours
            } == *theirs
    }

    fn take(
        &mut self,
        source: usize,
        contenders: &[Contender],
        point: &Point,
        latencies: &[Option<Latencies>],
    ) {
        let name = |contender: usize| {
            let contender = contenders.get(contender);
            contender.map_or_else(String::new, |contender| contender.name.clone())
        };
        let mode = self.mode;
        let is_here = |contender: usize| {
            let contender = contenders.get(contender);
            contender.is_some_and(|contender| {
                contender.mode == Mode::Tcp || mode.is_none_or(|mode| contender.mode == mode)
            })
        };
        for (run, latencies) in point.runs.iter().zip(latencies) {
            if !is_here(run.contender) {
                continue;
            }
            let found = self
                .lines
                .iter()
                .position(|line| line.source == source && line.contender == run.contender);
            let place = found.unwrap_or_else(|| {
                let name = name(run.contender);
                self.lines.push(Line::new(source, run.contender, name));
                self.lines.len() - 1
            });
            let line = &mut self.lines[place];
            line.take(run, latencies.as_ref());
        }
        let cannot = point
            .cannot
            .iter()
            .filter(|cannot| is_here(cannot.contender));
        let lines = &self.lines;
        self.cannot.extend(cannot.map(|cannot| {
            CannotLine {
                source,
                contender: cannot.contender,
                name: name(cannot.contender),
                in_part: lines
                    .iter()
                    .any(|line| line.source == source && line.contender == cannot.contender),
                why: cannot.why.clone(),
            }
        }));
    }

    /// What most runs call their main figure. A run without a proxy has no CPU to speak of, and names another.
    fn find_main(&self) -> Option<Column> {
        let (direct, proxies): (Vec<&Line>, Vec<&Line>) =
            self.lines.iter().partition(|line| line.is_direct());
        let lines = if proxies.is_empty() { direct } else { proxies };
        let mains: Vec<&Column> = lines.iter().flat_map(|line| &line.mains).collect();
        let count = |column: &Column| mains.iter().filter(|main| **main == column).count();
        // The first of those that are equally frequent.
        let main = mains.iter().rev().max_by_key(|column| count(column));
        main.map(|main| (*main).clone())
    }

    /// Tells contenders of one name apart, and sorts the lines: the best first, those without the main figure last, and
    /// no proxy at all below them.
    fn settle(&mut self) {
        let names: Vec<(usize, String)> = self
            .lines
            .iter()
            .map(|line| (line.source, line.name.clone()))
            .collect();
        for (place, line) in self.lines.iter_mut().enumerate() {
            let own = (line.source, line.name.clone());
            if names.iter().filter(|name| **name == own).count() < 2 {
                continue;
            }
            let before = names.iter().take(place).filter(|name| **name == own);
            line.name = format!("{} #{}", own.1, before.count() + 1);
        }
        self.main = self.find_main();
        let main = self.main.clone();
        let rank = |line: &Line| {
            let median = main.as_ref().and_then(|main| {
                let median = line.values(main)?.median()?;
                Some(match main.better() {
                    Better::Higher => -median,
                    _ => median,
                })
            });
            (line.source, line.is_direct(), median.unwrap_or(f64::MAX))
        };
        self.lines.sort_by(|a, b| {
            let (a, b) = (rank(a), rank(b));
            (a.0, a.1)
                .cmp(&(b.0, b.1))
                .then_with(|| a.2.total_cmp(&b.2))
        });
    }

    /// Who the others of file `source` are compared with here: Ringway, or the candidate of a gate; who is named first,
    /// where there is neither in the whole file.
    pub(crate) fn home(&self, source: usize, contenders: &[Contender]) -> Option<usize> {
        let wanted: [fn(&str) -> bool; 3] = [
            |name| name == "ringway",
            |name| name.starts_with("ringway"),
            |name| name == "candidate",
        ];
        let is = |contender: usize, wanted: fn(&str) -> bool| {
            let contender = contenders.get(contender);
            contender.is_some_and(|contender| wanted(&contender.name.to_ascii_lowercase()))
        };
        let lines = self.lines.iter();
        let mut here: Vec<usize> = lines
            .filter(|line| line.source == source && !line.is_direct())
            .map(|line| line.contender)
            .collect();
        here.sort_unstable();
        for wanted in wanted {
            if let Some(found) = here.iter().find(|contender| is(**contender, wanted)) {
                return Some(*found);
            }
        }
        let elsewhere = (0..contenders.len())
            .any(|contender| wanted.iter().any(|wanted| is(contender, *wanted)));
        here.first().copied().filter(|_| !elsewhere)
    }

    /// The files that have lines here.
    pub(crate) fn sources(&self) -> Vec<usize> {
        let mut sources: Vec<usize> = self.lines.iter().map(|line| line.source).collect();
        sources.dedup();
        sources
    }

    pub(crate) fn line(&self, source: usize, contender: usize) -> Option<&Line> {
        let mut lines = self.lines.iter();
        lines.find(|line| line.source == source && line.contender == contender)
    }

    /// All figures that some line has, in the order they were measured.
    pub(crate) fn columns(&self) -> Vec<Column> {
        let mut columns: Vec<Column> = Vec::new();
        for (column, _) in self.lines.iter().flat_map(|line| &line.figures) {
            if !columns.contains(column) {
                columns.push(column.clone());
            }
        }
        columns
    }

    /// The point in words, without its workload.
    pub(crate) fn title(&self) -> String {
        let mut words = vec![plural(self.plan.connections, "connection")];
        words.push(bytes(self.plan.payload));
        words.push(match self.plan.pace {
            Pace::Closed => "closed loop".to_owned(),
            Pace::Fixed { rate } => format!("{}/s at even intervals", grouped(rate)),
            Pace::Poisson { rate } => format!("{}/s, Poisson arrivals", grouped(rate)),
            Pace::Ramp {
                start,
                bound_us,
                percentile,
            } => {
                let start = grouped(start);
                format!(
                    "ramp from {start}/s until P{percentile} is above {}",
                    us(bound_us as f64)
                )
            }
        });
        if let Stop::Count { operations } = self.plan.stop {
            let operations = usize::try_from(operations).unwrap_or(usize::MAX);
            words.push(plural(operations, "operation"));
        }
        let scenario = self.plan.scenario;
        let way = match self.mode {
            Some(mode) if scenario.is_http() && scenario != Scenario::Get => match mode {
                Mode::Connect => " inside CONNECT",
                _ => " by Upgrade",
            },
            _ => "",
        };
        format!("{}{way}: {}", scenario.name(), words.join(", "))
    }
}

/// Operations a second that are planned, where they are and stay so.
pub(crate) fn planned_rate(plan: &Plan) -> Option<u64> {
    match plan.pace {
        Pace::Fixed { rate } | Pace::Poisson { rate } => Some(rate),
        Pace::Closed | Pace::Ramp { .. } => None,
    }
}

/// How a contender is spoken to, in a word.
pub(crate) fn mode(mode: Mode) -> &'static str {
    match mode {
        Mode::Connect => "CONNECT",
        Mode::Forward => "forward",
        Mode::Tcp => "tcp",
    }
}

impl Line {
    fn new(source: usize, contender: usize, name: String) -> Self {
        Self {
            source,
            contender,
            name,
            figures: Vec::new(),
            latencies: None,
            quantiles: vec![Values::default(); QUANTILES.len()],
            ramps: Vec::new(),
            mains: Vec::new(),
            runs: 0,
            disturbed_runs: 0,
            disturbed_most: 0.0,
        }
    }

    fn take(&mut self, run: &Run, latencies: Option<&Latencies>) {
        self.runs += 1;
        if run.disturbed_percent > DISTURBED_PERCENT {
            self.disturbed_runs += 1;
            self.disturbed_most = self.disturbed_most.max(run.disturbed_percent);
        }
        for figure in &run.figures {
            let column = Column::of(figure);
            if figure.main {
                self.mains.push(column.clone());
            }
            let found = self.figures.iter().position(|(name, _)| *name == column);
            let place = found.unwrap_or_else(|| {
                self.figures.push((column, Values::default()));
                self.figures.len() - 1
            });
            self.figures[place].1.0.push((run.round, figure.value));
        }
        if !run.steps.is_empty() {
            self.ramps.push(run.steps.clone());
        }
        let Some(latencies) = latencies.filter(|latencies| !latencies.histogram().is_empty())
        else {
            return;
        };
        let quantiles = QUANTILES.map(|(_, quantile)| quantile);
        let found = latencies.histogram().value_at_quantiles(quantiles);
        for (values, ns) in self.quantiles.iter_mut().zip(found) {
            values.0.push((run.round, ns as f64 / 1e3));
        }
        match &mut self.latencies {
            None => self.latencies = Some(latencies.clone()),
            // Reading has seen to it that a point has one clock.
            Some(merged) => {
                let merged = merged.merge(latencies);
                debug_assert!(merged.is_ok(), "one clock for each point");
            }
        }
    }
}
