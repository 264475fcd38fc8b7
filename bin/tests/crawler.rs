//! A client that asks many hosts, each once: what is kept of them is bounded, and goes away by itself.

mod support;

use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::thread;

use support::*;

/// Hosts of the two visits; past the bound on idle connections twice over.
const HOSTS: [u16; 2] = [600, 1800];
/// As `UPSTREAM_IDLE_MAX` says.
const IDLE_MAX: u64 = 256;
/// What a proxy may have grown by the hosts of the second visit, which are twice as many as those of the first.
const GROWTH_KIB_MAX: u64 = 512;

const ANSWER: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

/// One listener that is many hosts: it answers on every address of this host.
fn hosts() -> u16 {
    let listener = TcpListener::bind((Ipv4Addr::UNSPECIFIED, 0)).expect("a listener");
    let port = listener.local_addr().expect("its address").port();
    thread::spawn(move || {
        // Kept open: an origin that keeps its connections is what fills a pool.
        let mut kept = Vec::new();
        for stream in listener.incoming() {
            let mut stream = stream.expect("the proxy dials");
            let mut request = Vec::new();
            let mut part = [0; 1024];
            while !request.ends_with(b"\r\n\r\n") {
                let read = stream.read(&mut part).expect("the proxy writes");
                request.extend_from_slice(&part[..read]);
            }
            stream.write_all(ANSWER).expect("the proxy reads");
            kept.push(stream);
            if kept.len() > 2 * IDLE_MAX as usize {
                kept.remove(0);
            }
        }
    });
    port
}

fn visit(mut client: &TcpStream, port: u16, host: u16) {
    let [high, low] = host.to_be_bytes();
    let target = format!("127.7.{high}.{low}:{port}");
    let request = format!("GET http://{target}/ HTTP/1.1\r\nHost: {target}\r\n\r\n");
    client
        .write_all(request.as_bytes())
        .expect("the proxy reads");
    let mut answer = vec![0; ANSWER.len() + "Via: 1.1 ringway\r\n".len()];
    client.read_exact(&mut answer).expect("an answer");
    assert!(
        answer.starts_with(b"HTTP/1.1 200 ") && answer.ends_with(b"\r\n\r\nok"),
        "{target}: {}",
        answer.escape_ascii()
    );
}

#[test]
fn a_crawler_that_touches_many_hosts_does_not_grow_memory() {
    let port = hosts();
    let proxy = Proxy::start(&["--cores", &first_core()]);
    let start = proxy.footing();
    let client = connect(&proxy);
    let [first, all] = HOSTS;
    for host in 0..first {
        visit(&client, port, host);
    }
    let before = proxy.process().pss_kib();
    for host in first..all {
        visit(&client, port, host);
    }
    let full = proxy.snapshot();
    assert_eq!(full.value("requests"), u64::from(all));
    assert!(
        full.value("upstreams_idle") <= IDLE_MAX,
        "{} idle connections",
        full.value("upstreams_idle")
    );
    let grown = proxy.process().pss_kib().saturating_sub(before);
    assert!(grown < GROWTH_KIB_MAX, "{grown} KiB more");
    drop(client);
    proxy.await_gauges(&start);
}
