//! What a server says.

use serde::{Deserialize, Serialize};

use super::rtp::{MediaKind, RtpCapabilities, RtpParameters};
use super::transport::{DtlsParameters, IceCandidate, IceParameters, IceServer};

/// A track that a participant sends, as others see it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ProducerInfo {
    /// What `consume` names.
    pub id: String,
    /// Audio or video.
    pub kind: MediaKind,
    /// Where the track is from, as its owner said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<String>,
}

/// A participant, as others see it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ParticipantInfo {
    /// Unique in the server.
    pub id: String,
    /// As it called itself.
    pub name: String,
    /// The tracks that it sends now.
    #[serde(default)]
    pub producers: Vec<ProducerInfo>,
    /// Its role in the room.
    #[serde(default)]
    pub role: String,
}

/// A message from server to client.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "camelCase", rename_all_fields = "camelCase")]
pub enum ServerMessage {
    /// The answer to `joinRoom`.
    RoomJoined {
        /// Who the client is now.
        participant_id: String,
        /// All others in the room.
        #[serde(default)]
        participants: Vec<ParticipantInfo>,
        /// What `reconnect` takes, once.
        reconnect_token: String,
        /// The client's role in the room.
        your_role: String,
        /// What else the server tells of the room; its form is the server's own.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        room_settings: Option<serde_json::Value>,
    },
    /// The answer to `getRouterRtpCapabilities`.
    RouterRtpCapabilities {
        /// What the server can forward.
        rtp_capabilities: RtpCapabilities,
    },
    /// The answer to `createSendTransport` and `createRecvTransport`.
    TransportCreated {
        /// The new transport.
        transport_id: String,
        /// The server's ICE credentials.
        ice_parameters: IceParameters,
        /// Where the server listens.
        ice_candidates: Vec<IceCandidate>,
        /// The server's fingerprints.
        dtls_parameters: DtlsParameters,
        /// STUN and TURN servers to use, if any are needed.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        ice_servers: Option<Vec<IceServer>>,
    },
    /// The answer to `connectTransport`. It says that the parameters were taken, not that ICE or DTLS
    /// are up.
    TransportConnected {
        /// Which transport.
        transport_id: String,
    },
    /// The answer to `produce`.
    ProducerCreated {
        /// The new producer.
        producer_id: String,
    },
    /// The answer to `consume`.
    ConsumerCreated {
        /// The new consumer, which is paused.
        consumer_id: String,
        /// What it consumes.
        producer_id: String,
        /// Audio or video.
        kind: MediaKind,
        /// What will be received: media identification, codec, extensions, SSRCs.
        rtp_parameters: RtpParameters,
    },
    /// The answer to `reconnect`.
    ReconnectResult {
        /// Whether the participant was taken over.
        success: bool,
        /// Who the client is now.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        participant_id: Option<String>,
        /// All others in the room.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        participants: Option<Vec<ParticipantInfo>>,
        /// The token for the next time; the old one is spent.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        reconnect_token: Option<String>,
        /// Why it was not taken over.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        message: Option<String>,
    },
    /// The answer to `restartIce`.
    IceRestarted {
        /// Which transport.
        transport_id: String,
        /// The new credentials; the old ones hold until the client uses these.
        ice_parameters: IceParameters,
    },
    /// Somebody came into the room.
    ParticipantJoined {
        /// Who.
        participant_id: String,
        /// As it called itself.
        #[serde(default)]
        participant_name: String,
        /// Its role.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        role: Option<String>,
    },
    /// Somebody left the room, or was given up.
    ParticipantLeft {
        /// Who.
        participant_id: String,
    },
    /// Somebody sends a new track.
    NewProducer {
        /// Who.
        participant_id: String,
        /// What `consume` names.
        producer_id: String,
        /// Audio or video.
        kind: MediaKind,
        /// Where the track is from, as its owner said.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        source: Option<String>,
    },
    /// A track ended, and each consumer of it. Told to its owner too, as the answer to
    /// `closeProducer`.
    ProducerClosed {
        /// Which.
        producer_id: String,
        /// Whose.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        participant_id: Option<String>,
    },
    /// A track is held back by its owner, who is told too.
    ProducerPaused {
        /// Which.
        producer_id: String,
        /// Whose.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        participant_id: Option<String>,
    },
    /// A track goes on; its owner is told too.
    ProducerResumed {
        /// Which.
        producer_id: String,
        /// Whose.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        participant_id: Option<String>,
    },
    /// A consumer of this client's is paused.
    ConsumerPaused {
        /// Which.
        consumer_id: String,
    },
    /// A consumer of this client's flows.
    ConsumerResumed {
        /// Which.
        consumer_id: String,
    },
    /// What the server measures of this client's receiving transport.
    ConnectionStats {
        /// The estimated bandwidth towards the client, in bits a second.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        available_bitrate: Option<f64>,
        /// The round-trip time in seconds.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        rtt: Option<f64>,
    },
    /// Who speaks, by the audio levels in RTP header extensions.
    ActiveSpeaker {
        /// Who; none when nobody does.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        participant_id: Option<String>,
    },
    /// A request was refused, or could not be read.
    Error {
        /// What was tried, and why it failed.
        message: String,
    },
}
