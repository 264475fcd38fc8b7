//! What is typed after `run`.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use argh::FromArgs;

use super::value::{
    Core, Cores, Role, address_of, core_of, cores_of, count_of, duration_of, mode_of, percent_of,
    rate_of, role_of, wait_of,
};
use super::{DURATION, ORIGIN, PROXY, WARM_UP, check_poisson, pace_of, stop_of};
use crate::catalogue::{Choice, Entry};
use crate::load::{Mode, Wait};
use crate::measure::{Bench, From, Opponent};
use crate::plan::{Pace, Plan};

/// Where a ramp begins, in operations a second.
const RAMP_START: u64 = 1_000;

/// run a workload against one proxy, or one relay whose target is the origin
#[derive(FromArgs, Debug)]
#[argh(
    subcommand,
    name = "run",
    help_triggers("-h", "--help"),
    example = "{command_name} --workload W9 --spawn 'target/release/ringway serve' --out result.json",
    example = "{command_name} --workload W3 --connections 64 --rate 15000 --poisson --proxy 127.0.0.1:3128",
    example = "{command_name} --workload W3 --connections 64 --ramp-bound 1ms --spawn 'target/release/ringway serve'",
    note = "On two hosts: start --role origin on one of them, then --role load with the same --workload and --origin \
            on the other."
)]
pub(crate) struct Run {
    /// what to run; see `list`
    #[argh(option, from_str_fn(Entry::named))]
    pub(crate) workload: &'static Entry,

    /// address of the proxy [default: 127.0.0.1:3128]
    #[argh(option, default = "PROXY", from_str_fn(address_of))]
    pub(crate) proxy: SocketAddr,

    /// process of the proxy that runs there already, measured without its children; without it and
    /// without --spawn there are no figures of CPU and memory
    #[argh(option)]
    pub(crate) pid: Option<u32>,

    /// start the proxy with this shell command, and end it afterwards
    #[argh(option)]
    pub(crate) spawn: Option<String>,

    /// how the peer is spoken to: connect (a proxy), forward (a proxy, by HTTP requests in absolute-form) or tcp (a
    /// relay or a reverse proxy) [default: as `list` shows for the workload, one after the other]
    #[argh(option, from_str_fn(mode_of))]
    pub(crate) mode: Option<Mode>,

    /// connections [default: each number that `list` shows, one after the other]
    #[argh(option, from_str_fn(count_of))]
    pub(crate) connections: Option<usize>,

    /// size of an echo, a body, a message, or a turn of W5 [default: each size that `list` shows, one after the other]
    #[argh(option, from_str_fn(count_of))]
    pub(crate) bytes: Option<usize>,

    /// an open loop: so many operations a second, over all connections, at planned times; where a ramp begins
    #[argh(option, from_str_fn(rate_of))]
    pub(crate) rate: Option<u64>,

    /// with --rate: random times, as independent clients come, the same in every run [default: evenly]
    #[argh(switch)]
    pub(crate) poisson: bool,

    /// a closed loop, as fast as answers come; this is the default
    #[argh(switch)]
    pub(crate) closed: bool,

    /// a ramp: find the highest rate at which --ramp-percentile of the latency is at most this, in steps of --duration
    #[argh(option, from_str_fn(duration_of))]
    pub(crate) ramp_bound: Option<Duration>,

    /// percentile that the ramp looks at [default: 99]
    #[argh(option, default = "99.0", from_str_fn(percent_of))]
    pub(crate) ramp_percentile: f64,

    /// length of each timed part [default: 3s]
    #[argh(option, default = "DURATION", from_str_fn(duration_of))]
    pub(crate) duration: Duration,

    /// end after so many operations over all connections, instead of after --duration
    #[argh(option, from_str_fn(rate_of))]
    pub(crate) count: Option<u64>,

    /// length of the warm-up before it [default: 500ms]
    #[argh(option, default = "WARM_UP", from_str_fn(duration_of))]
    pub(crate) warm_up: Duration,

    /// address the origin listens on, and CONNECT asks for; of each further load core it is a port further
    /// [default: 127.0.0.1:18080]
    #[argh(option, default = "ORIGIN", from_str_fn(address_of))]
    pub(crate) origin: SocketAddr,

    /// which ends this program is: both, load (the origin runs on another host) or origin (and nothing else)
    /// [default: both]
    #[argh(option, default = "Role::Both", from_str_fn(role_of))]
    pub(crate) role: Role,

    /// core that a spawned proxy is pinned to, or none [default: 1]
    #[argh(option, default = "Core(Some(1))", from_str_fn(core_of))]
    pub(crate) core: Core,

    /// cores that the load is pinned to, with commas between, each with a thread that has its own clients and its own
    /// origin; or none [default: 0]
    #[argh(option, default = "Cores(vec![0])", from_str_fn(cores_of))]
    pub(crate) load_cores: Cores,

    /// what the load does while it has nothing to do: sleep or spin [default: sleep]
    #[argh(option, default = "Wait::Sleep", from_str_fn(wait_of))]
    pub(crate) load_wait: Wait,

    /// leave out the run without a proxy, which says what the proxy adds to the latency
    #[argh(switch)]
    pub(crate) no_direct: bool,

    /// write the result to this file too, as JSON, and latencies beside it as .hgrm
    #[argh(option)]
    pub(crate) out: Option<PathBuf>,
}

impl Run {
    /// The points that were asked for.
    pub(crate) fn plans(&self) -> Vec<Plan> {
        self.workload.plans(&Choice {
            connections: self.connections,
            payload: self.bytes,
            pace: self.pace(),
            stop: stop_of(self.count, self.duration),
        })
    }

    fn pace(&self) -> Pace {
        match self.ramp_bound {
            Some(bound) => Pace::Ramp {
                start: self.rate.unwrap_or(RAMP_START),
                bound_us: (bound.as_micros() as u64).max(1),
                percentile: self.ramp_percentile,
            },
            None => pace_of(self.rate, self.poisson),
        }
    }

    pub(crate) fn bench(&self) -> Bench {
        Bench {
            origin: self.origin,
            has_origin: self.role != Role::Load,
            wait: self.load_wait,
            core: self.core.0,
            load_cores: self.load_cores.0.clone(),
            warm_up: self.warm_up,
        }
    }

    /// The proxy, in each mode that was asked for.
    pub(crate) fn opponents(&self) -> Vec<Opponent> {
        let modes = match &self.mode {
            Some(mode) => std::slice::from_ref(mode),
            None => self.workload.modes,
        };
        let of = |&mode| Opponent {
            proxy: self.proxy,
            mode,
            from: match &self.spawn {
                Some(command) => From::Command(command.clone()),
                None => From::Running(self.pid),
            },
        };
        modes.iter().map(of).collect()
    }

    /// What no option says alone.
    pub(super) fn check(&self) -> Result<(), String> {
        if self.pid.is_some() && self.spawn.is_some() {
            return Err("--pid and --spawn exclude each other".to_owned());
        }
        let is_open = self.rate.is_some() || self.ramp_bound.is_some();
        if self.closed && (is_open || self.poisson) {
            return Err("--closed excludes --rate, --poisson and --ramp-bound".to_owned());
        }
        if self.poisson && self.ramp_bound.is_some() {
            return Err("--poisson excludes --ramp-bound, whose steps are even".to_owned());
        }
        check_poisson(self.poisson, self.rate)?;
        let bench = self.bench();
        self.workload.check(self.spawn.as_deref())?;
        // Some of several points may be left out for where their origin is, but not all.
        let (here, elsewhere): (Vec<Plan>, Vec<Plan>) = self
            .plans()
            .into_iter()
            .partition(|plan| bench.check_origin(plan).is_ok());
        if let (true, Some(plan)) = (here.is_empty(), elsewhere.first()) {
            return bench.check_origin(plan);
        }
        for opponent in self.opponents() {
            for plan in &here {
                bench.check(&opponent, self.workload, plan)?;
            }
        }
        Ok(())
    }
}
