//! Being right again: after an outage, and after joining late. A peer is right when it has applied
//! the controller's last command; its play state alone would not do, because commands hidden from
//! it may add up to no change.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::join::CommandTimes;
use super::states::PeerStates;
use super::{OutageWindow, ScoreConfig};
use crate::units::Nanos;

/// How long after an outage the peers concerned were right again.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Convergence {
    /// The outage.
    pub outage: OutageWindow,
    /// Each peer the outage tested: from its end until the peer had applied the last command of
    /// those sent until then; none when that never came about.
    ///
    /// It tests a member of the group from which it hid a command, one sent within it or at most
    /// the largest one-way delay before, and which was there for a beat after it.
    pub peers: BTreeMap<String, Option<Nanos>>,
    /// Members of the group at its end that it did not test.
    pub untested: Vec<String>,
    /// It tested somebody.
    pub tested: bool,
    /// The slowest of `peers`; none when one never was right again, or nobody was tested.
    pub took: Option<Nanos>,
    /// One beat at the tempo then.
    pub beat: Nanos,
    /// Somebody was tested and `took` is at most a beat.
    pub within_a_beat: bool,
}

/// Looks at every outage that ended within the run, which ends at `end`.
pub(super) fn convergence(
    peers: &[PeerStates],
    commands: &[CommandTimes],
    config: &ScoreConfig,
    end: Nanos,
) -> Vec<Convergence> {
    let over = config.outages.iter().filter(|outage| outage.to <= end);
    over.filter_map(|outage| {
        let before = commands.partition_point(|c| c.commanded <= outage.to).saturating_sub(1);
        let beat = Nanos((60e9 / commands.get(before)?.after.bpm) as u64);
        let mut tested = BTreeMap::new();
        let mut untested = Vec::new();
        let member = |p: &PeerStates| p.membership.is_some_and(|m| m.member_at(outage.to));
        for (index, peer) in peers.iter().enumerate().filter(|(_, p)| outage.concerns(&p.name) && member(p)) {
            let took = first_right(index, commands, outage.to).map(|t| t - outage.to);
            let there_for = watched_until(peer, outage, config, end) - outage.to;
            let told = took.is_some_and(|t| t <= beat) || there_for >= beat;
            if told && hid_a_command(index, peer, outage, commands, config) {
                tested.insert(peer.name.clone(), took);
            } else {
                untested.push(peer.name.clone());
            }
        }
        let all: Option<Vec<Nanos>> = tested.values().copied().collect();
        let took = all.and_then(|all| all.into_iter().max());
        Some(Convergence {
            outage: outage.clone(),
            tested: !tested.is_empty(),
            peers: tested,
            untested,
            took,
            beat,
            within_a_beat: took.is_some_and(|t| t <= beat),
        })
    })
    .collect()
}

/// Until when the peer could hear after the outage: the run's end, its leave, or the next outage.
fn watched_until(peer: &PeerStates, outage: &OutageWindow, config: &ScoreConfig, end: Nanos) -> Nanos {
    let next = config.outages.iter().filter(|o| o.concerns(&peer.name) && o.from > outage.to).map(|o| o.from);
    next.chain(peer.membership.and_then(|m| m.leaving())).fold(end, Nanos::min)
}

fn hid_a_command(
    index: usize,
    peer: &PeerStates,
    outage: &OutageWindow,
    commands: &[CommandTimes],
    config: &ScoreConfig,
) -> bool {
    let Some(begin) = begin_of_silence(peer, outage, config) else {
        return false;
    };
    // A copy may have been under way when a link further on broke.
    let since = begin - config.largest_one_way_delay;
    commands.iter().any(|command| {
        let missed = command.receivers.get(index).is_some_and(|r| r.intended && r.received.is_none());
        let last_left = command.copies.iter().map(|c| c.sent).max().unwrap_or(command.commanded);
        missed && last_left >= since && command.commanded <= outage.to
    })
}

/// When the silence that ends with this outage began, over all outages of the peer that run into
/// one another; none when another one lasts on after this one's end.
fn begin_of_silence(peer: &PeerStates, outage: &OutageWindow, config: &ScoreConfig) -> Option<Nanos> {
    let own: Vec<&OutageWindow> = config.outages.iter().filter(|o| o.concerns(&peer.name)).collect();
    if own.iter().any(|o| o.from <= outage.to && o.to > outage.to) {
        return None;
    }
    let mut begin = outage.from;
    while let Some(earlier) = own.iter().filter(|o| o.from < begin && o.to >= begin).map(|o| o.from).min() {
        begin = earlier;
    }
    Some(begin)
}

/// The first instant from `from` on at which receiver `index` has applied the last command that
/// reaches it over a link: only applying makes it right, so only these instants are looked at.
fn first_right(index: usize, commands: &[CommandTimes], from: Nanos) -> Option<Nanos> {
    let heard: Vec<(Nanos, Option<Nanos>)> = commands
        .iter()
        .filter_map(|c| c.receivers.get(index).filter(|r| !r.local).map(|r| (c.commanded, r.applied)))
        .collect();
    let mut instants: Vec<Nanos> = heard.iter().filter_map(|&(_, applied)| applied).filter(|&t| t > from).collect();
    instants.push(from);
    instants.sort_unstable();
    instants.into_iter().find(|&t| {
        let so_far = heard.partition_point(|&(commanded, _)| commanded <= t);
        let last = so_far.checked_sub(1).and_then(|last| heard.get(last));
        last.is_some_and(|&(_, applied)| applied.is_some_and(|applied| applied <= t))
    })
}

/// From joining to the first right state, for a peer that joined after the first command.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct LateJoin {
    /// When it joined.
    pub joined: Nanos,
    /// How long until it had applied the last command so far; none when it never had.
    pub first_right_after: Option<Nanos>,
}

pub(super) fn late_join(index: usize, peer: &PeerStates, commands: &[CommandTimes]) -> Option<LateJoin> {
    let joined = peer.membership?.joined?;
    let first = commands.first()?;
    (joined > first.commanded)
        .then(|| LateJoin { joined, first_right_after: first_right(index, commands, joined).map(|t| t - joined) })
}
