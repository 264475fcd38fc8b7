//! Where a ring takes messages from other rings, sockets above all, and how it stops taking them without losing one:
//! who sends goes in first, and is inside until the message is over. A port that is closed lets nobody in, and when the last one has
//! left, everything that was sent has come. See `kernel-notes/msg-ring.md`.

use std::os::fd::RawFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

/// The port of one ring; known to every worker.
#[derive(Debug)]
pub struct Port {
    ring: RawFd,
    closed: AtomicBool,
    inside: AtomicUsize,
}

/// A message on its way, from before it is queued until its final completion.
#[derive(Debug)]
pub struct Passage(Arc<Port>);

impl Port {
    /// The open port of the ring behind this descriptor.
    #[must_use]
    pub fn new(ring: RawFd) -> Arc<Self> {
        Arc::new(Self {
            ring,
            closed: AtomicBool::new(false),
            inside: AtomicUsize::new(0),
        })
    }

    /// Goes in to send something; `None` when the ring takes nothing any more.
    #[must_use]
    pub fn enter(self: &Arc<Self>) -> Option<Passage> {
        // In one total order with `close` and `in_use`: either this sees that the port is closed, or whoever closed it
        // sees this inside.
        self.inside.fetch_add(1, Ordering::SeqCst);
        let passage = Passage(Arc::clone(self));
        (!self.closed.load(Ordering::SeqCst)).then_some(passage)
    }

    /// Lets nobody in from now on.
    pub(super) fn close(&self) {
        self.closed.store(true, Ordering::SeqCst);
    }

    /// Whether a message may still be on its way.
    #[must_use]
    pub fn in_use(&self) -> bool {
        self.inside.load(Ordering::SeqCst) > 0
    }
}

impl Passage {
    /// The ring to send to; open until this is dropped.
    pub(super) fn ring(&self) -> RawFd {
        self.0.ring
    }
}

impl Drop for Passage {
    fn drop(&mut self) {
        self.0.inside.fetch_sub(1, Ordering::SeqCst);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_closed_port_lets_nobody_in_and_knows_who_is_inside() {
        let port = Port::new(3);
        let inside = port.enter().expect("it is open");
        assert_eq!((inside.ring(), port.in_use()), (3, true));
        port.close();
        assert!(port.enter().is_none());
        assert!(port.in_use(), "the first is still inside");
        drop(inside);
        assert!(!port.in_use());
    }
}
