//! Loss: each packet independently, with one probability.

use crate::layout::Params;
use crate::rng::Draws;

/// Whether the packet with these draws is lost.
#[inline(always)]
#[must_use]
pub fn is_lost(params: &Params, draws: &Draws) -> bool {
    params.loss.hits(draws.loss)
}
