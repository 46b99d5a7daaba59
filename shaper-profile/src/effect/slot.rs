//! `slot`: packets that leave in bursts, one slot after another.

use std::fmt;
use std::num::NonZeroU32;
use std::str::FromStr;

use super::given::Optional;
use super::word::word;
use super::words::{EffectError, Grammar, Words};
use crate::profile::FULL_PACKET;
use crate::quantity::{Duration, Size};

const GRAMMAR: Grammar = Grammar {
    effect: "slot",
    example: "\"10ms\", \"5ms to 20ms\" or \"10ms +-2ms normal packets 32 bytes 64kB\"",
    options: &["packets", "bytes"],
};

const SHAPES: &[&str] = &["uniform", "normal", "pareto", "paretonormal"];

/// Packets leave in bursts, one slot after another: `10ms +-2ms normal packets 32 bytes 64kB`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Slot {
    /// From one slot to the next.
    pub time: SlotTime,
    /// The most packets that leave in one.
    pub packets: Option<NonZeroU32>,
    /// The most bytes that leave in one, a packet of full size at least.
    pub bytes: Option<Size>,
}

/// The time from one slot to the next.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum SlotTime {
    /// Always the same.
    Fixed(Duration),
    /// Uniform between two times.
    Between {
        /// The shortest.
        least: Duration,
        /// The longest.
        most: Duration,
    },
    /// Around a time.
    Around {
        /// The time.
        mean: Duration,
        /// Half-width of a uniform distribution, the standard deviation of others; no longer than the time.
        jitter: Duration,
        /// The distribution.
        shape: SlotShape,
    },
}

/// The distribution of the time from one slot to the next.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum SlotShape {
    /// Uniform.
    #[default]
    Uniform,
    /// Normal.
    Normal,
    /// Pareto of shape 3.
    Pareto,
    /// A quarter normal and three quarters Pareto.
    ParetoNormal,
}

word!(
    SlotShape,
    "uniform" => Uniform, "normal" => Normal, "pareto" => Pareto, "paretonormal" => ParetoNormal
);

impl Optional for Slot {
    const ABSENT: &'static str = "none";
}

impl FromStr for Slot {
    type Err = EffectError;

    fn from_str(text: &str) -> Result<Self, EffectError> {
        let mut words = Words::of(&GRAMMAR, text);
        let mut slot = Self { time: time(&mut words)?, packets: None, bytes: None };
        while let Some(option) = words.option()? {
            match option {
                "packets" => slot.packets = NonZeroU32::new(words.count(option, 1..=u32::MAX)?),
                _ => {
                    let bytes: Size = words.quantity("the size behind \"bytes\"")?;
                    if bytes.0 < FULL_PACKET {
                        return Err(
                            words.impossible("bytes", "is less than one packet of 1514 bytes: none would leave")
                        );
                    }
                    slot.bytes = Some(bytes);
                }
            }
        }
        Ok(slot)
    }
}

fn time(words: &mut Words<'_>) -> Result<SlotTime, EffectError> {
    let first = words.time("the time from slot to slot")?;
    if words.takes("to") {
        let most = words.time("the longest time behind \"to\"")?;
        if most <= first {
            return Err(words.impossible(format!("{most}"), "is no longer than what stands before \"to\""));
        }
        return Ok(SlotTime::Between { least: first, most });
    }
    let Some(word) = words.next_if(|word| word.starts_with("+-") || word.starts_with('\u{b1}')) else {
        return Ok(SlotTime::Fixed(first));
    };
    let attached = word.trim_start_matches("+-").trim_start_matches('\u{b1}');
    let jitter = if attached.is_empty() { words.time("the time behind \"+-\"")? } else { attached.parse()? };
    if jitter.is_zero() || jitter > first {
        return Err(words.impossible(format!("+-{jitter}"), "is 0, or more than the time that it lies around"));
    }
    let shape = match words.next_if(|word| SHAPES.contains(&word)) {
        Some(shape) => shape.parse().unwrap_or_default(),
        None => SlotShape::Uniform,
    };
    Ok(SlotTime::Around { mean: first, jitter, shape })
}

/// As it is read; the alternate form is for people.
impl fmt::Display for Slot {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let for_people = formatter.alternate();
        match (self.time, for_people) {
            (SlotTime::Fixed(time), true) => write!(formatter, "every {time:#}")?,
            (SlotTime::Fixed(time), false) => write!(formatter, "{time}")?,
            (SlotTime::Between { least, most }, true) => write!(formatter, "every {least:#} to {most:#}")?,
            (SlotTime::Between { least, most }, false) => write!(formatter, "{least} to {most}")?,
            (SlotTime::Around { mean, jitter, shape }, true) => {
                write!(formatter, "every {mean:#} +-{jitter:#} {shape}")?;
            }
            (SlotTime::Around { mean, jitter, shape }, false) => write!(formatter, "{mean} +-{jitter} {shape}")?,
        }
        if for_people {
            match (self.packets, self.bytes) {
                (None, None) => Ok(()),
                (Some(packets), None) => write!(formatter, " of {packets} packets"),
                (None, Some(bytes)) => write!(formatter, " of {bytes:#}"),
                (Some(packets), Some(bytes)) => write!(formatter, " of {packets} packets or {bytes:#}"),
            }
        } else {
            self.packets.map_or(Ok(()), |packets| write!(formatter, " packets {packets}"))?;
            self.bytes.map_or(Ok(()), |bytes| write!(formatter, " bytes {bytes}"))
        }
    }
}

super::as_text!(Slot);

#[cfg(test)]
mod tests {
    use super::super::tests::{read, refused};
    use super::*;

    #[test]
    fn a_time_and_what_leaves_in_it() {
        read::<Slot>(&[
            ("10ms", "10ms", "every 10 ms"),
            ("5ms to 20ms", "5ms to 20ms", "every 5 ms to 20 ms"),
            ("10ms +-2ms", "10ms +-2ms uniform", "every 10 ms +-2 ms uniform"),
            ("10ms \u{b1} 2ms normal", "10ms +-2ms normal", "every 10 ms +-2 ms normal"),
            ("10ms +-2ms pareto", "10ms +-2ms pareto", "every 10 ms +-2 ms pareto"),
            ("10ms +-2ms paretonormal", "10ms +-2ms paretonormal", "every 10 ms +-2 ms paretonormal"),
            ("10ms bytes 64kB", "10ms bytes 64kB", "every 10 ms of 64 kB"),
            ("10ms packets 32", "10ms packets 32", "every 10 ms of 32 packets"),
            (
                "10ms +-2ms normal bytes 64kB packets 32",
                "10ms +-2ms normal packets 32 bytes 64kB",
                "every 10 ms +-2 ms normal of 32 packets or 64 kB",
            ),
        ]);
    }

    #[test]
    fn what_cannot_be_is_refused_with_what_can() {
        refused::<Slot>(&[
            ("", "the time from slot to slot is missing"),
            ("0", "must last some time"),
            ("2h", "longer than an hour"),
            ("10ms to 5ms", "5ms is no longer than what stands before \"to\""),
            ("10ms to", "behind \"to\" is missing"),
            ("10ms +-20ms", "more than the time that it lies around"),
            ("10ms +-0", "is 0, or more"),
            ("10ms +-2", "the unit is missing"),
            ("10ms normal", "\"normal\" is not known there"),
            ("10ms packet 3", "did you mean \"packets\"?"),
            ("10ms packets 0", "no whole number from 1"),
            ("10ms bytes 1kB", "less than one packet of 1514 bytes"),
        ]);
    }
}
