//! A relay's directions change between copying and splicing, and no byte is lost, doubled or moved on the way. The
//! tuning here makes one full receive buffer prove a direction bulky and one splice prove it small again, so that the
//! change comes with nearly every message. Writers pause at events (the reader has it all; the sockets are full),
//! never for a time. `kernel-notes/splice.md` says what is at stake.

#![forbid(unsafe_code)]

use std::io::{ErrorKind, Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::{Condvar, Mutex, MutexGuard, OnceLock};
use std::thread;
use std::time::{Duration, Instant};

use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use rand::{Rng, RngExt, SeedableRng};
use ringway_engine::limits;
use ringway_engine::proto::http1::CONNECTION_ESTABLISHED;
use ringway_engine::proxy::PipeGauges;
use ringway_engine::rt::RtGauges;
use ringway_engine::server::{
    Config, RelayTuning, Server, WorkerSnapshot, ZeroCopy, allowed_cores,
};
use socket2::{Domain, SockRef, Socket, Type};

/// Longest anything here may take to happen.
const PATIENCE: Duration = Duration::from_secs(30);

const MIB: usize = 1024 * 1024;

/// Every full buffer promotes, every splice demotes once the source is empty.
const RESTLESS: RelayTuning = RelayTuning {
    promote_full_buffers: 1,
    demote_bytes: u32::MAX,
    demote_small_splices: 1,
    at_once_tasks: 0,
};

/// A bulky direction stays one.
const ONE_WAY: RelayTuning = RelayTuning {
    promote_full_buffers: 1,
    demote_bytes: 0,
    demote_small_splices: 1,
    at_once_tasks: usize::MAX,
};

/// Bytes asked for the sockets of clients and origins: little, so that the way is soon full.
const SOCKET_BYTES: usize = 32 * 1024;
/// Segments that hold a whole message. The kernel makes a send buffer as large as some segments of its peer.
const LARGE_SEGMENT_BYTES: u32 = 20_000;
/// Segments that leave the proxy with small send buffers.
const SMALL_SEGMENT_BYTES: u32 = 1460;

#[test]
fn every_byte_survives_promotion_and_demotion_at_every_boundary() {
    let cases = [
        (ZeroCopy::Splice, 512, 2),
        (ZeroCopy::Splice, 1000, 8),
        (ZeroCopy::Auto, 4096, 1),
        (ZeroCopy::Splice, 4096, 64),
        (ZeroCopy::Auto, 16_384, 16),
    ];
    Case::run_all(1, &cases, |case, counted| {
        let changed = counted.promotions > 300 && counted.demotions > 300;
        assert!(changed, "{case:?}: {counted:?}");
    });
}

#[test]
fn every_byte_survives_the_same_traffic_without_splice() {
    let cases = [
        (ZeroCopy::SendZc, 512, 4),
        (ZeroCopy::SendZc, 16_384, 16),
        (ZeroCopy::Off, 1000, 2),
        (ZeroCopy::Off, 16_384, 16),
    ];
    Case::run_all(2, &cases, |case, counted| {
        let sends_zero_copy = case.zero_copy == ZeroCopy::SendZc;
        assert_eq!(
            (
                counted.promotions,
                counted.demotions,
                counted.zero_copy_sends > 300
            ),
            (0, 0, sends_zero_copy),
            "{case:?}: {counted:?}"
        );
    });
}

#[test]
fn bulky_directions_without_a_pipe_copy_and_the_others_move() {
    const BLOCKED: usize = limits::PIPES_MAX + 16;
    let proxy = Proxy::start(ONE_WAY, ZeroCopy::Splice, 4096, 32);
    let before = proxy.settled();
    let listening = Listening::new(SMALL_SEGMENT_BYTES);
    let blocked: Vec<Blocked> = (0..BLOCKED)
        .map(|number| Blocked {
            tunnel: Tunnel::open(&proxy, &listening, &[]),
            flow: Flow::new(number as u64),
        })
        .collect();
    let (up, down) = (Flow::new(9000), Flow::new(9001));
    let mut beside = None;
    thread::scope(|scope| {
        for Blocked { tunnel, flow } in &blocked {
            scope.spawn(|| flow.write_all(&tunnel.client, MIB));
        }
        expect_all_pipes_held(&proxy);
        let before = proxy.counted();
        let lively = Tunnel::open(&proxy, &listening, &[]);
        lively.run_both(&up, &down, |flow, stream| flow.write_all(stream, 4 * MIB));
        beside = Some((before, proxy.counted()));
        assert_eq!(
            proxy.worker().pipes.lent,
            limits::PIPES_MAX,
            "the others are still blocked"
        );
        for Blocked { tunnel, flow } in &blocked {
            scope.spawn(|| flow.read_to_the_end(&tunnel.origin));
        }
    });
    let sent: u64 = blocked.iter().map(|blocked| blocked.flow.sent()).sum();
    drop(blocked);
    proxy.expect_settled(&before);
    let counted = proxy.counted();
    assert_eq!(counted.bytes_up, sent + up.sent());
    assert!(counted.pipes_missing >= 16, "{counted:?}");
    let (before, after) = beside.expect("the lively tunnel has run");
    assert_eq!(
        (after.promotions, after.demotions),
        (before.promotions, before.demotions),
        "nobody stops receiving for a pipe that is not there"
    );
    let missing = after.pipes_missing - before.pipes_missing;
    assert!(missing >= 2, "each direction is counted: {missing}");
    proxy.stop();
}

#[test]
fn a_direction_that_is_quiet_or_has_ended_holds_no_pipe() {
    let proxy = Proxy::start(ONE_WAY, ZeroCopy::Splice, 4096, 32);
    let listening = Listening::new(LARGE_SEGMENT_BYTES);
    let tunnel = Tunnel::open(&proxy, &listening, &[]);
    let (up, down) = (Flow::new(9100), Flow::new(9101));
    thread::scope(|scope| {
        scope.spawn(|| up.read_to_the_end(&tunnel.origin));
        up.write(&tunnel.client, 4 * MIB);
        up.wait_until(|progress| progress.received == progress.sent);
        let none_lent = || proxy.worker().pipes.lent == 0;
        proxy.expect(none_lent, |proxy| format!("quiet: {}", proxy.worker()));
        up.write_all(&tunnel.client, 100_000);
    });
    let none_lent = || proxy.worker().pipes.lent == 0;
    proxy.expect(none_lent, |proxy| {
        format!("half-closed: {}", proxy.worker())
    });
    thread::scope(|scope| {
        scope.spawn(|| down.read_to_the_end(&tunnel.client));
        down.write_all(&tunnel.origin, 4 * MIB);
    });
    assert!(proxy.counted().promotions >= 2);
    proxy.stop();
}

/// One way to configure a proxy, and where its random numbers begin.
#[derive(Debug, Clone, Copy)]
struct Case {
    zero_copy: ZeroCopy,
    buffer_bytes: u32,
    buffers: u16,
    seed: u64,
}

impl Case {
    /// Tunnels at the same time.
    const TUNNELS: u64 = 2;

    /// Runs `cases` (how bulk moves, bytes of a buffer, buffers) beside each other, and judges what each has counted.
    fn run_all(
        number: u64,
        cases: &[(ZeroCopy, u32, u16)],
        judge: impl Fn(&Self, &Counted) + Sync,
    ) {
        thread::scope(|scope| {
            for (&(zero_copy, buffer_bytes, buffers), seed) in cases.iter().zip(1..) {
                let case = Self {
                    zero_copy,
                    buffer_bytes,
                    buffers,
                    seed: 1000 * number + 100 * seed,
                };
                let judge = &judge;
                scope.spawn(move || judge(&case, &case.run()));
            }
        });
    }

    /// Runs the tunnels with both directions at once, and checks that everything comes back.
    fn run(&self) -> Counted {
        let proxy = Proxy::start(RESTLESS, self.zero_copy, self.buffer_bytes, self.buffers);
        let before = proxy.settled();
        let listening = Listening::new(LARGE_SEGMENT_BYTES);
        let flows: Vec<[Flow; 2]> = (0..Self::TUNNELS)
            .map(|tunnel| [0, 1].map(|direction| Flow::new(self.seed + 2 * tunnel + direction)))
            .collect();
        let buffer_bytes = self.buffer_bytes as usize;
        thread::scope(|scope| {
            for [up, down] in &flows {
                let (proxy, listening) = (&proxy, &listening);
                let early = up.early(buffer_bytes);
                let tunnel = Tunnel::open(proxy, listening, &early);
                scope.spawn(move || {
                    tunnel.run_both(up, down, |flow, stream| {
                        flow.write_restlessly(stream, buffer_bytes)
                    });
                });
            }
        });
        proxy.expect_settled(&before);
        let counted = proxy.counted();
        let sent =
            |direction: usize| -> u64 { flows.iter().map(|flow| flow[direction].sent()).sum() };
        assert_eq!(
            (counted.bytes_up, counted.bytes_down),
            (sent(0), sent(1)),
            "{self:?}"
        );
        assert_eq!((counted.resets, counted.timeouts), (0, 0), "{self:?}");
        proxy.stop();
        counted
    }
}

/// What a worker holds, which must be the same before and after.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Held {
    connections: usize,
    gauges: RtGauges,
    pipes: PipeGauges,
    zero_copy_lingering: usize,
}

/// The counters that matter here.
#[derive(Debug)]
struct Counted {
    promotions: u64,
    demotions: u64,
    pipes_missing: u64,
    zero_copy_sends: u64,
    bytes_up: u64,
    bytes_down: u64,
    resets: u64,
    timeouts: u64,
}

/// A proxy of one worker inside this process.
struct Proxy {
    server: Server,
    address: SocketAddr,
}

impl Proxy {
    fn start(relay: RelayTuning, zero_copy: ZeroCopy, buffer_bytes: u32, buffers: u16) -> Self {
        let server = Server::start(Config {
            listen: vec![SocketAddr::from((Ipv4Addr::LOCALHOST, 0))],
            cores: allowed_cores().into_iter().take(1).collect(),
            zero_copy,
            buffers,
            buffer_size: buffer_bytes,
            relay,
            ..Config::default()
        })
        .unwrap_or_else(|error| panic!("{zero_copy:?}, {buffers} buffers: {error}"));
        let address = server.addresses()[0];
        Self { server, address }
    }

    fn worker(&self) -> WorkerSnapshot {
        let deadline = Instant::now() + PATIENCE;
        loop {
            // A worker that shares its CPU with much else may take longer to answer than a snapshot waits.
            if let Some(worker) = self.server.snapshot().pop() {
                return worker;
            }
            assert!(Instant::now() < deadline, "the worker answers no more");
        }
    }

    fn held(&self) -> Held {
        let worker = self.worker();
        Held {
            connections: worker.connections,
            gauges: worker.gauges,
            pipes: worker.pipes,
            zero_copy_lingering: worker.zero_copy_lingering,
        }
    }

    /// What it holds once it accepts and has nothing else to do.
    fn settled(&self) -> Held {
        drop(TcpStream::connect(self.address).expect("the proxy accepts"));
        let accepted = || self.worker().counters.accepted.value() == 1;
        self.expect(accepted, |_| "the first connection is accepted".to_owned());
        let idle = || self.held().connections == 0;
        self.expect(idle, |proxy| format!("idle: {}", proxy.worker()));
        self.held()
    }

    fn expect_settled(&self, before: &Held) {
        self.expect(
            || self.held() == *before,
            |proxy| format!("what was held before, {before:?}: {:?}", proxy.held()),
        );
    }

    /// Looks until `condition` holds.
    fn expect(&self, condition: impl Fn() -> bool, what: impl Fn(&Self) -> String) {
        let deadline = Instant::now() + PATIENCE;
        while !condition() {
            assert!(
                Instant::now() < deadline,
                "within {PATIENCE:?}: {}",
                what(self)
            );
            thread::sleep(Duration::from_millis(1));
        }
    }

    fn counted(&self) -> Counted {
        let counters = self.worker().counters;
        Counted {
            promotions: counters.promotions.value(),
            demotions: counters.demotions.value(),
            pipes_missing: counters.pipes_missing.value(),
            zero_copy_sends: counters.zero_copy_sends.value(),
            bytes_up: counters.bytes_up.value(),
            bytes_down: counters.bytes_down.value(),
            resets: counters.resets.value(),
            timeouts: counters.timeouts.value(),
        }
    }

    fn stop(self) {
        self.server.stop();
        self.server.join().expect("the worker ends well");
    }
}

/// Where origins are; what is accepted here has small buffers.
struct Listening {
    listener: TcpListener,
    segment_bytes: u32,
}

impl Listening {
    fn new(segment_bytes: u32) -> Self {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None).expect("a socket");
        narrow(SockRef::from(&socket), segment_bytes);
        let anywhere = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        socket.bind(&anywhere.into()).expect("a free port");
        socket.listen(128).expect("a bound socket listens");
        Self {
            listener: socket.into(),
            segment_bytes,
        }
    }
}

/// Both ends of a tunnel.
struct Tunnel {
    client: TcpStream,
    origin: TcpStream,
}

impl Tunnel {
    /// A tunnel whose CONNECT comes in one piece with `early`.
    fn open(proxy: &Proxy, listening: &Listening, early: &[u8]) -> Self {
        let Listening {
            listener,
            segment_bytes,
        } = listening;
        let target = listener
            .local_addr()
            .expect("a bound socket has an address");
        let client = Socket::new(Domain::IPV4, Type::STREAM, None).expect("a socket");
        narrow(SockRef::from(&client), *segment_bytes);
        client
            .connect(&proxy.address.into())
            .expect("the proxy accepts");
        let mut client = prepare(client.into());
        let mut request =
            format!("CONNECT {target} HTTP/1.1\r\nHost: {target}\r\n\r\n").into_bytes();
        request.extend_from_slice(early);
        client.write_all(&request).expect("the proxy reads");
        let mut reply = vec![0; CONNECTION_ESTABLISHED.len()];
        client.read_exact(&mut reply).expect("an answer");
        assert_eq!(
            String::from_utf8_lossy(&reply),
            String::from_utf8_lossy(&CONNECTION_ESTABLISHED)
        );
        let origin = prepare(listener.accept().expect("the proxy has dialled").0);
        Self { client, origin }
    }

    /// Runs both directions at once to their ends; `write` is the writer of each.
    fn run_both(&self, up: &Flow, down: &Flow, write: impl Fn(&Flow, &TcpStream) + Sync) {
        let write = &write;
        thread::scope(|scope| {
            scope.spawn(|| write(up, &self.client));
            scope.spawn(|| up.read_to_the_end(&self.origin));
            scope.spawn(|| write(down, &self.origin));
            scope.spawn(|| down.read_to_the_end(&self.client));
        });
    }
}

fn narrow(socket: SockRef<'_>, segment_bytes: u32) {
    for set in [Socket::set_recv_buffer_size, Socket::set_send_buffer_size] {
        set(&socket, SOCKET_BYTES).expect("an option of every socket");
    }
    socket
        .set_tcp_mss(segment_bytes)
        .expect("an option of every TCP socket");
}

fn prepare(stream: TcpStream) -> TcpStream {
    stream.set_nodelay(true).expect("an option of every socket");
    for set in [TcpStream::set_read_timeout, TcpStream::set_write_timeout] {
        set(&stream, Some(PATIENCE)).expect("an option of every socket");
    }
    stream
}

/// A tunnel whose origin does not read for now.
struct Blocked {
    tunnel: Tunnel,
    flow: Flow,
}

/// How long nothing must have moved before nothing will: an acknowledgement, which makes room, may be delayed by 40 ms.
const STILL: Duration = Duration::from_millis(200);

/// Waits until every pipe is held by a direction that is blocked, and others have found none.
fn expect_all_pipes_held(proxy: &Proxy) {
    let deadline = Instant::now() + PATIENCE;
    let mut moved = u64::MAX;
    let mut since = Instant::now();
    while since.elapsed() < STILL {
        let (counted, held) = (proxy.counted(), proxy.held());
        let all = held.pipes.lent == limits::PIPES_MAX && counted.pipes_missing > 0;
        if counted.bytes_up != moved || !all {
            since = Instant::now();
        }
        moved = counted.bytes_up;
        assert!(Instant::now() < deadline, "{counted:?} {held:?}");
        thread::sleep(Duration::from_millis(1));
    }
}

/// The bytes of one direction, and how far its two ends have come.
struct Flow {
    seed: u64,
    progress: Mutex<Progress>,
    changed: Condvar,
}

#[derive(Default)]
struct Progress {
    sent: u64,
    received: u64,
    /// The reader is to leave what comes where it is.
    hold: bool,
}

/// Most bytes of one write or read.
const PART_BYTES: usize = 64 * 1024;

impl Flow {
    fn new(seed: u64) -> Self {
        Self {
            seed,
            progress: Mutex::default(),
            changed: Condvar::new(),
        }
    }

    fn progress(&self) -> MutexGuard<'_, Progress> {
        self.progress.lock().expect("no holder panics")
    }

    fn change(&self, change: impl FnOnce(&mut Progress)) {
        change(&mut self.progress());
        self.changed.notify_all();
    }

    fn sent(&self) -> u64 {
        self.progress().sent
    }

    /// The first bytes of the flow, which somebody else sends.
    fn early(&self, bytes: usize) -> Vec<u8> {
        let mut early = vec![0; bytes];
        content(self.seed).fill(0, &mut early);
        self.change(|progress| progress.sent += bytes as u64);
        early
    }

    /// Writes messages of sizes around that of a receive buffer, now and then waiting until all of them have arrived,
    /// now and then until nothing more fits into the tunnel because the reader does not read.
    fn write_restlessly(&self, stream: &TcpStream, buffer_bytes: usize) {
        let mut random = StdRng::seed_from_u64(self.seed);
        for phase in 0..12 {
            let (messages, waits_in_ten) = *[(60, 10), (60, 5), (60, 1)]
                .choose(&mut random)
                .expect("three of them");
            for _ in 0..messages {
                self.write(stream, message_bytes(&mut random, buffer_bytes));
                if random.random_ratio(waits_in_ten, 10) {
                    self.wait_until(|progress| progress.received == progress.sent);
                }
            }
            if phase % 5 == 2 {
                self.write_until_full(stream);
            }
        }
        self.finish(stream);
    }

    /// Writes `bytes` bytes, and then FIN.
    fn write_all(&self, stream: &TcpStream, bytes: usize) {
        self.write(stream, bytes);
        self.finish(stream);
    }

    fn finish(&self, stream: &TcpStream) {
        stream.shutdown(Shutdown::Write).expect("an open tunnel");
    }

    fn write(&self, mut stream: &TcpStream, bytes: usize) {
        let mut message = vec![0; bytes];
        content(self.seed).fill(self.sent(), &mut message);
        stream
            .write_all(&message)
            .unwrap_or_else(|error| panic!("flow {}: {error}", self.seed));
        self.change(|progress| progress.sent += bytes as u64);
    }

    /// Holds the reader until the whole way is full.
    fn write_until_full(&self, stream: &TcpStream) {
        const NOTHING_MOVES: Duration = Duration::from_millis(20);
        self.change(|progress| progress.hold = true);
        stream
            .set_write_timeout(Some(NOTHING_MOVES))
            .expect("an option of every socket");
        while self.write_part(stream).is_some() {}
        stream
            .set_write_timeout(Some(PATIENCE))
            .expect("an option of every socket");
        self.change(|progress| progress.hold = false);
    }

    /// Writes once; `None` when there is no room.
    fn write_part(&self, mut stream: &TcpStream) -> Option<u64> {
        let mut part = vec![0; PART_BYTES];
        content(self.seed).fill(self.sent(), &mut part);
        let written = loop {
            match stream.write(&part) {
                Ok(written) => break written as u64,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return None,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => panic!("flow {}: {error}", self.seed),
            }
        };
        self.change(|progress| progress.sent += written);
        Some(written)
    }

    /// Reads in parts of any size, and compares every byte with what was sent.
    fn read_to_the_end(&self, mut stream: &TcpStream) {
        let mut random = StdRng::seed_from_u64(!self.seed);
        let mut buffer = vec![0; PART_BYTES];
        loop {
            self.wait_until(|progress| !progress.hold);
            let part = random.random_range(1..=PART_BYTES);
            let read = match stream.read(&mut buffer[..part]) {
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                read => read.unwrap_or_else(|error| panic!("flow {}: {error}", self.seed)),
            };
            if read == 0 {
                break;
            }
            let position = self.progress().received;
            content(self.seed).check(position, &buffer[..read]);
            self.change(|progress| progress.received += read as u64);
        }
        let progress = self.progress();
        assert_eq!(progress.received, progress.sent, "flow {}", self.seed);
    }

    fn wait_until(&self, condition: impl Fn(&Progress) -> bool) {
        let waited = self
            .changed
            .wait_timeout_while(self.progress(), PATIENCE, |progress| !condition(progress));
        let (progress, timeout) = waited.expect("no holder panics");
        assert!(
            !timeout.timed_out(),
            "flow {} stands still: {} bytes sent, {} received",
            self.seed,
            progress.sent,
            progress.received
        );
    }
}

/// A size at which something may go wrong, or any size.
fn message_bytes(random: &mut StdRng, buffer_bytes: usize) -> usize {
    let buffers = random.random_range(1..=4) * buffer_bytes;
    match random.random_range(0..8) {
        0 => 1,
        1 => buffers - 1,
        2 | 3 => buffers,
        4 => buffers + 1,
        5 => random.random_range(1..=buffer_bytes),
        _ => random.random_range(1..=PART_BYTES),
    }
}

/// Bytes that are known from their position; flows of different seeds have different ones.
struct Content {
    skew: usize,
}

/// Length of what repeats: a prime, so that no buffer size divides it.
const REPEAT_BYTES: usize = 1_048_573;

fn content(seed: u64) -> Content {
    Content {
        skew: (seed as usize * 7919) % REPEAT_BYTES,
    }
}

impl Content {
    /// What is at `position`, as far as it is in one piece.
    fn at(&self, position: u64) -> &'static [u8] {
        static REPEATED: OnceLock<Vec<u8>> = OnceLock::new();
        let repeated = REPEATED.get_or_init(|| {
            let mut repeated = vec![0; REPEAT_BYTES];
            StdRng::seed_from_u64(1).fill_bytes(&mut repeated);
            repeated
        });
        &repeated[(position as usize + self.skew) % REPEAT_BYTES..]
    }

    fn fill(&self, position: u64, out: &mut [u8]) {
        let mut filled = 0;
        while filled < out.len() {
            let piece = self.at(position + filled as u64);
            let bytes = piece.len().min(out.len() - filled);
            out[filled..filled + bytes].copy_from_slice(&piece[..bytes]);
            filled += bytes;
        }
    }

    fn check(&self, position: u64, got: &[u8]) {
        let mut expected = vec![0; got.len()];
        self.fill(position, &mut expected);
        if got == expected {
            return;
        }
        let wrong = got
            .iter()
            .zip(&expected)
            .position(|(got, sent)| got != sent);
        let wrong = wrong.expect("they differ");
        panic!(
            "byte {} differs: got {:02x}, sent {:02x}",
            position + wrong as u64,
            got[wrong],
            expected[wrong]
        );
    }
}
