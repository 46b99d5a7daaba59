//! Keyed digests: equal where content is equal, and nothing else to whoever does not have the key.

use std::fmt;

use aes::{Aes128, cipher::KeyInit};

use super::address::{Permutation, encrypt};

/// What a digest is of: equal bytes of two kinds have nothing in common.
pub(super) const CONTENT: u8 = 1;
pub(super) const MAC: u8 = 2;
pub(super) const SSRC: u8 = 3;
pub(super) const PATH: u8 = 4;
pub(super) const NAME: u8 = 5;
pub(super) const FRAGMENT: u8 = 6;

/// Content of up to so many bytes is enciphered within its own length, so that different content stays different.
pub(super) const SHORT: usize = 11;
/// Rounds of that cipher.
const ROUNDS: u8 = 10;

pub(super) struct Digest {
    aes: Aes128,
}

impl Digest {
    pub(super) fn new(from: &Permutation) -> Self {
        Self { aes: Aes128::new(&from.derive(1).into()) }
    }

    /// CBC-MAC by AES-128. How many bytes there are comes first, so that no input begins another one; `length` is whatever
    /// else is to be equal.
    pub(super) fn of(&self, kind: u8, length: u64, bytes: &[u8]) -> [u8; 16] {
        let head = u128::from(kind) << 120 | u128::from(bytes.len() as u32) << 64 | u128::from(length);
        let mut state = encrypt(&self.aes, head.to_be_bytes());
        for chunk in bytes.chunks(16) {
            for (slot, byte) in state.iter_mut().zip(chunk) {
                *slot ^= byte;
            }
            state = encrypt(&self.aes, state);
        }
        state
    }

    /// One to one among the values of so many bytes, up to 15: a Feistel network over two halves (Luby and Rackoff 1988).
    /// Beside another number it is another map.
    pub(super) fn permute(&self, kind: u8, beside: u32, bytes: &mut [u8]) {
        let [j, k, l, m] = beside.to_be_bytes();
        let bits = 4 * bytes.len().min(15);
        let mask = (1_u64 << bits) - 1;
        let mut whole = bytes.iter().fold(0_u128, |whole, &byte| whole << 8 | u128::from(byte));
        for round in 0..ROUNDS {
            let (left, right) = ((whole >> bits) as u64, whole as u64 & mask);
            let [a, b, c, d, e, f, g, h] = right.to_be_bytes();
            let block = [0xfe, kind, round, bits as u8, j, k, l, m, a, b, c, d, e, f, g, h];
            let [a, b, c, d, e, f, g, h, ..] = encrypt(&self.aes, block);
            let turned = left ^ u64::from_be_bytes([a, b, c, d, e, f, g, h]) & mask;
            whole = u128::from(right) << bits | u128::from(turned);
        }
        for slot in bytes.iter_mut().rev() {
            *slot = whole as u8;
            whole >>= 8;
        }
    }

    /// A number for a number, one to one.
    pub(super) fn number(&self, kind: u8, number: u32) -> u32 {
        let mut bytes = number.to_be_bytes();
        self.permute(kind, 0, &mut bytes);
        u32::from_be_bytes(bytes)
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Digest(..)")
    }
}
