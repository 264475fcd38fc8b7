//! A deadline that moves often and passes seldom. The timer is left where it is when the deadline moves away, and looks
//! at it when it fires, so that a byte or a request costs no work in the timer wheel.

use std::time::Instant;

use crate::rt::{Rt, TimerKey};

/// The deadline of the running task.
pub(super) struct Watchdog {
    rt: Rt,
    deadline: Instant,
    timer: Option<(Instant, TimerKey)>,
}

impl Watchdog {
    /// A deadline.
    pub(super) fn new(rt: &Rt, deadline: Instant) -> Self {
        Self {
            rt: rt.clone(),
            deadline,
            timer: None,
        }
    }

    /// Moves the deadline.
    pub(super) fn set(&mut self, deadline: Instant) {
        self.deadline = deadline;
    }

    /// Whether the deadline has passed; until then the task is woken at it.
    pub(super) fn expired(&mut self) -> bool {
        let now = self.rt.now();
        if now >= self.deadline {
            return true;
        }
        if self
            .timer
            .is_none_or(|(at, _)| at <= now || at > self.deadline)
        {
            self.stop();
            self.timer = Some((self.deadline, self.rt.start_timer(self.deadline)));
        }
        false
    }

    fn stop(&mut self) {
        if let Some((_, timer)) = self.timer.take() {
            self.rt.stop_timer(timer);
        }
    }
}

impl Drop for Watchdog {
    fn drop(&mut self) {
        self.stop();
    }
}
