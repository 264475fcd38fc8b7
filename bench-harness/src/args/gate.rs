//! What is typed after `gate`.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use argh::FromArgs;

use super::value::{
    Core, Cores, Names, address_of, core_of, cores_of, count_of, duration_of, names_of, percent_of,
};
use crate::reference::Kind;

/// Many short rounds: what disturbs a machine comes and goes in seconds, so that the runs of a short round are alike in
/// it, and the median of many passes over the rest.
const ROUNDS: usize = 25;
const DURATION: Duration = Duration::from_millis(150);
const WARM_UP: Duration = Duration::from_millis(50);
const LIMIT: Duration = Duration::from_secs(4 * 60);

/// Port 0: a free one.
const ANY: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 0);

/// An interval of fewer is narrow for no reason.
const ROUNDS_MIN: usize = 3;

/// hold a build of Ringway against another build, or beside a reference relay, in interleaved pairs: time, instructions
/// and system calls. Exit code 1 where it is worse by more than a bound, with the whole interval beyond it
#[derive(FromArgs, Debug)]
#[argh(
    subcommand,
    name = "gate",
    help_triggers("-h", "--help"),
    example = "{command_name} --candidate target/release/ringway --baseline /opt/ringway/bin/ringway --bound 5\n\
               {command_name} --candidate target/release/ringway --reference epoll --counts ci/gate.txt"
)]
pub(crate) struct Gate {
    /// program of Ringway that is judged
    #[argh(option)]
    pub(crate) candidate: PathBuf,

    /// program of Ringway that it is held against
    #[argh(option)]
    pub(crate) baseline: Option<PathBuf>,

    /// reference relay that it is held against: epoll, monoio or tokio-uring. Of another program only time has a bound;
    /// counts have one by --counts
    #[argh(option)]
    pub(crate) reference: Option<Kind>,

    /// workloads with commas between: of W1, W3 and W9 [default: all]
    #[argh(option, default = "Names::All", from_str_fn(names_of))]
    pub(crate) workloads: Names,

    /// how much worse it may be in time, in percent [default: 10]
    #[argh(option, default = "10.0", from_str_fn(percent_of))]
    pub(crate) bound: f64,

    /// how much worse it may be in instructions and system calls, in percent [default: 2]
    #[argh(option, default = "2.0", from_str_fn(percent_of))]
    pub(crate) count_bound: f64,

    /// file with counts that it is held against as well
    #[argh(option)]
    pub(crate) counts: Option<PathBuf>,

    /// write the counts of the candidate to that file instead
    #[argh(switch)]
    pub(crate) update_counts: bool,

    /// rounds of runs for each point, at least 3; counts take 3 [default: 25]
    #[argh(option, default = "ROUNDS", from_str_fn(count_of))]
    pub(crate) rounds: usize,

    /// length of each timed part [default: 150ms]
    #[argh(option, default = "DURATION", from_str_fn(duration_of))]
    pub(crate) duration: Duration,

    /// length of the warm-up before it [default: 50ms]
    #[argh(option, default = "WARM_UP", from_str_fn(duration_of))]
    pub(crate) warm_up: Duration,

    /// time after which no round is done again, and nothing is counted twice [default: 4m]
    #[argh(option, default = "LIMIT", from_str_fn(duration_of))]
    pub(crate) limit: Duration,

    /// address that all listen on, one after the other; port 0 is a free one [default: 127.0.0.1:0]
    #[argh(option, default = "ANY", from_str_fn(address_of))]
    pub(crate) proxy: SocketAddr,

    /// address the origin listens on; port 0 is a free one [default: 127.0.0.1:0]
    #[argh(option, default = "ANY", from_str_fn(address_of))]
    pub(crate) origin: SocketAddr,

    /// core that all are pinned to [default: 1]
    #[argh(option, default = "Core(Some(1))", from_str_fn(core_of))]
    pub(crate) core: Core,

    /// cores that the load is pinned to, each with a thread, or none [default: 0]
    #[argh(option, default = "Cores(vec![0])", from_str_fn(cores_of))]
    pub(crate) load_cores: Cores,

    /// write the result to this file too, as JSON
    #[argh(option)]
    pub(crate) out: Option<PathBuf>,
}

impl Gate {
    /// What no option says alone.
    pub(crate) fn check(&self) -> Result<(), String> {
        if self.baseline.is_some() == self.reference.is_some() {
            return Err("give either --baseline or --reference".to_owned());
        }
        if self.reference == Some(Kind::Splice) {
            return Err(
                "--reference splice reads no requests: give epoll, monoio or tokio-uring"
                    .to_owned(),
            );
        }
        if self.update_counts && self.counts.is_none() {
            return Err("--update-counts needs --counts, the file to write".to_owned());
        }
        if self.rounds < ROUNDS_MIN {
            return Err(format!("--rounds: fewer than {ROUNDS_MIN} say nothing"));
        }
        match self.core.0 {
            // Ringway starts a worker for each core it may run on.
            None => Err("--core none: what is gated must be pinned to one core".to_owned()),
            Some(_) => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_no_option_says_alone() {
        let check = |line: &str| {
            let words: Vec<&str> = line.split(' ').collect();
            Gate::from_args(&["gate"], &words).unwrap().check()
        };
        check("--candidate a --baseline b").unwrap();
        check("--candidate a --reference tokio-uring --counts c --update-counts").unwrap();
        for wrong in [
            "--candidate a",
            "--candidate a --baseline b --reference epoll",
            "--candidate a --reference splice",
            "--candidate a --baseline b --update-counts",
            "--candidate a --baseline b --core none",
            "--candidate a --baseline b --rounds 2",
        ] {
            assert!(check(wrong).is_err(), "{wrong}");
        }
    }
}
