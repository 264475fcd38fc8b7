//! Setting a ring up: the ladder of flags, the registrations, and what a refusal means. See
//! `kernel-notes/ring-setup.md`.

use std::io;
use std::os::fd::AsRawFd;

use io_uring::IoUring;

use super::buf::{Arena, BUFFER_GROUP};
use super::feature::{Capabilities, Feature};
use super::sys::page_bytes;

/// How large a ring and its arena are.
#[derive(Debug, Clone)]
pub struct RingConfig {
    /// Completion queue entries; a power of two.
    pub completion_entries: u32,
    /// Receive buffers.
    pub buffers: u16,
    /// Bytes of each.
    pub buffer_bytes: u32,
    /// What the kernel can.
    pub capabilities: Capabilities,
}

/// Submissions between two enters: a quarter of the completions, at least as many as the smallest queue has.
fn submission_entries(completion_entries: u32) -> u32 {
    (completion_entries / 4)
        .clamp(8, 4096)
        .min(completion_entries)
}

impl RingConfig {
    /// What one ring of this size charges to RLIMIT_MEMLOCK: its queues and its buffer ring (since 6.14 or so), and the
    /// arena once that is registered. A bound rather than a count: each part is rounded up to pages.
    #[must_use]
    pub fn locked_bytes(&self, arena_registered: bool) -> u64 {
        let page = page_bytes() as u64;
        let submissions = u64::from(submission_entries(self.completion_entries));
        let completions = u64::from(self.completion_entries);
        let header = 320 + submissions * 4;
        let queues = (submissions * 64).next_multiple_of(page)
            + (completions * 16 + header).next_multiple_of(page);
        let buffer_ring = (u64::from(self.buffers.next_power_of_two()) * 16).next_multiple_of(page);
        let arena = Arena::memory_bytes(self.buffers, self.buffer_bytes).next_multiple_of(page);
        queues + buffer_ring + if arena_registered { arena } else { 0 }
    }
}

/// Sets up a ring, without the index array (6.6) where the kernel can.
pub(super) fn ring(completion_entries: u32, capabilities: Capabilities) -> io::Result<IoUring> {
    build(completion_entries, capabilities.has(Feature::NoSqArray))
}

/// One rung of the ladder.
pub(super) fn build(completion_entries: u32, without_array: bool) -> io::Result<IoUring> {
    let mut builder = IoUring::builder();
    builder
        .setup_single_issuer()
        .setup_defer_taskrun()
        .setup_taskrun_flag()
        .setup_submit_all()
        .setup_clamp()
        .setup_cqsize(completion_entries)
        .dontfork();
    if without_array {
        builder.setup_no_sqarray();
    }
    builder.build(submission_entries(completion_entries))
}

/// Provides the arena's buffers to the kernel.
pub(super) fn provide(ring: &IoUring, arena: &Arena) -> io::Result<()> {
    // SAFETY: the arena outlives the ring's use of it: `Ring` drops the ring first, and leaks the arena when operations
    // are still in flight.
    unsafe {
        ring.submitter().register_buf_ring_with_flags(
            arena.ring_address(),
            arena.ring_entries(),
            BUFFER_GROUP,
            0,
        )
    }
}

/// Registers the arena as the one fixed buffer, which pins its memory (RLIMIT_MEMLOCK).
pub(super) fn register(ring: &IoUring, arena: &Arena) -> io::Result<()> {
    // SAFETY: as in `provide`; the kernel holds its own references to the pages.
    unsafe { ring.submitter().register_buffers(&[arena.as_iovec()]) }
}

/// At most this many worker threads: none of our operations needs one, so more would be a mistake that shows.
const IO_WORKERS_MAX: u32 = 2;

/// Limits the kernel's worker threads of this ring.
pub(super) fn limit_workers(ring: &IoUring) -> io::Result<()> {
    ring.submitter()
        .register_iowq_max_workers(&mut [IO_WORKERS_MAX, IO_WORKERS_MAX])
}

/// Registers the ring's own descriptor, which saves a lookup on each enter (5.18), and gives its index.
pub(super) fn register_descriptor(ring: &IoUring) -> io::Result<u32> {
    #[repr(C)]
    struct Update {
        offset: u32,
        reserved: u32,
        data: u64,
    }
    const REGISTER_RING_FDS: libc::c_uint = 20;
    let descriptor = u64::try_from(ring.as_raw_fd()).unwrap_or(u64::MAX);
    let mut update = Update {
        offset: u32::MAX,
        reserved: 0,
        data: descriptor,
    };
    // SAFETY: the kernel reads and writes one io_uring_rsrc_update, whose layout this is (io_uring_register(2)).
    let registered = unsafe {
        libc::syscall(
            libc::SYS_io_uring_register,
            ring.as_raw_fd(),
            REGISTER_RING_FDS,
            &raw mut update,
            1,
        )
    };
    if registered < 0 {
        Err(io::Error::last_os_error())
    } else {
        Ok(update.offset)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_submission_queue_is_never_longer_than_the_completion_queue() {
        for (completions, submissions) in
            [(8, 8), (16, 8), (64, 16), (16_384, 4096), (65_536, 4096)]
        {
            assert_eq!(submission_entries(completions), submissions);
        }
    }
}
