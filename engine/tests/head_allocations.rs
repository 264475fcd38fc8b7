//! Heads and bodies that are forwarded cost no allocation: reading a request and a response, rewriting both into room
//! that is there, and checking a chunked body without trailers.
//!
//! One test, because the count is the process's.

#![forbid(unsafe_code)]

use std::alloc::System;

use ringway_engine::proto::http1::{
    ChunkStep, ChunkedBody, ConnectionField, HeadScan, MethodKind, RequestHead, RequestRewrite,
    ResponseHead, ResponseRewrite, Scan, TargetForm, rewrite_request, rewrite_response,
    target_form,
};
use stats_alloc::{INSTRUMENTED_SYSTEM, Region, StatsAlloc};

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

const REQUEST: &[u8] = b"POST http://example.com:8080/path?query HTTP/1.0\r\nUser-Agent: test\r\n\
    Accept: */*\r\nProxy-Connection: Keep-Alive\r\nConnection: keep-alive, X-Hop\r\nX-Hop: 1\r\n\
    TE: trailers\r\nContent-Length: 5\r\n\r\n";
const RESPONSE: &[u8] = b"HTTP/1.0 200 OK\r\nConnection: keep-alive, X-Hop\r\nX-Hop: 1\r\n\
    Keep-Alive: timeout=5\r\nContent-Type: text/plain\r\n\r\n";
const BODY: &[u8] = b"5;extension=1\r\nhello\r\n10\r\n0123456789abcdef\r\n0\r\n\r\n";

/// How often a count that is not zero is taken again: the test runner's other thread may allocate meanwhile.
const TRIES: usize = 4;

#[test]
fn heads_and_bodies_cost_no_allocation() {
    let mut up = Vec::with_capacity(4096);
    let mut down = Vec::with_capacity(4096);
    let mut counts = [0; TRIES];
    for count in &mut counts {
        let region = Region::new(ALLOCATOR);
        for _ in 0..100 {
            up.clear();
            down.clear();
            forward(&mut up, &mut down);
        }
        let change = region.change();
        *count = change.allocations + change.reallocations;
    }
    assert!(counts.contains(&0), "allocations: {counts:?}");
    assert!(up.starts_with(b"POST /path?query HTTP/1.1\r\nHost: example.com:8080\r\n"));
    assert!(
        up.ends_with(b"\r\nContent-Length: 5\r\nConnection: close\r\nVia: 1.0 ringway\r\n\r\n")
    );
    assert!(down.starts_with(b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n"));
    assert!(down.ends_with(b"\r\n\r\n5\r\nhello\r\n10\r\n0123456789abcdef\r\n0\r\n\r\n"));
}

/// A request and its response on their ways.
fn forward(up: &mut Vec<u8>, down: &mut Vec<u8>) {
    assert_eq!(
        HeadScan::request().advance(REQUEST),
        Ok(Scan::Complete(REQUEST.len()))
    );
    let request = RequestHead::parse(REQUEST).unwrap();
    let Ok(TargetForm::Http(target)) = target_form(&request, REQUEST) else {
        panic!("the target is an http URI");
    };
    let rewrite = RequestRewrite {
        target: &target,
        upgrade: false,
        close: true,
        extra: b"",
    };
    rewrite_request(&request, REQUEST, &rewrite, up);

    assert_eq!(
        HeadScan::response().advance(RESPONSE),
        Ok(Scan::Complete(RESPONSE.len()))
    );
    let response = ResponseHead::parse(RESPONSE).unwrap();
    let rewrite = ResponseRewrite {
        framing: response.framing(MethodKind::Other),
        connection: ConnectionField::Close,
    };
    rewrite_response(&response, RESPONSE, &rewrite, down);

    let mut body = ChunkedBody::default();
    let mut input = BODY;
    while !body.ended() {
        let bytes = match body.step(input) {
            Ok(ChunkStep::Framing(bytes) | ChunkStep::Data(bytes) | ChunkStep::End(bytes)) => {
                down.extend_from_slice(&input[..bytes]);
                bytes
            }
            Ok(ChunkStep::Skip(bytes)) => bytes,
            other => panic!("{other:?}"),
        };
        input = &input[bytes..];
    }
}
