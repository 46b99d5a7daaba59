//! `policer`: a rate without a queue.

use std::fmt;
use std::str::FromStr;

use shaper_common::units::Nanos;

use super::given::Optional;
use super::words::{EffectError, Grammar, Words};
use crate::quantity::{Duration, QuantityError, QueueLimit, Rate, Size};

const GRAMMAR: Grammar =
    Grammar { effect: "policer", example: "\"10mbit burst 64kB\" or \"10mbit burst 50ms\"", options: &["burst"] };

/// A rate without a queue: a bucket of tokens that fills at the rate; what finds too few is dropped.
/// `10mbit burst 64kB`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Policer {
    /// How fast the bucket fills; never unlimited.
    pub rate: Rate,
    /// How much it holds.
    pub burst: Depth,
}

/// How much a bucket holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Depth {
    /// Bytes on the wire.
    Bytes(Size),
    /// As much as the rate fills in this time.
    Time(Duration),
}

impl Policer {
    /// The bucket's depth as the time that filling it takes, rounded down to the nanosecond.
    #[must_use]
    pub fn burst_time(&self) -> Nanos {
        match self.burst {
            Depth::Bytes(size) => self.time(size.0),
            Depth::Time(time) => time.0,
        }
    }

    /// The time in which tokens for so many bytes come.
    #[must_use]
    pub fn time(&self, bytes: u64) -> Nanos {
        let bits = u128::from(bytes) * 8_000_000_000;
        let nanos = bits.checked_div(u128::from(self.rate.0.0)).unwrap_or(0);
        Nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
    }
}

impl Optional for Policer {
    const ABSENT: &'static str = "none";
}

impl FromStr for Policer {
    type Err = EffectError;

    fn from_str(text: &str) -> Result<Self, EffectError> {
        let mut words = Words::of(&GRAMMAR, text);
        let rate: Rate = words.quantity("the rate")?;
        if rate.is_unlimited() {
            return Err(words.impossible("the rate", "is unlimited, and drops nothing: write \"none\" for no policer"));
        }
        if words.option()?.is_none() {
            words.next("\"burst\" with what the bucket holds")?;
        }
        let written = words.next("the size or time behind \"burst\"")?;
        let as_burst = |error| QuantityError { kind: "burst", example: "\"64kB\" or \"50ms\"", ..error };
        let burst = match written.parse().map_err(as_burst)? {
            QueueLimit::Bytes(size) => Depth::Bytes(size),
            QueueLimit::Time(time) if time <= Duration::from_millis(3_600_000) => Depth::Time(time),
            QueueLimit::Time(_) => return Err(words.impossible("burst", "is longer than an hour")),
            QueueLimit::Packets(_) => {
                return Err(words.impossible("burst", "is in packets: a bucket holds bytes, or what comes in a time"));
            }
        };
        words.end()?;
        Ok(Self { rate, burst })
    }
}

/// As it is read; the alternate form is for people.
impl fmt::Display for Policer {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { rate, burst } = self;
        match (burst, formatter.alternate()) {
            (Depth::Bytes(size), true) => write!(formatter, "{rate:#} with bursts of {size:#}"),
            (Depth::Bytes(size), false) => write!(formatter, "{rate} burst {size}"),
            (Depth::Time(time), true) => write!(formatter, "{rate:#} with bursts of {time:#}"),
            (Depth::Time(time), false) => write!(formatter, "{rate} burst {time}"),
        }
    }
}

super::as_text!(Policer);

#[cfg(test)]
mod tests {
    use super::super::tests::{read, refused};
    use super::*;

    #[test]
    fn a_rate_and_a_burst() {
        read::<Policer>(&[
            ("10mbit burst 64kB", "10Mbit/s burst 64kB", "10 Mbit/s with bursts of 64 kB"),
            ("10mbit burst 50ms", "10Mbit/s burst 50ms", "10 Mbit/s with bursts of 50 ms"),
        ]);
        let time = |text: &str| text.parse::<Policer>().unwrap().burst_time().0;
        assert_eq!((time("10mbit burst 64kB"), time("10mbit burst 50ms")), (51_200_000, 50_000_000));
    }

    #[test]
    fn what_cannot_be_is_refused_with_what_can() {
        refused::<Policer>(&[
            ("", "the rate is missing"),
            ("10mbit", "\"burst\" with what the bucket holds is missing"),
            ("10mbit burts 64kB", "did you mean \"burst\"?"),
            ("10mbit burst", "behind \"burst\" is missing"),
            ("10mbit burst 10p", "a bucket holds bytes"),
            ("10mbit burst 2h", "write for example"),
            ("10mbit burst 64", "the unit is missing"),
            ("10mbit burst 64kB 1", "\"1\" is not known there"),
            ("unlimited burst 64kB", "is unlimited"),
            ("10mbps burst 64kB", "is ambiguous"),
        ]);
    }
}
