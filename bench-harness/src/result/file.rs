//! A result file on its way to the disk: the JSON, and beside it one `.hgrm` for each contender of each point that has
//! latencies, of all its rounds together.

use std::fs::{self, File};
use std::io::BufWriter;
use std::path::{Path, PathBuf};

use crate::result::histogram;
use crate::result::model::{Contender, Point, ResultFile};

/// Writes `result` to `path`, and its latencies to files beside it whose names begin alike.
pub(crate) fn write(path: &Path, result: &ResultFile) -> Result<(), String> {
    let failed = |path: &Path, error: &dyn std::fmt::Display| {
        format!("cannot write {}: {error}", path.display())
    };
    let json = serde_json::to_string_pretty(result).map_err(|error| failed(path, &error))?;
    fs::write(path, json + "\n").map_err(|error| failed(path, &error))?;
    for (index, point) in result.points.iter().enumerate() {
        for (contender, of) in result.contenders.iter().enumerate() {
            let Some(merged) = histogram::merged(point, contender)? else {
                continue;
            };
            let path = beside(path, &place((index, point), (contender, of)));
            let file = File::create(&path).map_err(|error| failed(&path, &error))?;
            histogram::write_hgrm(&merged, &mut BufWriter::new(file))
                .map_err(|error| failed(&path, &error))?;
        }
    }
    Ok(())
}

/// What the latencies of a contender at a point are called.
fn place((index, point): (usize, &Point), (contender, of): (usize, &Contender)) -> String {
    let letters = of.name.chars().filter(char::is_ascii_alphanumeric);
    let name: String = letters.collect();
    format!("{index:02}-{}.{contender}-{name}", point.workload)
}

/// `a/b.json` and `x` are `a/b.x.hgrm`.
fn beside(path: &Path, place: &str) -> PathBuf {
    let stem = path.file_stem().unwrap_or_default().to_string_lossy();
    path.with_file_name(format!("{stem}.{place}.hgrm"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::folder::Folder;
    use crate::report::sample;

    #[test]
    fn a_contender_has_one_file_of_latencies_at_each_point_with_those_of_all_rounds() {
        let folder = Folder::temporary("result").unwrap();
        let result = sample::compare(2);
        write(&folder.path().join("b.json"), &result).unwrap();
        let with_latencies = |point: &&Point| point.runs.iter().any(|run| run.latency.is_some());
        let points = result.points.iter().filter(with_latencies).count();
        let files = fs::read_dir(folder.path()).unwrap();
        assert_eq!(files.count(), 1 + 2 * points);
        let text = fs::read_to_string(folder.path().join("b.00-W1.0-ringway.hgrm")).unwrap();
        let runs = result.points[0].runs.iter();
        let counts = runs.filter(|run| run.contender == 0).map(|run| {
            let latencies = histogram::decode(run.latency.as_ref().unwrap()).unwrap();
            latencies.histogram().len()
        });
        assert_eq!(counts.clone().count(), result.setting.rounds);
        let total = format!("Total count    = {:12}]", counts.sum::<u64>());
        assert!(text.contains(&total), "{total}: {text}");
    }
}
