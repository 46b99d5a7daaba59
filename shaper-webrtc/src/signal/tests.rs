use proptest::prelude::*;
use serde_json::{Value, json};

use super::codecs::{self, codec_parameters, extension_parameters, router_capabilities};
use super::rtp::{MediaKind, RtpCapabilities, RtpEncodingParameters, RtpParameters, RtxParameters};
use super::transport::{DtlsFingerprint, DtlsParameters, DtlsRole, IceCandidate, IceParameters, Urls};
use super::{
    ClientMessage, ParticipantInfo, ProducerInfo, ServerMessage, SignalError, decode_client, decode_server, encode,
};

/// The message must be written as this JSON, and read from it.
fn client(message: &ClientMessage, text: &Value) {
    assert_eq!(serde_json::to_value(message).unwrap(), *text);
    assert_eq!(decode_client(&text.to_string()).unwrap(), *message);
}

fn server(message: &ServerMessage, text: &Value) {
    assert_eq!(serde_json::to_value(message).unwrap(), *text);
    assert_eq!(decode_server(&text.to_string()).unwrap().as_ref(), Some(message));
}

fn id(text: &str) -> String {
    text.to_owned()
}

fn dtls(role: DtlsRole) -> DtlsParameters {
    DtlsParameters { role, fingerprints: vec![DtlsFingerprint { algorithm: id("sha-256"), value: id("AB:CD") }] }
}

#[test]
fn what_clients_say_has_exactly_this_json() {
    client(
        &ClientMessage::JoinRoom { room_id: id("r"), participant_name: id("Ann"), password: None },
        &json!({"type": "joinRoom", "roomId": "r", "participantName": "Ann"}),
    );
    client(
        &ClientMessage::JoinRoom { room_id: id("r"), participant_name: id("Ann"), password: Some(id("p")) },
        &json!({"type": "joinRoom", "roomId": "r", "participantName": "Ann", "password": "p"}),
    );
    client(&ClientMessage::GetRouterRtpCapabilities, &json!({"type": "getRouterRtpCapabilities"}));
    client(&ClientMessage::CreateSendTransport, &json!({"type": "createSendTransport"}));
    client(&ClientMessage::CreateRecvTransport, &json!({"type": "createRecvTransport"}));
    client(
        &ClientMessage::ConnectTransport { transport_id: id("t"), dtls_parameters: dtls(DtlsRole::Client) },
        &json!({"type": "connectTransport", "transportId": "t", "dtlsParameters":
            {"role": "client", "fingerprints": [{"algorithm": "sha-256", "value": "AB:CD"}]}}),
    );
    client(
        &ClientMessage::Produce {
            transport_id: id("t"),
            kind: MediaKind::Video,
            rtp_parameters: RtpParameters {
                mid: Some(id("0")),
                encodings: vec![RtpEncodingParameters {
                    ssrc: Some(7),
                    rid: Some(id("h")),
                    rtx: Some(RtxParameters { ssrc: 8 }),
                    ..RtpEncodingParameters::default()
                }],
                ..RtpParameters::default()
            },
            source: Some(id("camera")),
        },
        &json!({"type": "produce", "transportId": "t", "kind": "video", "rtpParameters": {
            "mid": "0", "codecs": [], "headerExtensions": [],
            "encodings": [{"ssrc": 7, "rid": "h", "rtx": {"ssrc": 8}}]}, "source": "camera"}),
    );
    client(
        &ClientMessage::Consume { producer_id: id("p"), rtp_capabilities: RtpCapabilities::default() },
        &json!({"type": "consume", "producerId": "p", "rtpCapabilities": {"codecs": [], "headerExtensions": []}}),
    );
    client(
        &ClientMessage::ResumeConsumer { consumer_id: id("c") },
        &json!({"type": "resumeConsumer", "consumerId": "c"}),
    );
    client(
        &ClientMessage::PauseConsumer { consumer_id: id("c") },
        &json!({"type": "pauseConsumer", "consumerId": "c"}),
    );
    client(
        &ClientMessage::CloseProducer { producer_id: id("p") },
        &json!({"type": "closeProducer", "producerId": "p"}),
    );
    client(
        &ClientMessage::PauseProducer { producer_id: id("p") },
        &json!({"type": "pauseProducer", "producerId": "p"}),
    );
    client(
        &ClientMessage::ResumeProducer { producer_id: id("p") },
        &json!({"type": "resumeProducer", "producerId": "p"}),
    );
    client(&ClientMessage::LeaveRoom, &json!({"type": "leaveRoom"}));
    client(
        &ClientMessage::Reconnect { participant_id: id("a"), room_id: id("r"), reconnect_token: id("k") },
        &json!({"type": "reconnect", "participantId": "a", "roomId": "r", "reconnectToken": "k"}),
    );
    client(&ClientMessage::RestartIce { transport_id: id("t") }, &json!({"type": "restartIce", "transportId": "t"}));
    client(
        &ClientMessage::SetConsumerPreferredLayers { consumer_id: id("c"), spatial_layer: 2, temporal_layer: None },
        &json!({"type": "setConsumerPreferredLayers", "consumerId": "c", "spatialLayer": 2}),
    );
}

#[test]
fn what_servers_answer_has_exactly_this_json() {
    let ann = ParticipantInfo {
        id: id("a"),
        name: id("Ann"),
        producers: vec![ProducerInfo { id: id("p"), kind: MediaKind::Audio, source: None }],
        role: id("participant"),
    };
    let ann_json = json!({"id": "a", "name": "Ann", "role": "participant",
        "producers": [{"id": "p", "kind": "audio"}]});
    server(
        &ServerMessage::RoomJoined {
            participant_id: id("b"),
            participants: vec![ann.clone()],
            reconnect_token: id("k"),
            your_role: id("participant"),
            room_settings: None,
        },
        &json!({"type": "roomJoined", "participantId": "b", "participants": [ann_json],
            "reconnectToken": "k", "yourRole": "participant"}),
    );
    server(
        &ServerMessage::RouterRtpCapabilities { rtp_capabilities: RtpCapabilities::default() },
        &json!({"type": "routerRtpCapabilities", "rtpCapabilities": {"codecs": [], "headerExtensions": []}}),
    );
    server(
        &ServerMessage::TransportCreated {
            transport_id: id("t"),
            ice_parameters: IceParameters { username_fragment: id("u"), password: id("w"), ice_lite: Some(true) },
            ice_candidates: vec![IceCandidate {
                foundation: id("1"),
                priority: 2_130_706_431,
                ip: "127.0.0.1".parse().unwrap(),
                protocol: id("udp"),
                port: 4000,
                candidate_type: id("host"),
                tcp_type: None,
            }],
            dtls_parameters: dtls(DtlsRole::Auto),
            ice_servers: None,
        },
        &json!({"type": "transportCreated", "transportId": "t",
            "iceParameters": {"usernameFragment": "u", "password": "w", "iceLite": true},
            "iceCandidates": [{"foundation": "1", "priority": 2_130_706_431, "ip": "127.0.0.1",
                "protocol": "udp", "port": 4000, "type": "host"}],
            "dtlsParameters": {"role": "auto", "fingerprints": [{"algorithm": "sha-256", "value": "AB:CD"}]}}),
    );
    server(
        &ServerMessage::TransportConnected { transport_id: id("t") },
        &json!({"type": "transportConnected", "transportId": "t"}),
    );
    server(
        &ServerMessage::ProducerCreated { producer_id: id("p") },
        &json!({"type": "producerCreated", "producerId": "p"}),
    );
    server(
        &ServerMessage::ConsumerCreated {
            consumer_id: id("c"),
            producer_id: id("p"),
            kind: MediaKind::Audio,
            rtp_parameters: RtpParameters::default(),
        },
        &json!({"type": "consumerCreated", "consumerId": "c", "producerId": "p", "kind": "audio",
            "rtpParameters": {"codecs": [], "headerExtensions": [], "encodings": []}}),
    );
    server(
        &ServerMessage::ReconnectResult {
            success: true,
            participant_id: Some(id("b")),
            participants: Some(vec![ann]),
            reconnect_token: Some(id("k2")),
            message: None,
        },
        &json!({"type": "reconnectResult", "success": true, "participantId": "b",
            "participants": [ann_json], "reconnectToken": "k2"}),
    );
    server(
        &ServerMessage::IceRestarted {
            transport_id: id("t"),
            ice_parameters: IceParameters { username_fragment: id("u"), password: id("w"), ice_lite: None },
        },
        &json!({"type": "iceRestarted", "transportId": "t",
            "iceParameters": {"usernameFragment": "u", "password": "w"}}),
    );
    server(&ServerMessage::Error { message: id("no") }, &json!({"type": "error", "message": "no"}));
}

#[test]
fn events_have_exactly_this_json() {
    server(
        &ServerMessage::ParticipantJoined { participant_id: id("a"), participant_name: id("Ann"), role: None },
        &json!({"type": "participantJoined", "participantId": "a", "participantName": "Ann"}),
    );
    server(
        &ServerMessage::ParticipantLeft { participant_id: id("a") },
        &json!({"type": "participantLeft", "participantId": "a"}),
    );
    server(
        &ServerMessage::NewProducer {
            participant_id: id("a"),
            producer_id: id("p"),
            kind: MediaKind::Video,
            source: Some(id("screen")),
        },
        &json!({"type": "newProducer", "participantId": "a", "producerId": "p", "kind": "video",
            "source": "screen"}),
    );
    let of_ann = || (id("p"), Some(id("a")));
    let (producer_id, participant_id) = of_ann();
    server(
        &ServerMessage::ProducerClosed { producer_id, participant_id },
        &json!({"type": "producerClosed", "producerId": "p", "participantId": "a"}),
    );
    let (producer_id, participant_id) = of_ann();
    server(
        &ServerMessage::ProducerPaused { producer_id, participant_id },
        &json!({"type": "producerPaused", "producerId": "p", "participantId": "a"}),
    );
    server(
        &ServerMessage::ProducerResumed { producer_id: id("p"), participant_id: None },
        &json!({"type": "producerResumed", "producerId": "p"}),
    );
    server(
        &ServerMessage::ConsumerPaused { consumer_id: id("c") },
        &json!({"type": "consumerPaused", "consumerId": "c"}),
    );
    server(
        &ServerMessage::ConsumerResumed { consumer_id: id("c") },
        &json!({"type": "consumerResumed", "consumerId": "c"}),
    );
    server(
        &ServerMessage::ConnectionStats { available_bitrate: Some(1e6), rtt: None },
        &json!({"type": "connectionStats", "availableBitrate": 1e6}),
    );
    server(&ServerMessage::ActiveSpeaker { participant_id: None }, &json!({"type": "activeSpeaker"}));
}

#[test]
fn a_client_passes_over_types_and_fields_that_it_does_not_know() {
    assert_eq!(decode_server(r#"{"type":"chatMessage","text":"hello"}"#).unwrap(), None);
    let known = decode_server(r#"{"type":"producerCreated","producerId":"p","more":[1,{"a":2}]}"#).unwrap();
    assert_eq!(known, Some(ServerMessage::ProducerCreated { producer_id: id("p") }));
    assert!(matches!(decode_server(r#"{"type":"producerCreated"}"#), Err(SignalError::BadFields { .. })));
}

#[test]
fn a_server_refuses_types_that_it_does_not_know_and_says_which() {
    let long = "x".repeat(1000);
    let error = decode_client(&json!({"type": long}).to_string()).unwrap_err();
    assert!(matches!(&error, SignalError::UnknownType(name) if name.len() == 64), "{error}");
    for text in ["", "[]", "null", "{", r#"{"type":7}"#, r#"{"roomId":"r"}"#, "\u{0}"] {
        assert!(matches!(decode_client(text), Err(SignalError::NoMessage(_))), "{text}");
    }
    let error = decode_client(r#"{"type":"joinRoom","roomId":1,"participantName":"a"}"#).unwrap_err();
    assert!(error.to_string().starts_with("cannot read joinRoom: "), "{error}");
}

#[test]
fn candidates_are_read_under_either_name_of_the_address() {
    for name in ["ip", "address"] {
        let text = json!({"foundation": "f", "priority": 1, name: "10.0.0.1", "protocol": "udp", "port": 1,
            "type": "host"});
        let candidate: IceCandidate = serde_json::from_value(text).unwrap();
        assert_eq!(candidate.ip, "10.0.0.1".parse::<std::net::IpAddr>().unwrap());
    }
}

#[test]
fn ice_servers_have_one_url_or_several() {
    let one: super::transport::IceServer = serde_json::from_value(json!({"urls": "stun:a"})).unwrap();
    assert_eq!(one.urls, Urls::One(id("stun:a")));
    let many: super::transport::IceServer = serde_json::from_value(json!({"urls": ["stun:a"]})).unwrap();
    assert_eq!(many.urls, Urls::Many(vec![id("stun:a")]));
}

#[test]
fn the_router_forwards_the_payload_types_of_the_dialect() {
    let capabilities = router_capabilities();
    let types: Vec<(String, Option<u8>)> =
        capabilities.codecs.iter().map(|codec| (codec.mime_type.clone(), codec.preferred_payload_type)).collect();
    let expected = [
        ("audio/opus", 111),
        ("video/VP8", 96),
        ("video/rtx", 97),
        ("video/VP9", 98),
        ("video/rtx", 99),
        ("video/H264", 102),
        ("video/rtx", 103),
    ];
    assert_eq!(types, expected.map(|(name, payload_type)| (id(name), Some(payload_type))));
    assert!(capabilities.header_extensions.iter().filter(|known| known.uri == codecs::MID.uri).count() == 2);
    assert_eq!(codec_parameters(codecs::VP8)[1].parameters["apt"], 96);
    assert!(codec_parameters(codecs::rtx_of(codecs::VP8)).is_empty());
    assert!(extension_parameters(MediaKind::Audio).iter().all(|known| known.uri != codecs::RID.uri));
    let text = serde_json::to_value(&capabilities).unwrap();
    assert_eq!(text["codecs"][0]["kind"], "audio");
    assert_eq!(text["codecs"][1]["rtcpFeedback"][1], json!({"type": "nack", "parameter": "pli"}));
}

proptest! {
    #[test]
    fn any_text_is_a_message_or_an_error(text in ".{0,200}") {
        let _ = decode_client(&text).map(|message| encode(&message).unwrap());
        let _ = decode_server(&text).map(|message| encode(&message).unwrap());
    }

    #[test]
    fn any_fields_under_a_known_type_are_a_message_or_an_error(
        name in prop::sample::select(vec!["joinRoom", "produce", "consume", "connectTransport", "reconnect"]),
        field in prop::sample::select(vec!["roomId", "rtpParameters", "rtpCapabilities", "dtlsParameters", "kind"]),
        value in "[\\[\\]{}\":,0-9a-z-]{0,40}",
    ) {
        if let Err(error) = decode_client(&format!(r#"{{"type":"{name}","{field}":{value}}}"#)) {
            prop_assert!(!matches!(error, SignalError::UnknownType(_)));
        }
    }
}
