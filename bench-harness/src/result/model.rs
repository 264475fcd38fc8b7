//! The result file as it is written and read, schema version 2: plain data, no measurement and no drawing. Every command
//! that measures writes one; `report` reads several.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use serde::{Deserialize, Serialize};

use crate::load::Mode;
use crate::plan::Plan;

/// Raised whenever a field changes its meaning or goes away.
pub(crate) const SCHEMA_VERSION: u32 = 2;

/// All that one call of the program has measured.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct ResultFile {
    pub(crate) schema_version: u32,
    pub(crate) kind: Kind,
    pub(crate) host: Host,
    pub(crate) setting: Setting,
    pub(crate) contenders: Vec<Contender>,
    pub(crate) points: Vec<Point>,
    /// Of a gate; empty otherwise.
    #[serde(default)]
    pub(crate) verdicts: Vec<Verdict>,
}

/// Which command has measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Kind {
    Run,
    /// Of `compare`, and of `pair`.
    Compare,
    Gate,
}

/// Where it was measured. Facts that a kernel does not tell are missing.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Host {
    pub(crate) unix_time_s: u64,
    pub(crate) commit: Option<String>,
    pub(crate) rustc: Option<String>,
    pub(crate) kernel: String,
    pub(crate) architecture: String,
    pub(crate) cpu: String,
    pub(crate) cpus: usize,
    /// By vulnerability, as the kernel says it.
    pub(crate) mitigations: BTreeMap<String, String>,
    pub(crate) governor: Option<String>,
    pub(crate) page_size: u64,
    pub(crate) sysctls: BTreeMap<String, String>,
    /// The CPU is a program: such figures say that it runs, never how fast.
    pub(crate) emulated: bool,
    pub(crate) command_line: Vec<String>,
}

/// What all runs have in common.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Setting {
    pub(crate) origin: SocketAddr,
    pub(crate) duration_ms: u64,
    pub(crate) warm_up_ms: u64,
    /// What the load does while it has nothing to do: `sleep` or `spin`.
    pub(crate) load_wait: String,
    /// Where started programs are pinned.
    pub(crate) proxy_core: Option<usize>,
    /// One load thread for each; none is one thread that the scheduler places.
    pub(crate) load_cores: Vec<usize>,
    pub(crate) rounds: usize,
    /// What the order within each round was drawn from, where it was drawn.
    #[serde(default)]
    pub(crate) seed: Option<u64>,
}

/// What is measured: a program, spoken to in one way. The same program spoken to in two ways is two of them.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Contender {
    pub(crate) name: String,
    pub(crate) version: Option<String>,
    /// As a shell reads it; none where it ran already, or where there is no proxy at all.
    pub(crate) command: Option<String>,
    pub(crate) mode: Mode,
    pub(crate) address: SocketAddr,
    /// What it does otherwise than the rest, where that matters for its figures.
    pub(crate) notes: Vec<String>,
    /// What `ringway check --json` says; of Ringway only.
    pub(crate) capabilities: Option<serde_json::Value>,
}

/// One plan, and what all contenders made of it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Point {
    /// Its name in the catalogue.
    pub(crate) workload: String,
    pub(crate) plan: Plan,
    pub(crate) runs: Vec<Run>,
    pub(crate) cannot: Vec<Cannot>,
}

/// Why a contender has no run at a point.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Cannot {
    pub(crate) contender: usize,
    pub(crate) why: String,
}

/// One run of one contender.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Run {
    /// Its place in `contenders`.
    pub(crate) contender: usize,
    pub(crate) round: usize,
    /// Its place within the round.
    pub(crate) order: usize,
    pub(crate) figures: Vec<Figure>,
    pub(crate) latency: Option<Latency>,
    /// Of a ramp, in the order they were made; empty otherwise.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) steps: Vec<RampStep>,
    /// Share of the time that a side was ready while other programs had its core; of both sides the larger.
    pub(crate) disturbed_percent: f64,
}

/// One number with its name. Lower is better unless its unit is a rate or a share.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Figure {
    /// One word, so that a line of the table can be split at its blanks.
    pub(crate) name: String,
    pub(crate) unit: String,
    pub(crate) value: f64,
    /// The one figure that this workload is for.
    pub(crate) main: bool,
}

impl Figure {
    pub(crate) fn new(name: impl Into<String>, unit: &str, value: f64) -> Self {
        Self {
            name: name.into(),
            unit: unit.to_owned(),
            value,
            main: false,
        }
    }

    pub(crate) fn main(self) -> Self {
        Self { main: true, ..self }
    }
}

/// From when a latency counts. The two are never merged, nor shown in one column or on one axis.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Clock {
    /// From the planned time of an open loop: a wait for a free connection counts.
    Planned,
    /// From the asking of a closed loop: what was not asked because of a stall is not seen.
    Asked,
}

/// All latencies of a run.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Latency {
    pub(crate) clock: Clock,
    /// What one unit of the histogram is.
    pub(crate) unit_ns: u64,
    /// The histogram in the V2 encoding of HdrHistogram, as base64.
    pub(crate) v2: String,
}

/// One rate that a ramp has tried.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct RampStep {
    /// Operations planned for a second, and achieved.
    pub(crate) rate: u64,
    pub(crate) achieved: f64,
    /// Whether it achieved its rate and met the bound.
    pub(crate) held: bool,
    pub(crate) p50_us: f64,
    pub(crate) p99_us: f64,
    /// The percentile that the bound is for.
    pub(crate) bounded_us: f64,
    pub(crate) max_us: f64,
}

/// What a gate says about one figure of one point.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Verdict {
    /// The workload and its plan, in words.
    pub(crate) point: String,
    pub(crate) figure: String,
    /// Of the candidate over what it is held against: the median, and the interval of the bootstrap.
    pub(crate) ratio: f64,
    pub(crate) interval: [f64; 2],
    /// The same of A against A, where it was measured.
    pub(crate) noise: Option<[f64; 2]>,
    /// How much more than 1 the ratio may be.
    pub(crate) bound_percent: f64,
    pub(crate) held: bool,
}
