//! Sessions of WHIP and WHEP: how they begin, what viewers are fed with, and that nothing stays behind.

use std::io::Write;
use std::net::TcpStream;

use str0m::change::SdpAnswer;
use str0m::media::{Direction, MediaKind as RtcKind};
use str0m::rtp::ExtensionMap;

use super::chat::{Chat, encoding};
use super::http::request;
use super::peer::{Peer, pump_until, vp8};
use super::sdp::{SDP, offered};
use super::{counts, metric, serve, until};
use crate::serve::ServeConfig;
use crate::serve::shard::command::Command;
use crate::signal::codecs::{codec_parameters, extension_parameters};
use crate::signal::rtp::{MediaKind, RtpParameters};
use crate::signal::{ClientMessage, ServerMessage};

/// An offer with audio and video.
fn offer(direction: Direction) -> String {
    let mut peer = Peer::new();
    let mut changes = peer.rtc.sdp_api();
    changes.add_media(RtcKind::Audio, direction, None, None, None);
    changes.add_media(RtcKind::Video, direction, None, None, None);
    changes.apply().unwrap().0.to_sdp_string()
}

#[test]
fn clients_that_hang_up_before_they_are_refused_leave_nothing_behind() {
    let server = serve(ServeConfig::default());
    let offer = offer(Direction::RecvOnly);
    for number in 0..200 {
        let mut stream = TcpStream::connect(server.listening()).unwrap();
        let head = "Host: localhost\r\nContent-Type: application/sdp\r\n";
        let length = offer.len();
        let text = format!("POST /whip/{number} HTTP/1.1\r\n{head}Content-Length: {length}\r\n\r\n{offer}");
        stream.write_all(text.as_bytes()).unwrap();
    }
    // Behind all of them in the queue of connections.
    assert_eq!(request(&server, "POST /whip/last", &[SDP], &offer).status, 422);
    until(&server, "all connections end", |server| metric(server, "http_connections") == 0);
    until(&server, "all participants go", |server| metric(server, "participants") == 0);
    assert_eq!((metric(&server, "rooms"), metric(&server, "transports")), (0, 0));
}

#[test]
fn viewers_are_fed_once_with_each_track_however_fast_tracks_come() {
    const VIEWERS: u64 = 20;
    let server = serve(ServeConfig::default());
    let offer = offer(Direction::RecvOnly);
    for _ in 0..VIEWERS {
        assert_eq!(request(&server, "POST /whep/room", &[SDP], &offer).status, 201);
    }
    let mut publisher = Chat::joined(&server, "room", "publisher");
    let (transport_id, _peer) = publisher.sender();
    let produce = |mid: &str, payload_type, kind, ssrc| ClientMessage::Produce {
        transport_id: transport_id.clone(),
        kind,
        rtp_parameters: RtpParameters {
            mid: Some(mid.to_owned()),
            codecs: codec_parameters(payload_type),
            header_extensions: extension_parameters(kind),
            encodings: encoding(ssrc, None),
            rtcp: None,
        },
        source: None,
    };
    // Neither waits for the other's answer.
    publisher.send(&produce("0", 111, MediaKind::Audio, 1));
    publisher.send(&produce("1", 96, MediaKind::Video, 2));
    until(&server, "all are fed", |server| metric(server, "consumers") >= 2 * VIEWERS);
    // Whatever one of them was still asked for is through when another is fed.
    let fed = request(&server, "POST /whep/room", &[SDP], &offer);
    assert_eq!(fed.status, 201);
    counts(&server, "consumers", 2 * VIEWERS + 2);
}

#[test]
fn a_viewer_gets_another_track_when_one_has_ended() {
    let server = serve(ServeConfig::default());
    let (_viewer, _, _) = offered(&server, "/whep/room", Direction::RecvOnly);
    let (_first, _, first) = offered(&server, "/whip/room", Direction::SendOnly);
    until(&server, "fed by the first", |server| metric(server, "consumers") == 2);
    let mut chat = Chat::joined(&server, "room", "second");
    let (transport, _peer) = chat.sender();
    chat.produce(&transport, "0", 111, encoding(1, None));
    let video = chat.produce(&transport, "1", 96, encoding(2, None));
    counts(&server, "producers", 4);
    request(&server, &format!("DELETE {}", first.header("location").unwrap()), &[], "");
    until(&server, "fed by the second", |server| (metric(server, "producers"), metric(server, "consumers")) == (2, 2));
    for _ in 0..2 {
        chat.event(|event| matches!(event, ServerMessage::ProducerClosed { .. }).then_some(()));
    }
    // Another track of the second's own, for the one that it ends.
    chat.produce(&transport, "2", 96, encoding(3, None));
    assert_eq!((metric(&server, "producers"), metric(&server, "consumers")), (3, 2));
    chat.ask(&ClientMessage::CloseProducer { producer_id: video });
    until(&server, "fed by the third track", |server| {
        (metric(server, "producers"), metric(server, "consumers")) == (2, 2)
    });
}

#[test]
fn a_packet_that_is_too_long_to_be_sent_on_ends_nobody() {
    let server = serve(ServeConfig::default());
    // The longest media identification, which is written into each packet that goes out.
    let mut viewer = Peer::new();
    let mut changes = viewer.rtc.sdp_api();
    let mid = changes.add_media(RtcKind::Video, Direction::RecvOnly, None, None, None).to_string();
    let (offer, pending) = changes.apply().unwrap();
    let long_mid = format!("{mid}{}", "x".repeat(16 - mid.len()));
    let exchanged = |sdp: &str, from: &str, to: &str| {
        let lines = sdp.lines().map(|line| match line.starts_with("a=mid:") || line.starts_with("a=group:") {
            true => line.replace(from, to) + "\r\n",
            false => line.to_owned() + "\r\n",
        });
        lines.collect::<String>()
    };
    let answer = request(&server, "POST /whep/room", &[SDP], &exchanged(&offer.to_sdp_string(), &mid, &long_mid));
    assert_eq!(answer.status, 201, "{}", answer.body);
    let answer = SdpAnswer::from_sdp_string(&exchanged(&answer.body, &long_mid, &mid)).unwrap();
    viewer.rtc.sdp_api().accept_answer(pending, answer).unwrap();

    // And a publisher that has no extensions to write, so that there is more room for payload.
    let mut chat = Chat::joined(&server, "room", "publisher");
    let bare = Peer::with_extensions(ExtensionMap::empty());
    let (transport, mut out) = chat.transport_of(&ClientMessage::CreateSendTransport, bare);
    out.declare_out("0", MediaKind::Video, &[(1, Some(2), None)]);
    chat.produce(&transport, "0", 96, encoding(1, Some(2)));
    pump_until("both connected", [&mut out, &mut viewer], |peers| peers.iter().all(|peer| peer.connected));
    pump_until("a key frame asked for", [&mut out, &mut viewer], |[out, _]| out.key_frames_asked.pop_front().is_some());
    // With header and tag a datagram of 2,000 bytes, which is what the server reads of one.
    let mut long = vp8(0, true, 0);
    long.resize(1968, 0xa5);
    out.write(1, 96, 1, 0, long);
    out.write(1, 96, 2, 3000, vp8(1, true, 1));
    pump_until("the next is sent on", [&mut out, &mut viewer], |_| metric(&server, "rtp_forwarded_total") == 1);
    assert_eq!((metric(&server, "rtp_received_total"), metric(&server, "rtp_too_long_total")), (2, 1));
    assert_eq!((metric(&server, "transports"), metric(&server, "transport_errors_total")), (2, 0));
}

#[test]
fn sections_for_both_directions_are_answered_in_one() {
    let server = serve(ServeConfig::default());
    let offer = offer(Direction::SendRecv);
    for (line, direction) in [("POST /whip/room", "a=recvonly"), ("POST /whep/room", "a=sendonly")] {
        let answer = request(&server, line, &[SDP], &offer);
        assert_eq!(answer.status, 201, "{}", answer.body);
        let with = |wanted: &str| answer.body.lines().filter(|line| *line == wanted).count();
        assert_eq!((with(direction), with("a=sendrecv")), (2, 0), "{}", answer.body);
    }
}

#[test]
fn offers_that_no_shard_should_see_and_answers_that_would_be_no_sdp_are_refused() {
    let server = serve(ServeConfig::default());
    let offer = offer(Direction::SendOnly);
    let (head, sections) = offer.split_at(offer.find("m=").unwrap());
    let section = &sections[..sections.find("\nm=").unwrap() + 1];
    let many = format!("{head}{}", section.repeat(33));
    let refused = request(&server, "POST /whip/room", &[SDP], &many);
    assert_eq!(refused.status, 422);
    assert!(refused.body.contains("32 media sections"), "{}", refused.body);
    let twice = request(&server, "POST /whip/room", &[SDP], &format!("{offer}{section}"));
    assert_eq!(twice.status, 422);
    assert!(twice.body.contains("same a=mid"), "{}", twice.body);
    // Audio of another codec beside video of ours.
    let foreign = offer.replace("opus/48000/2", "L16/44100/2");
    assert_ne!(foreign, offer);
    let refused = request(&server, "POST /whip/room", &[SDP], &foreign);
    assert_eq!((refused.status, metric(&server, "participants")), (422, 0), "{}", refused.body);
}

#[test]
fn a_server_that_has_lost_a_thread_is_not_healthy() {
    let server = serve(ServeConfig { threads: 2, ..ServeConfig::default() });
    assert!(server.runs());
    let (handle, _) = &server.shards[1];
    handle.send(Command::Stop);
    until(&server, "the shard ends", |server| !server.runs());
    let health = request(&server, "GET /health", &[], "");
    assert_eq!(health.status, 503);
    assert!(health.body.contains("has ended"), "{}", health.body);
}
