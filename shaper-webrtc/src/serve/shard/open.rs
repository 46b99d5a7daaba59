//! New legs, by ICE and DTLS parameters or by SDP.

use std::time::Instant;

use str0m::change::SdpOffer;
use str0m::media::{Direction, MediaKind as RtcKind, Mid, Pt, Rid, Rids};

use super::Shard;
use super::command::{Answered, Flow, Opened, Owner, Section};
use super::leg::Leg;
use super::track::Layer;
use crate::dialect::dtls_parameters;
use crate::guard;
use crate::serve::ids::Id;
use crate::serve::map_log::Record;
use crate::serve::metrics::add;
use crate::serve::rtc::{ice_candidate, ice_parameters, rtc};
use crate::signal::rtp::MediaKind;
use crate::signal::transport::DtlsRole;

impl Shard {
    fn new_leg(&mut self, owner: Owner, flow: Flow, now: Instant) -> Result<Box<Leg>, String> {
        let number = self.next_leg_number().ok_or("the server has had as many transports as it can number")?;
        let estimate_from = (flow == Flow::Out).then_some(self.config.initial_bitrate);
        let rtc = rtc(&self.identity, self.local, estimate_from, now)?;
        Ok(Box::new(Leg::new(number, owner, flow, rtc, now)))
    }

    fn enter(&mut self, mut leg: Box<Leg>, now: Instant) {
        self.by_ufrag.insert(leg.local_ufrag.clone(), leg.number);
        if let Some(log) = &mut self.log {
            log.push(&Record::Leg {
                leg: leg.number,
                out: leg.flow == Flow::Out,
                participant: leg.owner.participant.0,
                transport: leg.owner.transport.0,
            });
        }
        add(&self.metrics.legs, 1);
        self.schedule(&mut leg, now, now);
        self.legs.push(Some(leg));
    }

    pub(super) fn open(&mut self, owner: Owner, flow: Flow, now: Instant) -> Result<Opened, String> {
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

    pub(super) fn answer(
        &mut self,
        owner: Owner,
        flow: Flow,
        offer: SdpOffer,
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

    fn accept(&mut self, leg: &mut Leg, offer: SdpOffer, now: Instant) -> Result<(String, Vec<Section>), String> {
        let answer = guard::guarded(|| {
            leg.rtc.sdp_api().accept_offer(offer).map_err(|error| format!("cannot accept the offer: {error}"))
        })?;
        // One direction is all that there is (RFC 9725, section 4.2), whatever was offered.
        let direction = if leg.flow == Flow::In { "a=recvonly" } else { "a=sendonly" };
        let answer = answer.to_sdp_string().replace("a=sendrecv", direction);
        // A section without a codec of ours would have a line without a format, which is no SDP.
        let formats = |line: &str| line.split_ascii_whitespace().nth(3).is_some();
        if let Some(line) = answer.lines().find(|line| line.starts_with("m=") && !formats(line)) {
            let kind = line.trim_start_matches("m=").split(' ').next().unwrap_or_default();
            return Err(format!("the offer has a media section for {kind} without a codec of ours"));
        }
        // str0m tells of new media sections only when DTLS is up. They are in the answer.
        let mut sections = Vec::new();
        for mid in answer.lines().filter_map(|line| line.strip_prefix("a=mid:")) {
            sections.extend(self.section(leg, Mid::from(mid.trim()), now)?);
        }
        if sections.is_empty() {
            let which = if leg.flow == Flow::In { "send" } else { "receive" };
            return Err(format!("the offer has no audio or video that it would {which} with a codec of ours"));
        }
        Ok((answer, sections))
    }

    /// A media section of an offer; none if nothing flows there in the direction of the leg.
    fn section(&mut self, leg: &mut Leg, mid: Mid, now: Instant) -> Result<Option<Section>, String> {
        let Some(media) = leg.rtc.media(mid).filter(|media| !media.disabled()) else { return Ok(None) };
        let wanted = match leg.flow {
            Flow::In => matches!(media.direction(), Direction::RecvOnly | Direction::SendRecv),
            Flow::Out => matches!(media.direction(), Direction::SendOnly | Direction::SendRecv),
        };
        let known = leg.rtc.codec_config().params();
        let of = |payload_type: &Pt| known.iter().find(|params| params.pt() == *payload_type);
        let codec = media.remote_pts().iter().find_map(of).map(|params| params.spec().codec);
        let Some(codec) = codec.filter(|_| wanted) else { return Ok(None) };
        let kind = if media.kind() == RtcKind::Audio { MediaKind::Audio } else { MediaKind::Video };
        let mut producer = None;
        if leg.flow == Flow::In {
            let limits = &self.config.limits;
            let rids: &[Rid] = match media.rids_rx() {
                Rids::Specific(rids) => rids,
                Rids::None | Rids::Any => &[],
            };
            if rids.len() > limits.layers {
                return Err(format!("no more than {} layers a track", limits.layers));
            }
            let layers = match rids {
                [] => vec![Layer::new(None, None, limits, now)],
                some => some.iter().map(|rid| Layer::new(Some(*rid), None, limits, now)).collect(),
            };
            let id = Id::random().map_err(|error| format!("no random id: {error}"))?;
            self.add_producer(leg, id, mid, kind, codec, layers)?;
            producer = Some(id);
        }
        Ok(Some(Section { mid: mid.to_string(), kind, producer }))
    }
}
