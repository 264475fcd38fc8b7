//! A program under test: started for one run, pinned, waited for until its port answers, ended by its process id. Who is
//! told to end meanwhile ends all of them first (`end_with_us`): what hears no signal, as under valgrind, would stay for
//! ever, and keep its port.

use std::fs::{self, File};
use std::io;
use std::net::{SocketAddr, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use core_affinity::CoreId;
use nix::sys::signal::{SigSet, Signal, kill};
use nix::unistd::Pid;

use crate::load::socket;

/// Longest time to answer after the start, and to end after SIGTERM.
const START_LIMIT: Duration = Duration::from_secs(10);
const END_LIMIT: Duration = Duration::from_secs(5);

/// Longest time until the port of a program that has ended is free.
const FREE_LIMIT: Duration = Duration::from_secs(2);

/// Bits of the kernel interface's set of CPUs; a number beyond them would end the program.
const CORES_MAX: usize = 1024;

const LOOK_AGAIN: Duration = Duration::from_millis(10);

/// Lines of its output that are shown when it fails.
const LOG_LINES_SHOWN: usize = 12;

/// The programs that run, by process id.
static RUNNING: Mutex<Vec<u32>> = Mutex::new(Vec::new());

/// A running program.
#[derive(Debug)]
pub(crate) struct Peer {
    child: Child,
    log: PathBuf,
}

impl Peer {
    /// Starts `command` (as a shell reads it) on `core` and waits until `address` accepts connections.
    pub(crate) fn start(
        command: &str,
        address: SocketAddr,
        core: Option<usize>,
    ) -> Result<Self, String> {
        wait_for_free(address).map_err(|error| {
            format!(
                "{address} is not free for {command:?}: {error}; what listens there must end first"
            )
        })?;
        static STARTED: AtomicU32 = AtomicU32::new(0);
        let number = STARTED.fetch_add(1, Ordering::Relaxed);
        let name = format!("ringway-bench-{}-{number}.log", std::process::id());
        let log = std::env::temp_dir().join(name);
        // With the list in hand, or a signal that comes now would leave it running.
        let child = running(|all| {
            let child = spawn(command, &log, core)?;
            all.push(child.id());
            Ok(child)
        })
        .map_err(|error: io::Error| format!("cannot start {command:?}: {error}"))?;
        let mut peer = Self { child, log };
        let started = Instant::now();
        while TcpStream::connect_timeout(&address, START_LIMIT).is_err() {
            if let Some(status) = peer.ended() {
                return Err(peer.failed(&format!("{command:?} ended at its start, {status}")));
            }
            if started.elapsed() > START_LIMIT {
                let seconds = START_LIMIT.as_secs();
                let what = format!(
                    "{command:?} has not listened on {address} within {seconds} s, which is where it is looked for"
                );
                return Err(peer.failed(&what));
            }
            std::thread::sleep(LOOK_AGAIN);
        }
        Ok(peer)
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// How it ended, if it has.
    pub(crate) fn ended(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().ok().flatten()
    }

    /// `what`, and the last lines of its output.
    pub(crate) fn failed(&self, what: &str) -> String {
        let log = fs::read(&self.log).unwrap_or_default();
        let log = String::from_utf8_lossy(&log);
        let lines: Vec<&str> = log.lines().collect();
        let last = &lines[lines.len().saturating_sub(LOG_LINES_SHOWN)..];
        match last {
            [] => what.to_owned(),
            _ => format!("{what}; its output ended with:\n  {}", last.join("\n  ")),
        }
    }

    fn stop(&mut self) {
        if self.ended().is_some() {
            return; // its process id may belong to another by now
        }
        if let Ok(pid) = i32::try_from(self.child.id()) {
            let _ = kill(Pid::from_raw(pid), Signal::SIGTERM);
        }
        let told = Instant::now();
        while self.ended().is_none() {
            if told.elapsed() > END_LIMIT {
                let _ = self.child.kill();
                let _ = self.child.wait();
                return;
            }
            std::thread::sleep(LOOK_AGAIN);
        }
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        self.stop();
        let own = self.child.id();
        running(|all| all.retain(|pid| *pid != own));
        let _ = fs::remove_file(&self.log);
    }
}

fn running<T>(change: impl FnOnce(&mut Vec<u32>) -> T) -> T {
    change(&mut RUNNING.lock().unwrap_or_else(PoisonError::into_inner))
}

/// From now on SIGINT, SIGTERM and SIGHUP end all programs that run, and then this one. For the main thread, before there
/// are others: these signals are for one thread alone.
pub(crate) fn end_with_us() -> Result<(), String> {
    let ends: SigSet = [Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP]
        .into_iter()
        .collect();
    ends.thread_block()
        .map_err(|error| format!("cannot wait for signals: {error}"))?;
    std::thread::spawn(move || {
        let Ok(signal) = ends.wait() else { return };
        running(|all| {
            for pid in all.iter().filter_map(|pid| i32::try_from(*pid).ok()) {
                let _ = kill(Pid::from_raw(pid), Signal::SIGKILL);
            }
            std::process::exit(128 + signal as i32); // with the list in hand, so that none is added
        });
    });
    Ok(())
}

/// The program that a shell command starts: its first word, or what is quoted there.
pub(crate) fn program(command: &str) -> Option<&str> {
    match command.trim_start().strip_prefix('\'') {
        Some(quoted) => quoted.split('\'').next(),
        None => command.split_whitespace().next(),
    }
}

/// A program on io_uring ends before its sockets do: the kernel takes its ring apart later.
fn wait_for_free(address: SocketAddr) -> io::Result<()> {
    let started = Instant::now();
    loop {
        match socket::check_free(address) {
            Err(_) if started.elapsed() < FREE_LIMIT => std::thread::sleep(LOOK_AGAIN),
            done => return done,
        }
    }
}

/// Spawns from a thread that is pinned itself: the program inherits its CPUs.
fn spawn(command: &str, log: &PathBuf, core: Option<usize>) -> io::Result<Child> {
    let log = File::create(log)?;
    let command = format!("exec {command}"); // so that the process id is the program's, not the shell's
    let spawner = std::thread::spawn(move || {
        pin(core)?;
        SigSet::all().thread_unblock()?; // the program inherits that as well, and must hear SIGTERM
        Command::new("sh")
            .arg("-c")
            .arg(command)
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .spawn()
    });
    spawner
        .join()
        .unwrap_or_else(|_| Err(io::Error::other("the starting thread panicked")))
}

/// Pins the calling thread.
pub(crate) fn pin(core: Option<usize>) -> io::Result<()> {
    let Some(id) = core else { return Ok(()) };
    match id < CORES_MAX && core_affinity::set_for_current(CoreId { id }) {
        true => Ok(()),
        false => {
            let allowed = core_affinity::get_core_ids().unwrap_or_default();
            let allowed = allowed.iter().map(|core| format!("{}, ", core.id));
            let allowed: String = allowed.collect();
            Err(io::Error::other(format!(
                "this process may not run on core {id}: there are {allowed}or none"
            )))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    use std::net::{Ipv4Addr, TcpListener};

    fn free_address() -> SocketAddr {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        listener.local_addr().unwrap()
    }

    #[test]
    fn a_program_that_ends_at_once_is_reported_with_its_last_words() {
        let error = Peer::start(
            "sh -c 'echo no such option >&2; exit 7'",
            free_address(),
            None,
        );
        let error = error.unwrap_err();
        assert!(error.contains("exit status: 7"), "{error}");
        assert!(error.contains("no such option"), "{error}");
    }

    #[test]
    fn a_taken_port_is_refused_before_anything_is_started() {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let address = listener.local_addr().unwrap();
        let error = Peer::start("sleep 10", address, None).unwrap_err();
        assert!(error.contains("not free"), "{error}");
    }
}
