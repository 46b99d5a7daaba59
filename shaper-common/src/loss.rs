//! Loss: each packet independently with one probability, by a chain of states, in which losses come in bursts, or by a
//! pattern that repeats.
//!
//! A chain is a Markov chain that every packet of the direction advances, whatever becomes of it: so the same seed loses
//! the same packets. The simple Gilbert model, Gilbert-Elliott and netem's four states are chains (Gilbert, "Capacity of a
//! burst-noise channel", 1960; Elliott, "Estimates of error rates for codes on burst-noise channels", 1963; Salsano and
//! others, "Definition of a general and intuitive loss model for packet networks", 2009).

use crate::layout::{Params, features};
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
    /// The most packets in a row in state 1, from which it then goes to the first state of `to`; zero for no limit.
    pub longest: u32,
    /// Explicit padding.
    pub _reserved: u32,
}

/// Where a chain of losses is.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Place {
    /// The state that the next packet is in and one more; zero before the first packet.
    pub state: u32,
    /// Packets in a row in state 1 so far.
    pub run: u32,
}

impl Chain {
    /// One if the next packet is lost, else zero.
    #[inline(always)]
    fn step(&self, at: &mut Place, draws: &Draws) -> u32 {
        let state = if at.state == 0 { self.first(draws.first) } else { at.state - 1 };
        // Never out of bounds: the mask is for the verifier.
        let place = core::hint::black_box(state) as usize & (STATES - 1);
        let (Some(lose), Some(leave), Some(to)) = (self.lose.get(place), self.leave.get(place), self.to.get(place))
        else {
            return 0;
        };
        let in_burst = (state == 1) as u32;
        at.run = at.run.wrapping_add(in_burst) * in_burst;
        let must_leave = (self.longest != 0 && at.run >= self.longest) as u32;
        // Without branches: 1 goes to the first state, 2 to the second, 0 stays.
        let first = leave[0].counts(draws.step) | must_leave;
        let second = leave[1].counts(draws.step) & (1 - first);
        let next = to[0] * first + to[1] * second + state * (1 - first - second);
        at.state = next + 1;
        lose.counts(draws.loss)
    }

    #[inline(always)]
    fn first(&self, draw: u32) -> u32 {
        let [zero, one, two] = self.first;
        3 - (zero.counts(draw) | one.counts(draw) | two.counts(draw))
            - (zero.counts(draw) | one.counts(draw))
            - zero.counts(draw)
    }
}

/// Whether the packet with this index is lost by a pattern of so many packets, which are not none.
#[inline(always)]
fn repeats(period: u32, pattern: u64, index: u64) -> u32 {
    let place = index.checked_rem(period as u64).unwrap_or(0);
    if period <= PATTERN { (pattern >> (place & 63)) as u32 & 1 } else { (place + 1 == period as u64) as u32 }
}

/// One if the packet with this index, which is the next one, is lost, else zero; `at` is what the chain carries from
/// packet to packet.
#[inline(always)]
#[must_use]
pub fn is_lost(has: u32, params: &Params, at: &mut Place, index: u64, draws: &Draws) -> u32 {
    if has & features::CHAIN != 0 && params.has_chain != 0 {
        params.chain.step(at, draws)
    } else if has & features::PATTERN != 0 && params.period != 0 {
        repeats(params.period, params.pattern, index)
    } else {
        params.loss.counts(draws.loss)
    }
}
