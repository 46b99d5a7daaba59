//! The RTP packets of a capture: SSRC, sequence number and time, which are in the clear under SRTP.

use std::collections::{HashMap, HashSet};
use std::path::Path;

use shaper_offline::packet::{self, Transport};
use shaper_offline::pcapfile::{Error, Reader};
use shaper_offline::rtp::header::Header;
use shaper_offline::writer::Comment;

use super::EngineDrop;
use super::result::Direction;

/// What one capture shows of the streams that are looked for.
#[derive(Clone, Debug, Default)]
pub struct Point {
    /// Whose capture it is.
    pub name: String,
    /// By SSRC: times and sequence numbers, in the order of the file.
    pub(super) streams: HashMap<u32, Vec<(i64, u16)>>,
    /// Times of the first and of the last packet of any kind.
    pub(super) range: Option<(i64, i64)>,
    /// What the engine dropped of the streams behind this point, by the comments on their packets.
    pub(super) drops: Vec<EngineDrop>,
    /// Packets that the capture says it lost.
    pub(super) dropped: u64,
    /// Why it ends before its end.
    pub(super) damage: Option<String>,
}

/// Why the engine dropped a packet where it entered a link at its host's end, if it did.
fn dropped_by<'c>(comments: impl Iterator<Item = &'c str>) -> Option<String> {
    let fates = comments.filter_map(|text| Comment::parse(text).ok().flatten());
    fates.filter(|fate| fate.dir == Some(0)).find_map(|fate| fate.cause.filter(|cause| cause != "none"))
}

impl Point {
    /// Reads a file up to its end, or to where it is damaged.
    ///
    /// # Errors
    ///
    /// If it cannot be read, or is no capture.
    pub fn open(name: &str, path: &Path, ssrcs: &HashSet<u32>) -> Result<Self, Error> {
        Self::read(name, Reader::open(path)?, ssrcs)
    }

    /// Reads what a reader has.
    ///
    /// # Errors
    ///
    /// If it cannot be read.
    pub fn read(name: &str, reader: Reader, ssrcs: &HashSet<u32>) -> Result<Self, Error> {
        let mut reader = reader.ending_at_damage();
        let mut point = Self { name: name.to_owned(), ..Self::default() };
        let mut dropped = 0_u64;
        while let Some(captured) = reader.next_packet()? {
            dropped = dropped.saturating_add(captured.dropcount.unwrap_or(0));
            let Some(time) = captured.ts_ns else { continue };
            let range = point.range.get_or_insert((time, time));
            *range = (range.0.min(time), range.1.max(time));
            let Some(layers) = packet::parse(captured.linktype, captured.data, captured.origlen) else { continue };
            if !matches!(layers.transport, Transport::Udp { .. }) {
                continue;
            }
            if let Some(header) = Header::parse(layers.payload, layers.payload_length)
                && ssrcs.contains(&header.ssrc)
            {
                point.streams.entry(header.ssrc).or_default().push((time, header.sequence));
                point.drops.extend(dropped_by(captured.comments()).into_iter().map(|cause| EngineDrop {
                    direction: Direction::Uplink,
                    ssrc: header.ssrc,
                    sequence: header.sequence,
                    time_ns: time,
                    cause,
                }));
            }
        }
        let told = reader.interfaces().iter().filter_map(|interface| interface.statistics);
        let lost = told.fold(0_u64, |lost, statistics| lost.saturating_add(statistics.lost()));
        // Two ways to tell the same losses.
        point.dropped = lost.max(dropped);
        point.damage = reader.damage().map(|(offset, fault)| format!("byte {offset}: {fault}"));
        Ok(point)
    }

    /// One that was never in a file.
    #[cfg(test)]
    pub(crate) fn made(name: &str, streams: HashMap<u32, Vec<(i64, u16)>>, range: (i64, i64)) -> Self {
        Self { name: name.to_owned(), streams, range: Some(range), ..Self::default() }
    }

    /// Another source than the file says how many packets the capture has lost: the larger number counts.
    pub fn add_dropped(&mut self, packets: u64) {
        self.dropped = self.dropped.max(packets);
    }

    /// Times and sequence numbers of a stream.
    pub(super) fn of(&self, ssrc: u32) -> Vec<(i64, u16)> {
        self.streams.get(&ssrc).cloned().unwrap_or_default()
    }
}
