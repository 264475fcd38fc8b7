//! Who may go where. Asked for the very address that is about to be dialled, on each attempt, after the name resolved.

use std::net::{IpAddr, SocketAddr};

use crate::addr::{AddressClass, carried_v4};
use crate::ring::sys;

/// The rules of one worker.
#[derive(Debug, Clone)]
pub struct Policy {
    listeners: Vec<SocketAddr>,
}

impl Policy {
    /// The defaults, for a proxy that listens on `listeners`: a client on loopback may go anywhere; any other may not
    /// reach what only this host can reach, nor this proxy itself.
    #[must_use]
    pub fn new(listeners: Vec<SocketAddr>) -> Self {
        Self { listeners }
    }

    /// Whether clients that are not on loopback can connect at all. If not, nobody has to ask for a client's address.
    #[must_use]
    pub fn only_loopback_clients(&self) -> bool {
        self.listeners
            .iter()
            .all(|listener| listener.ip().is_loopback())
    }

    /// Whether a client may have this address dialled.
    #[must_use]
    pub fn allows(&self, client_on_loopback: bool, address: IpAddr, port: u16) -> bool {
        client_on_loopback
            || (AddressClass::of(address) == AddressClass::Ordinary
                && !self.leads_here(address, port))
    }

    /// Whether this address and port are a listener of this proxy, in whatever form the address is given.
    fn leads_here(&self, address: IpAddr, port: u16) -> bool {
        let address = match address {
            IpAddr::V6(v6) => carried_v4(v6).map_or(address, IpAddr::V4),
            IpAddr::V4(_) => address,
        };
        self.listeners.iter().any(|listener| {
            let listens_on = listener.ip().to_canonical();
            let here = || {
                listens_on == address
                    || (listens_on.is_unspecified() && sys::is_of_this_host(address))
            };
            listener.port() == port && here()
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().expect("an address")
    }

    #[test]
    fn a_client_on_loopback_may_go_anywhere() {
        let policy = Policy::new(vec!["127.0.0.1:3128".parse().expect("an address")]);
        assert!(policy.only_loopback_clients());
        for address in ["127.0.0.1", "169.254.169.254", "::1", "192.0.2.1"] {
            assert!(policy.allows(true, ip(address), 80));
        }
    }

    #[test]
    fn others_may_not_reach_what_only_this_host_can() {
        let policy = Policy::new(vec!["0.0.0.0:3128".parse().expect("an address")]);
        assert!(!policy.only_loopback_clients());
        let forbidden = [
            "127.0.0.1",
            "0.0.0.0",
            "169.254.169.254",
            "::1",
            "::ffff:127.0.0.1",
            "64:ff9b::7f00:1",
            "fe80::1",
        ];
        for address in forbidden {
            assert!(!policy.allows(false, ip(address), 80), "{address}");
        }
        assert!(policy.allows(false, ip("192.0.2.1"), 80));
        assert!(
            policy.allows(false, ip("192.0.2.1"), 3128),
            "a port like ours on another host is none of our business"
        );
    }

    #[test]
    fn others_may_not_reach_the_proxy_itself() {
        let policy = Policy::new(vec!["192.0.2.7:3128".parse().expect("an address")]);
        assert!(!policy.allows(false, ip("192.0.2.7"), 3128));
        assert!(!policy.allows(false, ip("::ffff:192.0.2.7"), 3128));
        assert!(policy.allows(false, ip("192.0.2.7"), 80));
    }
}
