//! The logs of the server and of the tester, taken apart once.

use std::collections::{BTreeMap, HashSet};

use super::clocks::Clocks;
use crate::packet_log::{self, Received, Sent, Stream};
use crate::serve::{self, Forwarded};

/// What a server's mapping log says.
#[derive(Clone, Debug, Default)]
pub struct MapLog {
    pub(super) forwarded: Vec<Forwarded>,
    pub(super) retransmitted: Vec<Forwarded>,
    pub(super) reported: Vec<serve::Reported>,
    /// Whose a leg is.
    pub(super) participants: BTreeMap<u32, u64>,
    pub(super) clocks: Clocks,
    pub(super) lost: u64,
    /// When the last packet left of each server in whose place another came, CLOCK_MONOTONIC.
    pub(super) replaced: Vec<u64>,
}

impl MapLog {
    /// Takes the records of a log.
    ///
    /// # Errors
    ///
    /// The first one among them.
    pub fn collect<E>(records: impl IntoIterator<Item = Result<serve::Record, E>>) -> Result<Self, E> {
        let mut log = Self::default();
        for record in records {
            match record? {
                serve::Record::Forwarded(packet) => log.forwarded.push(packet),
                serve::Record::Retransmitted(packet) => log.retransmitted.push(packet),
                serve::Record::Leg { leg, participant, .. } => {
                    log.participants.insert(leg, participant);
                }
                serve::Record::Clock { monotonic_ns, realtime_ns } => log.clocks.add(monotonic_ns, realtime_ns),
                serve::Record::Lost { records } => log.lost = log.lost.saturating_add(records),
                serve::Record::Reported(said) => log.reported.push(said),
            }
        }
        log.clocks.settle();
        Ok(log)
    }

    /// One log of those of servers that came in each other's place on one host, in that order; none of none.
    ///
    /// # Errors
    ///
    /// The first one among them.
    pub fn in_turn<E>(logs: impl IntoIterator<Item = Result<Self, E>>) -> Result<Option<Self>, E> {
        let mut all: Option<Self> = None;
        for log in logs {
            let log = log?;
            match &mut all {
                Some(all) => all.follow(log),
                None => all = Some(log),
            }
        }
        Ok(all)
    }

    fn follow(&mut self, next: Self) {
        self.replaced.extend(self.forwarded.iter().map(|packet| packet.time_out_ns).max());
        // Each counts its legs from 0.
        let legs = self.participants.keys().copied();
        let legs = legs.chain(self.forwarded.iter().flat_map(|packet| [packet.leg_in, packet.leg_out]));
        let first = legs.max().map_or(0, |last| last.saturating_add(1));
        let shifted = |leg: u32| leg.saturating_add(first);
        let forwarded = next.forwarded.into_iter().map(|packet| Forwarded {
            leg_in: shifted(packet.leg_in),
            leg_out: shifted(packet.leg_out),
            ..packet
        });
        self.forwarded.extend(forwarded);
        // Of what is sent again the leg that it came in at is not known.
        let again = next.retransmitted.into_iter();
        self.retransmitted.extend(again.map(|packet| Forwarded { leg_out: shifted(packet.leg_out), ..packet }));
        let reported = next.reported.into_iter();
        self.reported.extend(reported.map(|said| serve::Reported { leg_out: shifted(said.leg_out), ..said }));
        let participants = next.participants.into_iter();
        self.participants.extend(participants.map(|(leg, participant)| (shifted(leg), participant)));
        self.clocks.follow(next.clocks);
        self.lost = self.lost.saturating_add(next.lost);
    }

    /// All SSRCs that it names.
    fn ssrcs(&self) -> impl Iterator<Item = u32> + '_ {
        let forwarded = self.forwarded.iter().flat_map(|packet| [packet.ssrc_in, packet.ssrc_out]);
        forwarded.chain(self.retransmitted.iter().map(|packet| packet.ssrc_out))
    }
}

/// What a tester's packet log says.
#[derive(Clone, Debug, Default)]
pub struct PacketLog {
    pub(super) sent: Vec<Sent>,
    pub(super) received: Vec<Received>,
    pub(super) streams: Vec<Stream>,
    pub(super) reported: Vec<packet_log::Reported>,
    pub(super) clocks: Clocks,
    pub(super) lost: u64,
}

impl PacketLog {
    /// Takes the records of a log.
    ///
    /// # Errors
    ///
    /// The first one among them.
    pub fn collect<E>(records: impl IntoIterator<Item = Result<packet_log::Record, E>>) -> Result<Self, E> {
        let mut log = Self::default();
        for record in records {
            match record? {
                packet_log::Record::Sent(packet) => log.sent.push(packet),
                packet_log::Record::Received(packet) => log.received.push(packet),
                packet_log::Record::Stream(stream) => log.streams.push(stream),
                packet_log::Record::Reported(said) => log.reported.push(said),
                packet_log::Record::Clock { monotonic_ns, realtime_ns } => log.clocks.add(monotonic_ns, realtime_ns),
                packet_log::Record::Lost { records } => log.lost = log.lost.saturating_add(records),
            }
        }
        log.clocks.settle();
        Ok(log)
    }

    fn ssrcs(&self) -> impl Iterator<Item = u32> + '_ {
        let streams = self.streams.iter().flat_map(|stream| [stream.ssrc, stream.rtx_ssrc]);
        let sent = self.sent.iter().map(|packet| packet.ssrc);
        streams.chain(sent).chain(self.received.iter().map(|packet| packet.ssrc)).filter(|ssrc| *ssrc != 0)
    }
}

/// The SSRCs that logs name: what captures are read for.
#[must_use]
pub fn ssrcs_of(map: Option<&MapLog>, packets: Option<&PacketLog>) -> HashSet<u32> {
    let map = map.into_iter().flat_map(MapLog::ssrcs);
    map.chain(packets.into_iter().flat_map(PacketLog::ssrcs)).collect()
}
