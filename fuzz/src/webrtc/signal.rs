//! Messages of the SimplestChat dialect.

use std::fmt::Debug;
use std::time::Instant;

use serde::Serialize;
use shaper_webrtc::serve::{LoneConsumer, LoneShard, LoneTrack, LoneTransport};
use shaper_webrtc::signal::{ClientMessage, decode_client, decode_server, encode};

use super::{nothing_of_ours_panicked, server};

/// Decodes each line as a message of a client's and of a server's, and does what clients ask of transports and tracks.
/// What decodes is encoded to what decodes the same.
pub fn read(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    let mut client = None;
    for line in text.lines() {
        match decode_server(line) {
            Ok(Some(message)) => again(&message, decode_server(&encoded(&message)).ok().flatten()),
            Ok(None) => {}
            Err(error) => assert!(!error.to_string().is_empty()),
        }
        match decode_client(line) {
            Ok(message) => {
                again(&message, decode_client(&encoded(&message)).ok());
                // A server costs more than a text.
                if client.is_none() {
                    client = server().map(Client::new);
                }
                if let Some(client) = &mut client {
                    client.asks(message);
                }
            }
            Err(error) => assert!(!error.to_string().is_empty()),
        }
    }
    nothing_of_ours_panicked();
}

fn encoded(message: &impl Serialize) -> String {
    encode(message).unwrap_or_default()
}

fn again<T: Debug + PartialEq>(message: &T, back: Option<T>) {
    assert_eq!(Some(message), back.as_ref());
}

/// A client, whose last transport of each direction, track and consumer are what it means.
struct Client {
    server: LoneShard,
    now: Instant,
    out: Option<LoneTransport>,
    into: Option<LoneTransport>,
    track: Option<LoneTrack>,
    consumer: Option<LoneConsumer>,
}

impl Client {
    fn new(server: LoneShard) -> Self {
        Self { server, now: Instant::now(), out: None, into: None, track: None, consumer: None }
    }

    fn asks(&mut self, message: ClientMessage) {
        use shaper_webrtc::serve::LoneChange::{Consumer, EndTrack, Layer, Track};
        let (server, now) = (&mut self.server, self.now);
        match message {
            ClientMessage::CreateSendTransport => self.out = server.opened(true, now).ok(),
            ClientMessage::CreateRecvTransport => self.into = server.opened(false, now).ok(),
            ClientMessage::ConnectTransport { dtls_parameters, .. } => {
                for transport in [&self.out, &self.into].into_iter().flatten() {
                    let _ = server.connect(transport, &dtls_parameters, now);
                }
            }
            ClientMessage::Produce { kind, rtp_parameters, .. } => {
                if let Some(out) = &self.out {
                    self.track = server.produce(out, kind, &rtp_parameters, now).ok().or(self.track);
                }
            }
            ClientMessage::Consume { .. } => {
                if let (Some(into), Some(track)) = (&self.into, self.track) {
                    self.consumer = server.consume(into, track, now).ok().or(self.consumer);
                }
            }
            ClientMessage::RestartIce { .. } => {
                for transport in [&self.out, &self.into].into_iter().flatten() {
                    let _ = server.restart(transport);
                }
            }
            ClientMessage::PauseProducer { .. } => self.change(|client| client.track.map(|of| Track(of, true))),
            ClientMessage::ResumeProducer { .. } => self.change(|client| client.track.map(|of| Track(of, false))),
            ClientMessage::CloseProducer { .. } => self.change(|client| client.track.take().map(EndTrack)),
            ClientMessage::PauseConsumer { .. } => self.change(|client| client.consumer.map(|of| Consumer(of, true))),
            ClientMessage::ResumeConsumer { .. } => self.change(|client| client.consumer.map(|of| Consumer(of, false))),
            ClientMessage::SetConsumerPreferredLayers { spatial_layer, .. } => {
                self.change(|client| client.consumer.map(|of| Layer(of, spatial_layer)));
            }
            ClientMessage::JoinRoom { .. }
            | ClientMessage::GetRouterRtpCapabilities
            | ClientMessage::LeaveRoom
            | ClientMessage::Reconnect { .. } => {}
        }
        self.server.tick(self.now);
    }

    fn change(&mut self, of: impl FnOnce(&mut Self) -> Option<shaper_webrtc::serve::LoneChange>) {
        if let Some(change) = of(self) {
            self.server.change(change, self.now);
        }
    }
}
