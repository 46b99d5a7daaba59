//! What a role is told. Every struct goes through JSON unchanged, so that a role process can take
//! its configuration as one argument; durations and instants are nanoseconds there.

use std::net::SocketAddrV4;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::burst::BurstConfig;
use crate::clock::ClockConfig;
use crate::script::{ScriptConfig, ScriptError};
use crate::units::Nanos;
use crate::wire::{ChecksumMode, DEFAULT_GROUP, MessageType};

/// The longest peer id or session name, in bytes.
pub const NAME_LIMIT: usize = 128;

/// What both roles need.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct NodeConfig {
    /// Unique in the session.
    pub peer_id: String,
    /// The session's name; only frames of the same session are heard.
    pub session: String,
    /// The interface that multicast is sent and joined on; it needs an IPv4 address.
    pub interface: String,
    /// Where the log goes.
    pub log: PathBuf,
    /// Group and port.
    #[serde(default = "default_group")]
    pub group: SocketAddrV4,
    /// IP time to live.
    #[serde(default = "default_ttl")]
    pub ttl: u8,
    /// IP_MULTICAST_LOOP: whether this host hears what it sends. What a role hears from itself
    /// is counted and never a delivery.
    #[serde(default = "yes")]
    pub multicast_loop: bool,
    /// The checksum spoken.
    #[serde(default)]
    pub checksum: ChecksumMode,
    /// The application's clock.
    #[serde(default)]
    pub clock: ClockConfig,
    /// Seeds burst ids, burst gaps and phases; mixed with the peer id.
    #[serde(default)]
    pub seed: u64,
    /// The first header sequence; near 2^32 it shows the wrap.
    #[serde(default)]
    pub first_sequence: u32,
    /// From one heartbeat to the next.
    #[serde(default = "second")]
    pub heartbeat: Nanos,
    /// From one discovery to the next.
    #[serde(default = "five_seconds")]
    pub discovery: Nanos,
    /// The burst in which SYNC is sent.
    #[serde(default)]
    pub sync_burst: BurstConfig,
    /// Tempo before the first command, in beats per minute.
    #[serde(default = "default_bpm")]
    pub bpm: f64,
    /// How long before a deadline the role stops sleeping and watches the clock instead.
    #[serde(default = "default_spin")]
    pub spin: Nanos,
}

/// The controller.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ControllerConfig {
    /// What both roles need.
    pub node: NodeConfig,
    /// CLOCK_MONOTONIC instant of the first command: the start barrier.
    pub start_at: Nanos,
    /// How long commands are sent.
    pub duration: Nanos,
    /// How long answers are awaited after the duration.
    #[serde(default = "second")]
    pub drain: Nanos,
    /// What is commanded.
    #[serde(default)]
    pub script: ScriptConfig,
    /// The burst in which commands are sent.
    #[serde(default)]
    pub burst: BurstConfig,
    /// The type commands are sent as; one of the three that carry transport JSON.
    #[serde(default = "transport")]
    pub command_type: MessageType,
}

/// What a peer does with a command older than one it has already seen.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LateCommands {
    /// Not applied: the newer one stands. It is logged as out of order.
    #[default]
    Superseded,
    /// Applied on arrival.
    Applied,
}

/// A peer.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PeerConfig {
    /// What both roles need.
    pub node: NodeConfig,
    /// CLOCK_MONOTONIC instant at which the group is joined; at once when absent.
    #[serde(default)]
    pub join_at: Option<Nanos>,
    /// CLOCK_MONOTONIC instant of the IGMP leave. The log goes on and shows what is still heard.
    #[serde(default)]
    pub leave_at: Option<Nanos>,
    /// CLOCK_MONOTONIC instant of the end; when absent the stop flag ends the run.
    #[serde(default)]
    pub end_at: Option<Nanos>,
    /// From one clock exchange to the next.
    #[serde(default = "half_second")]
    pub sync_period: Nanos,
    /// Whether a command's age by the estimated clock offset is added to the position it sets.
    #[serde(default = "yes")]
    pub follow_clock: bool,
    /// What is done with a command that has been overtaken.
    #[serde(default)]
    pub late_commands: LateCommands,
}

/// What is wrong with a configuration.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ConfigError {
    /// A name that is empty, too long, or would break the discovery text.
    #[error("{what} {value:?}: want 1 to {NAME_LIMIT} bytes without '|' and control characters")]
    Name {
        /// Which.
        what: &'static str,
        /// What was given.
        value: String,
    },
    /// A group outside 224.0.0.0/4.
    #[error("group {0}: not an IPv4 multicast address: want 224.0.0.0 to 239.255.255.255")]
    Group(SocketAddrV4),
    /// A burst of no copies.
    #[error("{0}: 0 copies: want at least 1, which is no burst")]
    Copies(&'static str),
    /// A period of 0.
    #[error("{0}: period 0: want a time above 0")]
    Period(&'static str),
    /// A tempo that is not above 0.
    #[error("bpm: not a number above 0")]
    Bpm,
    /// A message type that carries no command.
    #[error("command type {0:?} carries no transport JSON: want TRANSPORT, REDUNDANT_TRANSPORT or BURST_TRANSPORT")]
    CommandType(MessageType),
    /// The start barrier lies in the past: overdue commands would leave all at once.
    #[error("start_at is {late} ago: set it far enough ahead for every role to come up")]
    StartPassed {
        /// By how much.
        late: Nanos,
    },
    /// The script.
    #[error(transparent)]
    Script(#[from] ScriptError),
}

impl NodeConfig {
    /// A node with every default: group 239.255.77.77:7777, TTL 2, CRC-16, an exact clock.
    #[must_use]
    pub fn new(peer_id: &str, session: &str, interface: &str, log: PathBuf) -> NodeConfig {
        NodeConfig {
            peer_id: peer_id.to_owned(),
            session: session.to_owned(),
            interface: interface.to_owned(),
            log,
            group: default_group(),
            ttl: default_ttl(),
            multicast_loop: true,
            checksum: ChecksumMode::default(),
            clock: ClockConfig::default(),
            seed: 0,
            first_sequence: 0,
            heartbeat: second(),
            discovery: five_seconds(),
            sync_burst: BurstConfig::default(),
            bpm: default_bpm(),
            spin: default_spin(),
        }
    }

    /// # Errors
    /// [`ConfigError`]: the first thing that is wrong.
    pub fn check(&self) -> Result<(), ConfigError> {
        for (what, value) in [("peer id", &self.peer_id), ("session", &self.session)] {
            let bad = |c: char| c == '|' || c.is_control();
            if value.is_empty() || value.len() > NAME_LIMIT || value.contains(bad) {
                return Err(ConfigError::Name { what, value: value.clone() });
            }
        }
        if !self.group.ip().is_multicast() {
            return Err(ConfigError::Group(self.group));
        }
        if self.sync_burst.copies == 0 {
            return Err(ConfigError::Copies("sync_burst"));
        }
        for (what, period) in [("heartbeat", self.heartbeat), ("discovery", self.discovery)] {
            if period == Nanos::ZERO {
                return Err(ConfigError::Period(what));
            }
        }
        if !(self.bpm.is_finite() && self.bpm > 0.0) {
            return Err(ConfigError::Bpm);
        }
        Ok(())
    }
}

impl ControllerConfig {
    /// A controller with every default, which begins at `start_at` and commands for `duration`.
    #[must_use]
    pub fn new(node: NodeConfig, start_at: Nanos, duration: Nanos) -> ControllerConfig {
        ControllerConfig {
            node,
            start_at,
            duration,
            drain: second(),
            script: ScriptConfig::default(),
            burst: BurstConfig::default(),
            command_type: transport(),
        }
    }

    /// # Errors
    /// [`ConfigError`]: the first thing that is wrong.
    pub fn check(&self) -> Result<(), ConfigError> {
        self.node.check()?;
        if self.burst.copies == 0 {
            return Err(ConfigError::Copies("burst"));
        }
        if !self.command_type.is_transport() {
            return Err(ConfigError::CommandType(self.command_type));
        }
        self.script.plan(Nanos::ZERO)?;
        Ok(())
    }
}

impl PeerConfig {
    /// A peer with every default, which runs until it is stopped.
    #[must_use]
    pub fn new(node: NodeConfig) -> PeerConfig {
        PeerConfig {
            node,
            join_at: None,
            leave_at: None,
            end_at: None,
            sync_period: half_second(),
            follow_clock: true,
            late_commands: LateCommands::default(),
        }
    }

    /// # Errors
    /// [`ConfigError`]: the first thing that is wrong.
    pub fn check(&self) -> Result<(), ConfigError> {
        self.node.check()?;
        if self.sync_period == Nanos::ZERO {
            return Err(ConfigError::Period("sync_period"));
        }
        Ok(())
    }
}

fn default_group() -> SocketAddrV4 {
    DEFAULT_GROUP
}

fn default_ttl() -> u8 {
    2
}

fn default_bpm() -> f64 {
    120.0
}

fn default_spin() -> Nanos {
    Nanos::from_micros(50)
}

fn half_second() -> Nanos {
    Nanos::from_millis(500)
}

fn second() -> Nanos {
    Nanos::from_secs(1)
}

fn five_seconds() -> Nanos {
    Nanos::from_secs(5)
}

fn yes() -> bool {
    true
}

fn transport() -> MessageType {
    MessageType::Transport
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node() -> NodeConfig {
        NodeConfig::new("peer-1", "stage", "lo", PathBuf::from("/tmp/p.jsonl"))
    }

    #[test]
    fn the_least_json_gives_the_defaults() {
        let json = r#"{"node":{"peer_id":"peer-1","session":"stage","interface":"lo","log":"/tmp/p.jsonl"}}"#;
        let peer: PeerConfig = serde_json::from_str(json).unwrap();
        assert_eq!(peer, PeerConfig::new(node()));
        let back: PeerConfig = serde_json::from_str(&serde_json::to_string(&peer).unwrap()).unwrap();
        assert_eq!(back, peer);
    }

    #[test]
    fn a_controller_goes_through_json_unchanged() {
        let mut controller = ControllerConfig::new(node(), Nanos(u64::MAX - 5), Nanos::from_secs(60));
        controller.burst = BurstConfig::TOOL;
        controller.command_type = MessageType::BurstTransport;
        let json = serde_json::to_string(&controller).unwrap();
        assert_eq!(serde_json::from_str::<ControllerConfig>(&json).unwrap(), controller);
    }

    #[test]
    fn what_cannot_run_is_refused_by_name() {
        let mut bad = node();
        bad.peer_id = "a|b".to_owned();
        assert!(matches!(bad.check(), Err(ConfigError::Name { .. })));
        let mut bad = node();
        bad.group = SocketAddrV4::new([10, 0, 0, 1].into(), 7777);
        assert!(matches!(bad.check(), Err(ConfigError::Group(_))));
        let mut bad = ControllerConfig::new(node(), Nanos(0), Nanos(1));
        bad.command_type = MessageType::Midi;
        assert!(matches!(bad.check(), Err(ConfigError::CommandType(_))));
    }
}
