//! A network of the test's own: a new network namespace with nothing but a loopback device, in which addresses that
//! are not loopback, routes that refuse and routes that swallow can be had without touching any real network.

use std::env;
use std::io::{self, Write};
use std::process::{Command, Stdio};

/// Set for a test that runs inside its own network.
const INSIDE: &str = "RINGWAY_TEST_INSIDE_OWN_NETWORK";

/// All of 198.51.100.0/24 and 2001:db8::1 is this host; 203.0.113.0/25 is refused by the route; what goes to
/// 203.0.113.128/25 is never answered. Anything else has no route. (The addresses are those kept for documentation.)
const SETUP: &str = "ip link set lo up && ip address add 198.51.100.1/24 dev lo \
    && ip address add 2001:db8::1/128 dev lo && ip address add 64:ff9b::c633:6402/128 dev lo \
    && ip route add unreachable 203.0.113.0/25 && ip route add 203.0.113.128/25 dev lo && exec \"$@\"";

/// Runs `body` inside a network of its own, by running this test program again, there, for the test `name` alone.
#[track_caller]
pub(crate) fn in_own_network(name: &str, body: fn()) {
    if env::var_os(INSIDE).is_some() {
        return body();
    }
    let ways: [&[&str]; 2] = [&["--net"], &["--user", "--map-root-user", "--net"]];
    let Some(way) = ways.into_iter().find(|way| possible(way)) else {
        return skip(
            name,
            "no network namespace may be made here, or the program `ip` is missing",
        );
    };
    let output = Command::new("unshare")
        .args(way)
        .args(["sh", "-c", SETUP, "sh"])
        .arg(env::current_exe().expect("the test program has a path"))
        .args(["--exact", name, "--nocapture", "--test-threads=1"])
        .env(INSIDE, "1")
        .output()
        .expect("unshare was there a moment ago");
    let (out, err) = (
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr),
    );
    assert!(
        output.status.success(),
        "inside its own network:\n{out}\n{err}"
    );
    assert!(
        out.contains("1 passed"),
        "`{name}` is not the full name of the test:\n{out}\n{err}"
    );
}

fn possible(way: &[&str]) -> bool {
    let mut command = Command::new("unshare");
    command.args(way).args(["sh", "-c", SETUP, "sh", "true"]);
    command
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|status| status.success())
}

/// Says why a test was not run, past the capture of the test runner.
pub(crate) fn skip(name: &str, why: &str) {
    let _ = writeln!(io::stderr(), "SKIPPED {name}: {why}");
}
