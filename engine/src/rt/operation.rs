//! A ring operation with one result, as a future: connect, poll, message.

use std::future::Future;
use std::os::fd::OwnedFd;
use std::pin::Pin;
use std::task::{Context, Poll};

use super::Rt;
use crate::ring::{Interest, Key, Op};

/// Ready with the result; dropped early, the operation is abandoned: the kernel is asked to end it, and its memory
/// stays in the op slab until it has.
pub struct Operation {
    rt: Rt,
    key: Option<Key>,
}

impl Operation {
    /// Queues `op` for the running task.
    #[must_use]
    pub fn start(rt: &Rt, op: Op) -> Self {
        let key = rt.ring().start(op, rt.owner());
        Self {
            rt: rt.clone(),
            key: Some(key),
        }
    }

    /// The result, and the socket that a failed message leaves. Ready once.
    pub fn poll_result(&mut self) -> Poll<(i32, Option<OwnedFd>)> {
        let Some(key) = self.key else {
            return Poll::Pending;
        };
        match self.rt.ring().result(key, self.rt.owner()) {
            Some(result) => {
                self.key = None;
                Poll::Ready(result)
            }
            None => Poll::Pending,
        }
    }

    /// The events of a poll that answer `interest`; none when it is over without them and has to be started again.
    pub fn poll_events(&mut self, interest: Interest) -> Poll<i32> {
        let Some(key) = self.key else {
            return Poll::Ready(0);
        };
        let polled = self
            .rt
            .ring()
            .poll_events(key, self.rt.owner(), interest.answers());
        let Some((events, over)) = polled else {
            return Poll::Pending;
        };
        if over {
            self.key = None;
        }
        Poll::Ready(events)
    }
}

impl Future for Operation {
    type Output = (i32, Option<OwnedFd>);

    fn poll(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Self::Output> {
        self.poll_result()
    }
}

impl Drop for Operation {
    fn drop(&mut self) {
        if let Some(key) = self.key {
            self.rt.ring().abandon(key);
        }
    }
}
