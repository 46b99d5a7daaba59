//! Tracks that go out: how they begin and end.

use std::time::Instant;

use str0m::media::{Mid, Pt};
use str0m::rtp::Ssrc;

use super::Shard;
use super::command::{Flow, LegNumber};
use super::commands::GONE;
use super::leg::{Leg, Outgoing};
use super::produce::rtc_kind;
use super::track::{Consumer, Origins};
use crate::serve::ids::Id;
use crate::serve::layers::RateMeter;
use crate::serve::metrics::{add, take};
use crate::serve::rewrite::Rewriter;
use crate::signal::codecs;
use crate::signal::rtp::{MediaKind, RtcpParameters, RtpEncodingParameters, RtpParameters, RtxParameters};

const NO_PRODUCER: &str = "there is no such producer any more";

/// A stream of a leg that a consumer sends on.
#[derive(Clone, Copy)]
struct Stream {
    mid: Mid,
    ssrc: Ssrc,
    rtx: Option<Ssrc>,
    payload_type: Pt,
}

impl Shard {
    /// A consumer on a media section of its own, paused, and what the receiver must know of it.
    pub(super) fn consume(
        &mut self,
        number: LegNumber,
        id: Id,
        producer: Id,
        now: Instant,
    ) -> Result<(MediaKind, RtpParameters), String> {
        let mut leg = self.take_leg(number).ok_or(GONE)?;
        let made = self.consume_new(&mut leg, id, producer, now);
        self.put_leg(leg);
        made
    }

    fn consume_new(
        &mut self,
        leg: &mut Leg,
        id: Id,
        producer: Id,
        now: Instant,
    ) -> Result<(MediaKind, RtpParameters), String> {
        let of = self.producers.get(&producer).ok_or(NO_PRODUCER)?;
        let (kind, codec) = (of.kind, of.codec);
        if leg.flow != Flow::Out {
            return Err("the transport is one for sending".to_owned());
        }
        let params = leg.rtc.codec_config().params().iter().find(|params| params.spec().codec == codec);
        let payload_type = params.ok_or("the receiver has no such codec")?.pt();
        let mid = leg.new_mid();
        let mut api = leg.rtc.direct_api();
        let cname = api.declare_media(mid, rtc_kind(kind)).cname().to_owned();
        let ssrc = api.new_ssrc();
        let rtx = (kind == MediaKind::Video).then(|| api.new_ssrc()).filter(|rtx| *rtx != ssrc);
        // What comes in is paced by its sender. A pacer here would hold it back whenever the estimate
        // is below a publisher's rate, and its delay would pass for the link's.
        api.declare_stream_tx(ssrc, rtx, mid, None).set_unpaced(true);
        self.add_consumer(leg, id, producer, Stream { mid, ssrc, rtx, payload_type }, now)?;
        let parameters = RtpParameters {
            mid: Some(mid.to_string()),
            codecs: codecs::codec_parameters(*payload_type),
            header_extensions: codecs::extension_parameters(kind),
            encodings: vec![RtpEncodingParameters {
                ssrc: Some(*ssrc),
                rtx: rtx.map(|rtx| RtxParameters { ssrc: *rtx }),
                ..RtpEncodingParameters::default()
            }],
            rtcp: Some(RtcpParameters { cname: Some(cname), reduced_size: Some(true) }),
        };
        Ok((kind, parameters))
    }

    /// A consumer on a media section that SDP made, which flows at once.
    pub(super) fn consume_at(
        &mut self,
        number: LegNumber,
        id: Id,
        producer: Id,
        mid: Mid,
        now: Instant,
    ) -> Result<(), String> {
        let mut leg = self.take_leg(number).ok_or(GONE)?;
        let made = self.consume_section(&mut leg, id, producer, mid, now);
        self.put_leg(leg);
        made?;
        self.want_key_frame(id, None, now);
        Ok(())
    }

    fn consume_section(&mut self, leg: &mut Leg, id: Id, producer: Id, mid: Mid, now: Instant) -> Result<(), String> {
        let codec = self.producers.get(&producer).ok_or(NO_PRODUCER)?.codec;
        // Two would write numbers of their own under one SSRC.
        let taken = |of: &Id| self.consumers.get(of).is_some_and(|of| of.mid == mid);
        if leg.consumers.iter().any(taken) {
            return Err("the media section has a track already".to_owned());
        }
        let media = leg.rtc.media(mid).ok_or("there is no such media section")?;
        let known = leg.rtc.codec_config().params();
        let of = |payload_type: &Pt| known.iter().find(|params| params.pt() == *payload_type);
        let agreed = media.remote_pts().iter().filter_map(of).find(|params| params.spec().codec == codec);
        let payload_type = agreed.ok_or("the receiver has not agreed to the track's codec")?.pt();
        let mut api = leg.rtc.direct_api();
        let stream = api.stream_tx_by_mid(mid, None).ok_or("the media section sends nothing")?;
        stream.set_unpaced(true);
        let stream = Stream { mid, ssrc: stream.ssrc(), rtx: stream.rtx(), payload_type };
        self.add_consumer(leg, id, producer, stream, now)?;
        if let Some(consumer) = self.consumers.get_mut(&id) {
            consumer.paused = false;
            // The same SSRC as before goes on with the numbers that it had.
            if let Some((rewriter, origins)) = leg.spare.remove(&mid) {
                (consumer.rewriter, consumer.origins) = (rewriter, origins);
            }
        }
        Ok(())
    }

    fn add_consumer(
        &mut self,
        leg: &mut Leg,
        id: Id,
        producer: Id,
        stream: Stream,
        now: Instant,
    ) -> Result<(), String> {
        let Stream { mid, ssrc, rtx, payload_type } = stream;
        let of = self.producers.get_mut(&producer).ok_or(NO_PRODUCER)?;
        let kind = of.kind;
        let highest = of.layers.len().saturating_sub(1);
        let start = getrandom::u64().map_err(|error| format!("no random number: {error}"))?;
        of.consumers.push(id);
        // RFC 3550, section 5.1, wants both random; below 2^15 the rollover counter of SRTP cannot be
        // guessed wrong if the first packets are lost (RFC 3711, section 3.3.1).
        // Two pieces of one random number.
        let rewriter = Rewriter::new(kind.clock_rate(), (start as u16) & 0x7fff, (start >> 32) as u32);
        leg.consumers.push(id);
        leg.outgoing.insert(*ssrc, Outgoing { consumer: id, retransmission: false });
        if let Some(rtx) = rtx {
            leg.outgoing.insert(*rtx, Outgoing { consumer: id, retransmission: true });
        }
        let consumer = Consumer {
            producer,
            leg: leg.number,
            mid,
            ssrc,
            rtx,
            payload_type,
            kind,
            paused: true,
            current: None,
            ssrc_in: None,
            target: Some(highest),
            preferred: highest,
            rewriter,
            origins: Origins::default(),
            rate: RateMeter::new(now),
        };
        self.consumers.insert(id, consumer);
        add(&self.metrics.consumers, 1);
        Ok(())
    }

    pub(super) fn pause_consumer(&mut self, id: Id, paused: bool, now: Instant) {
        if let Some(track) = self.consumers.get_mut(&id) {
            track.paused = paused;
            if paused {
                track.current = None;
            }
        }
        self.want_key_frame(id, None, now);
    }

    /// Notes the highest layer that a client wants. One that gets nothing yet begins with it; for
    /// others the choice is made with all that it depends on.
    pub(super) fn prefer(&mut self, id: Id, layer: u8, now: Instant) {
        let Some(consumer) = self.consumers.get_mut(&id) else { return };
        consumer.preferred = usize::from(layer);
        if consumer.current.is_none() {
            let layers = self.producers.get(&consumer.producer).map_or(0, |producer| producer.layers.len());
            consumer.target = Some(consumer.preferred.min(layers.saturating_sub(1)));
        }
        let number = consumer.leg;
        self.choose_layers(number, now);
    }

    /// Ends a consumer; its media section goes too, unless SDP made it.
    pub(super) fn close_consumer(&mut self, id: Id) {
        let Some(mut consumer) = self.forget_consumer(id) else { return };
        let (number, mid) = (consumer.leg, consumer.mid);
        if let Some(leg) = self.leg(number) {
            leg.consumers.retain(|consumer| *consumer != id);
            leg.outgoing.retain(|_, outgoing| outgoing.consumer != id);
            if leg.by_sdp {
                consumer.rewriter.begin_piece();
                leg.spare.insert(mid, (consumer.rewriter, consumer.origins));
            } else {
                leg.rtc.direct_api().remove_media(mid);
            }
            self.mark(number);
        }
    }

    /// Takes a consumer off its track.
    pub(super) fn forget_consumer(&mut self, id: Id) -> Option<Consumer> {
        let consumer = self.consumers.remove(&id)?;
        if let Some(producer) = self.producers.get_mut(&consumer.producer) {
            producer.consumers.retain(|consumer| *consumer != id);
        }
        take(&self.metrics.consumers, 1);
        Some(consumer)
    }
}
