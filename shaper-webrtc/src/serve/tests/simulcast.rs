use str0m::change::SdpAnswer;
use str0m::media::{Direction, MediaKind as RtcKind, Simulcast, SimulcastLayer};
use str0m::rtp::Ssrc;

use super::chat::Chat;
use super::http::request;
use super::peer::{Peer, pump_until, vp8};
use super::sdp::SDP;
use super::{metric, serve};
use crate::serve::ServeConfig;
use crate::signal::ClientMessage;
use crate::signal::rtp::{MediaKind, RtpEncodingParameters};

/// A publisher of two layers.
struct Layers {
    out: Peer,
    ssrcs: [u32; 2],
    /// The number of the next frame of each.
    frame: [u32; 2],
}

impl Layers {
    fn new(out: Peer, ssrcs: [u32; 2]) -> Self {
        Self { out, ssrcs, frame: [0; 2] }
    }

    /// Frames of both layers, until so many of the wanted layer have come through; a layer's frame is a
    /// key frame when one is asked for. The number tells layer and frame.
    fn publish_until(&mut self, what: &str, input: &mut Peer, ssrc: Ssrc, layer: u32, count: usize) {
        let already = input.of(ssrc).len();
        let Self { out, ssrcs, frame } = self;
        pump_until(what, [out, input], |[out, input]| {
            let mut key = [false; 2];
            while let Some(request) = out.key_frames_asked.pop_front() {
                key[usize::from(request.rid == Some("f".into()))] = true;
            }
            for (index, of) in ssrcs.iter().enumerate() {
                let number = &mut frame[index];
                let picture_id = (*number as u16 + if index == 0 { 100 } else { 30_000 }) & 0x7fff;
                let tagged = u32::try_from(index).unwrap() << 24 | *number;
                let sequence = u64::from(*number) + if index == 0 { 7 } else { 50_000 };
                out.write(*of, 96, sequence, *number * 3000, vp8(picture_id, key[index] || *number == 0, tagged));
                *number += 1;
            }
            let layer_of = |payload: &[u8]| u32::from(payload[5]);
            let last = input.of(ssrc).split_off(already.min(input.of(ssrc).len()));
            last.iter().filter(|packet| layer_of(&packet.payload) == layer).count() >= count
        });
    }
}

fn prefer(consumer: &str, spatial_layer: u8) -> ClientMessage {
    ClientMessage::SetConsumerPreferredLayers { consumer_id: consumer.to_owned(), spatial_layer, temporal_layer: None }
}

/// Layers are known by restriction identifiers alone, whose numbers have nothing in common.
#[test]
fn a_receiver_gets_the_layer_that_it_prefers_as_one_continuous_stream() {
    let server = serve(ServeConfig::default());
    let mut subscriber = Chat::joined(&server, "room", "subscriber");
    let (_, mut input) = subscriber.receiver();
    let mut publisher = Chat::joined(&server, "room", "publisher");
    let (transport, mut out) = publisher.sender();
    let layers = [(10, "q"), (20, "f")];
    out.declare_out("0", MediaKind::Video, &layers.map(|(ssrc, rid)| (ssrc, Some(ssrc + 1), Some(rid))));
    let encodings =
        layers.map(|(_, rid)| RtpEncodingParameters { rid: Some(rid.to_owned()), ..RtpEncodingParameters::default() });
    publisher.produce(&transport, "0", 96, encodings.to_vec());
    let (consumer, kind, parameters) = subscriber.consume_next();
    assert_eq!(parameters.encodings.len(), 1);
    let ssrc = input.declare_in(kind, &parameters);
    subscriber.send(&prefer(&consumer, 0));
    subscriber.resume(&consumer);
    pump_until("both connected", [&mut out, &mut input], |peers| peers.iter().all(|peer| peer.connected));
    let mut layers = Layers::new(out, layers.map(|(ssrc, _)| ssrc));
    layers.publish_until("the small layer", &mut input, ssrc, 0, 20);
    subscriber.send(&prefer(&consumer, 1));
    layers.publish_until("the large layer", &mut input, ssrc, 1, 20);
    subscriber.send(&prefer(&consumer, 0));
    layers.publish_until("the small layer again", &mut input, ssrc, 0, 20);

    let packets = input.of(ssrc);
    let mut switches = 0;
    for two in packets.windows(2) {
        assert_eq!(*two[1].seq_no, *two[0].seq_no + 1);
        let picture_id = |index: usize| u16::from_be_bytes([two[index].payload[2], two[index].payload[3]]) & 0x7fff;
        assert_eq!(picture_id(1), (picture_id(0) + 1) & 0x7fff);
        assert!(two[1].header.timestamp.wrapping_sub(two[0].header.timestamp) < 1 << 31, "time goes on");
        if two[0].payload[5] != two[1].payload[5] {
            switches += 1;
            assert_eq!(two[1].payload[4], 0x10, "layers change at key frames");
        }
    }
    assert_eq!(switches, 2);
    assert_eq!(metric(&server, "layer_switches_total"), 2);
}

/// As a browser offers it, by `a=rid` and `a=simulcast`.
#[test]
fn layers_that_are_published_by_whip_are_chosen_from() {
    let server = serve(ServeConfig::default());
    let mut subscriber = Chat::joined(&server, "room", "subscriber");
    let (_, mut input) = subscriber.receiver();
    let mut out = Peer::new();
    let rids = ["q", "f"];
    let simulcast = Simulcast { send: rids.map(SimulcastLayer::new).to_vec(), recv: Vec::new() };
    let mut changes = out.rtc.sdp_api();
    let mid = changes.add_media(RtcKind::Video, Direction::SendOnly, None, None, Some(simulcast));
    let (offer, pending) = changes.apply().unwrap();
    let answer = request(&server, "POST /whip/room", &[SDP], &offer.to_sdp_string());
    assert_eq!(answer.status, 201, "{}", answer.body);
    assert!(answer.body.contains("\r\na=simulcast:recv q;f\r\n"), "{}", answer.body);
    let sdp = SdpAnswer::from_sdp_string(&answer.body).unwrap();
    out.rtc.sdp_api().accept_answer(pending, sdp).unwrap();
    let mut api = out.rtc.direct_api();
    let ssrcs = rids.map(|rid| *api.stream_tx_by_mid(mid, Some(rid.into())).unwrap().ssrc());

    let (consumer, kind, parameters) = subscriber.consume_next();
    let ssrc = input.declare_in(kind, &parameters);
    subscriber.send(&prefer(&consumer, 0));
    subscriber.resume(&consumer);
    pump_until("both connected", [&mut out, &mut input], |peers| peers.iter().all(|peer| peer.connected));
    let mut layers = Layers::new(out, ssrcs);
    layers.publish_until("the small layer", &mut input, ssrc, 0, 20);
    subscriber.send(&prefer(&consumer, 1));
    layers.publish_until("the large layer", &mut input, ssrc, 1, 20);
    assert_eq!(metric(&server, "layer_switches_total"), 1);
}
