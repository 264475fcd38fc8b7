//! The whole program against proxies that are known: a right one gives sane figures, a wrong one never gives any.

mod proxy;

use std::io::{Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
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
        .args("--duration 120ms --warm-up 30ms --load-core none --core none".split(' '))
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

    fn read(&self) -> Value {
        serde_json::from_str(&std::fs::read_to_string(&self.0).unwrap()).unwrap()
    }
}

impl Drop for ResultFile {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[test]
fn every_workload_gives_sane_figures() {
    let proxy = proxy::start(Fault::None);
    let cases = [
        ("connect", "W1", 8, "cpu_us_per_connection", 5.0..50_000.0),
        ("connect", "W3", 8, "cpu_us_per_round_trip", 1.0..10_000.0),
        ("forward", "W3", 8, "cpu_us_per_round_trip", 1.0..10_000.0),
        (
            "forward",
            "W4",
            3,
            "cpu_us_per_round_trip",
            1.0..1_000_000.0,
        ),
        ("connect", "W5", 2, "duplex_cpu_s_per_gb", 0.01..100.0),
        // The memory is that of this whole test program, whose other tests come and go.
        ("connect", "W8", 40, "pss_growth_per_tunnel", -1e6..1e6),
        ("connect", "W9", 8, "cpu_us_per_round_trip", 1.0..10_000.0),
        (
            "connect",
            "W12",
            20,
            "cpu_us_per_round_trip",
            1.0..100_000.0,
        ),
        ("forward", "W12", 3, "cpu_us_per_round_trip", 1.0..100_000.0),
        ("forward", "W16", 40, "pss_growth_per_tunnel", -1e6..1e6),
        ("connect", "ping", 1, "p50_us", 1.0..100_000.0),
    ];
    for (mode, workload, connections, main, range) in cases {
        let file = ResultFile::new(&format!("{mode}-{workload}"));
        let more = ["--mode", mode, "--out", file.path()];
        let output = run_through(proxy, workload, connections, &more);
        assert!(
            output.status.success(),
            "{workload}: {}",
            text(&output.stderr)
        );
        let result = file.read();
        assert_eq!(result["schema_version"], 1);
        let bytes = match workload {
            "W4" => vec![1_024, 10_240, 102_400, 10_485_760],
            "W12" => vec![17, 125, 1_024, 4_096, 65_536],
            _ => vec![0], // one size, whichever
        };
        let cases = result["cases"].as_array().unwrap();
        assert_eq!(cases.len(), bytes.len(), "{workload}");
        for (case, bytes) in cases.iter().zip(bytes) {
            assert_eq!(case["connections"], connections);
            assert!(bytes == 0 || case["bytes"] == bytes, "{case}");
        }
        let figures = result["cases"][0]["figures"].as_array().unwrap();
        let marked: Vec<_> = figures
            .iter()
            .filter(|figure| figure["main"] == true)
            .collect();
        assert_eq!(marked.len(), 1, "{workload}: {figures:?}");
        assert_eq!(marked[0]["name"], main);
        let value = marked[0]["value"].as_f64().unwrap();
        assert!(range.contains(&value), "{workload}: {main} {value}");
        for figure in figures {
            let value = figure["value"].as_f64().unwrap();
            let name = figure["name"].as_str().unwrap();
            assert!(value >= 0.0 || name.contains("pss"), "{workload}: {figure}");
            assert!(
                text(&output.stdout).contains(name),
                "{name} is in the table"
            );
        }
    }
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
        (Fault::Refuse, "W1", refused),
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
        .args("--duration 1s --warm-up 20ms --load-core none --core none".split(' '))
        .args(["--proxy", &proxy.to_string(), "--out", file.path()])
        .args(["--origin", &free_address().to_string()])
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", text(&output.stderr));
    let result = file.read();
    assert_eq!(result["setting"]["rate"], 20);
    let figures = result["cases"][0]["figures"].as_array().unwrap();
    let named = |name: &str| {
        figures
            .iter()
            .find(|figure| figure["name"] == name)
            .unwrap()
    };
    assert_eq!(named("p50_us")["main"], true);
    let rate = named("round_trips_per_s")["value"].as_f64().unwrap();
    assert!((19.8..21.1).contains(&rate), "{rate}"); // the last of 20 is planned for 0.95 s
    let median = named("p50_us")["value"].as_f64().unwrap();
    assert!(median < 20_000.0, "{median} us after the planned times");

    let more = ["--mode", "forward", "--rate", "50000"];
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
        .args("--a-mode tcp --b-mode tcp --load-core none --core none".split(' '))
        .args("--duration 100ms --warm-up 20ms".split(' '))
        .args(["--a-proxy", &a.to_string(), "--b-proxy", &b.to_string()])
        .args(["--origin", &origin.to_string(), "--out", file.path()])
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", text(&output.stderr));
    let result = file.read();
    for kind in ["cases", "noise"] {
        let case = &result[kind][0];
        assert_eq!(case["pairs"].as_array().unwrap().len(), 3);
        let main = &case["figures"][0];
        assert_eq!(
            (&main["name"], &main["main"]),
            (&"cpu_us_per_connection".into(), &true.into())
        );
        let ratio = main["ratio"]["median"].as_f64().unwrap();
        assert!((0.1..10.0).contains(&ratio), "{ratio}");
    }
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
        ("W8", 200),
        ("W9", 64),
        ("W12", 100),
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
            .args("--duration 100ms --warm-up 20ms --load-core none --core none".split(' '))
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
            let total = &file.read()["cases"][0]["figures"][1];
            assert_eq!(total["name"], "pss_total_per_tunnel");
            let kib = total["value"].as_f64().unwrap();
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
    let started = Instant::now();
    let mut client = loop {
        match TcpStream::connect(address) {
            Ok(client) => break client,
            Err(error) => assert!(started.elapsed() < Duration::from_secs(5), "{error}"),
        }
    };
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
        .args("--duration 5s --load-core none --core none".split(' '))
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
fn usage_mistakes_and_help_have_their_codes() {
    for (wrong, words) in [
        ("run", "--workload"),
        ("run --workload W2", "not a workload"),
        ("run --workload W9 --mode forward", "no HTTP"),
        ("pair --workload W1 --a x --b y --b-mode forward", "no HTTP"),
        ("run --workload W5 --rate 5", "no --rate"),
        (
            "run --workload W3 --mode reverse",
            "give connect, forward or tcp",
        ),
        ("run --workload W1 --duration 3", "unit"),
        ("run --workload W1 --pid 1 --spawn x", "exclude"),
        ("measure", "measure"),
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
    for workload in ["W1", "W3", "W4", "W5", "W8", "W9", "W12", "W16", "ping"] {
        assert!(text(&list.stdout).contains(workload));
    }
    let help = Command::new(PROGRAM)
        .args(["pair", "--help"])
        .output()
        .unwrap();
    assert!(help.status.success() && text(&help.stdout).contains("--a-mode"));
}
