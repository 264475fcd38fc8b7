//! The opening handshake as a proxy between its ends sees it (RFC 6455 section 4).
//!
//! Judges just what decides whether there will be a WebSocket. The version is the origin's affair: it answers 426 and
//! the versions it knows. Subprotocols and extensions are between the ends. `proxy::websocket` calls.

use std::fmt;

use base64::Engine;
use base64::alphabet::STANDARD;
use base64::engine::general_purpose::{GeneralPurpose, PAD};
use sha1::{Digest, Sha1};

use crate::proto::http1::Version;

/// An opening handshake of a client, as far as its answer depends on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ClientHandshake {
    accept: [u8; ACCEPT_BYTES],
    version_is_13: bool,
}

/// Why an opening handshake is refused: 400.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HandshakeError {
    /// No Sec-WebSocket-Key.
    KeyMissing,
    /// More than one Sec-WebSocket-Key.
    KeyRepeated,
    /// A Sec-WebSocket-Key that is not 16 bytes in base64.
    KeyMalformed,
}

/// Says whether a request asks for a WebSocket: GET, HTTP/1.1, Upgrade with `websocket`, Connection with `upgrade`.
///
/// One that does not is an ordinary request, whatever its other fields say: Upgrade means nothing in HTTP/1.0 or
/// without Connection (RFC 9110 section 7.8).
pub fn asks_for_websocket<'a>(
    method: &[u8],
    version: Version,
    fields: impl Iterator<Item = (&'a [u8], &'a [u8])>,
) -> bool {
    let (mut upgrade, mut connection) = (false, false);
    for (name, value) in fields {
        upgrade |= name.eq_ignore_ascii_case(UPGRADE) && lists(value, WEBSOCKET);
        connection |= name.eq_ignore_ascii_case(CONNECTION) && lists(value, UPGRADE);
    }
    method == b"GET" && version == Version::Http11 && upgrade && connection
}

impl ClientHandshake {
    /// Reads the fields of a request that [asks for a WebSocket](asks_for_websocket).
    pub fn read<'a>(
        fields: impl Iterator<Item = (&'a [u8], &'a [u8])>,
    ) -> Result<Self, HandshakeError> {
        let mut key = None;
        let (mut versions, mut version_is_13) = (0_u32, true);
        for (name, value) in fields {
            if name.eq_ignore_ascii_case(b"sec-websocket-key") {
                if key.is_some() {
                    return Err(HandshakeError::KeyRepeated);
                }
                key = Some(value);
            } else if name.eq_ignore_ascii_case(b"sec-websocket-version") {
                versions = versions.saturating_add(1);
                version_is_13 &= value == b"13";
            }
        }
        let key = key.ok_or(HandshakeError::KeyMissing)?;
        Ok(Self {
            accept: accept(key)?,
            version_is_13: version_is_13 && versions == 1,
        })
    }

    /// The Sec-WebSocket-Accept that proves that the origin has read the key.
    pub fn accept(&self) -> &[u8; ACCEPT_BYTES] {
        &self.accept
    }

    /// Says whether the client speaks the version of RFC 6455. The origin refuses any other.
    pub fn version_is_13(&self) -> bool {
        self.version_is_13
    }

    /// Says whether the fields of a 101 make this a WebSocket (section 4.1): Upgrade is `websocket`, Connection has
    /// `upgrade`, and there is one Sec-WebSocket-Accept, which is right.
    pub fn matches<'a>(&self, fields: impl Iterator<Item = (&'a [u8], &'a [u8])>) -> bool {
        let (mut upgrades, mut accepts) = (Matches::None, Matches::None);
        let mut connection = false;
        for (name, value) in fields {
            if name.eq_ignore_ascii_case(UPGRADE) {
                upgrades = upgrades.and(value.eq_ignore_ascii_case(WEBSOCKET));
            } else if name.eq_ignore_ascii_case(b"sec-websocket-accept") {
                accepts = accepts.and(value == self.accept);
            } else if name.eq_ignore_ascii_case(CONNECTION) {
                connection |= lists(value, UPGRADE);
            }
        }
        upgrades == Matches::Once && accepts == Matches::Once && connection
    }
}

impl HandshakeError {
    /// What is wrong, for a person; never contains what the peer sent.
    pub const fn text(self) -> &'static str {
        match self {
            Self::KeyMissing => "Sec-WebSocket-Key is missing",
            Self::KeyRepeated => "Sec-WebSocket-Key is given more than once",
            Self::KeyMalformed => "Sec-WebSocket-Key is not 16 bytes in base64",
        }
    }
}

impl fmt::Display for HandshakeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.text())
    }
}

impl std::error::Error for HandshakeError {}

const UPGRADE: &[u8] = b"upgrade";
const CONNECTION: &[u8] = b"connection";
const WEBSOCKET: &[u8] = b"websocket";

/// A SHA-1 in base64.
const ACCEPT_BYTES: usize = 28;
/// 16 bytes in base64.
const KEY_BYTES: usize = 24;
/// What is hashed behind the key (section 1.3).
const ACCEPT_GUID: &[u8] = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11";

/// The alphabet and the padding of RFC 4648 section 4. The four bits that the last character of a key has too many may
/// be anything: clients that draw characters instead of bytes work with origins, and what is hashed is the text.
const BASE64: GeneralPurpose =
    GeneralPurpose::new(&STANDARD, PAD.with_decode_allow_trailing_bits(true));

/// How often a field was there, and whether it was right.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Matches {
    None,
    Once,
    Never,
}

impl Matches {
    fn and(self, right: bool) -> Self {
        match self {
            Self::None if right => Self::Once,
            _ => Self::Never,
        }
    }
}

/// The Sec-WebSocket-Accept for a key (section 4.2.2).
fn accept(key: &[u8]) -> Result<[u8; ACCEPT_BYTES], HandshakeError> {
    let mut nonce = [0; KEY_BYTES / 4 * 3];
    // With its padding, which is not optional, only a text of 24 characters is 16 bytes.
    if BASE64.decode_slice(key, &mut nonce) != Ok(16) {
        return Err(HandshakeError::KeyMalformed);
    }
    let digest = Sha1::new()
        .chain_update(key)
        .chain_update(ACCEPT_GUID)
        .finalize();
    let mut accept = [0; ACCEPT_BYTES];
    match BASE64.encode_slice(digest, &mut accept) {
        Ok(ACCEPT_BYTES) => Ok(accept),
        // 20 bytes always are 28 characters.
        _ => Err(HandshakeError::KeyMalformed),
    }
}

/// Says whether a comma-separated list has `token`, in any case (RFC 9110 section 5.6.1).
fn lists(value: &[u8], token: &[u8]) -> bool {
    value
        .split(|byte| *byte == b',')
        .any(|element| element.trim_ascii().eq_ignore_ascii_case(token))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The key of section 1.3, and its answer.
    const KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";
    const ACCEPT: &str = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=";

    type Field<'a> = (&'a str, &'a str);

    fn fields<'a>(fields: &'a [Field<'a>]) -> impl Iterator<Item = (&'a [u8], &'a [u8])> {
        fields
            .iter()
            .map(|(name, value)| (name.as_bytes(), value.as_bytes()))
    }

    fn read(request: &[Field<'_>]) -> Result<ClientHandshake, HandshakeError> {
        ClientHandshake::read(fields(request))
    }

    fn read_key(key: &str) -> Result<ClientHandshake, HandshakeError> {
        read(&[("Sec-WebSocket-Key", key)])
    }

    #[test]
    fn the_example_of_the_rfc_has_its_accept() {
        let handshake = read(&[
            ("Host", "server.example.com"),
            ("Upgrade", "websocket"),
            ("Connection", "Upgrade"),
            ("Sec-WebSocket-Key", KEY),
            ("Origin", "http://example.com"),
            ("Sec-WebSocket-Protocol", "chat, superchat"),
            ("Sec-WebSocket-Version", "13"),
        ])
        .unwrap();
        assert_eq!(handshake.accept(), ACCEPT.as_bytes());
        assert!(handshake.version_is_13());
        assert!(handshake.matches(fields(&[
            ("Upgrade", "websocket"),
            ("Connection", "Upgrade"),
            ("Sec-WebSocket-Accept", ACCEPT),
            ("Sec-WebSocket-Protocol", "chat"),
        ])));
    }

    #[test]
    fn a_key_is_16_bytes_in_base64_and_given_once() {
        for key in [
            "AAAAAAAAAAAAAAAAAAAAAA==",
            "/////////////////////w==",
            "+/+/+/+/+/+/+/+/+/+/+A==",
            // Bits behind the sixteenth byte, as in a key of characters drawn by chance.
            "ABCDEFGHIJKLMNOPQRSTUV==",
        ] {
            assert!(read_key(key).is_ok(), "{key}");
        }
        for key in [
            "",
            "dGhlIHNhbXBsZSBub25jZQ",
            "dGhlIHNhbXBsZSBub25jZQ=",
            "dGhlIHNhbXBsZSBub25jZQ===",
            "dGhlIHNhbXBsZSBub25j",
            "dGhlIHNhbXBsZSBub25jZWU=",
            "dGhlIHNhbXBsZSBub25jZWVl",
            "dGhlIHNhbXBsZSBub25jZWVlZWVl",
            "dGhlIHNhbXBsZSBub25jZ===",
            "dGhlIHNhbXBsZSBub25j=Q==",
            "dGhlIHNhbXBsZS-ub25jZQ==",
            "dGhlIHNhbXBsZS_ub25jZQ==",
            "dGhlIHNhbXBsZS ub25jZQ==",
            "dGhlIHNhbXBsZS\u{fc}b25jZQ==",
            " dGhlIHNhbXBsZSBub25jZQ==",
        ] {
            assert_eq!(read_key(key), Err(HandshakeError::KeyMalformed), "{key}");
        }
        assert_eq!(
            read(&[("Sec-WebSocket-Version", "13")]),
            Err(HandshakeError::KeyMissing)
        );
        for second in [KEY, "other"] {
            assert_eq!(
                read(&[("sec-websocket-key", KEY), ("SEC-WEBSOCKET-KEY", second)]),
                Err(HandshakeError::KeyRepeated)
            );
        }
    }

    #[test]
    fn the_version_is_noted_and_no_error() {
        let version = "Sec-WebSocket-Version";
        for (versions, is_13) in [
            (vec!["13"], true),
            (vec![], false),
            (vec!["8"], false),
            (vec!["013"], false),
            (vec!["13, 8"], false),
            (vec!["13", "13"], false),
            (vec!["13", "8"], false),
            (vec!["8", "13"], false),
        ] {
            let mut request: Vec<Field<'_>> =
                versions.iter().map(|value| (version, *value)).collect();
            request.push(("Sec-WebSocket-Key", KEY));
            assert_eq!(
                read(&request).unwrap().version_is_13(),
                is_13,
                "{versions:?}"
            );
        }
    }

    #[test]
    fn what_asks_for_a_websocket_is_told_from_what_does_not() {
        let asks = |method: &str, version: Version, request: &[Field<'_>]| {
            asks_for_websocket(method.as_bytes(), version, fields(request))
        };
        for request in [
            [("Upgrade", "websocket"), ("Connection", "Upgrade")],
            [
                ("UPGRADE", "WebSocket"),
                ("connection", "keep-alive, upgrade"),
            ],
            [
                ("Upgrade", "h2c,\twebsocket ,"),
                ("Connection", "UPGRADE,close"),
            ],
        ] {
            assert!(asks("GET", Version::Http11, &request), "{request:?}");
            assert!(!asks("GET", Version::Http10, &request), "{request:?}");
            assert!(!asks("get", Version::Http11, &request), "{request:?}");
            assert!(!asks("POST", Version::Http11, &request), "{request:?}");
        }
        for request in [
            &[] as &[Field<'_>],
            &[("Upgrade", "websocket")],
            &[("Connection", "upgrade")],
            &[("Upgrade", "websocket"), ("Connection", "websocket")],
            &[("Upgrade", "websockets"), ("Connection", "upgrade")],
            &[("Upgrade", "web socket"), ("Connection", "upgrade")],
            &[("Upgrade", "websocket"), ("Connection", "upgrade-insecure")],
            &[("Upgrade", "websocket"), ("Connections", "upgrade")],
            &[("Upgraded", "websocket"), ("Connection", "upgrade")],
        ] {
            assert!(!asks("GET", Version::Http11, request), "{request:?}");
        }
        assert!(asks(
            "GET",
            Version::Http11,
            &[
                ("Connection", "keep-alive"),
                ("Upgrade", "websocket"),
                ("Connection", "upgrade"),
                ("Upgrade", "h2c"),
                ("Connection", "x")
            ]
        ));
    }

    #[test]
    fn only_a_right_101_makes_a_websocket() {
        let handshake = read_key(KEY).unwrap();
        let (upgrade, connection) = (("Upgrade", "websocket"), ("Connection", "Upgrade"));
        let accept = ("Sec-WebSocket-Accept", ACCEPT);
        for response in [
            [upgrade, connection, accept],
            [
                accept,
                ("connection", "x, UPGRADE"),
                ("upgrade", "WebSocket"),
            ],
        ] {
            assert!(handshake.matches(fields(&response)), "{response:?}");
        }
        let lists = [connection, ("Connection", "close"), upgrade, accept];
        assert!(handshake.matches(fields(&lists)), "a list in two fields");
        let other = ("Sec-WebSocket-Accept", "s3pPLMBiTxaQ9kYGzzhZRbK+xOp=");
        for response in [
            &[] as &[Field<'_>],
            &[connection, accept],
            &[upgrade, accept],
            &[upgrade, connection],
            &[upgrade, connection, other],
            &[upgrade, connection, accept, accept],
            &[upgrade, connection, accept, other],
            &[upgrade, connection, other, accept],
            &[upgrade, upgrade, connection, accept],
            &[("Upgrade", "h2c, websocket"), connection, accept],
            &[("Upgrade", "websocket/13"), connection, accept],
            &[("Upgrade", ""), connection, accept],
            &[upgrade, ("Connection", "close"), accept],
            &[upgrade, connection, ("Sec-WebSocket-Accept", "")],
            &[
                upgrade,
                connection,
                ("Sec-WebSocket-Accept", "S3PPLMBITXAQ9KYGZZHZRBK+XOO="),
            ],
            &[upgrade, connection, ("Sec-WebSocket-Key", ACCEPT)],
        ] {
            assert!(!handshake.matches(fields(response)), "{response:?}");
        }
    }

    #[test]
    fn the_accept_is_for_the_key_as_it_was_written() {
        // Both decode to the same bytes.
        let (canonical, sloppy) = ("AAAAAAAAAAAAAAAAAAAAAA==", "AAAAAAAAAAAAAAAAAAAAAB==");
        let accepts = [canonical, sloppy].map(|key| *read_key(key).unwrap().accept());
        assert_ne!(accepts[0], accepts[1]);
    }
}
