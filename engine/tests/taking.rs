//! A worker without an idle connection to an origin takes one from another worker. Which worker a client is on, the
//! snapshots say; clients on the wrong one go, and come again from another port.

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use ringway_engine::server::{Config, Feature, Server, WorkerSnapshot, allowed_cores};

const DEADLINE: Duration = Duration::from_secs(20);
/// How often something is tried that a busy machine may prevent: the other worker has 2 ms to answer.
const TRIES: usize = 200;

fn counter(snapshot: &WorkerSnapshot, name: &str) -> u64 {
    let values = snapshot.counters.values();
    let found = values.iter().find(|(counter, _)| *counter == name);
    found.expect("a known counter").1
}

/// Of all workers together.
fn sum(server: &Server, name: &str) -> u64 {
    let snapshots = server.snapshot();
    snapshots
        .iter()
        .map(|snapshot| counter(snapshot, name))
        .sum()
}

/// Waits until the snapshots satisfy `condition`.
fn settle(
    server: &Server,
    what: &str,
    condition: impl Fn(&[WorkerSnapshot]) -> bool,
) -> Vec<WorkerSnapshot> {
    let start = Instant::now();
    loop {
        let snapshots = server.snapshot();
        if condition(&snapshots) {
            return snapshots;
        }
        assert!(start.elapsed() < DEADLINE, "never {what}: {snapshots:?}");
    }
}

fn clients(snapshots: &[WorkerSnapshot]) -> usize {
    snapshots.iter().map(|snapshot| snapshot.connections).sum()
}

/// A server of `workers` workers; on a machine with one CPU they share it.
fn server(workers: usize, force_off: Vec<Feature>) -> Server {
    let cores = allowed_cores();
    Server::start(Config {
        listen: vec!["127.0.0.1:0".parse().expect("an address")],
        cores: cores.iter().copied().cycle().take(workers).collect(),
        force_off,
        ..Config::default()
    })
    .expect("the server starts")
}

/// An origin that answers requests with two bytes.
struct Origin {
    address: SocketAddr,
    accepted: Arc<AtomicUsize>,
    /// Connections that have not ended.
    open: Arc<AtomicUsize>,
    /// The other ends of all that it has accepted.
    streams: Arc<Mutex<Vec<TcpStream>>>,
    /// Requests of one connection that it answers; with the next it closes.
    answers: Arc<AtomicUsize>,
}

impl Origin {
    fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a listener");
        let origin = Self {
            address: listener.local_addr().expect("its address"),
            accepted: Arc::default(),
            open: Arc::default(),
            streams: Arc::default(),
            answers: Arc::new(AtomicUsize::new(usize::MAX)),
        };
        let (accepted, open) = (Arc::clone(&origin.accepted), Arc::clone(&origin.open));
        let (streams, answers) = (Arc::clone(&origin.streams), Arc::clone(&origin.answers));
        thread::spawn(move || {
            for stream in listener.incoming() {
                let stream = stream.expect("a connection");
                let clone = stream.try_clone().expect("a descriptor");
                streams.lock().expect("nobody panics with it").push(clone);
                accepted.fetch_add(1, Ordering::SeqCst);
                open.fetch_add(1, Ordering::SeqCst);
                let (open, answers) = (Arc::clone(&open), answers.load(Ordering::SeqCst));
                thread::spawn(move || {
                    serve(&stream, answers);
                    let _ = stream.shutdown(Shutdown::Both); // it may have ended
                    open.fetch_sub(1, Ordering::SeqCst);
                });
            }
        });
        origin
    }

    /// From now on connections get so many answers each.
    fn answers(&self, answers: usize) {
        self.answers.store(answers, Ordering::SeqCst);
    }

    /// Ends the connections that it has.
    fn cut_off(&self) {
        let streams = self.streams.lock().expect("nobody panics with it");
        for stream in streams.iter() {
            let _ = stream.shutdown(Shutdown::Both); // it may have ended
        }
    }

    fn accepted(&self) -> usize {
        self.accepted.load(Ordering::SeqCst)
    }
}

/// Answers until the connection ends, or has had enough answers and asks once more.
fn serve(mut stream: &TcpStream, answers: usize) {
    let mut answered = 0;
    while read_head(stream).is_some() && answered < answers {
        answered += 1;
        let answer = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
        if stream.write_all(answer).is_err() {
            return;
        }
    }
}

/// Reads to the end of a head; `None` when the connection ends first.
fn read_head(mut stream: &TcpStream) -> Option<Vec<u8>> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        match stream.read(&mut byte) {
            Ok(1) => head.push(byte[0]),
            Err(error) if error.kind() == ErrorKind::WouldBlock => panic!("it hangs"),
            _ => return None,
        }
    }
    Some(head)
}

fn connect(server: &Server) -> std::io::Result<TcpStream> {
    let client = TcpStream::connect(server.addresses()[0])?;
    client.set_read_timeout(Some(DEADLINE)).expect("a timeout");
    Ok(client)
}

/// A request and the head of its answer; `None` when the connection ends before that.
fn head_of_answer(mut client: &TcpStream, origin: SocketAddr) -> Option<String> {
    let head = format!("GET http://{origin}/ HTTP/1.1\r\nHost: {origin}\r\n\r\n");
    client.write_all(head.as_bytes()).ok()?;
    let head = read_head(client)?;
    Some(String::from_utf8_lossy(&head).into_owned())
}

/// A request and its answer; `None` when the connection ends before that.
fn exchange(mut client: &TcpStream, origin: SocketAddr) -> Option<()> {
    let head = head_of_answer(client, origin)?;
    assert!(head.starts_with("HTTP/1.1 200 "), "{head}");
    let mut body = [0; 2];
    client.read_exact(&mut body).ok()?;
    assert_eq!(&body, b"ok");
    Some(())
}

/// A client of `worker`, the only one there is.
fn client_of(server: &Server, worker: usize) -> TcpStream {
    for _ in 0..TRIES {
        settle(server, "without clients", |now| clients(now) == 0);
        let client = connect(server).expect("it listens");
        let now = settle(server, "with one client", |now| clients(now) == 1);
        if now[worker].connections == 1 {
            return client;
        }
    }
    panic!("no client reaches worker {worker}");
}

/// One request of a client of `worker`, whose upstream connection is idle afterwards.
fn ask(server: &Server, worker: usize, origin: &Origin) {
    let client = client_of(server, worker);
    exchange(&client, origin.address).expect("an answer");
    drop(client);
    settle(server, "idle", |now| {
        clients(now) == 0 && now[worker].upstreams_idle > 0
    });
}

fn stop(server: &Server) {
    server.stop();
    server.join().expect("an orderly end");
}

#[test]
fn a_request_is_served_over_an_idle_connection_of_another_worker() {
    let server = server(2, Vec::new());
    let counted = || {
        let counts = |snapshot: &WorkerSnapshot| {
            ["asked", "taken", "reused"].map(|name| counter(snapshot, name))
        };
        server.snapshot().iter().map(counts).collect::<Vec<_>>()
    };
    for _ in 0..TRIES {
        let origin = Origin::start();
        let (before, mut counts) = (server.snapshot(), counted());
        let mut idle: Vec<_> = before.iter().map(|now| now.upstreams_idle).collect();
        ask(&server, 0, &origin);
        idle[0] += 1;
        assert_eq!(counted(), counts, "the first one dials");
        // There, and back.
        let all_moved = [1, 0].into_iter().all(|worker| {
            ask(&server, worker, &origin);
            if origin.accepted() > 1 {
                // The answer was late, and came for nobody.
                return false;
            }
            idle[1 - worker] -= 1;
            idle[worker] += 1;
            counts[worker] = counts[worker].map(|count| count + 1);
            let now = server.snapshot();
            let is: Vec<_> = now.iter().map(|now| now.upstreams_idle).collect();
            assert_eq!((is, counted()), (idle.clone(), counts.clone()), "it moves");
            true
        });
        if !all_moved {
            continue;
        }
        assert_eq!(origin.open.load(Ordering::SeqCst), 1);
        settle(&server, "as before", |now| {
            let as_before = |(now, before): (&WorkerSnapshot, &WorkerSnapshot)| {
                now.gauges.operations == before.gauges.operations
                    && now.gauges.leases == before.gauges.leases
            };
            now.iter().zip(&before).all(as_before)
        });
        return stop(&server);
    }
    panic!("no answer comes in time");
}

#[test]
fn a_taken_connection_that_is_found_dead_is_retried_like_any_other() {
    let server = server(2, Vec::new());
    for _ in 0..TRIES {
        let origin = Origin::start();
        origin.answers(1);
        let counted = || ["taken", "retries"].map(|name| sum(&server, name));
        ask(&server, 0, &origin);
        let [taken, retries] = counted();
        ask(&server, 1, &origin);
        assert_eq!(origin.accepted(), 2);
        if counted() == [taken + 1, retries + 1] {
            return stop(&server);
        }
        assert_eq!(counted()[1], retries, "the answer was late");
    }
    panic!("no answer comes in time");
}

#[test]
fn an_idle_connection_that_has_ended_is_not_taken_and_the_one_dialled_is_not_retried() {
    let server = server(2, Vec::new());
    for _ in 0..TRIES {
        let origin = Origin::start();
        ask(&server, 0, &origin);
        let client = client_of(&server, 1);
        let asked = sum(&server, "asked");
        origin.answers(0);
        origin.cut_off();
        let head = head_of_answer(&client, origin.address).expect("an answer");
        assert!(head.starts_with("HTTP/1.1 502 "), "{head}");
        assert_eq!(origin.accepted(), 2);
        assert_eq!((sum(&server, "taken"), sum(&server, "retries")), (0, 0));
        if sum(&server, "asked") > asked {
            return stop(&server);
        }
        // Worker 0 had looked after its connections just before.
    }
    panic!("nobody is asked");
}

#[test]
fn without_another_worker_or_messages_between_rings_nobody_is_asked() {
    for (workers, force_off) in [(1, Vec::new()), (2, vec![Feature::MsgRing])] {
        let server = server(workers, force_off);
        let origin = Origin::start();
        for _ in 0..2 {
            for worker in 0..workers {
                ask(&server, worker, &origin);
            }
        }
        assert_eq!(origin.accepted(), workers, "each worker has dialled once");
        assert_eq!((sum(&server, "asked"), sum(&server, "taken")), (0, 0));
        assert_eq!(sum(&server, "reused"), workers as u64);
        stop(&server);
    }
}

/// Clients that come, ask for something and go, as fast as they can, until `over`; connections to so many origins are
/// taken all the time.
fn hurry(server: &Server, origins: &[Origin], over: &AtomicBool, first: usize) {
    for origin in origins.iter().cycle().skip(first) {
        if over.load(Ordering::SeqCst) {
            return;
        }
        if let Ok(client) = connect(server) {
            exchange(&client, origin.address);
        }
    }
}

/// What is on its way when a worker ends belongs to nobody: a connection that is lost never ends for its origin.
#[test]
fn connections_that_are_taken_while_the_workers_end_are_closed() {
    const CLIENTS: usize = 4;
    for round in 0..24 {
        let server = server(2, Vec::new());
        let origins: Vec<_> = (0..40).map(|_| Origin::start()).collect();
        let over = AtomicBool::new(false);
        thread::scope(|scope| {
            for number in 0..CLIENTS {
                let (server, origins, over) = (&server, &origins, &over);
                let first = number * origins.len() / CLIENTS;
                scope.spawn(move || hurry(server, origins, over, first));
            }
            let taken = 5 + round;
            settle(&server, "taken often", |now| {
                now.iter().map(|now| counter(now, "taken")).sum::<u64>() > taken
            });
            if round % 2 == 0 {
                server.stop();
            } else {
                server.drain();
            }
            server.join().expect("an orderly end");
            over.store(true, Ordering::SeqCst);
        });
        let start = Instant::now();
        let open = || -> usize {
            let open = origins.iter().map(|origin| &origin.open);
            open.map(|open| open.load(Ordering::SeqCst)).sum()
        };
        while open() > 0 {
            assert!(start.elapsed() < DEADLINE, "{} connections hang", open());
            thread::yield_now();
        }
    }
}
