//! Buffers for bytes that this program makes: rewritten heads, and what goes out with them. They are used again, so that
//! a request costs no allocation. Not arena memory: what waits in one keeps no receive from its buffer.

use std::cell::RefCell;
use std::ops::{Deref, DerefMut};
use std::rc::Rc;

/// Buffers kept for the next user.
const IDLE_MAX: usize = 256;
/// A buffer that has grown past this is not kept.
const KEPT_BYTES_MAX: usize = 32 * 1024;

/// The buffers of one worker; clones are the same pool. Boxed, so that a buffer on its way is one pointer.
#[expect(clippy::vec_box, reason = "the boxes are what is lent")]
#[derive(Debug, Clone, Default)]
pub struct ScratchPool(Rc<RefCell<Vec<Box<Bytes>>>>);

/// A buffer to write into and then to send. Dropping it gives it back.
#[derive(Debug)]
pub struct Scratch {
    bytes: Option<Box<Bytes>>,
    pool: ScratchPool,
}

#[derive(Debug, Default)]
struct Bytes {
    written: Vec<u8>,
    /// So many of them are out of view.
    start: usize,
}

impl ScratchPool {
    /// An empty buffer.
    #[must_use]
    pub fn take(&self) -> Scratch {
        let bytes = self.0.borrow_mut().pop().unwrap_or_default();
        Scratch {
            bytes: Some(bytes),
            pool: self.clone(),
        }
    }
}

impl Scratch {
    /// Drops the first `bytes` bytes from view; more than there are leaves nothing.
    pub fn advance(&mut self, bytes: u32) {
        if let Some(buffer) = &mut self.bytes {
            buffer.start = buffer
                .start
                .saturating_add(bytes as usize)
                .min(buffer.written.len());
        }
    }

    /// Cuts off what lies behind the first `bytes` bytes in view.
    pub fn truncate(&mut self, bytes: usize) {
        if let Some(buffer) = &mut self.bytes {
            buffer.written.truncate(buffer.start.saturating_add(bytes));
        }
    }

    /// Where to write.
    pub fn writer(&mut self) -> &mut Vec<u8> {
        &mut self.bytes.get_or_insert_default().written
    }
}

impl Deref for Scratch {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        self.bytes
            .as_ref()
            .and_then(|buffer| buffer.written.get(buffer.start..))
            .unwrap_or_default()
    }
}

impl DerefMut for Scratch {
    fn deref_mut(&mut self) -> &mut [u8] {
        self.bytes
            .as_mut()
            .and_then(|buffer| buffer.written.get_mut(buffer.start..))
            .unwrap_or_default()
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let Some(mut buffer) = self.bytes.take() else {
            return;
        };
        let mut idle = self.pool.0.borrow_mut();
        if idle.len() < IDLE_MAX && buffer.written.capacity() <= KEPT_BYTES_MAX {
            buffer.written.clear();
            buffer.start = 0;
            idle.push(buffer);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_buffer_comes_back_empty_and_with_its_room() {
        let pool = ScratchPool::default();
        let mut scratch = pool.take();
        scratch.writer().extend_from_slice(b"head and body");
        scratch.advance(5);
        assert_eq!(&*scratch, b"and body");
        scratch.truncate(3);
        assert_eq!(&*scratch, b"and");
        let address = scratch.writer().as_ptr();
        drop(scratch);
        let mut again = pool.take();
        assert!(again.is_empty());
        assert_eq!(again.writer().as_ptr(), address);
    }

    #[test]
    fn a_buffer_that_has_grown_is_not_kept() {
        let pool = ScratchPool::default();
        let mut scratch = pool.take();
        scratch.writer().resize(KEPT_BYTES_MAX + 1, 0);
        drop(scratch);
        assert!(pool.0.borrow().is_empty());
    }
}
