//! Clients: one task each on the signalling thread. What they do with media, workers do.

pub(crate) mod chat;
mod outage;
mod sdp;
mod session;
mod tracks;
pub(crate) mod transport;
mod wire;

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::mpsc::{Receiver, UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::sync::watch;
use tokio::time::Instant;

use self::outage::Out;
use super::config::{LoadConfig, Target};
use super::failure::{Failure, Stage};
use super::plan::Part;
use super::results::Signalled;
use super::worker::command::{Command, Happened, LegEvent};
use super::worker::{LegNumber, Progress, WorkerHandle};
use crate::identity::Identity;

/// Errors of a client that are kept; more are not told apart from these.
const ERRORS: usize = 100;

/// What all clients share.
pub(crate) struct Common {
    pub(crate) config: LoadConfig,
    /// Where the server is, or why that is not known.
    pub(crate) server: Result<SocketAddr, String>,
    pub(crate) identity: Identity,
    pub(crate) workers: Vec<WorkerHandle>,
    pub(crate) progress: Progress,
    /// Which track of which client a producer is.
    pub(crate) producers: Mutex<HashMap<String, (u32, u32)>>,
    pub(crate) legs: AtomicU64,
}

/// One client.
pub(crate) struct Client {
    pub(crate) common: Arc<Common>,
    pub(crate) index: usize,
    pub(crate) part: Part,
    /// True when the run is over.
    pub(crate) over: watch::Receiver<bool>,
    /// Each asks it to leave and come back.
    pub(crate) churn: Receiver<()>,
    pub(crate) told: Signalled,
    /// When the run began.
    start: Instant,
    began: Instant,
    /// Since when media is away, if it is.
    out: Option<Out>,
    /// Since when a WebSocket is lost that has not been taken up.
    signalling_lost: Option<Instant>,
    /// What it is at, until it is in a room.
    at: Stage,
    /// The number of the next track: of this client's no two are the same.
    next_track: AtomicU32,
    legs: Legs,
}

/// What is known of the legs of a client.
pub(crate) struct Legs {
    pub(crate) events: UnboundedReceiver<LegEvent>,
    pub(crate) sender: UnboundedSender<LegEvent>,
    pub(crate) all: HashMap<LegNumber, LegState>,
}

/// How far a leg is.
#[derive(Clone, Debug, Default)]
pub(crate) struct LegState {
    pub(crate) transport_id: String,
    pub(crate) ice_up: bool,
    pub(crate) up: bool,
    pub(crate) ended: Option<String>,
}

impl Client {
    pub(crate) fn new(
        common: Arc<Common>,
        index: usize,
        part: Part,
        over: watch::Receiver<bool>,
        churn: Receiver<()>,
    ) -> Self {
        let (sender, events) = unbounded_channel();
        let told =
            Signalled { client: index, room: part.room.clone(), publishes: part.publishes, ..Signalled::default() };
        let legs = Legs { events, sender, all: HashMap::new() };
        Self {
            common,
            index,
            part,
            over,
            churn,
            told,
            start: Instant::now(),
            began: Instant::now(),
            out: None,
            signalling_lost: None,
            at: Stage::Connect,
            next_track: AtomicU32::new(0),
            legs,
        }
    }

    /// Begins when it is to, and runs until the run is over or it has failed.
    pub(crate) async fn run(mut self, start: Instant) -> Signalled {
        self.start = start;
        let begins = start + self.part.begins;
        tokio::select! {
            () = tokio::time::sleep_until(begins) => {}
            () = over(&mut self.over) => return self.told,
        }
        self.began = Instant::now();
        let kill = self.killed_at(self.index);
        let killed = async {
            match kill {
                Some(at) => tokio::time::sleep_until(at).await,
                None => std::future::pending().await,
            }
        };
        // What it was at is dropped in the middle, and with it its WebSocket.
        let lived = tokio::select! {
            biased;
            () = killed => None,
            lived = self.live() => Some(lived),
        };
        match lived {
            Some(Ok(())) => {}
            Some(Err(failure)) => {
                self.settle();
                self.fail(&failure);
            }
            None => {
                self.told.killed_after = Some(start.elapsed().as_secs_f64());
                self.close_legs();
            }
        }
        self.settle();
        self.told
    }

    /// When a client is killed, if it is.
    fn killed_at(&self, client: usize) -> Option<Instant> {
        let kills = self.common.config.faults.kills.iter().filter(|(of, _)| *of == client);
        kills.map(|(_, at)| self.start + *at).min()
    }

    /// Whether a client has been killed.
    fn is_killed(&self, client: usize) -> bool {
        self.killed_at(client).is_some_and(|at| at <= Instant::now())
    }

    async fn live(&mut self) -> Result<(), Failure> {
        let server = self.common.server.clone().map_err(|reason| Failure::new(Stage::Resolve, reason))?;
        match self.common.config.target {
            Target::SimplestChat => self.live_in_rooms(server).await,
            Target::Whip | Target::Whep => self.live_by_sdp(server).await,
        }
    }

    /// Whether the run is over.
    pub(crate) fn is_over(&self) -> bool {
        *self.over.borrow()
    }

    pub(crate) fn timeout(&self) -> Duration {
        self.common.config.timeout
    }

    pub(crate) fn at(&self) -> Stage {
        self.at
    }

    pub(crate) fn set_at(&mut self, stage: Stage) {
        self.at = stage;
    }

    /// The worker that has this client's legs.
    pub(crate) fn command(&self, command: Command) {
        let count = self.common.workers.len().max(1);
        if let Some(worker) = self.common.workers.get(self.index % count) {
            worker.send(command);
        }
    }

    /// Notes a failure: the first has the stage.
    pub(crate) fn fail(&mut self, failure: &Failure) {
        self.told.failed_stage.get_or_insert(failure.stage);
        self.note(failure);
    }

    /// Notes what went wrong, and may be over.
    fn note(&mut self, failure: &Failure) {
        if self.told.errors.len() < ERRORS {
            self.told.errors.push(failure.to_string());
        }
    }

    pub(crate) fn next_track(&self) -> u32 {
        self.next_track.fetch_add(1, Ordering::Relaxed)
    }

    /// Notes who sends what the server calls a producer.
    pub(crate) fn own(&mut self, producer: String, track: u32) {
        self.told.producers_created += 1;
        let client = u32::try_from(self.index).unwrap_or(u32::MAX);
        let mut producers = self.common.producers.lock().unwrap_or_else(PoisonError::into_inner);
        producers.insert(producer, (client, track));
    }

    /// Notes that media flows, if it is the first time.
    pub(crate) fn connected(&mut self) {
        if self.told.connected_after.is_none() {
            self.told.connected_after = Some(self.began.elapsed().as_secs_f64() * 1e3);
        }
    }

    /// Ends all legs; what they measured is kept.
    pub(crate) fn close_legs(&mut self) {
        // While it was away nothing could come: how long that was is told instead.
        let since = self.out.as_ref().map(|out| out.since.into_std());
        let legs: Vec<LegNumber> = self.legs.all.drain().map(|(leg, _)| leg).collect();
        for leg in legs {
            self.command(Command::Close { leg, since });
        }
    }
}

impl Legs {
    /// Notes what happened to a leg.
    pub(crate) fn note(&mut self, event: &LegEvent) {
        let Some(leg) = self.all.get_mut(&event.leg) else { return };
        match &event.what {
            Happened::IceUp => leg.ice_up = true,
            Happened::IceDown => leg.ice_up = false,
            Happened::Up => leg.up = true,
            Happened::Ended { reason } => leg.ended = Some(reason.clone()),
            Happened::Sent | Happened::Received { .. } => {}
        }
    }
}

/// Returns when the run is over.
pub(crate) async fn over(over: &mut watch::Receiver<bool>) {
    // Whoever runs it is gone: so it is.
    let _ = over.wait_for(|over| *over).await;
}
