//! How long to look at the ring before sleeping. Waking a core costs more than all of a proxy's own work
//! (`kernel-notes/busy-poll.md`), so looking pays while traffic comes soon, and only then.

use std::time::Duration;

/// The window's rule.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SpinPolicy {
    /// Never look.
    Off,
    /// A window that grows while sleeps are short and shrinks when they are long.
    Adaptive,
    /// Always look this long.
    Fixed(Duration),
}

/// Longest look, and what counts as a short sleep.
const WINDOW_MAX: Duration = Duration::from_micros(200);
/// First look after none.
const WINDOW_START: Duration = Duration::from_micros(20);

/// The state of the rule.
#[derive(Debug)]
pub(super) struct SpinWindow {
    policy: SpinPolicy,
    window: Duration,
}

impl SpinWindow {
    pub(super) fn new(policy: SpinPolicy) -> Self {
        let window = match policy {
            SpinPolicy::Fixed(window) => window,
            SpinPolicy::Off | SpinPolicy::Adaptive => Duration::ZERO,
        };
        Self { policy, window }
    }

    pub(super) fn off(&self) -> bool {
        self.policy == SpinPolicy::Off
    }

    pub(super) fn window(&self) -> Duration {
        self.window
    }

    /// Learns that nothing had come when the window was over, and how long it took from the start of the look until
    /// something did.
    pub(super) fn slept(&mut self, idle: Duration) {
        if self.policy != SpinPolicy::Adaptive {
            return;
        }
        self.window = if idle > WINDOW_MAX {
            let half = self.window / 2;
            if half < WINDOW_START {
                Duration::ZERO
            } else {
                half
            }
        } else {
            (self.window * 2).clamp(WINDOW_START, WINDOW_MAX)
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_adaptive_window_grows_with_short_sleeps_and_ends_with_long_ones() {
        let mut spin = SpinWindow::new(SpinPolicy::Adaptive);
        assert_eq!(spin.window(), Duration::ZERO);
        for _ in 0..6 {
            spin.slept(Duration::from_micros(50));
        }
        assert_eq!(spin.window(), WINDOW_MAX);
        for _ in 0..6 {
            spin.slept(Duration::from_secs(1));
        }
        assert_eq!(spin.window(), Duration::ZERO);
    }

    #[test]
    fn a_fixed_window_stays() {
        let mut spin = SpinWindow::new(SpinPolicy::Fixed(Duration::from_micros(70)));
        spin.slept(Duration::from_secs(1));
        assert_eq!(spin.window(), Duration::from_micros(70));
    }
}
