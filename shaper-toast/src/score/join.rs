//! Logs joined by command: who sent it when, who heard, applied and answered it when.

use std::collections::HashMap;
use std::net::SocketAddrV4;

use serde::{Deserialize, Serialize};

use crate::log::{Event, Log, Role};
use crate::transport::Snapshot;
use crate::units::Nanos;
use crate::wire::Command;

/// A copy as its sender's log has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct CopyTime {
    /// Which copy.
    pub burst_index: u8,
    /// When it left.
    pub sent: Nanos,
}

/// What became of a command at one peer, by the peer's own log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReceiverTimes {
    /// The peer.
    pub peer: String,
    /// Address and port the peer sends from; none when it left no log.
    pub source: Option<SocketAddrV4>,
    /// Whether the command was meant for it over a link: sent while it was a member of the group,
    /// by a controller on another host.
    pub intended: bool,
    /// The controller is on the peer's own host. What the peer hears of it came by
    /// IP_MULTICAST_LOOP and says nothing of any link.
    pub local: bool,
    /// The first copy heard: its burst index.
    pub first_copy: Option<u8>,
    /// When that copy was received.
    pub received: Option<Nanos>,
    /// Copies heard.
    pub copies_received: u32,
    /// When the state changed.
    pub applied: Option<Nanos>,
    /// How often the command was applied: 1 is right.
    pub times_applied: u32,
    /// Header sequence of the peer's answer.
    pub answer_sequence: Option<u32>,
    /// When the answer left.
    pub answer_sent: Option<Nanos>,
    /// When the controller received the answer.
    pub answer_received: Option<Nanos>,
}

/// One command and its whole way, to be joined with captures by session, sender (`source`),
/// sequence, burst id and burst index. All times are CLOCK_MONOTONIC of the host.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CommandTimes {
    /// Who commands.
    pub controller: String,
    /// Address and port the copies left from.
    pub source: SocketAddrV4,
    /// Session id as on the wire.
    pub session: u32,
    /// Header sequence of every copy.
    pub sequence: u32,
    /// Burst id of every copy, 0 for none.
    pub burst_id: u32,
    /// What.
    pub command: Command,
    /// When it was due by the script.
    pub due: Nanos,
    /// When it was decided; the first copy left at the same instant.
    pub commanded: Nanos,
    /// What every peer's transport should be after it.
    pub after: Snapshot,
    /// The copies that left.
    pub copies: Vec<CopyTime>,
    /// Each peer, in the order of the peers' names.
    pub receivers: Vec<ReceiverTimes>,
}

/// When a peer was a member of the group.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Membership {
    pub(super) joined: Option<Nanos>,
    leaving: Option<Nanos>,
    pub(super) left: Option<Nanos>,
}

impl Membership {
    pub(super) fn of(log: &Log) -> Membership {
        let mut membership = Membership { joined: None, leaving: None, left: None };
        for event in &log.events {
            match event {
                Event::Joined { t } => membership.joined = Some(*t),
                Event::Left { t, begun } => {
                    membership.leaving = Some(*begun);
                    membership.left = Some(*t);
                }
                _ => {}
            }
        }
        membership
    }

    /// Begin of the leave.
    pub(super) fn leaving(self) -> Option<Nanos> {
        self.leaving
    }

    /// Whether it had joined by `t` and not begun to leave.
    pub(super) fn member_at(self, t: Nanos) -> bool {
        self.joined.is_some() && self.covers(t)
    }

    /// A peer that never joined was meant to: everything was meant for it.
    pub(super) fn covers(self, t: Nanos) -> bool {
        self.joined.is_none_or(|joined| t >= joined) && self.leaving.is_none_or(|leaving| t < leaving)
    }
}

/// Whether multicast passes between two sockets within one host, by IP_MULTICAST_LOOP, instead of
/// over a link. On `lo` the device itself is the link: the kernel's routing keeps the loop to other
/// devices (`__mkroute_output` in net/ipv4/route.c).
pub(super) fn same_host(a: &Log, b: &Log) -> bool {
    a.source.ip() == b.source.ip() && !a.source.ip().is_loopback()
}

/// The controllers on the peer's own host.
pub(super) fn local_controllers<'a>(logs: &'a [Log], peer: &Log) -> Vec<&'a str> {
    let here = |l: &&Log| l.role == Role::Controller && same_host(l, peer);
    logs.iter().filter(here).map(|l| l.peer_id.as_str()).collect()
}

/// The names of the peers: those expected and those that left a log, sorted.
pub(super) fn peer_names(logs: &[Log], expected: &[String]) -> Vec<String> {
    let mut names: Vec<String> = expected
        .iter()
        .cloned()
        .chain(logs.iter().filter(|l| l.role == Role::Peer).map(|l| l.peer_id.clone()))
        .collect();
    names.sort();
    names.dedup();
    names
}

/// A command as its receivers know it: whose, its sequence and its burst id.
type Key<'a> = (&'a str, u32, u32);

/// Joins the logs by command, in the order commanded. `expected` names peers that must be there
/// even if they left no log.
#[must_use]
pub fn command_times(logs: &[Log], expected: &[String]) -> Vec<CommandTimes> {
    let names = peer_names(logs, expected);
    let mut commands = Vec::new();
    for log in logs.iter().filter(|l| l.role == Role::Controller) {
        commands.extend(commanded(log));
    }
    commands.sort_by_key(|c| c.commanded);
    for name in &names {
        let log = logs.iter().find(|l| l.role == Role::Peer && l.peer_id == *name);
        let membership = log.map(Membership::of);
        let here = log.map_or_else(Vec::new, |l| local_controllers(logs, l));
        for command in &mut commands {
            let local = here.contains(&command.controller.as_str());
            command.receivers.push(ReceiverTimes {
                peer: name.clone(),
                source: log.map(|l| l.source),
                intended: !local && membership.is_none_or(|m| m.covers(command.commanded)),
                local,
                first_copy: None,
                received: None,
                copies_received: 0,
                applied: None,
                times_applied: 0,
                answer_sequence: None,
                answer_sent: None,
                answer_received: None,
            });
        }
        if let Some(log) = log {
            heard_by(log, &mut commands);
        }
    }
    for log in logs.iter().filter(|l| l.role == Role::Controller) {
        answers_to(log, &mut commands);
    }
    commands
}

fn commanded(log: &Log) -> Vec<CommandTimes> {
    let mut copies: HashMap<(u32, u32), Vec<CopyTime>> = HashMap::new();
    for event in &log.events {
        if let Event::Sent { t, kind: Some(kind), seq, burst_id, burst_index, .. } = event
            && kind.is_transport()
        {
            copies.entry((*seq, *burst_id)).or_default().push(CopyTime { burst_index: *burst_index, sent: *t });
        }
    }
    log.events
        .iter()
        .filter_map(|event| match event {
            Event::Commanded { t, due, seq, burst_id, command, after, .. } => Some(CommandTimes {
                controller: log.peer_id.clone(),
                source: log.source,
                session: log.session_id,
                sequence: *seq,
                burst_id: *burst_id,
                command: *command,
                due: *due,
                commanded: *t,
                after: *after,
                copies: copies.remove(&(*seq, *burst_id)).unwrap_or_default(),
                receivers: Vec::new(),
            }),
            _ => None,
        })
        .collect()
}

/// Fills in the last receiver of every command from that peer's log.
fn heard_by(log: &Log, commands: &mut [CommandTimes]) {
    let keys: Vec<(String, u32, u32)> =
        commands.iter().map(|c| (c.controller.clone(), c.sequence, c.burst_id)).collect();
    let by_key: HashMap<Key<'_>, usize> =
        keys.iter().enumerate().map(|(i, (from, seq, burst))| ((from.as_str(), *seq, *burst), i)).collect();
    let by_sequence: HashMap<(&str, u32), usize> =
        keys.iter().enumerate().map(|(i, (from, seq, _))| ((from.as_str(), *seq), i)).collect();
    // Where an answer's own sequence is known, when it left.
    let mut answers: HashMap<u32, usize> = HashMap::new();
    for event in &log.events {
        match event {
            Event::Received { t, from, seq, burst_id, burst_index, .. } => {
                let found = by_key.get(&(from.as_str(), *seq, *burst_id));
                if let Some(r) = receiver(commands, found) {
                    r.copies_received += 1;
                    r.first_copy = r.first_copy.or(Some(*burst_index));
                    r.received = r.received.or(Some(*t));
                }
            }
            Event::Applied { t, from, seq, burst_id, .. } => {
                let found = by_key.get(&(from.as_str(), *seq, *burst_id));
                if let Some(r) = receiver(commands, found) {
                    r.times_applied += 1;
                    r.applied = r.applied.or(Some(*t));
                }
            }
            Event::Answered { seq, ack_peer, ack_seq, .. } => {
                let found = by_sequence.get(&(ack_peer.as_str(), *ack_seq));
                if let Some(r) = receiver(commands, found)
                    && r.answer_sequence.is_none()
                {
                    r.answer_sequence = Some(*seq);
                    answers.extend(found.map(|&index| (*seq, index)));
                }
            }
            Event::Sent { t, kind: Some(kind), seq, .. } if kind.is_transport() => {
                if let Some(r) = receiver(commands, answers.get(seq)) {
                    r.answer_sent = r.answer_sent.or(Some(*t));
                }
            }
            _ => {}
        }
    }
}

fn receiver<'a>(commands: &'a mut [CommandTimes], index: Option<&usize>) -> Option<&'a mut ReceiverTimes> {
    commands.get_mut(*index?)?.receivers.last_mut()
}

fn answers_to(log: &Log, commands: &mut [CommandTimes]) {
    let by_sequence: HashMap<u32, usize> = commands
        .iter()
        .enumerate()
        .filter(|(_, c)| c.controller == log.peer_id)
        .map(|(i, c)| (c.sequence, i))
        .collect();
    for event in &log.events {
        if let Event::AnswerReceived { t, from, ack_seq, .. } = event
            && let Some(command) = by_sequence.get(ack_seq).and_then(|&i| commands.get_mut(i))
            && let Some(r) = command.receivers.iter_mut().find(|r| r.peer == *from)
        {
            r.answer_received = r.answer_received.or(Some(*t));
        }
    }
}
