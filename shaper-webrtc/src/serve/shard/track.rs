//! Tracks: what comes in (producers) and what goes out of it (consumers).

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use str0m::format::Codec;
use str0m::media::{Mid, Pt, Rid};
use str0m::rtp::Ssrc;

use super::command::LegNumber;
use crate::serve::config::Limits;
use crate::serve::ids::Id;
use crate::serve::layers::{LayerState, RateMeter};
use crate::serve::pli::PliLimiter;
use crate::serve::rewrite::Rewriter;
use crate::signal::rtp::MediaKind;

/// One layer of what comes in; without simulcast the only one.
#[derive(Debug)]
pub(crate) struct Layer {
    pub(crate) rid: Option<Rid>,
    /// As announced, or as last seen.
    pub(crate) ssrc: Option<Ssrc>,
    /// Since when packets have this SSRC.
    ssrc_since: Instant,
    /// The largest extended sequence number under it.
    newest: Option<u64>,
    pub(crate) rate: RateMeter,
    pub(crate) pli: PliLimiter,
}

/// For so long after a change of SSRC packets under the old one are late ones; from then on, the client
/// has gone back to it.
const LATE: Duration = Duration::from_secs(1);

/// What a packet is to its layer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    /// Ahead of all others.
    Newest,
    /// Out of order, or sent again.
    Behind,
    /// Of an SSRC that another has replaced.
    Replaced,
}

impl Layer {
    pub(crate) fn new(rid: Option<Rid>, ssrc: Option<Ssrc>, limits: &Limits, now: Instant) -> Self {
        let (rate, pli) = (RateMeter::new(now), PliLimiter::new(limits.key_frame_interval));
        Self { rid, ssrc, ssrc_since: now, newest: None, rate, pli }
    }

    /// Notes that packets have another SSRC from now on, whose numbers begin anew.
    pub(crate) fn goes_on_under(&mut self, ssrc: Ssrc, now: Instant) {
        if self.ssrc != Some(ssrc) {
            self.ssrc = Some(ssrc);
            self.ssrc_since = now;
            self.newest = None;
        }
    }

    /// Where a packet stands, which is noted.
    pub(crate) fn place(&mut self, ssrc: Ssrc, sequence: u64, now: Instant) -> Place {
        if self.ssrc != Some(ssrc) {
            if now.saturating_duration_since(self.ssrc_since) < LATE {
                return Place::Replaced;
            }
            self.goes_on_under(ssrc, now);
        }
        if self.newest.is_some_and(|newest| sequence <= newest) {
            return Place::Behind;
        }
        self.newest = Some(sequence);
        Place::Newest
    }
}

/// A track that comes in.
#[derive(Debug)]
pub(crate) struct Producer {
    pub(crate) leg: LegNumber,
    pub(crate) mid: Mid,
    pub(crate) kind: MediaKind,
    pub(crate) codec: Codec,
    pub(crate) layers: Vec<Layer>,
    pub(crate) paused: bool,
    pub(crate) consumers: Vec<Id>,
    /// SSRCs that signalling has announced, retransmission among them.
    pub(crate) ssrcs: Vec<u32>,
    /// The loudest packet since this was last looked at, in decibels below full scale.
    pub(crate) loudest: Option<i8>,
}

impl Producer {
    /// The layers as the choice of one sees them. Before anything came all count as sent: a consumer
    /// that is there first must be able to ask for a key frame.
    pub(crate) fn layer_states(&mut self, now: Instant) -> Vec<LayerState> {
        let any = self.layers.iter().any(|layer| layer.rate.active(now));
        let state =
            |layer: &mut Layer| LayerState { active: !any || layer.rate.active(now), rate: layer.rate.rate(now) };
        self.layers.iter_mut().map(state).collect()
    }
}

/// Where a packet that went out came from.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Origin {
    pub(crate) sequence_out: u16,
    pub(crate) sequence_in: u16,
    pub(crate) ssrc_in: u32,
    pub(crate) key_frame: bool,
    pub(crate) leg_in: LegNumber,
    pub(crate) payload_bytes: u64,
    pub(crate) time_in: Instant,
}

/// The packets that were handed to a leg and have not left yet, in their order. A leg that is paced, or a server that
/// cannot keep up, holds many of them.
#[derive(Debug, Default)]
pub(crate) struct Origins(VecDeque<Origin>);

impl Origins {
    /// The most that may wait: a second of a stream of a hundred Mbit/s.
    const MOST: usize = 1 << 13;

    /// Whether there is room for another one. Nothing bounds the queue of a leg but this.
    #[must_use]
    pub(crate) fn put(&mut self, origin: Origin) -> bool {
        let has_room = self.0.len() < Self::MOST;
        if has_room {
            self.0.push_back(origin);
        }
        has_room
    }

    /// That of the packet which leaves now: what was handed on before it has not left and will not.
    pub(crate) fn take(&mut self, sequence_out: u16) -> Option<Origin> {
        let place = self.0.iter().position(|origin| origin.sequence_out == sequence_out)?;
        self.0.drain(..place);
        self.0.pop_front()
    }
}

/// A track that goes out.
#[derive(Debug)]
pub(crate) struct Consumer {
    pub(crate) producer: Id,
    pub(crate) leg: LegNumber,
    pub(crate) mid: Mid,
    pub(crate) ssrc: Ssrc,
    pub(crate) rtx: Option<Ssrc>,
    pub(crate) payload_type: Pt,
    pub(crate) kind: MediaKind,
    pub(crate) paused: bool,
    /// Which layer flows; none before the first key frame.
    pub(crate) current: Option<usize>,
    /// Under which SSRC it comes in.
    pub(crate) ssrc_in: Option<u32>,
    /// Which layer is to flow.
    pub(crate) target: Option<usize>,
    /// The highest layer that the client wants.
    pub(crate) preferred: usize,
    pub(crate) rewriter: Rewriter,
    pub(crate) origins: Origins,
    pub(crate) rate: RateMeter,
}

impl Consumer {
    /// Whether a packet of a layer goes out; a key frame of the layer that is to flow lets it take
    /// over. Under another SSRC than before the layer begins again: its numbers have nothing in common.
    pub(crate) fn takes(&mut self, layer: usize, ssrc_in: u32, begins_key_frame: bool) -> Taken {
        if self.paused {
            return Taken::No;
        }
        if self.current == Some(layer) && self.ssrc_in != Some(ssrc_in) {
            self.current = None;
        }
        if self.target == Some(layer) && self.current != self.target && begins_key_frame {
            let switched = self.current.is_some();
            self.current = Some(layer);
            self.ssrc_in = Some(ssrc_in);
            self.rewriter.begin_piece();
            return if switched { Taken::Switched } else { Taken::Yes };
        }
        if self.current == Some(layer) { Taken::Yes } else { Taken::No }
    }

    /// Whether a key frame of the target is waited for.
    pub(crate) fn waits(&self) -> bool {
        !self.paused && self.target.is_some() && self.current != self.target
    }
}

/// Whether a consumer takes a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Taken {
    No,
    Yes,
    /// Yes, as the first of another layer.
    Switched,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn consumer() -> Consumer {
        Consumer {
            producer: Id(1),
            leg: 0,
            mid: "0".into(),
            ssrc: 1.into(),
            rtx: None,
            payload_type: 96.into(),
            kind: MediaKind::Video,
            paused: false,
            current: None,
            ssrc_in: None,
            target: Some(1),
            preferred: 1,
            rewriter: Rewriter::new(90_000, 1, 1),
            origins: Origins::default(),
            rate: RateMeter::new(Instant::now()),
        }
    }

    #[test]
    fn layers_change_at_key_frames_alone() {
        let mut consumer = consumer();
        assert_eq!(consumer.takes(1, 11, false), Taken::No);
        assert!(consumer.waits());
        assert_eq!(consumer.takes(0, 10, true), Taken::No);
        assert_eq!(consumer.takes(1, 11, true), Taken::Yes);
        assert!(!consumer.waits());
        consumer.target = Some(0);
        assert_eq!(consumer.takes(1, 11, false), Taken::Yes, "the old layer goes on");
        assert_eq!(consumer.takes(0, 10, false), Taken::No);
        assert_eq!(consumer.takes(0, 10, true), Taken::Switched);
        assert_eq!(consumer.takes(1, 11, true), Taken::No);
    }

    #[test]
    fn under_another_ssrc_a_layer_begins_again_at_a_key_frame() {
        let mut consumer = consumer();
        assert_eq!(consumer.takes(1, 11, true), Taken::Yes);
        assert_eq!(consumer.takes(1, 12, false), Taken::No);
        assert!(consumer.waits());
        assert_eq!(consumer.takes(1, 12, true), Taken::Yes);
        assert_eq!(consumer.takes(1, 12, false), Taken::Yes);
    }

    #[test]
    fn a_layer_tells_late_packets_and_those_of_an_ssrc_that_has_been_replaced() {
        let start = Instant::now();
        let mut layer = Layer::new(None, None, &Limits::default(), start);
        layer.goes_on_under(11.into(), start);
        assert_eq!(layer.place(11.into(), 500, start), Place::Newest);
        assert_eq!(layer.place(11.into(), 502, start), Place::Newest);
        assert_eq!(layer.place(11.into(), 501, start), Place::Behind);
        layer.goes_on_under(12.into(), start);
        assert_eq!(layer.place(12.into(), 7, start), Place::Newest);
        assert_eq!(layer.place(11.into(), 503, start), Place::Replaced);
        assert_eq!(layer.place(11.into(), 900, start + LATE), Place::Newest, "the client has gone back");
        assert_eq!(layer.place(12.into(), 8, start + LATE), Place::Replaced);
    }

    fn origin(sequence_out: u16) -> Origin {
        Origin {
            sequence_out,
            sequence_in: 7,
            ssrc_in: 1,
            key_frame: false,
            leg_in: 1,
            payload_bytes: 1,
            time_in: Instant::now(),
        }
    }

    #[test]
    fn an_origin_is_given_back_once_and_not_for_another_number() {
        let mut origins = Origins::default();
        assert!(origins.put(origin(65_535)) && origins.put(origin(0)));
        assert!(origins.take(31).is_none());
        assert!(origins.take(65_535).is_some());
        assert!(origins.take(65_535).is_none());
        assert!(origins.take(0).is_some());
    }

    #[test]
    fn what_waits_in_a_queue_is_remembered_until_it_leaves() {
        let mut origins = Origins::default();
        assert!((0..2000).all(|number| origins.put(origin(number))));
        assert_eq!((0..2000).filter(|number| origins.take(*number).is_some()).count(), 2000);
    }

    #[test]
    fn a_queue_has_an_end_and_room_again_when_something_leaves() {
        let mut origins = Origins::default();
        assert_eq!((0..20_000).filter(|number| origins.put(origin(*number))).count(), 8192);
        assert!(origins.take(8191).is_some() && origins.put(origin(20_000)));
    }
}
