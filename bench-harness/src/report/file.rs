//! Reading result files: what can be wrong with one is said with the file, the place in it and the mend, and what comes
//! out can be drawn without asking again: places are in range, numbers are finite, histograms are decoded.

use std::fs;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use serde_json::error::Category;

use crate::result::histogram;
use crate::result::latency::Latencies;
use crate::result::model::{Clock, Point, ResultFile, SCHEMA_VERSION};

const GIVE: &str = "give a file that --out of run, compare, pair or gate has written";

/// A result file that has been read and looked through.
#[derive(Debug)]
pub(crate) struct Source {
    /// Its file name without `.json`, for the eye.
    pub(crate) name: String,
    pub(crate) result: ResultFile,
    /// The latencies of each run of each point, in their order.
    pub(crate) latencies: Vec<Vec<Option<Latencies>>>,
}

/// The fields that say whether the rest can be read.
#[derive(Debug, Deserialize)]
struct Preamble {
    schema_version: Option<serde_json::Value>,
}

impl Source {
    pub(crate) fn read(path: &Path) -> Result<Self, String> {
        let shown = path.display();
        let bytes = fs::read(path).map_err(|error| format!("cannot read {shown}: {error}"))?;
        let name = path.file_stem().map_or_else(
            || shown.to_string(),
            |stem| stem.to_string_lossy().into_owned(),
        );
        Self::parse(name, &bytes).map_err(|wrong| format!("{shown}: {wrong}"))
    }

    /// Of results that are not in a file.
    pub(crate) fn of(name: String, result: ResultFile) -> Result<Self, String> {
        let latencies = result.points.iter().enumerate();
        let latencies = latencies
            .map(|(index, point)| look_through(index, point, result.contenders.len()))
            .collect::<Result<_, _>>()?;
        Ok(Self {
            name,
            result,
            latencies,
        })
    }

    fn parse(name: String, bytes: &[u8]) -> Result<Self, String> {
        match bytes.trim_ascii_start().first() {
            None => {
                return Err(
                    "is empty; a run writes it when it ends: measure again with --out".to_owned(),
                );
            }
            Some(b'{') => {}
            Some(_) => {
                return Err(format!("is no JSON object: {GIVE}"));
            }
        }
        let preamble: Preamble = serde_json::from_slice(bytes).map_err(|error| unread(&error))?;
        check_version(preamble.schema_version.as_ref())?;
        let mut json = serde_json::Deserializer::from_slice(bytes);
        let result: ResultFile = serde_path_to_error::deserialize(&mut json).map_err(|error| {
            let (path, error) = (error.path().to_string(), error.inner());
            format!(
                "field {path}: {error}; the file was changed or written by another version: measure again"
            )
        })?;
        Self::of(name, result)
    }
}

fn unread(error: &serde_json::Error) -> String {
    let line = error.line();
    match error.classify() {
        Category::Eof => {
            format!(
                "ends within its JSON at line {line}, so it was cut off: copy it or measure again"
            )
        }
        Category::Syntax | Category::Data | Category::Io => {
            format!("is not JSON ({error}): {GIVE}")
        }
    }
}

fn check_version(version: Option<&serde_json::Value>) -> Result<(), String> {
    let Some(version) = version else {
        return Err(format!("field schema_version is missing: {GIVE}"));
    };
    if version.as_u64() == Some(SCHEMA_VERSION.into()) {
        return Ok(());
    }
    let mend = match version.as_u64() {
        Some(newer) if newer > SCHEMA_VERSION.into() => "use the ringway-bench that has written it",
        _ => "measure again with this ringway-bench",
    };
    Err(format!(
        "schema_version is {version}, and this program reads {SCHEMA_VERSION}: {mend}"
    ))
}

/// Decodes the latencies of a point, and looks at what the types do not say.
fn look_through(
    index: usize,
    point: &Point,
    contenders: usize,
) -> Result<Vec<Option<Latencies>>, String> {
    let known = |field: &str, contender: usize| match contender < contenders {
        true => Ok(()),
        false => Err(format!(
            "field points[{index}].{field}.contender: {contender} is none of the {contenders} contenders"
        )),
    };
    for (place, cannot) in point.cannot.iter().enumerate() {
        known(&format!("cannot[{place}]"), cannot.contender)?;
    }
    let mut clock: Option<Clock> = None;
    let mut all = Vec::with_capacity(point.runs.len());
    for (place, run) in point.runs.iter().enumerate() {
        let field = format!("runs[{place}]");
        known(&field, run.contender)?;
        let latencies = run.latency.as_ref().map(histogram::decode).transpose();
        let latencies =
            latencies.map_err(|wrong| format!("field points[{index}].{field}.latency: {wrong}"))?;
        if let Some(latencies) = &latencies
            && *clock.get_or_insert(latencies.clock()) != latencies.clock()
        {
            return Err(format!(
                "field points[{index}].{field}.latency.clock: planned and asked latencies in one point"
            ));
        }
        all.push(latencies);
    }
    Ok(all)
}

/// Reads all of `paths`, and gives those with equal names longer ones.
pub(crate) fn read_all(paths: &[PathBuf]) -> Result<Vec<Source>, String> {
    let mut sources = paths
        .iter()
        .map(|path| Source::read(path))
        .collect::<Result<Vec<_>, _>>()?;
    let names: Vec<String> = sources.iter().map(|source| source.name.clone()).collect();
    for (source, path) in sources.iter_mut().zip(paths) {
        if names.iter().filter(|name| **name == source.name).count() > 1 {
            source.name = path.display().to_string();
        }
    }
    Ok(sources)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::sample;

    fn wrong(text: &str) -> String {
        Source::parse("x".to_owned(), text.as_bytes()).unwrap_err()
    }

    fn changed(change: impl FnOnce(&mut serde_json::Value)) -> String {
        let mut value = serde_json::to_value(sample::compare(3)).unwrap();
        change(&mut value);
        wrong(&value.to_string())
    }

    #[test]
    fn what_was_written_is_read() {
        let text = serde_json::to_string_pretty(&sample::compare(3)).unwrap();
        let source = Source::parse("x".to_owned(), text.as_bytes()).unwrap();
        assert_eq!(source.latencies.len(), source.result.points.len());
        let runs = source.result.points.iter().map(|point| point.runs.len());
        assert!(source.latencies.iter().map(Vec::len).eq(runs));
        assert!(source.latencies[0][0].is_some());
    }

    #[test]
    fn files_that_are_no_results_say_so_and_name_the_mend() {
        assert!(wrong("").contains("is empty"));
        assert!(wrong("PK\u{3}\u{4}").contains("is no JSON object"));
        assert!(wrong("[1, 2]").contains("is no JSON object"));
        assert!(wrong("{\"a\": 1,\n x}").contains("is not JSON (key must be a string at line 2"));
        assert!(wrong("{}").contains("schema_version is missing"));
        let old = wrong(r#"{"schema_version": 1, "kind": "pair"}"#);
        assert!(
            old.contains("schema_version is 1") && old.contains("measure again"),
            "{old}"
        );
        let new = wrong(r#"{"schema_version": 3}"#);
        assert!(new.contains("use the ringway-bench that"), "{new}");
        assert!(wrong(r#"{"schema_version": "2"}"#).contains("is \"2\""));
    }

    #[test]
    fn a_file_that_was_cut_off_says_at_which_line() {
        let text = serde_json::to_string_pretty(&sample::compare(3)).unwrap();
        let half = &text[..text.len() / 2];
        let lines = half.lines().count();
        let wrong = wrong(half);
        assert!(wrong.contains(&format!("at line {lines},")), "{wrong}");
        assert!(wrong.contains("cut off"), "{wrong}");
    }

    #[test]
    fn a_wrong_field_is_named_with_its_path() {
        let text = changed(|value| value["points"][1]["runs"][2]["round"] = "first".into());
        assert!(text.contains("field points[1].runs[2].round:"), "{text}");
        let text = changed(|value| {
            value["host"].as_object_mut().unwrap().remove("kernel");
        });
        assert!(text.contains("missing field `kernel`"), "{text}");
        let text = changed(|value| value["points"][0]["runs"][1]["contender"] = 3.into());
        assert!(
            text.contains("points[0].runs[1].contender: 3 is none of the 3"),
            "{text}"
        );
        let text = changed(|value| value["points"][0]["runs"][1]["latency"]["v2"] = "HIST".into());
        assert!(text.contains("points[0].runs[1].latency: v2"), "{text}");
        let text = changed(|value| {
            value["points"][0]["runs"][1]["latency"]["clock"] = "planned".into();
        });
        assert!(text.contains("planned and asked"), "{text}");
    }

    #[test]
    fn numbers_that_json_has_no_word_for_are_refused() {
        let text =
            changed(|value| value["points"][0]["runs"][0]["figures"][0]["value"] = ().into());
        assert!(
            text.contains("figures[0].value: invalid type: null"),
            "{text}"
        );
    }

    #[test]
    fn workloads_that_are_not_known_are_read_all_the_same() {
        let mut result = sample::compare(2);
        result.points[0].workload = "W99".to_owned();
        let text = serde_json::to_string(&result).unwrap();
        assert!(Source::parse("x".to_owned(), text.as_bytes()).is_ok());
    }

    #[test]
    fn a_file_that_is_not_there_is_named() {
        let error = read_all(&[PathBuf::from("/nowhere/a.json")]).unwrap_err();
        assert!(
            error.starts_with("cannot read /nowhere/a.json: "),
            "{error}"
        );
    }
}
