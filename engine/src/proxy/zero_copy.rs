//! Which sends are SEND_ZC: where the user said so, or where the route is not local and the kernel did not turn out to
//! copy after all. See `kernel-notes/send-zerocopy.md`.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::net::IpAddr;
use std::rc::Rc;

use tracing::warn;

use crate::limits;
use crate::net::TcpStream;
use crate::ring::{Lease, sys};
use crate::rt::Rt;

/// Which sends are to be SEND_ZC.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ZeroCopySends {
    /// None.
    Never,
    /// Large ones on routes that are not local, while it pays.
    Adaptive,
    /// Large ones.
    Always,
}

/// Notifications "copied" after which a destination gets plain sends.
const COPIED_MAX: u32 = 4;
/// Destinations remembered; then memory starts anew.
const ROUTES_MAX: usize = 1024;

/// The decision, and what was learnt about destinations.
pub struct ZeroCopyRoutes {
    sends: Cell<ZeroCopySends>,
    copied: RefCell<HashMap<IpAddr, Rc<Cell<u32>>>>,
}

/// The notifications of one destination that said "copied".
pub(super) type Copied = Rc<Cell<u32>>;

impl ZeroCopyRoutes {
    /// Starts without memory.
    #[must_use]
    pub fn new(sends: ZeroCopySends) -> Self {
        Self {
            sends: Cell::new(sends),
            copied: RefCell::new(HashMap::new()),
        }
    }

    /// Whether SEND_ZC may be used towards the peer of `sink`; asked once per direction, when it has proved bulky.
    pub(super) fn route(&self, rt: &Rt, sink: &TcpStream) -> Option<Copied> {
        match self.sends.get() {
            ZeroCopySends::Never => return None,
            ZeroCopySends::Always => {}
            ZeroCopySends::Adaptive => {
                let (local, peer) = (
                    sink.local_address().ok()?.ip(),
                    sink.peer_address().ok()?.ip(),
                );
                if peer.is_loopback() || peer == local {
                    return None;
                }
            }
        }
        self.arena_registered(rt).then_some(())?;
        let peer = sink.peer_address().ok()?.ip();
        let mut copied = self.copied.borrow_mut();
        if copied.len() >= ROUTES_MAX {
            copied.clear();
        }
        Some(Rc::clone(copied.entry(peer).or_default()))
    }

    /// Whether this send is large enough, the destination worth it, and the arena not held by notifications already.
    pub(super) fn pays(&self, rt: &Rt, lease: &Lease, copied: &Copied) -> bool {
        let large = lease.bytes() >= limits::SEND_ZC_BYTES_MIN || lease.fills_buffer();
        let worth = self.sends.get() == ZeroCopySends::Always || copied.get() < COPIED_MAX;
        large && worth && {
            let ring = rt.ring();
            ring.zero_copy_lingering() < usize::from(ring.arena().buffers()).div_ceil(2)
        }
    }

    /// Registers the arena when it is first needed: it pins the memory.
    fn arena_registered(&self, rt: &Rt) -> bool {
        let mut ring = rt.ring();
        let Err(error) = ring.register_arena() else {
            return true;
        };
        self.sends.set(ZeroCopySends::Never);
        let needed = u64::from(ring.arena().buffers()) * u64::from(ring.arena().buffer_bytes());
        let allowed = sys::memory_lock().map_or(0, |limit| limit.bytes);
        warn!(needed, allowed, %error, "no SEND_ZC: the receive buffers cannot be registered; raise RLIMIT_MEMLOCK");
        false
    }
}
