//! The program `ringway-bench`: puts a known load on a proxy and says what it cost the proxy to carry it.
//!
//! `load` is clients and origin, `workload` what they do, `process` and `peer` the program under test, `measure` a
//! run and pairs of runs, `report` the tables and the result file, `relay` the bare relay that bulk is compared with.
//! The engine is never linked: what is measured is a program, whichever it is.
//!
//! Exit codes: 0 measured, 1 void or failed, 2 usage.

#![forbid(unsafe_code)]

mod args;
mod compare;
mod figures;
mod gate;
mod host;
mod load;
mod measure;
mod peer;
mod plan;
mod process;
mod progress;
mod relay;
mod report;
mod result;
mod spread;
mod workload;

use std::io::{Write, stderr, stdout};
use std::process::ExitCode;

use nix::sys::resource::{Resource, getrlimit, setrlimit};

use crate::args::{Command, Pair, Relay, Run};
use crate::measure::{Contender, From, Setting};
use crate::progress::Progress;
use crate::workload::{Case, Timing};

const EXIT_USAGE: u8 = 2;

fn main() -> ExitCode {
    let done = match args::parse() {
        Err(mistake) => {
            let _ = writeln!(stderr().lock(), "{}", mistake.trim_end());
            return ExitCode::from(EXIT_USAGE);
        }
        Ok(Err(help)) => writeln!(stdout().lock(), "{}", help.trim_end()).map_err(text),
        Ok(Ok(command)) => raise_open_files().and_then(|()| match command {
            Command::Run(typed) => run(&typed),
            Command::Compare(typed) => compare::run(&typed),
            Command::Gate(typed) => gate::run(&typed),
            Command::Report(typed) => report::html::run(&typed),
            Command::Pair(typed) => pair(&typed),
            Command::Relay(typed) => relay(&typed),
            Command::List(_) => report::list().map_err(text),
        }),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let _ = writeln!(stderr().lock(), "ringway-bench: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(typed: &Run) -> Result<(), String> {
    let setting = Setting {
        workload: typed.workload,
        origin: typed.origin,
        timing: Timing {
            duration: typed.duration,
            warm_up: typed.warm_up,
            rate: typed.rate,
        },
        wait: typed.load_wait,
        core: typed.core.0,
    };
    let contender = Contender {
        proxy: typed.proxy,
        mode: typed.mode,
        from: match &typed.spawn {
            Some(command) => From::Command(command.clone()),
            None => From::Running(typed.pid),
        },
    };
    peer::pin(typed.load_core.0).map_err(text)?;
    let mut done = Vec::new();
    for case in cases(&setting, typed.connections, typed.bytes) {
        let mut progress = Progress::new(1);
        progress.step(&format!("{} {case}", setting.workload.name()));
        let figures = measure::run(&setting, &contender, case)?;
        drop(progress);
        report::run(setting.workload, case, &figures).map_err(text)?;
        done.push((case, figures));
    }
    let result = || report::run_json(&setting, &contender, &done);
    write_out(typed.out.as_deref(), result)
}

fn pair(typed: &Pair) -> Result<(), String> {
    let setting = Setting {
        workload: typed.workload,
        origin: typed.origin,
        timing: Timing {
            duration: typed.duration,
            warm_up: typed.warm_up,
            rate: typed.rate,
        },
        wait: typed.load_wait,
        core: typed.core.0,
    };
    let a = Contender {
        proxy: typed.a_proxy,
        mode: typed.a_mode,
        from: From::Command(typed.a.clone()),
    };
    let b = Contender {
        proxy: typed.b_proxy,
        mode: typed.b_mode,
        from: From::Command(typed.b.clone()),
    };
    peer::pin(typed.load_core.0).map_err(text)?;
    let mut comparisons = Vec::new();
    let mut noise = Vec::new();
    for case in cases(&setting, typed.connections, typed.bytes) {
        let compare = |sides: [&Contender; 2], names: [&str; 2]| {
            let mut progress = Progress::new(2 * typed.pairs);
            let pairs = measure::pairs(&setting, sides, case, typed.pairs, &mut progress)?;
            drop(progress);
            report::comparison(setting.workload, names, &pairs).map_err(text)?;
            Ok::<_, String>(pairs)
        };
        comparisons.push(compare([&a, &b], [&typed.a, &typed.b])?);
        if typed.noise {
            let again = "the same again: what differs here is noise";
            noise.push(compare([&a, &a], [&typed.a, again])?);
        }
    }
    let result = || report::pair_json(&setting, [&a, &b], &comparisons, &noise);
    write_out(typed.out.as_deref(), result)
}

fn relay(typed: &Relay) -> Result<(), String> {
    match relay::run(typed.listen, typed.target, typed.pipe_bytes) {
        Err(error) => Err(format!("the relay on {} failed: {error}", typed.listen)),
    }
}

/// The points to be run: each number of connections with each size, where nothing else was typed.
fn cases(setting: &Setting, connections: Option<usize>, bytes: Option<usize>) -> Vec<Case> {
    let of = |typed: Option<usize>, usual: &[usize]| {
        typed.map_or_else(|| usual.to_vec(), |typed| vec![typed])
    };
    let connections = of(connections, setting.workload.connections());
    let bytes = of(bytes, setting.workload.bytes());
    let all = connections.into_iter().flat_map(|connections| {
        bytes
            .iter()
            .map(move |&bytes| Case { connections, bytes })
            .collect::<Vec<_>>()
    });
    all.collect()
}

fn write_out(
    path: Option<&std::path::Path>,
    result: impl FnOnce() -> serde_json::Value,
) -> Result<(), String> {
    let Some(path) = path else { return Ok(()) };
    report::write_json(path, &result())
        .map_err(|error| format!("cannot write {}: {error}", path.display()))
}

/// Both ends of 9,000 tunnels are 18,000 descriptors: takes what the hard limit allows.
fn raise_open_files() -> Result<(), String> {
    let resource = Resource::RLIMIT_NOFILE;
    getrlimit(resource)
        .and_then(|(_, hard)| setrlimit(resource, hard, hard))
        .map_err(|error| format!("cannot raise the limit of open files: {error}"))
}

fn text(error: std::io::Error) -> String {
    error.to_string()
}
