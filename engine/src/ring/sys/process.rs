//! Facts and limits of this process and of the running kernel.

use std::io;

use super::check;

/// What RLIMIT_MEMLOCK allows this process to pin.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MemoryLock {
    /// Bytes; `u64::MAX` means no limit.
    pub bytes: u64,
}

/// Raises the soft limit of open files to the hard limit and says what it is now.
///
/// # Errors
/// What getrlimit(2) or setrlimit(2) says.
pub fn raise_file_limit() -> io::Result<u64> {
    let mut limit = libc::rlimit {
        rlim_cur: 0,
        rlim_max: 0,
    };
    // SAFETY: the kernel writes one rlimit.
    check(unsafe { libc::getrlimit(libc::RLIMIT_NOFILE, &raw mut limit) })?;
    if limit.rlim_cur < limit.rlim_max {
        limit.rlim_cur = limit.rlim_max;
        // SAFETY: the kernel reads one rlimit.
        check(unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &raw const limit) })?;
    }
    Ok(limit.rlim_cur)
}

/// The RLIMIT_MEMLOCK of this process.
///
/// # Errors
/// What getrlimit(2) says.
pub fn memory_lock() -> io::Result<MemoryLock> {
    let mut limit = libc::rlimit {
        rlim_cur: 0,
        rlim_max: 0,
    };
    // SAFETY: the kernel writes one rlimit.
    check(unsafe { libc::getrlimit(libc::RLIMIT_MEMLOCK, &raw mut limit) })?;
    Ok(MemoryLock {
        bytes: limit.rlim_cur,
    })
}

/// The CPUs this process may run on, by number.
///
/// # Errors
/// What sched_getaffinity(2) says.
pub fn allowed_cpus() -> io::Result<Vec<usize>> {
    // SAFETY: a cpu_set_t of zeroes is a valid, empty set; the kernel fills it.
    let set = unsafe {
        let mut set: libc::cpu_set_t = std::mem::zeroed();
        check(libc::sched_getaffinity(
            0,
            size_of::<libc::cpu_set_t>(),
            &raw mut set,
        ))?;
        set
    };
    // SAFETY: every number is below the capacity of the set.
    let allowed =
        (0..libc::CPU_SETSIZE as usize).filter(|&cpu| unsafe { libc::CPU_ISSET(cpu, &set) });
    Ok(allowed.collect())
}

/// `uname -r`.
#[must_use]
pub fn kernel_release() -> String {
    std::fs::read_to_string("/proc/sys/kernel/osrelease")
        .map_or_else(|_| "unknown".into(), |text| text.trim().into())
}

/// Whether a seccomp filter is on this process.
#[must_use]
pub fn seccomp_filtered() -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    status.lines().any(|line| {
        line.strip_prefix("Seccomp:")
            .is_some_and(|mode| mode.trim() == "2")
    })
}
