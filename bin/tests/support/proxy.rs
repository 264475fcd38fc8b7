//! The program as a child process: started on a port of its own choice, its log read line by line, ended by signal.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::process::{Child, ChildStderr, Command, ExitStatus, Stdio};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::time::{Duration, Instant};
use std::{fs, thread};

use rustix::process::{Pid, Signal, kill_process};

use super::{PATIENCE, Process, until};

/// Lines of the program's log that a failed test prints.
const LOG_LINES_SHOWN: usize = 40;

/// How the program is to be started; [`Launch::start`] starts it.
pub(crate) struct Launch {
    options: Vec<String>,
    environment: Vec<(String, String)>,
    file_limit: Option<u32>,
}

impl Launch {
    /// `ringway serve` with these options. `--listen 127.0.0.1:0`, the first allowed core and the debug log are added
    /// where `options` says nothing about them.
    pub(crate) fn new(options: &[&str]) -> Self {
        let mut options: Vec<String> = options.iter().map(ToString::to_string).collect();
        for (option, value) in [
            ("--listen", "127.0.0.1:0"),
            ("--cores", &first_core()),
            ("--log", "debug"),
        ] {
            if !options.iter().any(|given| given == option) {
                options.extend([option.to_owned(), value.to_owned()]);
            }
        }
        Self {
            options,
            environment: Vec::new(),
            file_limit: None,
        }
    }

    pub(crate) fn environment(mut self, name: &str, value: &str) -> Self {
        self.environment.push((name.to_owned(), value.to_owned()));
        self
    }

    /// How bytes go: full buffers in a row that promote a direction to splicing, bytes under which a splice is small, small
    /// splices in a row that demote it, and busy tasks from which small sends wait for the next enter.
    pub(crate) fn tuning(self, tuning: &str) -> Self {
        self.environment("RINGWAY_RELAY_TUNING", tuning)
    }

    /// Soft and hard limit of open files.
    pub(crate) fn file_limit(mut self, files: u32) -> Self {
        self.file_limit = Some(files);
        self
    }

    /// Starts the program and waits until it listens.
    #[track_caller]
    pub(crate) fn start(self) -> Proxy {
        let program = env!("CARGO_BIN_EXE_ringway");
        let mut command = match self.file_limit {
            None => Command::new(program),
            Some(files) => {
                let mut shell = Command::new("sh");
                shell.args([
                    "-c",
                    "ulimit -n \"$1\" && shift && exec \"$@\"",
                    "sh",
                    &files.to_string(),
                    program,
                ]);
                shell
            }
        };
        command
            .arg("serve")
            .args(&self.options)
            .envs(self.environment);
        command
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped());
        let mut child = command.spawn().expect("the program starts");
        let log = Arc::new(Log::default());
        let stderr = child.stderr.take().expect("standard error is a pipe");
        let reader = Arc::clone(&log);
        thread::spawn(move || reader.read(stderr));
        let mut proxy = Proxy {
            child,
            log,
            addresses: Vec::new(),
            workers: 0,
            closed: Mutex::default(),
        };
        proxy.await_ready(
            self.options
                .iter()
                .filter(|option| *option == "--listen")
                .count(),
        );
        proxy
    }
}

/// A running `ringway serve`, killed when it goes out of scope.
pub(crate) struct Proxy {
    child: Child,
    log: Arc<Log>,
    addresses: Vec<SocketAddr>,
    workers: usize,
    /// The lines that [`Proxy::await_closed`] has given.
    closed: Mutex<BTreeSet<usize>>,
}

impl Proxy {
    /// [`Launch::new`] and [`Launch::start`] in one.
    #[track_caller]
    pub(crate) fn start(options: &[&str]) -> Self {
        Launch::new(options).start()
    }

    #[track_caller]
    fn await_ready(&mut self, listeners: usize) {
        let lines = self.await_lines("that it listens", listeners, "listening address=");
        self.addresses = lines
            .iter()
            .map(|line| {
                value_of(line, "address")
                    .and_then(|address| address.parse().ok())
                    .expect("an address")
            })
            .collect();
        self.workers = self.log.matching("worker started").len();
        assert!(
            self.workers > 0,
            "a line per worker stands before the line that says it listens"
        );
    }

    /// Where it listens; the first address, if several.
    pub(crate) fn address(&self) -> SocketAddr {
        self.addresses[0]
    }

    pub(crate) fn addresses(&self) -> &[SocketAddr] {
        &self.addresses
    }

    pub(crate) fn process(&self) -> Process {
        Process::new(self.child.id())
    }

    /// SIGTERM.
    pub(crate) fn terminate(&self) {
        self.signal(Signal::TERM);
    }

    pub(crate) fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).expect("the program still runs");
    }

    /// Does `work` while the program is stopped (SIGSTOP), so that it finds all of it at once.
    pub(crate) fn while_stopped<T>(&self, work: impl FnOnce() -> T) -> T {
        self.signal(Signal::STOP);
        until("the program to stop", || {
            self.process().is_stopped().then_some(())
        });
        let done = work();
        self.signal(Signal::CONT);
        done
    }

    /// Whether it has ended.
    pub(crate) fn has_ended(&mut self) -> bool {
        self.child
            .try_wait()
            .expect("the child can be waited for")
            .is_some()
    }

    /// Waits for its end.
    #[track_caller]
    pub(crate) fn await_exit(&mut self) -> ExitStatus {
        until("the program's end", || {
            self.child.try_wait().expect("the child can be waited for")
        })
    }

    /// Waits until the log holds `count` lines with `text` in them, and gives them.
    #[track_caller]
    pub(crate) fn await_lines(&self, what: &str, count: usize, text: &str) -> Vec<String> {
        self.log.wait(what, |lines| {
            let found: Vec<String> = lines
                .iter()
                .filter(|line| line.contains(text))
                .cloned()
                .collect();
            (found.len() >= count).then_some(found)
        })
    }

    /// Waits for the `closed` line of the connection whose target is `target`. No line is given twice: the kernel may
    /// give a later origin the port of an earlier one.
    #[track_caller]
    pub(crate) fn await_closed(&self, target: &str) -> String {
        let target = format!("target={target} ");
        let what = "the line that says how the connection ended";
        let given = || self.closed.lock().expect("nobody panics with it");
        let (index, line) = self.log.wait(what, |lines| {
            let given = given();
            let mut ungiven = lines.iter().enumerate().filter(|(index, line)| {
                line.contains("closed ") && line.contains(&target) && !given.contains(index)
            });
            ungiven.next().map(|(index, line)| (index, line.clone()))
        });
        given().insert(index);
        line
    }

    /// All of the log so far.
    pub(crate) fn log(&self) -> Vec<String> {
        self.log.lines().clone()
    }

    /// Asks for a snapshot by SIGUSR1 and waits for it; figures of several workers are added up. The program does not
    /// wait for long, and says so: on a busy machine a worker may be late, and is asked again.
    #[track_caller]
    pub(crate) fn snapshot(&self) -> Snapshot {
        const LATE: &str = "a worker does not answer";
        let deadline = Instant::now() + PATIENCE;
        let matching = |lines: &[String], text| -> Vec<String> {
            let matching = lines.iter().filter(|line| line.contains(text));
            matching.cloned().collect()
        };
        loop {
            let before = self.log.matching("snapshot worker=").len();
            let late = self.log.matching(LATE).len();
            self.signal(Signal::USR1);
            let answer = self.log.wait("a snapshot of each worker", |lines| {
                let snapshots = matching(lines, "snapshot worker=");
                if snapshots.len() >= before + self.workers {
                    return Some(Some(snapshots));
                }
                (matching(lines, LATE).len() > late).then_some(None)
            });
            if let Some(snapshots) = answer {
                return Snapshot::sum(&snapshots[snapshots.len() - self.workers..]);
            }
            assert!(
                Instant::now() < deadline,
                "a worker answers no more within {PATIENCE:?}"
            );
        }
    }

    /// Does `work` while nobody reads the program's log, which then fills its pipe.
    pub(crate) fn while_log_is_not_read<T>(&self, work: impl FnOnce() -> T) -> T {
        self.log.hold(true);
        let done = work();
        self.log.hold(false);
        done
    }

    /// Waits until a snapshot satisfies `condition`.
    #[track_caller]
    pub(crate) fn await_snapshot(
        &self,
        what: &str,
        condition: impl Fn(&Snapshot) -> bool,
    ) -> Snapshot {
        until(what, || Some(self.snapshot()).filter(&condition))
    }

    /// Waits until every gauge and the number of open files are what they were at `start`. Pipes that the pool keeps
    /// for later are no leak: they are taken off the number of files, and none may be in use.
    #[track_caller]
    pub(crate) fn await_gauges(&self, start: &Footing) {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let now = self.footing();
            if now == *start {
                return;
            }
            assert!(
                Instant::now() < deadline,
                "gauges do not come back:\n  start {start:?}\n  now   {now:?}"
            );
            thread::park_timeout(Duration::from_millis(20));
        }
    }

    /// What [`Proxy::await_gauges`] compares.
    #[track_caller]
    pub(crate) fn footing(&self) -> Footing {
        let snapshot = self.snapshot();
        let gauges = [
            "connections",
            "ops",
            "buffers_free",
            "leases",
            "pipes_in_use",
            "tasks",
            "timers",
        ];
        let pipes = snapshot.value("pipes_idle");
        let upstreams = snapshot.value("upstreams_idle");
        // Whoever closes them in time is a task with a timer.
        let minded = |gauge| u64::from(upstreams > 0 && ["tasks", "timers"].contains(&gauge));
        Footing {
            gauges: gauges.map(|gauge| (gauge, snapshot.value(gauge) - minded(gauge))),
            files: self.process().files() as i64 - (2 * pipes + upstreams) as i64,
        }
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        let ended = self.child.try_wait();
        if thread::panicking() {
            let lines = self.log.lines();
            let shown = lines.len().saturating_sub(LOG_LINES_SHOWN);
            eprintln!("--- the program (ended: {ended:?}); the last lines of its log:");
            lines[shown..].iter().for_each(|line| eprintln!("{line}"));
            self.process()
                .threads()
                .iter()
                .for_each(|thread| eprintln!("thread {thread}"));
        }
        let _ = self.child.kill(); // it may have ended by itself
        let _ = self.child.wait();
    }
}

/// Every gauge, and the files that are open, beside pooled pipes and idle connections to origins.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Footing {
    gauges: [(&'static str, u64); 7],
    /// May be wrong for a moment: the pool may shrink between the two looks.
    files: i64,
}

/// The counters and gauges of one SIGUSR1.
#[derive(Debug)]
pub(crate) struct Snapshot(BTreeMap<String, u64>);

impl Snapshot {
    fn sum(lines: &[String]) -> Self {
        let mut sum = BTreeMap::new();
        for line in lines {
            for (name, value) in line
                .split_whitespace()
                .filter_map(|word| word.split_once('='))
            {
                if let Ok(value) = value.parse::<u64>() {
                    *sum.entry(name.to_owned()).or_insert(0) += value;
                }
            }
        }
        Self(sum)
    }

    #[track_caller]
    pub(crate) fn value(&self, name: &str) -> u64 {
        *self
            .0
            .get(name)
            .unwrap_or_else(|| panic!("the snapshot has no `{name}`: {:?}", self.0))
    }
}

/// The lines the program has written, and a signal for each new one.
#[derive(Default)]
struct Log {
    lines: Mutex<(Vec<String>, bool)>,
    grown: Condvar,
    /// Nothing more is read for now.
    held: Mutex<bool>,
    released: Condvar,
}

impl Log {
    fn read(&self, stderr: ChildStderr) {
        for line in BufReader::new(stderr).lines() {
            let Ok(line) = line else { break };
            let held = self.held.lock().expect("nobody panics with it");
            drop(self.released.wait_while(held, |held| *held));
            self.lines
                .lock()
                .expect("no test panics while it holds the log")
                .0
                .push(line);
            self.grown.notify_all();
        }
        self.lines
            .lock()
            .expect("no test panics while it holds the log")
            .1 = true;
        self.grown.notify_all();
    }

    fn hold(&self, hold: bool) {
        *self.held.lock().expect("nobody panics with it") = hold;
        self.released.notify_all();
    }

    fn lines(&self) -> LinesGuard<'_> {
        LinesGuard(
            self.lines
                .lock()
                .expect("no test panics while it holds the log"),
        )
    }

    fn matching(&self, text: &str) -> Vec<String> {
        self.lines()
            .iter()
            .filter(|line| line.contains(text))
            .cloned()
            .collect()
    }

    /// Waits until `find` finds something in the lines; gives up when the program has ended or [`PATIENCE`] has.
    #[track_caller]
    fn wait<T>(&self, what: &str, find: impl Fn(&[String]) -> Option<T>) -> T {
        let deadline = Instant::now() + PATIENCE;
        let mut guard = self
            .lines
            .lock()
            .expect("no test panics while it holds the log");
        loop {
            if let Some(found) = find(&guard.0) {
                return found;
            }
            let left = deadline.saturating_duration_since(Instant::now());
            let ended = guard.1;
            if ended || left.is_zero() {
                drop(guard); // a panic must not poison the lock that the drop of `Proxy` takes
                panic!("the log does not say {what} (program ended: {ended})");
            }
            guard = self
                .grown
                .wait_timeout(guard, left)
                .expect("no test panics while it holds the log")
                .0;
        }
    }
}

struct LinesGuard<'log>(MutexGuard<'log, (Vec<String>, bool)>);

impl std::ops::Deref for LinesGuard<'_> {
    type Target = Vec<String>;

    fn deref(&self) -> &Vec<String> {
        &self.0.0
    }
}

/// The value of `name=value` in a log line.
fn value_of<'line>(line: &'line str, name: &str) -> Option<&'line str> {
    line.split_whitespace()
        .find_map(|word| word.strip_prefix(name)?.strip_prefix('='))
}

/// The first core this process may run on, for `--cores`.
pub(crate) fn first_core() -> String {
    let status = fs::read_to_string("/proc/self/status").expect("/proc is there");
    let list = status
        .lines()
        .find_map(|line| line.strip_prefix("Cpus_allowed_list:"))
        .expect("a list of cores");
    list.trim()
        .split([',', '-'])
        .next()
        .expect("at least one core")
        .to_owned()
}
