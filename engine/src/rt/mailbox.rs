//! Messages from another thread to a core: control only, never bytes. An eventfd that the ring polls wakes the core.

use std::future::poll_fn;
use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, TryRecvError, channel};
use std::task::Poll;

use super::{Operation, Rt};
use crate::ring::{Interest, Op, Poll as PollOp, sys};

/// The core's end, on its way to the core's thread.
pub struct MailboxReceiver<T> {
    messages: Receiver<T>,
    event: Arc<OwnedFd>,
}

/// The core's end, at work.
pub struct Mailbox<T> {
    rt: Rt,
    receiver: MailboxReceiver<T>,
    armed: Option<Operation>,
}

/// Everybody else's end.
pub struct MailboxSender<T> {
    /// Taken when it is dropped, so that the core is woken after this end is gone.
    messages: Option<Sender<T>>,
    event: Arc<OwnedFd>,
}

/// A mailbox and its first sender.
///
/// # Errors
/// What eventfd(2) says.
pub fn mailbox<T>() -> io::Result<(MailboxSender<T>, MailboxReceiver<T>)> {
    let event = Arc::new(sys::eventfd()?);
    let (sender, receiver) = channel();
    let receiver = MailboxReceiver {
        messages: receiver,
        event: Arc::clone(&event),
    };
    Ok((
        MailboxSender {
            messages: Some(sender),
            event,
        },
        receiver,
    ))
}

impl<T> MailboxSender<T> {
    /// Puts a message in and wakes the core. Says whether the core is still there.
    pub fn send(&self, message: T) -> bool {
        let sent = self
            .messages
            .as_ref()
            .is_some_and(|messages| messages.send(message).is_ok());
        sys::eventfd_signal(self.event.as_fd());
        sent
    }
}

impl<T> Clone for MailboxSender<T> {
    fn clone(&self) -> Self {
        Self {
            messages: self.messages.clone(),
            event: Arc::clone(&self.event),
        }
    }
}

impl<T> Drop for MailboxSender<T> {
    fn drop(&mut self) {
        drop(self.messages.take());
        sys::eventfd_signal(self.event.as_fd());
    }
}

impl<T> MailboxReceiver<T> {
    /// Puts it to work on this core.
    #[must_use]
    pub fn open(self, rt: &Rt) -> Mailbox<T> {
        Mailbox {
            rt: rt.clone(),
            receiver: self,
            armed: None,
        }
    }
}

impl<T> Mailbox<T> {
    /// Waits for the next message; `None` when every sender is gone. For one task.
    pub async fn receive(&mut self) -> Option<T> {
        poll_fn(|_| {
            if self
                .armed
                .as_mut()
                .is_some_and(|armed| armed.poll_result().is_ready())
            {
                self.armed = None;
            }
            let MailboxReceiver { messages, event } = &self.receiver;
            if self.armed.is_none() {
                // Clear before the queue is looked at: a message that comes after the look signals again.
                sys::eventfd_clear(event.as_fd());
            }
            match messages.try_recv() {
                Ok(message) => return Poll::Ready(Some(message)),
                Err(TryRecvError::Disconnected) => return Poll::Ready(None),
                Err(TryRecvError::Empty) => {}
            }
            if self.armed.is_none() {
                let poll = PollOp {
                    descriptor: event.as_raw_fd(),
                    interest: Interest::Readable,
                };
                self.armed = Some(Operation::start(&self.rt, Op::Poll(poll)));
            }
            Poll::Pending
        })
        .await
    }
}
