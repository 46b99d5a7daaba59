//! Coupled PI2 in a single queue (De Schepper, Bondarenko, Tsang, Briscoe, "PI2: a linearized AQM for both classic and
//! scalable TCP", CoNEXT 2016; RFC 9332 section 2.1 and appendix A).
//!
//! A controller moves a base probability p'. Classic packets are dropped, or marked if they are ECT(0), with p'^2, L4S
//! packets marked with k p': since the rate of a classic flow falls with the root of its losses, and that of a scalable
//! one with its marks, flows of both kinds come to about equal rates. The RFC's second queue, which keeps L4S packets
//! from waiting behind classic ones, is left out: see [`super::step`] for why, and add its marking if L4S is to see its
//! own queue sooner. So both kinds wait for about the target.
//!
//! Overload (RFC 9332 section 4.2): p' is bounded at 1/k, classic drops at 1/k^2. At that bound L4S packets are all
//! marked, and dropped with the probability of classic ones, and marks no longer stand for drops of classic ones; what
//! comes beyond that is for the queue's tail to drop.
//!
//! What differs from the RFC: where it accumulates probabilities to draw less at random, each packet has one draw here.
//! Updates are made at the next arrival, see [`super::control`].

use super::control::{Due, Gains, ONE, counted, delay_at, per_nano, threshold};
use super::fixed::{lesser, positive};
use super::{Action, Ecn};
use crate::units::{Nanos, Probability};

/// Settings of PI2.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pi2Settings {
    /// Target, update interval and weights.
    pub gains: Gains,
    /// A queue of no more time than this neither drops nor marks: two full packets at the link's rate.
    pub short: Nanos,
    /// The coupling factor k, from 1 to 2^20; others count as the nearest.
    pub coupling: u32,
    /// Explicit padding.
    pub _reserved: u32,
}

impl Default for Pi2Settings {
    /// The RFC's for round-trip times up to 100 ms: 15 ms, `0.1 * update / 100 ms ^ 2`, `0.3 / 100 ms`, coupling 2.
    /// What a short queue is depends on the rate and is left at none.
    fn default() -> Self {
        Self {
            gains: Gains {
                target: Nanos(15_000_000),
                update: Nanos(15_000_000),
                alpha: per_nano(150),
                beta: per_nano(3_000),
            },
            short: Nanos::ZERO,
            coupling: 2,
            _reserved: 0,
        }
    }
}

impl Pi2Settings {
    /// The coupling factor, within its bounds.
    #[inline(always)]
    const fn factor(&self) -> u64 {
        let most = 1 << 20;
        match self.coupling {
            0 => 1,
            coupling if coupling > most => most as u64,
            coupling => coupling as u64,
        }
    }

    /// The most that the base probability comes to.
    #[inline(always)]
    fn most(&self) -> u64 {
        ONE.checked_div(self.factor()).unwrap_or(ONE)
    }
}

/// What PI2 carries over from packet to packet; all zero at first.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Pi2 {
    /// The base probability p', as a multiple of 2^-52.
    pub probability: u64,
    /// The queueing delay at the last update, as it is counted: 2.15 s at most.
    pub delay_old: Nanos,
    /// When the next update falls due; zero before the first packet.
    pub next_update: Nanos,
}

impl Pi2 {
    /// The base probability, which no state makes larger than one.
    #[inline(always)]
    const fn bounded(&self) -> u64 {
        if self.probability > ONE { ONE } else { self.probability }
    }

    /// The probability of a classic drop or mark: p'^2.
    #[inline(always)]
    #[must_use]
    pub const fn classic(&self) -> Probability {
        // Multiples of 2^-26, whose square is one of 2^-52: p' is rounded down by less than 2^-26.
        let base = self.bounded() >> 26;
        threshold(base * base)
    }

    /// The probability of an L4S mark: k p', one at most.
    #[inline(always)]
    #[must_use]
    pub const fn scalable(&self, settings: &Pi2Settings) -> Probability {
        let threshold = threshold(self.bounded()).0 * settings.factor();
        if threshold > Probability::ALWAYS.0 { Probability::ALWAYS } else { Probability(threshold) }
    }
}

/// What PI2 does with a packet that comes `now`, when the bottleneck has served all it took at `free_at`.
/// `is_short` says that no more than two full packets wait.
///
/// The same holds for times and calls as in [`super::pie::acts`].
#[inline(always)]
#[must_use]
pub fn acts(
    settings: &Pi2Settings,
    state: &mut Pi2,
    now: Nanos,
    free_at: Nanos,
    is_short: bool,
    ecn: Ecn,
    draw: u32,
) -> Action {
    let most = settings.most();
    let mut due = Due::take(&mut state.next_update, settings.gains.update, now);
    while let Some(step) = due.step() {
        let delay = delay_at(free_at, step.at);
        let change = settings.gains.change(delay, counted(state.delay_old), step.width);
        let moved = (state.bounded() as i64).wrapping_add(change);
        state.probability = positive(lesser(moved, most as i64)) as u64;
        state.delay_old = Nanos(delay as u64);
    }
    if is_short {
        return Action::Pass;
    }
    let is_overloaded = state.probability >= most;
    let drops = state.classic().hits(draw);
    if ecn.is_l4s() {
        if is_overloaded && drops {
            Action::Drop
        } else if state.scalable(settings).hits(draw) {
            Action::Mark
        } else {
            Action::Pass
        }
    } else if !drops {
        Action::Pass
    } else if ecn.is_capable() && !is_overloaded {
        Action::Mark
    } else {
        Action::Drop
    }
}
