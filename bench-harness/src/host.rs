//! Where a run took place: what a reader of its result needs to know before comparing it with another.

use std::collections::BTreeMap;
use std::fs;
use std::process::Command;
use std::time::{SystemTime, UNIX_EPOCH};

use nix::unistd::{SysconfVar, sysconf};

use crate::peer;
use crate::result::model::Host;

/// The settings of the kernel that change figures of proxies.
const SYSCTLS: &[&str] = &[
    "fs.pipe-max-size",
    "fs.pipe-user-pages-soft",
    "kernel.io_uring_disabled",
    "net.core.busy_poll",
    "net.core.busy_read",
    "net.core.default_qdisc",
    "net.core.rmem_max",
    "net.core.somaxconn",
    "net.core.wmem_max",
    "net.ipv4.ip_local_port_range",
    "net.ipv4.tcp_congestion_control",
    "net.ipv4.tcp_rmem",
    "net.ipv4.tcp_tw_reuse",
    "net.ipv4.tcp_wmem",
];

const UNKNOWN: &str = "unknown";

/// The facts, for the result file.
pub(crate) fn facts() -> Host {
    let cpuinfo = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    let sysctls = SYSCTLS.iter().filter_map(|&name| {
        let value = line(&format!("/proc/sys/{}", name.replace('.', "/")))?;
        Some((name.to_owned(), value))
    });
    Host {
        unix_time_s: now.map_or(0, |time| time.as_secs()),
        commit: first_line(
            "git",
            &[
                "describe",
                "--always",
                "--dirty",
                "--abbrev=40",
                "--exclude=*",
            ],
        ),
        rustc: first_line("rustc", &["--version"]),
        kernel: line("/proc/sys/kernel/osrelease").unwrap_or_else(|| UNKNOWN.to_owned()),
        architecture: std::env::consts::ARCH.to_owned(),
        cpu: cpu_model(&cpuinfo).unwrap_or_else(|| UNKNOWN.to_owned()),
        cpus: std::thread::available_parallelism().map_or(0, usize::from),
        mitigations: mitigations(),
        governor: line("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor"),
        page_size: sysconf(SysconfVar::PAGE_SIZE).ok().flatten().unwrap_or(0) as u64,
        sysctls: sysctls.collect(),
        emulated: is_emulated(std::env::consts::ARCH, &cpuinfo),
        command_line: std::env::args().collect(),
    }
}

/// What Ringway says of itself: its version, and what it makes of this kernel.
#[derive(Debug, Default)]
pub(crate) struct OfRingway {
    pub(crate) version: Option<String>,
    pub(crate) capabilities: Option<serde_json::Value>,
}

impl OfRingway {
    /// Of the program that a shell command starts.
    pub(crate) fn started_by(command: &str) -> Self {
        let Some(program) = peer::program(command) else {
            return Self::default();
        };
        let check = Command::new(program).args(["check", "--json"]).output();
        Self {
            version: first_line(program, &["--version"]),
            // Its exit code says whether it can start; what it says of the kernel is told in any case.
            capabilities: check
                .ok()
                .and_then(|check| serde_json::from_slice(&check.stdout).ok()),
        }
    }
}

fn first_line(program: &str, arguments: &[&str]) -> Option<String> {
    let output = Command::new(program).args(arguments).output().ok()?;
    let text = String::from_utf8_lossy(&output.stdout);
    let line = text.lines().next()?.trim().to_owned();
    (output.status.success() && !line.is_empty()).then_some(line)
}

fn cpu_model(cpuinfo: &str) -> Option<String> {
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

/// Whether the CPU is a program. A virtual machine on a real CPU of its own kind is none.
fn is_emulated(architecture: &str, cpuinfo: &str) -> bool {
    // By its name; as an arm64 of no maker; as an arm64 on another machine's CPU.
    let signs: &[&str] = match architecture {
        "aarch64" => &["CPU implementer\t: 0x00", "GenuineIntel", "AuthenticAMD"],
        _ => &["QEMU TCG", "QEMU Virtual CPU"],
    };
    signs.iter().any(|sign| cpuinfo.contains(sign))
}

fn mitigations() -> BTreeMap<String, String> {
    let folder = "/sys/devices/system/cpu/vulnerabilities";
    let files = fs::read_dir(folder).into_iter().flatten().flatten();
    files
        .filter_map(|file| {
            let name = file.file_name().to_string_lossy().into_owned();
            let state = fs::read_to_string(file.path()).ok()?;
            Some((name, state.trim().to_owned()))
        })
        .collect()
}

fn line(path: &str) -> Option<String> {
    let text = fs::read_to_string(path).ok()?;
    Some(text.split_whitespace().collect::<Vec<_>>().join(" "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_emulated_cpu_is_told_from_a_virtual_one() {
        let amd = "vendor_id\t: AuthenticAMD\nmodel name\t: AMD EPYC\nflags\t\t: fpu hypervisor\n";
        assert!(is_emulated(
            "x86_64",
            "model name\t: QEMU TCG CPU version 2.5+\n"
        ));
        assert!(!is_emulated("x86_64", amd));
        assert!(is_emulated("aarch64", amd));
        assert!(is_emulated(
            "aarch64",
            "CPU implementer\t: 0x00\nCPU part\t: 0x051\n"
        ));
        assert!(!is_emulated(
            "aarch64",
            "CPU implementer\t: 0x41\nCPU part\t: 0xd0c\n"
        ));
    }

    #[test]
    fn this_host_is_known_by_its_kernel_its_cpu_and_its_settings() {
        let host = facts();
        assert_ne!(host.kernel, UNKNOWN);
        assert_ne!(host.cpu, UNKNOWN);
        assert!(host.cpus > 0 && host.page_size >= 4096 && host.unix_time_s > 0);
        assert!(host.sysctls.contains_key("net.core.somaxconn"), "{host:?}");
    }
}
