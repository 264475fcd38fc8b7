//! The command `gate`: a build of Ringway against another one, or against a reference relay.

use crate::args::Gate;

pub(crate) fn run(_typed: &Gate) -> Result<(), String> {
    Err("gate is not built into this program yet".to_owned())
}
