//! A WebSocket whose handshake is over: bytes in order, from before and behind the 101, both ends, its own timeout.

use std::net::Shutdown;
use std::thread;
use std::time::{Duration, Instant};

use crate::support::*;
use crate::{SWITCH, UPGRADE, open};

const MODES: [&str; 4] = ["auto", "splice", "send-zc", "off"];

#[test]
fn tunnel_mode_before_the_101_never() {
    let proxy = Proxy::start(&[]);
    let mut exchange = Exchange::begin(&proxy, &(UPGRADE.to_owned() + "behind the head, "));
    exchange.client.send("and later, ");
    exchange.server.expect_quiet(Duration::from_millis(150));
    exchange.client.expect_quiet(Duration::from_millis(50));
    exchange.server.send(SWITCH);
    assert_eq!(exchange.client.head().status(), 101);
    exchange.client.send("and after the 101");
    let sent = b"behind the head, and later, and after the 101";
    assert_eq!(exchange.server.exactly(sent.len()), sent);
    drop(exchange.client);
    assert_eq!(exchange.server.end(), End::Fin);
}

#[test]
fn bytes_behind_the_request_head_or_behind_the_101_are_relayed_in_order() {
    for mode in MODES {
        for options in [&[][..], &["--buffers", "2", "--buffer-size", "512"]] {
            let proxy = Proxy::start(&[&["--zero-copy", mode], options].concat());
            let start = proxy.footing();
            for length in [1, 4095, 60_000] {
                let [up, down] = [1, 2].map(|seed| Content::new(seed).bytes(2 * length));
                let origin = Origin::listen();
                let mut client = Wire::to(&proxy);
                let head = about(origin.address(), UPGRADE);
                let sender = client.stream().try_clone().expect("a descriptor is left");
                thread::scope(|scope| {
                    let (first, second) = up.split_at(length);
                    let first = [head.as_bytes(), first].concat();
                    let sender = Wire::new(sender);
                    scope.spawn(move || sender.send(first)); // it may have to wait for the 101
                    let mut server = Wire::from(&origin, &client);
                    server.head();
                    let answer = [SWITCH.as_bytes(), &down[..length]].concat();
                    let answering = server.stream().try_clone().expect("a descriptor is left");
                    scope.spawn(move || Wire::new(answering).send(answer));
                    assert_eq!(client.head().status(), 101);
                    assert!(client.exactly(length) == down[..length], "{mode} {length}");
                    assert!(server.exactly(length) == up[..length], "{mode} {length}");
                    let more = client.stream().try_clone().expect("a descriptor is left");
                    scope.spawn(move || Wire::new(more).send(second));
                    assert!(server.exactly(length) == up[length..], "{mode} {length}");
                });
            }
            proxy.await_gauges(&start);
        }
    }
}

#[test]
fn bytes_behind_the_101_however_it_is_cut() {
    let proxy = Proxy::start(&[]);
    let answer = SWITCH.to_owned() + "frames";
    for cut in 1..answer.len() {
        let mut exchange = Exchange::begin(&proxy, UPGRADE);
        let (first, second) = answer.split_at(cut);
        exchange.server.send(first);
        exchange.server.send(second);
        assert_eq!(exchange.client.head().status(), 101, "cut at {cut}");
        assert_eq!(exchange.client.exactly(6), b"frames", "cut at {cut}");
    }
}

#[test]
fn bytes_in_both_directions_at_once() {
    const LENGTH: u64 = 20 << 20;
    for mode in MODES {
        let proxy = Proxy::start(&["--zero-copy", mode]);
        let start = proxy.footing();
        let Exchange { client, server, .. } = open(&proxy);
        let (client, server) = (client.into_stream(), server.into_stream());
        let [up, down] = [1, 2].map(Content::new);
        let sending = |stream: &std::net::TcpStream, content| {
            send(stream, content, LENGTH, &[65_536, 1, 5000]).expect("the relay takes bytes");
            stream
                .shutdown(Shutdown::Write)
                .expect("the connection stands");
        };
        thread::scope(|scope| {
            scope.spawn(|| sending(&client, up));
            scope.spawn(|| sending(&server, down));
            scope.spawn(|| assert_eq!(receive(&server, up).expect("a clean end"), LENGTH));
            assert_eq!(receive(&client, down).expect("a clean end"), LENGTH);
        });
        drop((client, server));
        proxy.await_gauges(&start);
    }
}

#[test]
fn ends_pass_in_both_directions() {
    let proxy = Proxy::start(&[]);
    let start = proxy.footing();
    for side in Side::BOTH {
        let ends = || {
            let Exchange { client, server, .. } = open(&proxy);
            match side {
                Side::Client => (client, server),
                Side::Origin => (server, client),
            }
        };
        let (mut first, mut other) = ends();
        first.send("last");
        first.finish();
        assert_eq!(other.rest(), (b"last".to_vec(), End::Fin), "{side:?}");
        other.send("later");
        other.finish();
        assert_eq!(first.rest(), (b"later".to_vec(), End::Fin), "{side:?}");
        let (first, mut other) = ends();
        reset(first.into_stream());
        assert_eq!(other.end(), End::Reset, "{side:?}");
    }
    proxy.await_gauges(&start);
}

#[track_caller]
fn expect_about(deadline: Duration, took: Duration) {
    let long_after = deadline + Duration::from_secs(5); // the machine may be busy
    assert!(
        took >= deadline.mul_f64(0.9) && took < long_after,
        "{took:?}, not {deadline:?}"
    );
}

#[test]
fn idle_has_its_own_timeout() {
    let proxy = Proxy::start(&[
        "--idle-timeout",
        "200ms",
        "--websocket-idle-timeout",
        "900ms",
    ]);
    let start = proxy.footing();
    let Exchange {
        mut client,
        mut server,
        ..
    } = open(&proxy);
    client.expect_quiet(Duration::from_millis(600)); // that of tunnels and exchanges is long over
    ping(server.stream(), client.stream(), b"a frame puts it off");
    let since = Instant::now();
    client.rest();
    expect_about(Duration::from_millis(900), since.elapsed());
    server.rest();
    drop((client, server));
    proxy.await_gauges(&start);
}

#[test]
fn idle_timeout_does_not_wait_so_long_for_the_101() {
    let proxy = Proxy::start(&["--idle-timeout", "400ms", "--websocket-idle-timeout", "60s"]);
    let mut exchange = Exchange::begin(&proxy, UPGRADE);
    let since = Instant::now();
    exchange.client.response().expect_some_error(504);
    expect_about(Duration::from_millis(400), since.elapsed());
    exchange.server.rest();
}

#[test]
fn idle_is_long_by_default() {
    let proxy = Proxy::start(&["--idle-timeout", "300ms", "--keep-alive-timeout", "300ms"]);
    let Exchange { client, server, .. } = open(&proxy);
    client.expect_quiet(Duration::from_millis(900));
    ping(client.stream(), server.stream(), b"still there");
    ping(server.stream(), client.stream(), b"still there");
}

#[test]
fn slow_reader_is_back_pressure_and_costs_no_cpu() {
    let proxy = Proxy::start(&[]);
    let start = proxy.footing();
    let quiet = Tunnel::open(&proxy);
    let exchange = open(&proxy);
    stall(exchange.server.stream());
    let before = proxy.snapshot().value("enters");
    expect_quiet(&quiet.client, Duration::from_millis(400));
    let enters = proxy.snapshot().value("enters") - before;
    assert!(enters < 200, "{enters} enters while nothing moved");
    drop((quiet, exchange));
    proxy.await_gauges(&start);
}

#[test]
fn sigterm_while_it_runs_lets_it_run_on_until_it_is_done() {
    let mut proxy = Proxy::start(&["--drain-timeout", "60s"]);
    let Exchange {
        client, mut server, ..
    } = open(&proxy);
    proxy.terminate();
    proxy.await_lines("that it drains", 1, "draining ");
    ping(client.stream(), server.stream(), b"up while it drains");
    ping(server.stream(), client.stream(), b"down while it drains");
    assert!(!proxy.has_ended(), "it still runs");
    drop(client);
    assert_eq!(server.end(), End::Fin);
    drop(server);
    assert_eq!(proxy.await_exit().code(), Some(0));
}
