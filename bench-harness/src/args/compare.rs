//! What is typed after `compare`.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use argh::FromArgs;

use super::value::{
    Core, Cores, Names, address_of, core_of, cores_of, count_of, duration_of, names_of, wait_of,
};
use super::{DURATION, ORIGIN, PROXY, WARM_UP};
use crate::load::Wait;

/// run workloads against Ringway, its rivals, the reference relays and no proxy at all, in random interleaved order
#[derive(FromArgs, Debug)]
#[argh(
    subcommand,
    name = "compare",
    help_triggers("-h", "--help"),
    example = "{command_name} --workloads W1,W3,W9 --rounds 5 --out result.json",
    example = "{command_name} --workloads W3 --peers haproxy,nginx,epoll --duration 10s",
    example = "{command_name} --workloads W3 --ringway 'ringway serve' --ringway 'ringway serve --busy-poll auto'",
    note = "Rivals that are not installed are left out, and named; ci/peers installs them."
)]
pub(crate) struct Compare {
    /// workloads with commas between, or all; see `list` [default: all]
    #[argh(option, default = "Names::All", from_str_fn(names_of))]
    pub(crate) workloads: Names,

    /// what Ringway is compared with, commas between: haproxy, nginx, squid, tinyproxy, envoy, sing-box, epoll, monoio,
    /// tokio-uring (relays of this program), splice (its bare TCP relay), direct (no proxy); or all [default: all]
    #[argh(option, default = "Names::All", from_str_fn(names_of))]
    pub(crate) peers: Names,

    /// how often each contender is run at each point [default: 5]
    #[argh(option, default = "5", from_str_fn(count_of))]
    pub(crate) rounds: usize,

    /// write the result to this file too, as JSON, and latencies beside it as .hgrm
    #[argh(option)]
    pub(crate) out: Option<PathBuf>,

    /// shell command that starts Ringway, without an address; given again, under further settings [default: 'ringway
    /// serve', the one beside this program]
    #[argh(option)]
    pub(crate) ringway: Vec<String>,

    /// connections [default: each number that `list` shows, one after the other]
    #[argh(option, from_str_fn(count_of))]
    pub(crate) connections: Option<usize>,

    /// size of an echo, a body, a message, or a turn of W5 [default: each size that `list` shows, one after the other]
    #[argh(option, from_str_fn(count_of))]
    pub(crate) bytes: Option<usize>,

    /// number that the order within each round is drawn from, as an earlier comparison has shown it [default: the time]
    #[argh(option)]
    pub(crate) seed: Option<u64>,

    /// write the rivals' configurations into this folder, and keep them [default: a temporary one]
    #[argh(option)]
    pub(crate) configurations: Option<PathBuf>,

    /// length of each timed part [default: 3s]
    #[argh(option, default = "DURATION", from_str_fn(duration_of))]
    pub(crate) duration: Duration,

    /// length of the warm-up before it [default: 500ms]
    #[argh(option, default = "WARM_UP", from_str_fn(duration_of))]
    pub(crate) warm_up: Duration,

    /// address that contenders listen on, one after the other [default: 127.0.0.1:3128]
    #[argh(option, default = "PROXY", from_str_fn(address_of))]
    pub(crate) proxy: SocketAddr,

    /// address the origin listens on [default: 127.0.0.1:18080]
    #[argh(option, default = "ORIGIN", from_str_fn(address_of))]
    pub(crate) origin: SocketAddr,

    /// core that contenders are pinned to, or none [default: 1]
    #[argh(option, default = "Core(Some(1))", from_str_fn(core_of))]
    pub(crate) core: Core,

    /// cores that the load is pinned to, each with a thread, or none [default: 0]
    #[argh(option, default = "Cores(vec![0])", from_str_fn(cores_of))]
    pub(crate) load_cores: Cores,

    /// what the load does while it has nothing to do: sleep or spin [default: sleep]
    #[argh(option, default = "Wait::Sleep", from_str_fn(wait_of))]
    pub(crate) load_wait: Wait,
}
