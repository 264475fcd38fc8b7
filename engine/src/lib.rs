//! The engine of Ringway: CONNECT tunnels on io_uring, one pinned runtime per CPU, nothing shared between cores.
//!
//! Bytes travel `ring` -> `net` -> `proxy` -> `server`; `proto` stands beside them and knows no I/O. The map of the
//! house, with its invariants, is `engine/ARCHITECTURE.md`. A program needs [`server`] only: build a
//! [`server::Config`], call [`server::Server::start`], then [`server::Server::drain`] and [`server::Server::join`].

#![deny(unsafe_code)]

pub mod addr;
pub mod limits;
pub mod net;
pub mod proto;
pub mod proxy;
pub mod ring;
pub mod rt;
pub mod server;
