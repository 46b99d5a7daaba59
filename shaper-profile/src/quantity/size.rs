//! Sizes in bytes, and limits of a queue in bytes, packets or time.

use std::fmt;
use std::str::FromStr;

use super::decimal::Decimal;
use super::{Duration, Kind, Problem, QuantityError, as_text, write_with_unit};

const SIZE: Kind = Kind {
    name: "size",
    example: "\"1500B\" or \"64kB\"",
    resolution: "1B",
    limit: "1TB",
    units: "B, kB, MB, GB, KiB, MiB, GiB",
};

const QUEUE: Kind = Kind {
    name: "queue",
    example: "\"64kB\", \"100p\" (packets) or \"50ms\"",
    resolution: "1 packet",
    limit: "4095 packets (write a longer queue in bytes or time)",
    units: "B, kB, MB, KiB, MiB, p, packets, us, ms, s",
};

const LARGEST: u64 = 1_000_000_000_000;

/// Bytes: `1500B`, `64kB` (64,000), `64KiB` (65,536), `0`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Size(pub u64);

impl Size {
    /// Nothing.
    pub const ZERO: Self = Self(0);
}

fn bytes_in(unit: &str) -> Option<u64> {
    Some(match unit {
        "B" | "byte" | "bytes" => 1,
        "kB" => 1_000,
        "MB" => 1_000_000,
        "GB" => 1_000_000_000,
        "KiB" | "kiB" => 1 << 10,
        "MiB" => 1 << 20,
        "GiB" => 1 << 30,
        _ => return None,
    })
}

fn ambiguity(unit: &str) -> Option<Problem> {
    let readings = match unit {
        "b" => "bits or bytes: write B",
        "kb" | "KB" | "k" | "K" => "1000 or 1024 bytes: write kB or KiB",
        "mb" | "m" | "M" => "10^6 or 2^20 bytes: write MB or MiB",
        _ => return None,
    };
    Some(Problem::Ambiguous { unit: unit.to_owned(), readings })
}

impl FromStr for Size {
    type Err = QuantityError;

    fn from_str(text: &str) -> Result<Self, QuantityError> {
        let (number, unit) = Decimal::split(&SIZE, text)?;
        if unit.is_empty() && number.is_zero() {
            return Ok(Self::ZERO);
        }
        if let Some(problem) = ambiguity(unit) {
            return Err(SIZE.error(text, problem));
        }
        let factor = bytes_in(unit).ok_or_else(|| SIZE.unknown_unit(text, unit))?;
        Ok(Self(number.times(&SIZE, text, factor, LARGEST)?))
    }
}

impl fmt::Display for Size {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (number, unit) = match self.0 {
            bytes if bytes >= 1_000_000 && bytes % 1_000_000 == 0 => (bytes / 1_000_000, "MB"),
            bytes if bytes >= 1_000 && bytes % 1_000 == 0 => (bytes / 1_000, "kB"),
            bytes => (bytes, "B"),
        };
        write_with_unit(formatter, &number.to_string(), unit)
    }
}

as_text!(Size);

/// Packets of the longest queue that is counted in packets.
const MOST_PACKETS: u64 = shaper_common::backlog::MOST_PACKETS as u64;

/// How much a queue holds: `64kB`, `100p`, or `50ms` of service.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum QueueLimit {
    /// Bytes on the wire, overhead included.
    Bytes(Size),
    /// Packets, whatever their size: 4095 at most.
    Packets(u32),
    /// The longest a packet may need from its arrival until it is through the bottleneck.
    Time(Duration),
}

impl FromStr for QueueLimit {
    type Err = QuantityError;

    fn from_str(text: &str) -> Result<Self, QuantityError> {
        let (number, unit) = Decimal::split(&QUEUE, text)?;
        let as_queue = |error: QuantityError| QUEUE.error(text, error.problem);
        if number.is_zero() {
            return Err(QUEUE.error(text, Problem::Zero { instead: "a queue must hold one packet at least" }));
        }
        if matches!(unit, "p" | "packet" | "packets") {
            let packets = number.times(&QUEUE, text, 1, MOST_PACKETS)?;
            return Ok(Self::Packets(u32::try_from(packets).unwrap_or(u32::MAX)));
        }
        if matches!(unit, "ns" | "us" | "ms" | "s" | "min") {
            return text.parse().map(Self::Time).map_err(as_queue);
        }
        if bytes_in(unit).is_none() && ambiguity(unit).is_none() {
            return Err(QUEUE.unknown_unit(text, unit));
        }
        text.parse().map(Self::Bytes).map_err(as_queue)
    }
}

impl fmt::Display for QueueLimit {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Bytes(size) => size.fmt(formatter),
            Self::Packets(packets) => {
                let unit = if formatter.alternate() { "packets" } else { "p" };
                write_with_unit(formatter, &packets.to_string(), unit)
            }
            Self::Time(time) => time.fmt(formatter),
        }
    }
}

as_text!(QueueLimit);
