//! What is told of a stream.

use serde::Serialize;

use super::{
    burst::Bursts,
    clock,
    jitter::{COMFORT_NOISE, Rate},
    quality::{self, Quality},
    rtcp::Reported,
    stream::Stream,
};
use crate::analyze::FlowKey;

/// Share of packets of other types, and how far a rate may be off, beyond which the quality is not that
/// of the main type's codec.
const OTHER_TYPES: f64 = 0.05;
const OTHER_RATE: f64 = 0.1;

/// One stream of RTP: a source in a flow.
#[derive(Clone, Debug, Serialize)]
pub struct RtpStream {
    /// Synchronisation source.
    pub ssrc: u32,
    /// Its flow.
    pub flow: FlowKey,
    /// Payload type of most packets.
    pub payload_type: u8,
    /// Name of that type, if it is a static one of RFC 3551.
    pub encoding: Option<&'static str>,
    /// All payload types, the first eight.
    pub payload_types: Vec<u8>,
    /// Times the payload type changed.
    pub payload_type_changes: u64,
    /// Clock rate in Hz; `None` if it is not known.
    pub clock_rate: Option<f64>,
    /// Whether the rate is estimated from timestamps over time, not told by the payload type.
    pub clock_rate_estimated: bool,
    /// Whether the estimate was near a rate in use, and that is given in its place.
    pub clock_rate_rounded: bool,
    /// Packets expected: from the lowest extended sequence number to the highest.
    pub expected: u64,
    /// Packets received, copies included.
    pub received: u64,
    /// Expected less received (RFC 3550, appendix A.3): negative if copies outnumber losses.
    pub lost: i64,
    /// Sequence numbers that never came.
    pub missing: u64,
    /// Missing of expected.
    pub loss_ratio: f64,
    /// Packets whose number had come before.
    pub duplicated: u64,
    /// Packets behind a higher number.
    pub reordered: u64,
    /// How far behind at most, in numbers.
    pub max_displacement: u16,
    /// Packets far from all other numbers, counted nowhere else.
    pub strays: u64,
    /// Times that numbering began anew.
    pub restarts: u64,
    /// Interarrival jitter; `None` without a clock rate or times.
    pub jitter_ms: Option<Spread>,
    /// The same in units of the clock.
    pub jitter_units: Option<Spread>,
    /// Packets that the jitter is of: fewer where the rate became known late.
    pub jitter_packets: u64,
    /// First stamp, nanoseconds since the epoch.
    pub first_ns: Option<i64>,
    /// Last stamp, nanoseconds since the epoch.
    pub last_ns: Option<i64>,
    /// From first to last, in nanoseconds.
    pub duration_ns: Option<i64>,
    /// Longest time from packet to packet, in nanoseconds.
    pub max_interarrival_ns: Option<i64>,
    /// Bytes of the packets from the RTP header on.
    pub bytes: u64,
    /// Bits a second of those.
    pub bitrate_bps: Option<Bitrate>,
    /// Packets a second.
    pub packet_rate: Option<f64>,
    /// Shortest payload in bytes, padding and authentication tag included.
    pub payload_min: u32,
    /// Longest payload in bytes.
    pub payload_max: u32,
    /// Packets with the marker bit.
    pub markers: u64,
    /// Most contributing sources.
    pub max_csrc_count: u8,
    /// Packets with a header extension.
    pub extensions: u64,
    /// The 16 bits in front of the last extension.
    pub extension_profile: Option<u16>,
    /// Bursts and gaps of loss.
    pub bursts: Bursts,
    /// Estimated quality, where codec and loss tell it.
    pub quality: Option<Quality>,
    /// What RTCP says of the stream; `None` if nothing.
    pub rtcp: Option<Reported>,
}

/// Values of the jitter estimator.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Spread {
    /// Mean over all packets.
    pub mean: f64,
    /// Largest.
    pub max: f64,
    /// After the last packet.
    pub last: f64,
}

/// Bits a second.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Bitrate {
    /// From the first packet to the last.
    pub mean: f64,
    /// In the busiest second, counted from the first packet; `None` if the stream is shorter.
    pub max: Option<f64>,
}

impl RtpStream {
    /// Of a stream that has ended.
    pub(super) fn new(stream: &Stream, flow: FlowKey, rtcp: Option<Reported>) -> Self {
        let sequence = &stream.sequence;
        let expected = sequence.expected();
        let pattern = sequence.pattern();
        let missing = pattern.lost_packets();
        let payload_type = stream.main_type();
        let rate = stream.jitter.rate(payload_type);
        let estimator = stream.jitter.estimator(payload_type);
        let units = estimator.and_then(|found| Some(Spread { mean: found.mean()?, max: found.max, last: found.value }));
        let ms = |units: Spread, hz: f64| {
            let scale = 1e3 / hz;
            Spread { mean: units.mean * scale, max: units.max * scale, last: units.last * scale }
        };
        let duration_ns = stream.first_ns.zip(stream.last_ns).map(|(from, to)| to.saturating_sub(from));
        let seconds = duration_ns.filter(|&span| span > 0).map(|span| span as f64 / 1e9);
        // The last packet ends the time, and does not take any of its own.
        let intervals = stream.packets.saturating_sub(1) as f64;
        let spacing_ms = seconds.filter(|_| expected > 1).map(|span| span * 1e3 / (expected - 1) as f64);
        let bursts = pattern.bursts(spacing_ms);
        Self {
            ssrc: stream.ssrc,
            flow,
            payload_type,
            encoding: clock::encoding(payload_type),
            payload_types: stream.types.iter().map(|&(payload_type, _)| payload_type).collect(),
            payload_type_changes: stream.type_changes,
            clock_rate: rate.map(Rate::hz),
            clock_rate_estimated: matches!(rate, Some(Rate::Estimated(..))),
            clock_rate_rounded: matches!(rate, Some(Rate::Estimated(_, true))),
            expected,
            received: sequence.received,
            lost: expected.cast_signed().saturating_sub(sequence.received.cast_signed()),
            missing,
            loss_ratio: missing as f64 / expected as f64,
            duplicated: sequence.duplicated,
            reordered: sequence.reordered,
            max_displacement: sequence.displacement,
            strays: sequence.strays,
            restarts: sequence.restarts,
            jitter_ms: units.zip(rate).map(|(units, rate)| ms(units, rate.hz())),
            jitter_units: units,
            jitter_packets: estimator.map_or(0, |found| found.count),
            first_ns: stream.first_ns,
            last_ns: stream.last_ns,
            duration_ns,
            max_interarrival_ns: stream.max_interarrival_ns,
            bytes: stream.bytes,
            bitrate_bps: seconds.map(|span| Bitrate {
                mean: stream.bytes as f64 * 8.0 / span * intervals / stream.packets as f64,
                max: stream.busiest.map(|bytes| bytes as f64 * 8.0),
            }),
            packet_rate: seconds.map(|span| intervals / span),
            payload_min: stream.payload_min,
            payload_max: stream.payload_max,
            markers: stream.markers,
            max_csrc_count: stream.csrc_max,
            extensions: stream.extensions,
            extension_profile: stream.extension,
            quality: of_one_codec(stream, payload_type)
                .then(|| quality::estimate(payload_type, missing, expected, bursts.mean_loss_run))
                .flatten(),
            bursts,
            rtcp,
        }
    }
}

/// Whether the codec of this type is what the stream is of: hardly any packet is of another type but
/// comfort noise, and timestamps went on as that codec's do.
fn of_one_codec(stream: &Stream, payload_type: u8) -> bool {
    let own = stream.types.iter().filter(|(of, _)| *of == payload_type || *of == COMFORT_NOISE);
    let others = stream.packets.saturating_sub(own.map(|(_, packets)| packets).sum());
    let static_hz = clock::of_payload_type(payload_type).map(f64::from);
    let off = static_hz.zip(stream.jitter.measured_hz(payload_type)).map_or(0.0, |(hz, measured)| measured / hz - 1.0);
    others as f64 <= stream.packets as f64 * OTHER_TYPES && off.abs() <= OTHER_RATE
}
