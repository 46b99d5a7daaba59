//! `overhead`: bytes on the wire beside a frame's own.

use std::fmt;
use std::str::FromStr;

use super::words::{EffectError, Grammar, Words};
use crate::quantity::Size;

const GRAMMAR: Grammar = Grammar { effect: "overhead", example: "\"24B\", \"-14B\" or \"ethernet\"", options: &[] };

const MOST: u64 = 10_000;
const MOST_LESS: u64 = 100;

/// Bytes on the wire beside a frame's own: `24B`, `-14B`, or `ethernet`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Overhead {
    /// So many more than the Ethernet frame without its check sequence, from -100 to 10,000.
    Bytes(i16),
    /// What Ethernet has on the wire: preamble with start delimiter 8, check sequence 4, gap 12, and frames padded to
    /// 60 bytes before those (IEEE 802.3, clauses 3 and 4).
    Ethernet,
}

impl Overhead {
    /// None.
    pub const ZERO: Self = Self::Bytes(0);

    const ETHERNET_BYTES: i64 = 24;
    const ETHERNET_LEAST: u64 = 60;

    /// Bytes beside a frame's own; fewer than its own where negative.
    #[must_use]
    pub fn bytes(self) -> i64 {
        match self {
            Self::Bytes(bytes) => i64::from(bytes),
            Self::Ethernet => Self::ETHERNET_BYTES,
        }
    }

    /// What shorter frames are padded to before that; zero where they are not.
    #[must_use]
    pub const fn least_frame(self) -> u64 {
        match self {
            Self::Bytes(_) => 0,
            Self::Ethernet => Self::ETHERNET_LEAST,
        }
    }

    /// The bytes of such a frame on the wire, at least one.
    #[must_use]
    pub fn on_wire(self, frame: u64) -> u64 {
        frame.max(self.least_frame()).saturating_add_signed(self.bytes()).max(1)
    }
}

impl Default for Overhead {
    fn default() -> Self {
        Self::ZERO
    }
}

impl FromStr for Overhead {
    type Err = EffectError;

    fn from_str(text: &str) -> Result<Self, EffectError> {
        let trimmed = text.trim();
        let words = Words::of(&GRAMMAR, text);
        if trimmed == "ethernet" {
            return Ok(Self::Ethernet);
        }
        if trimmed.starts_with(|c: char| c.is_ascii_alphabetic()) {
            return Err(words.unknown(trimmed, &["ethernet"]));
        }
        let (below, size) = match trimmed.strip_prefix(['-', '\u{2212}']) {
            Some(size) if !size.trim_start().starts_with(['-', '+', '\u{2212}']) => (true, size),
            _ => (false, trimmed),
        };
        let Size(bytes) = size.parse()?;
        let most = if below { MOST_LESS } else { MOST };
        match i16::try_from(bytes) {
            Ok(bytes) if bytes.unsigned_abs() <= most as u16 => Ok(Self::Bytes(if below { -bytes } else { bytes })),
            _ => Err(words.impossible("it", "is not from -100B to 10kB a packet")),
        }
    }
}

impl fmt::Display for Overhead {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ethernet => formatter.write_str("ethernet"),
            Self::Bytes(bytes) => {
                formatter.write_str(if *bytes < 0 { "-" } else { "" })?;
                Size(u64::from(bytes.unsigned_abs())).fmt(formatter)
            }
        }
    }
}

super::as_text!(Overhead);

#[cfg(test)]
mod tests {
    use super::super::tests::{read, refused};
    use super::*;

    #[test]
    fn more_or_fewer_bytes_or_ethernets() {
        read::<Overhead>(&[
            ("24B", "24B", "24 B"),
            ("0", "0B", "0 B"),
            ("-14B", "-14B", "-14 B"),
            ("- 14 B", "-14B", "-14 B"),
            ("10kB", "10kB", "10 kB"),
            ("-0", "0B", "0 B"),
            ("ethernet", "ethernet", "ethernet"),
        ]);
        refused::<Overhead>(&[
            ("", "it is empty"),
            ("24", "the unit is missing"),
            ("10001B", "is not from -100B to 10kB"),
            ("-101B", "is not from -100B to 10kB"),
            ("65560B", "is not from -100B to 10kB"),
            ("--14B", "it does not begin with a decimal number"),
            ("ethernett", "did you mean \"ethernet\"?"),
        ]);
    }

    #[test]
    fn a_frame_on_the_wire() {
        assert_eq!(Overhead::Ethernet.on_wire(1_514), 1_538);
        assert_eq!(Overhead::Ethernet.on_wire(42), 84);
        assert_eq!(Overhead::Bytes(-14).on_wire(1_514), 1_500);
        assert_eq!(Overhead::Bytes(-100).on_wire(42), 1);
        assert_eq!(Overhead::default().on_wire(42), 42);
    }
}
