//! Ids and secrets that the server gives out.

use std::fmt;

/// An id of a participant, transport, producer or consumer: random, so that none can be guessed, and
/// shown as 16 hexadecimal digits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Id(pub(crate) u64);

impl Id {
    /// A new one.
    pub(crate) fn random() -> Result<Self, getrandom::Error> {
        getrandom::u64().map(Self)
    }

    /// What a peer says is one.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let digits = text.len() == 16 && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
        digits.then(|| u64::from_str_radix(text, 16).ok()).flatten().map(Self)
    }
}

impl fmt::Display for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

/// A secret of 128 bits, as 32 hexadecimal digits.
pub(crate) fn secret() -> Result<String, getrandom::Error> {
    Ok(format!("{}{}", Id::random()?, Id::random()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_read_as_they_are_shown_and_no_other_way() {
        assert_eq!(Id::parse(&Id(0xab).to_string()), Some(Id(0xab)));
        for bad in ["", "ab", "00000000000000AB", "00000000000000g0", "000000000000000000ab", "+00000000000000a"] {
            assert_eq!(Id::parse(bad), None, "{bad}");
        }
    }
}
