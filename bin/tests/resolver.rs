//! The resolver, seen through CONNECT: a name server in the test answers, lies, truncates, hurries or stays silent.

mod support;

#[path = "resolver/answers.rs"]
mod answers;

use std::collections::HashSet;
use std::io::Write;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, TcpStream};
use std::sync::{Arc, Condvar, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use support::*;

const HERE: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
const HERE_V6: IpAddr = IpAddr::V6(Ipv6Addr::LOCALHOST);

/// Seconds that an answer holds where the test does not care.
const LONG: u32 = 300;

/// A proxy that asks `dns`.
#[track_caller]
fn proxy_with(dns: &Dns) -> Proxy {
    Proxy::start(&["--resolver", &dns.address()])
}

/// Tunnels to `name` at the port of `origin`, and asserts that it is this origin at the other end.
#[track_caller]
fn expect_reaches(proxy: &Proxy, name: &str, origin: &Origin) {
    let client = open_tunnel(proxy, format!("{name}:{}", origin.port()));
    ping(&client, &origin.accept(), name.as_bytes());
}

/// Listeners on the same port of both loopback addresses; `None` where there is no IPv6.
fn on_both<A, B>(
    v4: impl Fn((IpAddr, u16)) -> A,
    v6: impl Fn((IpAddr, u16)) -> B,
    port: fn(&A) -> u16,
) -> Option<(A, B)> {
    ipv6_loopback().then(|| {
        let first = v4((HERE, 0));
        let second = v6((HERE_V6, port(&first)));
        (first, second)
    })
}

/// A gate that answers wait at until the test opens it.
#[derive(Default)]
struct Gate {
    open: Mutex<bool>,
    opened: Condvar,
}

impl Gate {
    fn open(&self) {
        *self
            .open
            .lock()
            .expect("nothing panics while it holds the gate") = true;
        self.opened.notify_all();
    }

    fn wait(&self) {
        let open = self
            .open
            .lock()
            .expect("nothing panics while it holds the gate");
        drop(
            self.opened
                .wait_while(open, |open| !*open)
                .expect("nothing panics while it holds the gate"),
        );
    }
}

#[test]
fn a_only() {
    let dns = Dns::knows(&[("v4.example.test", &["127.0.0.1"])]);
    let proxy = proxy_with(&dns);
    expect_reaches(&proxy, "v4.example.test", &Origin::listen());
    let kinds: HashSet<u16> = dns
        .asked("v4.example.test")
        .iter()
        .map(|query| query.kind)
        .collect();
    assert_eq!(kinds, HashSet::from([A, AAAA]), "both kinds are asked for");
}

#[test]
fn aaaa_only() {
    if !ipv6_loopback() {
        return skip("aaaa_only", "this host has no IPv6 loopback");
    }
    let dns = Dns::knows(&[("v6.example.test", &["::1"])]);
    let proxy = proxy_with(&dns);
    expect_reaches(&proxy, "v6.example.test", &Origin::listen_at((HERE_V6, 0)));
}

#[test]
fn names_are_asked_for_whatever_their_case_and_final_dot() {
    let dns = Dns::knows(&[("mixed.example.test", &["127.0.0.1"])]);
    let proxy = proxy_with(&dns);
    let origin = Origin::listen();
    for name in [
        "MIXED.example.TEST",
        "mixed.example.test",
        "mixed.example.test.",
    ] {
        expect_reaches(&proxy, name, &origin);
    }
    let of_kind_a = dns
        .asked("mixed.example.test")
        .iter()
        .filter(|query| query.kind == A)
        .count();
    assert_eq!(of_kind_a, 1, "it is one name");
}

#[test]
fn both_prefer_ipv6() {
    let Some((_v4, v6)) = on_both(Origin::listen_at, Origin::listen_at, Origin::port) else {
        return skip("both_prefer_ipv6", "this host has no IPv6 loopback");
    };
    let dns = Dns::knows(&[("both.example.test", &["127.0.0.1", "::1"])]);
    expect_reaches(&proxy_with(&dns), "both.example.test", &v6);
}

#[test]
fn both_with_ipv6_swallowed_connect_over_ipv4_well_under_a_second() {
    let name = "both_with_ipv6_swallowed_connect_over_ipv4_well_under_a_second";
    let Some((v4, _v6)) = on_both(Origin::listen_at, Blackhole::listen_at, Origin::port) else {
        return skip(name, "this host has no IPv6 loopback");
    };
    let dns = Dns::knows(&[("happy.example.test", &["127.0.0.1", "::1"])]);
    let proxy = proxy_with(&dns);
    let mut after_the_first = None;
    for _ in 0..3 {
        let asked = Instant::now();
        expect_reaches(&proxy, "happy.example.test", &v4);
        assert!(
            asked.elapsed() < Duration::from_millis(900),
            "{:?}",
            asked.elapsed()
        );
        // The attempt that lost is given up: it is no open file and no operation.
        proxy.await_snapshot("the end of the tunnel", |now| now.value("connections") == 0);
        match &after_the_first {
            None => after_the_first = Some(proxy.footing()),
            Some(footing) => proxy.await_gauges(footing),
        }
    }
}

#[test]
fn both_with_ipv6_refused_connect_over_ipv4_at_once() {
    let name = "both_with_ipv6_refused_connect_over_ipv4_at_once";
    if !ipv6_loopback() {
        return skip(name, "this host has no IPv6 loopback");
    }
    let dns = Dns::knows(&[("refused.example.test", &["127.0.0.1", "::1"])]);
    let proxy = proxy_with(&dns);
    let asked = Instant::now();
    expect_reaches(&proxy, "refused.example.test", &Origin::listen());
    assert!(
        asked.elapsed() < Duration::from_millis(900),
        "{:?}",
        asked.elapsed()
    );
}

#[test]
fn several_addresses_are_tried_until_one_works() {
    let origin = Origin::listen_at(([127, 0, 0, 9], 0));
    let dead = ["127.0.0.2", "127.0.0.3", "127.0.0.4", "127.0.0.9"];
    let dns = Dns::knows(&[
        ("several.example.test", &dead),
        ("none.example.test", &dead[..3]),
    ]);
    let proxy = proxy_with(&dns);
    expect_reaches(&proxy, "several.example.test", &origin);
    refused(&proxy, format!("none.example.test:{}", origin.port()))
        .expect_error(502, "connection_refused");
}

#[test]
fn one_kind_of_answer_never_coming_does_not_hold_up_the_other() {
    for silent in [A, AAAA] {
        if silent == A && !ipv6_loopback() {
            return skip(
                "one_kind_of_answer_never_coming_does_not_hold_up_the_other",
                "this host has no IPv6 loopback",
            );
        }
        let dns = Dns::start(move |query| {
            if query.kind == silent {
                Vec::new()
            } else {
                vec![query.addresses(&[HERE, HERE_V6], LONG)]
            }
        });
        let proxy = proxy_with(&dns);
        let origin = Origin::listen_at((if silent == A { HERE_V6 } else { HERE }, 0));
        let asked = Instant::now();
        expect_reaches(&proxy, "half-silent.example.test", &origin);
        assert!(
            asked.elapsed() < Duration::from_millis(900),
            "{:?}",
            asked.elapsed()
        );
    }
}

#[test]
fn ttl_is_honoured() {
    let dns = Dns::start(|query| {
        let ttl = if query.name.starts_with("short") {
            1
        } else {
            LONG
        };
        vec![query.addresses(&[HERE], ttl)]
    });
    let proxy = proxy_with(&dns);
    let origin = Origin::listen();
    let asked = |name| {
        dns.asked(name)
            .iter()
            .filter(|query| query.kind == A)
            .count()
    };
    let start = Instant::now();
    expect_reaches(&proxy, "short.example.test", &origin);
    expect_reaches(&proxy, "long.example.test", &origin);
    expect_reaches(&proxy, "short.example.test", &origin);
    if start.elapsed() < Duration::from_millis(900) {
        assert_eq!(
            asked("short.example.test"),
            1,
            "an answer that still holds is not asked for again"
        );
    }
    until("the short answer to be asked for again", || {
        expect_reaches(&proxy, "short.example.test", &origin);
        (asked("short.example.test") > 1).then_some(())
    });
    assert!(
        start.elapsed() >= Duration::from_millis(900),
        "asked again before its time was over"
    );
    expect_reaches(&proxy, "long.example.test", &origin);
    assert_eq!(asked("long.example.test"), 1);
}

#[test]
fn ttl_of_zero_serves_those_who_wait_and_nobody_after_them() {
    let dns = Dns::start(|query| vec![query.addresses(&[HERE], 0)]);
    let proxy = proxy_with(&dns);
    let origin = Origin::listen();
    expect_reaches(&proxy, "zero.example.test", &origin);
    expect_reaches(&proxy, "zero.example.test", &origin);
    assert_eq!(
        dns.asked("zero.example.test")
            .iter()
            .filter(|query| query.kind == A)
            .count(),
        2
    );
}

#[test]
fn ttl_beyond_all_bounds_is_no_harm() {
    let dns = Dns::start(|query| vec![query.addresses(&[HERE], u32::MAX)]);
    let proxy = proxy_with(&dns);
    let origin = Origin::listen();
    expect_reaches(&proxy, "eternal.example.test", &origin);
    expect_reaches(&proxy, "eternal.example.test", &origin);
}

#[test]
fn one_query_in_flight_per_name() {
    const CLIENTS: u64 = 50;
    let gate = Arc::new(Gate::default());
    let answers = Arc::clone(&gate);
    let dns = Dns::start(move |query| {
        answers.wait();
        vec![query.addresses(&[HERE], LONG)]
    });
    let proxy = Proxy::start(&["--resolver", &dns.address(), "--connect-timeout", "60s"]);
    let origin = Origin::listen();
    let clients: Vec<TcpStream> = (0..CLIENTS)
        .map(|_| {
            let mut client = connect(&proxy);
            client
                .write_all(&head(format!("popular.example.test:{}", origin.port())))
                .expect("the proxy takes the head");
            client
        })
        .collect();
    proxy.await_snapshot("all connections", |snapshot| {
        snapshot.value("connections") == CLIENTS
    });
    until("a query", || {
        (!dns.asked("popular.example.test").is_empty()).then_some(())
    });
    gate.open();
    for client in &clients {
        assert_eq!(read_reply(client).status, 200);
    }
    for kind in [A, AAAA] {
        // The same question may be sent again when its answer is late, but under a new id only by a new attempt.
        let asked = dns.asked("popular.example.test");
        let asked = asked.iter().filter(|query| query.kind == kind).count();
        assert!(
            asked <= 2,
            "kind {kind} was asked {asked} times for {CLIENTS} clients"
        );
    }
}

#[test]
fn one_client_that_leaves_does_not_take_the_query_from_the_others() {
    let gate = Arc::new(Gate::default());
    let answers = Arc::clone(&gate);
    let dns = Dns::start(move |query| {
        answers.wait();
        vec![query.addresses(&[HERE], LONG)]
    });
    let proxy = Proxy::start(&["--resolver", &dns.address(), "--connect-timeout", "60s"]);
    let origin = Origin::listen();
    let request = head(format!("shared.example.test:{}", origin.port()));
    let mut first = connect(&proxy);
    first.write_all(&request).expect("the proxy takes the head");
    until("its query", || {
        (!dns.asked("shared.example.test").is_empty()).then_some(())
    });
    let mut second = connect(&proxy);
    second
        .write_all(&request)
        .expect("the proxy takes the head");
    proxy.await_snapshot("both", |snapshot| snapshot.value("connections") == 2);
    reset(first); // the one for whom the question was asked
    proxy.await_snapshot("the one that is left", |snapshot| {
        snapshot.value("connections") == 1
    });
    gate.open();
    assert_eq!(read_reply(&second).status, 200);
}

#[test]
fn ids_and_source_ports_differ() {
    const NAMES: usize = 64;
    let dns = Dns::start(|query| vec![query.addresses(&[HERE], LONG)]);
    let proxy = proxy_with(&dns);
    let origin = Origin::listen();
    for number in 0..NAMES {
        expect_reaches(&proxy, &format!("n{number}.example.test"), &origin);
    }
    let queries: Vec<Query> = dns
        .all()
        .into_iter()
        .filter(|query| query.kind == A)
        .collect();
    assert!(queries.len() >= NAMES);
    let ids: HashSet<u16> = queries.iter().map(|query| query.id).collect();
    assert!(
        ids.len() > NAMES - 4,
        "{} ids in {NAMES} queries",
        ids.len()
    );
    let strides: HashSet<u16> = queries
        .windows(2)
        .map(|pair| pair[1].id.wrapping_sub(pair[0].id))
        .collect();
    assert!(
        strides.len() > NAMES - 8,
        "ids follow a pattern: {strides:?}"
    );
    let ports: HashSet<u16> = queries.iter().map(|query| query.source.port()).collect();
    assert!(
        ports.len() > NAMES / 2,
        "{} source ports in {NAMES} queries",
        ports.len()
    );
}

#[test]
fn localhost_is_known_without_asking() {
    let dns = Dns::knows(&[]);
    let proxy = proxy_with(&dns);
    let origin = Origin::listen();
    for name in ["localhost", "LOCALHOST", "localhost."] {
        expect_reaches(&proxy, name, &origin);
    }
    assert!(dns.all().is_empty(), "{:?}", dns.all());
}

#[test]
fn numbers_that_only_old_libraries_take_for_addresses_are_not_dialled() {
    let dns = Dns::knows(&[]);
    let proxy = proxy_with(&dns);
    let origin = Origin::listen();
    for host in [
        "2130706433",
        "127.1",
        "0x7f000001",
        "0177.0.0.1",
        "127.0.0.0x1",
        "0x7f.1",
        "017700000001",
    ] {
        let reply = refused(&proxy, format!("{host}:{}", origin.port()));
        assert!([400, 502].contains(&reply.status), "{host}: {}", reply.head);
    }
    origin.expect_untouched();
}

#[test]
fn names_that_cannot_be_are_refused_without_asking() {
    let dns = Dns::knows(&[]);
    let proxy = proxy_with(&dns);
    let names = [
        "a".repeat(64),
        format!("{}.test", "a".repeat(64)),
        ["label"; 60].join("."),
        "a..b".into(),
        ".a".into(),
    ];
    for name in names {
        let reply = refused(&proxy, format!("{name}:80"));
        assert!([400, 502].contains(&reply.status), "{name}: {}", reply.head);
    }
    assert!(dns.all().is_empty(), "{:?}", dns.all());
}

#[test]
fn many_names_at_once_are_all_answered_right() {
    const NAMES: u16 = 400;
    let dns = Dns::start(|query| {
        let number: u16 = query
            .name
            .split('.')
            .next()
            .and_then(|label| label[1..].parse().ok())
            .unwrap_or(0);
        vec![query.addresses(&[loopback(512 + number)], LONG)]
    });
    let proxy = Proxy::start(&["--resolver", &dns.address()]);
    let origin = Origin::listen_at((Ipv4Addr::UNSPECIFIED, 0));
    let port = origin.port();
    thread::scope(|scope| {
        for part in 0..8 {
            let (proxy, origin) = (&proxy, &origin);
            scope.spawn(move || {
                for number in (part..NAMES).step_by(8) {
                    let client = open_tunnel(proxy, format!("n{number}.example.test:{port}"));
                    drop((client, origin));
                }
            });
        }
    });
    let mut dialled = HashSet::new();
    for _ in 0..NAMES {
        dialled.insert(
            origin
                .accept()
                .local_addr()
                .expect("a connected socket has an address")
                .ip(),
        );
    }
    assert_eq!(
        dialled,
        (0..NAMES).map(|number| loopback(512 + number)).collect()
    );
}
