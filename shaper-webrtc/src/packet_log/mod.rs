//! The packet log: which media packets a load tester sent and received, and when.
//!
//! Joined with a server's mapping log and with captures, it tells what became of each packet from one
//! application to the other. Sequence numbers and SSRCs are those on the wire, in the clear under SRTP;
//! client, track and number are those in the payload. A file is a header and then records, all of 48
//! bytes and little-endian:
//!
//! | offset | size | header | sent | received | stream | reported | clock | lost |
//! | --- | --- | --- | --- | --- | --- | --- | --- | --- |
//! | 0 | 1 | magic `SHWPKT01` | kind 1 | kind 2 | kind 3 | kind 4 | kind 5 | kind 6 |
//! | 1 | 1 | | flags | flags | flags | flags | 0 | 0 |
//! | 2 | 2 | | sequence number | sequence number | 0 | 0 | 0 | 0 |
//! | 4 | 4 | | SSRC | SSRC | SSRC | SSRC | 0 | 0 |
//! | 8 | 4 | record size, 48 | client | client | client | client | 0 | 0 |
//! | 12 | 4 | 0 | track | track | track | jitter, ns | 0 | 0 |
//! | 16 | 4 | 0 | number | number | from | round trip, ns | 0 | 0 |
//! | 20 | 4 | 0 | RTP timestamp | RTP timestamp | SSRC of retransmissions | 0 | 0 | 0 |
//! | 24 | 8 | CLOCK_MONOTONIC, ns | time | time | 0 | time | CLOCK_MONOTONIC | records |
//! | 32 | 8 | CLOCK_REALTIME, ns | 0 | 0 | 0 | packets lost | CLOCK_REALTIME | 0 |
//! | 40 | 4 | 0 | payload, bytes | from | 0 | packets, 8 bytes | 0 | 0 |
//! | 44 | 4 | 0 | 0 | payload, bytes | 0 | | 0 | 0 |
//!
//! Flags: bit 0 video; bit 1 out (stream, reported) or begins a key frame (sent); bit 2 repaired and
//! bit 3 duplicate (received). Bit 4: jitter is known, bit 5: the round trip is known (reported); what
//! is not known is 0. Times are CLOCK_MONOTONIC in nanoseconds; clock records, one a second, map them to
//! wall time. Records are in order of time within a client, not between clients. A record of kind 6
//! says how many records before it found no room on their way to the file.

mod read;
#[cfg(test)]
mod tests;

use serde::Serialize;

use crate::record_log::{self, Entry, Fields, Filling};
pub use read::{PacketLogError, packet_log_records, read_packet_log};

/// The size of the header and of each record, in bytes.
pub const RECORD: usize = record_log::RECORD;

/// The log of a tester, as it is written.
pub(crate) type PacketLog = record_log::Log<Record>;
/// Records of it on their way to the file.
pub(crate) type Batch = record_log::Batch<Record>;

/// Who sent a packet whose payload does not say it.
pub const UNKNOWN: u32 = u32::MAX;

/// A media packet that the tester handed to its transport.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Sent {
    /// Who sends it.
    pub client: u32,
    /// Which of the client's tracks.
    pub track: u32,
    /// Whether it is video.
    pub video: bool,
    /// Whether it begins a key frame.
    pub key_frame: bool,
    /// On the wire.
    pub ssrc: u32,
    /// On the wire.
    pub sequence: u16,
    /// On the wire, in units of the track's clock rate.
    pub rtp_timestamp: u32,
    /// The RTP payload, in bytes.
    pub payload_bytes: u32,
    /// Of the track, from 0, without gaps.
    pub number: u32,
    /// CLOCK_MONOTONIC, before the call that sends it.
    pub time_ns: u64,
}

/// A media packet that came, for the first time or again, by itself or as a retransmission.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Received {
    /// Who got it.
    pub client: u32,
    /// Who sent it, by the payload; [`UNKNOWN`] where a foreign payload does not say.
    pub from: u32,
    /// Which of the sender's tracks, by the payload; 0 where it does not say.
    pub track: u32,
    /// Whether it is video.
    pub video: bool,
    /// Of this leg; for a retransmission that of its original.
    pub ssrc: u32,
    /// Of this leg; for a retransmission that of its original.
    pub sequence: u16,
    /// Of this leg, in units of the track's clock rate.
    pub rtp_timestamp: u32,
    /// The RTP payload, in bytes.
    pub payload_bytes: u32,
    /// Of the track, by the payload; 0 where it does not say.
    pub number: u32,
    /// CLOCK_MONOTONIC, behind the call that received the datagram.
    pub time_ns: u64,
    /// Whether it came as a retransmission.
    pub repaired: bool,
    /// Whether it had come before.
    pub duplicate: bool,
}

/// Whose an SSRC is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Stream {
    /// Whose leg.
    pub client: u32,
    /// Whether the client sends it.
    pub out: bool,
    /// Whether it is video.
    pub video: bool,
    /// Of the stream.
    pub ssrc: u32,
    /// Of its retransmissions; 0 without.
    pub rtx_ssrc: u32,
    /// Which of the sender's tracks; [`UNKNOWN`] where it is not known yet.
    pub track: u32,
    /// Who sends it; [`UNKNOWN`] where it is not known yet.
    pub from: u32,
}

/// What RTCP said of a stream: of an outgoing one what the far side reported, of an incoming one this
/// receiver's own statistics.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Reported {
    /// Whose leg.
    pub client: u32,
    /// Whether the client sends the stream.
    pub out: bool,
    /// Whether it is video.
    pub video: bool,
    /// Of the stream.
    pub ssrc: u32,
    /// CLOCK_MONOTONIC.
    pub time_ns: u64,
    /// Cumulative (RFC 3550, section 6.4.1); below 0 with duplicates.
    pub packets_lost: i64,
    /// Of an outgoing stream the lower 16 bits of the highest sequence number received.
    pub highest: Option<u16>,
    /// Sent (out) or received (in) so far.
    pub packets: u64,
    /// Interarrival jitter (RFC 3550, appendix A.8).
    pub jitter_ns: Option<u32>,
    /// From the last sender report and the delay since it.
    pub round_trip_ns: Option<u32>,
}

/// What a packet log holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "record", rename_all = "snake_case")]
pub enum Record {
    /// A packet was handed to its transport.
    Sent(Sent),
    /// A packet came.
    Received(Received),
    /// Whose an SSRC is. It comes before any packet of it.
    Stream(Stream),
    /// What RTCP said of a stream, about once a second and at its end.
    Reported(Reported),
    /// Two clocks at one moment.
    Clock {
        /// CLOCK_MONOTONIC.
        monotonic_ns: u64,
        /// CLOCK_REALTIME.
        realtime_ns: u64,
    },
    /// Records were lost on their way to the file.
    Lost {
        /// How many.
        records: u64,
    },
}

const SENT: u8 = 1;
const RECEIVED: u8 = 2;
const STREAM: u8 = 3;
const REPORTED: u8 = 4;
const CLOCK: u8 = 5;
const LOST: u8 = 6;

fn flags<const N: usize>(bits: [bool; N]) -> u8 {
    bits.iter().enumerate().fold(0, |flags, (bit, set)| flags | u8::from(*set) << bit)
}

impl Record {
    /// The record as the file has it.
    #[must_use]
    pub fn encode(&self) -> [u8; RECORD] {
        let mut bytes = Filling::new();
        let mut put = |offset: usize, value: &[u8]| bytes.put(offset, value);
        match self {
            Record::Sent(packet) => {
                put(0, &[SENT, flags([packet.video, packet.key_frame])]);
                put(2, &packet.sequence.to_le_bytes());
                put(4, &packet.ssrc.to_le_bytes());
                put(8, &packet.client.to_le_bytes());
                put(12, &packet.track.to_le_bytes());
                put(16, &packet.number.to_le_bytes());
                put(20, &packet.rtp_timestamp.to_le_bytes());
                put(24, &packet.time_ns.to_le_bytes());
                put(40, &packet.payload_bytes.to_le_bytes());
            }
            Record::Received(packet) => {
                put(0, &[RECEIVED, flags([packet.video, false, packet.repaired, packet.duplicate])]);
                put(2, &packet.sequence.to_le_bytes());
                put(4, &packet.ssrc.to_le_bytes());
                put(8, &packet.client.to_le_bytes());
                put(12, &packet.track.to_le_bytes());
                put(16, &packet.number.to_le_bytes());
                put(20, &packet.rtp_timestamp.to_le_bytes());
                put(24, &packet.time_ns.to_le_bytes());
                put(40, &packet.from.to_le_bytes());
                put(44, &packet.payload_bytes.to_le_bytes());
            }
            Record::Stream(stream) => {
                put(0, &[STREAM, flags([stream.video, stream.out])]);
                put(4, &stream.ssrc.to_le_bytes());
                put(8, &stream.client.to_le_bytes());
                put(12, &stream.track.to_le_bytes());
                put(16, &stream.from.to_le_bytes());
                put(20, &stream.rtx_ssrc.to_le_bytes());
            }
            Record::Reported(said) => {
                let known = [said.jitter_ns.is_some(), said.round_trip_ns.is_some()];
                let known = flags(known) << 4 | u8::from(said.highest.is_some()) << 6;
                put(0, &[REPORTED, flags([said.video, said.out]) | known]);
                put(2, &said.highest.unwrap_or(0).to_le_bytes());
                put(4, &said.ssrc.to_le_bytes());
                put(8, &said.client.to_le_bytes());
                put(12, &said.jitter_ns.unwrap_or(0).to_le_bytes());
                put(16, &said.round_trip_ns.unwrap_or(0).to_le_bytes());
                put(24, &said.time_ns.to_le_bytes());
                put(32, &said.packets_lost.to_le_bytes());
                put(40, &said.packets.to_le_bytes());
            }
            Record::Clock { monotonic_ns, realtime_ns } => {
                put(0, &[CLOCK]);
                put(24, &monotonic_ns.to_le_bytes());
                put(32, &realtime_ns.to_le_bytes());
            }
            Record::Lost { records } => {
                put(0, &[LOST]);
                put(24, &records.to_le_bytes());
            }
        }
        bytes.0
    }

    /// None for a kind that is not known.
    fn decode(bytes: &[u8; RECORD]) -> Option<Self> {
        let field = Fields(bytes);
        let [kind, flags, ..] = *bytes;
        let bit = |bit: u8| flags & 1 << bit != 0;
        Some(match kind {
            SENT => Record::Sent(Sent {
                client: field.u32(8),
                track: field.u32(12),
                video: bit(0),
                key_frame: bit(1),
                ssrc: field.u32(4),
                sequence: field.u16(2),
                rtp_timestamp: field.u32(20),
                payload_bytes: field.u32(40),
                number: field.u32(16),
                time_ns: field.u64(24),
            }),
            RECEIVED => Record::Received(Received {
                client: field.u32(8),
                from: field.u32(40),
                track: field.u32(12),
                video: bit(0),
                ssrc: field.u32(4),
                sequence: field.u16(2),
                rtp_timestamp: field.u32(20),
                payload_bytes: field.u32(44),
                number: field.u32(16),
                time_ns: field.u64(24),
                repaired: bit(2),
                duplicate: bit(3),
            }),
            STREAM => Record::Stream(Stream {
                client: field.u32(8),
                out: bit(1),
                video: bit(0),
                ssrc: field.u32(4),
                rtx_ssrc: field.u32(20),
                track: field.u32(12),
                from: field.u32(16),
            }),
            REPORTED => Record::Reported(Reported {
                client: field.u32(8),
                out: bit(1),
                video: bit(0),
                ssrc: field.u32(4),
                time_ns: field.u64(24),
                packets_lost: i64::from_le_bytes(field.at(32)),
                highest: bit(6).then(|| field.u16(2)),
                packets: field.u64(40),
                jitter_ns: bit(4).then(|| field.u32(12)),
                round_trip_ns: bit(5).then(|| field.u32(16)),
            }),
            CLOCK => Record::Clock { monotonic_ns: field.u64(24), realtime_ns: field.u64(32) },
            LOST => Record::Lost { records: field.u64(24) },
            _ => return None,
        })
    }
}

impl Entry for Record {
    const MAGIC: [u8; 8] = *b"SHWPKT01";
    const THREAD: &'static str = "packet-log";

    fn bytes(&self) -> [u8; RECORD] {
        self.encode()
    }

    fn of_bytes(bytes: &[u8; RECORD]) -> Option<Self> {
        Self::decode(bytes)
    }

    fn clock(monotonic_ns: u64, realtime_ns: u64) -> Self {
        Self::Clock { monotonic_ns, realtime_ns }
    }

    fn lost(records: u64) -> Self {
        Self::Lost { records }
    }
}
