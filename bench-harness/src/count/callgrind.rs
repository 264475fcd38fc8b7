//! A program under valgrind's callgrind: every instruction in user space, and every system call, whatever the machine.
//!
//! Valgrind runs one thread at a time, and (3.19) does not know that io_uring_enter(2) blocks: a worker that waits in
//! it keeps all others from running. So the program may have one worker only, it does not hear signals, and it is
//! killed at the end. A worker that waits before the main thread has given it its listeners waits for ever, which one
//! start in ten comes to: then it is started again. Nor is there a vDSO under it: each reading of the clock is a
//! system call. Counts are asked for through vgdb, which valgrind looks for whenever it runs code of the program: a
//! few new connections see to that, always about as many, and they are no part of a slope.

use std::fs;
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::{Counted, Counts};
use crate::peer::Peer;

/// Blocks of instructions between two looks for vgdb.
const LOOK_BLOCKS: u32 = 50;

/// Longest wait for counts, and the time between two new connections meanwhile.
const ANSWER_LIMIT: Duration = Duration::from_secs(20);
const KNOCK_AGAIN: Duration = Duration::from_millis(50);

/// Starts until one gets through, and the wait for its first answer. A start that hangs before it listens is given up by
/// `Peer`.
const STARTS_MAX: usize = 6;
const FIRST_ANSWER_LIMIT: Duration = Duration::from_secs(3);

/// A program that was started under callgrind.
#[derive(Debug)]
pub(crate) struct Callgrind {
    peer: Peer,
    address: SocketAddr,
    folder: PathBuf,
    readings: u32,
}

impl Callgrind {
    /// Starts `command` (one program, as a shell reads it) on `core` and waits until `address` accepts connections.
    pub(crate) fn start(command: &str, address: SocketAddr, core: usize) -> Result<Self, String> {
        Self::check()?;
        let mut last = String::new();
        for _ in 0..STARTS_MAX {
            match Self::start_once(command, address, core) {
                Ok(started) if answers(address) => return Ok(started),
                Ok(started) => last = started.peer.failed("it listens and answers nothing"),
                Err(why) => last = why,
            }
        }
        Err(format!(
            "{command:?} did not start under valgrind, {STARTS_MAX} times over: {last}"
        ))
    }

    /// Why nothing can be counted here, if so.
    pub(crate) fn check() -> Result<(), String> {
        match version() {
            Ok(_) => Ok(()),
            Err(error) => Err(format!(
                "there is no valgrind here ({error}): apt-get install valgrind"
            )),
        }
    }

    fn start_once(command: &str, address: SocketAddr, core: usize) -> Result<Self, String> {
        static STARTED: AtomicU32 = AtomicU32::new(0);
        let number = STARTED.fetch_add(1, Ordering::Relaxed);
        let name = format!("ringway-bench-{}-callgrind-{number}", std::process::id());
        let folder = std::env::temp_dir().join(name);
        fs::create_dir(&folder)
            .map_err(|error| format!("cannot create {}: {error}", folder.display()))?;
        let at = folder.display();
        let command = format!(
            "valgrind --tool=callgrind --trace-children=yes --collect-systime=yes --callgrind-out-file='{at}/out' \
             --vgdb-poll={LOOK_BLOCKS} --vgdb-prefix='{at}/vgdb' {command}"
        );
        let peer = Peer::start(&command, address, Some(core)).inspect_err(|_| {
            let _ = fs::remove_dir_all(&folder);
        })?;
        Ok(Self {
            peer,
            address,
            folder,
            readings: 0,
        })
    }

    /// Has callgrind write what it counted since it last did.
    fn dump(&mut self) -> Result<(), String> {
        let mut vgdb = Command::new("vgdb")
            .arg(format!("--vgdb-prefix={}/vgdb", self.folder.display()))
            .arg(format!("--pid={}", self.peer.pid()))
            // Not by ptrace(2): containers may forbid it, and valgrind looks for itself.
            .arg("--max-invoke-ms=0")
            .arg(format!("--cmd-time-out={}", ANSWER_LIMIT.as_secs()))
            .arg("dump")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .map_err(|error| format!("cannot start vgdb: {error}"))?;
        let asked = Instant::now();
        loop {
            std::thread::sleep(KNOCK_AGAIN);
            match vgdb.try_wait() {
                Ok(Some(status)) if status.success() => return Ok(()),
                Ok(None) if asked.elapsed() < ANSWER_LIMIT && self.peer.ended().is_none() => {}
                ended => {
                    let _ = vgdb.kill();
                    let _ = vgdb.wait();
                    let what = format!("callgrind does not tell what it counted ({ended:?})");
                    return Err(self.peer.failed(&what));
                }
            }
            // What it is connected for is the waking alone.
            let _ = TcpStream::connect(self.address);
        }
    }
}

impl Counted for Callgrind {
    fn read(&mut self) -> Result<Counts, String> {
        self.dump()?;
        self.readings += 1;
        let path = self.folder.join(format!("out.{}", self.readings));
        let text = fs::read_to_string(&path)
            .map_err(|error| format!("cannot read {}: {error}", path.display()))?;
        totals(&text).ok_or_else(|| format!("{} has no totals", path.display()))
    }
}

impl Drop for Callgrind {
    fn drop(&mut self) {
        // It would not hear SIGTERM. As its parent we have not waited for it, so the process id is still its own.
        if self.peer.ended().is_none()
            && let Ok(pid) = i32::try_from(self.peer.pid())
        {
            let _ = kill(Pid::from_raw(pid), Signal::SIGKILL);
        }
        let _ = fs::remove_dir_all(&self.folder);
    }
}

/// Whether who listens there says anything to what is no request, be it goodbye.
fn answers(address: SocketAddr) -> bool {
    let said = TcpStream::connect(address).and_then(|mut stream| {
        stream.set_read_timeout(Some(FIRST_ANSWER_LIMIT))?;
        stream.write_all(b"no request\r\n\r\n")?;
        match stream.read(&mut [0; 1]) {
            // Bytes of ours that it did not want to read.
            Err(error) if error.kind() == io::ErrorKind::ConnectionReset => Ok(0),
            read => read,
        }
    });
    said.is_ok()
}

/// What valgrind calls itself.
pub(crate) fn version() -> io::Result<String> {
    let said = Command::new("valgrind").arg("--version").output()?;
    Ok(String::from_utf8_lossy(&said.stdout).trim().to_owned())
}

/// The sums of a file of callgrind, by the names in its line of events.
fn totals(text: &str) -> Option<Counts> {
    let line = |key: &str| text.lines().find_map(|line| line.strip_prefix(key));
    let names = line("events: ")?.split_ascii_whitespace();
    let numbers = line("totals: ")?.split_ascii_whitespace();
    let mut counts = Counts::default();
    for (name, number) in names.zip(numbers) {
        match name {
            "Ir" => counts.instructions = Some(number.parse().ok()?),
            "sysCount" => counts.system_calls = Some(number.parse().ok()?),
            _ => {}
        }
    }
    (counts.instructions.is_some() && counts.system_calls.is_some()).then_some(counts)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn silence_is_no_answer_and_a_goodbye_is_one() {
        let listener = std::net::TcpListener::bind((std::net::Ipv4Addr::LOCALHOST, 0)).unwrap();
        let address = listener.local_addr().unwrap();
        let asked = std::thread::spawn(move || answers(address));
        let (stream, _) = listener.accept().unwrap();
        drop(stream);
        assert!(asked.join().unwrap());
        assert!(!answers(address), "nobody accepts");
    }

    #[test]
    fn totals_are_read_by_name() {
        let text = "version: 1\npositions: line\nevents: Ir sysCount sysTime\nsummary: 9 9 9\n\nfn=(1)\n1 5\n\
                    totals: 15602811 8058 2866\n";
        let expected = Counts {
            instructions: Some(15_602_811.0),
            system_calls: Some(8_058.0),
        };
        assert_eq!(totals(text), Some(expected));
        assert_eq!(totals("events: Ir\ntotals: 5\n"), None);
        assert_eq!(totals("events: Ir sysCount\n"), None, "cut off");
    }
}
