//! The interfaces of a run in the place of a lab: impaired and tapped at both ends of the link.

use std::time::Duration;

use anyhow::Context;
use shaper_common::units::Nanos;
use shaper_engine::{Engine, Options, Outcome, SiteSpec};
use shaper_net::journal::Journal;
use shaper_net::netns::NetNs;
use shaper_profile::CompiledLink;

use super::bed::{Ground, direction_spec};
use super::directory::RunDirectory;
use super::plan::Plan;
use super::scene::At;
use crate::apply::Place;
use crate::capture::{Captured, Tap, TapOptions, Way, merged};

/// What stands on the host. Fields are dropped in this order.
pub(super) struct Site {
    taps: Vec<Point>,
    engine: Option<Engine>,
    place: Place,
    journal: Journal,
    name: String,
    /// Which of two hosts this is.
    host: Option<String>,
}

/// One end of the link: what goes into it, and what comes out.
struct Point {
    name: String,
    taps: [Tap; 2],
    snaplen: u32,
}

impl Site {
    /// Finds the interfaces, and makes sure that they may be impaired.
    pub(super) fn find(at: &At, plan: &Plan, ground: &Ground) -> anyhow::Result<Self> {
        let place = Place::find(&at.wanted(&plan.told()), ground.journal())?;
        let host = at.role.as_ref().map(|role| role.name.clone());
        Ok(Self { taps: Vec::new(), engine: None, place, journal: ground.journal().clone(), name: at.told(), host })
    }

    /// Prepares the link; nothing is led through it before [`lead`](Self::lead).
    pub(super) fn impair(&mut self, at: &At, link: &CompiledLink, options: Options) -> anyhow::Result<()> {
        let [forward, backward] = &at.directions();
        let spec = SiteSpec {
            site: at.site(),
            directions: [direction_spec(forward, &link.a_to_b), direction_spec(backward, &link.b_to_a)],
            led: [false; 2],
        };
        let engine = Engine::start_at(&self.place.netns, &self.journal, spec, options);
        self.engine = Some(engine.with_context(|| format!("cannot impair {}", self.name))?);
        Ok(())
    }

    /// Taps one end, 0 for this side of the link and 1 for beyond it. Not at the interface, where what arrives is seen
    /// twice: at the devices that packets are led into, and come back from.
    pub(super) fn tap(
        &mut self,
        end: usize,
        name: &str,
        directory: &RunDirectory,
        options: &TapOptions,
    ) -> anyhow::Result<()> {
        let ends = self.engine()?.near_ends().context("packets are led nowhere")?;
        let ways = if end == 0 { [Way::Outbound, Way::Inbound] } else { [Way::Inbound, Way::Outbound] };
        let start = |of: usize| -> anyhow::Result<Tap> {
            let (Some(device), Some(way)) = (ends.get(of), ways.get(of)) else { anyhow::bail!("no end {of}") };
            let spool = format!("{name}.{of}.spool");
            let options = TapOptions { way: Some(*way), ..options.clone() };
            Ok(Tap::start(&self.place.netns, device, directory.make(&spool)?, &directory.file(&spool), &options)?)
        };
        let taps = [start(0)?, start(1)?];
        self.taps.push(Point { name: name.to_owned(), taps, snaplen: options.snaplen });
        Ok(())
    }

    /// Leads what passes the interfaces through the link.
    pub(super) fn lead(&mut self) -> anyhow::Result<()> {
        let engine = self.engine.as_mut().context("the link is not there")?;
        for direction in 0..2 {
            engine.lead(&self.journal, direction).with_context(|| format!("cannot impair {}", self.name))?;
        }
        Ok(())
    }

    pub(super) fn begin(&mut self, start: Nanos) -> anyhow::Result<()> {
        Ok(self.engine.as_mut().context("the link is not there")?.begin(start)?)
    }

    fn engine(&self) -> anyhow::Result<&Engine> {
        self.engine.as_ref().context("the link is not there")
    }

    /// Where the interfaces are.
    pub(super) fn netns(&self) -> &NetNs {
        &self.place.netns
    }

    /// Which of two hosts this is.
    pub(super) fn host(&self) -> Option<&str> {
        self.host.as_deref()
    }

    /// The journal of all that is changed.
    pub(super) fn journal(&self) -> &Journal {
        &self.journal
    }

    /// What has ended by itself, if anything has.
    pub(super) fn failed(&self) -> anyhow::Result<Option<String>> {
        for link in &self.place.links {
            if self.place.rtnl.find_index(link.index)?.is_none() {
                return Ok(Some(format!("{} went away while it was impaired", link.name)));
            }
        }
        let tap = self.taps.iter().find(|point| point.taps.iter().any(Tap::has_failed));
        Ok(match (tap, self.engine.as_ref().is_some_and(Engine::has_ended)) {
            (Some(point), _) => Some(format!("the capture at {} ended by itself", point.name)),
            (None, true) => Some("a part of the engine ended by itself".to_owned()),
            (None, false) => None,
        })
    }

    /// Ends the impairment, lets out what is held, and ends the taps.
    pub(super) fn settle(
        &mut self,
        grace: Duration,
        directory: &RunDirectory,
    ) -> anyhow::Result<(Outcome, Vec<(String, Captured)>)> {
        let mut engine = self.engine.take().context("the link is not there")?;
        let outcome = engine.settle(grace)?;
        let mut captured = Vec::new();
        for Point { name, taps: [one, other], snaplen } in self.taps.drain(..) {
            let parts = [one.stop()?, other.stop()?];
            let spool = format!("{name}.spool");
            let path = directory.file(&spool);
            let merged = merged(parts, directory.make(&spool)?, &path, snaplen);
            captured.push((name, merged.with_context(|| directory.unwritten(&spool))?));
        }
        Ok((outcome, captured))
    }
}
