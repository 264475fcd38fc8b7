//! A name server that answers as the test tells it: over UDP and TCP on one port of loopback, with any number of
//! messages per query, so that it can lie, repeat itself, truncate or stay silent. It remembers all it was asked.

use std::io::{self, Read, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use super::PATIENCE;

/// Kind of a record that holds an IPv4 address.
pub(crate) const A: u16 = 1;
/// Kind of a record that holds an IPv6 address.
pub(crate) const AAAA: u16 = 28;
/// Response code: the server could not say.
pub(crate) const SERVER_FAILURE: u8 = 2;
/// Response code: the name does not exist.
pub(crate) const NAME_ERROR: u8 = 3;

const CNAME: u16 = 5;
const SOA: u16 = 6;
const INTERNET: u16 = 1;
const HEADER_BYTES: usize = 12;

/// Seconds that an answer holds, unless the test says otherwise.
const TTL: u32 = 300;

/// One question that the server was asked.
#[derive(Debug, Clone)]
pub(crate) struct Query {
    /// In lower case, without the final dot.
    pub(crate) name: String,
    pub(crate) kind: u16,
    pub(crate) id: u16,
    pub(crate) source: SocketAddr,
    pub(crate) tcp: bool,
    /// As it came, so that it goes back as it came.
    question: Vec<u8>,
}

impl Query {
    fn parse(message: &[u8], source: SocketAddr, tcp: bool) -> Option<Self> {
        let mut at = HEADER_BYTES;
        let mut labels = Vec::new();
        loop {
            let length = usize::from(*message.get(at)?);
            at += 1;
            if length == 0 {
                break;
            }
            labels
                .push(String::from_utf8_lossy(message.get(at..at + length)?).to_ascii_lowercase());
            at += length;
        }
        let kind = u16::from_be_bytes(message.get(at..at + 2)?.try_into().ok()?);
        let question = message.get(HEADER_BYTES..at + 4)?.to_vec();
        let id = u16::from_be_bytes(message.get(..2)?.try_into().ok()?);
        Some(Self {
            name: labels.join("."),
            kind,
            id,
            source,
            tcp,
            question,
        })
    }

    /// An answer without a record: NODATA.
    pub(crate) fn answer(&self) -> Message {
        Message {
            id: self.id,
            question: self.question.clone(),
            code: 0,
            truncated: false,
            elsewhere: false,
            answers: Vec::new(),
            authorities: Vec::new(),
        }
    }

    /// An answer that holds those of `addresses` that were asked for; without any, NODATA that may be remembered.
    pub(crate) fn addresses(&self, addresses: &[IpAddr], ttl: u32) -> Message {
        let mut message = self.answer();
        for address in addresses
            .iter()
            .filter(|address| kind_of(**address) == self.kind)
        {
            message = message.address(&self.name, *address, ttl);
        }
        if message.answers.is_empty() {
            message.authority(&self.name, TTL)
        } else {
            message
        }
    }

    /// NXDOMAIN that may be remembered.
    pub(crate) fn name_error(&self) -> Message {
        self.answer().code(NAME_ERROR).authority(&self.name, TTL)
    }
}

/// A message from the server.
#[derive(Debug, Clone)]
pub(crate) struct Message {
    id: u16,
    question: Vec<u8>,
    code: u8,
    truncated: bool,
    elsewhere: bool,
    answers: Vec<Vec<u8>>,
    authorities: Vec<Vec<u8>>,
}

impl Message {
    /// With another id.
    pub(crate) fn id(mut self, id: u16) -> Self {
        self.id = id;
        self
    }

    /// With another question.
    pub(crate) fn question(mut self, name: &str, kind: u16) -> Self {
        self.question = [
            encode(name),
            kind.to_be_bytes().to_vec(),
            INTERNET.to_be_bytes().to_vec(),
        ]
        .concat();
        self
    }

    /// With a response code.
    pub(crate) fn code(mut self, code: u8) -> Self {
        self.code = code;
        self
    }

    /// With the bit that says: ask over TCP.
    pub(crate) fn truncated(mut self) -> Self {
        self.truncated = true;
        self
    }

    /// Sent from a port other than the server's.
    pub(crate) fn sent_from_elsewhere(mut self) -> Self {
        self.elsewhere = true;
        self
    }

    /// With one more address of `owner`.
    pub(crate) fn address(mut self, owner: &str, address: IpAddr, ttl: u32) -> Self {
        let data = match address {
            IpAddr::V4(address) => address.octets().to_vec(),
            IpAddr::V6(address) => address.octets().to_vec(),
        };
        self.answers
            .push(record(owner, kind_of(address), ttl, &data));
        self
    }

    /// With one more CNAME: `owner` is another name for `canonical`.
    pub(crate) fn alias(mut self, owner: &str, canonical: &str) -> Self {
        self.answers
            .push(record(owner, CNAME, TTL, &encode(canonical)));
        self
    }

    /// With the SOA record that lets a negative answer be remembered for `seconds` (RFC 2308).
    fn authority(mut self, owner: &str, seconds: u32) -> Self {
        let numbers = [1, 3600, 600, 86_400, seconds]
            .map(u32::to_be_bytes)
            .concat();
        let data = [encode("ns.test"), encode("admin.test"), numbers].concat();
        self.authorities.push(record(
            owner.rsplit('.').next().unwrap_or(owner),
            SOA,
            seconds,
            &data,
        ));
        self
    }

    fn bytes(&self) -> Vec<u8> {
        let response_recursive: u16 = 0x8180;
        let flags = response_recursive | u16::from(self.truncated) << 9 | u16::from(self.code);
        let counts = [
            1,
            self.answers.len() as u16,
            self.authorities.len() as u16,
            0,
        ];
        let mut bytes = [self.id.to_be_bytes(), flags.to_be_bytes()].concat();
        bytes.extend(counts.iter().flat_map(|count| count.to_be_bytes()));
        bytes.extend(&self.question);
        bytes.extend(self.answers.iter().chain(&self.authorities).flatten());
        bytes
    }
}

fn kind_of(address: IpAddr) -> u16 {
    if address.is_ipv4() { A } else { AAAA }
}

fn encode(name: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    for label in name.split('.') {
        bytes.push(label.len() as u8);
        bytes.extend(label.as_bytes());
    }
    bytes.push(0);
    bytes
}

fn record(owner: &str, kind: u16, ttl: u32, data: &[u8]) -> Vec<u8> {
    let mut bytes = encode(owner);
    bytes.extend(kind.to_be_bytes());
    bytes.extend(INTERNET.to_be_bytes());
    bytes.extend(ttl.to_be_bytes());
    bytes.extend((data.len() as u16).to_be_bytes());
    bytes.extend(data);
    bytes
}

/// The messages that one query brings about, in order; none is silence. Runs on a thread of its own for each query, so
/// it may wait.
type Answers = dyn Fn(&Query) -> Vec<Message> + Send + Sync;

/// A running name server. Its threads end with the test program.
pub(crate) struct Dns {
    address: SocketAddr,
    asked: Arc<Mutex<Vec<Query>>>,
}

impl Dns {
    pub(crate) fn start(answers: impl Fn(&Query) -> Vec<Message> + Send + Sync + 'static) -> Self {
        let (udp, tcp) = one_port();
        let address = udp.local_addr().expect("a bound socket has an address");
        let asked = Arc::new(Mutex::new(Vec::new()));
        let server = Server {
            asked: Arc::clone(&asked),
            answers: Arc::new(answers),
        };
        let over_tcp = server.clone();
        thread::spawn(move || server.serve_udp(&udp));
        thread::spawn(move || over_tcp.serve_tcp(&tcp));
        Self { address, asked }
    }

    /// A server that knows these names and their addresses, and no other.
    pub(crate) fn knows(names: &[(&str, &[&str])]) -> Self {
        let parse = |addresses: &[&str]| {
            addresses
                .iter()
                .map(|text| text.parse().expect("an IP address"))
                .collect()
        };
        let names: Vec<(String, Vec<IpAddr>)> = names
            .iter()
            .map(|(name, addresses)| (name.to_string(), parse(addresses)))
            .collect();
        Self::start(move |query| {
            let known = names.iter().find(|(name, _)| *name == query.name);
            vec![known.map_or_else(
                || query.name_error(),
                |(_, addresses)| query.addresses(addresses, TTL),
            )]
        })
    }

    /// For `--resolver`.
    pub(crate) fn address(&self) -> String {
        self.address.to_string()
    }

    /// Everything it was asked about `name`, in order.
    pub(crate) fn asked(&self, name: &str) -> Vec<Query> {
        self.all()
            .into_iter()
            .filter(|query| query.name == name)
            .collect()
    }

    /// Everything it was asked, in order.
    pub(crate) fn all(&self) -> Vec<Query> {
        self.asked
            .lock()
            .expect("nothing panics while it holds the list")
            .clone()
    }
}

/// A UDP and a TCP socket on the same port.
fn one_port() -> (UdpSocket, TcpListener) {
    let pair = || -> io::Result<(UdpSocket, TcpListener)> {
        let tcp = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        Ok((UdpSocket::bind(tcp.local_addr()?)?, tcp))
    };
    (0..16)
        .find_map(|_| pair().ok())
        .expect("some port is free for both")
}

#[derive(Clone)]
struct Server {
    asked: Arc<Mutex<Vec<Query>>>,
    answers: Arc<Answers>,
}

impl Server {
    fn take_down(&self, query: &Query) {
        self.asked
            .lock()
            .expect("nothing panics while it holds the list")
            .push(query.clone());
    }

    fn serve_udp(&self, socket: &UdpSocket) {
        let mut buffer = [0; 4096];
        while let Ok((length, source)) = socket.recv_from(&mut buffer) {
            let Some(query) = Query::parse(&buffer[..length], source, false) else {
                continue;
            };
            self.take_down(&query);
            let Ok(socket) = socket.try_clone() else {
                return;
            };
            let answers = Arc::clone(&self.answers);
            thread::spawn(move || {
                for message in answers(&query) {
                    let sent = if message.elsewhere {
                        UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))
                            .and_then(|other| other.send_to(&message.bytes(), query.source))
                    } else {
                        socket.send_to(&message.bytes(), query.source)
                    };
                    let _ = sent; // the asker may have gone
                }
            });
        }
    }

    fn serve_tcp(&self, listener: &TcpListener) {
        while let Ok((stream, source)) = listener.accept() {
            let server = self.clone();
            thread::spawn(move || server.converse(stream, source)); // how it ends is the asker's affair
        }
    }

    fn converse(&self, mut stream: TcpStream, source: SocketAddr) -> io::Result<()> {
        stream.set_read_timeout(Some(PATIENCE + Duration::from_secs(10)))?;
        loop {
            let mut length = [0; 2];
            stream.read_exact(&mut length)?;
            let mut message = vec![0; usize::from(u16::from_be_bytes(length))];
            stream.read_exact(&mut message)?;
            let Some(query) = Query::parse(&message, source, true) else {
                return Ok(());
            };
            self.take_down(&query);
            for message in (self.answers)(&query) {
                let bytes = message.bytes();
                stream.write_all(&[&(bytes.len() as u16).to_be_bytes()[..], &bytes].concat())?;
            }
        }
    }
}
