//! A client in a room: what it asks for, and what it is told.

use std::collections::{HashMap, VecDeque};
use std::net::SocketAddr;
use std::sync::PoisonError;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::time::{Instant, timeout};

use super::transport::{Flow, Remote, credentials};
use super::wire::Wire;
use super::{Client, tracks};
use crate::load::failure::{Failure, Stage};
use crate::load::worker::LegNumber;
use crate::load::worker::command::Command;
use crate::load::worker::stream::NewStream;
use crate::signal::ParticipantInfo;
use crate::signal::codecs::router_capabilities;
use crate::signal::rtp::{MediaKind, RtpParameters};
use crate::signal::{ClientMessage, ServerMessage};

/// Subscriptions that are asked for at once: with their answers 80 messages a second, where servers
/// take 100.
const BATCH: usize = 4;
/// How long a worker may take to make a track known.
const WORKER: Duration = Duration::from_secs(5);

/// A track of somebody else.
#[derive(Clone, Debug)]
struct Offered {
    producer: String,
    participant: String,
    kind: MediaKind,
}

/// A subscription.
#[derive(Clone, Debug)]
pub(super) struct Subscribed {
    participant: String,
    kind: MediaKind,
    since: Instant,
    pub(super) received: bool,
    complained: bool,
}

/// A room that a client is in.
pub(crate) struct Room {
    pub(super) wire: Wire,
    pub(super) participant: String,
    pub(super) token: String,
    pub(super) send: Option<LegNumber>,
    pub(super) receive: Option<LegNumber>,
    /// Since when its transports may connect.
    since: Instant,
    pub(super) sent: bool,
    /// Whether its transports have been up with media on them.
    pub(super) connected: bool,
    /// Whether anything was received since ICE last went down or up.
    pub(super) heard: bool,
    /// Not subscribed to yet.
    offered: VecDeque<Offered>,
    /// Asked for, and since when.
    asked: VecDeque<(Offered, Instant)>,
    pub(super) subscribed: HashMap<String, Subscribed>,
}

impl Room {
    pub(super) fn legs(&self) -> impl Iterator<Item = LegNumber> + use<> {
        self.send.into_iter().chain(self.receive)
    }

    fn offer(&mut self, participant: &str, producer: &str, kind: MediaKind) {
        let known = self.subscribed.contains_key(producer)
            || self.offered.iter().any(|offered| offered.producer == producer)
            || self.asked.iter().any(|(offered, _)| offered.producer == producer);
        if !known {
            let (producer, participant) = (producer.to_owned(), participant.to_owned());
            self.offered.push_back(Offered { producer, participant, kind });
        }
    }

    /// Takes over who is there; gives back whose tracks are not any more.
    pub(super) fn resync(&mut self, participants: &[ParticipantInfo]) -> Vec<String> {
        for participant in participants {
            for producer in &participant.producers {
                self.offer(&participant.id, &producer.id, producer.kind);
            }
        }
        let there = |id: &String| {
            participants.iter().flat_map(|participant| &participant.producers).any(|producer| producer.id == *id)
        };
        self.subscribed.keys().filter(|id| !there(id)).cloned().collect()
    }

    /// What was asked for is asked again.
    pub(super) fn forget_questions(&mut self) {
        self.offered.extend(self.asked.drain(..).map(|(offered, _)| offered));
    }

    pub(super) async fn leave(self) {
        self.wire.close(&ClientMessage::LeaveRoom).await;
    }
}

impl Client {
    /// Joins, makes transports and announces tracks. Transports connect meanwhile.
    pub(super) async fn enter(&mut self, server: SocketAddr) -> Result<Room, Failure> {
        self.set_at(Stage::Connect);
        let wire = Wire::open(&self.common, self.index, server, self.deadline()).await?;
        let mut room = self.join(wire).await?;
        if self.part.publishes {
            room.send = Some(self.transport(&mut room.wire, Flow::Out).await?);
        }
        if self.part.subscribes {
            room.receive = Some(self.transport(&mut room.wire, Flow::In).await?);
        }
        room.since = Instant::now();
        if let Some(leg) = room.send {
            self.produce(&mut room.wire, leg).await?;
        }
        Ok(room)
    }

    fn deadline(&self) -> Instant {
        Instant::now() + self.timeout()
    }

    async fn join(&mut self, mut wire: Wire) -> Result<Room, Failure> {
        self.set_at(Stage::Join);
        let join = ClientMessage::JoinRoom {
            room_id: self.part.room.clone(),
            participant_name: format!("client-{}", self.index),
            password: None,
        };
        let joined = wire.ask(Stage::Join, &join, self.deadline(), |message| match message {
            ServerMessage::RoomJoined { participant_id, participants, reconnect_token, .. } => {
                Some((participant_id.clone(), participants.clone(), reconnect_token.clone()))
            }
            _ => None,
        });
        let (participant, participants, token) = joined.await?;
        let ask = ClientMessage::GetRouterRtpCapabilities;
        let told = wire.ask(Stage::Join, &ask, self.deadline(), |message| {
            matches!(message, ServerMessage::RouterRtpCapabilities { .. }).then_some(())
        });
        told.await?;
        let mut room = Room {
            wire,
            participant,
            token,
            send: None,
            receive: None,
            since: Instant::now(),
            sent: false,
            connected: false,
            heard: false,
            offered: VecDeque::new(),
            asked: VecDeque::new(),
            subscribed: HashMap::new(),
        };
        room.resync(&participants);
        Ok(room)
    }

    async fn transport(&mut self, wire: &mut Wire, flow: Flow) -> Result<LegNumber, Failure> {
        self.set_at(Stage::Transport);
        let create = match flow {
            Flow::Out => ClientMessage::CreateSendTransport,
            Flow::In => ClientMessage::CreateRecvTransport,
        };
        let created = wire.ask(Stage::Transport, &create, self.deadline(), |message| match message {
            ServerMessage::TransportCreated {
                transport_id, ice_parameters, ice_candidates, dtls_parameters, ..
            } => Some(Remote {
                transport_id: transport_id.clone(),
                ice: ice_parameters.clone(),
                candidates: ice_candidates.clone(),
                dtls: dtls_parameters.clone(),
            }),
            _ => None,
        });
        let remote = created.await?;
        let (leg, dtls_parameters) = self.open_leg(flow, &remote).await?;
        let connect = ClientMessage::ConnectTransport { transport_id: remote.transport_id.clone(), dtls_parameters };
        let connected = wire.ask(Stage::Transport, &connect, self.deadline(), |message| match message {
            ServerMessage::TransportConnected { transport_id } => (*transport_id == remote.transport_id).then_some(()),
            _ => None,
        });
        connected.await?;
        Ok(leg)
    }

    async fn produce(&mut self, wire: &mut Wire, leg: LegNumber) -> Result<(), Failure> {
        self.set_at(Stage::Produce);
        let Some(transport_id) = self.legs.all.get(&leg).map(|leg| leg.transport_id.clone()) else { return Ok(()) };
        let sections = tracks::sections(&self.common.config, || self.next_track());
        let sections = sections.map_err(|error| Failure::new(Stage::Produce, format!("no random number: {error}")))?;
        for section in sections {
            let produce = ClientMessage::Produce {
                transport_id: transport_id.clone(),
                kind: section.kind,
                rtp_parameters: section.parameters,
                source: None,
            };
            let created = wire.ask(Stage::Produce, &produce, self.deadline(), |message| match message {
                ServerMessage::ProducerCreated { producer_id } => Some(producer_id.clone()),
                _ => None,
            });
            let producer = created.await?;
            if let Some(first) = section.tracks.first() {
                self.own(producer, first.id);
            }
            self.command(Command::Publish { leg, tracks: section.tracks });
        }
        Ok(())
    }

    /// Obeys what the server says.
    ///
    /// # Errors
    ///
    /// Why the WebSocket is lost.
    pub(super) async fn told_by_server(&mut self, room: &mut Room, message: ServerMessage) -> Result<(), String> {
        match message {
            ServerMessage::NewProducer { participant_id, producer_id, kind, .. } => {
                room.offer(&participant_id, &producer_id, kind);
            }
            ServerMessage::ConsumerCreated { consumer_id, producer_id, kind, rtp_parameters } => {
                return self.consume(room, consumer_id, producer_id, kind, &rtp_parameters).await;
            }
            ServerMessage::ProducerClosed { producer_id, .. } => self.producer_gone(room, &producer_id),
            ServerMessage::ParticipantLeft { participant_id } => {
                let of = |(id, subscribed): (&String, &Subscribed)| {
                    (subscribed.participant == participant_id).then(|| id.clone())
                };
                let gone: Vec<String> = room.subscribed.iter().filter_map(of).collect();
                for producer in gone {
                    self.producer_gone(room, &producer);
                }
                room.offered.retain(|offered| offered.participant != participant_id);
            }
            ServerMessage::IceRestarted { transport_id, ice_parameters } => {
                let found = self.legs.all.iter().find(|(_, state)| state.transport_id == transport_id);
                if let Some((leg, _)) = found {
                    let leg = *leg;
                    self.told.ice_restarts += 1;
                    self.command(Command::RestartIce { leg, remote: credentials(&ice_parameters) });
                }
            }
            ServerMessage::Error { message } => {
                // Answers come in order: it is that of the oldest question, if there is one.
                let stage = if room.asked.pop_front().is_some() { Stage::Consume } else { Stage::Signalling };
                self.fail(&Failure::new(stage, format!("refused: {message}")));
            }
            _ => {}
        }
        Ok(())
    }

    async fn consume(
        &mut self,
        room: &mut Room,
        consumer_id: String,
        producer: String,
        kind: MediaKind,
        parameters: &RtpParameters,
    ) -> Result<(), String> {
        let place = room.asked.iter().position(|(offered, _)| offered.producer == producer);
        let asked = place.and_then(|place| room.asked.remove(place));
        // One that was not asked for, or has ended meanwhile.
        let (Some((offered, _)), Some(leg)) = (asked, room.receive) else { return Ok(()) };
        let of = self.owner(&producer);
        let stream = match new_stream(&producer, kind, parameters, self.common.config.simulcast, of) {
            Ok(stream) => stream,
            Err(reason) => {
                self.fail(&Failure::new(Stage::Consume, reason));
                return Ok(());
            }
        };
        let (done, known) = oneshot::channel();
        self.command(Command::Subscribe { leg, stream, done });
        let known = match timeout(WORKER, known).await {
            Ok(Ok(known)) => known,
            Ok(Err(_)) => Err("the thread that handles media has ended".to_owned()),
            Err(_) => Err("the thread that handles media does not answer".to_owned()),
        };
        if let Err(reason) = known {
            self.fail(&Failure::new(Stage::Consume, reason));
            return Ok(());
        }
        self.told.consumers_created += 1;
        let Offered { participant, kind, .. } = offered;
        let subscribed = Subscribed { participant, kind, since: Instant::now(), received: false, complained: false };
        room.subscribed.insert(producer, subscribed);
        room.wire.send(&ClientMessage::ResumeConsumer { consumer_id }).await
    }

    /// A track has ended.
    pub(super) fn producer_gone(&mut self, room: &mut Room, producer: &str) {
        room.offered.retain(|offered| offered.producer != producer);
        // At the end of the run everybody leaves, and nothing is missing for that.
        if room.subscribed.remove(producer).is_some()
            && !self.is_over()
            && let Some(leg) = room.receive
        {
            self.command(Command::Unsubscribe { leg, producer: producer.to_owned() });
        }
    }

    /// Of which kinds more tracks may be subscribed to.
    fn free(&self, room: &Room) -> [(MediaKind, bool); 2] {
        let config = &self.common.config;
        let cap = |kind: MediaKind| match kind {
            MediaKind::Audio if config.audio => config.max_audio,
            MediaKind::Video if config.video => config.max_video,
            MediaKind::Audio | MediaKind::Video => 0,
        };
        let count = |kind: MediaKind| {
            room.subscribed.values().filter(|subscribed| subscribed.kind == kind).count()
                + room.asked.iter().filter(|(offered, _)| offered.kind == kind).count()
        };
        [MediaKind::Audio, MediaKind::Video].map(|kind| (kind, count(kind) < cap(kind)))
    }

    /// Asks for some of the tracks that are offered, as far as the caps allow.
    pub(super) async fn subscribe_batch(&mut self, room: &mut Room) -> Result<(), String> {
        if room.receive.is_none() {
            return Ok(());
        }
        for _ in 0..BATCH {
            let free = self.free(room);
            let wanted = |offered: &Offered| free.contains(&(offered.kind, true));
            let place = room.offered.iter().position(wanted);
            let Some(offered) = place.and_then(|place| room.offered.remove(place)) else { return Ok(()) };
            let consume = ClientMessage::Consume {
                producer_id: offered.producer.clone(),
                rtp_capabilities: router_capabilities(),
            };
            room.asked.push_back((offered, Instant::now()));
            room.wire.send(&consume).await?;
        }
        Ok(())
    }

    /// Nothing may take longer than a stage may.
    pub(super) fn check_deadlines(&mut self, room: &mut Room) -> Result<(), Failure> {
        let (now, limit) = (Instant::now(), self.timeout());
        let mut legs = room.legs().filter_map(|leg| self.legs.all.get(&leg));
        if now > room.since + limit
            && let Some(leg) = legs.find(|leg| !leg.up)
        {
            let (stage, what) = if leg.ice_up {
                (Stage::Dtls, "the handshake has not ended")
            } else {
                (Stage::Ice, "no check was answered")
            };
            return Err(Failure::new(stage, format!("{what} within {} s", limit.as_secs_f64())));
        }
        while room.asked.front().is_some_and(|(_, since)| now > *since + limit) {
            if let Some((offered, _)) = room.asked.pop_front() {
                self.fail(&Failure::new(Stage::Consume, format!("no answer for the track {}", offered.producer)));
            }
        }
        let mut silent = Vec::new();
        for (producer, subscribed) in &mut room.subscribed {
            let overdue = !subscribed.received && !subscribed.complained && now > subscribed.since + limit;
            if overdue && self.sends(producer) {
                subscribed.complained = true;
                silent.push(producer.clone());
            }
        }
        for producer in silent {
            let reason =
                format!("nothing came of the track {producer}, whose sender sends, in {} s", limit.as_secs_f64());
            self.fail(&Failure::new(Stage::Media, reason));
        }
        Ok(())
    }

    /// The client and the track that the server calls so, if it is of this run.
    fn owner(&self, producer: &str) -> Option<(u32, u32)> {
        let producers = self.common.producers.lock().unwrap_or_else(PoisonError::into_inner);
        producers.get(producer).copied()
    }

    /// Whether a track of this run is being sent; of others that is not known.
    fn sends(&self, producer: &str) -> bool {
        let sender = self.owner(producer).and_then(|(client, _)| usize::try_from(client).ok());
        // The server keeps the tracks of one that was killed for a while.
        let sender = sender.filter(|client| !self.is_killed(*client));
        sender.and_then(|client| self.common.progress.get(client)).is_some_and(|sent| sent.load(Ordering::Relaxed) > 0)
    }

    /// Whether transports are up and media flows.
    pub(super) fn check_connected(&mut self, room: &mut Room) {
        if room.connected && self.out.is_none() {
            return;
        }
        let up = room.legs().all(|leg| self.legs.all.get(&leg).is_some_and(|state| state.up && state.ice_up));
        let sends = room.send.is_none() || room.sent;
        // What is offered and not wanted does not come.
        let free = self.free(room);
        let wanted = room.offered.iter().any(|offered| free.contains(&(offered.kind, true)));
        let nothing_to_come = room.subscribed.is_empty() && room.asked.is_empty() && !wanted;
        let comes = room.heard;
        let nobody_sends = !room.subscribed.is_empty()
            && room.asked.is_empty()
            && room.subscribed.keys().all(|producer| !self.sends(producer));
        if !up || !sends {
            return;
        }
        if comes || nothing_to_come || nobody_sends || room.receive.is_none() {
            room.connected = true;
            self.connected();
        }
        if comes || nobody_sends || self.out.as_ref().is_some_and(|out| !out.heard) {
            self.back();
        }
    }
}

/// What will come in, by what the server says of it.
fn new_stream(
    producer: &str,
    kind: MediaKind,
    parameters: &RtpParameters,
    simulcast: bool,
    of: Option<(u32, u32)>,
) -> Result<NewStream, String> {
    let mid = parameters.mid.as_deref().ok_or("the consumer has no media identification")?;
    let encoding = parameters.encodings.first().ok_or("the consumer has no encoding")?;
    let ssrc = encoding.ssrc.ok_or("the consumer has no SSRC")?;
    Ok(NewStream {
        producer: producer.to_owned(),
        mid: mid.into(),
        kind,
        ssrc,
        rtx_ssrc: encoding.rtx.map(|rtx| rtx.ssrc),
        layered: simulcast && kind == MediaKind::Video,
        of,
    })
}
