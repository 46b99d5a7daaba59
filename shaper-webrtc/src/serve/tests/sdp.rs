//! WHIP and WHEP with media.

use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use str0m::change::SdpAnswer;
use str0m::media::{Direction, MediaKind as RtcKind, Mid};

use super::chat::Chat;
use super::http::{Answer, request};
use super::peer::{Peer, pump_until, vp8};
use super::{metric, serve};
use crate::serve::{ServeConfig, Server};
use crate::signal::ServerMessage;
use crate::signal::rtp::MediaKind;

pub(super) const SDP: (&str, &str) = ("Content-Type", "application/sdp");
const FRAGMENT: (&str, &str) = ("Content-Type", "application/trickle-ice-sdpfrag");

/// A peer that has offered audio and video, and been answered.
pub(super) fn offered(server: &Server, path: &str, direction: Direction) -> (Peer, [Mid; 2], Answer) {
    let mut peer = Peer::new();
    let mut changes = peer.rtc.sdp_api();
    let audio = changes.add_media(RtcKind::Audio, direction, None, None, None);
    let video = changes.add_media(RtcKind::Video, direction, None, None, None);
    let (offer, pending) = changes.apply().unwrap();
    let answer = request(server, &format!("POST {path}"), &[SDP], &offer.to_sdp_string());
    assert_eq!(answer.status, 201, "{}", answer.body);
    assert_eq!(answer.header("content-type"), Some("application/sdp"));
    let sdp = SdpAnswer::from_sdp_string(&answer.body).unwrap();
    peer.rtc.sdp_api().accept_answer(pending, sdp).unwrap();
    (peer, [audio, video], answer)
}

#[test]
fn what_is_published_by_whip_is_received_by_whep_whole_and_in_order() {
    let server = serve(ServeConfig::default());
    // The viewer first: it is fed when there is something.
    let (mut viewer, _, seen) = offered(&server, "/whep/room", Direction::RecvOnly);
    let (mut publisher, [audio, video], published) = offered(&server, "/whip/room", Direction::SendOnly);
    assert!(published.header("location").unwrap().starts_with("/whip/room/"));
    assert!(seen.header("location").unwrap().starts_with("/whep/room/"));
    pump_until("both connected", [&mut publisher, &mut viewer], |peers| peers.iter().all(|peer| peer.connected));
    pump_until("a key frame asked for", [&mut publisher, &mut viewer], |[publisher, _]| {
        publisher.key_frames_asked.pop_front().is_some()
    });
    let mut api = publisher.rtc.direct_api();
    let audio_ssrc = *api.stream_tx_by_mid(audio, None).unwrap().ssrc();
    let video_ssrc = *api.stream_tx_by_mid(video, None).unwrap().ssrc();
    for number in 0..100_u32 {
        publisher.write(audio_ssrc, 111, u64::from(number) + 1, number * 960, number.to_be_bytes().to_vec());
        let payload = vp8(number as u16, number == 0, number);
        publisher.write(video_ssrc, 96, u64::from(number) + 1, number * 3000, payload);
        publisher.pump();
        viewer.pump();
    }
    pump_until("all packets", [&mut publisher, &mut viewer], |[_, viewer]| viewer.received.len() >= 200);
    let payloads = |payload_type: u8| -> Vec<Vec<u8>> {
        let of = viewer.received.iter().filter(|packet| *packet.header.payload_type == payload_type);
        of.map(|packet| packet.payload.to_vec()).collect()
    };
    assert_eq!(payloads(111), (0..100_u32).map(|number| number.to_be_bytes().to_vec()).collect::<Vec<_>>());
    assert_eq!(payloads(96), (0..100_u32).map(|number| vp8(number as u16, number == 0, number)).collect::<Vec<_>>());

    let gone = request(&server, &format!("DELETE {}", published.header("location").unwrap()), &[], "");
    assert_eq!(gone.status, 200);
    pump_until("goodbye", [&mut publisher, &mut viewer], |[publisher, _]| publisher.closed);
    assert_eq!((metric(&server, "participants"), metric(&server, "producers")), (1, 0));
}

#[test]
fn who_publishes_by_whip_is_seen_and_heard_in_the_room() {
    let server = serve(ServeConfig::default());
    let mut chat = Chat::joined(&server, "room", "listener");
    let (_, mut input) = chat.receiver();
    let (mut publisher, [audio, _], published) = offered(&server, "/whip/room", Direction::SendOnly);
    let owner = chat.peek(|event| match event {
        ServerMessage::NewProducer { participant_id, .. } => Some(participant_id.clone()),
        _ => None,
    });
    let stranger = request(&server, &format!("DELETE /whip/room/{owner}"), &[], "");
    assert_eq!(stranger.status, 404, "who is told of a participant cannot end it");
    let (consumer, kind, parameters) = chat.consume_next();
    let (consumer, parameters) = match kind {
        MediaKind::Audio => (consumer, parameters),
        MediaKind::Video => {
            let (consumer, _, parameters) = chat.consume_next();
            (consumer, parameters)
        }
    };
    let ssrc = input.declare_in(MediaKind::Audio, &parameters);
    chat.resume(&consumer);
    pump_until("both connected", [&mut publisher, &mut input], |peers| peers.iter().all(|peer| peer.connected));
    let out = *publisher.rtc.direct_api().stream_tx_by_mid(audio, None).unwrap().ssrc();
    for number in 0..50_u32 {
        publisher.write(out, 111, u64::from(number) + 1, number * 960, number.to_be_bytes().to_vec());
        publisher.pump();
        input.pump();
    }
    pump_until("all packets", [&mut publisher, &mut input], |[_, input]| input.of(ssrc).len() == 50);
    request(&server, &format!("DELETE {}", published.header("location").unwrap()), &[], "");
    let closed = chat.event(|event| match event {
        ServerMessage::ProducerClosed { participant_id, .. } => Some(participant_id.clone()),
        _ => None,
    });
    assert_eq!(closed, Some(owner));
}

#[test]
fn a_session_is_patched_under_its_etag_alone_and_restarted_under_any() {
    let server = serve(ServeConfig::default());
    let (mut publisher, _, published) = offered(&server, "/whip/room", Direction::SendOnly);
    pump_until("connected", [&mut publisher], |[publisher]| publisher.connected);
    let (location, etag) = (published.header("location").unwrap(), published.header("etag").unwrap());
    let credentials = "a=ice-ufrag:new1\r\na=ice-pwd:0123456789012345678901\r\n";
    let patch = |headers: &[(&str, &str)], body: &str| request(&server, &format!("PATCH {location}"), headers, body);
    let candidate = "a=candidate:1 1 udp 1 192.0.2.1 9 typ host\r\n";
    assert_eq!(patch(&[FRAGMENT], candidate).status, 428);
    assert_eq!(patch(&[("If-Match", etag)], candidate).status, 415);
    assert_eq!(patch(&[FRAGMENT, ("If-Match", "\"else\"")], candidate).status, 412);
    assert_eq!(patch(&[FRAGMENT, ("If-Match", etag)], candidate).status, 204);
    assert_eq!(patch(&[FRAGMENT, ("If-Match", etag)], "hello").status, 400);
    assert_eq!(patch(&[FRAGMENT, ("If-Match", "*")], candidate).status, 422, "no credentials");
    assert_eq!(patch(&[FRAGMENT, ("If-Match", "\"*\"")], credentials).status, 200, "as RFC 9725 writes it");
    let restart = patch(&[FRAGMENT, ("If-Match", "*")], credentials);
    assert_eq!(restart.status, 200);
    let new = restart.header("etag").unwrap();
    assert_eq!(patch(&[FRAGMENT, ("If-Match", new)], candidate).status, 204, "before any check under it");
    assert_eq!(patch(&[FRAGMENT, ("If-Match", etag)], candidate).status, 412, "of the session before");
    assert!(new != etag && restart.body.contains(&format!("a=ice-ufrag:{}", new.trim_matches('"'))));
    let wrong = request(&server, &format!("DELETE {}", location.replace("/room/", "/other/")), &[], "");
    assert_eq!(wrong.status, 404);
}

#[test]
fn an_offer_that_would_send_nothing_is_refused_and_leaves_nothing_behind() {
    let server = serve(ServeConfig::default());
    let mut peer = Peer::new();
    let mut changes = peer.rtc.sdp_api();
    changes.add_media(RtcKind::Audio, Direction::RecvOnly, None, None, None);
    let (offer, _) = changes.apply().unwrap();
    let answer = request(&server, "POST /whip/room", &[SDP], &offer.to_sdp_string());
    assert_eq!(answer.status, 422, "{}", answer.body);
    assert_eq!((metric(&server, "participants"), metric(&server, "transports")), (0, 0));
}

#[test]
fn offers_that_are_damaged_never_end_the_server() {
    let server = serve(ServeConfig::default());
    let mut peer = Peer::new();
    let mut changes = peer.rtc.sdp_api();
    changes.add_media(RtcKind::Audio, Direction::SendOnly, None, None, None);
    changes.add_media(RtcKind::Video, Direction::SendOnly, None, None, None);
    let (offer, _) = changes.apply().unwrap();
    let whole = offer.to_sdp_string();
    let mut runner = TestRunner::new(Config { cases: 60, ..Config::default() });
    let damage = (any::<prop::sample::Index>(), 0_usize..40, "[ -~\r\n]{0,10}");
    runner
        .run(&damage, |(at, length, instead)| {
            let at = at.index(whole.len());
            let damaged = format!("{}{instead}{}", &whole[..at], &whole[(at + length).min(whole.len())..]);
            let answer = request(&server, "POST /whip/room", &[SDP], &damaged);
            prop_assert!([201, 400, 422].contains(&answer.status), "{} {}", answer.status, answer.body);
            if let Some(location) = answer.header("location") {
                prop_assert_eq!(request(&server, &format!("DELETE {location}"), &[], "").status, 200);
            }
            Ok(())
        })
        .unwrap();
    assert_eq!((metric(&server, "participants"), metric(&server, "transport_errors_total")), (0, 0));
    let (mut publisher, _, _) = offered(&server, "/whip/a%20b", Direction::SendOnly);
    pump_until("connected", [&mut publisher], |[publisher]| publisher.connected);
}
