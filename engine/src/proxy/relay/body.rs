//! Where a direction ends: with FIN, or where the framing of a message says (RFC 9112 section 6). What passes is checked
//! here; how it moves is the half-pipe's.

use bytes::Bytes;

use super::inspection::Inspection;
use crate::proto::http1::{ChunkError, ChunkStep, ChunkedBody};
use crate::ring::SendData;

/// What is left of a direction.
pub(in crate::proxy) enum Body {
    /// Everything up to FIN.
    Stream,
    /// So many bytes.
    Length(u64),
    /// Chunks, passed on as chunks.
    Chunked(Box<ChunkedBody>),
    /// Chunks, passed on as the content in them, for a peer that knows no chunks.
    Dechunked(Box<ChunkedBody>),
    /// The frames of a WebSocket, up to FIN.
    Frames(Box<Inspection>),
}

/// What became of received bytes.
pub(in crate::proxy) struct Taken {
    /// To be sent on.
    pub(in crate::proxy) passed: Option<SendData>,
    /// Behind the end of the body.
    pub(in crate::proxy) rest: Option<SendData>,
}

impl Body {
    /// Whether nothing more belongs to it.
    pub(in crate::proxy) fn ended(&self) -> bool {
        match self {
            Self::Stream | Self::Frames(_) => false,
            Self::Length(left) => *left == 0,
            Self::Chunked(chunks) | Self::Dechunked(chunks) => chunks.ended(),
        }
    }

    /// Whether it ends with its source, and does not say where.
    pub(super) fn ends_with_source(&self) -> bool {
        matches!(self, Self::Stream | Self::Frames(_))
    }

    /// Bytes that may be spliced: those whose place in the body needs no look at them.
    pub(super) fn spliceable(&self) -> u64 {
        match self {
            Self::Stream => u64::MAX,
            Self::Length(left) => *left,
            Self::Chunked(_) | Self::Dechunked(_) | Self::Frames(_) => 0,
        }
    }

    /// Counts bytes that were spliced.
    pub(super) fn spliced(&mut self, bytes: u32) {
        if let Self::Length(left) = self {
            *left = left.saturating_sub(u64::from(bytes));
        }
    }

    /// Takes received bytes.
    pub(in crate::proxy) fn take(&mut self, data: SendData) -> Result<Taken, ChunkError> {
        let (chunks, keeps_framing) = match self {
            Self::Stream => {
                return Ok(Taken {
                    passed: Some(data),
                    rest: None,
                });
            }
            Self::Length(left) => {
                let bytes = data.as_slice().len();
                let within = usize::try_from(*left).map_or(bytes, |left| left.min(bytes));
                *left -= within as u64;
                if within == 0 {
                    return Ok(Taken {
                        passed: None,
                        rest: Some(data),
                    });
                }
                let (passed, rest) = data.split(within);
                return Ok(Taken {
                    passed: Some(passed),
                    rest,
                });
            }
            Self::Frames(inspection) => {
                return Ok(Taken {
                    passed: inspection.take(data),
                    rest: None,
                });
            }
            Self::Chunked(chunks) => (chunks, true),
            Self::Dechunked(chunks) => (chunks, false),
        };
        take_chunks(chunks, keeps_framing, data)
    }
}

/// The usual buffer passes as it is: canonical chunks from its first byte on, or nothing but content. Only when something
/// in it has to be left out are the parts copied together.
fn take_chunks(
    chunks: &mut ChunkedBody,
    keeps_framing: bool,
    data: SendData,
) -> Result<Taken, ChunkError> {
    let input = data.as_slice();
    let mut at = 0;
    // So many bytes from the start are passed as they are, until something is left out.
    let mut prefix = 0;
    let mut copied: Option<Vec<u8>> = None;
    while !chunks.ended() {
        let left = input.get(at..).unwrap_or_default();
        let (bytes, passed): (usize, &[u8]) = match &chunks.step(left)? {
            ChunkStep::NeedMore => break,
            ChunkStep::Skip(bytes) => (*bytes, &[]),
            ChunkStep::Framing(bytes) | ChunkStep::End(bytes) if !keeps_framing => (*bytes, &[]),
            ChunkStep::Data(bytes) | ChunkStep::Framing(bytes) | ChunkStep::End(bytes) => {
                (*bytes, left.get(..*bytes).unwrap_or_default())
            }
            ChunkStep::Trailers(bytes, section) => {
                let kept = if keeps_framing { &section[..] } else { &[] };
                at += bytes;
                copied
                    .get_or_insert_with(|| input.get(..prefix).unwrap_or_default().to_vec())
                    .extend_from_slice(kept);
                continue;
            }
        };
        let in_place = copied.is_none() && passed.len() == bytes && prefix == at;
        at += bytes;
        if in_place {
            prefix = at;
        } else if !passed.is_empty() {
            copied
                .get_or_insert_with(|| input.get(..prefix).unwrap_or_default().to_vec())
                .extend_from_slice(passed);
        }
    }
    let (consumed, rest) = data.split(at);
    let passed = match copied {
        Some(copied) => SendData::Bytes(Box::new(Bytes::from(copied))),
        None => consumed.split(prefix).0,
    };
    Ok(Taken {
        passed: Some(passed).filter(|data| !data.as_slice().is_empty()),
        rest: rest.filter(|data| !data.as_slice().is_empty()),
    })
}
