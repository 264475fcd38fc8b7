//! Connections to origins between requests.

mod pool;

pub use pool::UpstreamPool;
