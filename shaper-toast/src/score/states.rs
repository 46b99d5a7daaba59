//! Whose state was what when: sync failures.

use serde::{Deserialize, Serialize};

use super::join::{CommandTimes, Membership};
use super::{OutageWindow, ScoreConfig};
use crate::log::{Event, Log};
use crate::plan;
use crate::transport::Snapshot;
use crate::units::Nanos;
use crate::wire::{Command, PlayState};

/// Beyond the largest one-way delay and the burst: what a peer is allowed before it is out of sync.
pub const SYNC_TOLERANCE: Nanos = Nanos::from_millis(100);

/// How often a peer's state was not the controller's.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SyncFailures {
    /// Commands after which the peer's state differed later than the allowance.
    pub failures: u64,
    /// Commands judged: of what was meant for the peer, what is neither of the two below nor sent
    /// within the allowance before it left.
    pub judged: u64,
    /// Commands not judged because an outage lay within their allowance.
    pub in_outage: u64,
    /// Commands not judged because the next came within their allowance, or the run ended.
    pub too_close: u64,
}

/// The states of a peer as its log has them.
pub(super) struct PeerStates {
    pub(super) name: String,
    pub(super) membership: Option<Membership>,
    applied: Vec<(Nanos, Snapshot)>,
}

impl PeerStates {
    pub(super) fn new(name: &str, log: Option<&Log>) -> PeerStates {
        PeerStates {
            name: name.to_owned(),
            membership: log.map(Membership::of),
            applied: log.map_or_else(Vec::new, |log| {
                log.events
                    .iter()
                    .filter_map(|event| match event {
                        Event::Applied { t, after, .. } => Some((*t, *after)),
                        _ => None,
                    })
                    .collect()
            }),
        }
    }

    /// How many changes had happened by `t`, `t` included.
    fn changes_by(&self, t: Nanos) -> usize {
        self.applied.partition_point(|&(at, _)| at <= t)
    }

    fn state_at(&self, t: Nanos) -> Option<&(Nanos, Snapshot)> {
        self.applied.get(self.changes_by(t).checked_sub(1)?)
    }

    fn right_at(&self, t: Nanos, command: &CommandTimes, allowance: Nanos) -> bool {
        self.state_at(t).is_some_and(|change| agrees(change, command, t, allowance))
    }

    fn concerned(&self, t: Nanos) -> bool {
        self.membership.is_none_or(|m| m.covers(t))
    }

    /// The last state it had, if any command ever reached it.
    pub(super) fn last(&self) -> Option<Snapshot> {
        self.applied.last().map(|&(_, s)| s)
    }
}

/// Whether a peer's state is what the command asked for. The position is asked for only by
/// POSITION, and is allowed to be off by as much as the command was allowed to be late.
fn agrees(&(at, shown): &(Nanos, Snapshot), command: &CommandTimes, t: Nanos, allowance: Nanos) -> bool {
    let wanted = command.after;
    if shown.state != wanted.state || (shown.bpm - wanted.bpm).abs() > 1e-6 {
        return false;
    }
    if command.command != Command::Position {
        return true;
    }
    let run = |since: Nanos| match wanted.state {
        PlayState::Playing => (t - since).as_secs_f64(),
        PlayState::Stopped | PlayState::Paused => 0.0,
    };
    let off = (shown.position + run(at)) - (wanted.position + run(command.commanded));
    off.abs() <= allowance.as_secs_f64()
}

impl ScoreConfig {
    /// How long after a command a peer may still differ.
    #[must_use]
    pub fn allowance(&self) -> Nanos {
        plan::sync_allowance(self.largest_one_way_delay, self.burst_length)
    }
}

/// Judges every command at the peer that is receiver `index`. `end` is the end of the run.
pub(super) fn sync_failures(
    index: usize,
    peer: &PeerStates,
    commands: &[CommandTimes],
    config: &ScoreConfig,
    end: Nanos,
) -> SyncFailures {
    let mut found = SyncFailures::default();
    for (i, command) in commands.iter().enumerate() {
        let from = command.commanded;
        let deadline = from + config.allowance();
        let meant = command.receivers.get(index).is_some_and(|r| r.intended);
        if !(meant && peer.concerned(deadline)) {
            continue;
        }
        let next = commands.get(i + 1).map_or(end, |c| c.commanded);
        let hit = |o: &OutageWindow| o.cuts(command, &peer.name) && o.from <= deadline && o.to >= from;
        if config.outages.iter().any(hit) {
            found.in_outage += 1;
        } else if next <= deadline {
            found.too_close += 1;
        } else {
            found.judged += 1;
            let later = peer.changes_by(deadline)..peer.changes_by(Nanos(next.0 - 1));
            let stays = peer
                .applied
                .get(later)
                .is_none_or(|changes| changes.iter().all(|c| agrees(c, command, c.0, config.allowance())));
            if !(peer.right_at(deadline, command, config.allowance()) && stays) {
                found.failures += 1;
            }
        }
    }
    found
}
