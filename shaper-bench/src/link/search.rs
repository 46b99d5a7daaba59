//! The highest rate that a link carries without loss.

use anyhow::Result;

use crate::Session;
use crate::link::bed::Bed;
use crate::link::source::{Rate, Source, Trial};

/// The loss up to which a trial counts as one without: on a machine with other work a burst is lost now and then.
const TOLERATED: f64 = 0.001;
/// Trials of the search: the answer is right to a 64th of where it begins.
const STEPS: u32 = 6;

/// Packets a second, found by halving the interval between none and what was delivered flat out.
pub(crate) fn most_without_loss(session: &Session, source: &mut Source, bed: &Bed, flat_out: &Trial) -> Result<f64> {
    if flat_out.loss() <= TOLERATED {
        return Ok(flat_out.delivered_rate());
    }
    let mut carried = 0.0;
    let (mut low, mut high) = (0.0, flat_out.offered_rate());
    for _ in 0..STEPS {
        session.check()?;
        let rate = f64::midpoint(low, high);
        let trial = source.trial(bed, Rate::Paced(rate))?;
        if trial.loss() <= TOLERATED {
            low = rate;
            carried = trial.delivered_rate();
        } else {
            high = rate;
        }
    }
    Ok(carried)
}
