//! What the tests drive the program with: the program itself as a child process, origins and clients on real sockets,
//! a name server that answers as it is told, and content that says where each byte belongs.
//!
//! Nothing here sleeps to let something happen: every wait is for an event, and has a deadline.
#![allow(dead_code, unused_imports)] // each test file takes the part it needs

mod client;
mod content;
mod dns;
mod exchange;
mod network;
mod origin;
mod process;
mod proxy;
mod web;

use std::time::{Duration, Instant};

pub(crate) use client::{
    End, Reply, ask, ask_from, await_abort, connect, connect_from, end_of, expect_no_abort,
    expect_quiet, head, open_tunnel, ping, read_exactly, read_reply, read_until_end, refused,
    reset, try_reply, write_until_all_stalled, write_until_stalled,
};
pub(crate) use content::{Content, receive, receive_slowly, send};
pub(crate) use dns::{A, AAAA, Dns, Message, NAME_ERROR, Query, SERVER_FAILURE};
pub(crate) use exchange::{Exchange, about, chunked, get, send_chunked, stall};
pub(crate) use network::{in_own_network, skip};
pub(crate) use origin::{Blackhole, Echo, Origin, Side, Tunnel, ipv6_loopback, loopback};
pub(crate) use process::{Process, raise_file_limit};
pub(crate) use proxy::{Footing, Launch, Proxy, Snapshot, first_core};
pub(crate) use web::{Head, HttpMessage, Wire, expect_cut_off};

/// How long an event may take before the test says that it will not come. Generous, because the machine may be busy;
/// nothing waits this long when the program is right.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// Asks again and again, a few milliseconds apart, until `done` gives something; panics with `what` after [`PATIENCE`].
/// For state that has no event to wait for, such as a file of `/proc`.
#[track_caller]
pub(crate) fn until<T>(what: &str, mut done: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(value) = done() {
            return value;
        }
        assert!(
            Instant::now() < deadline,
            "waited {PATIENCE:?} in vain for: {what}"
        );
        std::thread::park_timeout(Duration::from_millis(5));
    }
}
