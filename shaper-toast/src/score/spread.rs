//! First to last peer.

use serde::{Deserialize, Serialize};

use super::join::{CommandTimes, ReceiverTimes};
use super::stats::{Times, TimesOfAll, nearest_rank, nearest_rank_of};
use crate::units::Nanos;

/// From the first peer's changed state to the last one's, per command meant for two peers or more.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Spread {
    /// Over the commands that changed the state of every peer they were meant for; `missing` are
    /// those that did not.
    pub times: Times,
    /// Over all commands: where a peer never followed, the last one took infinitely long.
    pub times_all: TimesOfAll,
    /// Median of `times` as a fraction of a beat.
    pub beats_p50: Option<f64>,
    /// 95 % of `times` as a fraction of a beat.
    pub beats_p95: Option<f64>,
    /// 99 % of `times` as a fraction of a beat.
    pub beats_p99: Option<f64>,
    /// Largest of `times` as a fraction of a beat.
    pub beats_max: Option<f64>,
    /// 95 % over all commands, as `times_all` has it, as a fraction of a beat.
    pub beats_p95_all: Option<f64>,
}

pub(super) fn spread(commands: &[CommandTimes]) -> Spread {
    let mut times = Vec::new();
    let mut beats = Vec::new();
    let mut incomplete = 0;
    for command in commands {
        let meant: Vec<&ReceiverTimes> = command.receivers.iter().filter(|r| r.intended).collect();
        if meant.len() < 2 {
            continue;
        }
        let applied: Option<Vec<Nanos>> = meant.iter().map(|r| r.applied).collect();
        match applied.and_then(|t| Some(*t.iter().max()? - *t.iter().min()?)) {
            Some(spread) => {
                times.push(spread);
                beats.push(spread.as_secs_f64() * command.after.bpm / 60.0);
            }
            None => incomplete += 1,
        }
    }
    beats.sort_unstable_by(f64::total_cmp);
    let rank = |q| nearest_rank(&beats, q).copied();
    Spread {
        times: Times::new(times.clone(), incomplete),
        times_all: TimesOfAll::new(times, incomplete),
        beats_p50: rank(0.50),
        beats_p95: rank(0.95),
        beats_p99: rank(0.99),
        beats_max: beats.last().copied(),
        beats_p95_all: nearest_rank_of(&beats, incomplete, 0.95).copied(),
    }
}
