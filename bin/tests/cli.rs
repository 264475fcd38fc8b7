//! The command line, through the real program: help, usage errors, exit codes, the capability table, signals.

use std::ffi::OsStr;
use std::fmt::Write as _;
use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::os::unix::ffi::OsStrExt;
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::thread;
use std::time::{Duration, Instant};

use ringway_engine::limits;
use ringway_engine::server::allowed_cores;
use seccompiler::{BpfProgram, SeccompAction, SeccompFilter};
use serde_json::Value;

/// Every wait ends here at the latest, in failure.
const DEADLINE: Duration = Duration::from_secs(30);

const USAGE: Option<i32> = Some(2);
const UNSUPPORTED: Option<i32> = Some(3);
const ADDRESS: Option<i32> = Some(4);

/// `io_uring_setup`, `io_uring_enter`, `io_uring_register`: the same numbers on every architecture.
const IO_URING_CALLS: [i64; 3] = [425, 426, 427];
const EPERM: u32 = 1;
const ENOSYS: u32 = 38;

// --- the program, run to its end ---------------------------------------------------------------------------------

const RINGWAY: &str = env!("CARGO_BIN_EXE_ringway");

/// `program`, with no feature forced off and nothing to read.
fn command(program: &str) -> Command {
    let mut command = Command::new(program);
    command.env_remove("RINGWAY_FORCE_OFF").stdin(Stdio::null());
    command
}

/// `program`, ended at the deadline: a wrong command line that were to be taken for a right one would serve for ever.
fn bounded_by_deadline(program: &str) -> Command {
    let mut command = command("timeout");
    command.args(["--signal=KILL", &DEADLINE.as_secs().to_string(), program]);
    command
}

/// A command line of the program that ends by itself.
fn ringway<S: AsRef<OsStr>>(words: impl IntoIterator<Item = S>) -> Command {
    let mut command = bounded_by_deadline(RINGWAY);
    command.args(words);
    command
}

fn output(words: &str) -> Output {
    ringway(words.split_whitespace())
        .output()
        .expect("ringway runs")
}

fn stdout(output: &Output) -> &str {
    str::from_utf8(&output.stdout).expect("standard output is UTF-8")
}

fn stderr(output: &Output) -> &str {
    str::from_utf8(&output.stderr).expect("standard error is UTF-8")
}

/// It ended with `code`, wrote nothing to standard output, and its message has every one of `parts`.
#[track_caller]
fn assert_fails(output: &Output, code: Option<i32>, parts: &[&str]) {
    let message = stderr(output);
    assert_eq!(output.status.code(), code, "{message}");
    assert_eq!(stdout(output), "");
    assert_names(message, parts);
}

#[track_caller]
fn assert_names(text: &str, parts: &[&str]) {
    for part in parts {
        assert!(text.contains(part), "'{part}' is not in: {text}");
    }
}

// --- the program, running ----------------------------------------------------------------------------------------

/// A running `ringway serve` and the lines of its log.
struct Serving {
    child: Child,
    log: Option<Receiver<String>>,
    seen: String,
}

impl Serving {
    fn start(flags: &str) -> Self {
        Self::spawn(command(RINGWAY).arg("serve").args(flags.split_whitespace()))
    }

    fn spawn(command: &mut Command) -> Self {
        let mut child = command
            .stderr(Stdio::piped())
            .spawn()
            .expect("ringway starts");
        let log = child.stderr.take().expect("standard error is a pipe");
        let (sender, receiver) = mpsc::channel();
        thread::spawn(move || {
            for line in BufReader::new(log).lines().map_while(Result::ok) {
                if sender.send(line).is_err() {
                    break; // and the pipe closes, as it does when `| head` has seen enough
                }
            }
        });
        Self {
            child,
            log: Some(receiver),
            seen: String::new(),
        }
    }

    /// The next line of the log that has every one of `parts`.
    #[track_caller]
    fn line(&mut self, parts: &[&str]) -> String {
        let end = Instant::now() + DEADLINE;
        let log = self.log.as_ref().expect("the log is open");
        loop {
            match log.recv_timeout(end.saturating_duration_since(Instant::now())) {
                Ok(line) => {
                    let _ = writeln!(self.seen, "{line}");
                    if parts.iter().all(|part| line.contains(part)) {
                        return line;
                    }
                }
                Err(error) => panic!("no line with {parts:?} ({error}) in:\n{}", self.seen),
            }
        }
    }

    /// The address of the next `listening` line.
    #[track_caller]
    fn address(&mut self) -> SocketAddr {
        let line = self.line(&["listening address="]);
        let (_, address) = line
            .split_once("address=")
            .expect("the line has an address");
        address.trim().parse().expect("the address is one")
    }

    fn signal(&self, name: &str) {
        let command = format!("kill -{name} {}", self.child.id());
        assert!(
            Command::new("sh")
                .args(["-c", &command])
                .status()
                .expect("sh runs")
                .success()
        );
    }

    /// Waits for the end of the log, which is the end of the program.
    #[track_caller]
    fn end(mut self) -> ExitStatus {
        let end = Instant::now() + DEADLINE;
        if let Some(log) = self.log.take() {
            loop {
                match log.recv_timeout(end.saturating_duration_since(Instant::now())) {
                    Ok(line) => self.seen.extend([&line, "\n"]),
                    Err(RecvTimeoutError::Disconnected) => break,
                    Err(RecvTimeoutError::Timeout) => panic!("it runs on after:\n{}", self.seen),
                }
            }
        }
        loop {
            if let Some(status) = self.child.try_wait().expect("it can be waited for") {
                return status;
            }
            assert!(Instant::now() < end, "it runs on after:\n{}", self.seen);
            thread::sleep(Duration::from_millis(1)); // between two looks
        }
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A tunnel through the proxy at `address` to an origin here, both ends in hand.
fn tunnel(address: SocketAddr) -> (TcpStream, TcpStream) {
    let origin = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("an origin listens");
    let target = origin.local_addr().expect("the origin has an address");
    let mut client = TcpStream::connect(address).expect("the proxy accepts");
    client
        .set_read_timeout(Some(DEADLINE))
        .expect("a read timeout is set");
    write!(
        client,
        "CONNECT {target} HTTP/1.1\r\nHost: {target}\r\n\r\n"
    )
    .expect("the head is sent");
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        client.read_exact(&mut byte).expect("the proxy answers");
        head.extend(byte);
    }
    assert!(
        head.starts_with(b"HTTP/1.1 200 "),
        "{}",
        String::from_utf8_lossy(&head)
    );
    let (upstream, _) = origin.accept().expect("the proxy has dialled the origin");
    upstream
        .set_read_timeout(Some(DEADLINE))
        .expect("a read timeout is set");
    (client, upstream)
}

fn assert_passes(from: &mut TcpStream, to: &mut TcpStream) {
    let mut received = [0; 4];
    from.write_all(b"ping").expect("bytes are sent");
    to.read_exact(&mut received).expect("bytes arrive");
    assert_eq!(&received, b"ping");
}

// --- help and version --------------------------------------------------------------------------------------------

/// Every flag of `ringway serve` and its default, from the engine where the engine decides.
fn defaults() -> String {
    use limits::*;
    let seconds = |duration: Duration| duration.as_secs();
    assert_eq!(
        (
            seconds(IDLE_TIMEOUT_DEFAULT) % 60,
            BUFFER_BYTES_DEFAULT % 1024
        ),
        (0, 0)
    );
    format!(
        "--listen 127.0.0.1:{LISTEN_PORT_DEFAULT}
         --cores all
         --max-connections what the limit of open files allows
         --connect-timeout {}s
         --head-timeout {}s
         --idle-timeout {}m
         --half-close-timeout {}s
         --keep-alive-timeout {}s
         --websocket-idle-timeout {}h
         --websocket-inspect pass bytes
         --forwarded off
         --drain-timeout {}s
         --zero-copy auto
         --congestion-control the kernel's, but reno over loopback if that is bbr
         --buffers {BUFFERS_DEFAULT}
         --buffer-size {}k
         --ring-entries {RING_ENTRIES_DEFAULT}
         --busy-poll off
         --resolver those of /etc/resolv.conf
         --open-proxy refuse to
         --log info",
        seconds(CONNECT_TIMEOUT_DEFAULT),
        seconds(HEAD_TIMEOUT_DEFAULT),
        seconds(IDLE_TIMEOUT_DEFAULT) / 60,
        seconds(HALF_CLOSE_TIMEOUT_DEFAULT),
        seconds(KEEP_ALIVE_TIMEOUT_DEFAULT),
        seconds(WEBSOCKET_IDLE_TIMEOUT_DEFAULT) / 3600,
        seconds(DRAIN_TIMEOUT_DEFAULT),
        BUFFER_BYTES_DEFAULT / 1024,
    )
}

/// The help that `words` print, in one line.
fn help(words: &str) -> String {
    let help = output(words);
    assert_eq!(
        (help.status.code(), stderr(&help)),
        (Some(0), ""),
        "{words}"
    );
    stdout(&help)
        .split_whitespace()
        .collect::<Vec<_>>()
        .join(" ")
}

#[test]
fn help_of_serve_names_every_flag_with_its_default_and_has_examples() {
    let bounds = [
        format!("up to {} ", limits::BUFFERS_MAX),
        format!(
            "{} to {}m ",
            limits::BUFFER_BYTES_MIN,
            limits::BUFFER_BYTES_MAX >> 20
        ),
        format!(
            "from {} to {} ",
            limits::RING_ENTRIES_MIN,
            limits::RING_ENTRIES_MAX
        ),
    ];
    for words in ["serve --help", "serve -h", "serve help", "help serve"] {
        let help = help(words);
        let (usage, options) = help.split_once(" Options:").expect("options");
        let flags = usage.matches("[--").count();
        assert_eq!(flags, defaults().lines().count(), "{usage}");
        for (flag, default) in defaults()
            .lines()
            .filter_map(|line| line.trim().split_once(' '))
        {
            assert_names(usage, &[&format!("[{flag}")]);
            let (_, described) = options.split_once(&format!(" {flag} ")).expect(flag);
            let (described, _) = described.split_once(" -").unwrap_or((described, ""));
            assert!(
                described.ends_with(&format!("[default: {default}]")),
                "{flag}: {described}"
            );
        }
        assert_names(options, &bounds.each_ref().map(String::as_str));
        assert_names(
            &help,
            &[
                "Examples: ringway serve",
                "curl -x http://127.0.0.1:3128",
                "SIGTERM",
            ],
        );
    }
}

#[test]
fn help_of_check_and_of_the_program_have_examples() {
    for words in ["check --help", "check -h", "check help", "help check"] {
        let parts = [
            "ringway check [--json]",
            " --json print",
            "[default: a table]",
            "Examples: ringway check",
        ];
        assert_names(&help(words), &parts);
    }
    for words in ["--help", "-h", "help"] {
        assert_names(
            &help(words),
            &[
                "Commands: serve ",
                " check ",
                "--version",
                "Examples: ringway serve",
            ],
        );
    }
}

#[test]
fn the_readme_has_every_flag_with_its_default() {
    let readme = include_str!("../../README.md");
    for (flag, default) in defaults()
        .lines()
        .filter_map(|line| line.trim().split_once(' '))
    {
        let row = readme
            .lines()
            .find(|line| line.starts_with(&format!("| `{flag}")))
            .expect(flag);
        let column = row.split(" | ").nth(1).expect(flag).replace('`', "");
        let default = if flag == "--open-proxy" {
            "off"
        } else {
            default
        };
        assert_eq!(column, default, "{flag}");
    }
}

#[test]
fn version_is_one_line() {
    let version = output("--version");
    assert_eq!(
        (version.status.code(), stdout(&version)),
        (Some(0), "ringway 0.1.0\n")
    );
}

#[test]
fn a_reader_that_leaves_early_is_no_failure() {
    let mut child = ringway(["serve", "--help"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("spawn");
    drop(child.stdout.take());
    let output = child.wait_with_output().expect("it ends");
    assert_eq!((output.status.code(), stderr(&output)), (Some(0), ""));
}

// --- usage errors ------------------------------------------------------------------------------------------------

/// What is typed behind `ringway`, and what the message then says.
const USAGE_ERRORS: &str = "
 | 'ringway serve' runs the proxy | run 'ringway --help'
sevre | 'sevre' is not known | did you mean 'serve'? | run 'ringway --help'
--verison | did you mean '--version'?
--listen 127.0.0.1:1 | --listen belongs to 'ringway serve'
check --lsiten | '--lsiten' is not known | run 'ringway check --help'
check --jsn | did you mean '--json'?
check --json=yes | --json takes no value; give it as --json
serve --json | --json belongs to 'ringway check'
serve --lisen 127.0.0.1:1 | did you mean '--listen'? | run 'ringway serve --help'
serve --buffer-szie=1k | '--buffer-szie' is not known | did you mean '--buffer-size'?
serve 127.0.0.1:1 | '127.0.0.1:1' is not a flag | leave it out
serve --cores | --cores takes a value | --cores=VALUE
serve --log info --log=debug | --log is given twice; give it once
serve --open-proxy=yes | --open-proxy takes no value
serve --listen :3128 | --listen ':3128' | give 127.0.0.1:3128 for this host only | [::]:3128
serve --listen 127.0.0.1 | the port is missing; give 127.0.0.1:3128
serve --listen localhost:1 | names are not looked up | 127.0.0.1:1 or [::1]:1
serve --listen 127.0.0.1:1 --listen=127.0.0.1:1 | is given twice; give it once
serve --cores 0- | --cores '0-' | such as 0, 0,2, 2-5
serve --cores 0,0 | core 0 is in the list twice
serve --max-connections 0 | --max-connections '0' | give a whole number from 1
serve --connect-timeout 5 | --connect-timeout '5' | the unit is missing | 250ms
serve --head-timeout 0s | --head-timeout '0s' | give at least 1us
serve --idle-timeout 1.5s | --idle-timeout '1.5s' | an integer with its unit
serve --half-close-timeout 9999h | --half-close-timeout '9999h' | give at most 720h
serve --drain-timeout -1s | --drain-timeout '-1s' | an integer with its unit
serve --zero-copy on | --zero-copy 'on' | give one of auto, splice, send-zc, off
serve --congestion-control a-name-much-too-long | --congestion-control 'a-name-much-too-long' | such as cubic or bbr
serve --buffers 100 | --buffers '100' | give 64 or 128
serve --buffers 65536 | from 1 to 32768
serve --buffer-size 2m | --buffer-size '2m' | give 512 to 1048576 bytes
serve --ring-entries 4 | --ring-entries '4' | from 8 to 65536
serve --ring-entries 1000 | give 512 or 1024
serve --busy-poll 11ms | --busy-poll '11ms' | give at most 10ms
serve --busy-poll 0us | give off
serve --busy-poll on | off or auto
serve --resolver dns.example | --resolver 'dns.example' | such as 9.9.9.9
serve --log loud | --log 'loud' | give one of error, warn, info, debug, trace
";

#[test]
fn usage_errors_end_with_code_2_and_name_the_mend() {
    for row in USAGE_ERRORS.lines().skip(1) {
        let mut columns = row.split(" | ");
        let output = output(columns.next().expect("a command line"));
        let parts: Vec<&str> = columns.collect();
        assert!(
            stderr(&output).starts_with("ringway: ") && !parts.is_empty(),
            "{row}"
        );
        assert_fails(&output, USAGE, &parts);
        assert_names(stderr(&output), &["run 'ringway", "--help'"]);
    }
}

#[test]
fn words_that_are_not_utf8_are_refused() {
    let output = ringway([OsStr::new("serve"), OsStr::from_bytes(b"--log=\xff")])
        .output()
        .expect("ringway runs");
    assert_fails(&output, USAGE, &["is not UTF-8"]);
}

#[test]
fn a_core_outside_the_allowed_set_lists_the_allowed_ones() {
    let allowed = allowed_cores();
    let outside = (0..)
        .find(|core| !allowed.contains(core))
        .expect("a core that does not exist");
    let output = output(&format!("serve --cores {outside}"));
    let first = allowed.first().expect("a core to run on").to_string();
    assert_fails(
        &output,
        USAGE,
        &[
            &format!("core {outside} is not one"),
            "choose from",
            &first,
            "taskset",
        ],
    );
}

#[test]
fn listening_beyond_loopback_needs_to_be_meant() {
    for address in ["0.0.0.0:0", "[::]:0", "192.0.2.1:0"] {
        let output = output(&format!("serve --listen 127.0.0.1:0 --listen {address}"));
        assert_fails(
            &output,
            USAGE,
            &[
                "beyond loopback",
                "--open-proxy",
                address.trim_end_matches(":0"),
            ],
        );
    }
    let mut serving = Serving::start("--listen 0.0.0.0:0 --open-proxy --cores 0");
    assert!(serving.address().ip().is_unspecified());
    serving.signal("TERM");
    assert_eq!(serving.end().code(), Some(0));
}

#[test]
fn a_congestion_control_that_the_kernel_has_not_is_refused_with_those_it_has() {
    let known = fs::read_to_string("/proc/sys/net/ipv4/tcp_available_congestion_control")
        .expect("a setting of TCP");
    let output = output("serve --listen 127.0.0.1:0 --congestion-control nonesuch");
    let mut parts: Vec<&str> = known.split_whitespace().collect();
    parts.extend(["--congestion-control 'nonesuch'", "modprobe tcp_nonesuch"]);
    assert_fails(&output, USAGE, &parts);
}

// --- addresses ---------------------------------------------------------------------------------------------------

#[test]
fn an_address_in_use_ends_with_code_4() {
    let occupied = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a listener");
    let address = occupied.local_addr().expect("an address").to_string();
    assert_fails(
        &output(&format!("serve --listen {address}")),
        ADDRESS,
        &[&address, "in use", "give another --listen"],
    );
}

#[test]
fn an_address_of_another_host_ends_with_code_4() {
    let output = output("serve --listen 192.0.2.1:3128 --open-proxy");
    assert_fails(
        &output,
        ADDRESS,
        &["192.0.2.1:3128", "an address of this host"],
    );
}

#[test]
fn a_port_not_permitted_ends_with_code_4() {
    let first_free = std::fs::read_to_string("/proc/sys/net/ipv4/ip_unprivileged_port_start")
        .unwrap_or_default();
    let drops = [
        "--bounding-set=-net_bind_service",
        "--inh-caps=-net_bind_service",
    ];
    let dropped = Command::new("setpriv").args(drops).arg("true").output();
    if first_free.trim() != "1024" || !dropped.is_ok_and(|output| output.status.success()) {
        eprintln!("skipped: every port is permitted here, or setpriv cannot drop the permission");
        return;
    }
    let mut command = bounded_by_deadline("setpriv");
    command
        .args(drops)
        .args([RINGWAY, "serve", "--listen", "127.0.0.1:1"]);
    let output = command.output().expect("setpriv runs");
    assert_fails(
        &output,
        ADDRESS,
        &["127.0.0.1:1", "1024", "cap_net_bind_service"],
    );
}

// --- what this kernel can ----------------------------------------------------------------------------------------

fn features() -> Vec<Value> {
    let report = output("check --json");
    assert_eq!(report.status.code(), Some(0), "{}", stderr(&report));
    let report: Value = serde_json::from_str(stdout(&report)).expect("check --json prints JSON");
    assert_eq!(
        (&report["schema"], &report["can_serve"], &report["refusal"]),
        (&1.into(), &true.into(), &Value::Null)
    );
    assert_eq!(report["ringway"], "0.1.0");
    assert!(
        report["kernel"]
            .as_str()
            .is_some_and(|kernel| kernel.starts_with(|first: char| first.is_ascii_digit()))
    );
    report["features"]
        .as_array()
        .expect("features are an array")
        .clone()
}

fn names(features: &[Value], needed: bool) -> Vec<&str> {
    let chosen = features
        .iter()
        .filter(|feature| feature["needed"] == needed && feature["found"] == true);
    let names: Vec<&str> = chosen
        .filter_map(|feature| feature["name"].as_str())
        .collect();
    assert!(!names.is_empty());
    names
}

#[test]
fn check_prints_every_feature_as_a_table_and_as_json() {
    let table = output("check");
    assert_eq!((table.status.code(), stderr(&table)), (Some(0), ""));
    assert_names(
        stdout(&table),
        &[
            "kernel ",
            "feature",
            "needed",
            "found",
            "since",
            "lost without it",
        ],
    );
    assert_names(stdout(&table), &["verdict: ringway serve can start here"]);
    for feature in features() {
        let text = |key: &str| {
            feature[key]
                .as_str()
                .unwrap_or_else(|| panic!("{key} is text: {feature}"))
                .to_owned()
        };
        let name = text("name");
        let line = stdout(&table)
            .lines()
            .find(|line| line.split_whitespace().next() == Some(&name))
            .expect("a line");
        let need = if feature["needed"] == true {
            " needed "
        } else {
            " optional "
        };
        assert_names(line, &[need, &text("first_kernel"), &text("lost_without")]);
        assert_eq!(feature["forced_off"], false);
    }
}

#[test]
fn a_needed_feature_forced_off_ends_check_and_serve_with_code_3() {
    let features = features();
    for name in names(&features, true) {
        for words in [
            &["check"][..],
            &["check", "--json"],
            &["serve", "--listen", "127.0.0.1:0"],
        ] {
            let output = ringway(words)
                .env("RINGWAY_FORCE_OFF", name)
                .output()
                .expect("ringway runs");
            assert_eq!(
                output.status.code(),
                UNSUPPORTED,
                "{name}: {}",
                stderr(&output)
            );
            assert_names(stderr(&output), &[name]);
        }
        let table = ringway(["check"])
            .env("RINGWAY_FORCE_OFF", name)
            .output()
            .expect("ringway runs");
        let line = stdout(&table)
            .lines()
            .find(|line| line.split_whitespace().next() == Some(name));
        assert_names(line.expect("a line"), &["forced off"]);
        assert_names(
            stdout(&table),
            &["verdict: ringway serve cannot start here"],
        );
    }
}

#[test]
fn an_optional_feature_forced_off_is_done_without() {
    let features = features();
    let all = names(&features, false).join(",");
    for name in names(&features, false).into_iter().chain([all.as_str()]) {
        let mut command = command(RINGWAY);
        command.args(["serve", "--cores", "0", "--listen", "127.0.0.1:0"]);
        let mut serving = Serving::spawn(command.env("RINGWAY_FORCE_OFF", name));
        let (mut client, mut upstream) = tunnel(serving.address());
        assert_passes(&mut client, &mut upstream);
        assert_passes(&mut upstream, &mut client);
        serving.signal("TERM");
        drop((client, upstream));
        assert_eq!(serving.end().code(), Some(0), "{name}");
    }
}

#[test]
fn an_unknown_feature_forced_off_is_a_usage_error_that_lists_the_known_ones() {
    let features = features();
    let known = names(&features, true);
    for words in [&["check"][..], &["serve"]] {
        let output = ringway(words)
            .env("RINGWAY_FORCE_OFF", "time-travel")
            .output()
            .expect("ringway runs");
        assert_fails(
            &output,
            USAGE,
            &["RINGWAY_FORCE_OFF", "'time-travel'", known[0]],
        );
    }
}

/// Runs the program under a seccomp filter that answers io_uring's system calls with `errno`.
fn output_under_seccomp(words: &'static [&str], errno: u32) -> Output {
    let confined = thread::spawn(move || {
        let rules = IO_URING_CALLS.map(|call| (call, Vec::new())).into();
        let architecture = std::env::consts::ARCH
            .try_into()
            .expect("seccompiler knows this architecture");
        let filter = SeccompFilter::new(
            rules,
            SeccompAction::Allow,
            SeccompAction::Errno(errno),
            architecture,
        );
        let program: BpfProgram = filter
            .expect("the filter is sound")
            .try_into()
            .expect("it compiles");
        seccompiler::apply_filter(&program).expect("the filter is installed"); // for this thread and its children
        ringway(words).output().expect("ringway runs")
    });
    confined.join().expect("the confined thread ends")
}

#[test]
fn io_uring_denied_by_seccomp_ends_with_code_3_and_names_the_mend() {
    let calls = ["io_uring_setup", "io_uring_enter", "io_uring_register"];
    for errno in [EPERM, ENOSYS] {
        for words in [
            &["check"][..],
            &["check", "--json"],
            &["serve", "--listen", "127.0.0.1:0"],
        ] {
            let output = output_under_seccomp(words, errno);
            assert_eq!(
                output.status.code(),
                UNSUPPORTED,
                "{errno}: {}",
                stderr(&output)
            );
            assert_names(stderr(&output), &["seccomp", "Docker", "Podman"]);
            assert_names(stderr(&output), &calls);
        }
        let report = output_under_seccomp(&["check", "--json"], errno);
        let report: Value =
            serde_json::from_str(stdout(&report)).expect("check --json prints JSON");
        assert_eq!(report["can_serve"], false);
        assert_names(report["refusal"].as_str().expect("a refusal"), &["seccomp"]);
    }
}

// --- signals and the log -----------------------------------------------------------------------------------------

#[test]
fn every_address_and_worker_has_its_line() {
    let ipv6 = TcpListener::bind("[::1]:0").is_ok();
    let addresses = if ipv6 {
        vec!["127.0.0.1", "[::1]"]
    } else {
        vec!["127.0.0.1", "127.0.0.2"]
    };
    let flags: Vec<String> = addresses
        .iter()
        .map(|address| format!("--listen {address}:0"))
        .collect();
    let mut serving = Serving::start(&flags.join(" "));
    for address in addresses {
        let bound = serving.address();
        assert!(
            bound.port() != 0 && bound.to_string().starts_with(address),
            "{bound}"
        );
        drop(TcpStream::connect(bound).expect("it accepts"));
    }
    serving.signal("TERM");
    serving.line(&["draining"]);
    let started = serving
        .seen
        .lines()
        .filter(|line| line.contains("worker started worker="))
        .count();
    assert_eq!(started, allowed_cores().len(), "{}", serving.seen);
    assert_eq!(serving.end().code(), Some(0));
}

#[test]
fn a_tunnel_lives_through_the_drain_and_the_exit_code_is_0() {
    for signal in ["TERM", "INT"] {
        let mut serving = Serving::start("--listen 127.0.0.1:0 --drain-timeout 1h --log debug");
        let address = serving.address();
        let (mut client, mut upstream) = tunnel(address);
        serving.signal(signal);
        serving.line(&["draining connections=1"]);
        assert_passes(&mut client, &mut upstream);
        assert_passes(&mut upstream, &mut client);
        drop((client, upstream));
        serving.line(&[
            "closed client=127.0.0.1:",
            "target=127.0.0.1:",
            "up=4 down=4",
        ]);
        assert_eq!(serving.end().code(), Some(0), "{signal}");
    }
}

#[test]
fn the_drain_ends_at_its_timeout() {
    for timeout in ["0s", "200ms"] {
        let mut serving =
            Serving::start(&format!("--listen 127.0.0.1:0 --drain-timeout {timeout}"));
        let (mut client, _upstream) = tunnel(serving.address());
        serving.signal("TERM");
        assert_eq!(serving.end().code(), Some(0));
        assert!(
            matches!(client.read(&mut [0]), Ok(0) | Err(_)),
            "the tunnel has ended too"
        );
    }
}

#[test]
fn a_second_signal_ends_at_once_with_code_0() {
    for second in ["TERM", "INT"] {
        let mut serving = Serving::start("--listen 127.0.0.1:0 --drain-timeout 1h");
        let _tunnel = tunnel(serving.address());
        serving.signal("TERM");
        serving.line(&["draining connections=1"]);
        serving.signal(second);
        assert_eq!(serving.end().code(), Some(0));
    }
}

#[test]
fn sigusr1_logs_a_snapshot_of_every_worker() {
    let mut serving = Serving::start("--listen 127.0.0.1:0");
    let _tunnel = tunnel(serving.address());
    let keys = [
        "connections=",
        "ops=",
        "buffers_free=",
        "leases=",
        "pipes_idle=",
        "pipes_in_use=",
        "tasks=",
        "timers=",
    ];
    for _ in 0..2 {
        serving.signal("USR1");
        let mut connections = 0;
        for worker in 0..allowed_cores().len() {
            let line = serving.line(&[&format!("snapshot worker={worker} ")]);
            assert_names(&line, &keys);
            assert_names(&line, &["accepted="]);
            connections += u32::from(line.contains(" connections=1 "));
        }
        assert_eq!(connections, 1, "{}", serving.seen);
    }
    serving.signal("TERM");
    serving.line(&["draining"]);
    serving.signal("USR1"); // and while it drains
    serving.line(&["snapshot worker=", " connections=1 "]);
    serving.signal("TERM");
    assert_eq!(serving.end().code(), Some(0));
}

#[test]
fn a_log_that_nobody_reads_any_more_is_no_reason_to_end() {
    let mut serving = Serving::start("--listen 127.0.0.1:0 --log debug");
    let address = serving.address();
    serving.log = None; // the reader goes away with the next line
    serving.signal("USR1");
    for _ in 0..20 {
        let (mut client, mut upstream) = tunnel(address);
        assert_passes(&mut client, &mut upstream);
    }
    serving.signal("TERM");
    assert_eq!(serving.end().code(), Some(0));
}
