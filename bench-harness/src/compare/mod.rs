//! The command `compare`: workloads against Ringway, its rivals, the reference relays and no proxy at all, each started
//! afresh for every run, on the same core, in random order within each round.
//!
//! `entrant` is who takes part, `tournament` the order; a single run is `measure`'s business, the tables are `report`'s.

mod entrant;
mod tournament;

use std::env;
use std::fs;
use std::io::{Write, stderr};
use std::mem;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use nix::sys::resource::{Resource, getrlimit};

use crate::args::{Compare, Names};
use crate::catalogue::{self, Choice, Entry};
use crate::compare::entrant::Entrant;
use crate::compare::tournament::Register;
use crate::folder::Folder;
use crate::host;
use crate::load::random::Random;
use crate::measure::{self, Bench, From, Opponent};
use crate::plan::{Pace, Plan, Stop};
use crate::progress::Progress;
use crate::report;
use crate::result::file;
use crate::result::model::{Cannot, Contender, Kind, Point, ResultFile, SCHEMA_VERSION, Setting};
use crate::rival::Site;
use crate::run;

/// The open loop that GETs are compared in as well: a rate that most can hold on one core.
const OPEN_LOOP_RATE: u64 = 15_000;
const OPEN_LOOP_CONNECTIONS: usize = 64;

/// A comparison under way.
struct Comparison<'a> {
    typed: &'a Compare,
    /// This program, which the reference relays are.
    own: PathBuf,
    site: Site,
    folder: Folder,
    bench: Bench,
    entrants: Vec<Entrant>,
    register: Register,
    random: Random,
    progress: Progress,
}

/// Whether all that was named is known; whether it is installed is another matter.
pub(crate) fn check(typed: &Compare) -> Result<(), String> {
    works(typed)?;
    entrant::wanted(&typed.peers).map(drop)
}

/// Compares.
pub(crate) fn run(typed: &Compare) -> Result<(), String> {
    let own = env::current_exe().map_err(|error| format!("cannot find this program: {error}"))?;
    let works = works(typed)?;
    let (entrants, missing) = entrant::entrants(typed, &own)?;
    let seed = typed.seed.unwrap_or_else(seed_of_now);
    let bench = bench(typed);
    let each = works.iter().filter_map(|(_, plan)| bench.expected(plan));
    let whole = each.sum::<Duration>() * (entrants.len() * typed.rounds) as u32;
    announce(typed, &works, &entrants, seed, whole);
    remind(&missing);
    let expected = works.first().and_then(|(_, plan)| bench.expected(plan));
    let steps = works.len() * entrants.len() * typed.rounds;
    let mut comparison = Comparison {
        typed,
        own,
        site: site(typed)?,
        folder: folder(typed)?,
        bench,
        progress: Progress::new(steps).expecting(expected),
        entrants,
        register: Register::default(),
        random: Random::new(seed),
    };
    let mut result = ResultFile {
        schema_version: SCHEMA_VERSION,
        kind: Kind::Compare,
        host: host::facts(),
        setting: Setting {
            seed: Some(seed),
            ..run::setting(&comparison.bench, typed.duration, typed.rounds)
        },
        contenders: Vec::new(),
        points: Vec::new(),
        verdicts: Vec::new(),
    };
    for (entry, plan) in works {
        let point = comparison.point(entry, plan);
        result.contenders.clone_from(&comparison.register.0);
        comparison.progress.clear();
        let mut points = mem::replace(&mut result.points, vec![point]);
        report::points(&result)?;
        points.append(&mut result.points);
        result.points = points;
        save(typed.out.as_deref(), &result)?;
    }
    if let Some(path) = &typed.out {
        file::write(path, &result)?;
    }
    remind(&missing);
    check_home(&result)
}

impl Comparison<'_> {
    /// Everybody at one point.
    fn point(&mut self, entry: &'static Entry, plan: Plan) -> Point {
        let mut able = Vec::new();
        let mut cannot = Vec::new();
        for entrant in &self.entrants {
            let contender = entrant.contender(&plan, &self.site, self.folder.path(), &self.own);
            let contender = contender.and_then(|contender| {
                let opponent = opponent(&contender);
                let check = self.bench.check(&opponent, entry, &plan);
                check.map(|()| contender)
            });
            match contender {
                Ok(contender) => able.push(self.register.place(contender)),
                Err(why) => {
                    let contender = self
                        .register
                        .idle(&entrant.name, || entrant.idle(&self.site));
                    cannot.push(Cannot { contender, why });
                    self.progress.skip(self.typed.rounds);
                }
            }
        }
        let (bench, progress) = (&self.bench, &mut self.progress);
        let (contenders, rounds) = (&self.register.0, self.typed.rounds);
        let measure = |place: usize, round: usize, order: usize| {
            let contender = contenders.get(place).ok_or("there is no such contender")?;
            let (workload, name) = (entry.id, &contender.name);
            let of = round + 1;
            progress.step(&format!(
                "{workload} {plan}, round {of} of {rounds}, {name}"
            ));
            let mut measured =
                measure::run(bench, &opponent(contender), entry, &plan).map_err(|error| {
                    // What was run is the table's title.
                    let why = error
                        .split_once(" is void: ")
                        .map(|(_, why)| why.to_owned());
                    why.unwrap_or(error)
                })?;
            for figure in &mut measured.figures {
                // Where there is no process, another figure would stand in for the one that all are ranked by.
                figure.main &= entry.is_main(plan.pace, &figure.name);
            }
            measured.into_run(place, round, order)
        };
        let mut point = tournament::point(entry.id, plan, &able, rounds, &mut self.random, measure);
        point.cannot.extend(cannot);
        point
    }
}

fn opponent(contender: &Contender) -> Opponent {
    Opponent {
        proxy: contender.address,
        mode: contender.mode,
        from: match &contender.command {
            Some(command) => From::Command(command.clone()),
            None => From::Running(None),
        },
    }
}

/// The points, in the order of the catalogue or as they were typed.
fn works(typed: &Compare) -> Result<Vec<(&'static Entry, Plan)>, String> {
    let entries: Vec<&'static Entry> = match &typed.workloads {
        Names::All => {
            let all = catalogue::ALL.iter();
            all.filter(|entry| entry.limit.is_none()).collect()
        }
        Names::These(names) => names
            .iter()
            .map(|name| {
                let entry = Entry::named(name)?;
                entry.check(Some(entrant::RINGWAY))?;
                Ok(entry)
            })
            .collect::<Result<_, String>>()?,
    };
    let choice = Choice {
        connections: typed.connections,
        payload: typed.bytes,
        pace: Pace::Closed,
        stop: Stop::After {
            ms: measure::milliseconds(typed.duration),
        },
    };
    let mut works = Vec::new();
    for entry in entries {
        works.extend(entry.plans(&choice).into_iter().map(|plan| (entry, plan)));
        if entry.id == "W3" {
            let open = Choice {
                connections: Some(typed.connections.unwrap_or(OPEN_LOOP_CONNECTIONS)),
                pace: Pace::Fixed {
                    rate: OPEN_LOOP_RATE,
                },
                ..choice
            };
            works.extend(entry.plans(&open).into_iter().map(|plan| (entry, plan)));
        }
    }
    Ok(works)
}

/// What is going to happen, and for how long.
fn announce(
    typed: &Compare,
    works: &[(&Entry, Plan)],
    entrants: &[Entrant],
    seed: u64,
    whole: Duration,
) {
    let names: Vec<String> = entrants
        .iter()
        .map(|entrant| match &entrant.version {
            Some(version) => format!("{} {version}", entrant.name),
            None => entrant.name.clone(),
        })
        .collect();
    let (points, rounds) = (works.len(), typed.rounds);
    let minutes = (whole.as_secs_f64() / 60.0).ceil();
    let mut out = stderr().lock();
    // Who reads this may be gone; what is measured is told on standard output.
    let _ = writeln!(out, "comparing {}", names.join(", "));
    let _ = writeln!(
        out,
        "points: {points}, rounds: {rounds}, about {minutes:.0} min; order drawn by --seed {seed}"
    );
}

fn remind(missing: &[&str]) {
    if !missing.is_empty() {
        let names = missing.join(", ");
        let _ = writeln!(
            stderr().lock(),
            "left out, not installed: {names}; ci/peers installs them"
        );
    }
}

/// Ringway has figures wherever it was run.
fn check_home(result: &ResultFile) -> Result<(), String> {
    let is_home = |contender: usize| {
        let contender = result.contenders.get(contender);
        contender.is_some_and(|contender| contender.name.starts_with(entrant::RINGWAY))
    };
    let void = result
        .points
        .iter()
        .filter(|point| point.cannot.iter().any(|cannot| is_home(cannot.contender)));
    let void: Vec<String> = void
        .map(|point| format!("{} {}", point.workload, point.plan))
        .collect();
    match void.as_slice() {
        [] => Ok(()),
        void => Err(format!("runs of Ringway were void in {}", void.join(", "))),
    }
}

/// What has been measured so far: a comparison may take hours.
fn save(path: Option<&Path>, result: &ResultFile) -> Result<(), String> {
    let Some(path) = path else { return Ok(()) };
    serde_json::to_string(result)
        .map_err(|error| error.to_string())
        .and_then(|json| fs::write(path, json).map_err(|error| error.to_string()))
        .map_err(|error| format!("cannot write {}: {error}", path.display()))
}

fn seed_of_now() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    now.map_or(0, |now| now.as_secs())
}

fn site(typed: &Compare) -> Result<Site, String> {
    let (_, open_files) = getrlimit(Resource::RLIMIT_NOFILE)
        .map_err(|error| format!("cannot read the limit of open files: {error}"))?;
    Ok(Site {
        proxy: typed.proxy,
        origin: typed.origin,
        open_files,
    })
}

fn folder(typed: &Compare) -> Result<Folder, String> {
    let folder = match &typed.configurations {
        Some(path) => Folder::kept(path),
        None => Folder::temporary("compare"),
    };
    folder.map_err(|error| format!("cannot make a folder for configurations: {error}"))
}

fn bench(typed: &Compare) -> Bench {
    Bench {
        origin: typed.origin,
        has_origin: true,
        wait: typed.load_wait,
        core: typed.core.0,
        load_cores: typed.load_cores.0.clone(),
        warm_up: typed.warm_up,
    }
}
