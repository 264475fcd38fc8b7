//! ASYNC_CANCEL. Its own result is advisory (kernels before 6.5 differ): what counts is the final completion of the
//! operation that was to be cancelled. See `kernel-notes/cancellation.md`.

use io_uring::{opcode, squeue};

use crate::ring::key::{CANCELLATION, Key};
use crate::ring::op::Kind;

pub(in crate::ring) fn cancel(key: Key, kind: Kind) -> squeue::Entry {
    opcode::AsyncCancel::new(key.pack(kind))
        .build()
        .user_data(CANCELLATION)
}
