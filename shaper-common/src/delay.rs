//! Delay: a constant base with jitter around it, cut at zero.

use crate::draw::scale;
use crate::layout::Params;
use crate::normal::{self, ONE_SIGMA_SHIFT};
use crate::units::Nanos;

/// The distribution of the jitter around the base delay.
#[repr(u32)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Jitter {
    /// The delay is the base delay.
    #[default]
    None = 0,
    /// Uniform on base +- half-width.
    Uniform = 1,
    /// Normal with the base as mean and the given sigma.
    Normal = 2,
    /// By a table of quantiles, see [`crate::quantile`], which holds the whole delay.
    Table = 3,
}

impl Jitter {
    /// The distribution of a stored number; `None` for a number that names no distribution.
    #[must_use]
    pub const fn from_raw(raw: u32) -> Option<Self> {
        match raw {
            0 => Some(Self::None),
            1 => Some(Self::Uniform),
            2 => Some(Self::Normal),
            3 => Some(Self::Table),
            _ => None,
        }
    }
}

/// The delay that a uniform 32-bit draw stands for: `base` plus jitter, no less than zero.
///
/// What the cut moves to zero is an atom there; its share and the realised mean belong beside the
/// configured figures wherever those are shown.
#[inline(always)]
#[must_use]
pub fn delay(params: &Params, base: Nanos, draw: u32) -> Nanos {
    around(base, params.jitter, params.jitter_kind, draw)
}

/// A time around `base` by the given kind of jitter, no less than zero.
#[inline(always)]
#[must_use]
pub fn around(Nanos(base): Nanos, Nanos(jitter): Nanos, kind: u32, draw: u32) -> Nanos {
    if kind == Jitter::Uniform as u32 {
        let above_lowest = base + scale(draw as u64, 2 * jitter + 1);
        Nanos(above_lowest.saturating_sub(jitter))
    } else if kind == Jitter::Normal as u32 {
        let deviate = normal::deviate(draw);
        // sigma * magnitude / 2^24 in two halves: sigma may be seconds, the magnitude has 27 bits.
        let magnitude = deviate.magnitude as u64;
        let offset = ((jitter >> ONE_SIGMA_SHIFT) * magnitude)
            + (((jitter & ((1 << ONE_SIGMA_SHIFT) - 1)) * magnitude) >> ONE_SIGMA_SHIFT);
        if deviate.negative { Nanos(base.saturating_sub(offset)) } else { Nanos(base + offset) }
    } else {
        Nanos(base)
    }
}
