//! The mapping log: which packet of one leg became which packet of another, and when.
//!
//! A server rewrites SSRCs and sequence numbers, so captures on both sides of it cannot be joined
//! without this. Numbers are those on the wire, in the clear under SRTP. A file is a header and then
//! records, all of 48 bytes and little-endian:
//!
//! | offset | size | header | forwarded, retransmitted | leg | clock | lost | reported |
//! | --- | --- | --- | --- | --- | --- | --- | --- |
//! | 0 | 1 | magic `SHWMAP01` | kind 1, 2 | kind 3 | kind 4 | kind 5 | kind 6 |
//! | 1 | 1 | | bit 0 video, bit 1 begins a key frame | 0 in, 1 out | 0 | 0 | bit 0 video, bit 1 round trip known |
//! | 2 | 2 | | size of the UDP payload sent | 0 | 0 | 0 | 0 |
//! | 4 | 2 | | sequence number in | 0 | 0 | 0 | 0 |
//! | 6 | 2 | | sequence number out | 0 | 0 | 0 | 0 |
//! | 8 | 4 | record size, 48 | SSRC in | 0 | 0 | 0 | jitter, ns |
//! | 12 | 4 | 0 | SSRC out | 0 | 0 | 0 | SSRC out |
//! | 16 | 4 | 0 | leg in | leg | 0 | 0 | round trip, ns |
//! | 20 | 4 | 0 | leg out | 0 | 0 | 0 | leg out |
//! | 24 | 8 | CLOCK_MONOTONIC, ns | time in | participant | CLOCK_MONOTONIC | records | time |
//! | 32 | 8 | CLOCK_REALTIME, ns | time out | transport | CLOCK_REALTIME | 0 | packets lost |
//! | 40 | 8 | 0 | size of the RTP payload | 0 | 0 | 0 | highest number |
//!
//! Times are CLOCK_MONOTONIC in nanoseconds; time in is read behind the system call that received the
//! datagram, time out before the one that sends it, so pacing by the server lies between. Clock
//! records, one a second, map them to wall time. What a server sends again is not known by its
//! original (the original's number is inside the encryption): SSRC, sequence, time and leg in are 0.
//! A record of kind 5 says how many records before it found no room on their way to the file. One of
//! kind 6 is what the receiver's RTCP last said of a stream that goes out, written about once a second.
//! What came in as a retransmission has the numbers of its original, and the time of the
//! retransmission.
//! Participants and transports are the numbers whose 16 hexadecimal digits signalling shows.

mod read;
#[cfg(test)]
mod tests;

use serde::{Serialize, Serializer};

use crate::record_log::{self, Entry, Fields, Filling};
pub use read::{MapLogError, map_log_records, read_map_log};

/// The size of the header and of each record, in bytes.
pub const RECORD: usize = record_log::RECORD;

/// The log of a server, as it is written.
pub(crate) type MapLog = record_log::Log<Record>;
/// Records of it on their way to the file.
pub(crate) type Batch = record_log::Batch<Record>;

/// A packet that a server sent on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Forwarded {
    /// Whether it is video.
    pub video: bool,
    /// Whether it begins a key frame.
    pub key_frame: bool,
    /// The UDP payload that was sent, in bytes.
    pub datagram_bytes: u16,
    /// The RTP payload, in bytes.
    pub payload_bytes: u64,
    /// As it came in.
    pub sequence_in: u16,
    /// As it went out.
    pub sequence_out: u16,
    /// As it came in.
    pub ssrc_in: u32,
    /// As it went out.
    pub ssrc_out: u32,
    /// The leg that it came in at.
    pub leg_in: u32,
    /// The leg that it went out at.
    pub leg_out: u32,
    /// When it was received, CLOCK_MONOTONIC.
    pub time_in_ns: u64,
    /// When it was sent, CLOCK_MONOTONIC.
    pub time_out_ns: u64,
}

/// What the last receiver report said of a stream that a server sends (RFC 3550, section 6.4.1).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Reported {
    /// Whether it is video.
    pub video: bool,
    /// Of the stream.
    pub ssrc_out: u32,
    /// The leg that it goes out at.
    pub leg_out: u32,
    /// When this was written down, CLOCK_MONOTONIC; the report came up to a second before.
    pub time_ns: u64,
    /// The cumulative number of packets lost.
    pub packets_lost: i64,
    /// The highest sequence number received, of which the lower 16 bits are those on the wire.
    pub highest: u64,
    /// Interarrival jitter (RFC 3550, appendix A.8), in nanoseconds.
    pub jitter_ns: u32,
    /// From the last sender report and the delay since it, in nanoseconds.
    pub round_trip_ns: Option<u32>,
}

/// What a mapping log holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "record", rename_all = "snake_case")]
pub enum Record {
    /// A packet went from leg to leg.
    Forwarded(Forwarded),
    /// A packet was sent again; all that belongs to the way in is 0.
    Retransmitted(Forwarded),
    /// Whose a leg is. It comes before any packet of that leg.
    Leg {
        /// The leg.
        leg: u32,
        /// Whether packets go out there.
        out: bool,
        /// Whose.
        #[serde(serialize_with = "as_signalled")]
        participant: u64,
        /// Which transport.
        #[serde(serialize_with = "as_signalled")]
        transport: u64,
    },
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
    /// What RTCP says of a stream that goes out.
    Reported(Reported),
}

/// An id as signalling shows it; as a number it would be too large for many readers of JSON.
fn as_signalled<S: Serializer>(id: &u64, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(&format_args!("{id:016x}"))
}

const FORWARDED: u8 = 1;
const RETRANSMITTED: u8 = 2;
const LEG: u8 = 3;
const CLOCK: u8 = 4;
const LOST: u8 = 5;
const REPORTED: u8 = 6;

impl Record {
    /// The record as the file has it.
    #[must_use]
    pub fn encode(&self) -> [u8; RECORD] {
        let mut bytes = Filling::new();
        let mut put = |offset: usize, value: &[u8]| bytes.put(offset, value);
        match self {
            Record::Forwarded(packet) | Record::Retransmitted(packet) => {
                let kind = if matches!(self, Record::Forwarded(_)) { FORWARDED } else { RETRANSMITTED };
                put(0, &[kind, u8::from(packet.video) | u8::from(packet.key_frame) << 1]);
                put(2, &packet.datagram_bytes.to_le_bytes());
                put(4, &packet.sequence_in.to_le_bytes());
                put(6, &packet.sequence_out.to_le_bytes());
                put(8, &packet.ssrc_in.to_le_bytes());
                put(12, &packet.ssrc_out.to_le_bytes());
                put(16, &packet.leg_in.to_le_bytes());
                put(20, &packet.leg_out.to_le_bytes());
                put(24, &packet.time_in_ns.to_le_bytes());
                put(32, &packet.time_out_ns.to_le_bytes());
                put(40, &packet.payload_bytes.to_le_bytes());
            }
            Record::Leg { leg, out, participant, transport } => {
                put(0, &[LEG, u8::from(*out)]);
                put(16, &leg.to_le_bytes());
                put(24, &participant.to_le_bytes());
                put(32, &transport.to_le_bytes());
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
            Record::Reported(said) => {
                put(0, &[REPORTED, u8::from(said.video) | u8::from(said.round_trip_ns.is_some()) << 1]);
                put(8, &said.jitter_ns.to_le_bytes());
                put(12, &said.ssrc_out.to_le_bytes());
                put(16, &said.round_trip_ns.unwrap_or(0).to_le_bytes());
                put(20, &said.leg_out.to_le_bytes());
                put(24, &said.time_ns.to_le_bytes());
                put(32, &said.packets_lost.to_le_bytes());
                put(40, &said.highest.to_le_bytes());
            }
        }
        bytes.0
    }

    /// None for a kind that is not known.
    fn decode(bytes: &[u8; RECORD]) -> Option<Self> {
        let field = Fields(bytes);
        let [kind, flags, ..] = *bytes;
        let packet = || Forwarded {
            video: flags & 1 != 0,
            key_frame: flags & 2 != 0,
            datagram_bytes: field.u16(2),
            payload_bytes: field.u64(40),
            sequence_in: field.u16(4),
            sequence_out: field.u16(6),
            ssrc_in: field.u32(8),
            ssrc_out: field.u32(12),
            leg_in: field.u32(16),
            leg_out: field.u32(20),
            time_in_ns: field.u64(24),
            time_out_ns: field.u64(32),
        };
        Some(match kind {
            FORWARDED => Record::Forwarded(packet()),
            RETRANSMITTED => Record::Retransmitted(packet()),
            LEG => Record::Leg {
                leg: field.u32(16),
                out: flags & 1 != 0,
                participant: field.u64(24),
                transport: field.u64(32),
            },
            CLOCK => Record::Clock { monotonic_ns: field.u64(24), realtime_ns: field.u64(32) },
            LOST => Record::Lost { records: field.u64(24) },
            REPORTED => Record::Reported(Reported {
                video: flags & 1 != 0,
                ssrc_out: field.u32(12),
                leg_out: field.u32(20),
                time_ns: field.u64(24),
                packets_lost: i64::from_le_bytes(field.at(32)),
                highest: field.u64(40),
                jitter_ns: field.u32(8),
                round_trip_ns: (flags & 2 != 0).then(|| field.u32(16)),
            }),
            _ => return None,
        })
    }
}

impl Entry for Record {
    const MAGIC: [u8; 8] = *b"SHWMAP01";
    const THREAD: &'static str = "map-log";

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
