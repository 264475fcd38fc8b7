//! Receive memory: one arena per ring, provided to the kernel as a buffer ring and, for SEND_ZC, registered with it.

mod arena;
mod lease;
mod scratch;

pub use arena::Arena;
pub(super) use arena::{ARENA_BUFFER_INDEX, BUFFER_GROUP};
pub use lease::Lease;
pub use scratch::{Scratch, ScratchPool};
