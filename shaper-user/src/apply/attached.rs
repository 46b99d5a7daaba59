//! What stands while an interface is impaired.

use std::time::Duration;

use anyhow::Context;
use shaper_common::units::Nanos;
use shaper_engine::{Account, DirectionSpec, Engine, InterfaceSpec, Keep, Options, Outcome, clock};
use shaper_net::signals::Signals;
use shaper_profile::CompiledDirection;

use super::request::{Request, Worked};
use super::site::{DEFAULT_FOR_MINUTES, Site};
use crate::run::Ground;

/// How often it is looked whether all is well.
const LOOK: Duration = Duration::from_millis(200);
/// How long what is held is waited for at the end, at the most, beyond the longest that any packet is held.
const GRACE: Duration = Duration::from_secs(2);
/// From the last word to the programs until outage schedules count, in nanoseconds.
const LEAD: u64 = 20_000_000;
/// The names of the directions, in the order of their numbers.
pub(super) const NAMES: [&str; 2] = ["egress", "ingress"];

/// An impaired interface. Fields are dropped in this order: programs before devices, and the ground last.
pub(crate) struct Attached {
    engine: Engine,
    site: Site,
    ends: Option<Nanos>,
    longest: Duration,
    ground: Ground,
}

/// Why it ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ended {
    /// Somebody said stop.
    Told,
    /// Its time was over.
    Over,
    /// The interface went away.
    Gone,
    /// A part of the engine ended by itself.
    Failed,
}

/// How it went.
pub(crate) struct Finished {
    pub(crate) interface: String,
    pub(crate) ended: Ended,
    pub(crate) outcome: Outcome,
}

impl Attached {
    /// Impairs the interface.
    ///
    /// # Errors
    ///
    /// An interface that may not or cannot be impaired; it is as it was then.
    pub(crate) fn up(request: &Request, worked: &Worked) -> anyhow::Result<Self> {
        let ground = Ground::prepare(&format!("apply {}", request.interface))?;
        let site = Site::find(request, ground.journal())?;
        let [egress, ingress] = &worked.directions;
        let directions = [egress, ingress].into_iter().zip(NAMES);
        let mut directions = directions.map(|(compiled, name)| compiled.as_ref().map(|one| specification(name, one)));
        let spec = InterfaceSpec {
            name: site.link.name.clone(),
            egress: directions.next().flatten(),
            ingress: directions.next().flatten(),
        };
        let options =
            Options { frames: worked.frames, busy_poll: request.busy_poll, keep: Keep::Nothing, ..Options::default() };
        let mut engine = Engine::start_at(&site.netns, ground.journal(), spec, options)
            .with_context(|| format!("cannot impair {}", site.link.name))?;
        let start = Nanos(clock::monotonic().saturating_add(LEAD));
        engine.begin(start)?;
        let duration = request.duration.map(|duration| duration.0);
        let own = request.allow_default_route.then_some(Nanos(DEFAULT_FOR_MINUTES * 60_000_000_000));
        let ends = duration.or(own).map(|duration| start.saturating_add(duration));
        let longest = worked.directions.iter().flatten().map(|one| one.held().longest.0).max().unwrap_or(0);
        Ok(Self { engine, site, ends, longest: Duration::from_nanos(longest), ground })
    }

    /// When it ends by itself, CLOCK_MONOTONIC.
    pub(crate) fn ends(&self) -> Option<Nanos> {
        self.ends
    }

    /// Waits until it is to end, and shows how it stands in between.
    ///
    /// # Errors
    ///
    /// When that cannot be asked for.
    pub(crate) fn wait(&self, signals: Signals, mut show: impl FnMut(&[Account])) -> anyhow::Result<Ended> {
        loop {
            let now = Nanos(clock::monotonic());
            let left = self.ends.map(|ends| Duration::from_nanos(ends.saturating_sub(now).0));
            if left.is_some_and(|left| left.is_zero()) {
                return Ok(Ended::Over);
            }
            if signals.wait(Some(left.map_or(LOOK, |left| left.min(LOOK))))? {
                return Ok(Ended::Told);
            }
            if self.engine.has_ended() {
                return Ok(Ended::Failed);
            }
            if self.site.rtnl.find_index(self.site.link.index)?.is_none() {
                return Ok(Ended::Gone);
            }
            show(&self.engine.snapshot()?);
        }
    }

    /// Puts the interface back as it was, lets out what is held, and accounts for every packet.
    ///
    /// # Errors
    ///
    /// When a thread of the engine failed, or something could not be put back.
    pub(crate) fn down(self, ended: Ended) -> anyhow::Result<Finished> {
        let Self { engine, site, longest, ground, .. } = self;
        let interface = site.link.name.clone();
        let outcome = engine.stop(GRACE.saturating_add(longest));
        drop(site);
        ground.clear()?;
        let outcome = outcome.with_context(|| format!("cannot account for what passed {interface}"))?;
        Ok(Finished { interface, ended, outcome })
    }
}

fn specification(name: &str, compiled: &CompiledDirection) -> DirectionSpec {
    DirectionSpec { name: name.into(), channel: compiled.channel.clone(), rules: compiled.rules.clone() }
}
