//! Timestamps of every resolution as nanoseconds since the epoch.

/// Unit of a pcapng interface's timestamps (`if_tsresol`, pcapng draft section 4.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Resolution {
    /// 10^-n seconds.
    Decimal(u8),
    /// 2^-n seconds.
    Binary(u8),
}

impl Resolution {
    /// Microseconds: what an interface without `if_tsresol` has.
    pub const MICROSECONDS: Self = Self::Decimal(6);
    /// Nanoseconds.
    pub const NANOSECONDS: Self = Self::Decimal(9);

    /// From the option's octet: the top bit tells powers of two from powers of ten.
    #[must_use]
    pub const fn from_octet(octet: u8) -> Self {
        if octet & 0x80 == 0 { Self::Decimal(octet) } else { Self::Binary(octet & 0x7f) }
    }

    /// Nanoseconds since the epoch of a raw stamp, `offset` being `if_tsoffset` in seconds;
    /// fractions of a nanosecond are cut off. `None` where the time does not fit 64 bits
    /// (before 1677 or after 2262).
    #[must_use]
    #[inline]
    pub fn nanoseconds(self, raw: u64, offset: i64) -> Option<i64> {
        if offset == 0 && self == Self::NANOSECONDS {
            return i64::try_from(raw).ok();
        }
        if offset == 0 && self == Self::MICROSECONDS {
            return raw.checked_mul(1_000).and_then(|nanoseconds| i64::try_from(nanoseconds).ok());
        }
        // raw < 2^64 and every factor is at most 10^9 < 2^30: 94 bits, no overflow.
        let wide = match self {
            Self::Decimal(n @ 0..=9) => u128::from(raw) * 10_u128.pow(9 - u32::from(n)),
            // Beyond 10^38 the divisor leaves 128 bits, and the quotient is zero anyway.
            Self::Decimal(n) => 10_u128.checked_pow(u32::from(n) - 9).map_or(0, |divisor| u128::from(raw) / divisor),
            Self::Binary(n) => (u128::from(raw) * 1_000_000_000) >> n.min(127),
        };
        let total = i128::try_from(wide).ok()? + i128::from(offset) * 1_000_000_000;
        i64::try_from(total).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::Resolution;
    use proptest::prelude::*;

    #[test]
    fn every_resolution_gives_the_same_second() {
        assert_eq!(Resolution::Decimal(0).nanoseconds(5, 0), Some(5_000_000_000));
        assert_eq!(Resolution::Decimal(6).nanoseconds(5_000_000, 0), Some(5_000_000_000));
        assert_eq!(Resolution::Decimal(9).nanoseconds(5_000_000_000, 0), Some(5_000_000_000));
        assert_eq!(Resolution::Decimal(12).nanoseconds(5_000_000_000_999, 0), Some(5_000_000_000));
        assert_eq!(Resolution::Binary(20).nanoseconds(5 << 20, 0), Some(5_000_000_000));
        assert_eq!(Resolution::Binary(0).nanoseconds(5, 0), Some(5_000_000_000));
    }

    #[test]
    fn offsets_shift_by_seconds_both_ways() {
        assert_eq!(Resolution::Decimal(6).nanoseconds(1, -1), Some(-999_999_000));
        assert_eq!(Resolution::Decimal(9).nanoseconds(7, 1_700_000_000), Some(1_700_000_000_000_000_007));
    }

    #[test]
    fn times_that_do_not_fit_are_none_and_not_wrapped() {
        assert_eq!(Resolution::Decimal(0).nanoseconds(u64::MAX, 0), None);
        assert_eq!(Resolution::Decimal(9).nanoseconds(u64::MAX, 0), None);
        assert_eq!(Resolution::Decimal(0).nanoseconds(u64::MAX, i64::MAX), None);
        assert_eq!(Resolution::Decimal(127).nanoseconds(u64::MAX, 0), Some(0));
        assert_eq!(Resolution::Binary(127).nanoseconds(u64::MAX, 0), Some(0));
    }

    proptest! {
        #[test]
        fn no_stamp_panics(octet: u8, raw: u64, offset: i64) {
            let _ = Resolution::from_octet(octet).nanoseconds(raw, offset);
        }

        #[test]
        fn binary_agrees_with_exact_rational(raw in 0_u64..1 << 40, n in 0_u8..40) {
            let exact = (u128::from(raw) * 1_000_000_000) / (1_u128 << n);
            prop_assert_eq!(
                Resolution::Binary(n).nanoseconds(raw, 0),
                i64::try_from(exact).ok()
            );
        }
    }
}
