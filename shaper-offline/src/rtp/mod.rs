//! RTP and RTCP at one point: streams found by how their packets behave, on any port, without
//! signalling, also under SRTP, whose headers are in clear.
//!
//! A source counts as a stream after eight packets of one flow whose sequence numbers and timestamps
//! go on as RTP's do; the packets before are then counted too. Nothing here grows beyond stated
//! bounds, whatever a capture claims: of a flow, 16 sources are on probation at a time, of which 4 have
//! places of the flow's own and the others some of 65,536 that all flows share; 64 streams of a flow
//! and 32,768 in all are followed.

pub mod burst;
mod candidate;
pub mod clock;
mod found;
pub mod header;
pub mod jitter;
pub mod quality;
pub mod rtcp;
pub mod sequence;
mod stream;

use serde::Serialize;

use self::{
    candidate::{Arrival, Candidates, SHARED},
    header::Header,
    rtcp::{Rtcp, RtcpSeen},
    stream::Stream,
};
use crate::{analyze::FlowKey, stats::Budget};

pub use found::{Bitrate, RtpStream, Spread};

/// Streams followed one by one.
const STREAMS: usize = 32_768;
/// The same of one flow.
const STREAMS_OF_FLOW: u16 = 64;
/// Words that streams of unknown clock rate keep together: 32 MiB.
const KEPT: usize = 4 << 20;
/// No stream.
const NONE: u32 = u32::MAX;

/// RTP and RTCP of one capture, taken packet by packet.
#[derive(Debug)]
pub struct Rtp {
    flows: Vec<Flow>,
    streams: Vec<Entry>,
    budget: Budget,
    /// Places for sources on probation.
    places: Budget,
    rtcp: Rtcp,
    untracked: u64,
}

/// What a flow has to do with RTP.
#[derive(Debug)]
struct Flow {
    /// Source of the last packet of a stream, and the stream.
    ssrc: u32,
    stream: u32,
    /// The flow's newest stream; each knows the one before.
    newest: u32,
    streams: u16,
    candidates: Option<Box<Candidates>>,
}

#[derive(Debug)]
struct Entry {
    stream: Stream,
    flow: FlowKey,
    before: u32,
}

/// What was found.
#[derive(Clone, Debug, Default, Serialize)]
pub struct RtpFound {
    /// Streams, by flow and source.
    #[serde(rename = "rtp")]
    pub streams: Vec<RtpStream>,
    /// Packets that would have made further streams, beyond the 32,768 (64 in a flow) that are followed,
    /// and those of sources that gave way to others before they were known to be streams.
    #[serde(rename = "rtp_untracked")]
    pub untracked: u64,
    /// RTCP in all.
    pub rtcp: RtcpSeen,
}

impl Default for Rtp {
    fn default() -> Self {
        Self {
            flows: Vec::new(),
            streams: Vec::new(),
            budget: Budget::of(KEPT),
            places: Budget::of(SHARED),
            rtcp: Rtcp::default(),
            untracked: 0,
        }
    }
}

impl Rtp {
    /// A UDP datagram of the flow of this number; numbers are to be small, as there is a place for
    /// each below the largest. `length` is the payload's length on the wire. Whether it counts as RTCP; what is RTP is known
    /// only in the end.
    #[inline]
    pub fn datagram(&mut self, number: usize, flow: &FlowKey, payload: &[u8], length: u32, ts_ns: Option<i64>) -> bool {
        let Some(header) = Header::parse(payload, length) else {
            return header::is_rtcp(payload) && self.rtcp.datagram(flow, payload, length, ts_ns);
        };
        let arrival = Arrival { ts_ns, header, length };
        if let Some(state) = self.flows.get(number)
            && state.ssrc == header.ssrc
            && let Some(entry) = self.streams.get_mut(state.stream as usize)
        {
            entry.stream.add(&arrival);
            return false;
        }
        self.other(number, flow, &arrival);
        false
    }

    /// A source that is not the one of the packet before.
    fn other(&mut self, number: usize, flow: &FlowKey, arrival: &Arrival) {
        if number >= self.flows.len() {
            self.flows.resize_with(number + 1, Flow::default);
        }
        let Some(state) = self.flows.get_mut(number) else { return };
        let ssrc = arrival.header.ssrc;
        let mut at = state.newest;
        while let Some(entry) = self.streams.get_mut(at as usize) {
            if entry.stream.ssrc == ssrc {
                (state.ssrc, state.stream) = (ssrc, at);
                entry.stream.add(arrival);
                return;
            }
            at = entry.before;
        }
        let candidates = state.candidates.get_or_insert_default();
        let Some(arrivals) = candidates.add(*arrival, &self.places) else { return };
        if state.streams >= STREAMS_OF_FLOW || self.streams.len() >= STREAMS {
            self.untracked += arrivals.len() as u64;
            return;
        }
        let [first, rest @ ..] = arrivals.as_slice() else { return };
        let mut stream = Stream::new(first, &self.budget);
        for arrival in rest {
            stream.add(arrival);
        }
        let at = self.streams.len() as u32;
        self.streams.push(Entry { stream, flow: *flow, before: state.newest });
        (state.ssrc, state.stream, state.newest) = (ssrc, at, at);
        state.streams += 1;
        self.rtcp.expect(flow);
    }

    /// The capture has ended.
    #[must_use]
    pub fn finish(mut self) -> RtpFound {
        let mut streams = Vec::new();
        let candidates = self.flows.iter().filter_map(|flow| flow.candidates.as_ref());
        self.untracked += candidates.map(|candidates| candidates.given_up).sum::<u64>();
        for mut entry in self.streams {
            if entry.stream.finish() {
                let reported = self.rtcp.of(&entry.flow, entry.stream.ssrc);
                streams.push(RtpStream::new(&entry.stream, entry.flow, reported));
            }
        }
        streams.sort_by_key(|stream| (stream.flow, stream.ssrc));
        RtpFound { streams, untracked: self.untracked, rtcp: self.rtcp.seen() }
    }
}

impl Default for Flow {
    fn default() -> Self {
        Self { ssrc: 0, stream: NONE, newest: NONE, streams: 0, candidates: None }
    }
}

#[cfg(test)]
mod rate_tests;
#[cfg(test)]
mod tests;
