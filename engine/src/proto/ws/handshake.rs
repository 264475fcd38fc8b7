//! The opening handshake as a proxy between its ends sees it (RFC 6455 section 4).
//!
//! Judges just what decides whether there will be a WebSocket. The version is the origin's affair: it answers 426 and
//! the versions it knows. Subprotocols and extensions are between the ends. `proxy::websocket` calls.

use std::fmt;

use base64::Engine;
use base64::alphabet::STANDARD;
use base64::engine::general_purpose::{GeneralPurpose, PAD};
use sha1::{Digest, Sha1};

/// An opening handshake of a client, as far as its answer depends on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ClientHandshake {
    /// The Sec-WebSocket-Accept that proves that the origin has read the key.
    accept: [u8; ACCEPT_BYTES],
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

impl ClientHandshake {
    /// Reads the fields of a request that asks for a WebSocket.
    pub fn read<'a>(
        fields: impl Iterator<Item = (&'a [u8], &'a [u8])>,
    ) -> Result<Self, HandshakeError> {
        let mut key = None;
        for (name, value) in fields {
            if name.eq_ignore_ascii_case(b"sec-websocket-key") {
                if key.is_some() {
                    return Err(HandshakeError::KeyRepeated);
                }
                key = Some(value);
            }
        }
        let key = key.ok_or(HandshakeError::KeyMissing)?;
        Ok(Self {
            accept: accept(key)?,
        })
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
        assert_eq!(handshake.accept, ACCEPT.as_bytes());
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
        let accepts = [canonical, sloppy].map(|key| read_key(key).unwrap().accept);
        assert_ne!(accepts[0], accepts[1]);
    }
}
