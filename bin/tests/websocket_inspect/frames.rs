//! Frames as the two ends write and read them, with nothing of the proxy's code.

use std::io::Read;
use std::net::TcpStream;

use crate::support::read_exactly;

/// Which end sends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Sender {
    Client,
    Server,
}

impl Sender {
    /// In the order of the log: up, down.
    pub(crate) const BOTH: [Self; 2] = [Self::Client, Self::Server];

    pub(crate) fn other(self) -> Self {
        match self {
            Self::Client => Self::Server,
            Self::Server => Self::Client,
        }
    }

    /// As the log calls it.
    pub(crate) fn side(self) -> &'static str {
        match self {
            Self::Client => "client",
            Self::Server => "upstream",
        }
    }
}

/// The key of every masked frame that a test sends.
const MASK: [u8; 4] = [0x37, 0xfa, 0x21, 0x3d];

/// A frame whose first byte is `first`, masked if a client sends it.
pub(crate) fn frame(sender: Sender, first: u8, payload: &[u8]) -> Vec<u8> {
    match sender {
        Sender::Client => masked(first, payload),
        Sender::Server => plain(first, payload),
    }
}

pub(crate) fn plain(first: u8, payload: &[u8]) -> Vec<u8> {
    [head(first, 0, payload.len()), payload.to_vec()].concat()
}

pub(crate) fn masked(first: u8, payload: &[u8]) -> Vec<u8> {
    let masked = apply(MASK, payload);
    [head(first, 0x80, payload.len()), MASK.to_vec(), masked].concat()
}

fn head(first: u8, mask: u8, length: usize) -> Vec<u8> {
    match length {
        0..=125 => vec![first, mask | length as u8],
        126..=65_535 => [
            &[first, mask | 126],
            (length as u16).to_be_bytes().as_slice(),
        ]
        .concat(),
        _ => [
            &[first, mask | 127],
            (length as u64).to_be_bytes().as_slice(),
        ]
        .concat(),
    }
}

fn apply(key: [u8; 4], payload: &[u8]) -> Vec<u8> {
    payload
        .iter()
        .zip(key.iter().cycle())
        .map(|(byte, key)| byte ^ key)
        .collect()
}

/// A Close with this code.
pub(crate) fn close(sender: Sender, code: u16) -> Vec<u8> {
    frame(sender, 0x88, &code.to_be_bytes())
}

/// A short frame as it was received, its payload unmasked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Frame {
    pub(crate) first: u8,
    pub(crate) key: Option<[u8; 4]>,
    pub(crate) payload: Vec<u8>,
}

impl Frame {
    /// Reads one frame of at most 125 bytes; `None` at the end of the stream.
    #[track_caller]
    pub(crate) fn read(mut stream: &TcpStream) -> Option<Self> {
        let mut first = [0];
        match stream.read(&mut first) {
            Ok(0) => return None,
            Ok(_) => {}
            Err(error) => panic!("a frame or FIN should have come: {error}"),
        }
        let length = read_exactly(stream, 1)[0];
        assert!(length & 0x7f <= 125, "a short frame: {length:x}");
        let key = (length & 0x80 != 0).then(|| read_exactly(stream, 4));
        let key = key.map(|key| [key[0], key[1], key[2], key[3]]);
        let payload = read_exactly(stream, usize::from(length & 0x7f));
        Some(Self {
            first: first[0],
            key,
            payload: key.map_or(payload.clone(), |key| apply(key, &payload)),
        })
    }
}

/// Reads a Close of the proxy with this code, masked as `sender` has to mask; gives its key.
#[track_caller]
pub(crate) fn read_close(stream: &TcpStream, sender: Sender, code: u16) -> Option<[u8; 4]> {
    let frame = Frame::read(stream).expect("a Close before FIN");
    let expected = (0x88, code.to_be_bytes().to_vec());
    assert_eq!((frame.first, frame.payload), expected);
    assert_eq!(frame.key.is_some(), sender == Sender::Client);
    frame.key
}
