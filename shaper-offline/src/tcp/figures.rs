//! What is told of a connection.

use serde::Serialize;

use crate::stats::Summary;

/// A connection, or several one after the other between the same ports.
#[derive(Clone, Debug, Serialize)]
pub struct Figures {
    /// Connections that began with a SYN here; 0 if it was under way.
    pub connections: u64,
    /// The first whole handshake.
    pub handshake: Option<Handshake>,
    /// From the conversation's first end to its second.
    pub a_to_b: WayFigures,
    /// From the second end to the first.
    pub b_to_a: WayFigures,
}

impl Figures {
    /// The same with the ends changed over.
    #[must_use]
    pub fn turned(self) -> Self {
        Self { a_to_b: self.b_to_a, b_to_a: self.a_to_b, ..self }
    }
}

/// Times of a handshake at the point; `None` for a half whose segment passed twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Handshake {
    /// From the SYN to the SYN/ACK: the point, the responder, the point.
    pub to_responder_ns: Option<i64>,
    /// From the SYN/ACK to the ACK: the point, the initiator, the point.
    pub to_initiator_ns: Option<i64>,
    /// Both: the whole path and back.
    pub whole_ns: Option<i64>,
}

/// One direction of a connection.
#[derive(Clone, Debug, Serialize)]
pub struct WayFigures {
    /// What was counted.
    #[serde(flatten)]
    pub counts: Counts,
    /// Round trip from the point over the receiver of this direction, by timestamps (RFC 7323
    /// section 4): from the first data segment with a TSval to the first acknowledgement of it
    /// that echoes it.
    pub rtt_by_timestamp_ns: Option<Summary>,
    /// The same round trip by acknowledgement: from a data segment that passed once to the
    /// acknowledgement that ends with it (Karn's rule, RFC 6298 section 3).
    pub rtt_by_acknowledgement_ns: Option<Summary>,
}

impl WayFigures {
    /// The round trip by timestamps where there are any, as retransmissions do not spoil them, else by acknowledgement.
    #[must_use]
    pub fn round_trip(&self) -> Option<Summary> {
        self.rtt_by_timestamp_ns.or(self.rtt_by_acknowledgement_ns)
    }
}

/// Counts of one direction. Segments that pass again, or late, are told apart by what is certain
/// here; what is not is counted as unclear.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Counts {
    /// Segments.
    pub segments: u64,
    /// Segments with payload.
    pub data_segments: u64,
    /// Payload bytes, repeated ones included.
    pub payload_bytes: u64,
    /// Retransmissions: `repeated` and `lost_before`.
    pub retransmissions: u64,
    /// Of those, segments with payload; the others have SYN or FIN alone.
    pub data_retransmissions: u64,
    /// Of those with payload, segments whose bytes had passed here before.
    pub data_repeated: u64,
    /// Segments whose bytes had passed here before: lost behind the point, or sent again needlessly.
    pub repeated: u64,
    /// Bytes that passed again.
    pub repeated_bytes: u64,
    /// Of those segments, all that had been acknowledged here when they passed again.
    pub needless: u64,
    /// Retransmissions of bytes that had not passed here: lost before the point.
    pub lost_before: u64,
    /// Bytes of those.
    pub lost_before_bytes: u64,
    /// Retransmissions that the receiver asked for: three duplicate acknowledgements or SACK.
    pub fast: u64,
    /// Retransmissions that only a timer of the sender can have caused: the receiver showed no gap.
    pub timer: u64,
    /// Segments behind their turn that were sent in their turn: by their TSvals or identifications,
    /// or because they came sooner than the receiver can have asked for them.
    pub out_of_order: u64,
    /// Segments behind their turn of which neither is certain.
    pub unclear: u64,
    /// Segments from before the first that was captured.
    pub before_start: u64,
    /// Bytes that the receiver acknowledged and that did not pass here, or were not captured.
    pub unseen_bytes: u64,
    /// Keep-alives (RFC 9293 section 3.8.4).
    pub keepalives: u64,
    /// Probes of a closed window (RFC 9293 section 3.8.6.1).
    pub window_probes: u64,
    /// Duplicate acknowledgements sent this way (RFC 5681 section 2).
    pub duplicate_acks: u64,
    /// Acknowledgements sent this way that report a duplicate (RFC 2883).
    pub duplicates_reported: u64,
    /// Segments sent this way that close the window.
    pub zero_windows: u64,
    /// Time from closing to opening the window, summed up.
    pub zero_window_ns: u64,
    /// Segments with SYN.
    pub syns: u64,
    /// Segments with FIN.
    pub fins: u64,
    /// Segments with RST.
    pub resets: u64,
    /// Segments far from all others by their sequence numbers, and those that acknowledge what no receiver
    /// can have.
    pub implausible: u64,
    /// Holes that were given up because there were too many; what fills them counts as repeated.
    pub holes_forgotten: u64,
    /// Segments without a sample of the round trip because too many were under way.
    pub unsampled: u64,
    /// Maximum segment size that this end takes.
    pub mss: Option<u16>,
    /// Shift of this end's windows.
    pub window_scale: Option<u8>,
    /// Whether this end takes SACK; `None` without its SYN.
    pub sack_permitted: Option<bool>,
}
