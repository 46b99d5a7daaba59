//! A shard that no thread runs: what it is called for it does at once, at the time that it is told. Fuzz targets drive
//! one by what peers send, with crypto of their own, so that what is otherwise encrypted can be damaged too.

use std::io;
use std::net::SocketAddr;
use std::os::unix::net::UnixDatagram;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc::{Sender, channel};
use std::time::Instant;

use str0m::config::CryptoProvider;
use str0m::media::Mid;
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};

use super::command::{Answered, Command, Flow, LegNumber, Owner, Section, ShardEvent};
use super::{Shard, Start, socket};
use crate::clock::Clock;
use crate::identity::Identity;
use crate::serve::config::ServeConfig;
use crate::serve::ids::Id;
use crate::serve::offer;
use crate::serve::whip::Fragment;
use crate::signal::rtp::{MediaKind, RtpParameters};
use crate::signal::transport::{DtlsParameters, IceParameters};

/// A shard without a thread, and without rooms: every track is everybody's.
pub struct LoneShard {
    shard: Shard,
    told: UnboundedReceiver<ShardEvent>,
    _commands: Sender<Command>,
    ids: u64,
}

impl std::fmt::Debug for LoneShard {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("LoneShard").finish_non_exhaustive()
    }
}

/// A transport that a [`LoneShard`] has made.
#[derive(Clone, Debug)]
pub struct LoneTransport {
    leg: LegNumber,
    /// The answer to an offer; empty where there was none.
    pub answer: String,
    /// The credentials that requests to it carry.
    pub ice: IceParameters,
    sections: Vec<Section>,
}

impl LoneTransport {
    /// The tracks that it sends to the server.
    pub fn tracks(&self) -> impl Iterator<Item = LoneTrack> + '_ {
        self.sections.iter().filter_map(|section| section.producer.map(|id| LoneTrack(id, section.kind)))
    }
}

/// A track that comes in at a [`LoneShard`].
#[derive(Clone, Copy, Debug)]
pub struct LoneTrack(Id, MediaKind);

/// A track that goes out of a [`LoneShard`].
#[derive(Clone, Copy, Debug)]
pub struct LoneConsumer(Id);

/// What a client may change of what flows.
#[derive(Clone, Copy, Debug)]
pub enum LoneChange {
    /// Pauses what comes in, or lets it go on.
    Track(LoneTrack, bool),
    /// Pauses what goes out, or lets it go on.
    Consumer(LoneConsumer, bool),
    /// Prefers a layer.
    Layer(LoneConsumer, u8),
    /// Ends what comes in.
    EndTrack(LoneTrack),
    /// Ends what goes out.
    EndConsumer(LoneConsumer),
}

impl LoneShard {
    /// A shard whose transports encrypt by `crypto`.
    ///
    /// # Errors
    ///
    /// If it gets no socket, or `crypto` has no certificate.
    pub fn new(crypto: CryptoProvider) -> io::Result<Self> {
        let identity = Identity::of(Arc::new(crypto)).ok_or_else(|| io::Error::other("no certificate"))?;
        let (events, told) = unbounded_channel();
        let start = Start {
            index: 0,
            config: ServeConfig::default(),
            identity,
            metrics: Arc::default(),
            log: None,
            clock: Clock::start(),
            events,
        };
        let socket = socket::bind(SocketAddr::new(start.config.media_address, 0))?;
        let local = socket.local_addr()?;
        let (_, woken) = UnixDatagram::pair()?;
        let (_commands, commands) = channel();
        Ok(Self { shard: Shard::new(start, socket, local, commands, woken), told, _commands, ids: 1 })
    }

    fn id(&mut self) -> Id {
        self.ids += 1;
        Id(self.ids)
    }

    fn owner(&mut self) -> Owner {
        Owner { room: Id(0), participant: self.id(), transport: self.id() }
    }

    /// Answers an offer as WHIP's endpoint does (`publishes`) or WHEP's.
    ///
    /// # Errors
    ///
    /// What the client would be told.
    pub fn offered(&mut self, publishes: bool, offer: &[u8], now: Instant) -> Result<LoneTransport, String> {
        let offer = offer::read(offer).map_err(|refused| refused.to_string())?;
        let flow = if publishes { Flow::In } else { Flow::Out };
        let owner = self.owner();
        let Answered { leg, answer, sections } = self.shard.answer(owner, flow, offer, now)?;
        let ice = self.credentials(leg)?;
        Ok(LoneTransport { leg, answer, ice, sections })
    }

    /// Makes a transport as `createSendTransport` does (`publishes`) or `createRecvTransport`.
    ///
    /// # Errors
    ///
    /// What the client would be told.
    pub fn opened(&mut self, publishes: bool, now: Instant) -> Result<LoneTransport, String> {
        let owner = self.owner();
        let opened = self.shard.open(owner, if publishes { Flow::In } else { Flow::Out }, now)?;
        Ok(LoneTransport { leg: opened.leg, answer: String::new(), ice: opened.ice, sections: Vec::new() })
    }

    fn credentials(&mut self, leg: LegNumber) -> Result<IceParameters, String> {
        let leg = self.shard.leg(leg).ok_or(super::commands::GONE)?;
        Ok(crate::serve::rtc::ice_parameters(&leg.rtc.direct_api().local_ice_credentials()))
    }

    /// `connectTransport`.
    ///
    /// # Errors
    ///
    /// What the client would be told.
    pub fn connect(&mut self, transport: &LoneTransport, dtls: &DtlsParameters, now: Instant) -> Result<(), String> {
        self.shard.connect(transport.leg, dtls)?;
        self.settle(now);
        Ok(())
    }

    /// The body of a PATCH: whether it is a fragment of SDP, and new credentials if it restarts ICE.
    ///
    /// # Errors
    ///
    /// What the client would be told.
    pub fn patched(&mut self, transport: &LoneTransport, body: &[u8]) -> Result<Option<IceParameters>, String> {
        let fragment = Fragment::read(body).map_err(|refused| refused.to_string())?;
        fragment.has_credentials.then(|| self.restart(transport)).transpose()
    }

    /// `restartIce`.
    ///
    /// # Errors
    ///
    /// What the client would be told.
    pub fn restart(&mut self, transport: &LoneTransport) -> Result<IceParameters, String> {
        self.shard.restart_ice(transport.leg)
    }

    /// `produce`.
    ///
    /// # Errors
    ///
    /// What the client would be told.
    pub fn produce(
        &mut self,
        transport: &LoneTransport,
        kind: MediaKind,
        parameters: &RtpParameters,
        now: Instant,
    ) -> Result<LoneTrack, String> {
        let id = self.id();
        self.shard.produce(transport.leg, id, kind, parameters, now)?;
        self.settle(now);
        Ok(LoneTrack(id, kind))
    }

    /// A consumer that flows: on a media section of an offer that has none yet, or else on one of its own.
    ///
    /// # Errors
    ///
    /// What the client would be told.
    pub fn consume(
        &mut self,
        transport: &LoneTransport,
        track: LoneTrack,
        now: Instant,
    ) -> Result<LoneConsumer, String> {
        let id = self.id();
        let LoneTrack(producer, kind) = track;
        if transport.sections.is_empty() {
            self.shard.consume(transport.leg, id, producer, now)?;
            self.shard.pause_consumer(id, false, now);
        } else {
            let of_kind = transport.sections.iter().filter(|section| section.kind == kind);
            let mids: Vec<Mid> = of_kind.map(|section| Mid::from(section.mid.as_str())).collect();
            let mut made = Err("there is no media section of this kind".to_owned());
            for mid in mids {
                made = self.shard.consume_at(transport.leg, id, producer, mid, now);
                if made.is_ok() {
                    break;
                }
            }
            made?;
        }
        self.settle(now);
        Ok(LoneConsumer(id))
    }

    /// Does what a client asks for of what flows.
    pub fn change(&mut self, change: LoneChange, now: Instant) {
        match change {
            LoneChange::Track(LoneTrack(id, _), paused) => self.shard.pause_producer(id, paused, now),
            LoneChange::Consumer(LoneConsumer(id), paused) => self.shard.pause_consumer(id, paused, now),
            LoneChange::Layer(LoneConsumer(id), layer) => self.shard.prefer(id, layer, now),
            LoneChange::EndTrack(LoneTrack(id, _)) => self.shard.close_producer(id),
            LoneChange::EndConsumer(LoneConsumer(id)) => self.shard.close_consumer(id),
        }
        self.settle(now);
    }

    /// Closes a transport.
    pub fn close(&mut self, transport: &LoneTransport, now: Instant) {
        self.shard.close_leg(transport.leg, now);
        self.settle(now);
    }

    /// Takes a datagram.
    pub fn receive(&mut self, from: SocketAddr, datagram: &[u8], now: Instant) {
        self.shard.receive(from, datagram, now);
        self.settle(now);
    }

    /// Does what is due.
    pub fn tick(&mut self, now: Instant) {
        self.shard.expire(now);
        self.shard.drive_dirty(now);
        self.shard.tick(now);
        self.settle(now);
    }

    fn settle(&mut self, now: Instant) {
        self.shard.drive_dirty(now);
        self.shard.bury();
        while self.told.try_recv().is_ok() {}
    }

    /// Whether ICE and DTLS of a transport are up.
    pub fn connected(&mut self, transport: &LoneTransport) -> bool {
        self.shard.leg(transport.leg).is_some_and(|leg| leg.connected)
    }

    /// RTP packets that have been sent on.
    #[must_use]
    pub fn forwarded(&self) -> u64 {
        self.shard.metrics.rtp_forwarded.load(Ordering::Relaxed)
    }
}
