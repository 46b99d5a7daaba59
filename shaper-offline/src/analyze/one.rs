//! What one capture says by itself: flows, and TOAST sessions in them.

use std::{
    collections::{BTreeMap, btree_map::Entry},
    fmt,
    path::Path,
};

use serde::Serialize;

use super::{
    Options, Result, findings,
    flow::FlowKey,
    hash::HashedMap,
    key::{Rules, keyed},
    sightings::{self, Sightings},
    text::{duration, place},
};
use crate::{
    packet::{self, Transport},
    pcapfile::{Compression, Reader, Tail},
    toast::{self, Checksum, Recognised},
};

/// Flows followed one by one.
const FLOWS: usize = 65_536;
/// TOAST senders followed one by one.
const SENDERS: usize = 4_096;

/// One capture described.
#[derive(Clone, Debug, Serialize)]
pub struct Description {
    /// What matters, one sentence each.
    pub findings: Vec<String>,
    /// Path as given.
    pub path: String,
    /// How the file is compressed, if it is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub compression: Option<Compression>,
    /// Packets in the file.
    pub packets: u64,
    /// Bytes on the wire of those.
    pub bytes: u64,
    /// First stamp, nanoseconds since the epoch.
    pub first_ns: Option<i64>,
    /// Last stamp, nanoseconds since the epoch.
    pub last_ns: Option<i64>,
    /// From first to last, in nanoseconds.
    pub duration_ns: Option<i64>,
    /// Interfaces described in the file.
    pub interfaces: usize,
    /// Packets the capture says it lost.
    pub capture_drops: u64,
    /// Byte offset at which the file is cut off, in what it decompresses to if it is compressed.
    pub cut_at: Option<u64>,
    /// Packets that a capture on "any" saw again on another interface; no flow counts them.
    pub seen_again: u64,
    /// Packets of link types that are not known.
    pub unparsed: u64,
    /// Flows, the largest first.
    pub flows: Vec<FlowSeen>,
    /// Flows followed that are not listed.
    pub flows_left_out: u64,
    /// Packets of flows beyond the 65,536 that are followed one by one.
    pub untracked: u64,
    /// TOAST sessions by session id.
    pub toast: Vec<ToastSession>,
    /// TOAST frames of senders beyond the 4,096 that are followed one by one.
    pub toast_untracked: u64,
    /// TOAST discovery texts.
    pub toast_discovery: u64,
    /// Datagrams of the incompatible protocol that shares TOAST's name.
    pub toast_incompatible: u64,
}

/// One flow, in one direction.
#[derive(Clone, Debug, Serialize)]
pub struct FlowSeen {
    /// Addresses, ports and protocol.
    pub flow: FlowKey,
    /// Its packets.
    pub packets: u64,
    /// Their bytes on the wire.
    pub bytes: u64,
    /// First stamp, nanoseconds since the epoch.
    pub first_ns: Option<i64>,
    /// Last stamp, nanoseconds since the epoch.
    pub last_ns: Option<i64>,
}

/// One sender in a TOAST session.
#[derive(Clone, Debug, Serialize)]
pub struct ToastSession {
    /// Session id.
    pub session: u32,
    /// The sender's flow.
    pub sender: FlowKey,
    /// Frames, copies in bursts included.
    pub frames: u64,
    /// Frames by message type.
    pub kinds: BTreeMap<u8, u64>,
    /// Different sequence numbers.
    pub messages: u64,
    /// Sequence numbers never seen between the first and the last.
    pub missing: u64,
    /// Frames whose checksum is the legacy sum.
    pub legacy_checksums: u64,
    /// Frames whose checksum is wrong.
    pub wrong_checksums: u64,
    #[serde(skip)]
    numbers: Numbers,
}

/// Sequence numbers seen, as a window behind the highest: numbers wrap, and copies come late.
#[derive(Clone, Debug, Default)]
struct Numbers {
    highest: Option<u32>,
    first: u64,
    /// The highest number without wrapping.
    extended: u64,
    /// Bit n: the number n below the highest was seen.
    recent: u128,
}

impl Numbers {
    /// Whether the number is new; those more than 127 behind are taken for copies.
    fn see(&mut self, number: u32) -> bool {
        let Some(highest) = self.highest else {
            self.highest = Some(number);
            self.first = u64::from(number);
            self.extended = u64::from(number);
            self.recent = 1;
            return true;
        };
        let ahead = number.wrapping_sub(highest).cast_signed();
        if ahead > 0 {
            let ahead = ahead.unsigned_abs();
            self.recent = self.recent.checked_shl(ahead).unwrap_or(0) | 1;
            self.highest = Some(number);
            self.extended += u64::from(ahead);
            return true;
        }
        let Some(bit) = 1_u128.checked_shl(ahead.unsigned_abs()) else { return false };
        let before = self.extended.checked_sub(ahead.unsigned_abs().into());
        let new = self.recent & bit == 0 && before.is_some_and(|number| number >= self.first);
        self.recent |= bit;
        new
    }

    fn span(&self) -> u64 {
        if self.highest.is_some() { self.extended - self.first + 1 } else { 0 }
    }
}

/// Describes the capture of one point.
///
/// # Errors
/// [`AnalyzeError`](super::AnalyzeError) if it cannot be read; a cut tail is no error.
pub fn one_point(path: &Path, options: &Options) -> Result<Description> {
    let mut reader = Reader::open(path)?;
    let mut found = Description {
        findings: Vec::new(),
        path: path.display().to_string(),
        compression: reader.compression(),
        packets: 0,
        bytes: 0,
        first_ns: None,
        last_ns: None,
        duration_ns: None,
        interfaces: 0,
        capture_drops: 0,
        cut_at: None,
        seen_again: 0,
        unparsed: 0,
        flows: Vec::new(),
        flows_left_out: 0,
        untracked: 0,
        toast: Vec::new(),
        toast_untracked: 0,
        toast_discovery: 0,
        toast_incompatible: 0,
    };
    let mut index: HashedMap<usize> = HashedMap::default();
    let mut senders: BTreeMap<(u32, FlowKey), ToastSession> = BTreeMap::new();
    let mut sightings = Sightings::default();
    let mut drops: u64 = 0;
    while let Some(packet) = reader.next_packet()? {
        found.packets += 1;
        found.bytes += u64::from(packet.origlen);
        drops = packet.dropcount.unwrap_or(0).saturating_add(drops);
        extend(&mut found.first_ns, &mut found.last_ns, packet.ts_ns);
        let Some(layers) = packet::parse(packet.linktype, packet.data, packet.origlen) else {
            found.unparsed += 1;
            continue;
        };
        if let (Some(place), Some(ts)) = (sightings::place(packet.linktype, packet.data, &layers), packet.ts_ns) {
            let keyed = keyed(&layers, Rules { cover: usize::MAX, rewritten: false });
            if sightings.again(ts, &keyed, place) {
                found.seen_again += 1;
                continue;
            }
        }
        let flow = FlowKey::of(&layers);
        let hash = flow.hash();
        let at = match index.get(&hash) {
            Some(&at) => Some(at),
            None if found.flows.len() < FLOWS => {
                let empty = FlowSeen { flow, packets: 0, bytes: 0, first_ns: None, last_ns: None };
                found.flows.push(empty);
                index.insert(hash, found.flows.len() - 1);
                Some(found.flows.len() - 1)
            }
            None => {
                found.untracked += 1;
                None
            }
        };
        if let Some(seen) = at.and_then(|at| found.flows.get_mut(at)) {
            seen.packets += 1;
            seen.bytes += u64::from(packet.origlen);
            extend(&mut seen.first_ns, &mut seen.last_ns, packet.ts_ns);
        }
        if !matches!(layers.transport, Transport::Udp { .. }) {
            continue;
        }
        match toast::recognise(layers.payload) {
            Some(Recognised::Discovery) => found.toast_discovery += 1,
            Some(Recognised::Incompatible) => found.toast_incompatible += 1,
            Some(Recognised::Frame(frame)) => {
                let room = senders.len() < SENDERS;
                let session = match senders.entry((frame.session, flow)) {
                    Entry::Occupied(known) => known.into_mut(),
                    Entry::Vacant(new) if room => new.insert(ToastSession::new(frame.session, flow)),
                    Entry::Vacant(_) => {
                        found.toast_untracked += 1;
                        continue;
                    }
                };
                session.add(&frame, toast::verify(layers.payload, layers.payload_length as usize));
            }
            None => {}
        }
    }
    let statistics = reader.interfaces().iter().filter_map(|interface| interface.statistics);
    let told = statistics.fold(0, |sum: u64, told| sum.saturating_add(told.lost()));
    found.capture_drops = drops.max(told);
    found.interfaces = reader.interfaces().len();
    found.duration_ns = found.first_ns.zip(found.last_ns).map(|(from, to)| to.saturating_sub(from));
    if let Tail::Cut { offset, .. } = reader.tail() {
        found.cut_at = Some(offset);
    }
    found.flows.sort_by(|x, y| (y.packets, x.flow).cmp(&(x.packets, y.flow)));
    found.flows_left_out = found.flows.len().saturating_sub(options.flows) as u64;
    found.flows.truncate(options.flows);
    found.toast = senders.into_values().map(ToastSession::finished).collect();
    found.findings = found.sentences();
    Ok(found)
}

fn extend(first: &mut Option<i64>, last: &mut Option<i64>, ts: Option<i64>) {
    if let Some(ts) = ts {
        *first = Some(first.map_or(ts, |first| first.min(ts)));
        *last = Some(last.map_or(ts, |last| last.max(ts)));
    }
}

impl ToastSession {
    fn new(session: u32, sender: FlowKey) -> Self {
        Self {
            session,
            sender,
            frames: 0,
            kinds: BTreeMap::new(),
            messages: 0,
            missing: 0,
            legacy_checksums: 0,
            wrong_checksums: 0,
            numbers: Numbers::default(),
        }
    }

    fn add(&mut self, frame: &toast::Frame<'_>, checksum: Checksum) {
        self.frames += 1;
        match checksum {
            Checksum::Crc | Checksum::Unknown => {}
            Checksum::Sum => self.legacy_checksums += 1,
            // Nothing else in a damaged frame can be believed.
            Checksum::Wrong => {
                self.wrong_checksums += 1;
                return;
            }
        }
        *self.kinds.entry(frame.kind).or_default() += 1;
        self.messages += u64::from(self.numbers.see(frame.sequence));
    }

    fn finished(mut self) -> Self {
        self.missing = self.numbers.span().saturating_sub(self.messages);
        self
    }
}

impl Description {
    fn sentences(&self) -> Vec<String> {
        let mut found = Vec::new();
        if self.packets == 0 {
            found.push(
                "The capture holds no packet: check its interface, its filter, and that it ran at that time."
                    .to_owned(),
            );
        }
        if let Some(at) = self.cut_at {
            found.push(format!("The file is cut off at {}: read up to there.", place(at, self.compression)));
        }
        if self.capture_drops > 0 {
            found.push(format!("The capture itself lost {} packets.", self.capture_drops));
        }
        if self.seen_again > 0 {
            found.push(findings::seen_again(&self.path, self.seen_again));
        }
        if self.unparsed > 0 {
            found.push(format!("{} packets of unknown link types were left out.", self.unparsed));
        }
        if self.untracked > 0 {
            found.push(format!("{} packets are of flows beyond the {FLOWS} that are followed.", self.untracked));
        }
        if self.toast_untracked > 0 {
            found.push(format!(
                "{} TOAST frames are of senders beyond the {SENDERS} that are followed.",
                self.toast_untracked
            ));
        }
        if self.toast_incompatible > 0 {
            found.push(format!(
                "{} datagrams are of the other protocol named TOAST, which is not compatible.",
                self.toast_incompatible
            ));
        }
        found
    }
}

impl fmt::Display for Description {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {} packets, {} bytes", self.path, self.packets, self.bytes)?;
        match self.duration_ns {
            Some(span) => writeln!(f, " in {}.", duration(span))?,
            None => writeln!(f, ".")?,
        }
        for finding in &self.findings {
            writeln!(f, "{finding}")?;
        }
        for session in &self.toast {
            writeln!(
                f,
                "TOAST session {:#010x} from {}: {} frames, {} messages, {} missing, {} wrong checksums.",
                session.session,
                session.sender,
                session.frames,
                session.messages,
                session.missing,
                session.wrong_checksums
            )?;
        }
        writeln!(f, "\n{:>10} {:>13}  flow", "packets", "bytes")?;
        for flow in self.flows.iter().take(20) {
            writeln!(f, "{:>10} {:>13}  {}", flow.packets, flow.bytes, flow.flow)?;
        }
        let more = self.flows.len().saturating_sub(20) as u64 + self.flows_left_out;
        if more > 0 {
            writeln!(f, "and {more} flows more (--json lists them)")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::Numbers;

    #[test]
    fn sequence_numbers_wrap_and_copies_count_once() {
        let mut numbers = Numbers::default();
        let seen = [u32::MAX - 1, u32::MAX, u32::MAX, 1, 0, 1, 5];
        let new: Vec<_> = seen.iter().map(|&number| numbers.see(number)).collect();
        assert_eq!(new, [true, true, false, true, true, false, true]);
        // Two before the wrap, then 0, 1, 5: 2, 3 and 4 are missing.
        assert_eq!(numbers.span(), 8);
    }

    #[test]
    fn a_number_before_the_first_one_is_not_new() {
        let mut numbers = Numbers::default();
        assert!(numbers.see(5));
        assert!(!numbers.see(4_294_967_292));
        assert_eq!(numbers.span(), 1);
    }

    #[test]
    fn a_leap_forward_forgets_what_is_far_behind() {
        let mut numbers = Numbers::default();
        assert!(numbers.see(10));
        assert!(numbers.see(1_000));
        assert!(!numbers.see(10));
        assert!(numbers.see(999));
        assert!(!numbers.see(999));
    }
}
