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

    /// Whether [`Self::take`] has one to lend; opens it if it has to.
    fn has_one(&self) -> bool {
        let mut idle = self.idle.borrow_mut();
        if idle.is_empty() && self.lent.get() < limits::PIPES_MAX {
            idle.extend(Pipe::open(limits::PIPE_BYTES).ok());
        }
        !idle.is_empty()
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
    /// Whether there is a pipe for a direction that is about to splice.
    pub(super) fn has_pipe(self: &Rc<Self>) -> bool {
        let has_one = self.pipes.has_one();
        if has_one {
            self.mind_pipes();
        }
        has_one
    }

    /// Takes a pipe back.
    pub(super) fn put_pipe(self: &Rc<Self>, pipe: Pipe) {
        self.pipes.put(pipe);
        self.mind_pipes();
    }

    /// Sees to it that a pool nobody uses any more comes to hold no descriptors.
    fn mind_pipes(self: &Rc<Self>) {
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
    fn a_pool_that_has_lent_all_says_so() {
        let pool = PipePool::default();
        let mut lent = Vec::new();
        while pool.has_one() {
            assert_eq!(pool.gauges().idle, 1, "it opens no more than one");
            lent.push(pool.take().expect("it said so"));
        }
        assert_eq!(
            (lent.len(), pool.take().is_none()),
            (limits::PIPES_MAX, true)
        );
        lent.into_iter().take(1).for_each(|pipe| pool.put(pipe));
        assert!(pool.has_one());
    }

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
