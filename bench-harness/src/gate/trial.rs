//! What the gate measures: time in rounds, and counts.

use std::time::{Duration, Instant};

use crate::args::{Gate, Names};
use crate::catalogue::{Choice, Entry};
use crate::count::{self, Callgrind, Counted, Counts, Kernel};
use crate::crew::{Crew, Order, Post};
use crate::figures::DISTURBED_PERCENT;
use crate::gate::sides::{AGAIN, ALL, CANDIDATE, OTHER, Sides};
use crate::load::Target;
use crate::measure::{self, Bench, Measured, milliseconds};
use crate::peer::Peer;
use crate::plan::{Pace, Plan, Stop};
use crate::progress::Progress;
use crate::result::model::{Figure, Point, Run};

/// A workload and its connections, where it is timed.
type Workload = (&'static str, usize);

/// What is run: quick, and between them the paths that most connections, requests and bytes take.
const WORKLOADS: [Workload; 3] = [("W1", 8), ("W3", 8), ("W9", 64)];

/// Over one connection, so that events come one after the other, the same on every machine.
const COUNTED_OPERATIONS: u64 = 500;
const COUNTED_ROUNDS: usize = 3;
const CALLGRIND_ATTEMPTS: usize = 3;

/// How the names of counts begin that are the kernel's, of the program as it is.
pub(super) const BY_KERNEL: &str = "kernel_";

/// One figure of one point, round by round: of the candidate, of the other, and where it was taken of the other again.
#[derive(Debug)]
pub(super) struct Sample {
    pub(super) point: String,
    pub(super) figure: String,
    pub(super) unit: String,
    pub(super) rounds: Vec<Vec<f64>>,
    /// Others had the cores again and again: it says nothing.
    pub(super) disturbed: bool,
}

/// The figures of each side.
type Round = Vec<Vec<Figure>>;

/// A gate's measurements, as far as they have come.
pub(super) struct Trial<'a> {
    bench: &'a Bench,
    sides: &'a Sides,
    workloads: Vec<Workload>,
    /// The other is a build of Ringway too.
    against_build: bool,
    rounds: usize,
    duration_ms: u64,
    progress: Progress,
    started: Instant,
    limit: Duration,
    told: Ended,
}

/// What there is when all is measured.
#[derive(Debug, Default)]
pub(super) struct Ended {
    pub(super) points: Vec<Point>,
    /// Why something was left out or done again.
    pub(super) notes: Vec<String>,
    /// Why callgrind counted nothing, if it did not.
    pub(super) uncounted: Option<String>,
}

impl<'a> Trial<'a> {
    pub(super) fn new(bench: &'a Bench, sides: &'a Sides, typed: &Gate) -> Result<Self, String> {
        let workloads = chosen(&typed.workloads)?;
        let timed = workloads.len() * typed.rounds;
        let counted = COUNTED_ROUNDS;
        let mut trial = Self {
            bench,
            sides,
            workloads,
            against_build: typed.baseline.is_some(),
            rounds: typed.rounds,
            duration_ms: milliseconds(typed.duration),
            progress: Progress::new(0),
            started: Instant::now(),
            limit: typed.limit,
            told: Ended::default(),
        };
        let others = if trial.against_build { 2 * counted } else { 1 };
        let steps = ALL.len() * timed + counted + others;
        trial.progress = Progress::new(steps);
        Ok(trial)
    }

    /// All runs, and what there is to say about them.
    pub(super) fn end(self) -> Ended {
        self.told
    }

    /// Whether there is time for more than there must be; counting needs about half of the limit.
    fn in_time(&self, share: f64) -> bool {
        self.started.elapsed() < self.limit.mul_f64(share)
    }

    /// Time: the CPU of an operation and the median latency, of every workload.
    pub(super) fn times(&mut self) -> Result<Vec<Sample>, String> {
        let stop = Stop::After {
            ms: self.duration_ms,
        };
        let mut samples = Vec::new();
        for (workload, connections) in self.workloads.clone() {
            let (entry, plan) = point(workload, connections, stop)?;
            samples.extend(self.time(entry, plan)?);
        }
        Ok(samples)
    }

    /// One point. Rounds that are void or disturbed are done again, at most as many as there should be, and the latter
    /// while there is time.
    fn time(&mut self, entry: &Entry, plan: Plan) -> Result<Vec<Sample>, String> {
        let mut spare = self.rounds;
        let mut rounds = Vec::new();
        while rounds.len() < self.rounds {
            let round = self.round(entry, &plan, rounds.len());
            let again = match &round {
                Ok(round) => disturbed(round) && self.in_time(0.5),
                Err(_) => true,
            };
            if spare > 0 && again {
                spare -= 1;
                self.progress.again(ALL.len());
                self.told.notes.extend(round.err());
                continue;
            }
            rounds.push(round?);
        }
        let name = format!("{} x{}", entry.id, plan.connections);
        let again = self.rounds - spare;
        if again > 0 {
            self.told.notes.push(format!(
                "{name}: {again} rounds were done again, others had the cores"
            ));
        }
        let is_judged = |figure: &str| figure == "p50_us" || entry.is_main(plan.pace, figure);
        let figures = |disturbed_too: bool| -> Vec<Round> {
            let rounds = rounds
                .iter()
                .filter(|round| disturbed_too || !disturbed(round.as_slice()));
            rounds
                .map(|round| round.iter().map(|of| of.figures.clone()).collect())
                .collect()
        };
        let clean = figures(false);
        let too_few = 2 * clean.len() < self.rounds;
        let judged = if too_few { figures(true) } else { clean };
        let mut samples = samples(&name, &judged, is_judged);
        for sample in &mut samples {
            sample.disturbed = too_few;
        }
        let mut runs = Vec::new();
        for (number, round) in rounds.into_iter().enumerate() {
            for (side, measured) in round.into_iter().enumerate() {
                let order = if number % 2 == 0 { side } else { 2 - side };
                let place = Sides::place(side, entry.modes[0]);
                runs.push(measured.into_run(place, number, order)?);
            }
        }
        self.keep(entry, plan, runs);
        Ok(samples)
    }

    fn keep(&mut self, entry: &Entry, plan: Plan, runs: Vec<Run>) {
        self.told.points.push(Point {
            workload: entry.id.to_owned(),
            plan,
            runs,
            cannot: Vec::new(),
        });
    }

    /// All sides once, by turns from the front and from the back.
    fn round(
        &mut self,
        entry: &Entry,
        plan: &Plan,
        number: usize,
    ) -> Result<[Measured; 3], String> {
        let mut step = |side: usize| {
            let name = &self.sides.names[side];
            let (workload, number) = (entry.id, number + 1);
            self.progress
                .step(&format!("{workload} {plan}, round {number}, {name}"));
            let opponent = self.sides.opponent(side, entry.modes[0]);
            measure::run(self.bench, &opponent, entry, plan)
        };
        let [first, second, third] = ALL;
        Ok(if number.is_multiple_of(2) {
            [step(first)?, step(second)?, step(third)?]
        } else {
            let (of_third, of_second) = (step(third)?, step(second)?);
            [step(first)?, of_second, of_third]
        })
    }

    /// Instructions and system calls of an operation, of every workload.
    pub(super) fn counts(&mut self) -> Result<Vec<Sample>, String> {
        self.told.uncounted = Callgrind::check().err();
        let mut all: Vec<Vec<Round>> = vec![Vec::new(); self.workloads.len()];
        let mut reference = None;
        for round in 0..COUNTED_ROUNDS {
            if round > 0 && !self.in_time(1.0) {
                let note = format!("counted {round} times only, since time was up");
                self.told.notes.push(note);
                break;
            }
            let mut sides = vec![self.count(CANDIDATE, round)?];
            if self.against_build {
                sides.push(self.count(OTHER, round)?);
                sides.push(self.count(AGAIN, round)?);
            } else {
                // Nothing is held against these.
                sides.push(match reference.take() {
                    Some(counts) => counts,
                    None => self.count(OTHER, round)?,
                });
                reference = sides.last().cloned();
            }
            for (index, of) in all.iter_mut().enumerate() {
                of.push(sides.iter().map(|of: &Round| of[index].clone()).collect());
            }
        }
        let mut samples = Vec::new();
        for ((workload, _), rounds) in self.workloads.clone().into_iter().zip(all) {
            let (entry, plan) = counted(workload)?;
            let name = format!("{} x{}", entry.id, plan.connections);
            samples.extend(self::samples(&name, &rounds, |_| true));
            let runs = rounds.into_iter().enumerate().flat_map(|(round, sides)| {
                let run = move |(side, figures)| Run {
                    contender: Sides::place(side, entry.modes[0]),
                    round,
                    order: side,
                    figures,
                    latency: None,
                    steps: Vec::new(),
                    disturbed_percent: 0.0,
                };
                sides.into_iter().enumerate().map(run)
            });
            self.keep(entry, plan, runs.collect());
        }
        Ok(samples)
    }

    /// What each workload costs one side: under callgrind, and by the kernel's counters where it lets us have them.
    fn count(&mut self, side: usize, round: usize) -> Result<Round, String> {
        let name = &self.sides.names[side];
        self.progress
            .step(&format!("counting, round {}, {name}", round + 1));
        let none = vec![Counts::default(); self.workloads.len()];
        let callgrind = match self.told.uncounted {
            None => self.by_callgrind(side),
            Some(_) => None,
        };
        let callgrind = callgrind.unwrap_or_else(|| none.clone());
        // A void one once more, as with time.
        let kernel = self.by_kernel(side).or_else(|why| {
            self.told.notes.push(why);
            self.by_kernel(side)
        })?;
        let kernel = kernel.unwrap_or_else(|why| {
            let note = format!("the kernel counts nothing for us: {why}");
            if !self.told.notes.contains(&note) {
                self.told.notes.push(note);
            }
            none
        });
        let figures = callgrind.iter().zip(kernel).map(|(callgrind, kernel)| {
            let named = [
                ("instructions", callgrind.instructions),
                ("system_calls", callgrind.system_calls),
                ("kernel_instructions", kernel.instructions),
                ("kernel_system_calls", kernel.system_calls),
            ];
            let figure = |(name, value): (&str, Option<f64>)| Some(Figure::new(name, "1", value?));
            named.into_iter().filter_map(figure).collect()
        });
        Ok(figures.collect())
    }

    /// None where valgrind did not get through it, which is no fault of the program: it is tried again first.
    fn by_callgrind(&mut self, side: usize) -> Option<Vec<Counts>> {
        let (command, proxy) = (&self.sides.commands[side], self.sides.proxy);
        let core = self.bench.core.unwrap_or_default();
        for attempt in 1..=CALLGRIND_ATTEMPTS {
            let counted = Callgrind::start(command, proxy, core)
                .and_then(|mut callgrind| self.each(&mut callgrind));
            match counted {
                Ok(counts) => return Some(counts),
                Err(why) if attempt == CALLGRIND_ATTEMPTS || !self.in_time(1.0) => {
                    self.told.uncounted = Some(why);
                    return None;
                }
                Err(why) => self.told.notes.push(why),
            }
        }
        None
    }

    /// The inner error says why the kernel does not count here.
    fn by_kernel(&self, side: usize) -> Result<Result<Vec<Counts>, String>, String> {
        let (command, proxy) = (&self.sides.commands[side], self.sides.proxy);
        let peer = Peer::start(command, proxy, self.bench.core)?;
        match Kernel::attach(peer.pid()) {
            Ok(mut kernel) => self.each(&mut kernel).map(Ok),
            Err(why) => Ok(Err(why)),
        }
    }

    fn each(&self, counted: &mut impl Counted) -> Result<Vec<Counts>, String> {
        let workloads = self.workloads.iter();
        workloads
            .map(|(workload, _)| self.count_one(workload, counted))
            .collect()
    }

    fn count_one(&self, workload: &str, by: &mut impl Counted) -> Result<Counts, String> {
        let (entry, plan) = counted(workload)?;
        let post = Post {
            target: Target {
                proxy: self.sides.proxy,
                origin: self.bench.origin,
                mode: entry.modes[0],
                wait: self.bench.wait,
                has_origin: true,
            },
            cores: self.bench.load_cores.clone(),
        };
        let void = |error| format!("{workload}, counted, is void: {error}");
        let mut crew = Crew::muster(&plan, &post).map_err(void)?;
        crew.order(Order::Open).map_err(void)?;
        let counts = count::per_operation(by, COUNTED_OPERATIONS, |operations| {
            let (pace, stop) = (Pace::Closed, Stop::Count { operations });
            let done = crew.order(Order::Round { pace, stop });
            done.map(drop).map_err(void)
        })?;
        crew.order(Order::Close).map_err(void)?;
        Ok(counts)
    }
}

/// The workloads that were asked for.
fn chosen(names: &Names) -> Result<Vec<Workload>, String> {
    let Names::These(names) = names else {
        return Ok(WORKLOADS.to_vec());
    };
    let find = |name: &String| {
        let mut all = WORKLOADS.into_iter();
        let found = all.find(|(workload, _)| workload.eq_ignore_ascii_case(name));
        found.ok_or_else(|| format!("{name} is none of the workloads of the gate: W1, W3, W9"))
    };
    names.iter().map(find).collect()
}

/// What a workload is at so many connections.
fn point(workload: &str, connections: usize, stop: Stop) -> Result<(&'static Entry, Plan), String> {
    let entry = Entry::named(workload)?;
    let choice = Choice {
        connections: Some(connections),
        payload: None,
        pace: Pace::Closed,
        stop,
    };
    let plan = entry.plans(&choice).into_iter().next();
    Ok((entry, plan.ok_or("a workload of the gate has no plan")?))
}

fn counted(workload: &str) -> Result<(&'static Entry, Plan), String> {
    let operations = COUNTED_OPERATIONS;
    point(workload, 1, Stop::Count { operations })
}

fn disturbed(round: &[Measured]) -> bool {
    let mut all = round.iter();
    all.any(|measured| measured.disturbed_percent > DISTURBED_PERCENT)
}

/// Every figure that all sides have in all rounds and that is asked for.
fn samples(point: &str, rounds: &[Round], asked: impl Fn(&str) -> bool) -> Vec<Sample> {
    let value = |figures: &[Figure], name: &str| {
        let figure = figures.iter().find(|figure| figure.name == name);
        figure.map(|figure| figure.value)
    };
    let first = rounds.first().and_then(|round| round.first());
    let sample = |figure: &Figure| {
        let rounds = rounds
            .iter()
            .map(|round| round.iter().map(|of| value(of, &figure.name)).collect());
        Some(Sample {
            point: point.to_owned(),
            figure: figure.name.clone(),
            unit: figure.unit.clone(),
            rounds: rounds.collect::<Option<_>>()?,
            disturbed: false,
        })
    };
    first
        .into_iter()
        .flatten()
        .filter(|figure| asked(&figure.name))
        .filter_map(sample)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn samples_are_the_figures_that_all_have() {
        let figures = |cpu: f64, more: Option<f64>| {
            let more = more.map(|value| Figure::new("p50_us", "us", value));
            let mut all = vec![Figure::new("cpu", "us", cpu)];
            all.extend(more);
            all
        };
        let rounds = [
            vec![figures(1.0, Some(9.0)), figures(2.0, Some(9.0))],
            vec![figures(4.0, Some(9.0)), figures(5.0, None)],
        ];
        let samples = samples("W1 x8", &rounds, |_| true);
        assert_eq!(samples.len(), 1, "one side lacks the other figure");
        assert_eq!(samples[0].figure, "cpu");
        assert_eq!(samples[0].rounds, [[1.0, 2.0], [4.0, 5.0]]);
        assert!(self::samples("W1 x8", &rounds, |name| name == "none").is_empty());
        assert!(self::samples("W1 x8", &[], |_| true).is_empty());
    }

    #[test]
    fn all_points_of_the_gate_exist() {
        for (workload, connections) in WORKLOADS {
            let (entry, plan) = point(workload, connections, Stop::After { ms: 1 }).unwrap();
            plan.check(entry.modes[0]).unwrap();
            assert_eq!(counted(workload).unwrap().1.connections, 1);
        }
        let typed = |name: &str| chosen(&Names::These(vec![name.to_owned()]));
        assert_eq!(typed("w9").unwrap(), [("W9", 64)]);
        assert!(typed("W2").is_err());
    }
}
