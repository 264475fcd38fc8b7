//! The engine's pure code, one piece of work at a time, for `ci/instructions` to count the instructions of.
//!
//!     instructions             names the pieces, one a line
//!     instructions NAME COUNT  does one of them COUNT times
//!
//! It measures nothing itself: `ci/instructions` runs it under callgrind with two counts, so that what differs between
//! them is the work alone, and compares with `engine/benches/instructions.txt`. Nothing here depends on time, on a hash
//! seed or on an address, or two runs would not have the same count.

#![forbid(unsafe_code)]

// The wheel is private to `rt`, and has no need to be known outside; it stands on nothing but std and slab.
#[path = "../src/rt/wheel.rs"]
#[expect(
    dead_code,
    unreachable_pub,
    unused_imports,
    reason = "its tests are built here, without the harness that calls them, and its key is public in the engine only"
)]
mod wheel;

use std::error::Error;
use std::hint::black_box;
use std::io::{Write, stdout};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::fd::AsRawFd;

use ringway_engine::addr::Authority;
use ringway_engine::proto::http1::{
    ChunkStep, ChunkedBody, ConnectionField, HeadScan, MethodKind, RequestHead, RequestRewrite,
    ResponseHead, ResponseRewrite, TargetForm, connect_authority, rewrite_request,
    rewrite_response, target_form,
};
use ringway_engine::proto::ws::{FrameHead, FrameLimits, Inspect, Opcode, Passage, Sender, mask};
use ringway_engine::proxy::Policy;
use ringway_engine::ring::{self, Interest, Op, Owner, Poll, Ring, RingConfig, Wait};

use crate::wheel::Wheel;

/// Does a piece of work so many times.
type Work = fn(u64) -> Result<(), Box<dyn Error>>;

const ALL: &[(&str, Work)] = &[
    ("head/connect", head_connect),
    ("head/request", head_request),
    ("head/response", head_response),
    ("chunked/4-of-4096", chunked),
    ("websocket/head", websocket_head),
    ("websocket/inspect-16-of-125", websocket_inspect),
    ("mask/16", |count| mask_bytes(count, 16, 0)),
    ("mask/125", |count| mask_bytes(count, 125, 0)),
    ("mask/1024", |count| mask_bytes(count, 1024, 0)),
    ("mask/16384", |count| mask_bytes(count, 16_384, 0)),
    ("mask/16384-unaligned", |count| mask_bytes(count, 16_384, 3)),
    ("authority/name", |count| {
        authority(count, b"www.example.com:443")
    }),
    ("authority/ipv4", |count| authority(count, b"192.0.2.7:443")),
    ("authority/ipv6", |count| {
        authority(count, b"[2001:db8::1]:443")
    }),
    ("policy/allows", policy),
    ("wheel/insert-remove", wheel_remove),
    ("wheel/insert-fire", wheel_fire),
    ("ring/poll", ring_poll),
];

fn main() -> Result<(), Box<dyn Error>> {
    // `cargo bench` adds a word of its own.
    let words: Vec<String> = std::env::args()
        .skip(1)
        .filter(|word| word != "--bench")
        .collect();
    match words.as_slice() {
        [] => {
            for (name, _) in ALL {
                writeln!(stdout(), "{name}")?;
            }
            Ok(())
        }
        [name, count] => {
            let known = ALL.iter().find(|(known, _)| known == name);
            let (_, work) = known.ok_or_else(|| format!("there is no {name}"))?;
            work(count.parse()?)
        }
        _ => Err("give nothing, or a name and a count".into()),
    }
}

const CONNECT: &[u8] = b"CONNECT www.example.com:443 HTTP/1.1\r\nHost: www.example.com:443\r\n\
    User-Agent: curl/7.88.1\r\nProxy-Connection: Keep-Alive\r\n\r\n";

const REQUEST: &[u8] = b"GET http://www.example.com/articles/2024?page=3 HTTP/1.1\r\n\
    Host: www.example.com\r\nUser-Agent: Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0\r\n\
    Accept: text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8\r\nAccept-Language: en-US,en;q=0.5\r\n\
    Accept-Encoding: gzip, deflate\r\nProxy-Connection: keep-alive\r\nCookie: session=0123456789abcdef; theme=dark\r\n\
    Upgrade-Insecure-Requests: 1\r\nPriority: u=0, i\r\n\r\n";

const RESPONSE: &[u8] = b"HTTP/1.1 200 OK\r\nDate: Tue, 02 Jan 2024 03:04:05 GMT\r\nServer: nginx\r\n\
    Content-Type: text/html; charset=utf-8\r\nContent-Length: 5120\r\nConnection: keep-alive\r\n\
    Keep-Alive: timeout=5\r\nCache-Control: max-age=300\r\nETag: \"0123456789abcdef\"\r\nVary: Accept-Encoding\r\n\r\n";

fn head_connect(count: u64) -> Result<(), Box<dyn Error>> {
    for _ in 0..count {
        let head = black_box(CONNECT);
        black_box(HeadScan::request().advance(head)?);
        let request = RequestHead::parse(head)?;
        black_box(connect_authority(&request, head)?);
    }
    Ok(())
}

fn head_request(count: u64) -> Result<(), Box<dyn Error>> {
    let mut out = Vec::with_capacity(4096);
    for _ in 0..count {
        let head = black_box(REQUEST);
        black_box(HeadScan::request().advance(head)?);
        let request = RequestHead::parse(head)?;
        let TargetForm::Http(target) = target_form(&request, head)? else {
            return Err("the target is no http URI".into());
        };
        let rewrite = RequestRewrite {
            target: &target,
            upgrade: false,
            close: false,
            extra: b"",
        };
        out.clear();
        rewrite_request(&request, head, &rewrite, &mut out);
        black_box(&out);
    }
    Ok(())
}

fn head_response(count: u64) -> Result<(), Box<dyn Error>> {
    let mut out = Vec::with_capacity(4096);
    for _ in 0..count {
        let head = black_box(RESPONSE);
        black_box(HeadScan::response().advance(head)?);
        let response = ResponseHead::parse(head)?;
        let rewrite = ResponseRewrite {
            framing: response.framing(MethodKind::Other),
            connection: ConnectionField::Silent,
        };
        out.clear();
        rewrite_response(&response, head, &rewrite, &mut out);
        black_box(&out);
    }
    Ok(())
}

/// Four chunks in one buffer, as a server that streams sends them.
fn chunked(count: u64) -> Result<(), Box<dyn Error>> {
    let chunk = [b"1000\r\n".as_slice(), &[b'x'; 4096], b"\r\n"].concat();
    let whole = [chunk.repeat(4).as_slice(), b"0\r\n\r\n"].concat();
    for _ in 0..count {
        let mut body = ChunkedBody::default();
        let mut rest = black_box(whole.as_slice());
        while !body.ended() {
            let bytes = match body.step(rest)? {
                ChunkStep::Framing(bytes) | ChunkStep::Data(bytes) | ChunkStep::End(bytes) => bytes,
                other => return Err(format!("{other:?} in a plain body").into()),
            };
            rest = rest.get(bytes..).unwrap_or_default();
        }
    }
    Ok(())
}

fn text_head(payload_bytes: u64, mask: Option<[u8; 4]>) -> FrameHead {
    FrameHead {
        fin: true,
        rsv: 0,
        opcode: Opcode::Text,
        mask,
        payload_bytes,
    }
}

fn websocket_head(count: u64) -> Result<(), Box<dyn Error>> {
    let encoded = text_head(1024, Some([1, 2, 3, 4])).encode();
    for _ in 0..count {
        let received = black_box(encoded.as_slice());
        let (head, _) = FrameHead::decode(received, Sender::Client)?.ok_or("a part of a head")?;
        black_box(head.encode());
    }
    Ok(())
}

/// Sixteen masked messages in one buffer.
fn websocket_inspect(count: u64) -> Result<(), Box<dyn Error>> {
    let head = text_head(125, Some([1, 2, 3, 4])).encode();
    let frames = [head.as_slice(), &[b'x'; 125]].concat().repeat(16);
    let mut inspect = Inspect::new(Sender::Client, FrameLimits::default());
    for _ in 0..count {
        match inspect.step(black_box(&frames))? {
            Passage::Pass(bytes) if bytes == frames.len() => {}
            other => return Err(format!("{other:?} of plain messages").into()),
        }
    }
    Ok(())
}

fn mask_bytes(count: u64, length: usize, start: usize) -> Result<(), Box<dyn Error>> {
    const ALIGNMENT: usize = 64;
    let mut room = vec![0x5a_u8; length + start + ALIGNMENT];
    let aligned = room.as_ptr().align_offset(ALIGNMENT);
    let bytes = room
        .get_mut(aligned + start..aligned + start + length)
        .ok_or("the room is too small")?;
    for _ in 0..count {
        mask(black_box([1, 2, 3, 4]), 0, black_box(&mut *bytes));
    }
    Ok(())
}

fn authority(count: u64, text: &'static [u8]) -> Result<(), Box<dyn Error>> {
    for _ in 0..count {
        black_box(Authority::parse(black_box(text))?);
    }
    Ok(())
}

/// A client that is not on loopback asks for four addresses, two of which it may have.
fn policy(count: u64) -> Result<(), Box<dyn Error>> {
    let rules = Policy::new(vec![SocketAddr::from((Ipv4Addr::UNSPECIFIED, 3128))]);
    let asked: [IpAddr; 4] = [
        Ipv4Addr::new(192, 0, 2, 7).into(),
        Ipv4Addr::new(169, 254, 169, 254).into(),
        Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1).into(),
        Ipv4Addr::new(10, 0, 0, 1).to_ipv6_mapped().into(),
    ];
    for _ in 0..count {
        for address in black_box(asked) {
            black_box(rules.allows(false, address, 443));
        }
    }
    Ok(())
}

/// A deadline of a minute that is met in time, among a thousand others.
fn wheel_remove(count: u64) -> Result<(), Box<dyn Error>> {
    let mut wheel = full_wheel();
    for _ in 0..count {
        let key = wheel.insert(black_box(60_000), 7);
        wheel.remove(key);
    }
    match wheel.len() {
        1000 => Ok(()),
        left => Err(format!("{left} timers are left").into()),
    }
}

/// A timer of 100 ms that fires, while the clock goes from millisecond to millisecond; a thousand others are later.
fn wheel_fire(count: u64) -> Result<(), Box<dyn Error>> {
    let mut wheel = full_wheel();
    let mut fired = Vec::with_capacity(16);
    for turn in 0..count {
        wheel.insert(turn + 100, 7);
        fired.clear();
        wheel.advance(turn, &mut fired);
        black_box((&fired, wheel.next_ms()));
    }
    Ok(())
}

/// A thousand timers, all later than what a piece of work here comes to.
fn full_wheel() -> Wheel {
    let mut wheel = Wheel::new();
    for timer in 0..1000 {
        wheel.insert((1 << 30) + timer * 97, 1);
    }
    wheel
}

/// One operation from its start to its result: into the op slab, through a ring, completed, released. What the kernel
/// does for it is not counted.
fn ring_poll(count: u64) -> Result<(), Box<dyn Error>> {
    let report = ring::capabilities(&[]);
    if let Some(refusal) = report.refusal {
        return Err(refusal.into());
    }
    let mut ring = Ring::new(&RingConfig {
        completion_entries: 64,
        buffers: 8,
        buffer_bytes: 4096,
        capabilities: report.capabilities,
    })?;
    let (reader, mut writer) = std::io::pipe()?;
    writer.write_all(b"ready")?;
    let poll = Poll {
        descriptor: reader.as_raw_fd(),
        interest: Interest::Readable,
    };
    let mut woken = Vec::with_capacity(16);
    for _ in 0..count {
        let key = ring.start(Op::Poll(poll), Owner(1));
        woken.clear();
        ring.turn(Wait::Forever, &mut woken)?;
        let result = ring.result(key, Owner(1));
        black_box(result.ok_or("the poll of a ready pipe waits")?);
    }
    Ok(())
}
