//! A client of the SimplestChat dialect.

use std::net::TcpStream;
use std::time::Duration;

use tokio_tungstenite::tungstenite::{self, Message, WebSocket};

use super::peer::Peer;
use crate::serve::Server;
use crate::signal::codecs::{codec_parameters, extension_parameters, router_capabilities};
use crate::signal::rtp::{MediaKind, RtpEncodingParameters, RtpParameters};
use crate::signal::{ClientMessage, ServerMessage, decode_server, encode};

pub(super) struct Chat {
    pub(super) socket: WebSocket<TcpStream>,
    /// Events that came while an answer was waited for.
    pub(super) events: Vec<ServerMessage>,
    pub(super) id: String,
    pub(super) token: String,
}

/// Answers, as opposed to events.
fn is_answer(message: &ServerMessage) -> bool {
    !matches!(
        message,
        ServerMessage::NewProducer { .. }
            | ServerMessage::ParticipantJoined { .. }
            | ServerMessage::ParticipantLeft { .. }
            | ServerMessage::ConnectionStats { .. }
            | ServerMessage::ActiveSpeaker { .. }
    )
}

impl Chat {
    pub(super) fn open(server: &Server) -> Self {
        let stream = TcpStream::connect(server.listening()).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
        let (socket, _) = tungstenite::client(format!("ws://{}/ws", server.listening()), stream).unwrap();
        Self { socket, events: Vec::new(), id: String::new(), token: String::new() }
    }

    pub(super) fn joined(server: &Server, room: &str, name: &str) -> Self {
        let mut chat = Self::open(server);
        let answer = chat.ask(&join(room, name));
        let ServerMessage::RoomJoined { participant_id, reconnect_token, .. } = answer else { panic!("{answer:?}") };
        chat.id = participant_id;
        chat.token = reconnect_token;
        chat
    }

    pub(super) fn send(&mut self, message: &ClientMessage) {
        self.socket.send(Message::text(encode(message).unwrap())).unwrap();
    }

    /// The next message, whatever it is.
    pub(super) fn next(&mut self) -> ServerMessage {
        loop {
            if let Message::Text(text) = self.socket.read().unwrap() {
                return decode_server(&text).unwrap().unwrap();
            }
        }
    }

    /// Sends, and waits for the answer.
    pub(super) fn ask(&mut self, message: &ClientMessage) -> ServerMessage {
        self.send(message);
        loop {
            let next = self.next();
            if is_answer(&next) {
                return next;
            }
            self.events.push(next);
        }
    }

    /// Waits for an event.
    pub(super) fn event<T>(&mut self, mut of: impl FnMut(&ServerMessage) -> Option<T>) -> T {
        if let Some(index) = self.events.iter().position(|event| of(event).is_some()) {
            return of(&self.events.remove(index)).unwrap();
        }
        loop {
            let next = self.next();
            if let Some(found) = of(&next) {
                return found;
            }
            self.events.push(next);
        }
    }

    /// Waits for an event, and keeps it.
    pub(super) fn peek<T>(&mut self, of: impl Fn(&ServerMessage) -> Option<T>) -> T {
        loop {
            if let Some(found) = self.events.iter().find_map(&of) {
                return found;
            }
            let next = self.next();
            self.events.push(next);
        }
    }

    /// A transport with a peer that is about to connect.
    pub(super) fn transport(&mut self, message: &ClientMessage) -> (String, Peer) {
        self.transport_of(message, Peer::new())
    }

    pub(super) fn transport_of(&mut self, message: &ClientMessage, mut peer: Peer) -> (String, Peer) {
        let answer = self.ask(message);
        let ServerMessage::TransportCreated { transport_id, ice_parameters, ice_candidates, dtls_parameters, .. } =
            answer
        else {
            panic!("{answer:?}")
        };
        let dtls_parameters = peer.connect(&ice_parameters, &ice_candidates, &dtls_parameters);
        let connect = ClientMessage::ConnectTransport { transport_id: transport_id.clone(), dtls_parameters };
        let connected = self.ask(&connect);
        assert_eq!(connected, ServerMessage::TransportConnected { transport_id: transport_id.clone() });
        (transport_id, peer)
    }

    pub(super) fn sender(&mut self) -> (String, Peer) {
        self.transport(&ClientMessage::CreateSendTransport)
    }

    pub(super) fn receiver(&mut self) -> (String, Peer) {
        self.transport(&ClientMessage::CreateRecvTransport)
    }

    /// Announces a track: its producer.
    pub(super) fn produce(
        &mut self,
        transport: &str,
        mid: &str,
        payload_type: u8,
        encodings: Vec<RtpEncodingParameters>,
    ) -> String {
        let kind = if payload_type == 111 { MediaKind::Audio } else { MediaKind::Video };
        let rtp_parameters = RtpParameters {
            mid: Some(mid.to_owned()),
            codecs: codec_parameters(payload_type),
            header_extensions: extension_parameters(kind),
            encodings,
            rtcp: None,
        };
        let transport_id = transport.to_owned();
        let answer = self.ask(&ClientMessage::Produce { transport_id, kind, rtp_parameters, source: None });
        let ServerMessage::ProducerCreated { producer_id } = answer else { panic!("{answer:?}") };
        producer_id
    }

    /// Asks for the next track that is announced: its consumer, and what will come.
    pub(super) fn consume_next(&mut self) -> (String, MediaKind, RtpParameters) {
        let producer_id = self.event(|event| match event {
            ServerMessage::NewProducer { producer_id, .. } => Some(producer_id.clone()),
            _ => None,
        });
        let rtp_capabilities = router_capabilities();
        let answer = self.ask(&ClientMessage::Consume { producer_id, rtp_capabilities });
        let ServerMessage::ConsumerCreated { consumer_id, kind, rtp_parameters, .. } = answer else {
            panic!("{answer:?}")
        };
        (consumer_id, kind, rtp_parameters)
    }

    pub(super) fn resume(&mut self, consumer: &str) {
        let consumer_id = consumer.to_owned();
        let answer = self.ask(&ClientMessage::ResumeConsumer { consumer_id: consumer_id.clone() });
        assert_eq!(answer, ServerMessage::ConsumerResumed { consumer_id });
    }
}

pub(super) fn join(room: &str, name: &str) -> ClientMessage {
    ClientMessage::JoinRoom { room_id: room.to_owned(), participant_name: name.to_owned(), password: None }
}

/// One encoding with an SSRC and, for video, its retransmission.
pub(super) fn encoding(ssrc: u32, rtx: Option<u32>) -> Vec<RtpEncodingParameters> {
    let rtx = rtx.map(|ssrc| crate::signal::rtp::RtxParameters { ssrc });
    vec![RtpEncodingParameters { ssrc: Some(ssrc), rtx, ..RtpEncodingParameters::default() }]
}
