//! CONNECT on the wire: each row of the behaviour list as a test through the real program. A row that needs several
//! tests gives them its name as their first words. Further rows are in `connect/`: `reset` (RST from either side),
//! `policy` (where a client may go), `head` (what is not a CONNECT we take), `ending` (timeouts, drain, limits),
//! `waiting` (bytes that nobody reads) and `congestion` (which congestion control the connections have).

mod support;

#[path = "connect/congestion.rs"]
mod congestion;
#[path = "connect/ending.rs"]
mod ending;
#[path = "connect/head.rs"]
mod head_rows;
#[path = "connect/policy.rs"]
mod policy;
#[path = "connect/reset.rs"]
mod reset_rows;
#[path = "connect/waiting.rs"]
mod waiting;

use std::io::Write;
use std::net::{Ipv4Addr, Shutdown};
use std::time::{Duration, Instant};

use socket2::{Domain, Socket, Type};
use support::*;

/// Every mode in which bulk bytes may move.
pub(crate) const MODES: [&str; 4] = ["auto", "splice", "send-zc", "off"];

/// Targets that are no host and port; the first ten are the row.
const TARGETS: [&str; 41] = [
    "h",
    "h:",
    ":80",
    "h:0",
    "h:65536",
    "h:+80",
    "h:080",
    "u:p@h:80",
    "http://h:80",
    "h:80/",
    "",
    ":",
    "/",
    "*",
    "h:80?",
    "h:80#",
    "h:80:80",
    "h:-1",
    "h:0x50",
    "h:8o",
    "h:80x",
    "@h:80",
    "h@:80",
    "h:00080",
    "h:99999999999999999999",
    "h:18446744073709551696",
    "//h:80",
    "[::1",
    "[::1]",
    "::1:80",
    "[::1]80",
    "[::1]x:80",
    "[::g]:80",
    "[]:80",
    "[h]:80",
    "[127.0.0.1]:80",
    "h\u{1}:80",
    "h\0:80",
    "h\u{e9}:80",
    "h:8\u{661}",
    "h:80\u{7f}",
];

#[test]
fn target_malformed_is_400_close_and_nothing_is_dialled() {
    let origin = Origin::listen();
    let dns = Dns::knows(&[("h", &["127.0.0.1"])]);
    let proxy = Proxy::start(&["--resolver", &dns.address()]);
    let port = origin.port();
    let mut targets = TARGETS.map(str::to_owned).to_vec();
    let dialled_if_lenient = [
        "127.0.0.1:0P",
        "127.0.0.1:+P",
        "u@127.0.0.1:P",
        "http://127.0.0.1:P",
        "127.0.0.1:P/",
    ];
    targets.extend(dialled_if_lenient.map(|target| target.replace('P', &port.to_string())));
    targets.push(format!("127.0.0.1:{}", u32::from(port) + 65_536));
    for target in targets {
        let request = format!("CONNECT {target} HTTP/1.1\r\nHost: h:80\r\n\r\n");
        let reply = ask(&proxy, request.as_bytes());
        assert_eq!(reply.status, 400, "target {target:?}: {}", reply.head);
    }
    origin.expect_untouched();
    assert!(
        dns.all().is_empty(),
        "a name was looked up: {:?}",
        dns.all()
    );
    let _tunnel = Tunnel::open_to(&proxy, &origin); // it was not deaf to everything
}

#[test]
fn target_with_a_blank_inside_is_400() {
    let proxy = Proxy::start(&[]);
    for target in [
        "h :80", "h: 80", "h:8 0", " h:80", "h:80 ", "h:80\t", "\th:80",
    ] {
        let reply = ask(
            &proxy,
            format!("CONNECT {target} HTTP/1.1\r\nHost: h:80\r\n\r\n").as_bytes(),
        );
        assert_eq!(reply.status, 400, "target {target:?}: {}", reply.head);
    }
}

#[test]
fn upstream_refuses_is_502_proxy_status_says_so_close() {
    let bound = Socket::new(Domain::IPV4, Type::STREAM, None).expect("a socket");
    bound
        .bind(&std::net::SocketAddr::from((Ipv4Addr::LOCALHOST, 0)).into())
        .expect("a free port");
    let closed = bound
        .local_addr()
        .ok()
        .and_then(|address| address.as_socket())
        .expect("an IP address");
    let proxy = Proxy::start(&[]);
    refused(&proxy, closed).expect_error(502, "connection_refused");
}

#[test]
fn name_unknown_is_502_proxy_status_says_so_close() {
    let dns = Dns::knows(&[]);
    let proxy = Proxy::start(&["--resolver", &dns.address()]);
    refused(&proxy, "nowhere.example.test:80").expect_error(502, "dns_error");
}

#[test]
fn upstream_unreachable_is_502_proxy_status_says_so_close() {
    in_own_network(
        "upstream_unreachable_is_502_proxy_status_says_so_close",
        || {
            let proxy = Proxy::start(&[]);
            for target in ["203.0.113.1:80", "192.0.2.9:80", "[2001:db8:ffff::1]:80"] {
                refused(&proxy, target).expect_error(502, "destination_ip_unroutable");
            }
        },
    );
}

#[test]
fn upstream_does_not_answer_in_time_is_504_close() {
    let blackhole = Blackhole::listen();
    let proxy = Proxy::start(&["--connect-timeout", "300ms"]);
    let start = Instant::now();
    refused(&proxy, blackhole.address()).expect_error(504, "connection_timeout");
    let took = start.elapsed();
    assert!(
        took >= Duration::from_millis(280) && took < Duration::from_secs(5),
        "{took:?}"
    );
    let line = proxy.await_closed(&blackhole.address().to_string());
    assert!(line.contains("up=0 ") && line.contains("down=0 "), "{line}");
}

#[test]
fn upstream_does_not_answer_in_time_on_a_route_that_swallows() {
    in_own_network(
        "upstream_does_not_answer_in_time_on_a_route_that_swallows",
        || {
            let proxy = Proxy::start(&["--connect-timeout", "300ms"]);
            refused(&proxy, "203.0.113.200:80").expect_error(504, "connection_timeout");
        },
    );
}

#[test]
fn reply_to_a_refused_target_survives_a_payload_that_nobody_reads() {
    let bound = Socket::new(Domain::IPV4, Type::STREAM, None).expect("a socket");
    bound
        .bind(&std::net::SocketAddr::from((Ipv4Addr::LOCALHOST, 0)).into())
        .expect("a free port");
    let closed = bound
        .local_addr()
        .ok()
        .and_then(|address| address.as_socket())
        .expect("an IP address");
    let proxy = Proxy::start(&[]);
    for length in [1, 512, 16 * 1024, 60_000, 200_000] {
        let request = [head(closed), Content::new(1).bytes(length)].concat();
        for _ in 0..8 {
            ask(&proxy, &request).expect_error(502, "connection_refused");
        }
        // No RST chases the reply either, for as long as the client may take to read it.
        let mut client = connect(&proxy);
        client
            .write_all(&request)
            .expect("the proxy takes the request");
        expect_no_abort(&client, Duration::from_millis(100));
        read_reply(&client).expect_error(502, "connection_refused");
        assert_eq!(read_until_end(&client).1, End::Fin);
        for _ in 0..4 {
            client
                .write_all(b"a client that has not read the reply yet goes on")
                .expect("the proxy listens on");
            expect_no_abort(&client, Duration::from_millis(50));
        }
    }
}

#[test]
fn established_200_only_once_the_upstream_connection_stands() {
    let blackhole = Blackhole::listen();
    let proxy = Proxy::start(&[]);
    let mut client = connect(&proxy);
    client
        .write_all(&head(blackhole.address()))
        .expect("the proxy takes the head");
    expect_quiet(&client, Duration::from_millis(400));
    blackhole.answer(); // the SYN that the kernel sends again is answered
    assert_eq!(read_reply(&client).status, 200);
}

#[test]
fn established_200_has_no_content_length_or_transfer_encoding() {
    let proxy = Proxy::start(&[]);
    let origin = Origin::listen();
    let mut client = connect(&proxy);
    client
        .write_all(&head(origin.address()))
        .expect("the proxy takes the head");
    let reply = read_reply(&client);
    assert_eq!(reply.status, 200);
    assert_eq!(reply.field("Content-Length"), None, "{}", reply.head);
    assert_eq!(reply.field("Transfer-Encoding"), None, "{}", reply.head);
    ping(
        &origin.accept(),
        &client,
        b"the first byte behind the empty line is the origin's",
    );
}

#[test]
fn established_with_all_forms_of_target() {
    let dns = Dns::knows(&[("an-origin.example.test", &["127.0.0.1"])]);
    let proxy = Proxy::start(&["--resolver", &dns.address()]);
    let origin = Origin::listen();
    let port = origin.port();
    for host in [
        "127.0.0.1",
        "an-origin.example.test",
        "AN-Origin.Example.TEST",
        "localhost",
        "[::ffff:127.0.0.1]",
    ] {
        let client = open_tunnel(&proxy, format!("{host}:{port}"));
        ping(&client, &origin.accept(), host.as_bytes());
    }
    if !ipv6_loopback() {
        return skip(
            "established_with_all_forms_of_target",
            "this host has no IPv6 loopback",
        );
    }
    let six = Origin::listen_at((std::net::Ipv6Addr::LOCALHOST, 0));
    for host in ["[::1]", "[0:0:0:0:0:0:0:1]"] {
        let client = open_tunnel(&proxy, format!("{host}:{}", six.port()));
        ping(&client, &six.accept(), host.as_bytes());
    }
}

#[test]
fn payload_in_the_same_segment_as_the_head_is_relayed_whole_and_in_order_after_the_200() {
    for mode in MODES {
        let proxy = Proxy::start(&["--zero-copy", mode]);
        for length in [1, 100, 4095, 16_384, 60_000] {
            let origin = Origin::listen();
            let content = Content::new(length as u32);
            let bytes = content.bytes(2 * length);
            let mut client = connect(&proxy);
            let request = [head(origin.address()), bytes[..length].to_vec()].concat();
            client
                .write_all(&request)
                .expect("the proxy takes the head and the payload");
            let server = origin.accept();
            content.check(0, &read_exactly(&server, length));
            assert_eq!(read_reply(&client).status, 200);
            client
                .write_all(&bytes[length..])
                .expect("the tunnel takes bytes");
            content.check(length as u64, &read_exactly(&server, length));
            ping(&server, &client, b"answer");
            drop(client);
            assert_eq!(end_of(&server), End::Fin);
        }
    }
}

#[test]
fn payload_in_the_same_segment_as_the_end_of_the_head() {
    let proxy = Proxy::start(&["--buffer-size", "512", "--buffers", "2"]);
    let origin = Origin::listen();
    let request = [head(origin.address()), b"GET /".to_vec()].concat();
    for cut in 1..request.len() {
        let mut client = connect(&proxy);
        client
            .write_all(&request[..cut])
            .expect("the proxy takes a part of the head");
        client
            .write_all(&request[cut..])
            .expect("the proxy takes the rest");
        assert_eq!(read_reply(&client).status, 200, "cut at {cut}");
        assert_eq!(read_exactly(&origin.accept(), 5), b"GET /", "cut at {cut}");
    }
}

#[test]
fn payload_in_the_same_segment_as_the_head_goes_nowhere_before_the_upstream_stands() {
    let blackhole = Blackhole::listen();
    let proxy = Proxy::start(&["--connect-timeout", "300ms"]);
    let reply = ask(
        &proxy,
        &[head(blackhole.address()), b"payload".to_vec()].concat(),
    );
    reply.expect_error(504, "connection_timeout");
    let line = proxy.await_closed(&blackhole.address().to_string());
    assert!(line.contains("up=0 "), "{line}");
}

#[test]
fn payload_in_the_same_segment_as_the_head_and_a_fin_behind_it() {
    let echo = Echo::start();
    for mode in MODES {
        let proxy = Proxy::start(&["--zero-copy", mode]);
        let content = Content::new(3);
        let mut client = connect(&proxy);
        client
            .write_all(&[head(echo.address()), content.bytes(50_000)].concat())
            .expect("the proxy takes it");
        client
            .shutdown(Shutdown::Write)
            .expect("the connection stands");
        assert_eq!(read_reply(&client).status, 200);
        assert_eq!(receive(&client, content).expect("a clean end"), 50_000);
    }
}

#[test]
fn connect_carrying_content_length_or_transfer_encoding_is_400_close() {
    let proxy = Proxy::start(&[]);
    let origin = Origin::listen();
    let fields = [
        "Content-Length: 0",
        "Content-Length: 5",
        "content-length:5",
        "Content-Length:",
        "Content-Length: x",
        "Transfer-Encoding: chunked",
        "transfer-encoding: identity",
        "Transfer-Encoding:",
        "Content-Length: 5\r\nTransfer-Encoding: chunked",
    ];
    for field in fields {
        let target = origin.address();
        let request =
            format!("CONNECT {target} HTTP/1.1\r\nHost: {target}\r\n{field}\r\n\r\nhello");
        let reply = ask(&proxy, request.as_bytes());
        assert_eq!(reply.status, 400, "{field:?}: {}", reply.head);
    }
    origin.expect_untouched();
}

#[test]
fn client_fin_origin_answers_later_the_whole_answer_is_delivered() {
    for mode in MODES {
        let proxy = Proxy::start(&["--zero-copy", mode]);
        for length in [0, 1, 5000, 3 << 20] {
            let Tunnel {
                client,
                origin,
                target,
            } = Tunnel::open(&proxy);
            (&client)
                .write_all(b"request")
                .expect("the tunnel takes bytes");
            client
                .shutdown(Shutdown::Write)
                .expect("the connection stands");
            assert_eq!(read_until_end(&origin), (b"request".to_vec(), End::Fin));
            let content = Content::new(length as u32);
            let answer = std::thread::spawn(move || {
                send(&origin, content, length, &[65_536]).expect("the tunnel takes the answer");
                drop(origin); // FIN
            });
            assert_eq!(receive(&client, content).expect("a clean end"), length);
            answer.join().expect("the origin wrote all");
            let line = proxy.await_closed(&target.to_string());
            assert!(
                line.contains("up=7 ") && line.contains(&format!("down={length} ")),
                "{line}"
            );
        }
    }
}

#[test]
fn client_fin_before_the_200_leaves_the_tunnel_open_for_the_answer() {
    let proxy = Proxy::start(&[]);
    let blackhole = Blackhole::listen();
    let origin = Origin::listen();
    for (slow, target) in [(false, origin.address()), (true, blackhole.address())] {
        let mut client = connect(&proxy);
        client
            .write_all(&head(target))
            .expect("the proxy takes the head");
        client
            .shutdown(Shutdown::Write)
            .expect("the connection stands");
        if slow {
            blackhole.answer();
        }
        assert_eq!(
            read_reply(&client).status,
            200,
            "a FIN behind the head ends one direction, not the request"
        );
        if !slow {
            let server = origin.accept();
            assert_eq!(end_of(&server), End::Fin);
            ping(&server, &client, b"answer");
            drop(server);
            assert_eq!(end_of(&client), End::Fin);
        }
    }
}

#[test]
fn origin_fin_client_goes_on_sending_delivered_and_the_clients_fin_passes_when_it_comes() {
    for mode in MODES {
        let proxy = Proxy::start(&["--zero-copy", mode]);
        for length in [1, 5000, 3 << 20] {
            let Tunnel {
                client,
                origin,
                target,
            } = Tunnel::open(&proxy);
            (&origin)
                .write_all(b"greeting")
                .expect("the tunnel takes bytes");
            origin
                .shutdown(Shutdown::Write)
                .expect("the connection stands");
            assert_eq!(read_until_end(&client), (b"greeting".to_vec(), End::Fin));
            let content = Content::new(length as u32);
            let upload = std::thread::spawn(move || {
                send(&client, content, length, &[65_536]).expect("the tunnel takes the upload");
                client
                    .shutdown(Shutdown::Write)
                    .expect("the connection stands");
                client
            });
            assert_eq!(receive(&origin, content).expect("a clean end"), length);
            let _client = upload.join().expect("the client wrote all");
            let line = proxy.await_closed(&target.to_string());
            assert!(
                line.contains(&format!("up={length} ")) && line.contains("down=8 "),
                "{line}"
            );
        }
    }
}

#[test]
fn a_slow_reader_means_back_pressure_bounded_memory_and_the_other_tunnels_do_not_notice() {
    const SLOW: usize = 200;
    const OFFERED: usize = 4 << 20;
    raise_file_limit();
    for mode in MODES {
        let proxy = Proxy::start(&["--zero-copy", mode]);
        let echo = Echo::start();
        let other = open_tunnel(&proxy, echo.address());
        ping(&other, &other, b"warm");
        let before = proxy.process().pss_kib();
        let slow: Vec<Tunnel> = (0..SLOW).map(|_| Tunnel::open_narrow(&proxy)).collect();
        std::thread::scope(|scope| {
            let flood = scope.spawn(|| {
                let writers: Vec<_> = slow.iter().map(|tunnel| &tunnel.origin).collect();
                write_until_all_stalled(&writers, OFFERED, Duration::from_millis(500))
            });
            while !flood.is_finished() {
                let start = Instant::now();
                ping(&other, &other, &[7; 1024]);
                let took = start.elapsed();
                assert!(
                    took < Duration::from_secs(2),
                    "an echo took {took:?} beside the flood"
                );
            }
            let most = flood.join().expect("every writer stalls").into_iter().max();
            assert!(
                most < Some(OFFERED),
                "all of {OFFERED} bytes went in although nobody reads"
            );
        });
        let grown = proxy.process().pss_kib().saturating_sub(before);
        assert!(
            grown < 24 * 1024,
            "{mode}: {SLOW} slow readers cost {grown} KiB of memory"
        );
    }
}
