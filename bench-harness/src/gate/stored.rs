//! Counts that were written down: a file of the repository, so that a build is held to what an earlier one cost without
//! that being built again.

use std::fmt::Write;
use std::fs;
use std::path::Path;
use std::process::Command;

use crate::count::callgrind;
use crate::gate::judge::Row;
use crate::gate::sides::CANDIDATE;
use crate::gate::trial::Sample;
use crate::host;
use crate::stats::bootstrap::Interval;

/// The figures that are kept: those of callgrind, which do not depend on what the machine has.
const KEPT: [&str; 2] = ["instructions", "system_calls"];

/// How much more is too much of system calls, at least. How many there are depends a little on which events meet: in
/// the same build W1 varies by 3 %. One more in each operation is more than this, but for W1.
const SYSTEM_CALLS_PERCENT: f64 = 5.0;

/// How much more is too much where compiler, CPU, C library, kernel or valgrind are others than those of the file.
const ELSEWHERE_PERCENT: f64 = 25.0;

const TITLE: &str = "# What an operation of each workload costs Ringway over one connection, under callgrind. Written \
                     by ringway-bench gate --update-counts.";

/// The bound of a count by callgrind, where that of instructions is `percent`.
pub(super) fn bound(figure: &str, percent: f64) -> f64 {
    match figure {
        "system_calls" => percent.max(SYSTEM_CALLS_PERCENT),
        _ => percent,
    }
}

/// A file of counts.
#[derive(Debug, PartialEq)]
pub(super) struct Stored {
    /// What the counts depend on beside the program, one a line.
    made_by: Vec<String>,
    /// Point, figure, count.
    counts: Vec<(String, String, f64)>,
}

impl Stored {
    pub(super) fn read(path: &Path) -> Result<Self, String> {
        let text = fs::read_to_string(path).map_err(|error| {
            format!(
                "cannot read {}: {error}; --update-counts writes it",
                path.display()
            )
        })?;
        Self::parse(&text).map_err(|line| {
            format!(
                "{}: this is no count: {line:?}; --update-counts writes it afresh",
                path.display()
            )
        })
    }

    fn parse(text: &str) -> Result<Self, String> {
        let mut stored = Self {
            made_by: Vec::new(),
            counts: Vec::new(),
        };
        for line in text.lines() {
            if let Some(fact) = line.strip_prefix("# ") {
                stored.made_by.push(fact.to_owned());
                continue;
            }
            let words: Vec<&str> = line.split_whitespace().collect();
            let [workload, connections, figure, count] = words[..] else {
                return Err(line.to_owned());
            };
            let count = count.parse().map_err(|_| line.to_owned())?;
            let point = format!("{workload} {connections}");
            stored.counts.push((point, figure.to_owned(), count));
        }
        stored
            .made_by
            .retain(|fact| !TITLE.ends_with(fact.as_str()));
        Ok(stored)
    }

    /// The medians of the candidate, here and now.
    pub(super) fn of(samples: &[Sample]) -> Self {
        let kept = samples
            .iter()
            .filter(|sample| KEPT.contains(&sample.figure.as_str()));
        let count = |sample: &Sample| {
            let values: Vec<f64> = sample.rounds.iter().map(|round| round[CANDIDATE]).collect();
            let median = Interval::of(&values)?.median;
            Some((sample.point.clone(), sample.figure.clone(), median))
        };
        Self {
            made_by: here(),
            counts: kept.filter_map(count).collect(),
        }
    }

    pub(super) fn write(&self, path: &Path) -> Result<(), String> {
        fs::write(path, self.text())
            .map_err(|error| format!("cannot write {}: {error}", path.display()))
    }

    fn text(&self) -> String {
        let mut text = format!("{TITLE}\n");
        for fact in &self.made_by {
            let _ = writeln!(text, "# {fact}"); // writing to a String cannot fail
        }
        for (point, figure, count) in &self.counts {
            let _ = writeln!(text, "{point:<8} {figure:<14} {count:>10.2}");
        }
        text
    }

    /// What is not here as it was where the file was written.
    pub(super) fn differences(&self) -> Vec<String> {
        let here = here();
        let other = |fact: &&String| !here.contains(fact);
        self.made_by.iter().filter(other).cloned().collect()
    }

    /// Every count of the candidate against the one in the file, of the workloads that were counted.
    pub(super) fn judge(&self, samples: &[Sample], bound_percent: f64) -> Vec<Row> {
        let bound_percent = match self.differences().as_slice() {
            [] => Some(bound_percent),
            others if others.iter().any(|fact| fact.starts_with("architecture")) => None,
            _ => Some(ELSEWHERE_PERCENT),
        };
        let row = |(point, figure, count): &(String, String, f64)| {
            let same = |sample: &&Sample| sample.point == *point && sample.figure == *figure;
            let sample = samples.iter().find(same)?;
            let rounds = sample.rounds.iter();
            let sample = Sample {
                point: point.clone(),
                figure: figure.clone(),
                unit: sample.unit.clone(),
                rounds: rounds.map(|round| vec![round[CANDIDATE], *count]).collect(),
                disturbed: false,
            };
            Row::of(&sample, bound_percent.map(|percent| bound(figure, percent)))
        };
        self.counts.iter().filter_map(row).collect()
    }
}

/// What counts depend on beside the program.
fn here() -> Vec<String> {
    let host = host::facts();
    let glibc = Command::new("getconf").arg("GNU_LIBC_VERSION").output();
    let glibc = glibc.map(|said| String::from_utf8_lossy(&said.stdout).trim().to_owned());
    let cpuinfo = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let flags = cpuinfo.lines().find(|line| line.starts_with("flags"));
    let has = |flag: &&str| flags.is_some_and(|flags| flags.split(' ').any(|has| has == *flag));
    let vectors: Vec<&str> = ["avx2", "avx512f"].into_iter().filter(has).collect();
    let kernel: Vec<&str> = host.kernel.split('.').take(2).collect();
    let valgrind = callgrind::version().ok();
    // glibc and memchr choose their loops by the vectors.
    vec![
        format!("rustc: {}", host.rustc.as_deref().unwrap_or("unknown")),
        format!("architecture: {}", host.architecture),
        format!("vectors: {}", vectors.join(" ")),
        format!("glibc: {}", glibc.as_deref().unwrap_or("unknown")),
        // What the ring can do decides what the program asks of it.
        format!("kernel: {}", kernel.join(".")),
        format!("valgrind: {}", valgrind.as_deref().unwrap_or("unknown")),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample(figure: &str, count: f64) -> Sample {
        Sample {
            point: "W3 x1".to_owned(),
            figure: figure.to_owned(),
            unit: "1".to_owned(),
            rounds: [0.0, 0.1, -0.1].map(|off| vec![count + off, 5.0]).to_vec(),
            disturbed: false,
        }
    }

    #[test]
    fn what_is_written_is_read_again() {
        let samples = [
            sample("instructions", 15_540.0),
            sample("system_calls", 8.0),
            sample("kernel_system_calls", 7.0),
        ];
        let stored = Stored::of(&samples);
        assert_eq!(
            stored.counts.len(),
            2,
            "what depends on the machine is not kept"
        );
        assert_eq!(Stored::parse(&stored.text()).unwrap(), stored);
        assert!(stored.differences().is_empty());
        assert_eq!(
            Stored::parse("W3 x1 instructions"),
            Err("W3 x1 instructions".to_owned())
        );
    }

    #[test]
    fn one_system_call_more_is_red_and_events_that_met_otherwise_are_not() {
        let failed = |before, now| {
            let stored = Stored::of(&[sample("system_calls", before)]);
            stored.judge(&[sample("system_calls", now)], 2.0)[0].failed()
        };
        assert!(failed(6.0, 7.0));
        assert!(!failed(22.7, 23.6), "4 %");
        assert_eq!(bound("instructions", 2.0), 2.0);
        assert_eq!(bound("system_calls", 9.0), 9.0);
    }

    #[test]
    fn more_than_the_bound_is_red_and_elsewhere_only_much_more() {
        let mut stored = Stored::of(&[sample("instructions", 15_540.0)]);
        let failed = |stored: &Stored, count| {
            let rows = stored.judge(&[sample("instructions", count)], 2.0);
            assert_eq!(rows.len(), 1);
            rows[0].failed()
        };
        assert!(!failed(&stored, 15_700.0));
        assert!(failed(&stored, 16_317.0), "5 %");
        assert!(!failed(&stored, 9_000.0), "less is well");
        stored.made_by[0] = "rustc: another".to_owned();
        assert_eq!(stored.differences(), ["rustc: another"]);
        assert!(!failed(&stored, 16_317.0));
        assert!(failed(&stored, 20_000.0), "29 %");
        stored.made_by[1] = "architecture: another".to_owned();
        assert!(!failed(&stored, 90_000.0));
    }
}
