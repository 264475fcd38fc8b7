//! `ringway check`: what of the kernel the proxy uses is here, and what would keep `serve` from starting.
//!
//! The JSON is for programs: its `schema` number grows when a field changes its meaning or goes away, not when one is
//! added.

use std::fmt::Write;

use ringway_engine::server::{CapabilityReport, CapabilityRow, Feature, capabilities};
use serde::Serialize;

use crate::config;
use crate::exit::{self, Failure, Reason};

/// Number of the JSON's shape.
const SCHEMA: u32 = 1;

/// What `--json` prints.
#[derive(Serialize)]
struct Document<'a> {
    schema: u32,
    ringway: &'static str,
    kernel: &'a str,
    can_serve: bool,
    /// What keeps `serve` from starting, with the mend; null when nothing does.
    refusal: Option<String>,
    features: Vec<FeatureEntry>,
}

/// One feature of the kernel in [`Document`].
#[derive(Serialize)]
struct FeatureEntry {
    name: &'static str,
    needed: bool,
    found: bool,
    /// Treated as missing because RINGWAY_FORCE_OFF names it.
    forced_off: bool,
    first_kernel: &'static str,
    lost_without: &'static str,
}

/// Prints the report; fails with the mend when `serve` could not start.
pub(crate) fn run(json: bool) -> Result<(), Failure> {
    let force_off = config::force_off()?;
    let report = capabilities(&force_off);
    let text = if json {
        document(&report, &force_off)?
    } else {
        table(&report, &force_off)
    };
    exit::print(&text)?;
    match report.refusal {
        None => Ok(()),
        Some(refusal) => Err(Failure::new(
            Reason::Unsupported,
            format!("serve cannot start here: {refusal}"),
        )),
    }
}

fn document(report: &CapabilityReport, force_off: &[Feature]) -> Result<String, Failure> {
    let entry = |row: &CapabilityRow| FeatureEntry {
        name: row.feature.name(),
        needed: row.needed,
        found: row.found,
        forced_off: force_off.contains(&row.feature),
        first_kernel: row.first_kernel,
        lost_without: row.lost_without,
    };
    let document = Document {
        schema: SCHEMA,
        ringway: env!("CARGO_PKG_VERSION"),
        kernel: &report.kernel,
        can_serve: report.refusal.is_none(),
        refusal: report.refusal.as_ref().map(ToString::to_string),
        features: report.rows.iter().map(entry).collect(),
    };
    serde_json::to_string_pretty(&document)
        .map(|text| text + "\n")
        .map_err(|error| {
            Failure::new(
                Reason::Failed,
                format!("cannot write the report as JSON: {error}"),
            )
        })
}

fn table(report: &CapabilityReport, force_off: &[Feature]) -> String {
    let mut rows = vec![["feature", "needed", "found", "since", "lost without it"]];
    rows.extend(report.rows.iter().map(|row| {
        [
            row.feature.name(),
            if row.needed { "needed" } else { "optional" },
            match (row.found, force_off.contains(&row.feature)) {
                (_, true) => "forced off",
                (true, false) => "yes",
                (false, false) => "no",
            },
            row.first_kernel,
            row.lost_without,
        ]
    }));
    let width = |column: usize| rows.iter().map(|row| row[column].len()).max().unwrap_or(0);
    let (feature, needed, found, since) = (width(0), width(1), width(2), width(3));
    let mut text = format!(
        "ringway {}\nkernel {}\n\n",
        env!("CARGO_PKG_VERSION"),
        report.kernel
    );
    for row in &rows {
        let _ = writeln!(
            text,
            "{:feature$}  {:needed$}  {:found$}  {:since$}  {}",
            row[0], row[1], row[2], row[3], row[4]
        );
    }
    let verdict = if report.refusal.is_some() {
        "cannot"
    } else {
        "can"
    };
    let _ = writeln!(text, "\nverdict: ringway serve {verdict} start here");
    text
}
