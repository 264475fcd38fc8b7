//! What `/proc` says about a process, and the limits of this one.

use std::fs;
use std::os::fd::OwnedFd;
use std::time::Duration;

use rustix::process::{
    Pid, PidfdFlags, PidfdGetfdFlags, Resource, Rlimit, getrlimit, pidfd_getfd, pidfd_open,
    setrlimit,
};

/// Clock ticks of `/proc/PID/stat` in a second: the kernel shows user space 100 on every architecture we run on.
const TICKS_PER_SECOND: u64 = 100;

/// A process as `/proc` shows it.
#[derive(Clone, Copy)]
pub(crate) struct Process {
    pid: u32,
}

impl Process {
    pub(crate) fn new(pid: u32) -> Self {
        Self { pid }
    }

    fn read(self, file: &str) -> String {
        let path = format!("/proc/{}/{file}", self.pid);
        fs::read_to_string(&path).unwrap_or_else(|error| panic!("{path}: {error}"))
    }

    /// Whether all of it has been stopped by a signal.
    pub(crate) fn is_stopped(self) -> bool {
        let threads = self.threads();
        !threads.is_empty() && threads.iter().all(|thread| thread.contains("State:\tT"))
    }

    /// Open files.
    pub(crate) fn files(self) -> usize {
        self.open().count()
    }

    fn open(self) -> fs::ReadDir {
        fs::read_dir(format!("/proc/{}/fd", self.pid)).expect("the process runs")
    }

    /// Its open files, duplicated: what the kernel tells of them can be asked. They are given back by closing them.
    pub(crate) fn descriptors(self) -> Vec<OwnedFd> {
        let pid = i32::try_from(self.pid).ok().and_then(Pid::from_raw);
        let process = pidfd_open(pid.expect("a process"), PidfdFlags::empty()).expect("it runs");
        let files = self.open().flatten();
        let numbers = files.filter_map(|file| file.file_name().to_str()?.parse().ok());
        numbers
            .map(|number| {
                pidfd_getfd(&process, number, PidfdGetfdFlags::empty())
                    .expect("a process may trace its children (seccomp and Yama decide)")
            })
            .collect()
    }

    /// Proportional set size: the memory that this process takes from the machine.
    pub(crate) fn pss_kib(self) -> u64 {
        let rollup = self.read("smaps_rollup");
        let line = rollup
            .lines()
            .find_map(|line| line.strip_prefix("Pss:"))
            .expect("a Pss line");
        line.trim()
            .trim_end_matches(" kB")
            .trim()
            .parse()
            .expect("a number of KiB")
    }

    /// A line for each thread that says what it is doing, as far as the kernel tells; none when the process has ended.
    pub(crate) fn threads(self) -> Vec<String> {
        let Ok(threads) = fs::read_dir(format!("/proc/{}/task", self.pid)) else {
            return Vec::new();
        };
        let line = |thread: fs::DirEntry| {
            let read = |file| fs::read_to_string(thread.path().join(file)).unwrap_or_default();
            let state = read("status").lines().nth(2).unwrap_or_default().to_owned();
            format!(
                "{} {state}, in {}, system call {}",
                read("comm").trim(),
                read("wchan"),
                read("syscall").trim()
            )
        };
        threads.flatten().map(line).collect()
    }

    /// CPU time of all its threads so far.
    pub(crate) fn cpu(self) -> Duration {
        let stat = self.read("stat");
        let (_, fields) = stat.rsplit_once(") ").expect("the command's name ends");
        let fields: Vec<&str> = fields.split(' ').collect();
        let ticks: u64 = [11, 12]
            .iter()
            .map(|field| fields[*field].parse::<u64>().expect("a number of ticks"))
            .sum();
        Duration::from_millis(ticks * 1000 / TICKS_PER_SECOND)
    }
}

/// Raises this process's limit of open files as far as it may, and gives it.
pub(crate) fn raise_file_limit() -> u64 {
    let hard = getrlimit(Resource::Nofile).maximum;
    setrlimit(
        Resource::Nofile,
        Rlimit {
            current: hard,
            maximum: hard,
        },
    )
    .expect("the soft limit may reach the hard one");
    hard.unwrap_or(u64::MAX)
}
