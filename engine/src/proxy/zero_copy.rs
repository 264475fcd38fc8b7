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
type Copied = Rc<Cell<u32>>;

/// What is known about the route to one destination.
pub(super) enum Route {
    /// Plain sends.
    Plain,
    /// SEND_ZC, while it is no copy.
    ZeroCopy(Copied),
}

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
    pub(super) fn route(&self, rt: &Rt, sink: &TcpStream) -> Route {
        let sends = self.sends.get();
        if sends == ZeroCopySends::Never {
            return Route::Plain;
        }
        let (Ok(local), Ok(peer)) = (sink.local_address(), sink.peer_address()) else {
            return Route::Plain;
        };
        let is_local = peer.ip().is_loopback() || peer.ip() == local.ip();
        if (sends == ZeroCopySends::Adaptive && is_local) || !self.arena_registered(rt) {
            return Route::Plain;
        }
        let mut copied = self.copied.borrow_mut();
        if copied.len() >= ROUTES_MAX {
            copied.clear();
        }
        Route::ZeroCopy(Rc::clone(copied.entry(peer.ip()).or_default()))
    }

    /// Whether this send is large enough, the destination worth it, and the arena not held by notifications already;
    /// then, where to count the copies.
    pub(super) fn pays(&self, rt: &Rt, lease: &Lease, route: &Route) -> Option<Copied> {
        let Route::ZeroCopy(copied) = route else {
            return None;
        };
        let ring = rt.ring();
        let large = lease.bytes() >= limits::SEND_ZC_BYTES_MIN.min(ring.arena().buffer_bytes());
        let worth = self.sends.get() == ZeroCopySends::Always || copied.get() < COPIED_MAX;
        let held = ring.zero_copy_lingering() >= usize::from(ring.arena().buffers()).div_ceil(2);
        (large && worth && !held).then(|| Rc::clone(copied))
    }

    /// Registers the arena when it is first needed: it pins the memory.
    fn arena_registered(&self, rt: &Rt) -> bool {
        let mut ring = rt.ring();
        let Err(error) = ring.register_arena() else {
            return true;
        };
        self.sends.set(ZeroCopySends::Never);
        let needed = ring.arena().locked_bytes();
        let allowed = sys::memory_lock().map_or(0, |limit| limit.bytes);
        warn!(needed, allowed, %error, "no SEND_ZC: the receive buffers cannot be registered; raise RLIMIT_MEMLOCK");
        false
    }
}
