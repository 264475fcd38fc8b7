//! What the relays on monoio and on tokio-uring share: a ring's set-up, its absence, and resets of sockets that are
//! AsRawFd only. Both runtimes take the same builder, of the same version of the io-uring crate.

use std::io;
use std::os::fd::AsRawFd;
use std::time::Duration;

use io_uring::{Builder, IoUring};
use socket2_raw::SockRef;

/// Submissions that are handed in at once, which is monoio's own default.
pub(super) const ENTRIES: u32 = 1024;

/// Completions before the kernel has to keep some aside: as many as a thousand connections may have at once.
const COMPLETIONS: u32 = 8 * 1024;

/// When completions are brought to an end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Completing {
    /// Whenever the thread enters the kernel: for a runtime that waits for the ring with epoll.
    Entering,
    /// Only when it waits for the ring.
    Waiting,
}

/// A ring of one thread.
pub(super) fn builder(completing: Completing) -> Builder {
    let mut builder = IoUring::builder();
    builder
        .setup_cqsize(COMPLETIONS)
        .setup_submit_all()
        .setup_single_issuer();
    match completing {
        Completing::Entering => builder.setup_coop_taskrun(),
        Completing::Waiting => builder.setup_defer_taskrun(),
    };
    builder
}

/// Says what it means that there is no ring.
pub(super) fn unavailable(error: io::Error) -> io::Error {
    let text = format!(
        "no io_uring of Linux 6.1 or newer ({error}), and this relay runs on nothing else: see \
         kernel.io_uring_disabled, and the seccomp profile of a container"
    );
    io::Error::new(error.kind(), text)
}

/// Makes the coming close a reset.
pub(super) fn reset(socket: &impl AsRawFd) {
    let _ = SockRef::from(socket).set_linger(Some(Duration::ZERO));
}
