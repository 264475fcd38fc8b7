//! MSG_RING (5.18): tells another worker something, or hands it a socket. See `kernel-notes/msg-ring.md`.

use std::os::fd::{AsRawFd, OwnedFd};

use io_uring::{opcode, squeue, types};

use crate::ring::key::Subject;
use crate::ring::port::Passage;
use crate::ring::slab::Payload;

/// What workers tell each other.
#[derive(Debug)]
pub enum News {
    /// A client's connection that was just accepted: the receiver is to serve it.
    Connection(OwnedFd),
    /// The worker `asker` wants what stands on this slip of its own.
    Question {
        /// Number of the worker.
        asker: u16,
        /// Number of its slip.
        slip: u16,
    },
    /// What the receiver has asked for on this slip, or that there is none.
    Answer {
        /// Number of the slip.
        slip: u16,
        /// The receiver's from now on.
        socket: Option<OwnedFd>,
    },
}

/// Tells the ring behind `passage`, in the same process. When the message fails, a socket in it is still ours.
#[derive(Debug)]
pub struct Message {
    /// The ring to tell, which waits for this message before it ends.
    pub passage: Passage,
    /// What it is told.
    pub news: News,
}

/// The result of an answer without a socket: no descriptor is negative.
const NO_SOCKET: i32 = -1;

impl Message {
    pub(super) fn encode(self) -> (squeue::Entry, Payload) {
        let (user_data, result, socket) = match self.news {
            News::Connection(socket) => (
                Subject::Connection.pack(0),
                socket.as_raw_fd(),
                Some(socket),
            ),
            News::Question { asker, slip } => (Subject::Question.pack(slip), asker.into(), None),
            News::Answer { slip, socket } => (
                Subject::Answer.pack(slip),
                socket.as_ref().map_or(NO_SOCKET, AsRawFd::as_raw_fd),
                socket,
            ),
        };
        let ring = types::Fd(self.passage.ring());
        let entry = opcode::MsgRingData::new(ring, result, user_data, None).build();
        (entry, Payload::Message(socket, self.passage))
    }
}

impl News {
    /// What a message has brought; `owned` makes its descriptor, if there is one, this ring's.
    pub(in crate::ring) fn arrived(
        subject: Subject,
        slip: u16,
        result: i32,
        owned: impl FnOnce(i32) -> OwnedFd,
    ) -> Self {
        match subject {
            Subject::Connection => Self::Connection(owned(result)),
            Subject::Question => Self::Question {
                asker: result as u16,
                slip,
            },
            Subject::Answer => Self::Answer {
                slip,
                socket: (result != NO_SOCKET).then(|| owned(result)),
            },
        }
    }
}
