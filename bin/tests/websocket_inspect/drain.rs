//! What still runs when the drain timeout is over: told by a Close where one may stand, cut off with RST where not.

use std::io::Write;
use std::net::TcpStream;
use std::time::Duration;

use super::frames::{Sender, close, frame, read_close};
use super::{WebSocket, says};
use crate::support::{End, Proxy, end_of, read_exactly, read_until_end};

fn draining_soon() -> Proxy {
    Proxy::start(&["--websocket-inspect", "--drain-timeout", "400ms"])
}

/// Tells the proxy to end and waits until it has.
#[track_caller]
fn drain(proxy: &mut Proxy) {
    proxy.terminate();
    assert_eq!(proxy.await_exit().code(), Some(0));
}

/// Panics unless a Close with 1001, as `sender` has to send it, and FIN come.
#[track_caller]
fn expect_going_away(stream: &TcpStream, sender: Sender) -> Option<[u8; 4]> {
    let key = read_close(stream, sender, 1001);
    assert_eq!(read_until_end(stream), (Vec::new(), End::Fin));
    key
}

#[test]
fn drain_timeout_is_told_to_both_ends() {
    let mut proxy = draining_soon();
    let sockets: Vec<WebSocket> = (0..3).map(|_| WebSocket::open(&proxy)).collect();
    proxy.terminate();
    proxy.await_lines("that it drains", 1, "draining ");
    let text = |sender| frame(sender, 0x81, b"it runs on");
    for sender in Sender::BOTH {
        sockets[0].pass(sender, &text(sender));
        // A head that is not whole is kept back, so the direction ends before it.
        let (mut from, _) = sockets[1].ends(sender);
        from.write_all(&text(sender)[..1]).expect("the proxy reads");
        // Between the fragments of a message a Close may stand.
        sockets[2].pass(sender, &frame(sender, 0x01, b"half"));
    }
    assert_eq!(proxy.await_exit().code(), Some(0));
    let mut keys = Vec::new();
    for socket in &sockets {
        expect_going_away(&socket.client, Sender::Server);
        keys.extend(expect_going_away(&socket.origin, Sender::Client));
        let line = proxy.await_closed(&socket.target.to_string());
        says(
            &line,
            &["side=proxy", "cause=drained", "close_up=-", "close_down=-"],
        );
    }
    keys.sort();
    keys.dedup();
    assert_eq!(keys.len(), sockets.len(), "each mask key is another");
}

#[test]
fn second_signal_is_told_to_both_ends_too() {
    let mut proxy = Proxy::start(&["--websocket-inspect", "--drain-timeout", "60s"]);
    let socket = WebSocket::open(&proxy);
    proxy.terminate();
    proxy.await_lines("that it drains", 1, "draining ");
    drain(&mut proxy);
    expect_going_away(&socket.client, Sender::Server);
    expect_going_away(&socket.origin, Sender::Client);
}

#[test]
fn drain_timeout_cuts_off_who_is_inside_of_a_frame_and_tells_the_other() {
    for sender in Sender::BOTH {
        let mut proxy = draining_soon();
        let socket = WebSocket::open(&proxy);
        let (mut from, to) = socket.ends(sender);
        let part = &frame(sender, 0x82, &[0; 100])[..50];
        from.write_all(part).expect("the proxy reads");
        assert_eq!(read_exactly(to, part.len()), part);
        drain(&mut proxy);
        assert_eq!(read_until_end(to), (Vec::new(), End::Reset), "cut off");
        expect_going_away(from, sender.other());
    }
}

#[test]
fn drain_timeout_cuts_off_a_reader_that_has_stopped() {
    let mut proxy = draining_soon();
    let socket = WebSocket::open(&proxy);
    let (mut client, origin) = socket.ends(Sender::Client);
    // Whole frames, of which the last that the origin was sent is cut by what its socket takes.
    let frames = frame(Sender::Client, 0x82, &[0xa5; 1000]).repeat(100);
    client
        .set_write_timeout(Some(Duration::from_millis(300)))
        .expect("an option of every socket");
    while client.write_all(&frames).is_ok() {}
    drain(&mut proxy);
    let (_, end) = read_until_end(origin);
    assert_eq!(end, End::Reset, "what was cut off does not look whole");
}

#[test]
fn drain_timeout_behind_a_close_ends_without_another() {
    for sender in Sender::BOTH {
        let mut proxy = draining_soon();
        let socket = WebSocket::open(&proxy);
        socket.pass(sender, &close(sender, 1000));
        let (from, to) = socket.ends(sender);
        drain(&mut proxy);
        assert_eq!(read_until_end(to), (Vec::new(), End::Fin), "it has had one");
        expect_going_away(from, sender.other());
    }
}

#[test]
fn drain_timeout_resets_what_is_not_looked_at() {
    let mut proxy = Proxy::start(&["--drain-timeout", "400ms"]);
    let socket = WebSocket::open(&proxy);
    drain(&mut proxy);
    for end in [&socket.client, &socket.origin] {
        assert_eq!(end_of(end), End::Reset);
    }
}
