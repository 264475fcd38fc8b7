//! Numbers that nobody can foresee: mask keys (RFC 6455 section 5.3) and the payload of pings. Seeded by the kernel once
//! for each worker; `relay` calls.

use std::cell::RefCell;
use std::io;

use rand::rngs::{StdRng, SysRng};
use rand::{Rng, SeedableRng, TryRng};

/// A source of random bytes.
pub struct Random(RefCell<StdRng>);

impl Random {
    /// A source with a seed from the kernel.
    ///
    /// # Errors
    /// When the kernel gives no randomness.
    pub fn system() -> io::Result<Self> {
        let mut seed = [0; 32];
        SysRng.try_fill_bytes(&mut seed).map_err(io::Error::other)?;
        Ok(Self(RefCell::new(StdRng::from_seed(seed))))
    }

    /// The next bytes.
    pub(super) fn bytes<const BYTES: usize>(&self) -> [u8; BYTES] {
        let mut bytes = [0; BYTES];
        self.0.borrow_mut().fill_bytes(&mut bytes);
        bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_two_sources_and_no_two_draws_are_alike() {
        let [one, other] = [(); 2].map(|()| Random::system().expect("the kernel has some"));
        let drawn: [[u8; 16]; 4] = [one.bytes(), one.bytes(), other.bytes(), other.bytes()];
        for (at, bytes) in drawn.iter().enumerate() {
            assert!(!drawn[..at].contains(bytes), "{drawn:x?}");
        }
    }
}
