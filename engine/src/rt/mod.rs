//! The runtime of one core: tasks in a slab, timers in a wheel, one ring, one loop. Single-threaded; nothing here is
//! shared with another core but the mailbox and the post.
//!
//! There are no wakers. An operation's slot names the task that owns it, a completion puts that task on the ready list,
//! and the task polls whatever it waits for. So a future of this engine may be combined only with futures of the same
//! task (`futures_lite::future::or` and `zip` do), and waking allocates nothing. Called by `net`, `proxy`, `server`.

#![forbid(unsafe_code)]

mod activity;
mod busy_poll;
mod executor;
mod gate;
mod mailbox;
mod notify;
mod operation;
mod post;
mod sleep;
mod wheel;

pub use busy_poll::SpinPolicy;
pub use executor::{Rt, RtGauges, TaskId};
pub use gate::{Gate, GatePass, Inside};
pub use mailbox::{Mailbox, MailboxReceiver, MailboxSender, mailbox};
pub use notify::{Notified, Notify};
pub use operation::Operation;
#[cfg(test)]
pub(crate) use post::trial;
pub use post::{News, Post};
pub use sleep::{Elapsed, Sleep};
pub use wheel::TimerKey;
