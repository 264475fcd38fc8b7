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
    /// A message of another ring: what about, and the slip it names; the result carries its value.
    News(Subject, u16),
    /// Bits that this engine never wrote.
    Unknown(u64),
}

/// What a message between rings is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Subject {
    Connection = 1,
    Question = 2,
    Answer = 3,
}

impl Subject {
    /// `user_data` that MSG_RING posts on the ring it is sent to: `0:32 | 0:8 | slip:16 | subject:8`, a kind that has no
    /// slot.
    pub(super) fn pack(self, slip: u16) -> u64 {
        u64::from(Kind::RESERVED) << 56 | u64::from(slip) << 8 | self as u64
    }

    fn unpack(user_data: u64) -> Option<(Self, u16)> {
        let subjects = [Self::Connection, Self::Question, Self::Answer];
        let slip = (user_data >> 8) as u16;
        let subject = subjects.into_iter();
        subject
            .map(|subject| (subject, slip))
            .find(|(subject, slip)| subject.pack(*slip) == user_data)
    }
}

impl Key {
    /// Packs `kind:8 | index:24 | generation:32`.
    pub(super) fn pack(self, kind: Kind) -> u64 {
        debug_assert!(self.index <= INDEX_MAX);
        (kind as u64) << 56 | u64::from(self.index) << 32 | u64::from(self.generation)
    }
}

impl Address {
    pub(super) fn unpack(user_data: u64) -> Self {
        let Some(kind) = Kind::from_bits((user_data >> 56) as u8) else {
            return Subject::unpack(user_data)
                .map_or(Self::Unknown(user_data), |(subject, slip)| {
                    Self::News(subject, slip)
                });
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
        for subject in [Subject::Connection, Subject::Question, Subject::Answer] {
            for slip in [0, 1, 0xabcd, u16::MAX] {
                assert_eq!(
                    Address::unpack(subject.pack(slip)),
                    Address::News(subject, slip)
                );
            }
        }
        for unknown in [0, 4, 1 << 24 | 1, u64::MAX - 1] {
            assert_eq!(Address::unpack(unknown), Address::Unknown(unknown));
        }
    }
}
