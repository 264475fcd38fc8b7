//! Hosts, authorities and the kinds of addresses, parsed once and never strings again.
//!
//! [`Authority`] is the `host:port` of a CONNECT target, or the `host[:port]` of a URI; [`AddressClass`] says what an address is when a Linux host
//! dials it. Nothing here resolves a name, and nothing decides who may reach what: that is the policy's. Grammars ask
//! for an authority, dialling and policy use it.

#![forbid(unsafe_code)]

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::num::NonZeroU16;

/// Bytes of a name without its trailing dot (RFC 1035 section 2.3.4: 255 on the wire).
const NAME_BYTES_MAX: usize = 253;
/// Bytes of one label of a name (RFC 1035 section 2.3.4).
const LABEL_BYTES_MAX: usize = 63;

/// The host of an authority.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Host {
    /// A name in lower case. A trailing dot (absolute name) is kept: resolving depends on it.
    Name(Box<str>),
    /// An IPv4 address, written as four decimal numbers.
    V4(Ipv4Addr),
    /// An IPv6 address, written in brackets.
    V6(Ipv6Addr),
}

/// A host and a port: the authority-form of a request target (RFC 9112 section 3.2.3).
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Authority {
    /// Where to.
    pub host: Host,
    /// Which port; 0 cannot be dialled and is no authority.
    pub port: NonZeroU16,
}

/// What is wrong with an authority, by the element of its grammar.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AuthorityError {
    /// Nothing before the port.
    HostMissing,
    /// No colon, or nothing behind it: a CONNECT target has no default port.
    PortMissing,
    /// Not a plain decimal number from 1 to 65535: signs, spaces and leading zeros are read differently elsewhere.
    Port,
    /// Credentials before the host (`user:password@host`).
    Userinfo,
    /// A scheme, path, query or fragment around the host.
    NotAuthority,
    /// `%41` and the like: the decoded name would be another one than the name that was judged.
    PercentEncoding,
    /// A byte that is not a letter, digit, hyphen, underscore or dot of ASCII.
    NameByte,
    /// More than 253 bytes.
    NameTooLong,
    /// Two dots in a row, or a dot at the start.
    LabelEmpty,
    /// More than 63 bytes between two dots.
    LabelTooLong,
    /// A host that ends in a number and is not four plain decimal numbers. Resolvers and browsers read `127.1`,
    /// `0x7f.1`, `010.0.0.1` as addresses, rules that look at names do not.
    Ipv4,
    /// What stands in brackets is not an IPv6 address, or a bracket is missing.
    Ipv6,
    /// An IPv6 zone (`fe80::1%eth0`): it names an interface of one machine, so it means nothing, or something else,
    /// on this one; RFC 9110 section 4.2 knows no zone either.
    Ipv6Zone,
}

impl Authority {
    /// Parses `host:port`, strictly: both must be there, and nothing else.
    ///
    /// Names may have underscores and hyphens anywhere, because names in use have them.
    pub fn parse(authority: &[u8]) -> Result<Self, AuthorityError> {
        let (host, port) = split_port(authority);
        let host = Host::parse(host)?;
        let port = parse_port(port.unwrap_or_default())?;
        Ok(Self { host, port })
    }

    /// Parses `host[:port]`, as strictly: only the port may be missing, with its colon.
    pub fn parse_with_default(
        authority: &[u8],
        default_port: NonZeroU16,
    ) -> Result<Self, AuthorityError> {
        let (host, port) = split_port(authority);
        let parsed = Host::parse(host).and_then(|host| {
            let port = port.map_or(Ok(default_port), parse_port)?;
            Ok(Self { host, port })
        });
        parsed.map_err(|error| userinfo_or(error, authority))
    }

    /// Says whether [`Authority::parse_with_default`] would succeed, without keeping anything, and whether there is a
    /// port.
    pub(crate) fn check(authority: &[u8]) -> Result<bool, AuthorityError> {
        let (host, port) = split_port(authority);
        let checked = Form::of(host).and_then(|_| port.map(parse_port).transpose());
        checked
            .map(|port| port.is_some())
            .map_err(|error| userinfo_or(error, authority))
    }
}

impl fmt::Display for Authority {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.host, self.port)
    }
}

impl Host {
    /// Parses a host without a port; an IPv6 address stands in brackets.
    pub fn parse(host: &[u8]) -> Result<Self, AuthorityError> {
        Ok(match Form::of(host)? {
            Form::Name => {
                let name = str::from_utf8(host).map_err(|_| AuthorityError::NameByte)?;
                Self::Name(name.to_ascii_lowercase().into_boxed_str())
            }
            Form::V4(address) => Self::V4(address),
            Form::V6(address) => Self::V6(address),
        })
    }

    /// Says whether [`Host::parse`] would succeed, without keeping anything.
    pub fn is_valid(host: &[u8]) -> bool {
        Form::of(host).is_ok()
    }

    /// The address, when no name has to be resolved.
    pub fn address(&self) -> Option<IpAddr> {
        match self {
            Self::Name(_) => None,
            Self::V4(address) => Some(IpAddr::V4(*address)),
            Self::V6(address) => Some(IpAddr::V6(*address)),
        }
    }
}

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name(name) => f.write_str(name),
            Self::V4(address) => address.fmt(f),
            Self::V6(address) => write!(f, "[{address}]"),
        }
    }
}

impl AuthorityError {
    /// What is wrong, for a person; never contains what the peer sent.
    pub const fn text(self) -> &'static str {
        match self {
            Self::HostMissing => "the host is missing",
            Self::PortMissing => "the port is missing",
            Self::Port => "the port is not a plain decimal number from 1 to 65535",
            Self::Userinfo => "credentials do not belong into the target",
            Self::NotAuthority => "the target is not host:port",
            Self::PercentEncoding => "the host is percent-encoded",
            Self::NameByte => "the host has a byte that no host name has",
            Self::NameTooLong => "the host name is longer than 253 bytes",
            Self::LabelEmpty => "the host name has an empty label",
            Self::LabelTooLong => "the host name has a label longer than 63 bytes",
            Self::Ipv4 => "the host ends in a number but is not a dotted decimal IPv4 address",
            Self::Ipv6 => "the host is not an IPv6 address in brackets",
            Self::Ipv6Zone => "an IPv6 zone means nothing on another machine",
        }
    }
}

impl fmt::Display for AuthorityError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.text())
    }
}

impl std::error::Error for AuthorityError {}

/// Splits a port off: `None` without a colon behind the host. Neither part is checked.
pub(crate) fn split_port(authority: &[u8]) -> (&[u8], Option<&[u8]>) {
    // A colon behind the bracket of an IPv6 address, if there is one.
    let last = authority
        .iter()
        .rposition(|byte| matches!(byte, b':' | b']'));
    match last.and_then(|last| authority.split_at_checked(last)) {
        Some((host, [b':', port @ ..])) => (host, Some(port)),
        _ => (authority, None),
    }
}

/// Userinfo is told as such, whatever its colon was taken for.
#[cold]
fn userinfo_or(error: AuthorityError, authority: &[u8]) -> AuthorityError {
    if authority.contains(&b'@') {
        AuthorityError::Userinfo
    } else {
        error
    }
}

/// A port from 1 to 65535, with nothing but its digits.
pub(crate) fn parse_port(port: &[u8]) -> Result<NonZeroU16, AuthorityError> {
    if port.is_empty() {
        return Err(AuthorityError::PortMissing);
    }
    if port.starts_with(b"0") {
        return Err(AuthorityError::Port);
    }
    let number = decimal(port).and_then(|number| number.try_into().ok());
    number.and_then(NonZeroU16::new).ok_or(AuthorityError::Port)
}

/// Up to five digits and nothing else: the standard library would take a sign too.
fn decimal(digits: &[u8]) -> Option<u32> {
    if digits.is_empty() || digits.len() > 5 {
        return None;
    }
    digits.iter().try_fold(0, |number, byte| {
        byte.is_ascii_digit()
            .then(|| number * 10 + u32::from(byte - b'0'))
    })
}

/// Four decimal numbers without leading zeros, in one pass.
fn parse_v4(text: &[u8]) -> Option<Ipv4Addr> {
    let (mut octets, mut part) = ([0; 4], 0);
    let mut number = None;
    for &byte in text {
        if byte == b'.' {
            *octets.get_mut(part)? = number.take()?;
            part += 1;
            continue;
        }
        let digit = byte.wrapping_sub(b'0');
        number = match number {
            _ if digit > 9 => return None,
            None => Some(digit),
            Some(0) => return None,
            Some(number) => Some(u8::checked_mul(number, 10)?.checked_add(digit)?),
        };
    }
    *octets.get_mut(part)? = number?;
    (part == 3).then(|| octets.into())
}

/// Which of the three a host is, before anything is stored.
enum Form {
    Name,
    V4(Ipv4Addr),
    V6(Ipv6Addr),
}

impl Form {
    fn of(host: &[u8]) -> Result<Self, AuthorityError> {
        if host.is_empty() {
            return Err(AuthorityError::HostMissing);
        }
        if let Some(rest) = host.strip_prefix(b"[") {
            let inner = rest.strip_suffix(b"]").ok_or(AuthorityError::Ipv6)?;
            if inner.contains(&b'%') {
                return Err(AuthorityError::Ipv6Zone);
            }
            let text = str::from_utf8(inner).map_err(|_| AuthorityError::Ipv6)?;
            return Ok(Self::V6(text.parse().map_err(|_| AuthorityError::Ipv6)?));
        }
        if host.first().is_some_and(u8::is_ascii_digit)
            && let Some(address) = parse_v4(host)
        {
            return Ok(Self::V4(address));
        }
        match check_name(host)? {
            LastLabel::Number => Err(AuthorityError::Ipv4),
            LastLabel::Word => Ok(Self::Name),
        }
    }
}

#[derive(PartialEq)]
enum LastLabel {
    Number,
    Word,
}

/// One pass: each byte is looked up, each dot ends a label.
fn check_name(name: &[u8]) -> Result<LastLabel, AuthorityError> {
    let relative = name.strip_suffix(b".").unwrap_or(name);
    if relative.len() > NAME_BYTES_MAX {
        return Err(AuthorityError::NameTooLong);
    }
    let mut label_bytes = 0;
    for &byte in relative {
        if byte == b'.' {
            check_label(label_bytes)?;
            label_bytes = 0;
        } else if IS_LABEL_BYTE[usize::from(byte)] {
            label_bytes += 1;
        } else {
            return Err(bad_byte(name));
        }
    }
    check_label(label_bytes)?;
    let last = relative.get(relative.len() - label_bytes..);
    Ok(if last.is_some_and(is_number) {
        LastLabel::Number
    } else {
        LastLabel::Word
    })
}

fn check_label(bytes: usize) -> Result<(), AuthorityError> {
    match bytes {
        0 => Err(AuthorityError::LabelEmpty),
        1..=LABEL_BYTES_MAX => Ok(()),
        _ => Err(AuthorityError::LabelTooLong),
    }
}

/// Letters, digits, hyphen, underscore.
static IS_LABEL_BYTE: [bool; 256] = {
    let mut table = [false; 256];
    let mut byte = 0;
    while byte < table.len() {
        table[byte] = (byte as u8).is_ascii_alphanumeric() || matches!(byte as u8, b'-' | b'_');
        byte += 1;
    }
    table
};

/// The "ends in a number" rule of the WHATWG URL standard: decimal digits, or `0x` and any hexadecimal digits.
fn is_number(label: &[u8]) -> bool {
    match label {
        [b'0', b'x' | b'X', digits @ ..] => digits.iter().all(u8::is_ascii_hexdigit),
        digits => digits.iter().all(u8::is_ascii_digit),
    }
}

#[cold]
fn bad_byte(name: &[u8]) -> AuthorityError {
    let has = |bytes: &[u8]| name.iter().any(|byte| bytes.contains(byte));
    if has(b"@") {
        AuthorityError::Userinfo
    } else if has(b"/\\?#") {
        AuthorityError::NotAuthority
    } else if has(b"%") {
        AuthorityError::PercentEncoding
    } else if has(b"[]") {
        AuthorityError::Ipv6
    } else {
        AuthorityError::NameByte
    }
}

/// What an address is to the host that dials it. An address that carries another one is what the other one is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AddressClass {
    /// This machine: 127.0.0.0/8 and `::1`, and what Linux takes for them (0.0.0.0/8, `::`).
    Loopback,
    /// This link: 169.254.0.0/16 and fe80::/10, where clouds and hypervisors keep their metadata services.
    LinkLocal,
    /// A cloud's metadata or host service outside the link-local ranges.
    Metadata,
    /// Multicast: no TCP connection can lead there.
    Multicast,
    /// The limited broadcast address.
    Broadcast,
    /// 64:ff9b:1::/48 (RFC 8215): carries an IPv4 address at a place that only the local translator knows, so what it
    /// leads to cannot be told.
    LocalTranslation,
    /// Every other unicast address, private ranges included.
    Ordinary,
}

impl AddressClass {
    /// Classifies the very address that is about to be dialled.
    pub fn of(address: IpAddr) -> Self {
        match address {
            IpAddr::V4(address) => Self::of_v4(address),
            IpAddr::V6(address) => Self::of_v6(address),
        }
    }

    fn of_v4(address: Ipv4Addr) -> Self {
        match address.octets() {
            [0 | 127, ..] => Self::Loopback,
            [169, 254, ..] => Self::LinkLocal,
            // Alibaba Cloud; Azure's WireServer; Oracle Cloud Classic.
            [100, 100, 100, 200] | [168, 63, 129, 16] | [192, 0, 0, 192] => Self::Metadata,
            [224..=239, ..] => Self::Multicast,
            [255, 255, 255, 255] => Self::Broadcast,
            _ => Self::Ordinary,
        }
    }

    fn of_v6(address: Ipv6Addr) -> Self {
        if let Some(carried) = carried_v4(address) {
            return Self::of_v4(carried);
        }
        match address.segments() {
            [0, 0, 0, 0, 0, 0, 0, 1] => Self::Loopback,
            [0xfe80..=0xfebf, ..] => Self::LinkLocal,
            [0xff00..=0xffff, ..] => Self::Multicast,
            [0x64, 0xff9b, 1, ..] => Self::LocalTranslation,
            // Amazon's service block; Google Cloud; Oracle Cloud; Scaleway; Akamai; Alibaba Cloud.
            [0xfd00, 0xec2, ..]
            | [0xfd20, 0xce, 0, 0, 0, 0, 0, 0x254]
            | [0xfd00, 0xc1, 0, 0, 0, 0, 0xa9fe, 0xa9fe]
            | [0xfd00, 0x42, 0, 0, 0, 0, 0, 0x42]
            | [0xfd00, 0xa9fe, 0xa9fe, 0, 0, 0, 0, 1]
            | [0xfd00, 0x100, 0, 0, 0, 0, 0x100, 0x200] => Self::Metadata,
            _ => Self::Ordinary,
        }
    }
}

/// The IPv4 address that an IPv6 address leads to by its form alone.
pub(crate) fn carried_v4(address: Ipv6Addr) -> Option<Ipv4Addr> {
    let (high, low) = match address.segments() {
        [0, 0, 0, 0, 0, 0, 0, 1] => return None,
        // IPv4-compatible (RFC 4291 section 2.5.5.1); `::` comes out as 0.0.0.0, which is how Linux dials it.
        [0, 0, 0, 0, 0, 0, high, low]
        // IPv4-mapped (RFC 4291 section 2.5.5.2).
        | [0, 0, 0, 0, 0, 0xffff, high, low]
        // IPv4-translated (RFC 2765 section 2.1).
        | [0, 0, 0, 0, 0xffff, 0, high, low]
        // NAT64, well-known prefix (RFC 6052 section 2.1).
        | [0x64, 0xff9b, 0, 0, 0, 0, high, low]
        // 6to4 (RFC 3056 section 2).
        | [0x2002, high, low, ..] => (high, low),
        _ => return None,
    };
    let ([a, b], [c, d]) = (high.to_be_bytes(), low.to_be_bytes());
    Some(Ipv4Addr::new(a, b, c, d))
}

#[cfg(test)]
mod tests {
    use super::AddressClass::*;
    use super::AuthorityError::*;
    use super::*;

    fn parse(authority: &str) -> Result<Authority, AuthorityError> {
        Authority::parse(authority.as_bytes())
    }

    #[test]
    fn numbers_are_read_as_the_standard_library_reads_them() {
        use rand::rngs::StdRng;
        use rand::seq::IndexedRandom;
        use rand::{RngExt, SeedableRng};
        let mut random = StdRng::seed_from_u64(4);
        let mut addresses = 0;
        for _ in 0..200_000 {
            let length = random.random_range(0..4);
            let mut digits = || -> String {
                let count = [1, 1, 1, 2, 3, 3, 0, 4];
                let count = *count.choose(&mut random).expect("some");
                let digit = || *b"0012567+".choose(&mut random).expect("some") as char;
                std::iter::repeat_with(digit).take(count).collect()
            };
            let parts: Vec<String> = (0..=length).map(|_| digits()).collect();
            let text = parts.join(".");
            let expected = text.parse().ok();
            addresses += u32::from(expected.is_some());
            assert_eq!(parse_v4(text.as_bytes()), expected, "{text}");
            let digits = digits();
            let plain = !digits.starts_with(['0', '+']) && !digits.is_empty();
            let expected = digits.parse().ok().filter(|_| plain);
            assert_eq!(parse_port(digits.as_bytes()).ok(), expected, "{digits}");
        }
        assert!(addresses > 1_000, "{addresses}");
        for port in ["65535", "65536", "99999", "100000", "4294967297"] {
            assert_eq!(
                parse_port(port.as_bytes()).ok(),
                port.parse().ok(),
                "{port}"
            );
        }
    }

    #[test]
    fn authorities_round_trip() {
        let long_label = "a".repeat(LABEL_BYTES_MAX);
        let long_name = format!("{long_label}.{long_label}.{long_label}.{}", "a".repeat(61));
        assert_eq!(long_name.len(), NAME_BYTES_MAX);
        for (written, shown) in [
            ("example.com:443", "example.com:443"),
            ("Example.COM:443", "example.com:443"),
            ("localhost:1", "localhost:1"),
            ("h:65535", "h:65535"),
            ("absolute.example.:80", "absolute.example.:80"),
            (
                "_dmarc.under_score.example:80",
                "_dmarc.under_score.example:80",
            ),
            ("-r3---sn-.example:80", "-r3---sn-.example:80"),
            ("xn--bcher-kva.example:443", "xn--bcher-kva.example:443"),
            ("1.2.3.4.example:80", "1.2.3.4.example:80"),
            ("3com:80", "3com:80"),
            ("0xg:80", "0xg:80"),
            ("dead.beef:80", "dead.beef:80"),
            ("192.0.2.1:80", "192.0.2.1:80"),
            ("255.255.255.255:80", "255.255.255.255:80"),
            ("[::]:80", "[::]:80"),
            ("[2001:DB8::1]:443", "[2001:db8::1]:443"),
            ("[::ffff:192.0.2.1]:443", "[::ffff:192.0.2.1]:443"),
            (&format!("{long_name}:80"), &format!("{long_name}:80")),
            (&format!("{long_name}.:80"), &format!("{long_name}.:80")),
        ] {
            let authority = parse(written).unwrap_or_else(|error| panic!("{written}: {error}"));
            assert_eq!(authority.to_string(), *shown, "{written}");
            assert_eq!(parse(&authority.to_string()), Ok(authority), "{written}");
        }
    }

    #[test]
    fn hosts_are_told_apart() {
        let host = |text: &str| Host::parse(text.as_bytes());
        assert_eq!(host("A.b"), Ok(Host::Name("a.b".into())));
        assert_eq!(host("127.0.0.1"), Ok(Host::V4(Ipv4Addr::LOCALHOST)));
        assert_eq!(host("[::1]"), Ok(Host::V6(Ipv6Addr::LOCALHOST)));
        assert_eq!(host("a.b").map(|host| host.address()), Ok(None));
        assert_eq!(
            host("[::1]").map(|host| host.address()),
            Ok(Some(IpAddr::V6(Ipv6Addr::LOCALHOST)))
        );
        assert!(Host::is_valid(b"a.b") && !Host::is_valid(b"a..b"));
    }

    const NO_AUTHORITIES: &[(&str, AuthorityError)] = &[
        ("", HostMissing),
        (":", HostMissing),
        (":80", HostMissing),
        ("host", PortMissing),
        ("host:", PortMissing),
        ("[::1]", PortMissing),
        ("[::1]:", PortMissing),
        ("h:0", Port),
        ("h:00", Port),
        ("h:65536", Port),
        ("h:99999999999999999999999", Port),
        ("h:+80", Port),
        ("h:-80", Port),
        ("h:080", Port),
        ("h:8 0", Port),
        ("h: 80", Port),
        ("h:80 ", Port),
        ("h:0x50", Port),
        ("h:http", Port),
        ("h:80/", Port),
        ("h:80/path", Port),
        ("h:80?query", Port),
        ("h:80#fragment", Port),
        ("h:80\0", Port),
        ("h:\u{664}\u{664}", Port),
        ("http://h", Port),
        ("u:p@h:80", Userinfo),
        ("u@h:80", Userinfo),
        ("@h:80", Userinfo),
        ("http://u@h:80", Userinfo),
        ("http://h:80", NotAuthority),
        ("//h:80", NotAuthority),
        ("h/x:80", NotAuthority),
        ("h\\x:80", NotAuthority),
        ("h?:80", NotAuthority),
        ("h#:80", NotAuthority),
        ("%6c:80", PercentEncoding),
        ("h%00.example:80", PercentEncoding),
        ("h:80:80", NameByte),
        ("::1:80", NameByte),
        ("a b:80", NameByte),
        (" h:80", NameByte),
        ("h\0:80", NameByte),
        ("h\r\nX:80", NameByte),
        ("h\t:80", NameByte),
        ("h\x7f:80", NameByte),
        ("b\u{fc}cher.example:80", NameByte),
        ("\u{ff11}27.0.0.1:80", NameByte),
        ("a,b:80", NameByte),
        ("*:80", NameByte),
        ("a;b:80", NameByte),
        ("a=b:80", NameByte),
        ("~h:80", NameByte),
        (".:80", LabelEmpty),
        ("..:80", LabelEmpty),
        (".h:80", LabelEmpty),
        ("a..b:80", LabelEmpty),
        ("h..:80", LabelEmpty),
        ("127.1:80", Ipv4),
        ("2130706433:80", Ipv4),
        ("0:80", Ipv4),
        ("0x7f.1:80", Ipv4),
        ("0x7f000001:80", Ipv4),
        ("0X7F000001:80", Ipv4),
        ("127.0x1:80", Ipv4),
        ("h.0x:80", Ipv4),
        ("1.2.3.4.5:80", Ipv4),
        ("1.2.3.256:80", Ipv4),
        ("256.1.1.1:80", Ipv4),
        ("010.0.0.1:80", Ipv4),
        ("127.0.0.01:80", Ipv4),
        ("127.0.0.1.:80", Ipv4),
        ("example.1:80", Ipv4),
        ("[192.0.2.1]:80", Ipv6),
        ("[h]:80", Ipv6),
        ("[]:80", Ipv6),
        ("[::1:80", Ipv6),
        ("::1]:80", Ipv6),
        ("[::1]x:80", Ipv6),
        ("x[::1]:80", Ipv6),
        ("[[::1]]:80", Ipv6),
        ("[::1 ]:80", Ipv6),
        ("[1::2::3]:80", Ipv6),
        ("[::12345]:80", Ipv6),
        ("[::ffff:127.1]:80", Ipv6),
        ("[v1.x]:80", Ipv6),
        ("[fe80::1%eth0]:80", Ipv6Zone),
        ("[fe80::1%25eth0]:80", Ipv6Zone),
    ];

    #[test]
    fn what_is_not_host_and_port_is_refused() {
        for (written, error) in NO_AUTHORITIES {
            assert_eq!(parse(written), Err(*error), "{written:?}");
        }
        assert_eq!(Authority::parse(b"\xff:80"), Err(NameByte));
    }

    #[test]
    fn a_port_may_be_missing_where_a_default_is_known() {
        let default = NonZeroU16::new(80).unwrap();
        let parse = |text: &str| Authority::parse_with_default(text.as_bytes(), default);
        for (written, shown, port_given) in [
            ("h", "h:80", false),
            ("H.Example.", "h.example.:80", false),
            ("h:80", "h:80", true),
            ("h:81", "h:81", true),
            ("192.0.2.1", "192.0.2.1:80", false),
            ("[2001:db8::1]", "[2001:db8::1]:80", false),
            ("[2001:db8::1]:81", "[2001:db8::1]:81", true),
        ] {
            assert_eq!(parse(written).unwrap().to_string(), shown, "{written}");
            assert_eq!(Authority::check(written.as_bytes()), Ok(port_given));
        }
        for (written, error) in [
            ("", HostMissing),
            (":80", HostMissing),
            ("h:", PortMissing),
            ("[::1]:", PortMissing),
            ("h:0", Port),
            ("h:080", Port),
            ("h:65536", Port),
            ("u@h", Userinfo),
            ("u:p@h", Userinfo),
            ("u:1@h:80", Userinfo),
            ("@", Userinfo),
            ("h/x", NotAuthority),
            ("::1", NameByte),
            ("127.1", Ipv4),
            ("[::1", Ipv6),
        ] {
            assert_eq!(parse(written), Err(error), "{written:?}");
            assert_eq!(Authority::check(written.as_bytes()), Err(error));
        }
        // What CONNECT refuses is refused here as well, but for the missing port.
        for (written, error) in NO_AUTHORITIES {
            let parsed = parse(written);
            assert_eq!(
                parsed.is_ok(),
                *error == PortMissing && !written.ends_with(':'),
                "{written:?}: {parsed:?}"
            );
            let checked = Authority::check(written.as_bytes());
            assert_eq!(checked.err(), parsed.err(), "{written:?}");
        }
    }

    #[test]
    fn names_that_are_too_long_are_refused() {
        let long_label = "a".repeat(LABEL_BYTES_MAX + 1);
        let long_name = "ab.".repeat(84) + "ab";
        assert_eq!(long_name.len(), NAME_BYTES_MAX + 1);
        for (written, error) in [
            (&format!("{long_label}:80"), LabelTooLong),
            (&format!("x.{long_label}.y:80"), LabelTooLong),
            (&format!("{long_name}:80"), NameTooLong),
            (&format!("{long_name}.:80"), NameTooLong),
        ] {
            assert_eq!(parse(written), Err(error), "{written:?}");
        }
    }

    #[test]
    fn every_byte_outside_names_is_refused() {
        for byte in 0..=u8::MAX {
            let allowed = byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
            assert_eq!(Host::is_valid(&[b'a', byte, b'a']), allowed, "{byte:#x}");
        }
    }

    #[test]
    fn errors_speak_to_people() {
        let error = AuthorityError::Port;
        assert_eq!(
            error.to_string(),
            "the port is not a plain decimal number from 1 to 65535"
        );
    }

    const CLASSES: &[(&str, AddressClass)] = &[
        ("127.0.0.1", Loopback),
        ("127.255.255.254", Loopback),
        ("0.0.0.0", Loopback),
        ("0.1.2.3", Loopback),
        ("::1", Loopback),
        ("::", Loopback),
        ("::127.0.0.1", Loopback),
        ("::0.0.0.2", Loopback),
        ("::ffff:127.0.0.1", Loopback),
        ("::ffff:0.0.0.0", Loopback),
        ("::ffff:0:127.0.0.1", Loopback),
        ("64:ff9b::127.0.0.1", Loopback),
        ("64:ff9b::", Loopback),
        ("2002:7f00:1::", Loopback),
        ("2002:7f00:1:5:6:7:8:9", Loopback),
        ("169.254.169.254", LinkLocal),
        ("169.254.0.0", LinkLocal),
        ("fe80::1", LinkLocal),
        ("febf::1", LinkLocal),
        ("::ffff:169.254.169.254", LinkLocal),
        ("::169.254.169.254", LinkLocal),
        ("64:ff9b::a9fe:a9fe", LinkLocal),
        ("2002:a9fe:a9fe::1", LinkLocal),
        ("100.100.100.200", Metadata),
        ("168.63.129.16", Metadata),
        ("192.0.0.192", Metadata),
        ("::ffff:100.100.100.200", Metadata),
        ("64:ff9b::100.100.100.200", Metadata),
        ("fd00:ec2::254", Metadata),
        ("fd00:ec2::23", Metadata),
        ("fd20:ce::254", Metadata),
        ("fd00:c1::a9fe:a9fe", Metadata),
        ("fd00:42::42", Metadata),
        ("fd00:a9fe:a9fe::1", Metadata),
        ("fd00:100::100:200", Metadata),
        ("224.0.0.1", Multicast),
        ("239.255.255.255", Multicast),
        ("ff02::1", Multicast),
        ("::ffff:224.0.0.1", Multicast),
        ("255.255.255.255", Broadcast),
        ("::ffff:255.255.255.255", Broadcast),
        ("64:ff9b:1::1", LocalTranslation),
        ("64:ff9b:1:ffff::127.0.0.1", LocalTranslation),
        ("1.1.1.1", Ordinary),
        ("10.0.0.1", Ordinary),
        ("192.168.1.1", Ordinary),
        ("126.255.255.255", Ordinary),
        ("128.0.0.1", Ordinary),
        ("169.253.255.255", Ordinary),
        ("169.255.0.0", Ordinary),
        ("223.255.255.255", Ordinary),
        ("240.0.0.1", Ordinary),
        ("255.255.255.254", Ordinary),
        ("100.100.100.201", Ordinary),
        ("2001:db8::1", Ordinary),
        ("2001:db8::7f00:1", Ordinary),
        ("fe7f::1", Ordinary),
        ("fec0::1", Ordinary),
        ("feff::1", Ordinary),
        ("fd00::1", Ordinary),
        ("fd20:ce::255", Ordinary),
        ("::1:0:0", Ordinary),
        ("::2:0:0:1", Ordinary),
        ("::ffff:192.0.2.1", Ordinary),
        ("::192.0.2.1", Ordinary),
        ("64:ff9b::192.0.2.1", Ordinary),
        ("64:ff9b:2::1", Ordinary),
        ("2002:c000:201::", Ordinary),
        ("2003:7f00:1::", Ordinary),
    ];

    #[test]
    fn addresses_are_what_they_lead_to() {
        for (address, class) in CLASSES {
            let parsed: IpAddr = address.parse().unwrap();
            assert_eq!(AddressClass::of(parsed), *class, "{address}");
        }
    }
}
