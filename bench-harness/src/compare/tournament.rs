//! The order of a comparison: every contender once in each round of each point, in an order drawn anew for each round,
//! so that a drift of the machine, or who ran before, meets all alike. Who fails is marked and the rest goes on.
//!
//! How a single run is made is not known here.

use crate::load::random::Random;
use crate::plan::Plan;
use crate::result::model::{Cannot, Contender, Point, Run};

/// Void runs of one contender at one point after which it is not run there again: such a run may take 10 s to fail.
const VOID_MAX: usize = 2;

/// Contenders of the result file, each once.
#[derive(Debug, Default)]
pub(crate) struct Register(pub(crate) Vec<Contender>);

impl Register {
    /// The place of this contender: known if it is the same program, spoken to in the same way, with the same to be said
    /// about it.
    pub(crate) fn place(&mut self, contender: Contender) -> usize {
        let key = |contender: &Contender| {
            let Contender {
                name,
                command,
                mode,
                notes,
                ..
            } = contender;
            (name.clone(), command.clone(), *mode, notes.clone())
        };
        let same = |other: &Contender| key(other) == key(&contender);
        self.0.iter().position(same).unwrap_or_else(|| {
            self.0.push(contender);
            self.0.len() - 1
        })
    }

    /// A place under this name, whichever: for who cannot do something, it does not matter how it does the rest.
    pub(crate) fn idle(&mut self, name: &str, otherwise: impl FnOnce() -> Contender) -> usize {
        let known = self.0.iter().position(|contender| contender.name == name);
        known.unwrap_or_else(|| self.place(otherwise()))
    }
}

/// Runs all `contenders` at one point. `measure` is given a contender, the round, and the place within it.
pub(crate) fn point(
    workload: &str,
    plan: Plan,
    contenders: &[usize],
    rounds: usize,
    random: &mut Random,
    mut measure: impl FnMut(usize, usize, usize) -> Result<Run, String>,
) -> Point {
    let mut runs = Vec::new();
    let mut voids: Vec<(usize, String)> = Vec::new();
    let void_count = |voids: &[(usize, String)], contender| {
        voids
            .iter()
            .filter(|(other, _)| *other == contender)
            .count()
    };
    for round in 0..rounds {
        for (order, contender) in shuffled(contenders, random).into_iter().enumerate() {
            if void_count(&voids, contender) >= VOID_MAX {
                continue;
            }
            match measure(contender, round, order) {
                Ok(run) => runs.push(run),
                Err(why) => voids.push((contender, why)),
            }
        }
    }
    let cannot = contenders.iter().filter_map(|&contender| {
        let (_, why) = voids.iter().find(|(other, _)| *other == contender)?;
        let void = void_count(&voids, contender);
        let all = void
            + runs
                .iter()
                .filter(|run: &&Run| run.contender == contender)
                .count();
        let why = format!("{void} of {all} runs void: {why}");
        Some(Cannot { contender, why })
    });
    Point {
        workload: workload.to_owned(),
        plan,
        cannot: cannot.collect(),
        runs,
    }
}

/// Every order is as likely as every other (Fisher and Yates).
fn shuffled(contenders: &[usize], random: &mut Random) -> Vec<usize> {
    let mut order = contenders.to_vec();
    for last in (1..order.len()).rev() {
        let chosen = (random.next() % (last as u64 + 1)) as usize; // of a few: the bias is far below anything
        order.swap(last, chosen);
    }
    order
}

#[cfg(test)]
mod tests {
    use super::*;

    use crate::load::Mode;
    use crate::plan::{Pace, Scenario, Stop};
    use crate::result::model::Figure;

    const PLAN: Plan = Plan {
        scenario: Scenario::Get,
        pace: Pace::Closed,
        stop: Stop::After { ms: 1 },
        connections: 1,
        payload: 2,
    };

    fn run(contender: usize, round: usize, order: usize) -> Run {
        Run {
            contender,
            round,
            order,
            figures: vec![Figure::new("cpu", "us", 1.0).main()],
            latency: None,
            steps: Vec::new(),
            disturbed_percent: 0.0,
        }
    }

    #[test]
    fn everybody_runs_once_in_each_round_in_an_order_that_differs_and_comes_again_with_the_seed() {
        let orders = |seed| {
            let mut orders = Vec::new();
            let measure = |contender, round, order| {
                orders.push((round, contender));
                Ok(run(contender, round, order))
            };
            let point = point(
                "W3",
                PLAN,
                &[0, 1, 2, 3, 4],
                8,
                &mut Random::new(seed),
                measure,
            );
            assert!(point.cannot.is_empty());
            assert_eq!(point.runs.len(), 40);
            for (run, measured) in point.runs.iter().zip(&orders) {
                assert_eq!((run.round, run.contender), *measured);
            }
            for round in orders.chunks(5) {
                let mut sorted = round.to_vec();
                sorted.sort_unstable();
                assert!(sorted.iter().map(|(_, contender)| *contender).eq(0..5));
            }
            orders
        };
        let first = orders(1);
        assert_eq!(first, orders(1));
        assert_ne!(first, orders(2));
        let round = |count: usize| {
            first[5 * count..][..5]
                .iter()
                .map(|(_, contender)| contender)
        };
        assert!((1..8).any(|count| !round(count).eq(round(0))));
    }

    #[test]
    fn who_fails_is_marked_with_its_reason_and_the_others_go_on() {
        let mut asked = Vec::new();
        let measure = |contender: usize, round: usize, order: usize| {
            asked.push((contender, round));
            match (contender, round) {
                (1, _) => Err("it fell over".to_owned()),
                (2, 0) => Err("it was late".to_owned()),
                _ => Ok(run(contender, round, order)),
            }
        };
        let point = point("W3", PLAN, &[0, 1, 2], 4, &mut Random::new(3), measure);
        let runs = |contender| {
            point
                .runs
                .iter()
                .filter(|run| run.contender == contender)
                .count()
        };
        assert_eq!([runs(0), runs(1), runs(2)], [4, 0, 3]);
        let why: Vec<(usize, &str)> = point
            .cannot
            .iter()
            .map(|cannot| (cannot.contender, cannot.why.as_str()))
            .collect();
        assert_eq!(
            why,
            [
                (1, "2 of 2 runs void: it fell over"),
                (2, "1 of 4 runs void: it was late")
            ]
        );
        let dead = asked.iter().filter(|(contender, _)| *contender == 1);
        assert_eq!(dead.count(), VOID_MAX, "it is given up");
    }

    #[test]
    fn a_program_that_is_spoken_to_in_two_ways_is_two_contenders() {
        let contender = |mode, command: &str| Contender {
            name: "haproxy".to_owned(),
            version: None,
            command: Some(command.to_owned()),
            mode,
            address: "127.0.0.1:3128".parse().unwrap(),
            notes: Vec::new(),
            capabilities: None,
        };
        let mut register = Register::default();
        let tcp = register.place(contender(Mode::Tcp, "a"));
        assert_ne!(register.place(contender(Mode::Tcp, "b")), tcp);
        assert_ne!(register.place(contender(Mode::Connect, "a")), tcp);
        assert_eq!(register.place(contender(Mode::Tcp, "a")), tcp);
        let note = "by CONNECT".to_owned();
        let noted = Contender {
            notes: vec![note.clone()],
            ..contender(Mode::Tcp, "a")
        };
        let noted = register.place(noted);
        assert_eq!(register.0[noted].notes, [note]);
        assert_eq!(register.0.len(), 4);
    }
}
