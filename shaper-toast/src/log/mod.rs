//! What a role writes down: JSON lines, one event a line, told apart by the field `event`.
//!
//! The first line is the `header` and carries the schema's version. `t` is always CLOCK_MONOTONIC
//! in nanoseconds, the same clock for all processes of a host; fields of type [`Micros`] are the
//! application's own clock. A sequence is the header sequence of the frame spoken of.

mod read;
mod write;

use std::net::SocketAddrV4;

use serde::{Deserialize, Serialize};

use crate::clock::AppClock;
use crate::sync::{Estimate, Exchange};
use crate::transport::Snapshot;
use crate::units::{Micros, Nanos};
use crate::wire::{Command, MessageType, PlayState};

pub use read::{Log, ReadError, parse_log, read_log};
pub use write::{LogWriter, WriteError};

/// Version of the schema, raised when a reader of the old one would misread the new.
pub const SCHEMA: u32 = 1;

/// Which role wrote a log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// Sends the script.
    Controller,
    /// Follows it.
    Peer,
}

/// Why a datagram was none of this session's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ForeignReason {
    /// TOAST v2 of another session.
    OtherSession,
    /// The incompatible protocol of the same name (magic 0x544F4153).
    OtherToast,
    /// No TOAST at all, or another version or type.
    NotToast,
    /// The checksum does not fit.
    BadChecksum,
    /// payload size 0 although a payload follows.
    UndeclaredPayload,
    /// Cut short, or its sizes disagree.
    Malformed,
    /// A sound frame whose payload is not understood.
    BadPayload,
}

/// Datagrams by what became of them, since the start.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counts {
    /// Datagrams sent.
    pub sent: u64,
    /// Datagrams the socket refused to send.
    pub send_failed: u64,
    /// Datagrams received, of any kind.
    pub received: u64,
    /// Of these, our own.
    pub self_heard: u64,
    /// Of these, none of this session's.
    pub foreign: u64,
    /// Copies of commands.
    pub commands: u64,
    /// State replies, to whomever.
    pub states: u64,
    /// SYNC requests and replies.
    pub syncs: u64,
    /// SYNC requests not answered because their sender had not said its peer id yet.
    pub syncs_unanswered: u64,
    /// HEARTBEAT and DISCOVERY.
    pub announces: u64,
    /// Session frames of types that are not spoken here.
    pub other: u64,
    /// Datagrams the kernel dropped because the socket's receive buffer was full.
    pub receive_buffer_drops: u64,
}

/// One line of a log.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum Event {
    /// First line: who writes, under which schema, by which clock.
    Header {
        /// [`SCHEMA`].
        schema: u32,
        /// When the role began.
        t: Nanos,
        /// What it is.
        role: Role,
        /// Who it is.
        peer_id: String,
        /// Session by name.
        session: String,
        /// Session as on the wire.
        session_id: u32,
        /// Address and port it sends from: its identity in a capture.
        source: SocketAddrV4,
        /// Its application's clock, with what was injected into it.
        clock: AppClock,
    },
    /// The group was joined.
    Joined {
        /// When.
        t: Nanos,
    },
    /// The group was left (IGMP leave), and what had arrived by then was taken in.
    Left {
        /// When that was done.
        t: Nanos,
        /// When it was begun: what is sent from here on is not meant for this peer.
        begun: Nanos,
    },
    /// The controller decided a command; its first copy leaves at the same instant.
    Commanded {
        /// When.
        t: Nanos,
        /// When it was due by the script.
        due: Nanos,
        /// Header sequence, shared by all copies.
        seq: u32,
        /// Burst id, 0 for none.
        burst_id: u32,
        /// What.
        command: Command,
        /// By the controller's own clock.
        timestamp: Micros,
        /// The controller's transport just before.
        before: Snapshot,
        /// Just after: what every peer's should be.
        after: Snapshot,
    },
    /// A datagram left.
    Sent {
        /// When.
        t: Nanos,
        /// Type; none for the discovery text, which has no header.
        kind: Option<MessageType>,
        /// Header sequence.
        seq: u32,
        /// Burst id, 0 for none.
        burst_id: u32,
        /// Which copy.
        burst_index: u8,
        /// When this copy was due.
        due: Nanos,
    },
    /// The socket refused a datagram.
    SendFailed {
        /// When.
        t: Nanos,
        /// Why.
        error: String,
    },
    /// A copy of a command arrived.
    Received {
        /// When.
        t: Nanos,
        /// Who sent it.
        from: String,
        /// From which address.
        addr: SocketAddrV4,
        /// Header sequence.
        seq: u32,
        /// Burst id, 0 for none.
        burst_id: u32,
        /// Which copy.
        burst_index: u8,
        /// Of how many.
        burst_total: u8,
        /// What it commands.
        command: Command,
    },
    /// A command changed the peer's transport.
    Applied {
        /// When.
        t: Nanos,
        /// Whose command.
        from: String,
        /// Its header sequence.
        seq: u32,
        /// Its burst id, 0 for none.
        burst_id: u32,
        /// What.
        command: Command,
        /// Own clock less the command's timestamp: right only as far as the clocks agree.
        latency: Micros,
        /// The transport just before.
        before: Snapshot,
        /// Just after.
        after: Snapshot,
    },
    /// A further copy of a command already handled.
    Repeated {
        /// When.
        t: Nanos,
        /// Who sent it.
        from: String,
        /// Header sequence.
        seq: u32,
        /// Burst id, 0 for none.
        burst_id: u32,
        /// Which copy.
        burst_index: u8,
    },
    /// A command older than one already seen arrived for the first time.
    OutOfOrder {
        /// When.
        t: Nanos,
        /// Who sent it.
        from: String,
        /// Its header sequence.
        seq: u32,
        /// The newest sequence seen from that sender.
        newest: u32,
        /// Whether it was applied all the same.
        applied: bool,
    },
    /// An own datagram came back.
    SelfHeard {
        /// When.
        t: Nanos,
        /// From which address.
        addr: SocketAddrV4,
        /// Type; none for the discovery text.
        kind: Option<MessageType>,
        /// It carries our peer id but not our address: a second process uses the same id.
        other_address: bool,
    },
    /// A datagram that is none of this session's.
    Foreign {
        /// When.
        t: Nanos,
        /// From which address.
        addr: SocketAddrV4,
        /// Which kind of stranger.
        reason: ForeignReason,
        /// In words.
        detail: String,
    },
    /// A peer decided its answer; the `sent` event of the same sequence says when it left.
    Answered {
        /// When.
        t: Nanos,
        /// The answer's own header sequence.
        seq: u32,
        /// Whose command is answered.
        ack_peer: String,
        /// That command's header sequence.
        ack_seq: u32,
        /// The state told.
        state: PlayState,
    },
    /// The controller heard an answer to a command of its own.
    AnswerReceived {
        /// When.
        t: Nanos,
        /// Who answers.
        from: String,
        /// The answer's own header sequence.
        seq: u32,
        /// The command's header sequence.
        ack_seq: u32,
        /// The state told.
        state: PlayState,
        /// The position told, in seconds.
        position: f64,
    },
    /// A clock exchange was completed.
    SyncSample {
        /// When.
        t: Nanos,
        /// With whom, as far as known.
        with: String,
        /// Its four stamps.
        exchange: Exchange,
        /// What it says, in microseconds.
        offset: f64,
        /// Its round trip.
        delay: Micros,
    },
    /// The clock estimate after an exchange.
    ClockEstimate {
        /// When.
        t: Nanos,
        /// Whose clock.
        with: String,
        /// When the exchange that decides took place.
        sample_t: Nanos,
        /// The estimate.
        estimate: Estimate,
    },
    /// The transport, sampled each second.
    Position {
        /// When.
        t: Nanos,
        /// What it shows.
        now: Snapshot,
    },
    /// Totals so far, each second.
    Counts {
        /// When.
        t: Nanos,
        /// The totals.
        counts: Counts,
    },
    /// Last line of a role that ended in order.
    Summary {
        /// When.
        t: Nanos,
        /// The totals.
        counts: Counts,
        /// The transport at the end.
        now: Snapshot,
    },
}

impl Event {
    /// When it happened.
    #[must_use]
    pub fn t(&self) -> Nanos {
        match self {
            Event::Header { t, .. }
            | Event::Joined { t }
            | Event::Left { t, .. }
            | Event::Commanded { t, .. }
            | Event::Sent { t, .. }
            | Event::SendFailed { t, .. }
            | Event::Received { t, .. }
            | Event::Applied { t, .. }
            | Event::Repeated { t, .. }
            | Event::OutOfOrder { t, .. }
            | Event::SelfHeard { t, .. }
            | Event::Foreign { t, .. }
            | Event::Answered { t, .. }
            | Event::AnswerReceived { t, .. }
            | Event::SyncSample { t, .. }
            | Event::ClockEstimate { t, .. }
            | Event::Position { t, .. }
            | Event::Counts { t, .. }
            | Event::Summary { t, .. } => *t,
        }
    }
}
