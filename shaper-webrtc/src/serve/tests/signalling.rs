use std::io::ErrorKind;
use std::net::TcpStream;
use std::time::{Duration, Instant};

use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_tungstenite::tungstenite::{Error, Message};

use super::chat::{Chat, encoding, join};
use super::peer::pump_until;
use super::{counts, metric, serve, until};
use crate::serve::{Limits, ServeConfig};
use crate::signal::codecs::router_capabilities;
use crate::signal::rtp::MediaKind;
use crate::signal::{ClientMessage, ServerMessage, encode};

fn refusal(answer: ServerMessage) -> String {
    let ServerMessage::Error { message } = answer else { panic!("{answer:?}") };
    message
}

#[test]
fn participants_hear_of_each_other_and_of_what_they_send() {
    let server = serve(ServeConfig::default());
    let mut first = Chat::joined(&server, "room", "first");
    let mut second = Chat::open(&server);
    let answer = second.ask(&join("room", "second"));
    let ServerMessage::RoomJoined { participants, participant_id, your_role, .. } = answer else {
        panic!("{answer:?}")
    };
    assert_eq!((participants.len(), participants[0].id == first.id, &*your_role), (1, true, "participant"));
    let joined = first.next();
    let expected = ServerMessage::ParticipantJoined {
        participant_id: participant_id.clone(),
        participant_name: "second".to_owned(),
        role: Some("participant".to_owned()),
    };
    assert_eq!(joined, expected);
    let (transport, _peer) = second.sender();
    let producer = second.produce(&transport, "0", 111, encoding(1, None));
    let announced = first.next();
    let expected = ServerMessage::NewProducer {
        participant_id: participant_id.clone(),
        producer_id: producer.clone(),
        kind: MediaKind::Audio,
        source: None,
    };
    assert_eq!(announced, expected);
    let mut third = Chat::open(&server);
    let ServerMessage::RoomJoined { participants, .. } = third.ask(&join("room", "third")) else { panic!() };
    assert!(participants.iter().any(|of| of.producers.iter().any(|of| of.id == producer)));
    let owner = Some(participant_id.clone());
    for (message, event) in [
        (
            ClientMessage::PauseProducer { producer_id: producer.clone() },
            ServerMessage::ProducerPaused { producer_id: producer.clone(), participant_id: owner.clone() },
        ),
        (
            ClientMessage::ResumeProducer { producer_id: producer.clone() },
            ServerMessage::ProducerResumed { producer_id: producer.clone(), participant_id: owner.clone() },
        ),
        (
            ClientMessage::CloseProducer { producer_id: producer.clone() },
            ServerMessage::ProducerClosed { producer_id: producer, participant_id: owner },
        ),
    ] {
        assert_eq!(second.ask(&message), event);
        assert_eq!(third.next(), event);
    }
    second.send(&ClientMessage::LeaveRoom);
    assert_eq!(third.next(), ServerMessage::ParticipantLeft { participant_id });
    assert!(matches!(second.ask(&join("room", "again")), ServerMessage::RoomJoined { .. }));
}

#[test]
fn what_the_router_forwards_is_told_before_a_room_is_entered() {
    let server = serve(ServeConfig::default());
    let answer = Chat::open(&server).ask(&ClientMessage::GetRouterRtpCapabilities);
    assert_eq!(answer, ServerMessage::RouterRtpCapabilities { rtp_capabilities: router_capabilities() });
}

#[test]
fn a_lost_websocket_is_taken_up_again_by_its_token_once_with_transports_and_media() {
    let server = serve(ServeConfig::default());
    let mut chat = Chat::joined(&server, "room", "name");
    let (transport_id, mut peer) = chat.sender();
    pump_until("connected", [&mut peer], |[peer]| peer.connected);
    let (id, token) = (chat.id.clone(), chat.token.clone());
    drop(chat);
    let reconnect = |token: &str| ClientMessage::Reconnect {
        participant_id: id.clone(),
        room_id: "room".to_owned(),
        reconnect_token: token.to_owned(),
    };
    let mut again = Chat::open(&server);
    let answer = again.ask(&reconnect("wrong"));
    assert!(matches!(answer, ServerMessage::ReconnectResult { success: false, .. }), "{answer:?}");
    let answer = again.ask(&reconnect(&token));
    let ServerMessage::ReconnectResult { success: true, participant_id, reconnect_token, .. } = answer else {
        panic!("{answer:?}")
    };
    assert_eq!(participant_id.as_ref(), Some(&id));
    assert_ne!(reconnect_token.as_ref(), Some(&token));
    assert!(matches!(again.ask(&ClientMessage::RestartIce { transport_id }), ServerMessage::IceRestarted { .. }));
    // The old token is spent, and a third WebSocket with the new one ends the second.
    let mut third = Chat::open(&server);
    assert!(matches!(third.ask(&reconnect(&token)), ServerMessage::ReconnectResult { success: false, .. }));
    let answer = third.ask(&reconnect(&reconnect_token.unwrap()));
    assert!(matches!(answer, ServerMessage::ReconnectResult { success: true, .. }), "{answer:?}");
    assert_eq!(closed_with(&mut again), Some(CloseCode::Policy));
    until(&server, "one participant", |server| metric(server, "participants") == 1);
}

/// What a WebSocket is closed with.
fn closed_with(chat: &mut Chat) -> Option<CloseCode> {
    loop {
        match chat.socket.read() {
            Ok(Message::Close(frame)) => return frame.map(|frame| frame.code),
            Ok(_) => {}
            Err(Error::ConnectionClosed | Error::Protocol(_)) => return None,
            Err(error) => panic!("{error}"),
        }
    }
}

#[test]
fn who_does_not_come_back_is_given_up() {
    let limits = Limits { reconnect: Duration::from_millis(100), ..Limits::default() };
    let server = serve(ServeConfig { limits, ..ServeConfig::default() });
    let mut stays = Chat::joined(&server, "room", "stays");
    let goes = Chat::joined(&server, "room", "goes");
    let id = goes.id.clone();
    drop(goes);
    let left = stays.event(|event| matches!(event, ServerMessage::ParticipantLeft { .. }).then(|| event.clone()));
    assert_eq!(left, ServerMessage::ParticipantLeft { participant_id: id });
}

#[test]
fn who_does_not_read_is_cut_off_and_given_up() {
    let limits = Limits {
        reconnect: Duration::from_millis(100),
        unread: Duration::from_millis(200),
        messages_per_second: u32::MAX,
        message_burst: u32::MAX,
        ..Limits::default()
    };
    let server = serve(ServeConfig { limits, ..ServeConfig::default() });
    let mut stays = Chat::joined(&server, "room", "stays");
    let mut deaf = Chat::joined(&server, "room", "deaf");
    deaf.socket.get_ref().set_write_timeout(Some(Duration::from_secs(1))).unwrap();
    // Answers that nobody reads, until the server takes no more questions.
    let ask = Message::text(encode(&ClientMessage::GetRouterRtpCapabilities).unwrap());
    let stuck = (0..2_000_000).any(|_| deaf.socket.send(ask.clone()).is_err());
    assert!(stuck, "the server has room for two million answers");
    let left = stays.event(|event| matches!(event, ServerMessage::ParticipantLeft { .. }).then(|| event.clone()));
    assert_eq!(left, ServerMessage::ParticipantLeft { participant_id: deaf.id.clone() });
}

#[test]
fn pings_beyond_the_limit_keep_nothing_open() {
    let limits =
        Limits { idle: Duration::from_millis(500), messages_per_second: 0, message_burst: 3, ..Limits::default() };
    let server = serve(ServeConfig { limits, ..ServeConfig::default() });
    let mut chat = Chat::open(&server);
    chat.socket.get_ref().set_read_timeout(Some(Duration::from_millis(20))).unwrap();
    let deadline = Instant::now() + Duration::from_secs(60);
    let closed = loop {
        assert!(Instant::now() < deadline, "pings keep it open");
        let _ = chat.socket.send(Message::Ping(Vec::new().into()));
        match chat.socket.read() {
            Ok(Message::Close(frame)) => break frame.map(|frame| frame.code),
            Err(Error::Io(error)) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {}
            Err(Error::ConnectionClosed) => break None,
            Ok(_) => {}
            Err(error) => panic!("{error}"),
        }
    };
    assert_eq!(closed, Some(CloseCode::Normal));
}

#[test]
fn a_producer_is_consumed_once_by_each_client() {
    let server = serve(ServeConfig::default());
    let mut subscriber = Chat::joined(&server, "room", "subscriber");
    let (_, _input) = subscriber.receiver();
    let mut publisher = Chat::joined(&server, "room", "publisher");
    let (transport, _out) = publisher.sender();
    let producer_id = publisher.produce(&transport, "0", 111, encoding(1, None));
    let consume = ClientMessage::Consume { producer_id, rtp_capabilities: router_capabilities() };
    assert!(matches!(subscriber.ask(&consume), ServerMessage::ConsumerCreated { .. }));
    assert!(refusal(subscriber.ask(&consume)).contains("already"));
    assert_eq!(metric(&server, "consumers"), 1);
}

#[test]
fn a_transport_that_never_connects_is_given_up_with_its_reason() {
    let limits = Limits { connect: Duration::from_millis(200), ..Limits::default() };
    let server = serve(ServeConfig { limits, ..ServeConfig::default() });
    let mut chat = Chat::joined(&server, "room", "name");
    let created = chat.ask(&ClientMessage::CreateSendTransport);
    let ServerMessage::TransportCreated { transport_id, .. } = created else { panic!("{created:?}") };
    let message = refusal(chat.next());
    assert!(message.contains(&transport_id) && message.contains("not connected within"), "{message}");
    until(&server, "it is gone", |server| metric(server, "transports") == 0);
}

#[test]
fn what_is_out_of_turn_or_not_there_is_refused_and_the_session_goes_on() {
    let server = serve(ServeConfig::default());
    let mut chat = Chat::open(&server);
    assert!(refusal(chat.ask(&ClientMessage::CreateSendTransport)).contains("joinRoom"));
    assert!(refusal(chat.ask(&ClientMessage::LeaveRoom)).contains("joinRoom"));
    assert!(matches!(chat.ask(&join("room", "name")), ServerMessage::RoomJoined { .. }));
    assert!(refusal(chat.ask(&join("room", "name"))).contains("already"));
    let nothing = || "0123456789abcdef".to_owned();
    for message in [
        ClientMessage::RestartIce { transport_id: nothing() },
        ClientMessage::ResumeConsumer { consumer_id: nothing() },
        ClientMessage::PauseConsumer { consumer_id: "é".to_owned() },
        ClientMessage::CloseProducer { producer_id: nothing() },
        ClientMessage::Consume { producer_id: nothing(), rtp_capabilities: router_capabilities() },
        ClientMessage::SetConsumerPreferredLayers { consumer_id: nothing(), spatial_layer: 255, temporal_layer: None },
    ] {
        assert!(refusal(chat.ask(&message)).contains("no such"), "{message:?}");
    }
    let (transport, _peer) = chat.receiver();
    let rtp_parameters = crate::signal::rtp::RtpParameters::default();
    let produce =
        ClientMessage::Produce { transport_id: transport, kind: MediaKind::Audio, rtp_parameters, source: None };
    assert!(refusal(chat.ask(&produce)).contains("no codec"));
    assert!(metric(&server, "requests_refused_total") >= 10);
}

#[test]
fn malformed_messages_never_end_the_server_nor_the_session() {
    let server = serve(ServeConfig::default());
    let mut chat = Chat::open(&server);
    let mut runner = TestRunner::new(Config { cases: 40, ..Config::default() });
    let names = prop::sample::select(vec!["joinRoom", "produce", "consume", "connectTransport", "reconnect", "x"]);
    let text = prop_oneof![
        ".{0,100}",
        (names, "[\\[\\]{}\":,0-9a-z]{0,60}").prop_map(|(name, rest)| format!(r#"{{"type":"{name}",{rest}}}"#)),
    ];
    let cell = std::cell::RefCell::new(&mut chat);
    runner
        .run(&text, |text| {
            let mut chat = cell.borrow_mut();
            chat.socket.send(Message::text(text)).unwrap();
            let refused = matches!(chat.next(), ServerMessage::Error { .. });
            prop_assert!(refused);
            Ok(())
        })
        .unwrap();
    assert!(matches!(chat.ask(&join("room", "name")), ServerMessage::RoomJoined { .. }));
}

#[test]
fn malformed_datagrams_never_end_a_transport() {
    let server = serve(ServeConfig::default());
    let mut chat = Chat::joined(&server, "room", "name");
    let (_, mut peer) = chat.sender();
    pump_until("connected", [&mut peer], |[peer]| peer.connected);
    let foreign = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    let media = server.media()[0];
    let before = metric(&server, "datagrams_received_total");
    let mut sent = 0;
    let mut runner = TestRunner::new(Config { cases: 300, ..Config::default() });
    // The first byte chooses between STUN, DTLS, RTP and RTCP (RFC 7983).
    let firsts = prop::sample::select(vec![0_u8, 1, 20, 22, 63, 64, 128, 144, 191, 255]);
    let datagram = (firsts, prop::collection::vec(any::<u8>(), 0..300)).prop_map(|(first, mut rest)| {
        rest.insert(0, first);
        rest
    });
    let sent_cell = std::cell::Cell::new(0_u64);
    runner
        .run(&datagram, |datagram| {
            foreign.send_to(&datagram, media).unwrap();
            peer.send_raw(&datagram, media);
            sent_cell.set(sent_cell.get() + 2);
            Ok(())
        })
        .unwrap();
    sent += sent_cell.get();
    pump_until("all read", [&mut peer], |_| metric(&server, "datagrams_received_total") >= before + sent);
    assert_eq!(metric(&server, "transport_errors_total"), 0);
    assert_eq!(metric(&server, "transports"), 1);
    assert!(peer.rtc.is_alive());
    let (_, mut second) = chat.receiver();
    pump_until("a new transport connects", [&mut second], |[peer]| peer.connected);
}

#[test]
fn too_many_messages_are_refused_once_and_not_obeyed() {
    // None come back, so that it does not matter how long this takes.
    let limits = Limits { messages_per_second: 0, message_burst: 5, ..Limits::default() };
    let server = serve(ServeConfig { limits, ..ServeConfig::default() });
    let mut chat = Chat::open(&server);
    for _ in 0..10 {
        chat.send(&ClientMessage::GetRouterRtpCapabilities);
    }
    for _ in 0..5 {
        assert!(matches!(chat.next(), ServerMessage::RouterRtpCapabilities { .. }));
    }
    assert!(refusal(chat.next()).contains("too many messages"));
    // The first of them is told, whenever the others are read.
    counts(&server, "messages_rate_limited_total", 5);
}

#[test]
fn a_socket_is_closed_by_a_message_that_is_too_long() {
    let limits = Limits { message_bytes: 1000, ..Limits::default() };
    let server = serve(ServeConfig { limits, ..ServeConfig::default() });
    let mut long = Chat::open(&server);
    long.socket.send(Message::text("x".repeat(1001))).unwrap();
    assert_eq!(closed_with(&mut long), Some(CloseCode::Size));
}

#[test]
fn a_socket_is_closed_when_it_is_idle() {
    let limits = Limits { idle: Duration::from_millis(200), ..Limits::default() };
    let server = serve(ServeConfig { limits, ..ServeConfig::default() });
    let mut idle = Chat::open(&server);
    assert_eq!(closed_with(&mut idle), Some(CloseCode::Normal));
}

#[test]
fn limits_on_rooms_clients_transports_and_connections_hold() {
    let limits = Limits { rooms: 1, clients: 2, transports_per_client: 1, connections: 3, ..Limits::default() };
    let server = serve(ServeConfig { limits, ..ServeConfig::default() });
    let mut first = Chat::joined(&server, "room", "first");
    let mut second = Chat::open(&server);
    assert!(refusal(second.ask(&join("other", "second"))).contains("1 rooms"));
    assert!(matches!(second.ask(&join("room", "second")), ServerMessage::RoomJoined { .. }));
    let mut third = Chat::open(&server);
    assert!(refusal(third.ask(&join("room", "third"))).contains("2 clients"));
    let (_, _peer) = first.sender();
    assert!(refusal(first.ask(&ClientMessage::CreateSendTransport)).contains("1 transports"));
    let fourth = TcpStream::connect(server.listening()).unwrap();
    fourth.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
    assert!(tokio_tungstenite::tungstenite::client(format!("ws://{}/ws", server.listening()), fourth).is_err());
}

#[test]
fn nothing_listens_beyond_loopback_by_default() {
    let config = ServeConfig::default();
    assert!(config.listen.ip().is_loopback() && config.media_address.is_loopback());
}

#[test]
fn a_server_that_stops_closes_its_websockets() {
    let server = serve(ServeConfig::default());
    let mut chat = Chat::joined(&server, "room", "name");
    server.stop().unwrap();
    assert_eq!(closed_with(&mut chat), Some(CloseCode::Away));
}
