//! The result file: its types, and latencies on their way into it. What is drawn of it is the business of `report`.

pub(crate) mod file;
pub(crate) mod histogram;
pub(crate) mod latency;
pub(crate) mod model;
