//! Chance: a yes or no for each packet, which may depend on the last one.

use crate::units::Probability;

/// A Markov chain of yes and no. Its share of yes is that of the first packet whatever the correlation: with a share `p`
/// and a lag-1 correlation `c`, a yes follows a yes with `p + c (1 - p)` and a no with `p (1 - c)`.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Chance {
    /// The probability of yes: for the first packet, after a no, and after a yes. The fourth is never taken.
    pub after: [Probability; 4],
}

impl Chance {
    /// By the probability for the first packet, after a no and after a yes.
    #[must_use]
    pub const fn new(first: Probability, after_no: Probability, after_yes: Probability) -> Self {
        Self { after: [first, after_no, after_yes, Probability::NEVER] }
    }

    /// Each packet on its own.
    #[must_use]
    pub const fn independent(probability: Probability) -> Self {
        Self::new(probability, probability, probability)
    }

    /// Whether there is ever a yes.
    #[inline(always)]
    #[must_use]
    pub const fn is_never(&self) -> bool {
        self.after[0].0 == 0
    }

    /// The answer for the next packet by a uniform draw, one for yes; `last` is carried from packet to packet and begins
    /// at zero.
    #[inline(always)]
    #[must_use]
    pub fn hits(&self, last: &mut u8, draw: u32) -> u32 {
        let probability = match self.after.get(core::hint::black_box(*last as usize & 3)) {
            Some(probability) => *probability,
            None => Probability::NEVER,
        };
        let yes = probability.counts(draw);
        *last = 1 + yes as u8;
        yes
    }
}
