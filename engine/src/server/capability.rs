//! Trying what the kernel can, without a trace for whoever asks. The kernel interrupts the thread of a ring that ends,
//! some moments later: the probe's rings would do that to the caller, whose next wait would end in EINTR.

use std::thread;

use crate::ring::{self, CapabilityReport, Feature};

/// Tries everything once, on a thread of its own. Takes a few milliseconds. `force_off` counts as missing.
#[must_use]
pub fn capabilities(force_off: &[Feature]) -> CapabilityReport {
    thread::scope(|scope| {
        let probe = thread::Builder::new().name("ringway-probe".to_owned());
        let probing = probe.spawn_scoped(scope, || ring::capabilities(force_off));
        let report = probing.ok().and_then(|probing| probing.join().ok());
        // Who may not start a thread is told so when the workers are.
        report.unwrap_or_else(|| ring::capabilities(force_off))
    })
}

#[cfg(test)]
mod tests {
    use std::io::ErrorKind;
    use std::net::{Ipv4Addr, UdpSocket};
    use std::time::Duration;

    use super::*;

    #[test]
    fn whoever_asks_is_not_interrupted_afterwards() {
        let silent = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).expect("a socket");
        // With a timeout, recv(2) is not started again by the kernel (signal(7)).
        let patience = Some(Duration::from_millis(50));
        silent.set_read_timeout(patience).expect("a timeout");
        for _ in 0..10 {
            assert_eq!(capabilities(&[]).refusal, None);
            let waited = silent.recv(&mut [0]).expect_err("nobody sends");
            assert_eq!(waited.kind(), ErrorKind::WouldBlock, "{waited}");
        }
    }
}
