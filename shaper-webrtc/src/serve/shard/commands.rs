//! What the control plane asks for.

use std::sync::mpsc::TryRecvError;
use std::time::Instant;

use str0m::Input;
use str0m::ice::IceCreds;
use str0m::media::Mid;

use super::Shard;
use super::command::{Command, LegNumber};
use crate::dialect::fingerprint;
use crate::guard;
use crate::serve::rtc::ice_parameters;
use crate::signal::transport::{DtlsParameters, DtlsRole, IceParameters};

/// Commands that are obeyed before media has its turn.
const BATCH: usize = 64;

impl Shard {
    /// Obeys what has been asked for.
    pub(super) fn obey(&mut self) {
        for _ in 0..BATCH {
            match self.commands.try_recv() {
                Ok(command) => self.obey_one(command),
                Err(TryRecvError::Empty) => return,
                Err(TryRecvError::Disconnected) => return self.stop(),
            }
        }
        // There may be more, and their wake-up is spent.
        self.next_tick = Instant::now();
    }

    fn obey_one(&mut self, command: Command) {
        let now = Instant::now();
        // Whoever asked may have gone: then nobody waits for the answer.
        match command {
            Command::Open { owner, flow, reply } => drop(reply.send(self.open(owner, flow, now))),
            Command::Answer { owner, flow, offer, reply } => {
                drop(reply.send(self.answer(owner, flow, *offer, now)));
            }
            Command::Connect { leg, dtls, reply } => drop(reply.send(self.connect(leg, &dtls))),
            Command::Credentials { leg, reply } => {
                // After a restart its answer's, although the old ones hold until the client uses it.
                let ufrag =
                    self.leg(leg).map(|leg| leg.restart.as_ref().map_or(&leg.local_ufrag, |new| &new.ufrag).clone());
                drop(reply.send(ufrag.ok_or_else(|| GONE.to_owned())));
            }
            Command::RestartIce { leg, reply } => drop(reply.send(self.restart_ice(leg))),
            Command::Produce { leg, producer, kind, parameters, reply } => {
                drop(reply.send(self.produce(leg, producer, kind, &parameters, now)));
            }
            Command::Consume { leg, consumer, producer, reply } => {
                drop(reply.send(self.consume(leg, consumer, producer, now)));
            }
            Command::ConsumeAt { leg, consumer, producer, mid, reply } => {
                let mid = Mid::from(mid.as_str());
                drop(reply.send(self.consume_at(leg, consumer, producer, mid, now)));
            }
            Command::PauseConsumer { consumer, paused } => self.pause_consumer(consumer, paused, now),
            Command::PauseProducer { producer, paused } => self.pause_producer(producer, paused, now),
            Command::Prefer { consumer, layer } => self.prefer(consumer, layer, now),
            Command::CloseConsumer { consumer } => self.close_consumer(consumer),
            Command::CloseProducer { producer } => self.close_producer(producer),
            Command::CloseLeg { leg } => self.close_leg(leg, now),
            Command::Stop => self.stop(),
        }
        self.drive_dirty(now);
    }

    /// Says goodbye on all legs.
    fn stop(&mut self) {
        let now = Instant::now();
        let numbers: Vec<LegNumber> = self.legs.iter().flatten().map(|leg| leg.number).collect();
        for number in numbers {
            self.close_leg(number, now);
        }
        self.stopping = true;
    }

    pub(super) fn close_leg(&mut self, number: LegNumber, now: Instant) {
        let Some(mut leg) = self.take_leg(number) else { return };
        let closed = guard::guarded(|| leg.rtc.close().map_err(|error| error.to_string()))
            .and_then(|()| guard::handle_input(&mut leg.rtc, Input::Timeout(now)));
        if closed.is_ok() {
            self.drain(&mut leg, now);
        }
        self.put_leg(leg);
        self.remove_leg(number);
    }

    pub(super) fn connect(&mut self, number: LegNumber, dtls: &DtlsParameters) -> Result<(), String> {
        let remote = fingerprint(dtls)?;
        let leg = self.leg(number).ok_or(GONE)?;
        if leg.dtls_started {
            return Err("the transport is connected already".to_owned());
        }
        // The side that the client leaves to us is the server's: in this dialect clients begin.
        let active = dtls.role == DtlsRole::Server;
        leg.rtc.direct_api().set_remote_fingerprint(remote);
        leg.dtls_started = true;
        leg.begins_dtls = active && !leg.ice_up;
        if !leg.begins_dtls {
            leg.start_dtls(active)?;
        }
        self.mark(number);
        Ok(())
    }

    pub(super) fn restart_ice(&mut self, number: LegNumber) -> Result<IceParameters, String> {
        let new = IceCreds::new();
        let leg = self.leg(number).ok_or(GONE)?;
        let replaced = leg.restart.replace(new.clone());
        if let Some(replaced) = replaced {
            self.by_ufrag.remove(&replaced.ufrag);
        }
        self.by_ufrag.insert(new.ufrag.clone(), number);
        Ok(ice_parameters(&new))
    }
}

/// What is said of a leg that is not there any more.
pub(super) const GONE: &str = "the transport has ended";
