//! What the running kernel can, found by trying it. The opcode probe of io_uring_register(2) does not tell the flags
//! apart (multishot accept shares its opcode with accept), so the features are used once on a loopback connection.

use std::fmt;
use std::io::{self, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::time::{Duration, Instant};

use super::feature::{Capabilities, Feature};
use super::op::{Accept, Op, Recv, RecvMode, Send, SendData};
use super::setup::{self, RingConfig};
use super::slab::{NextSocket, Owner, Received};
use super::sys;
use super::{Ring, Wait};

/// Why this kernel or sandbox cannot run the engine, and the mend.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CapabilityError {
    /// kernel.io_uring_disabled is set.
    Sysctl(u32),
    /// A seccomp filter denies io_uring.
    Seccomp,
    /// The kernel has no io_uring.
    Absent,
    /// A needed feature is missing.
    Missing(Feature),
    /// A needed feature was forced off.
    ForcedOff(Feature),
    /// RLIMIT_MEMLOCK does not even allow a small ring.
    MemoryLock,
    /// There are not enough descriptors left for a ring and a connection.
    Descriptors,
    /// The probe itself failed.
    Failed(String),
}

impl fmt::Display for CapabilityError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Sysctl(value) => write!(
                f,
                "io_uring is disabled on this host: kernel.io_uring_disabled is {value}\n\
                 mend: 'sysctl kernel.io_uring_disabled=0', or with value 1 run ringway in the group that \
                 kernel.io_uring_group names"
            ),
            Self::Seccomp => write!(
                f,
                "io_uring is denied by a seccomp filter, as the default profiles of Docker, containerd and Podman do\n\
                 mend: run with a profile that allows io_uring_setup, io_uring_enter and io_uring_register \
                 (docker run --security-opt seccomp=PROFILE.json)"
            ),
            Self::Absent => write!(
                f,
                "this kernel has no io_uring\nmend: Linux 6.1 or newer with CONFIG_IO_URING=y (gVisor has none)"
            ),
            Self::Missing(feature) => {
                let (name, first, _) = feature.facts();
                write!(
                    f,
                    "this kernel lacks {name} (first in Linux {first})\nmend: Linux 6.1 or newer"
                )
            }
            Self::ForcedOff(feature) => write!(
                f,
                "{} is needed and was forced off\nmend: take it out of RINGWAY_FORCE_OFF",
                feature.name()
            ),
            Self::MemoryLock => write!(
                f,
                "the memory that this process may lock is too small for a ring\n\
                 mend: raise RLIMIT_MEMLOCK ('ulimit -l', LimitMEMLOCK= of systemd)"
            ),
            Self::Descriptors => write!(
                f,
                "this process may not open enough descriptors\n\
                 mend: raise RLIMIT_NOFILE ('ulimit -n', LimitNOFILE= of systemd)"
            ),
            Self::Failed(what) => write!(f, "the start-up probe failed: {what}"),
        }
    }
}

impl std::error::Error for CapabilityError {}

/// One row of the capability table.
#[derive(Debug, Clone, Copy)]
pub struct CapabilityRow {
    /// Which feature.
    pub feature: Feature,
    /// Whether the engine cannot start without it.
    pub needed: bool,
    /// Whether it is there (and not forced off).
    pub found: bool,
    /// The mainline kernel that brought it.
    pub first_kernel: &'static str,
    /// What is lost without it.
    pub lost_without: &'static str,
}

/// What the running kernel can.
#[derive(Debug, Clone)]
pub struct CapabilityReport {
    /// `uname -r`.
    pub kernel: String,
    /// The table.
    pub rows: Vec<CapabilityRow>,
    /// Why the engine cannot start, if so.
    pub refusal: Option<CapabilityError>,
    /// The same as the engine uses it.
    pub capabilities: Capabilities,
}

/// Tries everything once. Takes a few milliseconds.
#[must_use]
pub fn capabilities(force_off: &[Feature]) -> CapabilityReport {
    let kernel = sys::kernel_release();
    let (mut found, failure) = match probe(known_bad(&kernel)) {
        Ok(found) => (found, None),
        Err(error) => (Capabilities::default(), Some(error)),
    };
    for &feature in force_off {
        found = found.without(feature);
    }
    let missing = Feature::ALL
        .iter()
        .copied()
        .find(|&feature| feature.needed() && !found.has(feature));
    let refusal = failure.or_else(|| {
        missing.map(|feature| {
            if force_off.contains(&feature) {
                CapabilityError::ForcedOff(feature)
            } else {
                CapabilityError::Missing(feature)
            }
        })
    });
    let rows = Feature::ALL.iter().map(|&feature| {
        let (_, first_kernel, lost_without) = feature.facts();
        CapabilityRow {
            feature,
            needed: feature.needed(),
            found: found.has(feature),
            first_kernel,
            lost_without,
        }
    });
    CapabilityReport {
        kernel,
        rows: rows.collect(),
        refusal,
        capabilities: found,
    }
}

/// Kernels that have a feature and must not use it (`kernel-notes/multishot.md`): before 6.8 a multishot receive lets
/// one fast sender keep the ring to itself, and from 6.6 a multishot accept may name the wrong descriptor.
fn known_bad(release: &str) -> &'static [Feature] {
    match parse_release(release) {
        Some(version) if version < (6, 6) => &[Feature::MultishotRecv],
        Some(version) if version < (6, 8) => &[Feature::MultishotRecv, Feature::MultishotAccept],
        _ => &[],
    }
}

fn parse_release(release: &str) -> Option<(u32, u32)> {
    let mut numbers = release.split(|byte: char| !byte.is_ascii_digit());
    Some((numbers.next()?.parse().ok()?, numbers.next()?.parse().ok()?))
}

/// What a refused io_uring_setup(2) means: neither errno alone tells.
fn refusal(error: &io::Error) -> CapabilityError {
    let sysctl = std::fs::read_to_string("/proc/sys/kernel/io_uring_disabled")
        .ok()
        .and_then(|value| value.trim().parse().ok())
        .unwrap_or(0);
    match error.raw_os_error() {
        Some(libc::EPERM) if sysctl != 0 => CapabilityError::Sysctl(sysctl),
        Some(libc::EPERM | libc::ENOSYS | libc::EACCES) if sys::seccomp_filtered() => {
            CapabilityError::Seccomp
        }
        Some(libc::ENOSYS) => CapabilityError::Absent,
        Some(libc::EINVAL) => CapabilityError::Missing(Feature::DeferTaskrun),
        _ => shortage(error),
    }
}

/// What an error means that says nothing about a feature.
fn shortage(error: &io::Error) -> CapabilityError {
    match error.raw_os_error() {
        Some(libc::ENOMEM) => CapabilityError::MemoryLock,
        Some(libc::EMFILE | libc::ENFILE) => CapabilityError::Descriptors,
        _ => CapabilityError::Failed(error.to_string()),
    }
}

const PROBE_ENTRIES: u32 = 16;
const PROBE_BUFFER_BYTES: u32 = 4096;
const PROBE_DEADLINE: Duration = Duration::from_secs(2);
const NOBODY: Owner = Owner(0);

fn probe(known_bad: &[Feature]) -> Result<Capabilities, CapabilityError> {
    let bare = Capabilities::default();
    let ring = setup::build(PROBE_ENTRIES, false).map_err(|error| refusal(&error))?;
    let parameters = ring.params();
    let mut found = bare
        .with(Feature::IoUring, true)
        .with(Feature::DeferTaskrun, true)
        .with(
            Feature::NoSqArray,
            setup::build(PROBE_ENTRIES, true).is_ok(),
        )
        .with(Feature::ExtArg, parameters.is_feature_ext_arg())
        .with(Feature::NoDrop, parameters.is_feature_nodrop())
        .with(Feature::FastPoll, parameters.is_feature_fast_poll())
        .with(Feature::NoIowait, parameters.is_feature_no_iowait())
        .with(Feature::RingFd, setup::register_descriptor(&ring).is_ok());
    let mut opcodes = io_uring::Probe::new();
    let probed = ring.submitter().register_probe(&mut opcodes).is_ok();
    found = found.with(
        Feature::MsgRing,
        probed && opcodes.is_supported(io_uring::opcode::MsgRingData::CODE),
    );
    drop(ring);
    let config = RingConfig {
        completion_entries: PROBE_ENTRIES,
        buffers: 4,
        buffer_bytes: PROBE_BUFFER_BYTES,
        capabilities: found,
    };
    let mut ring = match Ring::new(&config) {
        Ok(ring) => ring,
        // No such registration.
        Err(error) if error.raw_os_error() == Some(libc::EINVAL) => return Ok(found),
        Err(error) => return Err(shortage(&error)),
    };
    found = found.with(Feature::BufferRing, true);
    let failed = |error: io::Error| shortage(&error);
    let multishot = !known_bad.contains(&Feature::MultishotAccept);
    let (mut client, accepted, armed) = try_accept(&mut ring, multishot).map_err(failed)?;
    found = found.with(Feature::MultishotAccept, armed);
    let multishot = !known_bad.contains(&Feature::MultishotRecv);
    let received = try_recv(&mut ring, &mut client, &accepted, multishot).map_err(failed)?;
    found = found.with(Feature::MultishotRecv, multishot && received.is_some());
    if let Some(bytes) = received {
        found = found.with(
            Feature::SendZc,
            try_send_zc(&mut ring, &accepted, bytes).map_err(failed)?,
        );
    }
    Ok(found)
}

/// Runs the ring until `done` has an answer; gives up without one after a deadline.
fn until<T>(ring: &mut Ring, mut done: impl FnMut(&mut Ring) -> Option<T>) -> io::Result<T> {
    let deadline = Instant::now() + PROBE_DEADLINE;
    let mut woken = Vec::new();
    loop {
        if let Some(answer) = done(ring) {
            return Ok(answer);
        }
        if Instant::now() > deadline {
            return Err(io::ErrorKind::TimedOut.into());
        }
        ring.turn(Wait::For(Duration::from_millis(10)), &mut woken)?;
        woken.clear();
    }
}

/// A connection to itself, and whether the accept went on after it.
fn try_accept(ring: &mut Ring, multishot: bool) -> io::Result<(TcpStream, OwnedFd, bool)> {
    let listener = sys::bind_listener(
        SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
        4,
        false,
        PROBE_DEADLINE,
        None,
    )?;
    let accept = ring.start(
        Op::Accept(Accept {
            listener: listener.as_raw_fd(),
            multishot,
        }),
        NOBODY,
    );
    let client = TcpStream::connect(sys::local_address(listener.as_fd())?)?;
    let next = until(ring, |ring| match ring.next_socket(accept, NOBODY) {
        NextSocket::Waiting => None,
        next => Some(next),
    })?;
    let accepted = match next {
        NextSocket::Socket(accepted) => accepted,
        // What a kernel says that does not know the flag; any other error is no answer.
        NextSocket::Ended(libc::EINVAL) if multishot => return try_accept(ring, false),
        NextSocket::Ended(errno) => return Err(io::Error::from_raw_os_error(errno)),
        NextSocket::Waiting => return Err(io::ErrorKind::TimedOut.into()),
    };
    let armed = ring.in_flight(accept);
    ring.abandon(accept);
    until(ring, |ring| (ring.operations() == 0).then_some(()))?;
    Ok((client, accepted, armed))
}

fn try_recv(
    ring: &mut Ring,
    client: &mut TcpStream,
    accepted: &OwnedFd,
    multishot: bool,
) -> io::Result<Option<super::Lease>> {
    let mode = if multishot {
        RecvMode::Multishot
    } else {
        RecvMode::OneShot
    };
    let recv = ring.start(
        Op::Recv(Recv {
            socket: accepted.as_raw_fd(),
            mode,
        }),
        NOBODY,
    );
    client.write_all(b"ringway")?;
    let received = until(ring, |ring| match ring.receive(recv, NOBODY) {
        Received::Waiting => None,
        received => Some(received),
    })?;
    let Received::Bytes(bytes) = received else {
        return Ok(None);
    };
    let armed = ring.in_flight(recv);
    ring.abandon(recv);
    until(ring, |ring| (ring.operations() == 0).then_some(()))?;
    Ok((armed || !multishot).then_some(bytes))
}

fn try_send_zc(ring: &mut Ring, accepted: &OwnedFd, bytes: super::Lease) -> io::Result<bool> {
    if let Err(error) = ring.register_arena() {
        // Too little lockable memory says nothing about the feature; who needs it is told then.
        return Ok(error.raw_os_error() == Some(libc::ENOMEM));
    }
    let send = Send {
        socket: accepted.as_raw_fd(),
        data: SendData::Lease(bytes),
        zero_copy: Some(Default::default()),
    };
    let send = ring.start(Op::Send(send), NOBODY);
    let outcome = until(ring, |ring| ring.send_outcome(send, NOBODY))?;
    let sent = outcome.result.is_ok();
    drop(outcome);
    until(ring, |ring| (ring.operations() == 0).then_some(()))?;
    Ok(sent)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_kernel_is_probed_in_milliseconds() {
        let start = Instant::now();
        let report = capabilities(&[]);
        assert_eq!(report.refusal, None);
        assert!(
            start.elapsed() < PROBE_DEADLINE,
            "took {:?}, so a trial ran into its deadline",
            start.elapsed()
        );
        assert!(report.rows.iter().all(|row| !row.needed || row.found));
    }

    #[test]
    fn a_needed_feature_forced_off_is_a_refusal() {
        for &feature in Feature::ALL.iter().filter(|feature| feature.needed()) {
            assert_eq!(
                capabilities(&[feature]).refusal,
                Some(CapabilityError::ForcedOff(feature))
            );
        }
        assert_eq!(capabilities(&[Feature::MultishotRecv]).refusal, None);
    }

    #[test]
    fn names_are_read_back() {
        for &feature in Feature::ALL {
            assert_eq!(feature.name().parse(), Ok(feature));
        }
        assert!("sqpoll".parse::<Feature>().is_err());
    }

    #[test]
    fn kernels_before_6_8_receive_and_accept_one_by_one_where_they_must() {
        let recv = Feature::MultishotRecv;
        let accept = Feature::MultishotAccept;
        let kernels: [(&str, &[Feature]); 6] = [
            ("6.1.0-30-arm64", &[recv]),
            ("6.6.5", &[recv, accept]),
            ("6.7.12", &[recv, accept]),
            ("6.8.0", &[]),
            ("7.2.1", &[]),
            ("", &[]),
        ];
        for (release, bad) in kernels {
            assert_eq!(known_bad(release), bad, "{release}");
        }
    }
}
