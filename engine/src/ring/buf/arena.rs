//! One mapping that holds every receive buffer of a worker, and the buffer ring that lends them to the kernel
//! (io_uring_provided_buffers(7)). See `kernel-notes/provided-buffers.md`.
//!
//! In front of each buffer is a little room that the kernel does not fill, see [`super::Lease::prepend`].
//!
//! A buffer is in exactly one place: in the buffer ring (the kernel may write to it), or lent out behind one or more
//! [`super::Lease`]s (the kernel may only read from it, for a send). The last lease to go puts it back in the ring.

use std::cell::Cell;
use std::io;
use std::ptr::NonNull;
use std::sync::atomic::{AtomicU16, Ordering};

use io_uring::types::BufRingEntry;

use crate::limits::BUFFER_HEADROOM_BYTES;
use crate::ring::sys::{Mapping, page_bytes};

/// The buffer group of the arena; a ring has one.
pub(crate) const BUFFER_GROUP: u16 = 0;
/// The registered buffer index that covers the whole arena.
pub(crate) const ARENA_BUFFER_INDEX: u16 = 0;

/// The receive buffers of one ring.
pub struct Arena {
    memory: Mapping,
    ring: Mapping,
    ring_mask: u16,
    buffers: u16,
    buffer_bytes: u32,
    tail: Cell<u16>,
    /// Leases on each buffer; zero means that it is in the ring.
    leases: Box<[Cell<u16>]>,
    /// For a buffer in an inbox: the buffer behind it, and the bytes it holds.
    queued: Box<[Cell<(u16, u32)>]>,
    free: Cell<u16>,
}

impl std::fmt::Debug for Arena {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Arena")
            .field("buffers", &self.buffers)
            .field("free", &self.free.get())
            .finish()
    }
}

impl Arena {
    /// Maps `buffers` buffers of `buffer_bytes` bytes each and fills the buffer ring with them. The ring still has to
    /// be registered.
    ///
    /// # Errors
    /// What mmap(2) says.
    pub(in crate::ring) fn map(buffers: u16, buffer_bytes: u32) -> io::Result<Self> {
        debug_assert!(buffers > 0 && buffer_bytes > 0);
        let page = page_bytes();
        let ring_entries = buffers.next_power_of_two();
        let ring_bytes = usize::from(ring_entries) * size_of::<BufRingEntry>();
        let memory = Mapping::anonymous(
            usize::try_from(Self::memory_bytes(buffers, buffer_bytes))
                .unwrap_or(usize::MAX)
                .next_multiple_of(page),
        )?;
        let ring = Mapping::anonymous(ring_bytes.next_multiple_of(page))?;
        let arena = Self {
            memory,
            ring,
            ring_mask: ring_entries - 1,
            buffers,
            buffer_bytes,
            tail: Cell::new(0),
            leases: (0..buffers).map(|_| Cell::new(1)).collect(),
            queued: (0..buffers).map(|_| Cell::new((0, 0))).collect(),
            free: Cell::new(0),
        };
        for buffer in 0..buffers {
            arena.release(buffer);
        }
        Ok(arena)
    }

    /// Bytes that so many buffers take, each with the room in front of it.
    pub(in crate::ring) fn memory_bytes(buffers: u16, buffer_bytes: u32) -> u64 {
        u64::from(buffers) * (u64::from(buffer_bytes) + u64::from(BUFFER_HEADROOM_BYTES))
    }

    /// Bytes that registering it locks.
    #[must_use]
    pub fn locked_bytes(&self) -> u64 {
        self.memory.bytes() as u64
    }

    /// Buffers of the arena.
    #[must_use]
    pub fn buffers(&self) -> u16 {
        self.buffers
    }

    /// Bytes of one buffer.
    #[must_use]
    pub fn buffer_bytes(&self) -> u32 {
        self.buffer_bytes
    }

    /// Buffers that the kernel may receive into now.
    #[must_use]
    pub fn free(&self) -> u16 {
        self.free.get()
    }

    pub(in crate::ring) fn ring_address(&self) -> u64 {
        self.ring.base().as_ptr() as u64
    }

    pub(in crate::ring) fn ring_entries(&self) -> u16 {
        self.ring_mask + 1
    }

    /// The whole memory, as IORING_REGISTER_BUFFERS wants it.
    pub(in crate::ring) fn as_iovec(&self) -> libc::iovec {
        libc::iovec {
            iov_base: self.memory.base().as_ptr().cast(),
            iov_len: self.memory.bytes(),
        }
    }

    /// Where the room in front of `buffer` starts.
    pub(in crate::ring) fn address(&self, buffer: u16) -> NonNull<u8> {
        assert!(
            buffer < self.buffers,
            "buffer {buffer} is not of this arena"
        );
        // SAFETY: the buffer is of this arena (asserted), so the offset stays inside the mapping.
        unsafe {
            self.memory
                .base()
                .add(usize::from(buffer) * (self.buffer_bytes + BUFFER_HEADROOM_BYTES) as usize)
        }
    }

    /// The kernel has filled `buffer`: it is out of the ring, with one lease on it.
    pub(in crate::ring) fn taken(&self, buffer: u16) {
        let leases = &self.leases[usize::from(buffer)];
        assert!(
            leases.get() == 0,
            "the kernel gave out a buffer it did not have"
        );
        leases.set(1);
        self.free.set(self.free.get() - 1);
    }

    /// Whether there is more than one lease on `buffer`.
    pub(in crate::ring) fn is_shared(&self, buffer: u16) -> bool {
        self.leases[usize::from(buffer)].get() > 1
    }

    pub(in crate::ring) fn share(&self, buffer: u16) {
        let leases = &self.leases[usize::from(buffer)];
        debug_assert!(leases.get() > 0);
        leases.set(leases.get() + 1);
    }

    /// One lease on `buffer` ends; the last one puts it back in the ring.
    pub(in crate::ring) fn release(&self, buffer: u16) {
        let leases = &self.leases[usize::from(buffer)];
        assert!(leases.get() > 0, "a buffer came back twice");
        leases.set(leases.get() - 1);
        if leases.get() == 0 {
            self.publish(buffer);
        }
    }

    /// The buffer behind `buffer` in its inbox, and the bytes in `buffer`.
    pub(in crate::ring) fn queued(&self, buffer: u16) -> (u16, u32) {
        self.queued[usize::from(buffer)].get()
    }

    pub(in crate::ring) fn set_queued(&self, buffer: u16, behind: u16, bytes: u32) {
        self.queued[usize::from(buffer)].set((behind, bytes));
    }

    fn publish(&self, buffer: u16) {
        let tail = self.tail.get();
        let entries = self.ring.base().cast::<BufRingEntry>();
        // SAFETY: the mapping holds `ring_mask + 1` entries and the slot is masked. The entry is free: at most
        // `buffers` of the entries are between head and tail, and this buffer is not one of them. `set_*` write the
        // address, length and id only; `resv` of entry 0, where the kernel reads the tail, is left alone.
        unsafe {
            let entry = entries.add(usize::from(tail & self.ring_mask)).as_mut();
            let start = self.address(buffer).add(BUFFER_HEADROOM_BYTES as usize);
            entry.set_addr(start.as_ptr() as u64);
            entry.set_len(self.buffer_bytes);
            entry.set_bid(buffer);
        }
        let tail = tail.wrapping_add(1);
        // SAFETY: `entries` is the page-aligned base of the ring, whose first entry holds the tail.
        let published =
            unsafe { AtomicU16::from_ptr(BufRingEntry::tail(entries.as_ptr()).cast_mut()) };
        // The kernel pairs this with an acquire load before it reads the entry.
        published.store(tail, Ordering::Release);
        self.tail.set(tail);
        self.free.set(self.free.get() + 1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_buffer_is_published_by_its_last_lease() {
        let arena = Arena::map(4, 512).expect("a small mapping");
        assert_eq!((arena.free(), arena.tail.get()), (4, 4));
        arena.taken(2);
        arena.share(2);
        arena.release(2);
        assert_eq!(arena.free(), 3);
        arena.release(2);
        assert_eq!((arena.free(), arena.tail.get()), (4, 5));
    }

    #[test]
    #[should_panic(expected = "came back twice")]
    fn a_second_return_is_caught() {
        let arena = Arena::map(1, 512).expect("a small mapping");
        arena.release(0);
    }

    #[test]
    fn the_ring_is_page_aligned_and_a_power_of_two() {
        let arena = Arena::map(3, 1000).expect("a small mapping");
        assert_eq!(arena.ring_address() % page_bytes() as u64, 0);
        assert_eq!(arena.ring_entries(), 4);
        assert_eq!(
            arena.address(2).as_ptr() as usize - arena.address(0).as_ptr() as usize,
            2 * (1000 + BUFFER_HEADROOM_BYTES as usize)
        );
    }
}
