//! What is typed after `compare`.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use argh::FromArgs;

use super::value::{
    Core, Cores, Names, core_of, cores_of, count_of, duration_of, names_of, wait_of,
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
    note = "Rivals that are not installed are left out, and named; ci/peers installs them."
)]
pub(crate) struct Compare {
    /// workloads with commas between, or all; see `list` [default: all]
    #[argh(option, default = "Names::All", from_str_fn(names_of))]
    pub(crate) workloads: Names,

    /// contenders with commas between: haproxy, nginx, squid, tinyproxy, envoy, sing-box, epoll, monoio, tokio-uring,
    /// direct; or all [default: all]
    #[argh(option, default = "Names::All", from_str_fn(names_of))]
    pub(crate) peers: Names,

    /// how often each contender is run at each point [default: 5]
    #[argh(option, default = "5", from_str_fn(count_of))]
    pub(crate) rounds: usize,

    /// write the result to this file too, as JSON
    #[argh(option)]
    pub(crate) out: Option<PathBuf>,

    /// program of Ringway [default: the one beside this program, or on the PATH]
    #[argh(option)]
    pub(crate) ringway: Option<PathBuf>,

    /// length of each timed part [default: 3s]
    #[argh(option, default = "DURATION", from_str_fn(duration_of))]
    pub(crate) duration: Duration,

    /// length of the warm-up before it [default: 500ms]
    #[argh(option, default = "WARM_UP", from_str_fn(duration_of))]
    pub(crate) warm_up: Duration,

    /// address that contenders listen on, one after the other [default: 127.0.0.1:3128]
    #[argh(option, default = "PROXY")]
    pub(crate) proxy: SocketAddr,

    /// address the origin listens on [default: 127.0.0.1:18080]
    #[argh(option, default = "ORIGIN")]
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
