//! Whose state was what when: sync failures, re-convergence after outages, a late joiner's first
//! right state.

use serde::{Deserialize, Serialize};

use super::join::{CommandTimes, Membership};
use super::{OutageWindow, ScoreConfig};
use crate::log::{Event, Log};
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
    /// Commands judged.
    pub judged: u64,
    /// Commands not judged because an outage lay within their allowance.
    pub in_outage: u64,
    /// Commands not judged because the next came within their allowance, or the run ended.
    pub too_close: u64,
}

/// How long after an outage every peer concerned was right again.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Convergence {
    /// The outage.
    pub outage: OutageWindow,
    /// From its end until every peer concerned had the state of the controller's last command;
    /// none when that never came about.
    pub took: Option<Nanos>,
    /// One beat at the tempo then.
    pub beat: Nanos,
    /// `took` is at most a beat.
    pub within_a_beat: bool,
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
        self.largest_one_way_delay + self.burst_length + SYNC_TOLERANCE
    }
}

/// Judges every command at one peer. `end` is the end of the run.
pub(super) fn sync_failures(
    peer: &PeerStates,
    commands: &[CommandTimes],
    config: &ScoreConfig,
    end: Nanos,
) -> SyncFailures {
    let mut found = SyncFailures::default();
    for (i, command) in commands.iter().enumerate() {
        let from = command.commanded;
        let deadline = from + config.allowance();
        if !(peer.concerned(from) && peer.concerned(deadline)) {
            continue;
        }
        let next = commands.get(i + 1).map_or(end, |c| c.commanded);
        let hit = |o: &OutageWindow| o.concerns(&peer.name) && o.from <= deadline && o.to >= from;
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

/// Looks, for every outage that ended within the run, for the first instant at which all peers
/// concerned were right.
pub(super) fn convergence(
    peers: &[PeerStates],
    commands: &[CommandTimes],
    config: &ScoreConfig,
    end: Nanos,
) -> Vec<Convergence> {
    config
        .outages
        .iter()
        .filter(|outage| outage.to <= end)
        .filter_map(|outage| {
            let concerned: Vec<&PeerStates> =
                peers.iter().filter(|p| outage.concerns(&p.name) && p.concerned(outage.to)).collect();
            let before = last_command(commands, outage.to)?;
            if concerned.is_empty() {
                return None;
            }
            let beat = Nanos((60e9 / before.after.bpm) as u64);
            let took = first_right(&concerned, commands, outage.to, config.allowance()).map(|at| at - outage.to);
            Some(Convergence { outage: outage.clone(), took, beat, within_a_beat: took.is_some_and(|t| t <= beat) })
        })
        .collect()
}

/// The first instant from `from` on at which all of `peers` are right: states change only when
/// something is applied or commanded, so only these instants are looked at.
fn first_right(peers: &[&PeerStates], commands: &[CommandTimes], from: Nanos, allowance: Nanos) -> Option<Nanos> {
    let mut instants: Vec<Nanos> =
        peers.iter().flat_map(|p| &p.applied).map(|&(t, _)| t).filter(|&t| t > from).collect();
    instants.push(from);
    instants.sort_unstable();
    instants.into_iter().find(|&t| {
        last_command(commands, t).is_some_and(|command| peers.iter().all(|p| p.right_at(t, command, allowance)))
    })
}

fn last_command(commands: &[CommandTimes], t: Nanos) -> Option<&CommandTimes> {
    commands.get(commands.partition_point(|c| c.commanded <= t).checked_sub(1)?)
}

/// From joining to the first right state, for a peer that joined after the first command.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct LateJoin {
    /// When it joined.
    pub joined: Nanos,
    /// How long it took; none when it never was right.
    pub first_right_after: Option<Nanos>,
}

pub(super) fn late_join(peer: &PeerStates, commands: &[CommandTimes], config: &ScoreConfig) -> Option<LateJoin> {
    let joined = peer.membership?.joined?;
    let first = commands.first()?;
    (joined > first.commanded).then(|| LateJoin {
        joined,
        first_right_after: first_right(&[peer], commands, joined, config.allowance()).map(|t| t - joined),
    })
}
