use std::collections::BTreeSet;

use str0m::media::KeyframeRequestKind;
use str0m::rtp::Ssrc;

use super::chat::{Chat, encoding};
use super::peer::{Loss, Peer, credentials, pump_until, vp8};
use super::{counts, metric, serve, until};
use crate::rtp_header::rtp_numbers;
use crate::serve::{Faults, Record, ServeConfig, Server, read_map_log};
use crate::signal::rtp::MediaKind;
use crate::signal::{ClientMessage, ServerMessage};

pub(super) const AUDIO: u32 = 1111;
pub(super) const VIDEO: u32 = 2222;
pub(super) const VIDEO_RTX: u32 = 3333;

/// A publisher of Opus and VP8 and a subscriber to both, connected, with consumers resumed.
pub(super) struct Pair {
    publisher: Chat,
    pub(super) out: Peer,
    subscriber: Chat,
    pub(super) input: Peer,
    input_transport: String,
    pub(super) audio: Ssrc,
    pub(super) video: Ssrc,
    video_consumer: String,
}

impl Pair {
    pub(super) fn connect(server: &Server) -> Self {
        let mut subscriber = Chat::joined(server, "room", "subscriber");
        let (input_transport, mut input) = subscriber.receiver();
        let mut publisher = Chat::joined(server, "room", "publisher");
        let (transport, mut out) = publisher.sender();
        out.declare_out("0", MediaKind::Audio, &[(AUDIO, None, None)]);
        out.declare_out("1", MediaKind::Video, &[(VIDEO, Some(VIDEO_RTX), None)]);
        publisher.produce(&transport, "0", 111, encoding(AUDIO, None));
        publisher.produce(&transport, "1", 96, encoding(VIDEO, Some(VIDEO_RTX)));
        let (audio_consumer, kind, parameters) = subscriber.consume_next();
        assert_eq!(kind, MediaKind::Audio);
        let audio = input.declare_in(kind, &parameters);
        let (video_consumer, kind, parameters) = subscriber.consume_next();
        assert_eq!(kind, MediaKind::Video);
        let video = input.declare_in(kind, &parameters);
        subscriber.resume(&audio_consumer);
        subscriber.resume(&video_consumer);
        pump_until("both connected", [&mut out, &mut input], |peers| peers.iter().all(|peer| peer.connected));
        // The server asks for a key frame once the receiver is up, and not before.
        pump_until("the first key frame asked for", [&mut out, &mut input], |[out, _]| {
            out.key_frames_asked.pop_front().is_some()
        });
        Self { publisher, out, subscriber, input, input_transport, audio, video, video_consumer }
    }

    /// Sends so many packets of each kind, the first of video a key frame.
    pub(super) fn publish(&mut self, from: u32, count: u32) {
        for number in from..from + count {
            self.out.write(AUDIO, 111, u64::from(number) + 100, number * 960, number.to_be_bytes().to_vec());
            let payload = vp8(number as u16 & 0x7fff, number == from, number);
            self.out.write(VIDEO, 96, u64::from(number) + 200, number * 3000, payload);
            self.out.pump();
            self.input.pump();
        }
    }

    fn received(&self) -> (usize, usize) {
        (self.input.of(self.audio).len(), self.input.of(self.video).len())
    }

    pub(super) fn pump_until_received(&mut self, audio: usize, video: usize) {
        let (audio_ssrc, video_ssrc) = (self.audio, self.video);
        pump_until("all packets", [&mut self.out, &mut self.input], |[_, input]| {
            input.of(audio_ssrc).len() >= audio && input.of(video_ssrc).len() >= video
        });
    }

    /// Numbers of what came, as the payloads hold them.
    fn video_numbers(&self) -> Vec<u32> {
        let number = |payload: &[u8]| u32::from_be_bytes(payload[5..9].try_into().unwrap());
        self.input.of(self.video).iter().map(|packet| number(&packet.payload)).collect()
    }
}

#[test]
fn every_packet_arrives_in_order_with_its_payload_and_the_log_maps_each() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("map");
    let server = serve(ServeConfig { map_log: Some(path.clone()), ..ServeConfig::default() });
    let mut pair = Pair::connect(&server);
    pair.publish(0, 200);
    pair.pump_until_received(200, 200);
    assert_eq!(pair.received(), (200, 200));
    let audio: Vec<Vec<u8>> = pair.input.of(pair.audio).iter().map(|packet| packet.payload.to_vec()).collect();
    assert_eq!(audio, (0..200_u32).map(|number| number.to_be_bytes().to_vec()).collect::<Vec<_>>());
    let video: Vec<Vec<u8>> = pair.input.of(pair.video).iter().map(|packet| packet.payload.to_vec()).collect();
    assert_eq!(video, (0..200_u32).map(|number| vp8(number as u16, number == 0, number)).collect::<Vec<_>>());
    let sequences: Vec<u64> = pair.input.of(pair.video).iter().map(|packet| *packet.seq_no).collect();
    assert!(sequences.windows(2).all(|two| two[1] == two[0] + 1));
    counts(&server, "rtp_forwarded_total", 400);
    assert_eq!(metric(&server, "datagrams_send_failed_total"), 0);
    let (audio_out, video_out) = (*pair.audio, *pair.video);
    let (publisher, subscriber) = (pair.publisher.id.clone(), pair.subscriber.id.clone());
    server.stop().unwrap();

    let records: Vec<Record> = read_map_log(&path).unwrap().map(Result::unwrap).collect();
    let leg_of = |wanted: &str, goes_out: bool| {
        let found = records.iter().find_map(|record| match record {
            Record::Leg { leg, out, participant, .. }
                if *out == goes_out && format!("{participant:016x}") == wanted =>
            {
                Some(*leg)
            }
            _ => None,
        });
        found.unwrap()
    };
    let (leg_in, leg_out) = (leg_of(&publisher, false), leg_of(&subscriber, true));
    let mut seen = BTreeSet::new();
    for record in &records {
        let Record::Forwarded(packet) = record else { continue };
        assert_eq!((packet.leg_in, packet.leg_out), (leg_in, leg_out));
        assert!(packet.time_in_ns > 0 && packet.time_in_ns <= packet.time_out_ns);
        let (ssrc_in, ssrc_out, first) = if packet.video { (VIDEO, video_out, 200) } else { (AUDIO, audio_out, 100) };
        assert_eq!((packet.ssrc_in, packet.ssrc_out), (ssrc_in, ssrc_out));
        assert_eq!(packet.key_frame, packet.video && packet.sequence_in == first);
        assert_eq!(packet.payload_bytes, if packet.video { 209 } else { 4 });
        assert!(u64::from(packet.datagram_bytes) > packet.payload_bytes + 12);
        seen.insert((packet.video, packet.sequence_in));
        if packet.video {
            let received = sequences[usize::from(packet.sequence_in) - 200];
            assert_eq!(u64::from(packet.sequence_out), received & 0xffff);
        }
    }
    assert_eq!(seen.len(), 400);
    assert!(records.iter().any(|record| matches!(record, Record::Clock { .. })));
}

#[test]
fn a_publisher_may_change_its_ssrcs_and_receivers_see_one_stream() {
    let server = serve(ServeConfig::default());
    let mut pair = Pair::connect(&server);
    pair.publish(0, 20);
    pair.pump_until_received(20, 20);
    pair.out.change_ssrc("0", AUDIO, 4444);
    pair.out.change_ssrc("1", VIDEO, 5555);
    for number in 20..40_u32 {
        // Numbers that begin anew, below those before.
        let sequence = u64::from(number - 19);
        pair.out.write(4444, 111, sequence, number * 7, number.to_be_bytes().to_vec());
        pair.out.write(5555, 96, sequence, number * 5, vp8(number as u16, number == 22, number));
        pair.out.pump();
        pair.input.pump();
    }
    // Video goes on at the key frame.
    pair.pump_until_received(40, 38);
    assert_eq!(pair.video_numbers(), (0..20).chain(22..40).collect::<Vec<_>>());
    for ssrc in [pair.audio, pair.video] {
        let packets = pair.input.of(ssrc);
        for two in packets.windows(2) {
            assert_eq!(*two[1].seq_no, *two[0].seq_no + 1);
            assert!(two[1].header.timestamp.wrapping_sub(two[0].header.timestamp) < 1 << 31, "time goes on");
        }
    }
}

/// Loses one datagram of an SSRC: the nth.
fn lose_nth(ssrc: u32, nth: usize) -> Loss {
    let mut seen = 0;
    Box::new(move |datagram| {
        let of_ssrc = rtp_numbers(datagram).is_some_and(|(of, _)| of == ssrc);
        seen += usize::from(of_ssrc);
        of_ssrc && seen == nth
    })
}

#[test]
fn what_is_lost_on_the_way_to_the_receiver_is_sent_again_by_the_server() {
    let server = serve(ServeConfig::default());
    let mut pair = Pair::connect(&server);
    pair.input.lost_in = lose_nth(*pair.video, 10);
    pair.publish(0, 100);
    pair.pump_until_received(100, 100);
    let numbers: BTreeSet<u32> = pair.video_numbers().into_iter().collect();
    assert_eq!(numbers, (0..100).collect());
    until(&server, "a retransmission", |server| metric(server, "rtp_retransmitted_total") >= 1);
    // The publisher was not asked.
    counts(&server, "rtp_forwarded_total", 200);
}

#[test]
fn what_is_lost_on_the_way_to_the_server_is_asked_for_by_it_and_sent_on() {
    let server = serve(ServeConfig::default());
    let mut pair = Pair::connect(&server);
    pair.out.lost_out = lose_nth(VIDEO, 10);
    pair.publish(0, 100);
    pair.pump_until_received(100, 100);
    let numbers: BTreeSet<u32> = pair.video_numbers().into_iter().collect();
    assert_eq!(numbers, (0..100).collect());
    counts(&server, "rtp_received_total", 200);
}

#[test]
fn lost_sound_is_not_asked_for_since_signalling_names_no_nack_for_it() {
    let server = serve(ServeConfig::default());
    let mut pair = Pair::connect(&server);
    let (mut audio, mut video) = (lose_nth(AUDIO, 10), lose_nth(VIDEO, 10));
    pair.out.lost_out = Box::new(move |datagram| audio(datagram) || video(datagram));
    pair.publish(0, 100);
    pair.pump_until_received(99, 100);
    let asked = |out: &Peer, mid: &str| out.nacks.get(&mid.into()).copied().unwrap_or_default();
    pump_until("video asked for", [&mut pair.out, &mut pair.input], |[out, _]| asked(out, "1").0 > 0);
    let told = asked(&pair.out, "0").1;
    pump_until("what is told next of sound", [&mut pair.out, &mut pair.input], |[out, _]| asked(out, "0").1 > told + 1);
    assert_eq!(asked(&pair.out, "0").0, 0);
}

#[test]
fn a_fault_of_the_servers_own_loses_packets_that_nobody_can_repair() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("map");
    let faults = Faults { drop_media_ppm: 100_000, seed: 3 };
    let server = serve(ServeConfig { faults, map_log: Some(path.clone()), ..ServeConfig::default() });
    let mut pair = Pair::connect(&server);
    pair.publish(0, 200);
    pump_until("all that the server sends", [&mut pair.out, &mut pair.input], |[_, input]| {
        input.received.len() as u64 == metric(&server, "rtp_forwarded_total")
            && metric(&server, "rtp_received_total") == 400
    });
    let received = pair.input.received.len();
    assert!((300..400).contains(&received), "{received} of 400 with a tenth dropped");
    server.stop().unwrap();
    let forwarded = read_map_log(&path).unwrap().filter(|record| matches!(record, Ok(Record::Forwarded(_)))).count();
    assert_eq!(forwarded, received);
}

#[test]
fn a_receivers_request_for_a_key_frame_reaches_the_publisher() {
    let server = serve(ServeConfig::default());
    let mut pair = Pair::connect(&server);
    pair.publish(0, 10);
    pair.pump_until_received(10, 10);
    pair.out.key_frames_asked.clear();
    let video = pair.video;
    pair.input.rtc.direct_api().stream_rx(&video).unwrap().request_keyframe(KeyframeRequestKind::Pli);
    pump_until("the request", [&mut pair.out, &mut pair.input], |[out, _]| {
        out.key_frames_asked.pop_front().is_some_and(|request| *request.mid == *"1")
    });
}

#[test]
fn a_consumer_that_was_paused_goes_on_at_a_key_frame_without_a_gap_in_its_numbers() {
    let server = serve(ServeConfig::default());
    let mut pair = Pair::connect(&server);
    pair.publish(0, 20);
    pair.pump_until_received(20, 20);
    let consumer_id = pair.video_consumer.clone();
    let paused = pair.subscriber.ask(&ClientMessage::PauseConsumer { consumer_id: consumer_id.clone() });
    assert_eq!(paused, ServerMessage::ConsumerPaused { consumer_id: consumer_id.clone() });
    pair.publish(20, 20);
    pair.pump_until_received(40, 20);
    pair.out.key_frames_asked.clear();
    pair.subscriber.resume(&consumer_id);
    pump_until("a key frame asked for", [&mut pair.out, &mut pair.input], |[out, _]| {
        out.key_frames_asked.pop_front().is_some()
    });
    pair.publish(40, 20);
    pair.pump_until_received(60, 40);
    let numbers = pair.video_numbers();
    assert_eq!(numbers, (0..20).chain(40..60).collect::<Vec<_>>());
    let sequences: Vec<u64> = pair.input.of(pair.video).iter().map(|packet| *packet.seq_no).collect();
    assert!(sequences.windows(2).all(|two| two[1] == two[0] + 1), "{sequences:?}");
    let ids: Vec<u16> = pair
        .input
        .of(pair.video)
        .iter()
        .map(|packet| u16::from_be_bytes([packet.payload[2], packet.payload[3]]) & 0x7fff)
        .collect();
    assert_eq!(ids, (0..40).collect::<Vec<_>>());
}

#[test]
fn ice_is_restarted_when_the_client_uses_the_new_credentials_and_media_goes_on() {
    let server = serve(ServeConfig::default());
    let mut pair = Pair::connect(&server);
    pair.publish(0, 10);
    let transport_id = pair.input_transport.clone();
    let answer = pair.subscriber.ask(&ClientMessage::RestartIce { transport_id: transport_id.clone() });
    let ServerMessage::IceRestarted { transport_id: of, ice_parameters } = answer else { panic!("{answer:?}") };
    assert_eq!(of, transport_id);
    pair.publish(10, 10);
    let before = metric(&server, "datagrams_unknown_total");
    let mut api = pair.input.rtc.direct_api();
    api.set_local_ice_credentials(str0m::ice::IceCreds::new());
    api.set_remote_ice_credentials(credentials(&ice_parameters));
    pair.publish(20, 10);
    pair.pump_until_received(30, 30);
    // A check of the client's goes out every few seconds at least.
    let sent = std::cell::Cell::new(0_u32);
    let seen = std::rc::Rc::new(sent);
    let counted = std::rc::Rc::clone(&seen);
    pair.input.lost_in = Box::new(move |datagram| {
        let is_success = datagram.first_chunk() == Some(&[1, 1]);
        counted.set(counted.get() + u32::from(is_success));
        false
    });
    pump_until("a check that is answered", [&mut pair.out, &mut pair.input], |_| seen.get() > 0);
    assert_eq!(metric(&server, "datagrams_unknown_total"), before);
    pair.publish(30, 10);
    pair.pump_until_received(40, 40);
}

/// A STUN Binding request whose integrity does not hold.
fn forged(username: &str) -> Vec<u8> {
    let mut datagram = vec![0, 1, 0, 0, 0x21, 0x12, 0xa4, 0x42];
    datagram.extend([7; 12]);
    // USERNAME, PRIORITY, ICE-CONTROLLING, MESSAGE-INTEGRITY.
    for (kind, value) in [(6_u16, username.as_bytes()), (0x24, &[1; 4]), (0x802a, &[1; 8]), (8, &[0; 20])] {
        datagram.extend(kind.to_be_bytes());
        datagram.extend(u16::try_from(value.len()).unwrap().to_be_bytes());
        datagram.extend(value);
        datagram.resize(datagram.len().next_multiple_of(4), 0);
    }
    let length = u16::try_from(datagram.len() - 20).unwrap().to_be_bytes();
    datagram[2..4].copy_from_slice(&length);
    datagram
}

#[test]
fn a_forged_check_does_not_complete_a_restart() {
    let server = serve(ServeConfig::default());
    let mut pair = Pair::connect(&server);
    let transport_id = pair.input_transport.clone();
    let answer = pair.subscriber.ask(&ClientMessage::RestartIce { transport_id });
    let ServerMessage::IceRestarted { ice_parameters, .. } = answer else { panic!("{answer:?}") };
    let before = metric(&server, "datagrams_unknown_total");
    // From the very address that media goes to.
    pair.input.send_raw(&forged(&format!("{}:forger", ice_parameters.username_fragment)), server.media()[0]);
    pump_until("its refusal", [&mut pair.out, &mut pair.input], |_| {
        metric(&server, "datagrams_unknown_total") > before
    });
    // The old credentials still hold.
    let answered = std::rc::Rc::new(std::cell::Cell::new(0_u32));
    let counted = std::rc::Rc::clone(&answered);
    pair.input.lost_in = Box::new(move |datagram| {
        counted.set(counted.get() + u32::from(datagram.first_chunk() == Some(&[1, 1])));
        false
    });
    pump_until("a check that is answered", [&mut pair.out, &mut pair.input], |_| answered.get() > 0);
    let mut api = pair.input.rtc.direct_api();
    api.set_local_ice_credentials(str0m::ice::IceCreds::new());
    api.set_remote_ice_credentials(credentials(&ice_parameters));
    pair.publish(0, 10);
    pair.pump_until_received(10, 10);
    assert_eq!(metric(&server, "datagrams_unknown_total"), before + 1);
}

#[test]
fn a_server_that_stops_says_goodbye_on_every_transport() {
    let server = serve(ServeConfig::default());
    let mut pair = Pair::connect(&server);
    let stopping = std::thread::spawn(move || server.stop());
    pump_until("DTLS closed", [&mut pair.out, &mut pair.input], |peers| peers.iter().all(|peer| peer.closed));
    stopping.join().unwrap().unwrap();
}

#[test]
fn rooms_in_different_shards_both_work() {
    let server = serve(ServeConfig { threads: 2, ..ServeConfig::default() });
    assert_eq!(server.media().len(), 2);
    let mut other = Chat::joined(&server, "elsewhere", "somebody");
    let (_, mut elsewhere) = other.receiver();
    let mut pair = Pair::connect(&server);
    pair.publish(0, 10);
    pair.pump_until_received(10, 10);
    pump_until("connected", [&mut elsewhere], |[peer]| peer.connected);
}
