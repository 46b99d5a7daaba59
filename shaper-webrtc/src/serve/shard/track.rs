//! Tracks: what comes in (producers) and what goes out of it (consumers).

use std::time::Instant;

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
    /// As announced, or as first seen.
    pub(crate) ssrc: Option<Ssrc>,
    pub(crate) rate: RateMeter,
    pub(crate) pli: PliLimiter,
}

impl Layer {
    pub(crate) fn new(rid: Option<Rid>, ssrc: Option<Ssrc>, limits: &Limits, now: Instant) -> Self {
        Self { rid, ssrc, rate: RateMeter::new(now), pli: PliLimiter::new(limits.key_frame_interval) }
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

/// The last packets that were handed to a leg, by outgoing sequence number, until they leave.
#[derive(Debug)]
pub(crate) struct Origins(Vec<Option<Origin>>);

impl Origins {
    /// Packets leave with the batch that they came in; of video a frame may come at once.
    pub(crate) fn new(kind: MediaKind) -> Self {
        let length = match kind {
            MediaKind::Audio => 32,
            MediaKind::Video => 256,
        };
        Self(vec![None; length])
    }

    pub(crate) fn put(&mut self, origin: Origin) {
        let length = self.0.len();
        if let Some(slot) = self.0.get_mut(usize::from(origin.sequence_out) % length) {
            *slot = Some(origin);
        }
    }

    pub(crate) fn take(&mut self, sequence_out: u16) -> Option<Origin> {
        let length = self.0.len();
        let slot = self.0.get_mut(usize::from(sequence_out) % length)?;
        slot.take_if(|origin| origin.sequence_out == sequence_out)
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
    /// over.
    pub(crate) fn takes(&mut self, layer: usize, begins_key_frame: bool) -> Taken {
        if self.paused {
            return Taken::No;
        }
        if self.target == Some(layer) && self.current != self.target && begins_key_frame {
            let switched = self.current.is_some();
            self.current = Some(layer);
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
            target: Some(1),
            preferred: 1,
            rewriter: Rewriter::new(90_000, 1, 1),
            origins: Origins::new(MediaKind::Video),
            rate: RateMeter::new(Instant::now()),
        }
    }

    #[test]
    fn layers_change_at_key_frames_alone() {
        let mut consumer = consumer();
        assert_eq!(consumer.takes(1, false), Taken::No);
        assert!(consumer.waits());
        assert_eq!(consumer.takes(0, true), Taken::No);
        assert_eq!(consumer.takes(1, true), Taken::Yes);
        assert!(!consumer.waits());
        consumer.target = Some(0);
        assert_eq!(consumer.takes(1, false), Taken::Yes, "the old layer goes on");
        assert_eq!(consumer.takes(0, false), Taken::No);
        assert_eq!(consumer.takes(0, true), Taken::Switched);
        assert_eq!(consumer.takes(1, true), Taken::No);
    }

    #[test]
    fn an_origin_is_given_back_once_and_not_for_another_number() {
        let mut origins = Origins::new(MediaKind::Audio);
        let origin = |sequence_out| Origin {
            sequence_out,
            sequence_in: 7,
            ssrc_in: 1,
            key_frame: false,
            leg_in: 1,
            payload_bytes: 1,
            time_in: Instant::now(),
        };
        origins.put(origin(65_535));
        assert!(origins.take(31).is_none());
        assert!(origins.take(65_535).is_some());
        assert!(origins.take(65_535).is_none());
    }
}
