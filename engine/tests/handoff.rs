//! SO_REUSEPORT spreads connections by hash; a worker with clearly more than its share gives new ones away. The test
//! keeps every tunnel that the kernel gave to worker 0 and closes the others, until worker 0 has had enough.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::time::{Duration, Instant};

use ringway_engine::server::{Config, Server, WorkerSnapshot, allowed_cores};

/// Far more than the imbalance needs: half of the connections reach worker 0.
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

#[test]
fn an_overloaded_worker_hands_new_connections_over() {
    let core = *allowed_cores().first().expect("a core");
    let listen = vec!["127.0.0.1:0".parse().expect("an address")];
    // Two workers may share a core: what matters is that each has its own listener and ring.
    let config = Config {
        listen,
        cores: vec![core, core],
        ..Config::default()
    };
    let server = Server::start(config).expect("the server starts");
    let proxy = server.addresses()[0];
    let origin = TcpListener::bind("127.0.0.1:0").expect("a listener");
    let origin_address = origin.local_addr().expect("its address");
    std::thread::spawn(move || {
        for stream in origin.incoming() {
            let mut stream = stream.expect("a connection");
            std::thread::spawn(move || {
                let mut byte = [0; 4];
                while stream.read_exact(&mut byte).is_ok() && stream.write_all(&byte).is_ok() {}
            });
        }
    });
    let mut kept: Vec<TcpStream> = Vec::new();
    for _ in 0..CONNECTIONS_MAX {
        let before = settle(&server, kept.len());
        let stream = tunnel(proxy, origin_address);
        let after = settle(&server, kept.len() + 1);
        if counter(&after[0], "handed_off") > 0 {
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
            return;
        }
        if after[0].connections > before[0].connections {
            kept.push(stream);
        } else {
            drop(stream);
        }
    }
    panic!(
        "nothing was handed over with {} connections on worker 0",
        kept.len()
    );
}
