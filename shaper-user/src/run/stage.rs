//! Where a run takes place: a lab of its own, or interfaces that are there.

use std::time::Duration;

use shaper_common::units::Nanos;
use shaper_engine::Outcome;
use shaper_net::journal::Journal;
use shaper_net::netns::NetNs;
use shaper_net::signals::Signals;
use shaper_profile::CompiledLink;

use super::bed::{Bed, BedOptions, Ground};
use super::directory::RunDirectory;
use super::execute::engine_options;
use super::interrupt::go_on_building;
use super::plan::Plan;
use super::site::Site;
use crate::capture::Captured;

/// The place, with links and taps.
pub(super) enum Stage {
    Lab(Box<Bed>),
    Site(Box<Site>),
}

impl Stage {
    /// Builds what there has to be, impairs it and taps it.
    pub(super) fn set(
        plan: &Plan,
        links: &[CompiledLink],
        ground: &Ground,
        directory: &RunDirectory,
        signals: Signals,
    ) -> anyhow::Result<Self> {
        let options = engine_options(plan, links);
        let tap = plan.scene.tap(plan.capture_buffer);
        go_on_building(signals)?;
        if let (Some(at), Some(link)) = (&plan.scene.at, links.first()) {
            let mut site = Box::new(Site::find(at, plan, ground)?);
            site.impair(at, link, options)?;
            for (end, point) in at.points().into_iter().enumerate() {
                go_on_building(signals)?;
                if plan.scene.capture.takes(&point) {
                    site.tap(end, &point, directory, &tap)?;
                }
            }
            site.lead()?;
            return Ok(Self::Site(site));
        }
        let mut bed = Box::new(Bed::up(&plan.lab(), ground)?);
        go_on_building(signals)?;
        bed.impair(links, &BedOptions { engine: options, straight: false })?;
        for host in plan.points() {
            go_on_building(signals)?;
            bed.tap(&host, directory, &tap)?;
        }
        Ok(Self::Lab(bed))
    }

    /// Lets outage schedules and timelines count from `start`, which is still to come.
    pub(super) fn begin(&mut self, start: Nanos) -> anyhow::Result<()> {
        match self {
            Self::Lab(bed) => bed.begin(start),
            Self::Site(site) => site.begin(start),
        }
    }

    /// The namespace of a host, by its name; beside interfaces that of this name, or that which they are in, which is also
    /// that of this one of two hosts.
    pub(super) fn netns(&self, on: Option<&str>) -> anyhow::Result<NetNs> {
        Ok(match (self, on) {
            (Self::Lab(bed), Some(host)) => bed.lab()?.netns(host)?.another()?,
            (Self::Lab(bed), None) => {
                let host = bed.lab()?.hosts().first().map(|host| host.name.clone()).unwrap_or_default();
                bed.lab()?.netns(&host)?.another()?
            }
            (Self::Site(site), Some(name)) if site.host() != Some(name) => NetNs::open(name)?,
            (Self::Site(site), _) => site.netns().another()?,
        })
    }

    /// The journal of all that is changed.
    pub(super) fn journal(&self) -> &Journal {
        match self {
            Self::Lab(bed) => bed.journal(),
            Self::Site(site) => site.journal(),
        }
    }

    /// What has ended by itself, if anything has: without it the rest of the run is worthless.
    pub(super) fn failed(&self) -> anyhow::Result<Option<String>> {
        match self {
            Self::Lab(bed) => {
                Ok(bed.has_failed().then(|| "a capture or a part of the engine ended by itself".to_owned()))
            }
            Self::Site(site) => site.failed(),
        }
    }

    /// Ends the impairment, lets out what is held, ends the taps, and takes all away that was built. Also what each
    /// host's own device dropped before any link saw it.
    pub(super) fn settle(self, grace: Duration, directory: &RunDirectory) -> anyhow::Result<Settled> {
        match self {
            Self::Lab(mut bed) => {
                let (outcome, captured) = bed.settle(grace)?;
                let device_drops = bed.device_drops_since_begin()?;
                bed.down()?;
                Ok(Settled { outcome, captured, device_drops })
            }
            Self::Site(mut site) => {
                let (outcome, captured) = site.settle(grace, directory)?;
                Ok(Settled { outcome, captured, device_drops: Vec::new() })
            }
        }
    }
}

/// What a stage leaves behind.
pub(super) struct Settled {
    pub(super) outcome: Outcome,
    pub(super) captured: Vec<(String, Captured)>,
    pub(super) device_drops: Vec<(String, u64)>,
}
