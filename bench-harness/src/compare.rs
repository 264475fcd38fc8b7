//! The command `compare`: workloads against Ringway, its rivals, the reference relays and no proxy at all.

use crate::args::Compare;

pub(crate) fn run(_typed: &Compare) -> Result<(), String> {
    Err("compare is not built into this program yet".to_owned())
}
