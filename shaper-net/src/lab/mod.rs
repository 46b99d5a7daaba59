//! Test beds of network namespaces: hosts, a middle that every packet crosses, and perhaps a switch.
//!
//! ```text
//! pair   a:eth0 ── to-a [link] to-b ── eth0:b
//!
//! star   a:eth0 ── to-a [link] a-to-br ── a [switch: br0] b ── b-to-br [link] to-b ── eth0:b …
//! ```
//! `[link]` is one namespace that holds the ports of all links. Nothing forwards between the two ports of a link until
//! an engine does: that is what it is for.

mod build;
mod plan;
mod state;

pub use plan::{LabSpec, Shape};
pub use state::{Host, LabState, LinkEnds, Port, Switch, list, list_in};

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use crate::journal::{Entry, Journal, RUN_DIR, Recorded};
use crate::netns::NetNs;
use crate::rtnl::Rtnl;
use crate::{Error, Result};

/// A lab that stands. Dropping it takes it down.
#[derive(Debug)]
pub struct Lab {
    state: LabState,
    snooping_from: Option<Instant>,
    query_response: Duration,
    file: Option<SavedFile>,
    hosts: Vec<NetNs>,
    middle: NetNs,
    switch: Option<NetNs>,
}

impl Lab {
    /// Builds a lab. When it fails half-way, what stands is taken down.
    pub fn up(journal: &Journal, spec: &LabSpec) -> Result<Self> {
        build::build(journal, spec)
    }

    /// What it consists of.
    pub fn state(&self) -> &LabState {
        &self.state
    }

    /// Start of all its namespaces' names: `shaper-` and six hexadecimal digits.
    pub fn prefix(&self) -> &str {
        &self.state.prefix
    }

    /// The hosts, in the order of the specification.
    pub fn hosts(&self) -> &[Host] {
        &self.state.hosts
    }

    /// The host called `name`.
    pub fn host(&self, name: &str) -> Result<&Host> {
        self.state.host(name)
    }

    /// The namespace of the host called `name`.
    pub fn netns(&self, name: &str) -> Result<&NetNs> {
        let at = self.state.hosts.iter().position(|h| h.name == name);
        at.and_then(|at| self.hosts.get(at)).ok_or_else(|| Error::Missing {
            what: "host",
            name: name.into(),
            within: format!("lab {}", self.state.id),
        })
    }

    /// The links, whose ports are in [`Lab::middle`].
    pub fn links(&self) -> &[LinkEnds] {
        &self.state.links
    }

    /// The devices behind a link's two ports, `port_host` first: their namespaces, and their indices there.
    pub fn behind(&self, link: &LinkEnds) -> Result<[(NetNs, u32); 2]> {
        let rtnl = self.middle.rtnl()?;
        let missing = |name: &str| Error::Missing {
            what: "device behind the port",
            name: name.into(),
            within: format!("lab {}", self.state.id),
        };
        let [near, far] = match (&self.switch, self.hosts.as_slice()) {
            (Some(switch), _) => [self.netns(&link.name)?, switch],
            (None, [near, far]) => [near, far],
            _ => return Err(missing(&link.name)),
        };
        let behind = |netns: &NetNs, port: &Port| {
            let peer = rtnl.find_index(port.ifindex)?.and_then(|port| port.peer);
            Ok((netns.another()?, peer.ok_or_else(|| missing(&port.ifname))?))
        };
        Ok([behind(near, &link.port_host)?, behind(far, &link.port_far)?])
    }

    /// The namespace of all link ports.
    pub fn middle(&self) -> &NetNs {
        &self.middle
    }

    /// The namespace of the switch, in a star.
    pub fn switch(&self) -> Option<&NetNs> {
        self.switch.as_ref()
    }

    /// From when on the switch sends multicast to members only; `None` without a switch. Until then it floods.
    pub fn snooping_from(&self) -> Option<Instant> {
        self.snooping_from
    }

    /// Lets the switch ask for multicast members anew; snooping floods again until [`Lab::snooping_from`].
    ///
    /// To be called once the links forward: what hosts told the switch before that was lost with the links, and IPv6
    /// neighbour discovery, being multicast, waits for the next regular query otherwise.
    pub fn query_members(&mut self) -> Result<()> {
        if let (Some(netns), Some(switch)) = (&self.switch, &self.state.switch) {
            let rtnl = netns.rtnl()?;
            rtnl.set_querier(switch.ifindex, false)?;
            self.snooping_from = Some(switch_on(&rtnl, switch.ifindex, self.query_response)?);
        }
        Ok(())
    }

    /// Writes the lab's state to `/run/shaper/<id>.lab.json`, for other processes to find; removed with the lab.
    pub fn save(&mut self, journal: &Journal) -> Result<PathBuf> {
        self.save_in(journal, Path::new(RUN_DIR))
    }

    /// Writes the lab's state to a folder of the caller's choice.
    pub fn save_in(&mut self, journal: &Journal, dir: &Path) -> Result<PathBuf> {
        let path = self.state.path_in(dir);
        let recorded = journal.record(Entry::File { path: path.clone() })?;
        self.state.write(&path)?;
        self.file = Some(SavedFile(Some((path.clone(), recorded))));
        Ok(path)
    }

    /// Writes down, where the lab was [saved](Self::save), that its links carry nothing any more.
    pub fn fail(&mut self, why: &str) -> Result<()> {
        self.state.failed = Some(why.into());
        let Some(SavedFile(Some((path, _)))) = &self.file else { return Ok(()) };
        std::fs::remove_file(path).map_err(|e| Error::os("replace the lab's state", path.display().to_string(), e))?;
        self.state.write(path)
    }

    /// Takes the lab down, and says what could not be. What could not stays in the journal.
    pub fn down(self) -> Result<()> {
        let Self { file, hosts, middle, switch, .. } = self;
        let mut result = file.map_or(Ok(()), SavedFile::remove);
        for netns in hosts.into_iter().chain(switch).chain([middle]) {
            result = result.and(netns.delete());
        }
        result
    }
}

/// The state on disk.
#[derive(Debug)]
struct SavedFile(Option<(PathBuf, Recorded)>);

impl SavedFile {
    fn remove(mut self) -> Result<()> {
        self.take()
    }

    fn take(&mut self) -> Result<()> {
        let Some((path, recorded)) = self.0.take() else { return Ok(()) };
        match std::fs::remove_file(&path) {
            Err(e) if e.kind() != std::io::ErrorKind::NotFound => {
                Err(Error::os("remove the lab's state", path.display().to_string(), e))
            }
            _ => {
                recorded.taken_back();
                Ok(())
            }
        }
    }
}

impl Drop for SavedFile {
    fn drop(&mut self) {
        if let Err(e) = self.take() {
            tracing::warn!("{e}");
        }
    }
}

/// Switches the querier on, and says from when on it snoops.
fn switch_on(rtnl: &Rtnl, ifindex: u32, query_response: Duration) -> Result<Instant> {
    rtnl.set_querier(ifindex, true)?;
    // The kernel counts this in timer ticks, which come late on a virtual machine whose processor is taken away.
    Ok(Instant::now() + query_response + Duration::from_millis(100))
}
