//! Questions and answers between cores, by messages from ring to ring. What a question is about stands where both can
//! read it; the message names the place. Called by `proxy::upstream`; what arrives is taken by `server`.

use std::os::fd::OwnedFd;
use std::sync::Arc;

use super::{Operation, Rt};
pub use crate::ring::News;
use crate::ring::{Message, Op, Port};

/// The ways from one core to the others.
pub struct Post {
    rt: Rt,
    own: u16,
    ports: Arc<[Arc<Port>]>,
}

impl Post {
    /// The ways from worker number `own` to those behind `ports`, itself included.
    #[must_use]
    pub fn new(rt: &Rt, own: u16, ports: Arc<[Arc<Port>]>) -> Self {
        Self {
            rt: rt.clone(),
            own,
            ports,
        }
    }

    /// Number of this worker.
    #[must_use]
    pub fn own(&self) -> u16 {
        self.own
    }

    /// Asks `worker` for what stands on `slip`; `None` when it takes no messages any more. The operation fails when the
    /// question does not get there.
    #[must_use]
    pub fn ask(&self, worker: u16, slip: u16) -> Option<Operation> {
        let asker = self.own;
        self.send(worker, News::Question { asker, slip }).ok()
    }

    /// Answers what `worker` asked on `slip`. When the operation fails it gives the socket back.
    ///
    /// # Errors
    /// The socket, when that worker takes no messages any more.
    pub fn answer(
        &self,
        worker: u16,
        slip: u16,
        socket: Option<OwnedFd>,
    ) -> Result<Operation, Option<OwnedFd>> {
        self.send(worker, News::Answer { slip, socket })
            .map_err(|news| match news {
                News::Answer { socket, .. } => socket,
                News::Connection(_) | News::Question { .. } => None,
            })
    }

    fn send(&self, worker: u16, news: News) -> Result<Operation, News> {
        match self.ports.get(usize::from(worker)).and_then(Port::enter) {
            Some(passage) => Ok(Operation::start(
                &self.rt,
                Op::Message(Message { passage, news }),
            )),
            None => Err(news),
        }
    }
}

/// Runtimes for the tests of layers that make no rings, and posts whose ways the test chooses.
#[cfg(test)]
pub(crate) mod trial {
    use std::os::fd::RawFd;

    use super::{Arc, Port, Post, Rt};
    use crate::ring::{Ring, RingConfig, capabilities};
    use crate::rt::SpinPolicy;

    pub(crate) fn runtime() -> Rt {
        let config = RingConfig {
            completion_entries: 256,
            buffers: 1,
            buffer_bytes: 512,
            capabilities: capabilities(&[]).capabilities,
        };
        Rt::new(Ring::new(&config).expect("a ring"), SpinPolicy::Off)
    }

    /// Each way leads to the ring of `rt`, or to a descriptor that is none.
    pub(crate) fn post(rt: &Rt, own: u16, ways: [Option<RawFd>; 3]) -> Post {
        let here = Arc::clone(rt.ring().port());
        let port = |way: Option<RawFd>| way.map_or_else(|| Arc::clone(&here), Port::new);
        Post::new(rt, own, ways.map(port).into())
    }
}
