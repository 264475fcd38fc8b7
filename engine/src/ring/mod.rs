//! The kernel's side of the house: one io_uring per worker, its operations, its buffers, and the few direct system
//! calls the engine makes. **The only module with `unsafe` code.**
//!
//! An operation is described as data ([`Op`]), takes a slot in the slab when it starts, and keeps whatever memory the
//! kernel may touch in that slot until its final completion (io_uring(7), "Completion queue event"). Callers hold a
//! [`Key`] and never a pointer. What this module does not do: it knows no futures, no timers and no protocol; `rt`
//! polls it once per turn and wakes the owners it names.

#![allow(unsafe_code)]

mod buf;
mod feature;
mod key;
mod op;
mod port;
mod probe;
mod setup;
mod slab;
pub mod sys;
mod uring;

pub use buf::{Arena, Lease, Scratch, ScratchPool};
pub use feature::{Capabilities, Feature, UnknownFeature};
pub use key::Key;
pub use op::{
    Accept, Connect, Interest, Message, News, Op, Poll, Recv, RecvEnd, RecvMode, Send, SendData,
};
pub use port::{Passage, Port};
pub use probe::{CapabilityError, CapabilityReport, CapabilityRow, capabilities};
pub use setup::RingConfig;
pub use slab::{NextSocket, Owner, Received, SendOutcome};
pub use uring::{Ring, RingCounters, Wait};
