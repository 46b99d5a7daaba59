//! A link's loss and delay fitted to what was measured of it, packet by packet.
//!
//! [`Series`] is what was measured, in order of sending; [`fit`] finds the model of the losses (`loss`) and of the delays
//! (`delay`). Models are fitted on every other block in time and judged on the blocks between (`blocks`), so that neither
//! a richer model nor a link that changes makes a fit look better than it is. What was chosen is then fitted on all.

mod blocks;
mod bottleneck;
mod delay;
mod draws;
mod loss;
mod outage;
mod series;
mod special;
mod text;

use serde::Serialize;
use thiserror::Error;

pub use bottleneck::Bottleneck;
pub use delay::{Correlation, DelayCandidate, DelayFit, DelayModel, Lag, OrderFound, OrderVerdict, Shape, TablePoint};
pub use loss::{
    ChosenLoss, Distance, HeldOut, LossCandidate, LossFit, LossKind, LossModel, Parameter, Transitions, transitions,
};
pub use outage::{Outage, Outages};
pub use series::{Fate, Observed, Series};

/// Packets that a fit takes at least: two halves of 200.
///
/// By the inequality of Dvoretzky, Kiefer and Wolfowitz (Massart, Ann. Probab. 18, 1990) a distribution function is
/// then known within `sqrt(ln(2 / 0.05) / (2 * 200)) = 0.096` in either half, at 95 %: with fewer hardly any model could
/// be refuted.
pub const LEAST_PACKETS: usize = 400;

/// What a fit is told beside the series.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// Differences of delay up to this are taken for the measuring host's own, in nanoseconds.
    pub resolution_ns: i64,
    /// Seeds the resampling of blocks and the stream that order is judged by: the same seed gives the same result.
    pub seed: u64,
}

impl Default for Options {
    fn default() -> Self {
        Self { resolution_ns: 100_000, seed: 1 }
    }
}

/// Why nothing was fitted.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum FitError {
    /// Too short a series.
    #[error(
        "{known} packets whose fate is known: a fit takes {least} or more, 200 to fit on and 200 to judge by, with \
         which a distribution function is known within 0.1: measure for longer"
    )]
    TooFew {
        /// Packets whose fate is known.
        known: usize,
        /// What is needed.
        least: usize,
    },
    /// Nothing came through.
    #[error("all {lost} packets whose fate is known were lost: there is no link to fit")]
    AllLost {
        /// Packets lost.
        lost: usize,
    },
    /// Packets that arrive before they are sent.
    #[error(
        "the smallest delay is {delay_ns} ns, below zero: the clocks of both ends differ by more than the delay; give a \
         series whose clocks are known against each other"
    )]
    Negative {
        /// The smallest.
        delay_ns: i64,
    },
}

/// One direction, fitted.
#[derive(Clone, Debug, Serialize)]
pub struct Fit {
    /// Packets in the series.
    pub packets: usize,
    /// Of these, that came through.
    pub arrived: usize,
    /// Of these, that were lost.
    pub lost: usize,
    /// Of these, that are left out: edge and unmatched packets, of which nobody knows, and those that met a link known to be
    /// down.
    pub unknown: usize,
    /// From the first to the last packet sent, in nanoseconds; `None` where the series has no times.
    pub span_ns: Option<i64>,
    /// Blocks in time; every other one was fitted on, the others judged by.
    pub blocks: usize,
    /// How packets are lost.
    pub loss: LossFit,
    /// How long they take; `None` where too few delays are known.
    pub delay: Option<DelayFit>,
    /// What looks like outages, which are not fitted: their losses are not among those of `loss`.
    pub outages: Option<Outages>,
    /// What looks like a bottleneck, which is not fitted: its delays are among those of `delay`, and what met a queue that was
    /// full is not in `loss`.
    pub bottleneck: Option<Bottleneck>,
}

/// Fits one direction.
///
/// # Errors
/// [`FitError`] if the series cannot be fitted.
pub fn fit(series: &Series, options: &Options) -> Result<Fit, FitError> {
    let count = |which: fn(&Fate) -> bool| series.packets.iter().filter(|packet| which(&packet.fate)).count();
    let lost = count(|fate| matches!(fate, Fate::Lost));
    let unknown = count(|fate| matches!(fate, Fate::Down | Fate::Unknown));
    let packets = series.packets.len();
    let arrived = packets - lost - unknown;
    let known = arrived + lost;
    if known < LEAST_PACKETS {
        return Err(FitError::TooFew { known, least: LEAST_PACKETS });
    }
    if arrived == 0 {
        return Err(FitError::AllLost { lost });
    }
    let delays = series.packets.iter().filter_map(|packet| packet.fate.delay_ns());
    if let Some(delay_ns) = delays.min().filter(|least| *least < 0 && series.absolute) {
        return Err(FitError::Negative { delay_ns });
    }
    let blocks = blocks::split(packets, lost);
    let mut loss = loss::fit(series, &blocks, options);
    let delay = delay::fit(series, &blocks, options);
    let span_ns = match (series.packets.first(), series.packets.last()) {
        (Some(first), Some(last)) if series.timed => Some(last.sent_ns.saturating_sub(first.sent_ns)),
        _ => None,
    };
    let outages = outage::find(series, loss.accepted);
    let bottleneck = bottleneck::find(series, &blocks, options);
    let has_end = bottleneck.is_some_and(|bottleneck| bottleneck.queue_ns.is_some());
    if outages.is_some() || has_end {
        let mut rest = series.clone();
        bottleneck.iter().for_each(|bottleneck| bottleneck.leave_out(&mut rest));
        outages.iter().for_each(|outages| outages.leave_out(&mut rest));
        loss = loss::fit(&rest, &blocks, options);
    }
    Ok(Fit { packets, arrived, lost, unknown, span_ns, blocks: blocks.len(), loss, delay, outages, bottleneck })
}
