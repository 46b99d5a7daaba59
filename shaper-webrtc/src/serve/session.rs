//! What a WebSocket client asks for, message by message.

use std::sync::Arc;

use super::auth::same_secret;
use super::control::{Announced, Control, NOT_IN_A_ROOM, reconnect_token};
use super::ids::Id;
use super::rooms::{Access, Consumed, Outbox, Participant, ROLE, Transport};
use super::shard::command::{Command, Flow};
use crate::signal::codecs::router_capabilities;
use crate::signal::rtp::{MediaKind, RtpCapabilities, RtpParameters};
use crate::signal::transport::DtlsParameters;
use crate::signal::{ClientMessage, ServerMessage};

/// One WebSocket.
pub(crate) struct Session {
    control: Arc<Control>,
    number: u64,
    outbox: Outbox,
    /// Who this is, once it is somebody.
    pub(crate) participant: Option<Id>,
}

type Answer = Result<Option<ServerMessage>, String>;

impl Session {
    pub(crate) fn new(control: Arc<Control>, number: u64, outbox: Outbox) -> Self {
        Self { control, number, outbox, participant: None }
    }

    /// The WebSocket is gone.
    pub(crate) fn ended(&self) {
        if let Some(participant) = self.participant {
            self.control.disconnected(participant, self.number);
        }
    }

    /// Does what a message asks for. What is to be answered goes before the events that follow from
    /// it; a refusal is for the client to read.
    pub(crate) async fn obey(&mut self, message: ClientMessage) -> Answer {
        match message {
            ClientMessage::JoinRoom { room_id, participant_name, password } => {
                self.join(room_id, participant_name, password)
            }
            ClientMessage::GetRouterRtpCapabilities => {
                Ok(Some(ServerMessage::RouterRtpCapabilities { rtp_capabilities: router_capabilities() }))
            }
            ClientMessage::CreateSendTransport => self.create_transport(Flow::In).await,
            ClientMessage::CreateRecvTransport => self.create_transport(Flow::Out).await,
            ClientMessage::ConnectTransport { transport_id, dtls_parameters } => {
                self.connect_transport(&transport_id, dtls_parameters).await
            }
            ClientMessage::Produce { transport_id, kind, rtp_parameters, source } => {
                self.produce(&transport_id, kind, rtp_parameters, source).await
            }
            ClientMessage::Consume { producer_id, rtp_capabilities } => {
                self.consume(&producer_id, &rtp_capabilities).await
            }
            ClientMessage::ResumeConsumer { consumer_id } => self.pause_consumer(consumer_id, false),
            ClientMessage::PauseConsumer { consumer_id } => self.pause_consumer(consumer_id, true),
            ClientMessage::CloseProducer { producer_id } => self.close_producer(&producer_id),
            ClientMessage::PauseProducer { producer_id } => self.pause_producer(producer_id, true),
            ClientMessage::ResumeProducer { producer_id } => self.pause_producer(producer_id, false),
            ClientMessage::LeaveRoom => {
                let participant = self.participant.take().ok_or(NOT_IN_A_ROOM)?;
                self.control.leave(participant);
                Ok(None)
            }
            ClientMessage::Reconnect { participant_id, room_id, reconnect_token } => {
                self.reconnect(&participant_id, &room_id, &reconnect_token)
            }
            ClientMessage::RestartIce { transport_id } => {
                let (_, shard, leg) = self.control.transport(self.somebody()?, &transport_id)?;
                let ice_parameters = self.control.ask(shard, |reply| Command::RestartIce { leg, reply }).await?;
                Ok(Some(ServerMessage::IceRestarted { transport_id, ice_parameters }))
            }
            ClientMessage::SetConsumerPreferredLayers { consumer_id, spatial_layer, temporal_layer: _ } => {
                let (consumer, shard) = self.consumer(&consumer_id)?;
                self.control.command(shard, Command::Prefer { consumer, layer: spatial_layer });
                Ok(None)
            }
        }
    }

    fn somebody(&self) -> Result<Id, String> {
        self.participant.ok_or_else(|| NOT_IN_A_ROOM.to_owned())
    }

    fn join(&mut self, room: String, name: String, password: Option<String>) -> Answer {
        if self.participant.is_some() {
            return Err("already in a room: leaveRoom comes first".to_owned());
        }
        let most = self.control.config.limits.name_bytes;
        if room.is_empty() || [&room, &name].iter().any(|text| text.len() > most) {
            return Err(format!("the names of room and participant must be 1 to {most} bytes long"));
        }
        if password.as_ref().is_some_and(|password| password.len() > most) {
            return Err(format!("the password must not be longer than {most} bytes"));
        }
        let id = Id::random().map_err(|error| format!("no random id: {error}"))?;
        let token = reconnect_token()?;
        let outbox = Some(self.outbox.clone());
        let access = Access::Chat { outbox, gone_since: None, token: token.clone() };
        let participant = Participant::new(name.clone(), room, access, self.number);
        let others = {
            let mut rooms = self.control.rooms();
            rooms.enter(id, participant, password, self.control.shards(), &self.control.config.limits)?;
            let joined = ServerMessage::ParticipantJoined {
                participant_id: id.to_string(),
                participant_name: name,
                role: Some(ROLE.to_owned()),
            };
            rooms.tell_room(id, true, &joined);
            rooms.others(id)
        };
        self.participant = Some(id);
        self.control.count();
        Ok(Some(ServerMessage::RoomJoined {
            participant_id: id.to_string(),
            participants: others,
            reconnect_token: token,
            your_role: ROLE.to_owned(),
            room_settings: None,
        }))
    }

    /// A refusal is a result too, not an error.
    fn reconnect(&mut self, participant: &str, room: &str, token: &str) -> Answer {
        let refused = |message: &str| {
            Ok(Some(ServerMessage::ReconnectResult {
                success: false,
                participant_id: None,
                participants: None,
                reconnect_token: None,
                message: Some(message.to_owned()),
            }))
        };
        if self.participant.is_some() {
            return refused("already in a room");
        }
        let new_token = reconnect_token()?;
        let mut rooms = self.control.rooms();
        let id = Id::parse(participant);
        let found = id.and_then(|id| Some((id, rooms.participants.get_mut(&id)?))).filter(|(_, of)| of.room == room);
        let Some((id, of)) = found else {
            return refused("there is no such participant in this room any more: joinRoom instead");
        };
        match &mut of.access {
            Access::Chat { outbox, gone_since, token: known } if same_secret(known, token) => {
                // The old WebSocket may still be there, half open.
                if let Some(old) = outbox.replace(self.outbox.clone()) {
                    old.cut();
                }
                *gone_since = None;
                known.clone_from(&new_token);
            }
            _ => return refused("the reconnect token is another"),
        }
        of.session = self.number;
        self.participant = Some(id);
        Ok(Some(ServerMessage::ReconnectResult {
            success: true,
            participant_id: Some(id.to_string()),
            participants: Some(rooms.others(id)),
            reconnect_token: Some(new_token),
            message: None,
        }))
    }

    async fn create_transport(&self, flow: Flow) -> Answer {
        let participant = self.somebody()?;
        let (owner, shard) = self.control.owner(participant)?;
        let opened = self.control.ask(shard, |reply| Command::Open { owner, flow, reply }).await?;
        let transport = Transport { leg: opened.leg, flow, connecting: false };
        let kept = self.control.rooms().participants.get_mut(&participant).map(|of| {
            of.transports.insert(owner.transport, transport);
        });
        if kept.is_none() {
            self.control.command(shard, Command::CloseLeg { leg: opened.leg });
            return Err(NOT_IN_A_ROOM.to_owned());
        }
        Ok(Some(ServerMessage::TransportCreated {
            transport_id: owner.transport.to_string(),
            ice_parameters: opened.ice,
            ice_candidates: opened.candidates,
            dtls_parameters: opened.dtls,
            ice_servers: None,
        }))
    }

    async fn connect_transport(&self, transport: &str, dtls: DtlsParameters) -> Answer {
        let participant = self.somebody()?;
        let (id, shard, leg) = self.control.transport(participant, transport)?;
        self.control.ask(shard, |reply| Command::Connect { leg, dtls, reply }).await?;
        let mut rooms = self.control.rooms();
        let of = rooms.participants.get_mut(&participant).and_then(|of| of.transports.get_mut(&id));
        if let Some(of) = of {
            of.connecting = true;
        }
        Ok(Some(ServerMessage::TransportConnected { transport_id: transport.to_owned() }))
    }

    async fn produce(
        &self,
        transport: &str,
        kind: MediaKind,
        parameters: RtpParameters,
        source: Option<String>,
    ) -> Answer {
        let participant = self.somebody()?;
        let most = self.control.config.limits.name_bytes;
        if source.as_ref().is_some_and(|source| source.len() > most) {
            return Err(format!("source must not be longer than {most} bytes"));
        }
        let (transport, shard, leg) = self.control.transport(participant, transport)?;
        let producer = Id::random().map_err(|error| format!("no random id: {error}"))?;
        let ask = |reply| Command::Produce { leg, producer, kind, parameters, reply };
        self.control.ask(shard, ask).await?;
        let announced = Announced { owner: participant, producer, kind, source };
        self.control.produced(transport, &announced)?;
        self.feed_room();
        Ok(Some(ServerMessage::ProducerCreated { producer_id: producer.to_string() }))
    }

    async fn consume(&self, producer: &str, capabilities: &RtpCapabilities) -> Answer {
        let participant = self.somebody()?;
        let most = self.control.config.limits.consumers_per_client;
        let id = Id::parse(producer);
        {
            let rooms = self.control.rooms();
            let members = rooms.room_of(participant).ok_or(NOT_IN_A_ROOM)?.members.iter();
            let mut others = members.filter(|id| **id != participant).filter_map(|id| rooms.participants.get(id));
            if !others.any(|of| id.is_some_and(|id| of.producers.contains_key(&id))) {
                return Err("there is no such producer of another participant in this room".to_owned());
            }
            let of = rooms.participants.get(&participant).ok_or(NOT_IN_A_ROOM)?;
            if of.consumers.len() >= most {
                return Err(format!("no more than {most} consumers a client"));
            }
            if id.is_some_and(|id| of.consumes(id)) {
                return Err("the client has a consumer of this producer already".to_owned());
            }
        }
        let producer_id = id.ok_or("there is no such producer")?;
        let (transport, shard, leg) = self.control.transport_for(participant, Flow::Out)?;
        let consumer = Id::random().map_err(|error| format!("no random id: {error}"))?;
        let ask = |reply| Command::Consume { leg, consumer, producer: producer_id, reply };
        let (kind, rtp_parameters) = self.control.ask(shard, ask).await?;
        let codec = rtp_parameters.codecs.first().map(|codec| codec.mime_type.clone()).unwrap_or_default();
        let can = capabilities.codecs.iter().any(|of| of.mime_type.eq_ignore_ascii_case(&codec));
        let kept = if can {
            let mut rooms = self.control.rooms();
            // Both may have gone while the shard was asked.
            let there = rooms.has_producer(participant, producer_id);
            match rooms.participants.get_mut(&participant).filter(|of| of.transports.contains_key(&transport)) {
                Some(of) if there => {
                    of.consumers.insert(consumer, Consumed { producer: producer_id, transport });
                    Ok(())
                }
                _ => Err("the producer or the transport has ended".to_owned()),
            }
        } else {
            Err(format!("the client cannot receive {codec}"))
        };
        if kept.is_err() {
            self.control.command(shard, Command::CloseConsumer { consumer });
        }
        kept?;
        Ok(Some(ServerMessage::ConsumerCreated {
            consumer_id: consumer.to_string(),
            producer_id: producer.to_owned(),
            kind,
            rtp_parameters,
        }))
    }

    /// Feeds the WHEP clients of this participant's room, when this task gives way.
    fn feed_room(&self) {
        let room = {
            let rooms = self.control.rooms();
            self.participant.and_then(|id| rooms.participants.get(&id)).map(|of| of.room.clone())
        };
        if let Some(room) = room {
            self.control.feed_soon(&room);
        }
    }

    /// A consumer of this participant's, and its shard.
    fn consumer(&self, consumer: &str) -> Result<(Id, usize), String> {
        let participant = self.somebody()?;
        let rooms = self.control.rooms();
        let shard = rooms.room_of(participant).ok_or(NOT_IN_A_ROOM)?.shard;
        let of = rooms.participants.get(&participant);
        let id = Id::parse(consumer).filter(|id| of.is_some_and(|of| of.consumers.contains_key(id)));
        Ok((id.ok_or("there is no such consumer")?, shard))
    }

    fn pause_consumer(&self, consumer_id: String, paused: bool) -> Answer {
        let (consumer, shard) = self.consumer(&consumer_id)?;
        self.control.command(shard, Command::PauseConsumer { consumer, paused });
        Ok(Some(if paused {
            ServerMessage::ConsumerPaused { consumer_id }
        } else {
            ServerMessage::ConsumerResumed { consumer_id }
        }))
    }

    /// A producer of this participant's, and its shard.
    fn producer(&self, producer: &str) -> Result<(Id, Id, usize), String> {
        let participant = self.somebody()?;
        let rooms = self.control.rooms();
        let shard = rooms.room_of(participant).ok_or(NOT_IN_A_ROOM)?.shard;
        let of = rooms.participants.get(&participant);
        let id = Id::parse(producer).filter(|id| of.is_some_and(|of| of.producers.contains_key(id)));
        Ok((participant, id.ok_or("there is no such producer of this client")?, shard))
    }

    fn pause_producer(&self, producer_id: String, paused: bool) -> Answer {
        let (participant, producer, shard) = self.producer(&producer_id)?;
        self.control.command(shard, Command::PauseProducer { producer, paused });
        let participant_id = Some(participant.to_string());
        let message = if paused {
            ServerMessage::ProducerPaused { producer_id, participant_id }
        } else {
            ServerMessage::ProducerResumed { producer_id, participant_id }
        };
        self.control.rooms().tell_room(participant, true, &message);
        Ok(Some(message))
    }

    fn close_producer(&self, producer_id: &str) -> Answer {
        let (participant, producer, shard) = self.producer(producer_id)?;
        self.control.command(shard, Command::CloseProducer { producer });
        self.control.rooms().producer_ended(participant, producer, true);
        self.feed_room();
        Ok(Some(ServerMessage::ProducerClosed {
            producer_id: producer_id.to_owned(),
            participant_id: Some(participant.to_string()),
        }))
    }
}
