//! What is left of a leg.

use std::time::{Duration, Instant};

use str0m::media::Rid;
use str0m::stats::{MediaEgressStats, MediaIngressStats, PeerStats};

use super::Shared;
use super::leg::{Leg, Slip};
use super::stream::Stream;
use super::track::Track;
use crate::load::latency::Latency;
use crate::load::results::Second;
use crate::packet_log::{Record, Reported};
use crate::signal::rtp::MediaKind;

/// What a worker measured.
pub(crate) struct WorkerReport {
    pub(crate) legs: Vec<LegReport>,
    /// Of all frames.
    pub(crate) slip: Latency,
}

/// Of a track that went out.
pub(crate) struct TrackReport {
    pub(crate) id: u32,
    pub(crate) kind: MediaKind,
    pub(crate) clock_rate: u32,
    pub(crate) mid: String,
    pub(crate) rid: Option<Rid>,
    pub(crate) ssrc: u32,
    pub(crate) packets: u32,
    pub(crate) bytes: u64,
    pub(crate) frames: u64,
    pub(crate) key_frames: u64,
    pub(crate) samples: Vec<(u64, u32)>,
    pub(crate) egress: Option<MediaEgressStats>,
}

/// Of a track that came in.
pub(crate) struct StreamReport {
    pub(crate) producer: String,
    pub(crate) kind: MediaKind,
    pub(crate) mid: String,
    pub(crate) ssrc: u32,
    pub(crate) subscribed_ns: u64,
    pub(crate) ended_ns: Option<u64>,
    /// CLOCK_MONOTONIC, when the last packet came.
    pub(crate) last_ns: u64,
    pub(crate) range: Option<(u64, u64)>,
    pub(crate) unique: u64,
    /// The first and the highest number by RTP.
    pub(crate) sequences: Option<(u64, u64)>,
    /// Whether range and unique are by what payloads say.
    pub(crate) by_payload: bool,
    pub(crate) from: Option<(u32, u32)>,
    pub(crate) packets: u64,
    pub(crate) bytes: u64,
    pub(crate) again: u64,
    pub(crate) late: u64,
    pub(crate) repaired: u64,
    pub(crate) discarded: u64,
    pub(crate) jitter: Duration,
    pub(crate) ingress: Option<MediaIngressStats>,
}

/// Of a leg.
pub(crate) struct LegReport {
    pub(crate) client: usize,
    pub(crate) number: u64,
    pub(crate) acknowledged: bool,
    pub(crate) sent: u64,
    pub(crate) sent_bytes: u64,
    pub(crate) send_failed: u64,
    pub(crate) skipped: u64,
    pub(crate) target_bitrate: u64,
    pub(crate) estimate: Option<u64>,
    pub(crate) slip: Slip,
    pub(crate) e2e: Latency,
    pub(crate) seconds: Vec<Second>,
    pub(crate) tracks: Vec<TrackReport>,
    pub(crate) streams: Vec<StreamReport>,
    pub(crate) peer: Option<PeerStats>,
}

impl LegReport {
    pub(super) fn of(leg: Leg, shared: &mut Shared, now: Instant) -> Self {
        let target_bitrate = leg.target_bitrate();
        if let Some(log) = &mut shared.log {
            for stream in leg.streams.iter().filter(|stream| stream.packets > 0) {
                log.push(&Record::Reported(last_words(stream, leg.client(), shared.clock.monotonic(now))));
            }
        }
        Self {
            client: leg.new.client,
            number: leg.new.number,
            acknowledged: leg.acknowledged,
            sent: leg.sent,
            sent_bytes: leg.sent_bytes,
            send_failed: leg.send_failed,
            skipped: leg.skipped,
            target_bitrate,
            estimate: leg.estimate,
            slip: leg.slip,
            e2e: leg.e2e,
            seconds: leg.seconds,
            tracks: leg.tracks.into_iter().map(TrackReport::of).collect(),
            streams: leg.streams.into_iter().map(StreamReport::of).collect(),
            peer: leg.peer,
        }
    }
}

/// What the receiver of a stream knows at its end.
fn last_words(stream: &Stream, client: u32, time_ns: u64) -> Reported {
    Reported {
        client,
        out: false,
        video: stream.new.kind == MediaKind::Video,
        ssrc: stream.new.ssrc,
        time_ns,
        packets_lost: i64::try_from(stream.sequences.missing()).unwrap_or(i64::MAX),
        highest: None,
        packets: stream.packets,
        jitter_ns: Some(u32::try_from(stream.jitter().as_nanos()).unwrap_or(u32::MAX)),
        round_trip_ns: None,
    }
}

impl TrackReport {
    fn of(track: Track) -> Self {
        Self {
            id: track.new.id,
            kind: track.new.shape.kind(),
            clock_rate: track.new.shape.clock_rate(),
            mid: track.new.mid.to_string(),
            rid: track.new.rid,
            ssrc: track.new.ssrc,
            packets: track.number,
            bytes: track.bytes,
            frames: track.frames,
            key_frames: track.key_frames,
            samples: track.samples,
            egress: track.egress,
        }
    }
}

impl StreamReport {
    fn of(stream: Stream) -> Self {
        let (range, unique) = (stream.numbers.range(), stream.numbers.unique());
        let (by_payload, jitter) = (stream.by_payload(), stream.jitter());
        Self {
            producer: stream.new.producer,
            kind: stream.new.kind,
            mid: stream.new.mid.to_string(),
            ssrc: stream.new.ssrc,
            subscribed_ns: stream.subscribed_ns,
            ended_ns: stream.ended_ns,
            last_ns: stream.last_ns,
            range,
            unique,
            sequences: stream.sequences.range(),
            by_payload,
            from: stream.from,
            packets: stream.packets,
            bytes: stream.bytes,
            again: stream.again,
            late: stream.late,
            repaired: stream.repaired,
            discarded: stream.discarded,
            jitter,
            ingress: stream.ingress,
        }
    }
}
