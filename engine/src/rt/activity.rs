//! How many tasks are at work: each is counted once in a window of time. The executor asks, to choose how sends go.

use std::time::Instant;

use crate::limits;

/// The count of the window that runs.
#[derive(Debug)]
pub(super) struct Activity {
    window: u32,
    start: Instant,
    tasks: usize,
}

/// The window that a task was last counted in.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Counted(u32);

impl Activity {
    pub(super) fn new(now: Instant) -> Self {
        Self {
            window: 1,
            start: now,
            tasks: 0,
        }
    }

    /// Counts a task that runs.
    pub(super) fn count(&mut self, task: &mut Counted) {
        if task.0 != self.window {
            task.0 = self.window;
            self.tasks += 1;
        }
    }

    /// When a window is over at `now`: how many tasks were at work in it, and none if that is long ago.
    pub(super) fn end_window(&mut self, now: Instant) -> Option<usize> {
        let age = now.saturating_duration_since(self.start);
        if age < limits::ACTIVITY_WINDOW {
            return None;
        }
        let tasks = std::mem::take(&mut self.tasks);
        self.start = now;
        // A task that was last counted 2^32 windows ago, more than a year, is missed once.
        self.window = self.window.wrapping_add(1);
        Some(if age < 2 * limits::ACTIVITY_WINDOW {
            tasks
        } else {
            0
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_task_counts_once_in_a_window() {
        let start = Instant::now();
        let mut activity = Activity::new(start);
        let mut tasks = [Counted::default(); 3];
        for task in tasks.iter_mut().chain(&mut [Counted::default(); 2]) {
            activity.count(task);
        }
        for task in &mut tasks {
            activity.count(task);
        }
        let before = limits::ACTIVITY_WINDOW - std::time::Duration::from_nanos(1);
        assert_eq!(activity.end_window(start + before), None);
        let first_end = start + limits::ACTIVITY_WINDOW;
        assert_eq!(activity.end_window(first_end), Some(5));
        activity.count(&mut tasks[0]);
        let second_end = first_end + limits::ACTIVITY_WINDOW;
        assert_eq!(activity.end_window(second_end), Some(1));
    }

    #[test]
    fn what_was_long_ago_is_no_work_now() {
        let start = Instant::now();
        let mut activity = Activity::new(start);
        activity.count(&mut Counted::default());
        let late = start + 2 * limits::ACTIVITY_WINDOW;
        assert_eq!(activity.end_window(late), Some(0));
    }
}
