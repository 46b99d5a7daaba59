//! Tracks that come in: how they begin and end.

use std::time::Instant;

use str0m::format::Codec;
use str0m::media::{MediaKind as RtcKind, Mid, Rid};
use str0m::rtp::Ssrc;

use super::Shard;
use super::command::{Flow, LegNumber};
use super::commands::GONE;
use super::leg::Leg;
use super::track::{Layer, Producer};
use crate::serve::ids::Id;
use crate::serve::metrics::{add, take};
use crate::serve::params;
use crate::signal::rtp::{MediaKind, RtpEncodingParameters, RtpParameters};

impl Shard {
    pub(super) fn produce(
        &mut self,
        number: LegNumber,
        id: Id,
        kind: MediaKind,
        parameters: &RtpParameters,
        now: Instant,
    ) -> Result<(), String> {
        let payload_type = params::payload_type(kind, parameters)?;
        let encodings = params::encodings(parameters, self.config.limits.layers)?;
        let mut leg = self.take_leg(number).ok_or(GONE)?;
        let declared = self.declare(&mut leg, kind, payload_type, parameters.mid.as_deref(), &encodings);
        let made = declared.and_then(|(mid, codec)| {
            let limits = &self.config.limits;
            let layer = |of: &RtpEncodingParameters| {
                Layer::new(of.rid.as_deref().map(Rid::from), of.ssrc.map(Ssrc::from), limits, now)
            };
            let layers = encodings.iter().map(layer).collect();
            self.add_producer(&mut leg, id, mid, kind, codec, layers)
        });
        if let (Ok(()), Some(producer)) = (&made, self.producers.get_mut(&id)) {
            producer.ssrcs = announced(&encodings).collect();
            for (index, encoding) in encodings.iter().enumerate() {
                if let Some(ssrc) = encoding.ssrc {
                    leg.incoming.insert(ssrc, (id, index));
                }
            }
        }
        self.put_leg(leg);
        made
    }

    /// Says to str0m what will come. Nothing is said before everything is checked.
    fn declare(
        &self,
        leg: &mut Leg,
        kind: MediaKind,
        payload_type: u8,
        mid: Option<&str>,
        encodings: &[RtpEncodingParameters],
    ) -> Result<(Mid, Codec), String> {
        if leg.flow != Flow::In {
            return Err("the transport is one for receiving".to_owned());
        }
        self.room_for_one_more(leg)?;
        let mid = match mid {
            Some(mid) => Mid::from(mid),
            None => leg.new_mid(),
        };
        if leg.rtc.media(mid).is_some() {
            return Err(format!("the transport has the media section {mid} already"));
        }
        if let Some(taken) = announced(encodings).find(|ssrc| leg.announced.contains(ssrc)) {
            return Err(format!("the transport has the SSRC {taken} already"));
        }
        let params = leg.rtc.codec_config().params().iter().find(|params| *params.pt() == payload_type);
        let codec = params.ok_or("there is no such codec")?.spec().codec;
        let mut api = leg.rtc.direct_api();
        let media = api.declare_media(mid, rtc_kind(kind));
        for rid in encodings.iter().filter_map(|encoding| encoding.rid.as_deref()) {
            media.expect_rid_rx(Rid::from(rid));
        }
        for encoding in encodings {
            if let Some(ssrc) = encoding.ssrc {
                let rid = encoding.rid.as_deref().map(Rid::from);
                let stream = api.expect_stream_rx(ssrc.into(), encoding.rtx.map(|rtx| rtx.ssrc.into()), mid, rid);
                // Signalling names no NACK for sound.
                stream.suppress_nack(kind == MediaKind::Audio);
            }
        }
        leg.announced.extend(announced(encodings));
        Ok((mid, codec))
    }

    fn room_for_one_more(&self, leg: &Leg) -> Result<(), String> {
        let most = self.config.limits.producers_per_client;
        if leg.producers.len() < most { Ok(()) } else { Err(format!("no more than {most} tracks a client")) }
    }

    /// Enters a track that will come in at a media section.
    pub(super) fn add_producer(
        &mut self,
        leg: &mut Leg,
        id: Id,
        mid: Mid,
        kind: MediaKind,
        codec: Codec,
        layers: Vec<Layer>,
    ) -> Result<(), String> {
        self.room_for_one_more(leg)?;
        leg.producers.push((mid, id));
        let producer = Producer {
            leg: leg.number,
            mid,
            kind,
            codec,
            layers,
            paused: false,
            consumers: Vec::new(),
            ssrcs: Vec::new(),
            loudest: None,
        };
        self.producers.insert(id, producer);
        add(&self.metrics.producers, 1);
        Ok(())
    }

    pub(super) fn pause_producer(&mut self, id: Id, paused: bool, now: Instant) {
        let Some(producer) = self.producers.get_mut(&id) else { return };
        producer.paused = paused;
        for consumer in producer.consumers.clone() {
            if let Some(track) = self.consumers.get_mut(&consumer) {
                track.current = None;
            }
            if !paused {
                self.want_key_frame(consumer, None, now);
            }
        }
    }

    /// Ends a track that its owner gives up; its media section goes too, unless SDP made it.
    pub(super) fn close_producer(&mut self, id: Id) {
        let Some(producer) = self.producers.get(&id) else { return };
        let (number, mid, ssrcs) = (producer.leg, producer.mid, producer.ssrcs.clone());
        self.remove_producer(id);
        if let Some(leg) = self.leg(number) {
            leg.producers.retain(|(_, producer)| *producer != id);
            leg.incoming.retain(|_, (producer, _)| *producer != id);
            leg.announced.retain(|ssrc| !ssrcs.contains(ssrc));
            if !leg.by_sdp {
                leg.rtc.direct_api().remove_media(mid);
            }
            self.mark(number);
        }
    }

    /// Takes a track out, and all its consumers.
    pub(super) fn remove_producer(&mut self, id: Id) {
        let Some(producer) = self.producers.get(&id) else { return };
        for consumer in producer.consumers.clone() {
            self.close_consumer(consumer);
        }
        self.producers.remove(&id);
        take(&self.metrics.producers, 1);
    }
}

/// The SSRCs of encodings, retransmission among them.
fn announced(encodings: &[RtpEncodingParameters]) -> impl Iterator<Item = u32> {
    encodings.iter().flat_map(|of| [of.ssrc, of.rtx.map(|rtx| rtx.ssrc)]).flatten()
}

/// A kind of media as str0m has it.
pub(super) fn rtc_kind(kind: MediaKind) -> RtcKind {
    match kind {
        MediaKind::Audio => RtcKind::Audio,
        MediaKind::Video => RtcKind::Video,
    }
}
