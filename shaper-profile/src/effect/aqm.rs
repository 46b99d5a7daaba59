//! `aqm`: active management of the bottleneck's queue.

use std::fmt;
use std::str::FromStr;

use super::words::{EffectError, Grammar, Words};
use crate::quantity::Duration;

const KINDS: &[&str] = &["none", "codel", "pie", "pi2", "step"];

const NONE: Grammar = Grammar {
    effect: "queue management",
    example: "\"codel\", \"codel target 5ms interval 100ms\", \"pie target 15ms update 15ms\" or \"step 1ms\"",
    options: &[],
};
const CODEL: Grammar = Grammar { options: &["target", "interval"], ..NONE };
const PIE: Grammar = Grammar { options: &["target", "update"], ..NONE };

/// Active management of the bottleneck's queue.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Aqm {
    /// None: what finds no room is dropped at the tail.
    #[default]
    None,
    /// CoDel (RFC 8289): `codel target 5ms interval 100ms`.
    Codel {
        /// The time in the queue that is borne; shorter than the interval.
        target: Duration,
        /// For so long.
        interval: Duration,
    },
    /// PIE (RFC 8033): `pie target 15ms update 15ms`.
    Pie {
        /// The time in the queue that is aimed at.
        target: Duration,
        /// From one reckoning of the probability to the next.
        update: Duration,
    },
    /// PI2 in one queue, coupled (RFC 9332): `pi2 target 15ms update 15ms`.
    Pi2 {
        /// The time in the queue that is aimed at.
        target: Duration,
        /// From one reckoning of the probability to the next.
        update: Duration,
    },
    /// Marking of ECT(1) packets that were in the queue for longer, as L4S has it (RFC 9331, 9332): `step 1ms`.
    Step {
        /// The time in the queue.
        threshold: Duration,
    },
}

impl Aqm {
    /// CoDel with what RFC 8289 gives.
    pub const CODEL: Self = Self::Codel { target: Duration::from_millis(5), interval: Duration::from_millis(100) };
    /// PIE with what RFC 8033 gives.
    pub const PIE: Self = Self::Pie { target: Duration::from_millis(15), update: Duration::from_millis(15) };

    /// PI2 with what RFC 9332 gives, and the update of PIE.
    pub const PI2: Self = Self::Pi2 { target: Duration::from_millis(15), update: Duration::from_millis(15) };

    /// Whether there is none.
    #[must_use]
    pub const fn is_none(&self) -> bool {
        matches!(self, Self::None)
    }
}

impl FromStr for Aqm {
    type Err = EffectError;

    fn from_str(text: &str) -> Result<Self, EffectError> {
        let mut words = Words::of(
            match text.split_whitespace().next() {
                Some("codel") => &CODEL,
                Some("pie" | "pi2") => &PIE,
                _ => &NONE,
            },
            text,
        );
        let kind = words.next("the name")?;
        let mut aqm = match kind.as_str() {
            "none" => Self::None,
            "codel" => Self::CODEL,
            "pie" => Self::PIE,
            "pi2" => Self::PI2,
            "step" => Self::Step { threshold: words.time("the time behind \"step\"")? },
            _ => return Err(words.unknown(&kind, KINDS)),
        };
        while let Some(option) = words.option()? {
            let given = words.time(option)?;
            match (&mut aqm, option) {
                (Self::Codel { target, .. } | Self::Pie { target, .. } | Self::Pi2 { target, .. }, "target") => {
                    *target = given
                }
                (Self::Codel { interval, .. }, _) => *interval = given,
                (Self::Pie { update, .. } | Self::Pi2 { update, .. }, _) => *update = given,
                (Self::None | Self::Step { .. }, _) => {}
            }
        }
        match aqm {
            Self::Codel { target, interval } if target >= interval => {
                Err(words.impossible("target", "is no shorter than the interval"))
            }
            _ => Ok(aqm),
        }
    }
}

/// As it is read; the alternate form is for people.
impl fmt::Display for Aqm {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (*self, formatter.alternate()) {
            (Self::None, _) => formatter.write_str("none"),
            (Self::Codel { target, interval }, true) => {
                write!(formatter, "codel target {target:#} interval {interval:#}")
            }
            (Self::Codel { target, interval }, false) => write!(formatter, "codel target {target} interval {interval}"),
            (Self::Pie { target, update }, true) => write!(formatter, "pie target {target:#} update {update:#}"),
            (Self::Pie { target, update }, false) => write!(formatter, "pie target {target} update {update}"),
            (Self::Pi2 { target, update }, true) => write!(formatter, "pi2 target {target:#} update {update:#}"),
            (Self::Pi2 { target, update }, false) => write!(formatter, "pi2 target {target} update {update}"),
            (Self::Step { threshold }, true) => write!(formatter, "step {threshold:#}"),
            (Self::Step { threshold }, false) => write!(formatter, "step {threshold}"),
        }
    }
}

super::as_text!(Aqm);

#[cfg(test)]
mod tests {
    use super::super::tests::{read, refused};
    use super::*;

    #[test]
    fn a_name_and_its_times() {
        read::<Aqm>(&[
            ("none", "none", "none"),
            ("codel", "codel target 5ms interval 100ms", "codel target 5 ms interval 100 ms"),
            (
                "codel interval 50ms target 2.5ms",
                "codel target 2.5ms interval 50ms",
                "codel target 2.5 ms interval 50 ms",
            ),
            ("pie update 30ms", "pie target 15ms update 30ms", "pie target 15 ms update 30 ms"),
            ("pi2 target 10ms", "pi2 target 10ms update 15ms", "pi2 target 10 ms update 15 ms"),
            ("step 1ms", "step 1ms", "step 1 ms"),
        ]);
    }

    #[test]
    fn what_cannot_be_is_refused_with_what_can() {
        refused::<Aqm>(&[
            ("", "the name is missing"),
            ("red", "known: \"none\", \"codel\", \"pie\", \"pi2\" or \"step\""),
            ("coddel", "did you mean \"codel\"?"),
            ("codel update 5ms", "known: \"target\" or \"interval\""),
            ("pie interval 5ms", "known: \"target\" or \"update\""),
            ("codel target 0", "target is 0"),
            ("codel target 100ms", "no shorter than the interval"),
            ("step", "the time behind \"step\" is missing"),
            ("step 1ms 2ms", "nothing may follow"),
            ("none 5ms", "nothing may follow"),
        ]);
    }
}
