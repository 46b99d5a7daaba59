//! The controller: commands by the script, answers to clock questions, notes of the answers.

use std::borrow::Cow;
use std::collections::HashMap;
use std::net::SocketAddrV4;

use crate::clock::AppClock;
use crate::config::{ConfigError, ControllerConfig};
use crate::endpoint::{Endpoint, Incoming, Periodic};
use crate::log::{Event, Role};
use crate::script::{Planned, Step};
use crate::shell::{self, Core, RunError, RunSummary};
use crate::stop::StopFlag;
use crate::transport::{Change, Transport};
use crate::units::Nanos;
use crate::wire::{SyncPayload, TransportCommand, TransportPayload, requester_id};

/// How many requests of one peer's bursts are told apart.
const SYNC_REMEMBERED: usize = 16;

/// The controller without sockets: time and datagrams go in, datagrams and events come out.
pub(crate) struct ControllerCore {
    endpoint: Endpoint,
    config: ControllerConfig,
    script: Vec<Planned>,
    next: usize,
    transport: Transport,
    sampling: Periodic,
    answered: HashMap<SocketAddrV4, Vec<(u32, u32)>>,
}

impl ControllerCore {
    /// A controller that sends from `source` and begins at `now`.
    ///
    /// # Errors
    /// [`ConfigError`].
    pub(crate) fn new(
        config: ControllerConfig,
        source: SocketAddrV4,
        clock: AppClock,
        now: Nanos,
    ) -> Result<ControllerCore, ConfigError> {
        config.check()?;
        if now > config.start_at {
            let late = now - config.start_at;
            return Err(ConfigError::StartPassed { late });
        }
        let script = config.script.plan(config.duration)?;
        let endpoint = Endpoint::new(Role::Controller, &config.node, source, clock, now);
        Ok(ControllerCore {
            transport: Transport::new(endpoint.app_now(now), config.node.bpm),
            sampling: Periodic::new(config.start_at, Nanos::from_secs(1)),
            answered: HashMap::new(),
            endpoint,
            config,
            script,
            next: 0,
        })
    }

    fn next_due(&self) -> Option<Nanos> {
        self.script.get(self.next).map(|planned| self.config.start_at + planned.due)
    }

    fn end(&self) -> Nanos {
        self.config.start_at + self.config.duration + self.config.drain
    }

    fn command(&mut self, now: Nanos, due: Nanos, step: Step) {
        let app_now = self.endpoint.app_now(now);
        let shown = self.transport.at(app_now);
        let command = step.command();
        let change = Change {
            command,
            position: match step {
                Step::Stop => 0.0,
                Step::Position(seconds) => seconds,
                Step::Play | Step::Pause | Step::Bpm(_) => shown.position,
            },
            bpm: match step {
                Step::Bpm(bpm) => bpm,
                _ => shown.bpm,
            },
        };
        let (before, after) = self.transport.apply(&change, app_now, 0.0);
        let peer_id = self.endpoint.peer_id.clone();
        let payload = TransportPayload::Command(TransportCommand {
            command,
            timestamp: self.endpoint.clock.wire_at(now),
            position: change.position,
            bpm: change.bpm,
            peer_id: Cow::Owned(peer_id),
        });
        let (seq, burst_id) =
            self.endpoint.queue_transport(now, self.config.command_type, &payload, &self.config.burst);
        self.endpoint.log(Event::Commanded { t: now, due, seq, burst_id, command, timestamp: app_now, before, after });
    }

    /// Answers the first copy of a request that is heard.
    fn answer_sync(&mut self, now: Nanos, from: SocketAddrV4, key: (u32, u32), t1: u64) {
        let seen = self.answered.entry(from).or_default();
        if seen.contains(&key) {
            return;
        }
        if seen.len() == SYNC_REMEMBERED {
            seen.remove(0);
        }
        seen.push(key);
        match self.endpoint.name_of(from).map(requester_id) {
            Some(requester) => self.endpoint.queue_sync_reply(now, t1, requester),
            None => self.endpoint.counts.syncs_unanswered += 1,
        }
    }
}

impl Core for ControllerCore {
    fn receive(&mut self, now: Nanos, from: SocketAddrV4, datagram: &[u8]) {
        match self.endpoint.receive(now, from, datagram) {
            Some(Incoming::Transport { header, payload: TransportPayload::State(state) })
                if state.ack_peer == self.endpoint.peer_id =>
            {
                let event = Event::AnswerReceived {
                    t: now,
                    from: state.peer_id.into_owned(),
                    seq: header.sequence,
                    ack_seq: state.ack_seq,
                    state: state.state,
                    position: state.position,
                };
                self.endpoint.log(event);
            }
            Some(Incoming::Sync { header, payload: SyncPayload::Request { t1 } }) => {
                self.answer_sync(now, from, (header.sequence, header.burst_id), t1)
            }
            Some(Incoming::Transport { .. } | Incoming::Sync { .. }) | None => {}
        }
    }

    fn transmit(&mut self, now: Nanos, out: &mut [u8]) -> Option<usize> {
        if let Some(due) = self.next_due().filter(|&due| due <= now)
            && let Some(planned) = self.script.get(self.next).copied()
        {
            self.next += 1;
            self.command(now, due, planned.step);
        }
        if self.sampling.fire(now) {
            let shown = self.transport.at(self.endpoint.app_now(now));
            self.endpoint.log(Event::Position { t: now, now: shown });
        }
        self.endpoint.transmit(now, out)
    }

    fn deadline(&self) -> Nanos {
        [self.endpoint.deadline(), self.sampling.due(), self.end()]
            .into_iter()
            .chain(self.next_due())
            .min()
            .unwrap_or(Nanos::ZERO)
    }

    fn finished(&self, now: Nanos) -> bool {
        now >= self.end() && !self.endpoint.sending()
    }

    fn endpoint(&mut self) -> &mut Endpoint {
        &mut self.endpoint
    }

    fn joined(&mut self, now: Nanos) {
        self.endpoint.log(Event::Joined { t: now });
    }

    fn leave_at(&self) -> Option<Nanos> {
        None
    }

    fn left(&mut self, _begun: Nanos, _now: Nanos) {}

    fn summarise(&mut self, now: Nanos) {
        let shown = self.transport.at(self.endpoint.app_now(now));
        let counts = self.endpoint.counts;
        self.endpoint.log(Event::Summary { t: now, counts, now: shown });
    }
}

/// Runs a controller until its script and drain are over or `stop` is raised.
///
/// # Errors
/// [`RunError`]: the configuration, the interface, a socket or the log.
pub fn run(config: ControllerConfig, stop: &StopFlag) -> Result<RunSummary, RunError> {
    config.check()?;
    let node = config.node.clone();
    shell::run(&node, None, stop, |source, clock, now| ControllerCore::new(config, source, clock, now))
}
