//! Where a run took place: what a reader of its result needs to know before comparing it with another.

use std::fs;
use std::process::Command;
use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::{Map, Value, json};

/// The facts, for the result file.
pub(crate) fn facts() -> Value {
    json!({
        "commit": commit(),
        "kernel": line("/proc/sys/kernel/osrelease"),
        "architecture": std::env::consts::ARCH,
        "cpu": cpu_model(),
        "cpus": std::thread::available_parallelism().map(usize::from).ok(),
        "vulnerabilities": vulnerabilities(),
        "congestion_control": line("/proc/sys/net/ipv4/tcp_congestion_control"),
        "local_port_range": line("/proc/sys/net/ipv4/ip_local_port_range"),
        "tcp_tw_reuse": line("/proc/sys/net/ipv4/tcp_tw_reuse"),
        "somaxconn": line("/proc/sys/net/core/somaxconn"),
        "pipe_user_pages_soft": line("/proc/sys/fs/pipe-user-pages-soft"),
        "unix_time_s": SystemTime::now().duration_since(UNIX_EPOCH).map(|time| time.as_secs()).ok(),
        "command_line": std::env::args().collect::<Vec<_>>(),
    })
}

/// The commit of the working directory, `-dirty` where files differ from it.
fn commit() -> Option<String> {
    let described = Command::new("git")
        .args([
            "describe",
            "--always",
            "--dirty",
            "--abbrev=40",
            "--exclude=*",
        ])
        .output()
        .ok()
        .filter(|output| output.status.success())?;
    Some(String::from_utf8_lossy(&described.stdout).trim().to_owned())
}

fn cpu_model() -> Option<String> {
    let cpuinfo = fs::read_to_string("/proc/cpuinfo").ok()?;
    let value = |key: &str| {
        let line = cpuinfo.lines().find(|line| line.starts_with(key))?;
        Some(line.split_once(':')?.1.trim().to_owned())
    };
    // aarch64 has numbers instead of a name.
    value("model name").or_else(|| {
        let (implementer, part) = (value("CPU implementer")?, value("CPU part")?);
        Some(format!("implementer {implementer}, part {part}"))
    })
}

fn vulnerabilities() -> Map<String, Value> {
    let folder = "/sys/devices/system/cpu/vulnerabilities";
    let files = fs::read_dir(folder).into_iter().flatten().flatten();
    files
        .filter_map(|file| {
            let name = file.file_name().to_string_lossy().into_owned();
            let state = fs::read_to_string(file.path()).ok()?;
            Some((name, Value::from(state.trim())))
        })
        .collect()
}

fn line(path: &str) -> Option<String> {
    let text = fs::read_to_string(path).ok()?;
    Some(text.split_whitespace().collect::<Vec<_>>().join(" "))
}
