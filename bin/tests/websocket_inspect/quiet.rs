//! Quiet WebSockets: pings whose pongs are taken out, dead ends, and the end after the idle timeout.

use std::collections::BTreeSet;
use std::io::{ErrorKind, Write};
use std::net::{Shutdown, TcpStream};
use std::thread;

use super::frames::{Frame, Sender, frame, read_close};
use super::{WebSocket, says};
use crate::support::{End, Proxy, read_exactly, read_until_end};

/// Pings come after a third of this.
const IDLE: &str = "3s";
/// More than come until then.
const PINGS_MAX: usize = 10;

fn impatient() -> Proxy {
    Proxy::start(&["--websocket-inspect", "--websocket-idle-timeout", IDLE])
}

/// Reads a ping of the proxy that comes to the end which `receiver` is.
#[track_caller]
fn read_ping(stream: &TcpStream, receiver: Sender) -> Frame {
    let ping = Frame::read(stream).expect("a ping");
    assert_eq!((ping.first, ping.payload.len()), (0x89, 8), "{ping:x?}");
    assert_eq!(ping.key.is_some(), receiver == Sender::Server, "{ping:x?}");
    ping
}

/// Answers every ping until something else comes, which it gives.
#[track_caller]
fn answer_pings(mut stream: &TcpStream, sender: Sender) -> Frame {
    for _ in 0..PINGS_MAX {
        let came = Frame::read(stream).expect("no FIN without a Close");
        if came.first != 0x89 {
            return came;
        }
        stream
            .write_all(&frame(sender, 0x8a, &came.payload))
            .expect("the proxy reads");
    }
    panic!("pings without end");
}

/// Answers every ping until RST comes; gives how many came.
#[track_caller]
fn answer_until_reset(mut stream: &TcpStream, sender: Sender) -> usize {
    for answered in 0..PINGS_MAX {
        match stream.peek(&mut [0]) {
            Err(error) if error.kind() == ErrorKind::ConnectionReset => return answered,
            Ok(1) => {}
            other => panic!("neither a ping nor RST: {other:?}"),
        }
        let ping = read_ping(stream, sender);
        stream
            .write_all(&frame(sender, 0x8a, &ping.payload))
            .expect("the proxy reads");
    }
    panic!("pings without end");
}

#[test]
fn quiet_ends_are_pinged_and_their_pongs_taken_out() {
    let proxy = impatient();
    let start = proxy.footing();
    let socket = WebSocket::open(&proxy);
    let mut drawn = BTreeSet::new();
    let mut moved = 0;
    for round in 0..2 {
        let pings = [
            read_ping(&socket.client, Sender::Client),
            read_ping(&socket.origin, Sender::Server),
        ];
        for (sender, ping) in Sender::BOTH.into_iter().zip(&pings) {
            let (mut from, to) = socket.ends(sender);
            // The pong stands between two messages, and is the only one that does not pass.
            let text = frame(sender, 0x81, format!("round {round}").as_bytes());
            let foreign = frame(sender, 0x8a, b"nobody's");
            let pong = frame(sender, 0x8a, &ping.payload);
            let sent = [text.as_slice(), &pong, &foreign, &text].concat();
            from.write_all(&sent).expect("the proxy reads");
            let passed = [text.as_slice(), &foreign, &text].concat();
            assert_eq!(read_exactly(to, passed.len()), passed);
            if sender == Sender::Client {
                moved += passed.len();
            }
            drawn.insert(ping.payload.clone());
            drawn.extend(ping.key.map(Vec::from));
        }
    }
    assert_eq!(drawn.len(), 2 * 3, "payloads and keys are new each time");
    let line = socket.close(&proxy, [1000, 1000]);
    // Masked frames are 4 bytes longer: only those of the client were added up.
    says(
        &line,
        &[
            "cause=done",
            &format!("up={}", moved + 8),
            &format!("down={}", moved - 3 * 2 * 4 + 4),
            "messages_up=4",
            "messages_down=4",
        ],
    );
    proxy.await_gauges(&start);
}

#[test]
fn no_ping_stands_inside_of_a_frame() {
    let proxy = impatient();
    let socket = WebSocket::open(&proxy);
    let text = frame(Sender::Client, 0x81, b"in two parts");
    let first = &text[..10];
    (&socket.client).write_all(first).expect("the proxy reads");
    assert_eq!(read_exactly(&socket.origin, first.len()), first);
    // Neither to the origin, which is inside of that frame, nor to the client, which cannot answer before its end.
    let ended = thread::scope(|scope| {
        let ends = [&socket.origin, &socket.client];
        ends.map(|end| {
            scope.spawn(|| {
                let end_of = match Frame::read(end) {
                    None => "FIN",
                    Some(Frame { first: 0x88, .. }) => "Close",
                    Some(other) => panic!("{other:x?}"),
                };
                end.shutdown(Shutdown::Write).expect("still connected");
                end_of
            })
        })
        .map(|reader| reader.join().expect("no ping came"))
    });
    assert_eq!(ended, ["FIN", "Close"]);
    let line = proxy.await_closed(&socket.target.to_string());
    says(&line, &["cause=idle timeout"]);
}

#[test]
fn pings_are_no_activity_and_the_idle_timeout_says_1001() {
    let proxy = impatient();
    let start = proxy.footing();
    let socket = WebSocket::open(&proxy);
    socket.pass(Sender::Server, &frame(Sender::Server, 0x82, b"hello"));
    thread::scope(|scope| {
        for sender in Sender::BOTH {
            let (stream, _) = socket.ends(sender);
            scope.spawn(move || {
                let last = answer_pings(stream, sender);
                assert_eq!((last.first, last.payload), (0x88, vec![0x03, 0xe9]));
                assert_eq!(read_until_end(stream), (Vec::new(), End::Fin));
                // The ends answer as the RFC wants it; nothing of it passes.
                let _ = { stream }.write_all(&frame(sender, 0x88, &[0x03, 0xe9]));
                let _ = stream.shutdown(Shutdown::Write);
            });
        }
    });
    let line = proxy.await_closed(&socket.target.to_string());
    says(
        &line,
        &[
            "side=proxy",
            "cause=idle timeout",
            "up=0",
            "down=7",
            "messages_down=1",
            "close_up=-",
            "close_down=-",
        ],
    );
    drop(socket);
    proxy.await_gauges(&start);
    assert_eq!(proxy.snapshot().value("timeouts"), 1);
}

#[test]
fn an_end_that_answers_no_ping_is_dead_and_both_get_rst() {
    let proxy = impatient();
    let start = proxy.footing();
    for dead in Sender::BOTH {
        let socket = WebSocket::open(&proxy);
        let (silent, alive) = socket.ends(dead);
        let answered = answer_until_reset(alive, dead.other());
        assert!(answered >= 1, "the living end was pinged");
        let (_, end) = read_until_end(silent);
        assert_eq!(end, End::Reset);
        let line = proxy.await_closed(&socket.target.to_string());
        says(
            &line,
            &[
                &format!("side={}", dead.side()),
                "cause=ping timeout",
                "up=0",
                "down=0",
            ],
        );
    }
    proxy.await_gauges(&start);
    assert_eq!(proxy.snapshot().value("resets"), 2);
}

#[test]
fn an_end_that_says_something_else_is_not_dead() {
    let proxy = impatient();
    let socket = WebSocket::open(&proxy);
    let text = frame(Sender::Server, 0x81, b"no pong, but alive");
    for _ in 0..4 {
        read_ping(&socket.origin, Sender::Server);
        let ping = read_ping(&socket.client, Sender::Client);
        (&socket.client)
            .write_all(&frame(Sender::Client, 0x8a, &ping.payload))
            .expect("the proxy reads");
        socket.pass(Sender::Server, &text);
    }
    let line = socket.close(&proxy, [1000, 1000]);
    says(&line, &["cause=done", "messages_down=4"]);
}

#[test]
fn a_close_of_a_quiet_end_ends_the_pings() {
    let proxy = impatient();
    let socket = WebSocket::open(&proxy);
    read_ping(&socket.client, Sender::Client);
    read_ping(&socket.origin, Sender::Server);
    socket.pass(Sender::Client, &super::close(Sender::Client, 1000));
    // Until the idle timeout nothing comes but its Close, and only to the end that has had none.
    read_close(&socket.client, Sender::Server, 1001);
    assert_eq!(read_until_end(&socket.client), (Vec::new(), End::Fin));
    assert_eq!(read_until_end(&socket.origin), (Vec::new(), End::Fin));
}
