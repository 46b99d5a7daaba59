//! The key of an anonymization.

use std::{fmt, str::FromStr};

use thiserror::Error;

/// 256 bits: the first half is the key of AES, the second one is what Crypto-PAn pads with.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Key([u8; Self::LENGTH]);

/// Text or bytes that are no key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("a key is 32 bytes, or 64 hexadecimal digits")]
pub struct NoKey;

impl Key {
    /// Length in bytes.
    pub const LENGTH: usize = 32;

    /// Of these bytes.
    #[must_use]
    pub fn new(bytes: [u8; Self::LENGTH]) -> Self {
        Self(bytes)
    }

    /// What a file holds: the bytes themselves, or their digits with white space around them.
    ///
    /// # Errors
    /// [`NoKey`] if it is neither.
    pub fn of_file(content: &[u8]) -> Result<Self, NoKey> {
        if let Ok(bytes) = content.try_into() {
            return Ok(Self(bytes));
        }
        std::str::from_utf8(content).map_err(|_| NoKey)?.trim().parse()
    }

    pub(super) fn halves(&self) -> ([u8; 16], [u8; 16]) {
        let mut halves = ([0; 16], [0; 16]);
        for (slot, byte) in halves.0.iter_mut().chain(&mut halves.1).zip(self.0) {
            *slot = byte;
        }
        halves
    }
}

impl FromStr for Key {
    type Err = NoKey;

    fn from_str(text: &str) -> Result<Self, NoKey> {
        if text.len() != 2 * Self::LENGTH {
            return Err(NoKey);
        }
        let mut bytes = [0; Self::LENGTH];
        for (slot, pair) in bytes.iter_mut().zip(text.as_bytes().chunks_exact(2)) {
            for &digit in pair {
                let value = char::from(digit).to_digit(16).ok_or(NoKey)?;
                *slot = *slot << 4 | value as u8;
            }
        }
        Ok(Self(bytes))
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Who has it can work out every address.
        f.write_str("Key(..)")
    }
}
