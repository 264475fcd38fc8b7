//! The payload: one pseudo-random text that every stream walks round and round from its own seed, so that sending
//! costs no generation, checking is one comparison of memory, and a byte that is lost, added, changed, moved or taken
//! from another stream is seen.

use crate::load::error::LoadError;

/// Length of the text: a prime, so that no size of block or buffer divides it and a swapped block cannot match.
const PERIOD: usize = 65_521;

/// Most bytes that are sent, received or checked at once.
pub(crate) const CHUNK_BYTES_MAX: usize = 256 * 1024;

/// The text, written out far enough that any chunk is one slice of it.
#[derive(Debug)]
pub(crate) struct Pattern {
    text: Box<[u8]>,
}

impl Pattern {
    pub(crate) fn new() -> Self {
        // SplitMix64: fixed, so that two runs send the same bytes.
        let mut state = 0x5249_4e47_5741_5921_u64;
        let period: Vec<u8> = (0..PERIOD)
            .map(|_| {
                state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
                let mixed = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
                (mixed >> 56) as u8
            })
            .collect();
        let text = period.iter().copied().cycle();
        Self {
            text: text.take(PERIOD + CHUNK_BYTES_MAX).collect(),
        }
    }

    /// `length` bytes of the stream of `seed`, from `position`; at most `CHUNK_BYTES_MAX` of them.
    pub(crate) fn slice(&self, seed: u64, position: u64, length: usize) -> &[u8] {
        let period = PERIOD as u64; // each reduced first: a sum that wraps at 2^64 would jump within the text
        let start = ((seed % period + position % period) % period) as usize;
        &self.text[start..start + length.min(CHUNK_BYTES_MAX)]
    }

    /// The first `length` bytes of the stream of `seed`, however many.
    pub(crate) fn copy(&self, seed: u64, length: usize) -> Vec<u8> {
        let mut copy = Vec::with_capacity(length);
        while copy.len() < length {
            copy.extend_from_slice(self.slice(seed, copy.len() as u64, length - copy.len()));
        }
        copy
    }

    /// Whether `bytes` are what the stream of `seed` holds from `position` on.
    pub(crate) fn check(&self, seed: u64, position: u64, bytes: &[u8]) -> Result<(), LoadError> {
        let expected = self.slice(seed, position, bytes.len());
        if expected == bytes {
            return Ok(());
        }
        let pairs = expected.iter().zip(bytes);
        let same = pairs
            .take_while(|(expected, came)| expected == came)
            .count();
        Err(LoadError::Corrupt {
            position: position + same as u64,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stream_is_the_same_however_it_is_cut() {
        let pattern = Pattern::new();
        let whole = pattern.slice(7, 0, CHUNK_BYTES_MAX).to_vec();
        for cut in [1, 1024, PERIOD - 7, PERIOD, 200_000] {
            let (head, tail) = whole.split_at(cut);
            pattern.check(7, 0, head).unwrap();
            pattern.check(7, cut as u64, tail).unwrap();
        }
        let seed = u64::MAX - 500;
        let whole = pattern.slice(seed, 0, 1000).to_vec();
        pattern.check(seed, 600, &whole[600..]).unwrap();
    }

    #[test]
    fn one_changed_byte_is_found_where_it_is() {
        let pattern = Pattern::new();
        let mut bytes = pattern.slice(1, 5_000, 100_000).to_vec();
        bytes[77_777] ^= 1;
        let found = pattern.check(1, 5_000, &bytes);
        assert!(
            matches!(found, Err(LoadError::Corrupt { position: 82_777 })),
            "{found:?}"
        );
    }

    #[test]
    fn another_stream_and_a_moved_block_are_not_taken_for_right() {
        let pattern = Pattern::new();
        let block = pattern.slice(1, 0, 4096).to_vec();
        assert!(pattern.check(2, 0, &block).is_err());
        assert!(pattern.check(1, 4096, &block).is_err());
        assert!(pattern.check(1, 1 << 20, &block).is_err());
    }
}
