//! The result file as the program writes it and as `report` reads it: real ones fit the schema, which has nothing in it
//! that no file has, and become a page; broken ones are refused with the file, the place and the mend.

mod schema;

use std::net::{Ipv4Addr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::LazyLock;

use serde_json::{Value, json};

use crate::schema::Schema;

const PROGRAM: &str = env!("CARGO_BIN_EXE_ringway-bench");
const SCHEMA: &str = include_str!("../../result.schema.json");

/// A folder of a test, gone when the test is over.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("report-{name}"));
        let _ = std::fs::remove_dir_all(&path);
        std::fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    fn path(&self, name: &str) -> String {
        self.0.join(name).to_str().unwrap().to_owned()
    }

    fn write(&self, name: &str, result: &Value) -> String {
        let path = self.path(name);
        std::fs::write(&path, result.to_string()).unwrap();
        path
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn report(files: &[&str], html: &str) -> Output {
    Command::new(PROGRAM)
        .arg("report")
        .args(files)
        .args(["--html", html])
        .output()
        .unwrap()
}

/// Runs a workload straight against its origin, for a moment.
fn measured(name: &str, arguments: &str) -> Value {
    let folder = Folder::new(&format!("measured-{name}"));
    let out = folder.path("result.json");
    // A machine that is busy with other tests may miss a planned rate, which voids a run.
    for _ in 0..20 {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let origin = listener.local_addr().unwrap().to_string();
        drop(listener);
        let output = Command::new(PROGRAM)
            .args([
                "run", "--mode", "tcp", "--proxy", &origin, "--origin", &origin,
            ])
            .args("--duration 60ms --warm-up 20ms --core none --load-cores none".split(' '))
            .args(arguments.split(' '))
            .args(["--out", &out])
            .output()
            .unwrap();
        if output.status.success() {
            return serde_json::from_str(&std::fs::read_to_string(&out).unwrap()).unwrap();
        }
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(said.contains("void"), "{arguments}: {said}");
    }
    panic!("{arguments}: every run was void");
}

/// Real results of every kind of plan that a file can hold.
static MEASURED: LazyLock<Vec<Value>> = LazyLock::new(|| {
    vec![
        measured("closed", "--workload W3 --connections 2"),
        measured(
            "fixed",
            "--workload W9 --connections 2 --bytes 64 --rate 50",
        ),
        measured("poisson", "--workload ping --rate 50 --poisson"),
        measured("ramp", "--workload ping --rate 100 --ramp-bound 1s"),
        measured("count", "--workload W1 --connections 1 --count 5"),
        measured("idle", "--workload W8 --connections 3"),
    ]
});

/// A real result with what only other commands write.
fn complete() -> Value {
    let mut result = MEASURED[0].clone();
    result["kind"] = json!("gate");
    result["points"][0]["cannot"] = json!([{ "contender": 0, "why": "it has <no> reason" }]);
    let verdict = |noise: Value| {
        json!({
            "point": "W3", "figure": "cpu_us_per_round_trip", "ratio": 1.01, "interval": [0.99, 1.02],
            "noise": noise, "bound_percent": 5.0, "held": true,
        })
    };
    result["verdicts"] = json!([verdict(json!(null)), verdict(json!([0.98, 1.02]))]);
    result
}

#[test]
fn real_results_fit_the_schema_and_leave_nothing_of_it_unused() {
    let mut schema = Schema::new(SCHEMA);
    for result in MEASURED.iter().chain([&complete()]) {
        schema.check(result).unwrap();
    }
    assert_eq!(schema.unmet(), [""; 0]);
}

#[test]
fn what_does_not_fit_the_schema_is_found() {
    let wrong = |change: &dyn Fn(&mut Value)| {
        let mut result = complete();
        change(&mut result);
        Schema::new(SCHEMA).check(&result).unwrap_err()
    };
    let found = wrong(&|result| result["schema_version"] = json!(1));
    assert!(found.starts_with("/schema_version: const 2"), "{found}");
    let found = wrong(&|result| result["host"]["kernel"] = json!(6));
    assert!(found.starts_with("/host/kernel: type"), "{found}");
    let found = wrong(&|result| result["surprise"] = json!(1));
    assert!(
        found.starts_with(": surprise is not in the schema"),
        "{found}"
    );
    let found = wrong(&|result| {
        result["points"][0]["runs"][0]
            .as_object_mut()
            .unwrap()
            .remove("round");
    });
    assert!(
        found.starts_with("/points/0/runs/0: round is missing"),
        "{found}"
    );
    let found = wrong(&|result| result["points"][0]["plan"]["pace"] = json!({ "fixed": {} }));
    assert!(found.starts_with("/points/0/plan/pace: oneOf"), "{found}");
    let found = wrong(&|result| result["points"][0]["plan"]["connections"] = json!(-1));
    assert!(
        found.starts_with("/points/0/plan/connections: minimum"),
        "{found}"
    );
    let found = wrong(&|result| result["verdicts"][0]["interval"] = json!([1.0]));
    assert!(
        found.starts_with("/verdicts/0/interval: minItems"),
        "{found}"
    );
    let found = wrong(&|result| result["points"][0]["runs"][0]["latency"]["clock"] = json!("both"));
    assert!(
        found.starts_with("/points/0/runs/0/latency: oneOf"),
        "{found}"
    );
}

#[test]
fn real_results_become_one_page_and_a_table() {
    let folder = Folder::new("page");
    let mut files: Vec<String> = MEASURED
        .iter()
        .enumerate()
        .map(|(index, result)| folder.write(&format!("{index}.json"), result))
        .collect();
    files.push(folder.write("complete.json", &complete()));
    let files: Vec<&str> = files.iter().map(String::as_str).collect();
    let html = folder.path("report.html");
    let output = report(&files, &html);
    assert!(output.status.success(), "{output:?}");
    let page = std::fs::read_to_string(&html).unwrap();
    for heading in [
        "<h2>W3</h2>",
        "<h2>W9</h2>",
        "<h2>ping</h2>",
        "<h2>W1</h2>",
        "<h2>W8</h2>",
    ] {
        assert_eq!(page.matches(heading).count(), 1, "{heading}");
    }
    assert!(page.contains("it has &lt;no&gt; reason") && page.contains("<h2>Gate</h2>"));
    assert!(!page.contains("NaN"));
    let table = String::from_utf8(output.stdout).unwrap();
    assert!(
        table.contains("W3 GET: 2 connections, 2 B, closed loop"),
        "{table}"
    );
    let rows = table.lines().filter(|line| line.starts_with("  direct"));
    assert!(rows.count() >= 6, "{table}");
}

#[test]
fn broken_files_are_refused_with_the_place_and_the_mend() {
    let folder = Folder::new("broken");
    let good = folder.write("good.json", &MEASURED[0]);
    let html = folder.path("report.html");
    let refused = |file: &str| {
        let output = report(&[&good, file], &html);
        assert_eq!(output.status.code(), Some(1));
        assert!(!Path::new(&html).exists());
        let said = String::from_utf8(output.stderr).unwrap();
        assert!(
            said.starts_with("ringway-bench: ") && said.contains(file),
            "{said}"
        );
        said
    };
    assert!(refused(&folder.path("missing.json")).contains("cannot read"));
    let old = folder.write("old.json", &json!({ "schema_version": 1, "kind": "pair" }));
    assert!(refused(&old).contains("schema_version is 1, and this program reads 2: measure again"));
    let mut wrong = MEASURED[0].clone();
    wrong["points"][0]["runs"][0]["figures"][0]["value"] = json!("fast");
    let wrong = folder.write("wrong.json", &wrong);
    assert!(refused(&wrong).contains("field points[0].runs[0].figures[0].value: invalid type"));
    let cut = folder.path("cut.json");
    let text = serde_json::to_string_pretty(&MEASURED[0]).unwrap();
    std::fs::write(&cut, &text[..text.len() / 3]).unwrap();
    assert!(refused(&cut).contains("ends within its JSON at line "));
}
