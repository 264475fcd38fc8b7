//! The rows about responses that come before the request is whole: 1xx, `Expect`, and final ones.

use std::io::Write;
use std::thread;
use std::time::{Duration, Instant};

use crate::support::*;
use crate::{GET, OK, POST, POST_CHUNKED};

const EXPECTS: &str = "POST http://ORIGIN/ HTTP/1.1\r\nHost: ORIGIN\r\n\
                       Content-Length: 5\r\nExpect: 100-continue\r\n\r\n";

#[test]
fn expect_100_continue_passes_and_so_does_the_100() {
    let proxy = Proxy::start(&[]);
    for request in [
        EXPECTS.to_owned(),
        EXPECTS.replace("100-continue", "100-Continue"),
        EXPECTS.replace("Content-Length: 5", "Transfer-Encoding: chunked"),
    ] {
        let mut exchange = Exchange::begin(&proxy, &request);
        let expect = exchange.asked.field("Expect").map(str::to_lowercase);
        assert_eq!(
            expect.as_deref(),
            Some("100-continue"),
            "{}",
            exchange.asked.text
        );
        exchange.server.expect_quiet(Duration::from_millis(50));
        exchange.server.send("HTTP/1.1 100 Continue\r\n\r\n");
        let interim = exchange.client.head();
        assert_eq!(interim.status(), 100, "{}", interim.text);
        let chunked = exchange.asked.field("Transfer-Encoding").is_some();
        exchange.client.send(if chunked {
            "5\r\nhello\r\n0\r\n\r\n"
        } else {
            "hello"
        });
        let head = exchange.asked.clone();
        assert_eq!(
            exchange.server.try_body_of(head).expect("the body").text(),
            "hello"
        );
        assert_eq!(exchange.answer(OK).text(), "ok");
        exchange.again(GET);
        assert_eq!(
            exchange.answer(OK).text(),
            "ok",
            "both connections are in step"
        );
    }
}

#[test]
fn expect_100_continue_that_the_origin_answers_417_at_once() {
    let proxy = Proxy::start(&[]);
    let start = proxy.footing();
    let mut exchange = Exchange::begin(&proxy, EXPECTS);
    let reply = exchange.answer("HTTP/1.1 417 No\r\nContent-Length: 2\r\n\r\nno");
    assert_eq!((reply.status(), reply.text()), (417, "no"));
    drop(exchange.client);
    let (seen, _) = exchange.server.rest(); // the connection is of no use to anybody else
    assert!(seen.is_empty(), "{:?}", String::from_utf8_lossy(&seen));
    proxy.await_gauges(&start);
}

#[test]
fn expect_100_continue_that_the_origin_never_answers_lets_the_body_flow() {
    let proxy = Proxy::start(&[]);
    let mut exchange = Exchange::begin(&proxy, EXPECTS);
    exchange.client.send("hello"); // a client may stop waiting (RFC 9110 section 10.1.1)
    assert_eq!(exchange.server.exactly(5), b"hello");
    assert_eq!(exchange.answer(OK).text(), "ok");

    let mut exchange = Exchange::begin(&proxy, &(EXPECTS.to_owned() + "hello"));
    assert_eq!(
        exchange.server.exactly(5),
        b"hello",
        "also in the segment of the head"
    );
    assert_eq!(exchange.answer(OK).text(), "ok");
    exchange.again(GET);
    assert_eq!(
        exchange.answer(OK).text(),
        "ok",
        "both connections are in step"
    );
}

#[test]
fn expect_100_continue_where_the_100_crosses_the_body() {
    let proxy = Proxy::start(&[]);
    let mut exchange = Exchange::begin(&proxy, &(EXPECTS.to_owned() + "hello"));
    assert_eq!(exchange.server.exactly(5), b"hello");
    exchange.server.send("HTTP/1.1 100 Continue\r\n\r\n");
    assert_eq!(exchange.answer(OK).status(), 100);
    assert_eq!(exchange.client.response().text(), "ok");
}

#[test]
fn interim_1xx_pass_back_as_they_come_with_their_fields() {
    let proxy = Proxy::start(&[]);
    let mut exchange = Exchange::get(&proxy);
    for round in 0..2 {
        for (status, line) in [
            (100, ""),
            (103, "Link: </a>; rel=preload\r\n"),
            (102, ""),
            (103, "Link: </b>\r\n"),
            (199, ""),
        ] {
            exchange
                .server
                .send(format!("HTTP/1.1 {status} Interim\r\n{line}\r\n"));
            let interim = exchange.client.head(); // before anything else comes
            assert_eq!(interim.status(), status);
            let field = line.trim_end().strip_prefix("Link: ");
            assert_eq!(interim.field("Link"), field, "{}", interim.text);
            assert_eq!(interim.field("Content-Length"), None, "{}", interim.text);
        }
        assert_eq!(exchange.answer(OK).text(), "ok", "round {round}");
        exchange.again(GET);
    }
}

#[test]
fn interim_1xx_in_any_number_pass_back_and_the_last_is_not_lost() {
    const HINTS: usize = 3000;
    let proxy = Proxy::start(&[]);
    let mut exchange = Exchange::get(&proxy);
    let flood = "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n".repeat(HINTS) + OK;
    let server = exchange.server.stream();
    thread::scope(|scope| {
        scope.spawn(|| { server }.write_all(flood.as_bytes()));
        for number in 0..HINTS {
            assert_eq!(exchange.client.head().status(), 103, "response {number}");
        }
        assert_eq!(exchange.client.response().text(), "ok");
    });
    exchange.again(GET);
    assert_eq!(
        exchange.answer(OK).text(),
        "ok",
        "both connections are in step"
    );
}

#[test]
fn interim_101_that_nobody_asked_for_is_502() {
    let proxy = Proxy::start(&[]);
    let start = proxy.footing();
    for fields in [
        "",
        "Connection: Upgrade\r\nUpgrade: h2c\r\n",
        "Connection: Upgrade\r\nUpgrade: websocket\r\n",
    ] {
        let mut exchange = Exchange::get(&proxy);
        let reply = exchange.answer(format!(
            "HTTP/1.1 101 Switching Protocols\r\n{fields}\r\nraw bytes"
        ));
        reply.expect_some_error(502);
        assert!(
            !reply.body.windows(3).any(|part| part == b"raw"),
            "nothing of it is relayed"
        );
        exchange.server.rest();
    }
    proxy.await_gauges(&start);
}

#[test]
fn early_final_response_while_the_upload_still_runs_is_delivered_at_once() {
    let proxy = Proxy::start(&[]);
    let length = 200_000_usize;
    for field in [
        format!("Content-Length: {length}"),
        "Transfer-Encoding: chunked".to_owned(),
    ] {
        let request = format!("POST http://ORIGIN/ HTTP/1.1\r\nHost: ORIGIN\r\n{field}\r\n\r\n");
        let mut exchange = Exchange::begin(&proxy, &request);
        let chunked = field.starts_with('T');
        let smuggled = about(
            exchange.origin.address(),
            &GET.replace("ORIGIN/ ", "ORIGIN/smuggled "),
        );
        let reply = exchange.answer("HTTP/1.1 413 Enough\r\nContent-Length: 6\r\n\r\nenough");
        assert_eq!(
            (reply.status(), reply.text()),
            (413, "enough"),
            "not a byte of the body was sent yet"
        );
        // Whatever becomes of the rest, none of it is a request, and a request behind it is not lost in silence.
        let mut body = smuggled.repeat(length / smuggled.len() + 1).into_bytes();
        body.truncate(length);
        let body = if chunked {
            crate::chunked(&body, &[5000])
        } else {
            body
        };
        let next = about(
            exchange.origin.address(),
            &GET.replace("ORIGIN/ ", "ORIGIN/next "),
        );
        let sending = exchange
            .client
            .stream()
            .try_clone()
            .expect("a descriptor is left");
        let kept = thread::scope(|scope| {
            scope.spawn(move || {
                // It may be closed meanwhile.
                (&sending)
                    .write_all(&[&body, next.as_bytes()].concat())
                    .ok();
            });
            let head = exchange.asked.clone();
            exchange
                .server
                .try_body_of(head)
                .is_ok_and(|asked| asked.body.len() == length)
        });
        let onto_the_same = kept.then(|| exchange.server.try_head().ok()).flatten();
        let other = exchange.origin.accept_if_there().map(Wire::new);
        let start = onto_the_same.or(other.and_then(|mut wire| wire.try_head().ok()));
        match start {
            Some(head) => assert_eq!(head.start_line(), "GET /next HTTP/1.1"),
            None => drop(exchange.client.rest()), // closed
        }
    }
}

#[test]
fn early_final_response_of_an_origin_that_closes_is_delivered_whole() {
    for (mode, tuning) in [("off", "1,1,1000000,0"), ("splice", "1,1,1000000,0")] {
        let proxy = Launch::new(&["--zero-copy", mode]).tuning(tuning).start();
        let start = proxy.footing();
        for closes in ["later", "fin", "reset"] {
            let mut exchange = Exchange::begin(
                &proxy,
                "POST http://ORIGIN/ HTTP/1.1\r\nHost: ORIGIN\r\nContent-Length: 1000000000\r\n\r\n",
            );
            // The origin takes nothing, so that bytes wait in every place where they can.
            stall(exchange.client.stream());
            exchange.server.send(
                "HTTP/1.1 413 Enough\r\nConnection: close\r\nContent-Length: 6\r\n\r\nenough",
            );
            if closes == "fin" {
                exchange.server.finish();
            }
            let reply = exchange.client.response();
            assert_eq!((reply.status(), reply.text()), (413, "enough"), "{closes}");
            if closes == "reset" {
                reset(exchange.server.into_stream());
            }
            exchange.client.rest(); // the upload cannot be whole, so the connection ends
        }
        proxy.await_gauges(&start);
    }
}

#[test]
fn early_final_response_before_a_body_of_which_nothing_comes_keeps_nobody_waiting() {
    let proxy = Proxy::start(&[]);
    let start = proxy.footing();
    let mut exchange = Exchange::begin(&proxy, POST);
    let reply =
        exchange.answer("HTTP/1.1 401 No\r\nConnection: close\r\nContent-Length: 2\r\n\r\nno");
    assert_eq!((reply.status(), reply.text()), (401, "no"));
    drop(exchange);
    proxy.await_gauges(&start);
}

/// How long an origin here goes on with interim responses.
const HINTING_MAX: Duration = Duration::from_secs(15);

/// Sends interim responses for as long as the client gets them and nothing else, and gives the first head that is none.
#[track_caller]
fn hint_until_answered(exchange: &mut Exchange) -> Head {
    let begun = Instant::now();
    while begun.elapsed() < HINTING_MAX {
        exchange.server.send("HTTP/1.1 102 Processing\r\n\r\n");
        let head = exchange.client.head();
        if head.status() != 102 {
            return head;
        }
        exchange.client.expect_quiet(Duration::from_millis(50));
    }
    panic!("interim responses are passed on without end");
}

#[test]
fn interim_1xx_put_the_end_of_an_idle_exchange_off_but_not_for_ever() {
    let proxy = Proxy::start(&["--idle-timeout", "800ms"]);
    let start = proxy.footing();
    let mut exchange = Exchange::begin(&proxy, POST);
    let begun = Instant::now();
    let head = hint_until_answered(&mut exchange);
    head.expect_error(504, "http_response_timeout");
    let took = begun.elapsed();
    let long = Duration::from_millis(6 * 800);
    assert!(took >= long, "{took:?}, and 102 is there to put it off");
    exchange.server.rest();
    drop(exchange);
    proxy.await_gauges(&start);
}

#[test]
fn interim_1xx_put_nothing_off_for_a_client_of_http_1_0_that_gets_none() {
    let proxy = Proxy::start(&["--idle-timeout", "800ms"]);
    let mut exchange = Exchange::begin(&proxy, &GET.replace("HTTP/1.1", "HTTP/1.0"));
    let begun = Instant::now();
    let mut server = exchange.server.stream();
    thread::scope(|scope| {
        scope.spawn(move || {
            let interim = b"HTTP/1.1 102 Processing\r\n\r\n";
            while begun.elapsed() < HINTING_MAX && server.write_all(interim).is_ok() {
                thread::park_timeout(Duration::from_millis(50));
            }
        });
        let head = exchange.client.head();
        head.expect_error(504, "http_response_timeout");
    });
    let took = begun.elapsed();
    assert!(took < Duration::from_millis(6 * 800), "{took:?}");
}

#[test]
fn interim_1xx_while_a_body_goes_up_end_nothing() {
    let proxy = Proxy::start(&["--idle-timeout", "800ms"]);
    const BYTES: usize = 60;
    let mut exchange = Exchange::begin(&proxy, &POST.replace(": 5", &format!(": {BYTES}")));
    let begun = Instant::now();
    for _ in 0..BYTES {
        exchange.server.send("HTTP/1.1 102 Processing\r\n\r\n");
        assert_eq!(exchange.client.head().status(), 102);
        exchange.client.expect_quiet(Duration::from_millis(100));
        exchange.client.send("b");
        exchange.server.exactly(1);
    }
    assert!(begun.elapsed() > Duration::from_millis(7 * 800));
    assert_eq!(exchange.answer(OK).text(), "ok");
}

/// What an origin answers before it has the body: the beginning, and the rest.
const IN_TWO_PARTS: [[&str; 2]; 4] = [
    ["HTTP/1.1 413 No\r\nContent-Length: 8\r\n\r\nhalf", "half"],
    [
        "HTTP/1.1 413 No\r\nConnection: close\r\nContent-Length: 8\r\n\r\nhalf",
        "half",
    ],
    [
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n",
        "4\r\nhalf\r\n0\r\n\r\n",
    ],
    ["HTTP/1.1 413 No\r\n\r\nhalf", "half"],
];

#[test]
fn early_final_response_is_delivered_whole_to_a_client_that_ends_inside_of_its_body() {
    for mode in ["splice", "off"] {
        let proxy = Launch::new(&["--zero-copy", mode])
            .tuning("1,1,1000000,0")
            .start();
        let start = proxy.footing();
        for [beginning, rest] in IN_TWO_PARTS {
            for (request, part) in [
                (POST.to_owned(), "he"),
                (POST.replace(": 5", ": 1000000"), "he"),
                (POST_CHUNKED.to_owned(), "5\r\nhe"),
                (POST_CHUNKED.to_owned(), "5\r\nhello\r\n0\r\n"),
            ] {
                let mut exchange = Exchange::begin(&proxy, &request);
                exchange.client.send(part);
                exchange.server.exactly(part.len());
                exchange.server.send(beginning);
                let head = exchange.client.head();
                exchange.client.finish();
                // No end that could be taken for that of the body.
                exchange.server.expect_quiet(Duration::from_millis(50));
                exchange.server.send(rest);
                if head.values("Content-Length").is_empty() && !rest.contains("0\r\n") {
                    exchange.server.finish();
                }
                let what = format!("{mode} {beginning:?} {part:?}");
                let whole = exchange.client.try_body_of(head);
                assert_eq!(whole.expect(&what).text(), "halfhalf", "{what}");
                assert_eq!(exchange.client.end(), End::Fin, "{what}");
                let (seen, end) = exchange.server.rest();
                assert_eq!((seen.as_slice(), end), (&[][..], End::Reset), "{what}");
            }
        }
        proxy.await_gauges(&start);
    }
}

#[test]
fn early_final_response_that_stops_where_a_client_has_ended_inside_of_its_body_is_cut_off_soon() {
    let proxy = Proxy::start(&["--half-close-timeout", "400ms"]);
    let start = proxy.footing();
    let mut exchange = Exchange::begin(&proxy, POST);
    exchange.server.send(IN_TWO_PARTS[0][0]);
    let head = exchange.client.head();
    assert_eq!(exchange.client.exactly(4), b"half");
    exchange.client.expect_quiet(Duration::from_millis(600));
    exchange.client.finish();
    // Its time begins there.
    exchange.server.expect_quiet(Duration::from_millis(150));
    expect_cut_off(exchange.client.try_body_of(head), "an answer that stops");
    let (seen, end) = exchange.server.rest();
    assert_eq!((seen.as_slice(), end), (&[][..], End::Reset));
    drop(exchange);
    proxy.await_gauges(&start);
}

#[test]
fn early_final_response_is_whole_and_the_body_that_ends_behind_it_does_not_look_so() {
    let proxy = Proxy::start(&[]);
    let start = proxy.footing();
    for (request, part) in [(POST, "he"), (POST_CHUNKED, "5\r\nhello\r\n")] {
        let mut exchange = Exchange::begin(&proxy, request);
        exchange.client.send(part);
        exchange.server.exactly(part.len());
        assert_eq!(exchange.answer(OK).text(), "ok");
        exchange.client.finish();
        assert_eq!(exchange.client.end(), End::Fin, "{part:?}");
        let (seen, end) = exchange.server.rest();
        assert_eq!((seen.as_slice(), end), (&[][..], End::Reset), "{part:?}");
    }
    proxy.await_gauges(&start);
}

#[test]
fn early_final_response_to_a_client_that_ends_inside_of_its_body_and_then_resets_is_let_go() {
    let proxy = Proxy::start(&["--half-close-timeout", "60s"]);
    let start = proxy.footing();
    for request in [POST.to_owned(), POST.replace(": 5", ": 1000000")] {
        let mut exchange = Exchange::begin(&proxy, &request);
        exchange.server.send(IN_TWO_PARTS[0][0]);
        exchange.client.head();
        assert_eq!(exchange.client.exactly(4), b"half");
        exchange.client.finish();
        exchange.server.expect_quiet(Duration::from_millis(50));
        reset(exchange.client.into_stream());
        let (seen, end) = exchange.server.rest();
        assert_eq!((seen.as_slice(), end), (&[][..], End::Reset));
    }
    proxy.await_gauges(&start);
}
