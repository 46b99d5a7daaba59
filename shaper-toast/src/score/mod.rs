//! The score of a run, from the logs alone: what reached a peer is read from that peer's own log,
//! never from the sender's.
//!
//! Times from one process to another take for granted that the logs' CLOCK_MONOTONIC is one
//! host's.

mod clocks;
mod contention;
mod grade;
mod join;
mod recovery;
mod spread;
mod states;
mod stats;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::log::{Event, ForeignReason, Log, Role};
use crate::units::Nanos;

pub use clocks::{ClockScore, Drift, PeerAhead};
pub use contention::Contention;
pub use grade::{Grade, Grades, SyncGrade};
pub use join::{CommandTimes, CopyTime, ReceiverTimes, command_times};
pub use recovery::{Convergence, LateJoin};
pub use spread::Spread;
pub use states::{SYNC_TOLERANCE, SyncFailures};
pub use stats::{Proportion, Times, TimesOfAll};

/// An outage that was configured, in CLOCK_MONOTONIC.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OutageWindow {
    /// Whose access link; none for the controller's, which concerns everybody.
    pub peer: Option<String>,
    /// Its begin.
    pub from: Nanos,
    /// Its end.
    pub to: Nanos,
}

impl OutageWindow {
    fn concerns(&self, peer: &str) -> bool {
        self.peer.as_deref().is_none_or(|p| p == peer)
    }

    /// Whether it keeps the command from the peer: the peer's own link is out, or that of the host
    /// the controller shares with another peer.
    fn cuts(&self, command: &CommandTimes, peer: &str) -> bool {
        let senders = |r: &ReceiverTimes| r.local && self.peer.as_deref() == Some(r.peer.as_str());
        self.concerns(peer) || command.receivers.iter().any(senders)
    }
}

/// A configured asymmetry between a peer's two directions.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Asymmetry {
    /// Which peer.
    pub peer: String,
    /// Mean delay to the controller less mean delay back, in nanoseconds.
    pub forward_minus_backward: i64,
}

/// What the score must be told, because no log knows it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ScoreConfig {
    /// The largest one-way delay configured on the way from controller to peer.
    pub largest_one_way_delay: Nanos,
    /// The longest a burst can last ([`crate::burst::BurstConfig::longest`]).
    pub burst_length: Nanos,
    /// Outages configured.
    #[serde(default)]
    pub outages: Vec<OutageWindow>,
    /// Peers that must be there even if they left no log.
    #[serde(default)]
    pub expected_peers: Vec<String>,
    /// Asymmetries configured.
    #[serde(default)]
    pub asymmetries: Vec<Asymmetry>,
    /// The controller that a peer's position is held against; the first of those on other hosts if none is named.
    #[serde(default)]
    pub reference: Option<String>,
    /// How late a command may leave.
    #[serde(default = "slip_limit")]
    pub slip_limit: Nanos,
}

fn slip_limit() -> Nanos {
    Nanos::from_millis(5)
}

impl ScoreConfig {
    /// No outages, no asymmetry, a slip limit of 5 ms.
    #[must_use]
    pub fn new(largest_one_way_delay: Nanos, burst_length: Nanos, expected_peers: Vec<String>) -> ScoreConfig {
        ScoreConfig {
            largest_one_way_delay,
            burst_length,
            outages: Vec::new(),
            expected_peers,
            asymmetries: Vec::new(),
            reference: None,
            slip_limit: slip_limit(),
        }
    }
}

/// One peer's share of the run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PeerScore {
    /// Who.
    pub peer: String,
    /// Whether it left a log at all.
    pub has_log: bool,
    /// Whether that log ends in order.
    pub log_complete: bool,
    /// Controllers on the peer's own host, which it hears without a link. Nothing they sent is in
    /// the figures below; only what their commands did to its state is.
    pub local_controllers: Vec<String>,
    /// How many commands of theirs were left out.
    pub local_commands: u64,
    /// Commands sent while it was a member of the group.
    pub intended: u64,
    /// Of these, how many reached it, in one copy or more.
    pub delivered: u64,
    /// Of these, how many changed its state exactly once.
    pub applied_once: u64,
    /// Of these, how many changed its state more than once.
    pub repeated: u64,
    /// Of these, how many reached it after a newer one and were never applied: the newer one stood.
    pub superseded: u64,
    /// Of these, how many never reached it. With the three above it adds up to `intended`.
    pub missed: u64,
    /// Commands that arrived after a newer one.
    pub out_of_order: u64,
    /// Further copies, rightly not applied.
    pub copies_repeated: u64,
    /// Own datagrams heard.
    pub self_heard: u64,
    /// Datagrams of no session of ours.
    pub foreign: u64,
    /// The same by kind, as far as they were written out.
    pub foreign_by_reason: BTreeMap<ForeignReason, u64>,
    /// Datagrams its kernel dropped at a full socket: lost, but not on the link.
    pub receive_buffer_drops: u64,
    /// `delivered` of `intended`.
    pub delivery: Proportion,
    /// Copies heard of copies sent, over the commands meant for it. Duplicates made on the way
    /// count, so the share can pass 1.
    pub copies: Proportion,
    /// Commands that would have been missed had each copy been lost independently with the
    /// copies' own loss: the sum of p^n. More were missed when losses come in bursts.
    pub missed_if_independent: f64,
    /// From command to changed state.
    pub time_to_state: Times,
    /// The same over all commands meant for it; a missed one never changed it.
    pub time_to_state_all: TimesOfAll,
    /// From command to the answer's arrival at the controller.
    pub response: Times,
    /// The same over all commands meant for it; one without an answer took infinitely long.
    pub response_all: TimesOfAll,
    /// States that were not the controller's.
    pub sync: SyncFailures,
    /// Drift of its position.
    pub drift: Option<Drift>,
    /// Its clock estimate, for each controller that answered.
    pub clocks: Vec<ClockScore>,
    /// When it joined late: how long to its first right state.
    pub late_join: Option<LateJoin>,
    /// When it left: copies of commands that its socket still took in after the leave. What the
    /// network still carried to this host until it heeded the leave shows in a capture only.
    pub heard_after_leave: Option<u64>,
}

/// Whether the senders kept their own schedule.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Schedule {
    /// Actual less due time of each command.
    pub slip: Times,
    /// Commands later than the limit.
    pub over_limit: u64,
    /// The limit.
    pub limit: Nanos,
    /// At most one command in a hundred was over the limit.
    pub kept: bool,
}

impl Schedule {
    /// In words.
    #[must_use]
    pub fn statement(&self) -> String {
        if self.kept {
            return format!(
                "the sender kept its schedule: {} of {} commands left more than {} late",
                self.over_limit, self.slip.n, self.limit
            );
        }
        format!(
            "the sender could not keep its own schedule: {} of {} commands left more than {} late",
            self.over_limit, self.slip.n, self.limit
        )
    }
}

/// A run's score.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Score {
    /// Commands sent, by all controllers.
    pub commands: u64,
    /// Delivered of intended over all peers; with no peer at all, 0 of `commands`.
    pub delivery: Proportion,
    /// Each peer, sorted by name.
    pub peers: Vec<PeerScore>,
    /// Own datagrams the controllers heard.
    pub controller_self_heard: u64,
    /// First to last peer.
    pub spread: Spread,
    /// After each outage.
    pub convergence: Vec<Convergence>,
    /// The senders' own punctuality.
    pub schedule: Schedule,
    /// With two controllers or more.
    pub contention: Option<Contention>,
    /// Grades.
    pub grades: Grades,
    /// What a reader must know before believing the rest.
    pub warnings: Vec<String>,
}

/// Scores a run from the logs of its controllers and peers.
#[must_use]
pub fn score(logs: &[Log], config: &ScoreConfig) -> Score {
    let commands = command_times(logs, &config.expected_peers);
    let names = join::peer_names(logs, &config.expected_peers);
    let controllers: Vec<&Log> = logs.iter().filter(|l| l.role == Role::Controller).collect();
    let end = controllers.iter().filter_map(|l| l.events.last().map(Event::t)).max().unwrap_or(Nanos::ZERO);
    let states: Vec<states::PeerStates> =
        names.iter().map(|name| states::PeerStates::new(name, log_of(logs, name))).collect();
    let peers: Vec<PeerScore> = states
        .iter()
        .enumerate()
        .map(|(index, states)| {
            let log = log_of(logs, &states.name);
            let here = log.map_or_else(Vec::new, |l| join::local_controllers(logs, l));
            let (near, far): (Vec<&Log>, Vec<&Log>) =
                controllers.iter().partition(|c| here.contains(&c.peer_id.as_str()));
            peer_score(index, states, log, (&near, &far), &commands, config, end)
        })
        .collect();
    let intended: u64 = peers.iter().map(|p| p.intended).sum();
    let delivery = Proportion::new(
        peers.iter().map(|p| p.delivered).sum(),
        if peers.is_empty() { commands.len() as u64 } else { intended },
    );
    let spread = spread::spread(&commands);
    let convergence = recovery::convergence(&states, &commands, config, end);
    let schedule = schedule(&commands, config.slip_limit);
    Score {
        commands: commands.len() as u64,
        delivery,
        controller_self_heard: controllers.iter().map(|l| self_heard(l)).sum(),
        grades: grade::grades(&peers, &spread, &convergence, &schedule),
        contention: contention::contention(&controllers, &commands, &states, logs),
        warnings: warnings(logs, &peers, &schedule),
        peers,
        spread,
        convergence,
        schedule,
    }
}

fn log_of<'a>(logs: &'a [Log], peer: &str) -> Option<&'a Log> {
    logs.iter().find(|l| l.role == Role::Peer && l.peer_id == peer)
}

/// The totals are written each second; what was written out one by one may be ahead of them.
fn self_heard(log: &Log) -> u64 {
    let written = count(log, |e| matches!(e, Event::SelfHeard { .. }));
    written.max(log.counts().self_heard)
}

fn count(log: &Log, what: impl Fn(&Event) -> bool) -> u64 {
    log.events.iter().filter(|e| what(e)).count() as u64
}

fn peer_score(
    index: usize,
    states: &states::PeerStates,
    log: Option<&Log>,
    (near, far): (&[&Log], &[&Log]),
    commands: &[CommandTimes],
    config: &ScoreConfig,
    end: Nanos,
) -> PeerScore {
    let meant: Vec<(&CommandTimes, &ReceiverTimes)> =
        commands.iter().filter_map(|c| c.receivers.get(index).map(|r| (c, r))).filter(|(_, r)| r.intended).collect();
    let tally = |what: fn(&ReceiverTimes) -> bool| meant.iter().filter(|(_, r)| what(r)).count() as u64;
    let times = |what: fn(&ReceiverTimes) -> Option<Nanos>| {
        let samples: Vec<Nanos> = meant.iter().filter_map(|(c, r)| what(r).map(|t| t - c.commanded)).collect();
        let missing = (meant.len() - samples.len()) as u64;
        (Times::new(samples.clone(), missing), TimesOfAll::new(samples, missing))
    };
    let (time_to_state, time_to_state_all) = times(|r| r.applied);
    let (response, response_all) = times(|r| r.answer_received);
    let referred_to = |c: &Log| config.reference.as_ref().is_none_or(|name| c.peer_id == *name);
    let from_afar = |name: &str| near.iter().all(|c| c.peer_id != name);
    let intended = meant.len() as u64;
    let delivered = tally(|r| r.received.is_some());
    let copies_sent: u64 = meant.iter().map(|(c, _)| c.copies.len() as u64).sum();
    let copies_heard: u64 = meant.iter().map(|(_, r)| u64::from(r.copies_received)).sum();
    let copies = Proportion::new(copies_heard, copies_sent);
    let copy_loss = (1.0 - copies.share).max(0.0);
    let missed_if_independent = meant.iter().map(|(c, _)| copy_loss.powf(c.copies.len() as f64)).sum();
    let mut foreign_by_reason = BTreeMap::new();
    for event in log.iter().flat_map(|l| &l.events) {
        if let Event::Foreign { reason, .. } = event {
            *foreign_by_reason.entry(*reason).or_insert(0) += 1;
        }
    }
    let left = states.membership.and_then(|m| m.left);
    PeerScore {
        peer: states.name.clone(),
        has_log: log.is_some(),
        log_complete: log.is_some_and(Log::complete),
        local_controllers: near.iter().map(|c| c.peer_id.clone()).collect(),
        local_commands: commands.iter().filter(|c| c.receivers.get(index).is_some_and(|r| r.local)).count() as u64,
        intended,
        delivered,
        applied_once: tally(|r| r.times_applied == 1),
        repeated: tally(|r| r.times_applied > 1),
        superseded: tally(|r| r.received.is_some() && r.times_applied == 0),
        missed: intended - delivered,
        out_of_order: log.map_or(0, |l| count(l, |e| matches!(e, Event::OutOfOrder { from, .. } if from_afar(from)))),
        copies_repeated: log.map_or(0, |l| count(l, |e| matches!(e, Event::Repeated { from, .. } if from_afar(from)))),
        self_heard: log.map_or(0, self_heard),
        foreign: log.map_or(0, |l| l.counts().foreign.max(foreign_by_reason.values().sum())),
        foreign_by_reason,
        receive_buffer_drops: log.map_or(0, |l| l.counts().receive_buffer_drops),
        delivery: Proportion::new(delivered, intended),
        copies,
        missed_if_independent,
        time_to_state,
        time_to_state_all,
        response,
        response_all,
        sync: states::sync_failures(index, states, commands, config, end),
        drift: log.and_then(|l| far.iter().find(|c| referred_to(c)).and_then(|c| clocks::drift(c, l))),
        clocks: log.map_or_else(Vec::new, |l| far.iter().filter_map(|c| clocks::clock_score(c, l, config)).collect()),
        late_join: recovery::late_join(index, states, commands),
        heard_after_leave: left.and_then(|left| {
            let after = |e: &Event| matches!(e, Event::Received { t, from, .. } if *t > left && from_afar(from));
            log.map(|l| count(l, after))
        }),
    }
}

fn schedule(commands: &[CommandTimes], limit: Nanos) -> Schedule {
    let slips: Vec<Nanos> = commands.iter().map(|c| c.commanded - c.due).collect();
    let over_limit = slips.iter().filter(|&&slip| slip > limit).count() as u64;
    Schedule { over_limit, limit, kept: over_limit * 100 <= slips.len() as u64, slip: Times::new(slips, 0) }
}

fn warnings(logs: &[Log], peers: &[PeerScore], schedule: &Schedule) -> Vec<String> {
    let mut warnings = Vec::new();
    if !schedule.kept {
        warnings.push(schedule.statement());
    }
    for peer in peers.iter().filter(|p| !p.has_log) {
        warnings.push(format!("{}: left no log; every command meant for it counts as missed", peer.peer));
    }
    for log in logs {
        let name = &log.peer_id;
        if !log.complete() {
            warnings.push(format!("{name}: its log has no end; the role was killed"));
        }
        let counts = log.counts();
        if counts.receive_buffer_drops > 0 {
            warnings.push(format!(
                "{name}: its kernel dropped {} datagrams at a full socket; they are no loss of \
                 the link's",
                counts.receive_buffer_drops
            ));
        }
        if counts.send_failed > 0 {
            warnings.push(format!("{name}: {} datagrams could not be sent", counts.send_failed));
        }
        if log.events.iter().any(|e| matches!(e, Event::SelfHeard { other_address, .. } if *other_address)) {
            warnings.push(format!("{name}: another process sends under the same peer id; the two ignore each other"));
        }
    }
    warnings
}
