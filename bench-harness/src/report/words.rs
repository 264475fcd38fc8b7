//! Who is first in what, in words, and above all where Ringway is not. A difference counts when the middle half of the
//! ratios, round by round, lies on one side of 1; otherwise the text says that the spread hides it.

use crate::report::column::{Better, Column, Values};
use crate::report::units::{self, quantity};
use crate::report::view::{Cell, Line, QUANTILES};
use crate::spread::Spread;

/// How the home contender stands in one figure of one cell.
#[derive(Debug)]
pub(crate) struct Standing {
    /// The figure in words.
    pub(crate) figure: String,
    /// Whether this is what the workload is for.
    pub(crate) main: bool,
    unit: String,
    home: String,
    /// What the tables show: a median over the rounds, or a percentile of all rounds.
    home_value: f64,
    /// The best of the others.
    best: String,
    best_value: f64,
    /// Of the best of the others over home, within rounds where both were measured in the same ones.
    ratio: Option<Spread>,
    rounds: usize,
    /// Place of home, from 1, of so many.
    place: usize,
    of: usize,
}

/// How sure the difference is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Outcome {
    First,
    /// Somebody is before or behind it, by less than the spread.
    Even,
    Behind,
}

/// The standings of contender `home` of file `source`: the main figure first, then CPU and percentiles.
pub(crate) fn standings(cell: &Cell, source: usize, home: usize) -> Vec<Standing> {
    let mut standings = Vec::new();
    let mut of_column = |column: &Column| {
        let shown = |line: &Line| {
            let values = line.values(column)?;
            Some((values.clone(), values.median()?))
        };
        standings.extend(standing(cell, source, home, column, shown));
    };
    cell.main.iter().for_each(&mut of_column);
    let columns = cell.columns();
    let cpu = columns
        .iter()
        .filter(|column| column.is_cpu() && cell.main.as_ref() != Some(column));
    cpu.for_each(&mut of_column);
    for (index, (name, quantile)) in QUANTILES.iter().enumerate() {
        let column = Column {
            name: (*name).to_owned(),
            unit: "us".to_owned(),
        };
        let is_main = |main: &Column| units::figure(&main.name) == *name;
        // The longest of all is a single event: it is shown, and nothing is concluded from it.
        if cell.main.as_ref().is_some_and(is_main) || *quantile >= 1.0 {
            continue;
        }
        let shown = |line: &Line| {
            let merged = line.latencies.as_ref()?;
            let values = line.quantiles.get(index)?;
            Some((values.clone(), merged.at_quantile_us(*quantile)))
        };
        standings.extend(standing(cell, source, home, &column, shown));
    }
    standings
}

/// `shown` is what a line has in each round, and what the tables show of it.
fn standing(
    cell: &Cell,
    source: usize,
    home: usize,
    column: &Column,
    shown: impl Fn(&Line) -> Option<(Values, f64)>,
) -> Option<Standing> {
    let lower = match column.better() {
        Better::Lower => true,
        Better::Higher => false,
        Better::Neither => return None,
    };
    let contenders = cell
        .lines
        .iter()
        .filter(|line| line.source == source && !line.is_direct());
    let mut all: Vec<(&Line, Values, f64)> = contenders
        .filter_map(|line| {
            let (values, value) = shown(line)?;
            Some((line, values, value))
        })
        .collect();
    all.sort_by(|a, b| match lower {
        true => a.2.total_cmp(&b.2),
        false => b.2.total_cmp(&a.2),
    });
    let place = all.iter().position(|(line, ..)| line.contender == home)?;
    let (home_line, home_values, home_value) = all.get(place)?;
    let (best, best_values, best_value) = all.iter().find(|(line, ..)| line.contender != home)?;
    Some(Standing {
        figure: units::figure(&column.name),
        main: cell.main.as_ref() == Some(column),
        unit: column.unit.clone(),
        home: home_line.name.clone(),
        home_value: *home_value,
        best: best.name.clone(),
        best_value: *best_value,
        ratio: best_values.ratio(home_values),
        rounds: best_values.common_rounds(home_values),
        place: place + 1,
        of: all.len(),
    })
}

impl Standing {
    pub(crate) fn outcome(&self) -> Outcome {
        let around = |ratio: Spread| ratio.lower_quartile <= 1.0 && 1.0 <= ratio.upper_quartile;
        match self.ratio {
            Some(ratio) if around(ratio) => Outcome::Even,
            _ if self.place == 1 => Outcome::First,
            _ => Outcome::Behind,
        }
    }

    /// One sentence.
    pub(crate) fn sentence(&self) -> String {
        let Self {
            figure, home, best, ..
        } = self;
        let (ours, theirs) = (
            quantity(&self.unit, self.home_value),
            quantity(&self.unit, self.best_value),
        );
        let difference = self.difference();
        match (self.outcome(), self.place) {
            (Outcome::First, _) => {
                format!(
                    "{home} is first in {figure}: {ours}; next is {best} with {theirs}{difference}."
                )
            }
            (Outcome::Even, 1) => format!(
                "{home} is first in {figure} with {ours}, but {best} with {theirs} is within the spread{difference}."
            ),
            (Outcome::Even, _) => format!(
                "{home} is not first in {figure}: {best} has {theirs}, {home} {ours}, which is within the \
                 spread{difference}."
            ),
            (Outcome::Behind, place) => {
                let of = self.of;
                format!(
                    "{home} is not first in {figure}: {best} has {theirs}, {home} {ours}{difference}; \
                     place {place} of {of}."
                )
            }
        }
    }

    /// The ratio, in parentheses.
    fn difference(&self) -> String {
        let Some(ratio) = self.ratio else {
            return String::new();
        };
        let median = units::ratio(ratio.median);
        let percent = (ratio.median - 1.0) * 100.0;
        let side = if percent < 0.0 { "less" } else { "more" };
        let percent = match percent.abs() {
            percent if percent >= 100.0 => format!("{median} times as much"),
            percent if percent < 0.95 => format!("{percent:.1} % {side}"),
            percent => format!("{percent:.0} % {side}"),
        };
        match self.rounds {
            0 | 1 => format!(" ({percent}, one round)"),
            rounds => {
                let (lower, upper) = (
                    units::ratio(ratio.lower_quartile),
                    units::ratio(ratio.upper_quartile),
                );
                format!(
                    " ({percent}; ratio {median}, quartiles {lower} to {upper}, {rounds} rounds)"
                )
            }
        }
    }

    /// What the overview says of a figure that is not the main one.
    pub(crate) fn short(&self) -> String {
        let (ours, theirs) = (
            quantity(&self.unit, self.home_value),
            quantity(&self.unit, self.best_value),
        );
        format!(
            "{} ({} {theirs}, {} {ours})",
            self.figure, self.best, self.home
        )
    }
}

/// The sentences of one cell: one for its main figure, one for all others in which home is behind.
pub(crate) fn sentences(standings: &[Standing]) -> Vec<String> {
    let main = standings.iter().filter(|standing| standing.main);
    let mut sentences: Vec<String> = main.map(Standing::sentence).collect();
    let behind: Vec<&Standing> = standings
        .iter()
        .filter(|standing| !standing.main && standing.outcome() == Outcome::Behind)
        .collect();
    if let Some(first) = behind.first() {
        let list: Vec<String> = behind.iter().map(|standing| standing.short()).collect();
        let either = match standings.iter().find(|standing| standing.main) {
            Some(main) if main.place > 1 => "Nor is it first in",
            _ => "It is not first in",
        };
        let either = match sentences.is_empty() {
            true => format!("{} is not first in", first.home),
            false => either.to_owned(),
        };
        sentences.push(format!("{either} {}.", list.join(", ")));
    }
    sentences
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::file::Source;
    use crate::report::sample;
    use crate::report::view;
    use crate::result::model::{Figure, ResultFile};

    const CPU: &str = "cpu_us_per_connection";

    /// One point without latencies, of which each contender has these values, round by round.
    fn result(unit: &str, name: &str, contenders: &[&[f64]]) -> ResultFile {
        let mut result = sample::compare(contenders.len());
        result.points.truncate(1);
        let runs = &mut result.points[0].runs;
        let template = runs[0].clone();
        runs.clear();
        for (contender, values) in contenders.iter().enumerate() {
            for (round, value) in values.iter().enumerate() {
                let mut run = template.clone();
                (run.contender, run.round, run.latency) = (contender, round, None);
                run.figures = vec![Figure::new(name, unit, *value).main()];
                runs.push(run);
            }
        }
        result
    }

    fn said(unit: &str, name: &str, contenders: &[&[f64]]) -> Vec<String> {
        let result = result(unit, name, contenders);
        let cells = view::cells(&[Source::of("a".to_owned(), result).unwrap()]);
        sentences(&standings(&cells[0], 0, 0))
    }

    #[test]
    fn first_by_more_than_the_spread() {
        let said = said("us", CPU, &[&[10.0, 10.2, 9.8], &[12.0, 12.3, 11.9]]);
        assert_eq!(
            said,
            [
                "ringway is first in CPU per connection: 10.0 µs; next is haproxy with 12.0 µs \
              (21 % more; ratio 1.21, quartiles 1.20 to 1.21, 3 rounds)."
            ]
        );
    }

    #[test]
    fn rounds_that_only_one_was_measured_in_are_not_counted() {
        let said = said(
            "us",
            CPU,
            &[&[10.0, 10.2, 9.8, 10.0, 10.1], &[12.0, 12.3, 11.9]],
        );
        assert!(said[0].contains(", 3 rounds)"), "{said:?}");
    }

    #[test]
    fn behind_by_more_than_the_spread() {
        let said = said("us", CPU, &[&[12.0, 12.4], &[6.0, 6.2], &[11.0, 11.5]]);
        assert_eq!(
            said,
            [
                "ringway is not first in CPU per connection: haproxy has 6.10 µs, ringway 12.2 µs \
              (50 % less; ratio 0.50, quartiles 0.50 to 0.50, 2 rounds); place 3 of 3."
            ]
        );
    }

    #[test]
    fn what_the_spread_hides_is_said_to_be_hidden() {
        let behind = said("us", CPU, &[&[10.0, 12.0], &[11.0, 10.0]]);
        assert_eq!(behind.len(), 1);
        assert!(
            behind[0].contains("is not first in") && behind[0].contains("within the spread"),
            "{behind:?}"
        );
        let ahead = said("us", CPU, &[&[11.0, 10.0], &[10.0, 12.0]]);
        assert!(
            ahead[0].contains("is first in") && ahead[0].contains("within the spread"),
            "{ahead:?}"
        );
        let equal = said("us", CPU, &[&[10.0], &[10.0]]);
        assert!(
            equal[0].contains("within the spread (0.0 % more, one round)"),
            "{equal:?}"
        );
    }

    #[test]
    fn of_a_rate_more_is_better_and_of_a_share_nothing_is() {
        let first = said("1/s", "connections_per_s", &[&[30_000.0], &[10_000.0]]);
        assert_eq!(
            first,
            [
                "ringway is first in connections per second: 30,000 /s; next is haproxy with 10,000 /s \
              (67 % less, one round)."
            ]
        );
        let third = said(
            "1/s",
            "connections_per_s",
            &[&[10_000.0], &[30_000.0], &[20_000.0]],
        );
        assert!(
            third[0].ends_with("(3.00 times as much, one round); place 3 of 3."),
            "{third:?}"
        );
        assert!(said("%", "proxy_busy", &[&[1.0], &[2.0]]).is_empty());
    }

    #[test]
    fn who_is_alone_or_has_no_such_figure_is_not_ranked() {
        assert!(said("us", CPU, &[&[10.0]]).is_empty());
        assert!(said("us", CPU, &[&[], &[10.0]]).is_empty());
        let zero = said("us", CPU, &[&[0.0], &[1.0]]);
        assert_eq!(
            zero,
            ["ringway is first in CPU per connection: 0 µs; next is haproxy with 1.00 µs."]
        );
    }
}
