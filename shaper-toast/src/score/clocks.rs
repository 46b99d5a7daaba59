//! What clocks did: position drift, and the offset estimate against what was injected.

use serde::{Deserialize, Serialize};

use super::ScoreConfig;
use super::stats::nearest_rank;
use crate::log::{Event, Log};
use crate::transport::Snapshot;
use crate::units::{Micros, Nanos, Ppm};
use crate::wire::PlayState;

/// How much faster a peer's position ran than the controller's.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Drift {
    /// The difference in rate.
    pub drift: Ppm,
    /// Standard error that reading a microsecond clock at both ends of each stretch leaves.
    pub resolution: Ppm,
    /// How long the peer played in all.
    pub played: Nanos,
}

/// The clock estimate of a peer against the truth, which is known because it was injected.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ClockScore {
    /// Whose clock was asked.
    pub controller: String,
    /// Exchanges completed.
    pub exchanges: u64,
    /// Last estimate of the controller's clock less the peer's, in microseconds.
    pub estimated_offset: f64,
    /// The truth, the controller's clock less the peer's, at the instant of the exchange that
    /// decided: an offset injected into the peer's clock shows here with the other sign.
    pub injected_offset: f64,
    /// Last estimate less truth.
    pub error: f64,
    /// Half the deciding exchange's delay, in microseconds: no symmetric or asymmetric link can
    /// make the error larger.
    pub bound: f64,
    /// Median of the error's magnitude once the filter was full.
    pub median_error: Option<f64>,
    /// Largest of it.
    pub largest_error: Option<f64>,
    /// Half the configured asymmetry (to the controller less back), in microseconds: the error an
    /// ideal link of that asymmetry causes.
    pub asymmetry_error: Option<f64>,
    /// Last estimate of how much faster the controller's clock runs.
    pub estimated_skew: Option<Ppm>,
    /// The truth.
    pub injected_skew: Ppm,
    /// The same seen the other way round, as a peer's clock is put wrong.
    pub peer_ahead: PeerAhead,
}

/// How far a peer's clock is ahead of the controller's, in microseconds: positive where the peer's
/// shows the later time, which is the sense in which an offset is injected into a peer's clock.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct PeerAhead {
    /// Last estimate of how far the peer's clock is ahead.
    pub estimated_offset: f64,
    /// How far it was ahead in truth at the instant of the exchange that decided: what was
    /// injected, and what the skew had added since.
    pub injected_offset: f64,
    /// Estimate less truth.
    pub error: f64,
    /// What the error's magnitude cannot exceed.
    pub bound: f64,
    /// The error that the configured asymmetry causes on an ideal link: half of it, and positive
    /// where the way from controller to peer is the longer one.
    pub asymmetry_error: Option<f64>,
    /// Last estimate of how much faster the peer's clock runs.
    pub estimated_skew: Option<Ppm>,
    /// How much faster it runs in truth.
    pub injected_skew: Ppm,
}

/// The other clock's rate against this one's.
fn inverse(Ppm(skew): Ppm) -> Ppm {
    Ppm((1.0 / (1.0 + skew * 1e-6) - 1.0) * 1e6)
}

/// A stretch of changes: instant, transport before, transport after.
type Change = (Nanos, Snapshot, Snapshot);

/// How much faster than CLOCK_MONOTONIC the position ran, over how long, in how many stretches.
fn rate(changes: &[Change]) -> Option<(f64, Nanos, usize)> {
    let mut gained = 0.0;
    let mut played = Nanos::ZERO;
    let mut stretches = 0;
    for pair in changes.windows(2) {
        if let [(from, _, after), (to, before, _)] = pair
            && after.state == PlayState::Playing
        {
            gained += before.position - after.position;
            played = played + (*to - *from);
            stretches += 1;
        }
    }
    (played > Nanos::ZERO).then(|| {
        let seconds = played.as_secs_f64();
        ((gained - seconds) / seconds, played, stretches)
    })
}

pub(super) fn drift(controller: &Log, peer: &Log) -> Option<Drift> {
    let commanded: Vec<Change> = controller
        .events
        .iter()
        .filter_map(|event| match event {
            Event::Commanded { t, before, after, .. } => Some((*t, *before, *after)),
            _ => None,
        })
        .collect();
    let applied: Vec<Change> = peer
        .events
        .iter()
        .filter_map(|event| match event {
            Event::Applied { t, before, after, .. } => Some((*t, *before, *after)),
            _ => None,
        })
        .collect();
    let (reference, reference_played, m) = rate(&commanded)?;
    let (own, played, n) = rate(&applied)?;
    // Two uniform roundings of 1 us a stretch: variance 2/12 us^2.
    let error = |stretches: usize, played: Nanos| (stretches as f64 / 6.0).sqrt() * 1e-6 / played.as_secs_f64();
    let resolution = error(n, played).hypot(error(m, reference_played));
    Some(Drift { drift: Ppm((own - reference) * 1e6), resolution: Ppm(resolution * 1e6), played })
}

pub(super) fn clock_score(controller: &Log, peer: &Log, config: &ScoreConfig) -> Option<ClockScore> {
    let estimates: Vec<_> = peer
        .events
        .iter()
        .filter_map(|event| match event {
            Event::ClockEstimate { with, sample_t, estimate, .. } if *with == controller.peer_id => {
                Some((*sample_t, *estimate))
            }
            _ => None,
        })
        .collect();
    let &(at, last) = estimates.last()?;
    let truth = |t: Nanos| controller.clock.offset_from(&peer.clock, t);
    let mut errors: Vec<f64> = estimates
        .iter()
        .filter(|(_, e)| e.exchanges >= crate::sync::FILTER_LEN as u64)
        .map(|(t, e)| (e.offset - truth(*t)).abs())
        .collect();
    errors.sort_unstable_by(f64::total_cmp);
    let Micros(delay) = last.delay;
    let asymmetry = config.asymmetries.iter().find(|a| a.peer == peer.peer_id);
    let rate = |log: &Log| 1.0 + log.clock.config.skew.0 * 1e-6;
    let error = last.offset - truth(at);
    let bound = delay as f64 / 2.0;
    let asymmetry_error = asymmetry.map(|a| a.forward_minus_backward as f64 / 2e3);
    let injected_skew = Ppm((rate(controller) / rate(peer) - 1.0) * 1e6);
    Some(ClockScore {
        controller: controller.peer_id.clone(),
        exchanges: last.exchanges,
        estimated_offset: last.offset,
        injected_offset: truth(at),
        error,
        bound,
        median_error: nearest_rank(&errors, 0.5).copied(),
        largest_error: errors.last().copied(),
        asymmetry_error,
        estimated_skew: last.skew,
        injected_skew,
        // Subtracting from 0 turns the sign without making a -0 of a 0.
        peer_ahead: PeerAhead {
            estimated_offset: 0.0 - last.offset,
            injected_offset: 0.0 - truth(at),
            error: 0.0 - error,
            bound,
            asymmetry_error: asymmetry_error.map(|error| 0.0 - error),
            estimated_skew: last.skew.map(inverse),
            injected_skew: inverse(injected_skew),
        },
    })
}
