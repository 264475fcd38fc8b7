//! A connection's story: its head is read (`session`), its target dialled and its bytes relayed (`connect`, `relay`), or its
//! requests forwarded (`forward`), its end
//! recorded ([`Outcome`]). Called by `server`, one task per connection.

#![forbid(unsafe_code)]

mod connect;
mod counters;
mod forward;
mod head;
mod outcome;
mod pipes;
mod policy;
mod random;
mod relay;
mod session;
mod upstream;
mod watchdog;
mod zero_copy;

use std::cell::Cell;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use crate::net::Dialler;
use crate::ring::ScratchPool;
use crate::rt::Rt;

pub use counters::{Counter, Counters};
pub use forward::ForwardedField;
pub use outcome::{Cause, Outcome, Phase, Side};
pub use pipes::{PipeGauges, PipePool};
pub use policy::Policy;
pub use random::Random;
pub use session::{refuse, session, turn_away};
pub use upstream::{Board, UpstreamPool};
pub use zero_copy::{ZeroCopyRoutes, ZeroCopySends};

/// What every connection of one worker shares.
pub struct Proxy {
    /// The worker's runtime.
    pub rt: Rt,
    /// How targets are reached.
    pub dialler: Dialler,
    /// Who may go where.
    pub policy: Policy,
    /// From the start of resolving to an established upstream connection.
    pub connect_timeout: Duration,
    /// From accept to the end of the request head.
    pub head_timeout: Duration,
    /// A tunnel without a byte in either direction.
    pub idle_timeout: Duration,
    /// A tunnel with one direction closed and no byte in the other.
    pub half_close_timeout: Duration,
    /// From an answer to the next request of the same client.
    pub keep_alive_timeout: Duration,
    /// A WebSocket without a byte in either direction.
    pub websocket_idle_timeout: Duration,
    /// The frames of WebSockets outside of tunnels are looked at.
    pub websocket_inspect: bool,
    /// Where mask keys come from.
    pub random: Random,
    /// What origins are told about the client's address.
    pub forwarded: ForwardedField,
    /// When a direction changes between copying and splicing; `None` never splices.
    pub splice: Option<SpliceTuning>,
    /// Which sends are SEND_ZC.
    pub zero_copy: ZeroCopyRoutes,
    /// The pipes that directions borrow.
    pub pipes: PipePool,
    /// The connections to origins that wait for their next request.
    pub upstreams: Rc<UpstreamPool>,
    /// Where heads are rewritten.
    pub scratch: ScratchPool,
    /// No more requests are taken on connections that have had an answer.
    pub draining: Cell<bool>,
    /// What is counted.
    pub counters: Arc<Counters>,
}

/// When a direction of a relay changes between copying and splicing.
#[derive(Debug, Clone, Copy)]
pub struct SpliceTuning {
    /// Full buffers in a row that prove a direction bulky.
    pub promote_full_buffers: u32,
    /// Bytes under which a splice counts as small.
    pub demote_bytes: u32,
    /// Small splices in a row that end splicing.
    pub demote_small_splices: u32,
}

/// The shared part, as tasks hold it.
pub type SharedProxy = Rc<Proxy>;
