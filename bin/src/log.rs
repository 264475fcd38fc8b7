//! The process log: one line per event on standard error, coloured only on a terminal. And the hook that makes a
//! panic in any thread the end of the whole program, because a proxy with half its workers would be worse than none.

use std::backtrace::{Backtrace, BacktraceStatus};
use std::io::{self, IsTerminal};
use std::{env, panic, process, thread};

use tracing::Level;

use crate::exit::Reason;

/// Sends every event of `level` or more urgent to standard error.
pub(crate) fn start(level: Level) {
    let colour =
        io::stderr().is_terminal() && env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
    tracing_subscriber::fmt()
        .with_max_level(level)
        .with_target(false)
        .with_ansi(colour)
        // A log whose reader went away is no reason to end: its own error report would panic on the same stderr.
        .log_internal_errors(false)
        .with_writer(io::stderr)
        .init();
}

/// Ends the program with the code for "failed while running" when a thread panics, after saying which and where.
pub(crate) fn end_on_panic() {
    panic::set_hook(Box::new(|panic| {
        let thread = thread::current();
        let name = thread.name().unwrap_or("unnamed");
        let place = panic
            .location()
            .map(ToString::to_string)
            .unwrap_or_default();
        let payload = panic.payload();
        let why = payload
            .downcast_ref::<&str>()
            .copied()
            .or_else(|| payload.downcast_ref::<String>().map(String::as_str));
        let why = why.unwrap_or("no message");
        tracing::error!(
            thread = name,
            place,
            why,
            "worker panicked: this is a bug in ringway, and it ends here"
        );
        let backtrace = Backtrace::capture();
        if backtrace.status() == BacktraceStatus::Captured {
            tracing::error!("backtrace:\n{backtrace}");
        }
        process::exit(Reason::Failed as i32);
    }));
}

#[cfg(test)]
mod tests {
    use std::process::{Command, Stdio};

    use super::*;

    /// Set for the process that is to panic.
    const PANICS: &str = "RINGWAY_TEST_PANICS";

    #[test]
    fn a_panic_in_any_thread_ends_the_program_with_code_1() {
        if env::var_os(PANICS).is_some() {
            start(Level::INFO);
            end_on_panic();
            let worker = thread::Builder::new().name("worker-7".to_owned());
            let _ = worker
                .spawn(|| panic!("the {} broke", "wheel"))
                .map(thread::JoinHandle::join);
            process::exit(0); // never reached: the hook has ended the process
        }
        let program = env::current_exe().expect("the test program has a path");
        let output = Command::new(program)
            .args([
                "--exact",
                "log::tests::a_panic_in_any_thread_ends_the_program_with_code_1",
                "--nocapture",
            ])
            .env(PANICS, "1")
            .stdin(Stdio::null())
            .output()
            .expect("the test program runs again");
        let log = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{log}");
        for part in ["worker panicked", "worker-7", "log.rs:", "the wheel broke"] {
            assert!(log.contains(part), "'{part}' is not in: {log}");
        }
    }
}
