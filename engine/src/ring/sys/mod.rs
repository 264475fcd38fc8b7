//! Direct system calls: those that must not be ring operations (`shutdown`, `splice`: the ring hands them to a worker
//! thread), those that happen once per socket or once per process, and the memory behind the buffers.

mod congestion;
mod memory;
mod pipe;
mod process;
mod socket;

pub use congestion::CongestionControl;
pub(in crate::ring) use memory::{Mapping, page_bytes};
pub use pipe::{Pipe, Spliced};
pub use process::{
    MemoryLock, allowed_cpus, kernel_release, memory_lock, raise_file_limit, seccomp_filtered,
};
pub(in crate::ring) use socket::SocketAddress;
pub use socket::{
    Accepted, Shutdown, accept, bind_listener, duplicate, eventfd, eventfd_clear, eventfd_signal,
    is_of_this_host, is_quiet, local_address, peer_address, send_at_once, set_reset_on_close,
    shutdown, take_error, tcp_socket, udp_socket,
};

use std::io;

/// Turns the -1 of a system call into its errno.
fn check(result: libc::c_int) -> io::Result<libc::c_int> {
    if result < 0 {
        Err(io::Error::last_os_error())
    } else {
        Ok(result)
    }
}
