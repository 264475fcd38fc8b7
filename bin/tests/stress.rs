//! Many connections, few resources, and people who mean harm: slow, perhaps, but never wrong, and nothing is left
//! behind. Each test has the machine's file descriptors to itself.

mod support;

use std::io::{self, ErrorKind, Write};
use std::net::{IpAddr, Shutdown, TcpStream};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use support::*;

/// Threads that open connections; each has an origin of its own.
const THREADS: u16 = 16;

/// Tunnels to hold at once.
const HELD: usize = 9000;

/// Files that the test program needs beside the two of each tunnel it holds.
const FILES_SPARE: u64 = 500;

/// Held by the test that runs: together they would need more descriptors than a process may have.
fn alone() -> MutexGuard<'static, ()> {
    static ALONE: Mutex<()> = Mutex::new(());
    raise_file_limit();
    ALONE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Connections to churn through: `RINGWAY_CHURN`, or 100,000.
fn churned() -> usize {
    std::env::var("RINGWAY_CHURN")
        .ok()
        .and_then(|number| number.parse().ok())
        .unwrap_or(100_000)
}

/// An origin on an address of this thread's own, so that no pair of addresses runs out of ports.
fn origin_of(thread: u16) -> Origin {
    Origin::listen_at((loopback(0x100 + thread), 0))
}

/// Where a thread's connection comes from, for the same reason.
fn source_of(thread: u16, number: usize) -> IpAddr {
    loopback(0x200 + thread * 16 + (number % 16) as u16)
}

/// One connection from `source`: CONNECT, a round trip, and the end in one of four ways.
fn one_connection(proxy: &Proxy, origin: &Origin, source: IpAddr, number: usize) {
    let mut client = connect_from(source, proxy.address());
    client
        .write_all(&head(origin.address()))
        .expect("the proxy takes the head");
    let reply = read_reply(&client);
    assert_eq!(reply.status, 200, "connection {number}: {}", reply.head);
    let server = origin.accept();
    let bytes = number.to_le_bytes();
    ping(&client, &server, &bytes);
    ping(&server, &client, &bytes);
    match number % 4 {
        0 => {
            drop(client);
            assert_eq!(end_of(&server), End::Fin);
        }
        1 => {
            drop(server);
            assert_eq!(end_of(&client), End::Fin);
        }
        2 => {
            client
                .shutdown(Shutdown::Write)
                .expect("the connection stands");
            assert_eq!(end_of(&server), End::Fin);
            drop(server);
            assert_eq!(end_of(&client), End::Fin);
        }
        _ => {
            reset(client);
            assert_eq!(end_of(&server), End::Reset);
        }
    }
}

fn churn(proxy: &Proxy, connections: usize) {
    thread::scope(|scope| {
        for part in 0..THREADS {
            scope.spawn(move || {
                let origin = origin_of(part);
                for number in (usize::from(part)..connections).step_by(usize::from(THREADS)) {
                    one_connection(
                        proxy,
                        &origin,
                        source_of(part, number / usize::from(THREADS)),
                        number,
                    );
                }
            });
        }
    });
}

/// Opens `count` tunnels, from several threads, and gives them all.
fn hold(proxy: &Proxy, count: usize) -> Vec<(TcpStream, TcpStream)> {
    const PARTS: u16 = 4;
    thread::scope(|scope| {
        let parts: Vec<_> = (0..PARTS)
            .map(|part| {
                scope.spawn(move || {
                    let origin = origin_of(part);
                    let open = |number: usize| {
                        let mut client = connect_from(source_of(part, number), proxy.address());
                        client
                            .write_all(&head(origin.address()))
                            .expect("the proxy takes the head");
                        let reply = read_reply(&client);
                        assert_eq!(reply.status, 200, "{}", reply.head);
                        (client, origin.accept())
                    };
                    (usize::from(part)..count)
                        .step_by(usize::from(PARTS))
                        .map(open)
                        .collect::<Vec<_>>()
                })
            })
            .collect();
        parts
            .into_iter()
            .flat_map(|part| part.join().expect("every tunnel opens"))
            .collect()
    })
}

fn ping_each(tunnels: &[(TcpStream, TcpStream)]) {
    for ((client, server), number) in tunnels.iter().zip(0_u32..) {
        ping(client, server, &number.to_le_bytes());
        ping(server, client, &number.to_be_bytes());
    }
}

#[test]
fn churned_connections_and_held_tunnels_leave_every_gauge_where_it_was() {
    let _alone = alone();
    let proxy = Proxy::start(&["--cores", "all", "--log", "info"]);
    let start = proxy.footing();
    let files = raise_file_limit();
    let begun = Instant::now();
    churn(&proxy, churned());
    eprintln!("{} connections in {:?}", churned(), begun.elapsed());
    assert_eq!(proxy.snapshot().value("accepted"), churned() as u64);
    proxy.await_gauges(&start);

    let held = HELD.min(usize::try_from((files - FILES_SPARE) / 2).unwrap_or(usize::MAX));
    if held < HELD {
        skip(
            "a part of the held tunnels",
            &format!("a limit of {files} files allows {held}"),
        );
    }
    let before = proxy.process().pss_kib();
    let tunnels = hold(&proxy, held);
    ping_each(&tunnels);
    assert_eq!(proxy.snapshot().value("connections"), held as u64);
    let bytes = proxy.process().pss_kib().saturating_sub(before) * 1024 / held as u64;
    eprintln!("{bytes} bytes of PSS for each of {held} tunnels");
    let bound = if cfg!(debug_assertions) { 2048 } else { 1024 };
    assert!(bytes <= bound, "{bytes} bytes of PSS for an idle tunnel");
    drop(tunnels);
    proxy.await_gauges(&start);
}

/// Ways to have too little of everything.
const SCARCE: [&[&str]; 5] = [
    &["--buffers", "1"],
    &["--buffers", "2", "--buffer-size", "512"],
    &["--ring-entries", "8"],
    &[
        "--buffers",
        "1",
        "--buffer-size",
        "512",
        "--ring-entries",
        "8",
    ],
    &[
        "--buffers",
        "2",
        "--buffer-size",
        "512",
        "--zero-copy",
        "send-zc",
    ],
];

/// Both ends of every tunnel send while the program is stopped: it wakes to all of it, which is more than its buffers
/// and completions can hold.
fn ping_all_at_once(proxy: &Proxy, tunnels: &[(TcpStream, TcpStream)]) {
    let bytes = Content::new(1).bytes(2000);
    proxy.while_stopped(|| {
        for (mut client, mut server) in tunnels.iter().map(|(client, server)| (client, server)) {
            client.write_all(&bytes).expect("the kernel takes it");
            server.write_all(&bytes).expect("the kernel takes it");
        }
    });
    for (client, server) in tunnels {
        assert_eq!(read_exactly(client, bytes.len()), bytes);
        assert_eq!(read_exactly(server, bytes.len()), bytes);
    }
}

/// Sends `length` bytes each way at once, checks them all, and closes.
fn both_ways(client: &TcpStream, origin: &TcpStream, length: u64, seed: u32) {
    let [up, down] = [seed, seed + 1].map(Content::new);
    let sending = |stream: &TcpStream, content| -> io::Result<()> {
        send(stream, content, length, &[5000, 1, 300])?;
        stream.shutdown(Shutdown::Write)
    };
    thread::scope(|scope| {
        scope.spawn(move || sending(client, up).expect("the tunnel takes bytes"));
        scope.spawn(move || sending(origin, down).expect("the tunnel takes bytes"));
        scope.spawn(move || assert_eq!(receive(origin, up).expect("a clean end"), length));
        assert_eq!(receive(client, down).expect("a clean end"), length);
    });
}

#[test]
fn scarce_buffers_and_completions_are_slow_but_never_wrong() {
    let _alone = alone();
    for options in SCARCE {
        for tuning in [None, Some("1,1048576,1,0")] {
            let proxy = tuning
                .into_iter()
                .fold(Launch::new(options), Launch::tuning)
                .start();
            let start = proxy.footing();
            let begun = Instant::now();
            thread::scope(|scope| {
                for seed in 0..12 {
                    let proxy = &proxy;
                    scope.spawn(move || {
                        let tunnel = Tunnel::open(proxy);
                        both_ways(&tunnel.client, &tunnel.origin, 500_000, 2 * seed);
                    });
                }
            });
            eprintln!("{options:?} {tuning:?}: bulk {:?}", begun.elapsed());
            churn(&proxy, 800);
            let tunnels = hold(&proxy, 300);
            ping_each(&tunnels);
            ping_all_at_once(&proxy, &tunnels);
            let counted = proxy.snapshot();
            for (option, counter) in [
                ("--buffers", "no_buffers"),
                ("--ring-entries", "cq_overflows"),
            ] {
                let scarce = options.contains(&option);
                assert!(
                    !scarce || counted.value(counter) > 0,
                    "{option} was never scarce: {counted:?}"
                );
            }
            drop(tunnels);
            proxy.await_gauges(&start);
            eprintln!("{options:?} {tuning:?}: all {:?}", begun.elapsed());
        }
    }
}

#[test]
fn scarce_socket_buffers_are_slow_but_never_wrong() {
    let _alone = alone();
    for options in [
        &[][..],
        &[
            "--buffers",
            "1",
            "--buffer-size",
            "512",
            "--ring-entries",
            "8",
        ],
    ] {
        for mode in ["auto", "off"] {
            let proxy = Launch::new(&[options, &["--zero-copy", mode]].concat())
                .tuning("1,4096,2,0")
                .start();
            let start = proxy.footing();
            let begun = Instant::now();
            thread::scope(|scope| {
                for seed in 0..8 {
                    let proxy = &proxy;
                    scope.spawn(move || {
                        let tunnel = Tunnel::open_narrow(proxy);
                        both_ways(&tunnel.client, &tunnel.origin, 60_000, 2 * seed);
                    });
                }
            });
            eprintln!("{options:?} {mode}: {:?}", begun.elapsed());
            proxy.await_gauges(&start);
        }
    }
}

/// Opens tunnels until the proxy has no descriptors left; gives the tunnels, and the clients it refused or lets wait.
/// Those stay open too: a refused client that does not close is one more descriptor, for a while.
fn exhaust(proxy: &Proxy, origin: &Origin) -> (Vec<(TcpStream, TcpStream)>, Vec<TcpStream>) {
    const CLIENTS: usize = 150;
    let (mut tunnels, mut others) = (Vec::new(), Vec::new());
    let mut waiting = 0;
    for _ in 0..CLIENTS {
        let mut client = connect(proxy);
        client
            .write_all(&head(origin.address()))
            .expect("the kernel takes the head");
        client
            .set_read_timeout(Some(Duration::from_millis(500)))
            .expect("an option of every socket");
        match try_reply(&client) {
            Ok(reply) if reply.status == 200 => {
                tunnels.push((client, origin.accept()));
                continue;
            }
            Ok(reply) => assert_eq!(reply.status, 503, "{}", reply.head),
            Err(error) => {
                let pauses = matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut);
                assert!(pauses, "{error}");
                waiting += 1;
            }
        }
        others.push(client);
        if waiting == 8 {
            break; // it pauses for good
        }
    }
    (tunnels, others)
}

#[test]
fn no_file_descriptors_left_sheds_or_pauses_without_a_spin_and_recovers_by_itself() {
    let _alone = alone();
    let proxy = Launch::new(&["--idle-timeout", "60s"])
        .file_limit(64)
        .start();
    let start = proxy.footing();
    for _ in 0..2 {
        let origin = Origin::listen();
        let (tunnels, others) = exhaust(&proxy, &origin);
        assert!(
            (10..32).contains(&tunnels.len()),
            "{} tunnels under a limit of 64 files",
            tunnels.len()
        );
        let queue: Vec<TcpStream> = (0..100).map(|_| connect(&proxy)).collect();
        let lines = proxy.log().len();
        let spent = proxy.process().cpu();
        thread::sleep(Duration::from_secs(1)); // the time over which the cost of being exhausted is measured
        let spent = proxy.process().cpu() - spent;
        assert!(
            spent < Duration::from_millis(100),
            "{spent:?} of CPU in a second without work"
        );
        let lines = proxy.log().len() - lines;
        assert!(lines < 50, "{lines} lines of log in a second");
        for (client, server) in &tunnels {
            ping(client, server, b"those that stand do not notice");
        }
        drop((queue, others, tunnels));
        until("tunnels to open again", || {
            let mut client = connect(&proxy);
            client.write_all(&head(origin.address())).ok()?;
            (try_reply(&client).ok()?.status == 200).then_some(())
        });
        drop(origin);
        proxy.await_gauges(&start);
    }
}

#[test]
fn slowloris_is_bounded_by_head_timeout_and_costs_little_memory() {
    const CLIENTS: usize = 500;
    let _alone = alone();
    let proxy = Proxy::start(&["--head-timeout", "2s", "--log", "info"]);
    let start = proxy.footing();
    let echo = Echo::start();
    let other = open_tunnel(&proxy, echo.address());
    ping(&other, &other, b"warm");
    let before = proxy.process().pss_kib();
    let mut clients: Vec<TcpStream> = (0..CLIENTS).map(|_| connect(&proxy)).collect();
    for byte in b"CONNECT 127.0.0.1:1 HTTP/1.1\r\nX-Slow: s" {
        for client in &mut clients {
            let _ = client.write_all(&[*byte]); // the first may have run out of time before the last has begun
        }
        ping(&other, &other, b"beside them");
    }
    let grown = proxy.process().pss_kib().saturating_sub(before);
    assert!(grown < 4 * 1024, "{CLIENTS} partial heads cost {grown} KiB");
    for client in &clients {
        assert_eq!(read_reply(client).status, 408);
        assert_eq!(read_until_end(client).1, End::Fin);
    }
    ping(&other, &other, b"after them");
    drop(other);
    proxy.await_gauges(&start);
}

#[test]
fn half_open_flood_is_bounded_by_head_timeout_and_half_close_timeout() {
    let _alone = alone();
    let proxy = Proxy::start(&[
        "--head-timeout",
        "2s",
        "--half-close-timeout",
        "1s",
        "--log",
        "info",
    ]);
    let start = proxy.footing();
    let echo = Echo::start();
    let other = open_tunnel(&proxy, echo.address());
    let silent: Vec<TcpStream> = (0..1000).map(|_| connect(&proxy)).collect();
    let half_closed = hold(&proxy, 300);
    for (at, (client, server)) in half_closed.iter().enumerate() {
        let closes = if at % 2 == 0 { client } else { server };
        closes
            .shutdown(Shutdown::Write)
            .expect("the connection stands");
    }
    ping(&other, &other, b"beside them");
    for client in &silent {
        let (bytes, end) = read_until_end(client);
        assert!(
            bytes.is_empty() || bytes.starts_with(b"HTTP/1.1 408 "),
            "{:?}",
            String::from_utf8_lossy(&bytes)
        );
        assert_eq!(end, End::Fin);
    }
    for (client, server) in &half_closed {
        end_of(client);
        end_of(server);
    }
    ping(&other, &other, b"after them");
    drop(other);
    proxy.await_gauges(&start);
}

#[test]
fn buffers_exhausted_by_slow_readers_leave_enough_for_another_tunnel() {
    const SLOW: usize = 64;
    let _alone = alone();
    for mode in ["auto", "splice", "send-zc", "off"] {
        let proxy = Proxy::start(&["--buffers", "2", "--zero-copy", mode]);
        let start = proxy.footing();
        let slow: Vec<Tunnel> = (0..SLOW).map(|_| Tunnel::open_narrow(&proxy)).collect();
        let echo = Echo::start();
        let writers: Vec<&TcpStream> = slow.iter().map(|tunnel| &tunnel.origin).collect();
        write_until_all_stalled(&writers, 16 << 20, Duration::from_millis(500));
        let other = open_tunnel(&proxy, echo.address());
        for round in 0..50_u8 {
            let begun = Instant::now();
            ping(&other, &other, &[round; 1024]);
            assert!(
                begun.elapsed() < Duration::from_secs(10),
                "{mode}: round {round} took {:?}",
                begun.elapsed()
            );
        }
        let mut bulk = Content::new(8).bytes(300_000);
        let upload = other.try_clone().expect("a descriptor is left");
        let writer = thread::spawn(move || (&upload).write_all(&bulk).map(|()| bulk.clear()));
        Content::new(8).check(0, &read_exactly(&other, 300_000));
        writer
            .join()
            .expect("the writer does not panic")
            .expect("the tunnel takes bytes");
        drop((other, slow));
        proxy.await_gauges(&start);
    }
}
