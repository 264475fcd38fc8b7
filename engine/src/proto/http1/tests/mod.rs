//! Heads and bodies from the bytes on, whole and in pieces.

mod chunked;
mod framing;
mod mixed;
mod mixed_bodies;
mod request;
mod response;
mod rewrite;
mod target;
