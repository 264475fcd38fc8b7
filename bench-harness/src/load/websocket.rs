//! WebSocket frames (RFC 6455 section 5.2) as the load needs them: each message is one binary frame, each ping one ping
//! frame, masked from the client, plain from the origin. Anything else is an error, so that a relay that takes messages apart is seen.

use crate::load::error::LoadError;

/// FIN and the opcode of a binary message.
const BINARY: u8 = 0x82;
/// FIN and the opcodes of ping and pong (section 5.5).
const PING: u8 = 0x89;
const PONG: u8 = 0x8a;
const MASKED: u8 = 0x80;
const MASK_BYTES: usize = 4;

/// The start of the origin's frame with a payload of `bytes`.
pub(crate) fn header(bytes: usize) -> Vec<u8> {
    let mut header = vec![BINARY];
    match (u8::try_from(bytes), u16::try_from(bytes)) {
        (Ok(short), _) if short < 126 => header.push(short),
        (_, Ok(middle)) => {
            header.push(126);
            header.extend(middle.to_be_bytes());
        }
        _ => {
            header.push(127);
            header.extend((bytes as u64).to_be_bytes());
        }
    }
    header
}

/// The start of the origin's pong with a payload of `bytes`, at most 125.
pub(crate) fn pong_header(bytes: usize) -> Vec<u8> {
    let mut header = header(bytes);
    header[0] = PONG;
    header
}

/// The client's ping with `payload`, at most 125 bytes of it.
pub(crate) fn masked_ping(payload: Vec<u8>, mask: [u8; MASK_BYTES]) -> Vec<u8> {
    let mut frame = masked(payload, mask);
    frame[0] = PING;
    frame
}

/// The client's frame around `payload`.
pub(crate) fn masked(mut payload: Vec<u8>, mask: [u8; MASK_BYTES]) -> Vec<u8> {
    let mut frame = header(payload.len());
    frame[1] |= MASKED;
    frame.extend(mask);
    apply(mask, &mut payload);
    frame.append(&mut payload);
    frame
}

/// Turns the client's frame in `bytes` into the origin's, in place, once it is whole: a ping into its pong, a message
/// into its echo. A client never sends one before it has the answer to the last.
pub(crate) fn echo(bytes: &mut [u8]) -> Result<Option<&[u8]>, LoadError> {
    let length_bytes = match *bytes {
        [] | [BINARY | PING] => return Ok(None),
        [BINARY | PING, length, ..] if length & MASKED != 0 => match length & !MASKED {
            127 => 8,
            126 => 2,
            _ => 0,
        },
        _ => {
            let start = &bytes[..bytes.len().min(14)];
            let request = format!("no masked binary frame or ping: {start:02x?}");
            return Err(LoadError::Unasked { request });
        }
    };
    let header_bytes = 2 + length_bytes;
    let payload_start = header_bytes + MASK_BYTES;
    if bytes.len() < payload_start {
        return Ok(None);
    }
    let payload = match &bytes[2..header_bytes] {
        [] => u64::from(bytes[1] & !MASKED),
        length => length
            .iter()
            .fold(0, |sum, &byte| sum << 8 | u64::from(byte)),
    };
    let expected = payload.saturating_add(payload_start as u64);
    let came = bytes.len() as u64;
    if came < expected {
        return Ok(None);
    }
    if came > expected {
        return Err(LoadError::Surplus { expected, came });
    }
    let mut mask = [0; MASK_BYTES];
    mask.copy_from_slice(&bytes[header_bytes..payload_start]);
    apply(mask, &mut bytes[payload_start..]);
    // The same header without a mask ends where the payload starts.
    bytes.copy_within(..header_bytes, MASK_BYTES);
    bytes[MASK_BYTES + 1] &= !MASKED;
    if bytes[MASK_BYTES] == PING {
        bytes[MASK_BYTES] = PONG;
    }
    Ok(Some(&bytes[MASK_BYTES..]))
}

/// Masks or unmasks (section 5.3), in blocks that the compiler makes vectors of.
fn apply(mask: [u8; MASK_BYTES], payload: &mut [u8]) {
    const BLOCK_BYTES: usize = 32;
    let mut block_mask = [0; BLOCK_BYTES];
    for place in block_mask.chunks_exact_mut(MASK_BYTES) {
        place.copy_from_slice(&mask);
    }
    let mut blocks = payload.chunks_exact_mut(BLOCK_BYTES);
    for block in &mut blocks {
        for (byte, mask) in block.iter_mut().zip(block_mask) {
            *byte ^= mask;
        }
    }
    for (byte, mask) in blocks.into_remainder().iter_mut().zip(block_mask) {
        *byte ^= mask;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_frames_of_the_rfc_are_written_and_read() {
        // RFC 6455 section 5.7, with a binary opcode: "Hello" masked and plain, and the longer lengths.
        let mask = [0x37, 0xfa, 0x21, 0x3d];
        let mut frame = masked(b"Hello".to_vec(), mask);
        let expected = [
            0x82, 0x85, 0x37, 0xfa, 0x21, 0x3d, 0x7f, 0x9f, 0x4d, 0x51, 0x58,
        ];
        assert_eq!(frame, expected);
        let echoed = echo(&mut frame).unwrap().unwrap();
        assert_eq!(echoed, [0x82, 0x05, 0x48, 0x65, 0x6c, 0x6c, 0x6f]);
        let mut ping = masked_ping(b"Hello".to_vec(), mask);
        assert_eq!(ping[..2], [0x89, 0x85]);
        let pong = echo(&mut ping).unwrap().unwrap();
        assert_eq!(pong, [0x8a, 0x05, 0x48, 0x65, 0x6c, 0x6c, 0x6f]);
        assert_eq!(pong_header(5), pong[..2]);
        assert_eq!(header(256), [0x82, 0x7e, 0x01, 0x00]);
        assert_eq!(header(65_536), [0x82, 0x7f, 0, 0, 0, 0, 0, 1, 0, 0]);
    }

    #[test]
    fn every_length_is_echoed_once_it_is_whole() {
        for bytes in [0, 1, 31, 33, 125, 126, 65_535, 65_536] {
            let payload: Vec<u8> = (0..bytes).map(|place| place as u8).collect();
            let frame = masked(payload.clone(), [1, 2, 3, 4]);
            for cut in 0..frame.len().min(20) {
                assert!(echo(&mut frame[..cut].to_vec()).unwrap().is_none());
            }
            let whole = [header(bytes), payload].concat();
            assert_eq!(echo(&mut frame.clone()).unwrap().unwrap(), whole);
            assert!(matches!(
                echo(&mut [frame.as_slice(), &[0]].concat()),
                Err(LoadError::Surplus { .. })
            ));
            assert!(echo(&mut whole.clone()).is_err(), "a client has to mask");
        }
    }
}
