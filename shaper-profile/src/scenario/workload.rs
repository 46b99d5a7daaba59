//! What drives traffic in a scenario.

use super::peer::{PeerAt, PeerClock};
use crate::quantity::Duration;

/// A workload of ours: it lasts as long as the scenario.
#[derive(Clone, Debug, PartialEq)]
pub enum BuiltIn {
    /// Multicast sync between the first host and the others.
    Toast(ToastSettings),
    /// A stream of numbered UDP datagrams from the first host to the second.
    Probe(ProbeSettings),
}

impl BuiltIn {
    /// Its name.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Toast(_) => "toast",
            Self::Probe(_) => "probe",
        }
    }
}

/// As the flags of `shaper run toast`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ToastSettings {
    /// From one command to the next.
    pub spacing: Option<Duration>,
    /// Peers that are never started.
    pub absent: Vec<String>,
    /// A peer that joins late.
    pub late: Option<PeerAt>,
    /// A peer that leaves.
    pub leave: Option<PeerAt>,
    /// Whether the last peer commands too.
    pub second_controller: bool,
    /// Beats per minute that every fourth command sets.
    pub tempo: Vec<f64>,
    /// A clock that is put wrong.
    pub clock: Option<PeerClock>,
}

/// As the flags of `shaper run probe`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProbeSettings {
    /// From one datagram to the next.
    pub interval: Duration,
    /// Bytes of each payload.
    pub payload: usize,
}

impl Default for ProbeSettings {
    fn default() -> Self {
        Self { interval: Duration::from_millis(1), payload: 172 }
    }
}

/// A program that is run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Command {
    /// What it is called, in expectations and in the names of its files.
    pub name: String,
    /// The program, and its arguments.
    pub command: Vec<String>,
    /// The host that it runs on, or the network namespace; the first host, or that of the interface, where none is named.
    pub on: Option<String>,
    /// When it is started, since the start.
    pub at: Duration,
    /// After which time it is ended, if it has not by itself.
    pub lasts: Option<Duration>,
    /// Whether the run is over without it.
    pub background: bool,
    /// How it is to end, where nobody ends it.
    pub expect_exit: ExpectedExit,
}

/// How a command is to end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ExpectedExit {
    /// With this code.
    Code(u8),
    /// However it likes.
    Any,
}

impl Default for ExpectedExit {
    fn default() -> Self {
        Self::Code(0)
    }
}

/// Why a text is no exit code.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("is no exit code: write 0 to 255, or \"any\"")]
pub struct NoExit;

impl std::str::FromStr for ExpectedExit {
    type Err = NoExit;

    fn from_str(text: &str) -> Result<Self, NoExit> {
        if text == "any" { Ok(Self::Any) } else { text.parse().map(Self::Code).map_err(|_| NoExit) }
    }
}
