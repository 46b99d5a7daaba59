//! Payloads: transport JSON, SYNC's integers, and the presence that HEARTBEAT and DISCOVERY carry.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};

use super::datagram::BufferTooSmall;

/// What a TRANSPORT command asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Command {
    /// Run from the position given.
    Play,
    /// Stop and go to the position given (0 in the script).
    Stop,
    /// Hold at the position given.
    Pause,
    /// Jump, without a change of state.
    Position,
    /// Change the tempo, without a change of state.
    Bpm,
}

/// What the transport is doing.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum PlayState {
    /// At rest; where everybody begins.
    #[default]
    Stopped,
    /// Position advances.
    Playing,
    /// Held.
    Paused,
}

/// The JSON of a TRANSPORT command (`"type":"transport"`).
#[derive(Debug, Clone, PartialEq)]
pub struct TransportCommand<'a> {
    /// What is asked for.
    pub command: Command,
    /// The sender's clock in microseconds when it decided.
    pub timestamp: u64,
    /// Position in seconds.
    pub position: f64,
    /// Tempo in beats per minute.
    pub bpm: f64,
    /// Who sent it.
    pub peer_id: Cow<'a, str>,
}

/// The JSON a peer answers a command with (`"type":"transport_state"`), unbursted.
#[derive(Debug, Clone, PartialEq)]
pub struct TransportStateReply<'a> {
    /// Who answers.
    pub peer_id: Cow<'a, str>,
    /// Whose command is answered.
    pub ack_peer: Cow<'a, str>,
    /// That command's header sequence.
    pub ack_seq: u32,
    /// The answering peer's state after the command.
    pub state: PlayState,
    /// Its position in seconds.
    pub position: f64,
    /// Its tempo in beats per minute.
    pub bpm: f64,
    /// Its clock in microseconds.
    pub timestamp: u64,
}

/// What a transport frame (types 5, 9, 10) carries.
#[derive(Debug, Clone, PartialEq)]
pub enum TransportPayload<'a> {
    /// A command.
    Command(TransportCommand<'a>),
    /// An answer.
    State(TransportStateReply<'a>),
}

/// Why a payload whose frame was sound is not understood.
#[derive(Debug, thiserror::Error)]
pub enum PayloadError {
    /// Not the JSON expected.
    #[error("{what} payload is not the JSON expected: {source}")]
    Json {
        /// Which payload.
        what: &'static str,
        /// Where it went wrong (line and column).
        source: serde_json::Error,
    },
    /// JSON of a known type that lacks a field.
    #[error("{what} payload lacks the field {field:?}")]
    Missing {
        /// Which payload.
        what: &'static str,
        /// The field.
        field: &'static str,
    },
    /// A number that no transport has.
    #[error("{what} payload: {field} {value} is outside {low} to {high}")]
    Range {
        /// Which payload.
        what: &'static str,
        /// The field.
        field: &'static str,
        /// Its value.
        value: f64,
        /// Least accepted.
        low: f64,
        /// Largest accepted.
        high: f64,
    },
    /// A SYNC payload of neither 8 nor 28 bytes.
    #[error("SYNC payload of {len} bytes is neither a request (8) nor a reply ({SYNC_REPLY_LEN})")]
    SyncLength {
        /// Bytes found.
        len: usize,
    },
}

#[derive(Serialize, Deserialize, Clone, Copy, PartialEq)]
#[serde(rename_all = "snake_case")]
enum Kind {
    Transport,
    TransportState,
}

#[derive(Serialize)]
struct CommandJson<'a> {
    r#type: Kind,
    command: Command,
    timestamp: u64,
    position: f64,
    bpm: f64,
    peer_id: &'a str,
}

#[derive(Serialize)]
struct StateJson<'a> {
    r#type: Kind,
    peer_id: &'a str,
    ack_peer: &'a str,
    ack_seq: u32,
    state: PlayState,
    position: f64,
    bpm: f64,
    timestamp: u64,
}

/// Both kinds in one, so that one pass over the text decides and reads; an internally tagged enum
/// would buffer every field on the heap first.
#[derive(Deserialize)]
struct EitherJson<'a> {
    r#type: Kind,
    command: Option<Command>,
    timestamp: u64,
    position: f64,
    bpm: f64,
    #[serde(borrow)]
    peer_id: Cow<'a, str>,
    #[serde(borrow, default)]
    ack_peer: Option<Cow<'a, str>>,
    ack_seq: Option<u32>,
    state: Option<PlayState>,
}

/// Writes transport JSON into the front of `out`; returns its length.
///
/// # Errors
/// [`BufferTooSmall`] when `out` cannot hold it (`needed` is then a lower bound).
pub fn encode_transport(payload: &TransportPayload<'_>, out: &mut [u8]) -> Result<usize, BufferTooSmall> {
    match payload {
        TransportPayload::Command(c) => write_json(
            &CommandJson {
                r#type: Kind::Transport,
                command: c.command,
                timestamp: c.timestamp,
                position: c.position,
                bpm: c.bpm,
                peer_id: &c.peer_id,
            },
            out,
        ),
        TransportPayload::State(s) => write_json(
            &StateJson {
                r#type: Kind::TransportState,
                peer_id: &s.peer_id,
                ack_peer: &s.ack_peer,
                ack_seq: s.ack_seq,
                state: s.state,
                position: s.position,
                bpm: s.bpm,
                timestamp: s.timestamp,
            },
            out,
        ),
    }
}

/// Reads transport JSON, borrowing the ids from it. Unknown fields are ignored.
///
/// # Errors
/// [`PayloadError::Json`] with line and column, [`PayloadError::Missing`], or
/// [`PayloadError::Range`] for a position beyond 31 years or a tempo beyond reason, which would
/// overflow in the transport.
pub fn decode_transport(payload: &[u8]) -> Result<TransportPayload<'_>, PayloadError> {
    let what = "TRANSPORT";
    let json: EitherJson<'_> = serde_json::from_slice(payload).map_err(|source| PayloadError::Json { what, source })?;
    let missing = |field| PayloadError::Missing { what, field };
    for (field, value, low, high) in [("position", json.position, -1e9, 1e9), ("bpm", json.bpm, 0.0, 1e6)] {
        if !(low..=high).contains(&value) {
            return Err(PayloadError::Range { what, field, value, low, high });
        }
    }
    Ok(match json.r#type {
        Kind::Transport => TransportPayload::Command(TransportCommand {
            command: json.command.ok_or(missing("command"))?,
            timestamp: json.timestamp,
            position: json.position,
            bpm: json.bpm,
            peer_id: json.peer_id,
        }),
        Kind::TransportState => TransportPayload::State(TransportStateReply {
            peer_id: json.peer_id,
            ack_peer: json.ack_peer.ok_or(missing("ack_peer"))?,
            ack_seq: json.ack_seq.ok_or(missing("ack_seq"))?,
            state: json.state.ok_or(missing("state"))?,
            position: json.position,
            bpm: json.bpm,
            timestamp: json.timestamp,
        }),
    })
}

/// Bytes of a SYNC reply: t1, t2, t3 and the requester's id.
pub const SYNC_REPLY_LEN: usize = 28;

/// What a SYNC frame carries; all times in microseconds of the clock of whoever stamped them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SyncPayload {
    /// A question: when the requester sent it.
    Request {
        /// Send time by the requester's clock.
        t1: u64,
    },
    /// The answer.
    Reply {
        /// The request's t1, echoed.
        t1: u64,
        /// Receive time of the request by the answerer's clock.
        t2: u64,
        /// Send time of this reply by the answerer's clock.
        t3: u64,
        /// [`super::requester_id`] of the peer that asked.
        requester: u32,
    },
}

/// Writes a SYNC payload into the front of `out`; returns its length, 8 or 28.
#[must_use]
pub fn encode_sync(payload: &SyncPayload, out: &mut [u8; SYNC_REPLY_LEN]) -> usize {
    match *payload {
        SyncPayload::Request { t1 } => {
            out[..8].copy_from_slice(&t1.to_le_bytes());
            8
        }
        SyncPayload::Reply { t1, t2, t3, requester } => {
            out[..8].copy_from_slice(&t1.to_le_bytes());
            out[8..16].copy_from_slice(&t2.to_le_bytes());
            out[16..24].copy_from_slice(&t3.to_le_bytes());
            out[24..].copy_from_slice(&requester.to_le_bytes());
            SYNC_REPLY_LEN
        }
    }
}

/// Reads a SYNC payload: 8 bytes are a request, 28 a reply.
///
/// # Errors
/// [`PayloadError::SyncLength`] for any other length.
pub fn decode_sync(payload: &[u8]) -> Result<SyncPayload, PayloadError> {
    let wrong = PayloadError::SyncLength { len: payload.len() };
    let Some((&t1, rest)) = payload.split_first_chunk::<8>() else {
        return Err(wrong);
    };
    let t1 = u64::from_le_bytes(t1);
    if rest.is_empty() {
        return Ok(SyncPayload::Request { t1 });
    }
    let Some((&t2, rest)) = rest.split_first_chunk::<8>() else {
        return Err(wrong);
    };
    let Some((&t3, rest)) = rest.split_first_chunk::<8>() else {
        return Err(wrong);
    };
    let Ok(requester) = <[u8; 4]>::try_from(rest) else {
        return Err(wrong);
    };
    Ok(SyncPayload::Reply {
        t1,
        t2: u64::from_le_bytes(t2),
        t3: u64::from_le_bytes(t3),
        requester: u32::from_le_bytes(requester),
    })
}

/// What our HEARTBEAT and DISCOVERY frames carry: who is there. Other implementations may leave
/// the payload empty.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Announce<'a> {
    /// Who sends.
    #[serde(borrow)]
    pub peer_id: Cow<'a, str>,
}

/// Writes presence JSON into the front of `out`; returns its length.
///
/// # Errors
/// [`BufferTooSmall`] when `out` cannot hold it.
pub fn encode_announce(announce: &Announce<'_>, out: &mut [u8]) -> Result<usize, BufferTooSmall> {
    write_json(announce, out)
}

/// Reads presence JSON; an empty payload is presence without a name.
///
/// # Errors
/// [`PayloadError::Json`].
pub fn decode_announce(payload: &[u8]) -> Result<Option<Announce<'_>>, PayloadError> {
    if payload.is_empty() {
        return Ok(None);
    }
    serde_json::from_slice(payload).map(Some).map_err(|source| PayloadError::Json { what: "presence", source })
}

fn write_json<T: Serialize>(value: &T, out: &mut [u8]) -> Result<usize, BufferTooSmall> {
    let available = out.len();
    let mut cursor = &mut *out;
    match serde_json::to_writer(&mut cursor, value) {
        Ok(()) => Ok(available - cursor.len()),
        Err(_) => Err(BufferTooSmall { needed: available + 1, available }),
    }
}
