//! Who is where: rooms, participants, and what each of them sends and receives. This is the control
//! plane's picture; media itself is the shards'.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Instant;

use tokio::sync::Notify;
use tokio::sync::mpsc::Sender;
use tokio_tungstenite::tungstenite::Utf8Bytes;

use super::config::Limits;
use super::ids::Id;
use super::shard::command::{Flow, LegNumber};
use crate::signal::rtp::MediaKind;
use crate::signal::{ParticipantInfo, ProducerInfo, ServerMessage, encode};

/// The role of everybody: this server has no others.
pub(crate) const ROLE: &str = "participant";

/// Where messages to a client go.
#[derive(Clone, Debug)]
pub(crate) struct Outbox {
    messages: Sender<Utf8Bytes>,
    cut: Arc<Notify>,
}

impl Outbox {
    /// A queue, and what tells its reader that it has been cut off.
    pub(crate) fn new(messages: Sender<Utf8Bytes>) -> (Self, Arc<Notify>) {
        let cut = Arc::new(Notify::new());
        (Self { messages, cut: Arc::clone(&cut) }, cut)
    }

    /// Ends the WebSocket behind it.
    pub(crate) fn cut(&self) {
        self.cut.notify_one();
    }
}

#[derive(Debug)]
pub(crate) struct Room {
    pub(crate) id: Id,
    pub(crate) shard: usize,
    pub(crate) password: Option<String>,
    pub(crate) members: Vec<Id>,
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct Transport {
    pub(crate) leg: LegNumber,
    pub(crate) flow: Flow,
    /// Whether the client has said how it connects: one that it has not will not carry anything.
    pub(crate) connecting: bool,
}

#[derive(Clone, Debug)]
pub(crate) struct Produced {
    pub(crate) transport: Id,
    pub(crate) kind: MediaKind,
    pub(crate) source: Option<String>,
}

/// What a participant receives, and on which of its transports.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Consumed {
    pub(crate) producer: Id,
    pub(crate) transport: Id,
}

/// A media section of a WHEP client, and what it is fed with.
#[derive(Clone, Debug)]
pub(crate) struct Slot {
    pub(crate) mid: String,
    pub(crate) kind: MediaKind,
    pub(crate) consumer: Option<Id>,
}

/// How a participant came.
#[derive(Debug)]
pub(crate) enum Access {
    /// By WebSocket: where its messages go, unless the WebSocket is gone.
    Chat { outbox: Option<Outbox>, gone_since: Option<Instant>, token: String },
    /// By WHIP, or by WHEP with slots. The secret is in the session's address.
    Http { slots: Vec<Slot>, secret: String },
}

#[derive(Debug)]
pub(crate) struct Participant {
    pub(crate) name: String,
    pub(crate) room: String,
    pub(crate) access: Access,
    /// Counts WebSockets, so that the end of an old one does not cut off a new one.
    pub(crate) session: u64,
    pub(crate) transports: HashMap<Id, Transport>,
    pub(crate) producers: HashMap<Id, Produced>,
    pub(crate) consumers: HashMap<Id, Consumed>,
}

impl Participant {
    pub(crate) fn new(name: String, room: String, access: Access, session: u64) -> Self {
        let (transports, producers, consumers) = (HashMap::new(), HashMap::new(), HashMap::new());
        Self { name, room, access, session, transports, producers, consumers }
    }

    /// As others see it.
    pub(crate) fn info(&self, id: Id) -> ParticipantInfo {
        let mut producers: Vec<ProducerInfo> = self
            .producers
            .iter()
            .map(|(id, of)| ProducerInfo { id: id.to_string(), kind: of.kind, source: of.source.clone() })
            .collect();
        producers.sort_by(|a, b| a.id.cmp(&b.id));
        ParticipantInfo { id: id.to_string(), name: self.name.clone(), producers, role: ROLE.to_owned() }
    }

    /// Its transport in a direction: the first of those that it connects, or of all.
    pub(crate) fn transport_for(&self, flow: Flow) -> Option<(Id, LegNumber)> {
        let of_flow = self.transports.iter().filter(|(_, of)| of.flow == flow);
        of_flow.min_by_key(|(_, of)| (!of.connecting, of.leg)).map(|(id, of)| (*id, of.leg))
    }

    /// Whether it receives a producer.
    pub(crate) fn consumes(&self, producer: Id) -> bool {
        self.consumers.values().any(|of| of.producer == producer)
    }

    /// Strikes a consumer out, and frees its media section.
    pub(crate) fn free(&mut self, consumer: Id) {
        self.consumers.remove(&consumer);
        if let Access::Http { slots, .. } = &mut self.access {
            for slot in slots {
                slot.consumer.take_if(|of| *of == consumer);
            }
        }
    }

    fn tell(&mut self, text: &Utf8Bytes) {
        if let Access::Chat { outbox, .. } = &mut self.access
            && let Some(queue) = outbox
            && queue.messages.try_send(text.clone()).is_err()
        {
            // A client that does not read must not hold up anything.
            queue.cut();
            *outbox = None;
        }
    }
}

/// All rooms and participants.
#[derive(Debug, Default)]
pub(crate) struct Rooms {
    pub(crate) rooms: HashMap<String, Room>,
    pub(crate) participants: HashMap<Id, Participant>,
}

impl Rooms {
    /// Puts a participant into a room, which is made if need be, in the shard that has the fewest
    /// participants.
    pub(crate) fn enter(
        &mut self,
        id: Id,
        participant: Participant,
        password: Option<String>,
        shards: usize,
        limits: &Limits,
    ) -> Result<(), String> {
        if self.participants.len() >= limits.clients {
            return Err(format!("the server is full: {} clients", limits.clients));
        }
        let name = &participant.room;
        if let Some(room) = self.rooms.get_mut(name) {
            let given = password.as_deref().unwrap_or_default();
            let good = room.password.as_deref().is_none_or(|wanted| super::auth::same_secret(wanted, given));
            if !good {
                return Err("the room's password is another".to_owned());
            }
            room.members.push(id);
        } else {
            if self.rooms.len() >= limits.rooms {
                return Err(format!("the server is full: {} rooms", limits.rooms));
            }
            let room_id = Id::random().map_err(|error| format!("no random id: {error}"))?;
            let shard = self.emptiest(shards);
            self.rooms.insert(name.clone(), Room { id: room_id, shard, password, members: vec![id] });
        }
        self.participants.insert(id, participant);
        Ok(())
    }

    fn emptiest(&self, shards: usize) -> usize {
        let mut load = vec![0; shards.max(1)];
        for room in self.rooms.values() {
            if let Some(load) = load.get_mut(room.shard) {
                *load += room.members.len();
            }
        }
        load.iter().enumerate().min_by_key(|(_, load)| **load).map_or(0, |(index, _)| index)
    }

    pub(crate) fn room_of(&self, participant: Id) -> Option<&Room> {
        self.rooms.get(&self.participants.get(&participant)?.room)
    }

    /// Whether anybody in the room of a participant has a producer.
    pub(crate) fn has_producer(&self, participant: Id, producer: Id) -> bool {
        let members = self.room_of(participant).map(|room| room.members.as_slice()).unwrap_or_default();
        let mut members = members.iter().filter_map(|member| self.participants.get(member));
        members.any(|of| of.producers.contains_key(&producer))
    }

    /// All others in the room of a participant.
    pub(crate) fn others(&self, id: Id) -> Vec<ParticipantInfo> {
        let Some(room) = self.room_of(id) else { return Vec::new() };
        let others = room.members.iter().filter(|member| **member != id);
        others.filter_map(|member| Some(self.participants.get(member)?.info(*member))).collect()
    }

    /// Tells one participant.
    pub(crate) fn tell(&mut self, id: Id, message: &ServerMessage) {
        let Ok(text) = encode(message) else { return };
        if let Some(participant) = self.participants.get_mut(&id) {
            participant.tell(&Utf8Bytes::from(text));
        }
    }

    /// Tells everybody in the room of a participant but, if so asked, the participant itself.
    pub(crate) fn tell_room(&mut self, of: Id, but_itself: bool, message: &ServerMessage) {
        let Ok(text) = encode(message).map(Utf8Bytes::from) else { return };
        let Some(participant) = self.participants.get(&of) else { return };
        let Some(room) = self.rooms.get(&participant.room) else { return };
        for member in room.members.iter().filter(|member| !(but_itself && **member == of)) {
            if let Some(participant) = self.participants.get_mut(member) {
                participant.tell(&text);
            }
        }
    }

    /// Takes a participant out, tells the others, and gives back what it had and in which shard. A
    /// room that is empty goes too.
    pub(crate) fn leave(&mut self, id: Id) -> Option<(Participant, usize)> {
        let producers: Vec<Id> = self.participants.get(&id)?.producers.keys().copied().collect();
        for producer in producers {
            self.producer_ended(id, producer, true);
        }
        let left = ServerMessage::ParticipantLeft { participant_id: id.to_string() };
        self.tell_room(id, true, &left);
        let participant = self.participants.remove(&id)?;
        let room = self.rooms.get_mut(&participant.room)?;
        room.members.retain(|member| *member != id);
        let shard = room.shard;
        if room.members.is_empty() {
            self.rooms.remove(&participant.room);
        }
        Some((participant, shard))
    }

    /// Strikes a producer and all its consumers out, and tells the room.
    pub(crate) fn producer_ended(&mut self, owner: Id, producer: Id, but_owner: bool) {
        if let Some(participant) = self.participants.get_mut(&owner) {
            participant.producers.remove(&producer);
        }
        let members = self.room_of(owner).map(|room| room.members.clone()).unwrap_or_default();
        for member in members {
            let Some(participant) = self.participants.get_mut(&member) else { continue };
            participant.consumers.retain(|_, of| of.producer != producer);
            let consumers = &participant.consumers;
            if let Access::Http { slots, .. } = &mut participant.access {
                for slot in slots {
                    slot.consumer.take_if(|consumer| !consumers.contains_key(consumer));
                }
            }
        }
        let ended = ServerMessage::ProducerClosed {
            producer_id: producer.to_string(),
            participant_id: Some(owner.to_string()),
        };
        self.tell_room(owner, but_owner, &ended);
    }

    /// Strikes a transport out that has ended, and what was on it.
    pub(crate) fn transport_ended(&mut self, participant: Id, transport: Id) -> Option<Flow> {
        let of = self.participants.get_mut(&participant)?;
        let ended = of.transports.remove(&transport)?;
        of.consumers.retain(|_, of| of.transport != transport);
        let producers: Vec<Id> =
            of.producers.iter().filter(|(_, of)| of.transport == transport).map(|(id, _)| *id).collect();
        for producer in producers {
            self.producer_ended(participant, producer, false);
        }
        Some(ended.flow)
    }
}

#[cfg(test)]
mod tests {
    use tokio::sync::mpsc::{Receiver, channel};

    use super::*;
    use crate::signal::decode_server;

    fn chat(room: &str) -> (Participant, Receiver<Utf8Bytes>) {
        let (outbox, inbox) = channel(4);
        let outbox = Some(Outbox::new(outbox).0);
        let access = Access::Chat { outbox, gone_since: None, token: String::new() };
        (Participant::new("name".to_owned(), room.to_owned(), access, 0), inbox)
    }

    fn next(inbox: &mut Receiver<Utf8Bytes>) -> Option<ServerMessage> {
        decode_server(&inbox.try_recv().ok()?).unwrap()
    }

    #[test]
    fn a_room_is_gone_with_its_last_participant_and_the_others_are_told_of_each() {
        let mut rooms = Rooms::default();
        let limits = Limits::default();
        let ((first, mut first_inbox), (second, _second_inbox)) = (chat("r"), chat("r"));
        rooms.enter(Id(1), first, None, 2, &limits).unwrap();
        rooms.enter(Id(2), second, None, 2, &limits).unwrap();
        assert_eq!(rooms.others(Id(1)).len(), 1);
        assert_eq!(rooms.leave(Id(2)).unwrap().1, 0);
        let left = ServerMessage::ParticipantLeft { participant_id: Id(2).to_string() };
        assert_eq!(next(&mut first_inbox), Some(left));
        rooms.leave(Id(1)).unwrap();
        assert!(rooms.rooms.is_empty() && rooms.participants.is_empty());
        assert!(rooms.leave(Id(1)).is_none());
    }

    #[test]
    fn rooms_go_where_the_fewest_participants_are() {
        let mut rooms = Rooms::default();
        let limits = Limits::default();
        for (id, room, shard) in [(1, "a", 0), (2, "a", 0), (3, "b", 1), (4, "c", 1), (5, "d", 0)] {
            rooms.enter(Id(id), chat(room).0, None, 2, &limits).unwrap();
            assert_eq!(rooms.rooms[room].shard, shard, "{room}");
        }
    }

    #[test]
    fn limits_and_passwords_hold() {
        let mut rooms = Rooms::default();
        let limits = Limits { rooms: 1, clients: 2, ..Limits::default() };
        let enter = |rooms: &mut Rooms, id, room: &str, password: Option<&str>| {
            rooms.enter(Id(id), chat(room).0, password.map(str::to_owned), 1, &limits)
        };
        enter(&mut rooms, 1, "r", Some("secret")).unwrap();
        assert!(enter(&mut rooms, 2, "r", None).is_err());
        assert!(enter(&mut rooms, 2, "r", Some("secre")).is_err());
        assert!(enter(&mut rooms, 2, "other", None).unwrap_err().contains("1 rooms"));
        enter(&mut rooms, 2, "r", Some("secret")).unwrap();
        assert!(enter(&mut rooms, 3, "r", Some("secret")).unwrap_err().contains("2 clients"));
    }

    #[test]
    fn who_does_not_read_is_cut_off() {
        let mut rooms = Rooms::default();
        let (participant, mut inbox) = chat("r");
        rooms.enter(Id(1), participant, None, 1, &Limits::default()).unwrap();
        for _ in 0..5 {
            rooms.tell(Id(1), &ServerMessage::Error { message: String::new() });
        }
        let mut told = 0;
        while next(&mut inbox).is_some() {
            told += 1;
        }
        assert_eq!(told, 4);
        assert!(inbox.is_closed());
    }

    #[test]
    fn the_transport_is_the_first_of_those_that_are_connected() {
        let (mut participant, _inbox) = chat("r");
        for (id, leg, connecting) in [(10, 0, false), (11, 2, true), (12, 1, true)] {
            participant.transports.insert(Id(id), Transport { leg, flow: Flow::Out, connecting });
        }
        assert_eq!(participant.transport_for(Flow::Out), Some((Id(12), 1)));
        participant.transports.retain(|id, _| *id == Id(10));
        assert_eq!(participant.transport_for(Flow::Out), Some((Id(10), 0)));
        assert_eq!(participant.transport_for(Flow::In), None);
    }

    #[test]
    fn a_transport_takes_its_producers_and_their_consumers_with_it() {
        let mut rooms = Rooms::default();
        let ((mut first, _inbox), (mut second, mut second_inbox)) = (chat("r"), chat("r"));
        first.transports.insert(Id(10), Transport { leg: 0, flow: Flow::In, connecting: true });
        first.producers.insert(Id(11), Produced { transport: Id(10), kind: MediaKind::Audio, source: None });
        for (transport, leg) in [(13, 1), (14, 2)] {
            second.transports.insert(Id(transport), Transport { leg, flow: Flow::Out, connecting: true });
        }
        second.consumers.insert(Id(12), Consumed { producer: Id(11), transport: Id(13) });
        rooms.enter(Id(1), first, None, 1, &Limits::default()).unwrap();
        rooms.enter(Id(2), second, None, 1, &Limits::default()).unwrap();
        assert_eq!(rooms.transport_ended(Id(2), Id(14)), Some(Flow::Out));
        assert_eq!(rooms.participants[&Id(2)].consumers.len(), 1, "on another transport");
        assert_eq!(rooms.transport_ended(Id(1), Id(10)), Some(Flow::In));
        assert!(rooms.participants[&Id(2)].consumers.is_empty());
        let closed =
            ServerMessage::ProducerClosed { producer_id: Id(11).to_string(), participant_id: Some(Id(1).to_string()) };
        assert_eq!(next(&mut second_inbox), Some(closed));
    }
}
