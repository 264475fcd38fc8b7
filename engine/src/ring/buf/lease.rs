//! Received bytes in an arena buffer, held until the last lease on the buffer is dropped.

use std::ops::{Deref, Range};
use std::rc::Rc;

use super::Arena;
use crate::limits::BUFFER_HEADROOM_BYTES;

/// Bytes of one arena buffer. Cloning it shares the buffer; dropping the last one returns it to the kernel.
#[derive(Debug)]
pub struct Lease {
    arena: Rc<Arena>,
    buffer: u16,
    /// From the start of the room in front of the buffer.
    start: u32,
    end: u32,
}

impl Lease {
    /// Takes over the lease that [`Arena::taken`] counted.
    pub(in crate::ring) fn new(arena: Rc<Arena>, buffer: u16, bytes: u32) -> Self {
        assert!(
            bytes <= arena.buffer_bytes(),
            "the kernel filled more than the buffer holds"
        );
        Self {
            arena,
            buffer,
            start: BUFFER_HEADROOM_BYTES,
            end: BUFFER_HEADROOM_BYTES + bytes,
        }
    }

    /// Drops the first `bytes` bytes from view; more than there are leaves nothing.
    pub fn advance(&mut self, bytes: u32) {
        self.start = self.start.saturating_add(bytes).min(self.end);
    }

    /// The same buffer, narrowed to `range` of the bytes in view; what lies outside is cut off.
    #[must_use]
    pub fn slice(mut self, range: Range<u32>) -> Self {
        let base = self.start;
        self.end = base.saturating_add(range.end).min(self.end);
        self.start = base.saturating_add(range.start).min(self.end);
        self
    }

    /// Puts `bytes` in front of what is in view, over what was advanced past and into the room before that. Says whether
    /// there was room; there is none in a buffer that is shared, because others may have it in view.
    #[must_use]
    pub fn prepend(&mut self, bytes: &[u8]) -> bool {
        let fits = u32::try_from(bytes.len())
            .ok()
            .and_then(|length| self.start.checked_sub(length));
        let Some(start) = fits.filter(|_| !self.arena.is_shared(self.buffer)) else {
            return false;
        };
        // SAFETY: the lease holds the buffer out of the buffer ring and is the only one on it, so nobody else reads or
        // writes it; `start + bytes.len()` is the old start, which is inside the buffer; `bytes` is borrowed memory, which
        // cannot be of this buffer, since only a lease gives out references into it.
        unsafe {
            let to = self.arena.address(self.buffer).add(start as usize);
            std::ptr::copy_nonoverlapping(bytes.as_ptr(), to.as_ptr(), bytes.len());
        }
        self.start = start;
        true
    }

    /// Bytes in view.
    #[must_use]
    pub fn bytes(&self) -> u32 {
        self.end - self.start
    }

    /// Whether the receive filled the whole buffer, so that more is likely to wait.
    #[must_use]
    pub fn fills_buffer(&self) -> bool {
        self.end == BUFFER_HEADROOM_BYTES + self.arena.buffer_bytes()
    }
}

impl Deref for Lease {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        let length = self.bytes() as usize;
        // SAFETY: the lease holds the buffer out of the buffer ring, so the kernel does not write to it; `end` is at
        // most `buffer_bytes` (asserted in `new`, only ever lowered); the mapping lives as long as the Rc. The memory
        // is initialised: anonymous mappings start as zeroes.
        unsafe {
            let start = self.arena.address(self.buffer).add(self.start as usize);
            std::slice::from_raw_parts(start.as_ptr(), length)
        }
    }
}

impl Clone for Lease {
    fn clone(&self) -> Self {
        self.arena.share(self.buffer);
        Self {
            arena: Rc::clone(&self.arena),
            ..*self
        }
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        self.arena.release(self.buffer);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_go_in_front_as_far_as_there_is_room_and_nobody_else_looks() {
        let arena = Rc::new(Arena::map(2, 512).expect("a small mapping"));
        arena.taken(1);
        let mut lease = Lease::new(Rc::clone(&arena), 1, 512);
        lease.advance(10);
        let other = lease.clone();
        assert!(!lease.prepend(b"x"), "somebody else may read it");
        drop(other);
        let room = 10 + BUFFER_HEADROOM_BYTES as usize;
        assert!(!lease.prepend(&vec![7; room + 1]));
        assert!(lease.prepend(&vec![7; room - 1]) && lease.prepend(&[8]) && !lease.prepend(&[9]));
        assert_eq!(lease.len(), room + 502);
        assert_eq!(
            (lease[0], lease[1], lease[room - 1], lease[room]),
            (8, 7, 7, 0)
        );
        assert!(lease.fills_buffer());
    }

    #[test]
    fn a_lease_narrows_and_returns_its_buffer() {
        let arena = Rc::new(Arena::map(1, 512).expect("a small mapping"));
        arena.taken(0);
        let mut lease = Lease::new(Rc::clone(&arena), 0, 100);
        assert_eq!(lease.len(), 100);
        lease.advance(40);
        let tail = lease.clone().slice(10..1000);
        assert_eq!((lease.bytes(), tail.bytes()), (60, 50));
        drop(lease);
        assert_eq!(arena.free(), 0);
        drop(tail);
        assert_eq!(arena.free(), 1);
    }
}
