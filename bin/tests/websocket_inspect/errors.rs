//! What breaks the rules: a Close with the right code to both ends, FIN behind it, and a line that says what it was.

use std::collections::BTreeSet;
use std::io::Write;
use std::net::Shutdown;

use super::frames::{Sender, close, frame, masked, plain, read_close};
use super::{WebSocket, inspecting, says};
use crate::support::{
    End, Launch, Proxy, expect_no_abort, expect_quiet, read_exactly, read_until_end, reset,
    write_until_stalled,
};
use std::time::Duration;

/// Longer than an abort takes to come.
const QUIET: Duration = Duration::from_millis(300);

/// Streams that are wrong, with the sender, the code of the Close and what the log says.
fn wrong() -> Vec<(Sender, Vec<u8>, u16, &'static str)> {
    use Sender::{Client, Server};
    let too_long = (128_u64 * 1024 * 1024 + 1).to_be_bytes();
    let mut wrong = vec![
        (
            Client,
            plain(0x81, b"bare"),
            1002,
            "a frame of a client is not masked",
        ),
        (
            Server,
            masked(0x81, b"mask"),
            1002,
            "a frame of a server is masked",
        ),
    ];
    for sender in Sender::BOTH {
        let mask_bit = if sender == Client { 0x80 } else { 0 };
        let bytes = |bytes: &[u8]| bytes.to_vec();
        wrong.extend([
            (sender, bytes(&[0x83]), 1002, "the opcode is reserved"),
            (sender, bytes(&[0x8b, 0]), 1002, "the opcode is reserved"),
            (
                sender,
                bytes(&[0x09]),
                1002,
                "a control frame is fragmented",
            ),
            (
                sender,
                bytes(&[0x89, mask_bit | 126]),
                1002,
                "a control frame has more than 125 bytes of payload",
            ),
            (
                sender,
                [&[0x82, mask_bit | 127], too_long.as_slice(), &[1, 2, 3, 4]].concat(),
                1009,
                "a frame is too long",
            ),
            (
                sender,
                frame(sender, 0x80, b"of nothing"),
                1002,
                "a continuation has no message to continue",
            ),
            (
                sender,
                close(sender, 1005),
                1002,
                "a close frame has an invalid code",
            ),
        ]);
    }
    wrong
}

#[test]
fn each_error_is_told_to_both_ends_behind_what_was_right() {
    let proxy = inspecting();
    let start = proxy.footing();
    let mut keys = BTreeSet::new();
    let wrong = wrong();
    for (sender, stream, code, text) in &wrong {
        let socket = WebSocket::open(&proxy);
        let (mut from, to) = socket.ends(*sender);
        let right = frame(*sender, 0x81, b"still right");
        from.write_all(&[right.as_slice(), stream].concat())
            .expect("the proxy reads");
        assert_eq!(read_exactly(to, right.len()), right, "{text}");
        let there = read_close(to, *sender, *code);
        let back = read_close(from, sender.other(), *code);
        keys.extend(there.into_iter().chain(back));
        for end in [to, from] {
            assert_eq!(read_until_end(end), (Vec::new(), End::Fin), "{text}");
        }
        let target = socket.target.to_string();
        drop(socket);
        let line = proxy.await_closed(&target);
        let (up, down) = match sender {
            Sender::Client => (right.len(), 0),
            Sender::Server => (0, right.len()),
        };
        says(
            &line,
            &[
                &format!("side={}", sender.side()),
                "phase=relay",
                &format!("cause=websocket error ({text})"),
                &format!("up={up}"),
                &format!("down={down}"),
                "close_up=-",
                "close_down=-",
            ],
        );
    }
    assert_eq!(keys.len(), wrong.len(), "each mask key is another");
    proxy.await_gauges(&start);
    let snapshot = proxy.snapshot();
    assert_eq!(snapshot.value("websocket_errors"), wrong.len() as u64);
    assert_eq!(snapshot.value("resets"), 0);
}

#[test]
fn a_second_of_two_wrong_frames_in_pieces_is_found() {
    let proxy = inspecting();
    let socket = WebSocket::open(&proxy);
    let (mut client, origin) = socket.ends(Sender::Client);
    client.write_all(&[0x81]).expect("the proxy reads");
    proxy.snapshot();
    client.write_all(&[0x05]).expect("the proxy reads");
    read_close(origin, Sender::Client, 1002);
    read_close(client, Sender::Server, 1002);
    assert_eq!(read_until_end(origin), (Vec::new(), End::Fin));
}

#[test]
fn errors_in_the_segment_of_the_handshake_are_told_behind_it() {
    let proxy = inspecting();
    let right = frame(Sender::Client, 0x81, b"right");
    let socket = WebSocket::open_early(&proxy, &[right.as_slice(), b"\x83"].concat(), b"");
    assert_eq!(read_exactly(&socket.origin, right.len()), right);
    read_close(&socket.origin, Sender::Client, 1002);
    read_close(&socket.client, Sender::Server, 1002);
    let socket = WebSocket::open_early(&proxy, b"", b"\x81\x01a\x83");
    assert_eq!(read_exactly(&socket.client, 3), b"\x81\x01a");
    read_close(&socket.client, Sender::Server, 1002);
    read_close(&socket.origin, Sender::Client, 1002);
}

#[test]
fn a_close_never_stands_inside_of_a_frame() {
    let proxy = inspecting();
    for sender in Sender::BOTH {
        let socket = WebSocket::open(&proxy);
        let (mut offender, mut other) = socket.ends(sender);
        let part = &frame(sender.other(), 0x82, &[0; 100])[..50];
        other.write_all(part).expect("the proxy reads");
        assert_eq!(read_exactly(offender, part.len()), part);
        offender.write_all(b"\x83").expect("the proxy reads");
        assert_eq!(read_until_end(offender), (Vec::new(), End::Fin));
        read_close(other, sender, 1002);
        assert_eq!(read_until_end(other), (Vec::new(), End::Fin));
    }
}

#[test]
fn an_offender_that_goes_on_sending_gets_its_close() {
    let proxy = inspecting();
    let start = proxy.footing();
    for sender in Sender::BOTH {
        let socket = WebSocket::open(&proxy);
        let (mut offender, other) = socket.ends(sender);
        proxy.while_stopped(|| {
            // What lies unread behind the error must not turn the end into RST.
            let flood = [b"\x83".as_slice(), &[0; 200_000]].concat();
            offender.write_all(&flood).expect("the socket has room");
        });
        read_close(offender, sender.other(), 1002);
        assert_eq!(read_until_end(offender), (Vec::new(), End::Fin));
        read_close(other, sender, 1002);
        // What it still sends is read, and so is what it sent before: neither makes the proxy's end an abort.
        offender.write_all(&[0; 1000]).expect("it is still read");
        expect_no_abort(offender, QUIET);
        drop(socket);
    }
    proxy.await_gauges(&start);
}

#[test]
fn an_offender_that_never_stops_is_not_read_for_ever() {
    const ENDLESS: usize = 512 << 20; // what it could send in the time that it is given to end
    let proxy = inspecting();
    let start = proxy.footing();
    for sender in Sender::BOTH {
        let socket = WebSocket::open(&proxy);
        let (mut offender, other) = socket.ends(sender);
        offender.write_all(b"\x83").expect("the proxy reads");
        read_close(offender, sender.other(), 1002);
        let written = write_until_stalled(offender, ENDLESS, QUIET);
        // Past the 16 MiB there are the kernel's buffers.
        assert!(
            written >= 16 << 20,
            "{written}: it has time to see its Close"
        );
        assert!(written < 128 << 20, "{written} bytes are read");
        let leases = proxy.snapshot().value("leases");
        assert_eq!(leases, 0, "what is not read holds no receive buffer");
        // The other end does not pay for it.
        read_close(other, sender, 1002);
        assert_eq!(read_until_end(other), (Vec::new(), End::Fin));
        expect_no_abort(other, QUIET);
        let target = socket.target.to_string();
        drop(socket);
        let line = proxy.await_closed(&target);
        says(&line, &["cause=websocket error (the opcode is reserved)"]);
    }
    proxy.await_gauges(&start);
}

#[test]
fn an_offender_that_ends_at_once_does_not_hide_its_error() {
    let proxy = inspecting();
    for sender in Sender::BOTH {
        let socket = WebSocket::open(&proxy);
        let (mut offender, other) = socket.ends(sender);
        proxy.while_stopped(|| {
            offender.write_all(b"\x83").expect("the socket has room");
            offender.shutdown(Shutdown::Write).expect("still connected");
        });
        read_close(other, sender, 1002);
        assert_eq!(read_until_end(other), (Vec::new(), End::Fin));
        read_close(offender, sender.other(), 1002);
        let target = socket.target.to_string();
        drop(socket);
        let line = proxy.await_closed(&target);
        says(&line, &["cause=websocket error (the opcode is reserved)"]);
    }
}

#[test]
fn an_offender_that_is_gone_does_not_keep_the_other_from_its_close() {
    let proxy = inspecting();
    let start = proxy.footing();
    for sender in Sender::BOTH {
        let socket = WebSocket::open(&proxy);
        let (mut offender, other) = socket.ends(sender);
        offender.write_all(b"\x83").expect("the proxy reads");
        read_close(offender, sender.other(), 1002);
        let target = socket.target.to_string();
        let offender = offender.try_clone().expect("a descriptor");
        let other = other.try_clone().expect("a descriptor");
        drop(socket);
        reset(offender);
        read_close(&other, sender, 1002);
        assert_eq!(read_until_end(&other), (Vec::new(), End::Fin));
        // It is given the time to end as well.
        (&other)
            .write_all(&close(sender.other(), 1002))
            .expect("it is still read");
        expect_no_abort(&other, QUIET);
        drop(other);
        says(&proxy.await_closed(&target), &["phase=relay"]);
    }
    proxy.await_gauges(&start);
}

#[test]
fn an_end_that_does_not_end_is_waited_for_until_the_half_close_timeout() {
    let proxy = Proxy::start(&["--websocket-inspect", "--half-close-timeout", "300ms"]);
    let start = proxy.footing();
    let socket = WebSocket::open(&proxy);
    (&socket.client)
        .write_all(b"\x83")
        .expect("the proxy reads");
    let line = proxy.await_closed(&socket.target.to_string());
    says(
        &line,
        &[
            "side=client",
            "cause=websocket error (the opcode is reserved)",
        ],
    );
    for (end, sender) in [
        (&socket.client, Sender::Server),
        (&socket.origin, Sender::Client),
    ] {
        read_close(end, sender, 1002);
        assert_eq!(read_until_end(end), (Vec::new(), End::Fin));
    }
    proxy.await_gauges(&start);
}

#[test]
fn a_reader_that_has_stopped_is_cut_off_with_rst_after_an_error() {
    let proxy = Launch::new(&["--websocket-inspect", "--half-close-timeout", "300ms"]).start();
    let start = proxy.footing();
    let socket = WebSocket::open(&proxy);
    let (mut client, origin) = socket.ends(Sender::Client);
    let head = [
        [0x82, 0xff].as_slice(),
        &(64_u64 << 20).to_be_bytes(),
        &[0; 4],
    ]
    .concat();
    client.write_all(&head).expect("the proxy reads");
    write_until_stalled(client, 64 << 20, Duration::from_millis(300));
    // The error is in the other direction, which is at a boundary and moves.
    (&socket.origin)
        .write_all(b"\x83")
        .expect("the proxy reads");
    let line = proxy.await_closed(&socket.target.to_string());
    says(
        &line,
        &[
            "side=upstream",
            "cause=websocket error (the opcode is reserved)",
        ],
    );
    let (_, end) = read_until_end(origin);
    assert_eq!(end, End::Reset, "what was cut off does not look whole");
    drop(socket);
    proxy.await_gauges(&start);
}

#[test]
fn nothing_passes_behind_a_close() {
    let proxy = inspecting();
    let socket = WebSocket::open(&proxy);
    let closing = close(Sender::Client, 1000);
    let (mut client, origin) = socket.ends(Sender::Client);
    client
        .write_all(&[closing.as_slice(), b"\x81\x80\0\0\0\0"].concat())
        .expect("the proxy reads");
    assert_eq!(read_exactly(origin, closing.len()), closing);
    expect_quiet(origin, Duration::from_millis(100));
    socket.pass(Sender::Server, &close(Sender::Server, 1000));
}

#[test]
fn what_comes_behind_a_close_is_not_read_for_ever() {
    const ENDLESS: usize = 512 << 20; // what it could send in the time that it is given to end
    let proxy = inspecting();
    let start = proxy.footing();
    for sender in Sender::BOTH {
        for answered in [false, true] {
            let socket = WebSocket::open(&proxy);
            let (offender, other) = socket.ends(sender);
            socket.pass(sender, &close(sender, 1000));
            if answered {
                socket.pass(sender.other(), &close(sender.other(), 1000));
            }
            let written = write_until_stalled(offender, ENDLESS, QUIET);
            // Past the 16 MiB there are the kernel's buffers.
            assert!(written >= 16 << 20, "{written}: it may be on its way");
            assert!(written < 128 << 20, "{written} bytes are read");
            assert_eq!(proxy.snapshot().value("leases"), 0);
            // Nothing of it has passed. Who has been sent a Close is sent no other.
            assert_eq!(read_until_end(other), (Vec::new(), End::Fin));
            if !answered {
                read_close(offender, sender.other(), 1002);
            }
            let target = socket.target.to_string();
            drop(socket);
            says(
                &proxy.await_closed(&target),
                &[
                    &format!("side={}", sender.side()),
                    "cause=websocket error (too much comes behind a close frame)",
                ],
            );
        }
    }
    assert_eq!(proxy.snapshot().value("websocket_errors"), 4);
    proxy.await_gauges(&start);
}
