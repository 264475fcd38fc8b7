//! What a worker counts. One writer, the worker; anybody reads. No cache line is shared with another worker's.

use std::sync::atomic::{AtomicU64, Ordering};

/// One number with one writer: a load and a store, no locked instruction.
#[derive(Debug, Default)]
pub struct Counter(AtomicU64);

impl Counter {
    /// Adds; only the owning worker may.
    pub fn add(&self, count: u64) {
        self.0.store(
            self.0.load(Ordering::Relaxed).wrapping_add(count),
            Ordering::Relaxed,
        );
    }

    /// Reads.
    #[must_use]
    pub fn value(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

macro_rules! counters {
    ($($(#[doc = $doc:literal])+ $name:ident,)+) => {
        /// The counters of one worker. 128 bytes is two cache lines: adjacent lines are fetched in pairs.
        #[derive(Debug, Default)]
        #[repr(align(128))]
        pub struct Counters {
            $($(#[doc = $doc])+ pub $name: Counter,)+
        }

        impl Counters {
            /// Every counter with its name.
            #[must_use]
            pub fn values(&self) -> Vec<(&'static str, u64)> {
                vec![$((stringify!($name), self.$name.value()),)+]
            }
        }
    };
}

counters! {
    /// Client connections accepted.
    accepted,
    /// Client connections refused because there were too many, or no descriptors.
    shed,
    /// Connections given to a less loaded worker.
    handed_off,
    /// Connections taken from a more loaded worker.
    taken_over,
    /// Requests forwarded.
    requests,
    /// Requests forwarded over a connection that had served one before.
    reused,
    /// Requests for which another worker was asked for a connection that had served one before.
    asked,
    /// Connections taken from another worker for that.
    taken,
    /// Requests sent a second time, because the connection had died.
    retries,
    /// Tunnels established.
    tunnels,
    /// Requests answered with an error by this proxy.
    refused,
    /// Tunnels that ended in a reset.
    resets,
    /// Tunnels ended by the idle or the half-close timeout.
    timeouts,
    /// WebSockets ended because a frame broke the rules.
    websocket_errors,
    /// Bytes relayed from clients to targets.
    bytes_up,
    /// Bytes relayed from targets to clients.
    bytes_down,
    /// Changes of a direction from copying to splicing.
    promotions,
    /// Changes of a direction from splicing to copying.
    demotions,
    /// Times that a direction proved bulky, or was spliced already, and copied because there was no pipe.
    pipes_missing,
    /// Times that held bytes were moved out of the receive buffers for others.
    spills,
    /// Sends without a copy.
    zero_copy_sends,
}
