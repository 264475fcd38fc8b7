//! Heads and bodies from the bytes on, whole and in pieces.

mod mixed;
mod request;
