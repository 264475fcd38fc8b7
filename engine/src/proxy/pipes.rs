//! The pipes of one worker. A direction borrows one while bytes are in flight, so a few serve thousands of tunnels; the
//! last one returned is the next one lent, because its pages are warm.

use std::cell::{Cell, RefCell};

use crate::limits;
use crate::ring::sys::Pipe;

/// Lends pipes.
#[derive(Debug, Default)]
pub struct PipePool {
    idle: RefCell<Vec<Pipe>>,
    lent: Cell<usize>,
}

/// How many pipes there are.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct PipeGauges {
    /// In the pool.
    pub idle: usize,
    /// With a direction.
    pub lent: usize,
}

impl PipePool {
    /// An empty pipe, or `None` when there are enough of them, or no descriptors, or only pipes too small to be of use.
    #[must_use]
    pub fn take(&self) -> Option<Pipe> {
        let idle = self.idle.borrow_mut().pop();
        let pipe = match idle {
            Some(pipe) => pipe,
            None if self.lent.get() >= limits::PIPES_MAX => return None,
            None => Pipe::open(limits::PIPE_BYTES).ok()?,
        };
        self.lent.set(self.lent.get() + 1);
        Some(pipe)
    }

    /// Takes a pipe back. One with bytes in it is destroyed: they belong to a connection that is no more.
    pub fn put(&self, pipe: Pipe) {
        self.lent.set(self.lent.get() - 1);
        if pipe.held() == 0 {
            self.idle.borrow_mut().push(pipe);
        }
    }

    /// How many there are.
    #[must_use]
    pub fn gauges(&self) -> PipeGauges {
        PipeGauges {
            idle: self.idle.borrow().len(),
            lent: self.lent.get(),
        }
    }
}
