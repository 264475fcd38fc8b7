//! ASYNC_CANCEL, by key. What counts is the final completion of the operation that was to be cancelled; the result of
//! the cancellation only says whether to try again. See `kernel-notes/cancellation.md`.

use io_uring::{opcode, squeue};

use crate::ring::key::Key;
use crate::ring::op::Kind;

pub(in crate::ring) fn cancel(key: Key, kind: Kind) -> squeue::Entry {
    opcode::AsyncCancel::new(key.pack(kind))
        .build()
        .user_data(key.pack(Kind::Cancel))
}

/// Whether a cancellation missed: it came while the operation was between its poll and its next attempt, where the
/// kernel does not find it (ENOENT), or was running (EALREADY).
pub(in crate::ring) fn missed(result: i32) -> bool {
    matches!(-result, libc::ENOENT | libc::EALREADY)
}
