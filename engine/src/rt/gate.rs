//! How to stop letting work in, and to know when the last of it is done.

use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::{Notify, Rt};

/// How many are inside, for other cores to read. Only the gate's own core writes; alone on its cache lines.
#[derive(Debug, Default)]
#[repr(align(128))]
pub struct Inside(AtomicUsize);

impl Inside {
    /// The number; on another core it may be a moment old.
    #[must_use]
    pub fn count(&self) -> usize {
        self.0.load(Ordering::Relaxed)
    }

    fn set(&self, count: usize) {
        self.0.store(count, Ordering::Relaxed);
    }
}

struct State {
    inside: Arc<Inside>,
    empty: Notify,
}

/// Counts who is inside.
#[derive(Clone)]
pub struct Gate(Rc<State>);

/// Being inside; dropping it is leaving.
pub struct GatePass(Rc<State>);

impl Gate {
    /// A gate with nobody inside, that counts in `inside`.
    #[must_use]
    pub fn new(rt: &Rt, inside: Arc<Inside>) -> Self {
        Self(Rc::new(State {
            inside,
            empty: Notify::new(rt),
        }))
    }

    /// Goes in.
    #[must_use]
    pub fn enter(&self) -> GatePass {
        self.0.inside.set(self.inside() + 1);
        GatePass(Rc::clone(&self.0))
    }

    /// How many are inside.
    #[must_use]
    pub fn inside(&self) -> usize {
        self.0.inside.count()
    }

    /// Waits until nobody is inside.
    pub async fn wait_empty(&self) {
        while self.inside() > 0 {
            self.0.empty.wait().await;
        }
    }
}

impl Drop for GatePass {
    fn drop(&mut self) {
        let left = self.0.inside.count() - 1;
        self.0.inside.set(left);
        if left == 0 {
            self.0.empty.notify_all();
        }
    }
}
