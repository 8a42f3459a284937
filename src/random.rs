//! Random numbers: the only file that requests them from the operating system.
//!
//! Nonces and client tokens leave the process. They come from the operating system directly, because the numbers of a small
//! generator reveal its state, and with it every later one. Jitter comes from such a generator.

use std::cell::RefCell;

/// A source of random numbers. A simulation seeds it, so that a history can be repeated.
#[derive(Debug)]
pub enum Random {
    /// The operating system's.
    System,
    /// A generator's, the same for the same seed.
    Seeded(RefCell<fastrand::Rng>),
}

impl Random {
    /// A number that no earlier one reveals.
    #[must_use]
    pub fn u128(&self) -> u128 {
        match self {
            Self::System => u128::from_ne_bytes(system()),
            Self::Seeded(generator) => generator.borrow_mut().u128(..),
        }
    }

    /// A number for one signature: 32 hexadecimal digits.
    #[must_use]
    pub fn nonce(&self) -> String {
        format!("{:032x}", self.u128())
    }

    /// A generator for jitter, with a seed from this source.
    #[must_use]
    pub fn generator(&self) -> fastrand::Rng {
        fastrand::Rng::with_seed(match self {
            Self::System => u64::from_ne_bytes(system()),
            Self::Seeded(generator) => generator.borrow_mut().u64(..),
        })
    }
}

impl From<u64> for Random {
    fn from(seed: u64) -> Self {
        Self::Seeded(RefCell::new(fastrand::Rng::with_seed(seed)))
    }
}

#[expect(clippy::disallowed_methods, reason = "this file owns randomness")]
#[expect(
    clippy::expect_used,
    reason = "a token that can be predicted would be worse than a process that ends"
)]
fn system<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    getrandom::getrandom(&mut bytes).expect("the operating system has random numbers");
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_of_the_system_differ_and_those_of_a_seed_repeat() {
        let three = |random: Random| [random.u128(), random.u128(), u128::from(random.generator().u64(..))];
        let [one, two, three_of_system] = three(Random::System);
        assert!(one != two && one != three_of_system);
        assert_ne!(three(Random::System), three(Random::System));
        assert_eq!(three(7.into()), three(7.into()));
        assert_ne!(three(7.into()), three(8.into()));
    }
}
