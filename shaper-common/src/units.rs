//! Units as types: what a number counts is part of its name.

/// Nanoseconds: a duration, or a CLOCK_MONOTONIC time where the field says so.
#[repr(transparent)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Nanos(pub u64);

impl Nanos {
    /// No time at all.
    pub const ZERO: Self = Self(0);
    /// Further away than any run lasts.
    pub const MAX: Self = Self(u64::MAX);

    /// The sum, held at the largest value instead of wrapping.
    #[inline(always)]
    #[must_use]
    pub const fn saturating_add(self, other: Self) -> Self {
        Self(self.0.saturating_add(other.0))
    }

    /// The difference, held at zero instead of wrapping.
    #[inline(always)]
    #[must_use]
    pub const fn saturating_sub(self, other: Self) -> Self {
        Self(self.0.saturating_sub(other.0))
    }

    /// The later of two.
    #[inline(always)]
    #[must_use]
    pub const fn later_of(self, other: Self) -> Self {
        if self.0 < other.0 { other } else { self }
    }
}

/// A rate on the link, in bits per second; zero means unlimited.
#[repr(transparent)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BitsPerSec(pub u64);

/// A probability as a threshold for a 32-bit draw: `p * 2^32`, so that 2^32 means always.
#[repr(transparent)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Probability(pub u64);

impl Probability {
    /// Never.
    pub const NEVER: Self = Self(0);
    /// Always.
    pub const ALWAYS: Self = Self(1 << 32);

    /// One if a uniform 32-bit draw falls below the threshold, else zero: without a branch, each side of which the
    /// verifier would walk through on its own.
    #[inline(always)]
    #[must_use]
    pub fn counts(self, draw: u32) -> u32 {
        core::hint::black_box(((draw as u64).wrapping_sub(self.0) >> 63) as u32)
    }

    /// Whether a uniform 32-bit draw falls below the threshold.
    #[inline(always)]
    #[must_use]
    pub const fn hits(self, draw: u32) -> bool {
        (draw as u64) < self.0
    }
}
