//! Decimal numbers, exactly.

use super::{Kind, Problem, QuantityError};

/// `mantissa / 10^scale`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Decimal {
    mantissa: u128,
    scale: u32,
}

impl Decimal {
    /// Splits text into its number and the unit behind it.
    pub(super) fn split<'t>(kind: &Kind, text: &'t str) -> Result<(Self, &'t str), QuantityError> {
        let trimmed = text.trim();
        if trimmed.is_empty() {
            return Err(kind.error(text, Problem::Empty));
        }
        if let Some(rest) = trimmed.strip_prefix(['-', '\u{2212}']) {
            let negative = rest.trim_start().starts_with(|c: char| c.is_ascii_digit() || c == '.');
            return Err(kind.error(text, if negative { Problem::Negative } else { not_a_number(rest) }));
        }
        let unsigned = trimmed.strip_prefix('+').unwrap_or(trimmed);
        let end = unsigned.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(unsigned.len());
        let (number, unit) = unsigned.split_at(end);
        let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
        if (whole.is_empty() && fraction.is_empty()) || fraction.contains('.') {
            return Err(kind.error(text, not_a_number(unsigned)));
        }
        let fraction = fraction.trim_end_matches('0');
        let mut mantissa = 0u128;
        for digit in whole.bytes().chain(fraction.bytes()) {
            mantissa = mantissa
                .checked_mul(10)
                .and_then(|shifted| shifted.checked_add(u128::from(digit - b'0')))
                .ok_or_else(|| kind.error(text, out_of_range(kind, whole, fraction)))?;
        }
        // More than 38 digits overflow above, unless they are zeros.
        let scale = u32::try_from(fraction.len()).unwrap_or(u32::MAX);
        Ok((Self { mantissa, scale }, unit.trim()))
    }

    /// Zero, which needs no unit.
    pub(super) fn is_zero(self) -> bool {
        self.mantissa == 0
    }

    /// `self * factor`, where that is a whole number no larger than `limit`.
    pub(super) fn times(self, kind: &Kind, text: &str, factor: u64, limit: u64) -> Result<u64, QuantityError> {
        let too_large = || kind.error(text, Problem::TooLarge { limit: kind.limit });
        let too_fine = || kind.error(text, Problem::TooFine { resolution: kind.resolution });
        if self.is_zero() {
            return Ok(0);
        }
        let product = self.mantissa.checked_mul(u128::from(factor)).ok_or_else(too_large)?;
        let divisor = 10u128.checked_pow(self.scale).ok_or_else(too_fine)?;
        if product % divisor != 0 {
            return Err(too_fine());
        }
        u64::try_from(product / divisor).ok().filter(|value| *value <= limit).ok_or_else(too_large)
    }
}

/// `units / 10^places` without trailing zeros.
pub(super) fn display(units: u64, places: u32) -> String {
    let divisor = 10u64.pow(places);
    let (whole, rest) = (units / divisor, units % divisor);
    if rest == 0 {
        return whole.to_string();
    }
    let fraction = format!("{rest:0width$}", width = places as usize);
    format!("{whole}.{}", fraction.trim_end_matches('0'))
}

fn not_a_number(text: &str) -> Problem {
    let word = text.trim_start().to_ascii_lowercase();
    if word.starts_with("nan") || word.starts_with("inf") { Problem::NotFinite } else { Problem::NoNumber }
}

fn out_of_range(kind: &Kind, whole: &str, fraction: &str) -> Problem {
    if whole.trim_start_matches('0').len() > 20 || fraction.is_empty() {
        Problem::TooLarge { limit: kind.limit }
    } else {
        Problem::TooFine { resolution: kind.resolution }
    }
}
