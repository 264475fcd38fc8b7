//! The command `gate`: whether a build of Ringway costs more than another one, or more than it did when its counts were
//! written down, beside a reference relay.
//!
//! Time is taken in rounds: candidate, other, the other again, and the next round in the opposite order, so that a
//! drift meets all alike. The ratio of candidate to other is judged; that of the other to itself is what chance alone
//! makes of it. Instructions and system calls are counted over one connection (`count`), where nothing is left to
//! chance.
//!
//! `sides` are who is measured, `ports` where they listen, `trial` measures, `judge` decides, `stored` keeps counts, `table` says it.

mod judge;
mod ports;
mod sides;
mod stored;
mod table;
mod trial;

use std::path::Path;

use crate::args::Gate;
use crate::gate::judge::Row;
use crate::gate::sides::Sides;
use crate::gate::stored::Stored;
use crate::gate::trial::{Ended, Trial};
use crate::host;
use crate::load::Wait;
use crate::measure::Bench;
use crate::peer;
use crate::result::file;
use crate::result::model::{Kind, Point, ResultFile, SCHEMA_VERSION};
use crate::run;

pub(crate) fn run(typed: &Gate) -> Result<(), String> {
    peer::end_with_us()?;
    let stored = match &typed.counts {
        Some(path) if !typed.update_counts => Some(Stored::read(path)?),
        _ => None,
    };
    let origins = typed.load_cores.0.len();
    let (proxy, origin) = ports::settle(typed.proxy, typed.origin, origins)?;
    let sides = Sides::of(typed, proxy)?;
    let bench = Bench {
        origin,
        has_origin: true,
        wait: Wait::Sleep,
        core: typed.core.0,
        load_cores: typed.load_cores.0.clone(),
        warm_up: typed.warm_up,
    };
    let mut trial = Trial::new(&bench, &sides, typed)?;
    sides.check(bench.core)?;
    let (times, counts) = (trial.times()?, trial.counts()?);
    let Ended {
        points,
        notes,
        uncounted,
    } = trial.end();

    let mut rows: Vec<Row> = times
        .iter()
        .filter_map(|sample| Row::of(sample, Some(typed.bound)))
        .collect();
    let of_another_build = typed.baseline.is_some();
    rows.extend(counts.iter().filter_map(|sample| {
        let bound = match sample.figure.starts_with(trial::BY_KERNEL) {
            true => typed.bound, // as the machine happened to run it
            false => stored::bound(&sample.figure, typed.count_bound),
        };
        // Counts of another program say what the difference is, not whether it got worse.
        Row::of(sample, of_another_build.then_some(bound))
    }));
    let told = |error: std::io::Error| error.to_string();
    table::comparison(&sides, &rows).map_err(told)?;
    table::latencies(&sides, &points)?;
    if typed.update_counts
        && let Some(path) = &typed.counts
    {
        if let Some(why) = &uncounted {
            return Err(format!("{} is as it was: {why}", path.display()));
        }
        Stored::of(&counts).write(path)?;
    }
    if let Some(stored) = stored {
        let against = stored.judge(&counts, typed.count_bound);
        table::stored(&stored, &against).map_err(told)?;
        rows.extend(against);
    }
    if let Some(path) = &typed.out {
        write(path, typed, &bench, (&sides, points, &rows))?;
    }
    table::verdict(&rows, &notes, uncounted.as_deref()).map_err(told)?;
    match rows.iter().filter(|row| row.failed()).count() {
        0 => Ok(()),
        failed => Err(format!(
            "the gate is red: {failed} of {} figures are beyond their bounds",
            rows.len()
        )),
    }
}

fn write(
    path: &Path,
    typed: &Gate,
    bench: &Bench,
    (sides, points, rows): (&Sides, Vec<Point>, &[Row]),
) -> Result<(), String> {
    let result = ResultFile {
        schema_version: SCHEMA_VERSION,
        kind: Kind::Gate,
        host: host::facts(),
        setting: run::setting(bench, typed.duration, typed.rounds),
        contenders: sides.contenders(bench),
        points,
        verdicts: rows.iter().filter_map(Row::verdict).collect(),
    };
    file::write(path, &result)
}
