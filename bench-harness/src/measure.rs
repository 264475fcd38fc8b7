//! From a command line to figures: one run against one peer, and pairs of runs against two.
//!
//! In a pair both programs are started afresh for every run, never kept side by side: memory figures need a process
//! without a past, an unloaded rival that looks at its timers would still take the core, and where a program happens
//! to lie in memory is then part of the spread and not of the result.

use std::net::SocketAddr;

use crate::figures::Figure;
use crate::load::{Mode, Target, Wait};
use crate::peer::Peer;
use crate::process::Process;
use crate::progress::Progress;
use crate::spread::Spread;
use crate::workload::{self, Case, Timing, Workload};

/// What all runs of one call have in common.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Setting {
    pub(crate) workload: Workload,
    pub(crate) origin: SocketAddr,
    pub(crate) timing: Timing,
    pub(crate) wait: Wait,
    /// Where started programs are pinned.
    pub(crate) core: Option<usize>,
}

/// What a run goes against.
#[derive(Debug, Clone)]
pub(crate) struct Contender {
    pub(crate) proxy: SocketAddr,
    pub(crate) mode: Mode,
    pub(crate) from: From,
}

/// Where a contender comes from.
#[derive(Debug, Clone)]
pub(crate) enum From {
    /// It is started for the run.
    Command(String),
    /// It runs already, as this process if that is known.
    Running(Option<u32>),
}

/// The figures of pairs of runs.
#[derive(Debug)]
pub(crate) struct Comparison {
    pub(crate) case: Case,
    /// The figures of A and of B, pair by pair.
    pub(crate) pairs: Vec<[Vec<Figure>; 2]>,
}

/// One figure over all pairs.
#[derive(Debug)]
pub(crate) struct Row {
    pub(crate) name: String,
    pub(crate) unit: &'static str,
    pub(crate) main: bool,
    pub(crate) a: Spread,
    pub(crate) b: Spread,
    /// Of A over B, pair by pair; none where B was zero.
    pub(crate) ratio: Option<Spread>,
}

/// One run.
pub(crate) fn run(
    setting: &Setting,
    contender: &Contender,
    case: Case,
) -> Result<Vec<Figure>, String> {
    let mut peer = match &contender.from {
        From::Command(command) => Some(Peer::start(command, contender.proxy, setting.core)?),
        From::Running(_) => None,
    };
    let target = Target {
        proxy: contender.proxy,
        origin: setting.origin,
        mode: contender.mode,
        wait: setting.wait,
    };
    let process = match (&peer, &contender.from) {
        (Some(peer), _) => Process::family(peer.pid()).map(Some),
        (None, From::Running(pid)) => pid.map(Process::alone).transpose(),
        (None, From::Command(_)) => Ok(None),
    };
    let figures = process.and_then(|process| {
        let (workload, timing) = (setting.workload, setting.timing);
        workload::run(workload, case, target, timing, process.as_ref())
    });
    let workload = setting.workload.name();
    let what = |error| format!("{workload} {case} is void: {error}");
    match (figures, &mut peer) {
        (Ok(figures), _) => Ok(figures),
        (Err(error), None) => Err(what(error.to_string())),
        (Err(error), Some(peer)) => {
            let status = peer
                .ended()
                .map(|status| format!(" (and it ended, {status})"));
            let error = format!("{error}{}", status.unwrap_or_default());
            Err(peer.failed(&what(error)))
        }
    }
}

/// Pairs of runs in the order A B B A A B B A, so that a drift of the machine meets both alike.
pub(crate) fn pairs(
    setting: &Setting,
    [a, b]: [&Contender; 2],
    case: Case,
    count: usize,
    progress: &mut Progress,
) -> Result<Comparison, String> {
    let mut pairs = Vec::with_capacity(count);
    for pair in 0..count {
        let mut step = |name: &str, contender| {
            let workload = setting.workload.name();
            progress.step(&format!(
                "{workload} {case}, pair {} of {count}, {name}",
                pair + 1
            ));
            run(setting, contender, case)
        };
        pairs.push(if pair % 2 == 0 {
            let of_a = step("A", a)?;
            [of_a, step("B", b)?]
        } else {
            let of_b = step("B", b)?;
            [step("A", a)?, of_b]
        });
    }
    Ok(Comparison { case, pairs })
}

impl Comparison {
    /// Every figure that both sides have, in the order they were measured.
    pub(crate) fn rows(&self) -> Vec<Row> {
        let Some([first, _]) = self.pairs.first() else {
            return Vec::new();
        };
        first.iter().filter_map(|figure| self.row(figure)).collect()
    }

    fn row(&self, figure: &Figure) -> Option<Row> {
        let value = |figures: &[Figure]| {
            let same = figures.iter().find(|other| other.name == figure.name);
            same.map(|same| same.value)
        };
        let values = self.pairs.iter();
        let values: Vec<(f64, f64)> = values
            .map(|[a, b]| value(a).zip(value(b)))
            .collect::<Option<_>>()?;
        let ratios = values.iter().map(|(a, b)| a / b);
        Some(Row {
            name: figure.name.clone(),
            unit: figure.unit,
            main: figure.main,
            a: Spread::of(values.iter().map(|(a, _)| *a))?,
            b: Spread::of(values.iter().map(|(_, b)| *b))?,
            ratio: Spread::of(ratios).filter(|ratio| ratio.max.is_finite()),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn figures(cpu: f64, rate: f64) -> Vec<Figure> {
        vec![
            Figure::new("cpu", "us", cpu).main(),
            Figure::new("rate", "1/s", rate),
        ]
    }

    #[test]
    fn ratios_are_taken_within_pairs_not_between_medians() {
        let comparison = Comparison {
            case: Case {
                connections: 1,
                bytes: 1,
            },
            pairs: vec![
                [figures(1.0, 0.0), figures(2.0, 0.0)],
                [figures(9.0, 0.0), figures(10.0, 0.0)],
                [figures(4.0, 0.0), figures(4.0, 0.0)],
            ],
        };
        let rows = comparison.rows();
        assert_eq!(rows.len(), 2);
        assert!(rows[0].main && !rows[1].main);
        assert_eq!((rows[0].a.median, rows[0].b.median), (4.0, 4.0));
        assert_eq!(rows[0].ratio.unwrap().median, 0.9);
        assert!(rows[1].ratio.is_none(), "a ratio over zero is none");
    }
}
