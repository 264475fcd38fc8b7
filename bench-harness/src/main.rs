//! The program `ringway-bench`: puts a known load on a proxy and says what it cost the proxy to carry it.
//!
//! A `plan` says what is measured, `catalogue` names the usual ones. `load` is clients and origin, `scenario` what they
//! do, `crew` the threads they do it in, `process` and `peer` the program under test, `measure` a run of all that.
//! `run`, `pair`, `compare` and `gate` are the commands that measure, `result` is the file they write, `report` tables
//! and pages, `rival` the programs that are compared, `reference` the small relays to compare with.
//! The engine is never linked: what is measured is a program, whichever it is.
//!
//! Exit codes: 0 measured, 1 void or failed, 2 usage.

#![forbid(unsafe_code)]

mod args;
mod catalogue;
mod compare;
mod count;
mod crew;
mod figures;
mod folder;
mod gate;
mod host;
mod list;
mod load;
mod measure;
mod pair;
mod peer;
mod plan;
mod process;
mod progress;
mod ramp;
mod reference;
mod report;
mod result;
mod rival;
mod run;
mod scenario;
mod spread;
mod stats;

use std::io::{Write, stderr, stdout};
use std::process::ExitCode;

use nix::sys::resource::{Resource, getrlimit, setrlimit};

use crate::args::{Command, Relay};

const EXIT_USAGE: u8 = 2;

fn main() -> ExitCode {
    let done = match args::parse() {
        Err(mistake) => {
            let _ = writeln!(stderr().lock(), "{}", mistake.trim_end());
            return ExitCode::from(EXIT_USAGE);
        }
        Ok(Err(help)) => writeln!(stdout().lock(), "{}", help.trim_end()).map_err(text),
        Ok(Ok(command)) => raise_open_files().and_then(|()| match command {
            Command::Run(typed) => run::run(&typed),
            Command::Compare(typed) => compare::run(&typed),
            Command::Gate(typed) => gate::run(&typed),
            Command::Report(typed) => report::html::run(&typed),
            Command::Pair(typed) => pair::run(&typed),
            Command::Relay(typed) => relay(&typed),
            Command::List(_) => list::run().map_err(text),
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

fn relay(typed: &Relay) -> Result<(), String> {
    match reference::run(typed.listen, typed.job()?) {
        Err(error) => Err(format!("the relay on {} failed: {error}", typed.listen)),
    }
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
