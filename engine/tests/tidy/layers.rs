//! Who may import whom: the table of the design, as paths. `engine/ARCHITECTURE.md` says it in words.

use super::paths::{NamedPath, paths};
use super::source::{Finding, Source, Tree};

/// A module right below `engine/src`, and the paths below `crate` that it may name beside its own.
struct Layer {
    module: &'static str,
    may: &'static [&'static str],
}

const LAYERS: &[Layer] = &[
    Layer {
        module: "limits",
        may: &[],
    },
    Layer {
        module: "addr",
        may: &[],
    },
    Layer {
        module: "ring",
        may: &["limits", "addr"],
    },
    Layer {
        module: "rt",
        may: &["ring", "limits", "addr"],
    },
    Layer {
        module: "net",
        may: &["rt", "ring", "limits", "addr", "proto::dns"],
    },
    Layer {
        module: "proto",
        may: &["limits", "addr"],
    },
    Layer {
        module: "proxy",
        may: &["net", "rt", "proto", "limits", "addr"],
    },
    Layer {
        module: "server",
        may: &["proxy", "net", "rt", "limits", "addr"],
    },
];

/// What `proxy` and `server` name of `ring` past the layer between: data that passes through `net`, direct calls, and
/// the making of a ring. A new line here is a decision.
const OF_RING: &[(&str, &[&str])] = &[
    (
        "proxy",
        &[
            // What streams deal in.
            "ring::Lease",
            "ring::Scratch",
            "ring::ScratchPool",
            "ring::SendData",
            "ring::Interest",
            // Direct calls that no operation stands for.
            "ring::sys::Pipe",
            "ring::sys::Spliced",
            "ring::sys::memory_lock",
            "ring::sys::is_of_this_host",
            "ring::sys::is_quiet",
            // What a task that is being dropped says last.
            "ring::sys::send_at_once",
        ],
    ),
    (
        "server",
        &[
            // The start-up probe, which is public through `server`.
            "ring::Capabilities",
            "ring::CapabilityError",
            "ring::CapabilityReport",
            "ring::CapabilityRow",
            "ring::Feature",
            "ring::UnknownFeature",
            "ring::capabilities",
            // A worker makes its ring, and reports its counters.
            "ring::Ring",
            "ring::RingConfig",
            "ring::RingCounters",
            // Handing a connection to another worker is between rings, not streams.
            "ring::Op",
            "ring::Message",
            "ring::Port",
            // Listeners, limits and CPUs, before there is a ring.
            "ring::sys::bind_listener",
            "ring::sys::CongestionControl",
            "ring::sys::local_address",
            "ring::sys::raise_file_limit",
            "ring::sys::allowed_cpus",
            "ring::sys::memory_lock",
        ],
    ),
];

/// Paths of other crates that may only be named where it says. A `*` stands for the rest of a name.
const OUTSIDE: &[(&str, &[&str], &str)] = &[
    ("io_uring", &["ring"], "the kernel is the business of ring"),
    (
        "std::time::Instant",
        RUNTIME,
        "no clock: the caller brings the time",
    ),
    (
        "std::time::SystemTime",
        &[],
        "nothing here depends on the date",
    ),
    ("std::net::Tcp*", &["ring"], "sockets are made by ring"),
    ("std::net::Udp*", &["ring"], "sockets are made by ring"),
    ("std::os", RUNTIME, "no descriptor"),
    ("libc", RUNTIME, "no system call, no errno"),
    ("std::thread", &["server"], "threads are started by server"),
    ("std::process", &[], "ending the process is for the program"),
    ("std::env", &[], "the environment is read by the program"),
    (
        "core_affinity",
        &["server"],
        "workers are pinned where they start",
    ),
    ("httparse", &["proto"], "grammar is in proto"),
    ("hickory_proto", &["proto"], "grammar is in proto"),
];

/// The modules that may know of the clock and of descriptors.
const RUNTIME: &[&str] = &["ring", "rt", "net", "proxy", "server"];

/// What the program may name of the engine: the public face, and the defaults it prints.
const PUBLIC: &[&str] = &["ringway_engine::server", "ringway_engine::limits"];

/// Modules that name what their layer may not, and modules without a layer.
pub(crate) fn modules(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    for module in tree.engine_modules() {
        if !LAYERS.iter().any(|layer| layer.module == module) {
            findings.push(Finding {
                path: format!("engine/src/{module}"),
                line: 0,
                text: "is not in the table of layers".to_owned(),
            });
        }
    }
    for source in tree.sources_under("engine/src/") {
        let module = module_of(source);
        let top = module.first().map_or("", String::as_str);
        let Some(layer) = LAYERS.iter().find(|layer| layer.module == top) else {
            continue;
        };
        let mut may = vec![top];
        may.extend(layer.may);
        may.extend(of_ring(top));
        for named in paths(source, &module) {
            let Some(path) = named.path.strip_prefix("crate::") else {
                continue;
            };
            if !may.iter().any(|may| allows(may, path, named.imported)) {
                findings
                    .push(source.finding(named.line, format!("{top} may not name crate::{path}")));
            }
        }
    }
    findings
}

fn of_ring(module: &str) -> &'static [&'static str] {
    let of_ring = OF_RING.iter().find(|(name, _)| *name == module);
    of_ring.map_or(&[], |(_, paths)| paths)
}

/// What the list of exceptions allows and nobody names any more.
pub(crate) fn spare_exceptions(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (top, exceptions) in OF_RING {
        let sources = tree.sources_under("engine/src/").filter(|source| {
            module_of(source)
                .first()
                .is_some_and(|module| module == top)
        });
        let named: Vec<String> = sources
            .flat_map(|source| paths(source, &module_of(source)))
            .map(|named| named.path)
            .collect();
        for exception in *exceptions {
            let needed = named
                .iter()
                .filter_map(|path| path.strip_prefix("crate::"))
                .any(|path| allows(exception, path, false));
            if !needed {
                findings.push(Finding {
                    path: format!("engine/src/{top}"),
                    line: 0,
                    text: format!("does not name {exception} any more: take it off the list"),
                });
            }
        }
    }
    findings
}

/// Whether `may` covers `path`. A private import of what leads to `may` is covered as well: its uses are looked at.
fn allows(may: &str, path: &str, imported: bool) -> bool {
    let below = |path: &str, of: &str| {
        path.strip_prefix(of)
            .is_some_and(|rest| rest.is_empty() || rest.starts_with("::"))
    };
    below(path, may) || imported && !path.ends_with('*') && below(may, path)
}

/// Modules that name other crates' paths which are not theirs to name. Tests may.
pub(crate) fn outside(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    for source in tree.sources_under("engine/src/") {
        let module = module_of(source);
        let top = module.first().map_or("", String::as_str);
        for named in paths(source, &module) {
            for (path, modules, why) in OUTSIDE {
                if reaches(&named, path) && !modules.contains(&top) && !source.is_test(named.line) {
                    findings.push(source.finding(
                        named.line,
                        format!("{top} may not name {}: {why}", named.path),
                    ));
                }
            }
        }
    }
    findings
}

fn reaches(named: &NamedPath, forbidden: &str) -> bool {
    if let Some(all) = named.path.strip_suffix('*') {
        return forbidden.starts_with(all);
    }
    match forbidden.strip_suffix('*') {
        Some(start) => named.path.starts_with(start),
        None => allows(forbidden, &named.path, false),
    }
}

/// What the program names of the engine past its public face, and any trace of the engine in the bench harness, whose
/// word on it must be independent.
pub(crate) fn programs(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    for source in tree.sources_under("bin/") {
        for named in paths(source, &[]) {
            let path = &named.path;
            if path.starts_with("ringway_engine::")
                && !PUBLIC
                    .iter()
                    .any(|public| allows(public, path, named.imported))
            {
                findings
                    .push(source.finding(named.line, format!("the program may not name {path}")));
            }
        }
    }
    for source in tree.sources_under("bench-harness/") {
        for at in source.words("ringway_engine") {
            findings.push(source.finding(
                source.tokens[at].line,
                "the bench harness may not use the engine",
            ));
        }
    }
    for (path, text) in tree.files() {
        if !path.starts_with("bench-harness/") || !path.ends_with("Cargo.toml") {
            continue;
        }
        for (line, text) in text.lines().enumerate() {
            if text.contains("ringway-engine") || text.contains("../engine") {
                findings.push(Finding {
                    path: path.to_owned(),
                    line: line + 1,
                    text: "the bench harness may not link the engine".to_owned(),
                });
            }
        }
    }
    findings
}

/// The module a file of the engine is, from the root of the crate.
fn module_of(source: &Source) -> Vec<String> {
    let below = source
        .path
        .trim_start_matches("engine/src/")
        .trim_end_matches(".rs");
    below
        .split('/')
        .filter(|part| !matches!(*part, "lib" | "mod"))
        .map(str::to_owned)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(rule: fn(&Tree) -> Vec<Finding>, path: &str, text: &str) -> Vec<String> {
        let findings = rule(&Tree::sample(&[(path, text)]));
        findings.into_iter().map(|finding| finding.text).collect()
    }

    #[test]
    fn an_import_from_above_or_aside_is_found() {
        for (path, text, expected) in [
            (
                "engine/src/addr.rs",
                "use crate::limits;",
                "addr may not name crate::limits",
            ),
            (
                "engine/src/rt/gate.rs",
                "use crate::{limits, net::{Listener}};",
                "rt may not name crate::net::Listener",
            ),
            (
                "engine/src/proto/dns.rs",
                "fn a(_: &crate::ring::Lease) {}",
                "proto may not name crate::ring::Lease",
            ),
            (
                "engine/src/net/dial.rs",
                "use crate::proto::http1::head;",
                "net may not name crate::proto::http1::head",
            ),
            (
                "engine/src/ring/key.rs",
                "use super::super::rt::Rt;",
                "ring may not name crate::rt::Rt",
            ),
            (
                "engine/src/proxy/pipes.rs",
                "use crate::server::Config;",
                "proxy may not name crate::server::Config",
            ),
            (
                "engine/src/proxy/pipes.rs",
                "use crate::ring::{Lease, Ring};",
                "proxy may not name crate::ring::Ring",
            ),
            (
                "engine/src/proxy/pipes.rs",
                "use crate::ring::sys; fn a() { sys::eventfd(); }",
                "proxy may not name crate::ring::sys::eventfd",
            ),
            (
                "engine/src/proxy/pipes.rs",
                "pub use crate::ring::sys;",
                "proxy may not name crate::ring::sys",
            ),
            (
                "engine/src/proxy/pipes.rs",
                "use crate::ring::*;",
                "proxy may not name crate::ring::*",
            ),
            ("engine/src/mux/mod.rs", "", "is not in the table of layers"),
        ] {
            assert_eq!(found(modules, path, text), [expected], "{text}");
        }
    }

    #[test]
    fn what_the_table_allows_is_not_found() {
        let text = "use crate::ring::{Lease, sys}; use crate::net::Dialler; use super::Proxy; fn a() -> sys::Pipe {}";
        assert_eq!(found(modules, "engine/src/proxy/pipes.rs", text), [""; 0]);
        assert_eq!(
            found(
                modules,
                "engine/src/net/resolver/mod.rs",
                "use crate::proto::dns::Question;"
            ),
            [""; 0]
        );
    }

    #[test]
    fn an_exception_that_nobody_needs_is_found() {
        let all: usize = OF_RING.iter().map(|(_, exceptions)| exceptions.len()).sum();
        let spare = |path: &str, text: &str| found(spare_exceptions, path, text).len();
        assert_eq!(spare("engine/src/proxy/pipes.rs", ""), all);
        assert_eq!(
            spare("engine/src/proxy/pipes.rs", "use crate::ring::sys::Pipe;"),
            all - 1
        );
        assert_eq!(
            spare("engine/src/net/stream.rs", "use crate::ring::sys::Pipe;"),
            all
        );
    }

    #[test]
    fn a_clock_a_socket_or_the_kernel_in_the_wrong_place_is_found() {
        for (path, text) in [
            (
                "engine/src/proto/dns.rs",
                "use std::time::{Duration, Instant};",
            ),
            (
                "engine/src/proto/dns.rs",
                "use std::time; fn a() { time::SystemTime::now(); }",
            ),
            ("engine/src/proto/dns.rs", "use std::time::*;"),
            ("engine/src/proto/dns.rs", "fn a(_: std::net::TcpStream) {}"),
            ("engine/src/proto/dns.rs", "use std::os::fd::AsRawFd;"),
            ("engine/src/net/udp.rs", "use std::net::UdpSocket;"),
            (
                "engine/src/net/udp.rs",
                "fn a() { io_uring::IoUring::new(8); }",
            ),
            (
                "engine/src/net/udp.rs",
                "fn a() { std::thread::spawn(|| ()); }",
            ),
        ] {
            assert!(!found(outside, path, text).is_empty(), "{text}");
        }
        for (path, text) in [
            (
                "engine/src/proto/dns.rs",
                "use std::time::Duration; use std::net::IpAddr;",
            ),
            (
                "engine/src/ring/uring.rs",
                "use io_uring::IoUring; use std::time::Instant;",
            ),
            (
                "engine/src/net/udp.rs",
                "#[cfg(test)] mod tests { use std::net::UdpSocket; }",
            ),
        ] {
            assert_eq!(found(outside, path, text), [""; 0], "{text}");
        }
    }

    #[test]
    fn a_program_that_reaches_too_far_is_found() {
        for (path, text) in [
            (
                "bin/src/main.rs",
                "use ringway_engine::{server::Server, ring::Feature};",
            ),
            (
                "bin/tests/cli.rs",
                "fn a() { ringway_engine::rt::mailbox(); }",
            ),
            (
                "bench-harness/src/main.rs",
                "use ringway_engine::server::Server;",
            ),
            (
                "bench-harness/src/main.rs",
                "fn a() { ringway_engine::limits::A; }",
            ),
            (
                "bench-harness/Cargo.toml",
                "ringway-engine.workspace = true",
            ),
            (
                "bench-harness/Cargo.toml",
                "engine = { path = \"../engine\" }",
            ),
        ] {
            assert_eq!(found(programs, path, text).len(), 1, "{text}");
        }
        let text = "use ringway_engine::server::{self, Server}; use ringway_engine::limits; fn a() { limits::A; }";
        assert_eq!(found(programs, "bin/src/main.rs", text), [""; 0]);
    }
}
