//! Waking every task of this core that waits for the same thing.

use std::cell::{Cell, RefCell};
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use super::{Rt, TaskId};

struct State {
    rt: Rt,
    round: Cell<u64>,
    waiters: RefCell<Vec<TaskId>>,
}

/// A place to wait; clones are the same place.
#[derive(Clone)]
pub struct Notify(Rc<State>);

/// Ready when the place was notified after this was made.
pub struct Notified {
    state: Rc<State>,
    round: u64,
}

impl Notify {
    /// A place with nobody waiting.
    #[must_use]
    pub fn new(rt: &Rt) -> Self {
        Self(Rc::new(State {
            rt: rt.clone(),
            round: Cell::new(0),
            waiters: RefCell::new(Vec::new()),
        }))
    }

    /// Waits for the next [`Self::notify_all`].
    #[must_use]
    pub fn wait(&self) -> Notified {
        Notified {
            state: Rc::clone(&self.0),
            round: self.0.round.get(),
        }
    }

    /// Wakes everyone who waits now.
    pub fn notify_all(&self) {
        self.0.round.set(self.0.round.get() + 1);
        let waiters = std::mem::take(&mut *self.0.waiters.borrow_mut());
        waiters.into_iter().for_each(|task| self.0.rt.wake(task));
    }
}

impl Future for Notified {
    type Output = ();

    fn poll(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<()> {
        if self.state.round.get() != self.round {
            return Poll::Ready(());
        }
        let task = self.state.rt.current();
        let mut waiters = self.state.waiters.borrow_mut();
        if !waiters.contains(&task) {
            waiters.push(task);
        }
        Poll::Pending
    }
}
