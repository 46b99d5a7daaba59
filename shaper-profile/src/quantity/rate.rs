//! Rates of a link.

use std::fmt;
use std::str::FromStr;

use shaper_common::units::BitsPerSec;

use super::decimal::{self, Decimal};
use super::{Kind, Problem, QuantityError, as_text, write_with_unit};

const KIND: Kind = Kind {
    name: "rate",
    example: "\"10mbit\" or \"1.5Gbit/s\"",
    resolution: "1bit/s",
    limit: "10Tbit/s",
    units: "bit, kbit, mbit, gbit, tbit, kibit, mibit, gibit, B/s, kB/s, MB/s, GB/s",
};

const FASTEST: u64 = 10_000_000_000_000;

/// A rate in bits per second: `10mbit` as tc writes it, `1.5Gbit/s`, `125kB/s`; `unlimited` for none.
///
/// Prefixes are decimal (`kibit` and so on are binary). `bps` and its kin are refused: to tc they are
/// bytes, to others bits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Rate(pub BitsPerSec);

impl Rate {
    /// No bottleneck.
    pub const UNLIMITED: Self = Self(BitsPerSec(0));

    /// Whether there is no bottleneck.
    #[must_use]
    pub const fn is_unlimited(self) -> bool {
        self.0.0 == 0
    }
}

impl FromStr for Rate {
    type Err = QuantityError;

    fn from_str(text: &str) -> Result<Self, QuantityError> {
        if text.trim() == "unlimited" {
            return Ok(Self::UNLIMITED);
        }
        let (number, unit) = Decimal::split(&KIND, text)?;
        if number.is_zero() {
            return Err(KIND.error(text, Problem::Zero { instead: "for a link without a bottleneck write unlimited" }));
        }
        let factor = match unit {
            "B/s" => 8,
            "kB/s" => 8_000,
            "MB/s" => 8_000_000,
            "GB/s" => 8_000_000_000,
            _ => {
                let lower = unit.to_ascii_lowercase();
                match lower.strip_suffix("/s").unwrap_or(&lower) {
                    "bit" => 1,
                    "kbit" => 1_000,
                    "mbit" => 1_000_000,
                    "gbit" => 1_000_000_000,
                    "tbit" => 1_000_000_000_000,
                    "kibit" => 1 << 10,
                    "mibit" => 1 << 20,
                    "gibit" => 1 << 30,
                    "bps" | "kbps" | "mbps" | "gbps" => {
                        let readings = "bytes to tc, bits to others: write mbit or MB/s";
                        return Err(KIND.error(text, Problem::Ambiguous { unit: unit.to_owned(), readings }));
                    }
                    _ => return Err(KIND.unknown_unit(text, unit)),
                }
            }
        };
        Ok(Self(BitsPerSec(number.times(&KIND, text, factor, FASTEST)?)))
    }
}

impl fmt::Display for Rate {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let bits = self.0.0;
        let (places, unit) = match bits {
            0 => return formatter.write_str("unlimited"),
            1..1_000 => (0, "bit/s"),
            1_000..1_000_000 => (3, "kbit/s"),
            1_000_000..1_000_000_000 => (6, "Mbit/s"),
            _ => (9, "Gbit/s"),
        };
        write_with_unit(formatter, &decimal::display(bits, places), unit)
    }
}

as_text!(Rate);
