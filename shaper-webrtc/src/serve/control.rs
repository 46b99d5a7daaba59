//! The control plane: what WebSocket, WHIP and WHEP clients ask for, done to rooms and shards.
//!
//! Rooms are behind a lock that is never held while a shard is waited for. So a participant may be
//! gone when the answer comes; what was made for it is then taken back.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use tokio::sync::oneshot;

use super::auth::Tokens;
use super::config::ServeConfig;
use super::ids::{Id, secret};
use super::metrics::{Metrics, add, take};
use super::rooms::{Access, Consumed, Produced, Rooms};
use super::shard::ShardHandle;
use super::shard::command::{Command, Flow, LegNumber, Owner, Reply, ShardEvent};
use crate::dialect;
use crate::signal::ServerMessage;
use crate::signal::rtp::MediaKind;

/// What all connections share.
#[derive(Debug)]
pub(crate) struct Control {
    pub(crate) config: ServeConfig,
    pub(crate) tokens: Tokens,
    pub(crate) metrics: Arc<Metrics>,
    shards: Vec<ShardHandle>,
    rooms: Mutex<Rooms>,
}

/// A producer to tell a room of.
#[derive(Clone, Debug)]
pub(crate) struct Announced {
    pub(crate) owner: Id,
    pub(crate) producer: Id,
    pub(crate) kind: MediaKind,
    pub(crate) source: Option<String>,
}

/// A media section of a WHEP client, and what it is to be fed with.
struct Feed {
    shard: usize,
    leg: LegNumber,
    consumer: Id,
    mid: String,
    producer: Id,
}

impl Control {
    pub(crate) fn new(config: ServeConfig, metrics: Arc<Metrics>, shards: Vec<ShardHandle>) -> Self {
        let tokens = Tokens::new(config.bearer_tokens.clone());
        Self { config, tokens, metrics, shards, rooms: Mutex::default() }
    }

    pub(crate) fn rooms(&self) -> MutexGuard<'_, Rooms> {
        self.rooms.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn shards(&self) -> usize {
        self.shards.len()
    }

    /// Whether all threads that forward media run.
    pub(crate) fn shards_run(&self) -> bool {
        self.shards.iter().all(ShardHandle::runs)
    }

    pub(crate) fn command(&self, shard: usize, command: Command) {
        if let Some(shard) = self.shards.get(shard) {
            shard.send(command);
        }
    }

    /// Asks a shard, and waits for what it says.
    pub(crate) async fn ask<T>(&self, shard: usize, command: impl FnOnce(Reply<T>) -> Command) -> Result<T, String> {
        let (reply, answer) = oneshot::channel();
        self.command(shard, command(reply));
        answer.await.unwrap_or_else(|_| Err("the server stops".to_owned()))
    }

    /// Whose a new transport of a participant is, and in which shard, if it may have one more.
    pub(crate) fn owner(&self, participant: Id) -> Result<(Owner, usize), String> {
        let rooms = self.rooms();
        let room = rooms.room_of(participant).ok_or(NOT_IN_A_ROOM)?;
        let of = rooms.participants.get(&participant).ok_or(NOT_IN_A_ROOM)?;
        let most = self.config.limits.transports_per_client;
        if of.transports.len() >= most {
            return Err(format!("no more than {most} transports a client"));
        }
        let transport = Id::random().map_err(|error| format!("no random id: {error}"))?;
        Ok((Owner { room: room.id, participant, transport }, room.shard))
    }

    /// The shard and leg of a participant's transport.
    pub(crate) fn transport(&self, participant: Id, transport: &str) -> Result<(Id, usize, LegNumber), String> {
        let rooms = self.rooms();
        let room = rooms.room_of(participant).ok_or(NOT_IN_A_ROOM)?;
        let id = Id::parse(transport);
        let of = id.and_then(|id| Some((id, rooms.participants.get(&participant)?.transports.get(&id)?)));
        let (id, of) = of.ok_or("there is no such transport")?;
        Ok((id, room.shard, of.leg))
    }

    /// The transport of a participant in a direction, its shard and its leg: the first of those that it
    /// connects, or of all.
    pub(crate) fn transport_for(&self, participant: Id, flow: Flow) -> Result<(Id, usize, LegNumber), String> {
        let rooms = self.rooms();
        let room = rooms.room_of(participant).ok_or(NOT_IN_A_ROOM)?;
        let of = rooms.participants.get(&participant).ok_or(NOT_IN_A_ROOM)?;
        of.transport_for(flow).map(|(id, leg)| (id, room.shard, leg)).ok_or_else(|| match flow {
            Flow::Out => "there is no transport to receive on: createRecvTransport comes first".to_owned(),
            Flow::In => "there is no transport to send on: createSendTransport comes first".to_owned(),
        })
    }

    /// Takes a participant out of its room, with all it has.
    pub(crate) fn leave(self: &Arc<Self>, participant: Id) {
        let Some((gone, shard)) = self.rooms().leave(participant) else { return };
        for transport in gone.transports.values() {
            self.command(shard, Command::CloseLeg { leg: transport.leg });
        }
        self.count();
        // What it sent has ended: media sections may be free for something else.
        self.feed_soon(&gone.room);
    }

    /// Sets the gauges of rooms and participants.
    pub(crate) fn count(&self) {
        use std::sync::atomic::Ordering::Relaxed;
        let rooms = self.rooms();
        self.metrics.rooms.store(rooms.rooms.len() as u64, Relaxed);
        self.metrics.participants.store(rooms.participants.len() as u64, Relaxed);
    }

    /// The WebSocket of a participant is gone: it may come back for a while.
    pub(crate) fn disconnected(&self, participant: Id, session: u64) {
        if let Some(of) = self.rooms().participants.get_mut(&participant)
            && of.session == session
            && let Access::Chat { outbox, gone_since, .. } = &mut of.access
        {
            *outbox = None;
            *gone_since = Some(Instant::now());
        }
    }

    /// Gives up who has not come back.
    pub(crate) fn reap(self: &Arc<Self>, now: Instant) {
        let limit = self.config.limits.reconnect;
        let overdue: Vec<Id> = {
            let rooms = self.rooms();
            let gone = |access: &Access| match access {
                Access::Chat { gone_since, .. } => {
                    gone_since.is_some_and(|since| now.saturating_duration_since(since) >= limit)
                }
                Access::Http { .. } => false,
            };
            rooms.participants.iter().filter(|(_, of)| gone(&of.access)).map(|(id, _)| *id).collect()
        };
        for participant in overdue {
            let is_gone = |access: &Access| matches!(access, Access::Chat { outbox: None, .. });
            // Who has come back meanwhile stays.
            let is_gone = self.rooms().participants.get(&participant).is_some_and(|of| is_gone(&of.access));
            if is_gone {
                add(&self.metrics.participants_lost, 1);
                self.leave(participant);
            }
        }
    }

    /// Enters a new producer and tells its room, in one step: who joins meanwhile hears of it once.
    pub(crate) fn produced(&self, transport: Id, announced: &Announced) -> Result<(), String> {
        let mut rooms = self.rooms();
        let of = rooms.participants.get_mut(&announced.owner);
        let of = of.filter(|of| of.transports.contains_key(&transport)).ok_or("the transport has ended")?;
        let (kind, source) = (announced.kind, announced.source.clone());
        of.producers.insert(announced.producer, Produced { transport, kind, source: source.clone() });
        let message = ServerMessage::NewProducer {
            participant_id: announced.owner.to_string(),
            producer_id: announced.producer.to_string(),
            kind,
            source,
        };
        rooms.tell_room(announced.owner, true, &message);
        Ok(())
    }

    /// Feeds the WHEP clients of a room, when this task gives way.
    pub(crate) fn feed_soon(self: &Arc<Self>, room: &str) {
        if self.viewers(room).is_empty() {
            return;
        }
        let (control, room) = (Arc::clone(self), room.to_owned());
        tokio::spawn(async move { control.feed_room(&room).await });
    }

    /// Feeds the WHEP clients of a room.
    pub(crate) async fn feed_room(&self, room: &str) {
        for viewer in self.viewers(room) {
            self.feed(viewer).await;
        }
    }

    fn viewers(&self, room: &str) -> Vec<Id> {
        let rooms = self.rooms();
        let members = rooms.rooms.get(room).map(|room| room.members.as_slice()).unwrap_or_default();
        let has_slots = |id: &&Id| {
            let access = rooms.participants.get(*id).map(|of| &of.access);
            matches!(access, Some(Access::Http { slots, .. }) if !slots.is_empty())
        };
        members.iter().filter(has_slots).copied().collect()
    }

    /// Fills the free media sections of a WHEP client with producers of its room that it does not get
    /// yet, in the order of their ids.
    pub(crate) async fn feed(&self, viewer: Id) {
        let mut refused: Vec<Id> = Vec::new();
        while let Some(Feed { shard, leg, consumer, mid, producer }) = self.next_to_feed(viewer, &refused) {
            let ask = |reply| Command::ConsumeAt { leg, consumer, producer, mid, reply };
            if self.ask(shard, ask).await.is_err() {
                if let Some(of) = self.rooms().participants.get_mut(&viewer) {
                    of.free(consumer);
                }
                refused.push(producer);
            }
        }
    }

    /// Takes a media section and a producer for it. They are marked before the shard is asked: another
    /// task that feeds the same client meanwhile must not take them as well.
    fn next_to_feed(&self, viewer: Id, refused: &[Id]) -> Option<Feed> {
        let mut rooms = self.rooms();
        let of = rooms.participants.get(&viewer)?;
        let (transport, leg) = of.transport_for(Flow::Out)?;
        let Access::Http { slots, .. } = &of.access else { return None };
        let room = rooms.room_of(viewer)?;
        let shard = room.shard;
        let others = room.members.iter().filter(|id| **id != viewer).filter_map(|id| rooms.participants.get(id));
        let mut wanted: Vec<(Id, MediaKind)> = others
            .flat_map(|other| other.producers.iter().map(|(id, of)| (*id, of.kind)))
            .filter(|(id, _)| !refused.contains(id) && !of.consumes(*id))
            .collect();
        wanted.sort_unstable();
        let (producer, index) = wanted.into_iter().find_map(|(producer, kind)| {
            let free = |slot: &super::rooms::Slot| slot.consumer.is_none() && slot.kind == kind;
            Some((producer, slots.iter().position(free)?))
        })?;
        let consumer = Id::random().ok()?;
        let of = rooms.participants.get_mut(&viewer)?;
        let Access::Http { slots, .. } = &mut of.access else { return None };
        let slot = slots.get_mut(index)?;
        slot.consumer = Some(consumer);
        let mid = slot.mid.clone();
        of.consumers.insert(consumer, Consumed { producer, transport });
        Some(Feed { shard, leg, consumer, mid, producer })
    }

    /// What a shard tells by itself.
    pub(crate) fn shard_event(self: &Arc<Self>, event: ShardEvent) {
        match event {
            ShardEvent::LegDown { participant, transport, reason } => {
                let (room, by_http) = {
                    let mut rooms = self.rooms();
                    let Some(of) = rooms.participants.get(&participant) else { return };
                    let (room, by_http) = (of.room.clone(), matches!(of.access, Access::Http { .. }));
                    rooms.transport_ended(participant, transport);
                    let message = dialect::transport_ended(&transport.to_string(), &reason);
                    rooms.tell(participant, &ServerMessage::Error { message });
                    (room, by_http)
                };
                if by_http {
                    self.leave(participant);
                } else {
                    self.feed_soon(&room);
                }
            }
            ShardEvent::Stats { participant, available_bitrate, rtt } => {
                if available_bitrate.is_some() || rtt.is_some() {
                    self.rooms().tell(participant, &ServerMessage::ConnectionStats { available_bitrate, rtt });
                }
            }
            ShardEvent::Speaker { room, participant } => {
                let mut rooms = self.rooms();
                let members = rooms.rooms.values().find(|of| of.id == room).and_then(|of| of.members.first().copied());
                let message =
                    ServerMessage::ActiveSpeaker { participant_id: participant.map(|speaker| speaker.to_string()) };
                if let Some(member) = members {
                    rooms.tell_room(member, false, &message);
                }
            }
        }
    }

    /// A connection has ended.
    pub(crate) fn connection_ended(&self) {
        take(&self.metrics.connections, 1);
    }
}

/// A token for `reconnect`.
pub(crate) fn reconnect_token() -> Result<String, String> {
    secret().map_err(|error| format!("no random token: {error}"))
}

pub(crate) const NOT_IN_A_ROOM: &str = "not in a room: joinRoom comes first";
