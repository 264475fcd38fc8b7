//! The command `list`: every workload, what it measures, its points, and what stands against a run.

use std::io::{self, Write, stdout};

use crate::catalogue::{ALL, Entry, Limit};
use crate::load::Mode;

/// Prints all of them.
pub(crate) fn run() -> io::Result<()> {
    let mut out = stdout().lock();
    for entry in ALL {
        write!(out, "{:<5} {}", entry.id, entry.measures)?;
        if let Some(Limit::Code(why)) = entry.limit {
            writeln!(out, "; not run: {why}")?;
            continue;
        }
        let numbers = |numbers: &[usize]| {
            let numbers: Vec<String> = numbers.iter().map(usize::to_string).collect();
            numbers.join(", ")
        };
        write!(out, "; connections: {}", numbers(entry.connections))?;
        write!(out, "; bytes: {}", numbers(entry.payloads))?;
        write!(out, "; mode: {}", modes(entry))?;
        if let Some(Limit::Ringway(why)) = entry.limit {
            write!(out, "; not against Ringway: {why}")?;
        }
        writeln!(out)?;
    }
    Ok(())
}

fn modes(entry: &Entry) -> String {
    let names: Vec<&str> = entry.modes.iter().copied().map(Mode::name).collect();
    names.join(", ")
}
