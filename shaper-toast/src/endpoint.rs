//! What both roles share: sorting what arrives, sending copies when they are due, presence.

use std::borrow::Cow;
use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};
use std::net::SocketAddrV4;
use std::rc::Rc;

use crate::burst::BurstConfig;
use crate::clock::AppClock;
use crate::config::NodeConfig;
use crate::log::{Counts, Event, ForeignReason, Role, SCHEMA};
use crate::rng::SplitMix64;
use crate::units::{Micros, Nanos};
use crate::wire::{
    Announce, ChecksumMode, Datagram, DecodeError, DiscoveryText, FLAG_BURST, Header, MessageType, SYNC_REPLY_LEN,
    SyncPayload, TransportPayload, decode, decode_announce, decode_sync, decode_transport, encode, encode_announce,
    encode_discovery, encode_sync, encode_transport, session_id,
};

/// Foreign datagrams written out one by one; beyond these they are only counted, so that a flood
/// does not fill the disk.
const FOREIGN_LOGGED: u64 = 10_000;
/// Larger than any frame this crate sends.
const PAYLOAD_LIMIT: usize = 1_024;

/// A session frame from somebody else.
pub(crate) enum Incoming<'a> {
    Transport { header: Header, payload: TransportPayload<'a> },
    Sync { header: Header, payload: SyncPayload },
}

/// What a queued copy carries; SYNC and discovery are stamped when they leave, so that a lost
/// first copy or a late wake-up does not look like delay.
#[derive(Clone)]
enum Body {
    Ready(Rc<[u8]>),
    SyncRequest,
    SyncReply { t1: u64, t2: u64, requester: u32 },
    DiscoveryText,
}

struct Queued {
    due: Nanos,
    order: u64,
    /// Its timestamp is filled in when it leaves.
    header: Header,
    body: Body,
}

impl PartialEq for Queued {
    fn eq(&self, other: &Self) -> bool {
        self.order == other.order
    }
}

impl Eq for Queued {}

impl PartialOrd for Queued {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Queued {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        (self.due, self.order).cmp(&(other.due, other.order))
    }
}

/// Something that happens every so often, at multiples from its start.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Periodic {
    due: Nanos,
    period: Nanos,
}

impl Periodic {
    pub(crate) fn new(first: Nanos, period: Nanos) -> Periodic {
        Periodic { due: first, period }
    }

    pub(crate) fn due(&self) -> Nanos {
        self.due
    }

    /// Whether it is due; periods slept through are skipped, not made up for.
    pub(crate) fn fire(&mut self, now: Nanos) -> bool {
        if now < self.due {
            return false;
        }
        let behind = (now - self.due).0 / self.period.0.max(1);
        self.due = self.due + self.period.times(behind + 1);
        true
    }
}

pub(crate) struct Endpoint {
    pub(crate) peer_id: String,
    pub(crate) clock: AppClock,
    pub(crate) counts: Counts,
    pub(crate) rng: SplitMix64,
    session: u32,
    source: SocketAddrV4,
    checksum: ChecksumMode,
    sync_burst: BurstConfig,
    next_sequence: u32,
    next_order: u64,
    queue: BinaryHeap<Reverse<Queued>>,
    heartbeat: Periodic,
    discovery: Periodic,
    counting: Periodic,
    names: HashMap<SocketAddrV4, String>,
    events: Vec<Event>,
}

impl Endpoint {
    pub(crate) fn new(role: Role, config: &NodeConfig, source: SocketAddrV4, clock: AppClock, now: Nanos) -> Endpoint {
        let second = Nanos::from_secs(1);
        let session = session_id(&config.session);
        Endpoint {
            peer_id: config.peer_id.clone(),
            clock,
            counts: Counts::default(),
            rng: SplitMix64::for_name(config.seed, &config.peer_id),
            session,
            source,
            checksum: config.checksum,
            sync_burst: config.sync_burst,
            next_sequence: config.first_sequence,
            next_order: 0,
            queue: BinaryHeap::new(),
            heartbeat: Periodic::new(now, config.heartbeat),
            discovery: Periodic::new(now, config.discovery),
            counting: Periodic::new(now + second, second),
            names: HashMap::new(),
            events: vec![Event::Header {
                schema: SCHEMA,
                t: now,
                role,
                peer_id: config.peer_id.clone(),
                session: config.session.clone(),
                session_id: session,
                source,
                clock,
            }],
        }
    }

    pub(crate) fn log(&mut self, event: Event) {
        self.events.push(event);
    }

    pub(crate) fn drain(&mut self) -> Vec<Event> {
        std::mem::take(&mut self.events)
    }

    pub(crate) fn app_now(&self, now: Nanos) -> Micros {
        self.clock.at(now)
    }

    /// The peer id last heard from an address.
    pub(crate) fn name_of(&self, addr: SocketAddrV4) -> Option<&str> {
        self.names.get(&addr).map(String::as_str)
    }

    /// When something is next to be sent or written.
    pub(crate) fn deadline(&self) -> Nanos {
        let queued = self.queue.peek().map(|Reverse(q)| q.due);
        [self.heartbeat.due(), self.discovery.due(), self.counting.due()]
            .into_iter()
            .chain(queued)
            .min()
            .unwrap_or(Nanos::ZERO)
    }

    /// Whether copies are still to be sent.
    pub(crate) fn sending(&self) -> bool {
        !self.queue.is_empty()
    }

    /// Ends presence: what is queued leaves, nothing is added.
    pub(crate) fn fall_silent(&mut self) {
        let never = Nanos(u64::MAX);
        self.heartbeat = Periodic::new(never, never);
        self.discovery = Periodic::new(never, never);
    }

    /// Sorts a datagram; what is for the role comes back.
    pub(crate) fn receive<'a>(&mut self, now: Nanos, from: SocketAddrV4, datagram: &'a [u8]) -> Option<Incoming<'a>> {
        self.counts.received += 1;
        let (header, payload) = match decode(datagram, self.checksum) {
            Ok(Datagram::Frame { header, payload }) => (header, payload),
            Ok(Datagram::Discovery(text)) => {
                self.presence(now, from, None, Some(text.name));
                return None;
            }
            Err(error) => {
                self.foreign(now, from, reason(&error), error.to_string());
                return None;
            }
        };
        if header.session != self.session {
            let detail = format!("session {:#010x}, ours is {:#010x}", header.session, self.session);
            self.foreign(now, from, ForeignReason::OtherSession, detail);
            return None;
        }
        let kind = header.message_type;
        match kind {
            kind if kind.is_transport() => match decode_transport(payload) {
                Ok(payload) => {
                    let sender: &str = match &payload {
                        TransportPayload::Command(c) => &c.peer_id,
                        TransportPayload::State(s) => &s.peer_id,
                    };
                    if self.is_self(now, from, Some(kind), Some(sender)) {
                        return None;
                    }
                    self.learn(from, sender);
                    match payload {
                        TransportPayload::Command(_) => self.counts.commands += 1,
                        TransportPayload::State(_) => self.counts.states += 1,
                    }
                    Some(Incoming::Transport { header, payload })
                }
                Err(error) => {
                    self.foreign(now, from, ForeignReason::BadPayload, error.to_string());
                    None
                }
            },
            MessageType::Sync => {
                if self.is_self(now, from, Some(kind), None) {
                    return None;
                }
                match decode_sync(payload) {
                    Ok(payload) => {
                        self.counts.syncs += 1;
                        Some(Incoming::Sync { header, payload })
                    }
                    Err(error) => {
                        self.foreign(now, from, ForeignReason::BadPayload, error.to_string());
                        None
                    }
                }
            }
            MessageType::Heartbeat | MessageType::Discovery => {
                // Other implementations put there what they like: what names nobody is presence.
                let announce = decode_announce(payload).ok().flatten();
                let name = announce.as_ref().map(|a| a.peer_id.as_ref());
                self.presence(now, from, Some(kind), name);
                None
            }
            _ => {
                if !self.is_self(now, from, Some(kind), None) {
                    self.counts.other += 1;
                }
                None
            }
        }
    }

    fn presence(&mut self, now: Nanos, from: SocketAddrV4, kind: Option<MessageType>, name: Option<&str>) {
        if self.is_self(now, from, kind, name) {
            return;
        }
        self.counts.announces += 1;
        if let Some(name) = name {
            self.learn(from, name);
        }
    }

    fn learn(&mut self, from: SocketAddrV4, name: &str) {
        if self.names.get(&from).is_none_or(|known| known != name) {
            self.names.insert(from, name.to_owned());
        }
    }

    fn is_self(&mut self, now: Nanos, from: SocketAddrV4, kind: Option<MessageType>, name: Option<&str>) -> bool {
        let ours = match name {
            Some(name) => name == self.peer_id,
            None => from == self.source,
        };
        if ours {
            self.counts.self_heard += 1;
            self.log(Event::SelfHeard { t: now, addr: from, kind, other_address: from != self.source });
        }
        ours
    }

    fn foreign(&mut self, t: Nanos, addr: SocketAddrV4, reason: ForeignReason, detail: String) {
        self.counts.foreign += 1;
        if self.counts.foreign <= FOREIGN_LOGGED {
            self.log(Event::Foreign { t, addr, reason, detail });
        }
    }

    /// Queues transport JSON; gives the header sequence and the burst id.
    pub(crate) fn queue_transport(
        &mut self,
        now: Nanos,
        kind: MessageType,
        payload: &TransportPayload<'_>,
        burst: &BurstConfig,
    ) -> (u32, u32) {
        let mut buffer = [0u8; PAYLOAD_LIMIT];
        match encode_transport(payload, &mut buffer) {
            Ok(len) => {
                let body = Body::Ready(Rc::from(&buffer[..len]));
                self.queue_burst(now, kind, &body, burst)
            }
            Err(error) => {
                self.log(Event::SendFailed { t: now, error: error.to_string() });
                (self.take_sequence(), 0)
            }
        }
    }

    pub(crate) fn queue_sync_request(&mut self, now: Nanos) {
        let burst = self.sync_burst;
        self.queue_burst(now, MessageType::Sync, &Body::SyncRequest, &burst);
    }

    pub(crate) fn queue_sync_reply(&mut self, now: Nanos, t1: u64, requester: u32) {
        let t2 = self.clock.wire_at(now);
        let burst = self.sync_burst;
        let body = Body::SyncReply { t1, t2, requester };
        self.queue_burst(now, MessageType::Sync, &body, &burst);
    }

    fn queue_burst(&mut self, now: Nanos, kind: MessageType, body: &Body, burst: &BurstConfig) -> (u32, u32) {
        let sequence = self.take_sequence();
        let (flags, burst_id) = if burst.copies > 1 { (FLAG_BURST, self.rng.nonzero_u32()) } else { (0, 0) };
        for (index, offset) in (0u8..).zip(burst.offsets(&mut self.rng)) {
            let header = Header {
                message_type: kind,
                flags,
                sequence,
                timestamp: 0,
                burst_id,
                burst_index: index,
                burst_total: burst.copies,
                session: self.session,
            };
            self.push(now + offset, header, body.clone());
        }
        (sequence, burst_id)
    }

    fn push(&mut self, due: Nanos, header: Header, body: Body) {
        let order = self.next_order;
        self.next_order += 1;
        self.queue.push(Reverse(Queued { due, order, header, body }));
    }

    fn take_sequence(&mut self) -> u32 {
        let sequence = self.next_sequence;
        self.next_sequence = sequence.wrapping_add(1);
        sequence
    }

    /// Queues and writes what recurs.
    fn recur(&mut self, now: Nanos) {
        let heartbeat = self.heartbeat.fire(now);
        let discovery = self.discovery.fire(now);
        if heartbeat || discovery {
            let mut buffer = [0u8; PAYLOAD_LIMIT];
            let announce = Announce { peer_id: Cow::Borrowed(&self.peer_id) };
            if let Ok(len) = encode_announce(&announce, &mut buffer) {
                let body = Body::Ready(Rc::from(&buffer[..len]));
                if heartbeat {
                    self.queue_burst(now, MessageType::Heartbeat, &body, &BurstConfig::SINGLE);
                }
                if discovery {
                    self.queue_burst(now, MessageType::Discovery, &body, &BurstConfig::SINGLE);
                    let unused = Header {
                        message_type: MessageType::Discovery,
                        flags: 0,
                        sequence: 0,
                        timestamp: 0,
                        burst_id: 0,
                        burst_index: 0,
                        burst_total: 1,
                        session: self.session,
                    };
                    self.push(now, unused, Body::DiscoveryText);
                }
            }
        }
        if self.counting.fire(now) {
            let counts = self.counts;
            self.log(Event::Counts { t: now, counts });
        }
    }

    /// Encodes the next datagram that is due into `out`; none when nothing is.
    pub(crate) fn transmit(&mut self, now: Nanos, out: &mut [u8]) -> Option<usize> {
        self.recur(now);
        if self.queue.peek().is_none_or(|Reverse(q)| q.due > now) {
            return None;
        }
        let Reverse(mut next) = self.queue.pop()?;
        let stamp = self.clock.wire_at(now);
        next.header.timestamp = stamp as u32;
        let mut sync = [0u8; SYNC_REPLY_LEN];
        let (kind, encoded) = match &next.body {
            Body::DiscoveryText => {
                let text = DiscoveryText { name: &self.peer_id, micros: stamp };
                (None, encode_discovery(&text, out))
            }
            body => {
                let payload: &[u8] = match body {
                    Body::Ready(bytes) => bytes,
                    Body::SyncRequest | Body::DiscoveryText => {
                        let len = encode_sync(&SyncPayload::Request { t1: stamp }, &mut sync);
                        &sync[..len]
                    }
                    &Body::SyncReply { t1, t2, requester } => {
                        let reply = SyncPayload::Reply { t1, t2, t3: stamp, requester };
                        let len = encode_sync(&reply, &mut sync);
                        &sync[..len]
                    }
                };
                (Some(next.header.message_type), encode(&next.header, payload, self.checksum, out))
            }
        };
        match encoded {
            Ok(len) => {
                self.counts.sent += 1;
                self.log(Event::Sent {
                    t: now,
                    kind,
                    seq: next.header.sequence,
                    burst_id: next.header.burst_id,
                    burst_index: next.header.burst_index,
                    due: next.due,
                });
                Some(len)
            }
            Err(error) => {
                self.send_failed(now, error.to_string());
                None
            }
        }
    }

    /// Takes note that the datagram last given out did not leave.
    pub(crate) fn send_failed(&mut self, t: Nanos, error: String) {
        if matches!(self.events.last(), Some(Event::Sent { .. })) {
            self.events.pop();
            self.counts.sent -= 1;
        }
        self.counts.send_failed += 1;
        self.log(Event::SendFailed { t, error });
    }
}

fn reason(error: &DecodeError) -> ForeignReason {
    match error {
        DecodeError::OtherToast => ForeignReason::OtherToast,
        DecodeError::Magic { .. } | DecodeError::Version { .. } | DecodeError::Type { .. } => ForeignReason::NotToast,
        DecodeError::Checksum { .. } => ForeignReason::BadChecksum,
        DecodeError::UndeclaredPayload { .. } => ForeignReason::UndeclaredPayload,
        DecodeError::Truncated { .. } | DecodeError::PayloadSize { .. } | DecodeError::Discovery { .. } => {
            ForeignReason::Malformed
        }
    }
}
