//! Which congestion control a connection gets. See `kernel-notes/congestion-control.md`.

use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::os::fd::AsFd;

use crate::ring::sys::{self, CongestionControl};

/// What every kernel has and everyone may choose.
const LOOPBACK: &str = "reno";

/// The congestion control of connections, by where their other end is; `None` leaves the kernel's default.
#[derive(Debug, Clone, Copy, Default)]
pub struct CongestionPolicy {
    loopback: Option<CongestionControl>,
    elsewhere: Option<CongestionControl>,
}

impl CongestionPolicy {
    /// The kernel's default, but not over loopback where that one paces.
    ///
    /// # Errors
    /// What socket(2) or getsockopt(2) says.
    pub fn of_kernel() -> io::Result<Self> {
        let socket = sys::tcp_socket(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)), None)?;
        let policy = Self::beside(CongestionControl::of(socket.as_fd())?);
        // net.ipv4.tcp_allowed_congestion_control may leave it out.
        let allowed = policy
            .loopback
            .is_none_or(|control| control.set(socket.as_fd()).is_ok());
        Ok(if allowed { policy } else { Self::default() })
    }

    /// Beside this default of the kernel.
    fn beside(default: CongestionControl) -> Self {
        let loopback = CongestionControl::new(LOOPBACK).filter(|_| default.paces());
        Self {
            loopback,
            elsewhere: None,
        }
    }

    /// This one everywhere.
    ///
    /// # Errors
    /// What socket(2) says; of setsockopt(2) ENOENT for one that this kernel has not, EPERM for one that this process
    /// may not choose.
    pub fn everywhere(control: CongestionControl) -> io::Result<Self> {
        sys::tcp_socket(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)), Some(control))?;
        Ok(Self {
            loopback: Some(control),
            elsewhere: Some(control),
        })
    }

    /// For connections with `address`, or of a listener there.
    #[must_use]
    pub fn towards(&self, address: IpAddr) -> Option<CongestionControl> {
        if address.is_loopback() {
            self.loopback
        } else {
            self.elsewhere
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named(name: &str) -> CongestionControl {
        CongestionControl::new(name).expect("a name")
    }

    #[test]
    fn only_what_paces_is_replaced_and_only_over_loopback() {
        let loopback: [IpAddr; 3] =
            ["127.0.0.1", "127.9.9.9", "::1"].map(|ip| ip.parse().expect("an address"));
        let elsewhere: [IpAddr; 4] =
            ["10.0.0.1", "0.0.0.0", "2001:db8::1", "::"].map(|ip| ip.parse().expect("an address"));
        for (default, over_loopback) in [
            ("bbr", Some("reno")),
            ("bbr3", Some("reno")),
            ("cubic", None),
            ("reno", None),
            ("dctcp", None),
        ] {
            let policy = CongestionPolicy::beside(named(default));
            for address in loopback {
                assert_eq!(
                    policy.towards(address),
                    over_loopback.map(named),
                    "{default} {address}"
                );
            }
            for address in elsewhere {
                assert_eq!(policy.towards(address), None, "{default} {address}");
            }
        }
    }

    #[test]
    fn a_chosen_one_holds_everywhere_and_must_exist() {
        let policy = CongestionPolicy::everywhere(named("reno")).expect("every kernel has it");
        for address in ["127.0.0.1", "192.0.2.1", "2001:db8::1"] {
            let address = address.parse().expect("an address");
            assert_eq!(policy.towards(address), Some(named("reno")));
        }
        let missing =
            CongestionPolicy::everywhere(named("nonesuch")).expect_err("no kernel has it");
        assert_eq!(missing.raw_os_error(), Some(libc::ENOENT));
    }
}
