//! The programs that Ringway is compared with: where they are, which version they are, how each carries a plan, and the
//! configuration that has it do so with one worker and no more work than that, as its own documentation advises.
//!
//! Nothing is started or measured here; `compare` does that. The programs come from `ci/peers`.

mod envoy;
mod find;
mod haproxy;
mod nginx;
mod sing_box;
mod squid;
mod tinyproxy;

use std::fs;
use std::io;
use std::net::SocketAddr;
use std::path::Path;

use crate::load::Mode;
use crate::plan::{Plan, Scenario};

pub(crate) use find::{Installed, find, quoted, version_in};

/// Every rival, in the order of `--peers`.
pub(crate) const ALL: [&dyn Rival; 6] = [
    &haproxy::Haproxy,
    &nginx::Nginx,
    &squid::Squid,
    &tinyproxy::Tinyproxy,
    &envoy::Envoy,
    &sing_box::SingBox,
];

/// One program.
pub(crate) trait Rival: Sync {
    /// What its program is called, here and in `ci/peers`.
    fn name(&self) -> &'static str;

    /// Has it say its version.
    fn version_argument(&self) -> &'static str;

    /// How it carries a plan, or why it cannot.
    fn way(&self, plan: &Plan) -> Result<Way, &'static str>;

    /// What its configuration file is called.
    fn file_name(&self) -> &'static str;

    /// The text of that file.
    fn configuration(&self, way: &Way, site: &Site) -> String;

    /// The command that starts it in the foreground; `program` is quoted, and `folder` is what its file lies in.
    fn command(&self, program: &str, folder: &Path) -> String;

    /// The command that only looks at that file, of those that have one.
    #[cfg(test)]
    fn check_command(&self, program: &str, folder: &Path) -> Option<String>;
}

/// How a rival carries a plan. The same variant has always the same configuration.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Way {
    pub(crate) mode: Mode,
    /// Which of its configurations, in one word.
    pub(crate) variant: &'static str,
    /// What it does otherwise than a forward proxy that keeps connections, where that matters for its figures.
    pub(crate) notes: &'static [&'static str],
}

impl Way {
    /// As the proxy that it is, with the one configuration that it has for that.
    const fn proxy(mode: Mode, notes: &'static [&'static str]) -> Self {
        Self {
            mode,
            variant: "proxy",
            notes,
        }
    }
}

/// What a configuration is written for.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Site {
    pub(crate) proxy: SocketAddr,
    pub(crate) origin: SocketAddr,
    /// The hard limit of open files, which started programs have too.
    pub(crate) open_files: u64,
}

impl Site {
    /// Most clients at the same time: 9,000 and some, if both sides of them fit the limit of open files.
    fn clients_max(&self) -> u64 {
        const CLIENTS_MAX: u64 = 9_500;
        (self.open_files * 19 / 40).min(CLIENTS_MAX)
    }

    /// A limit of open files that holds them, and which nobody has to be root for.
    fn open_files_needed(&self) -> u64 {
        const ENOUGH: u64 = 20_000;
        self.open_files.min(ENOUGH)
    }
}

/// Writes the configuration for `way` into `folder`, made if it is missing, and returns the command that uses it.
pub(crate) fn write(
    rival: &dyn Rival,
    program: &Path,
    way: &Way,
    site: &Site,
    folder: &Path,
) -> io::Result<String> {
    fs::create_dir_all(folder)?;
    fs::write(
        folder.join(rival.file_name()),
        rival.configuration(way, site),
    )?;
    Ok(rival.command(&quoted(program), folder))
}

/// A tunnel, whatever goes through it: nothing of HTTP after its CONNECT.
fn is_tunnel(scenario: Scenario) -> bool {
    !scenario.is_http()
}

/// What every scenario of a WebSocket has in common: a connection that is upgraded.
fn is_websocket(scenario: Scenario) -> bool {
    scenario.is_http() && scenario != Scenario::Get
}

/// Bytes that are worth splicing, or large buffers.
fn is_bulk(scenario: Scenario) -> bool {
    matches!(
        scenario,
        Scenario::BulkTurns | Scenario::BulkOneWay | Scenario::BulkDuplex
    )
}

#[cfg(test)]
mod tests;
