//! The pipes of one worker. A direction borrows one while bytes are in flight, so a few serve thousands of tunnels; the
//! last one returned is the next one lent, because its pages are warm.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::Duration;

use super::Proxy;
use crate::limits;
use crate::ring::sys::Pipe;

/// Lends pipes.
#[derive(Debug, Default)]
pub struct PipePool {
    idle: RefCell<Vec<Pipe>>,
    lent: Cell<usize>,
    /// Fewest idle pipes since the pool was last trimmed: so many were not needed.
    spare: Cell<usize>,
    /// Somebody will trim the pool.
    minded: Cell<bool>,
}

/// How often pipes that were not needed are closed.
const TRIM_EVERY: Duration = Duration::from_secs(1);

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
        self.spare
            .set(self.spare.get().min(self.idle.borrow().len()));
        Some(pipe)
    }

    /// Takes a pipe back. One with bytes in it is destroyed: they belong to a connection that is no more.
    fn put(&self, pipe: Pipe) {
        self.lent.set(self.lent.get() - 1);
        if pipe.held() == 0 {
            self.idle.borrow_mut().push(pipe);
        }
    }

    /// Closes the pipes that nobody needed since the last time. Says whether any are left.
    fn trim(&self) -> bool {
        let mut idle = self.idle.borrow_mut();
        let spare = self.spare.get().min(idle.len());
        idle.drain(..spare);
        self.spare.set(idle.len());
        !idle.is_empty() || self.lent.get() > 0
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

impl Proxy {
    /// Takes a pipe back, and sees to it that a pool nobody uses any more comes to hold no descriptors.
    pub(super) fn put_pipe(self: &Rc<Self>, pipe: Pipe) {
        self.pipes.put(pipe);
        if self.pipes.minded.replace(true) {
            return;
        }
        let proxy = Rc::clone(self);
        self.rt.spawn(async move {
            loop {
                proxy.rt.sleep_until(proxy.rt.now() + TRIM_EVERY).await;
                if !proxy.pipes.trim() {
                    proxy.pipes.minded.set(false);
                    return;
                }
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pool_that_is_not_used_is_emptied_and_one_that_is_used_is_not() {
        let pool = PipePool::default();
        let two = [pool.take().expect("a pipe"), pool.take().expect("a pipe")];
        two.into_iter().for_each(|pipe| pool.put(pipe));
        assert!(pool.trim(), "the pipes may have been needed before");
        let pipe = pool.take().expect("a pipe");
        pool.put(pipe);
        assert!(pool.trim(), "one of the two was needed");
        assert_eq!(pool.gauges(), PipeGauges { idle: 1, lent: 0 });
        assert!(!pool.trim());
        assert_eq!(pool.gauges(), PipeGauges::default());
    }
}
