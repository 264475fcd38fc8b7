//! Anonymous mappings.

use std::io;
use std::ptr::NonNull;

/// The page size of the running kernel: 4, 16 or 64 KiB on aarch64.
pub(in crate::ring) fn page_bytes() -> usize {
    // SAFETY: sysconf reads a constant of the process.
    let bytes = unsafe { libc::sysconf(libc::_SC_PAGESIZE) };
    usize::try_from(bytes).unwrap_or(4096)
}

/// Zeroed, page-aligned, private memory, unmapped on drop.
pub(in crate::ring) struct Mapping {
    base: NonNull<u8>,
    bytes: usize,
}

impl Mapping {
    pub(in crate::ring) fn anonymous(bytes: usize) -> io::Result<Self> {
        // SAFETY: a new anonymous mapping aliases nothing. MADV_DONTFORK is not needed: the engine never forks.
        let base = unsafe {
            libc::mmap(
                std::ptr::null_mut(),
                bytes,
                libc::PROT_READ | libc::PROT_WRITE,
                libc::MAP_PRIVATE | libc::MAP_ANONYMOUS,
                -1,
                0,
            )
        };
        if base == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        let base =
            NonNull::new(base.cast()).ok_or_else(|| io::Error::from_raw_os_error(libc::ENOMEM))?;
        Ok(Self { base, bytes })
    }

    pub(in crate::ring) fn base(&self) -> NonNull<u8> {
        self.base
    }

    pub(in crate::ring) fn bytes(&self) -> usize {
        self.bytes
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        // SAFETY: base and length are those of mmap; whoever lent the memory to the kernel has it back (see Ring::drop).
        unsafe { libc::munmap(self.base.as_ptr().cast(), self.bytes) };
    }
}
