//! An attachment: its programs, what holds its packets, and the threads that gather the evidence.

mod change;
mod count;
mod up;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::Sender;
use std::thread::JoinHandle;
use std::time::Duration;

use shaper_bpf::{Exclusion, Hook, Object};
use shaper_common::layout::{DIRECTIONS, Port};
use shaper_common::units::Nanos;
use shaper_net::rtnl::{LinkStats, Rtnl};

use self::count::by_rule;
use crate::account::Account;
use crate::clock::monotonic;
use crate::diversion::Diverted;
use crate::error::Error;
use crate::evidence::{Collected, Told};
use crate::follow::Following;
use crate::hold::Hold;
use crate::outcome::{DirectionOutcome, Outcome};
use crate::room::Room;
use crate::spec::{DirectionSpec, EngineKind, Options, PortMode};
use crate::thread::join;

/// A direction whose packets go straight on.
struct Straight {
    /// The port that they leave at.
    output: u32,
    /// What that has counted before.
    before: LinkStats,
}

/// A running attachment. Dropping it detaches the programs and loses what is held.
pub struct Engine {
    object: Object,
    hold: Box<dyn Hold>,
    /// What leads packets here, where they do not come in at ports. Behind the object: programs go before devices.
    diverted: Option<Diverted>,
    /// How XDP takes packets at each port.
    modes: Vec<PortMode>,
    directions: Vec<DirectionSpec>,
    /// By direction: the channel of its first rule.
    rule_channels: Vec<u32>,
    /// By direction: the device that its packets come in at, and what that is to the programs.
    ports: Vec<(u32, Port)>,
    exclusion: Exclusion,
    /// By direction: those whose packets go straight on.
    straight: Vec<Option<Straight>>,
    /// Of the namespace of the ports.
    rtnl: Rtnl,
    options: Options,
    /// Tells the evidence thread of settings that are changed to, and of who looks on.
    to_evidence: Sender<Told>,
    collector: Option<JoinHandle<Vec<Collected>>>,
    feeder: Option<JoinHandle<Result<(), shaper_bpf::Error>>>,
    done: Arc<AtomicBool>,
    start: Arc<AtomicU64>,
}

impl Engine {
    /// Lets the outage schedules of all directions count from `start`, a CLOCK_MONOTONIC time that is still to come:
    /// arrivals until then are before any outage under the old start as under the new one, so that no fate depends
    /// on when exactly the programs see the change.
    ///
    /// # Errors
    ///
    /// When a map cannot be written.
    pub fn begin(&mut self, start: Nanos) -> Result<(), Error> {
        self.start.store(start.0, Ordering::Release);
        for (direction, spec) in (0..).zip(&mut self.directions) {
            spec.channel.begin(start);
            self.object.set_start(direction, &spec.channel, start)?;
            let first = self.rule_channels.get(direction as usize).copied().unwrap_or(DIRECTIONS);
            for (channel, rule) in (first..).zip(&mut spec.rules.channels) {
                rule.begin(start);
                self.object.set_start(channel, rule, start)?;
            }
        }
        Ok(())
    }

    /// What keeps the decisions of a direction apart.
    #[must_use]
    pub fn exclusion(&self) -> Exclusion {
        self.exclusion
    }

    /// How XDP takes packets at the two ports of a bridge, where it does so at these themselves.
    #[must_use]
    pub fn port_modes(&self) -> Option<&[PortMode]> {
        self.options.at_ports.then_some(self.modes.as_slice())
    }

    /// How many packets it holds at once without loss.
    #[must_use]
    pub fn room(&self) -> Room {
        self.hold.room()
    }

    /// Which engine it is.
    #[must_use]
    pub fn kind(&self) -> EngineKind {
        self.options.engine
    }

    /// How packets are led here; `None` where they come in at ports.
    #[must_use]
    pub fn hook(&self) -> Option<Hook> {
        self.diverted.as_ref().and_then(Diverted::hook)
    }

    /// Whether one of its threads has ended, though nobody stopped it: nothing gets through then, and
    /// [`stop`](Self::stop) says why.
    #[must_use]
    pub fn has_ended(&self) -> bool {
        self.hold.has_ended()
            || self.collector.as_ref().is_some_and(JoinHandle::is_finished)
            || self.feeder.as_ref().is_some_and(JoinHandle::is_finished)
    }

    /// The directions as they run.
    #[must_use]
    pub fn directions(&self) -> &[DirectionSpec] {
        &self.directions
    }

    /// Evidence from now on, for somebody who looks on: what had been decided before is not in it.
    ///
    /// # Errors
    ///
    /// When the evidence thread has ended.
    pub fn follow(&self) -> Result<Following, Error> {
        Following::start(self.to_evidence.clone())
    }

    /// The names of the devices that packets of an interface are led into, and come back from, by direction; none where
    /// they come in at ports.
    #[must_use]
    pub fn near_ends(&self) -> Option<[String; 2]> {
        self.diverted.as_ref().and_then(Diverted::near_ends)
    }

    /// Detaches, lets out what is held for at most `grace`, and accounts for every packet.
    ///
    /// # Errors
    ///
    /// When a thread ended by itself or a map cannot be read.
    pub fn stop(mut self, grace: Duration) -> Result<Outcome, Error> {
        self.settle(grace)
    }

    /// The same; its devices stay until it is dropped, for those who look at them still.
    ///
    /// # Errors
    ///
    /// As [`stop`](Self::stop).
    pub fn settle(&mut self, grace: Duration) -> Result<Outcome, Error> {
        // First no packet comes in any more, then what is held goes out: only then can the account close.
        match &self.diverted {
            // What is in the pair already has still to be decided.
            Some(diverted) if !diverted.is_at_ports() => diverted.end(&mut self.object)?,
            Some(diverted) => {
                // First what would send on what XDP lets pass.
                diverted.end(&mut self.object)?;
                self.object.detach()?;
            }
            None => self.object.detach()?,
        }
        let deadline = monotonic().saturating_add(u64::try_from(grace.as_nanos()).unwrap_or(u64::MAX));
        let leaked_frames = self.hold.drain(&self.object, Nanos(deadline))?;
        self.done.store(true, Ordering::Release);
        let collected = join("evidence", self.collector.take())?;
        if self.feeder.is_some() {
            join("traces", self.feeder.take())??;
        }
        self.object.detach()?;
        let mut directions = Vec::with_capacity(self.directions.len());
        for ((direction, spec), collected) in (0u32..).zip(&self.directions).zip(collected) {
            let left = self.hold.left(direction as usize);
            let sources = self.sources(direction, left, collected.control_sent, collected.control_refused)?;
            let account = Account::of(&sources);
            let on_record = collected.verdict.checked + collected.verdict.undecided;
            directions.push(DirectionOutcome {
                spec: spec.clone(),
                oracle: collected.verdict,
                recorded: self.recorded(&sources).read(on_record),
                releases_lost: sources.edge.releases_lost,
                let_pass: sources.edge.let_pass,
                account,
                by_rule: by_rule(&sources),
                records: collected.records,
                releases: collected.releases,
                copies: collected.copies,
                lateness: self.lateness(direction)?,
            });
        }
        if let Some(diverted) = &self.diverted {
            diverted.end_all(&mut self.object)?;
        }
        Ok(Outcome { directions, leaked_frames, starved: self.hold.starved() })
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        if let Some(diverted) = &self.diverted {
            // After `stop` there is nothing left to detach; else the journal has what fails here.
            let _ = diverted.end_all(&mut self.object);
        }
        self.hold.abort();
        self.done.store(true, Ordering::Release);
        // A thread that panicked has said so; there is nothing more to do for it here.
        for thread in [
            self.collector.take().map(|collector| collector.join().map(drop)),
            self.feeder.take().map(|feeder| feeder.join().map(drop)),
        ] {
            drop(thread);
        }
    }
}
