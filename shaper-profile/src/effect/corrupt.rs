//! `corrupt`: packets whose bytes are changed.

use std::fmt;
use std::str::FromStr;

use super::words::{EffectError, Grammar, Words};
use crate::quantity::Percent;

const PARTS: &[&str] = &["l3", "l4", "payload", "any"];

const GRAMMAR: Grammar = Grammar {
    effect: "corruption",
    example: "\"0.1%\", \"0.1% bits 3 in payload\" or \"0.1% bytes 2 in l4 at 4 repaired\"",
    options: &["correlation", "bits", "bytes", "in", "at", "repaired"],
};

/// Packets whose bytes are changed: `0.1% correlation 25% bytes 2 in payload at 10 repaired`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Corrupt {
    /// Packets that are corrupted.
    pub ratio: Percent,
    /// Correlation with whether the packet before was.
    pub correlation: Percent,
    /// What is done to each.
    pub damage: Damage,
    /// Where in the packet.
    pub part: Part,
    /// The first byte within that part; a random one without.
    pub at: Option<u32>,
    /// Whether checksums are brought right again, so that the receiver's own checks pass.
    pub repaired: bool,
}

/// What is done to a packet that is corrupted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Damage {
    /// So many bits, 1 to [`Corrupt::MOST_BITS`], in a row are flipped.
    Bits(u32),
    /// So many bytes one behind the other, 1 to [`Corrupt::MOST_BYTES`], are replaced by other values.
    Bytes(u32),
}

/// Where in a packet bytes are changed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Part {
    /// Anywhere from the network header on.
    #[default]
    Any,
    /// In the network header.
    L3,
    /// In the transport header.
    L4,
    /// Behind the transport header.
    Payload,
}

impl Part {
    const fn name(self) -> &'static str {
        match self {
            Self::Any => "any",
            Self::L3 => "l3",
            Self::L4 => "l4",
            Self::Payload => "payload",
        }
    }
}

impl Corrupt {
    /// The most bits that are flipped.
    pub const MOST_BITS: u32 = 8;
    /// The most bytes that are replaced.
    pub const MOST_BYTES: u32 = 4;
    /// The largest offset.
    pub const LAST_BYTE: u32 = 65_535;

    /// Whether nothing is corrupted.
    #[must_use]
    pub const fn is_none(&self) -> bool {
        self.ratio.is_zero()
    }
}

impl Default for Corrupt {
    fn default() -> Self {
        Self {
            ratio: Percent::ZERO,
            correlation: Percent::ZERO,
            damage: Damage::Bits(1),
            part: Part::Any,
            at: None,
            repaired: false,
        }
    }
}

impl FromStr for Corrupt {
    type Err = EffectError;

    fn from_str(text: &str) -> Result<Self, EffectError> {
        let mut words = Words::of(&GRAMMAR, text);
        let ratio = if words.takes("none") { Percent::ZERO } else { words.quantity("the percentage")? };
        let mut corrupt = Self { ratio, ..Self::default() };
        let mut damage = None;
        while let Some(option) = words.option()? {
            match option {
                "correlation" => corrupt.correlation = words.correlation()?,
                "bits" | "bytes" if damage.is_some() => {
                    return Err(words.impossible("\"bits\" beside \"bytes\"", "cannot be: keep one of them"));
                }
                "bits" => damage = Some(Damage::Bits(words.count(option, 1..=Self::MOST_BITS)?)),
                "bytes" => damage = Some(Damage::Bytes(words.count(option, 1..=Self::MOST_BYTES)?)),
                "in" => corrupt.part = part(&mut words)?,
                "at" => corrupt.at = Some(words.count(option, 0..=Self::LAST_BYTE)?),
                _ => corrupt.repaired = true,
            }
        }
        corrupt.damage = damage.unwrap_or(corrupt.damage);
        Ok(corrupt)
    }
}

fn part(words: &mut Words<'_>) -> Result<Part, EffectError> {
    let word = words.next("the part behind \"in\"")?;
    [Part::Any, Part::L3, Part::L4, Part::Payload]
        .into_iter()
        .find(|part| part.name() == word)
        .ok_or_else(|| words.unknown(&word, PARTS))
}

/// As it is read; the alternate form is for people.
impl fmt::Display for Corrupt {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { ratio, correlation, damage, part, at, repaired } = self;
        let for_people = formatter.alternate();
        if for_people {
            write!(formatter, "{ratio:#}")?;
        } else {
            write!(formatter, "{ratio}")?;
        }
        match (correlation.is_zero(), for_people) {
            (true, _) => {}
            (false, true) => write!(formatter, " with correlation {correlation:#}")?,
            (false, false) => write!(formatter, " correlation {correlation}")?,
        }
        match (damage, for_people) {
            (Damage::Bits(1), true) => formatter.write_str(" by one bit")?,
            (Damage::Bits(bits), true) => write!(formatter, " by {bits} bits")?,
            (Damage::Bytes(1), true) => formatter.write_str(" by one byte")?,
            (Damage::Bytes(bytes), true) => write!(formatter, " by {bytes} bytes")?,
            (Damage::Bits(1), false) => {}
            (Damage::Bits(bits), false) => write!(formatter, " bits {bits}")?,
            (Damage::Bytes(bytes), false) => write!(formatter, " bytes {bytes}")?,
        }
        if *part != Part::Any {
            write!(formatter, " in {}", part.name())?;
        }
        if let Some(at) = at {
            write!(formatter, " at {}{at}", if for_people { "byte " } else { "" })?;
        }
        match (repaired, for_people) {
            (false, _) => Ok(()),
            (true, true) => formatter.write_str(" with checksums repaired"),
            (true, false) => formatter.write_str(" repaired"),
        }
    }
}

super::as_text!(Corrupt);

#[cfg(test)]
mod tests {
    use super::super::tests::{read, refused};
    use super::super::words::Problem;
    use super::*;

    #[test]
    fn a_share_and_what_is_done_to_it() {
        read::<Corrupt>(&[
            ("0.1%", "0.1%", "0.1 % by one bit"),
            ("none", "0%", "0 % by one bit"),
            ("0.1% bits 1 in any", "0.1%", "0.1 % by one bit"),
            ("1% bytes 1", "1% bytes 1", "1 % by one byte"),
            ("1% in l3 at 8", "1% in l3 at 8", "1 % by one bit in l3 at byte 8"),
            (
                "0.1 % repaired at 10 in payload bytes 2 correlation 25%",
                "0.1% correlation 25% bytes 2 in payload at 10 repaired",
                "0.1 % with correlation 25 % by 2 bytes in payload at byte 10 with checksums repaired",
            ),
        ]);
        assert!(Corrupt::default().is_none());
    }

    #[test]
    fn what_cannot_be_is_refused_with_what_can() {
        refused::<Corrupt>(&[
            ("", "the percentage is missing"),
            ("1% bits 9", "no whole number from 1 to 8"),
            ("1% bytes 5", "no whole number from 1 to 4"),
            ("1% bits 2 bytes 2", "keep one of them"),
            ("1% in l5", "known: \"l3\", \"l4\", \"payload\" or \"any\""),
            ("1% in", "the part behind \"in\" is missing"),
            ("1% in paylod", "did you mean \"payload\"?"),
            ("1% at 70000", "no whole number from 0 to 65535"),
            ("1% repair", "did you mean \"repaired\"?"),
        ]);
        let missing = Problem::Missing { what: "the percentage".into() };
        assert!(matches!("".parse::<Corrupt>(), Err(EffectError::Words { problem, .. }) if problem == missing));
    }
}
