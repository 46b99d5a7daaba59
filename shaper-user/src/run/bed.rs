//! The test bed of a run: lab, engine and taps, and how they go away again, whatever happens.

use std::io::{self, Write};
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use shaper_common::units::Nanos;
use shaper_engine::{Behind, DirectionSpec, Engine, LinkSpec, Options, Outcome};
use shaper_net::guard::Guard;
use shaper_net::journal::{self, Journal, Owners};
use shaper_net::lab::{Host, Lab, LabSpec, LinkEnds};
use shaper_net::netns::NetNs;
use shaper_profile::{CompiledDirection, CompiledLink};

use super::directory::RunDirectory;
use crate::capture::{Captured, Tap, TapOptions};

/// How the engine of a bed runs.
#[derive(Clone, Copy, Debug)]
pub struct BedOptions {
    /// The engine's own.
    pub engine: Options,
    /// Whether directions that hold nothing go straight on: then nothing is known of each packet's release.
    pub straight: bool,
}

/// What all changes on the host rest on: the journal they are written down in, and the guard that undoes it after a
/// crash. Fields are dropped in this order: the journal is undone before the guard is let go.
pub struct Ground {
    journal: Journal,
    _guard: Guard,
}

impl Ground {
    /// Undoes what dead processes left, and starts journal and guard.
    ///
    /// # Errors
    ///
    /// When the host does not allow it; nothing stays behind then.
    pub fn prepare(command: &str) -> anyhow::Result<Self> {
        Self::guarded_by(command, Guard::start)
    }

    /// The same; whatever becomes of this process, all is undone when so much time has passed.
    ///
    /// # Errors
    ///
    /// As [`prepare`](Self::prepare).
    pub fn prepare_for(command: &str, most: Duration) -> anyhow::Result<Self> {
        Self::guarded_by(command, |journal| Guard::start_for(journal, most))
    }

    fn guarded_by(command: &str, guard: impl FnOnce(&Journal) -> shaper_net::Result<Guard>) -> anyhow::Result<Self> {
        for report in journal::recover(Owners::Dead).context("cannot look for what dead runs left behind")? {
            if !report.failures.is_empty() {
                // Where nobody reads it, it is not said.
                let _ = writeln!(io::stderr(), "shaper: {report}");
            }
        }
        let journal = Journal::create(command)?;
        match guard(&journal) {
            Ok(guard) => Ok(Self { journal, _guard: guard }),
            Err(error) => {
                journal.undo()?;
                Err(error).context("cannot start the guard that cleans up after a crash")
            }
        }
    }

    /// The journal of all that is changed.
    #[must_use]
    pub fn journal(&self) -> &Journal {
        &self.journal
    }

    /// Undoes what still stands.
    ///
    /// # Errors
    ///
    /// What could not be undone; the journal then stays for `shaper clear`.
    pub fn clear(self) -> anyhow::Result<()> {
        self.journal.undo().context("cannot undo all that was changed: try `shaper clear`")?;
        Ok(())
    }
}

impl Drop for Ground {
    fn drop(&mut self) {
        // Undone already after `clear`; otherwise an error is on its way up, and this one would hide it: the guard
        // tries again.
        let _ = self.journal.undo();
    }
}

/// What stands on the host. Fields are dropped in this order: what uses the lab goes before the lab.
pub struct Bed {
    taps: Vec<(String, Tap)>,
    engine: Option<Engine>,
    lab: Option<Lab>,
    drops_before: Vec<(String, u64)>,
    journal: Journal,
}

impl Bed {
    /// Builds the lab.
    ///
    /// # Errors
    ///
    /// When the host does not allow it; nothing stays behind then.
    pub fn up(spec: &LabSpec, ground: &Ground) -> anyhow::Result<Self> {
        let journal = ground.journal().clone();
        let lab = Some(Lab::up(&journal, spec).context("cannot build the lab")?);
        Ok(Self { taps: Vec::new(), engine: None, lab, drops_before: Vec::new(), journal })
    }

    /// The lab.
    ///
    /// # Errors
    ///
    /// After it was taken down.
    pub fn lab(&self) -> anyhow::Result<&Lab> {
        self.lab.as_ref().context("the lab is down")
    }

    /// The journal of all that was changed.
    #[must_use]
    pub fn journal(&self) -> &Journal {
        &self.journal
    }

    /// Writes down where the lab is, for `lab exec` and `lab down`.
    ///
    /// # Errors
    ///
    /// When `/run` cannot be written.
    pub fn publish(&mut self) -> anyhow::Result<()> {
        let lab = self.lab.as_mut().context("the lab is down")?;
        lab.save(&self.journal).context("cannot write down where the lab is")?;
        Ok(())
    }

    /// Impairs the links. No outage begins before [`Bed::begin`].
    ///
    /// # Errors
    ///
    /// When the kernel refuses the programs or the sockets.
    pub fn impair(&mut self, links: &[CompiledLink], options: &BedOptions) -> anyhow::Result<()> {
        let lab = self.lab.as_mut().context("the lab is down")?;
        let specs = lab.links().iter().zip(links).map(|(ends, link)| {
            let behind = if options.straight { Some(lab.behind(ends)?.map(behind)) } else { None };
            anyhow::Ok(link_spec(ends, link, behind))
        });
        let specs = specs.collect::<anyhow::Result<_>>()?;
        let engine =
            Engine::start(lab.middle(), specs, options.engine).context("cannot impair the links of the lab")?;
        self.engine = Some(engine);
        lab.query_members().context("cannot make the switch ask for multicast members")?;
        Ok(())
    }

    /// Lets outage schedules count from `start`, which is still to come.
    ///
    /// # Errors
    ///
    /// When the links are not impaired or a map cannot be written.
    pub fn begin(&mut self, start: Nanos) -> anyhow::Result<()> {
        self.engine.as_mut().context("the links are not impaired")?.begin(start)?;
        self.drops_before = self.device_drops()?;
        Ok(())
    }

    /// Packets that each host's own device has dropped on their way to the link: no link has seen them.
    fn device_drops(&self) -> anyhow::Result<Vec<(String, u64)>> {
        let lab = self.lab()?;
        let of = |host: &Host| anyhow::Ok(lab.netns(&host.name)?.rtnl()?.stats(host.ifindex)?.tx_dropped);
        lab.hosts().iter().map(|host| Ok((host.name.clone(), of(host)?))).collect()
    }

    /// The same, since the run began.
    ///
    /// # Errors
    ///
    /// After the lab was taken down.
    pub fn device_drops_since_begin(&self) -> anyhow::Result<Vec<(String, u64)>> {
        let before =
            |host: &String| self.drops_before.iter().find(|(name, _)| name == host).map_or(0, |(_, drops)| *drops);
        let now = self.device_drops()?;
        Ok(now.into_iter().map(|(host, drops)| (host.clone(), drops.saturating_sub(before(&host)))).collect())
    }

    /// Whether a part of the bed has ended by itself: a tap, or a thread of the engine. [`Bed::settle`] says why.
    #[must_use]
    pub fn has_failed(&self) -> bool {
        self.taps.iter().any(|(_, tap)| tap.has_failed()) || self.engine.as_ref().is_some_and(Engine::has_ended)
    }

    /// The engine.
    ///
    /// # Errors
    ///
    /// When the links are not impaired.
    pub fn engine(&self) -> anyhow::Result<&Engine> {
        self.engine.as_ref().context("the links are not impaired")
    }

    /// Taps a host's interface, into `<host>.spool` in `directory`.
    ///
    /// # Errors
    ///
    /// When libpcap refuses or the spool cannot be made.
    pub fn tap(&mut self, host: &str, directory: &RunDirectory, options: &TapOptions) -> anyhow::Result<()> {
        let lab = self.lab.as_ref().context("the lab is down")?;
        let name = format!("{host}.spool");
        let (spool, path) = (directory.make(&name)?, directory.file(&name));
        let tap = Tap::start(lab.netns(host)?, &lab.host(host)?.ifname, spool, &path, options)?;
        self.taps.push((host.to_owned(), tap));
        Ok(())
    }

    /// Ends the impairment, lets out what is held, and ends the taps.
    ///
    /// # Errors
    ///
    /// When a thread of the engine or a tap failed.
    pub fn settle(&mut self, grace: Duration) -> anyhow::Result<(Outcome, Vec<(String, Captured)>)> {
        let engine = self.engine.take().context("the links are not impaired")?;
        let outcome = engine.stop(grace)?;
        let captured =
            self.taps.drain(..).map(|(host, tap)| Ok((host, tap.stop()?))).collect::<anyhow::Result<Vec<_>>>()?;
        Ok((outcome, captured))
    }

    /// Ends an engine that [has failed](Self::has_failed), and writes down why for whoever looks at the lab.
    ///
    /// # Errors
    ///
    /// When that cannot be written.
    pub fn give_up(&mut self) -> anyhow::Result<()> {
        let why = match self.settle(Duration::ZERO) {
            Ok(_) => "a thread of its engine ended".to_owned(),
            Err(error) => format!("{error:#}"),
        };
        Ok(self.lab.as_mut().context("the lab is down")?.fail(&why)?)
    }

    /// Takes everything away.
    ///
    /// # Errors
    ///
    /// What could not be taken away; it still stands in the journal.
    pub fn down(mut self) -> anyhow::Result<()> {
        drop(std::mem::take(&mut self.taps));
        drop(self.engine.take());
        if let Some(lab) = self.lab.take() {
            lab.down().context("cannot take the lab down")?;
        }
        Ok(())
    }
}

fn behind((netns, ifindex): (NetNs, u32)) -> Behind {
    Behind { netns: Arc::new(netns), ifindex }
}

/// A direction of the engine that does what was compiled.
pub(crate) fn direction_spec(name: &str, compiled: &CompiledDirection) -> DirectionSpec {
    DirectionSpec { name: name.into(), channel: compiled.channel.clone(), rules: compiled.rules.clone() }
}

fn link_spec(ends: &LinkEnds, link: &CompiledLink, behind: Option<[Behind; 2]>) -> LinkSpec {
    LinkSpec {
        host: ends.port_host.ifindex,
        far: ends.port_far.ifindex,
        forward: direction_spec(&ends.forward, &link.a_to_b),
        backward: direction_spec(&ends.backward, &link.b_to_a),
        behind,
    }
}
