//! What a client asks: plain bytes that are echoed, a GET, a WebSocket message or ping. All but the first are
//! written before the run, some of each, so that asking costs the load one system call and no more.

use std::rc::Rc;

use crate::load::error::LoadError;
use crate::load::http::{self, Answer};
use crate::load::pattern::{CHUNK_BYTES_MAX, Pattern};
use crate::load::{Target, websocket};
use crate::plan::Scenario;

/// Different questions of a run, which clients take by turns: an answer that goes to the wrong client is seen unless
/// both have the same one, and those of 64 KiB still fit a cache.
pub(crate) const QUESTIONS: u64 = 16;

/// Most bytes of all questions together; there are two at least.
const QUESTIONS_BYTES_MAX: usize = 1 << 20;

/// The payload of question, or of message, number `number`.
pub(crate) fn seed_of(number: u64) -> u64 {
    (number + 1) * 7_919
}

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

    /// The questions of a scenario that has them written before, none for others.
    pub(crate) fn written(
        scenario: Scenario,
        target: &Target,
        bytes: usize,
        pattern: &Pattern,
    ) -> Vec<Self> {
        let write = |seed: u64| {
            // An odd factor: no two masks are alike, and none is zero.
            let mask = (seed as u32).wrapping_mul(0x9e37_79b1).to_be_bytes();
            let payload = || pattern.copy(seed, bytes);
            let (wire, head) = match scenario {
                Scenario::Get => (
                    http::get(target.mode, target.origin, bytes, seed),
                    Head::Http(Answer::Body { bytes }),
                ),
                Scenario::WebSocketEcho | Scenario::IdleWebSockets => (
                    websocket::masked(payload(), mask),
                    Head::Frame(websocket::header(bytes)),
                ),
                Scenario::WebSocketPing => (
                    websocket::masked_ping(payload(), mask),
                    Head::Frame(websocket::pong_header(bytes)),
                ),
                _ => return None,
            };
            let written = Some(Rc::new(Written { bytes: wire, head }));
            Some(Self {
                seed,
                bytes,
                written,
            })
        };
        let fitting = (QUESTIONS_BYTES_MAX / bytes.max(1)) as u64;
        (0..QUESTIONS.min(fitting).max(2))
            .map_while(|number| write(seed_of(number)))
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
