//! What the signalling thread asks of workers, and what they tell it.

use std::time::Instant;

use str0m::ice::IceCreds;
use tokio::sync::oneshot;

use super::LegNumber;
use super::leg::Leg;
use super::stream::NewStream;
use super::track::NewTrack;

/// What is asked.
pub(crate) enum Command {
    /// Drive a leg.
    Open(Box<Leg>),
    /// Send tracks on a leg, once it is up.
    Publish { leg: LegNumber, tracks: Vec<NewTrack> },
    /// Receive a track; answered when packets of it are known.
    Subscribe { leg: LegNumber, stream: NewStream, done: oneshot::Sender<Result<(), String>> },
    /// A track has ended.
    Unsubscribe { leg: LegNumber, producer: String },
    /// Use other ICE credentials.
    RestartIce { leg: LegNumber, remote: IceCreds },
    /// Send nothing more on a leg: it will be closed.
    Quiet { leg: LegNumber },
    /// End a leg; its report is kept. Its subscriptions ended then, or end now.
    Close { leg: LegNumber, since: Option<Instant> },
    /// Send no media any more.
    StopSending,
    /// End all legs, and the worker.
    Stop,
}

/// What is told of a leg.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct LegEvent {
    pub(crate) leg: LegNumber,
    pub(crate) what: Happened,
}

/// What happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Happened {
    /// Connectivity checks have succeeded.
    IceUp,
    /// They do not succeed any more.
    IceDown,
    /// DTLS is up, too.
    Up,
    /// The first media packet has gone out.
    Sent,
    /// The first media packet of a subscription has come, or the first since ICE went down or up.
    Received { producer: String },
    /// The leg is over.
    Ended { reason: String },
}
