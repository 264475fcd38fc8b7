//! Connections to origins between requests.

mod board;
mod pool;
mod taking;

pub use board::Board;
pub use pool::UpstreamPool;
pub(in crate::proxy) use taking::Enquiry;
