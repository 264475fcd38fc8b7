//! What was typed: one type per command, each in a file of its own, argh's help, values checked one by one.

mod compare;
mod gate;
mod pair;
mod relay;
mod report;
mod run;
mod value;

use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::time::Duration;

use argh::{EarlyExit, FromArgs, SubCommands};

pub(crate) use compare::Compare;
pub(crate) use gate::Gate;
pub(crate) use pair::Pair;
pub(crate) use relay::Relay;
pub(crate) use report::Report;
pub(crate) use run::Run;
pub(crate) use value::{Names, Role};

use crate::measure::milliseconds;
use crate::plan::{Pace, Stop};

const PROXY: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 3128);
const ORIGIN: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 18080);
const DURATION: Duration = Duration::from_secs(3);
const WARM_UP: Duration = Duration::from_millis(500);

/// Measure what a proxy costs: load, origin and figures in one program.
#[derive(FromArgs, Debug)]
#[argh(
    help_triggers("-h", "--help", "help"),
    example = "{command_name} run --workload W3 --spawn 'target/release/ringway serve' --out result.json",
    example = "{command_name} compare --workloads W1,W3,W9 --rounds 5 --out result.json",
    example = "{command_name} report result.json --html report.html",
    note = "What each number means, and how it is measured, is in bench-harness/README.md."
)]
pub(crate) struct Arguments {
    #[argh(subcommand)]
    pub(crate) command: Command,
}

#[derive(FromArgs, Debug)]
#[argh(subcommand)]
pub(crate) enum Command {
    Run(Run),
    Compare(Compare),
    Gate(Gate),
    Report(Report),
    Pair(Pair),
    Relay(Relay),
    List(List),
}

/// show the workloads and what each measures
#[derive(FromArgs, Debug)]
#[argh(subcommand, name = "list", help_triggers("-h", "--help"))]
pub(crate) struct List {}

/// Reads the command line; help comes back as `Ok(Err(text))`, a mistake as `Err(text)`.
pub(crate) fn parse() -> Result<Result<Command, String>, String> {
    let typed: Vec<String> = std::env::args_os()
        .map(|argument| argument.to_string_lossy().into_owned())
        .collect();
    let typed: Vec<&str> = typed.iter().skip(1).map(String::as_str).collect();
    match Arguments::from_args(&["ringway-bench"], &typed) {
        Ok(Arguments { command }) => check(&command).map(|()| Ok(command)),
        Err(EarlyExit { output, status }) => match status {
            Ok(()) => Ok(Err(output)),
            Err(()) => Err(format!("{}\n{}", output.trim_end(), see_help(&typed))),
        },
    }
}

/// Where it stands what is taken.
fn see_help(typed: &[&str]) -> String {
    let mut commands = Command::COMMANDS.iter().map(|command| command.name);
    match commands.find(|command| typed.first() == Some(command)) {
        Some(command) => format!("see ringway-bench {command} --help"),
        None => "see ringway-bench --help".to_owned(),
    }
}

/// Of --rate and --poisson.
fn pace_of(rate: Option<u64>, poisson: bool) -> Pace {
    match rate {
        Some(rate) if poisson => Pace::Poisson { rate },
        Some(rate) => Pace::Fixed { rate },
        None => Pace::Closed,
    }
}

fn check_poisson(poisson: bool, rate: Option<u64>) -> Result<(), String> {
    match poisson && rate.is_none() {
        true => Err("--poisson is how a rate is planned: give --rate as well".to_owned()),
        false => Ok(()),
    }
}

/// Of --count and --duration.
fn stop_of(count: Option<u64>, duration: Duration) -> Stop {
    match count {
        Some(operations) => Stop::Count { operations },
        None => Stop::After {
            ms: milliseconds(duration),
        },
    }
}

/// What no option says alone.
fn check(command: &Command) -> Result<(), String> {
    out(command).map_or(Ok(()), check_folder)?;
    match command {
        Command::Run(run) => run.check(),
        Command::Compare(compare) => crate::compare::check(compare),
        Command::Pair(pair) => pair.check(),
        Command::Gate(gate) => gate.check(),
        Command::Relay(relay) => relay.job().map(drop),
        Command::Report(report) if report.files.is_empty() => {
            Err("give at least one result file".to_owned())
        }
        _ => Ok(()),
    }
}

/// What will be written in the end.
fn out(command: &Command) -> Option<&Path> {
    match command {
        Command::Run(run) => run.out.as_deref(),
        Command::Compare(compare) => compare.out.as_deref(),
        Command::Gate(gate) => gate.out.as_deref(),
        Command::Pair(pair) => pair.out.as_deref(),
        Command::Report(report) => Some(&report.html),
        Command::Relay(_) | Command::List(_) => None,
    }
}

/// Said before anything is measured in vain.
fn check_folder(file: &Path) -> Result<(), String> {
    let folder = file.parent().filter(|folder| *folder != Path::new(""));
    match folder {
        _ if file.is_dir() => Err(format!("{} is a folder: give a file in it", file.display())),
        Some(folder) if !folder.is_dir() => {
            let (file, folder) = (file.display(), folder.display());
            Err(format!(
                "{file} cannot be written: make the folder {folder} first"
            ))
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_lines_of_the_readme_are_read() {
        let typed = |line: &str| {
            let words: Vec<&str> = line.split(' ').collect();
            Arguments::from_args(&["ringway-bench"], &words).is_ok()
        };
        assert!(typed(
            "run --workload W9 --proxy 127.0.0.1:3128 --pid 1 --connections 64 --duration 3s"
        ));
        assert!(typed(
            "pair --workload w5 --a x --b y --b-mode tcp --pairs 7 --core none --noise"
        ));
        assert!(typed(
            "run --workload W3 --mode forward --rate 15000 --bytes 2"
        ));
        assert!(typed(
            "relay --listen 127.0.0.1:1 --target 127.0.0.1:2 --pipe-bytes 65536"
        ));
        assert!(typed("relay --kind tokio-uring --listen 127.0.0.1:1"));
        assert!(!typed("relay --kind tokio --listen 127.0.0.1:1"));
        assert!(typed("list"));
        assert!(typed("compare"));
        assert!(typed(
            "compare --workloads W1,W3 --peers all --rounds 3 --out a.json"
        ));
        assert!(typed("gate --candidate a --baseline b --bound 5"));
        assert!(typed("gate --candidate a --reference tokio-uring"));
        assert!(typed("report a.json b.json --html c.html"));
        assert!(!typed("gate --baseline b"));
        assert!(!typed("report a.json"));
        assert!(!typed("run"));
        assert!(typed("run --workload W3 --rate 15000 --poisson"));
        assert!(typed("run --workload W3 --closed --count 1000"));
        assert!(typed(
            "run --workload W3 --ramp-bound 1ms --ramp-percentile 99.9"
        ));
        assert!(typed("run --workload W9 --role origin --load-cores 0,2"));
        assert!(!typed("run --workload W10"));
        assert!(!typed("pair --workload W1 --a x --b y --pairs 0"));
    }

    #[test]
    fn the_pace_and_the_end_of_pairs_are_typed_as_those_of_a_run() {
        let pair = |more: &str| {
            let line = format!("pair --workload W3 --connections 8 --a x --b y{more}");
            let words: Vec<&str> = line.split(' ').collect();
            let typed = Arguments::from_args(&["ringway-bench"], &words).unwrap();
            check(&typed.command)?;
            match typed.command {
                Command::Pair(pair) => Ok((pair.plans()[0].pace, pair.plans()[0].stop)),
                other => panic!("{other:?}"),
            }
        };
        let three_seconds = Stop::After { ms: 3_000 };
        let fixed = Pace::Fixed { rate: 900 };
        let poisson = Pace::Poisson { rate: 900 };
        let count = Stop::Count { operations: 70 };
        assert_eq!(pair(""), Ok((Pace::Closed, three_seconds)));
        assert_eq!(pair(" --rate 900"), Ok((fixed, three_seconds)));
        assert_eq!(
            pair(" --rate 900 --poisson --count 70"),
            Ok((poisson, count))
        );
        let error: String = pair(" --poisson").unwrap_err();
        assert!(error.contains("give --rate"), "{error}");
    }
}
