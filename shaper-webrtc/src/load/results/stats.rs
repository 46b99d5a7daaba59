//! Statistics by the names of W3C's webrtc-stats (Candidate Recommendation). Times are in seconds,
//! `timestamp` in milliseconds since the epoch.

use serde::{Deserialize, Serialize};

use crate::load::worker::report::{LegReport, StreamReport, TrackReport};
use crate::signal::rtp::MediaKind;

/// One object of a report.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "kebab-case", rename_all_fields = "camelCase")]
pub enum Stat {
    /// RTCOutboundRtpStreamStats.
    OutboundRtp {
        /// Unique in the report.
        id: String,
        /// When.
        timestamp: f64,
        /// `audio` or `video`.
        kind: String,
        /// Of the stream.
        ssrc: u32,
        /// Its media section.
        mid: String,
        /// Its layer of simulcast.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        rid: Option<String>,
        /// Media packets, without retransmissions.
        packets_sent: u64,
        /// Payload bytes of these.
        bytes_sent: u64,
        /// What is aimed at, in bits a second; of all video of the transport together.
        target_bitrate: f64,
        /// Frames of video.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        frames_sent: Option<u64>,
        /// Key frames among them.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        key_frames_encoded: Option<u64>,
        /// Retransmissions asked for.
        nack_count: u64,
        /// Key frames asked for.
        pli_count: u64,
        /// Key frames asked for in the other way.
        fir_count: u64,
        /// What the far side reports of it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        remote_id: Option<String>,
    },
    /// RTCRemoteInboundRtpStreamStats.
    RemoteInboundRtp {
        /// Unique in the report.
        id: String,
        /// When.
        timestamp: f64,
        /// `audio` or `video`.
        kind: String,
        /// Of the stream.
        ssrc: u32,
        /// The stream.
        local_id: String,
        /// Cumulative, as reported.
        packets_lost: u64,
        /// Since the report before, from 0 to 1.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        fraction_lost: Option<f64>,
        /// In seconds.
        jitter: f64,
        /// In seconds.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        round_trip_time: Option<f64>,
    },
    /// RTCInboundRtpStreamStats.
    InboundRtp {
        /// Unique in the report.
        id: String,
        /// When.
        timestamp: f64,
        /// `audio` or `video`.
        kind: String,
        /// Of the stream.
        ssrc: u32,
        /// Its media section.
        mid: String,
        /// Media packets, retransmissions among them.
        packets_received: u64,
        /// Payload bytes.
        bytes_received: u64,
        /// Expected less received (RFC 3550, section 6.4.1).
        packets_lost: i64,
        /// Retransmissions among them.
        retransmitted_packets_received: u64,
        /// In seconds.
        jitter: f64,
        /// Retransmissions that were asked for.
        nack_count: u64,
        /// Key frames that were asked for.
        pli_count: u64,
        /// Key frames asked for in the other way.
        fir_count: u64,
    },
    /// RTCIceCandidatePairStats of the pair in use.
    CandidatePair {
        /// Unique in the report.
        id: String,
        /// When.
        timestamp: f64,
        /// The transport.
        transport_id: String,
        /// Its local address stands for the candidate.
        local_candidate_id: String,
        /// Its remote address stands for the candidate.
        remote_candidate_id: String,
        /// `succeeded`.
        state: String,
        /// Whether it is in use.
        nominated: bool,
        /// Payload bytes of datagrams.
        bytes_sent: u64,
        /// Payload bytes of datagrams.
        bytes_received: u64,
        /// Of the last check, in seconds.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        current_round_trip_time: Option<f64>,
        /// Of all checks, in seconds.
        total_round_trip_time: f64,
        /// Checks that were answered.
        responses_received: u64,
        /// By the bandwidth estimate, in bits a second.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        available_outgoing_bitrate: Option<f64>,
    },
}

pub(super) fn kind(kind: MediaKind) -> String {
    match kind {
        MediaKind::Audio => "audio",
        MediaKind::Video => "video",
    }
    .to_owned()
}

/// What is known of a leg.
pub(super) fn of_leg(leg: &LegReport, timestamp: f64) -> Vec<Stat> {
    let mut stats = Vec::new();
    for track in &leg.tracks {
        outbound(track, leg.target_bitrate, timestamp, &mut stats);
    }
    stats.extend(leg.streams.iter().map(|stream| inbound(stream, timestamp)));
    let Some(peer) = &leg.peer else { return stats };
    if let Some(pair) = &peer.selected_candidate_pair {
        stats.push(Stat::CandidatePair {
            id: format!("CP{}", leg.number),
            timestamp,
            transport_id: format!("T{}", leg.number),
            local_candidate_id: pair.local.addr.to_string(),
            remote_candidate_id: pair.remote.addr.to_string(),
            state: "succeeded".to_owned(),
            nominated: true,
            bytes_sent: peer.peer_bytes_tx,
            bytes_received: peer.peer_bytes_rx,
            current_round_trip_time: pair.current_round_trip_time.map(|time| time.as_secs_f64()),
            total_round_trip_time: pair.total_round_trip_time.as_secs_f64(),
            responses_received: pair.responses_received,
            available_outgoing_bitrate: leg.estimate.map(|estimate| estimate as f64),
        });
    }
    stats
}

fn outbound(track: &TrackReport, target_bitrate: u64, timestamp: f64, stats: &mut Vec<Stat>) {
    let video = track.kind == MediaKind::Video;
    let egress = track.egress.as_ref();
    let remote = egress.and_then(|egress| Some((egress, egress.remote.as_ref()?)));
    let (id, remote_id) = (format!("OT{}", track.ssrc), format!("RI{}", track.ssrc));
    stats.push(Stat::OutboundRtp {
        id: id.clone(),
        timestamp,
        kind: kind(track.kind),
        ssrc: track.ssrc,
        mid: track.mid.clone(),
        rid: track.rid.map(|rid| rid.to_string()),
        packets_sent: u64::from(track.packets),
        bytes_sent: track.bytes,
        target_bitrate: target_bitrate as f64,
        frames_sent: video.then_some(track.frames),
        key_frames_encoded: video.then_some(track.key_frames),
        nack_count: egress.map_or(0, |egress| egress.nacks),
        pli_count: egress.map_or(0, |egress| egress.plis),
        fir_count: egress.map_or(0, |egress| egress.firs),
        remote_id: remote.map(|_| remote_id.clone()),
    });
    if let Some((egress, remote)) = remote {
        stats.push(Stat::RemoteInboundRtp {
            id: remote_id,
            timestamp,
            kind: kind(track.kind),
            ssrc: track.ssrc,
            local_id: id,
            packets_lost: remote.packets_lost,
            fraction_lost: egress.loss.map(f64::from),
            jitter: f64::from(remote.jitter) / f64::from(track.clock_rate),
            round_trip_time: egress.rtt.map(|rtt| rtt.as_secs_f64()),
        });
    }
}

fn inbound(stream: &StreamReport, timestamp: f64) -> Stat {
    let ingress = stream.ingress.as_ref();
    // By RTP of this leg: what payloads number is the whole way.
    let expected = stream.sequences.map_or(0, |(first, highest)| highest - first + 1);
    Stat::InboundRtp {
        id: format!("IT{}", stream.ssrc),
        timestamp,
        kind: kind(stream.kind),
        ssrc: stream.ssrc,
        mid: stream.mid.clone(),
        packets_received: stream.packets,
        bytes_received: stream.bytes,
        packets_lost: i64::try_from(expected).unwrap_or(i64::MAX).saturating_sub_unsigned(stream.packets),
        retransmitted_packets_received: stream.repaired,
        jitter: stream.jitter.as_secs_f64(),
        nack_count: ingress.map_or(0, |ingress| ingress.nacks),
        pli_count: ingress.map_or(0, |ingress| ingress.plis),
        fir_count: ingress.map_or(0, |ingress| ingress.firs),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_stream_misses_is_by_the_numbers_of_its_leg() {
        let stream = StreamReport {
            producer: String::new(),
            kind: MediaKind::Audio,
            mid: "0".to_owned(),
            ssrc: 1,
            subscribed_ns: 0,
            ended_ns: None,
            last_ns: 0,
            range: Some((0, 99)),
            unique: 50,
            sequences: Some((1_000, 1_054)),
            by_payload: true,
            from: None,
            packets: 52,
            bytes: 0,
            again: 2,
            late: 0,
            repaired: 0,
            discarded: 0,
            jitter: std::time::Duration::ZERO,
            ingress: None,
        };
        let Stat::InboundRtp { packets_lost, .. } = inbound(&stream, 0.0) else { panic!("of another kind") };
        assert_eq!(packets_lost, 3);
    }

    #[test]
    fn names_are_those_of_the_recommendation() {
        let stat = Stat::RemoteInboundRtp {
            id: "RI1".to_owned(),
            timestamp: 1.0,
            kind: "audio".to_owned(),
            ssrc: 1,
            local_id: "OT1".to_owned(),
            packets_lost: 2,
            fraction_lost: Some(0.5),
            jitter: 0.001,
            round_trip_time: Some(0.02),
        };
        let json = serde_json::to_value(&stat).unwrap();
        assert_eq!(json["type"], "remote-inbound-rtp");
        for name in ["packetsLost", "fractionLost", "jitter", "roundTripTime", "localId"] {
            assert!(!json[name].is_null(), "{name}");
        }
        assert_eq!(serde_json::from_value::<Stat>(json).unwrap(), stat);
    }
}
