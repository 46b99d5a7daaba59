//! What the control plane asks for.

use std::sync::mpsc::TryRecvError;
use std::time::Instant;

use str0m::Event;
use str0m::ice::IceCreds;
use str0m::media::{Direction, MediaAdded, MediaKind as RtcKind, Mid, Rid};
use str0m::rtp::Ssrc;
use str0m::{Input, Output};

use super::command::{Answered, Command, Flow, LegNumber, Opened, Owner, Section};
use super::leg::{Leg, Outgoing};
use super::track::{Consumer, Layer, Origins, Producer};
use super::{Shard, guard};
use crate::dialect::{dtls_parameters, fingerprint};
use crate::serve::ids::Id;
use crate::serve::layers::RateMeter;
use crate::serve::map_log::Record;
use crate::serve::metrics::{add, take};
use crate::serve::rewrite::Rewriter;
use crate::serve::rtc::{ice_candidate, ice_parameters};
use crate::signal::codecs;
use crate::signal::rtp::{MediaKind, RtcpParameters, RtpEncodingParameters, RtpParameters, RtxParameters};
use crate::signal::transport::{DtlsParameters, DtlsRole};

/// Commands that are obeyed before media has its turn.
const BATCH: usize = 64;

impl Shard {
    /// Obeys what has been asked for.
    pub(super) fn obey(&mut self) {
        for _ in 0..BATCH {
            match self.commands.try_recv() {
                Ok(command) => self.obey_one(command),
                Err(TryRecvError::Empty) => return,
                Err(TryRecvError::Disconnected) => return self.stop(),
            }
        }
        // There may be more, and their wake-up is spent.
        self.next_tick = Instant::now();
    }

    fn obey_one(&mut self, command: Command) {
        let now = Instant::now();
        // Whoever asked may have gone: then nobody waits for the answer.
        match command {
            Command::Open { owner, flow, reply } => drop(reply.send(self.open(owner, flow, now))),
            Command::Answer { owner, flow, offer, reply } => {
                drop(reply.send(self.answer(owner, flow, *offer, now)));
            }
            Command::Connect { leg, dtls, reply } => drop(reply.send(self.connect(leg, &dtls))),
            Command::Credentials { leg, reply } => {
                let ufrag = self.leg(leg).map(|leg| leg.local_ufrag.clone());
                drop(reply.send(ufrag.ok_or_else(|| GONE.to_owned())));
            }
            Command::RestartIce { leg, reply } => drop(reply.send(self.restart_ice(leg))),
            Command::Produce { leg, producer, kind, parameters, reply } => {
                drop(reply.send(self.produce(leg, producer, kind, &parameters, now)));
            }
            Command::Consume { leg, consumer, producer, reply } => {
                drop(reply.send(self.consume(leg, consumer, producer, now)));
            }
            Command::ConsumeAt { leg, consumer, producer, mid, reply } => {
                let mid = Mid::from(mid.as_str());
                drop(reply.send(self.consume_at(leg, consumer, producer, mid, now)));
            }
            Command::PauseConsumer { consumer, paused } => {
                if let Some(track) = self.consumers.get_mut(&consumer) {
                    track.paused = paused;
                    if paused {
                        track.current = None;
                    }
                }
                self.want_key_frame(consumer, None, now);
            }
            Command::PauseProducer { producer, paused } => self.pause_producer(producer, paused, now),
            Command::Prefer { consumer, layer } => {
                if let Some(track) = self.consumers.get_mut(&consumer) {
                    track.preferred = usize::from(layer);
                }
                // The choice is made at the next tick, with all others.
                self.next_tick = now;
            }
            Command::CloseConsumer { consumer } => self.close_consumer(consumer),
            Command::CloseProducer { producer } => self.close_producer(producer),
            Command::CloseLeg { leg } => self.close_leg(leg, now),
            Command::Stop => self.stop(),
        }
        self.drive_dirty(now);
    }

    /// Says goodbye on all legs.
    fn stop(&mut self) {
        let now = Instant::now();
        let numbers: Vec<LegNumber> = self.legs.iter().flatten().map(|leg| leg.number).collect();
        for number in numbers {
            self.close_leg(number, now);
        }
        self.stopping = true;
    }

    fn close_leg(&mut self, number: LegNumber, now: Instant) {
        let Some(mut leg) = self.take_leg(number) else { return };
        let closed = guard::guarded(|| leg.rtc.close().map_err(|error| error.to_string()))
            .and_then(|()| guard::handle_input(&mut leg.rtc, Input::Timeout(now)));
        if closed.is_ok() {
            self.drain(&mut leg, now);
        }
        self.put_leg(leg);
        self.remove_leg(number);
    }

    fn new_leg(&mut self, owner: Owner, flow: Flow, now: Instant) -> Result<Box<Leg>, String> {
        let number = self.next_leg_number().ok_or("the server has had as many transports as it can number")?;
        let estimate_from = (flow == Flow::Out).then_some(self.config.initial_bitrate);
        let rtc = self.identity.rtc(self.local, estimate_from, now)?;
        Ok(Box::new(Leg::new(number, owner, flow, rtc, now)))
    }

    fn enter(&mut self, mut leg: Box<Leg>, now: Instant) {
        let number = leg.number;
        self.by_ufrag.insert(leg.local_ufrag.clone(), number);
        if let Some(log) = &mut self.log {
            log.push(&Record::Leg {
                leg: number,
                out: leg.flow == Flow::Out,
                participant: leg.owner.participant.0,
                transport: leg.owner.transport.0,
            });
        }
        add(&self.metrics.legs, 1);
        self.schedule(&mut leg, now);
        self.legs.push(Some(leg));
    }

    fn open(&mut self, owner: Owner, flow: Flow, now: Instant) -> Result<Opened, String> {
        let mut leg = self.new_leg(owner, flow, now)?;
        let mut api = leg.rtc.direct_api();
        if flow == Flow::In {
            api.enable_twcc_feedback();
        }
        let ice = ice_parameters(&api.local_ice_credentials());
        let dtls = dtls_parameters(api.local_dtls_fingerprint(), DtlsRole::Auto);
        // RFC 8445, section 5.1.2.1: type preference 126 for a host, local preference 65,535, and
        // component 1.
        let candidates = vec![ice_candidate(self.local, (126 << 24) | (65_535 << 8) | 255)];
        let number = leg.number;
        self.enter(leg, now);
        Ok(Opened { leg: number, ice, candidates, dtls })
    }

    fn answer(
        &mut self,
        owner: Owner,
        flow: Flow,
        offer: str0m::change::SdpOffer,
        now: Instant,
    ) -> Result<Answered, String> {
        let mut leg = self.new_leg(owner, flow, now)?;
        leg.by_sdp = true;
        leg.dtls_started = true;
        let (answer, sections) = match self.accept(&mut leg, offer, now) {
            Ok(accepted) => accepted,
            Err(error) => {
                for (_, producer) in &leg.producers {
                    self.remove_producer(*producer);
                }
                return Err(error);
            }
        };
        let number = leg.number;
        self.enter(leg, now);
        Ok(Answered { leg: number, answer, sections })
    }

    fn accept(
        &mut self,
        leg: &mut Leg,
        offer: str0m::change::SdpOffer,
        now: Instant,
    ) -> Result<(String, Vec<Section>), String> {
        let answer = guard::guarded(|| {
            leg.rtc.sdp_api().accept_offer(offer).map_err(|error| format!("cannot accept the offer: {error}"))
        })?;
        let mut sections = Vec::new();
        // What the offer has is told as events; no datagram is due before the first check.
        loop {
            match guard::poll_output(&mut leg.rtc)? {
                Output::Timeout(_) => break,
                Output::Event(Event::MediaAdded(added)) => sections.extend(self.section(leg, &added, now)?),
                _ => {}
            }
        }
        if sections.is_empty() {
            let which = if leg.flow == Flow::In { "send" } else { "receive" };
            return Err(format!("the offer has no audio or video that it would {which} with a codec of ours"));
        }
        Ok((answer.to_sdp_string(), sections))
    }

    /// A media section of an offer; none if nothing flows there in the direction of the leg.
    fn section(&mut self, leg: &mut Leg, added: &MediaAdded, now: Instant) -> Result<Option<Section>, String> {
        let wanted = match leg.flow {
            Flow::In => matches!(added.direction, Direction::RecvOnly | Direction::SendRecv),
            Flow::Out => matches!(added.direction, Direction::SendOnly | Direction::SendRecv),
        };
        let Some(media) = leg.rtc.media(added.mid).filter(|_| wanted) else { return Ok(None) };
        let kind = if added.kind == RtcKind::Audio { MediaKind::Audio } else { MediaKind::Video };
        let known = leg.rtc.codec_config().params();
        let of = |payload_type: &str0m::media::Pt| known.iter().find(|params| params.pt() == *payload_type);
        let Some(codec) = media.remote_pts().iter().find_map(of).map(|params| params.spec().codec) else {
            return Ok(None);
        };
        let mut producer = None;
        if leg.flow == Flow::In {
            if leg.producers.len() >= self.config.limits.producers_per_client {
                return Err(format!("no more than {} tracks a client", self.config.limits.producers_per_client));
            }
            let rids: Vec<Rid> = added
                .simulcast
                .iter()
                .flat_map(|simulcast| if simulcast.recv.is_empty() { &simulcast.send } else { &simulcast.recv })
                .map(|layer| layer.rid)
                .collect();
            if rids.len() > self.config.limits.layers {
                return Err(format!("no more than {} layers a track", self.config.limits.layers));
            }
            let limits = &self.config.limits;
            let layers = match rids.as_slice() {
                [] => vec![Layer::new(None, None, limits, now)],
                some => some.iter().map(|rid| Layer::new(Some(*rid), None, limits, now)).collect(),
            };
            let id = Id::random().map_err(|error| format!("no random id: {error}"))?;
            self.add_producer(leg, id, added.mid, kind, codec, layers);
            producer = Some(id);
        }
        Ok(Some(Section { mid: added.mid.to_string(), kind, producer }))
    }

    fn add_producer(
        &mut self,
        leg: &mut Leg,
        id: Id,
        mid: Mid,
        kind: MediaKind,
        codec: str0m::format::Codec,
        layers: Vec<Layer>,
    ) {
        leg.producers.push((mid, id));
        let producer =
            Producer { leg: leg.number, mid, kind, codec, layers, paused: false, consumers: Vec::new(), loudest: None };
        self.producers.insert(id, producer);
        add(&self.metrics.producers, 1);
    }

    fn connect(&mut self, number: LegNumber, dtls: &DtlsParameters) -> Result<(), String> {
        let remote = fingerprint(dtls)?;
        let leg = self.leg(number).ok_or(GONE)?;
        if leg.dtls_started {
            return Err("the transport is connected already".to_owned());
        }
        // The side that the client leaves to us is the server's: in this dialect clients begin.
        let active = dtls.role == DtlsRole::Server;
        let mut api = leg.rtc.direct_api();
        api.set_remote_fingerprint(remote);
        api.start_dtls(active).map_err(|error| format!("cannot start DTLS: {error}"))?;
        leg.dtls_started = true;
        self.mark(number);
        Ok(())
    }

    fn restart_ice(&mut self, number: LegNumber) -> Result<crate::signal::transport::IceParameters, String> {
        let new = IceCreds::new();
        let leg = self.leg(number).ok_or(GONE)?;
        let replaced = leg.restart.replace(new.clone());
        if let Some(replaced) = replaced {
            self.by_ufrag.remove(&replaced.ufrag);
        }
        self.by_ufrag.insert(new.ufrag.clone(), number);
        Ok(ice_parameters(&new))
    }

    fn produce(
        &mut self,
        number: LegNumber,
        id: Id,
        kind: MediaKind,
        parameters: &RtpParameters,
        now: Instant,
    ) -> Result<(), String> {
        let payload_type = crate::serve::params::payload_type(kind, parameters)?;
        let encodings = crate::serve::params::encodings(parameters, self.config.limits.layers)?;
        let mut leg = self.take_leg(number).ok_or(GONE)?;
        let made = self.produce_on(&mut leg, id, kind, payload_type, parameters.mid.as_deref(), &encodings, now);
        self.put_leg(leg);
        made
    }

    #[expect(clippy::too_many_arguments, reason = "one call, of what produce has checked")]
    fn produce_on(
        &mut self,
        leg: &mut Leg,
        id: Id,
        kind: MediaKind,
        payload_type: u8,
        mid: Option<&str>,
        encodings: &[RtpEncodingParameters],
        now: Instant,
    ) -> Result<(), String> {
        if leg.flow != Flow::In {
            return Err("the transport is one for receiving".to_owned());
        }
        if leg.producers.len() >= self.config.limits.producers_per_client {
            return Err(format!("no more than {} tracks a client", self.config.limits.producers_per_client));
        }
        let mid = match mid {
            Some(mid) => Mid::from(mid),
            None => leg.new_mid(),
        };
        if leg.rtc.media(mid).is_some() {
            return Err(format!("the transport has the media section {mid} already"));
        }
        let ssrcs =
            || encodings.iter().flat_map(|encoding| [encoding.ssrc, encoding.rtx.map(|rtx| rtx.ssrc)]).flatten();
        let mut api = leg.rtc.direct_api();
        if let Some(taken) = ssrcs().find(|ssrc| api.stream_rx(&Ssrc::from(*ssrc)).is_some()) {
            return Err(format!("the transport has the SSRC {taken} already"));
        }
        let params = leg.rtc.codec_config().params().iter().find(|params| *params.pt() == payload_type);
        let codec = params.ok_or("there is no such codec")?.spec().codec;
        let mut api = leg.rtc.direct_api();
        let rtc_kind = if kind == MediaKind::Audio { RtcKind::Audio } else { RtcKind::Video };
        let media = api.declare_media(mid, rtc_kind);
        for encoding in encodings {
            if let Some(rid) = &encoding.rid {
                media.expect_rid_rx(Rid::from(rid.as_str()));
            }
        }
        let mut layers = Vec::new();
        for encoding in encodings {
            let rid = encoding.rid.as_deref().map(Rid::from);
            let ssrc = encoding.ssrc.map(Ssrc::from);
            if let Some(ssrc) = ssrc {
                api.expect_stream_rx(ssrc, encoding.rtx.map(|rtx| rtx.ssrc.into()), mid, rid);
            }
            layers.push(Layer::new(rid, ssrc, &self.config.limits, now));
        }
        for (index, encoding) in encodings.iter().enumerate() {
            if let Some(ssrc) = encoding.ssrc {
                leg.incoming.insert(ssrc, (id, index));
            }
        }
        self.add_producer(leg, id, mid, kind, codec, layers);
        Ok(())
    }

    fn consume(
        &mut self,
        number: LegNumber,
        id: Id,
        producer: Id,
        now: Instant,
    ) -> Result<(MediaKind, RtpParameters), String> {
        let of = self.producers.get(&producer).ok_or(NO_PRODUCER)?;
        let (kind, codec) = (of.kind, of.codec);
        let mut leg = self.take_leg(number).ok_or(GONE)?;
        let made = self.consume_new(&mut leg, id, producer, kind, codec, now);
        self.put_leg(leg);
        Ok((kind, made?))
    }

    fn consume_new(
        &mut self,
        leg: &mut Leg,
        id: Id,
        producer: Id,
        kind: MediaKind,
        codec: str0m::format::Codec,
        now: Instant,
    ) -> Result<RtpParameters, String> {
        if leg.flow != Flow::Out {
            return Err("the transport is one for sending".to_owned());
        }
        let params = leg.rtc.codec_config().params().iter().find(|params| params.spec().codec == codec);
        let payload_type = params.ok_or("the receiver has no such codec")?.pt();
        let mid = leg.new_mid();
        let rtc_kind = if kind == MediaKind::Audio { RtcKind::Audio } else { RtcKind::Video };
        let mut api = leg.rtc.direct_api();
        let cname = api.declare_media(mid, rtc_kind).cname().to_owned();
        let ssrc = api.new_ssrc();
        let rtx = (kind == MediaKind::Video).then(|| api.new_ssrc()).filter(|rtx| *rtx != ssrc);
        // What comes in is paced by its sender. A pacer here would hold it back whenever the estimate
        // is below a publisher's rate, and its delay would pass for the link's.
        api.declare_stream_tx(ssrc, rtx, mid, None).set_unpaced(true);
        self.add_consumer(leg, id, producer, mid, ssrc, rtx, payload_type, kind, now)?;
        Ok(RtpParameters {
            mid: Some(mid.to_string()),
            codecs: codecs::codec_parameters(*payload_type),
            header_extensions: codecs::extension_parameters(kind),
            encodings: vec![RtpEncodingParameters {
                ssrc: Some(*ssrc),
                rtx: rtx.map(|rtx| RtxParameters { ssrc: *rtx }),
                ..RtpEncodingParameters::default()
            }],
            rtcp: Some(RtcpParameters { cname: Some(cname), reduced_size: Some(true) }),
        })
    }

    fn consume_at(&mut self, number: LegNumber, id: Id, producer: Id, mid: Mid, now: Instant) -> Result<(), String> {
        let of = self.producers.get(&producer).ok_or(NO_PRODUCER)?;
        let (kind, codec) = (of.kind, of.codec);
        let mut leg = self.take_leg(number).ok_or(GONE)?;
        let made = self.consume_section(&mut leg, id, producer, mid, kind, codec, now);
        self.put_leg(leg);
        made?;
        self.want_key_frame(id, None, now);
        Ok(())
    }

    #[expect(clippy::too_many_arguments, reason = "one call, of what consume_at has looked up")]
    fn consume_section(
        &mut self,
        leg: &mut Leg,
        id: Id,
        producer: Id,
        mid: Mid,
        kind: MediaKind,
        codec: str0m::format::Codec,
        now: Instant,
    ) -> Result<(), String> {
        let media = leg.rtc.media(mid).ok_or("there is no such media section")?;
        let known = leg.rtc.codec_config().params();
        let of = |payload_type: &str0m::media::Pt| known.iter().find(|params| params.pt() == *payload_type);
        let agreed = media.remote_pts().iter().filter_map(of).find(|params| params.spec().codec == codec);
        let payload_type = agreed.ok_or("the receiver has not agreed to the track's codec")?.pt();
        let mut api = leg.rtc.direct_api();
        let stream = api.stream_tx_by_mid(mid, None).ok_or("the media section sends nothing")?;
        stream.set_unpaced(true);
        let (ssrc, rtx) = (stream.ssrc(), stream.rtx());
        self.add_consumer(leg, id, producer, mid, ssrc, rtx, payload_type, kind, now)?;
        if let Some(consumer) = self.consumers.get_mut(&id) {
            consumer.paused = false;
            // The same SSRC as before goes on with the numbers that it had.
            if let Some(rewriter) = leg.spare.remove(&mid) {
                consumer.rewriter = rewriter;
            }
        }
        Ok(())
    }

    #[expect(clippy::too_many_arguments, reason = "the fields of a new consumer")]
    fn add_consumer(
        &mut self,
        leg: &mut Leg,
        id: Id,
        producer: Id,
        mid: Mid,
        ssrc: Ssrc,
        rtx: Option<Ssrc>,
        payload_type: str0m::media::Pt,
        kind: MediaKind,
        now: Instant,
    ) -> Result<(), String> {
        let of = self.producers.get_mut(&producer).ok_or(NO_PRODUCER)?;
        let highest = of.layers.len().saturating_sub(1);
        of.consumers.push(id);
        let clock_rate = if kind == MediaKind::Audio { 48_000 } else { 90_000 };
        let start = getrandom::u64().map_err(|error| format!("no random number: {error}"))?;
        // RFC 3550, section 5.1, wants both random; below 2^15 the rollover counter of SRTP cannot be
        // guessed wrong if the first packets are lost (RFC 3711, section 3.3.1).
        #[expect(clippy::cast_possible_truncation, reason = "two pieces of one random number")]
        let rewriter = Rewriter::new(clock_rate, (start as u16) & 0x7fff, (start >> 32) as u32);
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
            target: Some(highest),
            preferred: highest,
            rewriter,
            origins: Origins::new(kind),
            rate: RateMeter::new(now),
        };
        self.consumers.insert(id, consumer);
        add(&self.metrics.consumers, 1);
        Ok(())
    }

    fn pause_producer(&mut self, id: Id, paused: bool, now: Instant) {
        let Some(producer) = self.producers.get_mut(&id) else { return };
        producer.paused = paused;
        let consumers = producer.consumers.clone();
        for consumer in consumers {
            if let Some(track) = self.consumers.get_mut(&consumer) {
                track.current = None;
            }
            if !paused {
                self.want_key_frame(consumer, None, now);
            }
        }
    }

    /// Ends a consumer that the client gives back; its media section goes too, unless SDP made it.
    fn close_consumer(&mut self, id: Id) {
        let Some(mut consumer) = self.forget_consumer(id) else { return };
        let (number, mid) = (consumer.leg, consumer.mid);
        if let Some(leg) = self.leg(number) {
            leg.consumers.retain(|consumer| *consumer != id);
            leg.outgoing.retain(|_, outgoing| outgoing.consumer != id);
            if leg.by_sdp {
                consumer.rewriter.begin_piece();
                leg.spare.insert(mid, consumer.rewriter);
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

    fn close_producer(&mut self, id: Id) {
        let Some(producer) = self.producers.get(&id) else { return };
        let (number, mid) = (producer.leg, producer.mid);
        self.remove_producer(id);
        if let Some(leg) = self.leg(number) {
            leg.producers.retain(|(_, producer)| *producer != id);
            leg.incoming.retain(|_, (producer, _)| *producer != id);
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

const GONE: &str = "the transport has ended";
const NO_PRODUCER: &str = "there is no such producer any more";
