//! A result file on its way to the disk: the JSON, and beside it one `.hgrm` for each run that has latencies.

use std::fs::{self, File};
use std::io::BufWriter;
use std::path::{Path, PathBuf};

use crate::result::histogram;
use crate::result::model::{Latency, ResultFile};

/// Writes `result` to `path`, and its latencies to files beside it whose names begin alike.
pub(crate) fn write(path: &Path, result: &ResultFile) -> Result<(), String> {
    let failed = |path: &Path, error: &dyn std::fmt::Display| {
        format!("cannot write {}: {error}", path.display())
    };
    let json = serde_json::to_string_pretty(result).map_err(|error| failed(path, &error))?;
    fs::write(path, json + "\n").map_err(|error| failed(path, &error))?;
    for (place, latency) in latencies(result) {
        let path = beside(path, &place);
        let file = File::create(&path).map_err(|error| failed(&path, &error))?;
        histogram::write_hgrm(&histogram::decode(latency)?, &mut BufWriter::new(file))
            .map_err(|error| failed(&path, &error))?;
    }
    Ok(())
}

/// All latencies, each with what its run is called.
fn latencies(result: &ResultFile) -> impl Iterator<Item = (String, &Latency)> {
    result
        .points
        .iter()
        .enumerate()
        .flat_map(move |(point, of)| {
            of.runs.iter().filter_map(move |run| {
                let name = result.contenders.get(run.contender)?.name.as_str();
                let name: String = name
                    .split(|letter: char| !letter.is_ascii_alphanumeric())
                    .collect();
                let (workload, contender, round) = (&of.workload, run.contender, run.round);
                let place = format!("{point:02}-{workload}.{contender}-{name}.{round}");
                Some((place, run.latency.as_ref()?))
            })
        })
}

/// `a/b.json` and `x` are `a/b.x.hgrm`.
fn beside(path: &Path, place: &str) -> PathBuf {
    let stem = path.file_stem().unwrap_or_default().to_string_lossy();
    path.with_file_name(format!("{stem}.{place}.hgrm"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_of_latencies_are_called_like_the_result() {
        let path = beside(Path::new("a/b.json"), "00-W9.0-ringway.1");
        assert_eq!(path, Path::new("a/b.00-W9.0-ringway.1.hgrm"));
    }
}
