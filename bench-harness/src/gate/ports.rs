//! The addresses of a gate: those that were asked for, if they are free, and others for port 0. That a port is taken
//! shows before anything is measured.

use std::io;
use std::net::SocketAddr;
use std::ops::Range;

use crate::crew;
use crate::load::socket;

/// Below the ports that the kernel gives to connections, one of which could have a free one the next moment.
const PORTS: Range<u16> = 10_240..32_768;

/// Ports between the first ones that two gates at the same time try.
const STRIDE: u32 = 16;

/// Where the proxy listens, and the first of so many origins.
pub(super) fn settle(
    proxy: SocketAddr,
    origin: SocketAddr,
    origins: usize,
) -> Result<(SocketAddr, SocketAddr), String> {
    let proxy = one("--proxy", proxy, socket::check_free)?;
    let origin = one("--origin", origin, |address| {
        for index in 0..origins.max(1) {
            let address = crew::origin_of(address, index).map_err(io::Error::other)?;
            if address == proxy {
                return Err(io::Error::other("the proxy is to listen there"));
            }
            socket::check_free(address)?;
        }
        Ok(())
    })?;
    Ok((proxy, origin))
}

fn one(
    option: &str,
    asked: SocketAddr,
    check: impl Fn(SocketAddr) -> io::Result<()>,
) -> Result<SocketAddr, String> {
    if asked.port() != 0 {
        return check(asked).map(|()| asked).map_err(|error| {
            format!(
                "{option} {asked} cannot be listened on: {error}; end what listens there, or leave {option} out, and \
                 a free port is taken"
            )
        });
    }
    let count = u32::from(PORTS.end - PORTS.start);
    let first = std::process::id().wrapping_mul(STRIDE);
    let ports = (0..count).map(|step| PORTS.start + (first.wrapping_add(step) % count) as u16);
    let mut addresses = ports.map(|port| SocketAddr::new(asked.ip(), port));
    let mut refused = None;
    let free = addresses.find(|address| match check(*address) {
        Ok(()) => true,
        Err(error) => {
            refused = Some(error);
            false
        }
    });
    free.ok_or_else(|| {
        let error = refused.map_or_else(String::new, |error| format!(": {error}"));
        format!("{option} {asked}: no port of {PORTS:?} can be listened on{error}")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    use std::net::{Ipv4Addr, TcpListener};

    const ANY: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 0);

    #[test]
    fn port_0_is_a_free_one_and_never_the_same_twice() {
        let (proxy, origin) = settle(ANY, ANY, 2).unwrap();
        let last = crew::origin_of(origin, 1).unwrap();
        assert!(PORTS.contains(&proxy.port()) && PORTS.contains(&last.port()));
        assert!(proxy != origin && proxy != last);
        let listener = TcpListener::bind(proxy).unwrap();
        let (other, _) = settle(ANY, ANY, 1).unwrap();
        assert_ne!(other, proxy, "that one is taken");
        drop(listener);
    }

    #[test]
    fn a_port_that_was_asked_for_and_is_taken_is_named_with_its_option() {
        let listener = TcpListener::bind(ANY).unwrap();
        let taken = listener.local_addr().unwrap();
        for (proxy, origin, option) in [(taken, ANY, "--proxy"), (ANY, taken, "--origin")] {
            let error = settle(proxy, origin, 1).unwrap_err();
            assert!(error.starts_with(&format!("{option} {taken}")), "{error}");
            assert!(error.contains("leave"), "{error}");
        }
        drop(listener);
        let error = settle(taken, taken, 1).unwrap_err();
        assert!(error.contains("the proxy is to listen there"), "{error}");
    }
}
