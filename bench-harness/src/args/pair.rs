//! What is typed after `pair`.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use argh::FromArgs;

use super::value::{
    Core, Cores, address_of, core_of, cores_of, count_of, duration_of, mode_of, rate_of, wait_of,
};
use super::{DURATION, ORIGIN, PROXY, WARM_UP, check_poisson, pace_of, stop_of};
use crate::catalogue::{Choice, Entry};
use crate::load::{Mode, Wait};
use crate::measure::{Bench, From, Opponent};
use crate::plan::Plan;

/// run a workload against two commands by turns (A B B A ...), each freshly started for every run, and compare them
#[derive(FromArgs, Debug)]
#[argh(subcommand, name = "pair", help_triggers("-h", "--help"))]
pub(crate) struct Pair {
    /// what to run; see `list`
    #[argh(option, from_str_fn(Entry::named))]
    pub(crate) workload: &'static Entry,

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
    #[argh(option, default = "PROXY", from_str_fn(address_of))]
    pub(crate) a_proxy: SocketAddr,

    /// address that B listens on [default: 127.0.0.1:3128]
    #[argh(option, default = "PROXY", from_str_fn(address_of))]
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

    /// an open loop: so many operations a second, over all connections, at planned times [default: a closed loop, as
    /// fast as answers come]
    #[argh(option, from_str_fn(rate_of))]
    pub(crate) rate: Option<u64>,

    /// with --rate: random times, as independent clients come, the same in every run [default: evenly]
    #[argh(switch)]
    pub(crate) poisson: bool,

    /// length of each timed part [default: 3s]
    #[argh(option, default = "DURATION", from_str_fn(duration_of))]
    pub(crate) duration: Duration,

    /// end after so many operations over all connections, instead of after --duration
    #[argh(option, from_str_fn(rate_of))]
    pub(crate) count: Option<u64>,

    /// length of the warm-up before it [default: 500ms]
    #[argh(option, default = "WARM_UP", from_str_fn(duration_of))]
    pub(crate) warm_up: Duration,

    /// address the origin listens on, and CONNECT asks for [default: 127.0.0.1:18080]
    #[argh(option, default = "ORIGIN", from_str_fn(address_of))]
    pub(crate) origin: SocketAddr,

    /// core that A and B are pinned to, or none [default: 1]
    #[argh(option, default = "Core(Some(1))", from_str_fn(core_of))]
    pub(crate) core: Core,

    /// cores that the load is pinned to, with commas between, each with a thread that has its own clients and its own
    /// origin; or none [default: 0]
    #[argh(option, default = "Cores(vec![0])", from_str_fn(cores_of))]
    pub(crate) load_cores: Cores,

    /// what the load does while it has nothing to do: sleep or spin [default: sleep]
    #[argh(option, default = "Wait::Sleep", from_str_fn(wait_of))]
    pub(crate) load_wait: Wait,

    /// write the result to this file too, as JSON, and latencies beside it as .hgrm
    #[argh(option)]
    pub(crate) out: Option<PathBuf>,
}

impl Pair {
    /// The points that were asked for.
    pub(crate) fn plans(&self) -> Vec<Plan> {
        self.workload.plans(&Choice {
            connections: self.connections,
            payload: self.bytes,
            pace: pace_of(self.rate, self.poisson),
            stop: stop_of(self.count, self.duration),
        })
    }

    pub(crate) fn bench(&self) -> Bench {
        Bench {
            origin: self.origin,
            has_origin: true,
            wait: self.load_wait,
            core: self.core.0,
            load_cores: self.load_cores.0.clone(),
            warm_up: self.warm_up,
        }
    }

    /// A and B.
    pub(crate) fn opponents(&self) -> [Opponent; 2] {
        let of = |proxy, mode, command: &str| Opponent {
            proxy,
            mode,
            from: From::Command(command.to_owned()),
        };
        [
            of(self.a_proxy, self.a_mode, &self.a),
            of(self.b_proxy, self.b_mode, &self.b),
        ]
    }

    /// What no option says alone.
    pub(super) fn check(&self) -> Result<(), String> {
        check_poisson(self.poisson, self.rate)?;
        let bench = self.bench();
        for opponent in self.opponents() {
            self.workload.check(opponent.command())?;
            for plan in self.plans() {
                bench.check(&opponent, self.workload, &plan)?;
            }
        }
        Ok(())
    }
}
