//! The program `ringway`: reads the command line, starts the engine, and ends with a code that says how it went.
//!
//! All of the proxy is in `ringway-engine`. Here is only what a shell sees: `args` is what was typed, `config` makes
//! it the engine's configuration (with `values` for one value at a time), `check` prints the capability table,
//! `signal` drains and ends a running server, `log` is the process log, `exit` holds the exit codes.

#![forbid(unsafe_code)]

mod args;
mod check;
mod config;
mod exit;
mod log;
mod signal;
mod values;

use std::process::ExitCode;

use ringway_engine::server::{Server, allowed_cores};

use crate::args::{Command, Serve};
use crate::exit::Failure;

fn main() -> ExitCode {
    let outcome = args::parse(std::env::args_os()).and_then(|command| match command {
        Command::Print(text) => exit::print(&text),
        Command::Check(typed) => check::run(typed.json),
        Command::Serve(typed) => serve(&typed),
    });
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => failure.report(),
    }
}

/// Runs the proxy until it has drained.
fn serve(typed: &Serve) -> Result<(), Failure> {
    let level = config::log_level(typed)?;
    let config = config::config(typed, config::force_off()?, &allowed_cores())?;
    log::start(level);
    log::end_on_panic();
    let signals = signal::listen()?; // before the first thread, so that no signal finds its default action
    let server = Server::start(config)?;
    for address in server.addresses() {
        tracing::info!(%address, "listening");
    }
    signal::run(&server, signals)
}
