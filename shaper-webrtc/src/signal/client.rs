//! What a client says.

use serde::{Deserialize, Serialize};

use super::rtp::{MediaKind, RtpCapabilities, RtpParameters};
use super::transport::DtlsParameters;

/// A message from client to server. Ids are the server's own and opaque.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "camelCase", rename_all_fields = "camelCase")]
pub enum ClientMessage {
    /// Enter a room, which the first to come makes. Answered by `roomJoined`.
    JoinRoom {
        /// The room's name.
        room_id: String,
        /// The name that others see; it need not be unique.
        participant_name: String,
        /// What the room was made with, if anything.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        password: Option<String>,
    },
    /// Ask what the server can forward. Answered by `routerRtpCapabilities`.
    GetRouterRtpCapabilities,
    /// Make the transport that this client sends on. Answered by `transportCreated`.
    CreateSendTransport,
    /// Make the transport that this client receives on. Answered by `transportCreated`.
    CreateRecvTransport,
    /// Tell the client's DTLS fingerprint, which lets the handshake begin. Answered by
    /// `transportConnected`.
    ConnectTransport {
        /// Which of the client's transports.
        transport_id: String,
        /// The client's role and fingerprints.
        dtls_parameters: DtlsParameters,
    },
    /// Announce a track that the client sends. Answered by `producerCreated`; others learn of it by
    /// `newProducer`.
    Produce {
        /// A transport made by `createSendTransport`.
        transport_id: String,
        /// Audio or video.
        kind: MediaKind,
        /// What is sent: codec, extensions, and SSRCs or restriction identifiers.
        rtp_parameters: RtpParameters,
        /// Where the track is from, such as `mic`, `camera` or `screen`; passed on as it is.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        source: Option<String>,
    },
    /// Ask for somebody's track. Answered by `consumerCreated`; nothing flows before `resumeConsumer`.
    Consume {
        /// Which track.
        producer_id: String,
        /// What this client can receive.
        rtp_capabilities: RtpCapabilities,
    },
    /// Let a consumer's packets flow, once the client knows their SSRC.
    ResumeConsumer {
        /// Which consumer.
        consumer_id: String,
    },
    /// Hold a consumer's packets back.
    PauseConsumer {
        /// Which consumer.
        consumer_id: String,
    },
    /// End a track of one's own.
    CloseProducer {
        /// Which producer.
        producer_id: String,
    },
    /// Forward nothing of a track of one's own for a while.
    PauseProducer {
        /// Which producer.
        producer_id: String,
    },
    /// Forward a track of one's own again.
    ResumeProducer {
        /// Which producer.
        producer_id: String,
    },
    /// Leave the room; transports, producers and consumers end. Not answered.
    LeaveRoom,
    /// Take over, on a new WebSocket, a participant whose WebSocket was lost, with all that it had.
    /// Answered by `reconnectResult`.
    Reconnect {
        /// The participant, as `roomJoined` named it.
        participant_id: String,
        /// Its room.
        room_id: String,
        /// The last token that the participant was given.
        reconnect_token: String,
    },
    /// Ask for new ICE credentials of a transport. Answered by `iceRestarted`.
    RestartIce {
        /// Which of the client's transports.
        transport_id: String,
    },
    /// Choose the layer of a simulcast track that a consumer gets. It takes effect at a key frame.
    SetConsumerPreferredLayers {
        /// Which consumer.
        consumer_id: String,
        /// 0 is the smallest, in the order of the producer's encodings; more than there are means the
        /// largest.
        spatial_layer: u8,
        /// The highest temporal layer that is wanted.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        temporal_layer: Option<u8>,
    },
}
