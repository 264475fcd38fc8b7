//! The command `compare` as a whole. This program's own relay on epoll stands in for Ringway, which may not be built.

use std::collections::BTreeSet;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::PathBuf;
use std::process::{Command, Output};
use std::sync::atomic::{AtomicU32, Ordering};

use serde_json::Value;

const PROGRAM: &str = env!("CARGO_BIN_EXE_ringway-bench");

/// An address that no client's connection can take by chance: below the ports that the kernel gives these.
fn free_address() -> SocketAddr {
    static TRIED: AtomicU32 = AtomicU32::new(0);
    loop {
        let tried = std::process::id() + TRIED.fetch_add(1, Ordering::Relaxed);
        let port = 10_000 + u16::try_from(tried % 20_000).unwrap();
        if let Ok(listener) = TcpListener::bind((Ipv4Addr::LOCALHOST, port)) {
            return listener.local_addr().unwrap();
        }
    }
}

/// A result file of a test, gone with the files beside it when the test is over.
struct ResultFile(PathBuf);

impl ResultFile {
    fn new(name: &str) -> Self {
        let own = std::process::id();
        let folder = std::env::temp_dir().join(format!("ringway-bench-compare-{own}-{name}"));
        std::fs::create_dir(&folder).unwrap();
        Self(folder)
    }

    fn path(&self) -> PathBuf {
        self.0.join("result.json")
    }

    fn read(&self) -> Value {
        serde_json::from_str(&std::fs::read_to_string(self.path()).unwrap()).unwrap()
    }
}

impl Drop for ResultFile {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// Compares with short times and no pinning; several tests share the machine.
fn compare(ringway: &str, arguments: &str, file: &ResultFile) -> Output {
    Command::new(PROGRAM)
        .arg("compare")
        .args(arguments.split(' '))
        .args("--duration 100ms --warm-up 20ms --load-cores none --core none".split(' '))
        .args(["--proxy", &free_address().to_string()])
        .args(["--origin", &free_address().to_string()])
        .args(["--ringway", ringway])
        .arg("--out")
        .arg(file.path())
        .output()
        .unwrap()
}

fn stand_in() -> String {
    format!("'{PROGRAM}' relay --kind epoll")
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn name(result: &Value, place: &Value) -> String {
    let place = place["contender"].as_u64().unwrap() as usize;
    let name = &result["contenders"][place]["name"];
    name.as_str().unwrap().to_owned()
}

/// Where the tables have a row for `name`, each time with its other words.
fn rows<'a>(stdout: &'a str, name: &str) -> Vec<Vec<&'a str>> {
    let lines = stdout.lines().map(|line| line.split_whitespace().collect());
    lines
        // Sentences below the rows begin with a name as well.
        .filter(|words: &Vec<&str>| words.first() == Some(&name) && words.get(1) != Some(&"is"))
        .collect()
}

#[test]
fn relays_are_compared_in_rows_and_in_a_result_file() {
    let file = ResultFile::new("relays");
    let arguments =
        "--workloads W1,w9 --connections 4 --rounds 3 --seed 7 --peers epoll,splice,direct";
    let output = compare(&stand_in(), arguments, &file);
    let (stdout, stderr) = (text(&output.stdout), text(&output.stderr));
    assert!(output.status.success(), "{stdout}{stderr}");
    assert!(stderr.contains("--seed 7"), "{stderr}");
    for name in ["ringway", "epoll", "splice", "direct"] {
        assert_eq!(rows(&stdout, name).len(), 2, "{name}: {stdout}");
    }
    let splice = rows(&stdout, "splice")[0].join(" ");
    assert!(
        splice.contains("no CONNECT: TCP relay; splices"),
        "{stdout}"
    );
    assert_eq!(
        rows(&stdout, "ringway")[0][4],
        "1.000",
        "over itself: {stdout}"
    );

    let result = file.read();
    assert_eq!(
        (&result["schema_version"], &result["kind"]),
        (&2.into(), &"compare".into())
    );
    assert_eq!(result["setting"]["seed"], 7);
    let points = result["points"].as_array().unwrap();
    assert_eq!(points.len(), 2);
    let mut orders = BTreeSet::new();
    for point in points {
        assert_eq!(point["plan"]["connections"], 4);
        assert_eq!(point["cannot"].as_array().unwrap().len(), 0, "{point}");
        let runs = point["runs"].as_array().unwrap();
        assert_eq!(runs.len(), 4 * 3);
        for (round, runs) in runs.chunks(4).enumerate() {
            let names: Vec<String> = runs.iter().map(|run| name(&result, run)).collect();
            let all: BTreeSet<&str> = names.iter().map(String::as_str).collect();
            assert_eq!(all.len(), 4, "everybody once in each round: {names:?}");
            orders.insert(names);
            for (order, run) in runs.iter().enumerate() {
                assert_eq!(
                    (&run["round"], &run["order"]),
                    (&round.into(), &order.into())
                );
                let v2 = run["latency"]["v2"].as_str().unwrap();
                assert!(v2.starts_with("HISTF"), "{v2}");
                let figures = run["figures"].as_array().unwrap();
                let main = figures.iter().filter(|figure| figure["main"] == true);
                let has_process = name(&result, run) != "direct";
                assert_eq!(main.count(), usize::from(has_process), "{run}");
            }
        }
    }
    assert!(orders.len() > 1, "six rounds have more than one order");
}

#[test]
fn who_falls_over_and_who_cannot_are_rows_and_the_rest_goes_on() {
    let file = ResultFile::new("falls");
    let arguments = "--workloads W3 --connections 2 --rounds 3 --peers direct,epoll";
    let output = compare(&format!("'{PROGRAM}' relay --shout"), arguments, &file);
    let (stdout, stderr) = (text(&output.stdout), text(&output.stderr));
    assert_eq!(output.status.code(), Some(1), "{stdout}{stderr}");
    assert!(
        stderr.contains("runs of Ringway were void in W3 GET x2"),
        "{stderr}"
    );
    let ringway = &rows(&stdout, "ringway")[0];
    assert_eq!(
        ringway[..6],
        ["ringway", "cannot:", "2", "of", "2", "runs"],
        "{stdout}"
    );
    assert!(
        !stdout.contains("Unrecognized") && !stdout.contains("its output ended"),
        "tables have no output of programs: {stdout}"
    );
    // W3 has an open loop beside the closed one.
    for name in ["direct", "epoll"] {
        assert_eq!(rows(&stdout, name).len(), 2, "{stdout}");
    }
    let result = file.read();
    let why = result["points"][0]["cannot"][0]["why"].as_str().unwrap();
    assert!(why.contains("--shout"), "its last words are kept: {why}");
}

#[test]
fn what_is_not_installed_is_named_with_the_mend() {
    let file = ResultFile::new("missing");
    let run = |peers: &str| {
        Command::new(PROGRAM)
            .args("compare --workloads W1 --rounds 1 --ringway false --out".split(' '))
            .arg(file.path())
            .args(["--peers", peers])
            .envs([("PATH", "/nowhere"), ("XDG_CACHE_HOME", "/nowhere")])
            .output()
            .unwrap()
    };
    let output = run("envoy,sing-box");
    let error = text(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{error}");
    assert!(
        error.contains("not installed: envoy, sing-box; ci/peers installs them"),
        "{error}"
    );
    let error = text(&run("nginz").stderr);
    assert!(
        error.contains("\"nginz\" is no peer; there are haproxy, nginx,"),
        "{error}"
    );
}

#[test]
fn every_rival_that_is_installed_carries_what_it_can() {
    let file = ResultFile::new("rivals");
    let arguments = "--workloads W1,W3,W12 --connections 2 --bytes 100 --rounds 1";
    let output = compare(&stand_in(), arguments, &file);
    let stdout = text(&output.stdout);
    if let Some(left_out) = text(&output.stderr)
        .lines()
        .last()
        .filter(|line| line.starts_with("left out"))
    {
        eprintln!("skipped: {left_out}");
    }
    let result = file.read();
    let mut carried = 0;
    for point in result["points"].as_array().unwrap() {
        carried += point["runs"].as_array().unwrap().len();
        for cannot in point["cannot"].as_array().unwrap() {
            // A machine under test may be too slow for the open loop.
            let (name, why) = (name(&result, cannot), cannot["why"].as_str().unwrap());
            let is_late = why.contains("were planned");
            assert!(is_late || !why.contains("void"), "{name}: {why}\n{stdout}");
        }
    }
    assert!(carried >= 5, "{stdout}");
}
