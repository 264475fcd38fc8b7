//! HTTP/1.1 as a test needs it: an end of a connection that sends exactly the bytes it is told to, and takes apart what
//! comes with a grammar of its own, stricter than any program's.

use std::io::{self, BufRead, BufReader, ErrorKind, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::time::Duration;

use super::origin::await_before;
use super::{Content, End, Origin, Proxy, Reply, connect, expect_quiet};

/// A head, as it came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Head {
    /// Its empty line included; a character for each byte.
    pub(crate) text: String,
}

impl Head {
    pub(crate) fn start_line(&self) -> &str {
        self.text.split("\r\n").next().unwrap_or_default()
    }

    /// The lines between the first and the empty one.
    pub(crate) fn lines(&self) -> Vec<&str> {
        let lines = self.text.split("\r\n").skip(1);
        lines.take_while(|line| !line.is_empty()).collect()
    }

    /// The values of all fields of that name, in any case.
    pub(crate) fn values(&self, name: &str) -> Vec<&str> {
        let fields = self.lines().into_iter();
        let fields = fields.filter_map(|line| line.split_once(':'));
        fields
            .filter(|(field, _)| field.eq_ignore_ascii_case(name))
            .map(|(_, value)| value.trim())
            .collect()
    }

    /// The value of a field that stands there once or not at all.
    #[track_caller]
    pub(crate) fn field(&self, name: &str) -> Option<&str> {
        let values = self.values(name);
        assert!(values.len() <= 1, "{name} several times: {}", self.text);
        values.first().copied()
    }

    /// Whether a field is a list that names `member`, in any case.
    pub(crate) fn names(&self, field: &str, member: &str) -> bool {
        let values = self.values(field).into_iter();
        let mut members = values.flat_map(|value| value.split(',').map(str::trim));
        members.any(|named| named.eq_ignore_ascii_case(member))
    }

    /// The status of a response.
    #[track_caller]
    pub(crate) fn status(&self) -> u16 {
        let line = self.start_line();
        let status = line
            .strip_prefix("HTTP/1.1 ")
            .or_else(|| line.strip_prefix("HTTP/1.0 "));
        status
            .and_then(|rest| rest.get(..3)?.parse().ok())
            .unwrap_or_else(|| panic!("no status line: {line:?}"))
    }

    /// Panics unless this is `status` with a `Proxy-Status` that names `error` (RFC 9209).
    #[track_caller]
    pub(crate) fn expect_error(&self, status: u16, error: &str) {
        let reply = Reply {
            status: self.status(),
            head: self.text.clone(),
            body: Vec::new(),
        };
        reply.expect_error(status, error);
    }

    /// Panics unless this is `status` with a `Proxy-Status` that names an error.
    #[track_caller]
    pub(crate) fn expect_some_error(&self, status: u16) {
        assert_eq!(self.status(), status, "{}", self.text);
        let said = self.field("Proxy-Status").unwrap_or_default();
        assert!(said.contains("error="), "{}", self.text);
    }
}

/// What follows a head (RFC 9112 section 6.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Framing {
    Length(u64),
    Chunked,
    UntilClose,
}

impl Framing {
    /// That of a response to any method but HEAD.
    fn of_response(head: &Head) -> io::Result<Self> {
        match head.status() {
            100..200 | 204 | 304 => Ok(Self::Length(0)),
            _ => Self::of(head, Self::UntilClose),
        }
    }

    /// That of a message which is `otherwise` if its head announces no body.
    fn of(head: &Head, otherwise: Self) -> io::Result<Self> {
        match (
            head.field("Content-Length"),
            head.field("Transfer-Encoding"),
        ) {
            (None, None) => Ok(otherwise),
            (Some(length), None) => Ok(Self::Length(length.parse().map_err(io::Error::other)?)),
            (None, Some(coding)) if coding.eq_ignore_ascii_case("chunked") => Ok(Self::Chunked),
            _ => Err(wrong(format!("no framing: {}", head.text))),
        }
    }
}

/// A whole message.
#[derive(Debug, Clone)]
pub(crate) struct HttpMessage {
    pub(crate) head: Head,
    /// Decoded.
    pub(crate) body: Vec<u8>,
    /// The lines behind the last chunk.
    pub(crate) trailers: Vec<String>,
}

impl HttpMessage {
    /// The body, which is a text.
    #[track_caller]
    pub(crate) fn text(&self) -> &str {
        std::str::from_utf8(&self.body).expect("the body is a text")
    }
}

impl std::ops::Deref for HttpMessage {
    type Target = Head;

    fn deref(&self) -> &Head {
        &self.head
    }
}

/// Panics unless this is a message that was cut off by an end of its connection: neither one that looks whole, nor one
/// whose reader still waits.
#[track_caller]
pub(crate) fn expect_cut_off(message: io::Result<HttpMessage>, what: &str) {
    match message {
        Ok(whole) => panic!("{what} looks whole: {whole:?}"),
        Err(error) => {
            let waits = matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut);
            assert!(!waits, "{what} has no end: {error}");
        }
    }
}

fn wrong(what: String) -> io::Error {
    io::Error::new(ErrorKind::InvalidData, what)
}

/// One end of a connection that speaks HTTP/1.1.
pub(crate) struct Wire {
    reader: BufReader<TcpStream>,
}

impl Wire {
    pub(crate) fn new(stream: TcpStream) -> Self {
        Self {
            reader: BufReader::with_capacity(64 * 1024, stream),
        }
    }

    /// A client's, to the proxy.
    #[track_caller]
    pub(crate) fn to(proxy: &Proxy) -> Self {
        Self::new(connect(proxy))
    }

    /// An origin's: the next connection, which the proxy makes for `client`. Panics if that is answered instead.
    #[track_caller]
    pub(crate) fn from(origin: &Origin, client: &Self) -> Self {
        Self::new(origin.accept_for(client.stream()))
    }

    pub(crate) fn stream(&self) -> &TcpStream {
        self.reader.get_ref()
    }

    /// The connection, on which nothing was read ahead.
    #[track_caller]
    pub(crate) fn into_stream(self) -> TcpStream {
        let ahead = String::from_utf8_lossy(self.reader.buffer()).into_owned();
        assert!(ahead.is_empty(), "{ahead:?} was there to read");
        self.reader.into_inner()
    }

    #[track_caller]
    pub(crate) fn send(&self, bytes: impl AsRef<[u8]>) {
        self.stream()
            .write_all(bytes.as_ref())
            .expect("the other side takes bytes");
    }

    /// [`Wire::send`], a byte at a time.
    #[track_caller]
    pub(crate) fn trickle(&self, bytes: impl AsRef<[u8]>) {
        bytes.as_ref().iter().for_each(|byte| self.send([*byte]));
    }

    /// FIN.
    #[track_caller]
    pub(crate) fn finish(&self) {
        self.stream()
            .shutdown(Shutdown::Write)
            .expect("the connection stands");
    }

    /// The next line, which ends in CRLF; without that.
    pub(crate) fn try_line(&mut self) -> io::Result<String> {
        let mut line = Vec::new();
        self.reader.read_until(b'\n', &mut line)?;
        let text: String = line.iter().map(|byte| char::from(*byte)).collect();
        match text.strip_suffix("\r\n") {
            Some(line) => Ok(line.to_owned()),
            None if text.ends_with('\n') => Err(wrong(format!("a bare LF: {text:?}"))),
            None => Err(io::Error::new(
                ErrorKind::UnexpectedEof,
                format!("the connection ended after {text:?}"),
            )),
        }
    }

    pub(crate) fn try_head(&mut self) -> io::Result<Head> {
        let mut text = String::new();
        loop {
            let line = self.try_line()?;
            text += &line;
            text += "\r\n";
            if line.is_empty() {
                return Ok(Head { text });
            }
        }
    }

    /// [`Wire::head`] of what `client` has sent through the proxy. Panics at once if that is answered instead.
    #[track_caller]
    pub(crate) fn head_from(&mut self, client: &Self) -> Head {
        if self.reader.buffer().is_empty() {
            await_before(self.stream(), client.stream());
        }
        self.head()
    }

    /// The next head and not a byte more.
    #[track_caller]
    pub(crate) fn head(&mut self) -> Head {
        self.try_head()
            .unwrap_or_else(|error| panic!("no head: {error}"))
    }

    #[track_caller]
    pub(crate) fn exactly(&mut self, length: usize) -> Vec<u8> {
        let mut bytes = vec![0; length];
        self.reader
            .read_exact(&mut bytes)
            .unwrap_or_else(|error| panic!("{length} bytes should have come: {error}"));
        bytes
    }

    /// The next chunk: its line, and its content.
    pub(crate) fn try_chunk(&mut self) -> io::Result<(String, Vec<u8>)> {
        let line = self.try_line()?;
        let size = u64::from_str_radix(&line, 16)
            .map_err(|error| wrong(format!("chunk line {line:?}: {error}")))?;
        let content = self.try_content(size)?;
        if size > 0 {
            let end = self.try_line()?;
            if !end.is_empty() {
                return Err(wrong(format!("{end:?} behind a chunk")));
            }
        }
        Ok((line, content))
    }

    /// So many bytes, however many are announced.
    fn try_content(&mut self, length: u64) -> io::Result<Vec<u8>> {
        let mut content = Vec::new();
        let read = self.by_ref().take(length).read_to_end(&mut content)?;
        if read as u64 == length {
            return Ok(content);
        }
        let what = format!("{read} bytes of {length}");
        Err(io::Error::new(ErrorKind::UnexpectedEof, what))
    }

    fn try_trailers(&mut self) -> io::Result<Vec<String>> {
        let mut trailers = Vec::new();
        loop {
            let line = self.try_line()?;
            if line.is_empty() {
                return Ok(trailers);
            }
            trailers.push(line);
        }
    }

    fn try_message(&mut self, head: Head, framing: Framing) -> io::Result<HttpMessage> {
        let mut message = HttpMessage {
            head,
            body: Vec::new(),
            trailers: Vec::new(),
        };
        match framing {
            Framing::Length(length) => message.body = self.try_content(length)?,
            Framing::Chunked => loop {
                let (_, content) = self.try_chunk()?;
                if content.is_empty() {
                    message.trailers = self.try_trailers()?;
                    break;
                }
                message.body.extend(content);
            },
            Framing::UntilClose => {
                self.reader.read_to_end(&mut message.body)?;
            }
        }
        Ok(message)
    }

    /// The body behind a head that has been read.
    pub(crate) fn try_body_of(&mut self, head: Head) -> io::Result<HttpMessage> {
        let framing = Framing::of(&head, Framing::UntilClose)?;
        self.try_message(head, framing)
    }

    /// A response and its body. An end before that of the body is an error, unless only the end could say so and was
    /// clean.
    pub(crate) fn try_response(&mut self) -> io::Result<HttpMessage> {
        let head = self.try_head()?;
        let framing = Framing::of_response(&head)?;
        self.try_message(head, framing)
    }

    #[track_caller]
    pub(crate) fn response(&mut self) -> HttpMessage {
        self.try_response()
            .unwrap_or_else(|error| panic!("no whole response: {error}"))
    }

    pub(crate) fn try_request(&mut self) -> io::Result<HttpMessage> {
        let head = self.try_head()?;
        let framing = Framing::of(&head, Framing::Length(0))?;
        self.try_message(head, framing)
    }

    /// A request and its body.
    #[track_caller]
    pub(crate) fn request(&mut self) -> HttpMessage {
        self.try_request()
            .unwrap_or_else(|error| panic!("no whole request: {error}"))
    }

    /// Reads the body behind `head` piece by piece, whatever its framing, compares it with `content`, and gives its
    /// length.
    #[track_caller]
    pub(crate) fn check_body(&mut self, head: &Head, content: Content) -> u64 {
        match Framing::of(head, Framing::UntilClose).expect("a framing") {
            Framing::Length(length) => self.check_part(content, 0, length),
            Framing::UntilClose => self.check_part(content, 0, u64::MAX),
            Framing::Chunked => {
                let mut position = 0;
                loop {
                    let line = self.try_line().expect("a chunk line");
                    let size = u64::from_str_radix(&line, 16).expect("a chunk size");
                    let read = self.check_part(content, position, size);
                    assert_eq!(read, size, "the connection ended inside a chunk");
                    position += size;
                    assert_eq!(self.try_line().expect("the end of the chunk"), "");
                    if size == 0 {
                        return position;
                    }
                }
            }
        }
    }

    /// Reads `length` bytes, fewer if the connection ends, and compares them with `content` from `start` on.
    #[track_caller]
    fn check_part(&mut self, content: Content, start: u64, length: u64) -> u64 {
        let mut buffer = vec![0; usize::try_from(length.min(256 * 1024)).unwrap_or_default()];
        let mut position = 0;
        while position < length {
            let most = usize::try_from(length - position).unwrap_or(usize::MAX);
            let most = most.min(buffer.len());
            match self.read(&mut buffer[..most]).expect("no error") {
                0 => break,
                read => {
                    content.check(start + position, &buffer[..read]);
                    position += read as u64;
                }
            }
        }
        position
    }

    /// All that is left, and how it ended.
    #[track_caller]
    pub(crate) fn rest(&mut self) -> (Vec<u8>, End) {
        let mut bytes = Vec::new();
        match self.reader.read_to_end(&mut bytes) {
            Ok(_) => (bytes, End::Fin),
            Err(error) if error.kind() == ErrorKind::ConnectionReset => (bytes, End::Reset),
            Err(error) => panic!("no end after {} bytes: {error}", bytes.len()),
        }
    }

    /// How the connection ended, when nothing more was to be read.
    #[track_caller]
    pub(crate) fn end(&mut self) -> End {
        let (bytes, end) = self.rest();
        let text = String::from_utf8_lossy(&bytes);
        assert!(bytes.is_empty(), "before the end: {text:?}");
        end
    }

    /// Asserts that nothing comes for `quiet`, neither bytes nor an end.
    #[track_caller]
    pub(crate) fn expect_quiet(&self, quiet: Duration) {
        let ahead = String::from_utf8_lossy(self.reader.buffer());
        assert!(ahead.is_empty(), "{ahead:?}");
        expect_quiet(self.stream(), quiet);
    }
}

impl Read for Wire {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.reader.read(buffer)
    }
}
