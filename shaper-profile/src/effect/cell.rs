//! `cell`: frames cut into cells, as ATM and its kin carry them.

use std::fmt;
use std::str::FromStr;

use super::given::Optional;
use super::words::{EffectError, Grammar, Words};
use crate::quantity::Size;

const GRAMMAR: Grammar =
    Grammar { effect: "cell", example: "\"48B 5B\" (payload and header) or \"48B\"", options: &[] };

const MOST: u64 = 10_000;

/// Frames are carried in cells of a fixed size, the last one padded: `48B 5B` is ATM's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Cell {
    /// Bytes of a frame in each cell, 1 to 10,000.
    pub payload: u32,
    /// Bytes beside those, 10,000 at most.
    pub header: u32,
}

impl Cell {
    /// The bytes of all the cells that so many bytes need.
    #[must_use]
    pub fn on_wire(self, bytes: u64) -> u64 {
        let payload = u64::from(self.payload.max(1));
        bytes.div_ceil(payload).saturating_mul(payload + u64::from(self.header))
    }
}

impl Optional for Cell {
    const ABSENT: &'static str = "none";
}

impl FromStr for Cell {
    type Err = EffectError;

    fn from_str(text: &str) -> Result<Self, EffectError> {
        let mut words = Words::of(&GRAMMAR, text);
        let Size(payload) = words.quantity("the payload's size")?;
        let Size(header) = match words.next_if(|_| true) {
            Some(header) => header.parse()?,
            None => Size::ZERO,
        };
        if !(1..=MOST).contains(&payload) {
            return Err(words.impossible("the payload", "is not from 1B to 10kB"));
        }
        if header > MOST {
            return Err(words.impossible("the header", "is more than 10kB"));
        }
        words.end()?;
        Ok(Self { payload: payload as u32, header: header as u32 })
    }
}

/// As it is read; the alternate form is for people.
impl fmt::Display for Cell {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [payload, header] = [self.payload, self.header].map(|bytes| Size(u64::from(bytes)));
        match (self.header, formatter.alternate()) {
            (0, true) => write!(formatter, "{payload:#}"),
            (0, false) => write!(formatter, "{payload}"),
            (_, true) => write!(formatter, "{payload:#} and {header:#} header"),
            (_, false) => write!(formatter, "{payload} {header}"),
        }
    }
}

super::as_text!(Cell);

#[cfg(test)]
mod tests {
    use super::super::tests::{read, refused};
    use super::*;

    #[test]
    fn a_payload_and_a_header() {
        read::<Cell>(&[("48B 5B", "48B 5B", "48 B and 5 B header"), ("48B", "48B", "48 B"), ("1kB 0", "1kB", "1 kB")]);
        refused::<Cell>(&[
            ("", "the payload's size is missing"),
            ("48", "the unit is missing"),
            ("0", "the payload is not from 1B to 10kB"),
            ("11kB", "the payload is not from 1B to 10kB"),
            ("48B 11kB", "the header is more than 10kB"),
            ("48B 5B 1B", "nothing may follow"),
        ]);
    }

    #[test]
    fn the_last_cell_is_padded() {
        let atm = Cell { payload: 48, header: 5 };
        assert_eq!([0, 1, 48, 49, 1_514].map(|bytes| atm.on_wire(bytes)), [0, 53, 53, 106, 32 * 53]);
    }
}
