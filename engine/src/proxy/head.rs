//! Reading a head from a stream, however it arrives. The common case is one receive, whose buffer is then used as it is;
//! a head in pieces is put together outside the arena, so that a slow peer holds none of its buffers.

use std::sync::LazyLock;
use std::task::{Poll, ready};

use bytes::Bytes;
use memchr::memmem;

use crate::limits::HEAD_BYTES_MAX;
use crate::net::{Incoming, TcpStream};
use crate::proto::http1::{HeadError, HeadScan, RequestHead, Scan};
use crate::ring::SendData;

/// A head on its way in.
pub(super) struct HeadReader {
    scan: HeadScan,
    /// What has arrived, once it is known not to be whole.
    pieces: Vec<u8>,
}

/// A whole head, and what came behind it.
pub(super) struct WholeHead {
    bytes: SendData,
    head_bytes: usize,
}

/// Why no head came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum HeadEnd {
    /// FIN before its end.
    Closed,
    /// The connection failed with this errno.
    Lost(i32),
    /// It is none.
    Malformed(HeadError),
}

impl HeadReader {
    /// For the head that `scan` finds the end of.
    pub(super) fn new(scan: HeadScan) -> Self {
        Self {
            scan,
            pieces: Vec::new(),
        }
    }

    /// Whether a part of the head has arrived. The empty line that some clients send behind a body is none (RFC 9112
    /// section 2.2).
    pub(super) fn begun(&self) -> bool {
        !matches!(self.pieces.as_slice(), b"" | b"\r" | b"\r\n")
    }

    /// Takes bytes that have been received already; the head, if they complete it.
    pub(super) fn feed(&mut self, bytes: SendData) -> Result<Option<WholeHead>, HeadError> {
        if self.pieces.is_empty() {
            // Whole at once, as nearly all are: whoever parses it finds everything that the scan would.
            let whole = END.find(bytes.as_slice()).map(|at| at + END.needle().len());
            if let Some(head_bytes) = whole.filter(|bytes| *bytes <= HEAD_BYTES_MAX as usize) {
                return Ok(Some(WholeHead { bytes, head_bytes }));
            }
            let Scan::NeedMore = self.scan.advance(bytes.as_slice())? else {
                return Err(HeadError::HeadEnd);
            };
            self.pieces.extend_from_slice(bytes.as_slice());
            return Ok(None);
        }
        self.pieces.extend_from_slice(bytes.as_slice());
        let Scan::Complete(head_bytes) = self.scan.advance(&self.pieces)? else {
            return Ok(None);
        };
        let bytes = Bytes::from(std::mem::take(&mut self.pieces));
        Ok(Some(WholeHead {
            bytes: SendData::Bytes(Box::new(bytes)),
            head_bytes,
        }))
    }

    /// Receives until the head is whole.
    pub(super) fn poll(&mut self, stream: &mut TcpStream) -> Poll<Result<WholeHead, HeadEnd>> {
        loop {
            let fed = match ready!(stream.poll_incoming()) {
                Incoming::Bytes(lease) => self.feed(SendData::Lease(lease)),
                Incoming::Fin => return Poll::Ready(Err(HeadEnd::Closed)),
                Incoming::Failed(errno) => return Poll::Ready(Err(HeadEnd::Lost(errno))),
            };
            match fed {
                Ok(Some(whole)) => return Poll::Ready(Ok(whole)),
                Ok(None) => {}
                Err(error) => return Poll::Ready(Err(HeadEnd::Malformed(error))),
            }
        }
    }
}

/// What every head ends with. Heads that end otherwise are malformed.
static END: LazyLock<memmem::Finder<'static>> = LazyLock::new(|| memmem::Finder::new(b"\r\n\r\n"));

impl WholeHead {
    /// Parses it as a request's.
    pub(super) fn parse_request(&self) -> Result<RequestHead, HeadError> {
        RequestHead::parse(self.head()).map_err(|error| {
            // The scan knows more about what came first.
            let scanned = HeadScan::request().advance(self.head());
            scanned.err().unwrap_or(error)
        })
    }

    /// The head.
    pub(super) fn head(&self) -> &[u8] {
        self.bytes
            .as_slice()
            .get(..self.head_bytes)
            .unwrap_or_default()
    }

    /// What came behind it.
    pub(super) fn into_behind(mut self) -> Option<SendData> {
        self.bytes
            .advance(u32::try_from(self.head_bytes).unwrap_or(u32::MAX));
        (!self.bytes.as_slice().is_empty()).then_some(self.bytes)
    }
}
