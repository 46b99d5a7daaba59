//! Texts to messages and back.

use serde::{Deserialize, Serialize, de::DeserializeOwned};

use super::{ClientMessage, ServerMessage};

/// Longest piece of what a peer sent that an error repeats, in characters.
const SHOWN: usize = 64;

/// Why a text is no message.
#[derive(Debug, thiserror::Error)]
pub enum SignalError {
    /// It is no JSON object with a text as `type`.
    #[error("cannot read the message: {0}: send one JSON object with a field \"type\"")]
    NoMessage(serde_json::Error),
    /// The dialect has no message of this type.
    #[error("there is no message of the type \"{0}\" in this direction")]
    UnknownType(String),
    /// The type is known, and its fields are not what they must be.
    #[error("cannot read {message}: {source}")]
    BadFields {
        /// The message's type.
        message: String,
        /// What is wrong with it.
        source: serde_json::Error,
    },
}

#[derive(Deserialize)]
struct Tag {
    #[serde(rename = "type")]
    name: String,
}

/// Reads what a client said.
///
/// # Errors
///
/// [`SignalError`]; a server answers it by [`ServerMessage::Error`].
pub fn decode_client(text: &str) -> Result<ClientMessage, SignalError> {
    decode(text)
}

/// Reads what a server said: none for a message of a type that this dialect does not have, which a
/// client passes over.
///
/// # Errors
///
/// [`SignalError`], but no [`SignalError::UnknownType`].
pub fn decode_server(text: &str) -> Result<Option<ServerMessage>, SignalError> {
    match decode(text) {
        Ok(message) => Ok(Some(message)),
        Err(SignalError::UnknownType(_)) => Ok(None),
        Err(error) => Err(error),
    }
}

/// Writes a message of either direction.
///
/// # Errors
///
/// None that the types of this module can cause.
pub fn encode(message: &impl Serialize) -> Result<String, serde_json::Error> {
    serde_json::to_string(message)
}

fn decode<T: DeserializeOwned + Known>(text: &str) -> Result<T, SignalError> {
    match serde_json::from_str(text) {
        Ok(message) => Ok(message),
        Err(source) => Err(match serde_json::from_str::<Tag>(text) {
            Err(error) => SignalError::NoMessage(error),
            Ok(Tag { name }) if T::knows(&name) => SignalError::BadFields { message: name, source },
            Ok(Tag { name }) => SignalError::UnknownType(name.chars().take(SHOWN).collect()),
        }),
    }
}

/// A direction, by the types that it has.
trait Known {
    fn knows(name: &str) -> bool;
}

impl Known for ClientMessage {
    fn knows(name: &str) -> bool {
        matches!(
            name,
            "joinRoom"
                | "getRouterRtpCapabilities"
                | "createSendTransport"
                | "createRecvTransport"
                | "connectTransport"
                | "produce"
                | "consume"
                | "resumeConsumer"
                | "pauseConsumer"
                | "closeProducer"
                | "pauseProducer"
                | "resumeProducer"
                | "leaveRoom"
                | "reconnect"
                | "restartIce"
                | "setConsumerPreferredLayers"
        )
    }
}

impl Known for ServerMessage {
    fn knows(name: &str) -> bool {
        matches!(
            name,
            "roomJoined"
                | "routerRtpCapabilities"
                | "transportCreated"
                | "transportConnected"
                | "producerCreated"
                | "consumerCreated"
                | "reconnectResult"
                | "iceRestarted"
                | "participantJoined"
                | "participantLeft"
                | "newProducer"
                | "producerClosed"
                | "producerPaused"
                | "producerResumed"
                | "consumerPaused"
                | "consumerResumed"
                | "connectionStats"
                | "activeSpeaker"
                | "error"
        )
    }
}
