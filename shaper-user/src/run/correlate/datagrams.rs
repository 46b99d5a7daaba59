//! The TOAST datagrams of a capture.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddrV4};
use std::path::Path;

use shaper_offline::packet::{self, Transport};
use shaper_offline::pcapfile::Reader;
use shaper_offline::toast::{Recognised, recognise};

/// A TOAST datagram, named so that it can be found at both ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(in crate::run) struct ToastPacket {
    pub(in crate::run) source: SocketAddrV4,
    pub(in crate::run) session: u32,
    pub(in crate::run) sequence: u32,
    pub(in crate::run) burst_index: u8,
}

/// Every TOAST datagram of a capture and when it was first seen.
pub(super) fn toast_packets(spool: &Path) -> anyhow::Result<HashMap<ToastPacket, i64>> {
    let mut seen = HashMap::new();
    let mut reader = Reader::open(spool)?;
    while let Some(captured) = reader.next_packet()? {
        let Some(ts) = captured.ts_ns else { continue };
        let Some(layers) = packet::parse(captured.linktype, captured.data, captured.origlen) else { continue };
        let (Some(ip), Transport::Udp { source, .. }) = (layers.ip, layers.transport) else { continue };
        let (IpAddr::V4(address), Some(Recognised::Frame(frame))) = (ip.source, recognise(layers.payload)) else {
            continue;
        };
        let key = ToastPacket {
            source: SocketAddrV4::new(address, source),
            session: frame.session,
            sequence: frame.sequence,
            burst_index: frame.burst_index,
        };
        seen.entry(key).or_insert(ts);
    }
    Ok(seen)
}
