//! What is typed after `gate`.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use argh::FromArgs;

use super::value::{Core, Cores, core_of, cores_of, count_of, duration_of, percent_of};
use super::{DURATION, ORIGIN, PROXY, WARM_UP};

/// hold a build of Ringway against another build or a reference relay, in interleaved pairs; exit code 1 where it is
/// worse by more than the bound, the whole interval of the bootstrap beyond it
#[derive(FromArgs, Debug)]
#[argh(
    subcommand,
    name = "gate",
    help_triggers("-h", "--help"),
    example = "{command_name} --candidate target/release/ringway --baseline /opt/ringway/bin/ringway --bound 5",
    example = "{command_name} --candidate target/release/ringway --reference epoll"
)]
pub(crate) struct Gate {
    /// program of Ringway that is judged
    #[argh(option)]
    pub(crate) candidate: PathBuf,

    /// program of Ringway that it is held against
    #[argh(option)]
    pub(crate) baseline: Option<PathBuf>,

    /// reference relay that it is held against: epoll, monoio or tokio-uring
    #[argh(option)]
    pub(crate) reference: Option<String>,

    /// how much worse it may be in time, in percent; instructions and system calls have tighter bounds of their own
    /// [default: 10]
    #[argh(option, default = "10.0", from_str_fn(percent_of))]
    pub(crate) bound: f64,

    /// pairs of runs for each point [default: 9]
    #[argh(option, default = "9", from_str_fn(count_of))]
    pub(crate) rounds: usize,

    /// length of each timed part [default: 3s]
    #[argh(option, default = "DURATION", from_str_fn(duration_of))]
    pub(crate) duration: Duration,

    /// length of the warm-up before it [default: 500ms]
    #[argh(option, default = "WARM_UP", from_str_fn(duration_of))]
    pub(crate) warm_up: Duration,

    /// address that both listen on, one after the other [default: 127.0.0.1:3128]
    #[argh(option, default = "PROXY")]
    pub(crate) proxy: SocketAddr,

    /// address the origin listens on [default: 127.0.0.1:18080]
    #[argh(option, default = "ORIGIN")]
    pub(crate) origin: SocketAddr,

    /// core that both are pinned to, or none [default: 1]
    #[argh(option, default = "Core(Some(1))", from_str_fn(core_of))]
    pub(crate) core: Core,

    /// cores that the load is pinned to, each with a thread, or none [default: 0]
    #[argh(option, default = "Cores(vec![0])", from_str_fn(cores_of))]
    pub(crate) load_cores: Cores,

    /// write the result to this file too, as JSON
    #[argh(option)]
    pub(crate) out: Option<PathBuf>,
}
