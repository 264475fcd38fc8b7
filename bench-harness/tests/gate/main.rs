//! The command `gate` as a whole. What stands for builds of Ringway are scripts in front of the reference relay.

use std::fs::{self, Permissions};
use std::net::{Ipv4Addr, TcpListener};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

const PROGRAM: &str = env!("CARGO_BIN_EXE_ringway-bench");

/// A folder of a test, gone when the test is over.
struct Folder(PathBuf);

impl Folder {
    fn new() -> Self {
        static MADE: AtomicU32 = AtomicU32::new(0);
        let number = MADE.fetch_add(1, Ordering::Relaxed);
        let name = format!("ringway-bench-gate-test-{}-{number}", std::process::id());
        let folder = std::env::temp_dir().join(name);
        fs::create_dir(&folder).unwrap();
        Self(folder)
    }

    fn script(&self, name: &str, text: &str) -> PathBuf {
        let path = self.0.join(name);
        fs::write(&path, format!("#!/bin/sh\n{text}\n")).unwrap();
        fs::set_permissions(&path, Permissions::from_mode(0o755)).unwrap();
        path
    }

    /// Takes `serve --listen ADDRESS`, as Ringway does.
    fn build(&self) -> PathBuf {
        let relay = format!("shift; exec '{PROGRAM}' relay --kind epoll \"$@\"");
        self.script("build", &relay)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// What a gate said to stdout and to stderr, and its exit code.
struct Said(String, String, Option<i32>);

/// A gate with short times on one core.
fn command(candidate: &Path) -> Command {
    let core = core_affinity::get_core_ids().unwrap()[0].id.to_string();
    let mut command = Command::new(PROGRAM);
    command
        .args("gate --workloads W3 --rounds 3 --duration 30ms --warm-up 5ms --bound 100".split(' '))
        .args(["--load-cores", "none", "--core", &core])
        .arg("--candidate")
        .arg(candidate);
    command
}

/// Runs it; `path` is where it finds other programs.
fn gate(candidate: &Path, path: Option<&Path>, more: &[&str]) -> Said {
    let mut command = command(candidate);
    command.args(more);
    if let Some(path) = path {
        command.env("PATH", path);
    }
    let output = command.output().unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    Said(
        text(&output.stdout),
        text(&output.stderr),
        output.status.code(),
    )
}

#[test]
fn counts_that_were_written_down_hold_and_a_rise_is_red() {
    let folder = Folder::new();
    let (build, counts) = (folder.build(), folder.0.join("counts.txt"));
    let against = ["--reference", "epoll", "--counts", counts.to_str().unwrap()];
    let Said(out, err, code) = gate(&build, None, &[&against[..], &["--update-counts"]].concat());
    if Command::new("valgrind").arg("--version").output().is_err() {
        assert!(err.contains("is as it was"), "{out}{err}");
        return;
    }
    assert_eq!(code, Some(0), "{out}{err}");
    let written = fs::read_to_string(&counts).unwrap();
    let lesser = written.lines().map(|line| {
        let mut words = line.split_whitespace();
        match (words.next(), words.nth(1)) {
            (Some("W3"), Some("instructions")) => "W3 x1 instructions 9.5\n".to_owned(),
            _ => format!("{line}\n"),
        }
    });
    fs::write(&counts, lesser.collect::<String>()).unwrap();
    let Said(out, err, code) = gate(&build, None, &against);
    assert_eq!(code, Some(1), "{out}{err}");
    assert!(out.contains("FAILED: W3 x1 instructions"), "{out}");
    assert!(!out.contains("FAILED: W3 x1 system_calls"), "{out}");
    assert!(err.contains("the gate is red: 1 of"), "{err}");
    for title in ["P50", "P95", "P99"] {
        assert!(out.contains(title), "{out}");
    }
}

#[test]
fn without_valgrind_time_is_judged_and_the_last_line_says_what_is_missing() {
    let folder = Folder::new();
    let build = folder.build();
    let only = folder.0.join("path");
    fs::create_dir(&only).unwrap();
    symlink("/bin/sh", only.join("sh")).unwrap();
    let counts = folder.0.join("counts.txt");
    fs::write(&counts, "W3 x1 instructions 9.5\n").unwrap();
    let stored = ["--counts", counts.to_str().unwrap()];
    let baseline = ["--baseline", build.to_str().unwrap()];
    let Said(out, err, code) = gate(&build, Some(&only), &[baseline, stored].concat());
    assert_eq!(code, Some(0), "{out}{err}");
    let last = out.lines().last().unwrap();
    assert!(
        last.starts_with("gate: ") && last.ends_with("; NOT COUNTED"),
        "{out}"
    );
    assert!(out.contains("apt-get install valgrind"), "{out}");
    assert!(out.contains("p50_us"), "{out}");
    let update = [&baseline[..], &stored, &["--update-counts"]].concat();
    let Said(_, err, code) = gate(&build, Some(&only), &update);
    assert_eq!(code, Some(1));
    assert!(err.contains("is as it was: there is no valgrind"), "{err}");
    assert_eq!(
        fs::read_to_string(&counts).unwrap(),
        "W3 x1 instructions 9.5\n"
    );
}

#[test]
fn what_cannot_be_measured_is_named_with_its_mend() {
    let folder = Folder::new();
    let build = folder.build();
    let other_flags = folder.script("other-flags", "echo \"unknown command: $1\" >&2; exit 2");
    let plain = folder.0.join("plain");
    fs::write(&plain, "").unwrap();
    let missing = folder.0.join("missing");
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let taken = listener.local_addr().unwrap().to_string();
    let name = |path: &Path| path.to_str().unwrap().to_owned();
    for (option, value, words) in [
        (
            "--baseline",
            name(&missing),
            ["No such file", "cargo build --release"],
        ),
        ("--baseline", name(&plain), ["not executable", "chmod +x"]),
        (
            "--baseline",
            name(&folder.0),
            ["is a folder", "give the program"],
        ),
        (
            "--baseline",
            name(&other_flags),
            ["unknown command: serve", "needs a script"],
        ),
        (
            "--counts",
            name(&missing),
            ["cannot read", "--update-counts"],
        ),
    ] {
        let mut more = vec![option, &value];
        if option == "--counts" {
            more.extend(["--reference", "epoll"]);
        }
        let Said(out, err, code) = gate(&build, None, &more);
        assert_eq!(code, Some(1), "{option} {value}: {out}");
        assert!(words.iter().all(|word| err.contains(word)), "{err}");
        assert!(out.is_empty(), "{out}");
    }
    for option in ["--proxy", "--origin"] {
        let Said(out, err, code) = gate(&build, None, &["--reference", "epoll", option, &taken]);
        assert_eq!(code, Some(1), "{out}");
        let named = format!("{option} {taken} cannot be listened on");
        assert!(err.contains(&named) && err.contains("a free port"), "{err}");
    }
}

#[test]
fn a_gate_that_is_told_to_end_leaves_nothing_that_hears_no_signal() {
    let folder = Folder::new();
    let (build, said) = (folder.build(), folder.0.join("pid"));
    let deaf = format!(
        "trap '' TERM INT; echo $$ >'{}'; exec '{}' \"$@\"",
        said.display(),
        build.display()
    );
    let mut gate = command(&folder.script("deaf", &deaf))
        .args(["--reference", "epoll"])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let started = Instant::now();
    let wait_until = |what: &str, is_so: &dyn Fn() -> bool| {
        while !is_so() {
            assert!(started.elapsed() < Duration::from_secs(20), "{what}");
            std::thread::yield_now();
        }
    };
    let pid = || {
        fs::read_to_string(&said)
            .unwrap_or_default()
            .trim()
            .to_owned()
    };
    wait_until("no candidate was started", &|| !pid().is_empty());
    let told = Command::new("kill").arg(gate.id().to_string()).status();
    assert!(told.unwrap().success());
    assert_eq!(gate.wait().unwrap().code(), Some(128 + 15));
    let left = Path::new("/proc").join(pid());
    wait_until("the candidate is left", &|| !left.exists());
}
