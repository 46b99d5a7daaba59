//! What the control plane tells a shard, and what a shard tells it.

use tokio::sync::oneshot;

use crate::serve::ids::Id;
use crate::signal::rtp::{MediaKind, RtpParameters};
use crate::signal::transport::{DtlsParameters, IceCandidate, IceParameters};

/// The number of a leg, unique in the server. The mapping log shows it.
pub(crate) type LegNumber = u32;

/// Where the answer to a command goes. Refusals are for the client to read.
pub(crate) type Reply<T> = oneshot::Sender<Result<T, String>>;

/// Whose a leg is.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Owner {
    pub(crate) room: Id,
    pub(crate) participant: Id,
    pub(crate) transport: Id,
}

/// Which way media flows on a leg, as the server sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Flow {
    In,
    Out,
}

/// A new leg by ICE and DTLS parameters.
#[derive(Debug)]
pub(crate) struct Opened {
    pub(crate) leg: LegNumber,
    pub(crate) ice: IceParameters,
    pub(crate) candidates: Vec<IceCandidate>,
    pub(crate) dtls: DtlsParameters,
}

/// A new leg by SDP.
#[derive(Debug)]
pub(crate) struct Answered {
    pub(crate) leg: LegNumber,
    pub(crate) answer: String,
    /// What can come in or go out: one for each media section.
    pub(crate) sections: Vec<Section>,
}

/// A media section of an SDP.
#[derive(Clone, Debug)]
pub(crate) struct Section {
    pub(crate) mid: String,
    pub(crate) kind: MediaKind,
    /// The producer that was made for it, where media comes in.
    pub(crate) producer: Option<Id>,
}

/// What a shard is told to do.
#[derive(Debug)]
pub(crate) enum Command {
    Open {
        owner: Owner,
        flow: Flow,
        reply: Reply<Opened>,
    },
    Answer {
        owner: Owner,
        flow: Flow,
        offer: Box<str0m::change::SdpOffer>,
        reply: Reply<Answered>,
    },
    Connect {
        leg: LegNumber,
        dtls: DtlsParameters,
        reply: Reply<()>,
    },
    /// The user name fragment that was last told.
    Credentials {
        leg: LegNumber,
        reply: Reply<String>,
    },
    RestartIce {
        leg: LegNumber,
        reply: Reply<IceParameters>,
    },
    Produce {
        leg: LegNumber,
        producer: Id,
        kind: MediaKind,
        parameters: RtpParameters,
        reply: Reply<()>,
    },
    Consume {
        leg: LegNumber,
        consumer: Id,
        producer: Id,
        reply: Reply<(MediaKind, RtpParameters)>,
    },
    /// A consumer on a media section that SDP made.
    ConsumeAt {
        leg: LegNumber,
        consumer: Id,
        producer: Id,
        mid: String,
        reply: Reply<()>,
    },
    PauseConsumer {
        consumer: Id,
        paused: bool,
    },
    PauseProducer {
        producer: Id,
        paused: bool,
    },
    Prefer {
        consumer: Id,
        layer: u8,
    },
    CloseConsumer {
        consumer: Id,
    },
    CloseProducer {
        producer: Id,
    },
    CloseLeg {
        leg: LegNumber,
    },
    /// Close all legs and end.
    Stop,
}

/// What a shard tells by itself.
#[derive(Debug)]
pub(crate) enum ShardEvent {
    /// A leg ended by itself, and all that was on it.
    LegDown { participant: Id, transport: Id, reason: String },
    /// What is measured towards a client.
    Stats { participant: Id, available_bitrate: Option<f64>, rtt: Option<f64> },
    /// Who speaks in a room.
    Speaker { room: Id, participant: Option<Id> },
}
