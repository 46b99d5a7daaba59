//! Two hosts and what is between them.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use shaper_bpf::{Exclusion, Object, Program, Room};
use shaper_channel::ChannelSpec;
use shaper_common::layout::{OUTPUT_FORWARD, Params};
use shaper_engine::{Behind, DirectionSpec, Engine, Keep, LinkSpec, Options, Outcome, Recording};
use shaper_net::lab::{Lab, LabSpec};
use shaper_net::rtnl::{BridgeSpec, LinkStats, Rtnl};

use crate::Session;
use crate::link::source;
use crate::link::threads::{self, Thread};

/// How long an engine may take to let out what it holds.
const GRACE: Duration = Duration::from_secs(5);
/// The ring of records of programs that record nothing: one page.
const NO_RECORDS: u32 = 1 << 12;

/// What is between the two hosts.
#[derive(Clone, Debug)]
pub(crate) enum Middle {
    /// A program that drops all: what the source costs by itself.
    Drop,
    /// The kernel's bridge.
    Bridge,
    /// A program that redirects to the other port.
    Redirect,
    /// Our engine; `straight` past its delay line where nothing is held.
    Engine { params: Params, records: bool, frames: u32, straight: bool },
    /// Our engine as a whole run has it, with its delay line sleeping or spinning.
    Polled { params: Params, busy_poll: bool },
}

/// A pair of hosts with a link; everything goes with it.
pub(crate) struct Bed {
    engine: Option<Engine>,
    line: Option<Thread>,
    /// Programs that are attached for as long as it stands.
    _programs: Option<Object>,
    far: Rtnl,
    lab: Lab,
}

impl Bed {
    pub(crate) fn up(session: &Session, middle: Middle) -> Result<Self> {
        let lab = Lab::up(&session.journal, &LabSpec::pair()).context("cannot build a lab")?;
        let far = lab.netns("b")?.rtnl()?;
        let link = lab.links().first().context("a pair has a link")?;
        let (near_port, far_port) = (link.port_host.ifindex, link.port_far.ifindex);
        let mut bed = Self { engine: None, line: None, _programs: None, far, lab };
        match middle {
            Middle::Drop => bed.attach(&[(Site::Middle, near_port, Program::Empty)])?,
            Middle::Bridge => {
                bed.bridge(&[near_port, far_port])?;
                // What is redirected into a veth arrives only where the peer has a program.
                bed.attach(&[(Site::Middle, near_port, Program::Pass), (Site::Middle, far_port, Program::Pass)])?;
                source::teach(&bed)?;
            }
            Middle::Redirect => {
                let sink = bed.lab.host("b")?.ifindex;
                bed.attach(&[(Site::Middle, near_port, Program::Forward), (Site::Far, sink, Program::Pass)])?;
            }
            Middle::Engine { params, records, frames, straight } => {
                let recording = if records { Recording::All } else { Recording::Off };
                bed.start(params, Options { recording, frames, keep: Keep::Nothing, ..Options::default() }, straight)?;
            }
            Middle::Polled { params, busy_poll } => {
                bed.start(params, Options { busy_poll, keep: Keep::Nothing, ..Options::default() }, false)?;
            }
        }
        Ok(bed)
    }

    fn bridge(&self, ports: &[u32]) -> Result<()> {
        let middle = self.lab.middle();
        let rtnl = middle.rtnl()?;
        let bridge = rtnl.create_bridge(&BridgeSpec { snooping: false, ..BridgeSpec::new("br0") })?;
        for port in ports {
            rtnl.set_master(*port, Some(bridge))?;
        }
        rtnl.set_up(bridge, true)?;
        // Where the host's kernel has the bridge's firewall built in, frames would pass through it: not what is
        // compared. Where it has not, there is no such setting.
        middle.run(|| {
            for family in ["iptables", "ip6tables", "arptables"] {
                let setting = format!("/proc/sys/net/bridge/bridge-nf-call-{family}");
                if std::fs::exists(&setting).unwrap_or(false) {
                    std::fs::write(&setting, "0").with_context(|| format!("cannot write {setting}"))?;
                }
            }
            anyhow::Ok(())
        })?
    }

    fn attach(&mut self, programs: &[(Site, u32, Program)]) -> Result<()> {
        let mut object = Object::load(NO_RECORDS, Exclusion::Device, &Room::PLAIN)?;
        let far_port = self.lab.links().first().context("a pair has a link")?.port_far.ifindex;
        let mut attach_at = |site| {
            let netns = match site {
                Site::Middle => self.lab.middle(),
                Site::Far => self.lab.netns("b")?,
            };
            netns.run(|| {
                if site == Site::Middle {
                    object.set_output(OUTPUT_FORWARD, far_port)?;
                }
                programs
                    .iter()
                    .filter(|(at, ..)| *at == site)
                    .try_for_each(|(_, ifindex, program)| object.attach_program(*program, *ifindex))
            })??;
            anyhow::Ok(())
        };
        attach_at(Site::Middle)?;
        attach_at(Site::Far)?;
        self._programs = Some(object);
        Ok(())
    }

    fn start(&mut self, params: Params, options: Options, straight: bool) -> Result<()> {
        let ends = self.lab.links().first().context("a pair has a link")?;
        let direction = |name: &str, stream, params| DirectionSpec {
            name: name.to_owned(),
            channel: ChannelSpec::plain(Params { stream, ..params }),
            ..DirectionSpec::default()
        };
        let link = LinkSpec {
            host: ends.port_host.ifindex,
            far: ends.port_far.ifindex,
            forward: direction(&ends.forward, 0, params),
            backward: direction(&ends.backward, 1, params),
            behind: if straight {
                Some(self.lab.behind(ends)?.map(|(netns, ifindex)| Behind { netns: Arc::new(netns), ifindex }))
            } else {
                None
            },
        };
        let (engine, line) =
            threads::started_by("delay line", || Ok(Engine::start(self.lab.middle(), vec![link], options)?))?;
        (self.engine, self.line) = (Some(engine), Some(line));
        Ok(())
    }

    pub(crate) fn lab(&self) -> &Lab {
        &self.lab
    }

    /// Counters of host `b`'s device.
    pub(crate) fn received(&self) -> Result<LinkStats> {
        Ok(self.far.stats(self.lab.host("b")?.ifindex)?)
    }

    /// The delay line's thread, where there is one.
    pub(crate) fn line(&self) -> Option<Thread> {
        self.line
    }

    /// Stops the engine, if there is one, and returns its evidence; an account that does not close is an error.
    pub(crate) fn stop(&mut self) -> Result<Option<Outcome>> {
        self.line = None;
        let Some(engine) = self.engine.take() else { return Ok(None) };
        let outcome = engine.stop(GRACE)?;
        for direction in &outcome.directions {
            let name = &direction.spec.name;
            ensure!(direction.account.difference() == 0, "{name}: packets are nowhere: {:?}", direction.account);
            ensure!(direction.oracle.mismatches == 0, "{name}: the oracle disagrees: {:?}", direction.oracle);
        }
        Ok(Some(outcome))
    }

    /// Takes everything down.
    pub(crate) fn down(mut self) -> Result<()> {
        self.stop()?;
        drop(self._programs.take());
        Ok(self.lab.down()?)
    }
}

/// Where a device is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Site {
    Middle,
    Far,
}
