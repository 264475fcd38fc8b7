//! What is typed after `relay`.

use std::net::SocketAddr;

use argh::FromArgs;

use super::value::count_of;

const PIPE_BYTES: usize = 256 * 1024;

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
