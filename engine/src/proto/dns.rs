//! DNS messages: the question this engine asks, and what a received message says about it.
//!
//! Sans-I/O, on hickory-proto: no clock, no socket, no randomness (the caller brings the id). Only what a stub
//! resolver for addresses needs: one question for A or AAAA, aliases followed inside the answer, the TTL of what was
//! found or of its absence. Anything that does not answer the question is told apart from a bad answer, because a
//! stub ignores the former and gives up on the server for the latter. Called by `net::resolver`.

use std::fmt;
use std::net::IpAddr;
use std::rc::Rc;
use std::time::Duration;

use bytes::{BufMut, Bytes, BytesMut};
use hickory_proto::op::{
    Edns, Header, Message, MessageType, OpCode, Query as WireQuestion, ResponseCode,
};
use hickory_proto::rr::{DNSClass, Name, RData, Record, RecordType};
use hickory_proto::serialize::binary::{BinDecodable, BinDecoder, DecodeError};

use crate::limits;

/// Which addresses are asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Family {
    /// IPv4: A records.
    V4,
    /// IPv6: AAAA records.
    V6,
}

impl Family {
    /// The family of `address`.
    #[must_use]
    pub fn of(address: IpAddr) -> Self {
        if address.is_ipv4() {
            Self::V4
        } else {
            Self::V6
        }
    }

    /// The one that this is not.
    #[must_use]
    pub fn other(self) -> Self {
        match self {
            Self::V4 => Self::V6,
            Self::V6 => Self::V4,
        }
    }

    fn record_type(self) -> RecordType {
        match self {
            Self::V4 => RecordType::A,
            Self::V6 => RecordType::AAAA,
        }
    }
}

/// A domain name that may be asked for: absolute, lower case, without the final dot; letters, digits, hyphens and
/// underscores only. Clones share the text.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct DomainName(Rc<str>);

impl DomainName {
    /// Takes `text` (no final dot) as an absolute name; `None` when no host can have it (RFC 1123 2.1, plus
    /// underscores).
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let label_fits = |label: &str| (1..=LABEL_CHARACTERS_MAX).contains(&label.len());
        let character_fits =
            |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
        if text.len() > limits::DNS_NAME_CHARACTERS_MAX
            || !text.bytes().all(character_fits)
            || !text.split('.').all(label_fits)
        {
            return None;
        }
        let mut name: Rc<str> = Rc::from(text);
        if text.bytes().any(|byte| byte.is_ascii_uppercase()) {
            name = Rc::from(text.to_ascii_lowercase());
        }
        Some(Self(name))
    }

    /// The name, without the final dot.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for DomainName {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

/// Characters of one label (RFC 1035 2.3.4).
const LABEL_CHARACTERS_MAX: usize = 63;

/// What is asked of a name server.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Question {
    /// The absolute name.
    pub name: DomainName,
    /// The kind of address.
    pub family: Family,
}

/// One encoded question, and the judge of the messages that come back.
#[derive(Debug)]
pub struct Query {
    id: u16,
    name: Name,
    record_type: RecordType,
    message: Bytes,
}

/// What a received message is to a [`Query`].
#[derive(Debug, PartialEq, Eq)]
pub enum Reading {
    /// Not an answer to this query: another id, question or kind of message. The answer may still come.
    Foreign,
    /// The answer did not fit in the datagram (TC); ask over TCP.
    Truncated,
    /// The server did not understand the query (FORMERR, NOTIMP); an old one may without EDNS (RFC 6891 7).
    NotUnderstood,
    /// The server cannot or will not answer (SERVFAIL, REFUSED and the like, or neither recursive nor authoritative).
    Failed,
    /// The message is an answer to this query, and broken.
    Malformed,
    /// The addresses of the name, in the order given; at least one.
    Addresses {
        /// At most [`limits::DNS_ADDRESSES_MAX`], without duplicates.
        addresses: Vec<IpAddr>,
        /// How long they hold: the least TTL of the chain, up to [`limits::DNS_TTL_MAX`].
        ttl: Duration,
    },
    /// The name does not exist (NXDOMAIN).
    NotFound {
        /// How long that holds, by RFC 2308 5.
        ttl: Duration,
    },
    /// The name, or the one it is an alias of, has no address of this family (NODATA).
    NoAddress {
        /// How long that holds, by RFC 2308 5.
        ttl: Duration,
    },
    /// The aliases in the answer form a circle, or too long a chain.
    AliasLoop,
}

/// The name cannot be encoded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct InvalidName;

impl Query {
    /// Encodes `question` under `id`. With `datagram_bytes_max`, EDNS announces that datagrams of more than 512 bytes
    /// may come back.
    ///
    /// # Errors
    /// When the name does not fit in a message.
    pub fn new(
        question: &Question,
        id: u16,
        datagram_bytes_max: Option<u16>,
    ) -> Result<Self, InvalidName> {
        let labels = question.name.as_str().split('.').map(str::as_bytes);
        let name = Name::from_labels(labels).map_err(|_| InvalidName)?;
        let record_type = question.family.record_type();
        let mut message = Message::new(id, MessageType::Query, OpCode::Query);
        message.metadata.recursion_desired = true;
        message.add_query(WireQuestion::query(name.clone(), record_type));
        if let Some(bytes) = datagram_bytes_max {
            let mut edns = Edns::new();
            edns.set_max_payload(bytes);
            message.set_edns(edns);
        }
        let message = Bytes::from(message.to_vec().map_err(|_| InvalidName)?);
        Ok(Self {
            id,
            name,
            record_type,
            message,
        })
    }

    /// The query as a datagram.
    #[must_use]
    pub fn datagram(&self) -> Bytes {
        self.message.clone()
    }

    /// The query as it goes over TCP, behind its length (RFC 1035 4.2.2).
    #[must_use]
    pub fn segment(&self) -> Bytes {
        let length = u16::try_from(self.message.len()).unwrap_or(u16::MAX);
        let mut segment = BytesMut::with_capacity(2 + self.message.len());
        segment.put_u16(length);
        segment.put_slice(&self.message);
        segment.freeze()
    }

    /// Judges `message`, which came from the server this query went to.
    #[must_use]
    pub fn read(&self, message: &[u8]) -> Reading {
        let mut decoder = BinDecoder::new(message);
        let Ok(header) = Header::read(&mut decoder) else {
            return Reading::Foreign;
        };
        if header.id != self.id
            || header.message_type != MessageType::Response
            || header.op_code != OpCode::Query
        {
            return Reading::Foreign;
        }
        let repeated = self.repeats_question(&header, &mut decoder);
        match header.response_code {
            // A server that fails early may leave the question out.
            _ if !repeated && header.counts.queries > 0 => Reading::Foreign,
            ResponseCode::FormErr | ResponseCode::NotImp => Reading::NotUnderstood,
            ResponseCode::ServFail | ResponseCode::Refused => Reading::Failed,
            _ if !repeated => Reading::Foreign,
            ResponseCode::NoError | ResponseCode::NXDomain if header.truncation => {
                Reading::Truncated
            }
            ResponseCode::NoError | ResponseCode::NXDomain => self
                .read_answer(&header, &mut decoder)
                .unwrap_or(Reading::Malformed),
            _ => Reading::Failed,
        }
    }

    /// Whether the question section is this query's, letter case aside (RFC 5452 9.1).
    fn repeats_question(&self, header: &Header, decoder: &mut BinDecoder<'_>) -> bool {
        header.counts.queries == 1
            && WireQuestion::read(decoder).is_ok_and(|question| {
                question.name == self.name
                    && question.query_type == self.record_type
                    && question.query_class == DNSClass::IN
            })
    }

    fn read_answer(
        &self,
        header: &Header,
        decoder: &mut BinDecoder<'_>,
    ) -> Result<Reading, DecodeError> {
        let count = usize::from(header.counts.answers);
        let mut records = Vec::with_capacity(count.min(16));
        for _ in 0..count.min(limits::DNS_ANSWER_RECORDS_MAX) {
            let record = Record::read(decoder)?;
            if record.dns_class == DNSClass::IN {
                records.push(record);
            }
        }
        if header.response_code == ResponseCode::NoError {
            let reading = self.follow_aliases(&records);
            if !matches!(reading, Reading::NoAddress { .. }) {
                return Ok(reading);
            }
        }
        let dated = if count <= limits::DNS_ANSWER_RECORDS_MAX {
            negative_ttl(header, decoder)
        } else {
            None
        };
        let ttl = dated.unwrap_or(limits::DNS_FAILURE_TTL);
        if header.response_code == ResponseCode::NXDomain {
            return Ok(Reading::NotFound { ttl });
        }
        // A referral: this server is not for the likes of us, another one may be.
        if dated.is_none() && !header.recursion_available && !header.authoritative {
            return Ok(Reading::Failed);
        }
        Ok(Reading::NoAddress { ttl })
    }

    /// Goes from the name asked for along its aliases, in whatever order the records came, to the addresses.
    fn follow_aliases(&self, records: &[Record]) -> Reading {
        let mut owner = &self.name;
        let mut ttl = limits::DNS_TTL_MAX;
        for _ in 0..=limits::DNS_ALIASES_MAX {
            let mut addresses = Vec::new();
            let mut alias = None;
            for record in records.iter().filter(|record| record.name == *owner) {
                let address = match &record.data {
                    RData::A(a) => IpAddr::V4(a.0),
                    RData::AAAA(aaaa) => IpAddr::V6(aaaa.0),
                    RData::CNAME(target) => {
                        alias = alias.or(Some((&target.0, record.ttl)));
                        continue;
                    }
                    _ => continue,
                };
                if record.record_type() == self.record_type
                    && addresses.len() < limits::DNS_ADDRESSES_MAX
                    && !addresses.contains(&address)
                {
                    ttl = ttl.min(seconds(record.ttl));
                    addresses.push(address);
                }
            }
            match alias {
                _ if !addresses.is_empty() => return Reading::Addresses { addresses, ttl },
                Some((target, alias_ttl)) => {
                    ttl = ttl.min(seconds(alias_ttl));
                    owner = target;
                }
                None => {
                    return Reading::NoAddress {
                        ttl: limits::DNS_FAILURE_TTL,
                    };
                }
            }
        }
        Reading::AliasLoop
    }
}

/// How long the absence holds: the lesser of the SOA's own TTL and its minimum field (RFC 2308 5), within our bounds.
/// `None` without a SOA, or when the section cannot be read.
fn negative_ttl(header: &Header, decoder: &mut BinDecoder<'_>) -> Option<Duration> {
    let count = usize::from(header.counts.authorities).min(limits::DNS_AUTHORITY_RECORDS_MAX);
    for _ in 0..count {
        let record = Record::read(decoder).ok()?;
        if let RData::SOA(authority) = &record.data
            && record.dns_class == DNSClass::IN
        {
            let ttl = seconds(record.ttl).min(seconds(authority.minimum));
            return Some(ttl.clamp(limits::DNS_FAILURE_TTL, limits::DNS_NEGATIVE_TTL_MAX));
        }
    }
    None
}

/// A TTL field; one with its top bit set counts as zero (RFC 2181 8).
fn seconds(ttl: u32) -> Duration {
    Duration::from_secs(u64::from(if ttl > i32::MAX as u32 { 0 } else { ttl }))
}

/// The first message of what was received over TCP, once it is complete (RFC 1035 4.2.2).
#[must_use]
pub fn first_segment(received: &[u8]) -> Option<&[u8]> {
    let (length, rest) = received.split_first_chunk::<2>()?;
    rest.get(..usize::from(u16::from_be_bytes(*length)))
}

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, Ipv6Addr};

    use hickory_proto::rr::rdata::{A, AAAA, CNAME, SOA};

    use super::*;

    const ID: u16 = 0x1234;
    const NAME: &str = "www.example";

    fn query(family: Family) -> Query {
        let name = DomainName::parse(NAME).expect("a domain name");
        Query::new(&Question { name, family }, ID, Some(1232)).expect("a name that can be encoded")
    }

    fn name(text: &str) -> Name {
        Name::from_ascii(format!("{text}.")).expect("a name")
    }

    fn address(last: u8) -> IpAddr {
        IpAddr::V4(Ipv4Addr::new(192, 0, 2, last))
    }

    fn a(owner: &str, ttl: u32, last: u8) -> Record {
        Record::from_rdata(name(owner), ttl, RData::A(A::new(192, 0, 2, last)))
    }

    fn aaaa(owner: &str, ttl: u32, last: u16) -> Record {
        let address = AAAA(Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, last));
        Record::from_rdata(name(owner), ttl, RData::AAAA(address))
    }

    fn cname(owner: &str, ttl: u32, target: &str) -> Record {
        Record::from_rdata(name(owner), ttl, RData::CNAME(CNAME(name(target))))
    }

    fn soa(ttl: u32, minimum: u32) -> Record {
        let soa = SOA::new(
            name("ns.example"),
            name("admin.example"),
            1,
            2,
            3,
            4,
            minimum,
        );
        Record::from_rdata(name("example"), ttl, RData::SOA(soa))
    }

    fn reply(answers: Vec<Record>) -> Message {
        let mut message = Message::response(ID, OpCode::Query);
        message.metadata.recursion_desired = true;
        message.metadata.recursion_available = true;
        message.add_query(WireQuestion::query(name(NAME), RecordType::A));
        message.add_answers(answers);
        message
    }

    fn bytes(message: &Message) -> Vec<u8> {
        message.to_vec().expect("a message that can be encoded")
    }

    fn read(message: &Message) -> Reading {
        query(Family::V4).read(&bytes(message))
    }

    fn found(addresses: &[u8], ttl_s: u64) -> Reading {
        Reading::Addresses {
            addresses: addresses.iter().copied().map(address).collect(),
            ttl: Duration::from_secs(ttl_s),
        }
    }

    fn no_address(ttl_s: u64) -> Reading {
        Reading::NoAddress {
            ttl: Duration::from_secs(ttl_s),
        }
    }

    #[test]
    fn domain_names_are_those_a_host_can_have() {
        let label = "x".repeat(63);
        let longest = [label.as_str(), &label, &label, &"y".repeat(61)].join(".");
        for text in [
            "a",
            "WWW.Example",
            "_dmarc.a-b.c0",
            "xn--bcher-kva.example",
            "1.2",
            &label,
            &longest,
        ] {
            let parsed = DomainName::parse(text).expect(text);
            assert_eq!(parsed.as_str(), text.to_lowercase());
            let question = Question {
                name: parsed,
                family: Family::V4,
            };
            assert!(Query::new(&question, ID, None).is_ok(), "{text}");
        }
        let label_too_long = "x".repeat(64);
        let too_long = format!("{longest}z");
        for text in [
            "",
            ".",
            "a.",
            ".a",
            "a..b",
            "a b",
            "a\\b",
            "a/b",
            "a*",
            "ä",
            "a\0",
            "a\n",
            &label_too_long,
            &too_long,
        ] {
            assert_eq!(DomainName::parse(text), None, "{text:?}");
        }
    }

    #[test]
    fn a_query_is_one_question_with_recursion_desired() {
        let head = [0x12, 0x34, 0x01, 0x00, 0, 1, 0, 0, 0, 0, 0];
        let question = b"\x03www\x07example\x00\x00\x1c\x00\x01";
        let edns = [0, 0, 41, 0x04, 0xd0, 0, 0, 0, 0, 0, 0];
        let with = [&head[..], &[1], question, &edns].concat();
        assert_eq!(query(Family::V6).datagram(), with);
        let name = DomainName::parse("WWW.Example").expect("a domain name");
        let plain = Query::new(
            &Question {
                name,
                family: Family::V6,
            },
            ID,
            None,
        )
        .expect("a query");
        let without = [&head[..], &[0], question].concat();
        assert_eq!(plain.datagram(), without);
        assert_eq!(
            plain.segment(),
            [&[0, without.len() as u8], &without[..]].concat()
        );
    }

    #[test]
    fn addresses_come_in_order_without_duplicates_and_without_strangers() {
        let mut strange = a(NAME, 5, 9);
        strange.dns_class = DNSClass::CH;
        let answers = vec![
            a("other.example", 1, 8),
            a(NAME, 300, 2),
            strange,
            aaaa(NAME, 1, 7),
            a(NAME, 200, 1),
            a("WWW.EXAMPLE", 400, 2),
        ];
        assert_eq!(read(&reply(answers)), found(&[2, 1], 200));
        let mut message = reply(vec![a(NAME, 9, 1), aaaa(NAME, 7, 1)]);
        message.queries[0].query_type = RecordType::AAAA;
        let six = Reading::Addresses {
            addresses: vec!["2001:db8::1".parse().expect("an address")],
            ttl: Duration::from_secs(7),
        };
        assert_eq!(query(Family::V6).read(&bytes(&message)), six);
    }

    #[test]
    fn aliases_are_followed_in_any_order() {
        let mut answers = vec![
            cname(NAME, 300, "b.example"),
            cname("B.example", 100, "c.example"),
            a("C.Example", 200, 1),
            a("c.example", 250, 2),
        ];
        assert_eq!(read(&reply(answers.clone())), found(&[1, 2], 100));
        answers.reverse();
        assert_eq!(read(&reply(answers)), found(&[2, 1], 100));
    }

    #[test]
    fn aliases_that_lead_nowhere_are_an_error() {
        let chain = |length: usize| {
            let owner = |step: usize| {
                if step == 0 {
                    NAME.into()
                } else {
                    format!("h{step}.example")
                }
            };
            let mut answers: Vec<Record> = (0..length)
                .map(|step| cname(&owner(step), 60, &owner(step + 1)))
                .collect();
            answers.push(a(&owner(length), 60, 1));
            read(&reply(answers))
        };
        assert_eq!(chain(limits::DNS_ALIASES_MAX), found(&[1], 60));
        assert_eq!(chain(limits::DNS_ALIASES_MAX + 1), Reading::AliasLoop);
        assert_eq!(
            chain(limits::DNS_ANSWER_RECORDS_MAX + 1),
            Reading::AliasLoop
        );

        let circles: [&[(&str, &str)]; 3] = [
            &[(NAME, NAME)],
            &[(NAME, "b.example"), ("b.example", NAME)],
            &[
                (NAME, "b.example"),
                ("b.example", "c.example"),
                ("c.example", "b.example"),
            ],
        ];
        for circle in circles {
            let answers = circle
                .iter()
                .map(|(owner, target)| cname(owner, 60, target))
                .collect();
            assert_eq!(read(&reply(answers)), Reading::AliasLoop, "{circle:?}");
        }
        assert_eq!(
            read(&reply(vec![cname(NAME, 60, "b.example")])),
            no_address(1),
            "an alias and nothing else"
        );
        let strange = vec![cname(NAME, 60, "b.example"), a("c.example", 60, 1)];
        assert_eq!(read(&reply(strange)), no_address(1));
    }

    #[test]
    fn positive_ttls_are_kept_and_capped() {
        let day = 24 * 3600;
        for (ttl, kept) in [
            (0, 0),
            (1, 1),
            (86_400, day),
            (86_401, day),
            (i32::MAX as u32, day),
            (1 << 31, 0),
            (u32::MAX, 0),
        ] {
            assert_eq!(
                read(&reply(vec![a(NAME, ttl, 1)])),
                found(&[1], kept),
                "{ttl}"
            );
        }
        let answers = vec![cname(NAME, u32::MAX, "b.example"), a("b.example", 60, 1)];
        assert_eq!(read(&reply(answers)), found(&[1], 0));
    }

    #[test]
    fn absence_holds_as_long_as_the_soa_says() {
        let table = [
            (Some((60, 30)), 30),
            (Some((20, 30)), 20),
            (Some((0, 30)), 1),
            (Some((86_400, 86_400)), 300),
            (None, 1),
        ];
        for (authority, kept_s) in table {
            let mut message = reply(Vec::new());
            message.add_authorities(authority.map(|(ttl, minimum)| soa(ttl, minimum)));
            assert_eq!(read(&message), no_address(kept_s), "{authority:?}");
            message.add_answer(cname(NAME, 7, "b.example"));
            message.add_answer(aaaa("b.example", 7, 1));
            assert_eq!(
                read(&message),
                no_address(kept_s),
                "{authority:?}, behind an alias"
            );
            message.metadata.response_code = ResponseCode::NXDomain;
            let ttl = Duration::from_secs(kept_s);
            assert_eq!(read(&message), Reading::NotFound { ttl }, "{authority:?}");
        }
        let mut message = reply(Vec::new());
        message.add_authorities(
            (0..limits::DNS_AUTHORITY_RECORDS_MAX).map(|_| a("ns.example", 60, 1)),
        );
        message.add_authority(soa(60, 60));
        assert_eq!(read(&message), no_address(1), "not looked for any further");
    }

    #[test]
    fn what_does_not_answer_the_question_is_foreign() {
        let good = reply(vec![a(NAME, 60, 1)]);
        let changed = |change: &dyn Fn(&mut Message)| {
            let mut message = good.clone();
            change(&mut message);
            read(&message)
        };
        assert_eq!(changed(&|_| {}), found(&[1], 60));
        assert_eq!(
            changed(&|message| message.queries[0].name = name("wWw.eXample")),
            found(&[1], 60)
        );
        type Change = dyn Fn(&mut Message);
        let changes: [(&str, &Change); 9] = [
            ("id", &|message| message.metadata.id ^= 1),
            ("a query", &|message| {
                message.metadata.message_type = MessageType::Query
            }),
            ("another operation", &|message| {
                message.metadata.op_code = OpCode::Status
            }),
            ("name", &|message| {
                message.queries[0].name = name("vww.example")
            }),
            ("longer name", &|message| {
                message.queries[0].name = name("www.example.org")
            }),
            ("type", &|message| {
                message.queries[0].query_type = RecordType::AAAA
            }),
            ("class", &|message| {
                message.queries[0].query_class = DNSClass::CH
            }),
            ("no question", &|message| message.queries.clear()),
            ("two questions", &|message| {
                message
                    .queries
                    .push(WireQuestion::query(name(NAME), RecordType::A))
            }),
        ];
        for (what, change) in changes {
            assert_eq!(changed(change), Reading::Foreign, "{what}");
            let failing = |message: &mut Message| {
                change(message);
                message.metadata.response_code = ResponseCode::ServFail;
            };
            let expected = if what == "no question" {
                Reading::Failed
            } else {
                Reading::Foreign
            };
            assert_eq!(changed(&failing), expected, "{what}, failing");
        }
    }

    #[test]
    fn failures_are_told_apart() {
        let table = [
            (ResponseCode::FormErr, Reading::NotUnderstood),
            (ResponseCode::NotImp, Reading::NotUnderstood),
            (ResponseCode::ServFail, Reading::Failed),
            (ResponseCode::Refused, Reading::Failed),
            (ResponseCode::YXDomain, Reading::Failed),
            (ResponseCode::NotAuth, Reading::Failed),
            (ResponseCode::Unknown(15), Reading::Failed),
        ];
        for (code, expected) in table {
            let mut message = reply(vec![a(NAME, 60, 1)]);
            message.metadata.response_code = code;
            assert_eq!(read(&message), expected, "{code}");
        }
        let mut truncated = reply(vec![a(NAME, 60, 1)]);
        truncated.metadata.truncation = true;
        assert_eq!(read(&truncated), Reading::Truncated);
    }

    #[test]
    fn a_referral_is_a_failure_of_this_server() {
        let mut message = reply(Vec::new());
        message.metadata.recursion_available = false;
        assert_eq!(read(&message), Reading::Failed);
        message.metadata.authoritative = true;
        assert_eq!(read(&message), no_address(1));
        message.metadata.authoritative = false;
        message.add_authority(soa(60, 60));
        assert_eq!(read(&message), no_address(60));
    }

    #[test]
    fn many_records_are_read_in_bounds() {
        let mut answers: Vec<Record> = (0..=255).map(|last| a(NAME, 60, last)).collect();
        answers.extend((0..1000).map(|_| a("other.example", 60, 1)));
        let Reading::Addresses { addresses, .. } = read(&reply(answers)) else {
            panic!("addresses")
        };
        assert_eq!(addresses.len(), limits::DNS_ADDRESSES_MAX);
        let mut answers: Vec<Record> = (0..1000).map(|_| a("other.example", 60, 1)).collect();
        answers.push(a(NAME, 60, 1));
        let mut message = reply(answers);
        message.add_authority(soa(60, 60));
        assert_eq!(
            read(&message),
            no_address(1),
            "neither answer nor SOA is looked for behind the bound"
        );
    }

    #[test]
    fn a_message_cut_anywhere_is_never_an_answer() {
        let whole = bytes(&reply(vec![
            cname(NAME, 60, "b.example"),
            a("b.example", 60, 1),
            a("b.example", 60, 2),
        ]));
        let question_end = 12 + NAME.len() + 2 + 4;
        for length in 0..whole.len() {
            let expected = if length < question_end {
                Reading::Foreign
            } else {
                Reading::Malformed
            };
            assert_eq!(
                query(Family::V4).read(&whole[..length]),
                expected,
                "{length}"
            );
        }
        assert_eq!(query(Family::V4).read(&whole), found(&[1, 2], 60));
    }

    #[test]
    fn compression_pointers_do_not_loop() {
        let head = [0x12, 0x34, 0x81, 0x80, 0, 1, 0, 1, 0, 0, 0, 0];
        let question = b"\x03www\x07example\x00\x00\x01\x00\x01";
        let rest = b"\x00\x01\x00\x01\x00\x00\x00\x3c\x00\x04\xc0\x00\x02\x01";
        let owner_at = (head.len() + question.len()) as u8;
        let read =
            |owner: &[u8]| query(Family::V4).read(&[&head[..], question, owner, rest].concat());
        assert_eq!(read(&[0xc0, 12]), found(&[1], 60));
        let hostile: [&[u8]; 8] = [
            &[0xc0, owner_at],
            &[0xc0, owner_at + 2],
            &[1, b'x', 0xc0, owner_at],
            &[0xff, 0xff],
            &[0xc0],
            &[0x80, 1],
            &[0x40, 1],
            &[63, b'x'],
        ];
        for owner in hostile {
            assert_eq!(read(owner), Reading::Malformed, "{owner:x?}");
        }
        // A question whose name points at itself, and one that points into the head, where there is none.
        for pointer in [12, 13, 0] {
            let question = [0xc0, pointer, 0, 1, 0, 1];
            assert_eq!(
                query(Family::V4).read(&[&head[..], &question].concat()),
                Reading::Foreign,
                "{pointer}"
            );
        }
        // A CNAME whose target points at its own record.
        let alias = [0xc0, 12, 0, 5, 0, 1, 0, 0, 0, 60, 0, 2, 0xc0, owner_at + 12];
        assert_eq!(
            query(Family::V4).read(&[&head[..], question, &alias].concat()),
            Reading::Malformed
        );
    }

    #[test]
    fn no_byte_makes_it_panic() {
        let whole = bytes(&reply(vec![
            cname(NAME, 60, "b.example"),
            a("b.example", 60, 1),
            aaaa("b.example", 60, 1),
            soa(60, 60),
        ]));
        let mut readings = std::collections::HashSet::new();
        for position in 0..whole.len() {
            for value in 0..=255 {
                let mut message = whole.clone();
                message[position] = value;
                readings.insert(std::mem::discriminant(&query(Family::V4).read(&message)));
            }
        }
        assert!(
            readings.len() >= 6,
            "the bytes changed say different things"
        );
    }

    #[test]
    fn a_segment_is_complete_with_its_last_byte() {
        let received = [&[0, 5], &b"hello, and more"[..]].concat();
        for length in 0..received.len() {
            let expected = (length >= 7).then_some(&b"hello"[..]);
            assert_eq!(first_segment(&received[..length]), expected, "{length}");
        }
        assert_eq!(first_segment(&[0, 0]), Some(&[][..]));
    }
}
