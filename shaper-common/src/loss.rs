//! Loss: each packet independently with one probability, by a chain of states, in which losses come in bursts, or by a
//! pattern that repeats.
//!
//! A chain is a Markov chain that every packet of the direction advances, whatever becomes of it: so the same seed loses
//! the same packets. The simple Gilbert model, Gilbert-Elliott and netem's four states are chains (Gilbert, "Capacity of a
//! burst-noise channel", 1960; Elliott, "Estimates of error rates for codes on burst-noise channels", 1963; Salsano and
//! others, "Definition of a general and intuitive loss model for packet networks", 2009).

use crate::layout::Params;
use crate::rng::Draws;
use crate::units::Probability;

/// States of a chain; those that none leads to are never taken.
pub const STATES: usize = 4;
/// Packets of the longest pattern.
pub const PATTERN: u32 = 64;

/// A chain of states. Thresholds of one draw are cumulated: the second is the probability of the first two together.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Chain {
    /// By state: the probability that a packet in it is lost.
    pub lose: [Probability; STATES],
    /// By state: the probability that the next packet is in the first state of `to`, and in either of both; it stays
    /// otherwise.
    pub leave: [[Probability; 2]; STATES],
    /// By state: the states that may come next, itself aside.
    pub to: [[u32; 2]; STATES],
    /// The probability that the first packet is in state 0, in 0 or 1, and in 0, 1 or 2: as if the chain had gone on
    /// for ever.
    pub first: [Probability; STATES - 1],
}

impl Chain {
    /// Whether the next packet is lost. `at` is one more than the state it is in, zero before the first packet.
    #[inline(always)]
    fn step(&self, at: &mut u32, draws: &Draws) -> bool {
        let state = match *at {
            0 => self.first(draws.first),
            state => state - 1,
        };
        // Never out of bounds: the mask is for the verifier.
        let place = state as usize & (STATES - 1);
        let (Some(lose), Some(leave), Some(to)) = (self.lose.get(place), self.leave.get(place), self.to.get(place))
        else {
            return false;
        };
        let next = if leave[0].hits(draws.step) {
            to[0]
        } else if leave[1].hits(draws.step) {
            to[1]
        } else {
            state
        };
        *at = next + 1;
        lose.hits(draws.loss)
    }

    #[inline(always)]
    fn first(&self, draw: u32) -> u32 {
        let [zero, one, two] = self.first;
        if zero.hits(draw) {
            0
        } else if one.hits(draw) {
            1
        } else if two.hits(draw) {
            2
        } else {
            3
        }
    }
}

/// Whether the packet with this index is lost by a pattern of so many packets, which are not none.
#[inline(always)]
fn repeats(period: u32, pattern: u64, index: u64) -> bool {
    let place = index.checked_rem(period as u64).unwrap_or(0);
    if period <= PATTERN { pattern >> (place & 63) & 1 != 0 } else { place + 1 == period as u64 }
}

/// Whether the packet with this index, which is the next one, is lost; `at` is what the chain carries from packet to
/// packet.
#[inline(always)]
#[must_use]
pub fn is_lost(params: &Params, at: &mut u32, index: u64, draws: &Draws) -> bool {
    if params.has_chain != 0 {
        params.chain.step(at, draws)
    } else if params.period != 0 {
        repeats(params.period, params.pattern, index)
    } else {
        params.loss.hits(draws.loss)
    }
}
