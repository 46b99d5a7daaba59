//! PIE: proportional integral controller enhanced (Pan, Natarajan, Baker, White, RFC 8033).
//!
//! Packets are dropped, or marked, as they come, with a probability that a controller moves every 15 ms. What the RFC
//! estimates, the queueing delay, is known here. Of the optional parts there are marking (section 5.1), the cap on how
//! fast the probability grows (5.5) and derandomisation (5.4); there is no dropping by the byte, and no turning off
//! while the queue is short.
//!
//! What differs from the RFC:
//!
//! - Updates are made at the next arrival, with the delays of their own times: see [`super::control`] for long
//!   silences.
//! - The probability decays by 1/64 at each update of an idle queue, which the RFC calls sufficient for its 2 %.
//! - That the queue holds no more than two packets of mean size, in which case none is dropped, is a time here
//!   ([`PieSettings::short`]): the queue's bytes are not known, how long they take is.

use super::control::{Due, Gains, ONE, Step, counted, delay_at, per_nano, threshold};
use super::fixed::{lesser, negative, positive, reaches};
use super::{Action, Ecn};
use crate::units::{Nanos, Probability};

/// One part of so many, as a probability.
const fn share(parts: u64) -> i64 {
    (ONE / parts) as i64
}

/// Growth of the probability at one update, where it is a tenth or more, is held to this: 2 %.
const MOST_GROWTH: i64 = share(50);
/// Below this many expected drops since the last one there is none: 0.85 (RFC 8033 section 5.4).
const FEWEST: u64 = ONE / 100 * 85;
/// From this many on there is one: 8.5.
const MOST: u64 = ONE / 10 * 85;

/// Settings of PIE.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PieSettings {
    /// Target, update interval and weights.
    pub gains: Gains,
    /// For how long a burst passes, after the queue was idle.
    pub max_burst: Nanos,
    /// A queue of no more time than this drops nothing: two packets of mean size at the link's rate.
    pub short: Nanos,
    /// Up to this probability packets whose transport allows it are marked instead of dropped.
    pub ecn_threshold: Probability,
    /// One to hold drops apart and let none be overdue (about half of [`Pie::probability`] is dropped then, to which
    /// the controller adapts); zero when each draw stands by itself.
    pub derandomise: u32,
    /// Explicit padding.
    pub _reserved: u32,
}

impl Default for PieSettings {
    /// The RFC's: 15 ms, 1/8 Hz, 1 1/4 Hz, 150 ms, marks up to 10 %. What a short queue is depends on the rate and is
    /// left at none.
    fn default() -> Self {
        Self {
            gains: Gains {
                target: Nanos(15_000_000),
                update: Nanos(15_000_000),
                alpha: per_nano(125),
                beta: per_nano(1_250),
            },
            max_burst: Nanos(150_000_000),
            short: Nanos::ZERO,
            ecn_threshold: Probability((1 << 32) / 10),
            derandomise: 0,
            _reserved: 0,
        }
    }
}

/// What PIE carries over from packet to packet; all zero at first.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Pie {
    /// The probability of a drop, as a multiple of 2^-52.
    pub probability: u64,
    /// The queueing delay at the last update, as it is counted: 2.15 s at most.
    pub delay_old: Nanos,
    /// When the next update falls due; zero before the first packet.
    pub next_update: Nanos,
    /// For how long packets still pass.
    pub burst_allowance: Nanos,
    /// Drops expected since the last one, as a multiple of 2^-52.
    pub expected: u64,
}

/// By which power of two a change is reduced, so that small probabilities change by small steps (RFC 8033 section 4.2):
/// 2048 below 10^-6, 512 below 10^-5, and so on to 8 below 10^-2 and 2 below 10^-1.
#[inline(always)]
fn reduction(probability: i64) -> i64 {
    let twice = reaches(probability, share(1_000_000))
        + reaches(probability, share(100_000))
        + reaches(probability, share(10_000))
        + reaches(probability, share(1_000))
        + reaches(probability, share(100));
    11 - 2 * twice - reaches(probability, share(10))
}

impl Pie {
    /// Makes the updates of a step, at a queueing delay.
    #[inline(always)]
    fn update(&mut self, settings: &PieSettings, delay: i64, step: Step) {
        let (before, old, width) = (self.probability as i64, counted(self.delay_old), step.width);
        let change = settings.gains.change(delay, old, width) >> reduction(before);
        // 2^62 is farther than any change, which is halved at least, where the probability is below a tenth.
        let most = MOST_GROWTH * width + (negative(before.wrapping_sub(share(10))) & (1 << 62));
        let after = positive(lesser(before.wrapping_add(lesser(change, most)), ONE as i64));
        // (1 - 1/64)^width, to the second order.
        let decay = ((after * width) >> 6) - ((after * ((width * (width - 1)) >> 1)) >> 12);
        let is_idle = negative((delay | old) - 1);
        self.probability = (after - (decay & is_idle)) as u64;
        self.delay_old = Nanos(delay as u64);
        self.burst_allowance = Nanos(positive(self.burst_allowance.0.wrapping_sub(step.span.0) as i64) as u64);
    }

    /// Whether a packet is dropped or marked, after all that lets it pass whatever the probability.
    #[inline(always)]
    fn hits(&mut self, settings: &PieSettings, draw: u32) -> bool {
        let by_draw = threshold(self.probability).hits(draw);
        if settings.derandomise == 0 {
            return by_draw;
        }
        self.expected = if self.probability == 0 { 0 } else { self.expected.saturating_add(self.probability) };
        let hit = self.expected >= MOST || (self.expected >= FEWEST && by_draw);
        if hit {
            self.expected = 0;
        }
        hit
    }
}

/// What PIE does with a packet that comes `now`, when the bottleneck has served all it took at `free_at`.
/// `is_short` says that no more than two full packets wait.
///
/// Times of arrival never decrease from packet to packet. Every packet that the bottleneck serves is asked about here,
/// so that between two calls the queue only drains. A packet that is dropped must take no service.
#[inline(always)]
#[must_use]
pub fn acts(
    settings: &PieSettings,
    state: &mut Pie,
    now: Nanos,
    free_at: Nanos,
    is_short: bool,
    ecn: Ecn,
    draw: u32,
) -> Action {
    let mut due = Due::take(&mut state.next_update, settings.gains.update, now);
    while let Some(step) = due.step() {
        state.update(settings, delay_at(free_at, step.at), step);
    }
    let delay = free_at.saturating_sub(now);
    let half = Nanos(settings.gains.target.0 >> 1);
    let was_below = state.delay_old < half;
    if state.probability == 0 && was_below && delay < half {
        state.burst_allowance = settings.max_burst;
    }
    let passes = state.burst_allowance > Nanos::ZERO || (was_below && state.probability < ONE / 5) || is_short;
    if passes || !state.hits(settings, draw) {
        Action::Pass
    } else if ecn.is_capable() && threshold(state.probability) <= settings.ecn_threshold {
        Action::Mark
    } else {
        Action::Drop
    }
}
