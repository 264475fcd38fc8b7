//! What measured values say, and how surely.

pub(crate) mod bootstrap;
