//! The rows about how a tunnel ends: idle, half-closed and silent, drained, or not begun because there are too many.

use std::io::{ErrorKind, Write};
use std::net::{Shutdown, TcpStream};
use std::time::{Duration, Instant};

use crate::MODES;
use crate::support::*;

/// Asserts that a deadline of `deadline` was neither missed nor anticipated. The upper bound only tells a deadline from
/// none at all: the machine may be busy.
#[track_caller]
fn expect_about(deadline: Duration, took: Duration) {
    assert!(
        took >= deadline.mul_f64(0.9),
        "{took:?} is before {deadline:?}"
    );
    assert!(
        took < deadline + Duration::from_secs(5),
        "{took:?} is long after {deadline:?}"
    );
}

#[test]
fn idle_tunnel_ends_after_idle_timeout_counted() {
    let idle = Duration::from_millis(600);
    for mode in MODES {
        let proxy = Proxy::start(&["--zero-copy", mode, "--idle-timeout", "600ms"]);
        let start = proxy.footing();
        let Tunnel {
            client,
            origin,
            target,
        } = Tunnel::open(&proxy);
        ping(&client, &origin, b"twelve bytes");
        let since = Instant::now();
        let (client_end, origin_end) = (end_of(&client), end_of(&origin)); // FIN or RST
        expect_about(idle, since.elapsed());
        let line = proxy.await_closed(&target.to_string());
        assert!(
            line.to_lowercase().contains("idle"),
            "{line} (client {client_end:?}, origin {origin_end:?})"
        );
        assert!(
            line.contains("up=12 ") && line.contains("down=0 "),
            "{line}"
        );
        proxy.await_gauges(&start);
    }
}

#[test]
fn idle_tunnel_is_kept_by_every_byte_in_either_direction() {
    let proxy = Proxy::start(&["--idle-timeout", "2s"]);
    let Tunnel { client, origin, .. } = Tunnel::open(&proxy);
    let start = Instant::now();
    let mut turn = 0;
    while start.elapsed() < Duration::from_secs(5) {
        expect_quiet(&client, Duration::from_millis(250));
        let (from, to) = if turn % 2 == 0 {
            (&client, &origin)
        } else {
            (&origin, &client)
        };
        ping(from, to, &[turn]);
        turn += 1;
    }
    let since = Instant::now();
    end_of(&client);
    expect_about(Duration::from_secs(2), since.elapsed());
}

#[test]
fn idle_tunnel_with_a_reader_that_has_stopped_ends_too() {
    let proxy = Proxy::start(&["--idle-timeout", "800ms"]);
    let start = proxy.footing();
    let tunnel = Tunnel::open(&proxy);
    write_until_stalled(&tunnel.origin, 64 << 20, Duration::from_millis(200));
    await_hang_up(&tunnel.origin);
    proxy.await_gauges(&start);
}

/// Waits until the proxy has given up this connection, of which nobody reads.
#[track_caller]
fn await_hang_up(stream: &TcpStream) {
    let (_, end) = read_until_end(stream);
    let _ = end; // FIN or RST, as it likes
}

#[test]
fn half_closed_tunnel_with_no_traffic_ends_after_its_own_shorter_timeout() {
    let half_close = Duration::from_millis(500);
    for mode in MODES {
        let proxy = Proxy::start(&[
            "--zero-copy",
            mode,
            "--half-close-timeout",
            "500ms",
            "--idle-timeout",
            "60s",
        ]);
        let start = proxy.footing();
        for side in Side::BOTH {
            let tunnel = Tunnel::open(&proxy);
            let target = tunnel.target;
            let (closes, other) = tunnel.from(side);
            ping(&closes, &other, b"before");
            closes
                .shutdown(Shutdown::Write)
                .expect("the connection stands");
            assert_eq!(end_of(&other), End::Fin);
            let since = Instant::now();
            end_of(&closes);
            expect_about(half_close, since.elapsed());
            let line = proxy.await_closed(&target.to_string());
            assert!(line.to_lowercase().contains("half"), "{line}");
            drop(other);
        }
        proxy.await_gauges(&start);
    }
}

#[test]
fn half_closed_tunnel_with_no_traffic_ends_re_armed_by_every_byte() {
    for mode in MODES {
        let proxy = Proxy::start(&[
            "--zero-copy",
            mode,
            "--half-close-timeout",
            "1s",
            "--idle-timeout",
            "60s",
        ]);
        for side in Side::BOTH {
            let (closes, other) = Tunnel::open(&proxy).from(side);
            closes
                .shutdown(Shutdown::Write)
                .expect("the connection stands");
            assert_eq!(end_of(&other), End::Fin);
            for byte in 0..8 {
                expect_quiet(&closes, Duration::from_millis(200));
                ping(&other, &closes, &[byte]);
            }
            let since = Instant::now();
            end_of(&closes);
            expect_about(Duration::from_secs(1), since.elapsed());
        }
    }
}

#[test]
fn sigterm_while_tunnels_run_they_run_on_until_done_new_connections_go_elsewhere_exit_code_0() {
    let mut proxy = Proxy::start(&["--drain-timeout", "60s"]);
    let first = Tunnel::open(&proxy);
    let second = Tunnel::open(&proxy);
    ping(&first.client, &first.origin, b"before");
    proxy.terminate();
    let line = proxy
        .await_lines("that it drains", 1, "draining ")
        .remove(0);
    assert!(line.contains("connections=2"), "{line}");
    until("new connections to be refused", || {
        TcpStream::connect(proxy.address())
            .is_err_and(|error| error.kind() == ErrorKind::ConnectionRefused)
            .then_some(())
    });
    for tunnel in [&first, &second] {
        ping(&tunnel.client, &tunnel.origin, b"up while it drains");
        ping(&tunnel.origin, &tunnel.client, b"down while it drains");
    }
    drop(first);
    ping(&second.client, &second.origin, b"the last one");
    assert!(!proxy.has_ended(), "a tunnel still runs");
    second
        .client
        .shutdown(Shutdown::Write)
        .expect("the connection stands");
    assert_eq!(end_of(&second.origin), End::Fin);
    ping(
        &second.origin,
        &second.client,
        b"half-closed while it drains",
    );
    drop(second);
    assert_eq!(proxy.await_exit().code(), Some(0));
}

#[test]
fn sigterm_while_tunnels_run_in_the_middle_of_a_transfer() {
    for mode in MODES {
        let mut proxy = Proxy::start(&["--zero-copy", mode, "--drain-timeout", "60s"]);
        let Tunnel { client, origin, .. } = Tunnel::open(&proxy);
        let content = Content::new(5);
        let writer = std::thread::spawn(move || {
            send(&origin, content, 32 << 20, &[65_536]).expect("the tunnel takes the answer");
        });
        content.check(0, &read_exactly(&client, 65_536));
        proxy.terminate();
        proxy.await_lines("that it drains", 1, "draining ");
        let rest = (32 << 20) - 65_536;
        content.check(65_536, &read_exactly(&client, rest));
        writer.join().expect("all was written");
        assert_eq!(end_of(&client), End::Fin);
        drop(client);
        assert_eq!(proxy.await_exit().code(), Some(0));
    }
}

#[test]
fn sigterm_while_no_tunnel_runs_ends_at_once_with_exit_code_0() {
    let mut proxy = Proxy::start(&["--drain-timeout", "60s"]);
    drop(Tunnel::open(&proxy));
    proxy.await_snapshot("the end of the tunnel", |snapshot| {
        snapshot.value("connections") == 0
    });
    proxy.terminate();
    assert_eq!(proxy.await_exit().code(), Some(0));
}

#[test]
fn sigterm_while_tunnels_run_they_are_cut_after_drain_timeout() {
    let mut proxy = Proxy::start(&["--drain-timeout", "500ms"]);
    let tunnels = [(); 3].map(|()| Tunnel::open(&proxy));
    write_until_stalled(&tunnels[1].origin, 64 << 20, Duration::from_millis(200));
    tunnels[2]
        .client
        .shutdown(Shutdown::Write)
        .expect("the connection stands");
    let since = Instant::now();
    proxy.terminate();
    assert_eq!(proxy.await_exit().code(), Some(0));
    expect_about(Duration::from_millis(500), since.elapsed());
    end_of(&tunnels[0].client);
    end_of(&tunnels[0].origin);
}

#[test]
fn sigterm_twice_ends_at_once_with_exit_code_0() {
    let mut proxy = Proxy::start(&["--drain-timeout", "60s"]);
    let tunnel = Tunnel::open(&proxy);
    proxy.terminate();
    proxy.await_lines("that it drains", 1, "draining ");
    ping(&tunnel.client, &tunnel.origin, b"still there");
    proxy.terminate();
    assert_eq!(proxy.await_exit().code(), Some(0));
    end_of(&tunnel.client);
}

#[test]
fn connection_limit_reached_is_503_close_and_recovers() {
    let proxy = Proxy::start(&["--max-connections", "2"]);
    let start = proxy.footing();
    let origin = Origin::listen();
    let first = Tunnel::open_to(&proxy, &origin);
    let second = Tunnel::open_to(&proxy, &origin);
    for _ in 0..50 {
        // The reply must arrive although the client's head crosses it.
        let reply = refused(&proxy, origin.address());
        assert_eq!(reply.status, 503, "{}", reply.head);
    }
    origin.expect_untouched();
    assert!(proxy.snapshot().value("shed") >= 50, "counted");
    ping(&first.client, &first.origin, b"the others");
    ping(&second.origin, &second.client, b"do not notice");
    drop(first);
    until("a place for another tunnel", || {
        let mut client = connect(&proxy);
        client
            .write_all(&head(origin.address()))
            .expect("the proxy takes the head");
        (read_reply(&client).status == 200).then_some(())
    });
    drop((second, origin));
    proxy.await_gauges(&start);
}

#[test]
fn sigterm_while_a_head_is_on_its_way_turns_nobody_away_who_was_let_in() {
    let mut proxy = Proxy::start(&["--drain-timeout", "60s"]);
    let origin = Origin::listen();
    let request = head(origin.address());
    let mut begun = connect(&proxy);
    begun
        .write_all(&request[..20])
        .expect("the proxy takes a part of the head");
    let mut silent = connect(&proxy);
    proxy.await_snapshot("both connections", |snapshot| {
        snapshot.value("connections") == 2
    });
    proxy.terminate();
    proxy.await_lines("that it drains", 1, "draining ");
    for (client, rest) in [(&mut begun, &request[20..]), (&mut silent, &request[..])] {
        client.write_all(rest).expect("the proxy takes the rest");
        assert_eq!(read_reply(client).status, 200);
        ping(client, &origin.accept(), b"through");
    }
    drop((begun, silent));
    assert_eq!(proxy.await_exit().code(), Some(0));
}

#[test]
fn sigterm_while_connections_wait_in_the_queue_turns_nobody_away_who_was_let_in() {
    const CLIENTS: usize = 200;
    let mut proxy = Proxy::start(&["--drain-timeout", "60s"]);
    let echo = Echo::start();
    let clients: Vec<TcpStream> = proxy.while_stopped(|| {
        let clients = (0..CLIENTS).map(|_| connect(&proxy)).collect();
        proxy.terminate();
        clients
    });
    proxy.await_lines("that it drains", 1, "draining ");
    for mut client in &clients {
        client
            .write_all(&head(echo.address()))
            .expect("the proxy takes the head");
        assert_eq!(read_reply(client).status, 200);
        ping(client, client, b"there and back");
    }
    drop(clients);
    assert_eq!(proxy.await_exit().code(), Some(0));
}
