//! What the measured process costs: its CPU, context switches, memory and descriptors, and what a load thread costs
//! beside it.
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

/// How the kernel names the threads that do a ring's work which would block.
const RING_WORKER: &str = "iou-wrk-";

/// One process, or one and its descendants as they were when it was looked up. One that ends while it is measured is
/// an error, since its clock ends with it.
#[derive(Debug)]
pub(crate) struct Process {
    members: Vec<(u32, ClockId)>,
    /// The one core it may run on, where that is known.
    core: Option<usize>,
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
            core: None,
        })
    }

    /// It is pinned to this core.
    pub(crate) fn on(self, core: Option<usize>) -> Self {
        Self { core, ..self }
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
    fn cpu(&self) -> Result<Duration, LoadError> {
        let times = self.members.iter().map(|(pid, clock)| {
            clock_gettime(*clock).map(Duration::from).map_err(|error| {
                LoadError::Process(format!(
                    "process {pid} ended while it was measured ({error})"
                ))
            })
        });
        times.sum()
    }

    /// All it has spent so far. Threads that have ended are in its CPU, and in nothing else.
    pub(crate) fn spent(&self) -> Result<Spent, LoadError> {
        let mut spent = Spent::default();
        for (pid, _) in &self.members {
            let folder = format!("/proc/{pid}");
            let stat = fs::read_to_string(format!("{folder}/stat")).unwrap_or_default();
            let (user, system) = ticks(&stat).unwrap_or_default();
            spent.user_ticks += user;
            spent.system_ticks += system;
            let tasks = fs::read_dir(format!("{folder}/task")).into_iter().flatten();
            for task in tasks.flatten() {
                let read =
                    |name: &str| fs::read_to_string(task.path().join(name)).unwrap_or_default();
                let (ran, waited) = schedule_times(&task.path().join("schedstat"));
                spent.waited += waited;
                if read("comm").starts_with(RING_WORKER) {
                    spent.workers += ran;
                }
                let (voluntary, involuntary) = switches(&read("status"));
                spent.voluntary_switches += voluntary;
                spent.involuntary_switches += involuntary;
            }
        }
        spent.cpu = self.cpu()?; // last: the process is at rest, and what it did for this reading is in it
        spent.core = self.core.and_then(CoreTime::now);
        Ok(spent)
    }

    /// What it holds now.
    pub(crate) fn held(&self) -> Result<Held, LoadError> {
        let mut descriptors = 0;
        for (pid, _) in &self.members {
            let folder = format!("/proc/{pid}/fd");
            let all = fs::read_dir(&folder)
                .map_err(|error| LoadError::Process(format!("cannot read {folder}: {error}")))?;
            descriptors += all.count() as u64;
        }
        Ok(Held {
            pss_bytes: self.pss_bytes()?,
            descriptors,
        })
    }

    /// Proportional set size now, in bytes.
    fn pss_bytes(&self) -> Result<u64, LoadError> {
        let sizes = self.members.iter().map(|(pid, _)| {
            let path = format!("/proc/{pid}/smaps_rollup");
            pss_bytes(&path)
                .map_err(|error| LoadError::Process(format!("cannot read {path}: {error}")))
        });
        sizes.sum()
    }
}

/// What the process has spent since it began; of two readings the difference is what a piece of work took.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Spent {
    pub(crate) cpu: Duration,
    /// Ticks of user and of system time: coarse, so that only their proportion is used, to divide `cpu`.
    user_ticks: u64,
    system_ticks: u64,
    /// CPU of the ring's worker threads, which is in `cpu` as well.
    pub(crate) workers: Duration,
    /// Time that its threads were ready to run while others had their core; since before, no more than programs other
    /// than this one had of it.
    pub(crate) waited: Duration,
    pub(crate) voluntary_switches: u64,
    pub(crate) involuntary_switches: u64,
    core: Option<CoreTime>,
}

impl Spent {
    pub(crate) fn since(&self, before: &Self) -> Self {
        let cpu = self.cpu.saturating_sub(before.cpu);
        let waited = self.waited.saturating_sub(before.waited);
        // Of several threads on one core all but one wait, for each other as well as for others: that is no disturbance.
        let others = self
            .core
            .zip(before.core)
            .map(|(now, before)| now.busy_since(&before).saturating_sub(cpu));
        Self {
            cpu,
            user_ticks: self.user_ticks.saturating_sub(before.user_ticks),
            system_ticks: self.system_ticks.saturating_sub(before.system_ticks),
            workers: self.workers.saturating_sub(before.workers),
            waited: others.map_or(waited, |others| waited.min(others)),
            core: None,
            voluntary_switches: self
                .voluntary_switches
                .saturating_sub(before.voluntary_switches),
            involuntary_switches: self
                .involuntary_switches
                .saturating_sub(before.involuntary_switches),
        }
    }

    /// The share of `cpu` in user mode, where enough ticks have seen it to tell.
    pub(crate) fn user_share(&self) -> Option<f64> {
        const TICKS_MIN: u64 = 20;
        let ticks = self.user_ticks + self.system_ticks;
        (ticks >= TICKS_MIN).then(|| self.user_ticks as f64 / ticks as f64)
    }
}

/// What a core has done since the machine began, from its line of `/proc/stat`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct CoreTime {
    at: Instant,
    idle: Duration,
    /// In interrupts, where the kernel charges them to no thread.
    interrupts: Duration,
}

impl CoreTime {
    fn now(core: usize) -> Option<Self> {
        Self::of(
            &fs::read_to_string("/proc/stat").ok()?,
            core,
            Instant::now(),
        )
    }

    fn of(stat: &str, core: usize, at: Instant) -> Option<Self> {
        let name = format!("cpu{core} ");
        let line = stat.lines().find_map(|line| line.strip_prefix(&name))?;
        let times: Vec<u64> = line
            .split_ascii_whitespace()
            .map(|text| text.parse().ok())
            .collect::<Option<_>>()?;
        let [_user, _nice, _system, idle, iowait, hard, soft, ..] = *times else {
            return None;
        };
        // User space is told of 100 ticks a second, whatever the kernel's own are.
        let ticks = |count: u64| Duration::from_millis(count.saturating_mul(10));
        // A kernel that samples at ticks never sees one in a hard interrupt: it has charged them to threads, soft ones too.
        let is_apart = hard > 0;
        Some(Self {
            at,
            idle: ticks(idle.saturating_add(iowait)),
            interrupts: if is_apart {
                ticks(hard.saturating_add(soft))
            } else {
                Duration::ZERO
            },
        })
    }

    /// Time of all threads of all programs.
    fn busy_since(&self, before: &Self) -> Duration {
        self.at
            .saturating_duration_since(before.at)
            .saturating_sub(self.idle.saturating_sub(before.idle))
            .saturating_sub(self.interrupts.saturating_sub(before.interrupts))
    }
}

/// What the process holds at a moment.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Held {
    pub(crate) pss_bytes: u64,
    pub(crate) descriptors: u64,
}

/// What the calling thread has spent.
#[derive(Debug, Clone, Copy)]
pub(crate) struct OwnThread {
    pub(crate) cpu: Duration,
    pub(crate) waited: Duration,
}

impl OwnThread {
    pub(crate) fn now() -> Result<Self, LoadError> {
        let cpu = clock_gettime(ClockId::CLOCK_THREAD_CPUTIME_ID)
            .map_err(LoadError::errno("reading the clock of the load thread"))?;
        Ok(Self {
            cpu: cpu.into(),
            waited: schedule_times(Path::new("/proc/thread-self/schedstat")).1,
        })
    }

    pub(crate) fn since(&self, before: &Self) -> Self {
        Self {
            cpu: self.cpu.saturating_sub(before.cpu),
            waited: self.waited.saturating_sub(before.waited),
        }
    }
}

/// The numbers of a `schedstat`: time on a core, and ready for one. Zero where the kernel does not keep them, or the
/// thread ended.
fn schedule_times(path: &Path) -> (Duration, Duration) {
    let line = fs::read_to_string(path).unwrap_or_default();
    let mut times = line
        .split_ascii_whitespace()
        .map(|text| Duration::from_nanos(text.parse().unwrap_or(0)));
    (
        times.next().unwrap_or_default(),
        times.next().unwrap_or_default(),
    )
}

/// User and system time of a `stat`, in ticks: its 14th and 15th field, behind a name that may hold anything.
fn ticks(stat: &str) -> Option<(u64, u64)> {
    let (_, fields) = stat.rsplit_once(')')?;
    let mut fields = fields.split_ascii_whitespace().skip(11);
    Some((fields.next()?.parse().ok()?, fields.next()?.parse().ok()?))
}

/// Voluntary and involuntary switches of a `status`.
fn switches(status: &str) -> (u64, u64) {
    let count = |key: &str| {
        let value = status.lines().find_map(|line| line.strip_prefix(key));
        value
            .and_then(|value| value.trim().parse().ok())
            .unwrap_or(0)
    };
    (
        count("voluntary_ctxt_switches:"),
        count("nonvoluntary_ctxt_switches:"),
    )
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

    use std::os::unix::process::CommandExt;
    use std::process::Command;
    use std::sync::atomic::{AtomicBool, Ordering};
    use std::thread;

    use nix::sys::signal::{Signal, killpg};

    fn spin_for(work: Duration) -> impl Fn() {
        move || {
            let before = OwnThread::now().unwrap();
            while OwnThread::now().unwrap().since(&before).cpu < work {}
        }
    }

    #[test]
    fn cpu_of_threads_that_have_ended_counts() {
        let own = Process::alone(std::process::id()).unwrap();
        let (before, this) = (own.spent().unwrap(), OwnThread::now().unwrap());
        let work = Duration::from_millis(30);
        thread::spawn(spin_for(work)).join().unwrap();
        let spent = own.spent().unwrap().since(&before);
        assert!(spent.cpu >= work, "{spent:?}");
        let this = OwnThread::now().unwrap().since(&this);
        assert!(this.cpu < work, "{this:?}");
    }

    #[test]
    fn a_core_that_others_hold_shows() {
        let core = core_affinity::get_core_ids().unwrap()[0];
        let done = AtomicBool::new(false);
        let spin = |until: &dyn Fn() -> bool| {
            assert!(core_affinity::set_for_current(core));
            while !until() {}
        };
        let spent = thread::scope(|scope| {
            scope.spawn(|| spin(&|| done.load(Ordering::Relaxed)));
            let measured = scope.spawn(|| {
                let started = Instant::now();
                let before = OwnThread::now().unwrap();
                spin(&|| started.elapsed() > Duration::from_millis(100));
                OwnThread::now().unwrap().since(&before)
            });
            let spent = measured.join().unwrap();
            done.store(true, Ordering::Relaxed);
            spent
        });
        assert!(spent.waited > Duration::from_millis(10), "{spent:?}");
    }

    #[test]
    fn user_time_switches_and_descriptors_of_known_work_show() {
        let own = Process::alone(std::process::id()).unwrap();
        let before = own.spent().unwrap();
        let held = own.held().unwrap();
        let files: Vec<_> = (0..50)
            .map(|_| fs::File::open("/dev/null").unwrap())
            .collect();
        let after = own.held().unwrap();
        // Other tests open and close a few beside this one.
        assert!(
            after.descriptors >= held.descriptors + 30,
            "{held:?} {after:?}"
        );
        drop(files);
        // A thread that ends takes its switches with it, so this one has to sleep and spin itself, and more than once
        // where others that were counted before end meanwhile.
        let started = Instant::now();
        while own.spent().unwrap().since(&before).voluntary_switches < 20 {
            thread::sleep(Duration::from_millis(1));
            assert!(started.elapsed() < Duration::from_secs(20));
        }
        while OwnThread::now().unwrap().cpu < Duration::from_millis(400) {
            assert!(started.elapsed() < Duration::from_secs(20));
        }
        let spent = own.spent().unwrap().since(&before);
        let share = spent.user_share().unwrap();
        assert!(share > 0.0 && share < 1.0, "{spent:?}");
    }

    #[test]
    fn threads_that_wait_for_each_other_are_not_disturbed_by_others() {
        let at = Instant::now();
        let ms = Duration::from_millis;
        let spent = |cpu: u64, waited: u64, core: Option<(u64, u64)>| Spent {
            cpu: ms(cpu),
            waited: ms(waited),
            core: core.map(|(after, idle)| CoreTime {
                at: at + ms(after),
                idle: ms(idle),
                interrupts: ms(0),
            }),
            ..Spent::default()
        };
        let before = spent(500, 100, Some((0, 7_000)));
        // Of a second, 600 ms were its own, 300 ms nobody's, and 100 ms were others'.
        let waited = |after: Spent| after.since(&before).waited;
        assert_eq!(waited(spent(1_100, 9_100, Some((1_000, 7_300)))), ms(100));
        assert_eq!(
            waited(spent(1_100, 140, Some((1_000, 7_300)))),
            ms(40),
            "while it was ready"
        );
        assert_eq!(
            waited(spent(1_100, 9_100, None)),
            ms(9_000),
            "who ran where is not known"
        );
        assert_eq!(
            waited(spent(1_520, 9_100, Some((1_000, 7_000)))),
            ms(0),
            "clocks differ a little"
        );
    }

    #[test]
    fn what_shares_a_core_with_itself_waits_for_no_more_than_others_had_of_it() {
        let core = core_affinity::get_core_ids().unwrap()[0];
        let pinned = thread::spawn(move || {
            assert!(core_affinity::set_for_current(core));
            Command::new("sh")
                .args(["-c", "(while :; do :; done) & while :; do :; done"])
                .process_group(0)
                .spawn()
        });
        let mut shell = pinned.join().unwrap().unwrap();
        let started = Instant::now();
        let family = || Process::family(shell.id()).unwrap().on(Some(core.id));
        while family().members.len() < 2 && started.elapsed() < Duration::from_secs(10) {}
        let family = family();
        let (before, at) = (family.spent().unwrap(), Instant::now());
        let work = Duration::from_millis(200);
        while family.cpu().unwrap() - before.cpu < work && at.elapsed() < Duration::from_secs(20) {
            thread::sleep(Duration::from_millis(10));
        }
        let (after, wall) = (family.spent().unwrap(), at.elapsed());
        killpg(Pid::from_raw(shell.id() as i32), Signal::SIGKILL).unwrap();
        shell.wait().unwrap();
        let spent = after.since(&before);
        let blind = Spent {
            core: None,
            ..after
        }
        .since(&before);
        assert!(spent.cpu >= work, "{spent:?}");
        assert!(blind.waited > work / 2, "one of two waits: {blind:?}");
        let margin = Duration::from_millis(40); // two readings of 10 ms
        assert!(
            spent.waited + spent.cpu <= wall + margin,
            "{wall:?} {spent:?}"
        );
    }

    #[test]
    fn files_of_the_kernel_are_read_right() {
        let stat = "77 (a) b) S 1 2 3 4 5 6 7 8 9 10 11 12 13 14";
        assert_eq!(ticks(stat), Some((11, 12)));
        assert_eq!(ticks("77"), None);
        let at = Instant::now();
        let core = |stat: &str| CoreTime::of(stat, 1, at);
        let cpu = "cpu  9 9 9 9 9 9 9\ncpu1 10 20 30 400 50 0 60 7 0 0\ncpu10 1 1 1 1 1 1 1\n";
        let idle = Duration::from_millis(4_500);
        let interrupts = Duration::ZERO;
        assert_eq!(
            core(cpu),
            Some(CoreTime {
                at,
                idle,
                interrupts
            })
        );
        let interrupts = Duration::from_millis(620);
        let cpu = cpu.replace("50 0 60", "50 2 60");
        assert_eq!(
            core(&cpu),
            Some(CoreTime {
                at,
                idle,
                interrupts
            })
        );
        assert_eq!(core("cpu10 1 2 3 4 5 6 7"), None);
        assert_eq!(core("cpu1 1 2 3 4"), None);
        let status = "Name:\tx\nvoluntary_ctxt_switches:\t12\nnonvoluntary_ctxt_switches:\t3\n";
        assert_eq!(switches(status), (12, 3));
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
        family.spent().unwrap();
        shell.wait().unwrap();
        assert!(matches!(family.spent(), Err(LoadError::Process(_))));
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
