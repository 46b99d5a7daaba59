//! Where and why a client failed.

use std::fmt;

use serde::{Deserialize, Serialize};

/// What a client was at.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Stage {
    /// The server's name.
    Resolve,
    /// The connection and the WebSocket, or the HTTP request.
    Connect,
    /// Entering the room.
    Join,
    /// Making transports.
    Transport,
    /// Connectivity checks.
    Ice,
    /// The DTLS handshake.
    Dtls,
    /// Announcing tracks.
    Produce,
    /// Subscribing.
    Consume,
    /// Packets: none went out, or none came of a track whose sender sends.
    Media,
    /// The signalling of a client that was up.
    Signalling,
}

impl fmt::Display for Stage {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Resolve => "resolve",
            Self::Connect => "connect",
            Self::Join => "join",
            Self::Transport => "transport",
            Self::Ice => "ice",
            Self::Dtls => "dtls",
            Self::Produce => "produce",
            Self::Consume => "consume",
            Self::Media => "media",
            Self::Signalling => "signalling",
        })
    }
}

/// Why a client failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Failure {
    pub(crate) stage: Stage,
    pub(crate) reason: String,
}

impl Failure {
    pub(crate) fn new(stage: Stage, reason: impl fmt::Display) -> Self {
        Self { stage, reason: reason.to_string() }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}: {}", self.stage, self.reason)
    }
}
