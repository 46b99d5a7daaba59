use super::chat::Chat;
use super::peer::{pump_until, vp8};
use super::{metric, serve};
use crate::serve::ServeConfig;
use crate::signal::ClientMessage;
use crate::signal::rtp::{MediaKind, RtpEncodingParameters};

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
    let prefer = |spatial_layer| ClientMessage::SetConsumerPreferredLayers {
        consumer_id: consumer.clone(),
        spatial_layer,
        temporal_layer: None,
    };
    subscriber.send(&prefer(0));
    subscriber.resume(&consumer);
    pump_until("both connected", [&mut out, &mut input], |peers| peers.iter().all(|peer| peer.connected));

    // Frames of both layers, until frames of the wanted layer have come through; a layer's frame is a
    // key frame when one is asked for. The number tells layer and frame.
    let mut frame = [0_u32; 2];
    let mut publish_until =
        |what: &str, out: &mut super::peer::Peer, input: &mut super::peer::Peer, layer: u32, count| {
            let already = input.of(ssrc).len();
            pump_until(what, [out, input], |[out, input]| {
                let mut key = [false; 2];
                while let Some(request) = out.key_frames_asked.pop_front() {
                    key[usize::from(request.rid == Some("f".into()))] = true;
                }
                for (index, (of, _)) in layers.iter().enumerate() {
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
        };
    publish_until("the small layer", &mut out, &mut input, 0, 20);
    subscriber.send(&prefer(1));
    publish_until("the large layer", &mut out, &mut input, 1, 20);
    subscriber.send(&prefer(0));
    publish_until("the small layer again", &mut out, &mut input, 0, 20);

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
