//! What the measured process costs: its CPU and memory, and the CPU of the load thread beside it.
//!
//! CPU comes from the kernel's clock of a process: nanoseconds of scheduler time of all its threads, the ring's
//! worker threads included, and also of those that have ended since. (The tick-counted times of `/proc/PID/stat` are
//! too coarse, and a sum over `/proc/PID/task` forgets threads that have ended.)

use std::fs;
use std::io;
use std::path::Path;
use std::time::{Duration, Instant};

use nix::time::{ClockId, clock_getcpuclockid, clock_gettime};
use nix::unistd::Pid;

use crate::load::error::LoadError;

/// One process, or one and its descendants as they were when it was looked up. One that ends while it is measured is
/// an error, since its clock ends with it.
#[derive(Debug)]
pub(crate) struct Process {
    members: Vec<(u32, ClockId)>,
}

impl Process {
    /// This process and no other.
    pub(crate) fn alone(pid: u32) -> Result<Self, LoadError> {
        let clock = i32::try_from(pid)
            .ok()
            .and_then(|pid| clock_getcpuclockid(Pid::from_raw(pid)).ok())
            .ok_or_else(|| LoadError::Process(format!("there is no process {pid}")))?;
        Ok(Self {
            members: vec![(pid, clock)],
        })
    }

    /// This process and its descendants: programs that work in several processes.
    pub(crate) fn family(pid: u32) -> Result<Self, LoadError> {
        let mut family = Self::alone(pid)?;
        for child in children(pid) {
            family.members.extend(Self::family(child)?.members);
        }
        Ok(family)
    }

    /// CPU time so far.
    pub(crate) fn cpu(&self) -> Result<Duration, LoadError> {
        let times = self.members.iter().map(|(pid, clock)| {
            clock_gettime(*clock).map(Duration::from).map_err(|error| {
                LoadError::Process(format!(
                    "process {pid} ended while it was measured ({error})"
                ))
            })
        });
        times.sum()
    }

    /// Time its threads have waited for a core so far.
    fn waited(&self) -> Duration {
        let tasks = self.members.iter().filter_map(|(pid, _)| {
            let tasks = fs::read_dir(format!("/proc/{pid}/task")).ok()?;
            Some(tasks.flatten())
        });
        tasks
            .flatten()
            .map(|task| waited(&task.path().join("schedstat")))
            .sum()
    }

    /// Proportional set size now, in bytes.
    pub(crate) fn pss_bytes(&self) -> Result<u64, LoadError> {
        let sizes = self.members.iter().map(|(pid, _)| {
            let path = format!("/proc/{pid}/smaps_rollup");
            pss_bytes(&path)
                .map_err(|error| LoadError::Process(format!("cannot read {path}: {error}")))
        });
        sizes.sum()
    }
}

/// What a piece of work took.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Cost {
    pub(crate) wall: Duration,
    /// CPU of the proxy, where its process is known.
    pub(crate) proxy_cpu: Option<Duration>,
    /// CPU of the load thread.
    pub(crate) load_cpu: Duration,
    /// Time that threads of the proxy, and the load thread, were ready to run while others had their core.
    pub(crate) proxy_waited: Option<Duration>,
    pub(crate) load_waited: Duration,
}

/// Does `work` and says what it took.
pub(crate) fn timed<T>(
    process: Option<&Process>,
    work: impl FnOnce() -> Result<T, LoadError>,
) -> Result<(T, Cost), LoadError> {
    let cpu = || process.map(Process::cpu).transpose();
    let waited = || process.map(Process::waited);
    let since = |before: Option<Duration>, after: Option<Duration>| {
        let both = after.zip(before);
        both.map(|(after, before)| after.saturating_sub(before))
    };
    let started = Instant::now();
    let (proxy_waited, load_waited) = (waited(), load_waited());
    let (proxy_cpu, load_cpu) = (cpu()?, load_thread_cpu()?);
    let done = work()?;
    let cost = Cost {
        proxy_cpu: since(proxy_cpu, cpu()?),
        load_cpu: load_thread_cpu()?.saturating_sub(load_cpu),
        proxy_waited: since(proxy_waited, waited()),
        load_waited: self::load_waited().saturating_sub(load_waited),
        wall: started.elapsed(),
    };
    Ok((done, cost))
}

fn load_thread_cpu() -> Result<Duration, LoadError> {
    clock_gettime(ClockId::CLOCK_THREAD_CPUTIME_ID)
        .map(Duration::from)
        .map_err(LoadError::errno("reading the clock of the load thread"))
}

fn load_waited() -> Duration {
    waited(Path::new("/proc/thread-self/schedstat"))
}

/// The second number of a `schedstat`: time on a run queue. Zero where the kernel does not keep it, or the thread
/// ended.
fn waited(path: &Path) -> Duration {
    let line = fs::read_to_string(path).unwrap_or_default();
    let nanoseconds = line.split_ascii_whitespace().nth(1);
    Duration::from_nanos(nanoseconds.and_then(|text| text.parse().ok()).unwrap_or(0))
}

fn children(pid: u32) -> Vec<u32> {
    let tasks = fs::read_dir(format!("/proc/{pid}/task"))
        .into_iter()
        .flatten();
    let lists = tasks
        .flatten()
        .filter_map(|task| fs::read_to_string(task.path().join("children")).ok());
    let pids: Vec<String> = lists.collect();
    pids.iter()
        .flat_map(|list| list.split_ascii_whitespace())
        .filter_map(|pid| pid.parse().ok())
        .collect()
}

fn pss_bytes(path: &str) -> io::Result<u64> {
    let rollup = fs::read_to_string(path)?;
    let kib = rollup
        .lines()
        .find_map(|line| line.strip_prefix("Pss:"))
        .and_then(|value| value.trim().strip_suffix("kB"))
        .and_then(|value| value.trim().parse::<u64>().ok());
    kib.map(|kib| kib * 1024)
        .ok_or_else(|| io::Error::other("no Pss line"))
}

#[cfg(test)]
mod tests {
    use super::*;

    use std::process::Command;
    use std::sync::atomic::{AtomicBool, Ordering};
    use std::thread;

    #[test]
    fn cpu_of_threads_that_have_ended_counts() {
        let own = Process::alone(std::process::id()).unwrap();
        let work = Duration::from_millis(30);
        let spin = move || while load_thread_cpu().unwrap() < work {};
        let ((), cost) = timed(Some(&own), || {
            std::thread::spawn(spin).join().unwrap();
            Ok(())
        })
        .unwrap();
        assert!(cost.proxy_cpu.unwrap() >= work, "{cost:?}");
        assert!(cost.load_cpu < work, "{cost:?}");
    }

    #[test]
    fn a_core_that_others_hold_shows() {
        let core = core_affinity::get_core_ids().unwrap()[0];
        let done = AtomicBool::new(false);
        let spin = |until: &dyn Fn() -> bool| {
            assert!(core_affinity::set_for_current(core));
            while !until() {}
        };
        let cost = thread::scope(|scope| {
            scope.spawn(|| spin(&|| done.load(Ordering::Relaxed)));
            let measured = scope.spawn(|| {
                let started = Instant::now();
                let enough = || started.elapsed() > Duration::from_millis(100);
                let spin_on = || {
                    spin(&enough);
                    Ok(())
                };
                timed(None, spin_on).unwrap().1
            });
            let cost = measured.join().unwrap();
            done.store(true, Ordering::Relaxed);
            cost
        });
        assert!(cost.load_waited > Duration::from_millis(10), "{cost:?}");
    }

    #[test]
    fn a_family_is_all_its_generations_and_fails_when_one_ends() {
        let mut shell = Command::new("sh")
            .args(["-c", "sleep 0.5 & wait"])
            .spawn()
            .unwrap();
        let started = Instant::now();
        let family = loop {
            let family = Process::family(shell.id()).unwrap();
            if family.members.len() == 2 {
                break family;
            }
            assert!(started.elapsed() < Duration::from_millis(400), "{family:?}");
        };
        family.cpu().unwrap();
        shell.wait().unwrap();
        assert!(matches!(family.cpu(), Err(LoadError::Process(_))));
        assert!(Process::alone(shell.id()).is_err());
    }

    #[test]
    fn memory_that_is_touched_shows() {
        let own = Process::alone(std::process::id()).unwrap();
        let before = own.pss_bytes().unwrap();
        let touched = vec![1_u8; 32 << 20];
        let after = own.pss_bytes().unwrap();
        assert!(touched.iter().all(|byte| *byte == 1));
        assert!(after > before + (30 << 20), "{before} {after}");
    }
}
