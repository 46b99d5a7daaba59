//! What one capture says by itself: conversations and their flows, what TCP's numbers say, which
//! protocols there are, and TOAST sessions.

mod conversations;
mod details;
mod flows;
mod numbers;
mod protocols;
#[cfg(test)]
mod stun_tests;
mod tables;
mod text;
mod toast;

use std::{collections::BTreeMap, path::Path};

use serde::Serialize;

use super::{
    Options, Result,
    capture::{Capture, Chosen},
    finding::Sentence,
    flow::FlowKey,
    key::{Keyed, Rules, keyed},
    result::Damage,
    sightings::{self, Sightings},
};
use crate::{
    anonymize::Anonymizer,
    packet::{Layers, Transport},
    pcapfile::{Compression, Tail},
    recognise::Protocol,
    rtp::{Rtp, RtpFound},
};
use conversations::Connections;
use flows::{Flows, extend};
use protocols::Protocols;
use toast::Sessions;

pub use conversations::{BeganBy, Conversation, Direction, TcpTotals};
pub use details::{LinkSession, PtpMessages, StunSeen};
pub use flows::{FlowSeen, ProtocolPackets};
pub use protocols::ProtocolSeen;
pub use toast::ToastSession;

/// One capture described.
#[derive(Clone, Debug, Serialize)]
pub struct Description {
    /// Version of this form: it grows where a name goes or changes its meaning.
    pub schema_version: u32,
    /// What matters, one sentence each.
    pub findings: Vec<Sentence>,
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
    /// Where the file is damaged, if it is: what stands before was read.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub damage: Option<Damage>,
    /// Packets that a capture on "any" saw again on another interface; no flow counts them.
    pub seen_again: u64,
    /// Packets of link types that are not known, or shorter than their link headers.
    pub unparsed: u64,
    /// Conversations, the largest first.
    pub conversations: Vec<Conversation>,
    /// Conversations followed that are not listed.
    pub conversations_left_out: u64,
    /// TCP over all conversations; `None` without any.
    pub tcp: Option<TcpTotals>,
    /// Protocols recognised by content, the most packets first.
    pub protocols: Vec<ProtocolSeen>,
    /// STUN Binding transactions; `None` without any.
    pub stun: Option<StunSeen>,
    /// PTP messages by domain and type.
    pub ptp: BTreeMap<u8, PtpMessages>,
    /// Sessions of Ableton Link.
    pub ableton_link: Vec<LinkSession>,
    /// Flows, the largest first.
    pub flows: Vec<FlowSeen>,
    /// Flows with packets at more than one interface of the file: their figures count each packet there.
    pub flows_at_several_interfaces: u64,
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
    /// RTP and RTCP.
    #[serde(flatten)]
    pub rtp: RtpFound,
}

impl Description {
    /// The version written by this crate.
    pub const SCHEMA_VERSION: u32 = 1;
}

/// Describes the capture of one point.
///
/// # Errors
/// [`AnalyzeError`](super::AnalyzeError) if it cannot be read; a cut tail is no error, nor is damage
/// behind a packet.
pub fn one_point(path: &Path, options: &Options) -> Result<Description> {
    one_point_of(&Capture::whole(path), options)
}

/// Describes the packets of one point.
///
/// # Errors
/// As [`one_point`], and if there is no such interface.
pub fn one_point_of(capture: &Capture<'_>, options: &Options) -> Result<Description> {
    let chosen = Chosen::of(capture)?;
    let mut reader = chosen.open()?;
    let mut found = Description {
        schema_version: Description::SCHEMA_VERSION,
        findings: Vec::new(),
        path: chosen.path.display().to_string(),
        compression: reader.compression(),
        packets: 0,
        bytes: 0,
        first_ns: None,
        last_ns: None,
        duration_ns: None,
        interfaces: 0,
        capture_drops: 0,
        cut_at: None,
        damage: None,
        seen_again: 0,
        unparsed: 0,
        conversations: Vec::new(),
        conversations_left_out: 0,
        tcp: None,
        protocols: Vec::new(),
        stun: None,
        ptp: BTreeMap::new(),
        ableton_link: Vec::new(),
        flows: Vec::new(),
        flows_at_several_interfaces: 0,
        flows_left_out: 0,
        untracked: 0,
        toast: Vec::new(),
        toast_untracked: 0,
        toast_discovery: 0,
        toast_incompatible: 0,
        rtp: RtpFound::default(),
    };
    let mut rtp = Rtp::default();
    let mut flows = Flows::default();
    let mut connections = Connections::default();
    let mut protocols = Protocols::default();
    let mut sessions = Sessions::default();
    let mut sightings = Sightings::default();
    let mut drops: u64 = 0;
    while reader.advance()? {
        let packet = reader.packet();
        let mut layers = Layers::empty();
        let known = layers.read(packet.linktype, packet.data, packet.origlen);
        if !chosen.has(packet.interface) {
            continue;
        }
        // Of what was dropped nothing is known, so no filter leaves it out.
        drops = packet.dropcount.unwrap_or(0).saturating_add(drops);
        if !chosen.takes(&packet, known.then_some(&layers)) {
            continue;
        }
        found.packets += 1;
        found.bytes += u64::from(packet.origlen);
        extend(&mut found.first_ns, &mut found.last_ns, packet.ts_ns);
        if !known {
            found.unparsed += 1;
            continue;
        }
        if let (Some(place), Some(ts)) = (sightings::place(packet.linktype, packet.data, &layers), packet.ts_ns)
            && sightings.again(ts, &whole(layers), place)
        {
            found.seen_again += 1;
            continue;
        }
        let at = flows.count(&layers, &packet);
        match (&layers.transport, at) {
            (Transport::Udp { .. }, _) => match (protocols.datagram(&flows, at, &layers, packet.ts_ns), at) {
                (Some(protocol), _) if protocol.is_toast() => {
                    sessions.see(FlowKey::of(&layers), layers.payload, layers.payload_length, packet.ts_ns);
                }
                (None | Some(Protocol::RtpMidi), Some(at)) => {
                    if let Some(seen) = flows.all.get(at)
                        && rtp.datagram(at, &seen.flow, layers.payload, layers.payload_length, packet.ts_ns)
                    {
                        protocols.rtcp(at);
                    }
                }
                _ => {}
            },
            (Transport::Tcp(_), Some(at)) => connections.see(&flows, at, &layers, packet.ts_ns),
            (_, Some(at)) => protocols.frame(at, layers, packet.ts_ns),
            (_, None) => {}
        }
    }
    let told = chosen.statistics(&reader).fold(0, |sum: u64, told| sum.saturating_add(told.lost()));
    found.capture_drops = drops.max(told);
    found.interfaces = chosen.interfaces_of(&reader).count();
    found.duration_ns = found.first_ns.zip(found.last_ns).map(|(from, to)| to.saturating_sub(from));
    if let Tail::Cut { offset, .. } = reader.tail() {
        found.cut_at = Some(offset);
    }
    found.damage = Damage::met(&reader);
    found.rtp = rtp.finish();
    found.protocols = protocols.finished(&mut flows, &found.rtp.streams);
    (found.stun, found.ableton_link) = protocols.details.finished();
    found.ptp = std::mem::take(&mut protocols.details.ptp);
    (found.conversations, found.conversations_left_out, found.tcp) = connections.finished(&flows, options.flows);
    found.untracked = flows.untracked;
    found.flows_at_several_interfaces = flows.all.iter().filter(|flow| flow.several).count() as u64;
    found.flows = flows.all;
    found.flows.sort_by(|x, y| (y.packets, x.flow).cmp(&(x.packets, y.flow)));
    found.flows_left_out = found.flows.len().saturating_sub(options.flows) as u64;
    found.flows.truncate(options.flows);
    found.toast = sessions.finished();
    found.toast_untracked = sessions.untracked;
    found.toast_discovery = sessions.discovery;
    found.toast_incompatible = sessions.incompatible;
    if let Some(key) = &options.anonymize {
        Anonymizer::new(key).description(&mut found);
    }
    found.findings = found.sentences(chosen.point.is_some());
    Ok(found)
}

/// The packet keyed by all of it.
#[inline(never)]
fn whole(layers: Layers<'_>) -> Keyed {
    keyed(&layers, Rules { cover: usize::MAX, rewritten: false })
}
