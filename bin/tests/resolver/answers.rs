//! What a name server may answer, and what is made of it: whole, truncated, false, negative, none at all, or aliases.

use std::collections::HashSet;
use std::io::Write;
use std::net::{IpAddr, Ipv4Addr, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use crate::support::*;
use crate::{HERE, LONG, expect_reaches, proxy_with};

#[test]
fn truncated_answer_is_asked_for_again_over_tcp() {
    let dns = Dns::start(|query| {
        let whole = query.addresses(&[HERE], LONG);
        vec![if query.tcp {
            whole
        } else {
            query.answer().truncated()
        }]
    });
    let proxy = proxy_with(&dns);
    expect_reaches(&proxy, "large.example.test", &Origin::listen());
    let over_tcp = dns
        .asked("large.example.test")
        .into_iter()
        .filter(|query| query.tcp && query.kind == A)
        .count();
    assert_eq!(over_tcp, 1);
}

#[test]
fn large_answer_over_tcp_with_many_addresses() {
    let dns = Dns::start(|query| {
        if !query.tcp {
            return vec![query.answer().truncated()];
        }
        let many: Vec<IpAddr> = (0..1000_u16).map(|number| loopback(256 + number)).collect();
        vec![query.addresses(&many, LONG)]
    });
    let proxy = proxy_with(&dns);
    let origin = Origin::listen_at((Ipv4Addr::UNSPECIFIED, 0));
    expect_reaches(&proxy, "many.example.test", &origin);
}

#[test]
fn answer_with_a_wrong_id_or_question_or_from_elsewhere_is_ignored_and_the_right_one_accepted() {
    let wrong = IpAddr::from([127, 0, 0, 66]);
    let dns = Dns::start(move |query| {
        let lie = query.addresses(&[wrong], LONG);
        let other_kind = if query.kind == A { AAAA } else { A };
        vec![
            lie.clone().id(query.id.wrapping_add(1)),
            lie.clone().id(query.id ^ 0x8000),
            lie.clone().question("other.example.test", query.kind),
            lie.clone().question(&query.name, other_kind),
            lie.clone().sent_from_elsewhere(),
            query.addresses(&[HERE], LONG),
            lie, // too late: the question is answered
        ]
    });
    let proxy = proxy_with(&dns);
    let origin = Origin::listen();
    let trap = Origin::listen_at((wrong, origin.port()));
    for name in ["one.example.test", "two.example.test", "one.example.test"] {
        expect_reaches(&proxy, name, &origin);
    }
    trap.expect_untouched();
}

#[test]
fn answers_that_are_no_dns_are_ignored_and_the_right_one_accepted() {
    // Records of somebody else's name in the answer are not ours to take, either.
    let wrong = IpAddr::from([127, 0, 0, 66]);
    let dns = Dns::start(move |query| {
        let right = query.addresses(&[HERE], LONG);
        vec![if query.kind == A {
            right.address("victim.example.test", wrong, LONG)
        } else {
            right
        }]
    });
    let proxy = proxy_with(&dns);
    let origin = Origin::listen();
    let trap = Origin::listen_at((wrong, origin.port()));
    expect_reaches(&proxy, "mine.example.test", &origin);
    expect_reaches(&proxy, "victim.example.test", &origin);
    trap.expect_untouched();
}

#[test]
fn name_error_is_502_dns_error_and_remembered() {
    let dns = Dns::knows(&[]);
    let proxy = proxy_with(&dns);
    for _ in 0..2 {
        refused(&proxy, "nowhere.example.test:80").expect_error(502, "dns_error");
    }
    for kind in [A, AAAA] {
        let asked = dns
            .asked("nowhere.example.test")
            .iter()
            .filter(|query| query.kind == kind)
            .count();
        assert!(asked <= 1, "kind {kind} was asked {asked} times");
    }
    assert!(!dns.asked("nowhere.example.test").is_empty());
}

#[test]
fn no_data_is_502_dns_error_and_remembered() {
    let dns = Dns::knows(&[("empty.example.test", &[])]);
    let proxy = proxy_with(&dns);
    for _ in 0..2 {
        refused(&proxy, "empty.example.test:80").expect_error(502, "dns_error");
    }
    assert!(
        dns.asked("empty.example.test").len() <= 2,
        "{:?}",
        dns.asked("empty.example.test")
    );
}

#[test]
fn server_failure_is_502_dns_error_and_soon() {
    let broken = Arc::new(AtomicBool::new(true));
    let still = Arc::clone(&broken);
    let dns = Dns::start(move |query| {
        let failure = query.answer().code(SERVER_FAILURE);
        vec![if still.load(Ordering::Acquire) {
            failure
        } else {
            query.addresses(&[HERE], LONG)
        }]
    });
    let proxy = proxy_with(&dns);
    let origin = Origin::listen();
    let asked = Instant::now();
    refused(&proxy, format!("failing.example.test:{}", origin.port()))
        .expect_error(502, "dns_error");
    assert!(
        asked.elapsed() < Duration::from_secs(9),
        "it is told at once, and need not wait for a timeout"
    );
    broken.store(false, Ordering::Release);
    // RFC 2308 section 7.1 lets a failure be remembered, for five minutes at most; we want it to pass much sooner.
    until("the name to work again", || {
        let mut client = connect(&proxy);
        client
            .write_all(&head(format!("failing.example.test:{}", origin.port())))
            .expect("the proxy takes the head");
        (read_reply(&client).status == 200).then_some(())
    });
}

#[test]
fn name_server_silent_is_bounded_by_its_timeout_and_other_names_are_unaffected() {
    let dns = Dns::start(|query| {
        if query.name.starts_with("silent") {
            Vec::new()
        } else {
            vec![query.addresses(&[HERE], LONG)]
        }
    });
    let proxy = Proxy::start(&["--resolver", &dns.address(), "--connect-timeout", "1s"]);
    let origin = Origin::listen();
    expect_reaches(&proxy, "known.example.test", &origin);
    let asked = Instant::now();
    let waiting: Vec<TcpStream> = (0..20)
        .map(|number| {
            let mut client = connect(&proxy);
            client
                .write_all(&head(format!("silent{}.example.test:80", number % 4)))
                .expect("the proxy takes the head");
            client
        })
        .collect();
    for name in [
        "known.example.test",
        "127.0.0.1",
        "localhost",
        "fresh.example.test",
    ] {
        let start = Instant::now();
        expect_reaches(&proxy, name, &origin);
        assert!(
            start.elapsed() < Duration::from_millis(700),
            "{name} waited {:?}",
            start.elapsed()
        );
    }
    for client in waiting {
        let reply = read_reply(&client);
        assert!([502, 504].contains(&reply.status), "{}", reply.head);
        reply.expect_error(reply.status, "dns_timeout");
        assert_eq!(read_until_end(&client).1, End::Fin);
    }
    let took = asked.elapsed();
    assert!(
        took > Duration::from_millis(900) && took < Duration::from_secs(5),
        "{took:?}"
    );
}

#[test]
fn name_server_refusing_or_absent_is_an_error_and_no_hang() {
    let gone =
        std::net::UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).and_then(|socket| socket.local_addr());
    let gone = gone.expect("a free port").to_string(); // closed again: a port that nobody serves
    let proxy = Proxy::start(&["--resolver", &gone, "--connect-timeout", "2s"]);
    let reply = refused(&proxy, "anything.example.test:80");
    assert!([502, 504].contains(&reply.status), "{}", reply.head);
    assert!(
        reply
            .field("Proxy-Status")
            .is_some_and(|said| said.contains("error=dns_")),
        "{}",
        reply.head
    );
}

#[test]
fn lost_query_is_asked_again() {
    let seen = Mutex::new(HashSet::new());
    let dns = Dns::start(move |query| {
        let first = seen
            .lock()
            .expect("nothing panics while it holds the set")
            .insert(query.kind);
        if first {
            Vec::new()
        } else {
            vec![query.addresses(&[HERE], LONG)]
        }
    });
    let proxy = Proxy::start(&["--resolver", &dns.address(), "--connect-timeout", "15s"]);
    expect_reaches(&proxy, "lost.example.test", &Origin::listen());
}

#[test]
fn cname_chain_is_followed() {
    let dns = Dns::start(|query| {
        let chain = query
            .answer()
            .alias(&query.name, "b.example.test")
            .alias("b.example.test", "c.example.test");
        vec![if query.kind == A {
            chain.address("c.example.test", HERE, LONG)
        } else {
            chain
        }]
    });
    let proxy = proxy_with(&dns);
    expect_reaches(&proxy, "a.example.test", &Origin::listen());
}

#[test]
fn cname_chain_in_any_order_is_followed() {
    let dns = Dns::start(|query| {
        let address = query.answer().address("c.example.test", HERE, LONG);
        let address = if query.kind == A {
            address
        } else {
            query.answer()
        };
        vec![
            address
                .alias("b.example.test", "c.example.test")
                .alias(&query.name, "b.example.test"),
        ]
    });
    let proxy = proxy_with(&dns);
    expect_reaches(&proxy, "a.example.test", &Origin::listen());
}

#[test]
fn cname_loop_and_cname_only_end_in_an_error() {
    let dns = Dns::start(|query| {
        let answer = query.answer();
        vec![match query.name.split('.').next() {
            Some("self") => answer.alias(&query.name, &query.name),
            Some("loop") => answer
                .alias(&query.name, "back.example.test")
                .alias("back.example.test", &query.name),
            Some("long") => (0..200).fold(answer, |answer, step| {
                answer.alias(
                    &format!("long.{step}.test"),
                    &format!("long.{}.test", step + 1),
                )
            }),
            _ => answer.alias(&query.name, "other.example.test"), // and never an address, whatever is asked
        }]
    });
    let proxy = Proxy::start(&["--resolver", &dns.address(), "--connect-timeout", "4s"]);
    for name in [
        "self.example.test",
        "loop.example.test",
        "long.0.test",
        "only.example.test",
    ] {
        let asked = Instant::now();
        refused(&proxy, format!("{name}:80")).expect_error(502, "dns_error");
        assert!(
            asked.elapsed() < Duration::from_secs(3),
            "{name}: a hang until the timeout, {:?}",
            asked.elapsed()
        );
    }
}
