//! What once went wrong and was mended: a test for each, through the real program. Each says what went wrong.

mod support;

use std::io::{self, ErrorKind, Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpStream};
use std::thread;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::Signal;
use socket2::{Domain, SockFilter, SockRef, Socket, Type};
use support::*;

/// A tuning under which a direction splices after one full buffer, and goes on splicing.
const SPLICE_SOON: &str = "1,1,1000000,0";

/// How long nothing moves before a writer counts as stalled.
const STALLED: Duration = Duration::from_millis(200);

/// How often the program entered the kernel while nothing came out of `quiet`, a connection without traffic, for
/// `time`.
#[track_caller]
fn enters_during(proxy: &Proxy, quiet: &TcpStream, time: Duration) -> u64 {
    let before = proxy.snapshot().value("enters");
    expect_quiet(quiet, time);
    proxy.snapshot().value("enters") - before
}

/// A loopback address at which nobody listens, for as long as the socket lives.
#[track_caller]
fn closed_port() -> (Socket, SocketAddr) {
    let bound = Socket::new(Domain::IPV4, Type::STREAM, None).expect("a socket");
    bound
        .bind(&SocketAddr::from((Ipv4Addr::LOCALHOST, 0)).into())
        .expect("a free port");
    let address = bound
        .local_addr()
        .ok()
        .and_then(|address| address.as_socket())
        .expect("an IP address");
    (bound, address)
}

/// A reader that had sent FIN and did not read made its worker spin: a poll for room at such a socket answers at once
/// with the FIN, and was started again and again.
#[test]
fn half_closed_slow_reader_does_not_make_the_worker_spin() {
    for mode in ["off", "splice"] {
        let proxy = Launch::new(&["--zero-copy", mode])
            .tuning(SPLICE_SOON)
            .start();
        let start = proxy.footing();
        let quiet = Tunnel::open(&proxy);
        for side in Side::BOTH {
            let (writer, reader) = Tunnel::open(&proxy).from(side);
            reader
                .shutdown(Shutdown::Write)
                .expect("the connection stands");
            assert_eq!(end_of(&writer), End::Fin);
            let written = write_until_stalled(&writer, 64 << 20, STALLED);
            let splices = proxy.snapshot().value("promotions") > 0;
            assert_eq!(splices, mode == "splice", "it moves bytes as it was told");
            let enters = enters_during(&proxy, &quiet.client, Duration::from_millis(500));
            assert!(enters < 200, "{mode}, {side:?} writes: {enters} enters");
            writer
                .shutdown(Shutdown::Write)
                .expect("the connection stands");
            let (bytes, end) = read_until_end(&reader);
            assert_eq!((bytes.len(), end), (written, End::Fin), "{mode}, {side:?}");
        }
        drop(quiet);
        proxy.await_gauges(&start);
    }
}

/// Receives that had found no buffer were never served: the worker went to sleep although it could have asked the
/// stalled tunnels, which had come to hold all buffers in the same turn, to let go of them.
#[test]
fn starved_receive_is_served_while_stalled_readers_hold_the_buffers() {
    for (buffers, stalled) in [("1", 1), ("8", 24)] {
        for _ in 0..5 {
            let proxy = Proxy::start(&["--buffers", buffers, "--zero-copy", "off"]);
            let start = proxy.footing();
            let other = Tunnel::open(&proxy);
            ping(&other.client, &other.origin, b"before");
            let slow: Vec<Tunnel> = (0..stalled).map(|_| Tunnel::open_narrow(&proxy)).collect();
            let writers: Vec<&TcpStream> = slow.iter().map(|tunnel| &tunnel.origin).collect();
            write_until_all_stalled(&writers, 16 << 20, STALLED);
            for round in 0..20_u8 {
                let begun = Instant::now();
                ping(&other.client, &other.origin, &[round; 700]);
                ping(&other.origin, &other.client, &[round; 700]);
                let took = begun.elapsed();
                assert!(
                    took < Duration::from_secs(5),
                    "--buffers {buffers}: round {round} took {took:?}"
                );
            }
            drop((other, slow));
            proxy.await_gauges(&start);
        }
    }
}

/// One end of a tunnel that is busy in both directions: writes and reads without ever waiting for only one of them.
struct Busy {
    stream: TcpStream,
    read: usize,
}

impl Busy {
    fn new(stream: TcpStream) -> Self {
        stream
            .set_nonblocking(true)
            .expect("an option of every socket");
        Self { stream, read: 0 }
    }

    /// Goes on until `bytes` were read, or the connection has ended.
    fn run(&mut self, bytes: usize) -> io::Result<()> {
        const PIECE: [u8; 8192] = [0x5a; 8192];
        let patience = Timespec {
            tv_sec: PATIENCE.as_secs() as i64,
            tv_nsec: 0,
        };
        let mut taken = [0; 8192];
        while self.read < bytes {
            match (&self.stream).write(&PIECE) {
                Err(error) if error.kind() != ErrorKind::WouldBlock => return Err(error),
                _ => {}
            }
            match (&self.stream).read(&mut taken) {
                Ok(0) => return Err(ErrorKind::UnexpectedEof.into()),
                Ok(read) => self.read += read,
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    let either = PollFlags::IN | PollFlags::OUT;
                    let ready = poll(&mut [PollFd::new(&self.stream, either)], Some(&patience));
                    assert_eq!(ready, Ok(1), "nothing moves and nothing ends");
                }
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}

/// An RST reached the other side as FIN when both directions were busy: the kernel tells of it once, and had told the
/// send, so that the receive took it for the end of the stream. A stream that was cut off looked whole.
#[test]
fn rst_stays_rst_while_both_directions_are_busy() {
    const RUNS: usize = 60;
    for mode in ["off", "splice", "auto"] {
        let proxy = Launch::new(&["--zero-copy", mode])
            .tuning(SPLICE_SOON)
            .start();
        let start = proxy.footing();
        for side in Side::BOTH {
            let mut wrong = Vec::new();
            for run in 0..RUNS {
                let (resets, hears) = Tunnel::open(&proxy).from(side);
                let resetting = thread::spawn(move || {
                    let mut busy = Busy::new(resets);
                    busy.run(200_000 + 4099 * run).expect("both sides go on");
                    reset(busy.stream);
                });
                let end = Busy::new(hears)
                    .run(usize::MAX)
                    .expect_err("the other side has reset");
                resetting.join().expect("it read what it wanted");
                // EPIPE is what a socket says that saw FIN before RST.
                if end.kind() != ErrorKind::ConnectionReset {
                    wrong.push((run, end.to_string()));
                }
            }
            assert!(wrong.is_empty(), "{mode}, {side:?} resets: {wrong:?}");
        }
        proxy.await_gauges(&start);
    }
}

/// Writes pieces that fit into one receive until one of them cannot be passed on as a whole, so that the source has
/// nothing more to say and its receive is still armed; gives how many bytes went in.
#[track_caller]
fn write_until_blocked(proxy: &Proxy, mut writer: &TcpStream) -> u64 {
    const PIECE: [u8; 16 * 1024] = [0xc3; 16 * 1024];
    let state = || {
        let now = proxy.snapshot();
        let moved = now.value("bytes_up") + now.value("bytes_down");
        (moved, now.value("leases"))
    };
    let (before, _) = state();
    let mut written = 0;
    loop {
        writer.write_all(&PIECE).expect("the proxy takes a piece");
        written += PIECE.len() as u64;
        let mut last = (0, 0);
        let blocked = until("the piece to move or to be held", || {
            let now = state();
            let all = now.0 - before == written;
            let held = now.1 > 0 && std::mem::replace(&mut last, now) == now;
            (all || held).then_some(!all)
        });
        if blocked {
            return written;
        }
    }
}

/// An RST reached a slow reader as FIN when others wanted buffers: the direction that moved what it held out of the
/// buffers took the failure of its receive on the way, and forgot it.
#[test]
fn rst_stays_rst_for_a_slow_reader_whose_buffers_are_wanted() {
    // Two: a receive that finds no buffer at all is told nothing of an RST.
    let options = ["--buffers", "2", "--buffer-size", "16384"];
    let proxy = Proxy::start(&[&["--zero-copy", "off"], &options[..]].concat());
    let start = proxy.footing();
    for side in Side::BOTH {
        for run in 0..3 {
            let other = Tunnel::open(&proxy);
            let slow = Tunnel::open(&proxy);
            let (writer, reader) = Tunnel::open(&proxy).from(side);
            let written = write_until_blocked(&proxy, &writer);
            // Within the 100 ms after which a blocked tunnel looks out for resets in another way.
            reset(writer);
            // This takes the other buffer, so that the next receive finds none, and asks for both.
            write_until_stalled(&slow.origin, 64 << 20, STALLED);
            ping(&other.client, &other.origin, b"wants a buffer");
            let (bytes, end) = read_until_end(&reader);
            assert_eq!(
                end,
                End::Reset,
                "run {run}, {side:?} resets: {} of {written} bytes and then FIN",
                bytes.len()
            );
        }
    }
    proxy.await_gauges(&start);
}

/// A refused connection did not count while it was being told, so that clients that do not close held more of them
/// than `--max-connections` allows.
#[test]
fn refused_connection_counts_until_its_client_has_closed() {
    let (_bound, closed) = closed_port();
    let proxy = Proxy::start(&["--max-connections", "2"]);
    let start = proxy.footing();
    for _ in 0..3 {
        let told: Vec<TcpStream> = (0..2)
            .map(|_| {
                let mut client = connect(&proxy);
                client
                    .write_all(&head(closed))
                    .expect("the proxy takes the head");
                read_reply(&client).expect_error(502, "connection_refused");
                client
            })
            .collect();
        assert_eq!(
            proxy.snapshot().value("connections"),
            2,
            "both are still open"
        );
        assert_eq!(refused(&proxy, closed).status, 503, "a third");
        drop(told);
        proxy.await_snapshot("room", |snapshot| snapshot.value("connections") == 0);
        refused(&proxy, closed).expect_error(502, "connection_refused");
        proxy.await_gauges(&start);
    }
}

/// A worker that was done went to sleep once more, until the next timer, which is minutes away when tunnels are idle
/// or gone: the program did not end.
#[test]
fn worker_that_is_done_does_not_sleep_over_its_own_end() {
    let soon = |proxy: &mut Proxy, since: Instant| {
        assert_eq!(proxy.await_exit().code(), Some(0));
        let took = since.elapsed();
        assert!(took < Duration::from_secs(5), "it ended after {took:?}");
    };
    let options = ["--drain-timeout", "10m", "--idle-timeout", "10m"];

    let mut proxy = Proxy::start(&options);
    let tunnels = [(); 5].map(|()| Tunnel::open(&proxy));
    proxy.terminate();
    proxy.await_lines("that it drains", 1, "draining connections=5");
    tunnels
        .iter()
        .for_each(|tunnel| ping(&tunnel.client, &tunnel.origin, b"it drains"));
    let since = Instant::now();
    drop(tunnels);
    soon(&mut proxy, since);

    let mut proxy = Proxy::start(&options);
    let tunnels = [(); 5].map(|()| Tunnel::open(&proxy));
    proxy.terminate();
    proxy.await_lines("that it drains", 1, "draining connections=5");
    let since = Instant::now();
    proxy.terminate();
    soon(&mut proxy, since);
    tunnels.iter().for_each(|tunnel| {
        assert_eq!(end_of(&tunnel.client), End::Reset, "it was cut off");
    });
}

/// A worker without traffic must not work: no timer that ticks, no look at the ring that goes on.
#[test]
fn idle_tunnels_cost_no_cpu_and_no_enters() {
    for busy_poll in ["auto", "off"] {
        let proxy = Proxy::start(&["--busy-poll", busy_poll]);
        let origin = Origin::listen();
        let tunnels: Vec<Tunnel> = (0..100).map(|_| Tunnel::open_to(&proxy, &origin)).collect();
        tunnels
            .iter()
            .for_each(|tunnel| ping(&tunnel.client, &tunnel.origin, b"warm"));
        let spent = proxy.process().cpu();
        let enters = enters_during(&proxy, &tunnels[0].client, Duration::from_secs(1));
        let spent = proxy.process().cpu() - spent;
        assert!(enters < 20, "--busy-poll {busy_poll}: {enters} enters");
        // The clock of `/proc` has ticks of 10 ms, one of user time and one of system time may end just now.
        assert!(
            spent <= Duration::from_millis(20),
            "--busy-poll {busy_poll}: {spent:?} of CPU in 1 s without traffic"
        );
        tunnels
            .iter()
            .for_each(|tunnel| ping(&tunnel.origin, &tunnel.client, b"awake"));
    }
}

/// From now on every segment that comes for this socket is dropped unseen and unacknowledged, as if its host had lost
/// its network.
fn fall_silent(stream: &TcpStream) {
    const RETURN_NOTHING: SockFilter = SockFilter::new(0x06, 0, 0, 0); // BPF_RET | BPF_K: keep 0 bytes
    SockRef::from(stream)
        .attach_filter(&[RETURN_NOTHING])
        .expect("an option of every socket");
}

/// Whatever ended a half-closed tunnel was logged as a reset: the look-out knew that a stream had failed, and did not
/// ask how.
#[test]
fn half_closed_tunnel_whose_client_acknowledges_nothing_is_logged_as_lost() {
    // The time after which the kernel gives up a client that does not acknowledge is the idle timeout.
    let proxy = Proxy::start(&["--idle-timeout", "2s", "--half-close-timeout", "60s"]);
    let start = proxy.footing();
    let Tunnel {
        client,
        origin,
        target,
    } = Tunnel::open(&proxy);
    client
        .shutdown(Shutdown::Write)
        .expect("the connection stands");
    assert_eq!(end_of(&origin), End::Fin);
    fall_silent(&client);
    (&origin)
        .write_all(b"never acknowledged")
        .expect("the tunnel takes bytes");
    let line = proxy.await_closed(&target.to_string());
    assert!(
        line.contains("side=client phase=relay cause=lost (Connection timed out"),
        "{line}"
    );
    await_abort(&origin);
    drop(client);
    proxy.await_gauges(&start);
}

/// A half-closed tunnel whose receive had found no buffer until its timeout ended in FIN, as if what came before that
/// were all; the bytes were still with the kernel.
#[test]
fn bytes_that_found_no_buffer_until_the_timeout_do_not_look_like_none() {
    let proxy = Proxy::start(
        &[
            &["--zero-copy", "send-zc", "--buffers", "1"][..],
            &["--half-close-timeout", "2s"],
        ]
        .concat(),
    );
    let start = proxy.footing();
    for side in Side::BOTH {
        let holder = Tunnel::open(&proxy);
        let tunnel = Tunnel::open(&proxy);
        let target = tunnel.target;
        let (writer, reader) = tunnel.from(side);
        reader
            .shutdown(Shutdown::Write)
            .expect("the connection stands");
        assert_eq!(end_of(&writer), End::Fin);
        // A SEND_ZC that nobody acknowledges keeps the only buffer.
        fall_silent(&holder.client);
        (&holder.origin)
            .write_all(&[0; 16 * 1024])
            .expect("the tunnel takes bytes");
        proxy.await_snapshot("the buffer to be held", |snapshot| {
            snapshot.value("zero_copy_lingering") == 1 && snapshot.value("buffers_free") == 0
        });
        (&writer)
            .write_all(b"no buffer")
            .expect("the kernel takes it");
        let line = proxy.await_closed(&target.to_string());
        assert!(line.contains("half-close timeout"), "{line}");
        assert_eq!(end_of(&reader), End::Reset, "{line}");
        reset(holder.client); // which ends the send, too
        drop((holder.origin, writer, reader));
        proxy.await_gauges(&start);
    }
}

/// A bulky direction for which there was no pipe stopped receiving, found none, and received again, over and over.
#[test]
fn bulk_without_descriptors_for_a_pipe_is_copied_without_a_change() {
    let options = ["--max-connections", "1000", "--head-timeout", "10m"];
    let proxy = Launch::new(&[&["--zero-copy", "splice"], &options[..]].concat())
        .tuning(SPLICE_SOON)
        .file_limit(64)
        .start();
    let first = Tunnel::open(&proxy);
    let others: Vec<TcpStream> = (0..64).map(|_| connect(&proxy)).collect();
    proxy.await_snapshot("the descriptors to be used up", |snapshot| {
        snapshot.value("shed") > 0
    });
    let content = Content::new(11);
    thread::scope(|scope| {
        scope.spawn(|| send(&first.origin, content, 8 << 20, &[65_536]).expect("it is taken"));
        content.check(0, &read_exactly(&first.client, 8 << 20));
    });
    let counted = proxy.snapshot();
    assert_eq!(
        (counted.value("promotions"), counted.value("demotions")),
        (0, 0)
    );
    assert!(counted.value("pipes_missing") > 0, "{counted:?}");
    drop(others);
    ping(&first.client, &first.origin, b"there is room again");
}

/// Connections that were cut off at the end in the middle of their head, of their dial or of being refused left no line
/// in the log.
#[test]
fn every_connection_has_its_line_also_when_the_end_cuts_it_off() {
    let (_bound, closed) = closed_port();
    let blackhole = Blackhole::listen();
    let mut proxy = Proxy::start(&["--head-timeout", "10m", "--connect-timeout", "10m"]);
    let ask = |target: SocketAddr| {
        let mut client = connect(&proxy);
        let request = head(target);
        client.write_all(&request).expect("the proxy takes it");
        client
    };
    let silent = connect(&proxy);
    let half = connect(&proxy);
    (&half).write_all(b"CONNECT ").expect("the proxy takes it");
    let dialling = ask(blackhole.address());
    let told = ask(closed);
    assert_eq!(read_reply(&told).status, 502);
    let tunnel = Tunnel::open(&proxy);
    ping(&tunnel.client, &tunnel.origin, b"five!");
    let lines = [
        (&silent, "target=- side=proxy phase=head cause=drained up=0"),
        (&half, "target=- side=proxy phase=head cause=drained up=0"),
        (&dialling, "side=proxy phase=dial cause=drained up=0"),
        (&told, "side=upstream phase=dial cause=not connected"),
        (&tunnel.client, "phase=relay cause=drained up=5 down=0"),
    ];
    proxy.await_snapshot("all of them", |snapshot| {
        snapshot.value("accepted") == lines.len() as u64
    });
    proxy.terminate();
    proxy.await_lines("that it drains", 1, "draining ");
    proxy.terminate();
    assert_eq!(proxy.await_exit().code(), Some(0));
    proxy.await_lines("that it has ended", 1, " ended");
    let log = proxy.log();
    for (client, expected) in lines {
        let address = client.local_addr().expect("a bound socket has an address");
        let client = format!("closed client={address} ");
        let own: Vec<&String> = log.iter().filter(|line| line.contains(&client)).collect();
        assert!(
            matches!(own.as_slice(), [line] if line.contains(expected)),
            "{expected}: {own:?}"
        );
    }
}

/// A snapshot that a worker was too late for was left out of the log without a word, as if nobody had asked.
#[test]
fn worker_that_is_late_for_a_snapshot_is_reported_and_answers_the_next_one() {
    let proxy = Proxy::start(&[]);
    let start = proxy.footing();
    let quiet = Tunnel::open(&proxy);
    let is_stuck = || {
        let threads = proxy.process().threads();
        let stuck =
            |thread: &String| thread.starts_with("ringway-0 ") && thread.contains("pipe_write");
        threads.iter().any(stuck)
    };
    proxy.while_log_is_not_read(|| {
        until("the worker to wait for the reader of its log", || {
            drop(connect(&proxy));
            is_stuck().then_some(())
        });
        proxy.signal(Signal::USR1);
        // It waits for 2 s.
        expect_quiet(&quiet.client, Duration::from_secs(4));
    });
    proxy.await_lines("who is late", 1, "a worker does not answer");
    drop(quiet);
    proxy.await_gauges(&start);
}
