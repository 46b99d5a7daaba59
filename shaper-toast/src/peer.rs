//! A peer: applies each command once, answers it, asks the controller for its clock.

use std::borrow::Cow;
use std::collections::{HashMap, VecDeque};
use std::net::SocketAddrV4;

use crate::burst::BurstConfig;
use crate::clock::AppClock;
use crate::config::{ConfigError, LateCommands, PeerConfig};
use crate::dedup::{Arrival, Dedup};
use crate::endpoint::{Endpoint, Incoming, Periodic};
use crate::log::{Event, Role};
use crate::shell::{self, Core, RunError, RunSummary};
use crate::stop::StopFlag;
use crate::sync::{Estimate, Estimator, Exchange};
use crate::transport::{Change, Transport};
use crate::units::{Micros, Nanos};
use crate::wire::{
    Header, MessageType, SyncPayload, TransportCommand, TransportPayload, TransportStateReply, requester_id,
};

/// Replies already used, so that a reply's further copies are not further exchanges.
const REPLIES_REMEMBERED: usize = 16;

/// What is known of one answerer's clock.
#[derive(Default)]
struct Answerer {
    estimator: Estimator,
    estimate: Option<Estimate>,
    used: VecDeque<(u32, u32)>,
}

/// The peer without sockets: time and datagrams go in, datagrams and events come out.
pub(crate) struct PeerCore {
    endpoint: Endpoint,
    config: PeerConfig,
    requester: u32,
    transport: Transport,
    senders: HashMap<String, Dedup>,
    answerers: HashMap<SocketAddrV4, Answerer>,
    syncing: Periodic,
    sampling: Periodic,
    gone: bool,
}

impl PeerCore {
    /// A peer that sends from `source` and begins at `now`.
    ///
    /// # Errors
    /// [`ConfigError`].
    pub(crate) fn new(
        config: PeerConfig,
        source: SocketAddrV4,
        clock: AppClock,
        now: Nanos,
    ) -> Result<PeerCore, ConfigError> {
        config.check()?;
        let mut endpoint = Endpoint::new(Role::Peer, &config.node, source, clock, now);
        // A phase of its own keeps the peers' questions from arriving together; a heartbeat goes
        // ahead, so that the controller knows who asks.
        let phase = Nanos(endpoint.rng.up_to(config.sync_period.0));
        Ok(PeerCore {
            requester: requester_id(&config.node.peer_id),
            transport: Transport::new(endpoint.app_now(now), config.node.bpm),
            senders: HashMap::new(),
            answerers: HashMap::new(),
            syncing: Periodic::new(now + phase, config.sync_period),
            sampling: Periodic::new(now, Nanos::from_secs(1)),
            gone: false,
            endpoint,
            config,
        })
    }

    fn command(&mut self, now: Nanos, addr: SocketAddrV4, header: &Header, command: &TransportCommand<'_>) {
        let from = command.peer_id.clone().into_owned();
        self.endpoint.log(Event::Received {
            t: now,
            from: from.clone(),
            addr,
            seq: header.sequence,
            burst_id: header.burst_id,
            burst_index: header.burst_index,
            burst_total: header.burst_total,
            command: command.command,
        });
        if self.gone {
            return;
        }
        let arrival = match self.senders.get_mut(&from) {
            Some(dedup) => dedup.arrival(header),
            None => self.senders.entry(from.clone()).or_default().arrival(header),
        };
        match arrival {
            Arrival::New => self.apply(now, addr, header, command, from),
            Arrival::Repeated => self.endpoint.log(Event::Repeated {
                t: now,
                from,
                seq: header.sequence,
                burst_id: header.burst_id,
                burst_index: header.burst_index,
            }),
            Arrival::OutOfOrder { newest } => {
                let applied = self.config.late_commands == LateCommands::Applied;
                self.endpoint.log(Event::OutOfOrder {
                    t: now,
                    from: from.clone(),
                    seq: header.sequence,
                    newest,
                    applied,
                });
                if applied {
                    self.apply(now, addr, header, command, from);
                }
            }
        }
    }

    fn apply(&mut self, now: Nanos, addr: SocketAddrV4, header: &Header, command: &TransportCommand<'_>, from: String) {
        let app_now = self.endpoint.app_now(now);
        let sent = i64::try_from(command.timestamp).unwrap_or(i64::MAX);
        let latency = Micros(app_now.0.saturating_sub(sent));
        // The controller's clock is ours plus the offset; without an estimate nothing is added.
        let age = self
            .answerers
            .get(&addr)
            .and_then(|a| a.estimate)
            .filter(|_| self.config.follow_clock)
            .map_or(0.0, |e| (latency.0 as f64 + e.offset) / 1e6)
            .max(0.0);
        let change = Change { command: command.command, position: command.position, bpm: command.bpm };
        let (before, after) = self.transport.apply(&change, app_now, age);
        self.endpoint.log(Event::Applied {
            t: now,
            from: from.clone(),
            seq: header.sequence,
            burst_id: header.burst_id,
            command: command.command,
            latency,
            before,
            after,
        });
        let answer = TransportPayload::State(TransportStateReply {
            peer_id: Cow::Owned(self.endpoint.peer_id.clone()),
            ack_peer: Cow::Borrowed(&from),
            ack_seq: header.sequence,
            state: after.state,
            position: after.position,
            bpm: after.bpm,
            timestamp: self.endpoint.clock.wire_at(now),
        });
        let (seq, _) = self.endpoint.queue_transport(now, MessageType::Transport, &answer, &BurstConfig::SINGLE);
        self.endpoint.log(Event::Answered {
            t: now,
            seq,
            ack_peer: from,
            ack_seq: header.sequence,
            state: after.state,
        });
    }

    fn exchanged(&mut self, now: Nanos, from: SocketAddrV4, header: &Header, stamps: [u64; 3]) {
        let answerer = self.answerers.entry(from).or_default();
        let key = (header.sequence, header.burst_id);
        if answerer.used.contains(&key) {
            return;
        }
        if answerer.used.len() == REPLIES_REMEMBERED {
            answerer.used.pop_front();
        }
        answerer.used.push_back(key);
        let [t1, t2, t3] = stamps.map(|us| Micros(i64::try_from(us).unwrap_or(i64::MAX)));
        let t4 = self.endpoint.clock.at(now);
        let exchange = Exchange { t1, t2, t3, t4 };
        let estimate = answerer.estimator.add(exchange);
        answerer.estimate = Some(estimate);
        let with = self.endpoint.name_of(from).map_or_else(|| from.to_string(), str::to_owned);
        // Back from our own clock to the log's; the skew over one filter's span is far below a
        // microsecond.
        let ago = u64::try_from(t4.0.saturating_sub(estimate.at.0)).unwrap_or(0);
        let ago = Nanos::from_micros(ago);
        self.endpoint.log(Event::SyncSample {
            t: now,
            with: with.clone(),
            exchange,
            offset: exchange.offset(),
            delay: exchange.delay(),
        });
        self.endpoint.log(Event::ClockEstimate { t: now, with, sample_t: now - ago, estimate });
    }
}

impl Core for PeerCore {
    fn receive(&mut self, now: Nanos, from: SocketAddrV4, datagram: &[u8]) {
        match self.endpoint.receive(now, from, datagram) {
            Some(Incoming::Transport { header, payload: TransportPayload::Command(command) }) => {
                self.command(now, from, &header, &command)
            }
            Some(Incoming::Sync { header, payload: SyncPayload::Reply { t1, t2, t3, requester } })
                if requester == self.requester && !self.gone =>
            {
                self.exchanged(now, from, &header, [t1, t2, t3]);
            }
            Some(Incoming::Transport { .. } | Incoming::Sync { .. }) | None => {}
        }
    }

    fn transmit(&mut self, now: Nanos, out: &mut [u8]) -> Option<usize> {
        if self.syncing.fire(now) && !self.gone {
            self.endpoint.queue_sync_request(now);
        }
        if self.sampling.fire(now) {
            let shown = self.transport.at(self.endpoint.app_now(now));
            self.endpoint.log(Event::Position { t: now, now: shown });
        }
        self.endpoint.transmit(now, out)
    }

    fn deadline(&self) -> Nanos {
        [self.endpoint.deadline(), self.syncing.due(), self.sampling.due()]
            .into_iter()
            .chain(self.leave_at())
            .chain(self.config.end_at)
            .min()
            .unwrap_or(Nanos::ZERO)
    }

    fn finished(&self, now: Nanos) -> bool {
        self.config.end_at.is_some_and(|end| now >= end)
    }

    fn endpoint(&mut self) -> &mut Endpoint {
        &mut self.endpoint
    }

    fn joined(&mut self, now: Nanos) {
        self.endpoint.log(Event::Joined { t: now });
    }

    fn leave_at(&self) -> Option<Nanos> {
        self.config.leave_at.filter(|_| !self.gone)
    }

    fn left(&mut self, begun: Nanos, now: Nanos) {
        self.gone = true;
        self.endpoint.fall_silent();
        self.endpoint.log(Event::Left { t: now, begun });
    }

    fn summarise(&mut self, now: Nanos) {
        let shown = self.transport.at(self.endpoint.app_now(now));
        let counts = self.endpoint.counts;
        self.endpoint.log(Event::Summary { t: now, counts, now: shown });
    }
}

/// Runs a peer until its end or until `stop` is raised.
///
/// # Errors
/// [`RunError`]: the configuration, the interface, a socket or the log.
pub fn run(config: PeerConfig, stop: &StopFlag) -> Result<RunSummary, RunError> {
    config.check()?;
    let node = config.node.clone();
    let join_at = config.join_at;
    shell::run(&node, join_at, stop, |source, clock, now| PeerCore::new(config, source, clock, now))
}
