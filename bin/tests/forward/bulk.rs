//! Large bodies: every byte once, in order and compared, with both framings, both ways at once, however they move.

use std::thread;

use crate::support::*;
use crate::{LAST, MODES, OK};

/// Sizes of writes: none divides a buffer, and some split a chunk's line from its content.
const WRITES: [usize; 3] = [65_536, 4095, 100_000];

/// How one body is framed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Framed {
    Length,
    Chunked,
}

impl Framed {
    const BOTH: [Self; 2] = [Self::Length, Self::Chunked];

    fn field(self, length: u64) -> String {
        match self {
            Self::Length => format!("Content-Length: {length}"),
            Self::Chunked => "Transfer-Encoding: chunked".to_owned(),
        }
    }

    /// Writes all of the body but its last byte, or its last chunk.
    fn send(self, wire: &Wire, content: Content, length: u64) {
        let sent = match self {
            Self::Length => send(wire.stream(), content, length.saturating_sub(1), &WRITES),
            Self::Chunked => send_chunked(wire.stream(), content, length, &WRITES),
        };
        sent.expect("the connection takes the body");
    }

    fn finish(self, wire: &Wire, content: Content, length: u64) {
        match self {
            Self::Length if length == 0 => {}
            Self::Length => {
                let mut last = [0];
                content.fill(length - 1, &mut last);
                wire.send(last);
            }
            Self::Chunked => wire.send("0\r\n\r\n"),
        }
    }
}

/// A POST with a body of `up` bytes, and while that runs its response with one of `down` bytes, which ends only when
/// the origin has seen the whole request; then a GET on the same connections.
fn both_ways(proxy: &Proxy, up: (Framed, u64), down: (Framed, u64)) {
    let contents = [Content::new(up.1 as u32), Content::new(down.1 as u32 ^ 1)];
    let request = format!(
        "POST http://ORIGIN/ HTTP/1.1\r\nHost: ORIGIN\r\n{}\r\n\r\n",
        up.0.field(up.1)
    );
    let Exchange {
        origin,
        mut client,
        mut server,
        asked,
    } = Exchange::begin(proxy, &request);
    let handle = |wire: &Wire| Wire::new(wire.stream().try_clone().expect("a descriptor is left"));
    let (sending, answering) = (handle(&client), handle(&server));
    let closes = thread::scope(|scope| {
        scope.spawn(move || {
            up.0.send(&sending, contents[0], up.1);
            up.0.finish(&sending, contents[0], up.1);
        });
        let begun = scope.spawn(move || {
            answering.send(format!(
                "HTTP/1.1 200 OK\r\n{}\r\n\r\n",
                down.0.field(down.1)
            ));
            down.0.send(&answering, contents[1], down.1);
        });
        let server = &mut server;
        scope.spawn(move || {
            let asked = &asked;
            assert_eq!(server.check_body(asked, contents[0]), up.1);
            begun.join().expect("the answer was taken");
            down.0.finish(server, contents[1], down.1);
        });
        let head = client.head();
        assert_eq!(head.status(), 200);
        assert_eq!(
            client.check_body(&head, contents[1]),
            down.1,
            "{up:?} {down:?}"
        );
        head.names("Connection", "close")
    });
    if closes {
        assert_eq!(client.end(), End::Fin); // it may say so while it cannot know of the whole request
        return;
    }
    client.send(get(origin.address(), "/next"));
    assert_eq!(server.head().start_line(), "GET /next HTTP/1.1");
    server.send(LAST);
    assert_eq!(client.response().text(), "ok", "both are in step");
}

#[test]
fn bodies_of_every_size_and_framing_in_both_directions_at_once() {
    thread::scope(|scope| {
        for mode in MODES {
            scope.spawn(move || bodies_of_every_size(&["--zero-copy", mode], 5 << 20));
            let scarce = [
                "--zero-copy",
                mode,
                "--buffers",
                "2",
                "--buffer-size",
                "512",
            ];
            scope.spawn(move || bodies_of_every_size(&scarce, 300_000));
        }
    });
}

#[track_caller]
fn bodies_of_every_size(options: &[&str], large: u64) {
    let proxy = Proxy::start(options);
    let start = proxy.footing();
    for framed in Framed::BOTH {
        for length in [0, 1, 65_536] {
            both_ways(&proxy, (framed, length), (framed, length));
        }
    }
    both_ways(&proxy, (Framed::Length, large), (Framed::Chunked, large));
    both_ways(&proxy, (Framed::Chunked, large), (Framed::Length, large));
    proxy.await_gauges(&start);
}

#[test]
fn bodies_under_tunings_that_change_how_they_move_at_every_boundary() {
    for tuning in ["1,1048576,1,0", "1,1,1000000,0", "1,4096,2,0"] {
        let proxy = Launch::new(&["--buffer-size", "4096"])
            .tuning(tuning)
            .start();
        for framed in Framed::BOTH {
            for length in [4095, 4096, 65_537, 3 << 20] {
                both_ways(&proxy, (framed, length), (framed, length));
            }
        }
    }
}

#[test]
fn bodies_of_100_mib_in_both_directions_at_once() {
    let proxy = Proxy::start(&[]);
    let start = proxy.footing();
    for framed in Framed::BOTH {
        both_ways(&proxy, (framed, 100 << 20), (framed, 100 << 20));
    }
    proxy.await_gauges(&start);
}

#[test]
fn bodies_end_where_they_say_and_the_next_message_follows_in_the_same_segment() {
    for mode in MODES {
        for tuning in [None, Some("1,1,1000000,0")] {
            let launch = Launch::new(&["--zero-copy", mode]);
            let proxy = tuning.into_iter().fold(launch, Launch::tuning).start();
            let mut exchange = Exchange::get(&proxy);
            exchange.answer(OK);
            for length in [1_usize, 16_383, 16_384, 300_000] {
                let body = Content::new(7).bytes(length);
                let head = format!(
                    "POST http://ORIGIN/ HTTP/1.1\r\nHost: ORIGIN\r\nContent-Length: {length}\r\n\r\n"
                );
                let origin = exchange.origin.address();
                let pipelined = [
                    about(origin, &head).as_bytes(),
                    &body,
                    get(origin, "/next").as_bytes(),
                ]
                .concat();
                let response = format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n");
                let sender = Wire::new(
                    exchange
                        .client
                        .stream()
                        .try_clone()
                        .expect("a descriptor is left"),
                );
                thread::scope(|scope| {
                    scope.spawn(move || sender.send(&pipelined));
                    assert!(exchange.server.request().body == body, "{mode} {length}");
                });
                let answer = [response.as_bytes(), &body].concat();
                let sender = Wire::new(
                    exchange
                        .server
                        .stream()
                        .try_clone()
                        .expect("a descriptor is left"),
                );
                thread::scope(|scope| {
                    scope.spawn(move || sender.send(&answer));
                    assert!(exchange.client.response().body == body, "{mode} {length}");
                });
                assert_eq!(exchange.server.head().start_line(), "GET /next HTTP/1.1");
                assert_eq!(exchange.answer(OK).text(), "ok", "{mode} {length}");
            }
        }
    }
}
