//! What was typed, and what is done with it: one type per command, argh's help, values checked one by one.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use argh::{EarlyExit, FromArgs};

use crate::load::{Mode, Wait};
use crate::workload::Workload;

const PROXY: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 3128);
const ORIGIN: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 18080);
const DURATION: Duration = Duration::from_secs(3);
const WARM_UP: Duration = Duration::from_millis(500);
const PIPE_BYTES: usize = 256 * 1024;

/// Measure what a proxy costs: load, origin and figures in one program.
#[derive(FromArgs, Debug)]
#[argh(help_triggers("-h", "--help", "help"))]
pub(crate) struct Arguments {
    #[argh(subcommand)]
    pub(crate) command: Command,
}

#[derive(FromArgs, Debug)]
#[argh(subcommand)]
pub(crate) enum Command {
    Run(Run),
    Pair(Pair),
    Relay(Relay),
    List(List),
}

/// run a workload against one proxy, or one relay whose target is the origin
#[derive(FromArgs, Debug)]
#[argh(subcommand, name = "run", help_triggers("-h", "--help"))]
pub(crate) struct Run {
    /// what to run: W1, W3, W4, W5, W8, W9, W12, W16 or ping; see `list`
    #[argh(option)]
    pub(crate) workload: Workload,

    /// address of the proxy [default: 127.0.0.1:3128]
    #[argh(option, default = "PROXY")]
    pub(crate) proxy: SocketAddr,

    /// process of the proxy that runs there already, measured without its children; without it and
    /// without --spawn there are no figures of CPU and memory
    #[argh(option)]
    pub(crate) pid: Option<u32>,

    /// start the proxy with this shell command, and end it afterwards
    #[argh(option)]
    pub(crate) spawn: Option<String>,

    /// how the peer is spoken to: connect (a proxy), forward (a proxy, by HTTP requests in absolute-form) or tcp (a
    /// relay or a reverse proxy) [default: connect]
    #[argh(option, default = "Mode::Connect", from_str_fn(mode_of))]
    pub(crate) mode: Mode,

    /// connections [default: each number that `list` shows, one after the other]
    #[argh(option, from_str_fn(count_of))]
    pub(crate) connections: Option<usize>,

    /// size of an echo, a body, a message, or a turn of W5 [default: each size that `list` shows, one after the other]
    #[argh(option, from_str_fn(count_of))]
    pub(crate) bytes: Option<usize>,

    /// an open loop: so many questions a second, over all connections, at planned times [default: a closed loop, as
    /// fast as answers come]
    #[argh(option, from_str_fn(rate_of))]
    pub(crate) rate: Option<u64>,

    /// length of each timed part [default: 3s]
    #[argh(option, default = "DURATION", from_str_fn(duration_of))]
    pub(crate) duration: Duration,

    /// length of the warm-up before it [default: 500ms]
    #[argh(option, default = "WARM_UP", from_str_fn(duration_of))]
    pub(crate) warm_up: Duration,

    /// address the origin listens on, and CONNECT asks for [default: 127.0.0.1:18080]
    #[argh(option, default = "ORIGIN")]
    pub(crate) origin: SocketAddr,

    /// core that a spawned proxy is pinned to, or none [default: 1]
    #[argh(option, default = "Core(Some(1))", from_str_fn(core_of))]
    pub(crate) core: Core,

    /// core that the load is pinned to, or none [default: 0]
    #[argh(option, default = "Core(Some(0))", from_str_fn(core_of))]
    pub(crate) load_core: Core,

    /// what the load does while it has nothing to do: sleep or spin [default: sleep]
    #[argh(option, default = "Wait::Sleep", from_str_fn(wait_of))]
    pub(crate) load_wait: Wait,

    /// write the result to this file too, as JSON
    #[argh(option)]
    pub(crate) out: Option<PathBuf>,
}

/// run a workload against two commands by turns (A B B A ...), each freshly started for every run, and compare them
#[derive(FromArgs, Debug)]
#[argh(subcommand, name = "pair", help_triggers("-h", "--help"))]
pub(crate) struct Pair {
    /// what to run: W1, W3, W4, W5, W8, W9, W12, W16 or ping; see `list`
    #[argh(option)]
    pub(crate) workload: Workload,

    /// shell command that starts A
    #[argh(option)]
    pub(crate) a: String,

    /// shell command that starts B
    #[argh(option)]
    pub(crate) b: String,

    /// how A is spoken to: connect, forward or tcp, as with run's --mode [default: connect]
    #[argh(option, default = "Mode::Connect", from_str_fn(mode_of))]
    pub(crate) a_mode: Mode,

    /// how B is spoken to: connect, forward or tcp, as with run's --mode [default: connect]
    #[argh(option, default = "Mode::Connect", from_str_fn(mode_of))]
    pub(crate) b_mode: Mode,

    /// address that A listens on [default: 127.0.0.1:3128]
    #[argh(option, default = "PROXY")]
    pub(crate) a_proxy: SocketAddr,

    /// address that B listens on [default: 127.0.0.1:3128]
    #[argh(option, default = "PROXY")]
    pub(crate) b_proxy: SocketAddr,

    /// pairs of runs [default: 5]
    #[argh(option, default = "5", from_str_fn(count_of))]
    pub(crate) pairs: usize,

    /// compare A with itself too, which shows how much of a difference is noise
    #[argh(switch)]
    pub(crate) noise: bool,

    /// connections [default: each number that `list` shows, one after the other]
    #[argh(option, from_str_fn(count_of))]
    pub(crate) connections: Option<usize>,

    /// size of an echo, a body, a message, or a turn of W5 [default: each size that `list` shows, one after the other]
    #[argh(option, from_str_fn(count_of))]
    pub(crate) bytes: Option<usize>,

    /// an open loop: so many questions a second, over all connections, at planned times [default: a closed loop, as
    /// fast as answers come]
    #[argh(option, from_str_fn(rate_of))]
    pub(crate) rate: Option<u64>,

    /// length of each timed part [default: 3s]
    #[argh(option, default = "DURATION", from_str_fn(duration_of))]
    pub(crate) duration: Duration,

    /// length of the warm-up before it [default: 500ms]
    #[argh(option, default = "WARM_UP", from_str_fn(duration_of))]
    pub(crate) warm_up: Duration,

    /// address the origin listens on, and CONNECT asks for [default: 127.0.0.1:18080]
    #[argh(option, default = "ORIGIN")]
    pub(crate) origin: SocketAddr,

    /// core that A and B are pinned to, or none [default: 1]
    #[argh(option, default = "Core(Some(1))", from_str_fn(core_of))]
    pub(crate) core: Core,

    /// core that the load is pinned to, or none [default: 0]
    #[argh(option, default = "Core(Some(0))", from_str_fn(core_of))]
    pub(crate) load_core: Core,

    /// what the load does while it has nothing to do: sleep or spin [default: sleep]
    #[argh(option, default = "Wait::Sleep", from_str_fn(wait_of))]
    pub(crate) load_wait: Wait,

    /// write the result to this file too, as JSON
    #[argh(option)]
    pub(crate) out: Option<PathBuf>,
}

/// be a bare relay, epoll and splice and nothing else: the floor to compare bulk with
#[derive(FromArgs, Debug)]
#[argh(subcommand, name = "relay", help_triggers("-h", "--help"))]
pub(crate) struct Relay {
    /// address to listen on
    #[argh(option)]
    pub(crate) listen: SocketAddr,

    /// address that every connection goes to
    #[argh(option)]
    pub(crate) target: SocketAddr,

    /// size of a pipe, and most bytes of one splice [default: 262144]
    #[argh(option, default = "PIPE_BYTES", from_str_fn(count_of))]
    pub(crate) pipe_bytes: usize,
}

/// show the workloads and what each measures
#[derive(FromArgs, Debug)]
#[argh(subcommand, name = "list", help_triggers("-h", "--help"))]
pub(crate) struct List {}

/// A core, or none for wherever the scheduler likes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Core(pub(crate) Option<usize>);

/// Reads the command line; help comes back as `Ok(Err(text))`, a mistake as `Err(text)`.
pub(crate) fn parse() -> Result<Result<Command, String>, String> {
    let typed: Vec<String> = std::env::args_os()
        .map(|argument| argument.to_string_lossy().into_owned())
        .collect();
    let typed: Vec<&str> = typed.iter().skip(1).map(String::as_str).collect();
    match Arguments::from_args(&["ringway-bench"], &typed) {
        Ok(Arguments { command }) => check(&command).map(|()| Ok(command)),
        Err(EarlyExit { output, status }) => {
            status.map_or_else(|()| Err(output.clone()), |()| Ok(Err(output.clone())))
        }
    }
}

/// What no option says alone.
fn check(command: &Command) -> Result<(), String> {
    let (workload, modes, rate) = match command {
        Command::Run(run) if run.pid.is_some() && run.spawn.is_some() => {
            return Err("--pid and --spawn exclude each other".to_owned());
        }
        Command::Run(run) => (run.workload, vec![run.mode], run.rate),
        Command::Pair(pair) => (pair.workload, vec![pair.a_mode, pair.b_mode], pair.rate),
        Command::Relay(_) | Command::List(_) => return Ok(()),
    };
    let name = workload.name();
    if !modes.into_iter().all(|mode| workload.takes(mode)) {
        return Err(format!("{name} is no HTTP, which mode forward is for"));
    }
    if rate.is_some() && !workload.takes_rate() {
        return Err(format!("{name} has no --rate"));
    }
    Ok(())
}

fn mode_of(text: &str) -> Result<Mode, String> {
    match text {
        "connect" => Ok(Mode::Connect),
        "tcp" => Ok(Mode::Tcp),
        "forward" => Ok(Mode::Forward),
        _ => Err("give connect, forward or tcp".to_owned()),
    }
}

fn wait_of(text: &str) -> Result<Wait, String> {
    match text {
        "sleep" => Ok(Wait::Sleep),
        "spin" => Ok(Wait::Spin),
        _ => Err("give sleep or spin".to_owned()),
    }
}

fn core_of(text: &str) -> Result<Core, String> {
    if text == "none" {
        return Ok(Core(None));
    }
    let core = text.parse().map_err(|_| "give a core's number, or none")?;
    Ok(Core(Some(core)))
}

fn count_of(text: &str) -> Result<usize, String> {
    let count = text
        .parse()
        .ok()
        .filter(|count| (1..=1 << 30).contains(count));
    count.ok_or_else(|| "give a whole number above zero".to_owned())
}

fn rate_of(text: &str) -> Result<u64, String> {
    count_of(text).map(|rate| rate as u64)
}

fn duration_of(text: &str) -> Result<Duration, String> {
    let accepted = || "give a whole number with its unit: 20us, 250ms, 10s, 5m".to_owned();
    let end = text.find(|character: char| !character.is_ascii_digit());
    let (number, unit) = text.split_at(end.ok_or_else(accepted)?);
    let unit = match unit {
        "us" => Duration::from_micros(1),
        "ms" => Duration::from_millis(1),
        "s" => Duration::from_secs(1),
        "m" => Duration::from_secs(60),
        _ => return Err(accepted()),
    };
    let number = number.parse().map_err(|_| accepted())?;
    let longest = Duration::from_secs(3600);
    unit.checked_mul(number)
        .filter(|duration| !duration.is_zero() && *duration <= longest)
        .ok_or_else(|| "give more than zero and at most 60m".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_need_their_unit_and_a_sane_size() {
        assert_eq!(duration_of("250ms"), Ok(Duration::from_millis(250)));
        assert_eq!(duration_of("5m"), Ok(Duration::from_secs(300)));
        for wrong in [
            "",
            "3",
            "s",
            "0s",
            "61m",
            "1h",
            "-1s",
            "1.5s",
            "99999999999s",
        ] {
            assert!(duration_of(wrong).is_err(), "{wrong}");
        }
    }

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
        assert!(typed("list"));
        assert!(!typed("run"));
        assert!(!typed("run --workload W2"));
        assert!(!typed("pair --workload W1 --a x --b y --pairs 0"));
    }
}
