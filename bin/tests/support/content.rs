//! Content that says where each byte belongs: a seeded stream in which every byte is known from its position, so that
//! the receiver compares all of it with what was sent (no hash could miss less) and names the first byte that is wrong.

use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::sync::OnceLock;

/// Length of the block that the stream repeats: a prime near 1 MiB, so that no buffer size divides it.
const BLOCK_BYTES: usize = 1_048_573;

/// Bytes at the start of each repetition that hold its number and the seed, so that no two repetitions are the same.
const STAMP_BYTES: usize = 8;

/// One stream of content.
#[derive(Clone, Copy)]
pub(crate) struct Content {
    seed: u32,
}

impl Content {
    pub(crate) fn new(seed: u32) -> Self {
        Self { seed }
    }

    /// Gives `visit` each piece of the stream from `position` on that lies within `length` bytes: where it begins in
    /// the caller's slice, and what it is.
    fn pieces(self, position: u64, length: usize, mut visit: impl FnMut(usize, &[u8]) -> bool) {
        let skew = (u64::from(self.seed) * 7919) % BLOCK_BYTES as u64; // streams of different seeds never run alike
        let mut done = 0;
        while done < length {
            let absolute = position + skew + done as u64;
            let within = (absolute % BLOCK_BYTES as u64) as usize;
            let stamp =
                ((absolute / BLOCK_BYTES as u64) << 32 | u64::from(self.seed)).to_le_bytes();
            let known: &[u8] = if within < STAMP_BYTES {
                &stamp[within..]
            } else {
                &block()[within..]
            };
            let piece = &known[..known.len().min(length - done)];
            if !visit(done, piece) {
                return;
            }
            done += piece.len();
        }
    }

    /// Writes the stream from `position` on into `out`.
    pub(crate) fn fill(self, position: u64, out: &mut [u8]) {
        self.pieces(position, out.len(), |at, piece| {
            out[at..at + piece.len()].copy_from_slice(piece);
            true
        });
    }

    /// `length` bytes of the stream from its start.
    pub(crate) fn bytes(self, length: usize) -> Vec<u8> {
        let mut bytes = vec![0; length];
        self.fill(0, &mut bytes);
        bytes
    }

    /// Panics unless `got` is the stream from `position` on.
    #[track_caller]
    pub(crate) fn check(self, position: u64, got: &[u8]) {
        let mut wrong = None;
        self.pieces(position, got.len(), |at, piece| {
            let part = &got[at..at + piece.len()];
            if part != piece {
                let first = part
                    .iter()
                    .zip(piece)
                    .position(|(got, sent)| got != sent)
                    .unwrap_or(0);
                wrong = Some(at + first);
            }
            wrong.is_none()
        });
        if let Some(at) = wrong {
            let length = got[at..].len().min(16);
            let mut sent = vec![0; length];
            self.fill(position + at as u64, &mut sent);
            let place = position + at as u64;
            panic!(
                "byte {place} of stream {} differs: got {:02x?}, sent {sent:02x?}",
                self.seed,
                &got[at..at + length]
            );
        }
    }
}

fn block() -> &'static [u8] {
    static BLOCK: OnceLock<Vec<u8>> = OnceLock::new();
    BLOCK.get_or_init(|| {
        let mut state = 0x9e37_79b9_7f4a_7c15_u64;
        let words = std::iter::repeat_with(|| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            state.to_le_bytes()
        });
        words.flatten().take(BLOCK_BYTES).collect()
    })
}

/// Writes `length` bytes of `content`, in writes of the sizes that `sizes` names in turn.
pub(crate) fn send(
    mut stream: &TcpStream,
    content: Content,
    length: u64,
    sizes: &[usize],
) -> io::Result<()> {
    let mut buffer = vec![0; sizes.iter().copied().max().unwrap_or(0)];
    let mut position = 0;
    for size in sizes.iter().copied().cycle() {
        if position == length {
            break;
        }
        let size = size.min(usize::try_from(length - position).unwrap_or(usize::MAX));
        content.fill(position, &mut buffer[..size]);
        stream.write_all(&buffer[..size])?;
        position += size as u64;
    }
    Ok(())
}

/// Reads to the end of the stream, checks every byte, and gives how many they were. An error is one of the connection.
#[track_caller]
pub(crate) fn receive(stream: &TcpStream, content: Content) -> io::Result<u64> {
    receive_slowly(stream, content, 256 * 1024)
}

/// [`receive`], in reads of at most `size` bytes.
#[track_caller]
pub(crate) fn receive_slowly(
    mut stream: &TcpStream,
    content: Content,
    size: usize,
) -> io::Result<u64> {
    let mut buffer = vec![0; size];
    let mut position = 0;
    loop {
        match stream.read(&mut buffer)? {
            0 => return Ok(position),
            read => {
                content.check(position, &buffer[..read]);
                position += read as u64;
            }
        }
    }
}
