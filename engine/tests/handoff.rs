//! SO_REUSEPORT spreads connections by hash; a worker with clearly more than its share gives new ones away. The tests
//! keep every tunnel that the kernel gave to one worker and close the others, until that worker has had enough.

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use ringway_engine::server::{Config, Server, WorkerSnapshot, allowed_cores};

/// Far more than the imbalance needs: half of the connections reach the worker that is to have too many.
const CONNECTIONS_MAX: usize = 400;
const DEADLINE: Duration = Duration::from_secs(20);

fn counter(snapshot: &WorkerSnapshot, name: &str) -> u64 {
    let values = snapshot.counters.values();
    values
        .iter()
        .find(|(counter, _)| *counter == name)
        .expect("a known counter")
        .1
}

/// Waits until the workers together hold `expected` connections, and says how many each holds.
fn settle(server: &Server, expected: usize) -> Vec<WorkerSnapshot> {
    let start = Instant::now();
    loop {
        let snapshots = server.snapshot();
        if snapshots
            .iter()
            .map(|snapshot| snapshot.connections)
            .sum::<usize>()
            == expected
        {
            return snapshots;
        }
        assert!(
            start.elapsed() < DEADLINE,
            "the workers never held {expected} connections"
        );
    }
}

/// A tunnel to an echo that proves that it works.
fn tunnel(proxy: SocketAddr, origin: SocketAddr) -> TcpStream {
    let mut stream = TcpStream::connect(proxy).expect("the proxy listens");
    stream.set_read_timeout(Some(DEADLINE)).expect("a timeout");
    write!(
        stream,
        "CONNECT {origin} HTTP/1.1\r\nHost: {origin}\r\n\r\n"
    )
    .expect("sent");
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        stream.read_exact(&mut byte).expect("an answer");
        head.push(byte[0]);
    }
    assert!(
        head.starts_with(b"HTTP/1.1 200 "),
        "{}",
        String::from_utf8_lossy(&head)
    );
    let mut echoed = [0; 4];
    stream.write_all(b"ping").expect("sent");
    stream.read_exact(&mut echoed).expect("echoed");
    assert_eq!(&echoed, b"ping");
    stream
}

/// Where an echo for each connection listens.
fn echo() -> SocketAddr {
    let origin = TcpListener::bind("127.0.0.1:0").expect("a listener");
    let address = origin.local_addr().expect("its address");
    thread::spawn(move || {
        for stream in origin.incoming() {
            let mut stream = stream.expect("a connection");
            thread::spawn(move || {
                let mut byte = [0; 4];
                while stream.read_exact(&mut byte).is_ok() && stream.write_all(&byte).is_ok() {}
            });
        }
    });
    address
}

/// A server of two workers, the second of which may be on the CPU of the first: what matters is that each has its own
/// listener and ring.
fn two_workers() -> Server {
    let cores = allowed_cores();
    let first = *cores.first().expect("a core");
    Server::start(Config {
        listen: vec!["127.0.0.1:0".parse().expect("an address")],
        cores: vec![first, cores.get(1).copied().unwrap_or(first)],
        ..Config::default()
    })
    .expect("the server starts")
}

/// Opens tunnels, and keeps those that `overloaded` holds, until it gives one away. Gives the kept ones, and what the
/// workers held before the last and after it.
fn overload(
    server: &Server,
    origin: SocketAddr,
    overloaded: usize,
) -> (Vec<TcpStream>, [Vec<WorkerSnapshot>; 2]) {
    let mut kept: Vec<TcpStream> = Vec::new();
    for _ in 0..CONNECTIONS_MAX {
        let before = settle(server, kept.len());
        let stream = tunnel(server.addresses()[0], origin);
        let after = settle(server, kept.len() + 1);
        let given = counter(&after[overloaded], "handed_off") > 0;
        if given || after[overloaded].connections > before[overloaded].connections {
            kept.push(stream);
        } else {
            drop(stream);
        }
        if given {
            return (kept, [before, after]);
        }
    }
    panic!("nothing was handed over with {} connections", kept.len());
}

#[test]
fn an_overloaded_worker_hands_new_connections_over() {
    let server = two_workers();
    let (_kept, [before, after]) = overload(&server, echo(), 0);
    assert_eq!(
        counter(&after[1], "taken_over"),
        counter(&after[0], "handed_off")
    );
    assert_eq!(
        after[1].connections,
        before[1].connections + 1,
        "worker 1 holds what it was given"
    );
    let start = Instant::now();
    server.stop();
    server.join().expect("an orderly end");
    assert!(start.elapsed() < DEADLINE, "a worker slept over its end");
}

/// What the connection ends with is not nothing.
fn expect_end(mut client: &TcpStream) {
    match client.read(&mut [0]) {
        Ok(0) => {}
        Err(error) if error.kind() == ErrorKind::ConnectionReset => {}
        other => panic!("neither FIN nor RST: {other:?}"),
    }
}

/// A connection that was on its way from one worker to another when that ended belonged to nobody, and hung until the
/// process had ended.
#[test]
fn connections_on_their_way_to_a_worker_that_stops_are_closed() {
    const CLIENTS: usize = 600;
    let origin = echo();
    for round in 0..12 {
        let server = two_workers();
        // The second worker is told last, and so the one that is left with somebody to give to.
        let (_kept, _) = overload(&server, origin, 1);
        let (proxy, connected) = (server.addresses()[0], AtomicUsize::new(0));
        let clients = thread::scope(|scope| {
            let connecting = scope.spawn(|| {
                let mut clients = Vec::new();
                while clients.len() < CLIENTS
                    && let Ok(client) = TcpStream::connect(proxy)
                {
                    client.set_read_timeout(Some(DEADLINE)).expect("a timeout");
                    clients.push(client);
                    connected.store(clients.len(), Ordering::Release);
                }
                clients
            });
            // Where in the stream of connections the end comes differs with the rounds.
            while connected.load(Ordering::Acquire) < 100 + 20 * round {
                thread::yield_now();
            }
            server.stop();
            server.join().expect("an orderly end");
            connecting.join().expect("the clients connect")
        });
        clients.iter().for_each(expect_end);
    }
}
