//! The fields that mean something to a proxy, and what all fields of one head say together.
//!
//! One pass over the fields that httparse found: names are told apart by length and first letter, so that a field
//! which means nothing here costs two comparisons. What is left is a few flags; [`super::framing`] judges the body.

use super::framing::Content;
use super::span::{Span, elements, is_token};
use super::{HeadError, Upgrade};
use crate::addr::{Host, parse_port, split_port};
use crate::limits::CONNECTION_OPTIONS_MAX;

/// A field by its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Field {
    Other,
    Accept,
    Connection,
    ContentLength,
    Expect,
    Host,
    KeepAlive,
    MaxForwards,
    ProxyAuthenticate,
    ProxyAuthenticationInfo,
    ProxyAuthorization,
    ProxyConnection,
    Te,
    TransferEncoding,
    Upgrade,
}

/// Some of the fields.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct FieldSet(u16);

/// Fields that are meant for this connection or this proxy alone (RFC 9110 sections 7.6.1 and 11.7, RFC 9112 appendix
/// C.2.2). Transfer-Encoding is one too, but belongs to the framing.
pub(super) const HOP_BY_HOP: FieldSet = FieldSet::of(&[
    Field::Connection,
    Field::KeepAlive,
    Field::ProxyAuthenticate,
    Field::ProxyAuthenticationInfo,
    Field::ProxyAuthorization,
    Field::ProxyConnection,
    Field::Te,
    Field::Upgrade,
]);
/// Fields of a request that may not go on as they are, or not as they are written.
pub(super) const PATCHED_IN_REQUESTS: FieldSet = HOP_BY_HOP.and(FieldSet::of(&[
    Field::ContentLength,
    Field::Host,
    Field::MaxForwards,
    Field::TransferEncoding,
]));
/// Fields of a response of which the same is true.
pub(super) const PATCHED_IN_RESPONSES: FieldSet = HOP_BY_HOP.and(FieldSet::of(&[
    Field::ContentLength,
    Field::TransferEncoding,
]));

/// Fields that an option of Connection may not take away, beside those of the framing: without them the message would
/// be another one, or go another way (RFC 9110 section 7.6.1 forbids to name what is meant for all recipients).
const INDISPENSABLE: [&str; 7] = [
    "cache-control",
    "content-encoding",
    "content-range",
    "content-type",
    "forwarded",
    "via",
    "x-forwarded-for",
];

/// Which of the two messages a head starts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Message {
    Request,
    Response,
}

/// What the options of Connection say.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Options {
    pub(super) close: bool,
    pub(super) keep_alive: bool,
    upgrade: bool,
    /// How many name fields that would go on otherwise.
    pub(super) fields: u8,
}

/// What is kept of the fields.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Known {
    pub(super) seen: FieldSet,
    pub(super) options: Options,
    /// How many lines are in the set of fields that may not go on as they are.
    pub(super) patched_lines: u8,
    upgrade: Upgrade,
}

/// What the fields say: what is kept, and what is judged at once.
pub(super) struct Collected {
    pub(super) known: Known,
    pub(super) content: Content,
    pub(super) proxy_authorization: Option<Span>,
}

impl Field {
    /// The field of that name, in any case.
    pub(super) fn of(name: &[u8]) -> Self {
        let first = name.first().map(u8::to_ascii_lowercase);
        // As they are written nearly always: that is one comparison, another case one for each letter.
        let (known, field): (&[u8], Self) = match (name.len(), first) {
            (2, Some(b't')) => (b"TE", Self::Te),
            (4, Some(b'h')) => (b"Host", Self::Host),
            (6, Some(b'a')) => (b"Accept", Self::Accept),
            (6, Some(b'e')) => (b"Expect", Self::Expect),
            (7, Some(b'u')) => (b"Upgrade", Self::Upgrade),
            (10, Some(b'c')) => (b"Connection", Self::Connection),
            (10, Some(b'k')) => (b"Keep-Alive", Self::KeepAlive),
            (12, Some(b'm')) => (b"Max-Forwards", Self::MaxForwards),
            (14, Some(b'c')) => (b"Content-Length", Self::ContentLength),
            (16, Some(b'p')) => (b"Proxy-Connection", Self::ProxyConnection),
            (17, Some(b't')) => (b"Transfer-Encoding", Self::TransferEncoding),
            (18, Some(b'p')) => (b"Proxy-Authenticate", Self::ProxyAuthenticate),
            (19, Some(b'p')) => (b"Proxy-Authorization", Self::ProxyAuthorization),
            (25, Some(b'p')) => (b"Proxy-Authentication-Info", Self::ProxyAuthenticationInfo),
            _ => return Self::Other,
        };
        if name == known || name.eq_ignore_ascii_case(known) {
            field
        } else {
            Self::Other
        }
    }
}

impl FieldSet {
    pub(super) const fn of(fields: &[Field]) -> Self {
        let (mut set, mut rest) = (0, fields);
        while let [field, others @ ..] = rest {
            set |= 1 << *field as u8;
            rest = others;
        }
        Self(set)
    }

    const fn and(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    pub(super) const fn has(self, field: Field) -> bool {
        self.0 & 1 << field as u8 != 0
    }

    fn insert(&mut self, field: Field) {
        self.0 |= 1 << field as u8;
    }
}

impl Known {
    /// Says whether the connection may be used again (RFC 9112 section 9.3).
    pub(super) fn keeps_alive(&self, is_http11: bool) -> bool {
        !self.options.close && (is_http11 || self.options.keep_alive)
    }

    /// What is asked for, when both Connection and Upgrade ask (RFC 9110 section 7.8).
    pub(super) fn upgrade(&self) -> Upgrade {
        if self.options.upgrade {
            self.upgrade
        } else {
            Upgrade::None
        }
    }
}

impl Collected {
    /// Reads all fields once.
    pub(super) fn from(
        fields: &[httparse::Header<'_>],
        head: &[u8],
        message: Message,
    ) -> Result<Self, HeadError> {
        let mut collected = Self {
            known: Known::default(),
            content: Content::default(),
            proxy_authorization: None,
        };
        let patched = match message {
            Message::Request => PATCHED_IN_REQUESTS,
            Message::Response => PATCHED_IN_RESPONSES,
        };
        for line in fields {
            // httparse takes a bare LF for the end of a line.
            let line_start = Span::within(head, line.name.as_bytes()).start as usize;
            let before = head.get(..line_start).unwrap_or_default();
            if !before.ends_with(b"\r\n") {
                return Err(HeadError::BareLf);
            }
            let field = Field::of(line.name.as_bytes());
            if field != Field::Other {
                collected.take(field, line.value, head, message)?;
                collected.known.seen.insert(field);
                // No more lines than HEAD_FIELDS_MAX, which a byte can count.
                collected.known.patched_lines += u8::from(patched.has(field));
            }
        }
        Ok(collected)
    }

    fn take(
        &mut self,
        field: Field,
        value: &[u8],
        head: &[u8],
        message: Message,
    ) -> Result<(), HeadError> {
        let known = &mut self.known;
        let repeated = known.seen.has(field);
        match field {
            Field::Connection => known.options.take(value, message)?,
            Field::ContentLength => self.content.take_length(value),
            Field::TransferEncoding => self.content.take_coding(value),
            Field::Upgrade => known.upgrade = Upgrade::of(value, repeated),
            _ if message == Message::Response => {}
            Field::Host if repeated => return Err(HeadError::HostRepeated),
            Field::Host if !is_host_value(value) => return Err(HeadError::HostValue),
            Field::ProxyAuthorization if repeated => return Err(HeadError::CredentialsRepeated),
            Field::ProxyAuthorization => {
                self.proxy_authorization = Some(Span::within(head, value));
            }
            _ => {}
        }
        Ok(())
    }
}

impl Options {
    fn take(&mut self, value: &[u8], message: Message) -> Result<(), HeadError> {
        for option in elements(value).filter(|option| !option.is_empty()) {
            if !is_token(option) {
                return Err(HeadError::ConnectionOption);
            }
            match Self::named(option) {
                Named::Close => self.close = true,
                Named::KeepAlive => self.keep_alive = true,
                Named::Upgrade => self.upgrade = true,
                Named::HopByHop => {}
                Named::Field => self.take_field(option, message)?,
            }
        }
        Ok(())
    }

    fn take_field(&mut self, name: &[u8], message: Message) -> Result<(), HeadError> {
        let indispensable = match Field::of(name) {
            // Some content networks name it in their responses; it is one hop's field indeed, and nothing is lost.
            Field::TransferEncoding => message == Message::Request,
            Field::ContentLength | Field::Expect | Field::Host | Field::MaxForwards => true,
            _ => INDISPENSABLE
                .iter()
                .any(|field| name.eq_ignore_ascii_case(field.as_bytes())),
        };
        if indispensable {
            return Err(HeadError::ConnectionField);
        }
        if usize::from(self.fields) == CONNECTION_OPTIONS_MAX {
            return Err(HeadError::TooManyOptions);
        }
        self.fields += 1;
        Ok(())
    }

    fn named(option: &[u8]) -> Named {
        if option.eq_ignore_ascii_case(b"close") {
            return Named::Close;
        }
        match Field::of(option) {
            Field::KeepAlive => Named::KeepAlive,
            Field::Upgrade => Named::Upgrade,
            field if HOP_BY_HOP.has(field) => Named::HopByHop,
            _ => Named::Field,
        }
    }
}

/// What one option of Connection is.
enum Named {
    Close,
    KeepAlive,
    Upgrade,
    /// A field that does not go on anyway.
    HopByHop,
    /// Any other field.
    Field,
}

/// The fields that Connection names and that would go on otherwise.
pub(super) struct NamedFields<'a> {
    names: [&'a [u8]; CONNECTION_OPTIONS_MAX],
    count: usize,
}

impl<'a> NamedFields<'a> {
    /// Collects them from `fields`, if there are any.
    pub(super) fn of(known: &Known, fields: super::Fields<'a>) -> Option<Self> {
        if known.options.fields == 0 {
            return None;
        }
        let mut named = Self {
            names: [&[]; CONNECTION_OPTIONS_MAX],
            count: 0,
        };
        let options = fields
            .filter(|(name, _)| Field::of(name) == Field::Connection)
            .flat_map(|(_, value)| elements(value))
            .filter(|option| !option.is_empty() && matches!(Options::named(option), Named::Field));
        for (name, place) in options.zip(&mut named.names) {
            *place = name;
            named.count += 1;
        }
        Some(named)
    }

    /// The names, with commas between them.
    pub(super) fn list(&self) -> Box<[u8]> {
        let names = self.names.get(..self.count).unwrap_or_default();
        names.join(&b',').into_boxed_slice()
    }

    pub(super) fn has(&self, name: &[u8]) -> bool {
        self.names
            .iter()
            .take(self.count)
            .any(|named| named.eq_ignore_ascii_case(name))
    }
}

/// `uri-host [ ":" port ]` (RFC 9110 section 7.2); empty when the target has no authority, and the port may be empty.
fn is_host_value(value: &[u8]) -> bool {
    let (host, port) = split_port(value);
    let port_is_valid = match port.unwrap_or_default() {
        [] => true,
        port => parse_port(port).is_ok(),
    };
    value.is_empty() || Host::is_valid(host) && port_is_valid
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_told_apart_in_any_case() {
        let names = [
            ("TE", Field::Te),
            ("Host", Field::Host),
            ("Accept", Field::Accept),
            ("Expect", Field::Expect),
            ("Upgrade", Field::Upgrade),
            ("Connection", Field::Connection),
            ("Keep-Alive", Field::KeepAlive),
            ("Max-Forwards", Field::MaxForwards),
            ("Content-Length", Field::ContentLength),
            ("Proxy-Connection", Field::ProxyConnection),
            ("Transfer-Encoding", Field::TransferEncoding),
            ("Proxy-Authenticate", Field::ProxyAuthenticate),
            ("Proxy-Authorization", Field::ProxyAuthorization),
            ("Proxy-Authentication-Info", Field::ProxyAuthenticationInfo),
        ];
        for (name, field) in names {
            for name in [name.to_owned(), name.to_lowercase(), name.to_uppercase()] {
                assert_eq!(Field::of(name.as_bytes()), field, "{name}");
                // Each letter counts, and so does the length.
                for at in 0..name.len() {
                    let mut other = name.clone().into_bytes();
                    other[at] = b'!';
                    assert_eq!(Field::of(&other), Field::Other, "{name}");
                }
                assert_eq!(Field::of(&name.as_bytes()[1..]), Field::Other, "{name}");
                assert_eq!(Field::of(format!("{name}s").as_bytes()), Field::Other);
            }
        }
        assert_eq!(Field::of(b""), Field::Other);
    }

    #[test]
    fn sets_hold_what_they_were_made_of() {
        let set = FieldSet::of(&[Field::Host, Field::Upgrade]);
        assert!(set.has(Field::Host) && set.has(Field::Upgrade));
        assert!(!set.has(Field::Te) && !set.has(Field::Other));
        assert!(PATCHED_IN_REQUESTS.has(Field::Te) && PATCHED_IN_REQUESTS.has(Field::Host));
        assert!(!PATCHED_IN_REQUESTS.has(Field::Expect));
        assert!(!HOP_BY_HOP.has(Field::Accept) && !HOP_BY_HOP.has(Field::Expect));
    }
}
