//! The command `report`: result files as one page.

use crate::args::Report;

pub(crate) fn run(_typed: &Report) -> Result<(), String> {
    Err("report is not built into this program yet".to_owned())
}
