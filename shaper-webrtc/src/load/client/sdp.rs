//! A client of WHIP (RFC 9725) or WHEP (draft-ietf-wish-whep): one request with an offer, and one that
//! ends the session.

use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper::header::{AUTHORIZATION, CONTENT_TYPE, HOST, LOCATION};
use hyper::{Method, Request, StatusCode, Uri};
use hyper_util::rt::TokioIo;
use str0m::Rtc;
use str0m::change::{SdpAnswer, SdpOffer, SdpPendingOffer};
use str0m::media::{Direction, MediaKind as RtcKind, Mid};
use tokio::time::{Instant, MissedTickBehavior, interval, timeout_at};

use super::transport::{Flow, rtc, socket};
use super::{Client, over, tracks, wire};
use crate::guard;
use crate::load::config::Target;
use crate::load::failure::{Failure, Stage};
use crate::load::worker::LegNumber;
use crate::load::worker::command::{Command, Happened};
use crate::load::worker::track::{NewTrack, Shape};

/// The longest answer that is read, in bytes.
const LONGEST: usize = 1 << 20;
/// From one look at deadlines to the next.
const TICK: Duration = Duration::from_millis(100);
/// How long saying goodbye may take.
const GOODBYE: Duration = Duration::from_secs(1);

/// What a server answered.
struct Answer {
    status: StatusCode,
    location: Option<String>,
    body: String,
}

/// An offer, and what it makes of its `Rtc` when it is answered.
struct Offered {
    rtc: Rtc,
    offer: SdpOffer,
    pending: SdpPendingOffer,
    sections: Vec<(Mid, Shape)>,
}

impl Client {
    pub(super) async fn live_by_sdp(&mut self, server: SocketAddr) -> Result<(), Failure> {
        let flow = if self.common.config.target == Target::Whip { Flow::Out } else { Flow::In };
        let mut ending = self.over.clone();
        let begun = tokio::select! {
            begun = self.begin_by_sdp(server, flow) => begun,
            () = over(&mut ending) => return Err(Failure::new(self.at(), "not done when the run ended")),
        };
        let (leg, resource) = begun?;
        let stayed = self.stay_by_sdp(leg, flow).await;
        if let Some(resource) = resource {
            // A server that does not listen any more needs no goodbye.
            let deadline = Instant::now() + GOODBYE;
            let _ = self.request(server, Method::DELETE, &resource, None, deadline).await;
        }
        stayed
    }

    async fn begin_by_sdp(&mut self, server: SocketAddr, flow: Flow) -> Result<(LegNumber, Option<String>), Failure> {
        self.set_at(Stage::Connect);
        let deadline = Instant::now() + self.timeout();
        let failed = |reason: String| Failure::new(Stage::Transport, reason);
        let (socket, local) = socket(&self.common, self.index, server).await?;
        let Offered { mut rtc, offer, pending, sections } = self.offer(flow, local).map_err(failed)?;
        let endpoint = if flow == Flow::Out { "whip" } else { "whep" };
        let path = format!("/{endpoint}/{}", percent_encoded(&self.part.room));
        let answer = self.request(server, Method::POST, &path, Some(offer.to_sdp_string()), deadline).await?;
        if answer.status != StatusCode::CREATED {
            let why: String = answer.body.lines().next().unwrap_or_default().chars().take(200).collect();
            return Err(Failure::new(Stage::Join, format!("refused: {} {why}", answer.status)));
        }
        self.set_at(Stage::Transport);
        let new_tracks = guard::guarded(|| {
            let sdp = SdpAnswer::from_sdp_string(&answer.body)
                .map_err(|_| "the server's answer cannot be read as SDP".to_owned())?;
            rtc.sdp_api().accept_answer(pending, sdp).map_err(|error| format!("cannot take the answer: {error}"))?;
            Ok(sections
                .iter()
                .filter_map(|(mid, shape)| {
                    let mut api = rtc.direct_api();
                    let stream = api.stream_tx_by_mid(*mid, None)?;
                    let (ssrc, rtx_ssrc) = (*stream.ssrc(), stream.rtx().map(|rtx| *rtx));
                    Some(NewTrack { id: self.next_track(), mid: *mid, rid: None, ssrc, rtx_ssrc, shape: *shape })
                })
                .collect::<Vec<_>>())
        })
        .map_err(failed)?;
        let leg = self.hand_over(rtc, flow, socket, local, String::new());
        if flow == Flow::Out {
            if new_tracks.is_empty() {
                return Err(Failure::new(Stage::Produce, "the server's answer takes neither audio nor video"));
            }
            self.told.producers_created += new_tracks.len() as u64;
            self.command(Command::Publish { leg, tracks: new_tracks });
        }
        Ok((leg, answer.location.and_then(|location| path_of(&location))))
    }

    fn offer(&self, flow: Flow, local: SocketAddr) -> Result<Offered, String> {
        let config = &self.common.config;
        let mut rtc = rtc(&self.common, flow, local)?;
        let direction = if flow == Flow::Out { Direction::SendOnly } else { Direction::RecvOnly };
        // A receiver gets a track for each section.
        let count = |cap: usize| if flow == Flow::Out { 1 } else { cap.min(config.clients.max(1)) };
        let mut wanted = Vec::new();
        if config.audio {
            let sections = std::iter::repeat_n((RtcKind::Audio, tracks::audio(config)), count(config.max_audio));
            wanted.extend(sections);
        }
        if config.video {
            let sections = std::iter::repeat_n((RtcKind::Video, tracks::video(config)), count(config.max_video));
            wanted.extend(sections);
        }
        let mut changes = rtc.sdp_api();
        let mut sections = Vec::new();
        for (kind, shape) in wanted {
            sections.push((changes.add_media(kind, direction, None, None, None), shape));
        }
        let (offer, pending) = changes.apply().ok_or("nothing to offer")?;
        Ok(Offered { rtc, offer, pending, sections })
    }

    async fn stay_by_sdp(&mut self, leg: LegNumber, flow: Flow) -> Result<(), Failure> {
        let (since, limit) = (Instant::now(), self.timeout());
        let mut ending = self.over.clone();
        let mut tick = interval(TICK);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let (mut flows, mut complained) = (false, false);
        loop {
            tokio::select! {
                biased;
                () = over(&mut ending) => break,
                Some(event) = self.legs.events.recv() => {
                    self.legs.note(&event);
                    match event.what {
                        Happened::Ended { reason } if event.leg == leg => {
                            return Err(Failure::new(self.stage_of(leg), format!("the transport has ended: {reason}")));
                        }
                        Happened::IceDown if event.leg == leg => {
                            let failure = Failure::new(Stage::Ice, "connectivity checks are not answered any more");
                            match self.told.connected_after {
                                Some(_) => self.lost(&failure, Instant::now(), flow == Flow::In),
                                None => self.fail(&failure),
                            }
                        }
                        Happened::IceUp if event.leg == leg && flow == Flow::Out => self.back(),
                        Happened::Sent => flows = true,
                        Happened::Received { .. } => {
                            flows = true;
                            match self.out {
                                Some(_) => self.back(),
                                None => self.told.consumers_created += 1,
                            }
                        }
                        _ => {}
                    }
                }
                _ = tick.tick() => {}
            }
            let up = self.legs.all.get(&leg).is_some_and(|state| state.up);
            if up && flows {
                self.connected();
            }
            if Instant::now() > since + limit && !complained {
                if !up {
                    let reason = format!("not up within {} s", limit.as_secs_f64());
                    return Err(Failure::new(self.stage_of(leg), reason));
                }
                if !flows && flow == Flow::In {
                    complained = true;
                    let reason = format!("nothing came of the room within {} s", limit.as_secs_f64());
                    self.fail(&Failure::new(Stage::Media, reason));
                }
            }
        }
        if !flows && !complained {
            return Err(Failure::new(self.stage_of(leg), "no media when the run ended"));
        }
        Ok(())
    }

    /// What a leg has not got beyond.
    pub(super) fn stage_of(&self, leg: LegNumber) -> Stage {
        match self.legs.all.get(&leg) {
            Some(state) if state.up => Stage::Media,
            Some(state) if state.ice_up => Stage::Dtls,
            _ => Stage::Ice,
        }
    }

    /// One request on a connection of its own.
    async fn request(
        &self,
        server: SocketAddr,
        method: Method,
        path: &str,
        offer: Option<String>,
        deadline: Instant,
    ) -> Result<Answer, Failure> {
        let failed = |error: &dyn std::fmt::Display| Failure::new(Stage::Connect, format!("{method} {path}: {error}"));
        let stream = wire::tcp(&self.common, self.index, server, deadline).await?;
        let authority = self.common.config.server.parse::<Uri>().ok();
        let authority = authority.and_then(|url| url.authority().map(ToString::to_string)).unwrap_or_default();
        let mut request = Request::builder().method(method.clone()).uri(path).header(HOST, authority);
        if let Some(token) = &self.common.config.token {
            request = request.header(AUTHORIZATION, format!("Bearer {token}"));
        }
        if offer.is_some() {
            request = request.header(CONTENT_TYPE, "application/sdp");
        }
        let request = request.body(Full::new(Bytes::from(offer.unwrap_or_default())));
        let request = request.map_err(|error| failed(&error))?;
        let exchange = async {
            let (mut sender, connection) =
                hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.map_err(|error| failed(&error))?;
            let driven = tokio::spawn(connection);
            let response = sender.send_request(request).await.map_err(|error| failed(&error))?;
            let (head, body) = response.into_parts();
            let body = Limited::new(body, LONGEST).collect().await.map_err(|error| failed(&error))?.to_bytes();
            driven.abort();
            let location = head.headers.get(LOCATION).and_then(|value| value.to_str().ok()).map(str::to_owned);
            let body = String::from_utf8(body.to_vec()).map_err(|_| failed(&"the answer is no UTF-8"))?;
            Ok(Answer { status: head.status, location, body })
        };
        timeout_at(deadline, exchange).await.unwrap_or_else(|_| Err(failed(&"no answer in time")))
    }
}

/// The path of an address that may be whole or relative to the server.
fn path_of(location: &str) -> Option<String> {
    let url: Uri = location.parse().ok()?;
    url.path_and_query().map(ToString::to_string)
}

/// A name as a segment of a path (RFC 3986, section 2.1).
fn percent_encoded(name: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
    let encode = |byte: u8| if plain(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") };
    name.bytes().map(encode).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_encoded_and_locations_may_be_whole_or_relative() {
        assert_eq!(percent_encoded("a b/é"), "a%20b%2F%C3%A9");
        for location in ["http://host:1/whip/room/7", "/whip/room/7"] {
            assert_eq!(path_of(location).as_deref(), Some("/whip/room/7"));
        }
    }
}
