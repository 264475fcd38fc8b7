//! What is typed after `run`.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use argh::FromArgs;

use super::value::{Core, core_of, count_of, duration_of, mode_of, rate_of, wait_of};
use super::{DURATION, ORIGIN, PROXY, WARM_UP};
use crate::load::{Mode, Wait};
use crate::workload::Workload;

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
