//! Of which decisions a record is written.

use core::fmt;
use core::num::NonZeroU32;
use core::str::FromStr;

/// Of which decisions a record is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Recording {
    /// Of each.
    #[default]
    All,
    /// Of those by which a packet was dropped.
    Drops,
    /// Of one in so many: those whose number in their channel it divides, so that the same packets are recorded again.
    OneIn(NonZeroU32),
    /// Of none.
    Off,
}

impl Recording {
    /// In the settings of a port that is none.
    const OFF: u32 = 0;
    /// … and that is only what was dropped; any other number is one in so many.
    const DROPS: u32 = u32::MAX;

    /// As a port has it.
    #[must_use]
    pub const fn raw(self) -> u32 {
        match self {
            Self::All => 1,
            Self::Drops => Self::DROPS,
            Self::OneIn(many) => many.get(),
            Self::Off => Self::OFF,
        }
    }

    /// Whether a decision is to be recorded, by the settings of its port, as far as its number tells: for the program,
    /// before it has decided.
    #[inline(always)]
    #[must_use]
    pub const fn may_be_due(raw: u32, sequence: u64) -> bool {
        match raw {
            Self::OFF => false,
            Self::DROPS => true,
            many => sequence.is_multiple_of(many as u64),
        }
    }

    /// Whether a decision is to be recorded, by the settings of its port.
    #[inline(always)]
    #[must_use]
    pub const fn is_due(raw: u32, sequence: u64, is_dropped: bool) -> bool {
        Self::may_be_due(raw, sequence) && (raw != Self::DROPS || is_dropped)
    }

    /// Of the decisions of one channel, numbered from zero, how many are to be recorded.
    #[must_use]
    pub const fn due(self, decided: u64, dropped: u64) -> u64 {
        match self {
            Self::All => decided,
            Self::Drops => dropped,
            Self::OneIn(many) => decided.div_ceil(many.get() as u64),
            Self::Off => 0,
        }
    }
}

impl fmt::Display for Recording {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::All => f.write_str("all"),
            Self::Drops => f.write_str("drops"),
            Self::OneIn(many) => write!(f, "1/{many}"),
            Self::Off => f.write_str("off"),
        }
    }
}

/// What is no recording.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NoRecording;

impl fmt::Display for NoRecording {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("want all, drops, off, or one in so many, such as 1/100")
    }
}

impl core::error::Error for NoRecording {}

impl FromStr for Recording {
    type Err = NoRecording;

    fn from_str(text: &str) -> Result<Self, NoRecording> {
        match text {
            "all" | "1/1" => Ok(Self::All),
            "drops" => Ok(Self::Drops),
            "off" => Ok(Self::Off),
            _ => {
                let many = text.strip_prefix("1/").and_then(|many| many.parse::<NonZeroU32>().ok());
                many.filter(|many| many.get() != Self::DROPS).map(Self::OneIn).ok_or(NoRecording)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::string::ToString;

    fn parsed(text: &str) -> Recording {
        text.parse().unwrap()
    }

    #[test]
    fn words_are_read_as_they_are_written() {
        for text in ["all", "drops", "off", "1/2", "1/100", "1/4294967294"] {
            assert_eq!(parsed(text).to_string(), text);
        }
        assert_eq!(parsed("1/1"), Recording::All);
        for text in ["", "none", "1/0", "2/3", "1/-1", "1/4294967295", "1/4294967296", "ALL", "1 / 2"] {
            assert_eq!(text.parse::<Recording>(), Err(NoRecording), "{text}");
        }
    }

    #[test]
    fn as_many_are_due_as_are_counted() {
        for text in ["all", "drops", "off", "1/2", "1/3", "1/100", "1/1000"] {
            let recording = parsed(text);
            for decided in [0u64, 1, 2, 99, 100, 101, 777] {
                // Every third one is dropped.
                let is_dropped = |sequence: u64| sequence % 3 == 1;
                let dropped = (0..decided).filter(|sequence| is_dropped(*sequence)).count() as u64;
                let due = (0..decided)
                    .filter(|sequence| Recording::is_due(recording.raw(), *sequence, is_dropped(*sequence)))
                    .count() as u64;
                assert_eq!(due, recording.due(decided, dropped), "{text} of {decided}");
            }
        }
    }
}
