//! Names of TCP congestion controls (TCP_CONGESTION). See `kernel-notes/congestion-control.md`.

use std::fmt;
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};

use super::check;

/// The name of a TCP congestion control, as TCP_CONGESTION takes it (tcp(7)).
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct CongestionControl {
    /// Zeroes behind the name, one at least: TCP_CA_NAME_MAX.
    name: [u8; 16],
}

impl CongestionControl {
    /// `None` for what cannot be the name of one.
    #[must_use]
    pub fn new(name: &str) -> Option<Self> {
        let fits =
            (1..16).contains(&name.len()) && name.bytes().all(|byte| byte.is_ascii_graphic());
        fits.then(|| {
            let mut bytes = [0; 16];
            bytes[..name.len()].copy_from_slice(name.as_bytes());
            Self { name: bytes }
        })
    }

    /// The one that `socket` has.
    ///
    /// # Errors
    /// What getsockopt(2) says.
    pub fn of(socket: BorrowedFd<'_>) -> io::Result<Self> {
        let mut name = [0; 16];
        let mut bytes = size_of_val(&name) as libc::socklen_t;
        // SAFETY: the kernel writes at most `bytes` bytes.
        check(unsafe {
            libc::getsockopt(
                socket.as_raw_fd(),
                libc::IPPROTO_TCP,
                libc::TCP_CONGESTION,
                name.as_mut_ptr().cast(),
                &raw mut bytes,
            )
        })?;
        Ok(Self { name })
    }

    /// Gives it to a socket that is not connected yet: one that was paced stays paced.
    ///
    /// # Errors
    /// ENOENT for one that this kernel has not, EPERM for one that this process may not choose.
    pub fn set(&self, socket: BorrowedFd<'_>) -> io::Result<()> {
        // SAFETY: the kernel reads as many bytes as `name` has.
        check(unsafe {
            libc::setsockopt(
                socket.as_raw_fd(),
                libc::IPPROTO_TCP,
                libc::TCP_CONGESTION,
                self.name.as_ptr().cast(),
                size_of_val(&self.name) as libc::socklen_t,
            )
        })
        .map(drop)
    }

    /// Whether it spaces its packets by timers (a BBR of any version): the kernel does not say.
    #[must_use]
    pub fn paces(&self) -> bool {
        self.name.starts_with(b"bbr")
    }
}

impl fmt::Display for CongestionControl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = self.name.split(|byte| *byte == 0).next();
        f.write_str(&String::from_utf8_lossy(name.unwrap_or_default()))
    }
}

impl fmt::Debug for CongestionControl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_short_and_of_plain_characters() {
        for name in ["reno", "bbr", "fifteen-letters"] {
            assert_eq!(
                CongestionControl::new(name).expect("a name").to_string(),
                name
            );
        }
        for wrong in ["", "sixteen-letters!", "two words", "n\u{fc}", "a\0b"] {
            assert_eq!(CongestionControl::new(wrong), None, "{wrong:?}");
        }
    }
}
