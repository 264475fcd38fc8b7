//! The command `pair`: pairs of runs against two programs, and what they say of each other.

use crate::args;
use crate::catalogue::Entry;
use crate::host;
use crate::measure::{self, Bench, Measured, Opponent};
use crate::plan::Plan;
use crate::progress::Progress;
use crate::report;
use crate::result::file;
use crate::result::model::{Contender, Figure, Kind, Point, ResultFile, Run, SCHEMA_VERSION};
use crate::run;
use crate::spread::Spread;

/// What A is called where it is held against itself.
const AGAIN: &str = "the same again: what differs here is noise";

/// Places among the contenders of a result file.
const A_AND_B: [usize; 2] = [0, 1];
const A_AND_A: [usize; 2] = [0, 2];

/// The runs of one point, pair by pair: of A and of B.
#[derive(Debug)]
pub(crate) struct Comparison {
    pub(crate) plan: Plan,
    pub(crate) pairs: Vec<[Measured; 2]>,
}

/// One figure over all pairs.
#[derive(Debug)]
pub(crate) struct Row {
    pub(crate) name: String,
    pub(crate) unit: String,
    pub(crate) main: bool,
    pub(crate) a: Spread,
    pub(crate) b: Spread,
    /// Of A over B, pair by pair; none where B was zero.
    pub(crate) ratio: Option<Spread>,
}

pub(crate) fn run(typed: &args::Pair) -> Result<(), String> {
    let (bench, entry) = (typed.bench(), typed.workload);
    let [a, b] = typed.opponents();
    let mut points = Vec::new();
    for plan in typed.plans() {
        let mut compare = |sides: [&Opponent; 2], names: [&str; 2], contenders| {
            let expected = bench.expected(&plan);
            let mut progress = Progress::new(2 * typed.pairs).expecting(expected);
            let comparison = pairs(&bench, sides, (entry, plan), typed.pairs, &mut progress)?;
            drop(progress);
            report::comparison(entry.id, names, &comparison).map_err(|error| error.to_string())?;
            // No round is in both comparisons of A: what was measured apart has no ratio.
            let first = if contenders == A_AND_B {
                0
            } else {
                typed.pairs
            };
            points.push(Point {
                workload: entry.id.to_owned(),
                plan,
                runs: comparison.into_runs(contenders, first)?,
                cannot: Vec::new(),
            });
            Ok::<_, String>(())
        };
        compare([&a, &b], [&typed.a, &typed.b], A_AND_B)?;
        if typed.noise {
            compare([&a, &a], [&typed.a, AGAIN], A_AND_A)?;
        }
    }
    let Some(path) = &typed.out else {
        return Ok(());
    };
    let mut contenders = contenders([&a, &b].map(|of| run::contender(of, &bench)));
    contenders.truncate(if typed.noise { 3 } else { 2 });
    let result = ResultFile {
        schema_version: SCHEMA_VERSION,
        kind: Kind::Compare,
        host: host::facts(),
        setting: run::setting(&bench, typed.duration, typed.pairs),
        contenders,
        points,
        verdicts: Vec::new(),
    };
    file::write(path, &result)
}

/// A, B, and A again: by different names also where they are the same program.
fn contenders([mut a, mut b]: [Contender; 2]) -> Vec<Contender> {
    if a.name == b.name {
        a.name.push_str(" (A)");
        b.name.push_str(" (B)");
    }
    let mut again = a.clone();
    again.name.push_str(" (again)");
    again.notes.push(AGAIN.to_owned());
    vec![a, b, again]
}

/// Pairs of runs in the order A B B A A B B A, so that a drift of the machine meets both alike.
fn pairs(
    bench: &Bench,
    [a, b]: [&Opponent; 2],
    (entry, plan): (&Entry, Plan),
    count: usize,
    progress: &mut Progress,
) -> Result<Comparison, String> {
    let mut pairs = Vec::with_capacity(count);
    for pair in 0..count {
        let mut step = |name: &str, opponent| {
            let (workload, number) = (entry.id, pair + 1);
            progress.step(&format!(
                "{workload} {plan}, pair {number} of {count}, {name}"
            ));
            measure::run(bench, opponent, entry, &plan)
        };
        pairs.push(if pair % 2 == 0 {
            let of_a = step("A", a)?;
            [of_a, step("B", b)?]
        } else {
            let of_b = step("B", b)?;
            [step("A", a)?, of_b]
        });
    }
    Ok(Comparison { plan, pairs })
}

impl Comparison {
    /// Every figure that both sides have, in the order they were measured.
    pub(crate) fn rows(&self) -> Vec<Row> {
        let Some([first, _]) = self.pairs.first() else {
            return Vec::new();
        };
        let figures = first.figures.iter();
        figures.filter_map(|figure| self.row(figure)).collect()
    }

    fn row(&self, figure: &Figure) -> Option<Row> {
        let value = |measured: &Measured| {
            let mut figures = measured.figures.iter();
            let same = figures.find(|other| other.name == figure.name);
            same.map(|same| same.value)
        };
        let values = self.pairs.iter();
        let values: Vec<(f64, f64)> = values
            .map(|[a, b]| value(a).zip(value(b)))
            .collect::<Option<_>>()?;
        let ratios = values.iter().map(|(a, b)| a / b);
        Some(Row {
            name: figure.name.clone(),
            unit: figure.unit.clone(),
            main: figure.main,
            a: Spread::of(values.iter().map(|(a, _)| *a))?,
            b: Spread::of(values.iter().map(|(_, b)| *b))?,
            ratio: Spread::of(ratios).filter(|ratio| ratio.max.is_finite()),
        })
    }

    /// For the result file: a round is a pair, and `first` the number of the first one.
    fn into_runs(self, contenders: [usize; 2], first: usize) -> Result<Vec<Run>, String> {
        let mut runs = Vec::new();
        for (round, pair) in self.pairs.into_iter().enumerate() {
            for (side, measured) in pair.into_iter().enumerate() {
                let order = (side + round) % 2;
                runs.push(measured.into_run(contenders[side], first + round, order)?);
            }
        }
        Ok(runs)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    use crate::load::Mode;
    use crate::plan::{Pace, Scenario, Stop};

    fn measured(cpu: f64, rate: f64) -> Measured {
        Measured {
            figures: vec![
                Figure::new("cpu", "us", cpu).main(),
                Figure::new("rate", "1/s", rate),
            ],
            latencies: None,
            steps: Vec::new(),
            disturbed_percent: 0.0,
        }
    }

    #[test]
    fn ratios_are_taken_within_pairs_not_between_medians() {
        let comparison = Comparison {
            plan: Plan {
                scenario: Scenario::Echo,
                pace: Pace::Closed,
                stop: Stop::After { ms: 1 },
                connections: 1,
                payload: 1,
            },
            pairs: vec![
                [measured(1.0, 0.0), measured(2.0, 0.0)],
                [measured(9.0, 0.0), measured(10.0, 0.0)],
                [measured(4.0, 0.0), measured(4.0, 0.0)],
            ],
        };
        let rows = comparison.rows();
        assert_eq!(rows.len(), 2);
        assert!(rows[0].main && !rows[1].main);
        assert_eq!((rows[0].a.median, rows[0].b.median), (4.0, 4.0));
        assert_eq!(rows[0].ratio.unwrap().median, 0.9);
        assert!(rows[1].ratio.is_none(), "a ratio over zero is none");
        let runs = comparison.into_runs(A_AND_A, 3).unwrap();
        let places = runs.iter().map(|run| (run.contender, run.round, run.order));
        let expected = [
            (0, 3, 0),
            (2, 3, 1),
            (0, 4, 1),
            (2, 4, 0),
            (0, 5, 0),
            (2, 5, 1),
        ];
        assert_eq!(places.collect::<Vec<_>>(), expected);
    }

    #[test]
    fn two_settings_of_one_program_have_two_names() {
        let contender = |name: &str| Contender {
            name: name.to_owned(),
            version: None,
            command: None,
            mode: Mode::Connect,
            address: "127.0.0.1:1".parse().unwrap(),
            notes: Vec::new(),
            capabilities: None,
        };
        let names = |a, b| {
            contenders([contender(a), contender(b)])
                .into_iter()
                .map(|of| of.name)
        };
        let same: Vec<String> = names("ringway", "ringway").collect();
        assert_eq!(same, ["ringway (A)", "ringway (B)", "ringway (A) (again)"]);
        let others: Vec<String> = names("ringway", "haproxy").collect();
        assert_eq!(others, ["ringway", "haproxy", "ringway (again)"]);
    }
}
