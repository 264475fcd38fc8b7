//! A CONNECT proxy for the tests, two threads for each tunnel, that can be told to do its work badly.

use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::thread;

/// What is wrong with the proxy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    None,
    /// One byte of each tunnel's way up is changed, at `FAULT_POSITION`.
    Corrupt,
    /// One byte of each tunnel's way down is left out, there.
    Lose,
    /// One byte is doubled on the way down, there.
    Double,
    /// Both sides are ended, there.
    End,
    /// Every CONNECT is answered 403.
    Refuse,
}

/// Far enough into a tunnel to lie behind the first pieces, early enough that every workload comes by.
const FAULT_POSITION: usize = 5_000;

/// Starts a proxy that lives as long as the test program.
pub(crate) fn start(fault: Fault) -> SocketAddr {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        for client in listener.incoming() {
            let client = client.unwrap();
            thread::spawn(move || serve(client, fault)); // a broken tunnel ends its thread only
        }
    });
    address
}

fn serve(mut client: TcpStream, fault: Fault) -> io::Result<()> {
    client.set_nodelay(true)?;
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        if client.read(&mut byte)? == 0 {
            return Ok(());
        }
        head.push(byte[0]);
    }
    if fault == Fault::Refuse {
        return client.write_all(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n");
    }
    let head = String::from_utf8(head).unwrap();
    let target = head.split(' ').nth(1).unwrap();
    let origin = TcpStream::connect(target)?;
    origin.set_nodelay(true)?;
    client.write_all(b"HTTP/1.1 200 Connection established\r\n\r\n")?;
    let (up_from, up_to) = (client.try_clone()?, origin.try_clone()?);
    let up = thread::spawn(move || relay(up_from, up_to, fault, Fault::Corrupt));
    let down = relay(origin, client, fault, Fault::None);
    up.join().unwrap().and(down)
}

/// Relays one direction. `Corrupt` strikes on the way `up`, the other faults on the way down.
fn relay(mut from: TcpStream, mut to: TcpStream, fault: Fault, up: Fault) -> io::Result<()> {
    let strikes = (fault == Fault::Corrupt) == (up == Fault::Corrupt);
    let mut buffer = [0; 16 * 1024];
    let mut position = 0;
    loop {
        let count = from.read(&mut buffer)?;
        if count == 0 {
            return to.shutdown(Shutdown::Write);
        }
        let mut bytes = buffer[..count].to_vec();
        let place = FAULT_POSITION.wrapping_sub(position);
        if strikes && place < count {
            match fault {
                Fault::Corrupt => bytes[place] ^= 0x20,
                Fault::Lose => drop(bytes.remove(place)),
                Fault::Double => bytes.insert(place, bytes[place]),
                Fault::End => {
                    return from
                        .shutdown(Shutdown::Both)
                        .and(to.shutdown(Shutdown::Both));
                }
                Fault::None | Fault::Refuse => {}
            }
        }
        position += count;
        to.write_all(&bytes)?;
    }
}
