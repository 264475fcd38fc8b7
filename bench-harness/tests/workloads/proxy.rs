//! A forward proxy for the tests, two threads for each connection, that can be told to do its work badly: CONNECT, and
//! GET in absolute-form with one connection to the origin for each of the client.

use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::OnceLock;
use std::thread;
use std::time::{Duration, Instant};

/// What is wrong with the proxy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    None,
    /// One byte is changed, at `FAULT_POSITION`: on the way up, where GETs are forwarded on the way down.
    Corrupt,
    /// One byte of each tunnel's way down is left out, there.
    Lose,
    /// One byte is doubled on the way down, there.
    Double,
    /// Both sides are ended, there.
    End,
    /// Every request is answered 403.
    Refuse,
    /// A WebSocket is answered with another one's accept key.
    Accept,
    /// GETs are forwarded as they came, in absolute-form.
    Absolute,
    /// Every tenth connection is answered 403.
    RefuseTenth,
    /// Nothing moves up for `STALL`, once, `STALL_AFTER` the first byte, which was then.
    Stall(&'static OnceLock<Instant>),
}

/// How long a stalling proxy holds everything up.
pub(crate) const STALL: Duration = Duration::from_millis(200);
const STALL_AFTER: Duration = Duration::from_millis(400);

impl Fault {
    /// What of it strikes the way up.
    fn up(self) -> Self {
        match self {
            Self::Corrupt | Self::Stall(_) => self,
            _ => Self::None,
        }
    }

    /// What of it strikes the way down.
    fn down(self) -> Self {
        match self {
            Self::Corrupt | Self::Stall(_) => Self::None,
            _ => self,
        }
    }
}

/// Far enough into a tunnel to lie behind the first pieces, early enough that every workload comes by.
const FAULT_POSITION: usize = 5_000;

/// Starts a proxy that lives as long as the test program.
pub(crate) fn start(fault: Fault) -> SocketAddr {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        for (number, client) in listener.incoming().enumerate() {
            let client = client.unwrap();
            let fault = match fault {
                Fault::RefuseTenth if number % 10 == 9 => Fault::Refuse,
                _ => fault,
            };
            thread::spawn(move || serve(client, fault)); // a broken tunnel ends its thread only
        }
    });
    address
}

fn serve(mut client: TcpStream, fault: Fault) -> io::Result<()> {
    client.set_nodelay(true)?;
    let Some(head) = head(&mut client)? else {
        return Ok(());
    };
    if fault == Fault::Refuse {
        return client.write_all(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n");
    }
    let target = head.split(' ').nth(1).unwrap();
    if let Some(target) = target.strip_prefix("http://") {
        let origin = TcpStream::connect(target.split('/').next().unwrap())?;
        origin.set_nodelay(true)?;
        return forward(head, client, origin, fault);
    }
    let origin = TcpStream::connect(target)?;
    origin.set_nodelay(true)?;
    client.write_all(b"HTTP/1.1 200 Connection established\r\n\r\n")?;
    let (up_from, up_to) = (client.try_clone()?, origin.try_clone()?);
    let up = thread::spawn(move || relay(up_from, up_to, fault.up()));
    let down = relay(origin, client, fault.down());
    up.join().unwrap().and(down)
}

/// The next head, or none at the end.
fn head(from: &mut TcpStream) -> io::Result<Option<String>> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        if from.read(&mut byte)? == 0 {
            return Ok(None);
        }
        head.push(byte[0]);
    }
    Ok(Some(String::from_utf8(head).unwrap()))
}

/// Forwards requests until the client ends or has asked for a WebSocket, of which every byte is relayed.
fn forward(
    first: String,
    mut client: TcpStream,
    mut origin: TcpStream,
    fault: Fault,
) -> io::Result<()> {
    let is_upgrade = first.contains("Upgrade: websocket");
    let (down_from, mut down_to) = (origin.try_clone()?, client.try_clone()?);
    let down = thread::spawn(move || {
        let mut down_from = down_from;
        if fault == Fault::Accept {
            let head = head(&mut down_from)?.unwrap_or_default();
            down_to.write_all(head.replace("Accept: s", "Accept: S").as_bytes())?;
        }
        let fault = if is_upgrade { fault.down() } else { fault };
        relay(down_from, down_to, fault)
    });
    let mut next = Some(first);
    while let Some(head) = next {
        let (scheme, site) = head.split_once("http://").unwrap();
        let (_, path) = site.split_once('/').unwrap();
        let head = match fault {
            Fault::Absolute => head,
            _ => format!("{scheme}/{path}"),
        };
        origin.write_all(head.as_bytes())?;
        if is_upgrade {
            relay(client, origin, fault.up())?;
            return down.join().unwrap();
        }
        next = self::head(&mut client)?;
    }
    down.join().unwrap() // the connection to the origin stays, as if another client might need it
}

/// Relays one direction, and does to it what `fault` says.
fn relay(mut from: TcpStream, mut to: TcpStream, fault: Fault) -> io::Result<()> {
    let mut buffer = [0; 16 * 1024];
    let mut position = 0;
    loop {
        let count = from.read(&mut buffer)?;
        if count == 0 {
            return to.shutdown(Shutdown::Write);
        }
        if let Fault::Stall(first) = fault {
            let from = *first.get_or_init(Instant::now) + STALL_AFTER;
            if from.elapsed() > Duration::ZERO {
                thread::sleep((from + STALL).saturating_duration_since(Instant::now()));
            }
        }
        let mut bytes = buffer[..count].to_vec();
        let place = FAULT_POSITION.wrapping_sub(position);
        if place < count {
            match fault {
                Fault::Corrupt => bytes[place] ^= 0x20,
                Fault::Lose => drop(bytes.remove(place)),
                Fault::Double => bytes.insert(place, bytes[place]),
                Fault::End => {
                    return from
                        .shutdown(Shutdown::Both)
                        .and(to.shutdown(Shutdown::Both));
                }
                _ => {}
            }
        }
        position += count;
        to.write_all(&bytes)?;
    }
}
