//! How the program ends: the exit codes, and the message that goes with each. Nothing else in the program writes to
//! standard output, and only the log and [`Failure::report`] write to standard error.

use std::io::{self, Write};
use std::process::ExitCode;

use ringway_engine::server::{StartError, WorkerFailed};

/// Why the program ends without having done its work; scripts rely on the numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reason {
    /// It failed while running.
    Failed = 1,
    /// What was typed cannot be right.
    Usage = 2,
    /// This kernel or sandbox cannot.
    Unsupported = 3,
    /// An address is in use or not permitted.
    Address = 4,
}

/// What went wrong and what mends it, for a person; why, for a script.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Failure {
    reason: Reason,
    message: String,
}

impl Failure {
    pub(crate) fn new(reason: Reason, message: impl Into<String>) -> Self {
        Self {
            reason,
            message: message.into(),
        }
    }

    /// A wrong command line; `command` is the one whose help shows how it should have been.
    pub(crate) fn usage(command: &str, message: &str) -> Self {
        Self::new(
            Reason::Usage,
            format!("{message}\nrun '{command} --help' to see what it takes"),
        )
    }

    /// Writes the message to standard error and returns the exit code.
    pub(crate) fn report(self) -> ExitCode {
        // Nothing is left to tell anyone with when standard error is closed; the exit code still says it.
        let _ = writeln!(io::stderr().lock(), "ringway: {}", self.message.trim_end());
        ExitCode::from(self.reason as u8)
    }
}

impl From<StartError> for Failure {
    fn from(error: StartError) -> Self {
        let message = error.to_string();
        match error {
            StartError::Refused(_) => Self::usage("ringway serve", &message),
            StartError::Unsupported(_) => Self::new(Reason::Unsupported, message),
            StartError::Address { error, .. } => Self::new(
                Reason::Address,
                format!("{message}\n{}", address_mend(&error)),
            ),
            StartError::Failed(_) => Self::new(Reason::Failed, message),
        }
    }
}

impl From<WorkerFailed> for Failure {
    fn from(error: WorkerFailed) -> Self {
        Self::new(Reason::Failed, error.to_string())
    }
}

/// What an operator does about an address that cannot be listened on.
fn address_mend(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::AddrInUse => {
            "end the program that listens there ('ss -ltnp' names it), or give another --listen"
        }
        io::ErrorKind::AddrNotAvailable => {
            "give --listen an address of this host ('ip address' lists them), or 0.0.0.0 or [::] for all of them"
        }
        io::ErrorKind::PermissionDenied => {
            "give --listen a port from 1024 on, or grant the program the capability cap_net_bind_service"
        }
        _ => "give another --listen",
    }
}

/// Writes `text` to standard output. A reader that went away early (`| head`) had what it wanted.
pub(crate) fn print(text: &str) -> Result<(), Failure> {
    let mut out = io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(Failure::new(
            Reason::Failed,
            format!("cannot write to standard output: {error}"),
        )),
        _ => Ok(()),
    }
}
