//! RTCP: what sources and their receivers say of themselves and of each other.
//!
//! Figures are kept by source and by the pair of hosts that it is heard between, for multicast by
//! the group, so that reports on another port and in the other direction meet the stream.

mod source;
pub mod wire;

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
};

use serde::Serialize;

use self::{
    source::Source,
    wire::{Form, Part, ReportBlock, form, kind, parts},
};
use crate::{analyze::FlowKey, bytes::u32_at};

pub use source::{Reported, RoundTrips, VoipMetrics};

/// Sources followed one by one.
const SOURCES: usize = 4_096;

type Pair = (IpAddr, IpAddr);

/// RTCP of a whole capture.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct RtcpSeen {
    /// Datagrams that were read.
    pub datagrams: u64,
    /// Datagrams of which only the first header and the sender are in clear (SRTCP).
    pub encrypted: u64,
    /// Sources that RTCP names and of which no stream was found.
    pub sources_without_stream: u64,
    /// Mentions of sources beyond the 4,096 that are followed.
    pub untracked: u64,
}

/// What RTCP said so far.
#[derive(Debug, Default)]
pub(super) struct Rtcp {
    sources: BTreeMap<(Pair, u32), Source>,
    /// Pairs that have a stream or a compound datagram: only there short and encrypted ones count.
    known: BTreeSet<Pair>,
    seen: RtcpSeen,
}

fn pair(flow: &FlowKey) -> Option<Pair> {
    let (source, destination) = flow.addresses?;
    Some(match destination.is_multicast() {
        true => (destination, destination),
        false => (source.min(destination), source.max(destination)),
    })
}

impl Rtcp {
    /// A stream was found in this flow.
    pub(super) fn expect(&mut self, flow: &FlowKey) {
        self.known.extend(pair(flow));
    }

    /// A datagram whose second byte is a packet type of RTCP; whether it counts as such.
    pub(super) fn datagram(&mut self, flow: &FlowKey, bytes: &[u8], length: u32, ts_ns: Option<i64>) -> bool {
        let Some((pair, form)) = pair(flow).zip(form(bytes, length)) else { return false };
        let known = self.known.contains(&pair);
        match form {
            Form::Compound => {
                if !known && self.known.len() < SOURCES {
                    self.known.insert(pair);
                }
            }
            Form::Reduced | Form::Encrypted if !known => return false,
            Form::Reduced => {}
            Form::Encrypted => {
                self.seen.encrypted += 1;
                if let Some(source) = u32_at(bytes, 4).and_then(|sender| self.source(pair, sender)) {
                    source.encrypted += 1;
                }
                return true;
            }
        }
        self.seen.datagrams += 1;
        for part in parts(bytes) {
            // What a packet is too short for is left out.
            let _ = self.part(pair, part, ts_ns);
        }
        true
    }

    fn source(&mut self, pair: Pair, ssrc: u32) -> Option<&mut Source> {
        let room = self.sources.len() < SOURCES;
        let key = (pair, ssrc);
        if !room && !self.sources.contains_key(&key) {
            self.seen.untracked += 1;
            return None;
        }
        Some(self.sources.entry(key).or_default())
    }

    fn part(&mut self, pair: Pair, part: Part<'_>, ts_ns: Option<i64>) -> Option<()> {
        let Part { kind, count, body } = part;
        match kind {
            kind::SENDER_REPORT => {
                let sender = u32_at(body, 0)?;
                let info = body.get(4..24)?;
                self.source(pair, sender)?.sent(info, ts_ns)?;
                self.blocks(pair, count, body.get(24..)?, ts_ns);
            }
            kind::RECEIVER_REPORT => self.blocks(pair, count, body.get(4..)?, ts_ns),
            kind::SOURCE_DESCRIPTION => self.descriptions(pair, count, body),
            kind::BYE => {
                for at in 0..usize::from(count) {
                    let ssrc = u32_at(body, at * 4)?;
                    self.source(pair, ssrc)?.byes += 1;
                }
            }
            kind::TRANSPORT_FEEDBACK => {
                let source = self.source(pair, u32_at(body, 4)?)?;
                match count {
                    1 => source.nack(body.get(8..)?),
                    15 => source.transport_cc += 1,
                    _ => {}
                }
            }
            kind::PAYLOAD_FEEDBACK => self.payload_feedback(pair, count, body)?,
            kind::EXTENDED_REPORT => self.extended(pair, body.get(4..)?),
            _ => {}
        }
        Some(())
    }

    fn blocks(&mut self, pair: Pair, count: u8, bytes: &[u8], ts_ns: Option<i64>) {
        for block in bytes.chunks_exact(ReportBlock::LENGTH).take(count.into()).filter_map(ReportBlock::parse) {
            if let Some(source) = self.source(pair, block.ssrc) {
                source.reported(&block, ts_ns);
            }
        }
    }

    /// The CNAME of each chunk (RFC 3550, section 6.5).
    fn descriptions(&mut self, pair: Pair, count: u8, body: &[u8]) {
        let mut rest = body;
        for _ in 0..count {
            let Some(ssrc) = u32_at(rest, 0) else { return };
            let mut at = 4;
            while let Some([item, length]) = rest.get(at..).and_then(|rest| rest.first_chunk::<2>()) {
                if *item == 0 {
                    break;
                }
                let text = rest.get(at + 2..at + 2 + usize::from(*length));
                if let (1, Some(text), Some(source)) = (*item, text, self.source(pair, ssrc)) {
                    source.named(text);
                }
                at += 2 + usize::from(*length);
            }
            // At least one zero ends the items, and a chunk is a whole number of words.
            let Some(next) = rest.get((at + 4) & !3..) else { return };
            rest = next;
        }
    }

    fn payload_feedback(&mut self, pair: Pair, format: u8, body: &[u8]) -> Option<()> {
        let control = body.get(8..)?;
        match format {
            1 => self.source(pair, u32_at(body, 4)?)?.plis += 1,
            // Each entry names its source (RFC 5104, section 4.3.1).
            4 => {
                for entry in control.chunks_exact(8) {
                    self.source(pair, u32_at(entry, 0)?)?.firs += 1;
                }
            }
            15 if control.starts_with(b"REMB") => {
                let [count, rate @ ..] = *control.get(4..)?.first_chunk::<4>()?;
                let [high, middle, low] = rate;
                let mantissa = u64::from(high & 3) << 16 | u64::from(middle) << 8 | u64::from(low);
                let shift = u32::from(high >> 2);
                let bps = if shift > mantissa.leading_zeros() { u64::MAX } else { mantissa << shift };
                for at in 0..usize::from(count) {
                    let source = self.source(pair, u32_at(control, 8 + at * 4)?)?;
                    source.rembs += 1;
                    source.remb_bps = Some(bps);
                }
            }
            _ => {}
        }
        Some(())
    }

    /// Report blocks that name a source (RFC 3611, section 4).
    fn extended(&mut self, pair: Pair, bytes: &[u8]) {
        let mut rest = bytes;
        while let Some([block, _, high, low]) = rest.first_chunk::<4>() {
            let size = (usize::from(u16::from_be_bytes([*high, *low])) + 1) * 4;
            let Some(body) = rest.get(4..size) else { return };
            if let (1..=3 | 6 | 7, Some(ssrc)) = (*block, u32_at(body, 0))
                && let Some(source) = self.source(pair, ssrc)
            {
                source.extended_reports += 1;
                if *block == 7 {
                    source.voip = VoipMetrics::parse(body).or(source.voip);
                }
            }
            rest = rest.get(size..).unwrap_or_default();
        }
    }

    /// What was said of a stream.
    pub(super) fn of(&mut self, flow: &FlowKey, ssrc: u32) -> Option<Reported> {
        let source = self.sources.get_mut(&(pair(flow)?, ssrc))?;
        source.linked = true;
        Some(source.told())
    }

    /// What there was in all, once each stream has asked for its own.
    pub(super) fn seen(&self) -> RtcpSeen {
        let without = self.sources.values().filter(|source| !source.linked).count() as u64;
        RtcpSeen { sources_without_stream: without, ..self.seen }
    }
}

#[cfg(test)]
mod tests;
