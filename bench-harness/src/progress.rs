//! A line on the terminal that says what runs and how long the rest may take; silent where nobody looks.

use std::io::{IsTerminal, Write, stderr};
use std::time::Instant;

/// So many steps, some of them done.
#[derive(Debug)]
pub(crate) struct Progress {
    steps: usize,
    begun: usize,
    started: Instant,
    shown: bool,
}

impl Progress {
    pub(crate) fn new(steps: usize) -> Self {
        Self {
            steps,
            begun: 0,
            started: Instant::now(),
            shown: stderr().is_terminal(),
        }
    }

    /// The next step begins.
    pub(crate) fn step(&mut self, what: &str) {
        let left = match self.begun {
            0 => String::new(),
            done => {
                let each = self.started.elapsed().as_secs_f64() / done as f64;
                format!(", about {:.0} s left", each * (self.steps - done) as f64)
            }
        };
        self.begun += 1;
        self.show(&format!("[{}/{}] {what}{left}", self.begun, self.steps));
    }

    /// So many steps will not be made.
    pub(crate) fn skip(&mut self, steps: usize) {
        self.steps = self.steps.saturating_sub(steps);
    }

    /// Makes room for a table; the next step shows itself again.
    pub(crate) fn clear(&self) {
        self.show("");
    }

    fn show(&self, line: &str) {
        if self.shown {
            // A terminal that is gone must not end a measurement.
            let _ = write!(stderr().lock(), "\r\x1b[K{line}");
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.show("");
    }
}
