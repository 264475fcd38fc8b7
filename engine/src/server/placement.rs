//! Which CPUs the workers run on.

use crate::ring::sys;

/// The CPUs this process may use, by number.
#[must_use]
pub fn allowed_cores() -> Vec<usize> {
    sys::allowed_cpus().unwrap_or_default()
}

/// Pins the calling thread. Says whether the kernel agreed.
pub(super) fn pin(core: usize) -> bool {
    core_affinity::set_for_current(core_affinity::CoreId { id: core })
}
