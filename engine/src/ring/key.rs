//! `user_data` of a submission: which slot, which use of that slot, which kind of operation.
//!
//! A completion that comes late, for a slot that was given to another operation since, is recognised by its generation
//! and dropped: slot numbers and file descriptors are reused, generations are not (within 2^32 uses).

use super::op::Kind;

/// Names one use of one slot in the op slab.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Key {
    pub(super) index: u32,
    pub(super) generation: u32,
}

/// Slots that fit in `user_data` beside the generation and the kind.
pub(super) const INDEX_MAX: u32 = (1 << 24) - 1;

/// What a completion's `user_data` says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Address {
    /// An operation in the slab.
    Slot(Key, Kind),
    /// A cancellation of the operation with this key.
    Cancellation(Key),
    /// A message of another ring; the result carries its value.
    Incoming,
    /// Bits that this engine never wrote.
    Unknown(u64),
}

/// `user_data` that MSG_RING posts on the ring it is sent to.
pub(super) const INCOMING: u64 = (Kind::RESERVED as u64) << 56 | 1;

impl Key {
    /// Packs `kind:8 | index:24 | generation:32`.
    pub(super) fn pack(self, kind: Kind) -> u64 {
        debug_assert!(self.index <= INDEX_MAX);
        (kind as u64) << 56 | u64::from(self.index) << 32 | u64::from(self.generation)
    }
}

impl Address {
    pub(super) fn unpack(user_data: u64) -> Self {
        match user_data {
            INCOMING => Self::Incoming,
            _ => {
                let Some(kind) = Kind::from_bits((user_data >> 56) as u8) else {
                    return Self::Unknown(user_data);
                };
                let key = Key {
                    index: (user_data >> 32) as u32 & INDEX_MAX,
                    generation: user_data as u32,
                };
                match kind {
                    Kind::Cancel => Self::Cancellation(key),
                    _ => Self::Slot(key, kind),
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_survives_the_round_trip() {
        for kind in Kind::ALL {
            for (index, generation) in [(0, 0), (1, u32::MAX), (INDEX_MAX, 7)] {
                let key = Key { index, generation };
                assert_eq!(Address::unpack(key.pack(kind)), Address::Slot(key, kind));
            }
        }
    }

    #[test]
    fn reserved_keys_name_no_slot() {
        let key = Key {
            index: 5,
            generation: 9,
        };
        assert_eq!(
            Address::unpack(key.pack(Kind::Cancel)),
            Address::Cancellation(key)
        );
        assert_eq!(Address::unpack(INCOMING), Address::Incoming);
        assert_eq!(
            Address::unpack(u64::MAX - 1),
            Address::Unknown(u64::MAX - 1)
        );
    }
}
