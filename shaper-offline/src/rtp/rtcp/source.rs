//! One source, as RTCP speaks of it.

use std::collections::VecDeque;

use serde::Serialize;

use super::wire::ReportBlock;
use crate::bytes::u32_at;

/// Sender reports that a receiver may still answer.
const REMEMBERED: usize = 8;
/// A round trip below zero by less than this is the receiver's rounding.
const ROUNDING_NS: i64 = 1_000_000;

/// What RTCP says of one stream.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Reported {
    /// Sender reports.
    pub sender_reports: u64,
    /// Packets sent, by the last of those.
    pub sender_packets: Option<u32>,
    /// Payload bytes sent, by the last of those.
    pub sender_octets: Option<u32>,
    /// Clock rate in Hz by the sender's own clock: timestamps over NTP time from its first report to its last.
    pub sender_clock_rate: Option<f64>,
    /// Report blocks of receivers.
    pub reports: u64,
    /// Lost since the beginning, by the last report of any receiver.
    pub reported_lost: Option<i32>,
    /// Largest loss between two reports, as a ratio.
    pub reported_loss_ratio_max: Option<f64>,
    /// Jitter by the last report, in units of the clock.
    pub reported_jitter_units: Option<u32>,
    /// Largest reported jitter.
    pub reported_jitter_units_max: Option<u32>,
    /// From this point to the receiver and back.
    pub round_trip_ms: Option<RoundTrips>,
    /// Negative acknowledgements (RFC 4585).
    pub nacks: u64,
    /// Packets that those asked for.
    pub nacked_packets: u64,
    /// Picture loss indications (RFC 4585).
    pub plis: u64,
    /// Full intra requests (RFC 5104).
    pub firs: u64,
    /// Receiver's estimates of the bitrate.
    pub rembs: u64,
    /// The last of those, bits a second.
    pub remb_bps: Option<u64>,
    /// Feedback for congestion control on the whole transport.
    pub transport_cc: u64,
    /// Extended report blocks (RFC 3611).
    pub extended_reports: u64,
    /// The last VoIP metrics block.
    pub voip_metrics: Option<VoipMetrics>,
    /// Goodbyes.
    pub byes: u64,
    /// Canonical name.
    pub cname: Option<String>,
    /// Encrypted datagrams that the source sent: what they say is not known.
    pub encrypted: u64,
}

/// Round-trip times by sender reports that passed here and the receiver reports that answered them:
/// the time between the two, less what the receiver says that it waited (DLSR). It is the way from
/// this point to the receiver and back, not from the sender.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct RoundTrips {
    /// How many.
    pub count: u64,
    /// Shortest.
    pub min: f64,
    /// Mean.
    pub mean: f64,
    /// Longest.
    pub max: f64,
}

/// A VoIP metrics block as its receiver wrote it (RFC 3611, section 4.7). Rates and densities are in
/// 1/256.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct VoipMetrics {
    /// Lost in the network.
    pub loss_rate: u8,
    /// Discarded by the jitter buffer.
    pub discard_rate: u8,
    /// Lost or discarded within bursts.
    pub burst_density: u8,
    /// Lost or discarded within gaps.
    pub gap_density: u8,
    /// Mean length of a burst in milliseconds.
    pub burst_duration_ms: u16,
    /// Mean length of a gap in milliseconds.
    pub gap_duration_ms: u16,
    /// Round-trip time between the RTP interfaces in milliseconds.
    pub round_trip_ms: u16,
    /// Packets in a row that end a burst.
    pub gmin: u8,
    /// Transmission rating; `None` if unavailable.
    pub r_factor: Option<u8>,
    /// Mean opinion score for listening, in tenths; `None` if unavailable.
    pub mos_lq_tenths: Option<u8>,
    /// Mean opinion score for conversation, in tenths; `None` if unavailable.
    pub mos_cq_tenths: Option<u8>,
}

impl VoipMetrics {
    /// Reads the block behind its four bytes of header.
    pub(super) fn parse(body: &[u8]) -> Option<Self> {
        let [_, _, _, _, loss_rate, discard_rate, burst_density, gap_density, rest @ ..] = *body.first_chunk::<32>()?;
        let [b0, b1, g0, g1, r0, r1, _, _, _, _, _, gmin, r_factor, _, mos_lq, mos_cq, ..] = rest;
        let available = |value: u8| (value != 127).then_some(value);
        Some(Self {
            loss_rate,
            discard_rate,
            burst_density,
            gap_density,
            burst_duration_ms: u16::from_be_bytes([b0, b1]),
            gap_duration_ms: u16::from_be_bytes([g0, g1]),
            round_trip_ms: u16::from_be_bytes([r0, r1]),
            gmin,
            r_factor: available(r_factor),
            mos_lq_tenths: available(mos_lq),
            mos_cq_tenths: available(mos_cq),
        })
    }
}

/// A sender report's two times: NTP in 1/2^32 s, and the timestamp, unwrapped.
#[derive(Clone, Copy, Debug)]
struct Mapping {
    ntp: u64,
    timestamp: i64,
}

/// What is counted of one source.
#[derive(Debug, Default)]
pub(super) struct Source {
    /// Sender reports that passed: middle 32 bits of their NTP stamp, and when.
    passed: VecDeque<(u32, i64)>,
    first: Option<Mapping>,
    last: Option<Mapping>,
    sender_reports: u64,
    sender_packets: Option<u32>,
    sender_octets: Option<u32>,
    reports: u64,
    block: Option<ReportBlock>,
    fraction_max: u8,
    jitter_max: u32,
    round_trips: Option<RoundTrips>,
    nacks: u64,
    nacked_packets: u64,
    pub(super) plis: u64,
    pub(super) firs: u64,
    pub(super) rembs: u64,
    pub(super) remb_bps: Option<u64>,
    pub(super) transport_cc: u64,
    pub(super) extended_reports: u64,
    pub(super) voip: Option<VoipMetrics>,
    pub(super) byes: u64,
    cname: Option<String>,
    pub(super) encrypted: u64,
    /// Whether a stream asked for it.
    pub(super) linked: bool,
}

impl Source {
    /// A sender report: its 20 bytes of sender information.
    pub(super) fn sent(&mut self, info: &[u8], ts_ns: Option<i64>) -> Option<()> {
        let ntp = u64::from(u32_at(info, 0)?) << 32 | u64::from(u32_at(info, 4)?);
        let timestamp = u32_at(info, 8)?;
        self.sender_reports += 1;
        self.sender_packets = u32_at(info, 12);
        self.sender_octets = u32_at(info, 16);
        let unwrapped = self.last.map_or(i64::from(timestamp), |last| {
            last.timestamp + i64::from(timestamp.wrapping_sub(last.timestamp as u32).cast_signed())
        });
        let mapping = Mapping { ntp, timestamp: unwrapped };
        self.first.get_or_insert(mapping);
        self.last = Some(mapping);
        if let Some(ts_ns) = ts_ns {
            if self.passed.len() == REMEMBERED {
                self.passed.pop_front();
            }
            self.passed.push_back(((ntp >> 16) as u32, ts_ns));
        }
        Some(())
    }

    /// A receiver's block about this source.
    pub(super) fn reported(&mut self, block: &ReportBlock, ts_ns: Option<i64>) {
        self.reports += 1;
        self.block = Some(*block);
        self.fraction_max = self.fraction_max.max(block.fraction_lost);
        self.jitter_max = self.jitter_max.max(block.jitter);
        // 0 says that no sender report came.
        let answered = self.passed.iter().rev().find(|(middle, _)| *middle == block.last_report);
        let Some((&(_, passed), ts_ns)) = answered.filter(|_| block.last_report != 0).zip(ts_ns) else { return };
        let waited = ((u64::from(block.delay_since) * 1_000_000_000) >> 16).cast_signed();
        let ns = ts_ns.saturating_sub(passed).saturating_sub(waited);
        if ns < -ROUNDING_NS {
            return;
        }
        let ms = ns.max(0) as f64 / 1e6;
        let trips = self.round_trips.get_or_insert(RoundTrips { count: 0, min: ms, mean: 0.0, max: ms });
        trips.count += 1;
        trips.min = trips.min.min(ms);
        trips.max = trips.max.max(ms);
        trips.mean += (ms - trips.mean) / trips.count as f64;
    }

    /// Entries of a negative acknowledgement: a number, and a bit for each of the 16 behind it.
    pub(super) fn nack(&mut self, entries: &[u8]) {
        self.nacks += 1;
        for entry in entries.chunks_exact(4).filter_map(|entry| u32_at(entry, 0)) {
            self.nacked_packets += 1 + u64::from((entry & 0xffff).count_ones());
        }
    }

    /// Its canonical name, at most 255 bytes.
    pub(super) fn named(&mut self, text: &[u8]) {
        if self.cname.as_ref().is_none_or(|known| known.as_bytes() != text) {
            self.cname = Some(String::from_utf8_lossy(text).into_owned());
        }
    }

    fn clock_rate(&self) -> Option<f64> {
        let (first, last) = self.first.zip(self.last)?;
        let seconds = last.ntp.checked_sub(first.ntp)? as f64 / 2_f64.powi(32);
        let units = (last.timestamp - first.timestamp) as f64;
        (seconds >= 1.0 && units > 0.0).then(|| units / seconds)
    }

    pub(super) fn told(&self) -> Reported {
        Reported {
            sender_reports: self.sender_reports,
            sender_packets: self.sender_packets,
            sender_octets: self.sender_octets,
            sender_clock_rate: self.clock_rate(),
            reports: self.reports,
            reported_lost: self.block.map(|block| block.cumulative_lost),
            reported_loss_ratio_max: self.block.map(|_| f64::from(self.fraction_max) / 256.0),
            reported_jitter_units: self.block.map(|block| block.jitter),
            reported_jitter_units_max: self.block.map(|_| self.jitter_max),
            round_trip_ms: self.round_trips,
            nacks: self.nacks,
            nacked_packets: self.nacked_packets,
            plis: self.plis,
            firs: self.firs,
            rembs: self.rembs,
            remb_bps: self.remb_bps,
            transport_cc: self.transport_cc,
            extended_reports: self.extended_reports,
            voip_metrics: self.voip,
            byes: self.byes,
            cname: self.cname.clone(),
            encrypted: self.encrypted,
        }
    }
}
