//! What is typed after `report`.

use std::path::PathBuf;

use argh::FromArgs;

/// draw result files, several over each other, as one self-contained HTML page
#[derive(FromArgs, Debug)]
#[argh(
    subcommand,
    name = "report",
    help_triggers("-h", "--help"),
    example = "{command_name} before.json after.json --html report.html"
)]
pub(crate) struct Report {
    /// result files of run, compare, pair or gate
    #[argh(positional, arg_name = "FILE")]
    pub(crate) files: Vec<PathBuf>,

    /// the page that is written
    #[argh(option)]
    pub(crate) html: PathBuf,
}
