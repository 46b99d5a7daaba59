//! What is almost right: messages and datagrams of real sessions, damaged. What is refused at once is not of interest
//! here; this gets as far as a transport's own code.

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use proptest::prelude::*;
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};
use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::Message;

use super::chat::{Chat, encoding};
use super::media::Pair;
use super::peer::{Peer, pump_until};
use super::{metric, serve};
use crate::serve::{Limits, ServeConfig};
use crate::signal::codecs::{codec_parameters, extension_parameters, router_capabilities};
use crate::signal::rtp::{MediaKind, RtpEncodingParameters, RtpParameters};
use crate::signal::{ClientMessage, ServerMessage};

/// The same cases in each run.
fn runner(cases: u32) -> TestRunner {
    let config = Config { cases, failure_persistence: None, ..Config::default() };
    TestRunner::new_with_rng(config, TestRng::deterministic_rng(RngAlgorithm::ChaCha))
}

/// All places of a JSON value, itself not among them.
fn places(value: &Value, at: &str, found: &mut Vec<String>) {
    let children: Vec<(String, &Value)> = match value {
        Value::Object(fields) => fields.iter().map(|(key, value)| (key.replace('/', "~1"), value)).collect(),
        Value::Array(items) => items.iter().enumerate().map(|(index, item)| (index.to_string(), item)).collect(),
        _ => Vec::new(),
    };
    for (key, child) in children {
        let place = format!("{at}/{key}");
        places(child, &place, found);
        found.push(place);
    }
}

/// What may stand in the place of something else.
fn instead() -> impl Strategy<Value = Value> {
    prop_oneof![
        prop::sample::select(vec![
            json!(null),
            json!(0),
            json!(-1),
            json!(1),
            json!(96),
            json!(u32::MAX),
            json!(u64::MAX),
            json!(1e300),
            json!(true),
            json!(""),
            json!([]),
            json!({}),
            json!("video"),
            json!("video/rtx"),
            json!("x".repeat(300)),
        ]),
        "\\PC{0,20}".prop_map(Value::from),
        any::<u32>().prop_map(Value::from),
    ]
}

#[test]
fn messages_that_are_damaged_in_one_place_never_end_a_transport() {
    let limits = Limits { messages_per_second: 1_000_000, message_burst: 1_000_000, ..Limits::default() };
    let server = serve(ServeConfig { limits, ..ServeConfig::default() });
    let mut other = Chat::joined(&server, "room", "other");
    let (other_transport, mut other_peer) = other.sender();
    let producer = other.produce(&other_transport, "0", 96, encoding(1, Some(2)));
    let mut chat = Chat::joined(&server, "room", "name");
    let (transport_id, mut peer) = chat.sender();
    let (received_by, mut input) = chat.receiver();
    let mut peers = [&mut other_peer, &mut peer, &mut input];
    pump_until("connected", peers.each_mut().map(|peer| &mut **peer), |peers| peers.iter().all(|peer| peer.connected));
    let produce = |kind, payload_type, mid: &str, encodings| ClientMessage::Produce {
        transport_id: transport_id.clone(),
        kind,
        rtp_parameters: RtpParameters {
            mid: Some(mid.to_owned()),
            codecs: codec_parameters(payload_type),
            header_extensions: extension_parameters(kind),
            encodings,
            rtcp: None,
        },
        source: Some("camera".to_owned()),
    };
    let rid = |rid: &str| RtpEncodingParameters { rid: Some(rid.to_owned()), ..RtpEncodingParameters::default() };
    let whole: Vec<Value> = [
        produce(MediaKind::Audio, 111, "0", encoding(11, None)),
        produce(MediaKind::Video, 96, "1", encoding(12, Some(13))),
        produce(MediaKind::Video, 102, "2", vec![rid("q"), rid("h"), rid("f")]),
        ClientMessage::Consume { producer_id: producer.clone(), rtp_capabilities: router_capabilities() },
        ClientMessage::RestartIce { transport_id: received_by },
        ClientMessage::SetConsumerPreferredLayers { consumer_id: producer, spatial_layer: 1, temporal_layer: Some(1) },
    ]
    .iter()
    .map(|message| serde_json::to_value(message).unwrap())
    .collect();
    let damage = (prop::sample::select(whole), any::<prop::sample::Index>(), prop::option::of(instead()));
    let cell = RefCell::new((&mut chat, peers));
    let case = |(mut message, at, instead): (Value, prop::sample::Index, Option<Value>)| {
        let mut found = Vec::new();
        places(&message, "", &mut found);
        let place = at.get(&found);
        match instead {
            Some(instead) => *message.pointer_mut(place).unwrap() = instead,
            // Something is not there.
            None => *message.pointer_mut(place).unwrap() = Value::Null,
        }
        let (chat, peers) = &mut *cell.borrow_mut();
        // Transports on which nothing goes on are given up.
        peers.iter_mut().for_each(|peer| peer.pump());
        chat.socket.send(Message::text(message.to_string())).unwrap();
        chat.send(&ClientMessage::GetRouterRtpCapabilities);
        loop {
            match chat.next() {
                ServerMessage::RouterRtpCapabilities { .. } => break,
                // There is room for some tracks alone.
                ServerMessage::ProducerCreated { producer_id } => {
                    chat.socket
                        .send(Message::text(json!({"type": "closeProducer", "producerId": producer_id}).to_string()))
                        .unwrap();
                }
                _ => {}
            }
        }
        Ok(())
    };
    runner(300).run(&damage, case).unwrap();
    assert_eq!(metric(&server, "transport_errors_total"), 0);
    assert_eq!(metric(&server, "transports"), 3);
    let (_, mut again) = chat.receiver();
    pump_until("a new transport connects", [&mut again], |[peer]| peer.connected);
}

#[test]
fn datagrams_of_a_session_that_are_damaged_never_end_a_transport() {
    let server = serve(ServeConfig::default());
    let media = server.media()[0];
    let sent = Rc::new(RefCell::new(Vec::new()));
    let noted = Rc::clone(&sent);
    let mut pair = Pair::connect(&server);
    pair.out.lost_out = Box::new(move |datagram| {
        noted.borrow_mut().push(datagram.to_vec());
        false
    });
    pair.publish(0, 50);
    // STUN, RTP and RTCP by now; and some of each other kind that a transport takes.
    let mut whole = sent.borrow().clone();
    assert!(whole.len() > 100);
    whole.push([&[22, 254, 253, 0, 1, 0, 0, 0, 0, 0, 1, 0, 32][..], &[7; 32]].concat());
    whole.push([&[21, 254, 253, 0, 0, 0, 0, 0, 0, 0, 1, 0, 2, 2, 40][..]].concat());
    let damage = (
        prop::sample::select(whole),
        prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
        prop::option::weighted(0.2, any::<prop::sample::Index>()),
    );
    let before = metric(&server, "datagrams_received_total");
    let count = Cell::new(0_u64);
    let peers = RefCell::new((&mut pair.out, &mut pair.input));
    let case =
        |(mut datagram, changes, cut): (Vec<u8>, Vec<(prop::sample::Index, u8)>, Option<prop::sample::Index>)| {
            for (at, byte) in changes {
                let at = at.index(datagram.len());
                datagram[at] = byte;
            }
            if let Some(cut) = cut {
                datagram.truncate(cut.index(datagram.len()).max(1));
            }
            let (out, input) = &mut *peers.borrow_mut();
            out.send_raw(&datagram, media);
            count.set(count.get() + 1);
            // No more than the socket has room for.
            if count.get().is_multiple_of(50) {
                let so_many = before + count.get();
                let read = |_: &mut [&mut Peer; 2]| metric(&server, "datagrams_received_total") >= so_many;
                pump_until("read", [&mut **out, &mut **input], read);
            }
            Ok(())
        };
    runner(2000).run(&damage, case).unwrap();
    assert_eq!((metric(&server, "transport_errors_total"), metric(&server, "transports")), (0, 2));
    let had = pair.input.of(pair.audio).len();
    pair.publish(1000, 50);
    let Pair { out, input, audio, .. } = &mut pair;
    pump_until("media goes on", [out, input], |[_, input]| input.of(*audio).len() >= had + 40);
}
