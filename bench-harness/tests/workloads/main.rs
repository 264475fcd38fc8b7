//! The whole program against proxies that are known: a right one gives sane figures, a wrong one never gives any.

mod proxy;

use std::io::{Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::ops::Range;
use std::path::PathBuf;
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::proxy::Fault;

const PROGRAM: &str = env!("CARGO_BIN_EXE_ringway-bench");

fn free_address() -> SocketAddr {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    listener.local_addr().unwrap()
}

/// Runs the program with short times and no pinning; several tests share the machine.
fn bench(arguments: &str, more: &[&str]) -> Output {
    Command::new(PROGRAM)
        .args(arguments.split(' '))
        .args("--duration 120ms --warm-up 30ms --load-cores none --core none".split(' '))
        .args(["--origin", &free_address().to_string()])
        .args(more)
        .output()
        .unwrap()
}

fn run_through(proxy: SocketAddr, workload: &str, connections: usize, more: &[&str]) -> Output {
    let own = std::process::id();
    let arguments = format!(
        "run --workload {workload} --connections {connections} --proxy {proxy} --pid {own}"
    );
    bench(&arguments, more)
}

/// A result file of a test, gone when the test is over.
struct ResultFile(PathBuf);

impl ResultFile {
    fn new(name: &str) -> Self {
        let own = std::process::id();
        Self(std::env::temp_dir().join(format!("ringway-bench-test-{own}-{name}.json")))
    }

    fn path(&self) -> &str {
        self.0.to_str().unwrap()
    }

    /// Files of latencies beside it.
    fn hgrm(&self) -> Vec<PathBuf> {
        let stem = self.0.file_stem().unwrap().to_str().unwrap().to_owned();
        let folder = std::fs::read_dir(self.0.parent().unwrap()).unwrap();
        let files = folder.map(|file| file.unwrap().path()).filter(|path| {
            let name = path.file_name().unwrap().to_string_lossy();
            name.starts_with(&format!("{stem}.")) && name.ends_with(".hgrm")
        });
        files.collect()
    }

    fn read(&self) -> Value {
        serde_json::from_str(&std::fs::read_to_string(&self.0).unwrap()).unwrap()
    }
}

impl Drop for ResultFile {
    fn drop(&mut self) {
        for file in self.hgrm() {
            let _ = std::fs::remove_file(file);
        }
        let _ = std::fs::remove_file(&self.0);
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// The runs of the proxy in a result file, not those without one: of each point its plan and figures.
fn runs(result: &Value) -> Vec<(&Value, &Vec<Value>)> {
    let contenders = result["contenders"].as_array().unwrap();
    let of_proxy = |run: &&Value| {
        let contender = run["contender"].as_u64().unwrap() as usize;
        contenders[contender]["name"] != "direct"
    };
    let points = result["points"].as_array().unwrap().iter();
    let runs = points.flat_map(|point| {
        let runs = point["runs"].as_array().unwrap().iter().filter(of_proxy);
        runs.map(|run| (&point["plan"], run["figures"].as_array().unwrap()))
    });
    runs.collect()
}

fn value(figures: &[Value], name: &str) -> f64 {
    let mut all = figures.iter();
    let figure = all.find(|figure| figure["name"] == name);
    figure.unwrap_or_else(|| panic!("{name} in {figures:?}"))["value"]
        .as_f64()
        .unwrap()
}

/// The name of the one main figure, and its value.
fn main_figure(figures: &[Value]) -> (&str, f64) {
    let marked: Vec<_> = figures
        .iter()
        .filter(|figure| figure["main"] == true)
        .collect();
    assert_eq!(marked.len(), 1, "{figures:?}");
    let name = marked[0]["name"].as_str().unwrap();
    (name, marked[0]["value"].as_f64().unwrap())
}

/// Runs a workload through a right proxy and looks at every figure; the result file.
fn sane(mode: &str, workload: &str, connections: usize, main: &str, range: Range<f64>) -> Value {
    let proxy = proxy::start(Fault::None);
    let file = ResultFile::new(&format!("{mode}-{workload}"));
    let more = ["--mode", mode, "--out", file.path()];
    let output = run_through(proxy, workload, connections, &more);
    assert!(
        output.status.success(),
        "{workload}: {}",
        text(&output.stderr)
    );
    let result = file.read();
    assert_eq!(result["schema_version"], 2);
    for (plan, figures) in runs(&result) {
        assert_eq!(plan["connections"], connections);
        let (name, value) = main_figure(figures);
        assert!(name.ends_with(main), "{workload}: {name}");
        assert!(range.contains(&value), "{workload}: {name} {value}");
        for figure in figures {
            let value = figure["value"].as_f64().unwrap();
            let name = figure["name"].as_str().unwrap();
            // What is shared by other tests, and differences, may be either.
            let is_any = name.contains("pss") || name.contains("fds") || name.starts_with("added");
            assert!(value >= 0.0 || is_any, "{workload}: {figure}");
            assert!(
                text(&output.stdout).contains(name),
                "{name} is in the table"
            );
        }
    }
    result
}

#[test]
fn every_workload_gives_sane_figures() {
    let cpu = "cpu_us_per_round_trip";
    let cases = [
        ("connect", "W1", 8, "cpu_us_per_connection", 5.0..50_000.0),
        ("connect", "W3", 8, cpu, 1.0..10_000.0),
        ("forward", "W3", 8, cpu, 1.0..10_000.0),
        ("forward", "W4", 3, cpu, 1.0..1_000_000.0),
        ("connect", "W5", 2, "_cpu_s_per_gb", 0.01..100.0),
        ("connect", "W6", 1, "p50_us", 1.0..100_000.0),
        ("connect", "W7", 40, "total_ms", 0.1..10_000.0),
        // The memory is that of this whole test program, whose other tests come and go.
        ("connect", "W8", 40, "pss_growth_per_tunnel", -1e6..1e6),
        ("connect", "W9", 8, cpu, 1.0..10_000.0),
        ("connect", "ping", 1, "p50_us", 1.0..100_000.0),
    ];
    let points = |workload| match workload {
        "W4" => 4,
        "W5" => 3,
        "W6" => 2,
        _ => 1,
    };
    for (mode, workload, connections, main, range) in cases {
        let result = sane(mode, workload, connections, main, range);
        assert_eq!(runs(&result).len(), points(workload), "{workload}");
    }
}

#[test]
fn every_workload_of_websockets_gives_sane_figures() {
    let cpu = "cpu_us_per_round_trip";
    let cases = [
        ("connect", "W12", 20, cpu, 1.0..1_000_000.0),
        ("forward", "W12", 3, cpu, 1.0..1_000_000.0),
        ("connect", "W13", 3, "cpu_us_per_message", 0.01..10_000.0),
        ("forward", "W13", 1, "cpu_us_per_message", 0.01..10_000.0),
        ("connect", "W14", 4, "cpu_us_per_upgrade", 5.0..50_000.0),
        ("forward", "W14", 4, "cpu_us_per_upgrade", 5.0..50_000.0),
        ("connect", "W15", 1, "p50_us", 1.0..100_000.0),
        ("forward", "W15", 1, "p50_us", 1.0..100_000.0),
        ("forward", "W16", 40, "pss_growth_per_tunnel", -1e6..1e6),
    ];
    for (mode, workload, connections, main, range) in cases {
        let result = sane(mode, workload, connections, main, range);
        let bytes = runs(&result).into_iter();
        let bytes: Vec<_> = bytes
            .map(|(plan, _)| plan["payload"].as_u64().unwrap())
            .collect();
        let expected: &[u64] = match workload {
            "W12" => &[17, 125, 1_024, 4_096, 65_536, 1_048_576],
            "W13" => &[1_024],
            "W14" => &[0],
            "W15" => &[4],
            _ => &[17],
        };
        assert_eq!(bytes, expected, "{workload}");
    }
}

#[test]
fn a_workload_without_a_mode_is_run_in_each_of_its_own_and_without_a_proxy() {
    let proxy = proxy::start(Fault::None);
    let file = ResultFile::new("modes");
    let more = ["--bytes", "125", "--out", file.path()];
    let output = run_through(proxy, "W12", 2, &more);
    assert!(output.status.success(), "{}", text(&output.stderr));
    let result = file.read();
    let contenders = result["contenders"].as_array().unwrap().iter();
    let contenders: Vec<_> = contenders
        .map(|contender| {
            (
                contender["name"] == "direct",
                contender["mode"].as_str().unwrap(),
            )
        })
        .collect();
    assert_eq!(
        contenders,
        [(false, "forward"), (false, "connect"), (true, "tcp")]
    );
    for (_, figures) in runs(&result) {
        let (all, added) = (value(figures, "p50_us"), value(figures, "added_p50_us"));
        assert!(added < all, "{added} of {all} us are the proxy's");
    }
    // All three have their latencies, also as a file that plots are drawn from.
    let all = result["points"][0]["runs"].as_array().unwrap();
    assert_eq!(all.len(), 3);
    for run in all {
        assert_eq!(run["latency"]["clock"], "asked");
        assert!(run["latency"]["v2"].as_str().unwrap().starts_with("HISTF"));
    }
    assert_eq!(file.hgrm().len(), 3);
}

#[test]
fn failures_of_a_burst_are_counted_and_the_rest_is_measured() {
    let proxy = proxy::start(Fault::RefuseTenth);
    let file = ResultFile::new("burst");
    let more = ["--count", "40", "--no-direct", "--out", file.path()];
    let output = run_through(proxy, "W7", 40, &more);
    assert!(output.status.success(), "{}", text(&output.stderr));
    let result = file.read();
    let (plan, figures) = runs(&result)[0];
    assert_eq!(plan["stop"]["count"]["operations"], 40);
    assert_eq!(value(figures, "failures"), 10.0);
}

#[test]
fn an_open_loop_shows_a_stall_that_a_closed_loop_hides() {
    let stall_us = proxy::STALL.as_secs_f64() * 1e6;
    let run = |workload: &str, pace: &[&str]| {
        let file = ResultFile::new(&format!("stall-{workload}-{}", pace.concat()));
        // Where others hold the core, a rate is missed and the run void, as it has to be: then it is run again.
        for _ in 0..20 {
            let proxy = proxy::start(Fault::Stall(Box::leak(Box::default())));
            let arguments = format!("run --workload {workload} --connections 1 --proxy {proxy}");
            let output = Command::new(PROGRAM)
                .args(arguments.split(' '))
                .args("--duration 1s --warm-up 30ms --load-cores none --no-direct".split(' '))
                .args([
                    "--origin",
                    &free_address().to_string(),
                    "--out",
                    file.path(),
                ])
                .args(pace)
                .output()
                .unwrap();
            if output.status.success() {
                return file.read();
            }
            let error = text(&output.stderr);
            assert!(error.contains("were planned"), "{error}");
        }
        panic!("{workload} {pace:?} has not kept to its rate in 20 runs");
    };
    for workload in ["W9", "W1"] {
        for pace in [&["--rate", "200"][..], &["--rate", "200", "--poisson"]] {
            let open = run(workload, pace);
            assert_eq!(open["points"][0]["runs"][0]["latency"]["clock"], "planned");
            // 40 of 200 planned questions fall into it, and the first of them waits for all of it.
            let (_, figures) = runs(&open)[0];
            let (p99, max) = (value(figures, "p99_us"), value(figures, "max_us"));
            assert!(max > 0.9 * stall_us, "{workload} {pace:?}: max {max} us");
            assert!(p99 > 0.7 * stall_us, "{workload} {pace:?}: P99 {p99} us");
        }
        let closed = run(workload, &["--closed"]);
        assert_eq!(closed["points"][0]["runs"][0]["latency"]["clock"], "asked");
        let (_, figures) = runs(&closed)[0];
        let (p99, max) = (value(figures, "p99_us"), value(figures, "max_us"));
        assert!(max > 0.9 * stall_us, "{workload}: it did stall, {max} us");
        assert!(
            p99 < 0.3 * stall_us,
            "{workload}: one question of all, P99 {p99} us"
        );
    }
}

#[test]
fn a_ramp_finds_a_rate_and_shows_its_steps() {
    let proxy = proxy::start(Fault::None);
    let file = ResultFile::new("ramp");
    // A bound that a machine which others use can meet, of a percentile for which short steps are enough.
    let pace = "--rate 200 --ramp-bound 100ms --ramp-percentile 90 --mode forward --out";
    let more: Vec<&str> = pace.split(' ').chain([file.path()]).collect();
    let output = run_through(proxy, "W3", 4, &more);
    assert!(output.status.success(), "{}", text(&output.stderr));
    let result = file.read();
    let (plan, figures) = runs(&result)[0];
    assert_eq!(plan["pace"]["ramp"]["bound_us"], 100_000);
    let (main, found) = main_figure(figures);
    assert_eq!(main, "rate_at_bound");
    let steps = result["points"][0]["runs"][0]["steps"].as_array().unwrap();
    let held = |is: bool| {
        let steps = steps.iter().filter(move |step| step["held"] == is);
        steps.map(|step| step["rate"].as_f64().unwrap())
    };
    assert_eq!(held(true).fold(0.0, f64::max), found);
    let missed: Vec<f64> = held(false).filter(|rate| *rate > found).collect();
    let lowest = missed.iter().copied().fold(f64::INFINITY, f64::min);
    let times = missed.iter().filter(|rate| **rate == lowest).count();
    assert_eq!(times, 2, "the next rate was tried twice: {steps:?}");
}

#[test]
fn load_and_origin_run_apart() {
    let proxy = proxy::start(Fault::None);
    let origin = free_address();
    let serve = Command::new(PROGRAM)
        .args("run --workload W9 --role origin --load-cores none".split(' '))
        .args(["--origin", &origin.to_string()])
        .stderr(Stdio::inherit())
        .spawn()
        .unwrap();
    let _serve = Relay(serve);
    await_listener(origin);
    let file = ResultFile::new("role");
    let load = |workload: &str| {
        let arguments =
            format!("run --workload {workload} --role load --connections 4 --proxy {proxy}");
        Command::new(PROGRAM)
            .args(arguments.split(' '))
            .args("--duration 100ms --warm-up 20ms --load-cores none".split(' '))
            .args(["--origin", &origin.to_string(), "--out", file.path()])
            .output()
            .unwrap()
    };
    let output = load("W9");
    assert!(output.status.success(), "{}", text(&output.stderr));
    let result = file.read();
    let (_, figures) = runs(&result)[0];
    assert!(value(figures, "round_trips_per_s") > 10.0);
    assert!(value(figures, "added_p50_us") < value(figures, "p50_us"));
    let output = load("W13");
    assert_eq!(output.status.code(), Some(2));
    assert!(text(&output.stderr).contains("has to be told when to send"));
}

#[test]
fn a_changed_byte_voids_every_workload_that_comes_by_it() {
    let proxy = proxy::start(Fault::Corrupt);
    let cases = [
        ("connect", "W1", 2, "15360"),
        ("forward", "W4", 2, "10240"),
        ("connect", "W5", 1, "1048576"),
        ("connect", "W9", 2, "1024"),
        ("connect", "W12", 2, "65536"),
        ("forward", "W12", 2, "65536"),
        ("connect", "ping", 1, "64"),
    ];
    for (mode, workload, connections, bytes) in cases {
        let file = ResultFile::new(&format!("corrupt-{mode}-{workload}"));
        let more = ["--mode", mode, "--bytes", bytes, "--out", file.path()];
        let output = run_through(proxy, workload, connections, &more);
        let error = text(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{workload}: {error}");
        assert!(error.contains("changed on its way"), "{workload}: {error}");
        assert!(!file.0.exists(), "a void run leaves no result");
    }
}

#[test]
fn lost_added_and_withheld_bytes_void_the_run() {
    let (changed, added) = (["changed on its way"].as_slice(), ["was added"].as_slice());
    // Whoever notices an end first: a reader sees it as such, a writer or a full socket as an error.
    let ended = ["ended early", "Broken pipe", "Connection reset"].as_slice();
    let refused = ["403 Forbidden"].as_slice();
    let faults = [
        (Fault::Lose, "W1", changed),
        (Fault::Lose, "W5", changed),
        (Fault::Double, "W9", added),
        (Fault::Double, "W5", changed),
        (Fault::End, "W1", ended),
        (Fault::End, "W5", ended),
        (Fault::End, "W9", ended),
        (Fault::Lose, "W13", changed),
        (Fault::Double, "W13", changed),
        (Fault::End, "W13", ended),
        (Fault::Refuse, "W1", refused),
        (Fault::Refuse, "W7", refused),
        (Fault::Refuse, "W8", refused),
    ];
    for (fault, workload, words) in faults {
        voids(fault, workload, &[], words);
    }
}

#[test]
fn lost_added_and_withheld_bytes_of_http_and_websocket_void_the_run() {
    let (changed, added) = (["changed on its way"].as_slice(), ["was added"].as_slice());
    let either = ["changed on its way", "was added"].as_slice(); // by how much of it comes at once
    let ended = ["ended early", "Broken pipe", "Connection reset"].as_slice();
    let (refused, unasked) = (["403 Forbidden"].as_slice(), ["no client sent"].as_slice());
    let accept = ["Sec-WebSocket-Accept"].as_slice();
    let faults = [
        // The fault lies in the first body or message; with the odd sizes it is their last byte.
        (Fault::Lose, "W4", "10240", changed),
        (Fault::Double, "W4", "10240", either),
        (Fault::Double, "W4", "4920", added),
        (Fault::End, "W4", "10240", ended),
        (Fault::Refuse, "W3", "2", refused),
        (Fault::Absolute, "W3", "2", unasked),
        (Fault::Lose, "W12", "65536", changed),
        (Fault::Double, "W12", "65536", either),
        (Fault::Double, "W12", "4868", added),
        (Fault::End, "W12", "65536", ended),
        (Fault::Refuse, "W12", "17", refused),
        (Fault::Lose, "W13", "1024", changed),
        (Fault::Refuse, "W14", "1", refused),
        (Fault::Accept, "W15", "4", accept),
        (Fault::Accept, "W16", "17", accept),
    ];
    for (fault, workload, bytes, words) in faults {
        let more = ["--mode", "forward", "--bytes", bytes];
        voids(fault, workload, &more, words);
    }
}

/// A run through a proxy with this fault fails with one of `words`.
fn voids(fault: Fault, workload: &str, more: &[&str], words: &[&str]) {
    let output = run_through(proxy::start(fault), workload, 1, more);
    let error = text(&output.stderr);
    assert_eq!(
        output.status.code(),
        Some(1),
        "{fault:?} {workload}: {error}"
    );
    assert!(
        words.iter().any(|words| error.contains(words)),
        "{fault:?} {workload}: {error}"
    );
}

#[test]
fn an_open_loop_asks_as_often_as_planned_and_is_void_if_it_cannot() {
    let proxy = proxy::start(Fault::None);
    let file = ResultFile::new("rate");
    let output = Command::new(PROGRAM)
        .args("run --workload W3 --mode forward --connections 4 --rate 20".split(' '))
        .args("--duration 1s --warm-up 20ms --load-cores none --core none".split(' '))
        .args(["--proxy", &proxy.to_string(), "--out", file.path()])
        .args(["--origin", &free_address().to_string()])
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", text(&output.stderr));
    let result = file.read();
    let (plan, figures) = runs(&result)[0];
    assert_eq!(plan["pace"]["fixed"]["rate"], 20);
    let (main, median) = main_figure(figures);
    assert_eq!(main, "p50_us");
    let rate = value(figures, "round_trips_per_s");
    assert!((19.8..21.1).contains(&rate), "{rate}"); // the last of 20 is planned for 0.95 s
    assert!(median < 20_000.0, "{median} us after the planned times");

    let more = ["--mode", "forward", "--rate", "50000", "--no-direct"];
    let output = run_through(proxy, "W3", 1, &more);
    let error = text(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{error}");
    assert!(error.contains("50000 were planned"), "{error}");
}

#[test]
fn a_pair_of_relays_is_compared_and_ended() {
    let (a, b, origin) = (free_address(), free_address(), free_address());
    let file = ResultFile::new("pair");
    let relay = |listen| format!("'{PROGRAM}' relay --listen {listen} --target {origin}");
    let output = Command::new(PROGRAM)
        .args("pair --workload W1 --connections 4 --pairs 3 --noise".split(' '))
        .args(["--a", &relay(a), "--b", &relay(b)])
        .args("--a-mode tcp --b-mode tcp --load-cores none --core none".split(' '))
        .args("--duration 100ms --warm-up 20ms".split(' '))
        .args(["--a-proxy", &a.to_string(), "--b-proxy", &b.to_string()])
        .args(["--origin", &origin.to_string(), "--out", file.path()])
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", text(&output.stderr));
    let result = file.read();
    assert_eq!(file.hgrm().len(), 2 * 2, "one for each side of each point");
    // A against B, and A against itself.
    for (point, others) in [(0, 1), (1, 2)] {
        let runs = result["points"][point]["runs"].as_array().unwrap();
        let mains = |contender: usize| {
            let runs = runs.iter().filter(move |run| run["contender"] == contender);
            runs.map(|run| main_figure(run["figures"].as_array().unwrap()))
        };
        assert_eq!((mains(0).count(), mains(others).count()), (3, 3));
        assert!(mains(0).all(|(name, _)| name == "cpu_us_per_connection"));
        let pairs = mains(0).zip(mains(others));
        let mut ratios: Vec<f64> = pairs.map(|((_, of_a), (_, of_b))| of_a / of_b).collect();
        ratios.sort_by(f64::total_cmp);
        assert!((0.1..10.0).contains(&ratios[1]), "{ratios:?}");
    }
    assert_eq!(
        text(&output.stdout)
            .matches("  pair 3: cpu_us_per_connection A ")
            .count(),
        2
    );
    for address in [a, b] {
        assert!(
            TcpStream::connect(address).is_err(),
            "the relay on {address} still runs"
        );
    }
}

#[test]
fn a_relay_moves_every_workload() {
    for (workload, connections) in [
        ("W1", 16),
        ("W3", 64),
        ("W5", 4),
        ("W6", 1),
        ("W7", 300),
        ("W8", 200),
        ("W9", 64),
        ("W12", 100),
        ("W13", 16),
        ("W14", 16),
        ("W15", 1),
        ("W16", 200),
    ] {
        let (proxy, origin) = (free_address(), free_address());
        let relay = format!("'{PROGRAM}' relay --listen {proxy} --target {origin}");
        let arguments = format!(
            "run --workload {workload} --connections {connections} --proxy {proxy} --mode tcp"
        );
        let origin = origin.to_string();
        let file = ResultFile::new(&format!("relay-{workload}"));
        let output = Command::new(PROGRAM)
            .args(arguments.split(' '))
            .args(
                "--duration 100ms --warm-up 20ms --load-cores none --core none --no-direct"
                    .split(' '),
            )
            .args(["--spawn", &relay, "--origin", &origin, "--out", file.path()])
            .output()
            .unwrap();
        assert!(
            output.status.success(),
            "{workload}: {}",
            text(&output.stderr)
        );
        if let "W8" | "W16" = workload {
            // Not its growth: PSS shrinks while other tests run the same program, whose text it then shares.
            let result = file.read();
            let kib = value(runs(&result)[0].1, "pss_total_per_tunnel");
            assert!((0.1..200.0).contains(&kib), "{kib} KiB");
        }
    }
}

/// A relay that is ended with the test.
struct Relay(Child);

impl Drop for Relay {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// The first connection that is accepted there.
fn await_listener(address: SocketAddr) -> TcpStream {
    let started = Instant::now();
    loop {
        match TcpStream::connect(address) {
            Ok(client) => return client,
            Err(error) => assert!(started.elapsed() < Duration::from_secs(5), "{error}"),
        }
    }
}

#[test]
fn the_relay_passes_fin_as_fin_and_reset_as_reset() {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let (address, target) = (free_address(), listener.local_addr().unwrap());
    let relay = Command::new(PROGRAM)
        .args(["relay", "--listen", &address.to_string()])
        .args(["--target", &target.to_string()])
        .stderr(Stdio::inherit())
        .spawn()
        .unwrap();
    let _relay = Relay(relay);
    let mut client = await_listener(address);
    let (mut origin, _) = listener.accept().unwrap();
    let patience = Some(Duration::from_secs(5));
    origin.set_read_timeout(patience).unwrap();
    client.set_read_timeout(patience).unwrap();
    client.write_all(b"question").unwrap();
    client.shutdown(Shutdown::Write).unwrap();
    let mut question = String::new();
    origin.read_to_string(&mut question).unwrap(); // up to the FIN
    assert_eq!(question, "question");
    origin.write_all(b"answer after the FIN").unwrap();
    drop(origin);
    let mut answer = String::new();
    client.read_to_string(&mut answer).unwrap();
    assert_eq!(answer, "answer after the FIN");

    let mut client = TcpStream::connect(address).unwrap();
    client.set_read_timeout(patience).unwrap();
    let (origin, _) = listener.accept().unwrap();
    socket2::SockRef::from(&origin)
        .set_linger(Some(Duration::ZERO))
        .unwrap();
    drop(origin);
    let error = client.read(&mut [0]).unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset);
}

#[test]
fn a_proxy_that_dies_voids_the_run() {
    let (proxy, origin) = (free_address(), free_address());
    let relay = format!("timeout 0.5 '{PROGRAM}' relay --listen {proxy} --target {origin}");
    let arguments = format!("run --workload W9 --connections 4 --proxy {proxy} --mode tcp");
    let output = Command::new(PROGRAM)
        .args(arguments.split(' '))
        .args("--duration 5s --load-cores none --core none".split(' '))
        .args(["--spawn", &relay, "--origin", &origin.to_string()])
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(
        text(&output.stderr).contains("is void"),
        "{}",
        text(&output.stderr)
    );
}

#[test]
fn what_is_not_there_is_named_with_the_mend() {
    let nobody = free_address();
    let error = text(&run_through(nobody, "W3", 1, &[]).stderr);
    assert!(
        error.contains(&format!("no proxy answers on {nobody}")),
        "{error}"
    );
    assert!(error.contains("give --spawn"), "{error}");
    let proxy = proxy::start(Fault::None);
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let taken = listener.local_addr().unwrap().to_string();
    let error = |more: &[&str]| {
        let arguments = format!("run --workload W3 --connections 1 --proxy {proxy}");
        let output = Command::new(PROGRAM)
            .args(arguments.split(' '))
            .args(more)
            .output()
            .unwrap();
        assert_eq!(output.status.code(), Some(1));
        text(&output.stderr)
    };
    let said = error(&["--load-cores", "none", "--origin", &taken]);
    assert!(
        said.contains(&format!("cannot listen on {taken}")),
        "{said}"
    );
    assert!(said.contains("give another --origin"), "{said}");
    let said = error(&["--load-cores", "9999"]);
    assert!(
        said.contains("core 9999: there are ") && said.contains("or none"),
        "{said}"
    );
}

#[test]
fn usage_mistakes_and_help_have_their_codes() {
    for (wrong, words) in [
        ("run", "--workload"),
        ("run --workload W99", "not a workload"),
        ("run --workload R1", "no routing rules"),
        ("run --workload M1", "instruction benches"),
        ("run --workload W2 --spawn ringway", "no parent proxies"),
        ("run --workload W3 --closed --rate 5", "excludes"),
        ("run --workload W3 --poisson", "--rate"),
        ("run --workload W15 --bytes 126", "125 B at most"),
        (
            "run --workload W9 --mode tcp --load-cores 0,1",
            "one load core",
        ),
        ("gate --candidate x", "--baseline or --reference"),
        ("run --workload W9 --mode forward", "no HTTP"),
        ("pair --workload W1 --a x --b y --b-mode forward", "no HTTP"),
        ("run --workload W5 --rate 5", "a rate could plan"),
        (
            "run --workload W3 --mode reverse",
            "give connect, forward or tcp",
        ),
        ("run --workload W1 --duration 3", "unit"),
        ("run --workload W1 --pid 1 --spawn x", "exclude"),
        ("measure", "see ringway-bench --help"),
        (
            "run --workload W1 --proxi x",
            "see ringway-bench run --help",
        ),
        (
            "run --workload W1 --proxy localhost:1",
            "an IP address and a port",
        ),
        (
            "run --workload W1 --out /nowhere/a.json",
            "make the folder /nowhere first",
        ),
        (
            "pair --workload W1 --a x --b y --out /tmp",
            "/tmp is a folder",
        ),
        ("compare --workloads W1,W99", "not a workload"),
        (
            "compare --peers nginz",
            "is no peer; there are haproxy, nginx,",
        ),
    ] {
        let output = Command::new(PROGRAM)
            .args(wrong.split(' '))
            .output()
            .unwrap();
        assert_eq!(output.status.code(), Some(2), "{wrong}");
        assert!(
            text(&output.stderr).contains(words),
            "{wrong}: {}",
            text(&output.stderr)
        );
    }
    let list = Command::new(PROGRAM).arg("list").output().unwrap();
    assert!(list.status.success());
    for workload in "W1 W2 W3 W4 W5 W6 W7 W8 W9 W12 W13 W14 W15 W16 ping R1 M1".split(' ') {
        assert!(text(&list.stdout).contains(&format!("{workload} ")));
    }
    let help = Command::new(PROGRAM)
        .args(["pair", "--help"])
        .output()
        .unwrap();
    assert!(help.status.success() && text(&help.stdout).contains("--a-mode"));
}
