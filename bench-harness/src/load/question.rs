//! What a client asks: plain bytes that are echoed, a GET, or a WebSocket message. The bytes of the last two are
//! written before the run, some of each, so that asking costs the load one system call and no more.

use std::rc::Rc;

use crate::load::error::LoadError;
use crate::load::http::{self, Answer};
use crate::load::origin::Service;
use crate::load::pattern::{CHUNK_BYTES_MAX, Pattern};
use crate::load::{Target, websocket};

/// Different questions of a run, which clients take by turns: an answer that goes to the wrong client is seen unless
/// both have the same one, and those of 64 KiB still fit a cache.
const QUESTIONS: u64 = 16;

/// A question, and so its answer: a head, then `bytes` of the payload of `seed`.
#[derive(Debug, Clone)]
pub(crate) struct Question {
    pub(crate) seed: u64,
    pub(crate) bytes: usize,
    written: Option<Rc<Written>>,
}

/// A question as it goes out, and the head that comes back.
#[derive(Debug)]
struct Written {
    bytes: Vec<u8>,
    head: Head,
}

#[derive(Debug)]
enum Head {
    Http(Answer),
    Frame(Vec<u8>),
}

impl Question {
    /// `bytes` to be echoed as they are.
    pub(crate) fn plain(seed: u64, bytes: usize) -> Self {
        Self {
            seed,
            bytes,
            written: None,
        }
    }

    /// The questions to a `service` that has them written before, none for others.
    pub(crate) fn written(
        service: Service,
        target: &Target,
        bytes: usize,
        pattern: &Pattern,
    ) -> Vec<Self> {
        let write = |seed: u64| {
            let (wire, head) = match service {
                Service::Echo | Service::Bulk => return None,
                Service::Http => (
                    http::get(target.mode, target.origin, bytes, seed),
                    Head::Http(Answer::Body { bytes }),
                ),
                Service::WebSocket => {
                    // An odd factor: no two masks are alike, and none is zero.
                    let mask = (seed as u32).wrapping_mul(0x9e37_79b1).to_be_bytes();
                    let frame = websocket::masked(pattern.copy(seed, bytes), mask);
                    (frame, Head::Frame(websocket::header(bytes)))
                }
            };
            let written = Some(Rc::new(Written { bytes: wire, head }));
            Some(Self {
                seed,
                bytes,
                written,
            })
        };
        (1..=QUESTIONS)
            .map_while(|count| write(count * 7_919))
            .collect()
    }

    /// Length of the question as it goes out.
    pub(crate) fn length(&self) -> usize {
        self.written
            .as_ref()
            .map_or(self.bytes, |written| written.bytes.len())
    }

    /// What is to be sent after `sent` bytes; at most `CHUNK_BYTES_MAX` of it.
    pub(crate) fn rest<'a>(&'a self, sent: usize, pattern: &'a Pattern) -> &'a [u8] {
        match &self.written {
            None => pattern.slice(self.seed, sent as u64, self.bytes - sent),
            Some(written) => {
                let rest = &written.bytes[sent..];
                &rest[..rest.len().min(CHUNK_BYTES_MAX)]
            }
        }
    }

    /// Payload that may have come back after `sent` bytes.
    pub(crate) fn answer_bytes_max(&self, sent: usize) -> usize {
        match self.written {
            None => sent,
            Some(_) => self.bytes,
        }
    }

    /// Length of the answer's head, which `bytes` start with, once it is whole.
    pub(crate) fn head_bytes(&self, bytes: &[u8]) -> Result<Option<usize>, LoadError> {
        let head = self.written.as_ref().map(|written| &written.head);
        match head {
            None => Ok(Some(0)),
            Some(Head::Http(answer)) => answer.head_bytes(bytes),
            Some(Head::Frame(header)) => {
                let pairs = header.iter().zip(bytes);
                let same = pairs.take_while(|(expected, came)| expected == came);
                match same.count() {
                    same if same == header.len() => Ok(Some(same)),
                    same if same == bytes.len() => Ok(None),
                    same => Err(LoadError::Corrupt {
                        position: same as u64,
                    }),
                }
            }
        }
    }
}
