//! What is typed after `relay`.

use std::net::SocketAddr;

use argh::FromArgs;

use super::value::{address_of, count_of};
use crate::reference::{Job, Kind};

const PIPE_BYTES: usize = 256 * 1024;

/// be a small relay to compare with: splice, the bare floor for bulk, with one fixed target; or a CONNECT proxy on
/// plain epoll, monoio or tokio-uring, without policy, names and timeouts
#[derive(FromArgs, Debug)]
#[argh(
    subcommand,
    name = "relay",
    help_triggers("-h", "--help"),
    example = "{command_name} --listen 127.0.0.1:3128 --target 127.0.0.1:18080\n\
               {command_name} --kind monoio --listen 127.0.0.1:3128"
)]
pub(crate) struct Relay {
    /// what it is built on: splice, epoll, monoio or tokio-uring [default: splice]
    #[argh(option, default = "Kind::Splice")]
    pub(crate) kind: Kind,

    /// address to listen on
    #[argh(option, from_str_fn(address_of))]
    pub(crate) listen: SocketAddr,

    /// address that every connection goes to; for splice, and only there
    #[argh(option, from_str_fn(address_of))]
    pub(crate) target: Option<SocketAddr>,

    /// size of a pipe, and most bytes of one splice; for splice only [default: 262144]
    #[argh(option, from_str_fn(count_of))]
    pub(crate) pipe_bytes: Option<usize>,
}

impl Relay {
    /// What it is to do, or what no option says alone.
    pub(crate) fn job(&self) -> Result<Job, String> {
        match (self.kind, self.target, self.pipe_bytes) {
            (Kind::Splice, None, _) => {
                Err("--kind splice needs --target, where every connection goes".to_owned())
            }
            (Kind::Splice, Some(target), pipe_bytes) => Ok(Job::Splice {
                target,
                pipe_bytes: pipe_bytes.unwrap_or(PIPE_BYTES),
            }),
            (Kind::Epoll, None, None) => Ok(Job::Epoll),
            (Kind::Monoio, None, None) => Ok(Job::Monoio),
            (Kind::TokioUring, None, None) => Ok(Job::TokioUring),
            (kind, ..) => Err(format!(
                "--target and --pipe-bytes are for --kind splice: {} goes where it is asked to",
                kind.name()
            )),
        }
    }
}
