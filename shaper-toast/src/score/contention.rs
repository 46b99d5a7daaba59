//! Two controllers at once.

use std::collections::HashSet;

use serde::{Deserialize, Serialize};

use super::join::CommandTimes;
use super::log_of;
use super::states::PeerStates;
use crate::log::{Event, Log};

/// What two controllers at once led to.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Contention {
    /// The controllers.
    pub controllers: Vec<String>,
    /// Commands whose predecessor came from another controller.
    pub interleaved: u64,
    /// Commands that every peer with a log applied: on them the order is judged.
    pub common: u64,
    /// Whether every peer applied these in the same order; says nothing where they are none, or
    /// one peer is all there is.
    pub same_order: bool,
    /// The peers that were members of the group at the end: on them the final state is judged.
    pub members_at_end: Vec<String>,
    /// Whether all of these ended in the same state and tempo; says nothing of fewer than two.
    pub same_final_state: bool,
}

pub(super) fn contention(
    controllers: &[&Log],
    commands: &[CommandTimes],
    states: &[PeerStates],
    logs: &[Log],
) -> Option<Contention> {
    if controllers.len() < 2 {
        return None;
    }
    let interleaved =
        commands.windows(2).filter(|pair| matches!(pair, [a, b] if a.controller != b.controller)).count() as u64;
    let orders: Vec<Vec<(&str, u32)>> = states
        .iter()
        .filter_map(|p| log_of(logs, &p.name))
        .map(|log| {
            log.events
                .iter()
                .filter_map(|e| match e {
                    Event::Applied { from, seq, .. } => Some((from.as_str(), *seq)),
                    _ => None,
                })
                .collect()
        })
        .collect();
    let sets: Vec<HashSet<(&str, u32)>> = orders.iter().map(|o| o.iter().copied().collect()).collect();
    let common: Vec<Vec<(&str, u32)>> = orders
        .iter()
        .map(|order| order.iter().filter(|c| sets.iter().all(|s| s.contains(*c))).copied().collect())
        .collect();
    let at_end: Vec<&PeerStates> =
        states.iter().filter(|p| p.membership.is_some_and(|m| m.joined.is_some() && m.leaving().is_none())).collect();
    let same_final_state = at_end.windows(2).all(|pair| match pair {
        [a, b] => match (a.last(), b.last()) {
            (Some(a), Some(b)) => a.state == b.state && (a.bpm - b.bpm).abs() < 1e-6,
            (None, None) => true,
            _ => false,
        },
        _ => true,
    });
    Some(Contention {
        controllers: controllers.iter().map(|l| l.peer_id.clone()).collect(),
        interleaved,
        common: common.first().map_or(0, |c| c.len() as u64),
        same_order: common.windows(2).all(|pair| matches!(pair, [a, b] if a == b)),
        members_at_end: at_end.iter().map(|p| p.name.clone()).collect(),
        same_final_state,
    })
}
