//! The grammars: bytes in, values out, and the proxy's own answers as bytes.
//!
//! Knows no clock, no socket and no ring, so every part is tested with slices. A parser of bytes that arrive in
//! pieces gives one of three answers: need more, complete with its length, or an error that names the element of the
//! grammar. `proxy` calls [`http1`] and [`ws`], `net` calls [`dns`].

#![forbid(unsafe_code)]

pub mod dns;
pub mod http1;
pub mod ws;

#[cfg(test)]
pub(crate) mod cut;
